/* The zarr section: how an array begins, goes on, is checkpointed, fails and ends. */
#include "arrays.h"
#include "faulty.h"

#include <sys/resource.h>

static void remove_tree(const char *path)
{
    char command[1000];
    snprintf(command, sizeof command, "chmod -R u+rwx '%s'; rm -rf '%s'", path, path);
    CHECK(system(command) == 0);
}

/* ---- memory: what shardio_array_memory says is what is taken, in one piece */

TEST(memory_is_as_stated)
{
    char directory[300], path[400];
    test_directory(directory, sizeof directory);
    for (uint64_t seed = 0; seed < test_rounds(120); seed++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_memory_plan plan;
        shardio_error e;
        uint64_t r = seed;
        counter c;
        model m;
        model_random(&m, 5000 + seed, 0);
        m.o.checkpoint_every = seed % 3 == 0 ? 1 + m.frame * m.element : 0;
        m.o.path = seed % 5 == 0 ? "some/path/in/the/store" : NULL;
        snprintf(path, sizeof path, "%s/%llu.zarr", directory, (unsigned long long)seed);
        if (seed % 10 == 0) store = shardio_store_directory(path);
        shardio_array_options o = m.o;
        o.allocator = counter_begin(&c);
        memset(&plan, 0, sizeof plan);
        CHECK_OK(shardio_array_memory(&o, (seed % 10 == 0 ? strlen(path) : 6) + (o.path ? strlen(o.path) : 0), &plan, &e));
        CHECK_U64(plan.total, plan.rows + plan.staging + plan.shards + plan.other);
        c.limit = (size_t)plan.total;
        shardio_array *a = shardio_array_create_in(&store, &o);
        CHECK(c.peak <= plan.total);
        /* exact, but for names, which may push what is behind them to the next block */
        CHECK(c.peak + 2048 + 4096 + plan.shards_in_flight * 1024 >= plan.total);
        uint64_t calls = c.calls;
        CHECK_OK(model_append(&m, a, 0, m.room * m.frame, &r));
        CHECK_U64(c.calls, calls);                /* nothing on the way */
        CHECK_OK(shardio_array_finish(a, NULL));
        CHECK_U64(c.calls, calls);
        CHECK_U64(c.live, 0);
        model_check(&m, &store, m.room, seed, 1);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) { describe_model(&m, seed); return; }
    }
}

/* The numbers follow DESIGN section 6: one row of chunks, one staging buffer, a block and 16 bytes per chunk for each
   shard in flight. */
TEST(memory_follows_the_design)
{
    static const struct { uint64_t shape[4], chunk[4], shard[4]; size_t memory; uint64_t at_once, flights; } table[] = {
        {{0, 4, 1024, 1024}, {1, 1, 256, 256}, {8, 4, 1024, 1024}, 1, 4, 1},         /* a row: chunks along x of one plane */
        {{0, 4, 1024, 1024}, {1, 1, 256, 256}, {8, 1, 256, 256}, 1, 4, 64},
        {{0, 4, 1024, 1024}, {16, 1, 256, 256}, {64, 4, 1024, 1024}, 1, 64, 1},
        {{0, 4, 1024, 1024}, {16, 1, 256, 256}, {64, 1, 512, 512}, 1, 64, 16},
        {{0, 4, 1024, 1024}, {1, 1, 256, 256}, {8, 4, 1024, 1024}, 4 << 20, 32, 1},
        {{0, 1, 125, 125}, {1, 1, 125, 125}, {16, 1, 125, 125}, 1, 1, 1},
        {{0, 1, 1000, 1000}, {1, 1, 1000, 1000}, {1, 1, 1000, 1000}, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_array_options o;
        shardio_memory_plan plan;
        uint64_t per_shard = 1, chunk = 2;
        memset(&o, 0, sizeof o);
        o.dtype = SHARDIO_UINT16;
        o.ndim = 4;
        for (int d = 0; d < 4; d++) {
            o.shape[d] = table[i].shape[d];
            o.chunk[d] = table[i].chunk[d];
            o.shard[d] = table[i].shard[d];
            per_shard *= o.shard[d] / o.chunk[d];
            chunk *= o.chunk[d];
        }
        o.memory = table[i].memory;
        o.buffer_size = 1 << 20;
        o.overlap = SHARDIO_OVERLAP_OFF;
        CHECK_OK(shardio_array_memory(&o, 100, &plan, NULL));
        CHECK_U64(plan.chunks_at_once, table[i].at_once);
        CHECK_U64(plan.shards_in_flight, table[i].flights);
        CHECK(plan.rows >= table[i].at_once * chunk && plan.rows <= table[i].at_once * chunk + table[i].flights * 3 * 4096 + 8192);
        CHECK(plan.staging >= 1 << 20 && plan.staging <= (1 << 20) + 8192);
        CHECK(plan.shards <= table[i].flights * (4096 + 16 * per_shard + 2500) + 8192);
        CHECK(plan.other < 30000);
        if (test_failures) { fprintf(stderr, "    row %d\n", (int)i); return; }
    }
}

TEST(no_memory)
{
    for (uint64_t n = 1; n < 20; n++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        key_list list;
        counter c;
        model m;
        small_model(&m, 3, 2, 2);
        CHECK_OK(store_put_text(&store, "zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\"}"));
        m.o.path = "a";
        m.o.allocator = counter_begin(&c);
        c.fail_at = n;
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        shardio_status s = append_plain(&m, a, 0, 42);
        if (c.calls < n) { shardio_array_abort(a); model_end(&m); shardio_store_memory_free(&memory); CHECK(n > 1); return; }
        CHECK_STATUS(s, SHARDIO_ERR_MEMORY);
        CHECK_STATUS(shardio_array_error(a).status, SHARDIO_ERR_MEMORY);
        CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_MEMORY);
        CHECK_STATUS(e.status, SHARDIO_ERR_MEMORY);
        CHECK_U64(c.live, 0);
        CHECK_OK(store_keys(&store, "", &list));
        CHECK_U64(list.count, 1);
        /* with no memory at all there is still a handle */
        c.limit = 1;
        a = shardio_array_create_in(&store, &m.o);
        CHECK(a != NULL);
        CHECK_STATUS(append_plain(&m, a, 0, 42), SHARDIO_ERR_MEMORY);
        CHECK_STATUS(shardio_array_checkpoint(a), SHARDIO_ERR_MEMORY);
        CHECK_U64(shardio_array_accounting(a).files, 0);
        shardio_array_facts f;
        CHECK_STATUS(shardio_array_describe(a, &f), SHARDIO_ERR_MEMORY);
        CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_MEMORY);
        m.o.path = NULL;
        a = shardio_array_open_in(&store, &m.o, &e);
        CHECK_STATUS(e.status, SHARDIO_ERR_MEMORY);
        shardio_array_close(a);
        a = shardio_array_open_in(&store, &m.o, &e);
        shardio_array_abort(a);
        CHECK_U64(c.live, 0);
        model_end(&m);
        shardio_store_memory_free(&memory);
    }
    test_fail(__FILE__, __LINE__, "more than 20 allocations");
}

