/* What one item costs where there are many. Prints CSV, one line a step:

       bench_scale --kind shard|array|flight|archive|paper|pack --items N --dir DIRECTORY

   shard    a shard file of N chunks of 256 bytes
   array    an array of N shards of two chunks, 100 shards side by side, in a directory
   flight   the same, all N side by side: they are in flight together
   archive  as array, in one ZIP file
   paper    an array with room for N shards, of which one is written, the last
   pack     a packfile of N items of 8 bytes

   operations: how often the step was done in all, which is what seconds are to be divided by; small sizes are done
   again and again. memory: the most bytes that were taken from the allocator in the step. reads, writes: calls to the
   system. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"

enum { CHUNK = 256, ITEM = 8, SIDE = 16, TIMES = 2, ROW = 10, AGAIN = 100000 };

typedef struct scale {
    const char *dir;
    char path[400];
    uint64_t items, rounds;      /* rounds: small sizes are done so often */
    uint64_t seed;
} scale;

/* ---- memory, counted ---- */

static size_t taken, peak;

static void *take_memory(void *context, size_t size, size_t alignment)
{
    void *memory = NULL;
    (void)context;
    if (posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, size) != 0) return NULL;
    taken += size;
    if (taken > peak) peak = taken;
    return memory;
}

static void give_memory(void *context, void *memory, size_t size, size_t alignment)
{
    (void)context;
    (void)alignment;
    taken -= size;
    free(memory);
}

static const shardio_allocator counted = {NULL, take_memory, give_memory};

/* ---- steps ---- */

typedef struct step {
    const char *name;
    double seconds, cpu_seconds, began, cpu_began;
    uint64_t operations, reads, writes, reads_before, writes_before;
    size_t memory;
} step;

static void step_begin(step *s)
{
    peak = taken;
    bench_calls(&s->reads_before, &s->writes_before);
    s->began = bench_now();
    s->cpu_began = bench_cpu_now();
}

static void step_end(step *s, uint64_t operations)
{
    uint64_t reads, writes;
    s->cpu_seconds += bench_cpu_now() - s->cpu_began;
    s->seconds += bench_now() - s->began;
    bench_calls(&reads, &writes);
    s->reads += reads - s->reads_before;
    s->writes += writes - s->writes_before;
    s->operations += operations;
    if (peak > s->memory) s->memory = peak;
}

static void print_steps(const char *kind, const scale *j, const step *steps, size_t count)
{
    printf("kind,step,items,operations,seconds,cpu_seconds,reads,writes,memory\n");
    for (size_t i = 0; i < count; i++)
        printf("%s,%s,%llu,%llu,%.9f,%.9f,%llu,%llu,%zu\n", kind, steps[i].name, (unsigned long long)j->items,
               (unsigned long long)steps[i].operations, steps[i].seconds, steps[i].cpu_seconds,
               (unsigned long long)steps[i].reads, (unsigned long long)steps[i].writes, steps[i].memory);
}

static void good(shardio_status status, const shardio_error *error)
{
    if (status != SHARDIO_OK) bench_die_shardio(error);
}

/* Every number below n once, in an order that is far from theirs: n is a power of ten. */
static uint64_t scattered(uint64_t i, uint64_t n)
{
    return i * 7919 % n;
}

static uint64_t some(uint64_t n, uint64_t most)
{
    return n < most ? n : most;
}

/* What was written past the page cache is read into it once, so that what follows is not about the disk. */
static void warm(const char *path)
{
    static uint8_t buffer[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) n = read(fd, buffer, sizeof buffer);
    if (n < 0) bench_die_system("read", path);
    close(fd);
}

static shardio_slot_options writing(void)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.durability = SHARDIO_DURABLE_NONE;
    o.overwrite = true;
    o.allocator = &counted;
    return o;
}

/* ---- shard ---- */

static void write_shard(const scale *j, const shardio_index_layout *layout, step *put, step *finish)
{
    shardio_slot_options o = writing();
    shardio_shard_writer w;
    shardio_error error;
    uint8_t chunk[CHUNK] = {0};
    step_begin(put);
    (void)shardio_shard_create(&w, j->path, layout, &o);
    for (uint64_t i = 0; i < j->items; i++) {
        uint64_t place = scattered(i, j->items);
        memcpy(chunk, &place, sizeof place);
        (void)shardio_shard_put(&w, place, chunk, sizeof chunk);
    }
    step_end(put, j->items);
    step_begin(finish);
    good(shardio_shard_finish(&w, &error), &error);
    step_end(finish, j->items);
}

