#define SHARDIO_IMPLEMENTATION
#include "shardio.h"
int main(void)
{
    static uint16_t frame[512][512];
    shardio_array_options o = {0};
    o.dtype = SHARDIO_UINT16;  o.ndim = 3;
    o.shape[0] = SHARDIO_UNLIMITED;  o.shape[1] = 512;  o.shape[2] = 512;
    o.chunk[0] = 8;    o.chunk[1] = 256;  o.chunk[2] = 256;
    o.shard[0] = 64;   o.shard[1] = 512;  o.shard[2] = 512;
    shardio_array *movie = shardio_array_create("movie.zarr", &o);
    for (int i = 0; i < 100; i++) shardio_array_append(movie, frame, 512 * 512);
    return shardio_array_finish(movie, NULL) == SHARDIO_OK ? 0 : 1;
}
