/* A shard: chunks in, the index behind or before them, read back by a second reader; updates, checkpoints, damage. */
#include "test.h"
#include "faulty.h"

enum { MODEL_CHUNKS = 64, SOURCE = 1 << 20 };

static uint8_t source[SOURCE + 8192] __attribute__((aligned(4096)));
static uint8_t buffer[1 << 18] __attribute__((aligned(4096)));      /* of the slot */
static uint8_t head[1 << 17] __attribute__((aligned(4096)));        /* of the index */

typedef struct model {
    shardio_index_layout layout;
    struct {
        const uint8_t *data;   /* null: missing */
        size_t size;
    } chunk[MODEL_CHUNKS];
} model;

static const struct {
    bool real;
    uint32_t alignment;
    shardio_direct direct;
} ways[] = {
    {false, 0, SHARDIO_DIRECT_OFF},  {false, 512, SHARDIO_DIRECT_ON},   {false, 4096, SHARDIO_DIRECT_ON},
    {false, 4096, SHARDIO_DIRECT_AUTO}, {true, 0, SHARDIO_DIRECT_AUTO}, {true, 0, SHARDIO_DIRECT_OFF},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

/* All four layouts, with and without checksum. */
static shardio_index_layout layout_number(unsigned bits, uint64_t chunks)
{
    shardio_index_layout l = {0, false, false, false, 0, NULL};
    if (source[0] == 0) test_fill(source, sizeof source, 99);
    source[0] |= 1;
    l.chunks = chunks;
    l.at_start = (bits & 1) != 0;
    l.big_endian = (bits & 2) != 0;
    l.no_checksum = (bits & 4) != 0;
    return l;
}

static shardio_slot_options slot_options(shardio_direct direct)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.direct = direct;
    o.durability = SHARDIO_DURABLE_NONE;
    return o;
}

static size_t memory_for(const shardio_index_layout *layout)
{
    size_t size = shardio_shard_memory(layout, 4096);
    CHECK(size > 0 && size <= sizeof head);
    return size;
}

static void model_clear(model *m, const shardio_index_layout *layout)
{
    memset(m, 0, sizeof *m);
    m->layout = *layout;
}

static void put(shardio_shard_writer *w, model *m, uint64_t chunk, const uint8_t *data, size_t size)
{
    m->chunk[chunk].data = data;
    m->chunk[chunk].size = size;
    CHECK_OK(shardio_shard_put(w, chunk, data, size));
}

static uint64_t model_live(const model *m)
{
    uint64_t sum = 0;
    for (uint64_t c = 0; c < m->layout.chunks; c++) sum += m->chunk[c].data ? m->chunk[c].size : 0;
    return sum;
}

/* A file in memory over bytes that are there. */
static shardio_file file_of(shardio_memory *memory, const uint8_t *data, size_t size)
{
    memset(memory, 0, sizeof *memory);
    memory->data = (uint8_t *)(uintptr_t)data;
    memory->size = memory->capacity = size;
    memory->fixed = true;
    return shardio_memory_file(memory, "shard");
}

/* Reads a shard that is somewhere in memory and compares it with the model. Returns its dead bytes. */
static uint64_t check_bytes(const uint8_t *data, size_t size, const model *m)
{
    static uint8_t chunk_bytes[SOURCE];
    shardio_memory memory;
    shardio_shard_reader reader;
    shardio_shard_summary summary;
    shardio_error error;
    uint64_t n = 0;
    memset(&summary, 0, sizeof summary);
    if (shardio_shard_open_file(&reader, file_of(&memory, data, size), &m->layout, NULL, &error) != SHARDIO_OK) {
        CHECK_OK(error.status);
        return 0;
    }
    for (uint64_t c = 0; c < m->layout.chunks; c++) {
        CHECK_OK(shardio_shard_read(&reader, c, chunk_bytes, sizeof chunk_bytes, &n, &error));
        CHECK_U64(n, m->chunk[c].data ? m->chunk[c].size : SHARDIO_MISSING);
        if (m->chunk[c].data && n == m->chunk[c].size) CHECK_BYTES(chunk_bytes, m->chunk[c].data, (size_t)n);
    }
    CHECK_OK(shardio_shard_verify(&reader, &summary, NULL, NULL, NULL));
    CHECK_U64(summary.file_bytes, size);
    CHECK_U64(summary.live_bytes, model_live(m));
    CHECK_U64(summary.index_bytes, shardio_index_size(&m->layout));
    CHECK_U64(summary.dead_bytes, size - model_live(m) - shardio_index_size(&m->layout));
    CHECK_U64(summary.present + summary.missing, m->layout.chunks);
    CHECK_U64(summary.faults, 0);
    shardio_shard_close(&reader);
    return summary.dead_bytes;
}

static uint64_t check_rig(rig *g, const model *m)
{
    size_t size = 0;
    const uint8_t *data = rig_contents(g, &size);
    if (!CHECK(data != NULL)) return 0;
    return check_bytes(data, size, m);
}

/* A random order of 0 .. n - 1. */
static void shuffle(uint64_t *order, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)(test_random(seed) % i);
        uint64_t x = order[i - 1];
        order[i - 1] = order[j];
        order[j] = x;
    }
}

static shardio_status begin(shardio_shard_writer *w, rig *g, size_t way, const shardio_index_layout *layout)
{
    shardio_slot_options o = slot_options(ways[way].direct);
    g->faulty.alignment = ways[way].alignment;
    return shardio_shard_begin(w, rig_open(g, false), layout, head, memory_for(layout), buffer, 16384, &o);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

TEST(written_in_one_go_is_packed)
{
    static const size_t lengths[] = {1, 5000, 0, 20480, 4096, 777, 60000};
    uint64_t seed = 1;
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t way = 0; way < WAYS; way++) {
            for (uint64_t chunks = 1; chunks <= 40; chunks = chunks * 3 + 1) {
                shardio_index_layout layout = layout_number(bits, chunks);
                shardio_shard_writer w;
                shardio_error error;
                uint64_t order[MODEL_CHUNKS];
                model m;
                rig g;
                size_t size = 0;
                rig_begin(&g, ways[way].real, NULL, 0);
                model_clear(&m, &layout);
                shuffle(order, (size_t)chunks, &seed);
                CHECK_OK(begin(&w, &g, way, &layout));
                for (uint64_t i = 0; i < chunks; i++)
                    if (order[i] % 5 != 3) put(&w, &m, order[i], source + order[i] * 11, lengths[order[i] % 7]);
                CHECK_OK(shardio_shard_finish(&w, &error));
                CHECK_STATUS(error.status, SHARDIO_OK);
                CHECK_U64(check_rig(&g, &m), 0);
                rig_contents(&g, &size);
                CHECK_U64(size, model_live(&m) + 16 * chunks + (layout.no_checksum ? 0 : 4));
                CHECK_U64(shardio_shard_accounting(&w).dead_bytes, 0);
                CHECK_U64(shardio_shard_accounting(&w).logical_bytes, size);
                rig_end(&g);
            }
        }
    }
}

/* The bytes themselves, put together by hand. */
TEST(bytes_are_those_of_the_specification)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        shardio_index_layout layout = layout_number(bits, 3);
        size_t index_size = shardio_index_size(&layout), first = layout.at_start ? index_size : 0;
        uint8_t expected[1000], *index = expected + (layout.at_start ? 0 : 300);
        shardio_shard_writer w;
        rig g;
        rig_begin(&g, false, NULL, 0);
        CHECK_OK(begin(&w, &g, 0, &layout));
        CHECK_OK(shardio_shard_put(&w, 2, source, 100));
        CHECK_OK(shardio_shard_put(&w, 0, source + 7, 200));
        CHECK_OK(shardio_shard_finish(&w, NULL));
        memcpy(expected + first, source, 100);
        memcpy(expected + first + 100, source + 7, 200);
        shardio_index_clear(&layout, index);
        shardio_index_set(&layout, index, 2, first, 100);
        shardio_index_set(&layout, index, 0, first + 100, 200);
        shardio_index_seal(&layout, index);
        rig_check(&g, expected, 300 + index_size);
        rig_end(&g);
    }
}

/* Checkpoints of a shard so small that chunks, copies of the index and the index itself share a block: unbuffered, where
   whole blocks are written again, the file has the same bytes as buffered. */
TEST(checkpoints_within_a_block)
{
    static uint8_t expected[20000];
    for (unsigned bits = 0; bits < 4; bits++) {
        size_t expected_size = 0;
        for (size_t way = 0; way < WAYS; way++) {
            shardio_index_layout layout = layout_number(bits, 5);
            shardio_shard_writer w;
            rig g;
            size_t size = 0;
            rig_begin(&g, ways[way].real, NULL, 0);
            CHECK_OK(begin(&w, &g, way, &layout));
            for (uint64_t i = 0; i < 5; i++) {
                CHECK_OK(shardio_shard_put(&w, 4 - i, source + i, (size_t)(40 + 300 * i)));
                CHECK_OK(shardio_shard_checkpoint(&w));
            }
            CHECK_OK(shardio_shard_finish(&w, NULL));
            const uint8_t *data = rig_contents(&g, &size);
            if (way == 0) memcpy(expected, data, expected_size = size);
            else rig_check(&g, expected, expected_size);
            rig_end(&g);
        }
    }
}

TEST(empty_shards)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t way = 0; way < WAYS; way++) {
            shardio_index_layout layout = layout_number(bits, 9);
            shardio_shard_writer w;
            model m;
            rig g;
            size_t size = 0;
            model_clear(&m, &layout);
            rig_begin(&g, ways[way].real, NULL, 0);
            CHECK_OK(begin(&w, &g, way, &layout));
            CHECK_OK(shardio_shard_finish(&w, NULL));
            check_rig(&g, &m);
            rig_contents(&g, &size);
            CHECK_U64(size, shardio_index_size(&layout));
            rig_end(&g);
        }
    }
}

