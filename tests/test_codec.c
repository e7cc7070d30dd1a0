/* The codec section: crc32c, and codecs of the caller's in an array. Without the codecs on libraries, whatever the other
   tests are built with. */
#undef SHARDIO_WITH_ZSTD
#undef SHARDIO_WITH_ZLIB
#undef SHARDIO_WITH_BLOSC
#undef SHARDIO_WITH_LZ4
#include "arrays.h"

TEST(crc32c_vector)
{
    const shardio_codec *c = shardio_codec_crc32c();
    static const struct { const char *text; uint8_t sum[4]; } table[] = {
        {"", {0, 0, 0, 0}}, {"123456789", {0x83, 0x92, 0x06, 0xe3}}, {"a", {0x30, 0x43, 0xd0, 0xc1}},
    };
    CHECK_TEXT(c->name, "crc32c");
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint8_t out[32], back[32];
        size_t size = strlen(table[i].text), out_size = 99, back_size = 99;
        CHECK_U64(c->bound(c->context, size), size + 4);
        CHECK_OK(c->encode(c->context, table[i].text, size, out, sizeof out, &out_size));
        CHECK_U64(out_size, size + 4);
        CHECK_BYTES(out, table[i].text, size);
        CHECK_BYTES(out + size, table[i].sum, 4);
        CHECK_OK(c->decode(c->context, out, out_size, back, sizeof back, &back_size));
        CHECK_U64(back_size, size);
        CHECK_BYTES(back, table[i].text, size);
    }
    for (size_t size = SIZE_MAX - 5; size != 0; size++) CHECK(c->bound(c->context, size) >= size);    /* no wrap */
}

TEST(crc32c_sizes)
{
    const shardio_codec *c = shardio_codec_crc32c();
    uint64_t r = 1;
    for (size_t size = 0; size < 300; size += size < 20 ? 1 : 17) {
        uint8_t *in = (uint8_t *)malloc(size + 1), *out = (uint8_t *)malloc(size + 4), *back = (uint8_t *)malloc(size + 1);
        size_t n = 0;
        for (size_t i = 0; i < size; i++) in[i] = (uint8_t)test_random(&r);
        CHECK_OK(c->encode(c->context, in, size, out, size + 4, &n));      /* exactly enough */
        CHECK_U64(n, size + 4);
        CHECK_OK(c->decode(c->context, out, n, back, size, &n));
        CHECK_U64(n, size);
        CHECK_BYTES(back, in, size);
        for (size_t less = 1; less <= 4; less++)                           /* too little room */
            CHECK(c->encode(c->context, in, size, out, size + 4 - less, &n) != SHARDIO_OK);
        CHECK_OK(c->encode(c->context, in, size, out, size + 4, &n));
        if (size > 0) CHECK(c->decode(c->context, out, size + 4, back, size - 1, &n) != SHARDIO_OK);
        for (size_t bit = 0; bit < 8 * (size + 4); bit += 1 + size / 9) {  /* one bit wrong, anywhere */
            out[bit / 8] = (uint8_t)(out[bit / 8] ^ (1 << bit % 8));
            CHECK_STATUS(c->decode(c->context, out, size + 4, back, size, &n), SHARDIO_ERR_CHECKSUM);
            out[bit / 8] = (uint8_t)(out[bit / 8] ^ (1 << bit % 8));
        }
        free(in);
        free(out);
        free(back);
    }
    for (size_t size = 0; size < 4; size++) {                               /* no room for a checksum */
        uint8_t *in = (uint8_t *)calloc(size + 1, 1), out[8];
        size_t n;
        shardio_status s = c->decode(c->context, in, size, out, sizeof out, &n);
        CHECK(s == SHARDIO_ERR_TRUNCATED || s == SHARDIO_ERR_CORRUPT || s == SHARDIO_ERR_CHECKSUM);
        free(in);
    }
}

/* A codec of the caller's: runs of equal bytes, everything mixed with a key. Can be told to misbehave. */
typedef struct runs {
    uint8_t key;
    int encoded, decoded;
    int fail_encode, fail_decode;     /* the how-manieth call fails; 0: none */
    int short_decode;                 /* gives so many bytes less than it should */
} runs;

