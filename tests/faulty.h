/* A file that fails when it is told to. It wraps another file, hands every call on, counts and logs it, and looks
   whether direct writes keep to the alignments. Below it the rig: a wrapped file in memory or on the file system,
   its contents from before, and its contents now. Include after test.h. */
#ifndef FAULTY_H
#define FAULTY_H

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum faulty_call {
    FAULTY_READ, FAULTY_WRITE, FAULTY_RESIZE, FAULTY_FACTS, FAULTY_DIRECT, FAULTY_SYNC, FAULTY_PUBLISH, FAULTY_SUSPEND,
    FAULTY_RESUME, FAULTY_CLOSE, FAULTY_CALLS
} faulty_call;

#define FAULTY_ONLY(call) (1u << (call))

typedef struct faulty_record {
    faulty_call call;
    uint64_t offset, size;   /* resize: the new size in size; close: how */
} faulty_record;

typedef struct faulty_begun {
    shardio_transfer *transfer;
    uint64_t sum;            /* of its bytes */
    bool direct;             /* the file was */
} faulty_begun;

/* What changed the file, to be played again as far as a crash let it come. */
typedef struct faulty_tape {
    struct {
        faulty_call call;        /* write, resize or sync */
        uint64_t offset, size;   /* resize: the new size in size */
        size_t at;               /* of the bytes in data */
    } op[500];
    uint8_t data[1 << 21];
    size_t ops, used;
} faulty_tape;

typedef struct faulty_state {
    shardio_file inner;
    shardio_file_functions table;

    /* what it shall do: all-zero, nothing bad */
    uint32_t alignment;           /* pretend that direct works and wants this; 0: as the inner file says */
    uint32_t memory_alignment;    /* the address, if it is another; 0: alignment */
    bool flash;                   /* knows nothing but whole blocks: has no set_direct */
    bool no_resize;               /* cannot be cut */
    int refuse_direct;            /* set_direct(true) fails with this code */
    int refuse_write;             /* direct writes fail with this code, */
    uint64_t refuse_write_from;   /* from this write on (0: the first) */
    uint64_t fail_at;             /* the n-th call fails, 1 is the first; 0: none */
    unsigned fail_only;           /* counting only these: FAULTY_ONLY(call) | ...; 0: all */
    bool fail_on;                 /* and all after it */
    shardio_status fail_status;   /* 0: SHARDIO_ERR_IO */
    int fail_code;                /* 0: EIO */
    uint64_t space;               /* writes beyond this offset fail with ENOSPC; 0: endless */
    bool unaligned_space;         /* and the last one before may end inside a block */
    faulty_tape *tape;            /* record here; null: not */
    uint64_t shorten;             /* seed of random short reads and writes; 0: whole ones */
    bool overlap;                 /* offer begin and wait, */
    uint64_t refuse_begin_from;   /* and refuse it from this one on; 0: never */
    const uint8_t *own;           /* after a call begun writes have to lie in these own_size bytes, see faulty_borrows */
    size_t own_size;

    /* what happened */
    uint64_t calls[FAULTY_CALLS], counted, fired;
    faulty_call fired_call;       /* the last that failed */
    uint64_t bytes_read, bytes_written, smallest_write, largest_write;
    uint64_t misaligned;          /* direct writes that do not keep to the alignments */
    uint64_t misused;             /* begun writes whose memory changed or was not the slot's, calls before the wait */
    uint64_t begins, most_begun;  /* writes that were begun; at once */
    bool direct, durable, published, suspended, was_short;
    uint32_t unit;                /* of transfers, as facts said */
    uint64_t closed;
    shardio_close how;
    faulty_record log[512];
    size_t logged;
    faulty_begun begun[64];
    size_t begun_count;
} faulty_state;

