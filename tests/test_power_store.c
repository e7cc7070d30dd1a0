/* The power goes while archives are written: commits, deletions, compaction, rollback; and arrays in directories and in
   archives. See power.h for what is tried. */
#include "volume.h"
#include "arrays.h"
#include "power.h"

/* Notes: the state that is promised at least, and the newest one that may be there. */
enum { LEAST, MOST };

/* ---- archives ---------------------------------------------------------------------------------------------------- */

#define ARCHIVE VOLUME "/a.zip"
enum { KEYS = 6, STATES = 40, LAYERS = 16, LARGEST = 1300 };

enum archive_kind { ARCHIVE_NONE = 1, ARCHIVE_UNBUFFERED = 2, ARCHIVE_FAILED_SYNC = 4, ARCHIVE_CHANGES = 8 };

/* Which writing of each key there is, 0: none; and in each layer below. */
typedef struct archive_state {
    int keys[KEYS];
    int layers;
    int below[LAYERS][KEYS];
    bool shown;
    uint8_t *image;
    size_t image_size;
} archive_state;

static archive_state archive_states[STATES];
static int archive_now, archive_kind_now;

static const char *archive_key(int key)
{
    static const char *const names[KEYS] = {"a", "b/c", "b/d", "zarr.json", "e/zarr.json", "f"};
    return names[key];
}

static size_t archive_size(int key, int n)
{
    return (size_t)((key * 389 + n * 251) % LARGEST);
}

static shardio_archive_options archive_options(bool write)
{
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = write;
    o.buffer_size = 1024;
    o.direct = archive_kind_now & ARCHIVE_UNBUFFERED ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    o.durability = archive_kind_now & ARCHIVE_NONE ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    return o;
}

static void archive_setup(int kind)
{
    for (int i = 0; i < STATES; i++) free(archive_states[i].image);
    memset(archive_states, 0, sizeof archive_states);
    archive_now = 0;
    archive_kind_now = kind;
}

/* The state of now: as the one before, until something is changed. */
static archive_state *archive_next(void)
{
    archive_state *before = &archive_states[archive_now++], *s = &archive_states[archive_now];
    if (archive_now == STATES) abort();
    memcpy(s->keys, before->keys, sizeof s->keys);
    memcpy(s->below, before->below, sizeof s->below);
    s->layers = before->layers;
    return s;
}

static void archive_may_show(void)
{
    archive_states[archive_now].shown = true;
    power_note(MOST, (uint64_t)archive_now);
}

static void archive_must_show(bool whole)
{
    archive_state *s = &archive_states[archive_now];
    if (whole) s->image = power_image(ARCHIVE, &s->image_size);
    if ((archive_kind_now & ARCHIVE_NONE) == 0) power_note(LEAST, (uint64_t)archive_now);
}

static void archive_put(shardio_archive *a, int key)
{
    shardio_store store = shardio_archive_store(a);
    uint8_t data[LARGEST];
    int n = archive_now;
    size_t size = archive_size(key, n);
    archive_states[n].keys[key] = n;
    power_bytes(data, size, (uint64_t)key, (uint64_t)n);
    CHECK_OK(store_put(&store, archive_key(key), data, size));
}

static void archive_remove(shardio_archive *a, int key)
{
    shardio_store store = shardio_archive_store(a);
    archive_states[archive_now].keys[key] = 0;
    CHECK_OK(store_remove(&store, archive_key(key)));
}

static void archive_add_layer(archive_state *s)
{
    memcpy(s->below[s->layers++], s->keys, sizeof s->keys);
}

static void archive_commit(shardio_archive *a)
{
    shardio_error error;
    archive_add_layer(&archive_states[archive_now]);
    archive_may_show();
    CHECK_OK(shardio_archive_commit(a, &error));
    archive_must_show(true);
}

/* A commit of which the n-th sync fails. What then is the newest layer, that one or the one before, the writer says:
   the next commit adds to it, and repeats what is not promised yet. */
