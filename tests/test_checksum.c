/* CRC32C and CRC-32: known answers, and every way of computing them against a bitwise one. SHA-256: known answers. */
#include "test.h"

/* One bit at a time, as RFC 3720 and RFC 1952 define them. */
static uint32_t bitwise(uint32_t polynomial, uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (polynomial & (0u - (crc & 1)));
    }
    return ~crc;
}

enum { CRC32C, CRC32 };
static const uint32_t polynomials[] = {UINT32_C(0x82F63B78), UINT32_C(0xEDB88320)};

static uint32_t reference(uint32_t crc, const uint8_t *data, size_t size)
{
    return bitwise(polynomials[CRC32C], crc, data, size);
}

static uint32_t crc32c_by_tables(uint32_t crc, const void *data, size_t size)
{
    return ~shardio_p_crc32c_tables(~crc, (const uint8_t *)data, size);
}

static uint32_t crc32c_by_hardware(uint32_t crc, const void *data, size_t size)
{
    return ~shardio_p_crc32c_hardware(~crc, (const uint8_t *)data, size);
}

static uint32_t crc32_by_tables(uint32_t crc, const void *data, size_t size)
{
    return ~shardio_p_crc32_tables(~crc, (const uint8_t *)data, size);
}

static uint32_t crc32_by_hardware(uint32_t crc, const void *data, size_t size)
{
    return ~shardio_p_crc32_hardware(~crc, (const uint8_t *)data, size);
}

static uint32_t crc32_wide(uint32_t crc, const void *data, size_t size)   /* which begins with 128 bytes */
{
    if (size < 128) return crc32_by_hardware(crc, data, size);
    return ~shardio_p_crc32_wide(~crc, (const uint8_t *)data, size);
}

typedef struct crc_path {
    uint32_t (*crc)(uint32_t crc, const void *data, size_t size);
    const char *name;
    int which;   /* CRC32C or CRC32 */
} crc_path;

static const crc_path all_paths[] = {
    {shardio_crc32c, "shardio_crc32c", CRC32C}, {shardio_crc32, "shardio_crc32", CRC32},
    {crc32c_by_tables, "crc32c, tables", CRC32C}, {crc32_by_tables, "crc32, tables", CRC32},
    {crc32c_by_hardware, "crc32c, instructions", CRC32C}, {crc32_by_hardware, "crc32, instructions", CRC32},
    {crc32_wide, "crc32, wide", CRC32},
};

/* How many of the paths this CPU has. */
static size_t count_paths(void)
{
    if (shardio_p_crc_hardware() == NULL) return 4;
    return shardio_p_crc32_is_wide() ? 7 : 6;
}

TEST(known_answers)
{
    /* RFC 3720 B.4, the check values of the catalogue of CRC algorithms, and some single bytes; CRC-32 as zlib has it */
    static uint8_t zeros[32], ones[32], up[32], down[32];
    static const uint8_t scsi[48] = {0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
                                     0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0};
    const struct {
        const void *data;
        size_t size;
        uint32_t crc[2];
    } table[] = {
        {"", 0, {0, 0}}, {zeros, 32, {0x8A9136AA, 0x190A55AD}}, {ones, 32, {0x62A8AB43, 0xFF6CAB0B}},
        {up, 32, {0x46DD794E, 0x91267E8A}}, {down, 32, {0x113FDB5C, 0x9AB0EF72}},
        {scsi, 48, {0xD9963A56, 0x51E17412}}, {"123456789", 9, {0xE3069283, 0xCBF43926}},
        {"a", 1, {0xC1D04330, 0xE8B7BE43}}, {zeros, 1, {0x527D5351, 0xD202EF8D}},
        {"The quick brown fox jumps over the lazy dog", 43, {0x22620404, 0x414FA339}},
    };
    for (int i = 0; i < 32; i++) {
        ones[i] = 0xFF;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const uint8_t *data = (const uint8_t *)table[i].data;
        for (int which = 0; which < 2; which++)
            CHECK_U64(bitwise(polynomials[which], 0, data, table[i].size), table[i].crc[which]);
        for (const crc_path *p = all_paths; p < all_paths + count_paths(); p++)
            CHECK_U64(p->crc(0, data, table[i].size), table[i].crc[p->which]);
    }
}

