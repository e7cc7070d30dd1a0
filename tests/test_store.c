/* The store section: a directory and memory behave alike. One table of checks, run on both. Then what only a directory
   has: symbolic links, directories that have to be synced. The header's calls go through the functions here. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static struct {
    int openat2_code;         /* openat2 fails with this errno, as where it is not known or allowed; 0: it works */
    int busy;                 /* openat2 without waiting finds so many files busy: EAGAIN */
    int waits;                /* calls of openat2 that would have waited */
    ino_t synced;             /* the directory that was synced last */
    int syncs, fsync_code;
} hooks;

static long test_syscall(long number, ...)
{
    va_list list;
    long result = 0;          /* sync_file_range: a hint */
    va_start(list, number);
    if (number == SYS_renameat2) {
        int from_directory = va_arg(list, int);
        const char *from = va_arg(list, const char *);
        int to_directory = va_arg(list, int);
        const char *to = va_arg(list, const char *);
        result = syscall(number, from_directory, from, to_directory, to, va_arg(list, unsigned));
    } else if (number == SYS_statx) {
        int fd = va_arg(list, int);
        const char *path = va_arg(list, const char *);
        int flags = va_arg(list, int);
        unsigned mask = va_arg(list, unsigned);
        result = syscall(number, fd, path, flags, mask, va_arg(list, uint64_t *));
#if defined(SYS_openat2)
    } else if (number == SYS_openat2) {
        int directory = va_arg(list, int);
        const char *path = va_arg(list, const char *);
        const uint64_t *how = va_arg(list, const uint64_t *);
        bool patient = (how[0] & O_NONBLOCK) == 0;
        hooks.waits += patient && (how[0] & O_DIRECTORY) == 0;
        if (!patient && hooks.busy > 0) hooks.busy--, errno = EAGAIN, result = -1;
        else if (hooks.openat2_code != 0) errno = hooks.openat2_code, result = -1;
        else result = syscall(number, directory, path, how, va_arg(list, size_t));
#endif
    }
    va_end(list);
    return result;
}

static int test_fsync(int fd)
{
    struct stat facts;
    if (fstat(fd, &facts) == 0 && S_ISDIR(facts.st_mode)) hooks.synced = facts.st_ino, hooks.syncs++;
    if (hooks.fsync_code != 0) errno = hooks.fsync_code;
    return hooks.fsync_code != 0 ? -1 : fsync(fd);
}

#define syscall test_syscall
#define fsync test_fsync
#include "arrays.h"
#undef syscall
#undef fsync

/* Runs `check` on a new store of each kind. `parent` is the directory around the directory store, or null. */
static void on_both(void (*check)(const shardio_store *store, const char *parent))
{
    char parent[300], path[320];
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/store", parent);
    shardio_store directory = shardio_store_directory(path);
    int before = test_failures;
    check(&directory, parent);
    if (test_failures != before) fprintf(stderr, "    (directory store)\n");

    counter c;
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, counter_begin(&c));
    before = test_failures;
    check(&store, NULL);
    shardio_store_memory_free(&memory);
    CHECK_U64(c.live, 0);
    if (test_failures != before) fprintf(stderr, "    (memory store)\n");
}

static shardio_status begin(const shardio_store *store, const char *key, bool overwrite, shardio_file *file)
{
    int code = 0;
    memset(file, 0, sizeof *file);
    return store->functions->create(store->context, key, overwrite, SHARDIO_NO_OFFSET, NULL, file, &code);
}

static shardio_status look(const shardio_store *store, const char *key, bool update, shardio_file *file)
{
    int code = 0;
    memset(file, 0, sizeof *file);
    return store->functions->open(store->context, key, update, NULL, file, &code);
}

static void check_text(const shardio_store *store, const char *key, const char *want, int line)
{
    size_t size;
    uint8_t *data = store_get(store, key, &size);
    if (want == NULL && data == NULL) return;
    if (data == NULL || want == NULL || size != strlen(want) || memcmp(data, want, size) != 0)
        test_equal_text(__FILE__, line, key, (const char *)data, want);
    free(data);
}
#define CHECK_KEY(key, want) check_text(store, key, want, __LINE__)

static void check_empty(const shardio_store *store, const char *parent)
{
    shardio_file f;
    key_list list;
    int code = 0;
    memset(&list, 0, sizeof list);
    shardio_status s = store->functions->list(store->context, "", key_list_each, &list, &code);
    CHECK(s == SHARDIO_OK || (parent != NULL && s == SHARDIO_ERR_NOT_FOUND));      /* need not exist yet */
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count + list.temporary, 0);
    CHECK_OK(store_keys(store, "a/b/", &list));
    CHECK_U64(list.count, 0);
    CHECK_STATUS(look(store, "a", false, &f), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(look(store, "a/b/c", true, &f), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(store_remove(store, "a"), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(store_remove(store, "a/b/c"), SHARDIO_ERR_NOT_FOUND);
}
TEST(empty) { on_both(check_empty); }

static void check_put(const shardio_store *store, const char *parent)
{
    key_list list;
    shardio_file f;
    (void)parent;
    CHECK_OK(store_put_text(store, "zarr.json", "one"));
    CHECK_OK(store_put_text(store, "c/0/0", "two"));
    CHECK_OK(store_put_text(store, "deep/er/and/deeper/key", ""));
    CHECK_OK(store_put_text(store, "c\xc3\xa9 x/[1].tmp", "three"));
    CHECK_KEY("zarr.json", "one");
    CHECK_KEY("c/0/0", "two");
    CHECK_KEY("deep/er/and/deeper/key", "");
    CHECK_KEY("c\xc3\xa9 x/[1].tmp", "three");
    CHECK_KEY("c/0", NULL);
    CHECK_KEY("c/0/00", NULL);
    CHECK_KEY("c", NULL);
    CHECK_STATUS(look(store, "deep/er", false, &f), SHARDIO_ERR_NOT_FOUND);     /* a directory is no key */
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count, 4);
    CHECK_U64(list.bytes, 11);
    CHECK_U64(list.temporary, 0);
    CHECK_OK(store_put_text(store, "zarr.json", "longer than before"));
    CHECK_KEY("zarr.json", "longer than before");
    CHECK_OK(store_put_text(store, "zarr.json", "x"));                           /* no old tail */
    CHECK_KEY("zarr.json", "x");
    CHECK_OK(store_remove(store, "c/0/0"));
    CHECK_KEY("c/0/0", NULL);
    CHECK_STATUS(store_remove(store, "c/0/0"), SHARDIO_ERR_NOT_FOUND);
    CHECK_OK(store_put_text(store, "c/0/0", "again"));
    CHECK_KEY("c/0/0", "again");
}
TEST(put_get_remove) { on_both(check_put); }

static void check_list(const shardio_store *store, const char *parent)
{
    static const char *const keys[] = {"a/zarr.json", "a/c/0/0", "a/c/0/1", "a/c/10/0", "ab/zarr.json", "b", "zarr.json"};
    static const struct { const char *prefix; uint64_t count; } table[] = {
        {"", 7}, {"a/", 4}, {"a/c/", 3}, {"a/c/0/", 2}, {"ab/", 1}, {"a/c/1/", 0}, {"c/", 0}, {"a/c/10/", 1}, {"nothing/here/", 0}, {"b/", 0}, {"a/c/0/1/", 0},
    };
    key_list list;
    (void)parent;
    for (size_t i = 0; i < 7; i++) CHECK_OK(store_put_text(store, keys[i], keys[i]));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        CHECK_OK(store_keys(store, table[i].prefix, &list));
        CHECK_U64(list.count, table[i].count);
        for (size_t k = 0; k < 7; k++)      /* listed by whole keys, and only those below the prefix */
            CHECK(key_listed(&list, keys[k]) == (strncmp(keys[k], table[i].prefix, strlen(table[i].prefix)) == 0));
    }
}
TEST(list) { on_both(check_list); }

