/* Files of the system's and in memory, allocators, and system calls that fail. */
#include "system.h"
#include "faulty.h"
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

/* What was seen of the calls. */
static struct {
    int wrong_closes, inheritable;
    uint64_t largest, written;      /* bytes of one write, and of all */
    char log[4096];                 /* W pwrite, T ftruncate, F fsync of a file, D of a directory, R rename, C close */
    size_t logged;
} seen;

static bool is_directory(const sys_event *e)
{
    struct stat facts;
    return fstat(e->fd, &facts) == 0 && S_ISDIR(facts.st_mode);
}

static bool is_unbuffered(const sys_event *e)
{
    return e->call != CALL_PWRITE || (fcntl(e->fd, F_GETFL) & O_DIRECT) != 0;
}

static char letter(const sys_event *e)
{
    if (e->call == CALL_FSYNC) return is_directory(e) ? 'D' : 'F';
    return e->call == CALL_PWRITE ? 'W' : e->call == CALL_FTRUNCATE ? 'T' : e->call == CALL_RENAME ? 'R' : e->call == CALL_CLOSE ? 'C' : 0;
}

static void see(const sys_event *e)
{
    char c = letter(e);
    if (c != 0 && seen.logged < sizeof seen.log - 1) seen.log[seen.logged++] = c;
    if (e->call == CALL_OPEN && e->result >= 0) seen.inheritable += (fcntl((int)e->result, F_GETFD) & FD_CLOEXEC) == 0;
    if (e->call == CALL_CLOSE) seen.wrong_closes += e->result != 0;
    if (e->call != CALL_PWRITE) return;
    if (e->size > seen.largest) seen.largest = e->size;
    seen.written += e->size;
}

static void faults_plan(sys_call which, int n, int times, int code)
{
    memset(&seen, 0, sizeof seen);
    sys_plan(SYS_ONLY(which), n, times, code);
    sys.after = see;
}

static int no_renameat2(const sys_event *e)
{
    return e->call == CALL_RENAME && e->flags != 0 ? ENOSYS : 0;
}

static uint8_t source[3 << 20] __attribute__((aligned(4096)));
static uint8_t buffer[1 << 18] __attribute__((aligned(4096)));

static void new_directory(void)
{
    faults_plan(CALL_OPEN, 0, 0, 0);
    rig_new_directory();
    if (source[0] == 0) test_fill(source, sizeof source, 3);
    source[0] |= 1;
}

