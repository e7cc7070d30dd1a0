/* A mirror beside plain preads and pwrites of the same blocks; prints a CSV header and a line per step. bench/run.py
   runs it, one contender a process, and compares.

       bench_mirror --work W --dir D [options]

   W  prepare   writes the file --source, --bytes of it
      passes    reads all blocks of 64 KiB of --source, each once and in scattered order, one call each. Steps: open;
                first, nothing is in the local file D/local; second, the same again; close
      map       a mirror of a sparse --source of --bytes, fully fragmented: every second chunk is there. Steps: open;
                mark; save; reopen; read, --count chunks in any order, half of which are fetched; about; evict, down to
                half; close

   Contenders of passes. raw: pread of the block from the source and pwrite to the local file, then pread from that;
   raw-durable: the same, with fdatasync after each 256 MiB and at the end; shardio: a mirror without read-ahead, which
   saves its map after each 256 MiB, and first makes durable what was fetched; shardio-at-close: that saves it at the
   end only. Blocks are read into one piece of memory, as by a program that uses one after the other. The source is in
   the page cache, and what was written to the local file stays there. When the clock has stopped the local file is
   compared with the source; with --check 1 each block is when it is read, so that the times do not count.

   The chunks of a fragmented map are marked, not fetched, for they would be 512 GiB: holes of the local file read as
   the holes of the source do. Reads and writes are system calls as the system counts them. peak_bytes: growth of the
   highest resident size; held_bytes: the most that the mirror had of its allocator at one time. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"

enum work { PREPARE, PASSES, MAP, WORKS };
static const char *const work_names[] = {"prepare", "passes", "map"};
enum contender { RAW, RAW_DURABLE, SHARDIO, SHARDIO_AT_CLOSE, CONTENDERS };
static const char *const contender_names[] = {"raw", "raw-durable", "shardio", "shardio-at-close"};
enum { BLOCK = 65536, PIECE = 1 << 20, DURABLE_EVERY = 256 << 20 };

typedef struct held {
    size_t now, most;                    /* bytes */
} held;

typedef struct job {
    enum work work;
    enum contender contender;
    const char *dir, *source_path;
    uint64_t bytes, count, seed;
    bool check;
    char path[300], map_path[320];       /* of the local file, of its map */
    uint64_t *order, blocks;             /* the blocks that are read */
    uint8_t *block, *expected;
    int source, local;
    uint64_t unsynced;
    shardio_mirror *mirror;
    held held;
    shardio_allocator allocator;
    uint64_t peak;                       /* before the first step, bytes */
} job;

/* ---- What is measured ---- */

/* The highest resident size of this program. What getrusage says includes that of the program which started it. */
static uint64_t peak_bytes(void)
{
    char line[200];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "VmHWM: %llu", &kib) != 1) {}
    fclose(file);
    return (uint64_t)kib * 1024;
}

static void *allocate(void *context, size_t size, size_t alignment)
{
    held *h = (held *)context;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment < sizeof memory ? sizeof memory : alignment, size) != 0) return NULL;
    h->now += size;
    if (h->now > h->most) h->most = h->now;
    return memory;
}

static void release(void *context, void *memory, size_t size, size_t alignment)
{
    (void)alignment;
    if (memory != NULL) ((held *)context)->now -= size;
    free(memory);
}

typedef struct step {
    const char *name;
    double begin, cpu;
    uint64_t reads, writes, own_reads;   /* own: what asking for the numbers costs */
} step;

static step begin_step(const char *name)
{
    step s;
    uint64_t first, ignored;
    s.name = name;
    bench_calls(&first, &ignored);
    bench_calls(&s.reads, &s.writes);
    s.own_reads = s.reads - first;
    s.cpu = bench_cpu_now();
    s.begin = bench_now();
    return s;
}

static void end_step(const job *j, const step *s, uint64_t bytes)
{
    double seconds = bench_now() - s->begin, cpu = bench_cpu_now() - s->cpu;
    uint64_t reads, writes;
    struct stat local, map;
    bench_calls(&reads, &writes);
    if (stat(j->path, &local) != 0) bench_die_system("look at", j->path);
    if (stat(j->map_path, &map) != 0) map.st_size = 0;
    printf("%s,%s,%llu,%.6f,%.6f,%llu,%llu,", contender_names[j->contender], s->name, (unsigned long long)bytes,
           seconds, cpu, (unsigned long long)(reads - s->reads - s->own_reads),
           (unsigned long long)(writes - s->writes));
    printf("%llu,%llu,%llu,%llu,%s,\"%s\"\n", (unsigned long long)local.st_blocks * 512,
           (unsigned long long)map.st_size, (unsigned long long)(peak_bytes() - j->peak),
           (unsigned long long)j->held.most, SHARDIO_VERSION_STRING, BENCH_COMPILER);
}

