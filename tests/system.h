/* The calls of the header to the system go through the functions here. They count them and hand them on; the n-th of some
   kind fails, is interrupted, transfers less than it was asked for, or kills the process; and what was done is told to
   whoever watches. Include first: it takes in every system header that the header uses. Linux. */
#ifndef SYSTEM_H
#define SYSTEM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Who answers the calls: the system, or functions that a test puts in its place, as volume.h does. */
#ifndef SYS_DOES
#define SYS_DOES(call) call
#endif

#include "ring.h"

typedef enum sys_call {
    CALL_OPEN, CALL_READ, CALL_WRITE, CALL_PREAD, CALL_PWRITE, CALL_FSYNC, CALL_FTRUNCATE, CALL_FALLOCATE, CALL_FCNTL,
    CALL_FSTAT, CALL_FSTATAT, CALL_FSTATVFS, CALL_STATX, CALL_LSEEK, CALL_FCHMOD, CALL_FLOCK, CALL_READLINK, CALL_RENAME,
    CALL_LINK, CALL_UNLINK, CALL_MKDIR, CALL_OPENDIR, CALL_READDIR, CALL_CLOSE, CALL_QUEUE, CALL_ENTER, CALL_MALLOC, CALLS
} sys_call;

static const char *const sys_names[CALLS] = {
    "open", "read", "write", "pread", "pwrite", "fsync", "ftruncate", "fallocate", "fcntl", "fstat", "fstatat", "fstatvfs",
    "statx", "lseek", "fchmod", "flock", "readlink", "rename", "link", "unlink", "mkdir", "opendir", "readdir", "close",
    "io_uring_setup", "io_uring_enter", "malloc"
};

#define SYS_ONLY(call) (1u << (call))

/* A call: what it was asked to do, and what came of it. */
typedef struct sys_event {
    sys_call call;
    int fd;                      /* the file; of calls with a name the directory that it is in (AT_FDCWD: the current one) */
    const char *path;            /* null: it has none */
    int to_fd;                   /* of renames and links: the other name */
    const char *to;
    uint64_t offset, size;       /* of transfers, fallocate; the new size of ftruncate in size */
    const void *data;            /* of writes */
    int flags;                   /* of open, fallocate, unlinkat, renameat2; the command of fcntl */
    bool openat2;                /* an open by this call */
    long result;                 /* below zero: it failed with this errno: */
    int code;
} sys_event;

static struct {
    /* what shall happen; all-zero: nothing bad */
    unsigned only;               /* these calls count: SYS_ONLY(call) | ...; 0: all but malloc; */
    bool (*among)(const sys_event *e);     /* and of these, those for which this is true; null: all */
    int from, times;             /* from this one on (1: the first; 0: none), so many of them (0: one), */
    int code;                    /* fail with this errno; a malloc gives null */
    bool late;                   /* after they have been done */
    int (*refuses)(const sys_event *e);    /* besides: calls fail with the errno that this gives; 0: this one does not */
    int kill_at;                 /* at this one the process is killed; 0: not */
    bool torn;                   /* after half of it was done, if it is a write */
    uint64_t shorten;            /* seed of short transfers, at random; 0: whole ones */
    bool quick;                  /* the device is not waited for: syncs and unbuffered I/O are told of, but not done */
    bool pretend;                /* nor are writes */
    void (*before)(sys_event *e);          /* may change what is asked for, or act in the name of others */
    void (*after)(const sys_event *e);     /* sees what was done */

    /* what happened */
    int calls[CALLS], counted, fired;
    sys_call fired_call;
    int fired_flags;             /* of the last that failed, as in sys_event; of a file those that it is open with */
    char fired_path[400];        /* what it was about; empty: not known */
    bool inside;                 /* a hook is running: its own calls are nobody's business */
} sys;

static long sys_held;            /* pieces of memory that malloc gave and that were not freed; sys_clear leaves it */

static inline void sys_clear(void)
{
    memset(&sys, 0, sizeof sys);
    rings.seed = 0;              /* the same order again */
    rings.failed = false;
}

