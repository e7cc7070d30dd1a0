/* What a file system really does when it is written and read unbuffered, for tests/filesystems:

       filesystems_direct DIRECTORY      prints one JSON object

   "system" is what the system says and does when it is asked without the header: block size, STATX_DIOALIGN, O_DIRECT
   at open and later, writes of 512 bytes and of a block, holes. "writes" and "reads" are what the header did, one
   object for each kind of file and each wish. The header's calls go through the functions here, which look at the flags of the
   descriptor, at the alignment, and, after each call, whether the page cache holds what was transferred. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    uint32_t memory, offset;         /* what unbuffered transfers have to keep to */
    uint64_t writes, direct_writes, direct_bytes, reads, direct_reads;
    uint64_t misaligned, refused;    /* of the direct ones */
    uint64_t resident, unseen;       /* pages in the cache after direct writes; calls where that could not be seen */
} watch;

/* Pages of a range that the page cache holds; -1: it cannot be seen. */
static int64_t resident_pages(int fd, uint64_t offset, size_t size)
{
    static unsigned char pages[1 << 16];
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), begin = offset - offset % page;
    const size_t length = (size_t)(offset + size - begin), count = (length + page - 1) / page;
    int64_t held = 0;
    void *map;
    if (size == 0) return 0;
    if (count > sizeof pages) return -1;
    map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)begin);
    if (map == MAP_FAILED) return -1;
    if (mincore(map, length, pages) != 0) held = -1;
    for (size_t i = 0; held >= 0 && i < count; i++) held += pages[i] & 1;
    munmap(map, length);
    return held;
}

static bool is_direct(int fd)
{
    return (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
}

static void watch_transfer(const void *data, size_t size, off_t offset, ssize_t done)
{
    if (watch.offset > 0)
        watch.misaligned += (uint64_t)offset % watch.offset != 0 || size % watch.offset != 0 ||
                            (uintptr_t)data % watch.memory != 0;
    watch.refused += done < 0;
}

static ssize_t watch_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    const bool direct = is_direct(fd);
    const ssize_t n = pwrite(fd, data, size, offset);
    const int code = errno;
    watch.writes++;
    if (direct) {
        const int64_t pages = resident_pages(fd, (uint64_t)offset, n > 0 ? (size_t)n : 0);
        watch_transfer(data, size, offset, n);
        watch.direct_writes += n > 0;
        watch.direct_bytes += n > 0 ? (uint64_t)n : 0;
        watch.resident += pages > 0 ? (uint64_t)pages : 0;
        watch.unseen += pages < 0;
    }
    errno = code;
    return n;
}

static ssize_t watch_pread(int fd, void *data, size_t size, off_t offset)
{
    const bool direct = is_direct(fd);
    const ssize_t n = pread(fd, data, size, offset);
    const int code = errno;
    watch.reads++;
    if (direct) watch_transfer(data, size, offset, n);
    watch.direct_reads += direct && n >= 0;
    errno = code;
    return n;
}

#define pwrite watch_pwrite
#define pread watch_pread
#include "test.h"
#include "faulty.h"
#undef pwrite
#undef pread

enum {
    MiB = 1 << 20, TOTAL = 8 * MiB,
    PIECE = MiB / 2, PIECES = TOTAL / PIECE,     /* chunks of a shard */
    ITEM = 2000, ITEMS = TOTAL / ITEM,           /* of a pack */
    TRIES = 10
};

static const char *where;
static uint8_t *source;              /* TOTAL bytes */

/* ---- printing ---------------------------------------------------------------------------------------------- */

static void print_text(const char *text)
{
    static char quoted[2000];
    shardio_text t = {quoted, sizeof quoted, 0};
    if (text == NULL) shardio_text_add(&t, "null");
    else shardio_text_add_string(&t, text);
    fputs(quoted, stdout);
}

static void print_number(const char *name, uint64_t number)
{
    printf(", \"%s\": %llu", name, (unsigned long long)number);
}

