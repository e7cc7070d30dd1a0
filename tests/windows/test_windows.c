/* What only Windows has: names in UTF-16, long paths, names of devices, files that others keep open, locks on ranges of
   bytes, handles that are opened again to be unbuffered. The header's calls go through the functions here, which look at
   them and let some fail. What wine shows only in part is printed, as "seen:". */
#include "posix.h"

static struct {
    int reopened, unbuffered;       /* handles opened again; of these, without buffering */
    DWORD refuse_open;              /* opening without buffering fails with this code */
    DWORD refuse_write;             /* the next write fails with this code; for good if `full` */
    bool full;
    HANDLE direct;                  /* the last one without buffering */
    int direct_writes, misaligned;
    HANDLE *in_the_way;             /* renaming that replaces open files: as if it were possible, once this is closed */
    int renamed;
    bool going;                     /* a file that was removed keeps its name, as if somebody had it open */
    int names;                      /* so many names are listed, then it fails; 0: all */
} hooks;

static HANDLE test_reopen(HANDLE handle, DWORD rights, DWORD share, DWORD flags)
{
    bool direct = (flags & FILE_FLAG_NO_BUFFERING) != 0;
    if (direct && hooks.refuse_open != 0) {
        SetLastError(hooks.refuse_open);
        return INVALID_HANDLE_VALUE;
    }
    HANDLE other = ReOpenFile(handle, rights, share, flags);
    hooks.reopened++;
    if (direct) hooks.unbuffered++, hooks.direct = other;
    return other;
}

static BOOL test_write(HANDLE handle, const void *data, DWORD size, DWORD *done, OVERLAPPED *at)
{
    if (size > 0 && hooks.refuse_write != 0) {
        SetLastError(hooks.refuse_write);
        if (!hooks.full) hooks.refuse_write = 0;
        return FALSE;
    }
    if (size > 0 && hooks.direct != NULL && handle == hooks.direct) {
        hooks.direct_writes++;
        hooks.misaligned += at->Offset % 512 != 0 || size % 512 != 0 || (uintptr_t)data % 512 != 0;
    }
    return WriteFile(handle, data, size, done, at);
}

static HANDLE test_create(const wchar_t *name, DWORD rights, DWORD share, SECURITY_ATTRIBUTES *security, DWORD how, DWORD flags,
                          HANDLE like)
{
    if (!hooks.going || rights != 0) return CreateFileW(name, rights, share, security, how, flags, like);
    SetLastError(ERROR_ACCESS_DENIED);
    return INVALID_HANDLE_VALUE;
}

static BOOL test_find_next(HANDLE search, WIN32_FIND_DATAW *found)
{
    if (hooks.names > 0 && --hooks.names == 0) {
        SetLastError(ERROR_GEN_FAILURE);
        return FALSE;
    }
    return FindNextFileW(search, found);
}

/* What NTFS does and wine 8 does not. */
static BOOL test_set_information(HANDLE handle, FILE_INFO_BY_HANDLE_CLASS what, void *data, DWORD size)
{
    wchar_t from[1000];
    FILE_RENAME_INFO *info = (FILE_RENAME_INFO *)data;
    DWORD flags;
    memcpy(&flags, data, sizeof flags);
    if ((int)what != 22 || hooks.in_the_way == NULL) return SetFileInformationByHandle(handle, what, data, size);
    hooks.renamed += flags == 3 && info->RootDirectory == NULL && info->FileNameLength == 2 * wcslen(info->FileName);
    GetFinalPathNameByHandleW(handle, from, 1000, 0);
    CloseHandle(*hooks.in_the_way);
    hooks.in_the_way = NULL;
    return MoveFileExW(from, info->FileName, MOVEFILE_REPLACE_EXISTING);
}

#define CreateFileW test_create
#define ReOpenFile test_reopen
#define SetFileInformationByHandle test_set_information
#define WriteFile test_write
#define FindNextFileW test_find_next
#include "../arrays.h"
#undef CreateFileW
#undef ReOpenFile
#undef SetFileInformationByHandle
#undef WriteFile
#undef FindNextFileW

