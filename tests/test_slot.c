/* The slot: any bytes in, whole blocks out, and a file that ends where the data ends. Against a plain model in memory,
   on files in memory that pretend to be devices, and on real ones. */
#include "test.h"
#include "faulty.h"
#include "pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

enum { MiB = 1 << 20, POOL = 16 * MiB, SOURCE = 6 * MiB, MODEL = 40 * MiB };

static uint8_t pool[2 * POOL] __attribute__((aligned(4096)));       /* buffers of slots */
static uint8_t source[SOURCE + 8192] __attribute__((aligned(4096)));
static uint8_t model[MODEL];                                        /* what the file has to hold */

static void fill_source(void)
{
    if (source[0] == 0) test_fill(source, sizeof source, 42);
    source[0] |= 1;
}

static shardio_slot_options slot_options(shardio_direct direct, uint64_t start)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.direct = direct;
    o.start = start;
    fill_source();
    return o;
}

/* Whether the system gives alignments for unbuffered I/O in this directory (qemu-user does not). */
static bool direct_in(const char *directory)
{
    shardio_file_facts facts;
    shardio_file file;
    char path[400];
    int code = 0;
    memset(&facts, 0, sizeof facts);
    snprintf(path, sizeof path, "%s/probe", directory);
    rig_put(path, "", 0);
    if (shardio_file_open(&file, path, SHARDIO_OPEN_UPDATE, NULL, NULL) == SHARDIO_OK) {
        CHECK_OK(file.functions->facts(file.context, &facts, &code));
        CHECK_OK(file.functions->close(file.context, SHARDIO_CLOSE_DISCARD, false, &code));
    }
    unlink(path);
    return facts.length_alignment != 0;
}

/* Most tests: with and without unbuffered I/O, on both kinds of file. */
static const struct {
    bool real;
    uint32_t alignment;      /* pretended, in memory */
    shardio_direct direct;
} ways[] = {
    {false, 0, SHARDIO_DIRECT_OFF},   {false, 0, SHARDIO_DIRECT_AUTO},    {false, 512, SHARDIO_DIRECT_ON},
    {false, 4096, SHARDIO_DIRECT_ON}, {false, 4096, SHARDIO_DIRECT_AUTO}, {false, 4096, SHARDIO_DIRECT_OFF},
    {true, 0, SHARDIO_DIRECT_OFF},    {true, 0, SHARDIO_DIRECT_AUTO},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

/* ---- bytes in, bytes out ------------------------------------------------------------------------------------- */

TEST(lengths_add_up)
{
    static const size_t lengths[][4] = {{100, 5000, 0, 0}, {0, 0, 0, 0}, {1, 0, 0, 0}, {4096, 0, 0, 0}, {4095, 1, 0, 0},
                                        {4095, 2, 0, 0}, {512, 512, 1, 0}, {100000, 1, 100000, 7}, {2 * MiB, 100, MiB, 1}};
    for (size_t w = 0; w < WAYS; w++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            shardio_slot_options o = slot_options(ways[w].direct, 0);
            shardio_slot slot;
            size_t sum = 0;
            rig g;
            if (ways[w].real) o.durability = SHARDIO_DURABLE_NONE;
            rig_begin(&g, ways[w].real, NULL, 0);
            g.faulty.alignment = ways[w].alignment;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 65536, &o));
            for (int k = 0; k < 4; k++) {
                CHECK_OK(shardio_slot_append(&slot, source, lengths[i][k]));
                memcpy(model + sum, source, lengths[i][k]);
                sum += lengths[i][k];
                CHECK_U64(shardio_slot_size(&slot), sum);
            }
            CHECK_OK(shardio_slot_finish(&slot));
            rig_check(&g, model, sum);
            CHECK_U64(g.faulty.closed, 1);
            CHECK(g.faulty.published);
            rig_end(&g);
        }
    }
}

/* A null pointer goes with a length of 0. */
TEST(nothing_from_nowhere)
{
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF, 0);
    shardio_slot slot;
    rig g;
    rig_begin(&g, false, NULL, 0);
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
    CHECK_OK(shardio_slot_append(&slot, NULL, 0));
    CHECK_OK(shardio_slot_append(&slot, source, 5));
    CHECK_OK(shardio_slot_finish(&slot));
    rig_check(&g, source, 5);
    rig_end(&g);
}

typedef struct play {
    rig g;
    shardio_slot slot;
    shardio_slot_options o;
    uint64_t seed, size, limit, checkpointed, before;   /* bytes; before: in the file at the begin */
    uint32_t alignment;
    size_t buffer;
    unsigned half;              /* of the pool, in use */
    bool update, spoiled;       /* opened by update; overwritten since the checkpoint */
} play;

static uint64_t pick(play *p, uint64_t n) { return test_random(&p->seed) % n; }

static void play_append(play *p)
{
    uint64_t unit = p->alignment ? p->alignment : 512, n = 0, from = 0;
    switch (pick(p, 8)) {
    case 0: n = 0; break;
    case 1: n = 1 + pick(p, 16); break;
    case 2: n = unit - 2 + pick(p, 5); break;
    case 3: n = pick(p, 3 * unit + 10); break;
    case 4: n = pick(p, 2 * p->buffer + 1); break;
    case 5: n = (unit - p->size % unit) % unit; break;
    case 6: n = unit * pick(p, 40); break;
    default: n = pick(p, 200000); break;
    }
    switch (pick(p, 5)) {
    case 0: from = 0; break;
    case 1: from = 1; break;
    case 2: from = 512; break;
    case 3: from = p->size % unit; break;
    default: from = pick(p, 4096); break;
    }
    if (n > p->limit - p->size) n = p->limit - p->size;
    if (n > SOURCE) n = SOURCE;
    memcpy(model + p->size, source + from, (size_t)n);
    p->size += n;
    CHECK_OK(shardio_slot_append(&p->slot, source + from, (size_t)n));
    CHECK(!faulty_borrows(&p->g.faulty));
    CHECK_U64(shardio_slot_size(&p->slot), p->size);
}

static void play_overwrite(play *p)
{
    uint64_t unit = p->slot.direct ? p->slot.block : 1, first = (p->o.start + unit - 1) / unit * unit, offset, n;
    if (p->size <= first) return;
    offset = first + pick(p, (p->size - first + unit - 1) / unit) * unit;
    n = pick(p, 3) == 0 ? p->size - offset : pick(p, p->size - offset + 1);
    if (offset + n <= p->slot.base) n = n / unit * unit;
    if (n > SOURCE) n = SOURCE / 4096 * 4096;
    if (offset + n > p->size) return;
    memcpy(model + offset, source + 4096, (size_t)n);
    CHECK_OK(shardio_slot_overwrite(&p->slot, offset, source + 4096, (size_t)n));
    p->spoiled = p->spoiled || n > 0;
}

static void play_suspend(play *p)
{
    CHECK_OK(shardio_slot_suspend(&p->slot));
    CHECK(p->g.faulty.suspended);
}

static void play_begin(play *p, bool real)
{
    static const uint32_t alignments[] = {0, 0, 512, 4096, 4096};
    static const size_t mins[] = {0, 1, 4096, 10000, SIZE_MAX}, factors[] = {1, 2, 3, 16, 256}, odd[] = {1, 3, 100, 5000, 70001};
    static const uint64_t starts[] = {0, 0, 0, 1, 511, 512, 513, 4096, 5000, 65536, MiB + 3}, every[] = {0, 0, 5000, MiB};
    static const int codes[] = {EINVAL, EOPNOTSUPP, ENOTSUP, EPERM};
    uint64_t extra;
    p->alignment = real ? 0 : alignments[pick(p, 5)];
    p->o = slot_options((shardio_direct)pick(p, real || p->alignment ? 3 : 1), starts[pick(p, 11)]);
    if (!real && p->alignment == 0 && pick(p, 2)) p->o.direct = SHARDIO_DIRECT_OFF;
    if (real && p->o.direct == SHARDIO_DIRECT_ON && !direct_in(rig_directory())) p->o.direct = SHARDIO_DIRECT_AUTO;
    p->o.direct_min = mins[pick(p, 5)];
    p->o.sync_every = every[pick(p, 4)];
    p->o.drop_behind = every[pick(p, 4)];
    p->o.durability = pick(p, real ? 4 : 2) ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
    if (real && p->o.sync_every) p->o.sync_every = MiB;
    p->limit = 300000 + p->o.start;
    p->buffer = factors[pick(p, 5)] * (p->alignment ? p->alignment : 4096);
    if (pick(p, 16) == 0) {
        p->buffer = (size_t)MiB << pick(p, 5);
        p->limit = p->buffer + p->buffer / 3 + p->o.start;
    } else if (p->o.direct == SHARDIO_DIRECT_OFF && pick(p, 2)) {
        p->buffer = odd[pick(p, 5)];
        if (p->buffer < 100) p->limit = 3000 + p->o.start;
    }
    extra = p->o.start && pick(p, 2) ? pick(p, 20000) : 0;
    p->before = p->o.start + extra;
    test_fill(model, (size_t)p->before, p->seed);
    p->update = p->o.start > 0;
    rig_begin(&p->g, real, p->update ? model : NULL, (size_t)p->before);
    p->g.faulty.alignment = p->alignment;
    p->o.overlap = pick(p, 2) ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
    p->o.in_flight = (uint32_t)pick(p, 5);
    p->g.faulty.overlap = !real && pick(p, 4) != 0;
    p->g.faulty.own = pool;
    p->g.faulty.own_size = sizeof pool;
    if (pick(p, 6) == 0) p->g.faulty.refuse_begin_from = 1 + pick(p, 5);
    if (pick(p, 2)) p->g.faulty.shorten = 1 + pick(p, 1000000);
    if (p->o.direct == SHARDIO_DIRECT_AUTO && p->alignment && pick(p, 3) == 0)
        *(pick(p, 2) ? &p->g.faulty.refuse_direct : &p->g.faulty.refuse_write) = codes[pick(p, 4)];
    p->size = p->checkpointed = p->o.start;
    CHECK_OK(shardio_slot_begin(&p->slot, rig_open(&p->g, p->update), pool, p->buffer, &p->o));
}

static void play_finish(play *p)
{
    shardio_accounting a;
    CHECK_OK(shardio_slot_finish(&p->slot));
    a = p->slot.accounting;
    rig_check(&p->g, model, (size_t)p->size);
    CHECK_U64(a.logical_bytes, p->size);
    CHECK_U64(a.dead_bytes, 0);
    CHECK_U64(a.device_calls, p->g.faulty.calls[FAULTY_WRITE]);
    CHECK_U64(a.device_bytes, p->g.faulty.bytes_written);
    CHECK(a.overlap ? a.overlap_reason == NULL : a.overlap_reason != NULL || p->g.faulty.begins == 0);
    CHECK_U64(a.syncs, p->g.faulty.calls[FAULTY_SYNC]);
    CHECK(a.direct ? a.direct_reason == NULL : a.direct_reason != NULL);
}