/* The n-th of the calls `only` and `times` - 1 more fail with `code`. */
static inline void sys_plan(unsigned only, int n, int times, int code)
{
    sys_clear();
    sys.only = only;
    sys.from = n;
    sys.times = times;
    sys.code = code;
}

/* The path of an open file or directory; empty where the system does not say. */
static inline void sys_path_of(int fd, char *path, size_t size)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, size - 1);
    path[n > 0 ? n : 0] = 0;
}

static inline void sys_note_failure(const sys_event *e)
{
    sys.fired++;
    sys.fired_call = e->call;
    sys.fired_flags = e->path == NULL && e->fd >= 0 ? fcntl(e->fd, F_GETFL) : e->flags;
    sys.fired_path[0] = 0;
    if (e->fd >= 0) sys_path_of(e->fd, sys.fired_path, sizeof sys.fired_path);
    if (e->path == NULL) return;
    if (e->path[0] == '/') sys.fired_path[0] = 0;
    size_t n = strlen(sys.fired_path);
    snprintf(sys.fired_path + n, sizeof sys.fired_path - n, "%s%s", n > 0 ? "/" : "", e->path);
}

static inline bool sys_counts(const sys_event *e)
{
    bool one = sys.only == 0 ? e->call != CALL_MALLOC : (sys.only & SYS_ONLY(e->call)) != 0;
    return one && (sys.among == NULL || sys.among(e));
}

/* Whether the call that is about to be made fails, and with which errno. */
static inline bool sys_fails(sys_event *e)
{
    sys.calls[e->call]++;
    e->code = sys.refuses != NULL ? sys.refuses(e) : 0;
    if (!sys_counts(e)) return e->code != 0;
    sys.counted++;
    if (sys.counted == sys.kill_at && !(sys.torn && e->call == CALL_PWRITE)) raise(SIGKILL);
    bool planned = sys.from != 0 && sys.counted >= sys.from && sys.counted < sys.from + (sys.times > 0 ? sys.times : 1);
    if (planned) e->code = sys.code;
    return planned || e->code != 0;
}

static inline void sys_run_hook(sys_event *e, bool before)
{
    int code = errno;
    sys.inside = true;
    if (before && sys.before != NULL) sys.before(e);
    if (!before && sys.after != NULL) sys.after(e);
    sys.inside = false;
    errno = code;
}

/* Begins a call. False: it is not to be done, and fails. */
static inline bool sys_begin(sys_event *e, bool *fail)
{
    *fail = false;
    if (sys.inside) return true;
    sys_run_hook(e, true);
    *fail = sys_fails(e);
    if (*fail) sys_note_failure(e);
    return !*fail || sys.late;
}

/* Ends a call that gave `result`. */
static inline long sys_end(sys_event *e, long result, bool fail)
{
    if (sys.inside) return result;
    int code = fail ? e->code : errno;
    e->result = fail ? -1 : result;
    e->code = e->result < 0 ? code : 0;
    sys_event done = *e;
    done.result = result;                  /* who watches sees what was done, whatever the caller is told */
    sys_run_hook(&done, false);
    errno = code;
    return e->result;
}

static inline sys_event sys_event_of(sys_call call, int fd, const char *path)
{
    sys_event e;
    memset(&e, 0, sizeof e);
    e.call = call;
    e.fd = fd;
    e.path = path;
    e.to_fd = -1;
    return e;
}

/* Some length up to `size`; with whole blocks asked for, whole blocks, as unbuffered transfers come. */
static inline size_t sys_shorter(size_t size)
{
    if (sys.shorten == 0 || size < 2 || sys.inside) return size;
    sys.shorten = sys.shorten * 6364136223846793005u + 1442695040888963407u;
    if (sys.shorten >> 62 == 0) return size;
    if (size % 512 == 0 && size > 4096) return 4096 * (1 + (size_t)(sys.shorten >> 33) % (size / 4096));
    return size % 512 == 0 ? size : 1 + (size_t)(sys.shorten >> 33) % size;
}

