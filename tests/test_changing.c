/* Files that shrink, grow, are overwritten, replaced or removed by somebody else under an open reader, between opening and
   reading and between any two calls of a read: an error that says so, or the bytes that were there; never a crash, and never
   other bytes where checksums or the identity of the file tell. */
#define SHARDIO_SETTLE_MS 6    /* not to wait for long */
#include "system.h"
#include "faults.h"
#include "mirrors.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { HAS_CHUNKS = 6, CHUNK_BYTES = 700, HAS_ITEMS = 60, HAS_FRAMES = 4, FRAME_ELEMENTS = 48 };

/* What is done to the file, and when. */
typedef enum harm {
    HARM_HALF, HARM_EMPTY, HARM_CUT, HARM_LONGER, HARM_REMOVED, HARM_REPLACED, HARM_REPLACED_SHORTER, HARM_OVERWRITTEN, HARMS
} harm;

static const char *const harm_names[] = {
    "cut in half", "emptied", "cut by a byte", "longer", "removed", "replaced", "replaced by a shorter one", "overwritten"
};

static struct {
    char directory[300], victim[400], other[400];   /* other: of the same make, with other bytes */
    harm what;
    int at;                       /* before this call of the read, from 1 */
    bool done;
} harmed;

static const char *in_directory(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%.280s/%.100s", harmed.directory, name);
    return path;
}

static void copy_file(const char *from, const char *to, size_t less)
{
    size_t size;
    uint8_t *data = rig_slurp(from, &size);
    if (CHECK(data != NULL && size > less)) rig_put(to, data, size - less);
    free(data);
}

/* Somebody else is at the file. */
static void do_harm(void)
{
    struct stat facts;
    char fresh[420];
    uint8_t bytes[64];
    harmed.done = true;
    if (!CHECK(stat(harmed.victim, &facts) == 0)) return;
    snprintf(fresh, sizeof fresh, "%s.new", harmed.victim);
    memset(bytes, 0xEE, sizeof bytes);
    if (harmed.what == HARM_HALF) CHECK(truncate(harmed.victim, facts.st_size / 2) == 0);
    if (harmed.what == HARM_EMPTY) CHECK(truncate(harmed.victim, 0) == 0);
    if (harmed.what == HARM_CUT) CHECK(truncate(harmed.victim, facts.st_size - 1) == 0);
    if (harmed.what == HARM_LONGER) CHECK(truncate(harmed.victim, facts.st_size + 5000) == 0);
    if (harmed.what == HARM_REMOVED) CHECK(unlink(harmed.victim) == 0);
    if (harmed.what == HARM_REPLACED || harmed.what == HARM_REPLACED_SHORTER) {
        copy_file(harmed.other, fresh, harmed.what == HARM_REPLACED_SHORTER ? (size_t)facts.st_size / 3 : 0);
        CHECK(rename(fresh, harmed.victim) == 0);
    }
    if (harmed.what != HARM_OVERWRITTEN) return;
    FILE *out = fopen(harmed.victim, "r+b");
    if (!CHECK(out != NULL)) return;
    CHECK(fseek(out, (long)facts.st_size / 3, SEEK_SET) == 0);
    CHECK_U64(fwrite(bytes, 1, sizeof bytes, out), sizeof bytes);
    CHECK(fclose(out) == 0);
}

static void harm_before(sys_event *e)
{
    (void)e;
    int calls = 0;
    for (int i = 0; i < CALLS; i++) calls += i == CALL_MALLOC ? 0 : sys.calls[i];
    if (!harmed.done && calls + 1 == harmed.at) do_harm();
}

/* A reader: makes the file (and the other one), opens it, reads it all. It says how often its bytes were wrong and how
   often it was told of an error. */
typedef struct reading {
    int wrong, errors, fine;
    unsigned generation;          /* of the file that was opened: replaced before that, it is the other one */
    shardio_status first;
} reading;

static void tell(reading *r, shardio_status status, const shardio_error *error, bool right)
{
    char text[300];
    if (status == SHARDIO_OK) {
        r->fine++;
        r->wrong += !right;
        return;
    }
    r->errors++;
    if (r->first == SHARDIO_OK) r->first = status;
    CHECK_STATUS(error->status, status);
    CHECK(error->operation != NULL && strlen(shardio_error_text(error, text, sizeof text)) > 10);
}

typedef struct reader_kind {
    const char *name, *file;      /* the file that is harmed */
    void (*make)(const char *path, unsigned generation);
    void (*read)(reading *r);
    bool settles;                 /* is asked whether it is the same: its last change has to be over for that */
    bool told;                    /* a checksum or its identity tell of each change: bytes are never wrong */
} reader_kind;

