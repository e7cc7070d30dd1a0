/* Hostile archives: opened, listed, read, verified, written to, compacted.

   Input: flags, the layer, which allocation fails, which call to the file fails and how, then the file. */
#define FUZZ_NAME "zip"
#include "fuzz.h"

enum { FLAG_SEAL, FLAG_SEARCH, FLAG_WRITE, FLAG_REMOVE, FLAG_ROLLBACK, FLAG_ALIGN, FLAG_ON_DISK };

enum { LOCAL = 30, CENTRAL = 46, END = 22, MOST = 1 << 16, OURS = 0x6873 };

typedef struct hostile {
    uint8_t flags, layer, no_memory, no_file, how;
    uint8_t *file;
    size_t size;
} hostile;

/* ---- checksums that are right again, as far as the file makes sense ---- */

static size_t end_record(const hostile *h)
{
    for (size_t n = END; n <= h->size && n < END + 65536; n++)
        if (fuzz_little(h->file + h->size - n, 4) == 0x06054B50u) return h->size - n;
    return SIZE_MAX;
}

static void seal_value(hostile *h, uint8_t *central)
{
    uint64_t local = fuzz_little(central + 42, 4), size = fuzz_little(central + 20, 4);
    if (local + LOCAL > h->size || fuzz_little(central + 10, 2) != 0) return;
    uint64_t data = local + LOCAL + fuzz_little(h->file + local + 26, 2) + fuzz_little(h->file + local + 28, 2);
    if (data > h->size || size > h->size - data) return;
    uint32_t crc = shardio_crc32(0, h->file + data, (size_t)size);
    fuzz_put32(central + 16, crc);
    fuzz_put32(h->file + local + 14, crc);
}

/* The directory's own checksum, in an extra field of its first entry. */
static void seal_directory(uint8_t *directory, size_t size, size_t extra, size_t extra_size)
{
    while (extra_size >= 4) {
        size_t n = (size_t)fuzz_little(directory + extra + 2, 2) + 4;
        if (n > extra_size) return;
        if (fuzz_little(directory + extra, 2) == OURS && n >= 12) {
            fuzz_put32(directory + extra + 8, 0);
            fuzz_put32(directory + extra + 8, shardio_crc32(0, directory, size));
        }
        extra += n;
        extra_size -= n;
    }
}

static void seal(hostile *h)
{
    size_t end = end_record(h), first = 0, extra_size = 0;
    if (end == SIZE_MAX) return;
    uint64_t size = fuzz_little(h->file + end + 12, 4), at = fuzz_little(h->file + end + 16, 4), next = at;
    if (size > end || at > end - size) return;
    while (next + CENTRAL <= at + size && fuzz_little(h->file + next, 4) == 0x02014B50u) {
        uint8_t *c = h->file + next;
        size_t name = (size_t)fuzz_little(c + 28, 2), extra = (size_t)fuzz_little(c + 30, 2);
        uint64_t whole = CENTRAL + name + extra + fuzz_little(c + 32, 2);
        if (whole > at + size - next) break;
        if (next == at) first = CENTRAL + name, extra_size = extra;
        seal_value(h, c);
        next += whole;
    }
    seal_directory(h->file + at, (size_t)size, first, extra_size);
}

/* ---- reading ---- */

static bool count_entry(void *context, const shardio_archive_entry *entry)
{
    CHECK(entry->name != NULL && strlen(entry->name) < MOST);
    return ++*(uint64_t *)context < 1000;
}

static bool count_layer(void *context, uint64_t layer, uint64_t directory, uint64_t size, uint64_t entries)
{
    (void)entries;
    CHECK(layer > 0 && directory <= size);
    return ++*(uint64_t *)context < 100;
}

static void count_faults(void *context, const shardio_error *finding)
{
    CHECK(finding->status != SHARDIO_OK);
    ++*(uint64_t *)context;
}

typedef struct keys {
    char key[32][300];
    size_t count;
} keys;

static bool take_key(void *context, const char *key, uint64_t size, bool temporary)
{
    keys *k = (keys *)context;
    (void)size, (void)temporary;
    if (strlen(key) < sizeof k->key[0]) memcpy(k->key[k->count++], key, strlen(key) + 1);
    return k->count < 32;
}

