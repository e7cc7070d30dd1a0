/* What the parts of the soak share. The model says what each file has to hold. It lies in a mapped file of its own, so
   that it outlives a process that is killed, and readers see it, too. All contents are computed from object, place and
   version: who reads a piece can tell which version it is, and whether it is that to the byte. */
#ifndef SOAK_H
#define SOAK_H

#define SHARDIO_IMPLEMENTATION
#define SHARDIO_STATIC
#include "../../shardio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the model ---- */

enum {
    CELLS = 160,                       /* chunks of a shard, keys of an archive */
    TIMES = 64, ROWS = 40, COLUMNS = 40, FRAME = ROWS * COLUMNS, ELEMENTS = TIMES * FRAME,
    EXTENTS = 256, LAYERS = 20,
    SHARDS = 4, ARRAYS = 5
};

/* Pieces that have a version each; an even version is: not there. A version is never used twice. */
typedef struct cells {
    uint32_t committed[CELLS], next[CELLS], newest[CELLS];
    uint32_t pending;                  /* `next` is being promised: the file holds all of it or all of `committed` */
    uint32_t exists;
} cells;

/* An array [time][row][column] of uint64. */
typedef struct grid {
    uint32_t version, pending;         /* the newest begun; a change is under way, with this version */
    uint32_t first[3], count[3];       /* and writes here */
    uint32_t extents[EXTENTS];         /* of the first dimension, one after the other */
    uint32_t begun, done;              /* extents[done % EXTENTS] is promised, those up to begun may be seen */
    uint32_t births;                   /* odd: the array is being made anew */
    uint32_t label, next_label;        /* an attribute */
    uint32_t of[ELEMENTS];             /* version of each element; 0: the fill value */
} grid;

typedef struct pack_model {
    uint32_t version, items, next_version, next_items, pending;
} pack_model;

typedef struct archive_model {
    cells keys;
    uint32_t layer[LAYERS][CELLS];     /* what the older layers hold */
    uint64_t number[LAYERS];           /* of these layers; the last one is the newest */
    uint32_t depth, target, compacting;/* target: 1 + the layer that a rollback goes to */
    uint32_t rewinds;                  /* odd: a rollback is under way */
} archive_model;

typedef struct mirror_model {
    uint32_t version;                  /* of the object far away */
} mirror_model;

#define DEEDS(X)                                                                                              \
    X(SHARD_CREATE, "shard: create") X(SHARD_UPDATE, "shard: update") X(SHARD_REWRITE, "shard: rewrite")      \
    X(SHARD_CHECKPOINT, "shard: checkpoint") X(SHARD_COMPACT, "shard: compact")                               \
    X(SHARD_RECOVER, "shard: recover") X(SHARD_VERIFY, "shard: verify") X(ARRAY_CREATE, "array: create")      \
    X(ARRAY_APPEND, "array: append") X(ARRAY_WRITE, "array: write a region") X(ARRAY_RESIZE, "array: resize") \
    X(ARRAY_ATTRIBUTE, "array: attribute") X(ARRAY_COMPACT, "array: compact")                                 \
    X(ARRAY_STATISTICS, "array: statistics") X(ARRAY_READ, "array: read, verify")                             \
    X(PACK_WRITE, "pack: write") X(PACK_READ, "pack: read, verify") X(ARCHIVE_PUT, "archive: put, delete")    \
    X(ARCHIVE_COMMIT, "archive: commit") X(ARCHIVE_DISCARD, "archive: discard")                               \
    X(ARCHIVE_ROLLBACK, "archive: roll back") X(ARCHIVE_COMPACT, "archive: compact")                          \
    X(ARCHIVE_VERIFY, "archive: verify") X(MIRROR_OPEN, "mirror: open, close") X(MIRROR_READ, "mirror: read") \
    X(MIRROR_EVICT, "mirror: evict") X(MIRROR_SAVE, "mirror: save") X(MIRROR_CHANGE, "mirror: another object")
typedef enum deed {
#define SOAK_DEED(name, text) name,
    DEEDS(SOAK_DEED)
#undef SOAK_DEED
    DEED_COUNT
} deed;

typedef struct model {
    cells shards[SHARDS];
    grid arrays[ARRAYS];
    pack_model pack;
    archive_model archive;
    mirror_model mirror;
    uint64_t done[DEED_COUNT], no_space[DEED_COUNT];
    uint64_t bytes, checked, recovered, starts;    /* written; compared; shards that were torn; of the process */
    uint64_t looks, look_bytes, errors[SHARDIO_STATUS_COUNT], overtaken;    /* of the reader */
} model;

static model *m;
static char home[200];
static const char *role;
static uint64_t seed;

/* Nothing is expected to go wrong but what the callers pass over: says what it is and ends the process. */
static void fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "soak: %s of %s: ", role, home);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(3);
}

static void fail_error(const char *what, const shardio_error *error)
{
    char text[400];
    fail("%s: %s", what, shardio_error_text(error, text, sizeof text));
}

/* Whether it went well. A full disk is what the soak is about, and noted; any other error is not expected. */
static bool well(deed d, const char *what, const shardio_error *error)
{
    if (error->status == SHARDIO_OK) {
        m->done[d]++;
        return true;
    }
    if (error->status != SHARDIO_ERR_NO_SPACE) fail_error(what, error);
    if (error->operation == NULL || error->subject[0] == 0) fail("%s: a full disk without operation or file", what);
    m->no_space[d]++;
    return false;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* The driver makes room again, sooner or later. */
static void wait_for_room(double *since)
{
    if (*since == 0) *since = now();
    if (now() - *since > 100) fail("no room for 100 seconds");
    pause_ms(20);
}

/* ---- numbers ---- */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)((mix(seed++) >> 32) * n >> 32);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