/* ---- shards: chunks end in their CRC32C, as arrays have it */

static shardio_index_layout shard_layout(void)
{
    shardio_index_layout l;
    memset(&l, 0, sizeof l);
    l.chunks = HAS_CHUNKS;
    return l;
}

static void chunk_of(uint64_t c, unsigned generation, uint8_t *bytes)
{
    test_fill(bytes, CHUNK_BYTES, c + 100 * generation);
    uint32_t crc = shardio_crc32c(0, bytes, CHUNK_BYTES - 4);
    memcpy(bytes + CHUNK_BYTES - 4, &crc, 4);
}

static void shard_make(const char *path, unsigned generation)
{
    shardio_shard_writer w;
    shardio_index_layout l = shard_layout();
    shardio_slot_options o;
    uint8_t bytes[CHUNK_BYTES];
    memset(&o, 0, sizeof o);
    o.durability = SHARDIO_DURABLE_NONE;
    CHECK_OK(shardio_shard_create(&w, path, &l, &o));
    for (uint64_t c = 0; c < HAS_CHUNKS; c++) {
        chunk_of(c, generation, bytes);
        CHECK_OK(shardio_shard_put(&w, c, bytes, sizeof bytes));
    }
    CHECK_OK(shardio_shard_finish(&w, NULL));
}

/* Right: of this generation, or its checksum says that it is not. */
static bool chunk_is_right(uint64_t c, unsigned generation, const uint8_t *bytes, uint64_t size)
{
    uint8_t want[CHUNK_BYTES];
    uint32_t crc;
    chunk_of(c, generation, want);
    if (size != CHUNK_BYTES) return false;
    if (memcmp(bytes, want, CHUNK_BYTES) == 0) return true;
    memcpy(&crc, bytes + CHUNK_BYTES - 4, 4);
    return crc != shardio_crc32c(0, bytes, CHUNK_BYTES - 4);
}

static void shard_read(reading *r)
{
    shardio_shard_reader s;
    shardio_index_layout l = shard_layout();
    shardio_error error;
    uint8_t bytes[CHUNK_BYTES];
    uint64_t size;
    shardio_status status = shardio_shard_open(&s, harmed.victim, &l, NULL, &error);
    bool before = harmed.done;
    if (status == SHARDIO_OK && before && shardio_shard_read(&s, 0, bytes, sizeof bytes, &size, &error) == SHARDIO_OK)
        r->generation = harmed.what == HARM_REPLACED && chunk_is_right(0, 1, bytes, size);
    if (status != SHARDIO_OK) tell(r, status, &error, true);
    for (uint64_t c = 0; c < HAS_CHUNKS && status == SHARDIO_OK; c++) {
        shardio_status got = shardio_shard_read(&s, c, bytes, sizeof bytes, &size, &error);
        tell(r, got, &error, got == SHARDIO_OK && chunk_is_right(c, r->generation, bytes, size));
    }
    if (status == SHARDIO_OK && harmed.done && !before) {
        shardio_status same = shardio_shard_unchanged(&s, &error);
        CHECK_STATUS(same, SHARDIO_ERR_CHANGED);
        r->errors += same != SHARDIO_OK;
    }
    shardio_shard_close(&s);
}

/* ---- packs */

static void item_of(uint64_t i, unsigned generation, uint8_t *bytes, size_t *size)
{
    *size = 20 + (size_t)(i * 7 % 50);
    test_fill(bytes, *size, i + 1000 * (generation + 1));
}

static void pack_make(const char *path, unsigned generation)
{
    shardio_pack_writer w;
    shardio_pack_options o;
    shardio_slot_options how;
    uint8_t bytes[100];
    size_t size;
    memset(&o, 0, sizeof o);
    memset(&how, 0, sizeof how);
    o.items_per_record = 8;
    o.codec = shardio_codec_crc32c();
    how.durability = SHARDIO_DURABLE_NONE;
    CHECK_OK(shardio_pack_create(&w, path, &o, &how));
    for (uint64_t i = 0; i < HAS_ITEMS; i++) {
        item_of(i, generation, bytes, &size);
        CHECK_OK(shardio_pack_append(&w, bytes, size));
    }
    CHECK_OK(shardio_pack_finish(&w, NULL, 0, NULL));
}

