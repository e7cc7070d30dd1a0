/* Caches: what is kept, what goes, how much memory it takes, and that nothing stale ever comes out of them. */
#define SHARDIO_SETTLE_MS 40   /* not to wait for long */
#include "arrays.h"

#include <fcntl.h>

enum { HEAD = sizeof(shardio_p_cached), FIRST_TABLE = SHARDIO_P_FIRST_SLOTS * sizeof(void *) };

/* ---- an array of uint16, 64 x 64 in chunks of 8 x 8, 128 bytes each; 16 of them in a shard, or each in a file */

enum { SIDE = 64, CHUNK = 8, CHUNK_BYTES = 128, GRID = SIDE / CHUNK };

static uint16_t value_at(uint64_t seed, uint64_t y, uint64_t x)
{
    return (uint16_t)(1 + test_mix(seed * 10000 + y * SIDE + x) % 65535);
}

static shardio_array_options square(bool sharded, const char *path)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 2;
    o.dtype = SHARDIO_UINT16;
    for (int d = 0; d < 2; d++) {
        o.shape[d] = SIDE;
        o.chunk[d] = CHUNK;
        o.shard[d] = sharded ? 4 * CHUNK : 0;
    }
    o.path = path;
    o.durability = SHARDIO_DURABLE_NONE;
    o.direct = SHARDIO_DIRECT_OFF;
    return o;
}

static void fill_square(const shardio_store *store, const shardio_array_options *options, uint64_t seed)
{
    static uint16_t all[SIDE * SIDE];
    shardio_array_options o = *options;
    o.overwrite = true;
    for (uint64_t i = 0; i < SIDE * SIDE; i++) all[i] = value_at(seed, i / SIDE, i % SIDE);
    shardio_array *a = shardio_array_create_in(store, &o);
    CHECK_OK(shardio_array_append(a, all, SIDE * SIDE));
    CHECK_OK(shardio_array_finish(a, NULL));
}

/* The clock that files get their times from has gone on since they were written. */
static void let_times_pass(void)
{
    usleep(70000);
}

static shardio_array *open_with(const shardio_store *store, const shardio_array_options *options, shardio_cache *cache)
{
    shardio_array_options o = *options;
    shardio_error e;
    o.cache = cache;
    shardio_array *a = shardio_array_open_in(store, &o, &e);
    CHECK_OK(e.status);
    return a;
}

static void check_box(shardio_array *a, uint64_t seed, uint64_t y, uint64_t x, uint64_t height, uint64_t width)
{
    uint64_t start[2] = {0}, count[2] = {0};
    static uint16_t got[SIDE * SIDE];
    shardio_error e;
    start[0] = y, start[1] = x, count[0] = height, count[1] = width;
    shardio_status s = shardio_array_read(a, start, count, got, sizeof got, &e);
    CHECK_OK(s);
    for (uint64_t i = 0; i < height * width && s == SHARDIO_OK; i++)
        if (!CHECK(got[i] == value_at(seed, y + i / width, x + i % width))) return;
}

/* Chunk number `n` of the array, in C order, whole. */
static void check_chunk(shardio_array *a, uint64_t seed, uint64_t n)
{
    check_box(a, seed, n / GRID * CHUNK, n % GRID * CHUNK, CHUNK, CHUNK);
}

#define CHECK_COUNTS(cache, part, wanted_hits, wanted_misses, wanted_items) do {                                      \
        CHECK_U64((cache)->part.counts.hits, wanted_hits);                                                            \
        CHECK_U64((cache)->part.counts.misses, wanted_misses);                                                        \
        CHECK_U64((cache)->part.counts.items, wanted_items);                                                          \
    } while (0)

static shardio_cache *cache_of(shardio_cache *cache, size_t decoded, size_t raw, size_t block,
                               const shardio_allocator *allocator)
{
    shardio_cache_options o;
    memset(&o, 0, sizeof o);
    o.decoded_bytes = decoded;
    o.raw_bytes = raw;
    o.block_size = block;
    o.allocator = allocator;
    shardio_cache_begin(cache, &o);
    return cache;
}

/* ---- decoded chunks: what is counted and kept */

TEST(defaults)
{
    shardio_cache cache;
    shardio_cache_counts decoded, raw;
    shardio_cache_begin(&cache, NULL);
    CHECK_U64(cache.decoded.budget, 256 << 20);
    CHECK_U64(cache.raw.budget, 64 << 20);
    CHECK_U64(cache.block_size, 64 << 10);
    shardio_cache_count(&cache, &decoded, &raw);
    CHECK_U64(decoded.bytes + raw.bytes + decoded.items + raw.items + decoded.hits + raw.misses, 0);
    shardio_cache_count(&cache, NULL, NULL);
    shardio_cache_end(&cache);
    cache_of(&cache, SHARDIO_CACHE_OFF, SHARDIO_CACHE_OFF, 1, NULL);
    CHECK_U64(cache.decoded.budget + cache.raw.budget, 0);
    CHECK_U64(cache.block_size, 512);
    shardio_cache_end(&cache);
}

