/* Packfiles: their bytes against a plain model, all ways to read them, and what can go wrong on either side. Several
   threads: test_pack_threads.c; files of the Go implementation: interop/packs.py. */
#include "test.h"
#include "faulty.h"
#include "packs.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

static uint8_t app_data[3000];

static shardio_pack_options pack_options(uint32_t each, bool hash, const shardio_codec *codec)
{
    shardio_pack_options o;
    memset(&o, 0, sizeof o);
    o.items_per_record = each;
    o.content_hash = hash;
    o.codec = codec;
    o.format = each * 7 + 1;
    return o;
}

static shardio_pack_reading reading(const shardio_codec *codec)
{
    shardio_pack_reading how;
    memset(&how, 0, sizeof how);
    how.codec = codec;
    return how;
}

static shardio_slot_options no_slot_options(void)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    return o;
}

/* Counted in bytes that were taken, so that memory given back at the wrong size shows. */
typedef struct test_codec_state {
    int begun, ended, encoded;
    int fail_at;                  /* the n-th encoding fails */
    shardio_status fail_status;
    size_t say, decoded_say;      /* a size to claim; 0: the true one */
    size_t factor;                /* bytes of each byte */
    bool unbounded, refuse;
} test_codec_state;

static size_t test_codec_bound(void *context, size_t size)
{
    test_codec_state *s = (test_codec_state *)context;
    return s->unbounded ? SIZE_MAX : size * s->factor;
}

/* Each byte several times, with its bits turned. */
static shardio_status test_codec_encode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                        size_t *out_size)
{
    test_codec_state *s = (test_codec_state *)context;
    uint8_t *to = (uint8_t *)out;
    if (++s->encoded == s->fail_at) return s->fail_status;
    if (s->say > 0) *out_size = s->say == SIZE_MAX ? capacity + 1 : s->say;
    if (s->say > 0) return SHARDIO_OK;
    if (size * s->factor > capacity) return SHARDIO_ERR_LIMIT;
    for (size_t i = 0; i < size * s->factor; i++) to[i] = (uint8_t)(((const uint8_t *)in)[i / s->factor] ^ 0x5A);
    *out_size = size * s->factor;
    return SHARDIO_OK;
}

static shardio_status test_codec_decode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                        size_t *out_size)
{
    test_codec_state *s = (test_codec_state *)context;
    const uint8_t *from = (const uint8_t *)in;
    uint8_t *to = (uint8_t *)out;
    if (s->decoded_say == SIZE_MAX) *out_size = capacity + 1;
    if (s->decoded_say > 0) return SHARDIO_OK;
    if (size % s->factor != 0) return SHARDIO_ERR_CORRUPT;
    if (size / s->factor > capacity) return SHARDIO_ERR_LIMIT;
    for (size_t i = 0; i < size; i++) {
        if (from[i] != from[i - i % s->factor]) return SHARDIO_ERR_CORRUPT;
        to[i / s->factor] = (uint8_t)(from[i] ^ 0x5A);
    }
    *out_size = size / s->factor;
    return SHARDIO_OK;
}

/* Takes memory from the pack's allocator, as codecs on libraries do. */
typedef struct test_codec_instance {
    test_codec_state *state;
    shardio_allocator allocator;
} test_codec_instance;

static size_t test_instance_bound(void *i, size_t size)
{
    return test_codec_bound(((test_codec_instance *)i)->state, size);
}

static shardio_status test_instance_encode(void *i, const void *in, size_t size, void *out, size_t capacity,
                                           size_t *out_size)
{
    return test_codec_encode(((test_codec_instance *)i)->state, in, size, out, capacity, out_size);
}
static shardio_status test_instance_decode(void *i, const void *in, size_t size, void *out, size_t capacity,
                                           size_t *out_size)
{
    return test_codec_decode(((test_codec_instance *)i)->state, in, size, out, capacity, out_size);
}

static shardio_status test_instance_begin(void *context, shardio_json configuration, size_t element_size,
                                          const shardio_allocator *allocator, void **instance, const char **reason)
{
    test_codec_state *s = (test_codec_state *)context;
    test_codec_instance *made;
    (void)configuration;
    CHECK_U64(element_size, 1);
    *reason = "the test codec says no";
    if (s->refuse) return SHARDIO_ERR_UNSUPPORTED;
    made = (test_codec_instance *)shardio_p_allocate(allocator, sizeof *made, 16);
    if (made == NULL) return SHARDIO_ERR_MEMORY;
    memset(made, 0, sizeof *made);
    made->state = s;
    if (allocator != NULL) made->allocator = *allocator;
    s->begun++;
    *instance = made;
    return SHARDIO_OK;
}

static void test_instance_end(void *i)
{
    test_codec_instance *made = (test_codec_instance *)i;
    shardio_allocator allocator = made->allocator;
    made->state->ended++;
    shardio_p_release(allocator.allocate != NULL ? &allocator : NULL, made, sizeof *made, 16);
}

static shardio_codec test_codec(test_codec_state *s, size_t factor)
{
    shardio_codec codec = {"test", NULL, NULL, test_codec_bound, test_codec_encode, test_codec_decode, NULL, NULL};
    memset(s, 0, sizeof *s);
    s->factor = factor;
    codec.context = s;
    return codec;
}

static shardio_codec test_codec_with_context(test_codec_state *s, size_t factor)
{
    shardio_codec codec = {"test", "{\"x\": 1}", NULL, test_instance_bound, test_instance_encode, test_instance_decode,
                           test_instance_begin, test_instance_end};
    memset(s, 0, sizeof *s);
    s->factor = factor;
    codec.context = s;
    return codec;
}

/* Codecs to try: none, one that comes with the header, one that checks, one on a library. */
static const shardio_codec *codec_number(size_t i)
{
    switch (i) {
#if !SHARDIO_NO_ZARR
    case 1: return shardio_codec_crc32c();
#if SHARDIO_WITH_ZSTD
    case 2: return shardio_codec_zstd();
#endif
#endif
    default: return NULL;
    }
}

/* Begins a pack on a file in memory, with a small buffer that does not show in what is written. */
static shardio_status begin_in_memory(shardio_pack_writer *w, shardio_memory *memory, const shardio_pack_options *o)
{
    static uint8_t buffer[100];
    memset(memory, 0, sizeof *memory);
    return shardio_pack_begin(w, shardio_memory_file(memory, "pack"), buffer, sizeof buffer, o, NULL);
}

static void check_same(const uint8_t *data, size_t size, const bytes *expected)
{
    CHECK_U64(size, expected->size);
    CHECK_BYTES(data, expected->data, size < expected->size ? size : expected->size);
}

/* ---- the bytes --------------------------------------------------------------------------------------------------- */

static void check_hex(const uint8_t *data, size_t size, const char *hex)
{
    char text[600];
    for (size_t i = 0; i < size && 2 * i + 2 < sizeof text; i++) snprintf(text + 2 * i, 3, "%02x", data[i]);
    CHECK_TEXT(text, hex);
}

/* A pack without items, and one with three, byte for byte as the format page has it. */
TEST(small_packs)
{
    shardio_pack_options o;
    shardio_pack_writer w;
    shardio_memory memory;
    memset(&o, 0, sizeof o);
    o.items_per_record = 1;
    CHECK_OK(begin_in_memory(&w, &memory, &o));
    CHECK_OK(shardio_pack_finish(&w, NULL, 0, NULL));
    check_hex(memory.data, memory.size,
              "00000000" "534c4348" "0100" "0000" "00000000" "00000000" "00000000" "01000000" "8000" "0000" "04000000" "00000000"
              "0000000000000000000000000000000000000000000000000000000000000000" "00000000" "863a6487");
    shardio_memory_free(&memory);
    o.items_per_record = 2;
    o.format = 0x01020304;
    CHECK_OK(begin_in_memory(&w, &memory, &o));
    CHECK_OK(shardio_pack_append(&w, "abc", 3));
    CHECK_OK(shardio_pack_append(&w, NULL, 0));
    CHECK_OK(shardio_pack_append(&w, "d", 1));
    CHECK_OK(shardio_pack_finish(&w, "!", 1, NULL));
    CHECK_BYTES(memory.data, "abc" "\x03" "\x02" "\0\0\0\0", 9);                    /* lengths 3 and 0: two bits each */
    CHECK_U64(shardio_p_load32_little(memory.data + 9), shardio_crc32c(0, memory.data + 3, 6));
    CHECK_BYTES(memory.data + 13, "d" "\0" "\x01" "\x01\0\0\0", 7);   /* one length, in the last record as well */
    CHECK_BYTES(memory.data + 24, "\x02" "\x02" "\x0B\0\0\0", 6);                   /* records of 13 and 11 bytes */
    CHECK_BYTES(memory.data + 34, "!SLCH" "\x01\0\0\0" "\x04\x03\x02\x01" "\x02\0\0\0" "\x03\0\0\0" "\x02\0\0\0", 25);
    CHECK_U64(memory.size, 35 + 76);
    shardio_memory_free(&memory);
}

static const size_t counts[] = {0, 1, 2, 3, 126, 127, 128, 129, 130, 254, 255, 256, 257, 381, 384, 387, 511, 513, 700};
enum { COUNTS = sizeof counts / sizeof counts[0] };

static void check_model(const pack_items *items, const shardio_pack_options *o, size_t app_size, const bytes *pack);

/* Writes as asked and compares with the model; then reads it back in all ways. */
static void write_and_compare(const pack_items *items, const shardio_pack_options *o, size_t app_size)
{
    shardio_pack_writer w;
    shardio_memory memory;
    bytes expected;
    int before = test_failures;
    shardio_error error;
    model_pack(&expected, items, o, app_data, app_size);
    CHECK_OK(begin_in_memory(&w, &memory, o));
    CHECK_OK(pack_write(&w, items, app_size > 0 ? app_data : NULL, app_size, &error));
    CHECK_U64(shardio_pack_accounting(&w).logical_bytes, expected.size);
    CHECK_U64(shardio_pack_accounting(&w).device_bytes, expected.size);
    check_same(memory.data, memory.size, &expected);
    check_model(items, o, app_size, &expected);
    if (test_failures > before)
        fprintf(stderr, "  %d items, %d of a record\n", (int)items->count, (int)o->items_per_record);
    shardio_memory_free(&memory);
    bytes_free(&expected);
}

TEST(bytes_are_those_of_the_model)
{
    static const uint32_t each[] = {1, 2, 3, 0, 128, 1000, 5};
    uint64_t seed = 5;
    test_fill(app_data, sizeof app_data, 99);
    for (uint64_t round = 0; round < test_rounds(7 * COUNTS + 60); round++) {
        pack_items items;
        uint64_t number = test_random(&seed);
        uint32_t e = each[round % 7];
        size_t count = round < 7 * COUNTS ? counts[round / 7] : (size_t)(number % 900);
        if (e <= 3 && round % 5 == 0)   /* so many records */
            count = (126 + (size_t)(number % 4) + (number % 8 < 4 ? 128 : 0)) * e;
        items_make(&items, count, (item_sizes)(number / 16 % SIZE_KINDS), round);
        shardio_pack_options o = pack_options(e, number / 128 % 2 != 0, codec_number((size_t)(number / 256 % 5)));
        write_and_compare(&items, &o, number / 2048 % 3 == 0 ? 0 : (size_t)(number / 8192 % sizeof app_data));
        items_free(&items);
    }
}

/* A codec whose output cannot be bounded is asked until it fits. */
TEST(encoders)
{
    test_codec_state state;
    for (size_t round = 0; round < 24; round++) {
        pack_items items;
        size_t factor = 1 + round % 12;
        shardio_codec codec = round % 2 ? test_codec(&state, factor) : test_codec_with_context(&state, factor);
        shardio_pack_options o = pack_options((uint32_t)(1 + round % 5), true, &codec);
        state.unbounded = round % 3 != 0;
        items_make(&items, 40, round % 4 ? SIZES_SPREAD : SIZES_SMALL, round);
        write_and_compare(&items, &o, 0);
        CHECK_U64(state.begun, state.ended);
        items_free(&items);
    }
}

/* ---- all ways to read -------------------------------------------------------------------------------------------- */

static void check_one_by_one(shardio_pack_reader *r, shardio_pack_scratch *s, const pack_items *items, uint64_t seed)
{
    uint8_t *memory = (uint8_t *)malloc(70001);
    if (memory == NULL) exit(2);
    for (size_t n = 0; n < items->count; n++) {
        uint64_t i = n % 3 == 0 ? n : test_random(&seed) % items->count;
        const uint8_t *data = NULL;
        size_t size = 0;
        shardio_error error;
        if (n % 2 == 0) {
            CHECK_OK(shardio_pack_item(r, s, i, &data, &size, &error));
            CHECK(items_same(items, i, data, size));
            CHECK_OK(error.status);
        } else {
            CHECK_OK(shardio_pack_item_into(r, s, i, memory, items->sizes[i], &size, n % 4 == 1 ? NULL : &error));
            CHECK(items_same(items, i, memory, size));
        }
        if (test_failures > 5) break;
    }
    free(memory);
}

static void check_ranges(shardio_pack_reader *r, shardio_pack_scratch *s, const pack_items *items, uint64_t seed)
{
    for (int n = 0; n < 6; n++) {
        uint64_t first = n == 0 ? 0 : test_random(&seed) % (items->count + 1);
        uint64_t count = n == 0 ? items->count : test_random(&seed) % (items->count - first + 1);
        pack_watch watch = {items, NULL, first, 0, 0, 0, SHARDIO_OK};
        CHECK_OK(shardio_pack_range(r, s, first, count, pack_watch_take, &watch, NULL));
        CHECK_U64(watch.seen, count);
        CHECK_U64(watch.wrong, 0);
    }
}

