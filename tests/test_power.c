/* The power goes while files are written: slots, shards, packfiles, mirrors. See power.h for what is tried. */
#include "volume.h"
#include "mirrors.h"
#include "power.h"

/* Notes of all workflows here: the state that is promised at least, and the newest one that may be there. */
enum { LEAST, MOST, GOT, OBJECT };

/* Calls `each` for the temporary files of the volume's root. */
static void each_temporary(void (*each)(const char *path))
{
    for (size_t i = 0; i < volume.root->entry_count; i++) {
        char path[VOLUME_NAME + 20];
        snprintf(path, sizeof path, VOLUME "/%s", volume.root->entries[i].name);
        if (shardio_p_is_temporary(path)) each(path);
    }
}

/* ---- slots ------------------------------------------------------------------------------------------------------ */

#define SLOT_FILE VOLUME "/a/b/s.bin"
enum { SLOT_BYTES = 12000 };

enum slot_kind { SLOT_FINISH, SLOT_SYNC, SLOT_EVERY, SLOT_UNBUFFERED, SLOT_SUSPEND, SLOT_NONE, SLOT_OVERLAP = 8 };

static uint8_t slot_data[SLOT_BYTES];

#if defined(SHARDIO_P_HAS_RING)
enum { HAS_QUEUE = true };
#else
enum { HAS_QUEUE = false };      /* a compiler without atomic operations */
#endif

/* Pieces of a block each are under way; what is submitted to the queue is done in any order. */
static void overlap_options(shardio_slot_options *o)
{
    rings.there = true;
    o->overlap = SHARDIO_OVERLAP_ON;
    o->in_flight = 4;
    o->buffer_size = 4 * VOLUME_BLOCK;
}

static shardio_slot_options slot_options(int kind)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.buffer_size = 1024;
    if (kind & SLOT_OVERLAP) overlap_options(&o);
    kind &= ~SLOT_OVERLAP;
    o.direct = kind == SLOT_UNBUFFERED ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    o.durability = kind == SLOT_NONE ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    o.sync_every = kind == SLOT_EVERY ? 3000 : 0;
    o.make_parents = true;
    return o;
}

/* Bytes that are promised when they are in the file that the name stands for. */
static void slot_promises(const shardio_slot *slot, int kind, bool tail)
{
    uint64_t size = shardio_slot_size(slot);
    if ((kind & ~SLOT_OVERLAP) != SLOT_NONE) power_note(LEAST, tail ? size : size / VOLUME_BLOCK * VOLUME_BLOCK);
}

/* Whether a sync came after the last change of a file. */
static bool slot_is_synced(void)
{
    size_t i = volume.logged;
    while (i > 0 && volume.log[i - 1].kind != VOLUME_SYNC && !power_is_data(&volume.log[i - 1])) i--;
    return i == 0 || volume.log[i - 1].kind == VOLUME_SYNC;
}

static void slot_run(int kind)
{
    shardio_slot_options o = slot_options(kind);
    shardio_slot slot;
    const bool overlap = (kind & SLOT_OVERLAP) != 0;
    kind &= ~SLOT_OVERLAP;
    test_fill(slot_data, sizeof slot_data, 5);
    power_start();
    CHECK_OK(shardio_slot_create(&slot, SLOT_FILE, &o));
    for (int step = 0; step < 24; step++) {
        size_t at = (size_t)shardio_slot_size(&slot), n = 1 + (size_t)step * 137 % 900;
        uint64_t syncs = slot.accounting.syncs;
        CHECK_OK(shardio_slot_append(&slot, slot_data + at, n));
        bool named = power_file(SLOT_FILE) != NULL;
        if (kind == SLOT_EVERY && named && slot.accounting.syncs > syncs) power_note(LEAST, slot.base);
        if (step == 6 || step == 15) {
            CHECK_OK(shardio_slot_checkpoint(&slot));
            slot_promises(&slot, kind, true);
        }
        if (kind == SLOT_SYNC && step % 5 == 4 && step > 6) {
            CHECK_OK(shardio_slot_sync(&slot));
            slot_promises(&slot, kind, true);
        }
        if (kind != SLOT_SUSPEND || step % 4 != 3) continue;
        CHECK_OK(shardio_slot_suspend(&slot));
        CHECK(slot_is_synced());                           /* nobody is told any more of an error of writing back */
    }
    uint64_t size = shardio_slot_size(&slot);
    CHECK_OK(shardio_slot_finish(&slot));
    CHECK(slot.accounting.overlap == (overlap && HAS_QUEUE));
    if (kind != SLOT_NONE) power_note(LEAST, size);
}

