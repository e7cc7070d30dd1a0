/* What the page cache holds of a file. */
#ifndef PAGES_H
#define PAGES_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Pages of the file that are in the page cache, or -1. */
static inline long cached_pages(const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat facts;
    long count = -1;
    if (fd >= 0 && fstat(fd, &facts) == 0 && facts.st_size > 0) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = ((size_t)facts.st_size + page - 1) / page;
        void *map = mmap(NULL, (size_t)facts.st_size, PROT_NONE, MAP_SHARED, fd, 0);
        unsigned char *seen = (unsigned char *)malloc(pages);
        if (map != MAP_FAILED && seen != NULL && mincore(map, (size_t)facts.st_size, seen) == 0) {
            count = 0;
            for (size_t i = 0; i < pages; i++) count += seen[i] & 1;
        }
        free(seen);
        if (map != MAP_FAILED) munmap(map, (size_t)facts.st_size);
    }
    if (fd >= 0) close(fd);
    return count;
}

#endif