static char where[300];
static uint8_t source[3 << 20], buffer[1 << 16] __attribute__((aligned(4096)));

static void begin(void)
{
    memset(&hooks, 0, sizeof hooks);
    test_directory(where, sizeof where);
    for (size_t i = 0; i < sizeof source; i++) source[i] = (uint8_t)(test_mix(i / 8) >> (8 * (i % 8)));
}

static const char *in(const char *name)
{
    static char paths[4][5000];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", where, name);
    return path;
}

/* Makes a file of `size` bytes of `source`. */
static shardio_status make(const char *path, size_t size, bool overwrite, shardio_error *error)
{
    shardio_open_options o;
    shardio_file file;
    memset(&o, 0, sizeof o);
    o.overwrite = overwrite;
    o.make_parents = true;
    shardio_status status = shardio_file_open(&file, path, SHARDIO_OPEN_CREATE, &o, error);
    if (status != SHARDIO_OK) return status;
    CHECK_OK(file_write_all(&file, 0, source, size));
    return shardio_p_file_close(&file, SHARDIO_CLOSE_PUBLISH, true, error);
}

static void check_size(const char *path, uint64_t size, int line)
{
    static uint8_t back[sizeof source];
    shardio_file_facts facts;
    shardio_error error;
    shardio_file file;
    memset(&facts, 0, sizeof facts);
    shardio_status status = shardio_file_open(&file, path, SHARDIO_OPEN_READ, NULL, &error);
    test_equal_status(__FILE__, line, path, status, SHARDIO_OK);
    if (status != SHARDIO_OK) return;
    CHECK_OK(shardio_p_file_facts(&file, &facts, &error));
    test_equal_u64(__FILE__, line, path, facts.size, size);
    CHECK_OK(shardio_file_read(&file, 0, back, (size_t)facts.size, &error));
    CHECK_BYTES(back, source, (size_t)facts.size);
    shardio_file_close(&file);
}
#define CHECK_SIZE(path, size) check_size(path, size, __LINE__)

static bool is_there(const char *path)
{
    wchar_t wide[SHARDIO_P_PATH];
    int code = 0;
    return shardio_p_os_wide(path, wide, &code) == SHARDIO_OK && GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES;
}

/* Names in the test's directory. */
static int entries(void)
{
    DIR *list = opendir(where);
    int count = -2;   /* "." and ".." */
    while (readdir(list) != NULL) count++;
    closedir(list);
    return count;
}

/* ---- unbuffered ---------------------------------------------------------------------------------------------- */

static shardio_status write_slot(const char *path, shardio_direct direct, shardio_slot *slot)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.direct = direct;
    o.overwrite = true;
    o.buffer_size = 1 << 16;
    (void)shardio_slot_create(slot, path, &o);   /* the first error sticks */
    for (size_t at = 0, n = 1; at < sizeof source; at += n, n = n * 2 + 1) {
        if (n > sizeof source - at) n = sizeof source - at;
        (void)shardio_slot_append(slot, source + at, n);
    }
    return shardio_slot_finish(slot);
}

TEST(unbuffered_is_taken)
{
    shardio_slot slot;
    begin();
    CHECK_OK(write_slot(in("file"), SHARDIO_DIRECT_ON, &slot));
    CHECK(slot.accounting.direct);
    CHECK(hooks.unbuffered > 0 && hooks.direct_writes > 10);
    CHECK_U64(hooks.misaligned, 0);
    CHECK_SIZE(in("file"), sizeof source);
    begin();
    CHECK_OK(write_slot(in("file"), SHARDIO_DIRECT_OFF, &slot));
    CHECK_U64(hooks.unbuffered, 0);
    CHECK_SIZE(in("file"), sizeof source);
}