/* The bitwise sums of all prefixes of a text, so that the test takes n and not n squared steps of the reference. */
static void all_lengths(const crc_path *path, const uint8_t *data, size_t limit, uint32_t seed)
{
    uint32_t expected = seed;
    for (size_t n = 0; n <= limit; n++) {
        if (n > 0) expected = bitwise(polynomials[path->which], expected, data + n - 1, 1);
        if (path->crc(seed, data, n) == expected) continue;
        CHECK_U64(path->crc(seed, data, n), expected);
        fprintf(stderr, "  %s: %llu bytes at address %% 64 = %llu\n", path->name, (unsigned long long)n,
                (unsigned long long)((uintptr_t)data % 64));
        return;
    }
}

static uint8_t text[3 << 20];

static void fill_text(void)
{
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)test_random(&seed);
}

TEST(all_lengths_at_all_alignments)
{
    fill_text();
    for (const crc_path *p = all_paths; p < all_paths + count_paths(); p++)
        for (size_t at = 0; at <= 16; at++)
            all_lengths(p, text + at, 600, at % 2 ? 0 : UINT32_C(0xDEADBEEF) * (uint32_t)at);
}

/* Lengths around the block sizes that fast implementations like. */
TEST(large_lengths)
{
    uint64_t seed = 2;
    fill_text();
    for (int i = 0; i < 60; i++) {
        size_t at = (size_t)(test_random(&seed) % 65), size = 0;
        uint32_t start = (uint32_t)test_random(&seed), expected[2];
        if (i < 40) size = ((size_t)1 << (9 + i / 4)) * (i % 2 ? 3 : 1) + (size_t)(test_random(&seed) % 48) - 24;
        else size = (size_t)(test_random(&seed) % 100000);
        if (size + at > sizeof text) size = sizeof text - at;
        for (int which = 0; which < 2; which++) expected[which] = bitwise(polynomials[which], start, text + at, size);
        for (const crc_path *p = all_paths; p < all_paths + count_paths(); p++)
            CHECK_U64(p->crc(start, text + at, size), expected[p->which]);
    }
}

TEST(in_pieces)
{
    uint64_t seed = 3;
    fill_text();
    for (int round = 0; round < 140; round++) {
        const crc_path *path = all_paths + (size_t)round % count_paths();
        size_t size = (size_t)(test_random(&seed) % 20000);
        uint32_t whole = bitwise(polynomials[path->which], 0, text, size), pieces = 0;
        for (size_t at = 0; at < size;) {
            size_t n = (size_t)(test_random(&seed) % (round / 7 % 2 ? 40 : 9000));
            if (n > size - at) n = size - at;
            pieces = path->crc(pieces, text + at, n);
            at += n;
        }
        CHECK_U64(pieces, whole);
    }
}

/* All ways to cut a text in two. */
TEST(every_split)
{
    enum { SIZE = 1100 };
    fill_text();
    for (const crc_path *p = all_paths; p < all_paths + count_paths(); p++) {
        uint32_t whole = bitwise(polynomials[p->which], 0, text, SIZE);
        for (size_t at = 0; at <= SIZE; at++) CHECK_U64(p->crc(p->crc(0, text, at), text + at, SIZE - at), whole);
    }
}

/* x^n mod P. */
static uint32_t power_of_x(uint32_t polynomial, size_t n)
{
    uint32_t power = shardio_p_crc_power(polynomial, n / 8);
    for (size_t i = 0; i < n % 8; i++) power = shardio_p_crc_multiply(polynomial, power, 0x40000000u);
    return power;
}

