/* Helpers that the benchmark programs share: clock, seeded input, what is left in the page cache, peak memory.
   Include after shardio.h, which has to come before the first system header. */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__clang__)
#define BENCH_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define BENCH_COMPILER "gcc " __VERSION__
#else
#define BENCH_COMPILER "unknown"
#endif

/* A benchmark that cannot go on has nothing to clean up: the driver removes its directory. */
static inline void bench_die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

static inline void bench_die_system(const char *what, const char *path)
{
    bench_die("%s %s: %s", what, path, strerror(errno));
}

static inline void bench_die_shardio(const shardio_error *error)
{
    char text[400];
    bench_die("%s", shardio_error_text(error, text, sizeof text));
}

static inline double bench_clock(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0) bench_die_system("read", "the clock");
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double bench_now(void)
{
    return bench_clock(CLOCK_MONOTONIC);
}

/* Of this process: what others do on the machine at the same time does not count. For work without I/O. */
static inline double bench_cpu_now(void)
{
    return bench_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* SplitMix64: any seed will do, and 8 bytes a step keep the filling of 512 MiB below half a second. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Memory of `size` bytes with every page touched: page faults on the input belong to no contender. */
static inline uint8_t *bench_input_in(size_t size, uint64_t seed, bool large_pages)
{
    void *memory = NULL;
    size_t room = (size + 8 + 4095) & ~(size_t)4095;
    if (posix_memalign(&memory, large_pages ? 2 << 20 : 4096, room) != 0) bench_die("no memory for %zu bytes of input", size);
    if (large_pages) (void)madvise(memory, room, MADV_HUGEPAGE);
    for (size_t i = 0; i < room; i += 8) {
        uint64_t word = bench_random(&seed);
        memcpy((uint8_t *)memory + i, &word, 8);
    }
    return (uint8_t *)memory;
}

static inline uint8_t *bench_input(size_t size, uint64_t seed)
{
    return bench_input_in(size, seed, false);
}

/* Of each number of 16 bits the lowest `bits` stay, the noise of a camera: something for a codec to do. */
static inline void bench_dim(uint8_t *memory, size_t size, unsigned bits)
{
    const uint16_t mask = (uint16_t)((1u << bits) - 1);
    for (size_t i = 0; i + 2 <= size; i += 2) {
        uint16_t number;
        memcpy(&number, memory + i, 2);
        number &= mask;
        memcpy(memory + i, &number, 2);
    }
}

/* Sorts the lines of frame `t` of a row of chunks into that row, chunk after chunk: uint16, whole chunks. */
static inline void bench_gather(const uint64_t *frame_size, const uint64_t *chunk, uint8_t *row, const uint8_t *frame,
                                uint64_t t)
{
    const uint64_t line = 2 * chunk[2], across = frame_size[1] / chunk[2];
    for (uint64_t y = 0; y < frame_size[0]; y++)
        for (uint64_t x = 0; x < across; x++, frame += line) {
            uint64_t number = y / chunk[1] * across + x;
            memcpy(row + ((number * chunk[0] + t) * chunk[1] + y % chunk[1]) * line, frame, line);
        }
}

/* Number of pages of the file that the page cache holds. Mapping a file brings none of them in. */
static inline uint64_t bench_resident_pages(const char *path)
{
    uint64_t resident = 0;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages;
    struct stat facts;
    unsigned char *state;
    void *map;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &facts) != 0) bench_die_system("open", path);
    if (facts.st_size == 0) bench_die("%s is empty", path);
    pages = ((size_t)facts.st_size + page - 1) / page;
    map = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_SHARED, fd, 0);
    state = (unsigned char *)malloc(pages);
    if (map == MAP_FAILED || state == NULL) bench_die_system("map", path);
    if (mincore(map, (size_t)facts.st_size, state) != 0) bench_die_system("mincore", path);
    for (size_t i = 0; i < pages; i++) resident += state[i] & 1;
    free(state);
    munmap(map, (size_t)facts.st_size);
    close(fd);
    return resident;
}

/* Makes a file cold. Pages that are being written, or that another CPU still holds in a batch, stay: a moment later
   they go. False: they stay all the same. */
static inline bool bench_drop(const char *path)
{
    bool gone = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (int tries = 0; fd >= 0 && !gone && tries < 50; tries++) {
        struct timespec moment = {0, 2000000};
        if (fsync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0) break;
        gone = bench_resident_pages(path) == 0;
        if (!gone) nanosleep(&moment, NULL);
    }
    if (fd >= 0) close(fd);
    return gone;
}

