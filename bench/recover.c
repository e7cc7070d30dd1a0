/* How fast shardio_shard_recover looks through a torn shard: noise, in which the newest complete index lies somewhere
   in the first half. Prints CSV, one line per round and way:

       bench_recover [--bytes N] [--chunks N] [--rounds N] [--file PATH]

   read: the file into memory and nothing else, from the page cache; recover: the same file; memory: the same bytes in
   memory, in place of a file; search: only the checksums, of bytes in memory. GB/s of CPU time. The file, by default
   ./bench_recover.tmp, is removed. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"

enum { PIECE = 4 << 20 };

typedef struct work {
    const char *path;
    uint8_t *data;
    size_t size;
    uint64_t index_at;
    shardio_index_layout layout;
} work;

static void write_file(const work *w)
{
    FILE *out = fopen(w->path, "wb");
    if (out == NULL || fwrite(w->data, 1, w->size, out) != w->size) bench_die_system("write", w->path);
    if (fclose(out) != 0) bench_die_system("close", w->path);
}

static void plain_read(const work *w)
{
    static uint8_t piece[PIECE] __attribute__((aligned(4096)));
    int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    uint64_t all = 0;
    ssize_t n;
    if (fd < 0) bench_die_system("open", w->path);
    while ((n = read(fd, piece, sizeof piece)) > 0) all += (uint64_t)n;
    if (n < 0 || all != w->size) bench_die_system("read", w->path);
    close(fd);
}

static void check(const work *w, shardio_status status, const shardio_recovery *found)
{
    if (status != SHARDIO_OK || found->index_offset != w->index_at)
        bench_die("not found: %s", shardio_status_text(status));
}

static void recover_file(const work *w)
{
    shardio_recovery found;
    check(w, shardio_shard_recover(w->path, &w->layout, false, NULL, &found, NULL), &found);
}

static void recover_memory(const work *w)
{
    shardio_memory memory;
    shardio_recovery found;
    memset(&memory, 0, sizeof memory);
    memory.data = w->data;
    memory.size = memory.capacity = w->size;
    memory.fixed = true;
    shardio_file file = shardio_memory_file(&memory, "memory");
    check(w, shardio_shard_recover_file(&file, &w->layout, false, NULL, NULL, NULL, &found, NULL), &found);
}

static shardio_status take(void *context, size_t at)
{
    *(uint64_t *)context = at;
    return SHARDIO_OK;
}

static void search(const work *w)
{
    shardio_p_crc_window window;
    uint64_t found = 0;
    size_t at = 0, last;
    shardio_p_crc_window_begin(&window, shardio_index_size(&w->layout));
    last = w->size - window.length;
    uint32_t difference = shardio_p_crc_window_difference(&window, w->data);
    while (at < last) {   /* in pieces, as a file would be */
        size_t steps = last - at < PIECE ? last - at : PIECE;
        uint64_t here = UINT64_MAX;
        (void)shardio_p_crc_window_search(&window, &difference, w->data + at, steps, take, &here);
        if (here != UINT64_MAX) found = at + here;
        at += steps;
    }
    if (found != w->index_at) bench_die("the search found nothing");
}

static void one_line(unsigned round, const char *what, const work *w, void (*run)(const work *w))
{
    double begin = bench_cpu_now();
    run(w);
    printf("%u,%s,%zu,%llu,%s,%.3f,%s,\"%s\"\n", round, what, w->size, (unsigned long long)w->layout.chunks,
           shardio_crc32c_kind(), (double)w->size / (bench_cpu_now() - begin) / 1e9, SHARDIO_VERSION_STRING,
           BENCH_COMPILER);
}

int main(int argc, char **argv)
{
    unsigned rounds = 5;
    work w;
    memset(&w, 0, sizeof w);
    w.path = "bench_recover.tmp";
    w.size = (size_t)512 << 20;
    w.layout.chunks = 16384;
    for (int i = 1; i < argc; i += 2) {
        const char *value = bench_value(argv + i);
        if (strcmp(argv[i], "--bytes") == 0) w.size = (size_t)bench_parse_bytes(value);
        else if (strcmp(argv[i], "--chunks") == 0) w.layout.chunks = bench_parse_bytes(value);
        else if (strcmp(argv[i], "--rounds") == 0) rounds = (unsigned)bench_parse_bytes(value);
        else if (strcmp(argv[i], "--file") == 0) w.path = value;
        else bench_die("unknown option %s", argv[i]);
    }
    w.index_at = w.size / 3;
    if (shardio_index_size(&w.layout) == 0 || shardio_index_size(&w.layout) > w.size / 3) bench_die("too many chunks");
    w.data = bench_input(w.size, 1);
    shardio_index_clear(&w.layout, w.data + w.index_at);
    shardio_index_set(&w.layout, w.data + w.index_at, 0, w.index_at / 2, w.index_at - w.index_at / 2);
    shardio_index_seal(&w.layout, w.data + w.index_at);
    write_file(&w);
    printf("round,what,bytes,chunks,kind,gb_s,version,compiler\n");
    for (unsigned round = 0; round < rounds; round++) {
        one_line(round, "read", &w, plain_read);
        one_line(round, "recover", &w, recover_file);
        one_line(round, "memory", &w, recover_memory);
        one_line(round, "search", &w, search);
    }
    unlink(w.path);
    free(w.data);
    return 0;
}