/* The last put of a chunk counts, and what came before is dead; dropped chunks are dead. */
TEST(put_twice_and_drop)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t way = 0; way < WAYS; way++) {
            shardio_index_layout layout = layout_number(bits, 6);
            shardio_shard_writer w;
            model m;
            rig g;
            model_clear(&m, &layout);
            rig_begin(&g, ways[way].real, NULL, 0);
            CHECK_OK(begin(&w, &g, way, &layout));
            put(&w, &m, 3, source, 5000);
            put(&w, &m, 1, source + 1, 300);
            CHECK_U64(shardio_shard_accounting(&w).dead_bytes, 0);
            put(&w, &m, 3, source + 2, 40);
            CHECK_U64(shardio_shard_accounting(&w).dead_bytes, 5000);
            put(&w, &m, 3, source + 3, 50000);
            CHECK_U64(shardio_shard_accounting(&w).dead_bytes, 5040);
            CHECK_OK(shardio_shard_drop(&w, 1));
            m.chunk[1].data = NULL;
            CHECK_U64(shardio_shard_accounting(&w).dead_bytes, 5340);
            CHECK_OK(shardio_shard_drop(&w, 1));   /* is missing already */
            CHECK_OK(shardio_shard_drop(&w, 5));
            CHECK_U64(shardio_shard_accounting(&w).dead_bytes, 5340);
            CHECK_OK(shardio_shard_finish(&w, NULL));
            CHECK_U64(check_rig(&g, &m), 5340);
            rig_end(&g);
        }
    }
}

TEST(put_many_is_one_append)
{
    static const uint64_t some[] = {4, 0, 7, 2};
    for (unsigned bits = 0; bits < 8; bits++) {
        shardio_index_layout layout = layout_number(bits, 8);
        shardio_shard_writer w;
        uint64_t copied;
        model m;
        rig g;
        model_clear(&m, &layout);
        rig_begin(&g, false, NULL, 0);
        CHECK_OK(begin(&w, &g, 2, &layout));
        put(&w, &m, 0, source, 10);
        CHECK_OK(shardio_shard_put_many(&w, some, 4, source, 5000));
        for (size_t i = 0; i < 4; i++) {
            m.chunk[some[i]].data = source + 5000 * i;
            m.chunk[some[i]].size = 5000;
        }
        CHECK_OK(shardio_shard_put_many(&w, some, 0, NULL, 5000));
        copied = shardio_shard_accounting(&w).copied_bytes;
        CHECK(copied >= 20010 && copied < 25000);
        CHECK_OK(shardio_shard_finish(&w, NULL));
        CHECK_U64(check_rig(&g, &m), 10);
        rig_end(&g);
    }
}

/* Exactly the memory that was said, aligned as was said, is enough; less is not. */
TEST(memory_is_as_stated)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        static const uint64_t counts[] = {1, 255, 256, 257, 1000};
        for (size_t i = 0; i < 5; i++) {
            shardio_index_layout layout = layout_number(bits, counts[i]);
            shardio_slot_options o = slot_options(SHARDIO_DIRECT_ON);
            size_t size = shardio_shard_memory(&layout, 0);
            shardio_shard_writer w;
            rig g;
            CHECK_U64(size, shardio_shard_memory(&layout, 4096));
            CHECK(size >= shardio_index_size(&layout) && size < shardio_index_size(&layout) + 2 * 4096);
            memset(head, 0x77, sizeof head);
            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = 4096;
            CHECK_OK(shardio_shard_begin(&w, rig_open(&g, false), &layout, head, size, buffer, 4096, &o));
            CHECK_OK(shardio_shard_put(&w, 0, source, 9000));
            CHECK_OK(shardio_shard_checkpoint(&w));
            CHECK_OK(shardio_shard_put(&w, 0, source, 9000));
            CHECK_OK(shardio_shard_finish(&w, NULL));
            for (size_t b = size; b < sizeof head; b++)
                if (!CHECK(head[b] == 0x77)) break;
            rig_end(&g);

            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = 4096;
            o.direct = SHARDIO_DIRECT_AUTO;
            CHECK_STATUS(shardio_shard_begin(&w, rig_open(&g, false), &layout, head, shardio_index_size(&layout) - 1, buffer, 4096, &o),
                         SHARDIO_ERR_MEMORY);
            CHECK_STATUS(shardio_shard_finish(&w, NULL), SHARDIO_ERR_MEMORY);
            CHECK_U64(g.faulty.closed, 1);
            CHECK(!g.faulty.published);
            rig_end(&g);

            rig_begin(&g, false, NULL, 0);   /* the index without whole blocks: then buffered */
            g.faulty.alignment = 4096;
            memset(head, 0x77, sizeof head);
            CHECK_OK(shardio_shard_begin(&w, rig_open(&g, false), &layout, head, shardio_index_size(&layout), buffer, 4096, &o));
            CHECK_OK(shardio_shard_put(&w, 0, source, 9000));
            CHECK_OK(shardio_shard_finish(&w, NULL));
            CHECK(head[shardio_index_size(&layout)] == 0x77);
            rig_end(&g);
        }
    }
    {
        shardio_index_layout huge = layout_number(0, UINT64_MAX / 2);
        CHECK_U64(shardio_shard_memory(&huge, 4096), 0);
    }
}

/* ---- random lives: puts, drops and checkpoints, then updates, each finished or given up ------------------------ */

typedef struct life {
    rig g;
    shardio_shard_writer w;
    shardio_shard_reader old;
    shardio_memory old_memory;
    uint8_t *old_bytes;
    size_t old_size;
    model now, saved;          /* what was put, what a reader may rely on */
    uint64_t seed;
    size_t way, room;
    bool any, visible, rewrite;
    unsigned half;             /* of the buffer, in use */
} life;

static uint64_t pick(life *l, uint64_t n) { return test_random(&l->seed) % n; }

static void life_begin(life *l, bool update)
{
    shardio_slot_options o = slot_options(ways[l->way].direct);
    size_t memory = memory_for(&l->now.layout);
    const shardio_index_layout *layout = &l->now.layout;
    shardio_error error;
    o.direct_min = pick(l, 2) ? 4096 : 0;
    o.drop_behind = pick(l, 4) ? 0 : 10000;
    o.in_place = pick(l, 4) == 0;
    memset(&l->g.faulty, 0, sizeof l->g.faulty);
    l->g.faulty.alignment = ways[l->way].alignment;
    l->visible = false;
    l->rewrite = update && pick(l, 2) == 0;
    if (!update) {
        CHECK_OK(shardio_shard_begin(&l->w, rig_open(&l->g, false), layout, head, memory, buffer, l->room, &o));
    } else if (!l->rewrite) {
        CHECK_OK(shardio_shard_begin_update(&l->w, rig_open(&l->g, true), NULL, layout, head, memory, buffer, l->room, &o));
        l->visible = true;
    } else {
        const uint8_t *data = rig_contents(&l->g, &l->old_size);
        l->old_bytes = (uint8_t *)malloc(l->old_size + 1);
        if (!CHECK(l->old_bytes != NULL)) return;
        memcpy(l->old_bytes, data, l->old_size);
        CHECK_OK(shardio_shard_open_file(&l->old, file_of(&l->old_memory, l->old_bytes, l->old_size), layout, NULL, &error));
        if (!l->g.real) shardio_memory_free(&l->g.memory);
        if (!l->g.real) memset(&l->g.memory, 0, sizeof l->g.memory);
        CHECK_OK(shardio_shard_begin_update(&l->w, rig_open(&l->g, false), &l->old, layout, head, memory, buffer, l->room, &o));
    }
}

static void life_steps(life *l)
{
    for (uint64_t i = 0, steps = pick(l, 25); i < steps; i++) {
        uint64_t chunk = pick(l, l->now.layout.chunks), size = pick(l, 4) ? pick(l, 3000) : pick(l, 40000), what = pick(l, 12);
        if (what > 2) {
            put(&l->w, &l->now, chunk, source + pick(l, 100000), (size_t)size);
        } else if (what == 2) {
            CHECK_OK(shardio_shard_drop(&l->w, chunk));
            l->now.chunk[chunk].data = NULL;
        } else if (pick(l, 2)) {   /* as an array does that shares a buffer and few descriptors between its shards */
            l->half ^= 1;
            CHECK_OK(shardio_slot_set_buffer(&l->w.slot, buffer + (l->half ? sizeof buffer / 2 : 0), l->room));
            CHECK_OK(shardio_slot_suspend(&l->w.slot));
        } else if (l->any && !l->rewrite) {
            CHECK_OK(shardio_shard_checkpoint(&l->w));
            CHECK_U64(check_rig(&l->g, &l->now), shardio_shard_accounting(&l->w).dead_bytes);
            l->saved = l->now;
            l->visible = true;
        }
    }
}

static void life_end(life *l, bool abort)
{
    size_t size = 0;
    if (!abort) {
        CHECK_OK(shardio_shard_finish(&l->w, NULL));
        CHECK_U64(check_rig(&l->g, &l->now), shardio_shard_accounting(&l->w).dead_bytes);
        rig_contents(&l->g, &size);
        CHECK_U64(shardio_shard_accounting(&l->w).logical_bytes, size);
        l->saved = l->now;
    } else {
        shardio_shard_abort(&l->w);
        if (l->rewrite && !l->visible && !l->g.real) {   /* the new file is gone; the old one is the bytes kept here */
            size_t done = 0;
            int code = 0;
            shardio_file file;
            CHECK_U64(l->g.faulty.how, SHARDIO_CLOSE_DISCARD);
            CHECK(!l->g.faulty.published);
            shardio_memory_free(&l->g.memory);
            memset(&l->g.memory, 0, sizeof l->g.memory);
            file = shardio_memory_file(&l->g.memory, "memory");
            CHECK_OK(file.functions->write(file.context, 0, l->old_bytes, l->old_size, &done, &code));
        }
        check_rig(&l->g, &l->saved);
        l->now = l->saved;
    }
    CHECK_U64(l->g.faulty.closed, 1);
    CHECK_U64(l->g.faulty.misaligned, 0);
    if (l->rewrite) {
        shardio_shard_close(&l->old);
        free(l->old_bytes);
    }
}

