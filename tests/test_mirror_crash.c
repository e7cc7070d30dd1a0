/* Mirrors when something goes wrong: the process is killed at any call, system calls fail, the disk is full; and other
   processes on the same mirror. What a loss of power leaves: test_power.c. */
#include "system.h"
#include "mirrors.h"
#include <sys/resource.h>

/* The calls by which a mirror changes or reads its files; looking at them does not count. */
#define CALLS_OF_FILES (SYS_ONLY(CALL_OPEN) | SYS_ONLY(CALL_PREAD) | SYS_ONLY(CALL_PWRITE) | SYS_ONLY(CALL_FSYNC) \
                        | SYS_ONLY(CALL_FTRUNCATE) | SYS_ONLY(CALL_FALLOCATE) | SYS_ONLY(CALL_RENAME) | SYS_ONLY(CALL_UNLINK))

enum { CHUNK = 512, CHUNKS = 64, LENGTH = CHUNKS * CHUNK - 100 };

static remote far;

static void begin(void)
{
    sys_clear();
    rig_new_directory();
    remote_make(&far, 1, LENGTH);
}

static shardio_mirror *open_mirror(remote *r, const shardio_mirror_options *o, shardio_error *error)
{
    shardio_source source = remote_source(r, false);
    memset(error, 0, sizeof *error);
    return shardio_mirror_open(&source, rig_path("object"), o, error);
}

static shardio_mirror *open_plain(void)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    shardio_mirror *m = open_mirror(&far, &o, &error);
    char text[300];
    if (!CHECK(m != NULL)) fprintf(stderr, "    %s\n", shardio_error_text(&error, text, sizeof text));
    return m;
}

/* ---- a life of a mirror -------------------------------------------------------------------------------------- */

typedef struct life {
    uint64_t seed;
    int steps;
    bool fragile;             /* calls may fail */
    bool restless;            /* the object changes now and then */
} life;

static shardio_status life_step(shardio_mirror *m, uint64_t *seed)
{
    shardio_error error;
    uint64_t what = test_random(seed) % 12, at = test_random(seed) % LENGTH, size = test_random(seed) % (9 * CHUNK);
    if (what < 6) return read_and_compare(__FILE__, __LINE__, m, &far, at, (size_t)size, &error);
    if (what < 8) return shardio_mirror_save(m, &error);
    if (what < 10) return shardio_mirror_evict(m, at, size * 2, &error);
    if (what == 10) return shardio_mirror_evict_to(m, test_random(seed) % LENGTH, &error);
    return shardio_mirror_prefetch(m, at, size, &error);
}

/* Opens, reads, saves, evicts, closes; again and again. */
static void life_run(const life *l)
{
    uint64_t seed = l->seed;
    shardio_error error;
    for (int step = 0; step < l->steps;) {
        shardio_mirror_options o = plain_options();
        o.save_every = test_random(&seed) % 3 == 0 ? 5 * CHUNK : 0;
        o.gap = test_random(&seed) % 3 * CHUNK;
        o.start_over = true;
        if (l->restless && test_random(&seed) % 3 == 0) remote_make(&far, 3 - far.version, far.length);
        shardio_mirror *m = open_mirror(&far, &o, &error);
        if (m == NULL && !l->fragile && !CHECK(m != NULL)) return;
        step++;
        for (int n = (int)(test_random(&seed) % 12); m != NULL && n > 0; n--, step++) {
            shardio_status status = life_step(m, &seed);
            CHECK(status == SHARDIO_OK || l->fragile);
        }
        if (m == NULL) continue;
        shardio_status status = shardio_mirror_close(m, &error);
        CHECK(status == SHARDIO_OK || l->fragile);
    }
}

/* Whatever happened: a mirror can be opened, what it has is right, and it works. */
static uint64_t check_survivor(void)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    uint64_t from = 0, offset, size, covered = 0;
    char text[300];
    sys_clear();
    remote_forget(&far);
    o.start_over = true;
    size_t map_size = 0;
    uint8_t *map = rig_slurp(rig_path("object.shardio-map"), &map_size);
    CHECK(map == NULL || map_look(map, map_size).valid);   /* one or another, never half of one */
    free(map);
    shardio_mirror *m = open_mirror(&far, &o, &error);
    if (!CHECK(m != NULL)) {
        fprintf(stderr, "    %s\n", shardio_error_text(&error, text, sizeof text));
        return 0;
    }
    covered = shardio_mirror_about(m).covered;
    for (; shardio_mirror_next_extent(m, from, &offset, &size); from = offset + size) CHECK_READ(m, &far, offset, (size_t)size);
    CHECK_U64(far.requests, 0);
    CHECK_OK(shardio_mirror_close(m, &error));
    return covered;
}

