/* Writes and reads arrays with options that the command-line tool does not have. For the tests in this folder.

       driver write PATH key=value...   elements (machine's byte order) on standard input
       driver read PATH [start:stop,start:stop...]   elements on standard output
       driver mix BYTES SEED COUNT      the content `mix` of the golden files, elements of 1, 2, 4 or 8 bytes

   Keys: dtype shape chunk shard (numbers with commas) fill (hexadecimal bytes, machine's order) names (commas, - for
   none) attributes path codecs (a number of crc32c) index_start index_big no_checksum big skip_fill overwrite
   continue (0 or 1) direct (auto, on, off) durable (0 or 1) pieces (most elements of an append) checkpoint (appends
   between two) buffer memory block files. Exit: 0, or 1 with a line on standard error, 2 for usage. */
#define SHARDIO_IMPLEMENTATION
#include "../../shardio.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *names[SHARDIO_MAX_DIMS];
static unsigned char fill[16];
static uint64_t pieces = UINT64_MAX, checkpoint;
static int resume;

static int fail(const shardio_error *error)
{
    char text[512];
    fprintf(stderr, "driver: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

static int numbers(const char *text, uint64_t *out)
{
    int n = 0;
    for (char *end; n < SHARDIO_MAX_DIMS; text = end + 1) {
        out[n++] = strtoull(text, &end, 10);
        if (*end != ',') break;
    }
    return n;
}

static int is(const char *key, const char *name)
{
    return strcmp(key, name) == 0;
}

/* Sets what `key` says; 0 if there is no such key. `value` lives as long as the program. */
static int set(shardio_array_options *o, const char *key, char *value)
{
    uint64_t number = strtoull(value, NULL, 10);
    if (is(key, "dtype")) o->dtype = shardio_dtype_from_name(value);
    else if (is(key, "shape")) o->ndim = (uint32_t)numbers(value, o->shape);
    else if (is(key, "chunk")) numbers(value, o->chunk);
    else if (is(key, "shard")) numbers(value, o->shard);
    else if (is(key, "attributes")) o->attributes = value;
    else if (is(key, "path")) o->path = value;
    else if (is(key, "index_start")) o->index_at_start = number != 0;
    else if (is(key, "index_big")) o->index_big_endian = number != 0;
    else if (is(key, "no_checksum")) o->index_no_checksum = number != 0;
    else if (is(key, "big")) o->big_endian = number != 0;
    else if (is(key, "skip_fill")) o->skip_fill = number != 0;
    else if (is(key, "overwrite")) o->overwrite = number != 0;
    else if (is(key, "continue")) resume = number != 0;
    else if (is(key, "durable")) o->durability = number ? SHARDIO_DURABLE_FINISH : SHARDIO_DURABLE_NONE;
    else if (is(key, "pieces")) pieces = number;
    else if (is(key, "checkpoint")) checkpoint = number;
    else if (is(key, "buffer")) o->buffer_size = (size_t)number;
    else if (is(key, "memory")) o->memory = (size_t)number;
    else if (is(key, "block")) o->block_size = (size_t)number;
    else if (is(key, "files")) o->max_open_files = (uint32_t)number;
    else if (is(key, "direct"))
        o->direct = is(value, "on") ? SHARDIO_DIRECT_ON : is(value, "off") ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO;
    else if (is(key, "codecs"))
        for (uint64_t i = 0; i < number && i < SHARDIO_MAX_CODECS; i++) o->codecs[i] = shardio_codec_crc32c();
    else if (is(key, "fill")) {
        for (size_t i = 0; i < sizeof fill && value[2 * i]; i++) {
            char digits[3] = {value[2 * i], value[2 * i + 1], 0};
            fill[i] = (unsigned char)strtoul(digits, NULL, 16);
        }
        o->fill_value = fill;
    } else if (is(key, "names")) {
        int n = 0;
        for (char *name = strtok(value, ","); name && n < SHARDIO_MAX_DIMS; name = strtok(NULL, ","))
            names[n++] = is(name, "-") ? NULL : name;
        o->dimension_names = names;
    } else
        return 0;
    return 1;
}

static int write_array(const char *path, int count, char **arguments)
{
    shardio_array_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    for (int i = 0; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (value == NULL) return 2;
        *value = 0;
        if (!set(&o, arguments[i], value + 1)) return 2;
    }
    size_t element = shardio_dtype_size(o.dtype), most = (size_t)1 << 20;
    if (element == 0) return 2;
    if (pieces < most) most = (size_t)pieces;
    unsigned char *data = (unsigned char *)malloc(most * element);
    if (data == NULL) return 1;
    shardio_array *array = resume ? shardio_array_continue(path, &o) : shardio_array_create(path, &o);
    uint64_t random = 1, appends = 0;
    for (;;) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t want = pieces < UINT64_MAX ? (size_t)((random >> 33) % most) + 1 : most;
        size_t got = fread(data, element, want, stdin);
        if (got == 0) break;
        shardio_array_append(array, data, got);
        if (checkpoint != 0 && ++appends % checkpoint == 0) shardio_array_checkpoint(array);
    }
    free(data);
    return shardio_array_finish(array, &error) == SHARDIO_OK ? 0 : fail(&error);
}

static int read_array(const char *path, const char *region)
{
    shardio_error error;
    shardio_array_facts facts;
    uint64_t start[SHARDIO_MAX_DIMS] = {0}, count[SHARDIO_MAX_DIMS];
    shardio_array *array = shardio_array_open(path, NULL, &error);
    int result = 1;
    if (shardio_array_describe(array, &facts) != SHARDIO_OK) {
        fail(&error);
        shardio_array_close(array);
        return 1;
    }
    uint64_t elements = 1;
    for (uint32_t i = 0; i < facts.ndim; i++) {
        count[i] = facts.shape[i];
        if (region != NULL) {
            char *end;
            start[i] = strtoull(region, &end, 10);
            count[i] = strtoull(end + 1, &end, 10) - start[i];
            region = end + 1;
        }
        elements *= count[i];
    }
    size_t size = (size_t)elements * shardio_dtype_size(facts.dtype);
    unsigned char *data = (unsigned char *)malloc(size + 1);
    if (data != NULL) {
        if (shardio_array_read(array, start, count, data, size, &error) != SHARDIO_OK) fail(&error);
        else result = fwrite(data, 1, size, stdout) != size;
    }
    free(data);
    shardio_array_close(array);
    return result;
}

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

int main(int argc, char **argv)
{
    int result = 2;
    if (argc >= 3 && is(argv[1], "write")) result = write_array(argv[2], argc - 3, argv + 3);
    else if (argc >= 3 && is(argv[1], "read")) result = read_array(argv[2], argc > 3 ? argv[3] : NULL);
    else if (argc == 5 && is(argv[1], "mix"))
        result = write_mix((size_t)atoi(argv[2]), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
    if (result == 2) fprintf(stderr, "driver: wrong arguments\n");
    return result;
}
