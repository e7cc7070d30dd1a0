/* A few macros for tests. A test file includes this, writes TEST(name) { ... } and ends with TEST_MAIN(). Run with a
   word as argument to run only the tests whose names contain it; the last line is "N passed, N failed". */
#ifndef TEST_H
#define TEST_H

/* The Makefile defines TEST_LINKED for tests that use nothing but the interface: the implementation, compiled once for
   all of them (shared.c), is linked, and here is only what comes with it otherwise. */
#ifndef TEST_LINKED
#define SHARDIO_IMPLEMENTATION
#else
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#endif
#include "../shardio.h"

#ifdef TEST_LINKED
#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct test_case {
    const char *name;
    void (*run)(void);
} test_case;

static int test_failures;            /* of the running test */
static const char *test_left_out;    /* why the running test could not be run */

static inline void test_fail(const char *file, int line, const char *what)
{
    if (test_failures++ < 20) fprintf(stderr, "%s:%d: %s\n", file, line, what);
}

static inline void test_equal_u64(const char *file, int line, const char *what, uint64_t a, uint64_t b)
{
    char text[400];
    if (a == b) return;
    snprintf(text, sizeof text, "%s: %llu != %llu", what, (unsigned long long)a, (unsigned long long)b);
    test_fail(file, line, text);
}

static inline void test_equal_text(const char *file, int line, const char *what, const char *a, const char *b)
{
    char text[1200];
    if (a != NULL && b != NULL && strcmp(a, b) == 0) return;
    snprintf(text, sizeof text, "%s: \"%.500s\" != \"%.500s\"", what, a ? a : "(null)", b ? b : "(null)");
    test_fail(file, line, text);
}

static inline void test_equal_status(const char *file, int line, const char *what, shardio_status a, shardio_status b)
{
    char text[400];
    if (a == b) return;
    snprintf(text, sizeof text, "%s: %s, not %s", what, shardio_status_name(a), shardio_status_name(b));
    test_fail(file, line, text);
}

static inline void test_equal_bytes(const char *file, int line, const char *what, const void *a, const void *b, size_t n)
{
    const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
    char text[400];
    for (size_t i = 0; i < n; i++) {
        if (x[i] == y[i]) continue;
        snprintf(text, sizeof text, "%s: byte %llu of %llu is %02x, not %02x", what, (unsigned long long)i,
                 (unsigned long long)n, x[i], y[i]);
        test_fail(file, line, text);
        return;
    }
}

/* true if it holds, so that a test can stop: if (!CHECK(p != NULL)) return; */
#define CHECK(x) ((x) ? true : (test_fail(__FILE__, __LINE__, #x), false))
#define CHECK_U64(a, b) test_equal_u64(__FILE__, __LINE__, #a " == " #b, (uint64_t)(a), (uint64_t)(b))
#define CHECK_TEXT(a, b) test_equal_text(__FILE__, __LINE__, #a, (a), (b))
#define CHECK_STATUS(a, b) test_equal_status(__FILE__, __LINE__, #a, (a), (b))
#define CHECK_OK(a) CHECK_STATUS(a, SHARDIO_OK)
#define CHECK_BYTES(a, b, n) test_equal_bytes(__FILE__, __LINE__, #a " == " #b, (a), (b), (n))

/* The kernel or the rights make this test impossible here: says so and is listed. */
#define LEAVE_OUT(why) do { test_left_out = (why); return; } while (0)

/* Begins a test of what only POSIX has, or of the calls through which the header goes there. */
#if defined(_WIN32)
enum { TEST_ON_WINDOWS = 1 };
#else
enum { TEST_ON_WINDOWS = 0 };
#endif
#define POSIX_ONLY(what) do { if (TEST_ON_WINDOWS) LEAVE_OUT("POSIX only: " what); } while (0)

/* Begins a test of what Windows can, but not wine 8, under which programs for it are run here. */
static inline bool test_on_wine(void)
{
#if defined(_WIN32)
    return GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") != NULL;
#else
    return false;
#endif
}
#define WINE_CANNOT(what) do { if (test_on_wine()) LEAVE_OUT("wine 8 cannot: " what); } while (0)

#define TEST(name) static void test_##name(void)
#define TEST_CASE(name) {#name, test_##name},

