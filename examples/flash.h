/* A simulated flash memory with a few files on it, as a table of functions for shardio.h: included after that header.
   No operating system, no allocation, nothing of libc but memcpy, memset and memcmp.

   A page of 256 bytes is programmed whole, once after it was erased, in ascending order within its block of 16 pages;
   whatever breaks that is a fault, which is counted and returned. The first block holds the table of files: a page is
   programmed for each time that a file is published, the newest of a name counts. A file is never cut: the pages stay
   as they are and the table says how long it is, so an index at the end is found where it ends. A file begins at a
   block and nothing of it is written twice; so there is no rewriting, and a checkpoint comes after whole pages only. */

#ifndef SHARDIO_FLASH_H
#define SHARDIO_FLASH_H

#include <string.h>

enum { FLASH_PAGE = 256, FLASH_BLOCK_PAGES = 16, FLASH_BLOCKS = 16, FLASH_PAGES = FLASH_BLOCKS * FLASH_BLOCK_PAGES };
enum { FLASH_NAME = 24, FLASH_ENTRY = FLASH_NAME + 8 };    /* in the table: name, first page u32, bytes u32 */
enum { FLASH_NO_PAGE = 1, FLASH_NOT_ERASED, FLASH_OUT_OF_ORDER, FLASH_NOT_A_PAGE };   /* numbers of our own in errors */

typedef struct flash_device {
    uint8_t cells[FLASH_PAGES * FLASH_PAGE];
    uint8_t programmed[FLASH_BLOCKS];                      /* pages of each block */
    uint32_t faults;
    uint8_t entry[FLASH_PAGE];                             /* of the table, before it is programmed */
} flash_device;

typedef struct flash_file {
    flash_device *device;
    const char *name;                                      /* at most 23 characters */
    uint32_t first, size;                                  /* page; bytes */
} flash_file;

static void flash_erase_all(flash_device *device)
{
    memset(device->cells, 0xFF, sizeof device->cells);
    memset(device->programmed, 0, sizeof device->programmed);
    device->faults = 0;
}

static int flash_fault(flash_device *device, int why)
{
    device->faults++;
    return why;
}

/* 0: it is programmed. */
static int flash_program(flash_device *device, uint32_t page, const uint8_t *data)
{
    if (page >= FLASH_PAGES) return flash_fault(device, FLASH_NO_PAGE);
    uint8_t *cells = device->cells + (size_t)page * FLASH_PAGE;
    uint8_t *programmed = &device->programmed[page / FLASH_BLOCK_PAGES];
    for (size_t i = 0; i < FLASH_PAGE; i++)
        if (cells[i] != 0xFF) return flash_fault(device, FLASH_NOT_ERASED);
    if (page % FLASH_BLOCK_PAGES != *programmed) return flash_fault(device, FLASH_OUT_OF_ORDER);
    (*programmed)++;
    memcpy(cells, data, FLASH_PAGE);
    return 0;
}

static uint32_t flash_load(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static void flash_store(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(number >> 8 * i);
}

/* ---- files ---- */

static shardio_status flash_read(void *context, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    const flash_file *file = (const flash_file *)context;
    (void)code;
    *done = offset >= file->size ? 0 : size < file->size - offset ? size : (size_t)(file->size - offset);
    memcpy(data, file->device->cells + (size_t)file->first * FLASH_PAGE + (size_t)offset, *done);
    return SHARDIO_OK;
}

/* Programs one page; the slot calls again for the next. */
static shardio_status flash_write(void *context, uint64_t offset, const void *data, size_t size, size_t *done,
                                  int *code)
{
    flash_file *file = (flash_file *)context;
    uint32_t page = file->first + (uint32_t)(offset / FLASH_PAGE);
    if (offset >= (uint64_t)(FLASH_PAGES - file->first) * FLASH_PAGE) return SHARDIO_ERR_NO_SPACE;
    if (offset % FLASH_PAGE != 0 || size < FLASH_PAGE) *code = flash_fault(file->device, FLASH_NOT_A_PAGE);
    else *code = flash_program(file->device, page, (const uint8_t *)data);
    if (*code != 0) return SHARDIO_ERR_IO;
    *done = FLASH_PAGE;
    file->size = (uint32_t)offset + FLASH_PAGE;
    return SHARDIO_OK;
}

/* Only the length changes: what fills the last page stays where it is. */
static shardio_status flash_resize(void *context, uint64_t size, int *code)
{
    (void)code;
    ((flash_file *)context)->size = (uint32_t)size;
    return SHARDIO_OK;
}

/* Alignments without set_direct: the device knows nothing but whole pages. */
static shardio_status flash_facts(void *context, shardio_file_facts *facts, int *code)
{
    (void)code;
    memset(facts, 0, sizeof *facts);
    facts->size = ((const flash_file *)context)->size;
    facts->offset_alignment = facts->length_alignment = FLASH_PAGE;
    return SHARDIO_OK;
}

static void flash_set_name(uint8_t *entry, const char *name)
{
    memset(entry, 0, FLASH_PAGE);
    for (size_t i = 0; name[i] != 0 && i < FLASH_NAME - 1; i++) entry[i] = (uint8_t)name[i];
}

/* Puts the file into the table as it is now. */
static shardio_status flash_publish(void *context, bool durable, int *code)
{
    flash_file *file = (flash_file *)context;
    uint8_t *entry = file->device->entry;
    (void)durable;
    if (file->device->programmed[0] == FLASH_BLOCK_PAGES) return SHARDIO_ERR_NO_SPACE;   /* the table is full */
    flash_set_name(entry, file->name);
    flash_store(entry + FLASH_NAME, file->first);
    flash_store(entry + FLASH_NAME + 4, file->size);
    *code = flash_program(file->device, file->device->programmed[0], entry);
    return *code == 0 ? SHARDIO_OK : SHARDIO_ERR_IO;
}

static shardio_status flash_close(void *context, shardio_close how, bool durable, int *code)
{
    return how == SHARDIO_CLOSE_PUBLISH ? flash_publish(context, durable, code) : SHARDIO_OK;
}

/* The file as shardio.h wants it; `file` must outlive it. */
static shardio_file flash_as_file(flash_file *file)
{
    static const shardio_file_functions functions = {
        flash_read, flash_write, flash_resize, flash_facts, NULL, NULL, flash_publish, NULL, NULL, NULL, flash_close,
        NULL, NULL
    };
    const shardio_file result = {&functions, file, file->name};
    return result;
}

/* A new file, behind all that is on the flash. One is written at a time. */
static shardio_file flash_create(flash_device *device, flash_file *file, const char *name)
{
    uint32_t block = 1;
    while (block < FLASH_BLOCKS && device->programmed[block] > 0) block++;
    file->device = device;
    file->name = name;
    file->first = block * FLASH_BLOCK_PAGES;
    file->size = 0;
    return flash_as_file(file);
}

/* The newest file of this name. One that is not there is empty. */
static shardio_file flash_open(flash_device *device, flash_file *file, const char *name)
{
    flash_set_name(device->entry, name);
    file->device = device;
    file->name = name;
    file->first = file->size = 0;
    for (uint32_t page = 0; page < device->programmed[0]; page++) {
        const uint8_t *entry = device->cells + (size_t)page * FLASH_PAGE;
        if (memcmp(entry, device->entry, FLASH_NAME) != 0) continue;
        file->first = flash_load(entry + FLASH_NAME);
        file->size = flash_load(entry + FLASH_NAME + 4);
    }
    return flash_as_file(file);
}

#endif
