/* Sequences of calls on a slot and the shard in it, against a model: what a shard holds, in plain memory.

   Input: the layout, the number of chunks, the disk, then calls: a byte that says which, and what it needs. */
#define FUZZ_NAME "shard_calls"
#include "fuzz.h"

enum { MOST_CHUNKS = 12, MOST_CALLS = 60 };

static uint8_t buffers[2][8192] __attribute__((aligned(4096)));
static uint8_t head[16384] __attribute__((aligned(4096)));

/* What a shard holds. */
typedef struct content {
    struct {
        bool there;
        uint32_t size;
        uint64_t seed;
    } chunk[MOST_CHUNKS];
} content;

typedef struct life {
    shardio_index_layout layout;
    shardio_memory disk, fresh;        /* the file, and the one that will replace it */
    faulty_state faulty;
    shardio_shard_writer w;
    shardio_shard_reader old;
    content now;
    content saved, tried;              /* what is promised to be there; what a call that failed wanted to save */
    bool any, writing, rewrite, has_tried;
    uint8_t how_disk;
    shardio_status first;              /* the error that sticks */
    uint64_t synced;                   /* size at the last checkpoint that sync_every asked for */
    size_t room;
    unsigned half;
} life;

static void fill(uint8_t *data, const content *c, uint64_t chunk)
{
    test_fill(data, c->chunk[chunk].size, c->chunk[chunk].seed);
}

/* Whether the file is a shard with this content. */
static bool holds(life *l, const content *want)
{
    uint8_t data[2048], got[2048];
    shardio_shard_reader r;
    shardio_shard_summary summary;
    shardio_error e;
    uint64_t size, live = 0;
    shardio_file disk = shardio_memory_file(&l->disk, "disk");
    bool same = SAID(shardio_shard_open_file(&r, disk, &l->layout, NULL, &e)) == SHARDIO_OK;
    for (uint64_t c = 0; same && c < l->layout.chunks; c++) {
        /* an index without a checksum may be torn */
        same = SAID(shardio_shard_read(&r, c, got, sizeof got, &size, &e)) == SHARDIO_OK
               && size == (want->chunk[c].there ? want->chunk[c].size : SHARDIO_MISSING);
        if (!same || !want->chunk[c].there) continue;
        fill(data, want, c);
        live += size;
        same = memcmp(data, got, (size_t)size) == 0;
    }
    if (same) CHECK_OK(shardio_shard_verify(&r, &summary, NULL, NULL, &e));
    if (same) CHECK_U64(summary.live_bytes, live);
    shardio_shard_close(&r);
    return same;
}

static void disk_begin(life *l)
{
    faulty_state *f = &l->faulty;
    memset(f, 0, sizeof *f);
    f->alignment = fuzz_flag(l->how_disk, 0) ? 512 : fuzz_flag(l->how_disk, 1) ? 4096 : 0;
    f->overlap = fuzz_flag(l->how_disk, 2);
    f->refuse_direct = fuzz_flag(l->how_disk, 3) ? EINVAL : 0;
    f->refuse_write = fuzz_flag(l->how_disk, 4) ? EINVAL : 0;
    f->space = fuzz_flag(l->how_disk, 5) ? 6000 : 0;
}

/* Something failed that may make calls fail. */
static bool trouble(const life *l)
{
    return l->faulty.fired > 0 || l->faulty.space > 0;
}

static void writer_begin(life *l, uint8_t how)
{
    shardio_slot_options o;
    shardio_error e;
    shardio_status s;
    memset(&o, 0, sizeof o);
    o.durability = fuzz_flag(how, 1) ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    o.direct = l->how_disk & 3 ? SHARDIO_DIRECT_AUTO : SHARDIO_DIRECT_OFF;
    o.direct_min = fuzz_flag(how, 2) ? 512 : 0;
    o.sync_every = fuzz_flag(how, 3) ? 700 : 0;
    disk_begin(l);
    size_t need = shardio_shard_memory(&l->layout, 4096);
    l->rewrite = l->any && fuzz_flag(how, 0);
    l->now = l->saved;
    l->first = SHARDIO_OK;
    l->has_tried = false;
    if (!CHECK(need > 0 && need <= sizeof head)) return;
    if (l->rewrite)
        CHECK_OK(shardio_shard_open_file(&l->old, shardio_memory_file(&l->disk, "old"), &l->layout, NULL, &e));
    if (!l->any) shardio_memory_free(&l->disk), memset(&l->disk, 0, sizeof l->disk), memset(&l->now, 0, sizeof l->now);
    memset(&l->fresh, 0, sizeof l->fresh);
    shardio_file file = faulty_file(&l->faulty, shardio_memory_file(l->rewrite ? &l->fresh : &l->disk, "disk"));
    if (!l->any) s = shardio_shard_begin(&l->w, file, &l->layout, head, need, buffers[0], l->room, &o);
    else s = shardio_shard_begin_update(&l->w, file, l->rewrite ? &l->old : NULL, &l->layout, head, need, buffers[0],
                                        l->room, &o);
    l->first = s;
    l->synced = l->w.synced;
    l->writing = true;
}

