/* Hostile .npy files: the tool reads their headers, imports small ones and exports them again.

   Input: flags, then the file. */
#define FUZZ_NAME "npy"
#define FUZZ_ROUNDS 15
#include "fuzz.h"

#ifndef SHARDIO_IMPLEMENTATION_DONE
#define SHARDIO_IMPLEMENTATION_DONE     /* it is there already: linked, or from test.h */
#endif
#define main tool_main
#define check_extents tool_check_extents        /* arrays.h has another one */
#include "../../examples/shardio.c"
#undef main
#undef check_extents

#include <sys/mman.h>

enum { FLAG_IMPORT = 0x80, MOST_IMPORTED = 2048 };   /* one of two inputs is imported, if it is small */

/* A header that is taken means elements that can be counted. */
static bool read_header(int file, size_t size, source *in)
{
    const settings quiet = {0};
    memset(in, 0, sizeof *in);
    in->name = "input.npy";
    in->file = file;
    in->size = size;
    CHECK(look_for_npy(&quiet, in) == EXIT_GOOD);
    char *header = (char *)malloc(NPY_HEADER_MOST + 1);
    const char *fault = read_npy_header(in, header);
    free(header);
    if (fault != NULL) return false;
    CHECK(in->npy && in->begin <= size);
    CHECK(in->ndim >= 1 && in->ndim <= SHARDIO_MAX_DIMS);
    CHECK(in->dtype != SHARDIO_DTYPE_UNSET && in->element > 0);
    return measure_source(in) && in->frame_elements > 0;
}

/* A command of the tool. */
static int run(const char *name, const char *from, const char *to)
{
    char words[6][300];
    char *arguments[7];
    const char *wanted[6] = {"shardio", name, from, to, "--quiet", "--force"};
    for (int i = 0; i < 6; i++) {
        snprintf(words[i], sizeof words[i], "%s", wanted[i]);
        arguments[i] = words[i];
    }
    arguments[6] = NULL;
    return tool_main(6, arguments);
}

/* Element i of the frames, in C order, as little-endian bytes: straight from the file's description. */
static void expected(const source *in, const uint8_t *data, uint64_t number, uint8_t *to)
{
    uint64_t rest = number, at = 0, step = 1, place[SHARDIO_MAX_DIMS];
    size_t unit = unit_of(in->dtype);
    for (uint32_t d = in->ndim; d-- > 0;) {
        place[d] = rest % in->shape[d];
        rest /= in->shape[d];
    }
    for (uint32_t d = 0; d < in->ndim; d++) {
        at += place[d] * step;
        step *= in->shape[d];
    }
    if (!in->fortran) at = number;
    for (size_t i = 0; i < in->element; i++)
        to[i] = data[at * in->element + (in->big_endian ? i / unit * unit + unit - 1 - i % unit : i)];
}

/* Frames that are there, the last one filled up; a part of an element counts for nothing. */
static uint64_t frames_of(const source *in, size_t size)
{
    uint64_t elements = (size - in->begin) / in->element;
    uint64_t frames = elements / in->frame_elements + (elements % in->frame_elements != 0);
    return frames < in->frames ? frames : in->frames;
}

static void compare(const char *path, const source *in, const uint8_t *data, size_t size)
{
    uint8_t want[64];
    size_t got_size = 0;
    uint8_t *got = rig_slurp(path, &got_size);
    bool short_of_some = size - in->begin < in->bytes;
    uint64_t count = (short_of_some ? size - in->begin : in->bytes) / in->element;
    CHECK_U64(got_size, in->frame_bytes * frames_of(in, size));
    bool known = got_size >= count * in->element && in->element <= sizeof want && in->dtype != SHARDIO_BOOL &&
                 !(short_of_some && in->fortran);
    for (uint64_t i = 0; known && i < count; i++) {
        expected(in, data + in->begin, i, want);
        known = CHECK(memcmp(got + i * in->element, want, in->element) == 0);
    }
    free(got);
}

/* What comes back is what went in. */
static void import_it(const char *path, const source *in, const uint8_t *data, size_t size)
{
    char array[300], back[300];
    snprintf(array, sizeof array, "%.200s/%d.zarr.zip", rig_directory(), (int)getpid());
    snprintf(back, sizeof back, "%.200s/%d.raw", rig_directory(), (int)getpid());
    int status = run("import", path, array);
    CHECK(status == EXIT_GOOD || status == EXIT_TROUBLE);
    if (status == EXIT_GOOD && CHECK(run("export", array, back) == EXIT_GOOD)) compare(back, in, data, size);
    unlink(array);
    unlink(back);
}

static void fuzz_one(fuzz_input in)
{
    char path[64];
    source header;
    uint8_t flags = fuzz_byte(&in);
    int file = memfd_create("input", MFD_CLOEXEC);
    if (file < 0 || (in.size > 0 && write(file, in.data, in.size) != (ssize_t)in.size)) exit(2);
    if (lseek(file, 0, SEEK_SET) != 0) exit(2);
    bool fine = read_header(file, in.size, &header);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    /* none is a file of few bytes, but its writer has room for a frame */
    bool small = fine && header.bytes <= MOST_IMPORTED && header.frame_bytes <= MOST_IMPORTED;
    if (small && flags >= FLAG_IMPORT && header.npy)
        import_it(path, &header, in.data, in.size);
    close(file);
}

static void seed(const char *dictionary, uint8_t version, uint8_t flags, size_t elements)
{
    uint8_t file[600] = {0};
    size_t length = strlen(dictionary), width = version == 1 ? 2 : 4, at = 9 + width;
    file[0] = flags;
    memcpy(file + 1, "\x93NUMPY", 6);
    file[7] = version;
    file[9] = (uint8_t)length;
    memcpy(file + at, dictionary, length);
    test_fill(file + at + length, elements, length);
    fuzz_seed(file, at + length + elements);
}

static void fuzz_seeds(void)
{
    static const char *const dictionaries[] = {
        "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3, 4), }\n",
        "{'descr': '>f8', 'fortran_order': True, 'shape': (3, 2), }",
        "{\"descr\": \"|b1\", \"fortran_order\": False, \"shape\": (8L,)}",
        "{'descr': '<M8[10us]', 'fortran_order': False, 'shape': (4,), } ",
        "{'descr': '|V3', 'fortran_order': False, 'shape': (5,), }",
        "{'descr': '=c16', 'fortran_order': True, 'shape': (1, 2, 1, 2), }",
        "{'descr': '<m8', 'shape': (0, 5), 'fortran_order': False}",
    };
    for (size_t i = 0; i < sizeof dictionaries / sizeof dictionaries[0]; i++)
        for (uint8_t version = 1; version < 4; version++) seed(dictionaries[i], version, version == 1 ? 0xFF : 0, 64);
}
