/* What writers are held against whose writes are under way while they go on; prints a CSV header and a line.
   bench/overlap.py runs it and the other programs, each once a round, and compares.

       bench_overlap --work W --dir D [options]

   W  facts      whether the system gives a queue (io_uring), why not, and whether zstd is compiled in
      write      ready memory in pieces of --block bytes past the page cache, --in-flight at once, to one file. 1:
                 pwrite, one after the other. More: bare calls of io_uring, the size of the file set ahead.
                 --large-pages 1: memory in large pages
      compress   uint16 frames of --frame Y,X, sorted into --chunks beforehand: ZSTD_compressCCtx at level 3 of one
                 chunk after the other, with one context. --in-flight 0: nothing is written. Otherwise what comes out is
                 written as above, as soon as there is a piece of it

   Input, clock and --verify are those of bench_write. No index, no names of chunks: only what cannot be left out. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"
#include "queue.h"

enum work { FACTS, WRITE, COMPRESS, WORKS };
static const char *const work_names[] = {"facts", "write", "compress"};
enum { BLOCK = 4096, LEVEL = 3 };        /* BLOCK: bytes of which unbuffered writes are a multiple */

typedef struct job {
    enum work work;
    const char *dir;
    uint64_t bytes, block, seed, input_bytes;
    uint64_t frame[2], chunks[3];
    unsigned in_flight, bits;
    bool large_pages, verify;
    uint8_t *input;
    uint8_t *output;                     /* compress: as much as the input, and a piece more */
    uint64_t output_bytes;
    char path[512];
} job;

/* ---- The file ---- */

typedef struct target {
    int fd;
    uint64_t end;                        /* of what was sent */
    bool queued;
    bench_queue queue;
} target;

static void target_begin(const job *j, target *t)
{
    memset(t, 0, sizeof *t);
    t->queued = j->in_flight > 1;
    t->fd = bench_create(j->path, O_DIRECT);
    if (!t->queued) return;
    bench_queue_begin(&t->queue, j->in_flight);
    /* writes that extend a file wait for each other */
    if (ftruncate(t->fd, (off_t)j->bytes) != 0) bench_die_system("set the size of", j->path);
}

static void target_send(target *t, const uint8_t *data, size_t size)
{
    if (t->queued) bench_queue_send(&t->queue, true, t->fd, data, size, t->end);
    else if (pwrite(t->fd, data, size, (off_t)t->end) != (ssize_t)size) bench_die_system("write", "a whole piece");
    t->end += size;
}

static void target_finish(const job *j, target *t, uint64_t size)
{
    if (t->queued) bench_queue_end(&t->queue);
    if (ftruncate(t->fd, (off_t)size) != 0) bench_die_system("cut", j->path);
    bench_close(t->fd, true);
    bench_sync_directory(j->dir);
}

/* ---- Works ---- */

static void write_ready(job *j)
{
    target t;
    target_begin(j, &t);
    for (uint64_t at = 0; at < j->bytes; at += j->block) target_send(&t, j->input + at % j->input_bytes, j->block);
    target_finish(j, &t, j->bytes);
}

/* Puts the input's chunks one behind the other. */
static void sort_into_chunks(job *j)
{
    const uint64_t frame_bytes = 2 * j->frame[0] * j->frame[1];
    uint8_t *sorted = bench_input((size_t)j->bytes, 0);
    for (uint64_t t = 0; t < j->bytes / frame_bytes; t++) {
        uint64_t within = t % j->chunks[0];
        bench_gather(j->frame, j->chunks, sorted + (t - within) * frame_bytes, j->input + t * frame_bytes, within);
    }
    free(j->input);
    j->input = sorted;
}

#if SHARDIO_WITH_ZSTD
static void compress_chunks(job *j)
{
    const uint64_t chunk = 2 * j->chunks[0] * j->chunks[1] * j->chunks[2], room = j->bytes + j->block;
    const bool writes = j->in_flight > 0;
    ZSTD_CCtx *context = ZSTD_createCCtx();
    uint64_t size = 0, rest;
    target t;
    memset(&t, 0, sizeof t);
    if (context == NULL) bench_die("no memory");
    if (writes) target_begin(j, &t);
    for (uint64_t at = 0; at < j->bytes; at += chunk) {
        uint8_t *to = j->output + (writes ? size : 0);
        size_t n = ZSTD_compressCCtx(context, to, (size_t)(room - (uint64_t)(to - j->output)), j->input + at,
                                     (size_t)chunk, LEVEL);
        if (ZSTD_isError(n)) bench_die("zstd: %s", ZSTD_getErrorName(n));
        size += n;
        while (writes && size - t.end >= j->block) target_send(&t, j->output + t.end, (size_t)j->block);
    }
    j->output_bytes = size;
    rest = (size - t.end + BLOCK - 1) / BLOCK * BLOCK;
    if (writes && rest > 0) target_send(&t, j->output + t.end, (size_t)rest);
    if (writes) target_finish(j, &t, size);
    ZSTD_freeCCtx(context);
}
#else
static void compress_chunks(const job *j)
{
    (void)j;
    bench_die("this build lacks zstd");
}
#endif

/* ---- One run ---- */

