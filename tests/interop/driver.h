/* What the drivers in this folder share: jobs from a file, one a line. A driver includes it first. */
#ifndef TEST_LINKED
#define SHARDIO_IMPLEMENTATION
#else
#define _GNU_SOURCE
#endif
#include "../../shardio.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(const char *key, const char *name)
{
    return strcmp(key, name) == 0;
}

/* Numbers with commas between; how many. */
static int numbers(const char *text, uint64_t *out)
{
    int n = 0;
    char *end;
    while (n < SHARDIO_MAX_DIMS && *text != 0) {
        out[n++] = strtoull(text, &end, 10);
        text = *end == ',' ? end + 1 : "";
    }
    return n;
}

/* A file in memory, to be freed, with room for one byte more; null: it cannot be read. */
static unsigned char *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    unsigned char *data = NULL;
    long end = -1;
    if (file == NULL) return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0)
        data = (unsigned char *)malloc((size_t)end + 1);
    if (data != NULL && fread(data, 1, (size_t)end, file) != (size_t)end) {
        free(data);
        data = NULL;
    }
    fclose(file);
    *size = end < 0 ? 0 : (size_t)end;
    return data;
}

/* As JSON; null is null. */
static void print_string(const char *text)
{
    static char quoted[20000];
    shardio_text t = {quoted, sizeof quoted, 0};
    if (text == NULL) shardio_text_add(&t, "null");
    else shardio_text_add_string(&t, text);
    fputs(quoted, stdout);
}

/* Takes a line apart at its tabs, which has to live as long as the fields; how many there are, 0: more than `most`. */
static size_t split(char *line, char **fields, size_t most)
{
    size_t count = 0;
    while (line != NULL && count < most) {
        fields[count++] = line;
        if ((line = strchr(line, '\t')) != NULL) *line++ = 0;
    }
    return line == NULL ? count : 0;
}

/* Ends a field at its "=" and gives what is behind; null: there is none. */
static const char *take_value(char *field)
{
    char *value = strchr(field, '=');
    if (value != NULL) *value++ = 0;
    return value;
}

/* Hands the fields KEY=VALUE to `set`, each value as a number too. False: one was not understood. */
static inline bool set_fields(void *job, char **fields, size_t count,
                              bool (*set)(void *job, const char *key, const char *value, uint64_t number))
{
    for (size_t i = 0; i < count; i++) {
        const char *value = take_value(fields[i]);
        if (value == NULL || !set(job, fields[i], value, strtoull(value, NULL, 10))) return false;
    }
    return true;
}

/* Hands each line of a file to `job`, which may write to it. The exit code: 2 when one was not understood. */
static int each_job(const char *path, bool (*job)(char *line))
{
    size_t size;
    char *text = (char *)load(path, &size), *line = text, *end;
    int result = 0;
    if (text == NULL) return 2;
    text[size] = 0;
    for (; result == 0 && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        if (job(line)) continue;
        fprintf(stderr, "not understood: %s\n", line);
        result = 2;
    }
    free(text);
    return result;
}
