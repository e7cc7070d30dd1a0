/* The zarr section: what reading costs. Reads are counted and looked at, so are hints, open files and memory; unbuffered
   reads keep to their blocks; limits hold. */
#include "arrays.h"
#include "disk.h"
#include "pages.h"

#include <fcntl.h>
#include <sys/mman.h>

/* ---- an array of bytes in a disk: element i is value(i) */

typedef struct grid {
    shardio_array_options o;
    uint64_t elements;
    uint8_t *data;
} grid;

static void grid_begin(grid *g, uint32_t ndim, const uint64_t *shape, const uint64_t *chunk, const uint64_t *shard)
{
    memset(g, 0, sizeof *g);
    g->o.ndim = ndim;
    g->o.dtype = SHARDIO_UINT8;
    g->o.direct = SHARDIO_DIRECT_OFF;
    g->o.durability = SHARDIO_DURABLE_NONE;
    g->elements = 1;
    for (uint32_t i = 0; i < ndim; i++) {
        g->o.shape[i] = shape[i];
        g->o.chunk[i] = chunk[i];
        g->o.shard[i] = shard != NULL ? shard[i] : 0;
        g->elements *= shape[i];
    }
    g->data = (uint8_t *)malloc((size_t)g->elements + 1);
    for (uint64_t i = 0; i < g->elements; i++) g->data[i] = (uint8_t)(1 + test_mix(i) % 255);
}

static void grid_write(const grid *g, const shardio_store *store)
{
    shardio_error e;
    shardio_array *a = shardio_array_create_in(store, &g->o);
    CHECK_OK(shardio_array_append(a, g->data, g->elements));
    CHECK_OK(shardio_array_finish(a, &e));
}

static void grid_end(grid *g)
{
    free(g->data);
}

/* Reads a region and compares it with what was written. */
static shardio_status grid_read(const grid *g, shardio_array *a, const uint64_t *start, const uint64_t *count, shardio_error *e)
{
    uint64_t bytes = 1, at[SHARDIO_MAX_DIMS] = {0};
    for (uint32_t i = 0; i < g->o.ndim; i++) bytes *= count[i];
    uint8_t *got = (uint8_t *)malloc((size_t)bytes + 1), *p = got;
    shardio_status s = shardio_array_read(a, start, count, got, (size_t)bytes, e);
    bool more = s == SHARDIO_OK && bytes > 0, same = true;
    while (more) {
        uint64_t i = 0;
        for (uint32_t d = 0; d < g->o.ndim; d++) i = i * g->o.shape[d] + start[d] + at[d];
        same = same && *p++ == g->data[i];
        more = false;
        for (uint32_t d = g->o.ndim; d-- > 0 && !more;) {
            more = ++at[d] < count[d];
            if (!more) at[d] = 0;
        }
    }
    CHECK(same);
    free(got);
    return s;
}

/* ---- counting */

TEST(opening_is_one_read)
{
    for (int k = 0; k < 4; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[2] = {40, 40}, chunk[2] = {5, 10}, shard[2] = {10, 20}, at[2] = {7, 12}, one[2] = {1, 1};
        shardio_error e;
        grid g;
        grid_begin(&g, 2, shape, chunk, k ? shard : NULL);
        g.o.index_at_start = k == 2;
        g.o.codecs[0] = k == 3 ? shardio_codec_crc32c() : NULL;
        grid_write(&g, &store);
        disk_calm(&d);
        shardio_array *a = shardio_array_open_in(&store, NULL, &e);
        CHECK_OK(e.status);
        CHECK_U64(d.calls[DISK_READ], 1);
        CHECK_U64(d.calls[DISK_OPEN], 1);
        CHECK_U64(d.calls[DISK_LIST], 0);
        CHECK_U64(d.handles, 0);
        CHECK_U64(d.log[disk_next(&d, 0, DISK_READ)].size, 0);
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, at, one, &e));
        CHECK_U64(d.calls[DISK_OPEN], 1);
        CHECK_U64(d.calls[DISK_READ], k ? 2 : 1);             /* the index, the chunk; or the file */
        CHECK_U64(d.calls[DISK_HINT], 0);
        if (k) {
            size_t first = disk_next(&d, 0, DISK_READ), second = disk_next(&d, first + 1, DISK_READ);
            CHECK_U64(d.log[first].size, 4 * 16 + 4);
            CHECK_U64(d.log[first].offset, k == 2 ? 0 : 4 * (50 + (k == 3 ? 4 : 0)));
            CHECK_U64(d.log[second].size, 50 + (k == 3 ? 4 : 0));
        }
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, at, one, &e));
        CHECK_U64(d.calls[DISK_OPEN], k ? 0 : 1);
        CHECK_U64(d.calls[DISK_READ], 1);                      /* the index is known */
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* Any region: no chunk is read twice, none that it does not cover, those side by side together. */
TEST(no_chunk_is_read_twice)
{
    uint64_t r = 5;
    for (int k = 0; k < 300 && test_failures == 0; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        uint64_t shape[3], chunk[3], shard[3], start[3], count[3], first[3], last[3], covered = 1, shards = 1;
        shardio_array_options o;
        shardio_error e;
        grid g;
        for (int i = 0; i < 3; i++) {
            shape[i] = 1 + test_random(&r) % 14;
            chunk[i] = 1 + test_random(&r) % 5;
            shard[i] = chunk[i] * (1 + test_random(&r) % 4);
            start[i] = test_random(&r) % shape[i];
            count[i] = 1 + test_random(&r) % (shape[i] - start[i]);
            first[i] = start[i] / chunk[i];
            last[i] = (start[i] + count[i] - 1) / chunk[i];
            covered *= last[i] - first[i] + 1;
            shards *= (start[i] + count[i] - 1) / shard[i] - start[i] / shard[i] + 1;
        }
        grid_begin(&g, 3, shape, chunk, shard);
        g.o.codecs[0] = k % 3 == 0 ? shardio_codec_crc32c() : NULL;
        g.o.index_at_start = k % 5 == 0;
        grid_write(&g, &store);
        memset(&o, 0, sizeof o);
        o.memory = (size_t)(k % 2 ? 0 : 1 + test_random(&r) % 300);
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, start, count, &e));
        uint64_t bytes = 0, chunk_bytes = chunk[0] * chunk[1] * chunk[2] + (k % 3 == 0 ? 4 : 0);
        uint64_t index = 16 * (shard[0] / chunk[0]) * (shard[1] / chunk[1]) * (shard[2] / chunk[2]) + 4;
        for (size_t i = 0; i < d.logged; i++) {
            if (d.log[i].call != DISK_READ) continue;
            bytes += d.log[i].size;
            for (size_t j = i + 1; j < d.logged; j++)          /* nothing is read twice */
                if (d.log[j].call == DISK_READ && strcmp(d.log[i].key, d.log[j].key) == 0)
                    CHECK(d.log[i].offset >= d.log[j].offset + d.log[j].size || d.log[j].offset >= d.log[i].offset + d.log[i].size);
        }
        CHECK_U64(bytes, covered * chunk_bytes + shards * index);
        CHECK(d.calls[DISK_READ] <= covered + shards);
        CHECK_U64(d.calls[DISK_OPEN], shards);
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) fprintf(stderr, "    %d\n", k);
    }
}

