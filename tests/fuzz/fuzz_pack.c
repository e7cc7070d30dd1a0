/* Hostile packfiles: opened, read in all ways, verified.

   Input: flags, size of the first read, which allocation fails, which call to the file fails and how, then the file. */
#define FUZZ_NAME "pack"
#include "fuzz.h"

enum { FLAG_SEAL, FLAG_ZSTD, FLAG_OPAQUE, FLAG_SCRATCH };

enum { TRAILER = 76 };

static size_t file_size;
static uint8_t *file_bytes;

/* The lengths of the items in the last record end where the index begins. */
static void seal_record(size_t index, uint32_t records, uint32_t items, uint32_t each)
{
    uint64_t last = records > 0 && items > (uint64_t)(records - 1) * each ? items - (uint64_t)(records - 1) * each : 0;
    if (each < 2 || index < 9) return;
    uint64_t packed = (last * file_bytes[index - 9] + 7) / 8 + 5;
    if (packed + 4 <= index)
        fuzz_put32(file_bytes + index - 4, shardio_crc32c(0, file_bytes + index - 4 - packed, (size_t)packed));
}

/* Checksums of trailer, index and last record are right again. */
static void seal(void)
{
    if (file_size < TRAILER) return;
    uint8_t *trailer = file_bytes + file_size - TRAILER;
    uint64_t left = file_size - TRAILER, index = fuzz_little(trailer + 28, 4), app = fuzz_little(trailer + 32, 4);
    fuzz_put32(trailer + 72, shardio_crc32c(0, trailer, 72));
    if (index < 4 || index + app > left) return;
    left -= index + app;
    fuzz_put32(file_bytes + left + index - 4, shardio_crc32c(0, file_bytes + left, (size_t)index - 4));
    seal_record((size_t)left, (uint32_t)fuzz_little(trailer + 12, 4), (uint32_t)fuzz_little(trailer + 16, 4),
                (uint32_t)fuzz_little(trailer + 20, 4));
}

typedef struct seen {
    uint64_t items, bytes, next;
    bool ordered;
} seen;

static shardio_status look(void *context, uint64_t item, const uint8_t *data, size_t size, shardio_error *error)
{
    static volatile uint8_t sink;
    seen *s = (seen *)context;
    (void)error;
    if (item < s->next) s->ordered = false;
    s->next = item + 1;
    s->items++;
    s->bytes += size;
    for (size_t i = 0; i < size; i++) sink = (uint8_t)(sink ^ data[i]);
    return SHARDIO_OK;
}

static void count_faults(void *context, const shardio_error *finding)
{
    CHECK(finding->status != SHARDIO_OK);
    ++*(uint64_t *)context;
}

/* One item in the two ways gives the same. */
static void read_item(shardio_pack_reader *r, shardio_pack_scratch *scratch, uint64_t item, bool calm)
{
    uint8_t *copy = (uint8_t *)malloc(1 << 16);
    const uint8_t *data = NULL;
    size_t size = 0, again = 0;
    shardio_error e;
    shardio_status s = SAID(shardio_pack_item_into(r, scratch, item, copy, 1 << 16, &again, &e));
    shardio_status t = SAID(shardio_pack_item(r, scratch, item, &data, &size, &e));
    if (calm && s != SHARDIO_ERR_LIMIT) CHECK_STATUS(s, t);
    if (item >= r->facts.items) CHECK_STATUS(t, SHARDIO_ERR_ARGUMENT);
    if (s == SHARDIO_OK && t == SHARDIO_OK) CHECK(size == again && (size == 0 || memcmp(copy, data, size) == 0));
    free(copy);
}

static void read_all(shardio_pack_reader *r, shardio_pack_scratch *scratch, bool calm)
{
    uint64_t count = r->facts.items < 300 ? r->facts.items : 300, list[3], faults = 0;
    shardio_pack_summary summary;
    shardio_error e;
    seen all = {0, 0, 0, true}, some = all;
    for (uint64_t i = 0; i < 5; i++) read_item(r, scratch, i * count / 4, calm);
    if (r->facts.items > 0) read_item(r, scratch, r->facts.items - 1, calm);
    shardio_status s = SAID(shardio_pack_range(r, scratch, 0, count, look, &all, &e));
    CHECK(all.ordered && all.items <= count && (s != SHARDIO_OK || all.items == count));
    for (uint64_t i = 0; i < 3; i++) list[i] = i * count / 2;
    s = SAID(shardio_pack_list(r, scratch, list, 3, look, &some, &e));
    CHECK(s != SHARDIO_OK || (some.ordered && some.items == 3));
    if (r->facts.items > 1 << 20) return;
    s = SAID(shardio_pack_verify(r, scratch, &summary, count_faults, &faults, NULL, NULL, &e));
    if (s == SHARDIO_OK && !r->options.opaque) {
        CHECK(faults == 0 && summary.items == r->facts.items);
        seen again = {0, 0, 0, true};
        s = SAID(shardio_pack_range(r, scratch, 0, count, look, &again, &e));
        if (calm) CHECK_OK(s);
        if (s == SHARDIO_OK && count == r->facts.items) CHECK_U64(again.bytes, summary.item_bytes);
    }
}

