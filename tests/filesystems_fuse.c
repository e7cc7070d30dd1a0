/* A FUSE file system for tests/filesystems: passes everything on to a directory, and has an opinion of unbuffered I/O.

       filesystems_fuse refuses|late|lies DIRECTORY MOUNTPOINT -f

   refuses: EINVAL wherever it sees O_DIRECT, at open first. late: takes it at open, fails the transfers with EINVAL.
   lies: takes it, and goes through the page cache of what lies below. Needs libfuse 3. Runs until it is unmounted. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#define FUSE_USE_VERSION 31
#include <fuse.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static struct {
    bool at_open, at_transfer;   /* O_DIRECT is refused there */
    int below;                   /* the directory */
} fs;

/* As openat and its like want it. */
static const char *name_of(const char *path)
{
    return path[1] != 0 ? path + 1 : ".";
}

static int result(int value)
{
    return value < 0 ? -errno : 0;
}

static bool refused(const struct fuse_file_info *file, bool here)
{
    return here && (file->flags & O_DIRECT) != 0;
}

static int fs_getattr(const char *path, struct stat *facts, struct fuse_file_info *file)
{
    return result(file != NULL ? fstat((int)file->fh, facts)
                               : fstatat(fs.below, name_of(path), facts, AT_SYMLINK_NOFOLLOW));
}

static int fs_access(const char *path, int mask)
{
    return result(faccessat(fs.below, name_of(path), mask, 0));
}

static int fs_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *file,
                      enum fuse_readdir_flags flags)
{
    const int fd = openat(fs.below, name_of(path), O_RDONLY | O_DIRECTORY);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    (void)offset, (void)file, (void)flags;
    if (list == NULL) return -errno;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        if (fill(buffer, entry->d_name, NULL, 0, (enum fuse_fill_dir_flags)0) != 0) break;
    closedir(list);
    return 0;
}

static int fs_open_with(const char *path, mode_t mode, int more, struct fuse_file_info *file)
{
    if (refused(file, fs.at_open)) return -EINVAL;
    const int fd = openat(fs.below, name_of(path), (file->flags & ~O_DIRECT) | more | O_CLOEXEC, mode);
    file->fh = (uint64_t)fd;
    return result(fd);
}

static int fs_open(const char *path, struct fuse_file_info *file)
{
    return fs_open_with(path, 0, 0, file);
}

static int fs_create(const char *path, mode_t mode, struct fuse_file_info *file)
{
    return fs_open_with(path, mode, O_CREAT, file);
}

static int fs_read(const char *path, char *data, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)path;
    const ssize_t n = refused(file, fs.at_transfer) ? -1 : pread((int)file->fh, data, size, offset);
    return refused(file, fs.at_transfer) ? -EINVAL : n < 0 ? -errno : (int)n;
}

static int fs_write(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)path;
    if (refused(file, fs.at_transfer)) return -EINVAL;
    const ssize_t n = pwrite((int)file->fh, data, size, offset);
    return n < 0 ? -errno : (int)n;
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *file)
{
    if (file != NULL) return result(ftruncate((int)file->fh, size));
    const int fd = openat(fs.below, name_of(path), O_WRONLY | O_CLOEXEC);
    const int code = fd < 0 ? -errno : result(ftruncate(fd, size));
    if (fd >= 0) close(fd);
    return code;
}

static int fs_fsync(const char *path, int data_only, struct fuse_file_info *file)
{
    (void)path, (void)data_only;
    return result(fsync((int)file->fh));
}

static int fs_fsyncdir(const char *path, int data_only, struct fuse_file_info *file)
{
    (void)data_only, (void)file;
    const int fd = openat(fs.below, name_of(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int code = fd < 0 ? -errno : result(fsync(fd));
    if (fd >= 0) close(fd);
    return code;
}

static int fs_release(const char *path, struct fuse_file_info *file)
{
    (void)path;
    return result(close((int)file->fh));
}

static int fs_fallocate(const char *path, int mode, off_t offset, off_t size, struct fuse_file_info *file)
{
    (void)path;
    return result(fallocate((int)file->fh, mode, offset, size));
}

static int fs_flock(const char *path, struct fuse_file_info *file, int operation)
{
    (void)path;
    return result(flock((int)file->fh, operation));
}

static int fs_mkdir(const char *path, mode_t mode)
{
    return result(mkdirat(fs.below, name_of(path), mode));
}

static int fs_unlink(const char *path)
{
    return result(unlinkat(fs.below, name_of(path), 0));
}

static int fs_rmdir(const char *path)
{
    return result(unlinkat(fs.below, name_of(path), AT_REMOVEDIR));
}

static int fs_rename(const char *from, const char *to, unsigned flags)
{
    return result(renameat2(fs.below, name_of(from), fs.below, name_of(to), flags));
}

static int fs_link(const char *from, const char *to)
{
    return result(linkat(fs.below, name_of(from), fs.below, name_of(to), 0));
}

static int fs_symlink(const char *target, const char *path)
{
    return result(symlinkat(target, fs.below, name_of(path)));
}

static int fs_readlink(const char *path, char *text, size_t size)
{
    const ssize_t n = readlinkat(fs.below, name_of(path), text, size - 1);
    if (n >= 0) text[n] = 0;
    return n < 0 ? -errno : 0;
}

static int fs_mknod(const char *path, mode_t mode, dev_t device)
{
    return result(mknodat(fs.below, name_of(path), mode, device));
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *file)
{
    return result(file != NULL ? fchmod((int)file->fh, mode) : fchmodat(fs.below, name_of(path), mode, 0));
}

static int fs_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *file)
{
    return result(file != NULL ? futimens((int)file->fh, times)
                               : utimensat(fs.below, name_of(path), times, AT_SYMLINK_NOFOLLOW));
}

static int fs_statfs(const char *path, struct statvfs *facts)
{
    (void)path;
    return result(fstatvfs(fs.below, facts));
}

static void set_functions(struct fuse_operations *o)
{
    memset(o, 0, sizeof *o);
    o->getattr = fs_getattr;
    o->access = fs_access;
    o->readdir = fs_readdir;
    o->open = fs_open;
    o->create = fs_create;
    o->read = fs_read;
    o->write = fs_write;
    o->truncate = fs_truncate;
    o->fsync = fs_fsync;
    o->fsyncdir = fs_fsyncdir;
    o->release = fs_release;
    o->fallocate = fs_fallocate;
    o->flock = fs_flock;
    o->mkdir = fs_mkdir;
    o->unlink = fs_unlink;
    o->rmdir = fs_rmdir;
    o->rename = fs_rename;
    o->link = fs_link;
    o->symlink = fs_symlink;
    o->readlink = fs_readlink;
    o->mknod = fs_mknod;
    o->chmod = fs_chmod;
    o->utimens = fs_utimens;
    o->statfs = fs_statfs;
}

int main(int argc, char **argv)
{
    struct fuse_operations functions;
    if (argc < 4) {
        fprintf(stderr, "filesystems_fuse refuses|late|lies DIRECTORY MOUNTPOINT -f\n");
        return 2;
    }
    fs.at_open = strcmp(argv[1], "refuses") == 0;
    fs.at_transfer = fs.at_open || strcmp(argv[1], "late") == 0;
    fs.below = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fs.below < 0) {
        perror(argv[2]);
        return 1;
    }
    argv[2] = argv[0];
    set_functions(&functions);
    umask(0);
    return fuse_main(argc - 2, argv + 2, &functions, NULL);
}
