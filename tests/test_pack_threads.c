/* One open packfile, many threads, each with its own scratch: what they read is right, and the thread sanitizer
   (make test-tsan) finds no race. */
#include "test.h"
#include "faulty.h"
#include "packs.h"

#include <pthread.h>

enum { THREADS = 8 };

typedef struct thread_work {
    pthread_t thread;
    shardio_pack_reader *reader;
    const pack_items *items;
    uint64_t seed, wrong;
    bool started;
} thread_work;

static void expect(thread_work *t, bool holds)
{
    if (!holds) t->wrong++;
}

/* CHECK counts in a global, so that threads count for themselves. */
static void read_items(thread_work *t, shardio_pack_scratch *s, uint8_t *memory)
{
    for (int n = 0; n < 300; n++) {
        uint64_t i = test_random(&t->seed) % t->items->count;
        const uint8_t *data = memory;
        size_t size = 0;
        shardio_error error;
        shardio_status status = n % 2 ? shardio_pack_item(t->reader, s, i, &data, &size, &error)
                                      : shardio_pack_item_into(t->reader, s, i, memory, 100, &size, &error);
        expect(t, status == SHARDIO_OK && items_same(t->items, i, data, size));
        expect(t, shardio_pack_item(t->reader, s, t->items->count, &data, &size, &error) == SHARDIO_ERR_ARGUMENT);
    }
}

static void *read_everything(void *context)
{
    thread_work *t = (thread_work *)context;
    shardio_pack_scratch s;
    shardio_pack_summary summary;
    shardio_error error;
    uint8_t memory[100];
    uint64_t list[200];
    if (shardio_pack_scratch_begin(&s, t->reader, &error) != SHARDIO_OK) {
        t->wrong++;
        return NULL;
    }
    for (int turn = 0; turn < 3; turn++) {
        pack_watch all = {t->items, NULL, 0, 0, 0, 0, SHARDIO_OK}, some = {t->items, list, 0, 0, 0, 0, SHARDIO_OK};
        read_items(t, &s, memory);
        expect(t, shardio_pack_range(t->reader, &s, 0, t->items->count, pack_watch_take, &all, &error) == SHARDIO_OK);
        expect(t, all.seen == t->items->count && all.wrong == 0);
        for (uint64_t i = 0, item = 0; i < 200; i++) list[i] = item += 1 + test_random(&t->seed) % 4;
        expect(t, shardio_pack_list(t->reader, &s, list, 200, pack_watch_take, &some, &error) == SHARDIO_OK);
        expect(t, some.seen == 200 && some.wrong == 0);
    }
    expect(t, shardio_pack_verify(t->reader, &s, &summary, NULL, NULL, NULL, NULL, &error) == SHARDIO_OK);
    expect(t, summary.hash_checked && summary.items == t->items->count);
    shardio_pack_scratch_end(&s);
    return NULL;
}

static void run_threads(shardio_pack_reader *reader, const pack_items *items)
{
    static thread_work work[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        work[i].reader = reader;
        work[i].items = items;
        work[i].seed = i * 1000;
        work[i].wrong = 0;
        work[i].started = pthread_create(&work[i].thread, NULL, read_everything, &work[i]) == 0;
        CHECK(work[i].started);
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (work[i].started) CHECK(pthread_join(work[i].thread, NULL) == 0);
        CHECK_U64(work[i].wrong, 0);
    }
}

/* A file of the system's, and one in memory; records as they are, and encoded. */
TEST(many_threads_one_reader)
{
    for (int round = 0; round < 8; round++) {
        shardio_pack_options o;
        shardio_slot_options s;
        shardio_pack_reading how;
        shardio_pack_writer w;
        shardio_pack_reader r;
        shardio_error error;
        shardio_memory memory;
        pack_items items;
        uint8_t buffer[512];
        char path[400];
        memset(&o, 0, sizeof o);
        memset(&s, 0, sizeof s);
        memset(&how, 0, sizeof how);
        memset(&memory, 0, sizeof memory);
        snprintf(path, sizeof path, "%s/threads-%d", rig_directory(), round);
        o.items_per_record = round % 2 ? 16 : 1;
        o.content_hash = true;
#if SHARDIO_WITH_ZSTD
        if (round / 2 % 2) o.codec = shardio_codec_zstd();
#elif !SHARDIO_NO_ZARR
        if (round / 2 % 2) o.codec = shardio_codec_crc32c();
#endif
        how.codec = o.codec;
        how.size_cache = round % 3 ? 0 : 500;
        items_make(&items, 1500, SIZES_SMALL, (uint64_t)round);
        if (round < 4) CHECK_OK(shardio_pack_create(&w, path, &o, &s));
        else CHECK_OK(shardio_pack_begin(&w, shardio_memory_file(&memory, "memory"), buffer, sizeof buffer, &o, &s));
        CHECK_OK(pack_write(&w, &items, "app", 3, &error));
        if (round < 4) CHECK_OK(shardio_pack_open(&r, path, &how, &error));
        else CHECK_OK(shardio_pack_open_file(&r, shardio_memory_file(&memory, "memory"), &how, &error));
        run_threads(&r, &items);
        shardio_pack_close(&r);
        shardio_memory_free(&memory);
        items_free(&items);
    }
}

TEST_MAIN(TEST_CASE(many_threads_one_reader))