static void check_lists(shardio_pack_reader *r, shardio_pack_scratch *s, const pack_items *items, uint64_t seed)
{
    uint64_t *list = (uint64_t *)malloc((items->count + 1) * sizeof *list);
    if (list == NULL) exit(2);
    for (uint64_t n = 1; n < 8; n++) {
        size_t count = 0;
        pack_watch watch = {items, list, 0, 0, 0, 0, SHARDIO_OK};
        for (uint64_t i = 0; i < items->count; i++)
            if (test_random(&seed) % (n * n) == 0) list[count++] = i;
        CHECK_OK(shardio_pack_list(r, s, list, count, pack_watch_take, &watch, NULL));
        CHECK_U64(watch.seen, count);
        CHECK_U64(watch.wrong, 0);
    }
    free(list);
}

static void check_summary(shardio_pack_reader *r, shardio_pack_scratch *s, const pack_items *items,
                          const shardio_pack_options *o)
{
    shardio_pack_summary summary;
    uint64_t largest = 0;
    for (size_t i = 0; i < items->count; i++) largest = items->sizes[i] > largest ? items->sizes[i] : largest;
    r->options.extract = o->extract;
    r->options.extract_context = o->extract_context;
    CHECK_OK(shardio_pack_verify(r, s, &summary, NULL, NULL, NULL, NULL, NULL));
    CHECK_U64(summary.records, r->facts.records);
    CHECK_U64(summary.items, items->count);
    CHECK_U64(summary.item_bytes, items->total);
    CHECK_U64(summary.largest_item, largest);
    CHECK_U64(summary.faults, 0);
    CHECK(summary.contents_checked);
    CHECK_U64(summary.hash_checked, o->content_hash);
}

/* Facts, all ways to get at items, with the reader's scratch and an own one, with little and much room for lengths. */
static void check_model(const pack_items *items, const shardio_pack_options *o, size_t app_size, const bytes *pack)
{
    static pack_rig g;
    static const size_t caches[] = {0, 1, 40, 300, 5000};
    static uint8_t memory[sizeof app_data];
    shardio_pack_reading how = reading(o->codec);
    uint32_t each = o->items_per_record ? o->items_per_record : 128;
    shardio_pack_scratch own;
    how.size_cache = caches[(items->count + each) % 5];
    how.tail = pack->size % 4 == 0 ? 100 : 0;
    if (!CHECK(pack_rig_open(&g, pack, &how) == SHARDIO_OK)) return;
    CHECK_U64(g.reader.facts.file_bytes, pack->size);
    CHECK_U64(g.reader.facts.items, items->count);
    CHECK_U64(g.reader.facts.records, (items->count + each - 1) / each);
    CHECK_U64(g.reader.facts.items_per_record, each);
    CHECK_U64(g.reader.facts.format, o->format);
    CHECK_U64(g.reader.facts.app_data_bytes, app_size);
    CHECK_U64(g.reader.facts.has_content_hash, o->content_hash);
    CHECK_U64(g.reader.facts.index_offset + g.reader.facts.index_bytes + app_size + 76, pack->size);
    CHECK_BYTES(g.reader.facts.content_hash, pack->data + pack->size - 40, 32);
    uint64_t opening = g.faulty.calls[FAULTY_READ];
    CHECK_OK(shardio_pack_app_data(&g.reader, memory, app_size, &g.error));
    CHECK_BYTES(memory, app_data, app_size);
    uint64_t app_reads = g.faulty.calls[FAULTY_READ] - opening;
    CHECK(app_reads <= 1);
    CHECK_U64(g.reader.reads, opening);
    CHECK_OK(shardio_pack_scratch_begin(&own, &g.reader, &g.error));
    for (int turn = 0; turn < 2; turn++) {
        shardio_pack_scratch *s = turn ? &own : NULL;
        check_one_by_one(&g.reader, s, items, pack->size);
        check_ranges(&g.reader, s, items, pack->size + 1);
        check_lists(&g.reader, s, items, pack->size + 2);
        check_summary(&g.reader, s, items, o);
    }
    CHECK_U64(own.reads + g.reader.own.reads + g.reader.reads + app_reads, g.faulty.calls[FAULTY_READ]);
    shardio_pack_scratch_end(&own);
    shardio_pack_close(&g.reader);
    CHECK_U64(g.faulty.closed, 1);
}

/* ---- appending --------------------------------------------------------------------------------------------------- */

static shardio_status extract_half(void *context, const uint8_t *item, size_t size, const uint8_t **part,
                                   size_t *part_size)
{
    int *left = (int *)context;
    if (left != NULL && (*left)-- == 0) return SHARDIO_ERR_NOT_FOUND;
    *part = size > 1 ? item + size / 2 : item;
    *part_size = size - size / 2;
    return SHARDIO_OK;
}

/* Items in parts are those in one piece, whatever else is asked for; without parts there is no item. */
TEST(parts)
{
    for (int round = 0; round < 24; round++) {
        shardio_pack_options o = pack_options(round % 2 ? 1 : 4, round % 3 != 0, codec_number((size_t)round / 6 % 3));
        pack_items items;
        shardio_pack_writer w;
        shardio_memory memory;
        bytes expected;
        uint64_t seed = (uint64_t)round;
        if (o.content_hash && round % 3 == 2) o.extract = extract_half;
        items_make(&items, 50, round < 12 ? SIZES_SMALL : SIZES_SPREAD, seed);
        model_pack(&expected, &items, &o, NULL, 0);
        CHECK_OK(begin_in_memory(&w, &memory, &o));
        CHECK_OK(shardio_pack_append_parts(&w, NULL, 0));
        for (size_t i = 0; i < items.count; i++) {
            shardio_bytes part[6];
            size_t at = 0, n = 0;
            memset(part, 0, sizeof part);
            for (; n < 5 && at < items.sizes[i]; n++) {
                part[n].size = n == 4 ? items.sizes[i] - at : (size_t)(test_random(&seed) % (items.sizes[i] - at + 1));
                part[n].data = part[n].size > 0 ? items_at(&items, i) + at : NULL;
                at += part[n].size;
            }
            CHECK_OK(shardio_pack_append_parts(&w, part, n + 1));
            CHECK_OK(shardio_pack_append_parts(&w, part, 0));
        }
        CHECK_OK(shardio_pack_finish(&w, NULL, 0, NULL));
        check_same(memory.data, memory.size, &expected);
        shardio_memory_free(&memory);
        bytes_free(&expected);
        items_free(&items);
    }
}

TEST(extract)
{
    shardio_pack_options o = pack_options(3, true, NULL);
    static pack_rig g;
    for (int round = 0; round < 6; round++) {
        pack_items items;
        bytes pack;
        int left = 7;
        o.codec = codec_number((size_t)round % 3);
        o.extract = extract_half;
        o.extract_context = NULL;
        items_make(&items, 20, round < 3 ? SIZES_SMALL : SIZES_TINY, 4);
        write_and_compare(&items, &o, 10);
        model_pack(&pack, &items, &o, NULL, 0);
        shardio_pack_reading how = reading(o.codec);
        shardio_pack_summary summary;
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        CHECK_STATUS(shardio_pack_verify(&g.reader, NULL, &summary, NULL, NULL, NULL, NULL, &g.error),
                     SHARDIO_ERR_CHECKSUM);
        CHECK_STATUS(g.error.status, SHARDIO_ERR_CHECKSUM);
        CHECK(!summary.hash_checked && summary.contents_checked && summary.faults == 1);
        g.reader.options.extract = extract_half;
        g.reader.options.extract_context = &left;
        CHECK_STATUS(shardio_pack_verify(&g.reader, NULL, &summary, NULL, NULL, NULL, NULL, &g.error),
                     SHARDIO_ERR_NOT_FOUND);
        CHECK_STATUS(g.error.status, SHARDIO_ERR_NOT_FOUND);
        shardio_pack_close(&g.reader);
        bytes_free(&pack);
        items_free(&items);
    }
}

static shardio_status extract_without_memory(void *context, const uint8_t *item, size_t size, const uint8_t **part,
                                             size_t *part_size)
{
    int *left = (int *)context;
    *part = item;
    *part_size = size;
    return (*left)-- == 0 ? SHARDIO_ERR_MEMORY : SHARDIO_OK;
}

/* That an opaque reader cannot extract says that the items are encoded; that there was no memory says nothing. */
TEST(extract_without_memory)
{
    shardio_pack_options o = pack_options(3, true, NULL);
    shardio_pack_reading how = reading(NULL);
    static pack_rig g;
    pack_items items;
    bytes pack;
    items_make(&items, 20, SIZES_SMALL, 4);
    model_pack(&pack, &items, &o, NULL, 0);
    how.opaque = true;
    CHECK_OK(pack_rig_open(&g, &pack, &how));
    for (int after = 0; after <= 20; after++) {
        shardio_pack_summary summary;
        int left = after;
        g.reader.options.extract = extract_without_memory;
        g.reader.options.extract_context = &left;
        CHECK_STATUS(shardio_pack_verify(&g.reader, NULL, &summary, NULL, NULL, NULL, NULL, &g.error),
                     after < 20 ? SHARDIO_ERR_MEMORY : SHARDIO_OK);
        CHECK_U64(summary.contents_checked, after == 20);
    }
    shardio_pack_close(&g.reader);
    bytes_free(&pack);
    items_free(&items);
}

/* It fails in the middle: so does the append, and the pack. */
TEST(extract_that_fails)
{
    shardio_pack_options o = pack_options(3, true, NULL);
    shardio_pack_writer w;
    shardio_memory memory;
    shardio_error error;
    int left = 4;
    o.extract = extract_half;
    o.extract_context = &left;
    CHECK_OK(begin_in_memory(&w, &memory, &o));
    for (int i = 0; i < 7; i++)
        CHECK_STATUS(shardio_pack_append(&w, "item", 4), i < 4 ? SHARDIO_OK : SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_NOT_FOUND);
    CHECK_TEXT(error.operation, "append");
    shardio_memory_free(&memory);
}

TEST(wrong_options)
{
    shardio_pack_options o = pack_options(3, false, NULL);
    shardio_slot_options s = no_slot_options();
    shardio_pack_writer w;
    shardio_error error;
    test_codec_state state;
    shardio_codec codec = test_codec_with_context(&state, 1);
    char path[400];
    snprintf(path, sizeof path, "%s/wrong-options", rig_directory());
    o.extract = extract_half;
    CHECK_STATUS(shardio_pack_create(&w, path, &o, NULL), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_pack_append(&w, "a", 1), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_ARGUMENT);
    CHECK(error.reason != NULL && strstr(error.reason, "content_hash") != NULL);
    o.extract = NULL;
    s.start = 10;
    rig_put(path, "what is there stays there", 25);
    CHECK_STATUS(shardio_pack_create(&w, path, &o, &s), SHARDIO_ERR_ARGUMENT);
    shardio_pack_abort(&w);
    s.start = 0;
    CHECK_STATUS(shardio_pack_create(&w, path, &o, &s), SHARDIO_ERR_EXISTS);
    CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_EXISTS);
    rig_put(path, NULL, 0);
    o.codec = &codec;
    state.refuse = true;
    CHECK_STATUS(shardio_pack_create(&w, path, &o, NULL), SHARDIO_ERR_UNSUPPORTED);
    CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_UNSUPPORTED);
    CHECK_TEXT(error.reason, "the test codec says no");
#if !SHARDIO_NO_ZARR
    state.refuse = false;
    codec.configuration = "{oops";
    CHECK(shardio_pack_create(&w, path, &o, NULL) != SHARDIO_OK);
    CHECK(shardio_pack_finish(&w, NULL, 0, &error) != SHARDIO_OK);
    CHECK_TEXT(error.reason, "the codec's configuration is no JSON");
#endif
    CHECK_U64(state.begun, state.ended);
    CHECK_U64(rig_count_names(rig_directory(), "wrong-options"), 0);
    CHECK_STATUS(shardio_pack_create(NULL, path, NULL, NULL), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_pack_append(NULL, "a", 1), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_pack_finish(NULL, NULL, 0, &error), SHARDIO_ERR_ARGUMENT);
    shardio_pack_abort(NULL);
}

TEST(wrong_arguments)
{
    for (int round = 0; round < 3; round++) {
        const shardio_bytes part = {NULL, 5};
        shardio_pack_writer w;
        shardio_memory memory;
        shardio_error error;
        CHECK_OK(begin_in_memory(&w, &memory, NULL));
        CHECK_OK(shardio_pack_append(&w, "abc", 3));
        if (round == 0) CHECK_STATUS(shardio_pack_append(&w, NULL, 5), SHARDIO_ERR_ARGUMENT);
        if (round == 1) CHECK_STATUS(shardio_pack_append_parts(&w, &part, 1), SHARDIO_ERR_ARGUMENT);
        if (round == 2) CHECK_STATUS(shardio_pack_append_parts(&w, NULL, 1), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_pack_append(&w, "abc", 3), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_ARGUMENT);
        CHECK_TEXT(error.operation, "append");
        shardio_memory_free(&memory);
        CHECK_OK(begin_in_memory(&w, &memory, NULL));
        CHECK_STATUS(shardio_pack_finish(&w, NULL, 1, &error), SHARDIO_ERR_ARGUMENT);
        CHECK_TEXT(error.operation, "finish");
        shardio_memory_free(&memory);
    }
}

/* ---- its life ---------------------------------------------------------------------------------------------------- */

