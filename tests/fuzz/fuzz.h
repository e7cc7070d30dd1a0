/* What all fuzz targets share. A target defines FUZZ_NAME, includes this, and has

       static void fuzz_one(fuzz_input in)        tries one input; says with CHECK what has to hold
       static void fuzz_seeds(void)               hands small good inputs to fuzz_seed(data, size)

   With FUZZ_LIBFUZZER it is a target of libFuzzer's. Otherwise it is a program:

       (no arguments)     tries the files in tests/data/fuzz/NAME, the seeds, and the seeds damaged at random
       FILE|DIRECTORY...  tries these
       --seeds DIRECTORY  writes the seeds there, for the corpus of libFuzzer

   TEST_EFFORT=1000: ten times as many damaged ones. */
#ifndef FUZZ_H
#define FUZZ_H

#include "../arrays.h"
#include "../faulty.h"

/* ---- the input, byte by byte; behind its end come zeros ---- */

typedef struct fuzz_input {
    const uint8_t *data;
    size_t size;
} fuzz_input;

static inline uint64_t fuzz_number(fuzz_input *in, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes && in->size > 0; i++, in->data++, in->size--) number |= (uint64_t)*in->data << 8 * i;
    return number;
}

static inline uint8_t fuzz_byte(fuzz_input *in)
{
    return (uint8_t)fuzz_number(in, 1);
}

/* Less than `most`, which is at least 1. */
static inline uint64_t fuzz_below(fuzz_input *in, uint64_t most)
{
    return fuzz_number(in, most <= 256 ? 1 : most <= 65536 ? 2 : 8) % most;
}

static inline bool fuzz_flag(uint8_t flags, int bit)
{
    return (flags >> bit & 1) != 0;
}

/* The first `size` bytes of what is left, as an input of their own. */
static inline fuzz_input fuzz_part(fuzz_input *in, size_t size)
{
    fuzz_input part = {in->data, size < in->size ? size : in->size};
    in->data += part.size;
    in->size -= part.size;
    return part;
}

/* ---- files in memory ---- */

/* A file that cannot grow, of exactly these bytes: what lies behind them is found by the address sanitizer. */
static inline shardio_file fuzz_file(shardio_memory *memory, const uint8_t *data, size_t size)
{
    memset(memory, 0, sizeof *memory);
    memory->data = (uint8_t *)malloc(size > 0 ? size : 1);
    if (memory->data == NULL) exit(2);
    if (size > 0) memcpy(memory->data, data, size);
    memory->size = memory->capacity = size;
    memory->fixed = true;
    return shardio_memory_file(memory, "memory");
}

/* One that can. End it with shardio_memory_free. */
static inline shardio_file fuzz_growing(shardio_memory *memory, const uint8_t *data, size_t size)
{
    memset(memory, 0, sizeof *memory);
    shardio_file file = shardio_memory_file(memory, "memory");
    CHECK_OK(file_write_all(&file, 0, data, size));
    return file;
}

static inline void fuzz_put32(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(number >> 8 * i);
}

static inline uint64_t fuzz_little(const uint8_t *from, int bytes)
{
    uint64_t number = 0;
    while (bytes-- > 0) number = number << 8 | from[bytes];
    return number;
}

/* ---- faults ---- */

/* Memory up to `limit` bytes; the byte says which allocation fails, 0: none. */
static inline const shardio_allocator *fuzz_memory(counter *c, size_t limit, uint8_t fails)
{
    const shardio_allocator *allocator = counter_begin(c);
    c->limit = limit;
    c->fail_at = fails;
    return allocator;
}

/* The byte says which call to the file fails (0: none), whether all later ones do, and how long transfers are. */
static inline void fuzz_faults(faulty_state *f, uint8_t fails, uint8_t how)
{
    f->fail_at = fails;
    f->fail_on = fuzz_flag(how, 0);
    f->fail_status = fuzz_flag(how, 1) ? SHARDIO_ERR_NO_SPACE : SHARDIO_ERR_IO;
    f->shorten = fuzz_flag(how, 2) ? (uint64_t)how + 1 : 0;
}

/* What a call returned, which has to be what it says in its error, `e`, as well. */
#define SAID(call) fuzz_said(__FILE__, __LINE__, #call, (call), &e)

static inline shardio_status fuzz_said(const char *file, int line, const char *what, shardio_status returned,
                                       const shardio_error *error)
{
    test_equal_status(file, line, what, error->status, returned);
    return returned;
}

/* ---- one try ---- */

static void fuzz_one(fuzz_input in);
static void fuzz_seeds(void);

static inline void fuzz_try(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    test_failures = 0;
    fuzz_one(in);
}

enum { FUZZ_MOST = 1 << 16 };          /* bytes of a seed */

static struct {
    uint64_t passed, failed, random;
    const char *seeds;        /* the directory they go to; null: they are tried */
    uint64_t count;           /* of seeds */
    char what[600];           /* is tried */
} fuzz_state;

static inline void fuzz_write_seeds(const char *directory)
{
    fuzz_state.seeds = directory;
    fuzz_seeds();
    exit(test_failures > 0);
}

static inline void fuzz_write_seed(const void *data, size_t size)
{
    char path[600];
    snprintf(path, sizeof path, "%.500s/own-%04llu", fuzz_state.seeds, (unsigned long long)fuzz_state.count);
    rig_put(path, data, size);
}

#ifdef FUZZ_LIBFUZZER
#ifdef __cplusplus
extern "C" {
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_try(data, size);
    if (test_failures > 0) abort();
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) fuzz_write_seeds((*argv)[2]);
    return 0;
}
#ifdef __cplusplus
}
#endif

