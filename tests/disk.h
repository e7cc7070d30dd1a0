/* A disk in memory, as a store: it counts and logs every operation, fails one of them, wants aligned unbuffered reads, and
   loses power: then what was not synced is there, lost or torn, each write by itself, and of the names that were not yet
   durable only the first few changed. Include after arrays.h. */
#ifndef DISK_H
#define DISK_H

typedef enum disk_call {
    DISK_OPEN, DISK_CREATE, DISK_REMOVE, DISK_LIST, DISK_SYNC_KEY, DISK_READ, DISK_WRITE, DISK_RESIZE, DISK_FACTS, DISK_DIRECT,
    DISK_SYNC, DISK_PUBLISH, DISK_CLOSE, DISK_HINT, DISK_CALLS
} disk_call;

/* A change of a file's bytes that was not synced: a write of `size` bytes, or (data null) a new size. */
typedef struct disk_change {
    struct disk_change *next;
    uint64_t offset;
    size_t size;
    uint8_t *data;
} disk_change;

typedef struct disk_node {
    struct disk_node *next;
    uint64_t number, version;
    uint8_t *now, *safe;             /* the bytes, and those that a loss of power leaves in any case */
    size_t now_size, safe_size;
    disk_change *changes, **last;    /* between the two */
    uint32_t names, handles;
} disk_node;

/* What a key stands for; null: nothing any more. The newest of a key counts. */
typedef struct disk_name {
    char key[140];
    disk_node *node;
    uint64_t when;                   /* number of the change of names */
} disk_name;

typedef struct disk_record {
    disk_call call;
    char key[60];
    uint64_t offset, size;           /* of reads, writes, hints; the new size of resizes */
} disk_record;

typedef struct disk {
    disk_node *nodes;
    disk_name *names;
    size_t name_count, name_room;
    uint64_t clock, durable;         /* changes of names; those before `durable` survive */
    uint64_t next_number;

    /* what it shall do: all-zero, nothing bad */
    uint64_t fail_at;                /* operation number, 1 is the first */
    unsigned only;                   /* counting only these: 1u << call | ...; 0: all but hints */
    bool shards_only;                /* and only those that are no zarr.json */
    bool forever;                    /* and everything after it, closing aside: the power is gone */
    bool late;                       /* do it, then say that it failed */
    shardio_status status;           /* 0: SHARDIO_ERR_IO */
    uint32_t alignment, memory_alignment;   /* unbuffered I/O wants this; 0: there is none */
    bool refuse_open, refuse_read, refuse_write;   /* unbuffered: set_direct, the first read, the first write */
    uint32_t queue;                  /* so many reads are under way at once, more are refused; 0: none ever */
    uint64_t short_every;            /* one of so many of them ends early; 0: none */
    void (*before)(void *context, disk_call call, const char *key);
    void *context;

    /* what happened */
    uint64_t calls[DISK_CALLS], shard_calls[DISK_CALLS], counted, failed;
    disk_call failed_call;
    char failed_key[140];
    uint64_t misaligned, direct_reads, begun, most_begun, misused;
    shardio_transfer *under_way[32];
    size_t under_way_count;
    uint32_t open_shards, open_peak, handles;
    disk_record log[8192];
    size_t logged;
    bool inside;                     /* the hook is running */
} disk;

typedef struct disk_handle {
    disk *d;
    disk_node *node;
    const shardio_allocator *allocator;
    bool shard, unpublished, overwrite, direct;
    char key[140];
} disk_handle;

/* ---- what is inside */

static inline bool disk_is_shard(const char *key)
{
    size_t n = strlen(key);
    return n < 9 || strcmp(key + n - 9, "zarr.json") != 0;
}

/* Every operation begins here. */
static inline shardio_status disk_step(disk *d, disk_call call, const char *key, uint64_t offset, uint64_t size)
{
    if (d->inside) return SHARDIO_OK;
    if (d->before != NULL) {
        d->inside = true;
        d->before(d->context, call, key);
        d->inside = false;
    }
    d->calls[call]++;
    d->shard_calls[call] += disk_is_shard(key);
    if (d->logged < sizeof d->log / sizeof d->log[0]) {
        disk_record *r = &d->log[d->logged++];
        r->call = call;
        snprintf(r->key, sizeof r->key, "%.59s", key);
        r->offset = offset;
        r->size = size;
    }
    if (d->fail_at == 0 || call == DISK_HINT) return SHARDIO_OK;
    if (d->shards_only && !disk_is_shard(key)) return SHARDIO_OK;
    if (d->only != 0 && (d->only >> call & 1) == 0) return SHARDIO_OK;
    d->counted++;
    if (d->counted != d->fail_at && !(d->forever && d->counted > d->fail_at)) return SHARDIO_OK;
    if (d->failed++ == 0) {
        d->failed_call = call;
        snprintf(d->failed_key, sizeof d->failed_key, "%s", key);
    }
    return d->status != SHARDIO_OK ? d->status : SHARDIO_ERR_IO;
}