TEST(after_the_end)
{
    shardio_slot_options s = no_slot_options();
    char path[400];
    size_t size;
    snprintf(path, sizeof path, "%s/after-the-end", rig_directory());
    s.overwrite = true;
    for (int round = 0; round < 3; round++) {
        shardio_pack_writer w;
        shardio_error error;
        CHECK_OK(shardio_pack_create(&w, path, NULL, &s));
        CHECK_OK(shardio_pack_append(&w, "abc", 3));
        if (round < 2) CHECK_OK(shardio_pack_finish(&w, "app", 3, &error));
        else shardio_pack_abort(&w);
        if (round == 0) CHECK_STATUS(shardio_pack_append(&w, "abc", 3), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_STATE);
        CHECK_STATUS(error.status, SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_append(&w, "abc", 3), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_append_parts(&w, NULL, 0), SHARDIO_ERR_STATE);
        shardio_pack_abort(&w);
        free(rig_slurp(path, &size));
        CHECK_U64(size, 3 + 6 + 4 + 6 + 4 + 3 + 76);   /* what was finished is still there */
    }
    CHECK_U64(rig_count_names(rig_directory(), "after-the-end"), 1);
}

TEST(abort_leaves_nothing)
{
    for (int round = 0; round < 6; round++) {
        shardio_slot_options s = no_slot_options();
        shardio_pack_writer w;
        char path[400];
        size_t size;
        uint8_t *before;
        snprintf(path, sizeof path, "%s/abort-leaves-%d", rig_directory(), round);
        s.overwrite = round % 2 != 0;
        s.buffer_size = 4096;
        if (round % 2) rig_put(path, "old", 3);
        CHECK_OK(shardio_pack_create(&w, path, NULL, &s));
        for (int i = 0; i < round * 300; i++) CHECK_OK(shardio_pack_append(&w, app_data, 100));
        shardio_pack_abort(&w);
        CHECK_U64(rig_count_names(rig_directory(), "abort-leaves"), round % 2);
        before = rig_slurp(path, &size);
        CHECK_U64(size, round % 2 ? 3 : 0);
        free(before);
        rig_put(path, NULL, 0);
    }
}

/* Files of the system's, buffered and not: they end where the trailer ends. */
TEST(files_of_the_system)
{
    for (int round = 0; round < 24; round++) {
        shardio_pack_options o = pack_options(4, true, codec_number((size_t)round % 3));
        shardio_slot_options s = no_slot_options();
        shardio_pack_writer w;
        shardio_pack_reader r;
        shardio_error error;
        pack_items items;
        bytes expected;
        char path[400];
        size_t size = 0, app_size = 0;
        snprintf(path, sizeof path, "%s/direct", rig_directory());
        items_make(&items, 300, round % 2 ? SIZES_SMALL : SIZES_SPREAD, (uint64_t)round);
        model_pack(&expected, &items, &o, NULL, 0);
        app_size = (4096 - expected.size % 4096) % sizeof app_data;
        if (round % 4 == 1) app_size++;
        if (round % 4 == 2 && app_size > 0) app_size--;
        bytes_free(&expected);
        model_pack(&expected, &items, &o, app_data, app_size);
        s.overwrite = round > 0;
        s.direct = (shardio_direct)(round % 3);
        s.buffer_size = round % 5 == 0 ? 0 : 8192;
        s.durability = round % 2 ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
        if (round % 7 == 0) s.sync_every = 5000, s.drop_behind = 5000;
        shardio_status status = shardio_pack_create(&w, path, &o, &s);
        if (status == SHARDIO_ERR_DIRECT && s.direct == SHARDIO_DIRECT_ON) {
            shardio_pack_abort(&w);
        } else {
            CHECK_OK(status);
            CHECK_OK(pack_write(&w, &items, app_data, app_size, &error));
            uint8_t *data = rig_slurp(path, &size);
            check_same(data, size, &expected);
            free(data);
            shardio_pack_reading how = reading(o.codec);
            CHECK_OK(shardio_pack_open(&r, path, &how, &error));
            check_one_by_one(&r, NULL, &items, 3);
            check_summary(&r, NULL, &items, &o);
            shardio_pack_close(&r);
        }
        bytes_free(&expected);
        items_free(&items);
    }
    CHECK_U64(rig_count_names(rig_directory(), "direct"), 1);
}

/* A file that insists on blocks, with all alignments: whole blocks are written, and the file is cut to its length. */
TEST(blocks_only)
{
    static const uint32_t blocks[] = {512, 4096};
    void *buffer = test_aligned(4096, 8192);
    if (buffer == NULL) exit(2);
    for (int round = 0; round < 40; round++) {
        shardio_pack_options o = pack_options(round % 3 ? 128 : 1, true, NULL);
        shardio_slot_options s = no_slot_options();
        pack_items items;
        bytes expected;
        shardio_pack_writer w;
        shardio_error error;
        rig g;
        size_t app_size = (size_t)round * 73;
        items_make(&items, 40 + (size_t)round, SIZES_SMALL, (uint64_t)round);
        model_pack(&expected, &items, &o, app_data, app_size);
        rig_begin(&g, false, NULL, 0);
        g.faulty.alignment = blocks[round % 2];
        g.faulty.flash = round % 4 > 1;
        s.direct = g.faulty.flash ? SHARDIO_DIRECT_AUTO : SHARDIO_DIRECT_ON;
        CHECK_OK(shardio_pack_begin(&w, rig_open(&g, false), buffer, 8192, &o, &s));
        CHECK_OK(pack_write(&w, &items, app_data, app_size, &error));
        CHECK(g.faulty.direct);
        rig_check(&g, expected.data, expected.size);
        rig_end(&g);
        bytes_free(&expected);
        items_free(&items);
    }
    test_aligned_free(buffer);
}

/* Everything in memory of the caller's: no allocation but from it, and nothing is left. */
TEST(memory_of_the_caller)
{
    static uint8_t heap[60000], file[60000], reading_heap[200000], buffer[512];
    static pack_rig g;
    for (size_t room = 0; room <= sizeof heap; room = room < 3000 ? room + 100 : room + 5700) {
        shardio_pack_options o = pack_options(16, true, codec_number(room % 200 == 0 ? 1 : 0));
        shardio_slot_options s = no_slot_options();
        shardio_arena arena, arena_of_reader;
        shardio_allocator allocator = shardio_arena_begin(&arena, heap, room), of_reader;
        shardio_memory memory;
        shardio_pack_writer w;
        shardio_error error;
        pack_items items;
        bytes expected;
        items_make(&items, 900, SIZES_SMALL, 1);
        model_pack(&expected, &items, &o, app_data, 100);
        memset(&memory, 0, sizeof memory);
        memory.data = file;
        memory.capacity = sizeof file;
        memory.fixed = true;
        s.allocator = &allocator;
        CHECK_OK(shardio_pack_begin(&w, shardio_memory_file(&memory, "file"), buffer, sizeof buffer, &o, &s));
        shardio_status status = pack_write(&w, &items, app_data, 100, &error);
        if (room < 64) CHECK_STATUS(status, SHARDIO_ERR_MEMORY);
        if (room > 20000) CHECK_OK(status);
        if (status == SHARDIO_OK) check_same(memory.data, memory.size, &expected);
        else CHECK_STATUS(status, SHARDIO_ERR_MEMORY);
        CHECK_U64(arena.pieces, 0);
        if (status == SHARDIO_OK) {
            shardio_pack_reading how = reading(o.codec);
            of_reader = shardio_arena_begin(&arena_of_reader, reading_heap, sizeof reading_heap);
            how.allocator = &of_reader;
            CHECK_OK(pack_rig_open(&g, &expected, &how));
            check_one_by_one(&g.reader, NULL, &items, 9);
            shardio_pack_close(&g.reader);
            CHECK_U64(arena_of_reader.pieces, 0);
        }
        bytes_free(&expected);
        items_free(&items);
    }
}

/* ---- when things fail -------------------------------------------------------------------------------------------- */

/* Begins on a rig with a small buffer, of one block where there are blocks. */
static shardio_status begin_on_rig(shardio_pack_writer *w, rig *g, const shardio_pack_options *o,
                                   const shardio_slot_options *s)
{
    static uint8_t buffer[2 * 4096];
    uint8_t *block = buffer + (4096 - (uintptr_t)buffer % 4096);
    return shardio_pack_begin(w, rig_open(g, false), block, g->real ? 4096 : 200, o, s);
}

/* Every call of the file's fails once, and from some call on all of them. */
TEST(failing_calls)
{
    pack_items items;
    items_make(&items, 300, SIZES_SMALL, 6);
    for (int round = 0; round < 8; round++) {
        test_codec_state state;
        shardio_codec codec = test_codec_with_context(&state, 2);
        shardio_pack_options o = pack_options(round % 4 ? 20 : 1, true, round % 2 ? &codec : NULL);
        shardio_slot_options s = no_slot_options();
        bytes expected;
        bool real = round >= 4;
        model_pack(&expected, &items, &o, app_data, 500);
        for (uint64_t nth = 1, done = 0; !done; nth += nth < 12 || !real ? 1 : 7) {
            shardio_pack_writer w;
            shardio_error error;
            rig g;
            rig_begin(&g, real, NULL, 0);
            g.faulty.fail_at = nth;
            g.faulty.fail_on = round % 3 == 0;
            s.sync_every = round % 2 ? 1000 : 0;
            shardio_status status = begin_on_rig(&w, &g, &o, &s);
            if (status != SHARDIO_OK) CHECK_STATUS(pack_write(&w, &items, app_data, 500, &error), status);
            else status = pack_write(&w, &items, app_data, 500, &error);
            done = g.faulty.fired == 0;
            if (status == SHARDIO_OK) {   /* nothing failed, or unbuffered I/O only, which is a wish */
                CHECK(done || g.faulty.fired_call == FAULTY_DIRECT || g.faulty.fired_call == FAULTY_FACTS);
                rig_check(&g, expected.data, expected.size);
            } else {
                CHECK_STATUS(status, SHARDIO_ERR_IO);
                CHECK_U64(error.system_code, EIO);
                CHECK_STATUS(shardio_pack_append(&w, "a", 1), status);
                CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), status);
                CHECK(!g.faulty.published);
                if (real) CHECK(access(g.path, F_OK) != 0);
            }
            CHECK_U64(g.faulty.closed, 1);
            rig_end(&g);
        }
        CHECK_U64(state.begun, state.ended);
        bytes_free(&expected);
    }
    CHECK_U64(rig_count_names(rig_directory(), "tmp"), 0);
    items_free(&items);
}

/* No space from some byte on: wherever that is. */
TEST(no_space)
{
    pack_items items;
    shardio_pack_options o = pack_options(5, true, NULL);
    bytes expected;
    items_make(&items, 60, SIZES_SMALL, 6);
    model_pack(&expected, &items, &o, app_data, 20);
    for (uint64_t space = 1; space <= expected.size; space++) {
        shardio_pack_writer w;
        shardio_error error;
        rig g;
        rig_begin(&g, false, NULL, 0);
        g.faulty.space = space;
        g.faulty.unaligned_space = true;
        g.faulty.shorten = space;
        CHECK_OK(begin_on_rig(&w, &g, &o, NULL));
        shardio_status status = pack_write(&w, &items, app_data, 20, &error);
        CHECK_STATUS(status, space < expected.size ? SHARDIO_ERR_NO_SPACE : SHARDIO_OK);
        if (status == SHARDIO_OK) rig_check(&g, expected.data, expected.size);
        else CHECK_U64(g.faulty.how, SHARDIO_CLOSE_DISCARD);
        rig_end(&g);
    }
    bytes_free(&expected);
    items_free(&items);
}

/* A full device, of our own where the rights allow it: never removed, and the first error is the last. */
TEST(full_device)
{
    POSIX_ONLY("a device that is full");
    for (int direct = 0; direct < 3; direct++) {
        shardio_slot_options s = no_slot_options();
        char path[400] = "/dev/full", own[400];
        shardio_pack_writer w;
        shardio_error error;
        pack_items items;
        snprintf(own, sizeof own, "%s/full-%d", rig_directory(), direct);
        if (mknod(own, S_IFCHR | 0666, makedev(1, 7)) == 0) snprintf(path, sizeof path, "%s", own);
        else if (geteuid() == 0) LEAVE_OUT("no device node of our own, and none of the system's as root");
        items_make(&items, 3000, SIZES_SMALL, 1);
        s.overwrite = true;
        s.direct = (shardio_direct)direct;
        s.buffer_size = 4096;
        shardio_status status = shardio_pack_create(&w, path, NULL, &s);
        if (status == SHARDIO_OK) CHECK_STATUS(pack_write(&w, &items, NULL, 0, &error), SHARDIO_ERR_NO_SPACE);
        else CHECK(direct == SHARDIO_DIRECT_ON && status == SHARDIO_ERR_DIRECT);
        shardio_pack_abort(&w);
        struct stat facts;
        CHECK(stat(path, &facts) == 0 && S_ISCHR(facts.st_mode));
        unlink(own);
        items_free(&items);
    }
}

/* Every allocation of a writer fails once. */
TEST(failing_allocations_of_writers)
{
    pack_items items;
    char path[400];
    snprintf(path, sizeof path, "%s/writer-memory", rig_directory());
    items_make(&items, 1000, SIZES_SMALL, 6);
    for (int round = 0; round < 4; round++) {
        test_codec_state state;
        shardio_codec codec = test_codec_with_context(&state, 9);
        shardio_pack_options o = pack_options(round == 3 ? 1 : 100, true, round % 2 ? &codec : NULL);
        if (round == 2) o.extract = extract_half;
        state.unbounded = true;
        for (uint64_t nth = 1, done = 0; !done; nth++) {
            shardio_slot_options s = no_slot_options();
            counting count;
            shardio_allocator allocator = counting_allocator(&count);
            shardio_pack_writer w;
            shardio_error error;
            count.fail_at = nth;
            s.allocator = &allocator;
            s.overwrite = true;
            s.buffer_size = 4096;
            shardio_status status = shardio_pack_create(&w, path, &o, &s);
            if (status == SHARDIO_OK) status = pack_write(&w, &items, app_data, 10, &error);
            else CHECK_STATUS(pack_write(&w, &items, app_data, 10, &error), status);
            done = count.calls < nth;
            CHECK_STATUS(status, done ? SHARDIO_OK : SHARDIO_ERR_MEMORY);
            CHECK_U64(count.held, 0);
            CHECK_U64(rig_count_names(rig_directory(), "writer-memory"), done);
        }
        rig_put(path, NULL, 0);
        CHECK_U64(state.begun, state.ended);
    }
    items_free(&items);
}