static void live(uint64_t seed, bool real)
{
    static life l;
    int failures = test_failures;
    shardio_index_layout layout;
    memset(&l, 0, sizeof l);
    l.seed = seed << 32;
    do l.way = (size_t)pick(&l, WAYS);
    while (ways[l.way].real != real);
    l.room = (size_t)4096 << pick(&l, 5);   /* at most a half of the buffer */
    layout = layout_number((unsigned)pick(&l, 8), 1 + pick(&l, pick(&l, 2) ? 6 : MODEL_CHUNKS));
    l.any = pick(&l, 2) != 0;
    model_clear(&l.now, &layout);
    l.saved = l.now;
    rig_begin(&l.g, real, NULL, 0);
    life_begin(&l, false);
    life_steps(&l);
    life_end(&l, false);
    for (uint64_t g = 0, generations = pick(&l, 4); g < generations && test_failures == failures; g++) {
        life_begin(&l, true);
        life_steps(&l);
        life_end(&l, pick(&l, 3) == 0);
    }
    rig_end(&l.g);
    if (test_failures > failures)
        fprintf(stderr, "  seed %llu way %d start %d big %d no checksum %d chunks %d room %d rewrite %d\n", (unsigned long long)seed, (int)l.way,
                layout.at_start, layout.big_endian, layout.no_checksum, (int)layout.chunks, (int)l.room, l.rewrite);
}

TEST(random_lives_in_memory)
{
    for (uint64_t seed = 1; seed <= test_rounds(300) && test_failures < 5; seed++) live(seed, false);
}

TEST(random_lives_on_real_files)
{
    for (uint64_t seed = 1; seed <= test_rounds(60) && test_failures < 5; seed++) live(seed, true);
}

/* ---- updates ------------------------------------------------------------------------------------------------- */

/* A shard of five chunks in a rig. */
static void make_shard(rig *g, model *m, const shardio_index_layout *layout, bool real)
{
    shardio_shard_writer w;
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF);
    model_clear(m, layout);
    rig_begin(g, real, NULL, 0);
    CHECK_OK(shardio_shard_begin(&w, rig_open(g, false), layout, head, memory_for(layout), buffer, 16384, &o));
    for (uint64_t c = 0; c < 5; c++) put(&w, m, c, source + 9 * c, (size_t)(1000 * c + 7));
    CHECK_OK(shardio_shard_finish(&w, NULL));
    memset(&g->faulty, 0, sizeof g->faulty);
}

/* No old chunk is overwritten, and the size is known in advance: with the index at the start, a copy of it is appended. */
TEST(update_by_appending)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t way = 0; way < WAYS; way++) {
            shardio_index_layout layout = layout_number(bits, 8);
            shardio_slot_options o = slot_options(ways[way].direct);
            size_t index_size = shardio_index_size(&layout), old_size = 0, size = 0, from = layout.at_start ? index_size : 0;
            static uint8_t old[30000];
            const uint8_t *data;
            shardio_shard_writer w;
            model m;
            rig g;
            make_shard(&g, &m, &layout, ways[way].real);
            data = rig_contents(&g, &old_size);
            CHECK_U64(old_size, 10000 + 35 + index_size);
            memcpy(old, data, old_size);
            g.faulty.alignment = ways[way].alignment;
            CHECK_OK(shardio_shard_begin_update(&w, rig_open(&g, true), NULL, &layout, head, memory_for(&layout), buffer, 4096, &o));
            put(&w, &m, 2, source + 5, 5000);
            put(&w, &m, 7, source + 6, 600);
            CHECK_OK(shardio_shard_drop(&w, 1));
            m.chunk[1].data = NULL;
            CHECK_U64(shardio_shard_accounting(&w).dead_bytes, 2007 + 1007 + (layout.at_start ? 0 : index_size));
            CHECK_OK(shardio_shard_finish(&w, NULL));
            CHECK_U64(check_rig(&g, &m), 2007 + 1007 + index_size);
            data = rig_contents(&g, &size);
            CHECK_U64(size, old_size + 5600 + index_size);
            CHECK_BYTES(data + from, old + from, old_size - from);
            rig_end(&g);
        }
    }
}

TEST(update_without_changes)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        shardio_index_layout layout = layout_number(bits, 8);
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF);
        size_t old_size = 0, size = 0;
        shardio_shard_writer w;
        model m;
        rig g;
        make_shard(&g, &m, &layout, false);
        rig_contents(&g, &old_size);
        CHECK_OK(shardio_shard_begin_update(&w, rig_open(&g, true), NULL, &layout, head, memory_for(&layout), buffer, 4096, &o));
        CHECK_OK(shardio_shard_finish(&w, NULL));
        check_rig(&g, &m);
        rig_contents(&g, &size);
        CHECK_U64(size, old_size);
        CHECK_U64(g.faulty.calls[FAULTY_WRITE], 0);
        rig_end(&g);
    }
}

/* By name, in all ways; what is given up leaves the old shard, byte for byte. */
TEST(update_by_name)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (int h = 0; h < 4; h++) {
            bool abort = h >= 2, rewrite = h % 2 != 0;
            shardio_index_layout layout = layout_number(bits, 8);
            shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO);
            size_t index_size = shardio_index_size(&layout), old_size = 0, size = 0;
            shardio_shard_writer w;
            static uint8_t old[30000];
            const uint8_t *data;
            model m;
            rig g;
            make_shard(&g, &m, &layout, true);
            data = rig_contents(&g, &old_size);
            memcpy(old, data, old_size);
            o.buffer_size = 4096;
            CHECK_OK(shardio_shard_update(&w, g.path, &layout, rewrite ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND, &o));
            if (abort) {
                CHECK_OK(shardio_shard_put(&w, 2, source + 5, 50000));
                shardio_shard_abort(&w);
                rig_check(&g, old, old_size);
            } else {
                put(&w, &m, 2, source + 5, 50000);
                put(&w, &m, 6, source + 8, 3);
                if (rewrite) rig_check(&g, old, old_size);   /* until finish */
                CHECK_OK(shardio_shard_finish(&w, NULL));
                CHECK_U64(check_rig(&g, &m), rewrite ? 0 : 2007 + index_size);
                rig_contents(&g, &size);
                CHECK_U64(size, rewrite ? model_live(&m) + index_size : old_size + 50003 + index_size);
            }
            CHECK_U64(rig_count_names(rig_directory(), "tmp"), 0);
            rig_end(&g);
        }
    }
}

TEST(updates_of_what_is_no_shard)
{
    shardio_index_layout layout = layout_number(0, 8);
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO);
    shardio_shard_writer w;
    shardio_error error;
    rig g;
    rig_begin(&g, true, source, 5000);   /* noise */
    CHECK_STATUS(shardio_shard_update(&w, g.path, &layout, SHARDIO_UPDATE_APPEND, &o), SHARDIO_ERR_CHECKSUM);
    CHECK_STATUS(shardio_shard_put(&w, 1, source, 5), SHARDIO_ERR_CHECKSUM);
    CHECK_STATUS(shardio_shard_finish(&w, &error), SHARDIO_ERR_CHECKSUM);
    CHECK_STATUS(error.status, SHARDIO_ERR_CHECKSUM);
    rig_check(&g, source, 5000);
    CHECK_STATUS(shardio_shard_update(&w, g.path, &layout, SHARDIO_UPDATE_REWRITE, &o), SHARDIO_ERR_CHECKSUM);
    shardio_shard_abort(&w);
    rig_check(&g, source, 5000);
    rig_end(&g);

    rig_begin(&g, true, source, 100);
    CHECK_STATUS(shardio_shard_update(&w, g.path, &layout, SHARDIO_UPDATE_APPEND, &o), SHARDIO_ERR_TRUNCATED);
    CHECK_STATUS(shardio_shard_finish(&w, NULL), SHARDIO_ERR_TRUNCATED);
    rig_check(&g, source, 100);
    rig_end(&g);

    CHECK_STATUS(shardio_shard_update(&w, "no/such/file", &layout, SHARDIO_UPDATE_APPEND, &o), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_shard_finish(&w, NULL), SHARDIO_ERR_NOT_FOUND);
}

/* Entries that lie are not taken over into a new shard without a word. */
TEST(updates_of_damaged_shards)
{
    for (int how = 0; how < 2; how++) {
        shardio_index_layout layout = layout_number(0, 8);
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO);
        shardio_shard_writer w;
        uint8_t bytes[3000];
        shardio_status status;
        rig g;
        memcpy(bytes, source, sizeof bytes);
        shardio_index_clear(&layout, bytes + 1000);
        shardio_index_set(&layout, bytes + 1000, 0, 10, 20);
        shardio_index_set(&layout, bytes + 1000, 1, 900, 2000);
        shardio_index_seal(&layout, bytes + 1000);
        rig_begin(&g, true, bytes, 1000 + 132);
        status = shardio_shard_update(&w, g.path, &layout, how ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND, &o);
        if (status == SHARDIO_OK) {
            shardio_shard_put(&w, 4, source, 10);
            status = shardio_shard_finish(&w, NULL);
        } else {
            shardio_shard_abort(&w);
        }
        if (how == 1 || status != SHARDIO_OK) CHECK_STATUS(status, SHARDIO_ERR_CORRUPT);
        if (status != SHARDIO_OK) rig_check(&g, bytes, 1000 + 132);
        rig_end(&g);
    }
}

/* ---- checkpoints --------------------------------------------------------------------------------------------- */

static size_t find(const faulty_state *f, size_t from, faulty_call call, bool at_zero)
{
    for (size_t i = from; i < f->logged; i++)
        if (f->log[i].call == call && (f->log[i].offset == 0) == at_zero) return i;
    return f->logged;
}

