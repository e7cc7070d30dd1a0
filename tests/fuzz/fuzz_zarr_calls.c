/* Sequences of calls on an array in a store, against a model: its elements in plain memory.

   Input: what the array is (8 bytes), then calls: a byte that says which, and what it needs. */
#define FUZZ_NAME "zarr_calls"
#define FUZZ_ROUNDS 60
#include "fuzz.h"

enum { EXTENT = 8, MOST = EXTENT * EXTENT * EXTENT, MOST_CALLS = 25 };

/* An element has one value, or, where a call failed on it, one of two. */
typedef struct life {
    shardio_array_options o;
    shardio_memory_store memory;
    shardio_store inner, store;
    spy faults;
    counter allocations;
    shardio_cache cache;
    shardio_array *writer, *reader;
    uint64_t shape[3];
    uint16_t now[MOST], other[MOST];   /* after a write that failed it is one of both, */
    bool unsure[MOST];                 /* after two in a row one of three */
    uint16_t fill;
    uint8_t choices;
    bool torn;                         /* a call failed, and all after it: shards may have to be recovered */
    bool lost;                         /* and could not be: what there is can no longer be told */
    bool behind;                       /* an append that was given up may have left chunks behind the shape */
} life;

static size_t place(uint64_t x, uint64_t y, uint64_t z)
{
    return (size_t)((x * EXTENT + y) * EXTENT + z);
}

/* ---- regions ---- */

typedef struct region {
    uint64_t start[3], count[3];       /* 1 in the dimensions that the array has not */
    size_t elements;
} region;

static region some_region(const life *l, fuzz_input *in)
{
    region r = {{0, 0, 0}, {1, 1, 1}, 1};
    for (uint32_t d = 0; d < l->o.ndim; d++) {
        r.start[d] = l->shape[d] > 0 ? fuzz_below(in, l->shape[d]) : 0;
        r.count[d] = l->shape[d] > 0 ? 1 + fuzz_below(in, l->shape[d] - r.start[d]) : 0;
        r.elements *= (size_t)r.count[d];
    }
    return r;
}

/* Where element i of a region lies in the model. */
static size_t inside(const region *r, size_t i)
{
    uint64_t z = i % r->count[2], y = i / r->count[2] % r->count[1], x = i / r->count[2] / r->count[1];
    return place(r->start[0] + x, r->start[1] + y, r->start[2] + z);
}

static void check_region(const life *l, const region *r, const uint16_t *got)
{
    for (size_t i = 0; i < r->elements; i++) {
        size_t at = inside(r, i);
        if (!CHECK(l->unsure[at] || got[i] == l->now[at] || got[i] == l->other[at])) return;
    }
}

/* ---- handles ---- */

static bool calm(const life *l)
{
    return !l->faults.failed && l->allocations.fail_at == 0;
}

/* An error has a reason. */
static bool went(life *l, shardio_status s)
{
    if (s != SHARDIO_OK) CHECK(!calm(l));
    if (s != SHARDIO_OK && l->faults.forever) l->torn = true;
    return s == SHARDIO_OK;
}

static void no_faults(life *l)
{
    l->faults.fail_at = 0;
    l->faults.forever = l->faults.failed = false;
    l->allocations.fail_at = 0;
}

static void close_writer(life *l)
{
    shardio_array_close(l->writer);
    l->writer = NULL;
}

static bool open_writer(life *l)
{
    shardio_error e;
    if (l->writer == NULL) {
        l->writer = shardio_array_update_in(&l->store, &l->o, &e);
        if (!went(l, e.status)) close_writer(l);
    }
    return l->writer != NULL;
}

static void close_reader(life *l)
{
    shardio_array_close(l->reader);
    l->reader = NULL;
}

static bool open_reader(life *l)
{
    shardio_array_options o = l->o;
    shardio_error e;
    if (l->reader == NULL) {
        o.cache = fuzz_flag(l->choices, 0) ? &l->cache : NULL;
        l->reader = shardio_array_open_in(&l->store, &o, &e);
        if (!went(l, e.status)) close_reader(l);
    }
    return l->reader != NULL;
}

