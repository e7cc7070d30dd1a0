/* What firmware takes of shardio.h, for size.py: the functions of the table below and what they need, nothing else. */

#define SHARDIO_NO_OS 1
#define SHARDIO_NO_ZARR 1
#define SHARDIO_NO_STORE 1
#ifndef FIRMWARE_PACK
#define SHARDIO_NO_PACK 1
#endif
#define SHARDIO_SMALL 1
#define SHARDIO_NO_HARDWARE 1
#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

typedef void (*function)(void);
#define TAKE(name) (function)shardio_##name

__attribute__((used, section(".taken"))) function const shardio_taken[] = {
    TAKE(slot_begin), TAKE(slot_append), TAKE(slot_checkpoint), TAKE(slot_finish),
    TAKE(shard_begin), TAKE(shard_put), TAKE(shard_finish), TAKE(shard_open_file), TAKE(shard_read), TAKE(shard_verify),
    TAKE(shard_close),
    TAKE(index_size), TAKE(index_clear), TAKE(index_set), TAKE(index_get), TAKE(index_seal), TAKE(index_check),
    TAKE(crc32c),
#ifdef FIRMWARE_PACK
    TAKE(pack_begin), TAKE(pack_append), TAKE(pack_finish), TAKE(pack_open_file), TAKE(pack_item), TAKE(pack_verify),
    TAKE(pack_close),
#endif
};

/* Objects as large as what a user of a handle keeps in memory. */
#define HANDLE(type) extern char handle_##type[]; char handle_##type[sizeof(shardio_##type)]
HANDLE(slot);
HANDLE(shard_writer);
HANDLE(shard_reader);
#ifdef FIRMWARE_PACK
HANDLE(pack_writer);
HANDLE(pack_reader);
#endif
