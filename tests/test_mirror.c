/* Mirrors of an object that is far away: what is fetched, how often and in how many requests; what stays over a restart;
   what is refused; damaged maps; mirrors as files and as a store. Crashes, other processes and failing system calls are in
   test_mirror_crash.c, threads in test_mirror_threads.c. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include "mirrors.h"

#include <fcntl.h>
#include <sys/types.h>

enum { CHUNK = 512 };

static remote far;

static const char *map_of(const char *name)
{
    static char path[800];
    snprintf(path, sizeof path, "%s.shardio-map", rig_path(name));
    return path;
}

/* A new directory, and a new object. */
static void begin(uint64_t length)
{
    rig_new_directory();
    remote_make(&far, 1, length);
}

static shardio_mirror *open_with(remote *r, const char *name, const shardio_mirror_options *o, shardio_error *error)
{
    shardio_source source = remote_source(r, false);
    memset(error, 0, sizeof *error);
    shardio_mirror *m = shardio_mirror_open(&source, rig_path(name), o, error);
    CHECK((m == NULL) == (error->status != SHARDIO_OK));
    if (m == NULL) {
        CHECK_U64(r->closes, 1);
        CHECK(error->operation != NULL && error->subject[0] != 0);
    } else {
        CHECK_U64(r->closes, 0);
    }
    return m;
}

static shardio_mirror *open_plain(remote *r)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    shardio_mirror *m = open_with(r, "object", &o, &error);
    char text[300];
    if (!CHECK(m != NULL)) fprintf(stderr, "    %s\n", shardio_error_text(&error, text, sizeof text));
    return m;
}

static void end(shardio_mirror *m)
{
    shardio_error error;
    CHECK_OK(shardio_mirror_close(m, &error));
    CHECK_STATUS(error.status, SHARDIO_OK);
    CHECK_U64(far.closes, 1);
    CHECK_U64(far.wrong, 0);
}

/* The bytes of the local file and of its map, to look at them or to put them back. */
typedef struct both {
    uint8_t *data, *map;
    size_t data_size, map_size;
} both;

static both both_read(const char *name)
{
    both b;
    memset(&b, 0, sizeof b);
    b.data = rig_slurp(rig_path(name), &b.data_size);
    b.map = rig_slurp(map_of(name), &b.map_size);
    return b;
}

static void both_write(const both *b, const char *name)
{
    rig_put(rig_path(name), b->data, b->data_size);
    rig_put(map_of(name), b->map, b->map_size);
}

static void both_check(const both *b, const char *name)
{
    both now = both_read(name);
    CHECK_U64(now.data_size, b->data_size);
    CHECK_U64(now.map_size, b->map_size);
    if (now.data_size == b->data_size && now.data != NULL) CHECK_BYTES(now.data, b->data, b->data_size);
    if (now.map_size == b->map_size && now.map != NULL) CHECK_BYTES(now.map, b->map, b->map_size);
    free(now.data);
    free(now.map);
}

static void both_free(both *b)
{
    free(b->data);
    free(b->map);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

TEST(reads_any_range)
{
    static const struct { uint64_t offset; size_t size; } table[] = {
        {0, 1},       {0, 512},     {5, 37},       {511, 2},      {512, 512},     {1000, 3000}, {5119, 1},   {5120, 100},
        {5120, 101},  {5219, 1},    {5219, 1000},  {5220, 1},     {5221, 5},      {1 << 20, 7}, {0, 5220},   {0, 100000},
        {100, 0},     {5220, 0},    {UINT64_MAX, 1}, {UINT64_MAX - 3, 100}, {(uint64_t)1 << 63, 512},
    };
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            begin(10 * CHUNK + 100);
            shardio_mirror *m = open_plain(&far);
            if (m == NULL) return;
            CHECK_READ(m, &far, table[i].offset, table[i].size);
            if (again) {
                end(m);
                m = open_plain(&far);
                remote_forget(&far);
            }
            CHECK_READ(m, &far, table[i].offset, table[i].size);
            if (again) CHECK_U64(far.requests, 0);
            end(m);
        }
    }
}

/* Objects of all lengths around a chunk, an empty one among them. */
TEST(lengths)
{
    static const uint64_t lengths[] = {0, 1, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        shardio_error error;
        struct stat facts;
        begin(lengths[i]);
        for (int again = 0; again < 2; again++) {
            shardio_mirror *m = open_plain(&far);
            if (m == NULL) return;
            CHECK_U64(shardio_mirror_about(m).length, lengths[i]);
            CHECK_U64(shardio_mirror_about(m).covered, again ? lengths[i] : 0);
            CHECK(shardio_mirror_has(m, 0, UINT64_MAX) == (again || lengths[i] == 0));
            CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
            CHECK_READ(m, &far, 0, (size_t)lengths[i] + 10);
            CHECK_READ(m, &far, lengths[i], 10);
            CHECK_U64(shardio_mirror_about(m).covered, lengths[i]);
            CHECK_U64(shardio_mirror_about(m).extents, lengths[i] > 0);
            CHECK_OK(shardio_mirror_seek(m, lengths[i], &error));
            CHECK_STATUS(shardio_mirror_seek(m, lengths[i] + 1, &error), SHARDIO_ERR_ARGUMENT);
            end(m);
        }
        CHECK_U64(far.got, lengths[i]);
        CHECK(stat(rig_path("object"), &facts) == 0 && (uint64_t)facts.st_size == lengths[i]);
    }
}

/* sparseio: what was fetched once is not fetched again, and a read of one byte takes the chunk around it and no more. */
TEST(fetches_once)
{
    begin(64 * CHUNK);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_READ(m, &far, 17 * CHUNK + 17, 1);
    CHECK_U64(far.requests, 1);
    CHECK_U64(far.log[0].offset, 17 * CHUNK);
    CHECK_U64(far.log[0].size, CHUNK);
    CHECK_COVERAGE(m, "17+1");
    CHECK_U64(shardio_mirror_about(m).hits, 0);
    CHECK_READ(m, &far, 17 * CHUNK, CHUNK);
    CHECK_READ(m, &far, 17 * CHUNK + 500, 12);
    CHECK_U64(far.requests, 1);
    CHECK_U64(shardio_mirror_about(m).hits, 2);
    CHECK_READ(m, &far, 16 * CHUNK + 3, 2 * CHUNK);        /* on both sides of what is there */
    CHECK_U64(far.got, 3 * CHUNK);
    CHECK_COVERAGE(m, "16+3");
    CHECK_U64(shardio_mirror_about(m).fetched, far.got);
    CHECK_U64(shardio_mirror_about(m).requests, far.requests + far.abouts);
    CHECK_U64(shardio_mirror_about(m).hits, 2);
    end(m);
    m = open_plain(&far);
    remote_forget(&far);
    CHECK_READ(m, &far, 16 * CHUNK, 3 * CHUNK);
    CHECK_U64(far.requests, 0);
    CHECK_U64(shardio_mirror_about(m).fetched, 0);
    CHECK_U64(shardio_mirror_about(m).hits, 1);
    end(m);
}

TEST(cursor)
{
    uint8_t data[8000];
    size_t done = 0;
    shardio_error error;
    begin(10 * CHUNK + 3);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_OK(shardio_mirror_next(m, data, 40, &done, &error));
    CHECK(done == 40 && remote_same(&far, 0, data, 40));
    CHECK_OK(shardio_mirror_next(m, data, 1000, &done, &error));
    CHECK(done == 1000 && remote_same(&far, 40, data, 1000));
    CHECK_READ(m, &far, 3000, 100);                        /* a read beside the cursor does not move it */
    CHECK_OK(shardio_mirror_next(m, data, 0, &done, &error));
    CHECK_U64(done, 0);
    CHECK_OK(shardio_mirror_next(m, data, 4, &done, &error));
    CHECK(done == 4 && remote_same(&far, 1040, data, 4));
    CHECK_STATUS(shardio_mirror_seek(m, 10 * CHUNK + 4, &error), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_mirror_seek(m, UINT64_MAX, &error), SHARDIO_ERR_ARGUMENT);
    CHECK_OK(shardio_mirror_next(m, data, 4, &done, &error));
    CHECK(done == 4 && remote_same(&far, 1044, data, 4));  /* nor does a seek that fails */
    CHECK_OK(shardio_mirror_seek(m, 10 * CHUNK, &error));
    CHECK_OK(shardio_mirror_next(m, data, 100, &done, &error));
    CHECK(done == 3 && remote_same(&far, 10 * CHUNK, data, 3));
    CHECK_OK(shardio_mirror_next(m, data, 100, &done, &error));
    CHECK_U64(done, 0);
    CHECK_OK(shardio_mirror_seek(m, 10 * CHUNK + 3, &error));   /* the end itself */
    CHECK_OK(shardio_mirror_next(m, data, 100, &done, &error));
    CHECK_U64(done, 0);
    CHECK_OK(shardio_mirror_seek(m, 5, &error));
    far.fail_at = far.requests + 1;
    CHECK_STATUS(shardio_mirror_next(m, data, 8000, &done, &error), SHARDIO_ERR_IO);
    far.fail_at = 0;
    CHECK_OK(shardio_mirror_next(m, data, 10, &done, &error));
    CHECK(done == 10 && remote_same(&far, 5, data, 10));   /* nor a read that fails */
    end(m);
}

/* ---- requests ------------------------------------------------------------------------------------------------ */

/* Chunks side by side are one request, up to its limit. */
TEST(requests_are_joined)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(64 * CHUNK - 7);
    o.request = 16 * CHUNK;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_OK(shardio_mirror_prefetch(m, 0, UINT64_MAX, &error));
    CHECK_U64(far.requests, 4);
    for (size_t i = 0; i < far.logged && i < 4; i++) CHECK_U64(far.log[i].offset, 16 * CHUNK * i);
    CHECK_U64(far.got, far.length);
    CHECK_OK(shardio_mirror_prefetch(m, 0, far.length, &error));
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_U64(far.requests, 4);
    CHECK_OK(shardio_mirror_evict(m, 0, far.length, &error));
    remote_forget(&far);
    CHECK_READ(m, &far, 10 * CHUNK + 1, 10 * CHUNK);       /* eleven chunks */
    CHECK_U64(far.requests, 1);
    CHECK_READ(m, &far, 0, 64 * CHUNK);                    /* ten before them, 43 behind */
    CHECK_U64(far.requests, 1 + 1 + 3);
    CHECK_U64(far.got, far.length);
    end(m);

    begin(64 * CHUNK);                                     /* a limit below the chunk is a chunk */
    o.chunk = 4096;
    o.request = 1;
    m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_OK(shardio_mirror_prefetch(m, 4095, 2, &error));
    CHECK_U64(far.requests, 2);
    CHECK_COVERAGE(m, "0+2");
    CHECK_OK(shardio_mirror_prefetch(m, far.length, 100, &error));
    CHECK_OK(shardio_mirror_prefetch(m, 100, 0, &error));
    CHECK_U64(far.requests, 2);
    end(m);
}

/* What lies between two gaps is fetched again if that spares a request and it is not too much. */
TEST(small_gaps_are_fetched_again)
{
    static const struct { uint64_t gap, there, requests, bytes; } table[] = {
        {0, 1, 2, 7 * CHUNK}, {CHUNK - 1, 1, 2, 7 * CHUNK}, {CHUNK, 1, 1, 8 * CHUNK}, {CHUNK, 2, 2, 6 * CHUNK},
        {2 * CHUNK, 2, 1, 8 * CHUNK},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        begin(64 * CHUNK);
        o.gap = table[i].gap;
        shardio_mirror *m = open_with(&far, "object", &o, &error);
        if (m == NULL) return;
        CHECK_READ(m, &far, 3 * CHUNK, (size_t)table[i].there * CHUNK);
        remote_forget(&far);
        CHECK_READ(m, &far, 0, 8 * CHUNK);
        CHECK_U64(far.requests, table[i].requests);
        CHECK_U64(far.got, table[i].bytes);
        CHECK_COVERAGE(m, "0+8");
        end(m);
    }
    shardio_mirror_options o = plain_options();            /* a gap is no reason to fetch what follows it, */
    shardio_error error;
    begin(64 * CHUNK);
    o.gap = 8 * CHUNK;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_READ(m, &far, 3 * CHUNK, CHUNK);
    remote_forget(&far);
    CHECK_READ(m, &far, 2 * CHUNK, 2 * CHUNK);             /* nor what is there at the end */
    CHECK_U64(far.got, CHUNK);
    end(m);
}

/* A source that can do it gets several ranges at once. */
TEST(several_ranges_in_one_request)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    shardio_source source;
    begin(64 * CHUNK - 100);
    source = remote_source(&far, true);
    shardio_mirror *m = shardio_mirror_open(&source, rig_path("object"), &o, &error);
    if (!CHECK(m != NULL)) return;
    for (uint64_t i = 0; i < 64; i += 2) CHECK_READ(m, &far, i * CHUNK, 10);
    CHECK_U64(far.requests, 32);
    remote_forget(&far);
    CHECK_READ(m, &far, 10 * CHUNK, 11 * CHUNK);           /* five gaps of a chunk */
    CHECK_U64(far.requests, 1);
    CHECK_U64(far.ranges, 5);
    CHECK_U64(far.got, 5 * CHUNK);
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_U64(far.got, 32 * CHUNK - 100);
    CHECK(far.requests <= 3);
    CHECK_READ(m, &far, 0, 64 * CHUNK);
    end(m);

    begin(64 * CHUNK);                                     /* the limit holds for all ranges of a request together */
    o.request = 4 * CHUNK;
    source = remote_source(&far, true);
    m = shardio_mirror_open(&source, rig_path("object"), &o, &error);
    if (!CHECK(m != NULL)) return;
    for (uint64_t i = 0; i < 64; i += 2) CHECK_READ(m, &far, i * CHUNK, 10);
    remote_forget(&far);
    CHECK_READ(m, &far, 0, 64 * CHUNK);
    CHECK_U64(far.got, 32 * CHUNK);
    CHECK(far.requests >= 8 && far.requests <= 32);
    for (size_t i = 0, sum = 0; i < far.logged; i++) {
        sum = (far.log[i].more ? sum : 0) + (size_t)far.log[i].size;
        if (!CHECK(sum <= 4 * CHUNK)) break;
    }
    far.fail_at = far.requests + 1;                        /* and they fail together, and can be tried again */
    CHECK_OK(shardio_mirror_evict(m, 0, far.length, &error));
    for (uint64_t i = 1; i < 8; i += 2) {
        far.fail_at = 0;
        CHECK_READ(m, &far, i * CHUNK, 10);
    }
    far.fail_at = far.requests + 1;
    CHECK_STATUS(shardio_mirror_prefetch(m, 0, 8 * CHUNK, &error), SHARDIO_ERR_IO);
    CHECK_OK(shardio_mirror_prefetch(m, 0, 8 * CHUNK, &error));
    CHECK_READ(m, &far, 0, 8 * CHUNK);
    end(m);
}