static void archive_fail_commit(shardio_archive *a, int n)
{
    shardio_error error;
    archive_add_layer(&archive_states[archive_now]);
    archive_may_show();
    power_fail_sync(n);
    shardio_status status = shardio_archive_commit(a, &error);
    power_fail_sync(0);
    if (status == SHARDIO_OK) archive_must_show(true);
    if (status == SHARDIO_OK) return;
    archive_state *s = archive_next();
    if (shardio_archive_about(a).layer == (uint64_t)s->layers) {
        archive_commit(a);
        return;
    }
    if (shardio_archive_commit(a, &error) == SHARDIO_OK) { /* as if nothing had been: refused, or it counts */
        archive_may_show();
        archive_must_show(true);
        return;
    }
    CHECK_OK(shardio_archive_discard(a, &error));
    memcpy(s->keys, archive_states[archive_now - 2].keys, sizeof s->keys);
    s->layers--;
    CHECK_U64(shardio_archive_about(a).layer, s->layers);
    archive_may_show();
}

static void archive_fail_run(void)
{
    shardio_archive_options o = archive_options(true);
    shardio_error error;
    power_start();
    for (int round = 0; round < 2; round++) {
        shardio_archive *a = shardio_archive_open(ARCHIVE, &o, &error);
        if (!CHECK(a != NULL)) return;
        for (int n = 1; n < 5; n++) {
            (void)archive_next();
            archive_put(a, (2 * n + round) % KEYS);
            archive_put(a, (3 * n + 1) % KEYS);
            archive_fail_commit(a, n);
        }
        (void)archive_next();
        archive_put(a, 5);
        archive_commit(a);
        shardio_archive_close(a);
    }
}

static void archive_changes_run(void)
{
    shardio_archive_options o = archive_options(true);
    shardio_error error;
    shardio_archive *a = shardio_archive_open(ARCHIVE, &o, &error);
    if (!CHECK(a != NULL)) return;
    for (int layer = 0; layer < 3; layer++) {
        (void)archive_next();
        archive_put(a, layer);
        archive_put(a, layer + 2);
        archive_commit(a);
    }
    CHECK_OK(shardio_archive_finish(a, &error));
    power_sync_directory(VOLUME);
    power_note(LEAST, (uint64_t)archive_now);
    power_start();
    a = shardio_archive_open(ARCHIVE, &o, &error);
    if (!CHECK(a != NULL)) return;
    (void)archive_next();
    archive_put(a, 5);
    archive_remove(a, 0);
    archive_commit(a);
    archive_state *s = archive_next();                     /* back by two layers */
    s->layers -= 2;
    memcpy(s->keys, s->below[s->layers - 1], sizeof s->keys);
    archive_may_show();
    CHECK_OK(shardio_archive_rollback(a, (uint64_t)s->layers, &error));
    archive_must_show(false);
    (void)archive_next();
    archive_put(a, 1);
    archive_remove(a, 2);
    archive_commit(a);
    CHECK_OK(shardio_archive_finish(a, &error));
    s = archive_next();
    memset(s->below, 0, sizeof s->below);
    s->layers = 0;
    archive_add_layer(s);
    archive_may_show();
    CHECK_OK(shardio_archive_compact(ARCHIVE, &o, NULL, NULL, &error));
    archive_must_show(true);
    a = shardio_archive_open(ARCHIVE, &o, &error);
    if (!CHECK(a != NULL)) return;
    (void)archive_next();
    archive_put(a, 0);
    archive_commit(a);
    shardio_archive_close(a);
}

static void archive_run(int kind)
{
    shardio_archive_options o;
    shardio_error error;
    archive_setup(kind);
    if (kind & ARCHIVE_CHANGES) { archive_changes_run(); return; }
    if (kind & ARCHIVE_FAILED_SYNC) { archive_fail_run(); return; }
    o = archive_options(true);
    power_start();
    shardio_archive *a = shardio_archive_open(ARCHIVE, &o, &error);
    if (!CHECK(a != NULL)) return;
    for (int layer = 0; layer < 7; layer++) {
        (void)archive_next();
        for (int i = 0; i < 3; i++) archive_put(a, (layer * 2 + i) % KEYS);
        if (layer > 2) archive_remove(a, (layer + 3) % KEYS == 0 ? 1 : (layer * 2) % KEYS);
        if (layer == 3) {                                  /* begun and forgotten */
            CHECK_OK(shardio_archive_discard(a, &error));
            archive_now--;
            (void)archive_next();
            archive_put(a, 0);
        }
        archive_commit(a);
        if (layer != 4) continue;
        CHECK_OK(shardio_archive_finish(a, &error));
        a = shardio_archive_open(ARCHIVE, &o, &error);
        if (!CHECK(a != NULL)) return;
    }
    (void)archive_next();
    archive_put(a, 4);
    shardio_archive_close(a);                              /* and this is not committed */
}

