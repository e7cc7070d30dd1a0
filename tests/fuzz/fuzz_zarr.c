/* Hostile arrays: a zarr.json and one value, which stands under every key that is asked for. Opened, described, defined
   anew, read, verified, changed, recovered, appended to.

   Input: flags, choices, a seed for regions (2 bytes), which allocation fails, which operation of the store fails, the
   length of the zarr.json (2 bytes), the zarr.json, the value. */
#define FUZZ_NAME "zarr"
#ifndef FUZZ_ROUNDS
#define FUZZ_ROUNDS 60
#endif
#include "fuzz.h"

enum { FLAG_SEAL, FLAG_CHANGE, FLAG_APPEND, FLAG_STATISTICS, FLAG_RECOVER, FLAG_CACHE, FLAG_VERIFY, FLAG_AGAIN };

enum { MOST_KEYS = 24, LIMIT = 1 << 18 };

/* ---- a store that has the same value under every key ---- */

typedef struct echo {
    shardio_memory_store memory;
    shardio_store inner, store;
    shardio_store_functions table;
    char given[MOST_KEYS][120];        /* keys that got the value; each only once */
    size_t count;
    uint8_t *value;
    size_t size;
} echo;

/* Whether this is the first time that anybody wants the key. */
static bool echo_is_new(echo *s, const char *key)
{
    size_t i = 0, length = strlen(key);
    if (length >= sizeof s->given[0] || key[0] == '.' || (length >= 9 && strcmp(key + length - 9, "zarr.json") == 0))
        return false;
    while (i < s->count && strcmp(s->given[i], key) != 0) i++;
    if (i < s->count || i == MOST_KEYS) return false;
    memcpy(s->given[s->count++], key, length + 1);
    return true;
}

static shardio_status echo_open(void *store, const char *key, bool update, const shardio_allocator *allocator,
                                shardio_file *file, int *code)
{
    echo *s = (echo *)store;
    if (echo_is_new(s, key)) CHECK_OK(store_put(&s->inner, key, s->value, s->size));
    return s->inner.functions->open(s->inner.context, key, update, allocator, file, code);
}

static shardio_status echo_create(void *store, const char *key, bool overwrite, uint64_t most,
                                  const shardio_allocator *allocator,
                                  shardio_file *file, int *code)
{
    echo *s = (echo *)store;
    (void)echo_is_new(s, key);
    return s->inner.functions->create(s->inner.context, key, overwrite, most, allocator, file, code);
}

static shardio_status echo_remove(void *store, const char *key, int *code)
{
    echo *s = (echo *)store;
    (void)echo_is_new(s, key);
    return s->inner.functions->remove(s->inner.context, key, code);
}

static shardio_status echo_list(void *store, const char *prefix,
                                bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                                void *context, int *code)
{
    echo *s = (echo *)store;
    return s->inner.functions->list(s->inner.context, prefix, each, context, code);
}

static shardio_status echo_tag(void *store, const char *key, uint64_t tag[2], int *code)
{
    echo *s = (echo *)store;
    return s->inner.functions->tag(s->inner.context, key, tag, code);
}

static size_t echo_file_memory(void *store, size_t length)
{
    echo *s = (echo *)store;
    return s->inner.functions->file_memory(s->inner.context, length);
}

static void echo_begin(echo *s, const uint8_t *value, size_t size)
{
    memset(s, 0, sizeof *s);
    s->inner = shardio_store_memory(&s->memory, NULL);
    s->table.open = echo_open;
    s->table.create = echo_create;
    s->table.remove = echo_remove;
    s->table.list = echo_list;
    s->table.file_memory = echo_file_memory;
    s->table.tag = echo_tag;
    s->store.functions = &s->table;
    s->store.context = s;
    s->store.name = "echo";
    s->value = (uint8_t *)malloc(size + 1);
    s->size = size;
    if (size > 0) memcpy(s->value, value, size);
}

static void echo_end(echo *s)
{
    shardio_store_memory_free(&s->memory);
    free(s->value);
}

/* ---- what is tried ---- */

typedef struct hostile {
    uint8_t flags, choices, no_memory, no_store;
    uint64_t random;
    echo store;
    spy faults;
    shardio_store failing;             /* the store, with faults */
} hostile;