/* A source may give less than it is asked for. */
TEST(short_reads)
{
    begin(64 * CHUNK - 100);
    far.shorten = 5;
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_READ(m, &far, 100, 9 * CHUNK);
    CHECK_READ(m, &far, 0, 64 * CHUNK);
    CHECK_U64(far.got, far.length);
    CHECK_COVERAGE(m, "0+64");
    end(m);
}

/* But nothing at all before the end is an error, and no data. */
TEST(nothing_before_the_end)
{
    shardio_error error;
    uint8_t data[4 * CHUNK];
    size_t done = 0;
    begin(64 * CHUNK);
    far.empty_at = 1;
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    shardio_status status = shardio_mirror_read(m, 0, data, sizeof data, &done, &error);
    CHECK(status == SHARDIO_ERR_TRUNCATED || status == SHARDIO_ERR_CHANGED);
    CHECK_STATUS(error.status, status);
    CHECK_COVERAGE(m, "");
    CHECK_READ(m, &far, 0, 4 * CHUNK);
    end(m);
}

/* Reading in order, the mirror reads ahead: more and more, up to the limit. */
TEST(reads_ahead)
{
    for (int turn = 0; turn < 4; turn++) {
        static uint8_t fetched[600];
        shardio_mirror_options o = plain_options();
        shardio_error error;
        uint8_t data[CHUNK];
        size_t done = 0;
        begin(512 * CHUNK - 9);
        memset(fetched, 0, sizeof fetched);
        far.fetched = fetched;
        far.chunk = CHUNK;
        o.read_ahead = turn < 2 ? 64 * CHUNK : turn == 2 ? 0 : SHARDIO_NO_OFFSET;
        shardio_mirror *m = open_with(&far, "object", &o, &error);
        if (m == NULL) return;
        for (uint64_t i = 0; i < 512; i++) {
            if (turn == 1) CHECK_READ(m, &far, i * CHUNK, CHUNK);
            else CHECK_OK(shardio_mirror_next(m, data, CHUNK, &done, &error));
            CHECK(turn == 1 || remote_same(&far, i * CHUNK, data, done));
            if (turn < 2) CHECK(far.got <= (i + 2 + 64) * CHUNK);        /* never further than allowed */
        }
        for (size_t i = 0; i < 512; i++) CHECK_U64(fetched[i], 1);
        if (turn == 3) CHECK_U64(far.requests, 512);
        else CHECK(far.requests <= 18);
        end(m);
    }
}

/* Reading here and there, it does not. */
TEST(reads_ahead_only_in_order)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(512 * CHUNK);
    o.read_ahead = 0;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    for (uint64_t i = 0; i < 20; i++) CHECK_READ(m, &far, (400 - 20 * i) * CHUNK + i, 100);
    CHECK_U64(far.got, 20 * CHUNK);
    CHECK_U64(far.requests, 20);
    for (uint64_t i = 0; i < 10; i++) CHECK_READ(m, &far, (410 + i) * CHUNK, CHUNK);
    remote_forget(&far);
    CHECK_READ(m, &far, 3 * CHUNK, CHUNK);                 /* what was in order before does not count any more */
    CHECK_U64(far.got, CHUNK);
    end(m);
}

/* ---- identity ------------------------------------------------------------------------------------------------ */

typedef enum other { OTHER_LENGTH, OTHER_TAG, OTHER_CHUNK, OTHER_NO_TAG, OTHERS } other;

/* The object changed, or is wanted in other chunks. */
static void make_other(remote *now, shardio_mirror_options *o, other what)
{
    *o = plain_options();
    remote_make(now, 2, 12 * CHUNK);
    if (what == OTHER_LENGTH) {
        now->length--;
        snprintf(now->tag, sizeof now->tag, "%s", far.tag);
    } else if (what == OTHER_NO_TAG) {
        now->tag[0] = 0;
    } else if (what == OTHER_CHUNK) {
        remote_make(now, 1, 12 * CHUNK);
        o->chunk = 2 * CHUNK;
    }
}

TEST(another_object_is_refused)
{
    for (int what = 0; what < OTHERS; what++) {
        shardio_mirror_options o;
        shardio_error error;
        remote now;
        begin(12 * CHUNK);
        shardio_mirror *m = open_plain(&far);
        if (m == NULL) return;
        CHECK_READ(m, &far, CHUNK, 3 * CHUNK);
        end(m);
        both before = both_read("object");
        make_other(&now, &o, (other)what);
        m = open_with(&now, "object", &o, &error);
        CHECK(m == NULL);
        CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
        (void)shardio_mirror_close(m, NULL);
        both_check(&before, "object");
        o.read_only = true;
        m = open_with(&now, "object", &o, &error);
        CHECK(m == NULL);
        CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
        (void)shardio_mirror_close(m, NULL);
        both_check(&before, "object");
        both_free(&before);
        m = open_plain(&far);                              /* the one it was is still welcome */
        if (m == NULL) return;
        CHECK_COVERAGE(m, "1+3");
        end(m);
    }
}

TEST(another_object_starts_over)
{
    for (int what = 0; what < OTHERS; what++) {
        shardio_mirror_options o;
        shardio_error error;
        struct stat facts;
        remote now;
        begin(12 * CHUNK);
        shardio_mirror *m = open_plain(&far);
        if (m == NULL) return;
        CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
        uint64_t generation = shardio_mirror_about(m).generation;
        end(m);
        make_other(&now, &o, (other)what);
        o.start_over = true;
        m = open_with(&now, "object", &o, &error);
        if (!CHECK(m != NULL)) return;
        CHECK_COVERAGE(m, "");
        CHECK_U64(shardio_mirror_about(m).chunk, o.chunk);
        CHECK_TEXT(shardio_mirror_about(m).tag, now.tag);
        CHECK(shardio_mirror_about(m).generation != generation);
        CHECK(!shardio_mirror_about(m).map_was_damaged);
        CHECK_READ(m, &now, 2 * CHUNK + 1, 3 * CHUNK);
        CHECK_READ(m, &now, 11 * CHUNK, 3 * CHUNK);
        CHECK_OK(shardio_mirror_close(m, &error));
        CHECK(stat(rig_path("object"), &facts) == 0 && (uint64_t)facts.st_size == now.length);
        m = open_with(&now, "object", &o, &error);         /* and goes on from there, start_over or not */
        if (!CHECK(m != NULL)) return;
        CHECK(shardio_mirror_about(m).covered > 0);
        remote_forget(&now);
        CHECK_READ(m, &now, 2 * CHUNK + 1, 3 * CHUNK);
        CHECK_U64(now.requests, 0);
        CHECK_OK(shardio_mirror_close(m, &error));
        o = plain_options();
        m = open_with(&far, "object", &o, &error);
        CHECK(m == NULL);
        CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
        (void)shardio_mirror_close(m, NULL);
    }
}

/* Without a tag the length alone has to do; with chunk 0 the mirror's chunk counts, and 64 KiB for a new one. */
TEST(the_same_object)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(100 * CHUNK);
    far.tag[0] = 0;
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, 1);
    CHECK_TEXT(shardio_mirror_about(m).tag, "");
    end(m);
    o.chunk = 0;
    m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_COVERAGE(m, "0+1");
    CHECK_U64(shardio_mirror_about(m).chunk, CHUNK);
    end(m);
    memset(far.tag, 'x', SHARDIO_MAX_TAG);                 /* the longest tag */
    for (int again = 0; again < 2; again++) {
        m = open_with(&far, "another", NULL, &error);
        if (!CHECK(m != NULL)) return;
        CHECK_U64(shardio_mirror_about(m).chunk, 65536);
        CHECK_TEXT(shardio_mirror_about(m).tag, far.tag);
        CHECK_U64(shardio_mirror_about(m).covered, again ? far.length : 0);
        CHECK_READ(m, &far, 5, 5);
        end(m);
    }
    far.tag[SHARDIO_MAX_TAG - 1] = 'y';
    CHECK(open_with(&far, "another", NULL, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
}

/* Asked only before the first fetch: if all is there, never. */
TEST(checked_later)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(12 * CHUNK);
    o.check_later = true;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, 3 * CHUNK);
    CHECK_U64(far.abouts, 1);
    end(m);
    remote_forget(&far);
    m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_U64(shardio_mirror_about(m).length, far.length);
    CHECK_READ(m, &far, 0, 3 * CHUNK);
    CHECK_U64(far.abouts + far.requests, 0);
    CHECK_READ(m, &far, 0, 4 * CHUNK);
    CHECK_READ(m, &far, 5 * CHUNK, 4 * CHUNK);
    CHECK_U64(far.abouts, 1);
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_U64(far.abouts, 1);
    CHECK_U64(far.got, 9 * CHUNK);
    end(m);
    remote_forget(&far);
    m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, 12 * CHUNK);
    CHECK_READ(m, &far, 100, 12 * CHUNK);
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_OK(shardio_mirror_prefetch(m, 0, UINT64_MAX, &error));
    CHECK_U64(far.closes, 0);
    CHECK_OK(shardio_mirror_close(m, &error));
    CHECK_U64(far.abouts + far.requests, 0);
}

/* What is found out later: that fetch fails, what is there stays what it was, and the next opening asks. Never two objects
   in one answer. */
TEST(changes_found_later)
{
    for (int start_over = 0; start_over < 2; start_over++) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        uint8_t data[4 * CHUNK];
        size_t done = 0;
        remote now;
        begin(12 * CHUNK);
        shardio_mirror *m = open_plain(&far);
        if (m == NULL) return;
        CHECK_READ(m, &far, 0, 3 * CHUNK);
        end(m);
        o.check_later = true;
        o.start_over = start_over != 0;
        remote_make(&now, 2, start_over ? 10 * CHUNK : 12 * CHUNK);
        m = open_with(&now, "object", &o, &error);
        if (!CHECK(m != NULL)) return;
        CHECK_U64(now.abouts, 0);
        CHECK_READ(m, &far, 0, 3 * CHUNK);                 /* all there: nobody asks */
        for (int again = 0; again < 2; again++) {
            CHECK_STATUS(shardio_mirror_read(m, CHUNK, data, 4 * CHUNK, &done, &error), SHARDIO_ERR_CHANGED);
            CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
            CHECK_STATUS(shardio_mirror_fill(m, NULL, NULL, &error), SHARDIO_ERR_CHANGED);
        }
        CHECK_U64(now.requests, 0);
        CHECK_READ(m, &far, 0, 3 * CHUNK);
        CHECK_COVERAGE(m, "0+3");
        (void)shardio_mirror_close(m, &error);
        CHECK_U64(now.closes, 1);
        m = open_with(&now, "object", &o, &error);         /* still to be checked later, but now it is known */
        if (start_over) {
            if (!CHECK(m != NULL)) return;
            CHECK_COVERAGE(m, "");
            CHECK_READ(m, &now, CHUNK, 4 * CHUNK);
            CHECK_OK(shardio_mirror_close(m, &error));
            remote_forget(&now);
            m = open_with(&now, "object", &o, &error);     /* and that is over then */
            if (!CHECK(m != NULL)) return;
            CHECK_READ(m, &now, CHUNK, 4 * CHUNK);
            CHECK_U64(now.abouts + now.requests, 0);
            CHECK_OK(shardio_mirror_close(m, &error));
        } else {
            CHECK(m == NULL);
            CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
            m = open_with(&far, "object", &o, &error);     /* it is what it was again */
            if (!CHECK(m != NULL)) return;
            CHECK_COVERAGE(m, "0+3");
            CHECK_READ(m, &far, 0, 12 * CHUNK);
            end(m);
        }
    }
}

/* A source notices by itself that the object is another one. */
TEST(a_source_that_notices)
{
    shardio_error error;
    uint8_t data[CHUNK];
    size_t done = 0;
    begin(12 * CHUNK);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, CHUNK);
    far.fail_at = 2;
    far.fail_on = true;
    far.fail_status = SHARDIO_ERR_CHANGED;
    CHECK_STATUS(shardio_mirror_read(m, CHUNK, data, CHUNK, &done, &error), SHARDIO_ERR_CHANGED);
    CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
    CHECK_COVERAGE(m, "0+1");
    end(m);
}

/* ---- coverage ------------------------------------------------------------------------------------------------ */

