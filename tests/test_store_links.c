/* The store section, where a directory comes from somebody else or the system does not do as it usually does: symbolic
   links, pipes, files that are busy, directories that have to be synced. */
#include "system.h"
#include "arrays.h"
#include <ftw.h>
#include <sys/socket.h>
#include <sys/un.h>

/* openat2 as the system has it, or failing as where it is not known or not allowed. */
static struct {
    int code;                 /* it fails with this errno; 0: it works */
    int busy;                 /* without waiting it finds so many files busy: EAGAIN */
    int waits;                /* calls that would have waited */
} opening;

static struct {
    ino_t directory;          /* that was synced last */
    int times;
} synced;

static int answer_openat2(const sys_event *e)
{
    if (!e->openat2) return 0;
    bool patient = (e->flags & O_NONBLOCK) == 0;
    opening.waits += patient && (e->flags & O_DIRECTORY) == 0;
    if (patient || opening.busy == 0) return opening.code;
    opening.busy--;
    return EAGAIN;
}

static void note_synced(const sys_event *e)
{
    struct stat facts;
    if (e->call != CALL_FSYNC || fstat(e->fd, &facts) != 0 || !S_ISDIR(facts.st_mode)) return;
    synced.directory = facts.st_ino;
    synced.times++;
}

static void watch(void)
{
    sys_clear();
    memset(&opening, 0, sizeof opening);
    sys.refuses = answer_openat2;
    sys.after = note_synced;
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
    watch();
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
    bool why = strstr(text, "symbolic link") != NULL || strstr(text, strerror(ELOOP)) != NULL;
    if (!why || !named) test_fail(__FILE__, __LINE__, text);
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
        CHECK_STATUS(store_look(&s->store, key, false, &f), SHARDIO_ERR_PERMISSION);
        CHECK_STATUS(store_look(&s->store, key, true, &f), SHARDIO_ERR_PERMISSION);
        CHECK_STATUS(store_begin(&s->store, key, false, &f), SHARDIO_ERR_PERMISSION);
        CHECK_STATUS(store_begin(&s->store, key, true, &f), SHARDIO_ERR_PERMISSION);
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
                opening.code = 0;
                remove_all(s.store_path);
                remove_all(below(s.parent, "removed"));
                CHECK_OK(put_array(&s.store, false, 1, true, &error));
                plant(&s, positions[p], (link_kind)kind);
                opening.code = openat2_code;
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
        opening.code = codes[i];
        CHECK(rename(below(s.store_path, "a/c/0/0"), below(s.store_path, "a/kept")) == 0);
        CHECK(symlink("../../kept", below(s.store_path, "a/c/0/0")) == 0);
        shardio_status status = store_look(&s.store, "a/c/0/0", false, &f);
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
        status = store_look(&s.store, "b/zarr.json", false, &f);
        CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_PERMISSION);
        if (status == SHARDIO_OK) CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
        CHECK_OK(store_keys(&s.store, "", &list));
        CHECK(!key_listed(&list, "b/zarr.json") && strstr(list.text, "up/") == NULL);
        status = store_begin(&s.store, "b/d/e", false, &f);
        CHECK(status == SHARDIO_OK || status == SHARDIO_ERR_PERMISSION);
        if (status == SHARDIO_OK) CHECK_OK(file_close(&f, SHARDIO_CLOSE_PUBLISH));
        if (status == SHARDIO_OK) CHECK(access(below(s.store_path, "a/d/e"), F_OK) == 0);
    }
}

