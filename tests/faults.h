/* Every call to the system and to the allocator fails in turn, in a workflow: a small program over the public interface
   that begins with a state on disk and does a job. Here are what a call can fail with, the calls whose failure is by
   design harmless, and what must hold whatever failed. Include after system.h. */
#ifndef FAULTS_H
#define FAULTS_H

#include "faulty.h"

/* ---- what a call can fail with ------------------------------------------------------------------------------- */

/* From section ERRORS of the manual pages that are named, Linux man-pages 6.03; a zero ends the list. */
static const struct {
    sys_call call;
    const char *page;
    int mask, flags;             /* only calls with flags & mask that are this */
    int codes[40];
} faults_of[] = {
    {CALL_OPEN, "open(2), openat2(2): new files", O_CREAT, O_CREAT,
     {EACCES, EBADF, EDQUOT, EEXIST, EFAULT, EINTR, EINVAL, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM,
      ENOSPC, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM, EROFS, EAGAIN, E2BIG, EXDEV, ENOSYS, 0}},
    {CALL_OPEN, "open(2), openat2(2): directories that are passed through", O_PATH, O_PATH,
     {EACCES, EBADF, EFAULT, EINTR, EINVAL, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOMEM, ENOTDIR, EPERM, EAGAIN, E2BIG,
      EXDEV, ENOSYS, 0}},
    {CALL_OPEN, "open(2), openat2(2): what is there", O_CREAT | O_PATH, 0,
     {EACCES, EBADF, EBUSY, EFAULT, EFBIG, EINTR, EINVAL, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM,
      ENOTDIR, ENXIO, EOVERFLOW, EPERM, EROFS, ETXTBSY, EAGAIN, E2BIG, EXDEV, ENOSYS, 0}},
    {CALL_READ, "read(2)", 0, 0, {EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR, 0}},
    {CALL_WRITE, "write(2)", 0, 0,
     {EAGAIN, EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM, EPIPE, 0}},
    {CALL_PREAD, "pread(2), read(2), lseek(2)", 0, 0,
     {EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EISDIR, ENXIO, EOVERFLOW, ESPIPE, 0}},
    {CALL_PWRITE, "pwrite(2), write(2), lseek(2)", 0, 0,
     {EAGAIN, EBADF, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, EIO, ENOSPC, EPERM, EPIPE, ENXIO, EOVERFLOW, ESPIPE, 0}},
    {CALL_FSYNC, "fsync(2)", 0, 0, {EBADF, EINTR, EIO, ENOSPC, EDQUOT, EROFS, EINVAL, 0}},
    {CALL_FTRUNCATE, "ftruncate(2)", 0, 0, {EACCES, EBADF, EFBIG, EINTR, EINVAL, EIO, EISDIR, EPERM, EROFS, ETXTBSY, 0}},
    {CALL_FALLOCATE, "fallocate(2)", 0, 0,
     {EBADF, EFBIG, EINTR, EINVAL, EIO, ENODEV, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM, ESPIPE, ETXTBSY, 0}},
    {CALL_FCNTL, "fcntl(2), F_GETFL and F_SETFL", 0, 0, {EBADF, EINVAL, EPERM, 0}},
    {CALL_FSTAT, "fstat(2)", 0, 0, {EBADF, EFAULT, ENOMEM, EOVERFLOW, 0}},
    {CALL_FSTATAT, "fstatat(2)", 0, 0,
     {EACCES, EBADF, EFAULT, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW, 0}},
    {CALL_FSTATVFS, "fstatvfs(3)", 0, 0, {EBADF, EFAULT, EINTR, EIO, ENOMEM, ENOSYS, EOVERFLOW, 0}},
    {CALL_STATX, "statx(2)", 0, 0,
     {EACCES, EBADF, EFAULT, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, ENOSYS, 0}},
    {CALL_LSEEK, "lseek(2)", 0, 0, {EBADF, EINVAL, ENXIO, EOVERFLOW, ESPIPE, 0}},
    {CALL_FCHMOD, "fchmod(2)", 0, 0, {EBADF, EIO, ENOMEM, ENOTSUP, EPERM, EROFS, 0}},
    {CALL_FLOCK, "flock(2)", 0, 0, {EBADF, EINTR, EINVAL, ENOLCK, EWOULDBLOCK, 0}},
    {CALL_READLINK, "readlink(2)", 0, 0, {EACCES, EFAULT, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, 0}},
    {CALL_RENAME, "rename(2)", 0, 0,
     {EACCES, EBADF, EBUSY, EDQUOT, EEXIST, EFAULT, EINVAL, EISDIR, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC,
      ENOTDIR, ENOTEMPTY, EPERM, EROFS, EXDEV, 0}},
    {CALL_LINK, "link(2)", 0, 0,
     {EACCES, EBADF, EDQUOT, EEXIST, EFAULT, EINVAL, EIO, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM,
      EROFS, EXDEV, 0}},
    {CALL_UNLINK, "unlink(2), rmdir(2)", 0, 0,
     {EACCES, EBADF, EBUSY, EEXIST, EFAULT, EINVAL, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, ENOTEMPTY,
      EPERM, EROFS, 0}},
    {CALL_MKDIR, "mkdir(2)", 0, 0,
     {EACCES, EBADF, EDQUOT, EEXIST, EFAULT, EINVAL, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM,
      EROFS, 0}},
    {CALL_OPENDIR, "fdopendir(3)", 0, 0, {EACCES, EBADF, EMFILE, ENFILE, ENOENT, ENOMEM, ENOTDIR, 0}},
    {CALL_READDIR, "readdir(3), getdents(2)", 0, 0, {EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR, 0}},
    {CALL_CLOSE, "close(2)", 0, 0, {EBADF, EINTR, EIO, ENOSPC, EDQUOT, 0}},
    {CALL_QUEUE, "io_uring_setup(2)", 0, 0, {EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM, EPERM, ENOSYS, 0}},
    {CALL_ENTER, "io_uring_enter(2), while the queue is in order", 0, 0, {EAGAIN, EBUSY, EINTR, 0}}
};