/* ---- the system, asked without the header -------------------------------------------------------------------- */

static int at_last(bool fine)
{
    return fine ? 0 : errno;
}

static const char *path_of(const char *name)
{
    static char path[1200];
    snprintf(path, sizeof path, "%s/%s", where, name);
    return path;
}

static int new_file(const char *name, int flags)
{
    const int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0666);
    if (fd < 0) perror(path_of(name));
    return fd;
}

/* An unbuffered write of `size` bytes to a new file: its errno. */
static int try_write(size_t size)
{
    const int fd = new_file("write", 0);
    int code = at_last(fcntl(fd, F_SETFL, O_DIRECT) == 0);
    if (code == 0) code = at_last(pwrite(fd, source, size, 0) == (ssize_t)size);
    close(fd);
    return code;
}

/* What STATX_DIOALIGN says: into watch, zeros if there is no answer or it is no. */
static void print_dioalign(int fd)
{
    uint64_t buffer[64];
    uint32_t mask, numbers[2];
    memset(buffer, 0, sizeof buffer);
    if (syscall(SYS_statx, fd, "", 0x1000 /* AT_EMPTY_PATH */, 0x2000u /* STATX_DIOALIGN */, buffer) != 0)
        buffer[0] = 0;
    memcpy(&mask, buffer, sizeof mask);
    memcpy(numbers, (const uint8_t *)buffer + 152, sizeof numbers);
    if ((mask & 0x2000u) == 0) {
        printf(", \"dioalign\": null");
        return;
    }
    printf(", \"dioalign\": [%u, %u]", (unsigned)numbers[0], (unsigned)numbers[1]);
    watch.memory = numbers[0];
    watch.offset = numbers[1];
}

/* Bytes that a file of `size` takes after a hole of them all, or after `punched` of them were given back. */
static uint64_t allocated(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 ? (uint64_t)s.st_blocks * 512 : UINT64_MAX;
}

static void print_holes(void)
{
    const int fd = new_file("holes", 0);
    bool sparse = ftruncate(fd, MiB) == 0 && allocated(fd) < MiB / 2;
    bool full = pwrite(fd, source, MiB, 0) == MiB && fsync(fd) == 0 && allocated(fd) >= MiB;
    int code = at_last(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MiB / 2) == 0);
    bool less = code == 0 && fsync(fd) == 0 && allocated(fd) < MiB;
    printf(", \"sparse\": %s, \"full\": %s, \"punch\": %d, \"punched\": %s", sparse ? "true" : "false",
           full ? "true" : "false", code, less ? "true" : "false");
    close(fd);
    unlink(path_of("holes"));
}

static void print_system(void)
{
    struct statvfs s;
    const int fd = new_file("system", 0);
    memset(&s, 0, sizeof s);
    if (fstatvfs(fd, &s) != 0) perror("statvfs");
    printf("{\"system\": {\"block\": %llu", (unsigned long long)s.f_bsize);
    print_dioalign(fd);
    printf(", \"later\": %d", at_last(fcntl(fd, F_SETFL, O_DIRECT) == 0));
    close(fd);
    const int again = open(path_of("system"), O_RDWR | O_DIRECT);
    printf(", \"open\": %d", at_last(again >= 0));
    if (again >= 0) close(again);
    unlink(path_of("system"));
    printf(", \"small\": %d", try_write(512));
    printf(", \"whole\": %d", try_write((size_t)shardio_p_min(s.f_bsize, MiB)));
    unlink(path_of("write"));
    print_holes();
    printf("},\n");
}

/* ---- what the header does -------------------------------------------------------------------------------------- */

typedef struct outcome {
    shardio_error error;
    shardio_accounting accounting;
    uint32_t block, memory;          /* that the slot keeps to; 0: not known */
} outcome;

