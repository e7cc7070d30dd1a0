/* The json section: what is a JSON text and what is not, numbers to the last bit, strings, walking, writing. */
#include "test.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <time.h>

/* Parses a copy of exactly `size` bytes, so that a read beyond shows. */
static shardio_status parse(const char *text, size_t size, shardio_error *error)
{
    char *copy = (char *)malloc(size ? size : 1);
    shardio_json value;
    memcpy(copy, text, size);
    shardio_status s = shardio_json_parse(copy, size, &value, error);
    if (s == SHARDIO_OK) {
        CHECK(value.text >= copy && value.text + value.size <= copy + size);
        CHECK(shardio_json_kind(value) != 0);
    }
    free(copy);
    return s;
}

static shardio_json value_of(const char *text)
{
    shardio_json value = {NULL, 0};
    shardio_status s = shardio_json_parse(text, strlen(text), &value, NULL);
    if (s != SHARDIO_OK) { CHECK_OK(s); fprintf(stderr, "    in %.200s\n", text); }
    return value;
}

static const char real_document[] =
    "{\n  \"zarr_format\": 3,\n  \"node_type\": \"array\",\n  \"shape\": [100, 512, 512],\n"
    "  \"data_type\": \"uint16\",\n  \"chunk_grid\": {\"name\": \"regular\", \"configuration\": {\"chunk_shape\": [64, 512, 512]}},\n"
    "  \"chunk_key_encoding\": {\"name\": \"default\", \"configuration\": {\"separator\": \"/\"}},\n"
    "  \"fill_value\": -1.5e-3,\n  \"codecs\": [{\"name\": \"sharding_indexed\", \"configuration\": {\"chunk_shape\": [8, 256, 256],\n"
    "    \"codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}], \"index_location\": \"end\",\n"
    "    \"index_codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}, {\"name\": \"crc32c\"}]}}],\n"
    "  \"attributes\": {\"unit\": \"\\u00b5m\", \"on\": true, \"off\": false, \"none\": null, \"caf\xc3\xa9\": []},\n"
    "  \"dimension_names\": [\"t\", \"y\", null]\n}";

TEST(valid)
{
    static const struct { const char *text; char kind; } table[] = {
        {"{}", '{'}, {"[]", '['}, {"\"\"", '"'}, {"0", '0'}, {"-0", '0'}, {"-0.0", '0'}, {"12", '0'}, {"1e5", '0'}, {"1E+5", '0'},
        {"1.25e-05", '0'}, {"-9", '0'}, {"true", 't'}, {"false", 'f'}, {"null", 'n'}, {" \t\r\n1 \t\r\n", '0'},
        {"[[],{},[{}]]", '['}, {"[1,2 , 3]", '['}, {"{\"\":0}", '{'}, {"{\"a\":{\"a\":{\"a\":1}}}", '{'},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83D\\uDE00\"", '"'}, {"\"\x7f\"", '"'}, {"\"\\u0000\"", '"'},
        {"\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"", '"'},
        {"1e400", '0'}, {"123456789012345678901234567890", '0'}, {"{\"a\":1,\"A\":2,\"a \":3}", '{'},
        {"[{\"a\":1},{\"a\":1}]", '['}, {"{\"a\":[],\"b\":\"a\",\"c\":{\"a\":0,\"b\":0}}", '{'},
        {"{\"a\":1,\"a\":2}", '{'},     /* RFC 8259 leaves it to the reader; zarr refuses it where it matters */
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_json value;
        CHECK_OK(parse(table[i].text, strlen(table[i].text), NULL));
        CHECK_OK(shardio_json_parse(table[i].text, strlen(table[i].text), &value, NULL));
        CHECK_U64(shardio_json_kind(value), table[i].kind);
    }
    CHECK_OK(parse(real_document, strlen(real_document), NULL));
}

