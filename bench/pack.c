/* Writes and reads packfiles in turns with plain writes and reads of the same bytes; prints a CSV header and a line per
   contender and round. bench/run.py runs it and compares.

       bench_pack --work W --dir D [options]

   W  prepare   writes what the others read: D/P.pack, --items items of 200 to 400 bytes, --items-per-record to a
                record, --codec none or zstd
      write     all items, until they are on stable storage
      hash      SHA-256 alone, GB/s of CPU time
      random    --count items in any order, one call each
      scan      all items
      open      opening and closing
   P  --pack: a name

   Contenders. write: raw-direct, O_DIRECT writes of 8 MiB of the items as they lie in memory; shardio; shardio-hash,
   with the content hash; sha256, the hash of all items in one piece, and nothing written; with --in-flight N also
   shardio-overlap, with N writes under way meanwhile. hash: cpu, plain. random:
   raw-buffered, one pread of the whole record; shardio-unseen, which keeps no lengths of items (size_cache 1); shardio.
   scan: raw-buffered, preads of 1 MiB; shardio. open: raw-buffered, open and one pread of the last 256 KiB; shardio.
   --cold 1: before each one the file is dropped from the page cache, and mincore says that it is gone; --cold 0: it is
   in it. Contenders take turns in one process, the first one changing with the round. Before each writer files are
   removed, the system is told to sync and given --settle ms. A round before the first one is not counted, but what was
   written and read is compared with the items. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"

enum work { PREPARE, WRITE, HASH, RANDOM, SCAN, OPEN, WORKS };
static const char *const work_names[] = {"prepare", "write", "hash", "random", "scan", "open"};
enum codec { NONE, ZSTD, CODECS };
static const char *const codec_names[] = {"none", "zstd"};
enum { WRITE_PIECE = 8 << 20, READ_PIECE = 1 << 20, TAIL = 256 << 10, HASH_BYTES = 64 << 20, BLOCK = 4096 };

typedef struct stored {
    uint64_t offset, size;
} stored;

typedef struct job {
    enum work work;
    const char *dir, *pack;
    uint64_t items, seed, count, rounds, settle, items_per_record;
    enum codec codec;
    bool cold, checking;
    uint32_t in_flight;                  /* 0: no contender writes like that */
    char path[512];
    uint8_t *input;
    uint64_t *begin;                     /* of each item in the input; one more: where they end */
    uint64_t *wanted;                    /* items of `random`, */
    stored *records;                     /* and where their records lie */
    shardio_pack_reader reader, unseen;  /* the second one keeps no lengths */
    int fd;
    uint8_t *memory;
    size_t memory_bytes;
} job;

typedef struct result {
    double seconds, cpu_seconds;
    uint64_t bytes, items, reads, read_bytes;   /* of items, handed over; calls, bytes of them */
    bool overlap;                               /* writes were under way meanwhile */
} result;

/* ---- The items ---- */

static uint64_t item_bytes(const job *j)
{
    return j->begin[j->items];
}

/* Half of each byte is zero, so that a codec has something to do. */
static void make_items(job *j)
{
    uint64_t state = j->seed;
    j->begin = (uint64_t *)malloc((j->items + 1) * sizeof *j->begin);
    if (j->begin == NULL) bench_die("no memory");
    j->begin[0] = 0;
    for (uint64_t i = 0; i < j->items; i++) j->begin[i + 1] = j->begin[i] + 200 + bench_random(&state) % 201;
    j->input = bench_input((size_t)item_bytes(j), j->seed);
    for (uint64_t i = 0; i < item_bytes(j); i++) j->input[i] &= 0x0f;
}

static void check_item(const job *j, uint64_t item, const uint8_t *data, size_t size)
{
    if (size != j->begin[item + 1] - j->begin[item] || memcmp(data, j->input + j->begin[item], size) != 0)
        bench_die("item %llu is not what was written", (unsigned long long)item);
}

/* ---- Writers ---- */

/* Whether writes were under way meanwhile. */
static bool write_pack(const job *j, bool content_hash, shardio_overlap overlap)
{
    shardio_pack_options options;
    shardio_slot_options slot;
    shardio_pack_writer writer;
    shardio_error error;
    memset(&options, 0, sizeof options);
    memset(&slot, 0, sizeof slot);
    options.items_per_record = (uint32_t)j->items_per_record;
    options.codec = j->codec == ZSTD ? bench_zstd() : NULL;
    options.content_hash = content_hash;
    slot.direct = SHARDIO_DIRECT_ON;
    slot.overlap = overlap;
    slot.in_flight = j->in_flight;
    /* create and append may fail: the error sticks, and finish gives it */
    shardio_pack_create(&writer, j->path, &options, &slot);
    for (uint64_t i = 0; i < j->items; i++)
        shardio_pack_append(&writer, j->input + j->begin[i], (size_t)(j->begin[i + 1] - j->begin[i]));
    const bool overlapped = shardio_pack_accounting(&writer).overlap;
    if (shardio_pack_finish(&writer, NULL, 0, &error) != SHARDIO_OK) bench_die_shardio(&error);
    return overlapped;
}

