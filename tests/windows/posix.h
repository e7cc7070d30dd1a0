/* What the tests use of POSIX, for Windows; included before everything else. What Windows has under another name is
   handed on to it. What it has not is only declared: a test that uses it begins with POSIX_ONLY, or cannot be linked
   (with an optimizer, which leaves out what cannot be reached). */
#ifndef WINDOWS_POSIX_H
#define WINDOWS_POSIX_H

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#include <winioctl.h>
#undef near
#undef far

#include <direct.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Files hold what is written into them, as on POSIX. */
static void __attribute__((constructor)) posix_begin(void)
{
    _fmode = _O_BINARY;
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
    setvbuf(stderr, NULL, _IONBF, 0);
}

/* ---- what has another name */

#define alarm(seconds) (void)(seconds)   /* tests/run ends what takes too long */
#define mkdir(path, mode) _mkdir(path)
#define O_CLOEXEC O_NOINHERIT
enum { POSIX_SHARE_ALL = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE };

static inline int posix_failed(void)
{
    DWORD code = GetLastError();
    errno = code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND ? ENOENT : EACCES;
    return -1;
}

/* Unlike _open, lets others rename and remove the file. */
static inline int posix_open(const char *path, int flags, ...)
{
    DWORD how = flags & O_CREAT ? (flags & O_EXCL ? CREATE_NEW : OPEN_ALWAYS) : OPEN_EXISTING;
    DWORD rights = (flags & 3) == O_RDONLY ? GENERIC_READ : GENERIC_READ | GENERIC_WRITE;
    HANDLE handle = CreateFileA(path, rights, POSIX_SHARE_ALL, NULL, how, 0, NULL);
    return handle == INVALID_HANDLE_VALUE ? posix_failed() : _open_osfhandle((intptr_t)handle, flags | _O_BINARY);
}
#define open posix_open

struct posix_stat {
    uint64_t st_dev, st_ino, st_nlink, st_blocks;
    int64_t st_size, st_mtime;
    struct timespec st_mtim;
    unsigned st_mode;
};

static inline int posix_stat_handle(HANDLE handle, struct posix_stat *facts)
{
    BY_HANDLE_FILE_INFORMATION info;
    FILE_STANDARD_INFO room;
    memset(facts, 0, sizeof *facts);
    if (!GetFileInformationByHandle(handle, &info)) return posix_failed();
    if (!GetFileInformationByHandleEx(handle, FileStandardInfo, &room, sizeof room)) return posix_failed();
    uint64_t time = (uint64_t)info.ftLastWriteTime.dwHighDateTime << 32 | info.ftLastWriteTime.dwLowDateTime;
    facts->st_dev = info.dwVolumeSerialNumber;
    facts->st_ino = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow;
    facts->st_size = room.EndOfFile.QuadPart;
    facts->st_blocks = (uint64_t)room.AllocationSize.QuadPart / 512;
    facts->st_mtime = (int64_t)(time / 10000000u) - INT64_C(11644473600);   /* from 1601 on */
    facts->st_mtim.tv_sec = facts->st_mtime;
    facts->st_mtim.tv_nsec = (long)(time % 10000000u * 100);
    facts->st_nlink = info.nNumberOfLinks;
    facts->st_mode = info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? S_IFDIR : S_IFREG | 0644;
    return 0;
}

static inline int posix_stat(const char *path, struct posix_stat *facts)
{
    HANDLE handle = CreateFileA(path, 0, POSIX_SHARE_ALL, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (handle == INVALID_HANDLE_VALUE) return posix_failed();
    int result = posix_stat_handle(handle, facts);
    CloseHandle(handle);
    return result;
}

static inline int posix_fstat(int fd, struct posix_stat *facts)
{
    return posix_stat_handle((HANDLE)_get_osfhandle(fd), facts);
}
#undef stat
#undef fstat
#define stat posix_stat
#define fstat posix_fstat

/* Replaces what is there. */
static inline int posix_rename(const char *from, const char *to)
{
    return MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING) ? 0 : posix_failed();
}
#define rename posix_rename