/* Which writing these bytes of a key are; -1: nobody's. */
static int archive_writing_of(int key, const uint8_t *data, size_t size)
{
    uint8_t want[LARGEST];
    for (int n = 1; n < STATES; n++) {
        if (archive_size(key, n) != size) continue;
        power_bytes(want, size, (uint64_t)key, (uint64_t)n);
        if (size == 0 || memcmp(want, data, size) == 0) return n;
    }
    return -1;
}

static bool archive_has(const shardio_archive *a, const int *keys)
{
    shardio_store store = shardio_archive_store((shardio_archive *)(uintptr_t)a);
    for (int key = 0; key < KEYS; key++) {
        size_t size = 0;
        uint8_t *data = store_get(&store, archive_key(key), &size);
        int n = data == NULL ? 0 : archive_writing_of(key, data, size);
        free(data);
        if (n != keys[key] && !(n > 0 && keys[key] > 0 && size == 0 && archive_size(key, keys[key]) == 0)) return false;
    }
    return true;
}

static bool archive_layer_is(const archive_state *s, int layer)
{
    shardio_archive_options o = archive_options(false);
    shardio_error error;
    o.layer = (uint64_t)layer + 1;
    shardio_archive *a = shardio_archive_open(ARCHIVE, &o, &error);
    bool same = a != NULL && archive_has(a, s->below[layer]) &&
                shardio_archive_verify(a, NULL, NULL, NULL, NULL, &error) == SHARDIO_OK;
    shardio_archive_close(a);
    return same;
}

/* The state that the open archive is; -1: none that may be there. */
static int archive_state_of(const shardio_archive *a, const uint64_t *notes)
{
    shardio_archive_facts facts = shardio_archive_about(a);
    for (int v = (int)notes[MOST]; v >= (int)notes[LEAST] && v > 0; v--) {
        const archive_state *s = &archive_states[v];
        if (s->shown && (uint64_t)s->layers == facts.layer && archive_has(a, s->keys)) return v;
    }
    return -1;
}

static int archive_newest_whole(uint64_t most)
{
    for (int v = (int)most; v > 0; v--)
        if (power_begins_with(ARCHIVE, archive_states[v].image, archive_states[v].image_size)) return v;
    return 0;
}

/* The next writer goes on. */
static void archive_go_on(const int *keys)
{
    shardio_archive_options o = archive_options(true);
    shardio_error error;
    int now[KEYS];
    memcpy(now, keys, sizeof now);
    shardio_archive *a = shardio_archive_open(ARCHIVE, &o, &error);
    if (!CHECK(a != NULL)) return;
    CHECK(archive_has(a, now));
    archive_now = STATES - 1;
    now[2] = archive_now;
    archive_put(a, 2);
    if (now[4] != 0) archive_remove(a, 4);
    now[4] = 0;
    CHECK_OK(shardio_archive_finish(a, &error));
    o.write = false;
    a = shardio_archive_open(ARCHIVE, &o, &error);
    if (!CHECK(a != NULL)) return;
    CHECK(archive_has(a, now));
    CHECK_OK(shardio_archive_verify(a, NULL, NULL, NULL, NULL, &error));
    CHECK_U64(shardio_archive_about(a).torn_bytes, 0);
    shardio_archive_close(a);
}