/* The first error sticks, and there is one only if something failed. */
static bool went(life *l, shardio_status s)
{
    if (l->first != SHARDIO_OK) CHECK_STATUS(s, l->first);
    else l->first = s;
    if (s != SHARDIO_OK) CHECK(trouble(l));
    return s == SHARDIO_OK;
}

/* What a put did. With sync_every it may have made a checkpoint as well, or tried to. */
static void was_put(life *l, shardio_status s, const content *next)
{
    bool was_fine = l->first == SHARDIO_OK, is_saved = !l->rewrite && l->w.synced != l->synced;
    l->synced = l->w.synced;
    if (went(l, s)) {
        l->now = *next;
        if (!is_saved) return;
        l->saved = l->now;
        l->any = true;
    } else if (was_fine && l->w.sync_every > 0) {
        l->tried = *next;
        l->has_tried = true;
    }
}

static void put(life *l, fuzz_input *in)
{
    uint8_t data[2048];
    uint64_t chunk = fuzz_below(in, l->layout.chunks);
    content next = l->now;
    next.chunk[chunk].there = true;
    next.chunk[chunk].size = (uint32_t)fuzz_below(in, 2000);
    next.chunk[chunk].seed = fuzz_byte(in) + UINT64_C(1);
    fill(data, &next, chunk);
    was_put(l, shardio_shard_put(&l->w, chunk, data, next.chunk[chunk].size), &next);
}

static void put_many(life *l, fuzz_input *in)
{
    uint8_t data[3 * 512];
    uint64_t list[3];
    uint32_t size = (uint32_t)fuzz_below(in, 500);
    content next = l->now;
    for (uint64_t i = 0; i < 3; i++) {
        list[i] = fuzz_below(in, l->layout.chunks);
        for (uint64_t k = 0; k < i; k++)
            if (list[k] == list[i]) return;       /* the last one would count: the model does not know which */
        next.chunk[list[i]].there = true;
        next.chunk[list[i]].size = size;
        next.chunk[list[i]].seed = 1000 + i;
        fill(data + i * size, &next, list[i]);
    }
    was_put(l, shardio_shard_put_many(&l->w, list, 3, data, size), &next);
}

static void drop(life *l, fuzz_input *in)
{
    uint64_t chunk = fuzz_below(in, l->layout.chunks);
    if (went(l, shardio_shard_drop(&l->w, chunk))) l->now.chunk[chunk].there = false;
}

static void checkpoint(life *l)
{
    if (l->rewrite) return;
    bool was_fine = l->first == SHARDIO_OK;
    if (went(l, shardio_shard_checkpoint(&l->w))) {
        l->saved = l->now;
        l->any = true;
        CHECK(holds(l, &l->saved));
    } else if (was_fine) {
        l->tried = l->now;
        l->has_tried = true;
    }
}

static void use_slot(life *l, uint8_t how)
{
    shardio_status s = SHARDIO_OK;
    if (fuzz_flag(how, 4)) s = shardio_slot_set_buffer(&l->w.slot, buffers[l->half ^= 1], l->room);
    if (s == SHARDIO_OK && fuzz_flag(how, 5)) s = shardio_slot_suspend(&l->w.slot);
    else if (s == SHARDIO_OK) s = shardio_slot_sync(&l->w.slot);
    (void)went(l, s);
}