static inline shardio_status faulty_step(faulty_state *f, faulty_call call, uint64_t offset, uint64_t size, int *code)
{
    f->calls[call]++;
    if (f->suspended && call != FAULTY_RESUME && call != FAULTY_CLOSE) f->misused++;
    if (f->logged < sizeof f->log / sizeof f->log[0]) {
        faulty_record *r = &f->log[f->logged++];
        r->call = call;
        r->offset = offset;
        r->size = size;
    }
    if (f->fail_at == 0 || (f->fail_only != 0 && (f->fail_only & FAULTY_ONLY(call)) == 0)) return SHARDIO_OK;
    f->counted++;
    if (f->counted != f->fail_at && !(f->fail_on && f->counted > f->fail_at)) return SHARDIO_OK;
    f->fired++;
    f->fired_call = call;
    *code = f->fail_code ? f->fail_code : EIO;
    return f->fail_status ? f->fail_status : SHARDIO_ERR_IO;
}

static inline void faulty_record_on_tape(faulty_state *f, faulty_call call, uint64_t offset, const void *data, uint64_t size)
{
    faulty_tape *t = f->tape;
    size_t bytes = data != NULL ? (size_t)size : 0;
    if (t == NULL || !CHECK(t->ops < sizeof t->op / sizeof t->op[0]) || !CHECK(bytes <= sizeof t->data - t->used)) return;
    t->op[t->ops].call = call;
    t->op[t->ops].offset = offset;
    t->op[t->ops].size = size;
    t->op[t->ops++].at = t->used;
    if (bytes > 0) memcpy(t->data + t->used, data, bytes);
    t->used += bytes;
}

/* How much of `size` bytes is transferred. Unbuffered, few transfers end inside a block, and never two in a row. */
static inline size_t faulty_short(faulty_state *f, size_t size, size_t unit, bool inside)
{
    bool was_short = f->was_short;
    f->was_short = false;
    if (f->shorten == 0 || size < 2 || test_random(&f->shorten) % 3 == 0) return size;
    f->was_short = unit > 1 && inside && !was_short && test_random(&f->shorten) % 8 == 0;
    if (unit > 1 && !f->was_short) return size <= unit ? size : unit * (1 + (size_t)(test_random(&f->shorten) % (size / unit)));
    return 1 + (size_t)(test_random(&f->shorten) % size);
}

static inline bool faulty_is_aligned(const faulty_state *f, uint64_t offset, const void *data, size_t size)
{
    uint32_t unit = f->alignment ? f->alignment : 1, memory = f->memory_alignment ? f->memory_alignment : unit;
    return offset % unit == 0 && size % unit == 0 && (uintptr_t)data % memory == 0;
}

static inline uint64_t faulty_sum(const uint8_t *data, size_t size)
{
    uint64_t sum = size;
    for (size_t i = 0; i < size; i++) sum = sum * 31 + data[i];
    return sum;
}

static inline shardio_status faulty_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_READ, offset, size, code);
    *done = 0;
    f->misused += f->begun_count;
    if (status) return status;
    status = f->inner.functions->read(f->inner.context, offset, data, size, done, code);
    if (*done > 1) *done = faulty_short(f, *done, f->direct ? f->unit : 1, f->alignment != 0);
    f->bytes_read += *done;
    return status;
}

static inline shardio_status faulty_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done, int *code)
{
    faulty_state *f = (faulty_state *)file;
    size_t unit = f->direct && f->unit ? f->unit : 1, whole = size;
    shardio_status status = faulty_step(f, FAULTY_WRITE, offset, size, code);
    *done = 0;
    if (status) return status;
    if (f->direct && !faulty_is_aligned(f, offset, data, size)) f->misaligned++;
    if (f->direct && f->refuse_write && f->calls[FAULTY_WRITE] > f->refuse_write_from) {
        *code = f->refuse_write;
        return SHARDIO_ERR_DIRECT;
    }
    if (f->space && offset + size > f->space) {
        size = offset < f->space ? (size_t)(f->space - offset) : 0;
        if (!f->unaligned_space) size -= size % unit;
        if (size == 0) {
            *code = ENOSPC;
            return SHARDIO_ERR_NO_SPACE;
        }
    }
    size = faulty_short(f, size, unit, f->alignment != 0);
    status = f->inner.functions->write(f->inner.context, offset, data, size, done, code);
    f->bytes_written += *done;
    if (status == SHARDIO_OK) faulty_record_on_tape(f, FAULTY_WRITE, offset, data, *done);
    if (f->smallest_write == 0 || whole < f->smallest_write) f->smallest_write = whole;
    if (whole > f->largest_write) f->largest_write = whole;
    return status;
}

