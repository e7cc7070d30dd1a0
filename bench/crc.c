/* How fast shardio_crc32c is beside what the instruction can do: three interleaved streams of it, never combined into
   one checksum, so nobody who computes a CRC32C with that instruction alone is faster. And shardio_crc32 beside both, and
   beside zlib's where the library is there. Prints CSV, one line per size and round:

       bench_crc [--rounds N] [--time SECONDS] [--large BYTES]

   GB/s of CPU time. `share` is shardio_crc32c over the limit of the same round. 0: not there. */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
#include "bench.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HAVE_LIMIT 1
#define CRC_TARGET __attribute__((target("sse4.2")))
#define CRC_STEP(crc, word) _mm_crc32_u64(crc, word)
typedef unsigned long long crc_word;
#elif defined(__aarch64__) && defined(__GNUC__)
#define HAVE_LIMIT 1
#define CRC_TARGET __attribute__((target("+crc")))
#define CRC_STEP(crc, word) __builtin_aarch64_crc32cx((uint32_t)(crc), word)
typedef uint64_t crc_word;
#else
#define HAVE_LIMIT 0
#endif

#if HAVE_LIMIT
static crc_word load_word(const uint8_t *p)
{
    crc_word word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* The streams lie side by side, a third of the memory each, as an implementation that combines them has them.
   Unrolled, because otherwise the loop counter and not the instruction is what limits. */
CRC_TARGET static uint32_t limit(uint32_t seed, const uint8_t *data, size_t size)
{
    size_t third = size / 3 & ~(size_t)31;
    const uint8_t *a = data, *b = data + third, *c = data + 2 * third, *end = a + third;
    crc_word x = seed, y = 0, z = 0;
    for (; a != end; a += 32, b += 32, c += 32) {
        x = CRC_STEP(x, load_word(a));
        y = CRC_STEP(y, load_word(b));
        z = CRC_STEP(z, load_word(c));
        x = CRC_STEP(x, load_word(a + 8));
        y = CRC_STEP(y, load_word(b + 8));
        z = CRC_STEP(z, load_word(c + 8));
        x = CRC_STEP(x, load_word(a + 16));
        y = CRC_STEP(y, load_word(b + 16));
        z = CRC_STEP(z, load_word(c + 16));
        x = CRC_STEP(x, load_word(a + 24));
        y = CRC_STEP(y, load_word(b + 24));
        z = CRC_STEP(z, load_word(c + 24));
    }
    for (a = c; a + 8 <= data + size; a += 8) x = CRC_STEP(x, load_word(a));
    return (uint32_t)(x ^ y ^ z);
}
#endif

typedef uint32_t (*checksum_function)(uint32_t crc, const void *data, size_t size);

#if SHARDIO_WITH_ZLIB
static uint32_t zlib_checksum(uint32_t crc, const void *data, size_t size)
{
    return (uint32_t)crc32_z(crc, (const unsigned char *)data, size);
}
#endif

#if HAVE_LIMIT
static uint32_t limit_checksum(uint32_t crc, const void *data, size_t size)
{
    return limit(crc, (const uint8_t *)data, size);
}
#endif

/* Seconds of CPU time and bytes of one contender so far. */
typedef struct score {
    double seconds, bytes;
} score;

/* Goes on for at least `seconds`. Each checksum begins with the one before, so none can be left out. */
static void work(score *s, checksum_function function, const uint8_t *data, size_t size, double seconds)
{
    static volatile uint32_t keep;
    uint32_t crc = keep;
    size_t step = size < (1u << 20) ? (1u << 20) / size + 1 : 1;
    double begin = bench_cpu_now(), now = begin;
    while (now - begin < seconds) {
        for (size_t i = 0; i < step; i++) crc = function(crc, data, size);
        s->bytes += (double)step * (double)size;
        now = bench_cpu_now();
    }
    s->seconds += now - begin;
    keep = crc;
}

static double speed(const score *s)
{
    return s->seconds > 0 ? s->bytes / s->seconds / 1e9 : 0;
}

/* They take turns ten times: the CPU's clock rate and neighbours change within a round as well. */
static void one_line(unsigned round, const uint8_t *data, size_t size, double seconds)
{
    score ours = {0, 0}, most = {0, 0}, zip = {0, 0}, zlib = {0, 0};
    for (int turn = 0; turn < 10; turn++) {
        work(&ours, shardio_crc32c, data, size, seconds / 10);
        work(&zip, shardio_crc32, data, size, seconds / 10);
#if HAVE_LIMIT
        work(&most, limit_checksum, data, size, seconds / 10);
#endif
#if SHARDIO_WITH_ZLIB
        work(&zlib, zlib_checksum, data, size, seconds / 10);
#endif
    }
    printf("%u,%zu,%s,%.3f,%.3f,%.4f,%s,%.3f,%.3f,%s,\"%s\"\n", round, size, shardio_crc32c_kind(), speed(&most),
           speed(&ours), most.seconds > 0 ? speed(&ours) / speed(&most) : 0, shardio_crc32_kind(), speed(&zip),
           speed(&zlib), SHARDIO_VERSION_STRING, BENCH_COMPILER);
}

int main(int argc, char **argv)
{
    unsigned rounds = 5;
    double seconds = 0.2;
    size_t large = (size_t)256 << 20;
    const size_t sizes[] = {260, 4096, 16 << 10, 32 << 10, 64 << 10};
    uint8_t *data;
    for (int i = 1; i < argc; i += 2) {
        const char *value = bench_value(argv + i);
        if (strcmp(argv[i], "--rounds") == 0) rounds = (unsigned)bench_parse_bytes(value);
        else if (strcmp(argv[i], "--time") == 0) seconds = strtod(value, NULL);
        else if (strcmp(argv[i], "--large") == 0) large = (size_t)bench_parse_bytes(value);
        else bench_die("unknown option %s", argv[i]);
    }
    data = bench_input(large, 1);
    printf("round,bytes,kind,limit_gb_s,shardio_gb_s,share,crc32_kind,crc32_gb_s,zlib_gb_s,version,compiler\n");
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) one_line(round, data, sizes[i], seconds);
        one_line(round, data, large, seconds);
    }
    free(data);
    return 0;
}