static inline void disk_put(uint8_t **bytes, size_t *size, uint64_t offset, const uint8_t *data, size_t n)
{
    size_t end = (size_t)offset + n;
    if (end > *size) {
        *bytes = (uint8_t *)realloc(*bytes, end + 1);
        memset(*bytes + *size, 0, end - *size);
        *size = end;
    }
    if (n > 0) memcpy(*bytes + offset, data, n);
}

static inline void disk_cut(uint8_t **bytes, size_t *size, size_t to)
{
    if (to > *size) disk_put(bytes, size, to, NULL, 0);
    *size = to;
}

static inline void disk_apply(uint8_t **bytes, size_t *size, const disk_change *c, size_t n)
{
    if (c->data != NULL) disk_put(bytes, size, c->offset, c->data, n);
    else disk_cut(bytes, size, c->size);
}

static inline void disk_forget(disk_node *n)
{
    while (n->changes != NULL) {
        disk_change *c = n->changes;
        n->changes = c->next;
        free(c->data);
        free(c);
    }
    n->last = &n->changes;
}

static inline void disk_make_safe(disk_node *n)
{
    disk_forget(n);
    n->safe = (uint8_t *)realloc(n->safe, n->now_size + 1);
    if (n->now_size > 0) memcpy(n->safe, n->now, n->now_size);
    n->safe_size = n->now_size;
}

static inline disk_node *disk_find(const disk *d, const char *key)
{
    for (size_t i = d->name_count; i-- > 0;)
        if (strcmp(d->names[i].key, key) == 0) return d->names[i].node;
    return NULL;
}

/* A key stands for another node now, or for none. */
static inline void disk_name_it(disk *d, const char *key, disk_node *node)
{
    disk_node *old = disk_find(d, key);
    if (old != NULL) old->names--;
    if (node != NULL) node->names++;
    if (d->name_count == d->name_room) {
        d->name_room = 2 * d->name_room + 64;
        d->names = (disk_name *)realloc(d->names, d->name_room * sizeof *d->names);
    }
    disk_name *n = &d->names[d->name_count++];
    snprintf(n->key, sizeof n->key, "%s", key);
    n->node = node;
    n->when = d->clock++;
}

static inline disk_node *disk_new_node(disk *d)
{
    disk_node *n = (disk_node *)calloc(1, sizeof *n);
    n->number = ++d->next_number;
    n->last = &n->changes;
    n->next = d->nodes;
    d->nodes = n;
    return n;
}

/* ---- files */

static inline shardio_status disk_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    disk_handle *h = (disk_handle *)file;
    disk *d = h->d;
    shardio_status s = disk_step(d, DISK_READ, h->key, offset, size);
    *done = 0;
    if (s != SHARDIO_OK) return s;
    if (h->direct) {
        d->direct_reads++;
        uint32_t memory = d->memory_alignment ? d->memory_alignment : d->alignment;
        if (offset % d->alignment != 0 || size % d->alignment != 0 || (uintptr_t)data % memory != 0) d->misaligned++;
        if (d->refuse_read) { *code = 22; return SHARDIO_ERR_IO; }
    }
    if (offset >= h->node->now_size) return SHARDIO_OK;
    *done = h->node->now_size - (size_t)offset < size ? h->node->now_size - (size_t)offset : size;
    memcpy(data, h->node->now + offset, *done);
    return SHARDIO_OK;
}

static inline void disk_change_node(disk_node *n, uint64_t offset, const void *data, size_t size)
{
    disk_change *c = (disk_change *)calloc(1, sizeof *c);
    c->offset = offset;
    c->size = size;
    if (data != NULL) {
        c->data = (uint8_t *)malloc(size + 1);
        memcpy(c->data, data, size);
    }
    *n->last = c;
    n->last = &c->next;
    n->version++;
    disk_apply(&n->now, &n->now_size, c, size);
}