/* TEST_MAIN(TEST_CASE(a) TEST_CASE(b)) */
#define TEST_MAIN(...)                                                                                            \
    int main(int argc, char **argv)                                                                               \
    {                                                                                                             \
        static const test_case cases[] = {__VA_ARGS__};                                                           \
        return test_run_all(cases, sizeof cases / sizeof cases[0], argc > 1 ? argv[1] : "");                      \
    }

#ifndef TEST_CANNOT
#define TEST_CANNOT(name) NULL   /* a port says here why it cannot run a test */
#endif

static int test_run_all(const test_case *cases, size_t count, const char *filter)
{
    int passed = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        if (strstr(cases[i].name, filter) == NULL) continue;
        test_failures = 0;
        test_left_out = TEST_CANNOT(cases[i].name);
        if (test_left_out == NULL) cases[i].run();
        if (test_left_out != NULL) printf("left out: %s: %s\n", cases[i].name, test_left_out);
        else if (test_failures == 0) passed++;
        else { failed++; fprintf(stderr, "FAILED: %s\n", cases[i].name); }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}

/* The recipe of the golden files: seeded numbers that are the same everywhere. */
static inline uint64_t test_mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static inline uint64_t test_random(uint64_t *state)
{
    return test_mix((*state)++);
}

#ifndef TEST_COUNTED
#define TEST_COUNTED(memory) (memory)    /* system.h counts what is had and given back */
#endif

/* Memory at a multiple of `alignment`, even if it is none at all; null: there is no more. */
static inline void *test_aligned(size_t alignment, size_t size)
{
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    if (size == 0) size = 1;
#if defined(_WIN32)
    return _aligned_malloc(size, alignment);
#else
    void *memory = NULL;
    return posix_memalign(&memory, alignment, size) == 0 ? TEST_COUNTED(memory) : NULL;
#endif
}

static inline void test_aligned_free(void *memory)
{
#if defined(_WIN32)
    _aligned_free(memory);
#else
    free(memory);
#endif
}

/* What an allocator of a caller's gives, without one the heap's. */
static inline void *test_allocate(const shardio_allocator *allocator, size_t size)
{
    return allocator != NULL && allocator->allocate != NULL ? allocator->allocate(allocator->context, size, 16) : malloc(size);
}

static inline void test_release(const shardio_allocator *allocator, void *memory, size_t size)
{
    if (allocator == NULL || allocator->allocate == NULL) free(memory);
    else if (allocator->release != NULL) allocator->release(allocator->context, memory, size, 16);
}

static inline void test_store32(uint8_t *to, uint32_t value)    /* little-endian, as everything in our files */
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (8 * i));
}

/* How much of a long loop is done, in percent: TEST_EFFORT=20 is a fifth, for machines that are slow because they are
   emulated or watched; TEST_EFFORT=1000 searches ten times as long. */
static inline uint64_t test_effort(void)
{
    const char *percent = getenv("TEST_EFFORT");
    uint64_t effort = percent != NULL ? strtoull(percent, NULL, 10) : 100;
    return effort > 0 ? effort : 1;
}

/* How often a loop over seeds goes that usually goes `usual` times; 1 at least. Where the seed also chooses a kind,
   kinds * test_rounds(n) leaves none out. */
static inline uint64_t test_rounds(uint64_t usual)
{
    uint64_t rounds = usual * test_effort() / 100;
    return rounds > 0 ? rounds : 1;
}

/* What comes after i in a loop over all places, lengths or calls that can fail: i + 1, and with less effort some are
   passed over, by steps that are the same in each run but have no period. */
static inline uint64_t test_next(uint64_t i)
{
    uint64_t effort = test_effort(), widest = effort < 100 ? 200 / effort - 1 : 1;
    return i + 1 + test_mix(i) % widest;
}

/* Where such a loop begins that is short itself and gone through for many seeds: at 0, with less effort at others too. */
static inline uint64_t test_first(uint64_t seed)
{
    return test_next(seed) - seed - 1;
}

/* A new empty directory for this test, below $TEST_TMP or build/tmp; `path` gets its name. Not removed: a failed
   test is looked at. The Makefile empties the parent before a run. */
static inline void test_directory(char *path, size_t size)
{
    const char *parent = getenv("TEST_TMP");
    snprintf(path, size, "%s/shardio-XXXXXX", parent != NULL && *parent ? parent : "build/tmp");
    char *full = mkdtemp(path) != NULL ? realpath(path, NULL) : NULL;   /* links are made to what is in it */
    if (full == NULL || strlen(full) >= size) {
        perror(path);
        exit(2);
    }
    strcpy(path, full);
    free(full);
}
#endif
