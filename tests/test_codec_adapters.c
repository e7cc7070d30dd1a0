/* The codecs on compression libraries: zstd, gzip, blosc, numcodecs.lz4, each where the tests are built with it. */
#if SHARDIO_WITH_BLOSC
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include <blosc.h>
static int blosc_failures;   /* so many calls fail, as if it had no memory */

static int decompress(const void *in, void *out, size_t size, int threads)
{
    if (blosc_failures > 0) return blosc_failures--, -1;
    return blosc_decompress_ctx(in, out, size, threads);
}
#define blosc_decompress_ctx decompress
#endif
#include "arrays.h"

/* A test for each codec; it is left out where the codec is. */
#define EACH(test)                                                                                                \
    TEST(zstd_##test) { run_each(test, "zstd"); }                                                                 \
    TEST(gzip_##test) { run_each(test, "gzip"); }                                                                 \
    TEST(blosc_##test) { run_each(test, "blosc"); }                                                               \
    TEST(lz4_##test) { run_each(test, "numcodecs.lz4"); }
#define EACH_CASE(test) TEST_CASE(zstd_##test) TEST_CASE(gzip_##test) TEST_CASE(blosc_##test) TEST_CASE(lz4_##test)

static void run_each(void (*test)(const shardio_codec *), const char *name)
{
    const shardio_codec *codec = shardio_p_own_codec(name);
    if (codec == NULL) LEAVE_OUT(shardio_p_codec_macro(name));
    test(codec);
}

/* ---- a codec with a configuration */

/* Begins; `configuration` null: absent. The instance, or null with *status and *reason set. */
static void *begin(const shardio_codec *codec, const char *configuration, size_t element_size,
                   const shardio_allocator *allocator, shardio_status *status, const char **reason)
{
    shardio_json value = {NULL, 0};
    void *instance = NULL;
    *reason = NULL;
    if (configuration != NULL) CHECK_OK(shardio_json_parse(configuration, strlen(configuration), &value, NULL));
    *status = codec->begin(codec->context, value, element_size, allocator, &instance, reason);
    CHECK((*status == SHARDIO_OK) == (instance != NULL));
    CHECK(*status == SHARDIO_OK || (*reason != NULL && **reason != 0));
    return instance;
}

static void *begin_fine(const shardio_codec *codec, const char *configuration)
{
    shardio_status status;
    const char *reason;
    void *instance = begin(codec, configuration, 2, NULL, &status, &reason);
    if (status != SHARDIO_OK) fprintf(stderr, "    %s %s: %s\n", codec->name, configuration, reason);
    CHECK_OK(status);
    return instance;
}

/* Runs encode or decode into memory of exactly `capacity` bytes, with a fence behind it that has to stay as it is: the
   libraries are not built with sanitizers. The memory, to be freed. */
enum { FENCE = 64 };
static uint8_t *run_into(const shardio_codec *codec, bool encode, void *instance, const uint8_t *in, size_t size,
                         size_t capacity, size_t *out_size, shardio_status *status)
{
    uint8_t *out = (uint8_t *)malloc(capacity + FENCE), fence[FENCE];
    memset(out, 0x5a, capacity + FENCE);
    memset(fence, 0x5a, FENCE);
    *out_size = 0;
    *status = (encode ? codec->encode : codec->decode)(instance, in, size, out, capacity, out_size);
    CHECK_BYTES(out + capacity, fence, FENCE);
    if (*status == SHARDIO_OK) CHECK(*out_size <= capacity);
    return out;
}

static uint8_t *encode(const shardio_codec *codec, void *instance, const uint8_t *in, size_t size, size_t *out_size)
{
    shardio_status status;
    size_t bound = codec->bound(instance, size);
    CHECK(bound >= size && bound < size + size / 128 + 4096);
    CHECK_U64(bound, codec->bound(NULL, size));
    uint8_t *out = run_into(codec, true, instance, in, size, bound, out_size, &status);
    CHECK_OK(status);
    return out;
}

static shardio_status decode(const shardio_codec *codec, void *instance, const uint8_t *in, size_t size,
                             size_t capacity, const uint8_t *want, size_t want_size, bool *same)
{
    shardio_status status;
    size_t out_size;
    uint8_t *exact = (uint8_t *)malloc(size > 0 ? size : 1);         /* so that valgrind sees a read behind the end */
    if (size > 0) memcpy(exact, in, size);
    uint8_t *out = run_into(codec, false, instance, exact, size, capacity, &out_size, &status);
    *same = status == SHARDIO_OK && out_size == want_size && (want_size == 0 || memcmp(out, want, want_size) == 0);
    free(out);
    free(exact);
    return status;
}

static void check_decodes(const shardio_codec *codec, void *instance, const uint8_t *in, size_t size, size_t capacity,
                          const uint8_t *want, size_t want_size)
{
    bool same;
    CHECK_OK(decode(codec, instance, in, size, capacity, want, want_size, &same));
    CHECK(same);
}

/* ---- data: all alike, a ramp of numbers, noise, and noise with runs */

static uint8_t *make_data(int kind, size_t size)
{
    uint8_t *data = (uint8_t *)malloc(size + 1);
    uint64_t r = 7;
    for (size_t i = 0; i < size; i++) {
        uint8_t noise = (uint8_t)test_random(&r);
        if (kind == 0) data[i] = 0;
        else if (kind == 1) data[i] = i % 4 == 0 ? (uint8_t)(i / 12) : i % 4 == 1 ? (uint8_t)(i / 3072) : 0;
        else if (kind == 2) data[i] = noise;
        else data[i] = i > 0 && noise > 40 ? data[i - 1] : noise;
    }
    return data;
}

/* Configurations at the edges; the first is null: absent. */
static const char *const *configurations(const shardio_codec *codec)
{
    static const char *const zstd[] = {
        NULL, "{}", "{\"level\": -131072}", "{\"level\": -5, \"checksum\": true}", "{\"level\": 0}", "{\"level\": 1}",
        "{\"level\": 9, \"checksum\": true}", "{\"checksum\": false, \"level\": 22}", NULL
    };
    static const char *const gzip[] = {
        NULL, "{}", "{\"level\": 0}", "{\"level\": 1}", "{\"level\": 6}", "{\"level\": 9}", NULL
    };
    static const char *const lz4[] = {
        NULL, "{}", "{\"acceleration\": 1}", "{\"acceleration\": 0}", "{\"acceleration\": -2147483648}",
        "{\"acceleration\": 100}", "{\"acceleration\": 2147483647}", NULL
    };
    static const char *const blosc[] = {
        NULL, "{}", "{\"cname\": \"lz4\", \"clevel\": 0, \"shuffle\": \"shuffle\"}",
        "{\"cname\": \"lz4\", \"clevel\": 5, \"shuffle\": \"shuffle\", \"typesize\": 2, \"blocksize\": 0}",
        "{\"cname\": \"lz4hc\", \"clevel\": 9, \"shuffle\": \"bitshuffle\", \"typesize\": 4}",
        "{\"cname\": \"blosclz\", \"clevel\": 1, \"shuffle\": \"shuffle\", \"typesize\": 8, \"blocksize\": 1000}",
        "{\"cname\": \"blosclz\", \"clevel\": 9, \"shuffle\": \"noshuffle\", \"typesize\": 255}",
        "{\"cname\": \"zlib\", \"clevel\": 1, \"shuffle\": \"bitshuffle\", \"typesize\": 1, \"blocksize\": 1}",
        "{\"cname\": \"zlib\", \"clevel\": 9, \"typesize\": 16, \"shuffle\": \"shuffle\"}",
        "{\"cname\": \"zstd\", \"clevel\": 3, \"shuffle\": \"bitshuffle\", \"typesize\": 255}",
        "{\"cname\": \"zstd\", \"clevel\": 9, \"shuffle\": \"shuffle\", \"blocksize\": 715827542}", NULL
    };
    return codec->name[0] == 'z' ? zstd : codec->name[0] == 'g' ? gzip : codec->name[0] == 'b' ? blosc : lz4;
}

/* ---- round trips */

static void check_round_trip(const shardio_codec *codec, void *instance, const uint8_t *data, size_t size)
{
    size_t encoded_size, out_size;
    bool same;
    shardio_status status;
    uint8_t *encoded = encode(codec, instance, data, size, &encoded_size);
    check_decodes(codec, instance, encoded, encoded_size, size, data, size);             /* exactly enough room */
    check_decodes(codec, instance, encoded, encoded_size, size + 1000, data, size);
    for (size_t less = 1; less <= size; less *= 7)
        CHECK_STATUS(decode(codec, instance, encoded, encoded_size, size - less, data, size, &same), SHARDIO_ERR_LIMIT);
    for (size_t less = 1; less <= encoded_size; less *= 7) {          /* less room: less is written, or nothing */
        uint8_t *out = run_into(codec, true, instance, data, size, encoded_size - less, &out_size, &status);
        if (status == SHARDIO_OK) check_decodes(codec, instance, out, out_size, size, data, size);
        else CHECK_STATUS(status, SHARDIO_ERR_LIMIT);
        free(out);
    }
    uint8_t *again = encode(codec, instance, data, size, &out_size);  /* nothing is left over from before */
    CHECK_U64(out_size, encoded_size);
    if (out_size == encoded_size) CHECK_BYTES(again, encoded, encoded_size);
    free(again);
    free(encoded);
}

static void round_trips(const shardio_codec *codec)
{
    static const size_t sizes[] = {0, 1, 2, 3, 7, 15, 16, 17, 100, 127, 128, 129, 1000, 4096, 65535, 65537, 200000};
    const char *const *list = configurations(codec);
    for (int k = 0; k == 0 || list[k] != NULL; k++) {
        void *instance = begin_fine(codec, list[k]);
        if (instance == NULL) continue;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            uint8_t *data = make_data((int)(i + (size_t)k) % 4, sizes[i]);
            check_round_trip(codec, instance, data, sizes[i]);
            free(data);
        }
        for (int kind = 0; k == 0 && kind < 4; kind++) {
            uint8_t *data = make_data(kind, 1 << 20);
            check_round_trip(codec, instance, data, 1 << 20);
            free(data);
        }
        codec->end(instance);
    }
}

/* Numbers that compress come out smaller, those that do not hardly larger. */
static void sizes(const shardio_codec *codec)
{
    uint8_t *ramp = make_data(1, 100000), *noise = make_data(2, 100000);
    size_t small, large;
    void *instance = begin_fine(codec, codec->configuration);
    free(encode(codec, instance, ramp, 100000, &small));
    free(encode(codec, instance, noise, 100000, &large));
    CHECK(small < 60000);
    CHECK(large > 99000 && large < 100500);
    codec->end(instance);
    free(ramp);
    free(noise);
}

static void bounds(const shardio_codec *codec)
{
    const uint64_t limits[] = {INT32_MAX, UINT32_MAX, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        for (uint64_t less = 0; less < 1000; less++) {
            size_t size = (size_t)limits[i] - (size_t)less;
            CHECK(codec->bound(NULL, size) >= size);                  /* nothing wraps */
        }
    }
    CHECK_U64(codec->bound(NULL, SIZE_MAX), SIZE_MAX);
    CHECK_U64(codec->bound(NULL, SIZE_MAX - 20), SIZE_MAX);
}

/* ---- damage */

/* Whether damage can go unseen. */
static bool has_checksum(const shardio_codec *codec, const char *configuration)
{
    return codec->name[0] == 'g' || (configuration != NULL && strstr(configuration, "\"checksum\": true") != NULL);
}

static void check_flips(const shardio_codec *codec, void *instance, uint8_t *in, size_t size, const uint8_t *want,
                        size_t want_size, bool checksum)
{
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bool same;
        uint8_t mask = (uint8_t)(1 << bit % 8);
        in[bit / 8] ^= mask;
        shardio_status status = decode(codec, instance, in, size, want_size, want, want_size, &same);
        CHECK(status != SHARDIO_ERR_STATE && status != SHARDIO_ERR_MEMORY);
        if (checksum && status == SHARDIO_OK) CHECK(same);
        in[bit / 8] ^= mask;
        if (bit % 64 == 0) check_decodes(codec, instance, in, size, want_size, want, want_size);
    }
}

static void check_cuts(const shardio_codec *codec, void *instance, const uint8_t *in, size_t size, const uint8_t *want,
                       size_t want_size)
{
    bool same;
    for (size_t n = 0; n < size; n++)
        CHECK(decode(codec, instance, in, n, want_size, want, want_size, &same) != SHARDIO_OK);
    for (size_t more = 1; more < 40; more++) {
        static const uint8_t junk[] = {0, 1, 0x1f, 0x28, 0xff};
        uint8_t *longer = (uint8_t *)malloc(size + more);
        memcpy(longer, in, size);
        memset(longer + size, junk[more % sizeof junk], more);
        CHECK(decode(codec, instance, longer, size + more, want_size + 100, want, want_size, &same) != SHARDIO_OK);
        free(longer);
    }
}

/* Many wrong bytes at once, the length in blosc's head made right again so that what follows is looked at. */
static void check_mess(const shardio_codec *codec, void *instance, const uint8_t *in, size_t size, size_t want_size,
                       bool checksum, const uint8_t *want)
{
    uint64_t r = size;
    uint8_t *mess = (uint8_t *)malloc(size);
    for (int k = 0; k < 600; k++) {
        bool same;
        memcpy(mess, in, size);
        for (uint64_t n = 1 + test_random(&r) % 6; n > 0; n--) mess[test_random(&r) % size] = (uint8_t)test_random(&r);
        size_t n = k % 3 == 0 ? (size_t)(test_random(&r) % size) + 1 : size;
        if (codec->name[0] == 'b' && n >= 16) shardio_p_store32_little(mess + 12, (uint32_t)n);
        shardio_status status = decode(codec, instance, mess, n, want_size, want, want_size, &same);
        if (checksum && status == SHARDIO_OK) CHECK(same);
    }
    free(mess);
}

static void damage(const shardio_codec *codec)
{
    static const size_t sizes[] = {1, 40, 250, 700};
    const char *const *list = configurations(codec);
    for (int k = 0; k == 0 || list[k] != NULL; k++) {
        void *instance = begin_fine(codec, list[k]);
        bool checksum = has_checksum(codec, list[k]);
        if (instance == NULL) continue;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t size;
            uint8_t *data = make_data(i % 2 == 0 ? 1 : 3, sizes[i]);
            uint8_t *encoded = encode(codec, instance, data, sizes[i], &size);
            check_flips(codec, instance, encoded, size, data, sizes[i], checksum);
            check_cuts(codec, instance, encoded, size, data, sizes[i]);
            check_mess(codec, instance, encoded, size, sizes[i], checksum, data);
            free(encoded);
            free(data);
        }
        codec->end(instance);
    }
}

/* 8 MiB of zeros where a chunk of 4096 bytes should be. */
static void bombs(const shardio_codec *codec)
{
    const size_t large = (size_t)8 << 20;
    uint8_t *data = make_data(0, large);
    void *instance = begin_fine(codec, NULL);
    size_t size;
    bool same;
    uint8_t *encoded = encode(codec, instance, data, large, &size);
    CHECK(size < 200000);
    CHECK_STATUS(decode(codec, instance, encoded, size, 4096, data, large, &same), SHARDIO_ERR_LIMIT);
    CHECK_STATUS(decode(codec, instance, encoded, size, 0, data, large, &same), SHARDIO_ERR_LIMIT);
    check_decodes(codec, instance, encoded, size, large, data, large);
    codec->end(instance);
    free(encoded);
    free(data);
}

/* ---- contexts */

static void memory(const shardio_codec *codec)
{
    uint64_t needed = 0;
    for (uint64_t fail = 1; fail < 20; fail++) {
        counter c;
        shardio_status status;
        const char *reason;
        const shardio_allocator *allocator = counter_begin(&c);
        c.fail_at = fail;
        void *instance = begin(codec, codec->configuration, 4, allocator, &status, &reason);
        if (instance != NULL) {
            codec->end(instance);
            needed = fail;
        } else {
            CHECK_STATUS(status, SHARDIO_ERR_MEMORY);
        }
        CHECK_U64(c.live, 0);
        if (instance != NULL) break;
    }
    CHECK(needed >= 2);                          /* ours was asked for at all */
}

static void no_memory_per_chunk(const shardio_codec *codec)
{
    counter c;
    shardio_status status;
    const char *reason;
    void *instance = begin(codec, codec->configuration, 4, counter_begin(&c), &status, &reason);
    uint64_t calls = c.calls;
    for (size_t k = 0; k < 60; k++) {
        size_t size = k * k * 90, encoded_size;
        uint8_t *data = make_data((int)k % 4, size), *encoded = encode(codec, instance, data, size, &encoded_size);
        check_decodes(codec, instance, encoded, encoded_size, size, data, size);
        free(encoded);
        free(data);
    }
    CHECK_U64(c.calls, calls);
    codec->end(instance);
    CHECK_U64(c.live, 0);
    codec->end(NULL);
}

/* Contexts of one table do not know of each other. */
static void two_contexts(const shardio_codec *codec)
{
    const char *const *list = configurations(codec);
    void *one = begin_fine(codec, list[0]), *two = begin_fine(codec, list[2]);
    uint8_t *a = make_data(1, 5000), *b = make_data(3, 9000);
    size_t a_size, b_size;
    uint8_t *x = encode(codec, one, a, 5000, &a_size), *y = encode(codec, two, b, 9000, &b_size);
    check_decodes(codec, two, x, a_size, 5000, a, 5000);
    codec->end(two);
    check_decodes(codec, one, y, b_size, 9000, b, 9000);
    codec->end(one);
    free(a);
    free(b);
    free(x);
    free(y);
}

static void without_begin(const shardio_codec *codec)
{
    uint8_t in[100] = {0}, out[1000];
    size_t size;
    CHECK_STATUS(codec->encode(NULL, in, sizeof in, out, sizeof out, &size), SHARDIO_ERR_STATE);
    CHECK_STATUS(codec->decode(NULL, in, sizeof in, out, sizeof out, &size), SHARDIO_ERR_STATE);
}

/* ---- configurations */

typedef struct setting {
    const char *codec, *configuration;
} setting;

static void wrong_configurations(const shardio_codec *codec)
{
    static const setting wrong[] = {
        {"zstd", "{\"level\": 23}"}, {"zstd", "{\"level\": -131073}"}, {"zstd", "{\"level\": \"3\"}"},
        {"zstd", "{\"level\": 3.0}"}, {"zstd", "{\"level\": null}"}, {"zstd", "{\"level\": true}"},
        {"zstd", "{\"level\": 18446744073709551619}"}, {"zstd", "{\"level\": 3, \"checksum\": 1}"},
        {"zstd", "{\"checksum\": \"true\"}"}, {"zstd", "{\"checksum\": null}"}, {"zstd", "[]"}, {"zstd", "3"},
        {"gzip", "{\"level\": -1}"}, {"gzip", "{\"level\": 10}"}, {"gzip", "{\"level\": 99}"},
        {"gzip", "{\"level\": \"6\"}"}, {"gzip", "{\"level\": 6.5}"}, {"gzip", "{\"level\": [6]}"},
        {"gzip", "\"level\""},
        {"blosc", "{\"cname\": \"nope\"}"}, {"blosc", "{\"cname\": \"LZ4\"}"}, {"blosc", "{\"cname\": \"\"}"},
        {"blosc", "{\"cname\": 1}"}, {"blosc", "{\"clevel\": -1}"}, {"blosc", "{\"clevel\": 10}"},
        {"blosc", "{\"clevel\": \"5\"}"}, {"blosc", "{\"shuffle\": \"byteshuffle\"}"}, {"blosc", "{\"shuffle\": 1}"},
        {"blosc", "{\"shuffle\": true}"}, {"blosc", "{\"typesize\": 0}"}, {"blosc", "{\"typesize\": 256}"},
        {"blosc", "{\"typesize\": -4}"}, {"blosc", "{\"typesize\": \"4\"}"}, {"blosc", "{\"blocksize\": -1}"},
        {"blosc", "{\"blocksize\": 2147483647}"}, {"blosc", "{\"blocksize\": \"auto\"}"}, {"blosc", "[]"},
        {"numcodecs.lz4", "{\"acceleration\": \"1\"}"}, {"numcodecs.lz4", "{\"acceleration\": 2147483648}"},
        {"numcodecs.lz4", "{\"acceleration\": -2147483649}"}, {"numcodecs.lz4", "{\"acceleration\": 1.5}"},
        {"numcodecs.lz4", "{\"acceleration\": null}"}, {"numcodecs.lz4", "null"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        counter c;
        shardio_status status;
        const char *reason;
        if (strcmp(wrong[i].codec, codec->name) != 0) continue;
        void *instance = begin(codec, wrong[i].configuration, 4, counter_begin(&c), &status, &reason);
        if (status != SHARDIO_ERR_CORRUPT) fprintf(stderr, "    %s\n", wrong[i].configuration);
        CHECK_STATUS(status, SHARDIO_ERR_CORRUPT);
        codec->end(instance);
        CHECK_U64(c.live, 0);
    }
}

/* What a table says of itself is what it does without a configuration, and may be written to zarr.json. */
static void own_configuration(const shardio_codec *codec)
{
    uint8_t *data = make_data(1, 3000);
    size_t x_size, y_size;
    shardio_json value;
    CHECK_OK(shardio_json_parse(codec->configuration, strlen(codec->configuration), &value, NULL));
    CHECK_U64(shardio_json_kind(value), '{');
    void *said = begin_fine(codec, codec->configuration), *absent = begin_fine(codec, NULL);
    uint8_t *x = encode(codec, said, data, 3000, &x_size), *y = encode(codec, absent, data, 3000, &y_size);
    CHECK_U64(x_size, y_size);
    if (x_size == y_size) CHECK_BYTES(x, y, x_size);
    codec->end(said);
    codec->end(absent);
    free(x);
    free(y);
    free(data);
}

/* ---- what others wrote */

/* 100 uint32, little-endian: i / 3. As numcodecs 0.16 and Python's gzip encode them. */
static void known_answers(const shardio_codec *codec)
{
    static const struct { const char *codec; size_t size; uint8_t bytes[160]; } known[] = {
        {"zstd", 116, {
             0x28, 0xb5, 0x2f, 0xfd, 0x64, 0x90, 0x00, 0x35, 0x03, 0x00, 0x64, 0x02, 0x00, 0x00, 0x01, 0x02,
             0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12,
             0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x00,
             0x00, 0x00, 0x21, 0x00, 0xc0, 0x08, 0x30, 0x07, 0x0c, 0x03, 0x46, 0x80, 0x39, 0x60, 0x18, 0x30,
             0x02, 0xcc, 0x01, 0xc3, 0x80, 0x11, 0x60, 0x0e, 0x18, 0x06, 0x8c, 0x00, 0x73, 0xc0, 0x30, 0x60,
             0x04, 0x98, 0x03, 0x86, 0x01, 0x23, 0xc0, 0x1c, 0x30, 0x0c, 0x18, 0x01, 0xe6, 0x80, 0x61, 0xc0,
             0x08, 0x30, 0x07, 0x0c, 0x03, 0x46, 0x80, 0x39, 0x60, 0x18, 0x30, 0xb2, 0x33, 0x77, 0x03, 0x58,
             0x8a, 0x22, 0x2b, 0xbf}},
        {"gzip", 83, {
             0x1f, 0x8b, 0x08, 0x00, 0x01, 0x00, 0x00, 0x00, 0x02, 0xff, 0x4d, 0xc3, 0x5b, 0x16, 0x42, 0x50,
             0x00, 0x00, 0xc0, 0x2b, 0x15, 0x92, 0xf7, 0xb3, 0x28, 0xec, 0x7f, 0x93, 0xf5, 0x67, 0xe6, 0x9c,
             0x09, 0xe1, 0x14, 0xf1, 0xc2, 0x98, 0x57, 0xde, 0x78, 0x67, 0xc2, 0x94, 0x19, 0x1f, 0xcc, 0xf9,
             0x64, 0xc1, 0x92, 0x15, 0x6b, 0x36, 0x6c, 0xd9, 0xb1, 0xe7, 0xc0, 0x91, 0x13, 0x67, 0xbe, 0xf8,
             0xe6, 0xc2, 0x95, 0x1f, 0x7e, 0xb9, 0x71, 0xe7, 0xf1, 0xff, 0x03, 0x68, 0x25, 0xb8, 0x68, 0x90,
             0x01, 0x00, 0x00}},
        {"blosc", 141, {
             0x02, 0x01, 0x31, 0x04, 0x90, 0x01, 0x00, 0x00, 0x90, 0x01, 0x00, 0x00, 0x8d, 0x00, 0x00, 0x00,
             0x14, 0x00, 0x00, 0x00, 0x75, 0x00, 0x00, 0x00, 0xff, 0x5a, 0x00, 0x00, 0x00, 0x01, 0x01, 0x01,
             0x02, 0x02, 0x02, 0x03, 0x03, 0x03, 0x04, 0x04, 0x04, 0x05, 0x05, 0x05, 0x06, 0x06, 0x06, 0x07,
             0x07, 0x07, 0x08, 0x08, 0x08, 0x09, 0x09, 0x09, 0x0a, 0x0a, 0x0a, 0x0b, 0x0b, 0x0b, 0x0c, 0x0c,
             0x0c, 0x0d, 0x0d, 0x0d, 0x0e, 0x0e, 0x0e, 0x0f, 0x0f, 0x0f, 0x10, 0x10, 0x10, 0x11, 0x11, 0x11,
             0x12, 0x12, 0x12, 0x13, 0x13, 0x13, 0x14, 0x14, 0x14, 0x15, 0x15, 0x15, 0x16, 0x16, 0x16, 0x17,
             0x17, 0x17, 0x18, 0x18, 0x18, 0x19, 0x19, 0x19, 0x1a, 0x1a, 0x1a, 0x1b, 0x1b, 0x1b, 0x1c, 0x1c,
             0x1c, 0x1d, 0x1d, 0x1d, 0x1e, 0x1e, 0x1e, 0x1f, 0x1f, 0x1f, 0x20, 0x20, 0x20, 0x21, 0x00, 0x00,
             0x00, 0x00, 0x00, 0x05, 0x00, 0xff, 0x10, 0x50, 0x00, 0x00, 0x00, 0x00, 0x00}},
        {"blosc", 82, {
             0x02, 0x01, 0x94, 0x04, 0x90, 0x01, 0x00, 0x00, 0x90, 0x01, 0x00, 0x00, 0x52, 0x00, 0x00, 0x00,
             0x14, 0x00, 0x00, 0x00, 0x3a, 0x00, 0x00, 0x00, 0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x90, 0x00, 0x85,
             0x01, 0x00, 0x54, 0x02, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
             0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b,
             0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x21, 0x00, 0x00, 0x00, 0x21, 0x64, 0x01, 0xf0, 0xc5, 0x08, 0xd7,
             0x82, 0x0c}},
        {"numcodecs.lz4", 142, {
             0x90, 0x01, 0x00, 0x00, 0x17, 0x00, 0x01, 0x00, 0x17, 0x01, 0x04, 0x00, 0x17, 0x02, 0x04, 0x00,
             0x17, 0x03, 0x04, 0x00, 0x17, 0x04, 0x04, 0x00, 0x17, 0x05, 0x04, 0x00, 0x17, 0x06, 0x04, 0x00,
             0x17, 0x07, 0x04, 0x00, 0x17, 0x08, 0x04, 0x00, 0x17, 0x09, 0x04, 0x00, 0x17, 0x0a, 0x04, 0x00,
             0x17, 0x0b, 0x04, 0x00, 0x17, 0x0c, 0x04, 0x00, 0x17, 0x0d, 0x04, 0x00, 0x17, 0x0e, 0x04, 0x00,
             0x17, 0x0f, 0x04, 0x00, 0x17, 0x10, 0x04, 0x00, 0x17, 0x11, 0x04, 0x00, 0x17, 0x12, 0x04, 0x00,
             0x17, 0x13, 0x04, 0x00, 0x17, 0x14, 0x04, 0x00, 0x17, 0x15, 0x04, 0x00, 0x17, 0x16, 0x04, 0x00,
             0x17, 0x17, 0x04, 0x00, 0x17, 0x18, 0x04, 0x00, 0x17, 0x19, 0x04, 0x00, 0x17, 0x1a, 0x04, 0x00,
             0x17, 0x1b, 0x04, 0x00, 0x17, 0x1c, 0x04, 0x00, 0x17, 0x1d, 0x04, 0x00, 0x17, 0x1e, 0x04, 0x00,
             0x17, 0x1f, 0x04, 0x00, 0x16, 0x20, 0x04, 0x00, 0x50, 0x00, 0x21, 0x00, 0x00, 0x00}},
    };
    uint8_t want[400] = {0};
    int count = 0;
    for (int i = 0; i < 100; i++) want[4 * i] = (uint8_t)(i / 3);
    void *instance = begin_fine(codec, codec->configuration);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].codec, codec->name) != 0) continue;
        check_decodes(codec, instance, known[i].bytes, known[i].size, sizeof want, want, sizeof want);
        count++;
    }
    CHECK(count > 0);
    codec->end(instance);
}