TEST(unbuffered_refused)
{
    static const DWORD codes[] = {ERROR_INVALID_PARAMETER, ERROR_NOT_SUPPORTED, ERROR_INVALID_FUNCTION};
    for (size_t i = 0; i < 2 * sizeof codes / sizeof codes[0]; i++) {
        shardio_slot slot;
        begin();
        *(i % 2 ? &hooks.refuse_open : &hooks.refuse_write) = codes[i / 2];
        CHECK_OK(write_slot(in("file"), SHARDIO_DIRECT_AUTO, &slot));
        CHECK(!slot.accounting.direct && slot.accounting.direct_reason != NULL);
        CHECK_U64(slot.accounting.direct_code, codes[i / 2]);
        CHECK_SIZE(in("file"), sizeof source);
        begin();
        *(i % 2 ? &hooks.refuse_open : &hooks.refuse_write) = codes[i / 2];
        CHECK_STATUS(write_slot(in("file"), SHARDIO_DIRECT_ON, &slot), SHARDIO_ERR_DIRECT);
        CHECK(!is_there(in("file")));
    }
}

/* A file that is opened for reading stays one: others that let nobody write beside them can be there. */
TEST(unbuffered_readers_only_read)
{
    shardio_file file;
    size_t done = 0;
    int code = 0;
    begin();
    CHECK_OK(make(in("file"), 8192, false, NULL));
    CHECK_OK(shardio_file_open(&file, in("file"), SHARDIO_OPEN_READ, NULL, NULL));
    CHECK_OK(file.functions->set_direct(file.context, true, &code));
    CHECK_U64(hooks.unbuffered, 1);
    HANDLE other = CreateFileA(in("file"), GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    CHECK(other != INVALID_HANDLE_VALUE);
    CHECK_OK(file.functions->read(file.context, 4096, buffer, 4096, &done, &code));
    CHECK_U64(done, 4096);
    CHECK_BYTES(buffer, source + 4096, 4096);
    CloseHandle(other);
    shardio_file_close(&file);
}

/* What the system says to transfers that are not aligned: NTFS refuses them. */
TEST(misaligned_transfers)
{
    OVERLAPPED at;
    DWORD n = 0;
    begin();
    memset(&at, 0, sizeof at);
    HANDLE handle = CreateFileA(in("file"), GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_FLAG_NO_BUFFERING, NULL);
    if (!CHECK(handle != INVALID_HANDLE_VALUE)) return;
    bool refused = !WriteFile(handle, buffer + 1, 100, &n, &at);
    DWORD code = GetLastError();
    if (refused) CHECK(shardio_p_os_refuses_direct((int)code));
    printf("seen: a misaligned unbuffered write is %s\n", refused ? "refused" : "taken");
    CloseHandle(handle);
}

/* ---- names --------------------------------------------------------------------------------------------------- */

/* Every kind of operation on a file whose path has `length` characters. */
static void use_long_path(size_t length)
{
    static char name[5000], other[5000];
    shardio_error error;
    key_list list;
    size_t n = (size_t)snprintf(name, sizeof name, "%s", in("d"));
    while (n < length) {
        size_t part = length - n > 200 ? 150 : length - n;
        if (part == 1) part = 0, name[n - 1] = 'x', name[n++] = 'x';
        if (part > 0) name[n] = '/', memset(name + n + 1, 'n', part - 1);
        n += part;
    }
    name[n] = 0;
    snprintf(other, sizeof other, "%s", name);
    other[n - 1] = 'o';
    CHECK_STATUS(make(name, 5000, false, &error), SHARDIO_OK);
    CHECK_SIZE(name, 5000);
    CHECK_STATUS(make(name, 5, false, &error), SHARDIO_ERR_EXISTS);
    CHECK_OK(make(name, 3, true, &error));
    CHECK_SIZE(name, 3);
    *strrchr(other, '/') = 0;
    shardio_store store = shardio_store_directory(other);
    CHECK_OK(store_keys(&store, "", &list));
    CHECK_U64(list.count, 1);
    CHECK_OK(store_put_text(&store, "k", "text"));
    CHECK_OK(store_keys(&store, "", &list));
    CHECK_U64(list.count, 2);
    CHECK_OK(store_remove(&store, "k"));
    CHECK_OK(store_remove(&store, strrchr(name, '/') + 1));
    CHECK_OK(store_keys(&store, "", &list));
    CHECK_U64(list.count, 0);
}

TEST(long_paths)
{
    static const size_t lengths[] = {200, 230, 239, 240, 247, 248, 259, 260, 261, 300, 1000, 2000, 3500};
    begin();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) use_long_path(lengths[i]);
}

