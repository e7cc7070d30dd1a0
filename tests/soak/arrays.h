/* Arrays, four in directories and one in an archive. Include after soak.h. */
#ifndef SOAK_ARRAYS_H
#define SOAK_ARRAYS_H

enum { IN_ARCHIVE = 4, WITH_STATISTICS = 1, ARCHIVE_LIMIT = 6 << 20 };

/* Where an array lives. */
typedef struct location {
    shardio_archive *archive;
    shardio_store store;
    char path[260];
} location;

static uint64_t elements[ELEMENTS];
static shardio_cache *reader_cache;      /* of a reader; null: it has none */

static uint64_t element(uint32_t number, uint32_t at, uint32_t version)
{
    uint64_t hash = mix((uint64_t)number << 58 ^ (uint64_t)at << 32 ^ version);
    return version == 0 ? 0 : (uint64_t)version << 36 | hash >> 28;
}

/* The version that an element is; UINT32_MAX: it is none of this place. */
static uint32_t version_of_element(uint32_t number, uint32_t at, uint64_t value)
{
    uint32_t version = (uint32_t)(value >> 36);
    return element(number, at, version) == value ? version : UINT32_MAX;
}

static void grid_options(uint32_t number, shardio_array_options *o)
{
    static const uint64_t chunks[ARRAYS][3] = {{4, 10, 20}, {4, 20, 20}, {8, 20, 20}, {2, 8, 40}, {4, 10, 20}};
    static const uint64_t shards[ARRAYS][3] = {{16, 20, 40}, {8, 40, 40}, {0, 0, 0}, {16, 40, 40}, {16, 20, 40}};
    memset(o, 0, sizeof *o);
    o->ndim = 3;
    o->dtype = SHARDIO_UINT64;
    o->shape[0] = SHARDIO_UNLIMITED;
    o->shape[1] = ROWS;
    o->shape[2] = COLUMNS;
    memcpy(o->chunk, chunks[number], sizeof chunks[number]);
    memcpy(o->shard, shards[number], sizeof shards[number]);
    o->index_at_start = number == 1;
    o->statistics = number == WITH_STATISTICS;
    o->skip_fill = number == 2;
    o->update = number == 3 ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
    o->dead_percent = number == 0 ? 30 : 0;
    if (number == 1 || number == 3) o->codecs[0] = shardio_codec_crc32c();
    o->overwrite = true;
    o->max_open_files = one_in(2) ? 2 : 0;
    o->buffer_size = (size_t)65536 << below(4);
    o->direct = some_direct();
    o->overlap = some_overlap();
    o->in_flight = 2 + below(7);
    o->durability = some_durability();
}

static bool location_open(location *p, uint32_t number, bool write, shardio_error *error)
{
    memset(p, 0, sizeof *p);
    memset(error, 0, sizeof *error);
    path_of(p->path, "array", number);
    if (number != IN_ARCHIVE) {
        p->store = shardio_store_directory(p->path);
        return true;
    }
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = write;
    o.durability = some_durability();
    p->archive = shardio_archive_open(p->path, &o, error);
    if (p->archive == NULL) return false;
    p->store = shardio_archive_store(p->archive);
    return true;
}

/* What was done to an array in an archive counts from here. */
static void location_commit(location *p, shardio_error *error)
{
    if (p->archive != NULL && error->status == SHARDIO_OK) (void)shardio_archive_commit(p->archive, error);
}

static void location_close(location *p)
{
    shardio_archive_close(p->archive);
}

/* ---- what it holds ---- */

static uint32_t grid_extent(const grid *g)
{
    return g->extents[g->done % EXTENTS];
}

static bool in_box(const grid *g, uint32_t at)
{
    uint32_t p[3] = {at / FRAME, at % FRAME / COLUMNS, at % COLUMNS};
    for (int i = 0; i < 3; i++)
        if (p[i] < g->first[i] || p[i] >= g->first[i] + g->count[i]) return false;
    return true;
}

