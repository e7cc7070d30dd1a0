/* The fuzz target of the zarr section as a test of its own: so it runs on every machine and with every compiler that
   the other tests run on, without libFuzzer. */
#define FUZZ_ROUNDS 300
#include "fuzz/fuzz_zarr.c"