/* Calls that may have been done although they say that they failed. */
static inline bool fault_may_be_late(sys_call call)
{
    return (SYS_ONLY(call) & (SYS_ONLY(CALL_CLOSE) | SYS_ONLY(CALL_FSYNC) | SYS_ONLY(CALL_RENAME) | SYS_ONLY(CALL_UNLINK) |
                              SYS_ONLY(CALL_MKDIR) | SYS_ONLY(CALL_WRITE) | SYS_ONLY(CALL_PWRITE) | SYS_ONLY(CALL_LINK))) != 0;
}

/* ---- failures that are by design harmless -------------------------------------------------------------------- */

enum { ANY_CODE = -1, ANY_FLAGS = -1 };

/* The job may go on as if nothing had happened: then everything is as without the failure. */
static const struct {
    sys_call call;
    int code;                    /* or ANY_CODE */
    int mask, flags;             /* only where fired_flags & mask is this */
    const char *why;
} harmless[] = {
    {CALL_STATX, ANY_CODE, 0, 0, "the alignment is asked for in the older way"},
    {CALL_FSTATVFS, ANY_CODE, 0, 0, "the block is taken to be 4096 bytes, the room to be enough"},
    {CALL_FCNTL, ANY_CODE, 0, 0, "unbuffered I/O is a wish: goes on buffered (with SHARDIO_DIRECT_ON it is not harmless)"},
    {CALL_PWRITE, EINVAL, 0, 0, "an unbuffered write that the system refuses is made buffered"},
    {CALL_PWRITE, EPERM, 0, 0, "an unbuffered write that the system refuses is made buffered"},
    {CALL_FSYNC, EINVAL, 0, 0, "there is nothing to sync: fsync(2) says so of special files"},
    {CALL_FCHMOD, ANY_CODE, 0, 0, "the rights of what is replaced are kept as far as we may"},
    {CALL_FSTATAT, ANY_CODE, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_NOFOLLOW, "the same; and what is listed may be gone meanwhile"},
    {CALL_FALLOCATE, ANY_CODE, 0, 0, "a hole that cannot be punched keeps its room"},
    {CALL_FLOCK, ENOLCK, 0, 0, "the file system has no locks"},
    {CALL_LSEEK, ANY_CODE, 0, 0, "asks whether it is a stream"},
    {CALL_CLOSE, EINTR, 0, 0, "the descriptor is gone, what was written is not"},
    {CALL_CLOSE, ANY_CODE, O_WRONLY | O_RDWR, O_RDONLY, "nothing was written through it"},
    {CALL_RENAME, EINVAL, 0, 0, "no RENAME_NOREPLACE here: linked and unlinked instead"},
    {CALL_UNLINK, ANY_CODE, AT_REMOVEDIR, AT_REMOVEDIR, "a directory that only held what is gone stays"},
    {CALL_MKDIR, EEXIST, 0, 0, "somebody else has made it"},
    {CALL_OPEN, ANY_CODE, O_PATH, O_PATH, "on the way to what is looked at, to rights that are kept, to what is left to remove"},
    {CALL_OPEN, EEXIST, O_CREAT, O_CREAT, "the temporary name is taken: another one is tried"},
    {CALL_OPEN, EAGAIN, 0, 0, "tried again: somebody has renamed something on the way, openat2(2)"},
    {CALL_OPEN, ENOSYS, 0, 0, "no openat2 here: the names are walked one by one"},
    {CALL_OPEN, EPERM, 0, 0, "no openat2 here (in a container): the names are walked one by one"},
    {CALL_QUEUE, ANY_CODE, 0, 0, "no queue for writes under way: they are made one by one"},
    {CALL_ENTER, ANY_CODE, 0, 0, "tried again"},
    {CALL_FTRUNCATE, ANY_CODE, 0, 0, "a file that is only made longer ahead of the writes under way"},
};

