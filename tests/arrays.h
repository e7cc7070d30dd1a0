/* For the tests of arrays and stores: an allocator that counts, checks and fails; keys and bytes of a store; a store
   that looks on, counts and fails; a plain model of an array in memory, to compare with. */
#ifndef ARRAYS_H
#define ARRAYS_H

#include "test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- An allocator that counts. It fails the allocation number `fail_at` and whatever would exceed `limit` bytes,
   and wants back what it gave: same size, same alignment. */
typedef struct counter {
    size_t live, peak, limit;
    uint64_t calls, fail_at, beyond;   /* beyond: allocations refused because of the limit */
    shardio_allocator allocator;
} counter;

typedef struct counter_head {
    size_t size, alignment, pad;
    uint64_t magic;
} counter_head;

static inline void *counter_allocate(void *context, size_t size, size_t alignment)
{
    counter *c = (counter *)context;
    size_t pad = alignment > 64 ? alignment : 64;
    counter_head head;
    bool beyond = c->limit != 0 && (size > c->limit || c->live + size > c->limit);
    c->calls++;
    c->beyond += beyond;
    if (c->calls == c->fail_at || beyond) return NULL;
    CHECK(alignment != 0 && (alignment & (alignment - 1)) == 0);
    void *block = test_aligned(pad, pad + size);
    if (block == NULL) return NULL;
    head.size = size;
    head.alignment = alignment;
    head.pad = pad;
    head.magic = UINT64_C(0x5ca1ab1e5ca1ab1e);
    memcpy((uint8_t *)block + pad - sizeof head, &head, sizeof head);
    c->live += size;
    if (c->live > c->peak) c->peak = c->live;
    return (uint8_t *)block + pad;
}

static inline void counter_release(void *context, void *memory, size_t size, size_t alignment)
{
    counter *c = (counter *)context;
    counter_head head;
    if (memory == NULL) return;
    memcpy(&head, (uint8_t *)memory - sizeof head, sizeof head);
    if (!CHECK(head.magic == UINT64_C(0x5ca1ab1e5ca1ab1e))) return;
    CHECK_U64(head.size, size);
    CHECK_U64(head.alignment, alignment);
    c->live -= head.size;
    test_aligned_free((uint8_t *)memory - head.pad);
}

static inline const shardio_allocator *counter_begin(counter *c)
{
    memset(c, 0, sizeof *c);
    c->allocator.context = c;
    c->allocator.allocate = counter_allocate;
    c->allocator.release = counter_release;
    return &c->allocator;
}

/* ---- Keys and bytes of any store. */
static inline shardio_status file_write_all(const shardio_file *file, uint64_t offset, const void *data, size_t size)
{
    const uint8_t *from = (const uint8_t *)data;
    while (size > 0) {
        size_t done = 0;
        int code = 0;
        shardio_status s = file->functions->write(file->context, offset, from, size, &done, &code);
        if (s != SHARDIO_OK) return s;
        if (done == 0) return SHARDIO_ERR_IO;
        from += done;
        offset += done;
        size -= done;
    }
    return SHARDIO_OK;
}

static inline shardio_status file_close(shardio_file *file, shardio_close how)
{
    int code = 0;
    if (file->functions->close == NULL) return SHARDIO_OK;
    return file->functions->close(file->context, how, false, &code);
}

static inline shardio_status store_begin(const shardio_store *store, const char *key, bool overwrite, shardio_file *file)
{
    int code = 0;
    memset(file, 0, sizeof *file);
    return store->functions->create(store->context, key, overwrite, SHARDIO_NO_OFFSET, NULL, file, &code);
}

static inline shardio_status store_look(const shardio_store *store, const char *key, bool update, shardio_file *file)
{
    int code = 0;
    memset(file, 0, sizeof *file);
    return store->functions->open(store->context, key, update, NULL, file, &code);
}

/* Gives `key` these bytes. */
static inline shardio_status store_put(const shardio_store *store, const char *key, const void *data, size_t size)
{
    shardio_file file;
    int code = 0;
    shardio_status s = store->functions->create(store->context, key, true, size, NULL, &file, &code);
    if (s != SHARDIO_OK) return s;
    s = file_write_all(&file, 0, data, size);
    if (s != SHARDIO_OK) { file_close(&file, SHARDIO_CLOSE_DISCARD); return s; }
    return file_close(&file, SHARDIO_CLOSE_PUBLISH);
}

static inline shardio_status store_put_text(const shardio_store *store, const char *key, const char *text)
{
    return store_put(store, key, text, strlen(text));
}

/* The bytes of `key`, to be freed, with a zero byte behind them; null if it is not there. */
static inline uint8_t *store_get(const shardio_store *store, const char *key, size_t *size)
{
    shardio_file file;
    shardio_file_facts facts;
    uint8_t *data;
    int code = 0;
    memset(&facts, 0, sizeof facts);
    *size = 0;
    if (store->functions->open(store->context, key, false, NULL, &file, &code) != SHARDIO_OK) return NULL;
    CHECK_OK(file.functions->facts(file.context, &facts, &code));
    data = (uint8_t *)malloc((size_t)facts.size + 1);
    if (shardio_file_read(&file, 0, data, (size_t)facts.size, NULL) != SHARDIO_OK) {
        free(data);
        data = NULL;
    } else {
        data[facts.size] = 0;
        *size = (size_t)facts.size;
    }
    file_close(&file, SHARDIO_CLOSE_KEEP);
    return data;
}