static inline shardio_status faulty_resize(void *file, uint64_t size, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_RESIZE, 0, size, code);
    for (size_t i = 0; i < f->begun_count; i++) f->misused += f->begun[i].transfer->offset + f->begun[i].transfer->size > size;
    if (status == SHARDIO_OK) status = f->inner.functions->resize(f->inner.context, size, code);
    if (status == SHARDIO_OK) faulty_record_on_tape(f, FAULTY_RESIZE, 0, NULL, size);
    return status;
}

static inline shardio_status faulty_facts(void *file, shardio_file_facts *facts, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_FACTS, 0, 0, code);
    if (status) return status;
    status = f->inner.functions->facts(f->inner.context, facts, code);
    f->unit = f->alignment ? f->alignment : facts->length_alignment;
    if (f->alignment == 0) return status;
    facts->memory_alignment = f->memory_alignment ? f->memory_alignment : f->alignment;
    facts->offset_alignment = facts->length_alignment = f->alignment;
    return status;
}

static inline shardio_status faulty_set_direct(void *file, bool direct, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_DIRECT, 0, direct, code);
    if (status) return status;
    if (direct && f->refuse_direct) {
        *code = f->refuse_direct;
        return SHARDIO_ERR_DIRECT;
    }
    if (f->alignment == 0) {
        if (f->inner.functions->set_direct == NULL) return direct ? SHARDIO_ERR_UNSUPPORTED : SHARDIO_OK;
        status = f->inner.functions->set_direct(f->inner.context, direct, code);
    }
    if (status == SHARDIO_OK) f->direct = direct;
    return status;
}

static inline shardio_status faulty_sync(void *file, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_SYNC, 0, 0, code);
    f->misused += f->begun_count;
    if (status == SHARDIO_OK && f->inner.functions->sync != NULL) status = f->inner.functions->sync(f->inner.context, code);
    if (status == SHARDIO_OK) faulty_record_on_tape(f, FAULTY_SYNC, 0, NULL, 0);
    return status;
}

static inline shardio_status faulty_publish(void *file, bool durable, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_PUBLISH, 0, durable, code);
    f->misused += f->begun_count;
    if (status == SHARDIO_OK && f->inner.functions->publish != NULL)
        status = f->inner.functions->publish(f->inner.context, durable, code);
    if (status == SHARDIO_OK) {
        f->published = true;
        f->durable = durable;
    }
    return status;
}

static inline shardio_status faulty_suspend(void *file, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_SUSPEND, 0, 0, code), inner = SHARDIO_OK;
    f->misused += f->begun_count + f->suspended;
    f->suspended = true;
    if (f->inner.functions->suspend != NULL) inner = f->inner.functions->suspend(f->inner.context, code);
    return status ? status : inner;
}

static inline shardio_status faulty_resume(void *file, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_RESUME, 0, 0, code);
    if (status) return status;
    f->misused += !f->suspended;
    f->suspended = false;
    return f->inner.functions->resume != NULL ? f->inner.functions->resume(f->inner.context, code) : SHARDIO_OK;
}

