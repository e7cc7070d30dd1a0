/* A shard on a device of one's own, as firmware would write it: the caller's file functions on a memory-mapped flash
   of 256-byte pages, no operating system and no allocation, only static memory. A page of flash can be programmed
   once after it was erased; the slot writes every page whole and only once, so nothing has to be erased twice. */

#define SHARDIO_NO_OS 1
#define SHARDIO_NO_ZARR 1
#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include <stdio.h>
#include <string.h>

enum { PAGE = 256, PAGES = 128, CHUNKS = 16, CHUNK = 1000 };

/* ---- the flash, with the table of functions that makes a file of it ---- */

static uint8_t cells[PAGES * PAGE];    /* 0xFF: erased */
static uint64_t file_size;             /* kept by real firmware in a page of its own */

static shardio_status flash_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    (void)file, (void)code;
    *done = offset >= file_size ? 0 : size < file_size - offset ? size : (size_t)(file_size - offset);
    memcpy(data, cells + offset, *done);
    return SHARDIO_OK;
}

/* Programs one page; the slot calls again for the next. */
static shardio_status flash_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done, int *code)
{
    (void)file;
    if (offset >= sizeof cells) return SHARDIO_ERR_NO_SPACE;
    *code = 1;                                             /* a number of our own: "not a whole, erased page" */
    if (offset % PAGE != 0 || size < PAGE) return SHARDIO_ERR_IO;
    for (size_t i = 0; i < PAGE; i++)
        if (cells[offset + i] != 0xFF) return SHARDIO_ERR_IO;
    memcpy(cells + offset, data, PAGE);
    if (file_size < offset + PAGE) file_size = offset + PAGE;
    *code = 0;
    *done = PAGE;
    return SHARDIO_OK;
}

static shardio_status flash_resize(void *file, uint64_t size, int *code)
{
    (void)file, (void)code;
    file_size = size;                                      /* cuts off what pads the last page */
    return SHARDIO_OK;
}

static shardio_status flash_facts(void *file, shardio_file_facts *facts, int *code)
{
    (void)file, (void)code;
    memset(facts, 0, sizeof *facts);
    facts->size = file_size;
    facts->offset_alignment = facts->length_alignment = PAGE;
    return SHARDIO_OK;
}

/* No sync, publish, close and so on: there is nothing to do. The alignments hold always, so there is no set_direct. */
static const shardio_file_functions flash = {
    .read = flash_read, .write = flash_write, .resize = flash_resize, .facts = flash_facts
};

/* ---- a shard on it ---- */

static int report(const shardio_error *error)
{
    char text[256];
    fprintf(stderr, "flash: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

static int write_samples(shardio_file file, const shardio_index_layout *layout)
{
    static uint8_t index[16 * CHUNKS + 4 + PAGE], page[PAGE], sample[CHUNK];
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
    const shardio_file file = {&flash, NULL, "flash"};
    shardio_index_layout layout = {0};                     /* the index at the end: nothing is written twice */
    layout.chunks = CHUNKS;
    memset(cells, 0xFF, sizeof cells);
    int result = write_samples(file, &layout);
    if (result == 0) result = read_samples(file, &layout);
    printf("%d chunks of %d bytes took %d bytes of flash: %s\n", CHUNKS, CHUNK, (int)file_size, result == 0 ? "good" : "BAD");
    return result;
}