static void archive_check(int kind, const uint64_t *notes)
{
    shardio_archive_options o;
    shardio_error error;
    archive_kind_now = kind;
    o = archive_options(false);
    if (power_file(ARCHIVE) == NULL) {
        power_saw(POWER_NOTHING);
        CHECK_U64(notes[LEAST], 0);
        return;
    }
    bool loose = (kind & ARCHIVE_NONE) != 0 && notes[MOST] > notes[LEAST];
    int whole = archive_newest_whole(notes[MOST]);
    shardio_archive *a = shardio_archive_open(ARCHIVE, &o, &error);
    if (a == NULL && loose && whole == 0) {
        power_saw(POWER_NOTHING);
        return;
    }
    if (!CHECK(a != NULL)) return;
    int v = archive_state_of(a, notes);
    if (shardio_archive_about(a).torn_bytes > 0) power_saw(POWER_RECOVERED);
    shardio_status verified = shardio_archive_verify(a, NULL, NULL, NULL, NULL, &error);
    shardio_archive_close(a);
    if (loose && verified != SHARDIO_OK) return;           /* known to be damaged */
    CHECK_OK(verified);
    if (!CHECK(v > 0) || !CHECK(v >= whole)) return;
    power_saw(v == (int)notes[MOST] ? POWER_NEWEST : POWER_OLDER);
    for (int layer = 0; layer < archive_states[v].layers && !loose; layer++)
        CHECK(archive_layer_is(&archive_states[v], layer));
    archive_go_on(archive_states[v].keys);
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

#define ARRAY_DIRECTORY VOLUME "/z"
#define ARRAY_JSON ARRAY_DIRECTORY "/zarr.json"
enum { FRAMES = 24, HEIGHT = 4, WIDTH = 6, FRAME = HEIGHT * WIDTH, CHUNK_HEIGHT = 2, FILL = -1 };

enum array_kind {
    ARRAY_START = 1, ARRAY_NONE = 2, ARRAY_EVERY = 4, ARRAY_CHANGES = 8, ARRAY_ARCHIVE = 16, ARRAY_REWRITE = 32,
    ARRAY_NO_SHARDS = 64, ARRAY_OVERLAP = 128
};

/* Frames, and how often each was written over. */
typedef struct array_state {
    int rows;
    int version[FRAMES];
    bool shown;
} array_state;

static array_state array_states[STATES];
static int array_now, array_kind_now;
static shardio_archive *array_archive;

static uint16_t array_value(int frame, int at, int version)
{
    return version == FILL ? 0 : (uint16_t)(frame * 31 + at * 7 + version * 1009 + 1);
}

static void array_frames(uint16_t *to, int first, int count)
{
    for (int i = 0; i < count * FRAME; i++) {
        int frame = first + i / FRAME;
        to[i] = array_value(frame, i % FRAME, array_states[array_now].version[frame]);
    }
}

static shardio_array_options array_options(int kind)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 3;
    o.dtype = SHARDIO_UINT16;
    o.shape[1] = o.shard[1] = HEIGHT;
    o.shape[2] = o.shard[2] = o.chunk[2] = WIDTH;
    o.chunk[0] = 1;
    o.chunk[1] = CHUNK_HEIGHT;
    o.shard[0] = 4;
    if (kind & ARRAY_NO_SHARDS) memset(o.shard, 0, sizeof o.shard);
    o.codecs[0] = shardio_codec_crc32c();
    o.index_at_start = (kind & ARRAY_START) != 0;
    o.direct = SHARDIO_DIRECT_OFF;
    o.durability = kind & ARRAY_NONE ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    o.checkpoint_every = kind & ARRAY_EVERY ? 5 * FRAME * 2 : 0;
    o.buffer_size = kind & ARRAY_OVERLAP ? 1024 : 512;
    o.overlap = kind & ARRAY_OVERLAP ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
    o.in_flight = 2;
    rings.there = true;
    o.block_size = 512;
    o.memory = 1;
    o.update = kind & ARRAY_REWRITE ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
    o.dead_percent = 100;
    return o;
}

/* The store of the workflow; of an archive one that is open for writing. */
static shardio_store array_store(int kind)
{
    static shardio_archive_options o;
    shardio_store none;
    shardio_error error;
    memset(&none, 0, sizeof none);
    if ((kind & ARRAY_ARCHIVE) == 0) return shardio_store_directory(ARRAY_DIRECTORY);
    memset(&o, 0, sizeof o);
    o.write = true;
    o.buffer_size = 1024;
    o.direct = SHARDIO_DIRECT_OFF;
    array_archive = shardio_archive_open(ARCHIVE, &o, &error);
    return CHECK(array_archive != NULL) ? shardio_archive_store(array_archive) : none;
}