static char *read_text(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *text = (char *)malloc(65536);
    *size = file != NULL ? fread(text, 1, 65535, file) : 0;
    text[*size] = 0;
    if (file != NULL) fclose(file);
    return text;
}

/* The only bytes-to-bytes codec in the shards of an array, or null; its configuration in *configuration. */
static const shardio_codec *codec_of(const char *text, size_t size, shardio_json *configuration)
{
    shardio_json root, sharding, list, entry;
    char name[64];
    size_t at = 0;
    if (shardio_json_parse(text, size, &root, NULL) != SHARDIO_OK) return NULL;
    if (!shardio_json_next(shardio_json_member(root, "codecs"), &at, NULL, &sharding)) return NULL;
    list = member2(sharding, "configuration", "codecs");
    at = 0;
    if (!shardio_json_next(list, &at, NULL, &entry) || !shardio_json_is(shardio_json_member(entry, "name"), "bytes"))
        return NULL;
    if (!shardio_json_is(member2(entry, "configuration", "endian"), "little")) return NULL;
    if (!shardio_json_next(list, &at, NULL, &entry)) return NULL;
    *configuration = shardio_json_member(entry, "configuration");
    bool named = shardio_json_string(shardio_json_member(entry, "name"), name, sizeof name);
    return named && !shardio_json_next(list, &at, NULL, &entry) ? shardio_p_own_codec(name) : NULL;
}