/* ---- The blocks ---- */

static void prepare(const job *j)
{
    uint8_t *input = bench_input((size_t)j->bytes, j->seed);
    int fd = bench_create(j->source_path, 0);
    bench_write(fd, input, (size_t)j->bytes);
    bench_close(fd, true);
    free(input);
}

/* Numbers below `of`, the first `count` of them in an order without pattern. */
static void scatter(job *j, uint64_t of, uint64_t count)
{
    uint64_t state = j->seed;
    j->blocks = count;
    j->order = (uint64_t *)malloc((size_t)count * sizeof *j->order);
    if (j->order == NULL) bench_die("no memory");
    for (uint64_t i = 0; i < count; i++) j->order[i] = of == count ? i : bench_random(&state) % of;
    for (uint64_t i = count - 1; i > 0; i--) {
        uint64_t other = bench_random(&state) % (i + 1), number = j->order[other];
        j->order[other] = j->order[i];
        j->order[i] = number;
    }
}

static int open_for(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0666);
    if (fd < 0) bench_die_system("open", path);
    return fd;
}

static void check_block(const job *j, uint64_t offset)
{
    bench_read_fully(j->source, j->expected, BLOCK, offset);
    if (memcmp(j->block, j->expected, BLOCK) != 0) bench_die("what was read is not what the source has");
}

/* Also brings the source into the page cache, before the clock runs. */
static void read_source(const job *j)
{
    for (uint64_t at = 0; at < j->bytes; at += BLOCK) bench_read_fully(j->source, j->block, BLOCK, at);
}

static void compare_local(const job *j)
{
    int local = open_for(j->path, O_RDONLY);
    for (uint64_t at = 0; at < j->bytes; at += BLOCK) {
        bench_read_fully(local, j->block, BLOCK, at);
        check_block(j, at);
    }
    close(local);
}

/* ---- Plain files ---- */

static void open_raw(job *j)
{
    j->local = open_for(j->path, O_RDWR | O_CREAT | O_EXCL);
    if (ftruncate(j->local, (off_t)j->bytes) != 0) bench_die_system("resize", j->path);
}

static void sync_raw(job *j)
{
    if (j->contender == RAW_DURABLE && fdatasync(j->local) != 0) bench_die_system("sync", j->path);
    j->unsynced = 0;
}

static void fetch_raw(job *j, uint64_t offset)
{
    bench_read_fully(j->source, j->block, BLOCK, offset);
    for (size_t done = 0; done < BLOCK;) {
        ssize_t n = pwrite(j->local, j->block + done, BLOCK - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) bench_die_system("write", j->path);
        done += (size_t)n;
    }
    j->unsynced += BLOCK;
    if (j->unsynced >= DURABLE_EVERY) sync_raw(j);
}

static void read_raw(job *j, uint64_t offset)
{
    bench_read_fully(j->local, j->block, BLOCK, offset);
}

static void close_raw(job *j)
{
    sync_raw(j);
    close(j->local);
}

/* ---- shardio.h ---- */

static void open_ours(job *j)
{
    shardio_mirror_options o;
    shardio_source source;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.chunk = BLOCK;
    o.read_ahead = SHARDIO_NO_OFFSET;
    o.save_every = j->contender == SHARDIO_AT_CLOSE ? SHARDIO_NO_OFFSET : DURABLE_EVERY;
    o.allocator = &j->allocator;
    if (shardio_source_open(&source, j->source_path, &j->allocator, &error) != SHARDIO_OK) bench_die_shardio(&error);
    j->mirror = shardio_mirror_open(&source, j->path, &o, &error);
    if (j->mirror == NULL) bench_die_shardio(&error);
}

static void read_ours(job *j, uint64_t offset)
{
    shardio_error error;
    size_t done;
    if (shardio_mirror_read(j->mirror, offset, j->block, BLOCK, &done, &error) != SHARDIO_OK) bench_die_shardio(&error);
    if (done != BLOCK) bench_die("the mirror ends early");
}

static void close_ours(job *j)
{
    shardio_error error;
    if (shardio_mirror_close(j->mirror, &error) != SHARDIO_OK) bench_die_shardio(&error);
}

/* ---- Both passes ---- */

static void pass(job *j, const char *name, void (*read_block)(job *j, uint64_t offset))
{
    step s = begin_step(name);
    for (uint64_t i = 0; i < j->blocks; i++) {
        read_block(j, j->order[i] * BLOCK);
        if (j->check) check_block(j, j->order[i] * BLOCK);
    }
    end_step(j, &s, j->blocks * BLOCK);
}

static void single(job *j, const char *name, void (*go)(job *j))
{
    step s = begin_step(name);
    go(j);
    end_step(j, &s, 0);
}

