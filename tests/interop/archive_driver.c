/* Reads and writes archives, many jobs in one run. For archives.py.

       archive_driver jobs FILE        one job a line, fields with tabs between: COMMAND WHAT KEY=VALUE...

   For each job there is one line on standard output, written at once: "ok", and for some a JSON object behind it, or
   "error NAME text". Exit: 0 if all jobs were understood.

       look ARCHIVE       opens it (layer=K), or its first bytes (cut=N), and tells what was asked for: facts always;
                          entries=1, nodes=1, layers=1 (chain only) or layers=2 (searched), verify=1, array=NODE and
                          value=KEY (both as often as wanted). Each piece that fails has its own status. `peak`: the most
                          memory that was taken, bytes; `seconds`: of the processor

       begin ARCHIVE      opens it for writing, for what follows; create overwrite alignment comment ome direct buffer;
                          huge=1: a new one, of which what was never written is not read from the file
       array NODE         a new array of the elements in the file `data`; dtype shape chunk shard attributes codec_list
       write NODE         the region start, count of an array, from the file `data`
       group NODE         attributes
       put KEY            a value: `text`, or the file `data`, or nothing but its last byte at `size`
       remove KEY, delete NODE, rename FROM/ (to=TO/), rollback LAYER, commit, discard, finish, close
       compact ARCHIVE    alignment comment ome */
#include "driver.h"
#include <time.h>

enum { FIELDS = 96 };

/* A job, as its line says it. Everything points into the line. */
typedef struct job {
    const char *command, *what, *data, *text, *to;
    const char *arrays[FIELDS], *values[FIELDS];
    size_t array_count, value_count;
    shardio_array_options array;
    shardio_archive_options archive;
    uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS], size, cut;
    bool entries, nodes, verify, cuts, huge;
    int layers;
} job;

static shardio_archive *writer;

/* ---- memory that is counted ------------------------------------------------------------------------------------- */

typedef struct counted {
    size_t now, peak;
} counted;

static void *count_allocate(void *context, size_t size, size_t alignment)
{
    counted *c = (counted *)context;
    const size_t head = sizeof(void *) + alignment;
    uint8_t *memory = size < SIZE_MAX - head ? (uint8_t *)malloc(size + head) : NULL;
    if (memory == NULL) return NULL;
    uint8_t *aligned = memory + sizeof(void *);
    aligned += (alignment - (uintptr_t)aligned % alignment) % alignment;
    memcpy(aligned - sizeof memory, &memory, sizeof memory);
    c->now += size;
    if (c->now > c->peak) c->peak = c->now;
    return aligned;
}

static void count_release(void *context, void *memory, size_t size, size_t alignment)
{
    counted *c = (counted *)context;
    uint8_t *begin;
    (void)alignment;
    if (memory == NULL) return;
    memcpy(&begin, (uint8_t *)memory - sizeof begin, sizeof begin);
    c->now -= size;
    free(begin);
}

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

static bool set_archive(job *j, const char *key, const char *value, uint64_t number)
{
    shardio_archive_options *o = &j->archive;
    if (is(key, "layer")) o->layer = number;
    else if (is(key, "create")) o->create = number != 0;
    else if (is(key, "overwrite")) o->overwrite = number != 0;
    else if (is(key, "alignment")) o->alignment = (uint32_t)number;
    else if (is(key, "comment")) o->comment = value;
    else if (is(key, "ome")) o->ome_version = value;
    else if (is(key, "direct")) o->direct = number != 0 ? SHARDIO_DIRECT_AUTO : SHARDIO_DIRECT_OFF;
    else if (is(key, "buffer")) o->buffer_size = (size_t)number;
    else return false;
    return true;
}