/* ---- kills --------------------------------------------------------------------------------------------------- */

/* Killed at the n-th call, before it or in the middle of it, and gone on from there with the next one. */
TEST(killed_at_any_call)
{
    uint64_t kills = 0, survived = 0, rounds = 20 * test_rounds(8);
    begin();
    for (uint64_t seed = 1; seed <= rounds; seed++) {
        int code = 0;
        life l = {seed * 1000, 40, false, seed % 4 == 0};
        if (seed % 20 == 0) begin();                       /* a new mirror now and then: its first calls count, too */
        uint64_t random = seed;
        sys_plan(CALLS_OF_FILES, 0, 0, 0);
        sys.kill_at = 1 + (int)(test_random(&random) % (seed % 20 < 10 ? 60 : 400));
        sys.torn = seed % 2 == 0;
        pid_t child = fork();
        if (child == 0) {
            life_run(&l);
            _exit(test_failures > 0);
        }
        CHECK(child > 0 && waitpid(child, &code, 0) == child);
        CHECK(WIFSIGNALED(code) ? WTERMSIG(code) == SIGKILL : WEXITSTATUS(code) == 0);
        kills += WIFSIGNALED(code) != 0;
        if (l.restless) remote_make(&far, 1 + seed / 4 % 2, LENGTH);
        survived += check_survivor() > 0;
        if (test_failures > 0) {
            fprintf(stderr, "    seed %llu\n", (unsigned long long)seed);
            return;
        }
    }
    CHECK(kills >= rounds * 5 / 8 && survived >= rounds / 8);
}

/* Killed from outside, at any time. */
TEST(killed_at_any_time)
{
    uint64_t rounds = test_rounds(40), seed = 5;
    begin();
    for (uint64_t i = 0; i < rounds && test_failures == 0; i++) {
        int code = 0;
        life l = {i * 7777, 1 << 20, false, false};
        pid_t child = fork();
        if (child == 0) {
            life_run(&l);
            _exit(0);
        }
        usleep((useconds_t)(test_random(&seed) % 20000));
        CHECK(child > 0 && kill(child, SIGKILL) == 0 && waitpid(child, &code, 0) == child);
        (void)check_survivor();
    }
}

/* ---- calls that fail ----------------------------------------------------------------------------------------- */

/* Any call fails, once or from then on: an error or not, but never wrong bytes; then all is well again. */
TEST(calls_that_fail)
{
    static const int codes[] = {EIO, ENOSPC, EACCES, EMFILE};
    for (int on = 0; on < 2; on++) {
        for (int n = 1; n < 400; n += 1 + n / 40) {
            life l = {(uint64_t)n % 7, 30, true, n % 3 == 0};
            begin();
            sys_plan(0, n, on ? 1 << 20 : 1, codes[n % 4]);
            life_run(&l);
            bool fired = sys.fired > 0;
            (void)check_survivor();
            if (test_failures > 0) fprintf(stderr, "    call %d\n", n);
            if (test_failures > 0 || !fired) break;
        }
    }
}

/* The disk is full: an error that says so, and what is there is read as before. */
TEST(full_disk)
{
    shardio_error error;
    uint8_t data[8 * CHUNK];
    size_t done = 0;
    begin();
    shardio_mirror *m = open_plain();
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, 4 * CHUNK);
    CHECK_OK(shardio_mirror_save(m, &error));
    sys_plan(SYS_ONLY(CALL_PWRITE), 1, 1 << 20, ENOSPC);
    CHECK_STATUS(shardio_mirror_read(m, 2 * CHUNK, data, 8 * CHUNK, &done, &error), SHARDIO_ERR_NO_SPACE);
    CHECK_STATUS(error.status, SHARDIO_ERR_NO_SPACE);
    CHECK_U64(error.system_code, ENOSPC);
    CHECK(strstr(error.subject, "object") != NULL);
    CHECK_STATUS(shardio_mirror_fill(m, NULL, NULL, &error), SHARDIO_ERR_NO_SPACE);
    CHECK_READ(m, &far, 0, 4 * CHUNK);
    CHECK_COVERAGE(m, "0+4");
    CHECK_STATUS(shardio_mirror_evict(m, 0, 2 * CHUNK, &error), SHARDIO_ERR_NO_SPACE);   /* the map cannot say so */
    CHECK_READ(m, &far, 2 * CHUNK, 2 * CHUNK);
    sys_clear();
    CHECK_READ(m, &far, 0, LENGTH);
    CHECK_OK(shardio_mirror_close(m, &error));
    CHECK_U64(check_survivor(), LENGTH);
    CHECK_U64(rig_count_names(rig_home, ""), 2);
}