/* Answers: not that the call failed, but how things are. The job may take them at their word. */
static const struct {
    sys_call call;
    int code;
} answers[] = {
    {CALL_OPEN, ENOENT}, {CALL_OPEN, ENOTDIR}, {CALL_FSTATAT, ENOENT}, {CALL_FSTATAT, ENOTDIR}, {CALL_READLINK, ENOENT},
    {CALL_READLINK, EINVAL}, {CALL_FLOCK, EWOULDBLOCK}, {CALL_OPEN, EISDIR}, {CALL_OPENDIR, ENOENT}, {CALL_OPENDIR, ENOTDIR},
    {CALL_READDIR, ENOENT}, {CALL_READDIR, ENOTDIR}, {CALL_RENAME, ENOENT}, {CALL_RENAME, ENOTDIR}, {CALL_MKDIR, ENOENT},
    {CALL_RENAME, EEXIST}, {CALL_RENAME, ENOTEMPTY},
    {CALL_MKDIR, ENOTDIR}, {CALL_READLINK, ENOTDIR}, {CALL_UNLINK, ENOENT}, {CALL_UNLINK, ENOTDIR}, {CALL_UNLINK, ENOTEMPTY}, {CALL_UNLINK, EEXIST}
};

/* ---- what lies in a directory -------------------------------------------------------------------------------- */

typedef struct tree_file {
    char path[240];              /* below the directory */
    bool directory, link;
    mode_t mode;
    uint8_t *data;
    size_t size;
} tree_file;

typedef struct tree {
    tree_file file[64];
    size_t count;
} tree;

static inline void tree_free(tree *t)
{
    for (size_t i = 0; i < t->count; i++) free(t->file[i].data);
    t->count = 0;
}

static inline uint8_t *tree_read_link(const char *path, size_t *size)
{
    uint8_t *to = (uint8_t *)calloc(1, 300);
    ssize_t n = to != NULL ? readlink(path, (char *)to, 299) : -1;
    *size = n > 0 ? (size_t)n : 0;
    return to;
}

static inline void tree_read_below(tree *t, const char *directory, const char *below)
{
    char path[700];
    struct stat facts;
    snprintf(path, sizeof path, "%.300s/%.240s", directory, below);
    DIR *list = opendir(path);
    if (!CHECK(list != NULL)) return;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (!CHECK(t->count < sizeof t->file / sizeof t->file[0])) break;
        tree_file *f = &t->file[t->count++];
        memset(f, 0, sizeof *f);
        snprintf(f->path, sizeof f->path, "%.100s%s%.130s", below, below[0] ? "/" : "", entry->d_name);
        snprintf(path, sizeof path, "%.300s/%.240s", directory, f->path);
        if (!CHECK(lstat(path, &facts) == 0)) continue;
        f->directory = S_ISDIR(facts.st_mode);
        f->mode = facts.st_mode & 07777;
        if (f->directory) tree_read_below(t, directory, f->path);
        else if (S_ISLNK(facts.st_mode)) f->data = tree_read_link(path, &f->size);
        else f->data = rig_slurp(path, &f->size);
        f->link = S_ISLNK(facts.st_mode);
    }
    closedir(list);
}

static inline void tree_read(tree *t, const char *directory)
{
    tree_free(t);
    tree_read_below(t, directory, "");
}

static inline const tree_file *tree_find(const tree *t, const char *path)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->file[i].path, path) == 0) return &t->file[i];
    return NULL;
}