static int open_descriptors(void)
{
    return rig_count_names("/proc/self/fd", "");
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

TEST(default_allocator_aligns)
{
    static const size_t sizes[] = {0, 1, 100, 4096, 1 << 20};
    for (size_t alignment = 1; alignment <= 65536; alignment *= 2) {
        for (size_t i = 0; i < 5; i++) {
            uint8_t *memory = (uint8_t *)shardio_p_allocate(NULL, sizes[i], alignment);
            if (!CHECK(memory != NULL)) continue;
            CHECK_U64((uintptr_t)memory % alignment, 0);
            memset(memory, 1, sizes[i]);
            shardio_p_release(NULL, memory, sizes[i], alignment);
        }
    }
    CHECK(shardio_p_allocate(NULL, SIZE_MAX, 4096) == NULL);
    CHECK(shardio_p_allocate(NULL, SIZE_MAX - 5000, 4096) == NULL);
    shardio_p_release(NULL, NULL, 100, 8);
}

/* Whether the system notes large pages as wished for where `memory` lies. */
static bool in_large_pages(const void *memory)
{
    char line[512];
    bool inside = false, wished = false;
    unsigned long long begin, end, at = (unsigned long long)(uintptr_t)memory;
    FILE *maps = fopen("/proc/self/smaps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2) inside = begin <= at && at < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0) wished = strstr(line, " hg") != NULL;
    }
    if (maps != NULL) fclose(maps);
    return wished;
}

/* What goes to a device in one piece: whole large pages, and nothing beyond them. */
TEST(large_buffers_in_large_pages)
{
    enum { PAGE = 2 << 20 };
    void *own = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(own != MAP_FAILED);
    bool known = madvise(own, 2 * PAGE, MADV_HUGEPAGE) == 0 && in_large_pages(own);
    munmap(own, 2 * PAGE);
    if (!known) LEAVE_OUT("the kernel does not know large pages, or does not say so");
    uint8_t *memory = (uint8_t *)shardio_p_allocate(NULL, 2 * PAGE + 4096, 4096);
    if (CHECK(memory != NULL)) {
        CHECK_U64((uintptr_t)memory % PAGE, 0);
        CHECK(in_large_pages(memory) && in_large_pages(memory + 2 * PAGE - 1));
        CHECK(!in_large_pages(memory + 2 * PAGE));
        memset(memory, 1, 2 * PAGE + 4096);
    }
    shardio_p_release(NULL, memory, 2 * PAGE + 4096, 4096);
}

TEST(arena)
{
    static uint8_t memory[10000];
    shardio_arena arena;
    shardio_allocator a = shardio_arena_begin(&arena, memory + 1, 9000);
    uint8_t *one = (uint8_t *)a.allocate(a.context, 100, 8), *two = (uint8_t *)a.allocate(a.context, 4096, 4096), *three;
    if (!CHECK(one != NULL && two != NULL)) return;
    CHECK_U64((uintptr_t)one % 8, 0);
    CHECK_U64((uintptr_t)two % 4096, 0);
    CHECK(one >= memory + 1 && two >= one + 100 && two + 4096 <= memory + 9001);
    CHECK(a.allocate(a.context, 9000, 1) == NULL);
    CHECK(a.allocate(a.context, SIZE_MAX, 1) == NULL);
    CHECK(a.allocate(a.context, SIZE_MAX - 10, 4096) == NULL);
    CHECK(arena.peak >= 4196 && arena.peak <= 9000);
    a.release(a.context, two, 4096, 4096);
    three = (uint8_t *)a.allocate(a.context, 4096, 4096);
    CHECK(three == two);                                         /* given back in the reverse order: there again */
    a.release(a.context, one, 100, 8);
    for (int i = 0; i < 10000 && (one = (uint8_t *)a.allocate(a.context, 1, 1)) != NULL; i++)
        if (!CHECK(one >= memory + 1 && one < memory + 9001)) break;
    CHECK(one == NULL);
    a = shardio_arena_begin(&arena, memory, 100);
    CHECK_U64(arena.used, 0);
    for (size_t alignment = 1; alignment < 32; alignment *= 2) {   /* pieces of odd sizes do not get lost between */
        one = (uint8_t *)a.allocate(a.context, 3, 1);
        two = (uint8_t *)a.allocate(a.context, 5, alignment);
        if (!CHECK(one != NULL && two != NULL)) return;
        a.release(a.context, two, 5, alignment);
        a.release(a.context, one, 3, 1);
        CHECK_U64(arena.used, 0);
    }
}

TEST(memory_files)
{
    shardio_memory m;
    shardio_file file;
    shardio_file_facts facts;
    counting count;
    shardio_allocator allocator = counting_allocator(&count);
    uint8_t small[10], back[20];
    size_t done = 0;
    int code = 0;
    memset(&m, 0, sizeof m);
    m.allocator = &allocator;
    file = shardio_memory_file(&m, "m");
    CHECK_TEXT(file.name, "m");
    CHECK_OK(file.functions->read(file.context, 0, back, 20, &done, &code));
    CHECK_U64(done, 0);
    CHECK_OK(file.functions->write(file.context, 5, "hello", 5, &done, &code));   /* a hole of zeros */
    CHECK_U64(done, 5);
    CHECK_OK(file.functions->read(file.context, 0, back, 20, &done, &code));
    CHECK_U64(done, 10);
    CHECK_BYTES(back, "\0\0\0\0\0hello", 10);
    CHECK_OK(file.functions->read(file.context, 8, back, 1, &done, &code));
    CHECK_U64(done, 1);
    CHECK_OK(file.functions->read(file.context, UINT64_MAX, back, 1, &done, &code));
    CHECK_U64(done, 0);
    CHECK_OK(file.functions->resize(file.context, 7, &code));
    CHECK_OK(file.functions->resize(file.context, 9, &code));
    CHECK_OK(file.functions->read(file.context, 0, back, 20, &done, &code));
    CHECK_U64(done, 9);
    CHECK_BYTES(back, "\0\0\0\0\0he\0\0", 9);                                     /* what was cut off is gone */
    CHECK_OK(file.functions->facts(file.context, &facts, &code));
    CHECK_U64(facts.size, 9);
    CHECK(file.functions->write(file.context, UINT64_MAX - 2, "hello", 5, &done, &code) != SHARDIO_OK);
    CHECK(file.functions->resize(file.context, UINT64_MAX, &code) != SHARDIO_OK);
    CHECK_U64(m.size, 9);
    count.limit = 4000;
    CHECK_STATUS(file.functions->resize(file.context, 5000, &code), SHARDIO_ERR_MEMORY);
    CHECK_U64(m.size, 9);
    shardio_memory_free(&m);
    CHECK_U64(count.held, 0);

    memset(&m, 0, sizeof m);
    m.data = small;
    m.capacity = sizeof small;
    m.fixed = true;
    file = shardio_memory_file(&m, "fixed");
    CHECK_OK(file.functions->write(file.context, 0, "0123456789", 10, &done, &code));
    CHECK_STATUS(file.functions->write(file.context, 10, "x", 1, &done, &code), SHARDIO_ERR_NO_SPACE);
    CHECK_U64(m.size, 10);
    CHECK(m.data == small);
    shardio_memory_free(&m);
    CHECK(m.data == small);
}

TEST(reading_exactly)
{
    shardio_memory m;
    shardio_error error;
    shardio_file file;
    faulty_state f;
    uint8_t back[100];
    memset(&m, 0, sizeof m);
    memset(&f, 0, sizeof f);
    m.data = (uint8_t *)"0123456789";
    m.size = m.capacity = 10;
    m.fixed = true;
    f.shorten = 1;
    file = faulty_file(&f, shardio_memory_file(&m, "m"));
    for (int i = 0; i < 20; i++) CHECK_OK(shardio_file_read(&file, 2, back, 8, &error));
    CHECK_BYTES(back, "23456789", 8);
    CHECK_OK(shardio_file_read(&file, 10, back, 0, &error));
    CHECK_OK(shardio_file_read(&file, 1000, back, 0, NULL));
    CHECK_STATUS(shardio_file_read(&file, 2, back, 9, &error), SHARDIO_ERR_TRUNCATED);
    CHECK_STATUS(error.status, SHARDIO_ERR_TRUNCATED);
    CHECK_STATUS(shardio_file_read(&file, UINT64_MAX, back, 1, NULL), SHARDIO_ERR_TRUNCATED);
    f.fail_at = f.counted + 1;
    f.fail_code = 1234;
    CHECK_STATUS(shardio_file_read(&file, 2, back, 8, &error), SHARDIO_ERR_IO);
    CHECK_U64(error.system_code, 1234);
    CHECK_TEXT(error.subject, "m");
}

/* ---- the system's files -------------------------------------------------------------------------------------- */

static shardio_status open_file(shardio_file *file, const char *path, shardio_open_mode mode, shardio_error *error)
{
    shardio_status status;
    memset(error, 0, sizeof *error);
    status = shardio_file_open(file, path, mode, NULL, error);
    if (status != SHARDIO_OK) {
        CHECK_STATUS(error->status, status);
        CHECK(error->operation != NULL && *error->operation);
        CHECK(path == NULL || *path == 0 || error->subject[0] != 0);
    }
    return status;
}

static void close_file(shardio_file *file, shardio_close how)
{
    int code = 0;
    CHECK_OK(file->functions->close(file->context, how, false, &code));
}

TEST(opening)
{
    static char longest[5100];
    static const struct {
        const char *name;
        shardio_open_mode mode;
        shardio_status status;
    } table[] = {
        {"none", SHARDIO_OPEN_READ, SHARDIO_ERR_NOT_FOUND},   {"none", SHARDIO_OPEN_UPDATE, SHARDIO_ERR_NOT_FOUND},
        {"none/x", SHARDIO_OPEN_CREATE, SHARDIO_ERR_NOT_FOUND}, {"file", SHARDIO_OPEN_READ, SHARDIO_OK},
        {"file", SHARDIO_OPEN_UPDATE, SHARDIO_OK},            {"file", SHARDIO_OPEN_CREATE, SHARDIO_ERR_EXISTS},
        {"new", SHARDIO_OPEN_CREATE, SHARDIO_OK},             {"file/x", SHARDIO_OPEN_READ, SHARDIO_ERR_NOT_FOUND},
        {"dir", SHARDIO_OPEN_CREATE, SHARDIO_ERR_EXISTS},
    };
    int before = open_descriptors();
    shardio_error error;
    shardio_file file;
    new_directory();
    rig_put(rig_path("file"), "hello", 5);
    CHECK(mkdir(rig_path("dir"), 0777) == 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CHECK_STATUS(open_file(&file, rig_path(table[i].name), table[i].mode, &error), table[i].status);
        if (error.status != SHARDIO_OK) continue;
        CHECK_TEXT(file.name, rig_path(table[i].name));
        close_file(&file, SHARDIO_CLOSE_DISCARD);
        CHECK_U64(rig_entries(), 2);
    }
    CHECK(open_file(&file, rig_path("dir"), SHARDIO_OPEN_READ, &error) != SHARDIO_OK);
    CHECK(open_file(&file, rig_path("dir"), SHARDIO_OPEN_UPDATE, &error) != SHARDIO_OK);
    CHECK_STATUS(open_file(&file, "", SHARDIO_OPEN_READ, &error), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(open_file(&file, NULL, SHARDIO_OPEN_CREATE, &error), SHARDIO_ERR_ARGUMENT);
    memset(longest, 'x', sizeof longest - 1);
    CHECK(open_file(&file, longest, SHARDIO_OPEN_CREATE, &error) != SHARDIO_OK);
    longest[300] = 0;
    if (!CHECK(open_file(&file, rig_path(longest), SHARDIO_OPEN_CREATE, &error) != SHARDIO_OK))   /* not as late as at finish */
        close_file(&file, SHARDIO_CLOSE_DISCARD);
    rig_check_file(rig_path("file"), "hello", 5);
    CHECK_U64(open_descriptors(), before);
    CHECK_U64(seen.inheritable, 0);
    CHECK_U64(seen.wrong_closes, 0);
}

/* Names up to the longest, in UTF-8, too: the temporary name fits as well. */
/* Who may read a file may read what replaces it, and nobody else. */
TEST(rights_are_kept)
{
    static const mode_t modes[] = {0600, 0640, 0666, 0644};
    shardio_open_options o;
    shardio_error error;
    shardio_file file;
    struct stat s;
    char path[500];
    memset(&o, 0, sizeof o);
    o.overwrite = true;
    rig_new_directory();
    snprintf(path, sizeof path, "%s", rig_path("a"));
    for (int i = 0; i < 4; i++) {
        if (!CHECK(i > 0 || close(open(path, O_CREAT | O_WRONLY, 0666)) == 0)) return;
        CHECK(chmod(path, modes[i]) == 0);
        CHECK_OK(shardio_file_open(&file, path, SHARDIO_OPEN_CREATE, &o, &error));
        CHECK_OK(shardio_p_file_close(&file, SHARDIO_CLOSE_PUBLISH, false, &error));
        CHECK(stat(path, &s) == 0);
        CHECK_U64(s.st_mode & 0777, modes[i]);
    }
}

TEST(long_names)
{
    for (size_t n = 200; n <= 255; n++) {
        char name[300];
        shardio_slot_options o;
        shardio_slot slot;
        if (n > 230 || n == 200) {
            new_directory();
            memset(&o, 0, sizeof o);
            o.buffer_size = 4096;
            o.durability = SHARDIO_DURABLE_NONE;
            for (size_t i = 0; i < n; i++) name[i] = i + 1 < n && n % 2 ? (i % 2 ? '\xA4' : '\xC3') : 'n';
            name[n] = 0;
            CHECK_OK(shardio_slot_create(&slot, rig_path(name), &o));
            CHECK_OK(shardio_slot_append(&slot, source, 10));
            CHECK_U64(rig_count_names(rig_home, "shardio-tmp"), 1);
            CHECK_OK(shardio_slot_finish(&slot));
            rig_check_file(rig_path(name), source, 10);
            CHECK_U64(rig_entries(), 1);
        }
    }
}

TEST(facts)
{
    shardio_file file, again;
    shardio_error error;
    shardio_file_facts facts, later;
    struct stat s;
    int code = 0;
    new_directory();
    rig_put(rig_path("file"), source, 5000);
    CHECK_OK(open_file(&file, rig_path("file"), SHARDIO_OPEN_READ, &error));
    CHECK_OK(file.functions->facts(file.context, &facts, &code));
    CHECK(stat(rig_path("file"), &s) == 0);
    CHECK_U64(facts.size, 5000);
    CHECK(!facts.stream && !facts.special);
    CHECK(facts.identity[0] != 0 || facts.identity[1] != 0);
    if (facts.length_alignment != 0) {
        CHECK(facts.length_alignment >= 512 && (facts.length_alignment & (facts.length_alignment - 1)) == 0);
        CHECK(facts.length_alignment >= facts.offset_alignment);
        CHECK(facts.memory_alignment > 0 && (facts.memory_alignment & (facts.memory_alignment - 1)) == 0);
    }
    CHECK_OK(open_file(&again, rig_path("file"), SHARDIO_OPEN_READ, &error));
    CHECK_OK(again.functions->facts(again.context, &later, &code));
    CHECK(memcmp(facts.identity, later.identity, sizeof facts.identity) == 0);
    close_file(&again, SHARDIO_CLOSE_KEEP);
    rig_put(rig_path("other"), source, 5000);
    CHECK(rename(rig_path("other"), rig_path("file")) == 0);     /* replaced: the file that is open is another one now */
    CHECK_OK(open_file(&again, rig_path("file"), SHARDIO_OPEN_READ, &error));
    CHECK_OK(again.functions->facts(again.context, &later, &code));
    CHECK(memcmp(facts.identity, later.identity, sizeof facts.identity) != 0);
    close_file(&again, SHARDIO_CLOSE_KEEP);
    CHECK_OK(file.functions->facts(file.context, &later, &code));
    CHECK(memcmp(facts.identity, later.identity, sizeof facts.identity) != 0);
    close_file(&file, SHARDIO_CLOSE_KEEP);
    CHECK_OK(open_file(&file, "/dev/null", SHARDIO_OPEN_UPDATE, &error));
    CHECK_OK(file.functions->facts(file.context, &facts, &code));
    CHECK(facts.special);
    close_file(&file, SHARDIO_CLOSE_DISCARD);
    CHECK(access("/dev/null", W_OK) == 0);
}

/* The memory that opening takes is at most what was said, whatever a symbolic link leads to. */
TEST(memory_of_a_handle)
{
    static uint8_t memory[20000];
    static char target[250];
    new_directory();
    memset(target, 't', 200);
    rig_put(rig_path(target), "x", 1);
    CHECK(symlink(target, rig_path("l")) == 0);
    for (int i = 0; i < 3; i++) {
        const char *name = i == 0 ? rig_path("new") : i == 1 ? rig_path(target) : rig_path("l");
        shardio_open_options options;
        shardio_allocator allocator;
        shardio_arena arena;
        shardio_error error;
        shardio_file file;
        memset(&options, 0, sizeof options);
        allocator = shardio_arena_begin(&arena, memory, shardio_file_memory(strlen(name)) + 64);   /* alignment, and what the arena notes */
        options.allocator = &allocator;
        options.overwrite = true;
        sys.calls[CALL_MALLOC] = 0;
        CHECK_OK(shardio_file_open(&file, name, i == 2 ? SHARDIO_OPEN_READ : SHARDIO_OPEN_CREATE, &options, &error));
        if (file.functions != NULL) close_file(&file, SHARDIO_CLOSE_DISCARD);
        CHECK_U64(sys.calls[CALL_MALLOC], 0);
        CHECK_U64(arena.used, 0);
        allocator = shardio_arena_begin(&arena, memory, 20);
        CHECK_STATUS(shardio_file_open(&file, name, SHARDIO_OPEN_CREATE, &options, &error), SHARDIO_ERR_MEMORY);
    }
}

/* ---- a writer's life under faults ---------------------------------------------------------------------------- */

static shardio_slot_options plain_options(void)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.buffer_size = 16384;
    o.overwrite = true;
    return o;
}

/* Creates, appends, syncs, checkpoints (if asked), suspends, goes on; 1.2 MB. */
static shardio_status life(const char *path, const shardio_slot_options *o, bool checkpoint, shardio_slot *slot, bool *published)
{
    shardio_slot_create(slot, path, o);
    shardio_slot_append(slot, source, 50000);
    shardio_slot_sync(slot);
    *published = checkpoint && shardio_slot_checkpoint(slot) == SHARDIO_OK;
    shardio_slot_suspend(slot);
    shardio_slot_append(slot, source + 50000, 1150000);
    return shardio_slot_finish(slot);
}

enum { LIFE = 1200000 };

TEST(interrupted_calls_are_repeated)
{
    static const sys_call interrupted[] = {CALL_OPEN, CALL_PREAD, CALL_PWRITE, CALL_FSYNC, CALL_FTRUNCATE, CALL_CLOSE};
    for (int direct = 0; direct < 3; direct += 2) {
        for (size_t i = 0; i < sizeof interrupted / sizeof interrupted[0]; i++) {
            for (int n = 1; n <= 4; n++) {
                shardio_slot_options o = plain_options();
                int before = open_descriptors();
                shardio_slot slot;
                bool published;
                new_directory();
                o.direct = (shardio_direct)direct;
                rig_put(rig_path("a"), source, 100);
                o.start = interrupted[i] == CALL_PREAD ? 100 : 0;
                faults_plan(interrupted[i], n, interrupted[i] == CALL_CLOSE ? 1 : 3, EINTR);
                if (o.start == 0) {
                    CHECK_OK(life(rig_path("a"), &o, true, &slot, &published));
                    rig_check_file(rig_path("a"), source, LIFE);
                } else {
                    CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
                    CHECK_OK(shardio_slot_append(&slot, source + 100, 900));
                    CHECK_OK(shardio_slot_finish(&slot));
                    rig_check_file(rig_path("a"), source, 1000);
                }
                CHECK_U64(seen.wrong_closes, 0);
                CHECK_U64(open_descriptors(), before);
            }
        }
    }
}

TEST(short_transfers_go_on)
{
    for (uint64_t seed = 1; seed < 30; seed++) {
        shardio_slot_options o = plain_options();
        shardio_slot slot;
        bool published;
        new_directory();
        sys.shorten = seed;
        o.direct = (shardio_direct)(seed % 3);
        o.durability = seed % 4 ? SHARDIO_DURABLE_NONE : SHARDIO_DURABLE_FINISH;
        CHECK_OK(life(rig_path("a"), &o, seed % 2 == 0, &slot, &published));
        rig_check_file(rig_path("a"), source, LIFE);
    }
}

/* By fcntl, or by the writes while the flag is set: from the n-th on. */
TEST(the_system_refuses_unbuffered)
{
    static const int codes[] = {EINVAL, EOPNOTSUPP, ENOTSUP, EPERM};
    for (int way = 0; way < 4; way++) {   /* 0, 1: fcntl; 2, 3: pwrite */
        for (int c = 0; c < 4; c++) {
            for (int on = 0; on < 2; on++) {
                shardio_slot_options o = plain_options();
                shardio_slot slot;
                shardio_status status;
                bool published;
                int before = open_descriptors();
                new_directory();
                rig_put(rig_path("a"), "old", 3);
                o.direct = on ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_AUTO;
                o.durability = SHARDIO_DURABLE_NONE;
                faults_plan(way < 2 ? CALL_FCNTL : CALL_PWRITE, way % 2 ? (way < 2 ? 2 : 3) : 1, way < 2 ? 1 : 1000, codes[c]);
                sys.among = is_unbuffered;
                status = life(rig_path("a"), &o, false, &slot, &published);
                CHECK_STATUS(status, on ? SHARDIO_ERR_DIRECT : SHARDIO_OK);
                CHECK(!slot.accounting.direct);
                CHECK(slot.accounting.direct_reason != NULL);
                CHECK_U64(slot.accounting.direct_code, codes[c]);
                if (on) CHECK_U64(slot.error.system_code, codes[c]);
                if (on) rig_check_file(rig_path("a"), "old", 3);
                else rig_check_file(rig_path("a"), source, LIFE);
                CHECK_U64(rig_entries(), 1);
                CHECK_U64(open_descriptors(), before);
            }
        }
    }
}

/* Where buffered writes fail with such a code, it is no refusal. */
TEST(buffered_writes_that_fail)
{
    static const struct { int code; shardio_status status; } table[] = {
        {EINVAL, SHARDIO_ERR_IO}, {EPERM, SHARDIO_ERR_PERMISSION}, {ENOSPC, SHARDIO_ERR_NO_SPACE}, {EDQUOT, SHARDIO_ERR_NO_SPACE},
        {EIO, SHARDIO_ERR_IO}, {EFBIG, SHARDIO_ERR_NO_SPACE}, {ENOMEM, SHARDIO_ERR_MEMORY}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_slot_options o = plain_options();
        shardio_slot slot;
        bool published;
        new_directory();
        o.direct = SHARDIO_DIRECT_OFF;
        faults_plan(CALL_PWRITE, 2, 1, table[i].code);
        CHECK_STATUS(life(rig_path("a"), &o, false, &slot, &published), table[i].status);
        CHECK_U64(slot.error.system_code, table[i].code);
        CHECK_TEXT(slot.error.operation, "write");
        CHECK_U64(slot.error.offset, 16384);
        CHECK(strstr(slot.error.subject, "a") != NULL);
        CHECK_U64(rig_entries(), 0);
    }
}

/* The n-th call of each kind fails, for each n: finish says so, and nothing is left that looks finished. */
TEST(every_system_call_fails_in_turn)
{
    static const struct {
        sys_call which;
        bool harmless;    /* with direct auto: only a refusal */
    } kinds[] = {{CALL_OPEN, false}, {CALL_PWRITE, false}, {CALL_FSYNC, false}, {CALL_FTRUNCATE, false}, {CALL_CLOSE, false},
                 {CALL_FSTAT, false}, {CALL_RENAME, false}, {CALL_FCNTL, true}};
    for (int bits = 0; bits < 4; bits++) {
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            for (int n = 1; n < 200; n++) {
                shardio_slot_options o = plain_options();
                int before = open_descriptors(), failures = test_failures, fired;
                bool checkpoint = (bits & 2) != 0, published = false;
                shardio_status status;
                shardio_slot slot;
                new_directory();
                o.direct = bits & 1 ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO;
                faults_plan(kinds[k].which, n, 1, EIO);
                status = life(rig_path("a"), &o, checkpoint, &slot, &published);
                fired = sys.fired;
                if (fired == 0 || kinds[k].harmless) {
                    CHECK_OK(status);
                    rig_check_file(rig_path("a"), source, LIFE);
                } else if (status == SHARDIO_OK) {   /* only where nothing was lost: a directory's handle, a question asked again */
                    CHECK(kinds[k].which == CALL_CLOSE || kinds[k].which == CALL_FSTAT);
                    rig_check_file(rig_path("a"), source, LIFE);
                } else {
                    size_t size = 0;
                    uint8_t *now = rig_slurp(rig_path("a"), &size);
                    CHECK_STATUS(status, SHARDIO_ERR_IO);
                    CHECK_U64(slot.error.system_code, EIO);
                    CHECK(slot.error.operation != NULL);
                    if (published) CHECK(now != NULL);
                    if (now != NULL) CHECK(size == 50000 || size == LIFE);
                    if (now != NULL) CHECK_BYTES(now, source, size);
                    if (!checkpoint && now != NULL) CHECK(kinds[k].which == CALL_FSYNC || kinds[k].which == CALL_OPEN);  /* of the directory */
                    free(now);
                }
                CHECK(rig_entries() <= 1);
                CHECK_U64(rig_count_names(rig_home, "tmp"), 0);
                CHECK_U64(open_descriptors(), before);
                CHECK_U64(seen.wrong_closes, 0);
                if (test_failures > failures)
                    fprintf(stderr, "  call %d number %d, direct %d checkpoint %d: %s %s\n", (int)kinds[k].which, n, (int)o.direct, checkpoint,
                            seen.log, shardio_status_name(status));
                if (fired == 0) break;
            }
        }
    }
}

