/* Writes a bit of everything to a file system, for tests/filesystems:

       filesystems_full make DIRECTORY SOURCE     all of it, once
       filesystems_full look DIRECTORY SOURCE     reads what `make` left, and tries to write where that is not allowed
       filesystems_full full DIRECTORY SOURCE STEP [WHAT]
                                                  fills the disk first, so that 0 blocks are free, then STEP, and so on
                                                  until the work fits, for each work, unbuffered and not

   SOURCE is a file elsewhere, which mirrors are of; it is made if it is not there. `full` looks each time it did not
   fit whether the error says so, with operation and file; whether what was there before, or was promised since, reads
   as it did, nothing half-made is left, nothing leaks; and whether the same work succeeds once there is room. It prints
   one JSON object: for each work how many times the disk was full, and in which operation that was noticed. Exit status
   1: not as it has to be. */
#include "arrays.h"

#include "faulty.h"

#include <fcntl.h>
#include <sys/statvfs.h>

enum {
    KiB = 1024,
    CHUNKS = 16, CHUNK = 9001,                          /* of a shard */
    FRAME = 64 * 64, OLD_FRAMES = 8, FRAMES = 40,       /* of an array, before and afterwards */
    ITEMS = 600, MIRRORED = 150000
};

static struct {
    const char *directory, *source;
    shardio_direct direct;
    counter memory;
    uint64_t promised;               /* chunks or frames that a checkpoint that succeeded has made durable */
    uint8_t *data;                   /* seeded bytes, enough for all works */
} now;

static const char *path_of(const char *name)
{
    static char paths[4][1200];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", now.directory, name);
    return path;
}

/* Something that is done while the disk becomes full, once more when it is not, and looked at. */
typedef struct work work;
struct work {
    const char *name;                         /* also of its file or directory */
    void (*prepare)(const work *w);           /* null: nothing is there before */
    shardio_status (*run)(const work *w, shardio_error *error);
    void (*check)(const work *w, bool done);
    bool grows;                               /* what fails may leave files that were published on the way */
    bool at_start;                            /* of shards, from here on: where the index is */
    uint64_t checkpoints;                     /* one behind every so many chunks; 0: none */
    shardio_update how;                       /* 0: behind everything */
};

static shardio_slot_options slot_options(void)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.direct = now.direct;
    o.overwrite = true;
    o.buffer_size = 16 * KiB;
    o.direct_min = 8 * KiB;
    o.allocator = &now.memory.allocator;
    return o;
}

/* ---- shards ---------------------------------------------------------------------------------------------------- */

static shardio_index_layout layout_of(bool at_start)
{
    shardio_index_layout layout;
    memset(&layout, 0, sizeof layout);
    layout.chunks = CHUNKS;
    layout.at_start = at_start;
    return layout;
}

/* The bytes of a chunk, before and after it was changed. */
static const uint8_t *chunk_data(uint64_t chunk, bool changed)
{
    return now.data + (changed ? CHUNKS + chunk : chunk) * CHUNK;
}

/* Puts the chunks first .. end-1, with a checkpoint behind every `checkpoints`; 0: none. */
static shardio_status put_chunks(shardio_shard_writer *writer, uint64_t first, uint64_t end, bool changed,
                                 uint64_t checkpoints)
{
    shardio_status status = writer->slot.error.status;
    for (uint64_t i = first; i < end && status == SHARDIO_OK; i++) {
        status = shardio_shard_put(writer, i, chunk_data(i, changed), CHUNK);
        if (status == SHARDIO_OK && checkpoints > 0 && (i + 1) % checkpoints == 0) {
            status = shardio_shard_checkpoint(writer);
            if (status == SHARDIO_OK) now.promised = i + 1;
        }
    }
    return status;
}

static shardio_status make_shard(const work *w, uint64_t checkpoints, shardio_error *error)
{
    const shardio_slot_options o = slot_options();
    const shardio_index_layout layout = layout_of(w->at_start);
    shardio_shard_writer writer;
    (void)shardio_shard_create(&writer, path_of(w->name), &layout, &o);
    (void)put_chunks(&writer, 0, CHUNKS, false, checkpoints);
    return shardio_shard_finish(&writer, error);
}

/* Changes the even chunks. */
static shardio_status change_shard(const work *w, shardio_error *error)
{
    const shardio_slot_options o = slot_options();
    const shardio_index_layout layout = layout_of(w->at_start);
    shardio_shard_writer writer;
    (void)shardio_shard_update(&writer, path_of(w->name), &layout, w->how, &o);
    for (uint64_t i = 0; i < CHUNKS; i += 2) (void)put_chunks(&writer, i, i + 1, true, 0);
    return shardio_shard_finish(&writer, error);
}