static bool stop_at_three(void *context, const char *key, uint64_t size, bool temporary)
{
    (void)key; (void)size; (void)temporary;
    return ++*(int *)context < 3;
}

static void check_list_stops(const shardio_store *store, const char *parent)
{
    int seen = 0, code = 0;
    char key[40];
    (void)parent;
    for (int i = 0; i < 12; i++) { snprintf(key, sizeof key, "k%d/%d", i % 4, i); CHECK_OK(store_put_text(store, key, "x")); }
    CHECK_OK(store->functions->list(store->context, "", stop_at_three, &seen, &code));
    CHECK_U64(seen, 3);
}
TEST(list_stops) { on_both(check_list_stops); }

static void check_unpublished(const shardio_store *store, const char *parent)
{
    shardio_file f, g;
    key_list list;
    int code = 0;
    (void)parent;
    /* nobody sees it before it is published, and a discarded one leaves nothing */
    CHECK_OK(begin(store, "c/0", false, &f));
    CHECK_OK(file_write_all(&f, 0, "hello", 5));
    CHECK_STATUS(look(store, "c/0", false, &g), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(look(store, "c/0", true, &g), SHARDIO_ERR_NOT_FOUND);
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count, 0);
    CHECK_U64(list.temporary, 1);
    CHECK_OK(store_keys(store, "c/", &list));
    CHECK_U64(list.temporary, 1);
    CHECK_OK(store_keys(store, "d/", &list));
    CHECK_U64(list.temporary, 0);
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count + list.temporary, 0);

    /* published and written on: visible at once; discarding it then does not take it away */
    CHECK_OK(begin(store, "c/0", false, &f));
    CHECK_OK(file_write_all(&f, 0, "hello", 5));
    CHECK_OK(f.functions->publish(f.context, true, &code));
    CHECK_KEY("c/0", "hello");
    CHECK_OK(file_write_all(&f, 5, " you", 4));
    CHECK_OK(f.functions->publish(f.context, true, &code));      /* once more is nothing */
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
    CHECK_KEY("c/0", "hello you");

    /* a replacement: the old value is there until the new one is published, or for good */
    CHECK_OK(begin(store, "c/0", true, &f));
    CHECK_OK(file_write_all(&f, 0, "new", 3));
    CHECK_KEY("c/0", "hello you");
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
    CHECK_KEY("c/0", "hello you");
    CHECK_OK(begin(store, "c/0", true, &f));
    CHECK_OK(file_write_all(&f, 0, "new", 3));
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_PUBLISH));
    CHECK_KEY("c/0", "new");
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count, 1);
    CHECK_U64(list.temporary, 0);
}
TEST(unpublished_is_invisible) { on_both(check_unpublished); }

static void check_no_overwrite(const shardio_store *store, const char *parent)
{
    shardio_file f, g;
    key_list list;
    (void)parent;
    CHECK_OK(store_put_text(store, "k", "old"));
    shardio_status s = begin(store, "k", false, &f);
    if (s == SHARDIO_OK) s = file_close(&f, SHARDIO_CLOSE_PUBLISH);
    CHECK_STATUS(s, SHARDIO_ERR_EXISTS);
    CHECK_KEY("k", "old");
    /* two that began before either was there: the second to be published is refused */
    CHECK_OK(begin(store, "two", false, &f));
    CHECK_OK(begin(store, "two", false, &g));
    CHECK_OK(file_write_all(&f, 0, "first", 5));
    CHECK_OK(file_write_all(&g, 0, "second", 6));
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_PUBLISH));
    CHECK_STATUS(file_close(&g, SHARDIO_CLOSE_PUBLISH), SHARDIO_ERR_EXISTS);
    CHECK_KEY("two", "first");
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count, 2);
    CHECK_U64(list.temporary, 0);
}
TEST(no_overwrite_unless_asked) { on_both(check_no_overwrite); }

/* A file gives back its descriptor and is opened again under whatever name it has by then: a temporary one, two of
   the same key side by side, its own after it was published. Stores without descriptors need not know about it. */
static void check_suspended(const shardio_store *store, const char *parent)
{
    shardio_file f, g;
    key_list list;
    int code = 0;
    CHECK_OK(begin(store, "c/7", false, &f));
    CHECK_OK(begin(store, "c/7", false, &g));
    if (f.functions->suspend == NULL) {
        CHECK(parent == NULL);
        CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
        CHECK_OK(file_close(&g, SHARDIO_CLOSE_DISCARD));
        return;
    }
    CHECK_OK(file_write_all(&g, 0, "other", 5));
    for (int i = 0; i < 5; i++) {
        shardio_file_facts facts;
        memset(&facts, 0, sizeof facts);
        CHECK_OK(file_write_all(&f, (uint64_t)i, &"abcde"[i], 1));
        CHECK_OK(f.functions->suspend(f.context, &code));
        CHECK_OK(g.functions->suspend(g.context, &code));
        CHECK_OK(g.functions->resume(g.context, &code));
        CHECK_OK(f.functions->resume(f.context, &code));
        CHECK_OK(f.functions->facts(f.context, &facts, &code));
        CHECK_U64(facts.size, 1 + i);
    }
    CHECK_OK(store_keys(store, "c/", &list));
    CHECK_U64(list.count, 0);
    CHECK_U64(list.temporary, 2);
    CHECK_OK(g.functions->suspend(g.context, &code));
    CHECK_OK(file_close(&g, SHARDIO_CLOSE_DISCARD));         /* goes while it is suspended */
    CHECK_OK(f.functions->publish(f.context, false, &code));
    CHECK_KEY("c/7", "abcde");
    CHECK_OK(f.functions->suspend(f.context, &code));
    CHECK_OK(f.functions->resume(f.context, &code));
    CHECK_OK(file_write_all(&f, 5, "f", 1));
    CHECK_OK(f.functions->suspend(f.context, &code));
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_PUBLISH));
    CHECK_KEY("c/7", "abcdef");
    CHECK_OK(store_keys(store, "c/", &list));
    CHECK_U64(list.count, 1);
    CHECK_U64(list.temporary, 0);
}
TEST(suspended) { on_both(check_suspended); }