/* Encoders fail, lie about what they wrote, or never have enough room. */
TEST(encoders_that_fail)
{
    static const struct {
        int fail_at;
        shardio_status fail_status;
        size_t say;
        bool unbounded;
        shardio_status status;
    } table[] = {
        {1, SHARDIO_ERR_UNSUPPORTED, 0, false, SHARDIO_ERR_UNSUPPORTED},
        {3, SHARDIO_ERR_CORRUPT, 0, true, SHARDIO_ERR_CORRUPT},
        {2, SHARDIO_ERR_LIMIT, 0, false, SHARDIO_ERR_LIMIT},
        {0, SHARDIO_OK, SIZE_MAX, false, SHARDIO_ERR_CORRUPT},
        {0, SHARDIO_OK, SIZE_MAX, true, SHARDIO_ERR_CORRUPT},
        {5, SHARDIO_ERR_MEMORY, 0, true, SHARDIO_ERR_MEMORY},
        {0, SHARDIO_OK, SIZE_MAX / 2, false, SHARDIO_ERR_CORRUPT},
        {2, SHARDIO_ERR_LIMIT, 0, true, SHARDIO_OK},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        test_codec_state state;
        shardio_codec codec = test_codec_with_context(&state, 1);
        shardio_pack_options o = pack_options(2, false, &codec);
        shardio_pack_writer w;
        shardio_memory memory;
        shardio_error error;
        pack_items items;
        state.fail_at = table[i].fail_at;
        state.fail_status = table[i].fail_status;
        state.say = table[i].say;
        state.unbounded = table[i].unbounded;
        items_make(&items, 20, SIZES_EQUAL, 1);
        CHECK_OK(begin_in_memory(&w, &memory, &o));
        CHECK_STATUS(pack_write(&w, &items, NULL, 0, &error), table[i].status);
        if (table[i].status != SHARDIO_OK) CHECK_TEXT(error.operation, "encode");
        CHECK_U64(state.begun, 1);
        CHECK_U64(state.ended, 1);
        shardio_memory_free(&memory);
        items_free(&items);
    }
    {   /* more and more room, until there is none */
        test_codec_state state;
        shardio_codec codec = test_codec(&state, 1 << 30);
        shardio_pack_options o = pack_options(2, false, &codec);
        shardio_slot_options s = no_slot_options();
        counting count;
        shardio_allocator allocator = counting_allocator(&count);
        shardio_pack_writer w;
        shardio_memory memory;
        uint8_t buffer[10];
        state.unbounded = true;
        memset(&memory, 0, sizeof memory);
        count.limit = 10 << 20;
        s.allocator = &allocator;
        CHECK_OK(shardio_pack_begin(&w, shardio_memory_file(&memory, "m"), buffer, sizeof buffer, &o, &s));
        CHECK_OK(shardio_pack_append(&w, "a", 1));
        CHECK_STATUS(shardio_pack_append(&w, "b", 1), SHARDIO_ERR_MEMORY);
        shardio_pack_abort(&w);
        CHECK_U64(count.held, 0);
        shardio_memory_free(&memory);
    }
}

/* ---- very large items ---------------------------------------------------------------------------------------------

   Their bytes are a region that nobody may touch: whoever does crashes. The file keeps everything else, and says that
   the region's bytes are zeros. */

typedef struct hollow_file {
    const uint8_t *region;
    size_t region_size;
    struct {
        uint64_t offset;
        size_t size;
        uint8_t data[2000];
    } piece[200];
    size_t pieces;
    uint64_t size;
} hollow_file;

static shardio_status hollow_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done, int *code)
{
    hollow_file *h = (hollow_file *)file;
    (void)code;
    *done = size;
    if (offset + size > h->size) h->size = offset + size;
    if ((const uint8_t *)data >= h->region && (const uint8_t *)data < h->region + h->region_size) return SHARDIO_OK;
    if (!CHECK(h->pieces < 200 && size <= 2000)) return SHARDIO_ERR_IO;
    h->piece[h->pieces].offset = offset;
    h->piece[h->pieces].size = size;
    memcpy(h->piece[h->pieces++].data, data, size);
    return SHARDIO_OK;
}

static shardio_status hollow_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    hollow_file *h = (hollow_file *)file;
    (void)code;
    *done = offset < h->size ? (size_t)shardio_p_min(size, h->size - offset) : 0;
    memset(data, 0, *done);
    for (size_t i = 0; i < h->pieces; i++)
        for (size_t j = 0; j < h->piece[i].size; j++)
            if (h->piece[i].offset + j >= offset && h->piece[i].offset + j < offset + *done)
                ((uint8_t *)data)[h->piece[i].offset + j - offset] = h->piece[i].data[j];
    return SHARDIO_OK;
}

static shardio_status hollow_facts(void *file, shardio_file_facts *facts, int *code)
{
    (void)code;
    memset(facts, 0, sizeof *facts);
    facts->size = ((hollow_file *)file)->size;
    return SHARDIO_OK;
}

static hollow_file *hollow;

static shardio_file hollow_begin(void)
{
    static const shardio_file_functions functions = {hollow_read, hollow_write, NULL, hollow_facts, NULL, NULL, NULL,
                                                     NULL, NULL,
                                                     NULL, NULL, NULL, NULL};
    shardio_file file = {&functions, NULL, "hollow"};
    static const size_t region_size = (size_t)1 << 28;
    static const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *region = hollow == NULL ? mmap(NULL, region_size, PROT_NONE, flags, -1, 0) : NULL;
    if (hollow == NULL) {
        static hollow_file the_file;
        if (region == MAP_FAILED) exit(2);
        hollow = &the_file;
        hollow->region = (const uint8_t *)region;
        hollow->region_size = region_size;
    }
    hollow->pieces = 0;
    hollow->size = 0;
    file.context = hollow;
    return file;
}

/* An item of `size` bytes that lie in the region, more than once. */
static shardio_status append_hollow(shardio_pack_writer *w, uint64_t size)
{
    shardio_bytes part[20];
    size_t n = 0;
    for (; size > 0 || n == 0; n++) {
        part[n].data = hollow->region;
        part[n].size = (size_t)shardio_p_min(size, hollow->region_size);
        size -= part[n].size;
    }
    return shardio_pack_append_parts(w, part, n);
}

/* An item of 4 GiB and more is refused before a byte of it is touched, by every way of writing it. */
TEST(items_of_4_gib)
{
    static uint8_t buffer[2000];
    static const uint64_t sizes[] = {UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, UINT64_C(5000000000)};
    for (size_t round = 0; round < 12; round++) {
        test_codec_state state;
        shardio_codec codec = test_codec(&state, 1);
        shardio_pack_options o = pack_options(round % 2 ? 1 : 128, round % 4 > 1, round < 6 ? NULL : &codec);
        shardio_pack_writer w;
        shardio_error error;
        if (round % 4 > 1 && round % 2) o.extract = extract_half;
        CHECK_OK(shardio_pack_begin(&w, hollow_begin(), buffer, sizeof buffer, &o, NULL));
        CHECK_OK(shardio_pack_append(&w, "small", 5));
        CHECK_STATUS(append_hollow(&w, sizes[round % 3]), SHARDIO_ERR_LIMIT);
        CHECK_STATUS(shardio_pack_append(&w, "small", 5), SHARDIO_ERR_LIMIT);
        CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_LIMIT);
        CHECK(error.reason != NULL && strstr(error.reason, "4 GiB") != NULL);
        CHECK_U64(hollow->size, 0);
    }
#if SIZE_MAX > UINT32_MAX
    {
        shardio_pack_writer w;
        shardio_bytes wrapping[3] = {{hollow->region, SIZE_MAX}, {hollow->region, 2}, {hollow->region, 1}};
        CHECK_OK(shardio_pack_begin(&w, hollow_begin(), buffer, sizeof buffer, NULL, NULL));
        CHECK_STATUS(shardio_pack_append_parts(&w, wrapping, 3), SHARDIO_ERR_LIMIT);
        shardio_pack_abort(&w);
        CHECK_OK(shardio_pack_begin(&w, hollow_begin(), buffer, sizeof buffer, NULL, NULL));
        CHECK_STATUS(shardio_pack_append(&w, hollow->region, (size_t)1 << 32), SHARDIO_ERR_LIMIT);
        shardio_pack_abort(&w);
        CHECK_OK(shardio_pack_begin(&w, hollow_begin(), buffer, sizeof buffer, NULL, NULL));
        CHECK_STATUS(shardio_pack_finish(&w, hollow->region, (size_t)1 << 32, NULL), SHARDIO_ERR_LIMIT);
    }
#endif
}

/* So is a record, whether its items or their lengths are too much for it. */
TEST(records_of_4_gib)
{
    static uint8_t buffer[2000];
    static const struct {
        uint64_t first, second;
        int refused;   /* 2: the second item; 3: finish */
    } table[] = {
        {UINT64_C(4294967295), 1, 2},   {UINT64_C(3000000000), UINT64_C(1294967296), 2}, {UINT64_C(4294967295), 0, 3},
        {UINT64_C(4294967279), 0, 3},   {UINT64_C(4294967278), 0, 0},                    {UINT64_C(4294967200), 0, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_pack_writer w;
        shardio_error error;
        CHECK_OK(shardio_pack_begin(&w, hollow_begin(), buffer, sizeof buffer, NULL, NULL));
        CHECK_OK(append_hollow(&w, table[i].first));
        CHECK_STATUS(append_hollow(&w, table[i].second), table[i].refused == 2 ? SHARDIO_ERR_LIMIT : SHARDIO_OK);
        CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), table[i].refused ? SHARDIO_ERR_LIMIT : SHARDIO_OK);
    }
}

/* Sizes that need 32 bits, as records and as lengths in a record, and items behind them. */
TEST(spreads_of_32_bits)
{
    static uint8_t buffer[2000];
    static const uint32_t sizes[] = {0, 5, UINT32_MAX, 1, 0x80000000u, UINT32_MAX - 1, 3, 0};
    enum { N = sizeof sizes / sizeof sizes[0] };
    for (uint32_t each = 1; each <= 2; each++) {
        shardio_pack_options o = pack_options(each, false, NULL);
        shardio_pack_writer w;
        shardio_pack_reader r;
        shardio_error error;
        uint64_t total = 0;
        uint32_t records[N], two[2] = {0, 0xF0000000u};
        size_t count = each == 1 ? N : 1, size = 0;
        bytes expected, group;
        const uint8_t *data;
        shardio_file file = hollow_begin();
        memset(&expected, 0, sizeof expected);
        memset(&group, 0, sizeof group);
        CHECK_OK(shardio_pack_begin(&w, file, buffer, sizeof buffer, &o, NULL));
        for (size_t i = 0; i < (each == 1 ? N : 2); i++) {
            uint32_t n = each == 1 ? sizes[i] : two[i];
            if (n < 10) CHECK_OK(shardio_pack_append(&w, "12345", n));
            else CHECK_OK(append_hollow(&w, n));
            records[i] = n;
            total += n;
        }
        CHECK_OK(shardio_pack_finish(&w, "app", 3, &error));
        if (each == 2) {
            model_group(&group, two, 2);
            bytes_add32(&group, shardio_crc32c(0, group.data, group.size));
            bytes_add(&expected, group.data, group.size);
            total += group.size;
            records[0] = (uint32_t)total;
        }
        size_t behind = expected.size;
        bytes end;
        memset(&end, 0, sizeof end);
        model_end(&end, records, count, each == 1 ? N : 2, each, o.format, NULL, "app", 3);
        bytes_add(&expected, end.data, end.size);
        CHECK_U64(hollow->size, total + end.size);
        uint8_t *got = (uint8_t *)malloc(expected.size);
        CHECK_OK(shardio_file_read(&file, hollow->size - expected.size, got, expected.size, NULL));
        CHECK_BYTES(got, expected.data, expected.size);
        CHECK_U64(got[behind + (each == 1 ? 4 * N : 1)], each == 1 ? 32 : 1);   /* the width of the index */
        free(got);
        CHECK_OK(shardio_pack_open_file(&r, file, NULL, &error));
        for (uint64_t i = 0; each == 1 && i < N; i++) {
            if (sizes[i] < 10) {
                CHECK_OK(shardio_pack_item(&r, NULL, i, &data, &size, &error));
                CHECK_U64(size, sizes[i]);
                CHECK_BYTES(data, "12345", size);
            } else {
                CHECK_STATUS(shardio_pack_item_into(&r, NULL, i, buffer, 10, &size, &error), SHARDIO_ERR_LIMIT);
                CHECK_U64(size, sizes[i]);
            }
        }
        shardio_pack_close(&r);
        bytes_free(&expected);
        bytes_free(&group);
        bytes_free(&end);
    }
}

