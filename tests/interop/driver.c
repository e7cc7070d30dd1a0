/* Does with arrays what the command-line tool has no options for, many things in one run. For the tests in this folder.

       driver jobs FILE                 one job a line, fields with tabs between: COMMAND PATH KEY=VALUE...
       driver mix BYTES SEED COUNT      the content `mix` of the golden files, elements of 1, 2, 4 or 8 bytes
       driver codecs                    the names of the codecs that are compiled in

   For each job there is one line on standard output, written at once: "ok", and for some a JSON object behind it, or
   "error NAME text". A run ends with exit code 0 if all jobs were understood.

       create, append      an array that is created or continued: the elements in the file `data`, in pieces
       define              an array that holds the fill value
       write, read         the region start, count (numbers with commas; none: all of it) from the file `data` or to the
                           file `out`; write without `data`: the fill value; read with `layout=F`: the first dimension fastest
       resize, compact, verify, facts

   Elements in files are in the machine's byte order; those of the types string and bytes are a length (32 bits) and as
   many bytes each. Keys besides: dtype raw_bytes shape chunk shard transpose fill (hexadecimal, machine's order) names
   (a JSON array) attributes path codec_list crc32c (number of them) index_start index_big no_checksum big key_v2
   separator skip_fill overwrite direct (auto, on, off) durable update (append, rewrite) dead_percent pieces (most
   elements of an append) checkpoint (appends between two) buffer memory block files keep_edge. */
#include "driver.h"

enum { FIELDS = 64, NAME_SIZE = 64 };

/* A job, as its line says it. `value`s point into the line. */
typedef struct job {
    const char *command, *path, *data, *out;
    shardio_array_options options;
    uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS], pieces, checkpoint;
    bool region, fortran, keep_edge;
    uint8_t transpose[SHARDIO_MAX_DIMS];
    unsigned char fill[256];
    shardio_bytes fill_bytes;
    char names[SHARDIO_MAX_DIMS][NAME_SIZE];
    const char *name_list[SHARDIO_MAX_DIMS];
} job;