/* Stores that others see in this order. */
static void tell(uint32_t *where, uint32_t value)
{
    __atomic_store_n(where, value, __ATOMIC_SEQ_CST);
}

static uint32_t ask(const uint32_t *where)
{
    return __atomic_load_n(where, __ATOMIC_SEQ_CST);
}

/* ---- contents of a piece: its version, then bytes that nobody else has ---- */

enum { PIECE_MAX = 100000 };
static uint8_t piece[PIECE_MAX + 8], seen[PIECE_MAX + 8];

static size_t piece_size(uint32_t object, uint32_t place, uint32_t version)
{
    uint64_t r = mix((uint64_t)object << 56 ^ (uint64_t)place << 32 ^ version);
    if (r % 40 == 0) return 4 + r % (PIECE_MAX - 4);
    return 4 + (r >> 8) % 9000;
}

static size_t make_piece(uint8_t *to, uint32_t object, uint32_t place, uint32_t version)
{
    size_t size = piece_size(object, place, version);
    uint64_t state = mix((uint64_t)object << 56 ^ (uint64_t)place << 32 ^ version) ^ 1;
    for (size_t i = 4; i < size; i += 8) {
        uint64_t word = mix(state++);
        memcpy(to + i, &word, 8);
    }
    memcpy(to, &version, 4);
    return size;
}

/* The version that `data` is, or 0 if it is none of this place. */
static uint32_t version_of_piece(uint32_t object, uint32_t place, const uint8_t *data, uint64_t size)
{
    static uint8_t right[PIECE_MAX + 8];
    uint32_t version;
    if (size < 4 || size > PIECE_MAX) return 0;
    memcpy(&version, data, 4);
    if (version % 2 == 0 || piece_size(object, place, version) != size) return 0;
    make_piece(right, object, place, version);
    return memcmp(right, data, (size_t)size) == 0 ? version : 0;
}

/* ---- cells ---- */

/* Gives a cell its next version. */
static uint32_t cells_bump(cells *c, uint32_t place, bool present)
{
    uint32_t version = c->newest[place] + 1;
    if ((version % 2 != 0) != present) version++;
    tell(&c->newest[place], version);
    c->next[place] = version;
    return version;
}

static void cells_begin(cells *c)
{
    memcpy(c->next, c->committed, sizeof c->next);
}

/* From here on others may see `next`. */
static void cells_promise(cells *c)
{
    tell(&c->pending, 1);
}

/* Killed in between, it is done again. */
static void cells_commit(cells *c)
{
    memcpy(c->committed, c->next, sizeof c->next);
    tell(&c->exists, 1);
    tell(&c->pending, 0);
}

/* `found` are the versions that a file holds, each 0 where there is nothing. */
static bool cells_are(const uint32_t *found, const uint32_t *wanted, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (found[i] != (wanted[i] % 2 ? wanted[i] : 0)) return false;
    return true;
}

/* What a file holds is what was promised, or, if it was under way, what comes next. Makes the model say which. */
static void cells_settle(cells *c, const uint32_t *found, uint32_t count, const char *what)
{
    if (c->pending && cells_are(found, c->next, count)) {
        cells_commit(c);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        if (found[i] != (c->committed[i] % 2 ? c->committed[i] : 0))
            fail("%s: piece %u has version %u, not %u%s%u", what, i, found[i], c->committed[i],
                 c->pending ? "; under way: " : "; newest: ", c->pending ? c->next[i] : c->newest[i]);
    tell(&c->pending, 0);
}

/* Whether a reader may have seen this (0: nothing), with `low` promised before it opened. */
static bool cell_may_be(const cells *c, uint32_t place, uint32_t found, uint32_t low)
{
    uint32_t high = ask(&c->newest[place]);
    if (found != 0) return low <= found && found <= high;
    return low % 2 == 0 || low < high;
}

/* ---- files ---- */

static const char *path_of(char *path, const char *name, uint32_t number)
{
    snprintf(path, 260, "%s/%s%u", home, name, number);
    return path;
}

static void remove_temporary(const char *directory)
{
    DIR *list = opendir(directory);
    if (list == NULL) return;
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        char path[700];
        size_t length = strlen(e->d_name), tail = strlen(".shardio-tmp");
        if (e->d_name[0] == '.' && e->d_name[1] == 0) continue;
        if (e->d_name[0] == '.' && e->d_name[1] == '.' && e->d_name[2] == 0) continue;
        snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
        if (e->d_type == DT_DIR) remove_temporary(path);
        else if (length > tail && strcmp(e->d_name + length - tail, ".shardio-tmp") == 0) unlink(path);
    }
    closedir(list);
}

static uint64_t file_size(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 ? (uint64_t)facts.st_size : 0;
}

/* Mostly as a user would leave it. */
static shardio_direct some_direct(void)
{
    return one_in(3) ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO;
}

static shardio_overlap some_overlap(void)
{
    return one_in(2) ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_AUTO;   /* what is small is not under way by itself */
}

static shardio_durability some_durability(void)
{
    return one_in(12) ? SHARDIO_DURABLE_FINISH : SHARDIO_DURABLE_NONE;
}

/* What a reader beside a writer may get, by the documentation: nothing yet, an index or a zarr.json that is just being
   replaced, a file that has become another one. */
static bool reader_may_get(shardio_status status)
{
    return status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND || status == SHARDIO_ERR_CHECKSUM ||
           status == SHARDIO_ERR_TRUNCATED || status == SHARDIO_ERR_CHANGED;
}

static bool reader_got(const char *what, const shardio_error *error)
{
    m->errors[error->status]++;
    if (!reader_may_get(error->status)) fail_error(what, error);
    return error->status == SHARDIO_OK;
}

#endif