static inline bool tree_same_file(const tree_file *a, const tree_file *b)
{
    if (a == NULL || b == NULL) return a == b;
    return a->directory == b->directory && a->link == b->link && a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* The first path at which they differ, or null. */
static inline const char *tree_difference(const tree *a, const tree *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (!tree_same_file(&a->file[i], tree_find(b, a->file[i].path))) return a->file[i].path;
    for (size_t i = 0; i < b->count; i++)
        if (tree_find(a, b->file[i].path) == NULL) return b->file[i].path;
    return NULL;
}

/* Makes the directory what it was. */
static inline void tree_restore(const tree *want, const char *directory)
{
    static tree now;
    char path[700];
    tree_read(&now, directory);
    for (size_t i = now.count; i-- > 0;) {           /* what a directory holds comes behind it */
        const tree_file *old = tree_find(want, now.file[i].path);
        snprintf(path, sizeof path, "%.300s/%.240s", directory, now.file[i].path);
        if (tree_same_file(old, &now.file[i]) && old->mode == now.file[i].mode) continue;
        CHECK((now.file[i].directory ? rmdir(path) : unlink(path)) == 0);
    }
    for (size_t i = 0; i < want->count; i++) {
        const tree_file *old = tree_find(&now, want->file[i].path), *f = &want->file[i];
        snprintf(path, sizeof path, "%.300s/%.240s", directory, f->path);
        if (tree_same_file(old, f) && old->mode == f->mode) continue;
        if (f->directory) CHECK(mkdir(path, 0777) == 0);
        else if (f->link) CHECK(symlink((const char *)f->data, path) == 0);
        else rig_put(path, f->data, f->size);
        if (!f->link) CHECK(chmod(path, f->mode) == 0);
    }
    tree_free(&now);
}

/* ---- workflows ----------------------------------------------------------------------------------------------- */

enum { MOST_STAGES = 12 };

/* A workflow at work. */
typedef struct work {
    char directory[300];         /* empty but for what `prepare` put there */
    int way, ways;               /* the workflow is done in several */
    const shardio_allocator *allocator;
    shardio_status status;       /* of the first step that failed, */
    shardio_error error;
    const char *step;            /* and what it was */
    bool mute;                   /* the job has come to a call that returns nothing, and */
    bool unbuffered;             /* archives are opened so */
    int told;                    /* so many calls had failed before */
    bool absent;                 /* an answer was given that something is not there: reads may miss it */
    bool recording;
    tree stages[MOST_STAGES];    /* how the directory looked before, and after each stage */
    size_t stage_count;
} work;

typedef struct workflow {
    const char *name;
    int ways;                    /* `run` does it in so many; 0: one */
    const char *root;            /* keys in errors lie below this, in the directory; null: names are whole */
    void (*prepare)(work *w);    /* puts there what was there before; null: nothing */
    void (*run)(work *w);        /* the job */
    void (*holds)(work *w);      /* reads what the finished job has left; null: the bytes say all */
    /* Mends what a failure may have left torn, and is promised to be mendable; null: nothing may be torn. */
    void (*mend)(work *w);
    /* Reads what a failed job has left, where the bytes are of no stage and yet may be right; null: they may not. */
    void (*survives)(work *w);
    bool anew;                   /* what the job left stands in its own way: to be done again it begins anew */
    bool varies;                 /* the bytes that it writes are not the same each time */
    unsigned without;            /* SYS_ONLY(call) | ...: such failures are not harmless here, */
    unsigned silent;             /* and of such ones nobody can be told: what is called returns nothing */
} workflow;

static inline const char *work_in(const work *w, const char *name)
{
    static char paths[6][600];
    static unsigned next;
    char *path = paths[next++ % 6];
    snprintf(path, sizeof paths[0], "%.300s/%.250s", w->directory, name);
    return path;
}

/* Notes what a step of the job returned; true: it went well. */
static inline bool did(work *w, const char *step, shardio_status status, const shardio_error *error)
{
    if (!w->absent) CHECK_STATUS(error->status, status);
    if (status == SHARDIO_OK) return true;
    if (w->status == SHARDIO_OK) {
        w->status = status;
        w->error = *error;
        w->step = step;
    }
    return false;
}

/* What comes now returns nothing: of failures in it nobody can be told, and what it was to remove may stay. */
static inline void last_words(work *w)
{
    w->mute = true;
    w->told = sys.fired;
}

/* A step is complete: what is there now is right, too, if the next one fails. */
static inline void stage(work *w)
{
    if (!w->recording || !CHECK(w->stage_count < MOST_STAGES)) return;
    sys.inside = true;
    tree_read(&w->stages[w->stage_count++], w->directory);
    sys.inside = false;
}

/* ---- what must hold ------------------------------------------------------------------------------------------ */

typedef struct fault {
    const workflow *flow;
    unsigned only;               /* as in sys_plan */
    int n, times, code;
    bool late, forever;
    bool again;                  /* the job is done once more, with nothing failing */
    uint64_t memory;             /* the caller's allocator fails at this call; 0: not */
    uint64_t shorten;
    int complaints;
} fault;

static long faults_tried, faults_harmless;
static struct {
    bool failed;
    int count, n;                /* complaints of the running test; what the last one was about: */
    sys_call call;
    char what[80];
} faults_told;

/* Asked one by one: poll() does not know those of O_PATH. */
static inline int count_descriptors(void)
{
    int count = 0;
    for (int i = 0; i < 96; i++) count += fcntl(i, F_GETFD) != -1;
    return count;
}

static inline void complain(fault *f, const work *w, const char *what, const char *more)
{
    char sentence[300];
    faults_told.failed = true;
    if (f->complaints++ > 0 || faults_told.count >= 20) return;
    if (faults_told.n == f->n && faults_told.call == sys.fired_call && strcmp(faults_told.what, what) == 0) return;
    faults_told.count++;
    faults_told.n = f->n;
    faults_told.call = sys.fired_call;
    snprintf(faults_told.what, sizeof faults_told.what, "%s", what);
    fprintf(stderr, "%s, way %d: ", f->flow->name, w->way);
    if (f->memory != 0) fprintf(stderr, "allocation %d of the caller's fails", (int)f->memory);
    else if (f->shorten != 0) fprintf(stderr, "short transfers, seed %d", (int)f->shorten);
    else fprintf(stderr, "%s %d%s%s fails with %s%s on %s", sys.fired ? sys_names[sys.fired_call] : "call", f->n,
                 f->forever ? " and all behind it" : "", f->times > 1 ? " and some more" : "",
                 f->code ? strerror(f->code) : "null", f->late ? ", done" : "", sys.fired_path);
    fprintf(stderr, "\n    %s%s%s\n", what, more[0] ? ": " : "", more);
    if (w->status != SHARDIO_OK)
        fprintf(stderr, "    %s said: %s\n", w->step, shardio_error_text(&w->error, sentence, sizeof sentence));
}

static inline bool is_temporary(const char *path)
{
    return strstr(path, ".shardio-tmp") != NULL;
}

static inline bool fault_is_harmless(const fault *f)
{
    if ((f->flow->silent & SYS_ONLY(sys.fired_call)) != 0) return true;
    if (sys.fired_call == CALL_UNLINK && is_temporary(sys.fired_path)) return true;   /* given up; verify finds it */
    if (sys.fired_call == CALL_CLOSE && strstr(sys.fired_path, " (deleted)") != NULL) return true;   /* was replaced */
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        if (harmless[i].call != sys.fired_call || (harmless[i].code != ANY_CODE && harmless[i].code != f->code)) continue;
        if ((f->flow->without & SYS_ONLY(sys.fired_call)) != 0 && harmless[i].mask == 0) continue;
        if ((sys.fired_flags & harmless[i].mask) == harmless[i].flags) return true;
    }
    return false;
}

