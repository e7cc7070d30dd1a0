/* The index of a shard: its bytes in all layouts, its checksum, and entries that lie. Groups of packed integers. */
#include "test.h"

static const shardio_index_layout layouts[] = {   /* chunks, at_start, big_endian, no_checksum */
    {1, false, false, false, 0, NULL}, {1, true, true, true, 0, NULL},   {2, false, true, false, 0, NULL}, {3, false, false, true, 0, NULL},
    {7, true, false, false, 0, NULL},  {64, false, true, true, 0, NULL}, {64, true, true, false, 0, NULL}, {1000, true, false, true, 0, NULL},
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

/* The encoding as the specification has it, byte by byte. */
static void put_number(uint8_t *at, uint64_t number, bool big)
{
    for (int i = 0; i < 8; i++) at[big ? 7 - i : i] = (uint8_t)(number >> (8 * i));
}

static uint64_t entry_offset(uint64_t chunk) { return test_mix(chunk); }
static uint64_t entry_length(uint64_t chunk) { return test_mix(chunk) >> (chunk % 64); }

TEST(sizes)
{
    static const struct {
        uint64_t chunks;
        bool no_checksum;
        uint64_t size;
    } table[] = {
        {1, false, 20}, {1, true, 16}, {8, false, 132}, {16, false, 260}, {16384, false, 262148}, {16384, true, 262144},
        {UINT64_MAX, false, 0}, {UINT64_MAX / 16 + 1, false, 0}, {UINT64_MAX / 16 + 1, true, 0}, {UINT64_MAX / 8, false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_index_layout layout = {0, false, false, false, 0, NULL};
        layout.chunks = table[i].chunks;
        layout.no_checksum = table[i].no_checksum;
        CHECK_U64(shardio_index_size(&layout), table[i].size);
        layout.at_start = layout.big_endian = true;
        CHECK_U64(shardio_index_size(&layout), table[i].size);
    }
    {
        shardio_index_layout largest = {SIZE_MAX / 16, false, false, false, 0, NULL};   /* still fits, and not one more */
        CHECK_U64(shardio_index_size(&largest), SIZE_MAX / 16 * 16 + 4);
        largest.chunks++;
        CHECK_U64(shardio_index_size(&largest), 0);
    }
}

/* set, seal and get against bytes put together here, at every alignment, with canaries around. */
TEST(bytes_are_those_of_the_specification)
{
    static uint8_t memory[16 * 1000 + 64], expected[16 * 1000 + 4];
    for (size_t i = 0; i < LAYOUTS; i++) {
        const shardio_index_layout *l = &layouts[i];
        size_t size = shardio_index_size(l), n = (size_t)l->chunks;
        for (size_t at = 8; at < 17; at++) {
            uint8_t *index = memory + at;
            memset(memory, 0x55, sizeof memory);
            shardio_index_clear(l, index);
            for (size_t c = 0; c < n; c++) {
                uint64_t offset = 0, length = 0;
                shardio_index_get(l, index, c, &offset, &length);
                CHECK_U64(offset, SHARDIO_MISSING);
                CHECK_U64(length, SHARDIO_MISSING);
                if (c % 3 == 2) {   /* stays missing */
                    put_number(expected + 16 * c, SHARDIO_MISSING, l->big_endian);
                    put_number(expected + 16 * c + 8, SHARDIO_MISSING, l->big_endian);
                    continue;
                }
                put_number(expected + 16 * c, entry_offset(c), l->big_endian);
                put_number(expected + 16 * c + 8, entry_length(c), l->big_endian);
                shardio_index_set(l, index, c, entry_offset(c), entry_length(c));
            }
            for (size_t c = 0; c < n; c++) {
                uint64_t offset = 0, length = 0;
                shardio_index_get(l, index, c, &offset, &length);
                CHECK_U64(offset, c % 3 == 2 ? SHARDIO_MISSING : entry_offset(c));
                CHECK_U64(length, c % 3 == 2 ? SHARDIO_MISSING : entry_length(c));
            }
            shardio_index_seal(l, index);
            CHECK_OK(shardio_index_check(l, index));
            if (!l->no_checksum) {   /* the crc32c codec is little-endian, whatever the entries are */
                uint32_t crc = shardio_crc32c(0, expected, 16 * n);
                for (int b = 0; b < 4; b++) expected[16 * n + (size_t)b] = (uint8_t)(crc >> (8 * b));
            }
            CHECK_BYTES(index, expected, size);
            for (size_t b = 0; b < sizeof memory; b++)
                if ((b < at || b >= at + size) && !CHECK(memory[b] == 0x55)) return;
        }
    }
}

TEST(every_flipped_bit_is_found)
{
    uint8_t index[16 * 7 + 4];
    for (size_t i = 0; i < LAYOUTS; i++) {
        const shardio_index_layout *l = &layouts[i];
        size_t size = shardio_index_size(l);
        if (size > sizeof index) continue;
        shardio_index_clear(l, index);
        shardio_index_set(l, index, 0, 1000, 5000);
        shardio_index_seal(l, index);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            index[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK_STATUS(shardio_index_check(l, index), l->no_checksum ? SHARDIO_OK : SHARDIO_ERR_CHECKSUM);
            index[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        CHECK_OK(shardio_index_check(l, index));
    }
}

/* An index of 10 chunks: 164 bytes; of a file of 10000 bytes, at the end it begins at 9836. */
TEST(entries)
{
    static const uint64_t M = SHARDIO_MISSING;
    static const struct {
        uint64_t offset, length;
        bool at_start;
        uint64_t file_size;
        shardio_status status;
    } table[] = {
        {0, 100, false, 10000, SHARDIO_OK},
        {0, 9836, false, 10000, SHARDIO_OK},                        /* up to the index */
        {0, 9837, false, 10000, SHARDIO_ERR_CORRUPT},               /* one byte into it */
        {9835, 1, false, 10000, SHARDIO_OK},
        {9836, 0, false, 10000, SHARDIO_OK},                        /* an empty chunk before the index */
        {9836, 1, false, 10000, SHARDIO_ERR_CORRUPT},
        {9900, 10, false, 10000, SHARDIO_ERR_CORRUPT},              /* inside it */
        {9999, 1, false, 10000, SHARDIO_ERR_CORRUPT},
        {9999, 2, false, 10000, SHARDIO_ERR_CORRUPT},
        {10000, 1, false, 10000, SHARDIO_ERR_CORRUPT},
        {5000, 5001, false, 10000, SHARDIO_ERR_CORRUPT},
        {0, 10000, false, 10000, SHARDIO_ERR_CORRUPT},              /* around it */
        {UINT64_MAX - 1, 1, false, 10000, SHARDIO_ERR_CORRUPT},
        {UINT64_MAX - 1, 2, false, 10000, SHARDIO_ERR_CORRUPT},     /* the sum is 0 */
        {UINT64_MAX - 99, 200, false, 10000, SHARDIO_ERR_CORRUPT},  /* the sum is 100 */
        {100, UINT64_MAX - 1, false, 10000, SHARDIO_ERR_CORRUPT},
        {100, UINT64_MAX - 99, false, 10000, SHARDIO_ERR_CORRUPT},
        {UINT64_C(1) << 63, UINT64_C(1) << 63, false, 10000, SHARDIO_ERR_CORRUPT},
        {(UINT64_C(1) << 32) + 5, 10, false, 10000, SHARDIO_ERR_CORRUPT},
        {5, (UINT64_C(1) << 32) + 10, false, 10000, SHARDIO_ERR_CORRUPT},
        {UINT64_MAX, UINT64_MAX, false, 10000, SHARDIO_OK},         /* missing */
        {UINT64_MAX, 0, false, 10000, SHARDIO_ERR_CORRUPT},         /* half of it */
        {UINT64_MAX, 10, false, 10000, SHARDIO_ERR_CORRUPT},
        {0, UINT64_MAX, false, 10000, SHARDIO_ERR_CORRUPT},
        {5000, UINT64_MAX, false, 10000, SHARDIO_ERR_CORRUPT},
        {164, 100, true, 10000, SHARDIO_OK},
        {164, 9836, true, 10000, SHARDIO_OK},
        {164, 0, true, 10000, SHARDIO_OK},
        {10000, 0, true, 10000, SHARDIO_OK},
        {10001, 0, true, 10000, SHARDIO_ERR_CORRUPT},
        {163, 100, true, 10000, SHARDIO_ERR_CORRUPT},
        {0, 1, true, 10000, SHARDIO_ERR_CORRUPT},
        {0, 165, true, 10000, SHARDIO_ERR_CORRUPT},
        {9000, 1001, true, 10000, SHARDIO_ERR_CORRUPT},
        {UINT64_MAX - 9, 174, true, 10000, SHARDIO_ERR_CORRUPT},    /* the sum is 164 */
        {UINT64_MAX, UINT64_MAX, true, 164, SHARDIO_OK},
        {(UINT64_C(1) << 40), 10, false, UINT64_C(1) << 41, SHARDIO_OK},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int big = 0; big < 2; big++) {
            shardio_index_layout l = {10, false, false, false, 0, NULL};
            uint64_t offset = 7, length = 7, at;
            const char *reason = NULL;
            uint8_t index[164];
            shardio_status status;
            l.at_start = table[i].at_start;
            l.big_endian = big != 0;
            at = l.at_start ? 0 : table[i].file_size - 164;
            shardio_index_clear(&l, index);
            shardio_index_set(&l, index, 4, table[i].offset, table[i].length);
            status = shardio_index_entry(&l, index, 4, table[i].file_size, at, &offset, &length, &reason);
            CHECK_STATUS(status, table[i].status);
            if (status != table[i].status) fprintf(stderr, "  row %d\n", (int)i);
            if (status != SHARDIO_OK) CHECK(reason != NULL && *reason);
            else if (table[i].length == M) CHECK_U64(length, SHARDIO_MISSING);
            else CHECK_U64(length, table[i].length);
            if (status == SHARDIO_OK && table[i].length != M) CHECK_U64(offset, table[i].offset);
            CHECK_OK(shardio_index_entry(&l, index, 3, table[i].file_size, at, &offset, &length, &reason));
            CHECK_U64(length, SHARDIO_MISSING);
        }
    }
}

/* ---- packed integers --------------------------------------------------------------------------------------------- */

/* Bit i of all bits, counted from the lowest of the first byte. */
static uint32_t bits_at(const uint8_t *bytes, size_t bit, uint32_t width)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < width; i++) value |= (uint32_t)(bytes[(bit + i) / 8] >> (bit + i) % 8 & 1) << i;
    return value;
}

static const size_t for_counts[] = {1, 2, 3, 7, 8, 9, 31, 63, 64, 65, 127, 128, 129, 200, 1000};
enum { FOR_COUNTS = sizeof for_counts / sizeof for_counts[0] };

/* `count` values whose largest distance needs `width` bits (0: all are equal), the smallest where it still fits. */
static void for_values(uint32_t *values, size_t count, uint32_t width, uint64_t seed)
{
    uint32_t most = width == 0 ? 0 : UINT32_MAX >> (32 - width), smallest = (uint32_t)test_random(&seed);
    if (smallest > UINT32_MAX - most) smallest = UINT32_MAX - most;
    for (size_t i = 0; i < count; i++) values[i] = smallest + (most == 0 ? 0 : (uint32_t)(test_random(&seed) & most));
    values[(size_t)(test_random(&seed) % count)] = smallest + most;
    if (count > 1) values[count - 1] = values[count - 1] == smallest + most ? values[count - 1] : smallest;
    if (count > 1 && values[count - 1] != smallest) values[0] = smallest;
}

/* Every width and many counts: the bits are where they have to be, and come back, from memory that ends right behind. */
TEST(packed_integers)
{
    static uint32_t values[1000];
    for (uint32_t round = 0; round < 33 * FOR_COUNTS; round++) {
        uint32_t asked = round % 33, width = asked == 0 ? 1 : asked;
        size_t count = for_counts[round / 33], size = (count * width + 7) / 8, found = 0;
        for_values(values, count, asked, round);
        if (count == 1) width = 1, size = 1;
        shardio_p_for group = shardio_p_for_measure(values, count), open;
        CHECK_U64(group.width, width);
        CHECK_U64(shardio_p_for_residual_bytes(count, width), size);
        uint8_t *packed = (uint8_t *)malloc(7 + size + 5 + 3);   /* something before it, and three bytes that are read */
        if (!CHECK(packed != NULL)) return;
        memset(packed, 0xEE, 7 + size + 5 + 3);
        CHECK_U64(shardio_p_for_pack(packed + 7, &group, values, count), size);
        shardio_p_for_end(packed + 7 + size, &group);
        CHECK_U64(packed[6], 0xEE);
        CHECK_U64(packed[7 + size + 5], 0xEE);
        CHECK_U64(packed[7 + size], width);
        CHECK_U64(shardio_p_load32_little(packed + 7 + size + 1), group.smallest);
        CHECK(shardio_p_for_open(&open, packed, 7 + size + 5, count, &found) == NULL);
        CHECK_U64(found, size + 5);
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            CHECK_U64(bits_at(packed + 7, i * width, width), values[i] - group.smallest);
            CHECK_U64(shardio_p_for_value(&open, i), values[i]);
            CHECK_U64(shardio_p_for_sum(&open, 0, i), sum);
            sum += values[i];
        }
        CHECK_U64(shardio_p_for_sum(&open, 0, count), sum);
        /* filled up with zeros */
        if (count * width % 8 != 0) CHECK_U64(packed[7 + size - 1] >> count * width % 8, 0);
        free(packed);
        if (test_failures > 5) return;
    }
}