/* Syncing every so many bytes is a checkpoint and then a sync: bytes that no index points to would not be saved. */
TEST(sync_every_is_a_checkpoint)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t way = 0; way < 4; way++) {
            shardio_index_layout layout = layout_number(bits, 40);
            shardio_slot_options o = slot_options(ways[way].direct);
            shardio_shard_writer w;
            uint64_t syncs = 0, seen = 0;
            model m;
            rig g;
            model_clear(&m, &layout);
            o.sync_every = 20000;
            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = ways[way].alignment;
            CHECK_OK(shardio_shard_begin(&w, rig_open(&g, false), &layout, head, memory_for(&layout), buffer, 8192, &o));
            for (uint64_t c = 0; c < 40; c++) {
                put(&w, &m, c, source + c, 3000);
                if (g.faulty.calls[FAULTY_SYNC] == syncs) continue;
                syncs = g.faulty.calls[FAULTY_SYNC];
                seen++;
                CHECK(g.faulty.published);
                CHECK_U64(check_rig(&g, &m), shardio_shard_accounting(&w).dead_bytes);
            }
            CHECK(seen >= 4 && seen <= 6);   /* 120000 bytes */
            CHECK_OK(shardio_shard_finish(&w, NULL));
            check_rig(&g, &m);
            rig_end(&g);
        }
    }
}

/* Index at the start: the copy behind everything, then a sync, then the head, then (durable) a sync. */
TEST(order_of_a_checkpoint)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t way = 0; way < 4; way++) {
            shardio_index_layout layout = layout_number(bits, 20);
            shardio_slot_options o = slot_options(ways[way].direct);
            shardio_shard_writer w;
            model m;
            rig g;
            model_clear(&m, &layout);
            o.durability = SHARDIO_DURABLE_FINISH;
            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = ways[way].alignment;
            CHECK_OK(shardio_shard_begin(&w, rig_open(&g, false), &layout, head, memory_for(&layout), buffer, 8192, &o));
            for (uint64_t round = 0; round < 3; round++) {
                size_t from = g.faulty.logged, copy, sync, top, last = 0;
                int failures = test_failures;
                char text[4000];
                for (uint64_t c = 0; c < 4; c++) put(&w, &m, round * 4 + c, source + c, 20000);
                CHECK_OK(shardio_shard_checkpoint(&w));
                CHECK_U64(check_rig(&g, &m), shardio_shard_accounting(&w).dead_bytes);
                for (size_t i = from; i < g.faulty.logged; i++)
                    if (g.faulty.log[i].call == FAULTY_WRITE) last = i;
                CHECK(find(&g.faulty, last, FAULTY_SYNC, true) < g.faulty.logged);   /* durable when it returns */
                if (layout.at_start && round > 0) {
                    top = find(&g.faulty, from, FAULTY_WRITE, true);
                    CHECK_U64(top, last);
                    copy = from;
                    for (size_t i = from; i < top; i++)
                        if (g.faulty.log[i].call == FAULTY_WRITE) copy = i;
                    sync = find(&g.faulty, copy, FAULTY_SYNC, true);
                    CHECK(sync < top);
                }
                if (!layout.at_start) CHECK(round == 0 || find(&g.faulty, from, FAULTY_WRITE, true) == g.faulty.logged);
                if (test_failures > failures && failures < 10)
                    fprintf(stderr, "  start %d way %d round %d: %s\n", layout.at_start, (int)way, (int)round, faulty_text(&g.faulty, from, text, sizeof text));
            }
            CHECK_OK(shardio_shard_finish(&w, NULL));
            check_rig(&g, &m);
            rig_end(&g);
        }
    }
}

/* At the start the copy at the tail is a valid index, for recover. */
TEST(the_tail_holds_a_copy_of_the_index)
{
    for (unsigned bits = 1; bits < 8; bits += 2) {
        shardio_index_layout layout = layout_number(bits, 20);
        size_t index_size = shardio_index_size(&layout), size = 0;
        const uint8_t *data;
        shardio_shard_writer w;
        rig g;
        rig_begin(&g, false, NULL, 0);
        CHECK_OK(begin(&w, &g, 2, &layout));
        for (uint64_t c = 0; c < 3; c++) {
            CHECK_OK(shardio_shard_put(&w, c, source, 20000));
            CHECK_OK(shardio_shard_checkpoint(&w));
            data = rig_contents(&g, &size);
            CHECK_U64(size, (c + 1) * 20000 + (c + 2) * index_size);
            CHECK_BYTES(data + size - index_size, data, index_size);
        }
        CHECK_OK(shardio_shard_finish(&w, NULL));
        rig_end(&g);
    }
}

/* A checkpoint without changes writes nothing, nor does a finish after it. */
TEST(checkpoint_without_changes)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t way = 0; way < 4; way++) {
            shardio_index_layout layout = layout_number(bits, 20);
            shardio_shard_writer w;
            uint64_t writes;
            size_t size = 0, after = 0;
            rig g;
            rig_begin(&g, false, NULL, 0);
            CHECK_OK(begin(&w, &g, way, &layout));
            CHECK_OK(shardio_shard_put(&w, 1, source, 20000));
            CHECK_OK(shardio_shard_checkpoint(&w));
            rig_contents(&g, &size);
            writes = g.faulty.calls[FAULTY_WRITE];
            CHECK_OK(shardio_shard_checkpoint(&w));
            CHECK_OK(shardio_shard_finish(&w, NULL));
            rig_contents(&g, &after);
            CHECK_U64(after, size);
            CHECK_U64(g.faulty.calls[FAULTY_WRITE], writes);
            rig_end(&g);
        }
    }
}

/* A head of many blocks. */
TEST(many_chunks)
{
    for (unsigned bits = 0; bits < 4; bits++) {
        for (size_t way = 0; way < WAYS; way++) {
            enum { MANY = 3000 };
            shardio_index_layout layout = layout_number(bits, MANY);
            shardio_shard_writer w;
            shardio_shard_reader reader;
            shardio_shard_summary summary;
            shardio_memory memory;
            size_t size = 0;
            const uint8_t *data;
            uint8_t one[8];
            uint64_t n = 0;
            rig g;
            rig_begin(&g, ways[way].real, NULL, 0);
            CHECK_OK(begin(&w, &g, way, &layout));
            for (uint64_t c = 0; c < MANY; c++) {
                CHECK_OK(shardio_shard_put(&w, MANY - 1 - c, source + c, 8));
                if (c % 1000 == 500) CHECK_OK(shardio_shard_checkpoint(&w));
            }
            CHECK_OK(shardio_shard_finish(&w, NULL));
            data = rig_contents(&g, &size);
            CHECK_OK(shardio_shard_open_file(&reader, file_of(&memory, data, size), &layout, NULL, NULL));
            for (uint64_t c = 0; c < MANY; c += 7) {
                CHECK_OK(shardio_shard_read(&reader, c, one, sizeof one, &n, NULL));
                CHECK_BYTES(one, source + MANY - 1 - c, 8);
            }
            CHECK_OK(shardio_shard_verify(&reader, &summary, NULL, NULL, NULL));
            CHECK_U64(summary.present, MANY);
            CHECK_U64(summary.dead_bytes, (layout.at_start ? 4 : 3) * shardio_index_size(&layout));   /* the last index is live, or has a copy, too */
            CHECK_U64(summary.smallest, 8);
            CHECK_U64(summary.largest, 8);
            shardio_shard_close(&reader);
            rig_end(&g);
        }
    }
}

/* ---- errors -------------------------------------------------------------------------------------------------- */

/* Whether a shard holds exactly what the model says; -1: it does not open. */
static int holds(const uint8_t *data, size_t size, const model *m)
{
    static uint8_t back[20000];
    shardio_shard_reader reader;
    shardio_memory memory;
    bool same = true;
    if (shardio_shard_open_file(&reader, file_of(&memory, data, size), &m->layout, NULL, NULL) != SHARDIO_OK) return -1;
    for (uint64_t c = 0; c < m->layout.chunks; c++) {
        uint64_t n = 0;
        same = same && shardio_shard_read(&reader, c, back, sizeof back, &n, NULL) == SHARDIO_OK
               && n == (m->chunk[c].data ? m->chunk[c].size : SHARDIO_MISSING)
               && (n == SHARDIO_MISSING || memcmp(back, m->chunk[c].data, (size_t)n) == 0);
    }
    shardio_shard_close(&reader);
    return same;
}

/* The n-th call fails, for each n, in the life of a shard with checkpoints and in that of an update: what is visible
   afterwards is the last checkpoint, or the one that failed; never something else. */
static void fail_every_call(unsigned bits, size_t way, bool update)
{
    for (uint64_t nth = 1; nth < 1000; nth = test_next(nth)) {
        shardio_index_layout layout = layout_number(bits, 8);
        shardio_slot_options o = slot_options(ways[way].direct);
        int failures = test_failures;
        shardio_shard_writer w;
        shardio_status status;
        shardio_error error;
        uint64_t fired;
        size_t size = 0, at;
        bool failed = false, visible = update;
        const uint8_t *data;
        char text[4000];
        model m, saved, attempt;
        rig g;
        if (update) {
            make_shard(&g, &m, &layout, false);
        } else {
            rig_begin(&g, false, NULL, 0);
            model_clear(&m, &layout);
        }
        saved = attempt = m;
        o.durability = SHARDIO_DURABLE_FINISH;
        g.faulty.alignment = ways[way].alignment;
        g.faulty.fail_at = nth;
        g.faulty.fail_only = ~FAULTY_ONLY(FAULTY_DIRECT);
        g.faulty.fail_code = 77;
        if (update) shardio_shard_begin_update(&w, rig_open(&g, true), NULL, &layout, head, memory_for(&layout), buffer, 8192, &o);
        else shardio_shard_begin(&w, rig_open(&g, false), &layout, head, memory_for(&layout), buffer, 8192, &o);
        for (uint64_t c = 0; c < 6; c++) {
            m.chunk[c].data = source + 3 * c;
            m.chunk[c].size = 10000 + (size_t)c;
            failed = shardio_shard_put(&w, c, m.chunk[c].data, m.chunk[c].size) != SHARDIO_OK || failed;
            if (c % 2 == 0) continue;
            if (!failed) attempt = m;
            failed = shardio_shard_checkpoint(&w) != SHARDIO_OK || failed;
            if (failed) continue;
            saved = m;
            visible = true;
        }
        status = shardio_shard_finish(&w, &error);
        fired = g.faulty.fired;
        CHECK_U64(g.faulty.closed, 1);
        CHECK_STATUS(error.status, status);
        CHECK_STATUS(status, fired ? SHARDIO_ERR_IO : SHARDIO_OK);
        CHECK(fired || !failed);
        if (fired) CHECK_U64(error.system_code, 77);
        if (fired) CHECK(g.faulty.how == SHARDIO_CLOSE_DISCARD);
        visible = visible || g.faulty.published;
        data = rig_contents(&g, &size);
        at = layout.at_start ? size - shardio_index_size(&layout) : 0;
        if (visible && holds(data, size, &saved) != 1 && holds(data, size, &attempt) != 1) {
            CHECK_U64(holds(data, size, &saved), 1);
            CHECK_U64(holds(data, size, &attempt), 1);
            if (layout.at_start && size > at) fprintf(stderr, "  a copy of the index at the end: %s\n", shardio_status_name(shardio_index_check(&layout, data + at)));
        }
        rig_end(&g);
        if (test_failures > failures)
            fprintf(stderr, "  call %d, start %d checksum %d way %d update %d: %s\n", (int)nth, layout.at_start, !layout.no_checksum, (int)way,
                    update, faulty_text(&g.faulty, 0, text, sizeof text));
        if (fired == 0 || test_failures > 10) return;
    }
    CHECK_TEXT("the life", "ended");
}

