/* One mirror, many threads: what they read is right, each chunk is fetched exactly once, and the thread sanitizer
   (make test-tsan) finds no race. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include "mirrors.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

enum { THREADS = 8, CHUNK = 512, CHUNKS = 200, LENGTH = CHUNKS * CHUNK - 77 };

static pthread_mutex_t mirror_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t source_lock = PTHREAD_MUTEX_INITIALIZER;
static remote far;
static uint8_t fetched[CHUNKS];
static void lock(void *context)
{
    if (pthread_mutex_lock((pthread_mutex_t *)context) != 0) abort();
}

static void unlock(void *context)
{
    if (pthread_mutex_unlock((pthread_mutex_t *)context) != 0) abort();
}

/* Several threads may be in the source at a time; its counters are not theirs. A request takes a while, so that others
   come that want the same. */
static void one_at_a_time(remote *r, bool begins)
{
    (void)r;
    if (begins) lock(&source_lock);
    for (int i = 0; begins && i < 3; i++) sched_yield();
    if (!begins) unlock(&source_lock);
}

typedef struct thread_work {
    pthread_t thread;
    shardio_mirror *m;
    uint64_t seed, wrong;
    int what;
    bool started;
} thread_work;

/* CHECK counts in a global, so that threads count for themselves. */
static void expect(thread_work *t, bool holds)
{
    if (!holds) t->wrong++;
}

static void read_piece(thread_work *t, uint64_t offset, size_t size)
{
    static const remote same = {1, LENGTH, "", NULL, false, 0, false, SHARDIO_OK, 0, false, 0, 0, NULL, NULL, 0, 0, 0, 0, 0, 0,
                                {{0, 0, false}}, 0, NULL, 0, {NULL, NULL, NULL, NULL}};
    uint8_t data[9 * CHUNK];
    size_t done = 0;
    shardio_error error;
    shardio_status status = shardio_mirror_read(t->m, offset, data, size, &done, &error);
    expect(t, status == SHARDIO_OK && error.status == SHARDIO_OK);
    expect(t, done == remote_there(&same, offset, size) && remote_same(&same, offset, data, done));
}

/* All ranges, each thread from another place. */
static void *read_everything(void *context)
{
    thread_work *t = (thread_work *)context;
    uint64_t first = test_random(&t->seed) % CHUNKS, step = 1 + t->seed % 2 * 2;
    for (uint64_t i = 0; i < CHUNKS; i++) {
        uint64_t chunk = t->what % 2 ? i : (first + i * step) % CHUNKS;
        read_piece(t, chunk * CHUNK + i % 100, i % 7 == 0 ? 5 * CHUNK : 300);
    }
    for (uint64_t i = 0; i < CHUNKS; i++) read_piece(t, i * CHUNK, CHUNK);
    return NULL;
}

/* Everything at once: reading, looking, prefetching, saving, evicting. */
static void *do_anything(void *context)
{
    thread_work *t = (thread_work *)context;
    shardio_error error;
    uint64_t offset, size;
    for (int i = 0; i < 150; i++) {
        uint64_t at = test_random(&t->seed) % (LENGTH + 100), n = test_random(&t->seed) % (8 * CHUNK);
        uint64_t what = test_random(&t->seed) % 20;
        if (what < 14) read_piece(t, at, (size_t)n);
        else if (what == 14) expect(t, shardio_mirror_prefetch(t->m, at, n, &error) == SHARDIO_OK);
        else if (what == 15) expect(t, shardio_mirror_evict(t->m, at, 4 * n, &error) == SHARDIO_OK);
        else if (what == 16) expect(t, shardio_mirror_evict_to(t->m, at, &error) == SHARDIO_OK);
        else if (what == 17) expect(t, shardio_mirror_about(t->m).covered <= LENGTH);
        else if (what == 18) expect(t, !shardio_mirror_next_extent(t->m, at, &offset, &size) || offset + size <= LENGTH);
        else if (i % 4 == 0) expect(t, shardio_mirror_save(t->m, &error) == SHARDIO_OK);
        else (void)shardio_mirror_has(t->m, at, n);
    }
    return NULL;
}

static void run_threads(shardio_mirror *m, void *(*work)(void *), uint64_t seed)
{
    static thread_work t[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        t[i].m = m;
        t[i].seed = seed + i * 1000;
        t[i].wrong = 0;
        t[i].what = (int)(seed % 3);
        t[i].started = pthread_create(&t[i].thread, NULL, work, &t[i]) == 0;
        CHECK(t[i].started);
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (t[i].started) CHECK(pthread_join(t[i].thread, NULL) == 0);
        CHECK_U64(t[i].wrong, 0);
    }
}