static inline void store_check_text(const shardio_store *store, const char *key, const char *want, int line)
{
    size_t size;
    uint8_t *data = store_get(store, key, &size);
    if (want == NULL && data == NULL) return;
    if (data == NULL || want == NULL || size != strlen(want) || memcmp(data, want, size) != 0)
        test_equal_text(__FILE__, line, key, (const char *)data, want);
    free(data);
}
#define CHECK_KEY(key, want) store_check_text(store, key, want, __LINE__)

static inline shardio_status store_remove(const shardio_store *store, const char *key)
{
    int code = 0;
    return store->functions->remove(store->context, key, &code);
}

/* All keys below a prefix. */
typedef struct key_list {
    uint64_t count, temporary, bytes;      /* of published keys; unpublished ones; bytes of the published ones */
    uint64_t shards, shard_bytes;          /* of these, those that are not zarr.json */
    char text[16384];                      /* each published key between blanks, as far as they fit */
} key_list;

static inline bool key_list_each(void *context, const char *key, uint64_t size, bool temporary)
{
    key_list *list = (key_list *)context;
    size_t length = strlen(key), used = strlen(list->text);
    if (temporary) { list->temporary++; return true; }
    list->count++;
    list->bytes += size;
    if (length < 9 || strcmp(key + length - 9, "zarr.json") != 0) { list->shards++; list->shard_bytes += size; }
    if (used + length + 3 < sizeof list->text) {
        if (used == 0) list->text[used++] = ' ';
        memcpy(list->text + used, key, length);
        memcpy(list->text + used + length, " ", 2);
    }
    return true;
}

static inline shardio_status store_keys(const shardio_store *store, const char *prefix, key_list *list)
{
    int code = 0;
    memset(list, 0, sizeof *list);
    shardio_status s = store->functions->list(store->context, prefix, key_list_each, list, &code);
    return s == SHARDIO_ERR_NOT_FOUND ? SHARDIO_OK : s;      /* a directory that is not there has no keys */
}

static inline bool key_listed(const key_list *list, const char *key)
{
    char wanted[300];
    snprintf(wanted, sizeof wanted, " %s ", key);
    return strstr(list->text, wanted) != NULL;
}

/* Files and directories below `path`. */
static inline uint64_t entries_below(const char *path)
{
    DIR *d = opendir(path);
    uint64_t count = 0;
    if (d == NULL) return 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char below[1400];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (snprintf(below, sizeof below, "%s/%s", path, e->d_name) >= (int)sizeof below) continue;
        count++;
        if (lstat(below, &st) == 0 && S_ISDIR(st.st_mode)) count += entries_below(below);
    }
    closedir(d);
    return count;
}

/* ---- A store around another one: counts, fails operation number `fail_at` (and with `forever` all later ones) with
   `status`, has room for `room` bytes (0: any number), and watches the order of things: when a zarr.json appears,
   whatever else was written has to be synced (if `durable`) and published. */
typedef struct spy_file {
    struct spy *spy;
    shardio_file inner;
    struct spy_file *next;
    bool shard, writing, dirty;
    char key[100];
} spy_file;

typedef struct spy {
    shardio_store inner;
    uint64_t calls, fail_at, written, room;
    bool forever, failed, durable;
    bool late;                            /* do it, then say that it failed */
    shardio_status status;
    uint32_t shards_open, shards_open_peak;
    uint64_t removals, reads, tags;
    uint64_t disorder;                    /* a zarr.json appeared before what it describes */
    uint64_t unsynced;                    /* shard files closed or left with bytes that were not synced */
    spy_file *files;
} spy;

static inline bool spy_fails(spy *s)
{
    s->calls++;
    if (s->fail_at != 0 && (s->calls == s->fail_at || (s->forever && s->calls > s->fail_at))) {
        s->failed = true;
        return true;
    }
    return false;
}

static inline shardio_status spy_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    spy_file *f = (spy_file *)file;
    if (spy_fails(f->spy)) return f->spy->status;
    f->spy->reads += f->shard;
    return f->inner.functions->read(f->inner.context, offset, data, size, done, code);
}

static inline shardio_status spy_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done,
                                       int *code)
{
    spy_file *f = (spy_file *)file;
    spy *s = f->spy;
    if (spy_fails(s)) return s->status;
    if (s->room != 0 && s->written + size > s->room) {
        s->failed = true;
        return SHARDIO_ERR_NO_SPACE;
    }
    s->written += size;
    f->dirty = true;
    return f->inner.functions->write(f->inner.context, offset, data, size, done, code);
}

static inline shardio_status spy_resize(void *file, uint64_t size, int *code)
{
    spy_file *f = (spy_file *)file;
    if (spy_fails(f->spy)) return f->spy->status;
    return f->inner.functions->resize(f->inner.context, size, code);
}

static inline shardio_status spy_facts(void *file, shardio_file_facts *facts, int *code)
{
    spy_file *f = (spy_file *)file;
    if (spy_fails(f->spy)) return f->spy->status;
    return f->inner.functions->facts(f->inner.context, facts, code);
}