/* What was promised is there; the next writer goes on behind it. */
static void slot_check(int kind, const uint64_t *notes)
{
    shardio_slot_options o = slot_options(kind);
    shardio_slot slot;
    uint8_t back[SLOT_BYTES];
    volume_node *n = power_file(SLOT_FILE);
    power_saw(n == NULL ? POWER_NOTHING : n->size == notes[LEAST] ? POWER_NEWEST : POWER_OLDER);
    if (n == NULL) {
        CHECK_U64(notes[LEAST], 0);
        return;
    }
    CHECK(n->size >= notes[LEAST]);
    CHECK_BYTES(n->data, slot_data, n->size < notes[LEAST] ? n->size : (size_t)notes[LEAST]);
    size_t from = (size_t)notes[LEAST];
    if (from == 0) return;
    memcpy(back, slot_data, from);
    o.start = from;
    o.make_parents = false;
    CHECK_OK(shardio_slot_create(&slot, SLOT_FILE, &o));
    CHECK_OK(shardio_slot_append(&slot, "and so on", 9));
    CHECK_OK(shardio_slot_finish(&slot));
    n = power_file(SLOT_FILE);
    if (!CHECK(n != NULL) || !CHECK(n->size == from + 9)) return;
    CHECK_BYTES(n->data, back, from);
    CHECK_BYTES(n->data + from, "and so on", 9);
}

/* ---- shards ------------------------------------------------------------------------------------------------------ */

#define SHARD_FILE VOLUME "/s.shard"
enum { SHARD_CHUNKS = 6, SHARD_STATES = 48, SHARD_LARGEST = 1400 };

/* What the shard holds in a state: the how manieth writing of each chunk, 0: missing. And the file as it was then. */
typedef struct shard_state {
    int chunk[SHARD_CHUNKS];
    bool shown;                      /* an index of this state was, or may have been, written */
    uint8_t *image;
    size_t image_size;
} shard_state;

static struct {
    shard_state states[SHARD_STATES];
    int now;
    shardio_index_layout layout;
    shardio_slot_options options;
} shard;

enum shard_kind { SHARD_START = 1, SHARD_NONE = 2, SHARD_EVERY = 4, SHARD_UPDATE = 8, SHARD_UNBUFFERED = 16, SHARD_OVERLAP = 32 };

static size_t shard_chunk_size(int chunk, int n)
{
    return 8 + (size_t)((chunk * 467 + n * 331) % (SHARD_LARGEST - 8));
}

static void shard_setup(int kind)
{
    for (int i = 0; i < SHARD_STATES; i++) free(shard.states[i].image);
    memset(&shard, 0, sizeof shard);
    shard.layout.chunks = SHARD_CHUNKS;
    shard.layout.at_start = (kind & SHARD_START) != 0;
    shard.options.buffer_size = 1024;
    if (kind & SHARD_OVERLAP) overlap_options(&shard.options);
    shard.options.direct = kind & SHARD_UNBUFFERED ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    shard.options.durability = kind & SHARD_NONE ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    shard.options.sync_every = kind & SHARD_EVERY ? 2500 : 0;
}

/* From here on the state of now may be found. */
static void shard_may_show(void)
{
    shard.states[shard.now].shown = true;
    power_note(MOST, (uint64_t)shard.now);
}

/* And now nothing older. */
static void shard_must_show(int kind)
{
    shard_state *s = &shard.states[shard.now];
    if (s->image == NULL) s->image = power_image(SHARD_FILE, &s->image_size);
    if ((kind & SHARD_NONE) == 0) power_note(LEAST, (uint64_t)shard.now);
}