static inline int sys_openat(int directory, const char *path, int flags, ...)
{
    sys_event e = sys_event_of(CALL_OPEN, directory, path);
    va_list list;
    bool fail;
    int result = -1;
    va_start(list, flags);
    int mode = flags & O_CREAT ? va_arg(list, int) : 0;
    va_end(list);
    e.flags = flags;
    if (sys_begin(&e, &fail)) result = SYS_DOES(openat)(directory, path, flags, mode);
    if (fail && result >= 0) SYS_DOES(close)(result);   /* nobody will */
    return (int)sys_end(&e, result, fail);
}

static inline int sys_open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int mode = flags & O_CREAT ? va_arg(list, int) : 0;
    va_end(list);
    return sys_openat(AT_FDCWD, path, flags, mode);
}

/* Transfers at no offset have the offset (off_t)-1. */
static inline ssize_t sys_transfer(sys_call call, int fd, void *into, const void *from, size_t size, off_t offset)
{
    sys_event e = sys_event_of(call, fd, NULL);
    bool fail;
    ssize_t done = -1;
    e.offset = (uint64_t)offset;
    e.size = size;
    e.data = from;
    if (sys_begin(&e, &fail)) {
        bool torn = sys.torn && !sys.inside && sys.counted == sys.kill_at && call == CALL_PWRITE;
        size = torn ? size / 2 : sys_shorter(size);
        if (call == CALL_READ) done = SYS_DOES(read)(fd, into, size);
        if (call == CALL_WRITE) done = SYS_DOES(write)(fd, from, size);
        if (call == CALL_PREAD) done = SYS_DOES(pread)(fd, into, size, offset);
        if (call == CALL_PWRITE) done = sys.pretend ? (ssize_t)size : SYS_DOES(pwrite)(fd, from, size, offset);
        if (torn) raise(SIGKILL);
        e.size = done > 0 ? (uint64_t)done : 0;
    }
    return (ssize_t)sys_end(&e, done, fail);
}

static inline ssize_t sys_read(int fd, void *data, size_t size)
{
    return sys_transfer(CALL_READ, fd, data, NULL, size, -1);
}

static inline ssize_t sys_write(int fd, const void *data, size_t size)
{
    return sys_transfer(CALL_WRITE, fd, NULL, data, size, -1);
}

static inline ssize_t sys_pread(int fd, void *data, size_t size, off_t offset)
{
    return sys_transfer(CALL_PREAD, fd, data, NULL, size, offset);
}

static inline ssize_t sys_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return sys_transfer(CALL_PWRITE, fd, NULL, data, size, offset);
}

/* A call that is done by the expression `act`, between what goes before and after it. */
#define SYS_DO(event, act)                                                                                            \
    bool fail;                                                                                                        \
    long result = -1;                                                                                                 \
    if (sys_begin(&(event), &fail)) result = (act);                                                                   \
    return sys_end(&(event), result, fail)

static inline long sys_do_fsync(int fd)
{
    sys_event e = sys_event_of(CALL_FSYNC, fd, NULL);
    SYS_DO(e, sys.quick ? 0 : SYS_DOES(fsync)(fd));
}

static inline long sys_do_ftruncate(int fd, off_t size)
{
    sys_event e = sys_event_of(CALL_FTRUNCATE, fd, NULL);
    e.size = (uint64_t)size;
    SYS_DO(e, SYS_DOES(ftruncate)(fd, size));
}

static inline long sys_do_fallocate(int fd, int mode, off_t offset, off_t size)
{
    sys_event e = sys_event_of(CALL_FALLOCATE, fd, NULL);
    e.flags = mode;
    e.offset = (uint64_t)offset;
    e.size = (uint64_t)size;
    SYS_DO(e, SYS_DOES(fallocate)(fd, mode, offset, size));
}