/* Reads the shard: the first `least` chunks or more are there, whole, the even ones as changed. */
static void check_shard(const work *w, uint64_t least, bool changed)
{
    const shardio_index_layout layout = layout_of(w->at_start);
    static uint8_t data[CHUNK];
    shardio_shard_reader reader;
    shardio_shard_summary summary;
    shardio_error error;
    CHECK_OK(shardio_shard_open(&reader, path_of(w->name), &layout, NULL, &error));
    if (error.status != SHARDIO_OK) return;
    CHECK_OK(shardio_shard_verify(&reader, &summary, NULL, NULL, NULL));
    CHECK(summary.present >= least);
    for (uint64_t i = 0; i < summary.present; i++) {
        uint64_t size = 0;
        CHECK_OK(shardio_shard_read(&reader, i, data, sizeof data, &size, NULL));
        CHECK_U64(size, CHUNK);
        CHECK_BYTES(data, chunk_data(i, changed && i % 2 == 0), CHUNK);
    }
    shardio_shard_close(&reader);
}

static bool is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static shardio_status run_shard(const work *w, shardio_error *error)
{
    return make_shard(w, w->checkpoints, error);
}

static void check_new_shard(const work *w, bool done)
{
    if (done) check_shard(w, CHUNKS, false);
    else CHECK(!is_there(w->name));
}

/* What a checkpoint has published stays. */
static void check_stream(const work *w, bool done)
{
    if (done || now.promised > 0 || is_there(w->name))
        check_shard(w, done ? (uint64_t)CHUNKS : now.promised, false);
}

static void prepare_update(const work *w)
{
    CHECK_OK(make_shard(w, 0, NULL));
}

static shardio_status run_update(const work *w, shardio_error *error)
{
    return change_shard(w, error);
}

static void check_update(const work *w, bool done)
{
    check_shard(w, CHUNKS, done);
}

static void prepare_compact(const work *w)
{
    CHECK_OK(make_shard(w, 0, NULL));
    CHECK_OK(change_shard(w, NULL));
}

static shardio_status run_compact(const work *w, shardio_error *error)
{
    const shardio_slot_options o = slot_options();
    const shardio_index_layout layout = layout_of(w->at_start);
    return shardio_shard_compact(path_of(w->name), &layout, &o, NULL, error);
}

static void check_compact(const work *w, bool done)
{
    const shardio_index_layout layout = layout_of(w->at_start);
    struct stat s;
    check_shard(w, CHUNKS, true);
    memset(&s, 0, sizeof s);
    CHECK(stat(path_of(w->name), &s) == 0);
    if (done) CHECK_U64(s.st_size, CHUNKS * CHUNK + shardio_index_size(&layout));
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

static shardio_array_options array_options(const char *path)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.dtype = SHARDIO_UINT16;
    o.ndim = 3;
    o.shape[1] = o.shape[2] = o.shard[1] = o.shard[2] = 64;
    o.chunk[0] = 2;
    o.chunk[1] = o.chunk[2] = 32;
    o.shard[0] = 8;
    o.path = path;
    o.statistics = path == NULL;
    o.direct = now.direct;
    o.buffer_size = 16 * KiB;
    o.allocator = &now.memory.allocator;
    return o;
}

/* Appends the frames up to `end`, with a checkpoint behind every 8, and finishes. */
static shardio_status append_frames(shardio_array *array, uint64_t end, shardio_error *error)
{
    shardio_array_facts facts;
    uint64_t frame = shardio_array_describe(array, &facts) == SHARDIO_OK ? facts.shape[0] : end;
    for (shardio_status status = SHARDIO_OK; frame < end && status == SHARDIO_OK; frame++) {
        status = shardio_array_append(array, now.data + frame * FRAME * 2, FRAME);
        if (status == SHARDIO_OK && (frame + 1) % 8 == 0) {
            status = shardio_array_checkpoint(array);
            if (status == SHARDIO_OK) now.promised = frame + 1;
        }
    }
    return shardio_array_finish(array, error);
}

/* A shard that appeared before the zarr.json that tells of it could be written is overwritten by the next append. */
static void count_fault(void *context, const shardio_error *finding)
{
    if (finding->reason != NULL && strcmp(finding->reason, "outside the shape of the array") == 0) return;
    ++*(uint64_t *)context;
}

