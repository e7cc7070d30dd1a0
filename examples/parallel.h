/* What threads.c and mpi.c have in common: an array, and how one of its writers writes the shards that are its own.
   Included after shardio.h.

   Three rules let any number of writers, in threads, in processes or on machines with a common file system, write one
   array without a lock: zarr.json is there before any of them opens the array, each has a handle of its own, and no two
   write to the same shard file. Which of them wrote a shard cannot be seen in it: the files are always the same. */
#ifndef PARALLEL_H
#define PARALLEL_H

#include <stdlib.h>
#include <string.h>

/* 27 shards, ragged at the edges: 20, 300 and 400. */
static const uint64_t array_shape[3] = {20, 300, 400}, shard_shape[3] = {8, 128, 160}, chunk_shape[3] = {2, 64, 80};

/* Writes zarr.json of an array that must not exist. Called once, before the writers begin; what none of them reaches
   reads as zero. */
static shardio_status define_array(const char *path, shardio_error *error)
{
    shardio_array_options o = {0};
    o.dtype = SHARDIO_UINT16;
    o.ndim = 3;
    memcpy(o.shape, array_shape, sizeof array_shape);
    memcpy(o.chunk, chunk_shape, sizeof chunk_shape);
    memcpy(o.shard, shard_shape, sizeof shard_shape);
    o.codecs[0] = shardio_codec_crc32c();
    return shardio_array_define(path, &o, error);
}

/* Where shard `number` lies, counted in C order, and how much of it is inside the array; false: there is none. */
static bool region_of_shard(uint64_t number, uint64_t *start, uint64_t *count)
{
    for (int i = 3; i-- > 0;) {
        const uint64_t shards = (array_shape[i] + shard_shape[i] - 1) / shard_shape[i];
        start[i] = number % shards * shard_shape[i];
        count[i] = array_shape[i] - start[i] < shard_shape[i] ? array_shape[i] - start[i] : shard_shape[i];
        number /= shards;
    }
    return number == 0;
}

/* Stands for what a writer has to compute: the elements of a region, in C order. How many bytes they take. */
static size_t compute_region(const uint64_t *start, const uint64_t *count, uint16_t *elements)
{
    size_t n = 0;
    for (uint64_t t = start[0]; t < start[0] + count[0]; t++)
        for (uint64_t y = start[1]; y < start[1] + count[1]; y++)
            for (uint64_t x = start[2]; x < start[2] + count[2]; x++)
                elements[n++] = (uint16_t)(t * 7919 + y * 131 + x * 17);
    return n * sizeof *elements;
}

/* Writes the shards number `writer`, writer + writers, writer + 2 writers ... up to the first one that fails. A region
   that is a whole shard is written without reading anything, and is on stable storage when the call returns. */
static shardio_status write_own_shards(const char *path, uint64_t writer, uint64_t writers, shardio_error *error)
{
    uint64_t start[3], count[3];
    const size_t most = (size_t)(shard_shape[0] * shard_shape[1] * shard_shape[2]);
    uint16_t *elements = (uint16_t *)malloc(most * sizeof *elements);
    shardio_array *array = shardio_array_update(path, NULL, error);
    shardio_status status = error->status;
    if (elements == NULL) status = error->status = SHARDIO_ERR_MEMORY;
    for (uint64_t number = writer; status == SHARDIO_OK && region_of_shard(number, start, count); number += writers) {
        const size_t size = compute_region(start, count, elements);
        status = shardio_array_write(array, start, count, elements, size, error);
    }
    free(elements);
    shardio_array_close(array);
    return status;
}

#endif
