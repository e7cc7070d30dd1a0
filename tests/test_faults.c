/* Slots, shards, packs and mirrors when a call to the system or to the allocator fails: see faults.h. */
#include "system.h"
#include "faults.h"
#include "mirrors.h"

/* `n` times 64 bytes into seeded ones, of which there are enough. */
static const uint8_t *bytes_of(size_t n)
{
    static uint8_t bytes[1 << 15];
    if (bytes[0] == 0) test_fill(bytes, sizeof bytes, 99);
    return bytes + n * 64;
}

/* How a file is written: the options that change the path of the calls. */
typedef struct writing {
    const char *path;
    shardio_durability durability;
    shardio_direct direct;
    uint64_t sync_every;
    bool overwrite, in_place, make_parents;
    shardio_overlap overlap;
} writing;

static const writing writings[] = {
    {"new", SHARDIO_DURABLE_FINISH, SHARDIO_DIRECT_OFF, 0, false, false, false, SHARDIO_OVERLAP_OFF},
    {"old", SHARDIO_DURABLE_FINISH, SHARDIO_DIRECT_ON, 0, true, false, false, SHARDIO_OVERLAP_OFF},
    {"a/b/new", SHARDIO_DURABLE_FINISH, SHARDIO_DIRECT_OFF, 0, true, false, true, SHARDIO_OVERLAP_OFF},
    {"new", SHARDIO_DURABLE_NONE, SHARDIO_DIRECT_OFF, 0, false, false, false, SHARDIO_OVERLAP_OFF},
    {"new", SHARDIO_DURABLE_FINISH, SHARDIO_DIRECT_AUTO, 9000, false, false, false, SHARDIO_OVERLAP_OFF},
    {"new", SHARDIO_DURABLE_FINISH, SHARDIO_DIRECT_OFF, 0, false, true, false, SHARDIO_OVERLAP_OFF},
    {"link", SHARDIO_DURABLE_FINISH, SHARDIO_DIRECT_OFF, 0, true, false, false, SHARDIO_OVERLAP_OFF},
    {"new", SHARDIO_DURABLE_FINISH, SHARDIO_DIRECT_OFF, 0, false, false, false, SHARDIO_OVERLAP_ON},
    {"old", SHARDIO_DURABLE_FINISH, SHARDIO_DIRECT_AUTO, 9000, true, false, false, SHARDIO_OVERLAP_ON}
};

enum { WRITINGS = sizeof writings / sizeof writings[0] };

/* A workflow with the index at both ends has two ways for each way to write. */
static const writing *writing_of(const work *w)
{
    return &writings[w->way % WRITINGS];
}

static const char *path_of(const work *w)
{
    return work_in(w, writing_of(w)->path);
}

static shardio_slot_options options_of(const work *w)
{
    const writing *how = writing_of(w);
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.buffer_size = 8192;
    o.durability = how->durability;
    o.direct = how->direct;
    o.sync_every = how->sync_every;
    o.overwrite = how->overwrite;
    o.in_place = how->in_place;
    o.make_parents = how->make_parents;
    o.overlap = how->overlap;
    o.in_flight = 2;
    o.allocator = w->allocator;
    rings.there = true;
    return o;
}

/* The same, for what is there. */
static shardio_slot_options options_of_existing(const work *w)
{
    shardio_slot_options o = options_of(w);
    o.overwrite = o.in_place = o.make_parents = false;
    return o;
}

static void put_old(work *w)
{
    rig_put(work_in(w, "old"), bytes_of(100), 3000);
    CHECK(chmod(work_in(w, "old"), 0640) == 0);
    CHECK(symlink("old", work_in(w, "link")) == 0);
}

/* ---- slots --------------------------------------------------------------------------------------------------- */

static void slot_steps(work *w, shardio_slot *s)
{
    if (!did(w, "append", shardio_slot_append(s, bytes_of(0), 700), &s->error)) return;
    if (!did(w, "append", shardio_slot_append(s, bytes_of(3), 9000), &s->error)) return;
    if (!did(w, "checkpoint", shardio_slot_checkpoint(s), &s->error)) return;
    stage(w);
    if (!did(w, "append", shardio_slot_append(s, bytes_of(7), 5000), &s->error)) return;
    if (!did(w, "suspend", shardio_slot_suspend(s), &s->error)) return;
    if (!did(w, "append", shardio_slot_append(s, bytes_of(9), 300), &s->error)) return;
    if (!did(w, "sync", shardio_slot_sync(s), &s->error)) return;
    did(w, "append", shardio_slot_append(s, bytes_of(11), 4000), &s->error);
}