/* ---- thousands of shards in flight with few descriptors */

TEST(many_shards_in_flight)
{
    POSIX_ONLY("the limit of descriptors");
    struct rlimit before, less;
    char directory[300], path[400];
    shardio_array_options o;
    shardio_error e;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    less = before;
    less.rlim_cur = 256;
    if (before.rlim_cur == RLIM_INFINITY || before.rlim_cur > 256) CHECK(setrlimit(RLIMIT_NOFILE, &less) == 0);
    test_directory(directory, sizeof directory);
    snprintf(path, sizeof path, "%s/a.zarr", directory);
    memset(&o, 0, sizeof o);
    o.ndim = 3;
    o.dtype = SHARDIO_UINT16;
    o.shape[1] = o.shape[2] = 128;
    o.chunk[0] = 1;
    o.chunk[1] = o.chunk[2] = o.shard[1] = o.shard[2] = 2;
    o.shard[0] = 4;
    o.memory = 1;
    o.durability = SHARDIO_DURABLE_NONE;
    o.direct = SHARDIO_DIRECT_OFF;
    o.max_open_files = 16;
    shardio_array *a = shardio_array_create(path, &o);
    uint16_t *frame = (uint16_t *)malloc(128 * 128 * 2), *got = (uint16_t *)malloc(128 * 128 * 2);
    for (uint32_t t = 0; t < 3; t++) {
        for (uint32_t i = 0; i < 128 * 128; i++) frame[i] = (uint16_t)test_mix(t * 65536 + i);
        CHECK_OK(shardio_array_append(a, frame, 128 * 128));
        if (t == 1) CHECK_OK(shardio_array_checkpoint(a));
    }
    CHECK_U64(shardio_array_accounting(a).files, 4096);
    shardio_status s = shardio_array_finish(a, &e);
    char text[400];
    if (s != SHARDIO_OK) test_fail(__FILE__, __LINE__, shardio_error_text(&e, text, sizeof text));
    shardio_store store = shardio_store_directory(path);
    key_list list;
    CHECK_OK(store_keys(&store, "c/", &list));
    CHECK_U64(list.count, 4096);
    CHECK_U64(list.temporary, 0);
    o.max_open_files = 0;
    a = shardio_array_open(path, &o, &e);
    for (uint64_t t = 0; t < 3; t++) {
        uint64_t start[3] = {0, 0, 0}, count[3] = {1, 128, 128};
        start[0] = t;
        for (uint32_t i = 0; i < 128 * 128; i++) frame[i] = (uint16_t)test_mix(t * 65536 + i);
        CHECK_OK(shardio_array_read(a, start, count, got, 128 * 128 * 2, &e));
        CHECK_BYTES(got, frame, 128 * 128 * 2);
    }
    shardio_array_close(a);
    free(frame);
    free(got);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    remove_tree(directory);
}

TEST(max_open_files)
{
    for (uint32_t most = 0; most <= 20; most += most < 4 ? 1 : 8) {
        shardio_memory_store memory;
        shardio_store inner = shardio_store_memory(&memory, NULL);
        spy s;
        shardio_store store = spy_begin(&s, &inner);
        model m;
        uint64_t r = most;
        small_model(&m, 9, 1, 4);
        m.o.shard[2] = 4;                                     /* 2 * 2 shards in flight */
        m.o.max_open_files = most;
        m.o.durability = SHARDIO_DURABLE_FINISH;
        s.durable = true;
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_OK(model_append(&m, a, 0, 5 * 42, &r));
        CHECK_OK(shardio_array_checkpoint(a));
        CHECK_OK(model_append(&m, a, 5 * 42, 4 * 42, &r));
        CHECK_OK(shardio_array_finish(a, NULL));
        CHECK(s.shards_open_peak <= (most ? most : 64));
        CHECK(s.shards_open_peak >= (most && most < 4 ? most : 4));
        CHECK_U64(s.shards_open, 0);
        CHECK_U64(s.disorder, 0);
        CHECK_U64(s.unsynced, 0);
        model_check(&m, &store, 9, 1, 4);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %u\n", (unsigned)most); return; }
    }
}

/* ---- checkpoints */

static uint64_t summary_dead;
static shardio_status add_dead(void *context, const char *key, const uint64_t *position, uint64_t size,
                               shardio_shard_reader *reader, const shardio_error *fault)
{
    shardio_shard_summary summary;
    (void)context; (void)key; (void)position; (void)size; (void)fault;
    if (reader == NULL || shardio_shard_verify(reader, &summary, NULL, NULL, NULL) != SHARDIO_OK) return SHARDIO_ERR_CORRUPT;
    summary_dead += summary.dead_bytes;
    return SHARDIO_OK;
}

/* At every checkpoint the files are exactly what they have to be: readable by a second handle, dead bytes as counted,
   metadata for the frames that are whole, and nothing outside the shape. */
TEST(every_checkpoint)
{
    for (int k = 0; k < 12; k++) {
        for (uint64_t piece = 1; piece < 100; piece += piece == 1 ? 41 : piece == 42 ? 9 : 40) {
            shardio_memory_store memory;
            shardio_store store = shardio_store_memory(&memory, NULL);
            shardio_error e;
            model m;
            uint64_t end = 7 * 42, files = 0;
            small_model(&m, 7, k % 3 == 0 ? 1 : 2, k % 3 == 2 ? 0 : k % 2 ? 4 : 2);
            m.o.index_at_start = k >= 6;
            if (piece == 1) end = 3 * 42;
            shardio_array *a = shardio_array_create_in(&store, &m.o);
            for (uint64_t at = 0; at < end; at += piece) {
                uint64_t n = at + piece > end ? end - at : piece;
                CHECK_OK(append_plain(&m, a, at, n));
                CHECK_OK(shardio_array_checkpoint(a));
                if ((at + n) % 42 != 0 && piece == 1 && at % 11) continue;
                check_metadata(&m, &store, (at + n) / 42);
                model_check(&m, &store, (at + n) / 42, at, 1);
                if ((at + n) % 42 != 0) continue;            /* within a frame, what it took so far may lie about */
                check_verifies(&m, &store);
                shardio_array *b = shardio_array_open_in(&store, NULL, &e);
                summary_dead = 0;
                if (m.o.shard[0] != 0) CHECK_OK(shardio_array_each_shard(b, add_dead, NULL, &e));
                shardio_array_close(b);
                shardio_accounting accounting = shardio_array_accounting(a);
                CHECK_U64(accounting.dead_bytes, summary_dead);
                key_list list;
                CHECK_OK(store_keys(&store, "c/", &list));
                if (m.o.shard[0] != 0) CHECK_U64(accounting.logical_bytes, list.bytes);
                files = list.count;
                CHECK_OK(shardio_array_checkpoint(a));                 /* once more: nothing changes */
                if (m.o.shard[0] != 0) CHECK_U64(shardio_array_accounting(a).logical_bytes, accounting.logical_bytes);
                if (test_failures) { fprintf(stderr, "    %d, pieces of %llu, at %llu\n", k, (unsigned long long)piece, (unsigned long long)at); break; }
            }
            CHECK_OK(shardio_array_finish(a, &e));
            if (test_failures) return;
            check_all(&m, &store, end / 42, 1, false);
            key_list list;
            CHECK_OK(store_keys(&store, "c/", &list));
            if (end % 42 == 0) CHECK_U64(list.count, files);
            model_end(&m);
            shardio_store_memory_free(&memory);
            if (test_failures) return;
        }
    }
}