/* Chunks of a shard that lie side by side are one read: straight to where they belong, or through memory. */
TEST(neighbours_are_one_read)
{
    for (int k = 0; k < 4; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[1] = {1000 * 16}, chunk[1] = {16}, shard[1] = {1000 * 16};
        uint64_t start = 0, count = 1000 * 16;
        shardio_error e;
        grid g;
        grid_begin(&g, 1, shape, chunk, shard);
        g.o.codecs[0] = k & 1 ? shardio_codec_crc32c() : NULL;
        g.o.index_at_start = (k & 2) != 0;
        grid_write(&g, &store);
        shardio_array *a = shardio_array_open_in(&store, NULL, &e);
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, &start, &count, &e));
        CHECK(d.calls[DISK_READ] <= 1 + 4);                    /* windows of 256 chunks */
        disk_calm(&d);
        start = 100;
        count = 16 * 16;
        CHECK_OK(grid_read(&g, a, &start, &count, &e));
        CHECK(d.calls[DISK_READ] <= 3);                        /* whole ones, and those at the ends */
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
    }
}

/* What is changed: chunks that a region covers whole are not read, others once. */
TEST(writes_read_what_they_must)
{
    uint64_t r = 77;
    for (int k = 0; k < 200 && test_failures == 0; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        uint64_t shape[2], chunk[2], shard[2], start[2], count[2], partial = 0;
        bool sharded = k % 4 != 0, crc = k % 3 == 0, rewrite = k % 5 == 0;
        shardio_error e;
        grid g;
        for (int i = 0; i < 2; i++) {
            shape[i] = 1 + test_random(&r) % 30;
            chunk[i] = 1 + test_random(&r) % 6;
            shard[i] = chunk[i] * (1 + test_random(&r) % 5);
            start[i] = test_random(&r) % shape[i];
            count[i] = 1 + test_random(&r) % (shape[i] - start[i]);
        }
        grid_begin(&g, 2, shape, chunk, sharded ? shard : NULL);
        g.o.codecs[0] = crc ? shardio_codec_crc32c() : NULL;
        g.o.dead_percent = 100;
        g.o.update = rewrite ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
        grid_write(&g, &store);
        for (uint64_t y = start[0] / chunk[0]; y <= (start[0] + count[0] - 1) / chunk[0]; y++) {
            for (uint64_t x = start[1] / chunk[1]; x <= (start[1] + count[1] - 1) / chunk[1]; x++) {
                uint64_t end_y = (y + 1) * chunk[0] < shape[0] ? (y + 1) * chunk[0] : shape[0];
                uint64_t end_x = (x + 1) * chunk[1] < shape[1] ? (x + 1) * chunk[1] : shape[1];
                bool whole = start[0] <= y * chunk[0] && start[0] + count[0] >= end_y && start[1] <= x * chunk[1] && start[1] + count[1] >= end_x;
                partial += !whole;
            }
        }
        shardio_array *a = shardio_array_update_in(&store, &g.o, &e);
        uint8_t *fresh = (uint8_t *)malloc((size_t)(count[0] * count[1]));
        for (uint64_t i = 0; i < count[0] * count[1]; i++) {
            fresh[i] = (uint8_t)(i % 251);
            g.data[(start[0] + i / count[1]) * shape[1] + start[1] + i % count[1]] = fresh[i];
        }
        disk_calm(&d);
        CHECK_OK(shardio_array_write(a, start, count, fresh, (size_t)(count[0] * count[1]), &e));
        free(fresh);
        uint64_t bytes = 0, reads = 0, chunk_bytes = chunk[0] * chunk[1] + (crc ? 4 : 0);
        uint64_t chunks = (shard[0] / chunk[0]) * (shard[1] / chunk[1]), index = 16 * chunks + 4;
        for (size_t i = 0; i < d.logged; i++) {
            bool is_index = sharded && d.log[i].size == index && d.log[i].offset % chunk_bytes == 0;
            if (d.log[i].call != DISK_READ || is_index) continue;
            bytes += d.log[i].size;
            reads++;
        }
        if (!rewrite && index % chunk_bytes != 0) {
            CHECK_U64(bytes, partial * chunk_bytes);
            CHECK_U64(reads, partial);
        }
        uint64_t zero[2] = {0, 0};
        CHECK_OK(grid_read(&g, a, zero, shape, &e));
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) fprintf(stderr, "    %d: %d partial chunks, %d reads of %d bytes\n", k, (int)partial, (int)reads, (int)chunk_bytes);
    }
}

/* ---- hints */

