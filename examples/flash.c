/* A shard on a device of one's own, as firmware would write it: the caller's file functions on a memory-mapped flash
   of 256-byte pages (flash.h), no operating system and no allocation, only static memory. A page of flash can be
   programmed once after it was erased; the slot writes every page whole and only once. */

#define SHARDIO_NO_OS 1
#define SHARDIO_NO_ZARR 1
#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include "flash.h"

#include <stdio.h>

enum { CHUNKS = 16, CHUNK = 1000 };

static flash_device device;

static int report(const shardio_error *error)
{
    char text[256];
    fprintf(stderr, "flash: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

static int write_samples(shardio_file file, const shardio_index_layout *layout)
{
    static uint8_t index[16 * CHUNKS + 4], page[FLASH_PAGE], sample[CHUNK];
    shardio_shard_writer writer;
    shardio_error error;
    shardio_shard_begin(&writer, file, layout, index, sizeof index, page, sizeof page, NULL);
    for (int i = 0; i < CHUNKS; i++) {
        memset(sample, i, sizeof sample);
        shardio_shard_put(&writer, (uint64_t)i, sample, sizeof sample);
    }
    return shardio_shard_finish(&writer, &error) == SHARDIO_OK ? 0 : report(&error);
}

static int read_samples(shardio_file file, const shardio_index_layout *layout)
{
    static uint8_t memory[1024], sample[CHUNK];            /* the reader takes its index from here */
    shardio_arena arena;
    shardio_allocator allocator = shardio_arena_begin(&arena, memory, sizeof memory);
    shardio_shard_reader reader;
    shardio_error error;
    if (shardio_shard_open_file(&reader, file, layout, &allocator, &error) != SHARDIO_OK) return report(&error);
    for (int i = 0; i < CHUNKS; i++) {
        uint64_t size;
        if (shardio_shard_read(&reader, (uint64_t)i, sample, sizeof sample, &size, &error) != SHARDIO_OK)
            return report(&error);
        if (size != CHUNK || sample[0] != i || sample[CHUNK - 1] != i) return 1;
    }
    shardio_shard_close(&reader);
    return 0;
}

int main(void)
{
    flash_file written, read;
    shardio_index_layout layout = {0};                     /* the index at the end: nothing is written twice */
    layout.chunks = CHUNKS;
    flash_erase_all(&device);
    int result = write_samples(flash_create(&device, &written, "samples"), &layout);
    if (result == 0) result = read_samples(flash_open(&device, &read, "samples"), &layout);
    printf("%d chunks of %d bytes took %u bytes of flash, %u faults: %s\n", CHUNKS, CHUNK, (unsigned)read.size,
           (unsigned)device.faults, result == 0 && device.faults == 0 ? "good" : "BAD");
    return result != 0 || device.faults != 0;
}