static inline void fuzz_seed(const void *data, size_t size)
{
    fuzz_state.count++;
    fuzz_write_seed(data, size);
}
#else

/* ---- the program ---- */

#ifndef FUZZ_ROUNDS
#define FUZZ_ROUNDS 150       /* damaged ones of each seed; fewer where a try needs the disk */
#endif

static inline bool fuzz_count(const uint8_t *data, size_t size)
{
    uint8_t *copy = (uint8_t *)malloc(size > 0 ? size : 1);
    if (copy == NULL) exit(2);
    if (size > 0) memcpy(copy, data, size);
    alarm(120);                                   /* one that does not end ends the program */
    fuzz_try(copy, size);
    free(copy);
    if (test_failures > 0) fprintf(stderr, "FAILED: %s\n", fuzz_state.what);
    if (test_failures > 0) fuzz_state.failed++;
    else fuzz_state.passed++;
    return test_failures == 0;
}

/* A number in text becomes another one. */
static inline size_t fuzz_damage_number(uint8_t *data, size_t size, size_t at, uint64_t *r)
{
    static const char *const numbers[] = {"0", "1", "-1", "2", "3", "8", "255", "65536", "1048577", "2147483648",
                                          "4294967296", "1099511627776", "4611686018427387904", "9223372036854775808",
                                          "18446744073709551615", "18446744073709551616",
                                          "1e3", "1.5", "1e400"};
    const char *fresh = numbers[test_random(r) % (sizeof numbers / sizeof numbers[0])];
    size_t end, n = strlen(fresh);
    while (at < size && (data[at] < '0' || data[at] > '9')) at++;
    for (end = at; end < size && data[end] >= '0' && data[end] <= '9'; end++) {}
    if (end == at || size - (end - at) + n > FUZZ_MOST) return size;
    memmove(data + at + n, data + end, size - end);
    memcpy(data + at, fresh, n);
    return size - (end - at) + n;
}

/* Changes a few places: bits, bytes, numbers, pieces that go, come twice or lie somewhere else. */
static inline size_t fuzz_damage(uint8_t *data, size_t size, uint64_t *r)
{
    static const uint64_t numbers[] = {0, 1, 2, 8, 64, 255, 65536, UINT64_C(1) << 31, UINT64_C(1) << 32, INT64_MAX,
                                       UINT64_MAX - 1, UINT64_MAX};
    uint8_t piece[64];
    for (uint64_t n = 1 + test_random(r) % 4; n > 0 && size > 0; n--) {
        size_t at = (size_t)(test_random(r) % size), left = size - at, to = (size_t)(test_random(r) % size);
        size_t some = 1 + (size_t)(test_random(r) % (left < sizeof piece ? left : sizeof piece));
        uint64_t number = numbers[test_random(r) % (sizeof numbers / sizeof numbers[0])], how = test_random(r) % 9;
        memcpy(piece, data + at, some);
        if (how == 0) data[at] = (uint8_t)test_random(r);
        else if (how == 1) data[at] ^= (uint8_t)(1 << test_random(r) % 8);
        else if (how == 2) data[at] = (uint8_t)(data[at] + test_random(r) % 9 - 4);
        else if (how == 3) for (size_t i = 0; i < 8 && i < left; i++) data[at + i] = (uint8_t)(number >> 8 * i);
        else if (how == 4) memcpy(data + to, piece, some < size - to ? some : size - to);
        else if (how == 5) memmove(data + at, data + at + some, left - some), size -= some;
        else if (how == 6 && size + some <= FUZZ_MOST) memmove(data + at + some, data + at, left), size += some;
        else if (how == 8) size = fuzz_damage_number(data, size, at, r);
        else if (how == 7 && test_random(r) % 4 == 0) size = at;
    }
    return size;
}

static inline void fuzz_seed(const void *data, size_t size)
{
    static uint8_t copy[FUZZ_MOST];
    if (!CHECK(size <= sizeof copy)) return;
    fuzz_state.count++;
    if (fuzz_state.seeds != NULL) {
        fuzz_write_seed(data, size);
        return;
    }
    for (uint64_t round = 0; round < test_rounds(FUZZ_ROUNDS); round++) {
        uint64_t r = fuzz_state.random++ * 7919;
        size_t now = size;
        memcpy(copy, data, size);
        if (round > 0) now = fuzz_damage(copy, size, &r);
        snprintf(fuzz_state.what, sizeof fuzz_state.what, "%.500s/%s-%llu-%llu", rig_directory(), FUZZ_NAME,
                 (unsigned long long)fuzz_state.count, (unsigned long long)round);
        if (!fuzz_count(copy, now)) rig_put(fuzz_state.what, copy, now);
    }
}

static inline void fuzz_path(const char *path)
{
    DIR *list = opendir(path);
    size_t size;
    if (list == NULL) {
        uint8_t *data = rig_slurp(path, &size);
        snprintf(fuzz_state.what, sizeof fuzz_state.what, "%.590s", path);
        if (data == NULL) fuzz_state.failed++, perror(path);
        else fuzz_count(data, size);
        free(data);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char name[600];
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%.300s/%.255s", path, entry->d_name);
        fuzz_path(name);
    }
    closedir(list);
}

int main(int argc, char **argv)
{
    char regressions[] = "tests/data/fuzz/" FUZZ_NAME;
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) fuzz_write_seeds(argv[2]);
    for (int i = 1; i < argc; i++) fuzz_path(argv[i]);
    if (argc == 1 && access(regressions, F_OK) == 0) fuzz_path(regressions);
    if (argc == 1) fuzz_seeds();
    printf("%llu passed, %llu failed\n", (unsigned long long)fuzz_state.passed, (unsigned long long)fuzz_state.failed);
    return fuzz_state.failed > 0;
}
#endif
#endif