static inline shardio_status spy_sync_file(void *file, int *code)
{
    spy_file *f = (spy_file *)file;
    if (spy_fails(f->spy)) return f->spy->status;
    f->dirty = false;
    return f->inner.functions->sync != NULL ? f->inner.functions->sync(f->inner.context, code) : SHARDIO_OK;
}

/* When a zarr.json appears: is everything that was written where it belongs? */
static inline void spy_appears(spy *s, const spy_file *file)
{
    if (file->shard) return;
    for (const spy_file *f = s->files; f != NULL; f = f->next)
        if (f->shard && f->writing && f->dirty) s->disorder++;
    if (s->durable) s->disorder += s->unsynced;
}

static inline shardio_status spy_publish(void *file, bool durable, int *code)
{
    spy_file *f = (spy_file *)file;
    bool fails = spy_fails(f->spy);
    if (fails && !f->spy->late) return f->spy->status;
    spy_appears(f->spy, f);
    if (f->inner.functions->publish == NULL) return fails ? f->spy->status : SHARDIO_OK;
    shardio_status status = f->inner.functions->publish(f->inner.context, durable, code);
    return fails ? f->spy->status : status;
}

static inline shardio_status spy_close(void *file, shardio_close how, bool durable, int *code)
{
    spy_file *f = (spy_file *)file, **at;
    spy *s = f->spy;
    shardio_status status;
    bool fails = spy_fails(s);
    if (how == SHARDIO_CLOSE_PUBLISH && !fails) spy_appears(s, f);
    if (f->shard) {
        s->shards_open--;
        if (f->writing && f->dirty && how != SHARDIO_CLOSE_DISCARD) s->unsynced++;
    }
    status = file_close(&f->inner, fails && !s->late ? SHARDIO_CLOSE_DISCARD : how);
    (void)durable;
    (void)code;
    for (at = &s->files; *at != f; at = &(*at)->next) {}
    *at = f->next;
    free(f);
    return fails ? s->status : status;
}

static inline shardio_status spy_suspend(void *file, int *code)
{
    spy_file *f = (spy_file *)file;
    spy *s = f->spy;
    if (spy_fails(s)) return s->status;
    if (f->shard) s->shards_open--;
    if (f->shard && f->dirty) s->unsynced++;
    return f->inner.functions->suspend != NULL ? f->inner.functions->suspend(f->inner.context, code) : SHARDIO_OK;
}

static inline shardio_status spy_resume(void *file, int *code)
{
    spy_file *f = (spy_file *)file;
    spy *s = f->spy;
    if (f->shard && ++s->shards_open > s->shards_open_peak) s->shards_open_peak = s->shards_open;
    if (spy_fails(s)) return s->status;
    return f->inner.functions->resume != NULL ? f->inner.functions->resume(f->inner.context, code) : SHARDIO_OK;
}

static inline const shardio_file_functions *spy_file_functions(void)
{
    static const shardio_file_functions functions = {
        spy_read, spy_write, spy_resize, spy_facts, NULL, spy_sync_file, spy_publish, spy_suspend, spy_resume, NULL,
        spy_close, NULL, NULL,
    };
    return &functions;
}

static inline void spy_wrap(spy *s, const char *key, bool writing, shardio_file *file)
{
    spy_file *f = (spy_file *)calloc(1, sizeof *f);
    size_t length = strlen(key);
    f->spy = s;
    f->inner = *file;
    f->writing = writing;
    f->shard = length < 9 || strcmp(key + length - 9, "zarr.json") != 0;
    snprintf(f->key, sizeof f->key, "%s", key);
    f->next = s->files;
    s->files = f;
    if (f->shard && ++s->shards_open > s->shards_open_peak) s->shards_open_peak = s->shards_open;
    file->functions = spy_file_functions();
    file->context = f;
}

static inline shardio_status spy_open(void *store, const char *key, bool update, const shardio_allocator *allocator,
                                      shardio_file *file, int *code)
{
    spy *s = (spy *)store;
    shardio_status status;
    if (spy_fails(s)) return s->status;
    status = s->inner.functions->open(s->inner.context, key, update, allocator, file, code);
    if (status == SHARDIO_OK) spy_wrap(s, key, update, file);
    return status;
}

static inline shardio_status spy_create(void *store, const char *key, bool overwrite, uint64_t most,
                                        const shardio_allocator *allocator, shardio_file *file, int *code)
{
    spy *s = (spy *)store;
    shardio_status status;
    if (spy_fails(s)) return s->status;
    status = s->inner.functions->create(s->inner.context, key, overwrite, most, allocator, file, code);
    if (status == SHARDIO_OK) spy_wrap(s, key, true, file);
    return status;
}

static inline shardio_status spy_remove(void *store, const char *key, int *code)
{
    spy *s = (spy *)store;
    if (spy_fails(s)) return s->status;
    s->removals++;
    return s->inner.functions->remove(s->inner.context, key, code);
}

static inline shardio_status spy_list(void *store, const char *prefix,
                                      bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                                      void *context, int *code)
{
    spy *s = (spy *)store;
    if (spy_fails(s)) return s->status;
    return s->inner.functions->list(s->inner.context, prefix, each, context, code);
}

