/* The zarr section: small arrays of every make, damaged at random, and everything is tried on them. Whatever comes out, it
   is data or an error: no crash, no leak, no loop without end, no memory that the files do not justify. The same numbers
   every time; TEST_COUNT=1000000 makes it long, TEST_SEED=n tries one. */
#include "arrays.h"

#define LITTLE "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
#define BIG "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"big\"}}"
#define INDEX(bytes, rest) "\"index_codecs\":[" bytes rest "]"
#define SHARD(chunk, index, codecs) "{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":" chunk "," index ",\"codecs\":[" codecs "]}}"

/* ---- the arrays */

typedef struct make {
    shardio_dtype dtype;
    uint32_t ndim;
    uint64_t shape[3], chunk[3], shard[3];
    const char *list;
    bool at_start, no_checksum, skip, key_v2, crc;
} make;

static const make makes[] = {
    {SHARDIO_UINT16, 2, {9, 10, 0}, {2, 3, 0}, {4, 6, 0}, NULL, false, false, false, false, false},
    {SHARDIO_UINT8, 1, {40, 0, 0}, {4, 0, 0}, {16, 0, 0}, NULL, true, false, true, false, true},
    {SHARDIO_FLOAT32, 3, {3, 4, 5}, {2, 2, 3}, {2, 4, 6}, NULL, false, true, false, true, true},
    {SHARDIO_INT64, 2, {5, 6, 0}, {2, 3, 0}, {0, 0, 0}, NULL, false, false, false, true, true},
    {SHARDIO_STRING, 1, {20, 0, 0}, {3, 0, 0}, {9, 0, 0}, NULL, false, false, true, false, true},
    {SHARDIO_BYTES, 2, {4, 5, 0}, {2, 2, 0}, {0, 0, 0}, NULL, false, false, false, false, false},
    {SHARDIO_RAW, 1, {30, 0, 0}, {4, 0, 0}, {8, 0, 0}, NULL, true, false, false, false, false},
    {SHARDIO_UINT32, 2, {8, 8, 0}, {8, 8, 0}, {0, 0, 0},
     "[" SHARD("[4,4]", INDEX(LITTLE, ",\"crc32c\""), "{\"name\":\"transpose\",\"configuration\":{\"order\":[1,0]}}," SHARD("[2,2]", INDEX(BIG, ",\"crc32c\""), BIG)) "]",
     false, false, true, false, false},
    {SHARDIO_INT16, 2, {8, 9, 0}, {4, 4, 0}, {0, 0, 0}, "[" SHARD("[2,2]", INDEX(LITTLE, ""), LITTLE ",\"crc32c\"") ",\"crc32c\"]", false, false, false, false, false},
    {SHARDIO_STRING, 2, {4, 8, 0}, {4, 4, 0}, {0, 0, 0},
     "[" SHARD("[4,2]", INDEX(LITTLE, ",\"crc32c\""), SHARD("[2,1]", INDEX(LITTLE, ",\"crc32c\""), "\"vlen-utf8\",\"crc32c\"") ",\"crc32c\"") "]", false, false, true, false, false},
    {SHARDIO_COMPLEX64, 0, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, NULL, false, false, false, false, true},
#if SHARDIO_WITH_ZSTD
    {SHARDIO_UINT16, 2, {9, 10, 0}, {4, 5, 0}, {4, 10, 0}, "[" SHARD("[4,5]", INDEX(LITTLE, ",\"crc32c\""), LITTLE ",{\"name\":\"zstd\",\"configuration\":{\"level\":1,\"checksum\":true}}") "]",
     false, false, false, false, false},
    {SHARDIO_STRING, 1, {20, 0, 0}, {10, 0, 0}, {0, 0, 0}, "[\"vlen-utf8\",{\"name\":\"zstd\",\"configuration\":{\"level\":1}}]", false, false, false, false, false},
#endif
#if SHARDIO_WITH_ZLIB
    {SHARDIO_UINT16, 1, {40, 0, 0}, {20, 0, 0}, {0, 0, 0}, "[" LITTLE ",{\"name\":\"gzip\",\"configuration\":{\"level\":1}}]", false, false, false, false, false},
#endif
#if SHARDIO_WITH_BLOSC
    {SHARDIO_UINT16, 1, {400, 0, 0}, {200, 0, 0}, {0, 0, 0},
     "[" LITTLE ",{\"name\":\"blosc\",\"configuration\":{\"cname\":\"lz4\",\"clevel\":5,\"shuffle\":\"shuffle\",\"typesize\":2,\"blocksize\":0}}]", false, false, false, false, false},
#endif
#if SHARDIO_WITH_LZ4
    {SHARDIO_UINT16, 1, {40, 0, 0}, {20, 0, 0}, {0, 0, 0}, "[" LITTLE ",{\"name\":\"numcodecs.lz4\",\"configuration\":{\"acceleration\":1}}]", false, false, false, false, false},
#endif
};
enum { MAKES = sizeof makes / sizeof makes[0], MOST_FILES = 24 };

