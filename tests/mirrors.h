/* For the tests of mirrors: an object far away whose bytes follow from its number, and the source that reads it, counts,
   logs and fails; what a map says, read by the format's description. */
#ifndef MIRRORS_H
#define MIRRORS_H

#include "arrays.h"
#include "faulty.h"

/* ---- the object ---------------------------------------------------------------------------------------------- */

typedef struct remote_record {
    uint64_t offset, size;
    bool more;                    /* one more range of the request before */
} remote_record;

typedef struct remote {
    uint64_t version, length;     /* which bytes, and how many */
    char tag[SHARDIO_MAX_TAG + 1];
    const uint8_t *bytes;         /* the bytes, if they are these; null: they follow from the version */

    /* what it shall do: all-zero, nothing bad */
    bool absent;                  /* there is no such object */
    uint64_t fail_at;             /* the n-th request fails, 1 is the first; 0: none, */
    bool fail_on;                 /* and all after it, */
    shardio_status fail_status;   /* with this status; 0: SHARDIO_ERR_IO */
    int fail_code;
    bool fail_about;
    uint64_t empty_at;            /* the n-th request gives nothing */
    uint64_t shorten;             /* seed of short reads; 0: whole ones */
    void (*during)(struct remote *r, bool begins);   /* called when a request begins and ends, with what it was given: */
    void *context;

    /* what happened */
    uint64_t requests, ranges, got, abouts, closes;   /* requests for bytes, ranges of them, bytes that were given */
    uint64_t wrong;               /* calls that break the rules: beyond the end, out of order, after the end of the source */
    remote_record log[2048];
    size_t logged;
    uint8_t *fetched;             /* how often the last byte of each chunk was given; null: not counted */
    uint64_t chunk;
    shardio_source_functions table;
} remote;

/* Eight bytes of the object, none of them zero, so that a hole never passes for data. */
static inline void remote_word(uint64_t version, uint64_t number, uint8_t *to)
{
    uint64_t word = test_mix(version * UINT64_C(0x1000193) + number) | UINT64_C(0x0101010101010101);
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(word >> 8 * i);
}

static inline void remote_bytes(const remote *r, uint64_t offset, uint8_t *to, size_t size)
{
    uint8_t word[8];
    if (r->bytes != NULL) {
        memcpy(to, r->bytes + (size_t)offset, size);
        return;
    }
    for (size_t i = 0; i < size;) {
        uint64_t at = offset + i;
        size_t skip = (size_t)(at % 8), n = 8 - skip < size - i ? 8 - skip : size - i;
        remote_word(r->version, at / 8, word);
        memcpy(to + i, word + skip, n);
        i += n;
    }
}

static inline bool remote_same(const remote *r, uint64_t offset, const uint8_t *data, size_t size)
{
    uint8_t piece[1024];
    if (size == 0) return true;
    if (offset > r->length || size > r->length - offset) return false;
    for (size_t i = 0; i < size; i += sizeof piece) {
        size_t n = size - i < sizeof piece ? size - i : sizeof piece;
        remote_bytes(r, offset + i, piece, n);
        if (memcmp(piece, data + i, n) != 0) return false;
    }
    return true;
}

/* The bytes of a range that the object has. */
static inline size_t remote_there(const remote *r, uint64_t offset, uint64_t size)
{
    if (offset >= r->length) return 0;
    return (size_t)(size < r->length - offset ? size : r->length - offset);
}

/* ---- its source ---------------------------------------------------------------------------------------------- */

static inline bool remote_hits(const remote *r, uint64_t n)
{
    return n != 0 && (r->requests == n || (r->fail_on && r->requests > n));
}

static inline void remote_note(remote *r, uint64_t offset, uint64_t size, bool more)
{
    r->ranges++;
    if (size == 0 || offset >= r->length || size > r->length - offset) r->wrong++;
    if (r->logged == sizeof r->log / sizeof r->log[0]) return;
    r->log[r->logged].offset = offset;
    r->log[r->logged].size = size;
    r->log[r->logged++].more = more;
}

static inline void remote_give(remote *r, uint64_t offset, void *data, size_t size)
{
    remote_bytes(r, offset, (uint8_t *)data, size);
    r->got += size;
    for (uint64_t end = offset; r->fetched != NULL && end < offset + size;) {
        uint64_t chunk = end / r->chunk, last = (chunk + 1) * r->chunk < r->length ? (chunk + 1) * r->chunk : r->length;
        if (last <= offset + size) r->fetched[chunk]++;
        end = last;
    }
}

