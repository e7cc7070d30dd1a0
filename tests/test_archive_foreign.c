/* Archives that another program wrote, or somebody who means harm: ZIP files made here field by field, 64-bit fields,
   deflated values, values over one another, records that contradict each other (PKWARE APPNOTE 4.3 to 4.5). */
#include "arrays.h"

typedef struct foreign {
    uint8_t file[8192], directory[4096];
    size_t size, directory_size;
    unsigned entries;
} foreign;

typedef struct foreign_entry {
    const char *name;
    const uint8_t *stored;
    size_t stored_size;
    uint64_t size;
    uint32_t crc;
    int method;
    bool wide;            /* sizes and offset in the 64-bit extra field */
} foreign_entry;

static void put(uint8_t *to, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++) to[i] = (uint8_t)(number >> (8 * i));
}

/* What is alike in a header and in the directory: from the method on to the length of the name. */
static void put_common(uint8_t *to, const foreign_entry *e)
{
    put(to, (uint64_t)e->method, 2);
    put(to + 6, e->crc, 4);
    put(to + 10, e->wide ? 0xFFFFFFFFu : e->stored_size, 4);
    put(to + 14, e->wide ? 0xFFFFFFFFu : e->size, 4);
    put(to + 18, strlen(e->name), 2);
}

static size_t put_extra64(uint8_t *to, const foreign_entry *e, uint64_t offset, bool with_offset)
{
    if (!e->wide) return 0;
    put(to, 1, 2);
    put(to + 2, with_offset ? 24 : 16, 2);
    put(to + 4, e->size, 8);
    put(to + 12, e->stored_size, 8);
    if (with_offset) put(to + 20, offset, 8);
    return with_offset ? 28 : 20;
}

/* Where the record of the entry begins in the directory. */
static size_t foreign_add(foreign *f, const foreign_entry *e)
{
    size_t name = strlen(e->name), record = f->directory_size, header = f->size;
    uint8_t *local = f->file + header, *central = f->directory + record;
    put(local, 0x04034B50u, 4);
    put_common(local + 8, e);
    size_t extra = put_extra64(local + 30 + name, e, 0, false);
    put(local + 28, extra, 2);
    memcpy(local + 30, e->name, name);
    memcpy(local + 30 + name + extra, e->stored, e->stored_size);
    f->size += 30 + name + extra + e->stored_size;
    put(central, 0x02014B50u, 4);
    put_common(central + 10, e);
    extra = put_extra64(central + 46 + name, e, header, true);
    put(central + 30, extra, 2);
    put(central + 42, e->wide ? 0xFFFFFFFFu : header, 4);
    memcpy(central + 46, e->name, name);
    f->directory_size += 46 + name + extra;
    f->entries++;
    return record;
}

static size_t foreign_add_text(foreign *f, const char *name, const char *text, bool wide)
{
    foreign_entry e = {name, (const uint8_t *)text, strlen(text), strlen(text), 0, 0, wide};
    e.crc = shardio_crc32(0, text, strlen(text));
    return foreign_add(f, &e);
}

/* One deflated value in a block that is only stored: a byte, its length, that turned around, the bytes. */
static size_t foreign_add_deflated(foreign *f, const char *name, const char *text)
{
    uint8_t block[300];
    size_t n = strlen(text);
    block[0] = 1;
    put(block + 1, n, 2);
    put(block + 3, ~n, 2);
    memcpy(block + 5, text, n);
    foreign_entry e = {name, block, n + 5, n, 0, 8, false};
    e.crc = shardio_crc32(0, text, n);
    return foreign_add(f, &e);
}

/* The directory and its end; with the 64-bit records if `wide`. Where the directory begins. */
static size_t foreign_end(foreign *f, bool wide)
{
    const size_t directory = f->size;
    memcpy(f->file + directory, f->directory, f->directory_size);
    uint8_t *at = f->file + directory + f->directory_size;
    if (wide) {
        put(at, 0x06064B50u, 4);
        put(at + 4, 44, 8);
        put(at + 24, f->entries, 8);
        put(at + 32, f->entries, 8);
        put(at + 40, f->directory_size, 8);
        put(at + 48, directory, 8);
        put(at + 56, 0x07064B50u, 4);
        put(at + 64, directory + f->directory_size, 8);
        at += 76;
    }
    put(at, 0x06054B50u, 4);
    put(at + 8, wide ? 0xFFFFu : f->entries, 2);
    put(at + 10, wide ? 0xFFFFu : f->entries, 2);
    put(at + 12, wide ? 0xFFFFFFFFu : f->directory_size, 4);
    put(at + 16, wide ? 0xFFFFFFFFu : directory, 4);
    f->size = (size_t)(at + 22 - f->file);
    return directory;
}

