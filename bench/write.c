/* One writer doing one piece of work once, timed; prints a CSV header and a line. bench/run.py runs it, each contender in
   a process and a directory of its own, and compares.

       bench_write --writer W --work K --dir D [options]

   W  raw-direct        pwrite of aligned blocks past the page cache, to one file: the limit
      raw-buffered      the same through the page cache
      shardio           shardio.h, unbuffered or not at all
      shardio-buffered  shardio.h through the page cache
      plain             chunks and index of the same layout with write(): what one would write by hand
   K  blocks            the input as it is (raw writers)
      appends           pieces of --chunk bytes, one call each, to one file (slot of shardio.h)
      chunks            ready chunks of --chunk bytes each, one call per chunk, one shard (shard writer of shardio.h)
      frames            uint16 frames of --frame Y,X, one call per frame, into --chunks and --shards (array writer)

   The clock runs from before the file is created until finish has returned; with --durable 1 everything is on stable
   storage by then. All input lies in memory touched beforehand, one block of --input bytes; longer work (--bytes)
   goes round it; --bits N leaves N bits of each number of 16. --overlap 1: writes of shardio.h are under way meanwhile,
   --in-flight of them. --codec zstd: frames are encoded, at level 3. --verify 1 reads everything back after the clock
   has stopped and compares. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"

enum writer { RAW_DIRECT, RAW_BUFFERED, SHARDIO, SHARDIO_BUFFERED, PLAIN, WRITERS };
enum work { BLOCKS, APPENDS, CHUNKS, FRAMES, WORKS };
static const char *const writer_names[] = {"raw-direct", "raw-buffered", "shardio", "shardio-buffered", "plain"};
static const char *const work_names[] = {"blocks", "appends", "chunks", "frames"};
enum codec { NONE, ZSTD, CODECS };
static const char *const codec_names[] = {"none", "zstd"};

typedef struct job {
    enum writer writer;
    enum work work;
    const char *dir, *latencies;         /* latencies: file for the times of all calls, or null */
    uint64_t bytes, block, chunk_bytes, seed, input_bytes;
    uint64_t frame[2], chunks[3], shards[3];
    unsigned bits;                       /* random ones of 16; 0: all */
    size_t buffer, memory;               /* of shardio, 0: its defaults */
    shardio_overlap overlap;
    uint32_t in_flight;
    enum codec codec;
    bool durable, verify;
    uint8_t *input;
    double *times;                       /* of the calls, seconds */
    size_t calls;
} job;

typedef struct result {
    bench_cost cost;
    double finish_seconds;
    uint64_t file_bytes, files, resident_pages, plan_bytes;
    uint32_t digest;                     /* CRC32C of all files, one after the other */
    shardio_accounting accounting;       /* zero for the others */
} result;

/* ---- What all of them need ---- */

static const uint8_t *input_at(const job *j, uint64_t offset)
{
    return j->input + offset % j->input_bytes;
}

static void output_path(const job *j, uint64_t file, char *path, size_t size)
{
    int n;
    if (j->work == FRAMES && j->writer != PLAIN)
        n = snprintf(path, size, "%s/movie.zarr/c/%llu/0/0", j->dir, (unsigned long long)file);
    else
        n = snprintf(path, size, "%s/out.%llu", j->dir, (unsigned long long)file);
    if (n < 0 || (size_t)n >= size) bench_die("the path is too long");
}

/* Calls are timed with two clock readings each, some 50 ns: nothing beside a write. */
static void timed(job *j, double begin)
{
    j->times[j->calls++] = bench_now() - begin;
}

/* ---- Raw writers: the limit, and the page cache ---- */

static void write_raw(job *j, result *r)
{
    char path[512];
    double finish;
    int fd;
    output_path(j, 0, path, sizeof path);
    fd = bench_create(path, j->writer == RAW_DIRECT ? O_DIRECT : 0);
    for (uint64_t offset = 0; offset < j->bytes; offset += j->block) {
        double begin = bench_now();
        bench_write(fd, input_at(j, offset), j->block);
        timed(j, begin);
    }
    finish = bench_now();
    bench_close(fd, j->durable);
    if (j->durable) bench_sync_directory(j->dir);
    r->finish_seconds = bench_now() - finish;
    r->files = 1;
}