/* Every read but the first, and those that go on where another one ended, was announced, and nothing that is not read. */
static void check_hints(const disk *d, uint64_t at_least)
{
    uint64_t hinted = 0, read = 0, first = 1;
    for (size_t i = 0; i < d->logged; i++) {
        const disk_record *one = &d->log[i];
        bool found = false;
        if (one->call == DISK_HINT) {
            for (size_t j = 0; j < d->logged && !found; j++)
                found = d->log[j].call == DISK_READ && d->log[j].offset <= one->offset && d->log[j].offset + d->log[j].size >= one->offset + one->size;
            CHECK(found && one->size > 0);
            hinted++;
        }
        if (one->call != DISK_READ) continue;
        for (size_t j = 0; j < i && !found; j++)
            found = (d->log[j].call == DISK_HINT && d->log[j].offset == one->offset && d->log[j].size <= one->size) ||
                    (d->log[j].call == DISK_READ && d->log[j].offset + d->log[j].size == one->offset);
        CHECK(found || first);
        first = 0;
        read++;
    }
    CHECK(hinted >= at_least && hinted <= read);
}

TEST(what_comes_is_announced)
{
    for (int k = 0; k < 8; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[2] = {64, 64}, chunk[2] = {8, 8}, shard[2] = {64, 64};
        uint64_t start[2] = {0, 16}, count[2] = {64, 8};       /* a column of chunks: none side by side */
        shardio_array_options o;
        shardio_error e;
        grid g;
        grid_begin(&g, 2, shape, chunk, shard);
        g.o.codecs[0] = k & 1 ? shardio_codec_crc32c() : NULL;
        g.o.index_at_start = (k & 2) != 0;
        grid_write(&g, &store);
        memset(&o, 0, sizeof o);
        o.memory = k & 4 ? 1 : 0;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        uint64_t one[2] = {1, 1};
        CHECK_OK(grid_read(&g, a, one, one, &e));
        CHECK_U64(d.calls[DISK_HINT], 0);                      /* there is nothing else to come */
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, start, count, &e));
        check_hints(&d, 7);
        disk_calm(&d);
        count[1] = 5;                                          /* no whole chunks: through memory */
        CHECK_OK(grid_read(&g, a, start, count, &e));
        check_hints(&d, 7);
        disk_calm(&d);
        count[0] = 8;
        CHECK_OK(grid_read(&g, a, start, count, &e));          /* one chunk */
        CHECK_U64(d.calls[DISK_HINT], 0);
        count[0] = 64;
        start[1] = 0;
        count[1] = 64;                                         /* all: without gaps, whatever the memory */
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, start, count, &e));
        CHECK_U64(d.calls[DISK_HINT], 0);
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* Each read asks whether the shard is still the same; where nobody writes that can be spared. */
TEST(shards_are_asked_whether_they_changed)
{
    for (int k = 0; k < 2; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[1] = {400}, chunk[1] = {10}, shard[1] = {100};
        uint64_t start = 100, count = 10;
        shardio_array_options o;
        shardio_error e;
        grid g;
        grid_begin(&g, 1, shape, chunk, shard);
        grid_write(&g, &store);
        memset(&o, 0, sizeof o);
        o.unchanging = k == 1;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        CHECK_OK(grid_read(&g, a, &start, &count, &e));
        disk_calm(&d);
        for (int i = 0; i < 10; i++) CHECK_OK(grid_read(&g, a, &start, &count, &e));
        CHECK_U64(d.calls[DISK_READ], 10);
        CHECK_U64(d.calls[DISK_FACTS], k == 0 ? 10 : 0);
        g.o.overwrite = true;                                  /* another one takes its place */
        for (uint64_t i = 0; i < g.elements; i++) g.data[i] ^= 0x55;
        grid_write(&g, &store);
        if (k == 0) CHECK_OK(grid_read(&g, a, &start, &count, &e));
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
    }
}

/* ---- budgets */

TEST(index_memory_is_kept_to)
{
    for (int k = 0; k < 12; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[1] = {20 * 1000}, chunk[1] = {1}, shard[1] = {1000};
        const size_t index = 16004;
        shardio_array_options o;
        shardio_error e;
        counter c;
        grid g;
        grid_begin(&g, 1, shape, chunk, shard);
        grid_write(&g, &store);
        memset(&o, 0, sizeof o);
        o.allocator = counter_begin(&c);
        o.index_memory = (size_t)k * index + 100;              /* of none up to eleven */
        uint64_t most = k > 0 ? (uint64_t)k : 1;
        shardio_array *a = k % 2 ? shardio_array_update_in(&store, &o, &e) : shardio_array_open_in(&store, &o, &e);
        size_t before = c.live, peak = 0;
        uint64_t r = 3, opened = 0;
        for (int i = 0; i < 200; i++) {
            uint64_t at = i < 20 ? (uint64_t)i * 1000 : test_random(&r) % 20000, one = 1;
            disk_calm(&d);
            CHECK_OK(grid_read(&g, a, &at, &one, &e));
            opened += d.calls[DISK_OPEN];
            CHECK(d.open_shards <= most);
            if (c.live > peak) peak = c.live;
        }
        CHECK(opened > 20 || k > 15);
        CHECK(peak <= before + most * (index + sizeof(disk_handle)) + 4096);
        CHECK(c.peak <= before + most * (index + sizeof(disk_handle)) + 4096 + sizeof(disk_handle));
        uint64_t at = 5000, one = 1;                            /* what was used last is still there */
        CHECK_OK(grid_read(&g, a, &at, &one, &e));
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, &at, &one, &e));
        CHECK_U64(d.calls[DISK_OPEN], 0);
        shardio_array_close(a);
        CHECK_U64(c.live, 0);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    room for %d\n", k); return; }
    }
}

TEST(files_open_at_once)
{
    for (uint32_t most = 1; most < 9; most++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[1] = {40}, chunk[1] = {1}, shard[1] = {4};
        uint64_t zero = 0, all = 40, r = most;
        shardio_array_options o;
        shardio_error e;
        grid g;
        grid_begin(&g, 1, shape, chunk, shard);
        grid_write(&g, &store);
        memset(&o, 0, sizeof o);
        o.max_open_files = most;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, &zero, &all, &e));
        CHECK_U64(d.calls[DISK_OPEN], 10);
        for (int i = 0; i < 50; i++) {
            uint64_t at = test_random(&r) % 40, one = 1;
            CHECK_OK(grid_read(&g, a, &at, &one, &e));
            CHECK(d.open_shards <= most);
        }
        CHECK_U64(d.open_peak, most);
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    %d files\n", (int)most); return; }
    }
}