/* The same with a limit of the system's instead of a call that fails. */
TEST(files_may_not_grow)
{
    struct rlimit before, now;
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin();
    remote_make(&far, 1, 4 << 20);
    if (getrlimit(RLIMIT_FSIZE, &before) != 0) LEAVE_OUT("there is no limit of file sizes");
    now = before;
    now.rlim_cur = 1 << 20;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &now) != 0) LEAVE_OUT("the limit of file sizes cannot be set");
    shardio_mirror *m = open_mirror(&far, &o, &error);
    CHECK(m == NULL);
    CHECK(error.status != SHARDIO_OK && error.operation != NULL);
    (void)shardio_mirror_close(m, NULL);
    CHECK_U64(rig_count_names(rig_home, ""), 0);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    signal(SIGXFSZ, old);
    m = open_mirror(&far, &o, &error);
    if (!CHECK(m != NULL)) return;
    CHECK_READ(m, &far, 0, CHUNK);
    CHECK_OK(shardio_mirror_close(m, &error));
}

/* A file system without holes keeps the room, nothing else. */
TEST(holes_that_are_not_supported)
{
    static const int codes[] = {EOPNOTSUPP, ENOSYS, EINVAL, EPERM};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        shardio_error error;
        begin();
        shardio_mirror *m = open_plain();
        if (m == NULL) return;
        CHECK_OK(shardio_mirror_fill(m, NULL, NULL, &error));
        sys_plan(SYS_ONLY(CALL_FALLOCATE), 1, 1 << 20, codes[i]);
        CHECK_OK(shardio_mirror_evict(m, 8 * CHUNK, 32 * CHUNK, &error));
        CHECK_COVERAGE(m, "0+8 40+24");
        CHECK_OK(shardio_mirror_evict_to(m, 0, &error));
        CHECK(sys.fired >= 2);
        CHECK_READ(m, &far, 0, LENGTH);
        CHECK_OK(shardio_mirror_close(m, &error));
        CHECK_U64(check_survivor(), LENGTH);
    }
}

static uint64_t longest_hole;

static void note_hole(const sys_event *e)
{
    if (e->call == CALL_FALLOCATE && e->size > longest_hole) longest_hole = e->size;
}

/* What a first pass costs: a write for each chunk, no more. Nothing is punched that was never written, nothing is read
   back, nothing is synced before it has to be. */
TEST(calls_are_counted)
{
    shardio_error error;
    begin();
    shardio_mirror *m = open_plain();
    if (m == NULL) return;
    sys_plan(CALLS_OF_FILES, 0, 0, 0);
    for (uint64_t i = 0; i < CHUNKS; i++) CHECK_READ(m, &far, i * 37 % CHUNKS * CHUNK, CHUNK);
    CHECK_U64(sys.calls[CALL_PWRITE], CHUNKS);
    CHECK_U64(sys.counted, CHUNKS);
    sys_plan(CALLS_OF_FILES, 0, 0, 0);
    for (uint64_t i = 0; i < CHUNKS; i++) CHECK_READ(m, &far, i * 37 % CHUNKS * CHUNK, CHUNK);
    CHECK_U64(sys.calls[CALL_PREAD], CHUNKS);
    CHECK_U64(sys.counted, CHUNKS);
    longest_hole = 0;
    sys.after = note_hole;
    CHECK_OK(shardio_mirror_evict(m, 0, 16 * CHUNK, &error));
    CHECK_U64(sys.calls[CALL_FALLOCATE], 1);
    CHECK(longest_hole <= 16 * CHUNK);
    sys_plan(CALLS_OF_FILES, 0, 0, 0);
    CHECK_OK(shardio_mirror_evict(m, 0, 16 * CHUNK, &error));
    CHECK_OK(shardio_mirror_save(m, &error));
    CHECK_U64(sys.counted, 0);                            /* nothing has changed */
    CHECK_OK(shardio_mirror_close(m, &error));
    CHECK_U64(sys.calls[CALL_FSYNC] + sys.calls[CALL_RENAME], 0);
}

