/* A source on HTTP and HTTPS for a mirror, with libcurl 7.64 or later: included after shardio.h, linked with -lcurl.
   One object is one URL, read by range requests; all objects below a URL make a Zarr hierarchy.

       shardio_source source;
       if (shardio_http_open(&source, "https://example.org/movie.zip", NULL, &error) != SHARDIO_OK) ...
       shardio_mirror *mirror = shardio_mirror_open(&source, "movie.mirror", NULL, &error);

   What a server says is checked. An object is known by its strong ETag, otherwise by its Last-Modified, and every range
   is asked for on the condition that it still is this one (If-Range); the range and the length that an answer tells
   must be those that were asked for. So bytes of two states of an object never mix where the server tells them apart.

   One client, and all sources of it, belong to one thread at a time. A program with threads calls
   curl_global_init(CURL_GLOBAL_DEFAULT) before it starts them. */
#ifndef SHARDIO_HTTP_SOURCE_H
#define SHARDIO_HTTP_SOURCE_H

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifndef _WIN32
#include <sys/select.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define SHARDIO_HTTP_NONE UINT32_MAX

/* How the length of an object is found. */
typedef enum shardio_http_length {
    SHARDIO_HTTP_LENGTH_HEAD,        /* by HEAD; where the server has none, or tells no length with it, as by GET */
    SHARDIO_HTTP_LENGTH_GET,         /* by asking for the first bytes, which are kept and used: a small object takes one
                                        request in place of two */
    SHARDIO_HTTP_LENGTH_GIVEN        /* it is in the options: no request, and no tag */
} shardio_http_length;

typedef struct shardio_http_counters {
    uint64_t requests;               /* sent, redirected and repeated ones included */
    uint64_t retries;                /* those that were repeated */
    uint64_t bytes;                  /* received in bodies */
    long status;                     /* of the newest answer; 0: none came */
    int curl_code;                   /* the newest CURLcode */
} shardio_http_counters;

/* All-zero are the defaults. Everything pointed to is borrowed and outlives the client or source. */
typedef struct shardio_http_options {
    /* Credentials come from here only, not from the URL, .netrc or the environment, and go to no other host, port or
       scheme than those of the URL, wherever it redirects to. */
    const char *user_password;       /* "name:password" for basic authentication; null: none */
    const char *bearer;              /* a token; null: none */
    const char *const *headers;      /* lines "Name: value", then a null pointer; handled as credentials; null: none */
    const char *proxy;               /* null: none, whatever the environment says */
    const char *ca_file;             /* certificates to trust, PEM; null: the system's */
    uint32_t connect_timeout;        /* seconds; 0: 20 */
    uint32_t stall_timeout;          /* seconds with fewer than stall_speed bytes each that end a request; 0: 30 */
    uint32_t stall_speed;            /* 0: 1 */
    uint32_t tries;                  /* of one read, when the server says 429 or 5xx or the connection breaks; 0: 5 */
    uint32_t retry_delay;            /* milliseconds before the second try, doubled for each further one; of it a random
                                        part, up to the half, is taken off; 0: 500 */
    uint32_t retry_longest;          /* milliseconds that are waited at most; a server that says Retry-After and wants
                                        more is not asked again; 0: 30000 */
    uint32_t redirects;              /* of one request; to http and https only, and not from https to http; 0: 5;
                                        SHARDIO_HTTP_NONE: none */
    shardio_http_length length_by;
    uint64_t length;                 /* bytes, with SHARDIO_HTTP_LENGTH_GIVEN */
    uint32_t first;                  /* bytes that are asked for first, with SHARDIO_HTTP_LENGTH_GET; 0: 64 KiB */
    bool whole;                      /* a server that sends all of the object when asked for a range: take it, and keep
                                        the range; default: SHARDIO_ERR_UNSUPPORTED */
    uint64_t whole_limit;            /* bytes of an object up to which that is done; 0: 64 MiB */
    int (*cancelled)(void *context); /* asked now and then; not 0 ends requests with SHARDIO_ERR_CANCELLED; or null */
    void *cancelled_context;
    shardio_http_counters *counters; /* added to; may be null */
} shardio_http_options;

/* A client: a URL and what its objects share, the connection above all. */
typedef struct shardio_http {
    shardio_http_options options;    /* with the defaults filled in */
    shardio_http_counters counters;  /* if there are none in the options */
    CURL *curl;
    CURLU *home;                     /* where credentials may go */
    char *url;
    uint64_t random;
} shardio_http;

/* ---- how it is done ---------------------------------------------------------------------------------------------- */

enum {
    SHARDIO_HTTP_P_BUFFER = 256 << 10,    /* bytes that curl hands over at once, at most */
    SHARDIO_HTTP_P_HEAD = 64 << 10,       /* the most bytes of header lines */
    SHARDIO_HTTP_P_DROP = 16 << 10,       /* of a body that nobody wants, so many are read to keep the connection; */
    SHARDIO_HTTP_P_DROP_MOVED = 1 << 20,  /* and of a redirect's, which curl reads to the end before it says where to */
    SHARDIO_HTTP_P_SLICE = 50             /* milliseconds of a wait between two questions whether to go on */
};

/* The source's context. */
typedef struct shardio_http_p_object {
    shardio_http *http;
    bool owns_http, known;
    char *url, *name;                     /* the name has no query, which may hold a secret */
    char *moved;                          /* where permanent redirects led to, or null */
    uint64_t length;
    char tag[SHARDIO_MAX_TAG + 1];        /* as `about` told it */
    char pin[SHARDIO_MAX_TAG + 1];        /* what answers have to agree with: the tag, or what the first answer said */
    uint8_t *kept;                        /* the first bytes, until they are read */
    size_t kept_size;
} shardio_http_p_object;