static void check_update(const shardio_store *store, const char *parent)
{
    shardio_file f, g;
    char text[8] = "";
    int code = 0;
    size_t done = 9;
    (void)parent;
    CHECK_OK(store_put_text(store, "k", "abcdef"));
    CHECK_OK(look(store, "k", true, &f));
    CHECK_OK(look(store, "k", false, &g));
    CHECK_OK(file_write_all(&f, 2, "XY", 2));
    CHECK_OK(file_write_all(&f, 6, "Z", 1));
    CHECK_OK(shardio_file_read(&g, 0, text, 7, NULL));
    CHECK_TEXT(text, "abXYefZ");
    CHECK_STATUS(shardio_file_read(&g, 3, text, 5, NULL), SHARDIO_ERR_TRUNCATED);
    CHECK_OK(g.functions->read(g.context, 7, text, 5, &done, &code));
    CHECK_U64(done, 0);
    CHECK_OK(g.functions->read(g.context, 1000, text, 5, &done, &code));
    CHECK_U64(done, 0);
    CHECK_OK(f.functions->resize(f.context, 3, &code));
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
    CHECK_OK(file_close(&g, SHARDIO_CLOSE_KEEP));
    CHECK_KEY("k", "abX");
    CHECK_OK(look(store, "k", true, &f));                     /* what was never new is not removed */
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
    CHECK_KEY("k", "abX");
    /* a value written beyond its end has zeros between, and can be made longer */
    CHECK_OK(begin(store, "gap", false, &f));
    CHECK_OK(file_write_all(&f, 3, "x", 1));
    CHECK_OK(f.functions->resize(f.context, 6, &code));
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_PUBLISH));
    size_t size;
    uint8_t *data = store_get(store, "gap", &size);
    CHECK_U64(size, 6);
    if (data != NULL && size == 6) CHECK_BYTES(data, "\0\0\0x\0\0", 6);
    free(data);
}
TEST(update_in_place) { on_both(check_update); }

/* The identity of a value stays while it does, and is another one after it was replaced or written. */
static void check_identity(const shardio_store *store, const char *parent)
{
    shardio_file f;
    shardio_file_facts a, b;
    int code = 0;
    (void)parent;
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    CHECK_OK(store_put_text(store, "k", "abc"));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(look(store, "k", false, &f));
        CHECK_OK(f.functions->facts(f.context, i ? &b : &a, &code));
        CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
    }
    CHECK_BYTES(a.identity, b.identity, sizeof a.identity);
    usleep(20000);
    CHECK_OK(store_put_text(store, "k", "abd"));
    CHECK_OK(look(store, "k", false, &f));
    CHECK_OK(f.functions->facts(f.context, &b, &code));
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
    CHECK(memcmp(a.identity, b.identity, sizeof a.identity) != 0);
    CHECK(a.size == 3 && b.size == 3 && !a.stream && !a.special);
}
TEST(identity) { on_both(check_identity); }

static void check_bad_keys(const shardio_store *store, const char *parent)
{
    static const char *const bad[] = {"", "/", "..", ".", "../x", "/x", "a/../../x", "a/..", "a/.", "./a", "a/./b", "a//b", "a/", "//a",
                                      "../store/k", "a/b/../../../x", "/etc/passwd", "/tmp/shardio-never",
                                      "..\\x", "a\\..\\..\\x", "\\x", "c:x", "c:/x", "a/b:stream", "a/\\/b"};
    uint64_t before = 0;
    key_list list;
    CHECK_OK(store_put_text(store, "k", "value"));
    if (parent != NULL) before = entries_below(parent);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        shardio_file f;
        shardio_status s[4];
        s[0] = begin(store, bad[i], true, &f);
        if (s[0] == SHARDIO_OK) file_close(&f, SHARDIO_CLOSE_DISCARD);
        s[1] = look(store, bad[i], false, &f);
        if (s[1] == SHARDIO_OK) file_close(&f, SHARDIO_CLOSE_KEEP);
        s[2] = look(store, bad[i], true, &f);
        if (s[2] == SHARDIO_OK) file_close(&f, SHARDIO_CLOSE_KEEP);
        s[3] = store_remove(store, bad[i]);
        for (int k = 0; k < (bad[i][0] != 0 ? 4 : 3); k++) {       /* removing "" is removing an empty store */
            if (s[k] != SHARDIO_ERR_ARGUMENT) fprintf(stderr, "    key \"%s\", %d\n", bad[i], k);
            CHECK_STATUS(s[k], SHARDIO_ERR_ARGUMENT);
        }
        if (bad[i][0] == 0) continue;
        char prefix[100];
        snprintf(prefix, sizeof prefix, "%s/", bad[i]);
        CHECK(store_keys(store, prefix, &list) != SHARDIO_OK || list.count == 0);
    }
    if (parent != NULL) CHECK_U64(entries_below(parent), before);
    CHECK_KEY("k", "value");
    static const char *const good[] = {"...", "..a", "a..", ".a", "a/..b/c", "a.b"};       /* odd, but keys */
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK_OK(store_put_text(store, good[i], good[i]));
        CHECK_KEY(good[i], good[i]);
    }
}
TEST(keys_stay_inside) { on_both(check_bad_keys); }

/* A key below another key cannot be on a directory; wherever it is refused, nothing is damaged. */
static void check_key_below_key(const shardio_store *store, const char *parent)
{
    (void)parent;
    CHECK_OK(store_put_text(store, "a", "file"));
    shardio_status s = store_put_text(store, "a/b", "below");
    CHECK_KEY("a", "file");
    if (s == SHARDIO_OK) CHECK_KEY("a/b", "below");
    shardio_file f;
    if (s != SHARDIO_OK) CHECK(look(store, "a/b", false, &f) != SHARDIO_OK);
    CHECK_OK(store_put_text(store, "d/e", "file"));
    s = store_put_text(store, "d", "a directory is in the way");
    CHECK_KEY("d/e", "file");
    CHECK_KEY("a", "file");
}
TEST(key_below_key) { on_both(check_key_below_key); }