static inline shardio_status remote_about(void *source, shardio_source_facts *facts, shardio_error *error)
{
    remote *r = (remote *)source;
    r->abouts++;
    r->wrong += r->closes;
    if (r->fail_about) {
        error->system_code = r->fail_code;
        error->reason = "the line is dead";
        return r->fail_status != SHARDIO_OK ? r->fail_status : SHARDIO_ERR_IO;
    }
    if (r->absent) return SHARDIO_ERR_NOT_FOUND;
    facts->length = r->length;
    snprintf(facts->tag, sizeof facts->tag, "%s", r->tag);
    return SHARDIO_OK;
}

/* Every request begins here. */
static inline shardio_status remote_begin(remote *r, shardio_error *error)
{
    r->requests++;
    r->wrong += r->closes;
    if (!remote_hits(r, r->fail_at)) return SHARDIO_OK;
    error->system_code = r->fail_code;
    error->reason = "the line is dead";
    return r->fail_status != SHARDIO_OK ? r->fail_status : SHARDIO_ERR_IO;
}

static inline shardio_status remote_read(void *source, uint64_t offset, void *data, size_t size, size_t *done,
                                         shardio_error *error)
{
    remote *r = (remote *)source;
    if (r->during != NULL) r->during(r, true);
    shardio_status status = remote_begin(r, error);
    *done = 0;
    remote_note(r, offset, size, false);
    if (status == SHARDIO_OK && !(r->empty_at != 0 && r->requests == r->empty_at)) {
        *done = remote_there(r, offset, size);
        if (r->shorten != 0 && *done > 1) *done = 1 + (size_t)(test_random(&r->shorten) % *done);
        remote_give(r, offset, data, *done);
    }
    if (r->during != NULL) r->during(r, false);
    return status;
}

static inline shardio_status remote_read_ranges(void *source, const shardio_source_range *ranges, size_t count,
                                                shardio_error *error)
{
    remote *r = (remote *)source;
    if (r->during != NULL) r->during(r, true);
    shardio_status status = remote_begin(r, error);
    r->wrong += count == 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && ranges[i].offset <= ranges[i - 1].offset + ranges[i - 1].size) r->wrong++;
        remote_note(r, ranges[i].offset, ranges[i].size, i > 0);
        if (status == SHARDIO_OK) remote_give(r, ranges[i].offset, ranges[i].data, ranges[i].size);
    }
    if (r->during != NULL) r->during(r, false);
    return status;
}

static inline void remote_close(void *source)
{
    remote *r = (remote *)source;
    r->closes++;
}

static inline void remote_make(remote *r, uint64_t version, uint64_t length)
{
    memset(r, 0, sizeof *r);
    r->version = version;
    r->length = length;
    snprintf(r->tag, sizeof r->tag, "\"v%llu\"", (unsigned long long)version);
}

/* Counts from zero again, whatever was planned stays. */
static inline void remote_forget(remote *r)
{
    r->requests = r->ranges = r->got = r->abouts = r->closes = 0;
    r->logged = 0;
}

/* A new source on the object. `ranges`: it can read several ranges in one request. */
static inline shardio_source remote_source(remote *r, bool ranges)
{
    shardio_source source;
    memset(&source, 0, sizeof source);
    r->closes = 0;
    r->table.about = remote_about;
    r->table.read = remote_read;
    r->table.read_ranges = ranges ? remote_read_ranges : NULL;
    r->table.close = remote_close;
    source.functions = &r->table;
    source.context = r;
    source.name = "far://object";
    return source;
}

/* ---- mirrors ------------------------------------------------------------------------------------------------- */

/* Chunks of 512 bytes, and nothing that was not asked for. */
static inline shardio_mirror_options plain_options(void)
{
    shardio_mirror_options o;
    memset(&o, 0, sizeof o);
    o.chunk = 512;
    o.read_ahead = SHARDIO_NO_OFFSET;
    return o;
}

/* Reads, and compares with the object: its bytes, as many as there are, and none behind them touched. */
static inline shardio_status read_and_compare(const char *file, int line, shardio_mirror *m, const remote *r,
                                              uint64_t offset, size_t size, shardio_error *error)
{
    size_t done = (size_t)1 << 20, there = remote_there(r, offset, size);
    uint8_t *data = (uint8_t *)malloc(size + 1);
    if (data == NULL) exit(2);
    memset(data, 0, size + 1);
    shardio_status status = shardio_mirror_read(m, offset, data, size, &done, error);
    test_equal_status(file, line, "error->status", error->status, status);
    if (status == SHARDIO_OK) {
        test_equal_u64(file, line, "bytes that were read", done, there);
        if (done == there && !remote_same(r, offset, data, done)) test_fail(file, line, "the bytes are not the object's");
        for (size_t i = there; i <= size; i++)
            if (data[i] != 0 && (test_fail(file, line, "bytes behind what was read were changed"), true)) break;
    } else if (done > there || !remote_same(r, offset, data, done)) {
        test_fail(file, line, "a read that failed says that it read something, and it is not the object's");
    }
    free(data);
    return status;
}