static inline long sys_do_fcntl(int fd, int command, int argument)
{
    sys_event e = sys_event_of(CALL_FCNTL, fd, NULL);
    e.flags = command;
    if (sys.quick && command == F_SETFL) argument &= ~O_DIRECT;
    SYS_DO(e, SYS_DOES(fcntl)(fd, command, argument));
}

static inline long sys_do_fstat(int fd, struct stat *facts)
{
    sys_event e = sys_event_of(CALL_FSTAT, fd, NULL);
    SYS_DO(e, SYS_DOES(fstat)(fd, facts));
}

static inline long sys_do_fstatat(int directory, const char *path, struct stat *facts, int flags)
{
    sys_event e = sys_event_of(CALL_FSTATAT, directory, path);
    e.flags = flags;
    SYS_DO(e, SYS_DOES(fstatat)(directory, path, facts, flags));
}

static inline long sys_do_fstatvfs(int fd, struct statvfs *facts)
{
    sys_event e = sys_event_of(CALL_FSTATVFS, fd, NULL);
    SYS_DO(e, SYS_DOES(fstatvfs)(fd, facts));
}

static inline long sys_do_fchmod(int fd, mode_t mode)
{
    sys_event e = sys_event_of(CALL_FCHMOD, fd, NULL);
    SYS_DO(e, SYS_DOES(fchmod)(fd, mode));
}

static inline long sys_do_flock(int fd, int operation)
{
    sys_event e = sys_event_of(CALL_FLOCK, fd, NULL);
    e.flags = operation;
    SYS_DO(e, SYS_DOES(flock)(fd, operation));
}

static inline long sys_do_readlink(const char *path, char *target, size_t size)
{
    sys_event e = sys_event_of(CALL_READLINK, AT_FDCWD, path);
    SYS_DO(e, SYS_DOES(readlink)(path, target, size));
}

static inline long sys_do_rename(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    sys_event e = sys_event_of(CALL_RENAME, from_directory, from);
    e.to_fd = to_directory;
    e.to = to;
    e.flags = (int)flags;
    SYS_DO(e, flags == 0 ? SYS_DOES(renameat)(from_directory, from, to_directory, to)
                         : SYS_DOES(syscall)(SYS_renameat2, from_directory, from, to_directory, to, flags));
}

static inline long sys_do_link(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    sys_event e = sys_event_of(CALL_LINK, from_directory, from);
    e.to_fd = to_directory;
    e.to = to;
    e.flags = flags;
    SYS_DO(e, SYS_DOES(linkat)(from_directory, from, to_directory, to, flags));
}

static inline long sys_do_unlink(int directory, const char *path, int flags)
{
    sys_event e = sys_event_of(CALL_UNLINK, directory, path);
    e.flags = flags;
    SYS_DO(e, SYS_DOES(unlinkat)(directory, path, flags));
}

static inline long sys_do_mkdir(int directory, const char *path, mode_t mode)
{
    sys_event e = sys_event_of(CALL_MKDIR, directory, path);
    SYS_DO(e, SYS_DOES(mkdirat)(directory, path, mode));
}

static inline int sys_fsync(int fd) { return (int)sys_do_fsync(fd); }
static inline int sys_ftruncate(int fd, off_t size) { return (int)sys_do_ftruncate(fd, size); }
static inline int sys_fstat(int fd, struct stat *facts) { return (int)sys_do_fstat(fd, facts); }
static inline int sys_fstatvfs(int fd, struct statvfs *facts) { return (int)sys_do_fstatvfs(fd, facts); }
static inline int sys_fchmod(int fd, mode_t mode) { return (int)sys_do_fchmod(fd, mode); }
static inline int sys_flock(int fd, int operation) { return (int)sys_do_flock(fd, operation); }
static inline ssize_t sys_readlink(const char *path, char *target, size_t size)
{
    return (ssize_t)sys_do_readlink(path, target, size);
}

static inline int sys_fallocate(int fd, int mode, off_t offset, off_t size)
{
    return (int)sys_do_fallocate(fd, mode, offset, size);
}

