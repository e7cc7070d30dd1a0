/* Arrays, groups, stores and archives when a call to the system or to the allocator fails: see faults.h. */
#include "system.h"
#include "faults.h"
#include "mirrors.h"

enum { FRAME = 6 * 7, MOST_FRAMES = 8 };

/* Element i of an array, as it was written at first (0) or later (1); never the fill value. */
static uint16_t element(uint64_t i, unsigned generation)
{
    return (uint16_t)(1 + i * 3 + generation * 5003u);
}

static const uint16_t *elements(uint64_t from, uint64_t count, unsigned generation)
{
    static uint16_t some[MOST_FRAMES * FRAME];
    for (uint64_t i = 0; i < count; i++) some[i] = element(from + i, generation);
    return some;
}

/* ---- arrays -------------------------------------------------------------------------------------------------- */

/* The options that change the path of the calls. */
enum {
    WAY_PLAIN, WAY_AT_START, WAY_FEW_FILES, WAY_CHUNK_FILES, WAY_NOT_DURABLE, WAY_DIRECT, WAY_BELOW_GROUPS, WAY_CODEC,
    WAY_OVERLAP, ARRAY_WAYS
};

static shardio_array_options array_options(const work *w)
{
    static const uint64_t chunk[] = {1, 4, 4}, shard[] = {2, 8, 8};
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 3;
    o.dtype = SHARDIO_UINT16;
    for (int d = 0; d < 3; d++) {
        o.chunk[d] = chunk[d];
        if (w->way != WAY_CHUNK_FILES) o.shard[d] = shard[d];
    }
    o.shape[1] = 6;
    o.shape[2] = 7;
    o.index_at_start = w->way == WAY_AT_START;
    o.max_open_files = w->way == WAY_FEW_FILES ? 1 : 0;
    o.durability = w->way == WAY_NOT_DURABLE ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    o.direct = w->way == WAY_DIRECT ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    if (w->way == WAY_BELOW_GROUPS) o.path = "raw/movie";
    if (w->way == WAY_CODEC) o.codecs[0] = shardio_codec_crc32c();
    o.overlap = w->way == WAY_OVERLAP ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
    o.in_flight = 2;
    rings.there = true;
    o.buffer_size = w->way == WAY_OVERLAP ? 8192 : 4096;
    o.memory = 1;
    o.allocator = w->allocator;
    return o;
}

/* How an array that is there is opened. */
static shardio_array_options opening_options(const work *w)
{
    shardio_array_options o = array_options(w), how;
    memset(&how, 0, sizeof how);
    how.durability = o.durability;
    how.direct = o.direct;
    how.max_open_files = o.max_open_files;
    how.path = o.path;
    how.buffer_size = o.buffer_size;
    how.overlap = o.overlap;
    how.in_flight = o.in_flight;
    how.allocator = w->allocator;
    return how;
}

static bool did_append(work *w, shardio_array *a, uint64_t from, uint64_t count)
{
    shardio_status status = shardio_array_append(a, elements(from, count, 0), count);
    shardio_error error = shardio_array_error(a);
    return did(w, "append", status, &error);
}

static bool did_checkpoint(work *w, shardio_array *a)
{
    shardio_status status = shardio_array_checkpoint(a);
    shardio_error error = shardio_array_error(a);
    if (!did(w, "checkpoint", status, &error)) return false;
    stage(w);
    return true;
}

static void array_end(work *w, shardio_array *a)
{
    shardio_error error;
    shardio_status status = shardio_array_finish(a, &error);
    did(w, "finish", status, &error);
    CHECK(w->status == SHARDIO_OK || status == w->status);
}

static void array_steps(work *w, shardio_array *a, uint64_t frame)
{
    if (did_append(w, a, frame * FRAME, 3 * FRAME) && did_checkpoint(w, a)) did_append(w, a, (frame + 3) * FRAME, 2 * FRAME);
    array_end(w, a);
}

static void array_write_new(work *w)
{
    shardio_array_options o = array_options(w);
    array_steps(w, shardio_array_create(work_in(w, "movie.zarr"), &o), 0);
}

static void array_prepare(work *w)
{
    shardio_array_options o = array_options(w);
    shardio_array *a = shardio_array_create(work_in(w, "movie.zarr"), &o);
    did_append(w, a, 0, 3 * FRAME);
    array_end(w, a);
    CHECK_OK(w->status);
}