static size_t runs_bound(void *context, size_t size)
{
    (void)context;
    return size > SIZE_MAX / 2 ? SIZE_MAX : 2 * size;
}

static shardio_status runs_encode(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size)
{
    runs *r = (runs *)context;
    const uint8_t *from = (const uint8_t *)in;
    uint8_t *to = (uint8_t *)out;
    size_t used = 0;
    if (++r->encoded == r->fail_encode) return SHARDIO_ERR_LIMIT;
    for (size_t i = 0; i < size;) {
        size_t n = 1;
        while (i + n < size && from[i + n] == from[i] && n < 255) n++;
        if (capacity - used < 2) return SHARDIO_ERR_LIMIT;
        to[used++] = (uint8_t)n;
        to[used++] = (uint8_t)(from[i] ^ r->key);
        i += n;
    }
    *out_size = used;
    return SHARDIO_OK;
}

static shardio_status runs_decode(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size)
{
    runs *r = (runs *)context;
    const uint8_t *from = (const uint8_t *)in;
    uint8_t *to = (uint8_t *)out;
    size_t used = 0;
    if (++r->decoded == r->fail_decode) return SHARDIO_ERR_CORRUPT;
    if (size % 2) return SHARDIO_ERR_CORRUPT;
    for (size_t i = 0; i < size; i += 2) {
        if (from[i] > capacity - used) return SHARDIO_ERR_LIMIT;
        memset(to + used, from[i + 1] ^ r->key, from[i]);
        used += from[i];
    }
    *out_size = used - (size_t)r->short_decode;
    return SHARDIO_OK;
}

static shardio_codec runs_codec(runs *r)
{
    shardio_codec c;
    memset(&c, 0, sizeof c);
    c.name = "test.runs";
    c.configuration = "{\"key\": 90}";
    c.context = r;
    c.bound = runs_bound;
    c.encode = runs_encode;
    c.decode = runs_decode;
    return c;
}

/* 7 frames of 5 by 6 with long runs. */
static void runs_model(model *m, const shardio_codec *codec, bool crc, bool sharded)
{
    memset(m, 0, sizeof *m);
    m->o.ndim = 3;
    m->o.dtype = SHARDIO_UINT16;
    static const uint64_t shape[] = {0, 5, 6}, chunk[] = {2, 3, 6}, shard[] = {4, 6, 6};
    for (int d = 0; d < 3; d++) { m->o.shape[d] = shape[d]; m->o.chunk[d] = chunk[d]; m->o.shard[d] = sharded ? shard[d] : 0; }
    m->o.codecs[0] = codec;
    m->o.codecs[1] = crc ? shardio_codec_crc32c() : NULL;
    m->o.buffer_size = 4096;
    m->o.memory = 1;
    model_begin(m, 7, 3, false);
    for (size_t i = 0; i < 7 * 30; i++) if (i % 50 > 10) memcpy(m->data + 2 * i, "\1\1", 2);
}

static shardio_status runs_write(const shardio_store *store, const model *m)
{
    uint64_t r = 4;
    shardio_array *a = shardio_array_create_in(store, &m->o);
    shardio_error e;
    shardio_status first = model_append(m, a, 0, 7 * m->frame, &r), last;
    if (first != SHARDIO_OK) CHECK_STATUS(shardio_array_append(a, m->data, 1), first);
    last = shardio_array_finish(a, &e);
    CHECK_STATUS(last, e.status);
    if (first != SHARDIO_OK) CHECK_STATUS(last, first);
    return last;
}

/* Opens with or without the codec, reads all. */
static shardio_status runs_read(const shardio_store *store, const model *m, const shardio_codec *codec, shardio_error *e)
{
    static const uint64_t start[3] = {0, 0, 0}, count[3] = {7, 5, 6};
    shardio_array_options o;
    uint8_t got[7 * 30 * 2];
    memset(&o, 0, sizeof o);
    o.codecs[0] = codec;
    shardio_array *a = shardio_array_open_in(store, &o, e);
    shardio_status s = e->status;
    if (s == SHARDIO_OK) s = shardio_array_read(a, start, count, got, sizeof got, e);
    else CHECK_STATUS(shardio_array_read(a, start, count, got, sizeof got, NULL), s);
    if (s == SHARDIO_OK) CHECK_BYTES(got, m->data, sizeof got);
    shardio_array_close(a);
    return s;
}

