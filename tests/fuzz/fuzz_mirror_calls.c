/* Sequences of calls on a mirror, against the object far away: what is read is always its bytes, what was fetched and
   kept is not asked for again.

   Input: options, the length of the object (2 bytes), then calls: a byte that says which, and what it needs. */
#define FUZZ_NAME "mirror_calls"
#define FUZZ_ROUNDS 15
#include "fuzz.h"
#include "../mirrors.h"

enum { MOST_CALLS = 40, MOST_LENGTH = 40000, LARGEST_READ = 9000 };

typedef struct life {
    uint8_t options;
    char path[450];
    remote object;
    shardio_mirror *mirror;
    counter allocations;
    uint64_t covered;                  /* when it was closed */
    bool kept;                         /* it was closed well, and nothing has changed since */
} life;

static bool calm(const life *l)
{
    return l->object.fail_at == 0 && l->object.empty_at == 0 && l->allocations.fail_at == 0;
}

static bool went(const life *l, shardio_status s)
{
    if (s != SHARDIO_OK) CHECK(!calm(l));
    return s == SHARDIO_OK;
}

static shardio_mirror_options mirror_options(life *l, bool start_over)
{
    shardio_mirror_options o = plain_options();
    o.chunk = fuzz_flag(l->options, 0) ? 1024 : 512;
    o.request = fuzz_flag(l->options, 1) ? 2048 : 0;
    o.gap = fuzz_flag(l->options, 2) ? 1024 : 0;
    o.save_every = fuzz_flag(l->options, 3) ? 3000 : SHARDIO_NO_OFFSET;
    o.read_ahead = fuzz_flag(l->options, 4) ? 4096 : SHARDIO_NO_OFFSET;
    o.check_later = fuzz_flag(l->options, 5) && !start_over;
    o.start_over = start_over;
    o.allocator = &l->allocations.allocator;
    return o;
}

/* Of another object it says so, and starts over if it is told to. */
static void begin(life *l)
{
    shardio_error e;
    shardio_mirror_options o = mirror_options(l, false);
    shardio_source source = remote_source(&l->object, fuzz_flag(l->options, 6));
    l->mirror = shardio_mirror_open(&source, l->path, &o, &e);
    if (l->mirror == NULL && e.status == SHARDIO_ERR_CHANGED) {
        CHECK(!l->kept);
        o = mirror_options(l, true);
        source = remote_source(&l->object, fuzz_flag(l->options, 6));
        l->mirror = shardio_mirror_open(&source, l->path, &o, &e);
        if (l->mirror != NULL) CHECK_U64(shardio_mirror_about(l->mirror).covered, 0);
    }
    (void)went(l, e.status);
    if (l->mirror != NULL && l->kept) CHECK_U64(shardio_mirror_about(l->mirror).covered, l->covered);
}

static void end(life *l)
{
    shardio_error e;
    char text[2000];
    (void)coverage_text(l->mirror, text, sizeof text);
    l->covered = shardio_mirror_about(l->mirror).covered;
    l->kept = went(l, SAID(shardio_mirror_close(l->mirror, &e)));
    l->mirror = NULL;
    CHECK_U64(l->object.closes, 1);
    CHECK_U64(l->object.wrong, 0);
    CHECK_U64(l->allocations.live, 0);
}

/* Another object under the same name, when nobody looks. Who checks later sees the old one for a while: not from here
   on. */
static void change(life *l, fuzz_input *in)
{
    uint64_t version = l->object.version + 1;
    if (l->mirror != NULL) end(l);
    remote_make(&l->object, version, fuzz_below(in, MOST_LENGTH));
    l->kept = false;
    l->options &= (uint8_t)~(1u << 5);
}

static void read_some(life *l, fuzz_input *in)
{
    uint64_t offset = fuzz_below(in, MOST_LENGTH + 100);
    size_t size = (size_t)fuzz_below(in, LARGEST_READ);
    shardio_error e;
    if (went(l, SAID(read_and_compare(__FILE__, __LINE__, l->mirror, &l->object, offset, size, &e))))
        CHECK(shardio_mirror_has(l->mirror, offset, size));
}

static void read_in_order(life *l, fuzz_input *in)
{
    static uint8_t data[LARGEST_READ];
    uint64_t at = fuzz_below(in, l->object.length + 1);
    size_t size = (size_t)fuzz_below(in, 2000), done;
    shardio_error e;
    if (!went(l, SAID(shardio_mirror_seek(l->mirror, at, &e)))) return;
    for (int i = 0; i < 4; i++, at += done) {
        if (!went(l, SAID(shardio_mirror_next(l->mirror, data, size, &done, &e)))) return;
        CHECK_U64(done, remote_there(&l->object, at, size));
        CHECK(remote_same(&l->object, at, data, done));
    }
}