/* What would take days is made believe: the members are looked into. */
TEST(more_than_the_trailer_can_say)
{
    shardio_pack_options o = pack_options(1, false, NULL);
    shardio_pack_writer w;
    shardio_memory memory;
    shardio_error error;
    CHECK_OK(begin_in_memory(&w, &memory, &o));
    w.items = UINT32_MAX - 1;
    CHECK_OK(shardio_pack_append(&w, "a", 1));
    CHECK_STATUS(shardio_pack_append(&w, "b", 1), SHARDIO_ERR_LIMIT);
    CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_LIMIT);
    CHECK(error.reason != NULL && strstr(error.reason, "2^32-1") != NULL);
    shardio_memory_free(&memory);
    for (uint32_t more = 0; more < 2; more++) {   /* a group of 6 bytes, and 4 of its checksum */
        size_t before;
        CHECK_OK(begin_in_memory(&w, &memory, &o));
        CHECK_OK(shardio_pack_append(&w, "a", 1));
        before = w.index.size;
        w.index.size = UINT32_MAX - 4 - 6 + 1;
        CHECK_STATUS(shardio_p_pack_flush_group(&w), SHARDIO_ERR_LIMIT);
        w.index.size = before;
        CHECK_STATUS(shardio_pack_finish(&w, NULL, 0, &error), SHARDIO_ERR_LIMIT);
        CHECK(error.reason != NULL && strstr(error.reason, "index") != NULL);
        shardio_memory_free(&memory);
    }
}

/* ---- what a read costs ------------------------------------------------------------------------------------------- */

/* A pack of these items. */
static bytes make_pack(pack_items *items, size_t count, item_sizes kind, const shardio_pack_options *o, size_t app_size)
{
    bytes pack;
    items_make(items, count, kind, count);
    model_pack(&pack, items, o, app_data, app_size);
    return pack;
}

/* One read opens it where the first read holds the index; otherwise two. Any size of the first read will do. */
TEST(tails)
{
    static pack_rig g;
    static uint8_t memory[1000];
    shardio_pack_options o = pack_options(2, true, NULL);
    pack_items items;
    bytes pack = make_pack(&items, 700, SIZES_TINY, &o, 500);
    for (size_t tail = 0; tail <= pack.size + 100; tail += tail < 200 ? 1 : 37) {
        shardio_pack_reading how = reading(NULL);
        how.tail = tail;
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        uint64_t needed = (uint64_t)g.reader.facts.index_bytes + 500 + 76;
        uint64_t reads = tail == 0 || tail >= needed ? 1 : 2;
        CHECK_U64(g.faulty.calls[FAULTY_READ], reads);
        CHECK_U64(g.reader.reads, reads);
        if (tail > 0) CHECK_U64(g.faulty.bytes_read, (reads == 1 ? 0 : g.reader.facts.index_bytes) +
                                                     shardio_p_min(pack.size, shardio_p_max(76, tail)));
        CHECK_OK(shardio_pack_app_data(&g.reader, memory, sizeof memory, &g.error));
        CHECK_BYTES(memory, app_data, 500);
        CHECK_U64(g.faulty.calls[FAULTY_READ], reads == 1 ? 1 : 3);
        CHECK_STATUS(shardio_pack_app_data(&g.reader, memory, 499, &g.error), SHARDIO_ERR_LIMIT);
        check_one_by_one(&g.reader, NULL, &items, tail);
        shardio_pack_close(&g.reader);
    }
    bytes_free(&pack);
    items_free(&items);
}

static void read_item(pack_rig *g, shardio_pack_scratch *s, const pack_items *items, uint64_t i, uint64_t reads,
                      uint64_t size)
{
    const uint8_t *data;
    size_t n;
    uint64_t calls = g->faulty.calls[FAULTY_READ], count = g->faulty.bytes_read;
    uint64_t own_calls = s->reads, own_count = s->read_bytes;
    CHECK_OK(shardio_pack_item(&g->reader, s, i, &data, &n, &g->error));
    CHECK(items_same(items, i, data, n));
    CHECK_U64(g->faulty.calls[FAULTY_READ] - calls, reads);
    CHECK_U64(g->faulty.bytes_read - count, size);
    CHECK_U64(s->reads - own_calls, reads);
    CHECK_U64(s->read_bytes - own_count, size);
}

/* An item costs one read: of its record, and, once the lengths are known and nothing is to be decoded, of itself. */
TEST(one_read_for_an_item)
{
    static pack_rig g;
    for (int round = 0; round < 12; round++) {
        uint32_t each = round % 2 ? 10 : 1;
        const shardio_codec *codec = codec_number((size_t)round / 2 % 3);
        shardio_pack_options o = pack_options(each, false, codec);
        shardio_pack_reading how = reading(codec);
        shardio_pack_scratch s;
        pack_items items;
        bytes pack = make_pack(&items, 300, SIZES_SMALL, &o, 0);
        if (round >= 6) how.size_cache = 1;   /* none */
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        CHECK_U64(g.faulty.calls[FAULTY_READ], 1);
        CHECK_OK(shardio_pack_scratch_begin(&s, &g.reader, NULL));
        for (uint64_t i = 0; i < items.count; i += 7) {
            shardio_p_pack_place place;
            place.found = false;
            shardio_p_pack_find(&g.reader, &place, i / each);
            uint64_t again = codec == NULL && (each == 1 || round < 6) ? items.sizes[i] : place.size;
            bool new_record = i % each < 7 || i == 0;
            read_item(&g, &s, &items, i, place.size > 0 && (new_record || again > 0), new_record ? place.size : again);
            read_item(&g, &s, &items, i, again > 0, again);
        }
        shardio_pack_scratch_end(&s);
        shardio_pack_close(&g.reader);
        bytes_free(&pack);
        items_free(&items);
    }
}

/* Lengths that differ by 64 KiB and more are not kept; such an item costs its record every time. */
TEST(wide_lengths_are_not_kept)
{
    static pack_rig g;
    pack_items items;
    shardio_pack_options o = pack_options(4, false, NULL);
    shardio_pack_scratch s;
    bytes pack;
    items_make(&items, 8, SIZES_EQUAL, 1);
    free(items.data);
    items.data = (uint8_t *)malloc(400000);
    if (items.data == NULL) exit(2);
    test_fill(items.data, 400000, 3);
    for (size_t i = 0, at = 0; i < 8; at += items.sizes[i++]) {
        items.sizes[i] = i == 2 ? 65536 + 5 : i == 5 ? 65535 + 5 : 5;
        items.starts[i] = at;
    }
    model_pack(&pack, &items, &o, NULL, 0);
    CHECK_OK(pack_rig_open(&g, &pack, NULL));
    CHECK_OK(shardio_pack_scratch_begin(&s, &g.reader, NULL));
    uint64_t first = 15 + 65541 + (4 * 17 + 7) / 8 + 9, second = 15 + 65540 + 8 + 9;
    read_item(&g, &s, &items, 1, 1, first);
    read_item(&g, &s, &items, 1, 1, first);
    read_item(&g, &s, &items, 4, 1, second);
    read_item(&g, &s, &items, 5, 1, 65540);
    read_item(&g, &s, &items, 7, 1, 5);
    shardio_pack_scratch_end(&s);
    shardio_pack_close(&g.reader);
    bytes_free(&pack);
    items_free(&items);
}

/* Neighbours come with one read, up to 1 MiB of them; nothing else is read. */
TEST(merged_reads)
{
    static pack_rig g;
    pack_items items;
    shardio_pack_options o = pack_options(1, false, NULL);
    shardio_pack_scratch s;
    bytes pack;
    uint64_t list[60];
    items_make(&items, 3002, SIZES_EQUAL, 1);
    free(items.data);
    items.data = (uint8_t *)malloc(6000000);
    if (items.data == NULL) exit(2);
    test_fill(items.data, 6000000, 3);
    for (size_t i = 0, at = 0; i < items.count; at += items.sizes[i++]) {
        items.sizes[i] = i < 3000 ? 1000 : 1200000;
        items.starts[i] = at;
    }
    model_pack(&pack, &items, &o, NULL, 0);
    CHECK_OK(pack_rig_open(&g, &pack, NULL));
    CHECK_OK(shardio_pack_scratch_begin(&s, &g.reader, NULL));
    pack_watch watch = {&items, NULL, 0, 0, 0, 0, SHARDIO_OK};
    CHECK_OK(shardio_pack_range(&g.reader, &s, 0, items.count, pack_watch_take, &watch, NULL));
    CHECK_U64(s.reads, 5);   /* 1048, 1048 and 904 items, and two large ones */
    CHECK_U64(s.read_bytes, 3000000 + 2 * 1200000);
    CHECK_U64(watch.wrong, 0);
    size_t n = 0;
    for (uint64_t i = 10; i < 20; i++) list[n++] = i;         /* one read */
    for (uint64_t i = 30; i < 50; i += 2) list[n++] = i;      /* ten */
    for (uint64_t i = 1000; i < 1005; i++) list[n++] = i;     /* one */
    list[n++] = 3000;                                         /* one, and the last one, too */
    list[n++] = 3001;
    uint64_t reads = s.reads, size = s.read_bytes;
    pack_watch listed = {&items, list, 0, 0, 0, 0, SHARDIO_OK};
    CHECK_OK(shardio_pack_list(&g.reader, &s, list, n, pack_watch_take, &listed, NULL));
    CHECK_U64(listed.seen, n);
    CHECK_U64(listed.wrong, 0);
    CHECK_U64(s.reads - reads, 1 + 10 + 1 + 2);
    CHECK_U64(s.read_bytes - size, 25 * 1000 + 2 * 1200000);
    CHECK_U64(g.faulty.calls[FAULTY_READ], 1 + s.reads);
    shardio_pack_scratch_end(&s);
    shardio_pack_close(&g.reader);
    bytes_free(&pack);
    items_free(&items);
}

/* What one scratch lent stays while another reads. */
TEST(borrowed_memory)
{
    static pack_rig g;
    for (size_t c = 0; c < 3; c++) {
        pack_items items;
        shardio_pack_options o = pack_options(3, false, codec_number(c));
        shardio_pack_reading how = reading(o.codec);
        bytes pack = make_pack(&items, 100, SIZES_SMALL, &o, 0);
        shardio_pack_scratch a, b;
        const uint8_t *data, *other;
        size_t size, other_size;
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        CHECK_OK(shardio_pack_scratch_begin(&a, &g.reader, NULL));
        CHECK_OK(shardio_pack_scratch_begin(&b, &g.reader, NULL));
        for (uint64_t i = 0; i < 100; i++) {
            CHECK_OK(shardio_pack_item(&g.reader, &a, i, &data, &size, NULL));
            CHECK_OK(shardio_pack_item(&g.reader, &b, 99 - i, &other, &other_size, NULL));
            CHECK_OK(shardio_pack_item(&g.reader, NULL, (i * 7) % 100, &other, &other_size, NULL));
            CHECK(items_same(&items, i, data, size));
        }
        shardio_pack_scratch_end(&a);
        shardio_pack_scratch_end(&a);
        shardio_pack_scratch_end(&b);
        shardio_pack_close(&g.reader);
        shardio_pack_close(&g.reader);
        bytes_free(&pack);
        items_free(&items);
    }
}

/* ---- what readers refuse ----------------------------------------------------------------------------------------- */

TEST(items_that_are_not_there)
{
    static pack_rig g;
    shardio_pack_options o = pack_options(3, false, NULL);
    pack_items items;
    bytes pack = make_pack(&items, 10, SIZES_SMALL, &o, 0);
    const uint8_t *data;
    uint8_t memory[100];
    size_t size;
    static const struct {
        uint64_t first, count;
        shardio_status status;
    } ranges[] = {
        {0, 0, SHARDIO_OK}, {10, 0, SHARDIO_OK}, {11, 0, SHARDIO_ERR_ARGUMENT}, {0, 11, SHARDIO_ERR_ARGUMENT},
        {9, 1, SHARDIO_OK}, {9, 2, SHARDIO_ERR_ARGUMENT}, {5, UINT64_MAX, SHARDIO_ERR_ARGUMENT},
        {UINT64_MAX, 1, SHARDIO_ERR_ARGUMENT}, {UINT64_MAX, UINT64_MAX, SHARDIO_ERR_ARGUMENT},
    };
    static const struct {
        uint64_t item[3];
        shardio_status status;
    } lists[] = {
        {{0, 1, 2}, SHARDIO_OK}, {{0, 5, 9}, SHARDIO_OK}, {{0, 5, 10}, SHARDIO_ERR_ARGUMENT},
        {{0, 5, 5}, SHARDIO_ERR_ARGUMENT}, {{0, 6, 5}, SHARDIO_ERR_ARGUMENT}, {{1, 1, 2}, SHARDIO_ERR_ARGUMENT},
        {{3, 2, UINT64_MAX}, SHARDIO_ERR_ARGUMENT},
        {{1, 2, UINT64_MAX}, SHARDIO_ERR_ARGUMENT},
    };
    CHECK_OK(pack_rig_open(&g, &pack, NULL));
    uint64_t reads = g.faulty.calls[FAULTY_READ];
    CHECK_STATUS(shardio_pack_item(&g.reader, NULL, 10, &data, &size, &g.error), SHARDIO_ERR_ARGUMENT);
    CHECK(strstr(g.error.subject, "item 10") != NULL);
    CHECK_STATUS(shardio_pack_item(&g.reader, NULL, UINT64_MAX, &data, &size, &g.error), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_pack_item_into(&g.reader, NULL, 10, memory, 100, &size, &g.error), SHARDIO_ERR_ARGUMENT);
    for (int turn = 0; turn < 2; turn++) {
        if (turn == 1) CHECK_U64(g.faulty.calls[FAULTY_READ], reads);   /* refused before anything is read */
        for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
            pack_watch watch = {&items, NULL, ranges[i].first, 0, 0, 0, SHARDIO_OK};
            if ((ranges[i].status == SHARDIO_OK) != (turn == 1)) continue;
            CHECK_STATUS(shardio_pack_range(&g.reader, NULL, ranges[i].first, ranges[i].count, pack_watch_take, &watch,
                                            &g.error),
                         ranges[i].status);
            CHECK_STATUS(g.error.status, ranges[i].status);
            CHECK_U64(watch.seen, turn ? ranges[i].count : 0);
        }
        for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
            pack_watch watch = {&items, lists[i].item, 0, 0, 0, 0, SHARDIO_OK};
            if ((lists[i].status == SHARDIO_OK) != (turn == 1)) continue;
            CHECK_STATUS(shardio_pack_list(&g.reader, NULL, lists[i].item, 3, pack_watch_take, &watch, &g.error),
                         lists[i].status);
            CHECK_U64(watch.seen, turn ? 3 : 0);
        }
    }
    CHECK_OK(shardio_pack_list(&g.reader, NULL, NULL, 0, pack_watch_take, NULL, &g.error));
    shardio_pack_close(&g.reader);
    bytes_free(&pack);
    items_free(&items);
}

