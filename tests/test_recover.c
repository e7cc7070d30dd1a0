/* Recovering torn shards, and compacting: every crash of a life that is played again byte by byte, what must never be
   taken for an index, bad files, and what it costs. */
#include "test.h"
#include "faulty.h"

enum { MOST_CHUNKS = 40, MOST_STATES = 60, ROOM = 1 << 16 };

static uint8_t source[1 << 17];
static uint8_t buffer[1 << 16] __attribute__((aligned(4096)));      /* of the slot */
static uint8_t head[1 << 14] __attribute__((aligned(4096)));        /* of the index */

static shardio_index_layout make_layout(uint64_t chunks, bool at_start, bool big)
{
    shardio_index_layout l = {0, false, false, false, 0, NULL};
    if (source[0] == 0) test_fill(source, sizeof source, 5);
    source[0] |= 1;
    l.chunks = chunks;
    l.at_start = at_start;
    l.big_endian = big;
    return l;
}

/* What a shard held when an index was complete. */
typedef struct state {
    struct {
        const uint8_t *data;   /* null: missing */
        size_t size;
    } chunk[MOST_CHUNKS];
    uint64_t start;            /* of its index (index at the start: of the copy, 0 if there is none) */
    uint8_t index[16 * MOST_CHUNKS + 4];
    bool anchored;             /* such a one has to be found; others may be reported as ambiguous */
    bool touched;              /* a chunk ends where the index begins */
    size_t before;             /* operations on the tape before its index was written */
} state;

/* A shard that is written, and all that was put into it. */
typedef struct life {
    shardio_index_layout layout;
    size_t index_size;
    rig g;
    faulty_tape *tape;
    shardio_shard_writer w;
    state now, states[MOST_STATES];
    size_t count;
    size_t begun;              /* of them, up to the operation that is looked at */
    uint64_t end;              /* where the newest anchored index ends */
    bool exposed;
} life;

static void life_begin(life *l, shardio_index_layout layout)
{
    memset(l, 0, sizeof *l);
    l->layout = layout;
    l->index_size = shardio_index_size(&layout);
    rig_begin(&l->g, false, NULL, 0);
    l->tape = (faulty_tape *)calloc(1, sizeof *l->tape);
    CHECK(l->tape != NULL);
    l->g.faulty.tape = l->tape;
}

static void life_open(life *l, bool update)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.direct = SHARDIO_DIRECT_OFF;
    size_t memory = shardio_shard_memory(&l->layout, 4096);
    if (update)
        CHECK_OK(shardio_shard_begin_update(&l->w, rig_open(&l->g, true), NULL, &l->layout, head, memory, buffer, 512,
                                            &o));
    else CHECK_OK(shardio_shard_begin(&l->w, rig_open(&l->g, false), &l->layout, head, memory, buffer, 512, &o));
    l->exposed = update;
}

static void put_bytes(life *l, uint64_t chunk, const uint8_t *data, size_t size)
{
    CHECK_OK(shardio_shard_put(&l->w, chunk, data, size));
    l->now.chunk[chunk].data = data;
    l->now.chunk[chunk].size = size;
}

static void put(life *l, uint64_t chunk, size_t size)
{
    static size_t from;
    from = (from + 977) % (sizeof source / 2);
    put_bytes(l, chunk, source + from, size);
}

static void drop(life *l, uint64_t chunk)
{
    CHECK_OK(shardio_shard_drop(&l->w, chunk));
    l->now.chunk[chunk].data = NULL;
}

/* Notes what the index says that was just completed. `at`, `operations`: where file and tape ended before. */
static void note_state(life *l, uint64_t at, size_t operations)
{
    const state *before = l->count > 0 ? &l->states[l->count - 1] : NULL;
    state *s = &l->states[l->count];
    size_t size = 0;
    bool witness = false, base = at == (l->layout.at_start ? l->index_size : 0);
    const uint8_t *data = rig_contents(&l->g, &size);
    if (!CHECK(l->count < MOST_STATES) || (before != NULL && size == at)) return;
    l->begun = ++l->count;
    *s = l->now;
    s->before = operations;
    s->start = l->layout.at_start && !l->exposed ? 0 : at;
    memcpy(s->index, data + (l->layout.at_start ? 0 : at), l->index_size);
    s->touched = false;
    for (uint64_t c = 0; c < l->layout.chunks; c++) {
        uint64_t offset, length;
        shardio_index_get(&l->layout, s->index, c, &offset, &length);
        if (length == SHARDIO_MISSING) continue;
        if (length > 0 && offset + length == at) s->touched = true;
        if (length > 0 || offset == at) witness = true;
    }
    s->anchored = s->touched || base || (l->end == at && witness) || s->start == 0;
    if (s->anchored) l->end = at + l->index_size;
}

static void checkpoint(life *l)
{
    uint64_t at = shardio_slot_size(&l->w.slot);
    size_t operations = l->tape->ops;
    l->exposed = true;
    CHECK_OK(shardio_shard_checkpoint(&l->w));
    note_state(l, at, operations);
}

static void finish(life *l)
{
    uint64_t at = shardio_slot_size(&l->w.slot);
    size_t operations = l->tape->ops;
    CHECK_OK(shardio_shard_finish(&l->w, NULL));
    note_state(l, at, operations);
}

static void life_end(life *l)
{
    free(l->tape);
    rig_end(&l->g);
}

/* ---- one recovery ------------------------------------------------------------------------------------------------ */

typedef struct outcome {
    shardio_status status;
    shardio_recovery found;
    shardio_error error;
    size_t size;
    uint8_t data[ROOM];   /* the file afterwards */
} outcome;

/* A file in memory over a copy of these bytes; the copy is `o->data`. */
static shardio_file copy_file(shardio_memory *memory, outcome *o, const uint8_t *data, size_t size)
{
    memset(memory, 0, sizeof *memory);
    CHECK(size <= sizeof o->data);
    if (size > 0) memcpy(o->data, data, size);
    memory->data = o->data;
    memory->size = size;
    memory->capacity = sizeof o->data;
    memory->fixed = true;
    return shardio_memory_file(memory, "torn shard");
}

static void recover_with(outcome *o, const uint8_t *data, size_t size, const shardio_index_layout *layout, bool apply,
                         shardio_chunk_check check, void *context)
{
    shardio_memory memory;
    shardio_file file = copy_file(&memory, o, data, size);
    o->status = shardio_shard_recover_file(&file, layout, apply, check, context, NULL, &o->found, &o->error);
    o->size = memory.size;
    CHECK_STATUS(o->error.status, o->status);
    CHECK_U64(o->found.file_bytes, size);
    CHECK(o->found.ambiguous == (o->status == SHARDIO_ERR_CORRUPT || o->status == SHARDIO_ERR_LIMIT));
    CHECK(o->found.changed == (apply && o->status == SHARDIO_OK && !o->found.intact));
    CHECK(o->status == SHARDIO_OK || (!o->found.intact && o->error.reason != NULL));
    if (!o->found.changed) CHECK(o->size == size && (size == 0 || memcmp(o->data, data, size) == 0));
}

static bool is_state(const uint8_t *data, size_t size, const shardio_index_layout *layout, const state *s)
{
    static uint8_t chunk_bytes[ROOM];
    shardio_memory memory;
    shardio_shard_reader reader;
    bool same = true;
    memset(&memory, 0, sizeof memory);
    memory.data = (uint8_t *)(uintptr_t)data;
    memory.size = memory.capacity = size;
    memory.fixed = true;
    shardio_file file = shardio_memory_file(&memory, "recovered");
    if (shardio_shard_open_file(&reader, file, layout, NULL, NULL) != SHARDIO_OK) return false;
    for (uint64_t c = 0; c < layout->chunks && same; c++) {
        uint64_t n = 0;
        same = shardio_shard_read(&reader, c, chunk_bytes, sizeof chunk_bytes, &n, NULL) == SHARDIO_OK &&
               n == (s->chunk[c].data ? s->chunk[c].size : SHARDIO_MISSING) &&
               (n == SHARDIO_MISSING || n == 0 || memcmp(chunk_bytes, s->chunk[c].data, (size_t)n) == 0);
    }
    shardio_shard_close(&reader);
    return same;
}

/* ---- crashes of a life ------------------------------------------------------------------------------------------- */

static bool holds_index(const life *l, const state *s, const uint8_t *data, size_t size)
{
    bool tail = !l->layout.at_start || s->start != 0;
    if (tail && s->start + l->index_size <= size && memcmp(data + s->start, s->index, l->index_size) == 0) return true;
    return l->layout.at_start && size >= l->index_size && memcmp(data, s->index, l->index_size) == 0;
}