static void array_replace(work *w)
{
    shardio_array_options o = array_options(w);
    o.overwrite = true;
    array_steps(w, shardio_array_create(work_in(w, "movie.zarr"), &o), 0);
}

static void array_go_on(work *w)
{
    shardio_array_options o = opening_options(w);
    array_steps(w, shardio_array_continue(work_in(w, "movie.zarr"), &o), 3);
}

static void array_abandon(work *w)
{
    shardio_array_options o = array_options(w);
    shardio_array *a = shardio_array_create(work_in(w, "movie.zarr"), &o);
    if (did_append(w, a, 0, 3 * FRAME)) did_append(w, a, 3 * FRAME, 10);
    last_words(w);
    shardio_array_abort(a);
}

static shardio_array *array_opened(work *w, bool update, shardio_array_options o)
{
    shardio_error error;
    const char *path = work_in(w, "movie.zarr");
    shardio_array *a = update ? shardio_array_update(path, &o, &error) : shardio_array_open(path, &o, &error);
    did(w, update ? "update" : "open", error.status, &error);
    return a;
}

static void array_change(work *w)
{
    static const uint64_t start[] = {1, 1, 2}, count[] = {2, 4, 3};
    uint16_t some[2 * 4 * 3];
    shardio_error error;
    shardio_array_options o = opening_options(w);
    if (w->way == WAY_FEW_FILES) o.update = SHARDIO_UPDATE_REWRITE;
    shardio_array *a = array_opened(w, true, o);
    for (uint64_t i = 0; i < 24; i++)
        some[i] = element((start[0] + i / 12) * FRAME + (start[1] + i / 3 % 4) * 7 + start[2] + i % 3, 1);
    if (w->status == SHARDIO_OK) did(w, "write", shardio_array_write(a, start, count, some, sizeof some, &error), &error);
    shardio_array_close(a);
}

/* All that is read is the fill value (if `missing`), or what was written at first or later. */
static void check_elements(const uint16_t *data, uint64_t count, bool missing, bool changed)
{
    for (uint64_t i = 0; i < count; i++) {
        if (data[i] == element(i, 0) || (missing && data[i] == 0) || (changed && data[i] == element(i, 1))) continue;
        test_equal_u64(__FILE__, __LINE__, "element", data[i], element(i, 0));
        return;
    }
}

static void see_finding(void *context, const shardio_error *finding)
{
    did((work *)context, "verify", finding->status, finding);
}

static void array_read_with(work *w, shardio_array_options o)
{
    static uint16_t data[MOST_FRAMES * FRAME];
    uint64_t start[3] = {0, 0, 0}, count[3] = {3, 6, 7};
    shardio_error error;
    shardio_array *a = array_opened(w, false, o);
    for (int again = 0; again < 2 && w->status == SHARDIO_OK; again++)
        if (did(w, "read", shardio_array_read(a, start, count, data, sizeof data, &error), &error))
            check_elements(data, 3 * FRAME, w->absent, false);
    if (w->status == SHARDIO_OK) did(w, "verify", shardio_array_verify(a, see_finding, w, NULL, NULL, &error), &error);
    shardio_array_close(a);
}

static void array_read(work *w)
{
    shardio_array_options o = opening_options(w);
    o.in_flight = 1;
    array_read_with(w, o);
}

static void array_read_ahead(work *w)
{
    array_read_with(w, opening_options(w));
}

static void array_read_unbuffered(work *w)
{
    shardio_array_options o = opening_options(w);
    o.unbuffered = true;
    array_read_with(w, o);
}

static void array_read_cached(work *w)
{
    shardio_array_options o = opening_options(w);
    shardio_cache cache;
    shardio_cache_options how;
    memset(&how, 0, sizeof how);
    how.block_size = 512;
    how.allocator = w->allocator;
    shardio_cache_begin(&cache, &how);
    o.cache = &cache;
    array_read_with(w, o);
    shardio_cache_end(&cache);
}

static void array_resize(work *w)
{
    static const uint64_t shape[] = {2, 3, 7};
    shardio_error error;
    shardio_array *a = array_opened(w, true, opening_options(w));
    if (w->status == SHARDIO_OK) did(w, "resize", shardio_array_resize(a, shape, false, &error), &error);
    shardio_array_close(a);
}