TEST(memory_too_small)
{
    static pack_rig g;
    for (uint32_t each = 1; each < 4; each++) {
        shardio_pack_options o = pack_options(each, false, codec_number(each % 2));
        shardio_pack_reading how = reading(o.codec);
        pack_items items;
        bytes pack = make_pack(&items, 50, SIZES_SMALL, &o, 0);
        uint8_t memory[61];
        size_t size;
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        for (uint64_t i = 0; i < items.count; i++) {
            memset(memory, 0xEE, sizeof memory);
            for (size_t room = 0; room < items.sizes[i]; room += 9) {
                size = 0;
                CHECK_STATUS(shardio_pack_item_into(&g.reader, NULL, i, memory, room, &size, &g.error),
                             SHARDIO_ERR_LIMIT);
                CHECK_U64(size, items.sizes[i]);
                CHECK(memory[0] == 0xEE);
            }
            CHECK_OK(shardio_pack_item_into(&g.reader, NULL, i, memory, items.sizes[i], &size, &g.error));
            CHECK(items_same(&items, i, memory, size));
            CHECK(memory[items.sizes[i]] == 0xEE);
        }
        shardio_pack_close(&g.reader);
        bytes_free(&pack);
        items_free(&items);
    }
}

TEST(readers_that_are_not_open)
{
    static pack_rig g;
    shardio_pack_reader r;
    shardio_pack_scratch s;
    shardio_pack_summary summary;
    shardio_error error;
    shardio_file none = {NULL, NULL, "none"};
    shardio_pack_options o = pack_options(3, false, NULL);
    pack_items items;
    bytes pack = make_pack(&items, 10, SIZES_SMALL, &o, 0);
    const uint8_t *data;
    size_t size;
    char path[400];
    snprintf(path, sizeof path, "%s/not-there", rig_directory());
    CHECK_STATUS(shardio_pack_open(&r, path, NULL, &error), SHARDIO_ERR_NOT_FOUND);
    for (int turn = 0; turn < 2; turn++) {
        shardio_pack_reader *which = turn ? NULL : &r;
        CHECK_STATUS(shardio_pack_item(which, NULL, 0, &data, &size, &error), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_range(which, NULL, 0, 0, pack_watch_take, NULL, &error), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_list(which, NULL, NULL, 0, pack_watch_take, NULL, &error), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_app_data(which, NULL, 0, &error), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_verify(which, NULL, &summary, NULL, NULL, NULL, NULL, &error),
                     SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_scratch_begin(&s, which, &error), SHARDIO_ERR_ARGUMENT);
        shardio_pack_close(which);
    }
    shardio_pack_scratch_end(NULL);
    CHECK_STATUS(shardio_pack_open_file(&r, none, NULL, &error), SHARDIO_ERR_ARGUMENT);
    /* the file belongs to a reader that is not there, and is closed as well */
    memset(&g, 0, sizeof g);
    g.memory.data = pack.data;
    g.memory.size = pack.size;
    g.memory.fixed = true;
    CHECK_STATUS(shardio_pack_open_file(NULL, faulty_file(&g.faulty, shardio_memory_file(&g.memory, "m")), NULL,
                                        &error),
                 SHARDIO_ERR_ARGUMENT);
    CHECK_U64(g.faulty.closed, 1);
    bytes_free(&pack);
    items_free(&items);
}

/* An opaque reader knows everything but items. A codec that is not the right one is found out where lengths are. */
TEST(codecs_are_not_guessed)
{
    static pack_rig g;
    for (int round = 0; round < 12; round++) {
        test_codec_state state;
        shardio_codec codec = test_codec_with_context(&state, 2);
        bool encoded = round % 2 != 0, hash = round / 2 % 2 != 0;
        shardio_pack_options o = pack_options(round / 4 == 0 ? 1 : 5, hash, encoded ? &codec : NULL);
        shardio_pack_reading how = reading(encoded ? NULL : &codec);
        pack_items items;
        bytes pack = make_pack(&items, 40, SIZES_EQUAL, &o, 0);
        shardio_pack_summary summary;
        const uint8_t *data;
        uint8_t memory[100];
        size_t size;
        shardio_status status;
        CHECK_OK(pack_rig_open(&g, &pack, &how));   /* with the wrong codec */
        status = shardio_pack_item(&g.reader, NULL, 7, &data, &size, &g.error);
        if (encoded && o.items_per_record == 1) CHECK_U64(size, 34);   /* nothing in the file says otherwise */
        else CHECK_STATUS(status, SHARDIO_ERR_CORRUPT);
        if (hash || o.items_per_record > 1 || !encoded)
            CHECK(shardio_pack_verify(&g.reader, NULL, &summary, NULL, NULL, NULL, NULL, &g.error) != SHARDIO_OK);
        shardio_pack_close(&g.reader);
        how = reading(NULL);
        how.opaque = true;
        if (round % 3 == 0) how.codec = &codec;
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        CHECK_STATUS(shardio_pack_item(&g.reader, NULL, 7, &data, &size, &g.error), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_item_into(&g.reader, NULL, 7, memory, 100, &size, &g.error), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_pack_range(&g.reader, NULL, 0, 1, pack_watch_take, NULL, &g.error), SHARDIO_ERR_STATE);
        CHECK_OK(shardio_pack_verify(&g.reader, NULL, &summary, NULL, NULL, NULL, NULL, &g.error));
        bool sure = !encoded && (hash || o.items_per_record > 1);
        CHECK_U64(summary.contents_checked, sure);
        CHECK_U64(summary.hash_checked, sure && hash);
        CHECK_U64(summary.items, sure ? 40 : 0);
        CHECK_U64(summary.item_bytes, sure ? 40 * 17 : 0);
        CHECK_U64(summary.records, g.reader.facts.records);
        shardio_pack_close(&g.reader);
        CHECK_U64(state.begun, state.ended);
        bytes_free(&pack);
        items_free(&items);
    }
}

TEST(decoders_that_fail)
{
    static pack_rig g;
    for (uint32_t each = 1; each < 3; each++) {
        test_codec_state state;
        shardio_codec codec = test_codec_with_context(&state, 2);
        shardio_pack_options o = pack_options(each, false, &codec);
        shardio_pack_reading how = reading(&codec);
        pack_items items;
        bytes pack = make_pack(&items, 40, SIZES_EQUAL, &o, 0);
        const uint8_t *data;
        size_t size;
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        state.refuse = true;
        CHECK_STATUS(shardio_pack_item(&g.reader, NULL, 7, &data, &size, &g.error), SHARDIO_ERR_UNSUPPORTED);
        CHECK_STATUS(g.error.status, SHARDIO_ERR_UNSUPPORTED);
        state.refuse = false;
        state.decoded_say = SIZE_MAX;
        CHECK_STATUS(shardio_pack_item(&g.reader, NULL, 7, &data, &size, &g.error), SHARDIO_ERR_CORRUPT);
        state.decoded_say = 0;
        CHECK_OK(shardio_pack_item(&g.reader, NULL, 7, &data, &size, &g.error));
        shardio_pack_close(&g.reader);
        how.decoded_limit = 17 * each - 1;   /* one byte too few */
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        CHECK_STATUS(shardio_pack_item(&g.reader, NULL, 7, &data, &size, &g.error), SHARDIO_ERR_LIMIT);
        CHECK(strstr(g.error.subject, "record") != NULL);
        shardio_pack_close(&g.reader);
        how.decoded_limit++;
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        check_one_by_one(&g.reader, NULL, &items, 1);
        shardio_pack_close(&g.reader);
        bytes_free(&pack);
        items_free(&items);
    }
}

/* Who takes items may stop; the status is handed through, with or without words of the taker's. */
TEST(takers_that_stop)
{
    static pack_rig g;
    shardio_pack_options o = pack_options(3, false, NULL);
    pack_items items;
    bytes pack = make_pack(&items, 40, SIZES_SMALL, &o, 0);
    static const uint64_t list[] = {1, 2, 5, 20, 21};
    CHECK_OK(pack_rig_open(&g, &pack, NULL));
    for (uint64_t stop = 1; stop <= 5; stop++) {
        pack_watch watch = {&items, NULL, 4, 0, 0, stop, SHARDIO_ERR_NO_SPACE};
        pack_watch listed = {&items, list, 0, 0, 0, stop, SHARDIO_ERR_CANCELLED};
        CHECK_STATUS(shardio_pack_range(&g.reader, NULL, 4, 30, pack_watch_take, &watch, &g.error),
                     SHARDIO_ERR_NO_SPACE);
        CHECK_STATUS(g.error.status, SHARDIO_ERR_NO_SPACE);
        CHECK_U64(watch.seen, stop);
        CHECK_STATUS(shardio_pack_list(&g.reader, NULL, list, 5, pack_watch_take, &listed, &g.error),
                     SHARDIO_ERR_CANCELLED);
        CHECK_STATUS(g.error.status, SHARDIO_ERR_CANCELLED);
        CHECK_U64(listed.seen, stop);
    }
    shardio_pack_close(&g.reader);
    bytes_free(&pack);
    items_free(&items);
}