static inline shardio_status disk_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done, int *code)
{
    disk_handle *h = (disk_handle *)file;
    disk *d = h->d;
    shardio_status s = disk_step(d, DISK_WRITE, h->key, offset, size);
    *done = 0;
    if (s != SHARDIO_OK && !d->late) return s;
    if (h->direct) {
        uint32_t memory = d->memory_alignment ? d->memory_alignment : d->alignment;
        if (offset % d->alignment != 0 || size % d->alignment != 0 || (uintptr_t)data % memory != 0) d->misaligned++;
        if (d->refuse_write) { *code = 22; return SHARDIO_ERR_DIRECT; }
    }
    disk_change_node(h->node, offset, data, size);
    *done = size;
    return s;
}

static inline shardio_status disk_resize(void *file, uint64_t size, int *code)
{
    disk_handle *h = (disk_handle *)file;
    shardio_status s = disk_step(h->d, DISK_RESIZE, h->key, 0, size);
    (void)code;
    if (s == SHARDIO_OK || h->d->late) disk_change_node(h->node, 0, NULL, (size_t)size);
    return s;
}

static inline shardio_status disk_facts(void *file, shardio_file_facts *facts, int *code)
{
    disk_handle *h = (disk_handle *)file;
    shardio_status s = disk_step(h->d, DISK_FACTS, h->key, 0, 0);
    (void)code;
    if (s != SHARDIO_OK) return s;
    facts->size = h->node->now_size;
    facts->identity[0] = h->node->names > 0 ? 7 : 0;
    facts->identity[1] = h->node->number;
    facts->identity[2] = h->node->version;
    facts->offset_alignment = facts->length_alignment = h->d->alignment;
    facts->memory_alignment = h->d->memory_alignment ? h->d->memory_alignment : h->d->alignment;
    return SHARDIO_OK;
}

static inline shardio_status disk_set_direct(void *file, bool direct, int *code)
{
    disk_handle *h = (disk_handle *)file;
    shardio_status s = disk_step(h->d, DISK_DIRECT, h->key, 0, direct);
    if (s != SHARDIO_OK) return s;
    if (direct && (h->d->alignment == 0 || h->d->refuse_open)) { *code = 22; return SHARDIO_ERR_DIRECT; }
    h->direct = direct;
    return SHARDIO_OK;
}

static inline shardio_status disk_sync_file(void *file, int *code)
{
    disk_handle *h = (disk_handle *)file;
    shardio_status s = disk_step(h->d, DISK_SYNC, h->key, 0, 0);
    (void)code;
    if (s == SHARDIO_OK) disk_make_safe(h->node);
    return s;
}

static inline shardio_status disk_show(disk_handle *h, bool durable)
{
    if (!h->unpublished) return SHARDIO_OK;
    if (!h->overwrite && disk_find(h->d, h->key) != NULL) return SHARDIO_ERR_EXISTS;
    disk_name_it(h->d, h->key, h->node);
    h->unpublished = false;
    if (durable) h->d->durable = h->d->clock;
    return SHARDIO_OK;
}

static inline shardio_status disk_publish(void *file, bool durable, int *code)
{
    disk_handle *h = (disk_handle *)file;
    shardio_status s = disk_step(h->d, DISK_PUBLISH, h->key, 0, durable), shown = SHARDIO_OK;
    (void)code;
    if (s == SHARDIO_OK || h->d->late) shown = disk_show(h, durable);
    return s != SHARDIO_OK ? s : shown;
}

static inline shardio_status disk_close(void *file, shardio_close how, bool durable, int *code)
{
    disk_handle *h = (disk_handle *)file;
    disk *d = h->d;
    shardio_status s = disk_step(d, DISK_CLOSE, h->key, 0, (uint64_t)how), shown = SHARDIO_OK;
    (void)code;
    if (how == SHARDIO_CLOSE_PUBLISH && (s == SHARDIO_OK || d->late)) shown = disk_show(h, durable);
    d->open_shards -= h->shard;
    d->handles--;
    h->node->handles--;
    test_release(h->allocator, h, sizeof *h);
    return s != SHARDIO_OK ? s : shown;
}

static inline void disk_hint(void *file, shardio_hint hint, uint64_t offset, uint64_t size)
{
    disk_handle *h = (disk_handle *)file;
    if (hint == SHARDIO_HINT_WILL_NEED) (void)disk_step(h->d, DISK_HINT, h->key, offset, size);
}

/* ---- reads that are under way: done at a wait, in another order, so that memory that is looked at too early is wrong */

