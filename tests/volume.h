/* A file system in memory, below the directory VOLUME, that answers the calls of system.h in place of the system, and
   logs every change: each write with its bytes, truncate, punch, sync, and each change of names. There are no symbolic
   links, devices and rights. Blocks have 512 bytes, and unbuffered I/O is taken in multiples of them. Include first.
   Linux. */
#ifndef VOLUME_H
#define VOLUME_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VOLUME "/volume"
enum { VOLUME_NAME = 112, VOLUME_HANDLES = 64, VOLUME_FIRST_FD = 1 << 20, VOLUME_BLOCK = 512 };

typedef struct volume_entry {
    char name[VOLUME_NAME];
    struct volume_node *node;
} volume_entry;

/* A file or a directory. Numbers are never given twice. */
typedef struct volume_node {
    struct volume_node *next;
    uint32_t number, links;
    bool directory, locked;
    uint64_t changed;                /* nanoseconds; another one after each change */
    uint8_t *data;
    size_t size, room;
    volume_entry *entries;
    size_t entry_count, entry_room;
} volume_node;

typedef struct volume_handle {
    volume_node *node;               /* null: not in use */
    int flags;
    uint64_t at;                     /* of read and write; the next entry of a directory */
    bool holds_lock;
    struct dirent entry;
} volume_handle;

typedef enum volume_kind {
    VOLUME_WRITE, VOLUME_CUT, VOLUME_PUNCH, VOLUME_NAMES, VOLUME_SYNC, VOLUME_SYNC_FAILED, VOLUME_NOTE
} volume_kind;

/* One name of a directory stands for this file from now on; 0: for none. */
typedef struct volume_naming {
    uint32_t directory, file;
    char name[VOLUME_NAME];
} volume_naming;

typedef struct volume_change {
    volume_kind kind;
    uint32_t file;
    bool unbuffered, directory;      /* of names: they are those of a directory */
    uint64_t offset, size;           /* of writes, punches; the new size of a cut; of a note: which, and its value */
    uint8_t *data;
    int namings;                     /* that happen in one step */
    volume_naming naming[2];
} volume_change;

static struct {
    volume_node *nodes, *root;
    uint32_t last_number;
    uint64_t clock;
    volume_handle handles[VOLUME_HANDLES];
    int opened;
    bool recording;
    volume_change *log;
    size_t logged, log_room;
    uint64_t misaligned;
} volume;

/* ---- nodes and names ----------------------------------------------------------------------------------------- */

static inline void *volume_allocate(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    if (memory == NULL) abort();
    return memory;
}

static inline void volume_touch(volume_node *n)
{
    n->changed = UINT64_C(1600000000000000007) + 1009 * ++volume.clock;
}

static inline volume_node *volume_add_node(uint32_t number, bool directory)
{
    volume_node *n = (volume_node *)volume_allocate(NULL, sizeof *n);
    memset(n, 0, sizeof *n);
    n->number = number;
    n->directory = directory;
    n->next = volume.nodes;
    volume.nodes = n;
    if (number > volume.last_number) volume.last_number = number;
    volume_touch(n);
    return n;
}

/* Empties it; the log stays. */
static inline void volume_clear(void)
{
    while (volume.nodes != NULL) {
        volume_node *n = volume.nodes;
        volume.nodes = n->next;
        free(n->data);
        free(n->entries);
        free(n);
    }
    memset(volume.handles, 0, sizeof volume.handles);
    volume.opened = 0;
    volume.last_number = 0;
    volume.root = volume_add_node(1, true);
    volume.root->links = 1;
}

static inline volume_entry *volume_lookup(const volume_node *directory, const char *name)
{
    for (size_t i = 0; i < directory->entry_count; i++)
        if (strcmp(directory->entries[i].name, name) == 0) return &directory->entries[i];
    return NULL;
}

/* Who lists the directory meanwhile sees the others all the same. */
static inline void volume_drop_entry(volume_node *directory, volume_entry *e)
{
    size_t i = (size_t)(e - directory->entries);
    directory->entry_count--;
    memmove(e, e + 1, (directory->entry_count - i) * sizeof *e);
    for (int h = 0; h < VOLUME_HANDLES; h++)
        if (volume.handles[h].node == directory && volume.handles[h].at > i) volume.handles[h].at--;
}

