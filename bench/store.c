/* Archives beside plain files; prints a CSV header and a line per step, or per contender and round. bench/run.py runs it
   and compares.

       bench_store --work W --dir D [options]

   W  arrays   --arrays arrays of --bytes bytes, float32, rows of 1024 elements, --chunk-rows of them to a chunk, each
               chunk a value of its own, in one process and step by step: write, until the commit is durable; read-cold
               and read-warm, all of it; overwrite, rows 100 to 203 of each and a commit; compact. --contender raw
               writes the same bytes past the page cache, to one file (write), and reads them back past it
               (read-direct), cold through it (read-buffered) and warm (read-warm); raw-large-pages, the same past
               the page cache from and to memory in large pages (write, read-cold); shardio; statistics, shardio
               that keeps them. --only-write 1: the first step alone
      frames   --bytes of uint16 frames of --frame Y,X, one call a frame, chunks 16,256,256, shards 64,Y,X, until
               durable. --contender raw, as above; directory; archive
               Of both --overlap 1: writes of shardio's shards are under way meanwhile, --in-flight of them
      open     opening and closing an archive of --count values. raw-buffered: one pread of the bytes of its directory
      chunk    --count chunks of 8 KiB of an open archive in any order, one call each. raw-buffered: one pread each;
               values, each chunk a value of its own; shard, all chunks in one shard, whose index is in memory

   arrays and frames do their work once; contenders of open and chunk take turns in one process for --rounds rounds, and a
   round before the first one is not counted. What was read is compared with what was written when the clock has
   stopped. Input and memory that is read into are touched beforehand. peak_bytes is what the highest resident size
   has grown by so far. Reads are system calls as the system counts them. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"

enum work { ARRAYS, FRAMES, OPEN, CHUNK, WORKS };
static const char *const work_names[] = {"arrays", "frames", "open", "chunk"};
enum contender { RAW, RAW_LARGE, SHARDIO, STATISTICS, DIRECTORY, ARCHIVE, CONTENDERS };
static const char *const contender_names[] = {"raw", "raw-large-pages", "shardio", "statistics", "directory", "archive"};
enum { COLUMNS = 1024, FIRST_ROW = 100, PATCH_ROWS = 104, PIECE = 8 << 20, SMALL_CHUNK = 8192 };

typedef struct job {
    enum work work;
    enum contender contender;
    const char *dir;
    uint64_t arrays, bytes, chunk_rows, count, rounds, seed;
    uint64_t frame[2];
    bool direct, only_write;
    shardio_overlap overlap;
    uint32_t in_flight;
    shardio_accounting accounting;       /* of the last array written */
    uint8_t *input, *patch, *memory;
    uint64_t row_bytes, rows, total;     /* total: of all input, bytes */
    uint64_t peak;                       /* before the first step, bytes */
    char path[300];
} job;

/* ---- What all of them need ---- */

static uint64_t peak_bytes(void)
{
    return (uint64_t)bench_usage().ru_maxrss * 1024;
}

static uint64_t file_bytes(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 ? (uint64_t)facts.st_size : 0;
}

static void make_cold(const job *j)
{
    if (!bench_drop(j->path)) bench_die("%s stays in the page cache", j->path);
}

static void compare(const void *got, const void *expected, uint64_t size, const char *what)
{
    if (memcmp(got, expected, (size_t)size) != 0) bench_die("%s: what was read is not what was written", what);
}

typedef struct step {
    const char *name;
    double begin, cpu;
    uint64_t size;                       /* of the file before it, bytes */
} step;

static step begin_step(const job *j, const char *name)
{
    step s = {name, 0, 0, file_bytes(j->path)};
    s.cpu = bench_cpu_now();
    s.begin = bench_now();
    return s;
}