typedef struct original {
    struct { char key[40]; uint8_t *data; size_t size; } file[MOST_FILES];
    size_t count;
    uint64_t chunks;                 /* of a shard; 0: there are none */
} original;

static bool take_key(void *context, const char *key, uint64_t size, bool temporary)
{
    original *o = (original *)context;
    (void)size, (void)temporary;
    snprintf(o->file[o->count++].key, sizeof o->file[0].key, "%.39s", key);
    return o->count < MOST_FILES;
}

static void original_begin(original *o, const make *k)
{
    static const char *const words[] = {"", "a", "some words", "\xC3\xBC\xE2\x82\xAC", "0123456789012345678901234567890123456789"};
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options options;
    shardio_error e;
    uint64_t zero[3] = {0, 0, 0}, elements = 1;
    int code = 0;
    memset(o, 0, sizeof *o);
    memset(&options, 0, sizeof options);
    options.dtype = k->dtype;
    options.raw_bytes = k->dtype == SHARDIO_RAW ? 3 : 0;
    options.ndim = k->ndim;
    for (uint32_t i = 0; i < k->ndim; i++) {
        options.shape[i] = k->shape[i];
        options.chunk[i] = k->chunk[i];
        options.shard[i] = k->shard[i];
        elements *= k->shape[i];
        o->chunks = (i ? o->chunks : 1) * (k->shard[i] ? k->shard[i] / k->chunk[i] : 0);
    }
    if (k->list != NULL && strstr(k->list, "\"sharding_indexed\"") != NULL) o->chunks = 4;
    options.codec_list = k->list;
    options.index_at_start = k->at_start;
    options.index_no_checksum = k->no_checksum;
    options.skip_fill = k->skip;
    options.key_v2 = k->key_v2;
    options.codecs[0] = k->crc ? shardio_codec_crc32c() : NULL;
    options.attributes = "{\"a\": [1, 2.5, {\"b\": null}]}";
    options.dead_percent = 100;
    bool texts = k->dtype == SHARDIO_STRING || k->dtype == SHARDIO_BYTES;
    uint8_t numbers[8 * 400];
    shardio_bytes strings[400];
    for (size_t i = 0; i < sizeof numbers; i++) numbers[i] = (uint8_t)(i % 7 < 4 ? i : 0);
    for (size_t i = 0; i < 400; i++) {
        strings[i].data = words[i % 5];
        strings[i].size = strlen(words[i % 5]);
    }
    CHECK_OK(shardio_array_define_in(&store, &options, &e));
    shardio_array *a = shardio_array_update_in(&store, &options, &e);
    for (int twice = 0; twice < 2; twice++)                    /* with dead bytes */
        CHECK_OK(shardio_array_write(a, zero, options.shape, texts ? (const void *)strings : (const void *)numbers, texts ? sizeof strings : sizeof numbers, &e));
    CHECK(elements <= 400);
    shardio_array_close(a);
    CHECK_OK(store.functions->list(store.context, "", take_key, o, &code));
    for (size_t i = 0; i < o->count; i++) o->file[i].data = store_get(&store, o->file[i].key, &o->file[i].size);
    shardio_store_memory_free(&memory);
}

/* ---- damage */

typedef struct bytes { uint8_t *data; size_t size, room; } bytes;

static void exchange(bytes *b, size_t at, size_t gone, const uint8_t *fresh, size_t n)
{
    if (at > b->size) at = b->size;
    if (gone > b->size - at) gone = b->size - at;
    if (b->size - gone + n > b->room) return;
    memmove(b->data + at + n, b->data + at + gone, b->size - at - gone);
    if (n > 0) memcpy(b->data + at, fresh, n);
    b->size += n - gone;
}