TEST(paths_that_are_too_long)
{
    static char name[9000];
    for (size_t length = 4200; length < sizeof name; length += 1200) {
        shardio_error error;
        shardio_file file;
        begin();
        memset(name, 0, sizeof name);
        for (size_t i = 0; i < length; i++) name[i] = i % 100 == 0 ? '/' : 'n';
        CHECK_STATUS(make(name, 5, false, &error), SHARDIO_ERR_LIMIT);
        CHECK_STATUS(shardio_file_open(&file, name, SHARDIO_OPEN_READ, NULL, &error), SHARDIO_ERR_LIMIT);
        CHECK_U64(error.system_code, ERROR_FILENAME_EXCED_RANGE);
    }
}

/* Umlauts, Chinese, an emoji (two units of UTF-16), characters that are not composed. */
TEST(names_are_utf_8)
{
    static const struct {
        const char *utf_8;
        const wchar_t *utf_16;
    } names[] = {
        {"\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F", L"\u00E4\u00F6\u00FC\u00DF"},
        {"\xE6\x95\xB0\xE6\x8D\xAE", L"\u6570\u636E"},
        {"\xF0\x9F\x98\x80.zarr", L"\xD83D\xDE00.zarr"},
        {"e\xCC\x81 x", L"e\u0301 x"},
    };
    wchar_t wide[SHARDIO_P_PATH];
    char key[100], text[100];
    WIN32_FIND_DATAW found;
    key_list list;
    int code = 0;
    begin();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(key, sizeof key, "%s/c/0", names[i].utf_8);
        snprintf(text, sizeof text, " %s ", key);
        shardio_store store = shardio_store_directory(where);
        CHECK_OK(store_put_text(&store, key, "bytes"));
        CHECK_OK(store_keys(&store, "", &list));
        CHECK_TEXT(list.text, text);
        CHECK_OK(make(in(names[i].utf_8), 77, true, NULL) == SHARDIO_OK ? SHARDIO_ERR_IO : SHARDIO_OK);   /* a directory */
        CHECK_OK(shardio_p_os_wide(in(names[i].utf_8), wide, &code));
        HANDLE search = FindFirstFileW(wide, &found);
        CHECK(search != INVALID_HANDLE_VALUE && wcscmp(found.cFileName, names[i].utf_16) == 0);
        FindClose(search);
        CHECK_OK(store_remove(&store, key));
        CHECK_OK(make(in(key), 77, false, NULL));
        CHECK_SIZE(in(key), 77);
        CHECK_OK(store_remove(&store, key));
    }
}

TEST(what_is_no_utf_8_is_refused)
{
    static const char *const names[] = {"\x80", "a\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xF8\x88\x80\x80\x80", "a\xFFz"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        shardio_error error;
        shardio_file file;
        begin();
        shardio_store store = shardio_store_directory(where);
        CHECK_STATUS(make(in(names[i]), 5, false, &error), SHARDIO_ERR_NOT_FOUND);
        CHECK_U64(error.system_code, ERROR_NO_UNICODE_TRANSLATION);
        CHECK_STATUS(shardio_file_open(&file, in(names[i]), SHARDIO_OPEN_READ, NULL, &error), SHARDIO_ERR_NOT_FOUND);
        CHECK_STATUS(store_put_text(&store, names[i], "x"), SHARDIO_ERR_NOT_FOUND);
        CHECK_U64(entries(), 0);
    }
}