static inline shardio_status spy_sync(void *store, const char *key, int *code)
{
    spy *s = (spy *)store;
    if (spy_fails(s)) return s->status;
    return s->inner.functions->sync != NULL ? s->inner.functions->sync(s->inner.context, key, code) : SHARDIO_OK;
}

static inline shardio_status spy_tag(void *store, const char *key, uint64_t tag[2], int *code)
{
    spy *s = (spy *)store;
    if (spy_fails(s)) return s->status;
    s->tags++;
    return s->inner.functions->tag(s->inner.context, key, tag, code);
}

static inline size_t spy_file_memory(void *store, size_t length)
{
    spy *s = (spy *)store;
    return s->inner.functions->file_memory(s->inner.context, length);
}

static inline shardio_store spy_begin(spy *s, const shardio_store *inner)
{
    static const shardio_store_functions functions = {spy_open, spy_create, spy_remove, spy_list, spy_sync,
                                                      spy_file_memory, NULL, spy_tag, false};
    shardio_store store;
    memset(s, 0, sizeof *s);
    s->inner = *inner;
    s->status = SHARDIO_ERR_IO;
    store.functions = &functions;
    store.context = s;
    store.name = "spy";
    return store;
}

/* ---- A model: what an array has to hold, element by element, in plain memory. */
typedef struct model {
    shardio_array_options o;
    size_t element;             /* bytes */
    uint64_t room;              /* frames of data */
    uint64_t frame;             /* elements of a frame */
    uint8_t fill[16];
    uint8_t *data;              /* room * frame * element bytes */
} model;

static inline size_t dtype_unit(shardio_dtype dtype)
{
#define UNIT(name, text, size, unit) unit,
    static const size_t units[] = {0, SHARDIO_DTYPE_LIST(UNIT)};
#undef UNIT
    return units[dtype];
}

static inline bool machine_big_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

static inline void random_element(shardio_dtype dtype, uint64_t number, uint8_t *to)
{
    uint64_t bits[2];
    bits[0] = test_mix(number);
    bits[1] = test_mix(bits[0]);
    if (dtype == SHARDIO_BOOL) { to[0] = (uint8_t)(bits[0] & 1); return; }
    memcpy(to, bits, shardio_dtype_size(dtype));
}

/* Fills the model with `room` frames. With `sparse` about a third of the chunks hold nothing but the fill value. */
static inline void model_begin(model *m, uint64_t room, uint64_t seed, bool sparse)
{
    uint32_t n = m->o.ndim;
    m->element = shardio_dtype_size(m->o.dtype);
    m->room = room;
    m->frame = 1;
    for (uint32_t d = 1; d < n; d++) m->frame *= m->o.shape[d];
    if (m->o.fill_value != NULL) memcpy(m->fill, m->o.fill_value, m->element);
    m->o.fill_value = m->fill;
    m->data = (uint8_t *)malloc((size_t)(room * m->frame) * m->element + 1);
    for (uint64_t i = 0; i < room * m->frame; i++) {
        bool empty = false;
        if (sparse) {
            uint64_t rest = i, place = seed;
            for (uint32_t d = n; d-- > 0;) {
                uint64_t extent = d == 0 ? room : m->o.shape[d];
                place = test_mix(place + rest % extent / m->o.chunk[d]);
                rest /= extent;
            }
            empty = place % 3 == 0;
        }
        if (empty) memcpy(m->data + i * m->element, m->fill, m->element);
        else random_element(m->o.dtype, seed + i, m->data + i * m->element);
    }
}

static inline void model_end(model *m)
{
    free(m->data);
    m->data = NULL;
}

/* A random small array; everything that can be chosen is. */
static inline void model_random(model *m, uint64_t seed, uint32_t ndim)
{
    uint64_t r = test_mix(seed), room, left = 2000;
    memset(m, 0, sizeof *m);
    m->o.ndim = ndim != 0 ? ndim : 1 + (uint32_t)(test_random(&r) % 5);
    m->o.dtype = (shardio_dtype)(1 + test_random(&r) % SHARDIO_COMPLEX128);
    room = 1 + test_random(&r) % 12;
    bool sharded = test_random(&r) % 4 != 0;
    for (uint32_t d = 0; d < m->o.ndim; d++) {
        uint64_t most = left < 9 ? left : 9;
        uint64_t extent = d == 0 ? room : 1 + test_random(&r) % most;
        m->o.shape[d] = extent;
        left /= extent;
        if (left == 0) left = 1;
        m->o.chunk[d] = 1 + test_random(&r) % (extent + (extent < 4 ? 1 : 0));
        if (m->o.ndim > 12 && m->o.chunk[d] > 2) m->o.chunk[d] = 2;
        m->o.shard[d] = sharded ? m->o.chunk[d] * (1 + test_random(&r) % (m->o.ndim > 6 ? 2 : 3)) : 0;
        if (m->o.ndim > 8 && extent == 1) { m->o.chunk[d] = 1; m->o.shard[d] = sharded ? 1 : 0; }
    }
    if (test_random(&r) % 2) m->o.shape[0] = SHARDIO_UNLIMITED;
    random_element(m->o.dtype, test_random(&r), m->fill);
    if (test_random(&r) % 2) m->o.fill_value = m->fill;
    else memset(m->fill, 0, sizeof m->fill);
    m->o.index_at_start = test_random(&r) % 2 != 0;
    m->o.index_big_endian = test_random(&r) % 4 == 0;
    m->o.index_no_checksum = test_random(&r) % 4 == 0;
    m->o.big_endian = test_random(&r) % 3 == 0;
    m->o.skip_fill = test_random(&r) % 2 != 0;
    if (test_random(&r) % 3 == 0) m->o.codecs[0] = shardio_codec_crc32c();
    m->o.buffer_size = (size_t)(test_random(&r) % 2 ? 4096 : 65536);
    m->o.memory = (size_t)(test_random(&r) % 2 ? 1 : test_random(&r) % 65536);
    m->o.block_size = test_random(&r) % 2 ? 512 : 0;
    m->o.max_open_files = (uint32_t)(test_random(&r) % 4);
    m->o.durability = test_random(&r) % 2 ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    m->o.direct = SHARDIO_DIRECT_OFF;
    m->o.overlap = test_random(&r) % 2 ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
    m->o.in_flight = (uint32_t)(test_random(&r) % 5);
    model_begin(m, room, seed, test_random(&r) % 2 != 0);
}

