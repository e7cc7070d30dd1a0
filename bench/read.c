/* Reads an array in turns with plain reads of the same bytes; prints a CSV header and a line per contender and round.
   bench/run.py runs it and compares.

       bench_read --work W --dir D [options]

   W  prepare   writes what the others read: D/A.zarr, uint16, --bytes of it in frames of --frame Y,X, chunks --chunks
                and shards --shards, and D/A.positions, the --count chunks that `random` reads, a line each
      whole     the whole array. Opening and closing are part of it
      plane     the plane in the middle of the last dimension
      random    --count chunks in any order, one call each
      hinted    --count chunks of the first shard in any order, all known beforehand
      drop      only makes all files in D cold
   A  --array: a name

   Contenders: raw-buffered, one pread after the other, of 8 MiB (whole) or a chunk (all others); raw-direct, the same
   past the page cache, and with --in-flight N also raw-queue-1m and -4m, N pieces of 1 or 4 MiB at once, and of `hinted`
   raw-queue and raw-queue-direct, N chunks at once through the page cache and past it; raw-hinted,
   posix_fadvise(WILLNEED) for all chunks, then preads; shardio and, past the page cache, shardio-direct;
   shardio-unchanging does not ask at each read whether the shard is still the same; with --cache 1 also
   shardio-cached, whose array keeps decoded chunks, warm from the second time on. --cold 1: before each one the files
   are dropped from the page cache, and mincore says that they are gone; --cold 0: they are in it. Contenders
   take turns in one process, the first one changing with the round. Memory that is read into was touched before; of
   `whole` and `random` it is the same for all. Files are open and the indexes read beforehand, except for `whole`. A
   round before the first one is not counted, but what was read is compared with what was written. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"
#include "queue.h"

#include <ftw.h>

enum work { PREPARE, WHOLE, PLANE, RANDOM, HINTED, DROP, WORKS };
static const char *const work_names[] = {"prepare", "whole", "plane", "random", "hinted", "drop"};
enum { PIECE = 8 << 20 };            /* bytes of a plain read of `whole` */

typedef struct shard {
    char path[512];
    uint64_t end;                        /* of its chunks, bytes */
    uint64_t *offsets;                   /* of its chunks */
    int fd;
} shard;

typedef struct job {
    enum work work;
    const char *dir, *array;
    uint64_t bytes, seed, count, rounds, input_bytes;
    uint64_t frame[2], chunks[3], shards[3];
    bool cold;
    uint8_t *input;
    uint64_t frames, chunk_bytes, frame_bytes;
    uint64_t per_shard, across[3];       /* chunks of a shard: in all, along each dimension */
    char path[512];
    shard *shard;
    uint64_t shard_count;
    uint64_t (*wanted)[2];               /* chunks: number of the shard, number in the shard */
    uint8_t *memory;
    size_t memory_bytes;
    shardio_array *open_array, *unchanging, *cached;
    bool caching;
    unsigned in_flight;                  /* 0: no contender does that */
    shardio_cache cache;
    shardio_shard_reader reader;         /* of the first shard */
    uint64_t *slot;                      /* hinted: where a chunk of it goes */
} job;

typedef struct result {
    double seconds, cpu_seconds;
    uint64_t bytes, chunks, reads, read_bytes;   /* handed out, touched, calls, bytes of them */
} result;

/* ---- What is written ---- */

static const uint8_t *input_at(const job *j, uint64_t offset)
{
    return j->input + offset % j->input_bytes;
}

static void prepare_array(const job *j)
{
    shardio_array_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.ndim = 3;
    o.dtype = SHARDIO_UINT16;
    for (int d = 0; d < 3; d++) {
        o.shape[d] = d == 0 ? j->frames : j->frame[d - 1];
        o.chunk[d] = j->chunks[d];
        o.shard[d] = j->shards[d];
    }
    shardio_array *array = shardio_array_create(j->path, &o);
    for (uint64_t t = 0; t < j->frames; t++)
        shardio_array_append(array, input_at(j, t * j->frame_bytes), j->frame[0] * j->frame[1]);
    if (shardio_array_finish(array, &error) != SHARDIO_OK) bench_die_shardio(&error);
}