/* Shards of a writer that could not even cut back what it had begun are recovered. False: that cannot be. */
static bool mend(life *l)
{
    shardio_error e;
    shardio_status s = SHARDIO_ERR_UNSUPPORTED;
    no_faults(l);
    close_writer(l);
    close_reader(l);
    l->torn = false;
    if (!l->o.index_no_checksum && open_writer(l)) s = SAID(shardio_array_recover(l->writer, true, NULL, NULL, &e));
    if (s != SHARDIO_ERR_UNSUPPORTED && s != SHARDIO_ERR_CORRUPT) CHECK_OK(s);     /* corrupt: it cannot be told */
    l->lost = s != SHARDIO_OK;
    return !l->lost;
}

/* ---- calls ---- */

static void read_region(life *l, fuzz_input *in, bool with_writer)
{
    static uint16_t got[MOST];
    region r = some_region(l, in);
    shardio_error e;
    if (!(with_writer ? open_writer(l) : open_reader(l))) return;
    shardio_status s = SAID(shardio_array_read(with_writer ? l->writer : l->reader, r.start, r.count, got,
                                               r.elements * sizeof *got, &e));
    if (went(l, s)) check_region(l, &r, got);
}

static void write_region(life *l, fuzz_input *in)
{
    static uint16_t data[MOST];
    region r = some_region(l, in);
    uint8_t seed = fuzz_byte(in);
    shardio_error e;
    if (!open_writer(l)) return;
    for (size_t i = 0; i < r.elements; i++) data[i] = seed % 4 == 0 ? l->fill : (uint16_t)(seed * 251 + i);
    shardio_status s = SAID(shardio_array_write(l->writer, r.start, r.count, seed == 0 ? NULL : data,
                                                r.elements * sizeof *data, &e));
    bool good = went(l, s);
    for (size_t i = 0; i < r.elements; i++) {
        size_t at = inside(&r, i);
        l->unsure[at] = !good && (l->unsure[at] || l->now[at] != l->other[at]);
        if (!good) l->other[at] = l->now[at];
        l->now[at] = data[i];
        if (good) l->other[at] = data[i];
    }
}

/* Outside of the shape there is nothing but the fill value. */
static void forget_outside(life *l)
{
    for (uint64_t x = 0; x < EXTENT; x++)
        for (uint64_t y = 0; y < EXTENT; y++)
            for (uint64_t z = 0; z < EXTENT; z++)
                if (x >= l->shape[0] || (l->o.ndim > 1 && y >= l->shape[1]) || (l->o.ndim > 2 && z >= l->shape[2])) {
                    l->now[place(x, y, z)] = l->other[place(x, y, z)] = l->fill;
                    l->unsure[place(x, y, z)] = false;
                }
}

/* What failed is repeated, without faults. */
static void resize(life *l, fuzz_input *in)
{
    uint64_t shape[3] = {1, 1, 1};
    shardio_error e;
    if (!open_writer(l)) return;
    for (uint32_t d = 0; d < l->o.ndim; d++) shape[d] = fuzz_below(in, EXTENT);
    if (l->behind && shape[0] > l->shape[0]) shape[0] = l->shape[0];
    shardio_status s = SAID(shardio_array_resize(l->writer, shape, false, &e));
    if (!went(l, s)) {
        if (l->torn && !mend(l)) return;
        no_faults(l);
        close_writer(l);
        close_reader(l);
        if (!open_writer(l)) return;
        CHECK_OK(shardio_array_resize(l->writer, shape, false, &e));
    }
    for (uint32_t d = 0; d < l->o.ndim; d++) l->shape[d] = shape[d];
    forget_outside(l);
    close_reader(l);
}

static void tidy(life *l, uint8_t how)
{
    shardio_error e;
    shardio_status s;
    if (!open_writer(l)) return;
    if (how & 16) s = SAID(shardio_array_compact(l->writer, NULL, NULL, &e));
    else s = SAID(shardio_array_recover(l->writer, true, NULL, NULL, &e));
    /* an index without chunks, behind what was there before, may be data as well */
    bool ambiguous = (how & 16) == 0 && s == SHARDIO_ERR_CORRUPT && l->o.skip_fill;
    if (!ambiguous && ((how & 16) || !l->o.index_no_checksum)) (void)went(l, s);
}

static void count_inside(void *context, const shardio_error *finding)
{
    *(int *)context += finding->reason == NULL || strstr(finding->reason, "outside the shape") == NULL;
}

static void verify(life *l)
{
    int faults = 0;
    shardio_error e;
    if (!open_reader(l)) return;
    shardio_status s = SAID(shardio_array_verify(l->reader, count_inside, &faults, NULL, NULL, &e));
    bool only_behind = s == SHARDIO_ERR_CORRUPT && l->behind && faults == 0;
    if (!only_behind) (void)went(l, s);
}

