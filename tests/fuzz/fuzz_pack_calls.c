/* Packs that are written and read, against a model: the items in plain memory.

   Input: the options, the disk, which call to the file fails and how, which allocation fails, then calls on the
   writer, a byte each and what it needs; what is left when the writer ends are calls on the reader. */
#define FUZZ_NAME "pack_calls"
#include "fuzz.h"

enum { MOST_ITEMS = 600, MOST_BYTES = 1 << 16 };

typedef struct life {
    shardio_pack_options o;
    uint8_t choices;
    faulty_state faulty;
    shardio_memory disk;
    counter allocations;
    uint8_t bytes[MOST_BYTES];
    size_t start[MOST_ITEMS + 1];      /* of items in bytes; the last one: where they end */
    size_t count;
    shardio_status first;
} life;

static size_t item_size(const life *l, uint64_t item)
{
    return l->start[item + 1] - l->start[item];
}

static bool same(const life *l, uint64_t item, const uint8_t *data, size_t size)
{
    return item < l->count && size == item_size(l, item) &&
           (size == 0 || memcmp(data, l->bytes + l->start[item], size) == 0);
}

/* ---- writing ---- */

static void went(life *l, shardio_status s)
{
    if (l->first != SHARDIO_OK) CHECK_STATUS(s, l->first);
    if (s != SHARDIO_OK) CHECK(l->faulty.fired > 0 || l->faulty.space > 0 || l->allocations.fail_at > 0);
    l->first = s;
}

static void append(life *l, shardio_pack_writer *w, fuzz_input *in, bool in_parts)
{
    size_t size = (size_t)fuzz_below(in, in_parts ? 2000 : 40), at = l->start[l->count], half = size / 2;
    shardio_bytes parts[3];
    if (l->count == MOST_ITEMS || at + size > MOST_BYTES) return;
    test_fill(l->bytes + at, size, l->count);
    parts[0].data = l->bytes + at;
    parts[0].size = half;
    parts[1].data = NULL;
    parts[1].size = 0;
    parts[2].data = l->bytes + at + half;
    parts[2].size = size - half;
    shardio_status s = in_parts ? shardio_pack_append_parts(w, parts, 3) : shardio_pack_append(w, l->bytes + at, size);
    went(l, s);
    if (s == SHARDIO_OK) l->start[++l->count] = at + size;
}

/* Many items of one size at once, so that there are more than a record and more than a group. */
static void append_many(life *l, shardio_pack_writer *w, fuzz_input *in)
{
    uint8_t many = fuzz_byte(in), size = fuzz_byte(in);
    fuzz_input one = {&size, 1};
    for (int i = 0; i < many && l->first == SHARDIO_OK; i++) {
        fuzz_input again = one;
        append(l, w, &again, false);
    }
}

/* The whole life of a writer. True: there is a pack. */
static bool write_pack(life *l, fuzz_input *in)
{
    static uint8_t buffer[4096] __attribute__((aligned(4096))), app[100];
    shardio_slot_options slot;
    shardio_pack_writer w;
    shardio_error e;
    memset(&slot, 0, sizeof slot);
    slot.direct = l->faulty.alignment ? SHARDIO_DIRECT_AUTO : SHARDIO_DIRECT_OFF;
    slot.direct_min = fuzz_flag(l->choices, 6) ? 512 : 0;
    slot.allocator = &l->allocations.allocator;
    went(l, shardio_pack_begin(&w, faulty_file(&l->faulty, shardio_memory_file(&l->disk, "disk")), buffer,
                               sizeof buffer, &l->o, &slot));
    for (uint8_t which = fuzz_byte(in); which % 8 != 0; which = fuzz_byte(in)) {
        if (which % 8 < 4) append(l, &w, in, false);
        else if (which % 8 < 6) append(l, &w, in, true);
        else append_many(l, &w, in);
    }
    CHECK(l->first != SHARDIO_OK ||
          shardio_pack_accounting(&w).device_bytes <= shardio_pack_accounting(&w).logical_bytes + 4096);
    if (fuzz_flag(l->choices, 7)) {
        shardio_pack_abort(&w);
        CHECK_U64(l->faulty.published, false);
        return false;
    }
    went(l, SAID(shardio_pack_finish(&w, app, l->choices % 3 * 40u, &e)));
    CHECK_STATUS(e.status, l->first);
    CHECK(l->faulty.published == (l->first == SHARDIO_OK));
    return l->first == SHARDIO_OK;
}

/* ---- reading ---- */

typedef struct watch {
    const life *l;
    const uint64_t *list;
    uint64_t next, seen;
} watch;

static shardio_status look(void *context, uint64_t item, const uint8_t *data, size_t size, shardio_error *error)
{
    watch *w = (watch *)context;
    (void)error;
    CHECK_U64(item, w->list != NULL ? w->list[w->seen] : w->next + w->seen);
    CHECK(same(w->l, item, data, size));
    w->seen++;
    return SHARDIO_OK;
}

static bool calm(const life *l)
{
    return l->faulty.fail_at == 0 && l->allocations.fail_at == 0;
}