/* What an abort leaves: nothing, the last checkpoint, or what was there before. */
static void play_abort(play *p)
{
    size_t size = 0;
    const uint8_t *now;
    shardio_slot_abort(&p->slot);
    now = rig_contents(&p->g, &size);
    if (p->g.faulty.published) {
        CHECK_U64(size, p->checkpointed);
        if (!p->spoiled) CHECK_BYTES(now, model, size);
    } else if (p->update) {
        if (p->before == p->o.start) CHECK_U64(size, p->before);
        CHECK(size >= p->o.start && size <= p->before);
        if (!p->spoiled) CHECK_BYTES(now, model, (size_t)p->o.start);
    } else {
        CHECK_U64(p->g.faulty.how, SHARDIO_CLOSE_DISCARD);
        if (p->g.real) CHECK(access(p->g.path, F_OK) != 0);
    }
}

static void play_sequence(bool real, uint64_t seed)
{
    int failures = test_failures;
    static play p;
    unsigned moods;
    memset(&p, 0, sizeof p);
    p.seed = seed << 32;
    play_begin(&p, real);
    moods = (unsigned)pick(&p, 32);
    for (int step = 0; step < 60 && test_failures == failures; step++) {
        unsigned what = (unsigned)pick(&p, 20);
        if (what >= 5 || (moods >> what & 1) == 0) {
            play_append(&p);
        } else if (what == 0) {
            CHECK_OK(shardio_slot_checkpoint(&p.slot));
            rig_check(&p.g, model, (size_t)p.size);
            p.checkpointed = p.size;
            p.spoiled = false;
        } else if (what == 1) {
            CHECK_OK(shardio_slot_sync(&p.slot));
        } else if (what == 2) {
            play_overwrite(&p);
        } else if (what == 3) {
            p.half ^= 1;
            CHECK_OK(shardio_slot_set_buffer(&p.slot, pool + (p.half ? POOL : 0), p.buffer));
        } else {
            play_suspend(&p);
        }
    }
    if (pick(&p, 5)) play_finish(&p);
    else play_abort(&p);
    CHECK(p.slot.error.status == SHARDIO_OK || test_failures > failures);
    rig_end(&p.g);
    if (test_failures > failures)
        fprintf(stderr, "  seed %llu real %d alignment %u direct %d buffer %llu start %llu+%llu min %llu shorten %d refuse %d/%d moods %u\n",
                (unsigned long long)seed, real, p.alignment, (int)p.o.direct, (unsigned long long)p.buffer, (unsigned long long)p.o.start,
                (unsigned long long)(p.before - p.o.start), (unsigned long long)p.o.direct_min, p.g.faulty.shorten != 0,
                p.g.faulty.refuse_direct, p.g.faulty.refuse_write, moods);
}

TEST(random_sequences_in_memory)
{
    for (uint64_t seed = 1; seed <= test_rounds(250) && test_failures < 5; seed++) play_sequence(false, seed);
}

TEST(random_sequences_on_real_files)
{
    for (uint64_t seed = 1; seed <= test_rounds(50) && test_failures < 5; seed++) play_sequence(true, 1000 + seed);
}

/* ---- how the bytes reach the device -------------------------------------------------------------------------- */

TEST(large_aligned_appends_are_not_copied)
{
    static const struct {
        uint32_t alignment, memory_alignment;
        shardio_direct direct;
        size_t before, from, size;    /* bytes appended before, address of the source in its page, bytes */
        uint64_t copied_min, copied_max;
    } table[] = {
        {4096, 0, SHARDIO_DIRECT_ON, 0, 0, MiB, 0, 0},
        {4096, 0, SHARDIO_DIRECT_ON, 0, 0, 5 * MiB, 0, 0},
        {512, 0, SHARDIO_DIRECT_ON, 0, 512, MiB, 0, 0},
        {4096, 512, SHARDIO_DIRECT_ON, 0, 512, MiB, 0, 0},
        {4096, 0, SHARDIO_DIRECT_ON, 8192, 0, 2 * MiB, 0, 0},
        {4096, 0, SHARDIO_DIRECT_ON, 100, 100, 2 * MiB + 3996, 3996, 4095},      /* lines up after 3996 bytes */
        {4096, 512, SHARDIO_DIRECT_ON, 100, 612, 2 * MiB + 3996, 3996, 4095},
        {512, 0, SHARDIO_DIRECT_ON, 100, 100, 2 * MiB + 412, 412, 511},
        {4096, 0, SHARDIO_DIRECT_ON, 100, 0, 2 * MiB, 2 * MiB, 2 * MiB},         /* never lines up */
        {4096, 0, SHARDIO_DIRECT_ON, 0, 1, 2 * MiB, 2 * MiB, 2 * MiB},
        {4096, 0, SHARDIO_DIRECT_ON, 0, 0, MiB - 4096, MiB - 4096, MiB - 4096},  /* less than direct_min */
        {4096, 0, SHARDIO_DIRECT_ON, 0, 0, MiB + 77, 77, 77},                    /* the tail is kept */
        {4096, 0, SHARDIO_DIRECT_OFF, 0, 0, MiB, 0, 0},
        {0, 0, SHARDIO_DIRECT_OFF, 0, 1, 2 * MiB, 0, 0},                         /* the page cache takes any address */
        {0, 0, SHARDIO_DIRECT_AUTO, 8192, 0, 2 * MiB, 0, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_slot_options o = slot_options(table[i].direct, 0);
        shardio_slot slot;
        uint64_t copied, failures = (uint64_t)test_failures;
        rig g;
        rig_begin(&g, false, NULL, 0);
        g.faulty.alignment = table[i].alignment;
        g.faulty.memory_alignment = table[i].memory_alignment;
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 65536, &o));
        CHECK_OK(shardio_slot_append(&slot, source, table[i].before));
        copied = slot.accounting.copied_bytes;
        CHECK_OK(shardio_slot_append(&slot, source + table[i].from, table[i].size));
        copied = slot.accounting.copied_bytes - copied;
        if (copied < table[i].copied_min) CHECK_U64(copied, table[i].copied_min);
        if (copied > table[i].copied_max) CHECK_U64(copied, table[i].copied_max);
        CHECK_OK(shardio_slot_finish(&slot));
        memcpy(model, source, table[i].before);
        memcpy(model + table[i].before, source + table[i].from, table[i].size);
        rig_check(&g, model, table[i].before + table[i].size);
        rig_end(&g);
        if ((uint64_t)test_failures > failures) fprintf(stderr, "  row %d\n", (int)i);
    }
}

TEST(small_appends_make_large_calls)
{
    static const size_t sizes[] = {8192, 8000, 1, 4096};
    for (size_t w = 0; w < WAYS; w++) {
        for (size_t i = 0; i < 4; i++) {
            shardio_slot_options o = slot_options(ways[w].direct, 0);
            shardio_slot slot;
            size_t buffer = 64 * 1024, sum = 0;
            rig g;
            if (ways[w].real) o.durability = SHARDIO_DURABLE_NONE;
            rig_begin(&g, ways[w].real, NULL, 0);
            g.faulty.alignment = ways[w].alignment;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, buffer, &o));
            while (sum + sizes[i] <= 3 * buffer) {
                CHECK_OK(shardio_slot_append(&slot, source + sum, sizes[i]));
                sum += sizes[i];
            }
            CHECK(g.faulty.calls[FAULTY_WRITE] <= 3);
            if (g.faulty.calls[FAULTY_WRITE]) CHECK_U64(g.faulty.smallest_write, buffer);
            CHECK_U64(slot.accounting.copied_bytes, sum);
            CHECK_OK(shardio_slot_finish(&slot));
            CHECK(g.faulty.calls[FAULTY_WRITE] <= 4);     /* the last whole blocks, and the tail */
            CHECK_U64(g.faulty.largest_write, buffer);
            rig_check(&g, source, sum);
            rig_end(&g);
        }
    }
}

/* Nothing is written twice unless it changed. */
TEST(tail_is_written_once)
{
    for (size_t w = 0; w < WAYS; w++) {
        static const struct {
            size_t append;
            bool checkpoint;
            uint64_t writes;    /* at most: the whole blocks, and the tail */
        } steps[] = {{100, true, 1}, {0, true, 0}, {0, true, 0}, {10, false, 0}, {0, true, 1}, {10000, true, 2},
                     {0, true, 0}, {4096 * 16 - 10110, true, 1}, {0, true, 0}, {5, true, 1}, {65536 - 5, true, 1}, {0, true, 0}};
        shardio_slot_options o = slot_options(ways[w].direct, 0);
        shardio_slot slot;
        size_t sum = 0, failures = (size_t)test_failures;
        uint64_t writes, bytes;
        rig g;
        if (ways[w].real) o.durability = SHARDIO_DURABLE_NONE;
        rig_begin(&g, ways[w].real, NULL, 0);
        g.faulty.alignment = ways[w].alignment;
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 65536, &o));
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            uint64_t before = g.faulty.calls[FAULTY_WRITE];
            CHECK_OK(shardio_slot_append(&slot, source + sum, steps[i].append));
            sum += steps[i].append;
            if (steps[i].checkpoint) CHECK_OK(shardio_slot_checkpoint(&slot));
            if (steps[i].checkpoint) rig_check(&g, source, sum);
            before = g.faulty.calls[FAULTY_WRITE] - before;
            if (before > steps[i].writes || (before == 0) != (steps[i].writes == 0)) CHECK_U64(before, steps[i].writes);
            if ((size_t)test_failures > failures) {
                fprintf(stderr, "  way %d step %d\n", (int)w, (int)i);
                failures = (size_t)test_failures;
            }
        }
        writes = g.faulty.calls[FAULTY_WRITE];
        bytes = g.faulty.bytes_written;
        CHECK(bytes <= sum + 8 * 4096);     /* whole blocks that were there are not written again */
        CHECK_OK(shardio_slot_finish(&slot));
        CHECK_U64(g.faulty.calls[FAULTY_WRITE], writes);
        rig_check(&g, source, sum);
        rig_end(&g);
    }
}

