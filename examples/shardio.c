/* shardio - the command-line tool: Zarr v3 arrays and groups in and out, in directories and in ZIP archives, inspected,
   changed, verified, recovered; packfiles; mirrors of what lies on servers.
   SPDX-License-Identifier: MIT OR Unlicense

   shardio help lists the commands, shardio help import the options of one. Exit status: 0 all is well, 1 trouble with
   data or I/O, or damage found, 2 a wrong command line; with 1 and 2 there is one line on standard error. Results go to
   standard output, with --json as exactly one object. Nothing that exists is replaced without --force; rm, recover,
   rollback and compact only say what they would do until --yes or --apply. A name that ends in .zip or .ozx is that of
   an archive: each command that changes it adds one layer, or nothing at all if it fails.

   CONTENTS, each found by its tag

       system options commands messages progress elements json          what everything uses
       remote home                                                      where it lies
       source npy texts codecs import fortran                           elements come in
       sink open region export                                          and go out
       pack                                                             items into a packfile and out of it
       listing nodes ls archive info stats verify layout mirror         what there is
       recover compact changes layers write                             and how it is changed
       main */

#define SHARDIO_IMPLEMENTATION
#include "shardio.h"
#if SHARDIO_HTTP              /* with -lcurl: URLs */
#include "http_source.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#ifdef _WIN32
#include <io.h>
#include <shellapi.h>
#ifdef _MSC_VER
#pragma comment(lib, "shell32")
#endif
#else
#include <poll.h>
#include <unistd.h>
#endif

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define UNKNOWN UINT64_MAX              /* a size or a number of frames that is not known */

#if defined(__MINGW_PRINTF_FORMAT)      /* msvcrt's or, in C99, its own */
#define LIKE_PRINTF(format_at, first) __attribute__((format(__MINGW_PRINTF_FORMAT, format_at, first)))
#elif defined(__GNUC__)
#define LIKE_PRINTF(format_at, first) __attribute__((format(printf, format_at, first)))
#else
#define LIKE_PRINTF(format_at, first)
#endif

enum { EXIT_GOOD = 0, EXIT_TROUBLE = 1, EXIT_USAGE = 2 };

/* >>system ---------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;      /* the only global: set by Ctrl-C */

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* The first Ctrl-C asks for a clean end, a second one kills. A file that becomes too large is an error like a full
   disk, after which an archive is put back as it was: no reason to die. */
static void watch_signals(void)
{
#ifdef _WIN32
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
#else
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;       /* no SA_RESTART: a read that waits for input has to return */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGXFSZ, SIG_IGN);
#endif
}

static bool is_terminal(FILE *file)
{
#ifdef _WIN32
    return _isatty(_fileno(file)) != 0;
#else
    return isatty(fileno(file)) != 0;
#endif
}

/* Standard input and output carry bytes, where the system tells them from text. */
static void make_binary(FILE *file)
{
#ifdef _WIN32
    _setmode(_fileno(file), _O_BINARY);
#else
    (void)file;
#endif
}

#ifdef _WIN32
enum { PATH_UNITS = 4096 };

/* What is UTF-8 everywhere here, in UTF-16 for calls of Windows. What is none becomes empty, which is no file's name. */
static const wchar_t *wide(const char *path, wchar_t *room)
{
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, room, PATH_UNITS) <= 0) room[0] = 0;
    return room;
}

static char *narrow(const wchar_t *text)
{
    const int size = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *made = size > 0 ? (char *)malloc((size_t)size) : NULL;
    if (made != NULL) WideCharToMultiByte(CP_UTF8, 0, text, -1, made, size, NULL, NULL);
    return made;
}
#endif

/* The arguments of the program in UTF-8, kept until it ends; main's own are in the code page of the machine on Windows,
   which has few of all letters. Null: no memory. */
static char **utf8_arguments(int *count, char **arguments)
{
#ifdef _WIN32
    wchar_t **all = CommandLineToArgvW(GetCommandLineW(), count);
    arguments = all != NULL ? (char **)calloc((size_t)*count + 1, sizeof *arguments) : NULL;
    for (int i = 0; arguments != NULL && i < *count; i++)
        if ((arguments[i] = narrow(all[i])) == NULL) return NULL;
    LocalFree(all);
#else
    (void)count;
#endif
    return arguments;
}

/* Input files by descriptor, because a pipe is to hand over what it has, not wait until a block is full. */
static int open_file(const char *path)
{
#ifdef _WIN32
    wchar_t room[PATH_UNITS];
    return _wopen(wide(path, room), _O_RDONLY | _O_BINARY);
#else
    return open(path, O_RDONLY | O_CLOEXEC);
#endif
}

static void close_file(int file)
{
#ifdef _WIN32
    _close(file);
#else
    close(file);
#endif
}

static bool seek_to(int file, uint64_t offset)
{
#ifdef _WIN32
    return _lseeki64(file, (int64_t)offset, SEEK_SET) >= 0;
#else
    return lseek(file, (off_t)offset, SEEK_SET) >= 0;
#endif
}

/* At most `size` bytes, none at the end of the file; -1: errno says why not. */
static int64_t read_file(int file, void *memory, size_t size)
{
    const size_t most = (size_t)1 << 30;       /* what every system takes in one call */
#ifdef _WIN32
    return _read(file, memory, (unsigned)(size < most ? size : most));
#else
    return read(file, memory, size < most ? size : most);
#endif
}

/* Gives a file another name that nothing has yet. False: errno says why not. */
static bool rename_new(const char *from, const char *to)
{
#ifdef _WIN32
    wchar_t room[PATH_UNITS], other[PATH_UNITS];
    return _wrename(wide(from, room), wide(to, other)) == 0;     /* does not replace there */
#else
    return link(from, to) == 0 && unlink(from) == 0;
#endif
}

/* Whether bytes lie ready in a pipe. */
static bool holds_more(int file)
{
#ifdef _WIN32
    (void)file;
    return false;
#else
    struct pollfd wanted = {file, POLLIN, 0};
    char byte;
    struct stat facts;
    return fstat(file, &facts) == 0 && S_ISFIFO(facts.st_mode) && poll(&wanted, 1, 0) == 1 &&
           (wanted.revents & POLLIN) != 0 && read(file, &byte, 1) == 1;
#endif
}

/* Seconds since some moment, for differences. */
static double now(void)
{
#ifdef _WIN32
    return (double)GetTickCount64() / 1e3;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
#endif
}

/* Size of an open file; UNKNOWN if it is a pipe, a device, a directory. */
static uint64_t size_of_file(int file)
{
#ifdef _WIN32
    struct _stat64 facts;
    bool regular = _fstat64(file, &facts) == 0 && (facts.st_mode & _S_IFREG) != 0;
#else
    struct stat facts;
    bool regular = fstat(file, &facts) == 0 && S_ISREG(facts.st_mode);
#endif
    return regular ? (uint64_t)facts.st_size : UNKNOWN;
}

/* A file that is opened shall not become standard output because that was closed: what is printed would go into it. Reading
   from or writing to what was closed fails. */
static void keep_standard_descriptors(void)
{
#ifndef _WIN32
    static const int useless[3] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) < 0 && errno == EBADF && open("/dev/null", useless[i]) != i) exit(EXIT_TROUBLE);
#endif
}

static bool is_regular_file(const char *path)
{
#ifdef _WIN32
    wchar_t room[PATH_UNITS];
    struct _stat64 facts;
    return _wstat64(wide(path, room), &facts) == 0 && (facts.st_mode & _S_IFREG) != 0;
#else
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
#endif
}

/* Whether two names are those of one file. Windows does not number files: there it is the names that count. */
static bool is_same_file(const char *path, const char *other)
{
#ifdef _WIN32
    return strcmp(path, other) == 0;
#else
    struct stat one, two;
    return stat(path, &one) == 0 && stat(other, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
#endif
}

/* Memory for large transfers, aligned so that unbuffered I/O can take it as it is. free() what *whole says. */
static uint8_t *aligned_memory(size_t size, void **whole)
{
    const size_t alignment = 4096;
    *whole = size < SIZE_MAX - alignment ? malloc(size + alignment) : NULL;
    if (*whole == NULL) return NULL;
    return (uint8_t *)*whole + (alignment - (uintptr_t)*whole % alignment) % alignment;
}

/* >>options --------------------------------------------------------------------------------------------------- */

typedef struct extents {
    uint32_t count;
    uint64_t of[SHARDIO_MAX_DIMS];
} extents;

/* What lies behind a URL: a mirror of each object, in a directory below the one that --mirror names. Or behind INPUT,
   if that is an archive in a mirror. */
typedef struct remote {
    shardio_mirror *local;                 /* under the archive; null: there is none */
    char *name;                            /* owned: the URL without its query, which may be a secret */
    char *place;                           /* owned: where its mirror is, a file or a directory of one for each key */
    char *directory;                       /* owned: of the mirrors */
    const char *key;                       /* of the file in it, which is an archive; null: a hierarchy */
    shardio_mirror_store mirrors;
#if SHARDIO_HTTP
    shardio_http http;
#endif
} remote;

/* What the command line said. Words out of a list are numbered from 1; 0: not given. */
typedef struct settings {
    const char *command;
    remote *remote;                        /* of INPUT, if that is a URL or in a mirror */
    const char *input, *output;            /* the first two arguments, whatever they are called */
    char **more;                           /* those behind the first */
    int more_count;
    extents shape, chunks, shards, subchunks;
    const char *dtype, *fill, *names, *attributes, *path, *sync, *region, *svg, *codec, *outer_codec, *transpose,
               *range, *items, *app_data, *comment, *ozx, *mirror;
    uint64_t buffer, memory, checkpoint, shard_chunks, items_per_record, format_number, alignment, layer, chunk, gap,
             budget, read_ahead;
    int direct, overlap, index, index_endian, format;
    bool skip_fill, append, force, quiet, json, no_checksum, all, help, chunk_crc, consolidated, remove, yes, apply,
         remove_temporary, remove_outside, keep_edge, content_hash, lines, search, statistics, make, fill_is_value,
         start_over, check_later;
} settings;

enum {
    INDEX_START = 2, ENDIAN_BIG = 2, DIRECT_ON = 2, DIRECT_OFF = 3,
    FORMAT_JSON = 1, FORMAT_RAW = 2, FORMAT_NPY = 3, FORMAT_LINES = 2      /* the last one of texts that are read */
};

typedef enum option_kind {
    OPTION_FLAG,       /* bool */
    OPTION_TEXT,       /* const char * */
    OPTION_COUNT,      /* uint64_t, at least 1 */
    OPTION_U32,        /* uint64_t, from 0 to 2^32-1 */
    OPTION_SIZE,       /* uint64_t, at least 1; 64K, 8M, 1G */
    OPTION_WORD,       /* int: which of the words a|b|c that `value` lists */
    OPTION_EXTENTS     /* extents: 16,256,256 */
} option_kind;

typedef struct option {
    const char *name, *value, *help;
    option_kind kind;
    size_t where;      /* in settings */
} option;

/* What the command line can be: the words of a command, how many arguments follow, its options. */
typedef struct command {
    const char *name, *arguments, *help;
    int least, most;   /* arguments */
    int (*run)(const settings *s);
    const option *options;
    size_t count;
} command;

/* >>commands -------------------------------------------------------------------------------------------------- */

static int run_import(const settings *s);
static int run_create(const settings *s);
static int run_write(const settings *s);
static int run_resize(const settings *s);
static int run_export(const settings *s);
static int run_ls(const settings *s);
static int run_info(const settings *s);
static int run_stats(const settings *s);
static int run_verify(const settings *s);
static int run_layout(const settings *s);
static int run_attrs(const settings *s);
static int run_group_create(const settings *s);
static int run_consolidate(const settings *s);
static int run_rm(const settings *s);
static int run_mv(const settings *s);
static int run_layers(const settings *s);
static int run_rollback(const settings *s);
static int run_recover(const settings *s);
static int run_compact(const settings *s);
static int run_pack_create(const settings *s);
static int run_pack_cat(const settings *s);
static int run_pack_info(const settings *s);
static int run_pack_verify(const settings *s);
static int run_mirror_read(const settings *s);
static int run_mirror_fill(const settings *s);
static int run_mirror_info(const settings *s);
static int run_mirror_evict(const settings *s);

#define AT(member) offsetof(settings, member)

#define OPTION_PATH {"--path", "NAME", "the node NAME inside it: raw/movie", OPTION_TEXT, AT(path)}
#define OPTION_FORCE {"--force", NULL, "replace what exists", OPTION_FLAG, AT(force)}
#define OPTION_QUIET {"--quiet", NULL, "no progress bar, no summary", OPTION_FLAG, AT(quiet)}
#define OPTION_JSON {"--json", NULL, "the result as one JSON object", OPTION_FLAG, AT(json)}
#define OPTION_HELP {"--help", NULL, "this text", OPTION_FLAG, AT(help)}
#define OPTION_APPLY {"--apply", NULL, "do it; without, it is only said what would be done", OPTION_FLAG, AT(apply)}
#define OPTION_LAYER {"--layer", "K", "of an archive: as it was at layer K", OPTION_COUNT, AT(layer)}
#define OPTIONS_OF_A_URL                                                                                         \
    {"--mirror", "DIR", "of a URL: keep below DIR what is fetched; what is there is not asked for again",        \
     OPTION_TEXT, AT(mirror)},                                                                                   \
    {"--start-over", NULL, "of a URL: ask the server again; what has changed there is fetched anew",             \
     OPTION_FLAG, AT(start_over)}
#define OPTIONS_OF_AN_ARCHIVE                                                                                    \
    {"--alignment", "BYTES", "of an archive: where values begin, a multiple of this power of two", OPTION_SIZE,  \
     AT(alignment)},                                                                                             \
    {"--comment", "TEXT", "of an archive: its comment", OPTION_TEXT, AT(comment)},                               \
    {"--ozx", "VERSION", "of an archive: the comment of an OME-NGFF .ozx (RFC 9) of this version: 0.5",          \
     OPTION_TEXT, AT(ozx)}
#define OPTION_DIRECT {"--direct", "auto|on|off", "unbuffered I/O; auto: where the system takes it", OPTION_WORD, AT(direct)}
#define OPTION_OVERLAP                                                                                           \
    {"--overlap", "auto|on|off", "go on while writes are under way; auto: unbuffered ones of large files",       \
     OPTION_WORD, AT(overlap)}
#define OPTION_STATISTICS {"--statistics", NULL, "keep statistics: shardio stats", OPTION_FLAG, AT(statistics)}
#define OPTION_REGION                                                                                            \
    {"--region", "0:16,:,5", "a part of each dimension: begin:end, one index, or all", OPTION_TEXT, AT(region)}
#define OPTION_SYNC                                                                                              \
    {"--sync", "none|finish|BYTES", "durable never, at the end (default), or after every so many bytes as well", \
     OPTION_TEXT, AT(sync)}
#define OPTION_CODEC_OF_RECORDS                                                                                  \
    {"--codec", "NAME", "of records: zstd, gzip, blosc, lz4 or crc32c; none: they are not encoded", OPTION_TEXT, \
     AT(codec)}
#define OPTION_TEXT_FORMAT                                                                                       \
    {"--format", "json|lines", "of input of the types string and bytes; json: nested lists, bytes as Base64",    \
     OPTION_WORD, AT(format)}
#define OPTIONS_OF_A_SHARD_FILE                                                                                 \
    {"--chunks", "N", "it is a single shard file of N chunks", OPTION_COUNT, AT(shard_chunks)},                 \
    {"--index", "end|start", "where its index lies; default end", OPTION_WORD, AT(index)},                      \
    {"--index-endian", "little|big", "byte order of its index; default little", OPTION_WORD, AT(index_endian)}, \
    {"--no-checksum", NULL, "its index has no checksum", OPTION_FLAG, AT(no_checksum)}
#define OPTIONS_OF_A_NEW_ARRAY                                                                                   \
    {"--chunks", "16,256,256", "elements of a chunk; default: about 1 MiB", OPTION_EXTENTS, AT(chunks)},         \
    {"--shards", "64,1024,1024", "elements of a shard file; default: one file a chunk if --chunks is given,\n"   \
                                 "otherwise about 1 GiB", OPTION_EXTENTS, AT(shards)},                           \
    {"--subchunks", "4,64,64", "elements of the chunks inside each chunk, which is a shard within the shard",    \
     OPTION_EXTENTS, AT(subchunks)},                                                                             \
    {"--index", "end|start", "where the index of a shard lies; default end", OPTION_WORD, AT(index)},            \
    {"--codec", "NAME,...", "of chunks: zstd:3, gzip:6, blosc:lz4:5:shuffle, lz4:1 (with their defaults), crc32c\n" \
                            "or none", OPTION_TEXT, AT(codec)},                                                  \
    {"--chunk-crc", NULL, "a CRC32C behind each chunk: crc32c as the last codec", OPTION_FLAG, AT(chunk_crc)},   \
    {"--outer-codec", "NAME,...", "around whole shards, which are then read and written as a whole",             \
     OPTION_TEXT, AT(outer_codec)},                                                                              \
    {"--transpose", "2,0,1|reverse", "order of the dimensions inside a chunk", OPTION_TEXT, AT(transpose)},      \
    {"--fill", "V", "fill value (0): a number, NaN, -Infinity, true; RE,IM; hex digits of raw bytes; text",      \
     OPTION_TEXT, AT(fill)},                                                                                     \
    {"--names", "t,y,x", "names of the dimensions; an empty one is null", OPTION_TEXT, AT(names)},               \
    {"--attrs", "FILE.json", "attributes: a JSON object", OPTION_TEXT, AT(attributes)}
#define OPTION_NEW_PATH                                                                                          \
    {"--path", "NAME", "the array NAME inside the group; missing groups are created", OPTION_TEXT, AT(path)}

/* What --append does not go with. */
static const option new_array_options[] = {OPTIONS_OF_A_NEW_ARRAY, OPTION_FORCE};

static const option import_options[] = {
    {"--shape", "0,1024,1024", "of raw input; a first 0: until the input ends", OPTION_EXTENTS, AT(shape)},
    {"--dtype", "TYPE", "of raw input (little-endian): uint16, float32, r24 (3 bytes), ...; string and bytes:\n"
                        "lines of text, or INPUT.json", OPTION_TEXT, AT(dtype)},
    OPTION_TEXT_FORMAT, OPTIONS_OF_A_NEW_ARRAY, OPTION_NEW_PATH,
    OPTION_DIRECT, OPTION_OVERLAP,
    OPTION_SYNC,
    {"--buffer", "BYTES", "staging buffer (4M; K, M and G are powers of 1024)", OPTION_SIZE, AT(buffer)},
    {"--memory", "BYTES", "for gathering rows of chunks, and for transposing Fortran order (256M)",
     OPTION_SIZE, AT(memory)},
    {"--checkpoint", "FRAMES", "make the array readable every so many frames; in an archive each is a layer",
     OPTION_COUNT, AT(checkpoint)},
    {"--skip-fill", NULL, "leave out chunks of nothing but the fill value", OPTION_FLAG, AT(skip_fill)},
    {"--append", NULL, "go on with an array that exists", OPTION_FLAG, AT(append)},
    OPTION_STATISTICS, OPTIONS_OF_AN_ARCHIVE, OPTION_FORCE, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option export_options[] = {
    OPTION_REGION,
    {"--format", "json|raw|npy", "json: nested lists, bytes as Base64; raw: C order, little-endian. Default: by the\n"
                                 "end of OUTPUT; otherwise raw, json for string and bytes", OPTION_WORD, AT(format)},
    {"--direct", "auto|on|off", "unbuffered I/O; auto: where the system takes it, and reading whole arrays only",
     OPTION_WORD, AT(direct)},
    {"--memory", "BYTES", "for the elements read at once (64M)", OPTION_SIZE, AT(memory)},
    OPTIONS_OF_A_URL, OPTION_LAYER, OPTION_PATH, OPTION_FORCE, OPTION_QUIET, OPTION_HELP
};

static const option create_options[] = {
    {"--shape", "100,1024,1024", "elements along each dimension", OPTION_EXTENTS, AT(shape)},
    {"--dtype", "TYPE", "uint16, float32, r24 (3 bytes), string, bytes, ...", OPTION_TEXT, AT(dtype)},
    OPTIONS_OF_A_NEW_ARRAY, OPTION_NEW_PATH, OPTIONS_OF_AN_ARCHIVE, OPTION_FORCE, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option write_options[] = {
    OPTION_REGION, OPTION_TEXT_FORMAT,
    OPTION_DIRECT,
    {"--memory", "BYTES", "for the elements written at once (64M); Fortran order has to fit", OPTION_SIZE, AT(memory)},
    {"--skip-fill", NULL, "leave out chunks of nothing but the fill value", OPTION_FLAG, AT(skip_fill)},
    OPTION_STATISTICS, OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option resize_options[] = {
    {"--keep-edge", NULL, "keep what chunks at the edge hold outside the new shape", OPTION_FLAG, AT(keep_edge)},
    OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option ls_options[] = {
    {"--consolidated", NULL, "trust consolidated metadata, if there is some", OPTION_FLAG, AT(consolidated)},
    OPTIONS_OF_A_URL, OPTION_LAYER, OPTION_PATH, OPTION_JSON, OPTION_HELP
};

static const option info_options[] = {
    OPTIONS_OF_A_SHARD_FILE, OPTIONS_OF_A_URL, OPTION_LAYER, OPTION_PATH, OPTION_JSON, OPTION_HELP
};

static const option stats_options[] = {
    {"--make", NULL, "make them, by reading what was changed since they were made", OPTION_FLAG, AT(make)},
    {"--fill-is-value", NULL, "elements that are written and equal to the fill value are no nulls", OPTION_FLAG,
     AT(fill_is_value)},
    OPTIONS_OF_A_URL, OPTION_LAYER, OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option verify_options[] = {
    OPTIONS_OF_A_SHARD_FILE, OPTIONS_OF_A_URL, OPTION_LAYER, OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option layout_options[] = {
    {"--svg", "FILE", "draw into FILE (-: standard output)", OPTION_TEXT, AT(svg)},
    {"--all", NULL, "all shard files of the array, all layers of the archive, not only 16", OPTION_FLAG, AT(all)},
    OPTIONS_OF_A_SHARD_FILE, OPTION_LAYER, OPTION_PATH, OPTION_FORCE, OPTION_HELP
};

static const option attrs_options[] = {OPTIONS_OF_A_URL, OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP};

static const option group_create_options[] = {
    OPTIONS_OF_AN_ARCHIVE, OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option consolidate_options[] = {
    {"--remove", NULL, "take consolidated metadata out", OPTION_FLAG, AT(remove)},
    OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option rm_options[] = {
    {"--yes", NULL, "do it; without, it is only said what would be removed", OPTION_FLAG, AT(yes)},
    OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option mv_options[] = {OPTION_QUIET, OPTION_JSON, OPTION_HELP};

static const option layers_options[] = {
    {"--search", NULL, "also those that another program has cut off from the newer ones", OPTION_FLAG, AT(search)},
    OPTION_JSON, OPTION_HELP
};

static const option rollback_options[] = {OPTION_APPLY, OPTION_QUIET, OPTION_JSON, OPTION_HELP};

static const option recover_options[] = {
    OPTION_APPLY,
    {"--remove-temporary", NULL, "remove what lost writers left behind and is of no use", OPTION_FLAG,
     AT(remove_temporary)},
    {"--remove-outside", NULL, "remove shards outside the shape, which a lost writer published (and one at work will miss)",
     OPTION_FLAG, AT(remove_outside)},
    {"--all", NULL, "name the shards that are complete, too", OPTION_FLAG, AT(all)},
    OPTIONS_OF_A_SHARD_FILE, OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option compact_options[] = {
    OPTION_APPLY,
    {"--all", NULL, "name the shards without dead bytes, too", OPTION_FLAG, AT(all)},
    OPTIONS_OF_A_SHARD_FILE, OPTIONS_OF_AN_ARCHIVE, OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option pack_create_options[] = {
    {"--items-per-record", "N", "items that are stored, and encoded, together (128)", OPTION_COUNT,
     AT(items_per_record)},
    {"--format", "N", "a number of yours, kept in the file (0)", OPTION_U32, AT(format_number)},
    {"--codec", "NAME", "of records: zstd:3, gzip:6, blosc:lz4:5, lz4:1 (with their defaults), crc32c or none\n"
                        "(default); the file does not say which", OPTION_TEXT, AT(codec)},
    {"--content-hash", NULL, "keep a SHA-256 of all items", OPTION_FLAG, AT(content_hash)},
    {"--app-data", "FILE", "bytes of yours, kept behind the items", OPTION_TEXT, AT(app_data)},
    {"--lines", NULL, "each line of text is an item, without its end", OPTION_FLAG, AT(lines)},
    OPTION_DIRECT, OPTION_OVERLAP,
    OPTION_SYNC, OPTION_FORCE, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option pack_cat_options[] = {
    {"--range", "A:B", "items A to B-1; one number, A: and :B as well", OPTION_TEXT, AT(range)},
    {"--items", "3,17,90", "these, ascending", OPTION_TEXT, AT(items)},
    {"--lines", NULL, "items as lines of text", OPTION_FLAG, AT(lines)},
    {"--app-data", "FILE", "write what was kept behind the items into FILE", OPTION_TEXT, AT(app_data)},
    OPTION_CODEC_OF_RECORDS, OPTION_FORCE, OPTION_QUIET, OPTION_HELP
};

static const option pack_info_options[] = {OPTION_JSON, OPTION_HELP};

static const option pack_verify_options[] = {OPTION_CODEC_OF_RECORDS, OPTION_QUIET, OPTION_JSON, OPTION_HELP};

#define OPTIONS_OF_A_MIRROR                                                                                      \
    {"--chunk", "BYTES", "what is fetched and noted as one: a power of two, 512 to 64M (64K)", OPTION_SIZE,      \
     AT(chunk)},                                                                                                 \
    {"--gap", "BYTES", "fetch up to so many bytes again that are there, if one request then does for two",       \
     OPTION_SIZE, AT(gap)},                                                                                      \
    {"--start-over", NULL, "empty a mirror of something else (length, tag, chunk); without, it is refused",      \
     OPTION_FLAG, AT(start_over)}

static const option mirror_read_options[] = {
    {"--range", "A:B", "bytes A to B-1; one number, A: and :B as well", OPTION_TEXT, AT(range)},
    {"--read-ahead", "BYTES", "fetch so much behind the range as well", OPTION_SIZE, AT(read_ahead)},
    {"--check-later", NULL, "ask the source only if something is missing", OPTION_FLAG, AT(check_later)},
    OPTIONS_OF_A_MIRROR, OPTION_QUIET, OPTION_HELP
};

static const option mirror_fill_options[] = {OPTIONS_OF_A_MIRROR, OPTION_QUIET, OPTION_JSON, OPTION_HELP};

static const option mirror_info_options[] = {OPTION_JSON, OPTION_HELP};

static const option mirror_evict_options[] = {
    {"--range", "A:B", "the chunks that lie wholly in bytes A to B-1; A:, :B and : as well", OPTION_TEXT, AT(range)},
    {"--budget", "BYTES", "chunks until no more bytes than these are there", OPTION_SIZE, AT(budget)},
    OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

#define OPTIONS_OF(name) run_##name, name##_options, sizeof name##_options / sizeof name##_options[0]

static const command commands[] = {
    {"import", "INPUT STORE", "writes a .npy file, a raw file, text or standard input (-) as a Zarr v3 array", 2, 2,
     OPTIONS_OF(import)},
    {"export", "STORE OUTPUT", "writes an array or a region as .npy, raw bytes or JSON (-: standard output)", 2, 2,
     OPTIONS_OF(export)},
    {"create", "STORE", "creates an array of nothing but the fill value", 1, 1, OPTIONS_OF(create)},
    {"write", "INPUT STORE", "writes a .npy file, a raw file, text or standard input (-) over a region", 2, 2,
     OPTIONS_OF(write)},
    {"resize", "STORE SHAPE", "gives an array another shape: 200,1024,1024", 2, 2, OPTIONS_OF(resize)},
    {"ls", "STORE [PATH]", "lists groups and arrays, one a line", 1, 2, OPTIONS_OF(ls)},
    {"info", "STORE", "says what a group, array, archive, shard file, packfile or mirror is and takes", 1, 1,
     OPTIONS_OF(info)},
    {"stats", "STORE [PATH]", "says smallest and largest element of an array, and how many are null", 1, 2,
     OPTIONS_OF(stats)},
    {"layout", "STORE", "draws what lies where in shard files and in an archive, and what of a mirror is there", 1, 1,
     OPTIONS_OF(layout)},
    {"verify", "STORE", "looks for damage in all there is; exit status 0: sound, 1: damaged", 1, 1, OPTIONS_OF(verify)},
    {"recover", "STORE", "mends shards or an archive that a lost writer left torn; first says what it would do", 1, 1,
     OPTIONS_OF(recover)},
    {"compact", "STORE", "rewrites shards, or an archive, without dead bytes; first says what it would save", 1, 1,
     OPTIONS_OF(compact)},
    {"attrs", "STORE [NAME | NAME=VALUE ...]", "prints the attributes, or one of all arrays, or sets some (JSON or "
     "text; none removes)", 1, INT_MAX, OPTIONS_OF(attrs)},
    {"group create", "STORE [ATTRIBUTES]", "creates a group, with a JSON object of attributes", 1, 2,
     OPTIONS_OF(group_create)},
    {"consolidate", "STORE", "writes the metadata of all nodes below into that of the group", 1, 1,
     OPTIONS_OF(consolidate)},
    {"rm", "STORE [PATH]", "removes a group or an array; first says what it would remove", 1, 2, OPTIONS_OF(rm)},
    {"mv", "STORE OLD NEW", "gives a group or an array another name", 3, 3, OPTIONS_OF(mv)},
    {"layers", "STORE", "lists the layers of an archive, the newest first", 1, 1, OPTIONS_OF(layers)},
    {"rollback", "STORE LAYER", "makes a layer of an archive the newest one; first says what it would cut off", 2, 2,
     OPTIONS_OF(rollback)},
    {"pack create", "OUTPUT", "writes items of standard input (u32 little-endian length, bytes) into a packfile", 1, 1,
     OPTIONS_OF(pack_create)},
    {"pack cat", "INPUT", "writes the items of a packfile to standard output, in the same form", 1, 1,
     OPTIONS_OF(pack_cat)},
    {"pack info", "INPUT", "says what a packfile is and takes", 1, 1, OPTIONS_OF(pack_info)},
    {"pack verify", "INPUT", "looks for damage in a packfile; exit status 0: sound, 1: damaged", 1, 1,
     OPTIONS_OF(pack_verify)},
    {"mirror read", "SOURCE LOCAL", "writes a range of a file or URL to standard output, and keeps it in LOCAL", 2, 2,
     OPTIONS_OF(mirror_read)},
    {"mirror fill", "SOURCE LOCAL", "fetches all of a file or URL that LOCAL has not yet; Ctrl-C keeps what is there",
     2, 2, OPTIONS_OF(mirror_fill)},
    {"mirror info", "LOCAL [SOURCE]", "says what of its source a mirror has; with SOURCE, whether that is the same",
     1, 2, OPTIONS_OF(mirror_info)},
    {"mirror evict", "LOCAL", "gives the room of a part of a mirror back; it is fetched again when it is read", 1, 1,
     OPTIONS_OF(mirror_evict)}
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

/* >>messages -------------------------------------------------------------------------------------------------- */

/* Names come from files: what would end a line or steer a terminal becomes a question mark. */
static void clean(char *line)
{
    for (char *c = line; *c != 0; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
}

/* Bytes of the character at `c`, of which `left` are there; 0: they are no UTF-8 (RFC 3629). */
static size_t utf8_size(const uint8_t *c, size_t left)
{
    const uint8_t low = *c == 0xE0 ? 0xA0 : *c == 0xF0 ? 0x90 : 0x80;      /* of the second byte */
    const uint8_t high = *c == 0xED ? 0x9F : *c == 0xF4 ? 0x8F : 0xBF;
    const size_t size = *c < 0x80 ? 1 : *c < 0xC2 ? 0 : *c < 0xE0 ? 2 : *c < 0xF0 ? 3 : *c < 0xF5 ? 4 : 0;
    if (size > left || (size > 1 && (c[1] < low || c[1] > high))) return 0;
    for (size_t i = 2; i < size; i++)
        if ((c[i] & 0xC0) != 0x80) return 0;
    return size;
}

static bool is_utf8(const char *text, size_t size)
{
    size_t n = 1;
    for (size_t at = 0; at < size && n > 0; at += n) n = utf8_size((const uint8_t *)text + at, size - at);
    return n > 0;
}

/* Names and comments are bytes of any kind, JSON is UTF-8: what is none becomes question marks. */
static void clean_json(char *text)
{
    for (size_t size = strlen(text), n; size > 0; text += n, size -= n)
        if ((n = utf8_size((const uint8_t *)text, size)) == 0) {
            *text = '?';
            n = 1;
        }
}

/* One line on standard output. */
LIKE_PRINTF(1, 2)
static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *line = size >= 0 ? (char *)malloc((size_t)size + 1) : NULL;
    if (line == NULL) return;
    va_start(arguments, format);
    vsnprintf(line, (size_t)size + 1, format, arguments);
    va_end(arguments);
    clean(line);
    puts(line);
    free(line);
}

/* One line on standard error. Returns `status`. */
LIKE_PRINTF(3, 4)
static int complain(const settings *s, int status, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    clean(line);
    fflush(stdout);                            /* so that the lines come in order where both go to one place */
    if (s->command != NULL) fprintf(stderr, "shardio: %s: %s\n", s->command, line);
    else fprintf(stderr, "shardio: %s\n", line);
    return status;
}

static int out_of_memory(const settings *s)
{
    return complain(s, EXIT_TROUBLE, "out of memory");
}

/* Which of the words in "a|b|c", from 1; 0: none. */
static int find_word(const char *words, const char *text)
{
    size_t length = strlen(text);
    for (int number = 1;; number++) {
        size_t size = strcspn(words, "|");
        if (size == length && memcmp(words, text, size) == 0) return number;
        if (words[size] == 0) return 0;
        words += size + 1;
    }
}

/* Whether INPUT lies on a server. */
static bool is_remote(const settings *s)
{
    return s->remote != NULL && s->remote->name != NULL;
}

static bool is_word(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

/* What a server or a mirror said, where that is behind an error: an archive and an array know no more than the status.
   Bytes that are not to be had are an error of I/O to them, no key that is not there. */
static shardio_error cause_of(const settings *s, const shardio_error *error)
{
    shardio_error last = *error;
    if (is_remote(s)) last = s->remote->mirrors.last;
    else if (s->remote != NULL && s->remote->local != NULL) last = shardio_mirror_about(s->remote->local).last;
    const bool gone = last.status == SHARDIO_ERR_NOT_FOUND && error->status == SHARDIO_ERR_IO;
    return (gone || last.status == error->status) && last.reason != NULL ? last : *error;
}

/* What to do about an error, where an option helps. */
static const char *advice_on(const settings *s, const shardio_error *error)
{
    const bool makes_a_file = find_word("import|export|create|layout|pack create|pack cat", s->command) != 0;
    const bool mirrors = is_remote(s) || find_word("mirror read|mirror fill", s->command) != 0;
    if (error->status == SHARDIO_ERR_EXISTS && error->reason == NULL && !s->force && makes_a_file)
        return " (--force replaces it)";
    if (error->status == SHARDIO_ERR_DIRECT) return " (--direct auto goes on buffered)";
    if (error->status == SHARDIO_ERR_CHANGED && mirrors && !s->start_over) return " (--start-over fetches it anew)";
    if (is_remote(s) && error->status == SHARDIO_ERR_NOT_FOUND && is_word(error->operation, "open") && !s->start_over)
        return " (--start-over asks again)";
    return "";
}

/* The library's error, with what to do about it. */
static int complain_error(const settings *s, const shardio_error *error)
{
    char text[512];
    const shardio_error cause = cause_of(s, error);
    error = &cause;
    if (error->status == SHARDIO_ERR_CANCELLED) return complain(s, EXIT_TROUBLE, "interrupted");
    return complain(s, error->status == SHARDIO_ERR_ARGUMENT ? EXIT_USAGE : EXIT_TROUBLE, "%s%s",
                    shardio_error_text(error, text, sizeof text), advice_on(s, error));
}

/* What a function of a store said about a key. */
static int complain_key(const settings *s, shardio_status status, const char *operation, const char *key, int code)
{
    shardio_error error;
    memset(&error, 0, sizeof error);
    error.status = status;
    error.system_code = code;
    error.operation = operation;
    error.offset = SHARDIO_NO_OFFSET;
    snprintf(error.subject, sizeof error.subject, "%s", key);
    return complain_error(s, &error);
}

/* Tells `each` of all keys below a prefix; what is not there has none. */
static int list_keys(const settings *s, const shardio_store *store, const char *prefix,
                     bool (*each)(void *context, const char *key, uint64_t size, bool temporary), void *context)
{
    int code = 0;
    const shardio_status status = store->functions->list(store->context, prefix, each, context, &code);
    if (status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND) return EXIT_GOOD;
    return complain_key(s, status, "list", prefix[0] != 0 ? prefix : s->input, code);
}

/* 1536 -> "1.5 KiB" */
static const char *human(uint64_t bytes, char text[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double amount = (double)bytes;
    int unit = 0;
    for (; amount >= 1024 && unit < 6; unit++) amount /= 1024;
    snprintf(text, 32, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
    return text;
}

static char *copy_text(const char *text, size_t size)
{
    char *copy = (char *)malloc(size + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

enum { LIST_TEXT = SHARDIO_MAX_DIMS * 24 };    /* bytes that hold any list of extents */

/* Numbers with `between` (at most " x ") between them, "64 x 512 x 512". */
static const char *list_text(const uint64_t *numbers, uint32_t count, const char *between, char text[LIST_TEXT])
{
    shardio_text out = {text, LIST_TEXT, 0};
    shardio_text_add(&out, "");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) shardio_text_add(&out, between);
        shardio_text_add_uint64(&out, numbers[i]);
    }
    return text;
}

/* ---- options: reading them ---- */

/* Decimal digits at *text; moves on behind them. */
static bool parse_uint64(const char **text, uint64_t *number)
{
    const char *c = *text;
    uint64_t value = 0;
    for (; *c >= '0' && *c <= '9'; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    if (c == *text) return false;
    *text = c;
    *number = value;
    return true;
}

/* 4096, 64K, 8M, 1G, 2T */
static bool parse_size(const char *text, uint64_t *size)
{
    static const char units[] = "KMGT";
    if (!parse_uint64(&text, size) || *size == 0) return false;
    if (*text == 0) return true;
    const char *unit = strchr(units, *text >= 'a' ? *text - 'a' + 'A' : *text);
    if (unit == NULL || text[1] != 0) return false;
    for (const char *u = units; u <= unit; u++) {
        if (*size > UINT64_MAX / 1024) return false;
        *size *= 1024;
    }
    return true;
}

static bool parse_extents(const char *text, extents *list)
{
    for (list->count = 0; list->count < SHARDIO_MAX_DIMS; text++) {
        if (!parse_uint64(&text, &list->of[list->count++])) return false;
        if (*text != ',') return *text == 0;
    }
    return false;
}

static bool set_option(settings *s, const option *o, const char *text)
{
    void *where = (char *)s + o->where;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)where = true; return true;
    case OPTION_TEXT: *(const char **)where = text; return true;
    case OPTION_COUNT: return parse_uint64(&text, (uint64_t *)where) && *text == 0 && *(uint64_t *)where > 0;
    case OPTION_U32: return parse_uint64(&text, (uint64_t *)where) && *text == 0 && *(uint64_t *)where <= UINT32_MAX;
    case OPTION_SIZE: return parse_size(text, (uint64_t *)where);
    case OPTION_WORD: return (*(int *)where = find_word(o->value, text)) != 0;
    case OPTION_EXTENTS: return parse_extents(text, (extents *)where);
    }
    return false;
}

/* The option that `argument` names, as --name or --name=value (*value points behind the =). */
static const option *find_option(const command *c, const char *argument, const char **value)
{
    size_t length = strcspn(argument, "=");
    *value = argument[length] == '=' ? argument + length + 1 : NULL;
    for (size_t i = 0; i < c->count; i++)
        if (strlen(c->options[i].name) == length && memcmp(c->options[i].name, argument, length) == 0)
            return &c->options[i];
    return NULL;
}

/* What the value of an option has to look like. */
static const char *form_of(const option *o)
{
    return o->kind == OPTION_SIZE ? "a size such as 4096, 64K, 8M or 1G" : o->kind == OPTION_COUNT ? "a number from 1"
         : o->kind == OPTION_U32 ? "a number from 0 to 4294967295" : o->value;
}

/* Takes the option at arguments[*at], with its value; moves *at on to the last argument used. */
static int take_option(const command *c, settings *s, int count, char **arguments, int *at)
{
    const char *argument = arguments[*at], *value;
    const option *o = find_option(c, strcmp(argument, "-h") == 0 ? "--help" : argument, &value);
    if (o == NULL)
        return complain(s, EXIT_USAGE, "unknown option %s (shardio %s --help lists them)", argument, c->name);
    if (o->kind == OPTION_FLAG && value != NULL)
        return complain(s, EXIT_USAGE, "%s takes no value", o->name);
    if (o->kind != OPTION_FLAG && value == NULL) {
        if (*at + 1 >= count) return complain(s, EXIT_USAGE, "%s wants a value: %s", o->name, form_of(o));
        value = arguments[++*at];
    }
    if (!set_option(s, o, value))
        return complain(s, EXIT_USAGE, "%s %s: has to be %s", o->name, value, form_of(o));
    return EXIT_GOOD;
}

/* Takes options and arguments; the arguments end up at the beginning of `arguments`. */
static int parse_arguments(const command *c, settings *s, int count, char **arguments)
{
    int given = 0;
    bool options = true;
    s->command = c->name;
    for (int i = 0; i < count; i++) {
        char *argument = arguments[i];
        if (options && strcmp(argument, "--") == 0) {
            options = false;
        } else if (options && argument[0] == '-' && argument[1] != 0) {
            int status = take_option(c, s, count, arguments, &i);
            if (status != EXIT_GOOD) return status;
        } else if (given == c->most) {
            return complain(s, EXIT_USAGE, "one argument too many: %s", argument);
        } else {
            arguments[given++] = argument;
        }
    }
    if (given > 0) s->input = arguments[0];
    if (given > 1) s->output = arguments[1];
    s->more = arguments + 1;
    s->more_count = given - 1;
    if (given < c->least && !s->help)
        return complain(s, EXIT_USAGE, "usage: shardio %s [options] %s", c->name, c->arguments);
    return EXIT_GOOD;
}

/* The text, its lines after the first one indented. */
static void print_lines(const char *text, int indent)
{
    for (const char *line = text; line != NULL;) {
        const char *end = strchr(line, '\n');
        printf("%.*s\n", end != NULL ? (int)(end - line) : (int)strlen(line), line);
        line = end != NULL ? end + 1 : NULL;
        if (line != NULL) printf("%*s", indent, "");
    }
}

static void print_command_help(const command *c)
{
    printf("shardio %s [options] %s\n  %s\n\n", c->name, c->arguments, c->help);
    for (size_t i = 0; i < c->count; i++) {
        const option *o = &c->options[i];
        char left[64];
        snprintf(left, sizeof left, "%s %s", o->name, o->value != NULL ? o->value : "");
        printf("  %-26s", left);
        print_lines(o->help, 28);
    }
}

/* >>progress -------------------------------------------------------------------------------------------------- */

/* A line on standard error, drawn anew ten times a second; nothing for what is done within half a second. */
typedef struct bar {
    bool on, drawn;
    double begun, next;
    uint64_t before;                       /* bytes that were done when it began: they are in no rate */
} bar;

static bar bar_begin(const settings *s)
{
    bar b = {!s->quiet && is_terminal(stderr), false, now(), 0, 0};
    b.next = b.begun + 0.5;
    return b;
}

/* `total` is UNKNOWN until the input ends. */
static void bar_show(bar *b, uint64_t done, uint64_t total)
{
    static const char full[] = "########################################";
    char amount[32], rate[32];
    if (!b->on) return;
    double time = now();
    if (time < b->next) return;
    b->next = time + 0.1;
    b->drawn = true;
    human((uint64_t)((double)(done - b->before) / (time - b->begun)), rate);
    human(done, amount);
    if (total == UNKNOWN || total == 0) {
        fprintf(stderr, "\r%s, %s/s\033[K", amount, rate);
    } else {
        double share = done < total ? (double)done / (double)total : 1;
        fprintf(stderr, "\r[%-40.*s] %3.0f %%  %s, %s/s\033[K", (int)(40 * share), full, 100 * share, amount,
                rate);
    }
    fflush(stderr);
}

static void bar_end(bar *b)
{
    if (b->drawn) fputs("\r\033[K", stderr);
    b->drawn = false;
}

/* For the library's long work: draws the bar that `context` is, and stops it after Ctrl-C. */
static int bar_progress(void *context, uint64_t done, uint64_t total)
{
    bar_show((bar *)context, done, total);
    return interrupted != 0;
}

/* >>elements -------------------------------------------------------------------------------------------------- */

enum { RAW_MOST = 256 };                       /* the most bytes of a raw element */

/* Whether elements have lengths of their own: in memory each is a shardio_bytes. */
static bool is_variable(shardio_dtype dtype)
{
    return dtype == SHARDIO_STRING || dtype == SHARDIO_BYTES;
}

/* The type that `name` says and the bytes of an element in memory; false: none that is known. */
static bool parse_type(const char *name, shardio_dtype *dtype, size_t *size)
{
    uint64_t bits = 0;
    *dtype = shardio_dtype_from_name(name);
    *size = shardio_dtype_size(*dtype);
    if (*dtype != SHARDIO_RAW) return *dtype != SHARDIO_DTYPE_UNSET;
    name++;                                        /* r16 */
    if (!parse_uint64(&name, &bits) || *name != 0 || bits == 0 || bits % 8 != 0 || bits > 8 * RAW_MOST) return false;
    *size = (size_t)(bits / 8);
    return true;
}

/* Whether elements are counts of a unit of time, which are int64. */
static bool is_time(shardio_dtype dtype)
{
    return dtype == SHARDIO_DATETIME64 || dtype == SHARDIO_TIMEDELTA64;
}

/* "uint16", "r24" */
static const char *type_text(shardio_dtype dtype, size_t size, char text[32])
{
    if (dtype == SHARDIO_RAW) snprintf(text, 32, "r%zu", 8 * size);
    else snprintf(text, 32, "%s", shardio_dtype_name(dtype));
    return text;
}

/* "[10us]" behind a type of time; a generic one has none. */
static void add_unit(shardio_text *t, const shardio_array_facts *f)
{
    if (!is_time(f->dtype) || strcmp(f->time_unit, "generic") == 0) return;
    shardio_text_add(t, "[");
    if (f->time_scale > 1) shardio_text_add_uint64(t, f->time_scale);
    shardio_text_add(t, f->time_unit);
    shardio_text_add(t, "]");
}

/* Bytes of the unit whose order depends on the machine: half of a complex number. */
static size_t unit_of(shardio_dtype dtype)
{
#define UNIT(name, text, size, unit) unit,
    static const uint8_t units[SHARDIO_DTYPE_COUNT] = {0, SHARDIO_DTYPE_LIST(UNIT)};
#undef UNIT
    return units[dtype];
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool machine_is_big_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

/* Turns the byte order of `size` bytes of units around, in place. */
static void swap_units(uint8_t *data, size_t size, size_t unit)
{
    for (size_t at = 0; at + unit <= size; at += unit)
        for (size_t i = 0; i < unit / 2; i++) {
            uint8_t byte = data[at + i];
            data[at + i] = data[at + unit - 1 - i];
            data[at + unit - 1 - i] = byte;
        }
}

static bool multiply(uint64_t a, uint64_t b, uint64_t *product)
{
    if (a != 0 && b > UINT64_MAX / a) return false;
    *product = a * b;
    return true;
}

/* The product of `count` extents; false beyond 2^64. */
static bool multiply_all(const uint64_t *of, uint32_t count, uint64_t *product)
{
    *product = 1;
    bool empty = false, fits = true;
    for (uint32_t i = 0; i < count; i++) {
        empty = empty || of[i] == 0;
        fits = fits && multiply(*product, of[i], product);
    }
    if (empty) *product = 0;                       /* whatever the other extents are */
    return empty || fits;
}

/* float32 to the nearest float16, ties to even. */
static uint16_t half_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);             /* NaN */
    if (magnitude >= 0x47800000u) return (uint16_t)(sign | 0x7C00u);            /* 65536 and more: infinite */
    if (magnitude >= 0x38800000u)                                               /* normal: 2^-14 and more */
        return (uint16_t)(sign | (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1)) >> 13);
    uint32_t shift = 126 - (magnitude >> 23), digits = (magnitude & 0x7FFFFFu) | 0x800000u;
    if (shift > 24) return (uint16_t)sign;
    uint32_t rounded = digits >> shift, rest = digits & ((1u << shift) - 1), tie = 1u << (shift - 1);
    if (rest > tie || (rest == tie && (rounded & 1) != 0)) rounded++;
    return (uint16_t)(sign | rounded);
}

static double half_to_double(uint16_t half)
{
    int exponent = half >> 10 & 31, digits = half & 1023;
    double value = exponent == 31 ? (digits != 0 ? (double)NAN : (double)INFINITY)
                 : exponent == 0  ? ldexp(digits, -24) : ldexp(digits + 1024, exponent - 25);
    return (half & 0x8000) != 0 ? -value : value;
}

/* Integers of 1, 2, 4 or 8 bytes in the machine's order. */
static void store_integer(uint64_t number, size_t size, void *out)
{
    memcpy(out, (const uint8_t *)&number + (machine_is_big_endian() ? 8 - size : 0), size);
}

static uint64_t load_integer(const void *bytes, size_t size)
{
    uint64_t number = 0;
    memcpy((uint8_t *)&number + (machine_is_big_endian() ? 8 - size : 0), bytes, size);
    return number;
}

/* Floats of 2, 4 or 8 bytes. */
static double load_float(const void *bytes, size_t size)
{
    float narrow;
    double wide;
    if (size == 2) return half_to_double((uint16_t)load_integer(bytes, 2));
    memcpy(size == 4 ? (void *)&narrow : (void *)&wide, bytes, size);
    return size == 4 ? (double)narrow : wide;
}

static bool parse_unsigned(const char *text, size_t size, void *out)
{
    uint64_t number;
    if (!parse_uint64(&text, &number) || *text != 0) return false;
    if (size < 8 && number >> (8 * size) != 0) return false;
    store_integer(number, size, out);
    return true;
}

static bool parse_signed(const char *text, size_t size, void *out)
{
    bool negative = *text == '-';
    uint64_t magnitude, limit = ((uint64_t)1 << (8 * size - 1)) - (negative ? 0 : 1);
    if (negative) text++;
    if (!parse_uint64(&text, &magnitude) || *text != 0 || magnitude > limit) return false;
    store_integer(negative ? 0 - magnitude : magnitude, size, out);
    return true;
}

/* A number, NaN, Infinity or -Infinity, up to `end`; refused if it is finite but too large for `size` bytes. */
static bool parse_float(const char *text, char end, size_t size, void *out, const char **behind)
{
    char *stop;
    const char first = text[*text == '-'];
    bool word = first == 'N' || first == 'I';      /* NaN, Infinity */
    if (first == 0 || strchr(".0123456789NI", first) == NULL) return false;
    double wide = strtod(text, &stop);
    float narrow = size < 8 ? strtof(text, &stop) : 0;         /* rounded once, not by way of the double */
    uint16_t half = half_from_float(narrow);
    if (stop == text || *stop != end) return false;
    memcpy(out, size == 8 ? (void *)&wide : size == 4 ? (void *)&narrow : (void *)&half, size);
    *behind = stop;
    return word || !isinf(load_float(out, size));
}

/* RE or RE,IM */
static bool parse_complex(const char *text, size_t size, void *out)
{
    memset(out, 0, size);
    if (strchr(text, ',') == NULL) return parse_float(text, 0, size / 2, out, &text);
    return parse_float(text, ',', size / 2, out, &text) &&
           parse_float(text + 1, 0, size / 2, (uint8_t *)out + size / 2, &text);
}

/* Hexadecimal digits, two for each byte. */
static bool parse_hex(const char *text, size_t size, uint8_t *out)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    if (strlen(text) != 2 * size) return false;
    for (size_t i = 0; i < 2 * size; i++) {
        const char *digit = strchr(digits, text[i]);
        if (digit == NULL) return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - digits) % 16);
    }
    return true;
}

/* The fill value that `text` says, one element of `size` bytes; false if it is none of this type. */
static bool parse_fill(const char *text, shardio_dtype dtype, size_t size, void *out)
{
    const shardio_bytes whole = {text, strlen(text)};
    switch (dtype) {
    case SHARDIO_BOOL:
        store_integer(strcmp(text, "true") == 0, 1, out);
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
    case SHARDIO_INT8: case SHARDIO_INT16: case SHARDIO_INT32: case SHARDIO_INT64:
    case SHARDIO_DATETIME64: case SHARDIO_TIMEDELTA64:
        return parse_signed(text, size, out);
    case SHARDIO_UINT8: case SHARDIO_UINT16: case SHARDIO_UINT32: case SHARDIO_UINT64:
        return parse_unsigned(text, size, out);
    case SHARDIO_FLOAT16: case SHARDIO_FLOAT32: case SHARDIO_FLOAT64:
        return parse_float(text, 0, size, out, &text);
    case SHARDIO_COMPLEX64: case SHARDIO_COMPLEX128:
        return parse_complex(text, size, out);
    case SHARDIO_RAW:
        return parse_hex(text, size, (uint8_t *)out);
    case SHARDIO_STRING: case SHARDIO_BYTES:
        memcpy(out, &whole, sizeof whole);
        return true;
    default:
        return false;
    }
}

/* >>json ------------------------------------------------------------------------------------------------------ */

typedef void (*json_builder)(shardio_text *text, const void *context);

/* What `build` builds, as memory of its own: once to measure it, once to keep it. Null: out of memory. */
static char *built_text(json_builder build, const void *context)
{
    shardio_text text = {NULL, 0, 0};
    build(&text, context);
    shardio_text kept = {(char *)malloc(text.size + 1), text.size + 1, 0};
    if (kept.text == NULL) return NULL;
    kept.text[0] = 0;
    build(&kept, context);
    return kept.text;
}

static int print_json(const settings *s, json_builder build, const void *context)
{
    char *text = built_text(build, context);
    if (text == NULL) return out_of_memory(s);
    clean_json(text);
    puts(text);
    free(text);
    return EXIT_GOOD;
}

/* Each adds ", "name": value"; the object was begun with something else. */
static void add_name(shardio_text *t, const char *name)
{
    shardio_text_add(t, ", ");
    shardio_text_add_string(t, name);
    shardio_text_add(t, ": ");
}

static void add_number(shardio_text *t, const char *name, uint64_t number)
{
    add_name(t, name);
    shardio_text_add_uint64(t, number);
}

static void add_string(shardio_text *t, const char *name, const char *text)
{
    add_name(t, name);
    if (text != NULL) shardio_text_add_string(t, text);
    else shardio_text_add(t, "null");
}

static void add_truth(shardio_text *t, const char *name, bool truth)
{
    add_name(t, name);
    shardio_text_add(t, truth ? "true" : "false");
}

/* `of` null: null. */
static void add_list(shardio_text *t, const char *name, const uint64_t *of, uint32_t count)
{
    char text[LIST_TEXT];
    add_name(t, name);
    if (of == NULL) {
        shardio_text_add(t, "null");
    } else {
        shardio_text_add(t, "[");
        shardio_text_add(t, list_text(of, count, ", ", text));
        shardio_text_add(t, "]");
    }
}

/* A float of 2, 4 or 8 bytes as Zarr writes it. */
static void add_float(shardio_text *t, const uint8_t *bytes, size_t size)
{
    const double value = load_float(bytes, size);
    if (isnan(value)) shardio_text_add(t, "\"NaN\"");
    else if (isinf(value)) shardio_text_add(t, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else if (size < 8) shardio_text_add_float(t, (float)value);
    else shardio_text_add_double(t, value);
}

/* One element of a fixed size, as a fill value in zarr.json. */
static void add_element(shardio_text *t, shardio_dtype dtype, size_t size, const uint8_t *bytes)
{
    if (dtype == SHARDIO_RAW) {
        for (size_t i = 0; i < size; i++) {
            shardio_text_add(t, i > 0 ? ", " : "[");
            shardio_text_add_uint64(t, bytes[i]);
        }
        shardio_text_add(t, "]");
    } else if (dtype == SHARDIO_BOOL) {
        shardio_text_add(t, bytes[0] != 0 ? "true" : "false");
    } else if ((dtype >= SHARDIO_INT8 && dtype <= SHARDIO_INT64) || is_time(dtype)) {
        const uint64_t sign = (uint64_t)1 << (8 * size - 1);
        shardio_text_add_int64(t, (int64_t)((load_integer(bytes, size) ^ sign) - sign));
    } else if (dtype >= SHARDIO_UINT8 && dtype <= SHARDIO_UINT64) {
        shardio_text_add_uint64(t, load_integer(bytes, size));
    } else if (dtype == SHARDIO_COMPLEX64 || dtype == SHARDIO_COMPLEX128) {
        shardio_text_add(t, "[");
        add_float(t, bytes, size / 2);
        shardio_text_add(t, ", ");
        add_float(t, bytes + size / 2, size / 2);
        shardio_text_add(t, "]");
    } else {
        add_float(t, bytes, size);
    }
}

/* >>remote ---------------------------------------------------------------------------------------------------- */

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

/* Bytes of a URL up to its query and the slashes before that. */
static size_t plain_length(const char *url)
{
    size_t length = strcspn(url, "?#");
    while (length > 0 && url[length - 1] == '/') length--;
    return length;
}

static const char *host_of(const char *url)
{
    return strstr(url, "://") + 3;
}

/* Whether the path of a URL can be that of a file. */
static bool has_plain_path(const char *url)
{
    const char *at = host_of(url), *end = url + plain_length(url);
    while (at <= end) {
        size_t n = 0;
        while (at + n < end && at[n] != '/') n++;
        if (n == 0 || (n <= 2 && memcmp(at, "..", n) == 0)) return false;
        at += n + 1;
    }
    return at > host_of(url);
}

static void build_url_name(shardio_text *t, const void *context)
{
    const char *url = (const char *)context;
    shardio_text_add_bytes(t, url, plain_length(url));
}

/* Where the mirrors of a URL lie: DIR/example.org+8080/data/movie.zarr. No two URLs have the same place, as what is
   there is taken without a request: http is told apart from https, a query, which may be a secret, by its CRC32C. */
static void build_place(shardio_text *t, const void *context)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%/[]";
    const settings *s = (const settings *)context;
    const char *url = s->input, *end = url + plain_length(url), *query = url + strcspn(url, "?#");
    const char *path = host_of(url) + strcspn(host_of(url), "/");
    char piece[16];
    shardio_text_add(t, s->mirror);
    shardio_text_add(t, strncmp(url, "http:", 5) == 0 ? "/http+" : "/");
    for (const char *at = host_of(url); at < end; at++) {
        const bool capital = *at >= 'A' && *at <= 'Z';
        if (at < path && *at == ':') snprintf(piece, sizeof piece, "+");
        else if (at < path && capital) snprintf(piece, sizeof piece, "%c", *at + ('a' - 'A'));
        else snprintf(piece, sizeof piece, strchr(plain, *at) != NULL ? "%c" : "%%%02X", (unsigned char)*at);
        shardio_text_add(t, piece);
    }
    snprintf(piece, sizeof piece, "+%08" PRIx32, shardio_crc32c(0, query, strlen(query)));
    if (*query == '?') shardio_text_add(t, piece);
}

#if SHARDIO_HTTP
static int ask_whether_interrupted(void *context)
{
    (void)context;
    return interrupted != 0;
}

static shardio_http_options http_options(shardio_http_length length_by)
{
    shardio_http_options options;
    memset(&options, 0, sizeof options);
    options.length_by = length_by;
    options.cancelled = ask_whether_interrupted;
    return options;
}

/* For the mirrors. */
static shardio_status find_object(void *context, const char *key, shardio_source *source, shardio_error *error)
{
    remote *r = (remote *)context;
    if (r->key == NULL) return shardio_http_find(&r->http, key, source, error);
    shardio_http_options options = http_options(SHARDIO_HTTP_LENGTH_HEAD);
    options.counters = &r->http.counters;
    return shardio_http_open(source, r->http.url, &options, error);
}

/* Keys are small more often than not, so the first bytes come with the length; not where all may be there already. */
static int begin_http(const settings *s)
{
    const shardio_http_length length_by = s->start_over ? SHARDIO_HTTP_LENGTH_HEAD : SHARDIO_HTTP_LENGTH_GET;
    const shardio_http_options options = http_options(length_by);
    shardio_error error;
    s->remote->mirrors.find = find_object;
    if (shardio_http_begin(&s->remote->http, s->input, &options, &error) == SHARDIO_OK) return EXIT_GOOD;
    return complain_error(s, &error);
}

static int open_url(const settings *s, const char *url, shardio_source *origin)
{
    const shardio_http_options options = http_options(SHARDIO_HTTP_LENGTH_HEAD);
    shardio_error error;
    return shardio_http_open(origin, url, &options, &error) == SHARDIO_OK ? EXIT_GOOD : complain_error(s, &error);
}
#else
static int begin_http(const settings *s)
{
    return complain(s, EXIT_TROUBLE, "a URL: this build has no HTTP, libcurl was missing (make deps, make examples)");
}

static int open_url(const settings *s, const char *url, shardio_source *origin)
{
    (void)url, (void)origin;
    return begin_http(s);
}
#endif

/* INPUT is a URL. */
static int begin_remote(const settings *s, bool archive)
{
    remote *r = s->remote;
    const int status = begin_http(s);
    if (status != EXIT_GOOD) return status;
    if (s->mirror == NULL)
        return complain(s, EXIT_USAGE, "a URL: --mirror DIR says where what is fetched of it is to be kept");
    if (!has_plain_path(s->input)) return complain(s, EXIT_USAGE, "a URL with an empty name, . or .. in its path");
    r->name = built_text(build_url_name, s->input);
    r->place = built_text(build_place, s);
    if (r->name == NULL || r->place == NULL) return out_of_memory(s);
    if (archive) r->key = strrchr(r->place, '/') + 1;
    r->directory = copy_text(r->place, archive ? (size_t)(r->key - r->place) - 1 : strlen(r->place));
    if (r->directory == NULL) return out_of_memory(s);
    r->mirrors.context = r;
    r->mirrors.directory = r->directory;
    r->mirrors.name = r->name;
    r->mirrors.options.check_later = !s->start_over;
    r->mirrors.options.start_over = s->start_over;
    return EXIT_GOOD;
}

static void end_remote(remote *r)
{
    shardio_mirror_close(r->local, NULL);      /* which had only been looked at */
#if SHARDIO_HTTP
    shardio_http_end(&r->http);
#endif
    free(r->name);
    free(r->place);
    free(r->directory);
}

/* What was asked of the server, and bytes that came. */
static void count_requests(const remote *r, uint64_t *requests, uint64_t *bytes)
{
#if SHARDIO_HTTP
    *requests = r->http.counters.requests;
    *bytes = r->http.counters.bytes;
#else
    *requests = r->mirrors.requests;
    *bytes = r->mirrors.fetched;
#endif
}

/* A file or a URL that a mirror is opened on. */
static int find_origin(const settings *s, const char *name, shardio_source *origin)
{
    shardio_error error;
    if (is_url(name)) return open_url(s, name, origin);
    return shardio_source_open(origin, name, NULL, &error) == SHARDIO_OK ? EXIT_GOOD : complain_error(s, &error);
}

/* Whether a map lies beside the file: it is a mirror, and what looks empty in it may not be. */
static bool looks_like_mirror(const char *path)
{
    char map[4096];
    const int length = snprintf(map, sizeof map, "%s.shardio-map", path);
    return length > 0 && (size_t)length < sizeof map && is_regular_file(path) && is_regular_file(map);
}

/* What is there, also while another process adds to it. */
static int look_at_mirror(const settings *s, const char *path, const shardio_source *origin, shardio_mirror **mirror)
{
    shardio_mirror_options options = {0};
    shardio_error error;
    options.read_only = true;
    *mirror = shardio_mirror_open(origin, path, &options, &error);
    return *mirror != NULL ? EXIT_GOOD : complain_error(s, &error);
}

/* >>home ------------------------------------------------------------------------------------------------------ */

/* Where nodes live: a directory or, if its name ends in .zip or .ozx, an archive; either of them also on a server.
   Commands get their store here and give it back here; which kind it is only matters to what shows or mends an archive
   as such, and to what would ask a server too much. */
typedef struct home {
    const settings *s;
    shardio_store store;
    shardio_archive *archive;              /* null: a directory */
    bool changing;                         /* the archive: what was done to it is committed at the end */
} home;

typedef enum purpose { TO_READ, TO_CHANGE, TO_MAKE } purpose;      /* TO_MAKE: an archive need not be there */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

static bool is_archive(const char *path)
{
    return ends_with(path, ".zip") || ends_with(path, ".ozx");
}

static shardio_direct direct_wish(const settings *s)
{
    static const shardio_direct wishes[] = {SHARDIO_DIRECT_AUTO, SHARDIO_DIRECT_AUTO, SHARDIO_DIRECT_ON,
                                            SHARDIO_DIRECT_OFF};
    return wishes[s->direct];
}

static shardio_overlap overlap_wish(const settings *s)
{
    static const shardio_overlap wishes[] = {SHARDIO_OVERLAP_AUTO, SHARDIO_OVERLAP_AUTO, SHARDIO_OVERLAP_ON,
                                             SHARDIO_OVERLAP_OFF};
    return wishes[s->overlap];
}

/* What --sync says; *every (0: not at all) is a number of bytes. */
static int choose_durability(const settings *s, shardio_durability *durability, uint64_t *every)
{
    if (s->sync == NULL || strcmp(s->sync, "finish") == 0) return EXIT_GOOD;
    if (strcmp(s->sync, "none") == 0) *durability = SHARDIO_DURABLE_NONE;
    else if (!parse_size(s->sync, every))
        return complain(s, EXIT_USAGE, "--sync %s: has to be none, finish or a size such as 64M", s->sync);
    return EXIT_GOOD;
}

/* A file that is no archive is taken for a shard only where --chunks says so. */
static int refuse_file(const settings *s, const char *path)
{
    if (!is_regular_file(path)) return EXIT_GOOD;
    const bool shards_too = find_word("info|verify|layout|recover|compact", s->command) != 0;
    const bool packs_too = find_word("info|verify", s->command) != 0;
    return complain(s, EXIT_USAGE, "%s is a file, not an array%s%s", path,
                    packs_too ? ", and does not end as a packfile" : "",
                    shards_too ? "; if it is a shard, --chunks N says what it holds" : "");
}

/* A directory of --mirror is no store: its files are not all there, and what is not would read zero. */
static int refuse_mirrors(const settings *s, const char *path)
{
    const char *node = s->path != NULL ? s->path : "";
    char name[4096];
    snprintf(name, sizeof name, "%s/%s%szarr.json", path, node, node[0] != 0 ? "/" : "");
    if (!looks_like_mirror(name)) return EXIT_GOOD;
    return complain(s, EXIT_USAGE, "%s is what --mirror keeps of a server: give the URL, and --mirror", path);
}

/* What stands in an archive under another name would be found by nobody, and other programs refuse the whole file. */
static int check_name(const settings *s, const char *archive, const char *name)
{
    if (name == NULL || !is_archive(archive) || is_utf8(name, strlen(name))) return EXIT_GOOD;
    return complain(s, EXIT_USAGE, "%s: names in an archive are UTF-8, %s is not", archive, name);
}

/* The options that only archives have. */
static int check_archive_options(const settings *s, const char *path)
{
    const char *given = s->alignment > 0 ? "--alignment" : s->comment != NULL ? "--comment" : s->ozx != NULL ? "--ozx"
                      : s->layer > 0 ? "--layer" : NULL;
    if (given != NULL && !is_archive(path))
        return complain(s, EXIT_USAGE, "%s: %s is no archive, whose name would end in .zip or .ozx", given, path);
    if (s->comment != NULL && s->ozx != NULL) return complain(s, EXIT_USAGE, "--comment and --ozx: one of them");
    if (s->comment != NULL && strstr(s->comment, "PK\5\6") != NULL)
        return complain(s, EXIT_USAGE, "--comment: other programs would take it for the end of the archive");
    if (s->alignment > 32 * KIB || (s->alignment & (s->alignment - 1)) != 0)
        return complain(s, EXIT_USAGE, "--alignment %" PRIu64 ": has to be a power of two up to 32K", s->alignment);
    return EXIT_GOOD;
}

static int set_archive_options(const settings *s, shardio_archive_options *o)
{
    uint64_t every = 0;
    o->alignment = (uint32_t)s->alignment;
    o->comment = s->comment;
    o->ome_version = s->ozx;
    o->layer = s->layer;
    o->direct = direct_wish(s);
    int status = choose_durability(s, &o->durability, &every);
    if (status == EXIT_GOOD && every > 0)
        status = complain(s, EXIT_USAGE, "--sync %s: an archive becomes durable layer by layer: --checkpoint", s->sync);
    return status;
}

/* What is to be changed has to be there: opening an archive for writing would make it. */
static bool can_be_opened(const char *path, shardio_error *error)
{
    shardio_file file;
    if (shardio_file_open(&file, path, SHARDIO_OPEN_READ, NULL, error) != SHARDIO_OK) return false;
    shardio_file_close(&file);
    return true;
}

/* An archive in a mirror, of which not all may be there: what is not is an error, where the file alone reads zero. */
static int open_mirrored_archive(const settings *s, const char *path, purpose why, shardio_archive **archive)
{
    shardio_archive_options options = {0};
    shardio_mirror *mirror;
    shardio_error error;
    int status = set_archive_options(s, &options);
    if (status == EXIT_GOOD && why != TO_READ)
        status = complain(s, EXIT_TROUBLE, "%s is a mirror: to change it would make it another than its source", path);
    if (status == EXIT_GOOD) status = look_at_mirror(s, path, NULL, &mirror);
    if (status != EXIT_GOOD) return status;
    s->remote->local = mirror;
    *archive = shardio_archive_open_file(shardio_mirror_file(mirror, false), &options, &error);
    return *archive != NULL ? EXIT_GOOD : complain_error(s, &error);
}

static int open_archive(const settings *s, const char *path, purpose why, shardio_archive **archive)
{
    shardio_archive_options options = {0};
    shardio_error error;
    if (looks_like_mirror(path)) return open_mirrored_archive(s, path, why, archive);
    int status = set_archive_options(s, &options);
    if (status != EXIT_GOOD) return status;
    options.write = why != TO_READ;
    if (why == TO_CHANGE && !can_be_opened(path, &error)) return complain_error(s, &error);
    *archive = shardio_archive_open(path, &options, &error);
    return *archive != NULL ? EXIT_GOOD : complain_error(s, &error);
}

/* Only the commands that read are for URLs. */
static int check_url(const settings *s, purpose why)
{
    static const char readers[] = "export|info|ls|stats|verify|attrs";
    if (why == TO_READ && find_word(readers, s->command) != 0) return EXIT_GOOD;
    return complain(s, EXIT_USAGE, "a URL: it is for reading: export, info, ls, stats, verify, attrs");
}

/* An archive whose one mirror is its file. */
static int open_remote_archive(const settings *s, home *h)
{
    shardio_archive_options options = {0};
    shardio_file file;
    shardio_error error;
    const shardio_store store = shardio_store_mirrored(&s->remote->mirrors);
    int code = 0, status = set_archive_options(s, &options);
    if (status != EXIT_GOOD) return status;
    if (store.functions->open(store.context, s->remote->key, false, NULL, &file, &code) != SHARDIO_OK)
        return complain_error(s, &s->remote->mirrors.last);
    h->archive = shardio_archive_open_file(file, &options, &error);
    h->store = shardio_archive_store(h->archive);
    return h->archive != NULL ? EXIT_GOOD : complain_error(s, &error);
}

static int open_remote_home(const settings *s, purpose why, home *h)
{
    int status = check_url(s, why);
    char *name = built_text(build_url_name, s->input);
    if (name == NULL) return out_of_memory(s);
    const bool archive = is_archive(name);
    if (status == EXIT_GOOD) status = check_archive_options(s, name);
    if (status == EXIT_GOOD) status = check_name(s, name, s->path);
    if (status == EXIT_GOOD) status = begin_remote(s, archive);
    free(name);
    if (status != EXIT_GOOD || archive) return status == EXIT_GOOD ? open_remote_archive(s, h) : status;
    h->store = shardio_store_mirrored(&s->remote->mirrors);
    return EXIT_GOOD;
}

/* On trouble there is nothing to close. */
static int open_home(const settings *s, const char *path, purpose why, home *h)
{
    memset(h, 0, sizeof *h);
    h->s = s;
    if (is_url(path)) return open_remote_home(s, why, h);
    if (s->mirror != NULL || s->start_over)
        return complain(s, EXIT_USAGE, "%s: %s is no URL", s->mirror != NULL ? "--mirror" : "--start-over", path);
    int status = check_archive_options(s, path);
    if (status == EXIT_GOOD) status = check_name(s, path, s->path);
    if (status != EXIT_GOOD) return status;
    if (is_archive(path)) {
        status = open_archive(s, path, why, &h->archive);
        h->changing = why != TO_READ;
        h->store = shardio_archive_store(h->archive);
    } else {
        if (why != TO_MAKE) status = refuse_file(s, path);
        if (status == EXIT_GOOD) status = refuse_mirrors(s, path);
        h->store = shardio_store_directory(path);
    }
    return status;
}

/* Ends it: an archive keeps what was done to it if all went well, and is as it was if not. Once more does nothing. */
static int close_home(home *h, int status)
{
    shardio_archive *archive = h->archive;
    shardio_error error;
    h->archive = NULL;
    if (archive != NULL && h->changing && status == EXIT_GOOD && interrupted)
        status = complain(h->s, EXIT_TROUBLE, "interrupted");
    if (archive == NULL || !h->changing || status != EXIT_GOOD) shardio_archive_close(archive);
    else if (shardio_archive_finish(archive, &error) != SHARDIO_OK) status = complain_error(h->s, &error);
    return status;
}

/* >>source ---------------------------------------------------------------------------------------------------- */

/* Elements that have lengths of their own, and what they consist of. */
typedef struct texts {
    shardio_bytes *of;
    size_t count, capacity;
    char *content;                         /* owned, as `of` is */
    uint64_t bytes;                        /* of all elements */
} texts;

/* Where imported elements come from. */
typedef struct source {
    const char *name;                      /* for messages */
    int file;                              /* descriptor, or -1 */
    uint64_t size;                         /* bytes of the file, or UNKNOWN */
    uint64_t begin;                        /* offset of the first element */
    bool npy, fortran, big_endian;
    shardio_dtype dtype;
    size_t element;                        /* bytes of one in memory */
    char time_unit[8];                     /* of the types of time in .npy; otherwise empty */
    uint32_t time_scale;
    uint32_t ndim;
    uint64_t shape[SHARDIO_MAX_DIMS];
    uint64_t frames;                       /* shape[0], or UNKNOWN: until the input ends */
    uint64_t frame_elements, frame_bytes, bytes;   /* bytes: of all frames, or UNKNOWN */
    texts text;                            /* of the types string and bytes: all elements, read beforehand */
} source;

/* Reads what is there, at most `size` bytes, none only at the end. False: an error (errno says which), or Ctrl-C. */
static bool read_some(source *in, void *memory, size_t size, size_t *got)
{
    int64_t count = -1;
    *got = 0;
    while (!interrupted && (count = read_file(in->file, memory, size)) < 0 && errno == EINTR) continue;
    if (count > 0) *got = (size_t)count;
    return count >= 0;
}

/* Reads `size` bytes, fewer only at the end. */
static bool read_block(source *in, void *memory, size_t size, size_t *got)
{
    size_t count = 1;
    for (*got = 0; *got < size && count > 0; *got += count)
        if (!read_some(in, (uint8_t *)memory + *got, size - *got, &count)) return false;
    return true;
}

static int complain_read(const settings *s, const source *in)
{
    if (interrupted) return complain(s, EXIT_TROUBLE, "interrupted");
    return complain(s, EXIT_TROUBLE, "%s: cannot read: %s", in->name, strerror(errno));
}

/* Sets frames, frame_elements, frame_bytes and bytes from dtype and shape; false if they exceed 2^64. */
static bool measure_source(source *in)
{
    in->frames = in->shape[0];
    return multiply_all(in->shape + 1, in->ndim - 1, &in->frame_elements) &&
           multiply(in->frame_elements, in->element, &in->frame_bytes) &&
           multiply(in->frame_bytes, in->frames, &in->bytes);
}

/* >>npy ------------------------------------------------------------------------------------------------------- */

/* The .npy format, versions 1 to 3: "\x93NUMPY", two bytes of version, the length of the header (u16, from version 2
   on u32, little-endian), the header, the elements. The header is a Python dictionary in text:

       {'descr': '<i2', 'fortran_order': False, 'shape': (2, 24, 96, 128), } */

static const char npy_magic[] = "\x93NUMPY";
enum { NPY_MAGIC = 6, NPY_HEADER_MOST = 65535 };

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

static bool take(cursor *c, const char *word)
{
    size_t length = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0) return false;
    c->at += length;
    return true;
}

/* A Python string without escapes, in either kind of quotes. */
static bool take_string(cursor *c, char *text, size_t size)
{
    if (!take(c, "'") && !take(c, "\"")) return false;
    const char quote = c->at[-1], *end = (const char *)memchr(c->at, quote, (size_t)(c->end - c->at));
    if (end == NULL || (size_t)(end - c->at) >= size) return false;
    memcpy(text, c->at, (size_t)(end - c->at));
    text[end - c->at] = 0;
    c->at = end + 1;
    return true;
}

/* (2, 24), (5,), () */
static const char *take_shape(cursor *c, source *in)
{
    static const char damaged[] = "its shape is damaged";
    if (!take(c, "(")) return damaged;
    for (in->ndim = 0; !take(c, ")"); in->ndim++) {
        if (in->ndim == SHARDIO_MAX_DIMS) return "it has more than 32 dimensions";
        skip_space(c);
        if (!parse_uint64(&c->at, &in->shape[in->ndim])) return damaged;
        take(c, "L");                              /* Python 2 wrote long integers so */
        if (!take(c, ",") && (c->at >= c->end || *c->at != ')')) return damaged;
    }
    return in->ndim == 0 ? "it holds a single number without a dimension" : NULL;
}

/* The bytes of a void element, which are raw ones. */
static bool take_raw(const char *text, source *in)
{
    uint64_t bytes;
    if (!parse_uint64(&text, &bytes) || *text != 0 || bytes == 0 || bytes > RAW_MOST) return false;
    in->dtype = SHARDIO_RAW;
    in->element = (size_t)bytes;
    return true;
}

/* "[10us]" behind a type of time, or nothing: a generic one. */
static bool take_unit(const char *text, source *in)
{
    static const char units[][8] = {"Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "generic"};
    uint64_t scale = 1;
    size_t n = strlen(text);
    in->time_scale = 1;
    strcpy(in->time_unit, "generic");
    if (n == 0) return true;
    if (n < 3 || text[0] != '[' || text[n - 1] != ']') return false;
    text++;
    if (*text >= '0' && *text <= '9' && !parse_uint64(&text, &scale)) return false;
    n = strlen(text) - 1;
    if (scale == 0 || scale > INT32_MAX || n == 0 || n >= sizeof in->time_unit) return false;
    in->time_scale = (uint32_t)scale;
    memcpy(in->time_unit, text, n);
    in->time_unit[n] = 0;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(in->time_unit, units[i]) == 0) return true;
    return false;
}

/* '<i2', '|u1', '>c16', '|V3', '<M8[ns]' */
static const char *take_descr(cursor *c, source *in)
{
    static const struct {
        const char *code, *name;
    } types[] = {{"b1", "bool"}, {"i1", "int8"}, {"i2", "int16"}, {"i4", "int32"}, {"i8", "int64"},
                 {"u1", "uint8"}, {"u2", "uint16"}, {"u4", "uint32"}, {"u8", "uint64"}, {"f2", "float16"},
                 {"f4", "float32"}, {"f8", "float64"}, {"c8", "complex64"}, {"c16", "complex128"}};
    static const char unsupported[] = "its element type is not supported";
    char text[32];
    if (!take_string(c, text, sizeof text) || text[0] == 0 || strchr("<>|=", text[0]) == NULL) return unsupported;
    if (text[1] == 'V') return take_raw(text + 2, in) ? NULL : unsupported;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(text + 1, types[i].code) == 0) in->dtype = shardio_dtype_from_name(types[i].name);
    if (strncmp(text + 1, "M8", 2) == 0 || strncmp(text + 1, "m8", 2) == 0) {
        if (!take_unit(text + 3, in)) return unsupported;
        in->dtype = text[1] == 'M' ? SHARDIO_DATETIME64 : SHARDIO_TIMEDELTA64;
    }
    if (in->dtype == SHARDIO_DTYPE_UNSET) return unsupported;
    in->element = shardio_dtype_size(in->dtype);
    if (text[0] == '|' && unit_of(in->dtype) > 1) return "its element type has no byte order";
    in->big_endian = text[0] == '>' || (text[0] == '=' && machine_is_big_endian());
    return NULL;
}

static const char *take_order(cursor *c, source *in)
{
    in->fortran = take(c, "True");
    return in->fortran || take(c, "False") ? NULL : "its fortran_order is damaged";
}

/* The whole dictionary; null or what is wrong with it. */
static const char *parse_npy_header(cursor c, source *in)
{
    static const char damaged[] = "its header is damaged";
    static const struct {
        const char *key;
        const char *(*take)(cursor *c, source *in);
    } members[3] = {{"descr", take_descr}, {"fortran_order", take_order}, {"shape", take_shape}};
    bool seen[3] = {false, false, false};
    if (!take(&c, "{")) return damaged;
    while (!take(&c, "}")) {
        char key[16];
        size_t which = 0;
        if (!take_string(&c, key, sizeof key) || !take(&c, ":")) return damaged;
        while (which < 3 && strcmp(key, members[which].key) != 0) which++;
        if (which == 3 || seen[which]) return damaged;
        seen[which] = true;
        const char *fault = members[which].take(&c, in);
        if (fault != NULL) return fault;
        if (!take(&c, ",") && (c.at >= c.end || *c.at != '}')) return damaged;
    }
    skip_space(&c);
    return seen[0] && seen[1] && seen[2] && c.at == c.end ? NULL : damaged;
}

/* Reads what stands before the elements; null or what is wrong. `header` holds NPY_HEADER_MOST + 1 bytes. */
static const char *read_npy_header(source *in, char *header)
{
    static const char cut[] = "it ends within its header";
    uint8_t start[12];
    size_t got, size = 0, width;
    if (!read_block(in, start, NPY_MAGIC + 2, &got)) return strerror(errno);
    if (got < NPY_MAGIC + 2 || memcmp(start, npy_magic, NPY_MAGIC) != 0) return "it is no .npy file";
    if (start[6] < 1 || start[6] > 3) return "its version of the .npy format is not known";
    width = start[6] == 1 ? 2 : 4;
    if (!read_block(in, start, width, &got)) return strerror(errno);
    if (got < width) return cut;
    for (size_t i = width; i > 0; i--) size = size << 8 | start[i - 1];
    if (size > NPY_HEADER_MOST) return "its header is longer than 65535 bytes";
    if (!read_block(in, header, size, &got)) return strerror(errno);
    if (got < size) return cut;
    header[size] = 0;                              /* numbers are read up to what is no digit */
    in->begin = NPY_MAGIC + 2 + width + size;
    cursor c = {header, header + size};
    return parse_npy_header(c, in);
}

static int describe_npy(const settings *s, source *in)
{
    if (s->shape.count > 0 || s->dtype != NULL)
        return complain(s, EXIT_USAGE, "%s says itself what it is: leave out %s", in->name,
                        s->shape.count > 0 ? "--shape" : "--dtype");
    char *header = (char *)malloc(NPY_HEADER_MOST + 1);
    if (header == NULL) return out_of_memory(s);
    const char *fault = read_npy_header(in, header);
    free(header);
    if (fault != NULL) return complain(s, EXIT_TROUBLE, "%s: %s", in->name, fault);
    if (!measure_source(in)) return complain(s, EXIT_TROUBLE, "%s: its shape exceeds 2^64 bytes", in->name);
    if (in->frame_elements == 0) return complain(s, EXIT_TROUBLE, "%s: its frames hold no elements", in->name);
    in->fortran = in->fortran && in->ndim > 1;
    return EXIT_GOOD;
}

/* ---- source: opening it ---- */

/* Looks whether the file begins as .npy files do; a pipe is not looked into. */
static int look_for_npy(const settings *s, source *in)
{
    char start[NPY_MAGIC];
    size_t got;
    if (in->size == UNKNOWN) return EXIT_GOOD;
    if (!read_block(in, start, sizeof start, &got) || !seek_to(in->file, 0)) return complain_read(s, in);
    in->npy = got == sizeof start && memcmp(start, npy_magic, sizeof start) == 0;
    return EXIT_GOOD;
}

static int open_source(const settings *s, source *in)
{
    bool standard = strcmp(s->input, "-") == 0;
    in->name = standard ? "standard input" : s->input;
    if (standard) make_binary(stdin);
    in->file = standard ? 0 : open_file(s->input);
    if (in->file < 0) return complain(s, EXIT_TROUBLE, "%s: cannot open: %s", in->name, strerror(errno));
    in->size = standard ? UNKNOWN : size_of_file(in->file);
    in->npy = !standard && ends_with(s->input, ".npy");
    return standard || in->npy ? EXIT_GOOD : look_for_npy(s, in);
}

static void close_source(source *in)
{
    if (in->file > 0) close_file(in->file);
    free(in->text.of);
    free(in->text.content);
}

/* The whole input as text, ended by a zero byte; free it, whatever is returned. It is read until it ends: the size of a file
   may be a guess, as in /proc, or grow. */
static int read_whole(const settings *s, source *in, size_t most, char **text, size_t *size)
{
    size_t room = in->size < most ? (size_t)in->size + 2 : (size_t)MIB, got;
    *size = 0;
    *text = NULL;
    for (;; room = room < most / 2 ? 2 * room : most + 2) {
        char *larger = (char *)realloc(*text, room);
        if (larger == NULL) return out_of_memory(s);
        *text = larger;
        if (!read_block(in, *text + *size, room - 1 - *size, &got)) return complain_read(s, in);
        *size += got;
        if (*size < room - 1) break;
        if (room > most) return complain(s, EXIT_TROUBLE, "%s: larger than %zu bytes", in->name, most);
    }
    (*text)[*size] = 0;
    return EXIT_GOOD;
}

/* A file besides INPUT that an option names, as read_whole reads it. */
static int read_named_file(const settings *s, const char *path, size_t most, char **text, size_t *size)
{
    source in;
    memset(&in, 0, sizeof in);
    in.name = path;
    in.file = open_file(path);
    if (in.file < 0) return complain(s, EXIT_TROUBLE, "%s: cannot open: %s", path, strerror(errno));
    in.size = size_of_file(in.file);
    int status = read_whole(s, &in, most, text, size);
    close_file(in.file);
    return status;
}

/* >>texts ----------------------------------------------------------------------------------------------------- */

/* Elements of the types string and bytes come as lines of text, or as JSON: a list of strings, or lists of such lists,
   where bytes are Base64 (RFC 4648). All of the input is held in memory. */

static const char no_room_for_elements[] = "no memory for its elements";
static const char uneven_lists[] = "its lists are not all alike, or hold something else than strings";

static bool add_text(texts *t, const void *data, size_t size)
{
    if (t->count == t->capacity) {
        size_t capacity = 2 * t->capacity + 1024;
        shardio_bytes *of = capacity < SIZE_MAX / 4 / sizeof *of
                          ? (shardio_bytes *)realloc(t->of, capacity * sizeof *of) : NULL;
        if (of == NULL) return false;
        t->of = of;
        t->capacity = capacity;
    }
    t->of[t->count].data = data;
    t->of[t->count++].size = size;
    t->bytes += size;
    return true;
}

/* Lines of text; the last one counts without an end, too, if there is something in it. */
static const char *take_lines(source *in, const char *line, size_t size)
{
    for (size_t taken; size > 0; line += taken, size -= taken) {
        const char *stop = (const char *)memchr(line, '\n', size);
        size_t length = stop != NULL ? (size_t)(stop - line) : size;
        taken = length + (stop != NULL);
        if (length > 0 && line[length - 1] == '\r') length--;
        if (in->dtype == SHARDIO_STRING && !is_utf8(line, length)) return "a line of it is no UTF-8";
        if (!add_text(&in->text, line, length)) return no_room_for_elements;
    }
    return NULL;
}

/* Base64 to bytes, in place; false: it is none. */
static bool decode_base64(char *text, size_t *size)
{
    size_t length = *size, done = 0;
    uint32_t group = 0;
    if (length % 4 != 0) return false;
    while (length > 0 && *size - length < 2 && text[length - 1] == '=') length--;
    for (size_t i = 0; i < length; i++) {
        const char *digit = strchr(base64_digits, text[i]);
        if (digit == NULL) return false;
        group = group << 6 | (uint32_t)(digit - base64_digits);
        if (i % 4 > 0) text[done++] = (char)(group >> (6 - 2 * (i % 4)) & 255);
    }
    *size = done;
    return true;
}

/* A string, to *place, which moves on behind it. */
static const char *take_json_text(source *in, shardio_json value, char **place)
{
    if (shardio_json_kind(value) != '"') return uneven_lists;
    if (!shardio_json_string(value, *place, value.size)) return "a string in it holds U+0000";
    size_t size = strlen(*place);
    if (in->dtype == SHARDIO_BYTES && !decode_base64(*place, &size)) return "a string in it is no Base64";
    if (!add_text(&in->text, *place, size)) return no_room_for_elements;
    *place += size;
    return NULL;
}

static uint64_t count_members(shardio_json list)
{
    shardio_json value;
    size_t at = 0;
    uint64_t count = 0;
    while (shardio_json_next(list, &at, NULL, &value)) count++;
    return count;
}

/* The shape of nested lists, as the first ones say. */
static const char *measure_lists(source *in, shardio_json value)
{
    for (in->ndim = 0; shardio_json_kind(value) == '['; in->ndim++) {
        const shardio_json absent = {NULL, 0}, list = value;
        size_t at = 0;
        if (in->ndim == SHARDIO_MAX_DIMS) return "its lists are nested more than 32 times";
        in->shape[in->ndim] = count_members(list);
        if (!shardio_json_next(list, &at, NULL, &value)) value = absent;
    }
    return in->ndim > 0 ? NULL : "it is no list";
}

/* All strings in lists nested evenly. */
static const char *take_lists(source *in, shardio_json root, char *place)
{
    struct {
        shardio_json list;
        size_t at;
    } open[SHARDIO_MAX_DIMS + 1] = {{root, 0}};
    const char *fault = measure_lists(in, root);
    for (uint32_t depth = 1; fault == NULL && depth > 0;) {
        shardio_json value;
        if (!shardio_json_next(open[depth - 1].list, &open[depth - 1].at, NULL, &value)) {
            depth--;
        } else if (depth == in->ndim) {
            fault = take_json_text(in, value, &place);
        } else if (shardio_json_kind(value) == '[' && count_members(value) == in->shape[depth]) {
            open[depth].list = value;
            open[depth++].at = 0;
        } else {
            fault = uneven_lists;
        }
    }
    return fault;
}

static const char *take_json(source *in, char *text, size_t size)
{
    shardio_json root;
    shardio_error error;
    if (shardio_json_parse(text, size, &root, &error) != SHARDIO_OK) return "it is no JSON";
    in->text.content = (char *)malloc(size + 1);
    return in->text.content != NULL ? take_lists(in, root, in->text.content) : no_room_for_elements;
}

/* Reads all elements, and where they are JSON the shape. */
static int read_texts(const settings *s, source *in)
{
    const size_t most = sizeof most > 4 ? (size_t)1 << 34 : (size_t)1 << 30;
    const bool json = s->format == FORMAT_JSON || (s->format == 0 && ends_with(in->name, ".json"));
    char *text;
    size_t size;
    int status = read_whole(s, in, most, &text, &size);
    if (status == EXIT_GOOD && json && s->shape.count > 0)
        status = complain(s, EXIT_USAGE, "%s says its shape itself: leave out --shape", in->name);
    if (status == EXIT_GOOD) {
        const char *fault = json ? take_json(in, text, size) : take_lines(in, text, size);
        if (fault != NULL) status = complain(s, EXIT_TROUBLE, "%s: %s", in->name, fault);
    }
    if (status == EXIT_GOOD && !json) in->text.content = text;
    else free(text);
    in->size = in->text.count * sizeof(shardio_bytes);
    return status;
}

/* ---- source: raw input ---- */

/* Whether elements of the input are those of the array; raw input of a type of time has no unit of its own. */
static bool is_same_type(const source *in, const shardio_array_facts *f)
{
    if (in->dtype != f->dtype || in->element != f->element_size) return false;
    return in->time_unit[0] == 0 || (in->time_scale == f->time_scale && strcmp(in->time_unit, f->time_unit) == 0);
}

/* "datetime64[ns]", "timedelta64[10s]", also with the "numpy." of zarr.json. */
static bool parse_time_type(const char *name, source *in)
{
    if (strncmp(name, "numpy.", 6) == 0) name += 6;
    if (strncmp(name, "datetime64", 10) == 0) in->dtype = SHARDIO_DATETIME64, name += 10;
    else if (strncmp(name, "timedelta64", 11) == 0) in->dtype = SHARDIO_TIMEDELTA64, name += 11;
    else return false;
    in->element = shardio_dtype_size(in->dtype);
    return take_unit(name, in);
}

/* The type of raw input, from the options or the array that is continued. */
static int choose_type(const settings *s, source *in, const shardio_array_facts *array)
{
    char text[32];
    if (array != NULL) {
        in->dtype = array->dtype;
        in->element = array->element_size;
    }
    if (s->dtype == NULL && array != NULL) return EXIT_GOOD;
    if (s->dtype == NULL) return complain(s, EXIT_USAGE, "raw input needs --dtype");
    if (!parse_time_type(s->dtype, in) && !parse_type(s->dtype, &in->dtype, &in->element))
        return complain(s, EXIT_USAGE, "--dtype %s: no type that is known here (uint16, float32, r24, string, ...)",
                        s->dtype);
    if (array != NULL && !is_same_type(in, array))
        return complain(s, EXIT_USAGE, "--dtype %s: the array is of type %s", s->dtype,
                        type_text(array->dtype, array->element_size, text));
    return EXIT_GOOD;
}

/* The shape of raw input: --shape, or that of the array that is continued with an open end; texts need none. */
static int choose_shape(const settings *s, source *in, const shardio_array_facts *array)
{
    extents shape = s->shape;
    if (shape.count == 0 && array == NULL && is_variable(in->dtype)) {
        shape.of[shape.count++] = 0;
    } else if (shape.count == 0 && array != NULL) {
        shape.count = array->ndim;
        memcpy(shape.of, array->shape, sizeof shape.of);
        shape.of[0] = 0;
    }
    if (shape.count == 0) return complain(s, EXIT_USAGE, "raw input needs --shape");
    in->ndim = shape.count;
    memcpy(in->shape, shape.of, sizeof in->shape);
    return EXIT_GOOD;
}

/* Type and shape of input that does not say them itself. `array`: the one that is continued, or null. */
static int describe_raw(const settings *s, source *in, const shardio_array_facts *array)
{
    int status = choose_type(s, in, array);
    if (status == EXIT_GOOD && is_variable(in->dtype)) {
        in->big_endian = machine_is_big_endian();
        status = read_texts(s, in);
    }
    if (status == EXIT_GOOD && in->ndim == 0) status = choose_shape(s, in, array);
    if (status != EXIT_GOOD) return status;
    for (uint32_t i = 1; i < in->ndim; i++)
        if (in->shape[i] == 0) return complain(s, EXIT_USAGE, "only the first extent of the input can be 0");
    if (!measure_source(in)) return complain(s, EXIT_USAGE, "the input's shape exceeds 2^64 bytes");
    if (in->frames > 0) return EXIT_GOOD;
    if (is_variable(in->dtype) && array == NULL)       /* how many there are is known, so chunks need not be larger */
        in->shape[0] = in->text.count / in->frame_elements + (in->text.count % in->frame_elements != 0);
    in->frames = in->bytes = UNKNOWN;
    return EXIT_GOOD;
}

/* >>codecs ---------------------------------------------------------------------------------------------------- */

/* A codec as --codec names it, with up to three words behind it: "blosc:zstd:5:shuffle". */
typedef struct codec_word {
    char of[3][24];            /* "": not given */
    size_t element;            /* bytes of an element */
    bool checksum;             /* if the codec can: nothing else guards what it encodes */
} codec_word;

static const char *or_else(const char *word, const char *usual)
{
    return word[0] != 0 ? word : usual;
}

/* A whole number, or `usual`; what else stands there is left for the library to refuse, as a string. */
static void add_level(shardio_text *t, const char *word, const char *usual)
{
    const char *digits = word + (word[0] == '-');
    if (word[0] == 0 || digits[strspn(digits, "0123456789")] == 0) shardio_text_add(t, or_else(word, usual));
    else shardio_text_add_string(t, word);
}

static void add_zstd(shardio_text *t, const codec_word *word)
{
    shardio_text_add(t, "\"level\": ");
    add_level(t, word->of[0], "3");
    add_truth(t, "checksum", word->checksum);
}

static void add_gzip(shardio_text *t, const codec_word *word)
{
    shardio_text_add(t, "\"level\": ");
    add_level(t, word->of[0], "6");
}

/* Shuffling puts bytes, or bits, of the same weight side by side; elements of variable length have none. */
static void add_blosc(shardio_text *t, const codec_word *word)
{
    const char *shuffle = word->element == 0 ? "noshuffle" : word->element == 1 ? "bitshuffle" : "shuffle";
    shardio_text_add(t, "\"cname\": ");
    shardio_text_add_string(t, or_else(word->of[0], "lz4"));
    add_name(t, "clevel");
    add_level(t, word->of[1], "5");
    add_string(t, "shuffle", or_else(word->of[2], shuffle));
    add_number(t, "typesize", word->element > 0 && word->element < RAW_MOST ? word->element : 1);
    add_number(t, "blocksize", 0);
}

static void add_lz4(shardio_text *t, const codec_word *word)
{
    shardio_text_add(t, "\"acceleration\": ");
    add_level(t, word->of[0], "1");
}

typedef struct codec {
    const char *word, *name;           /* on the command line, in zarr.json */
    int words;                         /* that may follow the name */
    const char *library, *macro;       /* what it needs */
    const shardio_codec *(*table)(void);       /* null: not compiled in */
    void (*add)(shardio_text *t, const codec_word *word);
} codec;

#if SHARDIO_WITH_ZSTD
#define TABLE_ZSTD shardio_codec_zstd
#else
#define TABLE_ZSTD NULL
#endif
#if SHARDIO_WITH_ZLIB
#define TABLE_GZIP shardio_codec_gzip
#else
#define TABLE_GZIP NULL
#endif
#if SHARDIO_WITH_BLOSC
#define TABLE_BLOSC shardio_codec_blosc
#else
#define TABLE_BLOSC NULL
#endif
#if SHARDIO_WITH_LZ4
#define TABLE_LZ4 shardio_codec_lz4
#else
#define TABLE_LZ4 NULL
#endif

static const codec codecs[] = {
    {"zstd", "zstd", 1, "libzstd", "SHARDIO_WITH_ZSTD", TABLE_ZSTD, add_zstd},
    {"gzip", "gzip", 1, "zlib", "SHARDIO_WITH_ZLIB", TABLE_GZIP, add_gzip},
    {"blosc", "blosc", 3, "libblosc", "SHARDIO_WITH_BLOSC", TABLE_BLOSC, add_blosc},
    {"lz4", "numcodecs.lz4", 1, "liblz4", "SHARDIO_WITH_LZ4", TABLE_LZ4, add_lz4},
    {"crc32c", "crc32c", 0, NULL, NULL, shardio_codec_crc32c, NULL}
};

/* "zstd, gzip" of those that are compiled in, or are not; false: none. */
static bool list_codecs(bool here, char text[128])
{
    shardio_text t = {text, 128, 0};
    shardio_text_add(&t, "");
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        if ((codecs[i].table != NULL) != here) continue;
        shardio_text_add(&t, t.size > 0 ? ", " : "");
        shardio_text_add(&t, codecs[i].word);
    }
    return t.size > 0;
}

/* Takes one item of the option, `size` bytes at `item`: the codec, and the words behind it. */
static int take_codec(const settings *s, const char *named, const char *item, size_t size, const codec **found,
                      codec_word *word)
{
    const codec *c = codecs, *end = codecs + sizeof codecs / sizeof codecs[0];
    size_t length = strcspn(item, ":,");
    int words = 0;
    while (c < end && (strlen(c->word) != length || memcmp(c->word, item, length) != 0)) c++;
    if (c == end)
        return complain(s, EXIT_USAGE, "%s %.*s: has to be zstd, gzip, blosc, lz4, crc32c or none", named, (int)size,
                        item);
    if (c->table == NULL)
        return complain(s, EXIT_USAGE, "%s %s: this tool was built without it: install %s (make deps), then build with "
                        "%s (make examples)", named, c->word, c->library, c->macro);
    while (length < size) {
        const char *from = item + length + 1;
        size_t n = strcspn(from, ":,");
        if (words == c->words || n >= sizeof word->of[0])
            return complain(s, EXIT_USAGE, "%s %.*s: too much behind %s", named, (int)size, item, c->word);
        memcpy(word->of[words++], from, n);
        length += 1 + n;
    }
    *found = c;
    return EXIT_GOOD;
}

/* Adds ", {...}" for one item of the option, `size` bytes at `item`. */
static int add_codec(const settings *s, const char *named, const char *item, size_t size, size_t element,
                     shardio_text *t)
{
    codec_word word = {{"", "", ""}, element, false};
    const codec *c;
    int status = take_codec(s, named, item, size, &c, &word);
    if (status != EXIT_GOOD) return status;
    shardio_text_add(t, ", {\"name\": ");
    shardio_text_add_string(t, c->name);
    shardio_text_add(t, c->add != NULL ? ", \"configuration\": {" : "}");
    if (c->add == NULL) return EXIT_GOOD;
    c->add(t, &word);
    shardio_text_add(t, "}}");
    return EXIT_GOOD;
}

/* Adds all codecs that the option lists; `text` may be null. */
static int add_codecs_of(const settings *s, const char *named, const char *text, size_t element, shardio_text *t)
{
    if (text == NULL || strcmp(text, "none") == 0) return EXIT_GOOD;
    for (;; text++) {
        size_t size = strcspn(text, ",");
        int status = add_codec(s, named, text, size, element, t);
        if (status != EXIT_GOOD || text[size] == 0) return status;
        text += size;
    }
}

/* "2,0,1" or "reverse", a permutation of all dimensions. */
static int parse_transpose(const settings *s, uint32_t ndim, extents *order)
{
    uint64_t seen = 0;
    if (strcmp(s->transpose, "reverse") == 0) {
        order->count = ndim;
        for (uint32_t i = 0; i < ndim; i++) order->of[i] = ndim - 1 - i;
        return EXIT_GOOD;
    }
    bool good = parse_extents(s->transpose, order) && order->count == ndim;
    for (uint32_t i = 0; good && i < ndim; i++) {
        good = order->of[i] < ndim && (seen >> order->of[i] & 1) == 0;
        seen |= (uint64_t)1 << (order->of[i] & 63);
    }
    if (good) return EXIT_GOOD;
    return complain(s, EXIT_USAGE, "--transpose %s: has to name each of the dimensions 0 to %" PRIu32
                    " once, or be reverse", s->transpose, ndim - 1);
}

static void add_plain_list(shardio_text *t, const uint64_t *of, uint32_t count)
{
    char text[LIST_TEXT];
    shardio_text_add(t, "[");
    shardio_text_add(t, list_text(of, count, ", ", text));
    shardio_text_add(t, "]");
}

/* The codecs of the innermost chunks: a transposition, what makes bytes of elements, those of the options. */
static int add_innermost(const settings *s, const shardio_array_options *o, shardio_text *t)
{
    extents order;
    const size_t fixed = o->dtype == SHARDIO_RAW ? o->raw_bytes : shardio_dtype_size(o->dtype);
    const size_t element = is_variable(o->dtype) ? 0 : fixed;
    if (s->transpose != NULL) {
        int status = parse_transpose(s, o->ndim, &order);
        if (status != EXIT_GOOD) return status;
        shardio_text_add(t, "{\"name\": \"transpose\", \"configuration\": {\"order\": ");
        add_plain_list(t, order.of, order.count);
        shardio_text_add(t, "}}, ");
    }
    shardio_text_add(t, o->dtype == SHARDIO_STRING ? "{\"name\": \"vlen-utf8\"}"
                      : o->dtype == SHARDIO_BYTES  ? "{\"name\": \"vlen-bytes\"}"
                      : "{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}");
    int status = add_codecs_of(s, "--codec", s->codec, element, t);
    return status == EXIT_GOOD && s->chunk_crc ? add_codecs_of(s, "--chunk-crc", "crc32c", element, t) : status;
}

/* A shard; the codecs of its chunks follow, then end_shard. */
static void begin_shard(const uint64_t *chunk, uint32_t ndim, shardio_text *t)
{
    shardio_text_add(t, "{\"name\": \"sharding_indexed\", \"configuration\": {\"chunk_shape\": ");
    add_plain_list(t, chunk, ndim);
    shardio_text_add(t, ", \"codecs\": [");
}

static void end_shard(const settings *s, shardio_text *t)
{
    shardio_text_add(t, "], \"index_codecs\": [{\"name\": \"bytes\", \"configuration\": {\"endian\": \"little\"}}, "
                        "{\"name\": \"crc32c\"}], \"index_location\": ");
    shardio_text_add(t, s->index == INDEX_START ? "\"start\"}}" : "\"end\"}}");
}

/* The member "codecs" of zarr.json as the options want it. Chunks and shards of `o` are set. */
static int write_codec_list(const settings *s, const shardio_array_options *o, char *text, size_t size)
{
    shardio_text t = {text, size, 0};
    const bool sharded = o->shard[0] != 0, nested = s->subchunks.count > 0;
    if (nested && !sharded) return complain(s, EXIT_USAGE, "--subchunks needs --shards");
    if (s->outer_codec != NULL && !sharded) return complain(s, EXIT_USAGE, "--outer-codec needs shards");
    shardio_text_add(&t, "[");
    if (sharded) begin_shard(o->chunk, o->ndim, &t);
    if (nested) begin_shard(s->subchunks.of, o->ndim, &t);
    int status = add_innermost(s, o, &t);
    if (nested) end_shard(s, &t);
    if (sharded) end_shard(s, &t);
    if (status == EXIT_GOOD) status = add_codecs_of(s, "--outer-codec", s->outer_codec, 0, &t);
    shardio_text_add(&t, "]");
    if (status == EXIT_GOOD && t.size >= size) status = complain(s, EXIT_USAGE, "--codec: too many of them");
    return status;
}

/* >>import ---------------------------------------------------------------------------------------------------- */

typedef struct import_job {
    const settings *s;
    source in;
    shardio_array_options options;
    uint8_t fill[RAW_MOST];
    char codecs[8192];                     /* the list of codecs, as JSON */
    const char *names[SHARDIO_MAX_DIMS];
    char *names_text, *attributes;         /* owned */
    home where;
    shardio_array *array;
    shardio_array_facts facts;             /* of the array when it was begun */
    shardio_accounting accounting;
    shardio_memory_plan plan;
    uint64_t elements;                     /* appended */
    uint64_t checkpoint_elements;          /* between two checkpoints, or 0 */
    size_t lost;                           /* bytes of an element that the input ended in */
    uint64_t passes;                       /* over the input */
    double seconds;
    bar progress;
} import_job;

/* t,y,x -> three names; an empty one is null. */
static int split_names(import_job *job)
{
    const settings *s = job->s;
    uint32_t count = 0;
    size_t size = strlen(s->names) + 1;
    job->names_text = (char *)malloc(size);
    if (job->names_text == NULL) return out_of_memory(s);
    memcpy(job->names_text, s->names, size);
    for (char *name = job->names_text; name != NULL; count++) {
        char *comma = strchr(name, ',');
        if (comma != NULL) *comma = 0;
        if (count < job->in.ndim) job->names[count] = *name != 0 ? name : NULL;
        name = comma != NULL ? comma + 1 : NULL;
    }
    if (count != job->in.ndim)
        return complain(s, EXIT_USAGE, "--names %s: %" PRIu32 " name%s for %" PRIu32 " dimension%s", s->names,
                        count, plural(count), job->in.ndim, plural(job->in.ndim));
    job->options.dimension_names = job->names;
    return EXIT_GOOD;
}

static int read_attributes(import_job *job)
{
    const settings *s = job->s;
    char text[512];
    size_t size = 0;
    shardio_json value;
    shardio_error error;
    int status = read_named_file(s, s->attributes, 64 * (size_t)MIB, &job->attributes, &size);
    if (status != EXIT_GOOD) return status;
    if (shardio_json_parse(job->attributes, size, &value, &error) != SHARDIO_OK)
        return complain(s, EXIT_TROUBLE, "--attrs %s: %s", s->attributes,
                        shardio_error_text(&error, text, sizeof text));
    if (shardio_json_kind(value) != '{')
        return complain(s, EXIT_TROUBLE, "--attrs %s: not a JSON object", s->attributes);
    job->options.attributes = job->attributes;
    return EXIT_GOOD;
}

/* How the array is written; the same for a new one and one that is continued. */
static int set_writing(import_job *job)
{
    const settings *s = job->s;
    shardio_array_options *o = &job->options;
    if (s->buffer > SIZE_MAX || s->memory > SIZE_MAX)
        return complain(s, EXIT_USAGE, "--%s: more than this machine can address",
                        s->buffer > SIZE_MAX ? "buffer" : "memory");
    o->path = s->path;
    o->buffer_size = (size_t)s->buffer;
    o->memory = (size_t)s->memory;
    o->direct = direct_wish(s);
    o->overlap = overlap_wish(s);
    o->skip_fill = s->skip_fill;
    o->statistics = s->statistics;
    o->overwrite = s->force;
    o->accounting = &job->accounting;
    if (!multiply(s->checkpoint, job->in.frame_elements, &job->checkpoint_elements))
        job->checkpoint_elements = 0;              /* more than will ever come */
    return choose_durability(s, &o->durability, &o->checkpoint_every);
}

static int check_extents(const import_job *job, const char *name, const extents *list)
{
    char text[LIST_TEXT];
    if (list->count == 0) return EXIT_GOOD;
    if (list->count != job->in.ndim)
        return complain(job->s, EXIT_USAGE, "%s %s: %" PRIu32 " extent%s for %" PRIu32 " dimension%s", name,
                        list_text(list->of, list->count, ",", text), list->count, plural(list->count), job->in.ndim,
                        plural(job->in.ndim));
    for (uint32_t i = 0; i < list->count; i++)
        if (list->of[i] == 0) return complain(job->s, EXIT_USAGE, "%s: an extent cannot be 0", name);
    return EXIT_GOOD;
}

/* Chunks and shards as given, or as the library suggests. */
static int set_chunks(import_job *job)
{
    const settings *s = job->s;
    shardio_array_options *o = &job->options;
    shardio_error error;
    int status = check_extents(job, "--chunks", &s->chunks);
    if (status == EXIT_GOOD) status = check_extents(job, "--shards", &s->shards);
    if (status == EXIT_GOOD) status = check_extents(job, "--subchunks", &s->subchunks);
    if (status != EXIT_GOOD) return status;
    if (s->shards.count > 0 && s->chunks.count == 0) return complain(s, EXIT_USAGE, "--shards needs --chunks");
    memcpy(o->chunk, s->chunks.of, sizeof o->chunk);
    memcpy(o->shard, s->shards.of, sizeof o->shard);
    if (s->chunks.count == 0 && shardio_array_suggest(o, s->memory, 0, &error) != SHARDIO_OK)
        return complain_error(s, &error);
    o->codec_list = job->codecs;
    return write_codec_list(s, o, job->codecs, sizeof job->codecs);
}

/* What a new array is. */
static int set_identity(import_job *job)
{
    const settings *s = job->s;
    shardio_array_options *o = &job->options;
    char type[32];
    o->ndim = job->in.ndim;
    o->dtype = job->in.dtype;
    o->raw_bytes = o->dtype == SHARDIO_RAW ? (uint32_t)job->in.element : 0;
    if (job->in.time_unit[0] != 0) o->time_unit = job->in.time_unit;
    o->time_scale = job->in.time_scale;
    memcpy(o->shape, job->in.shape, sizeof o->shape);
    int status = set_chunks(job);
    if (status == EXIT_GOOD && s->names != NULL) status = split_names(job);
    if (status == EXIT_GOOD && s->attributes != NULL) status = read_attributes(job);
    if (status != EXIT_GOOD || s->fill == NULL) return status;
    if (!parse_fill(s->fill, o->dtype, job->in.element, job->fill))
        return complain(s, EXIT_USAGE, "--fill %s: no value of type %s", s->fill,
                        type_text(o->dtype, job->in.element, type));
    o->fill_value = job->fill;
    return EXIT_GOOD;
}

/* What this build cannot write is a mistake on the command line where it was asked for there. */
static int complain_creating(const settings *s, const shardio_error *error)
{
    const int status = complain_error(s, error);
    return error->status == SHARDIO_ERR_UNSUPPORTED && !s->append ? EXIT_USAGE : status;
}

/* After create or continue: the error that sticks to the array, or what it turned out to be. */
static int look_at_array(import_job *job)
{
    shardio_error error = shardio_array_error(job->array);
    if (error.status != SHARDIO_OK) return complain_creating(job->s, &error);
    shardio_array_describe(job->array, &job->facts);
    return EXIT_GOOD;
}

static int begin_new(import_job *job)
{
    shardio_error error;
    const settings *s = job->s;
    int status = job->in.npy ? describe_npy(s, &job->in) : describe_raw(s, &job->in, NULL);
    if (status == EXIT_GOOD) status = set_writing(job);
    if (status == EXIT_GOOD) status = set_identity(job);
    if (status != EXIT_GOOD) return status;
    size_t length = strlen(s->output) + (s->path != NULL ? strlen(s->path) + 1 : 0);
    if (shardio_array_memory(&job->options, length, &job->plan, &error) != SHARDIO_OK)
        return complain_creating(s, &error);
    job->array = shardio_array_create_in(&job->where.store, &job->options);
    return look_at_array(job);
}

/* The same for messages: with the unit, where that is what differs. */
static int complain_type(const settings *s, int status, const source *in, const shardio_array_facts *f)
{
    char ours[32], theirs[32];
    if (in->dtype == f->dtype && in->element == f->element_size)
        return complain(s, status, "the input counts in %" PRIu32 " %s, the array in %" PRIu32 " %s", in->time_scale,
                        in->time_unit, f->time_scale, f->time_unit);
    return complain(s, status, "the input is of type %s, the array of %s", type_text(in->dtype, in->element, ours),
                    type_text(f->dtype, f->element_size, theirs));
}

/* What the input is has to be what the array is, but for the number of frames. */
static int check_match(const import_job *job)
{
    const source *in = &job->in;
    const shardio_array_facts *f = &job->facts;
    char ours[LIST_TEXT], theirs[LIST_TEXT];
    int status = in->npy ? EXIT_TROUBLE : EXIT_USAGE;
    if (!is_same_type(in, f)) return complain_type(job->s, status, in, f);
    if (in->ndim != f->ndim || memcmp(in->shape + 1, f->shape + 1, (in->ndim - 1) * sizeof in->shape[0]) != 0)
        return complain(job->s, status, "frames of the input are %s, those of the array %s",
                        list_text(in->shape + 1, in->ndim - 1, " x ", ours),
                        list_text(f->shape + 1, f->ndim - 1, " x ", theirs));
    return EXIT_GOOD;
}

/* Whether the command line had this option. */
static bool is_given(const settings *s, const option *o)
{
    const void *where = (const char *)s + o->where;
    switch (o->kind) {
    case OPTION_FLAG: return *(const bool *)where;
    case OPTION_TEXT: return *(const char *const *)where != NULL;
    case OPTION_COUNT: case OPTION_U32: case OPTION_SIZE: return *(const uint64_t *)where > 0;
    case OPTION_WORD: return *(const int *)where != 0;
    case OPTION_EXTENTS: return ((const extents *)where)->count > 0;
    }
    return false;
}

/* The first option given that says what a new array is; null: none. */
static const char *option_for_new(const settings *s)
{
    for (size_t i = 0; i < sizeof new_array_options / sizeof new_array_options[0]; i++)
        if (is_given(s, &new_array_options[i])) return new_array_options[i].name;
    return NULL;
}

/* Looks at the array first, because raw input takes its type and shape from there. */
static int begin_append(import_job *job)
{
    const settings *s = job->s;
    shardio_array_options reading = {0};
    shardio_error error;
    if (option_for_new(s) != NULL)
        return complain(s, EXIT_USAGE, "%s does not go with --append", option_for_new(s));
    reading.path = s->path;
    shardio_array *old = shardio_array_open_in(&job->where.store, &reading, &error);
    int status = EXIT_GOOD;
    if (error.status != SHARDIO_OK) status = complain_error(s, &error);
    else shardio_array_describe(old, &job->facts);
    if (status == EXIT_GOOD && job->facts.ndim == 0)
        status = complain(s, EXIT_TROUBLE, "%s has no dimension to grow along", s->output);
    if (status == EXIT_GOOD)
        status = job->in.npy ? describe_npy(s, &job->in) : describe_raw(s, &job->in, &job->facts);
    if (status == EXIT_GOOD) status = check_match(job);
    if (status == EXIT_GOOD) status = set_writing(job);
    shardio_array_close(old);
    if (status != EXIT_GOOD) return status;
    job->array = shardio_array_continue_in(&job->where.store, &job->options);
    return look_at_array(job);
}

/* What was appended so far becomes readable: in an archive as a layer of its own. */
static shardio_status make_checkpoint(import_job *job, shardio_error *error)
{
    const shardio_status status = shardio_array_checkpoint(job->array);
    *error = shardio_array_error(job->array);
    if (status != SHARDIO_OK || job->where.archive == NULL) return status;
    return shardio_archive_commit(job->where.archive, error);
}

/* Appends whole elements of `size` bytes in all, with a checkpoint wherever --checkpoint wants one. */
static int append_bytes(import_job *job, uint8_t *data, size_t size)
{
    const size_t element = job->in.element;
    const uint64_t step = job->checkpoint_elements;
    if (job->in.big_endian != machine_is_big_endian()) swap_units(data, size, unit_of(job->in.dtype));
    for (uint64_t left = size / element; left > 0;) {
        uint64_t count = step > 0 && left > step - job->elements % step ? step - job->elements % step : left;
        shardio_status status = shardio_array_append(job->array, data, count);
        shardio_error error = shardio_array_error(job->array);
        job->elements += count;
        if (status == SHARDIO_OK && step > 0 && job->elements % step == 0) status = make_checkpoint(job, &error);
        if (status != SHARDIO_OK) {
            bar_end(&job->progress);
            return complain_error(job->s, &error);
        }
        data += (size_t)count * element;
        left -= count;
    }
    return EXIT_GOOD;
}

/* C order: from the input to the array as it comes, so that a camera's frames are soon there. */
static int copy_frames(import_job *job)
{
    const size_t size = 4 * (size_t)MIB, element = job->in.element;
    const uint64_t total = job->in.bytes;
    void *whole;
    uint8_t *block = aligned_memory(size, &whole);
    size_t held = 0, got = 1;              /* held: bytes of an element that is not complete */
    int status = block != NULL ? EXIT_GOOD : out_of_memory(job->s);
    for (uint64_t done = 0; status == EXIT_GOOD && got > 0 && done < total; done += got) {
        const size_t wanted = total - done < size - held ? (size_t)(total - done) : size - held;
        if (!read_some(&job->in, block + held, wanted, &got)) {
            bar_end(&job->progress);
            status = complain_read(job->s, &job->in);
        } else {
            const size_t rest = (held + got) % element, ready = held + got - rest;
            status = append_bytes(job, block, ready);
            memmove(block, block + ready, rest);
            held = rest;
            bar_show(&job->progress, done + got, total != UNKNOWN ? total : job->in.size);
        }
    }
    free(whole);
    job->lost = held;
    job->passes = 1;
    return status;
}

/* Elements that were read beforehand. */
static int copy_texts(import_job *job)
{
    const uint64_t most = job->in.bytes / sizeof(shardio_bytes);       /* of an open end: more than there are */
    const size_t count = job->in.text.count < most ? job->in.text.count : (size_t)most;
    job->passes = 1;
    return append_bytes(job, (uint8_t *)job->in.text.of, count * sizeof(shardio_bytes));
}

/* >>fortran --------------------------------------------------------------------------------------------------- */

/* In Fortran order the first dimension varies fastest: the input is a sequence of columns of shape[0] elements,
   each element of a column belonging to another frame. Every pass over the input gathers as many elements of the C
   order as the memory holds, elements [first, end) of the array, and appends them. */
typedef struct gather {
    uint8_t *out;
    uint64_t first, end;
    uint64_t place[SHARDIO_MAX_DIMS];      /* of the column, place[1] varying fastest */
    uint64_t stride[SHARDIO_MAX_DIMS];     /* elements between neighbours along a dimension, in C order */
    uint64_t inside;                       /* index of the column within a frame, in C order */
    uint64_t row;                          /* next element of the column */
} gather;

static void next_column(gather *g, const source *in)
{
    g->row = 0;
    for (uint32_t i = 1; i < in->ndim; i++) {
        g->inside += g->stride[i];
        if (++g->place[i] < in->shape[i]) return;
        g->inside -= g->stride[i] * in->shape[i];
        g->place[i] = 0;
    }
}

/* Copies `count` elements that lie side by side to places `step` elements apart. */
static void scatter(uint8_t *out, const uint8_t *in, uint64_t count, uint64_t step, size_t size)
{
    size_t stride = (size_t)step * size;
    switch (size) {            /* a constant size becomes a single move */
    case 1: for (; count > 0; count--, in += 1, out += stride) *out = *in; break;
    case 2: for (; count > 0; count--, in += 2, out += stride) memcpy(out, in, 2); break;
    case 4: for (; count > 0; count--, in += 4, out += stride) memcpy(out, in, 4); break;
    case 8: for (; count > 0; count--, in += 8, out += stride) memcpy(out, in, 8); break;
    default: for (; count > 0; count--, in += size, out += stride) memcpy(out, in, size); break;
    }
}

/* The first frame whose element of column g->inside has an index of at least `index`. */
static uint64_t first_frame(const gather *g, uint64_t index, uint64_t frame)
{
    return index <= g->inside ? 0 : (index - g->inside - 1) / frame + 1;
}

/* Takes `count` elements of the input. */
static void gather_block(gather *g, const source *in, const uint8_t *data, uint64_t count, size_t size)
{
    while (count > 0) {
        uint64_t run = in->frames - g->row < count ? in->frames - g->row : count;
        uint64_t from = first_frame(g, g->first, in->frame_elements);
        uint64_t to = first_frame(g, g->end, in->frame_elements);
        if (from < g->row) from = g->row;
        if (to > g->row + run) to = g->row + run;
        if (from < to) {
            uint64_t place = from * in->frame_elements + g->inside - g->first;
            scatter(g->out + (size_t)place * size, data + (size_t)(from - g->row) * size, to - from,
                    in->frame_elements, size);
        }
        data += (size_t)run * size;
        count -= run;
        g->row += run;
        if (g->row == in->frames) next_column(g, in);
    }
}

static int gather_pass(import_job *job, gather *g, uint8_t *block, size_t block_bytes, uint64_t pass)
{
    source *in = &job->in;
    size_t size = in->element, got;
    memset(g->place, 0, sizeof g->place);
    g->inside = g->row = 0;
    if (!seek_to(in->file, in->begin)) return complain_read(job->s, in);
    for (uint64_t done = 0; done < in->bytes; done += got) {
        size_t wanted = in->bytes - done < block_bytes ? (size_t)(in->bytes - done) : block_bytes;
        bool read = read_block(in, block, wanted, &got);
        if (!read || got < wanted) bar_end(&job->progress);
        if (!read) return complain_read(job->s, in);
        if (got < wanted) return complain(job->s, EXIT_TROUBLE, "%s: shorter than its header says", in->name);
        gather_block(g, in, block, got / size, size);
        bar_show(&job->progress, pass * in->bytes + done + got, job->passes * in->bytes);
    }
    return append_bytes(job, g->out, (size_t)(g->end - g->first) * size);
}

/* Elements gathered in a pass: whole frames where the memory holds one. */
static uint64_t gather_size(const import_job *job)
{
    const source *in = &job->in;
    uint64_t memory = job->s->memory > 0 ? job->s->memory : 256 * MIB, element = in->element;
    if (memory >= in->bytes) return in->bytes / element;
    if (memory >= in->frame_bytes) return memory / in->frame_bytes * in->frame_elements;
    return memory < element ? 1 : memory / element;
}

static int announce_passes(import_job *job, uint64_t held)
{
    const source *in = &job->in;
    char memory[32];
    if (in->size == UNKNOWN)
        return complain(job->s, EXIT_TROUBLE, "%s: Fortran order cannot be read from a pipe", in->name);
    if (in->size - in->begin < in->bytes)
        return complain(job->s, EXIT_TROUBLE, "%s: shorter than its header says", in->name);
    if (in->bytes > 0) job->passes = (in->bytes / in->element - 1) / held + 1;
    if (job->s->quiet) return EXIT_GOOD;
    return complain(job->s, EXIT_GOOD, "%s is in Fortran order: %" PRIu64 " pass%s over it with %s of memory "
                    "(--memory)", in->name, job->passes, job->passes == 1 ? "" : "es",
                    human(held * in->element, memory));
}

static int copy_fortran(import_job *job)
{
    source *in = &job->in;
    const size_t size = in->element, block_bytes = 4 * (size_t)MIB;
    uint64_t held = gather_size(job), total = in->bytes / size;
    void *whole_out = NULL, *whole_block = NULL;
    gather g;
    int status = announce_passes(job, held);
    if (status != EXIT_GOOD || total == 0) return status;
    memset(&g, 0, sizeof g);
    g.stride[in->ndim - 1] = 1;
    for (uint32_t i = in->ndim - 1; i > 1; i--) g.stride[i - 1] = g.stride[i] * in->shape[i];
    if (held <= SIZE_MAX / size) g.out = aligned_memory((size_t)held * size, &whole_out);
    uint8_t *block = aligned_memory(block_bytes, &whole_block);
    if (g.out == NULL || block == NULL) status = out_of_memory(job->s);
    for (uint64_t pass = 0; status == EXIT_GOOD && pass < job->passes; pass++) {
        g.first = pass * held;
        g.end = total - g.first < held ? total : g.first + held;
        status = gather_pass(job, &g, block, block_bytes, pass);
    }
    free(whole_out);
    free(whole_block);
    return status;
}

/* ---- import: the end ---- */

static uint64_t frames_imported(const import_job *job)
{
    const source *in = &job->in;
    return job->elements / in->frame_elements + (job->elements % in->frame_elements != 0);
}

/* Of elements; of texts their own bytes. */
static uint64_t imported_bytes(const import_job *job)
{
    return is_variable(job->in.dtype) ? job->in.text.bytes : frames_imported(job) * job->in.frame_bytes;
}

/* A pipe that goes on where no more is wanted: reported, not refused. */
static void warn_of_more(const settings *s, const source *in, const char *behind)
{
    if (in->size == UNKNOWN && holds_more(in->file))
        complain(s, EXIT_GOOD, "%s goes on behind %s: that was left out", in->name, behind);
}

/* The input's end was not where type and shape say: reported in one line, not refused. */
static void warn_of_ending(const import_job *job)
{
    const source *in = &job->in;
    const uint64_t reached = frames_imported(job);
    const uint64_t begun = job->elements % in->frame_elements;
    const bool bounded = in->bytes != UNKNOWN;
    char of[32] = "", frame[96] = "", element[64] = "";
    if (bounded) snprintf(of, sizeof of, " of %" PRIu64, in->frames);
    if (begun > 0)
        snprintf(frame, sizeof frame, "; in the last one the fill value stands for %" PRIu64 " element%s",
                 in->frame_elements - begun, plural(in->frame_elements - begun));
    if (job->lost > 0) snprintf(element, sizeof element, "; a part of an element was left out");
    if (begun > 0 || job->lost > 0 || (bounded && reached < in->frames))
        complain(job->s, EXIT_GOOD, "%s ended after %" PRIu64 "%s frame%s%s%s", in->name, reached, of,
                 plural(bounded ? in->frames : reached), frame, element);
    else if (bounded && in->size != UNKNOWN && in->size - in->begin > in->bytes)
        complain(job->s, EXIT_GOOD, "%s: %" PRIu64 " %s behind the last frame were left out", in->name,
                 (in->size - in->begin - in->bytes) / (is_variable(in->dtype) ? in->element : 1),
                 is_variable(in->dtype) ? "elements" : "bytes");
    else if (bounded)
        warn_of_more(job->s, in, "the last frame");
}

static void add_how_written(shardio_text *t, const shardio_accounting *a)
{
    add_number(t, "device_calls", a->device_calls);
    add_number(t, "device_bytes", a->device_bytes);
    add_number(t, "copied_bytes", a->copied_bytes);
    add_truth(t, "direct", a->direct);
    add_string(t, "direct_reason", a->direct_reason);
    add_truth(t, "overlap", a->overlap);
    add_string(t, "overlap_reason", a->overlap_reason);
}

static void add_seconds(shardio_text *t, double seconds)
{
    char text[32];
    snprintf(text, sizeof text, "%.6f", seconds);
    add_name(t, "seconds");
    shardio_text_add(t, text);
}

static void build_import_json(shardio_text *t, const void *context)
{
    const import_job *job = (const import_job *)context;
    const shardio_accounting *a = &job->accounting;
    const shardio_array_facts *f = &job->facts;
    uint64_t shape[SHARDIO_MAX_DIMS];
    char text[32];
    memcpy(shape, f->shape, sizeof shape);
    shape[0] = (job->s->append ? f->shape[0] : 0) + frames_imported(job);
    shardio_text_add(t, "{\"output\": ");
    shardio_text_add_string(t, job->s->output);
    add_number(t, "frames", frames_imported(job));
    add_list(t, "shape", shape, f->ndim);
    add_list(t, "chunks", f->chunk, f->ndim);
    add_list(t, "shards", f->sharded ? f->shard : NULL, f->ndim);
    add_string(t, "dtype", type_text(f->dtype, f->element_size, text));
    add_number(t, "logical_bytes", imported_bytes(job));
    add_number(t, "file_bytes", a->logical_bytes);
    add_number(t, "files", a->files);
    add_how_written(t, a);
    add_number(t, "dead_bytes", a->dead_bytes);
    add_number(t, "passes", job->passes);
    add_number(t, "memory_planned", job->plan.total > 0 ? job->plan.total : f->memory);
    add_seconds(t, job->seconds);
    shardio_text_add(t, "}");
}

/* The end of a line. */
static void print_how_written(const shardio_accounting *a)
{
    if (a->direct || a->direct_reason == NULL) printf(", written unbuffered\n");
    else printf(", written through the page cache (%s)\n", a->direct_reason);
}

static void print_import_summary(const import_job *job)
{
    const shardio_array_facts *f = &job->facts;
    const shardio_accounting *a = &job->accounting;
    char list[LIST_TEXT], bytes[32], rate[32], files[32];
    uint64_t size = imported_bytes(job);
    human(size, bytes);
    human(job->seconds > 0 ? (uint64_t)((double)size / job->seconds) : 0, rate);
    printf("%s: %" PRIu64 " frame%s %s, %s in %.2f s (%s/s)\n", job->s->output, frames_imported(job),
           plural(frames_imported(job)), job->s->append ? "appended" : "imported", bytes, job->seconds, rate);
    printf("  chunks  %s%s\n", list_text(f->chunk, f->ndim, ",", list),
           job->s->chunks.count == 0 && !job->s->append ? " (chosen; --chunks says otherwise)" : "");
    if (f->sharded) printf("  shards  %s\n", list_text(f->shard, f->ndim, ",", list));
    printf("  files   %" PRIu64 ", %s", a->files, human(a->logical_bytes, files));
    if (a->dead_bytes > 0) printf(", %s of it dead", human(a->dead_bytes, files));
    print_how_written(a);
}

static int finish_import(import_job *job)
{
    shardio_error error;
    shardio_status status = shardio_array_finish(job->array, &error);
    job->array = NULL;
    const int closed = status == SHARDIO_OK ? close_home(&job->where, EXIT_GOOD) : EXIT_TROUBLE;
    job->seconds = now() - job->progress.begun;
    bar_end(&job->progress);
    if (status != SHARDIO_OK) return complain_error(job->s, &error);
    if (closed != EXIT_GOOD) return closed;
    warn_of_ending(job);
    if (job->s->json) return print_json(job->s, build_import_json, job);
    if (!job->s->quiet) print_import_summary(job);
    return EXIT_GOOD;
}

/* What was written to an archive is forgotten as a whole, so that aborting need not look for its chunks one by one. */
static void abort_import(import_job *job)
{
    if (job->where.archive != NULL) shardio_archive_discard(job->where.archive, NULL);
    shardio_array_abort(job->array);
}

static int run_import(const settings *s)
{
    import_job job;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.in.file = -1;
    job.progress = bar_begin(s);
    int status = open_source(s, &job.in);
    if (status == EXIT_GOOD) status = open_home(s, s->output, s->append ? TO_CHANGE : TO_MAKE, &job.where);
    if (status == EXIT_GOOD) status = s->append ? begin_append(&job) : begin_new(&job);
    if (status == EXIT_GOOD)
        status = is_variable(job.in.dtype) ? copy_texts(&job) : job.in.fortran ? copy_fortran(&job) : copy_frames(&job);
    if (status == EXIT_GOOD) status = finish_import(&job);
    if (job.array != NULL) abort_import(&job);
    status = close_home(&job.where, status);
    close_source(&job.in);
    free(job.names_text);
    free(job.attributes);
    return status;
}

/* >>sink ------------------------------------------------------------------------------------------------------ */

/* Where results go that are a file: a slot, or standard output. The file shows up when all of it is there. */
typedef struct sink {
    bool standard;
    shardio_slot slot;
} sink;

static int complain_standard_output(const settings *s)
{
    return complain(s, EXIT_TROUBLE, "standard output: cannot write: %s", strerror(errno));
}

/* Whether a file that is there lies in a directory, or below. */
static bool lies_in(const char *path, const char *directory)
{
    char above[4096];
    size_t n = strlen(path);
    if (!is_regular_file(path) || n >= sizeof above) return false;
    memcpy(above, path, n + 1);
    while (n-- > 1) {
        if (above[n] != '/') continue;
        above[n] = 0;
        if (is_same_file(above, directory)) return true;
    }
    return path[0] != '/' && is_same_file(".", directory);
}

static int open_sink(const settings *s, sink *out, const char *path)
{
    shardio_slot_options options = {0};
    memset(out, 0, sizeof *out);
    out->standard = strcmp(path, "-") == 0;
    if (out->standard) {
        make_binary(stdout);
        return EXIT_GOOD;
    }
    if (is_same_file(s->input, path)) return complain(s, EXIT_USAGE, "%s is the file that is read", path);
    if (lies_in(path, s->input)) return complain(s, EXIT_USAGE, "%s is a part of what is read", path);
    options.overwrite = s->force;
    options.direct = direct_wish(s);
    if (shardio_slot_create(&out->slot, path, &options) == SHARDIO_OK) return EXIT_GOOD;
    return complain_error(s, &out->slot.error);
}

static int write_sink(const settings *s, sink *out, const void *data, size_t size)
{
    if (out->standard)
        return fwrite(data, 1, size, stdout) == size ? EXIT_GOOD : complain_standard_output(s);
    if (shardio_slot_append(&out->slot, data, size) == SHARDIO_OK) return EXIT_GOOD;
    return complain_error(s, &out->slot.error);
}

/* Ends it: with the file in place, or after trouble without a trace. */
static int close_sink(const settings *s, sink *out, int status)
{
    if (out->standard) return status != EXIT_GOOD || fflush(stdout) == 0 ? status : complain_standard_output(s);
    if (status != EXIT_GOOD) {
        shardio_slot_abort(&out->slot);
        return status;
    }
    if (shardio_slot_finish(&out->slot) == SHARDIO_OK) return EXIT_GOOD;
    return complain_error(s, &out->slot.error);
}

/* >>open ------------------------------------------------------------------------------------------------------ */

static shardio_array *open_in(const shardio_store *store, const char *path, bool unbuffered, shardio_error *error)
{
    shardio_array_options options = {0};
    options.path = path;
    options.unbuffered = unbuffered;
    return shardio_array_open_in(store, &options, error);
}

/* Opens the array for reading; on trouble there is nothing to close. */
static int open_array(const settings *s, const shardio_store *store, bool unbuffered, shardio_array **array)
{
    shardio_error error;
    *array = open_in(store, s->path, unbuffered, &error);
    if (error.status == SHARDIO_OK) return EXIT_GOOD;
    shardio_array_close(*array);
    return complain_error(s, &error);
}

/* Visits all shard files of an array. */
static int visit_shards(const settings *s, shardio_array *array, shardio_shard_visitor visit, void *context)
{
    shardio_error error;
    const shardio_status status = shardio_array_each_shard(array, visit, context, &error);
    if (status == SHARDIO_OK) return EXIT_GOOD;
    if (status == SHARDIO_ERR_MEMORY) return out_of_memory(s);
    if (status == SHARDIO_ERR_CANCELLED) return complain(s, EXIT_TROUBLE, "interrupted");
    return complain_error(s, &error);
}

/* INPUT as a single shard file, laid out as --chunks and its companions say. */
static shardio_index_layout layout_of_shard(const settings *s)
{
    shardio_index_layout layout = {0};
    layout.chunks = s->shard_chunks;
    layout.at_start = s->index == INDEX_START;
    layout.big_endian = s->index_endian == ENDIAN_BIG;
    layout.no_checksum = s->no_checksum;
    return layout;
}

static shardio_status open_shard(const settings *s, shardio_shard_reader *reader, shardio_error *error)
{
    shardio_index_layout layout = layout_of_shard(s);
    return shardio_shard_open(reader, s->input, &layout, NULL, error);
}

/* >>region ---------------------------------------------------------------------------------------------------- */

/* A region of an array and the blocks that it is cut into, each of which fits the memory: runs along one dimension,
   whole along all later ones. One after the other they are the region in C order. */
typedef struct region {
    uint32_t ndim, split;
    uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS];
    uint64_t step;                         /* a block ends at the next multiple of it along dimension `split` */
    uint64_t at[SHARDIO_MAX_DIMS], extent[SHARDIO_MAX_DIMS];           /* the block of the moment */
    uint64_t elements, most;               /* of the region; in the largest block */
} region;

/* "0:16", "5", ":7", "3:", ":" or nothing, up to a comma or the end; moves on behind it. */
static bool parse_part(const char **text, uint64_t extent, uint64_t *start, uint64_t *count)
{
    uint64_t begin = 0, end = extent;
    bool given = parse_uint64(text, &begin);
    if (**text == ':') {
        ++*text;
        if (!parse_uint64(text, &end)) end = extent;
    } else if (given) {
        if (begin == UINT64_MAX) return false;
        end = begin + 1;
    }
    if ((**text != ',' && **text != 0) || begin > end || end > extent) return false;
    *start = begin;
    *count = end - begin;
    return true;
}

static int parse_region(const settings *s, const shardio_array_facts *f, region *r)
{
    char shape[LIST_TEXT];
    const char *text = s->region != NULL ? s->region : "";
    memset(r, 0, sizeof *r);
    r->ndim = f->ndim;
    r->count[0] = 1;           /* of an array without dimensions, which is a block of one element */
    for (uint32_t i = 0; i < f->ndim; i++) {
        if (!parse_part(&text, f->shape[i], &r->start[i], &r->count[i]))
            return complain(s, EXIT_USAGE, "--region %s: dimension %" PRIu32 " is not begin:end within %s",
                            s->region, i, list_text(f->shape, f->ndim, ",", shape));
        if (*text == ',' && i + 1 < f->ndim) text++;
    }
    if (*text != 0)
        return complain(s, EXIT_USAGE, "--region %s: more than %" PRIu32 " dimension%s", s->region, f->ndim,
                        plural(f->ndim));
    return EXIT_GOOD;
}

/* Cuts the region along the first dimension that allows it, at the borders of shards where the memory holds one, or of
   chunks. `element`: bytes of memory for one. */
static int plan_blocks(const settings *s, const shardio_array_facts *f, uint64_t memory, uint64_t element, region *r)
{
    uint64_t inside = element, bytes;
    if (!multiply_all(r->count, r->ndim, &r->elements) || !multiply(r->elements, f->element_size, &bytes))
        return complain(s, EXIT_TROUBLE, "%s: its shape exceeds 2^64 bytes", s->input);
    if (r->elements == 0) return EXIT_GOOD;
    for (r->split = r->ndim; r->split > 1; r->split--) {
        if (inside * r->count[r->split - 1] > memory) break;
        inside *= r->count[r->split - 1];
    }
    if (r->split > 0) r->split--;
    const uint64_t start = r->start[r->split], count = r->count[r->split];
    const uint64_t shard = f->shard[r->split], chunk = f->chunk[r->split];
    r->step = memory / inside > 0 ? memory / inside : 1;
    if (r->step >= count) r->step = start + count;
    else if (shard > 0 && r->step > shard) r->step -= r->step % shard;
    else if (chunk > 0 && r->step > chunk) r->step -= r->step % chunk;
    r->most = inside / element * (r->step < count ? r->step : count);
    return r->most > SIZE_MAX / 2 / f->element_size ? out_of_memory(s) : EXIT_GOOD;
}

/* Elements of the block of the moment. */
static uint64_t block_elements(const region *r)
{
    uint64_t count = r->extent[r->split];
    for (uint32_t i = r->split + 1; i < r->ndim; i++) count *= r->extent[i];
    return count;
}

static void cut_block(region *r)
{
    const uint32_t k = r->split;
    const uint64_t left = r->start[k] + r->count[k] - r->at[k], cut = r->step - r->at[k] % r->step;
    r->extent[k] = left < cut ? left : cut;
}

/* False: the region is empty. */
static bool first_block(region *r)
{
    memcpy(r->at, r->start, sizeof r->at);
    for (uint32_t i = 0; i < r->ndim; i++) r->extent[i] = i <= r->split ? 1 : r->count[i];
    if (r->elements > 0) cut_block(r);
    return r->elements > 0;
}

/* Moves on along dimension `split` and carries over to the earlier ones; false at the end. */
static bool next_block(region *r)
{
    uint32_t i = r->split;
    r->at[i] += r->extent[i];
    while (r->at[i] >= r->start[i] + r->count[i]) {
        r->at[i] = r->start[i];
        if (i == 0) return false;
        r->at[--i]++;
    }
    cut_block(r);
    return true;
}

/* Memory that the contents of an element of variable length is taken to have, in addition. */
enum { USUAL_TEXT = 240 };

/* >>export ---------------------------------------------------------------------------------------------------- */

typedef struct export_job {
    const settings *s;
    shardio_array *array;
    shardio_array_facts facts;
    region r;
    int format;
    uint64_t done;                         /* elements */
    uint64_t inside[SHARDIO_MAX_DIMS];     /* JSON: elements in one list, from each dimension on */
    sink out;
    bar progress;
} export_job;

/* The header that numpy.save writes, padded to 64 bytes. */
static int write_npy_header(export_job *job)
{
    static const char begin[] = "\x93NUMPY\1\0\0\0{'descr': '";      /* the length comes last */
    const shardio_array_facts *f = &job->facts;
    const shardio_dtype t = f->dtype;
    char text[LIST_TEXT + 192], list[LIST_TEXT];
    shardio_text out = {text, sizeof text, 0};
    shardio_text_add_bytes(&out, begin, sizeof begin - 1);
    shardio_text_add(&out, unit_of(t) > 1 ? "<" : "|");
    shardio_text_add(&out, t == SHARDIO_BOOL ? "b" : t <= SHARDIO_INT64 ? "i" : t <= SHARDIO_UINT64 ? "u"
                         : t <= SHARDIO_FLOAT64 ? "f" : t == SHARDIO_RAW ? "V" : t == SHARDIO_DATETIME64 ? "M"
                         : t == SHARDIO_TIMEDELTA64 ? "m" : "c");
    shardio_text_add_uint64(&out, f->element_size);
    add_unit(&out, f);
    shardio_text_add(&out, "', 'fortran_order': False, 'shape': (");
    shardio_text_add(&out, list_text(job->r.count, f->ndim, ", ", list));
    shardio_text_add(&out, f->ndim == 1 ? ",), }" : "), }");
    while ((out.size + 1) % 64 != 0) shardio_text_add(&out, " ");
    shardio_text_add(&out, "\n");
    text[8] = (char)((out.size - 10) & 255);
    text[9] = (char)((out.size - 10) >> 8);
    return write_sink(job->s, &job->out, text, out.size);
}

/* ---- export: as JSON ---- */

static int write_text(export_job *job, const char *text)
{
    return write_sink(job->s, &job->out, text, strlen(text));
}

/* A JSON string of UTF-8, which the library has checked. */
static int write_string(export_job *job, const char *text, size_t size)
{
    int status = write_text(job, "\"");
    for (size_t i = 0, plain; status == EXIT_GOOD && i < size; i += plain + 1) {
        char escape[8] = "";
        for (plain = 0; i + plain < size; plain++) {
            const unsigned char c = (unsigned char)text[i + plain];
            if (c == '"' || c == '\\') snprintf(escape, sizeof escape, "\\%c", c);
            else if (c < ' ') snprintf(escape, sizeof escape, "\\u%04x", c);
            if (escape[0] != 0) break;
        }
        status = write_sink(job->s, &job->out, text + i, plain);
        if (status == EXIT_GOOD) status = write_text(job, escape);
    }
    return status == EXIT_GOOD ? write_text(job, "\"") : status;
}

static int write_base64(export_job *job, const uint8_t *bytes, size_t size)
{
    int status = write_text(job, "\"");
    for (size_t i = 0; i < size && status == EXIT_GOOD; i += 3) {
        const size_t n = size - i < 3 ? size - i : 3;
        const uint32_t group = (uint32_t)bytes[i] << 16 | (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                               (n > 2 ? bytes[i + 2] : 0u);
        char digits[4];
        for (size_t k = 0; k < 4; k++) digits[k] = k <= n ? base64_digits[group >> (18 - 6 * k) & 63] : '=';
        status = write_sink(job->s, &job->out, digits, sizeof digits);
    }
    return status == EXIT_GOOD ? write_text(job, "\"") : status;
}

static int write_element(export_job *job, const uint8_t *element)
{
    char text[8 * RAW_MOST] = "";
    shardio_text t = {text, sizeof text, 0};
    shardio_bytes variable;
    if (is_variable(job->facts.dtype)) {
        memcpy(&variable, element, sizeof variable);
        return job->facts.dtype == SHARDIO_STRING ? write_string(job, (const char *)variable.data, variable.size)
                                                  : write_base64(job, (const uint8_t *)variable.data, variable.size);
    }
    add_element(&t, job->facts.dtype, job->facts.element_size, element);
    return write_text(job, text);
}

/* The brackets of the lists that begin with element `number`, or end before it, and what separates them. */
static int write_brackets(export_job *job, uint64_t number)
{
    char text[3 * SHARDIO_MAX_DIMS + 4] = "";
    shardio_text t = {text, sizeof text, 0};
    uint32_t lists = 0;
    for (uint32_t i = 0; i < job->r.ndim; i++) lists += number % job->inside[i] == 0;
    for (uint32_t i = 0; i < lists && number > 0; i++) shardio_text_add(&t, "]");
    if (number == job->r.elements) return write_text(job, text);
    if (number > 0) shardio_text_add(&t, lists > 0 ? ",\n" : ", ");
    for (uint32_t i = 0; i < lists; i++) shardio_text_add(&t, "[");
    return write_text(job, text);
}

static int write_json_block(export_job *job, const uint8_t *block, uint64_t count)
{
    int status = EXIT_GOOD;
    for (uint64_t i = 0; i < count && status == EXIT_GOOD; i++, block += job->facts.element_size) {
        status = write_brackets(job, job->done + i);
        if (status == EXIT_GOOD) status = write_element(job, block);
    }
    return status;
}

static void begin_lists(export_job *job)
{
    uint64_t inside = 1;
    for (uint32_t i = job->r.ndim; i-- > 0;) job->inside[i] = inside *= job->r.count[i];
}

static int end_lists(export_job *job)
{
    int status = job->r.elements > 0 ? write_brackets(job, job->r.elements) : write_text(job, "[]");
    return status == EXIT_GOOD ? write_text(job, "\n") : status;
}

/* ---- export: all of it ---- */

/* What the elements come out as: as the option says, the end of OUTPUT, or their type. */
static int choose_format(const settings *s, const shardio_array_facts *f, int *format)
{
    *format = s->format != 0 ? s->format : ends_with(s->output, ".npy") ? FORMAT_NPY
            : is_variable(f->dtype) || ends_with(s->output, ".json") ? FORMAT_JSON : FORMAT_RAW;
    if (!is_variable(f->dtype) || *format == FORMAT_JSON) return EXIT_GOOD;
    return complain(s, EXIT_USAGE, "elements of type %s are written as JSON only: --format json",
                    shardio_dtype_name(f->dtype));
}

/* Reads the block of the moment and writes it. */
static int copy_block(export_job *job, uint8_t *block)
{
    const shardio_array_facts *f = &job->facts;
    const uint64_t count = block_elements(&job->r);
    const size_t size = (size_t)count * f->element_size;
    shardio_error error;
    int status;
    if (interrupted) return complain(job->s, EXIT_TROUBLE, "interrupted");
    if (shardio_array_read(job->array, job->r.at, job->r.extent, block, size, &error) != SHARDIO_OK) {
        bar_end(&job->progress);
        return complain_error(job->s, &error);
    }
    if (job->format == FORMAT_JSON) {
        status = write_json_block(job, block, count);
    } else {
        if (machine_is_big_endian()) swap_units(block, size, unit_of(f->dtype));
        status = write_sink(job->s, &job->out, block, size);
    }
    job->done += count;
    bar_show(&job->progress, job->done * f->element_size, job->r.elements * f->element_size);
    return status;
}

static int copy_region(export_job *job)
{
    void *whole = NULL;
    uint8_t *block = aligned_memory((size_t)job->r.most * job->facts.element_size, &whole);
    int status = block != NULL ? EXIT_GOOD : out_of_memory(job->s);
    if (status == EXIT_GOOD && job->format == FORMAT_NPY) status = write_npy_header(job);
    begin_lists(job);
    for (bool more = first_block(&job->r); status == EXIT_GOOD && more; more = next_block(&job->r))
        status = copy_block(job, block);
    if (status == EXIT_GOOD && job->format == FORMAT_JSON) status = end_lists(job);
    free(whole);
    return status;
}

static int export_array(export_job *job)
{
    const settings *s = job->s;
    const shardio_array_facts *f = &job->facts;
    const uint64_t memory = s->memory > 0 ? s->memory : 64 * MIB;
    int status = choose_format(s, f, &job->format);
    if (status == EXIT_GOOD) status = parse_region(s, f, &job->r);
    if (status == EXIT_GOOD)
        status = plan_blocks(s, f, memory, f->element_size + (is_variable(f->dtype) ? USUAL_TEXT : 0), &job->r);
    if (status == EXIT_GOOD) status = open_sink(s, &job->out, s->output);
    if (status != EXIT_GOOD) return status;
    job->progress = bar_begin(s);
    status = copy_region(job);
    bar_end(&job->progress);
    return close_sink(s, &job->out, status);
}

static int run_export(const settings *s)
{
    export_job job;
    memset(&job, 0, sizeof job);
    job.s = s;
    home h;
    const bool wanted = s->direct == DIRECT_ON || (s->direct != DIRECT_OFF && s->region == NULL);
    const bool unbuffered = wanted && !is_url(s->input);
    int status = open_home(s, s->input, TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    status = open_array(s, &h.store, unbuffered, &job.array);
    if (status == EXIT_GOOD) {
        shardio_array_describe(job.array, &job.facts);
        status = export_array(&job);
        shardio_array_close(job.array);
    }
    return close_home(&h, status);
}

/* >>pack ------------------------------------------------------------------------------------------------------ */

/* Packfiles: many small items in one file. Outside of it items are a stream, each its length (u32, little-endian) and
   its bytes; or, with --lines, lines of text. What records are encoded with is not in the file: it is never guessed. */

enum { LENGTH = 4 };                           /* bytes of the length of an item */

/* What --codec names. Stays where it is: `used` points into it. */
typedef struct pack_codec {
    const shardio_codec *used;                 /* null: records are not encoded */
    shardio_codec table;
    char configuration[640];
} pack_codec;

/* Whether the codec takes what its words say: found out before there is a file. */
static int try_pack_codec(const settings *s, const shardio_codec *c)
{
    shardio_json configuration = {NULL, 0};
    const char *reason = "the codec refuses it";
    void *instance = NULL;
    if (c->begin == NULL) return EXIT_GOOD;
    shardio_status status = shardio_json_parse(c->configuration, strlen(c->configuration), &configuration, NULL);
    if (status == SHARDIO_OK) status = c->begin(c->context, configuration, 1, NULL, &instance, &reason);
    if (status == SHARDIO_ERR_MEMORY) return out_of_memory(s);
    if (status != SHARDIO_OK) return complain(s, EXIT_USAGE, "--codec %s: %s", s->codec, reason);
    c->end(instance);
    return EXIT_GOOD;
}

static int choose_pack_codec(const settings *s, pack_codec *chosen)
{
    codec_word word = {{"", "", ""}, 0, true};
    shardio_text t = {chosen->configuration, sizeof chosen->configuration, 0};
    const codec *c;
    chosen->used = NULL;
    if (s->codec == NULL || strcmp(s->codec, "none") == 0) return EXIT_GOOD;
    if (strchr(s->codec, ',') != NULL) return complain(s, EXIT_USAGE, "--codec %s: records have one codec", s->codec);
    int status = take_codec(s, "--codec", s->codec, strlen(s->codec), &c, &word);
    if (status != EXIT_GOOD) return status;
    chosen->table = *c->table();
    chosen->used = &chosen->table;
    if (c->add == NULL) return EXIT_GOOD;
    shardio_text_add(&t, "{");
    c->add(&t, &word);
    shardio_text_add(&t, "}");
    chosen->table.configuration = chosen->configuration;
    return try_pack_codec(s, chosen->used);
}

/* ---- pack: items of standard input ---- */

/* A source, and what of it was read and not yet taken: bytes begin .. end-1 of the memory, which grows to the largest
   item. */
typedef struct feed {
    source in;
    uint8_t *memory;
    size_t room, begin, end;
    bool ended;
} feed;

static int make_feed_room(const settings *s, feed *f)
{
    if (f->begin > 0) {
        memmove(f->memory, f->memory + f->begin, f->end - f->begin);
        f->end -= f->begin;
        f->begin = 0;
        return EXIT_GOOD;
    }
    const size_t room = f->room > 0 ? 2 * f->room : (size_t)MIB;
    uint8_t *larger = room > f->room ? (uint8_t *)realloc(f->memory, room) : NULL;
    if (larger == NULL) return out_of_memory(s);
    f->memory = larger;
    f->room = room;
    return EXIT_GOOD;
}

/* Reads until `size` bytes are held, fewer only at the end. Memory grows with what comes, not with what lengths say. */
static int fill_feed(const settings *s, feed *f, size_t size)
{
    while (f->end - f->begin < size && !f->ended) {
        size_t got;
        int status = f->end == f->room ? make_feed_room(s, f) : EXIT_GOOD;
        if (status != EXIT_GOOD) return status;
        if (!read_some(&f->in, f->memory + f->end, f->room - f->end, &got)) return complain_read(s, &f->in);
        f->ended = got == 0;
        f->end += got;
    }
    return EXIT_GOOD;
}

/* Takes `size` bytes that are held. */
static const uint8_t *take_from_feed(feed *f, size_t size)
{
    f->begin += size;
    return f->memory + f->begin - size;
}

/* The next item, of number `item`; *data stays null at the end. */
static int take_sized_item(const settings *s, feed *f, uint64_t item, const uint8_t **data, size_t *size)
{
    int status = fill_feed(s, f, LENGTH);
    if (status != EXIT_GOOD || f->end == f->begin) return status;
    if (f->end - f->begin < LENGTH)
        return complain(s, EXIT_TROUBLE, "%s ends within the length of item %" PRIu64, f->in.name, item);
    const uint8_t *length = take_from_feed(f, LENGTH);
    *size = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 | (size_t)length[3] << 24;
    status = fill_feed(s, f, *size);
    if (status != EXIT_GOOD) return status;
    if (f->end - f->begin < *size)
        return complain(s, EXIT_TROUBLE, "%s ends within item %" PRIu64 ", after %zu of its %zu bytes", f->in.name,
                        item, f->end - f->begin, *size);
    *data = take_from_feed(f, *size);
    return EXIT_GOOD;
}

/* The next line, without its end; the last one counts without an end, too, if there is something in it. */
static int take_line_item(const settings *s, feed *f, uint64_t item, const uint8_t **data, size_t *size)
{
    (void)item;
    for (size_t seen = 0;;) {
        const size_t held = f->end - f->begin;
        const void *stop = held > seen ? memchr(f->memory + f->begin + seen, '\n', held - seen) : NULL;
        if (stop != NULL) {
            *size = (size_t)((const uint8_t *)stop - f->memory) - f->begin;
            *data = take_from_feed(f, *size + 1);
            return EXIT_GOOD;
        }
        if (f->ended) {
            *size = held;
            if (held > 0) *data = take_from_feed(f, held);
            return EXIT_GOOD;
        }
        seen = held;
        int status = fill_feed(s, f, held + 1);
        if (status != EXIT_GOOD) return status;
    }
}

/* ---- pack create: standard output as a file ---- */

static shardio_status write_standard(void *file, uint64_t offset, const void *data, size_t size, size_t *done,
                                     int *code)
{
    (void)file, (void)offset;
    *done = fwrite(data, 1, size, stdout);
    *code = *done < size ? errno : 0;
    return *done == size ? SHARDIO_OK : SHARDIO_ERR_IO;
}

static shardio_status describe_standard(void *file, shardio_file_facts *facts, int *code)
{
    (void)file, (void)code;
    memset(facts, 0, sizeof *facts);
    facts->stream = facts->special = true;
    return SHARDIO_OK;
}

static shardio_status close_standard(void *file, shardio_close how, bool durable, int *code)
{
    (void)file, (void)how, (void)durable;
    const bool good = fflush(stdout) == 0;
    if (!good) *code = errno;
    return good ? SHARDIO_OK : SHARDIO_ERR_IO;
}

static shardio_file standard_output(void)
{
    static const shardio_file_functions functions = {
        NULL, write_standard, NULL, describe_standard, NULL, NULL, NULL, NULL, NULL, NULL, close_standard, NULL, NULL
    };
    const shardio_file file = {&functions, NULL, "standard output"};
    return file;
}

/* ---- pack create ---- */

typedef struct pack_job {
    const settings *s;
    feed in;
    pack_codec codec;
    shardio_pack_writer writer;
    bool begun, standard;                      /* standard: the packfile is standard output */
    void *buffer;                              /* for it */
    char *app_data;
    size_t app_data_size;
    uint64_t items_per_record, items, bytes;
    double seconds;
    bar progress;
} pack_job;

static int check_pack_options(pack_job *job)
{
    const settings *s = job->s;
    job->standard = strcmp(s->input, "-") == 0;
    job->items_per_record = s->items_per_record > 0 ? s->items_per_record : 128;
    if (s->items_per_record > UINT32_MAX)
        return complain(s, EXIT_USAGE, "--items-per-record %" PRIu64 ": at most %" PRIu32, s->items_per_record,
                        UINT32_MAX);
    if (job->standard && s->json) return complain(s, EXIT_USAGE, "--json: standard output is the packfile");
    int status = choose_pack_codec(s, &job->codec);
    if (status != EXIT_GOOD || s->app_data == NULL) return status;
    return read_named_file(s, s->app_data, UINT32_MAX < SIZE_MAX ? UINT32_MAX : SIZE_MAX / 4, &job->app_data,
                           &job->app_data_size);
}

enum { BUFFER_FOR_STANDARD = 1 << 16 };

static shardio_status create_pack(pack_job *job, const shardio_pack_options *o, const shardio_slot_options *slot)
{
    if (!job->standard) return shardio_pack_create(&job->writer, job->s->input, o, slot);
    make_binary(stdout);
    return shardio_pack_begin(&job->writer, standard_output(), job->buffer, BUFFER_FOR_STANDARD, o, slot);
}

static int begin_pack(pack_job *job)
{
    const settings *s = job->s;
    shardio_pack_options o = {0};
    shardio_slot_options slot = {0};
    o.items_per_record = (uint32_t)s->items_per_record;
    o.format = (uint32_t)s->format_number;
    o.codec = job->codec.used;
    o.content_hash = s->content_hash;
    slot.direct = direct_wish(s);
    slot.overlap = overlap_wish(s);
    slot.overwrite = s->force;
    int status = choose_durability(s, &slot.durability, &slot.sync_every);
    if (status != EXIT_GOOD) return status;
    if (job->standard && (job->buffer = malloc(BUFFER_FOR_STANDARD)) == NULL) return out_of_memory(s);
    job->begun = true;
    return create_pack(job, &o, &slot) == SHARDIO_OK ? EXIT_GOOD : complain_error(s, &job->writer.slot.error);
}

/* What the format cannot say is the fault of an item; everything else that of the file. */
static int complain_item(const pack_job *job)
{
    const shardio_error *error = &job->writer.slot.error;
    char text[512];
    if (error->status != SHARDIO_ERR_LIMIT) return complain_error(job->s, error);
    return complain(job->s, EXIT_TROUBLE, "item %" PRIu64 ": %s", job->items,
                    shardio_error_text(error, text, sizeof text));
}

static int copy_items(pack_job *job)
{
    const settings *s = job->s;
    for (;;) {
        const uint8_t *item = NULL;
        size_t size = 0;
        int status = (s->lines ? take_line_item : take_sized_item)(s, &job->in, job->items, &item, &size);
        if (status != EXIT_GOOD || item == NULL) return status;
        if (shardio_pack_append(&job->writer, item, size) != SHARDIO_OK) return complain_item(job);
        job->items++;
        job->bytes += size;
        bar_show(&job->progress, job->bytes, UNKNOWN);
    }
}

static uint64_t records_written(const pack_job *job)
{
    return job->items / job->items_per_record + (job->items % job->items_per_record != 0);
}

static void build_packed_json(shardio_text *t, const void *context)
{
    const pack_job *job = (const pack_job *)context;
    const shardio_accounting a = shardio_pack_accounting(&job->writer);
    shardio_text_add(t, "{\"output\": ");
    shardio_text_add_string(t, job->s->input);
    add_number(t, "items", job->items);
    add_number(t, "records", records_written(job));
    add_number(t, "items_per_record", job->items_per_record);
    add_number(t, "logical_bytes", job->bytes);
    add_number(t, "file_bytes", a.logical_bytes);
    add_how_written(t, &a);
    add_seconds(t, job->seconds);
    shardio_text_add(t, "}");
}

static void print_packed(const pack_job *job)
{
    const shardio_accounting a = shardio_pack_accounting(&job->writer);
    char bytes[32], rate[32], file[32];
    human(job->seconds > 0 ? (uint64_t)((double)job->bytes / job->seconds) : 0, rate);
    printf("%s: %" PRIu64 " item%s in %" PRIu64 " record%s, %s in %.2f s (%s/s)\n", job->s->input, job->items,
           plural(job->items), records_written(job), plural(records_written(job)), human(job->bytes, bytes),
           job->seconds, rate);
    printf("  file    %s", human(a.logical_bytes, file));
    print_how_written(&a);
}

static int finish_pack(pack_job *job)
{
    shardio_error error;
    shardio_status status = shardio_pack_finish(&job->writer, job->app_data, job->app_data_size, &error);
    job->begun = false;
    job->seconds = now() - job->progress.begun;
    bar_end(&job->progress);
    if (status != SHARDIO_OK) return complain_error(job->s, &error);
    if (job->s->json) return print_json(job->s, build_packed_json, job);
    if (!job->s->quiet && !job->standard) print_packed(job);
    return EXIT_GOOD;
}

static int run_pack_create(const settings *s)
{
    pack_job job;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.in.in.name = "standard input";         /* descriptor 0 */
    job.progress = bar_begin(s);
    make_binary(stdin);
    int status = check_pack_options(&job);
    if (status == EXIT_GOOD) status = begin_pack(&job);
    if (status == EXIT_GOOD) status = copy_items(&job);
    bar_end(&job.progress);
    if (status == EXIT_GOOD) status = finish_pack(&job);
    if (job.begun) shardio_pack_abort(&job.writer);
    free(job.in.memory);
    free(job.app_data);
    free(job.buffer);
    return status;
}

/* ---- pack cat ---- */

typedef struct cat_job {
    const settings *s;
    pack_codec codec;
    shardio_pack_reader reader;
    sink out;
    uint64_t bytes;                            /* of items written */
    int status;                                /* of writing */
    bar progress;
} cat_job;

/* Opens INPUT; on trouble there is nothing to close. Items are as large as the memory allows. `opaque`: what they are
   encoded with is not known. */
static shardio_status open_pack(const settings *s, const shardio_codec *records, bool opaque,
                                shardio_pack_reader *reader, shardio_error *error)
{
    shardio_pack_reading reading = {0};
    reading.codec = records;
    reading.opaque = opaque;
    reading.decoded_limit = UINT32_MAX;
    return shardio_pack_open(reader, s->input, &reading, error);
}

static int write_line_item(cat_job *job, uint64_t item, const uint8_t *data, size_t size)
{
    const settings *s = job->s;
    if (size > 0 && memchr(data, '\n', size) != NULL)
        return complain(s, EXIT_TROUBLE, "item %" PRIu64 " of %s has more than one line: it cannot be written with "
                        "--lines", item, s->input);
    int status = write_sink(s, &job->out, data, size);
    return status == EXIT_GOOD ? write_sink(s, &job->out, "\n", 1) : status;
}

static int write_sized_item(cat_job *job, const uint8_t *data, size_t size)
{
    uint8_t length[LENGTH];
    for (int i = 0; i < LENGTH; i++) length[i] = (uint8_t)(size >> 8 * i);
    int status = write_sink(job->s, &job->out, length, sizeof length);
    return status == EXIT_GOOD ? write_sink(job->s, &job->out, data, size) : status;
}

static shardio_status write_item(void *context, uint64_t item, const uint8_t *data, size_t size, shardio_error *error)
{
    cat_job *job = (cat_job *)context;
    (void)error;
    if (interrupted) job->status = complain(job->s, EXIT_TROUBLE, "interrupted");
    else if (job->s->lines) job->status = write_line_item(job, item, data, size);
    else job->status = write_sized_item(job, data, size);
    job->bytes += size;
    bar_show(&job->progress, job->bytes, UNKNOWN);
    return job->status == EXIT_GOOD ? SHARDIO_OK : SHARDIO_ERR_CANCELLED;
}

/* What reading came to. Where --codec may be wrong, or missing, that is said. */
static int conclude_cat(const cat_job *job, shardio_status status, const shardio_error *error)
{
    const settings *s = job->s;
    char text[512];
    if (status == SHARDIO_OK || job->status != EXIT_GOOD) return job->status;
    shardio_error_text(error, text, sizeof text);
    if (status == SHARDIO_ERR_ARGUMENT) return complain(s, EXIT_USAGE, "--items: %s", text);
    if (job->codec.used != NULL && strcmp(error->operation, "decode") == 0)
        return complain(s, EXIT_TROUBLE, "%s (--codec %s: were records encoded with it?)", text, s->codec);
    if (job->codec.used == NULL && status == SHARDIO_ERR_CORRUPT)
        return complain(s, EXIT_TROUBLE, "%s (--codec NAME says with what)", text);
    return complain_error(s, error);
}

/* What --range asks for of `length` items or bytes of `subject`; without it, all of them. */
static int parse_range(const settings *s, const char *unit, uint64_t length, const char *subject, uint64_t *first,
                       uint64_t *count)
{
    const char *text = s->range != NULL ? s->range : ":";
    if (parse_part(&text, length, first, count) && *text == 0) return EXIT_GOOD;
    return complain(s, EXIT_USAGE, "--range %s: is not begin:end within the %" PRIu64 " %s%s of %s", s->range, length,
                    unit, plural(length), subject);
}

static int cat_range(cat_job *job)
{
    const settings *s = job->s;
    uint64_t first, count;
    shardio_error error;
    int wrong = parse_range(s, "item", job->reader.facts.items, s->input, &first, &count);
    if (wrong != EXIT_GOOD) return wrong;
    shardio_status status = shardio_pack_range(&job->reader, NULL, first, count, write_item, job, &error);
    return conclude_cat(job, status, &error);
}

/* Numbers with commas between them; free *list, whatever is returned. */
static int parse_items(const settings *s, uint64_t **list, size_t *count)
{
    const char *text = s->items;
    size_t room = 1;
    for (const char *c = text; *c != 0; c++) room += *c == ',';
    *list = room < SIZE_MAX / sizeof **list ? (uint64_t *)malloc(room * sizeof **list) : NULL;
    *count = 0;
    if (*list == NULL) return out_of_memory(s);
    for (bool more = true; more; text += more) {
        if (!parse_uint64(&text, &(*list)[(*count)++]) || (*text != ',' && *text != 0))
            return complain(s, EXIT_USAGE, "--items %s: has to be numbers such as 3,17,90", s->items);
        more = *text == ',';
    }
    return EXIT_GOOD;
}

static int cat_list(cat_job *job)
{
    shardio_error error;
    uint64_t *list = NULL;
    size_t count = 0;
    int status = parse_items(job->s, &list, &count);
    if (status == EXIT_GOOD)
        status = conclude_cat(job, shardio_pack_list(&job->reader, NULL, list, count, write_item, job, &error), &error);
    free(list);
    return status;
}

/* Writes the app data into the file that --app-data names. */
static int write_app_data(cat_job *job)
{
    const settings *s = job->s;
    const size_t size = job->reader.facts.app_data_bytes;
    shardio_error error;
    sink out;
    void *data = malloc(size + 1);
    int status = data != NULL ? EXIT_GOOD : out_of_memory(s);
    if (status == EXIT_GOOD && shardio_pack_app_data(&job->reader, data, size, &error) != SHARDIO_OK)
        status = complain_error(s, &error);
    if (status == EXIT_GOOD) status = open_sink(s, &out, s->app_data);
    if (status == EXIT_GOOD) status = close_sink(s, &out, write_sink(s, &out, data, size));
    free(data);
    return status;
}

static int cat_pack(cat_job *job)
{
    const settings *s = job->s;
    int status = s->app_data != NULL ? write_app_data(job) : EXIT_GOOD;
    if (status == EXIT_GOOD) status = open_sink(s, &job->out, "-");
    if (status != EXIT_GOOD) return status;
    job->progress = bar_begin(s);
    status = s->items != NULL ? cat_list(job) : cat_range(job);
    bar_end(&job->progress);
    return close_sink(s, &job->out, status);
}

static int run_pack_cat(const settings *s)
{
    cat_job job;
    shardio_error error;
    memset(&job, 0, sizeof job);
    job.s = s;
    if (s->range != NULL && s->items != NULL) return complain(s, EXIT_USAGE, "--range and --items: one of them");
    if (s->app_data != NULL && strcmp(s->app_data, "-") == 0)
        return complain(s, EXIT_USAGE, "--app-data -: standard output is for the items");
    int status = choose_pack_codec(s, &job.codec);
    if (status != EXIT_GOOD) return status;
    if (open_pack(s, job.codec.used, false, &job.reader, &error) != SHARDIO_OK) return complain_error(s, &error);
    status = cat_pack(&job);
    shardio_pack_close(&job.reader);
    return status;
}

/* >>listing --------------------------------------------------------------------------------------------------- */

/* A JSON object whose first member is a list that grows while work goes on: {"files": [...], "sound": true}. With
   --json only; begun with the first item, so that trouble before leaves standard output empty. */
typedef struct listing {
    const settings *s;
    const char *name;
    bool begun;
    uint64_t count;
} listing;

static void begin_listing(listing *l)
{
    if (l->begun) return;
    printf("{\"%s\": [", l->name);
    l->begun = true;
}

static void list_item(listing *l, json_builder build, const void *context)
{
    begin_listing(l);
    if (l->count++ > 0) fputs(", ", stdout);
    print_json(l->s, build, context);
}

/* Ends the list and the object; `build` (may be null) adds its other members. */
static int end_listing(listing *l, json_builder build, const void *context)
{
    begin_listing(l);
    fputs("]", stdout);
    int status = build != NULL ? print_json(l->s, build, context) : EXIT_GOOD;
    puts("}");
    return status;
}

/* >>nodes ----------------------------------------------------------------------------------------------------- */

/* A node at or below PATH: its zarr.json, or why it could not be read. */
typedef struct found_node {
    char *path, *text;                     /* owned; path from the store */
    shardio_node_kind kind;                /* SHARDIO_NODE_UNKNOWN: not readable, see fault */
    shardio_json root, attributes, consolidated;       /* pieces of the text */
    shardio_error fault;
} found_node;

/* All nodes, parents before children. */
typedef struct hierarchy {
    found_node *of;
    size_t count, capacity, groups, arrays;
} hierarchy;

static const char *const kind_names[] = {"damaged", "group", "array"};

/* The same piece of a copy of the text. */
static shardio_json moved(shardio_json piece, const char *from, const char *to)
{
    if (piece.text != NULL) piece.text = to + (piece.text - from);
    return piece;
}

static shardio_status keep_node(void *context, const char *path, const shardio_node *node, const shardio_error *fault)
{
    hierarchy *all = (hierarchy *)context;
    if (interrupted) return SHARDIO_ERR_CANCELLED;
    if (all->count == all->capacity) {
        size_t capacity = 2 * all->capacity + 64;
        found_node *of = (found_node *)realloc(all->of, capacity * sizeof *of);
        if (of == NULL) return SHARDIO_ERR_MEMORY;
        all->of = of;
        all->capacity = capacity;
    }
    found_node *n = &all->of[all->count++];
    memset(n, 0, sizeof *n);
    n->path = copy_text(path, strlen(path));
    if (node == NULL) {
        n->fault = *fault;
        return n->path != NULL ? SHARDIO_OK : SHARDIO_ERR_MEMORY;
    }
    n->text = copy_text(node->text, node->size);
    if (n->path == NULL || n->text == NULL) return SHARDIO_ERR_MEMORY;
    n->kind = node->kind;
    n->root = moved(node->root, node->text, n->text);
    n->attributes = moved(node->attributes, node->text, n->text);
    n->consolidated = moved(node->consolidated, node->text, n->text);
    all->groups += node->kind == SHARDIO_NODE_GROUP;
    all->arrays += node->kind == SHARDIO_NODE_ARRAY;
    return SHARDIO_OK;
}

static void free_nodes(hierarchy *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free(all->of[i].path);
        free(all->of[i].text);
    }
    free(all->of);
}

/* Paths name by name: what is below a node follows it. */
static int compare_paths(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) a++, b++;
    const int x = *a == '/' ? 1 : (unsigned char)*a, y = *b == '/' ? 1 : (unsigned char)*b;
    return x < y ? -1 : x > y;
}

static int compare_nodes(const void *a, const void *b)
{
    return compare_paths(((const found_node *)a)->path, ((const found_node *)b)->path);
}

static found_node *find_node(const hierarchy *all, const char *path)
{
    size_t low = 0, high = all->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_paths(path, all->of[middle].path);
        if (order == 0) return &all->of[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

/* The array that a key is part of, or null. */
static const found_node *array_above(const hierarchy *all, const char *key)
{
    char path[2048];
    const size_t length = strlen(key);
    if (length >= sizeof path) return NULL;
    memcpy(path, key, length + 1);
    for (size_t i = length + 1; i-- > 0;) {
        if (path[i] != '/' && i > 0) continue;
        path[i] = 0;
        const found_node *n = find_node(all, path);
        if (n != NULL) return n->kind == SHARDIO_NODE_ARRAY ? n : NULL;
    }
    return NULL;
}

/* On a server, which does not list what it has: the node at PATH, if no consolidated metadata says more. */
static shardio_status keep_remote_nodes(const settings *s, const shardio_store *store, hierarchy *all,
                                        shardio_error *error)
{
    shardio_node node;
    shardio_status status = shardio_node_open(&node, store, s->path, NULL, error);
    if (status != SHARDIO_OK) return status;
    if (shardio_json_kind(node.consolidated) != 0)
        status = shardio_hierarchy_walk(store, s->path, true, keep_node, all, NULL, error);
    else status = keep_node(all, s->path != NULL ? s->path : "", &node, NULL);
    shardio_node_close(&node);
    return status;
}

static bool lists_keys(const settings *s)
{
    return !is_remote(s) || s->remote->key != NULL;
}

/* Finds all nodes at PATH and below; free_nodes whatever is returned. */
static int find_nodes(const settings *s, const shardio_store *store, bool consolidated, hierarchy *all)
{
    shardio_error error;
    memset(all, 0, sizeof *all);
    const shardio_status walked =
        lists_keys(s) ? shardio_hierarchy_walk(store, s->path, consolidated, keep_node, all, NULL, &error)
                      : keep_remote_nodes(s, store, all, &error);
    if (all->count > 1) qsort(all->of, all->count, sizeof all->of[0], compare_nodes);
    if (walked == SHARDIO_OK) return EXIT_GOOD;
    if (walked == SHARDIO_ERR_MEMORY) return out_of_memory(s);
    return walked == SHARDIO_ERR_CANCELLED ? complain(s, EXIT_TROUBLE, "interrupted") : complain_error(s, &error);
}

/* What the keys below PATH begin with: "raw/", or nothing. */
static const char *prefix_of(const settings *s, char *prefix, size_t size)
{
    const char *path = s->path != NULL ? s->path : "";
    snprintf(prefix, size, "%s%s", path, path[0] != 0 ? "/" : "");
    return prefix;
}

/* How a node is called: its path, or "." for the store itself. */
static const char *name_of(const char *path)
{
    return path[0] != 0 ? path : ".";
}

/* ---- nodes: what their zarr.json says, without opening the array ---- */

/* JSON on one line. */
static void add_compact(shardio_text *t, shardio_json value)
{
    bool quoted = false;
    for (size_t i = 0; i < value.size; i++) {
        const char c = value.text[i];
        const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (quoted || !space) shardio_text_add_bytes(t, &c, 1);
        if (!quoted && (c == ',' || c == ':')) shardio_text_add(t, " ");
        if (quoted && c == '\\') shardio_text_add_bytes(t, &value.text[++i], 1);
        else if (c == '"') quoted = !quoted;
    }
}

static void add_json(shardio_text *t, const char *name, shardio_json value)
{
    add_name(t, name);
    if (shardio_json_kind(value) != 0) add_compact(t, value);
    else shardio_text_add(t, "null");
}

/* A string, number or list as a word: "10,6,8". */
static void add_word(shardio_text *t, shardio_json value)
{
    for (size_t i = 0; i < value.size; i++)
        if (strchr("\"[] \n\t\r", value.text[i]) == NULL) shardio_text_add_bytes(t, &value.text[i], 1);
}

/* "10,6,8", "()" for none. */
static void add_extents_word(shardio_text *t, shardio_json list)
{
    const size_t before = t->size;
    add_word(t, list);
    if (t->size == before) shardio_text_add(t, "()");
}

/* The name of an extension, {"name": ..., "configuration": ...} or the name alone. */
static shardio_json extension_name(shardio_json value)
{
    return shardio_json_kind(value) == '"' ? value : shardio_json_member(value, "name");
}

static void add_type_word(shardio_text *t, shardio_json root)
{
    uint64_t bytes;
    const shardio_json type = shardio_json_member(root, "data_type"), name = extension_name(type);
    const shardio_json length = shardio_json_member(shardio_json_member(type, "configuration"), "length_bytes");
    if (shardio_json_is(name, "raw_bytes") && shardio_json_uint64(length, &bytes) && bytes <= RAW_MOST) {
        shardio_text_add(t, "r");              /* as zarr-python says it */
        shardio_text_add_uint64(t, 8 * bytes);
    } else {
        add_word(t, name);
    }
}

/* One grid of an array: extents of its chunks and their codecs. */
typedef struct grid {
    shardio_json extents, codecs;
} grid;

enum { MOST_GRIDS = 8 };

/* The grids inside one another, outermost first. */
static uint32_t read_grids(shardio_json root, grid grids[MOST_GRIDS])
{
    uint32_t count = 0;
    shardio_json inside = shardio_json_member(shardio_json_member(root, "chunk_grid"), "configuration");
    shardio_json codecs_inside = shardio_json_member(root, "codecs"), value;
    while (count < MOST_GRIDS && shardio_json_kind(codecs_inside) == '[') {
        const shardio_json absent = {NULL, 0};
        size_t at = 0;
        grid *g = &grids[count++];
        g->extents = shardio_json_member(inside, "chunk_shape");
        g->codecs = codecs_inside;
        inside = absent;
        while (shardio_json_next(g->codecs, &at, NULL, &value))
            if (shardio_json_is(extension_name(value), "sharding_indexed"))
                inside = shardio_json_member(value, "configuration");
        codecs_inside = shardio_json_member(inside, "codecs");
    }
    return count;
}

/* Whether shards are files that can be read by themselves, without codecs around them. */
static bool has_shard_files(const shardio_array_facts *f)
{
    shardio_json value;
    size_t at = 0;
    if (!f->sharded) return false;
    while (shardio_json_next(f->codec_list, &at, NULL, &value))
        if (shardio_json_is(extension_name(value), "sharding_indexed")) break;
    return !shardio_json_next(f->codec_list, &at, NULL, &value);
}

static const char *grid_name(uint32_t i, uint32_t count)
{
    return count == 1 || i == 1 ? "chunks" : i == 0 ? "shards" : i == 2 ? "subchunks" : "inside";
}

/* "zstd:3", "blosc:lz4:5:shuffle", "transpose:2,0,1", "bytes:big" */
static void add_codec_word(shardio_text *t, shardio_json value)
{
    static const char *const shown[] = {"order", "endian", "level", "cname", "clevel", "shuffle", "acceleration",
                                        "index_location"};
    const shardio_json configuration = shardio_json_member(value, "configuration");
    add_word(t, extension_name(value));
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        const shardio_json member = shardio_json_member(configuration, shown[i]);
        if (shardio_json_kind(member) == 0) continue;
        shardio_text_add(t, ":");
        add_word(t, member);
    }
}

/* Whether a codec only makes bytes of elements, as every array needs it. */
static bool is_packing(shardio_json value)
{
    static const char *const names[] = {"bytes", "vlen-utf8", "vlen-bytes", "sharding_indexed"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (shardio_json_is(extension_name(value), names[i])) return true;
    return false;
}

/* The codecs of a grid as words, `before` the first one; `packing`: also those that every array has. */
static void add_codec_words(shardio_text *t, shardio_json list, const char *before, bool packing)
{
    shardio_json value;
    size_t at = 0;
    while (shardio_json_next(list, &at, NULL, &value)) {
        if (!packing && is_packing(value)) continue;
        shardio_text_add(t, before);
        add_codec_word(t, value);
        before = " ";
    }
}

/* "uint16  10,6,8  shards 4,6,8  chunks 2,3,4  zstd:3 crc32c" */
static void add_array_words(shardio_text *t, shardio_json root)
{
    grid grids[MOST_GRIDS];
    const uint32_t count = read_grids(root, grids);
    add_type_word(t, root);
    shardio_text_add(t, "  ");
    add_extents_word(t, shardio_json_member(root, "shape"));
    for (uint32_t i = 0; i < count; i++) {
        shardio_text_add(t, "  ");
        shardio_text_add(t, grid_name(i, count));
        shardio_text_add(t, " ");
        add_extents_word(t, grids[i].extents);
        add_codec_words(t, grids[i].codecs, "  ", false);
    }
}

/* A node as one JSON object. */
static void build_node_json(shardio_text *t, const void *context)
{
    const found_node *n = (const found_node *)context;
    char word[32] = "";
    shardio_text type = {word, sizeof word, 0};
    grid grids[MOST_GRIDS];
    shardio_text_add(t, "{\"path\": ");
    shardio_text_add_string(t, n->path);
    add_string(t, "kind", kind_names[n->kind]);
    if (n->kind == SHARDIO_NODE_ARRAY) {
        const shardio_json absent = {NULL, 0};
        const uint32_t count = read_grids(n->root, grids);
        add_type_word(&type, n->root);
        add_string(t, "dtype", word);
        add_json(t, "shape", shardio_json_member(n->root, "shape"));
        add_json(t, "chunks", count > 0 ? grids[count > 1 ? 1 : 0].extents : absent);
        add_json(t, "shards", count > 1 ? grids[0].extents : absent);
        add_json(t, "subchunks", count > 2 ? grids[2].extents : absent);
        add_json(t, "codecs", shardio_json_member(n->root, "codecs"));
    }
    if (n->kind == SHARDIO_NODE_UNKNOWN) {
        char text[512];
        add_string(t, "fault", shardio_error_text(&n->fault, text, sizeof text));
    }
    shardio_text_add(t, "}");
}

/* What `add` makes of a value, as memory of its own; null: there is none. */
static char *text_of(void (*add)(shardio_text *t, shardio_json value), shardio_json value)
{
    shardio_text measure = {NULL, 0, 0};
    add(&measure, value);
    shardio_text t = {(char *)malloc(measure.size + 1), measure.size + 1, 0};
    if (t.text == NULL) return NULL;
    t.text[0] = 0;
    add(&t, value);
    return t.text;
}

/* What stands behind the name of a node. */
static char *node_words(const found_node *n)
{
    char text[512];
    if (n->kind == SHARDIO_NODE_ARRAY) return text_of(add_array_words, n->root);
    if (n->kind == SHARDIO_NODE_GROUP) return copy_text("", 0);
    shardio_error_text(&n->fault, text, sizeof text);
    return copy_text(text, strlen(text));
}

/* >>ls -------------------------------------------------------------------------------------------------------- */

static int characters(const char *text)
{
    int count = 0;
    for (; *text != 0; text++) count += ((uint8_t)*text & 0xC0) != 0x80;
    return count;
}

static void print_nodes(const settings *s, const hierarchy *all)
{
    int width = 0;
    for (size_t i = 0; i < all->count; i++) {
        const int length = characters(name_of(all->of[i].path));
        if (length > width && length <= 40) width = length;
    }
    for (size_t i = 0; i < all->count; i++) {
        const found_node *n = &all->of[i];
        const char *name = name_of(n->path);
        const int left = width - characters(name), spaces = left > 0 ? left + 2 : 2;
        char *words = node_words(n);
        if (words == NULL) out_of_memory(s);
        else say("%s%*s%s%s%s", name, spaces, "", kind_names[n->kind], words[0] != 0 ? "  " : "", words);
        free(words);
    }
}

static int complain_nodes(const settings *s, const hierarchy *all)
{
    const size_t damaged = all->count - all->groups - all->arrays;
    if (damaged == 0) return EXIT_GOOD;
    return complain(s, EXIT_TROUBLE, "%s: %zu zarr.json cannot be read (shardio verify says more)", s->input, damaged);
}

/* The second argument, if there is one, in place of --path. */
static int take_path(const settings *s, settings *mine)
{
    *mine = *s;
    if (s->output == NULL) return EXIT_GOOD;
    if (s->path != NULL) return complain(s, EXIT_USAGE, "%s and --path %s: one of them", s->output, s->path);
    mine->path = s->output;
    return EXIT_GOOD;
}

static int run_ls(const settings *s)
{
    hierarchy all;
    home h;
    settings mine;
    int status = take_path(s, &mine);
    s = &mine;
    if (status == EXIT_GOOD) status = open_home(s, s->input, TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    status = find_nodes(s, &h.store, s->consolidated, &all);
    if (status == EXIT_GOOD && s->json) {
        listing l = {s, "nodes", false, 0};
        for (size_t i = 0; i < all.count; i++) list_item(&l, build_node_json, &all.of[i]);
        status = end_listing(&l, NULL, NULL);
    } else if (status == EXIT_GOOD) {
        print_nodes(s, &all);
    }
    if (status == EXIT_GOOD) status = complain_nodes(s, &all);
    free_nodes(&all);
    return close_home(&h, status);
}

/* >>archive --------------------------------------------------------------------------------------------------- */

static bool pass_over_entry(void *context, const shardio_archive_entry *entry)
{
    (void)context, (void)entry;
    return !interrupted;
}

/* What is known about an archive; the headers are read first, so that it is known to the byte what is live, unless a
   server would have to be asked for each. */
static int look_at_archive(const settings *s, shardio_archive *archive, shardio_archive_facts *facts)
{
    shardio_error error;
    if (!is_remote(s) && shardio_archive_each_entry(archive, pass_over_entry, NULL, &error) != SHARDIO_OK)
        return complain_error(s, &error);
    *facts = shardio_archive_about(archive);
    if (s->layer > 0) facts->torn_bytes = 0;       /* what lies behind an older layer are the newer ones */
    return EXIT_GOOD;
}

/* Whether the newest directory bears no number: another program wrote it, or there is nothing in it. All layers are
   then counted by searching for them, as --layer does. */
static bool is_without_number(const shardio_archive_facts *f)
{
    return f->foreign && f->layer == 1;
}

static bool take_number(void *context, uint64_t number, uint64_t directory, uint64_t size, uint64_t entries)
{
    (void)directory, (void)size, (void)entries;
    *(uint64_t *)context = number;
    return false;
}

/* The number of the newest layer, as --layer and rolling back count. */
static int number_of_newest(const settings *s, shardio_archive *archive, uint64_t *number)
{
    const shardio_archive_facts facts = shardio_archive_about(archive);
    shardio_error error;
    *number = facts.layer;
    if (!is_without_number(&facts)) return EXIT_GOOD;
    const shardio_status status = shardio_archive_each_layer(archive, true, take_number, number, &error);
    return status == SHARDIO_OK ? EXIT_GOOD : complain_error(s, &error);
}

static void add_archive(shardio_text *t, const shardio_archive_facts *f)
{
    shardio_text_add(t, "{\"layer\": ");
    shardio_text_add_uint64(t, f->layer);
    add_number(t, "entries", f->entries);
    add_number(t, "file_bytes", f->size);
    add_number(t, "live_bytes", f->live_bytes);
    add_number(t, "dead_bytes", f->accounting.dead_bytes);
    add_number(t, "torn_bytes", f->torn_bytes);
    add_truth(t, "foreign", f->foreign);
    add_truth(t, "chain_broken", f->chain_broken);
    add_string(t, "comment", f->comment);
    shardio_text_add(t, "}");
}

static void print_archive(const shardio_archive_facts *f)
{
    char size[32];
    printf("%-11s layer %" PRIu64 "%s, %" PRIu64 " entr%s, %s: %" PRIu64 " bytes live, %" PRIu64 " dead\n", "archive",
           f->layer, f->foreign && f->entries > 0 ? ", by another program" : "", f->entries,
           f->entries == 1 ? "y" : "ies", human(f->size, size), f->live_bytes, f->accounting.dead_bytes);
    if (f->comment[0] != 0) say("%-11s %s", "comment", f->comment);
    if (f->chain_broken) puts("            the layer before was overwritten by another program");
    if (f->torn_bytes > 0)
        printf("%-11s %" PRIu64 " bytes behind the layer, of a commit at work or lost (shardio recover)\n", "torn",
               f->torn_bytes);
}

/* >>info ------------------------------------------------------------------------------------------------------ */

/* All shard files of an array taken together. */
typedef struct totals {
    uint64_t files, bytes, live, index, dead, unreadable, temporary;
} totals;

typedef struct info {
    const settings *s;
    const shardio_archive_facts *archive;  /* null: it lies in none */
    const shardio_node *node;
    shardio_array_facts facts;
    grid grids[MOST_GRIDS];
    uint32_t grid_count;
    totals all;
} info;

static shardio_status count_shard(void *context, const char *key, const uint64_t *position, uint64_t file_size,
                                  shardio_shard_reader *reader, const shardio_error *fault)
{
    totals *all = (totals *)context;
    shardio_shard_summary summary;
    (void)key, (void)position;
    all->files++;
    all->bytes += file_size;
    if (fault != NULL) {
        all->unreadable++;
    } else if (reader == NULL) {
        all->live += file_size;                    /* a chunk without a shard */
    } else {
        shardio_status status = shardio_shard_verify(reader, &summary, NULL, NULL, NULL);
        if (status != SHARDIO_OK && status != SHARDIO_ERR_CORRUPT) return status;
        if (status != SHARDIO_OK) all->unreadable++;
        all->live += summary.live_bytes;
        all->index += summary.index_bytes;
        all->dead += summary.dead_bytes;
    }
    return interrupted ? SHARDIO_ERR_CANCELLED : SHARDIO_OK;
}

static bool count_temporary(void *context, const char *key, uint64_t size, bool temporary)
{
    (void)key, (void)size;
    if (temporary) ((totals *)context)->temporary++;
    return !interrupted;
}

static int count_files(info *job, const shardio_store *store, shardio_array *array)
{
    const int status = visit_shards(job->s, array, count_shard, &job->all);
    if (status != EXIT_GOOD) return status;
    return list_keys(job->s, store, job->facts.key_prefix, count_temporary, &job->all);
}

static void add_names(shardio_text *t, const shardio_array_facts *f)
{
    for (uint32_t i = 0; i < f->ndim; i++) {
        if (i > 0) shardio_text_add(t, ", ");
        if (f->dimension_names[i] != NULL) shardio_text_add_string(t, f->dimension_names[i]);
        else shardio_text_add(t, "null");
    }
}

static void add_index(shardio_text *t, const shardio_index_layout *index)
{
    add_name(t, "index");
    shardio_text_add(t, index->at_start ? "{\"location\": \"start\"" : "{\"location\": \"end\"");
    add_string(t, "endian", index->big_endian ? "big" : "little");
    add_truth(t, "checksum", !index->no_checksum);
    add_number(t, "chunks", index->chunks);
    shardio_text_add(t, "}");
}

static void add_keys(shardio_text *t, const shardio_array_facts *f)
{
    const char separator[2] = {f->key_separator, 0};
    add_name(t, "keys");
    shardio_text_add(t, f->key_v2 ? "{\"encoding\": \"v2\"" : "{\"encoding\": \"default\"");
    add_string(t, "separator", separator);
    shardio_text_add(t, "}");
}

static void add_totals(shardio_text *t, const totals *all)
{
    add_number(t, "files", all->files);
    add_number(t, "file_bytes", all->bytes);
    add_number(t, "live_bytes", all->live);
    add_number(t, "index_bytes", all->index);
    add_number(t, "dead_bytes", all->dead);
    add_number(t, "damaged_files", all->unreadable);
    add_number(t, "temporary_files", all->temporary);
}

static void add_its_archive(shardio_text *t, const info *job)
{
    if (job->archive == NULL) return;
    add_name(t, "archive");
    add_archive(t, job->archive);
}

/* Where what was fetched of a URL lies, and what it took this time. */
static void add_its_mirror(shardio_text *t, const settings *s)
{
    uint64_t requests, bytes;
    if (!is_remote(s)) return;
    count_requests(s->remote, &requests, &bytes);
    add_name(t, "mirror");
    shardio_text_add(t, "{\"place\": ");
    shardio_text_add_string(t, s->remote->place);
    add_number(t, "requests", requests);
    add_number(t, "fetched_bytes", bytes);
    shardio_text_add(t, "}");
}

static void print_its_mirror(const settings *s)
{
    char size[32];
    uint64_t requests, bytes;
    if (!is_remote(s)) return;
    count_requests(s->remote, &requests, &bytes);
    say("%-11s %s, %" PRIu64 " request%s, %s fetched", "mirror", s->remote->place, requests, plural(requests),
        human(bytes, size));
}

static void build_array_json(shardio_text *t, const void *context)
{
    const info *job = (const info *)context;
    const shardio_array_facts *f = &job->facts;
    const shardio_json absent = {NULL, 0};
    char type[32];
    shardio_text_add(t, "{\"kind\": \"array\"");
    add_string(t, "name", job->s->input);
    add_string(t, "path", job->s->path);
    add_string(t, "dtype", type_text(f->dtype, f->element_size, type));
    add_string(t, "endian", f->big_endian ? "big" : "little");
    add_list(t, "shape", f->shape, f->ndim);
    add_list(t, "chunks", f->chunk, f->ndim);
    add_list(t, "shards", f->sharded ? f->shard : NULL, f->ndim);
    add_json(t, "subchunks", job->grid_count > 2 ? job->grids[2].extents : absent);
    add_json(t, "fill_value", shardio_json_member(job->node->root, "fill_value"));
    add_name(t, "dimension_names");
    shardio_text_add(t, f->has_dimension_names ? "[" : "null");
    if (f->has_dimension_names) add_names(t, f);
    shardio_text_add(t, f->has_dimension_names ? "]" : "");
    add_json(t, "codecs", f->codec_list);
    if (f->sharded) add_index(t, &f->index);
    add_keys(t, f);
    if (!is_remote(job->s)) add_totals(t, &job->all);
    add_its_archive(t, job);
    add_its_mirror(t, job->s);
    add_name(t, "attributes");
    shardio_text_add(t, f->attributes);
    shardio_text_add(t, "}");
}

static void print_line(const char *name, const char *text)
{
    printf("%-11s %s\n", name, text);
}

static void print_list(const char *name, const uint64_t *of, uint32_t count)
{
    char text[LIST_TEXT];
    print_line(name, count > 0 ? list_text(of, count, ", ", text) : "()");
}

/* A line with a piece of zarr.json. */
static void print_json_line(const char *name, shardio_json value, const char *absent)
{
    char *text = shardio_json_kind(value) != 0 ? text_of(add_compact, value) : NULL;
    print_line(name, text != NULL ? text : absent);
    free(text);
}

static void add_all_codec_words(shardio_text *t, shardio_json list)
{
    add_codec_words(t, list, "", true);
}

/* A line for the codecs of each grid, the innermost first. */
static void print_codecs(const info *job)
{
    for (uint32_t i = job->grid_count; i-- > 0;) {
        char *words = text_of(add_all_codec_words, job->grids[i].codecs);
        printf("%-11s of %s: %s\n", i + 1 == job->grid_count ? "codecs" : "", grid_name(i, job->grid_count),
               words != NULL ? words : "");
        free(words);
    }
}

/* What the array is. */
static void print_identity(const info *job)
{
    const shardio_array_facts *f = &job->facts;
    char text[1024], type[32], units[24] = "";
    shardio_text t = {text, sizeof text, 0}, unit = {units, sizeof units, 0};
    add_unit(&unit, f);
    printf("%-11s %s%s%s\n", "type", type_text(f->dtype, f->element_size, type), units,
           unit_of(f->dtype) < 2 ? "" : f->big_endian ? ", big-endian" : ", little-endian");
    print_list("shape", f->shape, f->ndim);
    print_list("chunks", f->chunk, f->ndim);
    if (f->sharded) print_list("shards", f->shard, f->ndim);
    if (job->grid_count > 2) print_json_line("subchunks", job->grids[2].extents, "");
    print_json_line("fill value", shardio_json_member(job->node->root, "fill_value"), "");
    add_names(&t, f);
    if (f->has_dimension_names) print_line("dimensions", text);
    print_codecs(job);
    if (f->sharded)
        printf("%-11s at the %s, %s-endian, %s checksum, for %" PRIu64 " chunk%s\n", "index",
               f->index.at_start ? "start" : "end", f->index.big_endian ? "big" : "little",
               f->index.no_checksum ? "without" : "with", f->index.chunks, plural(f->index.chunks));
    printf("%-11s %s, separated by %c\n", "keys", f->key_v2 ? "v2" : "default", f->key_separator);
    print_json_line("attributes", job->node->attributes, "{}");
}

static void print_array(const info *job)
{
    const totals *all = &job->all;
    char size[32];
    print_identity(job);
    if (!is_remote(job->s))
        printf("%-11s %" PRIu64 ", %s: %" PRIu64 " bytes live, %" PRIu64 " index, %" PRIu64 " dead\n", "files",
               all->files, human(all->bytes, size), all->live, all->index, all->dead);
    if (all->temporary > 0)
        printf("%-11s %" PRIu64 " file%s of a writer that is at work or was killed\n", "temporary", all->temporary,
               plural(all->temporary));
    if (job->archive != NULL) print_archive(job->archive);
    print_its_mirror(job->s);
}

static int info_of_array(const settings *s, const shardio_store *store, const shardio_node *node,
                         const shardio_archive_facts *archive)
{
    info job;
    shardio_array *array;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.archive = archive;
    job.node = node;
    job.grid_count = read_grids(node->root, job.grids);
    int status = open_array(s, store, false, &array);
    if (status != EXIT_GOOD) return status;
    shardio_array_describe(array, &job.facts);
    if (!is_remote(s)) status = count_files(&job, store, array);       /* a server would be asked for each */
    if (status == EXIT_GOOD && s->json) status = print_json(s, build_array_json, &job);
    else if (status == EXIT_GOOD) print_array(&job);
    if (status == EXIT_GOOD && job.all.unreadable > 0)
        status = complain(s, EXIT_TROUBLE, "%s: %" PRIu64 " file%s damaged or not readable (shardio verify says more)",
                          s->input, job.all.unreadable, job.all.unreadable == 1 ? " is" : "s are");
    shardio_array_close(array);
    return status;
}

/* ---- info: a group ---- */

/* Where nodes hang in the tree. */
typedef struct branch {
    size_t parent;                         /* the next node above that is listed; NO_PARENT: the group itself */
    bool last, begun;                      /* the last one below its parent; one below it was seen */
} branch;

enum { NO_PARENT = 0 };                    /* the group comes first */

/* For nodes in order, the first of which is above all others. */
static branch *branches_of(const hierarchy *all)
{
    branch *of = (branch *)calloc(all->count, sizeof *of);
    if (of == NULL) return NULL;
    for (size_t i = 1; i < all->count; i++) {
        size_t above = i - 1;
        while (above != NO_PARENT) {
            const size_t length = strlen(all->of[above].path);
            if (strncmp(all->of[i].path, all->of[above].path, length) == 0 && all->of[i].path[length] == '/') break;
            above = of[above].parent;
        }
        of[i].parent = above;
    }
    for (size_t i = all->count; i-- > 1;) {
        of[i].last = !of[of[i].parent].begun;
        of[of[i].parent].begun = true;
    }
    return of;
}

/* The lines that come down from the nodes above. */
static void print_trunk(const branch *of, size_t i)
{
    if (i == NO_PARENT) return;
    print_trunk(of, of[i].parent);
    fputs(of[i].last ? "    " : "|   ", stdout);
}

static int print_tree(const settings *s, const hierarchy *all)
{
    branch *of = branches_of(all);
    if (of == NULL) return out_of_memory(s);
    puts(s->input);
    for (size_t i = 1; i < all->count; i++) {
        const found_node *n = &all->of[i];
        const size_t above = strlen(all->of[of[i].parent].path);
        char *words = node_words(n);
        print_trunk(of, of[i].parent);
        const char *name = n->path + above + (above > 0), *mark = of[i].last ? "`--" : "|--";
        if (words != NULL && words[0] != 0) say("%s %s  %s", mark, name, words);
        else say("%s %s", mark, name);
        free(words);
    }
    free(of);
    return EXIT_GOOD;
}

static void build_group_json(shardio_text *t, const void *context)
{
    const info *job = (const info *)context;
    add_string(t, "kind", "group");
    add_string(t, "name", job->s->input);
    add_string(t, "path", job->s->path);
    add_truth(t, "consolidated", shardio_json_kind(job->node->consolidated) != 0);
    if (shardio_json_kind(job->node->attributes) != 0) add_json(t, "attributes", job->node->attributes);
    else shardio_text_add(t, ", \"attributes\": {}");
    add_its_archive(t, job);
    add_its_mirror(t, job->s);
}

static int info_of_group(const settings *s, const shardio_store *store, const shardio_node *node,
                         const shardio_archive_facts *archive)
{
    info job;
    hierarchy all;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.archive = archive;
    job.node = node;
    int status = find_nodes(s, store, false, &all);
    if (status == EXIT_GOOD && s->json) {
        listing l = {s, "nodes", false, 0};
        for (size_t i = 0; i < all.count; i++) list_item(&l, build_node_json, &all.of[i]);
        status = end_listing(&l, build_group_json, &job);
    } else if (status == EXIT_GOOD) {
        const size_t groups = all.groups > 0 ? all.groups - 1 : 0;     /* this one is not below itself */
        const bool consolidated = shardio_json_kind(node->consolidated) != 0;
        if (lists_keys(s) || consolidated)
            printf("%-11s group, %zu group%s and %zu array%s below it%s\n", "kind", groups, plural(groups), all.arrays,
                   plural(all.arrays), consolidated ? ", consolidated metadata" : "");
        else
            print_line("kind", "group; without consolidated metadata a server does not say what is below it");
        print_json_line("attributes", node->attributes, "{}");
        if (archive != NULL) print_archive(archive);
        print_its_mirror(s);
        status = print_tree(s, &all);
    }
    if (status == EXIT_GOOD) status = complain_nodes(s, &all);
    free_nodes(&all);
    return status;
}

static void build_archive_json(shardio_text *t, const void *context)
{
    const info *job = (const info *)context;
    shardio_text_add(t, "{\"kind\": \"archive\"");
    add_string(t, "name", job->s->input);
    add_its_archive(t, job);
    add_its_mirror(t, job->s);
    shardio_text_add(t, "}");
}

/* An archive without a node at its root. */
static int info_of_archive(const settings *s, const shardio_archive_facts *archive)
{
    info job;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.archive = archive;
    if (s->json) return print_json(s, build_archive_json, &job);
    print_archive(archive);
    print_its_mirror(s);
    return EXIT_GOOD;
}

static int info_of_node(const settings *s, const home *h)
{
    shardio_node node;
    shardio_error error;
    shardio_archive_facts facts;
    const shardio_archive_facts *archive = h->archive != NULL ? &facts : NULL;
    int status = archive != NULL ? look_at_archive(s, h->archive, &facts) : EXIT_GOOD;
    if (status != EXIT_GOOD) return status;
    const shardio_status opened = shardio_node_open(&node, &h->store, s->path, NULL, &error);
    if (opened == SHARDIO_ERR_NOT_FOUND && archive != NULL && s->path == NULL) return info_of_archive(s, archive);
    if (opened != SHARDIO_OK) return complain_error(s, &error);
    status = (node.kind == SHARDIO_NODE_ARRAY ? info_of_array : info_of_group)(s, &h->store, &node, archive);
    shardio_node_close(&node);
    return status;
}

static int run_info_node(const settings *s)
{
    home h;
    int status = open_home(s, s->input, TO_READ, &h);
    return status == EXIT_GOOD ? close_home(&h, info_of_node(s, &h)) : status;
}

/* ---- info: a single shard file ---- */

static void add_summary(shardio_text *t, const shardio_shard_summary *summary)
{
    add_number(t, "file_bytes", summary->file_bytes);
    add_number(t, "live_bytes", summary->live_bytes);
    add_number(t, "index_bytes", summary->index_bytes);
    add_number(t, "dead_bytes", summary->dead_bytes);
    add_number(t, "present", summary->present);
    add_number(t, "missing", summary->missing);
    add_number(t, "smallest_chunk", summary->smallest);
    add_number(t, "largest_chunk", summary->largest);
    add_number(t, "faults", summary->faults);
}

typedef struct shard_info {
    const settings *s;
    shardio_shard_summary summary;
} shard_info;

static void build_shard_json(shardio_text *t, const void *context)
{
    const shard_info *job = (const shard_info *)context;
    shardio_text_add(t, "{\"kind\": \"shard\"");
    add_string(t, "name", job->s->input);
    add_number(t, "chunks", job->s->shard_chunks);
    add_summary(t, &job->summary);
    shardio_text_add(t, "}");
}

static void print_shard(const shardio_shard_summary *summary)
{
    char size[32];
    printf("%-11s %" PRIu64 " present, %" PRIu64 " missing\n", "chunks", summary->present, summary->missing);
    printf("%-11s %" PRIu64 " to %" PRIu64 " bytes\n", "lengths", summary->smallest, summary->largest);
    printf("%-11s %s: %" PRIu64 " bytes live, %" PRIu64 " index, %" PRIu64 " dead\n", "file",
           human(summary->file_bytes, size), summary->live_bytes, summary->index_bytes, summary->dead_bytes);
}

static int run_info_shard(const settings *s)
{
    shard_info job = {s, {0, 0, 0, 0, 0, 0, 0, 0, 0}};
    shardio_shard_reader reader;
    shardio_error error;
    if (open_shard(s, &reader, &error) != SHARDIO_OK) return complain_error(s, &error);
    shardio_status found = shardio_shard_verify(&reader, &job.summary, NULL, NULL, &error);
    int status = EXIT_GOOD;
    if (found != SHARDIO_OK && found != SHARDIO_ERR_CORRUPT) status = complain_error(s, &error);
    else if (s->json) status = print_json(s, build_shard_json, &job);
    else print_shard(&job.summary);
    if (status == EXIT_GOOD && job.summary.faults > 0)
        status = complain(s, EXIT_TROUBLE, "%s is damaged (shardio verify says how)", s->input);
    shardio_shard_close(&reader);
    return status;
}

/* ---- info: a packfile ---- */

/* Whether INPUT is a file that ends as packfiles do, and the options do not say that it is something else. So is one that
   cannot be opened: reading it as a packfile says why. */
static bool looks_like_pack(const settings *s)
{
    shardio_file file;
    if (s->shard_chunks > 0 || s->path != NULL || is_archive(s->input) || !is_regular_file(s->input)) return false;
    if (shardio_file_open(&file, s->input, SHARDIO_OPEN_READ, NULL, NULL) != SHARDIO_OK) return true;
    const bool pack = shardio_pack_is_one(&file);
    shardio_file_close(&file);
    return pack;
}

typedef struct pack_info {
    const settings *s;
    shardio_pack_facts facts;
} pack_info;

/* The content hash in hexadecimal; null: there is none. */
static const char *hash_text(const shardio_pack_facts *f, char text[65])
{
    if (!f->has_content_hash) return NULL;
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", f->content_hash[i]);
    return text;
}

static void build_pack_json(shardio_text *t, const void *context)
{
    const pack_info *job = (const pack_info *)context;
    const shardio_pack_facts *f = &job->facts;
    char hash[65];
    shardio_text_add(t, "{\"kind\": \"pack\"");
    add_string(t, "name", job->s->input);
    add_number(t, "items", f->items);
    add_number(t, "records", f->records);
    add_number(t, "items_per_record", f->items_per_record);
    add_number(t, "format", f->format);
    add_string(t, "content_hash", hash_text(f, hash));
    add_number(t, "file_bytes", f->file_bytes);
    add_number(t, "record_bytes", f->index_offset);
    add_number(t, "index_bytes", f->index_bytes);
    add_number(t, "app_data_bytes", f->app_data_bytes);
    shardio_text_add(t, "}");
}

static void print_pack(const shardio_pack_facts *f)
{
    char size[32], hash[65];
    const char *text = hash_text(f, hash);
    printf("%-11s packfile\n", "kind");
    printf("%-11s %" PRIu64 " in %" PRIu64 " record%s of %" PRIu32 "\n", "items", f->items, f->records,
           plural(f->records), f->items_per_record);
    printf("%-11s %" PRIu32 "\n", "format", f->format);
    print_line("hash", text != NULL ? text : "none");
    printf("%-11s %s: %" PRIu64 " bytes records, %" PRIu32 " index, %" PRIu32 " app data\n", "file",
           human(f->file_bytes, size), f->index_offset, f->index_bytes, f->app_data_bytes);
}

static int run_pack_info(const settings *s)
{
    pack_info job;
    shardio_pack_reader reader;
    shardio_error error;
    if (open_pack(s, NULL, true, &reader, &error) != SHARDIO_OK) return complain_error(s, &error);
    job.s = s;
    job.facts = reader.facts;
    shardio_pack_close(&reader);
    if (s->json) return print_json(s, build_pack_json, &job);
    print_pack(&job.facts);
    return EXIT_GOOD;
}

static int run_info(const settings *s)
{
    const bool whole = s->shard_chunks == 0 && s->path == NULL;
    if (whole && looks_like_mirror(s->input)) return run_mirror_info(s);
    return s->shard_chunks > 0 ? run_info_shard(s) : looks_like_pack(s) ? run_pack_info(s) : run_info_node(s);
}

/* >>stats ----------------------------------------------------------------------------------------------------- */

typedef struct stats_job {
    const settings *s;
    shardio_array_facts facts;
    shardio_statistics found;
    bar progress;
} stats_job;

/* An extreme: a number as JSON has it; bytes that are no text, and raw bits, as Base64 or a list as elsewhere. */
static void add_extreme(shardio_text *t, const shardio_array_facts *f, const uint8_t *element, size_t size)
{
    char text[SHARDIO_STATISTICS_BYTES + 1];
    if (f->dtype == SHARDIO_STRING) {
        while (size > 0 && !is_utf8((const char *)element, size)) size--;      /* may be cut within a character */
        memcpy(text, element, size);
        text[size] = 0;
        shardio_text_add_string(t, text);
    } else if (f->dtype == SHARDIO_RAW || f->dtype == SHARDIO_BYTES) {
        add_element(t, SHARDIO_RAW, size, element);
    } else {
        add_element(t, f->dtype, f->element_size, element);
    }
}

static void add_extremes(shardio_text *t, const stats_job *job)
{
    const shardio_statistics *found = &job->found;
    add_name(t, "min");
    if (found->has_range) add_extreme(t, &job->facts, found->min, found->min_size);
    else shardio_text_add(t, "null");
    add_name(t, "max");
    if (found->has_range) add_extreme(t, &job->facts, found->max, found->max_size);
    else shardio_text_add(t, "null");
}

static void build_stats_json(shardio_text *t, const void *context)
{
    const stats_job *job = (const stats_job *)context;
    shardio_text_add(t, "{\"rows\": ");
    shardio_text_add_uint64(t, job->found.rows);
    add_number(t, "nulls", job->found.nulls);
    add_extremes(t, job);
    add_truth(t, "min_cut", job->found.min_cut);
    add_truth(t, "max_cut", job->found.max_cut);
    shardio_text_add(t, "}");
}

static void print_extreme(const stats_job *job, const char *name, const uint8_t *element, size_t size, bool cut)
{
    char text[8 * RAW_MOST] = "";
    shardio_text t = {text, sizeof text, 0};
    add_extreme(&t, &job->facts, element, size);
    say("%-11s %s%s", name, text, cut ? " (cut)" : "");
}

static int print_stats(const stats_job *job)
{
    const shardio_statistics *found = &job->found;
    if (job->s->json) return print_json(job->s, build_stats_json, job);
    printf("%-11s %" PRIu64 ", %" PRIu64 " null\n", "elements", found->rows, found->nulls);
    if (found->has_range) print_extreme(job, "min", found->min, found->min_size, found->min_cut);
    if (found->has_range) print_extreme(job, "max", found->max, found->max_size, found->max_cut);
    return EXIT_GOOD;
}

/* Asks for them; with --make they are made first. */
static int ask_for_stats(stats_job *job, shardio_array *array)
{
    const settings *s = job->s;
    shardio_error error;
    shardio_status status = SHARDIO_OK;
    shardio_array_describe(array, &job->facts);
    if (s->make) status = shardio_array_make_statistics(array, bar_progress, &job->progress, &error);
    bar_end(&job->progress);
    if (status == SHARDIO_OK) status = shardio_array_statistics(array, &job->found, &error);
    if (status == SHARDIO_OK) return EXIT_GOOD;
    if (status == SHARDIO_ERR_NOT_FOUND && !s->make)
        return complain(s, EXIT_TROUBLE, "%s%s%.*s: there are none, or the array has changed since (--make makes them)",
                        s->input, job->facts.key_prefix[0] != 0 ? "/" : "",
                        (int)strlen(job->facts.key_prefix) - (job->facts.key_prefix[0] != 0), job->facts.key_prefix);
    return complain_error(s, &error);
}

static int run_stats(const settings *s)
{
    stats_job job;
    settings mine;
    home h;
    shardio_array *array;
    shardio_array_options options = {0};
    shardio_error error;
    int status = take_path(s, &mine);
    memset(&job, 0, sizeof job);
    job.s = s = &mine;
    job.progress = bar_begin(s);
    if (status == EXIT_GOOD) status = open_home(s, s->input, s->make ? TO_CHANGE : TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    options.path = s->path;
    options.fill_is_value = s->fill_is_value;
    array = (s->make ? shardio_array_update_in : shardio_array_open_in)(&h.store, &options, &error);
    if (error.status != SHARDIO_OK) status = complain_error(s, &error);
    else status = ask_for_stats(&job, array);
    if (status == EXIT_GOOD) status = print_stats(&job);       /* facts live as long as the array */
    shardio_array_close(array);
    return close_home(&h, status);
}

/* >>verify ---------------------------------------------------------------------------------------------------- */

typedef struct verification {
    const settings *s;
    listing findings;
    uint64_t faults;
    hierarchy all;                 /* nodes; none for a single file */
    shardio_archive_facts archive; /* of an archive */
    bool sound, pack;              /* pack: the file is a packfile, */
    shardio_pack_facts facts;      /* which says this of itself */
    shardio_pack_summary seen;
    bar progress;
} verification;

static void build_finding_json(shardio_text *t, const void *context)
{
    const shardio_error *finding = (const shardio_error *)context;
    char text[512];
    shardio_text_add(t, "{\"status\": ");
    shardio_text_add_string(t, shardio_status_name(finding->status));
    add_string(t, "subject", finding->subject);
    if (finding->offset != SHARDIO_NO_OFFSET) add_number(t, "offset", finding->offset);
    add_string(t, "text", shardio_error_text(finding, text, sizeof text));
    shardio_text_add(t, "}");
}

/* A line on standard output, or a member of the list of findings. */
static void print_finding(void *context, const shardio_error *finding)
{
    verification *job = (verification *)context;
    char text[512];
    bar_end(&job->progress);
    if (job->s->json) list_item(&job->findings, build_finding_json, finding);
    else say("%s", shardio_error_text(finding, text, sizeof text));
    job->faults++;
}

/* A finding of our own, about something in INPUT or (`path` null) all of it; `reason` is static text. */
static void report(verification *job, const char *path, const char *reason)
{
    shardio_error finding;
    memset(&finding, 0, sizeof finding);
    finding.status = SHARDIO_ERR_CORRUPT;
    finding.operation = "verify";
    finding.reason = reason;
    finding.offset = SHARDIO_NO_OFFSET;
    snprintf(finding.subject, sizeof finding.subject, "%s%s%s", job->s->input, path != NULL ? "/" : "",
             path != NULL ? path : "");
    print_finding(job, &finding);
}

/* Whether an error ends the work, in place of saying something about what is looked at. */
static bool ends_work(shardio_status status)
{
    return status == SHARDIO_ERR_CANCELLED || status == SHARDIO_ERR_MEMORY;
}

/* ---- verify: consolidated metadata ---- */

/* A JSON string without its escapes, or null; free it. */
static char *plain_text(shardio_json value)
{
    char *text = (char *)malloc(value.size + 1);
    if (text == NULL || shardio_json_string(value, text, value.size + 1)) return text;
    free(text);
    return NULL;
}

static bool same_strings(shardio_json a, shardio_json b)
{
    if (a.size == b.size && memcmp(a.text, b.text, a.size) == 0) return true;
    char *x = plain_text(a), *y = plain_text(b);
    const bool same = x != NULL && y != NULL && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

/* Unless `exact`, alike as floats is enough: 0.1 may stand for the nearest float or be written out as that. */
static bool same_numbers(shardio_json a, shardio_json b, bool exact)
{
    double x, y;
    uint64_t i, k;
    if (shardio_json_uint64(a, &i) && shardio_json_uint64(b, &k)) return i == k;
    if (!shardio_json_double(a, &x) || !shardio_json_double(b, &y)) return false;
    return x == y || (!exact && (float)x == (float)y);
}

static shardio_json member_of(shardio_json object, shardio_json name)
{
    shardio_json other, value;
    const shardio_json absent = {NULL, 0};
    size_t at = 0;
    while (shardio_json_next(object, &at, &other, &value))
        if (same_strings(name, other)) return value;
    return absent;
}

static bool alike(shardio_json a, shardio_json b, bool exact);

static bool alike_lists(shardio_json a, shardio_json b, bool exact)
{
    shardio_json x, y;
    size_t i = 0, k = 0;
    while (shardio_json_next(a, &i, NULL, &x))
        if (!shardio_json_next(b, &k, NULL, &y) || !alike(x, y, exact)) return false;
    return !shardio_json_next(b, &k, NULL, &y);
}

/* Whether all that `a` says, `b` says too; a member that is missing is taken for its default unless `exact`. */
static bool agrees(shardio_json a, shardio_json b, bool exact)
{
    shardio_json name, value;
    size_t at = 0;
    while (shardio_json_next(a, &at, &name, &value)) {
        const shardio_json other = member_of(b, name);
        if (shardio_json_kind(other) == 0 ? exact : !alike(value, other, exact)) return false;
    }
    return true;
}

/* Whether two values say the same. No deeper than the library lets JSON be nested. */
static bool alike(shardio_json a, shardio_json b, bool exact)
{
    const char x = shardio_json_kind(a), y = shardio_json_kind(b);
    if (!exact && x != y && (x == '"' || y == '"')) {      /* "crc32c" is {"name": "crc32c"} */
        const shardio_json one = extension_name(a), two = extension_name(b);
        return shardio_json_kind(one) == '"' && shardio_json_kind(two) == '"' && same_strings(one, two);
    }
    if (x != y) return false;
    return x == '{' ? agrees(a, b, exact) && agrees(b, a, exact) : x == '[' ? alike_lists(a, b, exact)
         : x == '"' ? same_strings(a, b) : x == '0' ? same_numbers(a, b, exact) : true;
}

/* Whether consolidated metadata says of a node what its zarr.json says. What consolidated metadata the node has itself
   does not count, and a member that only one of the two has is taken for its default, but of attributes. */
static bool says_the_same(shardio_json root, shardio_json entry)
{
    static const shardio_json none = {"{}", 2};
    shardio_json name, value, mine = none, theirs = none;
    size_t at = 0;
    while (shardio_json_next(root, &at, &name, &value)) {
        const shardio_json other = member_of(entry, name);
        if (shardio_json_is(name, "attributes")) mine = value;
        if (shardio_json_is(name, "attributes") || shardio_json_is(name, "consolidated_metadata")) continue;
        if (shardio_json_kind(other) != 0 && !alike(value, other, false)) return false;
    }
    value = shardio_json_member(entry, "attributes");
    if (shardio_json_kind(value) == '{') theirs = value;
    return alike(mine, theirs, true);
}

/* The nodes below a group, which lie side by side. */
static size_t nodes_below(const hierarchy *all, size_t group)
{
    const char *path = all->of[group].path;
    const size_t length = strlen(path);
    size_t count = 0;
    for (size_t i = group + 1; i < all->count; i++, count++)
        if (length > 0 && (strncmp(all->of[i].path, path, length) != 0 || all->of[i].path[length] != '/')) break;
    return count;
}

/* An entry of the consolidated metadata of a group; the node it is about is marked in `seen`. */
static void verify_entry(verification *job, size_t group, shardio_json name, shardio_json entry, bool *seen)
{
    char path[2048], relative[1024];
    const char *above = job->all.of[group].path;
    if (!shardio_json_string(name, relative, sizeof relative)) relative[0] = 0;
    snprintf(path, sizeof path, "%s%s%s", above, above[0] != 0 ? "/" : "", relative);
    const found_node *n = find_node(&job->all, path);
    if (n == NULL || n <= &job->all.of[group]) {
        report(job, path, "consolidated metadata of a node that is not there (shardio consolidate)");
    } else {
        seen[n - job->all.of] = true;
        if (n->kind != SHARDIO_NODE_UNKNOWN && !says_the_same(n->root, entry))
            report(job, path, "consolidated metadata is not what its zarr.json says (shardio consolidate)");
    }
}

static int verify_consolidated(verification *job, size_t group)
{
    const hierarchy *all = &job->all;
    const size_t below = nodes_below(all, group);
    shardio_json name, entry;
    size_t at = 0;
    bool *seen = (bool *)calloc(all->count, sizeof *seen);
    if (seen == NULL) return out_of_memory(job->s);
    while (shardio_json_next(all->of[group].consolidated, &at, &name, &entry))
        verify_entry(job, group, name, entry, seen);
    for (size_t i = group + 1; i <= group + below; i++)
        if (!seen[i]) report(job, all->of[i].path, "it is missing in consolidated metadata (shardio consolidate)");
    free(seen);
    return EXIT_GOOD;
}

/* ---- verify: all there is ---- */

/* What writers left behind in groups; that of arrays is found with them. */
static bool report_temporary(void *context, const char *key, uint64_t size, bool temporary)
{
    verification *job = (verification *)context;
    (void)size;
    if (temporary && array_above(&job->all, key) == NULL) report(job, key, "left behind by a writer that was lost");
    return !interrupted;
}

static int verify_groups(verification *job, const shardio_store *store, const char *prefix)
{
    int status = EXIT_GOOD;
    for (size_t i = 0; i < job->all.count && status == EXIT_GOOD; i++) {
        const found_node *n = &job->all.of[i];
        if (n->kind == SHARDIO_NODE_UNKNOWN) print_finding(job, &n->fault);
        if (shardio_json_kind(n->consolidated) != 0) status = verify_consolidated(job, i);
    }
    return status == EXIT_GOOD ? list_keys(job->s, store, prefix, report_temporary, job) : status;
}

static int verify_array(verification *job, const shardio_store *store, const char *path)
{
    shardio_error error;
    const uint64_t before = job->faults;
    shardio_array *array = open_in(store, path, false, &error);
    if (error.status == SHARDIO_OK)
        shardio_array_verify(array, print_finding, job, bar_progress, &job->progress, &error);
    shardio_array_close(array);
    bar_end(&job->progress);
    if (ends_work(error.status)) return complain_error(job->s, &error);
    if (error.status != SHARDIO_OK && job->faults == before) print_finding(job, &error);
    return EXIT_GOOD;
}

static int verify_nodes(verification *job, const shardio_store *store)
{
    const settings *s = job->s;
    char prefix[1024];
    int status = find_nodes(s, store, false, &job->all);
    if (status == EXIT_GOOD) status = verify_groups(job, store, prefix_of(s, prefix, sizeof prefix));
    for (size_t i = 0; i < job->all.count && status == EXIT_GOOD; i++)
        if (job->all.of[i].kind == SHARDIO_NODE_ARRAY) status = verify_array(job, store, job->all.of[i].path);
    return status;
}

/* All entries of an archive, whatever they are, and where it ends. */
static int verify_entries(verification *job, shardio_archive *archive)
{
    const settings *s = job->s;
    shardio_error error;
    job->archive = shardio_archive_about(archive);
    job->archive.comment = NULL;                   /* lives no longer than the archive */
    if (s->layer == 0 && job->archive.torn_bytes > 0)
        report(job, NULL, "it ends in a commit that is at work or was lost (shardio recover)");
    const uint64_t before = job->faults;
    shardio_archive_verify(archive, print_finding, job, bar_progress, &job->progress, &error);
    bar_end(&job->progress);
    if (ends_work(error.status)) return complain_error(s, &error);
    if (error.status != SHARDIO_OK && job->faults == before) print_finding(job, &error);
    return EXIT_GOOD;
}

static int verify_home(verification *job)
{
    home h;
    int status = open_home(job->s, job->s->input, TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    if (!lists_keys(job->s))
        return complain(job->s, EXIT_USAGE, "a URL: a server does not say what it has; an archive can be verified");
    if (h.archive != NULL) status = verify_entries(job, h.archive);
    const bool empty = h.archive != NULL && job->archive.entries == 0 && job->s->path == NULL;
    if (status == EXIT_GOOD && !empty) status = verify_nodes(job, &h.store);
    return close_home(&h, status);
}

/* What opening and verifying a single file came to: damage is a finding, all else is trouble. */
static int judge_file(verification *job, const shardio_error *error)
{
    const bool damage = error->status == SHARDIO_ERR_CORRUPT || error->status == SHARDIO_ERR_CHECKSUM ||
                        error->status == SHARDIO_ERR_TRUNCATED;
    if (error->status != SHARDIO_OK && !damage) return complain_error(job->s, error);
    if (damage && job->faults == 0) print_finding(job, error);
    return EXIT_GOOD;
}

static int verify_shard(verification *job)
{
    shardio_shard_reader reader;
    shardio_error error;
    if (open_shard(job->s, &reader, &error) == SHARDIO_OK)
        shardio_shard_verify(&reader, NULL, print_finding, job, &error);
    shardio_shard_close(&reader);
    return judge_file(job, &error);
}

static int verification_progress(void *context, uint64_t done, uint64_t total)
{
    return bar_progress(&((verification *)context)->progress, done, total);
}

static int verify_pack(verification *job)
{
    const settings *s = job->s;
    pack_codec records;
    shardio_pack_reader reader;
    shardio_error error;
    int status = choose_pack_codec(s, &records);
    if (status != EXIT_GOOD) return status;
    if (open_pack(s, records.used, s->codec == NULL, &reader, &error) == SHARDIO_OK) {
        job->facts = reader.facts;
        shardio_pack_verify(&reader, NULL, &job->seen, print_finding, job, verification_progress, job, &error);
        shardio_pack_close(&reader);
    }
    bar_end(&job->progress);
    return judge_file(job, &error);
}

static void build_verdict_json(shardio_text *t, const void *context)
{
    static const shardio_json unknown = {NULL, 0};
    const verification *job = (const verification *)context;
    if (job->pack) {
        add_number(t, "records", job->seen.records);
        add_number(t, "items", job->seen.items);
        add_number(t, "item_bytes", job->seen.item_bytes);
        add_truth(t, "contents_checked", job->seen.contents_checked);
        add_truth(t, "hash_checked", job->seen.hash_checked);
        add_truth(t, "hash_differs", job->seen.hash_differs);
    } else if (job->s->shard_chunks == 0) {
        add_number(t, "groups", job->all.groups);
        add_number(t, "arrays", job->all.arrays);
    }
    if (job->archive.layer > 0) {
        add_number(t, "layer", job->archive.layer);
        add_number(t, "entries", job->archive.entries);
    }
    if (job->pack && job->sound && !job->seen.contents_checked) add_json(t, "sound", unknown);
    else add_truth(t, "sound", job->sound);
}

/* A packfile without faults, as far as they could be looked for. */
static void print_sound_pack(const verification *job)
{
    const shardio_pack_facts *f = &job->facts;
    if (job->seen.contents_checked) {
        printf("%s: sound, %" PRIu64 " item%s in %" PRIu64 " record%s, %s\n", job->s->input, f->items, plural(f->items),
               f->records, plural(f->records), f->has_content_hash ? "content hash agrees" : "no content hash");
        return;
    }
    if (job->seen.hash_differs)
        printf("%s: its content hash does NOT agree with the records as they are: they are damaged, or encoded\n",
               job->s->input);
    printf("%s: nothing wrong with index and %" PRIu64 " record%s; not checked: items%s, as it is not known how they\n"
           "  are encoded: shardio pack verify --codec NAME, or --codec none, checks that as well\n", job->s->input,
           f->records, plural(f->records), f->has_content_hash ? " and content hash" : "");
}

/* Says how it ended. */
static int conclude(verification *job, int status)
{
    const settings *s = job->s;
    const hierarchy *all = &job->all;
    job->sound = status == EXIT_GOOD && job->faults == 0;
    if (s->json && (status == EXIT_GOOD || job->findings.begun)) end_listing(&job->findings, build_verdict_json, job);
    if (status != EXIT_GOOD) return status;
    if (job->faults > 0)
        return complain(s, EXIT_TROUBLE, "%s: not sound, %" PRIu64 " finding%s", s->input, job->faults,
                        plural(job->faults));
    if (s->json || s->quiet) return EXIT_GOOD;
    if (job->pack) print_sound_pack(job);
    else if (job->archive.layer > 0)
        printf("%s: sound, layer %" PRIu64 ", %" PRIu64 " entr%s, %zu group%s and %zu array%s\n", s->input,
               job->archive.layer, job->archive.entries, job->archive.entries == 1 ? "y" : "ies", all->groups,
               plural(all->groups), all->arrays, plural(all->arrays));
    else if (all->count > 1)
        printf("%s: sound, %zu group%s and %zu array%s\n", s->input, all->groups, plural(all->groups), all->arrays,
               plural(all->arrays));
    else printf("%s: sound\n", s->input);
    return EXIT_GOOD;
}

static int verify_input(const settings *s, bool pack)
{
    verification job;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.pack = pack;
    job.findings.s = s;
    job.findings.name = "findings";
    job.progress = bar_begin(s);
    int status = pack ? verify_pack(&job) : s->shard_chunks > 0 ? verify_shard(&job) : verify_home(&job);
    status = conclude(&job, status);
    free_nodes(&job.all);
    return status;
}

static int run_verify(const settings *s)
{
    return verify_input(s, looks_like_pack(s));
}

static int run_pack_verify(const settings *s)
{
    return verify_input(s, true);
}

/* >>layout ---------------------------------------------------------------------------------------------------- */

/* What lies in a shard file or in a layer of an archive, in the order of the file. */
typedef enum segment_kind {
    SEGMENT_LIVE, SEGMENT_INDEX, SEGMENT_DEAD, SEGMENT_TORN, SEGMENT_NOTHING, SEGMENTS
} segment_kind;

typedef struct segment {
    uint64_t begin, end;
    segment_kind kind;
} segment;

/* Bytes begin .. end-1 of a file, and the segments in them; what is in none is of the kind `rest`. */
typedef struct file_map {
    segment *of;
    size_t count, capacity;
    uint64_t begin, end;
    segment_kind rest;
} file_map;

/* A picture is a row of cells, each of a part of the file. Chunks that lie side by side alternate between two kinds
   where each fills a cell of its own. */
typedef enum cell_kind {
    CELL_EVEN, CELL_ODD, CELL_MIXED, CELL_DEAD, CELL_INDEX, CELL_TORN, CELL_NOTHING, CELL_KINDS
} cell_kind;
enum { TEXT_CELLS = 72, SVG_CELLS = 960, SHOWN_ROWS = 16 };
typedef enum subject { OF_SHARDS, OF_ARCHIVE, OF_MIRROR, SUBJECTS } subject;
static const struct {
    char letter;
    const char *color, *names[SUBJECTS];   /* what it stands for; null: it is in none of these pictures */
} cells[CELL_KINDS] = {{'#', "#2b6cb0", {"chunk", "value", "there"}},
                       {'=', "#63a4dd", {"the next chunk", "the next value", NULL}},
                       {':', "#b7a2c9", {"chunks, some dead", "values, some dead", "there in part"}},
                       {'.', "#d9d4cc", {"dead", "dead", "not fetched"}},
                       {'I', "#dd6b20", {"index", "directory", NULL}}, {'!', "#c53030", {NULL, "torn", NULL}},
                       {'_', "#f7f5f2", {NULL, "gap", NULL}}};

static int compare_segments(const void *a, const void *b)
{
    const segment *x = (const segment *)a, *y = (const segment *)b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static bool add_segment(file_map *map, uint64_t begin, uint64_t end, segment_kind kind)
{
    if (map->count == map->capacity) {
        const size_t capacity = 2 * map->capacity + 64;
        segment *of = capacity < SIZE_MAX / sizeof *of ? (segment *)realloc(map->of, capacity * sizeof *of) : NULL;
        if (of == NULL) return false;
        map->of = of;
        map->capacity = capacity;
    }
    segment *s = &map->of[map->count++];
    s->begin = begin;
    s->end = end;
    s->kind = kind;
    return true;
}

/* Where the chunks and the index of a shard lie; entries that point nowhere are left out. free() map->of. */
static shardio_status map_shard(shardio_shard_reader *reader, const shardio_index_layout *layout, file_map *map,
                                shardio_shard_summary *summary)
{
    shardio_status status = shardio_shard_verify(reader, summary, NULL, NULL, NULL);
    const uint64_t index = shardio_index_size(layout), size = summary->file_bytes;
    if (status != SHARDIO_OK && status != SHARDIO_ERR_CORRUPT) return status;
    const uint64_t begin = layout->at_start ? 0 : size - index;
    bool room = add_segment(map, begin, begin + index, SEGMENT_INDEX);
    map->end = size;
    map->rest = SEGMENT_DEAD;
    /* the index lies in the file, so there are at most file size / 16 chunks */
    for (uint64_t i = 0; i < layout->chunks && room; i++) {
        uint64_t offset, length;
        if (shardio_shard_locate(reader, i, &offset, &length, NULL) != SHARDIO_OK) continue;
        if (length != SHARDIO_MISSING) room = add_segment(map, offset, offset + length, SEGMENT_LIVE);
    }
    return room ? SHARDIO_OK : SHARDIO_ERR_MEMORY;
}

/* Bytes of [begin, end) in the cell that is [from, to). */
static double overlap(uint64_t begin, uint64_t end, double from, double to)
{
    double low = (double)begin > from ? (double)begin : from, high = (double)end < to ? (double)end : to;
    return high > low ? high - low : 0;
}

/* What a cell shows that has so many bytes of each kind, and so many live ones in segments of even number. */
static cell_kind choose_cell(const double *amount, double even, double width)
{
    static const cell_kind shown[SEGMENTS] = {CELL_EVEN, CELL_INDEX, CELL_DEAD, CELL_TORN, CELL_NOTHING};
    const double live = amount[SEGMENT_LIVE], used = live + amount[SEGMENT_INDEX];
    int most = SEGMENT_INDEX;
    if (amount[SEGMENT_INDEX] >= width / 2) return CELL_INDEX;
    if (used >= width * (1 - 1e-9)) return even >= live - even ? CELL_EVEN : CELL_ODD;
    if (used >= width / 2) return CELL_MIXED;
    for (int kind = SEGMENT_DEAD; kind < SEGMENTS; kind++)
        if (amount[kind] > amount[most] || most == SEGMENT_INDEX) most = kind;
    return shown[most];
}

/* The kind of one cell, of segments from *first on, which moves on past those that end before it. */
static cell_kind look_at_cell(const file_map *map, size_t *first, double from, double to, bool alternate)
{
    double amount[SEGMENTS] = {0}, even = 0, covered = 0;
    while (*first < map->count && (double)map->of[*first].end <= from) ++*first;
    for (size_t i = *first; i < map->count && (double)map->of[i].begin < to; i++) {
        const segment *s = &map->of[i];
        const double middle = ((double)s->begin + (double)s->end) / 2, bytes = overlap(s->begin, s->end, from, to);
        if (s->kind == SEGMENT_INDEX && middle >= from && middle < to) return CELL_INDEX;     /* however small */
        amount[s->kind] += bytes;
        covered += bytes;
        if (s->kind == SEGMENT_LIVE && (!alternate || i % 2 == 0)) even += bytes;
    }
    if (covered < to - from) amount[map->rest] += to - from - covered;
    return choose_cell(amount, even, to - from);
}

static void paint(file_map *map, uint8_t *kinds, size_t count)
{
    const double begin = (double)map->begin, size = (double)map->end - begin;
    const bool alternate = map->count <= count / 2;
    size_t first = 0;
    if (map->count > 0) qsort(map->of, map->count, sizeof map->of[0], compare_segments);
    for (size_t i = 0; i < count; i++)
        kinds[i] = (uint8_t)look_at_cell(map, &first, begin + size * (double)i / (double)count,
                                         begin + size * (double)(i + 1) / (double)count, alternate);
}

/* A shard file, or a layer of an archive, as it is drawn. */
typedef struct row {
    uint64_t position[SHARDIO_MAX_DIMS];   /* in the grid of shards; of a layer, how many are newer */
    char name[256], text[256];             /* text: its sizes, or what is wrong with it */
    uint8_t kinds[SVG_CELLS];
    bool drawn, damaged;                   /* not drawn: it could not be read */
} row;

/* Rows in the order of their positions; without --all only the first ones are kept. */
typedef struct picture {
    const settings *s;
    const shardio_index_layout *layout;
    subject of;
    uint32_t ndim;                         /* of the positions */
    row *rows;
    size_t count, capacity, left_out;
    size_t width;                          /* cells in a row */
    sink out;                              /* of the SVG, and */
    int status;                            /* how writing it goes */
} picture;

static int compare_positions(const picture *p, const uint64_t *a, const uint64_t *b)
{
    for (uint32_t i = 0; i < p->ndim; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

static bool make_room(picture *p)
{
    if (p->count < p->capacity) return true;
    size_t capacity = p->capacity * 2 + SHOWN_ROWS;
    row *rows = (row *)realloc(p->rows, capacity * sizeof *rows);
    if (rows == NULL) return false;
    p->rows = rows;
    p->capacity = capacity;
    return true;
}

/* The place for a row at `position`, its name set; null: out of memory, or with *beyond set not to be shown. */
static row *add_row(picture *p, const uint64_t *position, const char *name, bool *beyond)
{
    size_t place = p->count;
    while (place > 0 && compare_positions(p, position, p->rows[place - 1].position) < 0) place--;
    if (!p->s->all && p->count == SHOWN_ROWS) {
        p->left_out++;
        *beyond = place == p->count;
        if (*beyond) return NULL;
        p->count--;
    }
    if (!make_room(p)) return NULL;
    row *r = &p->rows[place];
    memmove(r + 1, r, (p->count++ - place) * sizeof *r);
    memset(r, 0, sizeof *r);
    for (uint32_t i = 0; i < p->ndim; i++) r->position[i] = position[i];
    snprintf(r->name, sizeof r->name, "%s", name);
    return r;
}

static void describe_shard(const shardio_shard_summary *m, row *r)
{
    char size[32];
    snprintf(r->text, sizeof r->text, "%s, %" PRIu64 " chunk%s, %" PRIu64 " missing, index %" PRIu64
             " bytes, dead %" PRIu64 " bytes%s", human(m->file_bytes, size), m->present, plural(m->present), m->missing,
             m->index_bytes, m->dead_bytes, m->faults > 0 ? ", DAMAGED" : "");
}

static shardio_status draw_shard(picture *p, row *r, shardio_shard_reader *reader)
{
    file_map map;
    shardio_shard_summary summary;
    memset(&map, 0, sizeof map);
    shardio_status status = map_shard(reader, p->layout, &map, &summary);
    if (status == SHARDIO_OK) {
        paint(&map, r->kinds, p->width);
        describe_shard(&summary, r);
        r->drawn = true;
        r->damaged = summary.faults > 0;
    }
    free(map.of);
    return status;
}

static shardio_status visit_shard(void *context, const char *key, const uint64_t *position, uint64_t file_size,
                                  shardio_shard_reader *reader, const shardio_error *fault)
{
    picture *p = (picture *)context;
    bool beyond = false;
    (void)file_size;
    if (interrupted) return SHARDIO_ERR_CANCELLED;
    row *r = add_row(p, position, key, &beyond);
    if (r == NULL) return beyond ? SHARDIO_OK : SHARDIO_ERR_MEMORY;
    if (fault == NULL) return draw_shard(p, r, reader);
    shardio_error_text(fault, r->text, sizeof r->text);
    r->damaged = true;
    return SHARDIO_OK;
}

/* ---- layout: as text ---- */

static void print_picture(const picture *p)
{
    bool seen[CELL_KINDS] = {false};
    for (size_t n = 0; n < p->count; n++) {
        const row *r = &p->rows[n];
        say("%s: %s", r->name, r->text);
        if (!r->drawn) continue;
        putchar('|');
        for (size_t i = 0; i < p->width; i++) {
            putchar(cells[r->kinds[i]].letter);
            seen[r->kinds[i]] = true;
        }
        puts("|");
    }
    if (p->left_out > 0) printf("... and %zu more (--all)\n", p->left_out);
    for (int kind = 0; kind < CELL_KINDS; kind++)
        if (seen[kind]) printf("  %c %s", cells[kind].letter, cells[kind].names[p->of]);
    putchar('\n');
}

/* ---- layout: as SVG ---- */

LIKE_PRINTF(2, 3)
static void svg(picture *p, const char *format, ...)
{
    char text[512];
    va_list arguments;
    if (p->status != EXIT_GOOD) return;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0) p->status = write_sink(p->s, &p->out, text, (size_t)length);
}

/* Text between tags: what means something in XML is escaped, what XML does not allow left out. */
static void svg_escaped(picture *p, const char *text)
{
    for (; *text != 0; text++) {
        if (*text == '<') svg(p, "&lt;");
        else if (*text == '&') svg(p, "&amp;");
        else if ((unsigned char)*text >= ' ') svg(p, "%c", *text);
    }
}

static void svg_row(picture *p, const row *r, unsigned y)
{
    svg(p, "<text x=\"20\" y=\"%u\">", y);
    svg_escaped(p, r->name);
    svg(p, "<tspan fill=\"#777\">  ");
    svg_escaped(p, r->text);
    svg(p, "</tspan></text>\n");
    for (size_t begin = 0, end; r->drawn && begin < p->width; begin = end) {
        for (end = begin + 1; end < p->width && r->kinds[end] == r->kinds[begin];) end++;
        svg(p, "<rect x=\"%zu\" y=\"%u\" width=\"%zu\" height=\"26\" fill=\"%s\"/>\n", 20 + begin, y + 7,
            end - begin, cells[r->kinds[begin]].color);
    }
}

static void svg_legend(picture *p, unsigned y)
{
    unsigned kinds = 0, x = 20;
    for (unsigned kind = 0; kind < CELL_KINDS; kind++) kinds += cells[kind].names[p->of] != NULL;
    for (unsigned kind = 0; kind < CELL_KINDS; kind++) {
        if (cells[kind].names[p->of] == NULL) continue;
        svg(p, "<rect x=\"%u\" y=\"%u\" width=\"12\" height=\"12\" fill=\"%s\"/>"
            "<text x=\"%u\" y=\"%u\">%s</text>\n",
            x, y - 11, cells[kind].color, x + 18, y, cells[kind].names[p->of]);
        x += 850 / kinds;
    }
    if (p->left_out > 0) svg(p, "<text x=\"870\" y=\"%u\">... and %zu more</text>\n", y, p->left_out);
}

static int write_svg(picture *p)
{
    unsigned y = 30, height = 62 * (unsigned)p->count + 50;
    p->status = open_sink(p->s, &p->out, p->s->svg);
    if (p->status != EXIT_GOOD) return p->status;
    svg(p, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" height=\"%u\" font-family=\"sans-serif\" "
        "font-size=\"13\">\n<rect width=\"1000\" height=\"%u\" fill=\"#fff\"/>\n", height, height);
    for (size_t i = 0; i < p->count; i++, y += 62) svg_row(p, &p->rows[i], y);
    svg_legend(p, y);
    svg(p, "</svg>\n");
    return close_sink(p->s, &p->out, p->status);
}

/* ---- layout: which shards ---- */

static int collect_shard(picture *p)
{
    shardio_shard_reader reader;
    shardio_index_layout layout = layout_of_shard(p->s);
    shardio_error error;
    p->layout = &layout;
    if (open_shard(p->s, &reader, &error) != SHARDIO_OK) return complain_error(p->s, &error);
    shardio_status status = visit_shard(p, p->s->input, NULL, 0, &reader, NULL);       /* without dimensions */
    shardio_shard_close(&reader);
    if (status == SHARDIO_OK) return EXIT_GOOD;
    return complain(p->s, EXIT_TROUBLE, "%s: %s", p->s->input, shardio_status_text(status));
}

static int collect_array(picture *p, const shardio_store *store)
{
    shardio_array *array;
    shardio_array_facts facts;
    int status = open_array(p->s, store, false, &array);
    if (status != EXIT_GOOD) return status;
    shardio_array_describe(array, &facts);
    p->layout = &facts.index;
    p->ndim = facts.ndim;
    if (!facts.sharded)
        status = complain(p->s, EXIT_TROUBLE, "%s has no shards: every file is one chunk", p->s->input);
    else if (!has_shard_files(&facts))
        status = complain(p->s, EXIT_TROUBLE, "%s has codecs around its shards: every file is encoded as a whole",
                          p->s->input);
    else status = visit_shards(p->s, array, visit_shard, p);
    shardio_array_close(array);
    return status;
}

/* ---- layout: an archive ---- */

typedef struct layer {
    uint64_t number, directory, size, entries;     /* size: bytes of the file up to its end */
} layer;

/* An archive as it is drawn: the whole file, then its layers, newest first. */
typedef struct archive_map {
    const settings *s;
    layer *layers;
    size_t count, capacity;
    file_map live;                         /* the values that the newest layer lists, by their offsets */
    file_map whole;
    file_map *into;                        /* where entries are added, */
    uint64_t begin;                        /* those from here on */
    bool full;                             /* out of memory */
} archive_map;

static bool keep_layer(void *context, uint64_t number, uint64_t directory, uint64_t size, uint64_t entries)
{
    archive_map *all = (archive_map *)context;
    if (all->count == all->capacity) {
        const size_t capacity = 2 * all->capacity + 16;
        layer *layers = (layer *)realloc(all->layers, capacity * sizeof *layers);
        all->full = layers == NULL;
        if (all->full) return false;
        all->layers = layers;
        all->capacity = capacity;
    }
    const layer l = {number, directory, size, entries};
    all->layers[all->count++] = l;
    return !interrupted;
}

/* Entries of the newest layer are live, those of older ones dead unless the newest has them too. */
static bool keep_entry(void *context, const shardio_archive_entry *entry)
{
    archive_map *all = (archive_map *)context;
    const uint64_t data = entry->data != SHARDIO_NO_OFFSET ? entry->data : entry->header;
    const uint64_t end = data < UINT64_MAX - entry->stored ? data + entry->stored : data;
    const segment found = {entry->header, end, SEGMENT_DEAD};
    if (entry->header < all->begin) return !interrupted;
    if (all->into == &all->live) {
        all->full = !add_segment(&all->live, found.begin, found.end, SEGMENT_LIVE);
    } else if (all->live.count == 0 ||
               bsearch(&found, all->live.of, all->live.count, sizeof found, compare_segments) == NULL) {
        all->full = !add_segment(all->into, found.begin, found.end, SEGMENT_DEAD);
    }
    return !interrupted && !all->full;
}

/* Adds what only older layers list of the bytes from `begin` on. A layer that does not open has nothing to show. */
static void add_dead(archive_map *all, const layer *l, uint64_t begin, file_map *into)
{
    shardio_archive_options options = {0};
    options.layer = l->number;
    shardio_archive *archive = shardio_archive_open(all->s->input, &options, NULL);
    all->into = into;
    all->begin = begin;
    if (archive != NULL) shardio_archive_each_entry(archive, keep_entry, all, NULL);
    shardio_archive_close(archive);
}

/* Maps layer i: what it added to the file. Of layers that are not shown what is not live is taken for dead. */
static bool map_layer(archive_map *all, size_t i, file_map *map)
{
    const layer *l = &all->layers[i];
    const bool shown = i < SHOWN_ROWS || all->s->all;
    map->begin = i + 1 < all->count ? all->layers[i + 1].size : 0;
    map->end = l->size;
    map->rest = SEGMENT_NOTHING;
    if (!shown) all->whole.rest = SEGMENT_DEAD;
    for (size_t k = 0; k < all->live.count && !all->full; k++) {
        const segment *live = &all->live.of[k];
        if (live->begin >= map->begin && live->begin < map->end)
            all->full = !add_segment(map, live->begin, live->end, SEGMENT_LIVE);
    }
    if (i > 0 && shown && !all->full) add_dead(all, l, map->begin, map);
    return !all->full && add_segment(map, l->directory, l->size, SEGMENT_INDEX);
}

/* "8.1 KiB from 4096, 3 values, directory 352 bytes, dead 120 bytes, gaps 3 bytes" */
static void describe_segments(const file_map *map, row *r)
{
    char size[32];
    uint64_t bytes[SEGMENTS] = {0}, values = 0, covered = 0;
    for (size_t i = 0; i < map->count; i++) {
        bytes[map->of[i].kind] += map->of[i].end - map->of[i].begin;
        covered += map->of[i].end - map->of[i].begin;
        values += map->of[i].kind == SEGMENT_LIVE;
    }
    if (covered < map->end - map->begin) bytes[map->rest] += map->end - map->begin - covered;
    const int n = snprintf(r->text, sizeof r->text, "%s from %" PRIu64 ", %" PRIu64 " value%s, directory %" PRIu64
                           " bytes, dead %" PRIu64 " bytes, gaps %" PRIu64 " bytes", human(map->end - map->begin, size),
                           map->begin, values, plural(values), bytes[SEGMENT_INDEX], bytes[SEGMENT_DEAD],
                           bytes[SEGMENT_NOTHING]);
    if (bytes[SEGMENT_TORN] > 0)
        snprintf(r->text + n, sizeof r->text - (size_t)n, ", torn %" PRIu64 " bytes", bytes[SEGMENT_TORN]);
}

static bool draw_map(picture *p, file_map *map, uint64_t position, const char *name)
{
    bool beyond = false;
    row *r = add_row(p, &position, name, &beyond);
    if (r == NULL) return beyond;
    paint(map, r->kinds, p->width);
    describe_segments(map, r);
    r->drawn = true;
    return true;
}

/* Draws layer i, and adds it to the map of the whole file, where the directories of older layers are dead. */
static bool draw_layer(picture *p, archive_map *all, size_t i)
{
    file_map map;
    char name[64];
    memset(&map, 0, sizeof map);
    snprintf(name, sizeof name, "layer %" PRIu64, all->layers[i].number);
    bool good = map_layer(all, i, &map) && draw_map(p, &map, i + 1, name);
    for (size_t k = 0; k < map.count && good; k++) {
        const bool older = map.of[k].kind == SEGMENT_INDEX && i > 0;
        good = add_segment(&all->whole, map.of[k].begin, map.of[k].end, older ? SEGMENT_DEAD : map.of[k].kind);
    }
    free(map.of);
    return good;
}

static int draw_archive(picture *p, shardio_archive *archive, archive_map *all)
{
    const settings *s = p->s;
    shardio_error error;
    const shardio_archive_facts facts = shardio_archive_about(archive);
    const uint64_t torn = s->layer == 0 ? facts.torn_bytes : 0;
    all->into = &all->live;
    if (shardio_archive_each_entry(archive, keep_entry, all, &error) != SHARDIO_OK) return complain_error(s, &error);
    if (all->live.count > 0) qsort(all->live.of, all->live.count, sizeof all->live.of[0], compare_segments);
    shardio_archive_each_layer(archive, is_without_number(&facts), keep_layer, all, NULL);
    bool good = !all->full;
    for (size_t i = 0; i < all->count && good && !interrupted; i++) good = draw_layer(p, all, i);
    if (all->count == 1 && p->count == 1) p->count = 0;        /* the only layer is the whole file */
    if (interrupted) return complain(s, EXIT_TROUBLE, "interrupted");
    all->whole.end = facts.size + torn;
    if (good && torn > 0) good = add_segment(&all->whole, facts.size, facts.size + torn, SEGMENT_TORN);
    return good && draw_map(p, &all->whole, 0, s->input) ? EXIT_GOOD : out_of_memory(s);
}

static int collect_archive(picture *p, shardio_archive *archive)
{
    archive_map all;
    memset(&all, 0, sizeof all);
    all.s = p->s;
    all.whole.rest = SEGMENT_NOTHING;
    p->of = OF_ARCHIVE;
    p->ndim = 1;
    const int status = draw_archive(p, archive, &all);
    free(all.layers);
    free(all.live.of);
    free(all.whole.of);
    return status;
}

/* ---- layout: a mirror ---- */

/* A cell is there if all of its bytes are; a byte is where cells are smaller than that. */
static void paint_coverage(shardio_mirror *mirror, uint64_t length, uint8_t *kinds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint64_t part = length / count, rest = length % count;
        const uint64_t from = part * i + rest * i / count, next = part * (i + 1) + rest * (i + 1) / count;
        const uint64_t to = next > from ? next : from + 1;
        uint64_t offset = 0, size = 0;
        const bool all = shardio_mirror_has(mirror, from, to - from);
        const bool some = shardio_mirror_next_extent(mirror, from, &offset, &size) && offset < to;
        kinds[i] = all ? CELL_EVEN : some ? CELL_MIXED : CELL_DEAD;
    }
}

static int draw_mirror(picture *p, shardio_mirror *mirror)
{
    const shardio_mirror_facts f = shardio_mirror_about(mirror);
    char length[32], covered[32], chunk[32], allocated[32];
    bool beyond = false;
    row *r = add_row(p, NULL, p->s->input, &beyond);       /* without dimensions */
    if (r == NULL) return out_of_memory(p->s);
    paint_coverage(mirror, f.length, r->kinds, p->width);
    const int n = snprintf(r->text, sizeof r->text, "%s, %s there in %" PRIu64 " extent%s, chunks of %s",
                           human(f.length, length), human(f.covered, covered), f.extents, plural(f.extents),
                           human(f.chunk, chunk));
    if (f.allocated != SHARDIO_NO_OFFSET)
        snprintf(r->text + n, sizeof r->text - (size_t)n, ", %s allocated", human(f.allocated, allocated));
    r->drawn = true;
    return EXIT_GOOD;
}

static int collect_mirror(picture *p)
{
    shardio_mirror *mirror;
    int status = look_at_mirror(p->s, p->s->input, NULL, &mirror);
    if (status != EXIT_GOOD) return status;
    p->of = OF_MIRROR;
    status = draw_mirror(p, mirror);
    shardio_mirror_close(mirror, NULL);
    return status;
}

/* What of it is drawn: a single shard file, the shards of an array, an archive, a mirror. */
static int collect(picture *p)
{
    const settings *s = p->s;
    home h;
    if (s->shard_chunks > 0) return collect_shard(p);
    if (s->path == NULL && looks_like_mirror(s->input)) return collect_mirror(p);
    int status = open_home(s, s->input, TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    status = h.archive != NULL && s->path == NULL ? collect_archive(p, h.archive) : collect_array(p, &h.store);
    return close_home(&h, status);
}

static int run_layout(const settings *s)
{
    picture p;
    memset(&p, 0, sizeof p);
    p.s = s;
    p.width = s->svg != NULL ? SVG_CELLS : TEXT_CELLS;
    int status = collect(&p);
    if (status == EXIT_GOOD && s->svg != NULL) status = write_svg(&p);
    else if (status == EXIT_GOOD) print_picture(&p);
    size_t damaged = 0;
    for (size_t i = 0; i < p.count; i++) damaged += p.rows[i].damaged;
    if (status == EXIT_GOOD && damaged > 0)
        status = complain(s, EXIT_TROUBLE, "%s: %zu of these %s damaged or not readable (shardio verify says more)",
                          s->input, damaged, damaged == 1 ? "is" : "are");
    free(p.rows);
    return status;
}

/* >>mirror ---------------------------------------------------------------------------------------------------- */

/* A mirror at work: LOCAL, a copy of what of SOURCE was read. */
typedef struct mirror_job {
    const settings *s;
    const char *local, *origin;            /* names; origin null: without its source */
    shardio_mirror *mirror;
    shardio_mirror_facts facts;            /* when it ended; the tag is not in them */
    char tag[SHARDIO_MAX_TAG + 1];
    uint64_t evicted;                      /* bytes */
    bar progress;
} mirror_job;

static void note_facts(mirror_job *job)
{
    job->facts = shardio_mirror_about(job->mirror);
    snprintf(job->tag, sizeof job->tag, "%s", job->facts.tag);
    job->facts.tag = NULL;
}

/* Opens LOCAL as the mirror of SOURCE; on trouble there is nothing to close. */
static int begin_mirror(mirror_job *job)
{
    const settings *s = job->s;
    shardio_mirror_options options = {0};
    shardio_source origin;
    shardio_error error;
    job->origin = s->input;
    job->local = s->output;
    options.chunk = s->chunk;
    options.gap = s->gap;
    options.start_over = s->start_over;
    options.check_later = s->check_later;
    options.read_ahead = SHARDIO_NO_OFFSET;    /* it is known where a range ends */
    const int status = find_origin(s, s->input, &origin);
    if (status != EXIT_GOOD) return status;
    job->mirror = shardio_mirror_open(&origin, s->output, &options, &error);
    return job->mirror != NULL ? EXIT_GOOD : complain_error(s, &error);
}

/* Keeps what was fetched, also after trouble. */
static int end_mirror(mirror_job *job, int status)
{
    shardio_error error;
    const shardio_status saved = shardio_mirror_save(job->mirror, &error);
    note_facts(job);
    shardio_mirror_close(job->mirror, NULL);
    return saved == SHARDIO_OK || status != EXIT_GOOD ? status : complain_error(job->s, &error);
}

static void add_mirror(shardio_text *t, const mirror_job *job)
{
    const shardio_mirror_facts *f = &job->facts;
    shardio_text_add(t, "{\"kind\": \"mirror\"");
    add_string(t, "name", job->local);
    add_string(t, "source", job->origin);
    add_string(t, "tag", job->tag);
    add_number(t, "bytes", f->length);
    add_number(t, "chunk_bytes", f->chunk);
    add_number(t, "covered_bytes", f->covered);
    add_number(t, "extents", f->extents);
    if (f->allocated != SHARDIO_NO_OFFSET) add_number(t, "allocated_bytes", f->allocated);
    else add_list(t, "allocated_bytes", NULL, 0);
    add_number(t, "map_bytes", f->map_bytes);
    add_number(t, "generation", f->generation);
    add_truth(t, "map_was_damaged", f->map_was_damaged);
    add_number(t, "requests", f->requests);
    add_number(t, "fetched_bytes", f->fetched);
}

static void build_mirror_json(shardio_text *t, const void *context)
{
    add_mirror(t, (const mirror_job *)context);
    shardio_text_add(t, "}");
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100 * ((double)part / (double)whole) : 100;
}

/* ---- mirror: reading and filling ---- */

enum { READ_AT_ONCE = 8 << 20 };           /* bytes: those of one request */

static int copy_from_mirror(mirror_job *job, uint64_t offset, uint64_t count, uint8_t *memory, sink *out)
{
    const settings *s = job->s;
    shardio_error error;
    size_t done = 0;
    int status = EXIT_GOOD;
    for (uint64_t left = count; left > 0 && status == EXIT_GOOD; offset += done, left -= done) {
        const size_t size = left < READ_AT_ONCE ? (size_t)left : (size_t)READ_AT_ONCE;
        if (interrupted) return complain(s, EXIT_TROUBLE, "interrupted");
        if (size == left && s->read_ahead > 0) {
            const uint64_t most = s->read_ahead < UINT64_MAX - size ? size + s->read_ahead : UINT64_MAX;
            shardio_mirror_prefetch(job->mirror, offset, most, NULL);      /* of trouble only that of the read counts */
        }
        if (shardio_mirror_read(job->mirror, offset, memory, size, &done, &error) != SHARDIO_OK) {
            bar_end(&job->progress);
            return complain_error(s, &error);
        }
        status = write_sink(s, out, memory, done);
        bar_show(&job->progress, count - left + done, count);
    }
    return status;
}

static int read_mirror(mirror_job *job)
{
    const settings *s = job->s;
    uint64_t offset, count;
    sink out;
    int status = parse_range(s, "byte", shardio_mirror_about(job->mirror).length, job->local, &offset, &count);
    if (status != EXIT_GOOD) return status;
    uint8_t *memory = (uint8_t *)malloc(count < READ_AT_ONCE ? (size_t)count + 1 : (size_t)READ_AT_ONCE);
    status = memory != NULL ? open_sink(s, &out, "-") : out_of_memory(s);
    if (status == EXIT_GOOD) status = close_sink(s, &out, copy_from_mirror(job, offset, count, memory, &out));
    bar_end(&job->progress);
    free(memory);
    return status;
}

static int run_mirror_read(const settings *s)
{
    mirror_job job;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.progress = bar_begin(s);
    const int status = begin_mirror(&job);
    return status == EXIT_GOOD ? end_mirror(&job, read_mirror(&job)) : status;
}

static int fill_mirror(mirror_job *job)
{
    const settings *s = job->s;
    shardio_error error;
    char covered[32], length[32];
    job->progress.before = shardio_mirror_about(job->mirror).covered;
    const shardio_status filled = shardio_mirror_fill(job->mirror, bar_progress, &job->progress, &error);
    bar_end(&job->progress);
    if (filled == SHARDIO_OK) return EXIT_GOOD;
    if (filled != SHARDIO_ERR_CANCELLED) return complain_error(s, &error);
    note_facts(job);
    return complain(s, EXIT_TROUBLE, "interrupted: %s of %s are there", human(job->facts.covered, covered),
                    human(job->facts.length, length));
}

static int run_mirror_fill(const settings *s)
{
    mirror_job job;
    char length[32], fetched[32];
    memset(&job, 0, sizeof job);
    job.s = s;
    job.progress = bar_begin(s);
    int status = begin_mirror(&job);
    if (status == EXIT_GOOD) status = end_mirror(&job, fill_mirror(&job));
    if (status != EXIT_GOOD) return status;
    if (s->json) return print_json(s, build_mirror_json, &job);
    if (!s->quiet)
        say("%s: all %s are there, %s fetched with %" PRIu64 " request%s in %.2f s", job.local,
            human(job.facts.length, length), human(job.facts.fetched, fetched), job.facts.requests,
            plural(job.facts.requests), now() - job.progress.begun);
    return EXIT_GOOD;
}

/* ---- mirror: what there is ---- */

static void print_mirror(const mirror_job *job)
{
    const shardio_mirror_facts *f = &job->facts;
    char length[32], covered[32], size[32];
    printf("%-11s mirror\n", "kind");
    if (job->origin != NULL) say("%-11s %s, unchanged", "source", job->origin);
    say("%-11s %s", "tag", job->tag[0] != 0 ? job->tag : "none");
    printf("%-11s %" PRIu64 " bytes\n", "length", f->length);
    printf("%-11s %s of %s, %.1f %%, in %" PRIu64 " extent%s\n", "there", human(f->covered, covered),
           human(f->length, length), percent(f->covered, f->length), f->extents, plural(f->extents));
    print_line("chunks", human(f->chunk, size));
    if (f->allocated != SHARDIO_NO_OFFSET)
        printf("%-11s %" PRIu64 " bytes, and a map of %" PRIu64 "\n", "allocated", f->allocated, f->map_bytes);
    else printf("%-11s not known; a map of %" PRIu64 " bytes\n", "allocated", f->map_bytes);
    if (job->origin != NULL)
        printf("%-11s %" PRIu64 ", %s fetched\n", "requests", f->requests, human(f->fetched, size));
}

static int run_mirror_info(const settings *s)
{
    mirror_job job;
    shardio_source origin;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.local = s->input;
    job.origin = s->output;
    int status = job.origin != NULL ? find_origin(s, job.origin, &origin) : EXIT_GOOD;
    if (status == EXIT_GOOD) status = look_at_mirror(s, job.local, job.origin != NULL ? &origin : NULL, &job.mirror);
    if (status != EXIT_GOOD) return status;
    note_facts(&job);
    shardio_mirror_close(job.mirror, NULL);
    if (s->json) return print_json(s, build_mirror_json, &job);
    print_mirror(&job);
    return EXIT_GOOD;
}

/* ---- mirror: evicting ---- */

static int evict(mirror_job *job)
{
    const settings *s = job->s;
    const shardio_mirror_facts before = shardio_mirror_about(job->mirror);
    uint64_t offset, count;
    shardio_error error;
    shardio_status status;
    if (s->range != NULL) {
        int wrong = parse_range(s, "byte", before.length, job->local, &offset, &count);
        if (wrong != EXIT_GOOD) return wrong;
        status = shardio_mirror_evict(job->mirror, offset, count, &error);
    } else {
        status = shardio_mirror_evict_to(job->mirror, s->budget, &error);
    }
    job->evicted = before.covered - shardio_mirror_about(job->mirror).covered;
    return status == SHARDIO_OK ? EXIT_GOOD : complain_error(s, &error);
}

static void build_evicted_json(shardio_text *t, const void *context)
{
    const mirror_job *job = (const mirror_job *)context;
    add_mirror(t, job);
    add_number(t, "evicted_bytes", job->evicted);
    shardio_text_add(t, "}");
}

static int run_mirror_evict(const settings *s)
{
    mirror_job job;
    shardio_error error;
    char evicted[32], covered[32], allocated[32];
    memset(&job, 0, sizeof job);
    job.s = s;
    job.local = s->input;
    if ((s->range != NULL) == (s->budget > 0)) return complain(s, EXIT_USAGE, "--range or --budget: one of them");
    job.mirror = shardio_mirror_open(NULL, job.local, NULL, &error);
    if (job.mirror == NULL) return complain_error(s, &error);
    const int status = end_mirror(&job, evict(&job));
    if (status != EXIT_GOOD) return status;
    if (s->json) return print_json(s, build_evicted_json, &job);
    if (s->quiet) return EXIT_GOOD;
    const bool known = job.facts.allocated != SHARDIO_NO_OFFSET;
    say("%s: %s evicted, %s are there%s%s", job.local, human(job.evicted, evicted), human(job.facts.covered, covered),
        known ? ", allocated: " : "", known ? human(job.facts.allocated, allocated) : "");
    return EXIT_GOOD;
}

/* >>recover --------------------------------------------------------------------------------------------------- */

/* What became of a file, or would become of it. */
typedef enum fate {
    FATE_COMPLETE, FATE_CUT, FATE_RESTORE, FATE_LOST, FATE_RENAME, FATE_REMOVE, FATE_LEFT, FATE_OUTSIDE, FATE_FAILED, FATES
} fate;

static const struct {
    const char *word, *to_do, *done;       /* for JSON; and behind the name of the file */
} fates[FATES] = {
    {"complete", "complete", "complete"},
    {"cut", "to be cut behind its newest complete index", "was cut behind its newest complete index"},
    {"restore", "its head to be restored from its newest index", "its head was restored from its newest index"},
    {"lost", "lost", "lost"},
    {"rename", "a complete shard without its name: to be renamed", "a complete shard without its name: was renamed"},
    {"remove", "left behind by a writer: to be removed", "left behind by a writer: was removed"},
    {"left", "left behind by a writer that is at work or was lost (--remove-temporary removes it)", ""},
    {"outside", "a shard outside the shape, of a writer that is at work or was lost (--remove-outside removes it)", ""},
    {"failed", "what it is could not be seen", ""}
};

typedef struct recovery {
    const settings *s;
    listing files;
    uint64_t shards, count[FATES];
    uint64_t cut_bytes;
    bar progress;
} recovery;

/* One file: what there is to say about it. */
typedef struct verdict {
    const char *name, *text;               /* text: what is wrong with a shard that is lost; or null */
    fate what;
    bool done;
    uint64_t bytes, end;                   /* of the file; to keep */
} verdict;

static void build_verdict(shardio_text *t, const void *context)
{
    const verdict *v = (const verdict *)context;
    shardio_text_add(t, "{\"path\": ");
    shardio_text_add_string(t, v->name);
    add_string(t, "action", fates[v->what].word);
    add_truth(t, "done", v->done);
    add_number(t, "file_bytes", v->bytes);
    add_number(t, "kept_bytes", v->end);
    if (v->text != NULL) add_string(t, "text", v->text);
    shardio_text_add(t, "}");
}

static void print_verdict(recovery *job, const verdict *v)
{
    const char *text = v->done ? fates[v->what].done : fates[v->what].to_do;
    job->count[v->what]++;
    if (v->what == FATE_CUT) job->cut_bytes += v->bytes - v->end;
    if (v->what == FATE_COMPLETE && !job->s->all) return;
    bar_end(&job->progress);
    if (job->s->json) list_item(&job->files, build_verdict, v);
    else if (v->text != NULL) say("%s: %s", v->name, v->text);
    else if (v->what == FATE_CUT) say("%s: %" PRIu64 " bytes: %s, at %" PRIu64, v->name, v->bytes, text, v->end);
    else say("%s: %" PRIu64 " bytes: %s", v->name, v->bytes, text);
}

/* What a status makes of a file: lost, if it says what the file is like; what could not be looked at is not. */
static fate fate_of(shardio_status status)
{
    switch (status) {
    case SHARDIO_ERR_NOT_FOUND: case SHARDIO_ERR_CORRUPT: case SHARDIO_ERR_TRUNCATED: case SHARDIO_ERR_CHECKSUM:
    case SHARDIO_ERR_UNSUPPORTED: return FATE_LOST;
    default: return FATE_FAILED;
    }
}

/* What recovery says of a shard. */
static void report_shard(void *context, const char *key, const shardio_recovery *found, shardio_status status,
                         const shardio_error *error)
{
    recovery *job = (recovery *)context;
    char text[512];
    verdict v = {key, NULL, FATE_COMPLETE, false, found->file_bytes, found->end};
    job->shards++;
    if (status != SHARDIO_OK) {
        v.what = fate_of(status);
        v.text = shardio_error_text(error, text, sizeof text);
        v.end = 0;
    } else if (!found->intact) {
        v.what = found->end < found->file_bytes ? FATE_CUT : FATE_RESTORE;
        v.done = found->changed;
    }
    print_verdict(job, &v);
}

/* ---- recover: what lost writers left ---- */

typedef enum shard_place { NO_SHARD, SHARD_INSIDE, SHARD_OUTSIDE } shard_place;

/* Whether `key` is that of a shard, and whether that lies inside the shape. */
static shard_place place_of_shard(const shardio_array_facts *f, const char *key)
{
    const char *at = key + strlen(f->key_prefix);
    shard_place place = SHARD_INSIDE;
    if (!f->key_v2 && *at++ != 'c') return NO_SHARD;
    for (uint32_t i = 0; i < f->ndim; i++) {
        uint64_t position;
        if ((i > 0 || !f->key_v2) && *at++ != f->key_separator) return NO_SHARD;
        if ((at[0] == '0' && at[1] >= '0' && at[1] <= '9') || !parse_uint64(&at, &position)) return NO_SHARD;
        if (position >= f->shape[i] / f->shard[i] + (f->shape[i] % f->shard[i] != 0)) place = SHARD_OUTSIDE;
    }
    return *at == 0 ? place : NO_SHARD;
}

/* Files below a prefix: temporary ones, "c/0/0/1.0123456789abcdef.shardio-tmp", and shards that were published before the
   zarr.json that would have made the array so large. */
typedef struct leftovers {
    char **of;
    uint64_t *sizes;
    size_t count, capacity;
    const hierarchy *arrays;           /* leave out what is part of them; or null */
    const shardio_array_facts *array;  /* of which these are; null: of a group */
    bool full;                         /* no memory for one more */
} leftovers;

static bool keep_leftover(void *context, const char *key, uint64_t size, bool temporary)
{
    leftovers *all = (leftovers *)context;
    if (!temporary && (all->array == NULL || place_of_shard(all->array, key) != SHARD_OUTSIDE)) return true;
    if (all->arrays != NULL && array_above(all->arrays, key) != NULL) return true;
    if (all->count == all->capacity) {
        size_t capacity = 2 * all->capacity + 64;
        char **of = (char **)realloc(all->of, capacity * sizeof *of);
        if (of != NULL) all->of = of;
        uint64_t *sizes = (uint64_t *)realloc(all->sizes, capacity * sizeof *sizes);
        if (sizes != NULL) all->sizes = sizes;
        all->full = of == NULL || sizes == NULL;
        if (all->full) return false;
        all->capacity = capacity;
    }
    all->of[all->count] = copy_text(key, strlen(key));
    all->full = all->of[all->count] == NULL;
    if (!all->full) all->sizes[all->count++] = size;
    return !all->full;
}

static void free_leftovers(leftovers *all)
{
    for (size_t i = 0; i < all->count; i++) free(all->of[i]);
    free(all->of);
    free(all->sizes);
}

/* The key that a temporary file was to have, in place; false: its name is none of ours. */
static bool cut_suffix(char *key)
{
    const size_t suffix = strlen(".0123456789abcdef.shardio-tmp"), length = strlen(key);
    if (length <= suffix || key[length - suffix] != '.') return false;
    if (strspn(key + length - suffix + 1, "0123456789abcdef") != 16 || !ends_with(key, ".shardio-tmp")) return false;
    key[length - suffix] = 0;
    return true;
}

/* Gives a temporary file that is a complete shard its name, if it is missing: cut, renamed, durable. */
static int publish(recovery *job, const shardio_store *store, const shardio_array_facts *f, const char *from,
                   const char *to, const char *key)
{
    shardio_error error;
    int code = 0;
    if (shardio_shard_recover(from, &f->index, true, NULL, NULL, &error) != SHARDIO_OK)
        return complain_error(job->s, &error);
    if (!rename_new(from, to))
        return complain(job->s, EXIT_TROUBLE, "%s: cannot be renamed: %s", from, strerror(errno));
    if (store->functions->sync(store->context, key, &code) != SHARDIO_OK)
        return complain(job->s, EXIT_TROUBLE, "%s: its directory cannot be synced", to);
    return EXIT_GOOD;
}

static int remove_leftover(recovery *job, const shardio_store *store, const char *key)
{
    int code = 0;
    const shardio_status status = store->functions->remove(store->context, key, &code);
    return status == SHARDIO_OK ? EXIT_GOOD : complain_key(job->s, status, "remove", key, code);
}

/* One file. `f`: what the array is, or null for what lies in a group. */
static int judge_leftover(recovery *job, const shardio_store *store, const shardio_array_facts *f, const char *key,
                          uint64_t size)
{
    const settings *s = job->s;
    verdict v = {key, NULL, FATE_LEFT, false, size, 0};
    char from[4096], to[4096], text[512];
    shardio_recovery found;
    shardio_error error;
    char *final = copy_text(key, strlen(key));
    if (final == NULL) return out_of_memory(s);
    int status = EXIT_GOOD;
    const bool temporary = cut_suffix(final);
    const bool shard = temporary && f != NULL && has_shard_files(f) && place_of_shard(f, final) == SHARD_INSIDE;
    snprintf(from, sizeof from, "%s/%s", s->input, key);
    snprintf(to, sizeof to, "%s/%s", s->input, final);
    shardio_status looked = SHARDIO_ERR_NOT_FOUND;
    if (shard && !is_regular_file(to)) looked = shardio_shard_recover(from, &f->index, false, NULL, &found, &error);
    if (looked == SHARDIO_OK) {
        v.what = FATE_RENAME;
        v.end = found.end;
        if (s->apply) status = publish(job, store, f, from, to, final);
        v.done = s->apply;
    } else if (fate_of(looked) == FATE_FAILED) {
        v.what = FATE_FAILED;
        v.text = shardio_error_text(&error, text, sizeof text);
    } else if (temporary ? s->remove_temporary : s->remove_outside) {
        v.what = FATE_REMOVE;
        status = remove_leftover(job, store, key);
        v.done = true;
    } else if (!temporary) {
        v.what = FATE_OUTSIDE;
    }
    if (status == EXIT_GOOD) print_verdict(job, &v);
    free(final);
    return status;
}

static int judge_leftovers(recovery *job, const shardio_store *store, const char *prefix,
                           const shardio_array_facts *f, const hierarchy *arrays)
{
    leftovers all;
    memset(&all, 0, sizeof all);
    all.arrays = arrays;
    all.array = f;
    int status = list_keys(job->s, store, prefix, keep_leftover, &all);
    if (all.full) status = out_of_memory(job->s);
    for (size_t i = 0; i < all.count && status == EXIT_GOOD; i++)
        status = judge_leftover(job, store, f, all.of[i], all.sizes[i]);
    free_leftovers(&all);
    return status;
}

/* ---- recover: arrays ---- */

/* What recovery could do nothing for. */
static uint64_t not_recovered(const recovery *job)
{
    return job->count[FATE_LOST] + job->count[FATE_FAILED];
}

/* A node that makes no sense is lost to recovery as well. */
static void report_fault(recovery *job, const char *path, const shardio_error *error)
{
    char text[512];
    verdict v = {name_of(path), shardio_error_text(error, text, sizeof text), fate_of(error->status), false, 0, 0};
    print_verdict(job, &v);
}

static int recover_array(recovery *job, const shardio_store *store, const char *path)
{
    shardio_array_options options = {0};
    shardio_array_facts facts;
    shardio_error error;
    options.path = path;
    shardio_array *array = shardio_array_update_in(store, &options, &error);
    const uint64_t told = not_recovered(job);
    int status = EXIT_GOOD;
    if (error.status != SHARDIO_OK) {
        report_fault(job, path, &error);
    } else {
        shardio_array_describe(array, &facts);
        shardio_array_recover(array, job->s->apply, report_shard, job, &error);
        if (ends_work(error.status)) status = complain_error(job->s, &error);
        else if (error.status != SHARDIO_OK && not_recovered(job) == told) report_fault(job, path, &error);
        if (status == EXIT_GOOD) status = judge_leftovers(job, store, facts.key_prefix, &facts, NULL);
    }
    shardio_array_close(array);
    return interrupted && status == EXIT_GOOD ? complain(job->s, EXIT_TROUBLE, "interrupted") : status;
}

static int recover_nodes(recovery *job)
{
    const settings *s = job->s;
    hierarchy all;
    home h;
    char prefix[1024];
    int status = open_home(s, s->input, TO_CHANGE, &h);
    if (status != EXIT_GOOD) return status;
    status = find_nodes(s, &h.store, false, &all);
    for (size_t i = 0; i < all.count && status == EXIT_GOOD; i++) {
        const found_node *n = &all.of[i];
        if (n->kind == SHARDIO_NODE_UNKNOWN) report_fault(job, n->path, &n->fault);
        else if (n->kind == SHARDIO_NODE_ARRAY) status = recover_array(job, &h.store, n->path);
    }
    if (status == EXIT_GOOD) status = judge_leftovers(job, &h.store, prefix_of(s, prefix, sizeof prefix), NULL, &all);
    free_nodes(&all);
    return close_home(&h, status);
}

static int recover_shard(recovery *job)
{
    shardio_index_layout layout = layout_of_shard(job->s);
    shardio_recovery found;
    shardio_error error;
    memset(&found, 0, sizeof found);
    const shardio_status status = shardio_shard_recover(job->s->input, &layout, job->s->apply, NULL, &found, &error);
    const bool judged = status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND || status == SHARDIO_ERR_CORRUPT;
    if (!judged || !is_regular_file(job->s->input)) return complain_error(job->s, &error);
    report_shard(job, job->s->input, &found, status, &error);
    return EXIT_GOOD;
}

static void build_recovery_json(shardio_text *t, const void *context)
{
    const recovery *job = (const recovery *)context;
    add_number(t, "shards", job->shards);
    for (int what = 0; what < FATES; what++) add_number(t, fates[what].word, job->count[what]);
    add_number(t, "cut_bytes", job->cut_bytes);
    add_truth(t, "applied", job->s->apply);
}

static int conclude_recovery(recovery *job)
{
    const settings *s = job->s;
    const uint64_t *n = job->count, lost = n[FATE_LOST], mended = n[FATE_CUT] + n[FATE_RESTORE] + n[FATE_RENAME];
    const uint64_t left = n[FATE_LEFT] + n[FATE_OUTSIDE], failed = n[FATE_FAILED];
    char rest[160] = "", unseen[60] = "";
    if (s->json) end_listing(&job->files, build_recovery_json, job);
    if (left + n[FATE_REMOVE] > 0)
        snprintf(rest, sizeof rest, ", files of lost writers: %" PRIu64 " removed, %" PRIu64 " left", n[FATE_REMOVE],
                 left);
    if (failed > 0) snprintf(unseen, sizeof unseen, ", %" PRIu64 " could not be seen or mended", failed);
    if (not_recovered(job) > 0 || (mended > 0 && !s->apply))
        return complain(s, EXIT_TROUBLE, "%s: %" PRIu64 " complete, %" PRIu64 " %s, %" PRIu64 " lost%s%s", s->input,
                        n[FATE_COMPLETE], mended, s->apply ? "recovered" : "to be recovered (--apply does it)", lost,
                        unseen, rest);
    if (!s->json && !s->quiet)
        printf("%s: %" PRIu64 " complete, %" PRIu64 " recovered, none lost%s\n", s->input, n[FATE_COMPLETE], mended,
               rest);
    return EXIT_GOOD;
}

/* ---- recover: an archive ---- */

/* Opens at its last whole layer; what lies behind that one is of a commit that was lost. Rolling back to it cuts. */
static int recover_archive(recovery *job)
{
    const settings *s = job->s;
    home h;
    shardio_error error;
    char text[160];
    verdict v = {s->input, NULL, FATE_COMPLETE, false, 0, 0};
    if (s->path != NULL) return complain(s, EXIT_USAGE, "--path %s: an archive is recovered as a whole", s->path);
    int status = open_home(s, s->input, s->apply ? TO_CHANGE : TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    const shardio_archive_facts facts = shardio_archive_about(h.archive);
    uint64_t newest;
    v.end = facts.size;
    v.bytes = facts.size + facts.torn_bytes;
    if (facts.torn_bytes > 0) {
        v.what = FATE_CUT;
        v.done = s->apply;
        h.changing = false;        /* it is done at once, and there is nothing to commit */
        status = number_of_newest(s, h.archive, &newest);
        if (status == EXIT_GOOD && s->apply && shardio_archive_rollback(h.archive, newest, &error) != SHARDIO_OK)
            status = complain_error(s, &error);
        snprintf(text, sizeof text, "%" PRIu64 " bytes: the last %" PRIu64 " %s cut off, behind layer %" PRIu64,
                 v.bytes, facts.torn_bytes, s->apply ? "were" : "are to be", newest);
        v.text = text;
    }
    if (status == EXIT_GOOD) print_verdict(job, &v);
    return close_home(&h, status);
}

static int run_recover(const settings *s)
{
    recovery job;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.files.s = s;
    job.files.name = "files";
    job.progress = bar_begin(s);
    int status = s->shard_chunks > 0 ? recover_shard(&job) : is_archive(s->input) ? recover_archive(&job)
               : recover_nodes(&job);
    if (status == EXIT_GOOD) return conclude_recovery(&job);
    if (s->json && job.files.begun) end_listing(&job.files, build_recovery_json, &job);
    return status;
}

/* >>compact --------------------------------------------------------------------------------------------------- */

typedef struct compaction {
    const settings *s;
    listing files;
    totals before, after;
    bool counting_after;       /* it is done, and only counted again */
    uint64_t saved;
    bar progress;
} compaction;

/* A shard file and what is dead in it. */
typedef struct dead_file {
    const char *name;
    uint64_t bytes, dead;
    bool damaged;
} dead_file;

static void build_dead_json(shardio_text *t, const void *context)
{
    const dead_file *f = (const dead_file *)context;
    shardio_text_add(t, "{\"path\": ");
    shardio_text_add_string(t, f->name);
    add_number(t, "file_bytes", f->bytes);
    add_number(t, "dead_bytes", f->dead);
    add_truth(t, "damaged", f->damaged);
    shardio_text_add(t, "}");
}

static void print_dead(compaction *job, const dead_file *f)
{
    if (f->dead == 0 && !f->damaged && !job->s->all) return;
    bar_end(&job->progress);
    if (job->s->json) list_item(&job->files, build_dead_json, f);
    else if (f->damaged) say("%s: damaged, left as it is (shardio verify says more)", f->name);
    else if (!job->s->quiet) say("%s: %" PRIu64 " bytes, %" PRIu64 " dead", f->name, f->bytes, f->dead);
}

static shardio_status look_for_dead(void *context, const char *key, const uint64_t *position, uint64_t file_size,
                                    shardio_shard_reader *reader, const shardio_error *fault)
{
    compaction *job = (compaction *)context;
    totals *all = job->counting_after ? &job->after : &job->before;
    const totals earlier = *all;
    const shardio_status status = count_shard(all, key, position, file_size, reader, fault);
    const dead_file f = {key, file_size, all->dead - earlier.dead, all->unreadable > earlier.unreadable};
    if (status == SHARDIO_OK && !job->counting_after) print_dead(job, &f);
    return status;
}

static int compact_array(compaction *job, const shardio_store *store, const char *path)
{
    shardio_array_options options = {0};
    shardio_error error;
    options.path = path;
    shardio_array *array = shardio_array_update_in(store, &options, &error);
    int status = error.status == SHARDIO_OK ? EXIT_GOOD : complain_error(job->s, &error);
    job->counting_after = false;
    if (status == EXIT_GOOD) status = visit_shards(job->s, array, look_for_dead, job);
    if (status == EXIT_GOOD && job->s->apply) {
        const shardio_status compacted = shardio_array_compact(array, bar_progress, &job->progress, &error);
        bar_end(&job->progress);
        job->counting_after = true;
        status = compacted != SHARDIO_OK ? complain_error(job->s, &error)
                                         : visit_shards(job->s, array, look_for_dead, job);
    }
    shardio_array_close(array);
    return status;
}

static int compact_nodes(compaction *job)
{
    const settings *s = job->s;
    hierarchy all;
    home h;
    int status = open_home(s, s->input, TO_CHANGE, &h);
    if (status != EXIT_GOOD) return status;
    status = find_nodes(s, &h.store, false, &all);
    for (size_t i = 0; i < all.count && status == EXIT_GOOD; i++)
        if (all.of[i].kind == SHARDIO_NODE_ARRAY) status = compact_array(job, &h.store, all.of[i].path);
    if (status == EXIT_GOOD) status = complain_nodes(s, &all);
    free_nodes(&all);
    status = close_home(&h, status);
    job->saved = s->apply && job->before.bytes > job->after.bytes ? job->before.bytes - job->after.bytes : 0;
    return status;
}

static int compact_shard(compaction *job)
{
    const settings *s = job->s;
    shardio_index_layout layout = layout_of_shard(s);
    shardio_shard_reader reader;
    shardio_error error;
    if (open_shard(s, &reader, &error) != SHARDIO_OK) return complain_error(s, &error);
    const shardio_status looked = look_for_dead(job, s->input, NULL, reader.facts.size, &reader, NULL);
    shardio_shard_close(&reader);
    if (looked != SHARDIO_OK) return complain(s, EXIT_TROUBLE, "%s: %s", s->input, shardio_status_text(looked));
    if (!s->apply || job->before.unreadable > 0) return EXIT_GOOD;
    if (shardio_shard_compact(s->input, &layout, NULL, &job->saved, &error) == SHARDIO_OK) return EXIT_GOOD;
    return complain_error(s, &error);
}

/* Counts what there is in an archive. */
static int count_archive(const settings *s, totals *all)
{
    home h;
    shardio_archive_facts facts;
    int status = open_home(s, s->input, TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    status = look_at_archive(s, h.archive, &facts);
    if (status == EXIT_GOOD) {
        all->files = 1;
        all->bytes = facts.size + facts.torn_bytes;
        all->live = facts.live_bytes;
        all->dead = all->bytes - all->live;
    }
    return close_home(&h, status);
}

/* An archive becomes one layer. Shards in it have no dead bytes to speak of: whoever changes one writes it anew. */
static int compact_archive(compaction *job)
{
    const settings *s = job->s;
    shardio_archive_options options = {0};
    shardio_error error;
    if (s->path != NULL) return complain(s, EXIT_USAGE, "--path %s: an archive is compacted as a whole", s->path);
    int status = count_archive(s, &job->before);
    if (status == EXIT_GOOD) status = set_archive_options(s, &options);
    if (status != EXIT_GOOD) return status;
    const dead_file f = {s->input, job->before.bytes, job->before.dead, false};
    print_dead(job, &f);
    if (!s->apply) return EXIT_GOOD;
    const shardio_status compacted = shardio_archive_compact(s->input, &options, bar_progress, &job->progress, &error);
    bar_end(&job->progress);
    if (compacted != SHARDIO_OK) return complain_error(s, &error);
    status = count_archive(s, &job->after);
    job->saved = job->before.bytes > job->after.bytes ? job->before.bytes - job->after.bytes : 0;
    return status;
}

static void build_compaction_json(shardio_text *t, const void *context)
{
    const compaction *job = (const compaction *)context;
    add_totals(t, &job->before);
    add_number(t, "saved_bytes", job->saved);
    add_truth(t, "applied", job->s->apply);
}

static int run_compact(const settings *s)
{
    compaction job;
    char dead[32], saved[32];
    memset(&job, 0, sizeof job);
    job.s = s;
    job.files.s = s;
    job.files.name = "files_with_dead_bytes";
    job.progress = bar_begin(s);
    const int status = s->shard_chunks > 0 ? compact_shard(&job) : is_archive(s->input) ? compact_archive(&job)
                     : compact_nodes(&job);
    if (s->json && (status == EXIT_GOOD || job.files.begun)) end_listing(&job.files, build_compaction_json, &job);
    if (status != EXIT_GOOD) return status;
    if (!s->json && !s->quiet && s->apply) printf("%s: %s saved\n", s->input, human(job.saved, saved));
    if (!s->json && !s->quiet && !s->apply)
        printf("%s: %" PRIu64 " file%s, %s dead%s\n", s->input, job.before.files, plural(job.before.files),
               human(job.before.dead, dead), job.before.dead == 0 ? "" : is_archive(s->input) && s->shard_chunks == 0
               ? " or gaps (--apply saves what is not needed again)" : " (--apply saves it)");
    if (job.before.unreadable == 0) return EXIT_GOOD;
    return complain(s, EXIT_TROUBLE, "%s: %" PRIu64 " file%s damaged (shardio verify says more)", s->input,
                    job.before.unreadable, job.before.unreadable == 1 ? " is" : "s are");
}

/* >>changes --------------------------------------------------------------------------------------------------- */

/* "movie.zarr/raw": the node that PATH and --path name, for messages. */
static const char *node_name(const char *path, const settings *s, char text[512])
{
    snprintf(text, 512, "%s%s%s", path, s->path != NULL ? "/" : "", s->path != NULL ? s->path : "");
    return text;
}

/* Ends a command that has nothing to show but that it was done. */
static int say_done(const settings *s, const char *path, const char *what)
{
    char name[512];
    if (s->json) puts("{\"done\": true}");
    else if (!s->quiet) printf("%s: %s\n", node_name(path, s, name), what);
    return EXIT_GOOD;
}

/* ---- changes: arrays ---- */

/* Opens the array to be changed; on trouble there is nothing to close. */
static int open_update(const settings *s, const shardio_store *store, shardio_array **array)
{
    shardio_array_options options = {0};
    shardio_error error;
    options.path = s->path;
    options.direct = direct_wish(s);
    options.skip_fill = s->skip_fill;
    options.statistics = s->statistics;
    *array = shardio_array_update_in(store, &options, &error);
    if (error.status == SHARDIO_OK) return EXIT_GOOD;
    shardio_array_close(*array);
    return complain_error(s, &error);
}

static int run_create(const settings *s)
{
    import_job job;
    shardio_error error;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.in.file = -1;
    int status = s->shape.count == 0 || s->dtype == NULL
               ? complain(s, EXIT_USAGE, "--%s says what the array is", s->dtype == NULL ? "dtype" : "shape")
               : choose_type(s, &job.in, NULL);
    if (status == EXIT_GOOD) status = choose_shape(s, &job.in, NULL);
    if (status == EXIT_GOOD) status = set_identity(&job);
    job.options.path = s->path;
    job.options.overwrite = s->force;
    if (status == EXIT_GOOD) status = open_home(s, s->input, TO_MAKE, &job.where);
    if (status == EXIT_GOOD && shardio_array_define_in(&job.where.store, &job.options, &error) != SHARDIO_OK)
        status = complain_creating(s, &error);
    status = close_home(&job.where, status);
    if (status == EXIT_GOOD) status = say_done(s, s->input, "created");
    free(job.names_text);
    free(job.attributes);
    return status;
}

/* Gives the array another shape; `facts`: what it was. */
static int resize_array(const settings *s, const shardio_store *store, const extents *shape, shardio_array_facts *facts)
{
    shardio_array *array;
    shardio_error error;
    int status = open_update(s, store, &array);
    if (status != EXIT_GOOD) return status;
    shardio_array_describe(array, facts);
    if (shape->count != facts->ndim)
        status = complain(s, EXIT_USAGE, "%s: %" PRIu32 " extent%s for %" PRIu32 " dimension%s", s->output,
                          shape->count, plural(shape->count), facts->ndim, plural(facts->ndim));
    else if (shardio_array_resize(array, shape->of, s->keep_edge, &error) != SHARDIO_OK)
        status = complain_error(s, &error);
    shardio_array_close(array);
    return status;
}

static int run_resize(const settings *s)
{
    home h;
    shardio_array_facts facts;
    extents shape;
    char text[LIST_TEXT], done[LIST_TEXT + 32];
    if (!parse_extents(s->output, &shape))
        return complain(s, EXIT_USAGE, "%s: no shape such as 200,1024,1024", s->output);
    int status = open_home(s, s->input, TO_CHANGE, &h);
    if (status != EXIT_GOOD) return status;
    status = close_home(&h, resize_array(s, &h.store, &shape, &facts));
    if (status != EXIT_GOOD) return status;
    snprintf(done, sizeof done, "shape was %s", list_text(facts.shape, facts.ndim, ",", text));
    return say_done(s, s->input, done);
}

/* ---- changes: attributes ---- */

static void build_attributes_json(shardio_text *t, const void *context)
{
    const shardio_json *attributes = (const shardio_json *)context;
    if (shardio_json_kind(*attributes) == '{') add_compact(t, *attributes);
    else shardio_text_add(t, "{}");
}

/* A line for each: name=value, as they are set. */
static int print_attributes(const settings *s, shardio_json attributes)
{
    shardio_json name, value;
    size_t at = 0;
    if (s->json) return print_json(s, build_attributes_json, &attributes);
    while (shardio_json_next(attributes, &at, &name, &value)) {
        char *plain = plain_text(name), *text = text_of(add_compact, value);
        say("%s=%s", plain != NULL ? plain : "?", text != NULL ? text : "?");
        free(plain);
        free(text);
    }
    return EXIT_GOOD;
}

/* NAME=VALUE: VALUE is JSON, or else text; nothing removes the attribute. `assignment` is cut in two. */
static int set_attribute(const settings *s, const shardio_store *store, char *assignment)
{
    char *value = strchr(assignment, '=');
    shardio_json json;
    shardio_error error;
    shardio_status status;
    *value++ = 0;
    if (*value == 0) status = shardio_node_set_attribute(store, s->path, assignment, NULL, NULL, &error);
    else if (shardio_json_parse(value, strlen(value), &json, NULL) == SHARDIO_OK)
        status = shardio_node_set_attribute(store, s->path, assignment, value, NULL, &error);
    else status = shardio_node_set_string(store, s->path, assignment, value, NULL, &error);
    return status == SHARDIO_OK ? EXIT_GOOD : complain_error(s, &error);
}

static int print_attributes_of_node(const settings *s, const shardio_store *store)
{
    shardio_node node;
    shardio_error error;
    if (shardio_node_open(&node, store, s->path, NULL, &error) != SHARDIO_OK) return complain_error(s, &error);
    const int status = print_attributes(s, node.attributes);
    shardio_node_close(&node);
    return status;
}

static int change_attributes(const settings *s, const shardio_store *store)
{
    int status = EXIT_GOOD;
    for (int i = 0; i < s->more_count && status == EXIT_GOOD; i++) status = set_attribute(s, store, s->more[i]);
    return status == EXIT_GOOD && s->json ? print_attributes_of_node(s, store) : status;
}

/* ---- changes: one attribute of all arrays ---- */

typedef struct attribute_search {
    const settings *s;
    listing arrays;
    size_t faults;
} attribute_search;

typedef struct attribute_found {
    const char *path;
    shardio_json value;
} attribute_found;

static void build_attribute_json(shardio_text *t, const void *context)
{
    const attribute_found *found = (const attribute_found *)context;
    shardio_text_add(t, "{\"path\": ");
    shardio_text_add_string(t, found->path);
    add_truth(t, "present", found->value.text != NULL);
    add_json(t, "value", found->value);
    shardio_text_add(t, "}");
}

static shardio_status print_attribute(void *context, const char *path, shardio_json value, const shardio_error *fault)
{
    attribute_search *job = (attribute_search *)context;
    const attribute_found found = {path, value};
    char message[512];
    if (interrupted) return SHARDIO_ERR_CANCELLED;
    if (fault != NULL) {
        job->faults++;
        if (!job->s->json) say("%s: %s", name_of(path), shardio_error_text(fault, message, sizeof message));
    } else if (job->s->json) {
        list_item(&job->arrays, build_attribute_json, &found);
    } else {
        char *text = value.text != NULL ? text_of(add_compact, value) : NULL;
        if (value.text == NULL) say("%s has none", name_of(path));
        else say("%s=%s", name_of(path), text != NULL ? text : "?");
        free(text);
    }
    return SHARDIO_OK;
}

static int find_attribute(const settings *s, const shardio_store *store)
{
    attribute_search job = {s, {s, "arrays", false, 0}, 0};
    shardio_error error;
    const shardio_status status = shardio_attribute_of_arrays(store, s->path, s->output, print_attribute, &job, NULL,
                                                              &error);
    if (status == SHARDIO_ERR_CANCELLED) return complain(s, EXIT_TROUBLE, "interrupted");
    if (status != SHARDIO_OK) return complain_error(s, &error);
    if (s->json) end_listing(&job.arrays, NULL, NULL);
    if (job.faults == 0) return EXIT_GOOD;
    return complain(s, EXIT_TROUBLE, "%s: %zu zarr.json cannot be read (shardio verify says more)", s->input,
                    job.faults);
}

static int run_attrs(const settings *s)
{
    home h;
    const bool search = s->more_count == 1 && s->output[0] != 0 && strchr(s->output, '=') == NULL;
    int status = EXIT_GOOD;
    for (int i = 0; i < s->more_count && status == EXIT_GOOD && !search; i++)
        if (strchr(s->more[i], '=') == NULL || s->more[i][0] == '=')
            status = complain(s, EXIT_USAGE, "%s: has to be NAME=VALUE", s->more[i]);
    if (status == EXIT_GOOD) status = open_home(s, s->input, s->more_count > 0 && !search ? TO_CHANGE : TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    if (search) status = find_attribute(s, &h.store);
    else if (s->more_count > 0) status = change_attributes(s, &h.store);
    else status = print_attributes_of_node(s, &h.store);
    return close_home(&h, status);
}

/* ---- changes: groups ---- */

static int run_group_create(const settings *s)
{
    home h;
    shardio_error error;
    shardio_json attributes;
    if (s->output != NULL && (shardio_json_parse(s->output, strlen(s->output), &attributes, NULL) != SHARDIO_OK ||
                              shardio_json_kind(attributes) != '{'))
        return complain(s, EXIT_USAGE, "%s: not a JSON object", s->output);
    int status = open_home(s, s->input, TO_MAKE, &h);
    if (status != EXIT_GOOD) return status;
    if (shardio_group_create(&h.store, s->path, s->output, NULL, &error) != SHARDIO_OK)
        status = complain_error(s, &error);
    status = close_home(&h, status);
    return status == EXIT_GOOD ? say_done(s, s->input, "created") : status;
}

static int run_consolidate(const settings *s)
{
    home h;
    shardio_error error;
    int status = open_home(s, s->input, TO_CHANGE, &h);
    if (status != EXIT_GOOD) return status;
    if (shardio_group_consolidate(&h.store, s->path, s->remove, NULL, &error) != SHARDIO_OK)
        status = complain_error(s, &error);
    status = close_home(&h, status);
    if (status != EXIT_GOOD) return status;
    return say_done(s, s->input, s->remove ? "consolidated metadata removed" : "consolidated");
}

/* ---- changes: removal ---- */

typedef struct removal {
    const settings *s;
    hierarchy nodes;
    uint64_t files, bytes;
} removal;

static bool count_key(void *context, const char *key, uint64_t size, bool temporary)
{
    removal *job = (removal *)context;
    (void)key, (void)temporary;
    job->files++;
    job->bytes += size;
    return !interrupted;
}

static void build_removal_json(shardio_text *t, const void *context)
{
    const removal *job = (const removal *)context;
    add_number(t, "files_below", job->files);
    add_number(t, "bytes_below", job->bytes);
    add_truth(t, "removed", job->s->yes);
}

static int conclude_removal(const removal *job)
{
    const settings *s = job->s;
    char bytes[32], name[512];
    if (s->json) {
        listing l = {s, "nodes", false, 0};
        for (size_t i = 0; i < job->nodes.count; i++) list_item(&l, build_node_json, &job->nodes.of[i]);
        return end_listing(&l, build_removal_json, job);
    }
    if (!s->yes) print_nodes(s, &job->nodes);
    if (!s->quiet || !s->yes)
        printf("%s: %zu node%s, %" PRIu64 " file%s of %s %s\n", node_name(s->input, s, name), job->nodes.count,
               plural(job->nodes.count), job->files, plural(job->files), human(job->bytes, bytes),
               s->yes ? "removed" : "to be removed (--yes does it)");
    return EXIT_GOOD;
}

static int remove_nodes(removal *job, const shardio_store *store)
{
    const settings *s = job->s;
    shardio_error error;
    char prefix[1024];
    int status = find_nodes(s, store, false, &job->nodes);
    if (status == EXIT_GOOD) status = list_keys(s, store, prefix_of(s, prefix, sizeof prefix), count_key, job);
    if (status == EXIT_GOOD && interrupted) status = complain(s, EXIT_TROUBLE, "interrupted");
    if (status == EXIT_GOOD && s->yes && shardio_node_remove(store, s->path, NULL, &error) != SHARDIO_OK)
        status = complain_error(s, &error);
    return status;
}

static int run_rm(const settings *s)
{
    removal job;
    settings mine;
    home h;
    memset(&job, 0, sizeof job);
    job.s = &mine;
    int status = take_path(s, &mine);
    if (status == EXIT_GOOD) status = open_home(&mine, mine.input, mine.yes ? TO_CHANGE : TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    status = close_home(&h, remove_nodes(&job, &h.store));
    if (status == EXIT_GOOD) status = conclude_removal(&job);
    free_nodes(&job.nodes);
    return status;
}

/* ---- changes: names ---- */

static int run_mv(const settings *s)
{
    home h;
    shardio_error error;
    int status = check_name(s, s->input, s->more[1]);
    if (status == EXIT_GOOD) status = open_home(s, s->input, TO_CHANGE, &h);
    if (status != EXIT_GOOD) return status;
    if (shardio_node_rename(&h.store, s->more[0], s->more[1], NULL, &error) != SHARDIO_OK)
        status = complain_error(s, &error);
    status = close_home(&h, status);
    return status == EXIT_GOOD ? say_done(s, s->input, "renamed") : status;
}

/* >>layers ---------------------------------------------------------------------------------------------------- */

/* Only archives have layers. */
static int open_layers(const settings *s, purpose why, home *h)
{
    if (!is_archive(s->input))
        return complain(s, EXIT_USAGE, "%s is no archive, whose name would end in .zip or .ozx", s->input);
    return open_home(s, s->input, why, h);
}

typedef struct layer_list {
    const settings *s;
    listing layers;
    uint64_t newest;               /* number of the first one listed */
    shardio_archive_facts facts;
} layer_list;

static void build_layer_json(shardio_text *t, const void *context)
{
    const layer *l = (const layer *)context;
    shardio_text_add(t, "{\"layer\": ");
    shardio_text_add_uint64(t, l->number);
    add_number(t, "entries", l->entries);
    add_number(t, "directory", l->directory);
    add_number(t, "file_bytes", l->size);
    shardio_text_add(t, "}");
}

static bool print_layer(void *context, uint64_t number, uint64_t directory, uint64_t size, uint64_t entries)
{
    layer_list *job = (layer_list *)context;
    const layer l = {number, directory, size, entries};
    if (job->newest == 0) job->newest = number;
    if (job->s->json) list_item(&job->layers, build_layer_json, &l);
    else printf("layer %-6" PRIu64 " %8" PRIu64 " entr%s  ends at byte %" PRIu64 "\n", number, entries,
                entries == 1 ? "y  " : "ies", size);
    return !interrupted;
}

static void build_layers_json(shardio_text *t, const void *context)
{
    const layer_list *job = (const layer_list *)context;
    add_name(t, "archive");
    add_archive(t, &job->facts);
}

static int run_layers(const settings *s)
{
    home h;
    shardio_error error;
    layer_list job;
    memset(&job, 0, sizeof job);
    job.s = job.layers.s = s;
    job.layers.name = "layers";
    int status = open_layers(s, TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    const shardio_archive_facts facts = shardio_archive_about(h.archive);
    const bool search = s->search || is_without_number(&facts);
    const shardio_status listed = shardio_archive_each_layer(h.archive, search, print_layer, &job, &error);
    status = look_at_archive(s, h.archive, &job.facts);
    if (status == EXIT_GOOD && s->json) status = end_listing(&job.layers, build_layers_json, &job);
    if (status == EXIT_GOOD && !s->json && job.newest != facts.layer && !is_without_number(&facts))
        puts("counted anew: --layer and rollback take the numbers that are listed without --search");
    if (status == EXIT_GOOD && !s->json && job.facts.torn_bytes > 0)
        printf("%" PRIu64 " bytes behind them, of a commit at work or lost (shardio recover)\n", job.facts.torn_bytes);
    if (status == EXIT_GOOD && listed == SHARDIO_ERR_CORRUPT && !s->search)
        status = complain(s, EXIT_TROUBLE, "%s: another program has overwritten a layer before these (--search)",
                          s->input);
    else if (status == EXIT_GOOD && listed != SHARDIO_OK) status = complain_error(s, &error);
    return close_home(&h, status);
}

/* ---- layers: back to one ---- */

typedef struct rollback {
    const settings *s;
    uint64_t layer, from;          /* numbers */
    uint64_t size, bytes;          /* of the file, up to that layer and in all */
} rollback;

static void build_rollback_json(shardio_text *t, const void *context)
{
    const rollback *job = (const rollback *)context;
    shardio_text_add(t, "{\"layer\": ");
    shardio_text_add_uint64(t, job->layer);
    add_number(t, "from_layer", job->from);
    add_number(t, "file_bytes", job->bytes);
    add_number(t, "cut_bytes", job->bytes - job->size);
    add_truth(t, "applied", job->s->apply);
    shardio_text_add(t, "}");
}

/* The bytes of the file up to the layer, which is found as --layer finds it. */
static int find_layer(rollback *job)
{
    const settings *s = job->s;
    shardio_archive_options options = {0};
    shardio_error error;
    options.layer = job->layer;
    shardio_archive *archive = shardio_archive_open(s->input, &options, &error);
    if (archive == NULL && error.status == SHARDIO_ERR_NOT_FOUND)
        return complain(s, EXIT_TROUBLE, "%s has no layer %" PRIu64 " (shardio layers)", s->input, job->layer);
    if (archive == NULL) return complain_error(s, &error);
    job->size = shardio_archive_about(archive).size;
    shardio_archive_close(archive);
    return EXIT_GOOD;
}

/* A listing of the layers of the archive that is rolled back could count them anew: there is none before. */
static int roll_back(rollback *job, home *h)
{
    const settings *s = job->s;
    shardio_error error;
    const shardio_archive_facts facts = shardio_archive_about(h->archive);
    job->bytes = facts.size + facts.torn_bytes;
    int status = number_of_newest(s, h->archive, &job->from);
    if (status == EXIT_GOOD) status = find_layer(job);
    if (status != EXIT_GOOD || !s->apply) return status;
    h->changing = false;           /* it is done at once, and there is nothing to commit */
    if (shardio_archive_rollback(h->archive, job->layer, &error) == SHARDIO_OK) return EXIT_GOOD;
    return complain_error(s, &error);
}

static int run_rollback(const settings *s)
{
    home h;
    rollback job = {s, 0, 0, 0, 0};
    const char *text = s->output;
    char bytes[32];
    if (!parse_uint64(&text, &job.layer) || *text != 0 || job.layer == 0)
        return complain(s, EXIT_USAGE, "%s: has to be the number of a layer", s->output);
    int status = open_layers(s, s->apply ? TO_CHANGE : TO_READ, &h);
    if (status != EXIT_GOOD) return status;
    status = close_home(&h, roll_back(&job, &h));
    if (status != EXIT_GOOD) return status;
    if (s->json) return print_json(s, build_rollback_json, &job);
    if (!s->quiet || !s->apply)
        printf("%s: from layer %" PRIu64 " back to %" PRIu64 ": the last %s %s\n", s->input, job.from, job.layer,
               human(job.bytes - job.size, bytes), s->apply ? "were cut off" : "are to be cut off (--apply does it)");
    return EXIT_GOOD;
}

/* >>write ----------------------------------------------------------------------------------------------------- */

/* Elements that go over a region of an array that exists. */
typedef struct write_job {
    const settings *s;
    source in;
    home where;
    shardio_array *array;
    shardio_array_facts facts;
    region r;
    uint64_t done;             /* elements */
    double seconds;
    bar progress;
} write_job;

/* Extents without those of 1, which do not matter for what goes where. */
static uint32_t squeeze(const uint64_t *of, uint32_t count, uint64_t *out)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (of[i] != 1) out[kept++] = of[i];
    return kept;
}

static int check_shape(const write_job *job)
{
    uint64_t ours[SHARDIO_MAX_DIMS], theirs[SHARDIO_MAX_DIMS];
    char input[LIST_TEXT], wanted[LIST_TEXT];
    const uint32_t n = squeeze(job->in.shape, job->in.ndim, ours), m = squeeze(job->r.count, job->r.ndim, theirs);
    if (n == m && memcmp(ours, theirs, n * sizeof ours[0]) == 0) return EXIT_GOOD;
    return complain(job->s, EXIT_USAGE, "%s is of shape %s, the region of %s", job->in.name,
                    list_text(job->in.shape, job->in.ndim, ",", input),
                    list_text(job->r.count, job->r.ndim, ",", wanted));
}

/* What the input is; raw input is as long as the region. */
static int describe_input(write_job *job)
{
    source *in = &job->in;
    const settings *s = job->s;
    const shardio_array_facts *f = &job->facts;
    int status = in->npy ? describe_npy(s, in) : choose_type(s, in, f);
    if (status == EXIT_GOOD && is_variable(in->dtype)) status = read_texts(s, in);
    if (status != EXIT_GOOD) return status;
    if (!is_same_type(in, f)) return complain_type(s, EXIT_TROUBLE, in, f);
    if (in->ndim > 0) status = check_shape(job);
    if (status != EXIT_GOOD) return status;
    const uint64_t held = in->size == UNKNOWN ? UNKNOWN : (in->size - in->begin) / in->element;
    if (held != UNKNOWN && held != job->r.elements)
        return complain(s, EXIT_USAGE, "%s holds %" PRIu64 " element%s, the region %" PRIu64, in->name, held,
                        plural(held), job->r.elements);
    if (held != UNKNOWN && !is_variable(in->dtype) && (in->size - in->begin) % in->element != 0)
        return complain(s, EXIT_USAGE, "%s ends within an element", in->name);
    return EXIT_GOOD;
}

static int put_block(write_job *job, const void *elements)
{
    shardio_error error;
    const uint64_t count = block_elements(&job->r);
    const size_t size = (size_t)count * job->in.element;
    if (shardio_array_write(job->array, job->r.at, job->r.extent, elements, size, &error) != SHARDIO_OK) {
        bar_end(&job->progress);
        return complain_error(job->s, &error);
    }
    job->done += count;
    bar_show(&job->progress, job->done * job->in.element, job->r.elements * job->in.element);
    return EXIT_GOOD;
}

/* The block of the moment, from the input to the array. */
static int take_block(write_job *job, uint8_t *block)
{
    source *in = &job->in;
    const size_t size = (size_t)block_elements(&job->r) * in->element;
    size_t got;
    if (is_variable(in->dtype)) return put_block(job, in->text.of + job->done);
    if (!read_block(in, block, size, &got)) return complain_read(job->s, in);
    if (interrupted) return complain(job->s, EXIT_TROUBLE, "interrupted");
    if (got < size)
        return complain(job->s, EXIT_TROUBLE, "%s ended after %" PRIu64 " of %" PRIu64 " elements, of which %" PRIu64
                        " are written", in->name, job->done + got / in->element, job->r.elements,
                        job->where.archive != NULL ? 0 : job->done);
    if (in->big_endian != machine_is_big_endian()) swap_units(block, size, unit_of(in->dtype));
    return put_block(job, block);
}

static int write_blocks(write_job *job)
{
    void *whole = NULL;
    uint8_t *block = aligned_memory((size_t)job->r.most * job->in.element, &whole);
    int status = block != NULL ? EXIT_GOOD : out_of_memory(job->s);
    for (bool more = first_block(&job->r); status == EXIT_GOOD && more; more = next_block(&job->r))
        status = take_block(job, block);
    free(whole);
    return status;
}

/* In Fortran order the first dimension varies fastest: held as a whole, and written by its strides. */
static int write_fortran(write_job *job, uint64_t memory)
{
    source *in = &job->in;
    ptrdiff_t stride[SHARDIO_MAX_DIMS], next = (ptrdiff_t)in->element;
    shardio_error error;
    size_t got;
    if (in->bytes > memory || in->bytes > SIZE_MAX / 2)
        return complain(job->s, EXIT_TROUBLE, "%s is in Fortran order and has %" PRIu64 " bytes: more than --memory",
                        in->name, in->bytes);
    uint8_t *all = (uint8_t *)malloc((size_t)in->bytes + 1);
    if (all == NULL) return out_of_memory(job->s);
    for (uint32_t i = 0; i < job->r.ndim; i++, next *= (ptrdiff_t)job->r.count[i - 1]) stride[i] = next;
    int status = EXIT_GOOD;
    if (!read_block(in, all, (size_t)in->bytes, &got)) status = complain_read(job->s, in);
    else if (got < in->bytes) status = complain(job->s, EXIT_TROUBLE, "%s: shorter than its header says", in->name);
    if (in->big_endian != machine_is_big_endian()) swap_units(all, got, unit_of(in->dtype));
    if (status == EXIT_GOOD &&
        shardio_array_write_strided(job->array, job->r.start, job->r.count, all, stride, &error) != SHARDIO_OK)
        status = complain_error(job->s, &error);
    job->done = job->r.elements;
    free(all);
    return status;
}

static void build_written_json(shardio_text *t, const void *context)
{
    const write_job *job = (const write_job *)context;
    char text[32];
    snprintf(text, sizeof text, "%.6f", job->seconds);
    shardio_text_add(t, "{\"output\": ");
    shardio_text_add_string(t, job->s->output);
    add_list(t, "start", job->r.start, job->r.ndim);
    add_list(t, "count", job->r.count, job->r.ndim);
    add_number(t, "elements", job->done);
    add_name(t, "seconds");
    shardio_text_add(t, text);
    shardio_text_add(t, "}");
}

static int write_region(write_job *job)
{
    const settings *s = job->s;
    const uint64_t memory = s->memory > 0 ? s->memory : 64 * MIB;
    int status = parse_region(s, &job->facts, &job->r);
    if (status == EXIT_GOOD) status = plan_blocks(s, &job->facts, memory, job->facts.element_size, &job->r);
    if (status == EXIT_GOOD) status = describe_input(job);
    if (status == EXIT_GOOD) status = job->in.fortran ? write_fortran(job, memory) : write_blocks(job);
    return status;
}

static int conclude_write(const write_job *job)
{
    const settings *s = job->s;
    char name[512];
    warn_of_more(s, &job->in, "the region");
    if (s->json) return print_json(s, build_written_json, job);
    if (!s->quiet)
        printf("%s: %" PRIu64 " element%s written in %.2f s\n", node_name(s->output, s, name), job->done,
               plural(job->done), job->seconds);
    return EXIT_GOOD;
}

static int run_write(const settings *s)
{
    write_job job;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.in.file = -1;
    job.progress = bar_begin(s);
    int status = open_source(s, &job.in);
    if (status == EXIT_GOOD) status = open_home(s, s->output, TO_CHANGE, &job.where);
    if (status == EXIT_GOOD && (status = open_update(s, &job.where.store, &job.array)) == EXIT_GOOD) {
        shardio_array_describe(job.array, &job.facts);
        status = write_region(&job);
        shardio_array_close(job.array);
    }
    status = close_home(&job.where, status);
    job.seconds = now() - job.progress.begun;
    bar_end(&job.progress);
    if (status == EXIT_GOOD) status = conclude_write(&job);
    close_source(&job.in);
    return status;
}

/* >>main ------------------------------------------------------------------------------------------------------ */

static void print_help(void)
{
    char left[64], list[128];
    puts("shardio COMMAND [options] ...        Zarr v3 shards, packed to the byte at the speed of the disk\n");
    for (const command *c = commands; c < commands + COMMANDS; c++) {
        snprintf(left, sizeof left, "%s %s", c->name, c->arguments);
        printf("  %-30s %s\n", left, c->help);
    }
    puts("\n  shardio help COMMAND           its options\n"
         "  shardio --version              the version, and what was compiled in\n\n"
         "Exit status: 0 all is well, 1 trouble with data or I/O, or damage found, 2 a wrong command line.");
    if (list_codecs(true, list)) printf("Codecs of this build: %s.\n", list);
}

static void print_version(void)
{
    const int v = shardio_version();
    char list[128];
    printf("shardio %d.%d.%d\n", v / 10000, v / 100 % 100, v % 100);
    print_line("crc32c", shardio_crc32c_kind());
#if SHARDIO_HTTP
    printf("%-11s libcurl %s\n", "http", curl_version_info(CURLVERSION_NOW)->version);
#else
    print_line("http", "not built in (make deps, make examples)");
#endif
    list_codecs(true, list);
    printf("%-11s bytes, vlen-utf8, vlen-bytes, transpose, sharding_indexed, %s\n", "codecs", list);
    if (list_codecs(false, list)) printf("%-11s %s (make deps, make examples)\n", "not built in", list);
    printf("%-11s", "types");
    for (int t = 1; t < SHARDIO_DTYPE_COUNT; t++)
        printf(" %s", t == SHARDIO_RAW ? "r8 r16 ..." : shardio_dtype_name((shardio_dtype)t));
    printf("\n%-11s %d-bit, %s-endian\n", "machine", (int)sizeof(void *) * 8,
           machine_is_big_endian() ? "big" : "little");
}

static int run_command(const command *c, int count, char **arguments)
{
    settings s;
    remote r;
    memset(&s, 0, sizeof s);
    memset(&r, 0, sizeof r);
    s.remote = &r;
    int status = parse_arguments(c, &s, count, arguments);
    if (status != EXIT_GOOD) return status;
    if (s.help) print_command_help(c);
    else status = c->run(&s);
    end_remote(&r);
    /* a full disk behind standard output shows here at the latest */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_GOOD) status = complain_standard_output(&s);
    return status;
}

/* How many of the words the name of the command takes; 0: they name another one. */
static int match_command(const command *c, int count, char **words)
{
    const char *name = c->name;
    for (int used = 0; used < count;) {
        const size_t length = strcspn(name, " ");
        if (strlen(words[used]) != length || memcmp(words[used], name, length) != 0) return 0;
        used++;
        if (name[length] == 0) return used;
        name += length + 1;
    }
    return 0;
}

static int help_on(int count, char **words)
{
    const settings none = {0};
    const command *c = commands;
    while (count > 0 && c < commands + COMMANDS && match_command(c, count, words) != count) c++;
    if (c == commands + COMMANDS)
        return complain(&none, EXIT_USAGE, "unknown command %s (shardio help lists them)", words[0]);
    if (count > 0) print_command_help(c);
    else print_help();
    return fflush(stdout) == 0 ? EXIT_GOOD : complain_standard_output(&none);
}

int main(int count, char **arguments)
{
    const settings none = {0};
    const char *name;
    keep_standard_descriptors();
    arguments = utf8_arguments(&count, arguments);
    if (arguments == NULL) return out_of_memory(&none);
    name = count > 1 ? arguments[1] : "";
    watch_signals();
    for (const command *c = commands; count > 1 && c < commands + COMMANDS; c++) {
        const int used = match_command(c, count - 1, arguments + 1);
        if (used > 0) return run_command(c, count - 1 - used, arguments + 1 + used);
    }
    if (strcmp(name, "help") == 0) return help_on(count - 2, arguments + 2);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return help_on(0, NULL);
    if (strcmp(name, "--version") != 0)
        return complain(&none, EXIT_USAGE, "%s%s (shardio help lists the commands)",
                        count > 1 ? "unknown command " : "which command?", name);
    print_version();
    return fflush(stdout) == 0 ? EXIT_GOOD : complain_standard_output(&none);
}