/* A read takes the largest chunk, or what comes together within the option, whichever is more; and what codecs need. */
TEST(memory_of_a_read)
{
    static const size_t memories[] = {1, 1000, 10000, 100000, 400000, 1 << 20, 0};
    for (int k = 0; k < 14; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[2] = {512, 512}, chunk[2] = {64, 64}, shard[2] = {512, 512}, zero[2] = {0, 0};
        shardio_array_options o;
        shardio_error e;
        counter c;
        grid g;
        bool crc = k % 2 != 0;
        size_t largest = 4096 + (crc ? 4 : 0), sum = 64 * largest, memory = memories[k / 2];
        grid_begin(&g, 2, shape, chunk, shard);
        g.o.codecs[0] = crc ? shardio_codec_crc32c() : NULL;
        grid_write(&g, &store);
        memset(&o, 0, sizeof o);
        o.allocator = counter_begin(&c);
        o.memory = memory;
        if (memory == 0) memory = 16 << 20;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        size_t before = c.live, stated = sum < memory ? sum : memory;
        static const uint64_t start[2] = {1, 1}, count[2] = {511, 510};
        CHECK_OK(grid_read(&g, a, zero, shape, &e));
        CHECK_OK(grid_read(&g, a, start, count, &e));
        if (stated < largest) stated = largest;
        CHECK(c.peak <= before + stated + (crc ? 2 * largest : 0) + 1028 + sizeof(disk_handle) + 64);
        shardio_array_facts f;
        CHECK_OK(shardio_array_describe(a, &f));
        CHECK(f.memory <= c.live);
        shardio_array_close(a);
        CHECK_U64(c.live, 0);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    memory %d, crc %d: %d of %d\n", (int)memory, crc, (int)(c.peak - before), (int)stated); return; }
    }
}

/* Shards inside shards: of an inner one only its index and the chunks that are wanted are read. */
TEST(nested_shards_are_not_read_whole)
{
    for (int k = 0; k < 4; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[1] = {1 << 20}, chunk[1] = {1 << 20};
        shardio_array_options o;
        shardio_error e;
        counter c;
        grid g;
        char list[1200];
        const char *bytes = "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}";
        grid_begin(&g, 1, shape, chunk, NULL);
        snprintf(list, sizeof list, "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[262144],\"index_codecs\":[%s,\"crc32c\"],\"index_location\":"
                 "\"%s\",\"codecs\":[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[1024],\"index_codecs\":[%s,\"crc32c\"],\"codecs\":[%s%s]}}]}}]",
                 bytes, k & 1 ? "start" : "end", bytes, bytes, k & 2 ? ",\"crc32c\"" : "");
        g.o.codec_list = list;
        grid_write(&g, &store);
        memset(&o, 0, sizeof o);
        o.allocator = counter_begin(&c);
        o.memory = 5000;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        size_t before = c.live, index = 4 * 16 + 4, inner = 256 * 16 + 4, one = 1024 + (k & 2 ? 4u : 0u);
        uint64_t at = 700000, count = 1;
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, &at, &count, &e));
        CHECK_U64(d.calls[DISK_READ], 3);
        uint64_t read = 0;
        for (size_t i = 0; i < d.logged; i++) read += d.log[i].call == DISK_READ ? d.log[i].size : 0;
        CHECK_U64(read, index + inner + one);
        CHECK(c.peak - before < 16000);
        at = 0;
        count = 1 << 20;
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, &at, &count, &e));
        CHECK(c.peak - before < 24000);
        CHECK(d.calls[DISK_READ] <= (k & 2 ? 4 + 1024 : 4 + 4 * 1 + 4));
        shardio_array_close(a);
        CHECK_U64(c.live, 0);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    %d: %d reads, %d bytes of memory\n", k, (int)d.calls[DISK_READ], (int)(c.peak - before)); return; }
    }
}

/* ---- many files, a chunk in each: the next ones are open, and asked for, while one is read */

TEST(chunk_files_are_opened_ahead)
{
    static const struct { uint32_t in_flight, max_open; uint64_t peak; } table[] = {{0, 0, 8}, {1, 0, 1}, {0, 3, 3}, {4, 1, 1}};
    const uint64_t shape[2] = {40, 12}, chunk[2] = {4, 6}, zero[2] = {0, 0};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_array_options o;
        shardio_error e;
        grid g;
        int code = 0;
        grid_begin(&g, 2, shape, chunk, NULL);
        grid_write(&g, &store);
        CHECK_OK(store.functions->remove(store.context, "c/3/1", &code));
        for (uint64_t row = 12; row < 16; row++) memset(g.data + row * 12 + 6, 0, 6);   /* what is not there is the fill value */
        memset(&o, 0, sizeof o);
        o.in_flight = table[i].in_flight;
        o.max_open_files = table[i].max_open;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, zero, shape, &e));
        CHECK_U64(d.open_peak, table[i].peak);
        const bool ahead = table[i].peak > 1;
        CHECK_U64(d.calls[DISK_HINT], ahead ? 19 : 0);
        uint64_t opened = d.calls[DISK_OPEN];
        CHECK_U64(opened, 20);
        for (uint64_t nth = 1; nth <= opened; nth++) {
            for (int forever = 0; forever < 2; forever++) {
                disk_calm(&d);
                d.only = 1u << DISK_OPEN;
                d.fail_at = nth;
                d.forever = forever != 0;
                const bool again = ahead && nth > 1 && !forever;        /* one that is opened ahead has its turn */
                CHECK_STATUS(grid_read(&g, a, zero, shape, &e), again ? SHARDIO_OK : SHARDIO_ERR_IO);
                CHECK(again || strstr(e.subject, d.failed_key) != NULL);
                CHECK_U64(d.handles, 0);
            }
        }
        disk_calm(&d);
        d.forever = false;
        d.only = 1u << DISK_READ;
        d.fail_at = 7;
        CHECK_STATUS(grid_read(&g, a, zero, shape, &e), SHARDIO_ERR_IO);
        CHECK_U64(d.handles, 0);
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
    }
}