/* `count` different numbers below `limit`, in any order. */
static uint64_t *pick(uint64_t count, uint64_t limit, uint64_t seed)
{
    uint64_t *numbers = (uint64_t *)malloc(limit * sizeof *numbers);
    if (numbers == NULL || count > limit) bench_die("%llu chunks are not to be had", (unsigned long long)count);
    for (uint64_t i = 0; i < limit; i++) numbers[i] = i;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t other = i + bench_random(&seed) % (limit - i), number = numbers[other];
        numbers[other] = numbers[i];
        numbers[i] = number;
    }
    return numbers;
}

/* Where chunk number `number` of shard number `file` begins in the array. */
static void chunk_start(const job *j, uint64_t file, uint64_t number, uint64_t *start)
{
    start[2] = number % j->across[2] * j->chunks[2];
    start[1] = number / j->across[2] % j->across[1] * j->chunks[1];
    start[0] = file * j->shards[0] + number / j->across[2] / j->across[1] * j->chunks[0];
}

static void prepare_positions(const job *j)
{
    char path[600];
    uint64_t limit = j->shard_count * j->per_shard, start[3];
    uint64_t count = j->count < limit ? j->count : limit;
    uint64_t *numbers = pick(count, limit, j->seed);
    snprintf(path, sizeof path, "%s/%s.positions", j->dir, j->array);
    FILE *file = fopen(path, "w");
    if (file == NULL) bench_die_system("create", path);
    for (uint64_t i = 0; i < count; i++) {
        chunk_start(j, numbers[i] / j->per_shard, numbers[i] % j->per_shard, start);
        fprintf(file, "%llu %llu %llu\n", (unsigned long long)start[0], (unsigned long long)start[1],
                (unsigned long long)start[2]);
    }
    if (fflush(file) != 0 || fsync(fileno(file)) != 0 || fclose(file) != 0) bench_die_system("write", path);
    free(numbers);
}

/* ---- Warm and cold ---- */

static int drop_file(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)where;
    if (kind == FTW_F && facts->st_size > 0 && !bench_drop(path)) bench_die("%s stays in the page cache", path);
    return 0;
}

static void drop(const job *j)
{
    if (nftw(j->dir, drop_file, 16, FTW_PHYS) != 0) bench_die_system("walk", j->dir);
}

static void read_fully(int fd, uint8_t *to, size_t size, uint64_t offset, result *r)
{
    r->read_bytes += size;
    r->reads += bench_read_fully(fd, to, size, offset);
}

/* ---- Plain reads of the same bytes ---- */

static void raw_whole(job *j, result *r, int flags)
{
    uint8_t *to = j->memory;
    for (uint64_t i = 0; i < j->shard_count; i++) {
        const shard *s = &j->shard[i];
        int fd = open(s->path, O_RDONLY | O_CLOEXEC | flags);
        if (fd < 0) bench_die_system("open", s->path);
        for (uint64_t offset = 0; offset < s->end; offset += PIECE) {
            uint64_t size = s->end - offset < PIECE ? s->end - offset : PIECE;
            read_fully(fd, to, (size_t)size, offset, r);
            to += size;
        }
        close(fd);
    }
    r->bytes = (uint64_t)(to - j->memory);
    r->chunks = j->shard_count * j->per_shard;
}

static void raw_whole_buffered(job *j, result *r)
{
    raw_whole(j, r, 0);
}

static void raw_whole_direct(job *j, result *r)
{
    raw_whole(j, r, O_DIRECT);
}

static void raw_whole_queued(job *j, result *r, size_t piece)
{
    bench_queue queue;
    uint8_t *to = j->memory;
    bench_queue_begin(&queue, j->in_flight);
    for (uint64_t i = 0; i < j->shard_count; i++) {
        const shard *s = &j->shard[i];
        int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_DIRECT);
        if (fd < 0) bench_die_system("open", s->path);
        for (uint64_t offset = 0; offset < s->end; offset += piece) {
            size_t size = s->end - offset < piece ? (size_t)(s->end - offset) : piece;
            bench_queue_send(&queue, false, fd, to, size, offset);
            to += size;
            r->reads++;
        }
        close(fd);                       /* the queue holds the file until it has been read */
    }
    bench_queue_end(&queue);
    r->bytes = r->read_bytes = (uint64_t)(to - j->memory);
    r->chunks = j->shard_count * j->per_shard;
}

