/* Reading a region of an array: any box, whatever chunks and shards it cuts through; only chunks that it touches are
   read. The array lives in memory here; shardio_array_open("movie.zarr", NULL, &error) opens one in a directory. */

#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include <inttypes.h>
#include <stdio.h>

enum { FRAMES = 12, HEIGHT = 60, WIDTH = 100 };

static int report(const shardio_error *error)
{
    char text[256];
    fprintf(stderr, "region: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

/* The element at (t, y, x), so that what comes back can be checked. */
static int32_t element(uint64_t t, uint64_t y, uint64_t x)
{
    return (int32_t)(t * 10000 + y * 100 + x);
}

static shardio_status write_movie(const shardio_store *store, shardio_error *error)
{
    static int32_t frame[HEIGHT][WIDTH];
    shardio_array_options o = {0};
    o.dtype = SHARDIO_INT32;
    o.ndim = 3;
    o.shape[0] = FRAMES;  o.shape[1] = HEIGHT;  o.shape[2] = WIDTH;
    o.chunk[0] = 2;       o.chunk[1] = 16;      o.chunk[2] = 32;       /* ragged at the edges: 60 and 100 */
    o.shard[0] = 4;       o.shard[1] = 32;      o.shard[2] = 64;
    shardio_array *movie = shardio_array_create_in(store, &o);
    for (uint64_t t = 0; t < FRAMES; t++) {
        for (uint64_t y = 0; y < HEIGHT; y++)
            for (uint64_t x = 0; x < WIDTH; x++) frame[y][x] = element(t, y, x);
        shardio_array_append(movie, frame, HEIGHT * WIDTH);
    }
    return shardio_array_finish(movie, error);
}

static int read_region(const shardio_store *store)
{
    static int32_t box[3][5][7];
    const uint64_t start[3] = {5, 14, 60}, extent[3] = {3, 5, 7};
    shardio_error error;
    int wrong = 0;

    shardio_array *movie = shardio_array_open_in(store, NULL, &error);
    if (error.status == SHARDIO_OK) shardio_array_read(movie, start, extent, box, sizeof box, &error);
    const shardio_accounting done = shardio_array_accounting(movie);
    shardio_array_close(movie);
    if (error.status != SHARDIO_OK) return report(&error);

    for (uint64_t t = 0; t < 3; t++)
        for (uint64_t y = 0; y < 5; y++)
            for (uint64_t x = 0; x < 7; x++) wrong += box[t][y][x] != element(start[0] + t, start[1] + y, start[2] + x);
    printf("3 x 5 x 7 elements in %" PRIu64 " reads, %d of them wrong; the first is %" PRId32 "\n", done.device_calls,
           wrong, box[0][0][0]);
    return wrong != 0;
}

int main(void)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_error error;
    int result = write_movie(&store, &error) == SHARDIO_OK ? read_region(&store) : report(&error);
    shardio_store_memory_free(&memory);
    return result;
}
