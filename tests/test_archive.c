/* Archives: a model lives through what a writer can do, a small ZIP reader of its own looks at each commit; crashes, faults
   and lack of memory at every call; locks; archives inside archives; counts of what goes to the device. */
#include "arrays.h"
#include "faulty.h"

#include <sys/wait.h>

/* ---- A ZIP reader that knows nothing of ours (PKWARE APPNOTE 4.3). */
typedef struct zip_entry {
    char name[300];
    uint64_t header, data, size, stored;
    uint32_t crc;
    uint16_t method;
} zip_entry;

typedef struct zip_list {
    zip_entry *entries;
    size_t count;
    uint64_t directory;
} zip_list;

static uint64_t little(const uint8_t *from, int n)
{
    uint64_t x = 0;
    while (n-- > 0) x = x << 8 | from[n];
    return x;
}

static uint32_t zip_crc(const uint8_t *data, size_t size)
{
    static uint32_t table[256];
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; table[255] == 0 && i < 256; i++) {
        uint32_t x = i;
        for (int k = 0; k < 8; k++) x = x >> 1 ^ (x & 1 ? 0xEDB88320u : 0);
        table[i] = x;
    }
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
    return ~crc;
}

/* Extra fields are whole; the 64-bit one goes where all ones stand. */
static void zip_extra(const uint8_t *extra, size_t size, uint64_t **members, int count)
{
    while (size > 0) {
        if (!CHECK(size >= 4)) return;
        size_t n = (size_t)little(extra + 2, 2);
        if (!CHECK(n <= size - 4)) return;
        const uint8_t *at = extra + 4;
        for (int i = 0; little(extra, 2) == 1 && i < count; i++) {
            if (*members[i] != 0xFFFFFFFFu) continue;
            *members[i] = little(at, 8);
            at += 8;
        }
        extra += 4 + n;
        size -= 4 + n;
    }
}

static int zip_order(const void *a, const void *b)
{
    const zip_entry *x = (const zip_entry *)a, *y = (const zip_entry *)b;
    return x->header < y->header ? -1 : x->header > y->header;
}

static const uint8_t *zip_end(const uint8_t *file, size_t size)
{
    for (size_t n = 22; n <= size && n < 22 + 65536; n++)
        if (little(file + size - n, 4) == 0x06054B50u && little(file + size - n + 20, 2) == n - 22) return file + size - n;
    return NULL;
}

/* Checks a local header against its directory entry, and the bytes. */
static void zip_check_local(const uint8_t *file, uint64_t directory, zip_entry *e)
{
    if (!CHECK(e->header + 30 <= directory)) return;
    const uint8_t *local = file + e->header;
    uint64_t size = little(local + 22, 4), stored = little(local + 18, 4), *members[2];
    size_t name = (size_t)little(local + 26, 2), extra = (size_t)little(local + 28, 2);
    members[0] = &size;
    members[1] = &stored;
    CHECK_U64(little(local, 4), 0x04034B50u);
    CHECK_U64(name, strlen(e->name));
    CHECK(memcmp(local + 30, e->name, name) == 0);
    e->data = e->header + 30 + name + extra;
    if (!CHECK(e->data <= directory && e->stored <= directory - e->data)) return;
    CHECK(extra == 0 || extra >= 5);
    zip_extra(local + 30 + name, extra, members, 2);
    CHECK_U64(little(local + 6, 2) & 8, 0);
    CHECK_U64(little(local + 8, 2), e->method);
    CHECK_U64(little(local + 14, 4), e->crc);
    CHECK_U64(size, e->size);
    CHECK_U64(stored, e->stored);
    if (e->method == 0) CHECK_U64(zip_crc(file + e->data, (size_t)e->size), e->crc);
}

/* Reads and checks a whole archive, which ends where the file ends. The list is to be freed. */
static zip_list zip_read(const uint8_t *file, size_t size)
{
    zip_list l;
    memset(&l, 0, sizeof l);
    const uint8_t *end = size > 0 ? zip_end(file, size) : NULL;
    if (!CHECK(end != NULL)) return l;
    uint64_t count = little(end + 10, 2), bytes = little(end + 12, 4), at = little(end + 16, 4);
    uint64_t stop = (uint64_t)(end - file);
    if (end - file >= 76 && little(end - 20, 4) == 0x07064B50u) {
        stop = little(end - 12, 8);
        const uint8_t *wide = file + stop;
        CHECK_U64(little(wide, 4), 0x06064B50u);
        CHECK_U64(stop + 56 + 20, end - file);
        count = little(wide + 32, 8);
        bytes = little(wide + 40, 8);
        at = little(wide + 48, 8);
    }
    if (!CHECK(at + bytes == stop)) return l;
    l.directory = at;
    l.entries = (zip_entry *)calloc((size_t)count + 1, sizeof *l.entries);
    const uint8_t *record = file + at;
    for (; l.count < count; l.count++) {
        zip_entry *e = &l.entries[l.count];
        size_t name = (size_t)little(record + 28, 2), extra = (size_t)little(record + 30, 2);
        uint64_t *members[3];
        if (!CHECK(little(record, 4) == 0x02014B50u) || !CHECK(name < sizeof e->name)) return l;
        memcpy(e->name, record + 46, name);
        e->method = (uint16_t)little(record + 10, 2);
        e->crc = (uint32_t)little(record + 16, 4);
        e->stored = little(record + 20, 4);
        e->size = little(record + 24, 4);
        e->header = little(record + 42, 4);
        members[0] = &e->size;
        members[1] = &e->stored;
        members[2] = &e->header;
        zip_extra(record + 46 + name, extra, members, 3);
        zip_check_local(file, at, e);
        record += 46 + name + extra + little(record + 32, 2);
    }
    CHECK(record == file + stop);
    if (l.count > 0) qsort(l.entries, l.count, sizeof *l.entries, zip_order);
    for (size_t i = 1; i < l.count; i++) {
        CHECK(l.entries[i - 1].data + l.entries[i - 1].stored <= l.entries[i].header);
        for (size_t k = 0; k < i; k++) CHECK(strcmp(l.entries[k].name, l.entries[i].name) != 0);
    }
    return l;
}

/* ---- What an archive holds, in plain memory. */
enum { STATE_VALUES = 40 };

typedef struct kept {
    char key[80];
    uint8_t *data;
    size_t size;
    uint64_t serial;     /* of the writing that made it */
} kept;

typedef struct state {
    kept values[STATE_VALUES];
    size_t count;
} state;

static kept *state_find(state *s, const char *key)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->values[i].key, key) == 0) return &s->values[i];
    return NULL;
}

static void state_put(state *s, const char *key, const uint8_t *data, size_t size, uint64_t serial)
{
    kept *v = state_find(s, key);
    if (v == NULL) {
        if (!CHECK(s->count < STATE_VALUES)) return;
        v = &s->values[s->count++];
        memset(v, 0, sizeof *v);
        snprintf(v->key, sizeof v->key, "%s", key);
    }
    free(v->data);
    v->data = (uint8_t *)malloc(size + 1);
    if (size > 0) memcpy(v->data, data, size);
    v->size = size;
    v->serial = serial;
}

static void state_remove(state *s, const char *key)
{
    kept *v = state_find(s, key);
    if (v == NULL) return;
    free(v->data);
    *v = s->values[--s->count];
}

static void state_free(state *s)
{
    for (size_t i = 0; i < s->count; i++) free(s->values[i].data);
    s->count = 0;
}

static void state_copy(state *to, const state *from)
{
    state_free(to);
    for (size_t i = 0; i < from->count; i++)
        state_put(to, from->values[i].key, from->values[i].data, from->values[i].size, from->values[i].serial);
}

/* Whether the store holds exactly this. */
static bool state_fits(const state *s, const shardio_store *store)
{
    key_list keys;
    if (store_keys(store, "", &keys) != SHARDIO_OK || keys.count != s->count) return false;
    for (size_t i = 0; i < s->count; i++) {
        const kept *v = &s->values[i];
        size_t size;
        uint8_t *data = store_get(store, v->key, &size);
        bool same = data != NULL && size == v->size && memcmp(data, v->data, size) == 0;
        free(data);
        if (!same) return false;
    }
    return true;
}

static void state_check(const state *s, const shardio_store *store)
{
    key_list keys;
    CHECK_OK(store_keys(store, "", &keys));
    CHECK_U64(keys.count, s->count);
    for (size_t i = 0; i < s->count; i++) {
        const kept *v = &s->values[i];
        size_t size = 0;
        uint8_t *data = store_get(store, v->key, &size);
        if (!CHECK(data != NULL)) fprintf(stderr, "  key %s of %llu bytes\n", v->key, (unsigned long long)v->size);
        CHECK_U64(size, v->size);
        if (data != NULL) CHECK_BYTES(data, v->data, size < v->size ? size : v->size);
        CHECK(key_listed(&keys, v->key));
        free(data);
    }
}

/* Whether the ZIP file holds exactly this. */
static void state_check_zip(const state *s, const uint8_t *file, size_t size)
{
    zip_list l = zip_read(file, size);
    CHECK_U64(l.count, s->count);
    for (size_t i = 0; i < l.count; i++) {
        const zip_entry *e = &l.entries[i];
        const kept *v = state_find((state *)(uintptr_t)s, e->name);
        if (!CHECK(v != NULL)) continue;
        CHECK_U64(e->size, v->size);
        if (e->size == v->size && e->method == 0) CHECK_BYTES(file + e->data, v->data, v->size);
    }
    free(l.entries);
}

/* ---- A life: a writer on a file, and the model of everything it did. */
enum { FLIGHTS = 5, LAYERS = 64, MASKS = FLIGHTS };

/* A value being written. */
typedef struct flight {
    bool used, overwrite, published;
    bool moves;              /* what is under the key is what was written */
    bool lost;               /* discarded with the rest */
    uint64_t serial;         /* of what it published */
    char key[80];
    shardio_file file;
    uint8_t *data;
    size_t size, room;
} flight;

typedef struct life_layer {
    state s;
    uint8_t *prefix;         /* the file up to the end of this life_layer */
    size_t length, entries;
    struct { uint64_t begin, end; } mask[MASKS];   /* pieces of values in flight: they go on changing */
    size_t masks;
} life_layer;

typedef struct life {
    rig g;
    bool plain;              /* a memory file and nothing around it: blocks of one byte */
    shardio_archive_options o;
    counter c;
    shardio_archive *a;
    shardio_store store;
    state now;
    life_layer layers[LAYERS];
    size_t count;
    flight flights[FLIGHTS];
    uint64_t random, serial;
    size_t small, large;     /* sizes around which values are made */
} life;

static size_t life_pick(life *l, size_t n)
{
    return (size_t)(test_random(&l->random) % n);
}

static void life_open(life *l)
{
    shardio_error error;
    l->g.faulty.direct = false;   /* a file that was opened anew */
    if (l->g.real) l->a = shardio_archive_open(l->g.path, &l->o, &error);
    else if (l->plain) l->a = shardio_archive_open_file(shardio_memory_file(&l->g.memory, "memory"), &l->o, &error);
    else l->a = shardio_archive_open_file(rig_open(&l->g, true), &l->o, &error);
    if (!CHECK(l->a != NULL)) {
        char text[256];
        fprintf(stderr, "%s\n", shardio_error_text(&error, text, sizeof text));
        exit(1);
    }
    CHECK_OK(error.status);
    l->store = shardio_archive_store(l->a);
}

static const char *life_key(life *l)
{
    static const char *const names[] = {
        "zarr.json", "a/zarr.json", "a/c/0", "a/c/1", "a/c/2/3", "b/zarr.json", "b/c/0", "b/c/1", "b/d/zarr.json", "b/d/c/0",
        "x", "\xC3\xA9t\xC3\xA9/zarr.json", "y", "a/a-name-that-is-longer-than-the-others-by-quite-a-bit/c/0"
    };
    return names[life_pick(l, sizeof names / sizeof names[0])];
}

static size_t life_size(life *l)
{
    switch (life_pick(l, 9)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return l->small - 1 + life_pick(l, 3);
    case 3: return 2 * l->small - 1 + life_pick(l, 3);
    case 4: return l->large / 2 - 1 + life_pick(l, 3);
    case 5: return l->large - 100 + life_pick(l, 200);
    case 6: return l->large + life_pick(l, 2 * l->large);
    default: return life_pick(l, 3 * l->small);
    }
}

static uint64_t life_most(life *l, size_t size)
{
    switch (life_pick(l, 5)) {
    case 0: return SHARDIO_NO_OFFSET;
    case 1: return size + life_pick(l, 5 * l->small);
    case 2: return size + l->large;
    case 3: return size / 2;   /* less than it will be: it may be wrong */
    default: return size;
    }
}

static void flight_end(flight *f, shardio_close how, shardio_status expected)
{
    CHECK_STATUS(file_close(&f->file, how), expected);
    free(f->data);
    memset(f, 0, sizeof *f);
}

/* What is under the key is what this one published last. */
static bool flight_is_current(life *l, const flight *f)
{
    const kept *v = state_find(&l->now, f->key);
    return v != NULL && v->serial == f->serial;
}

static void flight_grow(flight *f, size_t size)
{
    if (size > f->room) {
        f->room = size + size / 2 + 16;
        f->data = (uint8_t *)realloc(f->data, f->room);
    }
    if (size > f->size) memset(f->data + f->size, 0, size - f->size);
    f->size = size;
}

static flight *life_begin(life *l)
{
    flight *f = &l->flights[life_pick(l, FLIGHTS)];
    const char *key = life_key(l);
    int code = 0;
    if (f->used) return f;
    bool exists = state_find(&l->now, key) != NULL;
    if (exists && life_pick(l, 3) == 0) {
        const kept *v = state_find(&l->now, key);
        CHECK_OK(l->store.functions->open(l->store.context, key, true, l->o.allocator, &f->file, &code));
        f->used = f->overwrite = f->moves = f->published = true;
        f->serial = v->serial;
        flight_grow(f, v->size);
        if (v->size > 0) memcpy(f->data, v->data, v->size);
    } else {
        bool overwrite = life_pick(l, 4) != 0;
        shardio_status status = l->store.functions->create(l->store.context, key, overwrite, life_most(l, life_size(l)),
                                                           l->o.allocator, &f->file, &code);
        CHECK_STATUS(status, exists && !overwrite ? SHARDIO_ERR_EXISTS : SHARDIO_OK);
        if (status != SHARDIO_OK) return NULL;
        f->used = true;
        f->overwrite = overwrite;
    }
    snprintf(f->key, sizeof f->key, "%s", key);
    return f;
}

/* Writes a piece: behind what is there, over it, or beyond its end. */
static void life_write(life *l, flight *f)
{
    size_t at = f->size, n = life_size(l);
    if (f->size > 0 && life_pick(l, 3) == 0) at = life_pick(l, f->size + 1);
    else if (life_pick(l, 8) == 0) at = f->size + life_pick(l, 2 * l->small);
    if (n == 0) return;
    if (n > 4 * l->large) n = 4 * l->large;
    uint8_t *piece = (uint8_t *)malloc(n + 8);
    test_fill(piece, n, test_random(&l->random));
    shardio_status status = file_write_all(&f->file, at, piece, n);
    shardio_status expected = f->lost || (f->moves && !flight_is_current(l, f)) ? SHARDIO_ERR_CHANGED : SHARDIO_OK;
    CHECK_STATUS(status, expected);
    if (status == SHARDIO_OK) {
        if (at + n > f->size) flight_grow(f, at + n);
        memcpy(f->data + at, piece, n);
        f->moves = false;
    }
    free(piece);
    if (status != SHARDIO_OK) flight_end(f, SHARDIO_CLOSE_DISCARD, SHARDIO_OK);
}

