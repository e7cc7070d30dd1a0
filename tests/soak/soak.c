/* The processes of the soak, started by run.py.

       soak write DIRECTORY MODEL SEED SECONDS     does everything at random in DIRECTORY, and keeps MODEL
       soak read DIRECTORY MODEL SEED SECONDS      reads beside it
       soak verify DIRECTORY MODEL SEED 0          compares everything, when nobody writes any more
       soak report DIRECTORY MODEL 0 0             prints the counts in MODEL, one a line

   A writer may be killed at any moment and started again. Exit code 3 and a line: something was not as promised. */
#include "soak.h"
#include "shards.h"
#include "packs.h"
#include "arrays.h"
#include "archives.h"
#include "mirrors.h"

static void map_model(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || ftruncate(fd, sizeof(model)) != 0) fail("%s: %s", path, strerror(errno));
    void *memory = mmap(NULL, sizeof(model), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) fail("%s: %s", path, strerror(errno));
    m = (model *)memory;
    close(fd);
}

static void settle_all(void)
{
    remove_temporary(home);
    for (uint32_t i = 0; i < SHARDS; i++) shard_settle(i);
    for (uint32_t i = 0; i < ARRAYS; i++) array_settle(i);
    pack_check();
    archive_check();
}

/* ---- nothing is left behind: between two pieces of work no handle is open ---- */

typedef struct holdings {
    size_t memory, files;
} holdings;

static holdings held(void)
{
    holdings h = {0, 0};
    struct mallinfo2 info = mallinfo2();
    DIR *list = opendir("/proc/self/fd");
    h.memory = info.uordblks + info.hblkhd;
    for (; list != NULL && readdir(list) != NULL; h.files++) {}
    if (list != NULL) closedir(list);
    return h;
}

/* Memory: within what the C library keeps for itself the first time that something is used. */
static void check_holdings(const holdings *first, const char *after)
{
    holdings h = held();
    if (h.files != first->files) fail("%s left %zu files open", after, h.files - first->files);
    if (h.memory > first->memory + 8192)
        fail("%s: %zu bytes of memory are taken, %zu at first", after, h.memory, first->memory);
}

/* ---- at random, so many in twenty of each kind ---- */

typedef struct kind {
    const char *name;
    uint32_t share;
    void (*work)(void), (*look)(void);
} kind;

static void some_shard_work(void) { shard_work(below(SHARDS)); }
static void some_shard_look(void) { shard_look(below(SHARDS)); }
static void some_array_work(void) { array_work(below(ARRAYS)); }
static void some_array_look(void) { array_look(below(ARRAYS)); }

static const kind *some_kind(void)
{
    static const kind kinds[] = {
        {"a shard", 5, some_shard_work, some_shard_look}, {"an array", 8, some_array_work, some_array_look},
        {"a pack", 2, pack_work, pack_look}, {"an archive", 3, archive_work, archive_look},
        {"a mirror", 2, mirror_work, mirror_look}};
    const kind *k = kinds;
    for (uint32_t what = below(20); what >= k->share; k++) what -= k->share;
    return k;
}

static void write_all(double seconds)
{
    double end = now() + seconds;
    settle_all();
    holdings first = held();
    while (now() < end) {
        const kind *k = some_kind();
        k->work();
        check_holdings(&first, k->name);
    }
}

static void read_all(double seconds)
{
    double end = now() + seconds;
    shardio_cache cache;
    shardio_cache_options o;
    memset(&o, 0, sizeof o);
    o.decoded_bytes = 1 << 20;
    o.raw_bytes = 1 << 18;
    shardio_cache_begin(&cache, &o);
    reader_cache = &cache;
    while (now() < end) {
        some_kind()->look();
        pause_ms(1 + below(10));
    }
    shardio_cache_end(&cache);
}

static void verify_all(void)
{
    settle_all();
    mirror_check();
}

static void report(void)
{
    static const char *const names[] = {
#define SOAK_DEED(name, text) text,
        DEEDS(SOAK_DEED)
#undef SOAK_DEED
    };
    for (int i = 0; i < DEED_COUNT; i++)
        printf("deed\t%s\t%llu\t%llu\n", names[i], (unsigned long long)m->done[i], (unsigned long long)m->no_space[i]);
    for (int i = 0; i < SHARDIO_STATUS_COUNT; i++)
        if (m->errors[i])
            printf("reader\t%s\t%llu\n", shardio_status_name((shardio_status)i), (unsigned long long)m->errors[i]);
    printf("sum\twritten\t%llu\nsum\tcompared\t%llu\n", (unsigned long long)m->bytes, (unsigned long long)m->checked);
    printf("sum\tread\t%llu\nsum\topened\t%llu\n", (unsigned long long)m->look_bytes, (unsigned long long)m->looks);
    printf("sum\tmended\t%llu\nsum\tstarts\t%llu\n", (unsigned long long)m->recovered, (unsigned long long)m->starts);
    printf("sum\tovertaken\t%llu\n", (unsigned long long)m->overtaken);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "soak write|read|verify|report DIRECTORY MODEL SEED SECONDS\n");
        return 2;
    }
    role = argv[1];
    snprintf(home, sizeof home, "%s", argv[2]);
    seed = mix(strtoull(argv[4], NULL, 10));
    map_model(argv[3]);
    if (strcmp(role, "write") == 0) {
        m->starts++;
        write_all(strtod(argv[5], NULL));
    } else if (strcmp(role, "read") == 0) {
        read_all(strtod(argv[5], NULL));
    } else if (strcmp(role, "verify") == 0) {
        verify_all();
    } else {
        report();
    }
    return 0;
}