/* Begins a change: of the elements in the box, and of the extent. */
static void grid_begin(grid *g, const uint32_t *first, const uint32_t *count, uint32_t extent)
{
    memcpy(g->first, first, sizeof g->first);
    memcpy(g->count, count, sizeof g->count);
    tell(&g->version, g->version + 1);
    if (extent != grid_extent(g)) {
        g->extents[(g->done + 1) % EXTENTS] = extent;
        tell(&g->begun, g->done + 1);
    }
    tell(&g->pending, 1);
}

static void grid_take(grid *g)
{
    for (uint32_t at = g->first[0] * FRAME; at < (g->first[0] + g->count[0]) * FRAME; at++)
        if (in_box(g, at)) tell(&g->of[at], g->version);
}

static void grid_clear_outside(grid *g)
{
    for (uint32_t at = grid_extent(g) * FRAME; at < ELEMENTS; at++) tell(&g->of[at], 0);
}

static void grid_commit(grid *g)
{
    grid_take(g);
    tell(&g->done, g->begun);
    grid_clear_outside(g);
    tell(&g->pending, 0);
}

/* The shard, or chunk in a file of its own, that an element lies in. */
static uint32_t file_of_element(const shardio_array_facts *f, uint32_t at)
{
    uint64_t t = at / FRAME / f->shard[0], y = at % FRAME / COLUMNS / f->shard[1], x = at % COLUMNS / f->shard[2];
    return (uint32_t)(t * 64 + y * 8 + x);
}

/* What is read is what was promised, or, of a change under way, file by file all or nothing of it. */
static void grid_settle(uint32_t number, const shardio_array_facts *f)
{
    grid *g = &m->arrays[number];
    uint8_t state[64 * 64] = {0};     /* of each file: 1 the old elements were seen, 2 the new ones */
    for (uint32_t at = 0; at < grid_extent(g) * FRAME; at++) {
        uint32_t found = version_of_element(number, at, elements[at]);
        bool changing = g->pending && in_box(g, at);
        if (found != g->of[at] && !(changing && found == g->version))
            fail("array %u: [%u, %u, %u] has version %u, not %u%s", number, at / FRAME, at % FRAME / COLUMNS,
                 at % COLUMNS, found,
                 g->of[at], g->pending ? ", and a change was under way" : "");
        if (changing) state[file_of_element(f, at)] |= found == g->version ? 2 : 1;
        if (changing && state[file_of_element(f, at)] == 3) fail("array %u: half a change in a shard", number);
        g->of[at] = found;
    }
    grid_clear_outside(g);
    tell(&g->pending, 0);
}

/* Statistics, where there are some, say what the model says. */
static void check_statistics(uint32_t number, shardio_array *a)
{
    grid *g = &m->arrays[number];
    shardio_statistics s;
    shardio_error error;
    uint64_t count = (uint64_t)grid_extent(g) * FRAME, nulls = 0, least = UINT64_MAX, most = 0, range[2] = {0, 0};
    if (shardio_array_statistics(a, &s, &error) != SHARDIO_OK) {
        if (error.status != SHARDIO_ERR_NOT_FOUND) fail_error("statistics", &error);
        return;
    }
    for (uint32_t at = 0; at < count; at++) {
        uint64_t value = element(number, at, g->of[at]);
        nulls += value == 0;
        if (value != 0 && value < least) least = value;
        if (value > most) most = value;
    }
    memcpy(&range[0], s.min, 8);
    memcpy(&range[1], s.max, 8);
    if (s.rows != count || s.nulls != nulls || s.has_range != (nulls < count) ||
        (s.has_range && (range[0] != least || range[1] != most)))
        fail("array %u: statistics of %u nulls, not %u", number, (unsigned)s.nulls, (unsigned)nulls);
    m->done[ARRAY_STATISTICS]++;
}