/* ---- By hand through the page cache ---- */

typedef struct plain {
    int fd;
    uint64_t file, offset, next;        /* number of the file, bytes in it, number of the next chunk */
    shardio_index_layout layout;
    uint8_t *index, *rows;
} plain;

static void plain_begin(const job *j, plain *p)
{
    char path[512];
    output_path(j, p->file++, path, sizeof path);
    p->fd = bench_create(path, 0);
    p->offset = p->next = 0;
    shardio_index_clear(&p->layout, p->index);
}

static void plain_chunks(plain *p, const void *data, uint64_t count, uint64_t size)
{
    bench_write(p->fd, data, count * size);
    for (uint64_t i = 0; i < count; i++, p->offset += size)
        shardio_index_set(&p->layout, p->index, p->next++, p->offset, size);
}

static void plain_end(const job *j, plain *p)
{
    shardio_index_seal(&p->layout, p->index);
    bench_write(p->fd, p->index, shardio_index_size(&p->layout));
    bench_close(p->fd, j->durable);
}

static plain plain_start(uint64_t chunks, size_t rows)
{
    plain p;
    memset(&p, 0, sizeof p);
    p.layout.chunks = chunks;
    p.index = (uint8_t *)malloc(shardio_index_size(&p.layout));
    p.rows = (uint8_t *)malloc(rows);
    if (p.index == NULL || p.rows == NULL) bench_die("no memory");
    return p;
}

static void plain_stop(const job *j, plain *p, result *r)
{
    if (j->durable) bench_sync_directory(j->dir);
    r->files = p->file;
    free(p->index);
    free(p->rows);
}

static void write_plain_chunks(job *j, result *r)
{
    plain p = plain_start(j->bytes / j->chunk_bytes, 1);
    double finish;
    plain_begin(j, &p);
    for (uint64_t offset = 0; offset < j->bytes; offset += j->chunk_bytes) {
        double begin = bench_now();
        plain_chunks(&p, input_at(j, offset), 1, j->chunk_bytes);
        timed(j, begin);
    }
    finish = bench_now();
    plain_end(j, &p);
    plain_stop(j, &p, r);
    r->finish_seconds = bench_now() - finish;
}

static void write_plain_frames(job *j, result *r)
{
    uint64_t frame_bytes = 2 * j->frame[0] * j->frame[1], frames = j->bytes / frame_bytes;
    uint64_t chunk_bytes = 2 * j->chunks[0] * j->chunks[1] * j->chunks[2];
    uint64_t row = j->chunks[0] * frame_bytes / chunk_bytes;        /* chunks in a row */
    plain p = plain_start(row * (j->shards[0] / j->chunks[0]), row * chunk_bytes);
    double finish;
    for (uint64_t t = 0; t < frames; t++) {
        double begin = bench_now();
        if (t % j->shards[0] == 0) plain_begin(j, &p);
        bench_gather(j->frame, j->chunks, p.rows, input_at(j, t * frame_bytes), t % j->chunks[0]);
        if ((t + 1) % j->chunks[0] == 0) plain_chunks(&p, p.rows, row, chunk_bytes);
        if ((t + 1) % j->shards[0] == 0) plain_end(j, &p);
        timed(j, begin);
    }
    finish = bench_now();
    plain_stop(j, &p, r);
    r->finish_seconds = bench_now() - finish;
}

/* ---- shardio.h ---- */

static shardio_direct wished(const job *j)
{
    return j->writer == SHARDIO ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF;
}

static shardio_durability durability(const job *j)
{
    return j->durable ? SHARDIO_DURABLE_FINISH : SHARDIO_DURABLE_NONE;
}

static shardio_slot_options slot_options(const job *j)
{
    shardio_slot_options options;
    memset(&options, 0, sizeof options);
    options.direct = wished(j);
    options.durability = durability(j);
    options.buffer_size = j->buffer;
    options.overlap = j->overlap;
    options.in_flight = j->in_flight;
    return options;
}