static void run_passes(job *j)
{
    bool raw = j->contender == RAW || j->contender == RAW_DURABLE;
    scatter(j, j->bytes / BLOCK, j->bytes / BLOCK);
    read_source(j);
    j->peak = peak_bytes();
    single(j, "open", raw ? open_raw : open_ours);
    pass(j, "first", raw ? fetch_raw : read_ours);
    pass(j, "second", raw ? read_raw : read_ours);
    single(j, "close", raw ? close_raw : close_ours);
    compare_local(j);
}

/* ---- A fragmented map ---- */

static void mark(job *j)
{
    for (uint64_t chunk = 0; chunk < j->mirror->chunks; chunk += 2) shardio_p_set_chunk(j->mirror, chunk, true);
}

static void save(job *j)
{
    shardio_error error;
    if (shardio_mirror_save(j->mirror, &error) != SHARDIO_OK) bench_die_shardio(&error);
}

static void about(job *j)
{
    shardio_mirror_facts facts = shardio_mirror_about(j->mirror);
    uint64_t marked = (j->mirror->chunks + 1) / 2;
    if (facts.covered < marked * BLOCK || facts.extents < marked - j->count || facts.map_was_damaged)
        bench_die("the map has lost chunks");
}

static void evict(job *j)
{
    shardio_error error;
    if (shardio_mirror_evict_to(j->mirror, j->bytes / 4, &error) != SHARDIO_OK) bench_die_shardio(&error);
}

static void run_map(job *j)
{
    j->contender = SHARDIO;
    scatter(j, j->bytes / BLOCK, j->count);
    j->check = true;
    j->peak = peak_bytes();
    single(j, "open", open_ours);
    single(j, "mark", mark);
    single(j, "save", save);
    close_ours(j);
    single(j, "reopen", open_ours);
    pass(j, "read", read_ours);
    single(j, "about", about);
    single(j, "evict", evict);
    single(j, "close", close_ours);
}

static void make_sparse_source(const job *j)
{
    int fd = bench_create(j->source_path, 0);
    if (ftruncate(fd, (off_t)j->bytes) != 0) bench_die_system("resize", j->source_path);
    bench_close(fd, false);
}

/* ---- The command line ---- */

static void parse_option(job *j, const char *name, const char *value)
{
    if (strcmp(name, "--work") == 0) j->work = (enum work)bench_choose(value, work_names, WORKS);
    else if (strcmp(name, "--contender") == 0)
        j->contender = (enum contender)bench_choose(value, contender_names, CONTENDERS);
    else if (strcmp(name, "--dir") == 0) j->dir = value;
    else if (strcmp(name, "--source") == 0) j->source_path = value;
    else if (strcmp(name, "--bytes") == 0) j->bytes = bench_parse_bytes(value);
    else if (strcmp(name, "--count") == 0) j->count = bench_parse_bytes(value);
    else if (strcmp(name, "--seed") == 0) j->seed = bench_parse_bytes(value);
    else if (strcmp(name, "--check") == 0) j->check = *value != '0';
    else bench_die("unknown option %s", name);
}

static job defaults(void)
{
    job j;
    memset(&j, 0, sizeof j);
    j.contender = SHARDIO;
    j.bytes = 512 << 20;
    j.count = 4000;
    j.seed = 1;
    return j;
}

static void plan(job *j)
{
    if (j->dir == NULL || j->source_path == NULL) bench_die("--dir and --source are needed");
    if (j->bytes == 0 || j->bytes % BLOCK != 0 || j->count == 0) bench_die("whole blocks are needed, and not none");
    if (snprintf(j->path, sizeof j->path, "%s/local", j->dir) >= (int)sizeof j->path) bench_die("the path is too long");
    snprintf(j->map_path, sizeof j->map_path, "%s.shardio-map", j->path);
    j->allocator.context = &j->held;
    j->allocator.allocate = allocate;
    j->allocator.release = release;
    j->block = bench_input(BLOCK, 0);
    j->expected = bench_input(BLOCK, 0);
}

static void run(job *j)
{
    if (j->work == MAP) make_sparse_source(j);
    j->source = open_for(j->source_path, O_RDONLY);
    printf("contender,step,bytes,seconds,cpu_seconds,reads,writes,allocated_bytes,map_bytes,peak_bytes,held_bytes,"
           "version,compiler\n");
    if (j->work == MAP) run_map(j);
    else run_passes(j);
    close(j->source);
}

int main(int argc, char **argv)
{
    job j = defaults();
    for (int i = 1; i < argc; i += 2) parse_option(&j, argv[i], bench_value(argv + i));
    plan(&j);
    if (j.work == PREPARE) prepare(&j);
    else run(&j);
    free(j.order);
    free(j.block);
    free(j.expected);
    return 0;
}