typedef enum shardio_http_p_kind {
    SHARDIO_HTTP_P_ASK_HEAD, SHARDIO_HTTP_P_ASK_FIRST, SHARDIO_HTTP_P_ASK_RANGE
} shardio_http_p_kind;

/* A header's value; one that is too long is "?", which is nobody's value. */
typedef struct shardio_http_p_value {
    char text[SHARDIO_MAX_TAG + 1];
} shardio_http_p_value;

/* What is asked, what came, and what that means. */
typedef struct shardio_http_p_exchange {
    shardio_http_p_object *object;
    shardio_http_p_kind kind;
    uint64_t first;                       /* of the range */
    size_t size, got;                     /* bytes of it, in all tries */
    uint8_t *to;

    long status;                          /* of the answer */
    size_t head_bytes, dropped;
    uint64_t skip;                        /* bytes in front of the wanted ones that are still to come */
    shardio_http_p_value etag, modified, range, length, encoding, retry_after;
    uint64_t content_length, range_first, range_last, range_total;
    bool has_length, has_range, has_total;

    bool judged, redirected, whole, at_end, transient;
    shardio_status verdict;
    int code;
    const char *reason;
} shardio_http_p_exchange;

static inline shardio_status shardio_http_p_fail(shardio_error *error, shardio_status status, const char *operation,
                                                 const char *name, uint64_t offset, int code, const char *reason)
{
    if (error == NULL) return status;
    const size_t size = name != NULL ? strlen(name) : 0, room = sizeof error->subject - 1;
    error->status = status;
    error->system_code = code;
    error->operation = operation;
    error->reason = reason;
    error->offset = offset;
    if (size > 0) memcpy(error->subject, size > room ? name + (size - room) : name, size > room ? room : size);
    error->subject[size > room ? room : size] = 0;
    return status;
}

static inline shardio_status shardio_http_p_good(shardio_error *error)
{
    return shardio_http_p_fail(error, SHARDIO_OK, NULL, NULL, SHARDIO_NO_OFFSET, 0, NULL);
}

/* To be freed; null: out of memory. */
static inline char *shardio_http_p_join(const char *a, const char *b)
{
    const size_t n = strlen(a), m = strlen(b);
    char *text = (char *)malloc(n + m + 1);
    if (text == NULL) return NULL;
    memcpy(text, a, n);
    memcpy(text + n, b, m + 1);
    return text;
}

/* -- URLs */

static inline bool shardio_http_p_same_part(CURLU *a, CURLU *b, CURLUPart part)
{
    char *one = NULL, *other = NULL;
    const bool got = curl_url_get(a, part, &one, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                     curl_url_get(b, part, &other, CURLU_DEFAULT_PORT) == CURLUE_OK;
    const bool same = got && curl_strequal(one, other);
    curl_free(one);
    curl_free(other);
    return same;
}

static inline bool shardio_http_p_has_scheme(CURLU *url, const char *wanted)
{
    char *scheme = NULL;
    const bool same = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && curl_strequal(scheme, wanted);
    curl_free(scheme);
    return same;
}

/* Takes a URL apart; null and a reason if it is none that is fetched. */
static inline CURLU *shardio_http_p_parse(const char *text, const char **reason)
{
    CURLU *url = curl_url();
    char *user = NULL;
    *reason = NULL;
    if (url == NULL) *reason = "out of memory";
    else if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK) *reason = "it is no URL";
    else if (!shardio_http_p_has_scheme(url, "http") && !shardio_http_p_has_scheme(url, "https"))
        *reason = "the URL does not begin with http:// or https://";
    else if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
        *reason = "the URL has a user name in it; user and password go into the options";
    curl_free(user);
    if (*reason == NULL) return url;
    curl_url_cleanup(url);
    return NULL;
}

/* Whether a redirect from one URL to another is followed, and whether the credentials go there. */
static inline bool shardio_http_p_may_follow(shardio_http *http, const char *from, const char *to, bool *ours,
                                             const char **reason)
{
    CURLU *old = shardio_http_p_parse(from, reason), *next = shardio_http_p_parse(to, reason);
    if (*reason != NULL)
        *reason = "the server redirects to what is not followed: no URL, not http, or one with a user name";
    if (old != NULL && next != NULL && shardio_http_p_has_scheme(old, "https") &&
        !shardio_http_p_has_scheme(next, "https"))
        *reason = "the server redirects from https to http";
    *ours = next != NULL && shardio_http_p_same_part(http->home, next, CURLUPART_SCHEME) &&
            shardio_http_p_same_part(http->home, next, CURLUPART_HOST) &&
            shardio_http_p_same_part(http->home, next, CURLUPART_PORT);
    curl_url_cleanup(old);
    curl_url_cleanup(next);
    return *reason == NULL;
}