/* What a slot takes from its allocator, but for its queue of some 100 bytes for each write. */
static uint64_t slot_memory(const job *j, const char *path)
{
    return (j->buffer != 0 ? j->buffer : (size_t)4 << 20) + shardio_file_memory(strlen(path));
}

static void write_shardio_appends(job *j, result *r)
{
    shardio_slot slot;
    shardio_slot_options options = slot_options(j);
    char path[512];
    double finish;
    output_path(j, 0, path, sizeof path);
    /* create and append may fail: the error sticks, and finish gives it */
    shardio_slot_create(&slot, path, &options);
    for (uint64_t offset = 0; offset < j->bytes; offset += j->chunk_bytes) {
        double begin = bench_now();
        shardio_slot_append(&slot, input_at(j, offset), j->chunk_bytes);
        timed(j, begin);
    }
    finish = bench_now();
    r->accounting = slot.accounting;
    if (shardio_slot_finish(&slot) != SHARDIO_OK) bench_die_shardio(&slot.error);
    r->finish_seconds = bench_now() - finish;
    r->files = 1;
    r->plan_bytes = slot_memory(j, path);
}

static void write_shardio_chunks(job *j, result *r)
{
    shardio_shard_writer writer;
    shardio_slot_options options = slot_options(j);
    shardio_index_layout layout;
    shardio_error error;
    char path[512];
    double finish;
    memset(&layout, 0, sizeof layout);
    layout.chunks = j->bytes / j->chunk_bytes;
    output_path(j, 0, path, sizeof path);
    /* create and put may fail: the error sticks, and finish gives it */
    shardio_shard_create(&writer, path, &layout, &options);
    for (uint64_t i = 0; i < layout.chunks; i++) {
        double begin = bench_now();
        shardio_shard_put(&writer, i, input_at(j, i * j->chunk_bytes), j->chunk_bytes);
        timed(j, begin);
    }
    finish = bench_now();
    r->accounting = shardio_shard_accounting(&writer);
    if (shardio_shard_finish(&writer, &error) != SHARDIO_OK) bench_die_shardio(&error);
    r->finish_seconds = bench_now() - finish;
    r->files = 1;
    r->plan_bytes = shardio_shard_memory(&layout, 0) + slot_memory(j, path);
}

static shardio_array_options array_options(const job *j)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 3;
    o.dtype = SHARDIO_UINT16;
    o.shape[0] = SHARDIO_UNLIMITED;
    for (int d = 0; d < 3; d++) {
        if (d > 0) o.shape[d] = j->frame[d - 1];
        o.chunk[d] = j->chunks[d];
        o.shard[d] = j->shards[d];
    }
    o.direct = wished(j);
    o.durability = durability(j);
    o.buffer_size = j->buffer;
    o.overlap = j->overlap;
    o.in_flight = j->in_flight;
    o.memory = j->memory;
    o.codecs[0] = j->codec == ZSTD ? bench_zstd() : NULL;
    return o;
}

static void array_path(const job *j, char *path, size_t size)
{
    if (snprintf(path, size, "%s/movie.zarr", j->dir) >= (int)size) bench_die("the path is too long");
}

static void write_shardio_frames(job *j, result *r)
{
    uint64_t elements = j->frame[0] * j->frame[1], frames = j->bytes / (2 * elements);
    shardio_array_options options = array_options(j);
    shardio_memory_plan plan;
    shardio_array *array;
    shardio_error error;
    char path[512];
    double finish;
    array_path(j, path, sizeof path);
    array = shardio_array_create(path, &options);
    for (uint64_t t = 0; t < frames; t++) {
        double begin = bench_now();
        shardio_array_append(array, input_at(j, 2 * t * elements), elements);
        timed(j, begin);
    }
    finish = bench_now();
    r->accounting = shardio_array_accounting(array);
    if (shardio_array_finish(array, &error) != SHARDIO_OK) bench_die_shardio(&error);
    r->finish_seconds = bench_now() - finish;
    r->files = (frames + j->shards[0] - 1) / j->shards[0];
    if (shardio_array_memory(&options, strlen(path), &plan, &error) != SHARDIO_OK) bench_die_shardio(&error);
    r->plan_bytes = plan.total;
}