static void check_label(uint32_t number, const shardio_store *store)
{
    grid *g = &m->arrays[number];
    shardio_node node;
    shardio_error error;
    int64_t label = 0;
    if (shardio_node_open(&node, store, NULL, NULL, &error) != SHARDIO_OK) fail_error("open a node", &error);
    (void)shardio_node_int64(&node, "label", &label);
    shardio_node_close(&node);
    if (label != g->label && label != g->next_label) fail("array %u: label %d, not %u", number, (int)label, g->label);
    tell(&g->label, (uint32_t)label);
}

static void grid_verify(shardio_array *a)
{
    shardio_error error;
    if (shardio_array_verify(a, NULL, NULL, NULL, NULL, &error) != SHARDIO_OK) fail_error("verify an array", &error);
}

/* Reads and compares all of an array that nobody writes. Makes the model say what of a change under way is there. */
static void grid_check(uint32_t number)
{
    grid *g = &m->arrays[number];
    uint64_t start[3] = {0, 0, 0};
    shardio_array_facts f;
    shardio_error error;
    location p;
    if (!location_open(&p, number, false, &error)) fail_error("open an archive", &error);
    shardio_array *a = shardio_array_open_in(&p.store, NULL, &error);
    if (error.status != SHARDIO_OK || shardio_array_describe(a, &f) != SHARDIO_OK) fail_error("open an array", &error);
    if (f.shape[0] == g->extents[g->begun % EXTENTS]) tell(&g->done, g->begun);
    tell(&g->begun, g->done);
    if (f.shape[0] != grid_extent(g)) fail("array %u: shape %u, not %u", number, (unsigned)f.shape[0], grid_extent(g));
    size_t size = (size_t)f.shape[0] * FRAME * sizeof *elements;
    if (shardio_array_read(a, start, f.shape, elements, size, &error) != SHARDIO_OK)
        fail_error("read an array", &error);
    m->checked += size;
    grid_settle(number, &f);
    check_label(number, &p.store);
    if (number == WITH_STATISTICS) check_statistics(number, a);
    if (one_in(3)) grid_verify(a);
    shardio_array_close(a);
    location_close(&p);
    m->done[ARRAY_READ]++;
}

static void grid_create(uint32_t number)
{
    grid *g = &m->arrays[number];
    shardio_array_options o;
    shardio_error error;
    double since = 0;
    bool done = false;
    if (g->births % 2 == 0) tell(&g->births, g->births + 1);
    while (!done) {
        location p;
        if (location_open(&p, number, true, &error)) {
            grid_options(number, &o);
            shardio_array *a = shardio_array_create_in(&p.store, &o);
            (void)shardio_array_finish(a, &error);
            location_commit(&p, &error);
            location_close(&p);
        }
        done = well(ARRAY_CREATE, "create an array", &error);
        if (!done) wait_for_room(&since);
    }
    g->extents[(g->begun + 1) % EXTENTS] = 0;
    tell(&g->begun, g->begun + 1);
    tell(&g->done, g->begun);
    grid_clear_outside(g);
    tell(&g->label, 0);
    tell(&g->pending, 0);
    tell(&g->births, g->births + 1);
}

/* ---- changes ---- */

typedef void (*grid_deed)(uint32_t number, shardio_array *a, shardio_error *error);

/* A change through a handle for changing; whether it went well. */
static bool grid_change(uint32_t number, deed d, grid_deed act)
{
    shardio_array_options o;
    shardio_error error;
    location p;
    if (location_open(&p, number, true, &error)) {
        grid_options(number, &o);
        shardio_array *a = shardio_array_update_in(&p.store, &o, &error);
        if (error.status == SHARDIO_OK) act(number, a, &error);
        shardio_array_close(a);
        location_commit(&p, &error);
        location_close(&p);
    }
    return well(d, "change an array", &error);
}