static void count_reads(const shardio_store *store, bool sharded)
{
    shardio_array_options o = square(sharded, "a");
    shardio_cache cache;
    cache_of(&cache, 0, SHARDIO_CACHE_OFF, 0, NULL);
    fill_square(store, &o, 1);
    let_times_pass();
    shardio_array *a = open_with(store, &o, &cache);
    for (uint64_t n = 0; n < GRID * GRID; n++) check_chunk(a, 1, n);
    CHECK_COUNTS(&cache, decoded, 0, 64, 64);
    CHECK_U64(cache.decoded.counts.bytes, 64 * ((size_t)HEAD + CHUNK_BYTES) + cache.decoded.slot_count * sizeof(void *));
    shardio_accounting before = shardio_array_accounting(a);
    for (uint64_t n = GRID * GRID; n-- > 0;) check_chunk(a, 1, n);
    CHECK_COUNTS(&cache, decoded, 64, 64, 64);
    check_box(a, 1, 3, 5, 1, 1);                   /* a part of one chunk, of four, all */
    CHECK_COUNTS(&cache, decoded, 65, 64, 64);
    check_box(a, 1, 4, 4, 8, 8);
    CHECK_COUNTS(&cache, decoded, 69, 64, 64);
    check_box(a, 1, 0, 0, SIDE, SIDE);
    CHECK_COUNTS(&cache, decoded, 133, 64, 64);
    shardio_accounting after = shardio_array_accounting(a);
    CHECK_U64(after.device_calls, before.device_calls);
    CHECK_U64(after.device_bytes, before.device_bytes);
    shardio_cache_forget(&cache);
    CHECK_COUNTS(&cache, decoded, 133, 64, 0);
    CHECK_U64(cache.decoded.counts.bytes, 0);
    check_box(a, 1, 0, 0, SIDE, SIDE);
    CHECK_COUNTS(&cache, decoded, 133, 128, 64);
    CHECK_U64(cache.decoded.counts.evictions + cache.decoded.counts.outdated, 0);
    CHECK_U64(cache.raw.counts.misses + cache.raw.counts.bytes, 0);
    shardio_array_close(a);
    CHECK_U64(cache.decoded.counts.items, 0);
    shardio_cache_end(&cache);
}

TEST(reads_are_counted)
{
    char directory[300];
    for (int i = 0; i < 4; i++) {
        shardio_memory_store memory;
        test_directory(directory, sizeof directory);
        shardio_store store = i < 2 ? shardio_store_memory(&memory, NULL) : shardio_store_directory(directory);
        count_reads(&store, i % 2 != 0);
        if (i < 2) shardio_store_memory_free(&memory);
    }
}

/* What is not there is not looked for; verifying neither asks the cache nor fills it. */
TEST(missing_chunks_and_verifying)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    for (int i = 0; i < 2; i++) {
        shardio_array_options o = square(i != 0, i ? "a" : "b");
        shardio_cache cache;
        uint16_t got[SIDE * SIDE], one = 9;
        uint64_t zero[2] = {0, 0}, single[2] = {1, 1}, all[2] = {SIDE, SIDE};
        shardio_error e;
        shardio_cache_begin(&cache, NULL);
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        o.cache = &cache;
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_read(a, zero, all, got, sizeof got, &e));
        CHECK_COUNTS(&cache, decoded, 0, 0, 0);
        CHECK_OK(shardio_array_write(a, zero, single, &one, 2, &e));
        CHECK_OK(shardio_array_read(a, zero, all, got, sizeof got, &e));
        CHECK(got[0] == 9 && got[1] == 0 && got[SIDE * SIDE - 1] == 0);
        CHECK_COUNTS(&cache, decoded, 0, 1, 1);
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
        CHECK_COUNTS(&cache, decoded, 0, 1, 1);
        one = 10;                                  /* what is written is read from the cache first, and goes from it */
        CHECK_OK(shardio_array_write(a, zero, single, &one, 2, &e));
        CHECK_COUNTS(&cache, decoded, 0, 2, 0);
        CHECK_OK(shardio_array_read(a, zero, all, got, sizeof got, &e));
        CHECK(got[0] == 10 && got[1] == 0);
        shardio_array_close(a);
        shardio_cache_end(&cache);
    }
    shardio_store_memory_free(&memory);
}

TEST(the_oldest_goes_first)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o = square(true, NULL);
    shardio_cache cache;
    cache_of(&cache, FIRST_TABLE + 4 * ((size_t)HEAD + CHUNK_BYTES), SHARDIO_CACHE_OFF, 0, NULL);
    fill_square(&store, &o, 2);
    shardio_array *a = open_with(&store, &o, &cache);
    for (uint64_t n = 0; n < 4; n++) check_chunk(a, 2, n);
    check_chunk(a, 2, 0);                          /* 1 is the oldest now */
    CHECK_COUNTS(&cache, decoded, 1, 4, 4);
    check_chunk(a, 2, 4);
    CHECK_COUNTS(&cache, decoded, 1, 5, 4);
    CHECK_U64(cache.decoded.counts.evictions, 1);
    check_chunk(a, 2, 0);
    check_chunk(a, 2, 2);
    check_chunk(a, 2, 3);
    check_chunk(a, 2, 4);
    CHECK_COUNTS(&cache, decoded, 5, 5, 4);
    check_chunk(a, 2, 1);                          /* and throws out 0 */
    CHECK_COUNTS(&cache, decoded, 5, 6, 4);
    check_chunk(a, 2, 2);
    check_chunk(a, 2, 3);
    check_chunk(a, 2, 4);
    check_chunk(a, 2, 1);
    CHECK_COUNTS(&cache, decoded, 9, 6, 4);
    check_chunk(a, 2, 0);
    CHECK_COUNTS(&cache, decoded, 9, 7, 4);
    CHECK_U64(cache.decoded.counts.evictions, 3);
    /* a region that is larger than half of the budget is served and changes nothing */
    check_box(a, 2, 0, 0, SIDE, SIDE);
    CHECK_U64(cache.decoded.counts.hits, 13);
    CHECK_U64(cache.decoded.counts.evictions, 3);
    CHECK_U64(cache.decoded.counts.items, 4);
    shardio_array_close(a);
    shardio_cache_end(&cache);
    shardio_store_memory_free(&memory);
}

/* A table of thousands; chunks of one element. */
TEST(many_small_chunks)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o = square(true, NULL);
    shardio_cache cache;
    shardio_cache_begin(&cache, NULL);
    for (int d = 0; d < 2; d++) o.chunk[d] = 1;
    fill_square(&store, &o, 3);
    shardio_array *a = open_with(&store, &o, &cache);
    for (int i = 0; i < 3; i++) check_box(a, 3, 0, 0, SIDE, SIDE);
    CHECK_U64(cache.decoded.counts.hits + cache.decoded.counts.misses, 3 * SIDE * SIDE);
    CHECK_U64(cache.decoded.counts.items + cache.decoded.counts.evictions, cache.decoded.counts.misses);
    CHECK(cache.decoded.counts.evictions < 10);    /* slots that ran out */
    CHECK(cache.decoded.counts.items > SIDE * SIDE - 10);
    shardio_array_close(a);
    shardio_cache_end(&cache);
    shardio_store_memory_free(&memory);
}