/* ---- Reading back, after the clock has stopped ---- */

static void compare(const void *got, const void *expected, size_t size, uint64_t where)
{
    if (memcmp(got, expected, size) != 0)
        bench_die("what was written differs from the input at byte %llu or later", (unsigned long long)where);
}

static void verify_bytes(const job *j)
{
    char path[512];
    output_path(j, 0, path, sizeof path);
    bench_check_file(path, j->input, j->input_bytes, j->bytes);
}

static void verify_chunks(const job *j)
{
    shardio_shard_reader reader;
    shardio_index_layout layout;
    shardio_error error;
    char path[512];
    uint8_t *memory = (uint8_t *)malloc(j->chunk_bytes);
    if (memory == NULL) bench_die("no memory");
    memset(&layout, 0, sizeof layout);
    layout.chunks = j->bytes / j->chunk_bytes;
    output_path(j, 0, path, sizeof path);
    if (shardio_shard_open(&reader, path, &layout, NULL, &error) != SHARDIO_OK) bench_die_shardio(&error);
    for (uint64_t i = 0; i < layout.chunks; i++) {
        uint64_t size;
        if (shardio_shard_read(&reader, i, memory, j->chunk_bytes, &size, &error) != SHARDIO_OK)
            bench_die_shardio(&error);
        if (size != j->chunk_bytes) bench_die("chunk %llu has the wrong length", (unsigned long long)i);
        compare(memory, input_at(j, i * j->chunk_bytes), j->chunk_bytes, i * j->chunk_bytes);
    }
    shardio_shard_close(&reader);
    free(memory);
}

/* Reads a row of chunks at a time, so that no chunk is read twice. */
static void verify_frames(const job *j)
{
    uint64_t frame_bytes = 2 * j->frame[0] * j->frame[1], frames = j->bytes / frame_bytes;
    uint64_t start[3] = {0, 0, 0}, count[3] = {j->chunks[0], j->frame[0], j->frame[1]};
    uint8_t *memory = (uint8_t *)malloc(count[0] * frame_bytes);
    shardio_error error;
    shardio_array *array;
    char path[512];
    if (memory == NULL) bench_die("no memory");
    array_path(j, path, sizeof path);
    array = shardio_array_open(path, NULL, &error);
    for (; start[0] < frames; start[0] += count[0]) {
        if (frames - start[0] < count[0]) count[0] = frames - start[0];
        if (shardio_array_read(array, start, count, memory, count[0] * frame_bytes, &error) != SHARDIO_OK)
            bench_die_shardio(&error);
        for (uint64_t t = 0; t < count[0]; t++)
            compare(memory + t * frame_bytes, input_at(j, (start[0] + t) * frame_bytes), frame_bytes,
                    (start[0] + t) * frame_bytes);
    }
    shardio_array_close(array);
    free(memory);
}

/* Of the plain writer's frames the digest is compared, by the driver: it writes no zarr.json. */
static void verify(const job *j)
{
    if (j->work == BLOCKS || j->work == APPENDS) verify_bytes(j);
    else if (j->work == CHUNKS) verify_chunks(j);
    else if (j->writer != PLAIN) verify_frames(j);
}

static uint32_t digest_file(uint32_t crc, const char *path)
{
    static uint8_t memory[1 << 16];
    FILE *file = fopen(path, "rb");
    size_t n;
    if (file == NULL) bench_die_system("open", path);
    while ((n = fread(memory, 1, sizeof memory, file)) > 0) crc = shardio_crc32c(crc, memory, n);
    if (ferror(file)) bench_die_system("read", path);
    fclose(file);
    return crc;
}

/* ---- One run ---- */

static void run(job *j, result *r)
{
    if (j->work == BLOCKS) write_raw(j, r);
    else if (j->work == APPENDS) write_shardio_appends(j, r);
    else if (j->work == CHUNKS && j->writer == PLAIN) write_plain_chunks(j, r);
    else if (j->work == CHUNKS) write_shardio_chunks(j, r);
    else if (j->writer == PLAIN) write_plain_frames(j, r);
    else write_shardio_frames(j, r);
}