/* What a call that failed, or a process that was killed, left beyond the shape goes. */
static void resize_to_same(uint32_t number, shardio_array *a, shardio_error *error)
{
    shardio_array_facts f;
    uint64_t shape[3];
    (void)number;
    if (shardio_array_describe(a, &f) != SHARDIO_OK) fail("describe an array");
    memcpy(shape, f.shape, sizeof shape);
    (void)shardio_array_resize(a, shape, false, error);
}

static void note_recovery(void *context, const char *key, const shardio_recovery *found, shardio_status status,
                          const shardio_error *error)
{
    (void)context;
    if (status == SHARDIO_OK) m->recovered += !found->intact;
    else if (status != SHARDIO_ERR_NO_SPACE) fail_error(key, error);
}

static void recover_all(uint32_t number, shardio_array *a, shardio_error *error)
{
    (void)number;
    (void)shardio_array_recover(a, true, note_recovery, NULL, error);
}

static void grid_repeat(uint32_t number, deed d, grid_deed act)
{
    double since = 0;
    while (!grid_change(number, d, act)) wait_for_room(&since);
}

static void grid_mend(uint32_t number)
{
    grid_repeat(number, ARRAY_RESIZE, resize_to_same);
    grid_check(number);
}

/* After the process was killed. */
static void array_settle(uint32_t number)
{
    grid *g = &m->arrays[number];
    if (g->births % 2 != 0 || g->births == 0) grid_create(number);
    if (number != IN_ARCHIVE) grid_repeat(number, SHARD_RECOVER, recover_all);
    grid_mend(number);
}

static void write_box(uint32_t number, shardio_array *a, shardio_error *error)
{
    grid *g = &m->arrays[number];
    uint64_t start[3], count[3];
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        start[i] = g->first[i];
        count[i] = g->count[i];
    }
    for (uint32_t at = g->first[0] * FRAME; at < (g->first[0] + g->count[0]) * FRAME; at++)
        if (in_box(g, at)) elements[n++] = element(number, at, g->version);
    m->bytes += n * sizeof *elements;
    (void)shardio_array_write(a, start, count, elements, n * sizeof *elements, error);
}

static void grid_write(uint32_t number)
{
    grid *g = &m->arrays[number];
    uint32_t extent[3] = {grid_extent(g), ROWS, COLUMNS}, first[3], count[3];
    if (extent[0] == 0) return;
    for (int i = 0; i < 3; i++) {
        first[i] = below(extent[i]);
        count[i] = 1 + below(extent[i] - first[i]);
    }
    if (one_in(3)) {                   /* whole frames */
        first[1] = first[2] = 0;
        count[1] = ROWS;
        count[2] = COLUMNS;
    }
    grid_begin(g, first, count, extent[0]);
    if (grid_change(number, ARRAY_WRITE, write_box)) grid_commit(g);
    else grid_mend(number);
}

static void resize_to_begun(uint32_t number, shardio_array *a, shardio_error *error)
{
    grid *g = &m->arrays[number];
    uint64_t shape[3] = {0, ROWS, COLUMNS};
    shape[0] = g->extents[g->begun % EXTENTS];
    (void)shardio_array_resize(a, shape, false, error);
}

static void grid_resize(uint32_t number)
{
    static const uint32_t none[3] = {0, 0, 0};
    grid *g = &m->arrays[number];
    uint32_t extent = below(TIMES + 1);
    if (extent == grid_extent(g)) return;
    grid_begin(g, none, none, extent);
    if (grid_change(number, ARRAY_RESIZE, resize_to_begun)) grid_commit(g);
    else grid_mend(number);
}

/* Frames at the end, and a checkpoint or the end of the writer behind them. */
static bool append_frames(uint32_t number, shardio_array *a, uint32_t from, uint32_t frames)
{
    grid *g = &m->arrays[number];
    uint32_t first[3] = {from, 0, 0}, count[3] = {frames, ROWS, COLUMNS};
    grid_begin(g, first, count, from + frames);
    for (uint32_t at = from * FRAME; at < (from + frames) * FRAME;) {
        uint32_t n = 1 + below((from + frames) * FRAME - at);
        for (uint32_t i = 0; i < n; i++) elements[i] = element(number, at + i, g->version);
        if (shardio_array_append(a, elements, n) != SHARDIO_OK) return false;
        m->bytes += n * sizeof *elements;
        at += n;
    }
    return true;
}

