/* A Cortex-M4 without system and without libc: the first instructions, the four functions that shardio.h needs, and
   files on the host through semihosting. */

#include "board.h"
#include "string.h"

#include <stdint.h>

/* Otherwise the compiler sees what the loops below do and calls the functions that they are. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

extern uint8_t data_begin[], data_end[], bss_begin[], bss_end[], stack_top[];
extern const uint8_t data_load[];
int main(void);

void *memcpy(void *to, const void *from, size_t size)
{
    uint8_t *t = (uint8_t *)to;
    for (const uint8_t *f = (const uint8_t *)from; size > 0; size--) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *t = (uint8_t *)to;
    const uint8_t *f = (const uint8_t *)from;
    if (t <= f) return memcpy(to, from, size);
    while (size-- > 0) t[size] = f[size];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    for (uint8_t *t = (uint8_t *)to; size > 0; size--) *t++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *left = (const uint8_t *)a, *right = (const uint8_t *)b;
    for (; size > 0; size--, left++, right++)
        if (*left != *right) return *left < *right ? -1 : 1;
    return 0;
}

/* ---- semihosting: the breakpoint is a call of the emulator ---- */

enum { SYS_OPEN = 1, SYS_CLOSE = 2, SYS_WRITE0 = 4, SYS_WRITE = 5, SYS_EXIT = 0x18 };
enum { OPEN_WRITE_BINARY = 5, STOPPED_APPLICATION_EXIT = 0x20026, STOPPED_RUN_TIME_ERROR = 0x20023 };

static uint32_t call_host(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t address(const void *memory)
{
    return (uint32_t)(uintptr_t)memory;
}

void board_print(const char *text)
{
    call_host(SYS_WRITE0, address(text));
}

int board_save(const char *name, const void *data, size_t size)
{
    uint32_t length = 0;
    while (name[length] != 0) length++;
    const uint32_t open[3] = {address(name), OPEN_WRITE_BINARY, length};
    const uint32_t file = call_host(SYS_OPEN, address(open));
    if (file == UINT32_MAX) return 1;
    const uint32_t write[3] = {file, address(data), (uint32_t)size};
    const uint32_t left = call_host(SYS_WRITE, address(write));
    const uint32_t close[1] = {file};
    return call_host(SYS_CLOSE, address(close)) != 0 || left != 0;
}

static void leave(int status)
{
    call_host(SYS_EXIT, status == 0 ? STOPPED_APPLICATION_EXIT : STOPPED_RUN_TIME_ERROR);
    for (;;) continue;
}

/* ---- how deep the stack goes: what is below it is painted first ---- */

enum { PAINT = 0xA5, PAINTED = 8192 };

static uint8_t *mark;

/* The stack pointer of its caller, which keeps nothing on the stack that is not saved by then. */
static uint8_t *stack_pointer(void)
{
    uint8_t *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

__attribute__((noinline)) void board_mark_stack(void)
{
    mark = stack_pointer();
    for (uint8_t *at = mark - PAINTED; at < mark; at++) *(volatile uint8_t *)at = PAINT;
}

__attribute__((noinline)) size_t board_stack_used(void)
{
    const uint8_t *at = mark - PAINTED;
    while (at < mark && *at == PAINT) at++;
    return (size_t)(mark - at);
}

/* ---- the beginning ---- */

static void fault(void)
{
    board_print("a fault of the processor\n");
    leave(1);
}

void reset(void)
{
    memcpy(data_begin, data_load, (size_t)(data_end - data_begin));
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    leave(main());
}

typedef union vector {
    uint8_t *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = stack_top}, {.handler = reset}, {.handler = fault}, {.handler = fault}, {.handler = fault},
    {.handler = fault}, {.handler = fault}
};