/* A number, a word, a bracket of the text becomes another one. */
static void damage_text(bytes *b, uint64_t *r)
{
    static const char *const numbers[] = {"0", "1", "-1", "2", "3", "7", "8", "16", "255", "256", "65536", "1048577", "2147483648", "4294967295", "4294967296", "268435456",
                                          "1099511627776", "4611686018427387904", "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
                                          "1e3", "1.5", "1e400"};
    static const char *const words[] = {"null", "true", "[]", "{}", "\"\"", "\"bytes\"", "\"crc32c\"", "\"string\"", "\"uint8\"", "\"float64\"", "\"r24\"", "\"vlen-utf8\"",
                                        "\"end\"", "\"start\"", "\"little\"", "\"big\"", "\"default\"", "\"v2\"", "[1]", "[0,1]", "{\"name\":\"crc32c\"}", "\"zstd\"",
                                        "{\"name\":\"gzip\"}", "\"sharding_indexed\"", "\"codecs\"", "\"shape\""};
    static const char lively[] = "{}[]\",:0123456789-e.\\ut";
    size_t at = (size_t)(test_random(r) % b->size), end = at;
    uint64_t how = test_random(r) % 10;
    if (how < 4) {                                            /* a number */
        while (end < b->size && (b->data[end] < '0' || b->data[end] > '9')) end++;
        for (at = end; end < b->size && b->data[end] >= '0' && b->data[end] <= '9'; end++) {}
        const char *one = numbers[test_random(r) % (sizeof numbers / sizeof numbers[0])];
        exchange(b, at, end - at, (const uint8_t *)one, strlen(one));
    } else if (how < 6) {                                     /* a string */
        while (at < b->size && b->data[at] != '"') at++;
        for (end = at + 1; end < b->size && b->data[end] != '"'; end++) {}
        const char *one = words[test_random(r) % (sizeof words / sizeof words[0])];
        exchange(b, at, end + 1 - at, (const uint8_t *)one, strlen(one));
    } else if (how < 7) {                                     /* a piece again, somewhere */
        uint8_t piece[100];
        size_t n = 1 + (size_t)(test_random(r) % sizeof piece);
        if (n > b->size - at) n = b->size - at;
        memcpy(piece, b->data + at, n);
        exchange(b, (size_t)(test_random(r) % b->size), (size_t)(test_random(r) % 2) * n, piece, n);
    } else if (how < 8) {
        exchange(b, at, (size_t)(test_random(r) % 20), NULL, 0);
    } else if (how < 9) {
        b->data[at] = (uint8_t)lively[test_random(r) % (sizeof lively - 1)];
    } else {
        b->data[at] ^= (uint8_t)(1 << test_random(r) % 8);
    }
}

/* Bytes of a chunk, entries of an index, the length of the file. With `seal` the checksum of the index is right again. */
static void damage_shard(bytes *b, const original *o, const make *k, uint64_t *r)
{
    static const uint64_t numbers[] = {0, 1, 2, 4, 8, 64, 100, 255, 65536, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 4};
    shardio_index_layout layout;
    memset(&layout, 0, sizeof layout);
    layout.chunks = o->chunks;
    layout.no_checksum = k->no_checksum || (k->list != NULL && k->dtype == SHARDIO_INT16);
    size_t index_size = o->chunks ? shardio_index_size(&layout) : 0;
    uint64_t how = test_random(r) % 8;
    if (b->size == 0) return;
    if (how == 0) {
        b->size -= (size_t)(test_random(r) % (b->size + 1));
    } else if (how == 1) {
        uint8_t more[40];
        for (size_t i = 0; i < sizeof more; i++) more[i] = (uint8_t)test_random(r);
        exchange(b, test_random(r) % 2 ? b->size : (size_t)(test_random(r) % b->size), 0, more, (size_t)(test_random(r) % sizeof more));
    } else if (how < 5 && index_size > 0 && b->size >= index_size) {
        uint8_t *index = k->at_start ? b->data : b->data + b->size - index_size;
        uint64_t chunk = test_random(r) % o->chunks, offset, length;
        shardio_index_get(&layout, index, chunk, &offset, &length);
        uint64_t one = numbers[test_random(r) % (sizeof numbers / sizeof numbers[0])];
        if (test_random(r) % 3 == 0) one = test_random(r) % (b->size + 2);
        if (test_random(r) % 3 == 0) one = (test_random(r) % 2 ? offset : length) + test_random(r) % 5 - 2;
        if (test_random(r) % 2) offset = one;
        else length = one;
        shardio_index_set(&layout, index, chunk, offset, length);
        if (test_random(r) % 4) shardio_index_seal(&layout, index);
    } else {
        size_t at = (size_t)(test_random(r) % b->size);
        if (test_random(r) % 2) b->data[at] = (uint8_t)test_random(r);
        else b->data[at] ^= (uint8_t)(1 << test_random(r) % 8);
        if (index_size > 0 && b->size >= index_size && test_random(r) % 2) shardio_index_seal(&layout, k->at_start ? b->data : b->data + b->size - index_size);
    }
}

