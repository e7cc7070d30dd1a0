/* Sequences of calls on an archive, against a model: the values of all keys, now and in each layer.

   Input: the options, then calls: a byte that says which, and what it needs. */
#define FUZZ_NAME "store_calls"
#define FUZZ_ROUNDS 40
#include "fuzz.h"

enum { KEYS = 9, MOST_LAYERS = 24, MOST_CALLS = 60, MOST_VALUE = 3000 };

static const char *const names[KEYS] = {"zarr.json", "a/zarr.json", "a/c/0", "a/c/1", "b/zarr.json", "b/c/0", "b/c/1",
                                        "longer/path/to/a/c/0/0/0", "x"};

typedef struct content {
    struct {
        bool there;
        uint32_t size;
        uint64_t seed;
    } value[KEYS];
} content;

typedef struct life {
    uint8_t options;
    shardio_memory disk;
    faulty_state faulty;
    counter allocations;
    shardio_archive *archive;
    shardio_store store;
    content now, layer[MOST_LAYERS + 1];     /* layer[0]: before there is one */
    uint64_t layers;
    content tried;                           /* what a commit that failed wanted */
    bool has_tried;
    bool unnumbered;                         /* the newest layer is empty: there is no entry to keep its number in */
} life;

static bool calm(const life *l)
{
    return l->faulty.fired == 0 && l->allocations.fail_at == 0 && l->faulty.space == 0;
}

static bool went(const life *l, shardio_status s)
{
    if (s != SHARDIO_OK) CHECK(!calm(l));
    return s == SHARDIO_OK;
}

static shardio_archive_options archive_options(const life *l, const shardio_allocator *allocator)
{
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.allocator = allocator;
    o.buffer_size = 4096;
    o.alignment = fuzz_flag(l->options, 0) ? 64 : 0;
    o.durability = fuzz_flag(l->options, 1) ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    o.direct = SHARDIO_DIRECT_OFF;
    o.comment = fuzz_flag(l->options, 2) ? "a comment" : NULL;
    o.decoded_limit = o.directory_limit = 1 << 20;
    return o;
}

/* ---- comparing ---- */

/* Whether a store holds this; values that cannot be read are wrong unless something fails. */
static bool holds(const shardio_store *store, const content *want)
{
    static uint8_t data[MOST_VALUE];
    bool same = true;
    for (int k = 0; k < KEYS; k++) {
        size_t size = 0;
        uint8_t *got = store_get(store, names[k], &size);
        if ((got != NULL) != want->value[k].there) same = false;
        if (got != NULL && want->value[k].there) {
            test_fill(data, want->value[k].size, want->value[k].seed);
            same = same && size == want->value[k].size && memcmp(got, data, size) == 0;
        }
        free(got);
    }
    return same;
}

static bool equal(const content *a, const content *b)
{
    for (int k = 0; k < KEYS; k++) {
        if (a->value[k].there != b->value[k].there) return false;
        if (a->value[k].there && (a->value[k].size != b->value[k].size || a->value[k].seed != b->value[k].seed))
            return false;
    }
    return true;
}

static bool is_empty(const content *c)
{
    static const content nothing = {{{false, 0, 0}}};
    return equal(c, &nothing);
}

/* A reader of its own sees a layer (0: the newest) as the model has it. Verifying takes long: only
   where a layer is named. */
static bool reader_sees(const life *l, uint64_t layer, const content *want)
{
    shardio_memory copy;
    shardio_error e;
    shardio_archive_options o = archive_options(l, NULL);
    o.layer = layer;
    shardio_archive *a = shardio_archive_open_file(fuzz_file(&copy, l->disk.data, l->disk.size), &o, &e);
    bool same = a != NULL;
    if (a != NULL) {
        shardio_store store = shardio_archive_store(a);
        same = holds(&store, want);
        if (same && layer > 0) CHECK_OK(shardio_archive_verify(a, NULL, NULL, NULL, NULL, &e));
    }
    shardio_archive_close(a);
    free(copy.data);
    return same;
}

/* ---- the archive ---- */

static void begin(life *l)
{
    shardio_error e;
    shardio_archive_options o = archive_options(l, &l->allocations.allocator);
    o.write = true;
    if (l->layers == 0) shardio_memory_free(&l->disk), memset(&l->disk, 0, sizeof l->disk);
    memset(&l->faulty, 0, sizeof l->faulty);
    l->faulty.alignment = fuzz_flag(l->options, 3) ? 512 : 0;
    l->archive = shardio_archive_open_file(faulty_file(&l->faulty, shardio_memory_file(&l->disk, "disk")), &o, &e);
    (void)went(l, e.status);
    if (l->archive != NULL) l->store = shardio_archive_store(l->archive);
    l->now = l->layer[l->layers];
}