/* Decodes chunk `chunk` of a shard of four; *size is its length, 0 if it is missing. */
static shardio_status golden_chunk(const char *array, const char *key, uint64_t chunk, const shardio_codec *codec,
                                   void *instance, uint8_t *out, size_t capacity, size_t *size)
{
    char path[400];
    uint8_t stored[4096];
    uint64_t stored_size = 0;
    shardio_index_layout layout;
    shardio_shard_reader reader;
    memset(&layout, 0, sizeof layout);
    layout.chunks = 4;
    *size = 0;
    snprintf(path, sizeof path, "%s/%s", array, key);
    if (!CHECK(shardio_shard_open(&reader, path, &layout, NULL, NULL) == SHARDIO_OK)) return SHARDIO_OK;
    shardio_status status = shardio_shard_read(&reader, chunk, stored, sizeof stored, &stored_size, NULL);
    CHECK_OK(status);
    if (status == SHARDIO_OK && stored_size != SHARDIO_MISSING)
        status = codec->decode(instance, stored, (size_t)stored_size, out, capacity, size);
    shardio_shard_close(&reader);
    return status;
}

/* uint32 21,13 in shards of 12,10 and chunks of 6,5: element i is i / 3 % 100. */
static void check_golden_array(const char *array, const shardio_codec *codec, void *instance)
{
    for (uint64_t i = 0; i < 21 * 13; i++) {
        uint64_t row = i / 13, column = i % 13, inside = row % 6 * 5 + column % 5;
        char key[40];
        uint8_t out[120];
        size_t size;
        snprintf(key, sizeof key, "c/%d/%d", (int)(row / 12), (int)(column / 10));
        CHECK_OK(golden_chunk(array, key, row % 12 / 6 * 2 + column % 10 / 5, codec, instance, out, sizeof out, &size));
        CHECK_U64(size, sizeof out);
        CHECK_U64(shardio_p_load32_little(out + 4 * inside), i / 3 % 100);
    }
}