/* ---- sharing */

TEST(handles_share)
{
    shardio_memory_store memory, other_memory;
    shardio_store store = shardio_store_memory(&memory, NULL), other = shardio_store_memory(&other_memory, NULL);
    shardio_array_options o = square(true, "x/a"), p = square(false, "x/b");
    shardio_cache cache;
    shardio_cache_begin(&cache, NULL);
    fill_square(&store, &o, 4);
    fill_square(&store, &p, 5);
    fill_square(&other, &o, 6);
    shardio_array *a = open_with(&store, &o, &cache), *b = open_with(&store, &p, &cache);
    shardio_array *c = open_with(&other, &o, &cache), *again = open_with(&store, &o, &cache);
    for (int i = 0; i < 2; i++) {
        check_chunk(a, 4, 9);
        check_chunk(b, 5, 9);
        check_chunk(c, 6, 9);
    }
    CHECK_COUNTS(&cache, decoded, 3, 3, 3);
    check_chunk(again, 4, 9);
    CHECK_COUNTS(&cache, decoded, 4, 3, 3);
    shardio_array_close(a);
    check_chunk(again, 4, 9);
    CHECK_COUNTS(&cache, decoded, 5, 3, 3);
    shardio_array_close(again);
    CHECK_COUNTS(&cache, decoded, 5, 3, 2);
    /* a cache may end first */
    shardio_cache_end(&cache);
    check_chunk(b, 5, 9);
    check_chunk(c, 6, 9);
    check_chunk(c, 6, 10);
    shardio_array_close(b);
    shardio_array_close(c);
    shardio_store_memory_free(&memory);
    shardio_store_memory_free(&other_memory);
}

/* The same path in a directory, named by strings of their own. */
TEST(handles_of_a_directory_share)
{
    WINE_CANNOT("take away the name of a file that is open");
    char directory[300], copy[300];
    shardio_cache cache;
    test_directory(directory, sizeof directory);
    memcpy(copy, directory, sizeof copy);
    shardio_store store = shardio_store_directory(directory), same = shardio_store_directory(copy);
    shardio_array_options o = square(true, NULL);
    shardio_cache_begin(&cache, NULL);
    fill_square(&store, &o, 4);
    let_times_pass();
    shardio_array *a = open_with(&store, &o, &cache), *b = open_with(&same, &o, &cache);
    check_chunk(a, 4, 1);
    check_chunk(b, 4, 1);
    CHECK_COUNTS(&cache, decoded, 1, 1, 1);
    /* another layout of the same key is something else */
    shardio_array_close(a);
    o.chunk[0] = o.chunk[1] = 2 * CHUNK;
    fill_square(&store, &o, 4);
    let_times_pass();
    a = open_with(&store, &o, &cache);
    check_chunk(a, 4, 1);
    CHECK_U64(cache.decoded.counts.hits, 1);
    CHECK(a->number_in_cache != b->number_in_cache);
    shardio_array_close(a);
    shardio_array_close(b);
    shardio_cache_end(&cache);
}

/* Two stores, one after the other, in the same memory; values of the same size in the same memory. */
TEST(addresses_come_again)
{
    shardio_cache cache;
    shardio_cache_begin(&cache, NULL);
    for (uint64_t seed = 10; seed < 20; seed++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o = square(seed % 2 != 0, NULL);
        fill_square(&store, &o, seed);
        shardio_array *a = open_with(&store, &o, &cache);
        for (int i = 0; i < 4; i++) {
            fill_square(&store, &o, seed);
            if (i % 2) check_chunk(a, seed, 3);
        }
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
    }
    shardio_cache_end(&cache);
}

/* An allocator that hands out again what was given back last, of the same size. */
typedef struct again {
    void *memory[1024];
    size_t size[1024];
    size_t count;
} again;

static void *again_allocate(void *context, size_t size, size_t alignment)
{
    again *g = (again *)context;
    for (size_t i = g->count; i-- > 0;) {
        if (g->size[i] != size) continue;
        void *memory = g->memory[i];
        g->memory[i] = g->memory[--g->count];
        g->size[i] = g->size[g->count];
        return memory;
    }
    return alignment <= 16 ? malloc(size) : NULL;
}

static void again_release(void *context, void *memory, size_t size, size_t alignment)
{
    again *g = (again *)context;
    (void)alignment;
    if (memory == NULL) return;
    if (g->count == 1024) {
        free(memory);
        return;
    }
    g->memory[g->count] = memory;
    g->size[g->count++] = size;
}

/* Two arrays come to the same name by renaming, one after the other, their chunk to the same memory. */
TEST(renamed_to_the_same_address)
{
    static again g;
    const shardio_allocator allocator = {&g, again_allocate, again_release};
    shardio_array_options one = square(false, "one"), two = square(false, "two"), now = square(false, "now");
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, &allocator);
    shardio_cache cache;
    int code = 0;
    shardio_cache_begin(&cache, NULL);
    fill_square(&store, &one, 1);
    fill_square(&store, &two, 2);
    CHECK_OK(store.functions->rename(store.context, "one/", "now/", &code));
    shardio_array *a = open_with(&store, &now, &cache);
    check_chunk(a, 1, 3);
    for (int y = 0; y < GRID; y++) {
        for (int x = 0; x < GRID; x++) {
            char key[40];
            snprintf(key, sizeof key, "now/c/%d/%d", y, x);
            if (y != 0 || x != 3) CHECK_OK(store_remove(&store, key));
            snprintf(key, sizeof key, "two/c/%d/%d", y, x);
            if (y != 0 || x != 3) CHECK_OK(store_remove(&store, key));
        }
    }
    CHECK_OK(store_remove(&store, "now/zarr.json"));
    CHECK_OK(store_remove(&store, "now/c/0/3"));
    CHECK_OK(store.functions->rename(store.context, "two/", "now/", &code));
    check_chunk(a, 2, 3);
    shardio_array_close(a);
    shardio_cache_end(&cache);
    shardio_store_memory_free(&memory);
    while (g.count > 0) free(g.memory[--g.count]);
}

