/* The same with one small table and without the CPU's instructions. */
#define SHARDIO_SMALL 1
#define SHARDIO_NO_HARDWARE 1
#include "test_checksum.c"