/* What was computed beforehand is what the comments beside it say. */
TEST(constants)
{
    CHECK_U64(power_of_x(SHARDIO_P_CRC32, 32), SHARDIO_P_CRC32);   /* P without its x^32 */
    CHECK_U64(power_of_x(SHARDIO_P_CRC32C, 32), SHARDIO_P_CRC32C);
#if SHARDIO_P_CRC_HARDWARE && defined(__aarch64__)
    for (size_t i = 0; i < SHARDIO_P_CRC_STREAMS; i++) {
        const shardio_p_crc_stream *a = shardio_p_crc_streams + i, *b = shardio_p_crc32_streams + i;
        CHECK_U64(a->constant, power_of_x(SHARDIO_P_CRC32C, (size_t)8 * a->length));
        CHECK_U64(b->constant, power_of_x(SHARDIO_P_CRC32, (size_t)8 * b->length));
    }
#elif SHARDIO_P_CRC_HARDWARE
    for (size_t i = 0; i < SHARDIO_P_CRC_STREAMS; i++) {
        const shardio_p_crc_stream *a = shardio_p_crc_streams + i;
        CHECK_U64(a->constant, power_of_x(SHARDIO_P_CRC32C, (size_t)8 * a->length - 33));
    }
    for (int half = 0; half < 2; half++) {
        const size_t more = half == 0 ? 64 : 0;
        CHECK_U64(shardio_p_crc32_over16[half], power_of_x(SHARDIO_P_CRC32, 128 - 33 + more));
        CHECK_U64(shardio_p_crc32_over64[half], power_of_x(SHARDIO_P_CRC32, 512 - 33 + more));
#if SHARDIO_P_CRC32_WIDE
        CHECK_U64(shardio_p_crc32_over128[half], power_of_x(SHARDIO_P_CRC32, 1024 - 33 + more));
#endif
    }
#endif
}

TEST(nothing_is_nothing)
{
    CHECK_U64(shardio_crc32(0, NULL, 0), 0);
    CHECK_U64(shardio_crc32(0x12345678, NULL, 0), 0x12345678);
    CHECK_U64(shardio_crc32c(0, NULL, 0), 0);
    CHECK_U64(shardio_crc32c(0x12345678, NULL, 0), 0x12345678);
}

/* Reads nothing outside its range: the sanitizers look, on memory that ends exactly there. */
TEST(reads_only_its_bytes)
{
    for (size_t size = 1; size < 800; size += 7) {
        uint8_t *exact = (uint8_t *)malloc(size);
        if (!CHECK(exact != NULL)) return;
        memset(exact, (int)size, size);
        for (const crc_path *p = all_paths; p < all_paths + count_paths(); p++) {
            uint32_t polynomial = polynomials[p->which];
            const uint8_t *middle = exact + size / 2;
            CHECK_U64(p->crc(0, exact, size), bitwise(polynomial, 0, exact, size));
            CHECK_U64(p->crc(0, middle, size - size / 2), bitwise(polynomial, 0, middle, size - size / 2));
        }
        free(exact);
    }
}

/* ---- windows that move ------------------------------------------------------------------------------------------- */

enum { MOST_FOUND = 5000 };

typedef struct found_list {
    size_t at[MOST_FOUND], count, stop_after;
} found_list;

static shardio_status take_found(void *context, size_t at)
{
    found_list *list = (found_list *)context;
    if (CHECK(list->count < MOST_FOUND)) list->at[list->count++] = at;
    return list->count == list->stop_after ? SHARDIO_ERR_CANCELLED : SHARDIO_OK;
}

/* Seeded bytes in which many windows of this length end with their CRC: about one in `every` bytes. */
static void plant_windows(uint8_t *data, size_t size, size_t window, uint64_t every, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)test_random(&seed);
    for (size_t at = 0; at + window <= size; at += 4 + (size_t)(test_random(&seed) % every))
        shardio_p_store32_little(data + at + window - 4, reference(0, data + at, window - 4));
}

