/* Several threads write one array. shardio.h starts no thread and takes no lock; the threads are the caller's, each
   with a handle and shards of its own. The files are the same, byte for byte, whatever the number of threads. How a
   thread writes its shards is in parallel.h.

       threads [OUTPUT.zarr [THREADS]]       writes threads.zarr, which must not exist, with 4 threads, at most 64

   To compile it:  cc -I.. threads.c -pthread */

#define SHARDIO_IMPLEMENTATION
#include "shardio.h"
#include "parallel.h"

#include <pthread.h>
#include <stdio.h>

enum { MOST_THREADS = 64 };

typedef struct worker {
    pthread_t thread;
    const char *path;
    int number, of;
    shardio_error error;     /* looked at when the thread has ended */
} worker;

static void *work(void *context)
{
    worker *w = (worker *)context;
    write_own_shards(w->path, (uint64_t)w->number, (uint64_t)w->of, &w->error);
    return NULL;
}

/* True: there was no error. */
static bool report(const char *who, const shardio_error *error)
{
    char text[512];
    if (error->status == SHARDIO_OK) return true;
    fprintf(stderr, "threads: %s: %s\n", who, shardio_error_text(error, text, sizeof text));
    return false;
}

/* Every thread that was started is waited for, and every error told, whatever happens to the others. */
static bool write_with_threads(const char *path, int count)
{
    static worker workers[MOST_THREADS];
    int started = 0;
    bool good = true;
    for (; started < count; started++) {
        worker *w = &workers[started];
        w->path = path;
        w->number = started;
        w->of = count;
        if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    }
    if (started < count) {
        fprintf(stderr, "threads: thread %d of %d could not be started\n", started, count);
        good = false;
    }
    for (int i = 0; i < started; i++) {
        char who[32];
        snprintf(who, sizeof who, "thread %d", i);
        pthread_join(workers[i].thread, NULL);
        good = report(who, &workers[i].error) && good;
    }
    return good;
}

int main(int count, char **arguments)
{
    const char *path = count > 1 ? arguments[1] : "threads.zarr";
    const int threads = count > 2 ? atoi(arguments[2]) : 4;
    shardio_error error;
    if (threads < 1 || threads > MOST_THREADS) {
        fprintf(stderr, "threads: 1 to %d threads\n", (int)MOST_THREADS);
        return 2;
    }
    define_array(path, &error);
    if (!report("metadata", &error) || !write_with_threads(path, threads)) return 1;
    printf("%s: written by %d threads\n", path, threads);
    return 0;
}