/* An index at the start that was never copied is written before the chunks are, if all fit the buffer. */
static bool holds_chunks(const life *l, const state *s, size_t size)
{
    for (uint64_t c = 0; c < l->layout.chunks; c++) {
        uint64_t offset, length;
        shardio_index_get(&l->layout, s->index, c, &offset, &length);
        if (length != SHARDIO_MISSING && offset + length > size) return false;
    }
    return true;
}

/* The newest state that is complete in the file; null if none is. Later ones, whose index may be the same bytes, had not
   begun. The last bytes of an index may happen to be those that lie behind the crash. *half: of a newer one there is only
   the index. */
static const state *newest_state(const life *l, const uint8_t *data, size_t size, size_t tail, bool *half)
{
    *half = false;
    for (size_t i = l->begun; i > 0; i--) {
        const state *s = &l->states[i - 1];
        if (!holds_index(l, s, data, size + tail)) continue;
        if (holds_chunks(l, s, size)) return s;
        *half = true;
    }
    return NULL;
}

typedef struct tally {
    uint64_t right, intact, ambiguous, none;
} tally;

static bool blank(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != 0) return false;
    return true;
}

/* Recovers these bytes, whose first `size` are a crash of the life; behind them lies what `tail` bytes say. */
static void check_crash(const life *l, const uint8_t *data, size_t size, size_t tail, bool apply, tally *t)
{
    static outcome o;
    bool half;   /* what is at the start is not given up, but is not complete either */
    const state *s = newest_state(l, data, size, tail, &half);
    bool start = l->layout.at_start, garbage = !blank(data + size, tail);
    bool in_head = start && s != NULL && memcmp(data, s->index, l->index_size) == 0;
    int failures = test_failures;
    if (half && tail > 0) return;   /* what lies behind looks like the chunks that are not there */
    recover_with(&o, data, size + tail, &l->layout, apply, NULL, NULL);
    if (half) {
        CHECK_STATUS(o.status, SHARDIO_ERR_CORRUPT);
    } else if (s == NULL) {
        CHECK_STATUS(o.status, SHARDIO_ERR_NOT_FOUND);
        t->none++;
    } else if (o.status == SHARDIO_ERR_CORRUPT) {
        /* said of none but those; with the index at the start, also of a copy that other bytes follow */
        bool last = !start || !garbage || (s->touched && !blank(data, l->index_size));
        CHECK(!in_head && (!s->anchored || !last));
        t->ambiguous++;
    } else {
        CHECK_OK(o.status);
        if (start) CHECK(o.found.intact == in_head);
        if (s->anchored && !in_head) CHECK_U64(o.found.index_offset, s->start);
        if (s->anchored && !start) CHECK_U64(o.found.end, s->start + l->index_size);
        if (o.found.intact) CHECK_U64(o.found.end, size + tail);
        if (apply || o.found.intact) CHECK(is_state(o.data, o.size, &l->layout, s));
        if (apply && start) CHECK_U64(o.size, size + tail);
        if (apply && !start) CHECK_U64(o.size, o.found.end);
        t->right++;
        t->intact += o.found.intact;
    }
    if (test_failures > failures && test_failures < 20)
        fprintf(stderr, "  %d chunks, start %d big %d: %d bytes and %d, state %d of %d, at %d: %s, %d\n",
                (int)l->layout.chunks, start, l->layout.big_endian, (int)size, (int)tail,
                s ? (int)(s - l->states) : -1, (int)l->count, s ? (int)s->start : 0, shardio_status_name(o.status),
                (int)o.found.index_offset);
}

/* The crash as it is, followed by zeros to whole blocks, and by noise, each looked at and repaired. */
static void check_crash_in_all_ways(const life *l, uint8_t *data, size_t size, uint64_t number, tally *t)
{
    static const size_t blocks[] = {512, 4096};
    check_crash(l, data, size, 0, false, t);
    check_crash(l, data, size, 0, true, t);
    for (int i = 0; i < 2; i++) {
        size_t tail = (blocks[i] - size % blocks[i]) % blocks[i];
        if ((i == 1 && number % 8 != 0) || tail == 0) continue;
        memset(data + size, 0, tail);
        check_crash(l, data, size, tail, number % 2 != 0, t);
    }
    if (number % 3 != 0) return;
    size_t noise = 1 + (size_t)(number * 7919 % 700);
    test_fill(data + size, noise, number + 1000);
    check_crash(l, data, size, noise, number % 2 == 0, t);
}

/* Plays the tape again, one byte at a time. */
static void replay(life *l, tally *t)
{
    static uint8_t file[2 * ROOM], copy[2 * ROOM];
    size_t size = 0;
    uint64_t number = 0;
    memset(file, 0, sizeof file);
    for (size_t op = 0; op < l->tape->ops; op++) {
        size_t n = (size_t)l->tape->op[op].size, at = (size_t)l->tape->op[op].offset;
        if (l->tape->op[op].call == FAULTY_RESIZE) size = n;
        if (l->tape->op[op].call != FAULTY_WRITE) continue;
        for (l->begun = l->count; l->begun > 0 && l->states[l->begun - 1].before > op;) l->begun--;
        if (!CHECK(at + n <= ROOM - 5000)) return;
        for (size_t i = 0; i < n; i++) {
            bool changes = at + i >= size || file[at + i] != l->tape->data[l->tape->op[op].at + i];
            file[at + i] = l->tape->data[l->tape->op[op].at + i];
            if (at + i >= size) size = at + i + 1;
            if (!changes) continue;
            memcpy(copy, file, size);
            check_crash_in_all_ways(l, copy, size, number++, t);
        }
    }
}

static void each_layout(void (*run)(shardio_index_layout layout))
{
    static const uint64_t counts[] = {1, 3, 16};
    for (int bits = 0; bits < 4; bits++)
        for (size_t i = 0; i < 3; i++) run(make_layout(counts[i], (bits & 1) != 0, (bits & 2) != 0));
}

static void stream_with_checkpoints(shardio_index_layout layout)
{
    static life l;
    tally t = {0, 0, 0, 0};
    life_begin(&l, layout);
    life_open(&l, false);
    for (uint64_t c = 0; c < layout.chunks && c < 6; c++) {
        put(&l, (c * 5 + 1) % layout.chunks, (size_t)(c * 13));
        if (c % 2 == 0) put(&l, (c * 5 + 2) % layout.chunks, 60);
        checkpoint(&l);
    }
    put(&l, 0, 100);
    finish(&l);
    replay(&l, &t);
    CHECK(t.right > 0 && t.intact > 0 && t.none > 0);
    life_end(&l);
}

TEST(streams_with_checkpoints)
{
    each_layout(stream_with_checkpoints);
}

/* A checkpoint before anything was put. */
static void stream_from_nothing(shardio_index_layout layout)
{
    static life l;
    tally t = {0, 0, 0, 0};
    life_begin(&l, layout);
    life_open(&l, false);
    checkpoint(&l);
    put(&l, 0, 0);
    checkpoint(&l);
    put(&l, layout.chunks - 1, 70);
    finish(&l);
    replay(&l, &t);
    CHECK(t.right > 0 && t.none > 0);
    CHECK(layout.at_start || t.ambiguous == 0);
    life_end(&l);
}

TEST(streams_that_begin_with_a_checkpoint)
{
    each_layout(stream_from_nothing);
}

static void updates(shardio_index_layout layout)
{
    static life l;
    tally t = {0, 0, 0, 0};
    uint64_t n = layout.chunks;
    life_begin(&l, layout);
    life_open(&l, false);
    for (uint64_t c = 0; c < n && c < 5; c++) put(&l, c, (size_t)(c * 31 + 20));
    finish(&l);
    life_open(&l, true);               /* drop the last one of the file, and then one more */
    if (n > 1) drop(&l, n < 5 ? n - 1 : 4);
    finish(&l);
    life_open(&l, true);
    if (n > 2) drop(&l, n < 5 ? n - 2 : 3);
    finish(&l);
    life_open(&l, true);               /* replace */
    put(&l, 0, 45);
    finish(&l);
    life_open(&l, true);               /* add, replace twice, drop */
    put(&l, n - 1, 33);
    put(&l, n / 2, 12);
    put(&l, n / 2, 17);
    if (n > 8) drop(&l, 1);
    finish(&l);
    life_open(&l, true);               /* with checkpoints */
    put(&l, 0, 1);
    checkpoint(&l);
    put(&l, n - 1, 64);
    finish(&l);
    replay(&l, &t);
    CHECK(t.right > 0 && t.intact > 0 && t.none > 0);
    CHECK(layout.at_start || t.ambiguous == 0);
    life_end(&l);
}

TEST(updates_that_replace_add_and_drop)
{
    each_layout(updates);
}