static void array_store_end(void)
{
    shardio_error error;
    if (array_archive != NULL) CHECK_OK(shardio_archive_finish(array_archive, &error));
    array_archive = NULL;
}

static array_state *array_next(void)
{
    array_state *before = &array_states[array_now++];
    if (array_now == STATES) abort();
    array_states[array_now] = *before;
    array_states[array_now].shown = false;
    return &array_states[array_now];
}

static void array_may_show(void)
{
    array_states[array_now].shown = true;
    power_note(MOST, (uint64_t)array_now);
}

static void array_must_show(void)
{
    shardio_error error;
    if (array_archive != NULL) CHECK_OK(shardio_archive_commit(array_archive, &error));
    if ((array_kind_now & ARRAY_NONE) == 0) power_note(LEAST, (uint64_t)array_now);
}

/* Frames that zarr.json tells of; -1: it is not there. */
static int array_rows_shown(void)
{
    const volume_node *n = power_file(ARRAY_JSON);
    const char *shape = n == NULL ? NULL : (const char *)memmem(n->data, n->size, "\"shape\":", 8);
    while (shape != NULL && (*shape < '0' || *shape > '9')) shape++;
    return shape != NULL ? atoi(shape) : -1;
}

static void array_append(shardio_array *a, int kind, int count)
{
    uint16_t frames[FRAMES * FRAME];
    int shown = array_rows_shown();
    array_state *s = array_next();
    array_frames(frames, s->rows, count);
    s->rows += count;
    if (kind & ARRAY_EVERY) array_may_show();
    CHECK_OK(shardio_array_append(a, frames, (uint64_t)count * FRAME));
    if ((kind & ARRAY_EVERY) && array_rows_shown() != shown) array_must_show();
}

static void array_append_run(int kind, const shardio_store *store)
{
    shardio_array_options o = array_options(kind);
    shardio_error error;
    shardio_array *a = shardio_array_create_in(store, &o);
    for (int i = 0; i < 9; i++) {
        array_append(a, kind, 1);
        if (kind & ARRAY_EVERY || (i != 2 && i != 3 && i != 6)) continue;
        array_may_show();
        CHECK_OK(shardio_array_checkpoint(a));
        array_must_show();
    }
    array_may_show();
    CHECK_OK(shardio_array_finish(a, &error));
    array_must_show();
    a = shardio_array_continue_in(store, &o);
    array_append(a, kind, 2);
    if ((kind & ARRAY_EVERY) == 0) {
        array_may_show();
        CHECK_OK(shardio_array_checkpoint(a));
        array_must_show();
    }
    array_append(a, kind, 1);
    array_may_show();
    CHECK_OK(shardio_array_finish(a, &error));
    array_must_show();
}

/* Writes over frames. */
static void array_write(shardio_array *a, int first, int count)
{
    uint16_t frames[FRAMES * FRAME];
    uint64_t start[3] = {(uint64_t)first, 0, 0}, extent[3] = {(uint64_t)count, HEIGHT, WIDTH};
    shardio_error error;
    array_state *s = array_next();
    for (int i = first; i < first + count; i++) s->version[i] = array_now;
    array_frames(frames, first, count);
    array_may_show();
    CHECK_OK(shardio_array_write(a, start, extent, frames, (size_t)count * FRAME * 2, &error));
    array_must_show();
}

static void array_resize(shardio_array *a, int rows)
{
    uint64_t shape[3] = {(uint64_t)rows, HEIGHT, WIDTH};
    shardio_error error;
    array_state *s = array_next();
    s->rows = rows;
    for (int i = rows; i < FRAMES; i++) s->version[i] = FILL;
    array_may_show();
    CHECK_OK(shardio_array_resize(a, shape, false, &error));
    array_must_show();
}