/* `base`, a slash, and a key with everything escaped that may not be in a path; in front of a query. */
static inline char *shardio_http_p_url_of(const char *base, const char *key)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    static const char digits[] = "0123456789ABCDEF";
    size_t n = strcspn(base, "?#");
    char *url = (char *)malloc(strlen(base) + 3 * strlen(key) + 2), *at = url;
    const char *query = base + n;
    if (url == NULL) return NULL;
    while (n > 0 && base[n - 1] == '/') n--;
    memcpy(at, base, n);
    at += n;
    *at++ = '/';
    for (; *key != 0; key++) {
        const unsigned char c = (unsigned char)*key;
        if (strchr(plain, *key) != NULL) {
            *at++ = *key;
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    memcpy(at, query, strlen(query) + 1);
    return url;
}

/* -- what the header lines say */

static inline bool shardio_http_p_number(const char **text, uint64_t *number)
{
    const char *at = *text;
    for (*number = 0; *at >= '0' && *at <= '9'; at++) {
        const unsigned digit = (unsigned)(*at - '0');
        if (*number > (UINT64_MAX - digit) / 10) return false;
        *number = *number * 10 + digit;
    }
    const bool any = at != *text;
    *text = at;
    return any;
}

/* If the line is the header `name` ("etag:", in small letters), keeps its value. */
static inline void shardio_http_p_keep(const char *line, size_t size, const char *name, shardio_http_p_value *value)
{
    size_t n = strlen(name);
    if (size < n) return;
    for (size_t i = 0; i < n; i++) {
        const char c = line[i] >= 'A' && line[i] <= 'Z' ? (char)(line[i] + ('a' - 'A')) : line[i];
        if (c != name[i]) return;
    }
    while (n < size && (line[n] == ' ' || line[n] == '\t')) n++;
    while (size > n && (unsigned char)line[size - 1] <= ' ') size--;
    const bool fits = size - n < sizeof value->text && memchr(line, 0, size) == NULL;
    memcpy(value->text, fits ? line + n : "?", fits ? size - n : 1);
    value->text[fits ? size - n : 1] = 0;
}

static inline void shardio_http_p_forget_answer(shardio_http_p_exchange *x)
{
    x->etag.text[0] = x->modified.text[0] = x->range.text[0] = x->length.text[0] = 0;
    x->encoding.text[0] = x->retry_after.text[0] = 0;
}

/* Content-Range is "bytes FIRST-LAST/LENGTH", in a refusal with a star for the range; the length may be a star, too. */
static inline void shardio_http_p_read_content_range(shardio_http_p_exchange *x)
{
    const char *at = x->range.text;
    x->has_range = x->has_total = false;
    if (strncmp(at, "bytes ", 6) != 0) return;
    at += 6;
    if (*at == '*') {
        at++;
    } else {
        if (!shardio_http_p_number(&at, &x->range_first) || *at++ != '-') return;
        if (!shardio_http_p_number(&at, &x->range_last) || x->range_last < x->range_first) return;
        x->has_range = true;
    }
    if (*at++ != '/') x->has_range = false;
    else x->has_total = shardio_http_p_number(&at, &x->range_total) && *at == 0;
}

static inline size_t shardio_http_p_take_header(char *line, size_t one, size_t size, void *context)
{
    shardio_http_p_exchange *x = (shardio_http_p_exchange *)context;
    size *= one;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) shardio_http_p_forget_answer(x);
    x->head_bytes += size;
    if (x->head_bytes > SHARDIO_HTTP_P_HEAD) return 0;
    if (x->judged) return size;                          /* what comes behind the body changes nothing */
    shardio_http_p_keep(line, size, "etag:", &x->etag);
    shardio_http_p_keep(line, size, "last-modified:", &x->modified);
    shardio_http_p_keep(line, size, "content-range:", &x->range);
    shardio_http_p_keep(line, size, "content-length:", &x->length);
    shardio_http_p_keep(line, size, "content-encoding:", &x->encoding);
    shardio_http_p_keep(line, size, "retry-after:", &x->retry_after);
    return size;
}

/* -- what an answer means */

static inline void shardio_http_p_say(shardio_http_p_exchange *x, shardio_status verdict, const char *reason)
{
    x->verdict = verdict;
    x->reason = reason;
    x->code = (int)x->status;
}

static inline bool shardio_http_p_is_strong(const char *etag)
{
    const size_t n = strlen(etag);
    return n >= 2 && etag[0] == '"' && etag[n - 1] == '"';
}

/* What tells the object's states apart: the strong ETag, the Last-Modified, or nothing. */
static inline const char *shardio_http_p_validator(const shardio_http_p_exchange *x)
{
    if (shardio_http_p_is_strong(x->etag.text)) return x->etag.text;
    return strlen(x->modified.text) > 1 ? x->modified.text : "";
}

/* Which of the answer's headers is to be compared with the pin. */
static inline const char *shardio_http_p_against_pin(const shardio_http_p_exchange *x)
{
    return x->object->pin[0] == '"' ? x->etag.text : x->modified.text;
}

static inline bool shardio_http_p_is_another(const shardio_http_p_exchange *x)
{
    const char *pin = x->object->pin, *now = shardio_http_p_against_pin(x);
    return pin[0] != 0 && now[0] != 0 && strcmp(pin, now) != 0;
}

static inline void shardio_http_p_judge_part(shardio_http_p_exchange *x)
{
    const shardio_http_p_object *object = x->object;
    const uint64_t first = x->first + x->got, last = x->first + x->size - 1;
    if (!x->has_range)
        shardio_http_p_say(x, SHARDIO_ERR_IO, "the server does not say which range it sends (Content-Range)");
    else if (!x->has_total)
        shardio_http_p_say(x, SHARDIO_ERR_IO, "the server does not say how long the object is (Content-Range)");
    else if (x->kind == SHARDIO_HTTP_P_ASK_FIRST) {
        if (x->range_first != 0 || x->range_total <= x->range_last ||
            x->range_last != (last < x->range_total ? last : x->range_total - 1))
            shardio_http_p_say(x, SHARDIO_ERR_IO, "the server sends another range than it was asked for");
        else x->size = (size_t)(x->range_last + 1);
    }
    else if (shardio_http_p_is_another(x))
        shardio_http_p_say(x, SHARDIO_ERR_CHANGED, "the object on the server is another one now");
    else if (x->range_total != object->length)
        shardio_http_p_say(x, SHARDIO_ERR_CHANGED, "the object on the server has another length");
    else if (x->range_first != first || x->range_last != last)
        shardio_http_p_say(x, SHARDIO_ERR_IO, "the server sends another range than it was asked for");
}