/* Appends elements first to first + count - 1 in random pieces. */
static inline shardio_status model_append(const model *m, shardio_array *a, uint64_t first, uint64_t count,
                                          uint64_t *random)
{
    while (count > 0) {
        uint64_t piece = 0, kind = test_random(random) % 8;
        if (kind == 0) piece = test_random(random) % 2;
        else if (kind < 4) piece = 1 + test_random(random) % (m->frame + 1);
        else piece = 1 + test_random(random) % (3 * m->frame + 7);
        if (piece > count) piece = count;
        size_t bytes = (size_t)piece * m->element;
        uint8_t *copy = (uint8_t *)malloc(bytes + 1);    /* off by one byte: any address will do */
        memcpy(copy + 1, m->data + first * m->element, bytes);
        shardio_status s = shardio_array_append(a, copy + 1, piece);
        free(copy);
        if (s != SHARDIO_OK) return s;
        first += piece;
        count -= piece;
    }
    return SHARDIO_OK;
}

/* Copies a region out of the model: the reading that is compared with. */
static inline void model_region(const model *m, const uint64_t *start, const uint64_t *count, uint8_t *to)
{
    uint64_t at[SHARDIO_MAX_DIMS] = {0};
    uint32_t n = m->o.ndim, d;
    for (d = 0; d < n; d++) if (count[d] == 0) return;
    for (;;) {
        uint64_t i = start[0] + at[0];
        for (d = 1; d < n; d++) i = i * m->o.shape[d] + start[d] + at[d];
        memcpy(to, m->data + i * m->element, m->element);
        to += m->element;
        for (d = n; d-- > 0;) {
            if (++at[d] < count[d]) break;
            at[d] = 0;
        }
        if (d > n) return;
    }
}

static inline size_t region_bytes(const model *m, const uint64_t *count)
{
    size_t bytes = m->element;
    for (uint32_t d = 0; d < m->o.ndim; d++) bytes *= (size_t)count[d];
    return bytes;
}

/* Reads all and a few random regions through `a` and compares. */
static inline void model_check_reads(const model *m, shardio_array *a, uint64_t frames, uint64_t seed, int regions)
{
    uint64_t r = seed;
    for (int k = 0; k <= regions; k++) {
        uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS];
        shardio_error e;
        if (frames == 0) return;
        for (uint32_t d = 0; d < m->o.ndim; d++) {
            uint64_t extent = d == 0 ? frames : m->o.shape[d];
            start[d] = k == 0 ? 0 : test_random(&r) % extent;
            count[d] = k == 0 ? extent : 1 + test_random(&r) % (extent - start[d]);
        }
        size_t bytes = region_bytes(m, count);
        uint8_t *got = (uint8_t *)malloc(bytes), *want = (uint8_t *)malloc(bytes);
        memset(got, 0xa5, bytes);
        model_region(m, start, count, want);
        shardio_status s = shardio_array_read(a, start, count, got, bytes, &e);
        CHECK_OK(s);
        if (s == SHARDIO_OK) CHECK_BYTES(got, want, bytes);
        free(got);
        free(want);
    }
}

/* Opens the array in the store and compares it with the first `frames` frames of the model. */
static inline void model_check(const model *m, const shardio_store *store, uint64_t frames, uint64_t seed, int regions)
{
    shardio_array_options o;
    shardio_array_facts f;
    shardio_error e;
    memset(&o, 0, sizeof o);
    o.path = m->o.path;
    o.memory = 65536;
    shardio_array *a = shardio_array_open_in(store, &o, &e);
    char text[400];
    if (e.status != SHARDIO_OK) test_fail(__FILE__, __LINE__, shardio_error_text(&e, text, sizeof text));
    memset(&f, 0, sizeof f);
    if (e.status == SHARDIO_OK && shardio_array_describe(a, &f) == SHARDIO_OK) {
        CHECK_U64(f.ndim, m->o.ndim);
        CHECK_U64(f.dtype, m->o.dtype);
        CHECK_U64(f.shape[0], frames);
        CHECK_BYTES(f.fill_value, m->fill, m->element);
        if (f.ndim == m->o.ndim && f.dtype == m->o.dtype && f.shape[0] == frames)
            model_check_reads(m, a, frames, seed, regions);
    }
    shardio_array_close(a);
}