static uint64_t pick(uint64_t *seed, uint64_t n)
{
    return test_random(seed) % n;
}

/* Anything in any order: never another state than the newest. */
TEST(random_lives)
{
    tally t = {0, 0, 0, 0};
    for (uint64_t round = 0; round < test_rounds(40); round++) {
        static life l;
        uint64_t seed = round * 1000003, n = 1 + pick(&seed, 12);
        life_begin(&l, make_layout(n, round % 2 != 0, round % 4 >= 2));
        for (uint64_t session = 0, sessions = 1 + pick(&seed, 3); session < sessions; session++) {
            life_open(&l, session > 0);
            for (uint64_t i = 0, steps = pick(&seed, 9); i < steps; i++) {
                uint64_t what = pick(&seed, 10);
                if (what < 6) put(&l, pick(&seed, n), (size_t)(pick(&seed, 4) ? pick(&seed, 90) : 0));
                else if (what < 8) drop(&l, pick(&seed, n));
                else checkpoint(&l);
            }
            finish(&l);
        }
        replay(&l, &t);
        life_end(&l);
    }
    CHECK(t.right > 10 * t.ambiguous && t.none > 0);
}

/* ---- what must never be taken for the index ---------------------------------------------------------------------- */

/* Bytes that go into a chunk, collected. */
typedef struct bytes {
    uint8_t data[ROOM];
    size_t size;
} bytes;

/* A whole shard, to be a chunk of another: without chunks, with some, or (kind 2 and more) with a life behind it. */
static void make_inner(bytes *b, const shardio_index_layout *layout, int kind, uint64_t seed)
{
    static uint8_t inner_head[4096], inner_buffer[512];
    shardio_slot_options o;
    shardio_shard_writer w;
    shardio_memory memory;
    memset(&memory, 0, sizeof memory);
    memset(&o, 0, sizeof o);
    o.direct = SHARDIO_DIRECT_OFF;
    CHECK_OK(shardio_shard_begin(&w, shardio_memory_file(&memory, "inner"), layout, inner_head, sizeof inner_head,
                                 inner_buffer, sizeof inner_buffer, &o));
    for (int round = 0; round < (kind == 0 ? 0 : kind); round++) {
        uint64_t some = 1 + pick(&seed, 3);
        for (uint64_t i = 0; i < some; i++) {
            uint64_t chunk = pick(&seed, layout->chunks), from = pick(&seed, 5000);
            CHECK_OK(shardio_shard_put(&w, chunk, source + from, (size_t)pick(&seed, 60) + 1));
        }
        if (kind > 1) CHECK_OK(shardio_shard_checkpoint(&w));
        if (kind > 2 && round > 0) CHECK_OK(shardio_shard_drop(&w, pick(&seed, layout->chunks)));
        if (kind > 2) CHECK_OK(shardio_shard_checkpoint(&w));
    }
    CHECK_OK(shardio_shard_finish(&w, NULL));
    if (CHECK(memory.size <= sizeof b->data)) memcpy(b->data, memory.data, b->size = memory.size);
    shardio_memory_free(&memory);
}

/* As an array checks whose chunks are shards: the range is a shard with this index. */
static shardio_status is_whole_shard(void *context, const shardio_file *file, uint64_t chunk, uint64_t offset,
                                     uint64_t length, shardio_error *error)
{
    static uint8_t memory[ROOM];
    const shardio_index_layout *layout = (const shardio_index_layout *)context;
    size_t size = shardio_index_size(layout), at = layout->at_start ? 0 : (size_t)length - size;
    (void)chunk;
    if (length < size || length > sizeof memory) return SHARDIO_ERR_CORRUPT;
    if (shardio_file_read(file, offset, memory, (size_t)length, error) != SHARDIO_OK) return error->status;
    if (shardio_index_check(layout, memory + at) != SHARDIO_OK) return SHARDIO_ERR_CORRUPT;
    for (uint64_t c = 0; c < layout->chunks; c++) {
        uint64_t o, l;
        const char *reason;
        if (shardio_index_entry(layout, memory + at, c, length, at, &o, &l, &reason) != SHARDIO_OK)
            return SHARDIO_ERR_CORRUPT;
    }
    return SHARDIO_OK;
}

/* The next prefix that is looked at; the whole is always one of them. */
static size_t next_prefix(size_t n, size_t whole)
{
    size_t next = (size_t)test_next(n);
    return n < whole && next > whole ? whole : next;
}

/* Prefixes of a shard that was only appended to, as a crash leaves it: nothing but the newest state, or nothing at all.
   `valid`: but for this one, which every reader takes for a shard. */
static void check_prefixes(const life *l, const uint8_t *data, size_t from, size_t size, size_t valid,
                           shardio_chunk_check check, tally *t)
{
    static outcome o;
    for (size_t n = from; n <= size; n = next_prefix(n, size)) {
        bool half, apply = n % 2 != 0;
        const state *s = newest_state(l, data, n, 0, &half);
        int failures = test_failures;
        recover_with(&o, data, n, &l->layout, apply, check, (void *)(uintptr_t)&l->layout);
        if (o.status == SHARDIO_ERR_CORRUPT) {
            t->ambiguous++;
        } else if (o.status == SHARDIO_ERR_NOT_FOUND) {
            CHECK(s == NULL);
            t->none++;
        } else {
            CHECK_OK(o.status);
            t->right++;
            if (n == valid) CHECK(o.found.intact && (s == NULL || o.found.index_offset != s->start));
            else if (CHECK(s != NULL) && (apply || o.found.intact)) CHECK(is_state(o.data, o.size, &l->layout, s));
        }
        if (test_failures > failures && test_failures < 20)
            fprintf(stderr, "  %d chunks, start %d, check %d: %d of %d bytes, state %d of %d: %s, %d\n",
                    (int)l->layout.chunks, l->layout.at_start, check != NULL, (int)n, (int)size,
                    s ? (int)(s - l->states) : -1, (int)l->count, shardio_status_name(o.status),
                    (int)o.found.index_offset);
    }
}

static const struct {
    uint64_t chunks;
    bool first_is_shard, with_check;
    bool empty;      /* some of the shards inside have no chunks, some have lost them */
    int replaced;    /* chunks put again at the end, which leaves shards in dead bytes */
} nests[] = {
    {3, false, false, true, 0}, {3, false, false, true, 2}, {16, false, false, true, 3}, {3, true, true, false, 0},
    {16, true, true, false, 3}, {16, true, true, true, 0}, {1, false, false, true, 1}, {1, true, true, false, 0},
    {3, true, false, false, 0}, {16, true, false, true, 3},
};

/* Shards whose chunks are shards of the same number of chunks. */
TEST(shards_in_shards)
{
    static life l;
    static bytes inner[24];
    for (int bits = 0; bits < 4; bits++) {
        for (size_t i = 0; i < sizeof nests / sizeof nests[0]; i++) {
            shardio_index_layout layout = make_layout(nests[i].chunks, (bits & 1) != 0, (bits & 2) != 0);
            shardio_chunk_check check = nests[i].with_check ? is_whole_shard : NULL;
            tally t = {0, 0, 0, 0};
            size_t size = 0, shards = 0, from = 0;
            const uint8_t *data;
            life_begin(&l, layout);
            life_open(&l, false);
            if (!nests[i].first_is_shard) put(&l, 0, 50);
            for (int session = 0; session < 3; session++) {
                for (int c = 0; c < 4; c++) {
                    bytes *b = &inner[shards];
                    uint64_t chunk = session == 2 && c < nests[i].replaced ? (uint64_t)c : shards;
                    make_inner(b, &layout, 1 + (int)shards % 2, i * 100 + shards);
                    if (nests[i].empty && shards % 3 == 1) make_inner(b, &layout, shards % 2 ? 0 : 3, i * 100 + shards);
                    put_bytes(&l, chunk % layout.chunks, b->data, b->size);
                    shards++;
                    if (layout.at_start && c == 3) {   /* what comes after is cut, the head is what it was before */
                        data = rig_contents(&l.g, &size);
                        check_prefixes(&l, data, from, size, 0, check, &t);
                    }
                }
                if (session < 2) checkpoint(&l);
                else finish(&l);
                rig_contents(&l.g, &from);
            }
            data = rig_contents(&l.g, &size);
            /* without a check, and before any index of its own, it looks like its first chunk */
            from = nests[i].first_is_shard && check == NULL ? (size_t)l.states[0].start + l.index_size : 0;
            if (!layout.at_start) check_prefixes(&l, data, from, size, 0, check, &t);
            CHECK(t.right > 0);
            /* but where the file ends with the first chunk, which any reader would take for all of it */
            if (check != NULL && !nests[i].empty && test_effort() >= 100) CHECK_U64(t.ambiguous, layout.at_start ? 0 : 1);
            life_end(&l);
        }
    }
}