static bool report(shardio_status status, const shardio_error *error)
{
    char text[512];
    if (status == SHARDIO_OK) return true;
    printf("error %s %s\n", shardio_status_name(status), shardio_error_text(error, text, sizeof text));
    return false;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

static void set_fill(job *j, const char *hex)
{
    size_t n = 0;
    for (; n < sizeof j->fill && hex[2 * n] != 0; n++) {
        char digits[3] = {hex[2 * n], hex[2 * n + 1], 0};
        j->fill[n] = (unsigned char)strtoul(digits, NULL, 16);
    }
    j->fill_bytes.data = j->fill;
    j->fill_bytes.size = n;
    j->options.fill_value = j->fill;
}

static void set_names(job *j, const char *list)
{
    shardio_json names, name;
    size_t at = 0;
    if (shardio_json_parse(list, strlen(list), &names, NULL) != SHARDIO_OK) return;
    for (int n = 0; n < SHARDIO_MAX_DIMS && shardio_json_next(names, &at, NULL, &name); n++)
        j->name_list[n] = shardio_json_string(name, j->names[n], NAME_SIZE) ? j->names[n] : NULL;
    j->options.dimension_names = j->name_list;
}

static bool set_what(job *j, const char *key, const char *value, uint64_t number)
{
    shardio_array_options *o = &j->options;
    if (is(key, "dtype")) o->dtype = shardio_dtype_from_name(value);
    else if (is(key, "raw_bytes")) o->raw_bytes = (uint32_t)number;
    else if (is(key, "shape")) o->ndim = (uint32_t)numbers(value, o->shape);
    else if (is(key, "chunk")) numbers(value, o->chunk);
    else if (is(key, "shard")) numbers(value, o->shard);
    else if (is(key, "fill")) set_fill(j, value);
    else if (is(key, "names")) set_names(j, value);
    else if (is(key, "attributes")) o->attributes = value;
    else if (is(key, "path")) o->path = value;
    else if (is(key, "codec_list")) o->codec_list = value;
    else if (is(key, "index_start")) o->index_at_start = number != 0;
    else if (is(key, "index_big")) o->index_big_endian = number != 0;
    else if (is(key, "no_checksum")) o->index_no_checksum = number != 0;
    else if (is(key, "big")) o->big_endian = number != 0;
    else if (is(key, "key_v2")) o->key_v2 = number != 0;
    else if (is(key, "separator")) o->key_separator = value[0];
    else if (is(key, "crc32c"))
        for (uint64_t i = 0; i < number && i < SHARDIO_MAX_CODECS; i++) o->codecs[i] = shardio_codec_crc32c();
    else if (is(key, "transpose")) {
        uint64_t order[SHARDIO_MAX_DIMS] = {0};
        for (int i = 0, n = numbers(value, order); i < n; i++) j->transpose[i] = (uint8_t)order[i];
        o->transpose = j->transpose;
    } else
        return false;
    return true;
}

static bool set_how(job *j, const char *key, const char *value, uint64_t number)
{
    shardio_array_options *o = &j->options;
    if (is(key, "skip_fill")) o->skip_fill = number != 0;
    else if (is(key, "overwrite")) o->overwrite = number != 0;
    else if (is(key, "durable")) o->durability = number != 0 ? SHARDIO_DURABLE_FINISH : SHARDIO_DURABLE_NONE;
    else if (is(key, "direct"))
        o->direct = is(value, "on") ? SHARDIO_DIRECT_ON : is(value, "off") ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO;
    else if (is(key, "update")) o->update = is(value, "rewrite") ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
    else if (is(key, "dead_percent")) o->dead_percent = (uint32_t)number;
    else if (is(key, "buffer")) o->buffer_size = (size_t)number;
    else if (is(key, "memory")) o->memory = (size_t)number;
    else if (is(key, "block")) o->block_size = (size_t)number;
    else if (is(key, "files")) o->max_open_files = (uint32_t)number;
    else if (is(key, "pieces")) j->pieces = number;
    else if (is(key, "checkpoint")) j->checkpoint = number;
    else if (is(key, "keep_edge")) j->keep_edge = number != 0;
    else if (is(key, "data")) j->data = value;
    else if (is(key, "out")) j->out = value;
    else if (is(key, "layout")) j->fortran = is(value, "F");
    else if (is(key, "start")) j->region = numbers(value, j->start) >= 0;
    else if (is(key, "count")) numbers(value, j->count);
    else return false;
    return true;
}

/* Takes a line apart, which has to live as long as the job. */
static bool set(void *into, const char *key, const char *value, uint64_t number)
{
    job *j = (job *)into;
    return set_what(j, key, value, number) || set_how(j, key, value, number);
}

static bool parse(job *j, char *line)
{
    char *fields[FIELDS];
    size_t count = split(line, fields, FIELDS);
    if (count < 2) return false;
    memset(j, 0, sizeof *j);
    j->command = fields[0];
    j->path = fields[1];
    j->pieces = UINT64_MAX;
    if (!set_fields(j, fields + 2, count - 2, set)) return false;
    if (j->options.fill_value != NULL && (j->options.dtype == SHARDIO_STRING || j->options.dtype == SHARDIO_BYTES))
        j->options.fill_value = &j->fill_bytes;
    return true;
}

/* ---- elements in files ------------------------------------------------------------------------------------------ */

/* Elements in memory. Those of variable length point into `bytes`. */
typedef struct elements {
    unsigned char *bytes;
    shardio_bytes *list;
    size_t size;             /* bytes of what is handed over */
} elements;

static void drop(elements *e)
{
    free(e->bytes);
    free(e->list);
}

static bool find_list(elements *e)
{
    size_t count = 0;
    e->list = (shardio_bytes *)malloc((e->size / 4 + 1) * sizeof *e->list);
    if (e->list == NULL) return false;
    for (size_t at = 0; at < e->size; count++) {
        uint32_t length;
        memcpy(&length, e->bytes + at, 4);
        e->list[count].data = e->bytes + at + 4;
        e->list[count].size = length;
        at += 4 + (size_t)length;
    }
    e->size = count * sizeof *e->list;
    return true;
}

static bool varies(shardio_dtype dtype)
{
    return dtype == SHARDIO_STRING || dtype == SHARDIO_BYTES;
}

static bool get(elements *e, const char *path, shardio_dtype dtype)
{
    memset(e, 0, sizeof *e);
    if ((e->bytes = load(path, &e->size)) == NULL || (varies(dtype) && !find_list(e))) {
        printf("error DRIVER %s cannot be read\n", path);
        drop(e);
        return false;
    }
    return true;
}

static bool put(const char *path, const void *data, size_t size, shardio_dtype dtype)
{
    FILE *file = fopen(path, "wb");
    bool good = file != NULL;
    if (!varies(dtype)) {
        good = good && fwrite(data, 1, size, file) == size;
    } else {
        const shardio_bytes *list = (const shardio_bytes *)data;
        for (size_t i = 0; good && i < size / sizeof *list; i++) {
            uint32_t length = (uint32_t)list[i].size;
            good = fwrite(&length, 4, 1, file) == 1 && fwrite(list[i].data, 1, length, file) == length;
        }
    }
    if (file != NULL) good = fclose(file) == 0 && good;
    if (!good) printf("error DRIVER %s cannot be written\n", path);
    return good;
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static void append(job *j, bool resume)
{
    shardio_accounting accounting;
    shardio_error error;
    elements e;
    shardio_dtype dtype = j->options.dtype;
    j->options.accounting = &accounting;
    shardio_array *array = resume ? shardio_array_continue(j->path, &j->options) : shardio_array_create(j->path, &j->options);
    shardio_array_facts facts;
    if (shardio_array_describe(array, &facts) != SHARDIO_OK) {
        report(shardio_array_finish(array, &error), &error);
        return;
    }
    dtype = facts.dtype;
    if (!get(&e, j->data, dtype)) {
        shardio_array_abort(array);
        return;
    }
    uint64_t random = 1, appends = 0;
    const unsigned char *at = e.list != NULL ? (const unsigned char *)e.list : e.bytes;
    for (uint64_t left = e.size / facts.element_size; left > 0;) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t count = j->pieces < UINT64_MAX ? (random >> 33) % j->pieces + 1 : left;
        if (count > left) count = left;
        shardio_array_append(array, at, count);
        if (j->checkpoint != 0 && ++appends % j->checkpoint == 0) shardio_array_checkpoint(array);
        at += count * facts.element_size;
        left -= count;
    }
    drop(&e);
    if (report(shardio_array_finish(array, &error), &error))
        printf("ok {\"dead_bytes\": %" PRIu64 ", \"logical_bytes\": %" PRIu64 "}\n", accounting.dead_bytes, accounting.logical_bytes);
}

/* The number of elements of the region; without one it becomes the whole array. */
static size_t region(job *j, const shardio_array_facts *facts)
{
    size_t total = 1;
    for (uint32_t i = 0; i < facts->ndim; i++) {
        if (!j->region) j->count[i] = facts->shape[i];
        total *= (size_t)j->count[i];
    }
    return total;
}

static void write_region(job *j, shardio_array *array, const shardio_array_facts *facts)
{
    shardio_error error;
    elements e;
    (void)region(j, facts);
    if (j->data == NULL) {
        if (report(shardio_array_write(array, j->start, j->count, NULL, 0, &error), &error)) printf("ok\n");
        return;
    }
    if (!get(&e, j->data, facts->dtype)) return;
    const void *data = e.list != NULL ? (const void *)e.list : (const void *)e.bytes;
    if (report(shardio_array_write(array, j->start, j->count, data, e.size, &error), &error)) printf("ok\n");
    drop(&e);
}

static void read_region(job *j, shardio_array *array, const shardio_array_facts *facts)
{
    shardio_error error;
    ptrdiff_t strides[SHARDIO_MAX_DIMS], step = (ptrdiff_t)facts->element_size;
    size_t size = region(j, facts) * facts->element_size;
    unsigned char *data = (unsigned char *)malloc(size + 1);
    if (data == NULL) {
        printf("error DRIVER no memory for %zu bytes\n", size);
        return;
    }
    for (uint32_t i = 0; i < facts->ndim; i++) {
        strides[i] = step;
        step *= (ptrdiff_t)j->count[i];
    }
    shardio_status status = j->fortran ? shardio_array_read_strided(array, j->start, j->count, data, strides, &error)
                                       : shardio_array_read(array, j->start, j->count, data, size, &error);
    if (report(status, &error) && put(j->out, data, size, facts->dtype)) printf("ok\n");
    free(data);
}

static void print_numbers(const char *name, const uint64_t *list, uint32_t count)
{
    printf("\"%s\": [", name);
    for (uint32_t i = 0; i < count; i++) printf("%s%" PRIu64, i > 0 ? ", " : "", list[i]);
    printf("], ");
}

/* JSON as it stands in zarr.json, on one line. */
static void print_json(const char *name, const char *text, size_t size)
{
    printf("\"%s\": ", name);
    for (size_t i = 0; i < size; i++) putchar(text[i] == '\n' || text[i] == '\r' ? ' ' : text[i]);
    printf(", ");
}

static void print_facts(const shardio_array_facts *f)
{
    const shardio_bytes *variable = (const shardio_bytes *)f->fill_value;
    const unsigned char *fill = varies(f->dtype) ? (const unsigned char *)variable->data : (const unsigned char *)f->fill_value;
    const size_t fill_size = varies(f->dtype) ? variable->size : f->element_size;
    printf("ok {\"dtype\": \"%s\", \"element_size\": %zu, ", shardio_dtype_name(f->dtype), f->element_size);
    print_numbers("shape", f->shape, f->ndim);
    print_numbers("chunk", f->chunk, f->ndim);
    print_numbers("shard", f->shard, f->ndim);
    printf("\"sharded\": %s, \"big_endian\": %s, \"key_v2\": %s, \"key_separator\": \"%c\", ", f->sharded ? "true" : "false",
           f->big_endian ? "true" : "false", f->key_v2 ? "true" : "false", f->key_separator);
    printf("\"levels\": %" PRIu32 ", \"fill\": \"", f->levels);
    for (size_t i = 0; i < fill_size; i++) printf("%02x", fill[i]);
    printf("\", \"names\": ");
    for (uint32_t i = 0; f->has_dimension_names && i < f->ndim; i++) {
        putchar(i > 0 ? ',' : '[');
        print_string(f->dimension_names[i]);
    }
    printf("%s, ", !f->has_dimension_names ? "null" : f->ndim > 0 ? "]" : "[]");
    print_json("attributes", f->attributes, strlen(f->attributes));
    print_json("codec_list", f->codec_list.text, f->codec_list.size);
    printf("\"memory\": %" PRIu64 "}\n", f->memory);
}

typedef struct findings {
    char text[512];
    uint64_t count;
} findings;

static void on_finding(void *context, const shardio_error *finding)
{
    findings *f = (findings *)context;
    if (f->count++ == 0) shardio_error_text(finding, f->text, sizeof f->text);
}

static void verify(shardio_array *array)
{
    findings found = {"", 0};
    shardio_error error;
    shardio_status status = shardio_array_verify(array, on_finding, &found, NULL, NULL, &error);
    if (status == SHARDIO_OK) printf("ok\n");
    else printf("error %s %" PRIu64 " findings: %s\n", shardio_status_name(status), found.count, found.text);
}

static void reading(job *j)
{
    shardio_error error;
    shardio_array_facts facts;
    shardio_array *array = shardio_array_open(j->path, &j->options, &error);
    if (report(error.status, &error) && report(shardio_array_describe(array, &facts), &error)) {
        if (is(j->command, "read")) read_region(j, array, &facts);
        else if (is(j->command, "facts")) print_facts(&facts);
        else verify(array);
    }
    shardio_array_close(array);
}

static void changing(job *j)
{
    shardio_error error;
    shardio_array_facts facts;
    shardio_status status;
    shardio_array *array = shardio_array_update(j->path, &j->options, &error);
    if (report(error.status, &error) && report(shardio_array_describe(array, &facts), &error)) {
        if (is(j->command, "write")) {
            write_region(j, array, &facts);
        } else {
            status = is(j->command, "resize") ? shardio_array_resize(array, j->options.shape, j->keep_edge, &error)
                                              : shardio_array_compact(array, NULL, NULL, &error);
            if (report(status, &error)) printf("ok\n");
        }
    }
    shardio_array_close(array);
}

static bool do_job(char *line)
{
    job j;
    shardio_error error;
    if (!parse(&j, line)) return false;
    if (is(j.command, "create")) append(&j, false);
    else if (is(j.command, "append")) append(&j, true);
    else if (is(j.command, "define")) {
        if (report(shardio_array_define(j.path, &j.options, &error), &error)) printf("ok\n");
    } else if (is(j.command, "read") || is(j.command, "facts") || is(j.command, "verify")) reading(&j);
    else if (is(j.command, "write") || is(j.command, "resize") || is(j.command, "compact")) changing(&j);
    else return false;
    return fflush(stdout) == 0;
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

static uint64_t mix64(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static int write_mix(size_t element, uint64_t seed, uint64_t count)
{
    uint64_t base = mix64(seed);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t v = mix64(base + i);
        for (size_t b = 0; b < element; b++)
            if (putchar((int)(v >> (8 * b) & 255)) == EOF) return 1;
    }
    return fflush(stdout) != 0;
}

static int codecs(void)
{
    puts("crc32c");
#if SHARDIO_WITH_ZSTD
    puts(shardio_codec_zstd()->name);
#endif
#if SHARDIO_WITH_ZLIB
    puts(shardio_codec_gzip()->name);
#endif
#if SHARDIO_WITH_BLOSC
    puts(shardio_codec_blosc()->name);
#endif
#if SHARDIO_WITH_LZ4
    puts(shardio_codec_lz4()->name);
#endif
    return 0;
}

int main(int argc, char **argv)
{
    int result = 2;
    if (argc == 3 && is(argv[1], "jobs")) result = each_job(argv[2], do_job);
    else if (argc == 2 && is(argv[1], "codecs")) result = codecs();
    else if (argc == 5 && is(argv[1], "mix"))
        result = write_mix((size_t)atoi(argv[2]), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    if (result == 2) fprintf(stderr, "driver: wrong arguments or jobs\n");
    return result;
}