/* A link that cannot be looked at may be one to a value: the listing fails, it does not lack a key. */
TEST(links_and_few_descriptors)
{
    bool fired = true;
    scene s;
    key_list list;
    set_scene(&s);
    opening.code = 0;
    CHECK(rename(below(s.store_path, "a/c/0/0"), below(s.store_path, "a/kept")) == 0);
    CHECK(symlink("../../kept", below(s.store_path, "a/c/0/0")) == 0);
    CHECK_OK(store_keys(&s.store, "", &list));
    const bool followed = key_listed(&list, "a/c/0/0");   /* without openat2 no link is a key */
    for (int n = 1; fired && n < 1000; n++) {
        sys_plan(SYS_ONLY(CALL_OPEN), n, 1, EMFILE);
        shardio_status status = store_keys(&s.store, "", &list);
        fired = sys.fired > 0;
        if (status != SHARDIO_OK) CHECK(fired && status == SHARDIO_ERR_IO);
        else CHECK(key_listed(&list, "a/c/0/0") == followed && !(fired && followed));
    }
    watch();
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
        opening.code = codes[i % 2];
        snprintf(path, sizeof path, "%s%s%s", i / 2 % 2 ? s.parent : "", i / 2 % 2 ? "/" : "", names[i / 4]);
        if (i / 2 % 2 == 0) CHECK(chdir(s.parent) == 0);
        shardio_store store = shardio_store_directory(path);
        CHECK_OK(put_array(&store, true, 5, true, &error));
        CHECK_OK(store_put_text(&store, "new/key", "text"));
        store_check_text(&store, "new/key", "text", __LINE__);
        CHECK_OK(store_begin(&store, "x/y", false, &f));
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
        opening.code = codes[i];
        CHECK(mkfifo(below(s.store_path, "pipe"), 0600) == 0);
        CHECK_STATUS(store_look(&s.store, "pipe", false, &f), SHARDIO_ERR_UNSUPPORTED);
        CHECK_STATUS(store_look(&s.store, "pipe", true, &f), SHARDIO_ERR_UNSUPPORTED);
        CHECK_STATUS(store_look(&s.store, "pipe/x", true, &f), SHARDIO_ERR_NOT_FOUND);
        CHECK_STATUS(store_begin(&s.store, "pipe", false, &f), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(store_begin(&s.store, "pipe", true, &f), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(store_begin(&s.store, "a/c", true, &f), SHARDIO_ERR_EXISTS);
        CHECK_STATUS(store_look(&s.store, "a/c", false, &f), SHARDIO_ERR_NOT_FOUND);
        CHECK_STATUS(store_look(&s.store, "a/c", true, &f), SHARDIO_ERR_NOT_FOUND);
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
        opening.code = codes[i % 2];
        CHECK_OK(store_begin(&s.store, "c/0", true, &f));
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
    opening.code = 0;
    opening.busy = 1000;
    shardio_status status = store_look(&s.store, "a/c/0/0", true, &f);
    if (opening.busy == 1000) LEAVE_OUT("no openat2");
    CHECK_OK(status);
    CHECK_U64(opening.waits, 1);
    if (status == SHARDIO_OK) CHECK_OK(file_close(&f, SHARDIO_CLOSE_KEEP));
    CHECK(mkfifo(below(s.store_path, "pipe"), 0600) == 0);
    CHECK(store_look(&s.store, "pipe", false, &f) != SHARDIO_OK);
    CHECK_U64(opening.waits, 1);
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
    watch();
    test_directory(parent, sizeof parent);
    snprintf(path, sizeof path, "%s/store", parent);
    shardio_store store = shardio_store_directory(path);
    if (!CHECK(getcwd(back, sizeof back) != NULL)) return;
    CHECK_OK(store_put_text(&store, "b", "x"));
    CHECK_OK(store_put_text(&store, "a/zarr.json", "x"));
    CHECK_OK(store_put_text(&store, "a/c/0/0", "x"));
    CHECK_OK(store_put_text(&store, "a/c/0/1", "x"));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        memset(&synced, 0, sizeof synced);
        shardio_status removed = store_remove(&store, steps[i].key);
        CHECK(removed == SHARDIO_OK || i == 5);
        CHECK_OK(store.functions->sync(store.context, steps[i].key, &code));
        CHECK_U64(synced.times, 1);
        CHECK_U64(synced.directory, inode(below(parent, steps[i].nearest)));
    }
    CHECK_STATUS(store.functions->sync(store.context, "../x", &code), SHARDIO_ERR_ARGUMENT);
    sys_plan(SYS_ONLY(CALL_FSYNC), 1, 1, EIO);
    CHECK_STATUS(store.functions->sync(store.context, "x", &code), SHARDIO_ERR_IO);
    CHECK_U64(code, EIO);
    watch();
    ino_t expected = inode(parent);
    CHECK(chdir(parent) == 0);                    /* a store without a directory in its name */
    store = shardio_store_directory("store");
    CHECK_OK(store.functions->sync(store.context, "a/b", &code));
    CHECK_U64(synced.directory, expected);
    CHECK(chdir(back) == 0);
}

TEST_MAIN(TEST_CASE(links_do_not_lead_out) TEST_CASE(links_without_openat2)
          TEST_CASE(links_where_openat2_is_forbidden) TEST_CASE(links_inside) TEST_CASE(links_and_few_descriptors) TEST_CASE(links_on_the_way_to_the_store)
          TEST_CASE(pipes_and_sockets_in_the_store) TEST_CASE(links_that_come_later) TEST_CASE(files_that_are_busy)
          TEST_CASE(sync_after_removing))