TEST(it_is_one_or_not)
{
    shardio_pack_options o = pack_options(3, false, NULL);
    pack_items items;
    bytes pack = make_pack(&items, 4, SIZES_SMALL, &o, 7);
    shardio_memory memory;
    static faulty_state f;
    memset(&memory, 0, sizeof memory);
    memory.data = pack.data;
    memory.fixed = true;
    for (memory.size = 0; memory.size <= pack.size; memory.size++) {
        memset(&f, 0, sizeof f);
        shardio_file file = faulty_file(&f, shardio_memory_file(&memory, "m"));
        CHECK_U64(shardio_pack_is_one(&file), memory.size == pack.size);
        CHECK(f.calls[FAULTY_READ] <= 1);
        f.fail_at = f.counted + 1;
        f.fail_on = true;
        CHECK(!shardio_pack_is_one(&file));
    }
    bytes_free(&pack);
    items_free(&items);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

typedef struct damage {
    const pack_items *items;
    const bytes *pack;          /* as it was */
    const shardio_pack_options *o;
    size_t app_size;
} damage;

/* A pack with a changed byte: items elsewhere are there, those in the same record are right or refused. */
static void check_flipped(pack_rig *g, const damage *d, size_t at)
{
    const shardio_pack_facts *f = &g->reader.facts;
    static uint8_t memory[sizeof app_data];
    bool hashed = d->o->content_hash, refused = false, differs = false;
    size_t payload = 0;
    shardio_p_pack_place place;
    place.found = false;
    if (at >= f->index_offset) {
        CHECK_U64(shardio_pack_app_data(&g->reader, memory, sizeof memory, &g->error), SHARDIO_OK);
        CHECK(memcmp(memory, app_data, d->app_size) != 0);
        check_one_by_one(&g->reader, NULL, d->items, 1);
        check_summary(&g->reader, NULL, d->items, d->o);
        return;
    }
    for (uint64_t i = 0; i < d->items->count; i++) {
        const uint8_t *data = NULL;
        size_t size = 0;
        shardio_p_pack_find(&g->reader, &place, i / f->items_per_record);
        bool inside = at >= place.offset && at < place.offset + place.size;
        shardio_status status = shardio_pack_item(&g->reader, NULL, i, &data, &size, &g->error);
        if (inside) payload += d->items->sizes[i];
        if (!inside) CHECK(status == SHARDIO_OK && items_same(d->items, i, data, size));
        else if (status != SHARDIO_OK) refused = true;
        else if (!items_same(d->items, i, data, size)) differs = true;
        if (status != SHARDIO_OK) CHECK_STATUS(g->error.status, status);
        if (inside && d->o->codec == NULL && f->items_per_record > 1 && at >= place.offset + payload &&
            (i + 1 == d->items->count || (i + 1) % f->items_per_record == 0))
            CHECK(refused);   /* the lengths have a checksum */
    }
    CHECK(!refused || !differs);
    if (d->o->codec != NULL) CHECK(refused);   /* those used here check their contents */
    shardio_status status = shardio_pack_verify(&g->reader, NULL, NULL, NULL, NULL, NULL, NULL, &g->error);
    CHECK_STATUS(g->error.status, status);
    if (refused || hashed) CHECK(status == SHARDIO_ERR_CHECKSUM || status == SHARDIO_ERR_CORRUPT ||
                                 status == SHARDIO_ERR_TRUNCATED);
    else CHECK_OK(status);
    pack_watch watch = {d->items, NULL, 0, 0, 0, 0, SHARDIO_OK};
    status = shardio_pack_range(&g->reader, NULL, 0, d->items->count, pack_watch_take, &watch, &g->error);
    if (refused) CHECK(status != SHARDIO_OK && watch.wrong == 0);
    else CHECK_OK(status);
}

/* zstd frames of the library's keep no checksum unless they are told to. */
static shardio_codec checking_codec(size_t i)
{
    shardio_codec codec;
    memset(&codec, 0, sizeof codec);
    if (codec_number(i) != NULL) codec = *codec_number(i);
    if (i == 2) codec.configuration = "{\"level\": 3, \"checksum\": true}";
    return codec;
}

static void flip_each_byte(const damage *d, const shardio_pack_reading *how)
{
    static pack_rig g;
    static const uint8_t masks[] = {0x01, 0x80, 0xFF};
    size_t trailer = d->pack->size - 76, app = trailer - d->app_size, index = 0;
    CHECK_OK(pack_rig_open(&g, d->pack, how));
    index = (size_t)g.reader.facts.index_offset;
    shardio_pack_close(&g.reader);
    for (size_t at = 0; at < d->pack->size; at = (size_t)test_next(at)) {
        for (size_t m = 0; m < sizeof masks; m++) {
            int before = test_failures;
            d->pack->data[at] ^= masks[m];
            shardio_status status = pack_rig_open(&g, d->pack, how);
            if (at >= trailer || (at >= index && at < app)) {
                CHECK(status == SHARDIO_ERR_CHECKSUM || status == SHARDIO_ERR_CORRUPT);
                CHECK_STATUS(g.error.status, status);
            } else if (CHECK(status == SHARDIO_OK)) {
                check_flipped(&g, d, at);
            }
            shardio_pack_close(&g.reader);
            CHECK_U64(g.faulty.closed, 1);
            d->pack->data[at] ^= masks[m];
            if (test_failures > before) fprintf(stderr, "  byte %d of %d flipped by %02x\n", (int)at,
                                                (int)d->pack->size, masks[m]);
            if (test_failures > 10) return;
        }
    }
}

TEST(every_byte_flipped)
{
    for (size_t round = 0; round < 18; round++) {
        static const uint32_t each[] = {1, 4, 128};
        shardio_codec codec = checking_codec(round / 3 % 3);
        shardio_pack_options o = pack_options(each[round % 3], round >= 9, codec.name != NULL ? &codec : NULL);
        shardio_pack_reading how = reading(o.codec);
        pack_items items;
        bytes pack = make_pack(&items, 11, round % 2 ? SIZES_EQUAL : SIZES_SMALL, &o, 9);
        damage d = {&items, &pack, &o, 9};
        flip_each_byte(&d, &how);
        bytes_free(&pack);
        items_free(&items);
    }
}

/* Cut off at the end, at the beginning, or with something behind it: none of these is a packfile. */
TEST(every_length)
{
    static pack_rig g;
    for (size_t round = 0; round < 6; round++) {
        shardio_pack_options o = pack_options(round % 2 ? 4 : 1, true, codec_number(round % 3));
        shardio_pack_reading how = reading(o.codec);
        pack_items items;
        bytes pack = make_pack(&items, 30, SIZES_SMALL, &o, 9), part;
        how.tail = round == 5 ? 100 : 0;
        for (size_t length = 0; length < pack.size; length = (size_t)test_next(length)) {
            for (int end = 0; end < 2; end++) {
                memset(&part, 0, sizeof part);
                part.data = (uint8_t *)malloc(length + 1);
                if (part.data == NULL) exit(2);
                part.size = length;
                memcpy(part.data, pack.data + (end ? pack.size - length : 0), length);
                shardio_status status = pack_rig_open(&g, &part, &how);
                CHECK(status == SHARDIO_ERR_TRUNCATED || status == SHARDIO_ERR_CORRUPT ||
                      status == SHARDIO_ERR_CHECKSUM);
                if (length < 80) CHECK_STATUS(status, SHARDIO_ERR_TRUNCATED);
                free(part.data);
            }
        }
        bytes_add(&pack, "", 1);
        CHECK_STATUS(pack_rig_open(&g, &pack, &how), SHARDIO_ERR_CORRUPT);
        bytes_free(&pack);
        items_free(&items);
    }
}

/* Reads everything that a reader gives, whatever it says. */
static void read_all_of_it(pack_rig *g, const pack_items *items)
{
    shardio_pack_reader *r = &g->reader;
    uint64_t n = r->facts.items;
    const uint64_t some[] = {0, 1, n / 2, n - 1};
    static uint8_t memory[1000];
    pack_watch watch = {items, NULL, 0, 0, 0, 5000, SHARDIO_ERR_CANCELLED};
    shardio_pack_summary summary;
    (void)shardio_pack_app_data(r, memory, sizeof memory, &g->error);
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *data;
        size_t size;
        uint8_t sum = 0;
        for (int turn = 0; turn < 2; turn++) {
            shardio_status status = shardio_pack_item(r, NULL, some[i], &data, &size, &g->error);
            for (size_t j = 0; status == SHARDIO_OK && j < size; j++) sum = (uint8_t)(sum + data[j]);
            (void)shardio_pack_item_into(r, NULL, some[i], memory, sizeof memory, &size, &g->error);
        }
        memory[0] = sum;
    }
    (void)shardio_pack_range(r, NULL, 0, n, pack_watch_take, &watch, &g->error);
    (void)shardio_pack_verify(r, NULL, &summary, NULL, NULL, NULL, NULL, &g->error);
}

/* Opens and reads something hostile: no crash, and no memory that its length does not justify. Four bytes of a zstd
   frame can become megabytes, so that a limit is needed there. */
static shardio_status try_hostile(pack_rig *g, const bytes *pack, const shardio_codec *codec, const pack_items *items)
{
    counting count;
    shardio_allocator allocator = counting_allocator(&count);
    shardio_pack_reading how = reading(codec);
    how.allocator = &allocator;
    how.decoded_limit = 10000;
    shardio_status status = pack_rig_open(g, pack, &how);
    if (status == SHARDIO_OK) read_all_of_it(g, items);
    shardio_pack_close(&g->reader);
    CHECK_U64(count.held, 0);
    if (!CHECK(count.peak <= 40 * pack->size + 8000 + (codec != NULL ? 15000 : 0)))
        fprintf(stderr, "  %llu bytes of memory for a file of %d\n", (unsigned long long)count.peak, (int)pack->size);
    return status;
}

static void seal_trailer(bytes *pack)
{
    uint8_t *trailer = pack->data + pack->size - 76;
    bytes_put32(trailer + 72, shardio_crc32c(0, trailer, 72));
}

/* Trailers with a right checksum that say anything. */
TEST(hostile_trailers)
{
    static pack_rig g;
    static const uint32_t values[] = {0, 1, 2, 3, 4, 5, 127, 128, 129, 255, 256, 1000, 65535, 65536, 0x7FFFFFFF,
                                      0x80000000u,
                                      0xFFFFFF80u, 0xFFFFFFFEu, 0xFFFFFFFFu};
    static const size_t fields[] = {4, 12, 16, 20, 24, 28, 32};
    enum { VALUES = sizeof values / sizeof values[0], FIELDS = sizeof fields / sizeof fields[0] };
    uint64_t seed = 1;
    for (size_t round = 0; round < test_rounds(1200); round++) {
        shardio_pack_options o = pack_options(round % 2 ? 1 : 4, false, codec_number(round / 2 % 3));
        pack_items items;
        bytes pack = make_pack(&items, 10, round % 4 < 2 ? SIZES_EQUAL : SIZES_EMPTY, &o, round % 3);
        uint8_t *trailer = pack.data + pack.size - 76;
        size_t changes = round < FIELDS * VALUES ? 1 : 2 + (size_t)(test_random(&seed) % 3);
        for (size_t c = 0; c < changes; c++) {
            size_t field = round < FIELDS * VALUES ? round / VALUES : (size_t)(test_random(&seed) % FIELDS);
            size_t value = round < FIELDS * VALUES ? round % VALUES : (size_t)(test_random(&seed) % VALUES);
            bytes_put32(trailer + fields[field], values[value]);
        }
        seal_trailer(&pack);
        (void)try_hostile(&g, &pack, o.codec, &items);
        bytes_free(&pack);
        items_free(&items);
        if (test_failures > 5) break;
    }
}

/* Fields of which one value is right, and counts that agree with each other but not with the index. */
TEST(trailers_that_are_refused)
{
    static pack_rig g;
    static const struct {
        size_t at;
        uint32_t value;
        shardio_status status;
    } table[] = {
        {0, 0x48434C54, SHARDIO_ERR_CORRUPT}, {4, 2, SHARDIO_ERR_UNSUPPORTED},     {4, 0, SHARDIO_ERR_UNSUPPORTED},
        {4, 0x201, SHARDIO_ERR_UNSUPPORTED},  {4, 0x8001, SHARDIO_ERR_UNSUPPORTED}, {24, 127, SHARDIO_ERR_UNSUPPORTED},
        {24, 384, SHARDIO_ERR_UNSUPPORTED},   {12, 9, SHARDIO_ERR_CORRUPT},         {12, 11, SHARDIO_ERR_CORRUPT},
        {20, 2, SHARDIO_ERR_CORRUPT},         {20, 0, SHARDIO_ERR_CORRUPT},         {28, 3, SHARDIO_ERR_CORRUPT},
    };
    static const uint32_t records[] = {128 * 2 + 1, 1000, 100000, 0x7FFFFFFF, 0xFFFFFFFFu};
    shardio_pack_options o = pack_options(1, false, NULL);
    pack_items items;
    items_make(&items, 10, SIZES_EQUAL, 1);
    for (size_t i = 0; i < sizeof table / sizeof table[0] + sizeof records / sizeof records[0]; i++) {
        size_t more = i - sizeof table / sizeof table[0];
        bytes pack;
        model_pack(&pack, &items, &o, NULL, 0);
        uint8_t *trailer = pack.data + pack.size - 76;
        if (i < sizeof table / sizeof table[0]) bytes_put32(trailer + table[i].at, table[i].value);
        else bytes_put32(trailer + 12, records[more]), bytes_put32(trailer + 16, records[more]);
        seal_trailer(&pack);
        CHECK_STATUS(try_hostile(&g, &pack, NULL, &items),
                     i < sizeof table / sizeof table[0] ? table[i].status : SHARDIO_ERR_CORRUPT);
        bytes_free(&pack);
    }
    items_free(&items);
}

/* Index and lengths with right checksums and other contents. */
TEST(hostile_contents)
{
    static pack_rig g;
    uint64_t seed = 2, opened = 0;
    for (size_t round = 0; round < test_rounds(1500); round++) {
        shardio_pack_options o = pack_options(round % 2 ? 1 : 4, false, codec_number(round / 2 % 3));
        pack_items items;
        bytes pack = make_pack(&items, 14, SIZES_EQUAL, &o, 0);
        size_t index = shardio_p_load32_little(pack.data + pack.size - 76 + 28) - 4, begin = pack.size - 76 - 4 - index;
        for (uint64_t n = test_random(&seed) % 3; round % 3 == 0 && n < 4; n++)
            pack.data[begin + (size_t)(test_random(&seed) % index)] = (uint8_t)(test_random(&seed) % 2 ? test_random(&seed) : 0);
        bytes_put32(pack.data + begin + index, shardio_crc32c(0, pack.data + begin, index));
        if (round % 3 != 0 && o.items_per_record > 1) {   /* the last record: two items, equal lengths: six bytes */
            for (uint64_t n = test_random(&seed) % 3; n < 4; n++)
                pack.data[begin - 10 + (size_t)(test_random(&seed) % 6)] ^= (uint8_t)(1u << test_random(&seed) % 8);
            bytes_put32(pack.data + begin - 4, shardio_crc32c(0, pack.data + begin - 10, 6));
        } else if (round % 3 != 0) {
            pack.data[(size_t)(test_random(&seed) % begin)] ^= (uint8_t)(1u << test_random(&seed) % 8);
        }
        opened += try_hostile(&g, &pack, o.codec, &items) == SHARDIO_OK;
        bytes_free(&pack);
        items_free(&items);
        if (test_failures > 5) break;
    }
    CHECK(opened > test_rounds(100));
}

/* One record that claims to hold very many items, in a file of a few bytes. */
TEST(records_that_claim_many_items)
{
    static pack_rig g;
    static const uint32_t claims[] = {2, 60, 5000, 70000, 2000000, 0x7FFFFFFF, 0x80000000u, 0xFFFFFFFFu};
    for (size_t round = 0; round < 8 * 3 * 3; round++) {
        uint32_t claim = claims[round % 8], size = 0, item_count = round % 9 < 3 ? 1 : claim;
        const shardio_codec *codec = codec_number(round / 8 % 3);
        pack_items items;
        bytes pack;
        items_make(&items, 3, SIZES_EQUAL, 1);
        memset(&pack, 0, sizeof pack);
        bytes_add(&pack, items.data, round / 24 * 20);
        model_group(&pack, items.sizes, 3);
        if (round % 2) bytes_put32(pack.data + pack.size - 4, 0);
        bytes_add32(&pack, shardio_crc32c(0, pack.data + round / 24 * 20, pack.size - round / 24 * 20));
        size = (uint32_t)pack.size;
        model_end(&pack, &size, 1, item_count, claim, 0, NULL, NULL, 0);
        CHECK_OK(try_hostile(&g, &pack, codec, &items));
        bytes_free(&pack);
        items_free(&items);
    }
}