static void end_step(const job *j, const step *s)
{
    double seconds = bench_now() - s->begin, cpu = bench_cpu_now() - s->cpu;
    uint64_t size = file_bytes(j->path);
    printf("%s,%s,%llu,%.6f,%.6f,%llu,%lld,%llu,%d,\"%s\",%s,\"%s\"\n", contender_names[j->contender], s->name,
           (unsigned long long)j->total, seconds, cpu, (unsigned long long)size, (long long)(size - s->size),
           (unsigned long long)(peak_bytes() - j->peak), (int)j->accounting.overlap,
           j->accounting.overlap_reason != NULL ? j->accounting.overlap_reason : "", SHARDIO_VERSION_STRING,
           BENCH_COMPILER);
}

/* ---- Plain files ---- */

static void write_raw(const job *j, const char *name)
{
    step s = begin_step(j, name);
    int fd = bench_create(j->path, O_DIRECT);
    for (uint64_t at = 0; at < j->total; at += PIECE)
        bench_write(fd, j->input + at, j->total - at < PIECE ? (size_t)(j->total - at) : PIECE);
    bench_close(fd, true);
    bench_sync_directory(j->dir);
    end_step(j, &s);
}

static void read_raw(const job *j, const char *name, int flags)
{
    step s = begin_step(j, name);
    int fd = open(j->path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) bench_die_system("open", j->path);
    for (uint64_t at = 0; at < j->total; at += PIECE)
        bench_read_fully(fd, j->memory + at, j->total - at < PIECE ? (size_t)(j->total - at) : PIECE, at);
    close(fd);
    end_step(j, &s);
    compare(j->memory, j->input, j->total, name);
}

/* Into the page cache. */
static void bring_in(const job *j)
{
    int fd = open(j->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) bench_die_system("open", j->path);
    while (read(fd, j->memory, PIECE) > 0) {}
    close(fd);
}

static void raw_arrays(const job *j)
{
    write_raw(j, "write");
    if (j->only_write) return;
    make_cold(j);
    read_raw(j, "read-direct", O_DIRECT);
    make_cold(j);
    read_raw(j, "read-buffered", 0);
    read_raw(j, "read-warm", 0);
}

static void raw_arrays_in_large_pages(const job *j)
{
    write_raw(j, "write");
    if (j->only_write) return;
    make_cold(j);
    read_raw(j, "read-cold", O_DIRECT);
}

/* ---- Archives ---- */

/* Reads go through the page cache unless `direct`. */
static shardio_archive *open_archive(const job *j, bool write, bool direct)
{
    shardio_archive_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.write = write;
    o.direct = j->direct && direct ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    shardio_archive *archive = shardio_archive_open(j->path, &o, &error);
    if (archive == NULL) bench_die_shardio(&error);
    return archive;
}

static void finish_archive(shardio_archive *archive)
{
    shardio_error error;
    if (shardio_archive_finish(archive, &error) != SHARDIO_OK) bench_die_shardio(&error);
}

static shardio_array_options writing(job *j)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.direct = j->direct ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    o.overlap = j->overlap;
    o.in_flight = j->in_flight;
    o.accounting = &j->accounting;
    return o;
}

static shardio_array_options array_options(job *j, uint64_t number, char *path, size_t size)
{
    shardio_array_options o = writing(j);
    o.ndim = 2;
    o.dtype = SHARDIO_FLOAT32;
    o.shape[0] = j->rows;
    o.chunk[0] = j->chunk_rows;
    o.shape[1] = o.chunk[1] = COLUMNS;
    o.path = path;
    o.statistics = j->contender == STATISTICS;
    snprintf(path, size, "array%03llu", (unsigned long long)number);
    return o;
}

static void write_arrays(job *j)
{
    step s = begin_step(j, "write");
    shardio_archive *archive = open_archive(j, true, true);
    shardio_store store = shardio_archive_store(archive);
    for (uint64_t i = 0; i < j->arrays; i++) {
        char path[32];
        shardio_error error;
        shardio_array_options o = array_options(j, i, path, sizeof path);
        shardio_array *array = shardio_array_create_in(&store, &o);
        shardio_array_append(array, j->input + i * j->bytes, j->rows * COLUMNS);
        if (shardio_array_finish(array, &error) != SHARDIO_OK) bench_die_shardio(&error);
    }
    finish_archive(archive);
    end_step(j, &s);
}