static inline bool fault_is_answer(const fault *f)
{
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (answers[i].call == sys.fired_call && answers[i].code == f->code) return true;
    return false;
}

/* The name of the file that the failed call was about, without what makes it a temporary one. */
static inline void concerned(char *path, size_t size)
{
    snprintf(path, size, "%s", sys.fired_path);
    char *deleted = strstr(path, " (deleted)"), *temporary = strstr(path, ".shardio-tmp");
    if (deleted != NULL) *deleted = 0;
    if (temporary != NULL && temporary - path > 17) temporary[-17] = 0;
}

/* Whether the error names the file, or something in it if it is a directory. */
static inline bool names_file(const work *w, const workflow *flow)
{
    char file[400], whole[900];
    const char *subject = w->error.subject;
    concerned(file, sizeof file);
    const char *last = strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;
    size_t n = strlen(file), k = strlen(subject);
    if (file[0] == 0 || strstr(subject, last) != NULL) return subject[0] != 0;
    if (n >= k && k > 0 && strcmp(file + n - k, subject) == 0) return true;
    snprintf(whole, sizeof whole, "%s%s%s%s%s", subject[0] == '/' ? "" : w->directory, subject[0] == '/' ? "" : "/",
             flow->root != NULL && subject[0] != '/' ? flow->root : "", flow->root != NULL && subject[0] != '/' ? "/" : "", subject);
    if (strncmp(whole, file, n) == 0 || strstr(whole, file) != NULL) return true;
    /* of an array, a group or an archive at least that */
    size_t node = strlen(whole), suffix = strlen("/zarr.json");
    if (node > suffix && strcmp(whole + node - suffix, "/zarr.json") == 0) node -= suffix;
    if (flow->root != NULL && k > 0 && strncmp(whole, file, node) == 0) return true;
    char *behind_link = realpath(whole, NULL);
    bool same = behind_link != NULL && strcmp(behind_link, file) == 0;
    free(behind_link);
    return same;
}