/* Reads `array`, closes it: at least so many frames are there, all as they were appended. */
static void check_frames(shardio_array *array, const shardio_error *opened, uint64_t least)
{
    static uint8_t data[FRAMES * FRAME * 2];
    const uint64_t start[3] = {0, 0, 0};
    uint64_t faults = 0;
    shardio_array_facts facts;
    CHECK_OK(opened->status);
    if (opened->status == SHARDIO_OK && CHECK(shardio_array_describe(array, &facts) == SHARDIO_OK)) {
        CHECK(facts.shape[0] >= least && facts.shape[0] <= FRAMES);
        CHECK_OK(shardio_array_read(array, start, facts.shape, data, sizeof data, NULL));
        CHECK_BYTES(data, now.data, facts.shape[0] * FRAME * 2);
        (void)shardio_array_verify(array, count_fault, &faults, NULL, NULL, NULL);
        CHECK_U64(faults, 0);
    }
    shardio_array_close(array);
}

static void prepare_array(const work *w)
{
    const shardio_array_options o = array_options(NULL);
    CHECK_OK(append_frames(shardio_array_create(path_of(w->name), &o), OLD_FRAMES, NULL));
}

static shardio_status run_array(const work *w, shardio_error *error)
{
    const shardio_array_options o = array_options(NULL);
    return append_frames(shardio_array_continue(path_of(w->name), &o), FRAMES, error);
}

static void check_array(const work *w, bool done)
{
    shardio_error error;
    shardio_array *array = shardio_array_open(path_of(w->name), NULL, &error);
    check_frames(array, &error, done ? (uint64_t)FRAMES : shardio_p_max(OLD_FRAMES, now.promised));
}

/* ---- archives ---------------------------------------------------------------------------------------------------- */

static shardio_archive_options archive_options(bool write)
{
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = write;
    o.direct = now.direct;
    o.alignment = 4096;              /* the same file whatever the file system's block is */
    o.buffer_size = 16 * KiB;
    o.allocator = &now.memory.allocator;
    return o;
}

/* A layer more, with a new array of so many frames. */
static shardio_status add_layer(const char *name, const char *path, uint64_t frames, shardio_error *error)
{
    const shardio_archive_options o = archive_options(true);
    shardio_archive *archive = shardio_archive_open(path_of(name), &o, error);
    if (archive == NULL) return error->status;
    shardio_store store = shardio_archive_store(archive);
    const shardio_array_options a = array_options(path);
    shardio_status status = append_frames(shardio_array_create_in(&store, &a), frames, error);
    if (status == SHARDIO_OK) return shardio_archive_finish(archive, error);
    shardio_archive_close(archive);
    return status;
}

static void check_archive_file(const char *name, uint64_t layers, bool second)
{
    shardio_error error;
    shardio_archive_options o = archive_options(false);
    o.direct = SHARDIO_DIRECT_AUTO;
    shardio_archive *archive = shardio_archive_open(path_of(name), &o, &error);
    if (!CHECK(archive != NULL)) return;
    shardio_store store = shardio_archive_store(archive);
    CHECK_U64(shardio_archive_about(archive).layer, layers);
    shardio_array_options a = array_options("first");
    check_frames(shardio_array_open_in(&store, &a, &error), &error, OLD_FRAMES);
    a.path = "second";
    shardio_array *array = shardio_array_open_in(&store, &a, &error);
    if (second) check_frames(array, &error, OLD_FRAMES);
    else {
        CHECK_STATUS(error.status, SHARDIO_ERR_NOT_FOUND);
        shardio_array_close(array);
    }
    CHECK_OK(shardio_archive_verify(archive, NULL, NULL, NULL, NULL, NULL));
    shardio_archive_close(archive);
}

static void prepare_archive(const work *w)
{
    shardio_error error;
    CHECK_OK(add_layer(w->name, "first", OLD_FRAMES, &error));
}

static shardio_status run_archive(const work *w, shardio_error *error)
{
    return add_layer(w->name, "second", 3 * OLD_FRAMES, error);
}

static void check_archive(const work *w, bool done)
{
    check_archive_file(w->name, done ? 2 : 1, done);
}

static shardio_status run_new_archive(const work *w, shardio_error *error)
{
    return add_layer(w->name, "first", OLD_FRAMES, error);
}

static void check_new_archive(const work *w, bool done)
{
    if (done) check_archive_file(w->name, 1, false);
    else CHECK(!is_there(w->name));
}