static void read_arrays(job *j, const char *name, bool direct)
{
    const uint64_t start[2] = {0, 0}, count[2] = {j->rows, COLUMNS};
    step s = begin_step(j, name);
    shardio_archive *archive = open_archive(j, false, direct);
    shardio_store store = shardio_archive_store(archive);
    for (uint64_t i = 0; i < j->arrays; i++) {
        char path[32];
        shardio_error error;
        shardio_array_options o = array_options(j, i, path, sizeof path);
        shardio_array *array = shardio_array_open_in(&store, &o, &error);
        if (shardio_array_read(array, start, count, j->memory + i * j->bytes, (size_t)j->bytes, &error) != SHARDIO_OK)
            bench_die_shardio(&error);
        shardio_array_close(array);
    }
    shardio_archive_close(archive);
    end_step(j, &s);
}

static void overwrite_rows(job *j)
{
    const uint64_t start[2] = {FIRST_ROW, 0}, count[2] = {PATCH_ROWS, COLUMNS};
    step s = begin_step(j, "overwrite");
    shardio_archive *archive = open_archive(j, true, true);
    shardio_store store = shardio_archive_store(archive);
    for (uint64_t i = 0; i < j->arrays; i++) {
        char path[32];
        shardio_error error;
        shardio_array_options o = array_options(j, i, path, sizeof path);
        shardio_array *array = shardio_array_update_in(&store, &o, &error);
        if (shardio_array_write(array, start, count, j->patch, PATCH_ROWS * (size_t)j->row_bytes, &error) != SHARDIO_OK)
            bench_die_shardio(&error);
        shardio_array_close(array);
    }
    finish_archive(archive);
    end_step(j, &s);
}

static void compact(const job *j)
{
    shardio_archive_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.direct = j->direct ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
    step s = begin_step(j, "compact");
    if (shardio_archive_compact(j->path, &o, NULL, NULL, &error) != SHARDIO_OK) bench_die_shardio(&error);
    end_step(j, &s);
}

static void shardio_arrays(job *j)
{
    write_arrays(j);
    if (j->only_write) return;
    make_cold(j);
    read_arrays(j, "read-cold", true);
    compare(j->memory, j->input, j->total, "read-cold");
    bring_in(j);
    read_arrays(j, "read-warm", false);
    compare(j->memory, j->input, j->total, "read-warm");
    overwrite_rows(j);
    make_cold(j);
    compact(j);
    for (uint64_t i = 0; i < j->arrays; i++)
        memcpy(j->input + i * j->bytes + FIRST_ROW * j->row_bytes, j->patch, PATCH_ROWS * (size_t)j->row_bytes);
    read_arrays(j, "read-compact", true);
    compare(j->memory, j->input, j->total, "after compacting");
}

static void run_arrays(job *j)
{
    j->row_bytes = 4 * COLUMNS;
    j->rows = j->bytes / j->row_bytes;
    j->bytes = j->rows * j->row_bytes;
    j->total = j->arrays * j->bytes;
    if (j->rows < FIRST_ROW + PATCH_ROWS) bench_die("an array has to have %d rows", FIRST_ROW + PATCH_ROWS);
    if (j->contender > STATISTICS) bench_die("arrays are for raw, raw-large-pages, shardio and statistics");
    j->input = bench_input_in((size_t)j->total, j->seed, j->contender == RAW_LARGE);
    j->memory = bench_input_in((size_t)j->total, 0, j->contender == RAW_LARGE);
    j->patch = bench_input(PATCH_ROWS * (size_t)j->row_bytes, j->seed + 1);
    j->peak = peak_bytes();
    if (j->contender == RAW) raw_arrays(j);
    else if (j->contender == RAW_LARGE) raw_arrays_in_large_pages(j);
    else shardio_arrays(j);
    free(j->memory);
    free(j->patch);
}

/* ---- Frames ---- */