/* ---- other processes ----------------------------------------------------------------------------------------- */

/* Opens for writing in another process. */
static shardio_status try_elsewhere(void)
{
    int code = 0;
    pid_t child = fork();
    if (child == 0) {
        shardio_mirror_options o = plain_options();
        shardio_error error;
        o.start_over = true;
        shardio_mirror *m = open_mirror(&far, &o, &error);
        (void)shardio_mirror_close(m, NULL);
        _exit(m != NULL ? SHARDIO_OK : (int)error.status);
    }
    CHECK(child > 0 && waitpid(child, &code, 0) == child && WIFEXITED(code));
    return (shardio_status)WEXITSTATUS(code);
}

TEST(one_writer)
{
    static shardio_mirror *m;   /* static: the other processes do not free it, and valgrind must not call it lost there */
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin();
    for (int turn = 0; turn < 3; turn++) {                 /* a new one, one that exists, one that starts over */
        o.start_over = turn == 2;
        if (turn == 2) remote_make(&far, 2, LENGTH);
        m = open_mirror(&far, &o, &error);
        if (!CHECK(m != NULL)) return;
        CHECK_READ(m, &far, 3 * CHUNK, 4 * CHUNK);
        CHECK_STATUS(try_elsewhere(), SHARDIO_ERR_LOCKED);
        far.version = 3 - far.version;                     /* not even to start over */
        CHECK_STATUS(try_elsewhere(), SHARDIO_ERR_LOCKED);
        far.version = 3 - far.version;
        static remote same;
        same = far;
        shardio_mirror *second = open_mirror(&same, &o, &error);
        CHECK(second == NULL);
        CHECK_STATUS(error.status, SHARDIO_ERR_LOCKED);
        (void)shardio_mirror_close(second, NULL);
        CHECK_U64(same.closes, 1);
        CHECK_READ(m, &far, 0, LENGTH);
        CHECK_OK(shardio_mirror_save(m, &error));
        CHECK_OK(shardio_mirror_close(m, &error));
        CHECK_OK(try_elsewhere());
    }
}

/* A writer fetches and evicts all the time; readers in this process compare every byte. `alone`: without a source. */
static void read_beside(bool alone, uint64_t *seed, int reads)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    static remote mine;
    uint64_t there = 0, missing = 0;
    remote_make(&mine, 1, LENGTH);
    shardio_source source = remote_source(&mine, false);
    o.read_only = true;
    shardio_mirror *m = shardio_mirror_open(alone ? NULL : &source, rig_path("object"), &o, &error);
    if (!CHECK(m != NULL)) return;
    for (int i = 0; i < reads && test_failures == 0; i++) {
        uint64_t at = test_random(seed) % LENGTH;
        size_t size = (size_t)(test_random(seed) % (6 * CHUNK));
        shardio_status status = read_and_compare(__FILE__, __LINE__, m, &mine, at, size, &error);
        CHECK(status == SHARDIO_OK || (alone && status == SHARDIO_ERR_NOT_FOUND));
        there += status == SHARDIO_OK;
        missing += status == SHARDIO_ERR_NOT_FOUND;
    }
    CHECK(there > 0);
    CHECK(alone || missing == 0);
    CHECK_OK(shardio_mirror_close(m, &error));
}

TEST(readers_beside_a_writer)
{
    uint64_t seed = 42;
    int code = 0, ready[2] = {-1, -1};
    char byte = 0;
    begin();
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        shardio_error error;
        shardio_mirror *m = open_plain();
        if (m == NULL) _exit(1);
        for (uint64_t i = 0;; i++) {
            CHECK_READ(m, &far, 0, LENGTH);
            CHECK_OK(shardio_mirror_save(m, &error));
            if (i == 0 && write(ready[1], "x", 1) != 1) _exit(2);
            if (i % 2) CHECK_OK(shardio_mirror_evict(m, i % 40 * CHUNK, 20 * CHUNK, &error));
            else CHECK_OK(shardio_mirror_evict_to(m, 20 * CHUNK, &error));
            if (test_failures > 0 || getppid() == 1) _exit(3);
        }
    }
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    for (int round = 0; round < 6 && test_failures == 0; round++) read_beside(round % 2 != 0, &seed, 500);
    CHECK(waitpid(child, &code, WNOHANG) == 0);            /* it went on to the end */
    CHECK(child > 0 && kill(child, SIGKILL) == 0 && waitpid(child, &code, 0) == child);
    close(ready[0]);
    (void)check_survivor();
}