static void compare_found(const found_list *list, const uint8_t *data, size_t from, size_t to, size_t window)
{
    size_t next = 0;
    for (size_t at = from; at <= to; at++) {
        uint32_t crc = reference(0, data + at, window - 4);
        if (shardio_p_load32_little(data + at + window - 4) != crc) continue;
        if (CHECK(next < list->count)) CHECK_U64(list->at[next], at - from + 1);
        next++;
    }
    CHECK_U64(next, list->count);
}

/* All windows of random and of planted data, in pieces of all sizes: those found are those that end with their CRC. */
TEST(windows_are_found)
{
    static found_list list;
    uint64_t seed = 9, all = 0;
    for (size_t round = 0; round < 150; round++) {
        size_t length = round < 40 ? 4 + round : 4 + (size_t)(test_random(&seed) % 300);
        size_t size = length + (size_t)(test_random(&seed) % 1500), at = 0;
        uint8_t *data = (uint8_t *)malloc(size);
        shardio_p_crc_window window;
        uint32_t difference;
        if (!CHECK(data != NULL)) return;
        plant_windows(data, size, length, round % 3 == 0 ? 1 : round % 3 == 1 ? 60 : 700, round);
        shardio_p_crc_window_begin(&window, length);
        while (at + length < size) {
            size_t steps = size - length - at;
            if (round % 2 == 1 && steps > 3) steps = 1 + (size_t)(test_random(&seed) % steps);
            memset(&list, 0, sizeof list);
            difference = shardio_p_crc_window_difference(&window, data + at);
            CHECK_OK(shardio_p_crc_window_search(&window, &difference, data + at, steps, take_found, &list));
            CHECK_U64(difference, shardio_p_crc_window_difference(&window, data + at + steps));
            compare_found(&list, data, at + 1, at + steps, length);
            for (size_t i = 0; i < list.count; i++) CHECK(list.at[i] > 0 && list.at[i] <= steps);
            all += list.count;
            at += steps;
        }
        free(data);
    }
    CHECK(all > 5000);
}

/* One move after the other, by tables and by instructions: the difference is that of the window, at each place. */
TEST(windows_move_one_byte_at_a_time)
{
    static const size_t lengths[] = {4, 5, 20, 36, 1028, 4100, 65540, 262148};
    fill_text();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t places = lengths[i] < 5000 ? 3000 : 60;
        shardio_p_crc_window window;
        uint32_t a, b;
        shardio_p_crc_window_begin(&window, lengths[i]);
        a = b = shardio_p_crc_window_difference(&window, text + 77);
        for (size_t at = 78; at < 78 + places; at++) {
            uint32_t expected = shardio_p_crc_window_difference(&window, text + at);
            CHECK_U64(shardio_p_crc_move_tables(&window, &a, text + at - 1, 1), 1);
            CHECK_U64(a, expected);
            if (shardio_p_crc_hardware() == NULL) continue;
            CHECK_U64(shardio_p_crc_move_hardware(&window, &b, text + at - 1, 1), 1);
            CHECK_U64(b, expected);
        }
    }
}

/* Three at once, far apart, as a search of a large piece does it: few are found, at the seams as well. */
TEST(windows_in_large_pieces)
{
    static found_list list;
    static const size_t places[] = {1, 2, 99999, 100000, 100001, 150000, 150021, 199999, 200000, 200001, 299999, 300000,
                                    300001, 300002};
    enum { LENGTH = 20, STEPS = 300002, COUNT = sizeof places / sizeof places[0] };
    for (size_t first = 0; first < COUNT; first++) {
        shardio_p_crc_window window;
        uint32_t difference;
        fill_text();
        for (size_t i = first; i < COUNT; i += 5)   /* further apart than they are long */
            shardio_p_store32_little(text + places[i] + LENGTH - 4, reference(0, text + places[i], LENGTH - 4));
        memset(&list, 0, sizeof list);
        shardio_p_crc_window_begin(&window, LENGTH);
        difference = shardio_p_crc_window_difference(&window, text);
        CHECK_OK(shardio_p_crc_window_search(&window, &difference, text, STEPS, take_found, &list));
        CHECK_U64(difference, shardio_p_crc_window_difference(&window, text + STEPS));
        CHECK_U64(list.count, (COUNT - first + 4) / 5);
        for (size_t i = 0; i < list.count; i++) CHECK_U64(list.at[i], places[first + 5 * i]);
        for (size_t stop = 1; stop <= list.count; stop++) {   /* who is told may say stop */
            static found_list part;
            memset(&part, 0, sizeof part);
            part.stop_after = stop;
            difference = shardio_p_crc_window_difference(&window, text);
            shardio_status status = shardio_p_crc_window_search(&window, &difference, text, STEPS, take_found, &part);
            CHECK_STATUS(status, SHARDIO_ERR_CANCELLED);
            CHECK_U64(part.count, stop);
        }
    }
}