static void append_frames(job *j, const shardio_store *store)
{
    uint64_t frame_bytes = 2 * j->frame[0] * j->frame[1];
    shardio_array_options o = writing(j);
    shardio_error error;
    o.ndim = 3;
    o.dtype = SHARDIO_UINT16;
    o.shape[0] = SHARDIO_UNLIMITED;
    o.chunk[0] = 16;
    o.shard[0] = 64;
    for (int d = 1; d < 3; d++) {
        o.shape[d] = o.shard[d] = j->frame[d - 1];
        o.chunk[d] = 256;
    }
    o.path = "movie";
    shardio_array *array = shardio_array_create_in(store, &o);
    for (uint64_t at = 0; at < j->total; at += frame_bytes)
        shardio_array_append(array, j->input + at, j->frame[0] * j->frame[1]);
    if (shardio_array_finish(array, &error) != SHARDIO_OK) bench_die_shardio(&error);
}

static void run_frames(job *j)
{
    uint64_t shard_bytes = 64 * 2 * j->frame[0] * j->frame[1];
    if (j->bytes < shard_bytes || j->bytes % shard_bytes != 0) bench_die("the frames have to fill whole shards");
    if (j->contender == SHARDIO || j->contender == STATISTICS) bench_die("frames are for raw, directory and archive");
    j->total = j->bytes;
    j->input = bench_input((size_t)j->total, j->seed);
    j->peak = peak_bytes();
    if (j->contender == RAW) {
        write_raw(j, "frames");
        return;
    }
    step s = begin_step(j, "frames");
    if (j->contender == DIRECTORY) {
        shardio_store store = shardio_store_directory(j->path);
        append_frames(j, &store);
    } else {
        shardio_archive *archive = open_archive(j, true, true);
        shardio_store store = shardio_archive_store(archive);
        append_frames(j, &store);
        finish_archive(archive);
    }
    end_step(j, &s);
}

/* ---- Opening, and single chunks: in turns ---- */

static uint64_t reads_so_far(void)
{
    uint64_t reads, writes;
    bench_calls(&reads, &writes);
    return reads;
}

typedef struct turn {
    double seconds;
    uint64_t reads, items;
} turn;

/* What asking for the number costs in reads is measured each time and taken off. */
typedef struct meter {
    uint64_t reads, own;
    double begin;
} meter;

static meter begin_meter(void)
{
    meter m;
    uint64_t first = reads_so_far();
    m.reads = reads_so_far();
    m.own = m.reads - first;
    m.begin = bench_now();
    return m;
}

static turn end_meter(const meter *m, uint64_t items)
{
    turn t;
    t.seconds = bench_now() - m->begin;
    t.reads = reads_so_far() - m->reads - m->own;
    t.items = items;
    return t;
}

static void print_turn(const job *j, const char *name, uint64_t round, const turn *t)
{
    if (round == 0) return;
    printf("%s,%s,%llu,%.9f,%llu,%llu,%s,\"%s\"\n", work_names[j->work], name, (unsigned long long)round, t->seconds,
           (unsigned long long)t->items, (unsigned long long)t->reads, SHARDIO_VERSION_STRING, BENCH_COMPILER);
}

static void write_value(const shardio_store *store, const char *key, const void *data, size_t size)
{
    shardio_file file;
    size_t done;
    int code = 0;
    if (store->functions->create(store->context, key, false, size, NULL, &file, &code) != SHARDIO_OK ||
        file.functions->write(file.context, 0, data, size, &done, &code) != SHARDIO_OK ||
        file.functions->close(file.context, SHARDIO_CLOSE_PUBLISH, false, &code) != SHARDIO_OK)
        bench_die("%s could not be written", key);
}

static turn open_ours(const job *j)
{
    meter m = begin_meter();
    shardio_archive *archive = open_archive(j, false, false);
    turn t = end_meter(&m, j->count);
    if (shardio_archive_about(archive).entries != j->count) bench_die("%s has lost entries", j->path);
    shardio_archive_close(archive);
    return t;
}

static turn open_raw(const job *j, uint64_t directory)
{
    uint64_t size = file_bytes(j->path) - directory;
    meter m = begin_meter();
    uint8_t *memory = (uint8_t *)malloc((size_t)size);
    int fd = open(j->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || memory == NULL) bench_die_system("open", j->path);
    bench_read_fully(fd, memory, (size_t)size, directory);
    turn t = end_meter(&m, j->count);
    close(fd);
    free(memory);
    return t;
}