static void statistics(life *l)
{
    shardio_statistics t;
    shardio_error e;
    uint64_t rows = 1, nulls = 0;
    uint16_t least = UINT16_MAX, most = 0, got[2];
    if (!open_writer(l) || !went(l, SAID(shardio_array_make_statistics(l->writer, NULL, NULL, &e)))) return;
    if (!went(l, SAID(shardio_array_statistics(l->writer, &t, &e)))) return;
    region all = {{0, 0, 0}, {1, 1, 1}, 1};
    for (uint32_t d = 0; d < l->o.ndim; d++) rows *= all.count[d] = l->shape[d];
    for (size_t i = 0; i < rows; i++) {
        size_t at = inside(&all, i);
        if (l->unsure[at] || l->now[at] != l->other[at]) return;
        nulls += l->now[at] == l->fill;
        if (l->now[at] == l->fill) continue;
        if (l->now[at] < least) least = l->now[at];
        if (l->now[at] > most) most = l->now[at];
    }
    CHECK_U64(t.rows, rows);
    CHECK_U64(t.nulls, nulls);
    CHECK(t.has_range == (nulls < rows));
    memcpy(&got[0], t.min, 2);
    memcpy(&got[1], t.max, 2);
    if (t.has_range) CHECK(got[0] == least && got[1] == most);
}

/* ---- appending: a writer of its own ---- */

static void append_model(life *l, uint64_t frame, uint64_t from, uint64_t count, uint8_t seed)
{
    for (uint64_t i = from; i < from + count; i++) {
        uint64_t rest = i % frame, columns = l->o.ndim > 2 ? l->shape[2] : 1;
        size_t at = place(i / frame, l->o.ndim > 1 ? rest / columns : 0, l->o.ndim > 2 ? rest % columns : 0);
        l->now[at] = l->other[at] = (uint16_t)(seed + i);
        l->unsure[at] = false;
    }
}

/* After an error: the frames that are there are those of the last checkpoint, or of the one that failed. */
static void look_again(life *l, uint64_t saved, uint64_t tried)
{
    shardio_array_facts f;
    if (l->torn && !mend(l)) return;
    no_faults(l);
    close_reader(l);
    l->behind = true;
    if (!open_reader(l) || !CHECK(shardio_array_describe(l->reader, &f) == SHARDIO_OK)) return;
    if (!CHECK(f.shape[0] == saved || f.shape[0] == tried)) return;
    l->shape[0] = f.shape[0];
    forget_outside(l);
}

static void append(life *l, fuzz_input *in)
{
    static uint16_t data[MOST];
    uint64_t frame = 1, saved = l->shape[0], tried;
    uint8_t seed = fuzz_byte(in);
    shardio_error e;
    for (uint32_t d = 1; d < l->o.ndim; d++) frame *= l->shape[d];
    uint64_t from = saved * frame, room = (EXTENT - saved) * frame, count = room > 0 ? fuzz_below(in, room + 1) : 0;
    uint64_t half = count / 2;
    if (l->o.ndim == 0 || frame == 0) return;
    close_writer(l);
    for (size_t i = 0; i < count; i++) data[i] = (uint16_t)(seed + from + i);
    tried = saved;
    shardio_array *a = shardio_array_continue_in(&l->store, &l->o);
    shardio_status s = shardio_array_append(a, data, half);
    if (s == SHARDIO_OK && (seed & 1)) {
        tried = (from + half) / frame;
        s = shardio_array_checkpoint(a);
        if (s == SHARDIO_OK) saved = tried;
    }
    if (s == SHARDIO_OK) s = shardio_array_append(a, data + half, count - half);
    append_model(l, frame, from, count, seed);
    if (s == SHARDIO_OK && (seed & 2)) {
        shardio_array_abort(a);
        l->torn = l->torn || !calm(l);                  /* it may have been the cut that failed */
        look_again(l, saved, saved);
        return;
    }
    if (s == SHARDIO_OK) tried = (from + count + frame - 1) / frame;
    shardio_status finished = SAID(shardio_array_finish(a, &e));
    if (s != SHARDIO_OK) CHECK_STATUS(finished, s);
    if (went(l, finished)) l->shape[0] = tried;
    else look_again(l, saved, tried);
    close_reader(l);
}

