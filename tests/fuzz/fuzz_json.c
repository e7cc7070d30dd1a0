/* JSON, attributes and nodes. What is read and written again reads the same.

   Input: flags, which allocation fails, then texts with a zero byte between them: the zarr.json of the root, that of a,
   that of a/b, a name, a value. */
#define FUZZ_NAME "json"
#include "fuzz.h"

enum { FLAG_NODES, FLAG_CONSOLIDATE, FLAG_RENAME, FLAG_REMOVE, FLAG_ALL_ATTRIBUTES };

enum { ROOM = 1 << 17 };

/* ---- a text, read and written ---- */

static void write_number(shardio_json value, shardio_text *to)
{
    uint64_t natural;
    int64_t whole;
    double number;
    if (shardio_json_uint64(value, &natural)) {
        shardio_text_add_uint64(to, natural);
    } else if (shardio_json_int64(value, &whole)) {
        shardio_text_add_int64(to, whole);
    } else if (shardio_json_double(value, &number)) {
        shardio_text_add_double(to, number);
    } else {
        shardio_text_add_bytes(to, value.text, value.size);
    }
}

static void write_string(shardio_json value, shardio_text *to)
{
    char *text = (char *)malloc(value.size + 1);
    if (shardio_json_string(value, text, value.size + 1)) {
        CHECK(shardio_json_is(value, text));
        CHECK(!shardio_json_string(value, text, strlen(text)));         /* no room for the zero byte */
        if (!shardio_json_string(value, text, value.size + 1)) test_fail(__FILE__, __LINE__, "read once, not twice");
        shardio_text_add_string(to, text);
    } else {
        shardio_text_add_bytes(to, value.text, value.size);             /* it holds U+0000 */
    }
    free(text);
}

static void write_value(shardio_json value, shardio_text *to);

static void write_members(shardio_json value, shardio_text *to, bool named)
{
    shardio_json name, member;
    size_t at = 0, count = 0;
    shardio_text_add(to, named ? "{" : "[");
    while (shardio_json_next(value, &at, &name, &member)) {
        if (count++ > 0) shardio_text_add(to, ",");
        CHECK((shardio_json_kind(name) != 0) == named);
        if (named) write_string(name, to);
        if (named) shardio_text_add(to, ":");
        write_value(member, to);
    }
    shardio_text_add(to, named ? "}" : "]");
}

/* As deep as the reader lets it be: 512 levels. */
static void write_value(shardio_json value, shardio_text *to)
{
    char kind = shardio_json_kind(value);
    bool truth = false;
    if (kind == '{' || kind == '[') write_members(value, to, kind == '{');
    else if (kind == '"') write_string(value, to);
    else if (kind == '0') write_number(value, to);
    else if (shardio_json_bool(value, &truth)) shardio_text_add(to, truth ? "true" : "false");
    else if (CHECK(kind == 'n')) shardio_text_add(to, "null");
}

/* Text that was written once is written the same again. */
static void check_text(const char *text, size_t size)
{
    static char memory[2][8 * ROOM];
    shardio_json value;
    shardio_error e;
    shardio_status s = SAID(shardio_json_parse(text, size, &value, &e));
    CHECK(s == SHARDIO_OK || s == SHARDIO_ERR_LIMIT || e.offset <= size);
    for (int turn = 0; turn < 2 && s == SHARDIO_OK; turn++) {
        shardio_text out = {memory[turn], sizeof memory[turn], 0};
        write_value(value, &out);
        if (!CHECK(out.size < sizeof memory[turn])) return;
        s = SAID(shardio_json_parse(memory[turn], out.size, &value, &e));
        CHECK_OK(s);
        if (turn == 1) CHECK_TEXT(memory[1], memory[0]);
    }
}

/* ---- nodes ---- */

typedef struct texts {
    char *piece[5];
} texts;

static void texts_cut(texts *t, fuzz_input in)
{
    for (size_t i = 0; i < 5; i++) {
        const uint8_t *end = in.size > 0 ? (const uint8_t *)memchr(in.data, 0, in.size) : NULL;
        size_t size = end != NULL && i < 4 ? (size_t)(end - in.data) : in.size;
        fuzz_input piece = fuzz_part(&in, size);
        if (i < 4) (void)fuzz_byte(&in);
        t->piece[i] = (char *)malloc(piece.size + 1);
        if (t->piece[i] == NULL) exit(2);
        if (piece.size > 0) memcpy(t->piece[i], piece.data, piece.size);
        t->piece[i][piece.size] = 0;
    }
}