static bool note_directory(void *context, uint64_t layer, uint64_t directory, uint64_t size, uint64_t entries)
{
    (void)layer, (void)size, (void)entries;
    *(uint64_t *)context = directory;
    return false;
}

static void run_open(job *j)
{
    uint64_t directory = 0;
    shardio_archive *archive = open_archive(j, true, true);
    shardio_store store = shardio_archive_store(archive);
    for (uint64_t i = 0; i < j->count; i++) {
        char key[64];
        snprintf(key, sizeof key, "plate/well%03llu/c/%llu/%llu", (unsigned long long)(i / 1000),
                 (unsigned long long)(i / 10 % 100), (unsigned long long)(i % 10));
        write_value(&store, key, &i, sizeof i);
    }
    finish_archive(archive);
    archive = open_archive(j, false, false);
    (void)shardio_archive_each_layer(archive, false, note_directory, &directory, NULL);
    shardio_archive_close(archive);
    for (uint64_t round = 0; round <= j->rounds; round++)
        for (uint64_t i = 0; i < 2; i++) {
            bool raw = (round + i) % 2 == 0;
            turn t = raw ? open_raw(j, directory) : open_ours(j);
            print_turn(j, raw ? "raw-buffered" : "shardio", round, &t);
        }
}

/* `count` chunks of 8 KiB, in two arrays: each a value, or all in one shard. */
static void prepare_chunks(const job *j)
{
    shardio_archive *archive = open_archive(j, true, true);
    shardio_store store = shardio_archive_store(archive);
    for (int sharded = 0; sharded < 2; sharded++) {
        shardio_array_options o;
        shardio_error error;
        memset(&o, 0, sizeof o);
        o.ndim = 1;
        o.dtype = SHARDIO_UINT8;
        o.shape[0] = j->total;
        o.chunk[0] = SMALL_CHUNK;
        if (sharded) o.shard[0] = j->total;
        o.path = sharded ? "shard" : "values";
        shardio_array *array = shardio_array_create_in(&store, &o);
        shardio_array_append(array, j->input, j->total);
        if (shardio_array_finish(array, &error) != SHARDIO_OK) bench_die_shardio(&error);
    }
    finish_archive(archive);
}

static turn read_chunks(const job *j, shardio_array *array, const uint64_t *order)
{
    const uint64_t count = SMALL_CHUNK;
    meter m = begin_meter();
    for (uint64_t i = 0; i < j->count; i++) {
        shardio_error error;
        uint64_t start = order[i] * SMALL_CHUNK;
        if (shardio_array_read(array, &start, &count, j->memory + start, SMALL_CHUNK, &error) != SHARDIO_OK)
            bench_die_shardio(&error);
    }
    return end_meter(&m, j->count);
}

/* The chunks of the archive lie elsewhere in the file, but all of it is in the page cache. */
static turn read_raw_chunks(const job *j, int fd, const uint64_t *order)
{
    meter m = begin_meter();
    for (uint64_t i = 0; i < j->count; i++)
        bench_read_fully(fd, j->memory + order[i] * SMALL_CHUNK, SMALL_CHUNK, order[i] * SMALL_CHUNK);
    return end_meter(&m, j->count);
}

