/* The ranks of an MPI program write one array: rank 0 the metadata, each rank shards of its own, through a handle of
   its own. The files are those of threads.c, byte for byte, whatever the number of ranks. How a rank writes its shards
   is in parallel.h. The directory has to be one that all ranks see.

       mpirun -n 4 mpi [OUTPUT.zarr]       writes mpi.zarr, which must not exist

   To compile it:  mpicc -I.. mpi.c -o mpi */

#define SHARDIO_IMPLEMENTATION
#include "shardio.h"
#include "parallel.h"

#include <mpi.h>
#include <stdio.h>

/* Tells a rank's own error, if there was one. Returns whether there was none on any rank, the same on all; like a
   barrier, not before all have come. */
static bool good_everywhere(int rank, const shardio_error *error)
{
    int good = error->status == SHARDIO_OK;
    char text[512];
    if (!good) fprintf(stderr, "mpi: rank %d: %s\n", rank, shardio_error_text(error, text, sizeof text));
    MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_LAND, MPI_COMM_WORLD);
    return good != 0;
}

int main(int count, char **arguments)
{
    const char *path = count > 1 ? arguments[1] : "mpi.zarr";
    int rank, ranks;
    shardio_error error;
    MPI_Init(&count, &arguments);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);

    memset(&error, 0, sizeof error);
    if (rank == 0) define_array(path, &error);
    bool good = good_everywhere(rank, &error);     /* zarr.json is there now, or nobody goes on */
    if (good) {
        write_own_shards(path, (uint64_t)rank, (uint64_t)ranks, &error);
        good = good_everywhere(rank, &error);
    }
    if (good && rank == 0) printf("%s: written by %d ranks\n", path, ranks);
    MPI_Finalize();
    return good ? 0 : 1;
}