static shardio_archive *foreign_open(const foreign *f, shardio_memory *memory, const shardio_archive_options *o,
                                     shardio_error *error)
{
    shardio_file file;
    memset(memory, 0, sizeof *memory);
    file = shardio_memory_file(memory, "foreign");
    CHECK_OK(file_write_all(&file, 0, f->file, f->size));
    return shardio_archive_open_file(file, o, error);
}

/* The status of reading one value, whose text is `text` where it can be read; opening fails as well as reading. */
static void foreign_check(const foreign *f, const shardio_archive_options *o, const char *name, const char *text,
                          shardio_status expected, int line)
{
    shardio_memory memory;
    shardio_error error;
    shardio_file file;
    char read[300];
    int code = 0;
    size_t n = strlen(text);
    shardio_archive *a = foreign_open(f, &memory, o, &error);
    shardio_status status = error.status;
    if (a != NULL) {
        shardio_store store = shardio_archive_store(a);
        status = store.functions->open(store.context, name, false, NULL, &file, &code);
        if (status == SHARDIO_OK) {
            status = shardio_file_read(&file, 0, read, n, &error);
            if (status == SHARDIO_OK) test_equal_bytes(__FILE__, line, name, read, text, n);
            CHECK_OK(file_close(&file, SHARDIO_CLOSE_KEEP));
        }
    }
    test_equal_status(__FILE__, line, name, status, expected);
    shardio_archive_close(a);
    shardio_memory_free(&memory);
}
#define CHECK_VALUE(f, o, name, text, expected) foreign_check((f), (o), (name), (text), (expected), __LINE__)

/* Two values, the first with 64-bit fields. */
static size_t begin_wide(foreign *f, size_t *record)
{
    memset(f, 0, sizeof *f);
    *record = foreign_add_text(f, "wide", "sixty-four", true);
    foreign_add_text(f, "usual", "thirty-two", false);
    return foreign_end(f, true);
}

TEST(sixty_four_bit_fields)
{
    static foreign f;
    shardio_memory memory;
    shardio_error error;
    size_t record, directory = begin_wide(&f, &record);
    uint8_t *extra = f.file + directory + record + 46 + 4;
    CHECK_VALUE(&f, NULL, "wide", "sixty-four", SHARDIO_OK);
    CHECK_VALUE(&f, NULL, "usual", "thirty-two", SHARDIO_OK);
    extra[2] = 16;   /* too short for the offset; the rest is no field any more */
    CHECK_VALUE(&f, NULL, "wide", "sixty-four", SHARDIO_ERR_CORRUPT);
    CHECK_VALUE(&f, NULL, "usual", "thirty-two", SHARDIO_OK);
    extra[2] = 24;
    extra[0] = 2;    /* another field: sizes of 2^32 - 1 that lie nowhere */
    CHECK_VALUE(&f, NULL, "wide", "sixty-four", SHARDIO_ERR_CORRUPT);
    extra[0] = 1;
    put(extra + 20, UINT64_MAX - 10, 8);   /* an offset that wraps around */
    CHECK_VALUE(&f, NULL, "wide", "sixty-four", SHARDIO_ERR_CORRUPT);
    put(extra + 20, 0, 8);

    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = true;
    shardio_archive *a = foreign_open(&f, &memory, &o, &error);
    if (!CHECK(a != NULL)) return;
    CHECK(shardio_archive_about(a).foreign);
    shardio_store store = shardio_archive_store(a);
    CHECK_OK(store_put_text(&store, "new", "ours"));
    CHECK_OK(shardio_archive_finish(a, &error));
    a = shardio_archive_open_file(shardio_memory_file(&memory, "memory"), NULL, &error);
    if (!CHECK(a != NULL)) return;
    store = shardio_archive_store(a);
    CHECK(!shardio_archive_about(a).foreign);
    store_check_text(&store, "wide", "sixty-four", __LINE__);
    store_check_text(&store, "usual", "thirty-two", __LINE__);
    store_check_text(&store, "new", "ours", __LINE__);
    CHECK_OK(shardio_archive_verify(a, NULL, NULL, NULL, NULL, &error));
    shardio_archive_close(a);
    shardio_memory_free(&memory);
}

