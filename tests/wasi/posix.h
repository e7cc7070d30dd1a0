/* What the tests use of POSIX and WASI does not have; included before everything else. Most of it fails with ENOSYS:
   tests that cannot do without are in the list below. */
#ifndef WASI_POSIX_H
#define WASI_POSIX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* A directory of a new name for XXXXXX. */
static inline char *mkdtemp(char *path)
{
    static unsigned number;
    size_t n = strlen(path);
    do snprintf(path + n - 6, 7, "%06x", number++ & 0xFFFFFFu);
    while (mkdir(path, 0700) != 0 && errno == EEXIST);
    struct stat s;
    return stat(path, &s) == 0 ? path : NULL;
}

/* Paths are as they were given: there is no current directory to count from. */
static inline char *wasi_realpath(const char *path, char *resolved)
{
    return resolved == NULL ? strdup(path) : strcpy(resolved, path);
}
#define realpath wasi_realpath

static inline const char *wasi_why_not(const char *test)
{
    static const char *const tests[][2] = {
        {"one_writer", "WASI has no locks"},
        {"readers_open_beside_a_writer", "WASI has no processes"},
        {"many_shards_in_flight", "WASI has no limit of descriptors"},
        {"full_device", "WASI makes no devices"},
        {"existing_is_not_touched", "a path through a file is ENOTCAPABLE in WASI: refused, but as ERR_IO"},
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (strcmp(tests[i][0], test) == 0) return tests[i][1];
    return NULL;
}
#define TEST_CANNOT wasi_why_not

static inline int wasi_cannot(void)
{
    errno = ENOSYS;
    return -1;
}

static inline pid_t fork(void)
{
    return wasi_cannot();
}

static inline unsigned alarm(unsigned seconds)
{
    (void)seconds;   /* node is not interrupted */
    return 0;
}

static inline uid_t geteuid(void)
{
    return 1;
}

static inline int seteuid(uid_t user)
{
    (void)user;
    return wasi_cannot();
}

static inline int mknod(const char *path, mode_t mode, dev_t device)
{
    (void)path, (void)mode, (void)device;
    return wasi_cannot();
}

static inline int mkfifo(const char *path, mode_t mode)
{
    return mknod(path, mode, 0);
}

/* Used to remove trees of no more use, which then stay a little longer. */
static inline int wasi_system(const char *command)
{
    return strstr(command, "rm -rf '") != NULL ? 0 : wasi_cannot();
}

#define system wasi_system

/* Memory of nobody else's; files cannot be mapped. It is really taken, so not too much: without memory WASI's first use of a
   path ends the program. */
static inline void *wasi_mmap(size_t size, int flags)
{
    void *memory = (flags & MAP_ANONYMOUS) != 0 && size < (size_t)1 << 29 ? calloc(1, size) : NULL;
    return memory != NULL ? memory : MAP_FAILED;
}
#define mmap(place, size, rights, flags, file, offset) ((void)(file), wasi_mmap(size, flags))
#define munmap(memory, size) (free(memory), 0)

static inline int wasi_mincore(void *memory, size_t size, unsigned char *pages)
{
    (void)memory, (void)size, (void)pages;
    return wasi_cannot();
}

#define mincore wasi_mincore

struct rlimit {
    unsigned long rlim_cur, rlim_max;
};
enum { RLIMIT_NOFILE = 1 };
#define RLIM_INFINITY (~0ul)

static inline int getrlimit(int what, struct rlimit *limit)
{
    (void)what;
    memset(limit, 0, sizeof *limit);
    return wasi_cannot();
}

static inline int setrlimit(int what, const struct rlimit *limit)
{
    (void)what, (void)limit;
    return wasi_cannot();
}

static inline int fallocate(int file, int mode, off_t offset, off_t size)
{
    (void)file, (void)mode, (void)offset, (void)size;
    return wasi_cannot();
}
#endif