TEST(invalid)
{
    static const char *const table[] = {
        "", " ", "{", "}", "[", "]", "[}", "{]", "[1,]", "[,1]", "[1 2]", "[1,,2]", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
        "{\"a\" 1}", "{1:2}", "{a:1}", "{'a':1}", "'a'", "01", "-01", "00", "1.", ".5", "+1", "-", "--1", "1e", "1e+", "1.e5",
        "1.5.5", "0x10", "1e5.5", "NaN", "Infinity", "-Infinity", "nan", "tru", "truee", "True", "nul", "nullx", "fals", "\"",
        "\"abc", "\"\\\"", "\"\\x41\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\u 123\"", "\"\\U0041\"", "\"\\", "\"\\u", "\"a\tb\"",
        "\"a\nb\"", "\"\x01\"", "\"\x1f\"", "1 2", "{} {}", "{}x", "[]]", "null,", "// c\n1", "/* c */ 1", "[1] // c", "#",
        "{\"a\":1 \"b\":2}", "{\"a\":1;}", "{\"a\"=1}", "\v1", "\f1", "1\v", "\xc2\xa0[]", "[\"a\",\n4\n,1,", "{\"a\":/**/1}",
        "\"\\ud83d\\n", "{\"a\":\"\x80\"}",
        /* UTF-8: stray continuation, cut short, overlong, surrogate, beyond U+10FFFF, never used, outside a string */
        "\"\x80\"", "\"\xbf\"", "\"\xc3\"", "\"\xe2\x82\"", "\"\xf0\x9f\x98\"", "\"\xc3(\"", "\"\xe2(\x82\"", "\"\xc0\x80\"",
        "\"\xc1\xbf\"", "\"\xe0\x80\x80\"", "\"\xe0\x9f\xbf\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xed\xa0\x80\"", "\"\xed\xbf\xbf\"",
        "\"\xf4\x90\x80\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xf8\x88\x80\x80\x80\"", "\"\xfe\"", "\"\xff\"", "[\xc3\xa9]", "\xe9",
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_error e;
        shardio_status s = parse(table[i], strlen(table[i]), &e);
        if (s != SHARDIO_ERR_CORRUPT) fprintf(stderr, "    in \"%s\"\n", table[i]);
        CHECK_STATUS(s, SHARDIO_ERR_CORRUPT);
        CHECK_STATUS(e.status, s);
        CHECK(e.offset <= strlen(table[i]));
    }
    CHECK_STATUS(parse("1\0", 2, NULL), SHARDIO_ERR_CORRUPT);         /* a zero byte is no space and no end */
    CHECK_STATUS(parse("\"a\0b\"", 5, NULL), SHARDIO_ERR_CORRUPT);
    CHECK_STATUS(parse("\0", 1, NULL), SHARDIO_ERR_CORRUPT);
    CHECK_STATUS(parse("[1]", 2, NULL), SHARDIO_ERR_CORRUPT);         /* what lies behind `size` does not count */
    CHECK_OK(parse("[1]]", 3, NULL));
}

