/* The zarr section: regions written, arrays resized and compacted while things go wrong: operations fail, the power goes,
   memory ends, somebody else changes the files. */
#include "arrays.h"
#include "disk.h"

/* ---- a picture: rows of uint16, and what it has to hold */

enum { SIDE = 14 };

typedef struct picture {
    shardio_array_options o;
    uint64_t shape[2];
    uint16_t now[SIDE][SIDE], fill;
} picture;

typedef struct kind {
    const char *name;
    bool sharded, at_start, no_checksum, crc, skip, rewrite, durable, list;
    uint32_t alignment;
} kind;

static const kind kinds[] = {
    {"appended", true, false, false, false, false, false, true, false, 0},
    {"appended, unbuffered", true, false, false, false, false, false, true, false, 512},
    {"rewritten", true, false, false, false, false, true, true, false, 0},
    {"index at the start", true, true, false, false, false, false, true, false, 0},
    {"index at the start, unbuffered", true, true, false, false, false, false, true, false, 512},
    {"index at the start, rewritten", true, true, false, false, true, true, true, false, 512},
    {"fill values left out", true, false, false, true, true, false, true, false, 0},
    {"no shards", false, false, false, true, false, false, true, false, 0},
    {"no shards, fill values left out", false, false, false, false, true, false, true, false, 512},
    {"not durable", true, false, false, true, true, false, false, false, 0},
    {"shards inside shards", true, false, false, false, true, false, true, true, 0},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void picture_begin(picture *p, const kind *k)
{
    memset(p, 0, sizeof *p);
    p->fill = 0x0101;
    p->o.ndim = 2;
    p->o.dtype = SHARDIO_UINT16;
    p->o.fill_value = &p->fill;
    p->shape[0] = p->o.shape[0] = 12;
    p->shape[1] = p->o.shape[1] = 11;
    p->o.chunk[0] = p->o.chunk[1] = 2;
    p->o.shard[0] = p->o.shard[1] = k->sharded && !k->list ? 4 : 0;
    if (!k->sharded) p->o.chunk[0] = 4, p->o.chunk[1] = 4;
    if (k->list) {
        p->o.chunk[0] = p->o.chunk[1] = 4;
        p->o.codec_list = "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[2,2],\"index_codecs\":[{\"name\":\"bytes\","
                          "\"configuration\":{\"endian\":\"little\"}},\"crc32c\"],\"codecs\":[{\"name\":\"sharding_indexed\",\"configuration\":"
                          "{\"chunk_shape\":[1,2],\"index_codecs\":[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}},\"crc32c\"],"
                          "\"codecs\":[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"big\"}}]}}]}}]";
    }
    p->o.codecs[0] = k->crc && !k->list ? shardio_codec_crc32c() : NULL;
    p->o.index_at_start = k->at_start;
    p->o.index_no_checksum = k->no_checksum;
    p->o.skip_fill = k->skip;
    p->o.update = k->rewrite ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
    p->o.dead_percent = 100;
    p->o.durability = k->durable ? SHARDIO_DURABLE_FINISH : SHARDIO_DURABLE_NONE;
    p->o.direct = k->alignment ? SHARDIO_DIRECT_AUTO : SHARDIO_DIRECT_OFF;
    p->o.buffer_size = 4096;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) p->now[y][x] = p->fill;
}

static uint16_t *row(picture *p, uint64_t y) { return p->now[y]; }

/* Writes a box of random numbers, or of fill values, and notes it in the model. */
static shardio_status picture_write(picture *p, shardio_array *a, uint64_t y, uint64_t x, uint64_t h, uint64_t w, uint64_t seed, shardio_error *e)
{
    uint64_t start[2] = {y, x}, count[2] = {h, w};
    uint16_t box[SIDE * SIDE], *to = box;
    for (uint64_t i = 0; i < h; i++)
        for (uint64_t j = 0; j < w; j++) *to++ = row(p, y + i)[x + j] = seed ? (uint16_t)test_mix(seed * 977 + i * 31 + j) : p->fill;
    return shardio_array_write(a, start, count, seed ? box : NULL, (size_t)(h * w) * 2, e);
}

static void picture_shrink(picture *p, uint64_t h, uint64_t w)
{
    for (uint64_t y = 0; y < SIDE; y++)
        for (uint64_t x = 0; x < SIDE; x++)
            if (y >= h || x >= w) row(p, y)[x] = p->fill;
    p->shape[0] = h;
    p->shape[1] = w;
}

/* Whether a box reads as the model has it, inside the shape; -1: an error. */
static int box_is(const picture *p, shardio_array *a, uint64_t y, uint64_t x, uint64_t h, uint64_t w, shardio_error *e)
{
    uint64_t start[2] = {y, x}, count[2] = {h, w};
    uint16_t got[SIDE * SIDE];
    if (shardio_array_read(a, start, count, got, sizeof got, e) != SHARDIO_OK) return -1;
    for (uint64_t i = 0; i < h; i++)
        if (memcmp(got + i * w, p->now[y + i] + x, (size_t)w * 2) != 0) return 0;
    return 1;
}

static void say_finding(void *context, const shardio_error *finding)
{
    char text[400];
    test_fail(__FILE__, __LINE__, shardio_error_text(finding, text, sizeof text));
    (void)context;
}

/* Everything is as the model has it, for a new reader, and nothing is wrong. */
static void check_picture(const picture *p, const shardio_store *store)
{
    shardio_error e;
    shardio_array_facts f;
    char text[400];
    shardio_array *a = shardio_array_open_in(store, NULL, &e);
    if (!CHECK(e.status == SHARDIO_OK)) { fprintf(stderr, "    %s\n", shardio_error_text(&e, text, sizeof text)); return; }
    CHECK_OK(shardio_array_describe(a, &f));
    CHECK_U64(f.shape[0], p->shape[0]);
    CHECK_U64(f.shape[1], p->shape[1]);
    if (f.shape[0] == p->shape[0] && f.shape[1] == p->shape[1]) CHECK_U64(box_is(p, a, 0, 0, f.shape[0], f.shape[1], &e), 1);
    CHECK_OK(shardio_array_verify(a, say_finding, NULL, NULL, NULL, &e));
    shardio_array_close(a);
}

/* ---- what is done to it while something fails */

enum { WRITE, WRITE_FILL, SHRINK, GROW, COMPACT, DEEDS };
static const char *const deed_names[] = {"write", "write fill values", "shrink", "grow", "compact"};

static shardio_status do_deed(int deed, picture *p, shardio_array *a, shardio_error *e)
{
    static const uint64_t smaller[2] = {9, 6}, larger[2] = {14, 13};
    switch (deed) {
    case WRITE: return picture_write(p, a, 3, 1, 6, 7, 5, e);
    case WRITE_FILL: return picture_write(p, a, 2, 2, 7, 6, 0, e);
    case SHRINK:
        picture_shrink(p, smaller[0], smaller[1]);
        return shardio_array_resize(a, smaller, false, e);
    case GROW:
        memcpy(p->shape, larger, sizeof larger);
        return shardio_array_resize(a, larger, false, e);
    default: return shardio_array_compact(a, NULL, NULL, e);
    }
}

/* The picture before the deed: every shard but one is there, some were written twice. Kept as files, to be put again. */
typedef struct files {
    picture p;
    struct { char key[40]; uint8_t *data; size_t size; } file[40];
    size_t count;
} files;

static bool files_each(void *context, const char *key, uint64_t size, bool temporary)
{
    files *f = (files *)context;
    (void)size, (void)temporary;
    snprintf(f->file[f->count++].key, sizeof f->file[0].key, "%.39s", key);
    return f->count < 40;
}

static void files_begin(files *f, const kind *k)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_error e;
    int code = 0;
    memset(f, 0, sizeof *f);
    picture_begin(&f->p, k);
    CHECK_OK(shardio_array_define_in(&store, &f->p.o, &e));
    shardio_array *a = shardio_array_update_in(&store, &f->p.o, &e);
    CHECK_OK(picture_write(&f->p, a, 0, 0, 8, 11, 1, &e));
    CHECK_OK(picture_write(&f->p, a, 8, 2, 4, 5, 2, &e));
    CHECK_OK(picture_write(&f->p, a, 1, 1, 7, 3, 3, &e));
    CHECK_OK(picture_write(&f->p, a, 5, 9, 3, 2, 0, &e));
    shardio_array_close(a);
    CHECK_OK(store.functions->list(store.context, "", files_each, f, &code));
    for (size_t i = 0; i < f->count; i++) f->file[i].data = store_get(&store, f->file[i].key, &f->file[i].size);
    shardio_store_memory_free(&memory);
}