static void read_shard(scale *j, const shardio_index_layout *layout, step *opening, step *get, step *verify)
{
    shardio_shard_reader reader;
    shardio_error error;
    uint8_t chunk[CHUNK];
    warm(j->path);
    step_begin(opening);
    good(shardio_shard_open(&reader, j->path, layout, &counted, &error), &error);
    step_end(opening, j->items);
    step_begin(get);
    for (uint64_t i = 0; i < some(j->items, AGAIN); i++) {
        uint64_t place = bench_random(&j->seed) % j->items, size = 0, found;
        good(shardio_shard_read(&reader, place, chunk, sizeof chunk, &size, &error), &error);
        memcpy(&found, chunk, sizeof found);
        if (found != place || size != CHUNK) bench_die("chunk %llu is another one", (unsigned long long)place);
    }
    step_end(get, some(j->items, AGAIN));
    step_begin(verify);
    good(shardio_shard_verify(&reader, NULL, NULL, NULL, &error), &error);
    step_end(verify, j->items);
    shardio_shard_close(&reader);
}

/* One chunk anew: all of the index is read and written. */
static void update_shard(const scale *j, const shardio_index_layout *layout, step *update)
{
    shardio_slot_options o = writing();
    shardio_shard_writer w;
    shardio_error error;
    uint8_t chunk[CHUNK] = {0};
    step_begin(update);
    (void)shardio_shard_update(&w, j->path, layout, SHARDIO_UPDATE_APPEND, &o);
    (void)shardio_shard_put(&w, 0, chunk, sizeof chunk);
    good(shardio_shard_finish(&w, &error), &error);
    step_end(update, j->items);
}

static void shard(scale *j)
{
    step steps[] = {{.name = "put"}, {.name = "finish"}, {.name = "open"}, {.name = "get"}, {.name = "verify"},
                    {.name = "update one chunk"}};
    shardio_index_layout layout;
    memset(&layout, 0, sizeof layout);
    layout.chunks = j->items;
    for (uint64_t round = 0; round < j->rounds; round++) {
        write_shard(j, &layout, &steps[0], &steps[1]);
        read_shard(j, &layout, &steps[2], &steps[3], &steps[4]);
        update_shard(j, &layout, &steps[5]);
    }
    print_steps("shard", j, steps, sizeof steps / sizeof steps[0]);
}

/* ---- arrays ---- */

static shardio_array_options array_options(const scale *j, uint64_t width)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 3;
    o.dtype = SHARDIO_UINT16;
    o.shape[0] = TIMES * (j->items / ROW / width);
    o.shape[1] = ROW * SIDE;
    o.shape[2] = width * SIDE;
    o.chunk[0] = 1;
    o.shard[0] = TIMES;
    for (int i = 1; i < 3; i++) o.chunk[i] = o.shard[i] = SIDE;
    o.durability = SHARDIO_DURABLE_NONE;
    o.allocator = &counted;
    o.direct = SHARDIO_DIRECT_OFF;      /* files of a kilobyte: the disk alone would be seen */
    o.unchanging = true;
    return o;
}

/* Each element tells the number of its frame, so a chunk that is read can be told from others. */
static void append_frames(const scale *j, const shardio_store *store, const shardio_array_options *o, step *append,
                          step *finish)
{
    uint64_t elements = o->shape[1] * o->shape[2];
    uint16_t *frame = (uint16_t *)malloc(elements * sizeof *frame);
    shardio_error error;
    if (frame == NULL) bench_die("no memory");
    step_begin(append);
    shardio_array *a = shardio_array_create_in(store, o);
    for (uint64_t t = 0; t < o->shape[0]; t++) {
        for (uint64_t i = 0; i < elements; i++) frame[i] = (uint16_t)(t + 1);
        (void)shardio_array_append(a, frame, elements);
    }
    step_end(append, j->items);
    step_begin(finish);
    good(shardio_array_finish(a, &error), &error);
    step_end(finish, j->items);
    free(frame);
}

typedef struct box {
    uint64_t start[3], count[3];
} box;

static box some_chunk(scale *j, const shardio_array_options *o)
{
    box b = {{bench_random(&j->seed) % o->shape[0], 0, 0}, {1, SIDE, SIDE}};
    for (int i = 1; i < 3; i++) b.start[i] = bench_random(&j->seed) % (o->shape[i] / SIDE) * SIDE;
    return b;
}

static shardio_status count_shard(void *context, const char *key, const uint64_t *position, uint64_t size,
                                  shardio_shard_reader *reader, const shardio_error *fault)
{
    (void)key;
    (void)position;
    (void)size;
    (void)reader;
    if (fault == NULL) ++*(uint64_t *)context;
    return SHARDIO_OK;
}