#define GOLDEN "../shared/golden/"

static void golden_arrays(const shardio_codec *codec)
{
    DIR *directory = opendir(GOLDEN "zarr");
    int count = 0;
    if (directory == NULL) LEAVE_OUT("no " GOLDEN "zarr");
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char array[400], path[440];
        size_t size;
        shardio_json configuration = {NULL, 0};
        const char *reason = NULL;
        void *instance = NULL;
        if (strncmp(entry->d_name, "codec-", 6) != 0) continue;
        snprintf(array, sizeof array, GOLDEN "zarr/%.200s", entry->d_name);
        snprintf(path, sizeof path, "%s/zarr.json", array);
        char *text = read_text(path, &size);
        if (codec_of(text, size, &configuration) == codec) {
            CHECK_OK(codec->begin(NULL, configuration, 4, NULL, &instance, &reason));
            check_golden_array(array, codec, instance);
            codec->end(instance);
            count++;
        }
        free(text);
    }
    closedir(directory);
    CHECK(count > 0 || codec->name[0] == 'n');        /* nobody there writes numcodecs.lz4 */
}

/* Names of the damaged ones begin with their codec; chunk 0 of shard 0 is the damaged one, of 12 bytes. */
static void golden_damage(const shardio_codec *codec)
{
    DIR *directory = opendir(GOLDEN "zarr-malformed");
    char array[400];
    uint8_t good[12], out[12];
    size_t size, length = strlen(codec->name);
    if (directory == NULL) LEAVE_OUT("no " GOLDEN "zarr-malformed");
    void *instance = begin_fine(codec, NULL);
    snprintf(array, sizeof array, GOLDEN "zarr-malformed/%s-good", codec->name);
    if (codec->name[0] != 'n') {
        CHECK_OK(golden_chunk(array, "c/0/0", 0, codec, instance, good, sizeof good, &size));
        CHECK_U64(size, sizeof good);
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *name = entry->d_name;
        if (strncmp(name, codec->name, length) != 0 || name[length] != '-') continue;
        snprintf(array, sizeof array, GOLDEN "zarr-malformed/%.200s", name);
        shardio_status status = golden_chunk(array, "c/0/0", 0, codec, instance, out, sizeof out, &size);
        bool read = status == SHARDIO_OK && size == sizeof out, fine = strstr(name, "-good") != NULL;
        if (read) CHECK_BYTES(out, good, sizeof out);
        if (fine != read && strstr(name, "-two-") == NULL) test_fail(__FILE__, __LINE__, name);
    }
    closedir(directory);
    codec->end(instance);
}

