/* What the program asks of the board that it runs on: startup.c for the emulated Cortex-M4, host.c for this machine. */
#ifndef FIRMWARE_BOARD_H
#define FIRMWARE_BOARD_H

#include <stddef.h>

void board_print(const char *text);
/* A file on the host, in the directory in which the emulator runs. 0: it is written. */
int board_save(const char *name, const void *data, size_t size);

/* The most stack that was used below its caller's since the mark, in bytes; 0 where that cannot be seen. */
void board_mark_stack(void);
size_t board_stack_used(void);

#endif