/* The values of all keys, read through the store; how many could be. */
static size_t read_values(const shardio_store *store, const shardio_allocator *allocator, keys *k)
{
    static uint8_t value[MOST];
    size_t good = 0;
    int code = 0;
    k->count = 0;
    (void)store->functions->list(store->context, "", take_key, k, &code);
    for (size_t i = 0; i < k->count; i++) {
        shardio_file file;
        shardio_file_facts facts;
        memset(&facts, 0, sizeof facts);
        if (store->functions->open(store->context, k->key[i], false, allocator, &file, &code) != SHARDIO_OK) continue;
        shardio_status s = file.functions->facts(file.context, &facts, &code);
        size_t some = facts.size < sizeof value ? (size_t)facts.size : sizeof value;
        if (s == SHARDIO_OK) s = shardio_file_read(&file, facts.size - some, value, some, NULL);
        if (s == SHARDIO_OK) s = shardio_file_read(&file, 0, value, some, NULL);
        good += s == SHARDIO_OK;
        (void)file_close(&file, SHARDIO_CLOSE_KEEP);
    }
    return good;
}

static shardio_archive_options options(const hostile *h, const shardio_allocator *allocator)
{
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.allocator = allocator;
    o.directory_limit = o.decoded_limit = MOST;
    o.buffer_size = 4096;
    o.durability = SHARDIO_DURABLE_NONE;
    o.direct = SHARDIO_DIRECT_OFF;
    o.alignment = fuzz_flag(h->flags, FLAG_ALIGN) ? 64 : 0;
    return o;
}

static void read_it(const hostile *h)
{
    static faulty_state f;
    static keys k;
    shardio_memory memory;
    shardio_error e;
    counter c;
    shardio_archive_options o = options(h, fuzz_memory(&c, 8 << 20, h->no_memory));
    uint64_t entries = 0, layers = 0, faults = 0;
    memset(&f, 0, sizeof f);
    shardio_file file = faulty_file(&f, fuzz_file(&memory, h->file, h->size));
    fuzz_faults(&f, h->no_file, h->how);
    o.layer = h->layer;
    shardio_archive *a = shardio_archive_open_file(file, &o, &e);
    CHECK((a == NULL) == (e.status != SHARDIO_OK));
    if (a != NULL) {
        shardio_store store = shardio_archive_store(a);
        shardio_archive_facts facts = shardio_archive_about(a);
        CHECK(facts.size <= h->size && facts.live_bytes <= facts.size && !facts.changed);
        (void)SAID(shardio_archive_each_layer(a, fuzz_flag(h->flags, FLAG_SEARCH), count_layer, &layers, &e));
        shardio_status s = SAID(shardio_archive_each_entry(a, count_entry, &entries, &e));
        if (s == SHARDIO_OK && entries < 1000) CHECK_U64(entries, facts.entries);
        s = SAID(shardio_archive_verify(a, count_faults, &faults, NULL, NULL, &e));
        size_t good = read_values(&store, o.allocator, &k);
        if (s == SHARDIO_OK && h->no_memory == 0 && h->no_file == 0) CHECK(good == k.count && faults == 0);
    }
    shardio_archive_close(a);
    CHECK_U64(c.live, 0);
    CHECK(c.peak <= 16 * h->size + (3 << 20));       /* the verification reads 1 MiB at a time */
    free(memory.data);
}

/* ---- writing ---- */

static void check_value(const shardio_store *store, const char *key, const char *want)
{
    size_t size = 0;
    uint8_t *got = store_get(store, key, &size);
    CHECK((got != NULL) == (want != NULL));
    if (got != NULL && want != NULL) CHECK(size == strlen(want) && memcmp(got, want, size) == 0);
    free(got);
}

static shardio_status change(const hostile *h, shardio_archive *a, keys *k)
{
    shardio_store store = shardio_archive_store(a);
    shardio_error e;
    int code = 0;
    k->count = 0;
    shardio_status s = store.functions->list(store.context, "", take_key, k, &code);
    if (s == SHARDIO_OK && fuzz_flag(h->flags, FLAG_REMOVE) && k->count > 0) s = store_remove(&store, k->key[0]);
    if (s == SHARDIO_OK) s = store_put_text(&store, "brand/new", "a value");
    if (s == SHARDIO_OK) s = SAID(shardio_archive_commit(a, &e));
    if (s == SHARDIO_OK) s = store_put_text(&store, "second", "another value");
    if (s == SHARDIO_OK && h->layer % 2) s = SAID(shardio_archive_discard(a, &e));
    if (s == SHARDIO_OK && fuzz_flag(h->flags, FLAG_ROLLBACK)) (void)SAID(shardio_archive_rollback(a, h->layer, &e));
    return s;
}