EACH(round_trips)
EACH(sizes)
EACH(bounds)
EACH(damage)
EACH(bombs)
EACH(memory)
EACH(no_memory_per_chunk)
EACH(two_contexts)
EACH(without_begin)
EACH(wrong_configurations)
EACH(own_configuration)
EACH(known_answers)
EACH(golden_arrays)
EACH(golden_damage)

/* ---- what each has of its own */

/* Puts pieces into one buffer. */
static size_t join(uint8_t *to, const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    memcpy(to, a, a_size);
    memcpy(to + a_size, b, b_size);
    return a_size + b_size;
}

/* Pieces one after the other read as one; something else behind them does not. */
static void check_in_a_row(const shardio_codec *codec)
{
    uint8_t *data = make_data(3, 3000), all[9000];
    size_t a_size, b_size, none_size;
    bool same;
    void *instance = begin_fine(codec, codec->configuration);
    uint8_t *a = encode(codec, instance, data, 1000, &a_size), *b = encode(codec, instance, data + 1000, 2000, &b_size);
    uint8_t *none = encode(codec, instance, data, 0, &none_size);
    size_t size = join(all, a, a_size, b, b_size);
    check_decodes(codec, instance, all, size, 3000, data, 3000);
    CHECK_STATUS(decode(codec, instance, all, size, 2999, data, 3000, &same), SHARDIO_ERR_LIMIT);
    CHECK_STATUS(decode(codec, instance, all, size, 1000, data, 3000, &same), SHARDIO_ERR_LIMIT);
    CHECK_STATUS(decode(codec, instance, all, size - 1, 3000, data, 3000, &same), SHARDIO_ERR_TRUNCATED);
    all[a_size] ^= 0xff;
    CHECK(decode(codec, instance, all, size, 3000, data, 3000, &same) != SHARDIO_OK);
    size = join(all, a, a_size, none, none_size);
    check_decodes(codec, instance, all, size, 1000, data, 1000);
    codec->end(instance);
    free(a);
    free(b);
    free(none);
    free(data);
}