static void read_array(scale *j, const shardio_store *store, const shardio_array_options *o, step *opening, step *get,
                       step *list, step *verify)
{
    shardio_error error;
    uint64_t found = 0, reads = some(j->items, 20000);
    uint16_t chunk[SIDE * SIDE];
    step_begin(opening);
    shardio_array *a = shardio_array_open_in(store, o, &error);
    good(error.status, &error);
    step_end(opening, 1);
    step_begin(get);
    for (uint64_t i = 0; i < reads; i++) {
        box b = some_chunk(j, o);
        good(shardio_array_read(a, b.start, b.count, chunk, sizeof chunk, &error), &error);
        if (chunk[0] != (uint16_t)(b.start[0] + 1)) bench_die("another chunk");
    }
    step_end(get, reads);
    step_begin(list);
    good(shardio_array_each_shard(a, count_shard, &found, &error), &error);
    step_end(list, j->items);
    if (found != j->items) bench_die("%llu shards", (unsigned long long)found);
    step_begin(verify);
    good(shardio_array_verify(a, NULL, NULL, NULL, NULL, &error), &error);
    step_end(verify, j->items);
    shardio_array_close(a);
}

static void write_chunks(scale *j, const shardio_store *store, const shardio_array_options *o, step *put)
{
    shardio_error error;
    uint64_t writes = some(j->items, 2000);
    uint16_t chunk[SIDE * SIDE] = {0};
    step_begin(put);
    shardio_array *a = shardio_array_update_in(store, o, &error);
    good(error.status, &error);
    for (uint64_t i = 0; i < writes; i++) {
        box b = some_chunk(j, o);
        good(shardio_array_write(a, b.start, b.count, chunk, sizeof chunk, &error), &error);
    }
    shardio_array_close(a);
    step_end(put, writes);
}

/* `width`: shards along the last dimension, ten times as many in a frame. */
static void array_of(scale *j, const char *kind, uint64_t width)
{
    step steps[] = {{.name = "append"}, {.name = "finish"}, {.name = "open"}, {.name = "read a chunk"},
                    {.name = "list"},
                    {.name = "verify"}, {.name = "write a chunk"}};
    shardio_store store = shardio_store_directory(j->path);
    shardio_array_options o = array_options(j, width);
    append_frames(j, &store, &o, &steps[0], &steps[1]);
    read_array(j, &store, &o, &steps[2], &steps[3], &steps[4], &steps[5]);
    write_chunks(j, &store, &o, &steps[6]);
    print_steps(kind, j, steps, sizeof steps / sizeof steps[0]);
}

static void array(scale *j)
{
    array_of(j, "array", ROW);
}

static void flight(scale *j)
{
    array_of(j, "flight", j->items / ROW);
}

static shardio_archive *open_archive(const scale *j, bool write)
{
    shardio_archive_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.write = write;
    o.durability = SHARDIO_DURABLE_NONE;
    o.allocator = &counted;
    shardio_archive *a = shardio_archive_open(j->path, &o, &error);
    if (a == NULL) bench_die_shardio(&error);
    return a;
}

static void archive(scale *j)
{
    step steps[] = {{.name = "append"}, {.name = "finish"}, {.name = "commit"}, {.name = "open"},
                    {.name = "open the array"},
                    {.name = "read a chunk"}, {.name = "list"}, {.name = "verify"}};
    shardio_array_options o = array_options(j, ROW);
    shardio_error error;
    shardio_archive *a = open_archive(j, true);
    shardio_store store = shardio_archive_store(a);
    append_frames(j, &store, &o, &steps[0], &steps[1]);
    step_begin(&steps[2]);
    good(shardio_archive_finish(a, &error), &error);
    step_end(&steps[2], j->items);
    step_begin(&steps[3]);
    a = open_archive(j, false);
    step_end(&steps[3], j->items);
    store = shardio_archive_store(a);
    read_array(j, &store, &o, &steps[4], &steps[5], &steps[6], &steps[7]);
    shardio_archive_close(a);
    print_steps("archive", j, steps, sizeof steps / sizeof steps[0]);
}

/* ---- on paper ---- */

static void last_chunk(const scale *j, const shardio_store *store, const shardio_array_options *o, step *write,
                       step *opening, step *get)
{
    shardio_error error;
    box b = {{o->shape[0] - 1, o->shape[1] - SIDE, o->shape[2] - SIDE}, {1, SIDE, SIDE}};
    uint16_t chunk[SIDE * SIDE], back[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++) chunk[i] = (uint16_t)(j->items + (uint64_t)i);
    step_begin(write);
    shardio_array *a = shardio_array_update_in(store, o, &error);
    good(shardio_array_write(a, b.start, b.count, chunk, sizeof chunk, &error), &error);
    shardio_array_close(a);
    step_end(write, 1);
    step_begin(opening);
    a = shardio_array_open_in(store, o, &error);
    step_end(opening, 1);
    step_begin(get);
    good(shardio_array_read(a, b.start, b.count, back, sizeof back, &error), &error);
    step_end(get, 1);
    if (memcmp(chunk, back, sizeof back) != 0) bench_die("the last chunk is another one");
    b.start[0] = b.start[1] = b.start[2] = 0;
    good(shardio_array_read(a, b.start, b.count, back, sizeof back, &error), &error);
    if (back[0] != 0) bench_die("the first chunk is not missing");
    shardio_array_close(a);
}