TEST(coverage)
{
    uint64_t offset = 0, size = 0;
    begin(20 * CHUNK + 5);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK(!shardio_mirror_next_extent(m, 0, &offset, &size));
    CHECK(shardio_mirror_has(m, 100, 0));
    CHECK(!shardio_mirror_has(m, 0, 1));
    CHECK_READ(m, &far, 3 * CHUNK, 2 * CHUNK);
    CHECK_READ(m, &far, 9 * CHUNK, 1);
    CHECK_READ(m, &far, 20 * CHUNK + 4, 1);
    CHECK_COVERAGE(m, "3+2 9+1 20+1");
    CHECK_U64(shardio_mirror_about(m).covered, 3 * CHUNK + 5);
    for (int again = 0; again < 2; again++) {
        CHECK(shardio_mirror_has(m, 3 * CHUNK, 2 * CHUNK));
        CHECK(shardio_mirror_has(m, 4 * CHUNK + 511, 1));
        CHECK(!shardio_mirror_has(m, 4 * CHUNK + 511, 2));
        CHECK(!shardio_mirror_has(m, 3 * CHUNK - 1, 2));
        CHECK(shardio_mirror_has(m, 20 * CHUNK, 5));
        CHECK(shardio_mirror_has(m, 20 * CHUNK, 600));     /* what lies beyond the end aside */
        CHECK(shardio_mirror_has(m, 20 * CHUNK, UINT64_MAX));
        CHECK(shardio_mirror_has(m, 21 * CHUNK, 100));
        CHECK(shardio_mirror_has(m, UINT64_MAX, UINT64_MAX));
        CHECK(!shardio_mirror_has(m, 20 * CHUNK - 1, UINT64_MAX));
        CHECK(!shardio_mirror_has(m, 0, UINT64_MAX));
        CHECK(shardio_mirror_next_extent(m, 4 * CHUNK, &offset, &size));   /* from the middle of one: what is left of it */
        CHECK(offset <= 4 * CHUNK && offset + size == 5 * CHUNK);
        CHECK(shardio_mirror_next_extent(m, 5 * CHUNK, &offset, &size));
        CHECK(offset == 9 * CHUNK && size == CHUNK);
        CHECK(shardio_mirror_next_extent(m, 10 * CHUNK, &offset, &size));
        CHECK(offset == 20 * CHUNK && size == 5);
        CHECK(!shardio_mirror_next_extent(m, 20 * CHUNK + 5, &offset, &size));
        CHECK(!shardio_mirror_next_extent(m, UINT64_MAX, &offset, &size));
        end(m);
        m = open_plain(&far);
        if (m == NULL) return;
        CHECK_COVERAGE(m, "3+2 9+1 20+1");
    }
    CHECK_READ(m, &far, 5 * CHUNK, 4 * CHUNK);             /* closes the gap */
    CHECK_COVERAGE(m, "3+7 20+1");
    end(m);
}

/* sparseio: what was read is in the local file at its place, the rest are zeros; all of it in the end. */
TEST(the_local_file)
{
    enum { LENGTH = 40 * 4096 + 1000 };
    static uint8_t served[LENGTH];
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(LENGTH);
    o.chunk = 4096;
    remote_bytes(&far, 0, served, LENGTH);
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, 4096);
    CHECK_READ(m, &far, 2 * 4096, 4096);
    CHECK_READ(m, &far, 30 * 4096 + 5, 2 * 4096);
    CHECK_OK(shardio_mirror_save(m, &error));
    both now = both_read("object");
    CHECK_U64(now.data_size, LENGTH);
    for (size_t i = 0, wrong = 0; i < now.data_size && wrong < 5; i++) {
        size_t chunk = i / 4096;
        bool there = chunk == 0 || chunk == 2 || (chunk >= 30 && chunk <= 32);
        if (!CHECK(now.data[i] == (there ? served[i] : 0))) wrong++;
    }
    both_free(&now);
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    end(m);
    now = both_read("object");
    CHECK_U64(now.data_size, LENGTH);
    if (now.data_size == LENGTH) CHECK_BYTES(now.data, served, LENGTH);
    both_free(&now);
    CHECK_U64(entries_below(rig_home), 2);                    /* "object" and "object.shardio-map" */
}

/* The map as the head of shardio.h describes it: at most a bit for each chunk, and the head. */
TEST(the_map)
{
    enum { CHUNKS = 1000 };
    shardio_error error;
    struct stat facts;
    begin((uint64_t)CHUNKS * CHUNK - 1);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    for (uint64_t i = 0; i < CHUNKS; i += 3) CHECK_OK(shardio_mirror_prefetch(m, i * CHUNK, 1, &error));
    CHECK_OK(shardio_mirror_save(m, &error));
    for (int closed = 0; closed < 2; closed++) {
        both now = both_read("object");
        map_view v = map_look(now.map, now.map_size);
        CHECK_U64(now.map_size, MAP_HEAD + strlen(far.tag) + CHUNKS / 8 + 4);
        CHECK(stat(map_of("object"), &facts) == 0);
        if (!closed) CHECK_U64(shardio_mirror_about(m).map_bytes, (uint64_t)facts.st_size);
        if (!closed) CHECK_U64(shardio_mirror_about(m).generation, v.generation);
        if (CHECK(v.valid)) {
            CHECK_U64(v.length, far.length);
            CHECK_U64(v.chunk, CHUNK);
            CHECK_TEXT(v.tag, far.tag);
            CHECK(!v.absent && v.saves > 0);
            CHECK_U64(map_number(now.map + 36, 4), 0);
            for (uint64_t i = 0; i < CHUNKS; i++) if (!CHECK(map_has(&v, i) == (i % 3 == 0))) break;
        }
        if (!closed) end(m);
        both_free(&now);
    }
}

typedef struct watched {
    uint64_t calls, stop_at, last, total, wrong;
} watched;

static int watch(void *context, uint64_t done, uint64_t total)
{
    watched *w = (watched *)context;
    if (done < w->last || done > total || (w->total != 0 && w->total != total)) w->wrong++;
    w->last = done;
    w->total = total;
    return ++w->calls == w->stop_at;
}

TEST(filling)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(64 * CHUNK - 10);
    o.request = 4 * CHUNK;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_READ(m, &far, 10 * CHUNK, 1);
    watched w;
    memset(&w, 0, sizeof w);
    w.stop_at = 6;
    CHECK_STATUS(shardio_mirror_fill(m, watch, &w, &error), SHARDIO_ERR_CANCELLED);
    CHECK_STATUS(error.status, SHARDIO_ERR_CANCELLED);
    uint64_t covered = shardio_mirror_about(m).covered;
    CHECK(covered > CHUNK && covered < far.length);
    both now = both_read("object");                        /* it is saved: a crash would leave it */
    map_view v = map_look(now.map, now.map_size);
    uint64_t saved = 0;
    for (uint64_t i = 0; v.valid && i < v.chunks; i++) saved += map_has(&v, i) ? (i == 63 ? CHUNK - 10 : CHUNK) : 0;
    CHECK_U64(saved, covered);
    both_free(&now);
    CHECK_U64(w.calls, 6);                                 /* not asked again after it said stop */
    CHECK_READ(m, &far, 0, 64);                            /* and nothing is poisoned */
    memset(&w, 0, sizeof w);
    CHECK_OK(shardio_mirror_fill(m, watch, &w, &error));
    CHECK(w.calls > 5 && w.wrong == 0);
    CHECK_U64(w.last, far.length);
    CHECK_U64(w.total, far.length);
    CHECK_U64(far.got, far.length);                        /* each chunk once */
    CHECK_COVERAGE(m, "0+64");
    remote_forget(&far);
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_READ(m, &far, 0, 64 * CHUNK);
    CHECK_U64(far.requests, 0);
    end(m);
}

TEST(filling_goes_on_after_errors)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(64 * CHUNK);
    o.request = 4 * CHUNK;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    far.fail_at = 7;
    far.fail_code = 1234;
    CHECK_STATUS(shardio_mirror_fill(m, NULL, NULL, &error), SHARDIO_ERR_IO);
    CHECK_U64(error.system_code, 1234);
    CHECK_TEXT(error.reason, "the line is dead");
    CHECK_COVERAGE(m, "0+24");
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_U64(far.got, far.length);
    end(m);
}

/* Every so many bytes the map is saved by itself. */
TEST(saves_by_itself)
{
    for (int often = 0; often < 2; often++) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        begin(512 * CHUNK);
        o.save_every = often ? 32 * CHUNK : SHARDIO_NO_OFFSET;
        shardio_mirror *m = open_with(&far, "object", &o, &error);
        if (m == NULL) return;
        for (uint64_t i = 0; i < 512; i++) CHECK_READ(m, &far, (i * 37 % 512) * CHUNK, 1);
        both now = both_read("object");
        map_view v = map_look(now.map, now.map_size);
        uint64_t saved = 0;
        for (uint64_t i = 0; v.valid && i < v.chunks; i++) saved += map_has(&v, i);
        if (often) CHECK(saved >= 512 - 32 && v.saves >= 15 && v.saves <= 18);
        else CHECK_U64(saved, 0);
        both_free(&now);
        end(m);
        m = open_plain(&far);
        if (m == NULL) return;
        CHECK_COVERAGE(m, "0+512");
        end(m);
    }
}

/* ---- eviction ------------------------------------------------------------------------------------------------ */

TEST(evicting_a_range)
{
    static const struct { uint64_t offset, size; const char *left; } table[] = {
        {0, 0, "0+16"},                      {100, 3 * CHUNK, "0+1 3+13"},      {CHUNK, CHUNK, "0+1 2+14"},
        {CHUNK + 1, CHUNK, "0+16"},          {CHUNK - 1, CHUNK, "0+16"},        {CHUNK - 1, CHUNK + 1, "0+1 2+14"},
        {15 * CHUNK, 100, "0+15"},           {15 * CHUNK, 99, "0+16"},          {15 * CHUNK + 1, 5000, "0+16"},
        {14 * CHUNK, UINT64_MAX, "0+14"},    {0, UINT64_MAX, ""},               {0, 15 * CHUNK + 100, ""},
        {20 * CHUNK, 100, "0+16"},           {UINT64_MAX, UINT64_MAX, "0+16"},  {0, 511, "0+16"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_error error;
        begin(15 * CHUNK + 100);
        shardio_mirror *m = open_plain(&far);
        if (m == NULL) return;
        CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
        uint64_t generation = shardio_mirror_about(m).generation;
        CHECK_OK(shardio_mirror_evict(m, table[i].offset, table[i].size, &error));
        CHECK_COVERAGE(m, table[i].left);
        bool changed = strcmp(table[i].left, "0+16") != 0;
        if (changed) CHECK(shardio_mirror_about(m).generation != generation);
        both now = both_read("object");                    /* the map says so already */
        map_view v = map_look(now.map, now.map_size);
        for (uint64_t k = 0; changed && v.valid && k < 16; k++)
            CHECK(!map_has(&v, k) || shardio_mirror_has(m, k * CHUNK, CHUNK));
        both_free(&now);
        uint64_t gone = far.length - shardio_mirror_about(m).covered;
        remote_forget(&far);
        CHECK_READ(m, &far, 0, 20 * CHUNK);
        CHECK_U64(far.got, gone);
        CHECK_OK(shardio_mirror_evict(m, table[i].offset, table[i].size, &error));
        end(m);
        m = open_plain(&far);
        if (m == NULL) return;
        CHECK_COVERAGE(m, table[i].left);
        CHECK_READ(m, &far, 0, 20 * CHUNK);
        end(m);
    }
}

/* sparseio: to delete what is not there is nothing. */
TEST(evicting_nothing)
{
    shardio_error error;
    begin(16 * CHUNK);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_OK(shardio_mirror_evict(m, 0, UINT64_MAX, &error));
    CHECK_OK(shardio_mirror_evict_to(m, 0, &error));
    CHECK_READ(m, &far, 2 * CHUNK, CHUNK);
    uint64_t generation = shardio_mirror_about(m).generation;
    CHECK_OK(shardio_mirror_evict(m, 3 * CHUNK, 5 * CHUNK, &error));
    CHECK_OK(shardio_mirror_evict_to(m, CHUNK, &error));
    CHECK_OK(shardio_mirror_evict_to(m, UINT64_MAX, &error));
    CHECK_U64(shardio_mirror_about(m).generation, generation);
    CHECK_COVERAGE(m, "2+1");
    remote_forget(&far);
    CHECK_READ(m, &far, 2 * CHUNK, CHUNK);
    CHECK_U64(far.requests, 0);
    end(m);
}

/* sparseio: what is evicted and written again at the same place is the last that was written. */
TEST(the_last_write_counts)
{
    shardio_error error;
    begin(16 * CHUNK);
    far.tag[0] = 0;
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, 16 * CHUNK);
    far.version = 2;                                       /* without a tag nobody notices */
    CHECK_OK(shardio_mirror_evict(m, 2 * CHUNK, 4 * CHUNK, &error));
    CHECK_READ(m, &far, 2 * CHUNK, 4 * CHUNK);
    far.version = 1;
    CHECK_READ(m, &far, 0, 2 * CHUNK);
    CHECK_READ(m, &far, 6 * CHUNK, 10 * CHUNK);
    end(m);
    m = open_plain(&far);
    if (m == NULL) return;
    CHECK_READ(m, &far, 6 * CHUNK, 10 * CHUNK);
    far.version = 2;
    CHECK_READ(m, &far, 2 * CHUNK, 4 * CHUNK);
    end(m);
}

TEST(evicting_what_was_not_used)
{
    shardio_error error;
    begin(16 * CHUNK);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    for (uint64_t i = 0; i < 16; i++) CHECK_READ(m, &far, i * CHUNK, CHUNK);
    CHECK_READ(m, &far, 3 * CHUNK + 5, 1);
    CHECK_READ(m, &far, 7 * CHUNK, CHUNK);
    uint64_t generation = shardio_mirror_about(m).generation;
    CHECK_OK(shardio_mirror_evict_to(m, 16 * CHUNK, &error));
    CHECK_U64(shardio_mirror_about(m).generation, generation);
    CHECK_OK(shardio_mirror_evict_to(m, 4 * CHUNK, &error));
    CHECK_COVERAGE(m, "3+1 7+1 14+2");
    CHECK(shardio_mirror_about(m).generation != generation);
    end(m);
    m = open_plain(&far);                                  /* what was used in earlier runs counts as not used */
    if (m == NULL) return;
    CHECK_READ(m, &far, 7 * CHUNK, 1);
    CHECK_READ(m, &far, 0, 1);
    CHECK_OK(shardio_mirror_evict_to(m, 3 * CHUNK - 1, &error));
    CHECK_COVERAGE(m, "0+1 7+1");
    CHECK_OK(shardio_mirror_evict_to(m, 1, &error));
    CHECK_COVERAGE(m, "");
    CHECK_READ(m, &far, 0, 16 * CHUNK);
    CHECK_OK(shardio_mirror_evict_to(m, 0, &error));
    CHECK_COVERAGE(m, "");
    CHECK_U64(shardio_mirror_about(m).covered, 0);
    CHECK_READ(m, &far, 0, 16 * CHUNK);
    end(m);
}

