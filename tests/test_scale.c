/* What one item costs does not depend on how many there are: calls to the system, allocations and their bytes are
   counted for n, 2 n and 4 n items, and have to grow by the same for each. `make bench-scale` has the times. */
#include "system.h"

enum { STEPS = 6 };

/* What was asked of the system in one step. */
typedef struct use {
    uint64_t calls, reads, allocations, bytes;
} use;

static void *noted_memory(void *context, size_t size, size_t alignment)
{
    use *u = (use *)context;
    void *memory = NULL;
    u->allocations++;
    u->bytes += size;
    return posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, size) == 0 ? memory : NULL;
}

static void noted_release(void *context, void *memory, size_t size, size_t alignment)
{
    (void)context;
    (void)size;
    (void)alignment;
    free(memory);
}

static use memory_use;
static const shardio_allocator noted = {&memory_use, noted_memory, noted_release};

static void step_begin(void)
{
    sys_clear();
    sys.quick = true;
    memset(&memory_use, 0, sizeof memory_use);
}

static use step_end(void)
{
    use u = memory_use;
    for (int c = 0; c < CALL_MALLOC; c++) u.calls += (uint64_t)sys.calls[c];
    u.reads = (uint64_t)sys.calls[CALL_PREAD];
    return u;
}

static char home[300], path[400];
static int files;

static void new_path(void)
{
    if (home[0] == 0) test_directory(home, sizeof home);
    snprintf(path, sizeof path, "%s/%d", home, files++);
}

/* The costs of n, 2 n and 4 n items: from 2 n to 4 n it is twice as much more as from n to 2 n, and `slack` besides. */
static void check_line(const char *what, uint64_t n, uint64_t n2, uint64_t n4, uint64_t slack)
{
    char text[300];
    if (n4 - n2 <= 2 * (n2 - n) + slack) return;
    snprintf(text, sizeof text, "%s: %llu, %llu, %llu", what, (unsigned long long)n, (unsigned long long)n2,
             (unsigned long long)n4);
    test_fail(__FILE__, __LINE__, text);
}

static void check_lines(const char *const *names, use u[3][STEPS], int steps, uint64_t slack)
{
    for (int i = 0; i < steps; i++) {
        check_line(names[i], u[0][i].calls, u[1][i].calls, u[2][i].calls, slack);
        check_line(names[i], u[0][i].allocations, u[1][i].allocations, u[2][i].allocations, slack);
        check_line(names[i], u[0][i].bytes, u[1][i].bytes, u[2][i].bytes, slack << 12);
    }
}

static shardio_slot_options writing(void)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.buffer_size = 65536;
    o.direct_min = SIZE_MAX;             /* all of it goes through the buffer */
    o.direct = SHARDIO_DIRECT_OFF;
    o.durability = SHARDIO_DURABLE_NONE;
    o.allocator = &noted;
    return o;
}

/* n items; fewer where it is slow. */
static uint64_t many_items(uint64_t n, int doubled)
{
    return (test_effort() < 50 ? n / 8 : n) << doubled;
}

/* ---- shards ---- */

static void shard_of(uint64_t n, use *u)
{
    shardio_slot_options o = writing();
    shardio_index_layout layout;
    shardio_shard_writer w;
    shardio_shard_reader r;
    shardio_error e;
    uint64_t chunk[2] = {0, 0}, size = 0;
    memset(&layout, 0, sizeof layout);
    layout.chunks = n;
    new_path();
    step_begin();
    CHECK_OK(shardio_shard_create(&w, path, &layout, &o));
    for (uint64_t i = 0; i < n; i++) {
        chunk[0] = i * 7919 % n;
        if (shardio_shard_put(&w, chunk[0], chunk, sizeof chunk) != SHARDIO_OK) break;
    }
    CHECK_U64(shardio_shard_accounting(&w).logical_bytes, 16 * n);
    CHECK_OK(shardio_shard_finish(&w, &e));
    u[0] = step_end();
    CHECK(u[0].bytes < 16 * n + 2 * 65536);
    step_begin();
    CHECK_OK(shardio_shard_open(&r, path, &layout, &noted, &e));
    u[1] = step_end();
    CHECK(u[1].bytes < 16 * n + 1024);
    step_begin();
    for (uint64_t i = 0; i < 1000; i++) {
        CHECK_OK(shardio_shard_read(&r, i * 104729 % n, chunk, sizeof chunk, &size, &e));
        CHECK_U64(chunk[0], i * 104729 % n);
    }
    u[2] = step_end();
    CHECK_U64(u[2].calls, 1000);
    CHECK_U64(u[2].allocations, 0);
    step_begin();
    CHECK_OK(shardio_shard_verify(&r, NULL, NULL, NULL, &e));
    u[3] = step_end();
    CHECK(u[3].bytes <= 24 * n + 1024);
    shardio_shard_close(&r);
}