static void raw_whole_queued_1m(job *j, result *r)
{
    raw_whole_queued(j, r, 1 << 20);
}

static void raw_whole_queued_4m(job *j, result *r)
{
    raw_whole_queued(j, r, 4 << 20);
}

static uint64_t middle(const job *j)
{
    return j->frame[1] / 2;
}

/* Every chunk into the same memory, which the CPU's cache holds: as good as it gets. */
static void raw_plane(job *j, result *r)
{
    for (uint64_t i = 0; i < j->shard_count; i++)
        for (uint64_t c = middle(j) / j->chunks[2]; c < j->per_shard; c += j->across[2]) {
            read_fully(j->shard[i].fd, j->memory, (size_t)j->chunk_bytes, j->shard[i].offsets[c], r);
            r->chunks++;
        }
    r->bytes = j->frames * j->frame[0] * 2;
}

static void raw_random(job *j, result *r)
{
    for (uint64_t i = 0; i < j->count; i++) {
        const shard *s = &j->shard[j->wanted[i][0]];
        read_fully(s->fd, j->memory + i * j->chunk_bytes, (size_t)j->chunk_bytes, s->offsets[j->wanted[i][1]], r);
    }
    r->chunks = j->count;
    r->bytes = j->count * j->chunk_bytes;
}

static void raw_hinted(job *j, result *r)
{
    for (uint64_t i = 0; i < j->count; i++) {
        const shard *s = &j->shard[j->wanted[i][0]];
        (void)posix_fadvise(s->fd, (off_t)s->offsets[j->wanted[i][1]], (off_t)j->chunk_bytes, POSIX_FADV_WILLNEED);
    }
    raw_random(j, r);
}

/* N chunks under way at once. */
static void raw_list_queued(job *j, result *r, int flags)
{
    const shard *s = &j->shard[j->wanted[0][0]];   /* all are of this one */
    bench_queue queue;
    int fd = open(s->path, O_RDONLY | O_CLOEXEC | flags);
    if (fd < 0) bench_die_system("open", s->path);
    bench_queue_begin(&queue, j->in_flight);
    for (uint64_t i = 0; i < j->count; i++)
        bench_queue_send(&queue, false, fd, j->memory + i * j->chunk_bytes, (size_t)j->chunk_bytes, s->offsets[j->wanted[i][1]]);
    bench_queue_end(&queue);
    close(fd);
    r->reads = r->chunks = j->count;
    r->bytes = r->read_bytes = j->count * j->chunk_bytes;
}

static void raw_queued(job *j, result *r)
{
    raw_list_queued(j, r, 0);
}

static void raw_queued_direct(job *j, result *r)
{
    raw_list_queued(j, r, O_DIRECT);
}

/* ---- shardio.h ---- */

static shardio_array *open_array(const job *j, bool direct, bool unchanging, shardio_cache *cache)
{
    shardio_array_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.unbuffered = direct;
    o.unchanging = unchanging;
    o.cache = cache;
    shardio_array *array = shardio_array_open(j->path, &o, &error);
    if (error.status != SHARDIO_OK) bench_die_shardio(&error);
    return array;
}

static void read_box(job *j, shardio_array *array, const uint64_t *start, const uint64_t *count, uint8_t *to)
{
    shardio_error error;
    (void)j;
    if (shardio_array_read(array, start, count, to, (size_t)(2 * count[0] * count[1] * count[2]), &error) != SHARDIO_OK)
        bench_die_shardio(&error);
}

static void count_reads(const shardio_array *array, const shardio_accounting *before, result *r)
{
    shardio_accounting after = shardio_array_accounting(array);
    r->reads = after.device_calls - before->device_calls;
    r->read_bytes = after.device_bytes - before->device_bytes;
}