static void life_resize(life *l, flight *f)
{
    size_t size = life_pick(l, 2) ? life_pick(l, f->size + 1) : f->size + life_pick(l, 2 * l->small);
    int code = 0;
    shardio_status status = f->file.functions->resize(f->file.context, size, &code);
    bool gone = f->lost || (size != f->size && f->moves && !flight_is_current(l, f));
    CHECK_STATUS(status, gone ? SHARDIO_ERR_CHANGED : SHARDIO_OK);
    if (status != SHARDIO_OK) {
        flight_end(f, SHARDIO_CLOSE_DISCARD, SHARDIO_OK);
        return;
    }
    if (size != f->size) f->moves = false;
    flight_grow(f, size);
}

/* What publishing gives, and what the model holds then. */
static shardio_status life_published(life *l, flight *f)
{
    if (f->lost) return SHARDIO_ERR_CHANGED;
    if (f->moves) return SHARDIO_OK;
    if (!f->published && !f->overwrite && state_find(&l->now, f->key) != NULL) return SHARDIO_ERR_EXISTS;
    f->serial = ++l->serial;
    f->moves = f->published = true;
    state_put(&l->now, f->key, f->data, f->size, f->serial);
    return SHARDIO_OK;
}

static void life_read_flight(life *l, flight *f)
{
    size_t at = life_pick(l, f->size + 1), n = life_pick(l, f->size - at + 1), done = 0;
    uint8_t *piece = (uint8_t *)malloc(n + 1);
    int code = 0;
    if (f->lost || (f->moves && !flight_is_current(l, f))) {
        shardio_status status = f->file.functions->read(f->file.context, at, piece, n, &done, &code);
        CHECK(status == SHARDIO_ERR_CHANGED || (status == SHARDIO_OK && !f->lost && memcmp(piece, f->data + at, done) == 0));
    } else if (n > 0) {
        CHECK_OK(shardio_file_read(&f->file, at, piece, n, NULL));
        CHECK_BYTES(piece, f->data + at, n);
    }
    free(piece);
}

static void life_put(life *l)
{
    const char *key = life_key(l);
    size_t size = life_size(l);
    uint8_t *data = (uint8_t *)malloc(size + 8);
    test_fill(data, size, test_random(&l->random));
    CHECK_OK(store_put(&l->store, key, data, size));
    state_put(&l->now, key, data, size, ++l->serial);
    free(data);
}

/* Through a slot, as shards are written: unbuffered if it can be, checkpoints, places written again. */
static void life_slot(life *l)
{
    static uint8_t memory[3 << 16];
    uint8_t *buffer = memory + (65536 - (uintptr_t)memory % 65536) % 65536;
    const char *key = life_key(l);
    size_t size = life_size(l) + 10, done = 0, first = 0;
    shardio_slot_options o;
    shardio_slot slot;
    shardio_file file;
    int code = 0;
    bool replaced = false;
    memset(&o, 0, sizeof o);
    o.direct_min = 4096;
    uint8_t *data = (uint8_t *)malloc(size + 8);
    test_fill(data, size, test_random(&l->random));
    CHECK_OK(l->store.functions->create(l->store.context, key, true, life_most(l, size), l->o.allocator, &file, &code));
    CHECK_OK(shardio_slot_begin(&slot, file, buffer, (size_t)65536 << life_pick(l, 2), &o));
    while (done < size && !replaced) {
        size_t n = 1 + life_pick(l, size - done);
        CHECK_OK(shardio_slot_append(&slot, data + done, n));
        done += n;
        if (life_pick(l, 6) == 0) {
            CHECK_OK(shardio_slot_checkpoint(&slot));
            uint64_t mine = ++l->serial;
            state_put(&l->now, key, data, done, mine);
            if (life_pick(l, 2) == 0) life_put(l);
            replaced = state_find(&l->now, key)->serial != mine;   /* such a slot has nothing to go on from */
        }
        if (first == 0 && done >= 8 && slot.base == 0 && life_pick(l, 3) == 0) {
            first = 8;
            memset(data, 0x77, first);
            CHECK_OK(shardio_slot_overwrite(&slot, 0, data, first));
        }
    }
    if (replaced || life_pick(l, 6) == 0) {
        shardio_slot_abort(&slot);
    } else {
        CHECK_OK(shardio_slot_finish(&slot));
        state_put(&l->now, key, data, size, ++l->serial);
    }
    free(data);
}

static void life_remove(life *l)
{
    const char *key = life_key(l);
    CHECK_STATUS(store_remove(&l->store, key), state_find(&l->now, key) != NULL ? SHARDIO_OK : SHARDIO_ERR_NOT_FOUND);
    state_remove(&l->now, key);
}

static void life_rename(life *l)
{
    static const char *const names[] = {"a/", "b/", "r/", "b/d/", "q/w/"};
    const char *from = names[life_pick(l, 5)], *to = names[life_pick(l, 5)];
    bool exists = false;
    int code = 0;
    state moved;
    memset(&moved, 0, sizeof moved);
    for (size_t i = 0; i < l->now.count; i++) {
        const kept *v = &l->now.values[i];
        char key[160];
        bool moves = strncmp(v->key, from, strlen(from)) == 0;
        if (strncmp(v->key, to, strlen(to)) == 0) exists = true;
        snprintf(key, sizeof key, "%s%s", moves ? to : "", moves ? v->key + strlen(from) : v->key);
        if (strlen(key) >= sizeof v->key) exists = true;   /* the model has no room for it */
        else state_put(&moved, key, v->data, v->size, moves ? ++l->serial : v->serial);
        if (strlen(key) >= sizeof v->key) {
            state_free(&moved);
            return;
        }
    }
    CHECK_STATUS(l->store.functions->rename(l->store.context, from, to, &code), exists ? SHARDIO_ERR_EXISTS : SHARDIO_OK);
    if (!exists) state_copy(&l->now, &moved);
    state_free(&moved);
}

static const uint8_t *life_file(life *l, size_t *size)
{
    return rig_contents(&l->g, size);
}

/* Of every layer the bytes are those that they were, but for values that were in flight. */
static void life_check_prefixes(life *l)
{
    size_t size;
    const uint8_t *file = life_file(l, &size);
    for (size_t i = 0; i < l->count; i++) {
        const life_layer *y = &l->layers[i];
        if (!CHECK(size >= y->length)) continue;
        for (size_t at = 0; at < y->length; at++) {
            if (file[at] == y->prefix[at]) continue;
            bool masked = false;
            for (size_t k = 0; k < y->masks; k++) masked = masked || (at >= y->mask[k].begin && at < y->mask[k].end);
            if (masked) continue;
            fprintf(stderr, "byte %llu of layer %llu changed\n", (unsigned long long)at, (unsigned long long)(i + 1));
            CHECK(file[at] == y->prefix[at]);
            break;
        }
    }
}

static void life_forget_layer(life_layer *y)
{
    state_free(&y->s);
    free(y->prefix);
    memset(y, 0, sizeof *y);
}

/* The file as it is becomes a layer of the model. */
static void life_add_layer(life *l)
{
    if (l->count == LAYERS) return;
    life_layer *y = &l->layers[l->count++];
    size_t size;
    const uint8_t *file = life_file(l, &size);
    memset(y, 0, sizeof *y);
    state_copy(&y->s, &l->now);
    y->prefix = (uint8_t *)malloc(size + 1);
    if (size > 0) memcpy(y->prefix, file, size);
    y->length = size;
    for (int i = 0; i < FLIGHTS; i++) {
        const flight *f = &l->flights[i];
        const shardio_p_zip_value *v = (const shardio_p_zip_value *)f->file.context;
        if (!f->used || f->lost || !v->streamed || v->moves) continue;
        y->mask[y->masks].begin = v->place.begin;
        y->mask[y->masks++].end = v->place.end;
    }
}

typedef struct seen_layers {
    life *l;
    size_t count;
} seen_layers;

static bool life_see_layer(void *context, uint64_t number, uint64_t directory, uint64_t size, uint64_t entries)
{
    seen_layers *seen = (seen_layers *)context;
    const life_layer *y = &seen->l->layers[seen->l->count - ++seen->count];
    CHECK_U64(number, seen->l->count - seen->count + 1);
    CHECK_U64(size, y->length);
    CHECK_U64(entries, y->s.count);
    CHECK(directory < size);
    return seen->count < seen->l->count;
}

/* A reader of one layer, beside the writer. */
static void life_check_layer(life *l, size_t number)
{
    shardio_archive_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.layer = number;
    shardio_archive *a = l->g.real ? shardio_archive_open(l->g.path, &o, &error)
                                   : shardio_archive_open_file(shardio_memory_file(&l->g.memory, "memory"), &o, &error);
    if (!CHECK(a != NULL)) return;
    shardio_store store = shardio_archive_store(a);
    if (number > 0) CHECK_U64(shardio_archive_about(a).layer, number);
    if (number > 0 && number < l->count) CHECK_U64(shardio_archive_about(a).torn_bytes, 0);
    state_check(&l->layers[(number > 0 ? number : l->count) - 1].s, &store);
    CHECK_OK(shardio_archive_verify(a, no_findings, NULL, NULL, NULL, &error));
    shardio_archive_close(a);
}

static bool life_is_empty_somewhere(const life *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->layers[i].s.count == 0) return true;
    return false;
}

static void life_check_layers(life *l)
{
    seen_layers seen;
    shardio_error error;
    seen.l = l;
    seen.count = 0;
    if (l->count == 0 || life_is_empty_somewhere(l)) return;   /* a directory without entries has no chain */
    CHECK_OK(shardio_archive_each_layer(l->a, false, life_see_layer, &seen, &error));
    CHECK_U64(seen.count, l->count);
    life_check_layer(l, life_pick(l, l->count + 1));
}

static void life_commit(life *l)
{
    shardio_error error;
    shardio_archive_facts before = shardio_archive_about(l->a);
    if (l->count == LAYERS) return;
    CHECK_OK(shardio_archive_commit(l->a, &error));
    CHECK(!shardio_archive_about(l->a).changed);
    if (before.changed) {
        life_add_layer(l);
        CHECK_U64(shardio_archive_about(l->a).size, l->layers[l->count - 1].length);
        state_check_zip(&l->now, l->layers[l->count - 1].prefix, l->layers[l->count - 1].length);
    }
    life_check_prefixes(l);
    life_check_layers(l);
}

/* Flights that were discarded with the rest know it. */
static void life_lose_flights(life *l)
{
    for (int i = 0; i < FLIGHTS; i++) l->flights[i].lost = l->flights[i].used;
}

static void life_back(life *l)
{
    if (l->count > 0) state_copy(&l->now, &l->layers[l->count - 1].s);
    else state_free(&l->now);
}

static void life_discard(life *l)
{
    shardio_error error;
    CHECK_OK(shardio_archive_discard(l->a, &error));
    life_lose_flights(l);
    life_back(l);
}

static void life_rollback(life *l)
{
    shardio_error error;
    size_t number = l->count == 0 ? 1 : 1 + life_pick(l, l->count);
    bool changed = shardio_archive_about(l->a).changed || l->a->file_size > l->a->length, same = number == l->count;
    if (life_is_empty_somewhere(l)) return;
    CHECK_STATUS(shardio_archive_rollback(l->a, number, &error), l->count == 0 ? SHARDIO_ERR_NOT_FOUND : SHARDIO_OK);
    if (l->count == 0) return;
    if (changed || !same) life_lose_flights(l);
    while (l->count > number) life_forget_layer(&l->layers[--l->count]);
    life_back(l);
    CHECK_U64(shardio_archive_about(l->a).layer, number);
}

static void life_close_flights(life *l)
{
    for (int i = 0; i < FLIGHTS; i++)
        if (l->flights[i].used) flight_end(&l->flights[i], SHARDIO_CLOSE_DISCARD, SHARDIO_OK);
}

static void life_reopen(life *l, bool finish)
{
    shardio_error error;
    size_t size;
    life_close_flights(l);
    bool changed = shardio_archive_about(l->a).changed;
    if (finish && l->count == LAYERS) finish = false;
    if (finish) CHECK_OK(shardio_archive_finish(l->a, &error));
    else shardio_archive_close(l->a);
    CHECK_U64(l->c.live, 0);
    if (finish && changed) life_add_layer(l);
    else life_back(l);
    (void)life_file(l, &size);
    CHECK_U64(size, l->count > 0 ? l->layers[l->count - 1].length : 0);
    life_check_prefixes(l);
    life_open(l);
}

/* Only on a file of the system's: the layers become one. */
static void life_compact(life *l)
{
    shardio_error error;
    size_t before, after;
    if (!l->g.real || l->count == 0) return;
    life_reopen(l, true);
    shardio_archive_close(l->a);
    (void)life_file(l, &before);
    CHECK_OK(shardio_archive_compact(l->g.path, &l->o, NULL, NULL, &error));
    (void)life_file(l, &after);
    while (l->count > 0) life_forget_layer(&l->layers[--l->count]);
    life_add_layer(l);
    state_check_zip(&l->now, l->layers[0].prefix, l->layers[0].length);
    life_open(l);
    CHECK_U64(shardio_archive_about(l->a).layer, 1);
}

static void life_step(life *l)
{
    flight *f;
    shardio_status expected;
    int code = 0;
    switch (life_pick(l, 32)) {
    case 0: case 1: life_commit(l); break;
    case 2: if (life_pick(l, 3) == 0) life_discard(l); break;
    case 3: if (life_pick(l, 3) == 0) life_rollback(l); break;
    case 4: if (life_pick(l, 2) == 0) life_reopen(l, life_pick(l, 2)); break;
    case 5: if (life_pick(l, 2) == 0) life_compact(l); break;
    case 6: case 7: life_remove(l); break;
    case 8: life_rename(l); break;
    case 9: case 10: case 11: life_put(l); break;
    case 12: case 13: life_slot(l); break;
    case 14: case 15:
        f = &l->flights[life_pick(l, FLIGHTS)];
        if (!f->used) break;
        expected = life_published(l, f);
        flight_end(f, SHARDIO_CLOSE_PUBLISH, expected);
        break;
    case 16:
        f = &l->flights[life_pick(l, FLIGHTS)];
        if (f->used) flight_end(f, SHARDIO_CLOSE_DISCARD, SHARDIO_OK);
        break;
    case 17: case 18:
        f = &l->flights[life_pick(l, FLIGHTS)];
        if (!f->used) break;
        expected = life_published(l, f);
        CHECK_STATUS(f->file.functions->publish(f->file.context, false, &code), expected);
        break;
    case 19: case 20:
        f = &l->flights[life_pick(l, FLIGHTS)];
        if (f->used) life_read_flight(l, f);
        break;
    case 21:
        f = &l->flights[life_pick(l, FLIGHTS)];
        if (f->used) life_resize(l, f);
        break;
    default:
        f = life_begin(l);
        if (f != NULL) life_write(l, f);
    }
}

typedef struct life_kind {
    bool real, plain;
    uint32_t block;          /* of the device */
    uint32_t alignment;
    size_t buffer;
    bool shorten;
} life_kind;

static void life_start(life *l, const life_kind *k, uint64_t seed)
{
    memset(l, 0, sizeof *l);
    rig_begin(&l->g, k->real, k->real ? NULL : "", 0);
    l->plain = k->plain;
    l->g.faulty.alignment = k->block;
    l->g.faulty.shorten = k->shorten ? seed + 1 : 0;
    l->o.write = true;
    l->o.alignment = k->alignment;
    l->o.buffer_size = k->buffer;
    l->o.durability = k->real ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    l->o.allocator = counter_begin(&l->c);
    l->random = seed;
    life_open(l);
    l->small = l->a->block > 1 ? l->a->block : 100;
    l->large = l->a->buffer_size;
}