static void fetch(life *l, fuzz_input *in, bool all)
{
    shardio_error e;
    uint64_t offset = all ? 0 : fuzz_below(in, MOST_LENGTH);
    uint64_t size = all ? l->object.length : fuzz_below(in, LARGEST_READ);
    shardio_status s = all ? SAID(shardio_mirror_fill(l->mirror, NULL, NULL, &e))
                           : SAID(shardio_mirror_prefetch(l->mirror, offset, size, &e));
    if (!went(l, s)) return;
    CHECK(shardio_mirror_has(l->mirror, offset, size));
    uint64_t before = l->object.requests;
    CHECK_READ(l->mirror, &l->object, offset, size < LARGEST_READ ? (size_t)size : (size_t)LARGEST_READ);
    CHECK_U64(l->object.requests, before);
}

static void evict(life *l, fuzz_input *in)
{
    shardio_error e;
    uint64_t offset = fuzz_below(in, MOST_LENGTH), size = fuzz_below(in, LARGEST_READ);
    uint64_t chunk = shardio_mirror_about(l->mirror).chunk;
    uint64_t first = (offset + chunk - 1) / chunk * chunk;
    if (!went(l, SAID(shardio_mirror_evict(l->mirror, offset, size, &e)))) return;
    if (first + chunk <= offset + size && first + chunk <= l->object.length)
        CHECK(!shardio_mirror_has(l->mirror, first, chunk));
}

static void evict_to(life *l, fuzz_input *in)
{
    shardio_error e;
    uint64_t budget = fuzz_below(in, MOST_LENGTH);
    if (went(l, SAID(shardio_mirror_evict_to(l->mirror, budget, &e))))
        CHECK(shardio_mirror_about(l->mirror).covered <= budget);
}

/* Through the mirror as a file. */
static void read_as_file(life *l, fuzz_input *in)
{
    static uint8_t data[LARGEST_READ];
    shardio_file file = shardio_mirror_file(l->mirror, false);
    uint64_t offset = fuzz_below(in, MOST_LENGTH);
    size_t size = (size_t)fuzz_below(in, LARGEST_READ);
    shardio_error e;
    shardio_status s = SAID(shardio_file_read(&file, offset, data, size, &e));
    if (offset + size > l->object.length) CHECK(s != SHARDIO_OK || size == 0);
    else if (calm(l)) CHECK_OK(s);
    if (s == SHARDIO_OK) CHECK(remote_same(&l->object, offset, data, size));
}

static void arm(life *l, fuzz_input *in)
{
    uint8_t fails = fuzz_byte(in), how = fuzz_byte(in);
    l->object.fail_at = fails % 8 > 0 ? l->object.requests + fails % 8 : 0;
    l->object.fail_on = fuzz_flag(how, 0);
    l->object.empty_at = fuzz_flag(how, 1) ? l->object.requests + fails % 4 + 1 : 0;
    l->object.shorten = fuzz_flag(how, 2) ? (uint64_t)how + 1 : 0;
    l->object.fail_about = fuzz_flag(how, 3) && l->object.fail_at > 0;
    l->allocations.calls = 0;
    l->allocations.fail_at = fuzz_flag(how, 4) ? fails : 0;
}

static void call(life *l, fuzz_input *in)
{
    uint8_t which = fuzz_byte(in);
    shardio_error e;
    if (l->mirror == NULL) begin(l);
    if (l->mirror == NULL) {
        l->allocations.fail_at = l->object.fail_at = 0;
        l->object.fail_about = false;
        return;
    }
    switch (which % 16) {
    case 0: case 1: case 2: case 3: read_some(l, in); break;
    case 4: case 5: read_in_order(l, in); break;
    case 6: fetch(l, in, false); break;
    case 7: fetch(l, in, true); break;
    case 8: evict(l, in); break;
    case 9: evict_to(l, in); break;
    case 10: (void)went(l, SAID(shardio_mirror_save(l->mirror, &e))); break;
    case 11: read_as_file(l, in); break;
    case 12: case 13: end(l); break;
    case 14: change(l, in); break;
    default: arm(l, in);
    }
}

static void fuzz_one(fuzz_input in)
{
    static life l;
    char map[480];
    memset(&l, 0, sizeof l);
    l.options = fuzz_byte(&in);
    fuzz_memory(&l.allocations, 4 << 20, 0);
    snprintf(l.path, sizeof l.path, "%.300s/object", rig_directory());
    snprintf(map, sizeof map, "%s.shardio-map", l.path);
    unlink(l.path);
    unlink(map);
    remote_make(&l.object, 1, fuzz_below(&in, MOST_LENGTH));
    for (int n = 0; n < MOST_CALLS && in.size > 0 && test_failures == 0; n++) call(&l, &in);
    if (l.mirror != NULL) end(&l);
    CHECK_U64(l.allocations.live, 0);
}

static void fuzz_seeds(void)
{
    uint8_t data[160];
    for (uint64_t i = 0; i < 32; i++) {
        test_fill(data, sizeof data, 1700 + i);
        data[0] = (uint8_t)(i * 5);
        fuzz_seed(data, i < 16 ? 60 : sizeof data);
    }
}