/* A failed fsync is reported and never repeated. */
TEST(failed_fsync_is_not_repeated)
{
    static const int codes[] = {EIO, ENOSPC, EDQUOT};
    for (int c = 0; c < 3; c++) {
        shardio_slot_options o = plain_options();
        shardio_slot slot;
        new_directory();
        faults_plan(CALL_FSYNC, 1, 1, codes[c]);
        CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 50000));
        CHECK(shardio_slot_finish(&slot) != SHARDIO_OK);
        CHECK_U64(slot.error.system_code, codes[c]);
        CHECK_TEXT(slot.error.operation, "sync");
        CHECK_U64(sys.calls[CALL_FSYNC], 1);
        CHECK_U64(rig_entries(), 0);
    }
}

/* W pwrite, T ftruncate, F fsync of a file, D of a directory, R rename: what durable means. */
TEST(order_of_durable_calls)
{
    static const struct {
        shardio_durability durability;
        bool parents, in_place;
        const char *log;    /* without C and repeated W */
    } table[] = {
        {SHARDIO_DURABLE_FINISH, false, false, "WTFRD"}, {SHARDIO_DURABLE_NONE, false, false, "WTR"},
        {SHARDIO_DURABLE_FINISH, true, false, "WTFRDDD"}, {SHARDIO_DURABLE_FINISH, false, true, "WTFD"},
        {SHARDIO_DURABLE_NONE, false, true, "WT"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int direct = 0; direct < 3; direct += 2) {
            shardio_slot_options o = plain_options();
            char log[100];
            size_t n = 0;
            shardio_slot slot;
            new_directory();
            o.direct = (shardio_direct)direct;
            o.durability = table[i].durability;
            o.make_parents = table[i].parents;
            o.in_place = table[i].in_place;
            CHECK_OK(shardio_slot_create(&slot, rig_path(table[i].parents ? "x/y/a" : "a"), &o));
            CHECK_OK(shardio_slot_append(&slot, source, 50000));
            CHECK_OK(shardio_slot_finish(&slot));
            for (size_t k = 0; k < seen.logged && n < 90; k++) {
                char c = seen.log[k];
                if (c == 'C' || (c == 'W' && n > 0 && log[n - 1] == 'W') || (c == 'T' && !slot.accounting.direct)) continue;
                log[n++] = c;
            }
            log[n] = 0;
            if (slot.accounting.direct) {
                CHECK_TEXT(log, table[i].log);
            } else {   /* nothing to cut */
                char plain[20], *t = plain;
                for (const char *s = table[i].log; *s; s++)
                    if (*s != 'T') *t++ = *s;
                *t = 0;
                CHECK_TEXT(log, plain);
            }
        }
    }
}