enum { NOTHING_THERE, THE_SAME_INDEX, THE_SAME_INDEX_FIRST, THE_SAME_SHARD, THE_SAME_SHARD_FIRST, SOME_ENTRIES,
       EMPTY_CHUNKS, ALL_OF_THE_FILE, IMITATIONS };

static void add_noise(bytes *b, size_t size)
{
    test_fill(b->data + b->size, size, b->size + 17);
    b->size += size;
}

static uint8_t *add_index(bytes *b, const shardio_index_layout *layout)
{
    uint8_t *index = b->data + b->size;
    shardio_index_clear(layout, index);
    b->size += shardio_index_size(layout);
    return index;
}

/* A chunk that lies at `at` and holds what looks like an index of this shard. */
static void make_imitation(bytes *b, const life *l, int kind, uint64_t at)
{
    const state *newest = &l->states[l->count - 1];
    const shardio_index_layout *layout = &l->layout;
    size_t size = 0;
    const uint8_t *file = rig_contents((rig *)(uintptr_t)&l->g, &size);
    uint8_t *index;
    b->size = 0;
    if (kind != THE_SAME_INDEX_FIRST && kind != THE_SAME_SHARD_FIRST) add_noise(b, 40);
    if (kind == THE_SAME_SHARD || kind == THE_SAME_SHARD_FIRST) {
        memcpy(b->data + b->size, file, size);
        b->size += size;
    } else if (kind == THE_SAME_INDEX || kind == THE_SAME_INDEX_FIRST) {
        memcpy(b->data + b->size, newest->index, l->index_size);
        b->size += l->index_size;
    } else {
        uint64_t start = at + b->size, base = layout->at_start ? l->index_size : 0;
        index = add_index(b, layout);
        for (uint64_t c = 0; c < layout->chunks && kind == SOME_ENTRIES; c += 2)
            shardio_index_set(layout, index, c, base + 10 * c, 9);
        for (uint64_t c = 0; c < layout->chunks && kind == EMPTY_CHUNKS; c++)
            shardio_index_set(layout, index, c, start - 1, 0);
        if (kind == ALL_OF_THE_FILE) shardio_index_set(layout, index, 0, base, start - base);
        shardio_index_seal(layout, index);
    }
    add_noise(b, 60);
}

/* Data that imitates an index, in a chunk behind the newest one. */
TEST(imitations)
{
    static const uint64_t counts[] = {1, 2, 16};
    static uint8_t more[ROOM];
    static life l;
    static bytes chunk;
    for (int i = 0; i < 4 * 3 * IMITATIONS; i++) {
        int kind = i / 12;
        shardio_index_layout layout = make_layout(counts[i / 4 % 3], (i & 1) != 0, (i & 2) != 0);
        tally t = {0, 0, 0, 0}, after = t;
        size_t size = 0, from = 0, torn = 0, valid;
        const uint8_t *data;
        life_begin(&l, layout);
        life_open(&l, false);
        put(&l, 0, 100);
        put(&l, layout.chunks - 1, 50);
        checkpoint(&l);
        put(&l, layout.chunks / 2, 70);
        checkpoint(&l);
        rig_contents(&l.g, &from);
        make_imitation(&chunk, &l, kind, shardio_slot_size(&l.w.slot));
        valid = kind == ALL_OF_THE_FILE && !layout.at_start ? from + chunk.size - 60 : 0;
        put_bytes(&l, 0, chunk.data, chunk.size);
        CHECK_OK(shardio_slot_sync(&l.w.slot));   /* no index points to it yet */
        data = rig_contents(&l.g, &size);
        check_prefixes(&l, data, layout.at_start ? from : 0, size, valid, NULL, &t);
        put(&l, layout.chunks - 1, 30);
        finish(&l);
        torn = size;
        data = rig_contents(&l.g, &size);
        if (!layout.at_start) check_prefixes(&l, data, torn, size, 0, NULL, &t);
        CHECK(t.right > 0);
        memcpy(more, data, size);   /* and torn again behind a true index */
        test_fill(more + size, 200, 3);
        check_prefixes(&l, more, size, size + 200, 0, NULL, &after);
        if (kind != ALL_OF_THE_FILE || layout.at_start) CHECK_U64(after.none + after.ambiguous, 0);
        else CHECK_U64(after.right + after.none, 1);     /* all but the first, which is not torn */
        life_end(&l);
    }
}

/* ---- the rules, one by one: files made by hand, of shards of four chunks, whose index takes 68 bytes ------------- */

enum { L = 68 };

/* An index of these chunks: number, offset, length. */
static void add_sealed(bytes *b, bool at_start, const uint64_t (*chunks)[3], size_t count)
{
    shardio_index_layout layout = make_layout(4, at_start, false);
    uint8_t *index = add_index(b, &layout);
    for (size_t i = 0; i < count; i++) shardio_index_set(&layout, index, chunks[i][0], chunks[i][1], chunks[i][2]);
    shardio_index_seal(&layout, index);
}

static void add_same(bytes *b, size_t size, int byte)
{
    memset(b->data + b->size, byte, size);
    b->size += size;
}

/* What comes of it: the offset of the index that is chosen, or what is said. */
enum { IS_INTACT = -1, IS_AMBIGUOUS = -2, IS_NOT_FOUND = -3 };

static void expect(const char *what, const bytes *b, bool at_start, int64_t expected)
{
    static outcome o;
    shardio_index_layout layout = make_layout(4, at_start, false);
    recover_with(&o, b->data, b->size, &layout, true, NULL, NULL);
    int64_t is = (int64_t)o.found.index_offset;
    if (o.status == SHARDIO_ERR_CORRUPT) is = IS_AMBIGUOUS;
    else if (o.status == SHARDIO_ERR_NOT_FOUND) is = IS_NOT_FOUND;
    else if (o.found.intact) is = IS_INTACT;
    if (CHECK(is == expected)) return;
    fprintf(stderr, "  %s: %d, not %d\n", what, (int)is, (int)expected);
}

TEST(rules_with_the_index_at_the_end)
{
    static const uint64_t one[][3] = {{0, 0, 100}}, shard[][3] = {{0, 0, 50}}, covers[][3] = {{0, 0, 200}};
    static const uint64_t crossing[][3] = {{0, 0, 150}, {1, 100, 100}}, shared[][3] = {{0, 0, 200}, {1, 0, 200}};
    static const uint64_t holds[][3] = {{0, 0, 50 + L}, {1, 50 + L, 82}};
    static const uint64_t empty[][3] = {{3, 100 + L, 0}}, empty_before[][3] = {{3, 5, 0}};
    static bytes b;
    b.size = 0;
    add_noise(&b, 100);
    add_sealed(&b, false, one, 1);
    add_sealed(&b, false, NULL, 0);
    expect("nothing left, right behind", &b, false, IS_AMBIGUOUS);
    add_noise(&b, 50);
    expect("nothing left, and noise", &b, false, IS_AMBIGUOUS);
    b.size = 100 + L;
    add_sealed(&b, false, empty, 1);
    add_noise(&b, 50);
    expect("nothing left but an empty chunk that was put", &b, false, 100 + L);
    b.size = 100 + L;
    add_sealed(&b, false, empty_before, 1);
    add_noise(&b, 50);
    expect("an empty chunk that was not", &b, false, IS_AMBIGUOUS);

    b.size = 0;
    add_noise(&b, 200);
    add_sealed(&b, false, crossing, 2);
    add_noise(&b, 20);
    expect("chunks across each other", &b, false, IS_NOT_FOUND);
    b.size = 200;
    add_sealed(&b, false, shared, 2);
    add_noise(&b, 20);
    expect("chunks that are the same", &b, false, 200);

    b.size = 0;
    add_noise(&b, 50);
    add_sealed(&b, false, shard, 1);
    add_noise(&b, 82);
    expect("a shard", &b, false, 50);
    add_sealed(&b, false, holds, 2);
    add_noise(&b, 20);
    expect("a shard as the first chunk", &b, false, 200);
    b.size = 200;
    add_sealed(&b, false, covers, 1);
    add_noise(&b, 20);
    expect("a shard in a chunk with more", &b, false, IS_AMBIGUOUS);
}