/* The error says what was done, to what, and why it failed. */
static inline void check_error(fault *f, const work *w)
{
    char text[600];
    const shardio_error *e = &w->error;
    shardio_error_text(e, text, sizeof text);
    if (e->operation == NULL || e->operation[0] == 0) complain(f, w, "the error names no operation", "");
    if (text[0] == 0 || strchr(text, '\n') != NULL || strlen(text) > 500) complain(f, w, "the error is no sentence", text);
    if (f->memory != 0 || sys.fired_call == CALL_MALLOC) {
        if (e->status != SHARDIO_ERR_MEMORY) complain(f, w, "the error is not that memory is out", text);
        return;
    }
    if (fault_is_answer(f) || f->forever || fault_is_harmless(f)) return;
    bool own_code = e->system_code < 0 && sys.fired_call == CALL_OPEN && (f->code == EXDEV || f->code == ENXIO);
    if (e->system_code != f->code && !own_code) complain(f, w, "the error has another number", text);
    if (!names_file(w, f->flow)) complain(f, w, "the error names another file", text);
}

static inline bool tree_begins_with(const tree_file *whole, const tree_file *part)
{
    if (whole == NULL || part == NULL || part->size == 0 || whole->size < part->size) return false;
    return memcmp(whole->data, part->data, part->size) == 0;
}

/* Whether a file is one that was there at some stage, to the byte. Where nothing works any more it cannot be cut back: then
   it begins with one that was. */
static inline bool is_of_a_stage(const work *w, const char *path, const tree_file *now, bool forever)
{
    for (size_t i = 0; i < w->stage_count; i++) {
        const tree_file *then = tree_find(&w->stages[i], path);
        if (tree_same_file(then, now) || (forever && tree_begins_with(now, then))) return true;
    }
    return false;
}

static inline const char *first_that_is_torn(const work *w, const tree *now, bool forever)
{
    for (size_t i = 0; i < now->count; i++) {
        const tree_file *f = &now->file[i];
        if (!f->directory && !is_temporary(f->path) && !is_of_a_stage(w, f->path, f, forever)) return f->path;
    }
    for (size_t i = 0; i < w->stages[0].count; i++) {
        const char *path = w->stages[0].file[i].path;
        if (!is_of_a_stage(w, path, tree_find(now, path), forever)) return path;
    }
    return NULL;
}

/* Whether the call that failed last was to remove this, or what lies in it, or to enter the directory for that. */
static inline bool could_not_be_removed(const work *w, const char *path)
{
    struct stat facts;
    const char *last = strrchr(sys.fired_path, '/');
    if (sys.fired > 0 && sys.fired_call == CALL_OPEN && (sys.fired_flags & O_PATH) != 0)
        return is_temporary(path) || (stat(work_in(w, path), &facts) == 0 && S_ISDIR(facts.st_mode));
    if (sys.fired == 0 || sys.fired_call != CALL_UNLINK) return false;
    return strstr(sys.fired_path, path) != NULL || strstr(path, last != NULL ? last + 1 : sys.fired_path) != NULL;
}

/* Nothing half-made under a final name, no temporary files, what was there before is there. */
static inline void check_files(fault *f, work *w)
{
    static tree now;
    tree_read(&now, w->directory);
    for (size_t i = 0; i < now.count && !f->forever; i++)
        if (is_temporary(now.file[i].path) && !could_not_be_removed(w, now.file[i].path)) complain(f, w, "a temporary file is left", now.file[i].path);
    const char *torn = first_that_is_torn(w, &now, f->forever);
    if (torn != NULL && f->flow->mend != NULL) {
        f->flow->mend(w);
        tree_read(&now, w->directory);
        torn = first_that_is_torn(w, &now, f->forever);
    }
    if (torn == NULL || could_not_be_removed(w, torn)) return;
    if (f->flow->survives != NULL) f->flow->survives(w);
    else complain(f, w, "neither as before nor as after a stage", torn);
}

static inline void work_clear(work *w)
{
    w->status = SHARDIO_OK;
    w->step = "";
    w->absent = w->mute = false;
    memset(&w->error, 0, sizeof w->error);
}

/* With nothing failing the job can be done, on what the failure left. */
static inline void check_again(fault *f, work *w)
{
    static tree now;
    tree_read(&now, w->directory);
    for (size_t i = 0; i < now.count; i++)
        if (is_temporary(now.file[i].path)) unlink(work_in(w, now.file[i].path));
    if (f->flow->anew) tree_restore(&w->stages[0], w->directory);
    work_clear(w);
    f->flow->run(w);
    if (w->status != SHARDIO_OK) complain(f, w, "the job cannot be done again", "");
    else if (f->flow->holds != NULL) f->flow->holds(w);
    if (f->flow->anew && !f->flow->varies) {
        tree_read(&now, w->directory);
        const char *path = tree_difference(&w->stages[w->stage_count - 1], &now);
        if (path != NULL) complain(f, w, "done again it gives something else", path);
    }
}