static void shard_next_state(void)
{
    shard_state *before = &shard.states[shard.now++];
    if (shard.now == SHARD_STATES) abort();
    memcpy(shard.states[shard.now].chunk, before->chunk, sizeof before->chunk);
}

/* With a checkpoint every so many bytes this may be one. */
static void shard_put(shardio_shard_writer *w, int kind, int chunk)
{
    uint8_t data[SHARD_LARGEST];
    shard_next_state();
    int n = shard.now;
    size_t size = shard_chunk_size(chunk, n);
    uint64_t synced = w->synced;
    shard.states[n].chunk[chunk] = n;
    if (kind & SHARD_EVERY) shard_may_show();
    power_bytes(data, size, (uint64_t)chunk, (uint64_t)n);
    CHECK_OK(shardio_shard_put(w, (uint64_t)chunk, data, size));
    if (w->synced != synced) shard_must_show(kind);
}

static void shard_checkpoint(shardio_shard_writer *w, int kind)
{
    shard_may_show();
    CHECK_OK(shardio_shard_checkpoint(w));
    shard_must_show(kind);
}

static void shard_finish(shardio_shard_writer *w, int kind)
{
    shardio_error error;
    shard_may_show();
    CHECK_OK(shardio_shard_finish(w, &error));
    shard_must_show(kind);
}

static void shard_update_run(int kind)
{
    shardio_shard_writer w;
    shardio_error error;
    uint64_t saved = 0;
    CHECK_OK(shardio_shard_create(&w, SHARD_FILE, &shard.layout, &shard.options));
    for (int chunk = 0; chunk < SHARD_CHUNKS - 1; chunk++) shard_put(&w, 0, chunk);
    shard_finish(&w, kind & ~SHARD_NONE);
    power_start();
    CHECK_OK(shardio_shard_update(&w, SHARD_FILE, &shard.layout, SHARDIO_UPDATE_APPEND, &shard.options));
    shard_put(&w, kind, 2);
    shard_put(&w, kind, 5);
    shard_checkpoint(&w, kind);
    shard_put(&w, kind, 0);
    shard_finish(&w, kind);
    CHECK_OK(shardio_shard_update(&w, SHARD_FILE, &shard.layout, SHARDIO_UPDATE_APPEND, &shard.options));
    shard_put(&w, kind, 4);
    CHECK_OK(shardio_shard_drop(&w, 1));
    shard.states[shard.now].chunk[1] = 0;
    shard_finish(&w, kind);
    CHECK_OK(shardio_shard_update(&w, SHARD_FILE, &shard.layout, SHARDIO_UPDATE_REWRITE, &shard.options));
    shard_put(&w, 0, 3);
    shard_finish(&w, kind);
    CHECK_OK(shardio_shard_update(&w, SHARD_FILE, &shard.layout, SHARDIO_UPDATE_APPEND, &shard.options));
    shard_put(&w, kind, 3);
    shard_finish(&w, kind);
    CHECK_OK(shardio_shard_update(&w, SHARD_FILE, &shard.layout, SHARDIO_UPDATE_APPEND, &shard.options));
    shard_put(&w, kind, 0);
    shardio_shard_abort(&w);         /* as if it had not been */
    shard.now--;
    shard_next_state();
    memcpy(shard.states[shard.now].chunk, shard.states[shard.now - 1].chunk, sizeof shard.states[0].chunk);
    shard_may_show();
    CHECK_OK(shardio_shard_compact(SHARD_FILE, &shard.layout, &shard.options, &saved, &error));
    shard_must_show(kind);
    CHECK(saved > 0);
}