static void files_put(const files *f, const shardio_store *store)
{
    for (size_t i = 0; i < f->count; i++) CHECK_OK(store_put(store, f->file[i].key, f->file[i].data, f->file[i].size));
}

static void files_end(files *f)
{
    for (size_t i = 0; i < f->count; i++) free(f->file[i].data);
}

static void say_recovered(void *context, const char *key, const shardio_recovery *found, shardio_status status, const shardio_error *error)
{
    char text[400];
    (void)context, (void)found;
    if (status != SHARDIO_OK) fprintf(stderr, "    %s: %s\n", key, shardio_error_text(error, text, sizeof text));
}

/* Each shard, or file, is the old or the new one. Where shards are appended to and nothing worked any more, not even cutting
   off what was begun (`torn`), one may be neither: but then the old one is the beginning of it. */
static void check_old_or_new(const files *f, const picture *after, const shardio_store *store, shardio_array *own, bool torn)
{
    shardio_array_facts facts;
    shardio_error e;
    shardio_array *a = own != NULL ? own : shardio_array_open_in(store, NULL, &e);
    if (!CHECK(shardio_array_describe(a, &facts) == SHARDIO_OK)) return;
    bool is_old = memcmp(facts.shape, f->p.shape, 16) == 0, is_new = memcmp(facts.shape, after->shape, 16) == 0;
    CHECK(is_old || is_new);
    for (uint64_t y = 0; y < facts.shape[0]; y += 4) {
        for (uint64_t x = 0; x < facts.shape[1]; x += 4) {
            uint64_t h = facts.shape[0] - y < 4 ? facts.shape[0] - y : 4, w = facts.shape[1] - x < 4 ? facts.shape[1] - x : 4;
            int old = box_is(&f->p, a, y, x, h, w, &e), fresh = box_is(after, a, y, x, h, w, &e);
            if (old == 1 || fresh == 1) continue;
            char key[40], text[400];
            size_t size, i = 0;
            snprintf(key, sizeof key, "c/%d/%d", (int)(y / 4), (int)(x / 4));
            uint8_t *now = store_get(store, key, &size);
            while (i < f->count && strcmp(f->file[i].key, key) != 0) i++;
            bool recoverable = torn && old < 0 && i < f->count && now != NULL && size > f->file[i].size;
            if (recoverable && !f->p.o.index_at_start) recoverable = memcmp(now, f->file[i].data, f->file[i].size) == 0;
            if (!CHECK(recoverable)) fprintf(stderr, "    %s: old %d new %d: %s\n", key, old, fresh, old < 0 ? shardio_error_text(&e, text, sizeof text) : "");
            free(now);
        }
    }
    if (own == NULL) shardio_array_close(a);
}

/* Files that a write has no business with are what they were, byte for byte. */
static void check_untouched(const files *f, const shardio_store *store, int deed)
{
    for (size_t i = 0; i < f->count; i++) {
        const char *key = f->file[i].key;
        bool touched = deed > WRITE_FILL || (strncmp(key, "c/", 2) == 0 && key[4] < '3' && key[4] != '2' + (deed == WRITE_FILL));
        size_t size = 0;
        if (deed <= WRITE_FILL && key[0] == 'c') touched = key[4] <= '1';
        if (touched) continue;
        uint8_t *now = store_get(store, key, &size);
        CHECK_U64(size, f->file[i].size);
        if (now != NULL && size == f->file[i].size) CHECK_BYTES(now, f->file[i].data, size);
        free(now);
    }
}

/* Shards that are torn are recovered: then each is the old or the new one, and what was to be done can be done. */
static void check_repair(const files *f, picture *p, const shardio_store *store, shardio_array *a, int deed)
{
    shardio_error e;
    CHECK_OK(shardio_array_recover(a, true, say_recovered, NULL, &e));
    check_old_or_new(f, p, store, a, false);
    CHECK_OK(do_deed(deed, p, a, &e));
    check_picture(p, store);
}

typedef enum moment { ONCE, LATE, FOREVER, MOMENTS } moment;

/* Operation number `n` of a deed fails. False: the deed has fewer. */
static bool fail_one(const files *f, const kind *k, int deed, moment way, uint64_t n)
{
    static disk d;
    shardio_store store = disk_begin(&d);
    picture p = f->p;
    shardio_error e;
    counter c;
    char text[600];
    int before = test_failures;
    d.alignment = k->alignment;
    p.o.allocator = counter_begin(&c);
    files_put(f, &store);
    disk_settle(&d);
    shardio_array *a = shardio_array_update_in(&store, &p.o, &e);
    CHECK_OK(e.status);
    disk_calm(&d);
    d.fail_at = n;
    d.late = way == LATE;
    d.forever = way == FOREVER;
    d.status = n % 3 == 0 ? SHARDIO_ERR_NO_SPACE : SHARDIO_ERR_IO;
    shardio_status wanted = d.status, s = do_deed(deed, &p, a, &e);
    uint64_t failed = d.failed;
    disk_call call = d.failed_call;
    char key[140];
    memcpy(key, d.failed_key, sizeof key);
    disk_calm(&d);
    CHECK_STATUS(e.status, s);
    if (failed == 0) CHECK_OK(s);
    if (s != SHARDIO_OK) {
        CHECK_STATUS(s, wanted);
        shardio_error_text(&e, text, sizeof text);
        CHECK(e.operation != NULL && (way == FOREVER || strstr(text, key) != NULL));
    } else {
        check_picture(&p, &store);
    }
    check_old_or_new(f, &p, &store, NULL, way == FOREVER && !k->rewrite && k->sharded);
    if (way != FOREVER && test_failures == before) {               /* the handle goes on */
        check_old_or_new(f, &p, &store, a, false);
        check_untouched(f, &store, deed);
        CHECK_OK(do_deed(deed, &p, a, &e));
        check_picture(&p, &store);
    } else if (test_failures == before) {                          /* and is repaired through it */
        check_repair(f, &p, &store, a, deed);
    }
    shardio_array_close(a);
    CHECK_U64(c.live, 0);
    disk_end(&d);
    if (test_failures != before)
        fprintf(stderr, "    %s, %s, %s: call %d of operation %d on %s, %s\n", k->name, deed_names[deed], way == ONCE ? "once" : way == LATE ? "late" : "forever",
                (int)call, (int)n, key, shardio_status_name(s));
    return failed > 0;
}

TEST(every_operation_fails)
{
    uint64_t injected = 0, seed = 0;
    for (int k = 0; k < KINDS; k++) {
        files f;
        files_begin(&f, &kinds[k]);
        for (int deed = 0; deed < DEEDS; deed++)
            for (int w = 0; w < MOMENTS && test_failures == 0; w++)
                for (uint64_t n = 1 + test_first(seed++); test_failures == 0 && fail_one(&f, &kinds[k], deed, (moment)w, n); n = test_next(n))
                    injected++;
        files_end(&f);
    }
    CHECK(injected > 30 * test_effort() || test_effort() > 100);
}

/* ---- the power goes */

static bool crash_one(const files *f, const kind *k, int deed, uint64_t n, uint64_t seed)
{
    static disk d;
    shardio_store store = disk_begin(&d);
    picture p = f->p;
    shardio_error e;
    int before = test_failures;
    d.alignment = k->alignment;
    files_put(f, &store);
    disk_settle(&d);
    shardio_array *a = shardio_array_update_in(&store, &p.o, &e);
    disk_calm(&d);
    d.fail_at = n;
    d.forever = true;
    shardio_status s = do_deed(deed, &p, a, &e);
    bool failed = d.failed > 0;
    shardio_array_close(a);
    disk_calm(&d);
    disk_crash(&d, seed ? seed * 1000 + n : 0);
    if (s == SHARDIO_OK && k->durable) check_picture(&p, &store);
    else check_old_or_new(f, &p, &store, NULL, !k->rewrite && k->sharded);
    a = shardio_array_update_in(&store, &p.o, &e);
    if (test_failures == before) check_repair(f, &p, &store, a, deed);
    shardio_array_close(a);
    disk_end(&d);
    if (test_failures != before) fprintf(stderr, "    %s, %s: power went at operation %d, seed %d\n", k->name, deed_names[deed], (int)n, (int)seed);
    return failed;
}