static void print_facts(void)
{
    bench_queue queue;
    const int code = bench_queue_try(&queue, 8);
    printf("queue,reason,zstd,version,compiler\n");
    printf("%d,\"%s\",%d,%s,\"%s\"\n", (int)(code == 0), code == 0 ? "" : strerror(code), (int)SHARDIO_WITH_ZSTD,
           SHARDIO_VERSION_STRING, BENCH_COMPILER);
    if (code == 0) bench_queue_end(&queue);
}

static void prepare(job *j)
{
    const uint64_t frame_bytes = 2 * j->frame[0] * j->frame[1];
    const uint64_t unit = j->work == WRITE ? j->block : j->chunks[0] * frame_bytes;
    if (j->dir == NULL || snprintf(j->path, sizeof j->path, "%s/out", j->dir) >= (int)sizeof j->path)
        bench_die("--dir is missing or too long");
    if (j->work == WRITE && j->in_flight == 0) bench_die("at least one write at a time");
    if (j->input_bytes > j->bytes || j->work == COMPRESS) j->input_bytes = j->bytes;
    if (j->block == 0 || j->block % BLOCK != 0) bench_die("a piece has to be whole blocks");
    if (j->input_bytes == 0 || j->input_bytes % unit != 0 || j->bytes % unit != 0)
        bench_die("bytes have to be whole pieces, or rows of chunks");
    if (j->frame[0] % j->chunks[1] != 0 || j->frame[1] % j->chunks[2] != 0) bench_die("a frame has to be whole chunks");
    j->input = bench_input_in((size_t)j->input_bytes, j->seed, j->large_pages);
    if (j->bits > 0) bench_dim(j->input, (size_t)j->input_bytes, j->bits);
    if (j->work != COMPRESS) return;
    sort_into_chunks(j);
    j->output = bench_input((size_t)(j->bytes + j->block), 0);
}

static void measure(job *j)
{
    bench_meter meter = bench_meter_begin();
    if (j->work == WRITE) write_ready(j);
    else compress_chunks(j);
    bench_cost cost = bench_meter_end(&meter);
    if (j->verify && j->work == WRITE) bench_check_file(j->path, j->input, j->input_bytes, j->bytes);
    if (j->verify && j->work == COMPRESS && j->in_flight > 0)
        bench_check_file(j->path, j->output, j->output_bytes, j->output_bytes);
    printf("work,bytes,block,in_flight,large_pages,seconds,user_seconds,system_seconds,peak_bytes,file_bytes,seed,"
           "version,compiler\n");
    printf("%s,%llu,%llu,%u,%d,%.6f,%.6f,%.6f,%llu,%llu,%llu,%s,\"%s\"\n", work_names[j->work],
           (unsigned long long)j->bytes, (unsigned long long)j->block, j->in_flight, (int)j->large_pages, cost.seconds,
           cost.user, cost.system, (unsigned long long)cost.peak_bytes,
           (unsigned long long)(j->work == WRITE ? j->bytes : j->output_bytes), (unsigned long long)j->seed,
           SHARDIO_VERSION_STRING, BENCH_COMPILER);
}

/* ---- The command line ---- */

static void parse_option(job *j, const char *name, const char *value)
{
    if (strcmp(name, "--work") == 0) j->work = (enum work)bench_choose(value, work_names, WORKS);
    else if (strcmp(name, "--dir") == 0) j->dir = value;
    else if (strcmp(name, "--bytes") == 0) j->bytes = bench_parse_bytes(value);
    else if (strcmp(name, "--input") == 0) j->input_bytes = bench_parse_bytes(value);
    else if (strcmp(name, "--block") == 0) j->block = bench_parse_bytes(value);
    else if (strcmp(name, "--in-flight") == 0) j->in_flight = (unsigned)bench_parse_bytes(value);
    else if (strcmp(name, "--bits") == 0) j->bits = (unsigned)bench_parse_bytes(value);
    else if (strcmp(name, "--seed") == 0) j->seed = bench_parse_bytes(value);
    else if (strcmp(name, "--large-pages") == 0) j->large_pages = *value != '0';
    else if (strcmp(name, "--verify") == 0) j->verify = *value != '0';
    else if (strcmp(name, "--frame") == 0) bench_parse_numbers(value, j->frame, 2);
    else if (strcmp(name, "--chunks") == 0) bench_parse_numbers(value, j->chunks, 3);
    else bench_die("unknown option %s", name);
}

static job defaults(void)
{
    job j;
    memset(&j, 0, sizeof j);
    j.bytes = j.input_bytes = (uint64_t)512 << 20;
    j.block = 1 << 20;
    j.in_flight = 8;
    j.seed = 1;
    bench_parse_numbers("1024,1024", j.frame, 2);
    bench_parse_numbers("16,256,256", j.chunks, 3);
    return j;
}

int main(int argc, char **argv)
{
    job j = defaults();
    for (int i = 1; i < argc; i += 2) parse_option(&j, argv[i], bench_value(argv + i));
    if (j.work == FACTS) {
        print_facts();
        return 0;
    }
    prepare(&j);
    measure(&j);
    free(j.output);
    free(j.input);
    return 0;
}