static void check_memory(const shardio_store *store, const char *parent)
{
    static const char *const keys[] = {"k", "c/0/0/0", "a/long/way/down/to/some/key/that/has/a/name/of/its/own/c/0/1/2/3/4/5/6/7/8/9"};
    (void)parent;
    for (size_t i = 0; i < 3; i++) {
        for (int how = 0; how < 2; how++) {             /* create, open */
            counter c;
            shardio_file f;
            int code = 0;
            counter_begin(&c);
            shardio_status s = how == 1 ? store->functions->open(store->context, keys[i], false, &c.allocator, &f, &code)
                                        : store->functions->create(store->context, keys[i], true, SHARDIO_NO_OFFSET,
                                                                   &c.allocator, &f, &code);
            CHECK_OK(s);
            CHECK(c.peak <= store->functions->file_memory(store->context, strlen(keys[i])));
            if (s == SHARDIO_OK) { CHECK_OK(file_write_all(&f, 0, "x", how == 1 ? 0 : 1)); CHECK_OK(file_close(&f, how == 1 ? SHARDIO_CLOSE_KEEP : SHARDIO_CLOSE_PUBLISH)); }
            CHECK_U64(c.live, 0);
            CHECK_KEY(keys[i], "x");
            for (uint64_t n = 1; n <= c.calls; n++) {   /* each allocation fails in turn */
                counter d;
                counter_begin(&d);
                d.fail_at = n;
                s = how == 1 ? store->functions->open(store->context, keys[i], false, &d.allocator, &f, &code)
                             : store->functions->create(store->context, keys[i], true, SHARDIO_NO_OFFSET, &d.allocator,
                                                        &f, &code);
                CHECK_STATUS(s, SHARDIO_ERR_MEMORY);
                if (s == SHARDIO_OK) file_close(&f, SHARDIO_CLOSE_DISCARD);
                CHECK_U64(d.live, 0);
            }
        }
    }
    key_list list;
    CHECK_OK(store_keys(store, "", &list));
    CHECK_U64(list.count, 3);
    CHECK_U64(list.temporary, 0);
}
TEST(memory_is_as_stated) { on_both(check_memory); }

/* The memory store when its own memory ends: errors, and what was there before stays. */
TEST(memory_store_runs_out)
{
    for (uint64_t n = 1; n < 40; n++) {
        counter c;
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, counter_begin(&c));
        CHECK_OK(store_put_text(&store, "k", "value"));
        uint64_t before = c.calls;
        c.fail_at = before + n;
        char big[3000];
        memset(big, 'x', sizeof big);
        shardio_status s = store_put(&store, "a/b", big, sizeof big);
        if (s == SHARDIO_OK) s = store_put(&store, "k", big, sizeof big);
        bool failed = c.calls >= c.fail_at;
        if (failed) CHECK_STATUS(s, SHARDIO_ERR_MEMORY);
        else CHECK_OK(s);
        size_t size;
        uint8_t *data = store_get(&store, "k", &size);
        CHECK(data != NULL && ((size == 5 && memcmp(data, "value", 5) == 0) || size == sizeof big));
        free(data);
        shardio_store_memory_free(&memory);
        CHECK_U64(c.live, 0);
        if (!failed) return;
    }
    test_fail(__FILE__, __LINE__, "more than 40 allocations for two keys");
}

/* Random operations against a table of what there has to be. */
static void check_random(const shardio_store *store, const char *parent)
{
    enum { KEYS = 9 };
    static const char *const keys[KEYS] = {"zarr.json", "c/0", "c/1", "c/2/3", "a/zarr.json", "a/c/0", "a/c/1", "a/b/zarr.json", "x"};
    char want[KEYS][40];
    bool there[KEYS] = {false};
    uint64_t r = parent != NULL ? 1 : 2;
    memset(want, 0, sizeof want);
    for (int k = 0; k < 500; k++) {
        size_t i = (size_t)(test_random(&r) % KEYS);
        char text[40];
        shardio_file f;
        shardio_status s;
        snprintf(text, sizeof text, "%.*s", (int)(test_random(&r) % 30), "abcdefghijklmnopqrstuvwxyz0123456789");
        switch (test_random(&r) % 6) {
        case 0:
            s = store_remove(store, keys[i]);
            CHECK_STATUS(s, there[i] ? SHARDIO_OK : SHARDIO_ERR_NOT_FOUND);
            there[i] = false;
            break;
        case 1:
            CHECK_OK(store_put_text(store, keys[i], text));
            there[i] = true;
            strcpy(want[i], text);
            break;
        case 2:
            s = begin(store, keys[i], false, &f);
            if (s == SHARDIO_OK) { CHECK_OK(file_write_all(&f, 0, text, strlen(text))); s = file_close(&f, SHARDIO_CLOSE_PUBLISH); }
            CHECK_STATUS(s, there[i] ? SHARDIO_ERR_EXISTS : SHARDIO_OK);
            if (!there[i]) strcpy(want[i], text);
            there[i] = true;
            break;
        case 3:
            CHECK_OK(begin(store, keys[i], true, &f));
            CHECK_OK(file_write_all(&f, 0, text, strlen(text)));
            CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
            break;
        case 4:
            s = look(store, keys[i], true, &f);
            CHECK_STATUS(s, there[i] ? SHARDIO_OK : SHARDIO_ERR_NOT_FOUND);
            if (s != SHARDIO_OK) break;
            if (want[i][0] != 0) { CHECK_OK(file_write_all(&f, 0, "#", 1)); want[i][0] = '#'; }
            CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
            break;
        default:
            CHECK_KEY(keys[i], there[i] ? want[i] : NULL);
        }
        if (test_failures) return;
    }
    key_list list;
    uint64_t count = 0;
    CHECK_OK(store_keys(store, "", &list));
    for (size_t i = 0; i < KEYS; i++) {
        count += there[i];
        CHECK(key_listed(&list, keys[i]) == there[i]);
        CHECK_KEY(keys[i], there[i] ? want[i] : NULL);
    }
    CHECK_U64(list.count, count);
    CHECK_U64(list.temporary, 0);
}
TEST(random_operations) { on_both(check_random); }