static bool set_what(job *j, const char *key, const char *value, uint64_t number)
{
    shardio_array_options *o = &j->array;
    if (is(key, "dtype")) o->dtype = shardio_dtype_from_name(value);
    else if (is(key, "shape")) o->ndim = (uint32_t)numbers(value, o->shape);
    else if (is(key, "chunk")) numbers(value, o->chunk);
    else if (is(key, "shard")) numbers(value, o->shard);
    else if (is(key, "attributes")) o->attributes = value;
    else if (is(key, "codec_list")) o->codec_list = value;
    else if (is(key, "start")) numbers(value, j->start);
    else if (is(key, "count")) numbers(value, j->count);
    else if (is(key, "size")) j->size = number;
    else if (is(key, "cut")) {
        j->cut = number;
        j->cuts = true;
    }
    else if (is(key, "data")) j->data = value;
    else if (is(key, "text")) j->text = value;
    else if (is(key, "to")) j->to = value;
    else if (is(key, "entries")) j->entries = number != 0;
    else if (is(key, "nodes")) j->nodes = number != 0;
    else if (is(key, "huge")) j->huge = number != 0;
    else if (is(key, "verify")) j->verify = number != 0;
    else if (is(key, "layers")) j->layers = (int)number;
    else if (is(key, "array")) j->arrays[j->array_count++] = value;
    else if (is(key, "value")) j->values[j->value_count++] = value;
    else return false;
    return true;
}

/* Takes a line apart, which has to live as long as the job. */
static bool set(void *into, const char *key, const char *value, uint64_t number)
{
    job *j = (job *)into;
    return set_archive(j, key, value, number) || set_what(j, key, value, number);
}

static bool parse(job *j, char *line)
{
    char *fields[FIELDS];
    size_t count = split(line, fields, FIELDS);
    if (count < 2) return false;
    memset(j, 0, sizeof *j);
    j->command = fields[0];
    j->what = fields[1];
    return set_fields(j, fields + 2, count - 2, set);
}

/* ---- what is printed -------------------------------------------------------------------------------------------- */

/* Names may hold anything. */
static void print_hex(const void *data, size_t size)
{
    putchar('"');
    for (size_t i = 0; i < size; i++) printf("%02x", ((const uint8_t *)data)[i]);
    putchar('"');
}

/* "OK", or a status and why. */
static void print_status(shardio_status status, const shardio_error *error)
{
    char text[1024];
    int n = snprintf(text, sizeof text, "%s ", shardio_status_name(status));
    if (status == SHARDIO_OK) fputs("\"OK\"", stdout);
    else if (error == NULL || error->status != status) print_string("the error is not the status");
    else {
        (void)shardio_error_text(error, text + n, sizeof text - (size_t)n);
        print_string(text);
    }
}

static void print_digest(const void *data, size_t size)
{
    shardio_sha256 hash;
    uint8_t digest[32];
    shardio_sha256_begin(&hash);
    shardio_sha256_add(&hash, data, size);
    shardio_sha256_end(&hash, digest);
    print_hex(digest, sizeof digest);
}