static void shard_run(int kind)
{
    shardio_shard_writer w;
    shard_setup(kind);
    if (kind & SHARD_UPDATE) {
        shard_update_run(kind);
        return;
    }
    power_start();
    CHECK_OK(shardio_shard_create(&w, SHARD_FILE, &shard.layout, &shard.options));
    for (int i = 0; i < 14; i++) {
        shard_put(&w, kind, i * 5 % SHARD_CHUNKS);
        if ((kind & SHARD_EVERY) == 0 && (i == 2 || i == 5 || i == 6 || i == 10)) shard_checkpoint(&w, kind);
        if ((kind & SHARD_NONE) == 0 || i != 6) continue;
        CHECK_OK(shardio_slot_sync(&w.slot));          /* explicit: the contents; the name is the caller's business */
        power_sync_directory(VOLUME);
        power_note(LEAST, (uint64_t)shard.now);
    }
    shard_finish(&w, kind);
}

/* Which writing of the chunk these bytes are; 0: none. */
static int shard_writing_of(int chunk, const uint8_t *data, size_t size)
{
    uint8_t want[SHARD_LARGEST];
    for (int n = 1; n < SHARD_STATES; n++) {
        if (shard_chunk_size(chunk, n) != size) continue;
        power_bytes(want, size, (uint64_t)chunk, (uint64_t)n);
        if (memcmp(want, data, size) == 0) return n;
    }
    return 0;
}

/* What it holds; -1: bytes that nobody wrote. */
static bool shard_read_all(int *chunks)
{
    shardio_shard_reader r;
    shardio_error error;
    uint8_t data[2 * SHARD_LARGEST];
    if (shardio_shard_open(&r, SHARD_FILE, &shard.layout, NULL, &error) != SHARDIO_OK) return false;
    for (int i = 0; i < SHARD_CHUNKS; i++) {
        uint64_t size = 0;
        shardio_status s = shardio_shard_read(&r, (uint64_t)i, data, sizeof data, &size, &error);
        chunks[i] = size == SHARDIO_MISSING ? 0 : -1;
        if (s == SHARDIO_OK && size != SHARDIO_MISSING && shard_writing_of(i, data, (size_t)size) > 0)
            chunks[i] = shard_writing_of(i, data, (size_t)size);
    }
    shardio_shard_summary summary;
    (void)shardio_shard_verify(&r, &summary, NULL, NULL, &error);
    shardio_shard_close(&r);
    return true;
}

/* Which state that may be there these chunks are; -1: none. */
static int shard_state_of(const int *chunks, const uint64_t *notes)
{
    for (int v = (int)notes[MOST]; v >= (int)notes[LEAST]; v--)
        if (shard.states[v].shown && memcmp(shard.states[v].chunk, chunks, sizeof shard.states[v].chunk) == 0) return v;
    return -1;
}

/* The newest state whose file is there from its first byte to its last. */
static int shard_newest_whole(uint64_t most)
{
    for (int v = (int)most; v > 0; v--)
        if (power_begins_with(SHARD_FILE, shard.states[v].image, shard.states[v].image_size)) return v;
    return 0;
}

static shardio_status chunk_is_ours(void *context, const shardio_file *file, uint64_t chunk, uint64_t offset,
                                    uint64_t length, shardio_error *error)
{
    uint8_t data[SHARD_LARGEST];
    (void)context;
    if (length > sizeof data) return SHARDIO_ERR_CORRUPT;
    if (shardio_file_read(file, offset, data, (size_t)length, error) != SHARDIO_OK) return error->status;
    return shard_writing_of((int)chunk, data, (size_t)length) > 0 ? SHARDIO_OK : SHARDIO_ERR_CORRUPT;
}

static shardio_status shard_recover(bool with_check, bool apply, shardio_recovery *found)
{
    shardio_error error;
    shardio_file file;
    if (!with_check) return shardio_shard_recover(SHARD_FILE, &shard.layout, apply, NULL, found, &error);
    CHECK_OK(shardio_file_open(&file, SHARD_FILE, SHARDIO_OPEN_UPDATE, NULL, &error));
    shardio_status s = shardio_shard_recover_file(&file, &shard.layout, apply, chunk_is_ours, NULL, NULL, found,
                                                  &error);
    shardio_file_close(&file);
    return s;
}

/* Without durability an index may be there before its chunks; but those of the last sync that nobody wrote again are
   there. */