static void prepare_archive_compact(const work *w)
{
    shardio_error error;
    CHECK_OK(add_layer(w->name, "first", OLD_FRAMES, &error));
    CHECK_OK(add_layer(w->name, "second", 2 * OLD_FRAMES, &error));
}

static shardio_status run_archive_compact(const work *w, shardio_error *error)
{
    const shardio_archive_options o = archive_options(false);
    return shardio_archive_compact(path_of(w->name), &o, NULL, NULL, error);
}

static void check_archive_compact(const work *w, bool done)
{
    check_archive_file(w->name, done ? 1 : 2, true);
}

/* ---- packs and mirrors ------------------------------------------------------------------------------------------- */

static shardio_status run_pack(const work *w, shardio_error *error)
{
    const shardio_slot_options o = slot_options();
    shardio_pack_options options;
    shardio_pack_writer writer;
    memset(&options, 0, sizeof options);
    options.content_hash = true;
    (void)shardio_pack_create(&writer, path_of(w->name), &options, &o);
    for (size_t i = 0; i < ITEMS; i++) (void)shardio_pack_append(&writer, now.data + i * 100, 200 + i % 200);
    return shardio_pack_finish(&writer, "app", 3, error);
}

static void check_pack(const work *w, bool done)
{
    shardio_pack_reader reader;
    shardio_pack_summary summary;
    const uint8_t *item;
    size_t size = 0;
    if (!done) {
        CHECK(!is_there(w->name));
        return;
    }
    CHECK_OK(shardio_pack_open(&reader, path_of(w->name), NULL, NULL));
    CHECK_OK(shardio_pack_verify(&reader, NULL, &summary, NULL, NULL, NULL, NULL, NULL));
    CHECK(summary.hash_checked && summary.items == ITEMS);
    CHECK_OK(shardio_pack_item(&reader, NULL, ITEMS - 1, &item, &size, NULL));
    CHECK_U64(size, 200 + (ITEMS - 1) % 200);
    if (size > 0) CHECK_BYTES(item, now.data + (ITEMS - 1) * 100, size);
    shardio_pack_close(&reader);
}

static shardio_mirror *open_mirror(const char *name, bool read_only, shardio_error *error)
{
    shardio_mirror_options o;
    shardio_source source;
    memset(&o, 0, sizeof o);
    o.chunk = 4096;
    o.request = 16 * KiB;
    o.save_every = 32 * KiB;
    o.read_only = read_only;
    o.allocator = &now.memory.allocator;
    if (shardio_source_open(&source, now.source, o.allocator, error) != SHARDIO_OK) return NULL;
    return shardio_mirror_open(&source, path_of(name), &o, error);
}

/* Fetches everything, then gives back the room of what is before 64 KiB. */
static shardio_status run_mirror(const work *w, shardio_error *error)
{
    shardio_error closing;
    shardio_mirror *mirror = open_mirror(w->name, false, error);
    if (mirror == NULL) return error->status;
    shardio_status status = shardio_mirror_fill(mirror, NULL, NULL, error);
    if (status == SHARDIO_OK) status = shardio_mirror_evict(mirror, 0, 64 * KiB, error);
    (void)shardio_mirror_close(mirror, &closing);
    if (status == SHARDIO_OK) *error = closing;
    return error->status;
}

static void check_mirror(const work *w, bool done)
{
    static uint8_t data[MIRRORED];
    shardio_error error;
    size_t size = 0;
    shardio_mirror *mirror = open_mirror(w->name, true, &error);
    if (mirror == NULL && !done) {
        CHECK_STATUS(error.status, SHARDIO_ERR_NOT_FOUND);
        return;
    }
    if (!CHECK(mirror != NULL)) return;
    CHECK_OK(shardio_mirror_read(mirror, 0, data, sizeof data, &size, &error));
    CHECK_U64(size, MIRRORED);
    CHECK_BYTES(data, now.data, MIRRORED);
    if (done) CHECK(shardio_mirror_has(mirror, 64 * KiB, MIRRORED) && !shardio_mirror_has(mirror, 0, 64 * KiB));
    CHECK_OK(shardio_mirror_close(mirror, NULL));
}

/* ---- all works --------------------------------------------------------------------------------------------------- */