/* Keys of a store that Windows takes for something else: devices, and names whose ends are cut off. */
TEST(names_that_are_others)
{
    static const char *const names[] = {"CON", "nul", "aux/c/0", "a/PRN", "com1", "kept.", "kept ", "kept/", "x./y", "x /y",
                                        "kept...", "kept. ", "a\\b", "c:x", "kept:stream"};
    shardio_file file;
    key_list list;
    begin();
    shardio_store store = shardio_store_directory(where);
    CHECK_OK(store_put_text(&store, "kept", "old"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int code = 0;
        bool there = store_put_text(&store, names[i], "new") == SHARDIO_OK;
        if (there) test_fail(__FILE__, __LINE__, names[i]);
        CHECK(store.functions->open(store.context, names[i], false, NULL, &file, &code) != SHARDIO_OK);
        CHECK(store_remove(&store, names[i]) != SHARDIO_OK);
        CHECK_OK(store_keys(&store, "", &list));
        CHECK_TEXT(list.text, " kept ");
        CHECK_U64(list.bytes, 3);
    }
}

/* The ways to write the same path. */
TEST(ways_to_write_a_path)
{
    char old[300], path[700], forward[300];
    begin();
    CHECK_OK(make(in("file"), 99, false, NULL));
    snprintf(forward, sizeof forward, "%s", where);
    for (char *c = forward; *c != 0; c++) if (*c == '\\') *c = '/';
    GetCurrentDirectoryA(sizeof old, old);
    CHECK(SetCurrentDirectoryA(where));
    static const char *const ways[] = {"%s/file", "%s\\file", "\\\\?\\%s\\file", "%.2sfile", "file", ".\\x\\..\\file"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        snprintf(path, sizeof path, ways[i], where);
        CHECK_SIZE(path, 99);
    }
    snprintf(path, sizeof path, "%s/file", forward + 2);   /* without the drive */
    CHECK_SIZE(path, 99);
    CHECK_OK(make("other", 98, false, NULL));
    CHECK(SetCurrentDirectoryA(old));
    CHECK_SIZE(in("other"), 98);
}

/* The prefix that lifts the limit has another form for shares. */
TEST(long_names_on_shares)
{
    static char name[400];
    wchar_t wide[SHARDIO_P_PATH];
    int code = 0;
    memset(name, 'n', sizeof name - 1);
    memcpy(name, "\\\\server\\share\\", 15);
    CHECK_OK(shardio_p_os_wide(name, wide, &code));
    CHECK(wcsncmp(wide, L"\\\\?\\UNC\\server\\share\\nnn", 24) == 0);
    CHECK_U64(wcslen(wide), sizeof name - 1 + 6);
    memcpy(name, "\\\\?\\UNC\\server\\", 15);
    CHECK_OK(shardio_p_os_wide(name, wide, &code));
    CHECK_U64(wcslen(wide), sizeof name - 1);
    name[100] = 0;
    memcpy(name, "\\\\server\\share\\", 15);
    CHECK_OK(shardio_p_os_wide(name, wide, &code));
    CHECK(wcsncmp(wide, L"\\\\server\\share\\nnn", 18) == 0);
}

/* ---- files that others keep open ----------------------------------------------------------------------------- */

static HANDLE keep_open(const char *path, DWORD rights, DWORD share)
{
    HANDLE handle = CreateFileA(path, rights, share, NULL, OPEN_EXISTING, 0, NULL);
    CHECK(handle != INVALID_HANDLE_VALUE);
    return handle;
}

TEST(files_that_others_do_not_share)
{
    shardio_error error;
    shardio_file file;
    char text[600];
    begin();
    CHECK_OK(make(in("file"), 5000, false, NULL));
    HANDLE other = keep_open(in("file"), GENERIC_READ, 0);
    CHECK_STATUS(shardio_file_open(&file, in("file"), SHARDIO_OPEN_READ, NULL, &error), SHARDIO_ERR_PERMISSION);
    CHECK_U64(error.system_code, ERROR_SHARING_VIOLATION);
    shardio_error_text(&error, text, sizeof text);
    CHECK(strstr(text, "file") != NULL && strstr(text, "32") != NULL);
    CHECK_STATUS(shardio_file_open(&file, in("file"), SHARDIO_OPEN_UPDATE, NULL, &error), SHARDIO_ERR_PERMISSION);
    CloseHandle(other);
    other = keep_open(in("file"), GENERIC_READ, FILE_SHARE_READ);
    CHECK_SIZE(in("file"), 5000);
    CHECK_STATUS(shardio_file_open(&file, in("file"), SHARDIO_OPEN_UPDATE, NULL, &error), SHARDIO_ERR_PERMISSION);
    CloseHandle(other);
    CHECK_SIZE(in("file"), 5000);
}

/* Replacing: an error that says so, the old file is there, nothing else, and later it works. */
TEST(replacing_what_others_keep_open)
{
    static const DWORD shares[] = {FILE_SHARE_READ, FILE_SHARE_READ | FILE_SHARE_WRITE, POSIX_SHARE_ALL};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        shardio_error error;
        begin();
        CHECK_OK(make(in("file"), 5000, false, NULL));
        HANDLE other = keep_open(in("file"), GENERIC_READ, shares[i]);
        shardio_status status = make(in("file"), 7000, true, &error);
        if (shares[i] != POSIX_SHARE_ALL) CHECK_STATUS(status, SHARDIO_ERR_PERMISSION);
        else printf("seen: replacing a file that is open with FILE_SHARE_DELETE: %s\n", shardio_status_name(status));
        if (status != SHARDIO_OK) CHECK(error.system_code == ERROR_ACCESS_DENIED || error.system_code == ERROR_SHARING_VIOLATION);
        CHECK_SIZE(in("file"), status == SHARDIO_OK ? 7000 : 5000);
        CHECK_U64(entries(), 1);
        CloseHandle(other);
        CHECK_OK(make(in("file"), 9000, true, &error));
        CHECK_SIZE(in("file"), 9000);
        CHECK_U64(entries(), 1);
    }
}

