/* The store section: a directory and memory behave alike. One table of checks, run on both. What only a directory has, links,
   pipes, leases and syncs: test_store_links.c. */
#include "arrays.h"

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
    CHECK_STATUS(store_look(store, "a", false, &f), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(store_look(store, "a/b/c", true, &f), SHARDIO_ERR_NOT_FOUND);
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
    CHECK_STATUS(store_look(store, "deep/er", false, &f), SHARDIO_ERR_NOT_FOUND);     /* a directory is no key */
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
    CHECK_OK(store_begin(store, "c/0", false, &f));
    CHECK_OK(file_write_all(&f, 0, "hello", 5));
    CHECK_STATUS(store_look(store, "c/0", false, &g), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(store_look(store, "c/0", true, &g), SHARDIO_ERR_NOT_FOUND);
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
    CHECK_OK(store_begin(store, "c/0", false, &f));
    CHECK_OK(file_write_all(&f, 0, "hello", 5));
    CHECK_OK(f.functions->publish(f.context, true, &code));
    CHECK_KEY("c/0", "hello");
    CHECK_OK(file_write_all(&f, 5, " you", 4));
    CHECK_OK(f.functions->publish(f.context, true, &code));      /* once more is nothing */
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
    CHECK_KEY("c/0", "hello you");

    /* a replacement: the old value is there until the new one is published, or for good */
    CHECK_OK(store_begin(store, "c/0", true, &f));
    CHECK_OK(file_write_all(&f, 0, "new", 3));
    CHECK_KEY("c/0", "hello you");
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
    CHECK_KEY("c/0", "hello you");
    CHECK_OK(store_begin(store, "c/0", true, &f));
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
    shardio_status s = store_begin(store, "k", false, &f);
    if (s == SHARDIO_OK) s = file_close(&f, SHARDIO_CLOSE_PUBLISH);
    CHECK_STATUS(s, SHARDIO_ERR_EXISTS);
    CHECK_KEY("k", "old");
    /* two that began before either was there: the second to be published is refused */
    CHECK_OK(store_begin(store, "two", false, &f));
    CHECK_OK(store_begin(store, "two", false, &g));
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
    CHECK_OK(store_begin(store, "c/7", false, &f));
    CHECK_OK(store_begin(store, "c/7", false, &g));
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
    CHECK_OK(store_look(store, "k", true, &f));
    CHECK_OK(store_look(store, "k", false, &g));
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
    CHECK_OK(store_look(store, "k", true, &f));                     /* what was never new is not removed */
    CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
    CHECK_KEY("k", "abX");
    /* a value written beyond its end has zeros between, and can be made longer */
    CHECK_OK(store_begin(store, "gap", false, &f));
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
        CHECK_OK(store_look(store, "k", false, &f));
        CHECK_OK(f.functions->facts(f.context, i ? &b : &a, &code));
        CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
    }
    CHECK_BYTES(a.identity, b.identity, sizeof a.identity);
    usleep(20000);
    CHECK_OK(store_put_text(store, "k", "abd"));
    CHECK_OK(store_look(store, "k", false, &f));
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
        s[0] = store_begin(store, bad[i], true, &f);
        if (s[0] == SHARDIO_OK) file_close(&f, SHARDIO_CLOSE_DISCARD);
        s[1] = store_look(store, bad[i], false, &f);
        if (s[1] == SHARDIO_OK) file_close(&f, SHARDIO_CLOSE_KEEP);
        s[2] = store_look(store, bad[i], true, &f);
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
        bool cut = TEST_ON_WINDOWS && parent != NULL && good[i][strlen(good[i]) - 1] == '.';   /* no name on a disk there */
        if (cut) CHECK_STATUS(store_put_text(store, good[i], good[i]), SHARDIO_ERR_NOT_FOUND);
        if (cut) continue;
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
    if (s != SHARDIO_OK) CHECK(store_look(store, "a/b", false, &f) != SHARDIO_OK);
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
            s = store_begin(store, keys[i], false, &f);
            if (s == SHARDIO_OK) { CHECK_OK(file_write_all(&f, 0, text, strlen(text))); s = file_close(&f, SHARDIO_CLOSE_PUBLISH); }
            CHECK_STATUS(s, there[i] ? SHARDIO_ERR_EXISTS : SHARDIO_OK);
            if (!there[i]) strcpy(want[i], text);
            there[i] = true;
            break;
        case 3:
            CHECK_OK(store_begin(store, keys[i], true, &f));
            CHECK_OK(file_write_all(&f, 0, text, strlen(text)));
            CHECK_OK(file_close(&f, SHARDIO_CLOSE_DISCARD));
            break;
        case 4:
            s = store_look(store, keys[i], true, &f);
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
    POSIX_ONLY("symbolic links");
    char parent[300], path[400];
    shardio_file f;
    key_list list;
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/some/way/down", parent);
    shardio_store store = shardio_store_directory(path);
    CHECK_OK(store_keys(&store, "", &list));
    CHECK_OK(store_put_text(&store, "a/b", "text"));          /* made on the way */
    store_check_text(&store, "a/b", "text", __LINE__);

    snprintf(path, sizeof path, "%s/some/way/down/a/b", parent);
    CHECK(store_look(&store, "zarr.json", false, &f) != SHARDIO_OK);
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
    CHECK_OK(store_begin(&store, "c/0", false, &f));
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

/* A store needs a name: nothing is the root of the file system, or whatever directory this is. */
TEST(store_without_a_name)
{
    static const char *const names[] = {"", NULL};
    for (int i = 0; i < 2; i++) {
        shardio_store store = shardio_store_directory(names[i]);
        shardio_file f;
        key_list list;
        int code = 0;
        CHECK_STATUS(store_look(&store, "zarr.json", false, &f), SHARDIO_ERR_ARGUMENT);
        CHECK_STATUS(store_begin(&store, "shardio-never/x", false, &f), SHARDIO_ERR_ARGUMENT);
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
    CHECK_OK(store_begin(&store, "a/b", false, &f));
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
          TEST_CASE(random_operations) TEST_CASE(directory_that_is_none) TEST_CASE(temporary_names) TEST_CASE(store_without_a_name)
          TEST_CASE(rolling_back_cuts_what_is_torn))