/* An arena takes back only what it gave last: nothing that is opened ahead may eat it up. */
TEST(reading_in_an_arena)
{
    static uint8_t room[400000];
    const uint64_t shape[2] = {600, 64}, zero[2] = {0, 0};
    for (int way = 0; way < 3; way++) {
        const uint64_t chunk[2] = {way == 2 ? UINT64_C(600) : 2, 64}, shard[2] = {way == 1 ? UINT64_C(4) : 600, 64};
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_array_options o;
        shardio_arena arena;
        shardio_error e;
        grid g;
        grid_begin(&g, 2, shape, chunk, way > 0 ? shard : NULL);
        grid_write(&g, &store);
        d.alignment = way == 2 ? 512 : 0;
        d.queue = 8;
        shardio_allocator allocator = shardio_arena_begin(&arena, room, way == 2 ? 120000 : sizeof room);
        memset(&o, 0, sizeof o);
        o.allocator = &allocator;
        o.max_open_files = 4;
        o.unbuffered = way == 2;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        for (int again = 0; again < 3; again++) CHECK_OK(grid_read(&g, a, zero, shape, &e));
        shardio_array_close(a);
        CHECK_U64(arena.pieces, 0);
        grid_end(&g);
        disk_end(&d);
        if (test_failures) fprintf(stderr, "    way %d, at most %d bytes\n", way, (int)arena.peak);
    }
}

/* Of parts of many shards each next one is open, and its chunks asked for, before its turn; where their indexes have no room
   together, or may not stay open, each is opened when it is its turn. */
TEST(shards_are_opened_ahead)
{
    static const struct { uint32_t in_flight, max_open; size_t index_memory; bool ahead; } table[] = {
        {0, 0, 0, true}, {1, 0, 0, false}, {0, 3, 0, false}, {0, 4, 0, true}, {0, 0, 300, false}};
    const uint64_t shape[2] = {96, 32}, chunk[2] = {4, 4}, shard[2] = {8, 32}, start[2] = {0, 5}, column[2] = {96, 2};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_array_options o;
        shardio_error e;
        grid g;
        int code = 0;
        grid_begin(&g, 2, shape, chunk, shard);
        grid_write(&g, &store);
        CHECK_OK(store.functions->remove(store.context, "c/3/0", &code));
        memset(g.data + 24 * 32, 0, 8 * 32);
        memset(&o, 0, sizeof o);
        o.in_flight = table[i].in_flight;
        o.max_open_files = table[i].max_open;
        o.index_memory = table[i].index_memory;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, start, column, &e));
        CHECK_U64(d.calls[DISK_OPEN], 12);                 /* the missing one is looked for once */
        if (table[i].ahead) CHECK(d.calls[DISK_HINT] >= 2 * 11);
        CHECK(d.open_peak <= (table[i].max_open > 0 ? table[i].max_open : 64));
        CHECK_U64(d.calls[DISK_READ], 3 * 11);             /* index and two chunks, once each */
        shardio_array_close(a);
        disk_calm(&d);
        d.only = 1u << DISK_OPEN;
        for (int k = 4; k <= 27; k++) {
            d.counted = d.failed = 0;
            d.fail_at = (uint64_t)k / 2;
            d.forever = k % 2 != 0;
            const bool again = table[i].ahead && !d.forever;            /* one that is opened ahead has its turn */
            a = shardio_array_open_in(&store, &o, &e);
            CHECK_STATUS(grid_read(&g, a, start, column, &e), again ? SHARDIO_OK : SHARDIO_ERR_IO);
            CHECK(again || strstr(e.subject, d.failed_key) != NULL);
            shardio_array_close(a);
            CHECK_U64(d.handles, 0);
        }
        d.forever = false;
        grid_end(&g);
        disk_end(&d);
        if (test_failures) fprintf(stderr, "    row %d\n", (int)i);
    }
}

/* ---- unbuffered */