static void array_changes_run(int kind, const shardio_store *store)
{
    shardio_array_options o = array_options(kind);
    shardio_error error;
    shardio_array *a = shardio_array_create_in(store, &o);
    array_append(a, kind, 10);
    array_may_show();
    CHECK_OK(shardio_array_finish(a, &error));
    array_must_show();
    power_start();
    a = shardio_array_update_in(store, &o, &error);
    array_write(a, 2, 3);
    array_write(a, 8, 2);
    array_resize(a, 6);
    array_write(a, 0, 2);
    array_resize(a, 12);
    array_write(a, 9, 3);
    CHECK_OK(shardio_array_compact(a, NULL, NULL, &error));
    array_must_show();
    shardio_array_close(a);
}

static void array_run(int kind)
{
    memset(array_states, 0, sizeof array_states);
    array_now = 0;
    array_kind_now = kind;
    if ((kind & ARRAY_CHANGES) == 0) power_start();
    shardio_store store = array_store(kind);
    if (kind & ARRAY_CHANGES) array_changes_run(kind, &store);
    else array_append_run(kind, &store);
    array_store_end();
}

/* Whether a chunk is what some state of so many rows has, from `least` on or, without durability, any: nothing is removed
   before the array is known to be smaller. */
static bool array_chunk_is_known(int kind, const uint16_t *chunk, int rows, int frame, int at, const uint64_t *notes)
{
    for (int v = kind & ARRAY_NONE ? 0 : (int)notes[LEAST]; v <= (int)notes[MOST]; v++) {
        bool same = array_states[v].rows == rows;
        for (int i = 0; i < CHUNK_HEIGHT * WIDTH && same; i++)
            same = chunk[i] == array_value(frame, at + i, array_states[v].version[frame]);
        if (same) return true;
    }
    return false;
}

static bool array_chunk_is_fill(const uint16_t *chunk)
{
    for (int i = 0; i < CHUNK_HEIGHT * WIDTH; i++)
        if (chunk[i] != 0) return false;
    return true;
}

/* Compares what is read with what may be there. Without durability a chunk may be lost, or known to be damaged. */
static void array_compare(shardio_array *a, int kind, int rows, const uint64_t *notes)
{
    shardio_error error;
    for (int frame = 0; frame < rows; frame++) {
        for (int at = 0; at < FRAME; at += CHUNK_HEIGHT * WIDTH) {
            uint16_t chunk[CHUNK_HEIGHT * WIDTH];
            uint64_t start[3] = {(uint64_t)frame, (uint64_t)(at / WIDTH), 0}, extent[3] = {1, CHUNK_HEIGHT, WIDTH};
            shardio_status s = shardio_array_read(a, start, extent, chunk, sizeof chunk, &error);
            if (kind & ARRAY_NONE && (s != SHARDIO_OK || array_chunk_is_fill(chunk))) continue;
            CHECK_OK(s);
            CHECK(array_chunk_is_known(kind, chunk, rows, frame, at, notes));
        }
    }
}

static uint64_t array_rows(const shardio_array *a)
{
    shardio_array_facts facts;
    memset(&facts, 0, sizeof facts);
    CHECK_OK(shardio_array_describe(a, &facts));
    return facts.shape[0];
}

/* Whether a promised, or begun, state has so many frames. */
static bool array_may_have_rows(uint64_t rows, const uint64_t *notes)
{
    for (uint64_t v = notes[LEAST]; v <= notes[MOST]; v++)
        if (array_states[v].shown && (uint64_t)array_states[v].rows == rows) return true;
    return false;
}

/* The next writer goes on; what it wrote and what was there is read. */
static void array_go_on(int kind, const shardio_store *store, int rows, const uint64_t *notes)
{
    shardio_array_options o = array_options(kind);
    shardio_error error;
    uint16_t frames[3 * FRAME], back[3 * FRAME];
    uint64_t start[3] = {(uint64_t)rows, 0, 0}, extent[3] = {3, HEIGHT, WIDTH};
    for (int i = 0; i < 3 * FRAME; i++) frames[i] = (uint16_t)(i + 7);
    shardio_array *a = shardio_array_continue_in(store, &o);
    (void)shardio_array_append(a, frames, 3 * FRAME);      /* finish repeats its error */
    shardio_status s = shardio_array_finish(a, &error);
    if (kind & ARRAY_NONE && s != SHARDIO_OK) return;      /* the last shard was lost */
    CHECK_OK(s);
    a = shardio_array_open_in(store, NULL, &error);
    CHECK_U64(array_rows(a), rows + 3);
    CHECK_OK(shardio_array_read(a, start, extent, back, sizeof back, &error));
    CHECK_BYTES(back, frames, sizeof back);
    array_compare(a, kind, rows, notes);
    shardio_array_close(a);
}