/* Finishing right after a checkpoint of whole rows adds nothing: no dead bytes where there need not be any. */
TEST(checkpoint_then_finish)
{
    for (int k = 0; k < 6; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        key_list before, after;
        model m;
        small_model(&m, 7, 2, 4);
        m.o.index_at_start = k >= 3;
        uint64_t frames = k % 3 == 0 ? 4 : k % 3 == 1 ? 6 : 7;       /* a whole shard; a whole row; a begun row */
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_OK(append_plain(&m, a, 0, frames * 42));
        CHECK_OK(shardio_array_checkpoint(a));
        CHECK_OK(store_keys(&store, "", &before));
        CHECK_OK(shardio_array_finish(a, NULL));
        CHECK_OK(store_keys(&store, "", &after));
        CHECK_U64(after.bytes, before.bytes);
        check_all(&m, &store, frames, 1, !m.o.index_at_start);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

TEST(checkpoint_every)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    model m;
    small_model(&m, 9, 2, 4);
    m.o.checkpoint_every = 3 * 42 * 2;
    shardio_array *a = shardio_array_create_in(&store, &m.o);
    for (uint64_t t = 0; t < 9; t++) {
        size_t size;
        CHECK_OK(append_plain(&m, a, t * 42, 42));
        uint8_t *text = store_get(&store, "zarr.json", &size);
        CHECK((text != NULL) == (t >= 2));
        free(text);
        if (t >= 2) model_check(&m, &store, (t + 1) / 3 * 3, t, 1);
    }
    CHECK_OK(shardio_array_finish(a, NULL));
    check_all(&m, &store, 9, 1, false);
    model_end(&m);
    shardio_store_memory_free(&memory);
}

/* ---- going on with an array that exists */

TEST(continue_everywhere)
{
    for (int k = 0; k < 24; k++) {
        for (uint64_t first = 0; first <= 9; first++) {
            shardio_memory_store memory;
            shardio_store store = shardio_store_memory(&memory, NULL);
            shardio_array_facts f;
            shardio_error e;
            uint64_t r = first;
            model m;
            small_model(&m, 9, k % 3 == 0 ? 1 : k % 3 == 1 ? 2 : 3, k % 4 == 0 ? 0 : k % 3 == 0 ? 4 : 6);
            m.o.index_at_start = k % 4 == 2;
            m.o.index_no_checksum = k % 4 == 3;
            m.o.codecs[0] = k >= 12 ? shardio_codec_crc32c() : NULL;
            m.o.big_endian = k >= 18;
            m.o.skip_fill = k % 2 != 0;
            if (m.o.skip_fill) for (uint64_t i = 100; i < 5 * 42; i++) memcpy(m.data + 2 * i, m.fill, 2);
            if (k % 5 == 0) m.o.path = "group/movie";
            if (k % 7 == 0) m.o.shape[0] = 9;           /* bounded: the first writer may not go beyond, a continuation may */
            m.o.attributes = "{\"kept\": [1, 2]}";
            shardio_array *a = shardio_array_create_in(&store, &m.o);
            CHECK_OK(append_plain(&m, a, 0, first * 42));
            CHECK_OK(shardio_array_finish(a, &e));
            shardio_array_options o;
            memset(&o, 0, sizeof o);
            o.path = m.o.path;
            o.memory = first % 2 ? 1 : 0;
            o.buffer_size = 4096;
            o.skip_fill = m.o.skip_fill;
            o.max_open_files = 1;
            a = shardio_array_continue_in(&store, &o);
            CHECK_OK(shardio_array_error(a).status);
            CHECK_OK(shardio_array_describe(a, &f));
            CHECK_U64(f.shape[0], first);
            CHECK(!f.begun_frame);
            uint64_t middle = first + (9 - first) / 2;
            CHECK_OK(model_append(&m, a, first * 42, (middle - first) * 42, &r));
            if (first % 3 == 0) CHECK_OK(shardio_array_checkpoint(a));
            CHECK_OK(shardio_array_finish(a, &e));
            check_all(&m, &store, middle, 3, false);
            a = shardio_array_continue_in(&store, &o);
            CHECK_OK(model_append(&m, a, middle * 42, (9 - middle) * 42, &r));
            CHECK_OK(shardio_array_finish(a, &e));
            check_all(&m, &store, 9, 3, false);
            a = shardio_array_open_in(&store, &o, &e);
            CHECK_OK(shardio_array_describe(a, &f));
            CHECK_TEXT(f.attributes, m.o.attributes);
            shardio_array_close(a);
            model_end(&m);
            shardio_store_memory_free(&memory);
            if (test_failures) { fprintf(stderr, "    %d, %llu frames\n", k, (unsigned long long)first); return; }
        }
    }
}

TEST(continue_random)
{
    for (uint64_t seed = 0; seed < test_rounds(150); seed++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        uint64_t r = seed, at = 0;
        shardio_error e;
        model m;
        model_random(&m, 9000 + seed, 0);
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        for (int k = 0;; k++) {
            uint64_t to = at + test_random(&r) % (m.room - at + 1);
            if (k == 4) to = m.room;
            CHECK_OK(model_append(&m, a, at * m.frame, (to - at) * m.frame, &r));
            at = to;
            CHECK_OK(shardio_array_finish(a, &e));
            check_metadata(&m, &store, at);
            model_check(&m, &store, at, seed, 2);
            model_check_files(&m, &store, at, false);
            check_verifies(&m, &store);
            if (k == 4 || test_failures) break;
            a = shardio_array_continue_in(&store, &m.o);
        }
        if (test_failures) describe_model(&m, seed);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) return;
    }
}