/* Refused when it is switched on, or by a write: the bytes go on from that very one. */
TEST(unbuffered_refused)
{
    static const int codes[] = {EINVAL, EOPNOTSUPP, ENOTSUP, EPERM};
    static const struct {
        bool at_write;
        uint64_t start;
        size_t lengths[3];
    } table[] = {
        {false, 0, {100, 5000, 70000}}, {false, 5000, {100, 5000, 2 * MiB}}, {true, 0, {100, 5000, 70000}},
        {true, 0, {2 * MiB, 5000, 100}}, {true, 4096, {100, 2 * MiB, 70000}}, {true, 5001, {5000, 3, 1}},
        {true, 1, {0, 0, 70000}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t c = 0; c < 8; c++) {
            bool on = c >= 4;
            shardio_slot_options o = slot_options(on ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_AUTO, table[i].start);
            size_t sum = (size_t)table[i].start;
            shardio_status status;
            shardio_slot slot;
            rig g;
            test_fill(model, sum, 9);
            rig_begin(&g, false, sum ? model : NULL, sum);
            g.faulty.alignment = 4096;
            *(table[i].at_write ? &g.faulty.refuse_write : &g.faulty.refuse_direct) = codes[c % 4];
            status = shardio_slot_begin(&slot, rig_open(&g, sum > 0), pool, 65536, &o);
            CHECK_STATUS(status, on && !table[i].at_write ? SHARDIO_ERR_DIRECT : SHARDIO_OK);
            for (int k = 0; k < 3; k++) {
                status = shardio_slot_append(&slot, source, table[i].lengths[k]);
                if (!on) CHECK_OK(status);
                memcpy(model + sum, source, table[i].lengths[k]);
                sum += table[i].lengths[k];
            }
            status = shardio_slot_finish(&slot);
            CHECK_STATUS(status, on ? SHARDIO_ERR_DIRECT : SHARDIO_OK);
            CHECK_U64(g.faulty.closed, 1);
            CHECK(!slot.accounting.direct);
            if (!on) {
                CHECK(slot.accounting.direct_reason != NULL && *slot.accounting.direct_reason);
                CHECK_U64(slot.accounting.direct_code, codes[c % 4]);
                rig_check(&g, model, sum);
            } else {
                CHECK(!g.faulty.published);
                CHECK_U64(g.faulty.how, SHARDIO_CLOSE_DISCARD);
                CHECK_U64(g.faulty.bytes_written, 0);
                CHECK_STATUS(slot.error.status, SHARDIO_ERR_DIRECT);
                CHECK_U64(slot.error.system_code, codes[c % 4]);
                if (table[i].start) rig_check(&g, model, (size_t)table[i].start);   /* untouched */
            }
            rig_end(&g);
        }
    }
}

/* A full disk or a broken one is not a refusal. */
TEST(other_errors_of_the_first_write_are_errors)
{
    static const struct { shardio_status status; int code; } table[] = {
        {SHARDIO_ERR_NO_SPACE, ENOSPC}, {SHARDIO_ERR_IO, EIO}, {SHARDIO_ERR_PERMISSION, EACCES}};
    for (size_t i = 0; i < 3; i++) {
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
        shardio_slot slot;
        rig g;
        rig_begin(&g, false, NULL, 0);
        g.faulty.alignment = 4096;
        g.faulty.fail_at = 1;
        g.faulty.fail_only = FAULTY_ONLY(FAULTY_WRITE);
        g.faulty.fail_status = table[i].status;
        g.faulty.fail_code = table[i].code;
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
        CHECK_STATUS(shardio_slot_append(&slot, source, 10000), table[i].status);
        CHECK_STATUS(shardio_slot_finish(&slot), table[i].status);
        CHECK_U64(slot.error.system_code, table[i].code);
        rig_end(&g);
    }
}

/* Memory that cannot be used unbuffered: a wish gives way, a demand does not. */
TEST(buffers_that_do_not_fit)
{
    static const struct {
        size_t from, size;
        shardio_direct direct;
        bool works;
    } table[] = {
        {0, 4096, SHARDIO_DIRECT_ON, true},   {0, 4095, SHARDIO_DIRECT_ON, false}, {1, 8192, SHARDIO_DIRECT_ON, false},
        {512, 9000, SHARDIO_DIRECT_ON, false}, {0, 10000, SHARDIO_DIRECT_ON, true}, {1, 1, SHARDIO_DIRECT_OFF, true},
        {3, 100, SHARDIO_DIRECT_OFF, true},   {0, 0, SHARDIO_DIRECT_OFF, false},   {0, 0, SHARDIO_DIRECT_ON, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_slot_options o = slot_options(table[i].direct, 0);
        shardio_slot slot;
        shardio_status status;
        rig g;
        rig_begin(&g, false, NULL, 0);
        g.faulty.alignment = 4096;
        status = shardio_slot_begin(&slot, rig_open(&g, false), pool + table[i].from, table[i].size, &o);
        CHECK((status == SHARDIO_OK) == table[i].works);
        shardio_slot_append(&slot, source, 30000);
        CHECK((shardio_slot_finish(&slot) == SHARDIO_OK) == table[i].works);
        CHECK_U64(g.faulty.closed, 1);
        if (table[i].works) rig_check(&g, source, 30000);
        else CHECK(!g.faulty.published);
        rig_end(&g);
    }
}

/* ---- errors -------------------------------------------------------------------------------------------------- */

TEST(first_error_sticks)
{
    for (size_t w = 0; w < 6; w++) {
        for (uint64_t nth = 1; nth <= 3; nth++) {
            shardio_slot_options o = slot_options(ways[w].direct, 0);
            shardio_slot slot;
            shardio_status status = SHARDIO_OK;
            rig g;
            uint64_t calls;
            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = ways[w].alignment;
            g.faulty.fail_at = nth;
            g.faulty.fail_only = FAULTY_ONLY(FAULTY_WRITE);
            g.faulty.fail_code = 4711;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 8192, &o));
            for (int i = 0; i < 40 && status == SHARDIO_OK; i++) status = shardio_slot_append(&slot, source, 1000);
            CHECK_STATUS(status, SHARDIO_ERR_IO);
            CHECK_U64(slot.error.system_code, 4711);
            CHECK_TEXT(slot.error.operation, "write");
            CHECK_U64(slot.error.offset, (nth - 1) * 8192);
            CHECK_TEXT(slot.error.subject, "memory");
            calls = g.faulty.calls[FAULTY_WRITE];
            CHECK_STATUS(shardio_slot_append(&slot, source, 10000), SHARDIO_ERR_IO);
            CHECK_STATUS(shardio_slot_append(&slot, source, 0), SHARDIO_ERR_IO);
            CHECK_STATUS(shardio_slot_checkpoint(&slot), SHARDIO_ERR_IO);
            CHECK_STATUS(shardio_slot_sync(&slot), SHARDIO_ERR_IO);
            CHECK_STATUS(shardio_slot_overwrite(&slot, 0, source, 4096), SHARDIO_ERR_IO);
            CHECK_STATUS(shardio_slot_set_buffer(&slot, pool + POOL, 8192), SHARDIO_ERR_IO);
            CHECK_U64(g.faulty.calls[FAULTY_WRITE], calls);
            CHECK_STATUS(shardio_slot_finish(&slot), SHARDIO_ERR_IO);
            CHECK_U64(slot.error.system_code, 4711);
            CHECK_U64(g.faulty.calls[FAULTY_WRITE], calls);
            CHECK_U64(g.faulty.calls[FAULTY_SYNC], 0);
            CHECK(!g.faulty.published);
            CHECK_U64(g.faulty.how, SHARDIO_CLOSE_DISCARD);
            CHECK_U64(g.faulty.closed, 1);
            rig_end(&g);
        }
    }
}

/* What a workflow shows of itself. */
typedef struct course {
    shardio_status finish;
    uint64_t published;       /* bytes at the last checkpoint that returned success; 0: none */
    uint64_t size;
    bool failed;              /* a call before finish failed */
} course;

static void note(course *c, shardio_status status) { c->failed = c->failed || status != SHARDIO_OK; }

/* Everything a slot can do, once. */
static course run_course(rig *g, shardio_direct direct, uint64_t start, bool checkpoints, bool overlap)
{
    shardio_slot_options o = slot_options(direct, start);
    shardio_slot slot;
    course c = {SHARDIO_OK, 0, 0, false};
    size_t sum = (size_t)start;
    o.sync_every = 30000;
    o.drop_behind = 30000;
    o.direct_min = 50000;
    o.overlap = overlap ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
    o.in_flight = 4;
    g->faulty.overlap = overlap;
    note(&c, shardio_slot_begin(&slot, rig_open(g, start > 0), pool, 16384, &o));
    for (int i = 0; i < 4; i++) {
        size_t n = (size_t)(i == 1 ? 150000 : 5000 + i);
        memcpy(model + sum, source + 64, n);
        note(&c, shardio_slot_append(&slot, source + 64, n));
        sum += n;
        if (checkpoints) {
            shardio_status status = shardio_slot_checkpoint(&slot);
            note(&c, status);
            if (status == SHARDIO_OK) c.published = sum;
        }
        if (i == 0) note(&c, shardio_slot_suspend(&slot));
        if (i == 1) note(&c, shardio_slot_sync(&slot));
        if (i == 2) note(&c, shardio_slot_set_buffer(&slot, pool + POOL, 32768));
    }
    note(&c, shardio_slot_overwrite(&slot, (start + 8191) / 4096 * 4096, source + 4096, 8192));
    memcpy(model + (start + 8191) / 4096 * 4096, source + 4096, 8192);
    c.finish = shardio_slot_finish(&slot);
    c.size = sum;
    if (c.finish == SHARDIO_OK) CHECK(!c.failed);
    else CHECK_STATUS(slot.error.status, c.finish);
    return c;
}

/* The n-th call of the course fails, for each n: the error comes out, and nothing wrong is left under the name. */
static void fail_every_call(uint32_t alignment, shardio_direct direct, uint64_t start, bool checkpoints, bool fail_on,
                            bool overlap)
{
    for (uint64_t nth = 1; nth < 1000; nth = test_next(nth)) {
        unsigned ignorable = FAULTY_ONLY(FAULTY_DIRECT);
        int failures = test_failures;
        size_t size = 0;
        const uint8_t *now;
        course c;
        rig g;
        test_fill(model, (size_t)start, 5);
        rig_begin(&g, false, start ? model : NULL, (size_t)start);
        g.faulty.alignment = alignment;
        g.faulty.fail_at = nth;
        g.faulty.fail_on = fail_on;
        g.faulty.fail_code = 99;
        g.faulty.fail_only = ~ignorable;
        c = run_course(&g, direct, start, checkpoints, overlap);
        CHECK_U64(g.faulty.closed, 1);
        CHECK_U64(g.faulty.misused, 0);
        now = rig_contents(&g, &size);
        bool never = g.faulty.fired == 0;
        if (never || (overlap && g.faulty.fired_call == FAULTY_RESIZE && c.finish == SHARDIO_OK)) {   /* only set ahead */
            CHECK_OK(c.finish);
            CHECK(g.faulty.published);
            rig_check(&g, model, (size_t)c.size);
            rig_end(&g);
            if (!never) continue;
            CHECK(nth > 8);
            return;
        }
        CHECK_STATUS(c.finish, SHARDIO_ERR_IO);
        CHECK_U64(g.faulty.how, SHARDIO_CLOSE_DISCARD);
        if (g.faulty.published) {
            CHECK(checkpoints && size >= c.published);
            size_t padding = !fail_on ? 0 : overlap ? 2 * MiB : 4095;    /* nothing can be cut any more */
            if (size > c.size + padding) CHECK_U64(size, c.size);
        } else if (start) {
            CHECK(size >= start);
            CHECK_BYTES(now, model, (size_t)start);
            if (!fail_on && g.faulty.fired_call != FAULTY_CLOSE) CHECK_U64(size, start);   /* what is closed cannot be cut */
        }
        rig_end(&g);
        if (test_failures > failures)
            fprintf(stderr, "  call %d, alignment %u direct %d start %d checkpoints %d on %d overlap %d\n", (int)nth, alignment,
                    (int)direct, (int)start, checkpoints, fail_on, overlap);
        if (test_failures > 10) return;
    }
    CHECK_TEXT("the course", "ended");
}