static inline int sys_fstatat(int directory, const char *path, struct stat *facts, int flags)
{
    return (int)sys_do_fstatat(directory, path, facts, flags);
}

static inline int sys_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return (int)sys_do_rename(from_directory, from, to_directory, to, 0);
}

static inline int sys_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    return (int)sys_do_link(from_directory, from, to_directory, to, flags);
}

static inline int sys_unlinkat(int directory, const char *path, int flags)
{
    return (int)sys_do_unlink(directory, path, flags);
}

static inline int sys_mkdirat(int directory, const char *path, mode_t mode)
{
    return (int)sys_do_mkdir(directory, path, mode);
}

static inline int sys_fcntl(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    int argument = command == F_SETFL || command == F_SETFD ? va_arg(list, int) : 0;
    va_end(list);
    return (int)sys_do_fcntl(fd, command, argument);
}

static inline off_t sys_lseek(int fd, off_t offset, int whence)
{
    sys_event e = sys_event_of(CALL_LSEEK, fd, NULL);
    bool fail;
    off_t result = -1;
    if (sys_begin(&e, &fail)) result = SYS_DOES(lseek)(fd, offset, whence);
    return sys_end(&e, result < 0 ? -1 : 0, fail) < 0 ? -1 : result;
}

/* It is closed in any case, as Linux does. */
static inline int sys_close(int fd)
{
    if (ring_is(fd)) return ring_close(fd);
    sys_event e = sys_event_of(CALL_CLOSE, fd, NULL);
    bool fail;
    (void)sys_begin(&e, &fail);
    return (int)sys_end(&e, SYS_DOES(close)(fd), fail);
}

static inline DIR *sys_fdopendir(int fd)
{
    sys_event e = sys_event_of(CALL_OPENDIR, fd, NULL);
    bool fail;
    DIR *directory = NULL;
    if (sys_begin(&e, &fail) && !fail) directory = SYS_DOES(fdopendir)(fd);
    return sys_end(&e, directory == NULL ? -1 : 0, fail) < 0 ? NULL : directory;
}

static inline struct dirent *sys_readdir(DIR *directory)
{
    sys_event e = sys_event_of(CALL_READDIR, SYS_DOES(dirfd)(directory), NULL);
    bool fail;
    struct dirent *entry = NULL;
    if (sys_begin(&e, &fail)) entry = SYS_DOES(readdir)(directory);
    return sys_end(&e, 0, fail) < 0 ? NULL : entry;
}

static inline int sys_closedir(DIR *directory)
{
    return SYS_DOES(closedir)(directory);
}

/* The calls by number. Hints, of which nobody sees an error, are not made. */
static inline long sys_syscall(long number, ...)
{
    va_list list;
    long result = 0;
    va_start(list, number);
    if (number == SYS_io_uring_setup) {
        sys_event e = sys_event_of(CALL_QUEUE, -1, NULL);
        unsigned depth = va_arg(list, unsigned);
        bool fail;
        result = -1;
        if (sys_begin(&e, &fail)) result = ring_setup(depth, va_arg(list, uint32_t *));
        result = sys_end(&e, result, fail);
    } else if (number == SYS_io_uring_enter) {
        sys_event e = sys_event_of(CALL_ENTER, va_arg(list, int), NULL);
        unsigned submit = va_arg(list, unsigned);
        unsigned wanted = va_arg(list, unsigned);
        bool fail = false, again = rings.failed;   /* the system gets on with it in the end */
        rings.failed = false;
        result = -1;
        if (again || sys_begin(&e, &fail)) result = ring_enter(e.fd, submit, wanted);
        if (!again) result = sys_end(&e, result, fail);
        rings.failed = fail;
    } else if (number == SYS_renameat2) {
        int from_directory = va_arg(list, int);
        const char *from = va_arg(list, const char *);
        int to_directory = va_arg(list, int);
        const char *to = va_arg(list, const char *);
        result = sys_do_rename(from_directory, from, to_directory, to, va_arg(list, unsigned));
    } else if (number == SYS_statx) {
        sys_event e = sys_event_of(CALL_STATX, va_arg(list, int), NULL);
        const char *path = va_arg(list, const char *);
        int flags = va_arg(list, int);
        unsigned mask = va_arg(list, unsigned);
        uint32_t *facts = va_arg(list, uint32_t *);
        bool fail;
        result = -1;
        if (sys_begin(&e, &fail)) result = SYS_DOES(syscall)(number, e.fd, path, flags, mask, facts);
        if (result == 0 && facts[38] == 0) result = -1, errno = ENOSYS;   /* qemu-user leaves stx_dio_mem_align out */
        result = sys_end(&e, result, fail);
#if defined(SYS_openat2)
    } else if (number == SYS_openat2) {
        int directory = va_arg(list, int);
        sys_event e = sys_event_of(CALL_OPEN, directory, va_arg(list, const char *));
        const uint64_t *how = va_arg(list, const uint64_t *);
        size_t size = va_arg(list, size_t);
        bool fail;
        e.flags = (int)how[0];
        e.openat2 = true;
        result = -1;
        if (sys_begin(&e, &fail)) result = SYS_DOES(syscall)(number, directory, e.path, how, size);
        if (fail && result >= 0) close((int)result);
        result = sys_end(&e, result, fail);
#endif
    }
    va_end(list);
    return result;
}