/* Reads all of it; the number of calls. */
static inline uint64_t bench_read_fully(int fd, uint8_t *to, size_t size, uint64_t offset)
{
    uint64_t calls = 0;
    while (size > 0) {
        ssize_t n = pread(fd, to, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) bench_die_system("read", "the file");
        calls++;
        to += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return calls;
}

/* A file holds `bytes` of a block of memory that was gone round. */
static inline void bench_check_file(const char *path, const uint8_t *block, uint64_t block_bytes, uint64_t bytes)
{
    static uint8_t memory[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) bench_die_system("open", path);
    for (uint64_t at = 0, size; at < bytes; at += size) {
        size = block_bytes - at % block_bytes;
        if (size > sizeof memory) size = sizeof memory;
        if (size > bytes - at) size = bytes - at;
        bench_read_fully(fd, memory, (size_t)size, at);
        if (memcmp(memory, block + at % block_bytes, (size_t)size) != 0)
            bench_die("%s differs from what was written at byte %llu or later", path, (unsigned long long)at);
    }
    close(fd);
}

/* A file written by hand. */
static inline int bench_create(const char *path, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0666);
    if (fd < 0) bench_die_system("create", path);
    return fd;
}

static inline void bench_write(int fd, const void *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)data;
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) bench_die_system("write", "the file");
        p += n;
        size -= (size_t)n;
    }
}

static inline void bench_close(int fd, bool durable)
{
    if (durable && fsync(fd) != 0) bench_die_system("sync", "the file");
    if (close(fd) != 0) bench_die_system("close", "the file");
}

/* fsync of the directory as well: a new name is a part of what has to survive, and shardio.h syncs it too. */
static inline void bench_sync_directory(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0 || close(fd) != 0) bench_die_system("sync", dir);
}

static inline struct rusage bench_usage(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) bench_die_system("getrusage", "");
    return usage;
}

static inline double bench_seconds(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

/* What something cost. Peak memory is what the highest mark of the process grew by, without what was touched before. */
typedef struct bench_cost {
    double seconds, user, system;
    uint64_t peak_bytes;
} bench_cost;

typedef struct bench_meter {
    struct rusage before;
    double begin;
} bench_meter;

static inline bench_meter bench_meter_begin(void)
{
    bench_meter m;
    m.before = bench_usage();
    m.begin = bench_now();
    return m;
}

static inline bench_cost bench_meter_end(const bench_meter *m)
{
    bench_cost cost;
    cost.seconds = bench_now() - m->begin;
    struct rusage after = bench_usage();
    cost.user = bench_seconds(after.ru_utime) - bench_seconds(m->before.ru_utime);
    cost.system = bench_seconds(after.ru_stime) - bench_seconds(m->before.ru_stime);
    cost.peak_bytes = (uint64_t)(after.ru_maxrss - m->before.ru_maxrss) * 1024;
    return cost;
}

/* System calls that read and write, of this process so far; 0: the system does not count them. */
static inline void bench_calls(uint64_t *reads, uint64_t *writes)
{
    unsigned long long r = 0, w = 0, ignored;
    FILE *file = fopen("/proc/self/io", "r");
    *reads = *writes = 0;
    if (file == NULL) return;
    if (fscanf(file, "rchar: %llu wchar: %llu syscr: %llu syscw: %llu", &ignored, &ignored, &r, &w) == 4) {
        *reads = r;
        *writes = w;
    }
    fclose(file);
}

/* What follows an option on the command line. */
static inline const char *bench_value(char **option)
{
    if (option[1] == NULL) bench_die("%s needs a value", option[0]);
    return option[1];
}

static inline uint64_t bench_parse_bytes(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    switch (*end) {
    case 'K': value <<= 10; end++; break;
    case 'M': value <<= 20; end++; break;
    case 'G': value <<= 30; end++; break;
    default: break;
    }
    if (end == text || *end != 0) bench_die("not a number of bytes: %s", text);
    return value;
}

static inline unsigned bench_choose(const char *text, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0) return i;
    bench_die("%s is none of the choices", text);
    return 0;
}

static inline void bench_parse_numbers(const char *text, uint64_t *numbers, int count)
{
    for (int i = 0; i < count; i++) {
        char *end;
        numbers[i] = strtoull(text, &end, 10);
        if (end == text || numbers[i] == 0 || *end != (i + 1 < count ? ',' : 0))
            bench_die("%d numbers wanted, with commas", count);
        text = end + 1;
    }
}

static inline const shardio_codec *bench_zstd(void)
{
#if SHARDIO_WITH_ZSTD
    return shardio_codec_zstd();
#else
    bench_die("this build lacks zstd");
    return NULL;
#endif
}

#endif
