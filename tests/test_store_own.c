/* A store of the caller's own, complete: keys in a flat table, values as bytes that malloc gave. Its files have the
   functions that have to be there and no other: read, write, resize, facts, close. That is enough to write, go on
   with, read and verify arrays. One more function, publish, makes checkpoints visible. */
#include "arrays.h"

typedef struct own_value {
    char key[160];
    uint8_t *data;
    size_t size, room;
    int open;                    /* files on it */
    bool visible, overwrite;     /* published; may replace a visible one */
    bool used;
} own_value;

/* A value that is replaced or removed while a file is open keeps its place in the table without being visible. */
typedef struct own_store {
    own_value values[64];
    const shardio_file_functions *file_functions;
    int files;                   /* open */
    uint64_t calls, fail_at;     /* creating, writing and closing: call number fail_at fails */
    bool keeps;                  /* what is removed is still there */
} own_store;

typedef struct own_file {
    own_store *store;
    own_value *value;
} own_file;

static bool own_fails(own_store *s)
{
    return ++s->calls == s->fail_at;
}

static own_value *own_find(own_store *s, const char *key)
{
    for (size_t i = 0; i < 64; i++)
        if (s->values[i].used && s->values[i].visible && strcmp(s->values[i].key, key) == 0) return &s->values[i];
    return NULL;
}

static void own_drop(own_value *v)
{
    v->visible = false;
    if (v->open > 0) return;
    free(v->data);
    memset(v, 0, sizeof *v);
}

static shardio_status own_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    const own_value *v = ((own_file *)file)->value;
    (void)code;
    *done = 0;
    if (offset >= v->size) return SHARDIO_OK;
    *done = size < v->size - offset ? size : v->size - (size_t)offset;
    memcpy(data, v->data + offset, *done);
    return SHARDIO_OK;
}

static shardio_status own_resize(void *file, uint64_t size, int *code)
{
    own_value *v = ((own_file *)file)->value;
    (void)code;
    if (size > v->room) {
        size_t room = (size_t)size + (size_t)size / 2;
        uint8_t *data = (uint8_t *)realloc(v->data, room);
        if (data == NULL) return SHARDIO_ERR_MEMORY;
        v->data = data;
        v->room = room;
    }
    if (size > v->size) memset(v->data + v->size, 0, (size_t)size - v->size);
    v->size = (size_t)size;
    return SHARDIO_OK;
}

/* Takes at most 1000 bytes a call: the caller has to loop. */
static shardio_status own_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done, int *code)
{
    own_file *f = (own_file *)file;
    *done = 0;
    if (own_fails(f->store)) { *code = 4711; return SHARDIO_ERR_IO; }
    if (size > 1000) size = 1000;
    if (offset + size > f->value->size) {
        shardio_status status = own_resize(file, offset + size, code);
        if (status != SHARDIO_OK) return status;
    }
    memcpy(f->value->data + offset, data, size);
    *done = size;
    return SHARDIO_OK;
}

static shardio_status own_facts(void *file, shardio_file_facts *facts, int *code)
{
    (void)code;
    facts->size = ((own_file *)file)->value->size;
    return SHARDIO_OK;
}

static shardio_status own_publish(void *file, bool durable, int *code)
{
    own_file *f = (own_file *)file;
    own_value *old = own_find(f->store, f->value->key);
    (void)durable;
    if (own_fails(f->store)) { *code = 4712; return SHARDIO_ERR_IO; }
    if (f->value->visible) return SHARDIO_OK;
    if (old != NULL && !f->value->overwrite) return SHARDIO_ERR_EXISTS;
    if (old != NULL) own_drop(old);
    f->value->visible = true;
    return SHARDIO_OK;
}

static shardio_status own_close(void *file, shardio_close how, bool durable, int *code)
{
    own_file *f = (own_file *)file;
    shardio_status status = how == SHARDIO_CLOSE_PUBLISH ? own_publish(file, durable, code) : SHARDIO_OK;
    f->store->files--;
    f->value->open--;
    if (!f->value->visible) own_drop(f->value);
    free(f);
    return status;
}

static const shardio_file_functions own_mandatory = {
    own_read, own_write, own_resize, own_facts, NULL, NULL, NULL, NULL, NULL, NULL, own_close, NULL, NULL
};
static const shardio_file_functions own_publishing = {
    own_read, own_write, own_resize, own_facts, NULL, NULL, own_publish, NULL, NULL, NULL, own_close, NULL, NULL
};

static shardio_status own_begin(own_store *s, own_value *v, shardio_file *file)
{
    own_file *f = (own_file *)malloc(sizeof *f);
    if (f == NULL) return SHARDIO_ERR_MEMORY;
    f->store = s;
    f->value = v;
    v->open++;
    s->files++;
    file->functions = s->file_functions;
    file->context = f;
    file->name = v->key;
    return SHARDIO_OK;
}