static void slot_finish(work *w, shardio_slot *s)
{
    shardio_status status = shardio_slot_finish(s);
    did(w, "finish", status, &s->error);
    CHECK(w->status == SHARDIO_OK || status == w->status);        /* the first error is repeated */
}

static void slot_write(work *w)
{
    shardio_slot s;
    shardio_slot_options o = options_of(w);
    did(w, "create", shardio_slot_create(&s, path_of(w), &o), &s.error);
    slot_steps(w, &s);
    slot_finish(w, &s);
}

static void slot_abandon(work *w)
{
    shardio_slot s;
    shardio_slot_options o = options_of(w);
    did(w, "create", shardio_slot_create(&s, path_of(w), &o), &s.error);
    did(w, "append", shardio_slot_append(&s, bytes_of(3), 9000), &s.error);
    if (o.overlap == SHARDIO_OVERLAP_ON) did(w, "sync", shardio_slot_sync(&s), &s.error);   /* or nobody hears of what failed */
    last_words(w);
    shardio_slot_abort(&s);
}

static void slot_put_begun(work *w)
{
    rig_put(work_in(w, "begun"), bytes_of(50), 6000);
}

static void slot_continue(work *w)
{
    shardio_slot s;
    shardio_slot_options o = options_of_existing(w);
    o.start = 6000;
    did(w, "continue", shardio_slot_create(&s, work_in(w, "begun"), &o), &s.error);
    slot_steps(w, &s);
    slot_finish(w, &s);
}

/* ---- shards -------------------------------------------------------------------------------------------------- */

enum { SHARD_CHUNKS = 6 };

static shardio_index_layout layout_of(const work *w)
{
    shardio_index_layout l;
    memset(&l, 0, sizeof l);
    l.chunks = SHARD_CHUNKS;
    l.at_start = w->ways == 2 ? w->way == 1 : w->way >= WRITINGS;
    return l;
}

/* Chunk c of generation g. */
static const uint8_t *chunk_bytes(uint64_t c, unsigned g)
{
    return bytes_of((size_t)c * 20 + g * 7);
}

static size_t chunk_size(uint64_t c, unsigned g)
{
    return 900 + (size_t)c * 611 + g * 77;
}

static bool put_chunk(work *w, shardio_shard_writer *s, uint64_t c, unsigned g)
{
    return did(w, "put", shardio_shard_put(s, c, chunk_bytes(c, g), chunk_size(c, g)), &s->slot.error);
}

static void shard_end(work *w, shardio_shard_writer *s)
{
    shardio_error error;
    shardio_status status = shardio_shard_finish(s, &error);
    did(w, "finish", status, &error);
    CHECK(w->status == SHARDIO_OK || status == w->status);
}

static void shard_steps(work *w, shardio_shard_writer *s)
{
    if (!put_chunk(w, s, 3, 0) || !put_chunk(w, s, 0, 0)) return;
    if (!did(w, "checkpoint", shardio_shard_checkpoint(s), &s->slot.error)) return;
    stage(w);
    if (put_chunk(w, s, 5, 0)) put_chunk(w, s, 3, 1);
}

static void shard_write(work *w)
{
    shardio_shard_writer s;
    shardio_slot_options o = options_of(w);
    shardio_index_layout l = layout_of(w);
    did(w, "create", shardio_shard_create(&s, path_of(w), &l, &o), &s.slot.error);
    shard_steps(w, &s);
    shard_end(w, &s);
}

/* Chunks 0, 1, 3 of generation 0; 4 has dead bytes before it. */
static void shard_make(work *w, const char *path)
{
    shardio_shard_writer s;
    shardio_error error;
    shardio_index_layout l = layout_of(w);
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.durability = SHARDIO_DURABLE_NONE;
    CHECK_OK(shardio_shard_create(&s, path, &l, &o));
    for (uint64_t c = 0; c < 5; c++)
        if (c != 2) CHECK_OK(shardio_shard_put(&s, c, chunk_bytes(c, c == 4), chunk_size(c, c == 4)));
    CHECK_OK(shardio_shard_put(&s, 4, chunk_bytes(4, 0), chunk_size(4, 0)));
    CHECK_OK(shardio_shard_finish(&s, &error));
}

static void shard_prepare(work *w)
{
    shard_make(w, work_in(w, "shard"));
}

