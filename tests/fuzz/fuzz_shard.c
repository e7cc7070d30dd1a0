/* Hostile shards: opened, read, verified, recovered, updated, compacted.

   Input: flags, chunks, which allocation fails, which call to the file fails and how, then the file. */
#define FUZZ_NAME "shard"
#include "fuzz.h"

enum { FLAG_AT_START, FLAG_NO_CHECKSUM, FLAG_BIG_ENDIAN, FLAG_SEAL, FLAG_TWO_CHECKSUMS, FLAG_TRANSPOSED,
      FLAG_UNBUFFERED, FLAG_ON_DISK };   /* the flags */

typedef struct hostile {
    shardio_index_layout layout;
    shardio_index_order order;
    uint8_t flags, how, no_memory, no_file;
    uint8_t *file;
    size_t size, index_size;
} hostile;

static uint64_t chunks_of(uint8_t byte)
{
    static const uint64_t many[] = {257, 1000, 4096, 65537, UINT64_C(1) << 28, UINT64_C(1) << 40, UINT64_MAX / 16,
                                    UINT64_MAX};
    return byte < 248 ? 1u + byte % 62u : many[byte - 248];
}

static void transpose(hostile *h)
{
    uint64_t rows = h->layout.chunks % 2 == 0 ? 2 : 1, columns = h->layout.chunks / rows;
    h->order.ndim = 2;
    h->order.chunks[0] = rows;
    h->order.chunks[1] = columns;
    h->order.step[0] = 1;
    h->order.step[1] = 2 * rows;
    h->order.step[2] = rows;
    h->layout.order = &h->order;
}

static bool hostile_begin(hostile *h, fuzz_input in)
{
    memset(h, 0, sizeof *h);
    h->flags = fuzz_byte(&in);
    h->layout.chunks = chunks_of(fuzz_byte(&in));
    h->no_memory = fuzz_byte(&in);
    h->no_file = fuzz_byte(&in);
    h->how = fuzz_byte(&in);
    h->layout.at_start = fuzz_flag(h->flags, FLAG_AT_START);
    h->layout.no_checksum = fuzz_flag(h->flags, FLAG_NO_CHECKSUM);
    h->layout.big_endian = fuzz_flag(h->flags, FLAG_BIG_ENDIAN);
    h->layout.more_checksums = !h->layout.no_checksum && fuzz_flag(h->flags, FLAG_TWO_CHECKSUMS);
    if (fuzz_flag(h->flags, FLAG_TRANSPOSED) && h->layout.chunks < UINT64_C(1) << 32) transpose(h);
    h->index_size = shardio_index_size(&h->layout);
    h->size = in.size;
    h->file = (uint8_t *)malloc(in.size > 0 ? in.size : 1);
    if (h->file == NULL) return false;
    if (in.size > 0) memcpy(h->file, in.data, in.size);
    if (fuzz_flag(h->flags, FLAG_SEAL) && h->index_size > 0 && h->index_size <= h->size)
        shardio_index_seal(&h->layout, h->layout.at_start ? h->file : h->file + h->size - h->index_size);
    return true;
}

static uint64_t some_chunks(const hostile *h)
{
    return h->layout.chunks < 64 ? h->layout.chunks : 64;
}

static shardio_status take(void *context, uint64_t chunk, const uint8_t *data, size_t size, shardio_error *error)
{
    uint64_t *sum = (uint64_t *)context;
    (void)error;
    *sum += chunk;
    for (size_t i = 0; data != NULL && i < size; i++) *sum += data[i];
    return SHARDIO_OK;
}

/* Entry by entry what is said of a chunk agrees: found, read, and read with others. */
static void read_chunks(const hostile *h, shardio_shard_reader *r, bool calm)
{
    static uint8_t memory[16384] __attribute__((aligned(4096)));
    uint64_t list[64], offset, length, size, sum = 0;
    shardio_error e;
    if (fuzz_flag(h->flags, FLAG_UNBUFFERED)) (void)shardio_shard_read_unbuffered(r);
    for (uint64_t c = 0; c < some_chunks(h); c++) {
        list[c] = some_chunks(h) - 1 - c;
        shardio_status found = SAID(shardio_shard_locate(r, c, &offset, &length, &e));
        shardio_status got = SAID(shardio_shard_read(r, c, memory, sizeof memory, &size, &e));
        if (calm)
            CHECK_STATUS(got, found == SHARDIO_OK && length != SHARDIO_MISSING && length > sizeof memory
                              ? SHARDIO_ERR_LIMIT : found);
        if (found == SHARDIO_OK) CHECK(length == SHARDIO_MISSING || (offset <= h->size && length <= h->size - offset));
        if (found == SHARDIO_OK && got == SHARDIO_OK) CHECK_U64(size, length);
    }
    (void)SAID(shardio_shard_read_many(r, list, (size_t)some_chunks(h), memory, sizeof memory, take, &sum, &e));
}