static void whole(job *j, result *r, bool direct)
{
    const uint64_t start[3] = {0, 0, 0}, count[3] = {j->frames, j->frame[0], j->frame[1]};
    shardio_array *array = open_array(j, direct, false, NULL);
    shardio_accounting none;
    memset(&none, 0, sizeof none);
    read_box(j, array, start, count, j->memory);
    count_reads(array, &none, r);
    shardio_array_close(array);
    r->bytes = j->frames * j->frame_bytes;
    r->chunks = j->shard_count * j->per_shard;
}

static void shardio_whole(job *j, result *r)
{
    whole(j, r, false);
}

static void shardio_whole_direct(job *j, result *r)
{
    whole(j, r, true);
}

static void shardio_plane(job *j, result *r)
{
    const uint64_t start[3] = {0, 0, middle(j)}, count[3] = {j->frames, j->frame[0], 1};
    shardio_accounting before = shardio_array_accounting(j->open_array);
    read_box(j, j->open_array, start, count, j->memory);
    count_reads(j->open_array, &before, r);
    r->bytes = j->frames * j->frame[0] * 2;
    r->chunks = j->shard_count * (j->per_shard / j->across[2]);
}

static void random_chunks(job *j, shardio_array *array, result *r)
{
    shardio_accounting before = shardio_array_accounting(array);
    for (uint64_t i = 0; i < j->count; i++) {
        uint64_t start[3];
        chunk_start(j, j->wanted[i][0], j->wanted[i][1], start);
        read_box(j, array, start, j->chunks, j->memory + i * j->chunk_bytes);
    }
    count_reads(array, &before, r);
    r->bytes = j->count * j->chunk_bytes;
    r->chunks = j->count;
}

static void shardio_random(job *j, result *r)
{
    random_chunks(j, j->open_array, r);
}

static void shardio_random_unchanging(job *j, result *r)
{
    random_chunks(j, j->unchanging, r);
}

static void shardio_random_cached(job *j, result *r)
{
    random_chunks(j, j->cached, r);
}

static shardio_status take(void *context, uint64_t chunk, const uint8_t *data, size_t size, shardio_error *error)
{
    job *j = (job *)context;
    (void)error;
    if (data == NULL || size != j->chunk_bytes) bench_die("chunk %llu has the wrong length", (unsigned long long)chunk);
    memcpy(j->memory + j->slot[chunk] * j->chunk_bytes, data, size);
    return SHARDIO_OK;
}

static void shardio_hinted(job *j, result *r)
{
    uint64_t *numbers = j->slot + j->per_shard, reads = j->reader.reads;
    uint8_t *room = j->memory + j->count * j->chunk_bytes;
    shardio_error error;
    for (uint64_t i = 0; i < j->count; i++) {
        numbers[i] = j->wanted[i][1];
        j->slot[numbers[i]] = i;
    }
    if (shardio_shard_read_many(&j->reader, numbers, (size_t)j->count, room, PIECE, take, j, &error) != SHARDIO_OK)
        bench_die_shardio(&error);
    r->reads = j->reader.reads - reads;
    r->bytes = r->read_bytes = j->count * j->chunk_bytes;
    r->chunks = j->count;
}

/* ---- The contenders ---- */

static const struct contender {
    enum work work;
    const char *name;
    void (*read)(job *j, result *r);
} contenders[] = {
    {WHOLE, "raw-buffered", raw_whole_buffered}, {WHOLE, "raw-direct", raw_whole_direct},
    {WHOLE, "raw-queue-1m", raw_whole_queued_1m}, {WHOLE, "raw-queue-4m", raw_whole_queued_4m},
    {WHOLE, "shardio", shardio_whole}, {WHOLE, "shardio-direct", shardio_whole_direct},
    {PLANE, "raw-buffered", raw_plane}, {PLANE, "shardio", shardio_plane},
    {RANDOM, "raw-buffered", raw_random}, {RANDOM, "shardio", shardio_random},
    {RANDOM, "shardio-unchanging", shardio_random_unchanging}, {RANDOM, "shardio-cached", shardio_random_cached},
    {HINTED, "raw-buffered", raw_random}, {HINTED, "raw-hinted", raw_hinted}, {HINTED, "raw-queue", raw_queued},
    {HINTED, "raw-queue-direct", raw_queued_direct}, {HINTED, "shardio", shardio_hinted},
};
enum { CONTENDERS = sizeof contenders / sizeof contenders[0] };