/* More chunks than the mirror tells apart: 1/65536 of the object is used together. */
TEST(evicting_from_many_chunks)
{
    enum { CHUNKS = 1 << 18 };
    shardio_error error;
    begin((uint64_t)CHUNKS * CHUNK);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    for (uint64_t i = 0; i < 8; i++) CHECK_READ(m, &far, i * 30000 * CHUNK, CHUNK);
    CHECK_READ(m, &far, 30000 * CHUNK, CHUNK);
    CHECK_OK(shardio_mirror_evict_to(m, 3 * CHUNK, &error));
    CHECK_COVERAGE(m, "30000+1 180000+1 210000+1");
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_READ(m, &far, 5000 * CHUNK, 10 * CHUNK);
    CHECK_OK(shardio_mirror_evict_to(m, 100 * CHUNK, &error));
    CHECK(shardio_mirror_about(m).covered <= 100 * CHUNK && shardio_mirror_about(m).covered > 50 * CHUNK);
    CHECK(shardio_mirror_has(m, 5000 * CHUNK, 10 * CHUNK));
    CHECK_READ(m, &far, 5000 * CHUNK, 100 * CHUNK);
    end(m);
}

static uint64_t allocated(const char *path)
{
    struct stat facts;
    return CHECK(stat(path, &facts) == 0) ? (uint64_t)facts.st_blocks * 512 : 0;
}

/* sparseio: far fewer blocks than a dense file. And what is evicted gives its blocks back. */
TEST(room_is_given_back)
{
    enum { LENGTH = 4 << 20, BIG = 65536 };
    shardio_mirror_options o = plain_options();
    shardio_error error;
    struct stat facts;
    begin(LENGTH);
    if (!holes_can_be_punched(rig_home)) LEAVE_OUT("the file system makes no holes");
    o.chunk = BIG;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, 1);
    CHECK_READ(m, &far, LENGTH - 1, 1);
    CHECK_OK(shardio_mirror_save(m, &error));
    CHECK(stat(rig_path("object"), &facts) == 0 && facts.st_size == LENGTH);
    CHECK(allocated(rig_path("object")) <= 4 * BIG);
    CHECK_U64(shardio_mirror_about(m).allocated, allocated(rig_path("object")));
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_OK(shardio_mirror_save(m, &error));
    CHECK(allocated(rig_path("object")) >= LENGTH);
    CHECK_OK(shardio_mirror_evict(m, 5, LENGTH / 2, &error));
    CHECK_COVERAGE(m, "0+1 32+32");
    CHECK(allocated(rig_path("object")) <= LENGTH / 2 + 2 * BIG);
    CHECK_U64(shardio_mirror_about(m).allocated, allocated(rig_path("object")));
    CHECK(stat(rig_path("object"), &facts) == 0 && facts.st_size == LENGTH);
    remote_forget(&far);
    CHECK_READ(m, &far, 0, BIG);
    CHECK_READ(m, &far, LENGTH / 2, LENGTH);
    CHECK_U64(far.requests, 0);
    CHECK_OK(shardio_mirror_evict_to(m, BIG, &error));
    CHECK(allocated(rig_path("object")) <= 3 * BIG);
    CHECK_READ(m, &far, 0, LENGTH);
    CHECK_OK(shardio_mirror_evict(m, 0, UINT64_MAX, &error));
    CHECK(allocated(rig_path("object")) <= BIG);
    end(m);
}

/* Chunks smaller than the blocks of the file system: nothing of a neighbour is lost, and where all of a block is gone
   by and by, its room is. */
TEST(room_of_small_chunks)
{
    shardio_error error;
    begin(256 * CHUNK);
    if (!holes_can_be_punched(rig_home)) LEAVE_OUT("the file system makes no holes");
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    CHECK_OK(shardio_mirror_save(m, &error));
    uint64_t full = allocated(rig_path("object"));
    CHECK_OK(shardio_mirror_evict(m, 5 * CHUNK, 200 * CHUNK, &error));
    CHECK(allocated(rig_path("object")) + 180 * CHUNK <= full);
    remote_forget(&far);
    CHECK_READ(m, &far, 0, 5 * CHUNK);
    CHECK_READ(m, &far, 205 * CHUNK, 51 * CHUNK);
    CHECK_U64(far.requests, 0);
    CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
    for (uint64_t i = 0; i < 256; i += 3) CHECK_OK(shardio_mirror_evict(m, i * CHUNK, CHUNK, &error));
    remote_forget(&far);
    for (uint64_t i = 1; i < 256; i += 3) CHECK_READ(m, &far, i * CHUNK, 2 * CHUNK - (i == 255) * CHUNK);
    CHECK_U64(far.requests, 0);
    end(m);
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

/* A mirror with chunks 0, 2, 5 and 10 of 10 and a bit, and rubbish where nothing was fetched. */
static both make_damageable(void)
{
    static const uint64_t chunks[] = {0, 2, 5, 10};
    begin(10 * CHUNK + 3);
    shardio_mirror *m = open_plain(&far);
    for (size_t i = 0; m != NULL && i < 4; i++) CHECK_READ(m, &far, chunks[i] * CHUNK, 1);
    if (m != NULL) end(m);
    both good = both_read("object");
    for (size_t i = 0; i < good.data_size; i++)
        if (i / CHUNK != 0 && i / CHUNK != 2 && i / CHUNK != 5 && i / CHUNK != 10) good.data[i] = 0xEE;
    return good;
}

/* Opens what was damaged: refused and left alone, or empty, and then right. */
static void check_damaged(const both *bad, bool read_only)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    both_write(bad, "object");
    o.read_only = read_only;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) {
        both_check(bad, "object");
        return;
    }
    CHECK(shardio_mirror_about(m).map_was_damaged);
    CHECK_COVERAGE(m, "");
    CHECK_READ(m, &far, 0, 11 * CHUNK);
    CHECK_OK(shardio_mirror_close(m, &error));
    if (read_only) {
        both_check(bad, "object");
        return;
    }
    m = open_with(&far, "object", &o, &error);             /* and is whole again */
    if (!CHECK(m != NULL)) return;
    CHECK(!shardio_mirror_about(m).map_was_damaged);
    CHECK_COVERAGE(m, "0+11");
    end(m);
}

TEST(damaged_maps)
{
    static const uint8_t masks[] = {1, 0x80, 0xFF};
    both good = make_damageable(), bad = good;
    if (!CHECK(good.map != NULL && good.data != NULL)) return;
    bad.map = (uint8_t *)malloc(good.map_size + 9);
    for (size_t i = 0; i < good.map_size; i++) {
        memcpy(bad.map, good.map, good.map_size);
        bad.map[i] ^= masks[i % 3];
        check_damaged(&bad, i % 7 == 0);
        if (test_failures > 0) break;
    }
    memcpy(bad.map, good.map, good.map_size);
    memset(bad.map + good.map_size, 0, 9);
    for (size_t cut = 0; cut < good.map_size + 9; cut = (size_t)test_next(cut)) {
        bad.map_size = cut;
        if (cut != good.map_size) check_damaged(&bad, cut % 7 == 0);
        if (test_failures > 0) break;
    }
    both_write(&good, "object");                           /* and the good one is good */
    shardio_mirror *m = open_plain(&far);
    if (m != NULL) {
        CHECK_COVERAGE(m, "0+1 2+1 5+1 10+1");
        CHECK_READ(m, &far, 0, 11 * CHUNK);
        end(m);
    }
    free(bad.map);
    both_free(&good);
}

/* Maps whose checksum is right, and that say what cannot be. */
TEST(maps_that_lie)
{
    static const struct { size_t at; uint8_t value; } table[] = {
        {4, 0}, {4, 2}, {5, 8}, {5, 10}, {5, 27}, {5, 63}, {5, 64}, {5, 255}, {6, 3}, {6, 255}, {7, 1}, {8, 4}, {9, 0}, {9, 21},
        {12, 1}, {15, 0x7F}, {15, 0xFF}, {32, 0}, {32, 3}, {32, 5}, {32, 255}, {33, 1}, {35, 0x80}, {36, 1}, {39, 1}, {40, 0},
    };
    both good = make_damageable(), bad = good;
    if (!CHECK(good.map != NULL && good.data != NULL)) return;
    bad.map = (uint8_t *)malloc(good.map_size);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        memcpy(bad.map, good.map, good.map_size);
        bad.map[table[i].at] = table[i].value;
        map_seal(bad.map, bad.map_size);
        if (memcmp(bad.map, good.map, good.map_size) == 0) continue;
        both_write(&bad, "object");
        shardio_mirror *m = open_with(&far, "object", &o, &error);
        if (m == NULL) {
            both_check(&bad, "object");
            continue;
        }
        CHECK_COVERAGE(m, "");
        CHECK_READ(m, &far, 0, 11 * CHUNK);
        end(m);
    }
    memcpy(bad.map, good.map, good.map_size);              /* bits behind the last chunk */
    bad.map[bad.map_size - 5] |= 0xF8;
    map_seal(bad.map, bad.map_size);
    both_write(&bad, "object");
    shardio_mirror_options o = plain_options();
    shardio_error error;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m != NULL) {
        CHECK(shardio_mirror_about(m).covered <= far.length);
        CHECK_READ(m, &far, 0, 11 * CHUNK);
        CHECK_COVERAGE(m, "0+11");
        end(m);
    }
    free(bad.map);
    both_free(&good);
}

/* The local file was cut, removed or emptied by somebody: nothing that is not there is taken for data. */
TEST(damaged_local_files)
{
    for (int how = 0; how < 4; how++) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        both good = make_damageable(), bad = good;
        if (!CHECK(good.map != NULL && good.data != NULL)) return;
        if (how == 0) bad.data_size = 3 * CHUNK;
        if (how == 1) bad.data_size = 0;
        if (how == 2) bad.data = NULL;
        if (how == 3) bad.data_size = good.data_size - 1;
        both_write(&bad, "object");
        shardio_mirror *m = open_with(&far, "object", &o, &error);
        if (m != NULL) {
            CHECK_READ(m, &far, 0, 11 * CHUNK);
            end(m);
            m = open_plain(&far);
            if (m == NULL) return;
            CHECK_READ(m, &far, 0, 11 * CHUNK);
            end(m);
        } else {
            CHECK(how != 2);                               /* there is nothing that could be somebody's */
        }
        both_free(&good);
    }
}

/* ---- refused ------------------------------------------------------------------------------------------------- */

TEST(foreign_files)
{
    static uint8_t text[3000];
    memset(text, 'x', sizeof text);
    for (int how = 0; how < 8; how++) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        begin(sizeof text);                                /* of just the length of the object, too */
        rig_put(rig_path("object"), text, how % 2 ? sizeof text : 100);
        o.start_over = how / 2 % 2 != 0;
        o.check_later = how / 4 != 0;
        both before = both_read("object");
        shardio_mirror *m = open_with(&far, "object", &o, &error);
        CHECK(m == NULL);
        CHECK_STATUS(error.status, SHARDIO_ERR_EXISTS);
        (void)shardio_mirror_close(m, NULL);
        both_check(&before, "object");
        both_free(&before);
        CHECK_U64(entries_below(rig_home), 1);
    }
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(5 * CHUNK);
    CHECK(mkdir(rig_path("object"), 0777) == 0);
    CHECK(open_with(&far, "object", &o, &error) == NULL);
    CHECK_U64(entries_below(rig_home), 1);
}

/* sparseio: a source or a parent directory that is missing shows at once, and nothing is left behind. */
TEST(missing_things)
{
    for (int how = 0; how < 8; how++) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        begin(5 * CHUNK);
        o.make_parents = how / 2 % 2 != 0;
        o.start_over = how / 4 != 0;
        if (how % 2) far.absent = true;
        else far.fail_about = true, far.fail_code = 77;
        CHECK(open_with(&far, o.make_parents ? "a/b/object" : "object", &o, &error) == NULL);
        CHECK_STATUS(error.status, how % 2 ? SHARDIO_ERR_NOT_FOUND : SHARDIO_ERR_IO);
        if (how % 2 == 0) {
            CHECK_U64(error.system_code, 77);
            CHECK_TEXT(error.reason, "the line is dead");
        }
        CHECK_U64(entries_below(rig_home), 0);
    }
    for (int later = 0; later < 2; later++) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        begin(5 * CHUNK);
        o.check_later = later != 0;
        CHECK(open_with(&far, "a/b/object", &o, &error) == NULL);
        CHECK_STATUS(error.status, SHARDIO_ERR_NOT_FOUND);
        CHECK_U64(entries_below(rig_home), 0);
        o.make_parents = true;
        shardio_mirror *m = open_with(&far, "a/b/object", &o, &error);
        if (!CHECK(m != NULL)) return;
        CHECK_READ(m, &far, 0, 5 * CHUNK);
        end(m);
        CHECK_U64(entries_below(rig_home), 4);
    }
}