/* With dead bytes: a part was written again. */
static void array_prepare_changed(work *w)
{
    array_prepare(w);
    array_change(w);
    CHECK_OK(w->status);
}

static void array_compact(work *w)
{
    shardio_error error;
    shardio_array *a = array_opened(w, true, opening_options(w));
    if (w->status == SHARDIO_OK) did(w, "compact", shardio_array_compact(a, NULL, NULL, &error), &error);
    shardio_array_close(a);
}

static void array_prepare_torn(work *w)
{
    array_prepare(w);
    FILE *out = fopen(work_in(w, "movie.zarr/c/0/0/0"), "ab");
    if (!CHECK(out != NULL)) return;
    CHECK_U64(fwrite(elements(0, 40, 0), 1, 80, out), 80);
    CHECK(fclose(out) == 0);
}

/* What failed at a shard is told here, with its number; what the call returns then sums up. */
static void see_recovered(void *context, const char *key, const shardio_recovery *found, shardio_status status,
                          const shardio_error *error)
{
    (void)key, (void)found;
    if (status != SHARDIO_OK) did((work *)context, "recover shard", status, error);
}

static void array_recover(work *w)
{
    shardio_error error;
    shardio_array *a = array_opened(w, true, opening_options(w));
    if (w->status == SHARDIO_OK) did(w, "recover", shardio_array_recover(a, true, see_recovered, w, &error), &error);
    shardio_array_close(a);
}

static void array_summarise(work *w)
{
    shardio_error error;
    shardio_statistics found;
    shardio_array_options o = opening_options(w);
    o.statistics = true;
    shardio_array *a = array_opened(w, true, o);
    if (w->status == SHARDIO_OK) did(w, "make_statistics", shardio_array_make_statistics(a, NULL, NULL, &error), &error);
    if (w->status == SHARDIO_OK && did(w, "statistics", shardio_array_statistics(a, &found, &error), &error))
        CHECK_U64(found.rows, 3 * FRAME);
    shardio_array_close(a);
}

/* What a failure left: no array, or one whose every element is as it was or as it was to become. */
static void array_survives(work *w)
{
    static uint16_t data[MOST_FRAMES * FRAME];
    work after = *w;
    shardio_error error;
    shardio_array_facts facts;
    uint64_t start[3] = {0, 0, 0};
    after.status = SHARDIO_OK;
    shardio_array_options o = opening_options(&after);
    shardio_array *a = array_opened(&after, true, o);
    if (after.status == SHARDIO_ERR_NOT_FOUND && tree_find(&w->stages[0], "movie.zarr/zarr.json") == NULL) {
        shardio_array_close(a);
        return;
    }
    if (CHECK(after.status == SHARDIO_OK)) {
        CHECK_OK(shardio_array_recover(a, true, NULL, NULL, &error));
        CHECK_OK(shardio_array_describe(a, &facts));
        CHECK(facts.shape[0] <= MOST_FRAMES);
        CHECK_OK(shardio_array_read(a, start, facts.shape, data, sizeof data, &error));
        if (facts.shape[1] == 6) check_elements(data, facts.shape[0] * FRAME, false, true);
    }
    shardio_array_close(a);
}

/* What is replaced is removed when the new array is created: there is no array, or one as above. */
static void array_replaced_survives(work *w)
{
    struct stat facts;
    if (stat(work_in(w, "movie.zarr/zarr.json"), &facts) == 0) array_survives(w);
}

/* ---- groups and attributes ----------------------------------------------------------------------------------- */

static shardio_node_options node_options(const work *w)
{
    shardio_node_options o;
    memset(&o, 0, sizeof o);
    o.durability = w->way == 1 ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    o.allocator = w->allocator;
    return o;
}

static void nodes_prepare(work *w)
{
    const char *path = work_in(w, "store");
    shardio_store store = shardio_store_directory(path);
    shardio_node_options o = node_options(w);
    shardio_array_options a;
    shardio_error error;
    CHECK_OK(shardio_group_create(&store, "", "{\"a\": 1}", &o, &error));
    memset(&a, 0, sizeof a);
    a.ndim = 1;
    a.dtype = SHARDIO_UINT16;
    a.shape[0] = 10;
    a.chunk[0] = 5;
    a.path = "raw/movie";
    shardio_array *array = shardio_array_create_in(&store, &a);
    CHECK_OK(shardio_array_append(array, elements(0, 10, 0), 10));
    CHECK_OK(shardio_array_finish(array, &error));
}