static void all_items(const job *j, result *r)
{
    r->bytes = item_bytes(j);
    r->items = j->items;
}

/* The last piece goes on to a whole block. */
static void raw_write(job *j, result *r)
{
    uint64_t end = (item_bytes(j) + BLOCK - 1) / BLOCK * BLOCK;
    int fd = bench_create(j->path, O_DIRECT);
    for (uint64_t offset = 0; offset < end; offset += WRITE_PIECE)
        bench_write(fd, j->input + offset, (size_t)(end - offset < WRITE_PIECE ? end - offset : WRITE_PIECE));
    bench_close(fd, true);
    bench_sync_directory(j->dir);
    all_items(j, r);
}

static void shardio_write(job *j, result *r)
{
    write_pack(j, false, SHARDIO_OVERLAP_OFF);
    all_items(j, r);
}

static void shardio_write_overlapping(job *j, result *r)
{
    r->overlap = write_pack(j, false, SHARDIO_OVERLAP_ON);
    all_items(j, r);
}

static void shardio_write_hash(job *j, result *r)
{
    write_pack(j, true, SHARDIO_OVERLAP_OFF);
    all_items(j, r);
}

/* ---- SHA-256 ---- */

/* The digest goes to the job's memory, so that it cannot be left out. */
static void hash_bytes(job *j, uint64_t size, bool plain, result *r)
{
    shardio_sha256 hash;
    shardio_sha256_begin(&hash);
    if (plain) hash.hardware = false;
    shardio_sha256_add(&hash, j->input, (size_t)size);
    shardio_sha256_end(&hash, j->memory);
    r->bytes = size;
}

static void hash_items(job *j, result *r)
{
    hash_bytes(j, item_bytes(j), false, r);
}

static uint64_t hashed_alone(const job *j)
{
    return item_bytes(j) < HASH_BYTES ? item_bytes(j) : HASH_BYTES;
}

static void hash_cpu(job *j, result *r)
{
    hash_bytes(j, hashed_alone(j), false, r);
}

static void hash_plain(job *j, result *r)
{
    hash_bytes(j, hashed_alone(j), true, r);
}

/* ---- Plain reads of the same bytes ---- */

static void raw_read(job *j, int fd, size_t size, uint64_t offset, result *r)
{
    r->reads += bench_read_fully(fd, j->memory, size, offset);
    r->read_bytes += size;
}

static void raw_random(job *j, result *r)
{
    for (uint64_t i = 0; i < j->count; i++) raw_read(j, j->fd, (size_t)j->records[i].size, j->records[i].offset, r);
    r->items = j->count;
}

static void raw_scan(job *j, result *r)
{
    uint64_t end = j->reader.facts.index_offset;
    for (uint64_t offset = 0; offset < end; offset += READ_PIECE)
        raw_read(j, j->fd, (size_t)(end - offset < READ_PIECE ? end - offset : READ_PIECE), offset, r);
    all_items(j, r);
}

static void raw_open(job *j, result *r)
{
    struct stat facts;
    int fd = open(j->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0) bench_die_system("open", j->path);
    uint64_t size = (uint64_t)facts.st_size < TAIL ? (uint64_t)facts.st_size : TAIL;
    raw_read(j, fd, (size_t)size, (uint64_t)facts.st_size - size, r);
    close(fd);
}

/* ---- shardio.h ---- */

static void open_pack(const job *j, shardio_pack_reader *reader, size_t size_cache)
{
    shardio_pack_reading options;
    shardio_error error;
    memset(&options, 0, sizeof options);
    options.codec = j->codec == ZSTD ? bench_zstd() : NULL;
    options.size_cache = size_cache;
    if (shardio_pack_open(reader, j->path, &options, &error) != SHARDIO_OK) bench_die_shardio(&error);
}

static void read_random(job *j, shardio_pack_reader *reader, result *r)
{
    uint64_t reads = reader->own.reads, read_bytes = reader->own.read_bytes;
    shardio_error error;
    const uint8_t *data;
    size_t size;
    for (uint64_t i = 0; i < j->count; i++) {
        if (shardio_pack_item(reader, NULL, j->wanted[i], &data, &size, &error) != SHARDIO_OK)
            bench_die_shardio(&error);
        if (j->checking) check_item(j, j->wanted[i], data, size);
        r->bytes += size;
    }
    r->items = j->count;
    r->reads = reader->own.reads - reads;
    r->read_bytes = reader->own.read_bytes - read_bytes;
}