/* Pages that were made dirty in the page cache, of all files of the machine. */
static uint64_t dirtied_pages(void)
{
    char line[200];
    unsigned long long number = 0;
    FILE *in = fopen("/proc/vmstat", "r");
    if (in == NULL) return 0;
    while (fgets(line, sizeof line, in) != NULL && sscanf(line, "nr_dirtied %llu", &number) != 1) {}
    fclose(in);
    return number;
}

static shardio_slot_options slot_options(shardio_direct wish)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.direct = wish;
    o.overlap = SHARDIO_OVERLAP_OFF;   /* calls are counted; nobody sees those of a queue */
    o.overwrite = true;
    o.buffer_size = MiB;
    return o;
}

static void note_slot(const shardio_slot *slot, outcome *out)
{
    out->block = slot->block;
    out->memory = slot->memory_alignment;
    out->accounting = slot->accounting;
}

static void write_slot(shardio_direct wish, outcome *out)
{
    const shardio_slot_options o = slot_options(wish);
    shardio_slot slot;
    (void)shardio_slot_create(&slot, path_of("slot"), &o);
    (void)shardio_slot_append(&slot, source, 100);
    for (size_t at = 100; at < TOTAL; at += PIECE)
        (void)shardio_slot_append(&slot, source + at, (size_t)shardio_p_min(PIECE, TOTAL - at));
    note_slot(&slot, out);
    (void)shardio_slot_finish(&slot);
    out->error = slot.error;
}

static shardio_index_layout shard_layout(void)
{
    shardio_index_layout layout;
    memset(&layout, 0, sizeof layout);
    layout.chunks = PIECES;
    return layout;
}

static void write_shard(shardio_direct wish, outcome *out)
{
    const shardio_slot_options o = slot_options(wish);
    const shardio_index_layout layout = shard_layout();
    shardio_shard_writer writer;
    (void)shardio_shard_create(&writer, path_of("shard"), &layout, &o);
    for (uint64_t i = 0; i < PIECES; i++) (void)shardio_shard_put(&writer, i, source + i * PIECE, PIECE);
    note_slot(&writer.slot, out);
    (void)shardio_shard_finish(&writer, &out->error);
}

static void write_pack(shardio_direct wish, outcome *out)
{
    const shardio_slot_options o = slot_options(wish);
    shardio_pack_writer writer;
    (void)shardio_pack_create(&writer, path_of("pack"), NULL, &o);
    for (size_t i = 0; i < ITEMS; i++) (void)shardio_pack_append(&writer, source + i * ITEM, ITEM);
    note_slot(&writer.slot, out);
    (void)shardio_pack_finish(&writer, NULL, 0, &out->error);
}

static shardio_array_options array_options(shardio_direct wish)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.dtype = SHARDIO_UINT8;
    o.ndim = 3;
    o.shape[1] = o.shape[2] = o.chunk[1] = o.chunk[2] = o.shard[1] = o.shard[2] = 512;
    o.chunk[0] = 1;
    o.shard[0] = 8;
    o.overwrite = true;
    o.direct = wish;
    o.overlap = SHARDIO_OVERLAP_OFF;
    o.buffer_size = MiB;
    return o;
}

static void write_array(shardio_direct wish, outcome *out)
{
    shardio_array_options o = array_options(wish);
    o.accounting = &out->accounting;
    shardio_array *array = shardio_array_create(path_of("array"), &o);
    (void)shardio_array_append(array, source, TOTAL);
    (void)shardio_array_finish(array, &out->error);
}

static void write_archive(shardio_direct wish, outcome *out)
{
    shardio_array_options a = array_options(wish);
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = o.create = o.overwrite = true;
    o.direct = wish;
    shardio_archive *archive = shardio_archive_open(path_of("archive.zip"), &o, &out->error);
    if (archive == NULL) return;
    shardio_store store = shardio_archive_store(archive);
    a.path = "movie";
    shardio_array *array = shardio_array_create_in(&store, &a);
    (void)shardio_array_append(array, source, TOTAL);
    shardio_status status = shardio_array_finish(array, &out->error);
    if (status == SHARDIO_OK) status = shardio_archive_commit(archive, &out->error);
    out->accounting = shardio_archive_about(archive).accounting;
    if (status == SHARDIO_OK) (void)shardio_archive_finish(archive, &out->error);
    else shardio_archive_close(archive);
}