TEST(every_call_fails_in_turn)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t way = 0; way < 4; way += 2) {
            fail_every_call(bits, way, false);
            fail_every_call(bits, way, true);
        }
    }
}

/* Plays the tape up to operation `count`, of those after the last sync only some: the power went. */
static size_t play_crash(const faulty_tape *t, size_t count, uint64_t seed, const uint8_t *before, size_t size, uint8_t *state, size_t room)
{
    size_t synced = 0;
    memset(state, 0, room);
    memcpy(state, before, size);
    for (size_t i = 0; i < count; i++)
        if (t->op[i].call == FAULTY_SYNC) synced = i;
    for (size_t i = 0; i < count; i++) {
        size_t n = (size_t)t->op[i].size, offset = (size_t)t->op[i].offset;
        if (i > synced && seed != 0 && test_random(&seed) % 2) continue;                      /* never reached the disk */
        if (i > synced && seed != 0 && n > 0 && t->op[i].call == FAULTY_WRITE && test_random(&seed) % 4 == 0)
            n = (size_t)(test_random(&seed) % n);                                             /* torn */
        if (t->op[i].call == FAULTY_WRITE && offset + n <= room) {
            memcpy(state + offset, t->data + t->op[i].at, n);
            if (offset + n > size) size = offset + n;
        } else if (t->op[i].call == FAULTY_RESIZE && n <= room) {
            if (n < size) memset(state + n, 0, size - n);
            size = n;
        }
    }
    return size;
}

/* Whether an index that ends at `end` is valid and gives exactly what the model says. */
static bool index_holds(const uint8_t *data, size_t size, size_t end, const model *m)
{
    size_t n = shardio_index_size(&m->layout);
    uint64_t offset, length;
    if (end < n || end > size || shardio_index_check(&m->layout, data + end - n) != SHARDIO_OK) return false;
    for (uint64_t c = 0; c < m->layout.chunks; c++) {
        shardio_index_get(&m->layout, data + end - n, c, &offset, &length);
        if ((length == SHARDIO_MISSING) != (m->chunk[c].data == NULL)) return false;
        if (length == SHARDIO_MISSING) continue;
        if (length != m->chunk[c].size || offset > size || length > size - offset) return false;
        if (memcmp(data + offset, m->chunk[c].data, (size_t)length) != 0) return false;
    }
    return true;
}

enum { STAGES = 6 };

/* A crash after any operation, what was not synced lost, torn or out of order: the last durable stage, or a later one,
   is there with a valid index. */
static void crash_everywhere(unsigned bits, size_t way, bool update)
{
    static faulty_tape tape;
    static uint8_t before[30000], state[1 << 18];
    static model stages[STAGES];
    size_t ends[STAGES], durable_at[STAGES], stage = 0, size = 0;
    shardio_index_layout layout = layout_number(bits, 8);
    shardio_slot_options o = slot_options(ways[way].direct);
    const uint8_t *now;
    shardio_shard_writer w;
    model m;
    rig g;
    tape.ops = tape.used = 0;
    o.durability = SHARDIO_DURABLE_FINISH;
    if (update) {
        make_shard(&g, &m, &layout, false);
        now = rig_contents(&g, &size);
        memcpy(before, now, size);
        stages[0] = m;
        ends[0] = layout.at_start ? shardio_index_size(&layout) : size;
        durable_at[stage++] = 0;
    } else {
        rig_begin(&g, false, NULL, 0);
        model_clear(&m, &layout);
    }
    g.faulty.alignment = ways[way].alignment;
    g.faulty.tape = &tape;
    if (update) CHECK_OK(shardio_shard_begin_update(&w, rig_open(&g, true), NULL, &layout, head, memory_for(&layout), buffer, 8192, &o));
    else CHECK_OK(shardio_shard_begin(&w, rig_open(&g, false), &layout, head, memory_for(&layout), buffer, 8192, &o));
    for (uint64_t c = 0; c < 7; c++) {
        put(&w, &m, c, source + 5 * c, 6000 + (size_t)c);
        if (c % 2 == 0) continue;
        CHECK_OK(shardio_shard_checkpoint(&w));
        stages[stage] = m;
        ends[stage] = (size_t)shardio_slot_size(&w.slot);
        durable_at[stage++] = tape.ops;
    }
    CHECK_OK(shardio_shard_finish(&w, NULL));
    stages[stage] = m;
    ends[stage] = g.memory.size;
    durable_at[stage++] = tape.ops;
    for (size_t count = 0; count <= tape.ops; count++) {
        for (uint64_t seed = 0; seed < test_rounds(6); seed++) {
            size_t length = play_crash(&tape, count, seed ? seed * 1000 + count : 0, before, size, state, sizeof state);
            bool held = count < durable_at[0];
            for (size_t s = 0; s < stage && !held; s++)
                held = (s + 1 == stage || durable_at[s + 1] > count)   /* no later one is durable */
                       && (index_holds(state, length, ends[s], &stages[s])
                           || (layout.at_start && index_holds(state, length, shardio_index_size(&layout), &stages[s])));
            if (CHECK(held)) continue;
            if (test_failures < 10) fprintf(stderr, "  crash after %d of %d, seed %d, start %d way %d update %d\n", (int)count, (int)tape.ops, (int)seed, layout.at_start, (int)way, update);
            break;
        }
    }
    rig_end(&g);
}

TEST(crashes_leave_the_old_or_the_new_shard)
{
    for (unsigned bits = 0; bits < 4; bits++)
        for (size_t way = 0; way < 4; way++)
            for (int update = 0; update < 2; update++) crash_everywhere(bits, way, update != 0);
}

TEST(wrong_calls_stick)
{
    static const uint64_t numbers[] = {0, 9};
    for (int i = 0; i < 7; i++) {
        shardio_index_layout layout = layout_number(0, 8);
        shardio_shard_writer w;
        shardio_status status = SHARDIO_OK;
        shardio_error error;
        rig g;
        rig_begin(&g, false, NULL, 0);
        CHECK_OK(begin(&w, &g, 0, &layout));
        CHECK_OK(shardio_shard_put(&w, 1, source, 10));
        switch (i) {
        case 0: status = shardio_shard_put(&w, 8, source, 10); break;
        case 1: status = shardio_shard_put(&w, UINT64_MAX, source, 10); break;
        case 2: status = shardio_shard_put(&w, 0, NULL, 10); break;
        case 3: status = shardio_shard_drop(&w, 8); break;
        case 4: status = shardio_shard_put_many(&w, numbers, 2, source, 10); break;
        case 5: status = shardio_shard_put_many(&w, numbers, 2, source, SIZE_MAX / 2 + 1); break;   /* 0 bytes modulo 2^64 */
        default: status = shardio_shard_put_many(&w, NULL, 2, source, 10); break;
        }
        CHECK_STATUS(status, SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_shard_put(&w, 0, source, 10), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_shard_finish(&w, &error), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
        CHECK(error.operation != NULL);
        CHECK(!g.faulty.published);
        CHECK_U64(g.faulty.calls[FAULTY_WRITE], 0);
        rig_end(&g);
    }
    {
        shardio_index_layout none = layout_number(0, 0), huge = layout_number(0, UINT64_MAX);
        shardio_shard_writer w;
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF);
        rig g;
        rig_begin(&g, false, NULL, 0);
        CHECK_STATUS(shardio_shard_begin(&w, rig_open(&g, false), &none, head, sizeof head, buffer, 4096, &o), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_shard_finish(&w, NULL), SHARDIO_ERR_ARGUMENT);
        CHECK_U64(g.faulty.closed, 1);
        rig_end(&g);
        rig_begin(&g, false, NULL, 0);
        CHECK(shardio_shard_begin(&w, rig_open(&g, false), &huge, head, sizeof head, buffer, 4096, &o) != SHARDIO_OK);
        CHECK(shardio_shard_finish(&w, NULL) != SHARDIO_OK);
        rig_end(&g);
        rig_begin(&g, false, NULL, 0);
        CHECK_STATUS(shardio_shard_begin_update(&w, rig_open(&g, true), NULL, &none, head, sizeof head, buffer, 4096, &o),
                     SHARDIO_ERR_ARGUMENT);
        CHECK_U64(g.faulty.closed, 1);
        rig_end(&g);
        CHECK_STATUS(shardio_shard_put(NULL, 0, source, 1), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_shard_finish(NULL, NULL), SHARDIO_ERR_ARGUMENT);
        shardio_shard_abort(NULL);
    }
}