static void pack_read(reading *r)
{
    shardio_pack_reader p;
    shardio_pack_reading how;
    shardio_error error;
    uint8_t want[100];
    const uint8_t *data;
    size_t size, wanted;
    memset(&how, 0, sizeof how);
    how.codec = shardio_codec_crc32c();
    how.tail = 128;
    shardio_status status = shardio_pack_open(&p, harmed.victim, &how, &error);
    item_of(0, 1, want, &wanted);
    if (status == SHARDIO_OK && harmed.done && shardio_pack_item(&p, NULL, 0, &data, &size, &error) == SHARDIO_OK)
        r->generation = size == wanted && memcmp(data, want, size) == 0;
    if (status != SHARDIO_OK) tell(r, status, &error, true);
    for (uint64_t i = 0; i < HAS_ITEMS && status == SHARDIO_OK; i += 5) {
        shardio_status got = shardio_pack_item(&p, NULL, i, &data, &size, &error);
        item_of(i, r->generation, want, &wanted);
        tell(r, got, &error, got == SHARDIO_OK && size == wanted && memcmp(data, want, size) == 0);
    }
    shardio_pack_close(&p);
}

/* ---- arrays, in a directory and in an archive: what is replaced by a whole shard is a right one */

static uint16_t element_of(uint64_t i, unsigned generation)
{
    return (uint16_t)(i * 3 + 7 + 10000u * generation);
}

static void array_fill(const shardio_store *store, unsigned generation)
{
    uint16_t data[HAS_FRAMES * FRAME_ELEMENTS];
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 2;
    o.dtype = SHARDIO_UINT16;
    o.shape[1] = FRAME_ELEMENTS;
    o.chunk[0] = 1;
    o.chunk[1] = 12;
    o.shard[0] = 2;
    o.shard[1] = FRAME_ELEMENTS;
    o.codecs[0] = shardio_codec_crc32c();
    o.durability = SHARDIO_DURABLE_NONE;
    o.overwrite = true;
    for (uint64_t i = 0; i < HAS_FRAMES * FRAME_ELEMENTS; i++) data[i] = element_of(i, generation);
    shardio_array *a = shardio_array_create_in(store, &o);
    CHECK_OK(shardio_array_append(a, data, HAS_FRAMES * FRAME_ELEMENTS));
    CHECK_OK(shardio_array_finish(a, NULL));
}

/* Each frame is wholly old or wholly new: both are right. */
static bool frames_are_right(const uint16_t *data)
{
    for (uint64_t i = 0; i < HAS_FRAMES * FRAME_ELEMENTS; i++) {
        unsigned generation = data[i - i % 12] == element_of(i - i % 12, 1);
        if (data[i] != element_of(i, generation)) return false;
    }
    return true;
}

/* One that was replaced before a read began is read as it is now. */
static bool first_shard_is_new(const uint16_t *data)
{
    for (uint64_t i = 0; i < 2 * FRAME_ELEMENTS; i++)
        if (data[i] != element_of(i, 1)) return false;
    return true;
}

static void array_read_from(reading *r, const shardio_store *store, bool one_file)
{
    uint16_t data[HAS_FRAMES * FRAME_ELEMENTS];
    uint64_t start[2] = {0, 0}, count[2] = {HAS_FRAMES, FRAME_ELEMENTS};
    shardio_error error;
    shardio_array *a = shardio_array_open_in(store, NULL, &error);
    shardio_status status = error.status;
    if (status != SHARDIO_OK) tell(r, status, &error, true);
    for (int again = 0; again < 3 && status == SHARDIO_OK; again++) {
        const bool replaced = !one_file && harmed.done && harmed.what == HARM_REPLACED;
        memset(data, 0, sizeof data);
        shardio_status got = shardio_array_read(a, start, count, data, sizeof data, &error);
        struct stat facts;
        bool gone = stat(harmed.victim, &facts) != 0;      /* a shard that is not there is the fill value */
        tell(r, got, &error, gone || (replaced ? first_shard_is_new(data) : frames_are_right(data)));
    }
    shardio_array_close(a);
}

static void array_make(const char *path, unsigned generation)
{
    char whole[400];
    const char *name = generation == 0 ? "array" : "other array";
    snprintf(whole, sizeof whole, "%s", in_directory(name));
    shardio_store store = shardio_store_directory(whole);
    array_fill(&store, generation);
    if (generation == 1) copy_file(in_directory("other array/c/0/0"), path, 0);
}

static void array_read(reading *r)
{
    char whole[400];
    snprintf(whole, sizeof whole, "%s", in_directory("array"));
    shardio_store store = shardio_store_directory(whole);
    array_read_from(r, &store, false);
}

static void archive_make(const char *path, unsigned generation)
{
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = o.create = o.overwrite = true;
    o.durability = SHARDIO_DURABLE_NONE;
    shardio_archive *a = shardio_archive_open(path, &o, NULL);
    if (!CHECK(a != NULL)) return;
    shardio_store store = shardio_archive_store(a);
    array_fill(&store, generation);
    CHECK_OK(shardio_archive_finish(a, NULL));
}

