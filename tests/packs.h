/* What tests of packfiles share: items, and a plain encoder of the format to compare with, written from the format's
   description and not for speed. Include after test.h and faulty.h. */
#ifndef PACKS_H
#define PACKS_H

typedef struct bytes {
    uint8_t *data;
    size_t size, room;
} bytes;

static inline void bytes_add(bytes *b, const void *data, size_t size)
{
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size) + 64;
        b->data = (uint8_t *)realloc(b->data, b->room);
        if (b->data == NULL) exit(2);
    }
    if (size > 0) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void bytes_put32(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(number >> 8 * i);
}

static inline void bytes_add32(bytes *b, uint32_t number)
{
    uint8_t four[4];
    bytes_put32(four, number);
    bytes_add(b, four, 4);
}

static inline void bytes_free(bytes *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

/* ---- items --------------------------------------------------------------------------------------------------- */

typedef enum item_sizes { SIZES_EMPTY, SIZES_ONE, SIZES_EQUAL, SIZES_TINY, SIZES_SMALL, SIZES_SPREAD,
                         SIZE_KINDS } item_sizes;

typedef struct pack_items {
    size_t count;
    uint32_t *sizes;
    size_t *starts;       /* in data */
    uint8_t *data;
    uint64_t total;
} pack_items;

static inline uint32_t item_size(item_sizes kind, uint64_t *seed)
{
    uint64_t number = test_random(seed);
    switch (kind) {
    case SIZES_EMPTY: return 0;
    case SIZES_ONE: return 1;
    case SIZES_EQUAL: return 17;
    case SIZES_TINY: return (uint32_t)(number % 3);
    case SIZES_SMALL: return (uint32_t)(number % 60);
    default: return (uint32_t)(number % 40 == 0 ? number / 40 % 70000 : number / 40 % 4);
    }
}

static inline void items_make(pack_items *items, size_t count, item_sizes kind, uint64_t seed)
{
    uint64_t content = seed;
    items->count = count;
    items->sizes = (uint32_t *)malloc((count + 1) * sizeof *items->sizes);
    items->starts = (size_t *)malloc((count + 1) * sizeof *items->starts);
    if (items->sizes == NULL || items->starts == NULL) exit(2);
    items->total = 0;
    for (size_t i = 0; i < count; i++) {
        items->sizes[i] = item_size(kind, &seed);
        items->starts[i] = (size_t)items->total;
        items->total += items->sizes[i];
    }
    items->data = (uint8_t *)malloc((size_t)items->total + 1);
    if (items->data == NULL) exit(2);
    test_fill(items->data, (size_t)items->total, content);
}

static inline void items_free(pack_items *items)
{
    free(items->sizes);
    free(items->starts);
    free(items->data);
}

static inline const uint8_t *items_at(const pack_items *items, uint64_t i)
{
    return items->data + items->starts[i];
}

static inline bool items_same(const pack_items *items, uint64_t i, const uint8_t *data, size_t size)
{
    return size == items->sizes[i] && (size == 0 || memcmp(data, items_at(items, i), size) == 0);
}

/* ---- the model ----------------------------------------------------------------------------------------------- */

/* A group of packed integers, bit by bit. */
static inline void model_group(bytes *out, const uint32_t *values, size_t count)
{
    uint32_t smallest = UINT32_MAX, largest = 0, width = 1;
    size_t begin = out->size;
    uint8_t last;
    for (size_t i = 0; i < count; i++) {
        if (values[i] < smallest) smallest = values[i];
        if (values[i] > largest) largest = values[i];
    }
    while (width < 32 && (largest - smallest) >> width != 0) width++;
    last = (uint8_t)width;
    for (size_t i = 0; i < (count * width + 7) / 8; i++) bytes_add(out, "", 1);
    for (size_t i = 0; i < count; i++) {
        for (uint32_t bit = 0; bit < width; bit++) {
            size_t at = i * width + bit;
            if (((values[i] - smallest) >> bit & 1) != 0) out->data[begin + at / 8] |= (uint8_t)(1u << at % 8);
        }
    }
    bytes_add(out, &last, 1);
    bytes_add32(out, smallest);
}

/* Index, app data and trailer behind records of these sizes; hash: 32 bytes or null. */
static inline void model_end(bytes *out, const uint32_t *records, size_t count, uint32_t items, uint32_t each,
                             uint32_t format,
                             const uint8_t *hash, const void *app, size_t app_size)
{
    size_t index = out->size, trailer;
    for (size_t i = 0; i < count; i += 128) model_group(out, records + i, count - i < 128 ? count - i : 128);
    bytes_add32(out, shardio_crc32c(0, out->data != NULL ? out->data + index : NULL, out->size - index));
    index = out->size - index;
    bytes_add(out, app, app_size);
    trailer = out->size;
    bytes_add32(out, 0x48434C53);
    bytes_add32(out, hash != NULL ? 0x101 : 1);
    bytes_add32(out, format);
    bytes_add32(out, (uint32_t)count);
    bytes_add32(out, items);
    bytes_add32(out, each);
    bytes_add32(out, 128);
    bytes_add32(out, (uint32_t)index);
    bytes_add32(out, (uint32_t)app_size);
    for (int i = 0; i < 32; i++) bytes_add(out, hash != NULL ? hash + i : (const uint8_t *)"", 1);
    bytes_add32(out, 0);
    bytes_add32(out, shardio_crc32c(0, out->data + trailer, 72));
}

/* What the codec makes of a record; nothing stays nothing. */
static inline void model_encode(bytes *out, const shardio_codec *codec, const uint8_t *data, size_t size)
{
    size_t room = 100 * size + 10000, done = 0;
    uint8_t *memory = (uint8_t *)malloc(room);
    void *instance = NULL;
    shardio_status status;
    if (memory == NULL) exit(2);
    CHECK(shardio_p_pack_codec_begin(codec, NULL, &instance, &status) == NULL);
    if (size > 0) CHECK_OK(codec->encode(instance, data, size, memory, room, &done));
    shardio_p_pack_codec_end(codec, instance);
    bytes_add(out, memory, done);
    free(memory);
}

static inline void model_hash_record(shardio_sha256 *all, const pack_items *items, size_t first, size_t count,
                                     const shardio_pack_options *o)
{
    shardio_sha256 record;
    uint8_t digest[32], length[4];
    shardio_sha256_begin(&record);
    for (size_t i = first; i < first + count; i++) {
        const uint8_t *part = items_at(items, i);
        size_t size = items->sizes[i];
        if (o->extract != NULL) CHECK_OK(o->extract(o->extract_context, items_at(items, i), size, &part, &size));
        bytes_put32(length, (uint32_t)size);
        shardio_sha256_add(&record, length, 4);
        shardio_sha256_add(&record, part, size);
    }
    shardio_sha256_end(&record, digest);
    shardio_sha256_add(all, digest, 32);
}

/* The whole file. */
static inline void model_pack(bytes *out, const pack_items *items, const shardio_pack_options *o, const void *app,
                              size_t app_size)
{
    uint32_t each = o->items_per_record ? o->items_per_record : 128;
    size_t records = 0;
    uint32_t *sizes = (uint32_t *)malloc((items->count + 1) * sizeof *sizes);
    uint8_t digest[32];
    shardio_sha256 hash;
    if (sizes == NULL) exit(2);
    memset(out, 0, sizeof *out);
    shardio_sha256_begin(&hash);
    for (size_t first = 0; first < items->count; first += each) {
        size_t count = items->count - first < each ? items->count - first : each, begin = out->size, payload = 0;
        for (size_t i = first; i < first + count; i++) payload += items->sizes[i];
        if (o->codec != NULL) model_encode(out, o->codec, items_at(items, first), payload);
        else bytes_add(out, items_at(items, first), payload);
        if (each > 1) {
            size_t group = out->size;
            model_group(out, items->sizes + first, count);
            bytes_add32(out, shardio_crc32c(0, out->data + group, out->size - group));
        }
        sizes[records++] = (uint32_t)(out->size - begin);
        model_hash_record(&hash, items, first, count, o);
    }
    shardio_sha256_end(&hash, digest);
    model_end(out, sizes, records, (uint32_t)items->count, each, o->format, o->content_hash ? digest : NULL, app,
              app_size);
    free(sizes);
}

/* ---- writing and opening --------------------------------------------------------------------------------------- */

/* Appends all items and finishes; the first error of the appends is that of finish. */
static inline shardio_status pack_write(shardio_pack_writer *writer, const pack_items *items, const void *app,
                                        size_t app_size,
                                        shardio_error *error)
{
    shardio_status first = SHARDIO_OK, status;
    for (size_t i = 0; i < items->count; i++) {
        status = shardio_pack_append(writer, items_at(items, i), items->sizes[i]);
        if (first == SHARDIO_OK) first = status;
        else CHECK_STATUS(status, first);
    }
    status = shardio_pack_finish(writer, app, app_size, error);
    if (first != SHARDIO_OK) CHECK_STATUS(status, first);
    if (error != NULL) CHECK_STATUS(error->status, status);
    return status;
}

/* A pack in memory, opened through a file that counts and can fail. */
typedef struct pack_rig {
    shardio_memory memory;
    faulty_state faulty;
    shardio_pack_reader reader;
    shardio_error error;
} pack_rig;

static inline shardio_status pack_rig_open(pack_rig *g, const bytes *pack, const shardio_pack_reading *how)
{
    memset(&g->memory, 0, sizeof g->memory);
    g->memory.data = pack->data;
    g->memory.size = g->memory.capacity = pack->size;
    g->memory.fixed = true;
    memset(&g->faulty, 0, sizeof g->faulty);
    return shardio_pack_open_file(&g->reader, faulty_file(&g->faulty, shardio_memory_file(&g->memory, "pack")), how,
                                  &g->error);
}

/* Looks whether the items that come are those that were written, in order: all from `next` on, or those of a list. */
typedef struct pack_watch {
    const pack_items *items;
    const uint64_t *list;
    uint64_t next, seen, wrong, stop_after;
    shardio_status stop;
} pack_watch;

static inline shardio_status pack_watch_take(void *context, uint64_t item, const uint8_t *data, size_t size,
                                             shardio_error *error)
{
    pack_watch *w = (pack_watch *)context;
    uint64_t wanted = w->list != NULL ? w->list[w->seen] : w->next + w->seen;
    (void)error;
    if (item != wanted || item >= w->items->count || !items_same(w->items, item, data, size)) w->wrong++;
    return ++w->seen == w->stop_after ? w->stop : SHARDIO_OK;
}
#endif