static void read_app_data(shardio_pack_reader *r)
{
    size_t size = r->facts.app_data_bytes;
    uint8_t *data = (uint8_t *)malloc(size + 1);
    shardio_error e;
    CHECK(size <= file_size);
    shardio_status s = SAID(shardio_pack_app_data(r, data, size, &e));
    if (s == SHARDIO_OK) CHECK(size == 0 || memcmp(data, file_bytes + file_size - TRAILER - size, size) == 0);
    free(data);
}

static void try_file(uint8_t flags, uint8_t tail, uint8_t no_memory, uint8_t no_file, uint8_t how)
{
    static faulty_state f;
    shardio_memory memory;
    shardio_pack_reading o;
    shardio_pack_reader r;
    shardio_pack_scratch scratch;
    shardio_error e;
    counter c;
    memset(&f, 0, sizeof f);
    memset(&o, 0, sizeof o);
    shardio_file file = faulty_file(&f, fuzz_file(&memory, file_bytes, file_size));
    o.allocator = fuzz_memory(&c, 0, no_memory);
    o.tail = tail;
    o.size_cache = 4096;
    o.decoded_limit = 1 << 16;
    o.opaque = fuzz_flag(flags, FLAG_OPAQUE);
#if SHARDIO_WITH_ZSTD
    if (fuzz_flag(flags, FLAG_ZSTD) && !o.opaque) o.codec = shardio_codec_zstd();
#endif
    (void)shardio_pack_is_one(&file);
    fuzz_faults(&f, no_file, how);
    shardio_status s = SAID(shardio_pack_open_file(&r, file, &o, &e));
    CHECK(c.peak <= 8 * file_size + (1 << 12));
    if (s == SHARDIO_OK) {
        bool own = fuzz_flag(flags, FLAG_SCRATCH) && SAID(shardio_pack_scratch_begin(&scratch, &r, &e)) == SHARDIO_OK;
        read_all(&r, own ? &scratch : NULL, no_memory == 0 && no_file == 0);
        read_app_data(&r);
        if (own) shardio_pack_scratch_end(&scratch);
    }
    shardio_pack_close(&r);
    CHECK_U64(c.live, 0);
    CHECK(c.peak <= 8 * file_size + (1 << 18));
    free(memory.data);
}

static void fuzz_one(fuzz_input in)
{
    uint8_t flags = fuzz_byte(&in), tail = fuzz_byte(&in), no_memory = fuzz_byte(&in), no_file = fuzz_byte(&in);
    uint8_t how = fuzz_byte(&in);
    file_size = in.size;
    file_bytes = (uint8_t *)malloc(file_size > 0 ? file_size : 1);
    if (file_bytes == NULL) return;
    if (in.size > 0) memcpy(file_bytes, in.data, in.size);
    if (fuzz_flag(flags, FLAG_SEAL)) seal();
    try_file(flags, tail, no_memory, no_file, how);
    free(file_bytes);
}

static void fuzz_seeds(void)
{
    static const uint32_t records[] = {1, 2, 3, 128};
    static uint8_t buffer[4096] __attribute__((aligned(4096))), file[1 << 14];
    for (uint8_t kind = 0; kind < 32; kind++) {
        shardio_pack_writer w;
        shardio_pack_options o;
        shardio_memory memory;
        uint8_t start[5] = {(uint8_t)(1 | (kind & 3) << 1), kind, 0, 0, 0};
        memset(&o, 0, sizeof o);
        memset(&memory, 0, sizeof memory);
        o.items_per_record = records[kind % 4];
        o.content_hash = fuzz_flag(kind, 2);
#if SHARDIO_WITH_ZSTD
        if (fuzz_flag(start[0], FLAG_ZSTD)) o.codec = shardio_codec_zstd();
#endif
        CHECK_OK(shardio_pack_begin(&w, shardio_memory_file(&memory, "seed"), buffer, sizeof buffer, &o, NULL));
        for (size_t i = 0; i < kind * (size_t)5; i++) CHECK_OK(shardio_pack_append(&w, "0123456789abcdef", i * i % 17));
        CHECK_OK(shardio_pack_finish(&w, "app data", kind % 3 * 4u, NULL));
        if (CHECK(memory.size + sizeof start <= sizeof file)) {
            memcpy(file, start, sizeof start);
            memcpy(file + sizeof start, memory.data, memory.size);
            fuzz_seed(file, sizeof start + memory.size);
        }
        shardio_memory_free(&memory);
    }
}