/* Lets a name stand for a node; null: for none any more. */
static inline void volume_name(volume_node *directory, const char *name, volume_node *node)
{
    volume_entry *e = volume_lookup(directory, name);
    volume_touch(directory);
    if (e != NULL) {
        e->node->links--;
        volume_touch(e->node);
    }
    if (node == NULL) {
        if (e != NULL) volume_drop_entry(directory, e);
        return;
    }
    node->links++;
    volume_touch(node);
    if (e == NULL) {
        if (directory->entry_count == directory->entry_room) {
            directory->entry_room = 2 * directory->entry_room + 4;
            directory->entries = (volume_entry *)volume_allocate(directory->entries,
                                                                 directory->entry_room * sizeof *directory->entries);
        }
        e = &directory->entries[directory->entry_count++];
        snprintf(e->name, sizeof e->name, "%s", name);
    }
    e->node = node;
}

static inline void volume_resize(volume_node *n, uint64_t size)
{
    if (size > n->room) {
        n->room = (size_t)size + n->room;
        n->data = (uint8_t *)volume_allocate(n->data, n->room);
    }
    if (size > n->size) memset(n->data + n->size, 0, (size_t)size - n->size);
    n->size = (size_t)size;
    volume_touch(n);
}

/* Puts bytes, null: zeros, and makes the file longer if need be. */
static inline void volume_put_bytes(volume_node *n, uint64_t offset, const void *data, size_t size)
{
    if (offset + size > n->size) volume_resize(n, offset + size);
    if (size > 0 && data != NULL) memcpy(n->data + offset, data, size);
    if (size > 0 && data == NULL) memset(n->data + offset, 0, size);
    volume_touch(n);
}

/* ---- the log ------------------------------------------------------------------------------------------------- */

static inline volume_change *volume_log(volume_kind kind, uint32_t file)
{
    static volume_change nobody;
    if (!volume.recording) return &nobody;
    if (volume.logged == volume.log_room) {
        volume.log_room = 2 * volume.log_room + 64;
        volume.log = (volume_change *)volume_allocate(volume.log, volume.log_room * sizeof *volume.log);
    }
    volume_change *c = &volume.log[volume.logged++];
    memset(c, 0, sizeof *c);
    c->kind = kind;
    c->file = file;
    return c;
}

static inline void volume_log_range(volume_kind kind, const volume_handle *h, uint64_t offset, uint64_t size,
                                    const void *data)
{
    volume_change *c = volume_log(kind, h->node->number);
    if (!volume.recording) return;
    c->offset = offset;
    c->size = size;
    c->unbuffered = (h->flags & O_DIRECT) != 0;
    if (data == NULL) return;
    c->data = (uint8_t *)volume_allocate(NULL, (size_t)size);
    memcpy(c->data, data, (size_t)size);
}

static inline void volume_log_naming(volume_change *c, const volume_node *directory, const char *name,
                                     const volume_node *node)
{
    if (!volume.recording) return;
    c->directory = c->directory || (node != NULL && node->directory);
    volume_naming *n = &c->naming[c->namings++];
    n->directory = directory->number;
    n->file = node != NULL ? node->number : 0;
    snprintf(n->name, sizeof n->name, "%s", name);
}

static inline void volume_log_name(const volume_node *directory, const char *name, const volume_node *node)
{
    volume_log_naming(volume_log(VOLUME_NAMES, 0), directory, name, node);
}

static inline void volume_forget_log(void)
{
    for (size_t i = 0; i < volume.logged; i++) free(volume.log[i].data);
    volume.logged = 0;
}

/* ---- paths and descriptors ----------------------------------------------------------------------------------- */

static inline int volume_fail(int code)
{
    errno = code;
    return -1;
}

static inline volume_handle *volume_handle_of(int fd)
{
    int i = fd - VOLUME_FIRST_FD;
    if (i >= 0 && i < VOLUME_HANDLES && volume.handles[i].node != NULL) return &volume.handles[i];
    errno = EBADF;
    return NULL;
}

typedef struct volume_place {
    volume_node *parent, *node;      /* node null: there is nothing of this name */
    char name[VOLUME_NAME];
} volume_place;

static inline int volume_begin_walk(int fd, const char **path, volume_place *at)
{
    size_t n = sizeof VOLUME - 1;
    memset(at, 0, sizeof *at);
    at->node = volume.root;
    if (**path == '/') {
        if (strncmp(*path, VOLUME, n) != 0 || ((*path)[n] != '/' && (*path)[n] != 0)) return volume_fail(ENOENT);
        *path += n;
        return 0;
    }
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return volume_fail(ENOENT);
    at->node = h->node;
    return 0;
}