/* All of the object came, although a range of it was asked for. */
static inline void shardio_http_p_judge_whole(shardio_http_p_exchange *x)
{
    const shardio_http_p_object *object = x->object;
    const shardio_http_options *o = &object->http->options;
    const bool begins = x->kind == SHARDIO_HTTP_P_ASK_FIRST, told = !begins && object->pin[0] != 0;
    const uint64_t length = begins ? x->content_length : object->length;
    x->whole = true;
    x->skip = begins ? 0 : x->first + x->got;
    if (shardio_http_p_is_another(x) && !begins)
        shardio_http_p_say(x, SHARDIO_ERR_CHANGED, "the object on the server is another one now");
    else if (!begins && x->has_length && x->content_length != length)
        shardio_http_p_say(x, SHARDIO_ERR_CHANGED, "the object on the server has another length");
    else if (begins && !x->has_length)
        shardio_http_p_say(x, SHARDIO_ERR_UNSUPPORTED, "the server does not say how long the object is");
    else if (!o->whole && (x->first > 0 || length > x->size))
        shardio_http_p_say(x, SHARDIO_ERR_UNSUPPORTED, "the server sends whole objects only, no ranges");
    else if (told && shardio_http_p_against_pin(x)[0] == 0)
        shardio_http_p_say(x, SHARDIO_ERR_CHANGED, "the server does not say whether the object is still the same");
    else if (length > x->size && length > o->whole_limit)
        shardio_http_p_say(x, SHARDIO_ERR_LIMIT, "the server sends whole objects only, and this one is over the limit");
    else if (begins && length < x->size) x->size = (size_t)length;
}

static inline void shardio_http_p_judge_end(shardio_http_p_exchange *x)
{
    const shardio_http_p_object *object = x->object;
    const bool trusted = object->http->options.length_by == SHARDIO_HTTP_LENGTH_GIVEN;
    x->at_end = true;
    if (x->kind == SHARDIO_HTTP_P_ASK_FIRST) {
        x->size = 0;
        if (x->has_total && x->range_total != 0)
            shardio_http_p_say(x, SHARDIO_ERR_IO, "the server refuses a range that lies in the object");
    } else if (!trusted && x->has_total && x->range_total != object->length)
        shardio_http_p_say(x, SHARDIO_ERR_CHANGED, "the object on the server has another length");
}

static inline void shardio_http_p_judge_refusal(shardio_http_p_exchange *x)
{
    switch (x->status) {
    case 301: case 302: case 303: case 307: case 308:
        x->redirected = true;
        shardio_http_p_say(x, SHARDIO_ERR_IO, "the server redirects, but not to where");
        break;
    case 404: case 410: shardio_http_p_say(x, SHARDIO_ERR_NOT_FOUND, "the server has no such object"); break;
    case 401: shardio_http_p_say(x, SHARDIO_ERR_PERMISSION, "the server wants (other) credentials"); break;
    case 403: shardio_http_p_say(x, SHARDIO_ERR_PERMISSION, "the server refuses access"); break;
    case 407: shardio_http_p_say(x, SHARDIO_ERR_PERMISSION, "the proxy wants credentials"); break;
    case 429: shardio_http_p_say(x, SHARDIO_ERR_IO, "the server says that there are too many requests"); break;
    case 503: shardio_http_p_say(x, SHARDIO_ERR_IO, "the server is not available now"); break;
    default:
        shardio_http_p_say(x, SHARDIO_ERR_IO,
                           x->status >= 500 ? "the server failed" : "the server refuses the request");
        break;
    }
    x->transient = x->status == 429 || (x->status >= 500 && x->status != 501 && x->status != 505);
}

/* Once all header lines are there. */
static inline void shardio_http_p_judge(shardio_http_p_exchange *x)
{
    const char *at = x->length.text, *encoding = x->encoding.text;
    const bool fine = x->status == 200 || (x->status == 206 && x->kind != SHARDIO_HTTP_P_ASK_HEAD);
    x->judged = true;
    x->has_length = shardio_http_p_number(&at, &x->content_length) && *at == 0;
    shardio_http_p_read_content_range(x);
    if (x->status == 416 && x->kind != SHARDIO_HTTP_P_ASK_HEAD) shardio_http_p_judge_end(x);
    else if (!fine) shardio_http_p_judge_refusal(x);
    else if (encoding[0] != 0 && !curl_strequal(encoding, "identity"))
        shardio_http_p_say(x, SHARDIO_ERR_UNSUPPORTED, "the server sends the object compressed, although asked not to");
    else if (x->status == 206) shardio_http_p_judge_part(x);
    else if (x->kind != SHARDIO_HTTP_P_ASK_HEAD) shardio_http_p_judge_whole(x);
    const bool first_told = x->kind == SHARDIO_HTTP_P_ASK_RANGE && x->object->pin[0] == 0;
    if (first_told && x->verdict == SHARDIO_OK) strcpy(x->object->pin, shardio_http_p_validator(x));
}

/* -- one request */

