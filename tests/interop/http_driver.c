/* Reads objects on HTTP servers, many jobs in one run. For http.py.

       http_driver jobs FILE           one job a line, fields with tabs between: COMMAND URL KEY=VALUE...

   For each job there is one line on standard output, written at once: "ok" and a JSON object, or "error NAME text".
   Exit: 0 if all jobs were understood.

       about URL          length and tag
       read URL           also reads ranges (`offsets`, `sizes`, commas between), one after the other, to the file
                          `out`; `times` is how many of the reads gave something; unasked=1: without asking about the
                          object before
       again URL          also asks about it again, before each range
       mirror URL         the same through a mirror in the file `local`, with chunk, request, gap, ahead, later, over
                          (start over) as for shardio_mirror_open; fill=1: then fetches the rest. Also covered, fetched,
                          mirrored (requests that the mirror counts), and opening, the requests until it was open
       zip URL            the array `node` of an archive that is opened through such a mirror, to the file `out`
       array URL          an array below URL, through mirrors in the directory `local`; of both only the region start,
                          count

   Keys: key (the object is that of the key below URL), user, bearer, header (as often as wanted), proxy, ca, connect,
   stall, speed, tries, delay, longest, redirects (none=1: none), by (head, get, given), length, first, whole, limit,
   cancel (after so many milliseconds). In all answers: the counters, and the seconds that it took. */
#include "driver.h"
#include "../../examples/http_source.h"

enum { FIELDS = 48 };

/* A job, as its line says it. Everything points into the line. */
typedef struct job {
    const char *command, *url, *key, *out, *local, *node;
    const char *headers[FIELDS];
    size_t header_count;
    shardio_http_options http;
    shardio_http_counters counters;
    shardio_mirror_options mirror;
    bool unasked, fill;
    int ranges;
    uint64_t offsets[SHARDIO_MAX_DIMS], sizes[SHARDIO_MAX_DIMS], start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS];
    uint64_t cancel, begun;            /* milliseconds */
} job;

/* What is told of a job that went well. */
typedef struct outcome {
    shardio_source_facts facts;
    uint64_t times, opening, mirrored, fetched, covered;
} outcome;

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int is_late(void *context)
{
    const job *j = (const job *)context;
    return milliseconds() - j->begun >= j->cancel;
}

static bool set_http(job *j, const char *key, const char *value, uint64_t number)
{
    shardio_http_options *o = &j->http;
    if (is(key, "user")) o->user_password = value;
    else if (is(key, "bearer")) o->bearer = value;
    else if (is(key, "header")) j->headers[j->header_count++] = value;
    else if (is(key, "proxy")) o->proxy = value;
    else if (is(key, "ca")) o->ca_file = value;
    else if (is(key, "connect")) o->connect_timeout = (uint32_t)number;
    else if (is(key, "stall")) o->stall_timeout = (uint32_t)number;
    else if (is(key, "speed")) o->stall_speed = (uint32_t)number;
    else if (is(key, "tries")) o->tries = (uint32_t)number;
    else if (is(key, "delay")) o->retry_delay = (uint32_t)number;
    else if (is(key, "longest")) o->retry_longest = (uint32_t)number;
    else if (is(key, "redirects")) o->redirects = (uint32_t)number;
    else if (is(key, "none")) o->redirects = SHARDIO_HTTP_NONE;
    else if (is(key, "length")) o->length = number;
    else if (is(key, "first")) o->first = (uint32_t)number;
    else if (is(key, "whole")) o->whole = number != 0;
    else if (is(key, "limit")) o->whole_limit = number;
    else return false;
    return true;
}

static bool set_mirror(job *j, const char *key, const char *value, uint64_t number)
{
    shardio_mirror_options *o = &j->mirror;
    if (is(key, "local")) j->local = value;
    else if (is(key, "chunk")) o->chunk = number;
    else if (is(key, "request")) o->request = number;
    else if (is(key, "gap")) o->gap = number;
    else if (is(key, "ahead")) o->read_ahead = number;
    else if (is(key, "later")) o->check_later = number != 0;
    else if (is(key, "over")) o->start_over = number != 0;
    else if (is(key, "fill")) j->fill = number != 0;
    else if (is(key, "node")) j->node = value;
    else if (is(key, "start")) numbers(value, j->start);
    else if (is(key, "count")) numbers(value, j->count);
    else return false;
    return true;
}