TEST(every_call_fails_in_turn)
{
    static const uint64_t starts[] = {0, 1, 4096, 10000};
    for (int bits = 0; bits < 16; bits++) {
        for (size_t s = 0; s < 4; s++)
            fail_every_call(bits & 1 ? 4096 : 0, bits & 1 ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_OFF, starts[s], (bits & 2) != 0,
                            (bits & 4) != 0, (bits & 8) != 0);
    }
}

TEST(device_full_at_every_block)
{
    for (size_t w = 0; w < 12; w++) {
        for (uint64_t space = 512; space <= 40000; space += space < 9000 ? 512 : 3584) {
            static const size_t lengths[] = {100, 4000, 10000, 20000};
            shardio_slot_options o = slot_options(ways[w % 6].direct, 0);
            shardio_slot slot;
            size_t sum = 0;
            rig g;
            shardio_status status;
            o.direct_min = 9000;
            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = ways[w % 6].alignment;
            g.faulty.space = space;
            g.faulty.overlap = w >= 6;
            o.overlap = w >= 6 ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
            o.in_flight = 2;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 8192, &o));
            for (int i = 0; i < 4; i++) {
                memcpy(model + sum, source + sum % 4096, lengths[i]);
                shardio_slot_append(&slot, source + sum % 4096, lengths[i]);
                sum += lengths[i];
            }
            status = shardio_slot_finish(&slot);
            if (status == SHARDIO_OK) {
                CHECK(space >= sum);
                rig_check(&g, model, sum);
            } else {
                CHECK(space < sum + 4096);
                CHECK_STATUS(status, SHARDIO_ERR_NO_SPACE);
                CHECK_U64(slot.error.system_code, ENOSPC);
                CHECK_TEXT(slot.error.operation, "write");
                CHECK(slot.error.offset <= space);
                CHECK(!g.faulty.published);
                CHECK_U64(g.faulty.how, SHARDIO_CLOSE_DISCARD);
            }
            rig_end(&g);
        }
    }
}

/* A write that took a part of a block before the device was full: an abort cuts that off as well. */
TEST(part_of_a_block_is_cut_off)
{
    for (int big = 0; big < 2; big++) {
        shardio_slot_options o = slot_options(big ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_AUTO, 8192);
        shardio_slot slot;
        rig g;
        rig_begin(&g, false, source, 8192);
        g.faulty.alignment = 4096;
        g.faulty.space = 9000;
        g.faulty.unaligned_space = true;
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, true), pool, 8192, &o));
        shardio_slot_append(&slot, source, 20000);
        CHECK(shardio_slot_finish(&slot) != SHARDIO_OK);
        rig_check(&g, source, 8192);
        rig_end(&g);
    }
}

TEST(wrong_calls)
{
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF, 0);
    shardio_slot slot;
    rig g;
    CHECK_STATUS(shardio_slot_append(NULL, source, 1), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_slot_finish(NULL), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_slot_checkpoint(NULL), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_slot_sync(NULL), SHARDIO_ERR_ARGUMENT);
    shardio_slot_abort(NULL);

    rig_begin(&g, false, NULL, 0);   /* bytes from nowhere: sticks, or frames would be missing without a word */
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
    CHECK_OK(shardio_slot_append(&slot, source, 10));
    CHECK_STATUS(shardio_slot_append(&slot, NULL, 5), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_slot_append(&slot, source, 10), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_slot_finish(&slot), SHARDIO_ERR_ARGUMENT);
    CHECK(!g.faulty.published);
    CHECK(shardio_slot_append(&slot, source, 1) != SHARDIO_OK);   /* ended */
    CHECK(shardio_slot_finish(&slot) != SHARDIO_OK);
    shardio_slot_abort(&slot);
    CHECK_U64(g.faulty.closed, 1);
    rig_end(&g);

    rig_begin(&g, false, NULL, 0);   /* after the end */
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
    CHECK_OK(shardio_slot_append(&slot, source, 10));
    CHECK_OK(shardio_slot_finish(&slot));
    CHECK_STATUS(shardio_slot_append(&slot, source, 1), SHARDIO_ERR_STATE);
    CHECK_STATUS(shardio_slot_checkpoint(&slot), SHARDIO_ERR_STATE);
    shardio_slot_abort(&slot);
    CHECK_U64(g.faulty.closed, 1);
    rig_check(&g, source, 10);
    rig_end(&g);

    rig_begin(&g, false, NULL, 0);
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
    CHECK_OK(shardio_slot_append(&slot, source, 10));
    CHECK_OK(shardio_slot_finish(&slot));
    CHECK_STATUS(shardio_slot_set_buffer(&slot, pool + POOL, 4096), SHARDIO_ERR_STATE);
    rig_end(&g);

    rig_begin(&g, false, NULL, 0);   /* what was not appended cannot be overwritten */
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
    CHECK_OK(shardio_slot_append(&slot, source, 100));
    CHECK_STATUS(shardio_slot_overwrite(&slot, 50, source, 51), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_slot_finish(&slot), SHARDIO_ERR_ARGUMENT);
    rig_end(&g);

    rig_begin(&g, false, NULL, 0);
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
    CHECK_OK(shardio_slot_append(&slot, source, 100));
    CHECK_STATUS(shardio_slot_overwrite(&slot, UINT64_MAX - 10, source, 20), SHARDIO_ERR_ARGUMENT);
    shardio_slot_abort(&slot);
    rig_end(&g);

    rig_begin(&g, false, NULL, 0);   /* what is on the device goes by blocks */
    g.faulty.alignment = 512;
    o = slot_options(SHARDIO_DIRECT_AUTO, 0);
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
    CHECK_OK(shardio_slot_append(&slot, source, 9000));
    CHECK_STATUS(shardio_slot_overwrite(&slot, 100, source, 512), SHARDIO_ERR_ARGUMENT);
    CHECK_TEXT(slot.error.reason, "not aligned to blocks");
    shardio_slot_abort(&slot);
    rig_end(&g);

    volatile uint64_t most = SIZE_MAX;
    if (most > UINT64_MAX / 2) {
        rig_begin(&g, false, NULL, 0);
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4096, &o));
        CHECK_STATUS(shardio_slot_append(&slot, source, (size_t)most), SHARDIO_ERR_LIMIT);
        shardio_slot_abort(&slot);
        rig_end(&g);
    }
}

/* A start beyond the end would leave a hole that nobody wrote. */
TEST(start_beyond_the_end)
{
    for (int real = 0; real < 2; real++) {
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF, 5001);
        shardio_slot slot;
        rig g;
        rig_begin(&g, real != 0, source, 5000);
        CHECK(shardio_slot_begin(&slot, rig_open(&g, true), pool, 4096, &o) != SHARDIO_OK);
        CHECK(shardio_slot_finish(&slot) != SHARDIO_OK);
        rig_check(&g, source, 5000);
        rig_end(&g);
    }
}

/* ---- checkpoints, continuing, durability --------------------------------------------------------------------- */

/* Every byte to start at, with what is beyond it cut off at finish. */
TEST(start_at_any_byte)
{
    for (size_t w = 0; w < 6; w++) {
        for (uint64_t start = 1; start <= 8300; start += start < 20 || (start % 512) > 500 || (start % 512) < 10 ? 1 : 97) {
            shardio_slot_options o = slot_options(ways[w].direct, start);
            shardio_slot slot;
            rig g;
            rig_begin(&g, false, source, 9000);
            g.faulty.alignment = ways[w].alignment;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, true), pool, 8192, &o));
            CHECK_U64(shardio_slot_size(&slot), start);
            CHECK_OK(shardio_slot_append(&slot, source + 100, 300));
            CHECK_OK(shardio_slot_finish(&slot));
            memcpy(model, source, (size_t)start);
            memcpy(model + start, source + 100, 300);
            rig_check(&g, model, (size_t)start + 300);
            rig_end(&g);
        }
    }
}

/* Beyond 4 GiB; the file is sparse. */
TEST(start_beyond_four_gigabytes)
{
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, (UINT64_C(5) << 30) + 7);
    shardio_slot slot;
    struct stat facts;
    uint8_t back[300];
    rig g;
    int fd;
    rig_begin(&g, true, source, 1);
    if (!CHECK(truncate(g.path, (off_t)o.start) == 0)) return;
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, true), pool, 65536, &o));
    CHECK_OK(shardio_slot_append(&slot, source, 300));
    CHECK_OK(shardio_slot_finish(&slot));
    fd = open(g.path, O_RDONLY);
    CHECK(fstat(fd, &facts) == 0 && (uint64_t)facts.st_size == o.start + 300);
    CHECK(pread(fd, back, sizeof back, (off_t)o.start) == 300);
    CHECK_BYTES(back, source, 300);
    close(fd);
    rig_end(&g);
}

TEST(overwrite_rewrites_bytes)
{
    for (size_t w = 0; w < WAYS; w++) {
        static const struct { size_t size, offset, n; } table[] = {
            {100, 0, 100}, {5000, 4096, 904}, {5000, 0, 5000}, {100000, 0, 4096}, {100000, 8192, 4096}, {100000, 65536, 34464}, {4096, 0, 4096}};
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            shardio_slot_options o = slot_options(ways[w].direct, 0);
            shardio_slot slot;
            rig g;
            if (ways[w].real) o.durability = SHARDIO_DURABLE_NONE;
            rig_begin(&g, ways[w].real, NULL, 0);
            g.faulty.alignment = ways[w].alignment;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 32768, &o));
            CHECK_OK(shardio_slot_append(&slot, source, table[i].size));
            CHECK_OK(shardio_slot_overwrite(&slot, table[i].offset, source + 8192, table[i].n));
            CHECK_U64(shardio_slot_size(&slot), table[i].size);
            CHECK_OK(shardio_slot_append(&slot, source, 10));
            CHECK_OK(shardio_slot_finish(&slot));
            memcpy(model, source, table[i].size);
            memcpy(model + table[i].offset, source + 8192, table[i].n);
            memcpy(model + table[i].size, source, 10);
            rig_check(&g, model, table[i].size + 10);
            rig_end(&g);
        }
    }
}

/* The positions in the log of the last call of each kind. */
static size_t last_of(const faulty_state *f, faulty_call call)
{
    for (size_t i = f->logged; i > 0; i--)
        if (f->log[i - 1].call == call) return i;
    return 0;
}