static inline int volume_walk(int fd, const char *path, volume_place *at)
{
    if (volume_begin_walk(fd, &path, at) != 0) return -1;
    for (;;) {
        while (*path == '/') path++;
        size_t n = strcspn(path, "/");
        if (n == 0) return 0;
        if (at->node == NULL) return volume_fail(ENOENT);
        if (!at->node->directory) return volume_fail(ENOTDIR);
        if (n >= VOLUME_NAME) return volume_fail(ENAMETOOLONG);
        at->parent = at->node;
        memcpy(at->name, path, n);
        at->name[n] = 0;
        path += n;
        if (strcmp(at->name, ".") == 0) continue;
        volume_entry *e = volume_lookup(at->parent, at->name);
        at->node = e != NULL ? e->node : NULL;
    }
}

static inline int volume_openat(int directory, const char *path, int flags, ...)
{
    volume_place at;
    int i = 0;
    if (volume_walk(directory, path, &at) != 0) return -1;
    if (at.node == NULL && !(flags & O_CREAT)) return volume_fail(ENOENT);
    if (at.node != NULL && (flags & O_EXCL)) return volume_fail(EEXIST);
    /* not O_ACCMODE, to which musl counts O_PATH */
    if (at.node != NULL && at.node->directory && (flags & (O_WRONLY | O_RDWR)) != O_RDONLY) return volume_fail(EISDIR);
    if (at.node != NULL && !at.node->directory && (flags & O_DIRECTORY)) return volume_fail(ENOTDIR);
    while (i < VOLUME_HANDLES && volume.handles[i].node != NULL) i++;
    if (i == VOLUME_HANDLES) return volume_fail(EMFILE);
    if (at.node == NULL) {
        at.node = volume_add_node(volume.last_number + 1, false);
        volume_name(at.parent, at.name, at.node);
        volume_log_name(at.parent, at.name, at.node);
    }
    memset(&volume.handles[i], 0, sizeof volume.handles[i]);
    volume.handles[i].node = at.node;
    volume.handles[i].flags = flags;
    volume.opened++;
    return VOLUME_FIRST_FD + i;
}

static inline int volume_close(int fd)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    if (h->holds_lock) h->node->locked = false;
    h->node = NULL;
    volume.opened--;
    return 0;
}

static inline bool volume_is_aligned(const volume_handle *h, const void *data, uint64_t offset, size_t size)
{
    if ((h->flags & O_DIRECT) == 0) return true;
    bool fits = offset % VOLUME_BLOCK == 0 && size % VOLUME_BLOCK == 0 && (uintptr_t)data % VOLUME_BLOCK == 0;
    volume.misaligned += !fits;
    return fits;
}

static inline ssize_t volume_pread(int fd, void *data, size_t size, off_t offset)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    if (h->node->directory) return volume_fail(EISDIR);
    if (!volume_is_aligned(h, data, (uint64_t)offset, size)) return volume_fail(EINVAL);
    if ((uint64_t)offset >= h->node->size) return 0;
    size_t n = h->node->size - (size_t)offset < size ? h->node->size - (size_t)offset : size;
    memcpy(data, h->node->data + offset, n);
    return (ssize_t)n;
}

static inline ssize_t volume_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL || (h->flags & (O_WRONLY | O_RDWR)) == O_RDONLY) return volume_fail(EBADF);
    if (!volume_is_aligned(h, data, (uint64_t)offset, size)) return volume_fail(EINVAL);
    volume_put_bytes(h->node, (uint64_t)offset, data, size);
    volume_log_range(VOLUME_WRITE, h, (uint64_t)offset, size, data);
    return (ssize_t)size;
}

static inline ssize_t volume_read(int fd, void *data, size_t size)
{
    volume_handle *h = volume_handle_of(fd);
    ssize_t n = h != NULL ? volume_pread(fd, data, size, (off_t)h->at) : -1;
    if (n > 0) h->at += (uint64_t)n;
    return n;
}

static inline ssize_t volume_write(int fd, const void *data, size_t size)
{
    volume_handle *h = volume_handle_of(fd);
    ssize_t n = h != NULL ? volume_pwrite(fd, data, size, (off_t)h->at) : -1;
    if (n > 0) h->at += (uint64_t)n;
    return n;
}