static bool set_what(job *j, const char *key, const char *value, uint64_t number)
{
    if (is(key, "key")) j->key = value;
    else if (is(key, "offsets")) j->ranges = numbers(value, j->offsets);
    else if (is(key, "sizes")) numbers(value, j->sizes);
    else if (is(key, "out")) j->out = value;
    else if (is(key, "unasked")) j->unasked = number != 0;
    else if (is(key, "cancel")) {
        j->cancel = number;
        j->http.cancelled = is_late;
        j->http.cancelled_context = j;
    }
    else if (is(key, "by")) {
        j->http.length_by = is(value, "get") ? SHARDIO_HTTP_LENGTH_GET :
                            is(value, "given") ? SHARDIO_HTTP_LENGTH_GIVEN : SHARDIO_HTTP_LENGTH_HEAD;
    }
    else return false;
    return true;
}

/* Takes a line apart, which has to live as long as the job. */
static bool set(void *into, const char *key, const char *value, uint64_t number)
{
    job *j = (job *)into;
    return set_http(j, key, value, number) || set_mirror(j, key, value, number) || set_what(j, key, value, number);
}

static bool parse(job *j, char *line)
{
    char *fields[FIELDS];
    size_t count = split(line, fields, FIELDS);
    if (count < 2) return false;
    memset(j, 0, sizeof *j);
    j->command = fields[0];
    j->url = fields[1];
    j->http.headers = j->headers;
    j->http.counters = &j->counters;
    return set_fields(j, fields + 2, count - 2, set);
}

static void write_out(const job *j, const void *data, size_t size)
{
    FILE *out = j->out != NULL ? fopen(j->out, "ab") : NULL;
    if (out == NULL) return;
    if (fwrite(data, 1, size, out) != size || fclose(out) != 0) abort();
}

/* ---- the source by itself --------------------------------------------------------------------------------------- */

static shardio_status read_range(const job *j, const shardio_source *source, uint64_t offset, size_t size,
                                 uint64_t *times, shardio_error *error)
{
    uint8_t *data = (uint8_t *)malloc(size);           /* exactly as long, so that a sanitizer sees what goes beyond */
    size_t got = 0, done = 1;
    shardio_status status = SHARDIO_OK;
    while (got < size && done > 0 && status == SHARDIO_OK) {
        status = source->functions->read(source->context, offset + got, data + got, size - got, &done, error);
        if (status == SHARDIO_OK) got += done;
        *times += status == SHARDIO_OK && done > 0;
    }
    write_out(j, data, got);
    free(data);
    return status;
}

static shardio_status read_ranges(const job *j, const shardio_source *source, outcome *result, shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    for (int i = 0; i < j->ranges && status == SHARDIO_OK; i++) {
        if (is(j->command, "again")) status = source->functions->about(source->context, &result->facts, error);
        if (status == SHARDIO_OK)
            status = read_range(j, source, j->offsets[i], (size_t)j->sizes[i], &result->times, error);
    }
    return status;
}

static shardio_status read_source(job *j, outcome *result, shardio_error *error)
{
    shardio_http client;
    shardio_source source;
    memset(&client, 0, sizeof client);
    memset(&source, 0, sizeof source);
    shardio_status status = j->key == NULL ? shardio_http_open(&source, j->url, &j->http, error)
                                           : shardio_http_begin(&client, j->url, &j->http, error);
    if (status == SHARDIO_OK && j->key != NULL) status = shardio_http_find(&client, j->key, &source, error);
    if (status == SHARDIO_OK && !j->unasked) status = source.functions->about(source.context, &result->facts, error);
    if (status == SHARDIO_OK) status = read_ranges(j, &source, result, error);
    if (source.functions != NULL) source.functions->close(source.context);
    shardio_http_end(&client);
    return status;
}

/* ---- through mirrors -------------------------------------------------------------------------------------------- */

static shardio_status read_mirror_ranges(const job *j, shardio_mirror *mirror, shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    for (int i = 0; i < j->ranges && status == SHARDIO_OK; i++) {
        size_t size = (size_t)j->sizes[i], done = 0;
        uint8_t *data = (uint8_t *)malloc(size);
        status = shardio_mirror_read(mirror, j->offsets[i], data, size, &done, error);
        write_out(j, data, done);
        free(data);
    }
    return status;
}

/* A region of an array, or all of it. */
static shardio_status read_array(const job *j, const shardio_store *store, shardio_error *error)
{
    shardio_array_options options;
    shardio_array_facts facts;
    memset(&options, 0, sizeof options);
    options.path = j->node;
    shardio_array *array = shardio_array_open_in(store, &options, error);
    shardio_status status = error->status;
    if (status == SHARDIO_OK) status = shardio_array_describe(array, &facts);
    if (status == SHARDIO_OK) {
        const uint64_t *count = j->count[0] > 0 ? j->count : facts.shape;
        size_t size = facts.element_size;
        for (uint32_t i = 0; i < facts.ndim; i++) size *= (size_t)count[i];
        uint8_t *data = (uint8_t *)malloc(size);
        status = shardio_array_read(array, j->start, count, data, size, error);
        if (status == SHARDIO_OK) write_out(j, data, size);
        free(data);
    }
    shardio_array_close(array);
    return status;
}