static void shardio_random(job *j, result *r)
{
    read_random(j, &j->reader, r);
}

static void shardio_random_unseen(job *j, result *r)
{
    read_random(j, &j->unseen, r);
}

typedef struct taking {
    const job *j;
    result *r;
} taking;

static shardio_status take(void *context, uint64_t item, const uint8_t *data, size_t size, shardio_error *error)
{
    taking *t = (taking *)context;
    (void)error;
    if (t->j->checking) check_item(t->j, item, data, size);
    t->r->bytes += size;
    t->r->items++;
    return SHARDIO_OK;
}

static void shardio_scan(job *j, result *r)
{
    uint64_t reads = j->reader.own.reads, read_bytes = j->reader.own.read_bytes;
    taking t = {j, r};
    shardio_error error;
    if (shardio_pack_range(&j->reader, NULL, 0, j->items, take, &t, &error) != SHARDIO_OK) bench_die_shardio(&error);
    r->reads = j->reader.own.reads - reads;
    r->read_bytes = j->reader.own.read_bytes - read_bytes;
}

static void shardio_open(job *j, result *r)
{
    shardio_pack_reader reader;
    open_pack(j, &reader, 0);
    r->reads = reader.reads;
    r->read_bytes = reader.memory_size;
    shardio_pack_close(&reader);
}

/* ---- The contenders ---- */

static const struct contender {
    enum work work;
    const char *name;
    void (*go)(job *j, result *r);
} contenders[] = {
    {WRITE, "raw-direct", raw_write}, {WRITE, "shardio", shardio_write}, {WRITE, "shardio-hash", shardio_write_hash},
    {WRITE, "shardio-overlap", shardio_write_overlapping}, {WRITE, "sha256", hash_items},
    {HASH, "cpu", hash_cpu}, {HASH, "plain", hash_plain},
    {RANDOM, "raw-buffered", raw_random}, {RANDOM, "shardio-unseen", shardio_random_unseen},
    {RANDOM, "shardio", shardio_random},
    {SCAN, "raw-buffered", raw_scan}, {SCAN, "shardio", shardio_scan},
    {OPEN, "raw-buffered", raw_open}, {OPEN, "shardio", shardio_open},
};
enum { CONTENDERS = sizeof contenders / sizeof contenders[0] };

/* ---- One run ---- */

static uint64_t passes(const job *j)
{
    return j->work == OPEN && !j->cold ? 200 : 1;
}

static void quiet_disk(const job *j)
{
    struct timespec settle = {(time_t)(j->settle / 1000), (long)(j->settle % 1000) * 1000000};
    unlink(j->path);
    sync();
    nanosleep(&settle, NULL);
}

/* What a pack writer left, item by item; raw writers leave the items and zeros. */
static void check_written(job *j)
{
    result r;
    memset(&r, 0, sizeof r);
    open_pack(j, &j->reader, 0);
    shardio_scan(j, &r);
    if (r.items != j->items || r.bytes != item_bytes(j)) bench_die("not all items were written");
    shardio_pack_close(&j->reader);
}

static void print_line(const job *j, const struct contender *c, uint64_t round, const result *r)
{
    printf("%s,%s,%d,%s,%llu,%llu,%.9f,", work_names[j->work], j->pack, (int)j->cold, c->name,
           (unsigned long long)round, (unsigned long long)r->bytes, r->seconds);
    printf("%.9f,%llu,%llu,%llu,%d,%s,%llu,%s,\"%s\"\n", r->cpu_seconds, (unsigned long long)r->items,
           (unsigned long long)r->reads, (unsigned long long)r->read_bytes, (int)r->overlap, shardio_sha256_kind(),
           (unsigned long long)j->seed, SHARDIO_VERSION_STRING, BENCH_COMPILER);
}

static void measure(job *j, const struct contender *c, uint64_t round)
{
    clockid_t clock = j->work == HASH ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    uint64_t n = passes(j);
    result r;
    j->checking = round == 0;
    if (j->work == WRITE) quiet_disk(j);
    if (j->cold && !bench_drop(j->path)) bench_die("%s stays in the page cache", j->path);
    double begin = bench_clock(clock), cpu = bench_cpu_now();
    for (uint64_t i = 0; i < n; i++) {
        memset(&r, 0, sizeof r);
        c->go(j, &r);
    }
    r.seconds = (bench_clock(clock) - begin) / (double)n;
    r.cpu_seconds = (bench_cpu_now() - cpu) / (double)n;
    if (round > 0) print_line(j, c, round, &r);
    else if (strncmp(c->name, "shardio", 7) == 0 && j->work == WRITE) check_written(j);
}