TEST(durability)
{
    static const struct {
        shardio_durability durability;
        uint64_t every;
        bool explicit_sync, durable;
        uint64_t at_least, at_most;     /* syncs, for 1 MiB in steps of 10000 */
    } table[] = {
        {SHARDIO_DURABLE_FINISH, 0, false, true, 1, 1}, {SHARDIO_DURABLE_NONE, 0, false, false, 0, 0},
        {SHARDIO_DURABLE_NONE, 0, true, false, 1, 1},   {SHARDIO_DURABLE_FINISH, 0, true, true, 2, 2},
        {SHARDIO_DURABLE_NONE, 100000, false, false, 8, 11}, {SHARDIO_DURABLE_FINISH, 100000, false, true, 9, 12},
        {SHARDIO_DURABLE_NONE, 1, false, false, 16, 110},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (size_t w = 0; w < 6; w++) {
            shardio_slot_options o = slot_options(ways[w].direct, 0);
            shardio_slot slot;
            uint64_t failures = (uint64_t)test_failures;
            char text[8000];
            rig g;
            o.durability = table[i].durability;
            o.sync_every = table[i].every;
            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = ways[w].alignment;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 65536, &o));
            for (int k = 0; k < 105; k++) {
                CHECK_OK(shardio_slot_append(&slot, source, 10000));
                if (k == 50 && table[i].explicit_sync) CHECK_OK(shardio_slot_sync(&slot));
            }
            CHECK_OK(shardio_slot_finish(&slot));
            if (g.faulty.calls[FAULTY_SYNC] < table[i].at_least) CHECK_U64(g.faulty.calls[FAULTY_SYNC], table[i].at_least);
            if (g.faulty.calls[FAULTY_SYNC] > table[i].at_most) CHECK_U64(g.faulty.calls[FAULTY_SYNC], table[i].at_most);
            CHECK_U64(slot.accounting.syncs, g.faulty.calls[FAULTY_SYNC]);
            CHECK_U64(g.faulty.durable, table[i].durable);
            if (table[i].durable) {   /* after all that changes the contents, before the name */
                CHECK(last_of(&g.faulty, FAULTY_SYNC) > last_of(&g.faulty, FAULTY_WRITE));
                CHECK(last_of(&g.faulty, FAULTY_SYNC) > last_of(&g.faulty, FAULTY_RESIZE));
                CHECK(last_of(&g.faulty, FAULTY_SYNC) < last_of(&g.faulty, FAULTY_CLOSE));
                if (last_of(&g.faulty, FAULTY_PUBLISH)) CHECK(last_of(&g.faulty, FAULTY_SYNC) < last_of(&g.faulty, FAULTY_PUBLISH));
            }
            rig_end(&g);
            if ((uint64_t)test_failures > failures)
                fprintf(stderr, "  row %d way %d: %s\n", (int)i, (int)w, faulty_text(&g.faulty, 0, text, sizeof text));
        }
    }
}

/* A checkpoint makes durable and publishes in this order, too. */
TEST(checkpoint_is_durable)
{
    for (int none = 0; none < 2; none++) {
        for (size_t w = 0; w < 6; w++) {
            shardio_slot_options o = slot_options(ways[w].direct, 0);
            shardio_slot slot;
            rig g;
            o.durability = none ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = ways[w].alignment;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 65536, &o));
            for (uint64_t k = 1; k <= 3; k++) {
                CHECK_OK(shardio_slot_append(&slot, source, 5000));
                CHECK_OK(shardio_slot_checkpoint(&slot));
                CHECK(g.faulty.published);
                CHECK_U64(g.faulty.durable, !none);
                CHECK_U64(g.faulty.calls[FAULTY_SYNC], none ? 0 : k);
                if (none) continue;
                CHECK(last_of(&g.faulty, FAULTY_SYNC) > last_of(&g.faulty, FAULTY_WRITE));
                CHECK(last_of(&g.faulty, FAULTY_SYNC) > last_of(&g.faulty, FAULTY_RESIZE));
            }
            CHECK_OK(shardio_slot_finish(&slot));
            rig_end(&g);
        }
    }
}

/* A failed sync is not tried again as if nothing had happened. */
TEST(failed_sync_sticks)
{
    for (size_t w = 0; w < 6; w++) {
        shardio_slot_options o = slot_options(ways[w].direct, 0);
        shardio_slot slot;
        rig g;
        rig_begin(&g, false, NULL, 0);
        g.faulty.alignment = ways[w].alignment;
        g.faulty.fail_at = 1;
        g.faulty.fail_only = FAULTY_ONLY(FAULTY_SYNC);
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 65536, &o));
        CHECK_OK(shardio_slot_append(&slot, source, 100000));
        CHECK_STATUS(shardio_slot_sync(&slot), SHARDIO_ERR_IO);
        CHECK_TEXT(slot.error.operation, "sync");
        CHECK_STATUS(shardio_slot_sync(&slot), SHARDIO_ERR_IO);
        CHECK_STATUS(shardio_slot_finish(&slot), SHARDIO_ERR_IO);
        CHECK_U64(g.faulty.calls[FAULTY_SYNC], 1);
        CHECK(!g.faulty.published);
        rig_end(&g);
    }
}

/* Many slots share one large buffer and keep one block each in between. */
TEST(slots_share_a_buffer)
{
    enum { SLOTS = 5 };
    static uint8_t blocks[SLOTS][4096] __attribute__((aligned(4096)));
    static shardio_slot slots[SLOTS];
    static rig rigs[SLOTS];
    static uint8_t models[SLOTS][200000];
    size_t sizes[SLOTS] = {0};
    uint64_t seed = 77;
    for (int i = 0; i < SLOTS; i++) {
        shardio_slot_options o = slot_options(i % 2 ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_AUTO, 0);
        rig_begin(&rigs[i], i == 4, NULL, 0);
        if (i < 4) rigs[i].faulty.alignment = i < 2 ? 4096 : 512;
        CHECK_OK(shardio_slot_begin(&slots[i], rig_open(&rigs[i], false), blocks[i], 4096, &o));
    }
    for (int round = 0; round < 60; round++) {
        size_t i = (size_t)(test_random(&seed) % SLOTS);
        CHECK_OK(shardio_slot_set_buffer(&slots[i], pool, 65536));
        for (int k = 0; k < 3; k++) {
            size_t n = (size_t)(test_random(&seed) % 6000);
            if (sizes[i] + n > sizeof models[i]) continue;
            memcpy(models[i] + sizes[i], source + 3, n);
            CHECK_OK(shardio_slot_append(&slots[i], source + 3, n));
            sizes[i] += n;
        }
        CHECK_OK(shardio_slot_set_buffer(&slots[i], blocks[i], 4096));
        memset(pool, 0xDD, 65536);
    }
    for (int i = 0; i < SLOTS; i++) {
        CHECK_OK(shardio_slot_finish(&slots[i]));
        rig_check(&rigs[i], models[i], sizes[i]);
        rig_end(&rigs[i]);
    }
}

/* A device that takes nothing but whole pages, and one that cannot be cut: then the last page is filled with zeros. */
TEST(flash)
{
    static const size_t lengths[] = {0, 1, 255, 256, 257, 1000, 5000};
    for (int no_resize = 0; no_resize < 2; no_resize++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
            size_t n = lengths[i], size = no_resize ? (n + 255) / 256 * 256 : n;
            shardio_slot slot;
            rig g;
            rig_begin(&g, false, NULL, 0);
            g.faulty.alignment = 256;
            g.faulty.memory_alignment = 4;
            g.faulty.flash = true;
            g.faulty.no_resize = no_resize != 0;
            CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool + 4, 512, &o));
            for (size_t at = 0; at < n; at += 100) CHECK_OK(shardio_slot_append(&slot, source + at, n - at < 100 ? n - at : 100));
            CHECK_OK(shardio_slot_finish(&slot));
            memset(model, 0, size);
            memcpy(model, source, n);
            rig_check(&g, model, size);
            CHECK_U64(slot.accounting.logical_bytes, n);
            rig_end(&g);
        }
    }
}

/* A moved slot is the same slot. */
TEST(slot_moves)
{
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
    shardio_slot one, two;
    for (int overlap = 0; overlap < 2; overlap++) {
        rig g;
        rig_begin(&g, false, NULL, 0);
        g.faulty.alignment = 512;
        g.faulty.overlap = overlap != 0;
        o.overlap = overlap ? SHARDIO_OVERLAP_ON : SHARDIO_OVERLAP_OFF;
        CHECK_OK(shardio_slot_begin(&one, rig_open(&g, false), pool, 4096, &o));
        CHECK_OK(shardio_slot_append(&one, source, 700));
        memcpy(&two, &one, sizeof two);
        memset(&one, 0xEE, sizeof one);
        CHECK_OK(shardio_slot_append(&two, source + 700, 5000));
        CHECK_OK(shardio_slot_finish(&two));
        rig_check(&g, source, 5700);
        CHECK_U64(g.faulty.begins > 0, overlap);
        rig_end(&g);
    }
}

/* ---- writes that are under way ------------------------------------------------------------------------------- */

/* So many pieces are under way at once, and none of them is touched before it is written. */
TEST(pieces_under_way)
{
    for (uint32_t in_flight = 2; in_flight <= 8; in_flight++) {
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_ON, 0);
        shardio_slot slot;
        rig g;
        rig_begin(&g, false, NULL, 0);
        g.faulty.alignment = 512;
        g.faulty.overlap = true;
        o.overlap = SHARDIO_OVERLAP_ON;
        o.in_flight = in_flight;
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, in_flight * 4096, &o));
        for (int i = 0; i < 100; i++) CHECK_OK(shardio_slot_append(&slot, source + i, 3001));
        CHECK_OK(shardio_slot_sync(&slot));
        CHECK_U64(g.faulty.begun_count, 0);
        for (int i = 0; i < 100; i++) memcpy(model + i * 3001, source + i, 3001);
        rig_check(&g, model, 300100);
        CHECK_OK(shardio_slot_finish(&slot));
        CHECK_U64(g.faulty.most_begun, in_flight);
        CHECK_U64(slot.accounting.copied_bytes, 300100);
        CHECK_U64(g.faulty.misused, 0);
        CHECK(slot.accounting.overlap && slot.accounting.overlap_reason == NULL);
        rig_end(&g);
    }
}