static void count_faults(void *context, const shardio_error *finding)
{
    CHECK(finding->status != SHARDIO_OK);
    ++*(uint64_t *)context;
}

/* Opening takes no more memory than the file is large. */
static void read_it(const hostile *h)
{
    shardio_memory memory;
    shardio_shard_reader r;
    shardio_shard_summary summary;
    shardio_error e;
    counter c;
    uint64_t faults = 0;
    faulty_state *f = (faulty_state *)calloc(1, sizeof *f);
    const shardio_allocator *allocator = fuzz_memory(&c, 0, h->no_memory);
    shardio_file file = faulty_file(f, fuzz_file(&memory, h->file, h->size));
    fuzz_faults(f, h->no_file, h->how);
    shardio_status s = SAID(shardio_shard_open_file(&r, file, &h->layout, allocator, &e));
    CHECK(c.peak <= h->size);
    if (s == SHARDIO_OK) {
        read_chunks(h, &r, h->no_file == 0);
        s = SAID(shardio_shard_verify(&r, &summary, count_faults, &faults, &e));
        if (s == SHARDIO_OK || faults > 0) CHECK_U64(summary.faults, faults);
        if (s == SHARDIO_OK) CHECK_U64(summary.live_bytes + summary.dead_bytes + summary.index_bytes, h->size);
        (void)SAID(shardio_shard_unchanged(&r, &e));
    }
    shardio_shard_close(&r);
    CHECK_U64(c.live, 0);
    CHECK(c.peak <= 3 * h->size + 1024);
    free(memory.data);
    free(f);
}

/* What recovery made of it is a shard, and nothing is left to recover. */
static void recover_it(const hostile *h)
{
    shardio_memory memory;
    shardio_shard_reader r;
    shardio_recovery found, again;
    shardio_error e;
    counter c;
    faulty_state *f = (faulty_state *)calloc(1, sizeof *f);
    shardio_file inner = fuzz_growing(&memory, h->file, h->size), file = faulty_file(f, inner);
    const shardio_allocator *allocator = fuzz_memory(&c, 0, h->no_memory);
    shardio_status dry = SAID(shardio_shard_recover_file(&inner, &h->layout, false, NULL, NULL, allocator, &again, &e));
    CHECK(!again.changed && memory.size == h->size);
    CHECK(h->size == 0 || memcmp(memory.data, h->file, h->size) == 0);
    c.calls = 0;
    fuzz_faults(f, h->no_file, h->how);
    shardio_status s = SAID(shardio_shard_recover_file(&file, &h->layout, true, NULL, NULL, allocator, &found, &e));
    if (f->fired == 0) CHECK_STATUS(s, dry);
    if (s == SHARDIO_OK && !found.intact) {
        CHECK(found.changed);
        s = SAID(shardio_shard_open_file(&r, shardio_memory_file(&memory, "memory"), &h->layout, NULL, &e));
        CHECK_OK(s);
        shardio_shard_close(&r);
        s = SAID(shardio_shard_recover_file(&inner, &h->layout, true, NULL, NULL, NULL, &again, &e));
        CHECK(s == SHARDIO_OK && again.intact);
    } else if (f->fired == 0) {
        CHECK(!found.changed && memory.size == h->size);
    }
    CHECK_U64(c.live, 0);
    CHECK(c.peak <= 6 * (uint64_t)h->size + (4 << 20));
    shardio_memory_free(&memory);
    free(f);
}

static void find_chunk(shardio_memory *memory, const hostile *h, uint64_t chunk, const char *want)
{
    shardio_shard_reader r;
    uint8_t got[64];
    uint64_t size = 0;
    shardio_error e;
    CHECK_OK(shardio_shard_open_file(&r, shardio_memory_file(memory, "memory"), &h->layout, NULL, &e));
    if (e.status == SHARDIO_OK) CHECK_OK(SAID(shardio_shard_read(&r, chunk, got, sizeof got, &size, &e)));
    if (e.status == SHARDIO_OK) {
        CHECK_U64(size, want != NULL ? strlen(want) : SHARDIO_MISSING);
        if (want != NULL) CHECK_BYTES(got, want, strlen(want));
    }
    shardio_shard_close(&r);
}