static void archive_read(reading *r)
{
    shardio_error error;
    shardio_archive *a = shardio_archive_open(harmed.victim, NULL, &error);
    if (a == NULL) {
        tell(r, error.status, &error, true);
        return;
    }
    shardio_store store = shardio_archive_store(a);
    array_read_from(r, &store, true);
    shardio_archive_close(a);
}

/* ---- mirrors: the local file */

static remote distant;

static void mirror_make(const char *path, unsigned generation)
{
    shardio_mirror_options o = plain_options();
    remote_make(&distant, 1 + generation, 20 * 512);
    shardio_source source = remote_source(&distant, false);
    shardio_mirror *m = shardio_mirror_open(&source, path, &o, NULL);
    if (!CHECK(m != NULL)) return;
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, NULL));
    CHECK_OK(shardio_mirror_close(m, NULL));
}

static void mirror_read(reading *r)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    uint8_t data[512];
    size_t done;
    remote_make(&distant, 1, 20 * 512);
    shardio_source source = remote_source(&distant, false);
    o.read_only = true;
    shardio_mirror *m = shardio_mirror_open(&source, harmed.victim, &o, &error);
    if (m == NULL) tell(r, error.status, &error, true);
    for (uint64_t c = 0; c < 20 && m != NULL; c += 3) {
        shardio_status got = shardio_mirror_read(m, c * 512, data, sizeof data, &done, &error);
        tell(r, got, &error, got != SHARDIO_OK || (done == 512 && remote_same(&distant, c * 512, data, 512)));
    }
    if (m != NULL) (void)shardio_mirror_close(m, &error);
}

/* ---- the loop */

static const reader_kind kinds[] = {
    {"shard", "shard", shard_make, shard_read, true, true},
    {"pack", "pack", pack_make, pack_read, false, true},
    {"array", "array/c/0/0", array_make, array_read, false, true},
    {"archive", "archive.zip", archive_make, archive_read, false, true},
    {"mirror", "mirror", mirror_make, mirror_read, false, false}      /* bytes of its own file have no checksums */
};

static int count_calls(const reader_kind *k)
{
    reading r;
    int all = 0;
    memset(&r, 0, sizeof r);
    harmed.done = false;
    sys_clear();
    k->read(&r);
    for (int i = 0; i < CALLS; i++) all += i == CALL_MALLOC ? 0 : sys.calls[i];
    CHECK_U64(r.errors, 0);
    CHECK_U64(r.wrong, 0);
    sys_clear();
    return all;
}

static void read_while_harmed(const reader_kind *k, const tree *before, harm what, int at)
{
    reading r;
    memset(&r, 0, sizeof r);
    tree_restore(before, harmed.directory);
    harmed.what = what;
    harmed.at = at;
    harmed.done = false;
    const struct timespec tick = {0, 12000000};
    if (k->settles) nanosleep(&tick, NULL);
    sys_clear();
    int descriptors = count_descriptors();
    long held = sys_held;
    sys.before = harm_before;
    k->read(&r);
    sys_clear();
    CHECK(harmed.done);
    if (count_descriptors() != descriptors || sys_held != held || (k->told && r.wrong > 0)) {
        fprintf(stderr, "    %s, %s before call %d: %d wrong, %d errors (%s), %d fine\n", k->name, harm_names[what], at, r.wrong,
                r.errors, shardio_status_name(r.first), r.fine);
        CHECK_U64(count_descriptors(), descriptors);
        CHECK_U64(sys_held, held);
        CHECK_U64(r.wrong, 0);
    }
}

static void harm_each_call(const reader_kind *k)
{
    static tree before;
    work w;
    memset(&w, 0, sizeof w);
    work_directory(&w);
    memcpy(harmed.directory, w.directory, sizeof harmed.directory);
    snprintf(harmed.victim, sizeof harmed.victim, "%s", in_directory(k->file));
    snprintf(harmed.other, sizeof harmed.other, "%s", in_directory("other"));
    sys.quick = true;
    k->make(harmed.victim, 0);
    k->make(harmed.other, 1);
    tree_read(&before, harmed.directory);
    int calls = count_calls(k);
    CHECK(calls > 5);
    for (int what = 0; what < HARMS; what++)
        for (int at = 1; at <= calls; at++) read_while_harmed(k, &before, (harm)what, at);
    printf("%s: %d times harmed\n", k->name, calls * HARMS);
    tree_free(&before);
    tree_restore(&before, harmed.directory);
    CHECK(rmdir(harmed.directory) == 0);
}

