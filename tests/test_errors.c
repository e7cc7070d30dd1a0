/* Statuses have texts and names; an error becomes one sentence that is cut cleanly. */
#include "test.h"

TEST(every_status_has_text_and_name)
{
    for (int i = 0; i < SHARDIO_STATUS_COUNT; i++) {
        const char *text = shardio_status_text((shardio_status)i), *name = shardio_status_name((shardio_status)i);
        if (!CHECK(text != NULL && *text) || !CHECK(name != NULL && *name)) continue;
        CHECK(i == SHARDIO_OK ? strcmp(name, "OK") == 0 : strncmp(name, "ERR_", 4) == 0);
        CHECK(strchr(text, '\n') == NULL);
        for (int j = 0; j < i; j++) {
            CHECK(strcmp(name, shardio_status_name((shardio_status)j)) != 0);
            CHECK(strcmp(text, shardio_status_text((shardio_status)j)) != 0);
        }
    }
    CHECK_TEXT(shardio_status_name(SHARDIO_ERR_CHECKSUM), "ERR_CHECKSUM");
    CHECK_TEXT(shardio_status_text(SHARDIO_ERR_CHECKSUM), "checksum does not match");
    CHECK_U64(SHARDIO_OK, 0);
}

TEST(a_number_that_is_no_status_has_some_text)
{
    const int numbers[] = {-1, SHARDIO_STATUS_COUNT, 31};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        shardio_status status;
        memcpy(&status, &numbers[i], sizeof status);   /* a conversion out of range is undefined in C++ */
        CHECK(shardio_status_text(status) != NULL && *shardio_status_text(status));
        CHECK(shardio_status_name(status) != NULL && *shardio_status_name(status));
    }
}

static shardio_error make_error(shardio_status status, int code, const char *operation, const char *reason,
                                uint64_t offset, const char *subject)
{
    shardio_error e;
    memset(&e, 0, sizeof e);
    e.status = status;
    e.system_code = code;
    e.operation = operation;
    e.reason = reason;
    e.offset = offset;
    snprintf(e.subject, sizeof e.subject, "%s", subject);
    return e;
}

TEST(the_sentence_holds_what_is_known)
{
    static const struct {
        shardio_status status;
        int code;
        const char *operation, *reason;
        uint64_t offset;
        const char *subject;
        const char *has[6];
    } table[] = {
        {SHARDIO_ERR_IO, 5, "write", NULL, 8192, "a.bin", {"a.bin", "write", "8192", "5", "input/output error", NULL}},
        {SHARDIO_ERR_CORRUPT, 0, "read index", "points outside", 77, "s/c/0", {"s/c/0", "read index", "77", "points outside", "damaged", NULL}},
        {SHARDIO_ERR_ARGUMENT, 0, "append", NULL, SHARDIO_NO_OFFSET, "", {"append", "wrong argument", NULL, NULL, NULL, NULL}},
        {SHARDIO_ERR_NO_SPACE, 28, "sync", NULL, SHARDIO_NO_OFFSET, "x", {"x", "sync", "28", "no space left", NULL, NULL}},
        {SHARDIO_ERR_IO, -7, "write", NULL, UINT64_MAX - 1, "x", {"18446744073709551614", "-7", NULL, NULL, NULL, NULL}},
        {SHARDIO_ERR_IO, INT32_MIN, "write", NULL, 0, "x", {"-2147483648", "x", NULL, NULL, NULL, NULL}},
        {SHARDIO_ERR_IO, 0, NULL, NULL, SHARDIO_NO_OFFSET, "", {"input/output error", NULL, NULL, NULL, NULL, NULL}},
        {SHARDIO_OK, 0, NULL, NULL, 0, "", {"no error", NULL, NULL, NULL, NULL, NULL}},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        shardio_error e = make_error(table[i].status, table[i].code, table[i].operation, table[i].reason,
                                     table[i].offset, table[i].subject);
        char text[512];
        CHECK(shardio_error_text(&e, text, sizeof text) == text);
        CHECK(strchr(text, '\n') == NULL);
        if (table[i].offset == SHARDIO_NO_OFFSET) CHECK(strstr(text, "18446744073709551615") == NULL);
        for (int j = 0; j < 6 && table[i].has[j] != NULL; j++)
            if (!CHECK(strstr(text, table[i].has[j]) != NULL)) fprintf(stderr, "  no \"%s\" in \"%s\"\n", table[i].has[j], text);
    }
}