static shardio_array_options options(const hostile *h, const shardio_allocator *allocator)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.allocator = allocator;
    o.memory = 1 << 16;
    o.decoded_limit = LIMIT;
    o.metadata_limit = 1 << 16;
    o.index_memory = 1 << 16;
    o.buffer_size = 4096;
    o.max_open_files = 3;
    o.unbuffered = fuzz_flag(h->choices, 0);
    o.skip_fill = fuzz_flag(h->choices, 1);
    o.update = fuzz_flag(h->choices, 2) ? SHARDIO_UPDATE_APPEND : SHARDIO_UPDATE_REWRITE;
    o.dead_percent = fuzz_flag(h->choices, 3) ? 100 : 20;
    o.statistics = fuzz_flag(h->flags, FLAG_STATISTICS) && fuzz_flag(h->choices, 4);
    return o;
}

static bool is_text(const shardio_array_facts *f)
{
    return f->dtype == SHARDIO_STRING || f->dtype == SHARDIO_BYTES;
}

/* A region of at most 512 elements, and how many they are. */
static uint64_t some_region(const shardio_array_facts *f, uint64_t *r, uint64_t *start, uint64_t *count)
{
    uint64_t left = 512, elements = 1;
    for (uint32_t d = 0; d < f->ndim; d++) {
        start[d] = f->shape[d] == 0 || test_random(r) % 3 == 0 ? 0 : test_random(r) % f->shape[d];
        count[d] = f->shape[d] - start[d];
        if (count[d] > 12) count[d] = 1 + test_random(r) % 12;
        if (count[d] > left) count[d] = left;
        if (count[d] > 0) left /= count[d];
        elements *= count[d];
    }
    return elements;
}

/* Contents of strings are looked at, every byte. */
static uint64_t look_at(const shardio_array_facts *f, uint64_t elements, const uint8_t *got)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < elements && is_text(f); i++) {
        shardio_bytes one;
        memcpy(&one, got + i * sizeof one, sizeof one);
        for (size_t k = 0; k < one.size; k++) sum += ((const uint8_t *)one.data)[k];
    }
    return sum;
}

static shardio_status read_region(hostile *h, shardio_array *a, const shardio_array_facts *f)
{
    static volatile uint64_t sink;
    uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS], elements = some_region(f, &h->random, start, count);
    shardio_error e;
    if (elements * f->element_size > 1 << 20) return SHARDIO_ERR_LIMIT;
    size_t size = (size_t)elements * f->element_size;
    uint8_t *got = (uint8_t *)malloc(size > 0 ? size : 1);
    shardio_status s = SAID(shardio_array_read(a, start, count, got, size, &e));
    if (s == SHARDIO_OK) sink = sink + look_at(f, elements, got);
    free(got);
    return s;
}

/* An array that was opened can be defined, and is the same then. */
static void define_again(const hostile *h, const shardio_array_facts *f)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o = options(h, NULL), plain = o;
    shardio_array_facts again;
    shardio_error e;
    char *list = (char *)malloc(f->codec_list.size + 1);
    memcpy(list, f->codec_list.text, f->codec_list.size);
    list[f->codec_list.size] = 0;
    o.statistics = false;
    o.ndim = f->ndim;
    o.dtype = f->dtype;
    o.raw_bytes = f->dtype == SHARDIO_RAW ? (uint32_t)f->element_size : 0;
    o.time_scale = f->time_scale;
    o.time_unit = f->time_unit;
    memcpy(o.shape, f->shape, sizeof o.shape);
    memcpy(o.chunk, f->shard, sizeof o.chunk);
    o.fill_value = f->fill_value;
    o.dimension_names = f->has_dimension_names ? f->dimension_names : NULL;
    o.attributes = f->attributes;
    o.codec_list = list;
    o.key_v2 = f->key_v2;
    o.key_separator = f->key_separator;
    shardio_status s = SAID(shardio_array_define_in(&store, &o, &e));
    if (s != SHARDIO_ERR_MEMORY && s != SHARDIO_ERR_UNSUPPORTED) CHECK_OK(s);
    if (s == SHARDIO_OK) {
        shardio_array *a = shardio_array_open_in(&store, &plain, &e);
        if (CHECK(e.status == SHARDIO_OK) && shardio_array_describe(a, &again) == SHARDIO_OK) {
            CHECK(again.ndim == f->ndim && again.dtype == f->dtype && again.element_size == f->element_size);
            CHECK(memcmp(again.shape, f->shape, sizeof f->shape) == 0 &&
                  memcmp(again.chunk, f->chunk, sizeof f->chunk) == 0);
            CHECK(memcmp(again.shard, f->shard, sizeof f->shard) == 0 && again.levels == f->levels);
            CHECK(again.key_v2 == f->key_v2 && again.key_separator == f->key_separator);
            CHECK(is_text(f) || memcmp(again.fill_value, f->fill_value, f->element_size) == 0);
            for (uint32_t d = 0; d < f->ndim && f->dimension_names[d] != NULL; d++)
                CHECK_TEXT(again.dimension_names[d], f->dimension_names[d]);
        }
        shardio_array_close(a);
    }
    free(list);
    shardio_store_memory_free(&memory);
}