static void shard_check_kept(const int *chunks, const uint64_t *notes)
{
    for (int i = 0; i < SHARD_CHUNKS && notes[LEAST] > 0; i++) {
        bool kept = chunks[i] == shard.states[notes[LEAST]].chunk[i];
        for (uint64_t v = notes[LEAST]; v <= notes[MOST]; v++)
            kept = kept || shard.states[v].chunk[i] != shard.states[notes[LEAST]].chunk[i];
        CHECK(kept);
    }
}

/* The next writer goes on. */
static void shard_go_on(const int *chunks)
{
    shardio_shard_writer w;
    shardio_error error;
    uint8_t data[SHARD_LARGEST];
    int now[SHARD_CHUNKS], again = SHARD_STATES - 1;
    size_t size = shard_chunk_size(3, again);
    power_bytes(data, size, 3, (uint64_t)again);
    CHECK_OK(shardio_shard_update(&w, SHARD_FILE, &shard.layout, SHARDIO_UPDATE_APPEND, &shard.options));
    CHECK_OK(shardio_shard_put(&w, 3, data, size));
    CHECK_OK(shardio_shard_finish(&w, &error));
    if (!CHECK(shard_read_all(now))) return;
    for (int i = 0; i < SHARD_CHUNKS; i++) CHECK(now[i] == (i == 3 ? again : chunks[i]));
}

static void look_at_temporary(const char *path)
{
    shardio_recovery found;
    shardio_error error;
    (void)shardio_shard_recover(path, &shard.layout, false, NULL, &found, &error);
}

static void shard_check(int kind, const uint64_t *notes)
{
    int chunks[SHARD_CHUNKS], v = -1, whole;
    shardio_recovery found;
    bool loose = notes[LEAST] < notes[MOST] && (kind & SHARD_NONE) != 0;
    each_temporary(look_at_temporary);
    if (power_file(SHARD_FILE) == NULL) {
        power_saw(POWER_NOTHING);
        CHECK_U64(notes[LEAST], 0);
        return;
    }
    whole = shard_newest_whole(notes[MOST]);
    bool open = shard_read_all(chunks);
    if (open) v = shard_state_of(chunks, notes);
    if (open && !loose) CHECK(v >= 0);
    shardio_status s = shard_recover(loose, false, &found);
    CHECK(!found.changed);
    CHECK_STATUS(shard_recover(loose, true, &found), s);
    if (loose && s == SHARDIO_ERR_CORRUPT) return;     /* a complete index of chunks that are not there */
    if (s != SHARDIO_OK) {
        power_saw(POWER_NOTHING);
        CHECK_STATUS(s, SHARDIO_ERR_NOT_FOUND);
        CHECK_U64(notes[LEAST], 0);
        CHECK(whole == 0);
        return;
    }
    if (!found.intact) power_saw(POWER_RECOVERED);
    if (!CHECK(shard_read_all(chunks))) return;
    v = shard_state_of(chunks, notes);
    if (loose && v < 0) shard_check_kept(chunks, notes);
    else CHECK(v >= 0 && v >= whole);
    power_saw(v == (int)notes[MOST] ? POWER_NEWEST : POWER_OLDER);
    shard_go_on(chunks);
}

/* ---- packfiles --------------------------------------------------------------------------------------------------- */

#define PACK_FILE VOLUME "/p.pack"
enum { PACK_ITEMS = 150, PACK_LARGEST = 60 };

enum pack_kind { PACK_NONE = 1, PACK_UNBUFFERED = 2 };

static size_t pack_item_size(uint64_t item, uint64_t version)
{
    return (size_t)(test_mix(item * 7 + version) % PACK_LARGEST);
}