/* The 64-bit end record is believed only if it agrees with the other and with where it stands. */
TEST(end_records_that_contradict_each_other)
{
    static foreign f;
    size_t record, directory = begin_wide(&f, &record), end64 = directory + f.directory_size, end = end64 + 76;
    const struct { size_t at; uint8_t value; } wrong[] = {
        {end64, 'X'},            /* no signature */
        {end64 + 4, 45},         /* its own length */
        {end64 + 11, 0xFF},      /* so long that it wraps around */
        {end64 + 24, 3},         /* entries on this disk */
        {end64 + 32, 3},         /* entries */
        {end64 + 40, 1},         /* bytes of the directory */
        {end64 + 48, 1},         /* where it begins */
        {end64 + 55, 1},
        {end64 + 64, 0},         /* where the 64-bit end record is */
        {end64 + 71, 0x80},
        {end + 8, 1},            /* entries, of the usual end record */
        {end + 10, 2},
    };
    CHECK_VALUE(&f, NULL, "usual", "thirty-two", SHARDIO_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t before = f.file[wrong[i].at];
        f.file[wrong[i].at] = wrong[i].value;
        CHECK(before != wrong[i].value);
        CHECK_VALUE(&f, NULL, "usual", "thirty-two", SHARDIO_ERR_CORRUPT);
        f.file[wrong[i].at] = before;
    }
    put(f.file + end + 8, 2, 2);   /* both say how many: they agree, then they do not */
    put(f.file + end + 10, 2, 2);
    put(f.file + end + 12, f.directory_size, 4);
    put(f.file + end + 16, directory, 4);
    CHECK_VALUE(&f, NULL, "usual", "thirty-two", SHARDIO_OK);
    for (size_t at = end + 12; at <= end + 16; at += 4) {
        f.file[at]++;
        CHECK_VALUE(&f, NULL, "usual", "thirty-two", SHARDIO_ERR_CORRUPT);
        f.file[at]--;
    }
    put(f.file + end + 8, 1, 2);
    put(f.file + end + 10, 1, 2);
    CHECK_VALUE(&f, NULL, "usual", "thirty-two", SHARDIO_ERR_CORRUPT);
}

/* Values over one another let a small file hold much: none of them is read, the others are. */
TEST(values_over_one_another)
{
    static foreign f;
    memset(&f, 0, sizeof f);
    foreign_add_text(&f, "a", "first value", false);
    size_t inside = foreign_add_text(&f, "b", "second value", false);
    foreign_add_text(&f, "c", "third value", false);
    size_t directory = foreign_end(&f, false);
    uint8_t *offset = f.file + directory + inside + 42;
    CHECK_VALUE(&f, NULL, "b", "second value", SHARDIO_OK);
    put(offset, 0, 4);   /* the header of the first */
    CHECK_VALUE(&f, NULL, "a", "first value", SHARDIO_ERR_CORRUPT);
    CHECK_VALUE(&f, NULL, "b", "second value", SHARDIO_ERR_CORRUPT);
    CHECK_VALUE(&f, NULL, "c", "third value", SHARDIO_OK);
    put(offset, f.size, 4);   /* behind the directory: its own damage only */
    CHECK_VALUE(&f, NULL, "a", "first value", SHARDIO_OK);
    CHECK_VALUE(&f, NULL, "b", "second value", SHARDIO_ERR_CORRUPT);
}

/* What the header in front of a value says otherwise than the directory. */
TEST(headers_that_contradict_the_directory)
{
    static foreign f;
    memset(&f, 0, sizeof f);
    foreign_add_text(&f, "key", "some text", false);
    foreign_end(&f, false);
    const struct { size_t at; uint8_t value; } wrong[] = {{0, 'X'}, {8, 8}, {26, 4}, {29, 0x10}, {28, 100}, {30, 'K'}};
    CHECK_VALUE(&f, NULL, "key", "some text", SHARDIO_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t before = f.file[wrong[i].at];
        f.file[wrong[i].at] = wrong[i].value;
        CHECK_VALUE(&f, NULL, "key", "some text", SHARDIO_ERR_CORRUPT);
        f.file[wrong[i].at] = before;
    }
}

/* A number in the record of the only value, in the directory and (if there) in its header. */
static void patch(foreign *f, size_t directory, size_t in_record, size_t in_header, uint64_t number)
{
    put(f->file + directory + in_record, number, 4);
    put(f->file + in_header, number, 4);
}