/* ---- What was read is what was written ---- */

static void compare(const void *got, const void *expected, size_t size, const char *what)
{
    if (memcmp(got, expected, size) != 0) bench_die("%s: what was read differs from the input", what);
}

static void check_whole(const job *j)
{
    for (uint64_t t = 0; t < j->frames; t++)
        compare(j->memory + t * j->frame_bytes, input_at(j, t * j->frame_bytes), (size_t)j->frame_bytes, "whole");
}

static void check_plane(const job *j)
{
    for (uint64_t i = 0; i < j->frames * j->frame[0]; i++)
        compare(j->memory + 2 * i, input_at(j, 2 * (i * j->frame[1] + middle(j))), 2, "plane");
}

static void check_chunks(const job *j)
{
    uint64_t line = 2 * j->chunks[2], start[3];
    const uint8_t *from = j->memory;
    for (uint64_t i = 0; i < j->count; i++) {
        chunk_start(j, j->wanted[i][0], j->wanted[i][1], start);
        for (uint64_t t = 0; t < j->chunks[0]; t++)
            for (uint64_t y = 0; y < j->chunks[1]; y++, from += line) {
                uint64_t element = ((start[0] + t) * j->frame[0] + start[1] + y) * j->frame[1] + start[2];
                compare(from, input_at(j, 2 * element), (size_t)line, "chunk");
            }
    }
}

/* Raw reads of whole shards and of planes leave the chunks as they lie in the files: nothing to compare. */
static void check(const job *j, const struct contender *c)
{
    bool raw = strncmp(c->name, "raw", 3) == 0;
    if (j->work == WHOLE && !raw) check_whole(j);
    if (j->work == PLANE && !raw) check_plane(j);
    if (j->work == RANDOM || j->work == HINTED) check_chunks(j);
}

/* ---- One run ---- */

/* Warm chunks are read in microseconds: all of them again and again, so that there is something to measure. */
static uint64_t passes(const job *j)
{
    return !j->cold && j->work != WHOLE ? 20 : 1;
}

static void measure(job *j, const struct contender *c, uint64_t round)
{
    result r;
    uint64_t n = passes(j);
    memset(&r, 0, sizeof r);
    memset(j->memory, 0xa5, round == 0 ? j->memory_bytes : 0);
    if (j->cold) drop(j);
    double begin = bench_now(), cpu = bench_cpu_now();
    for (uint64_t i = 0; i < n; i++) {
        memset(&r, 0, sizeof r);
        c->read(j, &r);
    }
    r.seconds = (bench_now() - begin) / (double)n;
    r.cpu_seconds = (bench_cpu_now() - cpu) / (double)n;
    if (round == 0) {
        check(j, c);
        return;
    }
    printf("%s,%s,%d,%s,%llu,%llu,%.9f,", work_names[j->work], j->array, (int)j->cold, c->name,
           (unsigned long long)round, (unsigned long long)r.bytes, r.seconds);
    printf("%.9f,%llu,%llu,%llu,%llu,%s,\"%s\"\n", r.cpu_seconds, (unsigned long long)r.chunks,
           (unsigned long long)r.reads, (unsigned long long)r.read_bytes, (unsigned long long)j->seed,
           SHARDIO_VERSION_STRING, BENCH_COMPILER);
}

static bool takes_part(const job *j, const struct contender *c)
{
    if (c->read == shardio_random_cached) return c->work == j->work && j->caching;
    if (strstr(c->name, "queue") != NULL) return c->work == j->work && j->in_flight > 0;
    return c->work == j->work;
}

static void take_turns(job *j)
{
    const struct contender *mine[CONTENDERS];
    uint64_t count = 0;
    for (int i = 0; i < CONTENDERS; i++)
        if (takes_part(j, &contenders[i])) mine[count++] = &contenders[i];
    printf("work,array,cold,contender,round,bytes,seconds,cpu_seconds,chunks,reads,read_bytes,seed,version,compiler\n");
    for (uint64_t round = 0; round <= j->rounds; round++)
        for (uint64_t i = 0; i < count; i++) measure(j, mine[(i + round) % count], round);
}