/* The error is that of the write that failed, whenever it is noticed, and nothing else is begun. */
TEST(writes_under_way_that_fail)
{
    for (uint64_t nth = 1; nth <= 9; nth++) {
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF, 0);
        shardio_slot slot;
        shardio_status status = SHARDIO_OK;
        rig g;
        rig_begin(&g, false, NULL, 0);
        g.faulty.overlap = true;
        g.faulty.fail_at = nth;
        g.faulty.fail_only = FAULTY_ONLY(FAULTY_WRITE);
        g.faulty.fail_code = 4711;
        o.overlap = SHARDIO_OVERLAP_ON;
        o.in_flight = 4;
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 4 * 4096, &o));
        for (int i = 0; i < 200 && status == SHARDIO_OK; i++) status = shardio_slot_append(&slot, source, 1000);
        CHECK_STATUS(status, SHARDIO_ERR_IO);
        CHECK_U64(slot.error.system_code, 4711);
        CHECK_TEXT(slot.error.operation, "write");
        CHECK(slot.error.offset % 4096 == 0 && slot.error.offset < (nth + 4) * 4096);
        uint64_t begins = g.faulty.begins;
        CHECK_STATUS(shardio_slot_append(&slot, source, 100000), SHARDIO_ERR_IO);
        CHECK_STATUS(shardio_slot_finish(&slot), SHARDIO_ERR_IO);
        CHECK_U64(g.faulty.begins, begins);
        CHECK_U64(g.faulty.begun_count, 0);
        CHECK_U64(g.faulty.misused, 0);
        CHECK_U64(g.faulty.calls[FAULTY_SYNC], 0);
        CHECK_U64(g.faulty.how, SHARDIO_CLOSE_DISCARD);
        rig_end(&g);
    }
}

/* What is under way is complete before its memory and its file go. */
TEST(aborted_under_way)
{
    for (int update = 0; update < 2; update++) {
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, update ? 5000 : 0);
        shardio_slot slot;
        rig g;
        size_t size = 0;
        rig_begin(&g, false, update ? source : NULL, update ? 5000 : 0);
        g.faulty.alignment = 512;
        g.faulty.overlap = true;
        o.overlap = SHARDIO_OVERLAP_ON;
        CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, update != 0), pool, 65536, &o));
        CHECK_OK(shardio_slot_append(&slot, source, 60000));
        CHECK(g.faulty.begun_count > 1);
        shardio_slot_abort(&slot);
        CHECK_U64(g.faulty.begun_count, 0);
        CHECK_U64(g.faulty.misused, 0);
        (void)rig_contents(&g, &size);
        if (update) CHECK_U64(size, 5000);
        rig_end(&g);
    }
}

/* Through the system's queue, where it has one: the same file, of the right length, whatever was set ahead. */
TEST(the_systems_queue)
{
    static const size_t lengths[] = {1, 4096, 100000, 3 * MiB + 7, 20 * MiB};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (int direct = 0; direct < 3; direct += 2) {
            shardio_slot_options o = slot_options((shardio_direct)direct, 0);
            shardio_slot slot;
            rig_new_directory();
            o.overlap = SHARDIO_OVERLAP_ON;
            CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
            for (size_t at = 0; at < lengths[i]; at += 70001) {
                size_t n = lengths[i] - at < 70001 ? lengths[i] - at : 70001;
                memcpy(model + at, source + at % 4096, n);
                CHECK_OK(shardio_slot_append(&slot, source + at % 4096, n));
            }
            CHECK_OK(shardio_slot_finish(&slot));
            rig_check_file(rig_path("a"), model, lengths[i]);
            CHECK(slot.accounting.overlap || slot.accounting.overlap_reason != NULL || lengths[i] < MiB / 2);
            if (i == 4 && direct == 0 && slot.accounting.overlap_reason != NULL) LEAVE_OUT(slot.accounting.overlap_reason);
        }
    }
}

/* Auto, of a file that the slot creates: unbuffered, with a buffer that is not small. */
TEST(overlap_by_itself)
{
    static const struct { shardio_direct direct; shardio_overlap overlap; size_t buffer; uint32_t in_flight; bool may; } table[] = {
        {SHARDIO_DIRECT_AUTO, SHARDIO_OVERLAP_AUTO, 0, 0, true},      {SHARDIO_DIRECT_AUTO, SHARDIO_OVERLAP_OFF, 0, 0, false},
        {SHARDIO_DIRECT_OFF, SHARDIO_OVERLAP_AUTO, 0, 0, false},      {SHARDIO_DIRECT_OFF, SHARDIO_OVERLAP_ON, 0, 0, true},
        {SHARDIO_DIRECT_AUTO, SHARDIO_OVERLAP_AUTO, 65536, 0, false}, {SHARDIO_DIRECT_AUTO, SHARDIO_OVERLAP_AUTO, 0, 1, false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_slot_options o = slot_options(table[i].direct, 0);
        shardio_slot slot;
        rig_new_directory();
        o.overlap = table[i].overlap;
        o.in_flight = table[i].in_flight;
        o.buffer_size = table[i].buffer;
        CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
        for (int k = 0; k < 10; k++) CHECK_OK(shardio_slot_append(&slot, source, MiB));
        CHECK_OK(shardio_slot_finish(&slot));
        CHECK(!slot.accounting.overlap || table[i].may);
        CHECK((slot.accounting.overlap_reason == NULL) == slot.accounting.overlap);
        CHECK_U64(slot.accounting.copied_bytes, slot.accounting.overlap ? 10 * MiB : slot.accounting.copied_bytes);
    }
}

/* Appends of `direct_min` bytes are written from the caller's memory, pieces of it at once, and waited for. */
TEST(large_appends_under_way)
{
    static uint8_t large[12 * MiB + 8192];
    uint8_t *aligned = large + (4096 - (uintptr_t)large % 4096);
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_ON, 0);
    shardio_slot slot;
    rig g;
    test_fill(large, sizeof large, 3);
    rig_begin(&g, false, NULL, 0);
    g.faulty.alignment = 512;
    g.faulty.overlap = true;
    g.faulty.own = pool;
    g.faulty.own_size = sizeof pool;
    o.overlap = SHARDIO_OVERLAP_ON;
    o.direct_min = 2 * MiB;
    CHECK_OK(shardio_slot_begin(&slot, rig_open(&g, false), pool, 65536, &o));
    CHECK_OK(shardio_slot_append(&slot, aligned, 512));
    CHECK_OK(shardio_slot_append(&slot, aligned + 512, 12 * MiB - 512 + 100));
    CHECK(!faulty_borrows(&g.faulty));
    CHECK_U64(g.faulty.most_begun, 4);       /* 512 bytes and three pieces of 4 MiB */
    CHECK_U64(slot.accounting.copied_bytes, 512 + 100);
    CHECK_OK(shardio_slot_finish(&slot));
    rig_check(&g, aligned, 12 * MiB + 100);
    CHECK_U64(g.faulty.misused, 0);
    rig_end(&g);
}

/* ---- names on a real file system ----------------------------------------------------------------------------- */

static shardio_status write_file(const char *path, const shardio_slot_options *o, size_t size, shardio_slot *slot)
{
    shardio_slot_create(slot, path, o);
    shardio_slot_append(slot, source, size);
    return shardio_slot_finish(slot);
}

TEST(create_finish_abort)
{
    for (int way = 0; way < 3; way++) {
        shardio_slot_options o = slot_options((shardio_direct)(way == 2 ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO), 0);
        shardio_slot slot;
        struct stat facts;
        mode_t mask = umask(022);
        o.in_place = way == 1;
        rig_new_directory();
        CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 100000));
        CHECK((access(rig_path("a"), F_OK) == 0) == o.in_place);
        CHECK_U64(rig_entries(), 1);
        CHECK_OK(shardio_slot_finish(&slot));
        rig_check_file(rig_path("a"), source, 100000);
        CHECK_U64(rig_entries(), 1);
        CHECK(stat(rig_path("a"), &facts) == 0 && (facts.st_mode & 0777) == 0644);
        umask(mask);

        CHECK_OK(shardio_slot_create(&slot, rig_path("b"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 100000));
        shardio_slot_abort(&slot);
        CHECK_U64(rig_entries(), 1);

        CHECK_OK(shardio_slot_create(&slot, rig_path("c"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 100000));
        CHECK_OK(shardio_slot_checkpoint(&slot));
        rig_check_file(rig_path("c"), source, 100000);
        CHECK_OK(shardio_slot_append(&slot, source, 5000000));
        shardio_slot_abort(&slot);
        rig_check_file(rig_path("c"), source, 100000);    /* the checkpoint stays */
        CHECK_U64(rig_entries(), 2);
    }
}