static shardio_mirror *open_shared(uint64_t request, uint64_t read_ahead, uint64_t save_every)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    char path[320];
    snprintf(path, sizeof path, "%s/object", rig_home);
    remote_make(&far, 1, LENGTH);
    memset(fetched, 0, sizeof fetched);
    far.fetched = fetched;
    far.chunk = CHUNK;
    far.during = one_at_a_time;
    o.lock = lock;
    o.unlock = unlock;
    o.lock_context = &mirror_lock;
    o.request = request;
    o.read_ahead = read_ahead;
    o.save_every = save_every;
    shardio_source source = remote_source(&far, false);
    shardio_mirror *m = shardio_mirror_open(&source, path, &o, &error);
    CHECK(m != NULL);
    return m;
}

/* Eight threads want the same: each chunk is fetched once. What is evicted between two rounds, once more. */
TEST(each_chunk_once)
{
    for (int round = 0; round < 6; round++) {
        shardio_error error;
        rig_new_directory();
        shardio_mirror *m = open_shared(round % 2 ? 4 * CHUNK : 0, round < 3 ? SHARDIO_NO_OFFSET : 16 * CHUNK, 0);
        if (m == NULL) return;
        run_threads(m, read_everything, (uint64_t)round);
        for (size_t c = 0; c < CHUNKS; c++) CHECK_U64(fetched[c], 1);
        CHECK_U64(shardio_mirror_about(m).covered, LENGTH);
        CHECK_U64(shardio_mirror_about(m).fetched, LENGTH);
        CHECK_OK(shardio_mirror_evict(m, 50 * CHUNK, 100 * CHUNK, &error));
        run_threads(m, read_everything, (uint64_t)round + 100);
        for (size_t c = 0; c < CHUNKS; c++) CHECK_U64(fetched[c], c >= 50 && c < 150 ? 2 : 1);
        CHECK_OK(shardio_mirror_evict_to(m, 10 * CHUNK, &error));
        uint64_t covered = shardio_mirror_about(m).covered;
        CHECK(covered <= 10 * CHUNK && covered > 9 * CHUNK);
        for (size_t c = 0; c < CHUNKS; c++) fetched[c] = shardio_mirror_has(m, c * CHUNK, CHUNK);
        run_threads(m, read_everything, (uint64_t)round + 200);
        for (size_t c = 0; c < CHUNKS; c++) CHECK_U64(fetched[c], 1);
        CHECK_OK(shardio_mirror_close(m, &error));
        m = open_shared(0, SHARDIO_NO_OFFSET, 0);          /* and not at all when it is opened again */
        if (m == NULL) return;
        run_threads(m, read_everything, (uint64_t)round);
        CHECK_U64(far.requests, 0);
        CHECK_OK(shardio_mirror_close(m, &error));
        CHECK_U64(far.wrong, 0);
    }
}

/* Threads evict what others are reading. */
TEST(everything_at_once)
{
    for (int round = 0; round < 4; round++) {
        shardio_error error;
        rig_new_directory();
        shardio_mirror *m = open_shared(round % 2 ? 4 * CHUNK : 0, round < 2 ? SHARDIO_NO_OFFSET : 0, 100 * CHUNK);
        if (m == NULL) return;
        run_threads(m, do_anything, (uint64_t)round * 10);
        CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
        CHECK_READ(m, &far, 0, LENGTH);
        CHECK_OK(shardio_mirror_close(m, &error));
        CHECK_U64(far.wrong, 0);
    }
}

/* A request that fails is an error for who made it; the others try for themselves. */
TEST(errors_are_not_shared)
{
    shardio_error error;
    rig_new_directory();
    shardio_mirror *m = open_shared(0, SHARDIO_NO_OFFSET, 0);
    if (m == NULL) return;
    far.fail_at = 30;
    static thread_work t[THREADS];
    uint64_t wrong = 0;
    for (size_t i = 0; i < THREADS; i++) {
        t[i].m = m;
        t[i].seed = i;
        t[i].wrong = 0;
        t[i].what = 1;
        t[i].started = pthread_create(&t[i].thread, NULL, read_everything, &t[i]) == 0;
        CHECK(t[i].started);
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (t[i].started) CHECK(pthread_join(t[i].thread, NULL) == 0);
        wrong += t[i].wrong;
    }
    CHECK(wrong == 2);                                     /* its status, and its bytes */
    CHECK_U64(shardio_mirror_about(m).covered, LENGTH);
    CHECK_READ(m, &far, 0, LENGTH);
    CHECK_OK(shardio_mirror_close(m, &error));
}

TEST_MAIN(TEST_CASE(each_chunk_once) TEST_CASE(everything_at_once) TEST_CASE(errors_are_not_shared))