TEST(unbuffered_reads_keep_to_blocks)
{
    static const uint32_t alignments[][2] = {{512, 512}, {4096, 4096}, {512, 4}, {4096, 512}, {1024, 4096}};
    uint64_t r = 8, direct = 0, begun = 0, begun_tracked = 0, at_once = 0;
    for (int k = 0; k < 240 && test_failures == 0; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        uint64_t shape[2], chunk[2], shard[2], zero[2] = {0, 0};
        shardio_array_options o;
        shardio_error e;
        grid g;
        bool nested = k % 6 == 5;
        char list[1200];
        for (int i = 0; i < 2; i++) {
            shape[i] = 20 + test_random(&r) % 150;
            chunk[i] = 4 * (1 + test_random(&r) % 16);
            shard[i] = chunk[i] * (1 + test_random(&r) % 6);
        }
        grid_begin(&g, 2, shape, nested ? shard : chunk, nested ? NULL : shard);
        snprintf(list, sizeof list, "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[%d,%d],\"index_codecs\":[{\"name\":\"bytes\",\"configuration\":"
                 "{\"endian\":\"little\"}},\"crc32c\"],\"codecs\":[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[%d,2],\"index_codecs\":[{\"name\":"
                 "\"bytes\",\"configuration\":{\"endian\":\"little\"}},\"crc32c\"],\"codecs\":[\"bytes\"]}}]}}]", (int)chunk[0], (int)chunk[1], (int)chunk[0]);
        if (nested) g.o.codec_list = list;
        else g.o.codecs[0] = k % 3 == 0 ? shardio_codec_crc32c() : NULL;
        g.o.index_at_start = k % 4 == 0;
        grid_write(&g, &store);
        d.alignment = alignments[k % 5][0];
        d.memory_alignment = alignments[k % 5][1];
        d.refuse_open = k % 7 == 1;
        d.refuse_read = k % 7 == 2;
        d.queue = (uint32_t)(k % 5 * 4);
        d.short_every = k % 3 == 1 ? 5 : 0;
        memset(&o, 0, sizeof o);
        o.unbuffered = true;
        o.in_flight = (uint32_t)(k % 4 * 5);
        o.memory = (size_t)(k % 2 ? 0 : 1 + test_random(&r) % 20000);
        shardio_cache cache;
        shardio_cache_options budget = {1 << 14, 1 << 13, 512, NULL};
        shardio_cache_begin(&cache, &budget);
        if (k % 11 < 4) o.cache = &cache;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        disk_calm(&d);
        CHECK_OK(grid_read(&g, a, zero, shape, &e));
        if (d.refuse_open) CHECK_U64(d.direct_reads, 0);
        else CHECK(d.direct_reads > 0);
        direct += d.refuse_read || d.refuse_open ? 0 : d.direct_reads;
        bool refused = d.refuse_open || d.refuse_read;
        CHECK_U64(shardio_array_accounting(a).direct, !refused);
        CHECK((shardio_array_accounting(a).direct_reason == NULL) == !refused);
        CHECK_U64(d.calls[DISK_HINT] > 0 && !d.refuse_open && !d.refuse_read, 0);       /* the page cache is not asked for anything */
        for (int i = 0; i < 6; i++) {
            uint64_t start[2], count[2];
            for (int n = 0; n < 2; n++) {
                start[n] = test_random(&r) % shape[n];
                count[n] = 1 + test_random(&r) % (shape[n] - start[n]);
            }
            CHECK_OK(grid_read(&g, a, start, count, &e));
        }
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
        shardio_array_close(a);
        shardio_cache_end(&cache);
        begun += d.begun;
        at_once += d.most_begun > 1;
        begun_tracked += o.cache != NULL ? d.begun : 0;
        grid_end(&g);
        disk_end(&d);                                            /* says so if one was misaligned, or its memory used meanwhile */
        if (test_failures) fprintf(stderr, "    %d, blocks of %d, %s\n", k, (int)d.alignment, nested ? list : "");
    }
    CHECK(direct > 1000);
    CHECK(begun > 500);
    CHECK(begun_tracked > 100);                                  /* beside a cache as well */
    CHECK(at_once > 20);
}

/* Refused in the middle of a large window, reads go on through the page cache, each chunk to another place. */
TEST(unbuffered_reads_given_up_in_a_large_window)
{
    const uint64_t shape[2] = {128, 128}, chunk[2] = {1, 1}, zero[2] = {0, 0};
    const ptrdiff_t stride[2] = {1, 128};
    static uint8_t got[128 * 128];
    for (int way = 0; way < 2; way++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_array_options o;
        shardio_error e;
        grid g;
        grid_begin(&g, 2, shape, chunk, shape);
        grid_write(&g, &store);
        d.alignment = 512;
        d.queue = 8;
        d.refuse_read = way == 0;
        d.short_every = 1;
        memset(&o, 0, sizeof o);
        o.unbuffered = true;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        for (int again = 0; again < 2; again++) {
            memset(got, 0, sizeof got);
            CHECK_OK(shardio_array_read_strided(a, zero, shape, got, stride, &e));
            for (int i = 0; i < 128 * 128; i++)
                if (!CHECK(got[i % 128 * 128 + i / 128] == g.data[i])) break;
        }
        CHECK_U64(shardio_array_accounting(a).overlap, way);
        CHECK((shardio_array_accounting(a).overlap_reason != NULL) == (way == 0));
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
    }
}

/* A chunk that the end of the file cuts off is an error, whether blocks are read or not. */
TEST(unbuffered_reads_of_short_files)
{
    for (int k = 0; k < 2; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        static const uint64_t shape[1] = {4000}, chunk[1] = {1000}, shard[1] = {4000}, zero[1] = {0};
        shardio_array_options o;
        shardio_error e;
        grid g;
        grid_begin(&g, 1, shape, chunk, shard);
        grid_write(&g, &store);
        d.alignment = 512;
        memset(&o, 0, sizeof o);
        o.unbuffered = true;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        CHECK_OK(grid_read(&g, a, zero, shape, &e));
        disk_node *n = disk_find(&d, "c/0");
        n->now_size = k ? 3500 : 0;                             /* nobody is told: the same version */
        n->now_size = 3500;
        uint8_t got[4000];
        shardio_status s = shardio_array_read(a, zero, shape, got, sizeof got, &e);
        CHECK(s == SHARDIO_ERR_TRUNCATED || s == SHARDIO_ERR_CHECKSUM);
        n->now_size = 4068;
        CHECK_OK(grid_read(&g, a, zero, shape, &e));
        shardio_array_close(a);
        grid_end(&g);
        disk_end(&d);
    }
}

/* 8 MiB are read and are not in the page cache afterwards, but for the end of the file, where its index is. */
TEST(unbuffered_reads_leave_the_page_cache_alone)
{
    POSIX_ONLY("mincore");
    char directory[300], path[340];
    static const uint64_t shape[1] = {8 << 20}, chunk[1] = {1 << 16}, shard[1] = {8 << 20}, zero[1] = {0};
    shardio_array_options o;
    shardio_error e;
    grid g;
    test_directory(directory, sizeof directory);
    snprintf(path, sizeof path, "%s/c/0", directory);
    grid_begin(&g, 1, shape, chunk, shard);
    g.o.direct = SHARDIO_DIRECT_ON;
    g.o.overwrite = true;
    shardio_array *a = shardio_array_create(directory, &g.o);
    (void)shardio_array_append(a, g.data, g.elements);
    shardio_status s = shardio_array_finish(a, &e);
    if (s == SHARDIO_ERR_DIRECT) { grid_end(&g); LEAVE_OUT("this file system refuses O_DIRECT"); }
    CHECK_OK(s);
    if (cached_pages(path) != 0) { grid_end(&g); LEAVE_OUT("this file system keeps what is written past the page cache"); }
    memset(&o, 0, sizeof o);
    o.unbuffered = true;
    if (getenv("TEST_VALGRIND") != NULL) o.overlap = SHARDIO_OVERLAP_OFF;   /* it does not see that the queue fills memory */
    a = shardio_array_open(directory, &o, &e);
    CHECK_OK(grid_read(&g, a, zero, shape, &e));
    long pages = cached_pages(path);
    CHECK(pages >= 0 && pages <= 64);
    shardio_array_close(a);
    a = shardio_array_open(directory, NULL, &e);
    CHECK_OK(grid_read(&g, a, zero, shape, &e));
    CHECK(cached_pages(path) > 1000);                           /* and one does see pages */
    shardio_array_close(a);
    if (test_failures) fprintf(stderr, "    %ld pages\n", pages);
    grid_end(&g);
}