static void count_faults(void *context, const shardio_error *finding)
{
    CHECK(finding->status != SHARDIO_OK);
    ++*(uint64_t *)context;
}

static shardio_status visit(void *context, const char *key, const uint64_t *position, uint64_t file_size,
                            shardio_shard_reader *reader,
                            const shardio_error *fault)
{
    (void)position, (void)file_size, (void)reader, (void)fault;
    CHECK(key != NULL);
    return ++*(uint64_t *)context < 100 ? SHARDIO_OK : SHARDIO_ERR_CANCELLED;
}

static void try_to_read(hostile *h)
{
    shardio_array_facts f;
    shardio_cache cache;
    shardio_cache_options budget = {1 << 16, 1 << 14, 512, NULL};
    shardio_error e;
    counter c;
    uint64_t faults = 0, shards = 0;
    shardio_array_options o = options(h, fuzz_memory(&c, 64 << 20, h->no_memory));
    shardio_cache_begin(&cache, &budget);
    o.cache = fuzz_flag(h->flags, FLAG_CACHE) ? &cache : NULL;
    shardio_array *a = shardio_array_open_in(&h->failing, &o, &e);
    if (e.status == SHARDIO_OK && CHECK(shardio_array_describe(a, &f) == SHARDIO_OK)) {
        if (fuzz_flag(h->flags, FLAG_AGAIN)) define_again(h, &f);
        for (int k = 0; k < 3; k++) (void)read_region(h, a, &f);
        if (fuzz_flag(h->flags, FLAG_VERIFY))
            (void)SAID(shardio_array_verify(a, count_faults, &faults, NULL, NULL, &e));
        if (fuzz_flag(h->flags, FLAG_VERIFY)) (void)SAID(shardio_array_each_shard(a, visit, &shards, &e));
    }
    shardio_array_close(a);
    shardio_cache_end(&cache);
    CHECK_U64(c.live, 0);
    CHECK(c.peak <= 16 << 20);                     /* what the limits and small files allow */
}

/* Elements to write: any bytes, but truth values and texts are what they have to be. */
static void some_elements(const shardio_array_facts *f, uint8_t *data, uint64_t elements, uint64_t seed)
{
    static const char words[] = "some words of a text";
    test_fill(data, (size_t)elements * f->element_size, seed);
    for (uint64_t i = 0; i < elements; i++) {
        shardio_bytes one = {words, (size_t)(test_mix(seed + i) % sizeof words)};
        if (f->dtype == SHARDIO_BOOL) data[i] &= 1;
        if (is_text(f)) memcpy(data + i * sizeof one, &one, sizeof one);
    }
}

/* What was written is read, whatever was there before, if there is memory for it. */
static void write_region(hostile *h, shardio_array *a, const shardio_array_facts *f, const counter *memory)
{
    uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS], elements = some_region(f, &h->random, start, count);
    shardio_error e;
    if (elements * f->element_size > 1 << 20) return;
    size_t size = (size_t)elements * f->element_size;
    uint8_t *data = (uint8_t *)malloc(size + 1), *got = (uint8_t *)malloc(size + 1);
    some_elements(f, data, elements, h->random);
    shardio_status s = SAID(shardio_array_write(a, start, count, data, size, &e));
    if (s == SHARDIO_OK && h->no_memory == 0 && h->no_store == 0) {
        (void)SAID(shardio_array_read(a, start, count, got, size, &e));
        if (e.status != SHARDIO_OK) CHECK(e.status == SHARDIO_ERR_MEMORY && memory->beyond > 0);
        if (e.status == SHARDIO_OK && !is_text(f)) CHECK_BYTES(got, data, size);
    }
    free(data);
    free(got);
}

static int stop_late(void *context, uint64_t done, uint64_t total)
{
    (void)done, (void)total;
    return ++*(int *)context > 50;
}