/* ---- what is tried */

typedef struct watch {
    size_t live, largest, limit;
    shardio_allocator allocator;
} watch;

static void *watch_allocate(void *context, size_t size, size_t alignment)
{
    watch *w = (watch *)context;
    void *memory = NULL;
    if (size > w->largest) w->largest = size;
    if (size > w->limit || w->live + size > w->limit) return NULL;
    if (posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, size + 1) != 0) return NULL;
    w->live += size;
    return memory;
}

static void watch_release(void *context, void *memory, size_t size, size_t alignment)
{
    watch *w = (watch *)context;
    (void)alignment;
    w->live -= size;
    free(memory);
}

static void watch_begin(watch *w, size_t limit)
{
    memset(w, 0, sizeof *w);
    w->limit = limit;
    w->allocator.context = w;
    w->allocator.allocate = watch_allocate;
    w->allocator.release = watch_release;
}

static uint64_t succeeded, refused;

static void note(shardio_status s)
{
    if (s == SHARDIO_OK) succeeded++;
    else refused++;
}

static void some_region(const shardio_array_facts *f, uint64_t *r, uint64_t *start, uint64_t *count)
{
    uint64_t left = 512;
    for (uint32_t d = 0; d < f->ndim; d++) {
        start[d] = f->shape[d] == 0 || test_random(r) % 3 == 0 ? 0 : test_random(r) % f->shape[d];
        count[d] = f->shape[d] - start[d];
        if (count[d] > 12) count[d] = 1 + test_random(r) % 12;
        if (count[d] > left) count[d] = left;
        if (count[d] > 0) left /= count[d];
    }
}

/* Contents of strings are looked at, every byte. */
static uint64_t look_at(const shardio_array_facts *f, const uint64_t *count, const uint8_t *got)
{
    uint64_t elements = 1, sum = 0;
    for (uint32_t d = 0; d < f->ndim; d++) elements *= count[d];
    for (uint64_t i = 0; i < elements && (f->dtype == SHARDIO_STRING || f->dtype == SHARDIO_BYTES); i++) {
        shardio_bytes one;
        memcpy(&one, got + i * sizeof one, sizeof one);
        for (size_t k = 0; k < one.size; k++) sum += ((const uint8_t *)one.data)[k];
    }
    return sum;
}

static void try_to_read(const shardio_store *store, uint64_t *r)
{
    static uint8_t got[512 * 256];
    static volatile uint64_t sink;
    shardio_array_options o;
    shardio_array_facts f;
    shardio_error e;
    watch w;
    watch_begin(&w, 64 << 20);
    memset(&o, 0, sizeof o);
    o.allocator = &w.allocator;
    o.memory = 1 << 16;
    o.decoded_limit = 1 << 18;
    o.metadata_limit = 1 << 16;
    o.max_open_files = 3;
    o.unbuffered = test_random(r) % 4 == 0;
    shardio_array *a = shardio_array_open_in(store, &o, &e);
    note(e.status);
    if (e.status == SHARDIO_OK) {
        uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS];
        CHECK_OK(shardio_array_describe(a, &f));
        for (int k = 0; k < 3; k++) {
            some_region(&f, r, start, count);
            shardio_status s = shardio_array_read(a, start, count, got, sizeof got, &e);
            note(s);
            if (s == SHARDIO_OK) sink = sink + look_at(&f, count, got);
            CHECK_STATUS(e.status, s);
        }
        if (test_random(r) % 2) note(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
    }
    shardio_array_close(a);
    CHECK_U64(w.live, 0);
    CHECK(w.largest <= 4u << 20);                             /* what the limits and small files allow */
}

static int stop_late(void *context, uint64_t done, uint64_t total)
{
    (void)done, (void)total;
    return ++*(int *)context > 50;
}

