/* Nodes: groups, attributes, hierarchies and consolidated metadata, on a directory, in memory and in an archive alike. */
#include "arrays.h"

#define GROUP "{\"zarr_format\": 3, \"node_type\": \"group\"}"
#define ARRAY "{\"zarr_format\": 3, \"node_type\": \"array\", \"shape\": [2], \"codecs\": [{\"name\": \"bytes\"}]}"

typedef void (*node_check)(const shardio_store *store);

static bool is_directory(const shardio_store *store)
{
    return store->functions == shardio_store_directory(".").functions;
}

/* Runs `check` on a new store of each kind. */
static void on_each_kind(node_check check)
{
    char parent[300], path[320];
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/store", parent);
    shardio_store directory = shardio_store_directory(path);
    int before = test_failures;
    check(&directory);
    if (test_failures != before) fprintf(stderr, "    (directory store)\n");

    counter c;
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, counter_begin(&c));
    before = test_failures;
    check(&store);
    shardio_store_memory_free(&memory);
    CHECK_U64(c.live, 0);
    if (test_failures != before) fprintf(stderr, "    (memory store)\n");

    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = true;
    o.allocator = counter_begin(&c);
    snprintf(path, sizeof path, "%s/store.zip", parent);
    shardio_archive *archive = shardio_archive_open(path, &o, NULL);
    shardio_store zip = shardio_archive_store(archive);
    before = test_failures;
    check(&zip);
    CHECK_OK(shardio_archive_finish(archive, NULL));
    CHECK_U64(c.live, 0);
    if (test_failures != before) fprintf(stderr, "    (archive)\n");
}

static bool has_key(const shardio_store *store, const char *key)
{
    size_t size;
    uint8_t *data = store_get(store, key, &size);
    free(data);
    return data != NULL;
}

static const char *sentence(const shardio_error *error)
{
    static char text[400];
    return shardio_error_text(error, text, sizeof text);
}

/* ---- A store of the caller's own: hands everything on and counts. Fails call number `fail_at` of the store's
   functions, and with `forever` all later ones. */
typedef struct tally {
    shardio_store inner;
    uint64_t opens, reads, creates, lists, removes;
    uint64_t calls, fail_at;
    bool forever, failed;
    shardio_file file;                     /* the one that is open */
    shardio_file_functions functions;
    char log[4000];                        /* removes and syncs, in their order */
} tally;

static void tally_note(tally *t, const char *what, const char *key)
{
    size_t n = strlen(t->log);
    snprintf(t->log + n, sizeof t->log - n, "%s %s\n", what, key);
}

static bool tally_fails(tally *t)
{
    t->calls++;
    if (t->fail_at == 0 || (t->calls != t->fail_at && !(t->forever && t->calls > t->fail_at))) return false;
    t->failed = true;
    return true;
}

static shardio_status tally_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    tally *t = (tally *)file;
    t->reads++;
    return t->file.functions->read(t->file.context, offset, data, size, done, code);
}

static shardio_status tally_facts(void *file, shardio_file_facts *facts, int *code)
{
    tally *t = (tally *)file;
    return t->file.functions->facts(t->file.context, facts, code);
}

static shardio_status tally_close(void *file, shardio_close how, bool durable, int *code)
{
    tally *t = (tally *)file;
    return t->file.functions->close(t->file.context, how, durable, code);
}

static shardio_status tally_open(void *store, const char *key, bool update, const shardio_allocator *allocator,
                                 shardio_file *file, int *code)
{
    tally *t = (tally *)store;
    t->opens++;
    if (tally_fails(t)) return SHARDIO_ERR_IO;
    shardio_status status = t->inner.functions->open(t->inner.context, key, update, allocator, &t->file, code);
    if (status != SHARDIO_OK) return status;
    memset(&t->functions, 0, sizeof t->functions);
    t->functions.read = tally_read;
    t->functions.facts = tally_facts;
    t->functions.close = tally_close;
    file->functions = &t->functions;
    file->context = t;
    file->name = key;
    return SHARDIO_OK;
}

static shardio_status tally_create(void *store, const char *key, bool overwrite, uint64_t most,
                                   const shardio_allocator *allocator, shardio_file *file, int *code)
{
    tally *t = (tally *)store;
    t->creates++;
    if (tally_fails(t)) return SHARDIO_ERR_IO;
    return t->inner.functions->create(t->inner.context, key, overwrite, most, allocator, file, code);
}

static shardio_status tally_remove(void *store, const char *key, int *code)
{
    tally *t = (tally *)store;
    t->removes++;
    if (tally_fails(t)) return SHARDIO_ERR_IO;
    tally_note(t, "remove", key);
    return t->inner.functions->remove(t->inner.context, key, code);
}

static shardio_status tally_list(void *store, const char *prefix,
                                 bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                                 void *context, int *code)
{
    tally *t = (tally *)store;
    t->lists++;
    if (tally_fails(t)) return SHARDIO_ERR_IO;
    return t->inner.functions->list(t->inner.context, prefix, each, context, code);
}

static shardio_status tally_sync(void *store, const char *key, int *code)
{
    tally *t = (tally *)store;
    tally_note(t, "sync", key);
    if (tally_fails(t)) return SHARDIO_ERR_IO;
    return t->inner.functions->sync != NULL ? t->inner.functions->sync(t->inner.context, key, code) : SHARDIO_OK;
}

static size_t tally_file_memory(void *store, size_t length)
{
    tally *t = (tally *)store;
    return t->inner.functions->file_memory(t->inner.context, length);
}

static shardio_store tally_begin(tally *t, const shardio_store *inner)
{
    static const shardio_store_functions functions = {tally_open, tally_create, tally_remove, tally_list, tally_sync,
                                                      tally_file_memory, NULL, NULL, false};
    shardio_store store;
    memset(t, 0, sizeof *t);
    t->inner = *inner;
    store.functions = &functions;
    store.context = t;
    store.name = "tally";
    return store;
}

/* ---- What a walk met, as text: "path:kind " for each node, "path:!STATUS " for each fault. */
typedef struct trail {
    char text[60000];
    size_t size;
    uint64_t nodes, faults;
    uint64_t stop_at;
    shardio_error fault;       /* the last one */
} trail;

static shardio_status trail_visit(void *context, const char *path, const shardio_node *node, const shardio_error *fault)
{
    trail *t = (trail *)context;
    const char *what = node != NULL && node->kind == SHARDIO_NODE_ARRAY ? "array" : "group";
    if (node == NULL) what = shardio_status_name(fault->status);
    CHECK((node == NULL) != (fault == NULL));
    if (node != NULL) CHECK(strlen(node->text) == node->size);
    if (fault != NULL) { t->faults++; t->fault = *fault; }
    else t->nodes++;
    if (t->size + 400 < sizeof t->text)
        t->size += (size_t)snprintf(t->text + t->size, sizeof t->text - t->size, "%.300s:%s ", path, what);
    return t->stop_at != 0 && t->nodes + t->faults == t->stop_at ? SHARDIO_ERR_STATE : SHARDIO_OK;
}

static shardio_status walk_with(const shardio_store *store, const char *path, bool consolidated, trail *t,
                                shardio_error *e)
{
    memset(t, 0, sizeof *t);
    return shardio_hierarchy_walk(store, path, consolidated, trail_visit, t, NULL, e);
}

static void check_walk(const shardio_store *store, const char *path, bool consolidated, const char *want, int line)
{
    static trail t;
    shardio_error e;
    shardio_status s = walk_with(store, path, consolidated, &t, &e);
    test_equal_status(__FILE__, line, "walk", s, SHARDIO_OK);
    test_equal_text(__FILE__, line, "walk", t.text, want);
}
#define CHECK_WALK(path, want) check_walk(store, path, false, want, __LINE__)
#define CHECK_WALK_CONSOLIDATED(path, want) check_walk(store, path, true, want, __LINE__)

/* ---- opening */

static const struct { const char *text; shardio_status status; } documents[] = {
    {GROUP, SHARDIO_OK},
    {ARRAY, SHARDIO_OK},
    {" \n" GROUP "\t\n", SHARDIO_OK},
    {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"a\":1}}", SHARDIO_OK},
    {"{\"zarr_format\":3,\"node_type\":\"\\u0067roup\"}", SHARDIO_OK},
    {"", SHARDIO_ERR_CORRUPT},
    {"{\"zarr_format\": 3, \"node_type\": \"group\"", SHARDIO_ERR_CORRUPT},
    {GROUP "}", SHARDIO_ERR_CORRUPT},
    {"[" GROUP "]", SHARDIO_ERR_CORRUPT},
    {"3", SHARDIO_ERR_CORRUPT},
    {"{}", SHARDIO_ERR_UNSUPPORTED},
    {"{\"zarr_format\":2,\"node_type\":\"group\"}", SHARDIO_ERR_UNSUPPORTED},
    {"{\"zarr_format\":\"3\",\"node_type\":\"group\"}", SHARDIO_ERR_UNSUPPORTED},
    {"{\"zarr_format\":3}", SHARDIO_ERR_CORRUPT},
    {"{\"zarr_format\":3,\"node_type\":\"dataset\"}", SHARDIO_ERR_CORRUPT},
    {"{\"zarr_format\":3,\"node_type\":7}", SHARDIO_ERR_CORRUPT},
    {"{\"zarr_format\":3,\"node_type\":\"group\",\"node_type\":\"array\"}", SHARDIO_ERR_CORRUPT},
    {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{},\"attr\\u0069butes\":{}}", SHARDIO_ERR_CORRUPT},
    {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":null}", SHARDIO_ERR_CORRUPT},
    {"{\"zarr_format\":3,\"node_type\":\"array\",\"attributes\":[]}", SHARDIO_ERR_CORRUPT},
    /* extensions, and members of arrays where a group is */
    {"{\"zarr_format\":3,\"node_type\":\"group\",\"shape\":[1]}", SHARDIO_ERR_UNSUPPORTED},
    {"{\"zarr_format\":3,\"node_type\":\"group\",\"new\":{\"must_understand\":true}}", SHARDIO_ERR_UNSUPPORTED},
    {"{\"zarr_format\":3,\"node_type\":\"group\",\"new\":{\"must_understand\":false}}", SHARDIO_OK},
    {"{\"zarr_format\":3,\"node_type\":\"array\",\"new\":1}", SHARDIO_ERR_UNSUPPORTED},
    {"{\"zarr_format\":3,\"node_type\":\"array\",\"new\":{\"must_understand\":false}}", SHARDIO_OK},
    /* consolidated metadata */
#define CONSOLIDATED(x) "{\"zarr_format\":3,\"node_type\":\"group\",\"consolidated_metadata\":" x "}"
    {CONSOLIDATED("null"), SHARDIO_OK},
    {CONSOLIDATED("{\"kind\":\"inline\",\"must_understand\":false,\"metadata\":{}}"), SHARDIO_OK},
    {CONSOLIDATED("{\"kind\":\"inline\",\"metadata\":{\"../x\":{}}}"), SHARDIO_OK},
    {CONSOLIDATED("{\"kind\":\"inline\",\"must_understand\":false,\"metadata\":{\"x\":5}}"), SHARDIO_ERR_CORRUPT},
    {CONSOLIDATED("{\"kind\":\"inline\",\"must_understand\":false,\"metadata\":[]}"), SHARDIO_ERR_CORRUPT},
    {CONSOLIDATED("{\"kind\":\"inline\",\"must_understand\":false}"), SHARDIO_ERR_CORRUPT},
    {CONSOLIDATED("{\"kind\":\"inline\",\"kind\":\"inline\",\"metadata\":{}}"), SHARDIO_ERR_CORRUPT},
    {CONSOLIDATED("{}"), SHARDIO_ERR_CORRUPT},
    {CONSOLIDATED("7"), SHARDIO_ERR_CORRUPT},
    {CONSOLIDATED("{\"kind\":\"elsewhere\",\"must_understand\":true}"), SHARDIO_ERR_UNSUPPORTED},
    {CONSOLIDATED("{\"kind\":\"elsewhere\",\"must_understand\":false}"), SHARDIO_OK},
};

