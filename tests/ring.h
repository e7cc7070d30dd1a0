/* A queue of the system's (io_uring) in plain memory: what is submitted is done when somebody waits, in any order, by the
   calls of system.h, which count it, watch it, and let it fail. For system.h, which includes it. */
#ifndef RING_H
#define RING_H

enum { RING_HANDLE = 1 << 22, RINGS = 64, RING_ENTRIES = 64, RING_COMPLETIONS_AT = 32 + 4 * RING_ENTRIES };

typedef struct ring_entry {
    uint8_t operation, flags;
    uint16_t priority;
    int32_t fd;
    uint64_t offset, address;
    uint32_t size, how;
    uint64_t tag, direct, rest[2];   /* direct: ours */
} ring_entry;

typedef struct ring_state {
    uint8_t *memory;             /* heads and tails, as `setup` says below, the array, the completions */
    ring_entry *entries, begun[RING_ENTRIES];
    unsigned count;              /* begun and not done */
    bool open;
} ring_state;

static struct {
    bool there;                  /* the system has queues; otherwise ENOSYS */
    bool failed;                 /* it was entered in vain, which is not so twice in a row */
    bool doing, direct;          /* a transfer is made, begun when its file was unbuffered */
    ring_state one[RINGS];
    uint64_t seed, begun, left;  /* left: begun and not waited for, when the queue was closed */
} rings;

static inline bool ring_is(int fd)
{
    return fd >= RING_HANDLE && fd < RING_HANDLE + RINGS;
}

static inline uint32_t *ring_word(const ring_state *r, size_t number)
{
    return (uint32_t *)(void *)r->memory + number;
}

/* As the kernel fills struct io_uring_params: numbers of entries, features, and where in the memory what is. */
static inline int ring_setup(unsigned depth, uint32_t *setup)
{
    static const uint32_t submissions[] = {0, 4, 8, 12, 0, 0, 32}, completions[] = {16, 20, 24, 28, 0, RING_COMPLETIONS_AT};
    int free_one = 0;
    while (free_one < RINGS && rings.one[free_one].open) free_one++;
    if (!rings.there || free_one == RINGS || depth > RING_ENTRIES) {
        errno = rings.there ? ENOMEM : ENOSYS;
        return -1;
    }
    ring_state *r = &rings.one[free_one];
    memset(r, 0, sizeof *r);
    r->open = true;
    r->memory = (uint8_t *)calloc(1, RING_COMPLETIONS_AT + 2 * RING_ENTRIES * 16);
    r->entries = (ring_entry *)calloc(RING_ENTRIES, sizeof *r->entries);
    setup[0] = RING_ENTRIES;
    setup[1] = 2 * RING_ENTRIES;
    setup[5] = 1 | 8;            /* one map for all; reading and writing as they are */
    memcpy(setup + 10, submissions, sizeof submissions);
    memcpy(setup + 20, completions, sizeof completions);
    *ring_word(r, 2) = *ring_word(r, 3) = RING_ENTRIES - 1;
    *ring_word(r, 6) = *ring_word(r, 7) = 2 * RING_ENTRIES - 1;
    return RING_HANDLE + free_one;
}

static inline void *ring_map(int fd, off_t at)
{
    ring_state *r = &rings.one[fd - RING_HANDLE];
    return at == 0 ? (void *)r->memory : (void *)r->entries;
}

static inline int ring_close(int fd)
{
    ring_state *r = &rings.one[fd - RING_HANDLE];
    rings.left += r->count;
    free(r->memory);
    free(r->entries);
    memset(r, 0, sizeof *r);
    return 0;
}

static inline ssize_t sys_pread(int fd, void *data, size_t size, off_t offset);
static inline ssize_t sys_pwrite(int fd, const void *data, size_t size, off_t offset);

static inline void ring_do(ring_state *r, unsigned number)
{
    const ring_entry e = r->begun[number];
    void *data = (void *)(uintptr_t)e.address;
    r->begun[number] = r->begun[--r->count];
    rings.doing = true;
    rings.direct = e.direct != 0;
    ssize_t n = e.operation == 23 ? sys_pwrite(e.fd, data, e.size, (off_t)e.offset) : sys_pread(e.fd, data, e.size, (off_t)e.offset);
    int32_t result[2] = {n < 0 ? -errno : (int32_t)n, 0};
    rings.doing = false;
    uint32_t *tail = ring_word(r, 5);
    uint8_t *completion = r->memory + RING_COMPLETIONS_AT + *tail % (2 * RING_ENTRIES) * 16;
    memcpy(completion, &e.tag, 8);
    memcpy(completion + 8, result, 8);
    ++*tail;
}

static inline long ring_enter(int fd, unsigned submit, unsigned wanted)
{
    ring_state *r = &rings.one[fd - RING_HANDLE];
    uint32_t *head = ring_word(r, 0);
    for (; submit > 0; submit--, rings.begun++) {
        ring_entry *e = &r->begun[r->count++];
        *e = r->entries[(*head)++ % RING_ENTRIES];
        e->direct = (fcntl(e->fd, F_GETFL) & O_DIRECT) != 0;
    }
    while (wanted > 0 && r->count > 0) {
        rings.seed = rings.seed * 6364136223846793005u + 1442695040888963407u;
        ring_do(r, (unsigned)(rings.seed >> 33) % r->count);
        wanted = (rings.seed >> 62) == 0 ? wanted : wanted - 1;   /* now and then more than was wanted */
    }
    return 0;
}

#endif