static void others_make_it(sys_event *e)
{
    if (e->call == CALL_MKDIR && strcmp(e->path + strlen(e->path) - 2, "/y") == 0) CHECK(mkdirat(e->fd, e->path, 0777) == 0);
}

/* A directory that somebody else makes just when we do is made durable with the others, and stays when we give up. */
TEST(parents_that_others_make)
{
    for (int finish = 0; finish < 2; finish++) {
        shardio_slot_options o = plain_options();
        shardio_slot slot;
        new_directory();
        o.make_parents = true;
        sys.before = others_make_it;
        CHECK_OK(shardio_slot_create(&slot, rig_path("x/y/z/a"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 50000));
        sys.calls[CALL_FSYNC] = 0;
        if (finish) CHECK_OK(shardio_slot_finish(&slot));
        else shardio_slot_abort(&slot);
        CHECK_U64(sys.calls[CALL_FSYNC], finish ? 1 + 4 : 0);   /* the file; z, y, x and what they are in */
        sys_clear();
        CHECK(access(rig_path("x/y"), F_OK) == 0);
        CHECK((access(rig_path("x/y/z"), F_OK) == 0) == (finish != 0));
    }
}

static int removals;

/* Just before a directory is made in y, and a file in z; not for ever. */
static void others_remove_them(sys_event *e)
{
    bool inside = e->call == CALL_MKDIR ? strcmp(e->path + strlen(e->path) - 2, "/z") == 0
                                        : e->call == CALL_OPEN && (e->flags & O_CREAT) != 0;
    if (!inside || removals >= 5) return;
    if (rmdir(rig_path("x/y/z")) == 0) removals++;
    if (rmdir(rig_path("x/y")) == 0) removals++;
}

/* Directories that are empty because our file has not come yet, and go with somebody else's last one, are made again, and
   those that were made the first time are still made durable. */
TEST(parents_that_others_remove)
{
    shardio_slot_options o = plain_options();
    shardio_slot slot;
    new_directory();
    removals = 0;
    o.make_parents = true;
    sys.before = others_remove_them;
    CHECK_OK(shardio_slot_create(&slot, rig_path("x/y/z/a"), &o));
    CHECK_OK(shardio_slot_append(&slot, source, 50000));
    sys.calls[CALL_FSYNC] = 0;
    CHECK_OK(shardio_slot_finish(&slot));
    CHECK(removals >= 5);
    CHECK_U64(sys.calls[CALL_FSYNC], 1 + 4);   /* the file; z, y, x and what they are in */
    sys_clear();
    rig_check_file(rig_path("x/y/z/a"), source, 50000);
}

/* As a file system does that takes the flag, and refuses the transfers. */
static int refuses_unbuffered(const sys_event *e)
{
    if (e->call != CALL_PWRITE) return 0;
    return (rings.doing ? rings.direct : (fcntl(e->fd, F_GETFL) & O_DIRECT) != 0) ? EINVAL : 0;
}

/* Several unbuffered writes are under way when the first one is refused: all of them are made again, buffered. */
TEST(unbuffered_refused_under_way)
{
    shardio_slot_options o = plain_options();
    shardio_slot slot;
    new_directory();
    o.direct = SHARDIO_DIRECT_AUTO;
    o.overlap = SHARDIO_OVERLAP_ON;
    o.in_flight = 4;
    o.buffer_size = 64 * 1024;
    rings.there = true;
    sys.refuses = refuses_unbuffered;
    CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
    CHECK_OK(shardio_slot_append(&slot, source, 200000));
    CHECK_OK(shardio_slot_finish(&slot));
    CHECK(!slot.accounting.direct && slot.accounting.direct_reason != NULL);
    rings.there = false;
    sys_clear();
    rig_check_file(rig_path("a"), source, 200000);
}

/* Names that nothing can bear are not just names of nothing. */
TEST(names_that_are_too_long)
{
    char name[400];
    shardio_file file;
    shardio_error error;
    new_directory();
    memset(name, 'n', 300);
    name[300] = 0;
    CHECK_STATUS(shardio_file_open(&file, rig_path(name), SHARDIO_OPEN_READ, NULL, &error), SHARDIO_ERR_LIMIT);
    CHECK_STATUS(shardio_file_open(&file, rig_path(name), SHARDIO_OPEN_CREATE, NULL, &error), SHARDIO_ERR_LIMIT);
    CHECK(symlink("loop", rig_path("loop")) == 0);
    CHECK_STATUS(shardio_file_open(&file, rig_path("loop"), SHARDIO_OPEN_READ, NULL, &error), SHARDIO_ERR_LIMIT);
    CHECK_STATUS(shardio_file_open(&file, rig_path("loop"), SHARDIO_OPEN_CREATE, NULL, &error), SHARDIO_ERR_LIMIT);
    CHECK_U64(rig_entries(), 1);
}

/* Where RENAME_NOREPLACE is not known, a hard link refuses existing names in one step as well. */
TEST(renaming_without_renameat2)
{
    shardio_slot_options o = plain_options();
    shardio_slot slot;
    o.overwrite = false;
    for (int late = 0; late < 2; late++) {
        new_directory();
        sys.refuses = no_renameat2;
        CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 50000));
        if (late) rig_put(rig_path("a"), "theirs", 6);
        CHECK_STATUS(shardio_slot_finish(&slot), late ? SHARDIO_ERR_EXISTS : SHARDIO_OK);
        if (late) rig_check_file(rig_path("a"), "theirs", 6);
        else rig_check_file(rig_path("a"), source, 50000);
        CHECK_U64(rig_entries(), 1);
    }
    new_directory();
    faults_plan(CALL_LINK, 1, 1, EPERM);    /* and no hard links either: refused, nothing lost, nothing left */
    sys.refuses = no_renameat2;
    CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
    CHECK_OK(shardio_slot_append(&slot, source, 50000));
    CHECK(shardio_slot_finish(&slot) != SHARDIO_OK);
    CHECK_U64(rig_entries(), 0);
}