static void life_end(life *l)
{
    life_close_flights(l);
    shardio_archive_close(l->a);
    CHECK_U64(l->c.live, 0);
    while (l->count > 0) life_forget_layer(&l->layers[--l->count]);
    state_free(&l->now);
    rig_end(&l->g);
}

static void life_live(const life_kind *k, uint64_t seed, int steps)
{
    life *l = (life *)malloc(sizeof *l);
    int before = test_failures;
    life_start(l, k, seed);
    for (int i = 0; i < steps && test_failures == before; i++) {
        life_step(l);
        if (i % 8 == 0) state_check(&l->now, &l->store);
    }
    state_check(&l->now, &l->store);
    life_commit(l);
    life_reopen(l, false);
    state_check(&l->now, &l->store);
    life_check_layers(l);
    if (test_failures != before)
        fprintf(stderr, "seed %llu real %d plain %d block %u alignment %u buffer %llu shorten %d\n", (unsigned long long)seed, k->real,
                k->plain, k->block, k->alignment, (unsigned long long)k->buffer, k->shorten);
    life_end(l);
    free(l);
}

TEST(lives_in_memory)
{
    static const life_kind kinds[] = {{false, true, 0, 0, 1, false}, {false, true, 0, 64, 5000, false}, {false, true, 0, 0, 60000, false}};
    for (uint64_t seed = 0; seed < 3 * test_rounds(6) && test_failures == 0; seed++) life_live(&kinds[seed % 3], seed * 1000000, 150);
}

TEST(lives_on_devices)
{
    static const life_kind kinds[] = {{false, false, 512, 0, 1, false}, {false, false, 4096, 0, 30000, true}, {false, false, 0, 0, 1, true},
                                      {false, false, 512, 4096, 1, true}, {false, false, 512, 64, 100000, false}};
    for (uint64_t seed = 0; seed < 5 * test_rounds(4) && test_failures == 0; seed++) life_live(&kinds[seed % 5], 77 + seed * 1000000, 150);
}

TEST(lives_with_large_blocks)
{
    static const life_kind kinds[] = {{false, false, 65536, 0, 1, false}, {false, false, 4096, 32768, 1, false}, {false, false, 131072, 0, 1, false}};
    for (uint64_t seed = 0; seed < 3 * test_rounds(1) && test_failures == 0; seed++) life_live(&kinds[seed % 3], 5 + seed * 1000000, 60);
}

TEST(lives_on_files)
{
    WINE_CANNOT("open a file again that was renamed");
    static const life_kind kinds[] = {{true, false, 0, 0, 1, false}, {true, false, 0, 64, 100000, false}};
    for (uint64_t seed = 0; seed < 2 * test_rounds(3) && test_failures == 0; seed++) life_live(&kinds[seed % 2], 31 + seed * 1000000, 120);
}

/* ---- Crashes: what was not synced is there, lost or torn. */
enum { CRASH_MARKS = 8 };

typedef struct crash_life {
    rig g;
    faulty_tape *tape;
    shardio_archive *a;
    shardio_store store;
    state now;
    struct { state s; size_t begun, done; } mark[CRASH_MARKS];   /* commits: operations when they began and ended */
    size_t marks;
    uint64_t random, serial;
    shardio_archive_options o;
} crash_life;

static size_t crash_pick(crash_life *l, size_t n)
{
    return (size_t)(test_random(&l->random) % n);
}

static void crash_open(crash_life *l)
{
    shardio_error error;
    memset(l->tape, 0, sizeof *l->tape);
    l->g.faulty.direct = false;
    l->g.faulty.tape = l->tape;
    l->a = shardio_archive_open_file(rig_open(&l->g, true), &l->o, &error);
    if (!CHECK(l->a != NULL)) exit(1);
    l->store = shardio_archive_store(l->a);
    state_copy(&l->mark[0].s, &l->now);
    l->mark[0].begun = l->mark[0].done = 0;
    l->marks = 1;
}

static void crash_put(crash_life *l)
{
    char key[40];
    static uint8_t data[20000];
    size_t size = crash_pick(l, 3) == 0 ? crash_pick(l, sizeof data - 8) : crash_pick(l, 300);
    snprintf(key, sizeof key, "array-%u/c/%u", (unsigned)crash_pick(l, 3), (unsigned)crash_pick(l, 9));
    test_fill(data, size, test_random(&l->random));
    CHECK_OK(store_put(&l->store, key, data, size));
    state_put(&l->now, key, data, size, ++l->serial);
}

static void crash_commit(crash_life *l)
{
    shardio_error error;
    l->mark[l->marks].begun = l->tape->ops;
    CHECK_OK(shardio_archive_commit(l->a, &error));
    l->mark[l->marks].done = l->tape->ops;
    state_copy(&l->mark[l->marks++].s, &l->now);
}

/* Rolling back to the layer before counts as a commit. */
static void crash_roll_back(crash_life *l)
{
    shardio_error error;
    if (l->marks < 2 || l->marks > CRASH_MARKS - 1 || l->mark[l->marks - 2].done == l->mark[l->marks - 1].done) return;
    l->mark[l->marks].begun = l->tape->ops;
    CHECK_OK(shardio_archive_rollback(l->a, shardio_archive_about(l->a).layer - 1, &error));
    l->mark[l->marks].done = l->tape->ops;
    state_copy(&l->now, &l->mark[l->marks - 2].s);
    state_copy(&l->mark[l->marks++].s, &l->now);
}

static void crash_session(crash_life *l)
{
    shardio_error error;
    size_t commits = crash_pick(l, 3);
    for (size_t i = 0; i <= commits; i++) {
        for (size_t n = 1 + crash_pick(l, 7); n > 0; n--) {
            if (crash_pick(l, 4) != 0 || l->now.count < 2) {
                crash_put(l);
            } else {
                char key[80];
                snprintf(key, sizeof key, "%s", l->now.values[crash_pick(l, l->now.count)].key);
                CHECK_OK(store_remove(&l->store, key));
                state_remove(&l->now, key);
            }
        }
        if (crash_pick(l, 6) == 0) {
            CHECK_OK(shardio_archive_discard(l->a, &error));
            state_copy(&l->now, &l->mark[l->marks - 1].s);
            crash_put(l);
        }
        if (i < commits || crash_pick(l, 3) != 0) crash_commit(l);
    }
    if (crash_pick(l, 5) == 0 && shardio_archive_about(l->a).layer > 1 && !shardio_archive_about(l->a).changed && commits > 0) {
        crash_roll_back(l);
        if (crash_pick(l, 2) == 0) crash_put(l);
    }
}

/* Applies the first `ops` operations: what came before the last sync is there, of what came after it any part. */
static void crash_play(crash_life *l, uint8_t **bytes, size_t *size, size_t ops, bool in_order)
{
    const faulty_tape *t = l->tape;
    size_t synced = 0;
    for (size_t i = 0; i < ops; i++)
        if (t->op[i].call == FAULTY_SYNC) synced = i;
    for (size_t i = 0; i < ops; i++) {
        bool sure = i < synced || in_order;
        size_t n = (size_t)t->op[i].size, at = (size_t)t->op[i].offset;
        if (t->op[i].call == FAULTY_SYNC || (!sure && crash_pick(l, 3) == 0)) continue;
        size_t end = t->op[i].call == FAULTY_RESIZE ? n : at + n;
        if (end > *size || t->op[i].call == FAULTY_RESIZE) {
            *bytes = (uint8_t *)realloc(*bytes, end + 1);
            if (end > *size) memset(*bytes + *size, 0, end - *size);
            *size = end;
        }
        if (t->op[i].call == FAULTY_RESIZE) continue;
        bool torn = !sure && crash_pick(l, 2) == 0;
        for (size_t k = 0; k < n; k += 512)
            if (!torn || crash_pick(l, 2) == 0) memcpy(*bytes + at + k, t->data + t->op[i].at + k, n - k < 512 ? n - k : 512);
    }
}

static bool crash_holds(const uint8_t *bytes, size_t size, const state *s)
{
    shardio_memory memory;
    shardio_error error;
    memset(&memory, 0, sizeof memory);
    memory.data = (uint8_t *)(uintptr_t)bytes;
    memory.size = memory.capacity = size;
    memory.fixed = true;
    shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "crashed"), NULL, &error);
    if (a == NULL) return false;
    shardio_store store = shardio_archive_store(a);
    bool same = state_fits(s, &store) && shardio_archive_verify(a, NULL, NULL, NULL, NULL, &error) == SHARDIO_OK;
    shardio_archive_close(a);
    return same;
}

/* Of the session on `old` only the first `op` operations came to the device. What is there then is the last layer complete
   by then, or the one that was on its way; the writer goes on with it. */
static void crash_at(crash_life *l, const uint8_t *old, size_t old_size, size_t op, bool in_order)
{
    size_t size = old_size, last = 0;
    uint8_t *bytes = (uint8_t *)malloc(size + 1);
    memcpy(bytes, old, size);
    crash_play(l, &bytes, &size, op, in_order);
    while (last + 1 < l->marks && l->mark[last + 1].done <= op) last++;
    bool coming = last + 1 < l->marks && l->mark[last + 1].begun <= op;
    bool is_old = crash_holds(bytes, size, &l->mark[last].s);
    bool is_new = coming && crash_holds(bytes, size, &l->mark[last + 1].s);
    if (!CHECK(is_old || is_new))
        fprintf(stderr, "after %u of %u operations, commit %u\n", (unsigned)op, (unsigned)l->tape->ops, (unsigned)last);
    state_copy(&l->now, &l->mark[is_new ? last + 1 : last].s);
    CHECK_OK(shardio_p_memory_resize(&l->g.memory, size, NULL));
    memcpy(l->g.memory.data, bytes, size);
    free(bytes);
}

/* Goes on cleanly from what a crash left. */
static void crash_check_writer(crash_life *l)
{
    size_t size;
    crash_open(l);
    state_check(&l->now, &l->store);
    crash_put(l);
    crash_commit(l);
    state_check(&l->now, &l->store);
    shardio_archive_close(l->a);
    const uint8_t *file = rig_contents(&l->g, &size);
    state_check_zip(&l->now, file, size);
}

static void crash_start(crash_life *l, uint64_t seed, uint32_t block)
{
    memset(l, 0, sizeof *l);
    l->random = seed;
    l->tape = (faulty_tape *)calloc(1, sizeof *l->tape);
    rig_begin(&l->g, false, "", 0);
    l->g.faulty.alignment = block;
    l->o.write = true;
    l->o.buffer_size = 1;
    l->o.comment = seed % 2 ? "a comment" : NULL;
    l->o.ome_version = seed % 3 ? NULL : "0.5";
    crash_open(l);
    crash_put(l);
    crash_commit(l);
    shardio_archive_close(l->a);
}

static void crash_end(crash_life *l)
{
    for (size_t i = 0; i < CRASH_MARKS; i++) state_free(&l->mark[i].s);
    state_free(&l->now);
    free(l->tape);
    rig_end(&l->g);
}

/* One crash after the other, each in a session that goes on from what the one before left. */
TEST(crashes_in_a_row)
{
    crash_life *l = (crash_life *)malloc(sizeof *l);
    for (uint64_t seed = 0; seed < test_rounds(40) && test_failures == 0; seed++) {
        crash_start(l, seed * 1000000, seed % 2 ? 512 : 4096);
        for (int round = 0; round < 6 && test_failures == 0; round++) {
            size_t size;
            const uint8_t *file = rig_contents(&l->g, &size);
            uint8_t *old = (uint8_t *)malloc(size + 1);
            memcpy(old, file, size);
            crash_open(l);
            crash_session(l);
            size_t ops = l->tape->ops;
            shardio_archive_close(l->a);
            crash_at(l, old, size, crash_pick(l, ops + 1), crash_pick(l, 4) == 0);
            free(old);
        }
        if (test_failures == 0) crash_check_writer(l);
        else fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        crash_end(l);
    }
    free(l);
}

/* Every prefix of one session, in order and with every kind of loss. */
TEST(crashes_everywhere)
{
    crash_life *l = (crash_life *)malloc(sizeof *l);
    for (uint64_t seed = 1; seed < test_rounds(3) + 1 && test_failures == 0; seed++) {
        size_t size;
        crash_start(l, seed * 77, 512);
        const uint8_t *file = rig_contents(&l->g, &size);
        uint8_t *old = (uint8_t *)malloc(size + 1);
        memcpy(old, file, size);
        crash_open(l);
        crash_session(l);
        crash_commit(l);
        size_t ops = l->tape->ops;
        shardio_archive_close(l->a);
        for (size_t op = 0; op <= ops && test_failures == 0; op++)
            for (int kind = 0; kind < 12; kind++) crash_at(l, old, size, op, kind == 0);
        free(old);
        crash_end(l);
    }
    free(l);
}

/* ---- Faults: every call to the file, every allocation. */

/* Two layers on a file, the state of the second. */
static void fault_base(rig *g, state *s, uint32_t block)
{
    shardio_archive_options o;
    shardio_error error;
    uint8_t data[3000];
    memset(s, 0, sizeof *s);
    memset(&o, 0, sizeof o);
    o.write = true;
    o.buffer_size = 1;
    rig_begin(g, false, "", 0);
    g->faulty.alignment = block;
    shardio_archive *a = shardio_archive_open_file(rig_open(g, true), &o, &error);
    shardio_store store = shardio_archive_store(a);
    for (unsigned i = 0; i < 6; i++) {
        char key[20];
        snprintf(key, sizeof key, "a/c/%u", i % 4);
        test_fill(data, i * 500, i);
        CHECK_OK(store_put(&store, key, data, i * 500));
        state_put(s, key, data, i * 500, i);
        if (i == 2) CHECK_OK(shardio_archive_commit(a, &error));
    }
    CHECK_OK(shardio_archive_finish(a, &error));
    g->faulty.direct = false;   /* the next one is opened anew */
}

/* Everything that a writer does, until something fails. *committed says which state is the last layer: 0 that of before, 1
   and 2 those that are made here. */
static shardio_status fault_session(shardio_archive *a, const shardio_allocator *allocator, state *made, int *committed)
{
    static uint8_t data[200000];
    shardio_store store = shardio_archive_store(a);
    shardio_file one, two;
    shardio_error error;
    int code = 0;
    size_t done;
    shardio_status s = SHARDIO_OK, closed;
    test_fill(data, sizeof data, 9);
    s = store.functions->create(store.context, "b/c/0", true, 10, allocator, &one, &code);
    if (s != SHARDIO_OK) return s;
    s = store.functions->create(store.context, "b/c/1", true, 9000, allocator, &two, &code);
    if (s != SHARDIO_OK) {
        file_close(&one, SHARDIO_CLOSE_DISCARD);
        return s;
    }
    for (size_t at = 0; at < 9000 && s == SHARDIO_OK; at += 3000) s = file_write_all(&two, at, data + at, 3000);
    if (s == SHARDIO_OK) s = file_write_all(&one, 0, data, 60000);
    if (s == SHARDIO_OK) s = one.functions->publish(one.context, true, &code);
    if (s == SHARDIO_OK) s = one.functions->write(one.context, 100, data, 100, &done, &code);
    closed = file_close(&one, s == SHARDIO_OK ? SHARDIO_CLOSE_PUBLISH : SHARDIO_CLOSE_DISCARD);
    if (s == SHARDIO_OK) s = closed;
    closed = file_close(&two, s == SHARDIO_OK ? SHARDIO_CLOSE_PUBLISH : SHARDIO_CLOSE_DISCARD);
    if (s == SHARDIO_OK) s = closed;
    if (s == SHARDIO_OK) s = store_put(&store, "a/c/1", data, 77);
    if (s == SHARDIO_OK) s = store_remove(&store, "a/c/2");
    if (s == SHARDIO_OK) s = shardio_archive_commit(a, &error);
    if (s == SHARDIO_OK) *committed = 1;
    if (s == SHARDIO_OK) s = store.functions->rename(store.context, "b/", "z/", &code);
    if (s == SHARDIO_OK) s = store_put(&store, "q", data, 150000);
    if (s == SHARDIO_OK) s = shardio_archive_commit(a, &error);
    if (s == SHARDIO_OK) *committed = 2;
    if (s == SHARDIO_OK) s = shardio_archive_rollback(a, 3, &error);
    if (s == SHARDIO_OK) *committed = 1;
    if (made == NULL) return s;
    state_remove(&made[0], "a/c/2");
    state_put(&made[0], "a/c/1", data, 77, 0);
    state_put(&made[0], "b/c/1", data, 9000, 0);
    state_put(&made[0], "b/c/0", data, 60000, 0);
    memcpy(state_find(&made[0], "b/c/0")->data + 100, data, 100);
    return s;
}