TEST(replacing_with_the_semantics_of_posix)
{
    shardio_error error;
    begin();
    CHECK_OK(make(in("file"), 5000, false, NULL));
    HANDLE other = keep_open(in("file"), GENERIC_READ, FILE_SHARE_READ);
    hooks.in_the_way = &other;
    CHECK_OK(make(in("file"), 7000, true, &error));
    CHECK_U64(hooks.renamed, 1);
    CHECK_SIZE(in("file"), 7000);
    CHECK_U64(entries(), 1);
}

TEST(removing_what_others_keep_open)
{
    begin();
    shardio_store store = shardio_store_directory(where);
    CHECK_OK(store_put_text(&store, "key", "text"));
    HANDLE other = keep_open(in("key"), GENERIC_READ, FILE_SHARE_READ);
    CHECK_STATUS(store_remove(&store, "key"), SHARDIO_ERR_PERMISSION);
    CHECK(is_there(in("key")));
    CloseHandle(other);
    CHECK_OK(store_remove(&store, "key"));
    CHECK(!is_there(in("key")));
    CHECK_OK(store_put_text(&store, "key", "text"));
    other = keep_open(in("key"), GENERIC_READ, POSIX_SHARE_ALL);
    shardio_status status = store_remove(&store, "key");
    printf("seen: removing a file that is open with FILE_SHARE_DELETE: %s\n", shardio_status_name(status));
    if (status != SHARDIO_OK) CHECK_STATUS(status, SHARDIO_ERR_PERMISSION);
    CHECK(test_on_wine() || is_there(in("key")) == (status != SHARDIO_OK));   /* wine does not tell */
    CloseHandle(other);
    CHECK(!is_there(in("key")));
    CHECK_OK(store_put_text(&store, "key", "text"));
}