TEST(a_sentence_is_cut_at_every_size)
{
    shardio_error e = make_error(SHARDIO_ERR_CHECKSUM, 123, "read index", "the index does not fit", 4096, "directory/file");
    char full[600], cut[620];
    memset(e.subject, 'n', sizeof e.subject - 1);
    shardio_error_text(&e, full, sizeof full);
    CHECK(strlen(full) > sizeof e.subject);
    CHECK(strlen(full) < sizeof full - 1);
    for (size_t size = 0; size < sizeof full; size++) {
        memset(cut, '#', sizeof cut);
        CHECK(shardio_error_text(&e, cut, size) == cut);
        for (size_t i = size; i < sizeof cut; i++)
            if (!CHECK(cut[i] == '#')) return;
        if (size == 0) continue;
        if (!CHECK(memchr(cut, 0, size) != NULL)) return;
        CHECK_U64(strlen(cut), size - 1 < strlen(full) ? size - 1 : strlen(full));
        CHECK_BYTES(cut, full, strlen(cut));
    }
}

/* Names of all lengths around the space for them, and one that is much longer. */
TEST(a_long_subject_keeps_its_end)
{
    static char name[5000];
    const size_t lengths[] = {0, 1, 221, 222, 223, 224, 225, 226, 300, 4990};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        shardio_memory memory;
        shardio_error error;
        shardio_file file;
        uint8_t byte;
        size_t length = lengths[i], n, space = sizeof error.subject - 1;
        memset(&memory, 0, sizeof memory);
        memset(&error, 0xEE, sizeof error);
        for (size_t j = 0; j < length; j++) name[j] = (char)('a' + j % 23);
        name[length] = 0;
        file = shardio_memory_file(&memory, name);
        CHECK_STATUS(shardio_file_read(&file, 10, &byte, 1, &error), SHARDIO_ERR_TRUNCATED);
        CHECK_STATUS(error.status, SHARDIO_ERR_TRUNCATED);
        CHECK(error.operation != NULL && *error.operation);
        if (!CHECK(memchr(error.subject, 0, sizeof error.subject) != NULL)) continue;
        n = strlen(error.subject);
        if (length <= space) {
            CHECK_TEXT(error.subject, name);
        } else {   /* "..." or nothing before the end */
            CHECK(n + 8 >= space);
            CHECK_TEXT(error.subject + n - 200, name + length - 200);
        }
        shardio_memory_free(&memory);
    }
}

TEST(system_errors_reach_the_record)
{
    shardio_error error;
    shardio_file file;
    char text[300];
    memset(&error, 0, sizeof error);
    CHECK_STATUS(shardio_file_open(&file, "/no/such/place/for-a-file", SHARDIO_OPEN_READ, NULL, &error), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(error.status, SHARDIO_ERR_NOT_FOUND);
    CHECK(error.system_code != 0);
    CHECK(strstr(error.subject, "for-a-file") != NULL);
    CHECK(strstr(shardio_error_text(&error, text, sizeof text), "/no/such/place/for-a-file") != NULL);
    CHECK_STATUS(shardio_file_open(&file, "/no/such/place/for-a-file", SHARDIO_OPEN_READ, NULL, NULL), SHARDIO_ERR_NOT_FOUND);
}

TEST(no_error_record)
{
    char text[40];
    CHECK_TEXT(shardio_error_text(NULL, text, sizeof text), "no error record");
    CHECK(shardio_error_text(NULL, text, 5) == text && strcmp(text, "no e") == 0);
}

TEST(the_version_of_the_implementation)
{
    char text[40];
    int version = shardio_version();
    CHECK_U64(version, SHARDIO_VERSION_NUMBER);
    snprintf(text, sizeof text, "%d.%d.%d", version / 10000, version / 100 % 100, version % 100);
    CHECK_TEXT(text, SHARDIO_VERSION_STRING);
}

TEST_MAIN(TEST_CASE(every_status_has_text_and_name) TEST_CASE(no_error_record) TEST_CASE(the_version_of_the_implementation)
          TEST_CASE(a_number_that_is_no_status_has_some_text)
          TEST_CASE(the_sentence_holds_what_is_known)
          TEST_CASE(a_sentence_is_cut_at_every_size)
          TEST_CASE(a_long_subject_keeps_its_end)
          TEST_CASE(system_errors_reach_the_record))