static void paper(scale *j)
{
    step steps[] = {{.name = "define"}, {.name = "write the last chunk"}, {.name = "open"},
                    {.name = "read the last chunk"}};
    shardio_store store = shardio_store_directory(j->path);
    shardio_array_options o = array_options(j, ROW);
    shardio_error error;
    o.overwrite = true;
    for (uint64_t round = 0; round < 200; round++) {
        step_begin(&steps[0]);
        good(shardio_array_define_in(&store, &o, &error), &error);
        step_end(&steps[0], 1);
        last_chunk(j, &store, &o, &steps[1], &steps[2], &steps[3]);
    }
    print_steps("paper", j, steps, sizeof steps / sizeof steps[0]);
}

/* ---- pack ---- */

static void write_pack(const scale *j, step *append, step *finish)
{
    shardio_slot_options o = writing();
    shardio_pack_writer w;
    shardio_error error;
    step_begin(append);
    (void)shardio_pack_create(&w, j->path, NULL, &o);
    for (uint64_t i = 0; i < j->items; i++) (void)shardio_pack_append(&w, &i, ITEM);
    step_end(append, j->items);
    step_begin(finish);
    good(shardio_pack_finish(&w, NULL, 0, &error), &error);
    step_end(finish, j->items);
}

static shardio_status next_item(void *context, uint64_t item, const uint8_t *data, size_t size, shardio_error *error)
{
    (void)context;
    (void)error;
    if (size != ITEM || memcmp(data, &item, ITEM) != 0) bench_die("item %llu is another one", (unsigned long long)item);
    return SHARDIO_OK;
}

static void read_pack(scale *j, step *opening, step *get, step *range)
{
    shardio_pack_reader reader;
    shardio_pack_reading o;
    shardio_error error;
    const uint8_t *data;
    size_t size;
    memset(&o, 0, sizeof o);
    o.allocator = &counted;
    warm(j->path);
    step_begin(opening);
    good(shardio_pack_open(&reader, j->path, &o, &error), &error);
    step_end(opening, j->items);
    step_begin(get);
    for (uint64_t i = 0; i < some(j->items, AGAIN); i++) {
        uint64_t item = bench_random(&j->seed) % j->items;
        good(shardio_pack_item(&reader, NULL, item, &data, &size, &error), &error);
        (void)next_item(NULL, item, data, size, &error);
    }
    step_end(get, some(j->items, AGAIN));
    step_begin(range);
    good(shardio_pack_range(&reader, NULL, 0, j->items, next_item, NULL, &error), &error);
    step_end(range, j->items);
    shardio_pack_close(&reader);
}

static void pack(scale *j)
{
    step steps[] = {{.name = "append"}, {.name = "finish"}, {.name = "open"}, {.name = "read an item"},
                    {.name = "read all"}};
    for (uint64_t round = 0; round < j->rounds; round++) {
        write_pack(j, &steps[0], &steps[1]);
        read_pack(j, &steps[2], &steps[3], &steps[4]);
    }
    print_steps("pack", j, steps, sizeof steps / sizeof steps[0]);
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"shard", "array", "flight", "archive", "paper", "pack"};
    static void (*const works[])(scale *) = {shard, array, flight, archive, paper, pack};
    unsigned kind = 0;
    scale j;
    memset(&j, 0, sizeof j);
    j.seed = 1;
    for (int i = 1; i < argc; i += 2) {
        const char *value = bench_value(&argv[i]);
        if (strcmp(argv[i], "--kind") == 0) kind = bench_choose(value, kinds, sizeof kinds / sizeof kinds[0]);
        else if (strcmp(argv[i], "--items") == 0) j.items = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0) j.dir = value;
        else bench_die("%s is no option", argv[i]);
    }
    if (j.items < 100 || j.dir == NULL) bench_die("--items, at least 100, and --dir are needed");
    j.rounds = j.items < AGAIN ? AGAIN / j.items : 1;
    if (snprintf(j.path, sizeof j.path, "%s/%s", j.dir, kinds[kind]) >= (int)sizeof j.path)
        bench_die("the path is too long");
    works[kind](&j);
    if (taken != 0) bench_die("%zu bytes were not given back", taken);
    return 0;
}