static void try_to_change(const shardio_store *store, uint64_t *r)
{
    static uint8_t data[512 * 256];
    shardio_array_options o;
    shardio_array_facts f;
    shardio_error e;
    watch w;
    int calls = 0;
    watch_begin(&w, 8 << 20);
    memset(&o, 0, sizeof o);
    o.allocator = &w.allocator;
    o.decoded_limit = 1 << 18;
    o.buffer_size = 4096;
    o.skip_fill = test_random(r) % 2 != 0;
    o.update = test_random(r) % 3 ? SHARDIO_UPDATE_APPEND : SHARDIO_UPDATE_REWRITE;
    o.dead_percent = test_random(r) % 2 ? 100 : 20;
    shardio_array *a = shardio_array_update_in(store, &o, &e);
    if (e.status == SHARDIO_OK) {
        uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS], shape[SHARDIO_MAX_DIMS];
        for (int k = 0; k < 4; k++) {
            CHECK_OK(shardio_array_describe(a, &f));
            some_region(&f, r, start, count);
            bool texts = f.dtype == SHARDIO_STRING || f.dtype == SHARDIO_BYTES;
            for (size_t i = 0; i + sizeof(shardio_bytes) <= sizeof data && texts; i += sizeof(shardio_bytes)) {
                shardio_bytes one = {"text", i / sizeof one % 5};
                memcpy(data + i, &one, sizeof one);
            }
            shardio_status s = shardio_array_write(a, start, count, test_random(r) % 3 ? data : NULL, sizeof data, &e);
            CHECK_STATUS(e.status, s);
            note(s);
            memcpy(shape, f.shape, sizeof shape);
            for (uint32_t d = 0; d < f.ndim; d++)
                if (test_random(r) % 3 == 0) shape[d] = shape[d] / 2 + test_random(r) % 3;
            if (k == 1) note(shardio_array_resize(a, shape, test_random(r) % 2 != 0, &e));
            if (k == 2) note(shardio_array_compact(a, stop_late, &calls, &e));
        }
    }
    shardio_array_close(a);
    CHECK_U64(w.live, 0);
    watch_begin(&w, 8 << 20);
    o.allocator = &w.allocator;
    a = shardio_array_continue_in(store, &o);
    if (shardio_array_describe(a, &f) == SHARDIO_OK && f.dtype != SHARDIO_STRING && f.dtype != SHARDIO_BYTES) {
        note(shardio_array_append(a, data, 1 + test_random(r) % 50));
        if (test_random(r) % 2) note(shardio_array_checkpoint(a));
    }
    uint64_t frame = 1;
    for (uint32_t d = 1; d < f.ndim; d++) frame = f.shape[d] > 100 || frame > 10000 ? 100000 : frame * f.shape[d];
    if (frame < 10000 && test_random(r) % 2) note(shardio_array_finish(a, &e));        /* it fills up the frame */
    else shardio_array_abort(a);
    CHECK_U64(w.live, 0);
}

static void one_try(const original *o, const make *k, uint64_t seed)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    uint64_t r = seed * 7919 + 1;
    size_t metadata = 0;
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->file[i].key, "zarr.json") == 0) metadata = i;
    bool text = test_random(&r) % 2 != 0;
    size_t which = text ? metadata : (size_t)(test_random(&r) % o->count);
    for (size_t i = 0; i < o->count; i++) {
        bytes b = {NULL, o->file[i].size, o->file[i].size + 4000};
        b.data = (uint8_t *)malloc(b.room + 1);
        memcpy(b.data, o->file[i].data, b.size);
        for (uint64_t n = 1 + test_random(&r) % 3; n > 0 && i == which && b.size > 0; n--) {
            if (i == metadata) damage_text(&b, &r);
            else damage_shard(&b, o, k, &r);
        }
        CHECK_OK(store_put(&store, o->file[i].key, b.data, b.size));
        free(b.data);
    }
    try_to_read(&store, &r);
    if (test_random(&r) % 3 == 0) try_to_change(&store, &r);
    shardio_store_memory_free(&memory);
}

TEST(damaged_at_random)
{
    const char *only = getenv("TEST_SEED"), *many = getenv("TEST_COUNT");
    uint64_t count = many != NULL ? strtoull(many, NULL, 10) : 6000, first = only != NULL ? strtoull(only, NULL, 10) : 0;
    static original o[MAKES];
    for (int k = 0; k < MAKES; k++) original_begin(&o[k], &makes[k]);
    for (uint64_t seed = first; seed < (only != NULL ? first + 1 : count) && test_failures == 0; seed++) {
        alarm(60);                                            /* one that does not end ends the program */
        one_try(&o[seed % MAKES], &makes[seed % MAKES], seed);
        if (test_failures) fprintf(stderr, "    TEST_SEED=%llu\n", (unsigned long long)seed);
    }
    alarm(0);
    CHECK(only != NULL || (succeeded > count / 2 && refused > count / 2));             /* damage of all degrees */
    for (int k = 0; k < MAKES; k++)
        for (size_t i = 0; i < o[k].count; i++) free(o[k].file[i].data);
}

TEST_MAIN(TEST_CASE(damaged_at_random))