/* Closed without commit; what is there is the last layer, or, after a commit that failed, what it wanted. */
static void end(life *l)
{
    l->faulty.fail_at = 0;
    l->allocations.fail_at = 0;
    shardio_archive_close(l->archive);
    l->archive = NULL;
    if (l->has_tried && l->layers < MOST_LAYERS && (l->layers == 0 || !reader_sees(l, 0, &l->layer[l->layers])) &&
        reader_sees(l, 0, &l->tried))
        l->layer[++l->layers] = l->tried;
    else if (l->layers > 0) CHECK(reader_sees(l, 0, &l->layer[l->layers]));
    l->has_tried = false;
}

static void commit(life *l)
{
    shardio_error e;
    if (l->layers == MOST_LAYERS) return;
    shardio_status s = SAID(shardio_archive_commit(l->archive, &e));
    if (!went(l, s)) {
        l->tried = l->now;
        l->has_tried = true;
        end(l);
        return;
    }
    uint64_t layer = shardio_archive_about(l->archive).layer;
    if (layer == l->layers + 1) l->layer[++l->layers] = l->now;
    else CHECK(layer == l->layers && equal(&l->now, &l->layer[l->layers]));
    if (l->layers > 0) CHECK(reader_sees(l, 0, &l->now));
    l->unnumbered = l->layers > 0 && is_empty(&l->now);
}

static void put(life *l, fuzz_input *in)
{
    static uint8_t data[MOST_VALUE];
    size_t k = (size_t)fuzz_below(in, KEYS), size = (size_t)fuzz_below(in, fuzz_byte(in) % 4 ? 60 : MOST_VALUE);
    uint64_t seed = fuzz_byte(in);
    test_fill(data, size, seed);
    if (!went(l, store_put(&l->store, names[k], data, size))) {
        end(l);
        return;
    }
    l->now.value[k].there = true;
    l->now.value[k].size = (uint32_t)size;
    l->now.value[k].seed = seed;
}

static void take_away(life *l, fuzz_input *in)
{
    size_t k = (size_t)fuzz_below(in, KEYS);
    shardio_status s = store_remove(&l->store, names[k]);
    if (s == SHARDIO_ERR_NOT_FOUND) CHECK(!l->now.value[k].there);
    else if (!went(l, s)) end(l);
    else l->now.value[k].there = false;
}

static void rename_prefix(life *l, bool back)
{
    int code = 0;
    shardio_status s = l->store.functions->rename(l->store.context, back ? "b/" : "a/", back ? "a/" : "b/", &code);
    size_t from = back ? 4 : 1, to = back ? 1 : 4;
    bool taken = l->now.value[to].there || l->now.value[to + 1].there || l->now.value[to + 2].there;
    bool any = l->now.value[from].there || l->now.value[from + 1].there || l->now.value[from + 2].there;
    if (s == SHARDIO_ERR_EXISTS) CHECK(taken);
    if (s == SHARDIO_ERR_NOT_FOUND) CHECK(!any);
    if (s == SHARDIO_ERR_EXISTS || s == SHARDIO_ERR_NOT_FOUND) return;
    if (!went(l, s)) {
        end(l);
        return;
    }
    CHECK(!taken || !any);
    for (size_t i = 0; i < 3 && any; i++) {
        l->now.value[to + i] = l->now.value[from + i];
        l->now.value[from + i].there = false;
    }
}

/* What the file says; two layers may hold the same. */
static uint64_t newest_layer(const life *l)
{
    shardio_memory copy;
    shardio_error e;
    shardio_archive_options o = archive_options(l, NULL);
    shardio_archive *a = shardio_archive_open_file(fuzz_file(&copy, l->disk.data, l->disk.size), &o, &e);
    const uint64_t layer = a != NULL ? shardio_archive_about(a).layer : 0;
    shardio_archive_close(a);
    free(copy.data);
    return layer;
}