static shardio_status own_open(void *store, const char *key, bool update, const shardio_allocator *allocator,
                               shardio_file *file, int *code)
{
    own_value *v = own_find((own_store *)store, key);
    (void)update; (void)allocator; (void)code;
    return v == NULL ? SHARDIO_ERR_NOT_FOUND : own_begin((own_store *)store, v, file);
}

static shardio_status own_create(void *store, const char *key, bool overwrite, uint64_t most,
                                 const shardio_allocator *allocator, shardio_file *file, int *code)
{
    own_store *s = (own_store *)store;
    size_t i = 0;
    (void)allocator; (void)most;
    if (own_fails(s)) { *code = 4713; return SHARDIO_ERR_IO; }
    if (!overwrite && own_find(s, key) != NULL) return SHARDIO_ERR_EXISTS;
    while (i < 64 && s->values[i].used) i++;
    if (i == 64 || strlen(key) >= sizeof s->values[i].key) return SHARDIO_ERR_NO_SPACE;
    s->values[i].used = true;
    s->values[i].overwrite = overwrite;
    strcpy(s->values[i].key, key);
    return own_begin(s, &s->values[i], file);
}

static shardio_status own_remove(void *store, const char *key, int *code)
{
    own_value *v = own_find((own_store *)store, key);
    (void)code;
    if (key[0] == 0) return SHARDIO_OK;      /* the table stays */
    if (v == NULL) return SHARDIO_ERR_NOT_FOUND;
    if (!((own_store *)store)->keeps) own_drop(v);
    return SHARDIO_OK;
}

static shardio_status own_list(void *store, const char *prefix,
                               bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                               void *context, int *code)
{
    own_store *s = (own_store *)store;
    (void)code;
    for (size_t i = 0; i < 64; i++) {
        const own_value *v = &s->values[i];
        if (!v->used || (!v->visible && v->open == 0) || strncmp(v->key, prefix, strlen(prefix)) != 0) continue;
        if (!each(context, v->key, v->size, !v->visible)) break;
    }
    return SHARDIO_OK;
}

/* Nothing is taken from the allocator that open and create are given. */
static size_t own_file_memory(void *store, size_t length)
{
    (void)store; (void)length;
    return 0;
}

static shardio_store own_store_begin(own_store *s, const shardio_file_functions *file_functions)
{
    static const shardio_store_functions functions = {
        own_open, own_create, own_remove, own_list, NULL, own_file_memory, NULL, NULL, false
    };
    shardio_store store = {&functions, s, "own"};
    memset(s, 0, sizeof *s);
    s->file_functions = file_functions;
    return store;
}

static void own_store_end(own_store *s)
{
    CHECK_U64(s->files, 0);
    for (size_t i = 0; i < 64; i++) {
        if (!s->values[i].used) continue;
        CHECK_U64(s->values[i].open, 0);
        CHECK(s->values[i].visible);          /* nothing half done is left */
        own_drop(&s->values[i]);
    }
}

/* ---- The life of an array in it, sharded and not. */

static const uint64_t shapes[][2] = {{2, 4}, {2, 0}, {1, 3}, {3, 3}};       /* frames of a chunk, of a shard; 0: none */
#define SHAPES (sizeof shapes / sizeof shapes[0])

TEST(create_continue_read_verify)
{
    for (size_t i = 0; i < SHAPES; i++) {
        own_store own;
        model m;
        shardio_store store = own_store_begin(&own, &own_mandatory);
        shardio_error e;
        small_model(&m, 13, shapes[i][0], shapes[i][1]);
        m.o.path = "group/array";
        m.o.max_open_files = 1;                    /* has no effect on files that hold no descriptor */
        write_model(&m, &store, shardio_array_create_in(&store, &m.o), 0, 7, 1, 0);
        check_all(&m, &store, 7, 2, true);
        CHECK_U64(own.files, 0);
        write_model(&m, &store, shardio_array_continue_in(&store, &m.o), 7, 13, 3, 0);
        check_all(&m, &store, 13, 4, false);
        CHECK(own_find(&own, "zarr.json") != NULL && own_find(&own, "group/zarr.json") != NULL);

        /* a second one is refused, and leaves the first alone; overwriting replaces it */
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_EXISTS);
        check_all(&m, &store, 13, 5, false);
        m.o.overwrite = true;
        write_model(&m, &store, shardio_array_create_in(&store, &m.o), 0, 5, 6, 0);
        check_all(&m, &store, 5, 7, true);
        model_end(&m);
        own_store_end(&own);
    }
}

