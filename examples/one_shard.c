/* One shard file, written and read back: chunks go in in any order and of any length, one may be missing, and each
   is found again with a single read. This is the format of Zarr's sharding_indexed, without an array around it.

       one_shard [FILE]       writes FILE (default one.shard), which must not exist */

#define SHARDIO_NO_ZARR 1
#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CHUNKS = 8, LONGEST = 4000 };

static int report(const shardio_error *error)
{
    char text[256];
    fprintf(stderr, "one_shard: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

/* Chunk number i: its own length, filled with its number. */
static size_t make_chunk(uint64_t i, uint8_t *chunk)
{
    size_t size = LONGEST - 500 * (size_t)i;
    memset(chunk, (int)i, size);
    return size;
}

static int write_shard(const char *path, const shardio_index_layout *layout)
{
    static const uint64_t order[] = {5, 0, 7, 1, 6, 2, 4};     /* chunk 3 is left out */
    uint8_t chunk[LONGEST];
    shardio_shard_writer writer;
    shardio_error error;
    if (shardio_shard_create(&writer, path, layout, NULL) != SHARDIO_OK) return report(&writer.slot.error);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        size_t size = make_chunk(order[i], chunk);
        shardio_shard_put(&writer, order[i], chunk, size);     /* an error sticks: finish repeats it */
    }
    return shardio_shard_finish(&writer, &error) == SHARDIO_OK ? 0 : report(&error);
}

static int read_shard(const char *path, const shardio_index_layout *layout)
{
    uint8_t chunk[LONGEST], expected[LONGEST];
    shardio_shard_reader reader;
    shardio_shard_summary summary;
    shardio_error error;
    int result = 0;
    if (shardio_shard_open(&reader, path, layout, NULL, &error) != SHARDIO_OK) return report(&error);
    for (uint64_t i = 0; i < CHUNKS && result == 0; i++) {
        uint64_t size;
        if (shardio_shard_read(&reader, i, chunk, sizeof chunk, &size, &error) != SHARDIO_OK) {
            result = report(&error);
        } else if (size == SHARDIO_MISSING) {
            printf("chunk %" PRIu64 ": missing\n", i);
        } else {
            bool same = size == make_chunk(i, expected) && memcmp(chunk, expected, (size_t)size) == 0;
            printf("chunk %" PRIu64 ": %" PRIu64 " bytes, %s\n", i, size, same ? "as written" : "DIFFERENT");
        }
    }
    if (result == 0 && shardio_shard_verify(&reader, &summary, NULL, NULL, &error) != SHARDIO_OK) result = report(&error);
    if (result == 0)
        printf("%s: %" PRIu64 " bytes = %" PRIu64 " of chunks + %" PRIu64 " of index\n", path, summary.file_bytes,
               summary.live_bytes, summary.index_bytes);
    shardio_shard_close(&reader);
    return result;
}

int main(int count, char **arguments)
{
    const char *path = count > 1 ? arguments[1] : "one.shard";
    shardio_index_layout layout = {0};     /* at the end, little-endian, with a checksum */
    layout.chunks = CHUNKS;
    int result = write_shard(path, &layout);
    return result != 0 ? result : read_shard(path, &layout);
}