/* A slot that is just lost, as in a crash, leaves no file that looks finished. */
TEST(a_lost_writer_leaves_no_finished_file)
{
    POSIX_ONLY("fork");
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
    int status = 0;
    pid_t child;
    rig_new_directory();
    child = fork();
    if (child == 0) {
        static shardio_slot slot;
        static shardio_allocator allocator;
        static counting count;
        allocator = counting_allocator(&count);
        o.allocator = &allocator;   /* nothing is lost for valgrind */
        shardio_slot_create(&slot, rig_path("a"), &o);
        shardio_slot_append(&slot, source, 100000);
        shardio_slot_sync(&slot);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(access(rig_path("a"), F_OK) != 0);
    CHECK_U64(rig_entries(), 1);
    CHECK_U64(rig_count_names(rig_home, "tmp"), 1);
}

/* A buffer is at least one block, whatever was asked for; and one that is larger than memory is no wrap-around. */
TEST(odd_buffer_sizes)
{
    static const size_t sizes[] = {1, 100, 4095, 4097, 70000, SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
        bool large = sizes[i] > SIZE_MAX / 2;
        shardio_allocator allocator;
        counting count;
        shardio_slot slot;
        rig_new_directory();
        allocator = counting_allocator(&count);
        count.limit = 1 << 30;
        o.allocator = &allocator;
        o.buffer_size = sizes[i];
        if (direct_in(rig_home)) o.direct = SHARDIO_DIRECT_ON;
        CHECK_STATUS(write_file(rig_path("a"), &o, 50000, &slot), large ? SHARDIO_ERR_MEMORY : SHARDIO_OK);
        CHECK_U64(count.held, 0);
        if (large) CHECK_U64(rig_entries(), 0);
        else rig_check_file(rig_path("a"), source, 50000);
    }
}

TEST(existing_files_are_refused)
{
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
    shardio_slot slot;
    for (int in_place = 0; in_place < 2; in_place++) {
        rig_new_directory();
        o.in_place = in_place != 0;
        o.overwrite = false;
        rig_put(rig_path("theirs"), "theirs", 6);
        CHECK_STATUS(write_file(rig_path("theirs"), &o, 5000, &slot), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(slot.error.status, SHARDIO_ERR_EXISTS);
        CHECK(strstr(slot.error.subject, "theirs") != NULL);
        rig_check_file(rig_path("theirs"), "theirs", 6);
        CHECK_U64(rig_entries(), 1);

        o.overwrite = true;
        CHECK_OK(write_file(rig_path("theirs"), &o, 5000, &slot));
        rig_check_file(rig_path("theirs"), source, 5000);
        CHECK_U64(rig_entries(), 1);
    }

    o.in_place = false;   /* it appears in between: at finish, and at a checkpoint */
    o.overwrite = false;
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        rig_new_directory();
        CHECK_OK(shardio_slot_create(&slot, rig_path("late"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 5000));
        rig_put(rig_path("late"), "theirs", 6);
        if (checkpoint) CHECK_STATUS(shardio_slot_checkpoint(&slot), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(shardio_slot_finish(&slot), SHARDIO_ERR_EXISTS);
        rig_check_file(rig_path("late"), "theirs", 6);
        CHECK_U64(rig_entries(), 1);
    }

    /* an overwrite that does not come to its end leaves the old file */
    o.overwrite = true;
    CHECK_OK(shardio_slot_create(&slot, rig_path("late"), &o));
    CHECK_OK(shardio_slot_append(&slot, source, 5000));
    shardio_slot_abort(&slot);
    rig_check_file(rig_path("late"), "theirs", 6);
    CHECK_U64(rig_entries(), 1);
}

TEST(parents)
{
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
    shardio_slot slot;
    rig_new_directory();
    CHECK_STATUS(write_file(rig_path("x/y/z"), &o, 50, &slot), SHARDIO_ERR_NOT_FOUND);
    CHECK_U64(rig_entries(), 0);
    o.make_parents = true;
    CHECK_OK(write_file(rig_path("x/y/z"), &o, 50, &slot));
    CHECK_OK(write_file(rig_path("x/y/w"), &o, 50, &slot));
    rig_check_file(rig_path("x/y/z"), source, 50);
    CHECK(write_file(rig_path("x/y/z/below-a-file"), &o, 50, &slot) != SHARDIO_OK);
    CHECK(write_file(rig_home, &o, 50, &slot) != SHARDIO_OK);   /* a directory */
    CHECK(write_file("", &o, 50, &slot) != SHARDIO_OK);
    o.start = 10;   /* nothing to continue */
    CHECK_STATUS(write_file(rig_path("none"), &o, 50, &slot), SHARDIO_ERR_NOT_FOUND);
    CHECK_U64(rig_entries(), 1);
}

TEST(continue_a_file)
{
    for (int direct = 0; direct < 3; direct++) {
        shardio_slot_options o = slot_options((shardio_direct)(direct == 1 ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO), 0);
        shardio_slot slot;
        rig_new_directory();
        rig_put(rig_path("a"), source, 10000);
        o.start = 10000;
        CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
        CHECK_OK(shardio_slot_append(&slot, source + 10000, 70000));
        CHECK_OK(shardio_slot_finish(&slot));
        rig_check_file(rig_path("a"), source, 80000);

        o.start = 80000;   /* given up, with much already on the device */
        o.buffer_size = 4096;
        CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 70000));
        shardio_slot_abort(&slot);
        rig_check_file(rig_path("a"), source, 80000);

        CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));   /* given up after a checkpoint */
        CHECK_OK(shardio_slot_append(&slot, source + 80000, 1000));
        CHECK_OK(shardio_slot_checkpoint(&slot));
        CHECK_OK(shardio_slot_append(&slot, source, 70000));
        shardio_slot_abort(&slot);
        rig_check_file(rig_path("a"), source, 81000);
        CHECK_U64(rig_entries(), 1);
    }
}

TEST(symbolic_links_stay_links)
{
    POSIX_ONLY("symbolic links");
    static const char *const targets[] = {"real", "sub/real", "absolute", "link2"};
    for (int existing = 0; existing < 2; existing++) {
        for (int t = 0; t < 4; t++) {
            shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
            shardio_slot slot;
            struct stat facts;
            char target[600];
            rig_new_directory();
            CHECK(mkdir(rig_path("sub"), 0777) == 0);
            CHECK(mkdir(rig_path("other"), 0777) == 0);
            if (t == 2 && rig_home[0] != '/') {
                char here[200];
                if (!CHECK(getcwd(here, sizeof here) != NULL)) return;
                snprintf(target, sizeof target, "%s/%s", here, rig_path("sub/real"));
            } else {
                snprintf(target, sizeof target, "%s", t == 2 ? rig_path("sub/real") : targets[t]);
            }
            CHECK(symlink(target, rig_path("link")) == 0);
            if (t == 3) CHECK(symlink("sub/real", rig_path("link2")) == 0);
            snprintf(target, sizeof target, "%s", rig_path(t == 0 ? "real" : "sub/real"));
            if (existing) {
                rig_put(target, "old", 3);
                CHECK_STATUS(write_file(rig_path("link"), &o, 5000, &slot), SHARDIO_ERR_EXISTS);
                rig_check_file(target, "old", 3);
                o.overwrite = true;
            }
            CHECK_OK(write_file(rig_path("link"), &o, 5000, &slot));
            CHECK(lstat(rig_path("link"), &facts) == 0 && S_ISLNK(facts.st_mode));
            CHECK(lstat(target, &facts) == 0 && S_ISREG(facts.st_mode));
            rig_check_file(target, source, 5000);
            CHECK_U64(rig_count_names(rig_home, "tmp") + rig_count_names(rig_path("sub"), "tmp"), 0);
        }
    }
}

TEST(a_circle_of_links_ends)
{
    POSIX_ONLY("symbolic links");
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
    shardio_slot slot;
    rig_new_directory();
    CHECK(symlink("two", rig_path("one")) == 0);
    CHECK(symlink("one", rig_path("two")) == 0);
    o.overwrite = true;
    CHECK(write_file(rig_path("one"), &o, 50, &slot) != SHARDIO_OK);
    CHECK_U64(rig_entries(), 2);
}

TEST(fifo_is_written_in_place)
{
    POSIX_ONLY("FIFOs");
    for (int direct = 0; direct < 2; direct++) {
        shardio_slot_options o = slot_options((shardio_direct)(direct ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO), 0);
        static uint8_t back[40000];
        shardio_slot slot;
        struct stat facts;
        int reader;
        rig_new_directory();
        CHECK(mkfifo(rig_path("fifo"), 0666) == 0);
        reader = open(rig_path("fifo"), O_RDWR | O_NONBLOCK);
        if (!CHECK(reader >= 0)) return;
        o.buffer_size = 8192;
        CHECK_OK(shardio_slot_create(&slot, rig_path("fifo"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 100));
        CHECK_OK(shardio_slot_append(&slot, source + 100, 20000));
        CHECK_OK(shardio_slot_append(&slot, source + 20100, 1));
        CHECK_OK(shardio_slot_finish(&slot));
        CHECK(!slot.accounting.direct);
        CHECK_U64(read(reader, back, sizeof back), 20101);
        CHECK_BYTES(back, source, 20101);
        close(reader);
        CHECK(stat(rig_path("fifo"), &facts) == 0 && S_ISFIFO(facts.st_mode));
        CHECK_U64(rig_entries(), 1);
    }
}

/* The real device, or as root one of our own, so that a mistake here does no harm. */
static bool make_device(const char *path, unsigned minor)
{
    struct stat facts;
    char command[900];
    snprintf(command, sizeof command, "mknod '%s' c 1 %u 2>/dev/null", path, minor);
    if (geteuid() != 0 || system(command) != 0) return false;
    if (stat(path, &facts) == 0 && S_ISCHR(facts.st_mode)) {
        int fd = open(path, O_WRONLY);
        if (fd >= 0) {
            close(fd);
            return true;
        }
    }
    unlink(path);
    return false;
}

TEST(full_device)
{
    POSIX_ONLY("a device that is full");
    for (int direct = 0; direct < 3; direct++) {
        shardio_slot_options o = slot_options((shardio_direct)direct, 0);
        char path[600] = "/dev/full";
        shardio_slot slot;
        struct stat facts;
        shardio_status status;
        rig_new_directory();
        if (make_device(rig_path("full"), 7)) snprintf(path, sizeof path, "%s", rig_path("full"));
        else if (geteuid() == 0) LEAVE_OUT("no device node of our own, and none of the system's as root");
        o.overwrite = true;
        status = write_file(path, &o, 5000, &slot);
        if (direct == SHARDIO_DIRECT_ON && status == SHARDIO_ERR_DIRECT) continue;   /* a device need not take it */
        CHECK_STATUS(status, SHARDIO_ERR_NO_SPACE);
        CHECK_U64(slot.error.system_code, ENOSPC);
        CHECK_TEXT(slot.error.operation, "write");
        CHECK(stat(path, &facts) == 0 && S_ISCHR(facts.st_mode));
        CHECK(rig_entries() <= 1);
        if (strcmp(path, "/dev/full") != 0) unlink(path);
    }
}

TEST(null_device)
{
    POSIX_ONLY("devices");
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
    char path[600] = "/dev/null";
    shardio_slot slot;
    struct stat facts;
    rig_new_directory();
    if (make_device(rig_path("null"), 3)) snprintf(path, sizeof path, "%s", rig_path("null"));
    else if (geteuid() == 0) LEAVE_OUT("no device node of our own, and none of the system's as root");
    o.overwrite = true;
    CHECK_OK(write_file(path, &o, 5000000, &slot));
    CHECK(stat(path, &facts) == 0 && S_ISCHR(facts.st_mode));
    CHECK_U64(slot.accounting.logical_bytes, 5000000);
    if (strcmp(path, "/dev/null") != 0) unlink(path);
}

TEST(directory_without_permission)
{
    POSIX_ONLY("the rights of directories");
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_AUTO, 0);
    shardio_slot slot;
    bool root = geteuid() == 0;
    shardio_status status;
    char outside[280];
    test_directory(outside, sizeof outside);
    snprintf(rig_home, sizeof rig_home, "%s/closed", outside);
    CHECK(mkdir(rig_home, 0755) == 0);
    rig_put(rig_path("theirs"), "theirs", 6);
    CHECK(chmod(rig_home, 0555) == 0 && chmod(outside, 0755) == 0);
    if (root && seteuid(65534) != 0) LEAVE_OUT("root cannot become nobody");
    status = write_file(rig_path("new"), &o, 100, &slot);
    CHECK_U64(slot.error.system_code != 0, 1);
    if (root) CHECK(seteuid(0) == 0);
    CHECK_STATUS(status, SHARDIO_ERR_PERMISSION);
    rig_check_file(rig_path("theirs"), "theirs", 6);
    CHECK_U64(rig_entries(), 1);
    chmod(rig_home, 0755);
}

/* ---- what file systems do ------------------------------------------------------------------------------------ */

TEST(unbuffered_writes_leave_the_page_cache_alone)
{
    POSIX_ONLY("mincore");
    static const size_t sizes[] = {5 * MiB, 5 * MiB + 100, 5 * MiB + 4096 + 511};
    for (size_t i = 0; i < 3; i++) {
        shardio_slot_options o = slot_options(SHARDIO_DIRECT_ON, 0);
        shardio_slot slot;
        shardio_status status;
        rig_new_directory();
        status = write_file(rig_path("a"), &o, sizes[i], &slot);
        if (status == SHARDIO_ERR_DIRECT) LEAVE_OUT("this file system refuses O_DIRECT");
        CHECK_OK(status);
        CHECK(slot.accounting.direct);
        if (cached_pages(rig_path("a")) < 0) LEAVE_OUT("no mincore here");
        CHECK(cached_pages(rig_path("a")) <= 1);    /* xfs cuts the last block in the page cache */
        rig_check_file(rig_path("a"), source, sizes[i]);
        CHECK(cached_pages(rig_path("a")) > 100);   /* and mincore does see pages */
        unlink(rig_path("a"));
    }
}