static inline shardio_status disk_begin_transfer(void *file, shardio_transfer *t, int *code)
{
    disk *d = ((disk_handle *)file)->d;
    (void)code;
    if (t->write || d->under_way_count >= d->queue) return SHARDIO_ERR_UNSUPPORTED;
    for (size_t i = 0; i < d->under_way_count; i++) {
        const uint8_t *mine = (const uint8_t *)t->data, *other = (const uint8_t *)d->under_way[i]->data;
        d->misused += mine < other + d->under_way[i]->size && other < mine + t->size;
    }
    memset(t->data, 0xEE, t->size);
    d->under_way[d->under_way_count++] = t;
    if (d->under_way_count > d->most_begun) d->most_begun = d->under_way_count;
    d->begun++;
    return SHARDIO_OK;
}

static inline void disk_wait(void *file, shardio_transfer *transfer)
{
    disk *d = ((disk_handle *)file)->d;
    while (!transfer->complete && CHECK(d->under_way_count > 0)) {
        size_t which = (size_t)(test_mix(d->begun + d->under_way_count) % d->under_way_count);
        shardio_transfer *t = d->under_way[which];
        size_t size = t->size;
        d->under_way[which] = d->under_way[--d->under_way_count];
        if (d->short_every > 0 && test_mix(d->begun * 7 + which) % d->short_every == 0) size = size / 2 / d->alignment * d->alignment;
        t->status = disk_read(file, t->offset, t->data, size, &t->done, &t->code);
        t->complete = true;
    }
}

/* ---- the store */

static inline shardio_status disk_handle_for(disk *d, const char *key, disk_node *node, const shardio_allocator *allocator, shardio_file *file,
                                             disk_handle **out)
{
    static const shardio_file_functions functions = {
        disk_read, disk_write, disk_resize, disk_facts, disk_set_direct, disk_sync_file, disk_publish, NULL, NULL, disk_hint, disk_close,
        disk_begin_transfer, disk_wait
    };
    disk_handle *h = (disk_handle *)test_allocate(allocator, sizeof *h);
    if (h == NULL) return SHARDIO_ERR_MEMORY;
    memset(h, 0, sizeof *h);
    h->d = d;
    h->node = node;
    h->allocator = allocator;
    h->shard = disk_is_shard(key);
    snprintf(h->key, sizeof h->key, "%s", key);
    d->handles++;
    node->handles++;
    d->open_shards += h->shard;
    if (d->open_shards > d->open_peak) d->open_peak = d->open_shards;
    file->functions = &functions;
    file->context = h;
    file->name = h->key;
    *out = h;
    return SHARDIO_OK;
}

static inline bool disk_takes_key(const char *key)
{
    for (;; key++) {
        size_t n = strcspn(key, "/\\:");
        if (n == 0 || (n <= 2 && strncmp(key, "..", n) == 0)) return false;
        key += n;
        if (*key != '/') return *key == 0;
    }
}

static inline shardio_status disk_open(void *store, const char *key, bool update, const shardio_allocator *allocator, shardio_file *file, int *code)
{
    disk *d = (disk *)store;
    disk_handle *h;
    shardio_status s = disk_step(d, DISK_OPEN, key, 0, update);
    (void)code;
    if (s != SHARDIO_OK) return s;
    if (!disk_takes_key(key)) return SHARDIO_ERR_ARGUMENT;
    disk_node *n = disk_find(d, key);
    return n == NULL ? SHARDIO_ERR_NOT_FOUND : disk_handle_for(d, key, n, allocator, file, &h);
}

static inline shardio_status disk_create(void *store, const char *key, bool overwrite, uint64_t most,
                                         const shardio_allocator *allocator, shardio_file *file, int *code)
{
    disk *d = (disk *)store;
    disk_handle *h;
    shardio_status s = disk_step(d, DISK_CREATE, key, 0, overwrite);
    (void)code, (void)most;
    if (s != SHARDIO_OK) return s;
    if (!disk_takes_key(key)) return SHARDIO_ERR_ARGUMENT;
    if (!overwrite && disk_find(d, key) != NULL) return SHARDIO_ERR_EXISTS;
    s = disk_handle_for(d, key, disk_new_node(d), allocator, file, &h);
    if (s != SHARDIO_OK) return s;
    h->unpublished = true;
    h->overwrite = overwrite;
    return SHARDIO_OK;
}

static inline shardio_status disk_remove(void *store, const char *key, int *code)
{
    disk *d = (disk *)store;
    shardio_status s = disk_step(d, DISK_REMOVE, key, 0, 0);
    (void)code;
    if (s != SHARDIO_OK && !d->late) return s;
    if (key[0] == 0) return s;
    if (disk_find(d, key) == NULL) return s != SHARDIO_OK ? s : SHARDIO_ERR_NOT_FOUND;
    disk_name_it(d, key, NULL);
    return s;
}