static const work works[] = {
    {.name = "shard", .run = run_shard, .check = check_new_shard},
    {.name = "head", .run = run_shard, .check = check_new_shard, .at_start = true},
    {.name = "stream", .run = run_shard, .check = check_stream, .grows = true, .checkpoints = 4},
    {.name = "head-stream", .run = run_shard, .check = check_stream, .grows = true, .checkpoints = 4, .at_start = true},
    {.name = "update", .prepare = prepare_update, .run = run_update, .check = check_update},
    {.name = "head-update", .prepare = prepare_update, .run = run_update, .check = check_update, .at_start = true},
    {.name = "rewrite", .prepare = prepare_update, .run = run_update, .check = check_update, .how = SHARDIO_UPDATE_REWRITE},
    {.name = "compact", .prepare = prepare_compact, .run = run_compact, .check = check_compact},
    {.name = "array", .prepare = prepare_array, .run = run_array, .check = check_array, .grows = true},
    {.name = "new.zip", .run = run_new_archive, .check = check_new_archive},
    {.name = "archive.zip", .prepare = prepare_archive, .run = run_archive, .check = check_archive},
    {.name = "compact.zip", .prepare = prepare_archive_compact, .run = run_archive_compact, .check = check_archive_compact},
    {.name = "pack", .run = run_pack, .check = check_pack},
    {.name = "mirror", .run = run_mirror, .check = check_mirror, .grows = true},
};

enum { WORKS = sizeof works / sizeof works[0] };

static int open_descriptors(void)
{
    return rig_count_names("/proc/self/fd", "");
}

/* Runs a work and looks whether it gives everything back. */
static shardio_status run_work(const work *w, shardio_error *error)
{
    const int before = open_descriptors();
    memset(error, 0, sizeof *error);
    counter_begin(&now.memory);
    const shardio_status status = w->run(w, error);
    CHECK_STATUS(error->status, status);
    CHECK_U64(now.memory.live, 0);
    CHECK_U64(open_descriptors(), before);
    return status;
}

static void check_error(const shardio_error *error, shardio_status status, int code)
{
    CHECK_STATUS(error->status, status);
    CHECK(error->system_code == code || (error->system_code == 0 && error->reason != NULL));
    CHECK(error->operation != NULL && error->operation[0] != 0);
    CHECK(error->subject[0] != 0);
    CHECK(strstr(error->subject, "shardio-tmp") == NULL);
}

static void prepare(const work *w)
{
    now.promised = 0;
    counter_begin(&now.memory);
    if (w->prepare != NULL) w->prepare(w);
    now.promised = 0;
}

static void make_works(void)
{
    for (size_t i = 0; i < WORKS; i++) {
        shardio_error error;
        prepare(&works[i]);
        CHECK_OK(run_work(&works[i], &error));
        works[i].check(&works[i], true);
    }
}

static void look_at_works(void)
{
    for (size_t i = 0; i < WORKS; i++) {
        shardio_error error;
        now.promised = 0;
        counter_begin(&now.memory);
        works[i].check(&works[i], true);
        if (run_work(&works[i], &error) == SHARDIO_OK) CHECK_TEXT(works[i].name, "compact");   /* nothing left to do */
        else check_error(&error, SHARDIO_ERR_PERMISSION, EROFS);
        works[i].check(&works[i], true);
    }
}

/* ---- a full disk ------------------------------------------------------------------------------------------------- */

static void remove_tree(const char *path)
{
    DIR *list = opendir(path);
    if (list == NULL) {
        (void)unlink(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char below[1400];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) < (int)sizeof below) remove_tree(below);
    }
    closedir(list);
    (void)rmdir(path);
}

/* Makes the ballast as large as it can be, then gives `wanted` blocks back. What the file system says is free does not
   count: some keep more back than they say, some less. */
static void fill_disk(int ballast, uint64_t wanted)
{
    struct statvfs s;
    uint64_t size = 0;
    (void)syncfs(ballast);           /* what was removed is free for good */
    memset(&s, 0, sizeof s);
    CHECK(fstatvfs(ballast, &s) == 0);
    for (uint64_t piece = s.f_bavail + 1024; piece > 0;) {
        if (fallocate(ballast, 0, (off_t)size, (off_t)(piece * s.f_frsize)) == 0) size += piece * s.f_frsize;
        else piece /= 2;
    }
    CHECK(ftruncate(ballast, (off_t)(size - shardio_p_min(size, wanted * s.f_frsize))) == 0);
    (void)syncfs(ballast);
}

static void empty_disk(int ballast)
{
    CHECK(ftruncate(ballast, 0) == 0);
    (void)syncfs(ballast);
}

