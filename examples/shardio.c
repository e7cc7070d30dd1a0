/* shardio - the command-line tool: import frames into a Zarr v3 array, export, inspect, verify, draw.
   SPDX-License-Identifier: MIT OR Unlicense

   shardio --help lists the commands, shardio import --help the options of one. Exit status: 0 all is well,
   1 trouble with data or I/O, 2 a wrong command line; with 1 and 2 there is one line on standard error. Results go
   to standard output, with --json as exactly one object. Nothing that exists is replaced without --force.

   CONTENTS, each found by its tag: >>system >>options >>messages >>progress >>elements >>json >>source >>npy
   >>import >>fortran >>sink >>open >>export >>info >>verify >>layout >>main */

#define SHARDIO_IMPLEMENTATION
#include "shardio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#else
#include <poll.h>
#include <unistd.h>
#endif

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define UNKNOWN UINT64_MAX              /* a size or a number of frames that is not known */

enum { EXIT_GOOD = 0, EXIT_TROUBLE = 1, EXIT_USAGE = 2 };

/* >>system ---------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;      /* the only global: set by Ctrl-C */

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* The first Ctrl-C asks for a clean end, a second one kills. */
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

/* Input files by descriptor, because a pipe is to hand over what it has, not wait until a block is full. */
static int open_file(const char *path)
{
#ifdef _WIN32
    return _open(path, _O_RDONLY | _O_BINARY);
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

static bool is_regular_file(const char *path)
{
#ifdef _WIN32
    struct _stat64 facts;
    return _stat64(path, &facts) == 0 && (facts.st_mode & _S_IFREG) != 0;
#else
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISREG(facts.st_mode);
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

/* What the command line said. Words out of a list are numbered from 1; 0: not given. */
typedef struct settings {
    const char *command, *input, *output;
    extents shape, chunks, shards;
    const char *dtype, *fill, *names, *attributes, *path, *sync, *region, *svg;
    uint64_t buffer, memory, checkpoint, shard_chunks;
    int direct, index, index_endian, format;
    bool skip_fill, append, force, quiet, json, no_checksum, all, help;
} settings;

enum { INDEX_START = 2, ENDIAN_BIG = 2, DIRECT_ON = 2, DIRECT_OFF = 3, FORMAT_RAW = 1, FORMAT_NPY = 2 };

typedef enum option_kind {
    OPTION_FLAG,       /* bool */
    OPTION_TEXT,       /* const char * */
    OPTION_COUNT,      /* uint64_t, at least 1 */
    OPTION_SIZE,       /* uint64_t, at least 1; 64K, 8M, 1G */
    OPTION_WORD,       /* int: which of the words a|b|c that `value` lists */
    OPTION_EXTENTS     /* extents: 16,256,256 */
} option_kind;

typedef struct option {
    const char *name, *value, *help;
    option_kind kind;
    size_t where;      /* in settings */
} option;

#define AT(member) offsetof(settings, member)

#define OPTION_PATH {"--path", "NAME", "the array NAME inside the group", OPTION_TEXT, AT(path)}
#define OPTION_FORCE {"--force", NULL, "replace what exists", OPTION_FLAG, AT(force)}
#define OPTION_QUIET {"--quiet", NULL, "no progress bar, no summary", OPTION_FLAG, AT(quiet)}
#define OPTION_JSON {"--json", NULL, "the result as one JSON object", OPTION_FLAG, AT(json)}
#define OPTION_HELP {"--help", NULL, "this text", OPTION_FLAG, AT(help)}
#define OPTIONS_OF_A_SHARD_FILE                                                                                 \
    {"--chunks", "N", "INPUT is a single shard file of N chunks", OPTION_COUNT, AT(shard_chunks)},              \
    {"--index", "end|start", "where its index lies; default end", OPTION_WORD, AT(index)},                      \
    {"--index-endian", "little|big", "byte order of its index; default little", OPTION_WORD, AT(index_endian)}, \
    {"--no-checksum", NULL, "its index has no checksum", OPTION_FLAG, AT(no_checksum)}

static const option import_options[] = {
    {"--shape", "0,1024,1024", "of raw input; a first 0: until the input ends", OPTION_EXTENTS, AT(shape)},
    {"--dtype", "TYPE", "of raw input (little-endian): uint16, float32, ...", OPTION_TEXT, AT(dtype)},
    {"--chunks", "16,256,256", "elements of a chunk; default: about 1 MiB", OPTION_EXTENTS, AT(chunks)},
    {"--shards", "64,1024,1024", "elements of a shard file; default: one file a chunk if --chunks is given,\n"
                                 "otherwise about 1 GiB", OPTION_EXTENTS, AT(shards)},
    {"--index", "end|start", "where the index of a shard lies; default end", OPTION_WORD, AT(index)},
    {"--fill", "V", "fill value (0): a number, NaN, -Infinity, true; RE,IM", OPTION_TEXT, AT(fill)},
    {"--names", "t,y,x", "names of the dimensions; an empty one is null", OPTION_TEXT, AT(names)},
    {"--attrs", "FILE.json", "attributes: a JSON object", OPTION_TEXT, AT(attributes)},
    {"--path", "NAME", "write the array NAME inside the group OUTPUT.zarr", OPTION_TEXT, AT(path)},
    {"--direct", "auto|on|off", "unbuffered I/O; auto: where the system takes it", OPTION_WORD, AT(direct)},
    {"--sync", "none|finish|BYTES", "durable never, at the end (default), or after every so many bytes as well",
     OPTION_TEXT, AT(sync)},
    {"--buffer", "BYTES", "staging buffer (4M; K, M and G are powers of 1024)", OPTION_SIZE, AT(buffer)},
    {"--memory", "BYTES", "for gathering rows of chunks, and for transposing Fortran order (256M)",
     OPTION_SIZE, AT(memory)},
    {"--checkpoint", "FRAMES", "make the array readable every so many frames", OPTION_COUNT, AT(checkpoint)},
    {"--skip-fill", NULL, "leave out chunks of nothing but the fill value", OPTION_FLAG, AT(skip_fill)},
    {"--append", NULL, "go on with an array that exists", OPTION_FLAG, AT(append)},
    OPTION_FORCE, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option export_options[] = {
    {"--region", "0:16,:,5", "a part of each dimension: begin:end, one index, or all", OPTION_TEXT, AT(region)},
    {"--format", "raw|npy", "raw: C order, little-endian; default npy for OUTPUT.npy", OPTION_WORD, AT(format)},
    {"--memory", "BYTES", "for the elements read at once (64M)", OPTION_SIZE, AT(memory)},
    OPTION_PATH, OPTION_FORCE, OPTION_QUIET, OPTION_HELP
};

static const option info_options[] = {OPTIONS_OF_A_SHARD_FILE, OPTION_PATH, OPTION_JSON, OPTION_HELP};

static const option verify_options[] = {
    OPTIONS_OF_A_SHARD_FILE, OPTION_PATH, OPTION_QUIET, OPTION_JSON, OPTION_HELP
};

static const option layout_options[] = {
    {"--svg", "FILE", "draw into FILE (-: standard output)", OPTION_TEXT, AT(svg)},
    {"--all", NULL, "all shard files of the array, not only the first 16", OPTION_FLAG, AT(all)},
    OPTIONS_OF_A_SHARD_FILE, OPTION_PATH, OPTION_FORCE, OPTION_HELP
};

typedef struct command {
    const char *name, *arguments, *help;
    int (*run)(const settings *s);
    const option *options;
    size_t count;
} command;

/* >>messages -------------------------------------------------------------------------------------------------- */

/* One line on standard error, whatever names with line ends in them say. Returns `status`. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static int complain(const settings *s, int status, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *c = line; *c != 0; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
    fflush(stdout);                            /* so that the lines come in order where both go to one place */
    if (s->command != NULL) fprintf(stderr, "shardio: %s: %s\n", s->command, line);
    else fprintf(stderr, "shardio: %s\n", line);
    return status;
}

static int out_of_memory(const settings *s)
{
    return complain(s, EXIT_TROUBLE, "out of memory");
}

/* The library's error, with what to do about it where an option helps. */
static int complain_error(const settings *s, const shardio_error *error)
{
    char text[512];
    const bool in_the_way = error->status == SHARDIO_ERR_EXISTS && error->reason == NULL && !s->force;
    const char *advice = in_the_way ? " (--force replaces it)"
                       : error->status == SHARDIO_ERR_DIRECT ? " (--direct auto goes on buffered)" : "";
    if (error->status == SHARDIO_ERR_CANCELLED) return complain(s, EXIT_TROUBLE, "interrupted");
    return complain(s, error->status == SHARDIO_ERR_ARGUMENT ? EXIT_USAGE : EXIT_TROUBLE, "%s%s",
                    shardio_error_text(error, text, sizeof text), advice);
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

static bool set_option(settings *s, const option *o, const char *text)
{
    void *where = (char *)s + o->where;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)where = true; return true;
    case OPTION_TEXT: *(const char **)where = text; return true;
    case OPTION_COUNT: return parse_uint64(&text, (uint64_t *)where) && *text == 0 && *(uint64_t *)where > 0;
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
         : o->value;
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

static int parse_arguments(const command *c, settings *s, int count, char **arguments)
{
    const char **places[2] = {&s->input, &s->output};
    int wanted = strchr(c->arguments, ' ') != NULL ? 2 : 1, given = 0;
    bool options = true;
    s->command = c->name;
    for (int i = 0; i < count; i++) {
        const char *argument = arguments[i];
        if (options && strcmp(argument, "--") == 0) {
            options = false;
        } else if (options && argument[0] == '-' && argument[1] != 0) {
            int status = take_option(c, s, count, arguments, &i);
            if (status != EXIT_GOOD) return status;
        } else if (given == wanted) {
            return complain(s, EXIT_USAGE, "one argument too many: %s", argument);
        } else {
            *places[given++] = argument;
        }
    }
    if (given < wanted && !s->help)
        return complain(s, EXIT_USAGE, "usage: shardio %s [options] %s", c->name, c->arguments);
    return EXIT_GOOD;
}

static void print_command_help(const command *c)
{
    printf("shardio %s [options] %s\n  %s\n\n", c->name, c->arguments, c->help);
    for (size_t i = 0; i < c->count; i++) {
        const option *o = &c->options[i];
        char left[64];
        snprintf(left, sizeof left, "%s %s", o->name, o->value != NULL ? o->value : "");
        printf("  %-26s", left);
        for (const char *line = o->help; line != NULL;) {
            const char *end = strchr(line, '\n');
            printf("%.*s\n", end != NULL ? (int)(end - line) : (int)strlen(line), line);
            line = end != NULL ? end + 1 : NULL;
            if (line != NULL) printf("  %-26s", "");
        }
    }
}

/* >>progress -------------------------------------------------------------------------------------------------- */

/* A line on standard error, drawn anew ten times a second; nothing for what is done within half a second. */
typedef struct bar {
    bool on, drawn;
    double begun, next;
} bar;

static bar bar_begin(const settings *s)
{
    bar b = {!s->quiet && is_terminal(stderr), false, now(), 0};
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
    human((uint64_t)((double)done / (time - b->begun)), rate);
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

/* Bytes of the unit whose order depends on the machine: half of a complex number. */
static size_t unit_of(shardio_dtype dtype)
{
#define UNIT(name, text, size, unit) unit,
    static const uint8_t units[SHARDIO_DTYPE_COUNT] = {0, SHARDIO_DTYPE_LIST(UNIT)};
#undef UNIT
    return units[dtype];
}

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

/* The fill value that `text` says, one element; false if it is none of this type. */
static bool parse_fill(const char *text, shardio_dtype dtype, void *out)
{
    size_t size = shardio_dtype_size(dtype);
    switch (dtype) {
    case SHARDIO_BOOL:
        store_integer(strcmp(text, "true") == 0, 1, out);
        return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
    case SHARDIO_INT8: case SHARDIO_INT16: case SHARDIO_INT32: case SHARDIO_INT64:
        return parse_signed(text, size, out);
    case SHARDIO_UINT8: case SHARDIO_UINT16: case SHARDIO_UINT32: case SHARDIO_UINT64:
        return parse_unsigned(text, size, out);
    case SHARDIO_FLOAT16: case SHARDIO_FLOAT32: case SHARDIO_FLOAT64:
        return parse_float(text, 0, size, out, &text);
    case SHARDIO_COMPLEX64: case SHARDIO_COMPLEX128:
        return parse_complex(text, size, out);
    default:
        return false;
    }
}

/* >>json ------------------------------------------------------------------------------------------------------ */

typedef void (*json_builder)(shardio_text *text, const void *context);

/* Prints what `build` builds: once to measure it, once to keep it. */
static int print_json(const settings *s, json_builder build, const void *context)
{
    shardio_text text = {NULL, 0, 0};
    build(&text, context);
    shardio_text kept = {(char *)malloc(text.size + 1), text.size + 1, 0};
    if (kept.text == NULL) return out_of_memory(s);
    build(&kept, context);
    puts(kept.text);
    free(kept.text);
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

/* One element, as a fill value in zarr.json. */
static void add_element(shardio_text *t, shardio_dtype dtype, const uint8_t *bytes)
{
    size_t size = shardio_dtype_size(dtype);
    if (dtype == SHARDIO_BOOL) {
        shardio_text_add(t, bytes[0] != 0 ? "true" : "false");
    } else if (dtype >= SHARDIO_INT8 && dtype <= SHARDIO_INT64) {
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

/* >>source ---------------------------------------------------------------------------------------------------- */

/* Where imported elements come from. */
typedef struct source {
    const char *name;                      /* for messages */
    int file;                              /* descriptor, or -1 */
    uint64_t size;                         /* bytes of the file, or UNKNOWN */
    uint64_t begin;                        /* offset of the first element */
    bool npy, fortran, big_endian;
    shardio_dtype dtype;
    uint32_t ndim;
    uint64_t shape[SHARDIO_MAX_DIMS];
    uint64_t frames;                       /* shape[0], or UNKNOWN: until the input ends */
    uint64_t frame_elements, frame_bytes, bytes;   /* bytes: of all frames, or UNKNOWN */
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
           multiply(in->frame_elements, shardio_dtype_size(in->dtype), &in->frame_bytes) &&
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

/* '<i2', '|u1', '>c16' */
static const char *take_descr(cursor *c, source *in)
{
    static const struct {
        const char *code, *name;
    } types[] = {{"b1", "bool"}, {"i1", "int8"}, {"i2", "int16"}, {"i4", "int32"}, {"i8", "int64"},
                 {"u1", "uint8"}, {"u2", "uint16"}, {"u4", "uint32"}, {"u8", "uint64"}, {"f2", "float16"},
                 {"f4", "float32"}, {"f8", "float64"}, {"c8", "complex64"}, {"c16", "complex128"}};
    static const char unsupported[] = "its element type is not supported";
    char text[16];
    if (!take_string(c, text, sizeof text) || text[0] == 0 || strchr("<>|=", text[0]) == NULL) return unsupported;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(text + 1, types[i].code) == 0) in->dtype = shardio_dtype_from_name(types[i].name);
    if (in->dtype == SHARDIO_DTYPE_UNSET) return unsupported;
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

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

/* Whether the file begins as .npy files do; a pipe is not looked into. */
static bool looks_like_npy(source *in)
{
    char start[NPY_MAGIC];
    size_t got;
    if (in->size == UNKNOWN) return false;
    bool npy = read_block(in, start, sizeof start, &got) && got == sizeof start &&
               memcmp(start, npy_magic, sizeof start) == 0;
    return seek_to(in->file, 0) && npy;
}

static int open_source(const settings *s, source *in)
{
    bool standard = strcmp(s->input, "-") == 0;
    in->name = standard ? "standard input" : s->input;
    if (standard) make_binary(stdin);
    in->file = standard ? 0 : open_file(s->input);
    if (in->file < 0) return complain(s, EXIT_TROUBLE, "%s: cannot open: %s", in->name, strerror(errno));
    in->size = standard ? UNKNOWN : size_of_file(in->file);
    in->npy = !standard && (ends_with(s->input, ".npy") || looks_like_npy(in));
    return EXIT_GOOD;
}

static void close_source(source *in)
{
    if (in->file > 0) close_file(in->file);
}

/* Type and shape of raw input, from the options or, where they do not say, the array that is continued. */
static int describe_raw(const settings *s, source *in, const shardio_array_facts *array)
{
    extents shape = s->shape;
    if (s->dtype != NULL) in->dtype = shardio_dtype_from_name(s->dtype);
    else if (array != NULL) in->dtype = array->dtype;
    if (s->dtype != NULL && in->dtype == SHARDIO_DTYPE_UNSET)
        return complain(s, EXIT_USAGE, "--dtype %s: no type of Zarr's core (uint16, float32, ...)", s->dtype);
    if (shape.count == 0 && array != NULL) {
        shape.count = array->ndim;
        memcpy(shape.of, array->shape, sizeof shape.of);
        shape.of[0] = 0;
    }
    if (in->dtype == SHARDIO_DTYPE_UNSET || shape.count == 0)
        return complain(s, EXIT_USAGE, "raw input needs --%s", shape.count == 0 ? "shape" : "dtype");
    in->ndim = shape.count;
    memcpy(in->shape, shape.of, sizeof in->shape);
    for (uint32_t i = 1; i < in->ndim; i++)
        if (in->shape[i] == 0) return complain(s, EXIT_USAGE, "--shape: only the first extent can be 0");
    if (!measure_source(in)) return complain(s, EXIT_USAGE, "--shape exceeds 2^64 bytes");
    if (in->frames == 0) in->frames = in->bytes = UNKNOWN;
    return EXIT_GOOD;
}

/* >>import ---------------------------------------------------------------------------------------------------- */

typedef struct import_job {
    const settings *s;
    source in;
    shardio_array_options options;
    uint8_t fill[16];
    const char *names[SHARDIO_MAX_DIMS];
    char *names_text, *attributes;         /* owned */
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

/* The text of a whole file, ended by a zero byte. */
static int read_text(const settings *s, const char *path, char **text, size_t *size)
{
    const size_t most = 64 * (size_t)MIB;
    source in;
    memset(&in, 0, sizeof in);
    in.name = path;
    in.file = open_file(path);
    if (in.file < 0) return complain(s, EXIT_TROUBLE, "%s: cannot open: %s", path, strerror(errno));
    uint64_t length = size_of_file(in.file);
    size_t room = length < most ? (size_t)length : most;
    int status = EXIT_GOOD;
    if ((*text = (char *)malloc(room + 1)) == NULL) status = out_of_memory(s);
    else if (!read_block(&in, *text, room, size)) status = complain_read(s, &in);
    else if (*size == most) status = complain(s, EXIT_TROUBLE, "%s: larger than 64 MiB", path);
    else (*text)[*size] = 0;
    close_file(in.file);
    return status;
}

static int read_attributes(import_job *job)
{
    const settings *s = job->s;
    char text[512];
    size_t size = 0;
    shardio_json value;
    shardio_error error;
    int status = read_text(s, s->attributes, &job->attributes, &size);
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
    o->direct = s->direct == DIRECT_ON ? SHARDIO_DIRECT_ON : s->direct == DIRECT_OFF ? SHARDIO_DIRECT_OFF
                                                                                     : SHARDIO_DIRECT_AUTO;
    o->skip_fill = s->skip_fill;
    o->overwrite = s->force;
    o->accounting = &job->accounting;
    if (s->sync != NULL && strcmp(s->sync, "none") == 0) o->durability = SHARDIO_DURABLE_NONE;
    else if (s->sync != NULL && strcmp(s->sync, "finish") != 0 && !parse_size(s->sync, &o->checkpoint_every))
        return complain(s, EXIT_USAGE, "--sync %s: has to be none, finish or a size such as 64M", s->sync);
    if (!multiply(s->checkpoint, job->in.frame_elements, &job->checkpoint_elements))
        job->checkpoint_elements = 0;              /* more than will ever come */
    return EXIT_GOOD;
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
    if (status != EXIT_GOOD) return status;
    if (s->shards.count > 0 && s->chunks.count == 0) return complain(s, EXIT_USAGE, "--shards needs --chunks");
    memcpy(o->chunk, s->chunks.of, sizeof o->chunk);
    memcpy(o->shard, s->shards.of, sizeof o->shard);
    if (s->chunks.count == 0 && shardio_array_suggest(o, s->memory, 0, &error) != SHARDIO_OK)
        return complain_error(s, &error);
    return EXIT_GOOD;
}

/* What a new array is. */
static int set_identity(import_job *job)
{
    const settings *s = job->s;
    shardio_array_options *o = &job->options;
    o->ndim = job->in.ndim;
    o->dtype = job->in.dtype;
    memcpy(o->shape, job->in.shape, sizeof o->shape);
    o->index_at_start = s->index == INDEX_START;
    int status = set_chunks(job);
    if (status == EXIT_GOOD && s->names != NULL) status = split_names(job);
    if (status == EXIT_GOOD && s->attributes != NULL) status = read_attributes(job);
    if (status != EXIT_GOOD || s->fill == NULL) return status;
    if (!parse_fill(s->fill, o->dtype, job->fill))
        return complain(s, EXIT_USAGE, "--fill %s: no value of type %s", s->fill, shardio_dtype_name(o->dtype));
    o->fill_value = job->fill;
    return EXIT_GOOD;
}

/* After create or continue: the error that sticks to the array, or what it turned out to be. */
static int look_at_array(import_job *job)
{
    shardio_error error = shardio_array_error(job->array);
    if (error.status != SHARDIO_OK) return complain_error(job->s, &error);
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
        return complain_error(s, &error);
    job->array = shardio_array_create(s->output, &job->options);
    return look_at_array(job);
}

/* What the input is has to be what the array is, but for the number of frames. */
static int check_match(const import_job *job)
{
    const source *in = &job->in;
    const shardio_array_facts *f = &job->facts;
    char ours[LIST_TEXT], theirs[LIST_TEXT];
    int status = in->npy ? EXIT_TROUBLE : EXIT_USAGE;
    if (in->dtype != f->dtype)
        return complain(job->s, status, "the input is of type %s, the array of %s",
                        shardio_dtype_name(in->dtype), shardio_dtype_name(f->dtype));
    if (in->ndim != f->ndim || memcmp(in->shape + 1, f->shape + 1, (in->ndim - 1) * sizeof in->shape[0]) != 0)
        return complain(job->s, status, "frames of the input are %s, those of the array %s",
                        list_text(in->shape + 1, in->ndim - 1, " x ", ours),
                        list_text(f->shape + 1, f->ndim - 1, " x ", theirs));
    return EXIT_GOOD;
}

/* The first option given that says what a new array is; null: none. */
static const char *option_for_new(const settings *s)
{
    return s->chunks.count > 0 ? "--chunks" : s->shards.count > 0 ? "--shards" : s->index != 0 ? "--index"
         : s->fill != NULL ? "--fill" : s->names != NULL ? "--names" : s->attributes != NULL ? "--attrs"
         : s->force ? "--force" : NULL;
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
    shardio_array *old = shardio_array_open(s->output, &reading, &error);
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
    job->array = shardio_array_continue(s->output, &job->options);
    return look_at_array(job);
}

/* Appends whole elements of `size` bytes in all, with a checkpoint wherever --checkpoint wants one. */
static int append_bytes(import_job *job, uint8_t *data, size_t size)
{
    const size_t element = shardio_dtype_size(job->in.dtype);
    const uint64_t step = job->checkpoint_elements;
    if (job->in.big_endian != machine_is_big_endian()) swap_units(data, size, unit_of(job->in.dtype));
    for (uint64_t left = size / element; left > 0;) {
        uint64_t count = step > 0 && left > step - job->elements % step ? step - job->elements % step : left;
        shardio_status status = shardio_array_append(job->array, data, count);
        job->elements += count;
        if (status == SHARDIO_OK && step > 0 && job->elements % step == 0)
            status = shardio_array_checkpoint(job->array);
        if (status != SHARDIO_OK) {
            shardio_error error = shardio_array_error(job->array);
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
    const size_t size = 4 * (size_t)MIB, element = shardio_dtype_size(job->in.dtype);
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
    size_t size = shardio_dtype_size(in->dtype), got;
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
    uint64_t memory = job->s->memory > 0 ? job->s->memory : 256 * MIB, element = shardio_dtype_size(in->dtype);
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
    if (in->bytes > 0) job->passes = (in->bytes / shardio_dtype_size(in->dtype) - 1) / held + 1;
    if (job->s->quiet) return EXIT_GOOD;
    return complain(job->s, EXIT_GOOD, "%s is in Fortran order: %" PRIu64 " pass%s over it with %s of memory (--memory)",
                    in->name, job->passes, job->passes == 1 ? "" : "es",
                    human(held * shardio_dtype_size(in->dtype), memory));
}

static int copy_fortran(import_job *job)
{
    source *in = &job->in;
    const size_t size = shardio_dtype_size(in->dtype), block_bytes = 4 * (size_t)MIB;
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
        complain(job->s, EXIT_GOOD, "%s: %" PRIu64 " bytes behind the last frame were left out", in->name,
                 in->size - in->begin - in->bytes);
    else if (bounded && in->size == UNKNOWN && holds_more(in->file))
        complain(job->s, EXIT_GOOD, "%s goes on behind the last frame: that was left out", in->name);
}

static void build_import_json(shardio_text *t, const void *context)
{
    const import_job *job = (const import_job *)context;
    const shardio_accounting *a = &job->accounting;
    const shardio_array_facts *f = &job->facts;
    uint64_t shape[SHARDIO_MAX_DIMS];
    char seconds[32];
    memcpy(shape, f->shape, sizeof shape);
    shape[0] = (job->s->append ? f->shape[0] : 0) + frames_imported(job);
    snprintf(seconds, sizeof seconds, "%.6f", job->seconds);
    shardio_text_add(t, "{\"output\": ");
    shardio_text_add_string(t, job->s->output);
    add_number(t, "frames", frames_imported(job));
    add_list(t, "shape", shape, f->ndim);
    add_list(t, "chunks", f->chunk, f->ndim);
    add_list(t, "shards", f->sharded ? f->shard : NULL, f->ndim);
    add_string(t, "dtype", shardio_dtype_name(f->dtype));
    add_number(t, "logical_bytes", frames_imported(job) * job->in.frame_bytes);
    add_number(t, "file_bytes", a->logical_bytes);
    add_number(t, "files", a->files);
    add_number(t, "device_calls", a->device_calls);
    add_number(t, "device_bytes", a->device_bytes);
    add_number(t, "copied_bytes", a->copied_bytes);
    add_truth(t, "direct", a->direct);
    add_string(t, "direct_reason", a->direct_reason);
    add_number(t, "dead_bytes", a->dead_bytes);
    add_number(t, "passes", job->passes);
    add_number(t, "memory_planned", job->plan.total > 0 ? job->plan.total : f->memory);
    add_name(t, "seconds");
    shardio_text_add(t, seconds);
    shardio_text_add(t, "}");
}

static void print_import_summary(const import_job *job)
{
    const shardio_array_facts *f = &job->facts;
    const shardio_accounting *a = &job->accounting;
    char list[LIST_TEXT], bytes[32], rate[32], files[32];
    uint64_t size = frames_imported(job) * job->in.frame_bytes;
    human(size, bytes);
    human(job->seconds > 0 ? (uint64_t)((double)size / job->seconds) : 0, rate);
    printf("%s: %" PRIu64 " frame%s %s, %s in %.2f s (%s/s)\n", job->s->output, frames_imported(job),
           plural(frames_imported(job)), job->s->append ? "appended" : "imported", bytes, job->seconds, rate);
    printf("  chunks  %s%s\n", list_text(f->chunk, f->ndim, ",", list),
           job->s->chunks.count == 0 && !job->s->append ? " (chosen; --chunks says otherwise)" : "");
    if (f->sharded) printf("  shards  %s\n", list_text(f->shard, f->ndim, ",", list));
    printf("  files   %" PRIu64 ", %s", a->files, human(a->logical_bytes, files));
    if (a->dead_bytes > 0) printf(", %s of it dead", human(a->dead_bytes, files));
    if (a->direct || a->direct_reason == NULL) printf(", written unbuffered\n");
    else printf(", written through the page cache (%s)\n", a->direct_reason);
}

static int finish_import(import_job *job)
{
    shardio_error error;
    shardio_status status = shardio_array_finish(job->array, &error);
    job->array = NULL;
    job->seconds = now() - job->progress.begun;
    bar_end(&job->progress);
    if (status != SHARDIO_OK) return complain_error(job->s, &error);
    warn_of_ending(job);
    if (job->s->json) return print_json(job->s, build_import_json, job);
    if (!job->s->quiet) print_import_summary(job);
    return EXIT_GOOD;
}

static int run_import(const settings *s)
{
    import_job job;
    memset(&job, 0, sizeof job);
    job.s = s;
    job.in.file = -1;
    job.progress = bar_begin(s);
    int status = open_source(s, &job.in);
    if (status == EXIT_GOOD) status = s->append ? begin_append(&job) : begin_new(&job);
    if (status == EXIT_GOOD) status = job.in.fortran ? copy_fortran(&job) : copy_frames(&job);
    if (status == EXIT_GOOD) status = finish_import(&job);
    if (job.array != NULL) shardio_array_abort(job.array);
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

static int open_sink(const settings *s, sink *out, const char *path)
{
    shardio_slot_options options = {0};
    memset(out, 0, sizeof *out);
    out->standard = strcmp(path, "-") == 0;
    if (out->standard) {
        make_binary(stdout);
        return EXIT_GOOD;
    }
    options.overwrite = s->force;
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

/* An array is a directory; a file is taken for a shard only where --chunks says so. */
static int refuse_file(const settings *s)
{
    if (!is_regular_file(s->input)) return EXIT_GOOD;
    const bool shards_too = strcmp(s->command, "export") != 0;
    return complain(s, EXIT_USAGE, "%s is a file, not an array%s", s->input,
                    shards_too ? "; if it is a shard, --chunks N says what it holds" : "");
}

static shardio_array *open_in(const settings *s, const shardio_store *store, shardio_error *error)
{
    shardio_array_options options = {0};
    options.path = s->path;
    return shardio_array_open_in(store, &options, error);
}

/* Opens INPUT for reading; on trouble there is nothing to close. */
static int open_array(const settings *s, const shardio_store *store, shardio_array **array)
{
    shardio_error error;
    int status = refuse_file(s);
    if (status != EXIT_GOOD) return status;
    *array = open_in(s, store, &error);
    if (error.status == SHARDIO_OK) return EXIT_GOOD;
    shardio_array_close(*array);
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

/* >>export ---------------------------------------------------------------------------------------------------- */

typedef struct export_job {
    const settings *s;
    shardio_array *array;
    shardio_array_facts facts;
    uint64_t start[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS];     /* the region */
    uint32_t split;            /* blocks are runs along this dimension, whole along all later ones */
    uint64_t step;             /* of so many */
    uint64_t done, bytes;      /* of elements */
    sink out;
    bar progress;
} export_job;

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

static int parse_region(export_job *job)
{
    const settings *s = job->s;
    const shardio_array_facts *f = &job->facts;
    char shape[LIST_TEXT];
    const char *text = s->region != NULL ? s->region : "";
    for (uint32_t i = 0; i < f->ndim; i++) {
        if (!parse_part(&text, f->shape[i], &job->start[i], &job->count[i]))
            return complain(s, EXIT_USAGE, "--region %s: dimension %" PRIu32 " is not begin:end within %s",
                            s->region, i, list_text(f->shape, f->ndim, ",", shape));
        if (*text == ',' && i + 1 < f->ndim) text++;
    }
    if (*text != 0)
        return complain(s, EXIT_USAGE, "--region %s: more than %" PRIu32 " dimension%s", s->region, f->ndim,
                        plural(f->ndim));
    return EXIT_GOOD;
}

/* Cuts the region into blocks that fit the memory: along the first dimension that allows it, in whole chunks where
   they fit. */
static int plan_blocks(export_job *job)
{
    const shardio_array_facts *f = &job->facts;
    uint64_t memory = job->s->memory > 0 ? job->s->memory : 64 * MIB, inside = shardio_dtype_size(f->dtype);
    if (!multiply_all(job->count, f->ndim, &job->bytes) || !multiply(job->bytes, inside, &job->bytes))
        return complain(job->s, EXIT_TROUBLE, "%s: its shape exceeds 2^64 bytes", job->s->input);
    if (job->bytes == 0) return EXIT_GOOD;
    for (job->split = f->ndim; job->split > 1; job->split--) {
        if (inside * job->count[job->split - 1] > memory) break;
        inside *= job->count[job->split - 1];
    }
    if (job->split > 0) job->split--;
    job->step = memory / inside > 0 ? memory / inside : 1;
    if (job->step > job->count[job->split]) job->step = job->count[job->split];
    else if (job->step > f->chunk[job->split]) job->step -= job->step % f->chunk[job->split];
    if (job->step * inside > SIZE_MAX) return out_of_memory(job->s);
    return EXIT_GOOD;
}

/* The header that numpy.save writes, padded to 64 bytes. */
static int write_npy_header(export_job *job)
{
    static const char begin[] = "\x93NUMPY\1\0\0\0{'descr': '";      /* the length comes last */
    const shardio_array_facts *f = &job->facts;
    const shardio_dtype t = f->dtype;
    char text[LIST_TEXT + 192], list[LIST_TEXT];
    shardio_text out = {text, sizeof text, 0};
    shardio_text_add_bytes(&out, begin, sizeof begin - 1);
    shardio_text_add(&out, shardio_dtype_size(t) > 1 ? "<" : "|");
    shardio_text_add(&out, t == SHARDIO_BOOL ? "b" : t <= SHARDIO_INT64 ? "i" : t <= SHARDIO_UINT64 ? "u"
                         : t <= SHARDIO_FLOAT64 ? "f" : "c");
    shardio_text_add_uint64(&out, shardio_dtype_size(t));
    shardio_text_add(&out, "', 'fortran_order': False, 'shape': (");
    shardio_text_add(&out, list_text(job->count, f->ndim, ", ", list));
    shardio_text_add(&out, f->ndim == 1 ? ",), }" : "), }");
    while ((out.size + 1) % 64 != 0) shardio_text_add(&out, " ");
    shardio_text_add(&out, "\n");
    text[8] = (char)((out.size - 10) & 255);
    text[9] = (char)((out.size - 10) >> 8);
    return write_sink(job->s, &job->out, text, out.size);
}

/* Reads the block at `start` of extent `count` and writes it. */
static int copy_block(export_job *job, const uint64_t *start, const uint64_t *count, uint8_t *block, size_t size)
{
    shardio_error error;
    if (interrupted) return complain(job->s, EXIT_TROUBLE, "interrupted");
    if (shardio_array_read(job->array, start, count, block, size, &error) != SHARDIO_OK) {
        bar_end(&job->progress);
        return complain_error(job->s, &error);
    }
    if (machine_is_big_endian()) swap_units(block, size, unit_of(job->facts.dtype));
    job->done += size;
    bar_show(&job->progress, job->done, job->bytes);
    return write_sink(job->s, &job->out, block, size);
}

/* Moves `at` on by `step` along dimension `split` and carries over to the earlier ones; false at the end. */
static bool next_block(const export_job *job, uint64_t *at)
{
    uint32_t i = job->split;
    at[i] += job->step;
    while (at[i] >= job->start[i] + job->count[i]) {
        at[i] = job->start[i];
        if (i == 0) return false;
        at[--i]++;
    }
    return true;
}

static int copy_region(export_job *job)
{
    const uint32_t ndim = job->facts.ndim, split = job->split;
    uint64_t at[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS], inside = shardio_dtype_size(job->facts.dtype);
    void *whole;
    if (job->bytes == 0) return EXIT_GOOD;
    memcpy(at, job->start, sizeof at);
    for (uint32_t i = 0; i < ndim; i++) count[i] = i <= split ? 1 : job->count[i];
    for (uint32_t i = split + 1; i < ndim; i++) inside *= count[i];
    uint8_t *block = aligned_memory((size_t)(job->step * inside), &whole);
    int status = block != NULL ? EXIT_GOOD : out_of_memory(job->s);
    bool more = true;
    while (status == EXIT_GOOD && more) {
        uint64_t left = job->start[split] + job->count[split] - at[split];
        count[split] = left < job->step ? left : job->step;
        status = copy_block(job, at, count, block, (size_t)(count[split] * inside));
        more = next_block(job, at);
    }
    free(whole);
    return status;
}

static int run_export(const settings *s)
{
    export_job job;
    memset(&job, 0, sizeof job);
    job.s = s;
    shardio_store store = shardio_store_directory(s->input);
    int status = open_array(s, &store, &job.array);
    if (status != EXIT_GOOD) return status;
    shardio_array_describe(job.array, &job.facts);
    job.count[0] = 1;          /* of an array without dimensions, which is a block of one element */
    status = parse_region(&job);
    if (status == EXIT_GOOD) status = plan_blocks(&job);
    if (status == EXIT_GOOD && (status = open_sink(s, &job.out, s->output)) == EXIT_GOOD) {
        job.progress = bar_begin(s);
        if (s->format == FORMAT_NPY || (s->format == 0 && ends_with(s->output, ".npy")))
            status = write_npy_header(&job);
        if (status == EXIT_GOOD) status = copy_region(&job);
        bar_end(&job.progress);
        status = close_sink(s, &job.out, status);
    }
    shardio_array_close(job.array);
    return status;
}

/* >>info ------------------------------------------------------------------------------------------------------ */

/* All shard files of an array taken together. */
typedef struct totals {
    uint64_t files, bytes, live, index, dead, unreadable, temporary;
} totals;

typedef struct info {
    const settings *s;
    shardio_array_facts facts;
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
    shardio_error error;
    char prefix[1024] = "";
    int code = 0;
    if (shardio_array_each_shard(array, count_shard, &job->all, &error) != SHARDIO_OK)
        return complain_error(job->s, &error);
    if (job->s->path != NULL) snprintf(prefix, sizeof prefix, "%s/", job->s->path);
    store->functions->list(store->context, prefix, count_temporary, &job->all, &code);
    return EXIT_GOOD;
}

static void add_names(shardio_text *t, const shardio_array_facts *f)
{
    for (uint32_t i = 0; i < f->ndim; i++) {
        if (i > 0) shardio_text_add(t, ", ");
        if (f->dimension_names[i] != NULL) shardio_text_add_string(t, f->dimension_names[i]);
        else shardio_text_add(t, "null");
    }
}

static void add_codecs(shardio_text *t, const shardio_array_facts *f)
{
    for (uint32_t i = 0; i < f->codecs; i++) {
        if (i > 0) shardio_text_add(t, ", ");
        shardio_text_add_string(t, f->codec_names[i]);
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

static void build_array_json(shardio_text *t, const void *context)
{
    const info *job = (const info *)context;
    const shardio_array_facts *f = &job->facts;
    shardio_text_add(t, "{\"kind\": \"array\"");
    add_string(t, "name", job->s->input);
    add_string(t, "path", job->s->path);
    add_string(t, "dtype", shardio_dtype_name(f->dtype));
    add_string(t, "endian", f->big_endian ? "big" : "little");
    add_list(t, "shape", f->shape, f->ndim);
    add_list(t, "chunks", f->chunk, f->ndim);
    add_list(t, "shards", f->sharded ? f->shard : NULL, f->ndim);
    add_name(t, "fill_value");
    add_element(t, f->dtype, f->fill_value);
    add_name(t, "dimension_names");
    shardio_text_add(t, f->has_dimension_names ? "[" : "null");
    if (f->has_dimension_names) add_names(t, f);
    shardio_text_add(t, f->has_dimension_names ? "], \"codecs\": [" : ", \"codecs\": [");
    add_codecs(t, f);
    shardio_text_add(t, "]");
    if (f->sharded) add_index(t, &f->index);
    add_number(t, "files", job->all.files);
    add_number(t, "file_bytes", job->all.bytes);
    add_number(t, "live_bytes", job->all.live);
    add_number(t, "index_bytes", job->all.index);
    add_number(t, "dead_bytes", job->all.dead);
    add_number(t, "damaged_files", job->all.unreadable);
    add_number(t, "temporary_files", job->all.temporary);
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
    print_line(name, list_text(of, count, ", ", text));
}

static void print_array(const info *job)
{
    const shardio_array_facts *f = &job->facts;
    const totals *all = &job->all;
    char text[1024], size[32];
    shardio_text t = {text, sizeof text, 0};
    printf("%-11s %s, %s-endian\n", "type", shardio_dtype_name(f->dtype), f->big_endian ? "big" : "little");
    print_list("shape", f->shape, f->ndim);
    print_list("chunks", f->chunk, f->ndim);
    if (f->sharded) print_list("shards", f->shard, f->ndim);
    add_element(&t, f->dtype, f->fill_value);
    print_line("fill value", text);
    t.size = 0;
    add_names(&t, f);
    if (f->has_dimension_names) print_line("dimensions", text);
    t.size = 0;
    shardio_text_add(&t, "bytes");
    if (f->codecs > 0) shardio_text_add(&t, ", ");
    add_codecs(&t, f);
    print_line("codecs", text);
    if (f->sharded)
        printf("%-11s at the %s, %s-endian, %s checksum, for %" PRIu64 " chunk%s\n", "index",
               f->index.at_start ? "start" : "end", f->index.big_endian ? "big" : "little",
               f->index.no_checksum ? "without" : "with", f->index.chunks, plural(f->index.chunks));
    print_line("attributes", f->attributes);
    printf("%-11s %" PRIu64 ", %s: %" PRIu64 " bytes live, %" PRIu64 " index, %" PRIu64 " dead\n", "files",
           all->files, human(all->bytes, size), all->live, all->index, all->dead);
    if (all->temporary > 0)
        printf("%-11s %" PRIu64 " file%s of a writer that is at work or was killed\n", "temporary", all->temporary,
               plural(all->temporary));
}

static int run_info_array(const settings *s)
{
    info job;
    shardio_array *array;
    memset(&job, 0, sizeof job);
    job.s = s;
    shardio_store store = shardio_store_directory(s->input);
    int status = open_array(s, &store, &array);
    if (status != EXIT_GOOD) return status;
    shardio_array_describe(array, &job.facts);
    status = count_files(&job, &store, array);
    if (status == EXIT_GOOD && s->json) status = print_json(s, build_array_json, &job);
    else if (status == EXIT_GOOD) print_array(&job);
    if (status == EXIT_GOOD && job.all.unreadable > 0)
        status = complain(s, EXIT_TROUBLE, "%s: %" PRIu64 " file%s damaged or not readable (shardio verify says more)",
                          s->input, job.all.unreadable, job.all.unreadable == 1 ? " is" : "s are");
    shardio_array_close(array);
    return status;
}

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

static int run_info(const settings *s)
{
    return s->shard_chunks > 0 ? run_info_shard(s) : run_info_array(s);
}

/* >>verify ---------------------------------------------------------------------------------------------------- */

typedef struct verification {
    const settings *s;
    bool begun;                /* the JSON object */
    uint64_t faults;
    bar progress;
} verification;

static void begin_json(verification *job)
{
    if (!job->begun) fputs("{\"findings\": [", stdout);
    job->begun = true;
}

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
    if (job->s->json) {
        begin_json(job);
        if (job->faults > 0) fputs(", ", stdout);
        print_json(job->s, build_finding_json, finding);
    } else {
        puts(shardio_error_text(finding, text, sizeof text));
    }
    job->faults++;
}

/* Whether an error says that the data is bad, not that it could not be looked at. */
static bool is_damage(shardio_status status)
{
    return status == SHARDIO_ERR_CORRUPT || status == SHARDIO_ERR_CHECKSUM || status == SHARDIO_ERR_TRUNCATED;
}

/* After the work: `error` is how it ended, which is a finding of its own if there was none before. */
static int conclude(verification *job, const shardio_error *error)
{
    const settings *s = job->s;
    const bool damage = is_damage(error->status), complete = damage || error->status == SHARDIO_OK;
    bar_end(&job->progress);
    if (damage && job->faults == 0) print_finding(job, error);
    if (s->json && complete) begin_json(job);
    if (job->begun) printf("], \"sound\": %s}\n", complete && job->faults == 0 ? "true" : "false");
    if (!complete) return complain_error(s, error);
    if (job->faults > 0)
        return complain(s, EXIT_TROUBLE, "%s: damaged, %" PRIu64 " finding%s", s->input, job->faults,
                        plural(job->faults));
    if (!s->json && !s->quiet) printf("%s: sound\n", s->input);
    return EXIT_GOOD;
}

static void verify_shard(verification *job, shardio_error *error)
{
    shardio_shard_reader reader;
    if (open_shard(job->s, &reader, error) == SHARDIO_OK)
        shardio_shard_verify(&reader, NULL, print_finding, job, error);
    shardio_shard_close(&reader);
}

static void verify_array(verification *job, shardio_error *error)
{
    shardio_store store = shardio_store_directory(job->s->input);
    shardio_array *array = open_in(job->s, &store, error);
    if (error->status == SHARDIO_OK)
        shardio_array_verify(array, print_finding, job, bar_progress, &job->progress, error);
    shardio_array_close(array);
}

static int run_verify(const settings *s)
{
    verification job = {s, false, 0, bar_begin(s)};
    shardio_error error;
    int status = s->shard_chunks > 0 ? EXIT_GOOD : refuse_file(s);
    if (status != EXIT_GOOD) return status;
    memset(&error, 0, sizeof error);
    if (s->shard_chunks > 0) verify_shard(&job, &error);
    else verify_array(&job, &error);
    return conclude(&job, &error);
}

/* >>layout ---------------------------------------------------------------------------------------------------- */

/* What lies in a shard file, in the order of the file. */
typedef struct segment {
    uint64_t begin, end;
    bool index;
} segment;

typedef struct shard_map {
    segment *of;
    size_t count;
    shardio_shard_summary summary;
} shard_map;

/* A picture is a row of cells, each of a part of the file. Chunks that lie side by side alternate between two kinds
   where each fills a cell of its own. */
typedef enum cell_kind { CELL_EVEN, CELL_ODD, CELL_MIXED, CELL_DEAD, CELL_INDEX, CELL_KINDS } cell_kind;
enum { TEXT_CELLS = 72, SVG_CELLS = 960, SHOWN_SHARDS = 16 };
static const struct {
    char letter;
    const char *color, *name;
} cells[CELL_KINDS] = {{'#', "#2b6cb0", "chunk"}, {'=', "#63a4dd", "the next chunk"},
                       {':', "#b7a2c9", "chunks, some dead"}, {'.', "#d9d4cc", "dead"}, {'I', "#dd6b20", "index"}};

static int compare_segments(const void *a, const void *b)
{
    const segment *x = (const segment *)a, *y = (const segment *)b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Where the chunks and the index of a shard lie; entries that point nowhere are left out. free() map->of. */
static shardio_status map_shard(shardio_shard_reader *reader, const shardio_index_layout *layout, shard_map *map)
{
    shardio_status status = shardio_shard_verify(reader, &map->summary, NULL, NULL, NULL);
    const uint64_t index = shardio_index_size(layout), size = map->summary.file_bytes;
    if (status != SHARDIO_OK && status != SHARDIO_ERR_CORRUPT) return status;
    /* the index lies in the file, so there are at most file size / 16 chunks */
    map->of = (segment *)malloc(((size_t)layout->chunks + 1) * sizeof map->of[0]);
    if (map->of == NULL) return SHARDIO_ERR_MEMORY;
    map->of[0].begin = layout->at_start ? 0 : size - index;
    map->of[0].end = map->of[0].begin + index;
    map->of[0].index = true;
    map->count = 1;
    for (uint64_t i = 0; i < layout->chunks; i++) {
        uint64_t offset, length;
        if (shardio_shard_locate(reader, i, &offset, &length, NULL) != SHARDIO_OK) continue;
        segment s = {offset, offset + length, false};
        if (length != SHARDIO_MISSING) map->of[map->count++] = s;
    }
    qsort(map->of, map->count, sizeof map->of[0], compare_segments);
    return SHARDIO_OK;
}

/* Bytes of [begin, end) in the cell that is [from, to). */
static double overlap(uint64_t begin, uint64_t end, double from, double to)
{
    double low = (double)begin > from ? (double)begin : from, high = (double)end < to ? (double)end : to;
    return high > low ? high - low : 0;
}

/* The kind of one cell, of segments from *first on, which moves on past those that end before it. */
static cell_kind look_at_cell(const shard_map *map, size_t *first, double from, double to, bool alternate)
{
    double amount[3] = {0, 0, 0};          /* even and odd chunks, index */
    while (*first < map->count && (double)map->of[*first].end <= from) ++*first;
    for (size_t i = *first; i < map->count && (double)map->of[i].begin < to; i++) {
        const segment *s = &map->of[i];
        double middle = ((double)s->begin + (double)s->end) / 2;
        if (s->index && middle >= from && middle < to) return CELL_INDEX;      /* seen however small it is */
        amount[s->index ? 2 : alternate ? i % 2 : 0] += overlap(s->begin, s->end, from, to);
    }
    const double used = amount[0] + amount[1] + amount[2], width = to - from;
    if (amount[2] >= width / 2) return CELL_INDEX;
    if (used < width / 2) return CELL_DEAD;
    if (used < width * (1 - 1e-9)) return CELL_MIXED;
    return amount[0] >= amount[1] ? CELL_EVEN : CELL_ODD;
}

static void paint(const shard_map *map, uint8_t *kinds, size_t count)
{
    const double size = (double)map->summary.file_bytes;
    const bool alternate = map->count <= count / 2;
    size_t first = 0;
    for (size_t i = 0; i < count; i++)
        kinds[i] = (uint8_t)look_at_cell(map, &first, size * (double)i / (double)count,
                                         size * (double)(i + 1) / (double)count, alternate);
}

/* A shard file as it is drawn. */
typedef struct row {
    uint64_t position[SHARDIO_MAX_DIMS];   /* in the grid of shards */
    char name[256], text[256];             /* text: its sizes, or what is wrong with it */
    uint8_t kinds[SVG_CELLS];
    bool drawn, damaged;                   /* not drawn: it could not be read */
} row;

/* Rows in the order of their positions; without --all only the first ones are kept. */
typedef struct picture {
    const settings *s;
    const shardio_index_layout *layout;
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
    size_t capacity = p->capacity * 2 + SHOWN_SHARDS;
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
    if (!p->s->all && p->count == SHOWN_SHARDS) {
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

static void describe_map(const shard_map *map, row *r)
{
    char size[32];
    const shardio_shard_summary *m = &map->summary;
    snprintf(r->text, sizeof r->text, "%s, %" PRIu64 " chunk%s, %" PRIu64 " missing, index %" PRIu64
             " bytes, dead %" PRIu64 " bytes%s", human(m->file_bytes, size), m->present, plural(m->present), m->missing,
             m->index_bytes, m->dead_bytes, m->faults > 0 ? ", DAMAGED" : "");
}

static shardio_status draw_shard(picture *p, row *r, shardio_shard_reader *reader)
{
    shard_map map;
    memset(&map, 0, sizeof map);
    shardio_status status = map_shard(reader, p->layout, &map);
    if (status == SHARDIO_OK) {
        paint(&map, r->kinds, p->width);
        describe_map(&map, r);
        r->drawn = true;
        r->damaged = map.summary.faults > 0;
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
        printf("%s: %s\n", r->name, r->text);
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
        if (seen[kind]) printf("  %c %s", cells[kind].letter, cells[kind].name);
    putchar('\n');
}

/* ---- layout: as SVG ---- */

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
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
    for (unsigned kind = 0; kind < CELL_KINDS; kind++)
        svg(p, "<rect x=\"%u\" y=\"%u\" width=\"12\" height=\"12\" fill=\"%s\"/>"
            "<text x=\"%u\" y=\"%u\">%s</text>\n",
            20 + 170 * kind, y - 11, cells[kind].color, 38 + 170 * kind, y, cells[kind].name);
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

static int collect_array(picture *p)
{
    shardio_store store = shardio_store_directory(p->s->input);
    shardio_array *array;
    shardio_array_facts facts;
    shardio_error error;
    int status = open_array(p->s, &store, &array);
    if (status != EXIT_GOOD) return status;
    shardio_array_describe(array, &facts);
    p->layout = &facts.index;
    p->ndim = facts.ndim;
    if (!facts.sharded)
        status = complain(p->s, EXIT_TROUBLE, "%s has no shards: every file is one chunk", p->s->input);
    else if (shardio_array_each_shard(array, visit_shard, p, &error) != SHARDIO_OK)
        status = complain_error(p->s, &error);
    shardio_array_close(array);
    return status;
}

static int run_layout(const settings *s)
{
    picture p;
    memset(&p, 0, sizeof p);
    p.s = s;
    p.width = s->svg != NULL ? SVG_CELLS : TEXT_CELLS;
    int status = s->shard_chunks > 0 ? collect_shard(&p) : collect_array(&p);
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

/* >>main ------------------------------------------------------------------------------------------------------ */

#define OPTIONS_OF(name) name##_options, sizeof name##_options / sizeof name##_options[0]

static const command commands[] = {
    {"import", "INPUT OUTPUT.zarr", "writes a .npy file, a raw file or standard input (-) as a Zarr v3 array",
     run_import, OPTIONS_OF(import)},
    {"export", "INPUT.zarr OUTPUT", "writes an array or a region as .npy or raw bytes (-: standard output)",
     run_export, OPTIONS_OF(export)},
    {"info", "INPUT", "says what an array or a shard file is and takes", run_info, OPTIONS_OF(info)},
    {"verify", "INPUT", "looks for damage; exit status 0: sound, 1: damaged, one line per finding", run_verify,
     OPTIONS_OF(verify)},
    {"layout", "INPUT", "draws where chunks, index and dead bytes lie in shard files", run_layout,
     OPTIONS_OF(layout)}
};

static void print_help(void)
{
    puts("shardio COMMAND [options] ...        Zarr v3 shards, packed to the byte at the speed of the disk\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        printf("  %-7s %-18s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    puts("\n  shardio COMMAND --help    its options\n"
         "  shardio --version         the version, and what was compiled in");
}

static void print_version(void)
{
    const int v = shardio_version();
    printf("shardio %d.%d.%d\n", v / 10000, v / 100 % 100, v % 100);
    print_line("crc32c", shardio_crc32c_kind());
    printf("%-11s bytes, sharding_indexed, %s", "codecs", shardio_codec_crc32c()->name);
#if SHARDIO_WITH_ZSTD
    printf(", %s", shardio_codec_zstd()->name);
#endif
#if SHARDIO_WITH_ZLIB
    printf(", %s", shardio_codec_gzip()->name);
#endif
#if SHARDIO_WITH_BLOSC
    printf(", %s", shardio_codec_blosc()->name);
#endif
#if SHARDIO_WITH_LZ4
    printf(", %s", shardio_codec_lz4()->name);
#endif
    putchar('\n');
    printf("%-11s", "types");
    for (int t = 1; t < SHARDIO_DTYPE_COUNT; t++) printf(" %s", shardio_dtype_name((shardio_dtype)t));
    printf("\n%-11s %d-bit, %s-endian\n", "machine", (int)sizeof(void *) * 8,
           machine_is_big_endian() ? "big" : "little");
}

static int run_command(const command *c, int count, char **arguments)
{
    settings s;
    memset(&s, 0, sizeof s);
    int status = parse_arguments(c, &s, count, arguments);
    if (status != EXIT_GOOD) return status;
    if (s.help) print_command_help(c);
    else status = c->run(&s);
    /* a full disk behind standard output shows here at the latest */
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_GOOD) status = complain_standard_output(&s);
    return status;
}

int main(int count, char **arguments)
{
    const settings none = {0};
    const char *name = count > 1 ? arguments[1] : "";
    watch_signals();
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(name, commands[i].name) == 0) return run_command(&commands[i], count - 2, arguments + 2);
    if (strcmp(name, "--version") != 0 && strcmp(name, "--help") != 0 && strcmp(name, "-h") != 0)
        return complain(&none, EXIT_USAGE, "%s%s (shardio --help lists the commands)",
                        count > 1 ? "unknown command " : "which command?", name);
    if (strcmp(name, "--version") == 0) print_version();
    else print_help();
    return fflush(stdout) == 0 ? EXIT_GOOD : complain_standard_output(&none);
}