TEST(wrong_arguments)
{
    static const uint64_t chunks[] = {1, 256, 511, 513, 1000, 65535, (uint64_t)1 << 27, UINT64_MAX, (uint64_t)1 << 63};
    shardio_mirror_options o;
    shardio_error error;
    begin(5 * CHUNK);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        o = plain_options();
        o.chunk = chunks[i];
        CHECK(open_with(&far, "object", &o, &error) == NULL);
        CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
    }
    for (uint64_t chunk = 512; chunk <= (uint64_t)1 << 26; chunk *= 2) {
        o = plain_options();
        o.chunk = chunk;
        o.start_over = true;
        shardio_mirror *m = open_with(&far, "object", &o, &error);
        if (!CHECK(m != NULL)) return;
        CHECK_READ(m, &far, 5, 4 * CHUNK);
        end(m);
    }
    o = plain_options();
    shardio_source source = remote_source(&far, false);
    CHECK(shardio_mirror_open(&source, NULL, &o, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
    CHECK_U64(far.closes, 1);
    CHECK(shardio_mirror_open(NULL, rig_path("new"), &o, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_NOT_FOUND);
    source = remote_source(&far, false);
    CHECK(shardio_mirror_open(&source, "", &o, NULL) == NULL);
    CHECK_U64(far.closes, 1);
    CHECK_OK(shardio_mirror_close(NULL, &error));
    CHECK(rig_count_names(rig_home, "") == 2);
}

/* The map in memory has a limit. */
TEST(map_limit)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin(8 * 1000 * CHUNK);
    o.map_limit = 999;
    CHECK(open_with(&far, "object", &o, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_LIMIT);
    CHECK_U64(entries_below(rig_home), 0);
    o.map_limit = 1000 + MAP_HEAD + 300;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (!CHECK(m != NULL)) return;
    CHECK_READ(m, &far, 0, 100);
    end(m);
    far.length = UINT64_MAX;                               /* a source that exaggerates */
    o = plain_options();
    CHECK(open_with(&far, "another", &o, &error) == NULL);
    CHECK_U64(entries_below(rig_home), 2);
}

/* ---- reading only -------------------------------------------------------------------------------------------- */

TEST(read_only)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    uint8_t data[4 * CHUNK];
    size_t done = 0;
    begin(12 * CHUNK);
    o.read_only = true;
    CHECK(shardio_mirror_open(NULL, rig_path("object"), &o, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_NOT_FOUND);
    CHECK_U64(entries_below(rig_home), 0);
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m != NULL) {                                       /* nothing there: all comes from the source */
        CHECK_READ(m, &far, 0, 4 * CHUNK);
        end(m);
    }
    CHECK_U64(entries_below(rig_home), 0);
    m = open_plain(&far);
    if (m == NULL) return;
    CHECK_READ(m, &far, 2 * CHUNK, 3 * CHUNK);
    end(m);
    both before = both_read("object");
    m = open_with(&far, "object", &o, &error);
    if (!CHECK(m != NULL)) return;
    CHECK_COVERAGE(m, "2+3");
    remote_forget(&far);
    CHECK_READ(m, &far, 2 * CHUNK, 3 * CHUNK);
    CHECK_U64(far.requests, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK_READ(m, &far, 4 * CHUNK, 4 * CHUNK);         /* what is not there comes from the source each time */
        CHECK_U64(far.requests, i);
    }
    CHECK_COVERAGE(m, "2+3");
    CHECK_STATUS(shardio_mirror_evict(m, 0, UINT64_MAX, &error), SHARDIO_ERR_STATE);
    CHECK_STATUS(shardio_mirror_evict_to(m, 0, &error), SHARDIO_ERR_STATE);
    end(m);
    both_check(&before, "object");
    m = shardio_mirror_open(NULL, rig_path("object"), &o, &error);
    if (!CHECK(m != NULL)) return;
    CHECK_U64(shardio_mirror_about(m).length, far.length);
    CHECK_READ(m, &far, 2 * CHUNK + 7, 2 * CHUNK);
    CHECK_READ(m, &far, 12 * CHUNK, 5);
    CHECK_STATUS(shardio_mirror_read(m, 3 * CHUNK, data, 4 * CHUNK, &done, &error), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(error.status, SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_mirror_read(m, 0, data, 1, &done, &error), SHARDIO_ERR_NOT_FOUND);
    CHECK_OK(shardio_mirror_close(m, &error));
    both_check(&before, "object");
    both_free(&before);
    CHECK_U64(entries_below(rig_home), 2);
}

/* Without a source what is there has to do; it can be evicted. */
TEST(without_a_source)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    uint8_t data[CHUNK];
    size_t done = 0;
    begin(12 * CHUNK);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    CHECK_READ(m, &far, 2 * CHUNK, 3 * CHUNK);
    end(m);
    m = shardio_mirror_open(NULL, rig_path("object"), &o, &error);
    if (!CHECK(m != NULL)) return;
    CHECK_READ(m, &far, 2 * CHUNK, 3 * CHUNK);
    CHECK_STATUS(shardio_mirror_read(m, 0, data, CHUNK, &done, &error), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_mirror_fill(m, NULL, NULL, &error), SHARDIO_ERR_NOT_FOUND);
    CHECK_OK(shardio_mirror_evict(m, 3 * CHUNK, CHUNK, &error));
    CHECK_COVERAGE(m, "2+1 4+1");
    CHECK_STATUS(shardio_mirror_read(m, 3 * CHUNK, data, CHUNK, &done, &error), SHARDIO_ERR_NOT_FOUND);
    CHECK_OK(shardio_mirror_close(m, &error));
    m = open_plain(&far);
    if (m == NULL) return;
    CHECK_COVERAGE(m, "2+1 4+1");
    far.fail_at = far.requests + 1;                        /* known to be outdated, it is still to be read and evicted */
    far.fail_status = SHARDIO_ERR_CHANGED;
    CHECK_STATUS(shardio_mirror_read(m, 0, data, CHUNK, &done, &error), SHARDIO_ERR_CHANGED);
    end(m);
    m = shardio_mirror_open(NULL, rig_path("object"), &o, &error);
    if (!CHECK(m != NULL)) return;
    CHECK_READ(m, &far, 2 * CHUNK, CHUNK);
    CHECK_OK(shardio_mirror_evict_to(m, 0, &error));
    CHECK_OK(shardio_mirror_close(m, &error));
}

/* ---- faults -------------------------------------------------------------------------------------------------- */

/* A few calls of everything. Each may fail, none may lie. Returns the first error. */
static shardio_status use(shardio_mirror *m)
{
    shardio_error error;
    shardio_status first = SHARDIO_OK, status;
    for (int step = 0; step < 8; step++) {
        status = SHARDIO_OK;
        if (step == 0) status = read_and_compare(__FILE__, __LINE__, m, &far, 3 * CHUNK, 2 * CHUNK, &error);
        if (step == 1) status = read_and_compare(__FILE__, __LINE__, m, &far, 0, 9 * CHUNK, &error);
        if (step == 2) status = shardio_mirror_save(m, &error);
        if (step == 3) status = shardio_mirror_evict(m, CHUNK, 4 * CHUNK, &error);
        if (step == 4) status = shardio_mirror_prefetch(m, 20 * CHUNK, 9 * CHUNK, &error);
        if (step == 5) status = shardio_mirror_evict_to(m, 6 * CHUNK, &error);
        if (step == 6) status = shardio_mirror_fill(m, NULL, NULL, &error);
        if (step == 7) status = read_and_compare(__FILE__, __LINE__, m, &far, 0, 40 * CHUNK, &error);
        if (status != SHARDIO_OK && first == SHARDIO_OK) first = status;
        if (status != SHARDIO_OK) CHECK(error.status == status && error.operation != NULL);
    }
    return first;
}

/* sparseio: an error of the source surfaces, and the next try is as if it had not been. */
TEST(flaky_sources)
{
    for (int ranges = 0; ranges < 2; ranges++) {
        for (uint64_t n = 1; n < 100; n++) {
            shardio_mirror_options o = plain_options();
            shardio_error error;
            begin(40 * CHUNK - 5);
            o.request = 4 * CHUNK;
            shardio_source source = remote_source(&far, ranges != 0);
            shardio_mirror *m = shardio_mirror_open(&source, rig_path("object"), &o, &error);
            if (!CHECK(m != NULL)) return;
            far.fail_at = n;
            far.fail_code = 4321;
            shardio_status status = use(m);
            bool fired = far.requests >= n;
            CHECK_STATUS(status, fired ? SHARDIO_ERR_IO : SHARDIO_OK);
            CHECK_READ(m, &far, 0, 40 * CHUNK);
            end(m);
            m = open_plain(&far);
            if (m == NULL) return;
            CHECK_COVERAGE(m, "0+40");
            remote_forget(&far);
            CHECK_READ(m, &far, 0, 40 * CHUNK);
            CHECK_U64(far.requests, 0);
            end(m);
            if (!fired) break;
            CHECK(n < 99);
        }
    }
}

/* What the source said comes back, with its name. */
TEST(errors_of_sources)
{
    static const shardio_status statuses[] = {SHARDIO_ERR_IO, SHARDIO_ERR_PERMISSION, SHARDIO_ERR_NOT_FOUND,
                                              SHARDIO_ERR_TRUNCATED, SHARDIO_ERR_UNSUPPORTED, SHARDIO_ERR_MEMORY};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        shardio_error error;
        uint8_t data[CHUNK];
        size_t done = 0;
        char text[400];
        begin(40 * CHUNK);
        shardio_mirror *m = open_plain(&far);
        if (m == NULL) return;
        far.fail_at = 1;
        far.fail_code = 99;
        far.fail_status = statuses[i];
        CHECK_STATUS(shardio_mirror_read(m, 5 * CHUNK, data, CHUNK, &done, &error), statuses[i]);
        CHECK_STATUS(error.status, statuses[i]);
        CHECK_U64(error.system_code, 99);
        CHECK_TEXT(error.reason, "the line is dead");
        CHECK(error.operation != NULL && error.offset == 5 * CHUNK);
        CHECK(strstr(error.subject, "far://object") != NULL);
        CHECK(strstr(shardio_error_text(&error, text, sizeof text), "the line is dead") != NULL);
        CHECK_READ(m, &far, 5 * CHUNK, CHUNK);
        end(m);
    }
}

TEST(no_memory)
{
    for (int check_later = 0; check_later < 2; check_later++) {
        for (uint64_t n = 1; n < 200; n++) {
            counter c;
            shardio_mirror_options o = plain_options();
            shardio_error error;
            begin(40 * CHUNK - 5);
            o.allocator = counter_begin(&c);
            o.check_later = check_later != 0;
            o.request = 4 * CHUNK;
            c.fail_at = n;
            shardio_mirror *m = open_with(&far, "object", &o, &error);
            bool fired = c.calls >= n;
            if (m == NULL) {
                CHECK(fired);
                CHECK_STATUS(error.status, SHARDIO_ERR_MEMORY);
                CHECK_U64(c.live, 0);
                CHECK_U64(entries_below(rig_home), 0);
                continue;
            }
            shardio_status status = use(m);
            fired = c.calls >= n;
            if (status != SHARDIO_OK) CHECK_STATUS(status, SHARDIO_ERR_MEMORY);
            CHECK_READ(m, &far, 0, 40 * CHUNK);            /* there is memory again */
            status = shardio_mirror_close(m, &error);
            CHECK(status == SHARDIO_OK || (status == SHARDIO_ERR_MEMORY && c.calls >= n && !fired));
            fired = c.calls >= n;
            CHECK_U64(far.closes, 1);
            CHECK_U64(c.live, 0);
            if (!fired) break;
            CHECK(n < 199);
        }
    }
}

/* The memory that is promised: a bit for each chunk, 256 KiB, the buffer. A terabyte, read all over. */
TEST(a_terabyte)
{
    const uint64_t terabyte = (uint64_t)1 << 40;
    shardio_mirror_options o;
    shardio_error error;
    struct stat facts;
    counter c;
    memset(&o, 0, sizeof o);
    o.allocator = counter_begin(&c);
    o.request = 1 << 20;
    o.read_ahead = SHARDIO_NO_OFFSET;
    begin(terabyte - 1);
    int fd = open(rig_path("try"), O_RDWR | O_CREAT, 0666);
    bool can = fd >= 0 && ftruncate(fd, (off_t)(terabyte - 1)) == 0;
    if (fd >= 0) close(fd);
    unlink(rig_path("try"));
    if (!can) LEAVE_OUT("the file system has no room for a sparse file of 1 TiB");
    for (int again = 0; again < 2; again++) {
        shardio_mirror *m = open_with(&far, "object", &o, &error);
        if (!CHECK(m != NULL)) return;
        remote_forget(&far);
        for (uint64_t i = 0; i < 200; i++) CHECK_READ(m, &far, i * (terabyte / 200) + 12345, 3);
        CHECK_READ(m, &far, terabyte - 3, 100);
        CHECK_U64(far.requests, again ? 0 : 201);
        CHECK_U64(shardio_mirror_about(m).extents, 201);
        end(m);
        CHECK(stat(rig_path("object"), &facts) == 0 && (uint64_t)facts.st_size == terabyte - 1);
        CHECK((uint64_t)facts.st_blocks * 512 <= 300 * 65536);
        CHECK(stat(map_of("object"), &facts) == 0);
        CHECK((uint64_t)facts.st_size <= (2 << 20) + MAP_HEAD + strlen(far.tag) + 4);
        CHECK(c.peak <= (2 << 20) + (256 << 10) + (1 << 20) + (64 << 10));
        CHECK_U64(c.live, 0);
    }
}

/* ---- locks --------------------------------------------------------------------------------------------------- */

static struct {
    int held, taken, wrong;
} turnstile;

static void turnstile_lock(void *context)
{
    (void)context;
    if (turnstile.held++ != 0) turnstile.wrong++;          /* no thread takes it twice */
    turnstile.taken++;
}

static void turnstile_unlock(void *context)
{
    (void)context;
    if (--turnstile.held != 0) turnstile.wrong++;
}