/* ---- limits */

TEST(large_metadata_is_not_read)
{
    char directory[300], path[340];
    shardio_array_options o;
    shardio_error e;
    counter c;
    test_directory(directory, sizeof directory);
    snprintf(path, sizeof path, "%s/zarr.json", directory);
    FILE *out = fopen(path, "wb");                              /* 100 MB, of which nobody needs to see a byte */
    if (!CHECK(out != NULL)) return;
    CHECK(fclose(out) == 0 && truncate(path, 100 << 20) == 0);
    memset(&o, 0, sizeof o);
    o.allocator = counter_begin(&c);
    shardio_array *a = shardio_array_open(directory, &o, &e);
    CHECK_STATUS(e.status, SHARDIO_ERR_LIMIT);
    CHECK(strstr(e.subject, "zarr.json") != NULL && e.reason != NULL && strstr(e.reason, "metadata_limit") != NULL);
    shardio_array_close(a);
    CHECK(c.peak < 20000);
    a = shardio_array_update(directory, &o, &e);
    CHECK_STATUS(e.status, SHARDIO_ERR_LIMIT);
    shardio_array_close(a);
    a = shardio_array_continue(directory, &o);
    CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_LIMIT);
    CHECK(c.peak < 20000);
    CHECK_U64(c.live, 0);
    unlink(path);
}

/* The limit is exact. */
TEST(metadata_limit_to_the_byte)
{
    static disk d;
    shardio_store store = disk_begin(&d);
    static const uint64_t shape[1] = {10}, chunk[1] = {10};
    shardio_array_options o;
    shardio_error e;
    grid g;
    size_t size;
    grid_begin(&g, 1, shape, chunk, NULL);
    grid_write(&g, &store);
    free(store_get(&store, "zarr.json", &size));
    memset(&o, 0, sizeof o);
    for (int less = 0; less < 2; less++) {
        o.metadata_limit = size - (size_t)less;
        disk_calm(&d);
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        CHECK_STATUS(e.status, less ? SHARDIO_ERR_LIMIT : SHARDIO_OK);
        CHECK_U64(d.calls[DISK_READ], less ? 0 : 1);
        shardio_array_close(a);
    }
    grid_end(&g);
    disk_end(&d);
}

/* A codec for the limits: a length and a byte that is repeated. */
static size_t repeat_bound(void *context, size_t size)
{
    (void)context, (void)size;
    return 16;
}

static shardio_status repeat_encode(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size)
{
    uint64_t n = size;
    (void)context;
    if (capacity < 9) return SHARDIO_ERR_LIMIT;
    memcpy(out, &n, 8);
    memcpy((uint8_t *)out + 8, in, 1);
    *out_size = 9;
    return SHARDIO_OK;
}

static shardio_status repeat_decode(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size)
{
    uint64_t n;
    (void)context;
    if (size != 9) return SHARDIO_ERR_CORRUPT;
    memcpy(&n, in, 8);
    if (n > capacity) return SHARDIO_ERR_LIMIT;
    memset(out, ((const uint8_t *)in)[8], (size_t)n);
    *out_size = (size_t)n;
    return SHARDIO_OK;
}

static const shardio_codec *repeat_codec(void)
{
    static const shardio_codec codec = {"test.repeat", NULL, NULL, repeat_bound, repeat_encode, repeat_decode, NULL, NULL};
    return &codec;
}

/* A small file does not make a program take much memory: the option says how much. */
TEST(decoded_limit)
{
    for (int k = 0; k < 8; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        bool sharded = (k & 1) != 0, strings = (k & 2) != 0, enough = (k & 4) != 0;
        const uint64_t size = 8 << 20;
        shardio_array_options o;
        shardio_error e;
        counter c;
        uint8_t *all = (uint8_t *)calloc(1, (size_t)size);
        memset(&o, 0, sizeof o);
        o.ndim = 1;
        o.dtype = strings ? SHARDIO_BYTES : SHARDIO_UINT8;
        o.shape[0] = o.chunk[0] = strings ? size / 4 - 1 : size;      /* of empty strings: 4 bytes each in the chunk, 16 in memory */
        o.shard[0] = sharded ? o.chunk[0] : 0;
        o.codecs[0] = repeat_codec();
        o.durability = SHARDIO_DURABLE_NONE;
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        uint8_t file[9 + 20];
        memcpy(file, &size, 8);
        file[8] = strings ? 0 : 7;
        if (sharded) {
            shardio_index_layout layout = {1, false, false, false, 0, NULL};
            shardio_index_set(&layout, file + 9, 0, 0, 9);
            shardio_index_seal(&layout, file + 9);
        }
        CHECK_OK(store_put(&store, "c/0", file, sharded ? 29 : 9));
        shardio_array_options open;
        memset(&open, 0, sizeof open);
        open.codecs[0] = repeat_codec();
        open.allocator = counter_begin(&c);
        open.memory = 1000;
        open.decoded_limit = enough ? 64 << 20 : 1 << 20;
        shardio_array *a = shardio_array_open_in(&store, &open, &e);
        uint64_t at = 12345, one = 1;
        shardio_bytes got;
        shardio_status s = shardio_array_read(a, &at, &one, &got, sizeof got, &e);
        if (!enough) {
            CHECK_STATUS(s, SHARDIO_ERR_LIMIT);
            CHECK(e.reason != NULL && strstr(e.reason, "decoded_limit") != NULL);
            CHECK(c.peak < 3 << 20);
        } else if (strings) {
            CHECK_STATUS(s, SHARDIO_ERR_CORRUPT);                      /* zeros are no count of strings */
        } else {
            CHECK_OK(s);
            CHECK_U64(*(const uint8_t *)&got, 7);
            CHECK(c.peak < (size_t)size + (2 << 20));                  /* a chunk, once */
        }
        shardio_array_close(a);
        CHECK_U64(c.live, 0);
        if (!enough) {                                                 /* nor does changing it */
            a = shardio_array_update_in(&store, &open, &e);
            CHECK(shardio_array_write(a, &at, &one, &got, strings ? sizeof got : 1, &e) != SHARDIO_OK);
            CHECK(strings || c.peak < (size_t)size + (3 << 20));       /* but for the chunk that is put together */
            shardio_array_close(a);
        }
        CHECK_U64(c.live, 0);
        free(all);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    %d: %s, %d MiB\n", k, shardio_status_name(s), (int)(c.peak >> 20)); return; }
    }
}