typedef struct visits {
    uint64_t nodes, faults;
} visits;

static shardio_status visit(void *context, const char *path, const shardio_node *node, const shardio_error *fault)
{
    visits *v = (visits *)context;
    char text[100];
    double number;
    CHECK((node == NULL) == (fault != NULL));
    CHECK(path != NULL);
    if (node == NULL) v->faults++;
    if (node == NULL) return SHARDIO_OK;
    CHECK(node->kind == SHARDIO_NODE_GROUP || node->kind == SHARDIO_NODE_ARRAY);
    (void)shardio_node_string(node, "a", text, sizeof text);
    (void)shardio_node_double(node, "a", &number);
    v->nodes++;
    return SHARDIO_OK;
}

static shardio_status visit_attribute(void *context, const char *path, shardio_json value, const shardio_error *fault)
{
    visits *v = (visits *)context;
    CHECK(path != NULL && (fault == NULL || value.text == NULL));
    v->nodes++;
    return SHARDIO_OK;
}

/* The attribute, as text, to be freed; null: there is none. */
static char *attribute(const shardio_store *store, const char *path, const char *name)
{
    shardio_node node;
    char *text = NULL;
    CHECK_OK(shardio_node_open(&node, store, path, NULL, NULL));
    shardio_json value = shardio_json_member(node.attributes, name);
    if (value.text != NULL) {
        text = (char *)malloc(value.size + 1);
        memcpy(text, value.text, value.size);
        text[value.size] = 0;
    }
    shardio_node_close(&node);
    return text;
}

/* What was set is there as it was given, space around it aside, and then it is gone. */
static void set_one(const shardio_store *store, const texts *t, const shardio_node_options *o)
{
    const char *name = t->piece[3];
    shardio_json value;
    shardio_error e;
    size_t before = 0, after = 0;
    uint8_t *old = store_get(store, "zarr.json", &before);
    shardio_status s = SAID(shardio_node_set_attribute(store, "", name, t->piece[4], o, &e));
    if (s != SHARDIO_OK) {
        uint8_t *now = store_get(store, "zarr.json", &after);
        CHECK(before == after && (before == 0 || memcmp(old, now, before) == 0));
        free(now);
    } else if (CHECK(shardio_json_parse(t->piece[4], strlen(t->piece[4]), &value, NULL) == SHARDIO_OK)) {
        char *got = attribute(store, "", name);
        if (CHECK(got != NULL)) CHECK(strlen(got) == value.size && memcmp(got, value.text, value.size) == 0);
        free(got);
        CHECK_OK(shardio_node_set_attribute(store, "", name, NULL, NULL, &e));
        got = attribute(store, "", name);
        CHECK(got == NULL);
        free(got);
    }
    free(old);
}

static void set_typed(const shardio_store *store, const texts *t, const shardio_node_options *o)
{
    double number = strtod(t->piece[4], NULL), got = 0;
    char *text = (char *)malloc(strlen(t->piece[4]) + 1);
    shardio_node node;
    if (shardio_node_set_double(store, "", "a number", number, o, NULL) == SHARDIO_OK) {
        CHECK_OK(shardio_node_open(&node, store, "", NULL, NULL));
        CHECK(shardio_node_double(&node, "a number", &got) && memcmp(&got, &number, sizeof got) == 0);
        shardio_node_close(&node);
    }
    if (shardio_node_set_string(store, "", "a text", t->piece[4], o, NULL) == SHARDIO_OK) {
        CHECK_OK(shardio_node_open(&node, store, "", NULL, NULL));
        CHECK(shardio_node_string(&node, "a text", text, strlen(t->piece[4]) + 1) && strcmp(text, t->piece[4]) == 0);
        shardio_node_close(&node);
    }
    free(text);
}

static void use_node(const shardio_store *store, const texts *t, const shardio_node_options *o)
{
    shardio_node node;
    shardio_error e;
    int64_t whole;
    bool truth;
    shardio_status s = SAID(shardio_node_open(&node, store, "", o, &e));
    if (s == SHARDIO_OK) {
        check_text(node.text, node.size);
        (void)shardio_node_int64(&node, t->piece[3], &whole);
        (void)shardio_node_bool(&node, t->piece[3], &truth);
    }
    shardio_node_close(&node);
    set_one(store, t, o);
    set_typed(store, t, o);
}