TEST(locks_are_given_back)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    uint8_t data[100];
    size_t done = 0;
    memset(&turnstile, 0, sizeof turnstile);
    begin(40 * CHUNK - 5);
    o.lock = turnstile_lock;
    o.unlock = turnstile_unlock;
    o.request = 4 * CHUNK;
    o.save_every = 10 * CHUNK;
    shardio_mirror *m = open_with(&far, "object", &o, &error);
    if (m == NULL) return;
    CHECK_OK(use(m));
    CHECK(turnstile.taken > 8 && turnstile.held == 0);
    far.fail_at = far.requests + 2;
    CHECK_OK(shardio_mirror_evict(m, 0, UINT64_MAX, &error));
    CHECK_STATUS(shardio_mirror_fill(m, NULL, NULL, &error), SHARDIO_ERR_IO);
    CHECK_OK(shardio_mirror_seek(m, 5, &error));
    CHECK_STATUS(shardio_mirror_seek(m, UINT64_MAX, &error), SHARDIO_ERR_ARGUMENT);
    CHECK_OK(shardio_mirror_next(m, data, sizeof data, &done, &error));
    (void)shardio_mirror_has(m, 0, 1000);
    CHECK_COVERAGE(m, "0+4");
    CHECK_U64(turnstile.held, 0);
    end(m);
    CHECK_U64(turnstile.held, 0);
    CHECK_U64(turnstile.wrong, 0);

    o.unlock = NULL;
    CHECK(open_with(&far, "object", &o, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
    o.lock = NULL;
    o.unlock = turnstile_unlock;
    CHECK(open_with(&far, "object", &o, &error) == NULL);
    CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
}

/* ---- a source on a file -------------------------------------------------------------------------------------- */

TEST(a_file_as_source)
{
    enum { LENGTH = 10 * CHUNK + 14 };
    static uint8_t data[LENGTH], back[LENGTH + 10];
    shardio_source source;
    shardio_source_facts facts, again;
    shardio_error error;
    size_t done = 99;
    counter c;
    begin(LENGTH);
    remote_bytes(&far, 0, data, LENGTH);
    memset(&source, 0, sizeof source);
    CHECK_STATUS(shardio_source_open(&source, rig_path("none"), NULL, &error), SHARDIO_ERR_NOT_FOUND);
    CHECK(strstr(error.subject, "none") != NULL);
    CHECK(shardio_source_open(&source, rig_home, NULL, &error) != SHARDIO_OK);   /* a directory */
    rig_put(rig_path("source"), data, LENGTH);
    const shardio_allocator *allocator = counter_begin(&c);
    if (!CHECK(shardio_source_open(&source, rig_path("source"), allocator, &error) == SHARDIO_OK)) return;
    CHECK(source.name != NULL && strstr(source.name, "source") != NULL);
    CHECK_OK(source.functions->about(source.context, &facts, &error));
    CHECK_U64(facts.length, LENGTH);
    CHECK(facts.tag[0] != 0);
    CHECK_OK(source.functions->about(source.context, &again, &error));
    CHECK_TEXT(facts.tag, again.tag);
    CHECK_OK(source.functions->read(source.context, 5, back, 8, &done, &error));        /* sparseio: a range, */
    CHECK_U64(done, 8);
    CHECK_BYTES(back, data + 5, 8);
    memset(back, 0xFF, sizeof back);
    CHECK_OK(source.functions->read(source.context, LENGTH - 3, back, 8, &done, &error));   /* cut at the end, */
    CHECK_U64(done, 3);
    CHECK_BYTES(back, data + LENGTH - 3, 3);
    CHECK_BYTES(back + 3, "\xFF\xFF\xFF\xFF\xFF", 5);
    CHECK_OK(source.functions->read(source.context, LENGTH, back, 8, &done, &error));   /* nothing there */
    CHECK_U64(done, 0);
    source.functions->close(source.context);
    CHECK_U64(c.live, 0);
    for (uint64_t n = 1; n < 20; n++) {
        allocator = counter_begin(&c);
        c.fail_at = n;
        shardio_status status = shardio_source_open(&source, rig_path("source"), allocator, &error);
        if (status == SHARDIO_OK) source.functions->close(source.context);
        else CHECK_STATUS(status, SHARDIO_ERR_MEMORY);
        CHECK_U64(c.live, 0);
        if (status == SHARDIO_OK) break;
        CHECK(n < 19);
    }
}

/* A file that changes is another object. */
TEST(a_file_that_changes)
{
    enum { LENGTH = 10 * CHUNK + 14 };
    static uint8_t data[LENGTH];
    shardio_mirror_options o = plain_options();
    shardio_source source;
    shardio_error error;
    begin(LENGTH);
    remote_bytes(&far, 0, data, LENGTH);
    rig_put(rig_path("source"), data, LENGTH);
    for (int turn = 0; turn < 4; turn++) {
        CHECK_OK(shardio_source_open(&source, rig_path("source"), NULL, &error));
        o.start_over = turn == 3;
        shardio_mirror *m = shardio_mirror_open(&source, rig_path("object"), &o, &error);
        if (turn == 2) {
            CHECK(m == NULL);
            CHECK_STATUS(error.status, SHARDIO_ERR_CHANGED);
            continue;
        }
        if (!CHECK(m != NULL)) return;
        CHECK_COVERAGE(m, turn == 1 ? "2+4" : "");
        CHECK_READ(m, &far, 2 * CHUNK + 1, 3 * CHUNK + 5);
        if (turn == 1) CHECK_U64(shardio_mirror_about(m).fetched, 0);
        if (turn == 3) CHECK_READ(m, &far, 0, LENGTH);
        CHECK_OK(shardio_mirror_close(m, &error));
        if (turn == 1) {                                   /* a new file of that name, as long as the old one */
            far.version = 2;
            remote_bytes(&far, 0, data, LENGTH);
            rig_put(rig_path("next"), data, LENGTH);
            CHECK(rename(rig_path("next"), rig_path("source")) == 0);
        }
    }
}

/* ---- mirrors as files ---------------------------------------------------------------------------------------- */

TEST(a_mirror_is_a_file)
{
    shardio_file_facts facts;
    shardio_error error;
    uint8_t data[3000];
    size_t done = 0;
    int code = 0;
    begin(20 * CHUNK + 5);
    shardio_mirror *m = open_plain(&far);
    if (m == NULL) return;
    shardio_file file = shardio_mirror_file(m, false);
    CHECK(file.name != NULL);
    memset(&facts, 0, sizeof facts);
    CHECK_OK(file.functions->facts(file.context, &facts, &code));
    CHECK_U64(facts.size, far.length);
    CHECK(!facts.stream);
    CHECK_OK(shardio_file_read(&file, 20 * CHUNK - 100, data, 105, &error));
    CHECK(remote_same(&far, 20 * CHUNK - 100, data, 105));
    CHECK_STATUS(shardio_file_read(&file, 20 * CHUNK, data, 6, &error), SHARDIO_ERR_TRUNCATED);
    CHECK_OK(file.functions->read(file.context, far.length, data, 10, &done, &code));
    CHECK_U64(done, 0);
    CHECK_OK(file.functions->read(file.context, UINT64_MAX, data, 10, &done, &code));
    CHECK_U64(done, 0);
    if (file.functions->write != NULL) CHECK(file.functions->write(file.context, 0, data, 10, &done, &code) != SHARDIO_OK);
    if (file.functions->resize != NULL) CHECK(file.functions->resize(file.context, 0, &code) != SHARDIO_OK);
    far.fail_at = far.requests + 1;
    CHECK_STATUS(shardio_file_read(&file, 0, data, 6, &error), SHARDIO_ERR_IO);
    CHECK_OK(shardio_file_read(&file, 0, data, 3000, &error));
    CHECK(remote_same(&far, 0, data, 3000));
    shardio_file_close(&file);
    CHECK_U64(far.closes, 0);                              /* not owned: it goes on */
    CHECK_READ(m, &far, 0, 100);
    far.fail_at = far.requests + 1;                        /* bytes that cannot be had are no missing key */
    far.fail_status = SHARDIO_ERR_NOT_FOUND;
    CHECK_STATUS(shardio_file_read(&file, 10 * CHUNK, data, 6, &error), SHARDIO_ERR_IO);
    far.fail_at = 0;
    file = shardio_mirror_file(m, true);
    CHECK_OK(shardio_file_read(&file, 0, data, 3000, &error));
    shardio_file_close(&file);
    CHECK_U64(far.closes, 1);
    m = open_plain(&far);                                  /* and it was saved */
    if (m == NULL) return;
    CHECK_COVERAGE(m, "0+6 19+2");
    end(m);
}

/* The bytes of a file become the object. */
static uint8_t *serve(remote *r, const char *path)
{
    size_t size = 0;
    uint8_t *data = rig_slurp(path, &size);
    CHECK(data != NULL);
    remote_make(r, 1, size);
    r->bytes = data;
    return data;
}

TEST(a_pack_far_away)
{
    enum { ITEMS = 3000 };
    static uint8_t item[251];
    shardio_pack_options o;
    shardio_slot_options s;
    shardio_pack_writer w;
    shardio_error error;
    begin(0);
    memset(&o, 0, sizeof o);
    memset(&s, 0, sizeof s);
    CHECK_OK(shardio_pack_create(&w, rig_path("pack"), &o, &s));
    for (size_t i = 0; i < ITEMS; i++) {
        memset(item, (int)(i % 256), sizeof item);
        CHECK_OK(shardio_pack_append(&w, item, i % 251));
    }
    CHECK_OK(shardio_pack_finish(&w, "app", 3, &error));
    uint8_t *served = serve(&far, rig_path("pack"));
    for (int again = 0; again < 2; again++) {
        shardio_pack_reader r;
        shardio_pack_scratch scratch;
        remote_forget(&far);
        shardio_mirror *m = open_plain(&far);
        if (m == NULL) return;
        if (!CHECK(shardio_pack_open_file(&r, shardio_mirror_file(m, true), NULL, &error) == SHARDIO_OK)) return;
        CHECK_OK(shardio_pack_scratch_begin(&scratch, &r, &error));
        for (uint64_t i = 0; i < ITEMS; i += i < 90 ? 9 : 2700) {
            const uint8_t *data = NULL;
            size_t size = 0;
            CHECK_OK(shardio_pack_item(&r, &scratch, i, &data, &size, &error));
            CHECK_U64(size, i % 251);
            for (size_t k = 0; k < size; k++) if (!CHECK(data[k] == i % 256)) break;
        }
        if (again) CHECK_U64(far.requests, 0);
        else CHECK(far.requests > 0 && far.got < far.length);
        shardio_pack_scratch_end(&scratch);
        shardio_pack_close(&r);
        CHECK_U64(far.closes, 1);
    }
    CHECK_U64(far.wrong, 0);
    free(served);
}

TEST(a_shard_far_away)
{
    enum { COUNT = 50, SIZE = 777 };
    static uint8_t data[COUNT * SIZE], back[SIZE];
    shardio_shard_writer w;
    shardio_slot_options s;
    shardio_index_layout layout;
    shardio_error error;
    begin(0);
    memset(&s, 0, sizeof s);
    memset(&layout, 0, sizeof layout);
    layout.chunks = COUNT;
    test_fill(data, sizeof data, 9);
    CHECK_OK(shardio_shard_create(&w, rig_path("shard"), &layout, &s));
    for (size_t i = 0; i < COUNT; i += 2) CHECK_OK(shardio_shard_put(&w, i, data + i * SIZE, SIZE));
    CHECK_OK(shardio_shard_finish(&w, &error));
    uint8_t *served = serve(&far, rig_path("shard"));
    for (int again = 0; again < 2; again++) {
        shardio_shard_reader r;
        uint64_t size = 0;
        remote_forget(&far);
        shardio_mirror *m = open_plain(&far);
        if (m == NULL) return;
        if (!CHECK(shardio_shard_open_file(&r, shardio_mirror_file(m, true), &layout, NULL, &error) == SHARDIO_OK)) return;
        for (uint64_t i = 0; i < COUNT; i += 7) {
            CHECK_OK(shardio_shard_read(&r, i, back, sizeof back, &size, &error));
            CHECK_U64(size, i % 2 ? SHARDIO_MISSING : (uint64_t)SIZE);
            if (i % 2 == 0) CHECK_BYTES(back, data + i * SIZE, SIZE);
        }
        CHECK_OK(shardio_shard_unchanged(&r, &error));
        if (again) CHECK_U64(far.requests, 0);
        shardio_shard_close(&r);
        CHECK_U64(far.closes, 1);
    }
    CHECK_U64(far.wrong, 0);
    free(served);
}

TEST(an_archive_far_away)
{
    shardio_archive_options o;
    shardio_mirror_options mo;
    shardio_error error;
    model m;
    begin(0);
    memset(&o, 0, sizeof o);
    memset(&mo, 0, sizeof mo);
    o.write = o.create = true;
    small_model(&m, 24, 4, 8);
    shardio_archive *a = shardio_archive_open(rig_path("zip"), &o, &error);
    if (!CHECK(a != NULL)) return;
    shardio_store store = shardio_archive_store(a);
    shardio_array *array = shardio_array_create_in(&store, &m.o);
    CHECK_OK(append_plain(&m, array, 0, 24 * m.frame));
    CHECK_OK(shardio_array_finish(array, &error));
    CHECK_OK(shardio_archive_finish(a, &error));
    uint8_t *served = serve(&far, rig_path("zip"));
    for (int again = 0; again < 2; again++) {
        remote_forget(&far);
        shardio_source source = remote_source(&far, false);
        mo.check_later = again != 0;
        shardio_mirror *mirror = shardio_mirror_open(&source, rig_path("object"), &mo, &error);
        if (!CHECK(mirror != NULL)) return;
        a = shardio_archive_open_file(shardio_mirror_file(mirror, true), NULL, &error);
        if (!CHECK(a != NULL)) return;
        CHECK(far.requests + far.abouts <= (again ? 0 : 2));   /* opening costs two: what it is, and its end */
        store = shardio_archive_store(a);
        model_check(&m, &store, 24, 3, 20);
        if (again) CHECK_U64(far.requests + far.abouts, 0);
        shardio_archive_close(a);
        CHECK_U64(far.closes, 1);
    }
    CHECK_U64(far.wrong, 0);
    model_end(&m);
    free(served);
}

/* ---- a store of mirrors -------------------------------------------------------------------------------------- */

/* Keys in a directory, served as if they were far away. */
typedef struct shelf {
    const char *directory;
    uint64_t finds, abouts, absent, requests, bytes, held;
    uint64_t fail_about, fail_read;   /* this one fails, 1 is the next; 0: none */
    shardio_source_functions table;
} shelf;

typedef struct shelf_object {
    shelf *owner;
    uint8_t *data;
    size_t size;
    char key[200];
} shelf_object;

static bool shelf_fails(uint64_t *countdown)
{
    return *countdown != 0 && --*countdown == 0;
}

static shardio_status shelf_about(void *source, shardio_source_facts *facts, shardio_error *error)
{
    shelf_object *object = (shelf_object *)source;
    char path[800];
    object->owner->abouts++;
    if (shelf_fails(&object->owner->fail_about)) {
        error->reason = "the server is ill";
        return SHARDIO_ERR_IO;
    }
    snprintf(path, sizeof path, "%.500s/%s", object->owner->directory, object->key);
    if (object->data == NULL) object->data = rig_slurp(path, &object->size);
    if (object->data == NULL) {
        object->owner->absent++;
        return SHARDIO_ERR_NOT_FOUND;
    }
    facts->length = object->size;
    snprintf(facts->tag, sizeof facts->tag, "%08lx", (unsigned long)shardio_crc32c(0, object->data, object->size));
    return SHARDIO_OK;
}

static shardio_status shelf_read(void *source, uint64_t offset, void *data, size_t size, size_t *done, shardio_error *error)
{
    shelf_object *object = (shelf_object *)source;
    (void)error;
    object->owner->requests++;
    if (shelf_fails(&object->owner->fail_read)) return SHARDIO_ERR_IO;
    *done = 0;
    if (!CHECK(object->data != NULL) || !CHECK(offset < object->size)) return SHARDIO_ERR_IO;
    *done = size < object->size - (size_t)offset ? size : object->size - (size_t)offset;
    memcpy(data, object->data + (size_t)offset, *done);
    object->owner->bytes += *done;
    return SHARDIO_OK;
}

static void shelf_close(void *source)
{
    shelf_object *object = (shelf_object *)source;
    object->owner->held--;
    free(object->data);
    free(object);
}

static shardio_status shelf_find(void *context, const char *key, shardio_source *source, shardio_error *error)
{
    shelf *s = (shelf *)context;
    shelf_object *object = (shelf_object *)calloc(1, sizeof *object);
    (void)error;
    if (object == NULL) return SHARDIO_ERR_MEMORY;
    s->finds++;
    s->held++;
    object->owner = s;
    snprintf(object->key, sizeof object->key, "%s", key);
    memset(&s->table, 0, sizeof s->table);
    s->table.about = shelf_about;
    s->table.read = shelf_read;
    s->table.close = shelf_close;
    source->functions = &s->table;
    source->context = object;
    source->name = object->key;
    return SHARDIO_OK;
}

static void shelf_begin(shelf *s, shardio_mirror_store *mirrors, const char *directory, const char *near)
{
    memset(s, 0, sizeof *s);
    memset(mirrors, 0, sizeof *mirrors);
    s->directory = directory;
    mirrors->find = shelf_find;
    mirrors->context = s;
    mirrors->directory = near;
    mirrors->name = "far://shelf";
    mirrors->options.check_later = true;
    mirrors->options.chunk = CHUNK;
}

/* An array in the directory "array", some of its chunks not there. */
static void make_array(model *m, bool sharded)
{
    shardio_error error;
    small_model(m, 24, sharded ? 4 : 2, sharded ? 8 : 0);
    m->o.skip_fill = true;
    model_end(m);
    model_begin(m, 24, 78, true);
    static char path[700];
    snprintf(path, sizeof path, "%s", rig_path("array"));
    shardio_store store = shardio_store_directory(path);
    shardio_array *a = shardio_array_create_in(&store, &m->o);
    CHECK_OK(append_plain(m, a, 0, 24 * m->frame));
    CHECK_OK(shardio_array_finish(a, &error));
}

TEST(an_array_far_away)
{
    for (int sharded = 0; sharded < 2; sharded++) {
        char from[700], near[700];
        shardio_mirror_store mirrors;
        shelf s;
        model m;
        begin(0);
        make_array(&m, sharded != 0);
        snprintf(from, sizeof from, "%s", rig_path("array"));
        snprintf(near, sizeof near, "%s", rig_path("near/deep"));
        for (int again = 0; again < 3; again++) {
            shelf_begin(&s, &mirrors, from, near);
            shardio_store store = shardio_store_mirrored(&mirrors);
            model_check(&m, &store, 24, 5, 30);
            CHECK_U64(mirrors.fetched, s.bytes);
            CHECK_U64(s.held, 0);
            if (again == 0) {
                CHECK(s.requests > 0 && (sharded || s.absent > 0));
                uint64_t requests = s.requests, abouts = s.abouts;
                model_check(&m, &store, 24, 6, 30);        /* through the same store, too */
                CHECK_U64(s.requests, requests);
                CHECK_U64(s.abouts, abouts);
                CHECK_U64(s.held, 0);
            } else {
                CHECK_U64(s.requests + s.abouts, 0);       /* the second time without any request */
                CHECK_U64(mirrors.requests, 0);
            }
            if (again == 1) {
                char gone[710];
                snprintf(gone, sizeof gone, "%s-gone", from);
                CHECK(rename(from, gone) == 0);
            }
        }
        model_end(&m);
    }
}

/* A server that is ill for a moment is not taken for a key that is not there. What was asked for ahead of its turn is asked
   for again in its turn. */
TEST(a_store_that_is_ill)
{
    for (int way = 0; way < 4; way++) {
        const bool reading = way % 2 != 0, ahead = way >= 2;
        for (uint64_t n = 1; n < 60; n++) {
            char from[700], near[700];
            shardio_mirror_store mirrors;
            shardio_error error;
            shelf s;
            model m;
            begin(0);
            make_array(&m, true);
            snprintf(from, sizeof from, "%s", rig_path("array"));
            snprintf(near, sizeof near, "%s", rig_path("near"));
            shelf_begin(&s, &mirrors, from, near);
            shardio_store store = shardio_store_mirrored(&mirrors);
            *(reading ? &s.fail_read : &s.fail_about) = n;
            uint64_t start[3] = {0, 0, 0}, count[3] = {24, 6, 7};
            static uint16_t back[24 * 6 * 7];
            shardio_array_options o;
            memset(&o, 0, sizeof o);
            o.in_flight = ahead ? 0 : 1;
            shardio_array *a = shardio_array_open_in(&store, &o, &error);
            shardio_status status = error.status;
            if (status == SHARDIO_OK) status = shardio_array_read(a, start, count, back, sizeof back, &error);
            shardio_array_close(a);
            bool fired = *(reading ? &s.fail_read : &s.fail_about) == 0;
            if (status == SHARDIO_OK) CHECK_BYTES((uint8_t *)back, m.data, sizeof back);
            if (!ahead || !fired) CHECK_STATUS(status, fired ? SHARDIO_ERR_IO : SHARDIO_OK);
            else CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_IO);
            model_check(&m, &store, 24, 5, 10);
            CHECK_U64(s.held, 0);
            shelf_begin(&s, &mirrors, from, near);
            store = shardio_store_mirrored(&mirrors);
            model_check(&m, &store, 24, 5, 10);
            CHECK_U64(s.requests + s.abouts, 0);
            model_end(&m);
            if (!fired) break;
            CHECK(n < 59);
        }
    }
}