/* Buffered, with drop_behind: the page cache stays about as clean. */
TEST(drop_behind_keeps_the_page_cache_clean)
{
    POSIX_ONLY("mincore");
    shardio_slot_options o = slot_options(SHARDIO_DIRECT_OFF, 0);
    shardio_slot slot;
    o.drop_behind = MiB;
    o.buffer_size = 256 * 1024;
    rig_new_directory();
    CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
    for (int i = 0; i < 20; i++) CHECK_OK(shardio_slot_append(&slot, source, MiB));
    CHECK_OK(shardio_slot_finish(&slot));
    if (cached_pages(rig_path("a")) < 0) LEAVE_OUT("no mincore here");
    if (cached_pages(rig_path("a")) > 1024) CHECK_U64(cached_pages(rig_path("a")), 1024);   /* 4 MiB of 20 */
    unlink(rig_path("a"));
}

/* tmpfs takes O_DIRECT and goes through memory all the same. */
TEST(tmpfs)
{
    POSIX_ONLY("mounting");
    for (int direct = 0; direct < 2; direct++) {
        shardio_slot_options o = slot_options((shardio_direct)direct, 0);
        shardio_slot slot;
        shardio_status status;
        snprintf(rig_home, sizeof rig_home, "/dev/shm/shardio-XXXXXX");
        if (mkdtemp(rig_home) == NULL) LEAVE_OUT("no /dev/shm");
        status = write_file(rig_path("a"), &o, 2 * MiB + 100, &slot);
        if (!(o.direct == SHARDIO_DIRECT_ON && status == SHARDIO_ERR_DIRECT)) {   /* before Linux 6.6 */
            CHECK_OK(status);
            rig_check_file(rig_path("a"), source, 2 * MiB + 100);
        }
        unlink(rig_path("a"));
        CHECK(rmdir(rig_home) == 0);
    }
}

static char mounted[300], image[320];

static void unmount(void)
{
    if (mounted[0] == 0) return;
    if (umount2(mounted, 0) != 0) umount2(mounted, MNT_DETACH);
    rmdir(mounted);
    unlink(image);
    mounted[0] = 0;
}

/* Mounts a new file system of `size` bytes, made by a command, from an image; false where that does not work. */
static bool mount_image(const char *make, uint64_t size)
{
    static bool registered;
    char command[1200];
    if (geteuid() != 0) return false;
    test_directory(mounted, sizeof mounted);
    snprintf(image, sizeof image, "%s.image", mounted);
    if (!registered) registered = atexit(unmount) == 0;
    rig_put(image, "", 0);
    snprintf(command, sizeof command, "%s '%s' >/dev/null 2>&1 && mount -o loop '%s' '%s' 2>/dev/null", make, image, image, mounted);
    if (truncate(image, (off_t)size) == 0 && system(command) == 0) return true;
    rmdir(mounted);
    unlink(image);
    mounted[0] = 0;
    return false;
}

/* A file system that refuses O_DIRECT when it is asked for. */
TEST(file_system_that_refuses)
{
    POSIX_ONLY("mounting");
    if (geteuid() != 0) LEAVE_OUT("only root can mount ramfs");
    test_directory(mounted, sizeof mounted);
    if (mount("none", mounted, "ramfs", 0, "") != 0) {
        mounted[0] = 0;
        LEAVE_OUT("no ramfs here");
    }
    snprintf(rig_home, sizeof rig_home, "%s", mounted);
    {
        int fd = open(rig_path("probe"), O_CREAT | O_RDWR | O_DIRECT, 0666);
        bool refuses = fd < 0;
        if (fd >= 0) close(fd);
        unlink(rig_path("probe"));
        for (int direct = 0; direct < 3 && refuses; direct++) {
            shardio_slot_options o = slot_options((shardio_direct)direct, 0);
            shardio_slot slot;
            shardio_status status = write_file(rig_path("a"), &o, 2 * MiB + 100, &slot);
            if (direct == SHARDIO_DIRECT_ON) {
                CHECK_STATUS(status, SHARDIO_ERR_DIRECT);
                CHECK_U64(slot.error.system_code, EINVAL);
                CHECK_U64(rig_entries(), 0);
                continue;
            }
            CHECK_OK(status);
            rig_check_file(rig_path("a"), source, 2 * MiB + 100);
            CHECK(!slot.accounting.direct && slot.accounting.direct_reason != NULL);
            if (direct == SHARDIO_DIRECT_AUTO) CHECK_U64(slot.accounting.direct_code, EINVAL);
            unlink(rig_path("a"));
        }
        unmount();
        if (!refuses) LEAVE_OUT("ramfs takes O_DIRECT here");
    }
}

/* Small and large blocks, and other kinds of file system. */
TEST(file_systems_of_other_block_sizes)
{
    POSIX_ONLY("mounting");
    static const char *const makes[] = {"mkfs.ext4 -q -b 1024", "mkfs.ext4 -q -b 4096", "mkfs.xfs -q", "mkfs.btrfs -q"};
    int done = 0;
    if (geteuid() != 0) LEAVE_OUT("only root can mount");
    for (size_t i = 0; i < sizeof makes / sizeof makes[0]; i++) {
        static const size_t lengths[] = {100, 5000, 70000, 2 * MiB + 513, 1, 300000};
        if (!mount_image(makes[i], (uint64_t)(i < 2 ? 24 : 320) * MiB)) continue;
        snprintf(rig_home, sizeof rig_home, "%s", mounted);
        for (int direct = 0; direct < 3; direct++) {
            shardio_slot_options o = slot_options((shardio_direct)direct, 0);
            shardio_slot slot;
            bool possible = direct_in(rig_home);
            size_t sum = 0;
            if (direct == SHARDIO_DIRECT_ON && !possible) continue;
            o.buffer_size = 65536;
            CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
            for (int k = 0; k < 6; k++) {
                CHECK_OK(shardio_slot_append(&slot, source, lengths[k]));
                memcpy(model + sum, source, lengths[k]);
                sum += lengths[k];
                if (k % 2) CHECK_OK(shardio_slot_checkpoint(&slot));
                if (k % 2) rig_check_file(rig_path("a"), model, sum);
            }
            CHECK_OK(shardio_slot_finish(&slot));
            CHECK(slot.accounting.direct == (possible && direct != SHARDIO_DIRECT_OFF));
            rig_check_file(rig_path("a"), model, sum);
            unlink(rig_path("a"));
        }
        unmount();
        done++;
    }
    if (done == 0) LEAVE_OUT("no loop device here");
}

/* A disk that really is full: the error comes out, and nothing is left that looks finished. */
TEST(full_file_system)
{
    POSIX_ONLY("mounting");
    if (!mount_image("mkfs.ext4 -q -b 1024 -O ^has_journal -m 0", 4 * MiB)) LEAVE_OUT("no loop device here");
    snprintf(rig_home, sizeof rig_home, "%s", mounted);
    for (int direct = 0; direct < 3; direct++) {
        for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
            shardio_slot_options o = slot_options((shardio_direct)direct, 0);
            shardio_slot slot;
            int before = rig_entries();
            if (direct == SHARDIO_DIRECT_ON && !direct_in(rig_home)) continue;
            o.buffer_size = 65536;
            shardio_slot_create(&slot, rig_path("big"), &o);
            shardio_slot_append(&slot, source, MiB);
            if (checkpoint) CHECK_OK(shardio_slot_checkpoint(&slot));
            shardio_slot_append(&slot, source + 5, 2 * MiB);
            shardio_slot_append(&slot, source, 5 * MiB);
            CHECK_STATUS(shardio_slot_finish(&slot), SHARDIO_ERR_NO_SPACE);
            CHECK_U64(slot.error.system_code, ENOSPC);
            CHECK_U64(rig_entries(), before + checkpoint);
            if (checkpoint) rig_check_file(rig_path("big"), source, MiB);
            unlink(rig_path("big"));
            CHECK_OK(write_file(rig_path("small"), &o, 2 * MiB, &slot));   /* there is space again */
            unlink(rig_path("small"));
        }
    }
    unmount();
}

TEST_MAIN(TEST_CASE(lengths_add_up)
          TEST_CASE(nothing_from_nowhere)
          TEST_CASE(random_sequences_in_memory)
          TEST_CASE(random_sequences_on_real_files)
          TEST_CASE(large_aligned_appends_are_not_copied)
          TEST_CASE(small_appends_make_large_calls)
          TEST_CASE(tail_is_written_once)
          TEST_CASE(unbuffered_refused)
          TEST_CASE(other_errors_of_the_first_write_are_errors)
          TEST_CASE(buffers_that_do_not_fit)
          TEST_CASE(first_error_sticks)
          TEST_CASE(every_call_fails_in_turn)
          TEST_CASE(device_full_at_every_block)
          TEST_CASE(part_of_a_block_is_cut_off)
          TEST_CASE(wrong_calls)
          TEST_CASE(start_beyond_the_end)
          TEST_CASE(start_at_any_byte)
          TEST_CASE(start_beyond_four_gigabytes)
          TEST_CASE(overwrite_rewrites_bytes)
          TEST_CASE(durability)
          TEST_CASE(checkpoint_is_durable)
          TEST_CASE(failed_sync_sticks)
          TEST_CASE(slots_share_a_buffer)
          TEST_CASE(flash)
          TEST_CASE(slot_moves) TEST_CASE(pieces_under_way) TEST_CASE(writes_under_way_that_fail)
          TEST_CASE(aborted_under_way) TEST_CASE(the_systems_queue) TEST_CASE(overlap_by_itself)
          TEST_CASE(large_appends_under_way)
          TEST_CASE(create_finish_abort)
          TEST_CASE(a_lost_writer_leaves_no_finished_file)
          TEST_CASE(odd_buffer_sizes)
          TEST_CASE(existing_files_are_refused)
          TEST_CASE(parents)
          TEST_CASE(continue_a_file)
          TEST_CASE(symbolic_links_stay_links)
          TEST_CASE(a_circle_of_links_ends)
          TEST_CASE(fifo_is_written_in_place)
          TEST_CASE(full_device)
          TEST_CASE(null_device)
          TEST_CASE(directory_without_permission)
          TEST_CASE(unbuffered_writes_leave_the_page_cache_alone)
          TEST_CASE(drop_behind_keeps_the_page_cache_clean)
          TEST_CASE(tmpfs)
          TEST_CASE(file_system_that_refuses)
          TEST_CASE(file_systems_of_other_block_sizes)
          TEST_CASE(full_file_system))