/* A directory that is not there, is a file, or may not be written. */
TEST(directory_that_is_none)
{
    char parent[300], path[400];
    shardio_file f;
    key_list list;
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/some/way/down", parent);
    shardio_store store = shardio_store_directory(path);
    CHECK_OK(store_keys(&store, "", &list));
    CHECK_OK(store_put_text(&store, "a/b", "text"));          /* made on the way */
    check_text(&store, "a/b", "text", __LINE__);

    snprintf(path, sizeof path, "%s/some/way/down/a/b", parent);
    CHECK(look(&store, "zarr.json", false, &f) != SHARDIO_OK);
    CHECK(store_put_text(&store, "zarr.json", "x") != SHARDIO_OK);
    struct stat st;
    CHECK(stat(path, &st) == 0 && st.st_size == 4);

    if (geteuid() != 0) return;                               /* as root: another user, who may not */
    snprintf(path, sizeof path, "%s/some", parent);
    chmod(parent, 0755);
    if (seteuid(65534) != 0) return;
    DIR *d = opendir(path);
    if (d != NULL) {
        closedir(d);
        CHECK_STATUS(store_put_text(&store, "zarr.json", "x"), SHARDIO_ERR_PERMISSION);
        CHECK_STATUS(store_put_text(&store, "way/zarr.json", "x"), SHARDIO_ERR_PERMISSION);
        shardio_store below = shardio_store_directory(path);
        snprintf(path, sizeof path, "%s/some/not/there", parent);
        CHECK_STATUS(store_put_text(&below, "zarr.json", "x"), SHARDIO_ERR_PERMISSION);
    }
    CHECK(seteuid(0) == 0);
}

/* Temporary files look as the header says, so that verify and people recognize them. */
TEST(temporary_names)
{
    char parent[300], path[400];
    shardio_file f;
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/s", parent);
    shardio_store store = shardio_store_directory(path);
    CHECK_OK(begin(&store, "c/0", false, &f));
    snprintf(path, sizeof path, "%s/s/c", parent);
    DIR *d = opendir(path);
    if (!CHECK(d != NULL)) return;
    int found = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t length = strlen(e->d_name);
        found += strncmp(e->d_name, "0.", 2) == 0 && length > 12 && strcmp(e->d_name + length - 12, ".shardio-tmp") == 0;
    }
    closedir(d);
    CHECK_U64(found, 1);
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
}

/* ---- Symbolic links: a directory whose contents come from somebody else never leads out of itself. */

typedef struct scene {
    char parent[300], store_path[320], outside[320];
    shardio_store store;
} scene;

static const char *below(const char *directory, const char *name)
{
    static char paths[8][900];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static shardio_array_options small_array(bool overwrite)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.dtype = SHARDIO_UINT8;
    o.ndim = 2;
    o.shape[1] = 4;
    o.chunk[0] = o.chunk[1] = o.shard[0] = 2;
    o.shard[1] = 4;
    o.path = "a";
    o.overwrite = overwrite;
    o.durability = SHARDIO_DURABLE_NONE;
    return o;
}

/* Three frames in two shards, "a/c/0/0" and "a/c/1/0", below a group. The second one is not full. */
static shardio_status put_array(const shardio_store *store, bool overwrite, uint8_t first, bool keep,
                                shardio_error *error)
{
    shardio_array_options o = small_array(overwrite);
    uint8_t data[12];
    for (int i = 0; i < 12; i++) data[i] = (uint8_t)(first + i);
    shardio_array *a = shardio_array_create_in(store, &o);
    shardio_array_append(a, data, 12);
    if (keep) return shardio_array_finish(a, error);
    *error = shardio_array_error(a);
    shardio_array_abort(a);
    return error->status;
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (!CHECK(f != NULL)) return;
    fputs(text, f);
    fclose(f);
}

static void set_scene(scene *s)
{
    shardio_error error;
    memset(&hooks, 0, sizeof hooks);
    test_directory(s->parent, sizeof s->parent);
    snprintf(s->outside, sizeof s->outside, "%s/outside", s->parent);
    snprintf(s->store_path, sizeof s->store_path, "%s/store", s->parent);
    shardio_store foreign = shardio_store_directory(s->outside);
    s->store = shardio_store_directory(s->store_path);
    CHECK_OK(put_array(&foreign, false, 100, true, &error));
    CHECK_OK(put_array(&s->store, false, 1, true, &error));
    CHECK(mkfifo(below(s->outside, "pipe"), 0600) == 0);
    put_file(below(s->outside, "file"), "canary");
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)facts; (void)kind; (void)where;
    return remove(path);
}

static void remove_all(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0) CHECK(errno == ENOENT);
}

/* A number for names, kinds, inodes, times and contents of all that is below a directory. */
static uint64_t snapshot(const char *path)
{
    DIR *d = opendir(path);
    uint64_t sum = 0;
    if (d == NULL) return 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct stat st;
        uint8_t bytes[4096];
        char name[1400];
        if (strcmp(e->d_name, "..") == 0) continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (lstat(name, &st) != 0) continue;
        uint64_t facts[6] = {st.st_ino, st.st_mode, (uint64_t)st.st_size, st.st_nlink, (uint64_t)st.st_mtim.tv_sec,
                             (uint64_t)st.st_mtim.tv_nsec};
        uint32_t crc = shardio_crc32c(shardio_crc32c(0, facts, sizeof facts), e->d_name, strlen(e->d_name));
        FILE *f = S_ISREG(st.st_mode) ? fopen(name, "rb") : NULL;
        if (f != NULL) crc = shardio_crc32c(crc, bytes, fread(bytes, 1, sizeof bytes, f));
        if (f != NULL) fclose(f);
        sum += test_mix(crc);
        if (S_ISDIR(st.st_mode) && strcmp(e->d_name, ".") != 0) sum += test_mix(snapshot(name));
    }
    closedir(d);
    return sum;
}

typedef enum link_kind {
    LINK_ABSOLUTE, LINK_RELATIVE, LINK_TWICE, LINK_DANGLING, LINK_DANGLING_RELATIVE, LINK_LOOP, LINK_PIPE, LINK_KINDS
} link_kind;

/* Puts a link in the place of `position`; the thing itself goes beside the store. */
static void plant(const scene *s, const char *position, link_kind kind)
{
    char target[700], up[64] = "";
    for (const char *c = position; *c != 0; c++) if (*c == '/') strcat(up, "../");
    switch (kind) {
    case LINK_ABSOLUTE: snprintf(target, sizeof target, "%s/%s", s->outside, position); break;
    case LINK_RELATIVE: snprintf(target, sizeof target, "%s../outside/%s", up, position); break;
    case LINK_TWICE: snprintf(target, sizeof target, "%selsewhere/%s", up, position); break;
    case LINK_DANGLING: snprintf(target, sizeof target, "%s/nothing", s->outside); break;
    case LINK_DANGLING_RELATIVE: snprintf(target, sizeof target, "%s../outside/nothing", up); break;
    case LINK_PIPE: snprintf(target, sizeof target, "%s/pipe", s->outside); break;
    default: snprintf(target, sizeof target, "%s", strrchr(position, '/') ? strrchr(position, '/') + 1 : position);
    }
    CHECK(rename(below(s->store_path, position), below(s->parent, "removed")) == 0);
    CHECK(symlink(target, below(s->store_path, position)) == 0);
    if (kind == LINK_TWICE) CHECK(symlink("../outside", below(s->store_path, "elsewhere")) == 0);
}

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The error of an operation that a link stopped: it names the key, and says why. */
static void check_refused(const shardio_error *error, const char *position)
{
    char text[512];
    shardio_error_text(error, text, sizeof text);
    CHECK_STATUS(error->status, SHARDIO_ERR_PERMISSION);
    const char *key = strstr(error->subject, "/store/");
    bool named = key != NULL && (begins_with(key + 7, position) || begins_with(position, key + 7));
    if (strstr(text, "symbolic link") == NULL || !named) test_fail(__FILE__, __LINE__, text);
}

