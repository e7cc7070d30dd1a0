/* Many arrays in one file: each commit is a layer that can be opened, or rolled back to.

       cc -O2 -I. examples/archive.c && ./a.out && unzip -l experiment.zip
       python3 -c 'import zarr; print(zarr.open(zarr.storage.ZipStore("experiment.zip"), mode="r").tree())' */
#define SHARDIO_IMPLEMENTATION
#include "shardio.h"
#include <stdio.h>

static int failed(const shardio_error *error)
{
    char text[256];
    fprintf(stderr, "%s\n", shardio_error_text(error, text, sizeof text));
    return 1;
}

/* Ten frames of a camera, as an array of this name. */
static shardio_status record(const shardio_store *store, const char *path, shardio_error *error)
{
    static uint16_t frame[256][256];
    shardio_array_options o = {0};
    o.path = path;
    o.dtype = SHARDIO_UINT16;
    o.ndim = 3;
    o.shape[1] = o.shape[2] = 256;   /* shape[0]: as many as come */
    o.chunk[0] = 1;  o.chunk[1] = o.chunk[2] = 128;
    o.shard[0] = 8;  o.shard[1] = o.shard[2] = 256;
    shardio_array *movie = shardio_array_create_in(store, &o);
    for (int i = 0; i < 10; i++) shardio_array_append(movie, frame, 256 * 256);
    return shardio_array_finish(movie, error);
}

static bool print_layer(void *context, uint64_t layer, uint64_t directory, uint64_t size, uint64_t entries)
{
    (void)context, (void)directory;
    printf("layer %d: %d bytes, %d values\n", (int)layer, (int)size, (int)entries);
    return true;
}

int main(void)
{
    shardio_error error;
    shardio_archive_options o = {0};
    o.create = o.overwrite = true;
    shardio_archive *archive = shardio_archive_open("experiment.zip", &o, &error);
    if (archive == NULL) return failed(&error);
    shardio_store store = shardio_archive_store(archive);
    shardio_status status = record(&store, "run1/movie", &error);
    if (status == SHARDIO_OK) status = shardio_archive_commit(archive, &error);   /* others see run1 from here on */
    if (status == SHARDIO_OK) status = record(&store, "run2/movie", &error);
    if (status == SHARDIO_OK) status = shardio_node_remove(&store, "run1", NULL, &error);
    if (status == SHARDIO_OK) status = shardio_archive_commit(archive, &error);   /* run1 is gone, but for layer 1 */
    if (status == SHARDIO_OK) status = shardio_archive_each_layer(archive, false, print_layer, NULL, &error);
    if (status != SHARDIO_OK) {
        shardio_archive_close(archive);
        return failed(&error);
    }
    return shardio_archive_finish(archive, &error) == SHARDIO_OK ? 0 : failed(&error);
}