typedef struct fault_rig {
    rig g;
    state states[3];
    uint8_t *base;
    size_t size;
    shardio_archive_options o;
    counter c;
} fault_rig;

static void fault_begin(fault_rig *f, uint32_t block)
{
    shardio_error error;
    int committed = 0;
    memset(f, 0, sizeof *f);
    fault_base(&f->g, &f->states[0], block);
    const uint8_t *file = rig_contents(&f->g, &f->size);
    f->base = (uint8_t *)malloc(f->size);
    memcpy(f->base, file, f->size);
    f->o.write = true;
    f->o.buffer_size = 1;
    f->o.allocator = counter_begin(&f->c);
    state_copy(&f->states[1], &f->states[0]);
    shardio_archive *a = shardio_archive_open_file(rig_open(&f->g, true), &f->o, &error);
    CHECK_OK(fault_session(a, f->o.allocator, &f->states[1], &committed));
    shardio_store store = shardio_archive_store(a);
    state_check(&f->states[1], &store);
    shardio_archive_close(a);
    CHECK_U64(f->c.live, 0);
    for (size_t i = 0; i < f->states[1].count; i++) {
        const kept *v = &f->states[1].values[i];
        char key[80];
        snprintf(key, sizeof key, "%s%s", v->key[0] == 'b' ? "z" : v->key, v->key[0] == 'b' ? v->key + 1 : "");
        state_put(&f->states[2], key, v->data, v->size, 0);
    }
    uint8_t *data = (uint8_t *)malloc(200000);
    test_fill(data, 200000, 9);
    state_put(&f->states[2], "q", data, 150000, 0);
    free(data);
}

static void fault_end(fault_rig *f)
{
    for (int i = 0; i < 3; i++) state_free(&f->states[i]);
    free(f->base);
    rig_end(&f->g);
}

/* One session with what the faulty file or the allocator was told. False: nothing failed. */
static bool fault_run(fault_rig *f, bool forever)
{
    shardio_error error;
    shardio_memory *memory = &f->g.memory;
    int committed = 0;
    size_t size;
    CHECK_OK(shardio_p_memory_resize(memory, f->size, NULL));
    memcpy(memory->data, f->base, f->size);
    f->g.faulty.direct = false;
    f->g.faulty.counted = f->g.faulty.fired = 0;
    f->c.calls = 0;
    shardio_archive *a = shardio_archive_open_file(rig_open(&f->g, true), &f->o, &error);
    if (a == NULL) CHECK(error.status != SHARDIO_OK);
    bool failed = a == NULL || fault_session(a, f->o.allocator, NULL, &committed) != SHARDIO_OK;
    if (a != NULL && failed && !forever) {
        /* it was once: after a discard all goes on */
        shardio_store store = shardio_archive_store(a);
        CHECK_OK(shardio_archive_discard(a, &error));
        int which = committed;
        if (!state_fits(&f->states[which], &store) && committed == 2) which = 1;   /* rolled back, but not durably */
        state_check(&f->states[which], &store);
        CHECK_OK(store_put(&store, "a/c/0", "after", 5));
        CHECK_OK(shardio_archive_commit(a, &error));
        const uint8_t *file = rig_contents(&f->g, &size);
        state with;
        memset(&with, 0, sizeof with);
        state_copy(&with, &f->states[which]);
        state_put(&with, "a/c/0", (const uint8_t *)"after", 5, 0);
        state_check(&with, &store);
        state_check_zip(&with, file, size);
        state_free(&with);
        shardio_archive_close(a);
    } else {
        shardio_archive_close(a);
        const uint8_t *file = rig_contents(&f->g, &size);
        /* where even cutting off fails, a commit that was complete but for its end may be there */
        bool last = crash_holds(file, size, &f->states[committed]);
        bool other = committed < 2 && crash_holds(file, size, &f->states[committed + 1]);
        bool back = committed == 2 && crash_holds(file, size, &f->states[1]);
        CHECK(last || (failed && forever && (other || back)));
    }
    CHECK_U64(f->c.live, 0);
    return failed;
}

static void fault_every(uint32_t block, unsigned only, shardio_status status, bool forever)
{
    fault_rig *f = (fault_rig *)malloc(sizeof *f);
    uint64_t n = 0;
    fault_begin(f, block);
    f->g.faulty.fail_only = only;
    f->g.faulty.fail_on = forever;
    f->g.faulty.fail_status = status;
    do {
        f->g.faulty.fail_at = n = n > 0 ? test_next(n) : 1;
    } while (test_failures == 0 && (fault_run(f, forever) || f->g.faulty.fired > 0) && n < 2000);
    if (test_failures > 0) fprintf(stderr, "call %llu of %x\n", (unsigned long long)n, only);
    CHECK(n > 1);
    fault_end(f);
    free(f);
}

TEST(every_write_fails) { fault_every(512, FAULTY_ONLY(FAULTY_WRITE), SHARDIO_ERR_NO_SPACE, false); fault_every(0, FAULTY_ONLY(FAULTY_WRITE), SHARDIO_ERR_IO, true); }
TEST(every_read_fails) { fault_every(512, FAULTY_ONLY(FAULTY_READ), SHARDIO_ERR_IO, false); fault_every(512, FAULTY_ONLY(FAULTY_READ), SHARDIO_ERR_IO, true); }
TEST(every_resize_fails) { fault_every(512, FAULTY_ONLY(FAULTY_RESIZE), SHARDIO_ERR_IO, false); fault_every(512, FAULTY_ONLY(FAULTY_RESIZE), SHARDIO_ERR_IO, true); }
TEST(every_sync_fails) { fault_every(512, FAULTY_ONLY(FAULTY_SYNC), SHARDIO_ERR_IO, false); fault_every(512, FAULTY_ONLY(FAULTY_SYNC), SHARDIO_ERR_IO, true); }
TEST(every_call_fails) { fault_every(512, FAULTY_ONLY(FAULTY_FACTS) | FAULTY_ONLY(FAULTY_WRITE) | FAULTY_ONLY(FAULTY_SYNC) | FAULTY_ONLY(FAULTY_RESIZE), SHARDIO_ERR_IO, true); }

TEST(every_allocation_fails)
{
    fault_rig *f = (fault_rig *)malloc(sizeof *f);
    uint64_t n = 0;
    fault_begin(f, 512);
    do f->c.fail_at = ++n;
    while (test_failures == 0 && fault_run(f, false));
    CHECK(n > 20);
    fault_end(f);
    free(f);
}

TEST(no_space_at_any_byte)
{
    fault_rig *f = (fault_rig *)malloc(sizeof *f);
    fault_begin(f, 512);
    for (f->g.faulty.space = f->size + 1; test_failures == 0 && fault_run(f, true); f->g.faulty.space += 3001) {}
    fault_end(f);
    free(f);
}

/* ---- What was found wrong once, each by itself. */

static shardio_archive *memory_archive(shardio_memory *memory, bool write, shardio_error *error)
{
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = write;
    return shardio_archive_open_file(shardio_memory_file(memory, "memory"), &o, error);
}

/* An archive on a file that fails; the rig holds its bytes. */
static shardio_archive *rig_archive(rig *g, bool write, shardio_error *error)
{
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = write;
    o.buffer_size = 1;
    g->faulty.direct = false;
    return shardio_archive_open_file(rig_open(g, write), &o, error);
}

/* A new archive with one value in one layer. */
static void rig_make(rig *g, const char *key, const char *text)
{
    shardio_error error;
    rig_begin(g, false, "", 0);
    g->faulty.alignment = 512;
    shardio_archive *a = rig_archive(g, true, &error);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put_text(&store, key, text));
    CHECK_OK(shardio_archive_finish(a, &error));
}

static void check_text(const shardio_store *store, const char *key, const char *text)
{
    size_t size;
    uint8_t *data = store_get(store, key, &size);
    CHECK_TEXT((const char *)data, text);
    free(data);
}

TEST(opening_that_fails_cuts_nothing)
{
    shardio_archive_options o;
    shardio_error error;
    size_t size, now;
    rig g;
    rig_make(&g, "a", "text");
    (void)rig_contents(&g, &size);
    CHECK_OK(shardio_p_memory_resize(&g.memory, size + 1000, NULL));
    memset(&o, 0, sizeof o);
    o.write = true;
    o.alignment = 3;
    g.faulty.direct = false;
    CHECK(shardio_archive_open_file(rig_open(&g, true), &o, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
    (void)rig_contents(&g, &now);
    CHECK_U64(now, size + 1000);
    rig_end(&g);
}

TEST(discarding_that_fails_commits_nothing)
{
    shardio_error error;
    rig g;
    rig_make(&g, "a", "text");
    shardio_archive *a = rig_archive(&g, true, &error);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put_text(&store, "b", "more"));
    g.faulty.fail_only = FAULTY_ONLY(FAULTY_READ);
    g.faulty.fail_at = 1;
    g.faulty.counted = 0;
    CHECK_STATUS(shardio_archive_discard(a, &error), SHARDIO_ERR_IO);
    CHECK_STATUS(store_put_text(&store, "c", "without a"), SHARDIO_ERR_STATE);
    CHECK_STATUS(shardio_archive_commit(a, &error), SHARDIO_ERR_STATE);
    CHECK_OK(shardio_archive_discard(a, &error));
    check_text(&store, "a", "text");
    CHECK_OK(store_put_text(&store, "c", "with a"));
    CHECK_OK(shardio_archive_finish(a, &error));
    a = rig_archive(&g, false, &error);
    store = shardio_archive_store(a);
    check_text(&store, "a", "text");
    check_text(&store, "c", "with a");
    shardio_archive_close(a);
    rig_end(&g);
}

/* A name that readers would refuse is refused when it is written. */
TEST(keys_that_are_no_text)
{
    static const char *const keys[] = {"d\xe9", "\xc3", "a/\xed\xa0\x80", "\xf5\x80\x80\x80"};
    shardio_error error;
    rig g;
    rig_make(&g, "a", "text");
    shardio_archive *a = rig_archive(&g, true, &error);
    shardio_store store = shardio_archive_store(a);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        CHECK_STATUS(store_put_text(&store, keys[i], "x"), SHARDIO_ERR_ARGUMENT);
    CHECK_OK(store_put_text(&store, "d\xc3\xa9", "x"));
    CHECK_OK(shardio_archive_finish(a, &error));
    a = rig_archive(&g, false, &error);
    CHECK_U64(shardio_archive_about(a).entries, 2);
    shardio_archive_close(a);
    rig_end(&g);
}

/* A layer that could not be made durable is not there afterwards, and not made of what may be lost. */
TEST(commit_that_cannot_sync)
{
    for (uint64_t n = 1; n <= 2; n++) {
        shardio_error error;
        rig g;
        rig_make(&g, "a", "text");
        shardio_archive *a = rig_archive(&g, true, &error);
        shardio_store store = shardio_archive_store(a);
        CHECK_OK(store_put_text(&store, "b", "more"));
        g.faulty.fail_only = FAULTY_ONLY(FAULTY_SYNC);
        g.faulty.fail_at = n;
        g.faulty.counted = 0;
        CHECK_STATUS(shardio_archive_commit(a, &error), SHARDIO_ERR_IO);
        CHECK_STATUS(shardio_archive_commit(a, &error), SHARDIO_ERR_STATE);
        shardio_archive *reader = rig_archive(&g, false, &error);
        CHECK_U64(shardio_archive_about(reader).layer, 1);
        shardio_archive_close(reader);
        CHECK_OK(shardio_archive_discard(a, &error));
        shardio_archive_close(a);
        reader = rig_archive(&g, false, &error);
        CHECK_U64(shardio_archive_about(reader).layer, 1);
        CHECK_U64(shardio_archive_about(reader).torn_bytes, 0);
        shardio_archive_close(reader);
        rig_end(&g);
    }
}

TEST(rolling_back_that_cannot_sync)
{
    shardio_error error;
    rig g;
    rig_make(&g, "a", "text");
    shardio_archive *a = rig_archive(&g, true, &error);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put_text(&store, "b", "more"));
    CHECK_OK(shardio_archive_commit(a, &error));
    g.faulty.fail_only = FAULTY_ONLY(FAULTY_SYNC);
    g.faulty.fail_at = 1;
    g.faulty.counted = 0;
    CHECK_STATUS(shardio_archive_rollback(a, 1, &error), SHARDIO_ERR_IO);
    CHECK(store_remove(&store, "b") == SHARDIO_ERR_NOT_FOUND);   /* its bytes are gone */
    CHECK_OK(store_put_text(&store, "c", "later"));
    CHECK_OK(shardio_archive_finish(a, &error));
    a = rig_archive(&g, false, &error);
    store = shardio_archive_store(a);
    CHECK_OK(shardio_archive_verify(a, no_findings, NULL, NULL, NULL, &error));
    check_text(&store, "c", "later");
    shardio_archive_close(a);
    rig_end(&g);
}

/* A reader of a value that was replaced before it was committed: its place in the file is another's now. */
TEST(a_replaced_value_is_not_misread)
{
    static uint8_t old_bytes[9000], new_bytes[9000], read[9000];
    shardio_memory memory;
    shardio_error error;
    shardio_file file;
    size_t done;
    int code = 0;
    memset(&memory, 0, sizeof memory);
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = true;
    o.buffer_size = 1;
    shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), &o, &error);
    shardio_store store = shardio_archive_store(a);
    memset(old_bytes, 1, sizeof old_bytes);
    memset(new_bytes, 2, sizeof new_bytes);
    CHECK_OK(store_put(&store, "a", old_bytes, sizeof old_bytes));
    CHECK_OK(store.functions->open(store.context, "a", false, NULL, &file, &code));
    CHECK_OK(store_remove(&store, "a"));
    CHECK_OK(store_put(&store, "b", new_bytes, sizeof new_bytes));
    CHECK_STATUS(file.functions->read(file.context, 10, read, 100, &done, &code), SHARDIO_ERR_CHANGED);
    CHECK_OK(shardio_archive_commit(a, &error));
    CHECK_STATUS(file.functions->read(file.context, 10, read, 100, &done, &code), SHARDIO_ERR_CHANGED);
    file_close(&file, SHARDIO_CLOSE_KEEP);
    /* what was committed stays readable, as a file that is removed does */
    CHECK_OK(store.functions->open(store.context, "b", false, NULL, &file, &code));
    CHECK_OK(store_put(&store, "b", old_bytes, sizeof old_bytes));
    CHECK_OK(shardio_file_read(&file, 0, read, sizeof read, &error));
    CHECK_BYTES(read, new_bytes, sizeof read);
    file_close(&file, SHARDIO_CLOSE_KEEP);
    shardio_archive_close(a);
    shardio_memory_free(&memory);
}