TEST(rules_with_the_index_at_the_start)
{
    static const uint64_t one[][3] = {{0, L, 100}}, two[][3] = {{0, L, 100}, {1, L + 100, 100}};
    static const uint64_t inside[][3] = {{0, 80, 10}};
    static const uint64_t head_too[][3] = {{0, 0, L + 100}}, other[][3] = {{1, L + 100, 50}, {2, 2 * L + 200, 50}};
    static bytes b;
    b.size = 0;
    add_same(&b, L, 0);
    add_noise(&b, 100);
    add_sealed(&b, true, one, 1);
    expect("no head yet", &b, true, L + 100);
    add_same(&b, 300, 0);
    expect("no head yet, and zeros", &b, true, L + 100);
    b.size = 2 * L + 100;
    add_noise(&b, 1);
    expect("no head yet, and more", &b, true, IS_AMBIGUOUS);

    b.size = 0;
    add_sealed(&b, true, two, 2);
    add_noise(&b, 200);
    expect("as it should be", &b, true, IS_INTACT);
    add_sealed(&b, true, two, 2);
    expect("with a copy", &b, true, IS_INTACT);
    add_sealed(&b, true, one, 1);
    expect("one chunk less", &b, true, 2 * L + 200);
    add_same(&b, 300, 0);
    expect("one chunk less, and zeros", &b, true, 2 * L + 200);
    b.size = 3 * L + 200;
    add_noise(&b, 10);
    expect("one chunk less, and more", &b, true, IS_AMBIGUOUS);

    b.data[L - 1] ^= 1;
    b.size = L + 200;
    expect("torn", &b, true, IS_NOT_FOUND);
    add_sealed(&b, true, one, 1);
    expect("torn, one chunk less", &b, true, L + 200);
    b.size = L + 200;
    add_sealed(&b, true, inside, 1);
    expect("torn, and no copy of it", &b, true, IS_AMBIGUOUS);
    b.size = L + 100;
    add_sealed(&b, true, head_too, 1);
    expect("torn, and a chunk in the head", &b, true, IS_NOT_FOUND);

    b.size = 0;
    add_sealed(&b, true, one, 1);
    add_noise(&b, 150);
    add_sealed(&b, true, inside, 1);
    expect("what contradicts the head", &b, true, IS_INTACT);
    b.size = L + 100;
    add_noise(&b, 100);
    add_sealed(&b, true, two, 2);
    add_noise(&b, 50);
    add_sealed(&b, true, other, 2);
    expect("two that contradict each other", &b, true, IS_AMBIGUOUS);
    add_sealed(&b, true, one, 1);
    expect("both older than the head", &b, true, IS_INTACT);
}

/* ---- checks of the caller's -------------------------------------------------------------------------------------- */

/* The chunks that are there, byte for byte; the caller decides what it is asked. */
typedef struct asked {
    const life *l;
    uint64_t calls, fail_at;   /* this call reads where nothing is, 1 is the first; 0: none */
} asked;

static shardio_status is_as_put(void *context, const shardio_file *file, uint64_t chunk, uint64_t offset,
                                uint64_t length, shardio_error *error)
{
    static uint8_t memory[ROOM];
    asked *a = (asked *)context;
    shardio_file_facts facts;
    int code = 0;
    a->calls++;
    error->status = file->functions->facts(file->context, &facts, &code);
    error->system_code = code;
    error->operation = "look at";
    if (error->status != SHARDIO_OK) return error->status;
    CHECK(offset + length <= facts.size && length <= sizeof memory);
    if (shardio_file_read(file, offset, memory, (size_t)length, error) != SHARDIO_OK) return error->status;
    for (size_t i = 0; i < a->l->count; i++) {
        const uint8_t *data = a->l->states[i].chunk[chunk].data;
        if (data == NULL || a->l->states[i].chunk[chunk].size != length) continue;
        if (length == 0 || memcmp(data, memory, (size_t)length) == 0) return SHARDIO_OK;
    }
    return SHARDIO_ERR_CORRUPT;
}

/* A stream of four states of four chunks of 100 bytes each; returns its bytes. */
static const uint8_t *four_states(life *l, bool at_start, size_t *size)
{
    life_begin(l, make_layout(20, at_start, false));
    life_open(l, false);
    for (uint64_t c = 0; c < 16; c++) {
        put(l, c, 100);
        if (c % 4 == 3 && c < 15) checkpoint(l);
    }
    finish(l);
    return rig_contents(&l->g, size);
}

/* An index with a chunk that does not pass is passed over; each chunk is asked about once. */
TEST(chunks_that_do_not_pass)
{
    for (int start = 0; start < 2; start++) {
        for (size_t damaged = 0; damaged < 16; damaged++) {
            static life l;
            static outcome o;
            static uint8_t bytes_now[ROOM];
            asked a = {&l, 0, 0};
            size_t size = 0;
            uint64_t offset, length;
            const uint8_t *data = four_states(&l, start != 0, &size);
            memcpy(bytes_now, data, size);
            test_fill(bytes_now + size, 333, 8);   /* torn */
            shardio_index_get(&l.layout, l.states[3].index, damaged, &offset, &length);
            bytes_now[offset + 50] ^= 1;
            recover_with(&o, bytes_now, size + 333, &l.layout, true, is_as_put, &a);
            if (start) {   /* what is at its place is certain */
                CHECK_STATUS(o.status, damaged == 15 ? SHARDIO_ERR_CORRUPT : SHARDIO_OK);
                CHECK(o.found.intact == (damaged != 15));
                CHECK_U64(a.calls, 1);
            } else if (damaged < 4) {
                CHECK_STATUS(o.status, SHARDIO_ERR_NOT_FOUND);
            } else {
                CHECK_OK(o.status);
                CHECK(is_state(o.data, o.size, &l.layout, &l.states[damaged / 4 - 1]));
                CHECK(a.calls <= 17);
            }
            life_end(&l);
        }
    }
}

