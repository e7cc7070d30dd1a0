/* Several threads encode the records of a packfile ahead, one writes it. Which items make a record is known beforehand:
   every ITEMS_PER_RECORD of them. So the main thread hands each record to the workers as soon as its items are there,
   and appends the items when the result is. The writer's codec does not encode: it hands out that result. The order is
   that of the items, and the file the same byte for byte, whatever the number of threads.

       pack_threads [FILE [THREADS]]       writes FILE (default threads.pack), which must not exist, with 4 threads

   Records are encoded with zstd, or with crc32c where that is not compiled in: -DSHARDIO_WITH_ZSTD -lzstd -pthread */

#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS = 100050, ITEMS_PER_RECORD = 128, LARGEST_ITEM = 400, AHEAD = 32, MOST_THREADS = 64 };

/* One record: its items, and what a worker made of them. */
typedef struct record {
    uint8_t items[ITEMS_PER_RECORD * LARGEST_ITEM], *encoded;
    size_t sizes[ITEMS_PER_RECORD], count, size, encoded_size, capacity;
    shardio_status status;
    bool encoding_done;
} record;

/* A ring: record number n lies in ring[n % AHEAD] until it is written. Under the lock: taken, submitted, ended, and in
   each record encoding_done. */
typedef struct crew {
    record ring[AHEAD];
    uint64_t submitted, taken, written;    /* handed over by the main thread, begun by workers, appended to the file */
    const record *writing;                 /* what the writer is going to ask for */
    bool ended;                            /* no more come */
    shardio_codec codec;
    pthread_mutex_t lock;
    pthread_cond_t submission, result;
} crew;

/* ---- workers */

/* A context of the codec belongs to one thread. */
static shardio_status begin_codec(const shardio_codec *codec, void **instance)
{
    shardio_json configuration = {NULL, 0};
    const char *text = codec->configuration, *reason;
    *instance = codec->context;
    if (codec->begin == NULL) return SHARDIO_OK;
    shardio_status status = shardio_json_parse(text, strlen(text), &configuration, NULL);
    return status == SHARDIO_OK ? codec->begin(codec->context, configuration, 1, NULL, instance, &reason) : status;
}

static void *work(void *context)
{
    crew *c = (crew *)context;
    void *instance = NULL;
    const shardio_status begun = begin_codec(&c->codec, &instance);
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (c->taken == c->submitted && !c->ended) pthread_cond_wait(&c->submission, &c->lock);
        if (c->taken == c->submitted) break;
        record *r = &c->ring[c->taken++ % AHEAD];
        pthread_mutex_unlock(&c->lock);
        r->status = begun;
        if (begun == SHARDIO_OK)
            r->status = c->codec.encode(instance, r->items, r->size, r->encoded, r->capacity, &r->encoded_size);
        pthread_mutex_lock(&c->lock);
        r->encoding_done = true;
        pthread_cond_signal(&c->result);
    }
    pthread_mutex_unlock(&c->lock);
    if (begun == SHARDIO_OK && c->codec.end != NULL) c->codec.end(instance);
    return NULL;
}

/* ---- the codec that the writer sees */

static size_t bound(void *context, size_t size)
{
    const shardio_codec *codec = &((const crew *)context)->codec;
    return codec->bound(codec->context, size);
}

static shardio_status hand_out(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size)
{
    const record *r = ((const crew *)context)->writing;
    if (size != r->size || memcmp(in, r->items, size) != 0) return SHARDIO_ERR_STATE;      /* another record */
    if (r->status != SHARDIO_OK) return r->status;
    if (r->encoded_size > capacity) return SHARDIO_ERR_LIMIT;
    memcpy(out, r->encoded, r->encoded_size);
    *out_size = r->encoded_size;
    return SHARDIO_OK;
}

/* ---- the main thread */

/* Stands for where items come from: text of 200 to 399 bytes. */
static size_t make_item(uint64_t number, uint8_t *item)
{
    static const char words[] = "the quick brown fox jumps over the lazy dog ";
    const size_t size = 200 + (size_t)(number * 7919 % 200);
    for (size_t i = 0; i < size; i++) item[i] = (uint8_t)words[(number + i * (1 + number % 7)) % (sizeof words - 1)];
    return size;
}