/* No call asks for more than systems take at once. */
TEST(huge_appends)
{
#if SIZE_MAX > 0xFFFFFFFF
    size_t size = ((size_t)3 << 30) + 5000;
    void *zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    shardio_slot_options o = plain_options();
    shardio_slot slot;
    if (zeros == MAP_FAILED) LEAVE_OUT("no address space");
    new_directory();
    sys.pretend = true;
    CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
    CHECK_OK(shardio_slot_append(&slot, zeros, size));
    CHECK_U64(shardio_slot_size(&slot), size);
    CHECK(seen.largest <= 0x7FFFF000 && seen.largest >= 1 << 20);
    shardio_slot_abort(&slot);
    CHECK(seen.written >= size - 16384 && seen.written <= size);
    munmap(zeros, size);
#else
    LEAVE_OUT("32 bits");
#endif
}

/* ---- descriptors --------------------------------------------------------------------------------------------- */

/* Many slots, few descriptors. */
TEST(suspended_files_hold_no_descriptor)
{
    enum { SLOTS = 100 };
    static shardio_slot slots[SLOTS];
    static uint8_t blocks[SLOTS][4096] __attribute__((aligned(4096)));
    struct rlimit limit, old;
    int before;
    new_directory();
    before = open_descriptors();
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    limit = old;
    limit.rlim_cur = (rlim_t)before + 10;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < SLOTS; i++) {
            if (round == 0) {
                shardio_slot_options o = plain_options();
                shardio_error error;
                shardio_file file;
                char name[20];
                snprintf(name, sizeof name, "f%d", i);
                o.durability = SHARDIO_DURABLE_NONE;
                CHECK_OK(shardio_file_open(&file, rig_path(name), SHARDIO_OPEN_CREATE, NULL, &error));
                CHECK_OK(shardio_slot_begin(&slots[i], file, blocks[i], 4096, &o));
            }
            CHECK_OK(shardio_slot_append(&slots[i], source + round * 3000, 3000));
            if (i % 3 == 0) CHECK_OK(shardio_slot_checkpoint(&slots[i]));
            CHECK_OK(shardio_slot_suspend(&slots[i]));
            CHECK_U64(open_descriptors(), before);
            CHECK_OK(shardio_slot_suspend(&slots[i]));    /* again */
        }
    }
    for (int i = 0; i < SLOTS; i++) {
        char name[20];
        snprintf(name, sizeof name, "f%d", i);
        if (i == 50) shardio_slot_abort(&slots[i]);
        else CHECK_OK(shardio_slot_finish(&slots[i]));
        if (i == 50) CHECK(access(rig_path(name), F_OK) != 0);
        else rig_check_file(rig_path(name), source, 9000);
    }
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK_U64(open_descriptors(), before);
    CHECK_U64(rig_entries(), SLOTS - 1);
}