/* The bytes that the specification wants for the chunk whose first element is `corner`; true if all are fill value. */
static inline bool model_chunk(const model *m, uint64_t frames, const uint64_t *corner, uint8_t *to)
{
    uint64_t at[SHARDIO_MAX_DIMS] = {0};
    uint32_t n = m->o.ndim, d;
    size_t unit = dtype_unit(m->o.dtype);
    bool empty = true;
    for (;;) {
        uint64_t i = 0;
        bool inside = true;
        for (d = 0; d < n; d++) {
            uint64_t extent = d == 0 ? frames : m->o.shape[d];
            if (corner[d] + at[d] >= extent) inside = false;
            i = i * extent + corner[d] + at[d];
        }
        const uint8_t *from = inside ? m->data + i * m->element : m->fill;
        if (memcmp(from, m->fill, m->element) != 0) empty = false;
        for (size_t b = 0; b < m->element; b++)
            to[b] = m->o.big_endian == machine_big_endian() ? from[b] : from[b / unit * unit + unit - 1 - b % unit];
        to += m->element;
        for (d = n; d-- > 0;) {
            if (++at[d] < m->o.chunk[d]) break;
            at[d] = 0;
        }
        if (d > n) return empty;
    }
}

static inline void shard_key(const model *m, const uint64_t *position, char *key, size_t size)
{
    int used = snprintf(key, size, "%s%sc", m->o.path ? m->o.path : "", m->o.path ? "/" : "");
    for (uint32_t d = 0; d < m->o.ndim; d++)
        used += snprintf(key + used, size - (size_t)used, "/%llu", (unsigned long long)position[d]);
}

/* Every file of the array, byte by byte: there are those that have to be and no others, each chunk holds what it has
   to (crc32c behind it where asked), packed without a gap if `packed`. */
static inline void model_check_files(const model *m, const shardio_store *store, uint64_t frames, bool packed)
{
    uint32_t n = m->o.ndim, d;
    bool sharded = m->o.shard[0] != 0, crc = m->o.codecs[0] != NULL;
    uint64_t position[SHARDIO_MAX_DIMS] = {0}, chunks = 1, files = 0;
    const uint64_t *outer = sharded ? m->o.shard : m->o.chunk;
    size_t bytes = m->element;
    char key[400];
    key_list list;
    shardio_index_layout layout;
    for (d = 0; d < n; d++) { chunks *= outer[d] / m->o.chunk[d]; bytes *= (size_t)m->o.chunk[d]; }
    memset(&layout, 0, sizeof layout);
    layout.chunks = chunks;
    layout.at_start = m->o.index_at_start;
    layout.big_endian = m->o.index_big_endian;
    layout.no_checksum = m->o.index_no_checksum;
    uint8_t *want = (uint8_t *)malloc(bytes + 4);
    for (bool more = frames > 0; more;) {
        size_t size, index_size = sharded ? shardio_index_size(&layout) : 0, expected = index_size;
        uint64_t inside[SHARDIO_MAX_DIMS] = {0}, present = 0;
        shard_key(m, position, key, sizeof key);
        uint8_t *file = store_get(store, key, &size);
        const uint8_t *index = file == NULL || layout.at_start ? file : file + size - index_size;
        if (file != NULL && size < index_size) { CHECK(size >= index_size); free(file); break; }
        if (file != NULL && sharded) CHECK_OK(shardio_index_check(&layout, index));
        for (uint64_t c = 0; c < chunks; c++) {
            uint64_t corner[SHARDIO_MAX_DIMS], offset = 0, length = SHARDIO_MISSING;
            bool outside = false;
            for (d = 0; d < n; d++) {
                corner[d] = position[d] * outer[d] + inside[d] * m->o.chunk[d];
                if (corner[d] >= (d == 0 ? frames : m->o.shape[d])) outside = true;
            }
            bool empty = model_chunk(m, frames, corner, want);
            if (file != NULL && sharded) shardio_index_get(&layout, index, c, &offset, &length);
            else if (file != NULL) length = size;
            if (outside || (empty && m->o.skip_fill)) CHECK(length == SHARDIO_MISSING);
            else if (CHECK(length == bytes + (crc ? 4 : 0)) && CHECK(offset <= size - length)) {
                uint32_t sum = shardio_crc32c(0, want, bytes);
                for (int b = 0; b < 4; b++) want[bytes + (size_t)b] = (uint8_t)(sum >> (8 * b));
                CHECK_BYTES(file + offset, want, (size_t)length);
                expected += (size_t)length;
                present++;
            }
            for (d = n; d-- > 0;) {
                if (++inside[d] < outer[d] / m->o.chunk[d]) break;
                inside[d] = 0;
            }
        }
        CHECK((file != NULL) == (present > 0));
        if (file != NULL && packed) CHECK_U64(size, expected);
        files += file != NULL;
        free(file);
        for (d = n; d-- > 0;) {
            if (++position[d] * outer[d] < (d == 0 ? frames : m->o.shape[d])) break;
            position[d] = 0;
        }
        if (d > n) more = false;
    }
    free(want);
    snprintf(key, sizeof key, "%s%sc/", m->o.path ? m->o.path : "", m->o.path ? "/" : "");
    CHECK_OK(store_keys(store, key, &list));
    CHECK_U64(list.count, files);
    CHECK_U64(list.temporary, 0);
}