/* The same in one process, where it can be arranged that the writer evicts just when the reader has looked at the map. */
static shardio_mirror *writer;

static void evict_meanwhile(remote *r, bool begins)
{
    shardio_error error;
    (void)r;
    if (!begins || writer == NULL) return;
    CHECK_OK(shardio_mirror_evict(writer, 0, UINT64_MAX, &error));
    writer = NULL;
}

TEST(evicted_while_somebody_reads)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    static remote mine;
    begin();
    shardio_mirror *m = open_plain();
    if (m == NULL) return;
    CHECK_READ(m, &far, 8 * CHUNK, 40 * CHUNK);
    CHECK_OK(shardio_mirror_save(m, &error));
    remote_make(&mine, 1, LENGTH);
    o.read_only = true;
    shardio_source source = remote_source(&mine, false);
    shardio_mirror *reader = shardio_mirror_open(&source, rig_path("object"), &o, &error);
    if (!CHECK(reader != NULL)) return;
    CHECK_COVERAGE(reader, "8+40");
    mine.during = evict_meanwhile;
    writer = m;
    CHECK_READ(reader, &mine, 0, LENGTH);                  /* the first piece from the source: then all the rest is gone */
    CHECK(writer == NULL);
    CHECK_READ(m, &far, 0, LENGTH);                        /* the reader sees what the writer adds, */
    CHECK_OK(shardio_mirror_save(m, &error));
    remote_forget(&mine);
    CHECK_READ(reader, &mine, 0, LENGTH);
    CHECK_U64(mine.requests, 0);
    CHECK_OK(shardio_mirror_evict(m, 0, 30 * CHUNK, &error));   /* and what it takes away */
    CHECK_READ(reader, &mine, 0, LENGTH);
    CHECK(mine.requests > 0);
    CHECK_OK(shardio_mirror_close(reader, &error));
    CHECK_OK(shardio_mirror_close(m, &error));
}

/* And by another thread of this process, between the look at the map and the read of the local file. */
static bool locked;

static void take_lock(void *context)
{
    (void)context;
    CHECK(!locked);
    locked = true;
}

static void give_lock(void *context)
{
    (void)context;
    CHECK(locked);
    locked = false;
}

static void evict_now(sys_event *e)
{
    shardio_error error;
    if (e->call != CALL_PREAD || writer == NULL) return;
    if (locked) return;                                    /* then no other thread would come in */
    CHECK_OK(shardio_mirror_evict(writer, 0, UINT64_MAX, &error));
    writer = NULL;
}

TEST(evicted_by_another_thread)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    begin();
    o.lock = take_lock;
    o.unlock = give_lock;
    shardio_mirror *m = open_mirror(&far, &o, &error);
    if (!CHECK(m != NULL)) return;
    for (int turn = 0; turn < 2; turn++) {
        CHECK_READ(m, &far, 0, LENGTH);
        writer = m;
        sys.before = evict_now;
        CHECK_READ(m, &far, (uint64_t)turn * 5 * CHUNK, 20 * CHUNK);
        CHECK(writer == NULL);
        CHECK_READ(m, &far, 0, LENGTH);
    }
    CHECK_OK(shardio_mirror_close(m, &error));
    CHECK(!locked);
}

/* Beside a reader, the mirror becomes one of another object, or is removed and made anew: the reader says so, or reads
   what its own source has. */
TEST(a_mirror_that_was_made_anew)
{
    for (int how = 0; how < 3; how++) {
        for (int alone = 0; alone < 2; alone++) {
            shardio_mirror_options o = plain_options();
            shardio_error error;
            static remote mine;
            begin();
            shardio_mirror *m = open_plain();
            if (m == NULL) return;
            CHECK_READ(m, &far, 8 * CHUNK, 10 * CHUNK);
            CHECK_OK(shardio_mirror_close(m, &error));
            remote_make(&mine, 1, LENGTH);
            o.read_only = true;
            shardio_source source = remote_source(&mine, false);
            shardio_mirror *reader = shardio_mirror_open(alone ? NULL : &source, rig_path("object"), &o, &error);
            if (!CHECK(reader != NULL)) return;
            if (how == 0) CHECK(unlink(rig_path("object")) == 0 && unlink(rig_path("object.shardio-map")) == 0);
            o = plain_options();
            o.start_over = true;
            if (how == 1) remote_make(&far, 2, LENGTH);
            if (how == 2) o.chunk = 4 * CHUNK;
            m = open_mirror(&far, &o, &error);
            if (!CHECK(m != NULL)) return;
            CHECK_READ(m, &far, 4 * CHUNK, 40 * CHUNK);
            CHECK_OK(shardio_mirror_save(m, &error));
            for (uint64_t c = 0; c < CHUNKS; c += 3)       /* compares whatever is read with the reader's own object */
                (void)read_and_compare(__FILE__, __LINE__, reader, &mine, c * CHUNK, CHUNK, &error);
            (void)shardio_mirror_close(reader, &error);
            CHECK_OK(shardio_mirror_close(m, &error));
        }
    }
}