/* In an archive a checkpoint is only seen when it was committed. */
static void append_all(uint32_t number, location *p, shardio_array *a, shardio_error *error)
{
    grid *g = &m->arrays[number];
    uint32_t from = grid_extent(g), to = from + 1 + below(TIMES - from);
    while (p->archive == NULL && from + 1 < to && one_in(2)) {
        uint32_t frames = 1 + below(to - from - 1);
        if (!append_frames(number, a, from, frames) || shardio_array_checkpoint(a) != SHARDIO_OK) break;
        grid_commit(g);
        from += frames;
    }
    if (shardio_array_error(a).status == SHARDIO_OK) (void)append_frames(number, a, from, to - from);
    if (one_in(6)) {
        *error = shardio_array_error(a);
        shardio_array_abort(a);
        if (error->status == SHARDIO_OK) error->status = SHARDIO_ERR_CANCELLED;
    } else {
        (void)shardio_array_finish(a, error);
    }
}

static void grid_append(uint32_t number)
{
    grid *g = &m->arrays[number];
    shardio_array_options o;
    shardio_error error;
    location p;
    if (grid_extent(g) == TIMES) return;
    if (!location_open(&p, number, true, &error)) {
        (void)well(ARRAY_APPEND, "open", &error);
        return;
    }
    grid_options(number, &o);
    shardio_array *a = shardio_array_continue_in(&p.store, &o);
    append_all(number, &p, a, &error);
    location_commit(&p, &error);
    location_close(&p);
    if (error.status != SHARDIO_ERR_CANCELLED && well(ARRAY_APPEND, "append to an array", &error)) grid_commit(g);
    else grid_mend(number);
}

static void compact_all(uint32_t number, shardio_array *a, shardio_error *error)
{
    (void)number;
    (void)shardio_array_compact(a, NULL, NULL, error);
}

static void compact_grid(uint32_t number)
{
    if (number != IN_ARCHIVE) {
        (void)grid_change(number, ARRAY_COMPACT, compact_all);
        return;
    }
    char path[260];
    shardio_error error;
    (void)shardio_archive_compact(path_of(path, "array", number), NULL, NULL, NULL, &error);
    (void)well(ARCHIVE_COMPACT, "compact an archive", &error);
}

static void grid_label(uint32_t number)
{
    grid *g = &m->arrays[number];
    shardio_error error;
    location p;
    tell(&g->next_label, g->next_label + 1);
    if (location_open(&p, number, true, &error)) {
        (void)shardio_node_set_int64(&p.store, NULL, "label", g->next_label, NULL, &error);
        location_commit(&p, &error);
        location_close(&p);
    }
    if (well(ARRAY_ATTRIBUTE, "set an attribute", &error)) tell(&g->label, g->next_label);
}

static void make_statistics(uint32_t number, shardio_array *a, shardio_error *error)
{
    (void)number;
    (void)shardio_array_make_statistics(a, NULL, NULL, error);
}

static void array_work(uint32_t number)
{
    grid *g = &m->arrays[number];
    uint32_t what = below(32);
    char path[260];
    if (number == IN_ARCHIVE && file_size(path_of(path, "array", number)) > ARCHIVE_LIMIT) {
        compact_grid(number);
        if (file_size(path) > ARCHIVE_LIMIT) pause_ms(5);
    } else if (what < 1 || g->version > 60000000) grid_create(number);
    else if (what < 10) grid_append(number);
    else if (what < 19) grid_write(number);
    else if (what < 23) grid_resize(number);
    else if (what < 26) grid_label(number);
    else if (what < 28) compact_grid(number);
    else if (what < 29 && number == WITH_STATISTICS) (void)grid_change(number, ARRAY_STATISTICS, make_statistics);
    else grid_check(number);
}

