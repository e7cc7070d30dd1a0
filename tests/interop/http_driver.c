/* Reads objects on HTTP servers, many jobs in one run. For http.py.

       http_driver jobs FILE           one job a line, fields with tabs between: COMMAND URL KEY=VALUE...

   For each job there is one line on standard output, written at once: "ok" and a JSON object, or "error NAME text". Exit: 0
   if all jobs were understood.

       about URL          length and tag
       read URL           also reads ranges (`offsets`, `sizes`, commas between), one after the other, to the file `out`;
                          `times` is how many of the reads gave something; unasked=1: without asking about the object before
       again URL          also asks about it again, before each range

   Keys: key (the object is that of the key below URL), user, bearer, header (as often as wanted), proxy, ca, connect, stall,
   speed, tries, delay, longest, redirects (none=1: none), by (head, get, given), length, first, whole, limit, cancel (after
   so many milliseconds). In all answers: the counters, and the seconds that it took. */
#include "driver.h"
#include "../../examples/http_source.h"

enum { FIELDS = 48 };

/* A job, as its line says it. Everything points into the line. */
typedef struct job {
    const char *command, *url, *key, *out;
    const char *headers[FIELDS];
    size_t header_count;
    shardio_http_options http;
    shardio_http_counters counters;
    bool unasked;
    int ranges;
    uint64_t offsets[SHARDIO_MAX_DIMS], sizes[SHARDIO_MAX_DIMS];
    uint64_t cancel, begun;            /* milliseconds */
} job;

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
    for (size_t i = 2; i < count; i++) {
        const char *value = take_value(fields[i]);
        if (value == NULL) return false;
        uint64_t number = strtoull(value, NULL, 10);
        if (!set_http(j, fields[i], value, number) && !set_what(j, fields[i], value, number)) return false;
    }
    return true;
}

static shardio_status read_range(const shardio_source *source, uint64_t offset, size_t size, FILE *out, uint64_t *times,
                                 shardio_error *error)
{
    uint8_t *data = (uint8_t *)malloc(size);           /* exactly as long, so that a sanitizer sees what goes beyond */
    size_t got = 0, done = 1;
    shardio_status status = SHARDIO_OK;
    while (got < size && done > 0 && status == SHARDIO_OK) {
        status = source->functions->read(source->context, offset + got, data + got, size - got, &done, error);
        if (status == SHARDIO_OK) got += done;
        *times += status == SHARDIO_OK && done > 0;
    }
    if (out != NULL && fwrite(data, 1, got, out) != got) abort();
    free(data);
    return status;
}

static shardio_status read_ranges(const job *j, const shardio_source *source, FILE *out, uint64_t *times,
                                  shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    shardio_source_facts facts;
    for (int i = 0; i < j->ranges && status == SHARDIO_OK; i++) {
        if (is(j->command, "again")) status = source->functions->about(source->context, &facts, error);
        if (status == SHARDIO_OK) status = read_range(source, j->offsets[i], (size_t)j->sizes[i], out, times, error);
    }
    return status;
}

static void report(const job *j, shardio_status status, const shardio_source_facts *facts, uint64_t times,
                   const shardio_error *error)
{
    char text[512];
    if (status == SHARDIO_OK) {
        printf("ok {\"length\": %" PRIu64 ", \"tag\": ", facts->length);
        print_string(facts->tag);
        printf(", \"times\": %" PRIu64 ", \"requests\": %" PRIu64 ", \"retries\": %" PRIu64 ", \"bytes\": %" PRIu64, times,
               j->counters.requests, j->counters.retries, j->counters.bytes);
        printf(", \"status\": %ld, \"seconds\": %.3f}\n", j->counters.status, (double)(milliseconds() - j->begun) / 1000);
    } else {
        printf("error %s %s [%" PRIu64 " requests, %.3f s, code %d]\n", shardio_status_name(status),
               shardio_error_text(error, text, sizeof text), j->counters.requests,
               (double)(milliseconds() - j->begun) / 1000, error->system_code);
    }
}

static shardio_status open_source(job *j, shardio_http *client, shardio_source *source, shardio_error *error)
{
    if (j->key == NULL) return shardio_http_open(source, j->url, &j->http, error);
    shardio_status status = shardio_http_begin(client, j->url, &j->http, error);
    return status == SHARDIO_OK ? shardio_http_find(client, j->key, source, error) : status;
}

static bool do_job(char *line)
{
    static shardio_source_facts facts;
    job j;
    shardio_error error;
    shardio_http client;
    shardio_source source = {NULL, NULL, NULL};
    uint64_t times = 0;
    if (!parse(&j, line)) return false;
    j.begun = milliseconds();
    memset(&facts, 0, sizeof facts);
    memset(&client, 0, sizeof client);
    shardio_status status = open_source(&j, &client, &source, &error);
    if (status == SHARDIO_OK && !j.unasked) status = source.functions->about(source.context, &facts, &error);
    if (status == SHARDIO_OK) {
        FILE *out = j.out != NULL ? fopen(j.out, "wb") : NULL;
        status = read_ranges(&j, &source, out, &times, &error);
        if (out != NULL) fclose(out);
    }
    report(&j, status, &facts, times, &error);
    if (source.functions != NULL) source.functions->close(source.context);
    shardio_http_end(&client);
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