static inline size_t shardio_http_p_take(char *data, size_t one, size_t size, void *context)
{
    shardio_http_p_exchange *x = (shardio_http_p_exchange *)context;
    size *= one;
    x->object->http->options.counters->bytes += size;
    if (!x->judged) {
        curl_easy_getinfo(x->object->http->curl, CURLINFO_RESPONSE_CODE, &x->status);
        shardio_http_p_judge(x);
    }
    if (x->verdict != SHARDIO_OK || x->at_end) {
        x->dropped += size;
        return x->dropped <= (size_t)(x->redirected ? SHARDIO_HTTP_P_DROP_MOVED : SHARDIO_HTTP_P_DROP) ? size : 0;
    }
    const size_t skip = x->skip < size ? (size_t)x->skip : size, room = x->size - x->got, rest = size - skip;
    x->skip -= skip;
    memcpy(x->to + x->got, data + skip, rest < room ? rest : room);
    x->got += rest < room ? rest : room;
    if (rest <= room) return size;
    if (!x->whole) shardio_http_p_say(x, SHARDIO_ERR_IO, "the server sends more bytes than it was asked for");
    return 0;
}

static inline int shardio_http_p_ask_caller(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const shardio_http_options *o = (const shardio_http_options *)context;
    (void)a, (void)b, (void)c, (void)d;
    return o->cancelled != NULL && o->cancelled(o->cancelled_context) != 0;
}

static inline bool shardio_http_p_add_line(struct curl_slist **list, const char *name, const char *value)
{
    char *line = shardio_http_p_join(name, value);
    struct curl_slist *longer = line != NULL ? curl_slist_append(*list, line) : NULL;
    free(line);
    if (longer != NULL) *list = longer;
    return longer != NULL;
}

/* `ours`: it goes to where credentials may go. */
static inline bool shardio_http_p_lines(const shardio_http_p_exchange *x, bool ours, struct curl_slist **list)
{
    const shardio_http_options *o = &x->object->http->options;
    bool good = shardio_http_p_add_line(list, "Accept-Encoding: ", "identity");
    if (x->kind == SHARDIO_HTTP_P_ASK_RANGE && x->object->pin[0] != 0)
        good = good && shardio_http_p_add_line(list, "If-Range: ", x->object->pin);
    if (ours && o->bearer != NULL) good = good && shardio_http_p_add_line(list, "Authorization: Bearer ", o->bearer);
    for (const char *const *line = ours ? o->headers : NULL; line != NULL && *line != NULL; line++)
        good = good && shardio_http_p_add_line(list, "", *line);
    return good;
}

static inline int shardio_http_p_limits(CURL *curl, const shardio_http_options *o)
{
    int bad = 0;
    bad |= (int)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)o->connect_timeout);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)o->stall_timeout);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)o->stall_speed);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_PROXY, o->proxy != NULL ? o->proxy : "");
    if (o->ca_file != NULL) bad |= (int)curl_easy_setopt(curl, CURLOPT_CAINFO, o->ca_file);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)SHARDIO_HTTP_P_BUFFER);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, o->cancelled != NULL ? 0L : 1L);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, shardio_http_p_ask_caller);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)(uintptr_t)o);
    return bad;
}

static inline bool shardio_http_p_prepare(shardio_http_p_exchange *x, const char *url, bool ours,
                                          struct curl_slist *lines)
{
    CURL *curl = x->object->http->curl;
    const shardio_http_options *o = &x->object->http->options;
    char text[44];
    shardio_text range = {text, sizeof text, 0};
    curl_easy_reset(curl);
    int bad = shardio_http_p_limits(curl, o);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_URL, url);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
    if (ours && o->user_password != NULL) {
        bad |= (int)curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        bad |= (int)curl_easy_setopt(curl, CURLOPT_USERPWD, o->user_password);
    }
    if (x->kind == SHARDIO_HTTP_P_ASK_HEAD) {
        bad |= (int)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else {
        shardio_text_add_uint64(&range, x->first + x->got);
        shardio_text_add(&range, "-");
        shardio_text_add_uint64(&range, x->first + x->size - 1);
        bad |= (int)curl_easy_setopt(curl, CURLOPT_RANGE, text);
    }
    bad |= (int)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, shardio_http_p_take_header);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, shardio_http_p_take);
    bad |= (int)curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    return bad == 0;
}

/* Errors of the connection and the like, of which there is no HTTP status. */
static inline void shardio_http_p_judge_connection(shardio_http_p_exchange *x, CURLcode result)
{
    long number = 0;
    shardio_http_p_say(x, SHARDIO_ERR_IO, curl_easy_strerror(result));
    curl_easy_getinfo(x->object->http->curl, CURLINFO_OS_ERRNO, &number);
    x->code = result == CURLE_COULDNT_CONNECT ? (int)number : 0;
    switch (result) {
    case CURLE_COULDNT_CONNECT: case CURLE_OPERATION_TIMEDOUT: case CURLE_PARTIAL_FILE: case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR: case CURLE_RECV_ERROR: case CURLE_HTTP2: case CURLE_HTTP2_STREAM: x->transient = true; break;
    case CURLE_ABORTED_BY_CALLBACK:
        x->verdict = SHARDIO_ERR_CANCELLED;
        x->reason = NULL;
        break;
    case CURLE_OUT_OF_MEMORY: x->reason = "no memory, or a header line that is too long"; break;
    case CURLE_WRITE_ERROR: x->reason = "the server's header lines are too long"; break;
    default: break;
    }
}