/* What was committed is there when the archive is opened again. */
static void write_it(const hostile *h)
{
    static faulty_state f;
    static keys k;
    shardio_memory memory;
    shardio_error e;
    counter c;
    shardio_archive_options o = options(h, fuzz_memory(&c, 8 << 20, h->no_memory));
    shardio_status s = SHARDIO_ERR_IO;
    memset(&f, 0, sizeof f);
    shardio_file inner = fuzz_growing(&memory, h->file, h->size);
    o.write = true;
    fuzz_faults(&f, h->no_file, h->how);
    shardio_archive *a = shardio_archive_open_file(faulty_file(&f, inner), &o, &e);
    if (a != NULL) {
        s = change(h, a, &k);
        shardio_status finished = SAID(shardio_archive_finish(a, &e));
        if (s == SHARDIO_OK) s = finished;
    }
    CHECK_U64(c.live, 0);
    if (s == SHARDIO_OK && !fuzz_flag(h->flags, FLAG_ROLLBACK)) {
        o = options(h, NULL);
        a = shardio_archive_open_file(inner, &o, &e);
        CHECK_OK(e.status);
        shardio_store store = shardio_archive_store(a);
        if (a != NULL) check_value(&store, "brand/new", "a value");
        if (a != NULL) check_value(&store, "second", h->layer % 2 ? NULL : "another value");
        shardio_archive_close(a);
    }
    shardio_memory_free(&memory);
}

/* By its path: compacted, and loaded into memory. */
static void compact_it(const hostile *h)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_archive_options o = options(h, NULL);
    shardio_error e;
    rig g;
    rig_begin(&g, true, h->file, h->size);
    shardio_status before = SAID(shardio_store_load(&store, g.path, &o, &e));
    shardio_store_memory_free(&memory);
    store = shardio_store_memory(&memory, NULL);
    shardio_status s = SAID(shardio_archive_compact(g.path, &o, NULL, NULL, &e));
    if (before == SHARDIO_OK && s == SHARDIO_OK) CHECK_OK(shardio_store_load(&store, g.path, &o, &e));
    shardio_store_memory_free(&memory);
    rig_end(&g);
}

static void fuzz_one(fuzz_input in)
{
    hostile h;
    h.flags = fuzz_byte(&in);
    h.layer = fuzz_byte(&in);
    h.no_memory = fuzz_byte(&in);
    h.no_file = fuzz_byte(&in);
    h.how = fuzz_byte(&in);
    h.size = in.size;
    h.file = (uint8_t *)malloc(h.size > 0 ? h.size : 1);
    if (h.file == NULL || h.size > MOST) exit(2);
    if (h.size > 0) memcpy(h.file, in.data, h.size);
    if (fuzz_flag(h.flags, FLAG_SEAL)) seal(&h);
    read_it(&h);
    if (fuzz_flag(h.flags, FLAG_WRITE)) write_it(&h);
    if (fuzz_flag(h.flags, FLAG_ON_DISK)) compact_it(&h);
    free(h.file);
}

/* Archives of one layer to three, small values and an array. */
static void fuzz_seeds(void)
{
    static uint8_t file[1 << 15];
    for (uint8_t kind = 0; kind < 24; kind++) {
        hostile h = {(uint8_t)(1 | (kind & 31) << 1 | (kind == 7 ? 64 : 0)), 0, 0, 0, 0, NULL, 0};
        uint8_t start[5] = {h.flags, 0, 0, 0, 0};
        shardio_memory memory;
        shardio_archive_options o = options(&h, NULL);
        shardio_error e;
        memset(&memory, 0, sizeof memory);
        o.write = true;
        o.comment = kind % 3 == 0 ? "a comment" : NULL;
        shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "seed"), &o, &e);
        if (!CHECK(a != NULL)) return;
        shardio_store store = shardio_archive_store(a);
        for (int layer = 0; layer <= kind % 3; layer++) {
            CHECK_OK(store_put_text(&store, "zarr.json", "{\"zarr_format\":3,\"node_type\":\"group\"}"));
            CHECK_OK(store_put_text(&store, layer ? "a/c/0" : "a/c/1", "0123456789abcdef"));
            if (layer == 2) CHECK_OK(store_remove(&store, "a/c/1"));
            CHECK_OK(shardio_archive_commit(a, &e));
        }
        CHECK_OK(shardio_archive_finish(a, &e));
        if (CHECK(memory.size + sizeof start <= sizeof file)) {
            memcpy(file, start, sizeof start);
            memcpy(file + sizeof start, memory.data, memory.size);
            fuzz_seed(file, sizeof start + memory.size);
        }
        shardio_memory_free(&memory);
    }
}