/* For reading: it cannot be changed through the store, and no key leads out of the directory. */
TEST(a_store_for_reading)
{
    char from[700], near[700];
    shardio_mirror_store mirrors;
    shardio_file file;
    shelf s;
    model m;
    int code = 0;
    size_t size = 0;
    begin(0);
    make_array(&m, true);
    snprintf(from, sizeof from, "%s", rig_path("array"));
    snprintf(near, sizeof near, "%s", rig_path("a/b/near"));
    shelf_begin(&s, &mirrors, from, near);
    shardio_store store = shardio_store_mirrored(&mirrors);
    CHECK(store.functions->open(store.context, "zarr.json", true, NULL, &file, &code) != SHARDIO_OK);
    if (store.functions->create != NULL)
        CHECK(store.functions->create(store.context, "x", true, 5, NULL, &file, &code) != SHARDIO_OK);
    if (store.functions->remove != NULL) CHECK(store.functions->remove(store.context, "zarr.json", &code) != SHARDIO_OK);
    uint8_t *data = store_get(&store, "zarr.json", &size);
    CHECK(data != NULL && size > 0);
    free(data);
    CHECK_STATUS(store.functions->open(store.context, "none", false, NULL, &file, &code), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(store.functions->open(store.context, "none/at/all", false, NULL, &file, &code), SHARDIO_ERR_NOT_FOUND);
    uint64_t abouts = s.abouts;
    CHECK_STATUS(store.functions->open(store.context, "none", false, NULL, &file, &code), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(store.functions->open(store.context, "none/at/all", false, NULL, &file, &code), SHARDIO_ERR_NOT_FOUND);
    CHECK_U64(s.abouts, abouts);
    CHECK_U64(s.held, 0);
    CHECK(store.functions->open(store.context, "../evil", false, NULL, &file, &code) != SHARDIO_OK);
    CHECK_U64(rig_count_names(rig_path("a/b"), ""), 1);
    model_end(&m);
}

/* What was read once is read again by a store that writes nothing, and missing chunks are missing. */
TEST(a_store_without_writing)
{
    char from[700], near[700];
    shardio_mirror_store mirrors;
    shelf s;
    model m;
    begin(0);
    make_array(&m, false);
    snprintf(from, sizeof from, "%s", rig_path("array"));
    snprintf(near, sizeof near, "%s", rig_path("near"));
    shelf_begin(&s, &mirrors, from, near);
    shardio_store store = shardio_store_mirrored(&mirrors);
    model_check(&m, &store, 24, 5, 30);
    CHECK(s.absent > 0);
    shelf_begin(&s, &mirrors, from, near);
    mirrors.options.read_only = true;
    store = shardio_store_mirrored(&mirrors);
    model_check(&m, &store, 24, 5, 30);
    CHECK_U64(s.requests + s.abouts, 0);
    CHECK_U64(s.held, 0);
    key_list keys;   /* what the server has is not to be known: not an empty list */
    CHECK_STATUS(store_keys(&store, "", &keys), SHARDIO_ERR_UNSUPPORTED);
    CHECK_STATUS(mirrors.last.status, SHARDIO_ERR_UNSUPPORTED);
    CHECK_TEXT(mirrors.last.subject, "far://shelf");
    model_end(&m);
}

/* A key that changes on the server while only a part of it is here: an error once, then the new one. */
TEST(a_store_whose_keys_change)
{
    static uint8_t bytes[20 * CHUNK], back[20 * CHUNK];
    char from[700], near[700];
    shardio_mirror_store mirrors;
    shardio_error error;
    shardio_file file;
    shelf s;
    int code = 0;
    begin(0);
    snprintf(from, sizeof from, "%s", rig_home);
    snprintf(near, sizeof near, "%s", rig_path("near"));
    for (int turn = 0; turn < 3; turn++) {
        shelf_begin(&s, &mirrors, from, near);
        mirrors.options.start_over = true;
        mirrors.options.read_ahead = SHARDIO_NO_OFFSET;
        shardio_store store = shardio_store_mirrored(&mirrors);
        if (turn < 2) {
            test_fill(bytes, sizeof bytes, (uint64_t)turn);
            rig_put(rig_path("key"), bytes, sizeof bytes);
        }
        if (!CHECK(store.functions->open(store.context, "key", false, NULL, &file, &code) == SHARDIO_OK)) return;
        shardio_status status = shardio_file_read(&file, 5 * CHUNK * (uint64_t)(turn > 0), back, turn ? 15 * CHUNK : CHUNK, &error);
        if (turn == 1) CHECK_STATUS(status, SHARDIO_ERR_CHANGED);
        else CHECK_OK(status);
        if (turn != 1) CHECK_BYTES(back, bytes + 5 * CHUNK * (turn > 0), CHUNK);
        if (turn == 2) CHECK_OK(shardio_file_read(&file, 0, back, sizeof back, &error));
        if (turn == 2) CHECK_BYTES(back, bytes, sizeof bytes);
        shardio_file_close(&file);
        CHECK_U64(s.held, 0);
    }
}

/* What is removed on the server while it is open, or between two runs, is no key that was never there. */
TEST(a_store_whose_keys_vanish)
{
    static uint8_t bytes[20 * CHUNK], back[20 * CHUNK];
    char from[700], near[700];
    shardio_mirror_store mirrors;
    shardio_error error;
    shardio_file file;
    shelf s;
    int code = 0;
    begin(0);
    snprintf(from, sizeof from, "%s", rig_home);
    snprintf(near, sizeof near, "%s", rig_path("near"));
    test_fill(bytes, sizeof bytes, 3);
    rig_put(rig_path("key"), bytes, sizeof bytes);
    for (int turn = 0; turn < 3; turn++) {
        shelf_begin(&s, &mirrors, from, near);
        mirrors.options.read_ahead = SHARDIO_NO_OFFSET;
        shardio_store store = shardio_store_mirrored(&mirrors);
        shardio_status status = store.functions->open(store.context, "key", false, NULL, &file, &code);
        CHECK(turn == 2 ? status != SHARDIO_ERR_NOT_FOUND : status == SHARDIO_OK);
        if (turn == 0) CHECK(unlink(rig_path("key")) == 0);
        if (status != SHARDIO_OK) continue;
        if (turn == 0) CHECK_OK(shardio_file_read(&file, 0, back, 3 * CHUNK, &error));
        if (turn < 2) CHECK_OK(shardio_file_read(&file, CHUNK, back, 2 * CHUNK, &error));
        if (turn < 2) CHECK_BYTES(back, bytes + CHUNK, 2 * CHUNK);
        if (turn > 0) {
            status = shardio_file_read(&file, 5 * CHUNK, back, CHUNK, &error);
            CHECK(status != SHARDIO_OK && status != SHARDIO_ERR_NOT_FOUND);
            CHECK(mirrors.last.status != SHARDIO_OK);
        }
        shardio_file_close(&file);
        CHECK_U64(s.held, 0);
    }
}

/* Two arrays on one store read the same keys. */
TEST(two_readers_of_a_store)
{
    char from[700], near[700];
    shardio_mirror_store mirrors;
    shardio_error error;
    shardio_file one, two;
    uint8_t a[64], b[64];
    shelf s;
    model m;
    int code = 0;
    begin(0);
    make_array(&m, true);
    snprintf(from, sizeof from, "%s", rig_path("array"));
    snprintf(near, sizeof near, "%s", rig_path("near"));
    shelf_begin(&s, &mirrors, from, near);
    shardio_store store = shardio_store_mirrored(&mirrors);
    if (!CHECK(store.functions->open(store.context, "zarr.json", false, NULL, &one, &code) == SHARDIO_OK)) return;
    CHECK_OK(shardio_file_read(&one, 0, a, sizeof a, &error));
    if (CHECK(store.functions->open(store.context, "zarr.json", false, NULL, &two, &code) == SHARDIO_OK)) {
        CHECK_OK(shardio_file_read(&two, 0, b, sizeof b, &error));
        CHECK_BYTES(a, b, sizeof a);
        CHECK_OK(shardio_file_read(&two, 200, b, sizeof b, &error));
        CHECK_OK(shardio_file_read(&one, 200, a, sizeof a, &error));
        CHECK_BYTES(a, b, sizeof a);
        shardio_file_close(&two);
    }
    shardio_file_close(&one);
    CHECK_U64(s.held, 0);
    model_end(&m);
}

/* ---- a model ------------------------------------------------------------------------------------------------- */

enum { MOST_CHUNKS = 300 };

typedef struct mirror_model {
    shardio_mirror *m;
    shardio_mirror_options o;
    remote now;
    uint64_t seed, chunks, chunk;
    bool ranges, exact;              /* exact: nothing is fetched that was not asked for */
    bool there[MOST_CHUNKS];         /* what the mirror has */
    uint8_t fetched[MOST_CHUNKS];
} mirror_model;

static uint64_t pick(mirror_model *k, uint64_t below)
{
    return test_random(&k->seed) % below;
}

static bool model_reopen(mirror_model *k)
{
    shardio_error error;
    shardio_source source = remote_source(&k->now, k->ranges);
    k->o.check_later = pick(k, 2) == 0;
    k->o.request = pick(k, 3) == 0 ? 0 : k->chunk * (1 + pick(k, 8));
    k->o.save_every = pick(k, 3) == 0 ? k->chunk * (1 + pick(k, 30)) : 0;
    k->m = shardio_mirror_open(&source, rig_path("object"), &k->o, &error);
    return CHECK(k->m != NULL);
}

/* Compares what the mirror says it has with what is known of it. `first` to `last`: chunks that the call was about, and
   what they are to be now; anything may have happened to those if it failed. */
static void model_compare(mirror_model *k, uint64_t first, uint64_t last, bool wanted, shardio_status status)
{
    bool now[MOST_CHUNKS];
    uint64_t from = 0, offset, size, covered = 0;
    memset(now, 0, sizeof now);
    while (shardio_mirror_next_extent(k->m, from, &offset, &size)) {
        for (uint64_t c = offset / k->chunk; c * k->chunk < offset + size; c++) now[c] = true;
        covered += size;
        from = offset + size;
    }
    CHECK_U64(shardio_mirror_about(k->m).covered, covered);
    for (uint64_t c = 0; c < k->chunks; c++) {
        bool meant = c >= first && c < last;
        if (meant && status == SHARDIO_OK) CHECK(now[c] == wanted);
        else if (meant) CHECK(now[c] == k->there[c] || now[c] == wanted);
        else if (k->exact) CHECK(now[c] == k->there[c]);
        else CHECK(now[c] || !k->there[c]);
        if (status == SHARDIO_OK) CHECK(k->fetched[c] <= 1);
        if (k->o.gap == 0) CHECK(!k->there[c] || k->fetched[c] == 0);
        CHECK(shardio_mirror_has(k->m, c * k->chunk, k->chunk) == now[c]);
        k->there[c] = now[c];
    }
}

/* Reads by position or by the cursor, or prefetches. */
static void model_read(mirror_model *k, uint64_t what)
{
    shardio_error error;
    shardio_status status;
    uint64_t offset = pick(k, k->now.length + 100), size = pick(k, 4) ? pick(k, 6 * k->chunk) : pick(k, k->now.length);
    size_t there = remote_there(&k->now, offset, size), done = 0;
    if (what == 0) {
        status = shardio_mirror_prefetch(k->m, offset, size, &error);
    } else if (what == 1 && offset <= k->now.length) {
        uint8_t *data = (uint8_t *)malloc((size_t)size + 1);
        CHECK_OK(shardio_mirror_seek(k->m, offset, &error));
        status = shardio_mirror_next(k->m, data, (size_t)size, &done, &error);
        if (status == SHARDIO_OK) CHECK(done == there && remote_same(&k->now, offset, data, done));
        free(data);
    } else {
        status = read_and_compare(__FILE__, __LINE__, k->m, &k->now, offset, (size_t)size, &error);
    }
    CHECK(status == SHARDIO_OK || (status == SHARDIO_ERR_IO && k->now.fail_at != 0));
    if (there == 0) model_compare(k, 0, 0, true, status);
    else model_compare(k, offset / k->chunk, (offset + there - 1) / k->chunk + 1, true, status);
}

static void model_evict(mirror_model *k)
{
    shardio_error error;
    uint64_t offset = pick(k, k->now.length + 100), size = pick(k, 8 * k->chunk);
    uint64_t first = (offset + k->chunk - 1) / k->chunk, last = (offset + size) / k->chunk;
    if (offset + size >= k->now.length) last = k->chunks;
    CHECK_OK(shardio_mirror_evict(k->m, offset, size, &error));
    model_compare(k, first, last, false, SHARDIO_OK);
}

static void model_evict_to(mirror_model *k)
{
    shardio_error error;
    uint64_t budget = pick(k, k->now.length + 1), before = shardio_mirror_about(k->m).covered;
    CHECK_OK(shardio_mirror_evict_to(k->m, budget, &error));
    uint64_t after = shardio_mirror_about(k->m).covered;
    CHECK(after <= budget || after == before);
    CHECK(after <= budget);
    if (before <= budget) CHECK_U64(after, before);
    else CHECK(after + k->chunk > budget);                 /* and no more than that */
    for (uint64_t c = 0; c < k->chunks; c++) {
        bool has = shardio_mirror_has(k->m, c * k->chunk, k->chunk);
        CHECK(k->there[c] || !has);
        k->there[c] = has;
    }
}

/* A process that dies now leaves the two files as they are: what the map claims is right. */
static void model_die(mirror_model *k)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    uint64_t from = 0, offset, size;
    both now = both_read("object");
    both_write(&now, "copy");
    o.chunk = 0;
    o.read_only = true;
    shardio_mirror *m = shardio_mirror_open(NULL, rig_path("copy"), &o, &error);
    if (CHECK(m != NULL)) {
        CHECK(!shardio_mirror_about(m).map_was_damaged);
        while (shardio_mirror_next_extent(m, from, &offset, &size)) {
            CHECK(shardio_mirror_has(k->m, offset, size));
            CHECK_READ(m, &k->now, offset, (size_t)size);
            from = offset + size;
        }
    }
    (void)shardio_mirror_close(m, &error);
    both_free(&now);
}

static void model_step(mirror_model *k)
{
    shardio_error error;
    uint64_t what = pick(k, 20);
    memset(k->fetched, 0, sizeof k->fetched);
    k->now.fail_at = pick(k, 8) == 0 ? k->now.requests + 1 + pick(k, 3) : 0;
    if (what < 10) model_read(k, what);
    else if (what < 13) model_evict(k);
    else if (what == 13) model_evict_to(k);
    else if (what == 14) CHECK_OK(shardio_mirror_save(k->m, &error));
    else if (what == 15) model_die(k);
    else if (what == 16 && pick(k, 4) == 0) {
        watched w;
        memset(&w, 0, sizeof w);
        w.stop_at = 1 + pick(k, 10);
        shardio_status status = shardio_mirror_fill(k->m, watch, &w, &error);
        CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_CANCELLED || (status == SHARDIO_ERR_IO && k->now.fail_at != 0));
        CHECK_U64(w.wrong, 0);
        model_compare(k, 0, k->chunks, true, status);
    } else if (what == 17) {
        CHECK_OK(shardio_mirror_close(k->m, &error));
        CHECK_U64(k->now.closes, 1);
        if (!model_reopen(k)) return;
        model_compare(k, 0, 0, true, SHARDIO_OK);
    }
    memset(k->fetched, 0, sizeof k->fetched);
}