/* Notes where the chunks of a shard lie. */
static shardio_status note_shard(void *context, const char *key, const uint64_t *position, uint64_t file_size,
                                 shardio_shard_reader *reader, const shardio_error *fault)
{
    job *j = (job *)context;
    shard *s = &j->shard[position[0]];
    (void)file_size;
    if (fault != NULL) bench_die_shardio(fault);
    snprintf(s->path, sizeof s->path, "%.350s/%.100s", j->path, key);
    s->offsets = (uint64_t *)malloc(j->per_shard * sizeof *s->offsets);
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->offsets == NULL || s->fd < 0) bench_die_system("open", s->path);
    for (uint64_t c = 0; c < j->per_shard; c++) {
        uint64_t length;
        shardio_error error;
        if (shardio_shard_locate(reader, c, &s->offsets[c], &length, &error) != SHARDIO_OK) bench_die_shardio(&error);
        if (length != j->chunk_bytes) bench_die("chunk %llu is not of the right length", (unsigned long long)c);
        if (s->offsets[c] + length > s->end) s->end = s->offsets[c] + length;
    }
    return SHARDIO_OK;
}

/* The chunks that are read: of the file of positions, or of the first shard. */
static void want_chunks(job *j)
{
    char path[600];
    uint64_t *numbers = pick(j->count < j->per_shard ? j->count : j->per_shard, j->per_shard, j->seed);
    j->wanted = (uint64_t (*)[2])calloc(j->count, sizeof *j->wanted);
    if (j->wanted == NULL) bench_die("no memory");
    if (j->work == HINTED) {
        if (j->count > j->per_shard) j->count = j->per_shard;
        for (uint64_t i = 0; i < j->count; i++) j->wanted[i][1] = numbers[i];
        free(numbers);
        return;
    }
    free(numbers);
    snprintf(path, sizeof path, "%s/%s.positions", j->dir, j->array);
    FILE *file = fopen(path, "r");
    unsigned long long t, y, x;
    uint64_t n = 0;
    if (file == NULL) bench_die_system("open", path);
    for (; n < j->count && fscanf(file, "%llu %llu %llu", &t, &y, &x) == 3; n++) {
        uint64_t *chunk = j->wanted[n], row = t % j->shards[0] / j->chunks[0] * j->across[1] + y / j->chunks[1];
        chunk[0] = t / j->shards[0];
        chunk[1] = row * j->across[2] + x / j->chunks[2];
        if (chunk[0] >= j->shard_count || chunk[1] >= j->per_shard) bench_die("%s is of another array", path);
    }
    fclose(file);
    j->count = n;
}

/* Opens everything, so that `random` and `hinted` begin with the indexes in memory. */
static void open_all(job *j)
{
    shardio_index_layout layout;
    shardio_error error;
    j->shard = (shard *)calloc(j->shard_count, sizeof *j->shard);
    shardio_cache_begin(&j->cache, NULL);
    j->open_array = open_array(j, false, false, NULL);
    j->unchanging = open_array(j, false, true, NULL);
    j->cached = open_array(j, false, false, &j->cache);
    if (j->shard == NULL) bench_die("no memory");
    if (shardio_array_each_shard(j->open_array, note_shard, j, &error) != SHARDIO_OK) bench_die_shardio(&error);
    for (uint64_t i = 0; i < j->shard_count; i++)
        if (j->shard[i].offsets == NULL) bench_die("shard %llu is missing", (unsigned long long)i);
    memset(&layout, 0, sizeof layout);
    layout.chunks = j->per_shard;
    if (shardio_shard_open(&j->reader, j->shard[0].path, &layout, NULL, &error) != SHARDIO_OK)
        bench_die_shardio(&error);
    want_chunks(j);
    j->memory_bytes = (size_t)(j->count * j->chunk_bytes) + PIECE;
    if (j->memory_bytes < j->frames * j->frame_bytes) j->memory_bytes = (size_t)(j->frames * j->frame_bytes);
    j->memory = bench_input(j->memory_bytes, 0);
    j->slot = (uint64_t *)calloc((size_t)(2 * j->per_shard), sizeof *j->slot);
    if (j->slot == NULL) bench_die("no memory");
}