static void read_item(const life *l, shardio_pack_reader *r, fuzz_input *in, bool into)
{
    uint64_t item = fuzz_below(in, l->count + 2);
    uint8_t memory[2048];
    const uint8_t *data = memory;
    size_t size = 0;
    shardio_error e;
    shardio_status s = into ? SAID(shardio_pack_item_into(r, NULL, item, memory, sizeof memory, &size, &e))
                            : SAID(shardio_pack_item(r, NULL, item, &data, &size, &e));
    bool short_of_memory = s == SHARDIO_ERR_MEMORY && l->allocations.fail_at > 0;
    if (item >= l->count) CHECK(s == SHARDIO_ERR_ARGUMENT || short_of_memory);
    else if (calm(l)) CHECK_OK(s);
    if (s == SHARDIO_OK) CHECK(same(l, item, data, size));
}

static void read_items(const life *l, shardio_pack_reader *r, fuzz_input *in, bool as_list)
{
    uint64_t list[20], first = fuzz_below(in, l->count + 1), count = 0, step = 1 + fuzz_below(in, 40);
    watch w = {l, NULL, first, 0};
    shardio_error e;
    shardio_status s;
    for (uint64_t item = first; as_list && count < 20 && item < l->count; item += step) list[count++] = item;
    if (!as_list) count = fuzz_below(in, l->count - first + 1);
    if (as_list) w.list = list;
    if (as_list) s = SAID(shardio_pack_list(r, NULL, list, (size_t)count, look, &w, &e));
    else s = SAID(shardio_pack_range(r, NULL, first, count, look, &w, &e));
    if (calm(l)) CHECK_OK(s);
    if (s == SHARDIO_OK) CHECK_U64(w.seen, count);
}

static void verify(const life *l, shardio_pack_reader *r)
{
    shardio_pack_summary summary;
    shardio_error e;
    shardio_status s = SAID(shardio_pack_verify(r, NULL, &summary, NULL, NULL, NULL, NULL, &e));
    if (calm(l)) CHECK_OK(s);
    if (s != SHARDIO_OK) return;
    CHECK(summary.items == l->count && summary.item_bytes == l->start[l->count] && summary.faults == 0);
    CHECK(summary.hash_checked == l->o.content_hash && !summary.hash_differs);
}

static void read_pack(life *l, fuzz_input *in)
{
    shardio_pack_reading how;
    shardio_pack_reader r;
    shardio_error e;
    memset(&how, 0, sizeof how);
    how.codec = l->o.codec;
    how.tail = fuzz_byte(in) * 4u;
    how.size_cache = fuzz_flag(l->choices, 5) ? 64 : 4096;
    how.allocator = &l->allocations.allocator;
    l->allocations.calls = 0;
    l->allocations.fail_at = fuzz_byte(in);
    memset(&l->faulty, 0, sizeof l->faulty);
    shardio_file file = faulty_file(&l->faulty, shardio_memory_file(&l->disk, "disk"));
    fuzz_faults(&l->faulty, fuzz_byte(in), l->choices);
    shardio_status s = SAID(shardio_pack_open_file(&r, file, &how, &e));
    if (calm(l)) CHECK_OK(s);
    if (s == SHARDIO_OK) CHECK(r.facts.items == l->count && r.facts.app_data_bytes == l->choices % 3 * 40u);
    for (int n = 0; n < 30 && s == SHARDIO_OK && in->size > 0; n++) {
        uint8_t which = fuzz_byte(in);
        if (which % 8 < 4) read_item(l, &r, in, which % 8 > 1);
        else if (which % 8 < 7) read_items(l, &r, in, which % 8 > 5);
        else verify(l, &r);
    }
    shardio_pack_close(&r);
}

static void fuzz_one(fuzz_input in)
{
    static const uint32_t records[] = {1, 2, 3, 128, 7, 0, 1000, 17};
    static life l;
    memset(&l, 0, sizeof l);
    uint8_t options = fuzz_byte(&in), disk = fuzz_byte(&in), fails = fuzz_byte(&in);
    l.choices = fuzz_byte(&in);
    l.o.items_per_record = records[options % 8];
    l.o.content_hash = fuzz_flag(options, 3);
    if (fuzz_flag(options, 4)) l.o.codec = shardio_codec_crc32c();
#if SHARDIO_WITH_ZSTD
    if (fuzz_flag(options, 5)) l.o.codec = shardio_codec_zstd();
#endif
    l.faulty.alignment = fuzz_flag(disk, 0) ? 512 : 0;
    l.faulty.overlap = fuzz_flag(disk, 1);
    l.faulty.refuse_direct = fuzz_flag(disk, 2) ? EINVAL : 0;
    l.faulty.refuse_write = fuzz_flag(disk, 3) ? EINVAL : 0;
    l.faulty.space = fuzz_flag(disk, 4) ? 3000 : 0;
    fuzz_memory(&l.allocations, 4 << 20, fuzz_flag(disk, 5) ? fails : 0);
    fuzz_faults(&l.faulty, fuzz_flag(disk, 6) ? fails : 0, l.choices);
    if (write_pack(&l, &in)) read_pack(&l, &in);
    CHECK_U64(l.allocations.live, 0);
    CHECK_U64(l.faulty.misaligned, 0);
    CHECK_U64(l.faulty.misused, 0);
    shardio_memory_free(&l.disk);
}

static void fuzz_seeds(void)
{
    uint8_t data[200];
    for (uint64_t i = 0; i < 40; i++) {
        test_fill(data, sizeof data, 900 + i);
        data[0] = (uint8_t)(i * 7);
        data[1] &= i % 2 ? 0x0F : 0x7F;
        data[3] &= 0x7F;
        for (size_t k = 4; k < 60; k++) data[k] |= 1;      /* the writer does not end at once */
        data[60] = data[61] = data[62] = 0;
        fuzz_seed(data, sizeof data);
    }
}