TEST(zstd_frames)
{
#if SHARDIO_WITH_ZSTD
    const shardio_codec *codec = shardio_codec_zstd();
    static const uint8_t skipped[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
    uint8_t *data = make_data(3, 100000), *streamed = (uint8_t *)malloc(200000), *all = (uint8_t *)malloc(200000);
    bool same;
    check_in_a_row(codec);

    /* a frame that does not say how long its contents are */
    ZSTD_CStream *stream = ZSTD_createCStream();
    ZSTD_inBuffer in = {data, 50000, 0};
    ZSTD_outBuffer out = {streamed, 200000, 0};
    CHECK(!ZSTD_isError(ZSTD_compressStream2(stream, &out, &in, ZSTD_e_continue)));
    in.size = 100000;
    CHECK_U64(ZSTD_compressStream2(stream, &out, &in, ZSTD_e_end), 0);
    CHECK(ZSTD_getFrameContentSize(streamed, out.pos) == ZSTD_CONTENTSIZE_UNKNOWN);
    void *instance = begin_fine(codec, NULL);
    check_decodes(codec, instance, streamed, out.pos, 100000, data, 100000);
    check_decodes(codec, instance, streamed, out.pos, 100001, data, 100000);
    CHECK_STATUS(decode(codec, instance, streamed, out.pos, 99999, data, 100000, &same), SHARDIO_ERR_LIMIT);
    CHECK_STATUS(decode(codec, instance, streamed, out.pos - 1, 100000, data, 100000, &same), SHARDIO_ERR_TRUNCATED);

    /* a frame to be skipped, before and behind */
    size_t size = join(all, skipped, sizeof skipped, streamed, out.pos);
    check_decodes(codec, instance, all, size, 100000, data, 100000);
    size = join(all, streamed, out.pos, skipped, sizeof skipped);
    check_decodes(codec, instance, all, size, 100000, data, 100000);
    CHECK(decode(codec, instance, all, size - 1, 100000, data, 100000, &same) != SHARDIO_OK);
    codec->end(instance);
    ZSTD_freeCStream(stream);
    free(data);
    free(streamed);
    free(all);
#else
    LEAVE_OUT(shardio_p_codec_macro("zstd"));
#endif
}

TEST(zstd_checksum)
{
#if SHARDIO_WITH_ZSTD
    const shardio_codec *codec = shardio_codec_zstd();
    uint8_t *data = make_data(1, 1000);
    size_t with, without;
    bool same;
    void *a = begin_fine(codec, "{\"level\": 1, \"checksum\": true}"), *b = begin_fine(codec, "{\"level\": 1}");
    uint8_t *x = encode(codec, a, data, 1000, &with), *y = encode(codec, b, data, 1000, &without);
    CHECK_U64(with, without + 4);
    check_decodes(codec, b, x, with, 1000, data, 1000);
    x[with - 1] ^= 1;
    CHECK_STATUS(decode(codec, b, x, with, 1000, data, 1000, &same), SHARDIO_ERR_CHECKSUM);
    codec->end(a);
    codec->end(b);
    free(x);
    free(y);
    free(data);
#else
    LEAVE_OUT(shardio_p_codec_macro("zstd"));
#endif
}

TEST(gzip_members)
{
#if SHARDIO_WITH_ZLIB
    const shardio_codec *codec = shardio_codec_gzip();
    uint8_t *data = make_data(1, 1000), out[2000];
    bool same;
    size_t size;
    check_in_a_row(codec);
    void *instance = begin_fine(codec, NULL);
    uint8_t *member = encode(codec, instance, data, 1000, &size);
    CHECK(member[0] == 0x1f && member[1] == 0x8b);
    CHECK(shardio_p_load32_little(member + 4) == 0);                  /* no time: the same data give the same bytes */
    member[size - 5] ^= 1;
    CHECK_STATUS(decode(codec, instance, member, size, 1000, data, 1000, &same), SHARDIO_ERR_CHECKSUM);
    member[size - 5] ^= 1;
    member[size - 1] ^= 1;
    CHECK_STATUS(decode(codec, instance, member, size, 1000, data, 1000, &same), SHARDIO_ERR_CORRUPT);
    for (int kind = 0; kind < 3; kind++) {                            /* gzip with a name in its head; zlib; raw */
        z_stream stream;
        gz_header head;
        uint8_t name[] = "name", comment[] = "comment";
        memset(&stream, 0, sizeof stream);
        memset(&head, 0, sizeof head);
        head.name = name;
        head.comment = comment;
        head.hcrc = 1;
        const int window = kind == 0 ? 31 : kind == 1 ? 15 : -15;
        CHECK_U64(deflateInit2(&stream, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
        if (kind == 0) CHECK_U64(deflateSetHeader(&stream, &head), Z_OK);
        stream.next_in = data;
        stream.avail_in = 1000;
        stream.next_out = out;
        stream.avail_out = sizeof out;
        CHECK_U64(deflate(&stream, Z_FINISH), Z_STREAM_END);
        shardio_status status = decode(codec, instance, out, sizeof out - stream.avail_out, 1000, data, 1000, &same);
        CHECK_STATUS(status, kind == 0 ? SHARDIO_OK : SHARDIO_ERR_CORRUPT);
        CHECK(same == (kind == 0));
        deflateEnd(&stream);
    }
    codec->end(instance);
    free(member);
    free(data);
#else
    LEAVE_OUT(shardio_p_codec_macro("gzip"));
#endif
}

/* zlib counts with 32 bits, so that larger chunks go through it in pieces; here the pieces are small instead. */
TEST(gzip_pieces)
{
#if SHARDIO_WITH_ZLIB
    const shardio_codec *codec = shardio_codec_gzip();
    static const size_t pieces[] = {1, 2, 7, 64, 1000, 32768};
    size_t want_size;
    uint8_t *data = make_data(3, 20000);
    void *whole = begin_fine(codec, NULL);
    uint8_t *want = encode(codec, whole, data, 20000, &want_size);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        void *instance = begin_fine(codec, NULL);
        ((shardio_p_gzip *)instance)->piece = pieces[i];
        check_round_trip(codec, instance, data, 20000);
        check_decodes(codec, instance, want, want_size, 20000, data, 20000);
        if (i % 2 == 0) check_cuts(codec, instance, want, 600, data, 20000);
        codec->end(instance);
    }
    codec->end(whole);
    free(want);
    free(data);
#else
    LEAVE_OUT(shardio_p_codec_macro("gzip"));
#endif
}

/* The head of a blosc chunk says what it was made with. */
TEST(blosc_heads)
{
#if SHARDIO_WITH_BLOSC
    const shardio_codec *codec = shardio_codec_blosc();
    static const struct { const char *configuration; size_t element_size; int typesize, flags, compressor; } table[] = {
        {"{\"shuffle\": \"shuffle\"}", 2, 2, 1, 1}, {"{\"shuffle\": \"shuffle\"}", 8, 8, 1, 1},
        {"{\"shuffle\": \"shuffle\"}", 300, 1, 1, 1}, {"{\"shuffle\": \"shuffle\", \"typesize\": 4}", 2, 4, 1, 1},
        {"{\"shuffle\": \"bitshuffle\"}", 2, 2, 4, 1}, {"{\"shuffle\": \"noshuffle\"}", 2, 2, 0, 1},
        {"{\"cname\": \"zstd\", \"clevel\": 1}", 2, 2, 0, 4}, {"{\"cname\": \"blosclz\"}", 2, 2, 0, 0},
        {"{\"cname\": \"zlib\"}", 2, 2, 0, 3}, {"{\"cname\": \"lz4hc\"}", 2, 2, 0, 1}, {"{\"clevel\": 0}", 2, 2, 2, 1},
    };
    uint8_t *data = make_data(1, 3000);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_status status;
        const char *reason;
        size_t size;
        void *instance = begin(codec, table[i].configuration, table[i].element_size, NULL, &status, &reason);
        uint8_t *head = encode(codec, instance, data, 3000, &size);
        CHECK_OK(status);
        CHECK_U64(head[3], table[i].typesize);
        CHECK_U64(head[2] & 7, table[i].flags);
        CHECK_U64(head[2] >> 5, table[i].compressor);
        codec->end(instance);
        free(head);
    }
    free(data);
#else
    LEAVE_OUT(shardio_p_codec_macro("blosc"));
#endif
}

/* It does not say whether it had no memory or the chunk is damaged: only what fails again, with memory, is damage. */
TEST(blosc_without_memory)
{
#if SHARDIO_WITH_BLOSC
    const shardio_codec *codec = shardio_codec_blosc();
    uint8_t *data = make_data(1, 1000);
    size_t size;
    bool same;
    void *instance = begin_fine(codec, "{\"cname\": \"zlib\"}");
    uint8_t *encoded = encode(codec, instance, data, 1000, &size);
    for (int failures = 0; failures < 3; failures++) {
        blosc_failures = failures;
        CHECK_STATUS(decode(codec, instance, encoded, size, 1000, data, 1000, &same), failures < 2 ? SHARDIO_OK : SHARDIO_ERR_CORRUPT);
        CHECK(same == (failures < 2) && blosc_failures == 0);
    }
    codec->end(instance);
    free(encoded);
    free(data);
#else
    LEAVE_OUT(shardio_p_codec_macro("blosc"));
#endif
}

TEST(blosc_lies)
{
#if SHARDIO_WITH_BLOSC
    const shardio_codec *codec = shardio_codec_blosc();
    static const struct { int at; uint32_t value; } table[] = {
        {4, 0x7fffffff}, {4, 0xffffffff}, {4, 0x80000000}, {4, 1001}, {4, 0}, {8, 0}, {8, 1001}, {8, 0x7fffffff},
        {8, 0xffffffff}, {8, 1}, {12, 0}, {12, 15}, {12, 0x7fffffff}, {12, 0xffffffff}, {16, 0}, {16, 0x7fffffff},
        {16, 0xffffffff}, {16, 0xfffffffc}, {20, 0x7fffffff}, {20, 0xffffffff}, {20, 1},
    };
    uint8_t *data = make_data(1, 1000);
    size_t size;
    bool same;
    void *instance = begin_fine(codec, "{\"shuffle\": \"shuffle\", \"typesize\": 4}");
    uint8_t *encoded = encode(codec, instance, data, 1000, &size);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint32_t kept = shardio_p_load32_little(encoded + table[i].at);
        shardio_p_store32_little(encoded + table[i].at, table[i].value);
        shardio_status status = decode(codec, instance, encoded, size, 1000, data, 1000, &same);
        CHECK(!same);
        CHECK(status != SHARDIO_OK || (table[i].at == 4 && table[i].value == 0));   /* a chunk of nothing is one */
        shardio_p_store32_little(encoded + table[i].at, kept);
    }
    encoded[0] = 255;
    CHECK_STATUS(decode(codec, instance, encoded, size, 1000, data, 1000, &same), SHARDIO_ERR_CORRUPT);
    CHECK_STATUS(decode(codec, instance, encoded, 15, 1000, data, 1000, &same), SHARDIO_ERR_TRUNCATED);
    codec->end(instance);
    free(encoded);
    free(data);
#else
    LEAVE_OUT(shardio_p_codec_macro("blosc"));
#endif
}