/* ---- zarr.json, member by member */

static inline shardio_json member2(shardio_json object, const char *a, const char *b)
{
    return shardio_json_member(shardio_json_member(object, a), b);
}

static inline void check_extents(shardio_json list, const uint64_t *want, uint32_t ndim)
{
    shardio_json value;
    size_t at = 0;
    uint32_t n = 0;
    for (; shardio_json_next(list, &at, NULL, &value); n++) {
        uint64_t got = 0;
        CHECK(n < ndim && shardio_json_uint64(value, &got));
        if (n < ndim) CHECK_U64(got, want[n]);
    }
    CHECK_U64(n, ndim);
}

/* A list of codecs: their names, each followed by a blank; a bytes codec by its byte order as well. */
static inline void codec_names(shardio_json list, char *text, size_t size)
{
    shardio_json entry;
    size_t at = 0, used = 0;
    text[0] = 0;
    while (shardio_json_next(list, &at, NULL, &entry)) {
        char name[40] = "?", order[20] = "";
        CHECK(shardio_json_string(shardio_json_member(entry, "name"), name, sizeof name));
        shardio_json endian = member2(entry, "configuration", "endian");
        if (shardio_json_kind(endian) != 0) CHECK(shardio_json_string(endian, order, sizeof order));
        used += (size_t)snprintf(text + used, size - used, "%s%s%s ", name, order[0] ? ":" : "", order);
    }
}

static inline void check_metadata(const model *m, const shardio_store *store, uint64_t frames)
{
    char key[200], names[200], want[200];
    size_t size;
    shardio_json root = {NULL, 0}, codecs, first = {NULL, 0}, chunk_codecs;
    uint64_t number = 0, shape[SHARDIO_MAX_DIMS];
    size_t at = 0, members = 0;
    uint32_t n = m->o.ndim;
    bool sharded = m->o.shard[0] != 0;
    snprintf(key, sizeof key, "%s%szarr.json", m->o.path ? m->o.path : "", m->o.path ? "/" : "");
    char *text = (char *)store_get(store, key, &size);
    if (!CHECK(text != NULL)) return;
    CHECK_OK(shardio_json_parse(text, size, &root, NULL));
    CHECK(shardio_json_uint64(shardio_json_member(root, "zarr_format"), &number) && number == 3);
    CHECK(shardio_json_is(shardio_json_member(root, "node_type"), "array"));
    memcpy(shape, m->o.shape, sizeof shape);
    shape[0] = frames;
    check_extents(shardio_json_member(root, "shape"), shape, n);
    CHECK(shardio_json_is(shardio_json_member(root, "data_type"), shardio_dtype_name(m->o.dtype)));
    CHECK(shardio_json_is(member2(root, "chunk_grid", "name"), "regular"));
    check_extents(shardio_json_member(member2(root, "chunk_grid", "configuration"), "chunk_shape"),
                  sharded ? m->o.shard : m->o.chunk, n);
    CHECK(shardio_json_is(member2(root, "chunk_key_encoding", "name"), "default"));
    CHECK(shardio_json_is(shardio_json_member(member2(root, "chunk_key_encoding", "configuration"), "separator"), "/"));
    CHECK(shardio_json_kind(shardio_json_member(root, "fill_value")) != 0);
    codecs = chunk_codecs = shardio_json_member(root, "codecs");
    if (sharded) {
        codec_names(codecs, names, sizeof names);
        CHECK_TEXT(names, "sharding_indexed ");
        shardio_json_next(codecs, &at, NULL, &first);
        shardio_json configuration = shardio_json_member(first, "configuration");
        check_extents(shardio_json_member(configuration, "chunk_shape"), m->o.chunk, n);
        CHECK(shardio_json_is(shardio_json_member(configuration, "index_location"), m->o.index_at_start ? "start" : "end"));
        codec_names(shardio_json_member(configuration, "index_codecs"), names, sizeof names);
        snprintf(want, sizeof want, "bytes:%s %s", m->o.index_big_endian ? "big" : "little",
                 m->o.index_no_checksum ? "" : "crc32c ");
        CHECK_TEXT(names, want);
        chunk_codecs = shardio_json_member(configuration, "codecs");
    }
    codec_names(chunk_codecs, names, sizeof names);
    snprintf(want, sizeof want, "bytes:%s %s", m->o.big_endian ? "big" : "little", m->o.codecs[0] ? "crc32c " : "");
    CHECK_TEXT(names, want);
    shardio_json attributes = shardio_json_member(root, "attributes");
    if (shardio_json_kind(attributes) != 0) CHECK_U64(shardio_json_kind(attributes), '{');
    shardio_json dimensions = shardio_json_member(root, "dimension_names"), name;
    if (m->o.dimension_names != NULL) {
        uint32_t d = 0;
        for (at = 0; shardio_json_next(dimensions, &at, NULL, &name) && d < n; d++)
            CHECK(m->o.dimension_names[d] == NULL ? shardio_json_kind(name) == 'n' : shardio_json_is(name, m->o.dimension_names[d]));
        CHECK_U64(d, n);
    } else {
        CHECK_U64(shardio_json_kind(dimensions), 0);
    }
    for (at = 0; shardio_json_next(root, &at, &name, &first);) members++;
    CHECK_U64(members, 9 + (m->o.dimension_names != NULL));
    free(text);
}