/* Input and times were touched before. */
static void measure(job *j, result *r)
{
    bench_meter meter = bench_meter_begin();
    run(j, r);
    r->cost = bench_meter_end(&meter);
}

static void inspect(const job *j, result *r)
{
    char path[512];
    for (uint64_t i = 0; i < r->files; i++) {
        struct stat facts;
        output_path(j, i, path, sizeof path);
        if (stat(path, &facts) != 0) bench_die_system("find", path);
        r->file_bytes += (uint64_t)facts.st_size;
        r->resident_pages += bench_resident_pages(path);
    }
    if (!j->verify) return;
    verify(j);
    for (uint64_t i = 0; i < r->files; i++) {
        output_path(j, i, path, sizeof path);
        r->digest = digest_file(r->digest, path);
    }
}

static void save_latencies(const job *j)
{
    FILE *file = fopen(j->latencies, "w");
    if (file == NULL) bench_die_system("create", j->latencies);
    for (size_t i = 0; i < j->calls; i++) fprintf(file, "%.1f\n", 1e6 * j->times[i]);
    if (fclose(file) != 0) bench_die_system("write", j->latencies);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Nearest rank, of sorted times, in microseconds. */
static double percentile(const job *j, double share)
{
    size_t rank = (size_t)(share * (double)j->calls);
    if (j->calls == 0) return 0;
    if (rank >= j->calls) rank = j->calls - 1;
    return 1e6 * j->times[rank];
}

static void print_line(job *j, const result *r)
{
    const shardio_accounting *a = &r->accounting;
    qsort(j->times, j->calls, sizeof *j->times, compare_doubles);
    printf("writer,work,bytes,durable,seconds,finish_seconds,user_seconds,system_seconds,files,file_bytes,"
           "resident_pages,peak_bytes,plan_bytes,direct,device_calls,device_bytes,copied_bytes,calls,"
           "p50_us,p99_us,p999_us,longest_us,digest,overlap,overlap_reason,seed,version,compiler\n");
    printf("%s,%s,%llu,%d,%.6f,%.6f,%.6f,%.6f,%llu,%llu,", writer_names[j->writer], work_names[j->work],
           (unsigned long long)j->bytes, (int)j->durable, r->cost.seconds, r->finish_seconds, r->cost.user,
           r->cost.system, (unsigned long long)r->files, (unsigned long long)r->file_bytes);
    printf("%llu,%llu,%llu,%d,%llu,%llu,%llu,%llu,", (unsigned long long)r->resident_pages,
           (unsigned long long)r->cost.peak_bytes, (unsigned long long)r->plan_bytes, (int)a->direct,
           (unsigned long long)a->device_calls, (unsigned long long)a->device_bytes,
           (unsigned long long)a->copied_bytes, (unsigned long long)j->calls);
    printf("%.1f,%.1f,%.1f,%.1f,%08x,%d,\"%s\",%llu,%s,\"%s\"\n", percentile(j, 0.5), percentile(j, 0.99),
           percentile(j, 0.999), percentile(j, 1), (unsigned)r->digest, (int)a->overlap,
           a->overlap_reason != NULL ? a->overlap_reason : "", (unsigned long long)j->seed, SHARDIO_VERSION_STRING,
           BENCH_COMPILER);
}

/* ---- The command line ---- */

static void parse_option(job *j, const char *name, const char *value)
{
    if (strcmp(name, "--writer") == 0) j->writer = (enum writer)bench_choose(value, writer_names, WRITERS);
    else if (strcmp(name, "--work") == 0) j->work = (enum work)bench_choose(value, work_names, WORKS);
    else if (strcmp(name, "--dir") == 0) j->dir = value;
    else if (strcmp(name, "--latencies") == 0) j->latencies = value;
    else if (strcmp(name, "--bytes") == 0) j->bytes = bench_parse_bytes(value);
    else if (strcmp(name, "--input") == 0) j->input_bytes = bench_parse_bytes(value);
    else if (strcmp(name, "--block") == 0) j->block = bench_parse_bytes(value);
    else if (strcmp(name, "--chunk") == 0) j->chunk_bytes = bench_parse_bytes(value);
    else if (strcmp(name, "--buffer") == 0) j->buffer = (size_t)bench_parse_bytes(value);
    else if (strcmp(name, "--memory") == 0) j->memory = (size_t)bench_parse_bytes(value);
    else if (strcmp(name, "--bits") == 0) j->bits = (unsigned)bench_parse_bytes(value);
    else if (strcmp(name, "--overlap") == 0) j->overlap = *value != '0' ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
    else if (strcmp(name, "--in-flight") == 0) j->in_flight = (uint32_t)bench_parse_bytes(value);
    else if (strcmp(name, "--codec") == 0) j->codec = (enum codec)bench_choose(value, codec_names, CODECS);
    else if (strcmp(name, "--seed") == 0) j->seed = bench_parse_bytes(value);
    else if (strcmp(name, "--durable") == 0) j->durable = *value != '0';
    else if (strcmp(name, "--verify") == 0) j->verify = *value != '0';
    else if (strcmp(name, "--frame") == 0) bench_parse_numbers(value, j->frame, 2);
    else if (strcmp(name, "--chunks") == 0) bench_parse_numbers(value, j->chunks, 3);
    else if (strcmp(name, "--shards") == 0) bench_parse_numbers(value, j->shards, 3);
    else bench_die("unknown option %s", name);
}

static job defaults(void)
{
    job j;
    memset(&j, 0, sizeof j);
    j.bytes = j.input_bytes = (uint64_t)512 << 20;
    j.block = 8 << 20;
    j.chunk_bytes = 2 << 20;
    j.seed = 1;
    bench_parse_numbers("1024,1024", j.frame, 2);
    bench_parse_numbers("16,256,256", j.chunks, 3);
    bench_parse_numbers("64,1024,1024", j.shards, 3);
    return j;
}

static void check_frames(const job *j)
{
    for (int d = 0; d < 2; d++)
        if (j->frame[d] % j->chunks[d + 1] != 0 || j->shards[d + 1] != j->frame[d])
            bench_die("a frame has to be whole chunks, and one shard wide");
    if (j->shards[0] % j->chunks[0] != 0) bench_die("a shard has to be whole chunks");
}

/* One call takes `unit` bytes; the work is cut to whole units so that the input can be gone round. */
static void prepare(job *j)
{
    uint64_t unit = j->work == BLOCKS ? j->block : j->chunk_bytes;
    if (j->dir == NULL) bench_die("--dir is missing");
    if ((j->work == BLOCKS) != (j->writer == RAW_DIRECT || j->writer == RAW_BUFFERED))
        bench_die("raw writers write blocks, and nobody else does");
    if (j->writer == PLAIN && j->work == APPENDS) bench_die("appending is what the raw writers do");
    if (j->bits >= 16) bench_die("numbers have 16 bits");
    if (j->work == FRAMES) {
        check_frames(j);
        unit = 2 * j->frame[0] * j->frame[1];
        /* by hand whole shards only */
        if (j->bytes / unit % j->shards[0] != 0) bench_die("the frames have to fill whole shards");
    }
    if (unit == 0 || j->bytes < unit || j->input_bytes < unit) bench_die("not even one unit of work");
    if (j->input_bytes > j->bytes) j->input_bytes = j->bytes;
    j->bytes -= j->bytes % unit;
    j->input_bytes -= j->input_bytes % unit;
    j->input = bench_input((size_t)j->input_bytes, j->seed);
    if (j->bits > 0) bench_dim(j->input, (size_t)j->input_bytes, j->bits);
    j->times = (double *)bench_input((size_t)(j->bytes / unit) * sizeof *j->times, 0);
}

int main(int argc, char **argv)
{
    job j = defaults();
    result r;
    memset(&r, 0, sizeof r);
    for (int i = 1; i < argc; i += 2) parse_option(&j, argv[i], bench_value(argv + i));
    prepare(&j);
    measure(&j, &r);
    inspect(&j, &r);
    if (j.latencies != NULL) save_latencies(&j);
    print_line(&j, &r);
    free(j.times);
    free(j.input);
    return 0;
}