/* With consolidated metadata a walk sees the nodes that it sees without. */
static void use_hierarchy(const shardio_store *store, uint8_t flags, const shardio_node_options *o)
{
    visits plain = {0, 0}, consolidated = {0, 0}, arrays = {0, 0};
    shardio_error e;
    (void)SAID(shardio_hierarchy_walk(store, "", false, visit, &plain, o, &e));
    (void)SAID(shardio_hierarchy_walk(store, "", true, visit, &consolidated, o, &e));
    (void)SAID(shardio_attribute_of_arrays(store, "", "a", visit_attribute, &arrays, o, &e));
    if (fuzz_flag(flags, FLAG_CONSOLIDATE) && SAID(shardio_group_consolidate(store, "", false, o, &e)) == SHARDIO_OK) {
        memset(&consolidated, 0, sizeof consolidated);
        CHECK_OK(shardio_hierarchy_walk(store, "", true, visit, &consolidated, NULL, &e));
        CHECK_OK(shardio_group_consolidate(store, "", true, NULL, &e));
    }
    if (fuzz_flag(flags, FLAG_RENAME)) (void)SAID(shardio_node_rename(store, "a", "c/d", o, &e));
    if (fuzz_flag(flags, FLAG_REMOVE)) (void)SAID(shardio_node_remove(store, "", o, &e));
}

static void try_nodes(uint8_t flags, uint8_t no_memory, const texts *t)
{
    static const char *const keys[] = {"zarr.json", "a/zarr.json", "a/b/zarr.json"};
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_node_options o;
    counter c;
    memset(&o, 0, sizeof o);
    o.allocator = fuzz_memory(&c, 4 << 20, no_memory);
    o.durability = SHARDIO_DURABLE_NONE;
    o.metadata_limit = ROOM;
    for (int i = 0; i < 3; i++)
        if (t->piece[i][0] != 0) CHECK_OK(store_put_text(&store, keys[i], t->piece[i]));
    use_node(&store, t, &o);
    if (fuzz_flag(flags, FLAG_ALL_ATTRIBUTES)) (void)shardio_node_set_attributes(&store, "", t->piece[4], &o, NULL);
    use_hierarchy(&store, flags, &o);
    CHECK_U64(c.live, 0);
    shardio_store_memory_free(&memory);
}

static void fuzz_one(fuzz_input in)
{
    uint8_t flags = fuzz_byte(&in), no_memory = fuzz_byte(&in);
    if (in.size >= ROOM) return;
    if (fuzz_flag(flags, FLAG_NODES)) {
        texts t;
        texts_cut(&t, in);
        try_nodes(flags, no_memory, &t);
        for (int i = 0; i < 5; i++) free(t.piece[i]);
    } else {
        char *copy = (char *)malloc(in.size + 1);
        if (in.size > 0) memcpy(copy, in.data, in.size);
        check_text(copy, in.size);
        free(copy);
    }
}

#define GROUP(rest) "{\"zarr_format\":3,\"node_type\":\"group\"" rest "}"

static void fuzz_seeds(void)
{
    static const char *const plain[] = {
        "{\"a\": [1, -2.5e-7, 1e300, 18446744073709551615, -9223372036854775808]}",
        "{\"\\u00fc\\ud83d\\ude00\": \"\\n\\\"/\"}",
        "[[[[{\"x\":[{}]}]]], true, false, null]", " 4.9406564584124654e-324 ", "\"\xC3\xBC\xE2\x82\xAC\"",
        "[1e22,1e23,0.1,123456789.123456789,3.4028234663852886e38,1.17549435e-38,0.0,-0.0]",
    };
    static const char nodes[][300] = {
        "\x03" "0" GROUP(",\"attributes\":{\"a\":1,\"b\":[true]}") "\0"
        GROUP("") "\0" GROUP("") "\0b\0{\"deep\": [null]}",
        "\x05" "0{\n  \"zarr_format\": 3,\n  \"node_type\": \"group\"\n}\0"
        GROUP(",\"attributes\":{}") "\0\0name\0" "1.5",
        "\x1f" "0" GROUP(",\"consolidated_metadata\":{\"kind\":\"inline\",\"must_understand\":false,"
                         "\"metadata\":{\"x\":" GROUP("") "}}") "\0"
        GROUP("") "\0" GROUP("") "\0a\0\"text\"",
    };
    char text[400] = {0, 0};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        snprintf(text + 2, sizeof text - 2, "%s", plain[i]);
        fuzz_seed(text, 2 + strlen(text + 2));
    }
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        size_t size = sizeof nodes[0];
        while (nodes[i][size - 1] == 0) size--;
        memcpy(text, nodes[i], size);
        text[1] = 0;
        fuzz_seed(text, size);
    }
}