TEST(chunks_of_a_shard)
{
    static const char *const names[] = {"write", "open", "read", "verify"};
    use u[3][STEPS];
    for (int k = 0; k < 3; k++) shard_of(many_items(32768, k), u[k]);
    check_lines(names, u, 4, 0);
    CHECK_U64(u[0][1].calls, u[2][1].calls);
    CHECK_U64(u[0][3].calls, u[2][3].calls);
    for (int i = 0; i < 4; i++) CHECK_U64(u[0][i].allocations, u[2][i].allocations);
}

/* ---- arrays ---- */

/* `rows` of `width` shards; each of two chunks. */
static shardio_array_options array_options(uint64_t rows, uint64_t width)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 2;
    o.dtype = SHARDIO_UINT16;
    o.shape[0] = 2 * rows;
    o.shape[1] = 8 * width;
    o.chunk[0] = 1;
    o.shard[0] = 2;
    o.chunk[1] = o.shard[1] = 8;
    o.direct = SHARDIO_DIRECT_OFF;
    o.durability = SHARDIO_DURABLE_NONE;
    o.overwrite = true;
    o.allocator = &noted;
    return o;
}

static shardio_status count_shard(void *context, const char *key, const uint64_t *position, uint64_t size,
                                  shardio_shard_reader *reader, const shardio_error *fault)
{
    (void)key;
    (void)position;
    (void)size;
    if (reader != NULL && fault == NULL) ++*(uint64_t *)context;
    return SHARDIO_OK;
}

static void append_rows(shardio_array *a, const shardio_array_options *o)
{
    uint16_t *row = (uint16_t *)calloc(o->shape[1], sizeof *row);
    for (uint64_t t = 0; row != NULL && t < o->shape[0]; t++) {
        row[0] = (uint16_t)(t + 1);
        CHECK_OK(shardio_array_append(a, row, o->shape[1]));
    }
    free(row);
}

static void array_of(const shardio_store *store, const shardio_array_options *o, uint64_t shards, use *u)
{
    shardio_error e;
    uint64_t start[2] = {o->shape[0] - 1, 0}, count[2] = {1, 8}, found = 0;
    uint16_t chunk[8];
    step_begin();
    shardio_array *a = shardio_array_create_in(store, o);
    append_rows(a, o);
    CHECK_OK(shardio_array_finish(a, &e));
    u[0] = step_end();
    step_begin();
    a = shardio_array_open_in(store, o, &e);
    CHECK_OK(e.status);
    u[1] = step_end();
    step_begin();
    CHECK_OK(shardio_array_read(a, start, count, chunk, sizeof chunk, &e));
    CHECK_U64(chunk[0], o->shape[0]);
    u[2] = step_end();
    step_begin();
    CHECK_OK(shardio_array_each_shard(a, count_shard, &found, &e));
    CHECK_U64(found, shards);
    u[3] = step_end();
    step_begin();
    CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
    u[4] = step_end();
    shardio_array_close(a);
}

static const char *const array_steps[] = {"append", "open", "read", "list", "verify"};

TEST(shards_of_an_array)
{
    for (int side_by_side = 0; side_by_side < 2; side_by_side++) {
        use u[3][STEPS];
        for (int k = 0; k < 3; k++) {
            uint64_t shards = UINT64_C(100) << k;
            shardio_array_options o = side_by_side ? array_options(1, shards) : array_options(shards / 10, 10);
            new_path();
            shardio_store store = shardio_store_directory(path);
            array_of(&store, &o, shards, u[k]);
            for (int i = 1; i < 3; i++) CHECK_U64(u[k][i].calls, u[0][i].calls);
        }
        check_lines(array_steps, u, 5, side_by_side ? 4 : 1);
    }
}