/* What is on the disk after an error is what was saved, or what the failed call wanted to save; recovery finds it. */
static void settle(life *l)
{
    shardio_recovery found;
    shardio_file file = shardio_memory_file(&l->disk, "disk");
    bool fine = holds(l, &l->saved) || (l->has_tried && holds(l, &l->tried));
    if (!fine) {
        shardio_status s = shardio_shard_recover_file(&file, &l->layout, true, NULL, NULL, NULL, &found, NULL);
        if (s == SHARDIO_OK) CHECK(holds(l, &l->saved) || (l->has_tried && holds(l, &l->tried)));
        else CHECK(found.ambiguous || (s == SHARDIO_ERR_UNSUPPORTED && l->layout.no_checksum));
        fine = s == SHARDIO_OK;
    }
    if (fine && !holds(l, &l->saved)) l->saved = l->tried;
    l->any = fine;
}

static void replace(life *l)
{
    shardio_memory_free(&l->disk);
    l->disk = l->fresh;
    memset(&l->fresh, 0, sizeof l->fresh);
}

/* The end of a writer. A file in memory has no name: it is gone if it was to be discarded. */
static void end(life *l, bool finish)
{
    shardio_error e;
    shardio_status s = SHARDIO_OK;
    uint64_t fired = l->faulty.fired;
    shardio_accounting a = shardio_shard_accounting(&l->w);
    CHECK(a.dead_bytes <= a.logical_bytes);
    if (finish) s = SAID(shardio_shard_finish(&l->w, &e));
    else shardio_shard_abort(&l->w);
    if (finish && l->first != SHARDIO_OK) CHECK_STATUS(s, l->first);
    if (s != SHARDIO_OK) CHECK(trouble(l));
    bool failed = s != SHARDIO_OK || l->first != SHARDIO_OK || (l->faulty.fired > fired);
    if (finish && s != SHARDIO_OK && l->first == SHARDIO_OK) l->tried = l->now, l->has_tried = true;
    l->faulty.fail_at = 0;
    CHECK_U64(l->faulty.misaligned, 0);
    CHECK_U64(l->faulty.misused, 0);
    if (l->rewrite) shardio_shard_close(&l->old);
    if (finish && s == SHARDIO_OK) {
        if (l->rewrite) replace(l);
        l->saved = l->now;
        l->any = true;
        CHECK(holds(l, &l->saved));
    } else if (l->rewrite) {
        shardio_memory_free(&l->fresh);
        CHECK(holds(l, &l->saved));
    } else if (l->any && failed) {
        settle(l);
    } else if (l->any) {
        CHECK(holds(l, &l->saved));               /* cut back to where it began */
    }
    l->writing = false;
}

static void arm(life *l, fuzz_input *in)
{
    uint8_t fails = fuzz_byte(in), how = fuzz_byte(in);
    fuzz_faults(&l->faulty, fails, how);
    l->faulty.counted = 0;
}

static void call(life *l, fuzz_input *in)
{
    uint8_t which = fuzz_byte(in);
    if (!l->writing) writer_begin(l, which);
    else if (which % 16 < 7) put(l, in);
    else if (which % 16 < 8) put_many(l, in);
    else if (which % 16 < 10) drop(l, in);
    else if (which % 16 < 12) checkpoint(l);
    else if (which % 16 < 13) use_slot(l, which);
    else if (which % 16 < 14) arm(l, in);
    else end(l, which % 16 == 14);
}

static void fuzz_one(fuzz_input in)
{
    static life l;
    memset(&l, 0, sizeof l);
    uint8_t layout = fuzz_byte(&in);
    l.layout.chunks = 1 + fuzz_below(&in, MOST_CHUNKS);
    l.how_disk = fuzz_byte(&in);
    l.layout.at_start = fuzz_flag(layout, 0);
    l.layout.no_checksum = fuzz_flag(layout, 1) && fuzz_flag(layout, 4);
    l.layout.big_endian = fuzz_flag(layout, 2);
    l.layout.more_checksums = fuzz_flag(layout, 3) && !l.layout.no_checksum;
    l.room = fuzz_flag(l.how_disk, 0) && fuzz_flag(l.how_disk, 6) ? 512 : 4096;
    for (int n = 0; n < MOST_CALLS && in.size > 0 && test_failures == 0; n++) call(&l, &in);
    if (l.writing) end(&l, fuzz_flag(layout, 7));
    shardio_memory_free(&l.disk);
}

static void fuzz_seeds(void)
{
    uint8_t data[200];
    for (uint64_t i = 0; i < 40; i++) {
        test_fill(data, sizeof data, 77 + i);
        data[0] = (uint8_t)i;
        data[2] = (uint8_t)(i % 3 ? 0 : i);
        fuzz_seed(data, i < 20 ? 100 : sizeof data);
    }
}