/* Updates it; `rewrite`: into another file. What was put is there, whatever else the file holds. */
static void update_it(const hostile *h, bool rewrite)
{
    static uint8_t buffer[4096] __attribute__((aligned(4096))), head[1 << 17] __attribute__((aligned(4096)));
    shardio_memory memory, fresh;
    shardio_shard_reader old;
    shardio_shard_writer w;
    shardio_slot_options o;
    shardio_error e;
    uint64_t first = h->layout.chunks > 1;
    size_t need = shardio_shard_memory(&h->layout, 4096);
    faulty_state *f = (faulty_state *)calloc(1, sizeof *f);
    shardio_file file = fuzz_growing(&memory, h->file, h->size);
    memset(&fresh, 0, sizeof fresh);
    memset(&o, 0, sizeof o);
    shardio_status s = SHARDIO_ERR_LIMIT;
    if (need > 0 && need <= sizeof head) s = SAID(shardio_shard_open_file(&old, file, &h->layout, NULL, &e));
    if (s == SHARDIO_OK) {
        if (rewrite) file = shardio_memory_file(&fresh, "fresh");
        else shardio_shard_close(&old);
        fuzz_faults(f, h->no_file, h->how);
        (void)shardio_shard_begin_update(&w, faulty_file(f, file), rewrite ? &old : NULL, &h->layout, head, need,
                                         buffer, sizeof buffer, &o);
        (void)shardio_shard_put(&w, first, "some chunk", 10);
        (void)shardio_shard_drop(&w, 0);
        if (h->how & 8) (void)shardio_shard_checkpoint(&w);
        (void)shardio_shard_put(&w, 0, "", 0);
        (void)shardio_shard_drop(&w, 0);
        if (first == 0) (void)shardio_shard_put(&w, 0, "another", 7);
        s = SAID(shardio_shard_finish(&w, &e));
        if (s == SHARDIO_OK) find_chunk(rewrite ? &fresh : &memory, h, first, first ? "some chunk" : "another");
        if (s == SHARDIO_OK && first) find_chunk(rewrite ? &fresh : &memory, h, 0, NULL);
        if (rewrite) shardio_shard_close(&old);
    }
    shardio_memory_free(&memory);
    shardio_memory_free(&fresh);
    free(f);
}

/* By its path, where it becomes shorter, or stays as it is. */
static void compact_it(const hostile *h)
{
    shardio_slot_options o;
    shardio_recovery found;
    shardio_error e;
    uint64_t saved = 0;
    size_t size = 0;
    rig g;
    rig_begin(&g, true, h->file, h->size);
    memset(&o, 0, sizeof o);
    o.buffer_size = 4096;
    o.durability = SHARDIO_DURABLE_NONE;
    o.direct = SHARDIO_DIRECT_OFF;
    shardio_status s = SAID(shardio_shard_compact(g.path, &h->layout, &o, &saved, &e));
    const uint8_t *now = rig_contents(&g, &size);
    CHECK_U64(size, h->size - saved);
    if (saved == 0 && h->size > 0 && CHECK(now != NULL)) CHECK(memcmp(now, h->file, h->size) == 0);
    if (s == SHARDIO_OK) CHECK_OK(shardio_shard_compact(g.path, &h->layout, &o, &saved, &e));
    if (s == SHARDIO_OK) CHECK_U64(saved, 0);
    (void)SAID(shardio_shard_recover(g.path, &h->layout, true, NULL, &found, &e));
    rig_end(&g);
}

static void fuzz_one(fuzz_input in)
{
    hostile h;
    if (!hostile_begin(&h, in)) return;
    read_it(&h);
    recover_it(&h);
    update_it(&h, false);
    update_it(&h, true);
    if (fuzz_flag(h.flags, FLAG_ON_DISK)) compact_it(&h);
    free(h.file);
}

/* A shard with dead bytes and missing chunks, for each way to lay it out. */
static void fuzz_seeds(void)
{
    static uint8_t buffer[4096] __attribute__((aligned(4096))), head[8192] __attribute__((aligned(4096))), file[8192];
    for (int flags = 0; flags < 64; flags++) {
        hostile h;
        uint8_t start[5] = {(uint8_t)flags, (uint8_t)(flags % 7 + 1), 0, 0, 0};
        fuzz_input in = {start, sizeof start};
        shardio_shard_writer w;
        shardio_memory memory;
        if (!hostile_begin(&h, in)) return;
        memset(&memory, 0, sizeof memory);
        CHECK_OK(shardio_shard_begin(&w, shardio_memory_file(&memory, "seed"), &h.layout, head, sizeof head, buffer,
                                     sizeof buffer, NULL));
        for (uint64_t c = 0; c < h.layout.chunks; c += 1 + c % 2)
            CHECK_OK(shardio_shard_put(&w, c, "0123456789", (size_t)(3 + c)));
        if (flags & 4 && !h.layout.no_checksum) CHECK_OK(shardio_shard_checkpoint(&w));
        CHECK_OK(shardio_shard_put(&w, 0, "more", 4));
        CHECK_OK(shardio_shard_finish(&w, NULL));
        if (CHECK(memory.size + sizeof start <= sizeof file)) {
            memcpy(file, start, sizeof start);
            memcpy(file + sizeof start, memory.data, memory.size);
            fuzz_seed(file, sizeof start + memory.size);
        }
        shardio_memory_free(&memory);
        free(h.file);
    }
}