static void arm(life *l, fuzz_input *in)
{
    uint8_t fails = fuzz_byte(in), how = fuzz_byte(in);
    no_faults(l);
    l->faults.calls = l->allocations.calls = 0;
    if (how & 1) l->allocations.fail_at = fails;
    else l->faults.fail_at = fails;
    l->faults.forever = fuzz_flag(how, 1);
    l->faults.status = fuzz_flag(how, 2) ? SHARDIO_ERR_NO_SPACE : SHARDIO_ERR_IO;
}

static void call(life *l, fuzz_input *in)
{
    uint8_t which = fuzz_byte(in);
    if (l->torn && !mend(l)) return;
    switch (which % 16) {
    case 0: case 1: read_region(l, in, false); break;
    case 2: read_region(l, in, true); break;
    case 3: case 4: case 5: case 6: write_region(l, in); break;
    case 7: resize(l, in); break;
    case 8: tidy(l, which); break;
    case 9: verify(l); break;
    case 10: statistics(l); break;
    case 11: case 12: append(l, in); break;
    case 13: close_writer(l); break;
    case 14: close_reader(l); break;
    default: arm(l, in);
    }
}

static void choose(life *l, fuzz_input *in)
{
    shardio_array_options *o = &l->o;
    uint8_t a = fuzz_byte(in), b = fuzz_byte(in);
    l->choices = fuzz_byte(in);
    o->ndim = a % 4;
    o->dtype = SHARDIO_UINT16;
    l->fill = a & 16 ? 7 : 0;
    o->fill_value = &l->fill;
    for (uint32_t d = 0; d < 3; d++) {
        uint8_t size = fuzz_byte(in);
        l->shape[d] = d < o->ndim ? size % EXTENT : 1;
        if (d >= o->ndim) continue;
        o->shape[d] = l->shape[d];
        o->chunk[d] = 1 + size / 16 % 5;
        o->shard[d] = a & 32 ? o->chunk[d] * (1 + size / 64) : 0;
    }
    o->index_at_start = fuzz_flag(b, 0);
    o->index_no_checksum = fuzz_flag(b, 1) && fuzz_flag(b, 6);
    o->index_big_endian = fuzz_flag(b, 2);
    o->big_endian = fuzz_flag(b, 3);
    o->skip_fill = fuzz_flag(b, 4);
    o->codecs[0] = fuzz_flag(b, 5) ? shardio_codec_crc32c() : NULL;
    o->statistics = fuzz_flag(b, 7);
    o->update = fuzz_flag(l->choices, 1) ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
    o->dead_percent = fuzz_flag(l->choices, 2) ? 100 : 0;
    o->memory = fuzz_flag(l->choices, 3) ? 1 : 4096;
    o->max_open_files = fuzz_flag(l->choices, 4) ? 1 : 0;
    o->durability = fuzz_flag(l->choices, 5) ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    o->unchanging = false;
    o->buffer_size = 4096;
    o->block_size = 512;
}

static void fuzz_one(fuzz_input in)
{
    static life l;
    shardio_cache_options budget = {1 << 14, 1 << 13, 512, NULL};
    shardio_error e;
    memset(&l, 0, sizeof l);
    choose(&l, &in);
    for (size_t i = 0; i < MOST; i++) l.now[i] = l.other[i] = l.fill;
    l.inner = shardio_store_memory(&l.memory, NULL);
    l.store = spy_begin(&l.faults, &l.inner);
    l.o.allocator = counter_begin(&l.allocations);
    shardio_cache_begin(&l.cache, &budget);
    CHECK_OK(shardio_array_define_in(&l.store, &l.o, &e));
    for (int n = 0; n < MOST_CALLS && in.size > 0 && test_failures == 0 && !l.lost; n++) call(&l, &in);
    no_faults(&l);
    fuzz_input nothing = {NULL, 0};
    close_reader(&l);
    if (!l.lost && !l.torn) read_region(&l, &nothing, false);
    close_reader(&l);
    close_writer(&l);
    shardio_cache_end(&l.cache);
    CHECK_U64(l.allocations.live, 0);
    shardio_store_memory_free(&l.memory);
}

static void fuzz_seeds(void)
{
    uint8_t data[160];
    for (uint64_t i = 0; i < 32; i++) {
        test_fill(data, sizeof data, 500 + i);
        data[0] = (uint8_t)(i * 9 | 1);
        fuzz_seed(data, i < 16 ? 60 : sizeof data);
    }
}