/* One that is rewritten appears when it is finished, with as many chunks as before; one that was closed holds nothing. */
TEST(wrong_calls_to_a_shard_that_is_there)
{
    for (int i = 0; i < 2; i++) {
        shardio_index_layout layout = layout_number(0, 8), other = layout_number(0, 8u + (unsigned)i);
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF);
        shardio_shard_reader old;
        shardio_shard_writer w;
        shardio_error error;
        shardio_memory memory;
        uint64_t offset, length;
        size_t size;
        model m;
        rig g, fresh;
        make_shard(&g, &m, &layout, false);
        const uint8_t *data = rig_contents(&g, &size);
        CHECK_OK(shardio_shard_open_file(&old, file_of(&memory, data, size), &layout, NULL, &error));
        rig_begin(&fresh, false, NULL, 0);
        shardio_status begun = shardio_shard_begin_update(&w, rig_open(&fresh, false), &old, &other, head, memory_for(&other),
                                                          buffer, 4096, &o);
        CHECK_STATUS(begun, i == 0 ? SHARDIO_OK : SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_shard_checkpoint(&w), i == 0 ? SHARDIO_ERR_STATE : SHARDIO_ERR_ARGUMENT);
        CHECK(shardio_shard_finish(&w, NULL) != SHARDIO_OK);
        CHECK(!fresh.faulty.published);
        rig_end(&fresh);
        shardio_shard_close(&old);
        CHECK_STATUS(shardio_shard_locate(&old, 0, &offset, &length, &error), SHARDIO_ERR_STATE);
        CHECK_STATUS(error.status, SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_shard_verify(&old, NULL, NULL, NULL, &error), SHARDIO_ERR_STATE);
        rig_end(&g);
    }
}

TEST(create_by_name)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        for (int direct = 0; direct < 3; direct += 2) {
            shardio_index_layout layout = layout_number(bits, 8);
            shardio_slot_options o = slot_options((shardio_direct)direct);
            shardio_allocator allocator;
            counting count;
            shardio_shard_writer w;
            shardio_error error;
            model m;
            rig g;
            allocator = counting_allocator(&count);
            o.allocator = &allocator;
            model_clear(&m, &layout);
            rig_begin(&g, true, NULL, 0);
            CHECK_OK(shardio_shard_create(&w, g.path, &layout, &o));
            for (uint64_t c = 0; c < 8; c++) put(&w, &m, c, source + c, 20480);
            CHECK(access(g.path, F_OK) != 0);
            CHECK_OK(shardio_shard_finish(&w, NULL));
            CHECK_U64(check_rig(&g, &m), 0);
            CHECK_U64(count.held, 0);
            CHECK(count.peak < (5u << 20));

            CHECK_STATUS(shardio_shard_create(&w, g.path, &layout, &o), SHARDIO_ERR_EXISTS);
            CHECK_STATUS(shardio_shard_put(&w, 0, source, 1), SHARDIO_ERR_EXISTS);
            CHECK_STATUS(shardio_shard_finish(&w, &error), SHARDIO_ERR_EXISTS);
            CHECK(strstr(error.subject, "file-") != NULL);
            CHECK_U64(check_rig(&g, &m), 0);

            for (uint64_t nth = 1; nth < 20; nth++) {   /* no memory: nothing written, nothing lost */
                o.overwrite = true;
                count.fail_at = count.calls + nth;
                if (shardio_shard_create(&w, g.path, &layout, &o) == SHARDIO_OK) {
                    shardio_shard_abort(&w);
                    CHECK(nth > 1);
                    break;
                }
                CHECK_STATUS(shardio_shard_finish(&w, &error), SHARDIO_ERR_MEMORY);
                CHECK_U64(count.held, 0);
            }
            CHECK_U64(check_rig(&g, &m), 0);
            CHECK_U64(rig_count_names(rig_directory(), "tmp"), 0);
            rig_end(&g);
        }
    }
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* A shard of 40 chunks in order, of 100 + 10 c bytes each; every seventh is missing. */
static void make_many(rig *g, model *m, unsigned bits)
{
    shardio_index_layout layout = layout_number(bits, 40);
    shardio_shard_writer w;
    model_clear(m, &layout);
    rig_begin(g, false, NULL, 0);
    CHECK_OK(begin(&w, g, 0, &layout));
    for (uint64_t c = 0; c < 40; c++)
        if (c % 7 != 6) put(&w, m, c, source + c, (size_t)(100 + 10 * c));
    CHECK_OK(shardio_shard_finish(&w, NULL));
    memset(&g->faulty, 0, sizeof g->faulty);
}

typedef struct taken {
    const model *m;
    unsigned times[MODEL_CHUNKS];
    size_t stop_after, count;
} taken;

static shardio_status take(void *context, uint64_t chunk, const uint8_t *data, size_t size, shardio_error *error)
{
    taken *t = (taken *)context;
    (void)error;
    if (!CHECK(chunk < t->m->layout.chunks)) return SHARDIO_ERR_CORRUPT;
    t->times[chunk]++;
    t->count++;
    if (t->m->chunk[chunk].data == NULL) {
        CHECK(data == NULL);
    } else {
        CHECK_U64(size, t->m->chunk[chunk].size);
        CHECK_BYTES(data, t->m->chunk[chunk].data, size);
    }
    return t->stop_after && t->count == t->stop_after ? SHARDIO_ERR_CANCELLED : SHARDIO_OK;
}

TEST(one_read_to_open_and_one_a_chunk)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        static uint8_t back[4096];
        shardio_shard_reader reader;
        uint64_t n = 0, offset = 0;
        model m;
        rig g;
        make_many(&g, &m, bits);
        CHECK_OK(shardio_shard_open_file(&reader, rig_open(&g, true), &m.layout, NULL, NULL));
        CHECK_U64(g.faulty.calls[FAULTY_READ], 1);
        CHECK_U64(g.faulty.bytes_read, shardio_index_size(&m.layout));
        for (uint64_t c = 0, reads = 1; c < 40; c++) {
            CHECK_OK(shardio_shard_locate(&reader, c, &offset, &n, NULL));
            CHECK_U64(n, m.chunk[c].data ? m.chunk[c].size : SHARDIO_MISSING);
            CHECK_U64(g.faulty.calls[FAULTY_READ], reads);
            CHECK_OK(shardio_shard_read(&reader, c, back, sizeof back, &n, NULL));
            reads += m.chunk[c].data != NULL;
            CHECK_U64(g.faulty.calls[FAULTY_READ], reads);
            CHECK_U64(reader.reads, reads);
        }
        /* exactly the capacity is enough, less is not, and says how much it takes */
        CHECK_OK(shardio_shard_read(&reader, 3, back, 130, &n, NULL));
        n = 0;
        CHECK_STATUS(shardio_shard_read(&reader, 3, back, 129, &n, NULL), SHARDIO_ERR_LIMIT);
        CHECK_U64(n, 130);
        CHECK_STATUS(shardio_shard_read(&reader, 40, back, sizeof back, &n, NULL), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_shard_locate(&reader, UINT64_MAX, &offset, &n, NULL), SHARDIO_ERR_ARGUMENT);
        CHECK_OK(shardio_shard_read(&reader, 3, back, 130, &n, NULL));   /* never sticky */
        shardio_shard_close(&reader);
        CHECK_U64(g.faulty.closed, 1);
        rig_end(&g);
    }
}

TEST(neighbours_are_read_together)
{
    static const struct {
        uint64_t first, step, count;
        size_t memory;
        uint64_t reads;
    } table[] = {
        {0, 1, 40, 65536, 1},     /* all: missing ones take no room in the file */
        {0, 1, 6, 65536, 1}, {7, 1, 3, 65536, 1},
        {39, 1, 1, 65536, 1}, {6, 7, 5, 65536, 0},      /* all missing */
        {0, 2, 3, 65536, 3},      /* 0, 2, 4: not neighbours */
        {0, 1, 5, 1000, 1},       /* 100 + 110 + 120 + 130 + 140 = 600 bytes */
        {0, 1, 5, 600, 1}, {0, 1, 5, 599, 2}, {0, 1, 5, 140, 5},
        {0, 1, 0, 140, 0},
    };
    for (unsigned bits = 0; bits < 4; bits++) {
        static uint8_t memory[65536];
        shardio_shard_reader reader;
        model m;
        rig g;
        make_many(&g, &m, bits);
        CHECK_OK(shardio_shard_open_file(&reader, rig_open(&g, true), &m.layout, NULL, NULL));
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            uint64_t numbers[40], before = g.faulty.calls[FAULTY_READ];
            taken t;
            memset(&t, 0, sizeof t);
            t.m = &m;
            for (uint64_t k = 0; k < table[i].count; k++) numbers[table[i].count - 1 - k] = table[i].first + table[i].step * k;
            CHECK_OK(shardio_shard_read_many(&reader, numbers, (size_t)table[i].count, memory, table[i].memory, take, &t, NULL));
            CHECK_U64(g.faulty.calls[FAULTY_READ] - before, table[i].reads);
            for (uint64_t k = 0; k < table[i].count; k++) CHECK_U64(t.times[numbers[k]], 1);
            CHECK_U64(t.count, table[i].count);
        }
        {
            uint64_t numbers[3] = {0, 1, 39};   /* 39 has 490 bytes */
            taken t;
            shardio_error error;
            memset(&t, 0, sizeof t);
            t.m = &m;
            CHECK_STATUS(shardio_shard_read_many(&reader, numbers, 3, memory, 489, take, &t, &error), SHARDIO_ERR_LIMIT);
            memset(&t, 0, sizeof t);
            t.m = &m;
            t.stop_after = 2;
            CHECK_STATUS(shardio_shard_read_many(&reader, numbers, 3, memory, 65536, take, &t, &error), SHARDIO_ERR_CANCELLED);
            CHECK_STATUS(error.status, SHARDIO_ERR_CANCELLED);
            CHECK_U64(t.count, 2);
            numbers[1] = 40;
            CHECK_STATUS(shardio_shard_read_many(&reader, numbers, 3, memory, 65536, take, &t, &error), SHARDIO_ERR_ARGUMENT);
        }
        shardio_shard_close(&reader);
        rig_end(&g);
    }
}

