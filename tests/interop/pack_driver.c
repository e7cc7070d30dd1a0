/* Packfiles, for packs.py, with contents by the recipe of the golden files.

       pack_driver write OUT IPR FORMAT HASH CONTENT SEED APP     sizes of items on standard input, APP: bytes of app data
       pack_driver read IN CODEC               what is in it, as one JSON object; CODEC: none, zstd, opaque
       pack_driver sizes IN                    of all items, a line each, with the digest of those that are not large
       pack_driver for                         lines "count value ..." on standard input, to bytes and back

   Exit: 0, or 1 with a line on standard error, 2 for usage. */
#define SHARDIO_IMPLEMENTATION
#include "../../shardio.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 1 << 20 };
static uint8_t memory[LARGE];

static int fail(const shardio_error *error)
{
    char text[512];
    fprintf(stderr, "pack_driver: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static void fill(uint8_t *to, size_t size, char content, uint64_t seed, uint64_t item)
{
    uint64_t key = mix(mix(seed) + item);
    for (size_t j = 0; j < size; j++) {
        if (content == 'z') to[j] = 0;
        else if (content == 't') to[j] = (uint8_t)('a' + mix(key + j / 16) % 26);
        else to[j] = (uint8_t)(mix(key + j / 8) >> 8 * (j % 8));
    }
}

/* Every third item in two parts. */
static void append(shardio_pack_writer *writer, const uint8_t *item, size_t size, uint64_t number)
{
    const shardio_bytes parts[2] = {{item, size / 2}, {item + size / 2, size - size / 2}};
    if (number % 3 == 0) (void)shardio_pack_append_parts(writer, parts, 2);
    else (void)shardio_pack_append(writer, item, size);
}

static int write_pack(char **argv)
{
    shardio_pack_writer writer;
    shardio_pack_options options;
    shardio_slot_options slot_options;
    shardio_error error;
    uint64_t seed = strtoull(argv[7], NULL, 10), item = 0, size;
    size_t app_size = (size_t)strtoull(argv[8], NULL, 10);
    memset(&options, 0, sizeof options);
    memset(&slot_options, 0, sizeof slot_options);
    options.items_per_record = (uint32_t)strtoul(argv[3], NULL, 10);
    options.format = (uint32_t)strtoul(argv[4], NULL, 10);
    options.content_hash = argv[5][0] == '1';
    slot_options.overwrite = true;
    (void)shardio_pack_create(&writer, argv[2], &options, &slot_options);   /* the first error is that of finish */
    while (scanf("%" SCNu64, &size) == 1 && size <= LARGE) {
        fill(memory, (size_t)size, argv[6][0], seed, item);
        append(&writer, memory, (size_t)size, item++);
    }
    fill(memory, app_size, 'm', seed, 0xFFFFFFFF);
    return shardio_pack_finish(&writer, memory, app_size, &error) == SHARDIO_OK ? 0 : fail(&error);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static void print_digest(const char *name, shardio_sha256 *hash)
{
    uint8_t digest[32];
    shardio_sha256_end(hash, digest);
    printf("\"%s\": \"", name);
    for (int i = 0; i < 32; i++) printf("%02x", digest[i]);
    printf("\", ");
}

static void print_status(const char *name, shardio_status status)
{
    printf("\"%s\": \"%s\", ", name, shardio_status_name(status));
}

static shardio_status take(void *context, uint64_t item, const uint8_t *data, size_t size, shardio_error *error)
{
    shardio_sha256 *hash = (shardio_sha256 *)context;
    const uint8_t length[4] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16), (uint8_t)(size >> 24)};
    (void)item, (void)error;
    shardio_sha256_add(hash, length, 4);
    shardio_sha256_add(hash, data, size);
    return SHARDIO_OK;
}

static void print_facts(const shardio_pack_facts *f)
{
    printf("\"file_size\": %" PRIu64 ", \"trailer\": {\"total_items\": %" PRIu64 ", \"record_count\": %" PRIu64
           ", \"items_per_record\": %u, \"format\": %u, \"index_size\": %u, \"app_data_size\": %u, \"has_content_hash\": %s, "
           "\"content_hash\": \"", f->file_bytes, f->items, f->records, (unsigned)f->items_per_record, (unsigned)f->format,
           (unsigned)f->index_bytes, (unsigned)f->app_data_bytes, f->has_content_hash ? "true" : "false");
    for (int i = 0; i < 32; i++) printf("%02x", f->content_hash[i]);
    printf("\"}, ");
}

/* Item by item, a third of them twice, so that the second comes by the lengths that were kept. */
static shardio_status read_one_by_one(shardio_pack_reader *reader, shardio_sha256 *hash)
{
    shardio_status first = SHARDIO_OK;
    for (uint64_t i = 0; i < reader->facts.items && i < 5000; i++) {
        const uint8_t *data;
        size_t size;
        shardio_status status = shardio_pack_item(reader, NULL, i, &data, &size, NULL);
        if (i % 3 == 0 && status == SHARDIO_OK) status = shardio_pack_item(reader, NULL, i, &data, &size, NULL);
        if (status == SHARDIO_OK) (void)take(hash, i, data, size, NULL);
        else if (first == SHARDIO_OK) first = status;
    }
    return first;
}

static void print_item(shardio_pack_reader *reader, const char *name, uint64_t item)
{
    const uint8_t *data;
    size_t size;
    print_status(name, shardio_pack_item(reader, NULL, item, &data, &size, NULL));
}

static void print_contents(shardio_pack_reader *reader)
{
    shardio_sha256 hash;
    shardio_error error;
    uint64_t items = reader->facts.items;
    shardio_sha256_begin(&hash);
    print_status("scan", shardio_pack_range(reader, NULL, 0, items, take, &hash, &error));
    print_digest("scan_sha256", &hash);
    print_status("items", read_one_by_one(reader, &hash));
    print_digest("items_sha256", &hash);
    if (items > 0) print_item(reader, "item_first", 0);
    if (items > 0) print_item(reader, "item_last", items - 1);
    print_status("app_data", shardio_pack_app_data(reader, memory, sizeof memory, &error));
    shardio_sha256_add(&hash, memory, reader->facts.app_data_bytes <= LARGE ? reader->facts.app_data_bytes : 0);
    print_digest("app_data_sha256", &hash);
}

static int read_pack(const char *path, const char *codec)
{
    shardio_pack_reader reader;
    shardio_pack_reading how;
    shardio_pack_summary summary;
    shardio_error error;
    memset(&how, 0, sizeof how);
    how.opaque = strcmp(codec, "opaque") == 0;
    if (strcmp(codec, "zstd") == 0) {
#if SHARDIO_WITH_ZSTD
        how.codec = shardio_codec_zstd();
#else
        return 2;
#endif
    }
    shardio_status status = shardio_pack_open(&reader, path, &how, &error);
    printf("{");
    if (status == SHARDIO_OK) {
        printf("\"reads_to_open\": %" PRIu64 ", ", reader.reads);
        print_facts(&reader.facts);
        if (!how.opaque) print_contents(&reader);
        print_status("verify", shardio_pack_verify(&reader, NULL, &summary, NULL, NULL, NULL, NULL, &error));
        printf("\"contents_checked\": %d, \"hash_checked\": %d, ", summary.contents_checked, summary.hash_checked);
        shardio_pack_close(&reader);
    }
    printf("\"open\": \"%s\"}\n", shardio_status_name(status));
    return 0;
}

static int print_sizes(const char *path)
{
    shardio_pack_reader reader;
    shardio_error error;
    if (shardio_pack_open(&reader, path, NULL, &error) != SHARDIO_OK) return fail(&error);
    for (uint64_t i = 0; i < reader.facts.items; i++) {
        size_t size;
        shardio_sha256 hash;
        shardio_status status = shardio_pack_item_into(&reader, NULL, i, memory, sizeof memory, &size, &error);
        shardio_sha256_begin(&hash);
        if (status == SHARDIO_OK) shardio_sha256_add(&hash, memory, size);
        printf("{\"size\": %" PRIu64 ", ", (uint64_t)size);
        print_digest("sha256", &hash);
        printf("\"status\": \"%s\"}\n", shardio_status_name(status));
    }
    shardio_pack_close(&reader);
    return 0;
}

/* ---- packed integers ----------------------------------------------------------------------------------------- */

static uint32_t values[100000];

/* Encodes them, decodes what was encoded; prints the bytes. */
static void for_line(size_t count)
{
    static uint8_t bytes[4 * 100000 + 5 + 3];
    shardio_p_for group = shardio_p_for_measure(values, count), open;
    size_t size = shardio_p_for_pack(bytes, &group, values, count), found = 0, wrong = 0;
    shardio_p_for_end(bytes + size, &group);
    size += 5;
    if (shardio_p_for_open(&open, bytes, size, count, &found) != NULL || found != size) wrong++;
    for (size_t i = 0; i < count && wrong == 0; i++) wrong += shardio_p_for_value(&open, i) != values[i];
    for (size_t i = 0; i < size; i++) printf("%02x", bytes[i]);
    printf("%s\n", wrong == 0 ? "" : " decodes to other values");
}

static int for_lines(void)
{
    unsigned long long count, value;
    while (scanf("%llu", &count) == 1 && count <= 100000) {
        for (size_t i = 0; i < count && scanf("%llu", &value) == 1; i++) values[i] = (uint32_t)value;
        for_line((size_t)count);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 9 && strcmp(argv[1], "write") == 0) return write_pack(argv);
    if (argc == 4 && strcmp(argv[1], "read") == 0) return read_pack(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "sizes") == 0) return print_sizes(argv[2]);
    if (argc == 2 && strcmp(argv[1], "for") == 0) return for_lines();
    return 2;
}