static void take_turns(job *j)
{
    const struct contender *mine[CONTENDERS];
    uint64_t count = 0;
    for (int i = 0; i < CONTENDERS; i++)
        if (contenders[i].work == j->work && (j->in_flight > 0 || contenders[i].go != shardio_write_overlapping))
            mine[count++] = &contenders[i];
    printf("work,pack,cold,contender,round,bytes,seconds,cpu_seconds,items,reads,read_bytes,overlap,kind,seed,version,"
           "compiler\n");
    for (uint64_t round = 0; round <= j->rounds; round++)
        for (uint64_t i = 0; i < count; i++) measure(j, mine[(i + round) % count], round);
    if (j->work == WRITE) unlink(j->path);
}

/* Which items are wanted, and where plain reads find their records. */
static void want_items(job *j)
{
    uint64_t state = j->seed;
    j->wanted = (uint64_t *)malloc(j->count * sizeof *j->wanted);
    j->records = (stored *)malloc(j->count * sizeof *j->records);
    if (j->wanted == NULL || j->records == NULL) bench_die("no memory");
    for (uint64_t i = 0; i < j->count; i++) {
        shardio_p_pack_place place;
        place.found = false;
        j->wanted[i] = bench_random(&state) % j->items;
        shardio_p_pack_find(&j->reader, &place, j->wanted[i] / j->items_per_record);
        j->records[i].offset = place.offset;
        j->records[i].size = place.size;
        if (place.size > j->memory_bytes) bench_die("a record is larger than the memory for it");
    }
}

static void open_all(job *j)
{
    j->fd = open(j->path, O_RDONLY | O_CLOEXEC);
    if (j->fd < 0) bench_die_system("open", j->path);
    open_pack(j, &j->reader, 0);
    open_pack(j, &j->unseen, 1);
    if (j->reader.facts.items != j->items || j->reader.facts.items_per_record != j->items_per_record)
        bench_die("%s has other items", j->path);
    want_items(j);
}

static void close_all(job *j)
{
    shardio_pack_close(&j->reader);
    shardio_pack_close(&j->unseen);
    close(j->fd);
    free(j->wanted);
    free(j->records);
}

/* ---- The command line ---- */

static void parse_option(job *j, const char *name, const char *value)
{
    if (strcmp(name, "--work") == 0) j->work = (enum work)bench_choose(value, work_names, WORKS);
    else if (strcmp(name, "--dir") == 0) j->dir = value;
    else if (strcmp(name, "--pack") == 0) j->pack = value;
    else if (strcmp(name, "--items") == 0) j->items = bench_parse_bytes(value);
    else if (strcmp(name, "--items-per-record") == 0) j->items_per_record = bench_parse_bytes(value);
    else if (strcmp(name, "--codec") == 0) j->codec = (enum codec)bench_choose(value, codec_names, CODECS);
    else if (strcmp(name, "--count") == 0) j->count = bench_parse_bytes(value);
    else if (strcmp(name, "--rounds") == 0) j->rounds = bench_parse_bytes(value);
    else if (strcmp(name, "--in-flight") == 0) j->in_flight = (uint32_t)bench_parse_bytes(value);
    else if (strcmp(name, "--seed") == 0) j->seed = bench_parse_bytes(value);
    else if (strcmp(name, "--settle") == 0) j->settle = bench_parse_bytes(value);
    else if (strcmp(name, "--cold") == 0) j->cold = *value != '0';
    else bench_die("unknown option %s", name);
}

static job defaults(void)
{
    job j;
    memset(&j, 0, sizeof j);
    j.pack = "pack";
    j.items = 1000000;
    j.items_per_record = 128;
    j.count = 50000;
    j.seed = j.rounds = 1;
    j.settle = 300;
    return j;
}

static void plan(job *j)
{
    if (j->dir == NULL) bench_die("--dir is missing");
    if (j->items == 0 || j->items_per_record == 0 || j->items_per_record > UINT32_MAX) bench_die("not even one item");
    if (snprintf(j->path, sizeof j->path, "%s/%s.pack", j->dir, j->pack) >= (int)sizeof j->path)
        bench_die("the path is too long");
    make_items(j);
    j->memory_bytes = READ_PIECE;
    j->memory = bench_input(j->memory_bytes, 0);
}

int main(int argc, char **argv)
{
    job j = defaults();
    for (int i = 1; i < argc; i += 2) parse_option(&j, argv[i], bench_value(argv + i));
    plan(&j);
    if (j.work == PREPARE) {
        write_pack(&j, false, SHARDIO_OVERLAP_OFF);
    } else if (j.work == WRITE || j.work == HASH) {
        take_turns(&j);
    } else {
        open_all(&j);
        take_turns(&j);
        close_all(&j);
    }
    free(j.memory);
    free(j.input);
    free(j.begin);
    return 0;
}
