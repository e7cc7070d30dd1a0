/* The slot alone: pieces of any length go in, aligned blocks go out past the page cache, and the file is as long as
   the pieces together, to the byte. With SHARDIO_NO_SHARD nothing else of the header is compiled.

       slot [FILE]       writes FILE (default slot.bin), which must not exist */

#define SHARDIO_NO_SHARD 1
#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include <inttypes.h>
#include <stdio.h>

static int report(const shardio_error *error)
{
    char text[256];
    fprintf(stderr, "slot: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

int main(int count, char **arguments)
{
    static uint8_t piece[100000];
    const char *path = count > 1 ? arguments[1] : "slot.bin";
    shardio_slot_options options = {0};    /* a buffer of 4 MiB, durable at finish, nothing is overwritten */
    shardio_slot slot;
    uint64_t sum = 0;

    if (shardio_slot_create(&slot, path, &options) != SHARDIO_OK) return report(&slot.error);

    for (uint32_t i = 0; i < 1000; i++) {
        size_t size = i * 7919u % sizeof piece;        /* no two alike, hardly one of them aligned */
        for (size_t k = 0; k < size; k += 512) piece[k] = (uint8_t)i;
        shardio_slot_append(&slot, piece, size);       /* an error sticks to the slot: finish repeats it */
        sum += size;
    }

    /* The file shows up under its name when finish returns, not before. */
    if (shardio_slot_finish(&slot) != SHARDIO_OK) return report(&slot.error);

    const shardio_accounting *done = &slot.accounting;
    printf("%s: %" PRIu64 " bytes of %" PRIu64 " appended, %" PRIu64 " write calls, %s%s\n", path,
           shardio_slot_size(&slot), sum, done->device_calls, done->direct ? "unbuffered" : "buffered: ",
           done->direct ? "" : done->direct_reason);
    return 0;
}