/* 64 values fill whole bytes whatever their width, so a long group can be packed piece by piece. */
TEST(packed_integers_in_pieces)
{
    static uint32_t values[1000];
    static uint8_t whole[4001], pieces[4001];
    for (uint32_t width = 1; width <= 32; width++) {
        for_values(values, 1000, width, width);
        shardio_p_for group = shardio_p_for_measure(values, 1000);
        size_t size = shardio_p_for_pack(whole, &group, values, 1000), at = 0;
        for (size_t i = 0; i < 1000; i += 64)
            at += shardio_p_for_pack(pieces + at, &group, values + i, 1000 - i < 64 ? 1000 - i : 64);
        CHECK_U64(at, size);
        CHECK_BYTES(pieces, whole, size);
    }
}

/* Every end of a group that lies about what is before it is refused. */
TEST(packed_integers_cut_short)
{
    for (size_t end = 0; end < 40; end++) {
        for (uint32_t width = 0; width < 256; width++) {
            uint8_t *packed = (uint8_t *)calloc(end + 3, 1);
            if (!CHECK(packed != NULL)) return;
            if (end >= 5) packed[end - 5] = (uint8_t)width;
            for (uint64_t count = 0; count < 300; count += count < 20 ? 1 : 13) {
                shardio_p_for group;
                size_t size = 0;
                bool fits = end >= 5 && width >= 1 && width <= 32 && count * width <= 8 * (end - 5);
                const char *wrong = shardio_p_for_open(&group, packed, end, count, &size);
                CHECK((wrong == NULL) == fits);
                if (fits) CHECK(size <= end && group.residuals == packed + end - size && group.width == width);
                if (fits) CHECK_U64(shardio_p_for_sum(&group, 0, count), 0);
            }
            if (end >= 5 && width > 1 && width <= 32) {   /* a number of values whose bits overflow */
                shardio_p_for group;
                size_t size;
                CHECK(shardio_p_for_open(&group, packed, end, UINT64_MAX / width + 1, &size) != NULL);
                CHECK(shardio_p_for_open(&group, packed, end, UINT64_MAX, &size) != NULL);
            }
            free(packed);
        }
    }
}

/* Smallest and distance may add up to more than 32 bits in a damaged file: the sum is exact, so that it shows. */
TEST(packed_integers_that_add_up_to_more)
{
    static const uint8_t packed[8 + 5 + 3] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 32, 0xFF, 0xFF, 0xFF,
                                              0xFF, 0, 0, 0};
    shardio_p_for group;
    size_t size;
    CHECK(shardio_p_for_open(&group, packed, 13, 2, &size) == NULL);
    CHECK_U64(shardio_p_for_value(&group, 1), 2 * (uint64_t)UINT32_MAX);
    CHECK_U64(shardio_p_for_sum(&group, 0, 2), 4 * (uint64_t)UINT32_MAX);
}

TEST_MAIN(TEST_CASE(sizes)
          TEST_CASE(bytes_are_those_of_the_specification)
          TEST_CASE(every_flipped_bit_is_found)
          TEST_CASE(entries)
          TEST_CASE(packed_integers)
          TEST_CASE(packed_integers_in_pieces)
          TEST_CASE(packed_integers_cut_short)
          TEST_CASE(packed_integers_that_add_up_to_more))