/* ---- an index at the start gets its time before its bytes: who opens the shard in between must not keep the old index */

enum { BESIDE_ELEMENTS = 65536, BESIDE_CHUNK = 8, BESIDE_UPDATES = 600 };

/* What both programs see. */
typedef struct beside_shared {
    uint64_t promised;                        /* the last update that was complete */
    bool slow[BESIDE_UPDATES + 1];            /* those that took longer than a reader doubts what it sees */
} beside_shared;

typedef struct beside {
    shardio_store store;
    shardio_array_options o;
    volatile beside_shared *shared;
} beside;

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static shardio_status write_first_chunk(const beside *b, uint64_t number)
{
    uint64_t start = 0, count = BESIDE_CHUNK, data[BESIDE_CHUNK];
    shardio_error e;
    for (int i = 0; i < BESIDE_CHUNK; i++) data[i] = number;
    shardio_array *a = shardio_array_update_in(&b->store, &b->o, &e);
    if (a != NULL) (void)shardio_array_write(a, &start, &count, data, sizeof data, &e);
    shardio_array_close(a);
    return e.status;
}

static int update_beside(const beside *b)
{
    for (uint64_t i = 1; i <= BESIDE_UPDATES; i++) {
        const uint64_t begin = milliseconds();
        if (write_first_chunk(b, i) != SHARDIO_OK) return 1;
        b->shared->slow[i] = milliseconds() - begin >= SHARDIO_SETTLE_MS;
        b->shared->promised = i;
        usleep(1000);
    }
    return 0;
}

/* Whether a reader should have seen more: each update since was quick. */
static bool is_stale(const beside *b, uint64_t seen, uint64_t promised)
{
    for (uint64_t i = seen + 1; i <= promised; i++)
        if (b->shared->slow[i]) return false;
    return seen < promised;
}

static uint64_t read_beside(const beside *b, pid_t child)
{
    uint64_t start = 0, count = BESIDE_CHUNK, data[BESIDE_CHUNK], stale = 0;
    int state = 0;
    shardio_error e;
    shardio_array *a = shardio_array_open_in(&b->store, NULL, &e);
    while (waitpid(child, &state, WNOHANG) == 0) {
        uint64_t promised = b->shared->promised;
        if (shardio_array_read(a, &start, &count, data, sizeof data, &e) == SHARDIO_OK) stale += is_stale(b, data[0], promised);
    }
    CHECK(state == 0);
    CHECK_OK(shardio_array_read(a, &start, &count, data, sizeof data, &e));
    CHECK(!is_stale(b, data[0], BESIDE_UPDATES));
    shardio_array_close(a);
    return stale;
}

TEST(an_index_at_the_start_that_is_being_written)
{
    static uint64_t zeros[BESIDE_ELEMENTS];
    char directory[300];
    int quick = 0;
    beside b;
    memset(&b, 0, sizeof b);
    test_directory(directory, sizeof directory);
    b.store = shardio_store_directory(directory);
    b.o.ndim = 1;
    b.o.dtype = SHARDIO_UINT64;
    b.o.shape[0] = b.o.shard[0] = BESIDE_ELEMENTS;
    b.o.chunk[0] = BESIDE_CHUNK;
    b.o.index_at_start = true;
    b.o.durability = SHARDIO_DURABLE_NONE;
    b.shared = (volatile beside_shared *)mmap(NULL, sizeof *b.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shardio_array *a = shardio_array_create_in(&b.store, &b.o);
    CHECK_OK(shardio_array_append(a, zeros, BESIDE_ELEMENTS));
    CHECK_OK(shardio_array_finish(a, NULL));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(update_beside(&b));
    CHECK_U64(read_beside(&b, child), 0);
    for (int i = 1; i <= BESIDE_UPDATES; i++) quick += !b.shared->slow[i];
    printf("%d of %d updates were quick enough to be seen at once\n", quick, BESIDE_UPDATES);
    munmap((void *)(uintptr_t)b.shared, sizeof *b.shared);
}

TEST(shards) { harm_each_call(&kinds[0]); }
TEST(packs) { harm_each_call(&kinds[1]); }
TEST(arrays) { harm_each_call(&kinds[2]); }
TEST(archives) { harm_each_call(&kinds[3]); }
TEST(mirrors) { harm_each_call(&kinds[4]); }

TEST_MAIN(TEST_CASE(an_index_at_the_start_that_is_being_written) TEST_CASE(shards) TEST_CASE(packs) TEST_CASE(arrays) TEST_CASE(archives) TEST_CASE(mirrors))