/* The file at `path` is on the device, and no longer in the page cache if the file system has another place for it. */
static int cold_file(const char *path)
{
    const int fd = open(path, O_RDONLY);
    if (fd >= 0) (void)fsync(fd), (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return fd;
}

static shardio_status take_piece(void *context, uint64_t chunk, const uint8_t *data, size_t size, shardio_error *error)
{
    (void)error;
    if (size == PIECE && memcmp(data, source + chunk * PIECE, PIECE) == 0) ++*(uint64_t *)context;
    return SHARDIO_OK;
}

static uint64_t read_shard(outcome *out)
{
    const shardio_index_layout layout = shard_layout();
    shardio_shard_reader reader;
    uint64_t chunks[PIECES], right = 0;
    void *memory = NULL;
    for (uint64_t i = 0; i < PIECES; i++) chunks[i] = i;
    if (posix_memalign(&memory, 65536, 2 * MiB) != 0) return 0;
    memset(memory, 0, 2 * MiB);
    if (shardio_shard_open(&reader, path_of("shard"), &layout, NULL, &out->error) == SHARDIO_OK) {
        (void)shardio_shard_read_unbuffered(&reader);
        (void)shardio_shard_read_many(&reader, chunks, PIECES, memory, 2 * MiB, take_piece, &right, &out->error);
        out->accounting.direct = reader.block != 0;
    }
    shardio_shard_close(&reader);
    free(memory);
    return right * PIECE;
}

static uint64_t read_whole_array(shardio_array *array, outcome *out)
{
    static const uint64_t start[3] = {0, 0, 0}, count[3] = {TOTAL / (512 * 512), 512, 512};
    uint8_t *data = (uint8_t *)malloc(TOTAL);
    (void)shardio_array_read(array, start, count, data, TOTAL, &out->error);
    uint64_t right = memcmp(data, source, TOTAL) == 0 ? TOTAL : 0;
    out->accounting = shardio_array_accounting(array);
    free(data);
    shardio_array_close(array);
    return right;
}

static uint64_t read_array(outcome *out)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.unbuffered = true;
    o.overlap = SHARDIO_OVERLAP_OFF;
    return read_whole_array(shardio_array_open(path_of("array"), &o, &out->error), out);
}

static uint64_t read_archive(outcome *out)
{
    shardio_archive_options o;
    shardio_array_options a;
    memset(&o, 0, sizeof o);
    memset(&a, 0, sizeof a);
    o.direct = SHARDIO_DIRECT_ON;
    a.unbuffered = true;
    a.path = "movie";
    shardio_archive *archive = shardio_archive_open(path_of("archive.zip"), &o, &out->error);
    if (archive == NULL) return 0;
    shardio_store store = shardio_archive_store(archive);
    uint64_t right = read_whole_array(shardio_array_open_in(&store, &a, &out->error), out);
    shardio_archive_close(archive);
    return right;
}

/* ---- all of it, printed ---------------------------------------------------------------------------------------- */

static void print_watched(void)
{
    print_number("misaligned", watch.misaligned);
    print_number("refused", watch.refused);
    print_number("resident", watch.resident);
    print_number("unseen", watch.unseen);
}

static void watch_anew(void)
{
    const uint32_t memory = watch.memory, offset = watch.offset;
    memset(&watch, 0, sizeof watch);
    watch.memory = memory;
    watch.offset = offset;
}

static void print_error(const shardio_error *error)
{
    printf("\"status\": \"%s\", \"text\": ", shardio_status_name(error->status));
    char text[400];
    print_text(shardio_error_text(error, text, sizeof text));
}