/* How often the disk was full, and in which operations that was noticed. */
typedef struct tally {
    uint64_t rounds, full, blocks;
    struct {
        const char *name;
        uint64_t count;
    } operation[16];
} tally;

static void tally_operation(tally *t, const char *name)
{
    size_t i = 0;
    const size_t last = sizeof t->operation / sizeof t->operation[0] - 1;
    while (i < last && t->operation[i].name != NULL && strcmp(t->operation[i].name, name) != 0) i++;
    t->operation[i].name = name;
    t->operation[i].count++;
}

static const char *wish_name(void)
{
    return now.direct == SHARDIO_DIRECT_OFF ? "buffered" : "unbuffered";
}

/* One round: true if there was room. */
static bool try_work(const work *w, int ballast, uint64_t blocks, tally *t)
{
    shardio_error error;
    char text[400];
    const int failures = test_failures;
    remove_tree(path_of(""));
    CHECK(mkdir(path_of(""), 0777) == 0);
    prepare(w);
    fill_disk(ballast, blocks);
    const uint64_t names = entries_below(path_of(""));
    const bool fits = run_work(w, &error) == SHARDIO_OK;
    shardio_error_text(&error, text, sizeof text);
    if (!fits) {
        check_error(&error, SHARDIO_ERR_NO_SPACE, ENOSPC);
        tally_operation(t, error.operation != NULL ? error.operation : "");
        w->check(w, false);
        if (!w->grows) CHECK_U64(entries_below(path_of("")), names);
        empty_disk(ballast);
        CHECK_OK(run_work(w, &error));
    }
    w->check(w, true);
    empty_disk(ballast);
    if (test_failures != failures)
        fprintf(stderr, "    that was: %s, %s, %llu blocks free: %s\n", w->name, wish_name(),
                (unsigned long long)blocks, text);
    return fits;
}

static void print_tally(const char *name, const tally *t)
{
    printf("\"%s\": {\"rounds\": %llu, \"full\": %llu, \"blocks\": %llu, \"operations\": {", name,
           (unsigned long long)t->rounds, (unsigned long long)t->full, (unsigned long long)t->blocks);
    for (size_t i = 0; i < sizeof t->operation / sizeof t->operation[0] && t->operation[i].name != NULL; i++)
        printf("%s\"%s\": %llu", i > 0 ? ", " : "", t->operation[i].name, (unsigned long long)t->operation[i].count);
    printf("}}");
}

/* From no free block on until it fitted twice. */
static void fill_for(const work *w, int ballast, uint64_t step)
{
    tally t;
    memset(&t, 0, sizeof t);
    for (int fitted = 0; fitted < 2; t.blocks += step) {
        t.rounds++;
        if (try_work(w, ballast, t.blocks, &t)) fitted++;
        else t.full++;
    }
    CHECK(t.full > 0);
    print_tally(wish_name(), &t);
}

/* Works are done in a directory of their own, so that the ballast lies beside it. */
static void fill_for_all(uint64_t step, const char *what)
{
    const char *separator = "";
    const int ballast = open(path_of("ballast"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    static char inside[1200];
    if (!CHECK(ballast >= 0)) return;
    snprintf(inside, sizeof inside, "%s", path_of("works"));
    now.directory = inside;
    printf("{");
    for (size_t i = 0; i < WORKS; i++) {
        if (strcmp(what, works[i].name) != 0 && *what != 0) continue;
        printf("%s\"%s\": {", separator, works[i].name);
        now.direct = SHARDIO_DIRECT_AUTO;
        fill_for(&works[i], ballast, step);
        printf(", ");
        now.direct = SHARDIO_DIRECT_OFF;
        fill_for(&works[i], ballast, step);
        printf("}");
        separator = ", ";
    }
    printf("}\n");
    close(ballast);
    remove_tree(path_of(""));
}

static void make_source(void)
{
    if (access(now.source, F_OK) != 0) rig_put(now.source, now.data, MIRRORED);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "filesystems_full make|look|full DIRECTORY SOURCE [STEP [WHAT]]\n");
        return 2;
    }
    now.directory = argv[2];
    now.source = argv[3];
    now.data = (uint8_t *)malloc(512 * KiB);
    test_fill(now.data, 512 * KiB, 5);
    make_source();
    if (strcmp(argv[1], "make") == 0) make_works();
    else if (strcmp(argv[1], "look") == 0) look_at_works();
    else fill_for_all(argc > 4 ? strtoull(argv[4], NULL, 10) : 1, argc > 5 ? argv[5] : "");
    free(now.data);
    return test_failures > 0;
}