TEST(checkpoints_with_publish)
{
    for (size_t i = 0; i < SHAPES; i++) {
        own_store own;
        model m;
        shardio_store store = own_store_begin(&own, &own_publishing);
        small_model(&m, 13, shapes[i][0], shapes[i][1]);
        write_model(&m, &store, shardio_array_create_in(&store, &m.o), 0, 8, 1, 3);
        check_all(&m, &store, 8, 2, false);
        write_model(&m, &store, shardio_array_continue_in(&store, &m.o), 8, 13, 3, 2);
        check_all(&m, &store, 13, 4, false);
        model_end(&m);
        own_store_end(&own);
    }
}

TEST(abort_leaves_nothing)
{
    for (size_t i = 0; i < SHAPES; i++) {
        own_store own;
        model m;
        key_list list;
        shardio_store store = own_store_begin(&own, &own_mandatory);
        small_model(&m, 13, shapes[i][0], shapes[i][1]);
        shardio_array *a = shardio_array_create_in(&store, &m.o);
        CHECK_OK(append_plain(&m, a, 0, 9 * m.frame));
        shardio_array_abort(a);
        CHECK_OK(store_keys(&store, "", &list));
        CHECK_U64(list.count + list.temporary, 0);
        /* and of one that is continued, nothing new */
        write_model(&m, &store, shardio_array_create_in(&store, &m.o), 0, 7, 1, 0);
        a = shardio_array_continue_in(&store, &m.o);
        CHECK_OK(append_plain(&m, a, 7 * m.frame, 6 * m.frame));
        shardio_array_abort(a);
        model_check(&m, &store, 7, 2, 4);
        model_end(&m);
        own_store_end(&own);
    }
}

/* Each call of the store's fails once: an error with the store's own number, and no file is forgotten. */
TEST(every_call_fails_in_turn)
{
    static const shardio_file_functions *const tables[] = {&own_mandatory, &own_publishing};
    for (size_t i = 0; i < 2 * SHAPES; i++) {
        uint64_t failed = 1;
        for (uint64_t n = 1; failed != 0; n++) {
            own_store own;
            model m;
            shardio_error e;
            shardio_store store = own_store_begin(&own, tables[i % 2]);
            small_model(&m, 9, shapes[i / 2][0], shapes[i / 2][1]);
            own.fail_at = n;
            shardio_array *a = shardio_array_create_in(&store, &m.o);
            append_plain(&m, a, 0, 5 * m.frame);
            shardio_array_checkpoint(a);
            append_plain(&m, a, 5 * m.frame, 4 * m.frame);
            shardio_status s = shardio_array_finish(a, &e);
            failed = own.calls >= n;
            if (failed) CHECK_STATUS(s, SHARDIO_ERR_IO);
            if (failed) CHECK(e.system_code >= 4711 && e.system_code <= 4713);
            if (!failed) CHECK_OK(s);
            if (!failed) model_check(&m, &store, 9, 1, 4);
            model_end(&m);
            own_store_end(&own);
            if (test_failures > 0) return;
        }
    }
}

/* What was to be removed is listed again: said, and not tried for ever. */
TEST(removing_that_removes_nothing)
{
    own_store own;
    model m;
    shardio_error e;
    shardio_store store = own_store_begin(&own, &own_mandatory);
    small_model(&m, 8, 2, 4);
    write_model(&m, &store, shardio_array_create_in(&store, &m.o), 0, 8, 1, 0);
    own.keeps = true;
    m.o.overwrite = true;
    CHECK_STATUS(shardio_array_finish(shardio_array_create_in(&store, &m.o), &e), SHARDIO_ERR_IO);
    CHECK_TEXT(e.operation, "overwrite");
    CHECK_TEXT(e.subject, "own/c/0/0/0");
    CHECK(e.reason != NULL);
    own.keeps = false;
    check_all(&m, &store, 8, 2, false);
    model_end(&m);
    own_store_end(&own);
}

/* Damage is found as in any other store. */
TEST(damage_is_found)
{
    own_store own;
    model m;
    shardio_error e;
    shardio_array_options o;
    shardio_store store = own_store_begin(&own, &own_mandatory);
    small_model(&m, 8, 2, 4);
    write_model(&m, &store, shardio_array_create_in(&store, &m.o), 0, 8, 1, 0);
    own_value *shard = own_find(&own, "c/1/0/0");
    if (!CHECK(shard != NULL)) return;
    shard->data[shard->size - 1] ^= 1;
    memset(&o, 0, sizeof o);
    shardio_array *a = shardio_array_open_in(&store, &o, &e);
    CHECK_OK(e.status);
    CHECK_STATUS(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e), SHARDIO_ERR_CORRUPT);
    shardio_array_close(a);
    model_end(&m);
    own_store_end(&own);
}

TEST_MAIN(TEST_CASE(create_continue_read_verify) TEST_CASE(checkpoints_with_publish) TEST_CASE(abort_leaves_nothing)
          TEST_CASE(every_call_fails_in_turn) TEST_CASE(removing_that_removes_nothing) TEST_CASE(damage_is_found))
