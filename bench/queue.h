/* Several reads or writes under way at once, by the bare calls of io_uring: what shardio.h is held against, so
   nothing of it is used. A transfer that fails or is not complete ends the program. Include after bench.h. */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include <linux/io_uring.h>
#include <sys/syscall.h>

typedef struct bench_queue {
    int fd;
    unsigned depth, in_flight;           /* the most at once; now */
    uint8_t *rings;                      /* both, in one map */
    size_t rings_size, entries_size;
    struct io_uring_sqe *entries;
    struct io_uring_params facts;
} bench_queue;

static inline unsigned *bench_queue_word(const bench_queue *q, unsigned offset)
{
    return (unsigned *)(void *)(q->rings + offset);
}

static inline void bench_queue_map(bench_queue *q)
{
    const size_t submissions = q->facts.sq_off.array + q->facts.sq_entries * sizeof(unsigned);
    const size_t completions = q->facts.cq_off.cqes + q->facts.cq_entries * sizeof(struct io_uring_cqe);
    const int how = MAP_SHARED | MAP_POPULATE;
    q->rings_size = submissions > completions ? submissions : completions;
    q->entries_size = q->facts.sq_entries * sizeof(struct io_uring_sqe);
    void *rings = mmap(NULL, q->rings_size, PROT_READ | PROT_WRITE, how, q->fd, IORING_OFF_SQ_RING);
    void *entries = mmap(NULL, q->entries_size, PROT_READ | PROT_WRITE, how, q->fd, IORING_OFF_SQES);
    if (rings == MAP_FAILED || entries == MAP_FAILED) bench_die_system("map", "the queue");
    q->rings = (uint8_t *)rings;
    q->entries = (struct io_uring_sqe *)entries;
}

/* 0, or why the system gives no queue: containers forbid it, and it needs Linux 5.6. */
static inline int bench_queue_try(bench_queue *q, unsigned depth)
{
    memset(q, 0, sizeof *q);
    q->depth = depth;
    q->fd = (int)syscall(SYS_io_uring_setup, depth, &q->facts);
    if (q->fd < 0) return errno;
    if ((q->facts.features & IORING_FEAT_SINGLE_MMAP) != 0 && (q->facts.features & IORING_FEAT_RW_CUR_POS) != 0) {
        bench_queue_map(q);
        return 0;
    }
    close(q->fd);
    return ENOSYS;
}

static inline void bench_queue_begin(bench_queue *q, unsigned depth)
{
    errno = bench_queue_try(q, depth);
    if (errno != 0) bench_die_system("get", "a queue of io_uring");
}

static inline void bench_queue_enter(const bench_queue *q, unsigned submit, unsigned wanted)
{
    while (syscall(SYS_io_uring_enter, q->fd, submit, wanted, IORING_ENTER_GETEVENTS, NULL, (size_t)0) < 0)
        if (errno != EINTR && errno != EAGAIN && errno != EBUSY) bench_die_system("enter", "the queue");
}

/* Until at most so many are under way. */
static inline void bench_queue_wait(bench_queue *q, unsigned most)
{
    const unsigned mask = *bench_queue_word(q, q->facts.cq_off.ring_mask);
    unsigned *head = bench_queue_word(q, q->facts.cq_off.head), *tail = bench_queue_word(q, q->facts.cq_off.tail);
    while (q->in_flight > most) {
        if (*head == __atomic_load_n(tail, __ATOMIC_ACQUIRE)) bench_queue_enter(q, 0, 1);
        while (*head != __atomic_load_n(tail, __ATOMIC_ACQUIRE)) {
            struct io_uring_cqe done;
            memcpy(&done, q->rings + q->facts.cq_off.cqes + (*head & mask) * sizeof done, sizeof done);
            __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
            errno = done.res < 0 ? -done.res : EIO;
            if (done.res < 0 || (uint64_t)done.res != done.user_data) bench_die_system("transfer", "a whole piece");
            q->in_flight--;
        }
    }
}

/* Begins a transfer; waits for another one to end where there are too many. `data` stays as it is until then. */
static inline void bench_queue_send(bench_queue *q, bool write, int fd, const uint8_t *data, size_t size,
                                    uint64_t offset)
{
    unsigned *tail = bench_queue_word(q, q->facts.sq_off.tail);
    bench_queue_wait(q, q->depth - 1);
    const unsigned at = *tail & *bench_queue_word(q, q->facts.sq_off.ring_mask);
    struct io_uring_sqe *one = &q->entries[at];
    memset(one, 0, sizeof *one);
    one->opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
    one->fd = fd;
    one->off = offset;
    one->addr = (uintptr_t)data;
    one->len = (unsigned)size;
    one->user_data = size;
    bench_queue_word(q, q->facts.sq_off.array)[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    q->in_flight++;
    bench_queue_enter(q, 1, 0);
}

static inline void bench_queue_end(bench_queue *q)
{
    bench_queue_wait(q, 0);
    if (munmap(q->entries, q->entries_size) != 0 || munmap(q->rings, q->rings_size) != 0 || close(q->fd) != 0)
        bench_die_system("end", "the queue");
}

#endif