static bool opens_the_object(const sys_event *e)
{
    const char *end = strrchr(e->path, '/');
    return end != NULL && strcmp(end, "/object") == 0;
}

/* The same, and the new file cannot be opened when its map is there: the old file is not what that map is of. */
TEST(a_mirror_that_was_made_anew_and_cannot_be_opened)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    static remote mine;
    begin();
    shardio_mirror *m = open_plain();
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, CHUNK);
    CHECK_OK(shardio_mirror_close(m, &error));
    remote_make(&mine, 1, LENGTH);
    o.read_only = true;
    shardio_source from = remote_source(&mine, false);
    shardio_mirror *reader = shardio_mirror_open(&from, rig_path("object"), &o, &error);
    if (!CHECK(reader != NULL)) return;
    CHECK(unlink(rig_path("object")) == 0 && unlink(rig_path("object.shardio-map")) == 0);
    m = open_plain();
    if (m == NULL) return;
    CHECK_READ(m, &far, 5 * CHUNK, CHUNK);
    CHECK_OK(shardio_mirror_close(m, &error));
    sys_plan(SYS_ONLY(CALL_OPEN), 1, 1, EMFILE);
    sys.among = opens_the_object;
    CHECK_STATUS(read_and_compare(__FILE__, __LINE__, reader, &mine, 5 * CHUNK, CHUNK, &error), SHARDIO_ERR_IO);
    sys_clear();
    CHECK_READ(reader, &mine, 5 * CHUNK, CHUNK);
    CHECK_U64(mine.requests, 0);
    CHECK_OK(shardio_mirror_close(reader, &error));
}

/* The file that a reader is keeps its name, whatever the writer does. */
TEST(the_name_of_a_mirror_file)
{
    shardio_mirror_options o = plain_options();
    shardio_error error;
    uint8_t data[CHUNK];
    begin();
    shardio_mirror *m = open_plain();
    if (m == NULL) return;
    CHECK_READ(m, &far, 0, CHUNK);
    CHECK_OK(shardio_mirror_save(m, &error));
    o.read_only = true;
    shardio_mirror *reader = shardio_mirror_open(NULL, rig_path("object"), &o, &error);
    if (!CHECK(reader != NULL)) return;
    shardio_file file = shardio_mirror_file(reader, true);
    CHECK_READ(m, &far, 3 * CHUNK, CHUNK);
    CHECK_OK(shardio_mirror_save(m, &error));
    CHECK_OK(shardio_file_read(&file, 3 * CHUNK, data, CHUNK, &error));
    CHECK(remote_same(&far, 3 * CHUNK, data, CHUNK));
    CHECK_STATUS(shardio_file_read(&file, 5 * CHUNK, data, CHUNK, &error), SHARDIO_ERR_IO);
    CHECK(strstr(error.subject, "object") != NULL);
    CHECK(strstr(file.name, "object") != NULL);
    shardio_file_close(&file);
    CHECK_OK(shardio_mirror_close(m, &error));
}

TEST_MAIN(
    TEST_CASE(killed_at_any_call) TEST_CASE(killed_at_any_time) TEST_CASE(calls_that_fail) TEST_CASE(full_disk)
    TEST_CASE(files_may_not_grow)
    TEST_CASE(holes_that_are_not_supported) TEST_CASE(calls_are_counted) TEST_CASE(one_writer)
    TEST_CASE(readers_beside_a_writer) TEST_CASE(evicted_while_somebody_reads)
    TEST_CASE(evicted_by_another_thread) TEST_CASE(a_mirror_that_was_made_anew)
    TEST_CASE(a_mirror_that_was_made_anew_and_cannot_be_opened)
    TEST_CASE(the_name_of_a_mirror_file))