static shardio_status see_node(void *context, const char *path, const shardio_node *node, const shardio_error *wrong)
{
    (void)path;
    if (node == NULL) did((work *)context, "visit", wrong->status, wrong);
    return node == NULL ? wrong->status : SHARDIO_OK;
}

static void nodes_change(work *w)
{
    const char *path = work_in(w, "store");
    shardio_store store = shardio_store_directory(path);
    shardio_node_options o = node_options(w);
    shardio_error e;
    if (!did(w, "create", shardio_group_create(&store, "more/deep", "{}", &o, &e), &e)) return;
    stage(w);
    if (!did(w, "attribute", shardio_node_set_attribute(&store, "raw/movie", "unit", "\"mm\"", &o, &e), &e)) return;
    stage(w);
    if (!did(w, "attributes", shardio_node_set_attributes(&store, "", "{\"b\": [2]}", &o, &e), &e)) return;
    stage(w);
    if (!did(w, "consolidate", shardio_group_consolidate(&store, "", false, &o, &e), &e)) return;
    stage(w);
    did(w, "consolidate", shardio_group_consolidate(&store, "", true, &o, &e), &e);
}

static void nodes_rename(work *w)
{
    const char *path = work_in(w, "store");
    shardio_store store = shardio_store_directory(path);
    shardio_node_options o = node_options(w);
    shardio_error e;
    did(w, "rename", shardio_node_rename(&store, "raw/movie", "moved/film", &o, &e), &e);
}

static void nodes_remove(work *w)
{
    const char *path = work_in(w, "store");
    shardio_store store = shardio_store_directory(path);
    shardio_node_options o = node_options(w);
    shardio_error e;
    did(w, "remove", shardio_node_remove(&store, "raw", &o, &e), &e);
}

static void nodes_walk(work *w)
{
    const char *path = work_in(w, "store");
    shardio_store store = shardio_store_directory(path);
    shardio_node_options o = node_options(w);
    shardio_error e;
    did(w, "walk", shardio_hierarchy_walk(&store, "", false, see_node, w, &o, &e), &e);
}

/* ---- archives ------------------------------------------------------------------------------------------------ */

static shardio_archive_options archive_options(const work *w)
{
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = true;
    o.durability = w->way == 1 ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    o.direct = w->unbuffered ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    o.buffer_size = 8192;
    o.allocator = w->allocator;
    return o;
}

static shardio_archive *archive_opened(work *w, const char *name, const shardio_archive_options *o)
{
    shardio_error error;
    shardio_archive *a = shardio_archive_open(work_in(w, name), o, &error);
    did(w, "open", error.status, &error);
    CHECK((a == NULL) == (error.status != SHARDIO_OK));
    return a;
}

/* Frames of an array in the archive. */
static void archive_append(work *w, const shardio_store *store, uint64_t frame, uint64_t frames)
{
    shardio_array_options o = array_options(w), how;
    memset(&how, 0, sizeof how);
    how.allocator = w->allocator;
    how.path = o.path = "movie";
    how.buffer_size = 4096;
    shardio_array *a = frame == 0 ? shardio_array_create_in(store, &o) : shardio_array_continue_in(store, &how);
    did_append(w, a, frame * FRAME, frames * FRAME);
    array_end(w, a);
}

static void archive_done(work *w, shardio_archive *a)
{
    shardio_error error;
    if (a == NULL) return;
    if (w->status != SHARDIO_OK) shardio_archive_close(a);
    else did(w, "finish", shardio_archive_finish(a, &error), &error);
}

static bool did_commit(work *w, shardio_archive *a)
{
    shardio_error error;
    if (w->status != SHARDIO_OK || !did(w, "commit", shardio_archive_commit(a, &error), &error)) return false;
    stage(w);
    return true;
}

static void archive_write(work *w)
{
    shardio_archive_options o = archive_options(w);
    shardio_archive *a = archive_opened(w, "movie.zip", &o);
    if (a == NULL) return;
    shardio_store store = shardio_archive_store(a);
    archive_append(w, &store, 0, 3);
    if (did_commit(w, a)) archive_append(w, &store, 3, 2);
    archive_done(w, a);
}

/* Two layers. */
static void archive_prepare(work *w)
{
    archive_write(w);
    CHECK_OK(w->status);
}