static void change(hostile *h, shardio_array *a, shardio_array_facts *f, const counter *memory)
{
    uint64_t shape[SHARDIO_MAX_DIMS];
    shardio_statistics statistics;
    shardio_error e;
    int calls = 0;
    for (int k = 0; k < 3; k++) {
        write_region(h, a, f, memory);
        memcpy(shape, f->shape, sizeof shape);
        for (uint32_t d = 0; d < f->ndim; d++)
            if (test_random(&h->random) % 3 == 0) shape[d] = shape[d] / 2 + test_random(&h->random) % 3;
        if (k == 1) (void)SAID(shardio_array_resize(a, shape, fuzz_flag(h->choices, 5), &e));
        if (k == 1) CHECK_OK(shardio_array_describe(a, f));
        if (k == 2) (void)SAID(shardio_array_compact(a, stop_late, &calls, &e));
    }
    if (fuzz_flag(h->flags, FLAG_STATISTICS)) (void)SAID(shardio_array_make_statistics(a, stop_late, &calls, &e));
    if (fuzz_flag(h->flags, FLAG_STATISTICS)) (void)SAID(shardio_array_statistics(a, &statistics, &e));
}

static void try_to_change(hostile *h)
{
    shardio_array_facts f;
    shardio_error e;
    counter c;
    shardio_array_options o = options(h, fuzz_memory(&c, 16 << 20, h->no_memory));
    shardio_array *a = shardio_array_update_in(&h->failing, &o, &e);
    if (e.status == SHARDIO_OK && CHECK(shardio_array_describe(a, &f) == SHARDIO_OK)) {
        if (fuzz_flag(h->flags, FLAG_RECOVER))
            (void)SAID(shardio_array_recover(a, fuzz_flag(h->choices, 6), NULL, NULL, &e));
        if (fuzz_flag(h->flags, FLAG_CHANGE)) change(h, a, &f, &c);
    }
    shardio_array_close(a);
    CHECK_U64(c.live, 0);
}

/* A frame that is begun is filled up when the array is finished: only small ones. */
static bool small_frames(const shardio_array_facts *f)
{
    uint64_t frame = 1;
    for (uint32_t d = 1; d < f->ndim; d++) frame = f->shape[d] > 100 || frame > 10000 ? 100000 : frame * f->shape[d];
    return frame < 10000;
}

static void try_to_append(hostile *h)
{
    static uint8_t data[1 << 16];
    shardio_array_facts f;
    shardio_error e;
    counter c;
    shardio_array_options o = options(h, fuzz_memory(&c, 16 << 20, h->no_memory));
    shardio_array *a = shardio_array_continue_in(&h->failing, &o);
    memset(&f, 0, sizeof f);
    if (shardio_array_describe(a, &f) == SHARDIO_OK && !is_text(&f) && f.element_size <= sizeof data / 64) {
        (void)shardio_array_append(a, data, 1 + test_random(&h->random) % 50);
        if (fuzz_flag(h->choices, 7)) (void)shardio_array_checkpoint(a);
    }
    if (small_frames(&f)) (void)SAID(shardio_array_finish(a, &e));
    else shardio_array_abort(a);
    CHECK_U64(c.live, 0);
}

/* ---- checksums that are right again ---- */

static void seal_chunk(uint8_t *value, size_t size, uint64_t offset, uint64_t length)
{
    if (length < 4 || offset > size || length > size - offset) return;
    fuzz_put32(value + offset + length - 4, shardio_crc32c(0, value + offset, (size_t)length - 4));
}

/* Of the chunks, if crc32c is their last codec, then of the index. */
static void seal(hostile *h)
{
    shardio_array_options o = options(h, NULL);
    shardio_array_facts f;
    shardio_error e;
    uint64_t offset, length;
    echo *s = &h->store;
    shardio_array *a = shardio_array_open_in(&s->store, &o, &e);
    if (e.status == SHARDIO_OK && shardio_array_describe(a, &f) == SHARDIO_OK) {
        bool sums = f.codecs > 0 && strcmp(f.codec_names[f.codecs - 1], "crc32c") == 0;
        size_t size = f.sharded ? shardio_index_size(&f.index) : 0;
        if (!f.sharded && sums) seal_chunk(s->value, s->size, 0, s->size);
        if (size > 0 && size <= s->size) {
            uint8_t *index = f.index.at_start ? s->value : s->value + s->size - size;
            for (uint64_t c = 0; sums && c < f.index.chunks && c < 64; c++) {
                shardio_index_get(&f.index, index, c, &offset, &length);
                seal_chunk(s->value, s->size, offset, length);
            }
            shardio_index_seal(&f.index, index);
        }
    }
    shardio_array_close(a);
}