TEST(the_power_goes)
{
    for (int k = 0; k < KINDS; k++) {
        files f;
        if (!kinds[k].durable) continue;
        files_begin(&f, &kinds[k]);
        for (int deed = 0; deed < DEEDS; deed++) {
            bool more = true;
            for (uint64_t n = 1; more && test_failures == 0; n = test_next(n))
                for (uint64_t seed = 0; seed < 3 && test_failures == 0; seed++) more = crash_one(&f, &kinds[k], deed, n, seed) && more;
        }
        files_end(&f);
    }
}

/* ---- one shard of large chunks: what is written takes several writes */

typedef struct strip {
    shardio_array_options o;
    uint64_t chunks, bytes;          /* of the array; elements of a chunk, one byte each */
    uint8_t *data;
} strip;

static void strip_begin(strip *t, uint64_t chunks, uint64_t bytes, uint64_t per_shard)
{
    memset(t, 0, sizeof *t);
    t->chunks = chunks;
    t->bytes = bytes;
    t->o.ndim = 1;
    t->o.dtype = SHARDIO_UINT8;
    t->o.shape[0] = chunks * bytes;
    t->o.chunk[0] = bytes;
    t->o.shard[0] = per_shard * bytes;
    t->o.direct = SHARDIO_DIRECT_OFF;
    t->o.buffer_size = 4096;
    t->data = (uint8_t *)calloc((size_t)(chunks * bytes), 1);
}

/* Writes chunks first to first + count - 1 with bytes that depend on the seed, and notes it. */
static shardio_status strip_write(strip *t, shardio_array *a, uint64_t first, uint64_t count, uint64_t seed, shardio_error *e)
{
    uint64_t start = first * t->bytes, n = count * t->bytes;
    for (uint64_t i = 0; i < n; i++) t->data[start + i] = (uint8_t)(1 + test_mix(seed * 7919 + i / 8) % 255);
    return shardio_array_write(a, &start, &n, t->data + start, (size_t)n, e);
}

static void strip_check(const strip *t, const shardio_store *store)
{
    uint64_t zero = 0, all = t->chunks * t->bytes;
    uint8_t *got = (uint8_t *)malloc((size_t)all + 1);
    shardio_error e;
    shardio_array *a = shardio_array_open_in(store, NULL, &e);
    CHECK_OK(shardio_array_read(a, &zero, &all, got, (size_t)all, &e));
    CHECK_BYTES(got, t->data, (size_t)all);
    shardio_array_close(a);
    free(got);
}

static void strip_end(strip *t)
{
    free(t->data);
}

/* An index that survived points to chunks that survived: whoever finds it finds the new shard. What was written is brought
   to the disk before the index that points to it, when somebody could read it. */
TEST(data_is_there_before_its_index)
{
    for (int way = 0; way < 3; way++) {                     /* changed; appended to; checkpoints of what is appended to */
        bool more = true;
        for (uint64_t n = 1; more && test_failures == 0; n = test_next(n)) {
            for (uint64_t seed = 1; seed < 12 && test_failures == 0; seed++) {
                static disk d;
                shardio_store store = disk_begin(&d);
                strip t;
                shardio_error e;
                uint8_t got[8 * 4096], old[8 * 4096];
                uint64_t zero = 0, all = sizeof got;
                strip_begin(&t, 8, 4096, 8);
                t.o.dead_percent = 100;
                t.o.shape[0] = way == 0 ? 8 * 4096 : 3 * 4096;
                CHECK_OK(shardio_array_define_in(&store, &t.o, &e));
                shardio_array *a = shardio_array_update_in(&store, &t.o, &e);
                CHECK_OK(strip_write(&t, a, 0, way == 0 ? 8 : 3, 1, &e));
                shardio_array_close(a);
                disk_settle(&d);
                disk_calm(&d);
                memcpy(old, t.data, sizeof old);
                d.fail_at = n;
                d.forever = true;
                if (way == 0) {
                    a = shardio_array_update_in(&store, &t.o, &e);
                    (void)strip_write(&t, a, 1, 5, 2, &e);
                    shardio_array_close(a);
                } else {
                    t.o.memory = 1;
                    a = shardio_array_continue_in(&store, &t.o);
                    memset(t.data + 3 * 4096, 9, 5 * 4096);
                    (void)shardio_array_append(a, t.data + 3 * 4096, 2 * 4096);
                    if (way == 2) (void)shardio_array_checkpoint(a);
                    (void)shardio_array_append(a, t.data + 5 * 4096, 3 * 4096);
                    (void)shardio_array_finish(a, NULL);
                }
                more = d.failed > 0 && (more || seed > 1);
                disk_calm(&d);
                disk_crash(&d, seed * 1000 + n);
                a = shardio_array_open_in(&store, NULL, &e);
                shardio_array_facts f;
                CHECK_OK(shardio_array_describe(a, &f));
                all = f.shape[0];
                if (CHECK(all <= sizeof got) && shardio_array_read(a, &zero, &all, got, sizeof got, &e) == SHARDIO_OK)
                    CHECK(memcmp(got, old, (size_t)all) == 0 || memcmp(got, t.data, (size_t)all) == 0);
                shardio_array_close(a);
                if (test_failures) fprintf(stderr, "    way %d, power went at operation %d, seed %d\n", way, (int)n, (int)seed);
                disk_end(&d);
                strip_end(&t);
            }
        }
    }
}

/* An index without a checksum cannot be told from anything else: a torn shard must not come to be. */
TEST(without_a_checksum_nothing_is_torn)
{
    for (int at_start = 0; at_start < 2; at_start++) {
        bool more = true;
        for (uint64_t n = 1; more && test_failures == 0; n = test_next(n)) {
            for (uint64_t seed = 0; seed < 6 && test_failures == 0; seed++) {
                static disk d;
                shardio_store store = disk_begin(&d);
                strip t;
                shardio_error e;
                uint8_t got[8 * 4096], old[8 * 4096];
                uint64_t zero = 0, all = sizeof got, start = 4096, count = 5 * 4096;
                strip_begin(&t, 8, 4096, 8);
                t.o.dead_percent = 100;
                t.o.index_no_checksum = true;
                t.o.index_at_start = at_start != 0;
                CHECK_OK(shardio_array_define_in(&store, &t.o, &e));
                shardio_array *a = shardio_array_update_in(&store, &t.o, &e);
                CHECK_OK(strip_write(&t, a, 0, 8, 1, &e));
                memcpy(old, t.data, sizeof old);
                memset(t.data + start, 0xFF, (size_t)count);   /* looks like entries of chunks that are missing */
                disk_settle(&d);
                disk_calm(&d);
                d.fail_at = n;
                d.forever = true;
                (void)shardio_array_write(a, &start, &count, t.data + start, (size_t)count, &e);
                shardio_array_close(a);
                more = d.failed > 0 && (more || seed > 0);
                disk_calm(&d);
                disk_crash(&d, seed ? seed * 1000 + n : 0);
                a = shardio_array_open_in(&store, NULL, &e);
                if (shardio_array_read(a, &zero, &all, got, sizeof got, &e) == SHARDIO_OK)
                    CHECK(memcmp(got, old, sizeof got) == 0 || memcmp(got, t.data, sizeof got) == 0);
                else CHECK_OK(e.status);
                shardio_array_close(a);
                if (test_failures) fprintf(stderr, "    index at the start %d, power went at operation %d, seed %d\n", at_start, (int)n, (int)seed);
                disk_end(&d);
                strip_end(&t);
            }
        }
    }
}

/* ---- no memory */

