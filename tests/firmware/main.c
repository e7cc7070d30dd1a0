/* Firmware that writes a log, two shards and a packfile to a flash of 256-byte pages, reads them back, and saves the
   flash on the host, where check.py looks at it. Without system, libc and allocation: all memory is declared below. */

#define SHARDIO_NO_OS 1
#define SHARDIO_NO_ZARR 1
#define SHARDIO_NO_STORE 1
#define SHARDIO_SMALL 1
#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include "../../examples/flash.h"
#include "board.h"

enum {
    RECORD = 64, RECORDS_PER_CHECKPOINT = 8, CHECKPOINTS = 3, TAIL = 100,   /* the log; two pages between checkpoints */
    CHUNKS = 16, CHUNK = 1000,                                              /* the shards */
    ITEMS = 100, LARGEST_ITEM = 200, ITEMS_PER_RECORD = 8                   /* the packfile */
};

static flash_device device;
static uint8_t page[FLASH_PAGE];                 /* the buffer of whatever is written */
static uint8_t index_memory[16 * CHUNKS + 4];
static uint8_t work[32 << 10];                   /* what readers and the packfile take, piece by piece */
static uint8_t data[2][CHUNK];
static shardio_error error;

/* ---- data that the host can make as well ---- */

static void fill(uint8_t *to, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++) to[i] = (uint8_t)(((uint32_t)i + seed * 1000003u) * 2654435761u >> 24);
}

static bool is_filled(const uint8_t *bytes, size_t size, uint32_t seed)
{
    fill(data[1], size, seed);
    return memcmp(bytes, data[1], size) == 0;
}

/* ---- saying what happened ---- */

static char line[256];

static void say(const char *what, const char *then, uint64_t number)
{
    shardio_text text = {line, sizeof line, 0};
    shardio_text_add(&text, what);
    shardio_text_add(&text, then);
    shardio_text_add_uint64(&text, number);
    shardio_text_add(&text, "\n");
    board_print(line);
}

/* Whether the step went well; if so, how much stack it took since the mark. */
static bool step(const char *name, bool good)
{
    const size_t stack = board_stack_used();
    if (good) say(name, ": stack ", stack);
    else {
        board_print(shardio_error_text(&error, line, sizeof line));
        say("\n", name, 0);
    }
    return good;
}

/* ---- the log: a slot with checkpoints ---- */

static bool write_log(void)
{
    static shardio_slot slot;
    static flash_file file;
    shardio_slot_begin(&slot, flash_create(&device, &file, "log"), page, sizeof page, NULL);
    for (uint32_t i = 0; i < CHECKPOINTS * RECORDS_PER_CHECKPOINT; i++) {
        fill(data[0], RECORD, i);
        shardio_slot_append(&slot, data[0], RECORD);
        if ((i + 1) % RECORDS_PER_CHECKPOINT == 0) shardio_slot_checkpoint(&slot);
    }
    fill(data[0], TAIL, CHECKPOINTS * RECORDS_PER_CHECKPOINT);
    shardio_slot_append(&slot, data[0], TAIL);
    const bool good = shardio_slot_finish(&slot) == SHARDIO_OK;
    error = slot.error;
    return good;
}

static bool read_log(void)
{
    static flash_file file;
    const shardio_file log = flash_open(&device, &file, "log");
    bool good = file.size == CHECKPOINTS * RECORDS_PER_CHECKPOINT * RECORD + TAIL;
    for (uint32_t i = 0; i <= CHECKPOINTS * RECORDS_PER_CHECKPOINT && good; i++) {
        const size_t size = i < CHECKPOINTS * RECORDS_PER_CHECKPOINT ? RECORD : TAIL;
        good = shardio_file_read(&log, (uint64_t)i * RECORD, data[0], size, &error) == SHARDIO_OK &&
               is_filled(data[0], size, i);
    }
    return good;
}

/* ---- shards: one in order, one with chunks put twice, in any order, or not at all ---- */

typedef struct plan {
    const char *name;
    uint32_t puts[CHUNKS + 4], count;   /* numbers of chunks, in the order of writing */
    bool whole;                         /* all chunks are of the same size */
} plan;

static const plan plans[2] = {
    {"samples", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, CHUNKS, true},
    {"gaps", {9, 3, 15, 3, 0, 7, 9, 9, 12, 1}, 10, false}
};

static size_t chunk_size(const plan *p, uint32_t chunk)
{
    return p->whole ? (size_t)CHUNK : (size_t)chunk * 37 % CHUNK;
}

static void lay_out(shardio_index_layout *layout)
{
    memset(layout, 0, sizeof *layout);   /* the index at the end: nothing is written twice */
    layout->chunks = CHUNKS;
}

static bool write_shard(const plan *p)
{
    static shardio_shard_writer writer;
    static flash_file file;
    static shardio_index_layout layout;
    lay_out(&layout);
    shardio_shard_begin(&writer, flash_create(&device, &file, p->name), &layout, index_memory, sizeof index_memory,
                        page, sizeof page, NULL);
    for (uint32_t i = 0; i < p->count; i++) {
        fill(data[0], CHUNK, p->puts[i]);
        shardio_shard_put(&writer, p->puts[i], data[0], chunk_size(p, p->puts[i]));
    }
    return shardio_shard_finish(&writer, &error) == SHARDIO_OK;
}