static void model_run(uint64_t seed)
{
    static mirror_model k;
    shardio_error error;
    memset(&k, 0, sizeof k);
    k.seed = seed * 100000;
    k.chunk = (uint64_t)512 << pick(&k, 4);
    begin(0);
    remote_make(&k.now, seed, 1 + pick(&k, (1 + pick(&k, MOST_CHUNKS - 1)) * k.chunk));
    k.chunks = (k.now.length + k.chunk - 1) / k.chunk;
    k.now.fetched = k.fetched;
    k.now.chunk = k.chunk;
    k.now.shorten = pick(&k, 3) == 0;
    k.ranges = pick(&k, 2) == 0;
    k.o.chunk = k.chunk;
    k.o.gap = pick(&k, 3) == 0 ? k.chunk * pick(&k, 4) : 0;
    k.o.read_ahead = pick(&k, 3) == 0 ? k.chunk * pick(&k, 20) : SHARDIO_NO_OFFSET;
    k.exact = k.o.gap == 0 && k.o.read_ahead == SHARDIO_NO_OFFSET;
    if (!model_reopen(&k)) return;
    for (int step = 0; step < 60 && test_failures == 0 && k.m != NULL; step++) model_step(&k);
    k.now.fail_at = 0;
    if (k.m != NULL) CHECK_READ(k.m, &k.now, 0, (size_t)k.now.length);
    CHECK_OK(shardio_mirror_close(k.m, &error));
    CHECK_U64(k.now.wrong, 0);
}

TEST(model)
{
    uint64_t rounds = test_rounds(40);
    for (uint64_t seed = 1; seed <= rounds && test_failures == 0; seed++) {
        model_run(seed);
        if (test_failures > 0) fprintf(stderr, "    seed %llu\n", (unsigned long long)seed);
    }
}

TEST_MAIN(
    TEST_CASE(reads_any_range) TEST_CASE(lengths) TEST_CASE(fetches_once) TEST_CASE(cursor)
    TEST_CASE(requests_are_joined) TEST_CASE(small_gaps_are_fetched_again) TEST_CASE(several_ranges_in_one_request)
    TEST_CASE(short_reads) TEST_CASE(nothing_before_the_end) TEST_CASE(reads_ahead) TEST_CASE(reads_ahead_only_in_order)
    TEST_CASE(another_object_is_refused) TEST_CASE(another_object_starts_over) TEST_CASE(the_same_object)
    TEST_CASE(checked_later) TEST_CASE(changes_found_later) TEST_CASE(a_source_that_notices)
    TEST_CASE(coverage) TEST_CASE(the_local_file) TEST_CASE(the_map) TEST_CASE(filling)
    TEST_CASE(filling_goes_on_after_errors) TEST_CASE(saves_by_itself)
    TEST_CASE(evicting_a_range) TEST_CASE(evicting_nothing) TEST_CASE(the_last_write_counts)
    TEST_CASE(evicting_what_was_not_used) TEST_CASE(evicting_from_many_chunks) TEST_CASE(room_is_given_back)
    TEST_CASE(room_of_small_chunks)
    TEST_CASE(damaged_maps) TEST_CASE(maps_that_lie) TEST_CASE(damaged_local_files)
    TEST_CASE(foreign_files) TEST_CASE(missing_things) TEST_CASE(wrong_arguments) TEST_CASE(map_limit)
    TEST_CASE(read_only) TEST_CASE(without_a_source)
    TEST_CASE(flaky_sources) TEST_CASE(errors_of_sources) TEST_CASE(no_memory) TEST_CASE(a_terabyte)
    TEST_CASE(locks_are_given_back) TEST_CASE(a_file_as_source) TEST_CASE(a_file_that_changes)
    TEST_CASE(a_mirror_is_a_file) TEST_CASE(a_pack_far_away) TEST_CASE(a_shard_far_away)
    TEST_CASE(an_archive_far_away) TEST_CASE(an_array_far_away) TEST_CASE(a_store_that_is_ill)
    TEST_CASE(a_store_for_reading) TEST_CASE(a_store_without_writing)
    TEST_CASE(a_store_whose_keys_change) TEST_CASE(a_store_whose_keys_vanish) TEST_CASE(two_readers_of_a_store) TEST_CASE(model))