TEST(deflated_values_that_are_damaged)
{
#if SHARDIO_WITH_ZLIB
    static foreign f;
    static const char text[] = "deflated, though not smaller";
    const uint64_t size = sizeof text - 1, stored = size + 5;
    shardio_archive_options o;
    memset(&f, 0, sizeof f);
    memset(&o, 0, sizeof o);
    foreign_add_deflated(&f, "d", text);
    size_t directory = foreign_end(&f, false);
    uint8_t *block = f.file + 31;
    CHECK_VALUE(&f, NULL, "d", text, SHARDIO_OK);
    o.decoded_limit = size;
    CHECK_VALUE(&f, &o, "d", text, SHARDIO_ERR_LIMIT);   /* the stored bytes are more */
    o.decoded_limit = size + 5;
    CHECK_VALUE(&f, &o, "d", text, SHARDIO_OK);
    block[6] ^= 1;
    CHECK_VALUE(&f, NULL, "d", text, SHARDIO_ERR_CHECKSUM);
    block[6] ^= 1;
    block[3] ^= 1;   /* no stream of deflate */
    CHECK_VALUE(&f, NULL, "d", text, SHARDIO_ERR_CORRUPT);
    block[3] ^= 1;
    block[0] = 0;    /* not the last block: the stream has no end */
    CHECK_VALUE(&f, NULL, "d", text, SHARDIO_ERR_CORRUPT);
    block[0] = 1;
    const uint64_t sizes[] = {size - 1, size + 1, 1032 * (stored + 1)};   /* the last is more than deflate can do */
    for (size_t i = 0; i < 3; i++) {
        patch(&f, directory, 24, 22, sizes[i]);
        CHECK_VALUE(&f, NULL, "d", text, SHARDIO_ERR_CORRUPT);
    }
    patch(&f, directory, 24, 22, size);
    patch(&f, directory, 20, 18, stored - 1);
    CHECK_VALUE(&f, NULL, "d", text, SHARDIO_ERR_CORRUPT);
    patch(&f, directory, 20, 18, stored);
    patch(&f, directory, 24, 22, size - 1);   /* all is right, but that a byte is left behind the stream */
    patch(&f, directory, 16, 14, shardio_crc32(0, text, size - 1));
    put(block + 1, size - 1, 2);
    put(block + 3, ~(size - 1), 2);
    CHECK_VALUE(&f, NULL, "d", text, SHARDIO_ERR_CORRUPT);
#else
    LEAVE_OUT("zlib is not compiled in");
#endif
}

TEST(a_directory_larger_than_the_limit)
{
    static foreign f;
    shardio_archive_options o;
    memset(&f, 0, sizeof f);
    memset(&o, 0, sizeof o);
    foreign_add_text(&f, "key", "some text", false);
    foreign_end(&f, false);
    o.directory_limit = f.directory_size;
    CHECK_VALUE(&f, &o, "key", "some text", SHARDIO_OK);
    o.directory_limit--;
    CHECK_VALUE(&f, &o, "key", "some text", SHARDIO_ERR_LIMIT);
}

/* An array of deflated chunks is read with one of them inflated at a time: all takes no more memory than one. */
TEST(deflated_chunks_are_read_one_by_one)
{
#if SHARDIO_WITH_ZLIB
    enum { VALUES = 12, VALUE = 200 };
    static foreign f;
    counter c;
    shardio_memory memory;
    shardio_archive_options o;
    shardio_array_options reading;
    shardio_error error;
    char text[VALUE + 1], name[20], got[VALUES * VALUE];
    const uint64_t zero = 0, one = VALUE, all = VALUES * VALUE;
    memset(&f, 0, sizeof f);
    memset(&o, 0, sizeof o);
    memset(&reading, 0, sizeof reading);
    foreign_add_text(&f, "zarr.json",
                     "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[2400],\"data_type\":\"uint8\",\"fill_value\":0,"
                     "\"chunk_grid\":{\"name\":\"regular\",\"configuration\":{\"chunk_shape\":[200]}},"
                     "\"chunk_key_encoding\":{\"name\":\"default\"},\"codecs\":[{\"name\":\"bytes\"}]}", false);
    for (int i = 0; i < VALUES; i++) {
        memset(text, 'a' + i, VALUE);
        text[VALUE] = 0;
        snprintf(name, sizeof name, "c/%d", i);
        foreign_add_deflated(&f, name, text);
    }
    foreign_end(&f, false);
    o.allocator = counter_begin(&c);
    shardio_archive *a = foreign_open(&f, &memory, &o, &error);
    if (!CHECK(a != NULL)) return;
    shardio_store store = shardio_archive_store(a);
    shardio_array *array = shardio_array_open_in(&store, &reading, &error);
    c.peak = c.live;
    CHECK_OK(shardio_array_read(array, &zero, &one, got, sizeof got, &error));
    const size_t peak = c.peak;
    CHECK(peak > c.live);
    c.peak = c.live;
    CHECK_OK(shardio_array_read(array, &zero, &all, got, sizeof got, &error));
    for (int i = 0; i < VALUES * VALUE; i++)
        if (!CHECK(got[i] == 'a' + i / VALUE)) break;
    CHECK_U64(c.peak, peak);
    shardio_array_close(array);
    shardio_archive_close(a);
    shardio_memory_free(&memory);
#else
    LEAVE_OUT("zlib is not compiled in");
#endif
}

TEST_MAIN(TEST_CASE(sixty_four_bit_fields) TEST_CASE(end_records_that_contradict_each_other)
          TEST_CASE(values_over_one_another) TEST_CASE(headers_that_contradict_the_directory)
          TEST_CASE(deflated_values_that_are_damaged) TEST_CASE(a_directory_larger_than_the_limit)
          TEST_CASE(deflated_chunks_are_read_one_by_one))