/* ---- memory */

TEST(memory_stays_within_the_budgets)
{
    for (uint64_t seed = 0; seed < test_rounds(60); seed++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array *a[3];
        shardio_cache cache;
        counter c;
        uint64_t r = seed;
        size_t decoded = (size_t)(1 + test_random(&r) % (seed % 2 ? 3000 : 20000));
        size_t raw = (size_t)(1 + test_random(&r) % 20000), block = (size_t)(512 + test_random(&r) % 3000);
        if (seed % 5 == 3) decoded = SHARDIO_CACHE_OFF;
        if (seed % 5 == 4) raw = SHARDIO_CACHE_OFF;
        size_t most_decoded = decoded == SHARDIO_CACHE_OFF ? 0 : decoded, most_raw = raw == SHARDIO_CACHE_OFF ? 0 : raw;
        cache_of(&cache, decoded, raw, block, counter_begin(&c));
        for (int i = 0; i < 3; i++) {
            shardio_array_options o = square(i != 0, i == 0 ? "a" : i == 1 ? "b" : "c");
            o.chunk[0] = (uint64_t)CHUNK >> test_random(&r) % 3;
            fill_square(&store, &o, seed + (uint64_t)i);
            a[i] = open_with(&store, &o, &cache);
        }
        for (int step = 0; step < 300; step++) {
            uint64_t which = test_random(&r) % 3, y = test_random(&r) % SIDE, x = test_random(&r) % SIDE;
            uint64_t height = 1 + test_random(&r) % 9, width = 1 + test_random(&r) % 9;
            if (height > SIDE - y) height = SIDE - y;
            if (width > SIDE - x) width = SIDE - x;
            check_box(a[which], seed + which, y, x, height, width);
            CHECK_U64(cache.decoded.counts.bytes + cache.raw.counts.bytes, c.live);
            CHECK(cache.decoded.counts.bytes <= most_decoded);
            CHECK(cache.raw.counts.bytes <= most_raw);
        }
        CHECK(c.peak <= most_decoded + most_raw);
        CHECK(most_decoded < 3000 || cache.decoded.counts.evictions > 0);
        CHECK(most_decoded < 3000 || cache.decoded.counts.hits > 0);
        for (int i = 0; i < 3; i++) shardio_array_close(a[i]);
        CHECK_U64(cache.decoded.counts.items + cache.raw.counts.items, 0);
        shardio_cache_end(&cache);
        CHECK_U64(c.live, 0);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    seed %d\n", (int)seed); return; }
    }
}

/* Where the cache gets no memory it keeps nothing, and reads go on. */
TEST(every_allocation_fails)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o = square(true, NULL);
    uint64_t calls = 1;
    fill_square(&store, &o, 7);
    for (uint64_t n = 0; n <= calls; n++) {
        shardio_cache cache;
        counter c;
        cache_of(&cache, 0, 20000, 512, counter_begin(&c));
        c.fail_at = n;
        shardio_array *a = open_with(&store, &o, &cache);
        for (int i = 0; i < 2; i++)
            for (uint64_t k = 0; k < GRID * GRID; k++) check_chunk(a, 7, k);
        if (n == 0) calls = c.calls;
        else CHECK(cache.decoded.counts.hits >= 63 || cache.raw.counts.hits > 0);
        c.limit = 1;                               /* nothing more from here on */
        for (uint64_t k = 0; k < GRID * GRID; k++) check_chunk(a, 7, k);
        shardio_array_close(a);
        shardio_cache_end(&cache);
        CHECK_U64(c.live, 0);
    }
    shardio_store_memory_free(&memory);
}

/* ---- what is kept of unusual chunks */

TEST(damaged_chunks_are_not_kept)
{
    for (int sharded = 0; sharded < 2; sharded++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o = square(sharded != 0, NULL);
        uint64_t start[2] = {0, 0}, count[2] = {CHUNK, CHUNK};
        uint16_t got[CHUNK * CHUNK];
        shardio_cache cache;
        shardio_error e;
        size_t size;
        shardio_cache_begin(&cache, NULL);
        o.codecs[0] = shardio_codec_crc32c();
        fill_square(&store, &o, 8);
        uint8_t *bytes = store_get(&store, "c/0/0", &size);
        bytes[5] ^= 1;
        CHECK_OK(store_put(&store, "c/0/0", bytes, size));
        shardio_array *a = open_with(&store, &o, &cache);
        for (int i = 0; i < 2; i++)
            CHECK_STATUS(shardio_array_read(a, start, count, got, sizeof got, &e), SHARDIO_ERR_CHECKSUM);
        CHECK_COUNTS(&cache, decoded, 0, 2, 0);
        check_chunk(a, 8, 1);
        bytes[5] ^= 1;
        CHECK_OK(store_put(&store, "c/0/0", bytes, size));
        for (int i = 0; i < 2; i++) check_chunk(a, 8, 0);
        CHECK_U64(cache.decoded.counts.hits, 1);
        bytes[5] ^= 1;                             /* damaged while it is kept: noticed, because the file changed */
        CHECK_OK(store_put(&store, "c/0/0", bytes, size));
        CHECK_STATUS(shardio_array_read(a, start, count, got, sizeof got, &e), SHARDIO_ERR_CHECKSUM);
        CHECK_U64(cache.decoded.counts.outdated, 1);
        shardio_array_close(a);
        shardio_cache_end(&cache);
        shardio_store_memory_free(&memory);
        free(bytes);
    }
}