static void archive_change(work *w)
{
    shardio_archive_options o = archive_options(w);
    shardio_error e;
    shardio_archive *a = archive_opened(w, "movie.zip", &o);
    if (a == NULL) return;
    shardio_store store = shardio_archive_store(a);
    shardio_node_options how = node_options(w);
    did(w, "attribute", shardio_node_set_attribute(&store, "movie", "unit", "\"mm\"", &how, &e), &e);
    if (did_commit(w, a)) did(w, "remove", shardio_node_remove(&store, "movie", &how, &e), &e);
    archive_done(w, a);
}

static void archive_roll_back(work *w)
{
    shardio_archive_options o = archive_options(w);
    shardio_error e;
    shardio_archive *a = archive_opened(w, "movie.zip", &o);
    if (a == NULL) return;
    did(w, "rollback", shardio_archive_rollback(a, 1, &e), &e);
    archive_done(w, a);
}

static void archive_compact(work *w)
{
    shardio_archive_options o = archive_options(w);
    shardio_error e;
    o.write = false;
    did(w, "compact", shardio_archive_compact(work_in(w, "movie.zip"), &o, NULL, NULL, &e), &e);
}

/* A writer was killed in a commit: the next one cuts off what it left. */
static void archive_prepare_torn(work *w)
{
    archive_prepare(w);
    FILE *out = fopen(work_in(w, "movie.zip"), "ab");
    if (!CHECK(out != NULL)) return;
    CHECK_U64(fwrite(elements(0, 200, 0), 1, 400, out), 400);
    CHECK(fclose(out) == 0);
}

static void archive_read(work *w)
{
    static uint16_t data[MOST_FRAMES * FRAME];
    uint64_t start[3] = {0, 0, 0}, count[3] = {5, 6, 7};
    shardio_archive_options o = archive_options(w);
    shardio_array_options how;
    shardio_error e;
    o.write = false;
    memset(&how, 0, sizeof how);
    how.path = "movie";
    how.allocator = w->allocator;
    how.in_flight = 1;
    shardio_archive *a = archive_opened(w, "movie.zip", &o);
    if (a == NULL) return;
    shardio_store store = shardio_archive_store(a);
    shardio_array *array = shardio_array_open_in(&store, &how, &e);
    if (did(w, "open array", e.status, &e) && did(w, "read", shardio_array_read(array, start, count, data, sizeof data, &e), &e))
        check_elements(data, 5 * FRAME, w->absent, false);
    shardio_array_close(array);
    did(w, "verify", shardio_archive_verify(a, see_finding, w, NULL, NULL, &e), &e);
    shardio_archive_close(a);
}

static void archive_life_unbuffered(work *w)
{
    w->unbuffered = true;
    archive_change(w);
    archive_compact(w);
    w->unbuffered = false;
}

/* From an archive to a directory, and from a directory to an archive. */
static void archive_convert(work *w)
{
    shardio_archive_options o = archive_options(w);
    shardio_error e;
    const char *path = work_in(w, "copy");
    shardio_store store = shardio_store_directory(path);
    if (!did(w, "load", shardio_store_load(&store, work_in(w, "movie.zip"), &o, &e), &e)) return;
    o.overwrite = true;
    did(w, "save", shardio_store_save(&store, work_in(w, "saved.zip"), &o, &e), &e);
}

/* A failed commit leaves the layers that there were; what is behind them is not seen, and cut off by the next writer. */
static void archive_survives(work *w)
{
    static uint16_t data[MOST_FRAMES * FRAME];
    uint64_t start[3] = {0, 0, 0};
    shardio_array_options how;
    shardio_array_facts facts;
    shardio_error e;
    memset(&how, 0, sizeof how);
    how.path = "movie";
    shardio_archive *a = shardio_archive_open(work_in(w, "movie.zip"), NULL, &e);
    if (!CHECK(a != NULL)) return;
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(shardio_archive_verify(a, NULL, NULL, NULL, NULL, &e));
    shardio_array *array = shardio_array_open_in(&store, &how, &e);
    if (e.status != SHARDIO_ERR_NOT_FOUND && CHECK(e.status == SHARDIO_OK)) {
        CHECK_OK(shardio_array_describe(array, &facts));
        CHECK_OK(shardio_array_read(array, start, facts.shape, data, sizeof data, &e));
        check_elements(data, facts.shape[0] * FRAME, false, false);
    }
    shardio_array_close(array);
    shardio_archive_close(a);
}