TEST(no_descriptor_left)
{
    shardio_slot_options o = plain_options();
    struct rlimit limit, old;
    shardio_slot slot;
    new_directory();
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    limit = old;
    limit.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_STATUS(shardio_slot_create(&slot, rig_path("a"), &o), SHARDIO_ERR_IO);
    CHECK_U64(slot.error.system_code, EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    CHECK_STATUS(shardio_slot_finish(&slot), SHARDIO_ERR_IO);
    CHECK(access(rig_path("a"), F_OK) != 0);
}

/* A file that is to be written anew in its place, and could not be cut to nothing, is still what it was. */
TEST(in_place_is_not_removed)
{
    shardio_slot_options o = plain_options();
    shardio_slot slot;
    new_directory();
    rig_put(rig_path("a"), source, 100);
    o.overwrite = o.in_place = true;
    sys_plan(SYS_ONLY(CALL_FTRUNCATE), 1, 1, EIO);
    CHECK_STATUS(shardio_slot_create(&slot, rig_path("a"), &o), SHARDIO_ERR_IO);
    sys_clear();
    rig_check_file(rig_path("a"), source, 100);
}

static bool asks_for_flags(const sys_event *e)
{
    return e->flags == F_GETFL;
}

/* Flags that cannot be had are not made up: appended to is what was to be written over. */
TEST(flags_that_are_not_known)
{
    shardio_file file;
    shardio_error error;
    int code = 0;
    size_t done;
    new_directory();
    CHECK_OK(shardio_file_open(&file, rig_path("a"), SHARDIO_OPEN_CREATE, NULL, &error));
    if (file.functions->set_direct(file.context, true, &code) == SHARDIO_OK) {
        sys_plan(SYS_ONLY(CALL_FCNTL), 1, 1, EIO);
        sys.among = asks_for_flags;
        CHECK_STATUS(file.functions->set_direct(file.context, false, &code), SHARDIO_ERR_DIRECT);
        sys_clear();
        CHECK_OK(file.functions->set_direct(file.context, false, &code));
    }
    CHECK_OK(file.functions->write(file.context, 0, "aaaaaaaa", 8, &done, &code));
    CHECK_OK(file.functions->write(file.context, 0, "bbbb", 4, &done, &code));
    CHECK_OK(file.functions->close(file.context, SHARDIO_CLOSE_PUBLISH, false, &code));
    rig_check_file(rig_path("a"), (const uint8_t *)"bbbbaaaa", 8);
}

/* Rights that cannot be looked at are not taken for the usual ones. */
TEST(rights_that_are_not_known)
{
    shardio_slot_options o = plain_options();
    const unsigned asked = SYS_ONLY(CALL_OPEN) | SYS_ONLY(CALL_FSTATAT) | SYS_ONLY(CALL_FCHMOD);
    struct stat facts;
    shardio_slot slot;
    bool fired = true;
    new_directory();
    o.overwrite = true;
    for (int n = 1; fired && n < 100; n++) {
        rig_put(rig_path("a"), source, 100);
        CHECK(chmod(rig_path("a"), 0600) == 0);
        sys_plan(asked, n, 1, ENOMEM);
        (void)shardio_slot_create(&slot, rig_path("a"), &o);
        (void)shardio_slot_finish(&slot);
        fired = sys.fired > 0;
        sys_clear();
        CHECK(stat(rig_path("a"), &facts) == 0 && (facts.st_mode & 0777) == 0600);
    }
}

/* What bears the name when a suspended file is opened again need not be that file: nobody else's is written to. */
TEST(replaced_while_suspended)
{
    for (int how = 0; how < 4; how++) {   /* removed or replaced; before or after it was published */
        shardio_slot_options o = plain_options();
        shardio_slot slot;
        new_directory();
        CHECK_OK(shardio_slot_create(&slot, rig_path("a"), &o));
        CHECK_OK(shardio_slot_append(&slot, source, 50000));
        if (how & 1) CHECK_OK(shardio_slot_checkpoint(&slot));
        CHECK_OK(shardio_slot_suspend(&slot));
        {
            char command[400];
            snprintf(command, sizeof command, "for f in %s/*; do echo theirs >$f.2; mv $f.2 $f; [ %d != 0 ] || rm $f; done", rig_home, how & 2);
            CHECK(system(command) == 0);
        }
        CHECK(shardio_slot_append(&slot, source, 50000) != SHARDIO_OK);
        if (how & 2) CHECK_STATUS(slot.error.status, SHARDIO_ERR_CHANGED);
        CHECK(shardio_slot_finish(&slot) != SHARDIO_OK);
        if (how == 3) rig_check_file(rig_path("a"), "theirs\n", 7);
        if (how == 1) CHECK(access(rig_path("a"), F_OK) != 0);
    }
}

/* ---- without an allocation ----------------------------------------------------------------------------------- */

TEST(everything_in_memory_of_the_caller)
{
    static uint8_t memory[1 << 17], index[8192] __attribute__((aligned(4096))), fixed[400000];
    static const bool real[] = {false, true};
    for (int i = 0; i < 2; i++) {
        for (unsigned bits = 0; bits < 8; bits++) {
            shardio_index_layout layout = {50, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, 0, NULL};
            shardio_allocator allocator;
            shardio_arena arena;
            shardio_open_options options;
            shardio_slot_options o = plain_options();
            shardio_shard_writer w;
            shardio_shard_reader r;
            shardio_memory m;
            shardio_error error;
            shardio_file file;
            uint8_t back[4000];
            uint64_t size = 0;
            new_directory();
            memset(&options, 0, sizeof options);
            allocator = shardio_arena_begin(&arena, memory, sizeof memory);
            options.allocator = &allocator;
            memset(&m, 0, sizeof m);
            m.data = fixed;
            m.capacity = sizeof fixed;
            m.fixed = true;
            if (real[i]) CHECK_OK(shardio_file_open(&file, rig_path("a"), SHARDIO_OPEN_CREATE, &options, &error));
            else file = shardio_memory_file(&m, "fixed");
            CHECK_OK(shardio_shard_begin(&w, file, &layout, index, sizeof index, buffer, 8192, &o));
            for (uint64_t c = 0; c < 40; c++) {
                CHECK_OK(shardio_shard_put(&w, c, source + c, 3000));
                if (c % 10 == 5) CHECK_OK(shardio_shard_checkpoint(&w));
            }
            CHECK_OK(shardio_shard_finish(&w, &error));
            if (real[i]) CHECK_OK(shardio_file_open(&file, rig_path("a"), SHARDIO_OPEN_READ, &options, &error));
            CHECK_OK(shardio_shard_open_file(&r, file, &layout, &allocator, &error));
            CHECK_OK(shardio_shard_read(&r, 7, back, sizeof back, &size, &error));
            CHECK_BYTES(back, source + 7, 3000);
            CHECK_OK(shardio_shard_verify(&r, NULL, NULL, NULL, &error));
            shardio_shard_close(&r);
            CHECK_U64(sys.calls[CALL_MALLOC], 0);
            CHECK_U64(arena.used, 0);
        }
    }
}

/* Slots and shards by name take their memory from the allocator they are given. */
TEST(one_allocator_for_all)
{
    shardio_index_layout layout = {50, false, false, false, 0, NULL};
    for (uint64_t limit = 0; limit < 10; limit++) {
        counting count;
        shardio_allocator allocator = counting_allocator(&count);
        shardio_slot_options o = plain_options();
        shardio_shard_writer w;
        shardio_status status;
        shardio_slot slot;
        new_directory();
        o.allocator = &allocator;
        count.fail_at = limit;    /* 0: none */
        status = shardio_slot_create(&slot, rig_path("a"), &o);
        CHECK_STATUS(status, limit && limit <= count.calls ? SHARDIO_ERR_MEMORY : SHARDIO_OK);
        CHECK_STATUS(shardio_slot_finish(&slot), status);
        CHECK_U64(count.held, 0);
        CHECK((access(rig_path("a"), F_OK) == 0) == (status == SHARDIO_OK));
        count.calls = 0;
        status = shardio_shard_create(&w, rig_path("b"), &layout, &o);
        CHECK_STATUS(status, limit && limit <= count.calls ? SHARDIO_ERR_MEMORY : SHARDIO_OK);
        CHECK_STATUS(shardio_shard_finish(&w, NULL), status);
        CHECK_U64(count.held, 0);
        CHECK((access(rig_path("b"), F_OK) == 0) == (status == SHARDIO_OK));
        CHECK_U64(sys.calls[CALL_MALLOC], 0);
        CHECK_U64(rig_count_names(rig_home, "tmp"), 0);
    }
}

TEST_MAIN(TEST_CASE(default_allocator_aligns) TEST_CASE(large_buffers_in_large_pages)
          TEST_CASE(arena) TEST_CASE(parents_that_others_make) TEST_CASE(parents_that_others_remove) TEST_CASE(names_that_are_too_long)
          TEST_CASE(unbuffered_refused_under_way)
          TEST_CASE(memory_files)
          TEST_CASE(reading_exactly)
          TEST_CASE(opening)
          TEST_CASE(rights_are_kept) TEST_CASE(long_names)
          TEST_CASE(facts)
          TEST_CASE(memory_of_a_handle)
          TEST_CASE(interrupted_calls_are_repeated)
          TEST_CASE(short_transfers_go_on)
          TEST_CASE(the_system_refuses_unbuffered)
          TEST_CASE(buffered_writes_that_fail)
          TEST_CASE(every_system_call_fails_in_turn)
          TEST_CASE(failed_fsync_is_not_repeated)
          TEST_CASE(order_of_durable_calls)
          TEST_CASE(renaming_without_renameat2)
          TEST_CASE(huge_appends)
          TEST_CASE(suspended_files_hold_no_descriptor)
          TEST_CASE(no_descriptor_left) TEST_CASE(in_place_is_not_removed) TEST_CASE(flags_that_are_not_known)
          TEST_CASE(rights_that_are_not_known)
          TEST_CASE(replaced_while_suspended)
          TEST_CASE(everything_in_memory_of_the_caller)
          TEST_CASE(one_allocator_for_all))