/* Zeros are no window that ends with its CRC, but for lengths that no file has: 2^31 - 1 bytes, and multiples. */
TEST(windows_of_zeros)
{
    enum { ZEROS = 100000 };
    static found_list list;
    uint8_t *zeros = (uint8_t *)calloc(ZEROS, 1);
    if (!CHECK(zeros != NULL)) return;
    for (size_t chunks = 1; chunks < 200; chunks++) {
        shardio_p_crc_window window;
        uint32_t difference;
        shardio_p_crc_window_begin(&window, 16 * chunks + 4);
        difference = shardio_p_crc_window_difference(&window, zeros);
        CHECK(difference != 0);
        memset(&list, 0, sizeof list);
        CHECK_OK(shardio_p_crc_window_search(&window, &difference, zeros, ZEROS - window.length, take_found, &list));
        CHECK_U64(list.count, 0);
    }
    CHECK_U64(shardio_p_crc_power(SHARDIO_P_CRC32C, 0x7FFFFFFF), shardio_p_crc_power(SHARDIO_P_CRC32C, 0));
    free(zeros);
}

TEST(the_kind_is_known)
{
    static const char *const kinds[][2] = {{"sse4.2+pclmul", "vpclmul"}, {"sse4.2+pclmul", "pclmul"},
                                           {"armv8", "armv8"}, {"tables", "tables"}};
    size_t found = 0;
    for (size_t i = 0; i < 4; i++)
        found += strcmp(shardio_crc32c_kind(), kinds[i][0]) == 0 && strcmp(shardio_crc32_kind(), kinds[i][1]) == 0;
    CHECK_U64(found, 1);
#ifdef SHARDIO_NO_HARDWARE
    CHECK_TEXT(shardio_crc32c_kind(), "tables");
    CHECK_TEXT(shardio_crc32_kind(), "tables");
#endif
}

/* ---- SHA-256 ----------------------------------------------------------------------------------------------------- */