/* Shards of `all` beyond that many frames, without their last bytes, come into a store. */
static void leave_shards(const shardio_store *all, const shardio_store *store, uint64_t frames, uint64_t shard, size_t torn)
{
    for (uint64_t number = (frames + shard - 1) / shard; number * shard < 9; number++) {
        char key[40];
        size_t size;
        snprintf(key, sizeof key, "c/%llu/0/0", (unsigned long long)number);
        uint8_t *data = store_get(all, key, &size);
        if (CHECK(data != NULL)) CHECK_OK(store_put(store, key, data, size > torn ? size - torn : 0));
        free(data);
    }
}

/* What a writer that was lost left beyond the shape, whole or torn, is overwritten, and removed where nothing is written. */
TEST(leftovers_are_overwritten)
{
    static const size_t torn[] = {0, 5, 60};
    for (int k = 0; k < 12; k++) {
        for (uint64_t first = 0; first <= 8; first++) {
            shardio_memory_store memory, all_memory;
            shardio_store store = shardio_store_memory(&memory, NULL), all = shardio_store_memory(&all_memory, NULL);
            shardio_error e;
            model m;
            small_model(&m, 9, k % 2 ? 2 : 1, k % 4 < 2 ? 2 : 4);
            m.o.index_at_start = k >= 6;
            shardio_array *a = shardio_array_create_in(&all, &m.o);
            CHECK_OK(append_plain(&m, a, 0, 9 * 42));
            CHECK_OK(shardio_array_finish(a, &e));
            m.o.skip_fill = m.o.statistics = true;
            m.o.max_open_files = 1;
            for (uint64_t i = 0; i < 9 * 42; i++)
                if (i / 42 % 5 != 0) memcpy(m.data + 2 * i, m.fill, 2);
            a = shardio_array_create_in(&store, &m.o);
            CHECK_OK(append_plain(&m, a, 0, first * 42));
            CHECK_OK(shardio_array_finish(a, &e));
            leave_shards(&all, &store, first, m.o.shard[0], torn[k % 3]);
            a = shardio_array_continue_in(&store, &m.o);
            CHECK_OK(append_plain(&m, a, first * 42, (9 - first) * 42));
            CHECK_OK(shardio_array_finish(a, &e));
            check_metadata(&m, &store, 9);
            model_check(&m, &store, 9, 1, 6);
            check_verifies(&m, &store);
            a = shardio_array_open_in(&store, NULL, &e);
            shardio_statistics t;
            CHECK_OK(shardio_array_statistics(a, &t, &e));
            CHECK_U64(t.rows, 9 * 42);
            shardio_array_close(a);
            model_end(&m);
            shardio_store_memory_free(&memory);
            shardio_store_memory_free(&all_memory);
            if (test_failures) { fprintf(stderr, "    %d, %llu frames\n", k, (unsigned long long)first); return; }
        }
    }
}