static inline shardio_status faulty_close(void *file, shardio_close how, bool durable, int *code)
{
    faulty_state *f = (faulty_state *)file;
    shardio_status status = faulty_step(f, FAULTY_CLOSE, 0, (uint64_t)how, code), inner = SHARDIO_OK;
    f->misused += f->begun_count;
    f->closed++;
    if (status) how = SHARDIO_CLOSE_DISCARD;   /* as a failed close() would: the descriptor is gone, nothing appears */
    if (f->inner.functions->close != NULL) inner = f->inner.functions->close(f->inner.context, how, durable, code);
    if (status == SHARDIO_OK) status = inner;
    f->how = how;
    if (status == SHARDIO_OK && how == SHARDIO_CLOSE_PUBLISH) {
        f->published = true;
        f->durable = durable;
    }
    return status;
}

static void faulty_hint(void *file, shardio_hint hint, uint64_t offset, uint64_t size)
{
    faulty_state *f = (faulty_state *)file;
    if (f->inner.functions->hint != NULL) f->inner.functions->hint(f->inner.context, hint, offset, size);
}

/* Only remembers; the bytes are written at a wait, so memory that is used again too early shows. */
static inline shardio_status faulty_begin(void *file, shardio_transfer *transfer, int *code)
{
    faulty_state *f = (faulty_state *)file;
    const uint8_t *bytes = (const uint8_t *)transfer->data;
    faulty_begun *b = &f->begun[f->begun_count];
    f->begins++;
    if (f->begun_count == sizeof f->begun / sizeof f->begun[0] || (f->refuse_begin_from > 0 && f->begins >= f->refuse_begin_from)) {
        *code = ENOSYS;
        return SHARDIO_ERR_UNSUPPORTED;
    }
    b->transfer = transfer;
    b->sum = faulty_sum(bytes, transfer->size);
    b->direct = f->direct;
    f->begun_count++;
    if (f->begun_count > f->most_begun) f->most_begun = f->begun_count;
    return SHARDIO_OK;
}

/* Whether a write is under way from memory that is not the slot's. */
static inline bool faulty_borrows(const faulty_state *f)
{
    for (size_t i = 0; i < f->begun_count; i++) {
        const shardio_transfer *t = f->begun[i].transfer;
        const uint8_t *bytes = (const uint8_t *)t->data;
        if (bytes < f->own || bytes + t->size > f->own + f->own_size) return true;
    }
    return false;
}

static inline void faulty_end(faulty_state *f, size_t number)
{
    const faulty_begun b = f->begun[number];
    shardio_transfer *t = b.transfer;
    const bool direct = f->direct;
    f->begun[number] = f->begun[--f->begun_count];
    if (faulty_sum((const uint8_t *)t->data, t->size) != b.sum) f->misused++;
    f->direct = b.direct;
    t->status = faulty_write(f, t->offset, t->data, t->size, &t->done, &t->code);
    f->direct = direct;
    t->complete = true;
}

/* Any of them are complete before the one that is waited for. */
static inline void faulty_wait(void *file, shardio_transfer *transfer)
{
    faulty_state *f = (faulty_state *)file;
    uint64_t seed = transfer->offset + f->begins;
    while (!transfer->complete && CHECK(f->begun_count > 0)) faulty_end(f, (size_t)(test_random(&seed) % f->begun_count));
}

/* Wraps `inner`. What the faulty file shall do may be set before or at any time after. */
static inline shardio_file faulty_file(faulty_state *f, shardio_file inner)
{
    shardio_file file = inner;
    memset(&f->table, 0, sizeof f->table);
    f->inner = inner;
    f->table.read = faulty_read;
    f->table.write = faulty_write;
    if (inner.functions->resize != NULL && !f->no_resize) f->table.resize = faulty_resize;
    f->table.facts = faulty_facts;
    if (!f->flash && (f->alignment || f->refuse_direct || inner.functions->set_direct != NULL)) f->table.set_direct = faulty_set_direct;
    if (f->flash) f->direct = true;
    if (inner.functions->suspend != NULL || inner.functions->close == NULL) {   /* memory can always be suspended */
        f->table.suspend = faulty_suspend;
        f->table.resume = faulty_resume;
    }
    f->table.sync = faulty_sync;
    f->table.publish = faulty_publish;
    f->table.hint = faulty_hint;
    f->table.close = faulty_close;
    if (f->overlap) {
        f->table.begin = faulty_begin;
        f->table.wait = faulty_wait;
    }
    file.functions = &f->table;
    file.context = f;
    return file;
}