TEST(strings)
{
    enum { COUNT = 20 };
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_cache cache;
    shardio_error e;
    char texts[COUNT][16];
    shardio_bytes all[COUNT], got[COUNT];
    memset(&o, 0, sizeof o);
    o.ndim = 1;
    o.dtype = SHARDIO_STRING;
    o.shape[0] = COUNT;
    o.chunk[0] = 5;
    o.shard[0] = 10;
    for (int i = 0; i < COUNT; i++) {
        all[i].size = (size_t)snprintf(texts[i], sizeof texts[i], "%.*s%d", i % 5, "abcde", i);
        all[i].data = texts[i];
    }
    shardio_cache_begin(&cache, NULL);
    shardio_array *a = shardio_array_create_in(&store, &o);
    CHECK_OK(shardio_array_append(a, all, COUNT));
    CHECK_OK(shardio_array_finish(a, NULL));
    a = open_with(&store, &o, &cache);
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t start[1] = {0}, count[1] = {COUNT};
        start[0] = i;
        count[0] = COUNT - i;
        CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
        shardio_cache_forget(&cache);              /* what was read does not lie in the cache */
        for (uint64_t k = 0; k < count[0]; k++) {
            CHECK_U64(got[k].size, all[i + k].size);
            CHECK_BYTES(got[k].data, all[i + k].data, got[k].size);
        }
        CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
        CHECK_COUNTS(&cache, decoded, 8 * i, 8 + 4 * i, 4);
        CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
        CHECK_U64(cache.decoded.counts.hits, 8 * i + 4);
        for (uint64_t k = 0; k < count[0]; k++) CHECK_BYTES(got[k].data, all[i + k].data, got[k].size);
    }
    shardio_array_close(a);
    shardio_cache_end(&cache);
    shardio_store_memory_free(&memory);
}

/* Shards inside shards: the chunks of those that are stored as they are; those that codecs encode, as a whole. */
TEST(shards_inside_shards)
{
#define LITTLE "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
#define SHARD(extent, codecs) "{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[" extent "]," \
                              "\"codecs\":[" codecs "],\"index_codecs\":[" LITTLE ",{\"name\":\"crc32c\"}]}}"
    static const char *const lists[] = {"[" SHARD("16,16", SHARD("8,8", LITTLE)) "]",
                                        "[" SHARD("16,16", SHARD("8,8", LITTLE) ",{\"name\":\"crc32c\"}") "]"};
    for (int encoded = 0; encoded < 2; encoded++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o = square(false, NULL);
        shardio_cache cache;
        o.codec_list = lists[encoded];
        o.chunk[0] = o.chunk[1] = 32;
        cache_of(&cache, 0, SHARDIO_CACHE_OFF, 0, NULL);
        fill_square(&store, &o, 9);
        shardio_array *a = open_with(&store, &o, &cache);
        for (uint64_t n = 0; n < 64; n++) check_chunk(a, 9, n);
        CHECK_COUNTS(&cache, decoded, encoded ? 48 : 0, encoded ? 16 : 64, encoded ? 16 : 64);
        for (uint64_t n = 0; n < 64; n++) check_chunk(a, 9, n);
        CHECK_COUNTS(&cache, decoded, encoded ? 112 : 64, encoded ? 16 : 64, encoded ? 16 : 64);
        check_box(a, 9, 3, 3, 50, 50);
        shardio_array_close(a);
        shardio_cache_end(&cache);
        shardio_store_memory_free(&memory);
    }
}

/* ---- raw blocks */

TEST(blocks_spare_reads)
{
    shardio_memory_store memory;
    shardio_store inner = shardio_store_memory(&memory, NULL);
    shardio_array_options o = square(true, NULL);
    shardio_cache cache;
    spy s;
    shardio_store store = spy_begin(&s, &inner);
    o.shard[0] = o.shard[1] = SIDE;                /* 8192 bytes of chunks, 1028 of index */
    fill_square(&store, &o, 11);
    cache_of(&cache, SHARDIO_CACHE_OFF, 0, 4096, NULL);
    shardio_array *a = open_with(&store, &o, &cache);
    s.reads = 0;
    for (uint64_t n = 0; n < 64; n++) check_chunk(a, 11, n);
    CHECK_U64(s.reads, 3);
    CHECK_COUNTS(&cache, raw, 62, 3, 3);           /* the index, 64 chunks */
    check_box(a, 11, 0, 0, SIDE, SIDE);            /* longer than a block: past it */
    CHECK_U64(s.reads, 4);
    CHECK_COUNTS(&cache, raw, 62, 3, 3);
    check_box(a, 11, 1, 0, 2, SIDE);               /* eight chunks side by side: one read of the block */
    CHECK_U64(s.reads, 4);
    CHECK_COUNTS(&cache, raw, 63, 3, 3);
    CHECK_U64(shardio_array_accounting(a).files, 1);
    shardio_array_close(a);
    CHECK_COUNTS(&cache, raw, 63, 3, 0);
    a = open_with(&store, &o, &cache);             /* in blocks that are there already */
    check_chunk(a, 11, 1);
    CHECK_COUNTS(&cache, raw, 63, 5, 2);
    CHECK(cache.slabs != NULL && cache.slabs->next == NULL);
    shardio_array_close(a);
    shardio_cache_end(&cache);
    shardio_store_memory_free(&memory);
}

TEST(oldest_blocks_go_first)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o = square(false, NULL);
    shardio_cache cache;
    counter c;
    fill_square(&store, &o, 12);
    size_t three = 3 * (512 + HEAD) + FIRST_TABLE + sizeof(shardio_p_slab);
    cache_of(&cache, SHARDIO_CACHE_OFF, three, 512, counter_begin(&c));
    shardio_array *a = open_with(&store, &o, &cache);
    for (uint64_t n = 0; n < 3; n++) check_chunk(a, 12, n);
    CHECK_COUNTS(&cache, raw, 0, 3, 3);
    CHECK_U64(c.live, cache.raw.budget);
    check_chunk(a, 12, 0);
    check_chunk(a, 12, 3);                         /* in place of 1 */
    CHECK_COUNTS(&cache, raw, 1, 4, 3);
    CHECK_U64(cache.raw.counts.evictions, 1);
    check_chunk(a, 12, 0);
    check_chunk(a, 12, 2);
    check_chunk(a, 12, 3);
    CHECK_COUNTS(&cache, raw, 4, 4, 3);
    check_chunk(a, 12, 1);
    CHECK_COUNTS(&cache, raw, 4, 5, 3);
    shardio_array_close(a);
    shardio_cache_end(&cache);
    CHECK_U64(c.live, 0);
    shardio_store_memory_free(&memory);
}