/* ---- readers ---- */

/* What a reader knew before it read. */
typedef struct knowledge {
    uint32_t births, done;
    uint32_t low[ELEMENTS];
} knowledge;

static void check_seen(uint32_t number, const uint64_t *start, const uint64_t *count, const knowledge *k)
{
    const grid *g = &m->arrays[number];
    size_t n = 0;
    bool cleared = ask(&g->begun) != k->done;
    for (uint64_t t = start[0]; t < start[0] + count[0]; t++)
        for (uint64_t y = start[1]; y < start[1] + count[1]; y++)
            for (uint64_t x = start[2]; x < start[2] + count[2]; x++, n++) {
                uint32_t at = (uint32_t)(t * FRAME + y * COLUMNS + x);
                uint32_t found = version_of_element(number, at, elements[n]);
                if (found == UINT32_MAX) fail("reader: array %u: an element that nobody wrote", number);
                if (ask(&g->births) != k->births || (found == 0 && cleared)) continue;
                if (found < k->low[at] || found > ask(&g->version))
                    fail("reader: array %u: [%u, %u, %u] has version %u; promised %u", number, (unsigned)t,
                         (unsigned)y, (unsigned)x,
                         found, k->low[at]);
            }
    m->look_bytes += n * sizeof *elements;
}

static void check_shape_seen(uint32_t number, uint64_t extent, const knowledge *k)
{
    const grid *g = &m->arrays[number];
    uint32_t begun = ask(&g->begun);
    if (ask(&g->births) != k->births || begun - k->done > EXTENTS / 2) return;
    for (uint32_t i = k->done; i <= begun; i++)
        if (g->extents[i % EXTENTS] == extent) return;
    fail("reader: array %u: shape %u, promised %u", number, (unsigned)extent, g->extents[k->done % EXTENTS]);
}

static void look_into(uint32_t number, shardio_array *a, const shardio_array_facts *f, knowledge *k)
{
    const grid *g = &m->arrays[number];
    uint64_t start[3], count[3];
    shardio_error error;
    for (int i = 0; i < 3; i++) {
        start[i] = below((uint32_t)f->shape[i]);
        count[i] = 1 + below((uint32_t)(f->shape[i] - start[i]));
    }
    if (number != IN_ARCHIVE)          /* each read sees what was promised before it; an archive is as when opened */
        for (uint32_t at = 0; at < ELEMENTS; at++) k->low[at] = ask(&g->of[at]);
    (void)shardio_array_read(a, start, count, elements, (size_t)(count[0] * count[1] * count[2]) * sizeof *elements,
                             &error);
    if (reader_got("read an array", &error)) check_seen(number, start, count, k);
}

static void array_look(uint32_t number)
{
    static knowledge k;
    grid *g = &m->arrays[number];
    shardio_array_options o;
    shardio_array_facts f;
    shardio_error error;
    location p;
    k.births = ask(&g->births);
    k.done = ask(&g->done);
    if (k.births % 2 != 0) return;
    for (uint32_t at = 0; at < ELEMENTS; at++) k.low[at] = ask(&g->of[at]);
    if (!location_open(&p, number, false, &error)) {
        (void)reader_got("open an archive", &error);
        return;
    }
    memset(&o, 0, sizeof o);
    if (one_in(2)) o.cache = reader_cache;
    o.unbuffered = one_in(4);
    shardio_array *a = shardio_array_open_in(&p.store, &o, &error);
    if (reader_got("open an array", &error) && shardio_array_describe(a, &f) == SHARDIO_OK) {
        check_shape_seen(number, f.shape[0], &k);
        for (uint32_t reads = 1 + below(4); reads > 0 && f.shape[0] > 0; reads--) look_into(number, a, &f, &k);
        m->looks++;
    }
    shardio_array_close(a);
    location_close(&p);
}

#endif
