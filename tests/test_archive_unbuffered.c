/* Archives that are read past the page cache: the same bytes come as through it, wherever reads begin and end, also on file
   systems that have no unbuffered reads. */
#include "arrays.h"

enum { SIZES = 7 };
static const size_t sizes[SIZES] = {1, 100, 5000, 70000, 300000, 3 << 20, (9 << 20) + 7};

static uint8_t byte_at(size_t value, size_t at, uint8_t layer)
{
    return (uint8_t)(at * 2654435761u >> 13 ^ value * 31 ^ layer);
}

static shardio_status put_values(const shardio_store *store, uint8_t layer)
{
    shardio_status status = SHARDIO_OK;
    uint8_t *data = (uint8_t *)malloc(sizes[SIZES - 1]);
    for (size_t v = 0; v < SIZES && status == SHARDIO_OK; v++) {
        char key[8];
        snprintf(key, sizeof key, "v%d", (int)v);
        for (size_t i = 0; i < sizes[v]; i++) data[i] = byte_at(v, i, layer);
        status = store_put(store, key, data, sizes[v]);
    }
    free(data);
    return status;
}

/* Reads `size` bytes of a value from `offset` on, or as many as there are. */
static void check_part(const shardio_store *store, size_t v, size_t offset, size_t size, uint8_t layer)
{
    char key[8];
    shardio_file file;
    int code = 0;
    snprintf(key, sizeof key, "v%d", (int)v);
    if (offset + size > sizes[v]) size = sizes[v] - offset;
    uint8_t *data = (uint8_t *)malloc(size + 1);
    CHECK_OK(store->functions->open(store->context, key, false, NULL, &file, &code));
    CHECK_OK(shardio_file_read(&file, offset, data, size, NULL));
    size_t wrong = 0;
    for (size_t i = 0; i < size; i++) wrong += data[i] != byte_at(v, offset + i, layer);
    CHECK_U64(wrong, 0);
    shardio_file_close(&file);
    free(data);
}

static void check_values(const shardio_store *store, uint8_t layer)
{
    uint64_t state = 1;
    for (size_t v = 0; v < SIZES; v++) check_part(store, v, 0, sizes[v], layer);
    for (size_t v = SIZES; v-- > 0;) check_part(store, v, 0, sizes[v], layer);
    for (int i = 0; i < 200; i++) {
        uint64_t number = test_random(&state);
        size_t v = (size_t)(number % SIZES), offset = (size_t)(number >> 8) % sizes[v];
        check_part(store, v, offset, 1 + (size_t)(number >> 40) % 200000, layer);
    }
}

static shardio_archive *open_direct(const char *path, bool write, counter *c)
{
    shardio_archive_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.write = write;
    o.allocator = counter_begin(c);
    o.direct = SHARDIO_DIRECT_ON;
    shardio_archive *archive = shardio_archive_open(path, &o, &error);
    if (archive == NULL) CHECK_STATUS(error.status, SHARDIO_ERR_DIRECT);
    return archive;
}

TEST(all_parts_of_all_values)
{
    WINE_CANNOT("replace a file that is open");
    char parent[300], path[320];
    shardio_archive_options o;
    counter c;
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/store.zip", parent);
    memset(&o, 0, sizeof o);
    o.write = true;
    shardio_archive *archive = shardio_archive_open(path, &o, NULL);
    shardio_store store = shardio_archive_store(archive);
    CHECK_OK(put_values(&store, 0));
    CHECK_OK(shardio_archive_finish(archive, NULL));
    archive = open_direct(path, false, &c);
    store = shardio_archive_store(archive);
    check_values(&store, 0);
    shardio_archive_close(archive);
    CHECK_U64(c.live, 0);
    CHECK_OK(shardio_archive_compact(path, NULL, NULL, NULL, NULL));
    archive = open_direct(path, false, &c);
    store = shardio_archive_store(archive);
    check_values(&store, 0);
    shardio_archive_close(archive);
}

/* What was discarded lay where the next values go: none of it may come out of memory. */
TEST(writer_sees_what_it_wrote_last)
{
    WINE_CANNOT("open a file again that was renamed");
    char parent[300], path[320];
    counter c;
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/store.zip", parent);
    shardio_archive *archive = open_direct(path, true, &c);
    if (archive == NULL) LEAVE_OUT("no unbuffered writes here");
    shardio_store store = shardio_archive_store(archive);
    shardio_status status = put_values(&store, 1);
    if (status == SHARDIO_OK) status = shardio_archive_commit(archive, NULL);
    if (status == SHARDIO_ERR_DIRECT) {
        shardio_archive_close(archive);
        LEAVE_OUT("no unbuffered writes here");
    }
    CHECK_OK(status);
    for (uint8_t layer = 2; layer < 5; layer++) {
        CHECK_OK(put_values(&store, layer));
        check_values(&store, layer);
        if (layer == 3) CHECK_OK(shardio_archive_commit(archive, NULL));
        else CHECK_OK(shardio_archive_discard(archive, NULL));
        check_values(&store, layer == 2 ? 1 : 3);
    }
    shardio_archive_close(archive);
    CHECK_U64(c.live, 0);
}

TEST_MAIN(TEST_CASE(all_parts_of_all_values) TEST_CASE(writer_sees_what_it_wrote_last))