/* A frame in which there is nothing, where items of no length lie. */
TEST(frames_of_nothing)
{
#if SHARDIO_WITH_ZSTD && !SHARDIO_NO_ZARR
    static pack_rig g;
    static const uint8_t frame[] = {0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x00, 0x01, 0x00, 0x00};
    for (uint32_t each = 1; each < 3; each++) {
        uint32_t lengths[2] = {0, 0}, size;
        shardio_pack_reading how = reading(shardio_codec_zstd());
        bytes pack;
        memset(&pack, 0, sizeof pack);
        bytes_add(&pack, frame, sizeof frame);
        if (each == 2) {
            model_group(&pack, lengths, 2);
            bytes_add32(&pack, shardio_crc32c(0, pack.data + sizeof frame, pack.size - sizeof frame));
        }
        size = (uint32_t)pack.size;
        model_end(&pack, &size, 1, each, each, 0, NULL, NULL, 0);
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        for (uint64_t i = 0; i < each; i++) {
            const uint8_t *data = NULL;
            size_t n = 1;
            CHECK_OK(shardio_pack_item(&g.reader, NULL, i, &data, &n, &g.error));
            CHECK(data != NULL && n == 0);
        }
        CHECK_OK(shardio_pack_verify(&g.reader, NULL, NULL, NULL, NULL, NULL, NULL, &g.error));
        shardio_pack_close(&g.reader);
        bytes_free(&pack);
    }
#else
    LEAVE_OUT("built without zstd");
#endif
}

/* ---- readers when things fail ------------------------------------------------------------------------------------ */

/* Each read fails once: an error that says so, and the next try goes well. */
TEST(failing_reads)
{
    static pack_rig g;
    for (int round = 0; round < 6; round++) {
        shardio_pack_options o = pack_options(round % 2 ? 7 : 1, true, codec_number((size_t)round / 2));
        shardio_pack_reading how = reading(o.codec);
        pack_items items;
        bytes pack = make_pack(&items, 60, SIZES_EQUAL, &o, 100);
        how.tail = 80;
        for (uint64_t nth = 1; nth < 5; nth++) {   /* while it is opened: facts, tail, index */
            memset(&g, 0, sizeof g);
            g.memory.data = pack.data;
            g.memory.size = pack.size;
            g.memory.fixed = true;
            g.faulty.fail_at = nth;
            g.faulty.shorten = nth;
            shardio_status status = shardio_pack_open_file(&g.reader,
                                                           faulty_file(&g.faulty,
                                                                       shardio_memory_file(&g.memory,
                                                                                           "m")), &how, &g.error);
            if (status != SHARDIO_OK) CHECK_STATUS(g.error.status, SHARDIO_ERR_IO);
            CHECK_U64(g.faulty.closed, status != SHARDIO_OK);
            shardio_pack_close(&g.reader);
        }
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        for (uint64_t i = 0; i < items.count; i += 5) {
            const uint8_t *data;
            uint8_t memory[200];
            size_t size;
            pack_watch watch = {&items, NULL, i, 0, 0, 0, SHARDIO_OK};
            for (int what = 0; what < 5; what++) {
                shardio_status status = SHARDIO_OK;
                g.faulty.fail_at = g.faulty.counted = 1;
                g.faulty.counted = 0;
                g.faulty.fired = 0;
                if (what == 0) status = shardio_pack_item(&g.reader, NULL, i, &data, &size, &g.error);
                if (what == 1) status = shardio_pack_item_into(&g.reader, NULL, i, memory, sizeof memory, &size,
                                                               &g.error);
                if (what == 2) status = shardio_pack_range(&g.reader, NULL, i, 3, pack_watch_take, &watch, &g.error);
                if (what == 3) status = shardio_pack_verify(&g.reader, NULL, NULL, NULL, NULL, NULL, NULL,
                                                            &g.error);
                if (what == 4) status = shardio_pack_app_data(&g.reader, memory, sizeof memory, &g.error);
                CHECK_STATUS(status, SHARDIO_ERR_IO);
                CHECK_STATUS(g.error.status, SHARDIO_ERR_IO);
                CHECK_U64(g.error.system_code, EIO);
                CHECK_U64(g.faulty.fired, 1);
            }
            g.faulty.fail_at = 0;
            CHECK_OK(shardio_pack_item(&g.reader, NULL, i, &data, &size, &g.error));
            CHECK(items_same(&items, i, data, size));
        }
        g.faulty.shorten = 5;   /* short reads are read on */
        check_one_by_one(&g.reader, NULL, &items, 1);
        check_ranges(&g.reader, NULL, &items, 1);
        shardio_pack_close(&g.reader);
        bytes_free(&pack);
        items_free(&items);
    }
}

TEST(failing_allocations_of_readers)
{
    static pack_rig g;
    for (int round = 0; round < 6; round++) {
        test_codec_state state;
        shardio_codec codec = test_codec_with_context(&state, 2);
        shardio_pack_options o = pack_options(round % 2 ? 7 : 1, true,
                                              round / 2 == 1 ? &codec : codec_number((size_t)round / 2));
        pack_items items;
        bytes pack = make_pack(&items, 1000, SIZES_SMALL, &o, 100);
        bool done = false;
        for (uint64_t nth = 1; !done; nth++) {
            counting count;
            shardio_allocator allocator = counting_allocator(&count);
            shardio_pack_reading how = reading(o.codec);
            pack_watch watch = {&items, NULL, 0, 0, 0, 0, SHARDIO_OK};
            how.allocator = &allocator;
            how.tail = round % 3 ? 0 : 200;
            count.fail_at = nth;
            shardio_status status = pack_rig_open(&g, &pack, &how);
            if (status == SHARDIO_OK) {
                bool failed = false;
                for (uint64_t i = 0; i < items.count; i += 301) {
                    const uint8_t *data;
                    size_t size;
                    status = shardio_pack_item(&g.reader, NULL, i, &data, &size, &g.error);
                    if (status == SHARDIO_OK) CHECK(items_same(&items, i, data, size));
                    else CHECK_STATUS(status, SHARDIO_ERR_MEMORY);
                    CHECK_STATUS(g.error.status, status);
                    failed |= status != SHARDIO_OK;
                }
                status = shardio_pack_range(&g.reader, NULL, 0, items.count, pack_watch_take, &watch, &g.error);
                CHECK_U64(watch.wrong, 0);
                failed |= status != SHARDIO_OK;
                status = shardio_pack_verify(&g.reader, NULL, NULL, NULL, NULL, NULL, NULL, &g.error);
                CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_MEMORY);
                done = count.calls < nth;
                if (done) CHECK(!failed && status == SHARDIO_OK);
            } else {
                CHECK_STATUS(status, SHARDIO_ERR_MEMORY);
                CHECK_STATUS(g.error.status, SHARDIO_ERR_MEMORY);
            }
            shardio_pack_close(&g.reader);
            CHECK_U64(count.held, 0);
            CHECK_U64(g.faulty.closed, 1);
        }
        CHECK_U64(state.begun, state.ended);
        bytes_free(&pack);
        items_free(&items);
    }
}

/* ---- verifying --------------------------------------------------------------------------------------------------- */

typedef struct verify_watch {
    uint64_t findings, calls, last, total, stop_after;
    char subjects[300];
} verify_watch;

static void verify_found(void *context, const shardio_error *finding)
{
    verify_watch *v = (verify_watch *)context;
    v->findings++;
    strncat(v->subjects, finding->subject, sizeof v->subjects - strlen(v->subjects) - 2);
    strcat(v->subjects, ";");
    CHECK(finding->status != SHARDIO_OK && finding->reason != NULL);
}

static int verify_progress(void *context, uint64_t done, uint64_t total)
{
    verify_watch *v = (verify_watch *)context;
    CHECK(done >= v->last && done <= total);
    v->last = done;
    v->total = total;
    return ++v->calls == v->stop_after;
}

/* Lengths of items in a hostile record whose sum is 2^64 and a bit are not taken for a small one. */
TEST(lengths_whose_sum_wraps)
{
    const uint64_t count = UINT32_MAX, residuals = (count * 2 + 7) / 8, size = residuals + 5 + 4;
    uint8_t *stored = (uint8_t *)mmap(NULL, (size_t)size + 8, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stored == (uint8_t *)MAP_FAILED) LEAVE_OUT("no room for 1 GiB of addresses");
    shardio_pack_reader reader;
    shardio_p_pack_place place;
    shardio_p_pack_record record;
    shardio_status status;
    memset(&reader, 0, sizeof reader);
    memset(&place, 0, sizeof place);
    reader.facts.items = reader.facts.items_per_record = UINT32_MAX;
    place.size = size;
    stored[residuals] = 2;                                             /* bits */
    memset(stored + residuals + 1, 0xFF, 4);                           /* each at least 2^32 - 1 */
    CHECK(shardio_p_pack_split(&reader, &place, stored, &record, &status) != NULL);
    CHECK_STATUS(status, SHARDIO_ERR_CORRUPT);
    munmap(stored, (size_t)size + 8);
}

TEST(scratch_of_another_reader)
{
    pack_items items;
    bytes pack;
    static pack_rig one, two;
    shardio_pack_options o = pack_options(4, false, NULL);
    shardio_pack_reading how = reading(NULL);
    shardio_pack_scratch scratch;
    const uint8_t *data;
    size_t size;
    items_make(&items, 50, SIZES_SMALL, 7);
    model_pack(&pack, &items, &o, NULL, 0);
    CHECK_OK(pack_rig_open(&one, &pack, &how));
    CHECK_OK(pack_rig_open(&two, &pack, &how));
    CHECK_OK(shardio_pack_scratch_begin(&scratch, &one.reader, &one.error));
    CHECK_OK(shardio_pack_item(&one.reader, &scratch, 3, &data, &size, &one.error));
    CHECK_STATUS(shardio_pack_item(&two.reader, &scratch, 3, &data, &size, &two.error), SHARDIO_ERR_ARGUMENT);
    shardio_pack_scratch_end(&scratch);
    CHECK_STATUS(shardio_pack_item(&one.reader, &scratch, 3, &data, &size, &one.error), SHARDIO_ERR_ARGUMENT);
    shardio_pack_close(&one.reader);
    shardio_pack_close(&two.reader);
    bytes_free(&pack);
    items_free(&items);
}

TEST(verify_finds_all)
{
    static pack_rig g;
    for (int opaque = 0; opaque < 2; opaque++) {
        shardio_pack_options o = pack_options(5, true, NULL);
        shardio_pack_reading how = reading(NULL);
        pack_items items;
        bytes pack = make_pack(&items, 50, SIZES_EQUAL, &o, 0);
        shardio_pack_summary summary;
        verify_watch watch;
        size_t record = 5 * 17 + 6 + 4;   /* five equal lengths: a byte, a width, the smallest */
        how.opaque = opaque != 0;
        memset(&watch, 0, sizeof watch);
        pack.data[3 * record - 1] ^= 1;
        pack.data[8 * record - 7] ^= 0x40;
        CHECK_OK(pack_rig_open(&g, &pack, &how));
        CHECK_STATUS(shardio_pack_verify(&g.reader, NULL, &summary, verify_found, &watch, verify_progress, &watch,
                                         &g.error),
                     SHARDIO_ERR_CHECKSUM);
        CHECK_STATUS(g.error.status, SHARDIO_ERR_CHECKSUM);
        CHECK_TEXT(watch.subjects, "record 2 of pack;record 7 of pack;");
        CHECK_U64(summary.faults, 2);
        CHECK_U64(summary.records, 8);
        CHECK_U64(summary.items, opaque ? 0 : 40);
        CHECK(!summary.contents_checked && !summary.hash_checked);
        CHECK_U64(watch.total, g.reader.facts.index_offset);
        CHECK_U64(watch.last, watch.total);
        CHECK_U64(watch.calls, 10);
        memset(&watch, 0, sizeof watch);
        watch.stop_after = 4;
        CHECK_STATUS(shardio_pack_verify(&g.reader, NULL, &summary, verify_found, &watch, verify_progress, &watch,
                                         &g.error),
                     SHARDIO_ERR_CANCELLED);
        CHECK_STATUS(g.error.status, SHARDIO_ERR_CANCELLED);
        CHECK_U64(watch.calls, 4);
        CHECK_U64(watch.findings, 1);
        shardio_pack_close(&g.reader);
        bytes_free(&pack);
        items_free(&items);
    }
}

TEST_MAIN(TEST_CASE(lengths_whose_sum_wraps) TEST_CASE(scratch_of_another_reader) TEST_CASE(small_packs)
          TEST_CASE(bytes_are_those_of_the_model) TEST_CASE(encoders) TEST_CASE(parts) TEST_CASE(extract)
          TEST_CASE(extract_without_memory) TEST_CASE(extract_that_fails) TEST_CASE(wrong_options) TEST_CASE(wrong_arguments)
          TEST_CASE(after_the_end) TEST_CASE(abort_leaves_nothing) TEST_CASE(files_of_the_system)
          TEST_CASE(blocks_only) TEST_CASE(memory_of_the_caller) TEST_CASE(failing_calls) TEST_CASE(no_space)
          TEST_CASE(full_device) TEST_CASE(failing_allocations_of_writers) TEST_CASE(encoders_that_fail)
          TEST_CASE(items_of_4_gib) TEST_CASE(records_of_4_gib) TEST_CASE(spreads_of_32_bits)
          TEST_CASE(more_than_the_trailer_can_say) TEST_CASE(tails) TEST_CASE(one_read_for_an_item)
          TEST_CASE(wide_lengths_are_not_kept) TEST_CASE(merged_reads) TEST_CASE(borrowed_memory)
          TEST_CASE(items_that_are_not_there) TEST_CASE(memory_too_small) TEST_CASE(readers_that_are_not_open)
          TEST_CASE(codecs_are_not_guessed) TEST_CASE(decoders_that_fail) TEST_CASE(takers_that_stop)
          TEST_CASE(it_is_one_or_not) TEST_CASE(every_byte_flipped) TEST_CASE(every_length)
          TEST_CASE(hostile_trailers) TEST_CASE(trailers_that_are_refused) TEST_CASE(hostile_contents)
          TEST_CASE(records_that_claim_many_items) TEST_CASE(frames_of_nothing) TEST_CASE(failing_reads)
          TEST_CASE(failing_allocations_of_readers) TEST_CASE(verify_finds_all))