static void shard_change(work *w, shardio_update how)
{
    shardio_shard_writer s;
    shardio_slot_options o = options_of_existing(w);
    shardio_index_layout l = layout_of(w);
    did(w, "update", shardio_shard_update(&s, work_in(w, "shard"), &l, how, &o), &s.slot.error);
    if (put_chunk(w, &s, 1, 1) && did(w, "drop", shardio_shard_drop(&s, 3), &s.slot.error)) put_chunk(w, &s, 2, 0);
    shard_end(w, &s);
}

static void shard_change_append(work *w)
{
    shard_change(w, SHARDIO_UPDATE_APPEND);
}

static void shard_change_rewrite(work *w)
{
    shard_change(w, SHARDIO_UPDATE_REWRITE);
}

/* A shard whose index stands at the start cannot be cut back behind the copy of a newer index: whole it is, or recovering
   makes it so, and each chunk is one of those in `allowed`: '0' or '1' its generation, '-' missing. */
static void shard_survives(work *w, const char *path, const char *const *allowed)
{
    static uint8_t memory[8192];
    shardio_shard_reader r;
    shardio_index_layout l = layout_of(w);
    shardio_error error;
    uint64_t size;
    if (shardio_shard_open(&r, path, &l, NULL, &error) != SHARDIO_OK) {
        CHECK_OK(shardio_shard_recover(path, &l, true, NULL, NULL, &error));
        if (!CHECK(shardio_shard_open(&r, path, &l, NULL, &error) == SHARDIO_OK)) return;
    }
    for (uint64_t c = 0; c < SHARD_CHUNKS; c++) {
        bool fits = false;
        if (!CHECK(shardio_shard_read(&r, c, memory, sizeof memory, &size, &error) == SHARDIO_OK)) continue;
        for (const char *g = allowed[c]; *g != 0 && !fits; g++)
            fits = *g == '-' ? size == SHARDIO_MISSING
                             : size == chunk_size(c, (unsigned)(*g - '0')) && memcmp(memory, chunk_bytes(c, (unsigned)(*g - '0')), (size_t)size) == 0;
        CHECK(fits);
    }
    shardio_shard_close(&r);
}

static void shard_write_survives(work *w)
{
    static const char *const allowed[] = {"0", "-", "-", "01", "-", "-0"};
    const char *path = path_of(w);
    if (strcmp(writing_of(w)->path, "link") == 0) path = work_in(w, "old");
    shard_survives(w, path, allowed);
}

static void shard_change_survives(work *w)
{
    static const char *const allowed[] = {"0", "01", "-0", "0-", "0", "-"};
    shard_survives(w, work_in(w, "shard"), allowed);
}

/* An update that could not be taken back leaves bytes behind the shard; recovering cuts them off. */
static void shard_mend(work *w)
{
    shardio_index_layout l = layout_of(w);
    shardio_error error;
    sys_call fired = sys.fired_call;
    CHECK_OK(shardio_shard_recover(work_in(w, "shard"), &l, true, NULL, NULL, &error));
    sys.fired_call = fired;
}

static void check_chunk(work *w, uint64_t c, const uint8_t *data, uint64_t size)
{
    CHECK_U64(size, c == 2 || c == 5 ? SHARDIO_MISSING : chunk_size(c, 0));
    if (size == chunk_size(c, 0)) CHECK_BYTES(data, chunk_bytes(c, 0), (size_t)size);
    (void)w;
}

static shardio_status take_chunk(void *context, uint64_t chunk, const uint8_t *data, size_t size, shardio_error *error)
{
    (void)error;
    check_chunk((work *)context, chunk, data, data == NULL ? SHARDIO_MISSING : size);
    return SHARDIO_OK;
}

static void shard_read_chunks(work *w, shardio_shard_reader *r)
{
    static const uint64_t chunks[] = {4, 0, 1, 2, 3};
    static uint8_t memory[24576];
    uint8_t *aligned = memory + (4096 - (uintptr_t)memory % 4096) % 4096;
    shardio_error error;
    uint64_t size;
    for (uint64_t c = 0; c < SHARD_CHUNKS; c++) {
        if (!did(w, "read", shardio_shard_read(r, c, memory, sizeof memory, &size, &error), &error)) continue;
        check_chunk(w, c, memory, size);
    }
    shardio_status same = shardio_shard_unchanged(r, &error);
    /* with its index at the start a shard that was just written may still be changing */
    if (!(same == SHARDIO_ERR_CHANGED && r->layout.at_start && r->facts.unsettled)) did(w, "unchanged", same, &error);
    did(w, "read_many", shardio_shard_read_many(r, chunks, 5, aligned, 16384, take_chunk, w, &error), &error);
    did(w, "verify", shardio_shard_verify(r, NULL, NULL, NULL, &error), &error);
}