TEST(blosc_with_everything_said)
{
#if SHARDIO_WITH_BLOSC
    char text[128], least[128];
    shardio_codec codec = shardio_codec_blosc_with(text, sizeof text, "zstd", 3, "shuffle", sizeof(uint16_t), 0);
    CHECK_TEXT(codec.name, "blosc");
    CHECK(codec.configuration == text && codec.begin == shardio_codec_blosc()->begin);
    CHECK_TEXT(text, "{\"cname\": \"zstd\", \"clevel\": 3, \"shuffle\": \"shuffle\", \"typesize\": 2, "
                     "\"blocksize\": 0}");
    codec.end(begin_fine(&codec, codec.configuration));

    codec = shardio_codec_blosc_with(text, sizeof text, "blosclz", 9, "bitshuffle", 255, BLOSC_MAX_BLOCKSIZE);
    codec.end(begin_fine(&codec, codec.configuration));

    /* what does not fit is no JSON, so that an array refuses it */
    shardio_codec_blosc_with(least, sizeof least, "lz4", 5, "shuffle", 2, 0);
    for (size_t room = 0; room <= strlen(least); room++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        model m;
        codec = shardio_codec_blosc_with(text, room, "lz4", 5, "shuffle", 2, 0);
        small_model(&m, 3, 2, 0);
        m.o.codecs[0] = &codec;
        CHECK_STATUS(shardio_array_finish(shardio_array_create_in(&store, &m.o), &e), SHARDIO_ERR_ARGUMENT);
        model_end(&m);
        shardio_store_memory_free(&memory);
    }
#else
    LEAVE_OUT(shardio_p_codec_macro("blosc"));
#endif
}