static bool report(shardio_status status, const shardio_error *error)
{
    char text[512];
    if (status == SHARDIO_OK) {
        printf("ok\n");
        return true;
    }
    printf("error %s %s\n", shardio_status_name(status), shardio_error_text(error, text, sizeof text));
    return false;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

static void print_facts(const shardio_archive *archive)
{
    const shardio_archive_facts f = shardio_archive_about(archive);
    printf(", \"layer\": %" PRIu64 ", \"size\": %" PRIu64 ", \"live_bytes\": %" PRIu64 ", \"torn_bytes\": %" PRIu64
           ", \"count\": %" PRIu64 ", \"dead_bytes\": %" PRIu64 ", \"foreign\": %s, \"chain_broken\": %s, \"comment\": ",
           f.layer, f.size, f.live_bytes, f.torn_bytes, f.entries, f.accounting.dead_bytes, f.foreign ? "true" : "false",
           f.chain_broken ? "true" : "false");
    print_hex(f.comment, strlen(f.comment));
}

static bool print_entry(void *context, const shardio_archive_entry *e)
{
    int *n = (int *)context;
    printf("%s{\"name\": ", (*n)++ > 0 ? ", " : "");
    print_hex(e->name, strlen(e->name));
    if (e->data == SHARDIO_NO_OFFSET) printf(", \"data\": null");
    else printf(", \"data\": %" PRIu64, e->data);
    printf(", \"offset\": %" PRIu64 ", \"size\": %" PRIu64 ", \"stored\": %" PRIu64 ", \"crc32\": \"%08" PRIx32
           "\", \"method\": %d, \"key\": %s}", e->header, e->size, e->stored, e->crc, e->method, e->key ? "true" : "false");
    return true;
}

static bool print_layer(void *context, uint64_t layer, uint64_t directory, uint64_t size, uint64_t entries)
{
    int *n = (int *)context;
    printf("%s[%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "]", (*n)++ > 0 ? ", " : "", layer, directory, size, entries);
    return true;
}

static shardio_status print_node(void *context, const char *path, const shardio_node *node, const shardio_error *fault)
{
    int *n = (int *)context;
    if ((*n)++ > 0) printf(", ");
    print_string(path);
    printf(": {");
    if (fault != NULL) {
        printf("\"fault\": ");
        print_status(fault->status, fault);
    } else {
        printf("\"kind\": \"%s\", \"attributes\": ", node->kind == SHARDIO_NODE_ARRAY ? "array" : "group");
        if (node->attributes.text == NULL) printf("{}");
        for (size_t i = 0; i < node->attributes.size; i++)
            putchar(node->attributes.text[i] == '\n' ? ' ' : node->attributes.text[i]);
    }
    printf("}");
    return SHARDIO_OK;
}

/* All elements of an array, in memory of `size` bytes that the caller frees. */
static shardio_status read_array(const shardio_store *store, const char *node, const shardio_allocator *allocator,
                                 unsigned char **data, size_t *size, shardio_error *error)
{
    const uint64_t start[SHARDIO_MAX_DIMS] = {0};
    shardio_array_options options;
    shardio_array_facts facts;
    memset(&options, 0, sizeof options);
    options.path = node;
    options.allocator = allocator;
    shardio_array *array = shardio_array_open_in(store, &options, error);
    shardio_status status = error->status;
    if (status == SHARDIO_OK) status = shardio_array_describe(array, &facts);
    if (status == SHARDIO_OK) {
        *size = facts.element_size;
        for (uint32_t i = 0; i < facts.ndim; i++) *size *= (size_t)facts.shape[i];
        *data = (unsigned char *)malloc(*size + 1);
        status = shardio_array_read(array, start, facts.shape, *data, *size, error);
    }
    shardio_array_close(array);
    return status;
}

static shardio_status read_value(const shardio_store *store, const char *key, const shardio_allocator *allocator,
                                 unsigned char **data, size_t *size, shardio_error *error)
{
    shardio_file file;
    shardio_file_facts facts;
    int code = 0;
    memset(error, 0, sizeof *error);
    error->status = store->functions->open(store->context, key, false, allocator, &file, &code);
    if (error->status != SHARDIO_OK) return error->status;
    error->status = file.functions->facts(file.context, &facts, &code);
    *size = (size_t)facts.size;
    *data = error->status == SHARDIO_OK && facts.size < ((uint64_t)1 << 30) ? (unsigned char *)malloc(*size + 1) : NULL;
    shardio_status status = *data != NULL ? shardio_file_read(&file, 0, *data, *size, error) : error->status;
    shardio_file_close(&file);
    return status;
}

typedef shardio_status (*reader)(const shardio_store *store, const char *name, const shardio_allocator *allocator,
                                 unsigned char **data, size_t *size, shardio_error *error);

/* The digests of arrays or values, or why there is none. */
static void print_contents(const char *what, const shardio_store *store, const char *const *names, size_t count,
                           reader read, const shardio_allocator *allocator)
{
    printf(", \"%s\": {", what);
    for (size_t i = 0; i < count; i++) {
        unsigned char *data = NULL;
        size_t size = 0;
        shardio_error error;
        shardio_status status = read(store, names[i], allocator, &data, &size, &error);
        if (i > 0) printf(", ");
        print_string(names[i]);
        printf(": ");
        if (status == SHARDIO_OK && data != NULL) print_digest(data, size);
        else print_status(status, &error);
        free(data);
    }
    printf("}");
}

typedef struct findings {
    uint64_t count;
    char first[600];
} findings;

static void on_finding(void *context, const shardio_error *finding)
{
    findings *f = (findings *)context;
    if (f->count++ == 0) (void)shardio_error_text(finding, f->first, sizeof f->first);
}

static void print_verdict(shardio_archive *archive)
{
    findings found = {0, ""};
    shardio_error error;
    shardio_status status = shardio_archive_verify(archive, on_finding, &found, NULL, NULL, &error);
    printf(", \"verify\": ");
    print_status(status, &error);
    printf(", \"findings\": %" PRIu64 ", \"first_finding\": ", found.count);
    print_hex(found.first, strlen(found.first));
}

static void look_inside(const job *j, shardio_archive *archive, const shardio_allocator *allocator)
{
    shardio_error error;
    shardio_node_options options;
    shardio_store store = shardio_archive_store(archive);
    int n = 0;
    print_contents("arrays", &store, j->arrays, j->array_count, read_array, allocator);
    print_contents("values", &store, j->values, j->value_count, read_value, allocator);
    if (j->entries) {
        printf(", \"entries\": [");
        shardio_status status = shardio_archive_each_entry(archive, print_entry, &n, &error);
        printf("], \"listed\": ");
        print_status(status, &error);
    }
    if (j->nodes) {
        memset(&options, 0, sizeof options);
        options.allocator = allocator;
        printf(", \"nodes\": {");
        n = 0;
        shardio_status status = shardio_hierarchy_walk(&store, "", false, print_node, &n, &options, &error);
        printf("}, \"walked\": ");
        print_status(status, &error);
    }
    if (j->layers != 0) {
        printf(", \"layers\": [");
        n = 0;
        shardio_status status = shardio_archive_each_layer(archive, j->layers == 2, print_layer, &n, &error);
        printf("], \"counted\": ");
        print_status(status, &error);
    }
    if (j->verify) print_verdict(archive);
    print_facts(archive);
}

/* The archive, or its first bytes, which `memory` is to hold. */
static shardio_archive *open_whole_or_cut(const job *j, shardio_memory *memory, shardio_error *error)
{
    if (!j->cuts) return shardio_archive_open(j->what, &j->archive, error);
    memset(memory, 0, sizeof *memory);
    memory->data = load(j->what, &memory->size);
    memory->fixed = true;
    if (j->cut < memory->size) memory->size = (size_t)j->cut;
    memory->capacity = memory->size;
    return shardio_archive_open_file(shardio_memory_file(memory, j->what), &j->archive, error);
}

static void look(job *j)
{
    counted count = {0, 0};
    const shardio_allocator allocator = {&count, count_allocate, count_release};
    shardio_memory memory;
    shardio_error error;
    const clock_t began = clock();
    memory.data = NULL;
    j->archive.allocator = &allocator;
    shardio_archive *archive = open_whole_or_cut(j, &memory, &error);
    printf("ok {\"open\": ");
    print_status(archive == NULL && error.status == SHARDIO_OK ? SHARDIO_ERR_STATE : error.status, &error);
    if (archive != NULL) look_inside(j, archive, &allocator);
    shardio_archive_close(archive);
    free(memory.data);
    printf(", \"peak\": %zu, \"left\": %zu, \"seconds\": %.3f}\n", count.peak, count.now,
           (double)(clock() - began) / CLOCKS_PER_SEC);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static shardio_status fail(shardio_error *error, shardio_status status, const char *reason)
{
    memset(error, 0, sizeof *error);
    error->status = status;
    error->operation = "drive";
    error->reason = reason;
    error->offset = SHARDIO_NO_OFFSET;
    return status;
}

/* A file with one large hole, which reads as zeros without the system: that takes minutes for 4 GiB on some machines. */
typedef struct huge_file {
    shardio_file file;
    uint64_t end, hole, hole_end;
} huge_file;
static huge_file huge;

static shardio_status huge_read(void *context, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    huge_file *h = (huge_file *)context;
    if (offset < h->hole || offset + size > h->hole_end)
        return h->file.functions->read(h->file.context, offset, data, size, done, code);
    memset(data, 0, size);
    *done = size;
    return SHARDIO_OK;
}

static shardio_status huge_write(void *context, uint64_t offset, const void *data, size_t size, size_t *done, int *code)
{
    huge_file *h = (huge_file *)context;
    if (offset > h->end && offset - h->end > h->hole_end - h->hole) {
        h->hole = h->end;
        h->hole_end = offset;
    }
    if (offset < h->hole_end && offset + size > h->hole) h->hole = offset + size;
    if (offset + size > h->end) h->end = offset + size;
    return h->file.functions->write(h->file.context, offset, data, size, done, code);
}

static shardio_status huge_resize(void *context, uint64_t size, int *code)
{
    huge_file *h = (huge_file *)context;
    return h->file.functions->resize(h->file.context, size, code);
}

static shardio_status huge_facts(void *context, shardio_file_facts *facts, int *code)
{
    huge_file *h = (huge_file *)context;
    return h->file.functions->facts(h->file.context, facts, code);
}

static shardio_status huge_publish(void *context, bool durable, int *code)
{
    huge_file *h = (huge_file *)context;
    return h->file.functions->publish(h->file.context, durable, code);
}

static shardio_status huge_close(void *context, shardio_close how, bool durable, int *code)
{
    huge_file *h = (huge_file *)context;
    return h->file.functions->close(h->file.context, how, durable, code);
}

static shardio_archive *begin_huge(job *j, shardio_error *error)
{
    static const shardio_file_functions functions = {huge_read, huge_write, huge_resize, huge_facts, NULL, NULL, huge_publish,
                                                     NULL, NULL, NULL, huge_close, NULL, NULL};
    shardio_file file = {NULL, NULL, NULL};
    memset(&huge, 0, sizeof huge);
    if (shardio_file_open(&huge.file, j->what, SHARDIO_OPEN_CREATE, NULL, error) != SHARDIO_OK) return NULL;
    file.functions = &functions;
    file.context = &huge;
    file.name = huge.file.name;
    return shardio_archive_open_file(file, &j->archive, error);
}

static shardio_status begin(job *j, shardio_error *error)
{
    if (writer != NULL) shardio_archive_close(writer);
    j->archive.write = true;
    writer = j->huge ? begin_huge(j, error) : shardio_archive_open(j->what, &j->archive, error);
    return error->status;
}

static shardio_status make_array(job *j, const shardio_store *store, shardio_error *error)
{
    shardio_array_facts facts;
    size_t size;
    unsigned char *data = load(j->data, &size);
    if (data == NULL) return fail(error, SHARDIO_ERR_IO, "no data");
    j->array.path = j->what;
    shardio_array *array = shardio_array_create_in(store, &j->array);
    if (shardio_array_describe(array, &facts) == SHARDIO_OK) shardio_array_append(array, data, size / facts.element_size);
    free(data);
    return shardio_array_finish(array, error);
}

static shardio_status write_region(job *j, const shardio_store *store, shardio_error *error)
{
    size_t size;
    unsigned char *data = load(j->data, &size);
    if (data == NULL) return fail(error, SHARDIO_ERR_IO, "no data");
    j->array.path = j->what;
    shardio_array *array = shardio_array_update_in(store, &j->array, error);
    shardio_status status = error->status;
    if (status == SHARDIO_OK) status = shardio_array_write(array, j->start, j->count, data, size, error);
    shardio_array_close(array);
    free(data);
    return status;
}

static shardio_status put(job *j, const shardio_store *store, shardio_error *error)
{
    shardio_file file;
    size_t size = j->text != NULL ? strlen(j->text) : 1, done = 0;
    unsigned char *data = j->data != NULL ? load(j->data, &size) : NULL;
    const void *from = data != NULL ? (const void *)data : j->text != NULL ? (const void *)j->text : (const void *)"";
    uint64_t at = j->size > 0 ? j->size - 1 : 0;
    int code = 0;
    shardio_status status = store->functions->create(store->context, j->what, true, at + size, NULL, &file, &code);
    if (status == SHARDIO_OK) {
        if (size > 0) status = file.functions->write(file.context, at, from, size, &done, &code);
        if (status == SHARDIO_OK && done < size) status = SHARDIO_ERR_IO;
        shardio_status closed = file.functions->close(file.context, status == SHARDIO_OK ? SHARDIO_CLOSE_PUBLISH :
                                                      SHARDIO_CLOSE_DISCARD, false, &code);
        if (status == SHARDIO_OK) status = closed;
    }
    free(data);
    return fail(error, status, status == SHARDIO_OK ? NULL : j->what);
}

static shardio_status end(shardio_error *error)
{
    shardio_status status = shardio_archive_finish(writer, error);
    writer = NULL;
    return status;
}

static shardio_status change(job *j, shardio_error *error)
{
    const shardio_store store = shardio_archive_store(writer);
    int code = 0;
    if (writer == NULL) return fail(error, SHARDIO_ERR_STATE, "no archive was begun");
    if (is(j->command, "array")) return make_array(j, &store, error);
    if (is(j->command, "write")) return write_region(j, &store, error);
    if (is(j->command, "group")) return shardio_group_create(&store, j->what, j->array.attributes, NULL, error);
    if (is(j->command, "put")) return put(j, &store, error);
    if (is(j->command, "remove")) return fail(error, store.functions->remove(store.context, j->what, &code), j->what);
    if (is(j->command, "delete")) return shardio_node_remove(&store, j->what, NULL, error);
    if (is(j->command, "rename")) return fail(error, store.functions->rename(store.context, j->what, j->to, &code), j->what);
    if (is(j->command, "commit")) return shardio_archive_commit(writer, error);
    if (is(j->command, "discard")) return shardio_archive_discard(writer, error);
    if (is(j->command, "rollback")) return shardio_archive_rollback(writer, strtoull(j->what, NULL, 10), error);
    if (is(j->command, "finish")) return end(error);
    return fail(error, SHARDIO_ERR_UNSUPPORTED, "no such command");
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

static bool do_job(char *line)
{
    job j;
    shardio_error error;
    if (!parse(&j, line)) return false;
    if (is(j.command, "look")) {
        look(&j);
    } else if (is(j.command, "begin")) {
        (void)report(begin(&j, &error), &error);
    } else if (is(j.command, "compact")) {
        (void)report(shardio_archive_compact(j.what, &j.archive, NULL, NULL, &error), &error);
    } else if (is(j.command, "close")) {
        shardio_archive_close(writer);
        writer = NULL;
        printf("ok\n");
    } else {
        (void)report(change(&j, &error), &error);
    }
    return fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    int result = 2;
    if (argc == 3 && is(argv[1], "jobs")) result = each_job(argv[2], do_job);
    if (result == 2) fprintf(stderr, "archive_driver: wrong arguments or jobs\n");
    shardio_archive_close(writer);
    return result;
}