/* Writes the n-th version of the pack. */
static void pack_write_version(int kind, uint64_t version)
{
    shardio_pack_writer w;
    shardio_pack_options o;
    shardio_slot_options how;
    shardio_error error;
    uint8_t item[PACK_LARGEST];
    memset(&o, 0, sizeof o);
    memset(&how, 0, sizeof how);
    o.items_per_record = 16;
    o.content_hash = true;
    how.buffer_size = 512;
    how.overwrite = true;
    how.direct = kind & PACK_UNBUFFERED ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    how.durability = kind & PACK_NONE ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    CHECK_OK(shardio_pack_create(&w, PACK_FILE, &o, &how));
    for (uint64_t i = 0; i < PACK_ITEMS; i++) {
        power_bytes(item, PACK_LARGEST, i, version);
        CHECK_OK(shardio_pack_append(&w, item, pack_item_size(i, version)));
    }
    power_note(MOST, version);
    CHECK_OK(shardio_pack_finish(&w, "app", 3, &error));
    if ((kind & PACK_NONE) == 0) power_note(LEAST, version);
}

static void pack_run(int kind)
{
    power_start();
    for (uint64_t version = 1; version <= 3; version++) pack_write_version(kind, version);
}

static bool pack_is_version(shardio_pack_reader *r, uint64_t version)
{
    uint8_t want[PACK_LARGEST];
    bool same = r->facts.items == PACK_ITEMS;
    for (uint64_t i = 0; i < PACK_ITEMS && same; i++) {
        const uint8_t *data;
        size_t size = 0;
        shardio_error error;
        same = shardio_pack_item(r, NULL, i, &data, &size, &error) == SHARDIO_OK && size == pack_item_size(i, version);
        power_bytes(want, PACK_LARGEST, i, version);
        same = same && (size == 0 || memcmp(data, want, size) == 0);
    }
    return same;
}

/* The version that is there and whole; 0: none. */
static uint64_t pack_version(uint64_t most)
{
    shardio_pack_reader r;
    shardio_pack_summary summary;
    shardio_error error;
    uint64_t version = most;
    if (shardio_pack_open(&r, PACK_FILE, NULL, &error) != SHARDIO_OK) return 0;
    while (version > 0 && !pack_is_version(&r, version)) version--;
    shardio_status verified = shardio_pack_verify(&r, NULL, &summary, NULL, NULL, NULL, NULL, &error);
    CHECK((verified == SHARDIO_OK) == (version > 0));
    shardio_pack_close(&r);
    return version;
}

static void pack_check(int kind, const uint64_t *notes)
{
    uint64_t version = pack_version(notes[MOST]);
    bool there = power_file(PACK_FILE) != NULL;
    power_saw(!there ? POWER_NOTHING : version == notes[MOST] ? POWER_NEWEST : POWER_OLDER);
    CHECK(version >= notes[LEAST]);
    if ((kind & PACK_NONE) == 0) CHECK(there == (version > 0));   /* half of one has no name */
    pack_write_version(kind, 9);
    CHECK_U64(pack_version(9), 9);
}

/* ---- mirrors ----------------------------------------------------------------------------------------------------- */

#define MIRROR_FILE VOLUME "/m/object"
enum { MIRROR_CHUNKS = 48, MIRROR_CHUNK = 512, MIRROR_BYTES = MIRROR_CHUNKS * MIRROR_CHUNK - 100 };

enum mirror_kind { MIRROR_EVICTS, MIRROR_RANDOM, MIRROR_FAILED_SYNC };

static remote mirror_object;
static uint64_t mirror_got;          /* chunks that are promised to be there, a bit each */

static shardio_mirror *mirror_open(uint64_t version)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    o.start_over = o.make_parents = true;
    remote_make(&mirror_object, version, MIRROR_BYTES);
    shardio_source source = remote_source(&mirror_object, false);
    return shardio_mirror_open(&source, MIRROR_FILE, &o, &error);
}

/* The chunks of the mirror that are there. */
static uint64_t mirror_has(shardio_mirror *m)
{
    uint64_t bits = 0;
    for (uint64_t c = 0; c < MIRROR_CHUNKS; c++)
        if (shardio_mirror_has(m, c * MIRROR_CHUNK, MIRROR_CHUNK)) bits |= UINT64_C(1) << c;
    return bits;
}

static void mirror_promise(uint64_t bits)
{
    mirror_got = bits;
    power_note(GOT, bits);
}