static void run_chunk(job *j)
{
    static const char *const names[] = {"raw-buffered", "values", "shard"};
    uint64_t state = j->seed;
    j->total = j->count * SMALL_CHUNK;
    j->input = bench_input((size_t)j->total, j->seed);
    j->memory = bench_input((size_t)j->total, 0);
    prepare_chunks(j);
    uint64_t *order = (uint64_t *)malloc((size_t)j->count * sizeof *order);
    int fd = open(j->path, O_RDONLY | O_CLOEXEC);
    if (order == NULL || fd < 0) bench_die_system("open", j->path);
    for (uint64_t i = 0; i < j->count; i++) order[i] = i;
    for (uint64_t i = j->count - 1; i > 0; i--) {
        uint64_t other = bench_random(&state) % (i + 1), number = order[other];
        order[other] = order[i];
        order[i] = number;
    }
    shardio_archive *archive = open_archive(j, false, false);
    shardio_store store = shardio_archive_store(archive);
    shardio_array *arrays[3] = {NULL, NULL, NULL};
    for (int i = 1; i < 3; i++) {
        shardio_array_options o;
        shardio_error error;
        memset(&o, 0, sizeof o);
        o.path = names[i];
        arrays[i] = shardio_array_open_in(&store, &o, &error);
        if (error.status != SHARDIO_OK) bench_die_shardio(&error);
    }
    for (uint64_t round = 0; round <= j->rounds; round++)
        for (uint64_t i = 0; i < 3; i++) {
            uint64_t which = (round + i) % 3;
            turn t = which == 0 ? read_raw_chunks(j, fd, order) : read_chunks(j, arrays[which], order);
            print_turn(j, names[which], round, &t);
            if (which > 0 && round == 0) compare(j->memory, j->input, j->total, names[which]);
        }
    for (int i = 1; i < 3; i++) shardio_array_close(arrays[i]);
    shardio_archive_close(archive);
    close(fd);
    free(order);
    free(j->memory);
}

/* ---- The command line ---- */

static void parse_option(job *j, const char *name, const char *value)
{
    if (strcmp(name, "--work") == 0) j->work = (enum work)bench_choose(value, work_names, WORKS);
    else if (strcmp(name, "--contender") == 0)
        j->contender = (enum contender)bench_choose(value, contender_names, CONTENDERS);
    else if (strcmp(name, "--dir") == 0) j->dir = value;
    else if (strcmp(name, "--arrays") == 0) j->arrays = bench_parse_bytes(value);
    else if (strcmp(name, "--bytes") == 0) j->bytes = bench_parse_bytes(value);
    else if (strcmp(name, "--chunk-rows") == 0) j->chunk_rows = bench_parse_bytes(value);
    else if (strcmp(name, "--count") == 0) j->count = bench_parse_bytes(value);
    else if (strcmp(name, "--rounds") == 0) j->rounds = bench_parse_bytes(value);
    else if (strcmp(name, "--seed") == 0) j->seed = bench_parse_bytes(value);
    else if (strcmp(name, "--direct") == 0) j->direct = *value != '0';
    else if (strcmp(name, "--only-write") == 0) j->only_write = *value != '0';
    else if (strcmp(name, "--overlap") == 0) j->overlap = *value != '0' ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
    else if (strcmp(name, "--in-flight") == 0) j->in_flight = (uint32_t)bench_parse_bytes(value);
    else if (strcmp(name, "--frame") == 0) bench_parse_numbers(value, j->frame, 2);
    else bench_die("unknown option %s", name);
}

static job defaults(void)
{
    job j;
    memset(&j, 0, sizeof j);
    j.arrays = j.chunk_rows = 64;
    j.bytes = 4 << 20;
    j.count = 2000;
    j.rounds = j.seed = 1;
    j.direct = true;
    bench_parse_numbers("1024,1024", j.frame, 2);
    return j;
}

int main(int argc, char **argv)
{
    job j = defaults();
    for (int i = 1; i < argc; i += 2) parse_option(&j, argv[i], bench_value(argv + i));
    if (j.dir == NULL) bench_die("--dir is missing");
    if (snprintf(j.path, sizeof j.path, "%s/bench.zip", j.dir) >= (int)sizeof j.path) bench_die("the path is too long");
    if (j.work == ARRAYS || j.work == FRAMES)
        printf("contender,step,bytes,seconds,cpu_seconds,file_bytes,grown_bytes,peak_bytes,overlap,overlap_reason,"
               "version,compiler\n");
    else
        printf("work,contender,round,seconds,items,reads,version,compiler\n");
    if (j.work == ARRAYS) run_arrays(&j);
    else if (j.work == FRAMES) run_frames(&j);
    else if (j.work == OPEN) run_open(&j);
    else run_chunk(&j);
    free(j.input);
    return 0;
}