/* What nobody wrote is zero, also where another value was before. */
TEST(holes_are_zeros)
{
    static uint8_t bytes[9000], zeros[9000];
    shardio_memory memory;
    shardio_archive_options o;
    shardio_error error;
    shardio_file file;
    size_t size;
    int code = 0;
    memset(&memory, 0, sizeof memory);
    memset(&o, 0, sizeof o);
    o.write = true;
    o.buffer_size = 1;
    shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), &o, &error);
    shardio_store store = shardio_archive_store(a);
    memset(bytes, 7, sizeof bytes);
    CHECK_OK(store_put(&store, "a", bytes, sizeof bytes));
    CHECK_OK(store_put(&store, "z", bytes, sizeof bytes));
    CHECK_OK(store_remove(&store, "a"));
    CHECK_OK(store.functions->create(store.context, "a", true, sizeof bytes, NULL, &file, &code));
    CHECK_OK(file_write_all(&file, 8999, bytes, 1));
    CHECK_OK(file_close(&file, SHARDIO_CLOSE_PUBLISH));
    uint8_t *read = store_get(&store, "a", &size);
    CHECK_U64(size, 9000);
    if (read != NULL) CHECK_BYTES(read, zeros, 8999);
    free(read);
    shardio_archive_close(a);
    shardio_memory_free(&memory);
}

TEST(a_comment_that_was_asked_for_stays)
{
    shardio_archive_options o;
    shardio_error error;
    size_t size;
    rig g;
    rig_make(&g, "a", "text");
    memset(&o, 0, sizeof o);
    o.write = true;
    o.comment = "wanted";
    g.faulty.direct = false;
    shardio_archive *a = shardio_archive_open_file(rig_open(&g, true), &o, &error);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put_text(&store, "b", "1"));
    CHECK_OK(shardio_archive_discard(a, &error));
    CHECK_OK(store_put_text(&store, "b", "2"));
    CHECK_OK(shardio_archive_finish(a, &error));
    const uint8_t *file = rig_contents(&g, &size);
    CHECK(memcmp(file + size - 6, "wanted", 6) == 0);
    rig_end(&g);
}

/* `most` is a wish for room, not a number to add to offsets. */
TEST(any_most_is_taken)
{
    static const uint64_t most[] = {UINT64_MAX - 1, UINT64_MAX / 2, (uint64_t)1 << 62, (uint64_t)1 << 49};
    shardio_memory memory;
    shardio_error error;
    memset(&memory, 0, sizeof memory);
    shardio_archive *a = memory_archive(&memory, true, &error);
    shardio_store store = shardio_archive_store(a);
    for (unsigned i = 0; i < 4; i++) {
        shardio_file one, two;
        int code = 0;
        CHECK_OK(store.functions->create(store.context, "one", true, most[i], NULL, &one, &code));
        CHECK_OK(store.functions->create(store.context, "two", true, most[i], NULL, &two, &code));
        CHECK_OK(file_write_all(&one, 0, "one", 3));
        CHECK_OK(file_write_all(&two, 0, "two", 3));
        CHECK_OK(file_close(&two, SHARDIO_CLOSE_PUBLISH));
        CHECK_OK(file_close(&one, SHARDIO_CLOSE_PUBLISH));
        check_text(&store, "one", "one");
        check_text(&store, "two", "two");
    }
    CHECK_OK(shardio_archive_commit(a, &error));
    CHECK(memory.size < 100 << 20);
    shardio_archive_close(a);
    shardio_memory_free(&memory);
}

/* Every key removed: a layer like others, though its directory has no place for the chain. */
TEST(an_empty_layer)
{
    shardio_error error;
    key_list keys;
    rig g;
    rig_make(&g, "a", "text");
    shardio_archive *a = rig_archive(&g, true, &error);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_remove(&store, "a"));
    CHECK_OK(shardio_archive_commit(a, &error));
    shardio_archive_close(a);
    a = rig_archive(&g, true, &error);
    store = shardio_archive_store(a);
    CHECK_OK(store_keys(&store, "", &keys));
    CHECK_U64(keys.count, 0);
    CHECK_OK(store_put_text(&store, "b", "more"));
    CHECK_OK(shardio_archive_commit(a, &error));
    CHECK_OK(shardio_archive_discard(a, &error));
    check_text(&store, "b", "more");
    shardio_archive_close(a);
    rig_end(&g);
}

/* One value written as `direct` wishes, to a file that refuses unbuffered I/O with a code or, with `alignment` 0, has none. */
static shardio_accounting write_as_wished(shardio_direct direct, uint32_t alignment, int refuse, int refuse_write,
                                          shardio_status *status)
{
    shardio_archive_options o;
    shardio_error error;
    shardio_accounting accounting;
    rig g;
    memset(&o, 0, sizeof o);
    memset(&accounting, 0, sizeof accounting);
    rig_begin(&g, false, "", 0);
    g.faulty.alignment = alignment;
    g.faulty.refuse_direct = refuse;
    g.faulty.refuse_write = refuse_write;
    o.write = true;
    o.direct = direct;
    o.buffer_size = 1;
    shardio_archive *a = shardio_archive_open_file(rig_open(&g, true), &o, &error);
    *status = error.status;
    if (a != NULL) {
        static uint8_t zeros[40000];
        shardio_store store = shardio_archive_store(a);
        store_put(&store, "a", zeros, sizeof zeros);
        *status = shardio_archive_commit(a, &error);
        accounting = shardio_archive_about(a).accounting;
    }
    shardio_archive_close(a);
    rig_end(&g);
    return accounting;
}

TEST(accounting_says_why_it_is_buffered)
{
    shardio_status status;
    shardio_accounting is = write_as_wished(SHARDIO_DIRECT_AUTO, 512, 0, 0, &status);
    CHECK_OK(status);
    CHECK(is.direct && is.direct_reason == NULL);
    is = write_as_wished(SHARDIO_DIRECT_OFF, 512, 0, 0, &status);
    CHECK_OK(status);
    CHECK(!is.direct);
    CHECK_TEXT(is.direct_reason, "not asked for");
    is = write_as_wished(SHARDIO_DIRECT_AUTO, 0, 0, 0, &status);
    CHECK_OK(status);
    CHECK(!is.direct);
    CHECK_TEXT(is.direct_reason, "the file system has no unbuffered I/O");
    (void)write_as_wished(SHARDIO_DIRECT_ON, 0, 0, 0, &status);
    CHECK_STATUS(status, SHARDIO_ERR_DIRECT);
    is = write_as_wished(SHARDIO_DIRECT_AUTO, 512, EINVAL, 0, &status);
    CHECK_OK(status);
    CHECK(!is.direct && is.direct_code == EINVAL);
    CHECK_TEXT(is.direct_reason, "the system refused unbuffered I/O");
    is = write_as_wished(SHARDIO_DIRECT_AUTO, 512, 0, EINVAL, &status);
    CHECK_OK(status);
    CHECK(!is.direct && is.direct_code == EINVAL);
    CHECK_TEXT(is.direct_reason, "the system refused an unbuffered write");
}

/* A read that fails while an archive is opened is an error, never an older layer. */
TEST(reads_that_fail_while_opening)
{
    shardio_error error;
    shardio_archive_options o;
    rig g;
    rig_begin(&g, false, "", 0);
    memset(&o, 0, sizeof o);
    o.write = true;
    o.ome_version = "0.5";   /* end records of 64 bits */
    for (unsigned i = 0; i < 2; i++) {
        shardio_archive *a = shardio_archive_open_file(rig_open(&g, true), &o, &error);
        shardio_store store = shardio_archive_store(a);
        for (unsigned k = 0; k < (i == 0 ? 1u : 2000u); k++) {
            char key[60];
            snprintf(key, sizeof key, "array/with/a/name/that/takes/room/c/%u", k);
            CHECK_OK(store_put_text(&store, key, "x"));
        }
        CHECK_OK(shardio_archive_finish(a, &error));
    }
    /* torn, and so that the locator is not read together with the end record behind it */
    size_t size;
    const uint8_t *file = rig_contents(&g, &size), *end = zip_end(file, size);
    CHECK_OK(shardio_p_memory_resize(&g.memory, (uint64_t)(end - file) + SHARDIO_P_ZIP_FIRST, NULL));
    g.faulty.fail_only = FAULTY_ONLY(FAULTY_READ);
    for (g.faulty.fail_at = 1;; g.faulty.fail_at = test_next(g.faulty.fail_at)) {
        g.faulty.counted = g.faulty.fired = 0;
        shardio_archive *a = rig_archive(&g, false, &error);
        if (a != NULL) CHECK_U64(shardio_archive_about(a).layer, 2);
        else CHECK_STATUS(error.status, SHARDIO_ERR_IO);
        shardio_archive_close(a);
        if (g.faulty.fired == 0) break;
    }
    CHECK(g.faulty.fail_at > 2);
    rig_end(&g);
}

/* What was cut while it was read is read again, and that it had to be is no error. */
TEST(a_second_try_is_no_error)
{
    bool cut = true;
    for (uint64_t n = 1; cut; n++) {
        shardio_error error;
        rig g;
        rig_make(&g, "a", "text");
        g.faulty.fail_at = n;
        g.faulty.fail_only = FAULTY_ONLY(FAULTY_READ);
        g.faulty.fail_status = SHARDIO_ERR_TRUNCATED;
        shardio_archive *a = rig_archive(&g, false, &error);
        cut = g.faulty.fired > 0;
        CHECK(cut || n > 1);
        CHECK(a != NULL);
        CHECK_OK(error.status);
        shardio_archive_close(a);
        rig_end(&g);
    }
}

/* A directory of ours with a block that never came to the device, in a file that has its full length. */
TEST(a_torn_directory_of_full_length)
{
    static const size_t names[] = {40, 1500};
    for (size_t k = 0; k < 2; k++) {
        shardio_error error;
        size_t size;
        char key[2000];
        rig g;
        rig_make(&g, "a", "text");
        shardio_archive *a = rig_archive(&g, true, &error);
        shardio_store store = shardio_archive_store(a);
        for (char c = 'a'; c < 'k'; c++) {
            memset(key, c, names[k]);
            key[names[k]] = 0;
            CHECK_OK(store_put_text(&store, key, "x"));
        }
        CHECK_OK(shardio_archive_commit(a, &error));
        uint64_t directory = a->directory_offset;
        shardio_archive_close(a);
        (void)rig_contents(&g, &size);
        for (uint64_t at = directory; at + 512 < size; at += 512) {   /* zeros, as a hole in the file reads */
            uint8_t block[512];
            memcpy(block, g.memory.data + at, 512);
            memset(g.memory.data + at, 0, 512);
            a = rig_archive(&g, false, &error);
            if (CHECK(a != NULL)) CHECK_U64(shardio_archive_about(a).layer, 1);
            shardio_archive_close(a);
            memcpy(g.memory.data + at, block, 512);
        }
        rig_end(&g);
    }
}

/* The directory of the last layer is torn, and has a value's header begin in front of the end of the file, and end behind
   it: the layer before is opened, and nothing failed. */
TEST(a_torn_directory_that_points_behind_the_end)
{
    shardio_error error;
    size_t size;
    rig g;
    rig_make(&g, "a", "text");
    shardio_archive *a = rig_archive(&g, true, &error);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put_text(&store, "b", "text"));
    CHECK_OK(shardio_archive_commit(a, &error));
    uint64_t directory = a->directory_offset;
    shardio_archive_close(a);
    (void)rig_contents(&g, &size);
    shardio_p_store32_little(g.memory.data + directory + 42, (uint32_t)size - 20);
    a = rig_archive(&g, false, &error);
    CHECK_OK(error.status);
    if (CHECK(a != NULL)) CHECK_U64(shardio_archive_about(a).layer, 1);
    shardio_archive_close(a);
    rig_end(&g);
}

/* The name was given, but its directory could not be synced: others see the file from then on. */
static shardio_status appear_and_fail(void *file, bool durable, int *code)
{
    faulty_state *f = (faulty_state *)file;
    CHECK_OK(f->inner.functions->publish(f->inner.context, durable, code));
    *code = EIO;
    return SHARDIO_ERR_IO;
}

TEST(a_file_that_appeared_stays_whole)
{
    WINE_CANNOT("open a file again that was renamed");
    for (int then = 0; then < 4; then++) {   /* closed at once; discarded; with more that is written; with another commit */
        shardio_archive_options o;
        shardio_error error;
        rig g;
        rig_begin(&g, true, NULL, 0);
        memset(&o, 0, sizeof o);
        o.create = o.overwrite = true;
        o.buffer_size = 1;
        shardio_archive *a = shardio_archive_open_file(rig_open(&g, false), &o, &error);
        g.faulty.table.publish = appear_and_fail;
        shardio_store store = shardio_archive_store(a);
        CHECK_OK(store_put_text(&store, "a", "text"));
        CHECK_STATUS(shardio_archive_commit(a, &error), SHARDIO_ERR_IO);
        if (then == 1) CHECK_OK(shardio_archive_discard(a, &error));
        if (then == 2) CHECK_OK(store_put(&store, "b", g.path, sizeof g.path));
        g.faulty.table.publish = faulty_publish;
        if (then == 3) CHECK_OK(shardio_archive_commit(a, &error));
        shardio_archive_close(a);
        a = shardio_archive_open(g.path, NULL, &error);
        if (CHECK(a != NULL)) {
            store = shardio_archive_store(a);
            check_text(&store, "a", "text");
            CHECK_U64(shardio_archive_about(a).entries, 1);
            CHECK_U64(shardio_archive_about(a).torn_bytes, 0);
        }
        shardio_archive_close(a);
        rig_end(&g);
    }
}

/* The longest key has room for its header in the smallest buffer. */
TEST(long_keys_in_a_small_buffer)
{
    static char key[SHARDIO_P_ZIP_NAME + 1];
    for (uint32_t alignment = 0; alignment <= 64; alignment = alignment == 0 ? 1 : 2 * alignment) {
        shardio_memory memory;
        shardio_archive_options o;
        shardio_error error;
        memset(&memory, 0, sizeof memory);
        memset(&o, 0, sizeof o);
        o.write = true;
        o.buffer_size = 1;
        o.alignment = alignment;
        memset(key, 'k', SHARDIO_P_ZIP_NAME);
        shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), &o, &error);
        shardio_store store = shardio_archive_store(a);
        for (char c = 'a'; c < 'd'; c++) {
            key[0] = c;
            CHECK_OK(store_put(&store, key, "", 0));
        }
        CHECK_OK(shardio_archive_finish(a, &error));
        a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), NULL, &error);
        CHECK_U64(shardio_archive_about(a).entries, 3);
        CHECK_OK(shardio_archive_verify(a, NULL, NULL, NULL, NULL, &error));
        shardio_archive_close(a);
        shardio_memory_free(&memory);
    }
}