static void shard_read(work *w)
{
    shardio_shard_reader r;
    shardio_index_layout l = layout_of(w);
    shardio_error error;
    if (did(w, "open", shardio_shard_open(&r, work_in(w, "shard"), &l, w->allocator, &error), &error)) shard_read_chunks(w, &r);
    shardio_shard_close(&r);
}

static void shard_read_unbuffered(work *w)
{
    shardio_shard_reader r;
    shardio_index_layout l = layout_of(w);
    shardio_error error;
    if (did(w, "open", shardio_shard_open(&r, work_in(w, "shard"), &l, w->allocator, &error), &error)) {
        (void)shardio_shard_read_unbuffered(&r);
        shard_read_chunks(w, &r);
    }
    shardio_shard_close(&r);
}

/* A writer was killed behind its last chunk. */
static void shard_prepare_torn(work *w)
{
    shard_prepare(w);
    FILE *out = fopen(work_in(w, "shard"), "ab");
    if (!CHECK(out != NULL)) return;
    CHECK_U64(fwrite(bytes_of(200), 1, 5000, out), 5000);
    CHECK(fclose(out) == 0);
}

static void shard_recovery(work *w)
{
    shardio_index_layout l = layout_of(w);
    shardio_recovery found;
    shardio_error error;
    did(w, "recover", shardio_shard_recover(work_in(w, "shard"), &l, true, w->allocator, &found, &error), &error);
}

static void shard_compaction(work *w)
{
    shardio_index_layout l = layout_of(w);
    shardio_slot_options o = options_of_existing(w);
    shardio_error error;
    did(w, "compact", shardio_shard_compact(work_in(w, "shard"), &l, &o, NULL, &error), &error);
}

/* ---- packs --------------------------------------------------------------------------------------------------- */

enum { PACK_ITEMS = 300 };

static size_t item_size_of(uint64_t i)
{
    return (size_t)(i * 37 % 120);
}

static shardio_pack_options pack_options(const work *w)
{
    shardio_pack_options o;
    memset(&o, 0, sizeof o);
    o.items_per_record = 40;
    o.content_hash = true;
    o.codec = w->way % 2 == 1 ? shardio_codec_crc32c() : NULL;
    return o;
}

static void pack_write_to(work *w, const char *path, const shardio_slot_options *how)
{
    shardio_pack_writer p;
    shardio_pack_options o = pack_options(w);
    shardio_error error;
    did(w, "create", shardio_pack_create(&p, path, &o, how), &p.slot.error);
    for (uint64_t i = 0; i < PACK_ITEMS; i++)
        if (!did(w, "append", shardio_pack_append(&p, bytes_of((size_t)i), item_size_of(i)), &p.slot.error)) break;
    shardio_status status = shardio_pack_finish(&p, bytes_of(1), 500, &error);
    did(w, "finish", status, &error);
    CHECK(w->status == SHARDIO_OK || status == w->status);
}

static void pack_writing(work *w)
{
    shardio_slot_options o = options_of(w);
    pack_write_to(w, path_of(w), &o);
}

static void pack_prepare(work *w)
{
    pack_write_to(w, work_in(w, "pack"), NULL);
    CHECK_OK(w->status);
}

static shardio_status take_item(void *context, uint64_t item, const uint8_t *data, size_t size, shardio_error *error)
{
    (void)context, (void)error;
    CHECK_U64(size, item_size_of(item));
    if (size == item_size_of(item) && size > 0) CHECK_BYTES(data, bytes_of((size_t)item), size);
    return SHARDIO_OK;
}