TEST(every_allocation_fails)
{
    for (int k = 0; k < KINDS; k++) {
        files f;
        uint64_t failures = 0;
        files_begin(&f, &kinds[k]);
        for (int deed = 0; deed < DEEDS; deed++) {
            for (uint64_t n = 1;; n = test_next(n)) {
                static disk d;
                shardio_store store = disk_begin(&d);
                picture p = f.p;
                shardio_error e;
                counter c;
                d.alignment = kinds[k].alignment;
                p.o.allocator = counter_begin(&c);
                files_put(&f, &store);
                shardio_array *a = shardio_array_update_in(&store, &p.o, &e);
                c.fail_at = c.calls + n;
                shardio_status s = do_deed(deed, &p, a, &e);
                bool failed = c.calls >= c.fail_at;
                c.fail_at = 0;
                CHECK_STATUS(e.status, s);
                if (failed) CHECK_STATUS(s, SHARDIO_ERR_MEMORY);
                if (s != SHARDIO_OK) CHECK(e.operation != NULL && e.subject[0] != 0);
                check_old_or_new(&f, &p, &store, a, false);
                CHECK_OK(do_deed(deed, &p, a, &e));
                check_picture(&p, &store);
                shardio_array_close(a);
                CHECK_U64(c.live, 0);
                disk_end(&d);
                failures += failed;
                if (test_failures) fprintf(stderr, "    %s, %s: allocation %d\n", kinds[k].name, deed_names[deed], (int)n);
                if (!failed || test_failures) break;
            }
        }
        CHECK(failures >= test_rounds(11));
        files_end(&f);
        if (test_failures) return;
    }
}

/* Opening to change and defining, too. */
TEST(every_allocation_of_opening_fails)
{
    for (int k = 0; k < KINDS; k++) {
        files f;
        files_begin(&f, &kinds[k]);
        for (int defining = 0; defining < 2; defining++) {
            for (uint64_t n = 1;; n = test_next(n)) {
                static disk d;
                shardio_store store = disk_begin(&d);
                picture p = f.p;
                shardio_error e;
                counter c;
                p.o.allocator = counter_begin(&c);
                if (!defining) files_put(&f, &store);
                c.fail_at = n;
                shardio_status s = SHARDIO_OK;
                if (defining) {
                    p.o.path = "some/where";
                    s = shardio_array_define_in(&store, &p.o, &e);
                } else {
                    shardio_array *a = shardio_array_update_in(&store, &p.o, &e);
                    s = e.status;
                    if (s != SHARDIO_OK) CHECK_STATUS(shardio_array_write(a, p.shape, p.shape, NULL, 0, NULL), s);
                    shardio_array_close(a);
                }
                bool failed = c.calls >= n;
                if (failed && n < c.calls + 1 && s == SHARDIO_OK) CHECK_STATUS(s, SHARDIO_ERR_MEMORY);
                if (!failed) CHECK_OK(s);
                CHECK_STATUS(e.status, s);
                CHECK_U64(c.live, 0);
                disk_end(&d);
                if (test_failures) fprintf(stderr, "    %s, %s: allocation %d\n", kinds[k].name, defining ? "define" : "open", (int)n);
                if (!failed || test_failures) break;
            }
        }
        files_end(&f);
    }
}

/* ---- dead bytes */

static shardio_status add_sizes(void *context, const char *key, const uint64_t *position, uint64_t size, shardio_shard_reader *reader,
                                const shardio_error *fault)
{
    shardio_shard_summary *sum = (shardio_shard_summary *)context, one;
    (void)key, (void)position, (void)size;
    CHECK(fault == NULL);
    CHECK_OK(shardio_shard_verify(reader, &one, say_finding, NULL, NULL));
    sum->file_bytes += one.file_bytes;
    sum->dead_bytes += one.dead_bytes;
    sum->live_bytes += one.live_bytes;
    sum->present += one.present;
    return SHARDIO_OK;
}

static shardio_shard_summary sizes_of(shardio_array *a)
{
    shardio_shard_summary sum;
    memset(&sum, 0, sizeof sum);
    CHECK_OK(shardio_array_each_shard(a, add_sizes, &sum, NULL));
    return sum;
}

/* A shard is rewritten when more of it than the option says would be dead: not earlier, not later, and counted. */
TEST(rewritten_exactly_when_stated)
{
    static const uint32_t percents[] = {0, 1, 10, 33, 50, 67, 90, 99, 100, 200};
    static const uint64_t lengths[] = {1, 8, 100, 4096};
    for (int k = 0; k < 80 && test_failures == 0; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_error e;
        strip t;
        uint64_t r = (uint64_t)k, per = 1 + test_random(&r) % 12, size = 0, present = 0, rewrites = 0;
        bool there[12] = {false};
        strip_begin(&t, per, lengths[k % 4], per);
        uint32_t percent = percents[k % 10];
        uint64_t most = percent ? percent : 50, index = 16 * per + 4;
        t.o.dead_percent = percent;
        t.o.index_at_start = k % 3 == 0;
        t.o.durability = SHARDIO_DURABLE_NONE;
        CHECK_OK(shardio_array_define_in(&store, &t.o, &e));
        shardio_array *a = shardio_array_update_in(&store, &t.o, &e);
        for (int step = 0; step < 40 && test_failures == 0; step++) {
            uint64_t first = test_random(&r) % per, count = 1 + test_random(&r) % (per - first), replaced = 0;
            for (uint64_t i = first; i < first + count; i++) replaced += there[i];
            uint64_t after = size + count * t.bytes + index, dead = size - (size ? present * t.bytes : 0) + replaced * t.bytes;
            bool anew = size == 0 || (most < 100 && dead * 100 > most * after);
            present += count - replaced;
            for (uint64_t i = first; i < first + count; i++) there[i] = true;
            rewrites += anew && size > 0;
            disk_calm(&d);
            CHECK_OK(strip_write(&t, a, first, count, (uint64_t)step + 5, &e));
            CHECK_U64(d.shard_calls[DISK_CREATE], anew);
            size = anew ? present * t.bytes + index : after;
            shardio_shard_summary sum = sizes_of(a);
            CHECK_U64(sum.file_bytes, size);
            CHECK_U64(sum.dead_bytes, size - present * t.bytes - index);
            CHECK_U64(sum.present, present);
            if (test_failures) fprintf(stderr, "    %d: step %d, %d chunks of %d, percent %d: dead %d of %d\n", k, step, (int)per, (int)t.bytes, (int)percent, (int)dead, (int)after);
        }
        if (most >= 100) CHECK_U64(rewrites, 0);
        strip_check(&t, &store);
        CHECK_OK(shardio_array_compact(a, NULL, NULL, &e));
        CHECK_U64(sizes_of(a).dead_bytes, 0);
        disk_calm(&d);
        CHECK_OK(shardio_array_compact(a, NULL, NULL, &e));       /* there is nothing to do */
        CHECK_U64(d.calls[DISK_CREATE] + d.calls[DISK_WRITE], 0);
        strip_check(&t, &store);
        shardio_array_close(a);
        disk_end(&d);
        strip_end(&t);
    }
}

TEST(rewriting_leaves_no_dead_bytes)
{
    for (int k = 0; k < 4; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_error e;
        strip t;
        uint64_t r = 3;
        strip_begin(&t, 24, 50, 8);
        t.o.update = SHARDIO_UPDATE_REWRITE;
        t.o.dead_percent = k & 1 ? 100 : 0;
        t.o.index_at_start = (k & 2) != 0;
        CHECK_OK(shardio_array_define_in(&store, &t.o, &e));
        shardio_array *a = shardio_array_update_in(&store, &t.o, &e);
        for (int step = 0; step < 30; step++) {
            uint64_t first = test_random(&r) % 24;
            CHECK_OK(strip_write(&t, a, first, 1 + test_random(&r) % (24 - first), (uint64_t)step, &e));
            CHECK_U64(sizes_of(a).dead_bytes, 0);
        }
        CHECK_U64(d.shard_calls[DISK_RESIZE], 0);
        strip_check(&t, &store);
        shardio_array_close(a);
        disk_end(&d);
        strip_end(&t);
    }
}