static inline void shardio_http_p_settle(shardio_http_p_exchange *x, CURLcode result)
{
    const bool enough = x->judged && x->whole && x->got == x->size;
    if (!x->judged && result == CURLE_OK) shardio_http_p_judge(x);
    if (x->judged && x->verdict != SHARDIO_OK) return;
    if (result != CURLE_OK && !(result == CURLE_WRITE_ERROR && (enough || x->at_end))) {
        shardio_http_p_judge_connection(x, result);
    } else if (x->kind != SHARDIO_HTTP_P_ASK_HEAD && !x->at_end && x->got < x->size) {
        shardio_http_p_say(x, SHARDIO_ERR_IO, "the server sends fewer bytes than it says");
        x->transient = true;
    }
}

static inline void shardio_http_p_send(shardio_http_p_exchange *x, const char *url, bool ours)
{
    shardio_http *http = x->object->http;
    shardio_http_counters *counters = http->options.counters;
    struct curl_slist *lines = NULL;
    shardio_http_p_forget_answer(x);
    x->status = 0;
    x->head_bytes = x->dropped = 0;
    x->judged = x->redirected = x->whole = x->at_end = x->transient = false;
    shardio_http_p_say(x, SHARDIO_OK, NULL);
    if (shardio_http_p_lines(x, ours, &lines) && shardio_http_p_prepare(x, url, ours, lines)) {
        counters->requests++;
        const CURLcode result = curl_easy_perform(http->curl);
        curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &x->status);
        counters->status = x->status;
        counters->curl_code = (int)result;
        shardio_http_p_settle(x, result);
    } else {
        shardio_http_p_say(x, SHARDIO_ERR_MEMORY, "the request could not be made");
    }
    curl_slist_free_all(lines);
}

/* Where the answer redirects to, to be freed; null, and the verdict says why, if that is not followed. */
static inline char *shardio_http_p_next(shardio_http_p_exchange *x, const char *url, uint32_t hops, bool *ours)
{
    shardio_http *http = x->object->http;
    const char *to = NULL, *reason = NULL;
    char *next = NULL;
    curl_easy_getinfo(http->curl, CURLINFO_REDIRECT_URL, &to);
    if (to == NULL) return NULL;
    if (hops >= http->options.redirects) shardio_http_p_say(x, SHARDIO_ERR_IO, "the server redirects too often");
    else if (!shardio_http_p_may_follow(http, url, to, ours, &reason)) shardio_http_p_say(x, SHARDIO_ERR_IO, reason);
    else if ((next = shardio_http_p_join(to, "")) == NULL) shardio_http_p_say(x, SHARDIO_ERR_MEMORY, NULL);
    return next;
}

/* One try: the request, and those that it is redirected to. */
static inline void shardio_http_p_try(shardio_http_p_exchange *x)
{
    shardio_http_p_object *object = x->object;
    char *url = shardio_http_p_join(object->moved != NULL ? object->moved : object->url, ""), *next = url;
    const char *ignored;
    bool ours = false, permanent = true;
    uint32_t hops = 0;
    if (url == NULL || !shardio_http_p_may_follow(object->http, url, url, &ours, &ignored))
        shardio_http_p_say(x, SHARDIO_ERR_MEMORY, NULL);
    else shardio_http_p_send(x, url, ours);
    while (x->redirected && (next = shardio_http_p_next(x, url, hops++, &ours)) != NULL) {
        permanent = permanent && (x->status == 301 || x->status == 308);
        free(url);
        url = next;
        shardio_http_p_send(x, url, ours);
    }
    if (hops > 0 && permanent && x->verdict == SHARDIO_OK) {
        free(object->moved);
        object->moved = url;
        url = NULL;
    }
    free(url);
}

/* -- tries */

static inline void shardio_http_p_sleep(uint32_t milliseconds)
{
#ifdef _WIN32
    Sleep(milliseconds);
#else
    struct timeval time;
    time.tv_sec = (int)(milliseconds / 1000);
    time.tv_usec = (int)(milliseconds % 1000) * 1000;
    select(0, NULL, NULL, NULL, &time);
#endif
}

/* Milliseconds that the server wants us to wait, as a number of seconds or a date; 0: it does not say. */
static inline uint64_t shardio_http_p_wanted_wait(const char *text)
{
    const char *at = text;
    uint64_t seconds = 0;
    if (shardio_http_p_number(&at, &seconds) && *at == 0) return seconds < UINT32_MAX ? seconds * 1000 : UINT64_MAX;
    const time_t then = text[0] != 0 ? curl_getdate(text, NULL) : -1, now = time(NULL);
    return then > now ? (uint64_t)(then - now) * 1000 : 0;
}

/* Waits before the next try; false: there shall be none, and the verdict says why. */
static inline bool shardio_http_p_wait(shardio_http_p_exchange *x, uint32_t tries)
{
    shardio_http *http = x->object->http;
    const shardio_http_options *o = &http->options;
    const uint64_t wanted = shardio_http_p_wanted_wait(x->retry_after.text);
    uint64_t delay = o->retry_delay;
    for (uint32_t i = 1; i < tries && delay < o->retry_longest; i++) delay *= 2;
    if (delay > o->retry_longest) delay = o->retry_longest;
    http->random = http->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    delay -= (http->random >> 33) % (delay / 2 + 1);
    if (wanted > o->retry_longest) {
        x->reason = "the server wants us to wait longer than the options allow";
        return false;
    }
    for (delay = delay > wanted ? delay : wanted; delay > 0;) {
        const uint32_t slice = delay < SHARDIO_HTTP_P_SLICE ? (uint32_t)delay : (uint32_t)SHARDIO_HTTP_P_SLICE;
        if (o->cancelled != NULL && o->cancelled(o->cancelled_context) != 0) {
            shardio_http_p_say(x, SHARDIO_ERR_CANCELLED, NULL);
            return false;
        }
        shardio_http_p_sleep(slice);
        delay -= slice;
    }
    return true;
}