static void pack_read_items(work *w, shardio_pack_reader *r)
{
    static const uint64_t some[] = {3, 41, 42, 200, 299};
    uint8_t app[500];
    const uint8_t *data;
    size_t size = 0;
    shardio_error error;
    CHECK_U64(r->facts.items, PACK_ITEMS);
    for (uint64_t i = 0; i < PACK_ITEMS; i += 77)
        if (did(w, "item", shardio_pack_item(r, NULL, i, &data, &size, &error), &error)) take_item(w, i, data, size, &error);
    did(w, "range", shardio_pack_range(r, NULL, 30, 100, take_item, w, &error), &error);
    did(w, "list", shardio_pack_list(r, NULL, some, 5, take_item, w, &error), &error);
    if (did(w, "app_data", shardio_pack_app_data(r, app, sizeof app, &error), &error)) CHECK_BYTES(app, bytes_of(1), 500);
    did(w, "verify", shardio_pack_verify(r, NULL, NULL, NULL, NULL, NULL, NULL, &error), &error);
}

static void pack_reading(work *w)
{
    shardio_pack_reader r;
    shardio_pack_reading how;
    shardio_error error;
    memset(&how, 0, sizeof how);
    how.codec = pack_options(w).codec;
    how.tail = w->way / 2 % 2 == 1 ? 64 : 0;                 /* all at once, or the trailer first */
    how.allocator = w->allocator;
    if (did(w, "open", shardio_pack_open(&r, work_in(w, "pack"), &how, &error), &error)) pack_read_items(w, &r);
    shardio_pack_close(&r);
}

/* ---- mirrors ------------------------------------------------------------------------------------------------- */

enum { MIRROR_CHUNK = 512, MIRROR_LENGTH = 24 * MIRROR_CHUNK - 100 };

static remote distant;
static const char *const mirror_places[] = {"mirror", "a/b/mirror", "mirror"};

static shardio_mirror *mirror_of(work *w, shardio_mirror_options *o)
{
    shardio_error error;
    remote_make(&distant, 1, MIRROR_LENGTH);
    shardio_source from = remote_source(&distant, w->way == 2);
    o->make_parents = w->way == 1;
    o->allocator = w->allocator;
    shardio_mirror *m = shardio_mirror_open(&from, work_in(w, mirror_places[w->way]), o, &error);
    did(w, "open", error.status, &error);
    CHECK((m == NULL) == (error.status != SHARDIO_OK));
    return m;
}

static void mirror_read_some(work *w, shardio_mirror *m, uint64_t offset, size_t size)
{
    shardio_error error;
    did(w, "read", read_and_compare(__FILE__, __LINE__, m, &distant, offset, size, &error), &error);
}

static void mirror_end(work *w, shardio_mirror *m)
{
    shardio_error error;
    did(w, "close", shardio_mirror_close(m, &error), &error);
}

static void mirror_life(work *w)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    shardio_mirror *m = mirror_of(w, &o);
    if (m == NULL) return;
    mirror_read_some(w, m, 700, 2000);
    did(w, "save", shardio_mirror_save(m, &error), &error);
    did(w, "prefetch", shardio_mirror_prefetch(m, 9 * MIRROR_CHUNK, 1000, &error), &error);
    did(w, "evict", shardio_mirror_evict(m, 0, 3 * MIRROR_CHUNK, &error), &error);
    did(w, "fill", shardio_mirror_fill(m, NULL, NULL, &error), &error);
    did(w, "evict_to", shardio_mirror_evict_to(m, 10 * MIRROR_CHUNK, &error), &error);
    mirror_read_some(w, m, 20 * MIRROR_CHUNK, 4000);
    mirror_end(w, m);
}

/* What is there is the object's, and the mirror works; every third chunk of it is there. */
static void mirror_prepare(work *w)
{
    shardio_mirror_options o = plain_options();
    shardio_mirror *m = mirror_of(w, &o);
    for (uint64_t c = 0; m != NULL && c < 24; c += 3) mirror_read_some(w, m, c * MIRROR_CHUNK, 10);
    mirror_end(w, m);
    CHECK_OK(w->status);
}

static void mirror_read_only(work *w)
{
    shardio_mirror_options o = plain_options();
    o.read_only = true;
    shardio_mirror *m = mirror_of(w, &o);
    if (m == NULL) return;
    mirror_read_some(w, m, 700, 2000);
    (void)shardio_mirror_about(m);
    mirror_end(w, m);
}

static void mirror_survives(work *w)
{
    shardio_mirror_options o = plain_options();
    uint64_t from = 0, offset, size;
    work after = *w;
    after.status = SHARDIO_OK;
    shardio_mirror *m = mirror_of(&after, &o);
    if (m == NULL) CHECK_OK(after.status);
    remote_forget(&distant);
    for (; m != NULL && shardio_mirror_next_extent(m, from, &offset, &size); from = offset + size)
        CHECK_READ(m, &distant, offset, (size_t)size);
    CHECK_U64(distant.requests, 0);
    if (m != NULL) CHECK_READ(m, &distant, 0, MIRROR_LENGTH);
    if (m != NULL) mirror_end(&after, m);
    CHECK_OK(after.status);
}