/* An intact file is not looked through, but for its last chunk. */
TEST(the_last_chunk_of_an_intact_file_is_asked_about)
{
    for (int start = 0; start < 2; start++) {
        static life l;
        static outcome o;
        static uint8_t bytes_now[ROOM];
        asked a = {&l, 0, 0};
        size_t size = 0;
        uint64_t offset, length;
        const uint8_t *data = four_states(&l, start != 0, &size);
        recover_with(&o, data, size, &l.layout, true, is_as_put, &a);
        CHECK_OK(o.status);
        CHECK(o.found.intact);
        CHECK_U64(a.calls, 1);
        memcpy(bytes_now, data, size);
        shardio_index_get(&l.layout, l.states[3].index, 15, &offset, &length);
        bytes_now[offset] ^= 1;
        recover_with(&o, bytes_now, size, &l.layout, true, is_as_put, &a);
        CHECK_STATUS(o.status, SHARDIO_ERR_CORRUPT);   /* an index that is complete is not given up for an older one */
        CHECK_U64(o.found.index_offset, start ? 0 : l.states[3].start);
        life_end(&l);
    }
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

/* A torn file in a rig; `kind` of tear: noise behind the newest index, or a head that is half written. */
static void begin_torn(rig *g, life *l, bool at_start, uint8_t *before, size_t *size)
{
    const uint8_t *data = four_states(l, at_start, size);
    memcpy(before, data, *size);
    if (at_start) memset(before + 100, 0x55, 50);
    else test_fill(before + *size, 700, 4), *size += 700;
    rig_begin(g, false, before, *size);
}

/* Each call to the file fails in turn: the error is reported, and nothing was chosen for want of bytes. */
TEST(calls_that_fail)
{
    for (int way = 0; way < 4; way++) {
        bool start = (way & 1) != 0, check = (way & 2) != 0;
        for (uint64_t fail_at = 1, fired = 1; fired > 0; fail_at++) {
            static life l;
            static uint8_t before[ROOM];
            size_t size = 0, now = 0;
            shardio_recovery found;
            shardio_error error;
            shardio_status status;
            shardio_file file;
            asked a = {&l, 0, 0};
            rig g;
            begin_torn(&g, &l, start, before, &size);
            file = rig_open(&g, true);
            g.faulty.fail_at = fail_at;
            status = shardio_shard_recover_file(&file, &l.layout, true, check ? is_as_put : NULL, &a, NULL, &found,
                                                &error);
            fired = g.faulty.fired;
            CHECK_STATUS(status, fired ? SHARDIO_ERR_IO : SHARDIO_OK);
            CHECK_STATUS(error.status, status);
            if (fired) CHECK(error.system_code == EIO && error.operation != NULL);
            if (fired && g.faulty.fired_call != FAULTY_SYNC) rig_check(&g, before, size);
            CHECK(found.changed == (!fired || g.faulty.fired_call == FAULTY_SYNC));
            if (!fired) {
                const uint8_t *data = rig_contents(&g, &now);
                CHECK(is_state(data, now, &l.layout, &l.states[3]));
                CHECK_U64(g.faulty.calls[FAULTY_SYNC], 1);
                CHECK_U64(g.faulty.calls[FAULTY_CLOSE], 0);
            }
            rig_end(&g);
            life_end(&l);
        }
    }
}

static shardio_status has_no_memory(void *context, const shardio_file *file, uint64_t chunk, uint64_t offset,
                                    uint64_t length, shardio_error *error)
{
    (void)context, (void)file, (void)chunk, (void)offset, (void)length, (void)error;
    return SHARDIO_ERR_MEMORY;
}

/* One that cannot tell chooses nothing. */
TEST(checks_that_cannot_tell)
{
    for (int start = 0; start < 2; start++) {
        static life l;
        static uint8_t before[ROOM];
        size_t size = 0;
        shardio_recovery found;
        shardio_error error;
        rig g;
        begin_torn(&g, &l, start != 0, before, &size);
        shardio_file file = rig_open(&g, true);
        CHECK_STATUS(shardio_shard_recover_file(&file, &l.layout, true, has_no_memory, NULL, NULL, &found, &error),
                     SHARDIO_ERR_MEMORY);
        CHECK_STATUS(error.status, SHARDIO_ERR_MEMORY);
        CHECK(error.operation != NULL && !found.changed);
        rig_check(&g, before, size);
        rig_end(&g);
        life_end(&l);
    }
}

static shardio_status recover_open(const shardio_file *file, const shardio_index_layout *layout,
                                   shardio_recovery *found, shardio_error *error)
{
    return shardio_shard_recover_file(file, layout, true, NULL, NULL, NULL, found, error);
}

TEST(files_that_cannot_be_cut)
{
    static life l;
    static uint8_t before[ROOM];
    size_t size = 0;
    shardio_recovery found;
    shardio_error error;
    shardio_file file;
    rig g;
    begin_torn(&g, &l, false, before, &size);
    g.faulty.no_resize = true;
    file = rig_open(&g, true);
    CHECK_STATUS(recover_open(&file, &l.layout, &found, &error), SHARDIO_ERR_UNSUPPORTED);
    CHECK_STATUS(error.status, SHARDIO_ERR_UNSUPPORTED);
    CHECK(!found.changed);
    CHECK_U64(found.end, size - 700);
    CHECK_OK(shardio_shard_recover_file(&file, &l.layout, false, NULL, NULL, NULL, NULL, NULL));
    rig_check(&g, before, size);
    rig_end(&g);
    life_end(&l);
}

/* Reads and writes that do only a part of what they should; and a device that takes whole blocks only. */
TEST(short_calls_and_whole_blocks)
{
    for (uint64_t i = 0; i < 60; i++) {
        static life l;
        static uint8_t before[ROOM];
        size_t size = 0, now = 0;
        const uint8_t *data;
        shardio_recovery found;
        shardio_error error;
        shardio_file file;
        rig g;
        begin_torn(&g, &l, i % 2 != 0, before, &size);
        g.faulty.shorten = i < 40 ? i + 1 : 0;
        g.faulty.flash = i >= 40;
        if (i >= 40) g.faulty.alignment = (uint32_t)64 << i % 6;
        file = rig_open(&g, true);
        CHECK_OK(shardio_shard_recover_file(&file, &l.layout, true, NULL, NULL, NULL, &found, &error));
        CHECK(found.changed);
        data = rig_contents(&g, &now);
        CHECK(is_state(data, now, &l.layout, &l.states[3]));
        rig_end(&g);
        life_end(&l);
    }
}

TEST(wrong_arguments)
{
    static life l;
    static outcome o;
    size_t size = 0;
    const uint8_t *data = four_states(&l, false, &size);
    shardio_memory memory;
    shardio_file file = copy_file(&memory, &o, data, size);
    shardio_index_layout layout = l.layout;
    shardio_recovery found;
    shardio_error error;
    CHECK_STATUS(recover_open(NULL, &layout, &found, &error), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(error.status, SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(recover_open(&file, NULL, &found, &error), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(recover_open(&file, NULL, NULL, NULL), SHARDIO_ERR_ARGUMENT);
    layout.chunks = 0;
    CHECK_STATUS(recover_open(&file, &layout, &found, &error), SHARDIO_ERR_ARGUMENT);
    layout.chunks = 20;
    layout.no_checksum = true;
    CHECK_STATUS(recover_open(&file, &layout, &found, &error), SHARDIO_ERR_UNSUPPORTED);
    CHECK(error.reason != NULL);
    CHECK_U64(memory.size, size);
    CHECK(memcmp(o.data, data, size) == 0);
    life_end(&l);
}

/* ---- what it costs ----------------------------------------------------------------------------------------------- */

/* An index anywhere in a large file, at the seams of the pieces in which it is read too: found, in one pass. */
TEST(one_pass_over_large_files)
{
    enum { PIECE = 4 << 20, LARGE = (9 << 20) + 1234 };
    static const int64_t places[] = {300, PIECE - 520, PIECE - 261, PIECE - 260, PIECE - 1, PIECE, PIECE + 1,
                                     PIECE + 260, 2 * PIECE - 130, 2 * PIECE, LARGE - 261, LARGE - 260};
    shardio_index_layout layout = make_layout(16, false, false);
    uint8_t *bytes_now = (uint8_t *)malloc(LARGE);
    if (!CHECK(bytes_now != NULL)) return;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint64_t at = (uint64_t)places[i];
        shardio_memory memory;
        faulty_state faulty;
        shardio_recovery found;
        shardio_error error;
        shardio_allocator allocator;
        counting count;
        shardio_file file;
        test_fill(bytes_now, LARGE, i);
        shardio_index_clear(&layout, bytes_now + at);
        shardio_index_set(&layout, bytes_now + at, 3, 100, at - 100);
        shardio_index_seal(&layout, bytes_now + at);
        memset(&memory, 0, sizeof memory);
        memset(&faulty, 0, sizeof faulty);
        memory.data = bytes_now;
        memory.size = memory.capacity = LARGE;
        memory.fixed = true;
        file = faulty_file(&faulty, shardio_memory_file(&memory, "large"));
        allocator = counting_allocator(&count);
        CHECK_OK(shardio_shard_recover_file(&file, &layout, false, NULL, NULL, &allocator, &found, &error));
        CHECK_U64(found.index_offset, at);
        CHECK_U64(found.end, at + 260);
        CHECK_U64(found.candidates, 1);
        CHECK(found.intact == (at == LARGE - 260));
        CHECK_U64(faulty.bytes_read, found.intact ? 260 : LARGE + 260);
        CHECK_U64(faulty.calls[FAULTY_READ], found.intact ? 1 : 4);
        CHECK_U64(count.calls, 1);
        CHECK_U64(count.held, 0);
        CHECK(count.peak <= PIECE + 6 * 260);
    }
    free(bytes_now);
}

/* A valid head: only what lies behind its chunks is read. */
TEST(behind_a_valid_head)
{
    static life l;
    static outcome o;
    size_t size = 0;
    const uint8_t *data = four_states(&l, true, &size);
    shardio_memory memory;
    faulty_state faulty;
    shardio_recovery found;
    shardio_file file = copy_file(&memory, &o, data, size);
    memset(&faulty, 0, sizeof faulty);
    file = faulty_file(&faulty, file);
    CHECK_OK(shardio_shard_recover_file(&file, &l.layout, true, NULL, NULL, NULL, &found, NULL));
    CHECK(found.intact);
    CHECK(faulty.bytes_read <= 3 * l.index_size);
    CHECK_U64(faulty.bytes_written + faulty.calls[FAULTY_RESIZE] + faulty.calls[FAULTY_SYNC], 0);
    life_end(&l);
}

TEST(memory_is_as_stated)
{
    static const uint64_t counts[] = {1, 100, 5000, 100000};
    for (int start = 0; start < 2; start++) {
        for (size_t i = 0; i < 4; i++) {
            shardio_index_layout layout = make_layout(counts[i], start != 0, false);
            size_t index = shardio_index_size(&layout);
            for (int large = 0; large < 2; large++) {
                size_t size = large ? index + (6 << 20) : index + 1000;
                uint8_t *zeros = (uint8_t *)calloc(size, 1);
                shardio_memory memory;
                shardio_allocator allocator;
                shardio_status status;
                counting count;
                shardio_file file;
                if (!CHECK(zeros != NULL)) return;
                zeros[0] = 1;
                memset(&memory, 0, sizeof memory);
                memory.data = zeros;
                memory.size = memory.capacity = size;
                memory.fixed = true;
                file = shardio_memory_file(&memory, "zeros");
                allocator = counting_allocator(&count);
                status = shardio_shard_recover_file(&file, &layout, true, NULL, NULL, &allocator, NULL, NULL);
                CHECK_STATUS(status, SHARDIO_ERR_NOT_FOUND);
                CHECK(count.peak <= 6 * index + (4 << 20) && count.peak <= 6 * size);
                CHECK_U64(count.held, 0);
                allocator = counting_allocator(&count);
                count.fail_at = 1;
                status = shardio_shard_recover_file(&file, &layout, true, NULL, NULL, &allocator, NULL, NULL);
                CHECK_STATUS(status, SHARDIO_ERR_MEMORY);
                free(zeros);
            }
        }
    }
}

static shardio_status vast_facts(void *file, shardio_file_facts *facts, int *code)
{
    (void)code;
    memset(facts, 0, sizeof *facts);
    facts->size = *(uint64_t *)file;
    return SHARDIO_OK;
}

static shardio_status vast_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    (void)file, (void)offset, (void)data, (void)size;
    *done = 0;
    *code = EIO;
    return SHARDIO_ERR_IO;
}

/* Numbers of chunks and sizes of files that no memory and no arithmetic can take. */
TEST(huge_numbers)
{
    static const uint64_t counts[] = {1, UINT64_C(1) << 30, UINT64_C(1) << 40, UINT64_C(1) << 56, UINT64_C(1) << 58,
                                      (UINT64_C(1) << 60) - 1, UINT64_C(1) << 60, UINT64_MAX / 16, UINT64_MAX};
    static const uint64_t sizes[] = {0, 1, 19, 5000, (UINT64_C(1) << 63) - 1, UINT64_C(1) << 63, UINT64_MAX - 1,
                                     UINT64_MAX};
    shardio_file_functions functions;
    memset(&functions, 0, sizeof functions);
    functions.read = vast_read;
    functions.facts = vast_facts;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (size_t j = 0; j < 2 * sizeof sizes / sizeof sizes[0]; j++) {
            uint64_t size = sizes[j / 2];
            shardio_index_layout layout = make_layout(counts[i], j % 2 != 0, false);
            shardio_file file = {&functions, &size, "vast"};
            shardio_allocator allocator;
            shardio_error error;
            counting count;
            shardio_status status;
            allocator = counting_allocator(&count);
            count.limit = 10 << 20;
            status = shardio_shard_recover_file(&file, &layout, true, NULL, NULL, &allocator, NULL, &error);
            CHECK(status != SHARDIO_OK);
            CHECK_STATUS(error.status, status);
            if (size < 16 * counts[i] && shardio_index_size(&layout) > 0) {
                CHECK_U64(count.calls, 0);
                CHECK(status == SHARDIO_ERR_NOT_FOUND || status == SHARDIO_ERR_ARGUMENT);
            }
            CHECK_U64(count.held, 0);
        }
    }
}

/* ---- hostile files ----------------------------------------------------------------------------------------------- */

static shardio_status recover_memory(uint8_t *data, size_t size, const shardio_index_layout *layout,
                                     shardio_recovery *found)
{
    shardio_memory memory;
    shardio_file file;
    memset(&memory, 0, sizeof memory);
    memory.data = data;
    memory.size = memory.capacity = size;
    memory.fixed = true;
    file = shardio_memory_file(&memory, "hostile");
    return recover_open(&file, layout, found, NULL);
}

/* Every fourth byte begins a window with the right checksum; few can be an index. */
TEST(checksums_that_match_everywhere)
{
    enum { HOSTILE = 1 << 17 };
    static const uint64_t counts[] = {1, 2, 100, 1000};
    for (size_t i = 0; i < 8; i++) {
        shardio_index_layout layout = make_layout(counts[i / 2], i % 2 != 0, false);
        shardio_status first = i % 2 ? SHARDIO_ERR_CORRUPT : SHARDIO_ERR_NOT_FOUND;
        shardio_status last = i % 2 ? SHARDIO_ERR_NOT_FOUND : SHARDIO_ERR_CORRUPT;
        size_t index = shardio_index_size(&layout);
        uint8_t *data = (uint8_t *)malloc(HOSTILE);
        shardio_recovery found;
        if (!CHECK(data != NULL)) return;
        test_fill(data, HOSTILE, 9);
        for (size_t at = 2; at + index <= HOSTILE; at += 4)
            test_store32(data + at + index - 4, shardio_crc32c(0, data + at, index - 4));
        CHECK_STATUS(recover_memory(data, HOSTILE, &layout, &found), SHARDIO_ERR_NOT_FOUND);
        /* one of them where the layout wants the index */
        CHECK_STATUS(recover_memory(data + 2, HOSTILE - 2, &layout, &found), first);
        CHECK_STATUS(recover_memory(data, HOSTILE - 2, &layout, &found), last);
        free(data);
    }
}

/* Windows with the right checksum every 32 bytes, all of which could be an index of empty chunks: each next checksum is
   the offset of a chunk, for which the one before it is chosen. Looking at all would take the square of the size. */
TEST(indexes_that_overlap_everywhere)
{
    enum { FREE = 8 << 20, HOSTILE = FREE + (3 << 15) };
    shardio_index_layout layout = make_layout(1024, false, false);
    size_t index = shardio_index_size(&layout), window = index - 4;
    uint8_t *data = (uint8_t *)calloc(HOSTILE, 1);
    shardio_recovery found;
    uint64_t seed = 1, made = 0;
    if (!CHECK(data != NULL)) return;
    for (size_t at = FREE - window; at + window + 32 <= HOSTILE; at += 32, made++) {
        uint32_t before = shardio_crc32c(0, data + at, window - 16), crc;
        do {
            test_store32(data + at + window - 16, (uint32_t)pick(&seed, FREE - window));   /* of a zeroed u64 */
            crc = shardio_crc32c(before, data + at + window - 16, 16);
        } while (crc > FREE - window);
        test_store32(data + at + window, crc);
    }
    CHECK(made > 2000);
    memset(&found, 0, sizeof found);
    CHECK_STATUS(recover_memory(data, HOSTILE, &layout, &found), SHARDIO_ERR_LIMIT);
    CHECK(found.ambiguous && !found.changed);
    CHECK(found.candidates > 1000 && found.candidates < 2000);
    free(data);
}

static shardio_status count_calls(void *context, const shardio_file *file, uint64_t chunk, uint64_t offset,
                                  uint64_t length, shardio_error *error)
{
    (void)file, (void)chunk, (void)offset, (void)length, (void)error;
    ++*(uint64_t *)context;
    return SHARDIO_OK;
}

/* All chunks are the same bytes, nearly the whole file. */
TEST(chunks_that_are_all_of_the_file)
{
    static outcome o;
    static bytes b;
    shardio_index_layout layout = make_layout(1000, false, false);
    uint64_t calls = 0;
    uint8_t *index;
    b.size = 0;
    add_noise(&b, 40000);
    index = add_index(&b, &layout);
    for (uint64_t c = 0; c < 1000; c++) shardio_index_set(&layout, index, c, 0, 40000);
    shardio_index_seal(&layout, index);
    add_noise(&b, 10);
    recover_with(&o, b.data, b.size, &layout, false, NULL, NULL);
    CHECK_OK(o.status);
    recover_with(&o, b.data, b.size, &layout, false, count_calls, &calls);
    CHECK_STATUS(o.status, SHARDIO_ERR_LIMIT);
    CHECK(calls > 0 && calls < 15);
}

/* ---- by name ----------------------------------------------------------------------------------------------------- */

static void set_old(const char *path)
{
    struct timespec times[2] = {{1000000, 0}, {1000000, 0}};
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static bool is_old(const char *path)
{
    struct stat facts;
    return CHECK(stat(path, &facts) == 0) && facts.st_mtime == 1000000;
}

TEST(recover_by_name)
{
    for (int start = 0; start < 2; start++) {
        static life l;
        static uint8_t before[ROOM];
        size_t size = 0, now = 0;
        const uint8_t *data;
        shardio_recovery found;
        shardio_error error;
        rig memory, g;
        begin_torn(&memory, &l, start != 0, before, &size);
        rig_begin(&g, true, before, size);
        set_old(g.path);
        CHECK_OK(shardio_shard_recover(g.path, &l.layout, false, NULL, &found, &error));
        CHECK(!found.changed && !found.intact);
        CHECK_U64(found.index_offset, l.states[3].start);
        rig_check(&g, before, size);
        CHECK(is_old(g.path));
        CHECK_OK(shardio_shard_recover(g.path, &l.layout, true, NULL, &found, &error));
        CHECK(found.changed);
        data = rig_contents(&g, &now);
        CHECK(is_state(data, now, &l.layout, &l.states[3]));
        set_old(g.path);
        CHECK_OK(shardio_shard_recover(g.path, &l.layout, true, NULL, &found, &error));
        CHECK(found.intact && !found.changed);
        CHECK(is_old(g.path));
        rig_put(g.path, before, 30);
        CHECK_STATUS(shardio_shard_recover(g.path, &l.layout, true, NULL, &found, &error), SHARDIO_ERR_NOT_FOUND);
        CHECK_STATUS(shardio_shard_recover("no/such", &l.layout, true, NULL, &found, &error), SHARDIO_ERR_NOT_FOUND);
        CHECK_U64(found.file_bytes, 0);
        CHECK_STATUS(shardio_shard_recover("no/such/file", &l.layout, false, NULL, NULL, NULL), SHARDIO_ERR_NOT_FOUND);
        rig_end(&g);
        rig_end(&memory);
        life_end(&l);
    }
}

/* ---- compacting -------------------------------------------------------------------------------------------------- */

TEST(compact_removes_dead_bytes)
{
    for (int bits = 0; bits < 8; bits++) {
        static life l;
        static outcome o;
        shardio_index_layout layout = make_layout(16, (bits & 1) != 0, (bits & 2) != 0);
        size_t size = 0, now = 0;
        uint64_t saved = 7, live;
        const uint8_t *data;
        shardio_slot_options options;
        shardio_error error;
        rig g;
        memset(&options, 0, sizeof options);
        options.in_place = (bits & 4) != 0;   /* the old file is never written over */
        options.durability = SHARDIO_DURABLE_NONE;
        layout.no_checksum = (bits & 4) != 0;
        life_begin(&l, layout);
        life_open(&l, false);
        for (uint64_t c = 0; c < 10; c++) put(&l, c, (size_t)c * 100);
        put(&l, 15, 0);
        finish(&l);
        data = rig_contents(&l.g, &size);
        rig_begin(&g, true, data, size);
        set_old(g.path);
        CHECK_OK(shardio_shard_compact(g.path, &layout, &options, &saved, &error));   /* none there */
        CHECK_U64(saved, 0);
        CHECK(is_old(g.path));
        rig_check(&g, data, size);

        live = size;
        life_open(&l, true);
        put(&l, 3, 1000);
        drop(&l, 7);
        live = live - 300 + 1000 - 700;
        finish(&l);
        data = rig_contents(&l.g, &size);
        rig_put(g.path, data, size);
        CHECK_OK(shardio_shard_compact(g.path, &layout, &options, &saved, &error));
        CHECK_U64(saved, size - live);
        data = rig_contents(&g, &now);
        CHECK_U64(now, live);
        CHECK(is_state(data, now, &layout, &l.now));
        CHECK_OK(shardio_shard_compact(g.path, &layout, NULL, NULL, NULL));
        CHECK_U64(rig_count_names(rig_directory(), "tmp"), 0);

        life_open(&l, true);
        for (uint64_t c = 0; c < 16; c++) drop(&l, c);
        finish(&l);
        data = rig_contents(&l.g, &size);
        rig_put(g.path, data, size);
        CHECK_OK(shardio_shard_compact(g.path, &layout, NULL, &saved, &error));
        data = rig_contents(&g, &now);
        CHECK_U64(now, l.index_size);
        CHECK_U64(saved, size - now);
        CHECK(is_state(data, now, &layout, &l.now));
        if (!layout.no_checksum) {
            recover_with(&o, data, now, &layout, true, NULL, NULL);
            CHECK(o.found.intact);
        }
        rig_end(&g);
        life_end(&l);
    }
}

/* The option is about new files: written over, the old shard would be lost before it is read. */
TEST(a_rewrite_is_never_in_place)
{
    static life l;
    static uint8_t before[ROOM];
    size_t size = 0, now = 0;
    const uint8_t *data = four_states(&l, false, &size);
    shardio_slot_options options;
    shardio_shard_writer w;
    rig g;
    memcpy(before, data, size);
    memset(&options, 0, sizeof options);
    options.in_place = true;
    rig_begin(&g, true, before, size);
    CHECK_OK(shardio_shard_update(&w, g.path, &l.layout, SHARDIO_UPDATE_REWRITE, &options));
    shardio_shard_abort(&w);
    rig_check(&g, before, size);
    CHECK_OK(shardio_shard_update(&w, g.path, &l.layout, SHARDIO_UPDATE_REWRITE, &options));
    CHECK_OK(shardio_shard_drop(&w, 2));
    l.now.chunk[2].data = NULL;
    rig_check(&g, before, size);
    CHECK_OK(shardio_shard_finish(&w, NULL));
    data = rig_contents(&g, &now);
    CHECK(is_state(data, now, &l.layout, &l.now));
    rig_end(&g);
    life_end(&l);
}

/* Chunks that share bytes, and entries that cannot be. */
TEST(compact_of_odd_shards)
{
    shardio_index_layout layout = make_layout(4, false, false);
    uint8_t odd[2000], chunk[300];
    shardio_shard_reader reader;
    shardio_error error;
    uint64_t saved = 7, size = 0;
    rig g;
    test_fill(odd, 1000, 4);
    shardio_index_clear(&layout, odd + 1000);
    shardio_index_set(&layout, odd + 1000, 0, 0, 1000);
    shardio_index_set(&layout, odd + 1000, 1, 0, 1000);
    shardio_index_set(&layout, odd + 1000, 3, 500, 400);
    shardio_index_seal(&layout, odd + 1000);
    rig_begin(&g, true, odd, 1068);
    CHECK_OK(shardio_shard_compact(g.path, &layout, NULL, &saved, &error));   /* would only become longer */
    CHECK_U64(saved, 0);
    rig_check(&g, odd, 1068);

    shardio_index_clear(&layout, odd + 1000);
    shardio_index_set(&layout, odd + 1000, 0, 100, 300);
    shardio_index_set(&layout, odd + 1000, 1, 100, 300);
    shardio_index_seal(&layout, odd + 1000);
    rig_put(g.path, odd, 1068);
    CHECK_OK(shardio_shard_compact(g.path, &layout, NULL, &saved, &error));
    CHECK_U64(saved, 400);
    if (CHECK(shardio_shard_open(&reader, g.path, &layout, NULL, &error) == SHARDIO_OK)) {
        for (uint64_t c = 0; c < 2; c++) {
            CHECK_OK(shardio_shard_read(&reader, c, chunk, sizeof chunk, &size, NULL));
            CHECK(size == 300 && memcmp(chunk, odd + 100, 300) == 0);
        }
        shardio_shard_close(&reader);
    }

    shardio_index_set(&layout, odd + 1000, 2, 900, UINT64_MAX - 100);
    shardio_index_seal(&layout, odd + 1000);
    rig_put(g.path, odd, 1068);
    CHECK_STATUS(shardio_shard_compact(g.path, &layout, NULL, &saved, &error), SHARDIO_ERR_CORRUPT);
    CHECK_U64(saved, 0);
    CHECK_STATUS(error.status, SHARDIO_ERR_CORRUPT);
    rig_check(&g, odd, 1068);
    odd[1030] ^= 1;
    rig_put(g.path, odd, 1068);
    CHECK_STATUS(shardio_shard_compact(g.path, &layout, NULL, NULL, &error), SHARDIO_ERR_CHECKSUM);
    rig_check(&g, odd, 1068);
    CHECK_STATUS(shardio_shard_compact("no/such/file", &layout, NULL, &saved, NULL), SHARDIO_ERR_NOT_FOUND);
    CHECK_U64(rig_count_names(rig_directory(), "tmp"), 0);
    rig_end(&g);
}

TEST_MAIN(TEST_CASE(streams_with_checkpoints)
          TEST_CASE(streams_that_begin_with_a_checkpoint)
          TEST_CASE(updates_that_replace_add_and_drop)
          TEST_CASE(random_lives)
          TEST_CASE(checks_that_cannot_tell)
          TEST_CASE(shards_in_shards)
          TEST_CASE(imitations)
          TEST_CASE(rules_with_the_index_at_the_end)
          TEST_CASE(rules_with_the_index_at_the_start)
          TEST_CASE(chunks_that_do_not_pass)
          TEST_CASE(the_last_chunk_of_an_intact_file_is_asked_about)
          TEST_CASE(calls_that_fail)
          TEST_CASE(files_that_cannot_be_cut)
          TEST_CASE(short_calls_and_whole_blocks)
          TEST_CASE(wrong_arguments)
          TEST_CASE(one_pass_over_large_files)
          TEST_CASE(behind_a_valid_head)
          TEST_CASE(memory_is_as_stated)
          TEST_CASE(huge_numbers)
          TEST_CASE(checksums_that_match_everywhere)
          TEST_CASE(indexes_that_overlap_everywhere)
          TEST_CASE(chunks_that_are_all_of_the_file)
          TEST_CASE(recover_by_name)
          TEST_CASE(compact_removes_dead_bytes)
          TEST_CASE(a_rewrite_is_never_in_place)
          TEST_CASE(compact_of_odd_shards))