static inline shardio_status disk_list(void *store, const char *prefix, bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                                       void *context, int *code)
{
    disk *d = (disk *)store;
    size_t n = strlen(prefix);
    shardio_status s = disk_step(d, DISK_LIST, prefix, 0, 0);
    (void)code;
    if (s != SHARDIO_OK) return s;
    for (size_t i = 0; i < d->name_count; i++) {
        const disk_name name = d->names[i];
        bool newest = name.node != NULL && strncmp(name.key, prefix, n) == 0;
        for (size_t k = i + 1; k < d->name_count && newest; k++) newest = strcmp(d->names[k].key, name.key) != 0;
        if (newest && !each(context, name.key, name.node->now_size, false)) break;
    }
    return SHARDIO_OK;
}

static inline shardio_status disk_sync_key(void *store, const char *key, int *code)
{
    disk *d = (disk *)store;
    shardio_status s = disk_step(d, DISK_SYNC_KEY, key, 0, 0);
    (void)code;
    if (s == SHARDIO_OK) d->durable = d->clock;
    return s;
}

static inline size_t disk_file_memory(void *store, size_t length)
{
    (void)store, (void)length;
    return sizeof(disk_handle);
}

static inline shardio_store disk_begin(disk *d)
{
    static const shardio_store_functions functions = {disk_open, disk_create, disk_remove, disk_list, disk_sync_key, disk_file_memory,
                                                      NULL, NULL, false};
    shardio_store store = {&functions, d, "disk"};
    memset(d, 0, sizeof *d);
    return store;
}

static inline void disk_end(disk *d)
{
    CHECK_U64(d->handles, 0);
    CHECK_U64(d->misaligned, 0);
    CHECK_U64(d->misused, 0);
    CHECK_U64(d->under_way_count, 0);
    while (d->nodes != NULL) {
        disk_node *n = d->nodes;
        d->nodes = n->next;
        disk_forget(n);
        free(n->now);
        free(n->safe);
        free(n);
    }
    free(d->names);
    d->names = NULL;
}

/* Nothing is told to fail any more, and the counts begin anew. */
static inline void disk_calm(disk *d)
{
    d->fail_at = d->counted = d->failed = d->logged = 0;
    d->forever = d->late = d->shards_only = false;
    d->only = 0;
    d->status = SHARDIO_OK;
    d->before = NULL;
    memset(d->calls, 0, sizeof d->calls);
    memset(d->shard_calls, 0, sizeof d->shard_calls);
    d->open_peak = d->open_shards;
    d->direct_reads = 0;
}

/* All that there is becomes durable. */
static inline void disk_settle(disk *d)
{
    d->durable = d->clock;
    for (disk_node *n = d->nodes; n != NULL; n = n->next) disk_make_safe(n);
}

/* The power goes. `seed` 0: everything that was written is there. */
static inline void disk_crash(disk *d, uint64_t seed)
{
    uint64_t kept = seed == 0 ? d->clock : d->durable + test_random(&seed) % (d->clock - d->durable + 1);
    while (d->name_count > 0 && d->names[d->name_count - 1].when >= kept) d->name_count--;
    for (disk_node *n = d->nodes; n != NULL; n = n->next) {
        uint8_t *bytes = (uint8_t *)malloc(n->safe_size + 1);
        size_t size = n->safe_size;
        if (size > 0) memcpy(bytes, n->safe, size);
        for (const disk_change *c = n->changes; c != NULL; c = c->next) {
            size_t some = c->size;
            if (seed != 0 && test_random(&seed) % 2) continue;
            if (seed != 0 && some > 0 && test_random(&seed) % 3 == 0) some = (size_t)(test_random(&seed) % some);
            disk_apply(&bytes, &size, c, some);
        }
        free(n->now);
        n->now = bytes;
        n->now_size = size;
        n->names = 0;
        disk_make_safe(n);
    }
    for (size_t i = 0; i < d->name_count; i++) {
        const disk_name *name = &d->names[i];
        bool newest = name->node != NULL;
        for (size_t k = i + 1; k < d->name_count && newest; k++) newest = strcmp(d->names[k].key, name->key) != 0;
        if (newest) name->node->names++;
    }
    d->clock = d->durable = kept;
}

/* Where in the log the next record of this kind about a shard is, from `from` on; `logged` if there is none. */
static inline size_t disk_next(const disk *d, size_t from, disk_call call)
{
    while (from < d->logged && (d->log[from].call != call || !disk_is_shard(d->log[from].key))) from++;
    return from;
}
#endif