/* The same behind frames of one shard, and each call to the store fails in turn: then the writer says so. */
TEST(leftovers_are_overwritten_or_it_fails)
{
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        shardio_memory_store memory, all_memory;
        shardio_store inner = shardio_store_memory(&memory, NULL), all = shardio_store_memory(&all_memory, NULL);
        model m;
        spy s;
        shardio_store store = spy_begin(&s, &inner);
        small_model(&m, 9, 1, 4);
        shardio_array *a = shardio_array_create_in(&all, &m.o);
        CHECK_OK(append_plain(&m, a, 0, 9 * 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        a = shardio_array_create_in(&inner, &m.o);
        CHECK_OK(append_plain(&m, a, 0, 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        leave_shards(&all, &inner, 0, m.o.shard[0], 0);
        for (uint64_t i = 42; i < 9 * 42; i++) memcpy(m.data + 2 * i, m.fill, 2);
        m.o.skip_fill = true;
        s.fail_at = n;
        s.status = SHARDIO_ERR_IO;
        a = shardio_array_continue_in(&store, &m.o);
        (void)append_plain(&m, a, 42, 8 * 42);
        shardio_status status = shardio_array_finish(a, NULL);
        failed = s.failed;
        s.fail_at = 0;
        if (!failed) CHECK_OK(status);
        if (status == SHARDIO_OK) model_check(&m, &inner, 9, 1, 6);
        model_end(&m);
        shardio_store_memory_free(&memory);
        shardio_store_memory_free(&all_memory);
        if (test_failures) { fprintf(stderr, "    call %llu\n", (unsigned long long)n); return; }
    }
}

/* ---- aborting */

TEST(abort_leaves_nothing)
{
    char directory[300], path[400], way[400];
    test_directory(directory, sizeof directory);
    for (int k = 0; k < 12; k++) {
        shardio_error e;
        model m;
        small_model(&m, 9, 2, k % 3 == 0 ? 0 : 4);
        snprintf(path, sizeof path, "%s/%s%d.zarr", directory, k == 5 ? "new/way/" : "", k);
        if (k % 2) m.o.path = "a/b/c";
        if (k >= 6) CHECK(mkdir(path, 0777) == 0);            /* it was there: it stays */
        uint64_t before = entries_below(directory);
        shardio_array *a = shardio_array_create(path, &m.o);
        if (k % 4 > 0) CHECK_OK(append_plain(&m, a, 0, k % 4 == 1 ? 10 : k % 4 == 2 ? 5 * 42 : 9 * 42));
        if (k == 4) { CHECK_OK(append_plain(&m, a, 0, 3 * 42)); m.o.shape[0] = 1; }
        CHECK_OK(shardio_array_error(a).status);
        if (k == 11) { CHECK_OK(shardio_array_append(a, NULL, 1)); shardio_array_close(a); }
        else shardio_array_abort(a);
        if (k == 5) {
            snprintf(way, sizeof way, "%s/new", directory);
            struct stat st;
            CHECK(stat(way, &st) != 0);                       /* every directory that it made */
        }
        CHECK_U64(entries_below(directory), before);
        (void)e;
        model_end(&m);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

TEST(abort_after_checkpoint)
{
    for (int k = 0; k < 24; k++) {
        for (uint64_t kept = 0; kept <= 5; kept++) {
            shardio_memory_store memory;
            shardio_store store = shardio_store_memory(&memory, NULL);
            model m;
            small_model(&m, 12, k % 2 ? 2 : 1, k % 3 == 0 ? 0 : 4);
            m.o.index_at_start = k % 6 >= 4;
            shardio_array *a = shardio_array_create_in(&store, &m.o);
            CHECK_OK(append_plain(&m, a, 0, kept * 42));
            CHECK_OK(shardio_array_checkpoint(a));
            uint64_t more = k < 8 ? 20 : k < 16 ? 3 * 42 : 7 * 42;
            CHECK_OK(append_plain(&m, a, kept * 42, more));
            if (k % 4 == 3) {                                  /* a failed writer ends the same way */
                CHECK_STATUS(shardio_array_append(a, m.data, UINT64_MAX), SHARDIO_ERR_ARGUMENT);
                CHECK_STATUS(shardio_array_finish(a, NULL), SHARDIO_ERR_ARGUMENT);
            } else {
                shardio_array_abort(a);
            }
            check_metadata(&m, &store, kept);
            model_check(&m, &store, kept, 1, 3);
            check_verifies(&m, &store);
            /* and it can be gone on with */
            a = shardio_array_continue_in(&store, &m.o);
            CHECK_OK(append_plain(&m, a, kept * 42, (12 - kept) * 42));
            CHECK_OK(shardio_array_finish(a, NULL));
            check_all(&m, &store, 12, 1, false);
            model_end(&m);
            shardio_store_memory_free(&memory);
            if (test_failures) { fprintf(stderr, "    %d, %llu frames\n", k, (unsigned long long)kept); return; }
        }
    }
}

/* What has no first dimension, or frames without elements, cannot grow: said before memory is counted in frames. */
TEST(nothing_to_append_to)
{
    static const uint64_t shapes[3][3] = {{3, 0, 4}, {3, 4, 0}, {0, 0, 0}};
    for (uint32_t k = 0; k < 4; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        memset(&o, 0, sizeof o);
        o.dtype = SHARDIO_UINT16;
        o.ndim = k < 3 ? 3 : 0;
        for (uint32_t i = 0; i < o.ndim; i++) {
            o.shape[i] = shapes[k][i];
            o.chunk[i] = 2;
            o.shard[i] = 4;
        }
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_continue_in(&store, NULL);
        CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_UNSUPPORTED);
        CHECK_TEXT(e.reason, k < 3 ? "its frames hold no elements" : "it has no dimension to grow along");
        shardio_store_memory_free(&memory);
    }
}

/* A continued array that is aborted is as it was. */
TEST(abort_continued)
{
    for (int k = 0; k < 6; k++) {
        for (uint64_t first = 0; first <= 5; first++) {
            shardio_memory_store memory;
            shardio_store store = shardio_store_memory(&memory, NULL);
            key_list before, after;
            model m;
            small_model(&m, 12, k % 2 ? 2 : 1, k % 3 == 0 ? 0 : 4);
            shardio_array *a = shardio_array_create_in(&store, &m.o);
            CHECK_OK(append_plain(&m, a, 0, first * 42));
            CHECK_OK(shardio_array_finish(a, NULL));
            CHECK_OK(store_keys(&store, "", &before));
            a = shardio_array_continue_in(&store, &m.o);
            CHECK_OK(append_plain(&m, a, first * 42, 42 + 20));
            shardio_array_abort(a);
            CHECK_OK(store_keys(&store, "", &after));
            CHECK_U64(after.count, before.count);
            CHECK_U64(after.temporary, 0);
            check_metadata(&m, &store, first);
            model_check(&m, &store, first, 1, 3);
            a = shardio_array_continue_in(&store, &m.o);       /* again, far beyond the shards that are there */
            CHECK_OK(append_plain(&m, a, first * 42, (12 - first) * 42));
            shardio_array_abort(a);
            check_metadata(&m, &store, first);
            model_check(&m, &store, first, 1, 3);
            check_verifies(&m, &store);
            model_end(&m);
            shardio_store_memory_free(&memory);
            if (test_failures) { fprintf(stderr, "    %d, %llu frames\n", k, (unsigned long long)first); return; }
        }
    }
}

/* ---- what is there already */

TEST(existing_is_not_touched)
{
    static const char *const there[] = {"zarr.json", "c/0/0/0", "notes.txt", "deep/er/file", ".zarray", "zarr.json.0123456789abcdef.shardio-tmp"};
    char directory[300], path[400];
    test_directory(directory, sizeof directory);
    for (int k = 0; k < 12; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        key_list before, after;
        model m;
        small_model(&m, 4, 2, 4);
        snprintf(path, sizeof path, "%s/%d.zarr", directory, k);
        if (k >= 6) store = shardio_store_directory(path);
        CHECK_OK(store_put_text(&store, there[k % 6], "mine"));
        CHECK_OK(store_keys(&store, "", &before));
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_STATUS(append_plain(&m, a, 0, 42), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_EXISTS);
        CHECK_OK(store_keys(&store, "", &after));
        CHECK_U64(after.count, before.count);
        CHECK_U64(after.temporary, before.temporary);
        CHECK_U64(after.bytes, before.bytes);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %d: %s\n", k, there[k % 6]); return; }
    }
    /* the path is a file */
    struct stat st;
    model m;
    small_model(&m, 4, 2, 4);
    snprintf(path, sizeof path, "%s/a file", directory);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL && fputs("mine", f) >= 0 && fclose(f) == 0);
    for (int k = 0; k < 2; k++) {
        shardio_error e;
        m.o.overwrite = k == 1;
        shardio_array *a = shardio_array_create(path, &m.o);
        shardio_status s = shardio_array_finish(a, &e);
        if (k == 0) CHECK_STATUS(s, SHARDIO_ERR_EXISTS);
        CHECK(s != SHARDIO_OK);
        CHECK(stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 4);
    }
    model_end(&m);
}

TEST(overwrite)
{
    for (int k = 0; k < 4; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        model m, other;
        small_model(&m, 9, 2, 4);
        small_model(&other, 3, 1, k & 1 ? 4 : 0);
        m.o.path = other.o.path = k & 2 ? "g/a" : NULL;
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_OK(append_plain(&m, a, 0, 9 * 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        if (k & 2) CHECK_OK(store_put_text(&store, "g/neighbour/zarr.json", "stays"));
        other.o.overwrite = true;
        /* a mistake in the options is found before anything goes */
        other.o.chunk[1] = 0;
        a = shardio_array_create_in(&store, &other.o);
        CHECK_STATUS(shardio_array_finish(a, NULL), SHARDIO_ERR_ARGUMENT);
        check_all(&m, &store, 9, 1, true);
        other.o.chunk[1] = 4;
        a = shardio_array_create_in(&store, &other.o);
        CHECK_OK(append_plain(&other, a, 0, 3 * 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        check_all(&other, &store, 3, 1, true);                /* and nothing of the old one is left */
        if (k & 2) {
            size_t size;
            uint8_t *data = store_get(&store, "g/neighbour/zarr.json", &size);
            CHECK(data != NULL && size == 5);
            free(data);
        }
        model_end(&m);
        model_end(&other);
        shardio_store_memory_free(&memory);
    }
}

/* What overwrite may replace is an array. A directory with something else in it is not one, nor is a group. */
TEST(overwrite_is_for_arrays_only)
{
    for (int k = 0; k < 4; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        key_list before, after;
        model m;
        small_model(&m, 4, 2, 4);
        m.o.overwrite = true;
        if (k == 0) CHECK_OK(store_put_text(&store, "thesis/chapter1.tex", "years of work"));
        if (k == 1) CHECK_OK(store_put_text(&store, "notes.txt", "mine"));
        if (k >= 2) {                                         /* a group of arrays */
            CHECK_OK(store_put_text(&store, "zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\"}"));
            CHECK_OK(store_put_text(&store, "a/zarr.json", "{}"));
        }
        if (k == 3) { m.o.path = "b"; CHECK_OK(store_put_text(&store, "b/readme", "x")); }
        CHECK_OK(store_keys(&store, "", &before));
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_STATUS(append_plain(&m, a, 0, 42), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(shardio_array_finish(a, NULL), SHARDIO_ERR_EXISTS);
        CHECK_OK(store_keys(&store, "", &after));
        CHECK_TEXT(after.text, before.text);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* Nor is it replaced if a call to the store fails before that is known. */
TEST(overwrite_has_to_look)
{
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        shardio_memory_store memory;
        shardio_store inner = shardio_store_memory(&memory, NULL);
        key_list after;
        model m;
        spy s;
        shardio_store store = spy_begin(&s, &inner);
        small_model(&m, 4, 2, 4);
        m.o.overwrite = true;
        CHECK_OK(store_put_text(&inner, "2019", "mine"));
        CHECK_OK(store_put_text(&inner, "notes.txt", "mine, too"));
        s.fail_at = n;
        s.status = SHARDIO_ERR_IO;
        shardio_status status = shardio_array_finish(shardio_array_create_in(&store, &m.o), NULL);
        failed = s.failed;
        CHECK_STATUS(status, failed ? SHARDIO_ERR_IO : SHARDIO_ERR_EXISTS);
        CHECK_OK(store_keys(&inner, "", &after));
        CHECK_U64(after.count, 2);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    call %llu\n", (unsigned long long)n); return; }
    }
}

/* Two that begin at the same time and place: one of them is refused, and what the other wrote stays. */
TEST(two_creators)
{
    for (int k = 0; k < 4; k++) {
        char directory[300], path[400];
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        model m, other;
        small_model(&m, 4, 2, k & 1 ? 4 : 0);
        small_model(&other, 3, 1, 4);
        for (size_t i = 0; i < 3 * 42 * 2; i++) other.data[i] ^= 0x55;
        test_directory(directory, sizeof directory);
        snprintf(path, sizeof path, "%s/a.zarr", directory);
        if (k & 2) store = shardio_store_directory(path);
        shardio_array *a = shardio_array_create_in(&store, &m.o), *b = shardio_array_create_in(&store, &other.o);
        CHECK_OK(append_plain(&m, a, 0, 4 * 42));
        shardio_status t = append_plain(&other, b, 0, 3 * 42);
        CHECK_OK(shardio_array_finish(a, NULL));
        if (t == SHARDIO_OK) t = shardio_array_finish(b, NULL);
        else shardio_array_abort(b);
        CHECK_STATUS(t, SHARDIO_ERR_EXISTS);
        check_all(&m, &store, 4, 1, true);
        model_end(&m);
        model_end(&other);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

TEST(no_permission)
{
    POSIX_ONLY("the rights of directories");
    char directory[300], path[400];
    shardio_error e;
    model m;
    if (geteuid() != 0) LEAVE_OUT("needs root, to be somebody else for a moment");
    test_directory(directory, sizeof directory);
    chmod(directory, 0755);
    small_model(&m, 4, 2, 4);
    snprintf(path, sizeof path, "%s/a.zarr", directory);
    shardio_array *a = shardio_array_create(path, &m.o);
    CHECK_OK(append_plain(&m, a, 0, 4 * 42));
    CHECK_OK(shardio_array_finish(a, NULL));
    if (seteuid(65534) != 0) LEAVE_OUT("may not change the user");
    DIR *d = opendir(path);
    if (d == NULL) { CHECK(seteuid(0) == 0); LEAVE_OUT("the temporary directory is closed to others"); }
    closedir(d);
    a = shardio_array_open(path, NULL, &e);                  /* reading is allowed */
    CHECK_OK(e.status);
    model_check_reads(&m, a, 4, 1, 1);
    shardio_array_close(a);
    a = shardio_array_continue(path, &m.o);
    shardio_status s = append_plain(&m, a, 0, 4 * 42);
    if (s == SHARDIO_OK) s = shardio_array_finish(a, &e);
    else CHECK_STATUS(shardio_array_finish(a, &e), s);
    CHECK_STATUS(s, SHARDIO_ERR_PERMISSION);
    m.o.overwrite = true;
    a = shardio_array_create(path, &m.o);
    CHECK_STATUS(append_plain(&m, a, 0, 42), SHARDIO_ERR_PERMISSION);
    CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_PERMISSION);
    m.o.overwrite = false;
    snprintf(path, sizeof path, "%s/b.zarr", directory);
    a = shardio_array_create(path, &m.o);                    /* found out at once, not after an hour of frames */
    CHECK_STATUS(append_plain(&m, a, 0, 42), SHARDIO_ERR_PERMISSION);
    CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_PERMISSION);
    CHECK(seteuid(0) == 0);
    snprintf(path, sizeof path, "%s/a.zarr", directory);
    shardio_store store = shardio_store_directory(path);
    check_all(&m, &store, 4, 1, true);
    CHECK(chmod(path, 0) == 0);
    if (seteuid(65534) == 0) {
        a = shardio_array_open(path, NULL, &e);
        CHECK_STATUS(e.status, SHARDIO_ERR_PERMISSION);
        shardio_array_close(a);
        CHECK(seteuid(0) == 0);
    }
    CHECK(chmod(path, 0755) == 0);
    model_end(&m);
}

/* ---- failures: the n-th operation of the store fails, for every n */

/* What zarr.json says is there, is there. Where nothing works any more, not even cutting off what was begun, a shard may
   be torn: an error, but never other data. */
static void check_claims(const model *m, const shardio_store *store, bool torn)
{
    shardio_array_facts f;
    shardio_error e;
    shardio_array *a = shardio_array_open_in(store, NULL, &e);
    memset(&f, 0, sizeof f);
    if (e.status == SHARDIO_OK && CHECK(shardio_array_describe(a, &f) == SHARDIO_OK) && f.shape[0] > 0) {
        CHECK(f.shape[0] <= m->room);
        uint64_t start[3] = {0, 0, 0}, count[3] = {0, 6, 7};
        uint8_t got[12 * 42 * 2];
        count[0] = f.shape[0];
        shardio_status s = shardio_array_read(a, start, count, got, sizeof got, &e);
        if (!torn) CHECK_OK(s);
        if (s == SHARDIO_OK) CHECK_BYTES(got, m->data, (size_t)f.shape[0] * 84);
    } else {
        CHECK(e.status == SHARDIO_OK || e.status == SHARDIO_ERR_NOT_FOUND);
    }
    shardio_array_close(a);
}

TEST(every_operation_fails)
{
    uint64_t injected = 0;
    for (int k = 0; k < 24; k++) {
        bool checkpoints = (k & 1) != 0, late = k >= 8 && k < 16, forever = k >= 16;
        for (uint64_t n = 1; n < 5000; n += n < 60 ? 1 : 1 + n / 40) {
            shardio_memory_store memory;
            shardio_store inner = shardio_store_memory(&memory, NULL);
            shardio_error e;
            counter c;
            model m;
            spy s;
            shardio_store store = spy_begin(&s, &inner);
            small_model(&m, 9, k & 2 ? 2 : 1, k & 4 ? 4 : 0);
            m.o.durability = SHARDIO_DURABLE_FINISH;
            m.o.allocator = counter_begin(&c);
            m.o.max_open_files = 1;
            m.o.index_at_start = k % 3 == 0;
            s.fail_at = n;
            s.late = late;
            s.forever = forever;
            s.durable = true;
            s.status = n % 2 ? SHARDIO_ERR_IO : SHARDIO_ERR_NO_SPACE;
            shardio_array *a = shardio_array_create_in(&store, &m.o);
            shardio_status first = shardio_array_error(a).status, last;
            for (uint64_t at = 0; at < 9 * 42; at += 21) {
                shardio_status t = append_plain(&m, a, at, 21);
                if (t == SHARDIO_OK && checkpoints && at % 84 == 21) t = shardio_array_checkpoint(a);
                if (first != SHARDIO_OK) CHECK_STATUS(t, first);
                first = t;
                if (t != SHARDIO_OK && late) break;       /* lost here */
            }
            CHECK_STATUS(shardio_array_error(a).status, first);
            last = shardio_array_finish(a, &e);
            if (first != SHARDIO_OK) CHECK_STATUS(last, first);
            CHECK_STATUS(e.status, last);
            if (s.failed && last == SHARDIO_OK) {          /* what may fail: cleaning up, looking */
                CHECK_U64(s.unsynced, 0);
                check_all(&m, &inner, 9, 1, false);
            }
            if (!late) CHECK_U64(s.disorder, 0);
            CHECK(s.files == NULL);
            CHECK_U64(c.live, 0);
            s.fail_at = 0;
            check_claims(&m, &inner, forever);
            key_list list;
            CHECK_OK(store_keys(&inner, "", &list));
            if (!forever) CHECK_U64(list.temporary, 0);
            if (last != SHARDIO_OK && !checkpoints && !forever && !s.late) CHECK_U64(list.count, 0);
            bool failed = s.failed;
            injected += failed;
            model_end(&m);
            shardio_store_memory_free(&memory);
            if (test_failures) { fprintf(stderr, "    %d, operation %llu: %s\n", k, (unsigned long long)n, shardio_status_name(last)); return; }
            if (!failed) break;
        }
    }
    CHECK(injected > 1000);
}

TEST(no_space)
{
    for (int k = 0; k < 4; k++) {
        for (uint64_t room = 1; room < 3000; room += 37) {
            shardio_memory_store memory;
            shardio_store inner = shardio_store_memory(&memory, NULL);
            shardio_error e;
            model m;
            spy s;
            shardio_store store = spy_begin(&s, &inner);
            small_model(&m, 9, 2, k & 1 ? 4 : 0);
            s.room = room;
            uint64_t r = room;
            shardio_array *a = shardio_array_create_in(&store, &m.o);
            shardio_status t = model_append(&m, a, 0, 4 * 42, &r);
            if (t == SHARDIO_OK && k >= 2) t = shardio_array_checkpoint(a);
            if (t == SHARDIO_OK) t = model_append(&m, a, 4 * 42, 5 * 42, &r);
            shardio_status last = shardio_array_finish(a, &e);
            if (t != SHARDIO_OK) CHECK_STATUS(last, t);
            CHECK_STATUS(last, s.failed ? SHARDIO_ERR_NO_SPACE : SHARDIO_OK);
            check_claims(&m, &inner, false);
            if (last == SHARDIO_OK) check_all(&m, &inner, 9, 1, false);
            model_end(&m);
            shardio_store_memory_free(&memory);
            if (test_failures) { fprintf(stderr, "    %d, room for %llu\n", k, (unsigned long long)room); return; }
        }
    }
}

/* Rows of chunks that are written from where they are while the next ones are gathered, small chunks, and encoded ones: the
   same files as when each write is waited for. */
TEST(overlap_makes_the_same_files)
{
    static const uint64_t chunks[] = {512, 256, 64}, frames = 23, side = 512;
    static uint16_t frame[512 * 512];
    uint64_t random = 5;
    for (size_t k = 0; k < 2 * sizeof chunks / sizeof chunks[0]; k++) {
        char name[60];
        rig_new_directory();
        for (int overlap = 0; overlap < 3; overlap++) {
            shardio_array_options o;
            shardio_accounting accounting;
            shardio_memory_plan plan;
            shardio_error e;
            memset(&o, 0, sizeof o);
            memset(&accounting, 0, sizeof accounting);
            o.dtype = SHARDIO_UINT16;
            o.ndim = 3;
            o.shape[1] = o.shape[2] = o.shard[1] = o.shard[2] = side;
            o.chunk[1] = o.chunk[2] = chunks[k / 2];
            o.chunk[0] = 4;
            o.shard[0] = 8;
            if (k % 2) o.codecs[0] = shardio_codec_crc32c();
            o.overlap = overlap ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
            o.in_flight = overlap == 2 ? 2 : 0;
            o.durability = SHARDIO_DURABLE_NONE;
            o.accounting = &accounting;
            o.overwrite = true;
            CHECK_OK(shardio_array_memory(&o, 10, &plan, &e));
            snprintf(name, sizeof name, "overlap-%d", overlap);
            shardio_array *a = shardio_array_create(rig_path(name), &o);
            random = 5;
            for (uint64_t f = 0; f < frames; f++) {
                test_fill((uint8_t *)frame, sizeof frame, test_random(&random));
                CHECK_OK(shardio_array_append(a, frame, side * side));
                if (f == 13) CHECK_OK(shardio_array_checkpoint(a));
            }
            CHECK_OK(shardio_array_finish(a, &e));
            CHECK(accounting.overlap ? overlap > 0 : accounting.overlap_reason != NULL);
            for (int shard = 0; overlap > 0 && shard < 3; shard++) {
                size_t size;
                snprintf(name, sizeof name, "overlap-0/c/%d/0/0", shard);
                uint8_t *before = rig_slurp(rig_path(name), &size);
                snprintf(name, sizeof name, "overlap-%d/c/%d/0/0", overlap, shard);
                rig_check_file(rig_path(name), before, size);
                free(before);
            }
        }
    }
}

/* Auto: unbuffered writes of shards that are larger than the buffer, and of no others. Memory is that of a row of chunks more
   at most. */
TEST(overlap_by_itself)
{
    static const struct { uint64_t frames; size_t buffer; shardio_direct direct; bool large; } table[] = {
        {16, 0, SHARDIO_DIRECT_AUTO, true}, {16, 0, SHARDIO_DIRECT_OFF, false}, {4, 0, SHARDIO_DIRECT_AUTO, false},
        {16, 1 << 19, SHARDIO_DIRECT_AUTO, false}, {16, 64 << 20, SHARDIO_DIRECT_AUTO, false}};
    static uint16_t frame[512 * 512];
    bool overlapped = false;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_array_options o;
        shardio_accounting accounting;
        shardio_memory_plan plan, off;
        shardio_error e;
        char name[60];
        memset(&o, 0, sizeof o);
        memset(&accounting, 0, sizeof accounting);
        o.dtype = SHARDIO_UINT16;
        o.ndim = 3;
        o.shape[1] = o.shape[2] = o.shard[1] = o.shard[2] = 512;
        o.chunk[0] = 4;
        o.chunk[1] = o.chunk[2] = 128;
        o.shard[0] = table[i].frames;
        o.buffer_size = table[i].buffer;
        o.direct = table[i].direct;
        o.memory = 1;                  /* one row of chunks */
        o.durability = SHARDIO_DURABLE_NONE;
        o.accounting = &accounting;
        CHECK_OK(shardio_array_memory(&o, 10, &plan, &e));
        o.overlap = SHARDIO_OVERLAP_OFF;
        CHECK_OK(shardio_array_memory(&o, 10, &off, &e));
        const uint64_t row = 4 * sizeof frame;
        if (table[i].large) CHECK(plan.total >= off.total + row && plan.total <= off.total + row + 20000);
        else CHECK_U64(plan.total, off.total);
        o.overlap = SHARDIO_OVERLAP_AUTO;
        snprintf(name, sizeof name, "auto-%d", (int)i);
        rig_new_directory();
        shardio_array *a = shardio_array_create(rig_path(name), &o);
        for (uint64_t f = 0; f < 40; f++) CHECK_OK(shardio_array_append(a, frame, 512 * 512));
        CHECK_OK(shardio_array_finish(a, &e));
        CHECK(accounting.overlap ? accounting.overlap_reason == NULL && accounting.direct && table[i].large : accounting.overlap_reason != NULL);
        overlapped = overlapped || accounting.overlap;
        if (table[i].large && !accounting.overlap) LEAVE_OUT(accounting.overlap_reason);
    }
}

/* With two rows of chunks a shard that is complete ends when the next row is full: unless there comes a checkpoint, the end,
   or an abort, which leaves what the last checkpoint promised. */
TEST(complete_shards_end_later)
{
    static const uint64_t counts[] = {7, 8, 9, 12, 16, 17};
    enum { SIDE = 512, FRAME = SIDE * SIDE };
    static uint16_t frames[17 * FRAME], got[17 * FRAME];
    test_fill((uint8_t *)frames, sizeof frames, 4);
    for (size_t k = 0; k < 4 * sizeof counts / sizeof counts[0]; k++) {
        const uint64_t n = counts[k / 4], zero[3] = {0, 0, 0}, shape[3] = {n, SIDE, SIDE};
        const int way = (int)(k % 4);
        shardio_array_options o;
        shardio_array_facts facts;
        shardio_error e;
        memset(&o, 0, sizeof o);
        o.dtype = SHARDIO_UINT16;
        o.ndim = 3;
        o.shape[1] = o.shape[2] = o.shard[1] = o.shard[2] = o.chunk[1] = o.chunk[2] = SIDE;
        o.chunk[0] = 4;
        o.shard[0] = 8;
        o.index_at_start = n % 2 == 0;
        o.overlap = SHARDIO_OVERLAP_ON;
        o.durability = SHARDIO_DURABLE_NONE;
        rig_new_directory();
        shardio_array *a = shardio_array_create(rig_path("a"), &o);
        for (uint64_t f = 0; f < n; f++) {
            CHECK_OK(shardio_array_append(a, frames + f * FRAME, FRAME));
            if (way == 1 && f == 8) CHECK_OK(shardio_array_checkpoint(a));
        }
        if (way == 2) CHECK_OK(shardio_array_checkpoint(a));
        if (way < 2) CHECK_OK(shardio_array_finish(a, &e));
        else shardio_array_abort(a);
        if (way == 3) {
            CHECK(access(rig_path("a"), F_OK) != 0);   /* nothing is left */
            continue;
        }
        a = shardio_array_open(rig_path("a"), NULL, &e);
        CHECK_OK(shardio_array_describe(a, &facts));
        CHECK_U64(facts.shape[0], n);
        CHECK_OK(shardio_array_read(a, zero, shape, got, sizeof got, &e));
        CHECK_BYTES((uint8_t *)got, (uint8_t *)frames, (size_t)n * FRAME * 2);
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
        shardio_array_close(a);
    }
}

TEST_MAIN(TEST_CASE(overlap_makes_the_same_files) TEST_CASE(overlap_by_itself) TEST_CASE(complete_shards_end_later) TEST_CASE(memory_is_as_stated) TEST_CASE(memory_follows_the_design) TEST_CASE(no_memory) TEST_CASE(many_shards_in_flight)
          TEST_CASE(max_open_files) TEST_CASE(every_checkpoint) TEST_CASE(checkpoint_then_finish) TEST_CASE(checkpoint_every)
          TEST_CASE(continue_everywhere) TEST_CASE(nothing_to_append_to) TEST_CASE(continue_random) TEST_CASE(leftovers_are_overwritten) TEST_CASE(leftovers_are_overwritten_or_it_fails) TEST_CASE(abort_leaves_nothing) TEST_CASE(abort_after_checkpoint)
          TEST_CASE(abort_continued) TEST_CASE(existing_is_not_touched) TEST_CASE(overwrite) TEST_CASE(overwrite_is_for_arrays_only) TEST_CASE(overwrite_has_to_look)
          TEST_CASE(two_creators) TEST_CASE(no_permission)
          TEST_CASE(every_operation_fails) TEST_CASE(no_space))