static const char *sha256_text(const uint8_t *digest)
{
    static char hex[65];
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

/* With the CPU's instructions where they are there, or without. */
static void sha256_begin(shardio_sha256 *hash, bool plain)
{
    shardio_sha256_begin(hash);
    if (plain) hash->hardware = false;
}

/* FIPS 180-4 has the first ones with their digests; the others are common test vectors. */
TEST(sha256_known_answers)
{
    static const struct {
        const char *text;
        int times;
        const char *digest;
    } table[] = {
        {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu", 1,
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
        {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    for (int plain = 0; plain < 2; plain++) {
        shardio_sha256 hash;
        uint8_t digest[32];
        sha256_begin(&hash, plain != 0);
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {   /* the end of one begins the next */
            for (int n = 0; n < table[i].times; n++) shardio_sha256_add(&hash, table[i].text, strlen(table[i].text));
            CHECK_U64(hash.size, (uint64_t)table[i].times * strlen(table[i].text));
            shardio_sha256_end(&hash, digest);
            CHECK_TEXT(sha256_text(digest), table[i].digest);
        }
    }
}

/* All lengths around the blocks of 64: the digest of the digests of the first 0, 1, ... 700 bytes of the text. */
TEST(sha256_lengths)
{
    fill_text();
    for (int round = 0; round < 6; round++) {
        shardio_sha256 hash, all;
        uint8_t digest[32];
        uint64_t seed = (uint64_t)round;
        sha256_begin(&hash, round % 2 != 0);
        shardio_sha256_begin(&all);
        for (size_t size = 0; size <= 700; size++) {
            for (size_t at = 0, n; at < size; at += n) {   /* in one piece, or in many */
                n = round < 2 ? size : 1 + (size_t)(test_random(&seed) % (round < 4 ? 10 : 150));
                if (n > size - at) n = size - at;
                shardio_sha256_add(&hash, text + at, n);
                if (round == 5) shardio_sha256_add(&hash, NULL, 0);
            }
            shardio_sha256_end(&hash, digest);
            shardio_sha256_add(&all, digest, 32);
        }
        shardio_sha256_end(&all, digest);
        CHECK_TEXT(sha256_text(digest), "25cc79516cf14e6b86b6433f617902cc9a68c6ed3f6974dac6b5355ba9675de8");
    }
}

TEST(sha256_large)
{
    fill_text();
    for (int round = 0; round < 4; round++) {
        shardio_sha256 hash;
        uint8_t digest[32];
        uint64_t seed = (uint64_t)round;
        sha256_begin(&hash, round % 2 != 0);
        for (size_t at = 0, n; at < sizeof text; at += n) {
            n = round < 2 ? sizeof text : (size_t)(test_random(&seed) % 100000);
            if (n > sizeof text - at) n = sizeof text - at;
            shardio_sha256_add(&hash, text + at, n);
        }
        shardio_sha256_end(&hash, digest);
        CHECK_TEXT(sha256_text(digest), "99664d5162d19fef2f1cef1e84a27fe94b6cedd4d3c88c08790082e05597e1bc");
    }
}

/* Memory that ends exactly where the data does, at all alignments. */
TEST(sha256_reads_only_its_bytes)
{
    for (size_t size = 1; size < 300; size += 3) {
        uint8_t *exact = (uint8_t *)malloc(size), one[32], other[32];
        shardio_sha256 a, b;
        if (!CHECK(exact != NULL)) return;
        memset(exact, (int)size, size);
        sha256_begin(&a, false);
        sha256_begin(&b, true);
        shardio_sha256_add(&a, exact, size);
        shardio_sha256_add(&b, exact, size / 3);
        shardio_sha256_add(&b, exact + size / 3, size - size / 3);
        shardio_sha256_end(&a, one);
        shardio_sha256_end(&b, other);
        CHECK_BYTES(one, other, 32);
        free(exact);
    }
}

TEST(sha256_kind_is_known)
{
    shardio_sha256 hash;
    shardio_sha256_begin(&hash);
    CHECK_TEXT(shardio_sha256_kind(), hash.hardware ? "sha" : "plain");
#ifdef SHARDIO_NO_HARDWARE
    CHECK_TEXT(shardio_sha256_kind(), "plain");
#endif
}

TEST_MAIN(TEST_CASE(known_answers)
          TEST_CASE(all_lengths_at_all_alignments)
          TEST_CASE(large_lengths)
          TEST_CASE(in_pieces)
          TEST_CASE(every_split)
          TEST_CASE(constants)
          TEST_CASE(nothing_is_nothing)
          TEST_CASE(reads_only_its_bytes)
          TEST_CASE(windows_are_found)
          TEST_CASE(windows_move_one_byte_at_a_time)
          TEST_CASE(windows_in_large_pieces)
          TEST_CASE(windows_of_zeros)
          TEST_CASE(the_kind_is_known)
          TEST_CASE(sha256_known_answers)
          TEST_CASE(sha256_lengths)
          TEST_CASE(sha256_large)
          TEST_CASE(sha256_reads_only_its_bytes)
          TEST_CASE(sha256_kind_is_known))