/* A write that failed changed some bytes, or none: the CRC-32 is that of what is there. */
TEST(a_write_that_failed_does_not_count)
{
    static uint8_t first[2000], second[2000];
    for (unsigned kind = 0; kind < 3; kind++) {
        shardio_error error;
        shardio_file file;
        size_t done;
        int code = 0;
        rig g;
        rig_make(&g, "a", "text");
        shardio_archive *a = rig_archive(&g, true, &error);
        shardio_store store = shardio_archive_store(a);
        memset(first, 1, sizeof first);
        memset(second, 2, sizeof second);
        CHECK_OK(store.functions->create(store.context, "b", true, 50000, NULL, &file, &code));
        if (kind != 2) CHECK_OK(file_write_all(&file, 0, first, 300));
        g.faulty.fail_only = FAULTY_ONLY(FAULTY_WRITE);
        g.faulty.fail_at = 1;
        g.faulty.counted = 0;
        CHECK_STATUS(file.functions->write(file.context, 0, second, 300, &done, &code), SHARDIO_ERR_IO);
        g.faulty.fail_at = 0;
        if (kind == 1) CHECK_OK(file_write_all(&file, 300, first, 100));
        if (kind == 2) CHECK_OK(file_write_all(&file, 200, first, 100));
        CHECK_OK(file_close(&file, SHARDIO_CLOSE_PUBLISH));
        CHECK_OK(shardio_archive_commit(a, &error));
        CHECK_OK(shardio_archive_verify(a, NULL, NULL, NULL, NULL, &error));
        shardio_archive_close(a);
        rig_end(&g);
    }
}

/* Nothing is a content, too: an archive that is saved over another one takes its place. */
static int stop_at_two(void *context, uint64_t done, uint64_t total)
{
    CHECK(done <= total);
    return ++*(int *)context == 2;
}

/* Copying and verifying can be stopped between two values; what was copied is there. */
TEST(copying_and_verifying_are_cancelled)
{
    shardio_memory_store from_memory, to_memory;
    shardio_store from = shardio_store_memory(&from_memory, NULL), to = shardio_store_memory(&to_memory, NULL);
    shardio_error error;
    shardio_memory memory;
    shardio_archive_options o;
    key_list keys;
    int calls = 0;
    CHECK_OK(store_put_text(&from, "a", "one"));
    CHECK_OK(store_put_text(&from, "b", "another"));
    CHECK_OK(store_put_text(&from, "c", "the third"));
    CHECK_STATUS(shardio_store_copy(&from, &to, stop_at_two, &calls, NULL, &error), SHARDIO_ERR_CANCELLED);
    CHECK_STATUS(error.status, SHARDIO_ERR_CANCELLED);
    CHECK_TEXT(error.operation, "copy");
    CHECK_OK(store_keys(&to, "", &keys));
    CHECK_U64(keys.count, 1);
    CHECK_STATUS(shardio_store_copy(&from, NULL, NULL, NULL, NULL, &error), SHARDIO_ERR_ARGUMENT);

    memset(&memory, 0, sizeof memory);
    memset(&o, 0, sizeof o);
    o.write = true;
    shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), &o, &error);
    if (CHECK(a != NULL)) {
        shardio_store store = shardio_archive_store(a);
        CHECK_OK(shardio_store_copy(&from, &store, NULL, NULL, NULL, &error));
        CHECK_OK(shardio_archive_commit(a, &error));
        calls = 0;
        CHECK_STATUS(shardio_archive_verify(a, NULL, NULL, stop_at_two, &calls, &error), SHARDIO_ERR_CANCELLED);
        CHECK_STATUS(error.status, SHARDIO_ERR_CANCELLED);
        CHECK_U64(calls, 2);
    }
    shardio_archive_close(a);
    o.layer = 1;
    a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), &o, &error);
    CHECK(a == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);                 /* only the newest layer is written behind */
    const shardio_file none = {NULL, NULL, NULL};
    CHECK(shardio_archive_open_file(none, NULL, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_archive_each_layer(NULL, false, NULL, NULL, &error), SHARDIO_ERR_ARGUMENT);
    shardio_memory_free(&memory);
    shardio_store_memory_free(&from_memory);
    shardio_store_memory_free(&to_memory);
}

TEST(an_empty_store_is_saved)
{
    WINE_CANNOT("replace a file that is open");
    shardio_memory_store memory;
    shardio_archive_options o;
    shardio_error error;
    key_list keys;
    rig g;
    rig_begin(&g, true, NULL, 0);
    memset(&o, 0, sizeof o);
    shardio_store store = shardio_store_memory(&memory, NULL), read;
    for (int i = 0; i < 3; i++) {   /* a new file; then one with a value is replaced */
        o.overwrite = i > 0;
        if (i == 1) CHECK_OK(store_put_text(&store, "a", "text"));
        if (i == 2) CHECK_OK(store_remove(&store, "a"));
        CHECK_OK(shardio_store_save(&store, g.path, &o, &error));
        shardio_archive *a = shardio_archive_open(g.path, NULL, &error);
        if (CHECK(a != NULL)) {
            read = shardio_archive_store(a);
            CHECK_OK(store_keys(&read, "", &keys));
            CHECK_U64(keys.count, i == 1 ? 1 : 0);
        }
        shardio_archive_close(a);
    }
    shardio_store_memory_free(&memory);
    rig_end(&g);
}

static bool count_layer(void *context, uint64_t number, uint64_t directory, uint64_t size, uint64_t entries)
{
    (void)number, (void)directory, (void)size, (void)entries;
    ++*(uint64_t *)context;
    return true;
}

/* A file of nothing but end records of empty archives, which are layers, as many as there is room for; and between them
   some that tell of directories that are none. What is read to find that out is bounded by the size of the file. */
TEST(a_file_full_of_end_records)
{
    enum { RECORDS = 8000, RECORD = 22 };
    static uint8_t file[RECORDS * RECORD];
    for (unsigned each = 1; each <= 4; each += 3) {   /* every one is true, or one of four */
        shardio_error error;
        uint64_t layers = 0;
        rig g;
        memset(file, 0, sizeof file);
        for (uint32_t i = 0; i < RECORDS; i++) {
            uint8_t *to = file + RECORD * i;
            bool is_true = i % each == each - 1;
            shardio_p_store32_little(to, 0x06054B50u);
            to[8] = to[10] = is_true ? 0 : 1;
            shardio_p_store32_little(to + 12, is_true ? 0 : RECORD * i);
            shardio_p_store32_little(to + 16, is_true ? RECORD * i : 0);
        }
        rig_begin(&g, false, file, sizeof file);
        shardio_archive *a = rig_archive(&g, false, &error);
        shardio_status status = shardio_archive_each_layer(a, true, count_layer, &layers, &error);
        if (each == 1) CHECK_U64(layers, RECORDS);
        CHECK_STATUS(status, each == 1 ? SHARDIO_OK : SHARDIO_ERR_CORRUPT);
        CHECK(g.faulty.bytes_read < 256 * sizeof file);
        shardio_archive_close(a);
        rig_end(&g);
    }
}

/* What the system said of a read that failed comes through: of a value that is changed or renamed. */
TEST(reads_that_fail_say_why)
{
    static uint8_t data[9000];
    for (size_t size = 100; size <= sizeof data; size += sizeof data - 100) {
        shardio_error error;
        shardio_file file;
        size_t done;
        int code = 0;
        rig g;
        rig_make(&g, "x/a", "text");
        shardio_archive *a = rig_archive(&g, true, &error);
        shardio_store store = shardio_archive_store(a);
        CHECK_OK(store_put(&store, "x/a", data, size));
        CHECK_OK(shardio_archive_commit(a, &error));
        CHECK_OK(store.functions->open(store.context, "x/a", true, NULL, &file, &code));
        g.faulty.fail_only = FAULTY_ONLY(FAULTY_READ);
        g.faulty.fail_at = 1;
        g.faulty.counted = 0;
        CHECK_STATUS(file.functions->write(file.context, 0, data, 10, &done, &code), SHARDIO_ERR_IO);
        CHECK_U64(code, EIO);
        CHECK_OK(file_close(&file, SHARDIO_CLOSE_DISCARD));
        code = 0;
        g.faulty.counted = 0;
        CHECK_STATUS(store.functions->rename(store.context, "x/", "y/", &code), SHARDIO_ERR_IO);
        CHECK_U64(code, EIO);
        CHECK_OK(store.functions->create(store.context, "x/b", true, UINT64_MAX, NULL, &file, &code));
        CHECK_OK(file_write_all(&file, 0, data, sizeof data));
        CHECK_OK(file_write_all(&file, 0, data, 10));
        code = 0;
        g.faulty.counted = 0;
        CHECK_STATUS(file.functions->close(file.context, SHARDIO_CLOSE_PUBLISH, false, &code), SHARDIO_ERR_IO);
        CHECK_U64(code, EIO);
        shardio_archive_close(a);
        rig_end(&g);
    }
}

/* ---- Locks. */

static void put_and_commit(shardio_archive *a, const char *key, const char *text)
{
    shardio_error error;
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put_text(&store, key, text));
    CHECK_OK(shardio_archive_commit(a, &error));
}

static shardio_status try_to_write(const char *path, bool create)
{
    shardio_archive_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.write = true;
    o.create = o.overwrite = create;
    shardio_archive *a = shardio_archive_open(path, &o, &error);
    shardio_archive_close(a);
    return a != NULL ? SHARDIO_OK : error.status;
}

/* In another process. */
static shardio_status try_elsewhere(const char *path)
{
    int code = 0;
    pid_t child = fork();
    if (child == 0) _exit((int)try_to_write(path, false));
    CHECK(waitpid(child, &code, 0) == child && WIFEXITED(code));
    return (shardio_status)WEXITSTATUS(code);
}

TEST(one_writer)
{
    POSIX_ONLY("fork");
    static shardio_archive *a;   /* static: the processes of try_elsewhere do not free it, and valgrind must not call it lost there */
    shardio_archive_options o;
    shardio_error error;
    rig g;
    rig_begin(&g, true, NULL, 0);
    memset(&o, 0, sizeof o);
    o.write = true;
    for (int i = 0; i < 3; i++) {   /* a new file, one that exists, one that replaces it */
        o.create = o.overwrite = i == 2;
        a = shardio_archive_open(g.path, &o, &error);
        if (!CHECK(a != NULL)) return;
        put_and_commit(a, "a", i == 1 ? "second" : "first");
        CHECK_STATUS(try_to_write(g.path, false), SHARDIO_ERR_LOCKED);
        CHECK_STATUS(try_to_write(g.path, true), SHARDIO_ERR_LOCKED);
        CHECK_STATUS(try_elsewhere(g.path), SHARDIO_ERR_LOCKED);
        CHECK_STATUS(shardio_archive_compact(g.path, NULL, NULL, NULL, &error), SHARDIO_ERR_LOCKED);
        shardio_archive *reader = shardio_archive_open(g.path, NULL, &error);
        if (CHECK(reader != NULL)) {
            shardio_store store = shardio_archive_store(reader);
            put_and_commit(a, "a", "later");
            check_text(&store, "a", i == 1 ? "second" : "first");
        }
        shardio_archive_close(reader);
        CHECK_OK(shardio_archive_finish(a, &error));
        CHECK_OK(try_elsewhere(g.path));
    }
    rig_end(&g);
}

/* One process compacts while another one appends: nobody loses anything, each writes the file that bears the name. Each
   leaves the lock to the other one for a while. */
TEST(compacting_beside_a_writer)
{
    POSIX_ONLY("fork");
    shardio_archive_options o;
    shardio_error error;
    int code = 0;
    rig g;
    rig_begin(&g, true, NULL, 0);
    memset(&o, 0, sizeof o);
    o.write = true;
    o.durability = SHARDIO_DURABLE_NONE;
    shardio_archive *a = shardio_archive_open(g.path, &o, &error);
    put_and_commit(a, "first", "0");
    CHECK_OK(shardio_archive_finish(a, &error));
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 300; i++, usleep(200)) (void)shardio_archive_compact(g.path, &o, NULL, NULL, &error);
        _exit(0);
    }
    int wrote = 0;
    for (time_t end = time(NULL) + 300; wrote < 40 && time(NULL) < end; usleep(100)) {
        char key[20];
        a = shardio_archive_open(g.path, &o, &error);
        if (a == NULL) {
            if (!CHECK(error.status == SHARDIO_ERR_LOCKED || error.status == SHARDIO_ERR_CHANGED)) break;
            continue;
        }
        snprintf(key, sizeof key, "key-%d", wrote++);
        put_and_commit(a, key, "there");
        shardio_archive_close(a);
    }
    CHECK(waitpid(child, &code, 0) == child && code == 0);
    CHECK_U64(wrote, 40);
    shardio_archive *reader = shardio_archive_open(g.path, NULL, &error);
    if (CHECK(reader != NULL)) CHECK_U64(shardio_archive_about(reader).entries, 41);
    shardio_archive_close(reader);
    rig_end(&g);
}

/* A writer cuts off what it padded while somebody opens the file. */
TEST(readers_open_beside_a_writer)
{
    POSIX_ONLY("fork");
    shardio_archive_options o;
    shardio_error error;
    int code = 0, opened = 0;
    rig g;
    rig_begin(&g, true, NULL, 0);
    memset(&o, 0, sizeof o);
    o.write = true;
    o.durability = SHARDIO_DURABLE_NONE;
    shardio_archive *a = shardio_archive_open(g.path, &o, &error);
    put_and_commit(a, "first", "0");
    CHECK_OK(shardio_archive_finish(a, &error));
    pid_t child = fork();
    if (child == 0) {
        a = shardio_archive_open(g.path, &o, &error);
        for (int i = 0; i < 400; i++) put_and_commit(a, i % 2 ? "b" : "c", "1");
        shardio_archive_close(a);
        _exit(0);
    }
    while (waitpid(child, &code, WNOHANG) == 0) {
        shardio_archive *reader = shardio_archive_open(g.path, NULL, &error);
        shardio_store store = shardio_archive_store(reader);
        if (!CHECK(reader != NULL)) fprintf(stderr, "%s\n", shardio_status_name(error.status));
        if (reader != NULL) check_text(&store, "first", "0");
        shardio_archive_close(reader);
        opened++;
        if (test_failures > 0) break;
    }
    if (test_failures > 0) waitpid(child, &code, 0);
    CHECK(opened > 0);
    rig_end(&g);
}

/* ---- Archives inside archives. */

/* Bytes that would be a directory and its end if they lay at `offset`. */
static size_t crafted(uint8_t *to, uint64_t offset)
{
    static const char name[] = "evil";
    memset(to, 0, 100);
    shardio_p_store32_little(to, 0x02014B50u);
    to[28] = 4;
    memcpy(to + 46, name, 4);
    uint8_t *end = to + 50;
    shardio_p_store32_little(end, 0x06054B50u);
    end[8] = end[10] = 1;
    shardio_p_store32_little(end + 12, 50);
    shardio_p_store32_little(end + 16, (uint32_t)offset);
    return 72;
}

static bool find_data(void *context, const shardio_archive_entry *entry)
{
    if (strcmp(entry->name, "inner") == 0) *(uint64_t *)context = entry->data;
    return true;
}

/* The last layer, not what lies in a value: in a whole file whatever the bytes are, and cut anywhere if their offsets are
   their own. */