static void fuzz_one(fuzz_input in)
{
    static hostile h;
    memset(&h, 0, sizeof h);
    h.flags = fuzz_byte(&in);
    h.choices = fuzz_byte(&in);
    h.random = fuzz_number(&in, 2);
    h.no_memory = fuzz_byte(&in);
    h.no_store = fuzz_byte(&in);
    fuzz_input text = fuzz_part(&in, (size_t)fuzz_number(&in, 2));
    echo_begin(&h.store, in.data, in.size);
    CHECK_OK(store_put(&h.store.inner, "zarr.json", text.data, text.size));
    if (fuzz_flag(h.flags, FLAG_SEAL)) seal(&h);
    h.failing = spy_begin(&h.faults, &h.store.store);
    h.faults.fail_at = h.no_store;
    h.faults.forever = fuzz_flag(h.choices, 6);
    try_to_read(&h);
    if (fuzz_flag(h.flags, FLAG_CHANGE) || fuzz_flag(h.flags, FLAG_RECOVER)) try_to_change(&h);
    if (fuzz_flag(h.flags, FLAG_APPEND)) try_to_append(&h);
    echo_end(&h.store);
}

/* ---- seeds: small arrays of every make ---- */

#define LITTLE "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
#define BIG "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"big\"}}"
#define INDEX(bytes, rest) "\"index_codecs\":[" bytes rest "]"
#define SHARD(chunk, index, codecs)                                                                               \
    "{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":" chunk "," index ",\"codecs\":[" codecs "]}}"
#define SUMMED INDEX(LITTLE, ",\"crc32c\"")

typedef struct make {
    shardio_dtype dtype;
    uint32_t ndim;
    uint64_t shape[3], chunk[3], shard[3];
    const char *list;
    bool at_start, no_checksum, key_v2, crc;
} make;

static const make makes[] = {
    {SHARDIO_UINT16, 2, {9, 10, 0}, {2, 3, 0}, {4, 6, 0}, NULL, false, false, false, false},
    {SHARDIO_UINT8, 1, {40, 0, 0}, {4, 0, 0}, {16, 0, 0}, NULL, true, false, false, true},
    {SHARDIO_FLOAT32, 3, {3, 4, 5}, {2, 2, 3}, {2, 4, 6}, NULL, false, true, true, true},
    {SHARDIO_INT64, 2, {5, 6, 0}, {2, 3, 0}, {0, 0, 0}, NULL, false, false, true, true},
    {SHARDIO_STRING, 1, {20, 0, 0}, {3, 0, 0}, {9, 0, 0}, NULL, false, false, false, true},
    {SHARDIO_BYTES, 2, {4, 5, 0}, {2, 2, 0}, {0, 0, 0}, NULL, false, false, false, false},
    {SHARDIO_RAW, 1, {30, 0, 0}, {4, 0, 0}, {8, 0, 0}, NULL, true, false, false, false},
    {SHARDIO_UINT32, 2, {8, 8, 0}, {8, 8, 0}, {0, 0, 0},
     "[" SHARD("[4,4]", SUMMED, "{\"name\":\"transpose\",\"configuration\":{\"order\":[1,0]}},"
               SHARD("[2,2]", INDEX(BIG, ",\"crc32c\""), BIG)) "]",
     false, false, false, false},
    {SHARDIO_INT16, 2, {8, 9, 0}, {4, 4, 0}, {0, 0, 0},
     "[" SHARD("[2,2]", INDEX(LITTLE, ""), LITTLE ",\"crc32c\"") ",\"crc32c\"]", false, false, false, false},
    {SHARDIO_STRING, 2, {4, 8, 0}, {4, 4, 0}, {0, 0, 0},
     "[" SHARD("[4,2]", SUMMED,
               SHARD("[2,1]", SUMMED, "\"vlen-utf8\",\"crc32c\"") ",\"crc32c\"") "]", false, false, false, false},
    {SHARDIO_COMPLEX64, 0, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, NULL, false, false, false, true},
    {SHARDIO_DATETIME64, 1, {9, 0, 0}, {4, 0, 0}, {0, 0, 0}, NULL, false, false, false, false},
#if SHARDIO_WITH_ZSTD
    {SHARDIO_UINT16, 2, {9, 10, 0}, {4, 5, 0}, {4, 10, 0},
     "[" SHARD("[4,5]", SUMMED,
               LITTLE ",{\"name\":\"zstd\",\"configuration\":{\"level\":1,\"checksum\":true}}") "]",
     false, false, false, false},
    {SHARDIO_STRING, 1, {20, 0, 0}, {10, 0, 0}, {0, 0, 0},
     "[\"vlen-utf8\",{\"name\":\"zstd\",\"configuration\":{\"level\":1}}]", false, false, false, false},
#endif
#if SHARDIO_WITH_ZLIB
    {SHARDIO_UINT16, 1, {40, 0, 0}, {20, 0, 0}, {0, 0, 0},
     "[" LITTLE ",{\"name\":\"gzip\",\"configuration\":{\"level\":1}}]", false, false, false, false},
#endif
#if SHARDIO_WITH_BLOSC
    {SHARDIO_UINT16, 1, {400, 0, 0}, {200, 0, 0}, {0, 0, 0},
     "[" LITTLE ",{\"name\":\"blosc\",\"configuration\":{\"cname\":\"lz4\",\"clevel\":5,\"shuffle\":\"shuffle\","
     "\"typesize\":2,\"blocksize\":0}}]",
     false, false, false, false},
#endif
#if SHARDIO_WITH_LZ4
    {SHARDIO_UINT16, 1, {40, 0, 0}, {20, 0, 0}, {0, 0, 0},
     "[" LITTLE ",{\"name\":\"numcodecs.lz4\",\"configuration\":{\"acceleration\":1}}]", false, false, false, false},
#endif
};