static void roll_back(life *l, fuzz_input *in)
{
    shardio_error e;
    uint64_t layer = fuzz_below(in, MOST_LAYERS + 1);
    shardio_status s = SAID(shardio_archive_rollback(l->archive, layer, &e));
    if (s == SHARDIO_ERR_NOT_FOUND || s == SHARDIO_ERR_ARGUMENT) {
        CHECK(layer == 0 || layer > l->layers);
        end(l);
    } else if (went(l, s)) {
        l->layers = layer;
        l->now = l->layer[layer];
        CHECK(reader_sees(l, 0, &l->now));
    } else {
        shardio_archive_close(l->archive);
        l->archive = NULL;
        uint64_t there = newest_layer(l);
        if (!CHECK(there == layer || there == l->layers)) return;
        l->layers = there;
        CHECK(reader_sees(l, 0, &l->layer[there]));
    }
}

static bool count_layer(void *context, uint64_t layer, uint64_t directory, uint64_t size, uint64_t entries)
{
    uint64_t *next = (uint64_t *)context;
    (void)directory, (void)size, (void)entries;
    CHECK_U64(layer, *next);
    --*next;
    return true;
}

/* What the writer sees itself. */
static void look(life *l, uint8_t how)
{
    shardio_error e;
    uint64_t next = l->layers;
    shardio_status s;
    if (how & 16) {
        s = SAID(shardio_archive_each_layer(l->archive, false, count_layer, &next, &e));
        if (went(l, s)) CHECK_U64(next, 0);
    } else if (how & 32) {
        (void)went(l, SAID(shardio_archive_verify(l->archive, NULL, NULL, NULL, NULL, &e)));
    } else if (l->faulty.fail_at == 0 && l->allocations.fail_at == 0) {
        CHECK(holds(&l->store, &l->now));
    }
}

static void look_back(life *l, fuzz_input *in)
{
    uint64_t layer = fuzz_below(in, MOST_LAYERS) + 1;
    if (layer <= l->layers) CHECK(reader_sees(l, layer, &l->layer[layer]));
}

static void copy(life *l)
{
    shardio_memory_store memory;
    shardio_store to = shardio_store_memory(&memory, NULL);
    shardio_error e;
    if (went(l, SAID(shardio_store_copy(&l->store, &to, NULL, NULL, NULL, &e)))) CHECK(holds(&to, &l->now));
    shardio_store_memory_free(&memory);
}

static void arm(life *l, fuzz_input *in)
{
    uint8_t fails = fuzz_byte(in), how = fuzz_byte(in);
    l->allocations.calls = l->faulty.counted = 0;
    if (how & 8) l->allocations.fail_at = fails;
    else fuzz_faults(&l->faulty, fails, how);
    if (how & 16) l->faulty.space = 5000;
}

static void call(life *l, fuzz_input *in)
{
    uint8_t which = fuzz_byte(in);
    shardio_error e;
    if (l->archive == NULL) begin(l);
    if (l->archive == NULL) {
        l->allocations.fail_at = 0;
        return;
    }
    switch (which % 16) {
    case 0: case 1: case 2: case 3: put(l, in); break;
    case 4: case 5: take_away(l, in); break;
    case 6: case 7: commit(l); break;
    case 8: if (went(l, SAID(shardio_archive_discard(l->archive, &e)))) l->now = l->layer[l->layers]; else end(l); break;
    case 9: roll_back(l, in); break;
    case 10: rename_prefix(l, fuzz_flag(which, 4)); break;
    case 11: look(l, which); break;
    case 12: look_back(l, in); break;
    case 13: copy(l); break;
    case 14: end(l); break;
    default: arm(l, in);
    }
}

static void fuzz_one(fuzz_input in)
{
    static life l;
    memset(&l, 0, sizeof l);
    l.options = fuzz_byte(&in);
    fuzz_memory(&l.allocations, 8 << 20, 0);
    for (int n = 0; n < MOST_CALLS && in.size > 0 && test_failures == 0 && !l.unnumbered; n++) call(&l, &in);
    if (l.archive != NULL) end(&l);
    for (uint64_t layer = 1; layer <= l.layers && test_failures == 0 && !l.unnumbered; layer++)
        CHECK(reader_sees(&l, layer, &l.layer[layer]));
    CHECK_U64(l.allocations.live, 0);
    CHECK_U64(l.faulty.misaligned, 0);
    shardio_memory_free(&l.disk);
}

static void fuzz_seeds(void)
{
    uint8_t data[200];
    for (uint64_t i = 0; i < 32; i++) {
        test_fill(data, sizeof data, 1300 + i);
        data[0] = (uint8_t)i;
        fuzz_seed(data, i < 16 ? 80 : sizeof data);
    }
}