/* ---- a store of mirrors -------------------------------------------------------------------------------------- */

static remote keys[8];
static bool far_is_gone;

/* The keys of the array that `prepare` made lie far away. */
static shardio_status find_key(void *context, const char *key, shardio_source *from, shardio_error *error)
{
    const work *w = (const work *)context;
    char path[300];
    (void)error;
    snprintf(path, sizeof path, "movie.zarr/%.200s", key);
    const tree_file *f = far_is_gone ? NULL : tree_find(&w->stages[0], path);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].length != 0 && keys[i].closes == 0) continue;
        remote_make(&keys[i], 1, f != NULL ? f->size : 1);
        keys[i].bytes = f != NULL ? f->data : NULL;
        keys[i].absent = f == NULL;
        *from = remote_source(&keys[i], false);
        return SHARDIO_OK;
    }
    return SHARDIO_ERR_LIMIT;
}

static void mirrored_read(work *w)
{
    static uint16_t data[MOST_FRAMES * FRAME];
    const char *directory = work_in(w, "local");
    uint64_t start[3] = {0, 0, 0}, count[3] = {3, 6, 7};
    shardio_array_options o = opening_options(w);
    shardio_mirror_store mirrors;
    shardio_error e;
    memset(keys, 0, sizeof keys);
    memset(&mirrors, 0, sizeof mirrors);
    mirrors.find = find_key;
    mirrors.context = w;
    mirrors.directory = directory;
    mirrors.name = "far://movie";
    mirrors.options = plain_options();
    mirrors.options.check_later = true;
    mirrors.options.allocator = w->allocator;
    shardio_store store = shardio_store_mirrored(&mirrors);
    shardio_array *a = shardio_array_open_in(&store, &o, &e);
    if (e.status == SHARDIO_OK && shardio_array_read(a, start, count, data, sizeof data, &e) == SHARDIO_OK)
        check_elements(data, 3 * FRAME, w->absent, false);
    /* an array says which key it was, the store which file */
    did(w, "read", e.status, e.status != SHARDIO_OK && e.status == mirrors.last.status ? &mirrors.last : &e);
    shardio_array_close(a);
}

static void mirrored_survives(work *w)
{
    work after = *w;
    after.status = SHARDIO_OK;
    mirrored_read(&after);
    CHECK_OK(after.status);
}

/* All of it is here, and what is far away has gone. */
static void mirrored_prepare(work *w)
{
    array_prepare(w);
    tree_read(&w->stages[0], w->directory);
    mirrored_read(w);
    CHECK_OK(w->status);
}

static void mirrored_read_gone(work *w)
{
    far_is_gone = true;
    mirrored_read(w);
    far_is_gone = false;
}