/* A block of which a part cannot be read does not keep the rest from its reader. */
typedef struct torn_file {
    shardio_file inner;
    shardio_file_functions table;
} torn_file;

static uint64_t torn_from = UINT64_MAX;
static bool torn_nameless;
static const shardio_store *torn_store;

static shardio_status torn_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    torn_file *f = (torn_file *)file;
    *done = 0;
    if (offset + size > torn_from) return SHARDIO_ERR_IO;
    return f->inner.functions->read(f->inner.context, offset, data, size, done, code);
}

static shardio_status torn_facts(void *file, shardio_file_facts *facts, int *code)
{
    torn_file *f = (torn_file *)file;
    shardio_status status = f->inner.functions->facts(f->inner.context, facts, code);
    if (torn_nameless) memset(facts->identity, 0, sizeof facts->identity);
    return status;
}

static shardio_status torn_close(void *file, shardio_close how, bool durable, int *code)
{
    torn_file *f = (torn_file *)file;
    shardio_status status = f->inner.functions->close(f->inner.context, how, durable, code);
    free(f);
    return status;
}

static shardio_status torn_open(void *store, const char *key, bool update, const shardio_allocator *allocator,
                                shardio_file *file, int *code)
{
    static const shardio_file_functions functions = {torn_read, NULL, NULL, torn_facts, NULL, NULL, NULL, NULL, NULL,
                                                     NULL, torn_close, NULL, NULL};
    torn_file *f = (torn_file *)calloc(1, sizeof *f);
    shardio_status status = torn_store->functions->open(torn_store->context, key, update, allocator, &f->inner, code);
    (void)store;
    if (status != SHARDIO_OK) { free(f); return status; }
    file->functions = &functions;
    file->context = f;
    file->name = f->inner.name;
    return SHARDIO_OK;
}

TEST(files_that_are_torn_or_have_no_identity)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL), torn = store;
    shardio_store_functions functions = *store.functions;
    shardio_array_options o = square(true, NULL);
    shardio_cache cache;
    uint64_t start[2] = {0, 0}, count[2] = {CHUNK, CHUNK};
    uint16_t got[CHUNK * CHUNK];
    shardio_error e;
    functions.open = torn_open;
    torn.functions = &functions;
    torn_store = &store;
    o.index_at_start = true;
    fill_square(&store, &o, 13);
    cache_of(&cache, SHARDIO_CACHE_OFF, 0, 4096, NULL);
    shardio_array *a = open_with(&torn, &o, &cache);
    torn_from = 260 + 128 + 50;                    /* inside the second chunk */
    check_chunk(a, 13, 0);
    CHECK_U64(cache.raw.counts.items, 0);
    start[1] = CHUNK;
    CHECK_STATUS(shardio_array_read(a, start, count, got, sizeof got, &e), SHARDIO_ERR_IO);
    torn_from = UINT64_MAX;
    check_chunk(a, 13, 1);
    CHECK_U64(cache.raw.counts.items, 1);
    shardio_array_close(a);
    shardio_cache_end(&cache);
    torn_nameless = true;
    shardio_cache_begin(&cache, NULL);
    a = open_with(&torn, &o, &cache);
    for (int i = 0; i < 2; i++) check_chunk(a, 13, 0);
    CHECK_COUNTS(&cache, decoded, 0, 2, 0);
    CHECK_COUNTS(&cache, raw, 0, 0, 0);
    shardio_array_close(a);
    shardio_cache_end(&cache);
    torn_nameless = false;
    shardio_store_memory_free(&memory);
}

/* ---- on a file system */

/* A change is over once the clock has gone on; times that file systems round take longer. */
TEST(times_that_are_over)
{
    char directory[300], path[400];
    shardio_file file;
    shardio_file_facts facts;
    uint64_t second = 0, now;
    test_directory(directory, sizeof directory);
    snprintf(path, sizeof path, "%s/f", directory);
    fclose(fopen(path, "w"));
    CHECK_OK(shardio_file_open(&file, path, SHARDIO_OPEN_READ, NULL, NULL));
    CHECK_OK(shardio_p_file_facts(&file, &facts, NULL));
    CHECK(facts.unsettled);
    let_times_pass();
    CHECK_OK(shardio_p_file_facts(&file, &facts, NULL));
    CHECK(!facts.unsettled);
    shardio_file_close(&file);
    now = shardio_p_os_now(&second);
    now = now / second * second + second / 2;
    CHECK(shardio_p_is_recent(now + second, now, second));                /* to come */
    CHECK(shardio_p_is_recent(now, now, second));
    CHECK(shardio_p_is_recent(now - second / 2, now, second));            /* whole seconds, or two */
    CHECK(shardio_p_is_recent(now - second / 2 - second, now, second));
    CHECK(!shardio_p_is_recent(now - second / 2 - 3 * second, now, second));
    CHECK(shardio_p_is_recent(now - 7 * (second / 1000), now, second));   /* milliseconds */
    CHECK(!shardio_p_is_recent(now - second, now, second));
    CHECK(shardio_p_is_recent(now - second / 1000 * SHARDIO_SETTLE_MS + 1, now, second));
    CHECK(!shardio_p_is_recent(now - second / 1000 * SHARDIO_SETTLE_MS - 1, now, second));
}

/* A foreign program changes a file again before the clock of the file system has gone on: same size, same time. */
TEST(changes_at_the_same_time)
{
    char directory[300];
    shardio_cache cache;
    test_directory(directory, sizeof directory);
    shardio_store store = shardio_store_directory(directory);
    shardio_array_options o = square(false, NULL);
    uint64_t zero[2] = {0, 0}, one[2] = {1, 1};
    fill_square(&store, &o, 15);
    shardio_cache_begin(&cache, NULL);
    shardio_array *a = open_with(&store, &o, &cache);
    for (uint32_t i = 0; i < 2000; i++) {
        uint8_t little[2];
        uint16_t got;
        shardio_file file;
        int code = 0;
        little[0] = (uint8_t)i, little[1] = (uint8_t)(i >> 8);
        CHECK_OK(store.functions->open(store.context, "c/0/0", true, NULL, &file, &code));
        CHECK_OK(file_write_all(&file, 0, little, 2));
        CHECK_OK(file_close(&file, SHARDIO_CLOSE_KEEP));
        CHECK_OK(shardio_array_read(a, zero, one, &got, 2, NULL));
        if (!CHECK(got == i)) break;
    }
    let_times_pass();
    for (int i = 0; i < 2; i++) check_box(a, 15, 0, 1, 1, 1);
    CHECK_U64(cache.decoded.counts.items, 1);
    CHECK(cache.decoded.counts.hits > 0);
    shardio_array_close(a);
    shardio_cache_end(&cache);
}