static shardio_status read_zip(const job *j, shardio_mirror *mirror, outcome *result, shardio_error *error)
{
    shardio_archive_options options;
    memset(&options, 0, sizeof options);
    shardio_archive *archive = shardio_archive_open_file(shardio_mirror_file(mirror, false), &options, error);
    shardio_status status = error->status;
    result->opening = j->counters.requests;
    if (status == SHARDIO_OK) {
        const shardio_store store = shardio_archive_store(archive);
        status = read_array(j, &store, error);
    }
    shardio_archive_close(archive);
    return status;
}

static void look_at_mirror(shardio_mirror *mirror, outcome *result)
{
    const shardio_mirror_facts facts = shardio_mirror_about(mirror);
    result->facts.length = facts.length;
    strcpy(result->facts.tag, facts.tag);
    result->mirrored = facts.requests;
    result->fetched = facts.fetched;
    result->covered = facts.covered;
}

static shardio_status read_mirror(job *j, outcome *result, shardio_error *error)
{
    shardio_source source;
    shardio_error ignored;
    shardio_status status = shardio_http_open(&source, j->url, &j->http, error);
    if (status != SHARDIO_OK) return status;
    shardio_mirror *mirror = shardio_mirror_open(&source, j->local, &j->mirror, error);
    status = error->status;
    result->opening = j->counters.requests;
    if (status == SHARDIO_OK)
        status = is(j->command, "zip") ? read_zip(j, mirror, result, error) : read_mirror_ranges(j, mirror, error);
    if (status == SHARDIO_OK && j->fill) status = shardio_mirror_fill(mirror, NULL, NULL, error);
    if (mirror != NULL) look_at_mirror(mirror, result);
    shardio_status closed = shardio_mirror_close(mirror, status == SHARDIO_OK ? error : &ignored);
    return status == SHARDIO_OK ? closed : status;
}

static shardio_status read_mirrored_array(job *j, outcome *result, shardio_error *error)
{
    static shardio_mirror_store mirrors;
    shardio_http client;
    memset(&mirrors, 0, sizeof mirrors);
    mirrors.find = shardio_http_find;
    mirrors.context = &client;
    mirrors.directory = j->local;
    mirrors.name = j->url;
    mirrors.options = j->mirror;
    shardio_status status = shardio_http_begin(&client, j->url, &j->http, error);
    if (status == SHARDIO_OK) {
        const shardio_store store = shardio_store_mirrored(&mirrors);
        status = read_array(j, &store, error);
        if (status != SHARDIO_OK && mirrors.last.status != SHARDIO_OK) *error = mirrors.last;
    }
    result->mirrored = mirrors.requests;
    result->fetched = mirrors.fetched;
    shardio_http_end(&client);
    return status;
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

static void report(const job *j, shardio_status status, const outcome *result, const shardio_error *error)
{
    const shardio_http_counters *c = &j->counters;
    const double seconds = (double)(milliseconds() - j->begun) / 1000;
    char text[512];
    if (status != SHARDIO_OK) {
        printf("error %s %s [%" PRIu64 " requests, %.3f s, code %d]\n", shardio_status_name(status),
               shardio_error_text(error, text, sizeof text), c->requests, seconds, error->system_code);
        return;
    }
    printf("ok {\"length\": %" PRIu64 ", \"tag\": ", result->facts.length);
    print_string(result->facts.tag);
    printf(", \"times\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"retries\": %" PRIu64 ", \"bytes\": %" PRIu64,
           result->times, c->requests, c->retries, c->bytes);
    printf(", \"opening\": %" PRIu64 ", \"mirrored\": %" PRIu64 ", \"fetched\": %" PRIu64 ", \"covered\": %" PRIu64,
           result->opening, result->mirrored, result->fetched, result->covered);
    printf(", \"status\": %ld, \"seconds\": %.3f}\n", c->status, seconds);
}

static bool do_job(char *line)
{
    static outcome result;
    job j;
    shardio_error error;
    shardio_status status;
    if (!parse(&j, line)) return false;
    j.begun = milliseconds();
    memset(&result, 0, sizeof result);
    if (j.out != NULL) remove(j.out);
    if (is(j.command, "array")) status = read_mirrored_array(&j, &result, &error);
    else if (is(j.command, "mirror") || is(j.command, "zip")) status = read_mirror(&j, &result, &error);
    else status = read_source(&j, &result, &error);
    report(&j, status, &result, &error);
    return fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    int result = 2;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (argc == 3 && is(argv[1], "jobs")) result = each_job(argv[2], do_job);
    if (result == 2) fprintf(stderr, "http_driver: wrong arguments or jobs\n");
    curl_global_cleanup();
    return result;
}