TEST(archives_inside_archives)
{
    static uint8_t data[3000];
    shardio_error error;
    rig inner, g;
    size_t inner_size, size, before;
    uint64_t offset = 0;
    rig_make(&inner, "evil", "inside");
    const uint8_t *bytes = rig_contents(&inner, &inner_size);
    rig_make(&g, "a", "text");
    (void)rig_contents(&g, &before);
    shardio_archive *a = rig_archive(&g, true, &error);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put(&store, "whole", bytes, inner_size));
    CHECK_OK(store_put(&store, "inner", data, sizeof data));
    CHECK_OK(shardio_archive_each_entry(a, find_data, &offset, &error));
    CHECK_OK(shardio_archive_discard(a, &error));
    CHECK(offset > 0);
    CHECK_OK(store_put(&store, "whole", bytes, inner_size));
    size_t n = crafted(data + 100, offset + 100);
    CHECK_OK(store_put(&store, "inner", data, sizeof data));
    CHECK_OK(shardio_archive_commit(a, &error));
    shardio_archive_close(a);
    a = rig_archive(&g, false, &error);
    store = shardio_archive_store(a);
    CHECK_U64(shardio_archive_about(a).layer, 2);
    check_text(&store, "a", "text");
    size_t found = 0;
    uint8_t *read = store_get(&store, "inner", &found);
    if (read != NULL) CHECK_BYTES(read, data, found);
    free(read);
    shardio_archive_close(a);
    /* torn: up to where the crafted one would end; what lies behind it is for nobody to know */
    (void)rig_contents(&g, &size);
    for (size_t cut = before; cut < offset + 100 + n; cut = (size_t)test_next(cut + 6)) {
        shardio_memory torn;
        memset(&torn, 0, sizeof torn);
        torn.data = g.memory.data;
        torn.size = torn.capacity = cut;
        torn.fixed = true;
        a = memory_archive(&torn, false, &error);
        if (!CHECK(a != NULL)) break;
        store = shardio_archive_store(a);
        CHECK_U64(shardio_archive_about(a).layer, 1);
        CHECK_U64(shardio_archive_about(a).torn_bytes, cut - before);
        check_text(&store, "a", "text");
        shardio_archive_close(a);
    }
    rig_end(&inner);
    rig_end(&g);
}

/* Bytes that are not what was written are never given a CRC-32 that says they were: by copying to another store, or into a
   value that is changed. */
TEST(damage_does_not_become_right)
{
    static const size_t sizes[] = {100, 9000, 3 << 20};
    for (size_t i = 0; i < 3; i++) {
        shardio_memory memory;
        shardio_memory_store other;
        shardio_error error;
        shardio_file file;
        uint64_t at = 0;
        size_t done;
        int code = 0;
        uint8_t *data = (uint8_t *)calloc(sizes[i], 1), few[10];
        memset(&memory, 0, sizeof memory);
        shardio_archive *a = memory_archive(&memory, true, &error);
        shardio_store store = shardio_archive_store(a), to = shardio_store_memory(&other, NULL);
        CHECK_OK(store_put(&store, "inner", data, sizes[i]));
        CHECK_OK(shardio_archive_commit(a, &error));
        CHECK_OK(shardio_archive_each_entry(a, find_data, &at, &error));
        CHECK_OK(shardio_store_copy(&store, &to, NULL, NULL, NULL, &error));
        memory.data[at + sizes[i] - 1] ^= 1;
        CHECK_STATUS(shardio_store_copy(&store, &to, NULL, NULL, NULL, &error), SHARDIO_ERR_CHECKSUM);
        CHECK_OK(store.functions->open(store.context, "inner", true, NULL, &file, &code));
        CHECK_OK(file.functions->read(file.context, 0, few, sizeof few, &done, &code));
        CHECK_STATUS(file.functions->write(file.context, 0, data, 10, &done, &code), SHARDIO_ERR_CHECKSUM);
        CHECK(file_close(&file, SHARDIO_CLOSE_DISCARD) == SHARDIO_OK);
        memory.data[at + sizes[i] - 1] ^= 1;
        CHECK_OK(store.functions->open(store.context, "inner", true, NULL, &file, &code));
        CHECK_OK(file_write_all(&file, 0, "changed", 7));
        CHECK_OK(file_close(&file, SHARDIO_CLOSE_PUBLISH));
        CHECK_OK(shardio_archive_finish(a, &error));
        shardio_memory_free(&memory);
        shardio_store_memory_free(&other);
        free(data);
    }
}

#if SHARDIO_WITH_ZLIB
/* A deflated value that is changed: what is read is what was written. */
TEST(deflated_values_are_changed)
{
    static uint8_t file[4000], text[2000];
    shardio_archive_options o;
    shardio_memory memory;
    shardio_error error;
    shardio_file v;
    uint8_t byte = 0;
    int code = 0;
    z_stream z;
    memset(text, 't', sizeof text);
    memset(file, 0, sizeof file);
    memset(&z, 0, sizeof z);
    CHECK(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = text;
    z.avail_in = sizeof text;
    z.next_out = file + 31;
    z.avail_out = 1000;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    uint32_t stored = (uint32_t)z.total_out, crc = zip_crc(text, sizeof text);
    deflateEnd(&z);
    uint8_t *record = file + 31 + stored, *end = record + 47;
    uint8_t *const heads[2] = {file, record};
    for (int i = 0; i < 2; i++) {
        uint8_t *h = heads[i] + 2 * i;
        shardio_p_store32_little(heads[i], i ? 0x02014B50u : 0x04034B50u);
        h[8] = 8;
        shardio_p_store32_little(h + 14, crc);
        shardio_p_store32_little(h + 18, stored);
        shardio_p_store32_little(h + 22, sizeof text);
        h[26] = 1;
        heads[i][i ? 46 : 30] = 'd';
    }
    shardio_p_store32_little(end, 0x06054B50u);
    end[8] = end[10] = 1;
    shardio_p_store32_little(end + 12, 47);
    shardio_p_store32_little(end + 16, 31 + stored);
    memset(&memory, 0, sizeof memory);
    CHECK_OK(shardio_p_memory_resize(&memory, 31 + stored + 47 + 22, NULL));
    memcpy(memory.data, file, memory.size);
    memset(&o, 0, sizeof o);
    o.write = true;
    o.decoded_limit = SIZE_MAX;
    shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), &o, &error);
    if (!CHECK(a != NULL)) return;
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store.functions->open(store.context, "d", true, NULL, &v, &code));
    CHECK_OK(file_write_all(&v, 5, "X", 1));
    CHECK_OK(v.functions->publish(v.context, false, &code));
    CHECK_OK(shardio_file_read(&v, 5, &byte, 1, &error));
    CHECK_U64(byte, 'X');
    CHECK_OK(file_write_all(&v, 6, "Y", 1));
    CHECK_OK(file_close(&v, SHARDIO_CLOSE_PUBLISH));
    CHECK_OK(shardio_archive_commit(a, &error));
    size_t size;
    uint8_t *read = store_get(&store, "d", &size);
    text[5] = 'X';
    text[6] = 'Y';
    CHECK_U64(size, sizeof text);
    if (read != NULL) CHECK_BYTES(read, text, sizeof text);
    free(read);
    shardio_archive_close(a);
    shardio_memory_free(&memory);
}
#else
TEST(deflated_values_are_changed) { LEAVE_OUT("zlib is not compiled in"); }
#endif

/* ---- Counts. */

TEST(opening_reads_once_or_twice)
{
    for (unsigned k = 0; k < 2; k++) {
        shardio_error error;
        shardio_file file;
        uint8_t byte;
        size_t done;
        int code = 0;
        rig g;
        rig_begin(&g, false, "", 0);
        shardio_archive *a = rig_archive(&g, true, &error);
        shardio_store store = shardio_archive_store(a);
        for (unsigned i = 0; i < (k ? 2000u : 700u); i++) {
            char key[60];
            snprintf(key, sizeof key, "array/with/a/name/c/%u", i);
            CHECK_OK(store_put_text(&store, key, "x"));
        }
        CHECK_OK(shardio_archive_commit(a, &error));
        CHECK((a->directory_size > 65536) == (k == 1));
        shardio_archive_close(a);
        memset(g.faulty.calls, 0, sizeof g.faulty.calls);
        a = rig_archive(&g, false, &error);
        CHECK_U64(g.faulty.calls[FAULTY_READ], k + 1);
        store = shardio_archive_store(a);
        CHECK_OK(store.functions->open(store.context, "array/with/a/name/c/77", false, NULL, &file, &code));
        CHECK_OK(file.functions->read(file.context, 0, &byte, 1, &done, &code));
        file_close(&file, SHARDIO_CLOSE_KEEP);
        CHECK_U64(g.faulty.calls[FAULTY_READ], k + 2);
        shardio_archive_close(a);
        rig_end(&g);
    }
}

static void grid_options(shardio_array_options *o, const char *path)
{
    memset(o, 0, sizeof *o);
    o->ndim = 2;
    o->dtype = SHARDIO_INT32;
    o->shape[0] = o->shape[1] = 64;
    o->chunk[0] = 8;
    o->chunk[1] = 64;
    o->path = path;
}

/* Rows 10..20 of an unsharded array: two chunks, the directory, nothing else; both in a write each, nothing read but
   the two chunks. */
TEST(overwriting_rows_writes_chunks_and_directory)
{
    static int32_t rows[64 * 64];
    const uint64_t start[2] = {0, 0}, all[2] = {64, 64}, from[2] = {10, 0}, some[2] = {11, 64};
    shardio_array_options o;
    shardio_archive_options ao;
    shardio_error error;
    rig g;
    rig_begin(&g, false, "", 0);
    g.faulty.alignment = 512;
    memset(&ao, 0, sizeof ao);
    ao.write = true;
    for (int i = 0; i < 64 * 64; i++) rows[i] = i;
    shardio_archive *a = shardio_archive_open_file(rig_open(&g, true), &ao, &error);
    shardio_store store = shardio_archive_store(a);
    grid_options(&o, "grid");
    CHECK_OK(shardio_array_define_in(&store, &o, &error));
    shardio_array *array = shardio_array_update_in(&store, &o, &error);
    CHECK_OK(shardio_array_write(array, start, all, rows, sizeof rows, &error));
    shardio_array_close(array);
    CHECK_OK(shardio_archive_commit(a, &error));
    array = shardio_array_update_in(&store, &o, &error);
    memset(g.faulty.calls, 0, sizeof g.faulty.calls);
    g.faulty.bytes_written = g.faulty.bytes_read = 0;
    uint64_t length = a->length;
    CHECK_OK(shardio_array_write(array, from, some, rows, 11 * 64 * 4, &error));
    shardio_array_close(array);
    CHECK_U64(g.faulty.calls[FAULTY_WRITE], 0);
    CHECK_U64(g.faulty.calls[FAULTY_READ], 2);
    CHECK_U64(g.faulty.bytes_read, 2 * 2048);
    CHECK_OK(shardio_archive_commit(a, &error));
    CHECK_U64(g.faulty.calls[FAULTY_WRITE], 2);
    CHECK_U64(g.faulty.calls[FAULTY_SYNC], 2);
    CHECK(g.faulty.bytes_written <= shardio_p_ceil(2 * (2048 + 30 + 20), 512) + shardio_p_ceil(a->length - a->directory_offset, 512));
    CHECK(a->length - length <= g.faulty.bytes_written + 512);
    shardio_archive_close(a);
    rig_end(&g);
}

/* Streaming takes memory when a value begins, and no more. */
TEST(appending_allocates_nothing)
{
    static uint8_t data[4096];
    shardio_archive_options o;
    shardio_error error;
    shardio_file files[3];
    shardio_memory memory;
    counter c;
    int code = 0;
    memset(&memory, 0, sizeof memory);
    memset(&o, 0, sizeof o);
    o.write = true;
    o.allocator = counter_begin(&c);
    shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), &o, &error);
    shardio_store store = shardio_archive_store(a);
    for (int i = 0; i < 3; i++) {
        char key[20];
        snprintf(key, sizeof key, "v%d", i);
        CHECK_OK(store.functions->create(store.context, key, true, 200 * sizeof data, o.allocator, &files[i], &code));
    }
    uint64_t calls = c.calls;
    for (uint64_t n = 0; n < 200; n++)
        for (int i = 0; i < 3; i++) CHECK_OK(file_write_all(&files[i], n * sizeof data, data, sizeof data));
    CHECK_U64(c.calls, calls);
    for (int i = 0; i < 3; i++) CHECK_OK(file_close(&files[i], SHARDIO_CLOSE_PUBLISH));
    CHECK_OK(shardio_archive_finish(a, &error));
    CHECK_U64(c.live, 0);
    shardio_memory_free(&memory);
}

/* ---- Behaviours that hold on all three kinds of store, as the array-format crate's tests pin them. */
typedef enum kind { KIND_DIRECTORY, KIND_MEMORY, KIND_ARCHIVE, KINDS } kind;

typedef struct home {
    kind k;
    char path[500];
    shardio_memory_store memory;
    shardio_archive *archive;
    shardio_store store;
} home;

static void home_open(home *h)
{
    shardio_archive_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.write = true;
    o.durability = SHARDIO_DURABLE_NONE;
    h->archive = shardio_archive_open(h->path, &o, &error);
    CHECK(h->archive != NULL);
    h->store = shardio_archive_store(h->archive);
}

static void home_begin(home *h, kind k)
{
    static unsigned number;
    memset(h, 0, sizeof *h);
    h->k = k;
    snprintf(h->path, sizeof h->path, "%s/home-%u%s", rig_directory(), number++, k == KIND_ARCHIVE ? ".zip" : "");
    if (k == KIND_DIRECTORY) h->store = shardio_store_directory(h->path);
    else if (k == KIND_MEMORY) h->store = shardio_store_memory(&h->memory, NULL);
    else home_open(h);
}

/* What was written is kept; an archive is closed and opened again. */
static void home_commit(home *h)
{
    shardio_error error;
    if (h->k != KIND_ARCHIVE) return;
    CHECK_OK(shardio_archive_finish(h->archive, &error));
    home_open(h);
}

static void home_end(home *h)
{
    if (h->k == KIND_MEMORY) shardio_store_memory_free(&h->memory);
    if (h->k == KIND_ARCHIVE) shardio_archive_close(h->archive);
}

/* An array of 10 x 9 in chunks of 4 x 4, fill value -7, or the same in shards of 8 x 8. */
static void cells_options(shardio_array_options *o, const char *path, bool shards)
{
    static const int32_t fill = -7;
    memset(o, 0, sizeof *o);
    o->ndim = 2;
    o->dtype = SHARDIO_INT32;
    o->shape[0] = 10;
    o->shape[1] = 9;
    o->chunk[0] = o->chunk[1] = 4;
    if (shards) o->shard[0] = o->shard[1] = 8;
    o->fill_value = &fill;
    o->path = path;
    o->durability = SHARDIO_DURABLE_NONE;
}

static void cells_define(home *h, const char *path, bool shards, const char *attributes)
{
    shardio_array_options o;
    shardio_error error;
    cells_options(&o, path, shards);
    o.attributes = attributes;
    CHECK_OK(shardio_array_define_in(&h->store, &o, &error));
}

static void cells_write(home *h, const char *path, int32_t *cells, uint64_t y, uint64_t x, uint64_t height, uint64_t width, int32_t first)
{
    const uint64_t start[2] = {y, x}, count[2] = {height, width};
    int32_t piece[90];
    shardio_array_options o;
    shardio_error error;
    cells_options(&o, path, false);
    for (uint64_t i = 0; i < height * width; i++) {
        piece[i] = first + (int32_t)i;
        cells[(y + i / width) * 9 + x + i % width] = piece[i];
    }
    shardio_array *a = shardio_array_update_in(&h->store, &o, &error);
    CHECK_OK(shardio_array_write(a, start, count, piece, (size_t)(height * width) * 4, &error));
    shardio_array_close(a);
}

static void cells_check(home *h, const char *path, const int32_t *cells)
{
    const uint64_t start[2] = {0, 0}, count[2] = {10, 9};
    int32_t read[90];
    shardio_array_options o;
    shardio_error error;
    cells_options(&o, path, false);
    shardio_array *a = shardio_array_open_in(&h->store, &o, &error);
    CHECK_OK(shardio_array_read(a, start, count, read, sizeof read, &error));
    for (int i = 0; i < 90; i++) {
        if (read[i] == cells[i]) continue;
        CHECK_U64((uint32_t)read[i], (uint32_t)cells[i]);
        break;
    }
    shardio_array_close(a);
}