TEST(unbuffered_and_unchanging)
{
    for (int i = 0; i < 4; i++) {
        char directory[300];
        shardio_cache cache;
        test_directory(directory, sizeof directory);
        shardio_store store = shardio_store_directory(directory);
        shardio_array_options o = square(i % 2 != 0, NULL);
        o.unbuffered = i < 2;
        o.unchanging = i >= 2;
        fill_square(&store, &o, 14);
        if (i < 2) let_times_pass();
        shardio_cache_begin(&cache, NULL);
        shardio_array *a = open_with(&store, &o, &cache);
        for (int k = 0; k < 2; k++)
            for (uint64_t n = 0; n < 64; n++) check_chunk(a, 14, n);
        CHECK_COUNTS(&cache, decoded, 64, 64, 64);
        shardio_array_close(a);
        shardio_cache_end(&cache);
    }
}

/* ---- nothing stale: lives of an array that several handles and a foreign program change, against a plain model */

typedef struct life {
    shardio_store store;
    shardio_array_options o;
    uint64_t shape[2], r;
    uint16_t numbers[SIDE][SIDE], committed[SIDE][SIDE];
    shardio_archive *archive;      /* null: the store is a directory or memory */
    shardio_array *handle[4];      /* two that change and share the cache, one that reads, one that has no cache */
    shardio_cache cache;
} life;

static void life_open(life *l)
{
    for (int i = 0; i < 4; i++) {
        shardio_array_options o = l->o;
        shardio_error e;
        o.cache = i < 3 ? &l->cache : NULL;
        o.max_open_files = 1 + (uint32_t)(test_random(&l->r) % 4);
        l->handle[i] = i == 2 ? shardio_array_open_in(&l->store, &o, &e) : shardio_array_update_in(&l->store, &o, &e);
        CHECK_OK(e.status);
    }
}

static void life_close(life *l)
{
    for (int i = 0; i < 4; i++) shardio_array_close(l->handle[i]);
}

static void life_region(life *l, uint64_t *start, uint64_t *count)
{
    for (int d = 0; d < 2; d++) {
        start[d] = test_random(&l->r) % l->shape[d];
        count[d] = 1 + test_random(&l->r) % 20;
        if (count[d] > l->shape[d] - start[d]) count[d] = l->shape[d] - start[d];
        if (test_random(&l->r) % 20 == 0) start[d] = 0, count[d] = l->shape[d];
    }
}

static void life_read(life *l, shardio_array *a)
{
    static uint16_t got[SIDE * SIDE];
    uint64_t start[2], count[2];
    shardio_error e;
    life_region(l, start, count);
    CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
    for (uint64_t i = 0; i < count[0] * count[1]; i++)
        if (!CHECK(got[i] == l->numbers[start[0] + i / count[1]][start[1] + i % count[1]])) return;
}

static void life_write(life *l, shardio_array *a)
{
    static uint16_t from[SIDE * SIDE];
    uint64_t start[2], count[2];
    shardio_error e;
    life_region(l, start, count);
    bool fill = test_random(&l->r) % 6 == 0;
    for (uint64_t i = 0; i < count[0] * count[1]; i++) {
        from[i] = fill ? 0 : (uint16_t)test_random(&l->r);
        l->numbers[start[0] + i / count[1]][start[1] + i % count[1]] = from[i];
    }
    CHECK_OK(shardio_array_write(a, start, count, fill ? NULL : from, sizeof from, &e));
}

static void life_commit(life *l)
{
    shardio_error e;
    if (l->archive == NULL) return;
    CHECK_OK(shardio_archive_commit(l->archive, &e));
    memcpy(l->committed, l->numbers, sizeof l->numbers);
}

/* An archive goes back to what was committed, with the handles on it open. */
static void life_discard(life *l)
{
    shardio_error e;
    if (l->archive == NULL) return;
    CHECK_OK(shardio_archive_discard(l->archive, &e));
    memcpy(l->numbers, l->committed, sizeof l->numbers);
}

/* Every handle learns of a new shape by being opened again. */
static void life_resize(life *l)
{
    shardio_error e;
    for (int d = 0; d < 2; d++) l->shape[d] = 1 + test_random(&l->r) % SIDE;
    CHECK_OK(shardio_array_resize(l->handle[0], l->shape, false, &e));
    for (uint64_t y = 0; y < SIDE; y++)
        for (uint64_t x = 0; x < SIDE; x++)
            if (y >= l->shape[0] || x >= l->shape[1]) l->numbers[y][x] = 0;
    life_commit(l);
    shardio_array *kept = l->handle[0];            /* this one stays, with what the cache holds */
    for (int i = 1; i < 4; i++) shardio_array_close(l->handle[i]);
    life_open(l);
    shardio_array_close(l->handle[0]);
    l->handle[0] = kept;
}

/* The whole array, as others have written it anew: of the same sizes, under the same names. */
static void life_replace(life *l)
{
    static uint16_t all[SIDE * SIDE];
    shardio_error e;
    uint64_t zero[2] = {0, 0};
    for (uint64_t i = 0; i < l->shape[0] * l->shape[1]; i++)
        l->numbers[i / l->shape[1]][i % l->shape[1]] = all[i] = (uint16_t)(1 + test_random(&l->r) % 60000);
    shardio_array_options o = l->o;
    o.update = SHARDIO_UPDATE_REWRITE;
    shardio_array *a = shardio_array_update_in(&l->store, &o, &e);
    CHECK_OK(shardio_array_write(a, zero, l->shape, all, sizeof all, &e));
    shardio_array_close(a);
}