#define CHECK_READ(m, r, offset, size)                                                                             \
    do {                                                                                                           \
        shardio_error check_error;                                                                                 \
        test_equal_status(__FILE__, __LINE__, "read", read_and_compare(__FILE__, __LINE__, (m), (r), (offset),     \
                                                                       (size), &check_error), SHARDIO_OK);         \
    } while (0)

/* Coverage as text, in chunks: "0+2 5+1". */
static inline const char *coverage_text(shardio_mirror *m, char *text, size_t size)
{
    shardio_mirror_facts facts = shardio_mirror_about(m);
    uint64_t from = 0, offset, length, extents = 0, bytes = 0;
    size_t used = 0;
    text[0] = 0;
    while (shardio_mirror_next_extent(m, from, &offset, &length)) {
        uint64_t end = offset + length;
        CHECK(length > 0 && offset >= from && offset % facts.chunk == 0 && end <= facts.length);
        CHECK(end % facts.chunk == 0 || end == facts.length);
        CHECK(extents == 0 || offset > from);          /* what touches is one */
        CHECK(shardio_mirror_has(m, offset, length));
        if (used + 45 < size)
            used += (size_t)snprintf(text + used, size - used, "%s%llu+%llu", used ? " " : "",
                                     (unsigned long long)(offset / facts.chunk),
                                     (unsigned long long)((length + facts.chunk - 1) / facts.chunk));
        extents++;
        bytes += length;
        from = end;
        if (!CHECK(length > 0)) break;
    }
    CHECK_U64(facts.extents, extents);
    CHECK_U64(facts.covered, bytes);
    return text;
}

#define CHECK_COVERAGE(m, want)                                                                                    \
    do {                                                                                                           \
        char coverage[2000];                                                                                       \
        test_equal_text(__FILE__, __LINE__, "coverage", coverage_text((m), coverage, sizeof coverage), (want));    \
    } while (0)

/* Whether the file system under `path` makes holes: then a file of ours gives room back. */
static inline bool holes_can_be_punched(const char *path)
{
    static uint8_t data[1 << 16];
    struct stat before, after;
    char name[500];
    snprintf(name, sizeof name, "%.400s/holes", path);
    int fd = open(name, O_RDWR | O_CREAT, 0666);
    bool can = fd >= 0 && pwrite(fd, data, sizeof data, 0) == (ssize_t)sizeof data && fsync(fd) == 0 &&
               fstat(fd, &before) == 0 &&
               fallocate(fd, 3 /* FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE */, 0, sizeof data) == 0 &&
               fstat(fd, &after) == 0 && after.st_blocks < before.st_blocks;
    if (fd >= 0) close(fd);
    unlink(name);
    return can;
}

/* ---- what a map says ----------------------------------------------------------------------------------------- */

typedef struct map_view {
    bool valid, absent;
    uint64_t chunk, length, generation, saves, chunks;
    char tag[SHARDIO_MAX_TAG + 1];
    const uint8_t *bits;
} map_view;

enum { MAP_HEAD = 40 };

static inline uint64_t map_number(const uint8_t *from, int size)
{
    uint64_t number = 0;
    for (int i = 0; i < size; i++) number |= (uint64_t)from[i] << 8 * i;
    return number;
}

static inline void map_seal(uint8_t *map, size_t size)
{
    uint32_t crc = shardio_crc32c(0, map, size - 4);
    for (int i = 0; i < 4; i++) map[size - 4 + (size_t)i] = (uint8_t)(crc >> 8 * i);
}

static inline map_view map_look(const uint8_t *map, size_t size)
{
    map_view v;
    memset(&v, 0, sizeof v);
    if (map == NULL || size < MAP_HEAD + 4 || memcmp(map, "SHMR", 4) != 0 || map[4] != 1 || map[5] > 26) return v;
    size_t tag = (size_t)map_number(map + 32, 4);
    v.chunk = (uint64_t)1 << map[5];
    v.absent = map[6] == 1;
    v.length = map_number(map + 8, 8);
    v.generation = map_number(map + 16, 8);
    v.saves = map_number(map + 24, 8);
    v.chunks = v.length / v.chunk + (v.length % v.chunk != 0);
    if (tag > SHARDIO_MAX_TAG || size != MAP_HEAD + tag + (size_t)((v.chunks + 7) / 8) + 4) return v;
    memcpy(v.tag, map + MAP_HEAD, tag);
    v.bits = map + MAP_HEAD + tag;
    v.valid = shardio_crc32c(0, map, size - 4) == map_number(map + size - 4, 4);
    return v;
}

static inline bool map_has(const map_view *v, uint64_t chunk)
{
    return (v->bits[chunk / 8] >> chunk % 8 & 1) != 0;
}
#endif