/* A trim touches the edge only, and counts only that as dead. */
TEST(a_trim_rewrites_when_stated)
{
    for (uint32_t percent = 1; percent <= 100; percent += 9) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_error e;
        strip t;
        uint64_t shape = 95 * 64 - 5;                       /* of 100 chunks: 95 stay, the last of them is cut */
        strip_begin(&t, 100, 64, 100);
        t.o.dead_percent = percent;
        CHECK_OK(shardio_array_define_in(&store, &t.o, &e));
        shardio_array *a = shardio_array_update_in(&store, &t.o, &e);
        CHECK_OK(strip_write(&t, a, 0, 100, 1, &e));
        disk_calm(&d);
        CHECK_OK(shardio_array_resize(a, &shape, false, &e));
        uint64_t index = 1604, size = 6400 + index, after = size + 64 + index, dead = index + 6 * 64;
        bool anew = percent < 100 && dead * 100 > percent * after;
        CHECK_U64(d.shard_calls[DISK_CREATE], anew);
        CHECK_U64(sizes_of(a).dead_bytes, anew ? 0 : dead);
        CHECK_U64(sizes_of(a).present, 95);
        shardio_array_close(a);
        disk_end(&d);
        strip_end(&t);
        if (test_failures) { fprintf(stderr, "    %d percent\n", (int)percent); return; }
    }
}

/* ---- fill values */