/* More than one window, in any order, with repetitions, short reads and little memory. */
TEST(random_reads)
{
    uint64_t seed = 5;
    for (unsigned round = 0; round < 60; round++) {
        static uint8_t memory[8192];
        static uint64_t numbers[700];
        unsigned wanted[MODEL_CHUNKS] = {0};
        shardio_shard_reader reader;
        size_t count = (size_t)(test_random(&seed) % 700);
        taken t;
        model m;
        rig g;
        make_many(&g, &m, round % 8);
        memset(&t, 0, sizeof t);
        t.m = &m;
        g.faulty.shorten = 1 + test_random(&seed) % 1000;
        CHECK_OK(shardio_shard_open_file(&reader, rig_open(&g, true), &m.layout, NULL, NULL));
        for (size_t i = 0; i < count; i++) wanted[numbers[i] = test_random(&seed) % 40]++;
        CHECK_OK(shardio_shard_read_many(&reader, numbers, count, memory, 490 + (size_t)(test_random(&seed) % 7000), take, &t, NULL));
        for (size_t c = 0; c < 40; c++) CHECK_U64(t.times[c], wanted[c]);
        shardio_shard_close(&reader);
        rig_end(&g);
    }
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

static shardio_status open_bytes(const uint8_t *data, size_t size, const shardio_index_layout *layout, counting *count)
{
    shardio_memory memory;
    shardio_shard_reader reader;
    shardio_allocator allocator = counting_allocator(count);
    shardio_error error;
    shardio_status status;
    memset(&error, 0, sizeof error);
    status = shardio_shard_open_file(&reader, file_of(&memory, data, size), layout, &allocator, &error);
    CHECK_STATUS(error.status, status);
    if (status != SHARDIO_OK) {
        char text[512];
        CHECK(error.operation != NULL && strlen(shardio_error_text(&error, text, sizeof text)) > 10);
        CHECK_U64(count->held, 0);
    }
    shardio_shard_close(&reader);
    CHECK_U64(count->held, 0);
    return status;
}

TEST(files_that_are_no_shards)
{
    for (unsigned bits = 0; bits < 8; bits++) {
        shardio_index_layout layout = layout_number(bits, 40);
        uint8_t *bytes;
        counting count;
        size_t size = 0, index_size = shardio_index_size(&layout), at;
        model m;
        rig g;
        make_many(&g, &m, bits);
        bytes = (uint8_t *)(uintptr_t)rig_contents(&g, &size);
        at = layout.at_start ? 0 : size - index_size;
        CHECK_OK(open_bytes(bytes, size, &layout, &count));
        CHECK(count.peak <= index_size + 64);
        for (size_t n = 0; n < index_size; n++) CHECK_STATUS(open_bytes(bytes, n, &layout, &count), SHARDIO_ERR_TRUNCATED);
        if (!layout.no_checksum) {
            for (size_t bit = 0; bit < 8 * index_size; bit += 13) {
                bytes[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
                CHECK_STATUS(open_bytes(bytes, size, &layout, &count), SHARDIO_ERR_CHECKSUM);
                bytes[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            layout.big_endian = !layout.big_endian;   /* the checksum is right; the numbers are not */
            CHECK_OK(open_bytes(bytes, size, &layout, &count));
            layout.big_endian = !layout.big_endian;
            if (!layout.at_start) {   /* longer or shorter than it was, as after a crash */
                for (size_t n = 1; n < 300; n += 7) {
                    static uint8_t padded[65536];
                    memcpy(padded, bytes, size);
                    CHECK_STATUS(open_bytes(padded, size + n, &layout, &count), SHARDIO_ERR_CHECKSUM);
                    CHECK_STATUS(open_bytes(padded, size - n, &layout, &count), SHARDIO_ERR_CHECKSUM);
                }
                for (uint64_t chunks = 1; chunks < 60; chunks++) {   /* the wrong number of chunks */
                    layout.chunks = chunks;
                    CHECK_STATUS(open_bytes(bytes, size, &layout, &count), chunks == 40 ? SHARDIO_OK : SHARDIO_ERR_CHECKSUM);
                }
            }
        }
        rig_end(&g);
    }
}

/* More chunks than the file could have entries: refused before any memory is taken. */
TEST(huge_numbers_of_chunks)
{
    static const uint64_t counts[] = {UINT64_C(1) << 30, UINT64_C(1) << 40, (UINT64_C(1) << 60) - 1, UINT64_C(1) << 60, UINT64_MAX / 16, UINT64_MAX};
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t i = 0; i < 6; i++) {
            shardio_index_layout layout = layout_number(bits, counts[i]);
            counting count;
            CHECK(open_bytes(source, 5000, &layout, &count) != SHARDIO_OK);
            CHECK_U64(count.calls, 0);
        }
    }
    {
        shardio_index_layout none = layout_number(0, 0);
        counting count;
        CHECK_STATUS(open_bytes(source, 5000, &none, &count), SHARDIO_ERR_ARGUMENT);
    }
}

static void count_finding(void *context, const shardio_error *finding)
{
    CHECK(finding->status != SHARDIO_OK && finding->reason != NULL);
    ++*(unsigned *)context;
}

/* Entries of a shard of 1000 bytes and 4 chunks, the index sealed: what reading and verifying say. */
TEST(entries_that_lie)
{
    static const struct {
        uint64_t offset[2], length[2];   /* of chunks 1 and 2; chunk 0 is 10 bytes at 100 */
        shardio_status read[2], verify;
        uint64_t dead;                   /* where it is sound */
    } table[] = {
        {{200, 300}, {50, 60}, {SHARDIO_OK, SHARDIO_OK}, SHARDIO_OK, 1000 - 120},
        {{200, 250}, {50, 60}, {SHARDIO_OK, SHARDIO_OK}, SHARDIO_OK, 1000 - 120},
        {{200, 249}, {50, 60}, {SHARDIO_OK, SHARDIO_OK}, SHARDIO_ERR_CORRUPT, 0},     /* overlap by a byte */
        {{200, 200}, {50, 50}, {SHARDIO_OK, SHARDIO_OK}, SHARDIO_ERR_CORRUPT, 0},     /* the same */
        {{100, 300}, {10, 50}, {SHARDIO_OK, SHARDIO_OK}, SHARDIO_ERR_CORRUPT, 0},     /* as chunk 0 */
        {{90, 300}, {300, 50}, {SHARDIO_OK, SHARDIO_OK}, SHARDIO_ERR_CORRUPT, 0},     /* around all */
        {{200, 2000}, {50, 50}, {SHARDIO_OK, SHARDIO_ERR_CORRUPT}, SHARDIO_ERR_CORRUPT, 0},
        {{UINT64_MAX - 10, 300}, {11, 50}, {SHARDIO_ERR_CORRUPT, SHARDIO_OK}, SHARDIO_ERR_CORRUPT, 0},
        {{500, UINT64_MAX}, {600, UINT64_MAX}, {SHARDIO_ERR_CORRUPT, SHARDIO_OK}, SHARDIO_ERR_CORRUPT, 0},
        {{UINT64_MAX, 0}, {UINT64_MAX, UINT64_MAX}, {SHARDIO_OK, SHARDIO_ERR_CORRUPT}, SHARDIO_ERR_CORRUPT, 0},
    };
    for (unsigned bits = 0; bits < 8; bits++) {
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            shardio_index_layout layout = layout_number(bits, 4);
            size_t index_size = shardio_index_size(&layout), shift = layout.at_start ? index_size : 0;
            uint8_t bytes[1100], back[2000], *index = bytes + (layout.at_start ? 0 : 1000);
            shardio_memory memory;
            shardio_shard_reader reader;
            shardio_shard_summary summary;
            unsigned findings = 0;
            uint64_t n = 0;
            int failures = test_failures;
            memcpy(bytes, source, sizeof bytes);
            shardio_index_clear(&layout, index);
            shardio_index_set(&layout, index, 0, 100 + shift, 10);
            for (int c = 0; c < 2; c++) {
                bool plain = table[i].offset[c] < 1000;
                shardio_index_set(&layout, index, (uint64_t)c + 1, table[i].offset[c] + (plain ? shift : 0), table[i].length[c]);
            }
            shardio_index_seal(&layout, index);
            CHECK_OK(shardio_shard_open_file(&reader, file_of(&memory, bytes, 1000 + index_size), &layout, NULL, NULL));
            CHECK_OK(shardio_shard_read(&reader, 0, back, sizeof back, &n, NULL));   /* the sound one reads, always */
            CHECK_BYTES(back, bytes + 100 + shift, 10);
            for (uint64_t c = 0; c < 2; c++) CHECK_STATUS(shardio_shard_read(&reader, c + 1, back, sizeof back, &n, NULL), table[i].read[c]);
            CHECK_STATUS(shardio_shard_verify(&reader, &summary, count_finding, &findings, NULL), table[i].verify);
            CHECK_U64(summary.faults, findings);
            CHECK((findings > 0) == (table[i].verify != SHARDIO_OK));
            if (findings == 0) CHECK_U64(summary.dead_bytes, table[i].dead);
            shardio_shard_close(&reader);
            if (test_failures > failures) fprintf(stderr, "  row %d bits %u\n", (int)i, bits);
        }
    }
}

/* Noise for an index, without a checksum to stop it: nothing outside the file is read. */
TEST(noise)
{
    uint64_t seed = 11;
    for (int round = 0; round < 300; round++) {
        shardio_index_layout layout = layout_number(4 + (unsigned)round % 4, 1 + test_random(&seed) % 20);
        size_t size = shardio_index_size(&layout) + (size_t)(test_random(&seed) % 500), at;
        uint8_t *bytes = (uint8_t *)malloc(size), back[1000];
        shardio_memory memory;
        shardio_shard_reader reader;
        if (!CHECK(bytes != NULL)) return;
        memcpy(bytes, source, size);
        at = layout.at_start ? 0 : size - shardio_index_size(&layout);
        for (uint64_t c = 0; c < layout.chunks; c++) {
            uint64_t a = test_random(&seed), b = test_random(&seed);
            shardio_index_set(&layout, bytes + at, c, a >> (a % 64), b >> (b % 64));
        }
        CHECK_OK(shardio_shard_open_file(&reader, file_of(&memory, bytes, size), &layout, NULL, NULL));
        for (uint64_t c = 0; c < layout.chunks; c++) {
            uint64_t n = 0;
            shardio_status status = shardio_shard_read(&reader, c, back, sizeof back, &n, NULL);
            CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_CORRUPT || status == SHARDIO_ERR_LIMIT);
        }
        shardio_shard_verify(&reader, NULL, NULL, NULL, NULL);
        shardio_shard_close(&reader);
        free(bytes);
    }
}