static void check_open(const shardio_store *store)
{
    shardio_node node;
    shardio_error e;
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        int before = test_failures;
        shardio_node_kind kind = strstr(documents[i].text, "\"array\"") != NULL ? SHARDIO_NODE_ARRAY : SHARDIO_NODE_GROUP;
        if (documents[i].status != SHARDIO_OK) kind = SHARDIO_NODE_UNKNOWN;
        CHECK_OK(store_put_text(store, "a/b/zarr.json", documents[i].text));
        CHECK_STATUS(shardio_node_open(&node, store, "a/b", NULL, &e), documents[i].status);
        CHECK_STATUS(e.status, documents[i].status);
        CHECK_U64(node.kind, kind);
        if (documents[i].status == SHARDIO_OK) {
            CHECK_TEXT(node.text, documents[i].text);
            CHECK_U64(node.size, strlen(documents[i].text));
            CHECK(shardio_json_kind(node.root) == '{');
        } else {
            CHECK(node.text == NULL && strstr(e.subject, "a/b/zarr.json") != NULL);
            CHECK_STATUS(shardio_node_set_int64(store, "a/b", "x", 1, NULL, NULL), documents[i].status);
            CHECK_KEY("a/b/zarr.json", documents[i].text);
        }
        shardio_node_close(&node);
        if (test_failures != before) fprintf(stderr, "    %s: %s\n", documents[i].text, sentence(&e));
    }
    CHECK_STATUS(shardio_node_open(&node, store, NULL, NULL, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_node_open(&node, store, "a", NULL, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_node_open(&node, store, "../a", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_open(&node, store, "a/", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_open(&node, NULL, "a", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_open(NULL, store, "a", NULL, &e), SHARDIO_ERR_ARGUMENT);
    shardio_node_close(&node);
    shardio_node_close(NULL);
    CHECK_OK(store_put_text(store, "zarr.json", GROUP));
    CHECK_OK(shardio_node_open(&node, store, NULL, NULL, NULL));
    shardio_node_close(&node);
    CHECK_OK(shardio_node_open(&node, store, "", NULL, &e));
    shardio_node_close(&node);
}
TEST(open) { on_each_kind(check_open); }

static void check_open_limit(const shardio_store *store)
{
    shardio_node_options o;
    shardio_node node;
    shardio_error e;
    memset(&o, 0, sizeof o);
    CHECK_OK(store_put_text(store, "zarr.json", GROUP));
    o.metadata_limit = strlen(GROUP);
    CHECK_OK(shardio_node_open(&node, store, "", &o, &e));
    shardio_node_close(&node);
    o.metadata_limit--;
    CHECK_STATUS(shardio_node_open(&node, store, "", &o, &e), SHARDIO_ERR_LIMIT);
    o.metadata_limit = SIZE_MAX;
    CHECK_OK(shardio_node_open(&node, store, "", &o, &e));
    shardio_node_close(&node);
    /* the limit is for the result, too */
    o.metadata_limit = strlen(GROUP) + 20;
    CHECK_STATUS(shardio_node_set_string(store, "", "long", "0123456789abcdef", &o, &e), SHARDIO_ERR_LIMIT);
    CHECK_KEY("zarr.json", GROUP);
    CHECK_STATUS(shardio_group_create(store, "g", "{\"a\": \"0123456789abcdef0123456789abcdef0123456789\"}", &o, &e),
                 SHARDIO_ERR_LIMIT);
    CHECK(!has_key(store, "g/zarr.json"));
}
TEST(limit) { on_each_kind(check_open_limit); }

static void check_one_read(const shardio_store *inner)
{
    tally t;
    shardio_node node;
    shardio_store under = tally_begin(&t, inner), *store = &under;
    CHECK_OK(store_put_text(store, "g/zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "g/a/zarr.json", ARRAY));
    CHECK_OK(shardio_node_open(&node, store, "g", NULL, NULL));
    CHECK_U64(t.opens, 1);
    CHECK_U64(t.reads, 1);
    CHECK_U64(t.lists, 0);
    shardio_node_close(&node);
    CHECK_OK(shardio_node_set_bool(store, "g", "x", true, NULL, NULL));
    CHECK_U64(t.reads, 2);
    CHECK_U64(t.creates, 3);
    CHECK_OK(shardio_group_consolidate(store, "g", false, NULL, NULL));
    CHECK_U64(t.reads, 4);
    CHECK_U64(t.lists, 1);
    CHECK_WALK("g", "g:group g/a:array ");
    CHECK_U64(t.reads, 6);
    CHECK_U64(t.lists, 2);
    CHECK_WALK_CONSOLIDATED("g", "g:group g/a:array ");       /* everything is in one file */
    CHECK_U64(t.reads, 7);
    CHECK_U64(t.lists, 2);
}
TEST(one_read) { on_each_kind(check_one_read); }

/* ---- attributes */

static void check_get(const shardio_store *store)
{
    shardio_node node;
    int64_t n = 0;
    double d = 0;
    bool b = false;
    char text[20];
    CHECK_OK(store_put_text(store, "zarr.json", "{\"zarr_format\": 3, \"node_type\": \"array\", \"attributes\": {\"n\": -3, "
                            "\"big\": 9223372036854775807, \"bigger\": 9223372036854775808, \"d\": 2.5e3, "
                            "\"three\": 3.0, \"t\": true, \"s\": \"h\\u00e9\\n\", \"\\\"q\\\\\": 1, \"o\": {\"n\": 7}, "
                            "\"null\": null, \"two\": 1, \"two\": 2, \"zero\": \"a\\u0000b\"}}"));
    CHECK_OK(shardio_node_open(&node, store, "", NULL, NULL));
    CHECK(shardio_node_int64(&node, "n", &n) && n == -3);
    CHECK(shardio_node_int64(&node, "big", &n) && n == INT64_MAX);
    CHECK(!shardio_node_int64(&node, "bigger", &n));
    CHECK(!shardio_node_int64(&node, "three", &n));
    CHECK(!shardio_node_int64(&node, "s", &n));
    CHECK(!shardio_node_int64(&node, "none", &n));
    CHECK(!shardio_node_int64(&node, "two", &n));
    CHECK(!shardio_node_int64(&node, NULL, &n) && !shardio_node_int64(NULL, "n", &n));
    CHECK(shardio_node_int64(&node, "\"q\\", &n) && n == 1);
    CHECK(n == 1);
    CHECK(shardio_node_double(&node, "d", &d) && d == 2500.0);
    CHECK(shardio_node_double(&node, "n", &d) && d == -3.0);
    CHECK(!shardio_node_double(&node, "null", &d));
    CHECK(shardio_node_bool(&node, "t", &b) && b);
    CHECK(!shardio_node_bool(&node, "n", &b));
    CHECK(shardio_node_string(&node, "s", text, sizeof text));
    CHECK_TEXT(text, "h\xc3\xa9\n");
    CHECK(shardio_node_string(&node, "s", text, 5));
    CHECK(!shardio_node_string(&node, "s", text, 4));
    CHECK(!shardio_node_string(&node, "o", text, sizeof text));
    CHECK(!shardio_node_string(&node, "zero", text, sizeof text));
    CHECK(!shardio_node_string(&node, "none", text, sizeof text));
    CHECK_TEXT(text, "");
    shardio_node_close(&node);
    CHECK(!shardio_node_int64(&node, "n", &n));
}
TEST(get) { on_each_kind(check_get); }

/* Each change, byte by byte. name null: all attributes; json null: taken out. */
#define HEAD "{\"zarr_format\":3,\"node_type\":\"group\""
static const struct { const char *before, *name, *json, *after; } changes[] = {
    /* compact */
    {HEAD "}", "a", "1", HEAD ",\"attributes\":{\"a\":1}}"},
    {HEAD ",\"attributes\":{}}", "a", "1", HEAD ",\"attributes\":{\"a\":1}}"},
    {HEAD ",\"attributes\":{\"a\":1}}", "b", "[1,2]", HEAD ",\"attributes\":{\"a\":1,\"b\":[1,2]}}"},
    {HEAD ",\"attributes\":{\"a\":1,\"b\":[1,2]}}", "a", "{\"x\": null}",
     HEAD ",\"attributes\":{\"a\":{\"x\": null},\"b\":[1,2]}}"},
    {HEAD ",\"attributes\":{\"a\":1,\"b\":2,\"c\":3}}", "a", NULL, HEAD ",\"attributes\":{\"b\":2,\"c\":3}}"},
    {HEAD ",\"attributes\":{\"a\":1,\"b\":2,\"c\":3}}", "b", NULL, HEAD ",\"attributes\":{\"a\":1,\"c\":3}}"},
    {HEAD ",\"attributes\":{\"a\":1,\"b\":2,\"c\":3}}", "c", NULL, HEAD ",\"attributes\":{\"a\":1,\"b\":2}}"},
    {HEAD ",\"attributes\":{\"a\":1}}", "a", NULL, HEAD ",\"attributes\":{}}"},
    {HEAD ",\"attributes\":{\"a\":1}}", NULL, NULL, HEAD ",\"attributes\":{}}"},
    {HEAD ",\"attributes\":{\"a\":1}}", NULL, " {\"b\" : 2 }\n", HEAD ",\"attributes\":{\"b\" : 2 }}"},
    {HEAD "}", NULL, "{\"b\":2}", HEAD ",\"attributes\":{\"b\":2}}"},
    {"{\"attributes\":{\"a\":1},\"zarr_format\":3,\"node_type\":\"group\"}", "b", "2",
     "{\"attributes\":{\"a\":1,\"b\":2},\"zarr_format\":3,\"node_type\":\"group\"}"},
    /* one line with spaces */
    {GROUP, "a", "1", "{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {\"a\": 1}}"},
    {"{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {\"a\": 1}}\n", "b", "2",
     "{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {\"a\": 1, \"b\": 2}}\n"},
    {"{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {\"a\": 1, \"b\": 2}}\n", "c", "3",
     "{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {\"a\": 1, \"b\": 2, \"c\": 3}}\n"},
    {"{ \"zarr_format\" : 3 , \"node_type\" : \"group\" }", "a", "1",
     "{ \"zarr_format\" : 3 , \"node_type\" : \"group\", \"attributes\" : {\"a\": 1} }"},
    /* indented */
    {"{\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}\n", "a", "1",
     "{\n  \"zarr_format\": 3,\n  \"node_type\": \"group\",\n  \"attributes\": {\n    \"a\": 1\n  }\n}\n"},
    {"{\n  \"attributes\": {},\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}", "a", "1",
     "{\n  \"attributes\": {\n    \"a\": 1\n  },\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}"},
    {"{\n  \"attributes\": {\n    \"a\": 1\n  },\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}", "b", "2",
     "{\n  \"attributes\": {\n    \"a\": 1,\n    \"b\": 2\n  },\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}"},
    {"{\n  \"attributes\": {\n    \"a\": 1,\n    \"b\": 2\n  },\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}", "a", NULL,
     "{\n  \"attributes\": {\n    \"b\": 2\n  },\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}"},
    {"{\n  \"attributes\": {\n    \"a\": 1,\n    \"b\": 2\n  },\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}", "b", NULL,
     "{\n  \"attributes\": {\n    \"a\": 1\n  },\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}"},
    {"{\n  \"attributes\": {\n    \"b\": 2\n  },\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}", "b", NULL,
     "{\n  \"attributes\": {},\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}"},
    {"{\r\n\t\"zarr_format\":3,\r\n\t\"node_type\":\"group\"\r\n}", "a", "1",
     "{\r\n\t\"zarr_format\":3,\r\n\t\"node_type\":\"group\",\r\n\t\"attributes\":{\r\n\t\t\"a\":1\r\n\t}\r\n}"},
    /* not laid out by a machine */
    {"{\"zarr_format\":3,\n\n\"node_type\"  :\"group\" , \"attributes\":{\"a\":1 , \"b\" :  2  } }", "c", "3",
     "{\"zarr_format\":3,\n\n\"node_type\"  :\"group\" , \"attributes\":{\"a\":1 , \"b\" :  2, \"c\" :  3  } }"},
    {"{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"a\" : 1 , \"b\":2 , \"c\":3}}", "b", NULL,
     "{\"zarr_format\":3,\"node_type\":\"group\",\"attributes\":{\"a\" : 1 , \"c\":3}}"},
    {HEAD ",\"attributes\":{ }}", "a", "1", HEAD ",\"attributes\":{\"a\":1}}"},
    /* names */
    {HEAD "}", "q\"\\\n\x01 \xc3\xbc", "1", HEAD ",\"attributes\":{\"q\\\"\\\\\\n\\u0001 \xc3\xbc\":1}}"},
    {HEAD ",\"attributes\":{\"\\u00fc\":1}}", "\xc3\xbc", "2", HEAD ",\"attributes\":{\"\\u00fc\":2}}"},
    {HEAD ",\"attributes\":{\"\":1,\"x\":2}}", "", NULL, HEAD ",\"attributes\":{\"x\":2}}"},
    {HEAD ",\"attributes\":{\"a\":{\"b\":1}}}", "b", "2", HEAD ",\"attributes\":{\"a\":{\"b\":1},\"b\":2}}"},
    /* what is not concerned may be odd */
    {HEAD ",\"attributes\":{\"x\":1,\"x\":2}}", "a", "1", HEAD ",\"attributes\":{\"x\":1,\"x\":2,\"a\":1}}"},
    {HEAD ",\"new\":{\"must_understand\":false,\"a\":[1,  2]}}", "a", "1",
     HEAD ",\"new\":{\"must_understand\":false,\"a\":[1,  2]},\"attributes\":{\"a\":1}}"},
    {ARRAY, "a", "1", "{\"zarr_format\": 3, \"node_type\": \"array\", \"shape\": [2], \"codecs\": [{\"name\": \"bytes\"}], "
                      "\"attributes\": {\"a\": 1}}"},
};

static void check_changes(const shardio_store *store)
{
    shardio_error e;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        int before = test_failures;
        CHECK_OK(store_put_text(store, "g/zarr.json", changes[i].before));
        if (changes[i].name == NULL) CHECK_OK(shardio_node_set_attributes(store, "g", changes[i].json, NULL, &e));
        else CHECK_OK(shardio_node_set_attribute(store, "g", changes[i].name, changes[i].json, NULL, &e));
        CHECK_KEY("g/zarr.json", changes[i].after);
        if (test_failures != before) fprintf(stderr, "    change %d: %s\n", (int)i, sentence(&e));
    }
}
TEST(changes) { on_each_kind(check_changes); }

/* A wide indent is padding, not layout, and is not multiplied. */
static void check_padding(const shardio_store *store)
{
    static char text[9000];
    shardio_node node;
    size_t n = (size_t)snprintf(text, sizeof text, "{\"zarr_format\":3,\n%8000s\"node_type\":\"group\"}", "");
    CHECK_OK(store_put(store, "zarr.json", text, n));
    CHECK_OK(shardio_node_set_int64(store, "", "a", 1, NULL, NULL));
    CHECK_OK(shardio_node_open(&node, store, "", NULL, NULL));
    CHECK(node.size < 2 * n + 100);
    shardio_node_close(&node);
    CHECK_OK(shardio_group_consolidate(store, "", false, NULL, NULL));
    CHECK_OK(shardio_node_open(&node, store, "", NULL, NULL));
    CHECK(node.size < 4 * n);
    shardio_node_close(&node);
}
TEST(padding) { on_each_kind(check_padding); }

static void check_round_trip(const shardio_store *store)
{
    static const char *const names[] = {"plain", "", "a b", "quote\"", "back\\slash", "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80", "tab\t\x7f\x1f", "attributes", "zarr_format", "{", "}", ",", ":"};
    static const double doubles[] = {0.0, -0.0, 1.0, -1.5, 0.1, 1e300, 5e-324, 1.7976931348623157e308, 123456789012345678e0};
    static const int64_t numbers[] = {0, -1, INT64_MAX, INT64_MIN, 42};
    enum { NAMES = sizeof names / sizeof names[0] };
    shardio_node node;
    shardio_error e;
    char text[200];
    CHECK_OK(shardio_group_create(store, "g", NULL, NULL, &e));
    for (size_t i = 0; i < NAMES; i++)
        CHECK_OK(shardio_node_set_string(store, "g", names[i], names[NAMES - 1 - i], NULL, &e));
    CHECK_OK(shardio_node_open(&node, store, "g", NULL, &e));
    for (size_t i = 0; i < NAMES; i++) {
        CHECK(shardio_node_string(&node, names[i], text, sizeof text));
        CHECK_TEXT(text, names[NAMES - 1 - i]);
    }
    shardio_node_close(&node);
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        double d = 99, want = doubles[i];
        CHECK_OK(shardio_node_set_double(store, "g", "d", want, NULL, &e));
        CHECK_OK(shardio_node_open(&node, store, "g", NULL, &e));
        CHECK(shardio_node_double(&node, "d", &d) && memcmp(&d, &want, sizeof d) == 0);
        shardio_node_close(&node);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        int64_t n = 99;
        CHECK_OK(shardio_node_set_int64(store, "g", "n", numbers[i], NULL, &e));
        CHECK_OK(shardio_node_open(&node, store, "g", NULL, &e));
        CHECK(shardio_node_int64(&node, "n", &n) && n == numbers[i]);
        shardio_node_close(&node);
    }
    for (int i = 0; i < 2; i++) {
        bool b = i == 0;
        CHECK_OK(shardio_node_set_bool(store, "g", "b", i == 1, NULL, &e));
        CHECK_OK(shardio_node_open(&node, store, "g", NULL, &e));
        CHECK(shardio_node_bool(&node, "b", &b) && b == (i == 1));
        shardio_node_close(&node);
    }
    for (size_t i = 0; i < NAMES; i++) CHECK_OK(shardio_node_set_attribute(store, "g", names[i], NULL, NULL, &e));
    CHECK_OK(shardio_node_set_attribute(store, "g", "d", NULL, NULL, &e));
    CHECK_OK(shardio_node_set_attribute(store, "g", "b", NULL, NULL, &e));
    CHECK_OK(shardio_node_set_attribute(store, "g", "n", "[{\"deep\": [null, 1.50, \"\\ud83d\\ude00\"]}]", NULL, &e));
    CHECK_KEY("g/zarr.json", "{\n  \"zarr_format\": 3,\n  \"node_type\": \"group\",\n  \"attributes\": {\n    \"n\": "
              "[{\"deep\": [null, 1.50, \"\\ud83d\\ude00\"]}]\n  }\n}\n");
}
TEST(round_trip) { on_each_kind(check_round_trip); }

static void check_refused(const shardio_store *store)
{
    static const char twice[] = HEAD ",\"attributes\":{\"a\":1,\"\\u0061\":2,\"b\":3}}";
    static const char *const damaged[] = {"", "{", "1 2", "nul", "\"open", "[1,]", "\"\xff\"", "\"\xed\xa0\x80\"", "NaN",
                                          "Infinity", "01", "{\"a\"}"};
    static char deep[1200];
    double zero = 0.0, large = 1e308;
    shardio_error e;
    CHECK_OK(store_put_text(store, "zarr.json", twice));
    CHECK_STATUS(shardio_node_set_int64(store, "", "a", 1, NULL, &e), SHARDIO_ERR_CORRUPT);
    CHECK_STATUS(shardio_node_set_attribute(store, "", "a", NULL, NULL, &e), SHARDIO_ERR_CORRUPT);
    CHECK(strstr(sentence(&e), "twice") != NULL);
    CHECK_STATUS(shardio_node_set_attribute(store, "", "none", NULL, NULL, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_node_set_attribute(store, "", NULL, "1", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_set_attribute(store, "", "\xff", "1", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_set_string(store, "", "b", "\xc3", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_set_string(store, "", "b", NULL, NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_set_double(store, "", "b", zero / zero, NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_set_double(store, "", "b", large * 10, NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_set_double(store, "", "b", -large * 10, NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK(strstr(sentence(&e), "NaN") != NULL);
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        CHECK_STATUS(shardio_node_set_attribute(store, "", "b", damaged[i], NULL, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(shardio_node_set_attributes(store, "", damaged[i], NULL, &e), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(e.status, SHARDIO_ERR_ARGUMENT);
    }
    CHECK_STATUS(shardio_node_set_attributes(store, "", "[1]", NULL, &e), SHARDIO_ERR_ARGUMENT);
    /* as deep as JSON may be by itself, and so too deep inside */
    memset(deep, '[', 512);
    memset(deep + 512, ']', 512);
    CHECK_STATUS(shardio_node_set_attribute(store, "", "b", deep, NULL, &e), SHARDIO_ERR_LIMIT);
    CHECK_KEY("zarr.json", twice);
    memmove(deep, deep + 2, 1021);       /* 510 levels */
    deep[1020] = 0;
    CHECK_OK(shardio_node_set_attribute(store, "", "b", deep, NULL, &e));
    CHECK_STATUS(shardio_node_set_int64(store, "nowhere", "b", 1, NULL, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_node_set_int64(store, "/", "b", 1, NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_set_int64(NULL, "", "b", 1, NULL, &e), SHARDIO_ERR_ARGUMENT);
    key_list list;
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count + list.temporary, 1);
}
TEST(refused) { on_each_kind(check_refused); }

/* The attributes of an array are read by an array, and nothing else of it changes. */
static void check_array_attributes(const shardio_store *store)
{
    model m;
    shardio_error e;
    shardio_array_facts f;
    shardio_array_options o;
    small_model(&m, 4, 2, 4);
    m.o.path = "g/movie";
    shardio_array *a = shardio_array_create_in(store, &m.o);
    CHECK_OK(append_plain(&m, a, 0, 4 * m.frame));
    CHECK_OK(shardio_array_finish(a, &e));
    CHECK_OK(shardio_node_set_string(store, "g/movie", "unit", "s", NULL, &e));
    CHECK_OK(shardio_node_set_double(store, "g/movie", "interval", 0.25, NULL, &e));
    memset(&o, 0, sizeof o);
    o.path = "g/movie";
    a = shardio_array_open_in(store, &o, &e);
    CHECK_OK(shardio_array_describe(a, &f));
    CHECK_TEXT(f.attributes, "{\n    \"unit\": \"s\",\n    \"interval\": 0.25\n  }");
    shardio_array_close(a);
    model_check(&m, store, 4, 1, 3);
    CHECK_WALK("", ":group g:group g/movie:array ");
    free(m.data);
}
TEST(array_attributes) { on_each_kind(check_array_attributes); }

/* ---- groups */

static void check_create(const shardio_store *store)
{
    shardio_error e;
    shardio_node node;
    int64_t n = 0;
    CHECK_OK(shardio_group_create(store, "a/b/c", " {\"n\": 7}\n", NULL, &e));
    CHECK_WALK("", ":group a:group a/b:group a/b/c:group ");
    CHECK_KEY("a/b/c/zarr.json", "{\n  \"zarr_format\": 3,\n  \"node_type\": \"group\",\n  \"attributes\": {\"n\": 7}\n}\n");
    CHECK_KEY("a/zarr.json", "{\n  \"zarr_format\": 3,\n  \"node_type\": \"group\",\n  \"attributes\": {}\n}\n");
    CHECK_STATUS(shardio_group_create(store, "a/b", "{}", NULL, &e), SHARDIO_ERR_EXISTS);
    CHECK_STATUS(shardio_group_create(store, "", "{}", NULL, &e), SHARDIO_ERR_EXISTS);
    CHECK_OK(shardio_node_set_int64(store, "a", "n", 5, NULL, &e));
    CHECK_OK(shardio_group_create(store, "a/d", NULL, NULL, &e));           /* groups on the way stay as they are */
    CHECK_OK(shardio_node_open(&node, store, "a", NULL, &e));
    CHECK(shardio_node_int64(&node, "n", &n) && n == 5);
    shardio_node_close(&node);
    CHECK_STATUS(shardio_group_create(store, "x", "[]", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_group_create(store, "x", "{", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_group_create(store, "x/../y", NULL, NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_group_create(NULL, "x", NULL, NULL, &e), SHARDIO_ERR_ARGUMENT);

    CHECK_OK(store_put_text(store, "a/array/zarr.json", ARRAY));
    CHECK_STATUS(shardio_group_create(store, "a/array", NULL, NULL, &e), SHARDIO_ERR_EXISTS);
    CHECK_STATUS(shardio_group_create(store, "a/array/x", NULL, NULL, &e), SHARDIO_ERR_UNSUPPORTED);
    CHECK_STATUS(shardio_group_create(store, "a/array/x/y/z", NULL, NULL, &e), SHARDIO_ERR_UNSUPPORTED);
    CHECK(strstr(sentence(&e), "a/array/zarr.json") != NULL);
    CHECK_OK(store_put_text(store, "a/damaged/zarr.json", "{"));
    CHECK_STATUS(shardio_group_create(store, "a/damaged/x", NULL, NULL, &e), SHARDIO_ERR_CORRUPT);
    CHECK_STATUS(shardio_group_create(store, "a/damaged", NULL, NULL, &e), SHARDIO_ERR_EXISTS);

    /* files without a node are somebody's, an array being written, say; nodes without a group get one */
    CHECK_OK(store_put_text(store, "files/notes.txt", "x"));
    CHECK_STATUS(shardio_group_create(store, "files", NULL, NULL, &e), SHARDIO_ERR_EXISTS);
    CHECK_OK(store_put_text(store, "files/deep/array/zarr.json", ARRAY));
    CHECK_OK(shardio_group_create(store, "files", NULL, NULL, &e));
    CHECK_OK(store_put_text(store, "lost/c/0", "x"));
    CHECK_STATUS(shardio_group_create(store, "lost", NULL, NULL, &e), SHARDIO_ERR_EXISTS);
    CHECK_OK(shardio_group_create(store, "lost/g", NULL, NULL, &e));        /* makes lost a group, as an array would */
    CHECK_WALK("lost", "lost:group lost/g:group ");
    /* a file where a directory has to be */
    CHECK_OK(store_put_text(store, "file", "x"));
    shardio_status s = shardio_group_create(store, "file/g", NULL, NULL, &e);
    CHECK(s == SHARDIO_OK || s == SHARDIO_ERR_EXISTS);
}
TEST(create) { on_each_kind(check_create); }

static void check_create_root(const shardio_store *store)
{
    shardio_error e;
    CHECK_OK(shardio_group_create(store, NULL, NULL, NULL, &e));
    CHECK_WALK("", ":group ");
    CHECK_STATUS(shardio_group_create(store, "", NULL, NULL, &e), SHARDIO_ERR_EXISTS);
}
TEST(create_root) { on_each_kind(check_create_root); }

/* What another writer makes where a group on the way is missing is not overwritten. */
TEST(create_below_a_writer)
{
    shardio_memory_store memory;
    shardio_store under = shardio_store_memory(&memory, NULL), *store = &under;
    shardio_error e;
    model m;
    small_model(&m, 4, 2, 0);
    m.o.path = "movie";
    shardio_array *a = shardio_array_create_in(store, &m.o);
    CHECK_OK(append_plain(&m, a, 0, 4 * m.frame));
    CHECK_STATUS(shardio_group_create(store, "movie", NULL, NULL, &e), SHARDIO_ERR_EXISTS);
    CHECK_OK(shardio_array_finish(a, &e));
    CHECK_WALK("", ":group movie:array ");
    free(m.data);
    shardio_store_memory_free(&memory);
}

/* ---- walking */

static void check_order(const shardio_store *store)
{
    static const char *const paths[] = {"b", "a/z", "a-b", "a", "a/b/c", "a/b", "a.b/x", "a.b", "10", "2", "A", "\xc3\xa9",
                                        "a/b-c", "a/b/c/d"};
    char key[100];
    shardio_error e;
    static trail t;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        snprintf(key, sizeof key, "%s/zarr.json", paths[i]);
        CHECK_OK(store_put_text(store, key, GROUP));
        snprintf(key, sizeof key, "%s/notzarr.json", paths[i]);
        CHECK_OK(store_put_text(store, key, "{"));
        snprintf(key, sizeof key, "%s/zarr.json.0123456789abcdef.shardio-tmp", paths[i]);
        CHECK_OK(store_put_text(store, key, "{"));
    }
    CHECK_WALK(NULL, "10:group 2:group A:group a:group a/b:group a/b/c:group a/b/c/d:group a/b-c:group a/z:group a-b:group "
                     "a.b:group a.b/x:group b:group \xc3\xa9:group ");
    CHECK_WALK("a", "a:group a/b:group a/b/c:group a/b/c/d:group a/b-c:group a/z:group ");
    CHECK_WALK("a.b/x", "a.b/x:group ");
    CHECK_STATUS(walk_with(store, "nowhere", false, &t, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(walk_with(store, "nowhere", true, &t, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(walk_with(store, "a/", false, &t, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(walk_with(NULL, "a", false, &t, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_hierarchy_walk(store, "a", false, NULL, NULL, NULL, &e), SHARDIO_ERR_ARGUMENT);
    memset(&t, 0, sizeof t);
    t.stop_at = 3;
    CHECK_STATUS(shardio_hierarchy_walk(store, "", false, trail_visit, &t, NULL, &e), SHARDIO_ERR_STATE);
    CHECK_STATUS(e.status, SHARDIO_ERR_STATE);
    CHECK_U64(t.nodes, 3);
    CHECK_OK(store_put_text(store, "zarr.json", GROUP));
    CHECK_WALK("2", "2:group ");
    CHECK_OK(walk_with(store, "", false, &t, &e));
    CHECK(strncmp(t.text, ":group 10:group ", 16) == 0);
}
TEST(order) { POSIX_ONLY("names that differ in case only"); on_each_kind(check_order); }

static void check_faults(const shardio_store *store)
{
    static trail t;
    shardio_error e;
    CHECK_OK(store_put_text(store, "zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "a/zarr.json", ARRAY));
    CHECK_OK(store_put_text(store, "a/c/0", "x"));
    CHECK_OK(store_put_text(store, "a/g/zarr.json", GROUP));          /* below an array */
    CHECK_OK(store_put_text(store, "a/g/h/zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "ab/zarr.json", GROUP));           /* not below it */
    CHECK_OK(store_put_text(store, "b/zarr.json", "{\"zarr_format\": 3"));
    CHECK_OK(store_put_text(store, "b/c/zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "d/e/f/zarr.json", GROUP));        /* no group leads there */
    CHECK_OK(store_put_text(store, "x/zarr.json", "{\"zarr_format\": 2}"));
    CHECK_WALK("", ":group a:array a/g:ERR_CORRUPT a/g/h:ERR_CORRUPT ab:group b:ERR_CORRUPT b/c:group d/e/f:group "
                   "x:ERR_UNSUPPORTED ");
    CHECK_WALK("d", "d/e/f:group ");
    CHECK_WALK("b", "b:ERR_CORRUPT b/c:group ");
    CHECK_OK(walk_with(store, "a", false, &t, &e));
    CHECK(strstr(sentence(&t.fault), "below an array") != NULL);
    CHECK_OK(store_put_text(store, "zarr.json", "?"));
    CHECK_OK(walk_with(store, "", true, &t, &e));                     /* its fault is one of many */
    CHECK_U64(t.faults, 5);
    CHECK_U64(t.nodes, 4);
    CHECK_STATUS(e.status, SHARDIO_OK);
}
TEST(faults) { on_each_kind(check_faults); }

/* The visitor may change what is walked. */
static shardio_status meddle(void *context, const char *path, const shardio_node *node, const shardio_error *fault)
{
    const shardio_store *store = (const shardio_store *)context;
    CHECK(node != NULL && fault == NULL);
    if (strcmp(path, "a") == 0) {
        CHECK_OK(shardio_node_remove(store, "b", NULL, NULL));
        CHECK_OK(shardio_node_remove(store, "a", NULL, NULL));
        CHECK_OK(shardio_group_create(store, "z", NULL, NULL, NULL));
    }
    CHECK(strcmp(path, "b") != 0 && strcmp(path, "z") != 0);
    return strcmp(path, "c") == 0 ? shardio_node_set_string(store, path, "seen", path, NULL, NULL) : SHARDIO_OK;
}

static void check_meddling(const shardio_store *store)
{
    shardio_error e;
    for (int i = 0; i < 3; i++) {
        char path[] = {(char)('a' + i), 0};
        CHECK_OK(shardio_group_create(store, path, NULL, NULL, &e));
    }
    CHECK_OK(shardio_hierarchy_walk(store, "", false, meddle, (void *)(uintptr_t)store, NULL, &e));
    CHECK_WALK("", ":group c:group z:group ");
}
TEST(meddling) { on_each_kind(check_meddling); }

/* 1000 nodes side by side, and paths as deep as a file system's. */
static void check_wide(const shardio_store *store)
{
    static trail t, u;
    char key[100];
    shardio_node_options o;
    shardio_error e;
    memset(&o, 0, sizeof o);
    o.durability = SHARDIO_DURABLE_NONE;
    CHECK_OK(store_put_text(store, "zarr.json", GROUP));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "n%d/zarr.json", i * 617 % 1000);
        CHECK_OK(store_put_text(store, key, i % 3 ? GROUP : ARRAY));
    }
    CHECK_OK(walk_with(store, "", false, &t, &e));
    CHECK_U64(t.nodes, 1001);
    CHECK_U64(t.faults, 0);
    CHECK(strncmp(t.text, ":group n0:array n1:group n10:", 29) == 0);
    CHECK_OK(shardio_group_consolidate(store, "", false, &o, &e));
    CHECK_OK(walk_with(store, "", true, &u, &e));
    CHECK_TEXT(u.text, t.text);
    CHECK_OK(shardio_node_remove(store, "", &o, &e));
    key_list list;
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count + list.temporary, 0);
}
TEST(wide) { on_each_kind(check_wide); }

static void check_deep(const shardio_store *store)
{
    static trail t, u;
    char path[600] = "g";
    shardio_error e;
    for (int i = 0; i < 100; i++) strcat(path, "/g");
    CHECK_OK(shardio_group_create(store, path, NULL, NULL, &e));
    CHECK_OK(walk_with(store, "", false, &t, &e));
    CHECK_U64(t.nodes, 102);
    CHECK_OK(shardio_group_consolidate(store, "", false, NULL, &e));
    CHECK_OK(walk_with(store, "", true, &u, &e));
    CHECK_TEXT(u.text, t.text);
    /* what is too deep to be listed is an error, not left out */
    for (int i = 0; i < 100; i++) strcat(path, "/g");
    CHECK_OK(shardio_group_create(store, path, NULL, NULL, &e));
    shardio_status wanted = is_directory(store) ? SHARDIO_ERR_LIMIT : SHARDIO_OK;
    CHECK_STATUS(walk_with(store, "", false, &t, &e), wanted);
    CHECK_STATUS(shardio_group_consolidate(store, "", false, NULL, &e), wanted);
    CHECK_STATUS(shardio_node_remove(store, "g", NULL, &e), wanted);
    if (wanted == SHARDIO_OK) CHECK_WALK("", ":group ");
    else CHECK(has_key(store, "g/zarr.json"));
}
TEST(deep) { on_each_kind(check_deep); }

/* ---- consolidated metadata */

#define INLINE(metadata) "{\"zarr_format\":3,\"node_type\":\"group\",\"consolidated_metadata\":{\"kind\":\"inline\"," \
                         "\"must_understand\":false,\"metadata\":{" metadata "}}}"

static void put_group(const shardio_store *store, const char *key, const char *text)
{
    CHECK_OK(store_put_text(store, key, text));
}

static void check_consolidated(const shardio_store *store)
{
    static trail t;
    shardio_error e;
    /* in the order of paths, whatever theirs is; nothing of it has to be in the store */
    put_group(store, "g/zarr.json", INLINE("\"b\":" ARRAY ",\"a/x\":" GROUP ",\"a\":" GROUP ",\"a-b\":" ARRAY));
    CHECK_OK(store_put_text(store, "g/real/zarr.json", GROUP));
    CHECK_WALK_CONSOLIDATED("g", "g:group g/a:group g/a/x:group g/a-b:array g/b:array ");
    CHECK_WALK("g", "g:group g/real:group ");
    CHECK_WALK_CONSOLIDATED("", "g:group g/real:group ");            /* only that of the group itself */
    CHECK_WALK_CONSOLIDATED("g/real", "g/real:group ");              /* none: as without */

    /* hostile ones: no path leaves the group, nothing is visited twice, each entry is checked */
    put_group(store, "g/zarr.json", INLINE("\"../x\":" GROUP ",\"/etc\":" GROUP ",\"\":" GROUP ",\"a//b\":" GROUP
                            ",\"a/..\":" GROUP ",\".\":" GROUP ",\"c:\":" GROUP ",\"a\\\\b\":" GROUP ",\"a/\":" GROUP
              ",\"z\\u0000z\":" GROUP
                            ",\"ok\":" GROUP));
    CHECK_WALK_CONSOLIDATED("g", "g:group g:ERR_CORRUPT g/ok:group ");
    put_group(store, "zarr.json", INLINE("\"\\u002e./x\":" GROUP));
    CHECK_WALK_CONSOLIDATED("", ":group :ERR_CORRUPT ");
    put_group(store, "g/zarr.json", INLINE("\"a\":" GROUP ",\"b\":" GROUP ",\"\\u0061\":" ARRAY ",\"c\":{},\"d\":"
                            "{\"zarr_format\":3,\"node_type\":\"array\",\"x\":1},\"e\":{\"zarr_format\":2},\"a\":" GROUP));
    CHECK_WALK_CONSOLIDATED("g", "g:group g/a:ERR_CORRUPT g/b:group g/c:ERR_UNSUPPORTED g/d:ERR_UNSUPPORTED "
                                 "g/e:ERR_UNSUPPORTED ");
    CHECK_OK(walk_with(store, "g", true, &t, &e));
    CHECK(strstr(sentence(&t.fault), "consolidated") != NULL);
    put_group(store, "g/zarr.json", INLINE("\"a\":" ARRAY ",\"a/b\":" GROUP ",\"x/y\":" GROUP));
    CHECK_WALK_CONSOLIDATED("g", "g:group g/a:array g/a/b:ERR_CORRUPT g/x/y:group ");
    memset(&t, 0, sizeof t);
    t.stop_at = 2;
    CHECK_STATUS(shardio_hierarchy_walk(store, "g", true, trail_visit, &t, NULL, &e), SHARDIO_ERR_STATE);
    CHECK_U64(t.nodes, 2);
    /* another kind, which may be ignored */
    CHECK_OK(store_put_text(store, "g/zarr.json", "{\"zarr_format\":3,\"node_type\":\"group\",\"consolidated_metadata\":"
                            "{\"kind\":\"x\",\"must_understand\":false,\"metadata\":{\"a\":" GROUP "}}}"));
    CHECK_WALK_CONSOLIDATED("g", "g:group g/real:group ");
    CHECK_OK(store_put_text(store, "g/zarr.json", "{\"zarr_format\":3,\"node_type\":\"group\",\"consolidated_metadata\":null}"));
    CHECK_WALK_CONSOLIDATED("g", "g:group g/real:group ");
}
TEST(consolidated) { on_each_kind(check_consolidated); }

static void check_consolidate(const shardio_store *store)
{
    shardio_error e;
    CHECK_OK(store_put_text(store, "g/zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "g/a/zarr.json", "\n" ARRAY "\n"));
    CHECK_OK(store_put_text(store, "g/a/c/0", "x"));
    CHECK_OK(store_put_text(store, "g/s/zarr.json", INLINE("\"old\":" GROUP) " "));
    CHECK_OK(store_put_text(store, "g/s/q\xc3\xbc/zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "g/a/below/zarr.json", GROUP));        /* left out: below an array, */
    CHECK_OK(store_put_text(store, "g/a/below/it/zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "g/no/group/zarr.json", GROUP));       /* without a group */
    CHECK_OK(store_put_text(store, "g/no/group/below/zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "h/zarr.json", GROUP));                /* elsewhere */
    CHECK_OK(shardio_group_consolidate(store, "g", false, NULL, &e));
#define EMPTY "{\"kind\": \"inline\", \"must_understand\": false, \"metadata\": {}}"
    CHECK_KEY("g/zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\", \"consolidated_metadata\": {\"kind\": \"inline\", "
              "\"must_understand\": false, \"metadata\": {\"a\": " ARRAY ", "
              "\"s\": {\"zarr_format\":3,\"node_type\":\"group\",\"consolidated_metadata\":" EMPTY "}, "
              "\"s/q\xc3\xbc\": {\"zarr_format\": 3, \"node_type\": \"group\", \"consolidated_metadata\": " EMPTY "}}}}");
    CHECK_WALK_CONSOLIDATED("g", "g:group g/a:array g/s:group g/s/q\xc3\xbc:group ");
    /* again: the same; attributes stay; out again: as it was */
    CHECK_OK(shardio_node_set_int64(store, "g", "n", 1, NULL, &e));
    CHECK_OK(shardio_group_consolidate(store, "g", false, NULL, &e));
    CHECK_WALK_CONSOLIDATED("g", "g:group g/a:array g/s:group g/s/q\xc3\xbc:group ");
    CHECK_OK(shardio_node_set_attribute(store, "g", "n", NULL, NULL, &e));
    CHECK_OK(shardio_group_consolidate(store, "g", true, NULL, &e));
    CHECK_KEY("g/zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {}}");
    CHECK_OK(shardio_group_consolidate(store, "g", true, NULL, &e));
    CHECK_KEY("g/zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {}}");
    CHECK_OK(shardio_group_consolidate(store, "h", false, NULL, &e));
    CHECK_KEY("h/zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\", \"consolidated_metadata\": " EMPTY "}");
    CHECK_STATUS(shardio_group_consolidate(store, "g/a", false, NULL, &e), SHARDIO_ERR_UNSUPPORTED);
    CHECK_STATUS(shardio_group_consolidate(store, "x", false, NULL, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_group_consolidate(store, "x:", false, NULL, &e), SHARDIO_ERR_ARGUMENT);
    /* what cannot be read is no small matter: nothing is written */
    CHECK_OK(store_put_text(store, "g/s/zarr.json", "{"));
    CHECK_STATUS(shardio_group_consolidate(store, "g", false, NULL, &e), SHARDIO_ERR_CORRUPT);
    CHECK(strstr(e.subject, "g/s/zarr.json") != NULL);
    CHECK_KEY("g/zarr.json", "{\"zarr_format\": 3, \"node_type\": \"group\", \"attributes\": {}}");
}
TEST(consolidate) { on_each_kind(check_consolidate); }

static void check_consolidate_lines(const shardio_store *store)
{
    CHECK_OK(store_put_text(store, "zarr.json", "{\n\t\"zarr_format\": 3,\n\t\"node_type\": \"group\"\n}\n"));
    CHECK_OK(store_put_text(store, "a/zarr.json", ARRAY));
    CHECK_OK(store_put_text(store, "b/zarr.json", ARRAY));
    CHECK_OK(shardio_group_consolidate(store, "", false, NULL, NULL));
    CHECK_KEY("zarr.json", "{\n\t\"zarr_format\": 3,\n\t\"node_type\": \"group\",\n\t\"consolidated_metadata\": {\n"
              "\t\t\"kind\": \"inline\",\n\t\t\"must_understand\": false,\n\t\t\"metadata\": {\n\t\t\t\"a\": " ARRAY ",\n\t\t\t\"b\": " ARRAY "\n\t\t}\n\t}\n}\n");
    CHECK_OK(store_remove(store, "a/zarr.json"));
    CHECK_OK(store_remove(store, "b/zarr.json"));
    CHECK_OK(shardio_group_consolidate(store, "", false, NULL, NULL));
    CHECK_KEY("zarr.json", "{\n\t\"zarr_format\": 3,\n\t\"node_type\": \"group\",\n\t\"consolidated_metadata\": {\n"
              "\t\t\"kind\": \"inline\",\n\t\t\"must_understand\": false,\n\t\t\"metadata\": {}\n\t}\n}\n");
}
TEST(consolidate_lines) { on_each_kind(check_consolidate_lines); }

static int cancel_third(void *context, uint64_t done, uint64_t total)
{
    CHECK(done < total);
    return ++*(int *)context == 3;
}

static void check_consolidate_limits(const shardio_store *store)
{
    shardio_node_options o;
    shardio_error e;
    char key[40];
    int calls = 0;
    memset(&o, 0, sizeof o);
    CHECK_OK(store_put_text(store, "zarr.json", GROUP));
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "%d/zarr.json", i);
        CHECK_OK(store_put_text(store, key, ARRAY));
    }
    o.progress = cancel_third;
    o.progress_context = &calls;
    CHECK_STATUS(shardio_group_consolidate(store, "", false, &o, &e), SHARDIO_ERR_CANCELLED);
    CHECK_KEY("zarr.json", GROUP);
    CHECK_OK(shardio_group_consolidate(store, "", false, &o, &e));
    size_t size;
    free(store_get(store, "zarr.json", &size));
    CHECK_OK(store_put_text(store, "zarr.json", GROUP));
    for (o.metadata_limit = strlen(GROUP); o.metadata_limit < size;) {
        CHECK_STATUS(shardio_group_consolidate(store, "", false, &o, &e), SHARDIO_ERR_LIMIT);
        CHECK_KEY("zarr.json", GROUP);
        o.metadata_limit += (size - 1 - o.metadata_limit) / 10 + 1;
    }
    CHECK_U64(o.metadata_limit, size);
    CHECK_OK(shardio_group_consolidate(store, "", false, &o, &e));
}
TEST(consolidate_limits) { on_each_kind(check_consolidate_limits); }

/* ---- removing */

/* A small hierarchy with everything that there may be. */
static void make_tree(const shardio_store *store)
{
    static const char *const keys[] = {
        "zarr.json", GROUP, "g/zarr.json", GROUP, "g/a/zarr.json", ARRAY, "g/a/c/0/0", "x", "g/a/c/0/1", "x", "g/a/c/1/0", "x",
        "g/v2/zarr.json", ARRAY, "g/v2/0.0", "x", "g/v2/0.1", "x", "g/s/zarr.json", GROUP, "g/s/b/zarr.json", ARRAY,
        "g/s/b/c.0", "x",
        "g/s/b/c/0.0123456789abcdef.shardio-tmp", "x", "g/zarr.json.0123456789abcdef.shardio-tmp", "x",
        "g/new/c/0.0123456789abcdef.shardio-tmp", "x", "h/zarr.json", ARRAY, "h/c/0", "x"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i += 2) CHECK_OK(store_put_text(store, keys[i], keys[i + 1]));
}

/* Keys, temporary ones included. */
static uint64_t count_keys(const shardio_store *store, const char *prefix)
{
    key_list list;
    CHECK_OK(store_keys(store, prefix, &list));
    return list.count + list.temporary;
}

static void check_remove(const shardio_store *store)
{
    bool directory = is_directory(store);
    shardio_error e;
    make_tree(store);
    CHECK_STATUS(shardio_node_remove(store, "x", NULL, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_node_remove(store, "g/a/c", NULL, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_node_remove(store, "g/", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_node_remove(NULL, "g", NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_OK(shardio_node_remove(store, "g/v2", NULL, &e));
    CHECK_U64(count_keys(store, "g/v2/"), 0);
    CHECK_WALK("", ":group g:group g/a:array g/s:group g/s/b:array h:array ");
    CHECK_OK(shardio_node_remove(store, "g", NULL, &e));
    /* elsewhere a key with such a name is nothing special */
    CHECK_U64(count_keys(store, "g/"), directory ? 0 : 3);
    CHECK_WALK("", ":group h:array ");
    CHECK(has_key(store, "h/c/0"));
    CHECK_STATUS(shardio_node_remove(store, "g", NULL, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_OK(shardio_node_remove(store, "", NULL, &e));
    CHECK_U64(count_keys(store, ""), directory ? 0 : 3);
    if (directory) CHECK_U64(entries_below((const char *)store->context), 0);
    CHECK(!directory || access((const char *)store->context, F_OK) != 0);
}
TEST(remove) { on_each_kind(check_remove); }

/* What is nobody's stays. */
static void check_remove_foreign(const shardio_store *store)
{
    static const char *const foreign[] = {"g/notes.txt", "g/2024/01", "g/s/zarr.json.bak", "g/a/c/0/readme", "g/a/ca/0",
                                          "g/lost/c/0", "g/s/12", "notes.txt", "gg/0"};
    enum { FOREIGN = sizeof foreign / sizeof foreign[0] };
    key_list list;
    shardio_error e;
    make_tree(store);
    for (size_t i = 0; i < FOREIGN; i++) CHECK_OK(store_put_text(store, foreign[i], foreign[i]));
    CHECK_OK(shardio_node_remove(store, "g", NULL, &e));
    for (size_t i = 0; i < FOREIGN; i++) CHECK_KEY(foreign[i], foreign[i]);
    CHECK_WALK("", ":group h:array ");
    CHECK_OK(shardio_node_remove(store, "", NULL, &e));
    for (size_t i = 0; i < FOREIGN; i++) CHECK_KEY(foreign[i], foreign[i]);
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.temporary, 0);
}
TEST(remove_foreign) { on_each_kind(check_remove_foreign); }

/* Damaged nodes go like arrays; nodes below that no group leads to go, too. */
static void check_remove_damaged(const shardio_store *store)
{
    shardio_node_options o;
    shardio_error e;
    memset(&o, 0, sizeof o);
    CHECK_OK(store_put_text(store, "a/zarr.json", "{\"zarr_format\":"));
    CHECK_OK(store_put_text(store, "a/c/0", "x"));
    CHECK_OK(shardio_node_remove(store, "a", NULL, &e));
    CHECK_U64(count_keys(store, ""), 0);
    CHECK_OK(store_put_text(store, "a/zarr.json", ARRAY));
    CHECK_OK(store_put_text(store, "a/0", "x"));
    o.metadata_limit = 5;
    CHECK_OK(shardio_node_remove(store, "a", &o, &e));
    CHECK_U64(count_keys(store, ""), 0);
    CHECK_OK(store_put_text(store, "a/zarr.json", ARRAY));            /* without dimensions */
    CHECK_OK(store_put_text(store, "a/c", "x"));
    CHECK_OK(shardio_node_remove(store, "a", NULL, &e));
    CHECK_U64(count_keys(store, ""), 0);
    CHECK_OK(store_put_text(store, "a/b/zarr.json", ARRAY));
    CHECK_OK(store_put_text(store, "a/b/0", "x"));
    CHECK_OK(store_put_text(store, "a/b/c/zarr.json", GROUP));
    CHECK_OK(shardio_node_remove(store, "a", NULL, &e));
    CHECK_U64(count_keys(store, ""), 0);
    /* a path that we would refuse to write: nothing is touched */
    CHECK_OK(store_put_text(store, "g/zarr.json", GROUP));
    if (!is_directory(store)) return;
    char path[600];
    snprintf(path, sizeof path, "%s/g/a:b", (const char *)store->context);
    CHECK_U64((uint64_t)mkdir(path, 0777), 0);
    strcat(path, "/zarr.json");
    FILE *file = fopen(path, "w");
    if (!CHECK(file != NULL)) return;
    fputs(GROUP, file);
    fclose(file);
    CHECK_STATUS(shardio_node_remove(store, "g", NULL, &e), SHARDIO_ERR_UNSUPPORTED);
    CHECK(has_key(store, "g/zarr.json"));
    CHECK_WALK("g", "g:group g:ERR_UNSUPPORTED ");
    CHECK_STATUS(shardio_group_consolidate(store, "g", false, NULL, &e), SHARDIO_ERR_UNSUPPORTED);
    CHECK_KEY("g/zarr.json", GROUP);
}
TEST(remove_damaged) { on_each_kind(check_remove_damaged); }

/* More keys than one batch holds. */
static void check_remove_many(const shardio_store *store)
{
    char key[100];
    shardio_error e;
    CHECK_OK(store_put_text(store, "a/long/name/zarr.json", ARRAY));
    CHECK_OK(store_put_text(store, "a/long/name/c/x", "x"));
    for (int i = 0; i < 2500; i++) {
        snprintf(key, sizeof key, "a/long/name/c/%d/%d", i / 50, i % 50);
        CHECK_OK(store_put_text(store, key, ""));
    }
    CHECK_OK(shardio_node_remove(store, "a", NULL, &e));
    CHECK_U64(count_keys(store, ""), 1);
}
TEST(remove_many) { on_each_kind(check_remove_many); }

/* Each zarr.json is gone, durably, before a chunk of it is touched, and each directory is synced. */
static void check_remove_order(const shardio_store *inner)
{
    tally t;
    char want[400];
    shardio_store under = tally_begin(&t, inner), *store = &under;
    shardio_node_options o;
    shardio_error e;
    CHECK_OK(store_put_text(store, "g/zarr.json", GROUP));
    CHECK_OK(store_put_text(store, "g/a/zarr.json", ARRAY));
    CHECK_OK(store_put_text(store, "g/a/c/0", "x"));
    CHECK_OK(store_put_text(store, "g/b/zarr.json", ARRAY));
    CHECK_OK(store_put_text(store, "g/b/0.0", "x"));
    CHECK_OK(store_put_text(store, "g/keep", "x"));
    CHECK_OK(shardio_node_remove(store, "g", NULL, &e));
    snprintf(want, sizeof want, "remove g/zarr.json\nsync g/zarr.json\nremove g/a/zarr.json\nsync g/a/zarr.json\n"
             "remove g/a/c/0\nsync g/a/c/0\nremove g/b/zarr.json\nsync g/b/zarr.json\nremove g/b/0.0\nsync g/b/0.0\n");
    CHECK_TEXT(t.log, want);
    t.log[0] = 0;
    memset(&o, 0, sizeof o);
    o.durability = SHARDIO_DURABLE_NONE;
    CHECK_OK(store_put_text(store, "g/zarr.json", GROUP));
    CHECK_OK(shardio_node_remove(store, "g", &o, &e));
    CHECK_TEXT(t.log, "remove g/zarr.json\n");
}
TEST(remove_order) { on_each_kind(check_remove_order); }

static void check_remove_cancel(const shardio_store *store)
{
    shardio_node_options o;
    shardio_error e;
    int calls = 0;
    make_tree(store);
    memset(&o, 0, sizeof o);
    o.progress = cancel_third;
    o.progress_context = &calls;
    CHECK_STATUS(shardio_node_remove(store, "g", &o, &e), SHARDIO_ERR_CANCELLED);      /* g and g/a are gone */
    CHECK_WALK("", ":group g/s:group g/s/b:array g/v2:array h:array ");
    CHECK_OK(shardio_node_remove(store, "g", &o, &e));
    CHECK_WALK("", ":group h:array ");
}
TEST(remove_cancel) { on_each_kind(check_remove_cancel); }

/* A writer's values that were never published. */
TEST(remove_unpublished)
{
    shardio_memory_store memory;
    shardio_store under = shardio_store_memory(&memory, NULL), *store = &under;
    shardio_file file;
    shardio_error e;
    int code = 0;
    CHECK_OK(store_put_text(store, "a/zarr.json", ARRAY));
    CHECK_OK(store_put_text(store, "a/c/0", "x"));
    CHECK_OK(store->functions->create(store->context, "a/c/1", false, SHARDIO_NO_OFFSET, NULL, &file, &code));
    CHECK_OK(shardio_node_remove(store, "a", NULL, &e));
    CHECK_U64(count_keys(store, ""), 1);
    CHECK_OK(file_close(&file, SHARDIO_CLOSE_DISCARD));
    CHECK_U64(count_keys(store, ""), 0);
    shardio_store_memory_free(&memory);
}

/* ---- failures: each operation of the store in turn, each allocation in turn */

typedef struct action {
    const char *name;
    shardio_status (*act)(const shardio_store *store, const shardio_node_options *o, shardio_error *e);
} action;

static shardio_status act_open(const shardio_store *store, const shardio_node_options *o, shardio_error *e)
{
    shardio_node node;
    shardio_status s = shardio_node_open(&node, store, "g/a", o, e);
    CHECK((s == SHARDIO_OK) == (node.text != NULL));
    shardio_node_close(&node);
    return s;
}

static shardio_status act_set(const shardio_store *store, const shardio_node_options *o, shardio_error *e)
{
    return shardio_node_set_string(store, "g/a", "name", "value", o, e);
}

static shardio_status act_set_all(const shardio_store *store, const shardio_node_options *o, shardio_error *e)
{
    return shardio_node_set_attributes(store, "g", "{\"x\": 1}", o, e);
}

static shardio_status act_create(const shardio_store *store, const shardio_node_options *o, shardio_error *e)
{
    return shardio_group_create(store, "n/e/w", "{\"x\": 1}", o, e);
}

static shardio_status count_visits(void *context, const char *path, const shardio_node *node,
                                   const shardio_error *fault)
{
    (void)path, (void)node;
    *(int *)context += fault == NULL ? 1 : 1000;
    return SHARDIO_OK;
}

static shardio_status act_walk(const shardio_store *store, const shardio_node_options *o, shardio_error *e)
{
    int visits = 0;
    shardio_status s = shardio_hierarchy_walk(store, "", false, count_visits, &visits, o, e);
    if (s == SHARDIO_OK && visits >= 1000) {     /* it was a node that could not be read */
        memset(e, 0, sizeof *e);
        e->operation = "walk";
        return e->status = SHARDIO_ERR_IO;
    }
    if (s == SHARDIO_OK) CHECK_U64(visits, 7);
    return s;
}

static shardio_status act_consolidate(const shardio_store *store, const shardio_node_options *o, shardio_error *e)
{
    return shardio_group_consolidate(store, "", false, o, e);
}

static shardio_status act_walk_consolidated(const shardio_store *store, const shardio_node_options *o, shardio_error *e)
{
    int visits = 0;
    shardio_status s = shardio_group_consolidate(store, "g", false, NULL, e);
    if (s == SHARDIO_OK) s = shardio_hierarchy_walk(store, "g", true, count_visits, &visits, o, e);
    return s == SHARDIO_OK && visits >= 1000 ? SHARDIO_ERR_IO : s;
}

static shardio_status act_remove(const shardio_store *store, const shardio_node_options *o, shardio_error *e)
{
    return shardio_node_remove(store, "g", o, e);
}

static const action actions[] = {
    {"open", act_open}, {"set", act_set}, {"set all", act_set_all}, {"create", act_create}, {"walk", act_walk},
    {"consolidate", act_consolidate}, {"walk consolidated", act_walk_consolidated}, {"remove", act_remove}};

/* Every zarr.json is whole, and no array lacks its chunks. */
static void check_whole(const shardio_store *store)
{
    static trail t;
    shardio_error e;
    CHECK_OK(walk_with(store, "", false, &t, &e));
    CHECK_U64(t.faults, 0);
    if (has_key(store, "g/a/zarr.json"))
        CHECK(has_key(store, "g/a/c/0/0") && has_key(store, "g/a/c/0/1") && has_key(store, "g/a/c/1/0"));
    if (has_key(store, "g/v2/zarr.json")) CHECK(has_key(store, "g/v2/0.0") && has_key(store, "g/v2/0.1"));
    if (has_key(store, "g/s/b/zarr.json")) CHECK(has_key(store, "g/s/b/c.0"));
    CHECK(has_key(store, "h/zarr.json") && has_key(store, "h/c/0"));
}

/* The nodes and their texts, as one text. */
static shardio_status remember_node(void *context, const char *path, const shardio_node *node,
                                    const shardio_error *fault)
{
    shardio_text *text = (shardio_text *)context;
    (void)fault;
    shardio_text_add(text, path);
    shardio_text_add(text, node != NULL ? node->text : "?");
    return SHARDIO_OK;
}

static void remember(const shardio_store *store, char *text, size_t size)
{
    shardio_text t = {text, size, 0};
    CHECK_OK(shardio_hierarchy_walk(store, "", false, remember_node, &t, NULL, NULL));
}

typedef enum failure { IN_FILES, IN_STORE, IN_MEMORY } failure;

/* Does it once with call number `fail_at` failing, on a store in memory or, where it is the store's calls, on a directory;
   then again without. */
static void failing(const action *a, failure what, uint64_t fail_at, bool forever, bool *failed)
{
    static char old[20000], now[20000];
    char path[300];
    shardio_memory_store memory;
    shardio_error e;
    shardio_node_options o;
    counter c;
    spy s;
    tally t;
    bool directory = what == IN_STORE || (what == IN_MEMORY && fail_at % 2 == 0);
    bool again = strcmp(a->name, "create") == 0 || strcmp(a->name, "remove") == 0;   /* it may be done in part */
    test_directory(path, sizeof path);
    shardio_store inner = directory ? shardio_store_directory(path) : shardio_store_memory(&memory, NULL);
    shardio_store store = what == IN_FILES ? spy_begin(&s, &inner) : tally_begin(&t, &inner);
    make_tree(&inner);
    remember(&inner, old, sizeof old);
    memset(&o, 0, sizeof o);
    o.allocator = counter_begin(&c);
    if (strcmp(a->name, "remove") != 0) o.durability = SHARDIO_DURABLE_NONE;      /* for speed */
    if (what == IN_MEMORY) c.fail_at = fail_at;
    else if (what == IN_FILES) s.fail_at = fail_at;
    else t.fail_at = fail_at;
    if (what == IN_FILES) s.forever = forever;
    else t.forever = forever;
    shardio_status status = a->act(&store, &o, &e);
    *failed = what == IN_MEMORY ? c.calls >= fail_at : what == IN_FILES ? s.failed : t.failed;
    /* closing a file that was only read is no matter; what cannot be read may be read in another way */
    bool no_matter = what == IN_FILES || (what == IN_STORE && strcmp(a->name, "walk consolidated") == 0);
    if (*failed && !(no_matter && status == SHARDIO_OK))
        CHECK_STATUS(status, what == IN_MEMORY ? SHARDIO_ERR_MEMORY : SHARDIO_ERR_IO);
    if (!*failed) CHECK_OK(status);
    CHECK_STATUS(e.status, status);
    CHECK_U64(c.live, 0);
    if (what == IN_FILES) CHECK(s.files == NULL);
    check_whole(&inner);
    if (status != SHARDIO_OK && !again && strcmp(a->name, "walk consolidated") != 0) {
        remember(&inner, now, sizeof now);
        CHECK_TEXT(now, old);
    }
    s.fail_at = t.fail_at = c.fail_at = 0;
    status = a->act(&store, &o, &e);
    bool done = again && (status == SHARDIO_ERR_EXISTS || status == SHARDIO_ERR_NOT_FOUND);
    if (!CHECK(status == SHARDIO_OK || done)) fprintf(stderr, "    %s\n", sentence(&e));
    CHECK_U64(c.live, 0);
    if (!directory) shardio_store_memory_free(&memory);
}

static void fail_everything(failure what, bool forever)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        bool failed = true;
        uint64_t n = 1;
        int before = test_failures;
        for (; failed && test_failures == before && n < 1000; n = test_next(n)) failing(&actions[i], what, n, forever, &failed);
        CHECK(n > 2 && n < 1000);
        if (test_failures != before) fprintf(stderr, "    %s, failure %d\n", actions[i].name, (int)n - 1);
    }
}

TEST(files_fail) { fail_everything(IN_FILES, false); }
TEST(files_fail_from_then_on) { fail_everything(IN_FILES, true); }
TEST(store_fails) { fail_everything(IN_STORE, false); }
TEST(store_fails_from_then_on) { fail_everything(IN_STORE, true); }
TEST(memory_fails) { fail_everything(IN_MEMORY, false); }

/* ---- as zarr-python writes it: golden files */

/* ---- renaming */

static void check_rename(const shardio_store *store)
{
    shardio_error e;
    make_tree(store);
    uint64_t keys = count_keys(store, "g/");
    CHECK_OK(shardio_node_rename(store, "g", "far/away/k", NULL, &e));
    CHECK_U64(count_keys(store, "g/"), 0);
    CHECK_U64(count_keys(store, "far/away/k/"), keys);
    CHECK_WALK("far", "far:group far/away:group far/away/k:group far/away/k/a:array far/away/k/s:group "
                      "far/away/k/s/b:array far/away/k/v2:array ");
    CHECK_OK(shardio_node_rename(store, "far/away/k", "g", NULL, &e));
    CHECK_WALK("", ":group far:group far/away:group g:group g/a:array g/s:group g/s/b:array g/v2:array h:array ");
    CHECK_OK(shardio_node_rename(store, "g/a", "g/s/a", NULL, &e));
    CHECK_WALK("g/s", "g/s:group g/s/a:array g/s/b:array ");
    CHECK(!has_key(store, "g/a/zarr.json"));
}
TEST(rename) { on_each_kind(check_rename); }

static void check_rename_refused(const shardio_store *store)
{
    static char before[20000], after[20000];
    static const struct { const char *from, *to; shardio_status status; } cases[] = {
        {"x", "y", SHARDIO_ERR_NOT_FOUND}, {"g", "h", SHARDIO_ERR_EXISTS}, {"g", "g", SHARDIO_ERR_ARGUMENT},
        {"g", "g/s/g", SHARDIO_ERR_ARGUMENT}, {"g", "h/g", SHARDIO_ERR_UNSUPPORTED}, {"", "g/x", SHARDIO_ERR_ARGUMENT},
        {"g", "", SHARDIO_ERR_ARGUMENT}, {"g", "../g", SHARDIO_ERR_ARGUMENT}, {"g", "other", SHARDIO_ERR_EXISTS}};
    shardio_error e;
    make_tree(store);
    CHECK_OK(store_put_text(store, "other/file", "somebody's"));
    remember(store, before, sizeof before);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_STATUS(shardio_node_rename(store, cases[i].from, cases[i].to, NULL, &e), cases[i].status);
        remember(store, after, sizeof after);
        CHECK_TEXT(after, before);
    }
    CHECK_STATUS(shardio_node_rename(NULL, "g", "k", NULL, &e), SHARDIO_ERR_ARGUMENT);
}
TEST(rename_refused) { on_each_kind(check_rename_refused); }

/* A file that is open on a value that gets another name goes on being readable. */
TEST(rename_while_open)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_file file;
    shardio_error e;
    char text[5] = "";
    int code = 0;
    CHECK_OK(store_put_text(&store, "g/zarr.json", GROUP));
    CHECK_OK(store_put_text(&store, "g/file", "here"));
    CHECK_OK(store.functions->open(store.context, "g/file", false, NULL, &file, &code));
    CHECK_OK(shardio_node_rename(&store, "g", "k", NULL, &e));
    CHECK_OK(shardio_file_read(&file, 0, text, 4, &e));
    CHECK_TEXT(text, "here");
    shardio_file_close(&file);
    CHECK(has_key(&store, "k/file") && !has_key(&store, "g/file"));
    shardio_store_memory_free(&memory);
}

/* ---- one attribute of all arrays */

typedef struct found_values {
    char text[400];
    uint64_t stop_at;
} found_values;

static shardio_status find_value(void *context, const char *path, shardio_json value, const shardio_error *fault)
{
    found_values *f = (found_values *)context;
    size_t n = strlen(f->text);
    if (fault != NULL) snprintf(f->text + n, sizeof f->text - n, "%s!%s ", path, shardio_status_name(fault->status));
    else if (value.text == NULL) snprintf(f->text + n, sizeof f->text - n, "%s- ", path);
    else snprintf(f->text + n, sizeof f->text - n, "%s=%.*s ", path, (int)value.size, value.text);
    return f->stop_at > 0 && --f->stop_at == 0 ? SHARDIO_ERR_STATE : SHARDIO_OK;
}

static void check_attribute_of_arrays(const shardio_store *store)
{
    found_values f = {"", 0};
    shardio_error e;
    make_tree(store);
    CHECK_OK(shardio_node_set_attribute(store, "g/a", "unit", "\"nm\"", NULL, &e));
    CHECK_OK(shardio_node_set_attribute(store, "h", "unit", "[1, 2]", NULL, &e));
    CHECK_OK(shardio_node_set_attribute(store, "g", "unit", "3", NULL, &e));
    CHECK_OK(shardio_attribute_of_arrays(store, "", "unit", find_value, &f, NULL, &e));
    CHECK_TEXT(f.text, "g/a=\"nm\" g/s/b- g/v2- h=[1, 2] ");
    f.text[0] = 0;
    f.stop_at = 2;
    CHECK_STATUS(shardio_attribute_of_arrays(store, "", "unit", find_value, &f, NULL, &e), SHARDIO_ERR_STATE);
    CHECK_TEXT(f.text, "g/a=\"nm\" g/s/b- ");
    f.text[0] = 0;
    CHECK_OK(store_put_text(store, "h/zarr.json", "{"));
    CHECK_OK(shardio_attribute_of_arrays(store, "h", "unit", find_value, &f, NULL, &e));
    CHECK_TEXT(f.text, "h!ERR_CORRUPT ");
    CHECK_STATUS(shardio_attribute_of_arrays(store, "", NULL, find_value, &f, NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_attribute_of_arrays(store, "", "unit", NULL, &f, NULL, &e), SHARDIO_ERR_ARGUMENT);
}
TEST(attribute_of_arrays) { on_each_kind(check_attribute_of_arrays); }


TEST(golden)
{
    shardio_store directory = shardio_store_directory("tests/data/zarr/group"), *store = &directory;
    shardio_store other = shardio_store_directory("tests/data/zarr/group-consolidated");
    static const char want[] = ":group a:group a/b:group a/b/deep:array a/mid:array empty:group top:array ";
    shardio_node node;
    shardio_error e;
    char text[20];
    int64_t n = 0;
    if (access("tests/data/zarr/group/zarr.json", F_OK) != 0) LEAVE_OUT("not run from the directory of the repository");
    CHECK_WALK("", want);
    CHECK_WALK_CONSOLIDATED("", want);
    CHECK_OK(shardio_node_open(&node, store, "", NULL, &e));
    CHECK(node.consolidated.text == NULL);
    CHECK(shardio_node_string(&node, "kind", text, sizeof text) && strcmp(text, "root") == 0);
    CHECK(shardio_node_int64(&node, "version", &n) && n == 1);
    shardio_node_close(&node);
    store = &other;
    CHECK_WALK("", want);
    CHECK_WALK_CONSOLIDATED("", want);
    CHECK_OK(shardio_node_open(&node, store, "", NULL, &e));
    CHECK(shardio_json_kind(node.consolidated) == '{');
    shardio_node_close(&node);
    CHECK_OK(shardio_node_open(&node, store, "a/b", NULL, &e));
    CHECK(shardio_node_int64(&node, "level", &n) && n == 2);
    shardio_node_close(&node);
}

TEST(golden_malformed)
{
    static const struct { const char *id; shardio_status status; } cases[] = {
        {"group-ok", SHARDIO_OK}, {"group-attrs", SHARDIO_OK}, {"group-consolidated-null", SHARDIO_OK},
        {"group-consolidated-bad", SHARDIO_ERR_CORRUPT}, {"group-format2", SHARDIO_ERR_UNSUPPORTED},
        {"group-unknown-member", SHARDIO_ERR_UNSUPPORTED}};
    shardio_node node;
    shardio_error e;
    char path[100];
    if (access("tests/data/zarr/group/zarr.json", F_OK) != 0) LEAVE_OUT("not run from the directory of the repository");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(path, sizeof path, "tests/data/zarr-malformed/%s", cases[i].id);
        shardio_store store = shardio_store_directory(path);
        CHECK_STATUS(shardio_node_open(&node, &store, "", NULL, &e), cases[i].status);
        shardio_node_close(&node);
    }
}

/* What zarr-python wrote, taken in and consolidated by us: the same nodes with the same attributes. */
static void check_golden_copy(const shardio_store *store)
{
    static const char *const keys[] = {"zarr.json", "a/zarr.json", "a/b/zarr.json", "a/b/deep/zarr.json", "a/mid/zarr.json",
                                       "empty/zarr.json", "top/zarr.json"};
    shardio_store golden = shardio_store_directory("tests/data/zarr/group");
    shardio_error e;
    static char before[20000], after[20000];
    size_t size;
    if (access("tests/data/zarr/group/zarr.json", F_OK) != 0) LEAVE_OUT("not run from the directory of the repository");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        uint8_t *data = store_get(&golden, keys[i], &size);
        if (CHECK(data != NULL)) CHECK_OK(store_put(store, keys[i], data, size));
        free(data);
    }
    remember(store, before, sizeof before);
    CHECK_OK(shardio_group_consolidate(store, "", false, NULL, &e));
    CHECK_WALK_CONSOLIDATED("", ":group a:group a/b:group a/b/deep:array a/mid:array empty:group top:array ");
    CHECK_OK(shardio_group_consolidate(store, "", true, NULL, &e));
    remember(store, after, sizeof after);
    CHECK_TEXT(after, before);
}
TEST(golden_copy) { on_each_kind(check_golden_copy); }

TEST_MAIN(TEST_CASE(open) TEST_CASE(limit) TEST_CASE(one_read) TEST_CASE(get) TEST_CASE(changes) TEST_CASE(padding)
          TEST_CASE(round_trip) TEST_CASE(refused) TEST_CASE(array_attributes) TEST_CASE(create) TEST_CASE(create_root)
          TEST_CASE(create_below_a_writer) TEST_CASE(order) TEST_CASE(faults) TEST_CASE(meddling) TEST_CASE(wide)
          TEST_CASE(deep) TEST_CASE(consolidated) TEST_CASE(consolidate) TEST_CASE(consolidate_lines)
          TEST_CASE(consolidate_limits) TEST_CASE(remove) TEST_CASE(remove_foreign) TEST_CASE(remove_damaged)
          TEST_CASE(remove_many) TEST_CASE(rename) TEST_CASE(rename_refused) TEST_CASE(rename_while_open)
          TEST_CASE(attribute_of_arrays) TEST_CASE(remove_order) TEST_CASE(remove_cancel) TEST_CASE(remove_unpublished)
          TEST_CASE(files_fail) TEST_CASE(files_fail_from_then_on) TEST_CASE(store_fails) TEST_CASE(store_fails_from_then_on)
          TEST_CASE(memory_fails) TEST_CASE(golden) TEST_CASE(golden_malformed) TEST_CASE(golden_copy))