TEST(codec_of_the_caller)
{
    for (int k = 0; k < 4; k++) {
        runs state = {90, 0, 0, 0, 0, 0};
        shardio_codec codec = runs_codec(&state);
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        model m;
        runs_model(&m, &codec, k % 2 != 0, k / 2 != 0);
        CHECK_OK(runs_write(&store, &m));
        CHECK_U64(state.encoded, 4 * 2);
        CHECK_OK(runs_read(&store, &m, &codec, &e));
        CHECK_U64(state.decoded, 4 * 2);

        /* zarr.json says so, and who does not know the codec is told its name */
        size_t size;
        uint8_t *text = store_get(&store, "zarr.json", &size);
        shardio_json doc = {NULL, 0}, entry = {NULL, 0}, name;
        CHECK(text != NULL && shardio_json_parse((const char *)text, size, &doc, NULL) == SHARDIO_OK);
        shardio_json list = shardio_json_member(doc, "codecs");
        size_t at = 0;
        if (k / 2) {
            CHECK(shardio_json_next(list, &at, NULL, &entry));
            list = shardio_json_member(shardio_json_member(entry, "configuration"), "codecs");
        }
        static const char *const names[] = {"bytes", "test.runs", "crc32c"};
        size_t count = 0;
        for (at = 0; shardio_json_next(list, &at, &name, &entry) && count < 3; count++) {
            CHECK(shardio_json_is(shardio_json_member(entry, "name"), names[count]));
            uint64_t key = 0;
            if (count == 1) CHECK(shardio_json_uint64(shardio_json_member(shardio_json_member(entry, "configuration"), "key"), &key) && key == 90);
        }
        CHECK_U64(count, 2 + k % 2);
        free(text);
        char sentence[400];
        CHECK_STATUS(runs_read(&store, &m, NULL, &e), SHARDIO_ERR_UNSUPPORTED);
        CHECK(strstr(shardio_error_text(&e, sentence, sizeof sentence), "test.runs") != NULL);

        /* the same through describe and verify */
        shardio_array_options o;
        shardio_array_facts f;
        memset(&o, 0, sizeof o);
        o.codecs[0] = &codec;
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        memset(&f, 0, sizeof f);
        CHECK_OK(shardio_array_describe(a, &f));
        CHECK_U64(f.codecs, 1 + k % 2);
        if (f.codecs > 0) CHECK_TEXT(f.codec_names[0], "test.runs");
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
        shardio_array_close(a);
        model_end(&m);
        shardio_store_memory_free(&memory);
    }
}

TEST(codec_that_fails)
{
    for (int fail = 1; fail <= 8; fail++) {             /* encoding: sticks, and nothing is published */
        runs state = {90, 0, 0, 0, 0, 0};
        shardio_codec codec = runs_codec(&state);
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        key_list list;
        model m;
        state.fail_encode = fail;
        runs_model(&m, &codec, false, fail % 2 != 0);
        CHECK_STATUS(runs_write(&store, &m), SHARDIO_ERR_LIMIT);
        CHECK_OK(store_keys(&store, "", &list));
        CHECK(!key_listed(&list, "zarr.json"));
        CHECK_U64(list.temporary, 0);
        model_end(&m);
        shardio_store_memory_free(&memory);
    }
    runs state = {90, 0, 0, 0, 0, 0};
    shardio_codec codec = runs_codec(&state);
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_error e;
    model m;
    runs_model(&m, &codec, false, true);
    CHECK_OK(runs_write(&store, &m));
    for (int fail = 1; fail <= 8; fail++) {             /* decoding: that call only */
        state.decoded = 0;
        state.fail_decode = fail;
        CHECK_STATUS(runs_read(&store, &m, &codec, &e), SHARDIO_ERR_CORRUPT);
        state.fail_decode = 0;
        CHECK_OK(runs_read(&store, &m, &codec, &e));
    }
    state.short_decode = 1;                             /* a chunk shorter than its decoded size should be */
    CHECK_STATUS(runs_read(&store, &m, &codec, &e), SHARDIO_ERR_CORRUPT);
    state.short_decode = -1;
    CHECK(runs_read(&store, &m, &codec, &e) != SHARDIO_OK);
    model_end(&m);
    shardio_store_memory_free(&memory);
}