static shardio_status visit_nothing(void *context, const char *key, const uint64_t *position, uint64_t size,
                                    shardio_shard_reader *reader, const shardio_error *fault)
{
    (void)context; (void)key; (void)position; (void)size; (void)reader; (void)fault;
    return SHARDIO_OK;
}

static void link_read(const scene *s, const char *position)
{
    shardio_array_options o = small_array(false);
    uint64_t start[2] = {0, 0}, count[2] = {3, 4};
    uint8_t data[12] = {0};
    shardio_error error;
    shardio_array *a = shardio_array_open_in(&s->store, &o, &error);
    if (error.status == SHARDIO_OK) shardio_array_read(a, start, count, data, 12, &error);
    if (strcmp(position, "zarr.json") == 0) CHECK_OK(error.status);       /* of the group: nobody asks for it */
    else check_refused(&error, position);
    for (int i = 0; i < 12; i++) CHECK(data[i] < 100);
    shardio_array_close(a);
}

static void link_verify(const scene *s, const char *position)
{
    shardio_array_options o = small_array(false);
    shardio_error error;
    key_list list;
    shardio_array *a = shardio_array_open_in(&s->store, &o, &error);
    if (error.status == SHARDIO_OK) {
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &error));
        CHECK_OK(shardio_array_each_shard(a, visit_nothing, NULL, &error));
    } else {
        check_refused(&error, position);
    }
    shardio_array_close(a);
    CHECK_OK(store_keys(&s->store, "", &list));
    char wanted[300];
    snprintf(wanted, sizeof wanted, " %s", position);
    CHECK(strstr(list.text, wanted) == NULL);
    CHECK(strstr(list.text, "elsewhere") == NULL);
    char prefix[300];
    snprintf(prefix, sizeof prefix, "%s/", position);
    (void)store_keys(&s->store, prefix, &list);
    CHECK_U64(list.count, 0);
}

static void link_continue(const scene *s, const char *position)
{
    static const uint8_t more[8] = {50, 51, 52, 53, 54, 55, 56, 57};
    shardio_array_options o = small_array(false);
    shardio_error error;
    shardio_array *a = shardio_array_continue_in(&s->store, &o);
    shardio_array_append(a, more, 8);
    shardio_array_finish(a, &error);
    if (strcmp(position, "zarr.json") == 0 || begins_with(position, "a/c/0")) CHECK_STATUS(error.status, SHARDIO_OK);
    else check_refused(&error, position);
}

static void link_create(const scene *s, const char *position)
{
    shardio_error error;
    shardio_status status = put_array(&s->store, false, 60, true, &error);
    CHECK(status == SHARDIO_ERR_EXISTS || status == SHARDIO_ERR_PERMISSION);
    if (status == SHARDIO_ERR_PERMISSION) check_refused(&error, position);
}

static void link_overwrite(const scene *s, const char *position)
{
    shardio_error error;
    CHECK_STATUS(put_array(&s->store, true, 60, true, &error), SHARDIO_ERR_PERMISSION);
    check_refused(&error, position);
}

static void link_abort(const scene *s, const char *position)
{
    shardio_error error;
    if (put_array(&s->store, true, 60, false, &error) != SHARDIO_OK) check_refused(&error, position);
}

/* Every function of the store's own table, with every key at or below the link. */
static void link_keys(const scene *s, const char *position)
{
    static const char *const tails[] = {"", "/zarr.json", "/c/0/0", "/0/0", "/0", "/new", "/file"};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        shardio_file f;
        char key[100];
        int code = 0;
        snprintf(key, sizeof key, "%s%s", position, tails[i]);
        CHECK_STATUS(look(&s->store, key, false, &f), SHARDIO_ERR_PERMISSION);
        CHECK_STATUS(look(&s->store, key, true, &f), SHARDIO_ERR_PERMISSION);
        CHECK_STATUS(begin(&s->store, key, false, &f), SHARDIO_ERR_PERMISSION);
        CHECK_STATUS(begin(&s->store, key, true, &f), SHARDIO_ERR_PERMISSION);
        if (i > 0) CHECK_STATUS(store_remove(&s->store, key), SHARDIO_ERR_PERMISSION);
        if (i > 0) CHECK_STATUS(s->store.functions->sync(s->store.context, key, &code), SHARDIO_ERR_PERMISSION);
    }
    CHECK_OK(store_remove(&s->store, position));      /* the link itself lies inside */
}

static void check_links(int openat2_code)
{
    static const char *const positions[] = {
        "a", "a/c", "a/c/0", "a/c/0/0", "a/c/1", "a/c/1/0", "a/zarr.json", "zarr.json"
    };
    static void (*const acts[])(const scene *, const char *) = {
        link_read, link_verify, link_continue, link_create, link_overwrite, link_abort, link_keys
    };
    scene s;
    set_scene(&s);
    uint64_t before = snapshot(s.outside);
    for (size_t p = 0; p < sizeof positions / sizeof positions[0]; p++) {
        for (int kind = 0; kind < LINK_KINDS; kind++) {
            for (size_t act = 0; act < sizeof acts / sizeof acts[0]; act++) {
                int failures = test_failures;
                shardio_error error;
                hooks.openat2_code = 0;
                remove_all(s.store_path);
                remove_all(below(s.parent, "removed"));
                CHECK_OK(put_array(&s.store, false, 1, true, &error));
                plant(&s, positions[p], (link_kind)kind);
                hooks.openat2_code = openat2_code;
                acts[act](&s, positions[p]);
                CHECK_U64(snapshot(s.outside), before);
                if (test_failures != failures)
                    fprintf(stderr, "    (a link at %s, kind %d, act %d)\n", positions[p], kind, (int)act);
                if (test_failures > 5) return;
            }
        }
    }
}
TEST(links_do_not_lead_out) { check_links(0); }
TEST(links_without_openat2) { check_links(ENOSYS); }
TEST(links_where_openat2_is_forbidden) { check_links(EPERM); }

