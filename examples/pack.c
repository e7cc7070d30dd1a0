/* Many small items in one file, and one of them back with one read.

       pack [FILE]       writes FILE (default words.pack), which must not exist */

#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include <stdio.h>

static int report(const shardio_error *error)
{
    char text[256];
    fprintf(stderr, "pack: %s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

int main(int count, char **arguments)
{
    const char *path = count > 1 ? arguments[1] : "words.pack";
    shardio_pack_writer writer;
    shardio_error error;
    shardio_pack_create(&writer, path, NULL, NULL);        /* an error sticks to the writer: finish repeats it */
    for (int i = 0; i < 1000; i++) {
        char item[32];
        const int size = snprintf(item, sizeof item, "item number %d", i);
        shardio_pack_append(&writer, item, (size_t)size);
    }
    if (shardio_pack_finish(&writer, NULL, 0, &error) != SHARDIO_OK) return report(&error);

    shardio_pack_reader reader;
    const uint8_t *item;
    size_t size;
    if (shardio_pack_open(&reader, path, NULL, &error) != SHARDIO_OK) return report(&error);
    if (shardio_pack_item(&reader, NULL, 617, &item, &size, &error) == SHARDIO_OK)
        printf("%.*s\n", (int)size, (const char *)item);
    shardio_pack_close(&reader);
    return error.status == SHARDIO_OK ? 0 : report(&error);
}