TEST(offset_of_the_fault)
{
    static const struct { const char *text; uint64_t at; } table[] = {
        {"[1 2]", 3}, {"{\"a\":1,}", 7}, {"[1,]", 3}, {"1 2", 2}, {"{\"a\" 1}", 5}, {"[\n x]", 3}, {"{}}", 2}, {"{1:2}", 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_error e;
        CHECK_STATUS(parse(table[i].text, strlen(table[i].text), &e), SHARDIO_ERR_CORRUPT);
        CHECK_U64(e.offset, table[i].at);
    }
}

TEST(truncated_at_every_byte)
{
    for (size_t size = 0; size < sizeof real_document - 1; size++)
        CHECK_STATUS(parse(real_document, size, NULL), SHARDIO_ERR_CORRUPT);
}

TEST(nesting)
{
    static const struct { const char *open, *close; size_t levels; shardio_status status; } table[] = {
        {"[", "]", 512, SHARDIO_OK}, {"[", "]", 513, SHARDIO_ERR_LIMIT}, {"{\"a\":", "}", 512, SHARDIO_OK},
        {"{\"a\":", "}", 513, SHARDIO_ERR_LIMIT}, {"[", "]", 100000, SHARDIO_ERR_LIMIT},
        {"{\"a\":", "}", 100000, SHARDIO_ERR_LIMIT}, {"[", "", 100000, SHARDIO_ERR_LIMIT}, {"[{\"a\":", "}]", 256, SHARDIO_OK},
        {"[{\"a\":", "}]", 257, SHARDIO_ERR_LIMIT}, {"[1,", "]", 1000000, SHARDIO_ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t a = strlen(table[i].open), b = strlen(table[i].close), n = table[i].levels, size = 0;
        char *text = (char *)malloc(n * (a + b) + 1);
        for (size_t k = 0; k < n; k++, size += a) memcpy(text + size, table[i].open, a);
        text[size++] = '0';
        for (size_t k = 0; k < n; k++, size += b) memcpy(text + size, table[i].close, b);
        CHECK_STATUS(parse(text, size, NULL), table[i].status);
        free(text);
    }
    /* many levels, one after the other, are no depth */
    size_t n = 100000;
    char *text = (char *)malloc(3 * n + 2);
    text[0] = '[';
    for (size_t k = 0; k < n; k++) memcpy(text + 1 + 3 * k, "[],", 3);
    text[3 * n] = ']';
    CHECK_OK(parse(text, 3 * n + 1, NULL));
    free(text);
}

/* Whatever its text, a document costs time in proportion to its size, or it is refused. */
TEST(time_in_proportion)
{
    size_t members = 50000, size = 0;
    char *text = (char *)malloc(members * 24 + 2);
    text[size++] = '{';
    for (size_t i = 0; i < members; i++)
        size += (size_t)sprintf(text + size, "%s\"name%06lu\":%lu", i ? "," : "", (unsigned long)i, (unsigned long)i);
    text[size++] = '}';
    clock_t begin = clock();
    shardio_status s = parse(text, size, NULL);
    CHECK(s == SHARDIO_OK || s == SHARDIO_ERR_LIMIT);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    CHECK(seconds < 4);
    if (seconds >= 1) fprintf(stderr, "    %lu members took %.1f s\n", (unsigned long)members, seconds);
    free(text);
}

TEST(integers)
{
    static const struct { const char *text; bool is_u; uint64_t u; bool is_i; int64_t i; } table[] = {
        {"0", true, 0, true, 0}, {"1", true, 1, true, 1}, {"-1", false, 0, true, -1},
        {"18446744073709551615", true, UINT64_MAX, false, 0}, {"18446744073709551616", false, 0, false, 0},
        {"18446744073709551620", false, 0, false, 0}, {"99999999999999999999", false, 0, false, 0},
        {"184467440737095516150", false, 0, false, 0}, {"36893488147419103232", false, 0, false, 0},
        {"9223372036854775807", true, UINT64_C(9223372036854775807), true, INT64_MAX},
        {"9223372036854775808", true, UINT64_C(9223372036854775808), false, 0},
        {"-9223372036854775808", false, 0, true, INT64_MIN}, {"-9223372036854775809", false, 0, false, 0},
        {"-18446744073709551615", false, 0, false, 0}, {"-18446744073709551616", false, 0, false, 0},
        {"9007199254740993", true, UINT64_C(9007199254740993), true, INT64_C(9007199254740993)},
        {"1.5", false, 0, false, 0}, {"0.5", false, 0, false, 0}, {"1e400", false, 0, false, 0}, {"1e-1", false, 0, false, 0},
        {"1e20", false, 0, false, 0}, {"123456789012345678901234567890", false, 0, false, 0},
        {"\"1\"", false, 0, false, 0}, {"true", false, 0, false, 0}, {"null", false, 0, false, 0}, {"[1]", false, 0, false, 0},
        {"{}", false, 0, false, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_json v = value_of(table[i].text);
        uint64_t u = 77;
        int64_t n = 77;
        bool is_u = shardio_json_uint64(v, &u), is_i = shardio_json_int64(v, &n);
        if (is_u != table[i].is_u || is_i != table[i].is_i) fprintf(stderr, "    in %s\n", table[i].text);
        CHECK(is_u == table[i].is_u);
        CHECK(is_i == table[i].is_i);
        if (is_u && table[i].is_u) CHECK_U64(u, table[i].u);
        if (is_i && table[i].is_i) CHECK_U64(n, table[i].i);
    }
    shardio_json absent = {NULL, 0};
    uint64_t u;
    int64_t n;
    CHECK(!shardio_json_uint64(absent, &u) && !shardio_json_int64(absent, &n));
}

/* Integers that are written with a point or an exponent are exact ones or refused, never something else. */
TEST(integers_written_as_floats)
{
    static const struct { const char *text; uint64_t u; } table[] = {
        {"1.0", 1}, {"1e2", 100}, {"1.25e2", 125}, {"-0", 0}, {"-0.0", 0}, {"0e5", 0}, {"100e-2", 1}, {"1e19", UINT64_C(10000000000000000000)},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint64_t u = table[i].u;
        if (shardio_json_uint64(value_of(table[i].text), &u)) CHECK_U64(u, table[i].u);
    }
}

static uint64_t double_bits(double x) { uint64_t b; memcpy(&b, &x, 8); return b; }
static uint32_t float_bits(float x) { uint32_t b; memcpy(&b, &x, 4); return b; }
static double bits_double(uint64_t b) { double x; memcpy(&x, &b, 8); return x; }
static float bits_float(uint32_t b) { float x; memcpy(&x, &b, 4); return x; }

TEST(doubles)
{
    static const struct { const char *text; uint64_t bits; } table[] = {
        {"0", 0}, {"-0", UINT64_C(1) << 63}, {"-0.0", UINT64_C(1) << 63}, {"-0e10", UINT64_C(1) << 63}, {"1", UINT64_C(0x3ff0000000000000)},
        {"0.1", UINT64_C(0x3fb999999999999a)}, {"1.7976931348623157e308", UINT64_C(0x7fefffffffffffff)},
        {"1.797693134862315807e308", UINT64_C(0x7fefffffffffffff)},
        {"5e-324", 1}, {"2.4703282292062328e-324", 1}, {"2.4703282292062327e-324", 0}, {"1e-400", 0}, {"-1e-400", UINT64_C(1) << 63},
        {"2.2250738585072014e-308", UINT64_C(0x0010000000000000)}, {"2.2250738585072011e-308", UINT64_C(0x000fffffffffffff)},
        {"9007199254740993", UINT64_C(0x4340000000000000)}, {"9007199254740995", UINT64_C(0x4340000000000002)},
        {"9007199254740993.00000000000000000000000000000000000001", UINT64_C(0x4340000000000001)},
        {"1e23", UINT64_C(0x44b52d02c7e14af6)},
        {"0.000000000000000000000000000000000000000000000000000000000000000000000000001e75", UINT64_C(0x3ff0000000000000)},
        {"100000000000000000000000000000000000000000000000000e-50", UINT64_C(0x3ff0000000000000)},
        {"1e0000000000000000000000000000000000005", UINT64_C(0x40f86a0000000000)},
        {"0e999999999999999999999", 0}, {"0.0e-99999999999999999999", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        double x = 7;
        bool is = shardio_json_double(value_of(table[i].text), &x);
        if (!is || double_bits(x) != table[i].bits) fprintf(stderr, "    in %s\n", table[i].text);
        CHECK(is);
        CHECK_U64(double_bits(x), table[i].bits);
    }
    static const char *const not_double[] = {"1e400", "-1e400", "1e309", "1.7976931348623159e308", "1e99999999999999999999", "\"1\"",
                                             "null", "true", "[]", "{}"};
    for (size_t i = 0; i < sizeof not_double / sizeof not_double[0]; i++) {
        double x;
        CHECK(!shardio_json_double(value_of(not_double[i]), &x));
    }
}

/* A decimal just beside the middle of two floats: rounded to double it falls on the middle, and then the wrong way. */
TEST(floats_are_rounded_once)
{
    static const struct { const char *text; uint32_t bits; } table[] = {
        {"1.00000005960464477539062500000001", 0x3f800001}, {"1.000000059604644775390625", 0x3f800000},
        {"1.00000017881393432617187499999999", 0x3f800001}, {"1.000000178813934326171875", 0x3f800002},
        {"-1.00000005960464477539062500000001", 0xbf800001}, {"-0", 0x80000000u}, {"-0.0", 0x80000000u}, {"0", 0},
        {"16777217.0000000000000000000001", 0x4b800001}, {"16777217", 0x4b800000}, {"3.4028234663852886e38", 0x7f7fffff},
        {"3.4028235677973365e38", 0x7f7fffff}, {"1e-45", 1}, {"7.0064923216240853e-46", 0}, {"7.006492321624086e-46", 1},
        {"1.17549435e-38", 0x00800000}, {"1e-60", 0}, {"0.1", 0x3dcccccd},
        /* half of the smallest float and a little: a double holds only the half */
        {"7.0064923216240853546186479164495806564013097093825788587854e-46", 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        float x = 7;
        bool is = shardio_json_float(value_of(table[i].text), &x);
        if (!is || float_bits(x) != table[i].bits) fprintf(stderr, "    in %s\n", table[i].text);
        CHECK(is);
        CHECK_U64(float_bits(x), table[i].bits);
    }
    static const char *const not_float[] = {"1e39", "-1e39", "3.4028236e38", "1e400", "\"1\"", "null"};
    for (size_t i = 0; i < sizeof not_float / sizeof not_float[0]; i++) {
        float x;
        CHECK(!shardio_json_float(value_of(not_float[i]), &x));
    }
}

/* Random decimals against the C library, which rounds correctly: plain ones, and ones beside a middle. */
TEST(random_decimals)
{
    uint64_t r = 20;
    for (int k = 0; k < 20000; k++) {
        char text[900];
        if (k % 4 == 3) {                      /* exactly between two neighbours, and a digit more or less */
            double low = bits_double(test_random(&r) % UINT64_C(0x0080000000000000) + (k % 8 == 3 ? UINT64_C(0x3f00000000000000) : UINT64_C(0x4300000000000000)));
            double high = bits_double(double_bits(low) + 1);
            long double middle = ((long double)low + (long double)high) / 2;
            int digits = snprintf(text, sizeof text, "%.*Lf", k % 8 == 3 ? 300 : 20, middle);
            if (k % 16 == 3) snprintf(text + digits, sizeof text - (size_t)digits, "1");
        } else {
            int digits = 1 + (int)(test_random(&r) % (k % 4 == 2 ? 40 : 20)), at = 0, point = (int)(test_random(&r) % (uint64_t)digits) + 1;
            if (test_random(&r) % 2) text[at++] = '-';
            for (int d = 0; d < digits; d++) {
                text[at++] = (char)('0' + (d == 0 ? 1 + test_random(&r) % 9 : test_random(&r) % 10));
                if (d + 1 == point && d + 1 < digits) text[at++] = '.';
            }
            text[at] = 0;
            int range = k % 4 == 0 ? 600 : k % 4 == 1 ? 60 : 10;
            snprintf(text + at, sizeof text - (size_t)at, "e%d", (int)(test_random(&r) % (uint64_t)range) - range / 2);
        }
        shardio_json v = value_of(text);
        double want = strtod(text, NULL), x = 0;
        float want_float = strtof(text, NULL), y = 0;
        bool is = shardio_json_double(v, &x), is_float = shardio_json_float(v, &y);
        CHECK(is == (isinf(want) == 0));
        CHECK(is_float == (isinf(want_float) == 0));
        if (is && double_bits(x) != double_bits(want)) { CHECK_U64(double_bits(x), double_bits(want)); fprintf(stderr, "    in %s\n", text); }
        if (is_float && float_bits(y) != float_bits(want_float)) {
            CHECK_U64(float_bits(y), float_bits(want_float));
            fprintf(stderr, "    in %s\n", text);
        }
        if (test_failures > 10) return;
    }
}

static int digits_of(const char *text)    /* significant ones */
{
    int digits = 0, zeros = 0;
    for (; *text && *text != 'e' && *text != 'E'; text++) {
        if (*text < '0' || *text > '9') continue;
        if (*text == '0') { if (digits) zeros++; continue; }
        digits += zeros + 1;
        zeros = 0;
    }
    return digits;
}

static void write_number(double x, bool single, char *text, size_t capacity)
{
    shardio_text t = {text, capacity, 0};
    if (single) shardio_text_add_float(&t, (float)x);
    else shardio_text_add_double(&t, x);
    CHECK(t.size < capacity && t.size == strlen(text));
}

TEST(numbers_written_shortest)
{
    uint64_t r = 5;
    static const double edges[] = {0, 1, 10, 100, 1e15, 1e16, 1e17, 1e21, 1e22, 1e23, 0.1, 0.3, 1e-5, 1e-7, 123456789, 5e-324, 2.2250738585072014e-308,
                                   1.7976931348623157e308, 9007199254740992., 9007199254740993., 1.5, -2.5, 4294967295., 1e100, 8.41e21, 9.5e-309};
    const int edge_count = (int)(sizeof edges / sizeof edges[0]);
    for (int k = 0; k < 6000; k++) {
        char text[64], probe[64];
        bool single = k % 2 != 0;
        double x = single ? (double)bits_float((uint32_t)test_random(&r)) : bits_double(test_random(&r));
        if (k < 2 * edge_count) x = single ? (double)(float)edges[k / 2] : edges[k / 2];
        else if (k % 10 < 2) x = (double)(int64_t)(test_random(&r) % 2000001 - 1000000) / (k % 20 < 10 ? 16 : 1);
        if (isnan(x) || isinf(x)) continue;
        write_number(x, single, text, sizeof text);
        CHECK_OK(parse(text, strlen(text), NULL));
        double back = 0;
        float back_float = 0;
        if (single) { CHECK(shardio_json_float(value_of(text), &back_float)); CHECK_U64(float_bits(back_float), float_bits((float)x)); }
        else { CHECK(shardio_json_double(value_of(text), &back)); CHECK_U64(double_bits(back), double_bits(x)); }
        CHECK(single ? strtof(text, NULL) == (float)x : strtod(text, NULL) == x);
        int fewest = 1;
        for (; fewest < 17; fewest++) {
            snprintf(probe, sizeof probe, "%.*e", fewest - 1, x);
            if (single ? strtof(probe, NULL) == (float)x : strtod(probe, NULL) == x) break;
        }
        if (digits_of(text) > fewest) fprintf(stderr, "    %s has more digits than %s\n", text, probe);
        CHECK(digits_of(text) <= fewest);
        if (test_failures > 10) return;
    }
    char text[64];
    for (int single = 0; single < 2; single++) {
        double x = 0;
        float y = 0;
        write_number(-0.0, single != 0, text, sizeof text);
        CHECK(single ? shardio_json_float(value_of(text), &y) : shardio_json_double(value_of(text), &x));
        CHECK(single ? float_bits(y) == 0x80000000u : double_bits(x) == UINT64_C(1) << 63);
        write_number(0.1, single != 0, text, sizeof text);
        CHECK_TEXT(text, "0.1");
    }
}

TEST(integers_written)
{
    static const struct { uint64_t u; const char *unsigned_text, *signed_text; } table[] = {
        {0, "0", "0"}, {7, "7", "7"}, {10, "10", "10"}, {UINT64_MAX, "18446744073709551615", "-1"},
        {UINT64_C(1) << 63, "9223372036854775808", "-9223372036854775808"}, {INT64_MAX, "9223372036854775807", "9223372036854775807"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[40];
        shardio_text t = {text, sizeof text, 0};
        shardio_text_add_uint64(&t, table[i].u);
        CHECK_TEXT(text, table[i].unsigned_text);
        t.size = 0;
        shardio_text_add_int64(&t, (int64_t)table[i].u);
        CHECK_TEXT(text, table[i].signed_text);
    }
}

/* The decimal point of the locale has no say in reading or writing. */
TEST(locale)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "fr_FR.utf8", "es_ES.UTF-8", "pt_BR.UTF-8",
                                        "ru_RU.UTF-8", "nl_NL.UTF-8", "it_IT.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++)
        found = setlocale(LC_ALL, names[i]) != NULL && localeconv()->decimal_point[0] == ',';
    if (!found) { setlocale(LC_ALL, "C"); LEAVE_OUT("no locale with a decimal comma is installed"); }
    char text[64];
    double x = 0;
    float y = 0;
    write_number(-1234567.25, false, text, sizeof text);
    CHECK_TEXT(text, "-1234567.25");
    CHECK(shardio_json_double(value_of("1.5e3"), &x) && x == 1500);
    CHECK(shardio_json_float(value_of("0.25"), &y) && y == 0.25f);
    CHECK_STATUS(parse("1,5", 3, NULL), SHARDIO_ERR_CORRUPT);
    setlocale(LC_ALL, "C");
}

TEST(strings)
{
    static const struct { const char *json, *text; } table[] = {
        {"\"\"", ""}, {"\"abc\"", "abc"}, {"\"a\\\"b\\\\c\\/d\"", "a\"b\\c/d"}, {"\"\\b\\f\\n\\r\\t\"", "\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20ac\\uFFFF\"", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf"}, {"\"\\ud83d\\uDe00!\"", "\xf0\x9f\x98\x80!"},
        {"\"\\uDBFF\\uDFFF\"", "\xf4\x8f\xbf\xbf"}, {"\"\\uD800\\uDC00\"", "\xf0\x90\x80\x80"}, {"\"\xc3\xa9\x7f\"", "\xc3\xa9\x7f"},
        {"\"\\u0001\\u001F\\u007f\\u0080\\u07ff\\u0800\"", "\x01\x1f\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t length = strlen(table[i].text);
        char *exact = (char *)malloc(length + 1);
        shardio_json v = value_of(table[i].json);
        CHECK(shardio_json_string(v, exact, length + 1));
        CHECK_TEXT(exact, table[i].text);
        CHECK(length == 0 || !shardio_json_string(v, exact, length));    /* no room for the zero byte */
        CHECK(!shardio_json_string(v, exact, 0));
        CHECK(shardio_json_is(v, table[i].text));
        CHECK(!shardio_json_is(v, "abcd"));
        CHECK(!shardio_json_is(v, "\xc3"));
        free(exact);
    }
    char text[32];
    CHECK(!shardio_json_string(value_of("\"a\\u0000b\""), text, sizeof text));
    CHECK(!shardio_json_is(value_of("\"a\\u0000b\""), "a"));
    static const char *const not_string[] = {"1", "null", "true", "[\"a\"]", "{\"a\":1}"};
    for (size_t i = 0; i < sizeof not_string / sizeof not_string[0]; i++) {
        CHECK(!shardio_json_string(value_of(not_string[i]), text, sizeof text));
        CHECK(!shardio_json_is(value_of(not_string[i]), "a"));
    }
    shardio_json absent = {NULL, 0};
    bool truth = false;
    CHECK(!shardio_json_string(absent, text, sizeof text) && !shardio_json_is(absent, "") && !shardio_json_bool(absent, &truth));
    CHECK(shardio_json_bool(value_of("true"), &truth) && truth);
    CHECK(shardio_json_bool(value_of("false"), &truth) && !truth);
    CHECK(!shardio_json_bool(value_of("1"), &truth) && !shardio_json_bool(value_of("\"true\""), &truth));
    CHECK(!shardio_json_bool(value_of("null"), &truth));
}

/* Half of a surrogate pair: refused by the parser or by the string, but no UTF-8 is made of it. */
TEST(lone_surrogates)
{
    static const char *const table[] = {"\"\\ud800\"", "\"\\udbff\"", "\"\\udc00\"", "\"\\udfff\"", "\"\\ud800x\"", "\"\\ud800\\n\"",
                                        "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"", "\"\\ud83d\\ude00\\ude00\""};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_json v = {NULL, 0};
        char text[64];
        shardio_status s = shardio_json_parse(table[i], strlen(table[i]), &v, NULL);
        CHECK(s == SHARDIO_OK || s == SHARDIO_ERR_CORRUPT);
        if (s == SHARDIO_OK) CHECK(!shardio_json_string(v, text, sizeof text));
    }
}

TEST(walking)
{
    shardio_json doc = value_of(real_document), value, name, shape;
    size_t at = 0;
    static const char *const names[] = {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value",
                                        "codecs", "attributes", "dimension_names"};
    static const char kinds[] = "0\"[\"{{0[{[";
    size_t count = 0;
    while (shardio_json_next(doc, &at, &name, &value) && count < 10) {
        CHECK(shardio_json_is(name, names[count]));
        CHECK_U64(shardio_json_kind(value), kinds[count]);
        shardio_json same = shardio_json_member(doc, names[count]);
        CHECK(same.text == value.text && same.size == value.size);
        count++;
    }
    CHECK_U64(count, 10);
    CHECK(!shardio_json_next(doc, &at, &name, &value));
    shape = shardio_json_member(doc, "shape");
    uint64_t want[] = {100, 512, 512}, number;
    for (at = 0, count = 0; shardio_json_next(shape, &at, &name, &value); count++) {
        CHECK(name.text == NULL);
        CHECK(count < 3 && shardio_json_uint64(value, &number) && number == want[count]);
    }
    CHECK_U64(count, 3);
    CHECK(shardio_json_kind(shardio_json_member(doc, "shap")) == 0);
    CHECK(shardio_json_kind(shardio_json_member(doc, "shape2")) == 0);
    CHECK(shardio_json_kind(shardio_json_member(doc, "chunk_shape")) == 0);       /* not of this level */
    CHECK(shardio_json_kind(shardio_json_member(shape, "0")) == 0);
    CHECK(shardio_json_kind(shardio_json_member(shardio_json_member(doc, "nothing"), "x")) == 0);
    shardio_json attributes = shardio_json_member(doc, "attributes");
    CHECK(shardio_json_kind(shardio_json_member(attributes, "caf\xc3\xa9")) == '[');
    CHECK(shardio_json_is(shardio_json_member(attributes, "unit"), "\xc2\xb5m"));
    CHECK(shardio_json_kind(shardio_json_member(value_of("{\"\\u0061\\n\":1}"), "a\n")) == '0');

    static const struct { const char *text; size_t elements; } table[] = {
        {"[]", 0}, {"{}", 0}, {"[ ]", 0}, {"{ \n}", 0}, {"[[],[]]", 2}, {"[ \"],[\" , {\"}\":\"{\"} ]", 2}, {"{\"a\":[1,2],\"b\":{\"c\":1}}", 2},
        {"[1,2,3 ,4]", 4}, {"1", 0}, {"\"[1,2]\"", 0}, {"null", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        count = 0;
        for (at = 0; shardio_json_next(value_of(table[i].text), &at, NULL, &value); count++) {}
        CHECK_U64(count, table[i].elements);
    }
    shardio_json absent = {NULL, 0};
    at = 0;
    CHECK(!shardio_json_next(absent, &at, &name, &value));
}

TEST(text_writer)
{
    /* what does not fit is counted, nothing is written behind the end, and a zero byte closes what is there */
    for (size_t capacity = 0; capacity < 80; capacity++) {
        char *memory = (char *)malloc(capacity ? capacity : 1);
        shardio_text t = {capacity ? memory : NULL, capacity, 0};
        static const char whole[] = "{\"a\\\"\\\\\\n\xc3\xa9\":[18446744073709551615,-5,0.1,1.5]}xy";
        if (capacity) memory[0] = 0;
        shardio_text_add(&t, "{");
        shardio_text_add_string(&t, "a\"\\\n\xc3\xa9");
        shardio_text_add(&t, ":[");
        shardio_text_add_uint64(&t, UINT64_MAX);
        shardio_text_add(&t, ",");
        shardio_text_add_int64(&t, -5);
        shardio_text_add(&t, ",");
        shardio_text_add_double(&t, 0.1);
        shardio_text_add(&t, ",");
        shardio_text_add_float(&t, 1.5f);
        shardio_text_add(&t, "]}");
        shardio_text_add_bytes(&t, "xyz", 2);
        shardio_text_add(&t, "");
        CHECK_U64(t.size, sizeof whole - 1);
        if (capacity > 0) {
            size_t length = capacity - 1 < sizeof whole - 1 ? capacity - 1 : sizeof whole - 1;
            if (CHECK(memchr(memory, 0, capacity) != NULL)) {
                CHECK(strlen(memory) <= length);
                CHECK(strncmp(memory, whole, strlen(memory)) == 0);
                if (capacity >= sizeof whole) CHECK_TEXT(memory, whole);
            }
        }
        free(memory);
    }
}

TEST(strings_written_read_back)
{
    uint64_t r = 9;
    for (int k = 0; k < 3000; k++) {
        char text[100], json[700], back[100];
        size_t size = 0, length = (size_t)(test_random(&r) % 24);
        for (size_t i = 0; i < length; i++) {
            uint32_t c = (uint32_t)(test_random(&r) % (k % 3 == 0 ? 0x80 : k % 3 == 1 ? 0x800 : 0x110000));
            if (c == 0 || (c >= 0xd800 && c < 0xe000)) c = '"';
            if (c < 0x80) text[size++] = (char)c;
            else if (c < 0x800) { text[size++] = (char)(0xc0 | c >> 6); text[size++] = (char)(0x80 | (c & 63)); }
            else if (c < 0x10000) {
                text[size++] = (char)(0xe0 | c >> 12);
                text[size++] = (char)(0x80 | (c >> 6 & 63));
                text[size++] = (char)(0x80 | (c & 63));
            } else {
                text[size++] = (char)(0xf0 | c >> 18);
                text[size++] = (char)(0x80 | (c >> 12 & 63));
                text[size++] = (char)(0x80 | (c >> 6 & 63));
                text[size++] = (char)(0x80 | (c & 63));
            }
        }
        text[size] = 0;
        shardio_text t = {json, sizeof json, 0};
        shardio_text_add_string(&t, text);
        CHECK(t.size < sizeof json && parse(json, t.size, NULL) == SHARDIO_OK);
        CHECK(shardio_json_string(value_of(json), back, sizeof back));
        CHECK_TEXT(back, text);
        CHECK(shardio_json_is(value_of(json), text));
        if (test_failures) return;
    }
}

/* Uses everything of a value that passed the parser, without recursion. */
static size_t walk_all(shardio_json value)
{
    shardio_json stack[20], name, element;
    size_t at[20], depth = 0, seen = 0;
    stack[0] = value;
    at[0] = 0;
    for (;;) {
        char text[40];
        uint64_t u;
        int64_t i;
        double x;
        float y;
        bool b;
        if (!shardio_json_next(stack[depth], &at[depth], &name, &element)) {
            if (depth-- == 0) return seen;
            continue;
        }
        seen++;
        CHECK(shardio_json_kind(element) != 0);
        (void)shardio_json_string(name, text, sizeof text);
        (void)shardio_json_string(element, text, sizeof text);
        (void)shardio_json_is(element, "array");
        (void)shardio_json_uint64(element, &u);
        (void)shardio_json_int64(element, &i);
        (void)shardio_json_double(element, &x);
        (void)shardio_json_float(element, &y);
        (void)shardio_json_bool(element, &b);
        (void)shardio_json_member(element, "name");
        if (depth < 19) { depth++; stack[depth] = element; at[depth] = 0; }
    }
}

TEST(mutated)
{
    uint64_t r = 31;
    size_t valid = 0, size = sizeof real_document - 1;
    static const char lively[] = "{}[]\",:\\u0123456789eE+-.tfn \n\xc3\xff";
    for (int k = 0; k < 30000; k++) {
        char *copy = (char *)malloc(size);
        shardio_json v;
        memcpy(copy, real_document, size);
        for (uint64_t n = 1 + test_random(&r) % 3; n-- > 0;) {
            uint64_t how = test_random(&r), at = test_random(&r) % size;
            if (how % 4 == 0) copy[at] = (char)(copy[at] ^ (1 << (how >> 8) % 8));
            else if (how % 4 == 1) copy[at] = (char)(how >> 8);
            else if (how % 4 == 2) copy[at] = lively[(how >> 8) % (sizeof lively - 1)];
            else copy[at] = copy[(how >> 8) % size];
        }
        size_t used = k % 5 == 0 ? (size_t)(test_random(&r) % size) : size;
        if (used < size) { char *less = (char *)malloc(used + 1); memcpy(less, copy, used); free(copy); copy = (char *)realloc(less, used ? used : 1); }
        if (shardio_json_parse(copy, used, &v, NULL) == SHARDIO_OK) { valid++; walk_all(v); }
        free(copy);
    }
    CHECK(valid > 100);
    CHECK(walk_all(value_of(real_document)) > 40);
}

TEST_MAIN(TEST_CASE(valid) TEST_CASE(invalid) TEST_CASE(offset_of_the_fault) TEST_CASE(truncated_at_every_byte) TEST_CASE(nesting)
          TEST_CASE(time_in_proportion) TEST_CASE(integers) TEST_CASE(integers_written_as_floats) TEST_CASE(doubles)
          TEST_CASE(floats_are_rounded_once) TEST_CASE(random_decimals) TEST_CASE(numbers_written_shortest)
          TEST_CASE(integers_written) TEST_CASE(locale) TEST_CASE(strings) TEST_CASE(lone_surrogates) TEST_CASE(walking)
          TEST_CASE(text_writer) TEST_CASE(strings_written_read_back) TEST_CASE(mutated))