static inline void *sys_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return ring_is(fd) ? ring_map(fd, offset) : mmap(address, size, protection, flags, fd, offset);
}

static inline int sys_munmap(void *memory, size_t size)
{
    for (int i = 0; i < RINGS; i++)
        if (memory == (void *)rings.one[i].memory || memory == (void *)rings.one[i].entries) return 0;
    return munmap(memory, size);
}

static inline void *sys_malloc(size_t size)
{
    sys_event e = sys_event_of(CALL_MALLOC, -1, NULL);
    void *memory;
    e.size = size;
    if (!sys.inside && sys_fails(&e)) {
        sys_note_failure(&e);
        return NULL;
    }
    memory = size > SIZE_MAX / 2 ? NULL : malloc(size);   /* the sanitizers would stop here */
    sys_held += memory != NULL;
    return memory;
}

/* Memory that the tests have for themselves, and give back by the free below. */
static inline void *sys_counted(void *memory)
{
    sys_held += memory != NULL;
    return memory;
}

static inline void sys_free(void *memory)
{
    sys_held -= memory != NULL;
    free(memory);
}

/* open, read, write and close stay so to the end: tables of functions have members of these names */
#define open sys_open
#define read sys_read
#define write sys_write
#define close sys_close
#define openat sys_openat
#define pread sys_pread
#define pwrite sys_pwrite
#define fsync sys_fsync
#define ftruncate sys_ftruncate
#define fallocate sys_fallocate
#define fcntl sys_fcntl
#define fstat sys_fstat
#define fstatat sys_fstatat
#define fstatvfs sys_fstatvfs
#define lseek sys_lseek
#define fchmod sys_fchmod
#define flock sys_flock
#define readlink sys_readlink
#define renameat sys_renameat
#define linkat sys_linkat
#define unlinkat sys_unlinkat
#define mkdirat sys_mkdirat
#define fdopendir sys_fdopendir
#define readdir sys_readdir
#define closedir sys_closedir
#define syscall sys_syscall
#define mmap sys_mmap
#define munmap sys_munmap
#define malloc sys_malloc
#define free sys_free
#define TEST_COUNTED(memory) sys_counted(memory)
#include "test.h"
#undef openat
#undef pread
#undef pwrite
#undef fsync
#undef ftruncate
#undef fallocate
#undef fcntl
#undef fstat
#undef fstatat
#undef fstatvfs
#undef lseek
#undef fchmod
#undef flock
#undef readlink
#undef renameat
#undef linkat
#undef unlinkat
#undef mkdirat
#undef fdopendir
#undef readdir
#undef closedir
#undef syscall
#undef mmap
#undef munmap
#undef malloc
#undef free

#endif