/* A source on a file. */
static void source_prepare(work *w)
{
    rig_put(work_in(w, "source"), bytes_of(0), 9000);
}

static void source_copy(work *w)
{
    shardio_source from;
    shardio_error error;
    shardio_mirror_options o = plain_options();
    uint8_t data[1000];
    size_t done;
    o.allocator = w->allocator;
    if (!did(w, "source", shardio_source_open(&from, work_in(w, "source"), w->allocator, &error), &error)) return;
    shardio_mirror *m = shardio_mirror_open(&from, work_in(w, "mirror"), &o, &error);
    if (!did(w, "open", error.status, &error)) return;
    if (did(w, "read", shardio_mirror_read(m, 3000, data, sizeof data, &done, &error), &error))
        CHECK_BYTES(data, bytes_of(0) + 3000, sizeof data);
    mirror_end(w, m);
}

static void source_survives(work *w)
{
    (void)w;
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

/* Before a hole is punched the mirror's file is looked at; without an answer its room stays taken. */
enum { MIRROR_HINTS = SYS_ONLY(CALL_FSTAT) | SYS_ONLY(CALL_FSTATAT) };

static const workflow flows[] = {
    /* name, ways, root, prepare, run, holds, mend, survives, anew, varies, without, silent */
    {"slot", WRITINGS, NULL, put_old, slot_write, NULL, NULL, NULL, true, false, 0, 0},
    {"slot, aborted", WRITINGS, NULL, put_old, slot_abandon, NULL, NULL, NULL, true, false, 0, 0},
    {"slot, continued", 5, NULL, slot_put_begun, slot_continue, NULL, NULL, NULL, true, false, 0, 0},
    {"shard", 2 * WRITINGS, NULL, put_old, shard_write, NULL, NULL, shard_write_survives, true, false, 0, 0},
    {"shard, updated behind its end", 2 * WRITINGS, NULL, shard_prepare, shard_change_append, NULL, shard_mend, shard_change_survives, true, false, 0, 0},
    {"shard, rewritten", 2 * WRITINGS, NULL, shard_prepare, shard_change_rewrite, NULL, NULL, NULL, true, false, 0, 0},
    {"shard, read", 2, NULL, shard_prepare, shard_read, NULL, NULL, NULL, true, false, 0, 0},
    /* an unbuffered read that fails is made again, buffered */
    {"shard, read unbuffered", 1, NULL, shard_prepare, shard_read_unbuffered, NULL, NULL, NULL, true, false, 0, SYS_ONLY(CALL_PREAD)},
    {"shard, recovered", 2, NULL, shard_prepare_torn, shard_recovery, NULL, NULL, NULL, true, false, 0, 0},
    {"shard, compacted", 2 * WRITINGS, NULL, shard_prepare, shard_compaction, NULL, NULL, NULL, true, false, 0, 0},
    {"pack", WRITINGS, NULL, put_old, pack_writing, NULL, NULL, NULL, true, false, 0, 0},
    {"pack, read", 4, NULL, pack_prepare, pack_reading, NULL, NULL, NULL, true, false, 0, 0},
    {"mirror", 3, NULL, NULL, mirror_life, NULL, NULL, mirror_survives, true, true, 0, MIRROR_HINTS},
    {"mirror, continued", 1, NULL, mirror_prepare, mirror_life, NULL, NULL, mirror_survives, true, true, 0, MIRROR_HINTS},
    {"mirror, read only", 1, NULL, mirror_prepare, mirror_read_only, NULL, NULL, mirror_survives, true, true, 0, MIRROR_HINTS},
    {"mirror of a file", 1, NULL, source_prepare, source_copy, NULL, NULL, source_survives, true, true, 0, MIRROR_HINTS}
};

TEST(slots) { run_workflows(flows, 0, 3); }
TEST(shards) { run_workflows(flows, 3, 10); }
TEST(packs) { run_workflows(flows, 10, 12); }
TEST(mirrors) { run_workflows(flows, 12, sizeof flows / sizeof flows[0]); }

TEST_MAIN(TEST_CASE(slots) TEST_CASE(shards) TEST_CASE(packs) TEST_CASE(mirrors))