/* Leftovers of a writer are told of, and nothing else is wrong. */
static void array_finding(void *context, const shardio_error *finding)
{
    bool expected = finding->reason != NULL && (strstr(finding->reason, "outside the shape") != NULL ||
                                                strstr(finding->reason, "left behind by a writer") != NULL);
    char text[300];
    if (*(int *)context & ARRAY_NONE) return;
    if (!CHECK(expected)) fprintf(stderr, "    %s\n", shardio_error_text(finding, text, sizeof text));
}

static void array_look(int kind, const shardio_store *store, const uint64_t *notes)
{
    shardio_array_options o = array_options(kind);
    shardio_error error;
    shardio_array *a = shardio_array_update_in(store, &o, &error);
    if (error.status != SHARDIO_OK) {
        power_saw(POWER_NOTHING);
        CHECK(error.status == SHARDIO_ERR_NOT_FOUND || (kind & ARRAY_NONE) != 0);
        CHECK_U64(notes[LEAST], 0);
        shardio_array_close(a);
        return;
    }
    int rows = (int)array_rows(a);
    shardio_status s = shardio_array_recover(a, true, NULL, NULL, &error);
    if (s != SHARDIO_OK && (kind & ARRAY_NONE)) {
        shardio_array_close(a);
        return;
    }
    CHECK_OK(s);
    CHECK(array_may_have_rows((uint64_t)rows, notes));
    power_saw(array_states[notes[MOST]].rows == rows ? POWER_NEWEST : POWER_OLDER);
    array_compare(a, kind, rows, notes);
    shardio_array_close(a);
    a = shardio_array_open_in(store, NULL, &error);
    (void)shardio_array_verify(a, array_finding, &kind, NULL, NULL, &error);
    shardio_array_close(a);
    array_go_on(kind, store, rows, notes);
}

static void array_check(int kind, const uint64_t *notes)
{
    shardio_store store = array_store(kind);
    array_look(kind, &store, notes);
    array_store_end();
}

/* ---- what is gone stays gone: fill values that are not stored, where a writer that was lost had put something ----- */

enum gone_kind { GONE_FAILED_SYNC = 1, GONE_NO_SHARDS = 2 };
enum { GONE_COLUMNS = 8, GONE_FRAMES = 2 };

static shardio_array_options gone_options(int kind)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 2;
    o.dtype = SHARDIO_UINT16;
    o.shape[1] = o.chunk[1] = GONE_COLUMNS;
    o.chunk[0] = 1;
    if (!(kind & GONE_NO_SHARDS)) o.shard[0] = GONE_FRAMES, o.shard[1] = GONE_COLUMNS;
    o.direct = SHARDIO_DIRECT_OFF;
    o.buffer_size = o.block_size = 512;
    o.memory = 1;
    return o;
}

/* Appends two frames of the fill value. */
static shardio_status gone_fill(const shardio_store *store, shardio_array_options o)
{
    shardio_error error;
    o.skip_fill = true;
    shardio_array *a = shardio_array_continue_in(store, &o);
    (void)shardio_array_append(a, NULL, GONE_FRAMES * GONE_COLUMNS);
    return shardio_array_finish(a, &error);
}

static void gone_run(int kind)
{
    static const uint16_t frames[GONE_FRAMES * GONE_COLUMNS] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
    shardio_store store = shardio_store_directory(VOLUME "/gone.zarr");
    shardio_array_options o = gone_options(kind);
    shardio_error error;
    shardio_array *a = shardio_array_create_in(&store, &o);
    CHECK_OK(shardio_array_append(a, frames, GONE_FRAMES * GONE_COLUMNS));
    CHECK_OK(shardio_array_finish(a, &error));
    if (kind & GONE_FAILED_SYNC) {                       /* something lies beyond the shape; what removes it fails */
        size_t size;
        uint8_t *data = store_get(&store, "c/0/0", &size);
        CHECK_OK(store_put(&store, kind & GONE_NO_SHARDS ? "c/2/0" : "c/1/0", data, size));
        free(data);
        power_start();
        power_fail_sync(1);
        CHECK(gone_fill(&store, o) != SHARDIO_OK);
        power_fail_sync(0);
    } else {                                             /* one that gives up removes what it has published */
        power_start();
        a = shardio_array_continue_in(&store, &o);
        CHECK_OK(shardio_array_append(a, frames, GONE_FRAMES * GONE_COLUMNS));
        shardio_array_abort(a);
    }
    CHECK_OK(gone_fill(&store, o));
    power_note(LEAST, 1);
}