static bool was_put(const plan *p, uint32_t chunk)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->puts[i] == chunk) return true;
    return false;
}

static bool read_chunks(const plan *p, shardio_shard_reader *reader)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        static uint64_t size;
        if (shardio_shard_read(reader, chunk, data[0], CHUNK, &size, &error) != SHARDIO_OK) return false;
        if (size == SHARDIO_MISSING ? was_put(p, chunk)
                                    : !was_put(p, chunk) || size != chunk_size(p, chunk) ||
                                      !is_filled(data[0], (size_t)size, chunk)) return false;
    }
    return true;
}

/* The bytes of chunks that were put again later. */
static uint64_t dead_bytes(const plan *p)
{
    uint64_t all = 0, live = 0;
    for (uint32_t i = 0; i < p->count; i++) all += chunk_size(p, p->puts[i]);
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) live += was_put(p, chunk) ? chunk_size(p, chunk) : 0;
    return all - live;
}

static bool read_shard(const plan *p)
{
    static shardio_shard_reader reader;
    static shardio_shard_summary summary;
    static shardio_arena arena;
    static shardio_allocator memory;
    static flash_file file;
    static shardio_index_layout layout;
    lay_out(&layout);
    memory = shardio_arena_begin(&arena, work, sizeof work);
    if (shardio_shard_open_file(&reader, flash_open(&device, &file, p->name), &layout, &memory, &error) != SHARDIO_OK)
        return false;
    const bool good = read_chunks(p, &reader) &&
                      shardio_shard_verify(&reader, &summary, NULL, NULL, &error) == SHARDIO_OK &&
                      summary.dead_bytes == dead_bytes(p) && summary.file_bytes == file.size;
    shardio_shard_close(&reader);
    return good;
}

/* ---- a packfile ---- */

static size_t item_size(uint32_t item)
{
    return (size_t)item * 37 % LARGEST_ITEM;
}

static bool write_pack(void)
{
    static shardio_pack_writer writer;
    static shardio_pack_options options;
    static shardio_slot_options slot_options;
    static shardio_arena arena;
    static shardio_allocator memory;
    static flash_file file;
    memory = shardio_arena_begin(&arena, work, sizeof work);
    options.items_per_record = ITEMS_PER_RECORD;
    options.content_hash = true;
    slot_options.allocator = &memory;
    shardio_pack_begin(&writer, flash_create(&device, &file, "events"), page, sizeof page, &options, &slot_options);
    for (uint32_t item = 0; item < ITEMS; item++) {
        fill(data[0], item_size(item), item);
        shardio_pack_append(&writer, data[0], item_size(item));
    }
    return shardio_pack_finish(&writer, "firmware", 8, &error) == SHARDIO_OK;
}

static bool read_items(shardio_pack_reader *reader)
{
    for (uint32_t item = 0; item < ITEMS; item++) {
        static const uint8_t *bytes;
        static size_t size;
        if (shardio_pack_item(reader, NULL, item, &bytes, &size, &error) != SHARDIO_OK) return false;
        if (size != item_size(item) || !is_filled(bytes, size, item)) return false;
    }
    return true;
}

static bool read_pack(void)
{
    static shardio_pack_reader reader;
    static shardio_pack_reading reading;
    static shardio_pack_summary summary;
    static shardio_arena arena;
    static shardio_allocator memory;
    static flash_file file;
    memory = shardio_arena_begin(&arena, work, sizeof work);
    reading.allocator = &memory;
    reading.tail = FLASH_PAGE;
    reading.size_cache = 1;
    if (shardio_pack_open_file(&reader, flash_open(&device, &file, "events"), &reading, &error) != SHARDIO_OK)
        return false;
    const bool good = read_items(&reader) &&
                      shardio_pack_verify(&reader, NULL, &summary, NULL, NULL, NULL, NULL, &error) == SHARDIO_OK &&
                      summary.items == ITEMS && summary.hash_checked;
    shardio_pack_close(&reader);
    return good;
}

/* ---- all of it ---- */

/* The flash does refuse what it has to: a page that is programmed already, and one before its turn. */
static bool flash_is_strict(void)
{
    const uint32_t last = FLASH_PAGES - 1;
    return flash_program(&device, 0, page) == FLASH_NOT_ERASED &&
           flash_program(&device, last, page) == FLASH_OUT_OF_ORDER;
}

#define STEP(name, call) (board_mark_stack(), step(name, call))

int main(void)
{
    flash_erase_all(&device);
    const bool good = STEP("write log", write_log()) && STEP("read log", read_log()) &&
                      STEP("write shard", write_shard(&plans[0])) && STEP("read shard", read_shard(&plans[0])) &&
                      STEP("write shard with gaps", write_shard(&plans[1])) &&
                      STEP("read shard with gaps", read_shard(&plans[1])) &&
                      STEP("write pack", write_pack()) && STEP("read pack", read_pack());
    say("flash", ": faults ", device.faults);
    if (board_save("flash.img", device.cells, sizeof device.cells) != 0) return 1;
    return good && device.faults == 0 && flash_is_strict() ? 0 : 1;
}