static inline int volume_fsync(int fd)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    (void)volume_log(VOLUME_SYNC, h->node->number);
    return 0;
}

static inline int volume_ftruncate(int fd, off_t size)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    volume_resize(h->node, (uint64_t)size);
    volume_log_range(VOLUME_CUT, h, 0, (uint64_t)size, NULL);
    return 0;
}

/* Makes holes, and nothing else. */
static inline int volume_fallocate(int fd, int mode, off_t offset, off_t size)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    if (mode != 3 /* FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE */) return volume_fail(EOPNOTSUPP);
    uint64_t from = (uint64_t)offset, end = from + (uint64_t)size;
    if (end > h->node->size) end = h->node->size;
    if (end <= from) return 0;
    volume_put_bytes(h->node, from, NULL, (size_t)(end - from));
    volume_log_range(VOLUME_PUNCH, h, from, end - from, NULL);
    return 0;
}

static inline int volume_fcntl(int fd, int command, int argument)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    if (command == F_GETFL) return h->flags;
    if (command == F_SETFL) h->flags = (h->flags & ~O_DIRECT) | (argument & O_DIRECT);
    return 0;
}

static inline void volume_stat(const volume_node *n, struct stat *facts)
{
    memset(facts, 0, sizeof *facts);
    facts->st_dev = 77;
    facts->st_ino = n->number;
    facts->st_mode = n->directory ? S_IFDIR | 0755 : S_IFREG | 0644;
    facts->st_nlink = n->links;
    facts->st_size = (off_t)n->size;
    facts->st_blocks = (blkcnt_t)((n->size + 511) / 512);
    facts->st_blksize = VOLUME_BLOCK;
    facts->st_mtim.tv_sec = facts->st_ctim.tv_sec = (time_t)(n->changed / 1000000000u);
    facts->st_mtim.tv_nsec = facts->st_ctim.tv_nsec = (long)(n->changed % 1000000000u);
}

static inline int volume_fstat(int fd, struct stat *facts)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    volume_stat(h->node, facts);
    return 0;
}

static inline int volume_fstatat(int directory, const char *path, struct stat *facts, int flags)
{
    volume_place at;
    (void)flags;
    if (volume_walk(directory, path, &at) != 0) return -1;
    if (at.node == NULL) return volume_fail(ENOENT);
    volume_stat(at.node, facts);
    return 0;
}

static inline int volume_fstatvfs(int fd, struct statvfs *facts)
{
    if (volume_handle_of(fd) == NULL) return -1;
    memset(facts, 0, sizeof *facts);
    facts->f_bsize = facts->f_frsize = VOLUME_BLOCK;
    facts->f_blocks = facts->f_bfree = facts->f_bavail = 1 << 24;
    facts->f_namemax = VOLUME_NAME - 1;
    return 0;
}

static inline off_t volume_lseek(int fd, off_t offset, int whence)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    return whence == SEEK_END ? (off_t)h->node->size : whence == SEEK_SET ? offset : (off_t)h->at;
}

static inline int volume_fchmod(int fd, mode_t mode)
{
    (void)mode;
    return volume_handle_of(fd) != NULL ? 0 : -1;
}

static inline int volume_flock(int fd, int operation)
{
    volume_handle *h = volume_handle_of(fd);
    if (h == NULL) return -1;
    if (operation & LOCK_UN) {
        if (h->holds_lock) h->node->locked = h->holds_lock = false;
        return 0;
    }
    if (h->node->locked && !h->holds_lock) return volume_fail(EWOULDBLOCK);
    h->node->locked = h->holds_lock = true;
    return 0;
}

static inline ssize_t volume_readlink(const char *path, char *target, size_t size)
{
    volume_place at;
    (void)target, (void)size;
    if (volume_walk(AT_FDCWD, path, &at) != 0) return -1;
    return volume_fail(at.node != NULL ? EINVAL : ENOENT);
}