/* A foreign chunk that decodes to more or less than a chunk, is cut short, or fails its checksum. */
TEST(chunk_of_wrong_length)
{
    runs state = {90, 0, 0, 0, 0, 0};
    shardio_codec codec = runs_codec(&state);
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_error e;
    model m;
    runs_model(&m, &codec, false, false);
    CHECK_OK(runs_write(&store, &m));
    size_t size;
    uint8_t *chunk = store_get(&store, "c/0/0/0", &size);
    if (CHECK(chunk != NULL && size > 4)) {
        uint8_t *more = (uint8_t *)malloc(size + 600);
        memcpy(more, chunk, size);
        for (size_t i = 0; i < 600; i++) more[size + i] = 200;
        CHECK_OK(store_put(&store, "c/0/0/0", more, size + 2));
        CHECK(runs_read(&store, &m, &codec, &e) != SHARDIO_OK);
        CHECK_OK(store_put(&store, "c/0/0/0", more, size + 600));
        CHECK(runs_read(&store, &m, &codec, &e) != SHARDIO_OK);
        for (size_t less = 1; less <= size; less++) {
            CHECK_OK(store_put(&store, "c/0/0/0", chunk, size - less));
            CHECK(runs_read(&store, &m, &codec, &e) != SHARDIO_OK);
        }
        CHECK_OK(store_put(&store, "c/0/0/0", chunk, size));
        CHECK_OK(runs_read(&store, &m, &codec, &e));
        free(more);
    }
    free(chunk);
    model_end(&m);
    shardio_store_memory_free(&memory);
}

/* A codec table that makes no sense is the caller's mistake, not a crash. */
TEST(codec_tables)
{
    for (int k = 0; k < 5; k++) {
        runs state = {90, 0, 0, 0, 0, 0};
        shardio_codec codec = runs_codec(&state);
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        key_list list;
        model m;
        if (k == 0) codec.configuration = "{\"key\": ";
        if (k == 1) codec.configuration = "[1]";
        if (k == 2) codec.name = NULL;
        if (k == 3) codec.encode = NULL;
        if (k == 4) codec.bound = NULL;
        runs_model(&m, &codec, false, true);
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK(shardio_array_append(a, m.data, m.frame) != SHARDIO_OK);
        CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_OK(store_keys(&store, "", &list));
        CHECK_U64(list.count, 0);
        model_end(&m);
        shardio_store_memory_free(&memory);
    }
}

/* Who opens an array that needs a codec which was not compiled in is told its name, and what would give it. */
TEST(codec_of_another_build)
{
    static const char *const table[][2] = {
        {"zstd", "SHARDIO_WITH_ZSTD"}, {"gzip", "SHARDIO_WITH_ZLIB"}, {"blosc", "SHARDIO_WITH_BLOSC"},
        {"numcodecs.lz4", "SHARDIO_WITH_LZ4"}, {"nobody.knows", "does not know"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        runs state = {90, 0, 0, 0, 0, 0};
        shardio_codec codec = runs_codec(&state);
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        model m;
        char sentence[400];
        codec.name = table[i][0];
        runs_model(&m, &codec, false, i % 2 == 0);
        CHECK_OK(runs_write(&store, &m));
        CHECK_STATUS(runs_read(&store, &m, NULL, &e), SHARDIO_ERR_UNSUPPORTED);
        shardio_error_text(&e, sentence, sizeof sentence);
        CHECK(strstr(sentence, table[i][0]) != NULL);
        CHECK(strstr(sentence, table[i][1]) != NULL);
        CHECK_OK(runs_read(&store, &m, &codec, &e));
        model_end(&m);
        shardio_store_memory_free(&memory);
    }
}

TEST_MAIN(TEST_CASE(crc32c_vector) TEST_CASE(crc32c_sizes) TEST_CASE(codec_of_the_caller) TEST_CASE(codec_that_fails)
          TEST_CASE(chunk_of_wrong_length) TEST_CASE(codec_tables) TEST_CASE(codec_of_another_build))