/* A link that stays inside works or is refused; list and open agree about it. */
TEST(links_inside)
{
    static const int codes[] = {0, ENOSYS};
    for (int i = 0; i < 2; i++) {
        scene s;
        shardio_file f;
        shardio_error error;
        key_list list;
        uint64_t start[2] = {0, 0}, count[2] = {3, 4};
        uint8_t data[12] = {0};
        set_scene(&s);
        hooks.openat2_code = codes[i];
        CHECK(rename(below(s.store_path, "a/c/0/0"), below(s.store_path, "a/kept")) == 0);
        CHECK(symlink("../../kept", below(s.store_path, "a/c/0/0")) == 0);
        shardio_status status = look(&s.store, "a/c/0/0", false, &f);
        CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_PERMISSION);
        if (status == SHARDIO_OK) CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
        CHECK_OK(store_keys(&s.store, "", &list));
        CHECK(key_listed(&list, "a/c/0/0") == (status == SHARDIO_OK));
        CHECK(key_listed(&list, "a/kept"));
        shardio_array_options o = small_array(false);
        shardio_array *a = shardio_array_open_in(&s.store, &o, NULL);
        CHECK_STATUS(shardio_array_read(a, start, count, data, 12, &error), status);
        for (uint8_t k = 0; k < 12 && status == SHARDIO_OK; k++) CHECK_U64(data[k], k + 1);
        shardio_array_close(a);
        /* a directory: found by name, not by listing, which would see what is in it twice, or for ever */
        CHECK(symlink("a", below(s.store_path, "b")) == 0 && symlink("..", below(s.store_path, "a/up")) == 0);
        status = look(&s.store, "b/zarr.json", false, &f);
        CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_PERMISSION);
        if (status == SHARDIO_OK) CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
        CHECK_OK(store_keys(&s.store, "", &list));
        CHECK(!key_listed(&list, "b/zarr.json") && strstr(list.text, "up/") == NULL);
        status = begin(&s.store, "b/d/e", false, &f);
        CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_PERMISSION);
        if (status == SHARDIO_OK) CHECK_OK(file_close(&f, SHARDIO_CLOSE_PUBLISH));
        if (status == SHARDIO_OK) CHECK(access(below(s.store_path, "a/d/e"), F_OK) == 0);
    }
}

/* The way to the store is the caller's: it may be a link, lead through links, be relative, end with a separator. */
TEST(links_on_the_way_to_the_store)
{
    static const char *const names[] = {
        "link", "way/store", "store/", "./store", "link/", "way/../store", "way//store"
    };
    static const int codes[] = {0, ENOSYS};
    char back[900];
    scene s;
    set_scene(&s);
    if (!CHECK(getcwd(back, sizeof back) != NULL)) return;
    CHECK(symlink("store", below(s.parent, "link")) == 0 && mkdir(below(s.parent, "up"), 0700) == 0);
    CHECK(symlink(s.parent, below(s.parent, "way")) == 0);
    for (size_t i = 0; i < 4 * sizeof names / sizeof names[0]; i++) {
        char path[700];
        shardio_file f;
        shardio_error error;
        key_list list;
        int code = 0;
        hooks.openat2_code = codes[i % 2];
        snprintf(path, sizeof path, "%s%s%s", i / 2 % 2 ? s.parent : "", i / 2 % 2 ? "/" : "", names[i / 4]);
        if (i / 2 % 2 == 0) CHECK(chdir(s.parent) == 0);
        shardio_store store = shardio_store_directory(path);
        CHECK_OK(put_array(&store, true, 5, true, &error));
        CHECK_OK(store_put_text(&store, "new/key", "text"));
        check_text(&store, "new/key", "text", __LINE__);
        CHECK_OK(begin(&store, "x/y", false, &f));
        CHECK_OK(f.functions->suspend(f.context, &code));
        CHECK_OK(f.functions->resume(f.context, &code));
        CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
        CHECK_OK(store_keys(&store, "", &list));
        CHECK_U64(list.count, 5);
        CHECK_OK(store_remove(&store, "new/key"));
        CHECK_OK(store.functions->sync(store.context, "new/key", &code));
        CHECK(access(below(s.store_path, "new"), F_OK) != 0 && access(below(s.store_path, "x"), F_OK) != 0);
        CHECK(chdir(back) == 0);
    }
}