static void mirror_save(shardio_mirror *m)
{
    shardio_error error;
    shardio_status status = shardio_mirror_save(m, &error);
    if (status == SHARDIO_OK) mirror_promise(mirror_has(m));
}

/* What is evicted is not promised from the moment on that it begins. */
static void mirror_evict(shardio_mirror *m, uint64_t first, uint64_t count)
{
    shardio_error error;
    uint64_t bits = ((UINT64_C(1) << count) - 1) << first;
    mirror_promise(mirror_got & ~bits);
    (void)shardio_mirror_evict(m, first * MIRROR_CHUNK, count * MIRROR_CHUNK, &error);
}

static void mirror_read(shardio_mirror *m, uint64_t first, uint64_t count)
{
    shardio_error error;
    size_t size = (size_t)count * MIRROR_CHUNK;
    (void)read_and_compare(__FILE__, __LINE__, m, &mirror_object, first * MIRROR_CHUNK, size, &error);
}

static void mirror_session(shardio_mirror *m, uint64_t seed, int steps)
{
    shardio_error error;
    for (int i = 0; m != NULL && i < steps; i++) {
        uint64_t what = test_random(&seed) % 8, first = test_random(&seed) % 40, count = 1 + test_random(&seed) % 7;
        if (what < 4) mirror_read(m, first, count);
        else if (what < 6) mirror_save(m);
        else mirror_evict(m, first, count);
    }
    if (m == NULL) return;
    uint64_t bits = mirror_has(m);
    if (shardio_mirror_close(m, &error) == SHARDIO_OK) mirror_promise(bits);
}

static void mirror_evicts_run(void)
{
    shardio_mirror *m = mirror_open(1);
    shardio_error error;
    if (!CHECK(m != NULL)) return;
    mirror_read(m, 3, 6);
    mirror_save(m);
    mirror_read(m, 10, 4);
    mirror_read(m, 20, 5);
    mirror_evict(m, 4, 3);
    mirror_read(m, 2, 4);
    mirror_save(m);
    mirror_evict(m, 0, 30);
    mirror_read(m, 8, 5);
    mirror_promise(0);
    CHECK_OK(shardio_mirror_evict_to(m, 2 * MIRROR_CHUNK, &error));
    mirror_read(m, 30, 4);
    uint64_t bits = mirror_has(m);
    CHECK_OK(shardio_mirror_close(m, &error));
    mirror_promise(bits);
}

static void mirror_run(int kind)
{
    power_start();
    mirror_promise(0);
    power_note(OBJECT, 1);
    if (kind == MIRROR_EVICTS) mirror_evicts_run();
    for (uint64_t seed = 1; kind == MIRROR_RANDOM && seed < 4; seed++) mirror_session(mirror_open(1), seed * 100, 14);
    for (int n = 1; kind == MIRROR_FAILED_SYNC && n < 9; n++) {
        shardio_mirror *m = mirror_open(1);
        power_fail_sync(n);
        mirror_session(m, (uint64_t)n * 77, 9);
        power_fail_sync(0);
        if (m == NULL) mirror_promise(0);
    }
    mirror_promise(0);                                     /* the object becomes another one */
    power_note(OBJECT, 2);
    mirror_session(mirror_open(2), 5, 12);
}

/* What it says it has is right, and nothing promised is fetched again. */
static void mirror_check(int kind, const uint64_t *notes)
{
    shardio_error error;
    uint64_t from = 0, offset, size;
    (void)kind;
    power_saw(power_file(MIRROR_FILE) == NULL ? POWER_NOTHING : POWER_OLDER);
    shardio_mirror *m = mirror_open(notes[OBJECT]);
    if (!CHECK(m != NULL)) return;
    CHECK_U64(notes[GOT] & ~mirror_has(m), 0);
    CHECK(!shardio_mirror_about(m).map_was_damaged);
    for (; shardio_mirror_next_extent(m, from, &offset, &size); from = offset + size)
        CHECK_READ(m, &mirror_object, offset, (size_t)size);
    CHECK_U64(mirror_object.requests, 0);
    CHECK_READ(m, &mirror_object, 0, MIRROR_BYTES);
    CHECK_OK(shardio_mirror_close(m, &error));
    m = mirror_open(notes[OBJECT]);
    if (!CHECK(m != NULL)) return;
    CHECK_READ(m, &mirror_object, 0, MIRROR_BYTES);
    CHECK_U64(mirror_object.requests, 0);
    CHECK_OK(shardio_mirror_close(m, &error));
}