static inline shardio_status shardio_http_p_fetch(shardio_http_p_exchange *x, shardio_error *error)
{
    const shardio_http_options *o = &x->object->http->options;
    const size_t size = x->size;
    for (uint32_t tries = 1;; tries++) {
        if (x->kind == SHARDIO_HTTP_P_ASK_FIRST) {       /* begins anew, since the first answer says how long it is */
            x->size = size;
            x->got = 0;
        }
        shardio_http_p_try(x);
        if (!x->transient || tries >= o->tries || !shardio_http_p_wait(x, tries)) break;
        o->counters->retries++;
    }
    /* what came before the last try failed is good; the next read goes on from there */
    if (x->transient && x->kind == SHARDIO_HTTP_P_ASK_RANGE && x->got > 0 && x->verdict == SHARDIO_ERR_IO)
        return shardio_http_p_good(error);
    if (x->verdict == SHARDIO_OK) return shardio_http_p_good(error);
    const bool looks = x->kind != SHARDIO_HTTP_P_ASK_RANGE;
    return shardio_http_p_fail(error, x->verdict, looks ? "look at" : "fetch", x->object->name,
                               looks ? SHARDIO_NO_OFFSET : x->first, x->code, x->reason);
}

/* -- the source */

static inline void shardio_http_p_begin(shardio_http_p_exchange *x, shardio_http_p_object *object,
                                        shardio_http_p_kind kind)
{
    memset(x, 0, sizeof *x);
    x->object = object;
    x->kind = kind;
}

static inline void shardio_http_p_learn(shardio_http_p_object *object, const shardio_http_p_exchange *x,
                                        uint64_t length)
{
    object->known = true;
    object->length = length;
    strcpy(object->tag, shardio_http_p_validator(x));
    strcpy(object->pin, object->tag);
}

static inline void shardio_http_p_drop_kept(shardio_http_p_object *object)
{
    free(object->kept);
    object->kept = NULL;
    object->kept_size = 0;
}

static inline shardio_status shardio_http_p_look_by_get(shardio_http_p_object *object, shardio_error *error)
{
    shardio_http_p_exchange x;
    shardio_http_p_begin(&x, object, SHARDIO_HTTP_P_ASK_FIRST);
    x.size = object->http->options.first;
    x.to = (uint8_t *)malloc(x.size);
    if (x.to == NULL)
        return shardio_http_p_fail(error, SHARDIO_ERR_MEMORY, "look at", object->name, SHARDIO_NO_OFFSET, 0, NULL);
    const shardio_status status = shardio_http_p_fetch(&x, error);
    if (status != SHARDIO_OK || x.got == 0) {
        free(x.to);
    } else {
        uint8_t *smaller = (uint8_t *)realloc(x.to, x.got);
        object->kept = smaller != NULL ? smaller : x.to;
        object->kept_size = x.got;
    }
    const uint64_t length = x.at_end ? 0 : x.whole ? x.content_length : x.range_total;
    if (status == SHARDIO_OK) shardio_http_p_learn(object, &x, length);
    return status;
}

static inline shardio_status shardio_http_p_look_by_head(shardio_http_p_object *object, shardio_error *error)
{
    shardio_http_p_exchange x;
    shardio_http_p_begin(&x, object, SHARDIO_HTTP_P_ASK_HEAD);
    const shardio_status status = shardio_http_p_fetch(&x, error);
    const bool none = x.status == 405 || x.status == 501 || (status == SHARDIO_OK && !x.has_length);
    if (none) return shardio_http_p_look_by_get(object, error);
    if (status == SHARDIO_OK) shardio_http_p_learn(object, &x, x.content_length);
    return status;
}

static inline shardio_status shardio_http_p_look(shardio_http_p_object *object, shardio_error *error)
{
    const shardio_http_options *o = &object->http->options;
    shardio_http_p_drop_kept(object);
    if (o->length_by == SHARDIO_HTTP_LENGTH_HEAD) return shardio_http_p_look_by_head(object, error);
    if (o->length_by == SHARDIO_HTTP_LENGTH_GET) return shardio_http_p_look_by_get(object, error);
    object->known = true;
    object->length = o->length;
    return shardio_http_p_good(error);
}

static inline shardio_status shardio_http_p_about(void *context, shardio_source_facts *facts, shardio_error *error)
{
    shardio_http_p_object *object = (shardio_http_p_object *)context;
    const shardio_status status = shardio_http_p_look(object, error);
    if (status != SHARDIO_OK) return status;
    facts->length = object->length;
    strcpy(facts->tag, object->tag);
    return SHARDIO_OK;
}

static inline size_t shardio_http_p_read_kept(shardio_http_p_object *object, uint64_t offset, void *data, size_t size)
{
    const size_t there = object->kept_size - (size_t)offset, n = there < size ? there : size;
    memcpy(data, object->kept + (size_t)offset, n);
    if (n == there) shardio_http_p_drop_kept(object);
    return n;
}

static inline shardio_status shardio_http_p_read(void *context, uint64_t offset, void *data, size_t size, size_t *done,
                                                 shardio_error *error)
{
    shardio_http_p_object *object = (shardio_http_p_object *)context;
    shardio_http_p_exchange x;
    *done = 0;
    const shardio_status known = object->known ? shardio_http_p_good(error) : shardio_http_p_look(object, error);
    if (known != SHARDIO_OK || offset >= object->length || size == 0) return known;
    if (offset < object->kept_size) {
        *done = shardio_http_p_read_kept(object, offset, data, size);
        return SHARDIO_OK;
    }
    shardio_http_p_begin(&x, object, SHARDIO_HTTP_P_ASK_RANGE);
    x.first = offset;
    x.size = object->length - offset < size ? (size_t)(object->length - offset) : size;
    x.to = (uint8_t *)data;
    const shardio_status status = shardio_http_p_fetch(&x, error);
    *done = status == SHARDIO_OK ? x.got : 0;
    return status;
}