/* What is no regular file is no value: not waited for, not written. */
TEST(pipes_and_sockets_in_the_store)
{
    static const int codes[] = {0, ENOSYS};
    for (int i = 0; i < 2; i++) {
        scene s;
        shardio_file f;
        key_list list;
        set_scene(&s);
        hooks.openat2_code = codes[i];
        CHECK(mkfifo(below(s.store_path, "pipe"), 0600) == 0);
        CHECK_STATUS(look(&s.store, "pipe", false, &f), SHARDIO_ERR_UNSUPPORTED);
        CHECK_STATUS(look(&s.store, "pipe", true, &f), SHARDIO_ERR_UNSUPPORTED);
        CHECK_STATUS(look(&s.store, "pipe/x", true, &f), SHARDIO_ERR_NOT_FOUND);
        CHECK_STATUS(begin(&s.store, "pipe", false, &f), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(begin(&s.store, "pipe", true, &f), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(begin(&s.store, "a/c", true, &f), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(look(&s.store, "a/c", false, &f), SHARDIO_ERR_NOT_FOUND);
        CHECK_STATUS(look(&s.store, "a/c", true, &f), SHARDIO_ERR_NOT_FOUND);
        CHECK_OK(store_keys(&s.store, "", &list));
        CHECK_U64(list.count, 4);
        CHECK_OK(store_remove(&s.store, "pipe"));
    }
}

/* Somebody turns the directory of a file that is being written into a link: the file is lost, nothing else is. */
TEST(links_that_come_later)
{
    static const int codes[] = {0, ENOSYS};
    for (int i = 0; i < 8; i++) {
        scene s;
        shardio_file f;
        int code = 0;
        char temporary[300] = "";
        set_scene(&s);
        hooks.openat2_code = codes[i % 2];
        CHECK_OK(begin(&s.store, "c/0", true, &f));
        CHECK_OK(file_write_all(&f, 0, "text", 4));
        DIR *d = opendir(below(s.store_path, "c"));
        for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
            if (e->d_name[0] != '.') snprintf(temporary, sizeof temporary, "trap/%s", e->d_name);
        closedir(d);
        CHECK(mkdir(below(s.outside, "trap"), 0700) == 0);
        put_file(below(s.outside, temporary), "canary");
        put_file(below(s.outside, "trap/0"), "canary");
        uint64_t before = snapshot(s.outside);
        if (i / 2 < 3) CHECK_OK(f.functions->suspend(f.context, &code));
        CHECK(rename(below(s.store_path, "c"), below(s.parent, "away")) == 0);
        CHECK(symlink("../outside/trap", below(s.store_path, "c")) == 0);
        if (i / 2 == 0) CHECK_STATUS(f.functions->resume(f.context, &code), SHARDIO_ERR_PERMISSION);
        if (i / 2 == 2) CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
        else CHECK_STATUS(file_close(&f, SHARDIO_CLOSE_PUBLISH), SHARDIO_ERR_PERMISSION);
        CHECK_U64(snapshot(s.outside), before);
    }
}

/* A file that another program has leased is waited for: opening without waiting is only for what is no file. */
TEST(files_that_are_busy)
{
#if defined(SYS_openat2)
    scene s;
    shardio_file f;
    set_scene(&s);
    hooks.openat2_code = 0;
    hooks.busy = 1000;
    shardio_status status = look(&s.store, "a/c/0/0", true, &f);
    if (hooks.busy == 1000) LEAVE_OUT("no openat2");
    CHECK_OK(status);
    CHECK_U64(hooks.waits, 1);
    if (status == SHARDIO_OK) CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
    CHECK(mkfifo(below(s.store_path, "pipe"), 0600) == 0);
    CHECK(look(&s.store, "pipe", false, &f) != SHARDIO_OK);
    CHECK_U64(hooks.waits, 1);
#endif
}

static ino_t inode(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* Removing takes empty directories along: the one to sync is the nearest that is left. */
TEST(sync_after_removing)
{
    static const struct { const char *key, *nearest; } steps[] = {
        {"a/c/0/1", "store/a/c/0"}, {"a/c/0/0", "store/a"}, {"b", "store"}, {"a/zarr.json", "store"}, {"", ""},
        {"a/c/0/0", ""},
    };
    char parent[300], path[400], back[900];
    int code = 0;
    memset(&hooks, 0, sizeof hooks);
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/store", parent);
    shardio_store store = shardio_store_directory(path);
    if (!CHECK(getcwd(back, sizeof back) != NULL)) return;
    CHECK_OK(store_put_text(&store, "b", "x"));
    CHECK_OK(store_put_text(&store, "a/zarr.json", "x"));
    CHECK_OK(store_put_text(&store, "a/c/0/0", "x"));
    CHECK_OK(store_put_text(&store, "a/c/0/1", "x"));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        hooks.synced = 0;
        hooks.syncs = 0;
        shardio_status removed = store_remove(&store, steps[i].key);
        CHECK(removed == SHARDIO_OK || i == 5);
        CHECK_OK(store.functions->sync(store.context, steps[i].key, &code));
        CHECK_U64(hooks.syncs, 1);
        CHECK_U64(hooks.synced, inode(below(parent, steps[i].nearest)));
    }
    CHECK_STATUS(store.functions->sync(store.context, "../x", &code), SHARDIO_ERR_ARGUMENT);
    hooks.fsync_code = EIO;
    CHECK_STATUS(store.functions->sync(store.context, "x", &code), SHARDIO_ERR_IO);
    CHECK_U64(code, EIO);
    hooks.fsync_code = 0;
    ino_t expected = inode(parent);
    CHECK(chdir(parent) == 0);                    /* a store without a directory in its name */
    store = shardio_store_directory("store");
    CHECK_OK(store.functions->sync(store.context, "a/b", &code));
    CHECK_U64(hooks.synced, expected);
    CHECK(chdir(back) == 0);
}

/* A store needs a name: nothing is the root of the file system, or whatever directory this is. */
TEST(store_without_a_name)
{
    static const char *const names[] = {"", NULL};
    for (int i = 0; i < 2; i++) {
        shardio_store store = shardio_store_directory(names[i]);
        shardio_file f;
        key_list list;
        int code = 0;
        CHECK_STATUS(look(&store, "zarr.json", false, &f), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(begin(&store, "shardio-never/x", false, &f), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(store_remove(&store, "x"), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(store_remove(&store, ""), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(store_keys(&store, "", &list), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(store.functions->sync(store.context, "x", &code), SHARDIO_ERR_ARGUMENT);
    }
}

/* Rolling back to the layer that is the newest cuts off what a lost commit left behind it. */
TEST(rolling_back_cuts_what_is_torn)
{
    char parent[300], path[400];
    shardio_archive_options o;
    shardio_file f;
    int code = 0;
    memset(&o, 0, sizeof o);
    o.write = true;
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/torn.zip", parent);
    shardio_archive *archive = shardio_archive_open(path, &o, NULL);
    shardio_store store = shardio_archive_store(archive);
    CHECK_OK(begin(&store, "a/b", false, &f));
    CHECK_OK(f.functions->publish(f.context, false, &code));
    CHECK_OK(f.functions->close(f.context, SHARDIO_CLOSE_KEEP, false, &code));
    CHECK_OK(shardio_archive_finish(archive, NULL));
    int fd = open(path, O_WRONLY | O_APPEND);
    CHECK(write(fd, "torn", 4) == 4);
    close(fd);
    archive = shardio_archive_open(path, &o, NULL);
    shardio_archive_facts facts = shardio_archive_about(archive);
    CHECK_U64(facts.torn_bytes, 4);
    CHECK_OK(shardio_archive_rollback(archive, facts.layer, NULL));
    CHECK_U64(shardio_archive_about(archive).torn_bytes, 0);
    shardio_archive_close(archive);
    struct stat s;
    CHECK(stat(path, &s) == 0);
    CHECK_U64((uint64_t)s.st_size, facts.size);
}

TEST_MAIN(TEST_CASE(empty) TEST_CASE(put_get_remove) TEST_CASE(list) TEST_CASE(list_stops) TEST_CASE(unpublished_is_invisible)
          TEST_CASE(no_overwrite_unless_asked) TEST_CASE(suspended) TEST_CASE(update_in_place) TEST_CASE(identity)
          TEST_CASE(keys_stay_inside) TEST_CASE(key_below_key) TEST_CASE(memory_is_as_stated) TEST_CASE(memory_store_runs_out)
          TEST_CASE(random_operations) TEST_CASE(directory_that_is_none) TEST_CASE(temporary_names)
          TEST_CASE(links_do_not_lead_out) TEST_CASE(links_without_openat2) TEST_CASE(links_where_openat2_is_forbidden)
          TEST_CASE(links_inside) TEST_CASE(links_on_the_way_to_the_store) TEST_CASE(pipes_and_sockets_in_the_store)
          TEST_CASE(links_that_come_later) TEST_CASE(files_that_are_busy) TEST_CASE(sync_after_removing)
          TEST_CASE(store_without_a_name) TEST_CASE(rolling_back_cuts_what_is_torn))