/* It said that all went well. Then it has to be so, and the failure one that may be passed over. */
static inline void check_unseen(fault *f, work *w)
{
    static tree now;
    if (f->shorten == 0 && f->code != EINTR && f->memory == 0 && sys.fired_call != CALL_MALLOC) {
        if (fault_is_answer(f)) return;
        if (!fault_is_harmless(f)) complain(f, w, "nobody was told", "");
    }
    faults_harmless++;
    if (!f->flow->varies) {
        tree_read(&now, w->directory);
        const char *path = tree_difference(&w->stages[w->stage_count - 1], &now);
        if (path != NULL && !could_not_be_removed(w, path))
            complain(f, w, "it went well, they say, but this is something else", path);
    }
    if (f->flow->holds != NULL) f->flow->holds(w);
}

/* ---- the loops ----------------------------------------------------------------------------------------------- */

static inline void try_fault(fault *f, work *w)
{
    counting caller;
    shardio_allocator allocator = counting_allocator(&caller);
    int failures = test_failures;
    tree_restore(&w->stages[0], w->directory);
    work_clear(w);
    sys_plan(f->only, f->n, f->times, f->code);
    sys.quick = true;
    sys.late = f->late;
    sys.shorten = f->shorten;
    caller.fail_at = f->memory;
    w->allocator = f->memory != 0 ? &allocator : NULL;
    w->absent = f->code == ENOENT || f->code == ENOTDIR || f->code == EISDIR || f->code == EEXIST;
    int descriptors = count_descriptors();
    long held = sys_held;
    f->flow->run(w);
    w->allocator = NULL;
    sys.from = 0;
    sys.shorten = 0;
    sys.late = false;
    faults_tried++;
    f->complaints = 0;
    if (count_descriptors() != descriptors) complain(f, w, "a descriptor is left open", "");
    if (sys_held != held || caller.held != 0) complain(f, w, "memory is left", "");
    if (f->n != 0 && sys.fired == 0 && !f->flow->varies) complain(f, w, "the call was not made", "");
    if (w->status != SHARDIO_OK && f->code == EINTR && !f->forever) complain(f, w, "an interruption is seen", "");
    if (w->status != SHARDIO_OK && f->shorten != 0) complain(f, w, "a short transfer is seen", "");
    if (w->status != SHARDIO_OK) check_error(f, w);
    bool unmade = f->n != 0 && sys.fired == 0 && f->flow->varies;   /* this time the call was not made */
    if (w->status == SHARDIO_OK && !unmade && !(w->mute && w->told == 0)) check_unseen(f, w);
    if (w->status != SHARDIO_OK) check_files(f, w);
    if (test_failures != failures && f->complaints == 0) complain(f, w, "see above", "");
    failures = test_failures;
    if (f->again) check_again(f, w);
    if (test_failures != failures && f->complaints == 0) complain(f, w, "done again, see above", "");
    sys_clear();
}

static inline fault fault_of(const workflow *flow)
{
    fault f;
    memset(&f, 0, sizeof f);
    f.flow = flow;
    return f;
}

/* The first way of a workflow meets every code at every call; the others, whose calls are much the same, one of twelve at
   each, other ones from call to call. */
static inline int fault_stride(const work *w)
{
    uint64_t effort = test_effort();
    if (w->way == 0 || effort >= 1200) return 1;
    return effort > 100 ? (int)(1200 / effort) : 12;
}

static inline bool is_tried(const work *w, int n, size_t number, int code)
{
    return code == EINTR || (number + (size_t)n) % (size_t)fault_stride(w) == 0;
}

/* With less effort than 100 percent only some of the failures of a workflow are tried, whatever kind they are of. */
static struct {
    uint64_t number, chosen;     /* of the failure to come, and of the next that is tried */
} fault_turn;

static inline void may_try_fault(fault *f, work *w)
{
    if (fault_turn.number++ != fault_turn.chosen) return;
    fault_turn.chosen = test_next(fault_turn.chosen);
    try_fault(f, w);
}

static inline void fail_with_each_code(const workflow *flow, work *w, size_t row, int n)
{
    fault f = fault_of(flow);
    f.only = SYS_ONLY(faults_of[row].call);
    f.n = n;
    for (size_t i = 0; faults_of[row].codes[i] != 0; i++) {
        f.code = faults_of[row].codes[i];
        f.times = 1;
        if (!is_tried(w, n, i, f.code)) continue;
        may_try_fault(&f, w);
        f.times = 3;
        if (f.code == EINTR) may_try_fault(&f, w);
    }
    f.again = w->way == 0;
    f.times = 1;
    f.code = EIO;
    f.late = fault_may_be_late(faults_of[row].call);
    may_try_fault(&f, w);
}

/* The calls of a run in which nothing fails: which they are, and the flags that they have. */
static struct {
    sys_call call;
    int number, flags;           /* the number among those of its kind, from 1 */
} made[4000];
static size_t made_count;

