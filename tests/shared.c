/* The implementation, compiled once for the tests that use nothing but the interface (LINKED in the Makefile). */
#define SHARDIO_IMPLEMENTATION
#include "../shardio.h"