static inline int volume_rename(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    volume_place old, now;
    if (volume_walk(from_directory, from, &old) != 0 || volume_walk(to_directory, to, &now) != 0) return -1;
    if (old.node == NULL || now.parent == NULL) return volume_fail(ENOENT);
    if (now.node != NULL && (flags & 1 /* RENAME_NOREPLACE */)) return volume_fail(EEXIST);
    if (old.node == now.node) return 0;
    if (now.node != NULL && now.node->directory && !old.node->directory) return volume_fail(EISDIR);
    if (now.node != NULL && !now.node->directory && old.node->directory) return volume_fail(ENOTDIR);
    if (now.node != NULL && now.node->entry_count > 0) return volume_fail(ENOTEMPTY);
    volume_name(now.parent, now.name, old.node);
    volume_name(old.parent, old.name, NULL);
    volume_change *c = volume_log(VOLUME_NAMES, 0);
    volume_log_naming(c, old.parent, old.name, NULL);
    volume_log_naming(c, now.parent, now.name, old.node);
    return 0;
}

static inline int volume_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return volume_rename(from_directory, from, to_directory, to, 0);
}

static inline int volume_linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    volume_place old, now;
    (void)flags;
    if (volume_walk(from_directory, from, &old) != 0 || volume_walk(to_directory, to, &now) != 0) return -1;
    if (old.node == NULL || now.parent == NULL) return volume_fail(ENOENT);
    if (now.node != NULL) return volume_fail(EEXIST);
    volume_name(now.parent, now.name, old.node);
    volume_log_name(now.parent, now.name, old.node);
    return 0;
}

static inline int volume_unlinkat(int directory, const char *path, int flags)
{
    volume_place at;
    if (volume_walk(directory, path, &at) != 0) return -1;
    if (at.node == NULL) return volume_fail(ENOENT);
    if (at.parent == NULL) return volume_fail(EBUSY);
    if (at.node->directory != ((flags & AT_REMOVEDIR) != 0)) return volume_fail(at.node->directory ? EISDIR : ENOTDIR);
    if (at.node->entry_count > 0) return volume_fail(ENOTEMPTY);
    volume_name(at.parent, at.name, NULL);
    volume_log_name(at.parent, at.name, NULL);
    return 0;
}

static inline int volume_mkdirat(int directory, const char *path, mode_t mode)
{
    volume_place at;
    (void)mode;
    if (volume_walk(directory, path, &at) != 0) return -1;
    if (at.node != NULL) return volume_fail(EEXIST);
    at.node = volume_add_node(volume.last_number + 1, true);
    volume_name(at.parent, at.name, at.node);
    volume_log_name(at.parent, at.name, at.node);
    return 0;
}

/* A DIR of ours is the handle. */
static inline DIR *volume_fdopendir(int fd)
{
    volume_handle *h = volume_handle_of(fd);
    if (h != NULL && !h->node->directory) {
        errno = ENOTDIR;
        return NULL;
    }
    return (DIR *)(void *)h;
}

static inline int volume_dirfd(DIR *directory)
{
    return VOLUME_FIRST_FD + (int)((volume_handle *)(void *)directory - volume.handles);
}

static inline struct dirent *volume_readdir(DIR *directory)
{
    volume_handle *h = (volume_handle *)(void *)directory;
    if (h->at >= h->node->entry_count) return NULL;
    snprintf(h->entry.d_name, sizeof h->entry.d_name, "%s", h->node->entries[h->at++].name);
    return &h->entry;
}

static inline int volume_closedir(DIR *directory)
{
    return volume_close(volume_dirfd(directory));
}

static inline void volume_tell_alignment(uint32_t *facts)
{
    memset(facts, 0, 256);
    facts[0] = 0x2000;               /* STATX_DIOALIGN */
    facts[38] = facts[39] = VOLUME_BLOCK;
}

static inline long volume_syscall(long number, ...)
{
    va_list list;
    long result = volume_fail(ENOSYS);
    va_start(list, number);
    int fd = va_arg(list, int);
    const char *path = va_arg(list, const char *);
    if (number == SYS_renameat2) {
        int to_directory = va_arg(list, int);
        const char *to = va_arg(list, const char *);
        result = volume_rename(fd, path, to_directory, to, va_arg(list, unsigned));
    } else if (number == SYS_statx && volume_handle_of(fd) != NULL) {
        (void)va_arg(list, int);
        (void)va_arg(list, unsigned);
        volume_tell_alignment(va_arg(list, uint32_t *));
        result = 0;
#if defined(SYS_openat2)
    } else if (number == SYS_openat2) {
        result = volume_openat(fd, path, (int)va_arg(list, const uint64_t *)[0]);
#endif
    }
    va_end(list);
    return result;
}

#define SYS_DOES(call) volume_##call
#include "system.h"

#endif