/* The log as text: r w z f d s p ( ) c with offset+size of reads and writes, the size of resizes: "d w0+4096 s z100 c". */
static inline const char *faulty_text(const faulty_state *f, size_t from, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = from; i < f->logged && used + 50 < size; i++) {
        const faulty_record *r = &f->log[i];
        int n;
        if (r->call <= FAULTY_WRITE)
            n = snprintf(text + used, size - used, "%s%c%llu+%llu", used ? " " : "", "rw"[r->call],
                         (unsigned long long)r->offset, (unsigned long long)r->size);
        else if (r->call == FAULTY_RESIZE)
            n = snprintf(text + used, size - used, "%sz%llu", used ? " " : "", (unsigned long long)r->size);
        else
            n = snprintf(text + used, size - used, "%s%c", used ? " " : "", "rwzfdsp()c"[r->call]);
        used += (size_t)n;
    }
    return text;
}

/* ---- the rig ------------------------------------------------------------------------------------------------- */

typedef struct rig {
    bool real;                /* a file of the system's; otherwise in memory */
    char path[400];
    shardio_memory memory;
    faulty_state faulty;
    uint8_t *copy;            /* of the contents of a real file */
    size_t copy_size;
} rig;

/* One directory for all the files of a test program. */
static inline const char *rig_directory(void)
{
    static char path[300];
    if (path[0] == 0) test_directory(path, sizeof path);
    return path;
}

/* Puts `size` bytes into the file at `path`, or removes it if data is null. */
static inline void rig_put(const char *path, const void *data, size_t size)
{
    FILE *out;
    unlink(path);
    if (data == NULL) return;
    out = fopen(path, "wb");
    if (!CHECK(out != NULL)) return;
    CHECK_U64(fwrite(data, 1, size, out), size);
    CHECK(fclose(out) == 0);
}

/* The file's bytes, to be freed; null and *size 0 where there is no file. */
static inline uint8_t *rig_slurp(const char *path, size_t *size)
{
    FILE *in = fopen(path, "rb");
    uint8_t *data = NULL;
    struct stat facts;
    *size = 0;
    if (in == NULL) return NULL;
    if (fstat(fileno(in), &facts) == 0 && (data = (uint8_t *)malloc((size_t)facts.st_size + 1)) != NULL)
        *size = fread(data, 1, (size_t)facts.st_size, in);
    fclose(in);
    return data;
}

/* Makes the rig, with `size` bytes in the file beforehand; null: no file yet. */
static inline void rig_begin(rig *g, bool real, const void *before, size_t size)
{
    static unsigned number;
    memset(g, 0, sizeof *g);
    g->real = real;
    snprintf(g->path, sizeof g->path, "%s/file-%u", rig_directory(), number++);
    if (real) {
        rig_put(g->path, before, size);
    } else if (before != NULL) {
        shardio_file file = shardio_memory_file(&g->memory, "memory");
        size_t done = 0;
        int code = 0;
        if (size > 0) CHECK_OK(file.functions->write(file.context, 0, before, size, &done, &code));
        CHECK_U64(done, size);
    }
}