static inline void no_findings(void *context, const shardio_error *finding)
{
    char text[400];
    ++*(int *)context;
    test_fail(__FILE__, __LINE__, shardio_error_text(finding, text, sizeof text));
}

static inline void check_verifies(const model *m, const shardio_store *store)
{
    shardio_array_options o;
    shardio_error e;
    int findings = 0;
    memset(&o, 0, sizeof o);
    o.path = m->o.path;
    shardio_array *a = shardio_array_open_in(store, &o, &e);
    CHECK_OK(shardio_array_verify(a, no_findings, &findings, NULL, NULL, &e));
    CHECK_U64(findings, 0);
    shardio_array_close(a);
}

/* Writes `frames` frames in random pieces with `checkpoints` checkpoints somewhere, at frames and within, each looked at
   by a second handle. */
static inline void write_model(const model *m, const shardio_store *store, shardio_array *a, uint64_t from, uint64_t frames,
                        uint64_t seed, int checkpoints)
{
    uint64_t r = seed, at = from * m->frame, end = frames * m->frame;
    shardio_error e;
    for (int k = 0; k < checkpoints; k++) {
        uint64_t to = at + test_random(&r) % (end - at + 1);
        if (k % 2) to -= to % m->frame > to - at ? 0 : to % m->frame;     /* a whole frame */
        CHECK_OK(model_append(m, a, at, to - at, &r));
        at = to;
        CHECK_OK(shardio_array_checkpoint(a));
        check_metadata(m, store, at / m->frame);
        model_check(m, store, at / m->frame, seed + (uint64_t)k, 2);
        if (test_failures) break;
    }
    CHECK_OK(model_append(m, a, at, end - at, &r));
    shardio_accounting before = shardio_array_accounting(a);
    shardio_status s = shardio_array_finish(a, &e);
    char text[400];
    if (s != SHARDIO_OK) test_fail(__FILE__, __LINE__, shardio_error_text(&e, text, sizeof text));
    CHECK(before.files <= 1u << 20);
}

static inline void check_all(const model *m, const shardio_store *store, uint64_t frames, uint64_t seed, bool packed)
{
    check_metadata(m, store, frames);
    model_check(m, store, frames, seed, 6);
    model_check_files(m, store, frames, packed);
    check_verifies(m, store);
}

static inline void describe_model(const model *m, uint64_t seed)
{
    fprintf(stderr, "    seed %llu: ndim %u, %s, shape/chunk/shard", (unsigned long long)seed, (unsigned)m->o.ndim,
            shardio_dtype_name(m->o.dtype));
    for (uint32_t d = 0; d < m->o.ndim; d++)
        fprintf(stderr, " %llu/%llu/%llu", (unsigned long long)(d ? m->o.shape[d] : m->room), (unsigned long long)m->o.chunk[d],
                (unsigned long long)m->o.shard[d]);
    fprintf(stderr, "%s%s%s%s%s%s%s memory %llu open %u\n", m->o.shape[0] ? "" : " unlimited", m->o.index_at_start ? " start" : "",
            m->o.skip_fill ? " skip" : "", m->o.codecs[0] ? " crc" : "", m->o.big_endian ? " big" : "",
            m->o.index_big_endian ? " bigindex" : "", m->o.index_no_checksum ? " nosum" : "", (unsigned long long)m->o.memory,
            (unsigned)m->o.max_open_files);
}

/* ---- small arrays for the rest: (t, 6, 7) of uint16 */

static inline void small_model(model *m, uint64_t room, uint64_t chunk0, uint64_t shard0)
{
    static const uint64_t chunk[] = {0, 4, 4}, shard[] = {0, 4, 8};
    memset(m, 0, sizeof *m);
    m->o.ndim = 3;
    m->o.dtype = SHARDIO_UINT16;
    m->o.shape[1] = 6;
    m->o.shape[2] = 7;
    for (int d = 0; d < 3; d++) { m->o.chunk[d] = d ? chunk[d] : chunk0; m->o.shard[d] = shard0 == 0 ? 0 : d ? shard[d] : shard0; }
    m->o.buffer_size = 4096;
    m->o.memory = 1;
    m->o.durability = SHARDIO_DURABLE_NONE;
    m->o.direct = SHARDIO_DIRECT_OFF;
    m->fill[0] = 7;
    m->o.fill_value = m->fill;
    model_begin(m, room, 77, false);
}

/* Elements first to first + count - 1 as they are in the model. */
static inline shardio_status append_plain(const model *m, shardio_array *a, uint64_t first, uint64_t count)
{
    return shardio_array_append(a, m->data + first * m->element, count);
}
#endif