static void cells_clear(int32_t *cells)
{
    for (int i = 0; i < 90; i++) cells[i] = -7;
}

/* Where another program has dropped the chain, layers are numbered from the first one on: not if a read fails on the way. */
TEST(layers_that_cannot_be_counted)
{
    static const uint8_t chain[] = {0x73, 0x68, 24, 0};
    faulty_state f;
    shardio_error e;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        failed = false;
        for (uint64_t layer = 1; layer <= 3; layer++) {
            for (int roll = 0; roll < 2; roll++) {
                shardio_memory memory;
                shardio_archive_options o;
                memset(&memory, 0, sizeof memory);
                memset(&o, 0, sizeof o);
                o.write = true;
                for (char text[] = "1"; text[0] <= '3'; text[0]++) {
                    shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "zip"), &o, &e);
                    shardio_store store = shardio_archive_store(a);
                    CHECK_OK(store_put_text(&store, "k", text));
                    CHECK_OK(shardio_archive_finish(a, &e));
                }
                for (size_t i = 0; i + sizeof chain < memory.size; i++)
                    if (memcmp(memory.data + i, chain, sizeof chain) == 0) memory.data[i]++;
                o.write = roll;
                o.layer = roll ? 0 : layer;
                memset(&f, 0, sizeof f);
                f.fail_at = n;
                f.fail_only = FAULTY_ONLY(FAULTY_READ);
                shardio_archive *a = shardio_archive_open_file(faulty_file(&f, shardio_memory_file(&memory, "zip")), &o, &e);
                shardio_status status = a != NULL && roll ? shardio_archive_rollback(a, layer, &e) : e.status;
                failed = failed || f.fired > 0;
                f.fail_at = 0;
                if (f.fired == 0) CHECK_OK(status);
                if (status == SHARDIO_OK) {
                    const char want[] = {(char)('0' + layer), 0};
                    shardio_store store = shardio_archive_store(a);
                    store_check_text(&store, "k", want, __LINE__);
                    if (test_failures) fprintf(stderr, "    read %d fails, layer %d, %d\n", (int)n, (int)layer, roll);
                }
                shardio_archive_close(a);
                shardio_memory_free(&memory);
            }
        }
    }
}

TEST(arrays_in_layers)
{
    WINE_CANNOT("replace a file that is open");
    for (int k = 0; k < KINDS * 2; k++) {
        home h;
        shardio_error error;
        int32_t one[90], two[90];
        home_begin(&h, (kind)(k / 2));
        cells_clear(one);
        cells_clear(two);
        cells_define(&h, "a/one", k % 2, NULL);
        cells_check(&h, "a/one", one);                       /* nothing written: the fill kept */
        cells_write(&h, "a/one", one, 3, 2, 4, 5, 100);      /* across four chunks */
        cells_check(&h, "a/one", one);                       /* its own, not committed yet */
        home_commit(&h);
        cells_check(&h, "a/one", one);
        cells_define(&h, "two", k % 2, NULL);
        cells_write(&h, "two", two, 0, 0, 10, 9, 1000);
        cells_write(&h, "a/one", one, 0, 0, 4, 4, 200);      /* the newest wins, the rest stays */
        cells_write(&h, "a/one", one, 5, 6, 1, 3, 300);
        cells_check(&h, "a/one", one);
        home_commit(&h);
        cells_check(&h, "a/one", one);
        cells_check(&h, "two", two);
        CHECK_OK(shardio_node_remove(&h.store, "two", NULL, &error));
        shardio_array_options o;
        cells_options(&o, "two", false);
        shardio_array *a = shardio_array_open_in(&h.store, &o, &error);
        CHECK_STATUS(error.status, SHARDIO_ERR_NOT_FOUND);   /* gone at once */
        shardio_array_close(a);
        home_commit(&h);
        cells_define(&h, "two", !(k % 2), NULL);             /* and made again, otherwise: nothing of the old one shows */
        cells_clear(two);
        cells_check(&h, "two", two);
        cells_write(&h, "two", two, 9, 0, 1, 9, 5);
        home_commit(&h);
        cells_check(&h, "two", two);
        cells_check(&h, "a/one", one);
        if (h.k != KIND_MEMORY) CHECK_OK(shardio_node_rename(&h.store, "a/one", "b/c/three", NULL, &error));
        if (h.k != KIND_MEMORY) cells_check(&h, "b/c/three", one);
        if (h.k == KIND_ARCHIVE) {
            home_commit(&h);
            shardio_archive_close(h.archive);
            CHECK_OK(shardio_archive_compact(h.path, NULL, NULL, NULL, &error));
            home_open(&h);
            CHECK_U64(shardio_archive_about(h.archive).layer, 1);
            CHECK_OK(shardio_archive_verify(h.archive, no_findings, NULL, NULL, NULL, &error));
            cells_check(&h, "b/c/three", one);
            cells_check(&h, "two", two);
        }
        home_end(&h);
    }
}

/* What was not committed goes, what was committed comes back. */
TEST(arrays_discarded_and_rolled_back)
{
    WINE_CANNOT("open a file again that was renamed");
    home h;
    shardio_error error;
    int32_t first[90], second[90];
    home_begin(&h, KIND_ARCHIVE);
    cells_clear(first);
    cells_define(&h, "one", true, NULL);
    cells_write(&h, "one", first, 0, 0, 5, 5, 1);
    CHECK_OK(shardio_archive_commit(h.archive, &error));
    memcpy(second, first, sizeof first);
    cells_write(&h, "one", second, 2, 2, 7, 7, 500);
    cells_check(&h, "one", second);
    shardio_archive *reader = shardio_archive_open(h.path, NULL, &error);
    home other = h;
    other.store = shardio_archive_store(reader);
    cells_check(&other, "one", first);                       /* others see what was committed */
    shardio_archive_close(reader);
    CHECK_OK(shardio_archive_discard(h.archive, &error));
    cells_check(&h, "one", first);
    cells_write(&h, "one", second, 2, 2, 7, 7, 500);
    CHECK_OK(shardio_archive_commit(h.archive, &error));
    CHECK_OK(shardio_node_remove(&h.store, "one", NULL, &error));
    cells_define(&h, "two", false, NULL);
    CHECK_OK(shardio_archive_commit(h.archive, &error));
    CHECK_OK(shardio_archive_rollback(h.archive, 2, &error));
    cells_check(&h, "one", second);
    CHECK_OK(shardio_archive_rollback(h.archive, 1, &error));
    cells_check(&h, "one", first);
    home_commit(&h);
    cells_check(&h, "one", first);
    home_end(&h);
}

TEST(strings_in_layers)
{
    static const char *const words[] = {"", "one", "two\xC3\xA9", "a longer text that is not like the others", "five"};
    for (int k = 0; k < KINDS; k++) {
        home h;
        shardio_array_options o;
        shardio_error error;
        shardio_bytes texts[5], read[5];
        const uint64_t start = 0, count = 5, third = 2, one = 1;
        home_begin(&h, (kind)k);
        memset(&o, 0, sizeof o);
        o.ndim = 1;
        o.dtype = SHARDIO_STRING;
        o.shape[0] = 5;
        o.chunk[0] = 2;
        o.path = "words";
        for (int i = 0; i < 5; i++) {
            texts[i].data = words[i];
            texts[i].size = strlen(words[i]);
        }
        CHECK_OK(shardio_array_define_in(&h.store, &o, &error));
        shardio_array *a = shardio_array_update_in(&h.store, &o, &error);
        CHECK_OK(shardio_array_write(a, &start, &count, texts, sizeof texts, &error));
        shardio_array_close(a);
        home_commit(&h);
        texts[2] = texts[4];
        a = shardio_array_update_in(&h.store, &o, &error);
        CHECK_OK(shardio_array_write(a, &third, &one, &texts[2], sizeof texts[2], &error));
        shardio_array_close(a);
        home_commit(&h);
        a = shardio_array_open_in(&h.store, &o, &error);
        CHECK_OK(shardio_array_read(a, &start, &count, read, sizeof read, &error));
        for (int i = 0; i < 5; i++) {
            CHECK_U64(read[i].size, texts[i].size);
            CHECK(read[i].size == texts[i].size && (read[i].size == 0 || memcmp(read[i].data, texts[i].data, texts[i].size) == 0));
        }
        shardio_array_close(a);
        home_end(&h);
    }
}

static shardio_status count_attribute(void *context, const char *path, shardio_json value, const shardio_error *fault)
{
    uint64_t number = 0;
    (void)path;
    CHECK(fault == NULL);
    if (value.text != NULL && shardio_json_uint64(value, &number)) *(uint64_t *)context += 100 + number;
    else *(uint64_t *)context += 1;
    return SHARDIO_OK;
}

/* Arrays that have no chunk, and what is written on them; one attribute of all arrays. */
TEST(attributes_in_layers)
{
    for (int k = 0; k < KINDS; k++) {
        home h;
        shardio_error error;
        uint64_t sum = 0;
        key_list keys;
        home_begin(&h, (kind)k);
        cells_define(&h, "a/one", false, "{\"depth\": 3}");
        cells_define(&h, "a/two", true, NULL);
        cells_define(&h, "three", true, "{\"depth\": 5}");
        home_commit(&h);
        CHECK_OK(shardio_node_set_int64(&h.store, "a/two", "depth", 7, NULL, &error));
        CHECK_OK(shardio_node_set_attribute(&h.store, "three", "depth", "9", NULL, &error));
        CHECK_OK(shardio_node_set_attributes(&h.store, "a/one", "{\"other\": 1}", NULL, &error));
        for (int i = 0; i < 2; i++) {
            sum = 0;
            CHECK_OK(shardio_attribute_of_arrays(&h.store, "", "depth", count_attribute, &sum, NULL, &error));
            CHECK_U64(sum, 217);
            home_commit(&h);
        }
        CHECK_OK(store_keys(&h.store, "", &keys));
        CHECK_U64(keys.shards, 0);
        home_end(&h);
    }
}

/* A store in memory is saved to an archive in one call, and loaded from it. */
/* A torn shard that came with a copy is recovered in each kind of store. */
TEST(torn_shards_are_recovered)
{
    for (int k = 0; k < KINDS; k++) {
        home h;
        shardio_array_options o;
        shardio_error error;
        int32_t cells[90];
        size_t size;
        cells_clear(cells);
        home_begin(&h, (kind)k);
        cells_define(&h, "one", true, "{}");
        cells_write(&h, "one", cells, 1, 1, 8, 8, 40);
        uint8_t *shard = store_get(&h.store, "one/c/0/0", &size);
        CHECK_OK(store_put(&h.store, "one/c/0/0", shard, size + 1));   /* and a byte behind it */
        free(shard);
        home_commit(&h);
        memset(&o, 0, sizeof o);
        o.path = "one";
        shardio_array *a = shardio_array_update_in(&h.store, &o, &error);
        CHECK_OK(shardio_array_recover(a, true, NULL, NULL, &error));
        shardio_array_close(a);
        home_commit(&h);
        cells_check(&h, "one", cells);
        home_end(&h);
    }
}

TEST(saved_and_loaded)
{
    home h, archive, again;
    shardio_error error;
    int32_t cells[90];
    cells_clear(cells);
    home_begin(&h, KIND_MEMORY);
    home_begin(&archive, KIND_ARCHIVE);
    home_begin(&again, KIND_MEMORY);
    cells_define(&h, "one", true, "{\"depth\": 3}");
    cells_write(&h, "one", cells, 1, 1, 8, 8, 40);
    CHECK_OK(shardio_store_copy(&h.store, &archive.store, NULL, NULL, NULL, &error));
    home_commit(&archive);
    cells_check(&archive, "one", cells);
    CHECK_OK(shardio_store_copy(&archive.store, &again.store, NULL, NULL, NULL, &error));
    cells_check(&again, "one", cells);
    home_end(&h);
    home_end(&archive);
    home_end(&again);
}

/* Our directory says where a value begins, so reading does not look at its header; verifying does. */
TEST(a_header_of_another_name_is_found)
{
    shardio_archive_options o;
    shardio_memory memory;
    shardio_error e;
    memset(&o, 0, sizeof o);
    memset(&memory, 0, sizeof memory);
    o.write = true;
    shardio_archive *a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), &o, &e);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put_text(&store, "key", "value"));
    CHECK_OK(shardio_archive_finish(a, &e));
    a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), NULL, &e);
    CHECK_OK(shardio_archive_verify(a, NULL, NULL, NULL, NULL, &e));
    CHECK(memcmp(memory.data + 30, "key", 3) == 0);
    memory.data[30] = 'K';
    CHECK_STATUS(shardio_archive_verify(a, NULL, NULL, NULL, NULL, &e), SHARDIO_ERR_CORRUPT);
    shardio_archive_close(a);
    shardio_memory_free(&memory);
}

TEST_MAIN(TEST_CASE(lives_in_memory) TEST_CASE(lives_on_devices) TEST_CASE(lives_with_large_blocks)
          TEST_CASE(lives_on_files) TEST_CASE(crashes_in_a_row) TEST_CASE(crashes_everywhere)
          TEST_CASE(every_write_fails) TEST_CASE(every_read_fails) TEST_CASE(every_resize_fails)
          TEST_CASE(every_sync_fails) TEST_CASE(every_call_fails) TEST_CASE(every_allocation_fails)
          TEST_CASE(no_space_at_any_byte) TEST_CASE(opening_that_fails_cuts_nothing)
          TEST_CASE(discarding_that_fails_commits_nothing) TEST_CASE(keys_that_are_no_text) TEST_CASE(commit_that_cannot_sync)
          TEST_CASE(rolling_back_that_cannot_sync) TEST_CASE(a_replaced_value_is_not_misread)
          TEST_CASE(holes_are_zeros) TEST_CASE(a_comment_that_was_asked_for_stays) TEST_CASE(any_most_is_taken)
          TEST_CASE(an_empty_layer) TEST_CASE(accounting_says_why_it_is_buffered) TEST_CASE(reads_that_fail_while_opening)
          TEST_CASE(a_torn_directory_that_points_behind_the_end) TEST_CASE(a_second_try_is_no_error)
          TEST_CASE(a_torn_directory_of_full_length) TEST_CASE(a_file_that_appeared_stays_whole)
          TEST_CASE(long_keys_in_a_small_buffer) TEST_CASE(a_write_that_failed_does_not_count)
          TEST_CASE(copying_and_verifying_are_cancelled) TEST_CASE(an_empty_store_is_saved) TEST_CASE(a_file_full_of_end_records) TEST_CASE(reads_that_fail_say_why)
          TEST_CASE(one_writer)
          TEST_CASE(compacting_beside_a_writer)
          TEST_CASE(readers_open_beside_a_writer) TEST_CASE(archives_inside_archives)
          TEST_CASE(damage_does_not_become_right)
          TEST_CASE(deflated_values_are_changed) TEST_CASE(opening_reads_once_or_twice)
          TEST_CASE(overwriting_rows_writes_chunks_and_directory) TEST_CASE(appending_allocates_nothing)
          TEST_CASE(layers_that_cannot_be_counted) TEST_CASE(arrays_in_layers) TEST_CASE(arrays_discarded_and_rolled_back) TEST_CASE(strings_in_layers)
          TEST_CASE(attributes_in_layers) TEST_CASE(torn_shards_are_recovered)
          TEST_CASE(saved_and_loaded) TEST_CASE(a_header_of_another_name_is_found))