static inline void shardio_http_end(shardio_http *http);

static inline void shardio_http_p_close(void *context)
{
    shardio_http_p_object *object = (shardio_http_p_object *)context;
    if (object->owns_http) {
        shardio_http_end(object->http);
        free(object->http);
    }
    shardio_http_p_drop_kept(object);
    free(object->url);
    free(object->name);
    free(object->moved);
    free(object);
}

/* Takes `url`, which may be null: out of memory. */
static inline shardio_status shardio_http_p_source(shardio_http *http, char *url, shardio_source *source,
                                                   shardio_error *error)
{
    static const shardio_source_functions functions = {shardio_http_p_about, shardio_http_p_read, NULL,
                                                       shardio_http_p_close};
    shardio_http_p_object *object = (shardio_http_p_object *)calloc(1, sizeof *object);
    if (object != NULL) {
        object->http = http;
        object->url = url;
        object->name = url != NULL ? shardio_http_p_join(url, "") : NULL;
    }
    if (object == NULL || object->name == NULL) {
        free(object);
        free(url);
        return shardio_http_p_fail(error, SHARDIO_ERR_MEMORY, "open", http->url, SHARDIO_NO_OFFSET, 0, NULL);
    }
    object->name[strcspn(object->name, "?#")] = 0;
    source->functions = &functions;
    source->context = object;
    source->name = object->name;
    return shardio_http_p_good(error);
}

static inline void shardio_http_p_defaults(shardio_http_options *o)
{
    if (o->connect_timeout == 0) o->connect_timeout = 20;
    if (o->stall_timeout == 0) o->stall_timeout = 30;
    if (o->stall_speed == 0) o->stall_speed = 1;
    if (o->tries == 0) o->tries = 5;
    if (o->retry_delay == 0) o->retry_delay = 500;
    if (o->retry_longest == 0) o->retry_longest = 30000;
    if (o->redirects == 0) o->redirects = 5;
    if (o->redirects == SHARDIO_HTTP_NONE) o->redirects = 0;
    if (o->first == 0) o->first = 64 << 10;
    if (o->whole_limit == 0) o->whole_limit = 64 << 20;
}

/* ---- what is called ---------------------------------------------------------------------------------------------- */

/* Begins a client, without a request. End it with shardio_http_end, after its sources and if this failed, too. */
static inline shardio_status shardio_http_begin(shardio_http *http, const char *url,
                                                const shardio_http_options *options, shardio_error *error)
{
    const char *reason;
    memset(http, 0, sizeof *http);
    if (options != NULL) http->options = *options;
    shardio_http_p_defaults(&http->options);
    if (http->options.counters == NULL) http->options.counters = &http->counters;
    http->random = (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)http;
    http->home = shardio_http_p_parse(url, &reason);
    if (http->home == NULL) {
        /* without the URL, which may hold a password */
        return shardio_http_p_fail(error, SHARDIO_ERR_ARGUMENT, "open URL", NULL, SHARDIO_NO_OFFSET, 0, reason);
    }
    http->url = shardio_http_p_join(url, "");
    http->curl = curl_easy_init();
    if (http->url == NULL || http->curl == NULL)
        return shardio_http_p_fail(error, SHARDIO_ERR_MEMORY, "open URL", NULL, SHARDIO_NO_OFFSET, 0, NULL);
    return shardio_http_p_good(error);
}

static inline void shardio_http_end(shardio_http *http)
{
    curl_easy_cleanup(http->curl);
    curl_url_cleanup(http->home);
    free(http->url);
    memset(http, 0, sizeof *http);
}

/* A source for the object at a URL, with a client of its own. No request is made yet: what is wrong with the object
   shows when the mirror asks about it. */
static inline shardio_status shardio_http_open(shardio_source *source, const char *url,
                                               const shardio_http_options *options, shardio_error *error)
{
    shardio_http *http = (shardio_http *)malloc(sizeof *http);
    memset(source, 0, sizeof *source);
    if (http == NULL)
        return shardio_http_p_fail(error, SHARDIO_ERR_MEMORY, "open URL", NULL, SHARDIO_NO_OFFSET, 0, NULL);
    shardio_status status = shardio_http_begin(http, url, options, error);
    if (status == SHARDIO_OK) status = shardio_http_p_source(http, shardio_http_p_join(url, ""), source, error);
    if (status == SHARDIO_OK) {
        ((shardio_http_p_object *)source->context)->owns_http = true;
        return status;
    }
    shardio_http_end(http);
    free(http);
    return status;
}

/* A source for the object at the client's URL with "/" and a key behind it: the `find` of a shardio_mirror_store, whose
   context the client is. The sources share its connection. With SHARDIO_HTTP_LENGTH_GET a small value takes one
   request. */
static inline shardio_status shardio_http_find(void *client, const char *key, shardio_source *source,
                                               shardio_error *error)
{
    shardio_http *http = (shardio_http *)client;
    memset(source, 0, sizeof *source);
    return shardio_http_p_source(http, shardio_http_p_url_of(http->url, key), source, error);
}

#ifdef __cplusplus
}
#endif

#endif /* SHARDIO_HTTP_SOURCE_H */