/* Where the name stays until the file is closed by others, the file is not called removed. */
TEST(names_that_stay)
{
    shardio_file file;
    int code = 0;
    begin();
    shardio_store store = shardio_store_directory(where);
    CHECK_OK(store_put_text(&store, "key", "text"));
    hooks.going = true;
    CHECK_STATUS(store.functions->remove(store.context, "key", &code), SHARDIO_ERR_PERMISSION);
    CHECK_U64(code, ERROR_SHARING_VIOLATION);
    hooks.going = false;
    CHECK_STATUS(store.functions->open(store.context, "key", false, NULL, &file, &code), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(store.functions->remove(store.context, "key", &code), SHARDIO_ERR_NOT_FOUND);
}

TEST(read_only_files)
{
    shardio_error error;
    shardio_file file;
    begin();
    CHECK_OK(make(in("file"), 5000, false, NULL));
    CHECK(SetFileAttributesA(in("file"), FILE_ATTRIBUTE_READONLY));
    CHECK_SIZE(in("file"), 5000);
    shardio_status status = shardio_file_open(&file, in("file"), SHARDIO_OPEN_UPDATE, NULL, &error);
    printf("seen: opening a read-only file for writing: %s\n", shardio_status_name(status));   /* root may, below wine */
    if (status == SHARDIO_OK) shardio_file_close(&file);
    else CHECK_STATUS(status, SHARDIO_ERR_PERMISSION);
    status = make(in("file"), 7000, true, &error);
    printf("seen: replacing a read-only file: %s\n", shardio_status_name(status));
    if (status != SHARDIO_OK) CHECK_STATUS(status, SHARDIO_ERR_PERMISSION);
    CHECK_SIZE(in("file"), status == SHARDIO_OK ? 7000 : 5000);
    CHECK_U64(entries(), 1);
    CHECK(SetFileAttributesA(in("file"), FILE_ATTRIBUTE_NORMAL));
    CHECK_OK(make(in("file"), 7000, true, &error));
    CHECK_SIZE(in("file"), 7000);
}

/* ---- errors -------------------------------------------------------------------------------------------------- */

TEST(a_full_disk)
{
    static const DWORD codes[] = {ERROR_DISK_FULL, ERROR_HANDLE_DISK_FULL, 1295, ERROR_FILE_TOO_LARGE};
    for (size_t i = 0; i < 2 * sizeof codes / sizeof codes[0]; i++) {
        shardio_slot slot;
        char text[600];
        begin();
        hooks.refuse_write = codes[i / 2];
        hooks.full = true;
        CHECK_STATUS(write_slot(in("file"), i % 2 ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO, &slot), SHARDIO_ERR_NO_SPACE);
        CHECK_U64(slot.error.system_code, codes[i / 2]);
        shardio_error_text(&slot.error, text, sizeof text);
        CHECK(strstr(text, "write") != NULL && strstr(text, "file") != NULL);
        CHECK_U64(entries(), 0);
    }
}

TEST(listing_that_fails)
{
    key_list list;
    begin();
    shardio_store store = shardio_store_directory(where);
    for (int i = 0; i < 9; i++) CHECK_OK(store_put_text(&store, &"abcdefghi"[i], "text"));
    CHECK_OK(store_keys(&store, "", &list));
    CHECK_U64(list.count, 9);
    hooks.names = 5;
    CHECK_STATUS(store_keys(&store, "", &list), SHARDIO_ERR_IO);
}

TEST(messages_are_utf_8)
{
    shardio_error error;
    char text[600];
    memset(&error, 0, sizeof error);
    error.status = SHARDIO_ERR_PERMISSION;
    for (int code = 1; code < 2000; code++) {
        wchar_t wide[600];
        error.system_code = code;
        shardio_error_text(&error, text, sizeof text);
        CHECK(MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, 600) > 0);
        CHECK(strpbrk(text, "\r\n") == NULL);
    }
}

/* ---- locks --------------------------------------------------------------------------------------------------- */

static shardio_status try_to_write(const char *path)
{
    shardio_archive_options o;
    shardio_error error;
    memset(&o, 0, sizeof o);
    o.write = true;
    shardio_archive *archive = shardio_archive_open(path, &o, &error);
    shardio_archive_close(archive);
    return archive != NULL ? SHARDIO_OK : error.status;
}

/* What another process gets that wants to write the archive: this program, called with its path. */
static shardio_status try_elsewhere(const char *path)
{
    char program[600], command[1400];
    STARTUPINFOA how;
    PROCESS_INFORMATION process;
    DWORD code = 99;
    memset(&how, 0, sizeof how);
    how.cb = sizeof how;
    GetModuleFileNameA(NULL, program, sizeof program);
    snprintf(command, sizeof command, "\"%s\" --write \"%s\"", program, path);
    if (!CHECK(CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &how, &process))) return SHARDIO_ERR_IO;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return (shardio_status)code;
}