/* Regions and batches of more than 8 MiB are copied another way: long rows and short ones, at any address, whole chunks
   and parts of them. */
TEST(more_than_caches_hold)
{
    static const uint64_t chunks[][3] = {{3, 40, 301}, {12, 40, 64}, {1, 16, 130}, {12, 320, 1203}, {5, 7, 33}};
    static const uint64_t shards[][3] = {{6, 160, 1204}, {12, 320, 1216}, {3, 32, 1300}, {12, 320, 1203}, {0, 0, 0}};
    static const uint64_t shape[3] = {24, 320, 1203};
    for (size_t k = 0; k < sizeof chunks / sizeof chunks[0]; k = (size_t)test_next(k)) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        grid g;
        grid_begin(&g, 3, shape, chunks[k], shards[k][0] != 0 ? shards[k] : NULL);
        g.o.memory = 12 << 20;
        grid_write(&g, &store);
        shardio_array *a = shardio_array_open_in(&store, NULL, &e);
        for (uint64_t i = 0; i < 3; i++) {
            uint64_t start[3] = {i, 7 * i, 5 * i}, count[3] = {24 - 2 * i, 320 - 13 * i, 1203 - 9 * i};
            CHECK_OK(grid_read(&g, a, start, count, &e));
        }
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
        grid_end(&g);
    }
}

/* A chunk that is a file, stored as it is and covered whole, goes where it belongs without memory of its own; a part of one
   and one whose bytes have to be turned around do not. */
TEST(chunk_files_are_read_to_their_place)
{
    enum { SIDE = 256 };
    static const struct { uint64_t rows; bool turned, straight; } table[] = {
        {SIDE, false, true}, {SIDE - 1, false, false}, {SIDE, true, false}};
    uint16_t *data = (uint16_t *)malloc(sizeof(uint16_t) * SIDE * SIDE), *got = (uint16_t *)malloc(sizeof(uint16_t) * SIDE * SIDE);
    for (size_t i = 0; i < SIDE * SIDE; i++) data[i] = (uint16_t)(i * 7);
    const uint16_t one = 1;
    bool machine_is_big = *(const uint8_t *)&one == 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        counter c;
        uint64_t start[2] = {0, 0}, count[2] = {table[i].rows, SIDE};
        memset(&o, 0, sizeof o);
        o.dtype = SHARDIO_UINT16;
        o.ndim = 2;
        o.shape[1] = o.chunk[1] = SIDE;
        o.chunk[0] = SIDE / 2;
        o.big_endian = table[i].turned != machine_is_big;
        shardio_array *a = shardio_array_create_in(&store, &o);
        CHECK_OK(shardio_array_append(a, data, SIDE * SIDE));
        CHECK_OK(shardio_array_finish(a, NULL));
        memset(&o, 0, sizeof o);
        o.allocator = counter_begin(&c);
        a = shardio_array_open_in(&store, &o, NULL);
        size_t before = c.live;
        c.peak = c.live;
        memset(got, 0, sizeof(uint16_t) * SIDE * SIDE);
        CHECK_OK(shardio_array_read(a, start, count, got, (size_t)table[i].rows * SIDE * 2, NULL));
        CHECK_BYTES(got, data, (size_t)table[i].rows * SIDE * 2);
        CHECK((c.peak - before < SIDE * SIDE) == table[i].straight);   /* bytes of a chunk */
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
    }
    free(data);
    free(got);
}

TEST_MAIN(TEST_CASE(more_than_caches_hold) TEST_CASE(opening_is_one_read) TEST_CASE(no_chunk_is_read_twice) TEST_CASE(neighbours_are_one_read) TEST_CASE(writes_read_what_they_must)
          TEST_CASE(what_comes_is_announced) TEST_CASE(shards_are_asked_whether_they_changed) TEST_CASE(index_memory_is_kept_to) TEST_CASE(files_open_at_once) TEST_CASE(memory_of_a_read)
          TEST_CASE(nested_shards_are_not_read_whole) TEST_CASE(chunk_files_are_opened_ahead) TEST_CASE(shards_are_opened_ahead) TEST_CASE(reading_in_an_arena) TEST_CASE(unbuffered_reads_given_up_in_a_large_window) TEST_CASE(unbuffered_reads_keep_to_blocks) TEST_CASE(unbuffered_reads_of_short_files)
          TEST_CASE(unbuffered_reads_leave_the_page_cache_alone) TEST_CASE(large_metadata_is_not_read) TEST_CASE(metadata_limit_to_the_byte)
          TEST_CASE(decoded_limit) TEST_CASE(chunk_files_are_read_to_their_place))