static void close_all(job *j)
{
    for (uint64_t i = 0; i < j->shard_count; i++) {
        close(j->shard[i].fd);
        free(j->shard[i].offsets);
    }
    shardio_shard_close(&j->reader);
    shardio_array_close(j->open_array);
    shardio_array_close(j->unchanging);
    shardio_array_close(j->cached);
    shardio_cache_end(&j->cache);
    free(j->shard);
    free(j->wanted);
    free(j->memory);
    free(j->slot);
}

/* ---- The command line ---- */

static void parse_option(job *j, const char *name, const char *value)
{
    if (strcmp(name, "--work") == 0) j->work = (enum work)bench_choose(value, work_names, WORKS);
    else if (strcmp(name, "--dir") == 0) j->dir = value;
    else if (strcmp(name, "--array") == 0) j->array = value;
    else if (strcmp(name, "--bytes") == 0) j->bytes = bench_parse_bytes(value);
    else if (strcmp(name, "--seed") == 0) j->seed = bench_parse_bytes(value);
    else if (strcmp(name, "--count") == 0) j->count = bench_parse_bytes(value);
    else if (strcmp(name, "--rounds") == 0) j->rounds = bench_parse_bytes(value);
    else if (strcmp(name, "--cold") == 0) j->cold = *value != '0';
    else if (strcmp(name, "--cache") == 0) j->caching = *value != '0';
    else if (strcmp(name, "--in-flight") == 0) j->in_flight = (unsigned)bench_parse_bytes(value);
    else if (strcmp(name, "--frame") == 0) bench_parse_numbers(value, j->frame, 2);
    else if (strcmp(name, "--chunks") == 0) bench_parse_numbers(value, j->chunks, 3);
    else if (strcmp(name, "--shards") == 0) bench_parse_numbers(value, j->shards, 3);
    else bench_die("unknown option %s", name);
}

static job defaults(void)
{
    job j;
    memset(&j, 0, sizeof j);
    j.array = "array";
    j.bytes = (uint64_t)1 << 30;
    j.seed = j.rounds = 1;
    j.count = 2000;
    bench_parse_numbers("1024,1024", j.frame, 2);
    bench_parse_numbers("16,256,256", j.chunks, 3);
    bench_parse_numbers("64,1024,1024", j.shards, 3);
    return j;
}

/* Frames are one shard wide and of whole chunks, and fill whole shards: a shard's number is its place along t. */
static void plan(job *j)
{
    if (j->dir == NULL) bench_die("--dir is missing");
    if (snprintf(j->path, sizeof j->path, "%s/%s.zarr", j->dir, j->array) >= 300) bench_die("the path is too long");
    for (int d = 0; d < 3; d++) {
        if (j->shards[d] % j->chunks[d] != 0 || (d > 0 && j->shards[d] != j->frame[d - 1]))
            bench_die("a shard has to be of whole chunks, and as wide as a frame");
        j->across[d] = j->shards[d] / j->chunks[d];
    }
    j->per_shard = j->across[0] * j->across[1] * j->across[2];
    j->chunk_bytes = 2 * j->chunks[0] * j->chunks[1] * j->chunks[2];
    j->frame_bytes = 2 * j->frame[0] * j->frame[1];
    j->shard_count = j->bytes / (j->shards[0] * j->frame_bytes);
    j->frames = j->shard_count * j->shards[0];
    if (j->frames == 0) bench_die("not even one shard");
    /* of no whole number of shards, so that no two of them are alike */
    j->input_bytes = j->frame_bytes * (j->frames < 31 ? j->frames : 31);
    j->input = bench_input((size_t)j->input_bytes, j->seed);
}

int main(int argc, char **argv)
{
    job j = defaults();
    for (int i = 1; i < argc; i += 2) parse_option(&j, argv[i], bench_value(argv + i));
    plan(&j);
    if (j.work == PREPARE) {
        prepare_array(&j);
        prepare_positions(&j);
    } else if (j.work == DROP) {
        drop(&j);
    } else {
        open_all(&j);
        take_turns(&j);
        close_all(&j);
    }
    free(j.input);
    return 0;
}