TEST(archives_are_locked)
{
    static const shardio_direct directs[] = {SHARDIO_DIRECT_AUTO, SHARDIO_DIRECT_ON, SHARDIO_DIRECT_OFF};
    for (size_t i = 0; i < 3; i++) {
        shardio_archive_options o;
        shardio_error error;
        begin();
        memset(&o, 0, sizeof o);
        o.write = o.create = true;
        o.direct = directs[i];
        shardio_archive *archive = shardio_archive_open(in("file.zip"), &o, &error);
        if (!CHECK(archive != NULL)) return;
        for (int part = 0; part < 3; part++) {   /* the first commit gives it its name */
            shardio_store store = shardio_archive_store(archive);
            CHECK_OK(store_put(&store, "key", source, 100000));
            CHECK_OK(shardio_archive_commit(archive, &error));
            CHECK_STATUS(try_to_write(in("file.zip")), SHARDIO_ERR_LOCKED);
            CHECK_STATUS(try_elsewhere(in("file.zip")), SHARDIO_ERR_LOCKED);
        }
        CHECK((hooks.unbuffered > 0) == (directs[i] != SHARDIO_DIRECT_OFF));
        CHECK_OK(shardio_archive_finish(archive, &error));
        CHECK_OK(try_to_write(in("file.zip")));
        CHECK_OK(try_elsewhere(in("file.zip")));
    }
}

static volatile LONG stop_trying, tries, got;

static DWORD WINAPI try_to_lock(void *path)
{
    HANDLE handle = keep_open((const char *)path, GENERIC_READ | GENERIC_WRITE, POSIX_SHARE_ALL);
    int code = 0;
    for (; !stop_trying; InterlockedIncrement(&tries)) if (shardio_p_os_lock(handle, &code) == SHARDIO_OK) InterlockedIncrement(&got);
    CloseHandle(handle);
    return 0;
}

/* While a file is opened again and again, to be unbuffered and not, nobody else gets its lock. */
TEST(locks_go_over)
{
    shardio_file file;
    int code = 0;
    begin();
    CHECK_OK(make(in("file"), 8192, false, NULL));
    CHECK_OK(shardio_file_open(&file, in("file"), SHARDIO_OPEN_UPDATE, NULL, NULL));
    CHECK_OK(shardio_p_osf_lock(&file, &code));
    tries = got = stop_trying = 0;
    HANDLE thread = CreateThread(NULL, 0, try_to_lock, (void *)(uintptr_t)in("file"), 0, NULL);
    for (int i = 0; i < 200 || (tries < 200 && i < 100000); i++)
        CHECK_OK(file.functions->set_direct(file.context, i % 2 == 0, &code));
    InterlockedExchange(&stop_trying, 1);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    CHECK_U64(got, 0);
    CHECK(tries >= 200);
    HANDLE other = keep_open(in("file"), GENERIC_READ | GENERIC_WRITE, POSIX_SHARE_ALL);
    CHECK_STATUS(shardio_p_os_lock(other, &code), SHARDIO_ERR_LOCKED);
    CHECK_OK(file_close(&file, SHARDIO_CLOSE_KEEP));
    CHECK_OK(shardio_p_os_lock(other, &code));
    CloseHandle(other);
}

static const test_case cases[] = {
    TEST_CASE(unbuffered_is_taken) TEST_CASE(unbuffered_refused) TEST_CASE(unbuffered_readers_only_read)
    TEST_CASE(misaligned_transfers) TEST_CASE(long_paths) TEST_CASE(paths_that_are_too_long) TEST_CASE(names_are_utf_8)
    TEST_CASE(what_is_no_utf_8_is_refused) TEST_CASE(names_that_are_others) TEST_CASE(ways_to_write_a_path)
    TEST_CASE(long_names_on_shares) TEST_CASE(files_that_others_do_not_share) TEST_CASE(replacing_what_others_keep_open)
    TEST_CASE(replacing_with_the_semantics_of_posix)
    TEST_CASE(removing_what_others_keep_open) TEST_CASE(names_that_stay) TEST_CASE(read_only_files) TEST_CASE(a_full_disk) TEST_CASE(listing_that_fails)
    TEST_CASE(messages_are_utf_8) TEST_CASE(archives_are_locked) TEST_CASE(locks_go_over)
};

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0) return (int)try_to_write(argv[2]);
    return test_run_all(cases, sizeof cases / sizeof cases[0], argc > 1 ? argv[1] : "");
}