/* What is here is not forgotten because it could not be looked at; only if the system says that it is not there. */
static void mirrored_gone_survives(work *w)
{
    work after = *w;
    if (w->absent) return;
    after.status = SHARDIO_OK;
    mirrored_read_gone(&after);
    CHECK_OK(after.status);
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

/* Statistics that cannot be read are made anew. A shard that is kept open and does not say that it is the same is opened
   again. Reads that are refused unbuffered, or through a cache, are made as usual. What could not be opened ahead is opened in
   its turn. What a store of mirrors cannot keep is fetched the next time. */
enum {
    OLD_STATISTICS = SYS_ONLY(CALL_OPEN) | SYS_ONLY(CALL_FSTAT) | SYS_ONLY(CALL_PREAD),
    KEPT = SYS_ONLY(CALL_FSTAT),
    REFUSED = SYS_ONLY(CALL_PREAD),
    AHEAD = SYS_ONLY(CALL_OPEN) | SYS_ONLY(CALL_PREAD),
    EVERYTHING = 0x7FFFFFFF
};

static const workflow flows[] = {
    /* name, ways, root, prepare, run, holds, mend, survives, anew, varies, without, silent */
    {"array", ARRAY_WAYS, "movie.zarr", NULL, array_write_new, NULL, NULL, array_survives, true, false, 0, 0},
    {"array, replaced", 2, "movie.zarr", array_prepare, array_replace, NULL, NULL, array_replaced_survives, true, false, 0, 0},
    {"array, continued", ARRAY_WAYS, "movie.zarr", array_prepare, array_go_on, NULL, NULL, array_survives, true, false, 0, 0},
    {"array, aborted", 2, "movie.zarr", NULL, array_abandon, NULL, NULL, NULL, true, false, 0, 0},
    {"array, changed", ARRAY_WAYS, "movie.zarr", array_prepare, array_change, NULL, NULL, array_survives, true, false, 0, 0},
    {"array, resized", 4, "movie.zarr", array_prepare, array_resize, NULL, NULL, array_survives, true, false, 0, 0},
    {"array, compacted", 2, "movie.zarr", array_prepare_changed, array_compact, NULL, NULL, array_survives, true, false, 0, 0},
    {"array, recovered", 2, "movie.zarr", array_prepare_torn, array_recover, NULL, NULL, array_survives, true, false, 0, 0},
    {"array, summarised", 1, "movie.zarr", array_prepare, array_summarise, NULL, NULL, array_survives, true, true, 0, OLD_STATISTICS},
    {"array, read", ARRAY_WAYS, "movie.zarr", array_prepare, array_read, NULL, NULL, NULL, true, false, 0, KEPT},
    {"array, read ahead", ARRAY_WAYS, "movie.zarr", array_prepare, array_read_ahead, NULL, NULL, NULL, true, false, 0, KEPT | AHEAD},
    {"array, read unbuffered", 1, "movie.zarr", array_prepare, array_read_unbuffered, NULL, NULL, NULL, true, false, 0,
     KEPT | REFUSED},
    {"array, read through a cache", 1, "movie.zarr", array_prepare, array_read_cached, NULL, NULL, NULL, true, true, 0, KEPT | REFUSED},
    {"nodes, changed", 2, "store", nodes_prepare, nodes_change, NULL, NULL, NULL, true, false, 0, 0},
    {"nodes, renamed", 2, "store", nodes_prepare, nodes_rename, NULL, NULL, NULL, true, false, 0, 0},
    {"nodes, removed", 2, "store", nodes_prepare, nodes_remove, NULL, NULL, NULL, true, false, 0, 0},
    {"nodes, walked", 1, "store", nodes_prepare, nodes_walk, NULL, NULL, NULL, true, false, 0, 0},
    {"archive", 2, "movie.zip", NULL, archive_write, NULL, NULL, archive_survives, true, false, 0, 0},
    {"archive, changed", 2, "movie.zip", archive_prepare, archive_change, NULL, NULL, archive_survives, true, false, 0, 0},
    {"archive, rolled back", 1, "movie.zip", archive_prepare, archive_roll_back, NULL, NULL, archive_survives, true, false, 0, 0},
    {"archive, compacted", 2, "movie.zip", archive_prepare, archive_compact, NULL, NULL, archive_survives, true, false, 0, 0},
    {"archive, recovered", 1, "movie.zip", archive_prepare_torn, archive_change, NULL, NULL, archive_survives, true, false, 0, 0},
    {"archive, read", 2, "movie.zip", archive_prepare, archive_read, NULL, NULL, NULL, true, false, 0, 0},
    {"archive, unbuffered", 1, "movie.zip", archive_prepare, archive_life_unbuffered, NULL, NULL, archive_survives, true, false, 0,
     REFUSED},
    {"archive, loaded and saved", 1, "movie.zip", archive_prepare, archive_convert, NULL, NULL, NULL, true, false, 0, 0},
    {"mirrored store", 1, "local", array_prepare, mirrored_read, NULL, NULL, mirrored_survives, true, true, 0, EVERYTHING},
    {"mirrored store, source gone", 1, "local", mirrored_prepare, mirrored_read_gone, NULL, NULL, mirrored_gone_survives, true, true, 0,
     EVERYTHING}
};

TEST(arrays) { run_workflows(flows, 0, 9); }
TEST(arrays_read) { run_workflows(flows, 9, 13); }
TEST(nodes) { run_workflows(flows, 13, 17); }
TEST(archives) { run_workflows(flows, 17, 25); }
TEST(mirrored_stores) { run_workflows(flows, 25, sizeof flows / sizeof flows[0]); }

TEST_MAIN(TEST_CASE(arrays) TEST_CASE(arrays_read) TEST_CASE(nodes) TEST_CASE(archives) TEST_CASE(mirrored_stores))