/* The file became shorter behind the reader's back. */
TEST(changed_under_the_reader)
{
    WINE_CANNOT("replace a file that is open");
    shardio_index_layout layout = layout_number(0, 8);
    static uint8_t back[10000];
    shardio_shard_reader reader;
    shardio_error error;
    uint64_t n = 0;
    model m;
    rig g;
    make_shard(&g, &m, &layout, true);
    CHECK_OK(shardio_shard_open(&reader, g.path, &layout, NULL, &error));
    CHECK_OK(shardio_shard_unchanged(&reader, &error));
    CHECK_OK(shardio_shard_read(&reader, 4, back, sizeof back, &n, &error));
    CHECK_BYTES(back, m.chunk[4].data, (size_t)n);
    if (!CHECK(truncate(g.path, 7000) == 0)) return;
    CHECK_STATUS(shardio_shard_unchanged(&reader, &error), SHARDIO_ERR_CHANGED);
    CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
    CHECK(shardio_shard_read(&reader, 4, back, sizeof back, &n, &error) != SHARDIO_OK);
    CHECK(strstr(error.subject, "file-") != NULL);
    CHECK_OK(shardio_shard_read(&reader, 1, back, sizeof back, &n, &error));
    shardio_shard_close(&reader);
    rig_end(&g);
    make_shard(&g, &m, &layout, true);
    CHECK_OK(shardio_shard_open(&reader, g.path, &layout, NULL, &error));
    {   /* replaced, as by a compaction: the open one can still be read, but is not the one of that name */
        char other[420];
        snprintf(other, sizeof other, "%s.new", g.path);
        rig_put(other, "other", 5);
        CHECK(rename(other, g.path) == 0);
    }
    CHECK_STATUS(shardio_shard_unchanged(&reader, &error), SHARDIO_ERR_CHANGED);
    CHECK_OK(shardio_shard_read(&reader, 4, back, sizeof back, &n, &error));
    CHECK_BYTES(back, m.chunk[4].data, (size_t)n);
    shardio_shard_close(&reader);
    rig_end(&g);
    CHECK_STATUS(shardio_shard_open(&reader, "no/such/file", &layout, NULL, &error), SHARDIO_ERR_NOT_FOUND);
    shardio_shard_close(&reader);
}

/* A file whose shard grows by a chunk just when it was asked how large it is. */
static struct {
    shardio_file file;
    shardio_shard_writer *writer;
} growing;

static shardio_status facts_then_grow(void *file, shardio_file_facts *facts, int *code)
{
    shardio_shard_writer *w = growing.writer;
    shardio_status status = growing.file.functions->facts(file, facts, code);
    growing.writer = NULL;
    if (w == NULL) return status;
    CHECK_OK(shardio_shard_put(w, 3, source + 3000, 700));
    CHECK_OK(shardio_shard_checkpoint(w));
    return status;
}

/* What is read is the shard of before or of after. */
TEST(opened_while_it_grows)
{
    for (unsigned bits = 0; bits < 2; bits++) {
        shardio_index_layout layout = layout_number(bits, 8);
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF);
        static uint8_t back[1000];
        shardio_file_functions functions;
        shardio_shard_writer w;
        shardio_shard_reader reader;
        shardio_memory memory;
        shardio_error error;
        uint64_t n = 0;
        memset(&memory, 0, sizeof memory);
        growing.file = shardio_memory_file(&memory, "growing");
        CHECK_OK(shardio_shard_begin(&w, growing.file, &layout, head, memory_for(&layout), buffer, 4096, &o));
        CHECK_OK(shardio_shard_put(&w, 1, source + 1000, 500));
        CHECK_OK(shardio_shard_checkpoint(&w));
        growing.writer = &w;
        functions = *growing.file.functions;
        functions.facts = facts_then_grow;
        shardio_file file = {&functions, growing.file.context, "growing"};
        CHECK_OK(shardio_shard_open_file(&reader, file, &layout, NULL, &error));
        CHECK_STATUS(shardio_shard_unchanged(&reader, NULL), SHARDIO_ERR_CHANGED);   /* a file without an identity */
        CHECK_OK(shardio_shard_read(&reader, 1, back, sizeof back, &n, &error));
        CHECK_BYTES(back, source + 1000, 500);
        CHECK_OK(shardio_shard_read(&reader, 3, back, sizeof back, &n, &error));
        CHECK_U64(n, layout.at_start ? 700 : SHARDIO_MISSING);
        if (n == 700) CHECK_BYTES(back, source + 3000, 700);
        shardio_shard_close(&reader);
        CHECK_OK(shardio_shard_finish(&w, &error));
        shardio_memory_free(&memory);
    }
}

/* The n-th read fails: the call says so, and the next one works. */
TEST(readers_are_never_sticky)
{
    static uint8_t back[4096];
    shardio_shard_reader reader;
    shardio_error error;
    uint64_t n = 0;
    model m;
    rig g;
    make_many(&g, &m, 0);
    g.faulty.fail_at = 1;
    g.faulty.fail_only = FAULTY_ONLY(FAULTY_READ);
    CHECK_STATUS(shardio_shard_open_file(&reader, rig_open(&g, true), &m.layout, NULL, &error), SHARDIO_ERR_IO);
    CHECK_U64(error.system_code, EIO);
    shardio_shard_close(&reader);
    CHECK_U64(g.faulty.closed, 1);
    CHECK_OK(shardio_shard_open_file(&reader, rig_open(&g, true), &m.layout, NULL, &error));
    g.faulty.fail_at = g.faulty.counted + 1;
    CHECK_STATUS(shardio_shard_read(&reader, 2, back, sizeof back, &n, &error), SHARDIO_ERR_IO);
    CHECK_OK(shardio_shard_read(&reader, 2, back, sizeof back, &n, &error));
    CHECK_BYTES(back, m.chunk[2].data, 120);
    shardio_shard_close(&reader);
    rig_end(&g);
}

/* ---- the end of the file is set ahead of writes that overlap */

static struct late_file {
    shardio_file inner;
    int resizes, late;               /* this one is done, and says that it failed */
} late_file;

static shardio_status late_resize(void *file, uint64_t size, int *code)
{
    shardio_status status = late_file.inner.functions->resize(file, size, code);
    return ++late_file.resizes == late_file.late ? SHARDIO_ERR_IO : status;
}

static shardio_status late_begin(void *file, shardio_transfer *t, int *code)
{
    (void)code;
    t->status = late_file.inner.functions->write(file, t->offset, t->data, t->size, &t->done, &t->code);
    t->complete = true;
    return SHARDIO_OK;
}

static void late_wait(void *file, shardio_transfer *t)
{
    (void)file, (void)t;
}

/* The answer to a resize was lost: a shard that says it is finished is one, and no byte longer. */
TEST(set_ahead_unawares)
{
    static uint8_t staging[16384], index[4096], chunk[5000];
    for (int late = 0; late < 6; late++) {
        shardio_memory memory;
        shardio_index_layout layout;
        shardio_slot_options o;
        shardio_shard_writer w;
        shardio_error e;
        memset(&memory, 0, sizeof memory);
        memset(&layout, 0, sizeof layout);
        memset(&o, 0, sizeof o);
        shardio_file file = late_file.inner = shardio_memory_file(&memory, "shard");
        shardio_file_functions table = *file.functions;
        table.resize = late_resize;
        table.begin = late_begin;
        table.wait = late_wait;
        file.functions = &table;
        late_file.resizes = 0;
        late_file.late = late;
        layout.chunks = 8;
        o.overlap = SHARDIO_OVERLAP_ON;
        o.in_flight = 2;
        shardio_shard_begin(&w, file, &layout, index, sizeof index, staging, sizeof staging, &o);
        shardio_shard_put(&w, 0, chunk, sizeof chunk);
        shardio_status status = shardio_shard_finish(&w, &e);
        if (late == 0) CHECK(late_file.resizes > 1 || SHARDIO_NO_OVERLAP);
        if (late == 0 || late > late_file.resizes) CHECK_OK(status);
        if (status == SHARDIO_OK) CHECK_U64(memory.size, sizeof chunk + shardio_index_size(&layout));
        shardio_memory_free(&memory);
    }
}

TEST_MAIN(TEST_CASE(written_in_one_go_is_packed)
          TEST_CASE(bytes_are_those_of_the_specification)
          TEST_CASE(empty_shards)
          TEST_CASE(put_twice_and_drop)
          TEST_CASE(put_many_is_one_append)
          TEST_CASE(memory_is_as_stated)
          TEST_CASE(random_lives_in_memory)
          TEST_CASE(random_lives_on_real_files)
          TEST_CASE(update_by_appending)
          TEST_CASE(update_without_changes)
          TEST_CASE(update_by_name)
          TEST_CASE(checkpoints_within_a_block)
          TEST_CASE(updates_of_what_is_no_shard)
          TEST_CASE(updates_of_damaged_shards)
          TEST_CASE(sync_every_is_a_checkpoint)
          TEST_CASE(order_of_a_checkpoint)
          TEST_CASE(the_tail_holds_a_copy_of_the_index)
          TEST_CASE(checkpoint_without_changes)
          TEST_CASE(many_chunks)
          TEST_CASE(every_call_fails_in_turn)
          TEST_CASE(crashes_leave_the_old_or_the_new_shard)
          TEST_CASE(wrong_calls_stick) TEST_CASE(wrong_calls_to_a_shard_that_is_there)
          TEST_CASE(create_by_name)
          TEST_CASE(one_read_to_open_and_one_a_chunk)
          TEST_CASE(neighbours_are_read_together)
          TEST_CASE(random_reads)
          TEST_CASE(files_that_are_no_shards)
          TEST_CASE(huge_numbers_of_chunks)
          TEST_CASE(entries_that_lie)
          TEST_CASE(noise)
          TEST_CASE(changed_under_the_reader) TEST_CASE(opened_while_it_grows)
          TEST_CASE(readers_are_never_sticky)
          TEST_CASE(set_ahead_unawares))