TEST(fill_values_are_left_out)
{
    for (int k = 0; k < 12; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_error e;
        strip t;
        bool skip = (k & 1) != 0, rewrite = (k & 2) != 0;
        key_list keys;
        strip_begin(&t, 12, 16, k < 8 ? 4 : 0);
        t.o.skip_fill = skip;
        t.o.update = rewrite ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
        t.o.dead_percent = 100;
        if (k & 4) t.o.codecs[0] = shardio_codec_crc32c();
        CHECK_OK(shardio_array_define_in(&store, &t.o, &e));
        shardio_array *a = shardio_array_update_in(&store, &t.o, &e);
        uint64_t start = 0, count = 12 * 16;
        CHECK_OK(shardio_array_write(a, &start, &count, NULL, 0, &e));
        CHECK_OK(store_keys(&store, "", &keys));
        CHECK_U64(keys.shards, skip ? 0 : k < 8 ? 3 : 12);
        CHECK_OK(strip_write(&t, a, 3, 6, 1, &e));
        CHECK_OK(store_keys(&store, "", &keys));
        CHECK_U64(keys.shards, skip ? k < 8 ? 3 : 6 : k < 8 ? 3 : 12);
        if (k < 8) CHECK_U64(sizes_of(a).present, skip ? 6 : 12);
        memset(t.data + 5 * 16, 0, 3 * 16);                  /* three chunks again, from memory this time */
        start = 5 * 16;
        count = 3 * 16;
        CHECK_OK(shardio_array_write(a, &start, &count, t.data + 5 * 16, 3 * 16, &e));
        if (k < 8) CHECK_U64(sizes_of(a).present, skip ? 3 : 12);
        start = 3 * 16 + 1;                                   /* all but one element of a chunk, and what is left of the others */
        count = 9 * 16 - 1;
        memset(t.data + start, 0, (size_t)count);
        CHECK_OK(shardio_array_write(a, &start, &count, NULL, 0, &e));
        CHECK_OK(store_keys(&store, "", &keys));
        CHECK_U64(keys.shards, skip ? 1 : k < 8 ? 3 : 12);
        strip_check(&t, &store);
        start = 3 * 16;
        count = 1;
        t.data[start] = 0;
        CHECK_OK(shardio_array_write(a, &start, &count, NULL, 0, &e));
        CHECK_OK(store_keys(&store, "", &keys));
        CHECK_U64(keys.shards, skip ? 0 : k < 8 ? 3 : 12);
        disk_calm(&d);
        if (skip) CHECK_OK(shardio_array_write(a, &start, &count, NULL, 0, &e));       /* there is nothing to do */
        CHECK_U64(d.calls[DISK_CREATE] + d.calls[DISK_WRITE], 0);
        strip_check(&t, &store);
        shardio_array_close(a);
        disk_end(&d);
        strip_end(&t);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* ---- shapes */

/* What an element of row y is in the tests of edges. */
static uint8_t mark(uint64_t y, uint64_t x) { return (uint8_t)(1 + (y * 16 + x) % 250); }

TEST(edges_are_kept_or_cleared)
{
    for (int k = 0; k < 16; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_array_options o;
        shardio_error e;
        bool sharded = (k & 1) != 0, keep = (k & 2) != 0, transposed = (k & 4) != 0, skip = (k & 8) != 0;
        static const uint8_t swap[2] = {1, 0};
        uint64_t zero[2] = {0, 0}, large[2] = {12, 13}, small[2] = {5, 6};
        uint8_t all[12 * 13], got[12 * 13];
        memset(&o, 0, sizeof o);
        o.ndim = 2;
        o.dtype = SHARDIO_UINT8;
        memcpy(o.shape, large, sizeof large);
        o.chunk[0] = 2;
        o.chunk[1] = 4;
        o.shard[0] = sharded ? 8 : 0;
        o.shard[1] = sharded ? 8 : 0;
        o.transpose = transposed ? swap : NULL;
        o.skip_fill = skip;
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        for (uint64_t i = 0; i < 12 * 13; i++) all[i] = mark(i / 13, i % 13);
        CHECK_OK(shardio_array_write(a, zero, large, all, sizeof all, &e));
        CHECK_OK(shardio_array_resize(a, small, keep, &e));
        CHECK_OK(shardio_array_verify(a, say_finding, NULL, NULL, NULL, &e));        /* nothing outside the shape is left */
        if (sharded) CHECK_U64(sizes_of(a).present, 3 * 2);
        CHECK_OK(shardio_array_read(a, zero, small, got, 30, &e));
        for (uint64_t i = 0; i < 30; i++) CHECK_U64(got[i], mark(i / 6, i % 6));
        CHECK_OK(shardio_array_resize(a, large, keep, &e));
        CHECK_OK(shardio_array_read(a, zero, large, got, sizeof got, &e));
        for (uint64_t i = 0; i < 12 * 13 && test_failures == 0; i++) {
            bool inside = i / 13 < 5 && i % 13 < 6, edge = i / 13 < 6 && i % 13 < 8;   /* of the chunks that stayed */
            CHECK_U64(got[i], inside || (keep && edge) ? mark(i / 13, i % 13) : 0);
        }
        shardio_array_close(a);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* An array grows until its keys are longer than they were when it was opened. */
TEST(keys_grow)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_error e;
    uint64_t at[8], one[8], shape[8];
    memset(&o, 0, sizeof o);
    o.ndim = 8;
    o.dtype = SHARDIO_UINT8;
    o.key_separator = '.';
    for (int i = 0; i < 8; i++) {
        o.shape[i] = o.chunk[i] = one[i] = 1;
        at[i] = i < 2 ? 9 : i < 4 ? 10 : 100;
        shape[i] = 101;
    }
    CHECK_OK(shardio_array_define_in(&store, &o, &e));
    shardio_array *a = shardio_array_update_in(&store, &o, &e);
    CHECK_OK(shardio_array_resize(a, shape, false, &e));
    for (int i = 0; i < 8; i++) {                           /* every other digit of the last position */
        at[7] = 100;
        at[i] = 99;
        uint8_t value = (uint8_t)(i + 1);
        CHECK_OK(shardio_array_write(a, at, one, &value, 1, &e));
    }
    at[7] = 9;
    uint8_t got = 77;
    CHECK_OK(shardio_array_read(a, at, one, &got, 1, &e));
    CHECK_U64(got, 0);
    at[7] = 99;
    CHECK_OK(shardio_array_read(a, at, one, &got, 1, &e));
    CHECK_U64(got, 8);
    CHECK_OK(shardio_array_verify(a, say_finding, NULL, NULL, NULL, &e));
    key_list keys;
    CHECK_OK(store_keys(&store, "", &keys));
    CHECK_U64(keys.shards, 8);
    CHECK(key_listed(&keys, "c.99.99.99.99.99.99.99.99"));
    shardio_array_close(a);
    shardio_store_memory_free(&memory);
}

/* Files outside the shape, left by somebody else: a verification says so, nothing else is disturbed by them. */
TEST(files_outside_the_shape)
{
    for (int k = 0; k < 4; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        uint64_t zero[2] = {0, 0}, shape[2] = {4, 6};
        uint8_t all[24], got[24];
        size_t size, other_size;
        memset(&o, 0, sizeof o);
        o.ndim = 2;
        o.dtype = SHARDIO_UINT8;
        memcpy(o.shape, shape, sizeof shape);
        o.chunk[0] = o.chunk[1] = 1;
        o.shard[0] = o.shard[1] = 2;
        o.dead_percent = 100;
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        for (uint8_t i = 0; i < 24; i++) all[i] = (uint8_t)(i + 1);
        if (k & 1) CHECK_OK(shardio_array_write(a, zero, shape, NULL, 0, &e));      /* dead bytes */
        CHECK_OK(shardio_array_write(a, zero, shape, all, 24, &e));
        shardio_array_close(a);
        uint8_t *shard = store_get(&store, "c/0/0", &size), *other = store_get(&store, "c/1/2", &other_size);
        if (k & 2) CHECK_OK(store_put(&store, "c/0/5", shard, size));               /* before or behind in the list */
        CHECK_OK(store_put(&store, "c/1/2", other, other_size));
        if (!(k & 2)) CHECK_OK(store_put(&store, "c/0/5", shard, size));
        a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_compact(a, NULL, NULL, &e));
        CHECK_OK(shardio_array_read(a, zero, shape, got, 24, &e));
        CHECK_BYTES(got, all, 24);
        shardio_array_close(a);
        a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_read(a, zero, shape, got, 24, &e));
        CHECK_BYTES(got, all, 24);
        shape[0] = 3;
        CHECK_OK(shardio_array_resize(a, shape, false, &e));                         /* and a smaller shape removes them */
        CHECK_OK(shardio_array_verify(a, say_finding, NULL, NULL, NULL, &e));
        shardio_array_close(a);
        free(shard);
        free(other);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* No dimensions, extents of zero, 32 dimensions. */
TEST(unusual_shapes)
{
    for (int k = 0; k < 4; k++) {                           /* one element */
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        uint32_t value = 5, got = 0;
        key_list keys;
        memset(&o, 0, sizeof o);
        o.dtype = SHARDIO_UINT32;
        o.fill_value = &value;
        o.skip_fill = true;
        o.key_v2 = (k & 1) != 0;
        if (k & 2)
            o.codec_list = "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[],\"codecs\":[{\"name\":\"bytes\",\"configuration\":"
                           "{\"endian\":\"big\"}}],\"index_codecs\":[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}},\"crc32c\"]}}]";
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_read(a, NULL, NULL, &got, 4, &e));
        CHECK_U64(got, 5);
        value = 6;
        CHECK_STATUS(shardio_array_write(a, NULL, NULL, &value, 3, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_OK(shardio_array_write(a, NULL, NULL, &value, 4, &e));
        CHECK_OK(shardio_array_read_strided(a, NULL, NULL, &got, NULL, &e));
        CHECK_U64(got, 6);
        CHECK_OK(store_keys(&store, "", &keys));
        CHECK(key_listed(&keys, k & 1 ? "0" : "c"));
        CHECK_OK(shardio_array_resize(a, NULL, false, &e));
        CHECK_OK(shardio_array_compact(a, NULL, NULL, &e));
        CHECK_OK(shardio_array_verify(a, say_finding, NULL, NULL, NULL, &e));
        CHECK_OK(shardio_array_write_strided(a, NULL, NULL, NULL, NULL, &e));
        CHECK_OK(store_keys(&store, "", &keys));
        CHECK_U64(keys.shards, 0);
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
    }
    for (int k = 0; k < 3; k++) {                           /* nothing at all, then something */
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        uint64_t zero[2] = {0, 0}, shape[2] = {3, 0}, count[2] = {3, 2};
        uint8_t got[6];
        memset(&o, 0, sizeof o);
        o.ndim = 2;
        o.dtype = SHARDIO_UINT8;
        o.shape[0] = k == 1 ? 0 : 3;
        o.shape[1] = k == 2 ? 4 : 0;
        o.chunk[0] = o.chunk[1] = 2;
        o.shard[0] = o.shard[1] = k ? 4 : 0;
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        if (k == 2) CHECK_OK(shardio_array_resize(a, shape, false, &e));
        CHECK_OK(shardio_array_write(a, zero, zero, NULL, 0, &e));
        CHECK_OK(shardio_array_write(a, zero, zero, got, 0, &e));
        CHECK_STATUS(shardio_array_write(a, zero, count, "abcdef", 6, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_OK(shardio_array_verify(a, say_finding, NULL, NULL, NULL, &e));
        shape[1] = 2;
        CHECK_OK(shardio_array_resize(a, shape, false, &e));
        CHECK_OK(shardio_array_write(a, zero, count, "abcdef", 6, &e));
        CHECK_OK(shardio_array_read(a, zero, count, got, 6, &e));
        CHECK_BYTES(got, "abcdef", 6);
        shape[0] = 0;
        CHECK_OK(shardio_array_resize(a, shape, false, &e));
        key_list keys;
        CHECK_OK(store_keys(&store, "", &keys));
        CHECK_U64(keys.shards, 0);
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
    }
    for (int k = 0; k < 2; k++) {                           /* all dimensions that there can be */
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        uint64_t start[32], count[32], all[32], zero[32] = {0};
        uint8_t numbers[1024], part[64], got[1024], order[32];
        memset(&o, 0, sizeof o);
        o.ndim = 32;
        o.dtype = SHARDIO_UINT8;
        for (int i = 0; i < 32; i++) {
            bool long_one = i % 6 == 0 && i < 30;            /* 5 of them: 4 elements each, 1024 in all */
            o.shape[i] = all[i] = long_one ? 4 : 1;
            o.chunk[i] = long_one ? 2 : 1;
            o.shard[i] = k ? o.chunk[i] * (i == 6 ? 2 : 1) : 0;
            start[i] = long_one ? 1 : 0;
            count[i] = long_one ? 2 : 1;
            order[i] = (uint8_t)(31 - i);
        }
        o.transpose = order;
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        for (int i = 0; i < 1024; i++) numbers[i] = (uint8_t)test_mix((uint64_t)i);
        CHECK_OK(shardio_array_write(a, zero, all, numbers, 1024, &e));
        memset(part, 0xEE, sizeof part);
        CHECK_OK(shardio_array_write(a, start, count, part, 32, &e));
        CHECK_OK(shardio_array_read(a, zero, all, got, 1024, &e));
        for (int i = 0; i < 1024; i++) {
            bool inside = true;
            for (int s = 0; s < 10; s += 2) inside = inside && (i >> s & 3) % 3 != 0;
            CHECK_U64(got[i], inside ? 0xEE : numbers[i]);
        }
        CHECK_OK(shardio_array_verify(a, say_finding, NULL, NULL, NULL, &e));
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
    }
}

/* ---- wrong calls */

TEST(wrong_calls_change_nothing)
{
    for (int k = 0; k < KINDS; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        files f;
        shardio_error e;
        uint16_t box[SIDE * SIDE] = {0};
        static const struct { uint64_t start[2], count[2]; } outside[] = {
            {{0, 0}, {13, 1}}, {{0, 0}, {1, 12}}, {{12, 0}, {1, 1}}, {{11, 11}, {1, 1}}, {{13, 0}, {0, 1}}, {{UINT64_MAX, 0}, {2, 1}},
            {{1, 0}, {UINT64_MAX, 1}}, {{0, 0}, {UINT64_MAX, UINT64_MAX}}, {{0, 12}, {1, 0}},
        };
        static const uint64_t zero[2] = {0, 0}, some[2] = {5, 5}, endless[2] = {UINT64_MAX, 2}, vast[2] = {UINT64_C(1) << 63, 1};
        const ptrdiff_t steps[2] = {10, 2};
        files_begin(&f, &kinds[k]);
        files_put(&f, &store);
        shardio_array *a = shardio_array_update_in(&store, &f.p.o, &e);
        disk_calm(&d);
        for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
            CHECK_STATUS(shardio_array_write(a, outside[i].start, outside[i].count, box, sizeof box, &e), SHARDIO_ERR_ARGUMENT);
            CHECK_STATUS(e.status, SHARDIO_ERR_ARGUMENT);
            CHECK_STATUS(shardio_array_write_strided(a, outside[i].start, outside[i].count, box, steps, &e), SHARDIO_ERR_ARGUMENT);
            CHECK_STATUS(shardio_array_write(a, outside[i].start, outside[i].count, NULL, 0, NULL), SHARDIO_ERR_ARGUMENT);
        }
        CHECK_STATUS(shardio_array_write(a, zero, some, box, 49, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_array_write(a, NULL, some, box, 50, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_array_write(a, zero, NULL, box, 50, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_array_write_strided(a, zero, some, box, NULL, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_array_resize(a, NULL, false, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_array_resize(a, endless, false, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_array_resize(a, vast, false, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_OK(shardio_array_write(a, f.p.shape, zero, box, 0, &e));               /* nothing, at the very end */
        CHECK_STATUS(shardio_array_append(a, box, 1), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_array_checkpoint(a), SHARDIO_ERR_STATE);
        CHECK_U64(d.calls[DISK_CREATE] + d.calls[DISK_WRITE] + d.calls[DISK_REMOVE] + d.calls[DISK_RESIZE], 0);
        check_old_or_new(&f, &f.p, &store, a, false);
        CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_STATE);                 /* ends it all the same */
        a = shardio_array_open_in(&store, &f.p.o, &e);
        CHECK_STATUS(shardio_array_write(a, zero, some, box, 50, &e), SHARDIO_ERR_STATE);
        CHECK_STATUS(e.status, SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_array_write_strided(a, zero, some, box, steps, &e), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_array_resize(a, some, false, &e), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_array_compact(a, NULL, NULL, &e), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_array_recover(a, false, NULL, NULL, &e), SHARDIO_ERR_STATE);
        shardio_array_close(a);
        CHECK_STATUS(shardio_array_write(NULL, zero, some, box, 50, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_array_resize(NULL, some, false, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_array_compact(NULL, NULL, NULL, &e), SHARDIO_ERR_ARGUMENT);
        a = shardio_array_continue_in(&store, &f.p.o);
        CHECK_STATUS(shardio_array_write(a, zero, some, box, 50, &e), SHARDIO_ERR_STATE);
        CHECK_STATUS(shardio_array_resize(a, some, false, &e), SHARDIO_ERR_STATE);
        shardio_array_abort(a);
        check_untouched(&f, &store, WRITE);
        check_picture(&f.p, &store);
        files_end(&f);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    %s\n", kinds[k].name); return; }
    }
}

/* ---- layouts in memory */

TEST(strides_of_any_sign)
{
    for (int k = 0; k < KINDS; k++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        files f;
        shardio_error e;
        static const uint64_t start[2] = {1, 2}, count[2] = {6, 7};
        uint8_t memory[400], seen[400];
        files_begin(&f, &kinds[k]);
        files_put(&f, &store);
        d.alignment = kinds[k].alignment;
        shardio_array *a = shardio_array_update_in(&store, &f.p.o, &e);
        static const struct { ptrdiff_t base, steps[2]; } layouts[] = {
            {1, {14, 2}}, {201, {-30, 3}}, {13, {14, -2}}, {301, {-40, -5}}, {7, {2, 12}}, {1, {0, 2}}, {5, {9, 0}}, {33, {0, 0}}, {20, {-2, 2}},
            {81, {2, -12}}, {9, {1, 1}},
        };
        for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
            const uint8_t *first = memory + layouts[i].base;
            for (size_t n = 0; n < sizeof memory; n++) memory[n] = (uint8_t)test_mix(n + 1000 * i);
            CHECK_OK(shardio_array_write_strided(a, start, count, first, layouts[i].steps, &e));
            for (uint64_t y = 0; y < 6; y++)
                for (uint64_t x = 0; x < 7; x++)
                    memcpy(&f.p.now[1 + y][2 + x], first + (ptrdiff_t)y * layouts[i].steps[0] + (ptrdiff_t)x * layouts[i].steps[1], 2);
            check_picture(&f.p, &store);
            /* back, where no two elements lie in one place */
            if (i == 5 || i == 6 || i == 7 || i == 8 || i == 10) continue;
            memset(seen, 0xA5, sizeof seen);
            CHECK_OK(shardio_array_read_strided(a, start, count, seen + layouts[i].base, layouts[i].steps, &e));
            for (uint64_t y = 0; y < 6; y++) {
                for (uint64_t x = 0; x < 7; x++) {
                    uint8_t *at = seen + layouts[i].base + (ptrdiff_t)y * layouts[i].steps[0] + (ptrdiff_t)x * layouts[i].steps[1];
                    CHECK_BYTES(at, &f.p.now[1 + y][2 + x], 2);
                    memset(at, 0xA5, 2);
                }
            }
            for (size_t n = 0; n < sizeof seen; n++) CHECK_U64(seen[n], 0xA5);       /* nothing between */
        }
        shardio_array_close(a);
        files_end(&f);
        disk_end(&d);
        if (test_failures) { fprintf(stderr, "    %s\n", kinds[k].name); return; }
    }
}

/* ---- a second reader */

typedef struct onlooker {
    const files *f;
    const picture *after;
    const shardio_store *store;
    shardio_array *kept;
    bool whole;                      /* it may not even meet an error */
    uint64_t looks, errors;
} onlooker;

static void look(void *context, disk_call call, const char *key)
{
    onlooker *o = (onlooker *)context;
    shardio_error e;
    (void)call, (void)key;
    shardio_array *fresh = shardio_array_open_in(o->store, NULL, &e);
    for (int k = 0; k < 2; k++) {
        shardio_array *a = k ? fresh : o->kept;
        for (uint64_t y = 0; y < 12; y += 4) {
            for (uint64_t x = 0; x < 8; x += 4) {
                int old = box_is(&o->f->p, a, y, x, 4, 4, &e), now = box_is(o->after, a, y, x, 4, 4, &e);
                o->looks++;
                o->errors += old < 0;
                if (old < 0) CHECK(!o->whole && (e.status == SHARDIO_ERR_CHECKSUM || e.status == SHARDIO_ERR_TRUNCATED));
                else CHECK(old == 1 || now == 1);
            }
        }
    }
    shardio_array_close(fresh);
}

/* Whoever reads while a shard is changed, at any moment, gets what was there, or what is there, or an error. */
TEST(readers_meanwhile)
{
    for (int k = 0; k < KINDS; k++) {
        for (int deed = 0; deed < DEEDS; deed++) {
            static disk d;
            shardio_store store = disk_begin(&d);
            files f;
            shardio_error e;
            onlooker o;
            if (deed == SHRINK || deed == GROW) continue;
            files_begin(&f, &kinds[k]);
            files_put(&f, &store);
            d.alignment = kinds[k].alignment;
            memset(&o, 0, sizeof o);
            picture after = f.p, p = f.p;
            if (deed == WRITE || deed == WRITE_FILL) {       /* how it will be */
                shardio_memory_store memory;
                shardio_store other = shardio_store_memory(&memory, NULL);
                files_put(&f, &other);
                shardio_array *b = shardio_array_update_in(&other, &f.p.o, &e);
                CHECK_OK(do_deed(deed, &after, b, &e));
                shardio_array_close(b);
                shardio_store_memory_free(&memory);
            }
            o.f = &f;
            o.after = &after;
            o.store = &store;
            o.kept = shardio_array_open_in(&store, NULL, &e);
            o.whole = kinds[k].rewrite || !kinds[k].sharded || deed == COMPACT || kinds[k].at_start;
            shardio_array *a = shardio_array_update_in(&store, &p.o, &e);
            disk_calm(&d);
            d.before = look;
            d.context = &o;
            CHECK_OK(do_deed(deed, &p, a, &e));
            d.before = NULL;
            CHECK(o.looks > 100 || (deed == COMPACT && !kinds[k].sharded));
            for (uint64_t y = 0; y < 12; y += 4)                                       /* and at last the new one */
                for (uint64_t x = 0; x < 8; x += 4) CHECK(box_is(&after, o.kept, y, x, 4, 4, &e) == 1);
            shardio_array_close(a);
            shardio_array_close(o.kept);
            check_picture(&after, &store);
            files_end(&f);
            disk_end(&d);
            if (test_failures) { fprintf(stderr, "    %s, %s: %d of %d looks were errors\n", kinds[k].name, deed_names[deed], (int)o.errors, (int)o.looks); return; }
        }
    }
}

/* ---- somebody else changes the files */

enum { REPLACED, MOVED_AWAY, LINKED, TRUNCATED, GONE, APPENDED, IN_PLACE, EDITS };
static const char *const edit_names[] = {"replaced", "moved away", "another link", "cut short", "removed", "appended to", "written in place"};

/* What another program makes of the file `path`, which shall hold `data`. */
static void edit(int how, const char *directory, const char *path, const uint8_t *data, size_t size)
{
    char fresh[400], old[400];
    snprintf(fresh, sizeof fresh, "%s/fresh", directory);
    snprintf(old, sizeof old, "%s/old", directory);
    if (how == LINKED) CHECK(link(path, old) == 0);
    if (how == MOVED_AWAY) CHECK(rename(path, old) == 0);
    if (how == TRUNCATED) { CHECK(truncate(path, 20) == 0); return; }
    if (how == GONE) { CHECK(unlink(path) == 0); return; }
    FILE *out = fopen(how == IN_PLACE ? path : fresh, how == IN_PLACE ? "r+b" : "wb");
    if (!CHECK(out != NULL)) return;
    CHECK_U64(fwrite(data, 1, size, out), size);
    CHECK(fclose(out) == 0);
    if (how != IN_PLACE) CHECK(rename(fresh, path) == 0);
}

TEST(files_that_others_change)
{
    WINE_CANNOT("replace a file that is open");
    for (int how = 0; how < EDITS; how++) {
        for (int k = 0; k < 4; k++) {
            char directory[300], array[330], path[360];
            shardio_error e;
            strip t;
            bool sharded = k < 3, at_start = k == 1;
            size_t size;
            uint8_t want[64], got[64];
            uint64_t start = 0, count = 64, two = 2, at = 17;
            test_directory(directory, sizeof directory);
            snprintf(array, sizeof array, "%s/array", directory);
            snprintf(path, sizeof path, "%s/c/0", array);
            shardio_store store = shardio_store_directory(array);
            strip_begin(&t, 4, 16, sharded ? 4 : 0);
            if (!sharded) { t.o.chunk[0] = t.bytes = 64; t.chunks = 1; }
            t.o.index_at_start = at_start;
            t.o.dead_percent = 100;
            t.o.update = k == 2 ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
            CHECK_OK(shardio_array_define(array, &t.o, &e));
            shardio_array *a = shardio_array_update(array, &t.o, &e);
            CHECK_OK(strip_write(&t, a, 0, t.chunks, 1, &e));
            shardio_array *reader = shardio_array_open(array, NULL, &e), *both[2];
            both[0] = reader;
            both[1] = a;
            for (int i = 0; i < 2; i++) {
                CHECK_OK(shardio_array_read(both[i], &start, &count, got, 64, &e));
                CHECK_BYTES(got, t.data, 64);
            }
            uint8_t *file = store_get(&store, "c/0", &size);
            memcpy(want, t.data, 64);
            if (how == GONE) memset(want, 0, 64);
            else for (int i = 0; i < 64; i++) want[i] = (uint8_t)(t.data[i] ^ 0x80);
            for (size_t i = 0; i + 64 <= size; i++) {
                if (memcmp(file + i, t.data, 64) != 0) continue;
                memcpy(file + i, want, 64);
                break;
            }
            if (how == IN_PLACE) usleep(20000);              /* for the time of the last change to be another */
            if (how == APPENDED) {
                shardio_array *other = shardio_array_update(array, &t.o, &e);
                CHECK_OK(shardio_array_write(other, &start, &count, want, 64, &e));
                shardio_array_close(other);
            } else {
                edit(how, directory, path, file, size);
            }
            free(file);
            for (int i = 0; i < 2; i++) {
                shardio_status s = shardio_array_read(both[i], &start, &count, got, 64, &e);
                if (how == TRUNCATED) {
                    CHECK(s != SHARDIO_OK);
                } else {
                    CHECK_OK(s);
                    CHECK_BYTES(got, want, 64);
                }
            }
            /* a part of a chunk goes into what is there now, not into what was */
            shardio_status s = shardio_array_write(a, &at, &two, "xy", 2, &e);
            if (how == TRUNCATED) {
                CHECK(s != SHARDIO_OK);
            } else {
                CHECK_OK(s);
                memcpy(want + 17, "xy", 2);
                for (int i = 0; i < 2; i++) {
                    CHECK_OK(shardio_array_read(both[i], &start, &count, got, 64, &e));
                    CHECK_BYTES(got, want, 64);
                }
            }
            shardio_array_close(a);
            shardio_array_close(reader);
            strip_end(&t);
            if (test_failures) { fprintf(stderr, "    %s, %d\n", edit_names[how], k); return; }
        }
    }
}

/* ---- compacting says how far it is, and can be stopped */

typedef struct progress_seen { uint64_t calls, last, total, stop_at; } progress_seen;

static int note_progress(void *context, uint64_t done, uint64_t total)
{
    progress_seen *p = (progress_seen *)context;
    CHECK(done <= total && done >= p->last);
    p->last = done;
    p->total = total;
    return ++p->calls == p->stop_at;
}

TEST(compacting_can_be_stopped)
{
    for (uint64_t stop = 0; stop < 6; stop++) {
        static disk d;
        shardio_store store = disk_begin(&d);
        shardio_error e;
        strip t;
        progress_seen seen;
        memset(&seen, 0, sizeof seen);
        strip_begin(&t, 20, 33, 4);
        t.o.dead_percent = 100;
        CHECK_OK(shardio_array_define_in(&store, &t.o, &e));
        shardio_array *a = shardio_array_update_in(&store, &t.o, &e);
        CHECK_OK(strip_write(&t, a, 0, 20, 1, &e));
        CHECK_OK(strip_write(&t, a, 1, 17, 2, &e));
        uint64_t dead = sizes_of(a).dead_bytes;
        seen.stop_at = stop;
        CHECK_STATUS(shardio_array_compact(a, note_progress, &seen, &e), stop ? SHARDIO_ERR_CANCELLED : SHARDIO_OK);
        CHECK_STATUS(e.status, stop ? SHARDIO_ERR_CANCELLED : SHARDIO_OK);
        CHECK_U64(seen.calls, stop ? stop : 5);
        if (stop == 0) CHECK_U64(seen.last, seen.total);
        CHECK(stop == 0 || stop == 5 || sizes_of(a).dead_bytes > 0);
        CHECK(sizes_of(a).dead_bytes < dead);
        strip_check(&t, &store);
        CHECK_OK(shardio_array_compact(a, NULL, NULL, &e));
        CHECK_U64(sizes_of(a).dead_bytes, 0);
        strip_check(&t, &store);
        shardio_array_close(a);
        disk_end(&d);
        strip_end(&t);
    }
}

TEST_MAIN(TEST_CASE(every_operation_fails) TEST_CASE(the_power_goes) TEST_CASE(data_is_there_before_its_index)
          TEST_CASE(without_a_checksum_nothing_is_torn) TEST_CASE(every_allocation_fails) TEST_CASE(every_allocation_of_opening_fails)
          TEST_CASE(rewritten_exactly_when_stated) TEST_CASE(rewriting_leaves_no_dead_bytes) TEST_CASE(a_trim_rewrites_when_stated)
          TEST_CASE(fill_values_are_left_out) TEST_CASE(edges_are_kept_or_cleared) TEST_CASE(keys_grow) TEST_CASE(files_outside_the_shape)
          TEST_CASE(unusual_shapes) TEST_CASE(wrong_calls_change_nothing) TEST_CASE(strides_of_any_sign) TEST_CASE(readers_meanwhile)
          TEST_CASE(files_that_others_change) TEST_CASE(compacting_can_be_stopped))