static const power_flow flows[] = {
    {"slot, finish", slot_run, slot_check, SLOT_FINISH},
    {"slot, explicit sync", slot_run, slot_check, SLOT_SYNC},
    {"slot, sync every 3000 bytes", slot_run, slot_check, SLOT_EVERY},
    {"slot, unbuffered", slot_run, slot_check, SLOT_UNBUFFERED},
    {"slot, closed and continued", slot_run, slot_check, SLOT_SUSPEND},
    {"slot, none", slot_run, slot_check, SLOT_NONE},
    {"slot, overlap", slot_run, slot_check, SLOT_OVERLAP},
    {"slot, overlap, unbuffered", slot_run, slot_check, SLOT_OVERLAP | SLOT_UNBUFFERED},
    {"slot, overlap, sync every 3000 bytes", slot_run, slot_check, SLOT_OVERLAP | SLOT_EVERY},
    {"slot, overlap, closed and continued", slot_run, slot_check, SLOT_OVERLAP | SLOT_SUSPEND},
    {"shard, index at the end", shard_run, shard_check, 0},
    {"shard, index at the start", shard_run, shard_check, SHARD_START},
    {"shard, unbuffered", shard_run, shard_check, SHARD_UNBUFFERED},
    {"shard, unbuffered, index at the start", shard_run, shard_check, SHARD_UNBUFFERED | SHARD_START},
    {"shard, every 2500 bytes", shard_run, shard_check, SHARD_EVERY},
    {"shard, every 2500 bytes, index at the start", shard_run, shard_check, SHARD_EVERY | SHARD_START},
    {"shard, none and explicit sync", shard_run, shard_check, SHARD_NONE},
    {"shard, none, index at the start", shard_run, shard_check, SHARD_NONE | SHARD_START},
    {"shard, overlap", shard_run, shard_check, SHARD_OVERLAP},
    {"shard, overlap, unbuffered", shard_run, shard_check, SHARD_OVERLAP | SHARD_UNBUFFERED},
    {"shard, overlap, index at the start", shard_run, shard_check, SHARD_OVERLAP | SHARD_START},
    {"shard, overlap, every 2500 bytes", shard_run, shard_check, SHARD_OVERLAP | SHARD_EVERY},
    {"shard update, overlap", shard_run, shard_check, SHARD_UPDATE | SHARD_OVERLAP},
    {"shard update, index at the end", shard_run, shard_check, SHARD_UPDATE},
    {"shard update, index at the start", shard_run, shard_check, SHARD_UPDATE | SHARD_START},
    {"pack", pack_run, pack_check, 0},
    {"pack, unbuffered", pack_run, pack_check, PACK_UNBUFFERED},
    {"pack, none", pack_run, pack_check, PACK_NONE},
    {"mirror, eviction", mirror_run, mirror_check, MIRROR_EVICTS},
    {"mirror, at random", mirror_run, mirror_check, MIRROR_RANDOM},
    {"mirror, syncs that fail", mirror_run, mirror_check, MIRROR_FAILED_SYNC},
};

static void run_flows(const char *begin)
{
    power_tests(flows, sizeof flows / sizeof flows[0], begin);
}

TEST(slot) { run_flows("slot"); }
TEST(shard_stream) { run_flows("shard,"); }
TEST(shard_update) { run_flows("shard update"); }

TEST(pack) { run_flows("pack"); }
TEST(mirror) { run_flows("mirror"); }
TEST(enough_states) { power_end(); }

TEST_MAIN(TEST_CASE(slot) TEST_CASE(shard_stream) TEST_CASE(shard_update) TEST_CASE(pack) TEST_CASE(mirror)
          TEST_CASE(enough_states))
