/* The zarr section: reading, verifying, and input that is damaged or hostile. */
#include "arrays.h"

/* ---- reading */

TEST(wrong_regions)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_error e;
    model m;
    small_model(&m, 5, 2, 4);
    shardio_array *a = shardio_array_create_in(&store, &m.o);
    CHECK_OK(append_plain(&m, a, 0, 5 * 42));
    CHECK_OK(shardio_array_finish(a, NULL));
    a = shardio_array_open_in(&store, NULL, &e);
    static const struct { uint64_t start[3], count[3]; } table[] = {
        {{0, 0, 0}, {6, 6, 7}}, {{5, 0, 0}, {1, 1, 1}}, {{0, 6, 0}, {1, 1, 1}}, {{0, 0, 7}, {1, 1, 1}}, {{1, 0, 0}, {5, 1, 1}},
        {{UINT64_MAX, 0, 0}, {2, 1, 1}}, {{1, 0, 0}, {UINT64_MAX, 1, 1}}, {{0, 0, 0}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}},
        {{0, UINT64_C(1) << 63, 0}, {1, UINT64_C(1) << 63, 1}}, {{6, 0, 0}, {0, 1, 1}},
    };
    uint8_t got[5 * 42 * 2 + 1];
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        memset(got, 0xa5, sizeof got);
        CHECK_STATUS(shardio_array_read(a, table[i].start, table[i].count, got, sizeof got, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(e.status, SHARDIO_ERR_ARGUMENT);
        for (size_t k = 0; k < sizeof got; k++) if (got[k] != 0xa5) { CHECK(got[k] == 0xa5); break; }
    }
    static const uint64_t zero[3] = {0, 0, 0}, all[3] = {5, 6, 7}, end[3] = {5, 6, 7}, flat[3] = {5, 0, 7};
    CHECK_STATUS(shardio_array_read(a, zero, all, got, 5 * 42 * 2 - 1, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_array_read(a, zero, all, NULL, 5 * 42 * 2, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_OK(shardio_array_read(a, end, zero, NULL, 0, &e));
    CHECK_OK(shardio_array_read(a, zero, flat, NULL, 0, &e));
    CHECK_OK(shardio_array_read(a, zero, all, got, 5 * 42 * 2, &e));     /* a reader is never sticky */
    CHECK_BYTES(got, m.data, 5 * 42 * 2);
    CHECK_STATUS(shardio_array_read(a, NULL, all, got, sizeof got, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_array_read(a, zero, NULL, got, sizeof got, &e), SHARDIO_ERR_ARGUMENT);
    shardio_array_close(a);
    model_end(&m);
    shardio_store_memory_free(&memory);
}

TEST(missing_is_fill)
{
    for (int k = 0; k < 4; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        model m;
        uint64_t r = 3;
        small_model(&m, 9, 2, k & 1 ? 4 : 0);
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_OK(append_plain(&m, a, 0, 9 * 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        /* files go one by one */
        static const char *const keys[] = {"c/0/0/0", "c/1/1/0", "c/2/0/0"};
        for (int i = 0; i < 3; i++) {
            uint64_t extent[3] = {2, 4, 4}, at[3] = {0, 0, 0};
            if (k & 1) { extent[0] = 4; extent[2] = 8; }
            at[0] = (uint64_t)(keys[i][2] - '0') * extent[0];
            at[1] = (uint64_t)(keys[i][4] - '0') * extent[1];
            CHECK_OK(store_remove(&store, keys[i]));
            for (uint64_t t = at[0]; t < at[0] + extent[0] && t < 9; t++)
                for (uint64_t y = at[1]; y < at[1] + extent[1] && y < 6; y++)
                    for (uint64_t x = 0; x < extent[2] && x < 7; x++) memcpy(m.data + 2 * (t * 42 + y * 7 + x), m.fill, 2);
            model_check(&m, &store, 9, test_random(&r), 20);
            check_verifies(&m, &store);
        }
        (void)e;
        model_end(&m);
        shardio_store_memory_free(&memory);
    }
}

/* One read for each index, one for each run of chunks side by side; counted without closing. */
TEST(reads_are_counted)
{
    for (int k = 0; k < 6; k++) {
        shardio_memory_store memory;
        shardio_store inner = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        model m;
        spy s;
        uint64_t start[3] = {0, 0, 0}, count[3] = {9, 6, 7};
        small_model(&m, 9, 1, 8);                              /* shards 8,4,8: chunks along x and t side by side */
        if (k % 3 == 2) { memset(m.o.shard, 0, sizeof m.o.shard); m.o.chunk[0] = 4; }
        m.o.codecs[0] = k >= 3 ? shardio_codec_crc32c() : NULL;
        shardio_array *a = shardio_array_create_in(&inner, &m.o);
        CHECK_OK(append_plain(&m, a, 0, 9 * 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        shardio_store store = spy_begin(&s, &inner);
        memset(&o, 0, sizeof o);
        o.max_open_files = k % 3 == 1 ? 1 : 0;
        a = shardio_array_open_in(&store, &o, &e);
        CHECK_U64(shardio_array_accounting(a).device_calls, 0);
        uint8_t got[9 * 42 * 2];
        CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
        shardio_accounting first = shardio_array_accounting(a);
        CHECK_U64(first.device_calls, s.reads);
        CHECK_U64(s.reads, k % 3 == 2 ? 3 * 2 * 2 : 4 + 4);   /* 4 shards, in each all chunks lie side by side */
        CHECK_U64(first.files, k % 3 == 2 ? 12 : 4);
        uint64_t chunk = k % 3 == 2 ? 4 * 16 * 2 : 16 * 2, chunks = k % 3 == 2 ? 12 : 9 * 4;
        CHECK_U64(first.device_bytes, chunks * (chunk + (k >= 3 ? 4 : 0)));
        if (k % 3 == 0) {                                      /* one chunk in x of all frames: 8 runs, then 1 */
            s.reads = 0;
            count[1] = 4;
            count[2] = 4;
            CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
            CHECK_U64(s.reads, 9);                             /* the indexes are kept */
            CHECK_U64(shardio_array_accounting(a).device_calls, first.device_calls + 9);
        }
        shardio_array_close(a);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* A shard that is replaced, rewritten or removed while an array is open: the reader sees the new one. */
TEST(changed_while_open)
{
    WINE_CANNOT("replace a file that is open");
    char directory[300], path[340];
    test_directory(directory, sizeof directory);
    for (int k = 0; k < 8; k++) {
        shardio_memory_store memory, other_memory;
        shardio_store store = shardio_store_memory(&memory, NULL), other = shardio_store_memory(&other_memory, NULL);
        shardio_error e;
        uint64_t start[3] = {0, 0, 0}, count[3] = {4, 6, 7};
        uint8_t got[4 * 42 * 2];
        model m, n;
        size_t size;
        snprintf(path, sizeof path, "%s/%d", directory, k);
        if (k & 1) store = shardio_store_directory(path);
        small_model(&m, 4, 2, 4);
        small_model(&n, 4, 2, 4);
        m.o.shard[1] = n.o.shard[1] = 8;                       /* one shard */
        n.o.index_at_start = m.o.index_at_start = (k & 2) != 0;
        for (size_t i = 0; i < 4 * 42 * 2; i++) n.data[i] ^= 0x33;
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_OK(append_plain(&m, a, 0, 4 * 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        a = shardio_array_create_in(&other, &n.o);
        CHECK_OK(append_plain(&n, a, 0, 4 * 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        a = shardio_array_open_in(&store, NULL, &e);
        CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
        CHECK_BYTES(got, m.data, sizeof got);
        uint8_t *shard = store_get(&other, "c/0/0/0", &size);
        if (k < 4) {                                           /* replaced, the same size */
            CHECK_OK(store_put(&store, "c/0/0/0", shard, size));
            CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
            CHECK_BYTES(got, n.data, sizeof got);
        } else {
            CHECK_OK(store_remove(&store, "c/0/0/0"));
            CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
            for (size_t i = 0; i < sizeof got; i += 2) CHECK(memcmp(got + i, m.fill, 2) == 0);
            CHECK_OK(store_put(&store, "c/0/0/0", shard, size));
            CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
            CHECK_BYTES(got, n.data, sizeof got);
        }
        free(shard);
        shardio_array_close(a);
        model_end(&m);
        model_end(&n);
        shardio_store_memory_free(&memory);
        shardio_store_memory_free(&other_memory);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* ---- verify finds what is wrong, and reading what is not damaged still works */

typedef struct findings { int count; char text[4000]; } findings;

static void collect(void *context, const shardio_error *finding)
{
    findings *f = (findings *)context;
    char sentence[400];
    size_t used = strlen(f->text);
    f->count++;
    shardio_error_text(finding, sentence, sizeof sentence);
    snprintf(f->text + used, sizeof f->text - used, "%s\n", sentence);
}

static int count_progress(void *context, uint64_t done, uint64_t total)
{
    CHECK(done <= total);
    return ++*(int *)context == 2;
}

TEST(verify_finds)
{
    static const char *const what[] = {"cut short", "empty", "index checksum", "overlap", "wrong length", "beyond the end", "into the index",
                                       "data under crc32c", "outside the shape", "no part", "temporary", "length 2^64-2", "a directory"};
    char directory[300], path[340];
    test_directory(directory, sizeof directory);
    for (int k = 0; k < 26; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        uint64_t start[3] = {0, 0, 0}, count[3] = {9, 6, 7};
        findings found;
        model m;
        size_t size;
        bool crc = k % 13 == 7 || k >= 20;
        memset(&found, 0, sizeof found);
        small_model(&m, 9, 2, 4);                              /* shards 4,4,8: 2 * 1 * 2 chunks of 2,4,4 */
        m.o.codecs[0] = crc ? shardio_codec_crc32c() : NULL;
        snprintf(path, sizeof path, "%s/%d", directory, k);
        if (k >= 13) store = shardio_store_directory(path);
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_OK(append_plain(&m, a, 0, 9 * 42));
        CHECK_OK(shardio_array_finish(a, NULL));
        check_verifies(&m, &store);
        shardio_index_layout layout;
        memset(&layout, 0, sizeof layout);
        layout.chunks = 4;
        uint8_t *shard = store_get(&store, "c/1/0/0", &size);
        if (!CHECK(shard != NULL)) return;
        uint8_t *index = shard + size - shardio_index_size(&layout);
        uint64_t offset, length;
        shardio_index_get(&layout, index, 1, &offset, &length);
        int kind = k % 13;
        bool seal = true;
        const char *key = "c/1/0/0";
        if (kind == 0) size -= 10;
        if (kind == 1) size = 0;
        if (kind == 2) { index[3] ^= 1; seal = false; }
        if (kind == 3) shardio_index_set(&layout, index, 1, offset - 1, length);
        if (kind == 4) shardio_index_set(&layout, index, 1, offset, length - 2);
        if (kind == 5) shardio_index_set(&layout, index, 1, size, length);
        if (kind == 6) shardio_index_set(&layout, index, 1, size - 20, 16);
        if (kind == 7) { shard[offset] ^= 1; }
        if (kind == 8) key = "c/3/0/0";
        if (kind == 9) key = "c/1/0/0/5";
        if (kind == 11) shardio_index_set(&layout, index, 1, 0, UINT64_MAX - 1);
        if (seal && kind > 2) shardio_index_seal(&layout, index);
        if (kind == 9 && k >= 13) key = "readme";
        if (kind == 10) {
            shardio_file f;
            int code = 0;
            CHECK_OK(store.functions->create(store.context, "c/0/1/0", true, SHARDIO_NO_OFFSET, NULL, &f, &code));
            CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
        } else if (kind == 12) {
            CHECK_OK(store_put(&store, "c/1/0/0", shard, size / 2));
        } else {
            CHECK_OK(store_put(&store, key, shard, size));
        }
        free(shard);
        a = shardio_array_open_in(&store, NULL, &e);
        CHECK_OK(e.status);
        CHECK_STATUS(shardio_array_verify(a, collect, &found, NULL, NULL, &e), SHARDIO_ERR_CORRUPT);
        CHECK_STATUS(e.status, SHARDIO_ERR_CORRUPT);
        CHECK(found.count >= 1);
        CHECK(strstr(found.text, kind == 8 ? "c/3/0/0" : kind == 10 ? "c/0/1/0" : kind == 9 ? key : "1") != NULL);
        /* what is damaged is an error or, where the index allows no doubt, data; the rest reads */
        uint8_t got[9 * 42 * 2];
        shardio_status s = shardio_array_read(a, start, count, got, sizeof got, &e);
        if (kind >= 8 && kind <= 10) CHECK_OK(s);
        else if (kind != 3 && kind != 6) CHECK(s != SHARDIO_OK);
        count[0] = 4;
        CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
        CHECK_BYTES(got, m.data, 4 * 42 * 2);
        int calls = 0;
        s = shardio_array_verify(a, NULL, NULL, count_progress, &calls, &e);
        CHECK_STATUS(s, SHARDIO_ERR_CANCELLED);
        CHECK_U64(calls, 2);
        CHECK_STATUS(shardio_array_verify(a, NULL, NULL, NULL, NULL, NULL), SHARDIO_ERR_CORRUPT);
        shardio_array_close(a);
        model_end(&m);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %d: %s\n    found: %s", k, what[kind], found.text); return; }
    }
}

/* ---- hostile zarr.json */

static const char good_text[] =
    "{\"zarr_format\": 3, \"node_type\": \"array\", \"shape\": [9, 6, 7], \"data_type\": \"uint16\",\n"
    " \"chunk_grid\": {\"name\": \"regular\", \"configuration\": {\"chunk_shape\": [4, 4, 8]}},\n"
    " \"chunk_key_encoding\": {\"name\": \"default\", \"configuration\": {\"separator\": \"/\"}}, \"fill_value\": 7,\n"
    " \"codecs\": [{\"name\": \"sharding_indexed\", \"configuration\": {\"chunk_shape\": [2, 4, 4],\n"
    "  \"codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}],\n"
    "  \"index_codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}, {\"name\": \"crc32c\"}],\n"
    "  \"index_location\": \"end\"}}], \"attributes\": {\"a\": 1}, \"dimension_names\": [\"t\", \"y\", null]}";

/* The text with the first `old` replaced. */
static const char *replaced(const char *old, const char *fresh)
{
    static char text[8192];
    const char *at = strstr(good_text, old);
    if (at == NULL) { test_fail(__FILE__, __LINE__, old); return good_text; }
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good_text), good_text, fresh, at + strlen(old));
    return text;
}

/* Opens a text as zarr.json with little memory, reads a little if it can. */
static shardio_status open_text(const char *text, size_t size, shardio_error *e, size_t *peak)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    counter c;
    memset(&o, 0, sizeof o);
    o.allocator = counter_begin(&c);
    o.memory = 65536;
    CHECK_OK(store_put(&store, "zarr.json", text, size));
    shardio_array *a = shardio_array_open_in(&store, &o, e);
    shardio_status s = e->status;
    if (s == SHARDIO_OK) {
        uint64_t zero[SHARDIO_MAX_DIMS], one[SHARDIO_MAX_DIMS];
        uint8_t got[16];
        shardio_array_facts f;
        CHECK_OK(shardio_array_describe(a, &f));
        for (int d = 0; d < SHARDIO_MAX_DIMS; d++) { zero[d] = 0; one[d] = 1; }
        bool empty = false;
        for (uint32_t d = 0; d < f.ndim; d++) empty = empty || f.shape[d] == 0;
        if (!empty) {
            CHECK_OK(shardio_array_read(a, zero, one, got, sizeof got, e));
            CHECK_BYTES(got, f.fill_value, shardio_dtype_size(f.dtype));
        }
    } else {
        CHECK(shardio_array_append(a, "x", 1) == s);
    }
    shardio_array_close(a);
    CHECK_U64(c.live, 0);
    if (peak != NULL) *peak = c.peak;
    shardio_store_memory_free(&memory);
    return s;
}

TEST(zarr_json_is_checked)
{
    static const struct { const char *old, *fresh; shardio_status status; } table[] = {
        {"\"zarr_format\": 3", "\"zarr_format\": 2", SHARDIO_ERR_UNSUPPORTED}, {"\"zarr_format\": 3", "\"zarr_format\": \"3\"", SHARDIO_OK},
        {"\"zarr_format\": 3, ", "", SHARDIO_OK}, {"\"node_type\": \"array\", ", "", SHARDIO_ERR_CORRUPT},
        {"\"node_type\": \"array\"", "\"node_type\": 1", SHARDIO_ERR_CORRUPT}, {"\"node_type\": \"array\"", "\"node_type\": \"group\"", SHARDIO_OK},
        {"\"shape\": [9, 6, 7], ", "", SHARDIO_ERR_CORRUPT}, {"[9, 6, 7]", "9", SHARDIO_ERR_CORRUPT}, {"[9, 6, 7]", "[9, 6]", SHARDIO_ERR_CORRUPT},
        {"[9, 6, 7]", "[9, 6, 7, 1]", SHARDIO_ERR_CORRUPT}, {"[9, 6, 7]", "[9, 6, -1]", SHARDIO_ERR_CORRUPT}, {"[9, 6, 7]", "[9, 6, 1.5]", SHARDIO_ERR_CORRUPT},
        {"[9, 6, 7]", "[9, 6, \"7\"]", SHARDIO_ERR_CORRUPT}, {"[9, 6, 7]", "[9, 6, null]", SHARDIO_ERR_CORRUPT}, {"[9, 6, 7]", "[9, 6, 1e400]", SHARDIO_ERR_CORRUPT},
        {"[9, 6, 7]", "[9, 6, 18446744073709551616]", SHARDIO_ERR_CORRUPT}, {"[9, 6, 7]", "[9, 4294967296, 4294967296]", SHARDIO_OK},
        {"[9, 6, 7]", "[18446744073709551615, 18446744073709551615, 2]", SHARDIO_OK}, {"[9, 6, 7]", "[0, 18446744073709551615, 18446744073709551615]", SHARDIO_OK},
        {"\"data_type\": \"uint16\",", "", SHARDIO_ERR_CORRUPT}, {"\"uint16\"", "16", SHARDIO_OK}, {"\"uint16\"", "\"uint17\"", SHARDIO_ERR_UNSUPPORTED},
        {"\"uint16\"", "\"string\"", SHARDIO_ERR_CORRUPT}, {"\"uint16\"", "\"r16\"", SHARDIO_ERR_CORRUPT},
        {"\"uint16\"", "{\"name\": \"numpy.datetime64\", \"configuration\": {\"unit\": \"s\"}}", SHARDIO_ERR_CORRUPT},
        {"\"name\": \"regular\"", "\"name\": \"rectilinear\"", SHARDIO_ERR_UNSUPPORTED}, {"\"name\": \"regular\", ", "", SHARDIO_ERR_CORRUPT},
        {"\"chunk_shape\": [4, 4, 8]", "\"chunk_shape\": [4, 4]", SHARDIO_ERR_CORRUPT}, {"\"chunk_shape\": [4, 4, 8]", "\"chunk_shape\": [4, 4, 0]", SHARDIO_ERR_CORRUPT},
        {"\"chunk_shape\": [4, 4, 8]", "\"chunk_shape\": [4, 4, 7]", SHARDIO_ERR_CORRUPT}, {"\"chunk_shape\": [4, 4, 8]", "\"x\": 1", SHARDIO_ERR_CORRUPT},
        {"\"chunk_shape\": [4, 4, 8]", "\"chunk_shape\": \"4\"", SHARDIO_ERR_CORRUPT}, {"{\"chunk_shape\": [4, 4, 8]}", "[]", SHARDIO_ERR_CORRUPT},
        {"\"chunk_shape\": [4, 4, 8]", "\"chunk_shape\": [4, 4, 18446744073709551612]", SHARDIO_OK},
        {"\"chunk_shape\": [4, 4, 8]", "\"chunk_shape\": [4611686018427387904, 4, 8]", SHARDIO_OK},
        {"\"chunk_shape\": [2, 4, 4]", "\"chunk_shape\": [2, 4, 0]", SHARDIO_ERR_CORRUPT}, {"\"chunk_shape\": [2, 4, 4]", "\"chunk_shape\": [3, 4, 4]", SHARDIO_ERR_CORRUPT},
        {"\"chunk_shape\": [2, 4, 4]", "\"chunk_shape\": [2, 4]", SHARDIO_ERR_CORRUPT}, {"\"chunk_shape\": [2, 4, 4]", "\"chunk_shape\": [8, 4, 8]", SHARDIO_ERR_CORRUPT},
        {"\"name\": \"default\"", "\"name\": \"v3\"", SHARDIO_ERR_UNSUPPORTED}, {"\"separator\": \"/\"", "\"separator\": \"-\"", SHARDIO_ERR_CORRUPT},
        {"\"separator\": \"/\"", "\"separator\": 1", SHARDIO_ERR_CORRUPT},
        {"\"fill_value\": 7,", "", SHARDIO_ERR_CORRUPT}, {"\"fill_value\": 7", "\"fill_value\": 65536", SHARDIO_ERR_CORRUPT},
        {"\"fill_value\": 7", "\"fill_value\": -1", SHARDIO_ERR_CORRUPT}, {"\"fill_value\": 7", "\"fill_value\": null", SHARDIO_ERR_CORRUPT},
        {"\"fill_value\": 7", "\"fill_value\": \"NaN\"", SHARDIO_ERR_CORRUPT}, {"\"fill_value\": 7", "\"fill_value\": true", SHARDIO_ERR_CORRUPT},
        {"\"fill_value\": 7", "\"fill_value\": 1e400", SHARDIO_ERR_CORRUPT}, {"\"fill_value\": 7", "\"fill_value\": [7]", SHARDIO_ERR_CORRUPT},
        {"\"name\": \"sharding_indexed\"", "\"name\": \"unheard_of\"", SHARDIO_ERR_UNSUPPORTED}, {"\"name\": \"sharding_indexed\", ", "", SHARDIO_ERR_CORRUPT},
        {"\"codecs\": [{\"name\": \"bytes\"", "\"codecs\": [{\"name\": \"unheard_of\"", SHARDIO_ERR_UNSUPPORTED},
        {"{\"name\": \"crc32c\"}", "{\"name\": \"unheard_of\"}", SHARDIO_ERR_UNSUPPORTED}, {"{\"name\": \"crc32c\"}", "{\"name\": 7}", SHARDIO_ERR_CORRUPT},
        {"{\"name\": \"crc32c\"}", "7", SHARDIO_ERR_CORRUPT}, {"\"endian\": \"little\"", "\"endian\": \"middle\"", SHARDIO_ERR_CORRUPT},
        {"\"configuration\": {\"endian\": \"little\"}", "\"x\": 1", SHARDIO_ERR_CORRUPT}, {"\"index_location\": \"end\"", "\"index_location\": \"middle\"", SHARDIO_ERR_CORRUPT},
        {"\"index_location\": \"end\"", "\"index_location\": 1", SHARDIO_ERR_CORRUPT}, {"\"attributes\": {\"a\": 1}", "\"attributes\": [1]", SHARDIO_ERR_CORRUPT},
        {"[\"t\", \"y\", null]", "[\"t\", \"y\"]", SHARDIO_ERR_CORRUPT}, {"[\"t\", \"y\", null]", "[\"t\", \"y\", 1]", SHARDIO_ERR_CORRUPT},
        {"[\"t\", \"y\", null]", "\"tyx\"", SHARDIO_ERR_CORRUPT},
        {"\"attributes\"", "\"storage_transformers\": [{\"name\": \"x\"}], \"attributes\"", SHARDIO_ERR_UNSUPPORTED},
        {"\"attributes\"", "\"storage_transformers\": 1, \"attributes\"", SHARDIO_ERR_CORRUPT},
        {"\"attributes\"", "\"unheard_of\": 1, \"attributes\"", SHARDIO_ERR_UNSUPPORTED},
        {"\"attributes\"", "\"unheard_of\": {\"must_understand\": true}, \"attributes\"", SHARDIO_ERR_UNSUPPORTED},
        {"\"attributes\"", "\"unheard_of\": {\"name\": \"x\"}, \"attributes\"", SHARDIO_ERR_UNSUPPORTED},
        {"\"attributes\"", "\"fill_value\": 8, \"attributes\"", SHARDIO_ERR_CORRUPT}, {"\"attributes\"", "\"\\u0073hape\": [1], \"attributes\"", SHARDIO_ERR_CORRUPT},
        {"\"name\": \"regular\"", "\"name\": \"regular\", \"name\": \"regular\"", SHARDIO_ERR_CORRUPT},
        {"\"index_location\": \"end\"", "\"index_location\": \"end\", \"index_location\": \"start\"", SHARDIO_ERR_CORRUPT},
    };
    shardio_error e;
    char sentence[500];
    CHECK_OK(open_text(good_text, strlen(good_text), &e, NULL));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t peak = 0;
        int before = test_failures;
        const char *text = replaced(table[i].old, table[i].fresh);
        shardio_status s = open_text(text, strlen(text), &e, &peak);
        CHECK(s != SHARDIO_OK);
        if (table[i].status != SHARDIO_OK) CHECK_STATUS(s, table[i].status);      /* SHARDIO_OK: which one is of no interest */
        CHECK(s != SHARDIO_ERR_MEMORY && peak < 20000);
        shardio_error_text(&e, sentence, sizeof sentence);
        CHECK(strstr(sentence, "zarr.json") != NULL);
        if (strstr(table[i].fresh, "unheard_of") != NULL) CHECK(strstr(sentence, "unheard_of") != NULL);
        if (test_failures != before) fprintf(stderr, "    %s -> %s: %s\n", table[i].old, table[i].fresh, sentence);
    }
    for (size_t size = 0; size < strlen(good_text); size++) {
        CHECK_STATUS(open_text(good_text, size, &e, NULL), SHARDIO_ERR_CORRUPT);
        CHECK(strstr(shardio_error_text(&e, sentence, sizeof sentence), "zarr.json") != NULL);
    }
    size_t n = 100000;
    char *deep = (char *)malloc(n + 1);
    memset(deep, '[', n);
    CHECK_STATUS(open_text(deep, n, &e, NULL), SHARDIO_ERR_LIMIT);
    free(deep);
}

TEST(zarr_json_that_is_fine)
{
    static const struct { const char *old, *fresh; } table[] = {
        {"\"attributes\": {\"a\": 1}, ", ""}, {"\"attributes\": {\"a\": 1}", "\"attributes\": {\"a\": 1, \"a\": 2}"}, {", \"dimension_names\": [\"t\", \"y\", null]", ""},
        {"[\"t\", \"y\", null]", "null"}, {"\"attributes\"", "\"storage_transformers\": [], \"attributes\""},
        {"\"attributes\"", "\"unheard_of\": {\"must_understand\": false, \"name\": \"x\"}, \"attributes\""},
        {"\"attributes\"", "\"consolidated_metadata\": null, \"attributes\""}, {",\n  \"index_location\": \"end\"", ""}, {"\"separator\": \"/\"", "\"separator\": \".\""},
        {", \"configuration\": {\"separator\": \"/\"}", ""}, {"{\"name\": \"default\", \"configuration\": {\"separator\": \"/\"}}", "\"default\""},
        {"\"name\": \"default\"", "\"name\": \"v2\""}, {"{\"name\": \"crc32c\"}", "\"crc32c\""}, {", {\"name\": \"crc32c\"}", ""}, {"[9, 6, 7]", "[0, 6, 7]"},
        {"[9, 6, 7]", "[9, 0, 7]"}, {"[9, 6, 7]", "[4294967296, 6, 7]"}, {"[9, 6, 7]", "[1, 1, 9223372036854775807]"},
        {"\"uint16\"", "\"float32\""}, {"\"codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}", "\"codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"big\"}}, \"crc32c\", {\"name\": \"crc32c\"}"},
        {"\"index_location\": \"end\"", "\"index_location\": \"start\""},
    };
    shardio_error e;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char sentence[500];
        const char *text = replaced(table[i].old, table[i].fresh);
        shardio_status s = open_text(text, strlen(text), &e, NULL);
        CHECK_OK(s);
        if (s != SHARDIO_OK) fprintf(stderr, "    %s -> %s: %s\n", table[i].old, table[i].fresh, shardio_error_text(&e, sentence, sizeof sentence));
    }
}

/* Every member with every value that it must not have, left out, and standing there twice. */
TEST(every_member_with_every_value)
{
    static const char *const values[] = {
        "null", "true", "false", "7", "-1", "0", "1.5", "1e400", "18446744073709551616", "\"\"", "\"x\"", "\"array\"", "[]", "{}", "[null]", "[7]", "[\"x\"]", "[[]]", "[{}]",
        "[9,6]", "[9,6,7,1]", "[9,6,-7]", "[9,6,1.5]", "[9,6,\"7\"]", "[[9,6,7]]", "{\"name\":\"x\"}", "{\"name\":7}", "{\"name\":null}", "{\"configuration\":{}}",
        "[{\"name\":\"x\"}]", "[{\"name\":7}]", "[\"bytes\"]", "{\"name\":\"x\",\"name\":\"x\"}", "{\"a\":1,\"a\":1}",
    };
    /* the member as it stands in the text, how often it may stand before, and the values that are right all the same; "-": it may
       be missing */
    static const struct { const char *member, *value, *fine; int skip; } table[] = {
        {"\"zarr_format\": ", "3", "", 0}, {"\"node_type\": ", "\"array\"", " \"array\" ", 0}, {"\"shape\": ", "[9, 6, 7]", "", 0},
        {"\"data_type\": ", "\"uint16\"", "", 0}, {"\"chunk_grid\": ", "{\"name\": \"regular\", \"configuration\": {\"chunk_shape\": [4, 4, 8]}}", "", 0},
        {"\"name\": ", "\"regular\"", "", 0}, {"\"configuration\": ", "{\"chunk_shape\": [4, 4, 8]}", "", 0}, {"\"chunk_shape\": ", "[4, 4, 8]", "", 0},
        {"\"chunk_key_encoding\": ", "{\"name\": \"default\", \"configuration\": {\"separator\": \"/\"}}", "", 0}, {"\"name\": ", "\"default\"", "", 1},
        {"\"configuration\": ", "{\"separator\": \"/\"}", " - {} {\"name\":\"x\"} {\"name\":7} {\"name\":null} {\"configuration\":{}} ", 1}, {"\"separator\": ", "\"/\"", " - ", 0},
        {"\"fill_value\": ", "7", " 7 0 ", 0}, {"\"codecs\": ", "", "", 0},
        {"\"name\": ", "\"sharding_indexed\"", "", 2}, {"\"chunk_shape\": ", "[2, 4, 4]", "", 1}, {"\"codecs\": ", "[{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}]", "", 1},
        {"\"name\": ", "\"bytes\"", "", 3}, {"\"configuration\": ", "{\"endian\": \"little\"}", "", 3}, {"\"endian\": ", "\"little\"", "", 0},
        {"\"index_codecs\": ", "[{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}, {\"name\": \"crc32c\"}]", "", 0},
        {"\"name\": ", "\"bytes\"", "", 4}, {"\"configuration\": ", "{\"endian\": \"little\"}", "", 4}, {"\"endian\": ", "\"little\"", "", 1}, {"\"name\": ", "\"crc32c\"", "", 5},
        {"\"index_location\": ", "\"end\"", " - ", 0},
        {"\"attributes\": ", "{\"a\": 1}", " - {} {\"name\":\"x\"} {\"name\":7} {\"name\":null} {\"configuration\":{}} {\"name\":\"x\",\"name\":\"x\"} {\"a\":1,\"a\":1} ", 0},
        {"\"dimension_names\": ", "[\"t\", \"y\", null]", " - null ", 0},
    };
    int tried = 0;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *at = good_text;
        for (int k = 0; at != NULL; k++, at++) {
            at = strstr(at, table[i].member);
            if (at == NULL || k == table[i].skip) break;
        }
        if (!CHECK(at != NULL)) return;
        size_t name = strlen(table[i].member), value = strlen(table[i].value);
        if (value == 0) value = (size_t)(strstr(at, ", \"attributes\"") - at) - name;                 /* the whole list of codecs */
        if (!CHECK(table[i].value[0] == 0 || memcmp(at + name, table[i].value, value) == 0)) { fprintf(stderr, "    row %d\n", (int)i); return; }
        for (size_t v = 0; v < sizeof values / sizeof values[0] + 2; v++) {
            char text[4096], sentence[500], wanted[100];
            shardio_error e;
            size_t peak = 0, count = sizeof values / sizeof values[0];
            const char *rest = at + name + value, *fresh = v < count ? values[v] : "-";
            int before = test_failures;
            if (v < count) {
                snprintf(text, sizeof text, "%.*s%s%s%s", (int)(at - good_text), good_text, table[i].member, values[v], rest);
            } else if (v == count) {                        /* missing, and the comma with it */
                const char *start = at;
                if (*rest == ',') rest += 1 + (rest[1] == ' ');
                else while (start > good_text && (*start == ' ' || *start == '\n' || start == at) && *start != '{') start--;
                if (start != at && *start != ',') start++;
                snprintf(text, sizeof text, "%.*s%s", (int)(start - good_text), good_text, rest);
            } else {                                        /* twice */
                snprintf(text, sizeof text, "%.*s%.*s, %s", (int)(at - good_text), good_text, (int)(name + value), at, at);
                fresh = "twice";
            }
            snprintf(wanted, sizeof wanted, " %s ", fresh);
            shardio_status s = open_text(text, strlen(text), &e, &peak);
            shardio_error_text(&e, sentence, sizeof sentence);
            if (strstr(table[i].fine, wanted) != NULL) CHECK_OK(s);
            else CHECK(s == SHARDIO_ERR_CORRUPT || s == SHARDIO_ERR_UNSUPPORTED || s == SHARDIO_ERR_LIMIT);
            if (v > count) CHECK_STATUS(s, SHARDIO_ERR_CORRUPT);
            if (v > count) CHECK(strstr(sentence, "twice") != NULL);
            CHECK(peak < (s == SHARDIO_OK ? 40000u : 20000u));
            tried++;
            if (test_failures != before) fprintf(stderr, "    %s%s: %s\n    %s\n", table[i].member, fresh, sentence, text);
        }
    }
    CHECK(tried > 900);
}

/* Types by name, and as objects. */
TEST(data_types)
{
    static const struct { const char *type, *fill, *codec; shardio_status status; shardio_dtype dtype; size_t size; } table[] = {
        {"\"r8\"", "[1]", "\"bytes\"", SHARDIO_OK, SHARDIO_RAW, 1}, {"\"r16\"", "[1,2]", "\"bytes\"", SHARDIO_OK, SHARDIO_RAW, 2},
        {"\"r2048\"", "", "\"bytes\"", SHARDIO_OK, SHARDIO_RAW, 256}, {"\"r2056\"", "", "\"bytes\"", SHARDIO_ERR_LIMIT, SHARDIO_RAW, 0},
        {"\"r0\"", "[]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0}, {"\"r7\"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"\"r9\"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0}, {"\"r08\"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"\"r-8\"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0}, {"\"r\"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"\"r8 \"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0}, {"\"r8.\"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"\"r99999999\"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0}, {"\"r99999992\"", "[1]", "\"bytes\"", SHARDIO_STATUS_COUNT, SHARDIO_RAW, 0},
        {"\"r4294967304\"", "[1]", "\"bytes\"", SHARDIO_STATUS_COUNT, SHARDIO_RAW, 0}, {"\"r18446744073709551624\"", "[1]", "\"bytes\"", SHARDIO_STATUS_COUNT, SHARDIO_RAW, 0},
        {"\"R8\"", "[1]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"{\"name\":\"uint8\"}", "1", "\"bytes\"", SHARDIO_OK, SHARDIO_UINT8, 1}, {"{\"name\":\"uint8\",\"configuration\":{}}", "1", "\"bytes\"", SHARDIO_OK, SHARDIO_UINT8, 1},
        {"{\"name\":\"r8\"}", "[1]", "\"bytes\"", SHARDIO_OK, SHARDIO_RAW, 1}, {"{\"name\":\"nobody\"}", "1", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"{\"name\":\"nobody\",\"must_understand\":false}", "1", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"{}", "1", "\"bytes\"", SHARDIO_ERR_CORRUPT, SHARDIO_RAW, 0}, {"{\"name\":7}", "1", "\"bytes\"", SHARDIO_ERR_CORRUPT, SHARDIO_RAW, 0},
        {"{\"name\":\"uint8\",\"name\":\"int8\"}", "1", "\"bytes\"", SHARDIO_ERR_CORRUPT, SHARDIO_RAW, 0},
        {"{\"name\":\"uint8\",\"configuration\":7}", "1", "\"bytes\"", SHARDIO_ERR_CORRUPT, SHARDIO_RAW, 0},
        {"{\"name\":\"uint8\",\"configuration\":{\"a\":1,\"a\":1}}", "1", "\"bytes\"", SHARDIO_ERR_CORRUPT, SHARDIO_RAW, 0},
        {"{\"name\":\"raw_bytes\",\"configuration\":{\"length_bytes\":3}}", "[1,2,3]", "\"bytes\"", SHARDIO_OK, SHARDIO_RAW, 3},
        {"{\"name\":\"raw_bytes\",\"configuration\":{\"length_bytes\":3}}", "\"AQID\"", "\"bytes\"", SHARDIO_OK, SHARDIO_RAW, 3},
        {"{\"name\":\"raw_bytes\",\"configuration\":{\"length_bytes\":0}}", "[]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"{\"name\":\"raw_bytes\",\"configuration\":{\"length_bytes\":257}}", "[]", "\"bytes\"", SHARDIO_ERR_LIMIT, SHARDIO_RAW, 0},
        {"{\"name\":\"raw_bytes\",\"configuration\":{\"length_bytes\":18446744073709551615}}", "[]", "\"bytes\"", SHARDIO_ERR_LIMIT, SHARDIO_RAW, 0},
        {"{\"name\":\"raw_bytes\",\"configuration\":{\"length_bytes\":\"3\"}}", "[]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"{\"name\":\"raw_bytes\"}", "[]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0}, {"\"raw_bytes\"", "[]", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"{\"name\":\"numpy.void\",\"configuration\":{\"length_bytes\":1}}", "0", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
        {"\"string\"", "\"a\"", "\"vlen-utf8\"", SHARDIO_OK, SHARDIO_STRING, sizeof(shardio_bytes)}, {"\"string\"", "\"a\"", "\"vlen-bytes\"", SHARDIO_ERR_CORRUPT, SHARDIO_STRING, 0},
        {"\"string\"", "\"a\"", "\"bytes\"", SHARDIO_ERR_CORRUPT, SHARDIO_STRING, 0}, {"\"bytes\"", "\"\"", "\"vlen-bytes\"", SHARDIO_OK, SHARDIO_BYTES, sizeof(shardio_bytes)},
        {"\"bytes\"", "\"\"", "\"vlen-utf8\"", SHARDIO_ERR_CORRUPT, SHARDIO_BYTES, 0}, {"\"uint8\"", "0", "\"vlen-bytes\"", SHARDIO_ERR_CORRUPT, SHARDIO_UINT8, 0},
        {"\"\"", "0", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0}, {"\"u\\u0069nt8\"", "0", "\"bytes\"", SHARDIO_OK, SHARDIO_UINT8, 1},
        {"\"uint8\\u0000\"", "0", "\"bytes\"", SHARDIO_ERR_UNSUPPORTED, SHARDIO_RAW, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_array_facts f;
        shardio_error e;
        counter c;
        char text[4096], zeros[2048] = "[0", sentence[500];
        for (size_t k = 1; k < 256; k++) snprintf(zeros + 2 * k, sizeof zeros - 2 * k, ",0");
        snprintf(zeros + 512, sizeof zeros - 512, "]");
        memset(&o, 0, sizeof o);
        o.allocator = counter_begin(&c);
        snprintf(text, sizeof text, "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[3],\"data_type\":%s,\"chunk_grid\":{\"name\":\"regular\",\"configuration\":"
                 "{\"chunk_shape\":[2]}},\"chunk_key_encoding\":{\"name\":\"default\"},\"fill_value\":%s,\"codecs\":[%s]}", table[i].type,
                 table[i].fill[0] ? table[i].fill : zeros, table[i].codec);
        CHECK_OK(store_put_text(&store, "zarr.json", text));
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        if (table[i].status == SHARDIO_STATUS_COUNT) CHECK(e.status == SHARDIO_ERR_LIMIT || e.status == SHARDIO_ERR_UNSUPPORTED);
        else CHECK_STATUS(e.status, table[i].status);
        if (e.status == SHARDIO_OK) {
            CHECK_OK(shardio_array_describe(a, &f));
            CHECK_U64(f.dtype, table[i].dtype);
            CHECK_U64(f.element_size, table[i].size);
        }
        CHECK(c.peak < 60000);
        shardio_array_close(a);
        CHECK_U64(c.live, 0);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %s: %s\n", table[i].type, shardio_error_text(&e, sentence, sizeof sentence)); return; }
    }
}

/* Members that nobody knows: they may be passed over only if they say so themselves. */
TEST(must_understand)
{
    static const struct { const char *member; bool fine; } table[] = {
        {"\"x\": {\"must_understand\": false}", true}, {"\"x\": {\"name\": \"y\", \"must_understand\": false, \"configuration\": {\"z\": [1]}}", true},
        {"\"x\": {\"must_understand\": true}", false}, {"\"x\": {\"must_understand\": 0}", false}, {"\"x\": {\"must_understand\": \"false\"}", false},
        {"\"x\": {\"must_understand\": null}", false}, {"\"x\": {}", false}, {"\"x\": false", false}, {"\"x\": null", false}, {"\"x\": [{\"must_understand\": false}]", false},
        {"\"x\": {\"configuration\": {\"must_understand\": false}}", false}, {"\"must_understand\": false", false}, {"\"\": {\"must_understand\": false}", true}, {"\"\": 1", false},
        {"\"x\": {\"must_understand\": false}, \"y\": {\"must_understand\": false}", true}, {"\"x\": {\"must_understand\": false}, \"y\": {}", false},
        {"\"x\": {\"must_understand\": false}, \"x\": {\"must_understand\": false}", false}, {"\"consolidated_metadata\": {}", true},
        {"\"Zarr_format\": 3", false}, {"\"storage_transformers\": []", true}, {"\"storage_transformers\": {}", false},
        {"\"storage_transformers\": [{\"name\": \"x\", \"must_understand\": false}]", false},
    };
    static const struct { const char *old, *fresh; } inside[] = {
        {"{\"name\": \"crc32c\"}", "{\"name\": \"nobody\", \"must_understand\": false}"},
        {"\"codecs\": [{\"name\": \"bytes\"", "\"codecs\": [{\"name\": \"nobody\", \"must_understand\": false}, {\"name\": \"bytes\""},
        {"\"name\": \"regular\"", "\"name\": \"nobody\", \"must_understand\": false"}, {"\"name\": \"default\"", "\"name\": \"nobody\", \"must_understand\": false"},
    };
    shardio_error e;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char fresh[300];
        snprintf(fresh, sizeof fresh, "%s, \"attributes\"", table[i].member);
        const char *text = replaced("\"attributes\"", fresh);
        shardio_status s = open_text(text, strlen(text), &e, NULL);
        if (table[i].fine) CHECK_OK(s);
        else CHECK(s == SHARDIO_ERR_UNSUPPORTED || s == SHARDIO_ERR_CORRUPT);
        if (test_failures) { fprintf(stderr, "    %s: %s\n", table[i].member, shardio_status_name(s)); return; }
    }
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {      /* what is needed to read the chunks cannot be passed over */
        const char *text = replaced(inside[i].old, inside[i].fresh);
        CHECK_STATUS(open_text(text, strlen(text), &e, NULL), SHARDIO_ERR_UNSUPPORTED);
    }
}

/* Other layouts that are legal: keys, dimensions. */
TEST(key_encodings)
{
    static const struct { const char *name, *separator, *key; } table[] = {
        {"default", "/", "c/1/2"}, {"default", ".", "c.1.2"}, {"v2", ".", "1.2"}, {"v2", "/", "1/2"}, {"default", NULL, "c/1/2"}, {"v2", NULL, "1.2"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        char text[800], configuration[60] = "";
        if (table[i].separator) snprintf(configuration, sizeof configuration, ", \"configuration\": {\"separator\": \"%s\"}", table[i].separator);
        snprintf(text, sizeof text, "{\"zarr_format\": 3, \"node_type\": \"array\", \"shape\": [4, 6], \"data_type\": \"uint8\", \"chunk_grid\": {\"name\": "
                 "\"regular\", \"configuration\": {\"chunk_shape\": [2, 2]}}, \"chunk_key_encoding\": {\"name\": \"%s\"%s}, \"fill_value\": 9, "
                 "\"codecs\": [{\"name\": \"bytes\"}]}", table[i].name, configuration);
        CHECK_OK(store_put_text(&store, "zarr.json", text));
        CHECK_OK(store_put(&store, table[i].key, "\1\2\3\4", 4));
        shardio_array *a = shardio_array_open_in(&store, NULL, &e);
        uint64_t start[2] = {2, 3}, count[2] = {2, 3};
        uint8_t got[6];
        CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
        CHECK_BYTES(got, "\11\1\2\11\3\4", 6);
        findings found;
        memset(&found, 0, sizeof found);
        CHECK_OK(shardio_array_verify(a, collect, &found, NULL, NULL, &e));
        CHECK_TEXT(found.text, "");
        shardio_array_close(a);
        /* and it can be gone on with */
        a = shardio_array_continue_in(&store, NULL);
        CHECK_OK(shardio_array_append(a, "abcdef", 6));
        CHECK_OK(shardio_array_finish(a, &e));
        a = shardio_array_open_in(&store, NULL, &e);
        start[0] = 4;
        count[0] = 1;
        CHECK_OK(shardio_array_read(a, start, count, got, sizeof got, &e));
        CHECK_BYTES(got, "def", 3);
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    row %d: %s\n", (int)i, found.text); return; }
    }
    /* no dimensions at all: one element */
    for (int k = 0; k < 2; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        char text[600];
        snprintf(text, sizeof text, "{\"zarr_format\": 3, \"node_type\": \"array\", \"shape\": [], \"data_type\": \"int32\", \"chunk_grid\": {\"name\": "
                 "\"regular\", \"configuration\": {\"chunk_shape\": []}}, \"chunk_key_encoding\": {\"name\": \"%s\"}, \"fill_value\": -1, "
                 "\"codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"big\"}}]}", k ? "v2" : "default");
        CHECK_OK(store_put_text(&store, "zarr.json", text));
        int32_t got = 0;
        shardio_array *a = shardio_array_open_in(&store, NULL, &e);
        CHECK_OK(shardio_array_read(a, NULL, NULL, &got, 4, &e));
        CHECK(got == -1);
        CHECK_OK(store_put(&store, k ? "0" : "c", "\0\0\1\2", 4));
        CHECK_OK(shardio_array_read(a, NULL, NULL, &got, 4, &e));
        CHECK(got == 258);
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
        shardio_array_close(a);
        a = shardio_array_continue_in(&store, NULL);
        CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_UNSUPPORTED);
        shardio_store_memory_free(&memory);
    }
}

/* Large numbers in zarr.json, small files: nothing is taken that the files do not justify, nothing wraps. */
TEST(large_promises)
{
    static const struct { const char *type, *shape, *shard, *chunk, *codec, *key; size_t bytes; uint64_t start, count; bool fine; } table[] = {
        {"uint8", "18446744073709551615", "4", "1", "", "c/4611686018427387903", 0, UINT64_C(18446744073709551612), 3, true},
        {"uint8", "18446744073709551615", "3", "1", "", "c/6148914691236517204", 0, UINT64_C(18446744073709551612), 3, true},
        {"uint8", "18446744073709551615", "4", "4", "", "c/4611686018427387903", 0, UINT64_C(18446744073709551612), 3, true},
        {"uint8", "1000", "536870912", "268435456", "", "c/0", 100, 0, 10, false},
        {"uint8", "1000", "536870912", "268435456", ", {\"name\": \"crc32c\"}", "c/0", 100, 0, 10, false},
        {"uint8", "1000", NULL, "268435456", ", {\"name\": \"crc32c\"}", "c/0", 100, 0, 10, false},
        {"uint8", "1000", NULL, "4611686018427387904", ", {\"name\": \"crc32c\"}", "c/0", 100, 0, 10, false},
        {"uint8", "1000", NULL, "4", "", "c/0", 50 << 20, 0, 10, false},
        {"uint8", "1000", "8", "4", "", "c/0", 50 << 20, 0, 8, false},
        {"uint8", "1000", "8", "4", ", {\"name\": \"crc32c\"}", "c/0", 50 << 20, 0, 8, false},
        {"uint8", "1000", "4611686018427387904", "4", "", "c/0", 1000, 0, 10, false},
        {"complex128", "1000", "1125899906842624", "1", "", "c/0", 1000, 0, 10, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        counter c;
        int before = test_failures;
        char text[1200], sharding[500];
        const char *bytes = "{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}";
        memset(&o, 0, sizeof o);
        o.allocator = counter_begin(&c);
        o.memory = 1 << 20;
        c.limit = 100 << 20;
        snprintf(sharding, sizeof sharding, "{\"name\": \"sharding_indexed\", \"configuration\": {\"chunk_shape\": [%s], \"codecs\": [%s%s], \"index_codecs\": "
                 "[%s, {\"name\": \"crc32c\"}], \"index_location\": \"end\"}}", table[i].chunk, bytes, table[i].codec, bytes);
        snprintf(text, sizeof text, "{\"zarr_format\": 3, \"node_type\": \"array\", \"shape\": [%s], \"data_type\": \"%s\", \"chunk_grid\": {\"name\": "
                 "\"regular\", \"configuration\": {\"chunk_shape\": [%s]}}, \"chunk_key_encoding\": {\"name\": \"default\"}, \"fill_value\": %s, "
                 "\"codecs\": [%s%s]}", table[i].shape, table[i].type, table[i].shard ? table[i].shard : table[i].chunk,
                 table[i].type[0] == 'c' ? "[0, 0]" : "0", table[i].shard ? sharding : bytes, table[i].shard ? "" : table[i].codec);
        CHECK_OK(store_put_text(&store, "zarr.json", text));
        if (table[i].fine) {                                   /* four bytes as one shard */
            shardio_index_layout layout;
            uint8_t shard[4 + 16 * 4 + 4] = {1, 2, 3, 4};
            memset(&layout, 0, sizeof layout);
            layout.chunks = (uint64_t)(table[i].shard[0] - '0') / (uint64_t)(table[i].chunk[0] - '0');
            shardio_index_clear(&layout, shard + 4);
            for (uint64_t k = 0; k < layout.chunks; k++) shardio_index_set(&layout, shard + 4, k, k, (uint64_t)(table[i].chunk[0] - '0'));
            shardio_index_seal(&layout, shard + 4);
            CHECK_OK(store_put(&store, table[i].key, shard, 4 + shardio_index_size(&layout)));
        } else {
            uint8_t *file = (uint8_t *)calloc(table[i].bytes, 1);
            if (table[i].shard != NULL && table[i].shard[1] == 0) {      /* a chunk as long as the file */
                shardio_index_layout layout;
                memset(&layout, 0, sizeof layout);
                layout.chunks = 2;
                size_t at = table[i].bytes - shardio_index_size(&layout);
                shardio_index_clear(&layout, file + at);
                shardio_index_set(&layout, file + at, 0, 0, at);
                shardio_index_seal(&layout, file + at);
            }
            CHECK_OK(store_put(&store, table[i].key, file, table[i].bytes));
            free(file);
        }
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        shardio_status s = e.status;
        uint8_t got[400];
        memset(got, 0xa5, sizeof got);
        if (s == SHARDIO_OK) s = shardio_array_read(a, &table[i].start, &table[i].count, got, sizeof got, &e);
        if (table[i].fine) {
            CHECK_OK(s);
            CHECK_BYTES(got, "\1\2\3", 3);
        } else {
            CHECK(s != SHARDIO_OK && s != SHARDIO_ERR_MEMORY);
            CHECK(c.peak < 3 << 20);                           /* not what the numbers say */
        }
        if (e.status == SHARDIO_OK || s != SHARDIO_ERR_CORRUPT) (void)shardio_array_verify(a, NULL, NULL, NULL, NULL, NULL);
        shardio_array_close(a);
        CHECK_U64(c.live, 0);
        shardio_store_memory_free(&memory);
        char sentence[400];
        if (test_failures != before)
            fprintf(stderr, "    row %d, peak %llu: %s\n", (int)i, (unsigned long long)c.peak, shardio_error_text(&e, sentence, sizeof sentence));
    }
}

/* Random damage in zarr.json and in shards, and everything is tried on the result: errors or data, nothing else. */
static void try_everything(const shardio_store *store, uint64_t seed)
{
    shardio_array_options o;
    shardio_array_facts f;
    shardio_error e;
    counter c;
    memset(&o, 0, sizeof o);
    o.allocator = counter_begin(&c);
    c.limit = 8 << 20;
    o.memory = 65536;
    o.max_open_files = 4;
    shardio_array *a = shardio_array_open_in(store, &o, &e);
    if (e.status == SHARDIO_OK) {
        uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS];
        uint8_t got[4096];
        CHECK_OK(shardio_array_describe(a, &f));
        for (int k = 0; k < 3; k++) {
            for (uint32_t d = 0; d < f.ndim; d++) {
                start[d] = f.shape[d] == 0 ? 0 : test_mix(seed + d + (uint64_t)k) % f.shape[d];
                count[d] = f.shape[d] - start[d] < 6 ? f.shape[d] - start[d] : 6;
            }
            (void)shardio_array_read(a, start, count, got, sizeof got, &e);
        }
        if (seed % 4 == 0) (void)shardio_array_verify(a, NULL, NULL, NULL, NULL, &e);
    }
    shardio_array_close(a);
    if (seed % 8 == 1) {                                       /* go on with it */
        a = shardio_array_continue_in(store, &o);
        if (shardio_array_describe(a, &f) == SHARDIO_OK) (void)shardio_array_append(a, NULL, 7);
        if (seed % 16 == 1 && f.ndim == 3 && f.shape[1] < 50 && f.shape[2] < 50) (void)shardio_array_finish(a, &e);
        else shardio_array_abort(a);
    }
    CHECK_U64(c.live, 0);
}

TEST(random_damage)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    static const char *const keys[] = {"zarr.json", "c/0/0/0", "c/1/1/0", "zarr.json", "c/0/0/0", "zarr.json"};
    static const char lively[] = "{}[]\",:0123456789-e.";
    uint8_t *original[6];
    size_t sizes[6];
    uint64_t r = 9;
    model m;
    small_model(&m, 9, 2, 4);
    m.o.codecs[0] = shardio_codec_crc32c();
    shardio_array *a = shardio_array_create_in(&store, &m.o);
    CHECK_OK(append_plain(&m, a, 0, 9 * 42));
    CHECK_OK(shardio_array_finish(a, NULL));
    for (int i = 0; i < 6; i++) original[i] = store_get(&store, keys[i], &sizes[i]);
    for (uint64_t k = 0; k < 16000; k++) {
        int which = (int)(k % 6);
        size_t size = sizes[which];
        uint8_t *copy = (uint8_t *)malloc(size + 8);
        memcpy(copy, original[which], size);
        for (uint64_t n = 1 + test_random(&r) % 3; n-- > 0;) {
            uint64_t how = test_random(&r), at = test_random(&r) % size;
            if (which % 3 != 0 && how % 2) at = size - 1 - at % 68;      /* the index, above all */
            if (how % 5 == 0) copy[at] ^= (uint8_t)(1 << (how >> 8) % 8);
            else if (how % 5 == 1) copy[at] = (uint8_t)(how >> 8);
            else if (how % 5 == 2) copy[at] = (uint8_t)lively[(how >> 8) % (sizeof lively - 1)];
            else if (how % 5 == 3) copy[at] = copy[(how >> 8) % size];
            else if (how % 11 == 4) size -= (size_t)(at % 9 < size ? at % 9 : 0);
        }
        if (which % 3 != 0 && k % 2 && size >= 68) {           /* half of them with a checksum that is right */
            shardio_index_layout layout;
            memset(&layout, 0, sizeof layout);
            layout.chunks = 4;
            shardio_index_seal(&layout, copy + size - 68);
        }
        CHECK_OK(store_put(&store, keys[which], copy, size));
        try_everything(&store, k);
        free(copy);
        if (k % 8 == 1) {                                      /* whatever a continuation did */
            shardio_store_memory_free(&memory);
            store = shardio_store_memory(&memory, NULL);
            for (int i = 0; i < 3; i++) CHECK_OK(store_put(&store, keys[i], original[i], sizes[i]));
        } else {
            CHECK_OK(store_put(&store, keys[which], original[which], sizes[which]));
        }
        if (test_failures) { fprintf(stderr, "    iteration %llu\n", (unsigned long long)k); break; }
    }
    for (int i = 0; i < 6; i++) free(original[i]);
    model_end(&m);
    shardio_store_memory_free(&memory);
}

TEST_MAIN(TEST_CASE(wrong_regions) TEST_CASE(missing_is_fill) TEST_CASE(reads_are_counted) TEST_CASE(changed_while_open)
          TEST_CASE(verify_finds) TEST_CASE(zarr_json_is_checked) TEST_CASE(every_member_with_every_value)
          TEST_CASE(data_types) TEST_CASE(must_understand) TEST_CASE(zarr_json_that_is_fine) TEST_CASE(key_encodings)
          TEST_CASE(large_promises) TEST_CASE(random_damage))