static void print_write(const char *what, const char *file, const char *wish_name, shardio_direct wish,
                        void (*write_it)(shardio_direct, outcome *))
{
    outcome out;
    uint64_t dirtied = UINT64_MAX;
    bool copied = true;      /* or so it seems: others on this machine write, too, and the least counts */
    for (int i = 0; i < TRIES && copied; i++) {
        const uint64_t before = dirtied_pages();
        watch_anew();
        memset(&out, 0, sizeof out);
        write_it(wish, &out);
        dirtied = shardio_p_min(dirtied, dirtied_pages() - before);
        copied = out.accounting.direct && watch.resident < TOTAL / 4096 / 2 && dirtied > TOTAL / 4096 / 4;
    }
    printf("{\"what\": \"%s\", \"wish\": \"%s\", ", what, wish_name);
    print_error(&out.error);
    printf(", \"direct\": %s, \"reason\": ", out.accounting.direct ? "true" : "false");
    print_text(out.accounting.direct_reason);
    print_number("code", (uint64_t)out.accounting.direct_code);
    print_number("block", out.block);
    print_number("memory", out.memory);
    print_number("calls", watch.writes);
    print_number("direct_calls", watch.direct_writes);
    print_number("direct_bytes", watch.direct_bytes);
    print_number("dirtied", dirtied);
    print_watched();
    printf(", \"there\": %s}", access(path_of(file), F_OK) == 0 ? "true" : "false");
}

static void print_writes(void)
{
    static const struct { const char *what, *file; void (*write_it)(shardio_direct, outcome *); } kinds[] = {
        {"slot", "slot", write_slot}, {"shard", "shard", write_shard}, {"pack", "pack", write_pack},
        {"array", "array/zarr.json", write_array}, {"archive", "archive.zip", write_archive}};
    static const struct { const char *name; shardio_direct wish; } wishes[] = {
        {"on", SHARDIO_DIRECT_ON}, {"off", SHARDIO_DIRECT_OFF}, {"auto", SHARDIO_DIRECT_AUTO}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (size_t w = 0; w < sizeof wishes / sizeof wishes[0]; w++) {
            printf("%s", k + w > 0 ? ",\n" : "\"writes\": [");
            print_write(kinds[k].what, kinds[k].file, wishes[w].name, wishes[w].wish, kinds[k].write_it);
        }
    printf("],\n");
}

static void print_reads(void)
{
    static const struct { const char *what, *file; uint64_t (*read_it)(outcome *); } kinds[] = {
        {"shard", "shard", read_shard},
        {"array", "array/c/0/0/0", read_array},
        {"archive", "archive.zip", read_archive}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        outcome out;
        struct stat s;
        const int fd = cold_file(path_of(kinds[k].file));
        memset(&s, 0, sizeof s);
        (void)fstat(fd, &s);
        const int64_t before = resident_pages(fd, 0, (size_t)s.st_size);
        memset(&out, 0, sizeof out);
        watch_anew();
        const uint64_t right = kinds[k].read_it(&out);
        printf("%s{\"what\": \"%s\", ", k > 0 ? ",\n" : "\"reads\": [", kinds[k].what);
        print_error(&out.error);
        printf(", \"direct\": %s", out.accounting.direct ? "true" : "false");
        print_number("right", right);
        print_number("calls", watch.reads);
        print_number("direct_calls", watch.direct_reads);
        print_number("pages", ((uint64_t)s.st_size + 4095) / 4096);
        print_watched();
        const int64_t after = resident_pages(fd, 0, (size_t)s.st_size);
        printf(", \"before\": %lld, \"after\": %lld}", (long long)before, (long long)after);
        close(fd);
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "filesystems_direct DIRECTORY\n");
        return 2;
    }
    where = argv[1];
    void *memory = NULL;
    if (posix_memalign(&memory, 65536, TOTAL + MiB) != 0) return 2;
    source = (uint8_t *)memory;
    test_fill(source, TOTAL, 1);
    print_system();
    print_writes();
    print_reads();
    free(memory);
    return 0;
}