/* The wrapped file, opened: a new one, or (update) the one that is there. */
static inline shardio_file rig_open(rig *g, bool update)
{
    shardio_open_options options;
    shardio_error error;
    shardio_file file;
    memset(&options, 0, sizeof options);
    memset(&file, 0, sizeof file);
    if (!g->real) {
        file = shardio_memory_file(&g->memory, "memory");
    } else {
        options.overwrite = true;
        CHECK_OK(shardio_file_open(&file, g->path, update ? SHARDIO_OPEN_UPDATE : SHARDIO_OPEN_CREATE, &options, &error));
    }
    return file.functions != NULL ? faulty_file(&g->faulty, file) : file;
}

/* What is in the file now; valid until the next call. */
static inline const uint8_t *rig_contents(rig *g, size_t *size)
{
    if (!g->real) {
        *size = g->memory.size;
        return g->memory.data;
    }
    free(g->copy);
    g->copy = rig_slurp(g->path, &g->copy_size);
    *size = g->copy_size;
    return g->copy;
}

static inline void rig_check(rig *g, const void *expected, size_t size)
{
    size_t now = 0;
    const uint8_t *data = rig_contents(g, &now);
    CHECK_U64(now, size);
    CHECK_BYTES(data, expected, now < size ? now : size);
}

static inline void rig_end(rig *g)
{
    if (g->real) unlink(g->path);
    else shardio_memory_free(&g->memory);
    free(g->copy);
    CHECK_U64(g->faulty.misaligned, 0);
    CHECK_U64(g->faulty.misused, 0);
}

/* Files in a directory whose names contain `part`. */
static inline int rig_count_names(const char *directory, const char *part)
{
    DIR *list = opendir(directory);
    int count = 0;
    if (list == NULL) return -1;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        if (entry->d_name[0] != '.' && strstr(entry->d_name, part) != NULL) count++;
    closedir(list);
    return count;
}

/* The directory of the test that runs, new and empty, and paths in it; they hold for four calls. */
static char rig_home[300];

static inline void rig_new_directory(void)
{
    test_directory(rig_home, sizeof rig_home);
}

static inline const char *rig_path(const char *name)
{
    static char paths[4][700];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%.350s", rig_home, name);
    return path;
}

static inline int rig_entries(void)
{
    return rig_count_names(rig_home, "");
}

/* The file is there, with these bytes and no others. */
static inline void rig_check_file(const char *path, const void *expected, size_t size)
{
    size_t now = 0;
    uint8_t *data = rig_slurp(path, &now);
    if (CHECK(data != NULL)) {
        CHECK_U64(now, size);
        CHECK_BYTES(data, expected, now < size ? now : size);
    }
    free(data);
}

/* `size` seeded bytes. */
static inline void test_fill(uint8_t *data, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t number = test_random(&seed);
        for (size_t j = i; j < size && j < i + 8; j++) data[j] = (uint8_t)(number >> (8 * (j - i)));
    }
}

/* An allocator that counts, and stops giving after `limit` bytes (0: endless). */
typedef struct counting {
    uint64_t calls, held, peak, limit;
    uint64_t fail_at;      /* this allocation fails, 1 is the first; 0: none */
} counting;

static inline void *counting_allocate(void *context, size_t size, size_t alignment)
{
    counting *c = (counting *)context;
    if (++c->calls == c->fail_at || size > SIZE_MAX / 2 || (c->limit && c->held + size > c->limit)) return NULL;
    void *memory = test_aligned(alignment, size);
    if (memory == NULL) return NULL;
    memset(memory, 0xA5, size);
    c->held += size;
    if (c->held > c->peak) c->peak = c->held;
    return memory;
}

static inline void counting_release(void *context, void *memory, size_t size, size_t alignment)
{
    counting *c = (counting *)context;
    (void)alignment;
    if (memory == NULL) return;
    c->held -= size;
    test_aligned_free(memory);
}

static inline shardio_allocator counting_allocator(counting *c)
{
    shardio_allocator allocator = {NULL, counting_allocate, counting_release};
    memset(c, 0, sizeof *c);
    allocator.context = c;
    return allocator;
}
#endif