static shardio_array_options make_options(const make *k)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.dtype = k->dtype;
    o.raw_bytes = k->dtype == SHARDIO_RAW ? 3 : 0;
    o.time_unit = k->dtype == SHARDIO_DATETIME64 ? "ms" : NULL;
    o.ndim = k->ndim;
    memcpy(o.shape, k->shape, sizeof k->shape);
    memcpy(o.chunk, k->chunk, sizeof k->chunk);
    memcpy(o.shard, k->shard, sizeof k->shard);
    o.codec_list = k->list;
    o.index_at_start = k->at_start;
    o.index_no_checksum = k->no_checksum;
    o.key_v2 = k->key_v2;
    o.codecs[0] = k->crc ? shardio_codec_crc32c() : NULL;
    o.attributes = "{\"a\": [1, 2.5, {\"b\": null}]}";
    o.dead_percent = 100;
    return o;
}

static void seed(const shardio_store *store, const char *key, uint8_t number)
{
    static uint8_t data[1 << 14];
    size_t text_size, size;
    uint8_t *text = store_get(store, "zarr.json", &text_size), *value = store_get(store, key, &size);
    if (CHECK(text != NULL && value != NULL && 8 + text_size + size <= sizeof data)) {
        memset(data, 0, 8);
        data[0] = (uint8_t)(0xC1 | number << 1);
        data[1] = (uint8_t)(number * 29);
        data[2] = number;
        data[6] = (uint8_t)(text_size & 255);
        data[7] = (uint8_t)(text_size >> 8);
        memcpy(data + 8, text, text_size);
        memcpy(data + 8 + text_size, value, size);
        fuzz_seed(data, 8 + text_size + size);
    }
    free(text);
    free(value);
}

static void fuzz_seeds(void)
{
    for (uint8_t i = 0; i < sizeof makes / sizeof makes[0]; i++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o = make_options(&makes[i]);
        shardio_array_facts f;
        shardio_error e;
        key_list keys;
        char key[100] = "";
        uint64_t zero[3] = {0, 0, 0};
        uint8_t *data = (uint8_t *)malloc(400 * 16);
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_describe(a, &f));
        uint64_t elements = 1;
        for (uint32_t d = 0; d < f.ndim; d++) elements *= f.shape[d];
        some_elements(&f, data, elements, i);
        for (int twice = 0; twice < 2; twice++)                  /* with dead bytes */
            CHECK_OK(shardio_array_write(a, zero, o.shape, data, (size_t)elements * f.element_size, &e));
        shardio_array_close(a);
        CHECK_OK(store_keys(&store, "", &keys));
        for (const char *at = keys.text; sscanf(at, " %99s", key) == 1; at += strlen(key) + 1)
            if (strcmp(key, "zarr.json") != 0) break;
        seed(&store, key, i);
        free(data);
        shardio_store_memory_free(&memory);
    }
}