static inline int posix_truncate(const char *path, int64_t size)
{
    FILE_END_OF_FILE_INFO end;
    end.EndOfFile.QuadPart = size;
    HANDLE handle = CreateFileA(path, GENERIC_WRITE, POSIX_SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    if (handle == INVALID_HANDLE_VALUE) return posix_failed();
    BOOL fine = SetFileInformationByHandle(handle, FileEndOfFileInfo, &end, sizeof end);
    CloseHandle(handle);
    return fine ? 0 : posix_failed();
}
#undef truncate
#define truncate posix_truncate

static inline int link(const char *from, const char *to)
{
    return CreateHardLinkA(to, from, NULL) ? 0 : posix_failed();
}

static inline char *realpath(const char *path, char *full)
{
    return _fullpath(full, path, 0);
}

static inline char *mkdtemp(char *path)
{
    static unsigned number;
    char *end = path + strlen(path) - 6;
    for (unsigned tries = 0; tries < 10000; tries++) {
        unsigned name = (unsigned)GetCurrentProcessId() * 5003u + number++;
        snprintf(end, 7, "%06x", name & 0xFFFFFFu);
        if (_mkdir(path) == 0) return path;
    }
    return NULL;
}

#define UTIME_NOW 0
enum { AT_FDCWD = -100 };
static inline int utimensat(int directory, const char *path, const struct timespec *times, int flags)
{
    (void)directory, (void)flags;
    HANDLE handle = CreateFileA(path, FILE_WRITE_ATTRIBUTES, POSIX_SHARE_ALL, NULL, OPEN_EXISTING, 0, NULL);
    uint64_t units = (uint64_t)(times[1].tv_sec + INT64_C(11644473600)) * 10000000u;
    FILETIME time = {(DWORD)units, (DWORD)(units >> 32)};
    if (handle == INVALID_HANDLE_VALUE) return posix_failed();
    BOOL fine = SetFileTime(handle, NULL, NULL, &time);
    CloseHandle(handle);
    return fine ? 0 : posix_failed();
}

static inline int lstat(const char *path, struct posix_stat *facts)
{
    return posix_stat(path, facts);
}

static inline int fsync(int fd)
{
    return _commit(fd);
}

static inline OVERLAPPED posix_at(int64_t offset)
{
    OVERLAPPED at;
    memset(&at, 0, sizeof at);
    at.Offset = (DWORD)offset;
    at.OffsetHigh = (DWORD)(offset >> 32);
    return at;
}

static inline int64_t pwrite(int fd, const void *data, size_t size, int64_t offset)
{
    OVERLAPPED at = posix_at(offset);
    DWORD n = 0;
    return WriteFile((HANDLE)_get_osfhandle(fd), data, (DWORD)size, &n, &at) ? (int64_t)n : posix_failed();
}

static inline int64_t pread(int fd, void *data, size_t size, int64_t offset)
{
    OVERLAPPED at = posix_at(offset);
    DWORD n = 0;
    return ReadFile((HANDLE)_get_osfhandle(fd), data, (DWORD)size, &n, &at) ? (int64_t)n : posix_failed();
}

/* Of all that it does, only holes. */
enum { FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2 };
static inline int fallocate(int fd, int mode, int64_t offset, int64_t size)
{
    HANDLE handle = (HANDLE)_get_osfhandle(fd);
    FILE_ZERO_DATA_INFORMATION range;
    DWORD n;
    (void)mode;
    range.FileOffset.QuadPart = offset;
    range.BeyondFinalZero.QuadPart = offset + size;
    if (!DeviceIoControl(handle, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &n, NULL)) return posix_failed();
    return DeviceIoControl(handle, FSCTL_SET_ZERO_DATA, &range, sizeof range, NULL, 0, &n, NULL) ? 0 : posix_failed();
}

/* Of memory without a file only. */
enum { PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, MAP_PRIVATE = 2, MAP_ANONYMOUS = 32, MAP_NORESERVE = 0x4000, MAP_SHARED = 1 };
#define MAP_FAILED ((void *)-1)
static inline void *mmap(void *at, size_t size, int protection, int flags, int fd, int64_t offset)
{
    DWORD how = protection == PROT_NONE ? PAGE_NOACCESS : protection == PROT_READ ? PAGE_READONLY : PAGE_READWRITE;
    void *memory = VirtualAlloc(at, size, protection == PROT_NONE ? MEM_RESERVE : MEM_RESERVE | MEM_COMMIT, how);
    (void)flags, (void)fd, (void)offset;
    return memory != NULL ? memory : MAP_FAILED;
}

static inline int munmap(void *memory, size_t size)
{
    (void)size;
    return VirtualFree(memory, 0, MEM_RELEASE) ? 0 : posix_failed();
}

/* ---- what there is not */

typedef unsigned uid_t;
typedef uint64_t rlim_t;
struct rlimit {
    uint64_t rlim_cur, rlim_max;
};
struct statvfs {
    uint64_t f_bsize, f_bavail;
};
struct FTW;
enum { WNOHANG = 1, O_NONBLOCK = 0x10000, O_DIRECT = 0x20000, O_DIRECTORY = 0x40000, F_GETFL = 3, F_SETFL, F_GETFD, FD_CLOEXEC = 1,
       SIGKILL = 9, RLIMIT_NOFILE = 7, _SC_PAGESIZE = 30, MNT_DETACH = 2, FTW_DEPTH = 8, FTW_PHYS = 1, AT_SYMLINK_NOFOLLOW = 0x100,
       EDQUOT = 10069, MADV_HUGEPAGE = 14,
       SYS_renameat2 = 1, SYS_statx, SYS_openat2 };
#define WIFEXITED(code) ((code) & 1)
#define WEXITSTATUS(code) (code)
#define WIFSIGNALED(code) (code)
#define RLIM_INFINITY UINT64_MAX
#define S_ISLNK(mode) ((mode) == 0)
#define makedev(major, minor) ((major) + (minor))

int fcntl(int, int, ...);
int fork(void);
uid_t geteuid(void);
int getrlimit(int, struct rlimit *);
int linkat(int, const char *, int, const char *, int);
int mincore(void *, size_t, unsigned char *);
int mkdirat(int, const char *, mode_t);
int mkfifo(const char *, mode_t);
int mknod(const char *, mode_t, unsigned);
int mount(const char *, const char *, const char *, unsigned long, const void *);
int nftw(const char *, int (*)(const char *, const struct stat *, int, struct FTW *), int, int);
int openat(int, const char *, int, ...);
ssize_t readlink(const char *, char *, size_t);
int renameat(int, const char *, int, const char *);
int seteuid(uid_t);
int setrlimit(int, const struct rlimit *);
int statvfs(const char *, struct statvfs *);
int symlink(const char *, const char *);
long syscall(long, ...);
long sysconf(int);
int umount2(const char *, int);
int unlinkat(int, const char *, int);
pid_t waitpid(pid_t, int *, int);
#endif