/* A foreign program writes into a file as it lies there, or puts another one in its place; only where chunks are files,
   stored as they are. */
static void life_foreign(life *l)
{
    char key[40];
    uint64_t y = test_random(&l->r) % l->shape[0], x = test_random(&l->r) % l->shape[1];
    size_t size, at = (size_t)(2 * (y % CHUNK * CHUNK + x % CHUNK));
    uint16_t number = (uint16_t)test_random(&l->r);
    uint8_t little[2];
    little[0] = (uint8_t)number, little[1] = (uint8_t)(number >> 8);
    snprintf(key, sizeof key, "c/%d/%d", (int)(y / CHUNK), (int)(x / CHUNK));
    uint8_t *bytes = store_get(&l->store, key, &size);
    if (bytes == NULL || size != CHUNK_BYTES) { free(bytes); return; }
    memcpy(bytes + at, little, 2);
    if (l->archive != NULL || test_random(&l->r) % 2) {
        CHECK_OK(store_put(&l->store, key, bytes, size));
    } else {
        shardio_file file;
        int code = 0;
        CHECK_OK(l->store.functions->open(l->store.context, key, true, NULL, &file, &code));
        CHECK_OK(file_write_all(&file, at, little, 2));
        CHECK_OK(file_close(&file, SHARDIO_CLOSE_KEEP));
    }
    l->numbers[y][x] = number;
    free(bytes);
}

static void one_life(uint64_t seed)
{
    static life l;
    char directory[300];
    shardio_memory_store memory;
    shardio_memory bytes;
    shardio_archive_options how;
    shardio_error e;
    counter c;
    memset(&l, 0, sizeof l);
    l.r = seed * 1000;
    memset(&bytes, 0, sizeof bytes);
    memset(&how, 0, sizeof how);
    how.write = true;
    if (seed % 3 == 0) {
        l.store = shardio_store_memory(&memory, NULL);
    } else if (seed % 3 == 1) {
        test_directory(directory, sizeof directory);
        l.store = shardio_store_directory(directory);
    } else {
        l.archive = shardio_archive_open_file(shardio_memory_file(&bytes, "zip"), &how, &e);
        if (!CHECK(l.archive != NULL)) return;
        l.store = shardio_archive_store(l.archive);
    }
    l.o = square(test_random(&l.r) % 3 != 0, NULL);
    l.o.index_at_start = seed % 5 == 0;
    l.o.skip_fill = test_random(&l.r) % 2 != 0;
    l.o.dead_percent = test_random(&l.r) % 2 ? 100 : 0;
    if (seed % 7 == 0) l.o.codecs[0] = shardio_codec_crc32c();
    if (seed % 8 > 5) l.o.unbuffered = true;
    l.shape[0] = l.shape[1] = SIDE;
    size_t decoded = seed % 4 == 3 ? SHARDIO_CACHE_OFF : seed % 4 == 2 ? 4000 : 0;
    size_t raw = seed % 4 == 1 ? SHARDIO_CACHE_OFF : seed % 4 == 2 ? 5000 : 0;
    cache_of(&l.cache, decoded, raw, 512 + (size_t)(seed % 3) * 700, counter_begin(&c));
    CHECK_OK(shardio_array_define_in(&l.store, &l.o, &e));
    life_commit(&l);
    life_open(&l);
    for (int step = 0; step < 60 && test_failures == 0; step++) {
        switch (test_random(&l.r) % 12) {
        case 0: life_resize(&l); break;
        case 1: CHECK_OK(shardio_array_compact(l.handle[test_random(&l.r) % 2 ? 3 : 0], NULL, NULL, &e)); break;
        case 2: CHECK_OK(shardio_array_recover(l.handle[1], true, NULL, NULL, &e)); break;
        case 3: life_replace(&l); break;
        case 4: case 5: if (l.o.shard[0] == 0 && l.o.codecs[0] == NULL) life_foreign(&l); break;
        case 6: case 7: life_write(&l, l.handle[3]); break;
        case 8:
            if (seed % 3 == 1) usleep(5000);
            if (test_random(&l.r) % 2) life_commit(&l);
            else life_discard(&l);
            break;
        default: life_write(&l, l.handle[test_random(&l.r) % 2]);
        }
        for (int i = 0; i < 6; i++) life_read(&l, l.handle[test_random(&l.r) % 4]);
    }
    life_close(&l);
    shardio_cache_end(&l.cache);
    CHECK_U64(c.live, 0);
    if (seed % 3 == 0) shardio_store_memory_free(&memory);
    shardio_archive_close(l.archive);
    shardio_memory_free(&bytes);
}

TEST(nothing_stale)
{
    uint64_t count = test_rounds(120);
    if (test_on_wine()) puts("left out: nothing_stale in directories: wine 8 cannot replace a file that is open");
    for (uint64_t seed = 0; seed < count; seed++) {
        if (seed % 3 == 1 && test_on_wine()) continue;
        one_life(seed);
        if (test_failures) { fprintf(stderr, "    seed %d\n", (int)seed); return; }
    }
}

TEST_MAIN(TEST_CASE(defaults) TEST_CASE(reads_are_counted) TEST_CASE(missing_chunks_and_verifying)
          TEST_CASE(the_oldest_goes_first) TEST_CASE(many_small_chunks) TEST_CASE(handles_share)
          TEST_CASE(handles_of_a_directory_share) TEST_CASE(addresses_come_again) TEST_CASE(renamed_to_the_same_address)
          TEST_CASE(memory_stays_within_the_budgets) TEST_CASE(every_allocation_fails)
          TEST_CASE(damaged_chunks_are_not_kept) TEST_CASE(strings) TEST_CASE(shards_inside_shards)
          TEST_CASE(blocks_spare_reads) TEST_CASE(oldest_blocks_go_first)
          TEST_CASE(files_that_are_torn_or_have_no_identity) TEST_CASE(times_that_are_over)
          TEST_CASE(changes_at_the_same_time) TEST_CASE(unbuffered_and_unchanging) TEST_CASE(nothing_stale))