static void gone_check(int kind, const uint64_t *notes)
{
    uint16_t back[GONE_FRAMES * GONE_COLUMNS] = {1};
    const uint64_t start[2] = {GONE_FRAMES, 0}, count[2] = {GONE_FRAMES, GONE_COLUMNS};
    shardio_store store = shardio_store_directory(VOLUME "/gone.zarr");
    shardio_error error;
    (void)kind;
    shardio_array *a = shardio_array_open_in(&store, NULL, &error);
    CHECK_OK(error.status);
    const bool grown = array_rows(a) == 2 * GONE_FRAMES;
    power_saw(grown ? POWER_NEWEST : POWER_OLDER);
    CHECK(grown || notes[LEAST] == 0);
    if (grown) CHECK_OK(shardio_array_read(a, start, count, back, sizeof back, &error));
    for (size_t i = 0; i < GONE_FRAMES * GONE_COLUMNS && grown && notes[LEAST] > 0; i++)
        if (!CHECK(back[i] == 0)) break;
    shardio_array_close(a);
}

static const power_flow flows[] = {
    {"array, fill values behind one that gave up", gone_run, gone_check, 0},
    {"array, fill values behind one whose sync failed", gone_run, gone_check, GONE_FAILED_SYNC},
    {"array, the same, no shards", gone_run, gone_check, GONE_FAILED_SYNC | GONE_NO_SHARDS},
    {"array, append", array_run, array_check, 0},
    {"array, append, index at the start", array_run, array_check, ARRAY_START},
    {"array, append, overlap", array_run, array_check, ARRAY_OVERLAP},
    {"array, append, overlap, checkpoint every 240 bytes", array_run, array_check, ARRAY_OVERLAP | ARRAY_EVERY},
    {"array, append, no shards", array_run, array_check, ARRAY_NO_SHARDS},
    {"array, append, checkpoint every 240 bytes", array_run, array_check, ARRAY_EVERY},
    {"array, append, none", array_run, array_check, ARRAY_NONE},
    {"array, append in an archive", array_run, array_check, ARRAY_ARCHIVE},
    {"array, update, resize, compact", array_run, array_check, ARRAY_CHANGES},
    {"array, update, resize, compact, index at the start", array_run, array_check, ARRAY_CHANGES | ARRAY_START},
    {"array, rewriting update, resize", array_run, array_check, ARRAY_CHANGES | ARRAY_REWRITE},
    {"array, update in an archive", array_run, array_check, ARRAY_CHANGES | ARRAY_ARCHIVE},
    {"archive: commit, delete", archive_run, archive_check, 0},
    {"archive: commit, delete, unbuffered", archive_run, archive_check, ARCHIVE_UNBUFFERED},
    {"archive: commit, delete, none", archive_run, archive_check, ARCHIVE_NONE},
    {"archive: rollback, compact", archive_run, archive_check, ARCHIVE_CHANGES},
    {"archive: rollback, compact, none", archive_run, archive_check, ARCHIVE_CHANGES | ARCHIVE_NONE},
    {"archive: syncs that fail", archive_run, archive_check, ARCHIVE_FAILED_SYNC},
};

static void run_flows(const char *begin)
{
    power_tests(flows, sizeof flows / sizeof flows[0], begin);
}

TEST(array) { run_flows("array"); }
TEST(archive) { run_flows("archive"); }
TEST(enough_states) { power_end(); }

TEST_MAIN(TEST_CASE(array) TEST_CASE(archive) TEST_CASE(enough_states))