static void submit_record(crew *c, uint64_t first_item)
{
    record *r = &c->ring[c->submitted % AHEAD];
    r->count = r->size = 0;
    for (uint64_t i = first_item; i < ITEMS && r->count < ITEMS_PER_RECORD; i++)
        r->size += r->sizes[r->count++] = make_item(i, r->items + r->size);
    pthread_mutex_lock(&c->lock);
    r->encoding_done = false;
    c->submitted++;
    pthread_cond_signal(&c->submission);
    pthread_mutex_unlock(&c->lock);
}

/* Appends the items of the oldest record that is not written, as soon as it is encoded. The last item makes the writer
   ask for the result; that of a last, shorter record is asked for by finish. */
static shardio_status write_record(crew *c, shardio_pack_writer *writer)
{
    const record *r = c->writing = &c->ring[c->written++ % AHEAD];
    shardio_status status = SHARDIO_OK;
    const uint8_t *item = r->items;
    pthread_mutex_lock(&c->lock);
    while (!r->encoding_done) pthread_cond_wait(&c->result, &c->lock);
    pthread_mutex_unlock(&c->lock);
    for (size_t i = 0; i < r->count && status == SHARDIO_OK; item += r->sizes[i++])
        status = shardio_pack_append(writer, item, r->sizes[i]);
    return status;
}

static void write_records(crew *c, shardio_pack_writer *writer)
{
    shardio_status status = SHARDIO_OK;
    for (uint64_t i = 0; i < ITEMS && status == SHARDIO_OK; i += ITEMS_PER_RECORD) {
        submit_record(c, i);
        if (c->submitted - c->written == AHEAD) status = write_record(c, writer);
    }
    while (c->written < c->submitted && status == SHARDIO_OK) status = write_record(c, writer);
}

static void end_work(crew *c, pthread_t *threads, int count)
{
    pthread_mutex_lock(&c->lock);
    c->ended = true;
    pthread_cond_broadcast(&c->submission);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static bool prepare(crew *c)
{
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->submission, NULL);
    pthread_cond_init(&c->result, NULL);
#if SHARDIO_WITH_ZSTD
    c->codec = *shardio_codec_zstd();
    c->codec.configuration = "{\"level\": 3, \"checksum\": true}";     /* a packfile has none of the items themselves */
#else
    c->codec = *shardio_codec_crc32c();
#endif
    bool good = true;
    for (int i = 0; i < AHEAD; i++) {
        record *r = &c->ring[i];
        r->capacity = c->codec.bound(c->codec.context, sizeof r->items);
        r->encoded = (uint8_t *)malloc(r->capacity);
        good = good && r->encoded != NULL;
    }
    return good;
}

int main(int count, char **arguments)
{
    static crew c;
    const char *path = count > 1 ? arguments[1] : "threads.pack";
    int wanted = count > 2 ? atoi(arguments[2]) : 4, running = 0;
    pthread_t threads[MOST_THREADS];
    if (wanted > MOST_THREADS) wanted = MOST_THREADS;
    if (!prepare(&c)) return 1;
    while (running < wanted && pthread_create(&threads[running], NULL, work, &c) == 0) running++;
    if (running == 0) {
        fprintf(stderr, "pack_threads: no thread could be started\n");
        return 1;
    }

    const shardio_codec codec = {c.codec.name, NULL, &c, bound, hand_out, NULL, NULL, NULL};
    shardio_pack_options options = {0};
    options.items_per_record = ITEMS_PER_RECORD;
    options.codec = &codec;
    shardio_pack_writer writer;
    if (shardio_pack_create(&writer, path, &options, NULL) == SHARDIO_OK) write_records(&c, &writer);
    end_work(&c, threads, running);
    shardio_error error;
    shardio_status status = shardio_pack_finish(&writer, NULL, 0, &error);     /* repeats the first error */
    for (int i = 0; i < AHEAD; i++) free(c.ring[i].encoded);
    if (status != SHARDIO_OK) {
        char text[256];
        fprintf(stderr, "pack_threads: %s\n", shardio_error_text(&error, text, sizeof text));
        return 1;
    }
    printf("%s: %d items, encoded with %s by %d threads\n", path, (int)ITEMS, codec.name, running);
    return 0;
}