TEST(values_of_an_archive)
{
    use u[3][STEPS];
    for (int k = 0; k < 3; k++) {
        shardio_archive_options how;
        shardio_error e;
        uint64_t shards = UINT64_C(100) << k;
        shardio_array_options o = array_options(shards / 10, 10);
        memset(&how, 0, sizeof how);
        how.write = true;
        how.allocator = &noted;
        new_path();
        shardio_archive *a = shardio_archive_open(path, &how, &e);
        CHECK_OK(e.status);
        shardio_store store = shardio_archive_store(a);
        array_of(&store, &o, shards, u[k]);
        step_begin();
        CHECK_OK(shardio_archive_finish(a, &e));
        u[k][5] = step_end();
        CHECK(u[k][2].reads <= 2);
    }
    static const char *const names[] = {"append", "open", "read", "list", "verify", "commit"};
    check_lines(names, u, 6, 16);    /* tables and buffers grow by doubling */
}

TEST(arrays_on_paper)
{
    use few[4], many[4], *const both[2] = {few, many};
    for (int k = 0; k < 2; k++) {
        shardio_array_options o = array_options(k == 0 ? 10 : UINT64_C(100000000000), 10);
        uint64_t start[2] = {o.shape[0] - 1, o.shape[1] - 8}, count[2] = {1, 8};
        uint16_t chunk[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[8];
        shardio_array_facts f;
        shardio_error e;
        new_path();
        shardio_store store = shardio_store_directory(path);
        step_begin();
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        both[k][0] = step_end();
        step_begin();
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_write(a, start, count, chunk, sizeof chunk, &e));
        shardio_array_close(a);
        both[k][1] = step_end();
        step_begin();
        a = shardio_array_open_in(&store, &o, &e);
        CHECK_OK(shardio_array_describe(a, &f));
        CHECK_U64(f.shape[0], o.shape[0]);
        both[k][2] = step_end();
        step_begin();
        CHECK_OK(shardio_array_read(a, start, count, back, sizeof back, &e));
        CHECK_BYTES(back, chunk, sizeof back);
        both[k][3] = step_end();
        shardio_array_close(a);
    }
    for (int i = 0; i < 4; i++) CHECK_U64(few[i].calls, many[i].calls);
    for (int i = 0; i < 4; i++) CHECK_U64(few[i].allocations, many[i].allocations);
    for (int i = 0; i < 4; i++) CHECK(many[i].bytes <= few[i].bytes + 512);    /* longer numbers in texts */
}

/* ---- packs ---- */

static void pack_of(uint64_t n, uint32_t together, use *u)
{
    shardio_pack_options options;
    shardio_slot_options o = writing();
    shardio_pack_reading reading;
    shardio_pack_writer w;
    shardio_pack_reader r;
    shardio_error e;
    const uint8_t *data;
    size_t size;
    memset(&options, 0, sizeof options);
    options.items_per_record = together;
    memset(&reading, 0, sizeof reading);
    reading.allocator = &noted;
    new_path();
    step_begin();
    CHECK_OK(shardio_pack_create(&w, path, &options, &o));
    for (uint64_t i = 0; i < n; i++)
        if (shardio_pack_append(&w, &i, sizeof i) != SHARDIO_OK) break;
    CHECK_OK(shardio_pack_finish(&w, NULL, 0, &e));
    u[0] = step_end();
    step_begin();
    CHECK_OK(shardio_pack_open(&r, path, &reading, &e));
    u[1] = step_end();
    CHECK(r.facts.index_bytes < n / together * 5 / 4 + 16);
    step_begin();
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t item = i * 104729 % n;
        CHECK_OK(shardio_pack_item(&r, NULL, item, &data, &size, &e));
        CHECK_BYTES(data, &item, sizeof item);
    }
    u[2] = step_end();
    CHECK(u[2].calls <= 1000);
    shardio_pack_close(&r);
}

TEST(items_of_a_pack)
{
    static const char *const names[] = {"write", "open", "read"};
    for (uint32_t together = 1; together <= 128; together *= 128) {
        use u[3][STEPS];
        for (int k = 0; k < 3; k++) pack_of(many_items(65536, k), together, u[k]);
        check_lines(names, u, 3, 4);
        CHECK_U64(u[0][1].calls, u[2][1].calls);
    }
}

TEST_MAIN(TEST_CASE(chunks_of_a_shard) TEST_CASE(shards_of_an_array) TEST_CASE(values_of_an_archive)
          TEST_CASE(arrays_on_paper) TEST_CASE(items_of_a_pack))