static void note_call(const sys_event *e)
{
    if (!CHECK(made_count < sizeof made / sizeof made[0])) return;
    made[made_count].call = e->call;
    made[made_count].number = sys.calls[e->call];
    made[made_count++].flags = e->flags;
}

/* Each call, each code. */
static inline void fail_each_call(const workflow *flow, work *w)
{
    for (size_t i = 0; i < made_count; i++)
        for (size_t row = 0; row < sizeof faults_of / sizeof faults_of[0]; row++)
            if (faults_of[row].call == made[i].call && (made[i].flags & faults_of[row].mask) == faults_of[row].flags)
                fail_with_each_code(flow, w, row, made[i].number);
}

/* From some call on nothing works any more. */
static inline void fail_for_ever(const workflow *flow, work *w, int calls)
{
    fault f = fault_of(flow);
    f.again = true;
    f.times = 1 << 30;
    f.forever = true;
    for (int n = 1; n <= calls; n++) {
        f.n = n;
        f.code = n % 3 == 0 ? ENOSPC : EIO;
        may_try_fault(&f, w);
    }
}

static inline void fail_each_allocation(const workflow *flow, work *w, int mallocs)
{
    fault f = fault_of(flow);
    f.again = true;
    f.only = SYS_ONLY(CALL_MALLOC);
    for (f.n = 1; f.n <= mallocs; f.n++) may_try_fault(&f, w);
    f.only = 0;
    f.n = 0;
    for (f.memory = 1; f.memory <= (uint64_t)mallocs; f.memory++) may_try_fault(&f, w);
}

static inline void transfer_shortly(const workflow *flow, work *w)
{
    fault f = fault_of(flow);
    for (f.shorten = 1; f.shorten <= 12; f.shorten++) may_try_fault(&f, w);
}

/* Does the job with nothing failing, and keeps what is there after each stage. */
static inline bool run_clean(const workflow *flow, work *w, int *mallocs)
{
    tree_restore(&w->stages[0], w->directory);
    work_clear(w);
    sys_clear();
    sys.quick = true;
    sys.after = note_call;
    made_count = 0;
    w->recording = true;
    w->stage_count = 1;
    int descriptors = count_descriptors();
    long held = sys_held;
    flow->run(w);
    CHECK_U64(count_descriptors(), descriptors);
    CHECK_U64(sys_held, held);
    *mallocs = sys.calls[CALL_MALLOC];
    stage(w);
    w->recording = false;
    sys_clear();
    char text[300];
    if (w->status != SHARDIO_OK)
        fprintf(stderr, "%s, way %d: %s: %s\n", flow->name, w->way, w->step, shardio_error_text(&w->error, text, sizeof text));
    if (flow->holds != NULL) flow->holds(w);
    return CHECK_STATUS(w->status, SHARDIO_OK), w->status == SHARDIO_OK;
}

/* In memory where the system has a place for that; empty, and removed again. */
static inline void work_directory(work *w)
{
    snprintf(w->directory, sizeof w->directory, "/dev/shm/shardio-XXXXXX");
    if (mkdtemp(w->directory) == NULL) test_directory(w->directory, sizeof w->directory);
}

static inline void run_way(const workflow *flow, int way)
{
    static work w;
    int mallocs = 0;
    memset(&w, 0, sizeof w);
    w.way = way;
    w.ways = flow->ways > 0 ? flow->ways : 1;
    work_directory(&w);
    if (flow->prepare != NULL) flow->prepare(&w);
    tree_read(&w.stages[0], w.directory);
    if (run_clean(flow, &w, &mallocs)) {
        fail_each_call(flow, &w);
        fail_for_ever(flow, &w, (int)made_count);
        fail_each_allocation(flow, &w, mallocs);
        transfer_shortly(flow, &w);
    }
    for (size_t i = 0; i < w.stage_count; i++) tree_free(&w.stages[i]);
    tree_restore(&w.stages[0], w.directory);
    CHECK(rmdir(w.directory) == 0);
}

static inline void run_workflow(const workflow *flow)
{
    long before = faults_tried, passed_over = faults_harmless;
    memset(&faults_told, 0, sizeof faults_told);
    memset(&fault_turn, 0, sizeof fault_turn);
    for (int way = 0; way < (flow->ways > 0 ? flow->ways : 1); way++) run_way(flow, way);
    CHECK(!faults_told.failed);
    printf("%s: %ld failures, %ld of them harmless\n", flow->name, faults_tried - before, faults_harmless - passed_over);
}

static inline void run_workflows(const workflow *flows, size_t from, size_t to)
{
    const char *only = getenv("TEST_WORKFLOW");
    for (size_t i = from; i < to; i++)
        if (only == NULL || strstr(flows[i].name, only) != NULL) run_workflow(&flows[i]);
}
#endif