TEST(lz4_lies)
{
#if SHARDIO_WITH_LZ4
    const shardio_codec *codec = shardio_codec_lz4();
    static const uint32_t lengths[] = {0, 1, 999, 1001, 0x7e000000, 0x7e000001, 0x7fffffff, 0x80000000, 0xffffffff};
    uint8_t *data = make_data(1, 1000);
    size_t size;
    bool same;
    void *instance = begin_fine(codec, NULL);
    uint8_t *encoded = encode(codec, instance, data, 1000, &size);
    CHECK_U64(shardio_p_load32_little(encoded), 1000);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        shardio_p_store32_little(encoded, lengths[i]);
        CHECK(decode(codec, instance, encoded, size, 1000, data, 1000, &same) != SHARDIO_OK);
        CHECK(decode(codec, instance, encoded, size, 2000, data, 1000, &same) != SHARDIO_OK);
    }
    codec->end(instance);
    free(encoded);
    free(data);
#else
    LEAVE_OUT(shardio_p_codec_macro("numcodecs.lz4"));
#endif
}

TEST_MAIN(EACH_CASE(round_trips) EACH_CASE(sizes) EACH_CASE(bounds) EACH_CASE(damage) EACH_CASE(bombs)
          EACH_CASE(memory) EACH_CASE(no_memory_per_chunk) EACH_CASE(two_contexts) EACH_CASE(without_begin)
          EACH_CASE(wrong_configurations) EACH_CASE(own_configuration) EACH_CASE(known_answers)
          EACH_CASE(golden_arrays) EACH_CASE(golden_damage)
          TEST_CASE(zstd_frames) TEST_CASE(zstd_checksum) TEST_CASE(gzip_members) TEST_CASE(gzip_pieces)
          TEST_CASE(blosc_heads) TEST_CASE(blosc_lies) TEST_CASE(blosc_without_memory) TEST_CASE(blosc_with_everything_said) TEST_CASE(lz4_lies))
