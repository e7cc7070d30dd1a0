/* shardio.h 0.1.0 - write and read shard files, Zarr v3 above all, packed to the byte at the speed of the disk.
   SPDX-License-Identifier: MIT OR Unlicense                          (both texts at the end of the file)

   Data arrives as a stream of chunks and has to end up in few, large, tightly packed files that other software
   reads. Two ideas carry everything: a SLOT is an append-only file that takes bytes of any length and writes
   aligned blocks, so that unbuffered I/O works and the file still ends exactly where the data ends; an INDEX is
   a small checksummed table that says where each chunk lies, written after the data it points to.
   It is C99 and C++11, without a dependency, a thread or a hidden allocation. It is not a compressor, not a
   server and not a database.

   EXAMPLE (examples/quickstart.c is this program)

       #define SHARDIO_IMPLEMENTATION
       #include "shardio.h"
       int main(void)
       {
           static uint16_t frame[512][512];
           shardio_array_options o = {0};
           o.dtype = SHARDIO_UINT16;  o.ndim = 3;
           o.shape[0] = SHARDIO_UNLIMITED;  o.shape[1] = 512;  o.shape[2] = 512;
           o.chunk[0] = 8;    o.chunk[1] = 256;  o.chunk[2] = 256;
           o.shard[0] = 64;   o.shard[1] = 512;  o.shard[2] = 512;
           shardio_array *movie = shardio_array_create("movie.zarr", &o);
           for (int i = 0; i < 100; i++) shardio_array_append(movie, frame, 512 * 512);
           return shardio_array_finish(movie, NULL) == SHARDIO_OK ? 0 : 1;
       }

   COMPILE   One C or C++ file defines SHARDIO_IMPLEMENTATION before the include; all others just include.
             That file includes shardio.h before any system header (or is compiled with -D_GNU_SOURCE).
             cc -O2 program.c                                       nothing to link
             cc -O2 -DSHARDIO_WITH_ZSTD program.c -lzstd            with a codec that the options below name

   CONTENTS  each tag is found twice: >>tag-api in the declarations, >>tag in the implementation

       config     compile-time options, version, linkage
       errors     one status, one error record, one sentence
       platform   allocators, files, the table of file functions, the system's files, files in memory
       checksum   CRC32C, CRC-32, SHA-256
       slot       the write coalescer: any bytes in, aligned blocks out
       index      the shard index, kept as its encoded bytes
       shard      write, update, checkpoint, read, verify, recover and compact one shard file
       json       the reader and writer that zarr.json needs
       codec      how chunk bytes are encoded: a table of callbacks; crc32c, zstd, gzip, blosc, lz4
       pack       packfiles: many small items in one file, each found by its number with one read
       zarr       arrays: create, append, checkpoint, read and write regions, resize, verify; groups, attributes
       store      where the keys live: a directory, memory, an archive (one ZIP file, in layers)

   ERRORS    Every function that can fail returns a shardio_status; 0 is success. Writers keep their first error:
             later calls return it and do nothing, and finish repeats it, so a loop may check once, at the end.
             Readers are never sticky. shardio_error_text() makes one sentence of an error. Nothing here prints,
             exits or aborts.
   OWNERSHIP Pointers handed in are borrowed for the call, unless said otherwise. create and open hand out a
             handle; finish, abort and close end it, always, whatever they return.
   THREADS   None inside and no global state. One handle belongs to one thread at a time; different handles need
             no lock. Where more is possible, the function says so. One writer per shard file.

   FILE FORMATS

   Shard (Zarr v3 sharding_indexed), n chunks; entry i describes chunk i in C order of the shard's chunk grid:

       index at the end    | chunk | chunk | ... | index: n entries | CRC32C |
       index at the start  | index: n entries | CRC32C | chunk | chunk | ... |

       entry   0   u64   offset of the chunk from the start of the file   both 2^64-1: the chunk is missing
               8   u64   length of the chunk in bytes
       CRC32C      u32   of the n entries; may be absent                  little-endian unless the array says big

       Written in one go: file size = sum of chunk lengths + 16 n + 4, not a byte more. Updates and checkpoints
       append; what they leave behind is dead until the shard is rewritten:

       after an update     | chunk 0 | chunk 1 | old index | CRC | new chunk 0 | new index | CRC |
                             dead                dead

       A chunk is the bytes of its elements, or what codecs made of them; or it is a shard itself, whose offsets count
       from its own start. Codecs around a shard encode it as a whole.

   Array in a directory (Zarr v3 core)

       movie.zarr/zarr.json          the metadata, replaced by rename at every checkpoint
       movie.zarr/c/0/0/0            a shard (or a chunk, if the array has no shards), key of its grid position
       movie.zarr/c/0/0/0.1f..9e.shardio-tmp     a shard being written; left behind only by a crash

   Statistics of an array, in the key movie.zarr/.shardio-statistics, all numbers little-endian, k its dimensions:

       | head | shape: k u64 | key | its chunks ... | key | its chunks ... | ... | CRC32C u32 of all before |

       head    0   u32  "SHST"                                 8   u32  CRC32C of type, grids, fill value and codecs
               4   u8   1, the version                         12  u32  0
               5   u8   v: bytes of an extreme at most         16  u64  keys that follow
               6   u8   k, then a zero byte
       key     0   u64  number of the shard, or chunk file, in the grid, C order, ascending
               8   u64  2 numbers that the store gave for the value that was looked at
               24  u64  chunks that follow; others of it are not stored
       chunk   0   u64  number in the shard, C order, ascending (0 in a chunk file)
               8   u64  elements inside the shape that are equal to the fill value
               16  u8   1: there are extremes of the others, +2: min, +4: max is cut
               17  u8   bytes of min; u8 bytes of max; u8 0
               20  v    min, then v bytes max: numbers big-endian, the sign bit turned around, of negative floats all
                        bits; of others the first bytes, then zeros

   Group: a directory whose zarr.json says so; arrays and groups lie in directories below it.

   Archive (a ZIP file), keys and values as in a directory; every commit is a layer behind those before:

       | header | value | header | value | ... | directory | end record | gap | header | value | ... | directory | end record |
         layer 1                                                          layer 2: what is new, and all keys

       Values are stored as they are, sizes and CRC-32 in their headers; shards begin at a block of the file system, and so
       does each commit, so that no block of an older one is written again. The directory lists zarr.json first, parents
       before children. An end record counts if directory offset + directory size = where it stands. Extra fields of ours,
       which others pass over:

       each entry   u16 0x6453  u16 2   u16 bytes of extra fields in the header in front of the value
       the first    u16 0x6873  u16 24  u32 1, u32 CRC-32 of the directory (this number 0), u64 number of the layer,
                                        u64 bytes of the file up to the end of the layer before, 0: none

   Elements of variable length in a chunk (codecs vlen-utf8, vlen-bytes), all numbers u32, little-endian:

       | number of elements | length | bytes ... | length | bytes ... | ...

   Packfile (version 1), all numbers little-endian:

       | record | record | ... | index: sizes of the records | CRC32C | app data | trailer |

       record      the bytes of some items, encoded or not, then, unless it holds one item by definition:
                   | lengths of the items | CRC32C |
       packed      sizes in groups of 128, lengths in one group: | each less the smallest, w bits, lowest first | u8 w |
                   u32 smallest |, the last byte filled up with zeros
       trailer     0   u32  "SLCH"             8   u32  format of the caller's     24  u16  128
                   4   u8   1, the version     12  u32  records                    28  u32  bytes of index and CRC32C
                   5   u8   1: content hash    16  u32  items                      32  u32  bytes of app data
                   6   u16  0                  20  u32  items of a record          36  SHA-256 or 0; 68 u32 0; 72 u32 CRC32C
*/

#ifndef SHARDIO_H
#define SHARDIO_H

/* >>config-api ------------------------------------------------------------------------------------------------ */

#define SHARDIO_VERSION_MAJOR 0
#define SHARDIO_VERSION_MINOR 1
#define SHARDIO_VERSION_PATCH 0
#define SHARDIO_VERSION_NUMBER (SHARDIO_VERSION_MAJOR * 10000 + SHARDIO_VERSION_MINOR * 100 + SHARDIO_VERSION_PATCH)
#define SHARDIO_VERSION_STRING "0.1.0"

#define SHARDIO_MAX_DIMS 32      /* of an array */

/* Options. Define them before the include; "all files" means alike in every file that includes the header.

   SHARDIO_IMPLEMENTATION   one file     emit the code there
   SHARDIO_STATIC           all files    every function is static; each file that includes has its own copy
   SHARDIO_API              all files    linkage of every function; default extern, or static with the above
   SHARDIO_NO_OS            all files    no system calls and no malloc: tables of functions and memory only
   SHARDIO_NO_SHARD         all files    without shard (and so without zarr)
   SHARDIO_NO_ZARR          all files    without codec, json and zarr
   SHARDIO_NO_PACK          all files    without pack and SHA-256
   SHARDIO_NO_STORE         all files    without store and CRC-32 (arrays then live in a store of the caller's)
   SHARDIO_NO_HARDWARE      one file     checksums in plain C, whatever the CPU has
   SHARDIO_SMALL            one file     the tables of CRC32C and CRC-32 take 1 KiB each in place of 8 KiB
   SHARDIO_WITH_ZSTD        all files    codec zstd, on libzstd 1.4 or later (link -lzstd)
   SHARDIO_WITH_ZLIB        all files    codec gzip, on zlib (link -lz)
   SHARDIO_WITH_BLOSC       all files    codec blosc, on c-blosc 1.16 or later, which is not c-blosc2 (link -lblosc)
   SHARDIO_WITH_LZ4         all files    codec numcodecs.lz4, on liblz4 (link -llz4)

   No option changes the layout of a public struct. */

#ifndef SHARDIO_NO_OS
#define SHARDIO_NO_OS 0
#endif
#ifndef SHARDIO_NO_SHARD
#define SHARDIO_NO_SHARD 0
#endif
#ifndef SHARDIO_NO_ZARR
#define SHARDIO_NO_ZARR SHARDIO_NO_SHARD
#endif
#ifndef SHARDIO_NO_PACK
#define SHARDIO_NO_PACK 0
#endif
#ifndef SHARDIO_NO_STORE
#define SHARDIO_NO_STORE 0
#endif
#ifndef SHARDIO_WITH_ZSTD
#define SHARDIO_WITH_ZSTD 0
#endif
#ifndef SHARDIO_WITH_ZLIB
#define SHARDIO_WITH_ZLIB 0
#endif
#ifndef SHARDIO_WITH_BLOSC
#define SHARDIO_WITH_BLOSC 0
#endif
#ifndef SHARDIO_WITH_LZ4
#define SHARDIO_WITH_LZ4 0
#endif
#if SHARDIO_NO_SHARD && !SHARDIO_NO_ZARR
#error "SHARDIO_NO_SHARD needs SHARDIO_NO_ZARR: arrays are made of shards"
#endif
#if SHARDIO_NO_ZARR && (SHARDIO_WITH_ZSTD || SHARDIO_WITH_ZLIB || SHARDIO_WITH_BLOSC || SHARDIO_WITH_LZ4)
#error "SHARDIO_NO_ZARR leaves out all codecs: define no SHARDIO_WITH_... beside it"
#endif

#if defined(SHARDIO_IMPLEMENTATION) && !SHARDIO_NO_OS
/* These have to stand before the first system header; where the implementation begins that is checked. */
#if !defined(_GNU_SOURCE) && !defined(_WIN32)
#define _GNU_SOURCE
#endif
#if !defined(_FILE_OFFSET_BITS) && !defined(_WIN32)
#define _FILE_OFFSET_BITS 64
#endif
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef SHARDIO_API
#if defined(SHARDIO_STATIC) && (defined(__GNUC__) || defined(__clang__))
#define SHARDIO_API static __attribute__((unused))
#elif defined(SHARDIO_STATIC)
#define SHARDIO_API static
#else
#define SHARDIO_API extern
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the implementation that was linked, as SHARDIO_VERSION_NUMBER. Any thread. */
SHARDIO_API int shardio_version(void);

/* >>errors-api ------------------------------------------------------------------------------------------------ */

/* name, text, when */
#define SHARDIO_STATUS_LIST(X)                                                                                    \
    X(OK, "no error")                                                                                             \
    X(ERR_ARGUMENT, "wrong argument")                     /* a mistake of the caller's; no file was changed */    \
    X(ERR_STATE, "called in the wrong order")             /* append after finish, write to a reader */            \
    X(ERR_MEMORY, "out of memory")                        /* or the memory handed over is too small */            \
    X(ERR_LIMIT, "a limit was reached")                   /* one of the options, or of the format */              \
    X(ERR_UNSUPPORTED, "not supported")                   /* legal, but not for this build or this file */        \
    X(ERR_CANCELLED, "cancelled")                         /* the progress callback said stop */                   \
    X(ERR_NOT_FOUND, "not found")                                                                                 \
    X(ERR_EXISTS, "exists already")                       /* and overwriting was not asked for */                 \
    X(ERR_LOCKED, "locked by another writer")                                                                     \
    X(ERR_PERMISSION, "permission denied")                                                                        \
    X(ERR_NO_SPACE, "no space left")                                                                              \
    X(ERR_IO, "input/output error")                       /* system_code says which */                            \
    X(ERR_DIRECT, "unbuffered I/O refused")               /* and the options did not allow to go on buffered */   \
    X(ERR_TRUNCATED, "shorter than it has to be")                                                                 \
    X(ERR_CHECKSUM, "checksum does not match")                                                                    \
    X(ERR_CORRUPT, "damaged")                             /* contents that contradict themselves */               \
    X(ERR_CHANGED, "changed by somebody else")            /* the file is not the one that was opened */

typedef enum shardio_status {
#define SHARDIO_P_STATUS(name, text) SHARDIO_##name,
    SHARDIO_STATUS_LIST(SHARDIO_P_STATUS)
#undef SHARDIO_P_STATUS
    SHARDIO_STATUS_COUNT
} shardio_status;

#define SHARDIO_NO_OFFSET UINT64_MAX

/* What went wrong, as data. Copies freely; owns nothing. Functions that take one set it in any case, to status
   SHARDIO_OK when all went well. */
typedef struct shardio_error {
    shardio_status status;
    int system_code;        /* errno, GetLastError() or the number that the caller's own function gave; 0: none */
    const char *operation;  /* what was being done, "write"; static text, never null when status is set */
    const char *reason;     /* one clause more, or null; static text */
    uint64_t offset;        /* in the file, in bytes; SHARDIO_NO_OFFSET where there is none */
    char subject[224];      /* the file, chunk or option concerned; a long one keeps its end */
} shardio_error;

/* The status in words ("checksum does not match") and as an identifier ("ERR_CHECKSUM"). Static text, any thread. */
SHARDIO_API const char *shardio_status_text(shardio_status status);
SHARDIO_API const char *shardio_status_name(shardio_status status);

/* One sentence without a line end about `error`, written to `text` of `size` bytes (256 hold almost all), cut if
   need be, always ended with a zero byte. Returns `text`. Any thread. */
SHARDIO_API const char *shardio_error_text(const shardio_error *error, char *text, size_t size);

/* Text built up in memory of fixed size. What does not fit is counted in `size` but not stored, so a first pass with
   capacity 0 measures; the text always ends with a zero byte if capacity > 0. Begin with {memory, capacity, 0}. */
typedef struct shardio_text {
    char *text;
    size_t capacity, size;
} shardio_text;
SHARDIO_API void shardio_text_add(shardio_text *text, const char *piece);
SHARDIO_API void shardio_text_add_bytes(shardio_text *text, const char *piece, size_t size);
SHARDIO_API void shardio_text_add_uint64(shardio_text *text, uint64_t number);
SHARDIO_API void shardio_text_add_int64(shardio_text *text, int64_t number);

/* Called by long work with how much is done of how much; anything but 0 stops it with SHARDIO_ERR_CANCELLED. */
typedef int (*shardio_progress)(void *context, uint64_t done, uint64_t total);

/* Told of each fault that a verification finds. */
typedef void (*shardio_finding)(void *context, const shardio_error *finding);

/* >>platform-api ---------------------------------------------------------------------------------------------- */

/* Memory. An all-zero allocator (or a null pointer to one) is malloc and free; with SHARDIO_NO_OS it gives nothing.
   `alignment` is a power of two; release gets the size and alignment that allocate was given. */
typedef struct shardio_allocator {
    void *context;
    void *(*allocate)(void *context, size_t size, size_t alignment);
    void (*release)(void *context, void *memory, size_t size, size_t alignment);
} shardio_allocator;

/* Hands out the caller's `memory` piece by piece; takes back the newest piece, and all of it when none is left. What does
   not fit fails with SHARDIO_ERR_MEMORY in whoever asked. One thread. */
typedef struct shardio_arena {
    uint8_t *memory;
    size_t size, used, peak;   /* bytes */
    size_t pieces;             /* that are handed out */
} shardio_arena;
SHARDIO_API shardio_allocator shardio_arena_begin(shardio_arena *arena, void *memory, size_t size);

/* Bytes that lie somewhere else. As an element of the types string and bytes: not ended with a zero byte; what is read
   lives until the next read or write through the same handle or its end, what is appended or written is borrowed. */
typedef struct shardio_bytes {
    const void *data;
    size_t size;
} shardio_bytes;

/* What is known about an open file. */
typedef struct shardio_file_facts {
    uint64_t size;               /* bytes */
    uint64_t identity[3];        /* device, inode, time of the last change: the file is the same while these are; or 0 */
    uint32_t memory_alignment;   /* unbuffered I/O wants addresses, */
    uint32_t offset_alignment;   /* offsets                         */
    uint32_t length_alignment;   /* and lengths that are multiples of these; powers of two, 0: no wish */
    bool stream;                 /* a pipe or terminal: only appending, no length */
    bool special;                /* a device or a stream: no truncation, no rename, no directory entry of its own */
} shardio_file_facts;

typedef enum shardio_hint {
    SHARDIO_HINT_WRITE_BACK,     /* begin to write this range to the device */
    SHARDIO_HINT_DROP,           /* wait until it is written, then forget it in the page cache */
    SHARDIO_HINT_WILL_NEED       /* it will be read soon; not said of what follows without a gap on what is read now */
} shardio_hint;

typedef enum shardio_close {
    SHARDIO_CLOSE_DISCARD,       /* remove a file that was never published; otherwise leave it as it is */
    SHARDIO_CLOSE_KEEP,          /* leave it under the name that it has now, to be continued */
    SHARDIO_CLOSE_PUBLISH        /* close, then let it appear under its final name */
} shardio_close;

/* The functions of a file: the system's, one in memory, or the caller's own. Each returns a status and may leave a
   number of its own in *code, which is 0 before. Calls come from the thread that uses the handle above.
   read and write transfer at most `size` bytes, set *done, and may do less than asked (the caller loops); a read
   that ends at the end of the file sets *done to what there was and is no error.
   If facts gives alignments and set_direct(true) succeeded, offset, length and address of writes keep to them. */
typedef struct shardio_file_functions {
    shardio_status (*read)(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code);
    shardio_status (*write)(void *file, uint64_t offset, const void *data, size_t size, size_t *done, int *code);
    shardio_status (*resize)(void *file, uint64_t size, int *code);              /* null: the file cannot be cut */
    shardio_status (*facts)(void *file, shardio_file_facts *facts, int *code);
    /* optional: null where there is no such thing */
    shardio_status (*set_direct)(void *file, bool direct, int *code);            /* unbuffered from now on, or not */
    shardio_status (*sync)(void *file, int *code);                               /* contents to stable storage */
    shardio_status (*publish)(void *file, bool durable, int *code);              /* show it under its final name; null: it has
                                                                                    been there from the beginning */
    shardio_status (*suspend)(void *file, int *code);                            /* give back the descriptor, */
    shardio_status (*resume)(void *file, int *code);                             /* and open the same file again */
    void (*hint)(void *file, shardio_hint hint, uint64_t offset, uint64_t size); /* may do nothing */
    shardio_status (*close)(void *file, shardio_close how, bool durable, int *code);
    /* Overlap, both or none: begin a write, and wait until all that were begun are complete. A slot begins writes
       only from memory that it owns. */
    shardio_status (*begin_write)(void *file, uint64_t offset, const void *data, size_t size, int *code);
    shardio_status (*wait)(void *file, int *code);
} shardio_file_functions;

/* An open file: copies freely, close once. `name` is for messages and lives as long as the file. */
typedef struct shardio_file {
    const shardio_file_functions *functions;
    void *context;
    const char *name;
} shardio_file;

/* A file in memory. All-zero: grows through `allocator`. With `data` and `capacity` set beforehand it never grows
   beyond them and owns nothing. `memory` must outlive the file; release the contents with shardio_memory_free. */
typedef struct shardio_memory {
    uint8_t *data;
    size_t size, capacity;
    const shardio_allocator *allocator;   /* null: malloc */
    bool fixed;                           /* data and capacity are the caller's */
} shardio_memory;
SHARDIO_API shardio_file shardio_memory_file(shardio_memory *memory, const char *name);
SHARDIO_API void shardio_memory_free(shardio_memory *memory);

#if !SHARDIO_NO_OS
typedef enum shardio_open_mode {
    SHARDIO_OPEN_READ,     /* an existing file, for reading */
    SHARDIO_OPEN_UPDATE,   /* an existing file, in place */
    SHARDIO_OPEN_CREATE    /* a new file, under a temporary name in the same directory until it is published */
} shardio_open_mode;

typedef struct shardio_open_options {
    const shardio_allocator *allocator;   /* of the handle, must outlive it; null: malloc */
    bool overwrite;      /* create: replace an existing file when published; default: refuse it */
    bool in_place;       /* create: no temporary name */
    bool make_parents;   /* create: make missing directories */
} shardio_open_options;

/* Opens a file of the system's. `path` is UTF-8 and copied; a relative path must stay valid until the file is
   closed. Symbolic links are followed; what is no regular file is written in place. `error` may be null.
   A file that is never published is removed when closed with SHARDIO_CLOSE_DISCARD. */
SHARDIO_API shardio_status shardio_file_open(shardio_file *file, const char *path, shardio_open_mode mode,
                                             const shardio_open_options *options, shardio_error *error);

/* The most bytes that shardio_file_open takes from its allocator for a path of `length` bytes. */
SHARDIO_API size_t shardio_file_memory(size_t length);
#endif

/* Closes a file that was opened for reading and that nothing else has taken over. */
SHARDIO_API void shardio_file_close(const shardio_file *file);

/* Reads exactly `size` bytes at `offset`; SHARDIO_ERR_TRUNCATED if the file ends before. `error` may be null. */
SHARDIO_API shardio_status shardio_file_read(const shardio_file *file, uint64_t offset, void *data, size_t size,
                                             shardio_error *error);

/* >>checksum-api ---------------------------------------------------------------------------------------------- */

/* CRC32C (Castagnoli, as in iSCSI, RFC 3720 appendix B.4) of `size` bytes after bytes whose CRC32C is `crc`; begin
   with 0. Uses the CPU's instructions where it has them. Any thread. */
SHARDIO_API uint32_t shardio_crc32c(uint32_t crc, const void *data, size_t size);

/* How shardio_crc32c computes on this CPU: "sse4.2+pclmul", "armv8" or "tables". Static text. */
SHARDIO_API const char *shardio_crc32c_kind(void);

#if !SHARDIO_NO_STORE && !SHARDIO_NO_ZARR
/* The same for CRC-32, that of ZIP and zlib (RFC 1952 section 8). Any thread. */
SHARDIO_API uint32_t shardio_crc32(uint32_t crc, const void *data, size_t size);

/* How shardio_crc32 computes on this CPU: "vpclmul", "pclmul", "armv8" or "tables". Static text. */
SHARDIO_API const char *shardio_crc32_kind(void);
#endif

#if !SHARDIO_NO_PACK
/* SHA-256 (FIPS 180-4) of bytes that come in pieces. begin asks what the CPU has, which costs microseconds in a virtual
   machine; end writes 32 bytes to `digest` and leaves the state as begin did. One state belongs to one thread. */
typedef struct shardio_sha256 {
    uint32_t state[8];
    uint64_t size;       /* bytes added */
    uint8_t block[64];   /* the last ones, until there are 64 */
    bool hardware;
} shardio_sha256;
SHARDIO_API void shardio_sha256_begin(shardio_sha256 *hash);
SHARDIO_API void shardio_sha256_add(shardio_sha256 *hash, const void *data, size_t size);
SHARDIO_API void shardio_sha256_end(shardio_sha256 *hash, uint8_t *digest);

/* How it is computed on this CPU: "sha" (its instructions) or "plain". Static text. */
SHARDIO_API const char *shardio_sha256_kind(void);
#endif

/* >>slot-api -------------------------------------------------------------------------------------------------- */

typedef enum shardio_direct {
    SHARDIO_DIRECT_AUTO,   /* unbuffered if the system takes it, otherwise buffered; the accounting says which */
    SHARDIO_DIRECT_ON,     /* unbuffered or SHARDIO_ERR_DIRECT */
    SHARDIO_DIRECT_OFF     /* through the page cache */
} shardio_direct;

typedef enum shardio_durability {
    SHARDIO_DURABLE_FINISH,   /* on stable storage when finish (or a checkpoint) returns, directory entries included;
                                 Windows cannot sync a directory, its file systems log directory changes */
    SHARDIO_DURABLE_NONE      /* the system writes back when it likes; explicit syncs still work */
} shardio_durability;

/* What a writer has done so far; of an array that is read: device_bytes, device_calls and direct. */
typedef struct shardio_accounting {
    uint64_t logical_bytes;      /* size of the file (of all files) as a reader sees it */
    uint64_t dead_bytes;         /* of these, bytes that no index points to */
    uint64_t device_bytes;       /* handed to write calls, or read */
    uint64_t device_calls;       /* number of these calls */
    uint64_t copied_bytes;       /* copied once more on their way to the device */
    uint64_t syncs;              /* calls to sync contents */
    uint64_t files;              /* files begun */
    bool direct;                 /* unbuffered I/O is on and was not refused */
    const char *direct_reason;   /* why not: static text; null when direct */
    int direct_code;             /* and the system's number for it; 0: none */
} shardio_accounting;

typedef struct shardio_slot_options {
    size_t buffer_size;          /* bytes; 0: 4 MiB; rounded down to whole blocks, at least one */
    size_t direct_min;           /* appends of at least this many bytes are written from the caller's memory
                                    where it is aligned; 0: 1 MiB; SIZE_MAX: never */
    shardio_direct direct;
    shardio_durability durability;
    uint64_t sync_every;         /* bytes between two syncs of the contents; 0: none */
    uint64_t drop_behind;        /* where it is buffered: write back and drop from the page cache every so many
                                    bytes; 0: leave it to the system */
    uint64_t start;              /* continue an existing file at this byte; what lies beyond is cut off at finish */
    bool overwrite, in_place, make_parents;    /* shardio_slot_create: as in shardio_open_options */
    const shardio_allocator *allocator;        /* shardio_slot_create: handle and buffer; null: malloc */
} shardio_slot_options;

/* An append-only file. The members are ours; use the functions. Moves freely between calls, belongs to one thread. */
typedef struct shardio_slot {
    shardio_file file;
    uint8_t *buffer;
    size_t capacity, fill;       /* bytes, whole blocks; bytes held */
    size_t written;              /* of the bytes held, so many are on the device already, unchanged */
    uint64_t base;               /* file offset of buffer[0], whole blocks */
    uint64_t unsynced, dropped;
    size_t direct_min;
    uint64_t sync_every, drop_behind;
    uint32_t block, memory_alignment;
    shardio_direct wish;
    shardio_durability durability;
    uint64_t device_end, restore;/* where the file ends now, and where an abort cuts it */
    bool direct, padded, open, suspended, continued, special;
    const shardio_allocator *allocator;
    void *own_buffer;            /* what the slot allocated itself, or null */
    size_t own_size, own_alignment;
    shardio_accounting accounting;
    shardio_error error;         /* the first one; sticky */
} shardio_slot;

/* Begins a slot on an open file with `buffer` of `size` bytes, borrowed until the slot ends; allocates nothing.
   Buffered (SHARDIO_DIRECT_OFF and devices without a wish) any size from 1 works; unbuffered it has to hold one
   block and be aligned. The file belongs to the slot from here, even if this fails. options may be null. */
SHARDIO_API shardio_status shardio_slot_begin(shardio_slot *slot, shardio_file file, void *buffer, size_t size,
                                              const shardio_slot_options *options);
#if !SHARDIO_NO_OS
/* Creates a file at `path` (or, with options->start, continues the one there) and begins a slot on it. The file
   appears under its name when finish or a checkpoint says so. Allocates the handle and the buffer. */
SHARDIO_API shardio_status shardio_slot_create(shardio_slot *slot, const char *path,
                                               const shardio_slot_options *options);
#endif
/* Appends `size` bytes (0 allowed). Errors: those of the file; the first one sticks. */
SHARDIO_API shardio_status shardio_slot_append(shardio_slot *slot, const void *data, size_t size);

/* Number of bytes appended, the start included: where the next append begins. */
SHARDIO_API uint64_t shardio_slot_size(const shardio_slot *slot);

/* Rewrites `size` bytes at `offset` that were appended before. Unbuffered, `offset` is a multiple of the block and
   `size` as well unless it reaches into what the slot still holds; data is aligned like the buffer. */
SHARDIO_API shardio_status shardio_slot_overwrite(shardio_slot *slot, uint64_t offset, const void *data, size_t size);

/* Makes all that was appended readable by others: writes the tail, cuts the file to its size, publishes it, and
   makes it durable unless the durability is none. Appending goes on afterwards. */
SHARDIO_API shardio_status shardio_slot_checkpoint(shardio_slot *slot);

/* Brings the whole blocks appended so far, and the tail if the file is continued, to stable storage. */
SHARDIO_API shardio_status shardio_slot_sync(shardio_slot *slot);

/* Goes on with another buffer, borrowed as in begin: whole blocks are written first, the rest moves over. This is
   how many slots share one large buffer and keep one block each in between. */
SHARDIO_API shardio_status shardio_slot_set_buffer(shardio_slot *slot, void *buffer, size_t size);

/* Gives back the file's descriptor, contents synced first where they went through the page cache and are to be
   durable (the system reports errors of write-back only to descriptors that are open). The next call that needs the
   file opens it again. */
SHARDIO_API shardio_status shardio_slot_suspend(shardio_slot *slot);

/* Writes the tail, cuts the file to its size, makes it durable as chosen, closes and publishes it. The slot has
   ended whatever is returned: a slot that failed discards its file, and the first error is repeated. */
SHARDIO_API shardio_status shardio_slot_finish(shardio_slot *slot);

/* Ends the slot: a new file that was never published is removed, a continued one is cut back to where it began,
   or to its last checkpoint. */
SHARDIO_API void shardio_slot_abort(shardio_slot *slot);

/* >>index-api ------------------------------------------------------------------------------------------------- */

#define SHARDIO_MISSING UINT64_MAX   /* offset and length of a missing chunk */

/* The order of an index that a transpose codec put into another one. Its numbers are an array with the dimensions of the
   shard's chunk grid and a last one of 2, offset and length; step[i] numbers lie from one to the next along dimension i. */
typedef struct shardio_index_order {
    uint32_t ndim;           /* of the grid */
    uint64_t chunks[SHARDIO_MAX_DIMS];
    uint64_t step[SHARDIO_MAX_DIMS + 1];
} shardio_index_order;

/* How the index of a shard is stored. All-zero: at the end, little-endian, with CRC32C. */
typedef struct shardio_index_layout {
    uint64_t chunks;         /* number of chunks in the shard, at least 1 */
    bool at_start, big_endian, no_checksum;
    uint8_t more_checksums;  /* CRC32Cs behind the first, each of all before it */
    const shardio_index_order *order;   /* borrowed; null: offset and length of one chunk after the other */
} shardio_index_layout;

/* Bytes of an encoded index: 16 per chunk and 4 for each checksum; 0 if that exceeds size_t. */
SHARDIO_API size_t shardio_index_size(const shardio_index_layout *layout);

/* An index is handled as its encoded bytes, shardio_index_size() of them. clear: all chunks missing. seal: put the
   checksums. set and get: the entry of one chunk, `chunk` below layout->chunks. Any alignment. */
SHARDIO_API void shardio_index_clear(const shardio_index_layout *layout, uint8_t *index);
SHARDIO_API void shardio_index_set(const shardio_index_layout *layout, uint8_t *index, uint64_t chunk,
                                   uint64_t offset, uint64_t length);
SHARDIO_API void shardio_index_get(const shardio_index_layout *layout, const uint8_t *index, uint64_t chunk,
                                   uint64_t *offset, uint64_t *length);
SHARDIO_API void shardio_index_seal(const shardio_index_layout *layout, uint8_t *index);

/* Whether the checksums are right: SHARDIO_ERR_CHECKSUM if not. */
SHARDIO_API shardio_status shardio_index_check(const shardio_index_layout *layout, const uint8_t *index);

/* Whether entry `chunk` is missing (SHARDIO_OK, *length SHARDIO_MISSING) or lies inside a file of `file_size` bytes
   and outside the index at `index_offset`: SHARDIO_ERR_CORRUPT and a reason if not. */
SHARDIO_API shardio_status shardio_index_entry(const shardio_index_layout *layout, const uint8_t *index,
                                               uint64_t chunk, uint64_t file_size, uint64_t index_offset,
                                               uint64_t *offset, uint64_t *length, const char **reason);

/* >>shard-api ------------------------------------------------------------------------------------------------- */
#if !SHARDIO_NO_SHARD

typedef enum shardio_update {
    SHARDIO_UPDATE_APPEND,    /* new chunks and a new index behind everything; old chunks are never overwritten. Index
                                 at the end: until finish other readers get a checksum error; at the start: they
                                 read the old shard until the head is rewritten, as in a checkpoint */
    SHARDIO_UPDATE_REWRITE    /* a new file that replaces the old one at finish, without dead bytes */
} shardio_update;

/* One shard being written. The members are ours; its first error is slot.error. */
typedef struct shardio_shard_writer {
    shardio_slot slot;
    shardio_index_layout layout;
    uint8_t *index;              /* the encoded index; with the index at the start, padded to whole blocks */
    size_t index_size, head_size;
    uint64_t live;               /* bytes that the index points to */
    bool indexed;                /* the file holds this index as it is */
    bool exposed;                /* others may be reading the file: it was checkpointed or is being updated */
    uint64_t sync_every, synced; /* bytes between checkpoints; size at the last one */
    struct shardio_shard_reader *old;   /* rewrite: the shard that is replaced */
    bool own_old;
    const shardio_allocator *allocator;
    void *own_memory;            /* what the writer allocated itself, or null */
    size_t own_size, own_alignment;
} shardio_shard_writer;

/* One shard being read. The members are ours. */
typedef struct shardio_shard_reader {
    shardio_file file;
    shardio_index_layout layout;
    shardio_file_facts facts;    /* of the file when its index was read */
    uint8_t *index;
    size_t index_size;
    uint64_t index_offset;
    uint64_t reads;              /* calls to read */
    uint32_t block;              /* unbuffered: what offsets, lengths and addresses of reads are multiples of; or 0 */
    const shardio_allocator *allocator;
} shardio_shard_reader;

/* Bytes of memory that a writer needs for its index, given blocks of `block` bytes (0: 4096). */
SHARDIO_API size_t shardio_shard_memory(const shardio_index_layout *layout, size_t block);

/* Begins a shard on an open file, in memory of the caller's: `memory` of shardio_shard_memory() bytes for the index,
   aligned to the block if the index is at the start, `buffer` as in shardio_slot_begin. Both are borrowed until the
   shard ends. Allocates nothing. The file belongs to the shard from here, even if this fails. */
SHARDIO_API shardio_status shardio_shard_begin(shardio_shard_writer *writer, shardio_file file,
                                               const shardio_index_layout *layout, void *memory, size_t memory_size,
                                               void *buffer, size_t buffer_size, const shardio_slot_options *options);
#if !SHARDIO_NO_OS
/* Creates a shard file. Allocates handle, index and buffer through options->allocator. */
SHARDIO_API shardio_status shardio_shard_create(shardio_shard_writer *writer, const char *path,
                                                const shardio_index_layout *layout,
                                                const shardio_slot_options *options);

/* Goes on with an existing shard file: put replaces or adds chunks, drop removes them, the rest stays. Errors: those
   of opening and reading the index; the old shard is then untouched. */
SHARDIO_API shardio_status shardio_shard_update(shardio_shard_writer *writer, const char *path,
                                                const shardio_index_layout *layout, shardio_update how,
                                                const shardio_slot_options *options);
#endif
/* The same on files that are open. Appending: `file` is the shard itself, old is null. Rewriting: `file` is a new
   file, `old` an open reader that must outlive the writer and is of no use afterwards. Memory and buffer as in
   shardio_shard_begin. */
SHARDIO_API shardio_status shardio_shard_begin_update(shardio_shard_writer *writer, shardio_file file,
                                                      shardio_shard_reader *old, const shardio_index_layout *layout,
                                                      void *memory, size_t memory_size, void *buffer,
                                                      size_t buffer_size, const shardio_slot_options *options);

/* Puts chunk number `chunk` (C order in the chunk grid of the shard), `size` encoded bytes. In any order; the last put
   of a chunk counts, earlier ones become dead bytes. */
SHARDIO_API shardio_status shardio_shard_put(shardio_shard_writer *writer, uint64_t chunk, const void *data,
                                             size_t size);

/* Puts `count` chunks of `size` bytes each that lie one after the other at `data`: one append. */
SHARDIO_API shardio_status shardio_shard_put_many(shardio_shard_writer *writer, const uint64_t *chunks, size_t count,
                                                  const void *data, size_t size);

/* Makes a chunk missing. */
SHARDIO_API shardio_status shardio_shard_drop(shardio_shard_writer *writer, uint64_t chunk);

/* Makes the file a complete shard of what was put so far, and goes on. Index at the end: an index is appended, which is
   dead from the next checkpoint on. Index at the start: a copy of it is appended and made durable first, then the
   head is rewritten in place; a reader that comes in between gets a checksum error and tries again. */
SHARDIO_API shardio_status shardio_shard_checkpoint(shardio_shard_writer *writer);

/* Writes the index, makes the file durable as chosen, and publishes it; or ends without a trace (a continued
   shard: as it was before, or at the last checkpoint). The writer has ended in both cases. finish repeats the first
   error and fills `error`, which may be null. */
SHARDIO_API shardio_status shardio_shard_finish(shardio_shard_writer *writer, shardio_error *error);
SHARDIO_API void shardio_shard_abort(shardio_shard_writer *writer);

/* What was done so far: dead_bytes is exact. */
SHARDIO_API shardio_accounting shardio_shard_accounting(const shardio_shard_writer *writer);

/* Opens a shard for reading: one read, of the index. An index that is damaged fails the open with
   SHARDIO_ERR_CHECKSUM or _TRUNCATED. Memory: the index, through `allocator` (null: malloc); a file that is smaller
   than its index is refused first. `error` may be null. */
SHARDIO_API shardio_status shardio_shard_open_file(shardio_shard_reader *reader, shardio_file file,
                                                   const shardio_index_layout *layout,
                                                   const shardio_allocator *allocator, shardio_error *error);
#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_shard_open(shardio_shard_reader *reader, const char *path,
                                              const shardio_index_layout *layout,
                                              const shardio_allocator *allocator, shardio_error *error);
#endif
/* Reads chunks past the page cache from here on, if the system takes it: shardio_shard_read_many through memory that is
   aligned to a block (4096 bytes are enough where reader->block is not larger). True: it is so. */
SHARDIO_API bool shardio_shard_read_unbuffered(shardio_shard_reader *reader);

/* Where chunk number `chunk` lies: *length is SHARDIO_MISSING if it is not there; SHARDIO_ERR_CORRUPT if its entry
   points outside the file or into the index. Several threads may call this on one reader. */
SHARDIO_API shardio_status shardio_shard_locate(const shardio_shard_reader *reader, uint64_t chunk, uint64_t *offset,
                                                uint64_t *length, shardio_error *error);

/* Reads a chunk with one read into `memory` of `capacity` bytes; *size is its length, SHARDIO_MISSING if it is not
   there. SHARDIO_ERR_LIMIT, with *size set, if it does not fit. */
SHARDIO_API shardio_status shardio_shard_read(shardio_shard_reader *reader, uint64_t chunk, void *memory,
                                              size_t capacity, uint64_t *size, shardio_error *error);

/* Takes one chunk: `data` is borrowed until it returns, and null for a missing chunk. Not SHARDIO_OK: stop. */
typedef shardio_status (*shardio_chunk_taker)(void *context, uint64_t chunk, const uint8_t *data, size_t size,
                                              shardio_error *error);

/* Reads many chunks, those that lie side by side in the file with one read of up to `size` bytes into `memory`, and
   hands each to `take`, in the order of their offsets within windows of 256. The system is told ahead what comes. A chunk
   that is larger than the memory: SHARDIO_ERR_LIMIT; unbuffered, two blocks of it are used besides. */
SHARDIO_API shardio_status shardio_shard_read_many(shardio_shard_reader *reader, const uint64_t *chunks, size_t count,
                                                   void *memory, size_t size, shardio_chunk_taker take, void *context,
                                                   shardio_error *error);

/* SHARDIO_ERR_CHANGED if the open file is no longer what it was when its index was read. */
SHARDIO_API shardio_status shardio_shard_unchanged(const shardio_shard_reader *reader, shardio_error *error);

/* What a shard consists of. */
typedef struct shardio_shard_summary {
    uint64_t file_bytes, live_bytes, index_bytes, dead_bytes;
    uint64_t present, missing;      /* chunks */
    uint64_t smallest, largest;     /* chunk lengths in bytes; 0 if there is none */
    uint64_t faults;                /* findings */
} shardio_shard_summary;

/* Checks every entry: inside the file, outside the index, no two overlapping; counts dead bytes. Takes 16 bytes
   per chunk from the reader's allocator. Each fault goes to `finding` (may be null); SHARDIO_ERR_CORRUPT if there was
   one. `summary` and `error` may be null. */
SHARDIO_API shardio_status shardio_shard_verify(shardio_shard_reader *reader, shardio_shard_summary *summary,
                                                shardio_finding finding, void *context, shardio_error *error);

/* What recovery found. */
typedef struct shardio_recovery {
    uint64_t file_bytes;     /* size of the file */
    uint64_t end;            /* bytes to keep: where the newest complete index ends; index at the start: the file's size */
    uint64_t index_offset;   /* where that index lies; ambiguous: where the place lies that cannot be told */
    uint64_t candidates;     /* places that look like an index of this shard, true or not */
    bool intact;             /* the file is a complete shard as it is */
    bool ambiguous;          /* a place could be the newest index as well as data: nothing is chosen */
    bool changed;            /* the file was cut, or its head restored */
} shardio_recovery;

/* Whether a chunk at this place of the file can be a chunk of this shard. Reads it through `file`; what cannot be read
   ends the recovery with that error. One that cannot tell, for want of memory, says true: an index with a chunk that is
   refused is passed over, for an older one. */
typedef bool (*shardio_chunk_check)(void *context, const shardio_file *file, uint64_t chunk, uint64_t offset,
                                    uint64_t length);

/* Looks for the newest complete index of a shard that is torn, zero-padded or followed by anything else, in one pass
   over the file, by a rolling CRC32C, and fills `found` (may be null). With `apply` the file is then cut behind that
   index (index at the end), or the index is written to the head (index at the start), and synced; `file` has to be open
   for update. Without, nothing is changed. An intact file takes one read (index at the end) or a pass over what lies
   behind its last chunk (index at the start), and is asked about that chunk only.
   What could be data as well as the newest index is ambiguous: an index without chunks, unless it is the first thing in
   the file; one behind bytes that were put and dropped again; that of a shard that is a chunk, where it has as many
   chunks as this one. `check` (null: every chunk is fine) decides those that have chunks, and is needed where the first
   chunk of the file can be such a shard. Ambiguous, too: a complete index, at its place, of chunks that are not there.
   Memory: at most six times the index and 4 MiB, or six times a small file, from `allocator` (null: malloc).
   SHARDIO_ERR_NOT_FOUND: no index; SHARDIO_ERR_CORRUPT: ambiguous; SHARDIO_ERR_LIMIT: ambiguous, so much of the file
   looks like an index that judging it all would take more than eight times its bytes; SHARDIO_ERR_UNSUPPORTED: the
   layout has no checksum, or the file cannot be cut. */
SHARDIO_API shardio_status shardio_shard_recover_file(const shardio_file *file, const shardio_index_layout *layout,
                                                      bool apply, shardio_chunk_check check, void *context,
                                                      const shardio_allocator *allocator, shardio_recovery *found,
                                                      shardio_error *error);
#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_shard_recover(const char *path, const shardio_index_layout *layout, bool apply,
                                                 const shardio_allocator *allocator, shardio_recovery *found,
                                                 shardio_error *error);

/* Rewrites a shard file without its dead bytes and swaps it in atomically, durable unless the options say none; a shard
   that would not become shorter is left alone. *saved (may be null): bytes that it became shorter. Errors: those of
   opening and writing, and SHARDIO_ERR_CORRUPT if an entry cannot be; the shard is then as it was. */
SHARDIO_API shardio_status shardio_shard_compact(const char *path, const shardio_index_layout *layout,
                                                 const shardio_slot_options *options, uint64_t *saved,
                                                 shardio_error *error);
#endif

/* Ends the reader and closes its file. A reader whose open failed needs no close, and takes it. */
SHARDIO_API void shardio_shard_close(shardio_shard_reader *reader);

#endif /* !SHARDIO_NO_SHARD */

#if !SHARDIO_NO_ZARR || !SHARDIO_NO_PACK
/* >>json-api -------------------------------------------------------------------------------------------------- */

/* A JSON value: a piece of a text that was checked by shardio_json_parse and must outlive it. `text` null: absent. */
typedef struct shardio_json {
    const char *text;
    size_t size;
} shardio_json;

#if !SHARDIO_NO_ZARR
/* Checks that `text` is one JSON value (RFC 8259) of at most 512 levels in valid UTF-8; *value is it without
   surrounding space. No allocation, no recursion. Any thread.
   SHARDIO_ERR_CORRUPT with the offset of the first fault, SHARDIO_ERR_LIMIT if it is nested deeper. */
SHARDIO_API shardio_status shardio_json_parse(const char *text, size_t size, shardio_json *value,
                                              shardio_error *error);

/* The kind of a value: one of { [ " 0 t f n, or 0 if absent. */
SHARDIO_API char shardio_json_kind(shardio_json value);

/* The member `name` of an object, or absent. */
SHARDIO_API shardio_json shardio_json_member(shardio_json object, const char *name);

/* Walks an array or object: begin with *at = 0; false at the end. `name` (may be null) is the member's name as a JSON
   string, absent in arrays. */
SHARDIO_API bool shardio_json_next(shardio_json container, size_t *at, shardio_json *name, shardio_json *value);

/* Each false if the value is of another kind, does not fit, or is no exact integer. Strings are unescaped to UTF-8
   and ended with a zero byte; one that holds U+0000 is refused. The float is rounded once, to its own precision. */
SHARDIO_API bool shardio_json_string(shardio_json value, char *text, size_t size);
SHARDIO_API bool shardio_json_is(shardio_json value, const char *text);
SHARDIO_API bool shardio_json_uint64(shardio_json value, uint64_t *number);
SHARDIO_API bool shardio_json_int64(shardio_json value, int64_t *number);
SHARDIO_API bool shardio_json_double(shardio_json value, double *number);
SHARDIO_API bool shardio_json_float(shardio_json value, float *number);
SHARDIO_API bool shardio_json_bool(shardio_json value, bool *truth);

/* Numbers with the fewest digits that read back alike (finite ones), ".0" behind whole ones so that they stay floats;
   strings quoted and escaped. */
SHARDIO_API void shardio_text_add_double(shardio_text *text, double number);
SHARDIO_API void shardio_text_add_float(shardio_text *text, float number);
SHARDIO_API void shardio_text_add_string(shardio_text *text, const char *utf8);
#endif /* !SHARDIO_NO_ZARR */

/* >>codec-api ------------------------------------------------------------------------------------------------- */

/* A bytes-to-bytes codec (Zarr v3 core, section "Codecs"). One that comes with the header, or the caller's own: a
   table that must outlive the arrays that use it. */
typedef struct shardio_codec {
    const char *name;             /* as in zarr.json */
    const char *configuration;    /* JSON object, or null */
    void *context;
    /* the most bytes that `size` bytes can become; SIZE_MAX: cannot be bounded. Also asked with the table's own context */
    size_t (*bound)(void *context, size_t size);
    /* both write at most `capacity` bytes to `out` and set *out_size; in and out do not overlap */
    shardio_status (*encode)(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size);
    shardio_status (*decode)(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size);
    /* optional, both or none: a context for each array, made from the configuration in its zarr.json (absent: `text` is
       null) when the array is opened or created. The functions above get *instance instead of `context`. What is wrong
       with a configuration: SHARDIO_ERR_CORRUPT and a static *reason. `element_size`: bytes of an element. */
    shardio_status (*begin)(void *context, shardio_json configuration, size_t element_size,
                            const shardio_allocator *allocator, void **instance, const char **reason);
    void (*end)(void *instance);
} shardio_codec;

#if !SHARDIO_NO_ZARR
/* The crc32c codec: four bytes of CRC32C, little-endian, behind each chunk (codec specification "crc32c"). */
SHARDIO_API const shardio_codec *shardio_codec_crc32c(void);

/* Codecs on compression libraries, each compiled in where its macro is defined; arrays that are opened find them
   without being told. A table has the configuration written here. For another one copy the table and point
   `configuration` to a text of yours, which must outlive the arrays as the table must. What it leaves out is as here.

   Decoding trusts nothing: what is cut short, damaged or longer than it should be is SHARDIO_ERR_TRUNCATED, _CORRUPT or
   _CHECKSUM, and what would not fit in the memory for it SHARDIO_ERR_LIMIT. Any number of arrays, one thread each. */

#if SHARDIO_WITH_ZSTD
/* {"level": 3, "checksum": false}. Levels as in the library, -131072 to 22; 0: the library's default. Frames in a row
   are read as one, with or without a length. libzstd takes its memory from malloc: 100 KiB when the array is opened,
   and what it compresses with, which it keeps, at the first chunk: 1.3 MiB for 1 MiB at level 3, more for more of
   either. */
SHARDIO_API const shardio_codec *shardio_codec_zstd(void);
#endif

#if SHARDIO_WITH_ZLIB
/* {"level": 6}. Levels 0 (stored) to 9. Always with the checksum of gzip; members in a row are read as one. zlib takes
   all its memory from the allocator of the array: 270 KiB when it is opened, and 32 more at the first damaged chunk. */
SHARDIO_API const shardio_codec *shardio_codec_gzip(void);
#endif

#if SHARDIO_WITH_BLOSC
/* {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0}. cname: blosclz, lz4, lz4hc, snappy, zlib or
   zstd, as far as the library has them (SHARDIO_ERR_UNSUPPORTED). clevel: 0 to 9. shuffle: noshuffle, shuffle or
   bitshuffle. typesize: 1 to 255, the bytes of an element if it is missing. blocksize in bytes, 0: the library chooses.
   Shuffling compresses numbers far better, but needs typesize in zarr.json, or some other software refuses the array;
   a fixed text cannot know it: use shardio_codec_blosc_with. Encoding needs room for the bound, whatever comes out. At
   each chunk libblosc takes memory for two of its blocks from malloc; where there is none, the program crashes in it. */
SHARDIO_API const shardio_codec *shardio_codec_blosc(void);

/* A blosc codec with everything said. Its configuration is written to `text` of `size` bytes, which must outlive the
   arrays. 128 hold all that blosc takes; what does not fit, or is unknown to blosc, is refused by the array.
       char text[128];
       shardio_codec blosc = shardio_codec_blosc_with(text, sizeof text, "zstd", 3, "shuffle", sizeof(uint16_t), 0);
       options.codecs[0] = &blosc; */
SHARDIO_API shardio_codec shardio_codec_blosc_with(char *text, size_t size, const char *cname, int clevel,
                                                   const char *shuffle, size_t typesize, size_t blocksize);
#endif

#if SHARDIO_WITH_LZ4
/* {"acceleration": 1}. Larger is faster and compresses less; below 1 is 1. A chunk is its length (u32, little-endian)
   and an LZ4 block, as numcodecs writes it; it has at most 2113929216 bytes. All memory, 17 KiB, is from the allocator
   of the array. */
SHARDIO_API const shardio_codec *shardio_codec_lz4(void);
#endif

#endif /* !SHARDIO_NO_ZARR */
#endif /* !SHARDIO_NO_ZARR || !SHARDIO_NO_PACK */

/* >>pack-api -------------------------------------------------------------------------------------------------- */
#if !SHARDIO_NO_PACK

/* Many small items in one file that is written once and found by position with one read (packfile version 1). Items are
   numbered from 0 in the order in which they are appended; every `items_per_record` of them are stored, and encoded,
   together, as a record. */

/* What of an item the content hash covers, such as the item without a time stamp: sets *part and *part_size, which live
   until the next call. `item` may be null where size is 0. Not SHARDIO_OK: fails the append or the verification with
   that status. */
typedef shardio_status (*shardio_pack_extract)(void *context, const uint8_t *item, size_t size, const uint8_t **part,
                                               size_t *part_size);

typedef struct shardio_pack_options {
    uint32_t items_per_record;     /* 0: 128. With 1 there are no lengths of items in the records, nor checksums of them */
    uint32_t format;               /* a number of the caller's, kept in the file: which encoder is in use, for instance */
    const shardio_codec *codec;    /* encodes each record; null: as they are. It is not named in the file */
    bool content_hash;             /* keep a SHA-256 of all items */
    shardio_pack_extract extract;  /* with content_hash; null: all of each item */
    void *extract_context;
} shardio_pack_options;

/* A packfile being written. The members are ours; its first error is slot.error. One thread. */
typedef struct shardio_pack_writer {
    shardio_slot slot;
    shardio_pack_options options;
    void *codec_context;
    uint64_t items, payload;       /* appended; bytes of the items in the record that is being filled */
    uint32_t held, records;        /* items in it; records that are complete */
    uint32_t group[128];           /* sizes of the newest records, */
    shardio_memory index;          /* and of those before, packed */
    shardio_memory record, encoded, sizes;
    shardio_sha256 record_hash, content_hash;
    const shardio_allocator *allocator;
    bool begun;
} shardio_pack_writer;

/* Begins a packfile on an open file; `buffer` as in shardio_slot_begin, borrowed until the pack ends. The file belongs to
   the pack from here, even if this fails. options (null: all-zero) are copied, codec and callbacks must outlive the
   writer. Through slot_options->allocator it takes: the sizes of a record's items (4 bytes each), the packed sizes of
   all records (at most 4.1 bytes each, at most doubled while growing), and, with a codec, one record as it is and one
   encoded. SHARDIO_ERR_ARGUMENT: extract without content_hash, slot_options->start. */
SHARDIO_API shardio_status shardio_pack_begin(shardio_pack_writer *writer, shardio_file file, void *buffer, size_t size,
                                              const shardio_pack_options *options,
                                              const shardio_slot_options *slot_options);
#if !SHARDIO_NO_OS
/* Creates a packfile; an existing file is refused unless slot_options->overwrite. */
SHARDIO_API shardio_status shardio_pack_create(shardio_pack_writer *writer, const char *path,
                                               const shardio_pack_options *options,
                                               const shardio_slot_options *slot_options);
#endif

/* Appends one item; it may be empty. SHARDIO_ERR_LIMIT: an item or a record of 4 GiB or more, more than 2^32-1 items, or
   more records than an index can have. */
SHARDIO_API shardio_status shardio_pack_append(shardio_pack_writer *writer, const void *item, size_t size);

/* Appends one item that lies in `count` parts; without parts it does nothing. */
SHARDIO_API shardio_status shardio_pack_append_parts(shardio_pack_writer *writer, const shardio_bytes *parts,
                                                     size_t count);

/* Writes the index, `size` bytes of the caller's (null if 0), and the trailer; makes the file durable as chosen and
   publishes it. Or ends without a trace. The writer has ended in both cases; finish repeats the first error and fills
   `error`, which may be null. */
SHARDIO_API shardio_status shardio_pack_finish(shardio_pack_writer *writer, const void *app_data, size_t size,
                                               shardio_error *error);
SHARDIO_API void shardio_pack_abort(shardio_pack_writer *writer);

/* What was done so far. */
SHARDIO_API shardio_accounting shardio_pack_accounting(const shardio_pack_writer *writer);

/* How to read; all-zero is fine for records that are not encoded. */
typedef struct shardio_pack_reading {
    const shardio_codec *codec;    /* what the records were encoded with; null: nothing. Never guessed from the bytes */
    bool opaque;                   /* the codec is not known: items cannot be read, verify checks what it can */
    size_t tail;                   /* bytes of the first read, from the end of the file; 0: 256 KiB */
    size_t size_cache;             /* bytes for lengths of items already seen, in each scratch; 0: 4 MiB */
    uint64_t decoded_limit;        /* bytes of a decoded record; 0: 1 GiB */
    shardio_pack_extract extract;  /* what the content hash covers, as it was written with; for verify */
    void *extract_context;
    const shardio_allocator *allocator;
} shardio_pack_reading;

/* What the trailer says. */
typedef struct shardio_pack_facts {
    uint64_t file_bytes, index_offset;
    uint64_t items, records;
    uint32_t items_per_record, format;
    uint32_t index_bytes;          /* checksum included */
    uint32_t app_data_bytes;
    bool has_content_hash;
    uint8_t content_hash[32];
} shardio_pack_facts;

/* What one thread reads with: memory that grows to the largest read and a page, a cache of lengths, a context of the
   codec. */
typedef struct shardio_pack_scratch {
    const struct shardio_pack_reader *reader;
    shardio_memory stored, decoded;
    uint8_t *sizes;                /* lengths of the items of records seen, */
    size_t size_slots, size_slot;  /* in so many places of so many bytes */
    void *codec_context;
    uint64_t reads, read_bytes;    /* calls and their bytes */
    bool begun, uncached;
} shardio_pack_scratch;

/* An open packfile. The members are ours, `facts` is there to be read. */
typedef struct shardio_pack_reader {
    shardio_file file;
    shardio_pack_facts facts;
    shardio_pack_reading options;
    uint8_t *memory;               /* the end of the file, or of the index only */
    size_t memory_size;
    uint64_t memory_offset;        /* of memory[0] in the file */
    const uint8_t *index;
    struct shardio_pack_group *groups;
    shardio_pack_scratch own;      /* scratch of a caller who brings none */
    uint64_t reads;                /* calls that opening took */
} shardio_pack_reader;

/* Opens a packfile with one read, of the last bytes, unless its index is larger. Takes that much memory, and 88 bytes
   for 128 records. Not a packfile, or damaged in index or trailer: SHARDIO_ERR_TRUNCATED, _CHECKSUM, _CORRUPT or
   _UNSUPPORTED. The file belongs to the reader, even if this fails. */
SHARDIO_API shardio_status shardio_pack_open_file(shardio_pack_reader *reader, shardio_file file,
                                                  const shardio_pack_reading *options, shardio_error *error);
#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_pack_open(shardio_pack_reader *reader, const char *path,
                                             const shardio_pack_reading *options, shardio_error *error);
#endif
SHARDIO_API void shardio_pack_close(shardio_pack_reader *reader);

/* Whether the file ends as a packfile does: one read. What cannot be read is none. */
SHARDIO_API bool shardio_pack_is_one(const shardio_file *file);

/* Scratch for one more thread: several may read from one open reader, each with a scratch of its own. A reader must
   outlive its scratches. SHARDIO_ERR_MEMORY, or what the codec says. */
SHARDIO_API shardio_status shardio_pack_scratch_begin(shardio_pack_scratch *scratch, const shardio_pack_reader *reader,
                                                      shardio_error *error);
SHARDIO_API void shardio_pack_scratch_end(shardio_pack_scratch *scratch);

/* In the functions below `scratch` null is the reader's own, for one thread.

   One item, with one read: *data lives until the next call with this scratch. Where records are not encoded and the
   lengths in this one were seen before, nothing but the item is read. Finding it takes as many steps as there are items
   before it in its record. SHARDIO_ERR_ARGUMENT: no such item. */
SHARDIO_API shardio_status shardio_pack_item(shardio_pack_reader *reader, shardio_pack_scratch *scratch, uint64_t item,
                                             const uint8_t **data, size_t *size, shardio_error *error);

/* One item to `memory` of `capacity` bytes; *size is its length. SHARDIO_ERR_LIMIT, with *size set, if it does not fit. */
SHARDIO_API shardio_status shardio_pack_item_into(shardio_pack_reader *reader, shardio_pack_scratch *scratch,
                                                  uint64_t item, void *memory, size_t capacity, size_t *size,
                                                  shardio_error *error);

/* Takes one item: `data` is borrowed until it returns. Not SHARDIO_OK: stop. */
typedef shardio_status (*shardio_item_taker)(void *context, uint64_t item, const uint8_t *data, size_t size,
                                             shardio_error *error);

/* Items first .. first+count-1, or those of a strictly ascending list, in order. Records that lie side by side come with
   reads of up to 1 MiB, larger ones with a read each; the system is told ahead what comes. SHARDIO_ERR_ARGUMENT before
   anything is read: an item that is not there, or a list that does not ascend. */
SHARDIO_API shardio_status shardio_pack_range(shardio_pack_reader *reader, shardio_pack_scratch *scratch,
                                              uint64_t first, uint64_t count, shardio_item_taker take, void *context,
                                              shardio_error *error);
SHARDIO_API shardio_status shardio_pack_list(shardio_pack_reader *reader, shardio_pack_scratch *scratch,
                                             const uint64_t *items, size_t count, shardio_item_taker take, void *context,
                                             shardio_error *error);

/* What the caller put behind the index, all facts.app_data_bytes of it, to `memory`: no read if it came with the first. */
SHARDIO_API shardio_status shardio_pack_app_data(shardio_pack_reader *reader, void *memory, size_t capacity,
                                                 shardio_error *error);

/* What a verification saw. */
typedef struct shardio_pack_summary {
    uint64_t records, items, item_bytes;   /* that are right; opaque: items and bytes stay 0 unless records are plain */
    uint64_t largest_record, largest_item; /* bytes */
    uint64_t faults;
    bool contents_checked;                 /* all items were read; opaque: records turned out not to be encoded */
    bool hash_checked;                     /* the content hash was computed and matches */
    bool hash_differs;                     /* it was computed and does not match; opaque: or records are encoded so that
                                              they keep their lengths, or extract is missing */
} shardio_pack_summary;

/* Reads everything: the lengths in all records, all items, the content hash. Each fault goes to `finding`, progress is in
   bytes of the records; both may be null. An opaque reader checks what needs no decoding; if the lengths say that
   records are as they are, and the hash agrees where there is one, that is everything. The status of the first fault:
   SHARDIO_ERR_CORRUPT, _CHECKSUM or what the codec says. */
SHARDIO_API shardio_status shardio_pack_verify(shardio_pack_reader *reader, shardio_pack_scratch *scratch,
                                               shardio_pack_summary *summary, shardio_finding finding, void *context,
                                               shardio_progress progress, void *progress_context, shardio_error *error);

#endif /* !SHARDIO_NO_PACK */

#if !SHARDIO_NO_ZARR
/* >>zarr-api -------------------------------------------------------------------------------------------------- */

#define SHARDIO_MAX_CODECS 8
#define SHARDIO_UNLIMITED 0      /* shape[0]: as many as are appended */

/* Element types: name, name in zarr.json, bytes, bytes of the unit whose order depends on the machine. */
#define SHARDIO_DTYPE_LIST(X)                                                                                      \
    X(BOOL, "bool", 1, 1) X(INT8, "int8", 1, 1) X(INT16, "int16", 2, 2) X(INT32, "int32", 4, 4)                    \
    X(INT64, "int64", 8, 8) X(UINT8, "uint8", 1, 1) X(UINT16, "uint16", 2, 2) X(UINT32, "uint32", 4, 4)            \
    X(UINT64, "uint64", 8, 8) X(FLOAT16, "float16", 2, 2) X(FLOAT32, "float32", 4, 4)                              \
    X(FLOAT64, "float64", 8, 8) X(COMPLEX64, "complex64", 8, 4) X(COMPLEX128, "complex128", 16, 8)                 \
    X(RAW, "r8", 1, 1)                       /* any number of bytes: raw_bytes of the options says how many */      \
    X(STRING, "string", sizeof(shardio_bytes), 1)   /* UTF-8; in memory a shardio_bytes each */                    \
    X(BYTES, "bytes", sizeof(shardio_bytes), 1)                                                                    \
    X(DATETIME64, "numpy.datetime64", 8, 8)  /* int64: time_scale times time_unit since 1970, UTC; the least: no time */ \
    X(TIMEDELTA64, "numpy.timedelta64", 8, 8)

typedef enum shardio_dtype {
    SHARDIO_DTYPE_UNSET = 0,
#define SHARDIO_P_DTYPE(name, text, size, unit) SHARDIO_##name,
    SHARDIO_DTYPE_LIST(SHARDIO_P_DTYPE)
#undef SHARDIO_P_DTYPE
    SHARDIO_DTYPE_COUNT
} shardio_dtype;

SHARDIO_API size_t shardio_dtype_size(shardio_dtype dtype);                 /* bytes of an element; 0: no such type */
SHARDIO_API const char *shardio_dtype_name(shardio_dtype dtype);            /* "uint16"; static text */
SHARDIO_API shardio_dtype shardio_dtype_from_name(const char *name);        /* SHARDIO_DTYPE_UNSET: no such type */

/* Where the keys of an array live: the directory and memory stores below, or the caller's own table. Keys are
   relative, of plain components with '/' between ("a/zarr.json", "a/c/0/1"). Statuses as in file functions; where a
   key is not there, SHARDIO_ERR_NOT_FOUND. */
typedef struct shardio_store_functions {
    /* Opens an existing key, for reading or (update) for writing in place. */
    shardio_status (*open)(void *store, const char *key, bool update, const shardio_allocator *allocator,
                           shardio_file *file, int *code);
    /* Begins a new value; the key shows it when the file is published. `most`: bytes that it will have at most, so that
       room can be kept for it; SHARDIO_NO_OFFSET: not known. */
    shardio_status (*create)(void *store, const char *key, bool overwrite, uint64_t most,
                             const shardio_allocator *allocator, shardio_file *file, int *code);
    /* Removes a key, and what only held it; the key "" is the store itself, if nothing is in it. */
    shardio_status (*remove)(void *store, const char *key, int *code);
    /* Calls `each` for every key below `prefix` ("" or "a/b/"), in any order, until it returns false. `temporary`:
       a value that was never published. */
    shardio_status (*list)(void *store, const char *prefix,
                           bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                           void *context, int *code);
    /* Makes it durable that a key was removed, with the directories that only held it. May be null. */
    shardio_status (*sync)(void *store, const char *key, int *code);
    /* Bytes that open and create take at most from their allocator for a key of `length` bytes. */
    size_t (*file_memory)(void *store, size_t length);
    /* Optional: null where there is no such thing. */
    /* Gives all keys below the prefix `from` ("a/b/") the prefix `to`. SHARDIO_ERR_EXISTS if a key lies there. */
    shardio_status (*rename)(void *store, const char *from, const char *to, int *code);
    /* What tells whether the value of a key still is the one it was, without reading it. */
    shardio_status (*tag)(void *store, const char *key, uint64_t tag[2], int *code);
    bool whole_values;   /* a value that was published is never changed in place: who updates it gets a copy */
} shardio_store_functions;

typedef struct shardio_store {
    const shardio_store_functions *functions;
    void *context;
    const char *name;      /* for messages */
} shardio_store;

typedef struct shardio_array shardio_array;

/* What an array is and how it is written. All-zero members mean the default that is named. */
typedef struct shardio_array_options {
    uint32_t ndim;                           /* 1 to 32; 0 for an array that is defined, not appended to */
    shardio_dtype dtype;                     /* has to be set */
    uint32_t raw_bytes;                      /* bytes of an element of type SHARDIO_RAW */
    uint32_t time_scale;                     /* SHARDIO_DATETIME64, _TIMEDELTA64: so many time_units are one; 0: 1 */
    const char *time_unit;                   /* Y M W D h m s ms us ns ps fs as; null: generic */
    uint64_t shape[SHARDIO_MAX_DIMS];        /* elements; shape[0] may be SHARDIO_UNLIMITED */
    uint64_t chunk[SHARDIO_MAX_DIMS];        /* elements of a chunk, at least 1 each */
    uint64_t shard[SHARDIO_MAX_DIMS];        /* elements of a shard, multiples of the chunk; all 0: one file a chunk */
    const void *fill_value;                  /* one element in the machine's byte order; null: zero, or empty */
    const char *const *dimension_names;      /* ndim names, each may be null; null: none */
    const char *attributes;                  /* a JSON object; null: {} */
    const char *path;                        /* of the array inside the store, "raw/movie"; null: the store itself.
                                                Missing groups on the way are created */
    const shardio_codec *codecs[SHARDIO_MAX_CODECS];   /* bytes-to-bytes codecs of a chunk, up to the first null; when
                                                opening: codecs known besides our own */
    const uint8_t *transpose;                /* ndim numbers: dimension i of a stored chunk is dimension transpose[i]; null:
                                                as they are */
    const char *codec_list;                  /* the member "codecs" of zarr.json, JSON text, in place of codecs, transpose,
                                                index_... and big_endian: shards inside shards, codecs around shards. The
                                                grid is that of `shard`, or of `chunk` if there is none */
    bool index_at_start, index_big_endian, index_no_checksum;
    bool big_endian;                         /* byte order of the elements in the chunks; default little */
    bool key_v2;                             /* keys of chunks as in Zarr version 2 */
    char key_separator;                      /* '/' or '.'; 0: '/', and '.' with key_v2 */
    bool skip_fill;                          /* leave out chunks that hold nothing but the fill value */
    bool statistics;                         /* writing and changing: keep statistics, see shardio_array_statistics */
    bool fill_is_value;                      /* asking for statistics: elements equal to the fill value are values like
                                                others where they are stored; default: they are null */
    bool overwrite;                          /* replace an array that exists, which is removed by create, once nothing
                                                else is wrong; default: SHARDIO_ERR_EXISTS */
    shardio_direct direct;
    shardio_durability durability;
    uint64_t checkpoint_every;               /* bytes of elements between two checkpoints; 0: none by itself */
    uint64_t drop_behind;                    /* as in shardio_slot_options */
    size_t buffer_size;                      /* bytes of the staging buffer that all shards share; 0: 4 MiB */
    size_t memory;                           /* bytes for gathering rows of chunks; 0: one row, or as many as fit in
                                                8 MiB; more makes larger writes from small chunks */
    size_t block_size;                       /* bytes kept of the tail of each shard in flight; 0: 4096; has to hold
                                                a block of the file system for unbuffered I/O */
    uint32_t max_open_files;                 /* shards open at once; 0: 64. More are closed and continued */
    size_t index_memory;                     /* reading: bytes of indexes of shards kept open; 0: 64 MiB */
    size_t decoded_limit;                    /* the most bytes that a chunk may have decoded, where its file is much smaller, or
                                                a file that has to be held as a whole; 0: 1 GiB */
    size_t metadata_limit;                   /* the most bytes of a zarr.json; 0: 16 MiB */
    bool unbuffered;                         /* open: reads past the page cache, where the system takes it */
    bool unchanging;                         /* open: nobody writes to the array meanwhile. Otherwise each read first asks
                                                whether the shard still is the one whose index is kept */
    shardio_update update;                   /* changing: how shards that exist are changed */
    uint32_t dead_percent;                   /* changing: a shard is rewritten when more of its file than this would be
                                                dead; 0: 50; 100: never */
    shardio_accounting *accounting;          /* finish leaves here what was done in all, the last writes included;
                                                null: not wanted */
    const shardio_allocator *allocator;      /* null: malloc */
} shardio_array_options;

/* Memory that writing an array takes: all of it in one piece, when it is created, and no more later. Only creating and
   continuing take something besides for a moment: the zarr.json of groups on the way, a chunk that is continued. Not
   counted: contexts of codecs, made at the beginning; contents of strings and bytes, kept until their chunks are
   written; statistics. */
typedef struct shardio_memory_plan {
    uint64_t total;             /* bytes: the sum of */
    uint64_t rows;              /* gathered rows of chunks */
    uint64_t staging;           /* the shared buffer */
    uint64_t shards;            /* tails and indexes of the shards in flight */
    uint64_t other;             /* handles, names, metadata, codec scratch */
    uint64_t shards_in_flight;
    uint64_t chunks_at_once;    /* chunks gathered before they are written */
} shardio_memory_plan;

/* Computes the plan for `options` with names of up to `path_length` bytes (path of the store and of the array in it).
   SHARDIO_ERR_ARGUMENT as shardio_array_create. `error` may be null. */
SHARDIO_API shardio_status shardio_array_memory(const shardio_array_options *options, size_t path_length,
                                                shardio_memory_plan *plan, shardio_error *error);

/* Sets chunk and shard of `options` (ndim, dtype and shape given) so that chunks are of about 1 MiB, a row of chunks
   fits `memory` bytes (0: 256 MiB) and a shard file is about `file_size` bytes (0: 1 GiB). `error` may be null. */
SHARDIO_API shardio_status shardio_array_suggest(shardio_array_options *options, uint64_t memory, uint64_t file_size,
                                                 shardio_error *error);

#if !SHARDIO_NO_OS && !SHARDIO_NO_STORE
/* Creates an array in the directory `path`. Never null: what fails sticks to the handle and comes out of finish. What
   `options` points to is copied, codecs excepted. zarr.json appears at the first checkpoint, or at finish. */
SHARDIO_API shardio_array *shardio_array_create(const char *path, const shardio_array_options *options);

/* Goes on appending to an array that exists, at the end of its first dimension. Of `options` (may be null) how it is
   written counts, not what it is. A last chunk that is not full is read and written again. */
SHARDIO_API shardio_array *shardio_array_continue(const char *path, const shardio_array_options *options);

/* Opens an array for reading: one read, of its zarr.json. `options` (may be null): path, codecs known besides our own,
   memory for reading (0: 16 MiB), max_open_files, index_memory, decoded_limit, metadata_limit, unbuffered, unchanging, allocator. Never
   null; an array that could not be opened returns its error from every call. */
SHARDIO_API shardio_array *shardio_array_open(const char *path, const shardio_array_options *options,
                                              shardio_error *error);

/* Opens an array for reading and changing: shardio_array_write, _resize, _compact, _recover. Of `options` (may be null)
   besides those of open: direct, durability, skip_fill, update, dead_percent, buffer_size. Each change is complete when
   its call returns; nothing sticks. */
SHARDIO_API shardio_array *shardio_array_update(const char *path, const shardio_array_options *options,
                                                shardio_error *error);

/* Creates an array of the shape in `options` that holds nothing but the fill value: its zarr.json, durable unless the
   durability is none. shape[0] 0 means zero; ndim 0 is an array of one element. Errors: as creating. */
SHARDIO_API shardio_status shardio_array_define(const char *path, const shardio_array_options *options,
                                                shardio_error *error);
#endif
/* The same in any store, which must outlive the array. */
SHARDIO_API shardio_array *shardio_array_create_in(const shardio_store *store, const shardio_array_options *options);
SHARDIO_API shardio_array *shardio_array_continue_in(const shardio_store *store, const shardio_array_options *options);
SHARDIO_API shardio_array *shardio_array_open_in(const shardio_store *store, const shardio_array_options *options,
                                                 shardio_error *error);
SHARDIO_API shardio_array *shardio_array_update_in(const shardio_store *store, const shardio_array_options *options,
                                                   shardio_error *error);
SHARDIO_API shardio_status shardio_array_define_in(const shardio_store *store, const shardio_array_options *options,
                                                   shardio_error *error);

/* Appends `count` elements in C order, the machine's byte order: a part of a frame or many. `elements` null: the fill
   value. Beyond a bounded shape: SHARDIO_ERR_ARGUMENT, and nothing of this call is taken. */
SHARDIO_API shardio_status shardio_array_append(shardio_array *array, const void *elements, uint64_t count);

/* Makes all whole frames appended so far readable, durable unless the durability is none: shards first, then
   zarr.json with the shape reached. Rows of chunks that are not full are padded with the fill value and written again
   later, which leaves dead bytes. */
SHARDIO_API shardio_status shardio_array_checkpoint(shardio_array *array);

/* Ends the array: pads a begun frame with the fill value, writes what is left, shards first, zarr.json last, with
   the shape really reached along the first dimension. The handle is freed, always; the first error is repeated and
   put in `error` (may be null). A null array: SHARDIO_ERR_ARGUMENT. */
SHARDIO_API shardio_status shardio_array_finish(shardio_array *array, shardio_error *error);

/* Ends the array without what came after the last checkpoint: shards not yet published are removed, and without any
   checkpoint every file and directory that it made. */
SHARDIO_API void shardio_array_abort(shardio_array *array);

/* The error that sticks to a writer, or of opening; status SHARDIO_OK if there is none. */
SHARDIO_API shardio_error shardio_array_error(const shardio_array *array);

/* What was done so far by a writer; for readers only device_calls (reads), device_bytes and files are counted. */
SHARDIO_API shardio_accounting shardio_array_accounting(const shardio_array *array);

/* What is known about an array; pointers live as long as the handle. */
typedef struct shardio_array_facts {
    uint32_t ndim;
    shardio_dtype dtype;
    uint64_t shape[SHARDIO_MAX_DIMS];     /* shape[0] of a writer: whole frames appended */
    uint64_t chunk[SHARDIO_MAX_DIMS];
    uint64_t shard[SHARDIO_MAX_DIMS];     /* elements; equal to chunk where there are no shards */
    bool sharded, big_endian, key_v2;
    char key_separator;
    size_t element_size;                  /* bytes of an element in memory */
    uint32_t time_scale;                  /* of SHARDIO_DATETIME64 and _TIMEDELTA64, otherwise 0 */
    const char *time_unit;                /* "ns"; null of other types. Static text */
    bool begun_frame;                     /* a writer holds a part of a frame */
    shardio_index_layout index;           /* of its shards; chunks: in one shard */
    const void *fill_value;               /* one element, machine's byte order */
    const char *dimension_names[SHARDIO_MAX_DIMS];   /* null: no name */
    bool has_dimension_names;
    const char *attributes;               /* JSON text */
    uint32_t codecs;                      /* number of bytes-to-bytes codecs of a chunk */
    const char *codec_names[SHARDIO_MAX_CODECS];
    shardio_json codec_list;              /* the member "codecs" of zarr.json, everything included */
    uint32_t levels;                      /* grids inside one another: 1 chunks, 2 shards, 3 shards inside shards */
    bool transposed;
    uint8_t transpose[SHARDIO_MAX_DIMS];  /* dimension i of a stored chunk is dimension transpose[i] of the array */
    const char *key_prefix;               /* keys of the array begin with it: "raw/movie/", or "" */
    uint64_t memory;                      /* bytes taken from the allocator */
} shardio_array_facts;
SHARDIO_API shardio_status shardio_array_describe(const shardio_array *array, shardio_array_facts *facts);

/* Reads the region that begins at start[] and has extent count[] (ndim numbers each) into `elements` of `size` bytes,
   C order without gaps, machine's byte order. Missing chunks give the fill value. Each chunk takes one read at most,
   chunks side by side in a file take one together; one of several levels takes one more for each index inside. Memory: what
   the chunks of a read take together, within options->memory, and the largest chunk, encoded and decoded, in any case.
   SHARDIO_ERR_ARGUMENT if the region is not inside the shape or `size` does not fit. `error` may be null. */
SHARDIO_API shardio_status shardio_array_read(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                              void *elements, size_t size, shardio_error *error);

/* The same with any layout in memory: `elements` points to the first element, strides[i] bytes lead to the next one along
   dimension i; they may be negative. Elements need no alignment. */
SHARDIO_API shardio_status shardio_array_read_strided(shardio_array *array, const uint64_t *start,
                                                      const uint64_t *count,
                                                      void *elements, const ptrdiff_t *strides, shardio_error *error);

/* Writes a region of an array opened by shardio_array_update, from `elements` of `size` bytes as in shardio_array_read;
   null: the fill value. Chunks that the region covers whole are not read; others are read, changed and written. A shard
   that exists gets the changed chunks and a new index behind its end, or is rewritten (options update, dead_percent).
   What a shard held stays readable until its new index is complete; a failure leaves the shards not yet reached as they
   were. Memory: one chunk, decoded and encoded, and the index of a shard. Errors as in shardio_array_read, and those of
   writing. */
SHARDIO_API shardio_status shardio_array_write(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                               const void *elements, size_t size, shardio_error *error);
SHARDIO_API shardio_status shardio_array_write_strided(shardio_array *array, const uint64_t *start,
                                                       const uint64_t *count,
                                                       const void *elements, const ptrdiff_t *strides,
                                                       shardio_error *error);

/* Gives an array opened by shardio_array_update another shape (ndim numbers). zarr.json changes first. Then, where an
   extent shrinks, chunks wholly outside are removed, and the part outside of chunks at the edge becomes the fill value;
   with `keep_edge` it stays in the file and is seen again when the array grows, unless the chunk was written meanwhile. A
   call that failed while it removed is repeated with the same shape. */
SHARDIO_API shardio_status shardio_array_resize(shardio_array *array, const uint64_t *shape, bool keep_edge,
                                                shardio_error *error);

/* Rewrites every shard of an array opened by shardio_array_update that has dead bytes, each one atomically. `progress`
   (may be null) in bytes of the files. */
SHARDIO_API shardio_status shardio_array_compact(shardio_array *array, shardio_progress progress, void *context,
                                                 shardio_error *error);

/* Told what recovery found in one shard file: done says whether the file was changed, or would be. */
typedef void (*shardio_recovered)(void *context, const char *key, const shardio_recovery *found, shardio_status status,
                                  const shardio_error *error);

/* Recovers every shard of an array opened by shardio_array_update, as shardio_shard_recover; a shard counts as found when
   all its chunks decode. With `apply` false nothing is changed. SHARDIO_ERR_CORRUPT if a shard could not be recovered. */
SHARDIO_API shardio_status shardio_array_recover(shardio_array *array, bool apply, shardio_recovered report,
                                                 void *context, shardio_error *error);

/* Called for each shard file that exists: its key, its place in the grid of shards, its reader (null where the array
   has no shards or, with `fault` set, where it could not be opened). Not SHARDIO_OK: stop. */
typedef shardio_status (*shardio_shard_visitor)(void *context, const char *key, const uint64_t *position,
                                                uint64_t file_size, shardio_shard_reader *reader,
                                                const shardio_error *fault);
SHARDIO_API shardio_status shardio_array_each_shard(shardio_array *array, shardio_shard_visitor visit, void *context,
                                                    shardio_error *error);

/* Verifies an array opened for reading: each shard as shardio_shard_verify, lengths and checksums of all chunks, files
   outside the shape, temporary files left by a crash. One call to `finding` (may be null) for each fault; progress
   (may be null) in bytes of the files. SHARDIO_ERR_CORRUPT if there was a fault. */
SHARDIO_API shardio_status shardio_array_verify(shardio_array *array, shardio_finding finding, void *context,
                                                shardio_progress progress, void *progress_context,
                                                shardio_error *error);

enum { SHARDIO_STATISTICS_BYTES = 64 };

/* Statistics of all elements of an array. */
typedef struct shardio_statistics {
    uint64_t rows;               /* elements: the product of the shape */
    uint64_t nulls;              /* of these, never written or equal to the fill value by bits (option fill_is_value:
                                    only those never written, which is to say, in chunks that are not stored) */
    bool has_range;              /* there are min and max, of the elements that are neither null nor NaN nor NaT; -0.0
                                    is less than 0.0. Not of complex numbers, which have no order */
    bool min_cut, max_cut;       /* raw bits, strings and bytes, ordered by bytes: these are only its first bytes */
    size_t min_size, max_size;   /* bytes */
    uint8_t min[SHARDIO_STATISTICS_BYTES];   /* an element in the machine's byte order, or the bytes of a string, */
    uint8_t max[SHARDIO_STATISTICS_BYTES];   /* without a zero byte */
} shardio_statistics;

/* The statistics of an array opened for reading or changing, without reading a chunk: one read of what was kept, one
   look at the tag of each shard, or chunk that is a file. SHARDIO_ERR_NOT_FOUND: there are none, or somebody who kept
   none has changed something since; then shardio_array_make_statistics makes them. In a directory the tag is made of
   size, inode and time of change: a change that leaves all three alike, within one tick of the file system's clock, is
   not seen. Memory: what was kept, for numbers 22 to 36 bytes a chunk, for strings 148, as long as decoded_limit
   allows it.

   With the option statistics they are kept while an array is written or changed: in memory that grows with the number
   of chunks by doubling, besides what is planned for; each chunk written is looked at once. They are written after the
   data: by checkpoint (all of them, each time), finish and define, by shardio_array_close, or when they are asked for.
   Should that fail, the data is complete and the statistics are absent: finish and define return the error, a
   checkpoint leaves it to the next one. Resizing reads the chunks at the edge that are not rewritten. Needs a store
   with tags, or SHARDIO_ERR_UNSUPPORTED. */
SHARDIO_API shardio_status shardio_array_statistics(shardio_array *array, shardio_statistics *statistics,
                                                    shardio_error *error);

/* Makes the statistics of an array opened by shardio_array_update, with or without the option, by reading the chunks
   whose keys have other tags than when they were last looked at, and writes them. `progress` (may be null) in bytes of
   the files; what was done before it stopped need not be done again. */
SHARDIO_API shardio_status shardio_array_make_statistics(shardio_array *array, shardio_progress progress, void *context,
                                                         shardio_error *error);

/* Ends an array opened for reading or changing. */
SHARDIO_API void shardio_array_close(shardio_array *array);

/* -- nodes: groups and arrays by their zarr.json. Paths are as in the options: "raw/movie", "" or null for the store. */

typedef enum shardio_node_kind { SHARDIO_NODE_UNKNOWN, SHARDIO_NODE_GROUP, SHARDIO_NODE_ARRAY } shardio_node_kind;

/* How nodes are read and changed. Null, or all-zero members: the defaults that are named. */
typedef struct shardio_node_options {
    size_t metadata_limit;               /* the most bytes of a zarr.json, read or written; 0: 16 MiB */
    shardio_durability durability;       /* of changes; default: on stable storage when the call returns */
    shardio_progress progress;           /* consolidating and removing, in nodes: asked before each; null: none */
    void *progress_context;
    const shardio_allocator *allocator;  /* must outlive the nodes that are opened with it; null: malloc */
} shardio_node_options;

/* The zarr.json of a group or an array, in memory. Pieces point into `text`; end with shardio_node_close. */
typedef struct shardio_node {
    shardio_node_kind kind;
    const char *text;             /* ended with a zero byte */
    size_t size;                  /* of the text, bytes */
    shardio_json root, attributes;
    shardio_json consolidated;    /* a group's: the object of metadata by path, as it stands there; or absent */
    const shardio_allocator *allocator;
} shardio_node;

/* Opens a node: one read. What groups and arrays have in common is checked, and all of a group; the rest of an array is
   checked when it is opened as one. Extensions that have to be understood are refused (SHARDIO_ERR_UNSUPPORTED);
   consolidated metadata of another kind than "inline" is passed over if it says that it may be. `options` and `error`
   may be null, here and below. */
SHARDIO_API shardio_status shardio_node_open(shardio_node *node, const shardio_store *store, const char *path,
                                             const shardio_node_options *options, shardio_error *error);

/* Ends a node. One whose open failed needs no close, and takes it. */
SHARDIO_API void shardio_node_close(shardio_node *node);

/* The scalar attribute `name`. False: there is none, it is of another kind, it does not fit, or it stands there twice.
   A whole number is a double, too; 3.0 is no int64. */
SHARDIO_API bool shardio_node_int64(const shardio_node *node, const char *name, int64_t *value);
SHARDIO_API bool shardio_node_double(const shardio_node *node, const char *name, double *value);
SHARDIO_API bool shardio_node_bool(const shardio_node *node, const char *name, bool *value);
SHARDIO_API bool shardio_node_string(const shardio_node *node, const char *name, char *text, size_t size);

/* Creates a group with `attributes` (a JSON object; null: {}), and missing groups on the way. Nodes that lie below
   without a group become its members. SHARDIO_ERR_EXISTS if there is a node already, or files but no node below;
   SHARDIO_ERR_UNSUPPORTED if an array is on the way. */
SHARDIO_API shardio_status shardio_group_create(const shardio_store *store, const char *path, const char *attributes,
                                                const shardio_node_options *options, shardio_error *error);

/* Replaces all attributes of a node (null: {}), or sets one to a JSON value (null: removes it; SHARDIO_ERR_NOT_FOUND if
   there is none). Everything else in zarr.json stays byte for byte; a new member comes last, laid out like the others.
   zarr.json is read, changed, checked and replaced as a whole: whatever fails, the old one is still there. Only one
   program may do this to a node at a time; a writer of an array writes its attributes as they were when it began.
   Consolidated metadata of groups above is not touched: consolidate again.
   set_double: NaN and infinities are no JSON, SHARDIO_ERR_ARGUMENT. */
SHARDIO_API shardio_status shardio_node_set_attributes(const shardio_store *store, const char *path,
                                                       const char *attributes, const shardio_node_options *options,
                                                       shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_attribute(const shardio_store *store, const char *path, const char *name,
                                                      const char *json, const shardio_node_options *options,
                                                      shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_int64(const shardio_store *store, const char *path, const char *name,
                                                  int64_t value, const shardio_node_options *options,
                                                  shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_double(const shardio_store *store, const char *path, const char *name,
                                                   double value, const shardio_node_options *options,
                                                   shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_bool(const shardio_store *store, const char *path, const char *name,
                                                 bool value, const shardio_node_options *options, shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_string(const shardio_store *store, const char *path, const char *name,
                                                   const char *value, const shardio_node_options *options,
                                                   shardio_error *error);

/* Called for a node: its path from the store (always of plain names), its metadata, both borrowed until it returns.
   `fault` (node null): a zarr.json that cannot be read, lies below an array, or (path is that of the walk) has no plain
   path. May change and remove nodes. Not SHARDIO_OK: stop, and the walk returns it. */
typedef shardio_status (*shardio_node_visitor)(void *context, const char *path, const shardio_node *node,
                                               const shardio_error *fault);

/* Visits the node at `path` and all below it, parents before children, in the order of their paths, name by name. With
   `consolidated` the group's consolidated metadata is used if it has some: one read, as old as it is; otherwise the
   keys of the store are listed and each node is read. Memory: the paths, and one zarr.json at a time.
   SHARDIO_ERR_NOT_FOUND: there is no node. */
SHARDIO_API shardio_status shardio_hierarchy_walk(const shardio_store *store, const char *path, bool consolidated,
                                                  shardio_node_visitor visit, void *context,
                                                  const shardio_node_options *options, shardio_error *error);

/* Writes consolidated metadata of all nodes below into the zarr.json of the group at `path`, as zarr-python does (kind
   "inline"; no part of the Zarr v3 specification), or (`remove`) takes it out. Nodes with something else than groups
   above them are left out: zarr-python could open nothing of it otherwise. If a node cannot be read, or the result has
   more than metadata_limit bytes, nothing is changed. */
SHARDIO_API shardio_status shardio_group_consolidate(const shardio_store *store, const char *path, bool remove,
                                                     const shardio_node_options *options, shardio_error *error);

/* Deletes the node at `path` and all nodes below it. Parents go first, so that readers see all of it gone at once; a
   crash leaves whole nodes and the chunks of one array at most, and another call goes on. Of each node zarr.json goes
   first, then its chunks, if it is an array or cannot be read; last what writers left behind below `path`. Files that
   belong to no node stay. SHARDIO_ERR_NOT_FOUND: there is no node at `path` or below. */
SHARDIO_API shardio_status shardio_node_remove(const shardio_store *store, const char *path,
                                               const shardio_node_options *options, shardio_error *error);

/* Gives the node at `path`, and all below it, the path `new_path`; missing groups on the way are created. In a directory
   one step; in an archive the values are copied, because their names stand beside them. SHARDIO_ERR_NOT_FOUND: there is
   no node; SHARDIO_ERR_EXISTS: something lies at the new path. Consolidated metadata of groups above is not touched. */
SHARDIO_API shardio_status shardio_node_rename(const shardio_store *store, const char *path, const char *new_path,
                                               const shardio_node_options *options, shardio_error *error);

/* Told of an array's value of an attribute, as JSON; absent (text null) where it has none. `fault` as in
   shardio_node_visitor. Not SHARDIO_OK: stop. */
typedef shardio_status (*shardio_attribute_visitor)(void *context, const char *path, shardio_json value,
                                                    const shardio_error *fault);

/* Looks the attribute `name` up in all arrays at `path` and below, in the order of their paths: one read each. */
SHARDIO_API shardio_status shardio_attribute_of_arrays(const shardio_store *store, const char *path, const char *name,
                                                       shardio_attribute_visitor visit, void *context,
                                                       const shardio_node_options *options, shardio_error *error);

#endif /* !SHARDIO_NO_ZARR */

#if !SHARDIO_NO_STORE && !SHARDIO_NO_ZARR
/* >>store-api ------------------------------------------------------------------------------------------------- */

#if !SHARDIO_NO_OS
/* A directory. `path` is borrowed and must outlive the store; it need not exist until something is written.
   `path` may be a symbolic link or lead through some. What lies in the directory may come from anybody: nothing outside
   of it is read, listed, written or removed. A key that a symbolic link leads out of the store, or that lies behind
   such a link, is not listed, and using it is SHARDIO_ERR_PERMISSION. Links that stay inside are followed where the
   system sees to it (Linux 5.6) and refused like the others elsewhere; links to directories are not listed. Removing a
   key that is a link removes the link. What is neither file nor directory is no value: SHARDIO_ERR_UNSUPPORTED. */
SHARDIO_API shardio_store shardio_store_directory(const char *path);
#endif

/* A store in memory, taken from `allocator` (null: malloc). Begin, use through shardio_memory_store_table, end. */
typedef struct shardio_memory_store {
    struct shardio_memory_entry *entries;
    const shardio_allocator *allocator;
} shardio_memory_store;
SHARDIO_API shardio_store shardio_store_memory(shardio_memory_store *memory, const shardio_allocator *allocator);
SHARDIO_API void shardio_store_memory_free(shardio_memory_store *memory);

/* An archive: one ordinary ZIP file that holds a whole hierarchy, for one array or many. Each commit adds a layer behind
   everything that is there: new values, then a directory of all keys. The newest layer counts; older ones can be opened,
   and come back when the newer are rolled back. A crash at any moment leaves the last layer that was complete: what lies
   behind it is passed over, and cut off by the next writer. Reads what other programs wrote, deflated values with
   SHARDIO_WITH_ZLIB. */
typedef struct shardio_archive shardio_archive;

typedef struct shardio_archive_options {
    bool write;                /* read and write; a file that is not there is made, and appears with the first commit */
    bool create;               /* write: a new archive; one that exists: SHARDIO_ERR_EXISTS */
    bool overwrite;            /* create: one that exists is replaced by the first commit */
    uint64_t layer;            /* read: this layer, counted from 1; 0: the newest */
    uint32_t alignment;        /* write: the bytes of each value begin at a multiple of this power of two; 0: anywhere,
                                  but shards at a block of the file system */
    const char *comment;       /* write: of the archive; null: as it was. Borrowed for the call */
    const char *ome_version;   /* write: as OME-NGFF RFC 9 wants an .ozx, with its comment for this version ("0.5") */
    shardio_direct direct;     /* reads go past the page cache with SHARDIO_DIRECT_ON, if the system takes them */
    shardio_durability durability;
    size_t buffer_size;        /* write: where small values are gathered, bytes; 0: 4 MiB */
    size_t directory_limit;    /* the most bytes of a directory; 0: 1 GiB */
    size_t decoded_limit;      /* the most bytes that a deflated value may have; 0: 1 GiB */
    const shardio_allocator *allocator;   /* must outlive the archive; null: malloc */
} shardio_archive_options;

#if !SHARDIO_NO_OS
/* Opens an archive: one read, a second one for a directory of more than 64 KiB, a third beyond 64 MiB; a file that does not end in a directory
   is searched backwards for one. Null on failure. A writer locks the file: a second one gets SHARDIO_ERR_LOCKED.
   Readers are never kept out and see the layer that was the newest when they opened it. `options` and `error` may be
   null. Close with shardio_archive_close or shardio_archive_finish. */
SHARDIO_API shardio_archive *shardio_archive_open(const char *path, const shardio_archive_options *options,
                                                  shardio_error *error);

/* Rewrites the archive at `path` with the newest layer alone and swaps it in atomically. The file system has to
   have room for a copy, which is looked at first. `options` (may be null): alignment, comment, ome_version,
   direct, durability, limits, allocator. Entries that are no keys are left behind. `progress` (may be null) in bytes. */
SHARDIO_API shardio_status shardio_archive_compact(const char *path, const shardio_archive_options *options,
                                                   shardio_progress progress, void *context, shardio_error *error);
#endif
/* The same on an open file, which belongs to the archive from here, even if this fails. Nothing is locked. */
SHARDIO_API shardio_archive *shardio_archive_open_file(shardio_file file, const shardio_archive_options *options,
                                                       shardio_error *error);

/* The store that the archive is, for all functions that take one. Valid until it is closed. What is written through it is
   read through it at once, and by others when it was committed. A value that others may read is never changed: a shard
   that is changed is written anew, a checkpoint of a shard in flight makes a copy of it. */
SHARDIO_API shardio_store shardio_archive_store(shardio_archive *archive);

/* Makes a layer of what was written and removed since the last one, durable unless the durability is none. Arrays that
   are being appended to may go on; what they have not published is not in it. Nothing to commit: no layer. After an error
   the last layer is still the one that others see. */
SHARDIO_API shardio_status shardio_archive_commit(shardio_archive *archive, shardio_error *error);

/* Forgets what was written and removed since the last commit. Handles on it become invalid: SHARDIO_ERR_CHANGED. */
SHARDIO_API shardio_status shardio_archive_discard(shardio_archive *archive, shardio_error *error);

/* Makes `layer` the newest: discards, then cuts off what is behind it. SHARDIO_ERR_NOT_FOUND: there is no such layer. */
SHARDIO_API shardio_status shardio_archive_rollback(shardio_archive *archive, uint64_t layer, shardio_error *error);

/* Commits, closes. The archive has ended whatever is returned. */
SHARDIO_API shardio_status shardio_archive_finish(shardio_archive *archive, shardio_error *error);

/* Closes without commit: an archive that never had one is removed. Null is allowed. */
SHARDIO_API void shardio_archive_close(shardio_archive *archive);

/* What is known about an archive. */
typedef struct shardio_archive_facts {
    uint64_t layer;            /* number of the layer that is open; 0: none yet */
    uint64_t size;             /* of the file up to the end of this layer, bytes */
    uint64_t live_bytes;       /* of these, values with their headers, and the directory */
    uint64_t torn_bytes;       /* behind the layer: of a commit that was never completed, or somebody else's */
    uint64_t entries;          /* names in the directory */
    bool changed;              /* there is something to commit */
    bool foreign;              /* another program wrote the directory: what it says is checked at each value */
    bool chain_broken;         /* the layer before was overwritten by another program */
    const char *comment;       /* ended with a zero byte, lives until the next call */
    shardio_accounting accounting;   /* of a writer */
} shardio_archive_facts;
SHARDIO_API shardio_archive_facts shardio_archive_about(const shardio_archive *archive);

/* Told of a layer, newest first: number, where its directory begins, bytes of the file up to its end, entries. False:
   stop. */
typedef bool (*shardio_layer_visitor)(void *context, uint64_t layer, uint64_t directory, uint64_t size,
                                      uint64_t entries);

/* Visits the layers from the one that is open down to the first, each with a read or two. With `search` the file is
   searched for those that another program has cut off from the newer ones, too. SHARDIO_ERR_CORRUPT: a layer is not
   where the one above says. */
SHARDIO_API shardio_status shardio_archive_each_layer(shardio_archive *archive, bool search,
                                                      shardio_layer_visitor visit, void *context,
                                                      shardio_error *error);

/* An entry of the directory, as it lies in the file. */
typedef struct shardio_archive_entry {
    const char *name;          /* ended with a zero byte, until the visitor returns */
    uint64_t header, data;     /* offsets; data SHARDIO_NO_OFFSET: the header cannot be read */
    uint64_t size, stored;     /* bytes of the value, and in the file */
    uint32_t crc;              /* CRC-32 of the value */
    uint16_t method;           /* 0 stored, 8 deflated */
    bool key;                  /* a value of the store */
    bool committed;
} shardio_archive_entry;
typedef bool (*shardio_entry_visitor)(void *context, const shardio_archive_entry *entry);

/* Visits all entries, in the order of the directory. */
SHARDIO_API shardio_status shardio_archive_each_entry(shardio_archive *archive, shardio_entry_visitor visit,
                                                      void *context, shardio_error *error);

/* Checks every value: its header, its length, its CRC-32. As shardio_array_verify. */
SHARDIO_API shardio_status shardio_archive_verify(shardio_archive *archive, shardio_finding finding, void *context,
                                                  shardio_progress progress, void *progress_context,
                                                  shardio_error *error);

/* Copies every value of one store to another, whose keys of the same name are replaced. `progress` (may be null) in bytes
   of all. `allocator` may be null: malloc. An archive is to be committed then. */
SHARDIO_API shardio_status shardio_store_copy(const shardio_store *from, const shardio_store *to,
                                              shardio_progress progress, void *context,
                                              const shardio_allocator *allocator, shardio_error *error);

#if !SHARDIO_NO_OS
/* Saves a store, one in memory above all, as an archive of one layer, and loads an archive into a store. `options` (may
   be null) as for shardio_archive_open; saving replaces an archive that exists only with `overwrite`. */
SHARDIO_API shardio_status shardio_store_save(const shardio_store *store, const char *path,
                                              const shardio_archive_options *options, shardio_error *error);
SHARDIO_API shardio_status shardio_store_load(const shardio_store *store, const char *path,
                                              const shardio_archive_options *options, shardio_error *error);
#endif

#endif /* !SHARDIO_NO_STORE */

#ifdef __cplusplus
}
#endif

/* ---- That is the interface. What follows is how it is done. ------------------------------------------------- */
#endif /* SHARDIO_H */

/* In strict mode glibc hides what we need if a system header came first. The implementation is left out then, so that
   this is the only error. */
#if defined(SHARDIO_IMPLEMENTATION) && !SHARDIO_NO_OS && defined(__GLIBC__) && !defined(__USE_XOPEN2K8)
#error "shardio.h: a system header came before it; include shardio.h first in the file that defines SHARDIO_IMPLEMENTATION, or compile that file with -D_GNU_SOURCE"
#elif defined(SHARDIO_IMPLEMENTATION) && !defined(SHARDIO_IMPLEMENTATION_DONE)
#define SHARDIO_IMPLEMENTATION_DONE

/* >>config ---------------------------------------------------------------------------------------------------- */

#include <string.h>
#if !SHARDIO_NO_OS
#include <stdlib.h>
#endif

enum {
    SHARDIO_P_DEFAULT_BUFFER = 4 << 20,
    SHARDIO_P_DEFAULT_DIRECT_MIN = 1 << 20,
    SHARDIO_P_DEFAULT_BLOCK = 4096,
    SHARDIO_P_MAX_BLOCK = 1 << 16,          /* a larger wish is that of a network file system, for speed */
    SHARDIO_P_LARGEST_TRANSFER = 1 << 30    /* below what any system takes in one call */
};

SHARDIO_API int shardio_version(void)
{
    return SHARDIO_VERSION_NUMBER;
}

/* Arithmetic on sizes that come from files or callers: false if the result does not fit. */
static inline bool shardio_p_add(uint64_t a, uint64_t b, uint64_t *sum)
{
    *sum = a + b;
    return *sum >= a;
}

static inline bool shardio_p_multiply(uint64_t a, uint64_t b, uint64_t *product)
{
    *product = a * b;
    return a == 0 || *product / a == b;
}

static inline uint64_t shardio_p_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t shardio_p_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* `alignment` is a power of two. */
static inline uint64_t shardio_p_floor(uint64_t value, uint64_t alignment)
{
    return value & ~(alignment - 1);
}

static inline uint64_t shardio_p_ceil(uint64_t value, uint64_t alignment)
{
    return shardio_p_floor(value + (alignment - 1), alignment);
}

/* Each bit of the result depends on all bits of x. */
static inline uint64_t shardio_p_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* >>errors ---------------------------------------------------------------------------------------------------- */

SHARDIO_API const char *shardio_status_text(shardio_status status)
{
    static const char *const texts[] = {
#define SHARDIO_P_STATUS(name, text) text,
        SHARDIO_STATUS_LIST(SHARDIO_P_STATUS)
#undef SHARDIO_P_STATUS
    };
    return (unsigned)status < SHARDIO_STATUS_COUNT ? texts[status] : "unknown status";
}

SHARDIO_API const char *shardio_status_name(shardio_status status)
{
    static const char *const names[] = {
#define SHARDIO_P_STATUS(name, text) #name,
        SHARDIO_STATUS_LIST(SHARDIO_P_STATUS)
#undef SHARDIO_P_STATUS
    };
    return (unsigned)status < SHARDIO_STATUS_COUNT ? names[status] : "ERR_UNKNOWN";
}

static size_t shardio_p_length(const char *text)
{
    size_t n = 0;
    while (text[n] != 0) n++;
    return n;
}

SHARDIO_API void shardio_text_add_bytes(shardio_text *text, const char *piece, size_t size)
{
    if (text->size < text->capacity) {
        size_t room = text->capacity - text->size - 1;
        size_t n = size < room ? size : room;
        memcpy(text->text + text->size, piece, n);
        text->text[text->size + n] = 0;
    }
    text->size += size;
}

SHARDIO_API void shardio_text_add(shardio_text *text, const char *piece)
{
    shardio_text_add_bytes(text, piece, shardio_p_length(piece));
}

SHARDIO_API void shardio_text_add_uint64(shardio_text *text, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number != 0);
    shardio_text_add_bytes(text, digits + at, sizeof digits - at);
}

SHARDIO_API void shardio_text_add_int64(shardio_text *text, int64_t number)
{
    if (number < 0) shardio_text_add(text, "-");
    shardio_text_add_uint64(text, number < 0 ? ~(uint64_t)number + 1 : (uint64_t)number);
}

/* What the system says about one of its numbers; in the platform section. */
static void shardio_p_system_text(int code, shardio_text *text);

SHARDIO_API const char *shardio_error_text(const shardio_error *error, char *text, size_t size)
{
    shardio_text t = {text, size, 0};
    if (size > 0) text[0] = 0;
    if (error == NULL) {
        shardio_text_add(&t, "no error record");
        return text;
    }
    if (error->operation != NULL) shardio_text_add(&t, error->operation);
    if (error->subject[0] != 0) {
        shardio_text_add(&t, error->operation != NULL ? " " : "");
        shardio_text_add(&t, error->subject);
    }
    if (error->offset != SHARDIO_NO_OFFSET && error->status != SHARDIO_OK) {
        shardio_text_add(&t, " at byte ");
        shardio_text_add_uint64(&t, error->offset);
    }
    shardio_text_add(&t, t.size > 0 ? ": " : "");
    shardio_text_add(&t, shardio_status_text(error->status));
    if (error->reason != NULL) {
        shardio_text_add(&t, ": ");
        shardio_text_add(&t, error->reason);
    }
    if (error->system_code != 0) {
        shardio_text_add(&t, " (");
        shardio_p_system_text(error->system_code, &t);
        shardio_text_add(&t, ")");
    }
    return text;
}

/* Copies `subject`; of one that is too long the end, which says more of a path than its beginning. */
static void shardio_p_set_subject(shardio_error *error, const char *subject)
{
    size_t n = subject != NULL ? shardio_p_length(subject) : 0, room = sizeof error->subject - 1;
    size_t dots = n > room ? 3 : 0, keep = n > room ? room - dots : n;
    memcpy(error->subject, "...", dots);
    if (keep > 0) memcpy(error->subject + dots, subject + (n - keep), keep);
    error->subject[dots + keep] = 0;
}

/* Fills `error` (may be null) and returns `status`. */
static shardio_status shardio_p_fail_at(shardio_error *error, shardio_status status, const char *operation,
                                        const char *subject, uint64_t offset, int code, const char *reason)
{
    if (error != NULL) {
        error->status = status;
        error->system_code = code;
        error->operation = operation;
        error->reason = reason;
        error->offset = offset;
        shardio_p_set_subject(error, subject);
    }
    return status;
}

static shardio_status shardio_p_fail(shardio_error *error, shardio_status status, const char *operation,
                                     const char *subject, const char *reason)
{
    return shardio_p_fail_at(error, status, operation, subject, SHARDIO_NO_OFFSET, 0, reason);
}

#if !SHARDIO_NO_SHARD || !SHARDIO_NO_PACK
/* Stack for "chunk 12345 of NAME". */
typedef struct shardio_p_part_name {
    char text[200];
} shardio_p_part_name;

static const char *shardio_p_name_part(shardio_p_part_name *name, const char *kind, uint64_t number, const char *file)
{
    shardio_text text = {name->text, sizeof name->text, 0};
    size_t n = file != NULL ? shardio_p_length(file) : 0, most = sizeof name->text - 50;
    shardio_text_add(&text, kind);
    shardio_text_add(&text, " ");
    shardio_text_add_uint64(&text, number);
    shardio_text_add(&text, n > most ? " of ..." : " of ");
    if (n > 0) shardio_text_add(&text, n > most ? file + n - most : file);
    return name->text;
}
#endif

static void shardio_p_no_error(shardio_error *error)
{
    if (error == NULL) return;
    error->status = SHARDIO_OK;
    error->system_code = 0;
    error->operation = error->reason = NULL;
    error->offset = SHARDIO_NO_OFFSET;
    error->subject[0] = 0;
}

/* >>platform -------------------------------------------------------------------------------------------------- */

/* -- memory */

#if !SHARDIO_NO_ZARR
enum {
    SHARDIO_P_BEYOND_CACHE = 8 << 20,   /* bytes: what is written to more memory than this is in no cache when it is read */
    SHARDIO_P_LINE = 64,                /* bytes of a line of the CPU's cache */
    SHARDIO_P_LONG_ROW = 2 * SHARDIO_P_LINE   /* shorter rows have too many lines that they fill only in part */
};

#if (defined(__SSE2__) || defined(_M_X64)) && !defined(__TINYC__)
#include <emmintrin.h>

/* memcpy to memory that is in no cache and will not be read again soon. An ordinary store first fetches the line that it
   overwrites: where rows lie far apart that costs more than the copy. */
static void shardio_p_copy_past_cache(uint8_t *to, const uint8_t *from, size_t size)
{
    size_t head = (SHARDIO_P_LINE - (uintptr_t)to % SHARDIO_P_LINE) % SHARDIO_P_LINE;
    if (head > size) head = size;
    memcpy(to, from, head);
    for (to += head, from += head, size -= head; size >= SHARDIO_P_LINE; size -= SHARDIO_P_LINE) {
        __m128i line[4];
        memcpy(line, from, sizeof line);
        for (int i = 0; i < 4; i++) _mm_stream_si128((__m128i *)(void *)to + i, line[i]);
        to += SHARDIO_P_LINE;
        from += SHARDIO_P_LINE;
    }
    memcpy(to, from, size);
}

/* After it other threads see what was copied past the cache. */
static void shardio_p_copied_past_cache(void)
{
    _mm_sfence();
}
#else
static void shardio_p_copy_past_cache(uint8_t *to, const uint8_t *from, size_t size)
{
    memcpy(to, from, size);
}

static void shardio_p_copied_past_cache(void)
{
}
#endif
#endif

#if !SHARDIO_NO_OS
/* malloc promises less than a block's alignment: take more and remember where it began, right in front. */
static void *shardio_p_heap_allocate(size_t size, size_t alignment)
{
    if (alignment < sizeof(void *)) alignment = sizeof(void *);
    if (size > SIZE_MAX - alignment - sizeof(void *)) return NULL;
    uint8_t *memory = (uint8_t *)malloc(size + alignment + sizeof(void *));
    if (memory == NULL) return NULL;
    uint8_t *aligned = memory + sizeof(void *);
    aligned += (alignment - (uintptr_t)aligned % alignment) % alignment;
    memcpy(aligned - sizeof(void *), &memory, sizeof(void *));
    return aligned;
}

static void shardio_p_heap_release(void *memory)
{
    void *begin;
    memcpy(&begin, (uint8_t *)memory - sizeof(void *), sizeof(void *));
    free(begin);
}
#else
static void *shardio_p_heap_allocate(size_t size, size_t alignment)
{
    (void)size, (void)alignment;
    return NULL;
}

static void shardio_p_heap_release(void *memory)
{
    (void)memory;
}
#endif

static void *shardio_p_allocate(const shardio_allocator *allocator, size_t size, size_t alignment)
{
    if (allocator != NULL && allocator->allocate != NULL)
        return allocator->allocate(allocator->context, size, alignment);
    return shardio_p_heap_allocate(size, alignment);
}

static void shardio_p_release(const shardio_allocator *allocator, void *memory, size_t size, size_t alignment)
{
    if (memory == NULL) return;
    if (allocator == NULL || allocator->allocate == NULL) shardio_p_heap_release(memory);
    else if (allocator->release != NULL) allocator->release(allocator->context, memory, size, alignment);
}

static void *shardio_p_arena_allocate(void *context, size_t size, size_t alignment)
{
    shardio_arena *arena = (shardio_arena *)context;
    size_t gap = (alignment - ((uintptr_t)arena->memory + arena->used) % alignment) % alignment;
    if (gap > arena->size - arena->used || size > arena->size - arena->used - gap) return NULL;
    uint8_t *memory = arena->memory + arena->used + gap;
    arena->used += gap + size;
    arena->pieces++;
    if (arena->used > arena->peak) arena->peak = arena->used;
    return memory;
}

static void shardio_p_arena_release(void *context, void *memory, size_t size, size_t alignment)
{
    shardio_arena *arena = (shardio_arena *)context;
    (void)alignment;
    if ((uint8_t *)memory + size == arena->memory + arena->used) arena->used -= size;
    if (--arena->pieces == 0) arena->used = 0;
}

SHARDIO_API shardio_allocator shardio_arena_begin(shardio_arena *arena, void *memory, size_t size)
{
    shardio_allocator allocator = {arena, shardio_p_arena_allocate, shardio_p_arena_release};
    arena->memory = (uint8_t *)memory;
    arena->size = size;
    arena->used = arena->peak = arena->pieces = 0;
    return allocator;
}

/* -- a file in memory */

static bool shardio_p_memory_reserve(shardio_memory *memory, uint64_t size)
{
    if (size <= memory->capacity) return true;
    if (memory->fixed || size > SIZE_MAX / 2) return false;
    size_t capacity = (size_t)shardio_p_max(size, (uint64_t)memory->capacity + memory->capacity / 2);
    uint8_t *data = (uint8_t *)shardio_p_allocate(memory->allocator, capacity, 16);
    if (data == NULL) return false;
    if (memory->size > 0) memcpy(data, memory->data, memory->size);
    shardio_p_release(memory->allocator, memory->data, memory->capacity, 16);
    memory->data = data;
    memory->capacity = capacity;
    return true;
}

static shardio_status shardio_p_memory_read(void *file, uint64_t offset, void *data, size_t size, size_t *done,
                                            int *code)
{
    shardio_memory *memory = (shardio_memory *)file;
    (void)code;
    *done = offset < memory->size ? (size_t)shardio_p_min(size, memory->size - offset) : 0;
    if (*done > 0) memcpy(data, memory->data + offset, *done);
    return SHARDIO_OK;
}

static shardio_status shardio_p_memory_resize(void *file, uint64_t size, int *code)
{
    shardio_memory *memory = (shardio_memory *)file;
    (void)code;
    if (!shardio_p_memory_reserve(memory, size)) return memory->fixed ? SHARDIO_ERR_NO_SPACE : SHARDIO_ERR_MEMORY;
    if (size > memory->size) memset(memory->data + memory->size, 0, (size_t)size - memory->size);
    memory->size = (size_t)size;
    return SHARDIO_OK;
}

static shardio_status shardio_p_memory_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done,
                                             int *code)
{
    shardio_memory *memory = (shardio_memory *)file;
    uint64_t end;
    *done = 0;
    if (!shardio_p_add(offset, size, &end)) return SHARDIO_ERR_NO_SPACE;
    if (end > memory->size) {
        shardio_status status = shardio_p_memory_resize(file, end, code);
        if (status != SHARDIO_OK) return status;
    }
    memcpy(memory->data + offset, data, size);
    *done = size;
    return SHARDIO_OK;
}

static shardio_status shardio_p_memory_facts(void *file, shardio_file_facts *facts, int *code)
{
    (void)code;
    memset(facts, 0, sizeof *facts);
    facts->size = ((shardio_memory *)file)->size;
    return SHARDIO_OK;
}

SHARDIO_API shardio_file shardio_memory_file(shardio_memory *memory, const char *name)
{
    static const shardio_file_functions functions = {
        shardio_p_memory_read, shardio_p_memory_write, shardio_p_memory_resize, shardio_p_memory_facts,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    };
    shardio_file file = {&functions, memory, name};
    return file;
}

SHARDIO_API void shardio_memory_free(shardio_memory *memory)
{
    if (!memory->fixed) {
        shardio_p_release(memory->allocator, memory->data, memory->capacity, 16);
        memory->data = NULL;
        memory->capacity = 0;
    }
    memory->size = 0;
}

/* -- any file */

SHARDIO_API shardio_status shardio_file_read(const shardio_file *file, uint64_t offset, void *data, size_t size,
                                             shardio_error *error)
{
    uint8_t *to = (uint8_t *)data;
    shardio_p_no_error(error);
    while (size > 0) {
        size_t ask = (size_t)shardio_p_min(size, SHARDIO_P_LARGEST_TRANSFER), done = 0;
        int code = 0;
        shardio_status status = file->functions->read(file->context, offset, to, ask, &done, &code);
        if (status != SHARDIO_OK) return shardio_p_fail_at(error, status, "read", file->name, offset, code, NULL);
        if (done == 0)
            return shardio_p_fail_at(error, SHARDIO_ERR_TRUNCATED, "read", file->name, offset, 0, "the file ends here");
        if (done > ask) return shardio_p_fail_at(error, SHARDIO_ERR_IO, "read", file->name, offset, 0, "read too much");
        to += done;
        size -= done;
        offset += done;
    }
    return SHARDIO_OK;
}

/* A part of another file, for reading. */
typedef struct shardio_p_window_file {
    shardio_file file;
    uint64_t offset, size;
} shardio_p_window_file;

static inline shardio_status shardio_p_window_read(void *file, uint64_t offset, void *data, size_t size, size_t *done,
                                                   int *code)
{
    const shardio_p_window_file *window = (const shardio_p_window_file *)file;
    *done = 0;
    if (offset >= window->size) return SHARDIO_OK;
    return window->file.functions->read(window->file.context, window->offset + offset, data,
                                        (size_t)shardio_p_min(size, window->size - offset), done, code);
}

static inline shardio_status shardio_p_window_facts(void *file, shardio_file_facts *facts, int *code)
{
    (void)code;
    facts->size = ((const shardio_p_window_file *)file)->size;
    return SHARDIO_OK;
}

static inline void shardio_p_window_hint(void *file, shardio_hint hint, uint64_t offset, uint64_t size)
{
    const shardio_p_window_file *window = (const shardio_p_window_file *)file;
    if (window->file.functions->hint != NULL)
        window->file.functions->hint(window->file.context, hint, window->offset + offset, size);
}

static inline shardio_file shardio_p_file_window(shardio_p_window_file *window, const shardio_file *file,
                                                 uint64_t offset, uint64_t size)
{
    static const shardio_file_functions functions = {
        shardio_p_window_read, NULL, NULL, shardio_p_window_facts, NULL, NULL, NULL, NULL, NULL, shardio_p_window_hint,
        NULL, NULL, NULL
    };
    shardio_file part = {&functions, window, file->name};
    window->file = *file;
    window->offset = offset;
    window->size = size;
    return part;
}

static shardio_status shardio_p_file_facts(const shardio_file *file, shardio_file_facts *facts, shardio_error *error)
{
    int code = 0;
    memset(facts, 0, sizeof *facts);
    shardio_status status = file->functions->facts(file->context, facts, &code);
    if (status == SHARDIO_OK) return SHARDIO_OK;
    return shardio_p_fail_at(error, status, "look at", file->name, SHARDIO_NO_OFFSET, code, NULL);
}

static shardio_status shardio_p_file_close(const shardio_file *file, shardio_close how, bool durable,
                                           shardio_error *error)
{
    int code = 0;
    if (file->functions == NULL || file->functions->close == NULL) return SHARDIO_OK;
    /* closing gives back the memory of the name, so it is copied before */
    shardio_p_fail(error, SHARDIO_OK, how == SHARDIO_CLOSE_PUBLISH ? "publish" : "close", file->name, NULL);
    shardio_status status = file->functions->close(file->context, how, durable, &code);
    if (status == SHARDIO_OK) shardio_p_no_error(error);
    else if (error != NULL) {
        error->status = status;
        error->system_code = code;
    }
    return status;
}

SHARDIO_API void shardio_file_close(const shardio_file *file)
{
    (void)shardio_p_file_close(file, SHARDIO_CLOSE_KEEP, false, NULL);
}

/* Refuses to open without a reader, which would have taken the file over. */
static inline shardio_status shardio_p_no_reader(const shardio_file *file, shardio_error *error)
{
    shardio_status status = shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", file->name, "no reader");
    shardio_file_close(file);
    return status;
}

/* -- the system: two sets of the same small functions, the only place that knows which system it is */

/* Codes for what the system has no number for; no system uses these. */
enum { SHARDIO_P_CODE_LINK = -0x51A4D001, SHARDIO_P_CODE_SPECIAL, SHARDIO_P_CODE_DEFLATED, SHARDIO_P_CODE_PACKED };

static bool shardio_p_own_text(int code, shardio_text *text)
{
    static const char *const texts[] = {
        "a symbolic link leads out of the store, or could", "it is not a regular file",
        "it is deflated: compile with SHARDIO_WITH_ZLIB and link zlib", "it is encrypted, or packed by an unknown method"
    };
    if (code < SHARDIO_P_CODE_LINK || code > SHARDIO_P_CODE_PACKED) return false;
    shardio_text_add(text, texts[code - SHARDIO_P_CODE_LINK]);
    return true;
}

#if SHARDIO_NO_OS
static void shardio_p_system_text(int code, shardio_text *text)
{
    if (shardio_p_own_text(code, text)) return;
    shardio_text_add(text, "code ");
    shardio_text_add_int64(text, code);
}
#else

typedef enum shardio_p_kind {
    SHARDIO_P_NOTHING, SHARDIO_P_REGULAR, SHARDIO_P_DIRECTORY, SHARDIO_P_LINK, SHARDIO_P_SPECIAL
} shardio_p_kind;

/* Takes a name in a directory, what it is (a link is not followed) and its length; false: no more. */
typedef bool (*shardio_p_lister)(void *context, const char *name, shardio_p_kind kind, uint64_t size);

enum { SHARDIO_P_ACCESS_READ, SHARDIO_P_ACCESS_BOTH, SHARDIO_P_ACCESS_WRITE, SHARDIO_P_ACCESS_NEW };

/* A path may have a root: so many bytes at its beginning were named by the caller and are trusted, symbolic links and
   all. What comes behind them may be hostile, never leaves the root, and is no ".." and no empty name. Root 0: all is
   the caller's. */
static bool shardio_p_is_beneath(const char *path, size_t root)
{
    return root > 0 && shardio_p_length(path) > root;
}

#if defined(_WIN32)

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

typedef HANDLE shardio_p_handle;
#define SHARDIO_P_NO_HANDLE INVALID_HANDLE_VALUE
enum { SHARDIO_P_PATH = 4096 };   /* UTF-16 units of a path, on the stack */

static void shardio_p_system_text(int code, shardio_text *text)
{
    char message[200];
    if (shardio_p_own_text(code, text)) return;
    DWORD n = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, (DWORD)code, 0, message,
                             sizeof message, NULL);
    while (n > 0 && (message[n - 1] <= ' ' || message[n - 1] == '.')) n--;
    shardio_text_add_bytes(text, message, n);
    shardio_text_add(text, n > 0 ? ", " : "");
    shardio_text_add_int64(text, code);
}

static shardio_status shardio_p_os_status(DWORD code)
{
    switch (code) {
    case ERROR_SUCCESS: return SHARDIO_OK;
    case ERROR_FILE_NOT_FOUND: case ERROR_PATH_NOT_FOUND: case ERROR_INVALID_NAME: return SHARDIO_ERR_NOT_FOUND;
    case ERROR_FILE_EXISTS: case ERROR_ALREADY_EXISTS: return SHARDIO_ERR_EXISTS;
    case ERROR_ACCESS_DENIED: case ERROR_SHARING_VIOLATION: case ERROR_WRITE_PROTECT: return SHARDIO_ERR_PERMISSION;
    case ERROR_DISK_FULL: case ERROR_HANDLE_DISK_FULL: return SHARDIO_ERR_NO_SPACE;
    case ERROR_NOT_ENOUGH_MEMORY: case ERROR_OUTOFMEMORY: return SHARDIO_ERR_MEMORY;
    default: return SHARDIO_ERR_IO;
    }
}

static shardio_status shardio_p_os_last(int *code)
{
    DWORD last = GetLastError();
    *code = (int)last;
    return last == ERROR_SUCCESS ? SHARDIO_ERR_IO : shardio_p_os_status(last);
}

/* UTF-8 to UTF-16; full paths that are long get the prefix that lifts the limit of 260. */
static bool shardio_p_os_wide(const char *path, wchar_t *wide)
{
    wchar_t raw[SHARDIO_P_PATH];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, raw, SHARDIO_P_PATH) == 0) return false;
    DWORD n = GetFullPathNameW(raw, SHARDIO_P_PATH - 8, wide + 4, NULL);
    if (n == 0 || n >= SHARDIO_P_PATH - 8) return false;
    if (n < 240 || (wide[4] == L'\\' && wide[5] == L'\\')) {
        memmove(wide, wide + 4, (n + 1) * sizeof *wide);
    } else {
        memcpy(wide, L"\\\\?\\", 4 * sizeof *wide);
    }
    return true;
}

/* Whether a name stands for another place: a symbolic link or a mount point, not a file that is only kept elsewhere. */
static bool shardio_p_os_stands_for(const WIN32_FIND_DATAW *found)
{
    bool point = (found->dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
    return point && (found->dwReserved0 & 0x20000000u /* name surrogate */) != 0;
}

static bool shardio_p_os_is_link(const wchar_t *wide)
{
    WIN32_FIND_DATAW found;
    DWORD attributes = GetFileAttributesW(wide);
    if (attributes == INVALID_FILE_ATTRIBUTES || (attributes & FILE_ATTRIBUTE_REPARSE_POINT) == 0) return false;
    HANDLE search = FindFirstFileW(wide, &found);
    if (search == INVALID_HANDLE_VALUE) return true;
    FindClose(search);
    return shardio_p_os_stands_for(&found);
}

/* The path in UTF-16. Beneath a root no name on the way may be a link, nor with `itself` the last one, and none that of
   a device. They are looked at one by one before the path is used: Windows has no call that does both. */
static shardio_status shardio_p_os_name(const char *path, size_t root, bool itself, wchar_t *wide, int *code)
{
    char part[SHARDIO_P_PATH];
    size_t n = shardio_p_length(path);
    if (n >= sizeof part || !shardio_p_os_wide(path, wide)) return SHARDIO_ERR_NOT_FOUND;
    if (!shardio_p_is_beneath(path, root)) return SHARDIO_OK;
    memcpy(part, path, n + 1);
    for (size_t i = root + 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        part[i] = 0;
        if (!shardio_p_os_wide(part, wide)) return SHARDIO_ERR_NOT_FOUND;
        bool device = wide[0] == L'\\' && wide[1] == L'\\' && wide[2] == L'.';
        bool link = (i < n || itself) && !device && shardio_p_os_is_link(wide);
        if (device || link) *code = device ? SHARDIO_P_CODE_SPECIAL : SHARDIO_P_CODE_LINK;
        if (device || link) return device ? SHARDIO_ERR_UNSUPPORTED : SHARDIO_ERR_PERMISSION;
        part[i] = path[i];
    }
    return SHARDIO_OK;
}

static shardio_status shardio_p_os_open(const char *path, size_t root, int access, shardio_p_handle *handle, int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    shardio_status status = shardio_p_os_name(path, root, true, wide, code);
    if (status != SHARDIO_OK) return status;
    DWORD attributes = shardio_p_is_beneath(path, root) ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY)) return SHARDIO_ERR_ARGUMENT;
    DWORD rights = access == SHARDIO_P_ACCESS_READ ? GENERIC_READ : GENERIC_READ | GENERIC_WRITE;
    *handle = CreateFileW(wide, rights, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                          access == SHARDIO_P_ACCESS_NEW ? CREATE_NEW : OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    return *handle == INVALID_HANDLE_VALUE ? shardio_p_os_last(code) : SHARDIO_OK;
}

static shardio_status shardio_p_os_transfer(shardio_p_handle handle, bool write, uint64_t offset, void *data,
                                            size_t size, size_t *done, int *code)
{
    OVERLAPPED at;
    DWORD n = 0, ask = (DWORD)shardio_p_min(size, SHARDIO_P_LARGEST_TRANSFER);
    memset(&at, 0, sizeof at);
    at.Offset = (DWORD)offset;
    at.OffsetHigh = (DWORD)(offset >> 32);
    BOOL fine = write ? WriteFile(handle, data, ask, &n, &at) : ReadFile(handle, data, ask, &n, &at);
    *done = n;
    if (fine || (!write && GetLastError() == ERROR_HANDLE_EOF)) return SHARDIO_OK;
    return shardio_p_os_last(code);
}

static bool shardio_p_os_refuses_direct(int code)
{
    return code == ERROR_INVALID_PARAMETER || code == ERROR_NOT_SUPPORTED || code == ERROR_INVALID_FUNCTION;
}

static shardio_status shardio_p_os_read(shardio_p_handle handle, bool stream, uint64_t offset, void *data, size_t size,
                                        size_t *done, int *code)
{
    (void)stream;
    return shardio_p_os_transfer(handle, false, offset, data, size, done, code);
}

static shardio_status shardio_p_os_write(shardio_p_handle handle, bool stream, uint64_t offset, const void *data,
                                         size_t size, size_t *done, int *code)
{
    (void)stream;
    return shardio_p_os_transfer(handle, true, offset, (void *)(uintptr_t)data, size, done, code);
}

static shardio_status shardio_p_os_resize(shardio_p_handle handle, uint64_t size, int *code)
{
    FILE_END_OF_FILE_INFO end;
    end.EndOfFile.QuadPart = (LONGLONG)size;
    return SetFileInformationByHandle(handle, FileEndOfFileInfo, &end, sizeof end) ? SHARDIO_OK
           : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_sync(shardio_p_handle handle, int *code)
{
    return FlushFileBuffers(handle) ? SHARDIO_OK : shardio_p_os_last(code);
}

/* Bytes that the file system of a file has left for us; UINT64_MAX: not known. */
static uint64_t shardio_p_os_room(shardio_p_handle handle)
{
    wchar_t path[SHARDIO_P_PATH];
    ULARGE_INTEGER room;
    DWORD n = GetFinalPathNameByHandleW(handle, path, SHARDIO_P_PATH, 0);
    while (n > 0 && n < SHARDIO_P_PATH && path[n - 1] != L'\\') n--;   /* the directory */
    if (n == 0 || n >= SHARDIO_P_PATH) return UINT64_MAX;
    path[n] = 0;
    return GetDiskFreeSpaceExW(path, &room, NULL, NULL) ? room.QuadPart : UINT64_MAX;
}

/* Locks a byte that no file has, so that nobody who reads is kept out. */
static shardio_status shardio_p_os_lock(shardio_p_handle handle, int *code)
{
    OVERLAPPED at;
    memset(&at, 0, sizeof at);
    at.Offset = at.OffsetHigh = 0x7FFFFFFE;
    if (LockFileEx(handle, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)) return SHARDIO_OK;
    return GetLastError() == ERROR_LOCK_VIOLATION ? SHARDIO_ERR_LOCKED : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_facts(shardio_p_handle handle, shardio_file_facts *facts, int *code)
{
    BY_HANDLE_FILE_INFORMATION info;
    DWORD type = GetFileType(handle);
    if (type != FILE_TYPE_DISK) {
        facts->special = true;
        facts->stream = true;
        return SHARDIO_OK;
    }
    if (!GetFileInformationByHandle(handle, &info)) return shardio_p_os_last(code);
    facts->size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    facts->identity[0] = info.dwVolumeSerialNumber;
    facts->identity[1] = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow;
    facts->identity[2] = (uint64_t)info.ftLastWriteTime.dwHighDateTime << 32 | info.ftLastWriteTime.dwLowDateTime;
    return SHARDIO_OK;
}

static void shardio_p_os_alignment(shardio_p_handle handle, shardio_file_facts *facts)
{
    FILE_STORAGE_INFO storage;
    facts->memory_alignment = facts->offset_alignment = facts->length_alignment = SHARDIO_P_DEFAULT_BLOCK;
    if (GetFileInformationByHandleEx(handle, FileStorageInfo, &storage, sizeof storage)) {
        DWORD sector = storage.PhysicalBytesPerSectorForPerformance;
        if (sector > SHARDIO_P_DEFAULT_BLOCK && sector <= SHARDIO_P_MAX_BLOCK && (sector & (sector - 1)) == 0)
            facts->memory_alignment = facts->offset_alignment = facts->length_alignment = sector;
    }
}

/* Whether a file is buffered is decided when it is opened: open it again. */
static shardio_status shardio_p_os_set_direct(shardio_p_handle *handle, bool direct, int *code)
{
    HANDLE other = ReOpenFile(*handle, GENERIC_READ | GENERIC_WRITE,
                              FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                              direct ? FILE_FLAG_NO_BUFFERING : 0);
    if (other == INVALID_HANDLE_VALUE) {
        shardio_p_os_last(code);
        return SHARDIO_ERR_DIRECT;
    }
    CloseHandle(*handle);
    *handle = other;
    return SHARDIO_OK;
}

static void shardio_p_os_hint(shardio_p_handle handle, shardio_hint hint, uint64_t offset, uint64_t size)
{
    (void)handle, (void)hint, (void)offset, (void)size;
}

static shardio_status shardio_p_os_close(shardio_p_handle handle, int *code)
{
    return CloseHandle(handle) ? SHARDIO_OK : shardio_p_os_last(code);
}

/* What bears this name, and its length. Nothing: SHARDIO_OK, too. */
static shardio_status shardio_p_os_look(const char *path, size_t root, shardio_p_kind *kind, uint64_t *size, int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    WIN32_FILE_ATTRIBUTE_DATA data;
    *kind = SHARDIO_P_NOTHING;
    *size = 0;
    shardio_status status = shardio_p_os_name(path, root, true, wide, code);
    if (status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
    if (status != SHARDIO_OK || !GetFileAttributesExW(wide, GetFileExInfoStandard, &data)) return status;
    *size = (uint64_t)data.nFileSizeHigh << 32 | data.nFileSizeLow;
    *kind = data.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY ? SHARDIO_P_DIRECTORY :
            data.dwFileAttributes & FILE_ATTRIBUTE_DEVICE ? SHARDIO_P_SPECIAL : SHARDIO_P_REGULAR;
    return SHARDIO_OK;
}

static size_t shardio_p_os_read_link(const char *path, char *target, size_t size)
{
    (void)path, (void)target, (void)size;
    return 0;
}

static shardio_status shardio_p_os_rename(const char *from, const char *to, size_t root, bool replace, int *code)
{
    wchar_t wide_from[SHARDIO_P_PATH], wide_to[SHARDIO_P_PATH];
    shardio_status status = shardio_p_os_name(from, root, true, wide_from, code);
    if (status == SHARDIO_OK) status = shardio_p_os_name(to, root, true, wide_to, code);
    if (status != SHARDIO_OK) return status;
    return MoveFileExW(wide_from, wide_to, replace ? MOVEFILE_REPLACE_EXISTING : 0) ? SHARDIO_OK
           : shardio_p_os_last(code);
}

/* Gives a directory another name, maybe in another directory. */
static inline shardio_status shardio_p_os_move(const char *from, const char *to, size_t root, int *code)
{
    return shardio_p_os_rename(from, to, root, false, code);
}

static shardio_status shardio_p_os_remove(const char *path, size_t root, bool directory, int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    shardio_status status = shardio_p_os_name(path, root, directory, wide, code);
    if (status != SHARDIO_OK) return status;
    return (directory ? RemoveDirectoryW(wide) : DeleteFileW(wide)) ? SHARDIO_OK : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_make_directory(const char *path, size_t root, int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    shardio_status status = shardio_p_os_name(path, root, true, wide, code);
    if (status != SHARDIO_OK) return status;
    return CreateDirectoryW(wide, NULL) ? SHARDIO_OK : shardio_p_os_last(code);
}

/* Windows has no way to sync a directory; NTFS logs its changes in order. */
static shardio_status shardio_p_os_sync_directory(const char *path, size_t root, int *code)
{
    (void)path, (void)root, (void)code;
    return SHARDIO_OK;
}

static uint64_t shardio_p_os_noise(void)
{
    LARGE_INTEGER ticks;
    QueryPerformanceCounter(&ticks);
    return (uint64_t)ticks.QuadPart ^ (uint64_t)GetCurrentProcessId() << 40 ^ (uint64_t)GetCurrentThreadId() << 20;
}

/* Calls `each` for the names in a directory, until it returns false. */
static inline shardio_status shardio_p_os_list(const char *path, size_t root, shardio_p_lister each, void *context,
                                               int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    WIN32_FIND_DATAW found;
    size_t n = 0;
    bool more = true;
    shardio_status status = shardio_p_os_name(path, root, true, wide, code);
    if (status != SHARDIO_OK) return status;
    while (wide[n] != 0) n++;
    if (n + 3 > SHARDIO_P_PATH) return SHARDIO_ERR_NOT_FOUND;
    memcpy(wide + n, L"\\*", 3 * sizeof *wide);
    HANDLE search = FindFirstFileW(wide, &found);
    if (search == INVALID_HANDLE_VALUE) return shardio_p_os_last(code);
    do {
        char name[1024];
        bool dots = found.cFileName[0] == '.' &&
                    (found.cFileName[1] == 0 || (found.cFileName[1] == '.' && found.cFileName[2] == 0));
        bool is_directory = (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
        shardio_p_kind kind = is_directory ? SHARDIO_P_DIRECTORY : SHARDIO_P_REGULAR;
        if (shardio_p_os_stands_for(&found)) kind = SHARDIO_P_LINK;
        if (!dots && WideCharToMultiByte(CP_UTF8, 0, found.cFileName, -1, name, sizeof name, NULL, NULL) > 0)
            more = each(context, name, kind, (uint64_t)found.nFileSizeHigh << 32 | found.nFileSizeLow);
    } while (more && FindNextFileW(search, &found));
    FindClose(search);
    return SHARDIO_OK;
}

static bool shardio_p_is_separator(char c)
{
    return c == '/' || c == '\\';
}

#else /* POSIX */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

/* 64-bit offsets, in 32-bit programs too; if this fails, compile with -D_FILE_OFFSET_BITS=64. */
typedef char shardio_p_needs_64_bit_offsets[sizeof(off_t) == 8 ? 1 : -1];

typedef int shardio_p_handle;
#define SHARDIO_P_NO_HANDLE (-1)
enum { SHARDIO_P_PATH = 4096 };

#if defined(O_DIRECT)
#define SHARDIO_P_O_DIRECT O_DIRECT
#elif defined(__O_DIRECT)
#define SHARDIO_P_O_DIRECT __O_DIRECT   /* glibc, when _GNU_SOURCE came too late to see the usual name */
#else
#define SHARDIO_P_O_DIRECT 0
#endif

static void shardio_p_system_text(int code, shardio_text *text)
{
    if (shardio_p_own_text(code, text)) return;
    shardio_text_add(text, strerror(code));
    shardio_text_add(text, ", ");
    shardio_text_add_int64(text, code);
}

static shardio_status shardio_p_os_status(int code)
{
    switch (code) {
    case ENOENT: case ENOTDIR: return SHARDIO_ERR_NOT_FOUND;
    case EEXIST: return SHARDIO_ERR_EXISTS;
    case EACCES: case EPERM: case EROFS: return SHARDIO_ERR_PERMISSION;
    case ENOSPC: case EDQUOT: case EFBIG: return SHARDIO_ERR_NO_SPACE;
    case ENOMEM: return SHARDIO_ERR_MEMORY;
    default: return SHARDIO_ERR_IO;
    }
}

static shardio_status shardio_p_os_last(int *code)
{
    *code = errno;
    return shardio_p_os_status(errno);
}

/* A directory that is only passed through needs no right to be read. */
#if defined(O_PATH)
#define SHARDIO_P_O_ENTER (O_PATH | O_DIRECTORY | O_CLOEXEC)
#elif defined(O_SEARCH)
#define SHARDIO_P_O_ENTER (O_SEARCH | O_DIRECTORY | O_CLOEXEC)
#else
#define SHARDIO_P_O_ENTER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#endif
#if defined(O_LARGEFILE)
#define SHARDIO_P_O_LARGE O_LARGEFILE   /* which open() adds by itself, openat2 not */
#else
#define SHARDIO_P_O_LARGE 0
#endif

static int shardio_p_os_openat(int directory, const char *name, int flags)
{
    int handle;
    do handle = openat(directory, name, flags, 0666);
    while (handle < 0 && errno == EINTR);
    return handle;
}

/* Opens `names` below a directory and follows no symbolic link at all: then none leads out (EXDEV). Cuts `names` up. */
static int shardio_p_os_walk(int base, char *names, int flags)
{
    for (int at = base;;) {
        struct stat s;
        char *end = strchr(names, '/');
        if (end != NULL) *end = 0;
        int next = shardio_p_os_openat(at, names, (end != NULL ? SHARDIO_P_O_ENTER : flags) | O_NOFOLLOW);
        int failed = errno;
        if (next < 0 && fstatat(at, names, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(s.st_mode)) failed = EXDEV;
        if (at != base) (void)close(at);
        errno = failed;
        if (next < 0 || end == NULL) return next;
        at = next;
        names = end + 1;
    }
}

/* The same, but links that stay inside are followed, where the system looks after that (Linux 5.6). EAGAIN: a file is
   busy, or somebody renamed something while ".." in a link was followed. */
static int shardio_p_os_resolve(int base, char *names, int flags)
{
#if defined(__linux__) && defined(SYS_openat2)
    uint64_t how[3];   /* struct open_how: flags, mode, resolve */
    int handle = -1;
    how[0] = (uint64_t)flags;
    how[1] = flags & O_CREAT ? 0666 : 0;
    how[2] = 0x08;     /* RESOLVE_BENEATH */
    for (int tries = 0; tries < 32; tries++) {
        handle = (int)syscall(SYS_openat2, base, names, how, sizeof how);
        if (handle >= 0 || (errno != EINTR && errno != EAGAIN)) break;
    }
    if (handle >= 0 || (errno != ENOSYS && errno != EPERM)) return handle;
#endif
    return shardio_p_os_walk(base, names, flags);
}

/* Opens the first `length` bytes of a path without leaving its root, which they reach at least. */
static shardio_status shardio_p_os_open_beneath(const char *path, size_t length, size_t root, int flags,
                                                shardio_p_handle *handle, int *code)
{
    char names[SHARDIO_P_PATH];
    *handle = -1;
    if (length >= sizeof names) return SHARDIO_ERR_NOT_FOUND;
    memcpy(names, path, length);
    names[length] = names[root] = 0;
    int base = shardio_p_os_openat(AT_FDCWD, names, length > root ? SHARDIO_P_O_ENTER : flags);
    if (base < 0) return shardio_p_os_last(code);
    *handle = length > root ? shardio_p_os_resolve(base, names + root + 1, flags) : base;
    if (length == root) return SHARDIO_OK;
    int failed = errno;
    (void)close(base);
    if (*handle >= 0) return SHARDIO_OK;
    *code = failed == EXDEV ? SHARDIO_P_CODE_LINK : failed == ENXIO ? SHARDIO_P_CODE_SPECIAL : failed;
    if (failed == EXDEV || failed == ELOOP) return SHARDIO_ERR_PERMISSION;
    if (failed == EISDIR) return SHARDIO_ERR_ARGUMENT;
    return failed == ENXIO ? SHARDIO_ERR_UNSUPPORTED : shardio_p_os_status(failed);
}

/* Where the ...at() calls find a path: the path itself, or beneath a root its last name in a directory that is open. */
typedef struct shardio_p_place {
    int directory;
    const char *name;
} shardio_p_place;

static shardio_status shardio_p_os_enter(const char *path, size_t root, shardio_p_place *at, int *code)
{
    at->directory = AT_FDCWD;
    at->name = path;
    if (!shardio_p_is_beneath(path, root)) return SHARDIO_OK;
    at->name = strrchr(path, '/') + 1;
    size_t parent = (size_t)(at->name - path) - 1;
    return shardio_p_os_open_beneath(path, parent, root, SHARDIO_P_O_ENTER, &at->directory, code);
}

/* Ends it after a call that returned `result`. */
static shardio_status shardio_p_os_leave(const shardio_p_place *at, int result, int *code)
{
    shardio_status status = result < 0 ? shardio_p_os_last(code) : SHARDIO_OK;
    if (at->directory != AT_FDCWD) (void)close(at->directory);
    return status;
}

static shardio_p_kind shardio_p_os_kind(const struct stat *s)
{
    if (S_ISDIR(s->st_mode)) return SHARDIO_P_DIRECTORY;
    if (S_ISLNK(s->st_mode)) return SHARDIO_P_LINK;
    return S_ISREG(s->st_mode) ? SHARDIO_P_REGULAR : SHARDIO_P_SPECIAL;
}

enum { SHARDIO_P_O_PATIENT = O_CLOEXEC | O_NOCTTY, SHARDIO_P_O_SOON = O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

/* What bears this name, and its length. Nothing: SHARDIO_OK, too. Beneath a root a link counts as what it leads to. */
static shardio_status shardio_p_os_look(const char *path, size_t root, shardio_p_kind *kind, uint64_t *size, int *code)
{
    struct stat s;
    shardio_p_place at;
    shardio_p_handle handle;
    int ignored = 0, result;
    *kind = SHARDIO_P_NOTHING;
    *size = 0;
    shardio_status status = shardio_p_os_enter(path, root, &at, code);
    if (status == SHARDIO_OK) {
        result = fstatat(at.directory, at.name, &s, at.directory == AT_FDCWD ? 0 : AT_SYMLINK_NOFOLLOW);
        if (shardio_p_os_leave(&at, result, &ignored) != SHARDIO_OK) return SHARDIO_OK;
        if (S_ISLNK(s.st_mode)) {
            size_t n = shardio_p_length(path);
            status = shardio_p_os_open_beneath(path, n, root, O_RDONLY | SHARDIO_P_O_SOON, &handle, code);
            if (status == SHARDIO_OK && fstat(handle, &s) != 0) status = shardio_p_os_last(code);
            if (handle >= 0) (void)close(handle);
        }
    }
    if (status == SHARDIO_ERR_NOT_FOUND) *code = 0;
    if (status != SHARDIO_OK) return status == SHARDIO_ERR_NOT_FOUND ? SHARDIO_OK : status;
    *kind = shardio_p_os_kind(&s);
    *size = (uint64_t)s.st_size;
    return SHARDIO_OK;
}

/* Beneath a root nothing is waited for: what looks like a value may be a pipe. A file that another program has leased
   is an exception. */
static shardio_status shardio_p_os_open(const char *path, size_t root, int access, shardio_p_handle *handle, int *code)
{
    static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_CREAT | O_EXCL};
    int how = flags[access] | SHARDIO_P_O_LARGE;
    size_t n = shardio_p_length(path);
    shardio_p_kind kind;
    uint64_t size;
    int ignored = 0;
    if (!shardio_p_is_beneath(path, root)) {
        do *handle = open(path, flags[access] | O_CLOEXEC, 0666);
        while (*handle < 0 && errno == EINTR);
        return *handle < 0 ? shardio_p_os_last(code) : SHARDIO_OK;
    }
    shardio_status status = shardio_p_os_open_beneath(path, n, root, how | SHARDIO_P_O_SOON, handle, code);
    if (status == SHARDIO_OK || *code != EAGAIN) return status;
    if (shardio_p_os_look(path, root, &kind, &size, &ignored) != SHARDIO_OK || kind != SHARDIO_P_REGULAR) return status;
    return shardio_p_os_open_beneath(path, n, root, how | SHARDIO_P_O_PATIENT, handle, code);
}

static shardio_status shardio_p_os_read(shardio_p_handle handle, bool stream, uint64_t offset, void *data, size_t size,
                                        size_t *done, int *code)
{
    ssize_t n;
    size = (size_t)shardio_p_min(size, SHARDIO_P_LARGEST_TRANSFER);
    do n = stream ? read(handle, data, size) : pread(handle, data, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    *done = n > 0 ? (size_t)n : 0;
    return n < 0 ? shardio_p_os_last(code) : SHARDIO_OK;
}

static shardio_status shardio_p_os_write(shardio_p_handle handle, bool stream, uint64_t offset, const void *data,
                                         size_t size, size_t *done, int *code)
{
    ssize_t n;
    size = (size_t)shardio_p_min(size, SHARDIO_P_LARGEST_TRANSFER);
    do n = stream ? write(handle, data, size) : pwrite(handle, data, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    *done = n > 0 ? (size_t)n : 0;
    return n < 0 ? shardio_p_os_last(code) : SHARDIO_OK;
}

static bool shardio_p_os_refuses_direct(int code)
{
    return code == EINVAL || code == EOPNOTSUPP || code == ENOTSUP || code == EPERM;
}

static shardio_status shardio_p_os_resize(shardio_p_handle handle, uint64_t size, int *code)
{
    int result;
    do result = ftruncate(handle, (off_t)size);
    while (result < 0 && errno == EINTR);
    return result < 0 ? shardio_p_os_last(code) : SHARDIO_OK;
}

/* Devices and some file systems have nothing to sync and say so; a real failure must not be tried again, since the
   system forgets the error with the first report. */
static shardio_status shardio_p_os_sync(shardio_p_handle handle, int *code)
{
    int result;
#if defined(F_FULLFSYNC)
    if (fcntl(handle, F_FULLFSYNC) == 0) return SHARDIO_OK;
    if (errno != ENOTSUP && errno != EINVAL && errno != ENOTTY) return shardio_p_os_last(code);
#endif
    do result = fsync(handle);
    while (result < 0 && errno == EINTR);
    if (result == 0 || errno == EINVAL || errno == ENOTSUP) return SHARDIO_OK;
    return shardio_p_os_last(code);
}

/* Bytes that the file system of a file has left for us; UINT64_MAX: not known. */
static uint64_t shardio_p_os_room(shardio_p_handle handle)
{
    struct statvfs s;
    return fstatvfs(handle, &s) == 0 ? (uint64_t)s.f_bavail * s.f_frsize : UINT64_MAX;
}

/* For this open file alone: a lock of fcntl would vanish when any other descriptor of the process on it is closed. */
static shardio_status shardio_p_os_lock(shardio_p_handle handle, int *code)
{
    int result;
    do result = flock(handle, LOCK_EX | LOCK_NB);
    while (result < 0 && errno == EINTR);
    if (result == 0 || errno == ENOSYS || errno == ENOTSUP || errno == ENOLCK) return SHARDIO_OK;   /* it has no locks */
    return errno == EWOULDBLOCK ? SHARDIO_ERR_LOCKED : shardio_p_os_last(code);
}

#if defined(__linux__) && defined(SYS_statx)
/* STATX_DIOALIGN (Linux 6.1), by number because headers older than the kernel do not name it. False: no answer. */
static bool shardio_p_os_direct_alignment(shardio_p_handle handle, uint32_t *memory, uint32_t *offset)
{
    uint64_t buffer[64];   /* struct statx, 256 bytes with room to grow; stx_mask at 0, stx_dio_* at 152 and 156 */
    uint32_t mask;
    memset(buffer, 0, sizeof buffer);
    if (syscall(SYS_statx, handle, "", 0x1000 /* AT_EMPTY_PATH */, 0x2000u /* STATX_DIOALIGN */, buffer) != 0) return false;
    memcpy(&mask, buffer, sizeof mask);
    if ((mask & 0x2000u) == 0) return false;
    memcpy(memory, (const uint8_t *)buffer + 152, sizeof *memory);
    memcpy(offset, (const uint8_t *)buffer + 156, sizeof *offset);
    return true;
}
#else
static bool shardio_p_os_direct_alignment(shardio_p_handle handle, uint32_t *memory, uint32_t *offset)
{
    (void)handle, (void)memory, (void)offset;
    return false;
}
#endif

static bool shardio_p_is_block(uint64_t size)
{
    return size >= 512 && size <= SHARDIO_P_MAX_BLOCK && (size & (size - 1)) == 0;
}

static void shardio_p_os_alignment(shardio_p_handle handle, shardio_file_facts *facts)
{
    struct statvfs system;
    uint64_t block = SHARDIO_P_DEFAULT_BLOCK;
    uint32_t memory = 0, offset = 0;
    if (fstatvfs(handle, &system) == 0 && shardio_p_is_block(system.f_bsize)) block = system.f_bsize;
    if (!shardio_p_os_direct_alignment(handle, &memory, &offset)) memory = offset = (uint32_t)block;
    else if (memory == 0 || offset == 0) return;   /* the system says that it cannot */
    facts->memory_alignment = memory;
    facts->offset_alignment = offset;
    facts->length_alignment = (uint32_t)shardio_p_max(block, offset);
}

/* When the file or what the system says of it changed: a rename counts, a time of modification that was set does not hide. */
static uint64_t shardio_p_os_changed(const struct stat *s)
{
#if defined(__APPLE__)
    return (uint64_t)s->st_ctimespec.tv_sec * 1000000000u + (uint64_t)s->st_ctimespec.tv_nsec;
#else
    return (uint64_t)s->st_ctim.tv_sec * 1000000000u + (uint64_t)s->st_ctim.tv_nsec;
#endif
}

static shardio_status shardio_p_os_facts(shardio_p_handle handle, shardio_file_facts *facts, int *code)
{
    struct stat s;
    if (fstat(handle, &s) != 0) return shardio_p_os_last(code);
    facts->special = !S_ISREG(s.st_mode);
    facts->stream = facts->special && lseek(handle, 0, SEEK_CUR) < 0;
    if (facts->special) return SHARDIO_OK;
    facts->size = (uint64_t)s.st_size;
    /* a file that was replaced or removed while open has no name left: then it is another one */
    facts->identity[0] = s.st_nlink > 0 ? (uint64_t)s.st_dev + 1 : 0;
    facts->identity[1] = (uint64_t)s.st_ino;
    facts->identity[2] = shardio_p_os_changed(&s);
    return SHARDIO_OK;
}

/* Set after the open, because some file systems fail an open with the flag. */
static shardio_status shardio_p_os_set_direct(shardio_p_handle *handle, bool direct, int *code)
{
#if defined(F_NOCACHE)
    if (fcntl(*handle, F_NOCACHE, direct ? 1 : 0) == 0) return SHARDIO_OK;
#else
    int flags = fcntl(*handle, F_GETFL);
    if (SHARDIO_P_O_DIRECT == 0) {
        *code = ENOTSUP;
        return direct ? SHARDIO_ERR_DIRECT : SHARDIO_OK;
    }
    flags = direct ? flags | SHARDIO_P_O_DIRECT : flags & ~SHARDIO_P_O_DIRECT;
    if (flags != -1 && fcntl(*handle, F_SETFL, flags) == 0) return SHARDIO_OK;
#endif
    *code = errno;
    return SHARDIO_ERR_DIRECT;
}

static void shardio_p_os_hint(shardio_p_handle handle, shardio_hint hint, uint64_t offset, uint64_t size)
{
#if defined(__linux__)
#if defined(SYNC_FILE_RANGE_WRITE)
    const unsigned wait = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (hint == SHARDIO_HINT_WRITE_BACK)
        (void)sync_file_range(handle, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
    if (hint == SHARDIO_HINT_DROP) (void)sync_file_range(handle, (off_t)offset, (off_t)size, wait);
#endif
    if (hint == SHARDIO_HINT_DROP) (void)posix_fadvise(handle, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
    if (hint == SHARDIO_HINT_WILL_NEED) (void)posix_fadvise(handle, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
#else
    (void)handle, (void)hint, (void)offset, (void)size;
#endif
}

/* After EINTR the descriptor is gone on Linux and unspecified elsewhere: never close twice. */
static shardio_status shardio_p_os_close(shardio_p_handle handle, int *code)
{
    return close(handle) == 0 || errno == EINTR ? SHARDIO_OK : shardio_p_os_last(code);
}

/* Length of what a symbolic link says, cut at `size`; 0: it is none. */
static size_t shardio_p_os_read_link(const char *path, char *target, size_t size)
{
    ssize_t n = readlink(path, target, size - 1);
    target[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

/* Both names are in one directory. */
static shardio_status shardio_p_os_rename(const char *from, const char *to, size_t root, bool replace, int *code)
{
    shardio_p_place at;
    shardio_status status = shardio_p_os_enter(to, root, &at, code);
    if (status != SHARDIO_OK) return status;
    from += at.name - to;
    if (replace) return shardio_p_os_leave(&at, renameat(at.directory, from, at.directory, at.name), code);
#if defined(SYS_renameat2)
    int renamed = (int)syscall(SYS_renameat2, at.directory, from, at.directory, at.name, 1u /* RENAME_NOREPLACE */);
    if (renamed == 0 || (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP))
        return shardio_p_os_leave(&at, renamed, code);
#endif
    /* refuses an existing name in one step, too */
    int linked = linkat(at.directory, from, at.directory, at.name, 0);
    return shardio_p_os_leave(&at, linked == 0 ? unlinkat(at.directory, from, 0) : linked, code);
}

/* Gives a directory another name, maybe in another directory. Where the system cannot refuse a name that is taken in the
   same step, it still refuses a directory that holds something. */
static inline shardio_status shardio_p_os_move(const char *from, const char *to, size_t root, int *code)
{
    shardio_p_place at_from, at_to;
    int moved = -1, ignored = 0;
    shardio_status status = shardio_p_os_enter(from, root, &at_from, code);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_os_enter(to, root, &at_to, code);
    if (status == SHARDIO_OK) {
#if defined(SYS_renameat2)
        moved = (int)syscall(SYS_renameat2, at_from.directory, at_from.name, at_to.directory, at_to.name, 1u);
        if (moved != 0 && (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP))
#endif
            moved = renameat(at_from.directory, at_from.name, at_to.directory, at_to.name);
        if (moved != 0 && errno == ENOTEMPTY) errno = EEXIST;
        status = shardio_p_os_leave(&at_to, moved, code);
    }
    (void)shardio_p_os_leave(&at_from, 0, &ignored);
    return status;
}

static shardio_status shardio_p_os_remove(const char *path, size_t root, bool directory, int *code)
{
    shardio_p_place at;
    shardio_status status = shardio_p_os_enter(path, root, &at, code);
    if (status != SHARDIO_OK) return status;
    return shardio_p_os_leave(&at, unlinkat(at.directory, at.name, directory ? AT_REMOVEDIR : 0), code);
}

static shardio_status shardio_p_os_make_directory(const char *path, size_t root, int *code)
{
    shardio_p_place at;
    shardio_status status = shardio_p_os_enter(path, root, &at, code);
    if (status != SHARDIO_OK) return status;
    return shardio_p_os_leave(&at, mkdirat(at.directory, at.name, 0777), code);
}

static shardio_status shardio_p_os_sync_directory(const char *path, size_t root, int *code)
{
    shardio_p_handle handle;
    int ignored = 0;
    shardio_status status = shardio_p_os_open(path, root, SHARDIO_P_ACCESS_READ, &handle, code);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_os_sync(handle, code);
    (void)shardio_p_os_close(handle, &ignored);   /* nothing was written through it */
    return status;
}

static uint64_t shardio_p_os_noise(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + ((uint64_t)getpid() << 40);
}

/* Calls `each` for the names in a directory, until it returns false. */
static inline shardio_status shardio_p_os_list(const char *path, size_t root, shardio_p_lister each, void *context,
                                               int *code)
{
    shardio_p_handle handle;
    const struct dirent *entry;
    struct stat s;
    bool more = true;
    int ignored = 0;
    shardio_status status = shardio_p_os_open(path, root, SHARDIO_P_ACCESS_READ, &handle, code);
    if (status != SHARDIO_OK) return status;
    DIR *directory = fdopendir(handle);
    if (directory == NULL) {
        status = shardio_p_os_last(code);
        (void)shardio_p_os_close(handle, &ignored);
        return status;
    }
    errno = 0;
    while (more && (entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
        if (fstatat(handle, name, &s, AT_SYMLINK_NOFOLLOW) == 0)   /* or it was removed meanwhile */
            more = each(context, name, shardio_p_os_kind(&s), (uint64_t)s.st_size);
        errno = 0;
    }
    int failed = more ? errno : 0;
    (void)closedir(directory);
    *code = failed;
    return failed != 0 ? shardio_p_os_status(failed) : SHARDIO_OK;
}

static bool shardio_p_is_separator(char c)
{
    return c == '/';
}

#endif /* POSIX */

/* -- the system's files, on top of these functions */

#define SHARDIO_P_TEMPORARY ".shardio-tmp"
enum {
    SHARDIO_P_TAG = 16,                                              /* hexadecimal digits of a temporary name */
    SHARDIO_P_SUFFIX = 1 + SHARDIO_P_TAG + (int)sizeof SHARDIO_P_TEMPORARY - 1,
    SHARDIO_P_LONGEST_NAME = 255,                                    /* of one component, on the usual file systems */
    SHARDIO_P_LONGEST_CHAIN = 32                                     /* of symbolic links */
};

typedef struct shardio_p_os_file {
    shardio_p_handle handle;
    int access;
    bool stream, overwrite, direct;
    bool unpublished;         /* it has a temporary name, or was created in place and nobody was told */
    bool lost;                /* the name belongs to somebody else's file now */
    bool aligned;             /* what unbuffered I/O wants was asked for; it stays the same: */
    uint32_t memory_alignment, offset_alignment, length_alignment;
    uint64_t position;        /* of a stream */
    uint64_t identity[2];     /* device and inode */
    const shardio_allocator *allocator;
    size_t size;              /* of this piece of memory */
    size_t root;              /* of the path and the temporary name */
    char *path, *temporary;   /* behind the struct; temporary is empty in place */
    size_t existing;          /* length of the part of the path that was there before */
} shardio_p_os_file;

static const char *shardio_p_os_current_name(const shardio_p_os_file *f)
{
    return f->unpublished && f->temporary[0] != 0 ? f->temporary : f->path;
}

/* The length of the directory part of `path`, without its last separator; 0: the current one. */
static size_t shardio_p_parent_length(const char *path)
{
    size_t n = shardio_p_length(path);
    while (n > 0 && !shardio_p_is_separator(path[n - 1])) n--;
    return n > 1 ? n - 1 : n;
}

/* Syncs the directory that holds `path`. */
static shardio_status shardio_p_sync_parent(const char *path, size_t root, int *code)
{
    char parent[SHARDIO_P_PATH];
    size_t n = shardio_p_parent_length(path);
    if (n >= sizeof parent) return SHARDIO_ERR_NOT_FOUND;
    memcpy(parent, n > 0 ? path : ".", n > 0 ? n : 1);
    parent[n > 0 ? n : 1] = 0;
    return shardio_p_os_sync_directory(parent, root, code);
}

/* Whether there is nothing of this name; or no way to it, which shows when it is made. */
static bool shardio_p_is_nothing(const char *path, size_t root)
{
    shardio_p_kind kind;
    uint64_t size;
    int ignored = 0;
    return shardio_p_os_look(path, root, &kind, &size, &ignored) != SHARDIO_OK || kind == SHARDIO_P_NOTHING;
}

/* Makes the directories that `path` needs. *existing is the length of the part that was there before. */
static shardio_status shardio_p_make_parents(const char *path, size_t root, size_t *existing, int *code)
{
    char parent[SHARDIO_P_PATH];
    size_t whole = shardio_p_parent_length(path), n;
    *existing = whole;
    if (whole == 0) return SHARDIO_OK;
    if (whole >= sizeof parent) return SHARDIO_ERR_NOT_FOUND;
    memcpy(parent, path, whole);
    parent[whole] = 0;
    /* back to the longest part that exists, then forward again */
    for (n = whole; n > 0 && shardio_p_is_nothing(parent, root); parent[n] = 0) n = shardio_p_parent_length(parent);
    *existing = n;
    while (n < whole) {
        parent[n] = path[n];
        for (n++; n < whole && !shardio_p_is_separator(path[n]); n++) parent[n] = path[n];
        parent[n] = 0;
        if (shardio_p_is_separator(parent[n - 1])) continue;
        shardio_status status = shardio_p_os_make_directory(parent, root, code);
        if (status != SHARDIO_OK && status != SHARDIO_ERR_EXISTS) return status;
    }
    return SHARDIO_OK;
}

/* Does something to the directories above `path` that are longer than `existing`, the innermost first. */
static shardio_status shardio_p_each_new_parent(const char *path, size_t root, size_t existing, int *code,
                                                shardio_status (*act)(const char *directory, size_t root, int *code))
{
    char directory[SHARDIO_P_PATH];
    size_t n = shardio_p_parent_length(path);
    shardio_status status = SHARDIO_OK;
    if (n >= sizeof directory) return SHARDIO_ERR_NOT_FOUND;
    memcpy(directory, path, n);
    for (; n > existing && status == SHARDIO_OK; n = shardio_p_parent_length(directory)) {
        directory[n] = 0;
        status = act(directory, root, code);
    }
    return status;
}

static shardio_status shardio_p_remove_directory(const char *path, size_t root, int *code)
{
    return shardio_p_os_remove(path, root, true, code);
}

/* path, shortened so that the name is no longer than a name may be, and ".0123456789abcdef.shardio-tmp". */
static void shardio_p_temporary_name(char *out, const char *path, uint64_t tag)
{
    static const char digits[] = "0123456789abcdef";
    size_t parent = shardio_p_parent_length(path), n = shardio_p_length(path);
    size_t longest = parent + 1 + SHARDIO_P_LONGEST_NAME - SHARDIO_P_SUFFIX;
    if (n > longest) {
        n = longest;
        /* not in the middle of a UTF-8 character */
        while (n > parent && ((unsigned char)path[n] & 0xC0) == 0x80) n--;
    }
    memcpy(out, path, n);
    out[n++] = '.';
    for (int i = 0; i < SHARDIO_P_TAG; i++) out[n++] = digits[tag >> (60 - 4 * i) & 15];
    memcpy(out + n, SHARDIO_P_TEMPORARY, sizeof SHARDIO_P_TEMPORARY);
}

static inline bool shardio_p_is_temporary(const char *name)
{
    size_t n = shardio_p_length(name), suffix = sizeof SHARDIO_P_TEMPORARY - 1;
    return n > suffix && memcmp(name + n - suffix, SHARDIO_P_TEMPORARY, suffix) == 0;
}

static shardio_status shardio_p_osf_read(void *file, uint64_t offset, void *data, size_t size, size_t *done, int *code)
{
    shardio_p_os_file *f = (shardio_p_os_file *)file;
    return shardio_p_os_read(f->handle, f->stream, offset, data, size, done, code);
}

static shardio_status shardio_p_osf_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done,
                                          int *code)
{
    shardio_p_os_file *f = (shardio_p_os_file *)file;
    if (f->stream && offset != f->position) return SHARDIO_ERR_UNSUPPORTED;   /* a stream cannot go back */
    shardio_status status = shardio_p_os_write(f->handle, f->stream, offset, data, size, done, code);
    f->position = offset + *done;
    return status != SHARDIO_OK && f->direct && shardio_p_os_refuses_direct(*code) ? SHARDIO_ERR_DIRECT : status;
}

static shardio_status shardio_p_osf_resize(void *file, uint64_t size, int *code)
{
    return shardio_p_os_resize(((shardio_p_os_file *)file)->handle, size, code);
}

static shardio_status shardio_p_osf_facts(void *file, shardio_file_facts *facts, int *code)
{
    shardio_p_os_file *f = (shardio_p_os_file *)file;
    shardio_status status = shardio_p_os_facts(f->handle, facts, code);
    if (status != SHARDIO_OK || facts->special) return status;
    if (!f->aligned) {
        shardio_p_os_alignment(f->handle, facts);
        f->memory_alignment = facts->memory_alignment;
        f->offset_alignment = facts->offset_alignment;
        f->length_alignment = facts->length_alignment;
        f->aligned = true;
    }
    facts->memory_alignment = f->memory_alignment;
    facts->offset_alignment = f->offset_alignment;
    facts->length_alignment = f->length_alignment;
    return SHARDIO_OK;
}

static shardio_status shardio_p_osf_set_direct(void *file, bool direct, int *code)
{
    shardio_p_os_file *f = (shardio_p_os_file *)file;
    shardio_status status = shardio_p_os_set_direct(&f->handle, direct, code);
    f->direct = direct && status == SHARDIO_OK;
    return status;
}

static shardio_status shardio_p_osf_sync(void *file, int *code)
{
    return shardio_p_os_sync(((shardio_p_os_file *)file)->handle, code);
}

static void shardio_p_osf_hint(void *file, shardio_hint hint, uint64_t offset, uint64_t size)
{
    shardio_p_os_hint(((shardio_p_os_file *)file)->handle, hint, offset, size);
}

static shardio_status shardio_p_osf_publish(void *file, bool durable, int *code)
{
    shardio_p_os_file *f = (shardio_p_os_file *)file;
    if (!f->unpublished) return SHARDIO_OK;
    shardio_status status = SHARDIO_OK;
    if (f->temporary[0] != 0) status = shardio_p_os_rename(f->temporary, f->path, f->root, f->overwrite, code);
    if (status != SHARDIO_OK) return status;
    f->unpublished = false;
    if (durable) status = shardio_p_sync_parent(f->path, f->root, code);
    if (durable && status == SHARDIO_OK)
        status = shardio_p_each_new_parent(f->path, f->root, f->existing, code, shardio_p_sync_parent);
    return status;
}

static shardio_status shardio_p_osf_suspend(void *file, int *code)
{
    shardio_p_os_file *f = (shardio_p_os_file *)file;
    shardio_p_handle handle = f->handle;
    f->handle = SHARDIO_P_NO_HANDLE;
    return shardio_p_os_close(handle, code);
}

static shardio_status shardio_p_osf_resume(void *file, int *code)
{
    shardio_p_os_file *f = (shardio_p_os_file *)file;
    shardio_file_facts facts;
    int ignored = 0;
    shardio_status status = shardio_p_os_open(shardio_p_os_current_name(f), f->root, f->access, &f->handle, code);
    if (status != SHARDIO_OK) return status;
    memset(&facts, 0, sizeof facts);
    status = shardio_p_os_facts(f->handle, &facts, code);
    if (status == SHARDIO_OK && (facts.identity[0] != f->identity[0] || facts.identity[1] != f->identity[1]))
        status = SHARDIO_ERR_CHANGED;   /* somebody else's file bears the name now */
    if (status != SHARDIO_OK) {
        (void)shardio_p_os_close(f->handle, &ignored);
        f->handle = SHARDIO_P_NO_HANDLE;
        f->lost = status == SHARDIO_ERR_CHANGED;
        return status;
    }
    return f->direct ? shardio_p_osf_set_direct(f, true, code) : SHARDIO_OK;
}

static shardio_status shardio_p_osf_close(void *file, shardio_close how, bool durable, int *code)
{
    shardio_p_os_file *f = (shardio_p_os_file *)file;
    shardio_status status = SHARDIO_OK;
    int ignored = 0;
    if (f->handle != SHARDIO_P_NO_HANDLE) status = shardio_p_os_close(f->handle, code);
    if (status == SHARDIO_OK && how == SHARDIO_CLOSE_PUBLISH) status = shardio_p_osf_publish(file, durable, code);
    if (f->unpublished && !f->lost && (how == SHARDIO_CLOSE_DISCARD || status != SHARDIO_OK)) {
        (void)shardio_p_os_remove(shardio_p_os_current_name(f), f->root, false, &ignored);
        (void)shardio_p_each_new_parent(f->path, f->root, f->existing, &ignored, shardio_p_remove_directory);
    }
    shardio_p_release(f->allocator, f, f->size, sizeof(uint64_t));
    return status;
}

static const shardio_file_functions *shardio_p_osf_functions(void)
{
    static const shardio_file_functions functions = {
        shardio_p_osf_read, shardio_p_osf_write, shardio_p_osf_resize, shardio_p_osf_facts, shardio_p_osf_set_direct,
        shardio_p_osf_sync, shardio_p_osf_publish, shardio_p_osf_suspend, shardio_p_osf_resume, shardio_p_osf_hint,
        shardio_p_osf_close, NULL, NULL
    };
    return &functions;
}

static inline uint64_t shardio_p_osf_room(const shardio_file *file)
{
    return shardio_p_os_room(((const shardio_p_os_file *)file->context)->handle);
}

/* Locks a file of the system's against others who lock it, until it is closed. */
static inline shardio_status shardio_p_osf_lock(const shardio_file *file, int *code)
{
    return shardio_p_os_lock(((const shardio_p_os_file *)file->context)->handle, code);
}

SHARDIO_API size_t shardio_file_memory(size_t length)
{
    return sizeof(shardio_p_os_file) + 2 * (length + 1) + SHARDIO_P_SUFFIX;
}

/* Follows the symbolic links that `path` itself is (the system follows those on the way). False: too many. */
static bool shardio_p_resolve(const char *path, char *resolved, size_t size)
{
    char target[SHARDIO_P_PATH];
    if (shardio_p_length(path) >= size) return false;
    memcpy(resolved, path, shardio_p_length(path) + 1);
    for (int i = 0; i < SHARDIO_P_LONGEST_CHAIN; i++) {
        shardio_p_kind kind;
        uint64_t ignored;
        int code = 0;
        size_t n = shardio_p_os_read_link(resolved, target, sizeof target);
        (void)shardio_p_os_look(resolved, 0, &kind, &ignored, &code);
        if (n == 0 || kind == SHARDIO_P_SPECIAL) return true;   /* the name of a pipe behind /dev/stdout is none */
        if (n >= sizeof target - 1) return false;
        size_t keep = shardio_p_is_separator(target[0]) ? 0 : shardio_p_parent_length(resolved);
        if (keep > 0 && !shardio_p_is_separator(resolved[keep - 1])) keep++;   /* the separator behind the directory */
        if (keep + n >= size) return false;
        memcpy(resolved + keep, target, n + 1);
    }
    return false;
}

/* Opens what is no new file: to read, to update, or a device to write. */
static shardio_status shardio_p_osf_open_existing(shardio_p_os_file *f, int access, int *code)
{
    f->access = access;
    return shardio_p_os_open(f->path, f->root, access, &f->handle, code);
}

/* A new file under a name that nobody else has, or in place. */
static shardio_status shardio_p_osf_create(shardio_p_os_file *f, const shardio_open_options *options, bool exists,
                                           int *code)
{
    shardio_status status;
    uint64_t tag = shardio_p_os_noise() ^ (uint64_t)(uintptr_t)f;
    bool parents_made = !options->make_parents;
    if (exists && !f->overwrite) return SHARDIO_ERR_EXISTS;
    if (shardio_p_length(f->path) - shardio_p_parent_length(f->path) > SHARDIO_P_LONGEST_NAME + 1)
        return SHARDIO_ERR_LIMIT;
    for (int tries = 0; tries < 100; tries++) {
        tag = shardio_p_mix(tag + UINT64_C(0x9E3779B97F4A7C15));
        f->temporary[0] = 0;
        if (!options->in_place) shardio_p_temporary_name(f->temporary, f->path, tag);
        const char *name = options->in_place ? f->path : f->temporary;
        int access = options->in_place && exists ? SHARDIO_P_ACCESS_BOTH : SHARDIO_P_ACCESS_NEW;
        status = shardio_p_os_open(name, f->root, access, &f->handle, code);
        if (status == SHARDIO_ERR_NOT_FOUND && !parents_made) {
            parents_made = true;
            status = shardio_p_make_parents(f->path, f->root, &f->existing, code);
            if (status == SHARDIO_OK) continue;
        }
        if (status == SHARDIO_ERR_EXISTS && !options->in_place) continue;
        break;
    }
    f->unpublished = status == SHARDIO_OK;
    f->access = SHARDIO_P_ACCESS_BOTH;
    if (status == SHARDIO_OK && options->in_place && exists) status = shardio_p_os_resize(f->handle, 0, code);
    return status;
}

static shardio_status shardio_p_osf_begin(shardio_p_os_file *f, shardio_open_mode mode,
                                          const shardio_open_options *options, const char **reason, int *code)
{
    shardio_p_kind kind = SHARDIO_P_REGULAR;
    uint64_t size;
    shardio_status status = SHARDIO_OK;
    if (f->root == 0 || mode == SHARDIO_OPEN_CREATE) status = shardio_p_os_look(f->path, f->root, &kind, &size, code);
    if (status != SHARDIO_OK) return status;
    if (kind == SHARDIO_P_DIRECTORY) {
        *reason = "it is a directory";
        return mode == SHARDIO_OPEN_CREATE ? SHARDIO_ERR_EXISTS : SHARDIO_ERR_ARGUMENT;
    }
    if (mode == SHARDIO_OPEN_READ) return shardio_p_osf_open_existing(f, SHARDIO_P_ACCESS_READ, code);
    if (kind == SHARDIO_P_SPECIAL && f->root > 0) return SHARDIO_ERR_EXISTS;
    if (kind == SHARDIO_P_SPECIAL) return shardio_p_osf_open_existing(f, SHARDIO_P_ACCESS_WRITE, code);
    if (mode == SHARDIO_OPEN_UPDATE) return shardio_p_osf_open_existing(f, SHARDIO_P_ACCESS_BOTH, code);
    return shardio_p_osf_create(f, options, kind == SHARDIO_P_REGULAR, code);
}

/* Beneath a root only regular files are opened; what else was found, nothing was done to yet. */
static shardio_status shardio_p_osf_refuse(const shardio_p_os_file *f, int *code)
{
    shardio_p_kind kind;
    uint64_t size;
    shardio_status status = shardio_p_os_look(f->path, f->root, &kind, &size, code);
    if (status != SHARDIO_OK) return status;
    *code = kind == SHARDIO_P_DIRECTORY ? 0 : SHARDIO_P_CODE_SPECIAL;
    return kind == SHARDIO_P_DIRECTORY ? SHARDIO_ERR_ARGUMENT : SHARDIO_ERR_UNSUPPORTED;
}

/* `path` is taken as it is: no symbolic link is followed for the name that a new file gets. */
static shardio_status shardio_p_osf_open(shardio_file *file, const char *path, size_t root, shardio_open_mode mode,
                                         const shardio_open_options *options, const char **reason, int *code)
{
    size_t n = shardio_p_length(path), size = shardio_file_memory(n);
    shardio_file_facts facts;
    memset(file, 0, sizeof *file);
    shardio_p_os_file *f = (shardio_p_os_file *)shardio_p_allocate(options->allocator, size, sizeof(uint64_t));
    if (f == NULL) return SHARDIO_ERR_MEMORY;
    memset(f, 0, sizeof *f);
    f->handle = SHARDIO_P_NO_HANDLE;
    f->existing = SIZE_MAX;
    f->allocator = options->allocator;
    f->size = size;
    f->root = root;
    f->overwrite = options->overwrite;
    f->path = (char *)(f + 1);
    f->temporary = f->path + n + 1;
    memcpy(f->path, path, n + 1);
    f->temporary[0] = 0;
    shardio_status status = shardio_p_osf_begin(f, mode, options, reason, code);
    memset(&facts, 0, sizeof facts);
    if (status == SHARDIO_OK) status = shardio_p_os_facts(f->handle, &facts, code);
    if (status == SHARDIO_OK && facts.special && root > 0) status = shardio_p_osf_refuse(f, code);
    f->stream = facts.stream;
    memcpy(f->identity, facts.identity, sizeof f->identity);
    if (status != SHARDIO_OK) {
        int ignored = 0;
        (void)shardio_p_osf_close(f, SHARDIO_CLOSE_DISCARD, false, &ignored);
        return status;
    }
    file->functions = shardio_p_osf_functions();
    file->context = f;
    file->name = f->path;
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_file_open(shardio_file *file, const char *path, shardio_open_mode mode,
                                             const shardio_open_options *options, shardio_error *error)
{
    static const shardio_open_options defaults = {NULL, false, false, false};
    static const char *const operations[] = {"open", "open for writing", "create"};
    char resolved[SHARDIO_P_PATH];
    const char *reason = NULL, *name = path;
    int code = 0;
    shardio_p_no_error(error);
    if (file == NULL || path == NULL || path[0] == 0 || (unsigned)mode > SHARDIO_OPEN_CREATE)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", path, "a file and a path are needed");
    memset(file, 0, sizeof *file);
    if (mode == SHARDIO_OPEN_CREATE) {   /* a new file replaces what a link leads to, not the link */
        if (!shardio_p_resolve(path, resolved, sizeof resolved))
            return shardio_p_fail(error, SHARDIO_ERR_LIMIT, operations[mode], path,
                                  "the path or a symbolic link is too long");
        name = resolved;
    }
    if (options == NULL) options = &defaults;
    shardio_status status = shardio_p_osf_open(file, name, 0, mode, options, &reason, &code);
    if (status == SHARDIO_OK) return SHARDIO_OK;
    return shardio_p_fail_at(error, status, operations[mode], path, SHARDIO_NO_OFFSET, code, reason);
}

#endif /* !SHARDIO_NO_OS */

/* >>checksum -------------------------------------------------------------------------------------------------- */

static inline uint64_t shardio_p_swap64(uint64_t x)
{
    x = (x & UINT64_C(0x00FF00FF00FF00FF)) << 8 | (x >> 8 & UINT64_C(0x00FF00FF00FF00FF));
    x = (x & UINT64_C(0x0000FFFF0000FFFF)) << 16 | (x >> 16 & UINT64_C(0x0000FFFF0000FFFF));
    return x << 32 | x >> 32;
}

static inline bool shardio_p_machine_is_big(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

static inline uint64_t shardio_p_load64(const void *from, bool big)
{
    uint64_t x;
    memcpy(&x, from, sizeof x);
    return shardio_p_machine_is_big() == big ? x : shardio_p_swap64(x);
}

static inline void shardio_p_store64(void *to, uint64_t x, bool big)
{
    if (shardio_p_machine_is_big() != big) x = shardio_p_swap64(x);
    memcpy(to, &x, sizeof x);
}

static inline uint32_t shardio_p_load32_little(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static inline void shardio_p_store32_little(uint8_t *to, uint32_t x)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(x >> 8 * i);
}

/* The polynomials, bits reversed: bit 31 is x^0. */
#define SHARDIO_P_CRC32C 0x82F63B78u
#define SHARDIO_P_CRC32 0xEDB88320u

/* The tables are linear: entry i is the sum of the entries of its bits, so eight numbers make a table of 256 and the
   compiler does the rest. Table t advances a byte by t more bytes. */
#define SHARDIO_P_CRC_1(i, a, b, c, d, e, f, g, h)                                                                 \
    (((i) & 1 ? a : 0) ^ ((i) & 2 ? b : 0) ^ ((i) & 4 ? c : 0) ^ ((i) & 8 ? d : 0) ^                               \
     ((i) & 16 ? e : 0) ^ ((i) & 32 ? f : 0) ^ ((i) & 64 ? g : 0) ^ ((i) & 128 ? h : 0))
#define SHARDIO_P_CRC_4(i, a, b, c, d, e, f, g, h)                                                                 \
    SHARDIO_P_CRC_1(i, a, b, c, d, e, f, g, h), SHARDIO_P_CRC_1((i) + 1, a, b, c, d, e, f, g, h),                  \
    SHARDIO_P_CRC_1((i) + 2, a, b, c, d, e, f, g, h), SHARDIO_P_CRC_1((i) + 3, a, b, c, d, e, f, g, h)
#define SHARDIO_P_CRC_16(i, a, b, c, d, e, f, g, h)                                                                \
    SHARDIO_P_CRC_4(i, a, b, c, d, e, f, g, h), SHARDIO_P_CRC_4((i) + 4, a, b, c, d, e, f, g, h),                  \
    SHARDIO_P_CRC_4((i) + 8, a, b, c, d, e, f, g, h), SHARDIO_P_CRC_4((i) + 12, a, b, c, d, e, f, g, h)
#define SHARDIO_P_CRC_64(i, a, b, c, d, e, f, g, h)                                                                \
    SHARDIO_P_CRC_16(i, a, b, c, d, e, f, g, h), SHARDIO_P_CRC_16((i) + 16, a, b, c, d, e, f, g, h),               \
    SHARDIO_P_CRC_16((i) + 32, a, b, c, d, e, f, g, h), SHARDIO_P_CRC_16((i) + 48, a, b, c, d, e, f, g, h)
#define SHARDIO_P_CRC_TABLE(a, b, c, d, e, f, g, h)                                                                \
    {SHARDIO_P_CRC_64(0, a, b, c, d, e, f, g, h), SHARDIO_P_CRC_64(64, a, b, c, d, e, f, g, h),                    \
     SHARDIO_P_CRC_64(128, a, b, c, d, e, f, g, h), SHARDIO_P_CRC_64(192, a, b, c, d, e, f, g, h)}

#if defined(SHARDIO_SMALL)
#define SHARDIO_P_CRC_TABLES 1
#else
#define SHARDIO_P_CRC_TABLES 8
#endif

static const uint32_t shardio_p_crc_tables[SHARDIO_P_CRC_TABLES][256] = {
    SHARDIO_P_CRC_TABLE(0xF26B8303u, 0xE13B70F7u, 0xC79A971Fu, 0x8AD958CFu, 0x105EC76Fu, 0x20BD8EDEu, 0x417B1DBCu,
                        0x82F63B78u),
#if SHARDIO_P_CRC_TABLES == 8
    SHARDIO_P_CRC_TABLE(0x13A29877u, 0x274530EEu, 0x4E8A61DCu, 0x9D14C3B8u, 0x3FC5F181u, 0x7F8BE302u, 0xFF17C604u,
                        0xFBC3FAF9u),
    SHARDIO_P_CRC_TABLE(0xA541927Eu, 0x4F6F520Du, 0x9EDEA41Au, 0x38513EC5u, 0x70A27D8Au, 0xE144FB14u, 0xC76580D9u,
                        0x8B277743u),
    SHARDIO_P_CRC_TABLE(0xDD45AAB8u, 0xBF672381u, 0x7B2231F3u, 0xF64463E6u, 0xE964B13Du, 0xD725148Bu, 0xABA65FE7u,
                        0x52A0C93Fu),
    SHARDIO_P_CRC_TABLE(0x38116FACu, 0x7022DF58u, 0xE045BEB0u, 0xC5670B91u, 0x8F2261D3u, 0x1BA8B557u, 0x37516AAEu,
                        0x6EA2D55Cu),
    SHARDIO_P_CRC_TABLE(0xEF306B19u, 0xDB8CA0C3u, 0xB2F53777u, 0x6006181Fu, 0xC00C303Eu, 0x85F4168Du, 0x0E045BEBu,
                        0x1C08B7D6u),
    SHARDIO_P_CRC_TABLE(0x68032CC8u, 0xD0065990u, 0xA5E0C5D1u, 0x4E2DFD53u, 0x9C5BFAA6u, 0x3D5B83BDu, 0x7AB7077Au,
                        0xF56E0EF4u),
    SHARDIO_P_CRC_TABLE(0x493C7D27u, 0x9278FA4Eu, 0x211D826Du, 0x423B04DAu, 0x847609B4u, 0x0D006599u, 0x1A00CB32u,
                        0x34019664u)
#endif
};

/* All of these work on the inner state, the complement of the CRC. */
static uint32_t shardio_p_crc_by_tables(const uint32_t (*tables)[256], uint32_t state, const uint8_t *data, size_t size)
{
#if SHARDIO_P_CRC_TABLES == 8
    for (; size >= 8; data += 8, size -= 8) {
        uint32_t low = state ^ shardio_p_load32_little(data);
        state = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
                tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]] ^ tables[0][data[7]];
    }
#endif
    for (; size > 0; data++, size--) state = tables[0][(state ^ *data) & 255] ^ state >> 8;
    return state;
}

static uint32_t shardio_p_crc32c_tables(uint32_t state, const uint8_t *data, size_t size)
{
    return shardio_p_crc_by_tables(shardio_p_crc_tables, state, data, size);
}

/* The product of two polynomials modulo a third, P. */
static inline uint32_t shardio_p_crc_multiply(uint32_t polynomial, uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a != 0; a <<= 1) {
        if (a >> 31) product ^= b;
        b = b >> 1 ^ (b & 1 ? polynomial : 0);
    }
    return product;
}

/* x^(8n) mod P: what a state is multiplied by when n bytes of zeros follow. */
static inline uint32_t shardio_p_crc_power(uint32_t polynomial, size_t n)
{
    uint32_t power = 0x80000000u, factor = 0x00800000u;
    for (; n > 0; n >>= 1) {
        if (n & 1) power = shardio_p_crc_multiply(polynomial, power, factor);
        factor = shardio_p_crc_multiply(polynomial, factor, factor);
    }
    return power;
}

/* A window of fixed length that moves over data byte by byte: does it end with the CRC32C of what it holds before?
   The state is linear in the bytes. The one that comes in makes a step; the one that goes out takes along a share that
   depends on nothing but the length. What is kept is the difference to the state of a window that ends with its CRC:
   that is the same for all of them, so the answer is yes where the difference is 0. */
typedef struct shardio_p_crc_window {
    size_t length;          /* bytes, the last four of which would be the CRC */
    uint32_t share[256];    /* of a byte that goes out, and what the difference itself needs at each step */
} shardio_p_crc_window;

/* Moves the window at `data` until the difference is 0, at most `steps` bytes; returns how many. */
static inline size_t shardio_p_crc_move_tables(const shardio_p_crc_window *window, uint32_t *difference,
                                               const uint8_t *data, size_t steps)
{
    const uint8_t *in = data + window->length;
    uint32_t d = *difference;
    for (size_t i = 0; i < steps; i++) {
        d = shardio_p_crc_tables[0][(d ^ in[i]) & 255] ^ d >> 8 ^ window->share[data[i]];
        if (d == 0) steps = i + 1;   /* and out */
    }
    *difference = d;
    return steps;
}

/* Moves three windows, which begin `steps` bytes apart, `steps` bytes each: one alone waits for its own last step.
   found[i] is after how many steps difference i was 0 for the first time; it stays 0 if it never was. */
static inline void shardio_p_crc_move_three_tables(const shardio_p_crc_window *window, uint32_t *difference,
                                                   const uint8_t *data, size_t steps, size_t *found)
{
    const uint8_t *in = data + window->length;
    uint32_t a = difference[0], b = difference[1], c = difference[2];
    for (size_t i = 0; i < steps; i++) {
        size_t j = i + steps, k = j + steps;
        a = shardio_p_crc_tables[0][(a ^ in[i]) & 255] ^ a >> 8 ^ window->share[data[i]];
        b = shardio_p_crc_tables[0][(b ^ in[j]) & 255] ^ b >> 8 ^ window->share[data[j]];
        c = shardio_p_crc_tables[0][(c ^ in[k]) & 255] ^ c >> 8 ^ window->share[data[k]];
        if (a == 0 && found[0] == 0) found[0] = i + 1;
        if (b == 0 && found[1] == 0) found[1] = i + 1;
        if (c == 0 && found[2] == 0) found[2] = i + 1;
    }
    difference[0] = a;
    difference[1] = b;
    difference[2] = c;
}

/* Which instructions there are: for CRC32C, on ARM for CRC-32 as well; the polynomial says which is meant, x86 has no
   choice. Each set gives a step of 8 bytes, one of a byte, and a shift of a state over as many bytes of zeros as a
   stream has, with which three independent streams are joined: one stream alone waits for the
   instruction's latency. Long streams because the CPU fetches ahead from memory only where it reads on for some pages;
   shorter ones for what is left. */
typedef struct shardio_p_crc_stream {
    uint32_t length, constant;   /* bytes, a multiple of 16; of the shift */
} shardio_p_crc_stream;
#define SHARDIO_P_CRC_HARDWARE 0
#if !defined(SHARDIO_NO_HARDWARE) && !SHARDIO_NO_OS

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__)) || defined(_M_X64)
#undef SHARDIO_P_CRC_HARDWARE
#define SHARDIO_P_CRC_HARDWARE 1
#include <nmmintrin.h>
#include <wmmintrin.h>
#if defined(_M_X64) && !defined(__GNUC__)
#define SHARDIO_P_CRC_TARGET
#else
#define SHARDIO_P_CRC_TARGET __attribute__((target("sse4.2,pclmul")))
#endif
/* x^(8n-33) mod P, bits reversed: the 33 are what the carry-less product and the CRC instruction add */
#define SHARDIO_P_CRC_STREAMS 4
static const shardio_p_crc_stream shardio_p_crc_streams[SHARDIO_P_CRC_STREAMS] = {
    {65536, 0xC5013A36u}, {4096, 0x82F89C77u}, {512, 0xDD7E3B0Cu}, {128, 0x0D3B6092u}};

static const char *shardio_p_crc_hardware(void)
{
#if defined(_M_X64) && !defined(__GNUC__)
    return IsProcessorFeaturePresent(40 /* AVX2: has both */) ? "sse4.2+pclmul" : NULL;
#else
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") ? "sse4.2+pclmul" : NULL;
#endif
}

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_step8(uint32_t polynomial, uint32_t state,
                                                                const uint8_t *data)
{
    (void)polynomial;
#if defined(__i386__)
    uint32_t low, high;
    memcpy(&low, data, 4);
    memcpy(&high, data + 4, 4);
    return _mm_crc32_u32(_mm_crc32_u32(state, low), high);
#else
    uint64_t word;
    memcpy(&word, data, 8);
    return (uint32_t)_mm_crc32_u64(state, word);
#endif
}

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_step1(uint32_t polynomial, uint32_t state, uint8_t byte)
{
    (void)polynomial;
    return _mm_crc32_u8(state, byte);
}

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_shift(uint32_t polynomial, uint32_t state, uint32_t constant)
{
    uint8_t product[16];
    __m128i p = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)state), _mm_cvtsi32_si128((int)constant), 0);
    _mm_storeu_si128((__m128i *)(void *)product, p);
    return shardio_p_crc_step8(polynomial, 0, product);
}

#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__)) && !defined(__AARCH64EB__)
#undef SHARDIO_P_CRC_HARDWARE
#define SHARDIO_P_CRC_HARDWARE 1
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#if defined(__clang__)
#define SHARDIO_P_CRC_TARGET __attribute__((target("crc")))
#else
#define SHARDIO_P_CRC_TARGET __attribute__((target("+crc")))
#endif
/* x^(8n) mod P, bits reversed; the product costs some hundred steps, so the streams are longer */
#define SHARDIO_P_CRC_STREAMS 3
static const shardio_p_crc_stream shardio_p_crc_streams[SHARDIO_P_CRC_STREAMS] = {
    {65536, 0xFE7740E6u}, {8192, 0x28461564u}, {512, 0x74C360A4u}};

static const char *shardio_p_crc_hardware(void)
{
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & 1u << 7 /* HWCAP_CRC32 */) != 0 ? "armv8" : NULL;
#elif defined(__APPLE__) || defined(_WIN32) || defined(__ARM_FEATURE_CRC32)
    return "armv8";   /* every such machine has it */
#else
    return NULL;
#endif
}

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_step8(uint32_t polynomial, uint32_t state,
                                                                const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, 8);
    if (polynomial == SHARDIO_P_CRC32C) __asm__("crc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
    else __asm__("crc32x %w0, %w0, %x1" : "+r"(state) : "r"(word));
    return state;
}

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_step1(uint32_t polynomial, uint32_t state, uint8_t byte)
{
    if (polynomial == SHARDIO_P_CRC32C) __asm__("crc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)byte));
    else __asm__("crc32b %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)byte));
    return state;
}

static inline uint32_t shardio_p_crc_shift(uint32_t polynomial, uint32_t state, uint32_t constant)
{
    return shardio_p_crc_multiply(polynomial, state, constant);
}
#endif
#endif

#if SHARDIO_P_CRC_HARDWARE
#if defined(__GNUC__)   /* otherwise ARM's two polynomials share one copy, which asks at every step which it is */
#define SHARDIO_P_CRC_INLINE SHARDIO_P_CRC_TARGET __attribute__((always_inline)) static inline
#else
#define SHARDIO_P_CRC_INLINE SHARDIO_P_CRC_TARGET static inline
#endif

/* Three streams of `length` bytes each, two steps a turn so that the loop itself costs nothing. */
SHARDIO_P_CRC_INLINE uint32_t shardio_p_crc_three(uint32_t polynomial, uint32_t state, const uint8_t *data,
                                                  const shardio_p_crc_stream *stream)
{
    uint32_t second = 0, third = 0;
    const uint8_t *b = data + stream->length, *c = b + stream->length;
    for (const uint8_t *end = b; data < end; data += 16, b += 16, c += 16) {
        state = shardio_p_crc_step8(polynomial, state, data);
        second = shardio_p_crc_step8(polynomial, second, b);
        third = shardio_p_crc_step8(polynomial, third, c);
        state = shardio_p_crc_step8(polynomial, state, data + 8);
        second = shardio_p_crc_step8(polynomial, second, b + 8);
        third = shardio_p_crc_step8(polynomial, third, c + 8);
    }
    state = shardio_p_crc_shift(polynomial, state, stream->constant) ^ second;
    return shardio_p_crc_shift(polynomial, state, stream->constant) ^ third;
}

/* `streams` are those of the polynomial, SHARDIO_P_CRC_STREAMS of them. */
SHARDIO_P_CRC_INLINE uint32_t shardio_p_crc_by_steps(uint32_t polynomial, const shardio_p_crc_stream *streams,
                                                     uint32_t state, const uint8_t *data, size_t size)
{
    for (const shardio_p_crc_stream *stream = streams; stream < streams + SHARDIO_P_CRC_STREAMS; stream++) {
        size_t step = 3 * (size_t)stream->length;
        for (; size >= step; data += step, size -= step) state = shardio_p_crc_three(polynomial, state, data, stream);
    }
    for (; size >= 8; data += 8, size -= 8) state = shardio_p_crc_step8(polynomial, state, data);
    for (; size > 0; data++, size--) state = shardio_p_crc_step1(polynomial, state, *data);
    return state;
}

SHARDIO_P_CRC_TARGET static uint32_t shardio_p_crc32c_hardware(uint32_t state, const uint8_t *data, size_t size)
{
    return shardio_p_crc_by_steps(SHARDIO_P_CRC32C, shardio_p_crc_streams, state, data, size);
}

/* The two moves of a window, with the instruction in place of the table. */
SHARDIO_P_CRC_TARGET static inline size_t shardio_p_crc_move_hardware(const shardio_p_crc_window *window,
                                                                      uint32_t *difference, const uint8_t *data,
                                                                      size_t steps)
{
    const uint8_t *in = data + window->length;
    uint32_t d = *difference;
    for (size_t i = 0; i < steps; i++) {
        d = shardio_p_crc_step1(SHARDIO_P_CRC32C, d, in[i]) ^ window->share[data[i]];
        if (d == 0) steps = i + 1;   /* and out */
    }
    *difference = d;
    return steps;
}

SHARDIO_P_CRC_TARGET static inline void shardio_p_crc_move_three_hardware(const shardio_p_crc_window *window,
                                                                          uint32_t *difference, const uint8_t *data,
                                                                          size_t steps, size_t *found)
{
    const uint8_t *in = data + window->length;
    uint32_t a = difference[0], b = difference[1], c = difference[2];
    for (size_t i = 0; i < steps; i++) {
        size_t j = i + steps, k = j + steps;
        a = shardio_p_crc_step1(SHARDIO_P_CRC32C, a, in[i]) ^ window->share[data[i]];
        b = shardio_p_crc_step1(SHARDIO_P_CRC32C, b, in[j]) ^ window->share[data[j]];
        c = shardio_p_crc_step1(SHARDIO_P_CRC32C, c, in[k]) ^ window->share[data[k]];
        if (a == 0 && found[0] == 0) found[0] = i + 1;
        if (b == 0 && found[1] == 0) found[1] = i + 1;
        if (c == 0 && found[2] == 0) found[2] = i + 1;
    }
    difference[0] = a;
    difference[1] = b;
    difference[2] = c;
}
#else
static const char *shardio_p_crc_hardware(void)
{
    return NULL;
}

static uint32_t shardio_p_crc32c_hardware(uint32_t state, const uint8_t *data, size_t size)
{
    return shardio_p_crc32c_tables(state, data, size);
}

static inline size_t shardio_p_crc_move_hardware(const shardio_p_crc_window *window, uint32_t *difference,
                                                 const uint8_t *data, size_t steps)
{
    return shardio_p_crc_move_tables(window, difference, data, steps);
}

static inline void shardio_p_crc_move_three_hardware(const shardio_p_crc_window *window, uint32_t *difference,
                                                     const uint8_t *data, size_t steps, size_t *found)
{
    shardio_p_crc_move_three_tables(window, difference, data, steps, found);
}
#endif

SHARDIO_API const char *shardio_crc32c_kind(void)
{
    const char *kind = shardio_p_crc_hardware();
    return kind != NULL ? kind : "tables";
}

SHARDIO_API uint32_t shardio_crc32c(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)data;
    if (shardio_p_crc_hardware() != NULL) return ~shardio_p_crc32c_hardware(~crc, bytes, size);
    return ~shardio_p_crc32c_tables(~crc, bytes, size);
}

#define SHARDIO_P_CRC_RESIDUE 0x48674BC7u   /* the CRC32C of anything with its own CRC32C behind it */

static inline void shardio_p_crc_window_begin(shardio_p_crc_window *window, size_t length)
{
    const uint32_t p = SHARDIO_P_CRC32C, power = shardio_p_crc_power(p, length);
    uint32_t target = ~SHARDIO_P_CRC_RESIDUE ^ shardio_p_crc_multiply(p, ~0u, power);   /* state with its CRC, from 0 */
    uint32_t drift = shardio_p_crc_multiply(p, target, shardio_p_crc_power(p, 1)) ^ target;
    window->length = length;
    window->share[0] = 0;
    for (size_t byte = 1; byte < 256; byte++) {
        size_t rest = byte & (byte - 1);   /* linear as well: a product for each bit is enough */
        window->share[byte] = rest != 0 ? window->share[rest] ^ window->share[byte ^ rest]
                                        : shardio_p_crc_multiply(p, shardio_p_crc_tables[0][byte], power);
    }
    for (size_t byte = 0; byte < 256; byte++) window->share[byte] ^= drift;
}

/* The difference of the window at `data`. */
static inline uint32_t shardio_p_crc_window_difference(const shardio_p_crc_window *window, const uint8_t *data)
{
    return shardio_crc32c(0, data, window->length) ^ SHARDIO_P_CRC_RESIDUE;
}

/* Told where a window begins that ends with its CRC. Not SHARDIO_OK: stop. */
typedef shardio_status (*shardio_p_crc_visitor)(void *context, size_t at);

static inline shardio_status shardio_p_crc_search_one(const shardio_p_crc_window *window, uint32_t *difference,
                                                      const uint8_t *data, size_t from, size_t to,
                                                      shardio_p_crc_visitor visit, void *context)
{
    bool hardware = shardio_p_crc_hardware() != NULL;
    shardio_status status = SHARDIO_OK;
    while (from < to && status == SHARDIO_OK) {
        from += hardware ? shardio_p_crc_move_hardware(window, difference, data + from, to - from)
                         : shardio_p_crc_move_tables(window, difference, data + from, to - from);
        if (*difference == 0) status = visit(context, from);
    }
    return status;
}

/* Visits, in order, the windows that end with their CRC and begin behind data[0], up to data[steps]. *difference is
   that of the window at data[0], and afterwards of the one at data[steps]. */
static inline shardio_status shardio_p_crc_window_search(const shardio_p_crc_window *window, uint32_t *difference,
                                                         const uint8_t *data, size_t steps, shardio_p_crc_visitor visit,
                                                         void *context)
{
    size_t third = steps / 3, found[3] = {0, 0, 0};
    shardio_status status = SHARDIO_OK;
    if (third < window->length / 4) third = 0;   /* to begin two windows costs more than they save */
    uint32_t three[3] = {*difference, 0, 0};
    if (third > 0) {
        for (size_t i = 1; i < 3; i++) three[i] = shardio_p_crc_window_difference(window, data + i * third);
        if (shardio_p_crc_hardware() != NULL) shardio_p_crc_move_three_hardware(window, three, data, third, found);
        else shardio_p_crc_move_three_tables(window, three, data, third, found);
        *difference = three[2];
    }
    for (size_t i = 0; i < 3 && status == SHARDIO_OK; i++) {   /* rarely anything: once more from the first one on */
        uint32_t zero = 0;
        size_t at = i * third + found[i];
        if (found[i] == 0) continue;
        status = visit(context, at);
        if (status != SHARDIO_OK) break;
        status = shardio_p_crc_search_one(window, &zero, data, at, (i + 1) * third, visit, context);
    }
    if (status != SHARDIO_OK) return status;
    return shardio_p_crc_search_one(window, difference, data, 3 * third, steps, visit, context);
}

/* -- CRC-32 */

#if !SHARDIO_NO_STORE && !SHARDIO_NO_ZARR
static const uint32_t shardio_p_crc32_table[SHARDIO_P_CRC_TABLES][256] = {
    SHARDIO_P_CRC_TABLE(0x77073096u, 0xEE0E612Cu, 0x076DC419u, 0x0EDB8832u, 0x1DB71064u, 0x3B6E20C8u, 0x76DC4190u,
                        0xEDB88320u),
#if SHARDIO_P_CRC_TABLES == 8
    SHARDIO_P_CRC_TABLE(0x191B3141u, 0x32366282u, 0x646CC504u, 0xC8D98A08u, 0x4AC21251u, 0x958424A2u, 0xF0794F05u,
                        0x3B83984Bu),
    SHARDIO_P_CRC_TABLE(0x01C26A37u, 0x0384D46Eu, 0x0709A8DCu, 0x0E1351B8u, 0x1C26A370u, 0x384D46E0u, 0x709A8DC0u,
                        0xE1351B80u),
    SHARDIO_P_CRC_TABLE(0xB8BC6765u, 0xAA09C88Bu, 0x8F629757u, 0xC5B428EFu, 0x5019579Fu, 0xA032AF3Eu, 0x9B14583Du,
                        0xED59B63Bu),
    SHARDIO_P_CRC_TABLE(0x3D6029B0u, 0x7AC05360u, 0xF580A6C0u, 0x30704BC1u, 0x60E09782u, 0xC1C12F04u, 0x58F35849u,
                        0xB1E6B092u),
    SHARDIO_P_CRC_TABLE(0xCB5CD3A5u, 0x4DC8A10Bu, 0x9B914216u, 0xEC53826Du, 0x03D6029Bu, 0x07AC0536u, 0x0F580A6Cu,
                        0x1EB014D8u),
    SHARDIO_P_CRC_TABLE(0xA6770BB4u, 0x979F1129u, 0xF44F2413u, 0x33EF4E67u, 0x67DE9CCEu, 0xCFBD399Cu, 0x440B7579u,
                        0x8816EAF2u),
    SHARDIO_P_CRC_TABLE(0xCCAA009Eu, 0x4225077Du, 0x844A0EFAu, 0xD3E51BB5u, 0x7CBB312Bu, 0xF9766256u, 0x299DC2EDu,
                        0x533B85DAu)
#endif
};

static uint32_t shardio_p_crc32_tables(uint32_t state, const uint8_t *data, size_t size)
{
    return shardio_p_crc_by_tables(shardio_p_crc32_table, state, data, size);
}

#define SHARDIO_P_CRC32_WIDE 0
#if SHARDIO_P_CRC_HARDWARE && defined(__aarch64__)
#define SHARDIO_P_CRC32_KIND "armv8"
static const shardio_p_crc_stream shardio_p_crc32_streams[SHARDIO_P_CRC_STREAMS] = {
    {65536, 0x31FEC169u}, {8192, 0x83852D0Fu}, {512, 0x8E7EA170u}};

SHARDIO_P_CRC_TARGET static uint32_t shardio_p_crc32_hardware(uint32_t state, const uint8_t *data, size_t size)
{
    return shardio_p_crc_by_steps(SHARDIO_P_CRC32, shardio_p_crc32_streams, state, data, size);
}
#elif SHARDIO_P_CRC_HARDWARE
/* x86 has no instruction for this polynomial, but carry-less products. With x^n mod P they move bytes n bits on, onto
   others, and the remainder stays the same. Bits are reversed: of a register the low half has 64 further to go. A product
   is one bit short of a register, and a constant in the low half of its number 32 bits ahead: 33 less to go. */
#define SHARDIO_P_CRC32_KIND "pclmul"
static const uint64_t shardio_p_crc32_over16[2] = {0xAE689191u, 0xCCAA009Eu};   /* x^(n+64-33), x^(n-33); n = 8 * 16 */
static const uint64_t shardio_p_crc32_over64[2] = {0x8F352D95u, 0x1D9513D7u};

SHARDIO_P_CRC_TARGET static inline __m128i shardio_p_crc32_load(const void *from)
{
    return _mm_loadu_si128((const __m128i *)from);
}

/* `a` moved by a distance onto `next`. */
SHARDIO_P_CRC_TARGET static inline __m128i shardio_p_crc32_fold(__m128i a, __m128i distance, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(a, distance, 0x00), high = _mm_clmulepi64_si128(a, distance, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* Four registers, because one alone waits for the product. What they hold in the end are 16 bytes as good as all
   before them: these and what is left take the tables. */
SHARDIO_P_CRC_TARGET static uint32_t shardio_p_crc32_hardware(uint32_t state, const uint8_t *data, size_t size)
{
    const __m128i over16 = shardio_p_crc32_load(shardio_p_crc32_over16);
    const __m128i over64 = shardio_p_crc32_load(shardio_p_crc32_over64);
    uint8_t last[16];
    if (size < 32) return shardio_p_crc32_tables(state, data, size);
    __m128i a = _mm_xor_si128(shardio_p_crc32_load(data), _mm_cvtsi32_si128((int)state));
    if (size >= 64) {
        __m128i b = shardio_p_crc32_load(data + 16), c = shardio_p_crc32_load(data + 32);
        __m128i d = shardio_p_crc32_load(data + 48);
        for (; size >= 128; size -= 64) {
            data += 64;
            a = shardio_p_crc32_fold(a, over64, shardio_p_crc32_load(data));
            b = shardio_p_crc32_fold(b, over64, shardio_p_crc32_load(data + 16));
            c = shardio_p_crc32_fold(c, over64, shardio_p_crc32_load(data + 32));
            d = shardio_p_crc32_fold(d, over64, shardio_p_crc32_load(data + 48));
        }
        b = shardio_p_crc32_fold(a, over16, b);
        c = shardio_p_crc32_fold(b, over16, c);
        a = shardio_p_crc32_fold(c, over16, d);
        data += 48;
        size -= 48;
    }
    for (; size >= 32; size -= 16) {
        data += 16;
        a = shardio_p_crc32_fold(a, over16, shardio_p_crc32_load(data));
    }
    _mm_storeu_si128((__m128i *)(void *)last, a);
    state = shardio_p_crc32_tables(0, last, sizeof last);
    return shardio_p_crc32_tables(state, data + 16, size - 16);
}

#if defined(__GNUC__) && (__GNUC__ >= 10 || defined(__clang_major__) && __clang_major__ >= 10)
#undef SHARDIO_P_CRC32_WIDE
#define SHARDIO_P_CRC32_WIDE 1
#include <immintrin.h>
#define SHARDIO_P_CRC32_WIDE_TARGET __attribute__((target("avx2,pclmul,vpclmulqdq")))
static const uint64_t shardio_p_crc32_over128[2] = {0x33FFF533u, 0x910EEEC1u};

static bool shardio_p_crc32_is_wide(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq");
}

SHARDIO_P_CRC32_WIDE_TARGET static inline __m256i shardio_p_crc32_fold_wide(__m256i a, __m256i distance,
                                                                            const uint8_t *next)
{
    __m256i low = _mm256_clmulepi64_epi128(a, distance, 0x00), high = _mm256_clmulepi64_epi128(a, distance, 0x11);
    return _mm256_xor_si256(_mm256_xor_si256(low, high), _mm256_loadu_si256((const __m256i *)(const void *)next));
}

/* The same, twice as wide: 128 bytes or more become 128 bytes and what is left. */
SHARDIO_P_CRC32_WIDE_TARGET static uint32_t shardio_p_crc32_wide(uint32_t state, const uint8_t *data, size_t size)
{
    const __m256i over128 = _mm256_broadcastsi128_si256(shardio_p_crc32_load(shardio_p_crc32_over128));
    uint8_t last[128];
    const __m256i *from = (const __m256i *)(const void *)data;
    __m256i *to = (__m256i *)(void *)last;
    __m256i a = _mm256_xor_si256(_mm256_loadu_si256(from), _mm256_setr_epi32((int)state, 0, 0, 0, 0, 0, 0, 0));
    __m256i b = _mm256_loadu_si256(from + 1), c = _mm256_loadu_si256(from + 2), d = _mm256_loadu_si256(from + 3);
    for (; size >= 256; size -= 128) {
        data += 128;
        a = shardio_p_crc32_fold_wide(a, over128, data);
        b = shardio_p_crc32_fold_wide(b, over128, data + 32);
        c = shardio_p_crc32_fold_wide(c, over128, data + 64);
        d = shardio_p_crc32_fold_wide(d, over128, data + 96);
    }
    _mm256_storeu_si256(to, a);
    _mm256_storeu_si256(to + 1, b);
    _mm256_storeu_si256(to + 2, c);
    _mm256_storeu_si256(to + 3, d);
    _mm256_zeroupper();   /* gcc 12 leaves it out before a call that it knows, and all that follows is slow */
    state = shardio_p_crc32_hardware(0, last, sizeof last);
    return shardio_p_crc32_hardware(state, data + 128, size - 128);
}
#endif
#else
#define SHARDIO_P_CRC32_KIND "tables"
static uint32_t shardio_p_crc32_hardware(uint32_t state, const uint8_t *data, size_t size)
{
    return shardio_p_crc32_tables(state, data, size);
}
#endif

#if !SHARDIO_P_CRC32_WIDE
static bool shardio_p_crc32_is_wide(void)
{
    return false;
}

static uint32_t shardio_p_crc32_wide(uint32_t state, const uint8_t *data, size_t size)
{
    return shardio_p_crc32_hardware(state, data, size);
}
#endif

SHARDIO_API const char *shardio_crc32_kind(void)
{
    if (shardio_p_crc_hardware() == NULL) return "tables";
    return shardio_p_crc32_is_wide() ? "vpclmul" : SHARDIO_P_CRC32_KIND;
}

SHARDIO_API uint32_t shardio_crc32(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)data;
    if (size >= 256 && shardio_p_crc32_is_wide()) return ~shardio_p_crc32_wide(~crc, bytes, size);
    if (shardio_p_crc_hardware() != NULL) return ~shardio_p_crc32_hardware(~crc, bytes, size);
    return ~shardio_p_crc32_tables(~crc, bytes, size);
}
#endif /* !SHARDIO_NO_STORE && !SHARDIO_NO_ZARR */

/* -- SHA-256 */

#if !SHARDIO_NO_PACK
static const uint32_t shardio_p_sha256_start[8] = {0x6A09E667u, 0xBB67AE85u, 0x3C6EF372u, 0xA54FF53Au,
                                                   0x510E527Fu, 0x9B05688Cu, 0x1F83D9ABu, 0x5BE0CD19u};
static const uint32_t shardio_p_sha256_keys[64] = {
    0x428A2F98u, 0x71374491u, 0xB5C0FBCFu, 0xE9B5DBA5u, 0x3956C25Bu, 0x59F111F1u, 0x923F82A4u, 0xAB1C5ED5u,
    0xD807AA98u, 0x12835B01u, 0x243185BEu, 0x550C7DC3u, 0x72BE5D74u, 0x80DEB1FEu, 0x9BDC06A7u, 0xC19BF174u,
    0xE49B69C1u, 0xEFBE4786u, 0x0FC19DC6u, 0x240CA1CCu, 0x2DE92C6Fu, 0x4A7484AAu, 0x5CB0A9DCu, 0x76F988DAu,
    0x983E5152u, 0xA831C66Du, 0xB00327C8u, 0xBF597FC7u, 0xC6E00BF3u, 0xD5A79147u, 0x06CA6351u, 0x14292967u,
    0x27B70A85u, 0x2E1B2138u, 0x4D2C6DFCu, 0x53380D13u, 0x650A7354u, 0x766A0ABBu, 0x81C2C92Eu, 0x92722C85u,
    0xA2BFE8A1u, 0xA81A664Bu, 0xC24B8B70u, 0xC76C51A3u, 0xD192E819u, 0xD6990624u, 0xF40E3585u, 0x106AA070u,
    0x19A4C116u, 0x1E376C08u, 0x2748774Cu, 0x34B0BCB5u, 0x391C0CB3u, 0x4ED8AA4Au, 0x5B9CCA4Fu, 0x682E6FF3u,
    0x748F82EEu, 0x78A5636Fu, 0x84C87814u, 0x8CC70208u, 0x90BEFFFAu, 0xA4506CEBu, 0xBEF9A3F7u, 0xC67178F2u};

static inline uint32_t shardio_p_rotate(uint32_t x, int bits)
{
    return x >> bits | x << (32 - bits);
}

static inline uint32_t shardio_p_load32_big(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* The words after the first 16 of a block. */
static inline void shardio_p_sha256_expand(uint32_t *w)
{
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (shardio_p_rotate(a, 7) ^ shardio_p_rotate(a, 18) ^ a >> 3) +
               (shardio_p_rotate(b, 17) ^ shardio_p_rotate(b, 19) ^ b >> 10);
    }
}

static void shardio_p_sha256_plain(uint32_t *state, const uint8_t *data, size_t blocks)
{
    for (; blocks > 0; blocks--, data += 64) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];   /* variables stay in registers */
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7], w[64];
        for (int i = 0; i < 16; i++) w[i] = shardio_p_load32_big(data + 4 * i);
        shardio_p_sha256_expand(w);
        for (int i = 0; i < 64; i++) {
            uint32_t s = shardio_p_rotate(e, 6) ^ shardio_p_rotate(e, 11) ^ shardio_p_rotate(e, 25);
            uint32_t one = h + s + ((e & f) ^ (~e & g)) + shardio_p_sha256_keys[i] + w[i];
            uint32_t r = shardio_p_rotate(a, 2) ^ shardio_p_rotate(a, 13) ^ shardio_p_rotate(a, 22);
            uint32_t two = r + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + one;
            d = c, c = b, b = a, a = one + two;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

#if !defined(SHARDIO_NO_HARDWARE) && !SHARDIO_NO_OS && !defined(__TINYC__) &&                                      \
    (((defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))) || defined(_M_X64))
#define SHARDIO_P_SHA_HARDWARE 1
#include <immintrin.h>
#if defined(_M_X64) && !defined(__GNUC__)
#define SHARDIO_P_SHA_TARGET
#include <intrin.h>
#else
#define SHARDIO_P_SHA_TARGET __attribute__((target("sha,sse4.1")))
#include <cpuid.h>
#endif

/* The compilers' cached builtins do not know of it everywhere, so the CPU is asked: once for each hash that is begun. */
static bool shardio_p_sha256_has_hardware(void)
{
#if defined(_M_X64) && !defined(__GNUC__)
    int registers[4];
    __cpuid(registers, 0);
    if (registers[0] < 7) return false;
    __cpuidex(registers, 7, 0);
    return (registers[1] >> 29 & 1) != 0;
#else
    unsigned a, b, c, d;
    return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b >> 29 & 1) != 0;
#endif
}

/* Four rounds with four words of the message. */
SHARDIO_P_SHA_TARGET static inline void shardio_p_sha256_four(__m128i *abef, __m128i *cdgh, __m128i words, int round)
{
    __m128i keys = _mm_loadu_si128((const __m128i *)(const void *)(shardio_p_sha256_keys + round));
    words = _mm_add_epi32(words, keys);
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, words);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(words, 0x0E));
}

/* The four words after w0 .. w3. */
SHARDIO_P_SHA_TARGET static inline __m128i shardio_p_sha256_next(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
    return _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3);
}

SHARDIO_P_SHA_TARGET static inline __m128i shardio_p_sha256_words(const uint8_t *data)
{
    const __m128i turn = _mm_set_epi64x(0x0C0D0E0F08090A0B, 0x0405060700010203);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)data), turn);
}

SHARDIO_P_SHA_TARGET static void shardio_p_sha256_hardware(uint32_t *state, const uint8_t *data, size_t blocks)
{
    __m128i *at = (__m128i *)(void *)state;
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128(at), 0xB1), high = _mm_shuffle_epi32(_mm_loadu_si128(at + 1), 0x1B);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xF0);
    for (; blocks > 0; blocks--, data += 64) {
        __m128i w0 = shardio_p_sha256_words(data), w1 = shardio_p_sha256_words(data + 16);
        __m128i w2 = shardio_p_sha256_words(data + 32), w3 = shardio_p_sha256_words(data + 48);
        const __m128i abef_before = abef, cdgh_before = cdgh;
        for (int round = 0;; round += 16) {
            shardio_p_sha256_four(&abef, &cdgh, w0, round);
            shardio_p_sha256_four(&abef, &cdgh, w1, round + 4);
            shardio_p_sha256_four(&abef, &cdgh, w2, round + 8);
            shardio_p_sha256_four(&abef, &cdgh, w3, round + 12);
            if (round == 48) break;
            w0 = shardio_p_sha256_next(w0, w1, w2, w3);
            w1 = shardio_p_sha256_next(w1, w2, w3, w0);
            w2 = shardio_p_sha256_next(w2, w3, w0, w1);
            w3 = shardio_p_sha256_next(w3, w0, w1, w2);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    low = _mm_shuffle_epi32(abef, 0x1B);
    high = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128(at, _mm_blend_epi16(low, high, 0xF0));
    _mm_storeu_si128(at + 1, _mm_alignr_epi8(high, low, 8));
}
#else
#define SHARDIO_P_SHA_HARDWARE 0
static bool shardio_p_sha256_has_hardware(void)
{
    return false;
}
#endif

static void shardio_p_sha256_blocks(shardio_sha256 *hash, const uint8_t *data, size_t blocks)
{
#if SHARDIO_P_SHA_HARDWARE
    if (hash->hardware) shardio_p_sha256_hardware(hash->state, data, blocks);
    else
#endif
        shardio_p_sha256_plain(hash->state, data, blocks);
}

SHARDIO_API const char *shardio_sha256_kind(void)
{
    return shardio_p_sha256_has_hardware() ? "sha" : "plain";
}

static void shardio_p_sha256_again(shardio_sha256 *hash)
{
    memcpy(hash->state, shardio_p_sha256_start, sizeof hash->state);
    hash->size = 0;
}

SHARDIO_API void shardio_sha256_begin(shardio_sha256 *hash)
{
    memset(hash, 0, sizeof *hash);
    hash->hardware = shardio_p_sha256_has_hardware();
    shardio_p_sha256_again(hash);
}

SHARDIO_API void shardio_sha256_add(shardio_sha256 *hash, const void *data, size_t size)
{
    const uint8_t *from = (const uint8_t *)data;
    size_t held = (size_t)(hash->size % 64);
    hash->size += size;
    if (held > 0) {
        size_t n = size < 64 - held ? size : 64 - held;
        if (n > 0) memcpy(hash->block + held, from, n);
        if (held + n < 64) return;
        shardio_p_sha256_blocks(hash, hash->block, 1);
        from += n;
        size -= n;
    }
    if (size >= 64) shardio_p_sha256_blocks(hash, from, size / 64);
    if (size % 64 > 0) memcpy(hash->block, from + (size - size % 64), size % 64);
}

SHARDIO_API void shardio_sha256_end(shardio_sha256 *hash, uint8_t *digest)
{
    static const uint8_t pad[64] = {0x80};
    uint8_t bits[8];
    uint64_t size = hash->size;
    for (int i = 0; i < 8; i++) bits[i] = (uint8_t)(size << 3 >> (56 - 8 * i));
    shardio_sha256_add(hash, pad, 1 + (size_t)((119 - size % 64) % 64));
    shardio_sha256_add(hash, bits, sizeof bits);
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
    shardio_p_sha256_again(hash);
}
#endif

/* >>slot ------------------------------------------------------------------------------------------------------ */

static shardio_status shardio_p_slot_fail(shardio_slot *slot, shardio_status status, const char *operation,
                                          uint64_t offset, int code, const char *reason)
{
    if (slot->error.status != SHARDIO_OK) return slot->error.status;
    return shardio_p_fail_at(&slot->error, status, operation, slot->file.name, offset, code, reason);
}

/* From here on any offset, address and length will do. */
static shardio_status shardio_p_slot_go_buffered(shardio_slot *slot, int code, const char *reason)
{
    int ignored = 0;
    slot->accounting.direct = false;
    slot->accounting.direct_code = code;
    slot->accounting.direct_reason = reason;
    if (slot->wish == SHARDIO_DIRECT_ON)
        return shardio_p_slot_fail(slot, SHARDIO_ERR_DIRECT, "write", slot->base, code, reason);
    if (slot->direct) (void)slot->file.functions->set_direct(slot->file.context, false, &ignored);
    slot->direct = slot->padded = false;
    slot->block = slot->memory_alignment = 1;
    return SHARDIO_OK;
}

/* Every call begins here: the first error sticks, and a suspended file is opened again. */
static shardio_status shardio_p_slot_enter(shardio_slot *slot, const char *operation)
{
    int code = 0;
    if (slot == NULL) return SHARDIO_ERR_ARGUMENT;
    if (slot->error.status != SHARDIO_OK) return slot->error.status;
    if (!slot->open)
        return shardio_p_slot_fail(slot, SHARDIO_ERR_STATE, operation, SHARDIO_NO_OFFSET, 0, "it has ended");
    if (!slot->suspended) return SHARDIO_OK;
    shardio_status status = slot->file.functions->resume(slot->file.context, &code);
    slot->suspended = status != SHARDIO_OK && status != SHARDIO_ERR_DIRECT;
    if (status == SHARDIO_ERR_DIRECT && slot->direct)
        return shardio_p_slot_go_buffered(slot, code,
                                          "the system refused unbuffered I/O when the file was opened again");
    if (status != SHARDIO_OK) return shardio_p_slot_fail(slot, status, "open again", SHARDIO_NO_OFFSET, code, NULL);
    return SHARDIO_OK;
}


static shardio_status shardio_p_slot_sync_contents(shardio_slot *slot)
{
    int code = 0;
    slot->unsynced = 0;
    if (slot->file.functions->sync == NULL) return SHARDIO_OK;
    slot->accounting.syncs++;
    shardio_status status = slot->file.functions->sync(slot->file.context, &code);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_slot_fail(slot, status, "sync", SHARDIO_NO_OFFSET, code, NULL);
}

/* What went through the page cache is pushed out behind us: the newest piece is sent on its way, the one before it,
   which has had time to arrive, is dropped. */
static void shardio_p_slot_drop_behind(shardio_slot *slot, uint64_t end)
{
    void (*hint)(void *, shardio_hint, uint64_t, uint64_t) = slot->file.functions->hint;
    uint64_t step = slot->drop_behind;
    if (step == 0 || hint == NULL || slot->direct) return;
    while (end > slot->dropped && end - slot->dropped >= 2 * step) {   /* an overwrite is behind */
        hint(slot->file.context, SHARDIO_HINT_WRITE_BACK, slot->dropped + step, step);
        hint(slot->file.context, SHARDIO_HINT_DROP, slot->dropped, step);
        slot->dropped += step;
    }
}

enum { SHARDIO_P_PATIENCE = 100 };   /* short writes in a row before it is an error */

/* One call to the device: *done bytes are there to stay, whole blocks if blocks are wanted. */
static shardio_status shardio_p_slot_write_once(shardio_slot *slot, uint64_t offset, const uint8_t *data, size_t size,
                                                size_t *done)
{
    int code = 0;
    size_t ask = (size_t)shardio_p_min(size, SHARDIO_P_LARGEST_TRANSFER);
    *done = 0;
    shardio_status status = slot->file.functions->write(slot->file.context, offset, data, ask, done, &code);
    slot->accounting.device_calls++;
    if (status == SHARDIO_ERR_DIRECT && slot->direct)
        return shardio_p_slot_go_buffered(slot, code, "the system refused an unbuffered write");
    if (status != SHARDIO_OK) return shardio_p_slot_fail(slot, status, "write", offset, code, NULL);
    if (*done > ask)
        return shardio_p_slot_fail(slot, SHARDIO_ERR_IO, "write", offset, 0, "wrote more than it was given");
    slot->accounting.device_bytes += *done;
    slot->device_end = shardio_p_max(slot->device_end, offset + *done);
    if (*done == 0) return shardio_p_slot_fail(slot, SHARDIO_ERR_IO, "write", offset, 0, "the file takes no more");
    if (slot->padded) *done -= *done % slot->block;   /* go on from the last whole block */
    return SHARDIO_OK;
}

/* Writes `size` bytes, the last `padding` of which are there only to fill a block. */
static shardio_status shardio_p_slot_write(shardio_slot *slot, uint64_t offset, const uint8_t *data, size_t size,
                                           size_t padding)
{
    int stuck = 0;   /* calls in a row that did not complete a block */
    while (size > 0) {
        size_t done;
        if (!slot->padded && padding > 0) {   /* it went buffered on the way: the zeros are not needed */
            size = size > padding ? size - padding : 0;
            padding = 0;
            continue;
        }
        shardio_status status = shardio_p_slot_write_once(slot, offset, data, size, &done);
        stuck = done > 0 ? 0 : stuck + 1;
        if (status == SHARDIO_OK && stuck > 2 && slot->direct && slot->wish == SHARDIO_DIRECT_AUTO)
            status = shardio_p_slot_go_buffered(slot, 0, "the system wrote less than a block");
        if (status == SHARDIO_OK && stuck > SHARDIO_P_PATIENCE)
            status = shardio_p_slot_fail(slot, SHARDIO_ERR_NO_SPACE, "write", offset, 0,
                                         "the file takes no whole block");
        if (status != SHARDIO_OK) return status;
        offset += done;
        data += done;
        size -= done;
        slot->unsynced += done;
    }
    shardio_p_slot_drop_behind(slot, offset);
    if (slot->sync_every > 0 && slot->unsynced >= slot->sync_every) return shardio_p_slot_sync_contents(slot);
    return SHARDIO_OK;
}

/* Writes the whole blocks that are held and keeps the rest. */
static shardio_status shardio_p_slot_drain(shardio_slot *slot)
{
    size_t whole = slot->fill - slot->fill % slot->block;
    size_t from = slot->written - slot->written % slot->block;
    if (whole > from) {
        shardio_status status = shardio_p_slot_write(slot, slot->base + from, slot->buffer + from, whole - from, 0);
        if (status != SHARDIO_OK) return status;
    }
    if (whole == 0) return SHARDIO_OK;
    slot->fill -= whole;
    if (slot->fill > 0) memmove(slot->buffer, slot->buffer + whole, slot->fill);
    slot->written = slot->written > whole ? slot->written - whole : 0;
    slot->base += whole;
    return SHARDIO_OK;
}

/* Writes the last, partial block, filled with zeros where whole blocks are wanted; it stays in the buffer, to be
   written again when it has grown. */
static shardio_status shardio_p_slot_write_tail(shardio_slot *slot)
{
    shardio_status status = shardio_p_slot_drain(slot);
    if (status != SHARDIO_OK || slot->fill <= slot->written) return status;
    size_t from = slot->written - slot->written % slot->block;
    size_t end = (size_t)shardio_p_ceil(slot->fill, slot->block);
    if (end > slot->fill) memset(slot->buffer + slot->fill, 0, end - slot->fill);
    status = shardio_p_slot_write(slot, slot->base + from, slot->buffer + from, end - from, end - slot->fill);
    if (status == SHARDIO_OK) slot->written = slot->fill;
    return status;
}

/* Cuts off the zeros of the last block, and what an earlier file had beyond. */
static shardio_status shardio_p_slot_cut(shardio_slot *slot)
{
    uint64_t size = shardio_slot_size(slot);
    int code = 0;
    if (slot->device_end <= size || slot->special || slot->file.functions->resize == NULL) return SHARDIO_OK;
    shardio_status status = slot->file.functions->resize(slot->file.context, size, &code);
    if (status != SHARDIO_OK) return shardio_p_slot_fail(slot, status, "truncate", size, code, NULL);
    slot->device_end = size;
    slot->unsynced++;   /* the length is to be synced, too */
    return SHARDIO_OK;
}

/* Everything appended is in the file, and nothing else; on stable storage if `sync`. */
static shardio_status shardio_p_slot_settle(shardio_slot *slot, bool sync)
{
    shardio_status status = shardio_p_slot_write_tail(slot);
    if (status == SHARDIO_OK) status = shardio_p_slot_cut(slot);
    if (status == SHARDIO_OK && sync && slot->unsynced > 0) status = shardio_p_slot_sync_contents(slot);
    return status;
}

/* What the file wants and whether it gives it; decides the block. */
static shardio_status shardio_p_slot_ask_direct(shardio_slot *slot, const shardio_file_facts *facts)
{
    int code = 0;
    shardio_status (*set_direct)(void *, bool, int *) = slot->file.functions->set_direct;
    slot->block = slot->memory_alignment = 1;
    if (set_direct == NULL && facts->length_alignment > 1) {   /* a device that knows nothing else, a flash */
        slot->padded = true;
        slot->block = facts->length_alignment;
        slot->memory_alignment = (uint32_t)shardio_p_max(1, facts->memory_alignment);
    }
    if (slot->wish == SHARDIO_DIRECT_OFF || set_direct == NULL || facts->special || facts->length_alignment == 0) {
        const char *reason = slot->wish == SHARDIO_DIRECT_OFF ? "not asked for"
                             : facts->special                 ? "not a regular file"
                                                              : "the file system has no unbuffered I/O";
        slot->accounting.direct_reason = reason;
        if (slot->wish != SHARDIO_DIRECT_ON || slot->padded) return SHARDIO_OK;
        return shardio_p_slot_fail(slot, SHARDIO_ERR_DIRECT, "begin", SHARDIO_NO_OFFSET, 0, reason);
    }
    if (set_direct(slot->file.context, true, &code) != SHARDIO_OK)
        return shardio_p_slot_go_buffered(slot, code, "the system refused unbuffered I/O");
    slot->direct = slot->padded = slot->accounting.direct = true;
    slot->block = facts->length_alignment > facts->offset_alignment ? facts->length_alignment : facts->offset_alignment;
    slot->memory_alignment = (uint32_t)shardio_p_max(1, facts->memory_alignment);
    return SHARDIO_OK;
}

/* What keeps a buffer from holding an aligned block; null: nothing. */
static const char *shardio_p_slot_misfit(const shardio_slot *slot, const void *buffer, size_t size)
{
    if (!slot->padded) return NULL;
    if ((uintptr_t)buffer % slot->memory_alignment != 0) return "the buffer is not aligned";
    return size < slot->block ? "the buffer holds less than one block" : NULL;
}

/* Unbuffered I/O is given up where the buffer does not fit it. */
static shardio_status shardio_p_slot_judge_buffer(shardio_slot *slot, const void *buffer, size_t size)
{
    const char *reason = shardio_p_slot_misfit(slot, buffer, size);
    if (reason == NULL) return SHARDIO_OK;
    if (slot->direct) return shardio_p_slot_go_buffered(slot, 0, reason);
    return shardio_p_slot_fail(slot, SHARDIO_ERR_ARGUMENT, "begin", SHARDIO_NO_OFFSET, 0, reason);
}

static void shardio_p_slot_take_buffer(shardio_slot *slot, void *buffer, size_t size)
{
    slot->buffer = (uint8_t *)buffer;
    slot->capacity = size - size % slot->block;
}

/* Continues a file in the middle of a block: its beginning is read back. */
static shardio_status shardio_p_slot_read_back(shardio_slot *slot, uint64_t start)
{
    slot->base = shardio_p_floor(start, slot->block);
    slot->fill = slot->written = (size_t)(start - slot->base);
    if (slot->fill == 0) return SHARDIO_OK;
    if (!slot->padded) return shardio_file_read(&slot->file, slot->base, slot->buffer, slot->fill, &slot->error);
    /* an unbuffered read takes whole blocks, may end at the end of the file, and is begun again if it was cut short */
    shardio_status status = SHARDIO_OK;
    size_t done = 1;
    int code = 0;
    for (int tries = 0; tries < SHARDIO_P_PATIENCE && status == SHARDIO_OK && done > 0; tries++) {
        status = slot->file.functions->read(slot->file.context, slot->base, slot->buffer, slot->block, &done, &code);
        if (status == SHARDIO_OK && done >= slot->fill) return SHARDIO_OK;
    }
    return shardio_p_slot_fail(slot, status != SHARDIO_OK ? status : SHARDIO_ERR_TRUNCATED, "read back", slot->base,
                               code, NULL);
}

static void shardio_p_slot_take_options(shardio_slot *slot, const shardio_slot_options *options)
{
    slot->wish = options->direct;
    slot->durability = options->durability;
    slot->sync_every = options->sync_every;
    slot->drop_behind = options->drop_behind;
    slot->direct_min = options->direct_min != 0 ? options->direct_min : (size_t)SHARDIO_P_DEFAULT_DIRECT_MIN;
}

static shardio_status shardio_p_slot_start(shardio_slot *slot, void *buffer, size_t size,
                                           const shardio_slot_options *options)
{
    shardio_file_facts facts;
    shardio_status status = shardio_p_file_facts(&slot->file, &facts, &slot->error);
    if (status != SHARDIO_OK) return status;
    slot->special = facts.special;
    slot->device_end = facts.size;
    slot->continued = options->start > 0;
    slot->restore = slot->continued ? facts.size : 0;
    slot->dropped = options->start;
    slot->unsynced = slot->continued ? 0 : 1;   /* that it is empty is to be synced, too */
    if (options->start > facts.size)
        return shardio_p_slot_fail(slot, SHARDIO_ERR_TRUNCATED, "continue", options->start, 0, "the file ends before");
    status = shardio_p_slot_ask_direct(slot, &facts);
    if (status == SHARDIO_OK) status = shardio_p_slot_judge_buffer(slot, buffer, size);
    if (status != SHARDIO_OK) return status;
    shardio_p_slot_take_buffer(slot, buffer, size);
    return shardio_p_slot_read_back(slot, options->start);
}

SHARDIO_API shardio_status shardio_slot_begin(shardio_slot *slot, shardio_file file, void *buffer, size_t size,
                                              const shardio_slot_options *options)
{
    static const shardio_slot_options defaults = {0, 0, SHARDIO_DIRECT_AUTO, SHARDIO_DURABLE_FINISH, 0, 0, 0,
                                                  false, false, false, NULL};
    if (slot == NULL) return SHARDIO_ERR_ARGUMENT;
    memset(slot, 0, sizeof *slot);
    shardio_p_no_error(&slot->error);
    slot->file = file;
    slot->open = true;
    slot->accounting.files = 1;
    slot->block = slot->memory_alignment = 1;
    if (file.functions == NULL || buffer == NULL || size == 0) {
        slot->open = file.functions != NULL;
        return shardio_p_slot_fail(slot, SHARDIO_ERR_ARGUMENT, "begin", SHARDIO_NO_OFFSET, 0,
                                   "a file and a buffer are needed");
    }
    if (options == NULL) options = &defaults;
    shardio_p_slot_take_options(slot, options);
    return shardio_p_slot_start(slot, buffer, size, options);
}

#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_slot_create(shardio_slot *slot, const char *path,
                                               const shardio_slot_options *options)
{
    shardio_slot_options o;
    shardio_open_options how = {NULL, false, false, false};
    shardio_error error;
    shardio_file file;
    if (slot == NULL) return SHARDIO_ERR_ARGUMENT;
    memset(slot, 0, sizeof *slot);
    memset(&o, 0, sizeof o);
    if (options != NULL) o = *options;
    if (o.buffer_size == 0) o.buffer_size = SHARDIO_P_DEFAULT_BUFFER;
    how.allocator = o.allocator;
    how.overwrite = o.overwrite;
    how.in_place = o.in_place;
    how.make_parents = o.make_parents;
    shardio_p_no_error(&error);
    shardio_status status = shardio_file_open(&file, path, o.start > 0 ? SHARDIO_OPEN_UPDATE : SHARDIO_OPEN_CREATE,
                                              &how, &error);
    if (status != SHARDIO_OK) {
        slot->error = error;
        return status;
    }
    shardio_file_facts facts;   /* if it cannot be asked now, begin will say so */
    (void)shardio_p_file_facts(&file, &facts, NULL);
    size_t size = (size_t)shardio_p_max(o.buffer_size, facts.length_alignment);   /* one block at least */
    size_t alignment = (size_t)shardio_p_max(SHARDIO_P_DEFAULT_BLOCK, facts.memory_alignment);
    void *buffer = shardio_p_allocate(o.allocator, size, alignment);
    if (buffer == NULL) {
        (void)shardio_p_file_close(&file, SHARDIO_CLOSE_DISCARD, false, NULL);
        return shardio_p_fail(&slot->error, SHARDIO_ERR_MEMORY, "create", path, "no memory for the buffer");
    }
    status = shardio_slot_begin(slot, file, buffer, size, &o);
    slot->allocator = o.allocator;
    slot->own_buffer = buffer;
    slot->own_size = size;
    slot->own_alignment = alignment;
    if (status != SHARDIO_OK) shardio_slot_abort(slot);
    return status;
}
#endif

SHARDIO_API uint64_t shardio_slot_size(const shardio_slot *slot)
{
    return slot != NULL ? slot->base + slot->fill : 0;
}

/* Writes `size` bytes, whole blocks, straight from the caller's memory. */
static shardio_status shardio_p_slot_write_through(shardio_slot *slot, const uint8_t *data, size_t size)
{
    shardio_status status = shardio_p_slot_write(slot, slot->base, data, size, 0);
    if (status == SHARDIO_OK) slot->base += size;
    return status;
}

static void shardio_p_slot_copy(shardio_slot *slot, const uint8_t *data, size_t size)
{
    memcpy(slot->buffer + slot->fill, data, size);
    slot->fill += size;
    slot->accounting.copied_bytes += size;
}

/* One step of an append: *taken bytes are in the file or in the buffer. */
static shardio_status shardio_p_slot_take(shardio_slot *slot, const uint8_t *data, size_t size, size_t *taken)
{
    size_t to_block = (slot->block - slot->fill % slot->block) % slot->block;
    shardio_status status;
    *taken = 0;
    if (size >= to_block && size - to_block >= slot->direct_min && size - to_block >= slot->block &&
        ((uintptr_t)data + to_block) % slot->memory_alignment == 0) {
        shardio_p_slot_copy(slot, data, to_block);
        status = shardio_p_slot_drain(slot);
        if (status != SHARDIO_OK) return status;
        size_t whole = size - to_block;
        whole -= whole % slot->block;
        *taken = to_block + whole;
        return shardio_p_slot_write_through(slot, data + to_block, whole);
    }
    *taken = (size_t)shardio_p_min(size, slot->capacity - slot->fill);
    shardio_p_slot_copy(slot, data, *taken);
    return slot->fill == slot->capacity ? shardio_p_slot_drain(slot) : SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_slot_append(shardio_slot *slot, const void *data, size_t size)
{
    const uint8_t *from = (const uint8_t *)data;
    shardio_status status = shardio_p_slot_enter(slot, "append");
    if (status != SHARDIO_OK || size == 0) return status;
    if (data == NULL)
        return shardio_p_slot_fail(slot, SHARDIO_ERR_ARGUMENT, "append", shardio_slot_size(slot), 0, "no data");
    if (size > UINT64_MAX / 2 - shardio_slot_size(slot))
        return shardio_p_slot_fail(slot, SHARDIO_ERR_LIMIT, "append", shardio_slot_size(slot), 0,
                                   "no file is that long");
    while (size > 0 && status == SHARDIO_OK) {
        size_t taken;
        status = shardio_p_slot_take(slot, from, size, &taken);
        from += taken;
        size -= taken;
    }
    return status;
}

SHARDIO_API shardio_status shardio_slot_overwrite(shardio_slot *slot, uint64_t offset, const void *data, size_t size)
{
    const uint8_t *from = (const uint8_t *)data;
    shardio_status status = shardio_p_slot_enter(slot, "overwrite");
    if (status != SHARDIO_OK || size == 0) return status;
    if (data == NULL || offset > shardio_slot_size(slot) || size > shardio_slot_size(slot) - offset)
        return shardio_p_slot_fail(slot, SHARDIO_ERR_ARGUMENT, "overwrite", offset, 0, "more than was appended");
    if (offset < slot->base) {   /* what is on the device already */
        size_t ahead = (size_t)shardio_p_min(size, slot->base - offset);
        if (offset % slot->block != 0 || ahead % slot->block != 0 || (uintptr_t)from % slot->memory_alignment != 0)
            return shardio_p_slot_fail(slot, SHARDIO_ERR_ARGUMENT, "overwrite", offset, 0, "not aligned to blocks");
        status = shardio_p_slot_write(slot, offset, from, ahead, 0);
        if (status != SHARDIO_OK) return status;
        offset += ahead;
        from += ahead;
        size -= ahead;
    }
    if (size == 0) return SHARDIO_OK;
    size_t at = (size_t)(offset - slot->base);   /* what is still held */
    memcpy(slot->buffer + at, from, size);
    if (at < slot->written) slot->written = at;
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_slot_checkpoint(shardio_slot *slot)
{
    bool durable;
    int code = 0;
    shardio_status status = shardio_p_slot_enter(slot, "checkpoint");
    if (status != SHARDIO_OK) return status;
    durable = slot->durability != SHARDIO_DURABLE_NONE;
    status = shardio_p_slot_settle(slot, durable);
    if (status != SHARDIO_OK) return status;
    if (slot->file.functions->publish != NULL)
        status = slot->file.functions->publish(slot->file.context, durable, &code);
    if (status != SHARDIO_OK) return shardio_p_slot_fail(slot, status, "publish", SHARDIO_NO_OFFSET, code, NULL);
    slot->continued = true;
    slot->restore = shardio_slot_size(slot);
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_slot_sync(shardio_slot *slot)
{
    shardio_status status = shardio_p_slot_enter(slot, "sync");
    return status == SHARDIO_OK ? shardio_p_slot_settle(slot, true) : status;
}

SHARDIO_API shardio_status shardio_slot_set_buffer(shardio_slot *slot, void *buffer, size_t size)
{
    shardio_status status = SHARDIO_OK;
    if (slot == NULL || buffer == NULL || size == 0) return SHARDIO_ERR_ARGUMENT;
    if (slot->error.status != SHARDIO_OK) return slot->error.status;
    if (!slot->open) return shardio_p_slot_enter(slot, "change the buffer");
    /* otherwise the file is not needed, and may stay closed */
    if (shardio_p_slot_misfit(slot, buffer, size) != NULL || slot->fill >= slot->block) {
        status = shardio_p_slot_enter(slot, "change the buffer");
        if (status == SHARDIO_OK) status = shardio_p_slot_judge_buffer(slot, buffer, size);
        if (status == SHARDIO_OK) status = shardio_p_slot_drain(slot);
        if (status != SHARDIO_OK) return status;
    }
    if (slot->fill > 0 && buffer != slot->buffer) memmove(buffer, slot->buffer, slot->fill);
    shardio_p_slot_take_buffer(slot, buffer, size);
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_slot_suspend(shardio_slot *slot)
{
    int code = 0;
    if (slot != NULL && slot->open && slot->suspended) return slot->error.status;
    shardio_status status = shardio_p_slot_enter(slot, "suspend");
    if (status != SHARDIO_OK || slot->file.functions->suspend == NULL || slot->file.functions->resume == NULL)
        return status;
    status = shardio_p_slot_drain(slot);
    if (status == SHARDIO_OK && !slot->direct && slot->unsynced > 0 && slot->durability != SHARDIO_DURABLE_NONE)
        status = shardio_p_slot_sync_contents(slot);
    if (status != SHARDIO_OK) return status;
    slot->suspended = true;
    status = slot->file.functions->suspend(slot->file.context, &code);
    return status == SHARDIO_OK ? SHARDIO_OK
           : shardio_p_slot_fail(slot, status, "close", SHARDIO_NO_OFFSET, code, NULL);
}

/* Gives back what the slot holds; the file is closed by then. */
static void shardio_p_slot_end(shardio_slot *slot)
{
    slot->open = false;
    slot->file.name = NULL;   /* went with the file */
    slot->accounting.logical_bytes = shardio_slot_size(slot);
    if (slot->own_buffer == NULL) return;
    shardio_p_release(slot->allocator, slot->own_buffer, slot->own_size, slot->own_alignment);
    slot->own_buffer = NULL;
}

SHARDIO_API shardio_status shardio_slot_finish(shardio_slot *slot)
{
    shardio_status status = shardio_p_slot_enter(slot, "finish");
    if (status == SHARDIO_OK) {
        bool durable = slot->durability != SHARDIO_DURABLE_NONE;
        status = shardio_p_slot_settle(slot, durable);
        if (status == SHARDIO_OK) {
            status = shardio_p_file_close(&slot->file, SHARDIO_CLOSE_PUBLISH, durable, &slot->error);
            shardio_p_slot_end(slot);
            return status;
        }
    }
    shardio_slot_abort(slot);
    return status;
}

SHARDIO_API void shardio_slot_abort(shardio_slot *slot)
{
    int code = 0;
    if (slot == NULL || !slot->open) return;
    if (slot->suspended && slot->continued && slot->file.functions->resume(slot->file.context, &code) == SHARDIO_OK)
        slot->suspended = false;
    /* a write that failed may have written all the same */
    bool longer = slot->device_end > slot->restore || (slot->error.status != SHARDIO_OK && slot->restore > 0);
    if (slot->continued && !slot->suspended && longer && slot->file.functions->resize != NULL)
        (void)slot->file.functions->resize(slot->file.context, slot->restore, &code);
    (void)shardio_p_file_close(&slot->file, SHARDIO_CLOSE_DISCARD, false, NULL);
    shardio_p_slot_end(slot);
}

/* Appends a piece of another file, through the buffer. */
static inline shardio_status shardio_p_slot_append_from(shardio_slot *slot, const shardio_file *file, uint64_t offset,
                                                 uint64_t size)
{
    shardio_status status = shardio_p_slot_enter(slot, "append");
    while (size > 0 && status == SHARDIO_OK) {
        size_t piece = (size_t)shardio_p_min(size, slot->capacity - slot->fill);
        status = shardio_file_read(file, offset, slot->buffer + slot->fill, piece, &slot->error);
        if (status != SHARDIO_OK) return status;
        slot->fill += piece;
        slot->accounting.copied_bytes += piece;
        offset += piece;
        size -= piece;
        if (slot->fill == slot->capacity) status = shardio_p_slot_drain(slot);
    }
    return status;
}

/* >>index ----------------------------------------------------------------------------------------------------- */

enum { SHARDIO_P_ENTRY = 16, SHARDIO_P_CRC = 4 };

static size_t shardio_p_index_checksums(const shardio_index_layout *layout)
{
    return layout->no_checksum ? 0 : 1 + (size_t)layout->more_checksums;
}

SHARDIO_API size_t shardio_index_size(const shardio_index_layout *layout)
{
    size_t crc = SHARDIO_P_CRC * shardio_p_index_checksums(layout);
    if (layout->chunks > (SIZE_MAX - crc) / SHARDIO_P_ENTRY) return 0;
    return (size_t)layout->chunks * SHARDIO_P_ENTRY + crc;
}

SHARDIO_API void shardio_index_clear(const shardio_index_layout *layout, uint8_t *index)
{
    memset(index, 0xFF, (size_t)layout->chunks * SHARDIO_P_ENTRY);
}

/* Where the offset of a chunk lies in an index, in bytes; *length_at is that of its length. */
static size_t shardio_p_entry_place(const shardio_index_layout *layout, uint64_t chunk, size_t *length_at)
{
    const shardio_index_order *order = layout->order;
    uint64_t at = 0;
    *length_at = (size_t)chunk * SHARDIO_P_ENTRY + 8;
    if (order == NULL) return (size_t)chunk * SHARDIO_P_ENTRY;
    for (uint32_t i = order->ndim; i-- > 0; chunk /= order->chunks[i]) at += chunk % order->chunks[i] * order->step[i];
    *length_at = (size_t)(at + order->step[order->ndim]) * 8;
    return (size_t)at * 8;
}

SHARDIO_API void shardio_index_set(const shardio_index_layout *layout, uint8_t *index, uint64_t chunk, uint64_t offset,
                                   uint64_t length)
{
    size_t length_at, offset_at = shardio_p_entry_place(layout, chunk, &length_at);
    shardio_p_store64(index + offset_at, offset, layout->big_endian);
    shardio_p_store64(index + length_at, length, layout->big_endian);
}

SHARDIO_API void shardio_index_get(const shardio_index_layout *layout, const uint8_t *index, uint64_t chunk,
                                   uint64_t *offset, uint64_t *length)
{
    size_t length_at, offset_at = shardio_p_entry_place(layout, chunk, &length_at);
    *offset = shardio_p_load64(index + offset_at, layout->big_endian);
    *length = shardio_p_load64(index + length_at, layout->big_endian);
}

/* Checksums are little-endian, whatever the entries are (Zarr v3 codec specification "crc32c"). */
SHARDIO_API void shardio_index_seal(const shardio_index_layout *layout, uint8_t *index)
{
    size_t size = (size_t)layout->chunks * SHARDIO_P_ENTRY;
    for (size_t i = shardio_p_index_checksums(layout); i > 0; i--, size += SHARDIO_P_CRC)
        shardio_p_store32_little(index + size, shardio_crc32c(0, index, size));
}

SHARDIO_API shardio_status shardio_index_check(const shardio_index_layout *layout, const uint8_t *index)
{
    size_t size = (size_t)layout->chunks * SHARDIO_P_ENTRY;
    for (size_t i = shardio_p_index_checksums(layout); i > 0; i--, size += SHARDIO_P_CRC)
        if (shardio_p_load32_little(index + size) != shardio_crc32c(0, index, size)) return SHARDIO_ERR_CHECKSUM;
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_index_entry(const shardio_index_layout *layout, const uint8_t *index, uint64_t chunk,
                                               uint64_t file_size, uint64_t index_offset, uint64_t *offset,
                                               uint64_t *length, const char **reason)
{
    uint64_t end, index_size = shardio_index_size(layout);
    shardio_index_get(layout, index, chunk, offset, length);
    *reason = NULL;
    if (*offset == SHARDIO_MISSING && *length == SHARDIO_MISSING) return SHARDIO_OK;
    if (*offset == SHARDIO_MISSING || *length == SHARDIO_MISSING) *reason = "its index entry is half missing";
    else if (!shardio_p_add(*offset, *length, &end) || end > file_size)
        *reason = "its index entry points outside the file";
    else if (*length > 0 && *offset < index_offset + index_size && end > index_offset)
        *reason = "its index entry points into the index";
    return *reason == NULL ? SHARDIO_OK : SHARDIO_ERR_CORRUPT;
}

/* -- packed integers: a group of values is their distances from the smallest, `width` bits each, then width and smallest */

#if !SHARDIO_NO_PACK
enum { SHARDIO_P_FOR_END = 5 };   /* bytes of width and smallest */

typedef struct shardio_p_for {
    const uint8_t *residuals;
    uint32_t width, smallest;
} shardio_p_for;

static size_t shardio_p_for_residual_bytes(uint64_t count, uint32_t width)
{
    return (size_t)((count * width + 7) / 8);
}

/* What a group of these values needs: at least one bit each. */
static shardio_p_for shardio_p_for_measure(const uint32_t *values, size_t count)
{
    shardio_p_for group = {NULL, 1, count > 0 ? values[0] : 0};
    uint32_t largest = group.smallest;
    for (size_t i = 1; i < count; i++) {
        if (values[i] < group.smallest) group.smallest = values[i];
        if (values[i] > largest) largest = values[i];
    }
    while (group.width < 32 && (largest - group.smallest) >> group.width != 0) group.width++;
    return group;
}

/* Packs distances, from the lowest bit of the first byte on; the number of bytes written. */
static size_t shardio_p_for_pack(uint8_t *out, const shardio_p_for *group, const uint32_t *values, size_t count)
{
    uint64_t bits = 0;
    uint32_t held = 0;
    uint8_t *at = out;
    for (size_t i = 0; i < count; i++) {
        bits |= (uint64_t)(values[i] - group->smallest) << held;
        for (held += group->width; held >= 8; held -= 8, bits >>= 8) *at++ = (uint8_t)bits;
    }
    if (held > 0) *at++ = (uint8_t)bits;
    return (size_t)(at - out);
}

static void shardio_p_for_end(uint8_t *out, const shardio_p_for *group)
{
    out[0] = (uint8_t)group->width;
    shardio_p_store32_little(out + 1, group->smallest);
}

/* Finds the group of `count` values that ends `end` bytes behind `bytes`; *size is what it takes. Three bytes behind it
   are read as well. Null: fine; otherwise what is wrong. */
static const char *shardio_p_for_open(shardio_p_for *group, const uint8_t *bytes, size_t end, uint64_t count,
                                      size_t *size)
{
    if (end < SHARDIO_P_FOR_END) return "packed lengths are cut short";
    group->width = bytes[end - SHARDIO_P_FOR_END];
    group->smallest = shardio_p_load32_little(bytes + end - 4);
    if (group->width < 1 || group->width > 32) return "packed lengths have no width of 1 to 32 bits";
    if (count > (end - SHARDIO_P_FOR_END) * (uint64_t)8 / group->width) return "packed lengths are cut short";
    *size = shardio_p_for_residual_bytes(count, group->width) + SHARDIO_P_FOR_END;
    group->residuals = bytes + end - *size;
    return NULL;
}

static inline uint64_t shardio_p_for_value(const shardio_p_for *group, uint64_t number)
{
    uint64_t bit = number * group->width;
    uint64_t word = shardio_p_load64(group->residuals + bit / 8, false) >> bit % 8;
    return group->smallest + (word & ((UINT64_C(1) << group->width) - 1));
}

/* The sum of `count` values from number `first` on. */
static uint64_t shardio_p_for_sum(const shardio_p_for *group, uint64_t first, uint64_t count)
{
    uint64_t sum = 0;
    for (uint64_t i = first; i < first + count; i++) sum += shardio_p_for_value(group, i);
    return sum;
}
#endif

/* >>shard ----------------------------------------------------------------------------------------------------- */
#if !SHARDIO_NO_SHARD

/* -- writing */

static bool shardio_p_layout_fits(const shardio_index_layout *layout)
{
    return layout != NULL && layout->chunks > 0 && shardio_index_size(layout) > 0 &&
           shardio_index_size(layout) <= SIZE_MAX / 2;
}

SHARDIO_API size_t shardio_shard_memory(const shardio_index_layout *layout, size_t block)
{
    if (block == 0) block = SHARDIO_P_DEFAULT_BLOCK;
    if (!shardio_p_layout_fits(layout)) return 0;
    size_t size = shardio_index_size(layout);
    return layout->at_start ? (size + block - 1) / block * block : size;
}

/* The options that are the slot's: syncing every so many bytes means a checkpoint first, which is done here. */
static shardio_slot_options shardio_p_shard_slot_options(const shardio_slot_options *options)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    if (options != NULL) o = *options;
    return o;
}

static shardio_status shardio_p_shard_start(shardio_shard_writer *writer, shardio_file file,
                                            const shardio_index_layout *layout, void *memory, size_t memory_size,
                                            void *buffer, size_t buffer_size, const shardio_slot_options *options,
                                            uint64_t start)
{
    shardio_slot_options o = shardio_p_shard_slot_options(options);
    writer->sync_every = o.sync_every;
    o.sync_every = 0;
    o.start = start;
    shardio_status status = shardio_slot_begin(&writer->slot, file, buffer, buffer_size, &o);
    if (status != SHARDIO_OK) return status;
    if (!shardio_p_layout_fits(layout) || memory == NULL)
        return shardio_p_slot_fail(&writer->slot, SHARDIO_ERR_ARGUMENT, "begin", SHARDIO_NO_OFFSET, 0,
                                   "a shard needs a number of chunks and memory for its index");
    writer->layout = *layout;
    writer->index = (uint8_t *)memory;
    writer->index_size = shardio_index_size(layout);
    writer->head_size = layout->at_start ? shardio_shard_memory(layout, writer->slot.block) : 0;
    /* the file's blocks are larger than was planned for */
    if (memory_size < writer->head_size && writer->slot.direct) {
        status = shardio_p_slot_go_buffered(&writer->slot, 0, "the memory for the index does not hold whole blocks");
        if (status != SHARDIO_OK) return status;
        writer->head_size = writer->index_size;
    }
    if (memory_size < writer->index_size || memory_size < writer->head_size)
        return shardio_p_slot_fail(&writer->slot, SHARDIO_ERR_MEMORY, "begin", SHARDIO_NO_OFFSET, 0,
                                   "the memory handed over is smaller than the index");
    if (start == 0) shardio_index_clear(layout, writer->index);
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_shard_begin(shardio_shard_writer *writer, shardio_file file,
                                               const shardio_index_layout *layout, void *memory, size_t memory_size,
                                               void *buffer, size_t buffer_size, const shardio_slot_options *options)
{
    static const uint8_t zeros[64] = {0};
    if (writer == NULL) return SHARDIO_ERR_ARGUMENT;
    memset(writer, 0, sizeof *writer);
    shardio_status status = shardio_p_shard_start(writer, file, layout, memory, memory_size, buffer, buffer_size,
                                                  options, 0);
    /* room for the index; zeros are no valid one */
    for (size_t left = layout != NULL && layout->at_start ? writer->index_size : 0; status == SHARDIO_OK && left > 0;) {
        size_t n = left < sizeof zeros ? left : sizeof zeros;
        status = shardio_slot_append(&writer->slot, zeros, n);
        left -= n;
    }
    return status;
}

/* Adds up what the index points to. */
static uint64_t shardio_p_live_bytes(const shardio_index_layout *layout, const uint8_t *index)
{
    uint64_t live = 0, offset, length;
    for (uint64_t i = 0; i < layout->chunks; i++) {
        shardio_index_get(layout, index, i, &offset, &length);
        if (length != SHARDIO_MISSING) live += length;
    }
    return live;
}

static uint64_t shardio_p_index_place(const shardio_index_layout *layout, uint64_t file_size)
{
    return layout->at_start ? 0 : file_size - shardio_index_size(layout);
}

/* Reads and checks the index of a shard of `size` bytes. */
static shardio_status shardio_p_read_index(const shardio_file *file, const shardio_index_layout *layout, uint64_t size,
                                           uint8_t *index, shardio_error *error)
{
    size_t index_size = shardio_index_size(layout);
    if (size < index_size)
        return shardio_p_fail_at(error, SHARDIO_ERR_TRUNCATED, "read the index of", file->name, size, 0,
                                 "the file is shorter than its index");
    uint64_t at = shardio_p_index_place(layout, size);
    shardio_status status = shardio_file_read(file, at, index, index_size, error);
    if (status == SHARDIO_OK && shardio_index_check(layout, index) != SHARDIO_OK)
        status = shardio_p_fail_at(error, SHARDIO_ERR_CHECKSUM, "read the index of", file->name, at, 0,
                                   "damaged, being written, or not a shard of this many chunks");
    return status;
}

/* The index of a shard that is to be continued; with the index at the start also the chunks that may share its last
   block, which are rewritten with it. All of it is read before unbuffered I/O wants whole blocks. */
static shardio_status shardio_p_take_over_index(const shardio_file *file, const shardio_index_layout *layout,
                                                uint8_t *memory,
                                                size_t memory_size, uint64_t *size, shardio_error *error)
{
    shardio_file_facts facts;
    if (file->functions == NULL || !shardio_p_layout_fits(layout) || memory == NULL ||
        memory_size < shardio_index_size(layout))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "update", file->name,
                              "a shard needs a number of chunks and memory for its index");
    shardio_status status = shardio_p_file_facts(file, &facts, error);
    if (status == SHARDIO_OK) status = shardio_p_read_index(file, layout, facts.size, memory, error);
    if (status == SHARDIO_OK && layout->at_start)
        status = shardio_file_read(file, 0, memory, (size_t)shardio_p_min(memory_size, facts.size), error);
    *size = facts.size;
    return status;
}

/* Goes on behind the end of a shard: its index becomes ours. */
static shardio_status shardio_p_shard_extend(shardio_shard_writer *writer, shardio_file file,
                                             const shardio_index_layout *layout, void *memory, size_t memory_size,
                                             void *buffer, size_t buffer_size, const shardio_slot_options *options)
{
    uint64_t size = 0;
    shardio_status status = shardio_p_take_over_index(&file, layout, (uint8_t *)memory, memory_size, &size,
                                                      &writer->slot.error);
    if (status != SHARDIO_OK) {
        (void)shardio_p_file_close(&file, SHARDIO_CLOSE_DISCARD, false, NULL);
        return status;
    }
    status = shardio_p_shard_start(writer, file, layout, memory, memory_size, buffer, buffer_size, options, size);
    if (status != SHARDIO_OK) return status;
    writer->slot.continued = true;
    writer->live = shardio_p_live_bytes(layout, writer->index);
    writer->indexed = writer->exposed = true;
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_shard_begin_update(shardio_shard_writer *writer, shardio_file file,
                                                      shardio_shard_reader *old, const shardio_index_layout *layout,
                                                      void *memory, size_t memory_size, void *buffer, size_t buffer_size,
                                                      const shardio_slot_options *options)
{
    if (writer == NULL) return SHARDIO_ERR_ARGUMENT;
    memset(writer, 0, sizeof *writer);
    if (old == NULL)
        return shardio_p_shard_extend(writer, file, layout, memory, memory_size, buffer, buffer_size, options);
    shardio_status status = shardio_shard_begin(writer, file, layout, memory, memory_size, buffer, buffer_size,
                                                options);
    if (status == SHARDIO_OK && old->layout.chunks != layout->chunks)
        status = shardio_p_slot_fail(&writer->slot, SHARDIO_ERR_ARGUMENT, "begin", SHARDIO_NO_OFFSET, 0,
                                     "the shard that is replaced has another number of chunks");
    writer->old = old;
    return status;
}

#if !SHARDIO_NO_OS
/* Handle, index and buffer of a shard file in memory of its own. */
static shardio_status shardio_p_shard_own(shardio_shard_writer *writer, shardio_file file, shardio_shard_reader *old,
                                          const shardio_index_layout *layout, bool update,
                                          const shardio_slot_options *options)
{
    shardio_slot_options o = shardio_p_shard_slot_options(options);
    size_t buffer_size = o.buffer_size != 0 ? o.buffer_size : (size_t)SHARDIO_P_DEFAULT_BUFFER;
    size_t alignment = buffer_size < SHARDIO_P_MAX_BLOCK ? SHARDIO_P_DEFAULT_BLOCK : SHARDIO_P_MAX_BLOCK;
    size_t index_size = shardio_shard_memory(layout, alignment), size;
    uint8_t *memory = NULL;
    buffer_size = (size_t)shardio_p_ceil(buffer_size, alignment);   /* so that the index behind it is aligned as well */
    size = buffer_size + index_size;
    if (index_size > 0 && size > index_size) memory = (uint8_t *)shardio_p_allocate(o.allocator, size, alignment);
    if (memory == NULL) {
        shardio_p_fail(&writer->slot.error, index_size > 0 ? SHARDIO_ERR_MEMORY : SHARDIO_ERR_ARGUMENT, "begin",
                       file.name,
                       index_size > 0 ? "no memory for index and buffer" : "a shard needs a number of chunks");
        (void)shardio_p_file_close(&file, SHARDIO_CLOSE_DISCARD, false, NULL);
        return writer->slot.error.status;
    }
    if (update)
        (void)shardio_shard_begin_update(writer, file, old, layout, memory + buffer_size, index_size, memory,
                                         buffer_size, &o);
    else (void)shardio_shard_begin(writer, file, layout, memory + buffer_size, index_size, memory, buffer_size, &o);
    writer->allocator = o.allocator;
    writer->own_memory = memory;
    writer->own_size = size;
    writer->own_alignment = alignment;
    shardio_status status = writer->slot.error.status;
    if (status != SHARDIO_OK) shardio_shard_abort(writer);
    return status;
}

static shardio_status shardio_p_shard_open_output(shardio_shard_writer *writer, const char *path,
                                                  shardio_open_mode mode,
                                                  const shardio_slot_options *options, bool overwrite, shardio_file *file)
{
    shardio_open_options how = {NULL, false, false, false};
    shardio_slot_options o = shardio_p_shard_slot_options(options);
    how.allocator = o.allocator;
    how.overwrite = overwrite;
    how.in_place = o.in_place;
    how.make_parents = o.make_parents;
    shardio_p_no_error(&writer->slot.error);
    return shardio_file_open(file, path, mode, &how, &writer->slot.error);
}

SHARDIO_API shardio_status shardio_shard_create(shardio_shard_writer *writer, const char *path,
                                                const shardio_index_layout *layout, const shardio_slot_options *options)
{
    shardio_file file;
    if (writer == NULL) return SHARDIO_ERR_ARGUMENT;
    memset(writer, 0, sizeof *writer);
    shardio_status status = shardio_p_shard_open_output(writer, path, SHARDIO_OPEN_CREATE, options,
                                                        options != NULL && options->overwrite, &file);
    return status == SHARDIO_OK ? shardio_p_shard_own(writer, file, NULL, layout, false, options) : status;
}

/* Opens the old shard for a rewrite; the writer owns the reader from here. */
static shardio_shard_reader *shardio_p_open_old(shardio_shard_writer *writer, const char *path,
                                                const shardio_index_layout *layout, const shardio_allocator *allocator)
{
    shardio_shard_reader *old = (shardio_shard_reader *)shardio_p_allocate(allocator, sizeof *old, sizeof(uint64_t));
    if (old == NULL) {
        shardio_p_fail(&writer->slot.error, SHARDIO_ERR_MEMORY, "update", path, NULL);
        return NULL;
    }
    if (shardio_shard_open(old, path, layout, allocator, &writer->slot.error) == SHARDIO_OK) return old;
    shardio_p_release(allocator, old, sizeof *old, sizeof(uint64_t));
    return NULL;
}

static void shardio_p_close_old(shardio_shard_reader *old, const shardio_allocator *allocator)
{
    shardio_shard_close(old);
    shardio_p_release(allocator, old, sizeof *old, sizeof(uint64_t));
}

SHARDIO_API shardio_status shardio_shard_update(shardio_shard_writer *writer, const char *path,
                                                const shardio_index_layout *layout, shardio_update how,
                                                const shardio_slot_options *options)
{
    shardio_file file;
    if (writer == NULL) return SHARDIO_ERR_ARGUMENT;
    memset(writer, 0, sizeof *writer);
    if (how == SHARDIO_UPDATE_APPEND) {
        shardio_status opened = shardio_p_shard_open_output(writer, path, SHARDIO_OPEN_UPDATE, options, false, &file);
        return opened == SHARDIO_OK ? shardio_p_shard_own(writer, file, NULL, layout, true, options) : opened;
    }
    shardio_slot_options o = shardio_p_shard_slot_options(options);
    o.in_place = false;   /* the old shard is read until the new one is there */
    shardio_shard_reader *old = shardio_p_open_old(writer, path, layout, o.allocator);
    if (old == NULL) return writer->slot.error.status;
    shardio_status status = shardio_p_shard_open_output(writer, path, SHARDIO_OPEN_CREATE, &o, true, &file);
    if (status == SHARDIO_OK) status = shardio_p_shard_own(writer, file, old, layout, true, &o);
    if (status == SHARDIO_OK) writer->own_old = true;
    else shardio_p_close_old(old, o.allocator);
    return status;
}
#endif

/* Chunks that share the last block of an index at the start are kept to be rewritten with it. */
static void shardio_p_shard_keep_head(shardio_shard_writer *writer, uint64_t offset, const void *data, size_t size)
{
    if (offset >= writer->head_size) return;
    memcpy(writer->index + offset, data, (size_t)shardio_p_min(size, writer->head_size - offset));
}

static shardio_status shardio_p_shard_append(shardio_shard_writer *writer, const void *data, size_t size)
{
    uint64_t offset = shardio_slot_size(&writer->slot);
    shardio_status status = shardio_slot_append(&writer->slot, data, size);
    if (status == SHARDIO_OK && size > 0) shardio_p_shard_keep_head(writer, offset, data, size);
    return status;
}

/* Points chunk number `chunk` to what was appended. */
static void shardio_p_shard_place(shardio_shard_writer *writer, uint64_t chunk, uint64_t offset, uint64_t length)
{
    uint64_t before, replaced;
    shardio_index_get(&writer->layout, writer->index, chunk, &before, &replaced);
    if (replaced != SHARDIO_MISSING) writer->live -= replaced;
    if (length != SHARDIO_MISSING) writer->live += length;
    shardio_index_set(&writer->layout, writer->index, chunk, offset, length);
    if (writer->old != NULL)   /* it no longer comes from the shard that is replaced */
        shardio_index_set(&writer->old->layout, writer->old->index, chunk, SHARDIO_MISSING, SHARDIO_MISSING);
    writer->indexed = false;
}

/* The index does not count what the file cannot hold. */
static shardio_status shardio_p_shard_enter(shardio_shard_writer *writer, const char *operation, uint64_t chunk)
{
    if (writer == NULL) return SHARDIO_ERR_ARGUMENT;
    shardio_status status = shardio_p_slot_enter(&writer->slot, operation);
    if (status != SHARDIO_OK || chunk < writer->layout.chunks) return status;
    return shardio_p_slot_fail(&writer->slot, SHARDIO_ERR_ARGUMENT, operation, SHARDIO_NO_OFFSET, 0,
                               "the shard has fewer chunks than this number");
}

static shardio_status shardio_p_shard_sync_when_due(shardio_shard_writer *writer)
{
    if (writer->sync_every == 0 || shardio_slot_size(&writer->slot) - writer->synced < writer->sync_every)
        return SHARDIO_OK;
    shardio_status status = shardio_shard_checkpoint(writer);
    if (status == SHARDIO_OK) status = shardio_slot_sync(&writer->slot);
    writer->synced = shardio_slot_size(&writer->slot);
    return status;
}

SHARDIO_API shardio_status shardio_shard_put(shardio_shard_writer *writer, uint64_t chunk, const void *data,
                                             size_t size)
{
    return shardio_shard_put_many(writer, &chunk, 1, data, size);
}

SHARDIO_API shardio_status shardio_shard_put_many(shardio_shard_writer *writer, const uint64_t *chunks, size_t count,
                                                  const void *data, size_t size)
{
    shardio_status status = SHARDIO_OK;
    if (count > 0 && (chunks == NULL || size > SIZE_MAX / count)) {
        status = shardio_p_shard_enter(writer, "put", 0);
        return status != SHARDIO_OK ? status
                                    : shardio_p_slot_fail(&writer->slot, SHARDIO_ERR_ARGUMENT, "put", SHARDIO_NO_OFFSET,
                                                          0, "no chunk numbers, or more bytes than memory has");
    }
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++) status = shardio_p_shard_enter(writer, "put", chunks[i]);
    if (status != SHARDIO_OK || count == 0) return status;
    uint64_t offset = shardio_slot_size(&writer->slot);
    status = shardio_p_shard_append(writer, data, size * count);
    if (status != SHARDIO_OK) return status;
    for (size_t i = 0; i < count; i++) shardio_p_shard_place(writer, chunks[i], offset + (uint64_t)i * size, size);
    return shardio_p_shard_sync_when_due(writer);
}

SHARDIO_API shardio_status shardio_shard_drop(shardio_shard_writer *writer, uint64_t chunk)
{
    shardio_status status = shardio_p_shard_enter(writer, "drop", chunk);
    if (status == SHARDIO_OK) shardio_p_shard_place(writer, chunk, SHARDIO_MISSING, SHARDIO_MISSING);
    return status;
}

/* Index at the start, of a file that others may be reading: a copy at the tail is safe before the head is touched. */
static shardio_status shardio_p_shard_write_head(shardio_shard_writer *writer)
{
    shardio_slot *slot = &writer->slot;
    shardio_status status = SHARDIO_OK;
    if (writer->exposed) {
        /* it may share blocks with the head */
        status = shardio_p_shard_append(writer, writer->index, writer->index_size);
        if (status == SHARDIO_OK) status = shardio_p_slot_settle(slot, slot->durability != SHARDIO_DURABLE_NONE);
        slot->restore = shardio_slot_size(slot);   /* should the head be torn, the copy must not be cut off */
    }
    if (status != SHARDIO_OK) return status;
    size_t size = slot->padded ? writer->head_size : writer->index_size;
    return shardio_slot_overwrite(slot, 0, writer->index, (size_t)shardio_p_min(size, shardio_slot_size(slot)));
}

/* Brings the index into the file unless it is there. */
static shardio_status shardio_p_shard_write_index(shardio_shard_writer *writer)
{
    shardio_status status = SHARDIO_OK;
    if (writer->indexed) return SHARDIO_OK;
    shardio_index_seal(&writer->layout, writer->index);
    /* in a file that others may be reading, the chunks are on the disk before an index points to them */
    if (writer->exposed && writer->slot.durability != SHARDIO_DURABLE_NONE)
        status = shardio_p_slot_settle(&writer->slot, true);
    if (status == SHARDIO_OK)
        status = writer->layout.at_start ? shardio_p_shard_write_head(writer)
                                                    : shardio_slot_append(&writer->slot, writer->index,
                                                                          writer->index_size);
    writer->indexed = status == SHARDIO_OK;
    return status;
}

SHARDIO_API shardio_status shardio_shard_checkpoint(shardio_shard_writer *writer)
{
    shardio_status status = shardio_p_shard_enter(writer, "checkpoint", 0);
    if (status != SHARDIO_OK) return status;
    if (writer->old != NULL)
        return shardio_p_slot_fail(&writer->slot, SHARDIO_ERR_STATE, "checkpoint", SHARDIO_NO_OFFSET, 0,
                                   "a shard that is rewritten appears when it is finished");
    /* recoverable ever after: with the copy */
    if (writer->layout.at_start && !writer->indexed) writer->exposed = true;
    status = shardio_p_shard_write_index(writer);
    if (status == SHARDIO_OK) status = shardio_slot_checkpoint(&writer->slot);
    writer->exposed = true;
    return status;
}

/* Rewrite: what was neither put nor dropped comes from the old shard. */
static shardio_status shardio_p_shard_copy_old(shardio_shard_writer *writer)
{
    shardio_shard_reader *old = writer->old;
    shardio_status status = SHARDIO_OK;
    for (uint64_t chunk = 0; old != NULL && chunk < writer->layout.chunks && status == SHARDIO_OK; chunk++) {
        uint64_t offset, length, at = shardio_slot_size(&writer->slot);
        status = shardio_shard_locate(old, chunk, &offset, &length, &writer->slot.error);
        if (status != SHARDIO_OK || length == SHARDIO_MISSING) continue;
        status = shardio_p_slot_append_from(&writer->slot, &old->file, offset, length);
        if (status == SHARDIO_OK && at < writer->head_size)   /* it shares a block with the index */
            status = shardio_file_read(&old->file, offset, writer->index + at,
                                       (size_t)shardio_p_min(length, writer->head_size - at), &writer->slot.error);
        if (status == SHARDIO_OK) shardio_p_shard_place(writer, chunk, at, length);
    }
    return status;
}

static void shardio_p_shard_end(shardio_shard_writer *writer)
{
#if !SHARDIO_NO_OS
    if (writer->own_old) shardio_p_close_old(writer->old, writer->allocator);
#endif
    writer->old = NULL;
    writer->own_old = false;
    shardio_p_release(writer->allocator, writer->own_memory, writer->own_size, writer->own_alignment);
    writer->own_memory = NULL;
}

SHARDIO_API shardio_status shardio_shard_finish(shardio_shard_writer *writer, shardio_error *error)
{
    if (writer == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "finish", NULL, "no shard");
    shardio_status status = shardio_p_shard_enter(writer, "finish", 0);
    if (status == SHARDIO_OK) status = shardio_p_shard_copy_old(writer);
    if (status == SHARDIO_OK) (void)shardio_p_shard_write_index(writer);
    status = shardio_slot_finish(&writer->slot);   /* an error so far: the file is discarded */
    shardio_p_shard_end(writer);
    if (error != NULL) *error = writer->slot.error;
    return status;
}

SHARDIO_API void shardio_shard_abort(shardio_shard_writer *writer)
{
    if (writer == NULL) return;
    shardio_slot_abort(&writer->slot);
    shardio_p_shard_end(writer);
}

SHARDIO_API shardio_accounting shardio_shard_accounting(const shardio_shard_writer *writer)
{
    shardio_accounting accounting = writer->slot.accounting;
    uint64_t size = shardio_slot_size(&writer->slot), live = writer->live;
    if (writer->layout.at_start || writer->indexed) live += writer->index_size;
    accounting.logical_bytes = size;
    accounting.dead_bytes = size > live ? size - live : 0;
    return accounting;
}

/* -- reading */

SHARDIO_API shardio_status shardio_shard_open_file(shardio_shard_reader *reader, shardio_file file,
                                                   const shardio_index_layout *layout,
                                                   const shardio_allocator *allocator, shardio_error *error)
{
    shardio_p_no_error(error);
    if (reader == NULL) return shardio_p_no_reader(&file, error);
    memset(reader, 0, sizeof *reader);
    reader->file = file;
    if (file.functions == NULL || !shardio_p_layout_fits(layout)) {
        shardio_status wrong = shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", file.name,
                                              "a shard needs a number of chunks");
        shardio_shard_close(reader);
        return wrong;
    }
    reader->layout = *layout;
    reader->allocator = allocator;
    reader->index_size = shardio_index_size(layout);
    shardio_status status = shardio_p_file_facts(&file, &reader->facts, error);
    if (status == SHARDIO_OK && reader->facts.size >= reader->index_size) {   /* so the file justifies the memory */
        reader->index = (uint8_t *)shardio_p_allocate(allocator, reader->index_size, 16);
        if (reader->index == NULL)
            status = shardio_p_fail(error, SHARDIO_ERR_MEMORY, "open", file.name, "no memory for the index");
        reader->index_offset = shardio_p_index_place(layout, reader->facts.size);
    }
    if (status == SHARDIO_OK) status = shardio_p_read_index(&file, layout, reader->facts.size, reader->index, error);
    reader->reads = 1;
    if (status != SHARDIO_OK) shardio_shard_close(reader);
    return status;
}

#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_shard_open(shardio_shard_reader *reader, const char *path,
                                              const shardio_index_layout *layout, const shardio_allocator *allocator,
                                              shardio_error *error)
{
    shardio_open_options how = {NULL, false, false, false};
    shardio_file file;
    if (reader == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", path, "no reader");
    memset(reader, 0, sizeof *reader);
    how.allocator = allocator;
    shardio_status status = shardio_file_open(&file, path, SHARDIO_OPEN_READ, &how, error);
    return status == SHARDIO_OK ? shardio_shard_open_file(reader, file, layout, allocator, error) : status;
}
#endif

SHARDIO_API shardio_status shardio_shard_locate(const shardio_shard_reader *reader, uint64_t chunk, uint64_t *offset,
                                                uint64_t *length, shardio_error *error)
{
    const char *reason = "the shard has fewer chunks than this number";
    shardio_status status = SHARDIO_ERR_ARGUMENT;
    shardio_p_no_error(error);
    if (reader == NULL || reader->index == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_STATE, "look up", NULL, "the shard is not open");
    if (chunk < reader->layout.chunks)
        status = shardio_index_entry(&reader->layout, reader->index, chunk, reader->facts.size, reader->index_offset,
                                     offset, length, &reason);
    if (status == SHARDIO_OK) return SHARDIO_OK;
    shardio_p_part_name name;
    return shardio_p_fail(error, status, "look up", shardio_p_name_part(&name, "chunk", chunk, reader->file.name),
                          reason);
}

SHARDIO_API shardio_status shardio_shard_read(shardio_shard_reader *reader, uint64_t chunk, void *memory,
                                              size_t capacity, uint64_t *size, shardio_error *error)
{
    uint64_t offset;
    shardio_status status = shardio_shard_locate(reader, chunk, &offset, size, error);
    if (status != SHARDIO_OK || *size == SHARDIO_MISSING || *size == 0) return status;
    if (*size > capacity) {
        shardio_p_part_name name;
        return shardio_p_fail(error, SHARDIO_ERR_LIMIT, "read",
                              shardio_p_name_part(&name, "chunk", chunk, reader->file.name),
                              "it is larger than the memory for it");
    }
    reader->reads++;
    return shardio_file_read(&reader->file, offset, memory, (size_t)*size, error);
}

typedef struct shardio_p_extent {
    uint64_t offset, length, chunk;
} shardio_p_extent;

static void shardio_p_sift(shardio_p_extent *extents, size_t root, size_t count)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && extents[child + 1].offset > extents[child].offset) child++;
        if (extents[root].offset >= extents[child].offset) return;
        shardio_p_extent moved = extents[root];
        extents[root] = extents[child];
        extents[child] = moved;
    }
}

/* Heapsort by offset: in place, no recursion, no bad case. Sorted input, the usual one, is seen first. */
static void shardio_p_sort(shardio_p_extent *extents, size_t count)
{
    size_t sorted = 1;
    while (sorted < count && extents[sorted - 1].offset <= extents[sorted].offset) sorted++;
    if (sorted >= count) return;
    for (size_t i = count / 2; i > 0; i--) shardio_p_sift(extents, i - 1, count);
    for (size_t last = count; last > 1; last--) {
        shardio_p_extent largest = extents[0];
        extents[0] = extents[last - 1];
        extents[last - 1] = largest;
        shardio_p_sift(extents, 0, last - 1);
    }
}

enum {
    SHARDIO_P_WINDOW = 256,
    SHARDIO_P_CACHED_READ = 1 << 20   /* bytes of a read through the page cache: what was read is still in the CPU's */
};

/* How many of the extents, from the first, lie side by side within `size` bytes; *bytes is what they take. */
static size_t shardio_p_neighbours(const shardio_p_extent *extents, size_t count, size_t size, size_t *bytes)
{
    uint64_t end = extents[0].offset + extents[0].length;
    size_t n = 1;
    while (n < count && extents[n].offset == end && end - extents[0].offset + extents[n].length <= size)
        end += extents[n++].length;
    *bytes = (size_t)(end - extents[0].offset);
    return n;
}

enum { SHARDIO_P_AHEAD = 32 << 20 };   /* bytes that the system is told of before they are read */

/* Whether an extent lies right behind the one before it. Of those the system is not told: it reads ahead by itself, in
   larger steps than when it is told piece by piece. */
static bool shardio_p_follows_on(const shardio_p_extent *extents, size_t number)
{
    return number > 0 && extents[number - 1].offset + extents[number - 1].length == extents[number].offset;
}

/* Tells the system what comes, up to a distance from what is read now. *told counts extents, *ahead bytes. */
static void shardio_p_tell_ahead(const shardio_shard_reader *reader, const shardio_p_extent *extents, size_t count,
                                 size_t size, size_t *told, uint64_t *ahead)
{
    void (*hint)(void *, shardio_hint, uint64_t, uint64_t) = reader->file.functions->hint;
    while (hint != NULL && reader->block == 0 && *told < count && *ahead < SHARDIO_P_AHEAD) {
        size_t bytes, n = shardio_p_neighbours(extents + *told, count - *told, size, &bytes);
        if (bytes > 0 && !shardio_p_follows_on(extents, *told))
            hint(reader->file.context, SHARDIO_HINT_WILL_NEED, extents[*told].offset, bytes);
        *ahead += bytes;
        *told += n;
    }
}

/* Reads `size` bytes at `offset` to `memory`, in whole blocks where that is asked for; *data is where they begin. A
   system that refuses unbuffered reads after all gets buffered ones. */
static shardio_status shardio_p_read_blocks(shardio_shard_reader *reader, uint64_t offset, size_t size, uint8_t *memory,
                                            const uint8_t **data, shardio_error *error)
{
    uint64_t block = reader->block, begin = block > 0 ? offset / block * block : offset;
    size_t want = (size_t)(offset - begin) + size, got = 0;
    shardio_status status = SHARDIO_OK;
    *data = memory + (offset - begin);
    reader->reads++;
    while (block > 0 && got < want && status == SHARDIO_OK) {
        size_t ask = (size_t)shardio_p_min(shardio_p_ceil(want - got, block), SHARDIO_P_LARGEST_TRANSFER), done = 0;
        int code = 0;
        status = reader->file.functions->read(reader->file.context, begin + got, memory + got, ask, &done, &code);
        if (status == SHARDIO_OK && (done == 0 || done > ask)) status = SHARDIO_ERR_TRUNCATED;
        got += done;
        /* the file ends here, or it may as well */
        if (got % block != 0 && got < want) status = SHARDIO_ERR_TRUNCATED;
    }
    if (block > 0 && status == SHARDIO_OK) return SHARDIO_OK;
    if (block > 0) {
        int code = 0;
        (void)reader->file.functions->set_direct(reader->file.context, false, &code);
        reader->block = 0;
    }
    *data = memory;
    return shardio_file_read(&reader->file, offset, memory, size, error);
}

/* Takes chunks that came with one read; `data` is where the first begins. Or one chunk that is missing. */
typedef shardio_status (*shardio_p_piece_taker)(void *context, const shardio_p_extent *extents, size_t count,
                                                const uint8_t *data, shardio_error *error);

/* Reads the extents of a window, neighbours together, and hands them on. */
static shardio_status shardio_p_read_extents(shardio_shard_reader *reader, const shardio_p_extent *extents,
                                             size_t count,
                                             uint8_t *memory, size_t size, shardio_p_piece_taker take, void *context,
                                             shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    size_t told = 0, room = size > 2 * (size_t)reader->block ? size - 2 * (size_t)reader->block : 0;
    uint64_t ahead = 0;
    for (size_t at = 0, n; at < count && status == SHARDIO_OK; at += n) {
        size_t bytes;
        const uint8_t *data = memory;
        n = shardio_p_neighbours(extents + at, count - at, room, &bytes);
        if (extents[at].length > room) {
            shardio_p_part_name name;
            return shardio_p_fail(error, SHARDIO_ERR_LIMIT, "read",
                                  shardio_p_name_part(&name, "chunk", extents[at].chunk, reader->file.name),
                                  "it is larger than the memory for it");
        }
        if (told < at + n) told = at + n;
        if (n < count) shardio_p_tell_ahead(reader, extents, count, room, &told, &ahead);
        ahead -= shardio_p_min(ahead, bytes);
        if (bytes > 0) status = shardio_p_read_blocks(reader, extents[at].offset, bytes, memory, &data, error);
        if (status == SHARDIO_OK) status = take(context, extents + at, n, data, error);
    }
    return status;
}

SHARDIO_API bool shardio_shard_read_unbuffered(shardio_shard_reader *reader)
{
    shardio_status (*set_direct)(void *, bool, int *) = reader->file.functions->set_direct;
    const shardio_file_facts *f = &reader->facts;
    uint32_t block = f->length_alignment;
    int code = 0;
    if (f->offset_alignment > block) block = f->offset_alignment;
    if (f->memory_alignment > block) block = f->memory_alignment;
    if (block == 0 || block > SHARDIO_P_DEFAULT_BLOCK || set_direct == NULL) return false;
    if (set_direct(reader->file.context, true, &code) != SHARDIO_OK) return false;
    reader->block = block;
    return true;
}

static shardio_status shardio_p_read_pieces(shardio_shard_reader *reader, const uint64_t *chunks, size_t count,
                                            void *memory, size_t size, shardio_p_piece_taker take, void *context,
                                            shardio_error *error)
{
    shardio_p_extent window[SHARDIO_P_WINDOW];
    shardio_status status = SHARDIO_OK;
    shardio_p_no_error(error);
    for (size_t done = 0; done < count && status == SHARDIO_OK;) {
        size_t held = 0;
        for (; done < count && held < SHARDIO_P_WINDOW && status == SHARDIO_OK; done++) {
            shardio_p_extent *e = &window[held];
            e->chunk = chunks[done];
            status = shardio_shard_locate(reader, e->chunk, &e->offset, &e->length, error);
            if (status != SHARDIO_OK) break;
            if (e->length == SHARDIO_MISSING) status = take(context, e, 1, NULL, error);
            else held++;
        }
        if (status != SHARDIO_OK) break;
        shardio_p_sort(window, held);
        status = shardio_p_read_extents(reader, window, held, (uint8_t *)memory, size, take, context, error);
    }
    return status;
}

typedef struct shardio_p_taking_chunks {
    shardio_chunk_taker take;
    void *context;
} shardio_p_taking_chunks;

/* Hands the chunks of a piece on one by one. */
static shardio_status shardio_p_take_chunks(void *context, const shardio_p_extent *extents, size_t count,
                                            const uint8_t *data, shardio_error *error)
{
    const shardio_p_taking_chunks *t = (const shardio_p_taking_chunks *)context;
    shardio_status status = SHARDIO_OK;
    if (extents->length == SHARDIO_MISSING) return t->take(t->context, extents->chunk, NULL, 0, error);
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++) {
        const uint8_t *at = extents[i].length > 0 ? data + (extents[i].offset - extents[0].offset) : data;
        status = t->take(t->context, extents[i].chunk, at, (size_t)extents[i].length, error);
    }
    return status;
}

SHARDIO_API shardio_status shardio_shard_read_many(shardio_shard_reader *reader, const uint64_t *chunks, size_t count,
                                                   void *memory, size_t size, shardio_chunk_taker take, void *context,
                                                   shardio_error *error)
{
    shardio_p_taking_chunks taking = {take, context};
    return shardio_p_read_pieces(reader, chunks, count, memory, size, shardio_p_take_chunks, &taking, error);
}

SHARDIO_API shardio_status shardio_shard_unchanged(const shardio_shard_reader *reader, shardio_error *error)
{
    shardio_file_facts now;
    shardio_p_no_error(error);
    shardio_status status = shardio_p_file_facts(&reader->file, &now, error);
    if (status != SHARDIO_OK) return status;
    if (now.size == reader->facts.size && memcmp(now.identity, reader->facts.identity, sizeof now.identity) == 0)
        return SHARDIO_OK;
    return shardio_p_fail(error, SHARDIO_ERR_CHANGED, "read", reader->file.name,
                          "it was replaced or written since it was opened");
}

/* -- verifying */

static void shardio_p_found(shardio_shard_summary *summary, shardio_finding finding, void *context,
                            const shardio_error *fault)
{
    summary->faults++;
    if (finding != NULL) finding(context, fault);
}

static void shardio_p_count_chunk(shardio_shard_summary *summary, uint64_t length)
{
    if (summary->present == 0 || length < summary->smallest) summary->smallest = length;
    if (length > summary->largest) summary->largest = length;
    summary->present++;
}

/* Sorted extents: reports each that begins before the one before it ends; live bytes are counted once. */
static void shardio_p_find_overlaps(const shardio_shard_reader *reader, const shardio_p_extent *extents, size_t count,
                                    shardio_shard_summary *summary, shardio_finding finding, void *context)
{
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t stop = extents[i].offset + extents[i].length;
        if (extents[i].length > 0 && extents[i].offset < end) {
            shardio_p_part_name name;
            shardio_error fault;
            shardio_p_fail_at(&fault, SHARDIO_ERR_CORRUPT, "verify",
                              shardio_p_name_part(&name, "chunk", extents[i].chunk, reader->file.name),
                              extents[i].offset, 0, "it overlaps another chunk");
            shardio_p_found(summary, finding, context, &fault);
        }
        if (stop > end) {
            summary->live_bytes += stop - shardio_p_max(end, extents[i].offset);
            end = stop;
        }
    }
}

SHARDIO_API shardio_status shardio_shard_verify(shardio_shard_reader *reader, shardio_shard_summary *summary,
                                                shardio_finding finding, void *context, shardio_error *error)
{
    shardio_shard_summary own;
    shardio_error fault;
    size_t held = 0;
    if (summary == NULL) summary = &own;
    shardio_p_no_error(error);
    memset(summary, 0, sizeof *summary);
    if (reader == NULL || reader->index == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_STATE, "verify", NULL, "the shard is not open");
    size_t bytes = (size_t)reader->layout.chunks * sizeof(shardio_p_extent);
    if (reader->layout.chunks > SIZE_MAX / sizeof(shardio_p_extent)) bytes = 0;
    shardio_p_extent *extents = bytes > 0 ? (shardio_p_extent *)shardio_p_allocate(reader->allocator, bytes, 16) : NULL;
    if (extents == NULL) return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "verify", reader->file.name, NULL);
    for (uint64_t chunk = 0; chunk < reader->layout.chunks; chunk++) {
        shardio_p_extent *e = &extents[held];
        e->chunk = chunk;
        if (shardio_shard_locate(reader, chunk, &e->offset, &e->length, &fault) != SHARDIO_OK) {
            shardio_p_found(summary, finding, context, &fault);
        } else if (e->length == SHARDIO_MISSING) {
            summary->missing++;
        } else {
            shardio_p_count_chunk(summary, e->length);
            held++;
        }
    }
    shardio_p_sort(extents, held);
    shardio_p_find_overlaps(reader, extents, held, summary, finding, context);
    shardio_p_release(reader->allocator, extents, bytes, 16);
    summary->file_bytes = reader->facts.size;
    summary->index_bytes = reader->index_size;
    uint64_t used = summary->live_bytes + summary->index_bytes;
    summary->dead_bytes = summary->file_bytes > used ? summary->file_bytes - used : 0;
    if (summary->faults == 0) return SHARDIO_OK;
    return shardio_p_fail(error, SHARDIO_ERR_CORRUPT, "verify", reader->file.name, "its index contradicts itself");
}

/* -- recovering

   Which index is the true one? A torn file holds the indexes that were written, each of which continues the one before,
   and maybe others that were not: of shards that lie in it as chunks, of whatever a chunk imitates. A true index

     is anchored   in this file: a chunk ends where it begins, since the chunk appended last is alive in practice; or
                   it is the first thing in the file; or it lies right behind the one before and only drops chunks.
                   The index of a shard that is a chunk at byte b > 0 counts from b, so that nothing that it points to
                   ends less than b bytes before it;
     follows       the one before: each entry is the same, is missing, or points to where that one ended or behind.

   So the newest anchored one is taken if each anchored one before it is followed, or is all of the file's first chunk,
   which then is a shard itself. One that is not anchored is data if an anchored one comes later. If none does it could
   be the newest, or data behind the newest: ambiguous, as are two that contradict each other.

   With the index at the start, what is valid at its place is certain. A copy behind the chunks is newer if it follows.
   The head is rewritten right after its copy. So a copy that only drops chunks has to be the last thing in the file,
   and if the head is zeros, which it is until it is written, any copy has. If the head is torn, the last thing may be a
   copy that is not anchored otherwise, if it agrees with what is left of the head.

   What cannot be told from the bytes: a chunk that begins with what an update would have written there; and, where the
   first chunk is a shard with as many chunks, a file that was torn before its own first index. Only `check` sees those,
   and not even that a shard without chunks, which is taken for the first checkpoint of an empty file. */

/* What was found in a place that holds a matching checksum, read as an index. */
typedef struct shardio_p_candidate {
    const uint8_t *index;
    uint64_t start, end;      /* bytes of the file */
    uint64_t reach;           /* where its last chunk ends */
    uint64_t last;            /* number of that chunk, */
    bool any;                 /* if one is not empty */
    bool witness;             /* there is such a chunk, or an empty one put where the index begins */
    bool holds;               /* a chunk of it is the whole file up to the newest index known */
    bool follows;             /* that index */
    uint64_t effort;          /* bytes of it that were looked at */
} shardio_p_candidate;

typedef struct shardio_p_recovery {
    const shardio_file *file;
    const shardio_index_layout *layout;
    shardio_chunk_check check;
    void *context;
    shardio_recovery *found;
    shardio_error *error;
    shardio_file_facts facts;
    shardio_file watched;           /* the file as `check` reads it, */
    shardio_error watched_error;    /* and what went wrong */
    shardio_p_crc_window window;
    const shardio_allocator *allocator;
    void *memory;
    size_t memory_size, alignment;
    uint8_t *buffer, *index, *head; /* a piece of the file; the newest index known; what is at the start */
    size_t capacity;
    shardio_p_extent *extents;
    uint64_t base;                  /* where chunks begin */
    uint64_t at;                    /* of buffer[0] in the file */
    uint64_t data_end;              /* index at the start: nothing but zeros from here on */
    uint64_t effort, most_effort;   /* bytes of indexes and chunks looked at besides the pass */
    bool known;                     /* an index is: */
    uint64_t start;                 /* of its newest copy, */
    uint64_t end;                   /* where chunks begin that it does not know yet */
    uint64_t seam;                  /* where the next one may lie if it only drops chunks */
    bool head_valid, head_torn, head_blank;
    bool in_head;                   /* the index known is what the head says */
    uint64_t head_reach;
    bool conflict;                  /* anchored ones that contradict each other */
    uint64_t doubt;                 /* one that is not anchored, behind the newest that is; or SHARDIO_NO_OFFSET */
} shardio_p_recovery;

static shardio_status shardio_p_recovery_fail(const shardio_p_recovery *r, shardio_status status, const char *reason)
{
    return shardio_p_fail(r->error, status, "recover", r->file->name, reason);
}

/* An honest file needs no more than a few times its size; in a hostile one an index may fit at every 16 bytes. */
static shardio_status shardio_p_spend(shardio_p_recovery *r, uint64_t effort)
{
    if (effort <= r->most_effort - r->effort) {
        r->effort += effort;
        return SHARDIO_OK;
    }
    r->found->ambiguous = true;
    return shardio_p_recovery_fail(r, SHARDIO_ERR_LIMIT, "too much of it looks like an index");
}

/* That a check of the caller's cannot read is no reason to pass over an index. */
static shardio_status shardio_p_watch(shardio_p_recovery *r, shardio_status status, const char *operation,
                                      uint64_t offset, int code)
{
    if (status != SHARDIO_OK && r->watched_error.status == SHARDIO_OK)
        shardio_p_fail_at(&r->watched_error, status, operation, r->file->name, offset, code, NULL);
    return status;
}

static shardio_status shardio_p_watched_read(void *file, uint64_t offset, void *data, size_t size, size_t *done,
                                             int *code)
{
    shardio_p_recovery *r = (shardio_p_recovery *)file;
    shardio_status status = r->file->functions->read(r->file->context, offset, data, size, done, code);
    return shardio_p_watch(r, status, "read", offset, *code);
}

static shardio_status shardio_p_watched_facts(void *file, shardio_file_facts *facts, int *code)
{
    shardio_p_recovery *r = (shardio_p_recovery *)file;
    shardio_status status = r->file->functions->facts(r->file->context, facts, code);
    return shardio_p_watch(r, status, "look at", SHARDIO_NO_OFFSET, *code);
}

static shardio_file shardio_p_watched_file(shardio_p_recovery *r)
{
    static const shardio_file_functions functions = {
        shardio_p_watched_read, NULL, NULL, shardio_p_watched_facts, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL
    };
    shardio_file file = {&functions, r, r->file->name};
    return file;
}

/* Memory in one piece, and none that the file does not justify. */
static shardio_status shardio_p_recovery_allocate(shardio_p_recovery *r)
{
    size_t index = shardio_index_size(r->layout);
    uint64_t block = 1;   /* a device that knows nothing but whole blocks gets its head in them */
    if (r->file->functions->set_direct == NULL && r->facts.length_alignment > 1) block = r->facts.length_alignment;
    if (index > SIZE_MAX / 8) return shardio_p_recovery_fail(r, SHARDIO_ERR_MEMORY, "no memory for the index");
    uint64_t piece = shardio_p_max(SHARDIO_P_DEFAULT_BUFFER, (uint64_t)index / 2 * 3);
    uint64_t capacity = shardio_p_max(shardio_p_min(r->facts.size, index + piece), shardio_p_ceil(index, block));
    capacity = shardio_p_ceil(capacity, 16);
    uint64_t kept = shardio_p_ceil(index, 16), extents = r->layout->chunks * sizeof(shardio_p_extent);
    uint64_t size = capacity + extents + (r->layout->at_start ? 2 : 1) * kept;
    r->alignment = (size_t)shardio_p_max(16, block > 1 ? r->facts.memory_alignment : 1);
    if (size <= SIZE_MAX / 2) r->memory = shardio_p_allocate(r->allocator, (size_t)size, r->alignment);
    if (r->memory == NULL) return shardio_p_recovery_fail(r, SHARDIO_ERR_MEMORY, "no memory for the index");
    r->memory_size = (size_t)size;
    r->capacity = (size_t)capacity;
    r->buffer = (uint8_t *)r->memory;
    r->extents = (shardio_p_extent *)(void *)(r->buffer + r->capacity);
    r->index = r->buffer + r->capacity + (size_t)extents;
    r->head = r->index + (size_t)kept;
    return SHARDIO_OK;
}

static shardio_status shardio_p_recovery_begin(shardio_p_recovery *r)
{
    r->doubt = SHARDIO_NO_OFFSET;
    if (r->file == NULL || r->file->functions == NULL || !shardio_p_layout_fits(r->layout))
        return shardio_p_fail(r->error, SHARDIO_ERR_ARGUMENT, "recover", r->file != NULL ? r->file->name : NULL,
                              "a file is needed, and a number of chunks");
    if (r->layout->no_checksum)
        return shardio_p_recovery_fail(r, SHARDIO_ERR_UNSUPPORTED, "an index without checksum looks like any data");
    shardio_status status = shardio_p_file_facts(r->file, &r->facts, r->error);
    if (status != SHARDIO_OK) return status;
    size_t index = shardio_index_size(r->layout);
    r->found->file_bytes = r->facts.size;
    if (r->facts.size < index)
        return shardio_p_recovery_fail(r, SHARDIO_ERR_NOT_FOUND, "the file is shorter than its index");
    r->base = r->layout->at_start ? index : 0;
    if (!shardio_p_multiply(r->facts.size, 8, &r->most_effort)) r->most_effort = UINT64_MAX;
    shardio_p_no_error(&r->watched_error);
    r->watched = shardio_p_watched_file(r);
    shardio_p_crc_window_begin(&r->window, index);
    return shardio_p_recovery_allocate(r);
}

static shardio_p_candidate shardio_p_candidate_at(const shardio_p_recovery *r, const uint8_t *index, uint64_t start)
{
    shardio_p_candidate c;
    memset(&c, 0, sizeof c);
    c.index = index;
    c.start = start;
    c.end = start + r->window.length;
    c.reach = r->base;
    return c;
}

/* Sorted extents, none empty: whether they lie apart, or are the same. */
static bool shardio_p_extents_are_apart(const shardio_p_extent *extents, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const shardio_p_extent *a = &extents[i - 1], *b = &extents[i];
        if (b->offset - a->offset < a->length && (b->offset != a->offset || b->length != a->length)) return false;
    }
    return true;
}

/* Whether all entries can be entries: between the places where chunks begin and `limit`, none across another. */
static bool shardio_p_candidate_fits(const shardio_p_recovery *r, shardio_p_candidate *c, uint64_t limit)
{
    size_t held = 0;
    if (r->layout->more_checksums > 0) c->effort += r->window.length;   /* the search proves the last one only */
    if (r->layout->more_checksums > 0 && shardio_index_check(r->layout, c->index) != SHARDIO_OK) return false;
    for (uint64_t chunk = 0; chunk < r->layout->chunks; chunk++) {
        shardio_p_extent *e = &r->extents[held];
        uint64_t end;
        e->chunk = chunk;
        c->effort += SHARDIO_P_ENTRY;
        shardio_index_get(r->layout, c->index, chunk, &e->offset, &e->length);
        if (e->offset == SHARDIO_MISSING && e->length == SHARDIO_MISSING) continue;
        if (!shardio_p_add(e->offset, e->length, &end) || end > limit) return false;
        if (e->offset == c->start) c->witness = true;
        if (e->length == 0) continue;
        if (e->offset < r->base) return false;
        if (r->known && e->offset == r->base && end == r->seam) c->holds = true;
        held++;
    }
    shardio_p_sort(r->extents, held);
    if (!shardio_p_extents_are_apart(r->extents, held)) return false;
    if (held == 0) return true;
    c->any = c->witness = true;
    c->last = r->extents[held - 1].chunk;
    c->reach = r->extents[held - 1].offset + r->extents[held - 1].length;
    return true;
}

static bool shardio_p_is_entry(const shardio_index_layout *layout, const uint8_t *index, uint64_t chunk,
                               uint64_t offset, uint64_t length)
{
    uint64_t o, l;
    shardio_index_get(layout, index, chunk, &o, &l);
    return o == offset && l == length;
}

/* Whether each entry is that of the index `before`, or missing, or points to `end`, where that one ended, or behind. */
static bool shardio_p_index_follows(const shardio_index_layout *layout, const uint8_t *index, const uint8_t *before,
                                    uint64_t end)
{
    for (uint64_t chunk = 0; chunk < layout->chunks; chunk++) {
        uint64_t offset, length;
        shardio_index_get(layout, index, chunk, &offset, &length);
        if (offset < end && !shardio_p_is_entry(layout, before, chunk, offset, length)) return false;
    }
    return true;
}

/* Whether both have a chunk in the same place. */
static bool shardio_p_indexes_share(const shardio_index_layout *layout, const uint8_t *a, const uint8_t *b)
{
    for (uint64_t chunk = 0; chunk < layout->chunks; chunk++) {
        uint64_t offset, length;
        shardio_index_get(layout, a, chunk, &offset, &length);
        if (length == 0 || length == SHARDIO_MISSING) continue;
        if (shardio_p_is_entry(layout, b, chunk, offset, length)) return true;
    }
    return false;
}

static bool shardio_p_touches(const shardio_p_candidate *c)
{
    return c->any && c->reach == c->start;
}

static bool shardio_p_is_anchored(const shardio_p_recovery *r, const shardio_p_candidate *c)
{
    bool last = c->end >= r->data_end;
    if (r->head_blank && !last) return false;
    if (shardio_p_touches(c) || c->start == r->base) return true;
    if (!last) return false;
    if (c->follows && c->witness && c->start == r->seam) return true;
    return r->head_torn && shardio_p_indexes_share(r->layout, c->index, r->head);
}

/* *fine: the caller's check, if there is one, takes this chunk, or it is missing. */
static shardio_status shardio_p_ask(shardio_p_recovery *r, const uint8_t *index, uint64_t chunk, bool *fine)
{
    uint64_t offset, length;
    shardio_index_get(r->layout, index, chunk, &offset, &length);
    *fine = true;
    if (r->check == NULL || length == SHARDIO_MISSING) return SHARDIO_OK;
    shardio_status status = shardio_p_spend(r, length);
    if (status != SHARDIO_OK) return status;
    *fine = r->check(r->context, &r->watched, chunk, offset, length);
    if (r->watched_error.status == SHARDIO_OK) return SHARDIO_OK;
    if (r->error != NULL) *r->error = r->watched_error;
    return r->watched_error.status;
}

static shardio_status shardio_p_ask_about_last(shardio_p_recovery *r, const shardio_p_candidate *c, bool *fine)
{
    *fine = true;
    return c->any ? shardio_p_ask(r, c->index, c->last, fine) : SHARDIO_OK;
}

/* The same of all chunks, but for those that the index known has: each is asked about once. */
static shardio_status shardio_p_ask_about_all(shardio_p_recovery *r, const shardio_p_candidate *c, bool *fine)
{
    shardio_status status = SHARDIO_OK;
    *fine = true;
    for (uint64_t chunk = 0; r->check != NULL && chunk < r->layout->chunks && *fine && status == SHARDIO_OK; chunk++) {
        uint64_t offset, length;
        shardio_index_get(r->layout, c->index, chunk, &offset, &length);
        if (!r->known || !shardio_p_is_entry(r->layout, r->index, chunk, offset, length))
            status = shardio_p_ask(r, c->index, chunk, fine);
    }
    return status;
}

static void shardio_p_move_index(shardio_p_recovery *r, uint64_t start, uint64_t seam)
{
    r->start = start;
    r->seam = seam;
    r->doubt = SHARDIO_NO_OFFSET;
}

/* From here on this is the newest index known. */
static void shardio_p_take_index(shardio_p_recovery *r, const uint8_t *index, uint64_t start, uint64_t end)
{
    memcpy(r->index, index, r->window.length);
    r->known = true;
    r->in_head = false;
    r->end = end;
    shardio_p_move_index(r, start, end);
}

/* The copy of the head was found: whatever came before it is older than the head. */
static void shardio_p_back_to_head(shardio_p_recovery *r, uint64_t seam)
{
    shardio_p_take_index(r, r->head, 0, r->head_reach);
    shardio_p_move_index(r, 0, seam);
    r->in_head = true;
    r->conflict = false;
}

/* Judges the place at `start`, whose checksum matches. */
static shardio_status shardio_p_consider(shardio_p_recovery *r, const uint8_t *index, uint64_t start)
{
    bool fine;
    shardio_p_candidate c = shardio_p_candidate_at(r, index, start);
    bool fits = shardio_p_candidate_fits(r, &c, start);
    shardio_status status = shardio_p_spend(r, c.effort + (fits ? 2 * (uint64_t)r->window.length : 0));
    if (status != SHARDIO_OK || !fits) return status;
    r->found->candidates++;
    if (r->head_valid && memcmp(index, r->head, r->window.length) == 0) {
        shardio_p_back_to_head(r, c.end);
        return SHARDIO_OK;
    }
    c.follows = r->known && start >= r->end && shardio_p_index_follows(r->layout, index, r->index, r->end);
    if (r->in_head && !c.follows) return SHARDIO_OK;   /* contradicts what is certain */
    bool anchored = shardio_p_is_anchored(r, &c);
    if (r->known && memcmp(index, r->index, r->window.length) == 0) {   /* says the same, true or not */
        if (anchored) shardio_p_move_index(r, start, c.end);
        return SHARDIO_OK;
    }
    status = shardio_p_ask_about_all(r, &c, &fine);
    if (status != SHARDIO_OK || !fine) return status;
    if (!anchored) {
        r->doubt = start;
        return SHARDIO_OK;
    }
    if (r->known && !c.follows && !c.holds) r->conflict = true;
    shardio_p_take_index(r, index, start, c.end);
    return SHARDIO_OK;
}

static shardio_status shardio_p_consider_in_buffer(void *context, size_t at)
{
    shardio_p_recovery *r = (shardio_p_recovery *)context;
    return shardio_p_consider(r, r->buffer + at, r->at + at);
}

/* The pass: looks at every place from r->at on. */
static shardio_status shardio_p_scan(shardio_p_recovery *r)
{
    size_t index = r->window.length, held = 0;
    uint64_t size = r->facts.size;
    uint32_t difference = 0;
    if (size - r->at < index) return SHARDIO_OK;
    for (;;) {
        size_t piece = (size_t)shardio_p_min(r->capacity - held, size - r->at - held);
        shardio_status status = shardio_file_read(r->file, r->at + held, r->buffer + held, piece, r->error);
        if (status != SHARDIO_OK) return status;
        if (held == 0) difference = shardio_p_crc_window_difference(&r->window, r->buffer);
        if (held == 0 && difference == 0) status = shardio_p_consider_in_buffer(r, 0);
        held += piece;
        size_t steps = held - index;
        if (status == SHARDIO_OK)
            status = shardio_p_crc_window_search(&r->window, &difference, r->buffer, steps,
                                                 shardio_p_consider_in_buffer, r);
        r->at += steps;
        if (status != SHARDIO_OK || size - r->at == index) return status;
        memmove(r->buffer, r->buffer + steps, index);
        held = index;
    }
}

static void shardio_p_is_intact(shardio_p_recovery *r, uint64_t index_offset)
{
    r->found->intact = true;
    r->found->end = r->facts.size;
    r->found->index_offset = index_offset;
}

/* An index whose checksum is right where the layout wants it is not given up for another: what is wrong with it came
   later, and others lack what only it points to. Of its chunks only the last one is asked about. */
static shardio_status shardio_p_judge_place(shardio_p_recovery *r, const shardio_p_candidate *c, bool fits)
{
    bool fine = fits;
    shardio_status status = fits ? shardio_p_ask_about_last(r, c, &fine) : SHARDIO_OK;
    r->found->candidates = 1;
    if (status != SHARDIO_OK || fine) return status;
    r->found->ambiguous = true;
    r->found->index_offset = c->start;
    r->found->end = r->facts.size;
    return shardio_p_recovery_fail(r, SHARDIO_ERR_CORRUPT,
                                   fits ? "its index is complete, but the last of its chunks is not"
                                        : "its index is complete, but not what it points to");
}

/* A file that ends with an index that is anchored is intact. */
static shardio_status shardio_p_look_at_end(shardio_p_recovery *r)
{
    shardio_p_candidate c = shardio_p_candidate_at(r, r->index, r->facts.size - r->window.length);
    shardio_status status = shardio_file_read(r->file, c.start, r->index, r->window.length, r->error);
    if (status != SHARDIO_OK || shardio_index_check(r->layout, r->index) != SHARDIO_OK) return status;
    bool fits = shardio_p_candidate_fits(r, &c, c.start);
    if (fits && !shardio_p_touches(&c) && c.start != r->base) return SHARDIO_OK;
    status = shardio_p_judge_place(r, &c, fits);
    if (status == SHARDIO_OK) shardio_p_is_intact(r, c.start);
    return status;
}

/* Where the zeros at the end of the file begin, from `least` on. */
static shardio_status shardio_p_find_data_end(shardio_p_recovery *r, uint64_t least)
{
    uint64_t end = r->facts.size;
    while (end > least) {
        size_t piece = (size_t)shardio_p_min(shardio_p_min(r->capacity, SHARDIO_P_MAX_BLOCK), end - least);
        shardio_status status = shardio_file_read(r->file, end - piece, r->buffer, piece, r->error);
        if (status != SHARDIO_OK) return status;
        while (piece > 0 && r->buffer[piece - 1] == 0) piece--, end--;
        if (piece > 0) break;
    }
    r->data_end = end;
    return SHARDIO_OK;
}

/* What is valid at the start is certain: only what lies behind its chunks can be newer. */
static shardio_status shardio_p_look_at_head(shardio_p_recovery *r)
{
    size_t zeros = 0, size = r->window.length;
    shardio_p_candidate c = shardio_p_candidate_at(r, r->head, 0);
    shardio_status status = shardio_file_read(r->file, 0, r->head, size, r->error);
    if (status != SHARDIO_OK) return status;
    r->head_valid = shardio_index_check(r->layout, r->head) == SHARDIO_OK;
    if (r->head_valid) status = shardio_p_judge_place(r, &c, shardio_p_candidate_fits(r, &c, r->facts.size));
    if (status != SHARDIO_OK) return status;
    while (zeros < size && r->head[zeros] == 0) zeros++;
    r->head_blank = zeros == size;
    r->head_torn = !r->head_valid && !r->head_blank;
    r->head_reach = r->at = c.reach;
    if (r->head_valid) shardio_p_back_to_head(r, c.reach);
    return shardio_p_find_data_end(r, r->at);
}

/* What the pass has found, in words and numbers. */
static shardio_status shardio_p_conclude(shardio_p_recovery *r)
{
    shardio_recovery *found = r->found;
    bool doubt = r->doubt != SHARDIO_NO_OFFSET;
    if (!doubt && !r->known) return shardio_p_recovery_fail(r, SHARDIO_ERR_NOT_FOUND, "it holds no complete index");
    found->index_offset = doubt ? r->doubt : r->start;
    found->end = r->layout->at_start ? r->facts.size : found->index_offset + r->window.length;
    found->ambiguous = doubt || r->conflict;
    if (found->ambiguous)
        return shardio_p_recovery_fail(r, SHARDIO_ERR_CORRUPT,
                                       doubt ? "its newest index could be part of a chunk as well"
                                             : "two that could be its index contradict each other");
    if (r->layout->at_start ? r->in_head : found->end == r->facts.size) shardio_p_is_intact(r, r->start);
    return SHARDIO_OK;
}

static shardio_status shardio_p_recovery_sync(shardio_p_recovery *r)
{
    int code = 0;
    if (r->file->functions->sync == NULL) return SHARDIO_OK;
    shardio_status status = r->file->functions->sync(r->file->context, &code);
    if (status == SHARDIO_OK) return SHARDIO_OK;
    return shardio_p_fail_at(r->error, status, "sync", r->file->name, SHARDIO_NO_OFFSET, code, NULL);
}

static shardio_status shardio_p_cut_behind_index(shardio_p_recovery *r)
{
    int code = 0;
    uint64_t end = r->found->end;
    if (r->file->functions->resize == NULL)
        return shardio_p_recovery_fail(r, SHARDIO_ERR_UNSUPPORTED, "this file cannot be cut");
    shardio_status status = r->file->functions->resize(r->file->context, end, &code);
    if (status != SHARDIO_OK) return shardio_p_fail_at(r->error, status, "truncate", r->file->name, end, code, NULL);
    r->found->changed = true;
    return shardio_p_recovery_sync(r);
}

/* Writes the head in place; in whole blocks, with what else is in them, where the device knows nothing else. */
static shardio_status shardio_p_restore_head(shardio_p_recovery *r)
{
    size_t size = r->window.length, written = 0;
    if (r->file->functions->set_direct == NULL && r->facts.length_alignment > 1)
        size = (size_t)shardio_p_ceil(size, r->facts.length_alignment);
    size_t there = (size_t)shardio_p_min(size, r->facts.size);
    memset(r->buffer, 0, size);
    shardio_status status = shardio_file_read(r->file, 0, r->buffer, there, r->error);
    if (status != SHARDIO_OK) return status;
    memcpy(r->buffer, r->index, r->window.length);
    while (written < size) {
        size_t ask = (size_t)shardio_p_min(size - written, SHARDIO_P_LARGEST_TRANSFER), done = 0;
        int code = 0;
        status = r->file->functions->write(r->file->context, written, r->buffer + written, ask, &done, &code);
        if (status == SHARDIO_OK && (done == 0 || done > ask)) status = SHARDIO_ERR_IO;
        if (status != SHARDIO_OK)
            return shardio_p_fail_at(r->error, status, "write", r->file->name, written, code, NULL);
        r->found->changed = true;
        written += done;
    }
    return shardio_p_recovery_sync(r);
}

SHARDIO_API shardio_status shardio_shard_recover_file(const shardio_file *file, const shardio_index_layout *layout,
                                                      bool apply, shardio_chunk_check check, void *context,
                                                      const shardio_allocator *allocator, shardio_recovery *found,
                                                      shardio_error *error)
{
    shardio_recovery own;
    shardio_p_recovery r;
    memset(&r, 0, sizeof r);
    r.file = file;
    r.layout = layout;
    r.check = check;
    r.context = context;
    r.allocator = allocator;
    r.found = found != NULL ? found : &own;
    r.error = error;
    shardio_p_no_error(error);
    memset(r.found, 0, sizeof *r.found);
    shardio_status status = shardio_p_recovery_begin(&r);
    if (status == SHARDIO_OK) status = layout->at_start ? shardio_p_look_at_head(&r) : shardio_p_look_at_end(&r);
    if (status == SHARDIO_OK && !r.found->intact) {
        status = shardio_p_scan(&r);
        if (status == SHARDIO_OK) status = shardio_p_conclude(&r);
    }
    if (status == SHARDIO_OK && apply && !r.found->intact)
        status = layout->at_start ? shardio_p_restore_head(&r) : shardio_p_cut_behind_index(&r);
    shardio_p_release(allocator, r.memory, r.memory_size, r.alignment);
    return status;
}

#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_shard_recover(const char *path, const shardio_index_layout *layout, bool apply,
                                                 const shardio_allocator *allocator, shardio_recovery *found,
                                                 shardio_error *error)
{
    shardio_open_options how = {NULL, false, false, false};
    shardio_file file;
    how.allocator = allocator;
    if (found != NULL) memset(found, 0, sizeof *found);
    shardio_open_mode mode = apply ? SHARDIO_OPEN_UPDATE : SHARDIO_OPEN_READ;
    shardio_status status = shardio_file_open(&file, path, mode, &how, error);
    if (status != SHARDIO_OK) return status;
    status = shardio_shard_recover_file(&file, layout, apply, NULL, NULL, allocator, found, error);
    shardio_status closed = shardio_p_file_close(&file, SHARDIO_CLOSE_KEEP, false, status == SHARDIO_OK ? error : NULL);
    return status != SHARDIO_OK ? status : closed;
}

/* -- compacting */

/* Bytes that a rewrite of the file saves. Chunks that share bytes are written once each, so it may be none. */
static shardio_status shardio_p_saved_by_rewrite(const char *path, const shardio_index_layout *layout,
                                                 const shardio_allocator *allocator, uint64_t *saved,
                                                 shardio_error *error)
{
    shardio_shard_reader reader;
    shardio_status status = shardio_shard_open(&reader, path, layout, allocator, error);
    if (status != SHARDIO_OK) return status;
    uint64_t size = reader.facts.size, needed = reader.index_size;
    for (uint64_t chunk = 0; chunk < layout->chunks && status == SHARDIO_OK; chunk++) {
        uint64_t offset, length;
        status = shardio_shard_locate(&reader, chunk, &offset, &length, error);
        if (status == SHARDIO_OK && length != SHARDIO_MISSING) needed += shardio_p_min(length, size - needed);
    }
    shardio_shard_close(&reader);
    *saved = size - needed;
    return status;
}

SHARDIO_API shardio_status shardio_shard_compact(const char *path, const shardio_index_layout *layout,
                                                 const shardio_slot_options *options, uint64_t *saved,
                                                 shardio_error *error)
{
    shardio_shard_writer writer;
    shardio_slot_options o = shardio_p_shard_slot_options(options);
    uint64_t less = 0;
    if (saved != NULL) *saved = 0;
    shardio_status status = shardio_p_saved_by_rewrite(path, layout, o.allocator, &less, error);
    if (status != SHARDIO_OK || less == 0) return status;
    (void)shardio_shard_update(&writer, path, layout, SHARDIO_UPDATE_REWRITE, &o);
    status = shardio_shard_finish(&writer, error);
    if (status == SHARDIO_OK && saved != NULL) *saved = less;
    return status;
}
#endif

SHARDIO_API void shardio_shard_close(shardio_shard_reader *reader)
{
    if (reader == NULL) return;
    shardio_p_release(reader->allocator, reader->index, reader->index_size, 16);
    reader->index = NULL;
    shardio_file_close(&reader->file);   /* only read: nothing can be lost */
    reader->file.functions = NULL;
}

#endif /* !SHARDIO_NO_SHARD */

#if !SHARDIO_NO_ZARR
#include <stdio.h>
#include <stdlib.h>
#if SHARDIO_WITH_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif
#if SHARDIO_WITH_ZLIB
#include <zlib.h>
#endif
#if SHARDIO_WITH_BLOSC
#include <blosc.h>
#endif
#if SHARDIO_WITH_LZ4
#include <lz4.h>
#endif

/* >>json ------------------------------------------------------------------------------------------------------ */

enum { SHARDIO_P_JSON_DEPTH = 512 };

static bool shardio_p_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool shardio_p_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Value of a hexadecimal digit, or -1. */
static int shardio_p_hex(char c)
{
    if (shardio_p_is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The number of four hexadecimal digits at `text`, or -1. */
static long shardio_p_hex4(const char *text, size_t size)
{
    long code = 0;
    if (size < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = shardio_p_hex(text[i]);
        if (digit < 0) return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* Bytes of the UTF-8 character at `text`, 0 if it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t shardio_p_utf8(const char *text, size_t size)
{
    const uint8_t *s = (const uint8_t *)text;
    if (size == 0 || s[0] < 0x80) return size > 0;
    size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || n > size) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return 0;
    if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) return 0;
    return n;
}

/* Bytes of the escape sequence at `text` (a surrogate pair is one), 0 if it is none; *code is the character. */
static size_t shardio_p_escape(const char *text, size_t size, uint32_t *code)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (size < 2 || text[0] != '\\') return 0;
    for (size_t i = 0; names[i] != 0; i++) {
        if (text[1] != names[i]) continue;
        *code = (uint32_t)(uint8_t)meant[i];
        return 2;
    }
    if (text[1] != 'u') return 0;
    long high = shardio_p_hex4(text + 2, size - 2);
    if (high < 0 || (high >= 0xDC00 && high <= 0xDFFF)) return 0;
    *code = (uint32_t)high;
    if (high < 0xD800 || high > 0xDBFF) return 6;
    if (size < 12 || text[6] != '\\' || text[7] != 'u') return 0;
    long low = shardio_p_hex4(text + 8, size - 8);
    if (low < 0xDC00 || low > 0xDFFF) return 0;
    *code = 0x10000u + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
    return 12;
}

/* Each scanner returns how many bytes the thing at `text` takes, 0 if it is none. */
static size_t shardio_p_scan_string(const char *text, size_t size)
{
    size_t at = 1;
    uint32_t code;
    if (size < 2 || text[0] != '"') return 0;
    while (at < size && text[at] != '"') {
        size_t n = text[at] == '\\' ? shardio_p_escape(text + at, size - at, &code)
                   : shardio_p_utf8(text + at, size - at);
        if (n == 0 || (uint8_t)text[at] < 0x20) return 0;
        at += n;
    }
    return at < size ? at + 1 : 0;
}

static size_t shardio_p_scan_digits(const char *text, size_t size)
{
    size_t n = 0;
    while (n < size && shardio_p_is_digit(text[n])) n++;
    return n;
}

static size_t shardio_p_scan_number(const char *text, size_t size)
{
    size_t at = size > 0 && text[0] == '-' ? 1 : 0;
    size_t digits = shardio_p_scan_digits(text + at, size - at);
    if (digits == 0 || (digits > 1 && text[at] == '0')) return 0;
    at += digits;
    if (at < size && text[at] == '.') {
        digits = shardio_p_scan_digits(text + at + 1, size - at - 1);
        if (digits == 0) return 0;
        at += 1 + digits;
    }
    if (at < size && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        if (at < size && (text[at] == '+' || text[at] == '-')) at++;
        digits = shardio_p_scan_digits(text + at, size - at);
        if (digits == 0) return 0;
        at += digits;
    }
    return at;
}

static size_t shardio_p_scan_word(const char *text, size_t size)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t n = shardio_p_length(words[i]);
        if (size >= n && memcmp(text, words[i], n) == 0) return n;
    }
    return 0;
}

static size_t shardio_p_scan_scalar(const char *text, size_t size)
{
    if (size == 0) return 0;
    if (text[0] == '"') return shardio_p_scan_string(text, size);
    if (text[0] == '-' || shardio_p_is_digit(text[0])) return shardio_p_scan_number(text, size);
    return shardio_p_scan_word(text, size);
}

static size_t shardio_p_skip_space(const char *text, size_t size, size_t at)
{
    while (at < size && shardio_p_is_space(text[at])) at++;
    return at;
}

/* Where a checker stands in a document: one bit for each open level, set for an object. */
typedef struct shardio_p_json_check {
    const char *text;
    size_t size, at;
    uint32_t depth;
    uint8_t objects[SHARDIO_P_JSON_DEPTH / 8];
    bool value_next;      /* a value has to come; otherwise a comma or an end */
    bool may_end;         /* directly behind an opening bracket */
    bool too_deep;
} shardio_p_json_check;

static bool shardio_p_json_in_object(const shardio_p_json_check *c)
{
    return c->depth > 0 && (c->objects[(c->depth - 1) / 8] >> (c->depth - 1) % 8 & 1) != 0;
}

/* "name" and ':' in front of a member's value. */
static bool shardio_p_json_check_name(shardio_p_json_check *c)
{
    size_t n = shardio_p_scan_string(c->text + c->at, c->size - c->at);
    if (n == 0) return false;
    c->at = shardio_p_skip_space(c->text, c->size, c->at + n);
    if (c->at >= c->size || c->text[c->at] != ':') return false;
    c->at = shardio_p_skip_space(c->text, c->size, c->at + 1);
    return true;
}

static bool shardio_p_json_open(shardio_p_json_check *c, bool object)
{
    c->too_deep = c->depth == SHARDIO_P_JSON_DEPTH;
    if (c->too_deep) return false;
    uint8_t bit = (uint8_t)(1u << c->depth % 8), *byte = &c->objects[c->depth / 8];
    *byte = (uint8_t)(object ? *byte | bit : *byte & ~bit);
    c->depth++;
    c->at++;
    c->may_end = true;
    return true;
}

/* One step: a value, an opening or closing bracket, or a comma. False: not JSON. */
static bool shardio_p_json_step(shardio_p_json_check *c)
{
    char here = c->text[c->at], end = shardio_p_json_in_object(c) ? '}' : ']';
    if (c->depth > 0 && here == end && (!c->value_next || c->may_end)) {
        c->depth--;
        c->at++;
        c->value_next = c->may_end = false;
        return true;
    }
    if (!c->value_next) {
        if (here != ',' || c->depth == 0) return false;
        c->at++;
        c->value_next = true;
        return true;
    }
    c->may_end = false;
    if (shardio_p_json_in_object(c) && !shardio_p_json_check_name(c)) return false;
    if (c->at >= c->size) return false;
    if (c->text[c->at] == '{' || c->text[c->at] == '[') return shardio_p_json_open(c, c->text[c->at] == '{');
    size_t n = shardio_p_scan_scalar(c->text + c->at, c->size - c->at);
    c->at += n;
    c->value_next = false;
    return n > 0;
}

SHARDIO_API shardio_status shardio_json_parse(const char *text, size_t size, shardio_json *value, shardio_error *error)
{
    shardio_p_json_check check;
    bool fine = text != NULL;
    shardio_p_no_error(error);
    memset(&check, 0, sizeof check);
    check.text = text;
    check.size = size;
    check.value_next = true;
    value->text = NULL;
    value->size = 0;
    size_t begin = fine ? shardio_p_skip_space(text, size, 0) : 0, end = 0;
    check.at = begin;
    while (fine && check.at < size && (check.value_next || check.depth > 0)) {
        fine = shardio_p_json_step(&check);
        end = check.at;
        check.at = shardio_p_skip_space(text, size, check.at);
    }
    if (fine && check.depth == 0 && !check.value_next && check.at == size) {
        value->text = text + begin;
        value->size = end - begin;
        return SHARDIO_OK;
    }
    if (check.too_deep)
        return shardio_p_fail_at(error, SHARDIO_ERR_LIMIT, "parse", "JSON", check.at, 0, "nested too deep");
    return shardio_p_fail_at(error, SHARDIO_ERR_CORRUPT, "parse", "JSON", check.at, 0,
                             check.at >= size ? "it ends too early" : "not JSON");
}

SHARDIO_API char shardio_json_kind(shardio_json value)
{
    if (value.text == NULL || value.size == 0) return 0;
    return value.text[0] == '-' || shardio_p_is_digit(value.text[0]) ? '0' : value.text[0];
}

/* Bytes of the value at `text`, which was checked. */
static size_t shardio_p_json_extent(const char *text, size_t size)
{
    size_t at = 0, depth = 0;
    do {
        char here = text[at];
        if (here == '{' || here == '[') { depth++; at++; }
        else if (here == '}' || here == ']') { depth--; at++; }
        else if (here == ',' || here == ':' || shardio_p_is_space(here)) at++;
        else {
            size_t n = shardio_p_scan_scalar(text + at, size - at);
            if (n == 0) return size;
            at += n;
        }
    } while (depth > 0 && at < size);
    return at;
}

static shardio_json shardio_p_json_take(shardio_json container, size_t *at)
{
    shardio_json value = {container.text + *at, 0};
    value.size = shardio_p_json_extent(value.text, container.size - *at);
    *at = shardio_p_skip_space(container.text, container.size, *at + value.size);
    return value;
}

SHARDIO_API bool shardio_json_next(shardio_json container, size_t *at, shardio_json *name, shardio_json *value)
{
    static const shardio_json absent = {NULL, 0};
    char kind = shardio_json_kind(container);
    if (name != NULL) *name = absent;
    *value = absent;
    if (kind != '{' && kind != '[') return false;
    *at = shardio_p_skip_space(container.text, container.size, *at == 0 ? 1 : *at);
    if (*at < container.size && container.text[*at] == ',')
        *at = shardio_p_skip_space(container.text, container.size, *at + 1);
    if (*at >= container.size || container.text[*at] == '}' || container.text[*at] == ']') return false;
    if (kind == '{') {
        shardio_json member = shardio_p_json_take(container, at);
        if (name != NULL) *name = member;
        *at = shardio_p_skip_space(container.text, container.size, *at + 1);   /* the colon */
    }
    *value = shardio_p_json_take(container, at);
    return true;
}

SHARDIO_API shardio_json shardio_json_member(shardio_json object, const char *name)
{
    shardio_json absent = {NULL, 0}, member, value;
    size_t at = 0;
    if (shardio_json_kind(object) != '{') return absent;
    while (shardio_json_next(object, &at, &member, &value))
        if (shardio_json_is(member, name)) return value;
    return absent;
}

/* The character at *at of a checked string, moved over; the bytes of its UTF-8 form in `utf8`. */
static size_t shardio_p_json_character(shardio_json value, size_t *at, char *utf8)
{
    uint32_t code = 0;
    const char *from = value.text + *at;
    if (*from != '\\') {
        size_t n = shardio_p_utf8(from, value.size - *at);
        memcpy(utf8, from, n);
        *at += n;
        return n;
    }
    *at += shardio_p_escape(from, value.size - *at, &code);
    if (code < 0x80) {
        utf8[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6) utf8[i] = (char)(0x80 | (code & 0x3F));
    utf8[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | code);
    return n;
}

SHARDIO_API bool shardio_json_string(shardio_json value, char *text, size_t size)
{
    size_t out = 0;
    if (size > 0) text[0] = 0;
    if (shardio_json_kind(value) != '"' || size == 0) return false;
    for (size_t at = 1; at + 1 < value.size;) {
        char utf8[4];
        size_t n = shardio_p_json_character(value, &at, utf8);
        if (n == 0 || utf8[0] == 0 || out + n >= size) return false;
        memcpy(text + out, utf8, n);
        out += n;
        text[out] = 0;
    }
    return true;
}

SHARDIO_API bool shardio_json_is(shardio_json value, const char *text)
{
    if (shardio_json_kind(value) != '"') return false;
    for (size_t at = 1; at + 1 < value.size;) {
        char utf8[4];
        size_t n = shardio_p_json_character(value, &at, utf8);
        for (size_t i = 0; i < n; i++, text++)
            if (*text == 0 || *text != utf8[i]) return false;
        if (n == 0) return false;
    }
    return *text == 0;
}

/* Whether two strings are the same text, however they are escaped. */
static bool shardio_p_json_same(shardio_json a, shardio_json b)
{
    size_t i = 1, j = 1;
    while (i + 1 < a.size && j + 1 < b.size) {
        char x[4], y[4];
        size_t n = shardio_p_json_character(a, &i, x), m = shardio_p_json_character(b, &j, y);
        if (n == 0 || n != m || memcmp(x, y, n) != 0) return false;
    }
    return i + 1 >= a.size && j + 1 >= b.size;
}

SHARDIO_API bool shardio_json_uint64(shardio_json value, uint64_t *number)
{
    uint64_t n = 0;
    if (shardio_json_kind(value) != '0') return false;
    for (size_t i = 0; i < value.size; i++) {
        uint64_t digit = (uint64_t)(value.text[i] - '0');
        if (!shardio_p_is_digit(value.text[i]) || n > (UINT64_MAX - digit) / 10) return false;
        n = n * 10 + digit;
    }
    *number = n;
    return true;
}

SHARDIO_API bool shardio_json_int64(shardio_json value, int64_t *number)
{
    uint64_t n;
    bool negative = shardio_json_kind(value) == '0' && value.text[0] == '-';
    shardio_json digits = value;
    if (negative) {
        digits.text++;
        digits.size--;
    }
    if (!shardio_json_uint64(digits, &n) || n > (uint64_t)INT64_MAX + (negative ? 1 : 0)) return false;
    *number = negative ? (n == 0 ? 0 : -(int64_t)(n - 1) - 1) : (int64_t)n;
    return true;
}

enum { SHARDIO_P_NUMBER = 1200 };   /* longer than any exact decimal form of a double */

/* What the C library takes for a decimal point here and now: a program may have set a locale. */
static char shardio_p_decimal_point(void)
{
    char text[8];
    return snprintf(text, sizeof text, "%.1f", 0.5) == 3 ? text[1] : '.';
}

static bool shardio_p_number_text(shardio_json value, char *text)
{
    char point = shardio_p_decimal_point();
    if (shardio_json_kind(value) != '0' || value.size >= SHARDIO_P_NUMBER) return false;
    for (size_t i = 0; i < value.size; i++) text[i] = value.text[i] == '.' ? point : value.text[i];
    text[value.size] = 0;
    return true;
}

SHARDIO_API bool shardio_json_double(shardio_json value, double *number)
{
    char text[SHARDIO_P_NUMBER];
    if (!shardio_p_number_text(value, text)) return false;
    *number = strtod(text, NULL);
    return *number - *number == 0.0;   /* finite */
}

SHARDIO_API bool shardio_json_float(shardio_json value, float *number)
{
    char text[SHARDIO_P_NUMBER];
    if (!shardio_p_number_text(value, text)) return false;
    *number = strtof(text, NULL);
    return *number - *number == 0.0f;
}

SHARDIO_API bool shardio_json_bool(shardio_json value, bool *truth)
{
    char kind = shardio_json_kind(value);
    *truth = kind == 't';
    return kind == 't' || kind == 'f';
}

static void shardio_p_text_add_printed(shardio_text *text, char *printed)
{
    char point = shardio_p_decimal_point();
    bool exact = true;
    for (char *p = printed; *p != 0; p++) {
        if (*p == point && point != '.') *p = '.';
        if (*p == '.' || *p == 'e') exact = false;
    }
    shardio_text_add(text, printed);
    if (exact) shardio_text_add(text, ".0");   /* so that it reads as a float, -0 as -0.0 */
}

SHARDIO_API void shardio_text_add_double(shardio_text *text, double number)
{
    char printed[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(printed, sizeof printed, "%.*g", digits, number);
        if (strtod(printed, NULL) == number) break;
    }
    shardio_p_text_add_printed(text, printed);
}

SHARDIO_API void shardio_text_add_float(shardio_text *text, float number)
{
    char printed[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(printed, sizeof printed, "%.*g", digits, (double)number);
        if (strtof(printed, NULL) == number) break;
    }
    shardio_p_text_add_printed(text, printed);
}

static void shardio_p_add_string(shardio_text *text, const char *utf8, size_t size)
{
    static const char digits[] = "0123456789abcdef", names[] = "\"\\bfnrt", meant[] = "\"\\\b\f\n\r\t";
    shardio_text_add(text, "\"");
    for (; size > 0; utf8++, size--) {
        unsigned char c = (unsigned char)*utf8;
        char escaped[7] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15], 0};
        for (size_t i = 0; names[i] != 0; i++) {
            if (c != (unsigned char)meant[i]) continue;
            escaped[1] = names[i];
            escaped[2] = 0;
        }
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7F) shardio_text_add(text, escaped);
        else shardio_text_add_bytes(text, utf8, 1);
    }
    shardio_text_add(text, "\"");
}

SHARDIO_API void shardio_text_add_string(shardio_text *text, const char *utf8)
{
    shardio_p_add_string(text, utf8, shardio_p_length(utf8));
}

/* >>codec ----------------------------------------------------------------------------------------------------- */

static bool shardio_p_same(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) a++, b++;
    return *a == *b;
}

static size_t shardio_p_crc32c_bound(void *context, size_t size)
{
    (void)context;
    return size <= SIZE_MAX - SHARDIO_P_CRC ? size + SHARDIO_P_CRC : SIZE_MAX;
}

static shardio_status shardio_p_crc32c_encode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                              size_t *out_size)
{
    (void)context;
    if (capacity < SHARDIO_P_CRC || capacity - SHARDIO_P_CRC < size) return SHARDIO_ERR_LIMIT;
    if (size > 0) memcpy(out, in, size);
    shardio_p_store32_little((uint8_t *)out + size, shardio_crc32c(0, in, size));
    *out_size = size + SHARDIO_P_CRC;
    return SHARDIO_OK;
}

static shardio_status shardio_p_crc32c_decode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                              size_t *out_size)
{
    const uint8_t *bytes = (const uint8_t *)in;
    (void)context;
    if (size < SHARDIO_P_CRC) return SHARDIO_ERR_TRUNCATED;
    size -= SHARDIO_P_CRC;
    if (size > capacity) return SHARDIO_ERR_LIMIT;
    if (shardio_crc32c(0, in, size) != shardio_p_load32_little(bytes + size)) return SHARDIO_ERR_CHECKSUM;
    if (size > 0) memcpy(out, in, size);
    *out_size = size;
    return SHARDIO_OK;
}

SHARDIO_API const shardio_codec *shardio_codec_crc32c(void)
{
    static const shardio_codec codec = {"crc32c", NULL, NULL, shardio_p_crc32c_bound, shardio_p_crc32c_encode,
                                        shardio_p_crc32c_decode, NULL, NULL};
    return &codec;
}

/* -- codecs on compression libraries: *instance is a context made by begin, null only if the caller skipped that */

#if SHARDIO_WITH_ZSTD || SHARDIO_WITH_ZLIB || SHARDIO_WITH_BLOSC || SHARDIO_WITH_LZ4

static shardio_status shardio_p_codec_refuse(const char **reason, shardio_status status, const char *why)
{
    *reason = why;
    return status;
}

/* The memory of a context, all zero, or null. */
static void *shardio_p_codec_memory(const shardio_allocator *allocator, size_t size)
{
    void *memory = shardio_p_allocate(allocator, size, 16);
    if (memory != NULL) memset(memory, 0, size);
    return memory;
}

static bool shardio_p_no_configuration(shardio_json configuration)
{
    return shardio_json_kind(configuration) != 0 && shardio_json_kind(configuration) != '{';
}

/* The whole number `name` of a configuration; where it is missing *value stays. False: no such number, out of range. */
static bool shardio_p_take_whole(shardio_json configuration, const char *name, int64_t least, int64_t most, int *value)
{
    int64_t number;
    shardio_json member = shardio_json_member(configuration, name);
    if (shardio_json_kind(member) == 0) return true;
    if (!shardio_json_int64(member, &number) || number < least || number > most) return false;
    *value = (int)number;
    return true;
}

#endif

#if SHARDIO_WITH_ZSTD

typedef struct shardio_p_zstd {
    shardio_allocator allocator;
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
} shardio_p_zstd;

static shardio_status shardio_p_zstd_status(size_t result)
{
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_no_error: return SHARDIO_OK;
    case ZSTD_error_memory_allocation: return SHARDIO_ERR_MEMORY;
    case ZSTD_error_dstSize_tooSmall: return SHARDIO_ERR_LIMIT;
    case ZSTD_error_srcSize_wrong: return SHARDIO_ERR_TRUNCATED;
    case ZSTD_error_checksum_wrong: return SHARDIO_ERR_CHECKSUM;
    default: return SHARDIO_ERR_CORRUPT;
    }
}

static void shardio_p_zstd_end(void *instance)
{
    shardio_p_zstd *zstd = (shardio_p_zstd *)instance;
    if (zstd == NULL) return;
    ZSTD_freeCCtx(zstd->compressor);
    ZSTD_freeDCtx(zstd->decompressor);
    shardio_p_release(&zstd->allocator, zstd, sizeof *zstd, 16);
}

static bool shardio_p_zstd_contexts(shardio_p_zstd *zstd, int level, bool checksum)
{
    zstd->compressor = ZSTD_createCCtx();
    zstd->decompressor = ZSTD_createDCtx();
    return zstd->compressor != NULL && zstd->decompressor != NULL &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(zstd->compressor, ZSTD_c_compressionLevel, level)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(zstd->compressor, ZSTD_c_checksumFlag, checksum));
}

static shardio_status shardio_p_zstd_begin(void *context, shardio_json configuration, size_t element_size,
                                           const shardio_allocator *allocator, void **instance, const char **reason)
{
    int level = 3;
    bool checksum = false;
    shardio_json member = shardio_json_member(configuration, "checksum");
    (void)context, (void)element_size;
    if (shardio_p_no_configuration(configuration))
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_CORRUPT, "its configuration is no object");
    if (!shardio_p_take_whole(configuration, "level", ZSTD_minCLevel(), ZSTD_maxCLevel(), &level))
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_CORRUPT, "level is not a whole number from -131072 to 22");
    if (shardio_json_kind(member) != 0 && !shardio_json_bool(member, &checksum))
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_CORRUPT, "checksum is neither true nor false");
    shardio_p_zstd *zstd = (shardio_p_zstd *)shardio_p_codec_memory(allocator, sizeof *zstd);
    if (zstd == NULL) return shardio_p_codec_refuse(reason, SHARDIO_ERR_MEMORY, "no memory for its context");
    if (allocator != NULL) zstd->allocator = *allocator;
    if (!shardio_p_zstd_contexts(zstd, level, checksum)) {
        shardio_p_zstd_end(zstd);
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_MEMORY, "no memory for its context");
    }
    *instance = zstd;
    return SHARDIO_OK;
}

static size_t shardio_p_zstd_bound(void *context, size_t size)
{
    size_t bound = ZSTD_compressBound(size);
    (void)context;
    return ZSTD_isError(bound) || bound < size ? SIZE_MAX : bound;
}

static shardio_status shardio_p_zstd_encode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                            size_t *out_size)
{
    shardio_p_zstd *zstd = (shardio_p_zstd *)context;
    if (zstd == NULL) return SHARDIO_ERR_STATE;
    *out_size = ZSTD_compress2(zstd->compressor, out, capacity, in, size);
    return shardio_p_zstd_status(*out_size);
}

static shardio_status shardio_p_zstd_decode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                            size_t *out_size)
{
    shardio_p_zstd *zstd = (shardio_p_zstd *)context;
    if (zstd == NULL) return SHARDIO_ERR_STATE;
    if (size == 0) return SHARDIO_ERR_TRUNCATED;   /* to zstd that is no frame, and fine */
    *out_size = ZSTD_decompressDCtx(zstd->decompressor, out, capacity, in, size);
    return shardio_p_zstd_status(*out_size);
}

SHARDIO_API const shardio_codec *shardio_codec_zstd(void)
{
    static const shardio_codec codec = {"zstd", "{\"level\": 3, \"checksum\": false}", NULL, shardio_p_zstd_bound,
                                        shardio_p_zstd_encode, shardio_p_zstd_decode, shardio_p_zstd_begin,
                                        shardio_p_zstd_end};
    return &codec;
}

#endif

#if SHARDIO_WITH_ZLIB

enum {
    SHARDIO_P_GZIP_WINDOW = 15 + 16,   /* zlib's largest window, and its word for gzip and nothing else */
    SHARDIO_P_GZIP_WRAP = 18 - 6,      /* by so much head and tail of gzip are longer than those of a zlib stream */
    SHARDIO_P_GZIP_HEAD = 16           /* in front of what zlib is given: its size, which zlib does not tell later */
};

typedef struct shardio_p_gzip {
    shardio_allocator allocator;
    z_stream compressor, decompressor;
    size_t piece;                      /* the most bytes in one call of zlib, whose counts have 32 bits */
} shardio_p_gzip;

static voidpf shardio_p_gzip_allocate(voidpf opaque, uInt items, uInt item_size)
{
    uint64_t wanted = (uint64_t)items * item_size;
    if (wanted > SIZE_MAX / 2) return NULL;
    size_t size = (size_t)wanted + SHARDIO_P_GZIP_HEAD;
    uint8_t *memory = (uint8_t *)shardio_p_allocate((const shardio_allocator *)opaque, size, 16);
    if (memory == NULL) return NULL;
    memcpy(memory, &size, sizeof size);
    return memory + SHARDIO_P_GZIP_HEAD;
}

static void shardio_p_gzip_release(voidpf opaque, voidpf address)
{
    uint8_t *memory = (uint8_t *)address - SHARDIO_P_GZIP_HEAD;
    size_t size;
    memcpy(&size, memory, sizeof size);
    shardio_p_release((const shardio_allocator *)opaque, memory, size, 16);
}

/* A stream that never began, and one whose beginning failed, is all zero or half made; zlib tells them apart. */
static void shardio_p_gzip_end(void *instance)
{
    shardio_p_gzip *gzip = (shardio_p_gzip *)instance;
    if (gzip == NULL) return;
    deflateEnd(&gzip->compressor);
    inflateEnd(&gzip->decompressor);
    shardio_p_release(&gzip->allocator, gzip, sizeof *gzip, 16);
}

static bool shardio_p_gzip_streams(shardio_p_gzip *gzip, int level)
{
    z_stream *const streams[] = {&gzip->compressor, &gzip->decompressor};
    for (int i = 0; i < 2; i++) {
        streams[i]->zalloc = shardio_p_gzip_allocate;
        streams[i]->zfree = shardio_p_gzip_release;
        streams[i]->opaque = &gzip->allocator;
    }
    return deflateInit2(&gzip->compressor, level, Z_DEFLATED, SHARDIO_P_GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) == Z_OK &&
           inflateInit2(&gzip->decompressor, SHARDIO_P_GZIP_WINDOW) == Z_OK;
}

static shardio_status shardio_p_gzip_begin(void *context, shardio_json configuration, size_t element_size,
                                           const shardio_allocator *allocator, void **instance, const char **reason)
{
    int level = 6;
    (void)context, (void)element_size;
    if (shardio_p_no_configuration(configuration))
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_CORRUPT, "its configuration is no object");
    if (!shardio_p_take_whole(configuration, "level", 0, 9, &level))
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_CORRUPT, "level is not a whole number from 0 to 9");
    shardio_p_gzip *gzip = (shardio_p_gzip *)shardio_p_codec_memory(allocator, sizeof *gzip);
    if (gzip == NULL) return shardio_p_codec_refuse(reason, SHARDIO_ERR_MEMORY, "no memory for its context");
    if (allocator != NULL) gzip->allocator = *allocator;
    gzip->piece = SHARDIO_P_LARGEST_TRANSFER;
    if (!shardio_p_gzip_streams(gzip, level)) {
        shardio_p_gzip_end(gzip);
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_MEMORY, "no memory for its context");
    }
    *instance = gzip;
    return SHARDIO_OK;
}

static size_t shardio_p_gzip_bound(void *context, size_t size)
{
    (void)context;
    if (size > shardio_p_min((uLong)-1, SIZE_MAX) / 2) return SIZE_MAX;   /* uLong has 32 bits on Windows */
    return (size_t)compressBound((uLong)size) + SHARDIO_P_GZIP_WRAP;
}

/* What is left of the input, and of the room for output. */
typedef struct shardio_p_gzip_rest {
    size_t in, out;
} shardio_p_gzip_rest;

/* Points a stream at input and output. The input is const to zlib only where ZLIB_CONST is defined. */
static void shardio_p_gzip_point(z_stream *stream, const void *in, void *out)
{
    stream->next_in = (z_const Bytef *)(uintptr_t)in;
    stream->next_out = (Bytef *)out;
}

/* One call of inflate or deflate with the next piece. */
static int shardio_p_gzip_step(const shardio_p_gzip *gzip, int (ZEXPORT *step)(z_streamp, int), z_stream *stream,
                               shardio_p_gzip_rest *rest)
{
    uInt in = (uInt)shardio_p_min(rest->in, gzip->piece), out = (uInt)shardio_p_min(rest->out, gzip->piece);
    stream->avail_in = in;
    stream->avail_out = out;
    int result = step(stream, in == rest->in ? Z_FINISH : Z_NO_FLUSH);
    rest->in -= in - stream->avail_in;
    rest->out -= out - stream->avail_out;
    return result;
}

static shardio_status shardio_p_gzip_encode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                            size_t *out_size)
{
    shardio_p_gzip *gzip = (shardio_p_gzip *)context;
    shardio_p_gzip_rest rest = {size, capacity};
    int result;
    if (gzip == NULL || deflateReset(&gzip->compressor) != Z_OK) return SHARDIO_ERR_STATE;
    shardio_p_gzip_point(&gzip->compressor, in, out);
    do {
        result = shardio_p_gzip_step(gzip, deflate, &gzip->compressor, &rest);
    } while (result == Z_OK);
    *out_size = capacity - rest.out;
    return result == Z_STREAM_END ? SHARDIO_OK : SHARDIO_ERR_LIMIT;
}

/* Why a member of a gzip file could not be read to its end. */
static shardio_status shardio_p_gzip_status(int result, const char *message, const shardio_p_gzip_rest *rest)
{
    if (result == Z_MEM_ERROR) return SHARDIO_ERR_MEMORY;
    if (result == Z_OK || result == Z_BUF_ERROR) return rest->in == 0 ? SHARDIO_ERR_TRUNCATED : SHARDIO_ERR_LIMIT;
    /* zlib has one number for all damage */
    bool checksum = message != NULL && shardio_p_same(message, "incorrect data check");
    return checksum ? SHARDIO_ERR_CHECKSUM : SHARDIO_ERR_CORRUPT;
}

/* One member. Z_BUF_ERROR means that the end was not reached, which is no fault while something moves. */
static shardio_status shardio_p_gzip_member(shardio_p_gzip *gzip, shardio_p_gzip_rest *rest)
{
    z_stream *stream = &gzip->decompressor;
    shardio_p_gzip_rest before;
    int result;
    do {
        before = *rest;
        result = shardio_p_gzip_step(gzip, inflate, stream, rest);
    } while ((result == Z_OK || result == Z_BUF_ERROR) && (rest->in != before.in || rest->out != before.out));
    return result == Z_STREAM_END ? SHARDIO_OK : shardio_p_gzip_status(result, stream->msg, rest);
}

static shardio_status shardio_p_gzip_decode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                            size_t *out_size)
{
    shardio_p_gzip *gzip = (shardio_p_gzip *)context;
    shardio_p_gzip_rest rest = {size, capacity};
    shardio_status status;
    if (gzip == NULL) return SHARDIO_ERR_STATE;
    shardio_p_gzip_point(&gzip->decompressor, in, out);
    do {
        if (inflateReset(&gzip->decompressor) != Z_OK) return SHARDIO_ERR_STATE;
        status = shardio_p_gzip_member(gzip, &rest);
    } while (status == SHARDIO_OK && rest.in > 0);
    *out_size = capacity - rest.out;
    return status;
}

SHARDIO_API const shardio_codec *shardio_codec_gzip(void)
{
    static const shardio_codec codec = {"gzip", "{\"level\": 6}", NULL, shardio_p_gzip_bound, shardio_p_gzip_encode,
                                        shardio_p_gzip_decode, shardio_p_gzip_begin, shardio_p_gzip_end};
    return &codec;
}

#endif

#if SHARDIO_WITH_BLOSC

typedef struct shardio_p_blosc {
    shardio_allocator allocator;
    const char *cname;
    int clevel, shuffle, typesize, blocksize;
} shardio_p_blosc;

/* The place of the string `name` of a configuration in `words`, up to a null; where it is missing *value stays. */
static bool shardio_p_take_word(shardio_json configuration, const char *name, const char *const *words, int *value)
{
    shardio_json member = shardio_json_member(configuration, name);
    if (shardio_json_kind(member) == 0) return true;
    for (int i = 0; words[i] != NULL; i++) {
        if (!shardio_json_is(member, words[i])) continue;
        *value = i;
        return true;
    }
    return false;
}

/* What is wrong with a configuration, or null; *blosc is what it says. */
static const char *shardio_p_blosc_configure(shardio_json configuration, shardio_p_blosc *blosc)
{
    static const char *const names[] = {"lz4", "lz4hc", "blosclz", "snappy", "zlib", "zstd", NULL};
    static const char *const shuffles[] = {"noshuffle", "shuffle", "bitshuffle", NULL};   /* as blosc counts them */
    int name = 0;
    if (shardio_p_no_configuration(configuration)) return "its configuration is no object";
    if (!shardio_p_take_word(configuration, "cname", names, &name)) return "cname is none of blosc's compressors";
    if (!shardio_p_take_whole(configuration, "clevel", 0, 9, &blosc->clevel))
        return "clevel is not a whole number from 0 to 9";
    if (!shardio_p_take_word(configuration, "shuffle", shuffles, &blosc->shuffle))
        return "shuffle is neither noshuffle, shuffle nor bitshuffle";
    if (!shardio_p_take_whole(configuration, "typesize", 1, BLOSC_MAX_TYPESIZE, &blosc->typesize))
        return "typesize is not a whole number from 1 to 255";
    if (!shardio_p_take_whole(configuration, "blocksize", 0, (int64_t)BLOSC_MAX_BLOCKSIZE, &blosc->blocksize))
        return "blocksize is not a whole number of bytes that blosc takes";
    blosc->cname = names[name];
    return NULL;
}

static shardio_status shardio_p_blosc_begin(void *context, shardio_json configuration, size_t element_size,
                                            const shardio_allocator *allocator, void **instance, const char **reason)
{
    shardio_p_blosc wanted;
    (void)context;
    memset(&wanted, 0, sizeof wanted);
    wanted.clevel = 5;
    wanted.typesize = element_size <= BLOSC_MAX_TYPESIZE ? (int)element_size : 1;
    *reason = shardio_p_blosc_configure(configuration, &wanted);
    if (*reason != NULL) return SHARDIO_ERR_CORRUPT;
    if (blosc_compname_to_compcode(wanted.cname) < 0)
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_UNSUPPORTED, "the library was built without this compressor");
    shardio_p_blosc *blosc = (shardio_p_blosc *)shardio_p_codec_memory(allocator, sizeof *blosc);
    if (blosc == NULL) return shardio_p_codec_refuse(reason, SHARDIO_ERR_MEMORY, "no memory for its context");
    *blosc = wanted;
    if (allocator != NULL) blosc->allocator = *allocator;
    *instance = blosc;
    return SHARDIO_OK;
}

static void shardio_p_blosc_end(void *instance)
{
    shardio_p_blosc *blosc = (shardio_p_blosc *)instance;
    if (blosc != NULL) shardio_p_release(&blosc->allocator, blosc, sizeof *blosc, 16);
}

static size_t shardio_p_blosc_bound(void *context, size_t size)
{
    (void)context;
    return size <= BLOSC_MAX_BUFFERSIZE ? size + BLOSC_MAX_OVERHEAD : SIZE_MAX;
}

static shardio_status shardio_p_blosc_encode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                             size_t *out_size)
{
    const shardio_p_blosc *b = (const shardio_p_blosc *)context;
    if (b == NULL) return SHARDIO_ERR_STATE;
    size_t bound = shardio_p_blosc_bound(NULL, size);
    if (bound == SIZE_MAX || capacity < bound) return SHARDIO_ERR_LIMIT;   /* in less room blosc can write behind it */
    int result = blosc_compress_ctx(b->clevel, b->shuffle, (size_t)b->typesize, size, in, out, bound, b->cname,
                                    (size_t)b->blocksize, 1);
    if (result <= 0) return SHARDIO_ERR_LIMIT;
    *out_size = (size_t)result;
    return SHARDIO_OK;
}

/* A chunk begins with 16 bytes: u8 version, u8 version of the compressor's format, u8 flags, u8 typesize, u32 decoded
   length, u32 length of a block, u32 encoded length, little-endian. */
static shardio_status shardio_p_blosc_decode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                             size_t *out_size)
{
    const uint8_t *head = (const uint8_t *)in;
    size_t whole = 0;
    if (context == NULL) return SHARDIO_ERR_STATE;
    if (size < BLOSC_MIN_HEADER_LENGTH || shardio_p_load32_little(head + 12) > size) return SHARDIO_ERR_TRUNCATED;
    if (head[0] != BLOSC_VERSION_FORMAT || blosc_cbuffer_validate(in, size, &whole) < 0) return SHARDIO_ERR_CORRUPT;
    if (whole > capacity) return SHARDIO_ERR_LIMIT;
    int result = blosc_decompress_ctx(in, out, whole, 1);
    if (result < 0 || (size_t)result != whole) return SHARDIO_ERR_CORRUPT;
    *out_size = whole;
    return SHARDIO_OK;
}

SHARDIO_API const shardio_codec *shardio_codec_blosc(void)
{
    static const shardio_codec codec = {
        "blosc", "{\"cname\": \"lz4\", \"clevel\": 5, \"shuffle\": \"noshuffle\", \"blocksize\": 0}", NULL,
        shardio_p_blosc_bound, shardio_p_blosc_encode, shardio_p_blosc_decode, shardio_p_blosc_begin,
        shardio_p_blosc_end
    };
    return &codec;
}

SHARDIO_API shardio_codec shardio_codec_blosc_with(char *text, size_t size, const char *cname, int clevel,
                                                   const char *shuffle, size_t typesize, size_t blocksize)
{
    shardio_codec codec = *shardio_codec_blosc();
    shardio_text t = {text, size, 0};
    codec.configuration = size > 0 ? text : "";
    shardio_text_add(&t, "{\"cname\": ");
    shardio_text_add_string(&t, cname);
    shardio_text_add(&t, ", \"clevel\": ");
    shardio_text_add_int64(&t, clevel);
    shardio_text_add(&t, ", \"shuffle\": ");
    shardio_text_add_string(&t, shuffle);
    shardio_text_add(&t, ", \"typesize\": ");
    shardio_text_add_uint64(&t, typesize);
    shardio_text_add(&t, ", \"blocksize\": ");
    shardio_text_add_uint64(&t, blocksize);
    shardio_text_add(&t, "}");
    return codec;
}

#endif

#if SHARDIO_WITH_LZ4

enum { SHARDIO_P_LZ4_HEAD = 4 };   /* the decoded length in front of a block */

typedef struct shardio_p_lz4 {
    shardio_allocator allocator;
    void *state;        /* of the compressor, behind this struct in the same memory */
    size_t size;        /* of both */
    int acceleration;
} shardio_p_lz4;

static shardio_status shardio_p_lz4_begin(void *context, shardio_json configuration, size_t element_size,
                                          const shardio_allocator *allocator, void **instance, const char **reason)
{
    int acceleration = 1;
    size_t head = (size_t)shardio_p_ceil(sizeof(shardio_p_lz4), 16), size = head + (size_t)LZ4_sizeofState();
    (void)context, (void)element_size;
    if (shardio_p_no_configuration(configuration))
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_CORRUPT, "its configuration is no object");
    if (!shardio_p_take_whole(configuration, "acceleration", INT32_MIN, INT32_MAX, &acceleration))
        return shardio_p_codec_refuse(reason, SHARDIO_ERR_CORRUPT, "acceleration is not a whole number of 32 bits");
    shardio_p_lz4 *lz4 = (shardio_p_lz4 *)shardio_p_codec_memory(allocator, size);
    if (lz4 == NULL) return shardio_p_codec_refuse(reason, SHARDIO_ERR_MEMORY, "no memory for its context");
    if (allocator != NULL) lz4->allocator = *allocator;
    lz4->state = (uint8_t *)lz4 + head;
    lz4->size = size;
    lz4->acceleration = acceleration;
    *instance = lz4;
    return SHARDIO_OK;
}

static void shardio_p_lz4_end(void *instance)
{
    shardio_p_lz4 *lz4 = (shardio_p_lz4 *)instance;
    if (lz4 != NULL) shardio_p_release(&lz4->allocator, lz4, lz4->size, 16);
}

static size_t shardio_p_lz4_bound(void *context, size_t size)
{
    (void)context;
    return size <= LZ4_MAX_INPUT_SIZE ? (size_t)LZ4_compressBound((int)size) + SHARDIO_P_LZ4_HEAD : SIZE_MAX;
}

static shardio_status shardio_p_lz4_encode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                           size_t *out_size)
{
    shardio_p_lz4 *lz4 = (shardio_p_lz4 *)context;
    if (lz4 == NULL) return SHARDIO_ERR_STATE;
    if (size > LZ4_MAX_INPUT_SIZE || capacity < SHARDIO_P_LZ4_HEAD) return SHARDIO_ERR_LIMIT;
    int room = (int)shardio_p_min(capacity - SHARDIO_P_LZ4_HEAD, INT32_MAX);
    int result = LZ4_compress_fast_extState(lz4->state, (const char *)in, (char *)out + SHARDIO_P_LZ4_HEAD, (int)size,
                                            room, lz4->acceleration);
    if (result <= 0) return SHARDIO_ERR_LIMIT;
    shardio_p_store32_little((uint8_t *)out, (uint32_t)size);
    *out_size = (size_t)result + SHARDIO_P_LZ4_HEAD;
    return SHARDIO_OK;
}

static shardio_status shardio_p_lz4_decode(void *context, const void *in, size_t size, void *out, size_t capacity,
                                           size_t *out_size)
{
    if (context == NULL) return SHARDIO_ERR_STATE;
    if (size <= SHARDIO_P_LZ4_HEAD) return SHARDIO_ERR_TRUNCATED;   /* even nothing is a block of one byte */
    uint32_t whole = shardio_p_load32_little((const uint8_t *)in);
    if (whole > LZ4_MAX_INPUT_SIZE || size - SHARDIO_P_LZ4_HEAD > INT32_MAX) return SHARDIO_ERR_CORRUPT;
    if (whole > capacity) return SHARDIO_ERR_LIMIT;
    int result = LZ4_decompress_safe((const char *)in + SHARDIO_P_LZ4_HEAD, (char *)out,
                                     (int)(size - SHARDIO_P_LZ4_HEAD), (int)whole);
    if (result < 0 || (uint32_t)result != whole) return SHARDIO_ERR_CORRUPT;
    *out_size = whole;
    return SHARDIO_OK;
}

SHARDIO_API const shardio_codec *shardio_codec_lz4(void)
{
    static const shardio_codec codec = {"numcodecs.lz4", "{\"acceleration\": 1}", NULL, shardio_p_lz4_bound,
                                        shardio_p_lz4_encode, shardio_p_lz4_decode, shardio_p_lz4_begin,
                                        shardio_p_lz4_end};
    return &codec;
}

#endif

/* -- the codecs of this build */

static const shardio_codec *shardio_p_own_codec(const char *name)
{
    static const shardio_codec *(*const own[])(void) = {
        shardio_codec_crc32c,
#if SHARDIO_WITH_ZSTD
        shardio_codec_zstd,
#endif
#if SHARDIO_WITH_ZLIB
        shardio_codec_gzip,
#endif
#if SHARDIO_WITH_BLOSC
        shardio_codec_blosc,
#endif
#if SHARDIO_WITH_LZ4
        shardio_codec_lz4,
#endif
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (shardio_p_same(name, own[i]()->name)) return own[i]();
    return NULL;
}

/* What would give a codec that this build lacks, one clause; null: nothing here would. */
static const char *shardio_p_codec_macro(const char *name)
{
    static const char *const codecs[][2] = {
        {"zstd", "compile with SHARDIO_WITH_ZSTD and link libzstd"},
        {"gzip", "compile with SHARDIO_WITH_ZLIB and link zlib"},
        {"blosc", "compile with SHARDIO_WITH_BLOSC and link libblosc"},
        {"numcodecs.lz4", "compile with SHARDIO_WITH_LZ4 and link liblz4"},
    };
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++)
        if (shardio_p_same(name, codecs[i][0])) return codecs[i][1];
    return NULL;
}

/* The bytes-to-bytes codecs of a chunk, in the order of encoding. */
typedef struct shardio_p_chain {
    const shardio_codec *codecs[SHARDIO_MAX_CODECS];
    shardio_json configurations[SHARDIO_MAX_CODECS];
    void *contexts[SHARDIO_MAX_CODECS];
    uint32_t count, begun;
} shardio_p_chain;

/* Makes the contexts of the codecs. On failure *failed is the codec and *reason what is wrong. */
static shardio_status shardio_p_chain_begin(shardio_p_chain *chain, size_t element_size,
                                            const shardio_allocator *allocator,
                                            const shardio_codec **failed, const char **reason)
{
    for (; chain->begun < chain->count; chain->begun++) {
        const shardio_codec *codec = *failed = chain->codecs[chain->begun];
        shardio_status status = SHARDIO_OK;
        chain->contexts[chain->begun] = codec->context;
        if (codec->begin != NULL)
            status = codec->begin(codec->context, chain->configurations[chain->begun], element_size, allocator,
                                  &chain->contexts[chain->begun], reason);
        if (status != SHARDIO_OK) return status;
    }
    return SHARDIO_OK;
}

static void shardio_p_chain_end(shardio_p_chain *chain)
{
    for (uint32_t i = 0; i < chain->begun; i++)
        if (chain->codecs[i]->end != NULL) chain->codecs[i]->end(chain->contexts[i]);
    chain->begun = 0;
}

/* The most bytes that `size` bytes take when the chain has encoded them; *largest also counts what is in between.
   SIZE_MAX: cannot be said. Before the contexts are made the table's own is asked. */
static size_t shardio_p_chain_bound(const shardio_p_chain *chain, size_t size, size_t *largest)
{
    *largest = size;
    for (uint32_t i = 0; i < chain->count && size != SIZE_MAX; i++) {
        const shardio_codec *codec = chain->codecs[i];
        size = codec->bound(i < chain->begun ? chain->contexts[i] : codec->context, size);
        if (size > *largest) *largest = size;
    }
    return size;
}

/* Pieces of memory that a chain runs between: one codec needs one. */
static size_t shardio_p_chain_pieces(const shardio_p_chain *chain)
{
    return chain->count > 1 ? 2 : 1;
}

/* Runs the chain over *data, between the pieces of `scratch`, each of `half` bytes; *data and *size are the result.
   On failure *failed is the codec. */
static shardio_status shardio_p_chain_run(const shardio_p_chain *chain, bool encode, const uint8_t **data, size_t *size,
                                          uint8_t *scratch, size_t half, const shardio_codec **failed)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        uint32_t at = encode ? i : chain->count - 1 - i;
        const shardio_codec *codec = chain->codecs[at];
        uint8_t *out = scratch + (i % 2) * half;
        size_t out_size = 0;
        shardio_status status = (encode ? codec->encode : codec->decode)(chain->contexts[at], *data, *size, out, half,
                                                                         &out_size);
        *failed = codec;
        if (status == SHARDIO_OK && out_size > half) status = SHARDIO_ERR_CORRUPT;
        if (status != SHARDIO_OK) return status;
        *data = out;
        *size = out_size;
    }
    return SHARDIO_OK;
}

#endif /* !SHARDIO_NO_ZARR */

/* >>pack ------------------------------------------------------------------------------------------------------ */
#if !SHARDIO_NO_PACK

enum {
    SHARDIO_P_PACK_TRAILER = 76,
    SHARDIO_P_PACK_GROUP = 128,           /* records of a group of the index */
    SHARDIO_P_PACK_STEP = 16,             /* of these, one whose place is at hand */
    SHARDIO_P_PACK_TAIL = 256 << 10,
    SHARDIO_P_PACK_PIECE = 1 << 20,       /* bytes of a read of several records */
    SHARDIO_P_PACK_PAGE = 4096,           /* of the page cache, on most systems; nowhere less */
    SHARDIO_P_PACK_AHEAD = 8 << 20,       /* bytes that the system is told of before they are read */
    SHARDIO_P_PACK_SIZES = 4 << 20        /* bytes for lengths seen, in each scratch */
};
#define SHARDIO_P_PACK_MAGIC 0x48434C53u
#define SHARDIO_P_PACK_LIMIT (UINT64_C(1) << 30)   /* bytes of a decoded record */

/* Makes a context of the codec, for one thread. Null: fine; otherwise what is wrong. */
static const char *shardio_p_pack_codec_begin(const shardio_codec *codec, const shardio_allocator *allocator,
                                              void **instance, shardio_status *status)
{
    shardio_json configuration = {NULL, 0};
    const char *reason = "the codec refuses its configuration";
    *status = SHARDIO_OK;
    if (codec == NULL) return NULL;
    *instance = codec->context;
    if (codec->begin == NULL) return NULL;
    if (codec->configuration != NULL) {
        configuration.text = codec->configuration;
        configuration.size = shardio_p_length(codec->configuration);
#if !SHARDIO_NO_ZARR
        *status = shardio_json_parse(configuration.text, configuration.size, &configuration, NULL);
        if (*status != SHARDIO_OK) return "the codec's configuration is no JSON";
#endif
    }
    *status = codec->begin(codec->context, configuration, 1, allocator, instance, &reason);
    return *status == SHARDIO_OK ? NULL : reason;
}

static void shardio_p_pack_codec_end(const shardio_codec *codec, void *instance)
{
    if (codec != NULL && codec->end != NULL) codec->end(instance);
}

/* -- writing */

static shardio_status shardio_p_pack_fail(shardio_pack_writer *writer, shardio_status status, const char *operation,
                                          const char *reason)
{
    return shardio_p_slot_fail(&writer->slot, status, operation, shardio_slot_size(&writer->slot), 0, reason);
}

static void shardio_p_pack_memory(shardio_pack_writer *writer, const shardio_allocator *allocator)
{
    writer->allocator = allocator;
    writer->index.allocator = writer->record.allocator = allocator;
    writer->encoded.allocator = writer->sizes.allocator = allocator;
}

/* What a writer has besides its slot. */
static shardio_status shardio_p_pack_start(shardio_pack_writer *writer, const shardio_pack_options *options,
                                           const shardio_slot_options *slot_options)
{
    shardio_status status;
    if (options != NULL) writer->options = *options;
    shardio_pack_options *o = &writer->options;
    if (o->items_per_record == 0) o->items_per_record = 128;
    shardio_p_pack_memory(writer, slot_options != NULL ? slot_options->allocator : NULL);
    if (o->extract != NULL && !o->content_hash)
        return shardio_p_pack_fail(writer, SHARDIO_ERR_ARGUMENT, "begin", "the option extract needs content_hash");
    if (slot_options != NULL && slot_options->start > 0)
        return shardio_p_pack_fail(writer, SHARDIO_ERR_ARGUMENT, "begin",
                                   "a packfile is not continued: the option start");
    const char *wrong = shardio_p_pack_codec_begin(o->codec, writer->allocator, &writer->codec_context, &status);
    if (wrong != NULL) return shardio_p_pack_fail(writer, status, "begin", wrong);
    if (o->content_hash) {
        shardio_sha256_begin(&writer->content_hash);
        writer->record_hash = writer->content_hash;
    }
    writer->begun = true;
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_pack_begin(shardio_pack_writer *writer, shardio_file file, void *buffer, size_t size,
                                              const shardio_pack_options *options,
                                              const shardio_slot_options *slot_options)
{
    if (writer == NULL) return SHARDIO_ERR_ARGUMENT;
    memset(writer, 0, sizeof *writer);
    shardio_status status = shardio_slot_begin(&writer->slot, file, buffer, size, slot_options);
    return status == SHARDIO_OK ? shardio_p_pack_start(writer, options, slot_options) : status;
}

#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_pack_create(shardio_pack_writer *writer, const char *path,
                                               const shardio_pack_options *options,
                                               const shardio_slot_options *slot_options)
{
    if (writer == NULL) return SHARDIO_ERR_ARGUMENT;
    memset(writer, 0, sizeof *writer);
    shardio_status status = shardio_slot_create(&writer->slot, path, slot_options);
    if (status == SHARDIO_OK) status = shardio_p_pack_start(writer, options, slot_options);
    if (status != SHARDIO_OK) shardio_pack_abort(writer);
    return status;
}
#endif

/* Packs the sizes of the newest records into the index. */
static shardio_status shardio_p_pack_flush_group(shardio_pack_writer *writer)
{
    size_t count = (writer->records - 1) % SHARDIO_P_PACK_GROUP + 1;
    shardio_p_for group = shardio_p_for_measure(writer->group, count);
    uint64_t size = writer->index.size + shardio_p_for_residual_bytes(count, group.width) + SHARDIO_P_FOR_END;
    if (size > UINT32_MAX - 4)
        return shardio_p_pack_fail(writer, SHARDIO_ERR_LIMIT, "append", "its index would be larger than 4 GiB");
    if (!shardio_p_memory_reserve(&writer->index, size))
        return shardio_p_pack_fail(writer, SHARDIO_ERR_MEMORY, "append", "no memory for the sizes of the records");
    uint8_t *at = writer->index.data + writer->index.size;
    shardio_p_for_end(at + shardio_p_for_pack(at, &group, writer->group, count), &group);
    writer->index.size = (size_t)size;
    return SHARDIO_OK;
}

/* Appends the packed lengths of the record's items and their checksum; *size is what they take. */
static shardio_status shardio_p_pack_append_sizes(shardio_pack_writer *writer, uint64_t *size)
{
    const uint32_t *sizes = (const uint32_t *)(const void *)writer->sizes.data;
    shardio_p_for group = shardio_p_for_measure(sizes, writer->held);
    shardio_status status = SHARDIO_OK;
    uint8_t piece[4 * 64 + SHARDIO_P_FOR_END + 4];
    uint64_t begin = shardio_slot_size(&writer->slot);
    uint32_t crc = 0;
    for (size_t done = 0; done < writer->held && status == SHARDIO_OK;) {
        size_t count = (size_t)shardio_p_min(64, writer->held - done);   /* 64 values fill whole bytes */
        size_t bytes = shardio_p_for_pack(piece, &group, sizes + done, count);
        done += count;
        if (done == writer->held) {
            shardio_p_for_end(piece + bytes, &group);
            bytes += SHARDIO_P_FOR_END;
        }
        crc = shardio_crc32c(crc, piece, bytes);
        if (done == writer->held) {
            shardio_p_store32_little(piece + bytes, crc);
            bytes += 4;
        }
        status = shardio_slot_append(&writer->slot, piece, bytes);
    }
    *size = shardio_slot_size(&writer->slot) - begin;
    return status;
}

/* Encodes the record that was gathered; an empty one stays empty. */
static shardio_status shardio_p_pack_encode(shardio_pack_writer *writer)
{
    const shardio_codec *codec = writer->options.codec;
    shardio_memory *out = &writer->encoded;
    size_t size = writer->record.size;
    out->size = 0;
    if (size == 0) return SHARDIO_OK;
    size_t bound = codec->bound(writer->codec_context, size);
    bool known = bound != SIZE_MAX;
    for (size_t room = known ? bound : 2 * size + 4096;; room *= 2) {
        size_t done = 0;
        if (!shardio_p_memory_reserve(out, room))
            return shardio_p_pack_fail(writer, SHARDIO_ERR_MEMORY, "encode", "no memory for the encoded record");
        shardio_status status = codec->encode(writer->codec_context, writer->record.data, size, out->data,
                                              out->capacity, &done);
        if (status == SHARDIO_OK && done > out->capacity) status = SHARDIO_ERR_CORRUPT;
        if (status == SHARDIO_OK) {
            out->size = done;
            return SHARDIO_OK;
        }
        if (known || status != SHARDIO_ERR_LIMIT || room > UINT32_MAX)
            return shardio_p_pack_fail(writer, status, "encode", codec->name);
    }
}

/* Ends the hash of a record, which begins anew, and adds it to that of the contents. */
static void shardio_p_pack_hash_record(shardio_sha256 *record_hash, shardio_sha256 *content_hash)
{
    uint8_t digest[32];
    shardio_sha256_end(record_hash, digest);
    shardio_sha256_add(content_hash, digest, sizeof digest);
}

/* Completes the record that is being filled. */
static shardio_status shardio_p_pack_end_record(shardio_pack_writer *writer)
{
    uint64_t stored = writer->payload, sizes = 0;
    shardio_status status = SHARDIO_OK;
    if (writer->options.codec != NULL) {
        status = shardio_p_pack_encode(writer);
        if (status == SHARDIO_OK)
            status = shardio_slot_append(&writer->slot, writer->encoded.data, writer->encoded.size);
        stored = writer->encoded.size;
    }
    if (status == SHARDIO_OK && writer->options.items_per_record > 1)
        status = shardio_p_pack_append_sizes(writer, &sizes);
    if (status != SHARDIO_OK) return status;
    if (stored + sizes > UINT32_MAX)
        return shardio_p_pack_fail(writer, SHARDIO_ERR_LIMIT, "append", "a record of 4 GiB or more");
    if (writer->options.content_hash) shardio_p_pack_hash_record(&writer->record_hash, &writer->content_hash);
    writer->group[writer->records % SHARDIO_P_PACK_GROUP] = (uint32_t)(stored + sizes);
    writer->records++;
    writer->held = 0;
    writer->payload = 0;
    writer->record.size = writer->sizes.size = 0;
    return writer->records % SHARDIO_P_PACK_GROUP == 0 ? shardio_p_pack_flush_group(writer) : SHARDIO_OK;
}

/* Refuses what the format cannot say, before anything of the item is written. */
static shardio_status shardio_p_pack_check_item(shardio_pack_writer *writer, const shardio_bytes *parts, size_t count,
                                                uint64_t *size)
{
    *size = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts == NULL || (parts[i].data == NULL && parts[i].size > 0))
            return shardio_p_pack_fail(writer, SHARDIO_ERR_ARGUMENT, "append", "an item without memory");
        if (!shardio_p_add(*size, parts[i].size, size)) *size = UINT64_MAX;
        if (*size > UINT32_MAX)
            return shardio_p_pack_fail(writer, SHARDIO_ERR_LIMIT, "append", "an item of 4 GiB or more");
    }
    if (writer->items == UINT32_MAX)
        return shardio_p_pack_fail(writer, SHARDIO_ERR_LIMIT, "append", "more than 2^32-1 items");
    if (writer->payload + *size > UINT32_MAX)
        return shardio_p_pack_fail(writer, SHARDIO_ERR_LIMIT, "append", "a record of 4 GiB or more");
    return SHARDIO_OK;
}

static bool shardio_p_pack_gather(shardio_memory *memory, const void *data, size_t size)
{
    if (!shardio_p_memory_reserve(memory, (uint64_t)memory->size + size)) return false;
    if (size > 0) memcpy(memory->data + memory->size, data, size);
    memory->size += size;
    return true;
}

/* The hash of a record takes each item's length before its bytes. */
static void shardio_p_pack_hash_length(shardio_sha256 *hash, uint64_t size)
{
    uint8_t length[4];
    shardio_p_store32_little(length, (uint32_t)size);
    shardio_sha256_add(hash, length, sizeof length);
}

/* Adds an item to the hash of its record: its length, and what lies in one piece at `item`. */
static shardio_status shardio_p_pack_hash(const shardio_pack_options *o, shardio_sha256 *hash, const uint8_t *item,
                                          size_t size)
{
    if (o->extract != NULL) {
        const uint8_t *part = item;
        size_t part_size = size;
        shardio_status status = o->extract(o->extract_context, item, size, &part, &part_size);
        if (status != SHARDIO_OK) return status;
        item = part;
        size = part_size;
    }
    if (size > UINT32_MAX) return SHARDIO_ERR_LIMIT;
    shardio_p_pack_hash_length(hash, size);
    shardio_sha256_add(hash, item, size);
    return SHARDIO_OK;
}

/* An item that goes straight to the file, part by part. */
static shardio_status shardio_p_pack_append_straight(shardio_pack_writer *writer, const shardio_bytes *parts,
                                                     size_t count, uint64_t size)
{
    shardio_status status = SHARDIO_OK;
    if (writer->options.content_hash) shardio_p_pack_hash_length(&writer->record_hash, size);
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++) {
        if (writer->options.content_hash) shardio_sha256_add(&writer->record_hash, parts[i].data, parts[i].size);
        status = shardio_slot_append(&writer->slot, parts[i].data, parts[i].size);
    }
    return status;
}

/* An item that the codec or extract wants in one piece. */
static shardio_status shardio_p_pack_append_gathered(shardio_pack_writer *writer, const shardio_bytes *parts,
                                                     size_t count)
{
    const shardio_pack_options *o = &writer->options;
    shardio_status status = SHARDIO_OK;
    size_t begin = writer->record.size;
    for (size_t i = 0; i < count; i++)
        if (!shardio_p_pack_gather(&writer->record, parts[i].data, parts[i].size))
            return shardio_p_pack_fail(writer, SHARDIO_ERR_MEMORY, "append", "no memory for the record");
    size_t size = writer->record.size - begin;
    const uint8_t *item = size > 0 ? writer->record.data + begin : NULL;
    if (o->content_hash) status = shardio_p_pack_hash(o, &writer->record_hash, item, size);
    if (status != SHARDIO_OK) return shardio_p_pack_fail(writer, status, "append", "the extract callback failed");
    if (o->codec != NULL) return SHARDIO_OK;
    writer->record.size = begin;
    return shardio_slot_append(&writer->slot, item, size);
}

SHARDIO_API shardio_status shardio_pack_append_parts(shardio_pack_writer *writer, const shardio_bytes *parts,
                                                     size_t count)
{
    uint64_t size;
    if (writer == NULL) return SHARDIO_ERR_ARGUMENT;
    const shardio_pack_options *o = &writer->options;
    shardio_status status = shardio_p_slot_enter(&writer->slot, "append");
    if (status != SHARDIO_OK || count == 0) return status;
    status = shardio_p_pack_check_item(writer, parts, count, &size);
    if (status != SHARDIO_OK) return status;
    uint32_t item_size = (uint32_t)size;
    if (o->items_per_record > 1 && !shardio_p_pack_gather(&writer->sizes, &item_size, sizeof item_size))
        return shardio_p_pack_fail(writer, SHARDIO_ERR_MEMORY, "append", "no memory for the sizes of a record's items");
    if (o->codec != NULL || o->extract != NULL) status = shardio_p_pack_append_gathered(writer, parts, count);
    else status = shardio_p_pack_append_straight(writer, parts, count, size);
    if (status != SHARDIO_OK) return status;
    writer->payload += size;
    writer->items++;
    return ++writer->held == o->items_per_record ? shardio_p_pack_end_record(writer) : SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_pack_append(shardio_pack_writer *writer, const void *item, size_t size)
{
    const shardio_bytes part = {item, size};
    return shardio_pack_append_parts(writer, &part, 1);
}

static void shardio_p_pack_trailer(shardio_pack_writer *writer, uint32_t app_data, uint8_t *trailer)
{
    memset(trailer, 0, SHARDIO_P_PACK_TRAILER);
    shardio_p_store32_little(trailer, SHARDIO_P_PACK_MAGIC);
    trailer[4] = 1;
    trailer[5] = writer->options.content_hash ? 1 : 0;
    shardio_p_store32_little(trailer + 8, writer->options.format);
    shardio_p_store32_little(trailer + 12, writer->records);
    shardio_p_store32_little(trailer + 16, (uint32_t)writer->items);
    shardio_p_store32_little(trailer + 20, writer->options.items_per_record);
    trailer[24] = SHARDIO_P_PACK_GROUP;
    shardio_p_store32_little(trailer + 28, (uint32_t)writer->index.size + 4);
    shardio_p_store32_little(trailer + 32, app_data);
    if (writer->options.content_hash) shardio_sha256_end(&writer->content_hash, trailer + 36);
    shardio_p_store32_little(trailer + 72, shardio_crc32c(0, trailer, 72));
}

/* Everything behind the records. */
static shardio_status shardio_p_pack_write_end(shardio_pack_writer *writer, const void *app_data, size_t size)
{
    uint8_t trailer[SHARDIO_P_PACK_TRAILER], crc[4];
    shardio_status status = SHARDIO_OK;
    if (size > UINT32_MAX) return shardio_p_pack_fail(writer, SHARDIO_ERR_LIMIT, "finish", "app data of 4 GiB or more");
    if (app_data == NULL && size > 0)
        return shardio_p_pack_fail(writer, SHARDIO_ERR_ARGUMENT, "finish", "app data without memory");
    if (writer->held > 0) status = shardio_p_pack_end_record(writer);
    if (status == SHARDIO_OK && writer->records % SHARDIO_P_PACK_GROUP != 0)
        status = shardio_p_pack_flush_group(writer);
    if (status != SHARDIO_OK) return status;
    shardio_p_store32_little(crc, shardio_crc32c(0, writer->index.data, writer->index.size));
    status = shardio_slot_append(&writer->slot, writer->index.data, writer->index.size);
    if (status == SHARDIO_OK) status = shardio_slot_append(&writer->slot, crc, sizeof crc);
    if (status == SHARDIO_OK) status = shardio_slot_append(&writer->slot, app_data, size);
    shardio_p_pack_trailer(writer, (uint32_t)size, trailer);
    return status == SHARDIO_OK ? shardio_slot_append(&writer->slot, trailer, sizeof trailer) : status;
}

static void shardio_p_pack_end(shardio_pack_writer *writer)
{
    if (writer->begun) shardio_p_pack_codec_end(writer->options.codec, writer->codec_context);
    writer->begun = false;
    shardio_memory_free(&writer->index);
    shardio_memory_free(&writer->record);
    shardio_memory_free(&writer->encoded);
    shardio_memory_free(&writer->sizes);
}

SHARDIO_API shardio_status shardio_pack_finish(shardio_pack_writer *writer, const void *app_data, size_t size,
                                               shardio_error *error)
{
    if (writer == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "finish", NULL, "no packfile");
    if (shardio_p_slot_enter(&writer->slot, "finish") == SHARDIO_OK)
        (void)shardio_p_pack_write_end(writer, app_data, size);
    shardio_status status = shardio_slot_finish(&writer->slot);   /* an error so far: the file is discarded */
    shardio_p_pack_end(writer);
    if (error != NULL) *error = writer->slot.error;
    return status;
}

SHARDIO_API void shardio_pack_abort(shardio_pack_writer *writer)
{
    if (writer == NULL) return;
    shardio_slot_abort(&writer->slot);
    shardio_p_pack_end(writer);
}

SHARDIO_API shardio_accounting shardio_pack_accounting(const shardio_pack_writer *writer)
{
    shardio_accounting accounting = writer->slot.accounting;
    accounting.logical_bytes = shardio_slot_size(&writer->slot);
    return accounting;
}

/* -- opening */

/* A group of the index, with the places of some records in it, so that finding one sums up a few sizes only. */
struct shardio_pack_group {
    shardio_p_for sizes;
    uint64_t offset[SHARDIO_P_PACK_GROUP / SHARDIO_P_PACK_STEP];   /* in the file, of every so manyth record */
};

/* What the trailer says; null: fine, otherwise what is wrong with it, and *status. */
static const char *shardio_p_pack_read_trailer(const uint8_t *t, uint64_t file_size, shardio_pack_facts *f,
                                               shardio_status *status)
{
    *status = SHARDIO_ERR_CORRUPT;
    if (shardio_p_load32_little(t) != SHARDIO_P_PACK_MAGIC) return "it does not end as a packfile does";
    *status = SHARDIO_ERR_CHECKSUM;
    if (shardio_p_load32_little(t + 72) != shardio_crc32c(0, t, 72)) return "its trailer is damaged";
    *status = SHARDIO_ERR_UNSUPPORTED;
    if (t[4] != 1) return "a packfile of another version than 1";
    if ((t[5] & ~1) != 0) return "its trailer has flags that version 1 does not know";
    if (t[24] != SHARDIO_P_PACK_GROUP || t[25] != 0) return "its index has groups of another size than 128";
    *status = SHARDIO_ERR_CORRUPT;
    f->file_bytes = file_size;
    f->has_content_hash = t[5] != 0;
    f->format = shardio_p_load32_little(t + 8);
    f->records = shardio_p_load32_little(t + 12);
    f->items = shardio_p_load32_little(t + 16);
    f->items_per_record = shardio_p_load32_little(t + 20);
    f->index_bytes = shardio_p_load32_little(t + 28);
    f->app_data_bytes = shardio_p_load32_little(t + 32);
    memcpy(f->content_hash, t + 36, sizeof f->content_hash);
    if (f->items_per_record == 0 && f->items > 0) return "its trailer says that records have no items";
    uint64_t each = shardio_p_max(1, f->items_per_record);   /* without items it may say what it likes */
    if (f->records != (f->items + each - 1) / each)
        return "its trailer contradicts itself about the number of records";
    uint64_t behind = (uint64_t)f->index_bytes + f->app_data_bytes + SHARDIO_P_PACK_TRAILER;
    if (f->index_bytes < 4 || behind > file_size) return "its trailer says that it is longer than it is";
    if (f->records > SHARDIO_P_PACK_GROUP * (((uint64_t)f->index_bytes - 4) / (SHARDIO_P_FOR_END + 1)))
        return "its index is too short for its records";
    f->index_offset = file_size - behind;
    return NULL;
}

static uint64_t shardio_p_pack_group_count(const shardio_pack_facts *facts)
{
    return (facts->records + SHARDIO_P_PACK_GROUP - 1) / SHARDIO_P_PACK_GROUP;
}

/* Number of records in a group, and of items in a record: the last ones may have fewer. */
static uint64_t shardio_p_pack_part(uint64_t total, uint64_t each, uint64_t number)
{
    return shardio_p_min(each, total - number * each);
}

/* Adds up where the records of a group begin, from *offset on, which then is where they end. False: beyond the records. */
static bool shardio_p_pack_place_group(const shardio_pack_facts *f, struct shardio_pack_group *group, uint64_t records,
                                       uint64_t *offset)
{
    for (uint64_t first = 0; first < records; first += SHARDIO_P_PACK_STEP) {
        uint64_t step = shardio_p_min(SHARDIO_P_PACK_STEP, records - first);
        group->offset[first / SHARDIO_P_PACK_STEP] = *offset;
        if (!shardio_p_add(*offset, shardio_p_for_sum(&group->sizes, first, step), offset)) return false;
        if (*offset > f->index_offset) return false;
    }
    return true;
}

/* Finds the groups from the last to the first, then where their records begin. Null: fine. */
static const char *shardio_p_pack_find_groups(shardio_pack_reader *reader)
{
    const shardio_pack_facts *f = &reader->facts;
    size_t end = f->index_bytes - 4, size;
    uint64_t offset = 0, count = shardio_p_pack_group_count(f);
    for (uint64_t i = count; i-- > 0; end -= size) {
        uint64_t records = shardio_p_pack_part(f->records, SHARDIO_P_PACK_GROUP, i);
        const char *wrong = shardio_p_for_open(&reader->groups[i].sizes, reader->index, end, records, &size);
        if (wrong != NULL) return wrong;
    }
    if (end != 0) return "its index is longer than its records need";
    bool inside = true;
    for (uint64_t i = 0; i < count && inside; i++)
        inside = shardio_p_pack_place_group(f, &reader->groups[i],
                                            shardio_p_pack_part(f->records, SHARDIO_P_PACK_GROUP, i), &offset);
    return inside && offset == f->index_offset ? NULL : "its records do not end where its index begins";
}

/* Reads bytes of the file into memory that the file justifies. */
static shardio_status shardio_p_pack_load(shardio_pack_reader *reader, uint64_t offset, size_t size,
                                          shardio_error *error)
{
    shardio_p_release(reader->options.allocator, reader->memory, reader->memory_size, 16);
    reader->memory_size = size;
    reader->memory_offset = offset;
    reader->memory = (uint8_t *)shardio_p_allocate(reader->options.allocator, size, 16);
    if (reader->memory == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "open", reader->file.name, "no memory for the index");
    reader->reads++;
    return shardio_file_read(&reader->file, offset, reader->memory, size, error);
}

static shardio_status shardio_p_pack_open_index(shardio_pack_reader *reader, shardio_error *error)
{
    const shardio_pack_facts *f = &reader->facts;
    const char *name = reader->file.name;
    if (f->index_offset < reader->memory_offset) {
        shardio_status status = shardio_p_pack_load(reader, f->index_offset, f->index_bytes, error);
        if (status != SHARDIO_OK) return status;
    }
    reader->index = reader->memory + (size_t)(f->index_offset - reader->memory_offset);
    size_t size = f->index_bytes - 4;
    if (shardio_p_load32_little(reader->index + size) != shardio_crc32c(0, reader->index, size))
        return shardio_p_fail_at(error, SHARDIO_ERR_CHECKSUM, "open", name, f->index_offset, 0, "its index is damaged");
    uint64_t bytes = shardio_p_pack_group_count(f) * sizeof *reader->groups;
    if (bytes > SIZE_MAX / 2) return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "open", name, "no memory for the index");
    if (bytes > 0) {
        reader->groups = (struct shardio_pack_group *)shardio_p_allocate(reader->options.allocator, (size_t)bytes, 16);
        if (reader->groups == NULL)
            return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "open", name, "no memory for the index");
    }
    const char *wrong = shardio_p_pack_find_groups(reader);
    return wrong == NULL ? SHARDIO_OK
           : shardio_p_fail_at(error, SHARDIO_ERR_CORRUPT, "open", name, f->index_offset, 0, wrong);
}

static shardio_status shardio_p_pack_open_tail(shardio_pack_reader *reader, shardio_error *error)
{
    shardio_file_facts facts;
    const char *name = reader->file.name;
    shardio_status status = shardio_p_file_facts(&reader->file, &facts, error);
    if (status != SHARDIO_OK) return status;
    if (facts.size < SHARDIO_P_PACK_TRAILER + 4)
        return shardio_p_fail_at(error, SHARDIO_ERR_TRUNCATED, "open", name, facts.size, 0,
                                 "no packfile is that short");
    size_t tail = (size_t)shardio_p_min(facts.size, shardio_p_max(reader->options.tail, SHARDIO_P_PACK_TRAILER));
    status = shardio_p_pack_load(reader, facts.size - tail, tail, error);
    if (status != SHARDIO_OK) return status;
    const char *wrong = shardio_p_pack_read_trailer(reader->memory + tail - SHARDIO_P_PACK_TRAILER, facts.size,
                                                    &reader->facts, &status);
    if (wrong == NULL) return shardio_p_pack_open_index(reader, error);
    return shardio_p_fail_at(error, status, "open", name, facts.size - SHARDIO_P_PACK_TRAILER, 0, wrong);
}

SHARDIO_API shardio_status shardio_pack_open_file(shardio_pack_reader *reader, shardio_file file,
                                                  const shardio_pack_reading *options, shardio_error *error)
{
    shardio_p_no_error(error);
    if (reader == NULL) return shardio_p_no_reader(&file, error);
    memset(reader, 0, sizeof *reader);
    reader->file = file;
    if (options != NULL) reader->options = *options;
    if (reader->options.tail == 0) reader->options.tail = SHARDIO_P_PACK_TAIL;
    if (reader->options.size_cache == 0) reader->options.size_cache = SHARDIO_P_PACK_SIZES;
    if (reader->options.decoded_limit == 0) reader->options.decoded_limit = SHARDIO_P_PACK_LIMIT;
    shardio_status status = file.functions == NULL
                            ? shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", file.name, "no file")
                                                   : shardio_p_pack_open_tail(reader, error);
    if (status != SHARDIO_OK) shardio_pack_close(reader);
    return status;
}

#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_pack_open(shardio_pack_reader *reader, const char *path,
                                             const shardio_pack_reading *options, shardio_error *error)
{
    shardio_file file;
    shardio_open_options how;
    if (reader != NULL) memset(reader, 0, sizeof *reader);
    memset(&how, 0, sizeof how);
    if (options != NULL) how.allocator = options->allocator;
    shardio_status status = shardio_file_open(&file, path, SHARDIO_OPEN_READ, &how, error);
    return status == SHARDIO_OK ? shardio_pack_open_file(reader, file, options, error) : status;
}
#endif

SHARDIO_API void shardio_pack_close(shardio_pack_reader *reader)
{
    if (reader == NULL) return;
    const shardio_allocator *allocator = reader->options.allocator;
    shardio_pack_scratch_end(&reader->own);
    if (reader->groups != NULL)
        shardio_p_release(allocator, reader->groups,
                          (size_t)shardio_p_pack_group_count(&reader->facts) * sizeof *reader->groups, 16);
    shardio_p_release(allocator, reader->memory, reader->memory_size, 16);
    shardio_file_close(&reader->file);
    memset(reader, 0, sizeof *reader);
}

SHARDIO_API bool shardio_pack_is_one(const shardio_file *file)
{
    shardio_file_facts facts;
    uint8_t magic[4];
    if (shardio_p_file_facts(file, &facts, NULL) != SHARDIO_OK || facts.size < SHARDIO_P_PACK_TRAILER + 4) return false;
    return shardio_file_read(file, facts.size - SHARDIO_P_PACK_TRAILER, magic, sizeof magic, NULL) == SHARDIO_OK &&
           shardio_p_load32_little(magic) == SHARDIO_P_PACK_MAGIC;
}

SHARDIO_API shardio_status shardio_pack_scratch_begin(shardio_pack_scratch *scratch, const shardio_pack_reader *reader,
                                                      shardio_error *error)
{
    shardio_status status;
    shardio_p_no_error(error);
    if (scratch == NULL || reader == NULL || reader->file.functions == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read", NULL, "no open packfile");
    memset(scratch, 0, sizeof *scratch);
    scratch->reader = reader;
    scratch->stored.allocator = scratch->decoded.allocator = reader->options.allocator;
    const char *wrong = shardio_p_pack_codec_begin(reader->options.codec, reader->options.allocator,
                                                   &scratch->codec_context, &status);
    if (wrong != NULL) return shardio_p_fail(error, status, "read", reader->file.name, wrong);
    scratch->begun = true;
    return SHARDIO_OK;
}

SHARDIO_API void shardio_pack_scratch_end(shardio_pack_scratch *scratch)
{
    if (scratch == NULL || !scratch->begun) return;
    const shardio_pack_reading *o = &scratch->reader->options;
    shardio_p_pack_codec_end(o->codec, scratch->codec_context);
    shardio_p_release(o->allocator, scratch->sizes, scratch->size_slots * scratch->size_slot, 16);
    shardio_memory_free(&scratch->stored);
    shardio_memory_free(&scratch->decoded);
    memset(scratch, 0, sizeof *scratch);
}

/* -- reading */

/* Where a record lies; the group of the index is kept, so that walking on costs one look. */
typedef struct shardio_p_pack_place {
    uint64_t record, offset, size;
    shardio_p_for group;
    bool found;
} shardio_p_pack_place;

static void shardio_p_pack_find(const shardio_pack_reader *reader, shardio_p_pack_place *place, uint64_t record)
{
    uint64_t within = record % SHARDIO_P_PACK_GROUP, number = record / SHARDIO_P_PACK_GROUP;
    if (place->found && place->record == record) return;
    if (place->found && record == place->record + 1 && within != 0) {
        place->offset += place->size;
    } else {
        const struct shardio_pack_group *group = &reader->groups[number];
        uint64_t near = within / SHARDIO_P_PACK_STEP * SHARDIO_P_PACK_STEP;
        place->group = group->sizes;
        place->offset = group->offset[near / SHARDIO_P_PACK_STEP] + shardio_p_for_sum(&place->group, near,
                                                                                      within - near);
    }
    place->size = shardio_p_for_value(&place->group, within);
    place->record = record;
    place->found = true;
}

/* A record in memory: its items one after the other, and their lengths where there are several in a record. */
typedef struct shardio_p_pack_record {
    const uint8_t *items;
    uint64_t size, count;
    shardio_p_for sizes;
    bool packed;
} shardio_p_pack_record;

/* "record 17 of NAME" */
static shardio_status shardio_p_pack_record_fail(const shardio_pack_reader *reader, const shardio_p_pack_place *place,
                                                 shardio_status status, const char *operation, const char *reason,
                                                 shardio_error *error)
{
    shardio_p_part_name name;
    return shardio_p_fail_at(error, status, operation,
                             shardio_p_name_part(&name, "record", place->record, reader->file.name),
                             place->offset, 0, reason);
}

/* Room for decoding, which grows with what the decoder really gives, up to what it may. */
static shardio_status shardio_p_pack_decode(shardio_pack_scratch *scratch, const uint8_t *from, size_t size,
                                            uint64_t most, const char **reason)
{
    const shardio_codec *codec = scratch->reader->options.codec;
    shardio_memory *out = &scratch->decoded;
    out->size = 0;
    for (uint64_t room = shardio_p_min(most, (uint64_t)size * 8 + 4096);; room = shardio_p_min(most, room * 4)) {
        size_t done = 0;
        *reason = "no memory for the decoded record";
        if (!shardio_p_memory_reserve(out, room)) return SHARDIO_ERR_MEMORY;
        *reason = codec->name;
        shardio_status status = codec->decode(scratch->codec_context, from, size, out->data, (size_t)room, &done);
        if (status == SHARDIO_OK && done > room) status = SHARDIO_ERR_CORRUPT;
        if (status == SHARDIO_OK) out->size = done;
        if (status != SHARDIO_ERR_LIMIT || room == most) return status;
    }
}

/* Takes a stored record apart, down to its lengths. Null: fine. */
static const char *shardio_p_pack_split(const shardio_pack_reader *reader, const shardio_p_pack_place *place,
                                        const uint8_t *stored, shardio_p_pack_record *r, shardio_status *status)
{
    const shardio_pack_facts *f = &reader->facts;
    size_t size;
    *status = SHARDIO_ERR_CORRUPT;
    r->items = stored;
    r->size = place->size;
    r->count = shardio_p_pack_part(f->items, f->items_per_record, place->record);
    r->packed = f->items_per_record > 1;
    if (!r->packed) return NULL;
    if (place->size < SHARDIO_P_FOR_END + 4) return "it is too short for the lengths of its items";
    const char *wrong = shardio_p_for_open(&r->sizes, stored, (size_t)place->size - 4, r->count, &size);
    if (wrong != NULL) return wrong;
    /* their sum could wrap around; what they are above the smallest adds up to less than 2^63 in less than 4 GiB */
    if (r->count * r->sizes.smallest > UINT64_MAX / 2) return "the lengths of its items are more than a record holds";
    r->size -= size + 4;
    *status = SHARDIO_ERR_CHECKSUM;
    const uint8_t *end = stored + r->size + size;
    return shardio_p_load32_little(end) == shardio_crc32c(0, stored + r->size, size) ? NULL
           : "the lengths of its items are damaged";
}

/* Decodes the items, and holds them against their lengths. */
static shardio_status shardio_p_pack_unfold(shardio_pack_scratch *scratch, const shardio_p_pack_place *place,
                                            shardio_p_pack_record *r, shardio_error *error)
{
    const shardio_pack_reader *reader = scratch->reader;
    const char *reason;
    shardio_status status;
    uint64_t expected = r->packed ? shardio_p_for_sum(&r->sizes, 0, r->count) : r->size;
    if (reader->options.codec != NULL && r->size > 0) {
        uint64_t most = shardio_p_min(r->packed ? expected : UINT32_MAX, reader->options.decoded_limit);
        status = shardio_p_pack_decode(scratch, r->items, (size_t)r->size, most, &reason);
        if (status == SHARDIO_ERR_LIMIT && r->packed && most == expected) status = SHARDIO_ERR_CORRUPT;
        if (status != SHARDIO_OK) return shardio_p_pack_record_fail(reader, place, status, "decode", reason, error);
        r->size = scratch->decoded.size;
        if (r->size > 0) r->items = scratch->decoded.data;   /* there may be no memory for nothing */
    }
    if (!r->packed || r->size == expected) return SHARDIO_OK;
    return shardio_p_pack_record_fail(reader, place, SHARDIO_ERR_CORRUPT, "read", reader->options.codec != NULL ?
                                      "its items have other lengths than it says" :
                                      "its items have other lengths than it says: is it encoded?", error);
}

/* Opens a record that lies at `stored`. */
static shardio_status shardio_p_pack_open_record(shardio_pack_scratch *scratch, const shardio_p_pack_place *place,
                                                 const uint8_t *stored, shardio_p_pack_record *r, shardio_error *error)
{
    shardio_status status;
    const char *wrong = shardio_p_pack_split(scratch->reader, place, stored, r, &status);
    if (wrong != NULL) return shardio_p_pack_record_fail(scratch->reader, place, status, "read", wrong, error);
    return shardio_p_pack_unfold(scratch, place, r, error);
}

/* One read, to the caller's memory. */
static shardio_status shardio_p_pack_fetch_to(shardio_pack_scratch *scratch, uint64_t offset, uint64_t size,
                                              uint8_t *to, shardio_error *error)
{
    if (size == 0) return SHARDIO_OK;
    scratch->reads++;
    scratch->read_bytes += size;
    return shardio_file_read(&scratch->reader->file, offset, to, (size_t)size, error);
}

/* One read, to the scratch: it lies there as it does in the pages of the file, because the system copies whole pages
   several times as fast then. Three bytes behind it can be touched. */
static shardio_status shardio_p_pack_fetch(shardio_pack_scratch *scratch, uint64_t offset, uint64_t size,
                                           const uint8_t **data, shardio_error *error)
{
    if (size > SIZE_MAX / 2 || !shardio_p_memory_reserve(&scratch->stored, size + SHARDIO_P_PACK_PAGE + 3))
        return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "read", scratch->reader->file.name, "no memory for a record");
    uint8_t *to = scratch->stored.data;
    to += (size_t)(offset - (uintptr_t)to) % SHARDIO_P_PACK_PAGE;
    *data = to;
    return shardio_p_pack_fetch_to(scratch, offset, size, to, error);
}

/* -- one item

   Lengths of the items of a record that was seen: its number plus 1, then the packed group. A place holds a group whose
   items differ by less than 64 KiB; every record has one place, which it shares with others if there are too many. */

static uint8_t *shardio_p_pack_seen_place(shardio_pack_scratch *scratch, uint64_t record)
{
    const shardio_pack_reader *reader = scratch->reader;
    const shardio_pack_facts *f = &reader->facts;
    if (scratch->sizes == NULL && !scratch->uncached) {
        uint64_t items = shardio_p_min(f->items_per_record, f->items);
        uint64_t slot = shardio_p_ceil(8 + 2 * items + SHARDIO_P_FOR_END + 3, 8);
        /* a length takes a bit or more */
        uint64_t most = shardio_p_min(reader->options.size_cache, 32 * f->file_bytes);
        uint64_t slots = shardio_p_min(f->records, most / slot);
        scratch->size_slot = (size_t)slot;
        scratch->size_slots = (size_t)slots;
        if (slots > 0)
            scratch->sizes = (uint8_t *)shardio_p_allocate(reader->options.allocator, (size_t)(slots * slot), 16);
        if (scratch->sizes != NULL) memset(scratch->sizes, 0, (size_t)(slots * slot));
        scratch->uncached = scratch->sizes == NULL;
    }
    return scratch->sizes != NULL ? scratch->sizes + (size_t)(record % scratch->size_slots) * scratch->size_slot : NULL;
}

static bool shardio_p_pack_seen(shardio_pack_scratch *scratch, uint64_t record, shardio_p_pack_record *r)
{
    const shardio_pack_facts *f = &scratch->reader->facts;
    uint64_t number;
    const uint8_t *at = shardio_p_pack_seen_place(scratch, record);
    if (at == NULL) return false;
    memcpy(&number, at, 8);
    if (number != record + 1) return false;
    r->count = shardio_p_pack_part(f->items, f->items_per_record, record);
    r->sizes.width = at[8];
    r->sizes.smallest = shardio_p_load32_little(at + 9);
    r->sizes.residuals = at + 8 + SHARDIO_P_FOR_END;
    r->packed = true;
    return true;
}

static void shardio_p_pack_remember(shardio_pack_scratch *scratch, uint64_t record, const shardio_p_pack_record *r)
{
    uint8_t *at = shardio_p_pack_seen_place(scratch, record);
    uint64_t number = record + 1;
    if (at == NULL || r->sizes.width > 16) return;
    memcpy(at, &number, 8);
    shardio_p_for_end(at + 8, &r->sizes);
    memcpy(at + 8 + SHARDIO_P_FOR_END, r->sizes.residuals, shardio_p_for_residual_bytes(r->count, r->sizes.width));
}

/* Whether the items are there and can be read. */
static shardio_status shardio_p_pack_check_wanted(const shardio_pack_reader *reader, uint64_t first, uint64_t count,
                                                  shardio_error *error)
{
    if (first > reader->facts.items || count > reader->facts.items - first) {
        shardio_p_part_name name;
        uint64_t missing = shardio_p_max(first, reader->facts.items);
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read",
                              shardio_p_name_part(&name, "item", missing, reader->file.name),
                              "there are fewer items");
    }
    if (!reader->options.opaque) return SHARDIO_OK;
    return shardio_p_fail(error, SHARDIO_ERR_STATE, "read", reader->file.name,
                          "items need the codec, which was not given");
}

/* The scratch to use. */
static shardio_status shardio_p_pack_enter(shardio_pack_reader *reader, shardio_pack_scratch **scratch,
                                           shardio_error *error)
{
    shardio_p_no_error(error);
    if (reader == NULL || reader->file.functions == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_STATE, "read", NULL, "the packfile is not open");
    if (*scratch != NULL && (*scratch)->reader != reader)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read", reader->file.name, "the scratch is of another packfile");
    if (*scratch != NULL) return SHARDIO_OK;
    *scratch = &reader->own;
    return reader->own.begun ? SHARDIO_OK : shardio_pack_scratch_begin(&reader->own, reader, error);
}

/* Finds an item: in memory at *data, or, *data null, as bytes of the file that are the item and nothing else. */
static shardio_status shardio_p_pack_look_up(shardio_pack_scratch *scratch, uint64_t item, const uint8_t **data,
                                             uint64_t *offset, uint64_t *size, shardio_error *error)
{
    const shardio_pack_reader *reader = scratch->reader;
    const shardio_pack_facts *f = &reader->facts;
    uint64_t record = item / f->items_per_record, within = item % f->items_per_record;
    bool plain = reader->options.codec == NULL;
    shardio_p_pack_place place;
    shardio_p_pack_record r;
    place.found = false;
    *data = NULL;
    shardio_p_pack_find(reader, &place, record);
    *offset = place.offset;
    *size = place.size;
    if (plain && f->items_per_record == 1) return SHARDIO_OK;
    bool seen = plain && shardio_p_pack_seen(scratch, record, &r);
    if (!seen) {
        const uint8_t *stored;
        shardio_status status = shardio_p_pack_fetch(scratch, place.offset, place.size, &stored, error);
        if (status == SHARDIO_OK) status = shardio_p_pack_open_record(scratch, &place, stored, &r, error);
        if (status != SHARDIO_OK) return status;
        if (plain) shardio_p_pack_remember(scratch, record, &r);
    }
    uint64_t begin = r.packed ? shardio_p_for_sum(&r.sizes, 0, within) : 0;
    *offset = place.offset + begin;
    *size = r.packed ? shardio_p_for_value(&r.sizes, within) : r.size;
    if (!seen) *data = r.items + begin;
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_pack_item(shardio_pack_reader *reader, shardio_pack_scratch *scratch, uint64_t item,
                                             const uint8_t **data, size_t *size, shardio_error *error)
{
    uint64_t offset, bytes;
    shardio_status status = shardio_p_pack_enter(reader, &scratch, error);
    if (status == SHARDIO_OK) status = shardio_p_pack_check_wanted(reader, item, 1, error);
    if (status == SHARDIO_OK) status = shardio_p_pack_look_up(scratch, item, data, &offset, &bytes, error);
    if (status != SHARDIO_OK) return status;
    *size = (size_t)bytes;
    return *data != NULL ? SHARDIO_OK : shardio_p_pack_fetch(scratch, offset, bytes, data, error);
}

SHARDIO_API shardio_status shardio_pack_item_into(shardio_pack_reader *reader, shardio_pack_scratch *scratch,
                                                  uint64_t item, void *memory, size_t capacity, size_t *size,
                                                  shardio_error *error)
{
    uint64_t offset, bytes;
    const uint8_t *data;
    shardio_p_part_name name;
    shardio_status status = shardio_p_pack_enter(reader, &scratch, error);
    if (status == SHARDIO_OK) status = shardio_p_pack_check_wanted(reader, item, 1, error);
    if (status == SHARDIO_OK) status = shardio_p_pack_look_up(scratch, item, &data, &offset, &bytes, error);
    if (status != SHARDIO_OK) return status;
    *size = (size_t)bytes;
    if (bytes > capacity)
        return shardio_p_fail(error, SHARDIO_ERR_LIMIT, "read",
                              shardio_p_name_part(&name, "item", item, reader->file.name),
                              "it is larger than the memory for it");
    if (data == NULL) return shardio_p_pack_fetch_to(scratch, offset, bytes, (uint8_t *)memory, error);
    if (bytes > 0) memcpy(memory, data, (size_t)bytes);
    return SHARDIO_OK;
}

/* -- many items */

/* Items that are wanted, ascending: a list, or `count` from `first` on. */
typedef struct shardio_p_pack_wanted {
    const uint64_t *list;
    uint64_t first, count;
} shardio_p_pack_wanted;

/* One read: wanted items number first .. end-1 are in it. */
typedef struct shardio_p_pack_piece {
    uint64_t offset, size, first, end;
} shardio_p_pack_piece;

static uint64_t shardio_p_pack_wanted_item(const shardio_p_pack_wanted *wanted, uint64_t number)
{
    return wanted->list != NULL ? wanted->list[number] : wanted->first + number;
}

/* Number of the first wanted item behind this record. */
static uint64_t shardio_p_pack_skip_record(const shardio_p_pack_wanted *wanted, uint64_t number, uint64_t record,
                                           uint64_t each)
{
    uint64_t end = (record + 1) * each;
    if (wanted->list == NULL) return shardio_p_min(wanted->count, end - wanted->first);
    while (number < wanted->count && wanted->list[number] < end) number++;
    return number;
}

/* The read that begins with wanted item number `first`: its record, and those right behind that are wanted as well. */
static void shardio_p_pack_next_piece(const shardio_pack_reader *reader, const shardio_p_pack_wanted *wanted,
                                      shardio_p_pack_place *place, uint64_t first, shardio_p_pack_piece *piece)
{
    uint64_t each = reader->facts.items_per_record;
    piece->first = piece->end = first;
    piece->offset = piece->size = 0;
    while (piece->end < wanted->count) {
        shardio_p_pack_find(reader, place, shardio_p_pack_wanted_item(wanted, piece->end) / each);
        if (piece->end == first) piece->offset = place->offset;
        else if (place->offset != piece->offset + piece->size || piece->size + place->size > SHARDIO_P_PACK_PIECE)
            break;
        piece->size += place->size;
        piece->end = shardio_p_pack_skip_record(wanted, piece->end, place->record, each);
    }
}

/* Tells the system what comes. What follows without a gap is not told: the system sees that by itself, and reads ahead
   in larger steps than when it is told. */
typedef struct shardio_p_pack_teller {
    shardio_p_pack_place place;
    uint64_t told, ahead;    /* items; bytes */
    uint64_t end;            /* of the last of them in the file */
} shardio_p_pack_teller;

static void shardio_p_pack_tell(const shardio_pack_reader *reader, const shardio_p_pack_wanted *wanted,
                                const shardio_p_pack_piece *now, shardio_p_pack_teller *t)
{
    void (*hint)(void *, shardio_hint, uint64_t, uint64_t) = reader->file.functions->hint;
    shardio_p_pack_piece piece;
    if (hint == NULL || wanted->list == NULL || now->end == wanted->count) return;
    if (t->told < now->end) {
        t->told = now->end;
        t->end = now->offset + now->size;
    } else {
        t->ahead -= shardio_p_min(t->ahead, now->size);
    }
    while (t->told < wanted->count && t->ahead < SHARDIO_P_PACK_AHEAD) {
        shardio_p_pack_next_piece(reader, wanted, &t->place, t->told, &piece);
        if (piece.size > 0 && piece.offset != t->end)
            hint(reader->file.context, SHARDIO_HINT_WILL_NEED, piece.offset, piece.size);
        t->ahead += piece.size;
        t->told = piece.end;
        t->end = piece.offset + piece.size;
    }
}

/* Gets a stored record and the wanted items in it, number first .. end-1. */
typedef shardio_status (*shardio_p_pack_visit)(void *context, const shardio_p_pack_place *place, const uint8_t *stored,
                                               uint64_t first, uint64_t end, shardio_error *error);

static shardio_status shardio_p_pack_each_record(shardio_pack_scratch *scratch, const shardio_p_pack_wanted *wanted,
                                                 shardio_p_pack_visit visit, void *context, shardio_error *error)
{
    const shardio_pack_reader *reader = scratch->reader;
    uint64_t each = reader->facts.items_per_record;
    shardio_p_pack_place ahead, place;
    shardio_p_pack_teller teller;
    shardio_p_pack_piece piece;
    const uint8_t *stored;
    shardio_status status = SHARDIO_OK;
    ahead.found = place.found = teller.place.found = false;
    teller.told = teller.ahead = teller.end = 0;
    for (uint64_t at = 0; at < wanted->count && status == SHARDIO_OK;) {
        shardio_p_pack_next_piece(reader, wanted, &ahead, at, &piece);
        shardio_p_pack_tell(reader, wanted, &piece, &teller);
        status = shardio_p_pack_fetch(scratch, piece.offset, piece.size, &stored, error);
        while (at < piece.end && status == SHARDIO_OK) {
            uint64_t record = shardio_p_pack_wanted_item(wanted, at) / each;
            uint64_t end = shardio_p_pack_skip_record(wanted, at, record, each);
            shardio_p_pack_find(reader, &place, record);
            status = visit(context, &place, stored + (size_t)(place.offset - piece.offset), at, end, error);
            at = end;
        }
    }
    return status;
}

typedef struct shardio_p_pack_taking {
    shardio_pack_scratch *scratch;
    const shardio_p_pack_wanted *wanted;
    shardio_item_taker take;
    void *context;
} shardio_p_pack_taking;

/* Hands over the wanted items of a record. */
static shardio_status shardio_p_pack_take_record(void *context, const shardio_p_pack_place *place,
                                                 const uint8_t *stored,
                                                 uint64_t first, uint64_t end, shardio_error *error)
{
    const shardio_p_pack_taking *t = (const shardio_p_pack_taking *)context;
    uint64_t item = place->record * t->scratch->reader->facts.items_per_record, at = 0;
    shardio_p_pack_record r;
    shardio_status status = shardio_p_pack_open_record(t->scratch, place, stored, &r, error);
    for (uint64_t within = 0; first < end && status == SHARDIO_OK; within++) {
        uint64_t size = r.packed ? shardio_p_for_value(&r.sizes, within) : r.size;
        if (item + within == shardio_p_pack_wanted_item(t->wanted, first)) {
            status = t->take(t->context, item + within, r.items + at, (size_t)size, error);
            if (status != SHARDIO_OK && error != NULL && error->status == SHARDIO_OK)
                shardio_p_pack_record_fail(t->scratch->reader, place, status, "read", "who takes the items stopped",
                                           error);
            first++;
        }
        at += size;
    }
    return status;
}

static shardio_status shardio_p_pack_take(shardio_pack_scratch *scratch, const shardio_p_pack_wanted *wanted,
                                          shardio_item_taker take, void *context, shardio_error *error)
{
    shardio_p_pack_taking taking = {scratch, wanted, take, context};
    return shardio_p_pack_each_record(scratch, wanted, shardio_p_pack_take_record, &taking, error);
}

SHARDIO_API shardio_status shardio_pack_range(shardio_pack_reader *reader, shardio_pack_scratch *scratch,
                                              uint64_t first,
                                              uint64_t count, shardio_item_taker take, void *context, shardio_error *error)
{
    const shardio_p_pack_wanted wanted = {NULL, first, count};
    shardio_status status = shardio_p_pack_enter(reader, &scratch, error);
    if (status == SHARDIO_OK) status = shardio_p_pack_check_wanted(reader, first, count, error);
    return status == SHARDIO_OK ? shardio_p_pack_take(scratch, &wanted, take, context, error) : status;
}

SHARDIO_API shardio_status shardio_pack_list(shardio_pack_reader *reader, shardio_pack_scratch *scratch,
                                             const uint64_t *items, size_t count, shardio_item_taker take, void *context,
                                             shardio_error *error)
{
    const shardio_p_pack_wanted wanted = {items, 0, count};
    shardio_p_part_name name;
    shardio_status status = shardio_p_pack_enter(reader, &scratch, error);
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++) {
        status = shardio_p_pack_check_wanted(reader, items[i], 1, error);
        if (status == SHARDIO_OK && i > 0 && items[i] <= items[i - 1])
            status = shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read",
                                    shardio_p_name_part(&name, "item", items[i],
                                                        reader->file.name), "the list does not ascend");
    }
    return status == SHARDIO_OK && count > 0 ? shardio_p_pack_take(scratch, &wanted, take, context, error) : status;
}

SHARDIO_API shardio_status shardio_pack_app_data(shardio_pack_reader *reader, void *memory, size_t capacity,
                                                 shardio_error *error)
{
    shardio_p_no_error(error);
    if (reader == NULL || reader->file.functions == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_STATE, "read", NULL, "the packfile is not open");
    const shardio_pack_facts *f = &reader->facts;
    uint64_t offset = f->index_offset + f->index_bytes;
    if (f->app_data_bytes > capacity)
        return shardio_p_fail(error, SHARDIO_ERR_LIMIT, "read", reader->file.name,
                              "its app data is larger than the memory for it");
    if (f->app_data_bytes == 0) return SHARDIO_OK;
    if (offset - reader->memory_offset + f->app_data_bytes > reader->memory_size)
        return shardio_file_read(&reader->file, offset, memory, f->app_data_bytes, error);
    memcpy(memory, reader->memory + (size_t)(offset - reader->memory_offset), f->app_data_bytes);
    return SHARDIO_OK;
}

/* -- verifying */

typedef struct shardio_p_pack_check {
    shardio_pack_scratch *scratch;
    shardio_pack_options hashing;      /* extract and its context */
    shardio_sha256 record_hash, content_hash;
    shardio_pack_summary *summary;
    shardio_finding finding;
    void *context;
    shardio_progress progress;
    void *progress_context;
    shardio_error first;               /* fault */
    uint64_t done;                     /* bytes */
    bool readable;                     /* so far all items were */
} shardio_p_pack_check;

static void shardio_p_pack_found(shardio_p_pack_check *c, const shardio_error *fault)
{
    if (c->summary->faults++ == 0) c->first = *fault;
    c->readable = false;
    if (c->finding != NULL) c->finding(c->context, fault);
}

/* The items of a record, one by one. */
static shardio_status shardio_p_pack_check_items(shardio_p_pack_check *c, const shardio_p_pack_record *r)
{
    shardio_pack_summary *s = c->summary;
    bool hashed = c->scratch->reader->facts.has_content_hash;
    const uint8_t *at = r->items;
    for (uint64_t i = 0; i < r->count; i++) {
        uint64_t size = r->packed ? shardio_p_for_value(&r->sizes, i) : r->size;
        s->item_bytes += size;
        s->largest_item = shardio_p_max(s->largest_item, size);
        if (hashed) {
            shardio_status status = shardio_p_pack_hash(&c->hashing, &c->record_hash, at, (size_t)size);
            if (status != SHARDIO_OK) return status;
        }
        at += size;
    }
    s->items += r->count;
    if (hashed) shardio_p_pack_hash_record(&c->record_hash, &c->content_hash);
    return SHARDIO_OK;
}

/* Decodes a record and looks at its items; *right: nothing is wrong with it. */
static shardio_status shardio_p_pack_check_contents(shardio_p_pack_check *c, const shardio_p_pack_place *place,
                                                    shardio_p_pack_record *r, bool *right, shardio_error *error)
{
    const shardio_pack_reader *reader = c->scratch->reader;
    shardio_error fault;
    shardio_status status = shardio_p_pack_unfold(c->scratch, place, r, &fault);
    *right = status == SHARDIO_OK;
    if (status == SHARDIO_ERR_MEMORY) {
        if (error != NULL) *error = fault;
        return status;
    }
    if (status != SHARDIO_OK) {
        shardio_p_pack_found(c, &fault);
        return SHARDIO_OK;
    }
    status = shardio_p_pack_check_items(c, r);
    if (status == SHARDIO_OK) return SHARDIO_OK;
    return shardio_p_pack_record_fail(reader, place, status, "verify", "the extract callback failed", error);
}

static shardio_status shardio_p_pack_check_record(void *context, const shardio_p_pack_place *place, const uint8_t *stored,
                                                  uint64_t first, uint64_t end, shardio_error *error)
{
    shardio_p_pack_check *c = (shardio_p_pack_check *)context;
    const shardio_pack_reader *reader = c->scratch->reader;
    shardio_pack_summary *s = c->summary;
    shardio_p_pack_record r;
    shardio_error fault;
    shardio_status status;
    (void)first, (void)end;
    const char *wrong = shardio_p_pack_split(reader, place, stored, &r, &status);
    bool right = wrong == NULL;
    if (wrong != NULL) {
        shardio_p_pack_record_fail(reader, place, status, "verify", wrong, &fault);
        shardio_p_pack_found(c, &fault);
    } else if (!reader->options.opaque) {
        status = shardio_p_pack_check_contents(c, place, &r, &right, error);
        if (status != SHARDIO_OK) return status;
    } else if (r.packed && shardio_p_for_sum(&r.sizes, 0, r.count) != r.size) {
        c->readable = false;   /* it is encoded */
    } else if (c->readable && shardio_p_pack_check_items(c, &r) != SHARDIO_OK) {
        c->readable = false;
    }
    if (right) s->records++;
    s->largest_record = shardio_p_max(s->largest_record, place->size);
    c->done += place->size;
    if (c->progress == NULL) return SHARDIO_OK;
    if (c->progress(c->progress_context, c->done, reader->facts.index_offset) == 0) return SHARDIO_OK;
    return shardio_p_fail(error, SHARDIO_ERR_CANCELLED, "verify", reader->file.name, NULL);
}

/* What the content hash says, after all items were seen. */
static void shardio_p_pack_check_hash(shardio_p_pack_check *c)
{
    const shardio_pack_reader *reader = c->scratch->reader;
    const shardio_pack_facts *f = &reader->facts;
    shardio_error fault;
    uint8_t digest[32];
    if (c->readable && f->has_content_hash) {
        shardio_sha256_end(&c->content_hash, digest);
        c->summary->hash_checked = memcmp(digest, f->content_hash, sizeof digest) == 0;
        c->summary->hash_differs = !c->summary->hash_checked && (f->items_per_record > 1 || !reader->options.opaque);
        if (c->summary->hash_differs && !reader->options.opaque) {
            shardio_p_fail_at(&fault, SHARDIO_ERR_CHECKSUM, "verify", reader->file.name, SHARDIO_NO_OFFSET, 0,
                              "its items are not those that the content hash was made of");
            shardio_p_pack_found(c, &fault);
        }
    }
    c->summary->contents_checked = c->summary->items == f->items;
    if (!reader->options.opaque) return;
    /* records that hold one item are as good as any that are encoded, unless the hash says more */
    bool sure = c->readable &&
                (f->has_content_hash ? c->summary->hash_checked : f->items_per_record > 1 || f->items == 0);
    c->summary->contents_checked = sure;
    if (!sure) c->summary->items = c->summary->item_bytes = c->summary->largest_item = 0;
}

SHARDIO_API shardio_status shardio_pack_verify(shardio_pack_reader *reader, shardio_pack_scratch *scratch,
                                               shardio_pack_summary *summary, shardio_finding finding, void *context,
                                               shardio_progress progress, void *progress_context, shardio_error *error)
{
    shardio_pack_summary own;
    shardio_p_pack_check c;
    shardio_status status = shardio_p_pack_enter(reader, &scratch, error);
    if (status != SHARDIO_OK) return status;
    const shardio_p_pack_wanted wanted = {NULL, 0, reader->facts.items};
    memset(&c, 0, sizeof c);
    c.scratch = scratch;
    c.summary = summary != NULL ? summary : &own;
    memset(c.summary, 0, sizeof *c.summary);
    c.hashing.extract = reader->options.extract;
    c.hashing.extract_context = reader->options.extract_context;
    c.finding = finding;
    c.context = context;
    c.progress = progress;
    c.progress_context = progress_context;
    c.readable = true;
    if (reader->facts.has_content_hash) {
        shardio_sha256_begin(&c.content_hash);
        c.record_hash = c.content_hash;
    }
    status = shardio_p_pack_each_record(scratch, &wanted, shardio_p_pack_check_record, &c, error);
    if (status != SHARDIO_OK) return status;
    shardio_p_pack_check_hash(&c);
    if (c.summary->faults == 0) return SHARDIO_OK;
    if (error != NULL) *error = c.first;
    return c.first.status;
}

#endif /* !SHARDIO_NO_PACK */

#if !SHARDIO_NO_ZARR
/* >>zarr ------------------------------------------------------------------------------------------------------ */

/* -- element types */

typedef struct shardio_p_type {
    const char *name;
    uint8_t size, unit;
} shardio_p_type;

static shardio_p_type shardio_p_type_of(shardio_dtype dtype)
{
    static const shardio_p_type types[] = {
        {"", 0, 1},
#define SHARDIO_P_DTYPE(name, text, size, unit) {text, size, unit},
        SHARDIO_DTYPE_LIST(SHARDIO_P_DTYPE)
#undef SHARDIO_P_DTYPE
    };
    return types[(unsigned)dtype < SHARDIO_DTYPE_COUNT ? (unsigned)dtype : 0];
}

/* Whether elements have lengths of their own. */
static bool shardio_p_is_variable(shardio_dtype dtype)
{
    return dtype == SHARDIO_STRING || dtype == SHARDIO_BYTES;
}

SHARDIO_API size_t shardio_dtype_size(shardio_dtype dtype)
{
    return shardio_p_type_of(dtype).size;
}

SHARDIO_API const char *shardio_dtype_name(shardio_dtype dtype)
{
    return shardio_p_type_of(dtype).name;
}

/* The number of bytes in the name of a raw type, "r16" has two; 0: it is none. */
static uint32_t shardio_p_raw_bytes(const char *name)
{
    uint32_t bits = 0;
    if (*name++ != 'r' || *name == '0') return 0;
    for (; shardio_p_is_digit(*name) && bits < 1u << 24; name++) bits = bits * 10 + (uint32_t)(*name - '0');
    return *name == 0 && bits % 8 == 0 ? bits / 8 : 0;
}

SHARDIO_API shardio_dtype shardio_dtype_from_name(const char *name)
{
    for (unsigned i = 1; i < SHARDIO_DTYPE_COUNT && name != NULL; i++)
        if (shardio_p_same(name, shardio_p_type_of((shardio_dtype)i).name)) return (shardio_dtype)i;
    if (name != NULL && shardio_p_raw_bytes(name) > 0) return SHARDIO_RAW;
    if (name != NULL && shardio_p_same(name, "variable_length_bytes")) return SHARDIO_BYTES;   /* zarr-python's name */
    return SHARDIO_DTYPE_UNSET;
}

/* Turns the bytes of each unit of 2, 4 or 8 around. */
static void shardio_p_swap_units(uint8_t *to, const uint8_t *from, size_t bytes, size_t unit)
{
    uint64_t x;
    uint32_t y;
    uint16_t z;
    for (size_t at = 0; unit == 2 && at < bytes; at += 2) {
        memcpy(&z, from + at, 2);
        z = (uint16_t)(z << 8 | z >> 8);
        memcpy(to + at, &z, 2);
    }
    for (size_t at = 0; unit == 4 && at < bytes; at += 4) {
        memcpy(&y, from + at, 4);
        y = y << 24 | (y & 0xFF00u) << 8 | (y >> 8 & 0xFF00u) | y >> 24;
        memcpy(to + at, &y, 4);
    }
    for (size_t at = 0; unit == 8 && at < bytes; at += 8) {
        memcpy(&x, from + at, 8);
        x = shardio_p_swap64(x);
        memcpy(to + at, &x, 8);
    }
}

/* Copies elements, turning the bytes of each `unit` around if unit > 1. */
static inline void shardio_p_copy_elements(uint8_t *to, const uint8_t *from, size_t bytes, size_t unit)
{
    if (unit <= 1) memcpy(to, from, bytes);
    else shardio_p_swap_units(to, from, bytes, unit);
}

/* The same for one of many rows; past_cache: they go to more memory than caches hold. */
static inline void shardio_p_copy_row(uint8_t *to, const uint8_t *from, size_t bytes, size_t unit, bool past_cache)
{
    if (past_cache && unit <= 1 && bytes >= SHARDIO_P_LONG_ROW) shardio_p_copy_past_cache(to, from, bytes);
    else shardio_p_copy_elements(to, from, bytes, unit);
}

/* Fills with copies of one element, doubling what is there. */
static void shardio_p_fill(uint8_t *to, size_t bytes, const uint8_t *element, size_t size)
{
    size_t done = bytes < size ? bytes : size;
    if (bytes == 0) return;
    memcpy(to, element, done);
    while (done < bytes) {
        size_t n = done < bytes - done ? done : bytes - done;
        memcpy(to + done, to, n);
        done += n;
    }
}

/* One element after the other, at steps of any length. */
static void shardio_p_copy_spread(uint8_t *to, ptrdiff_t to_step, const uint8_t *from, ptrdiff_t from_step,
                                  uint64_t count, size_t element, size_t unit)
{
    if (unit == 1 && element == 1) {
        for (; count > 0; count--, to += to_step, from += from_step) *to = *from;
    } else if (unit == 1 && element == 2) {
        for (; count > 0; count--, to += to_step, from += from_step) memcpy(to, from, 2);
    } else if (unit == 1 && element == 4) {
        for (; count > 0; count--, to += to_step, from += from_step) memcpy(to, from, 4);
    } else if (unit == 1 && element == 8) {
        for (; count > 0; count--, to += to_step, from += from_step) memcpy(to, from, 8);
    } else {
        for (; count > 0; count--, to += to_step, from += from_step) shardio_p_copy_elements(to, from, element, unit);
    }
}

/* A dimension of a box: how many, and the bytes to the next on both sides. */
typedef struct shardio_p_axis {
    uint64_t count;
    ptrdiff_t to, from;
} shardio_p_axis;

/* The axes of a box, without those of one element, and with those that lie without gaps on both sides made one. */
static uint32_t shardio_p_axes(shardio_p_axis *axes, const ptrdiff_t *to, const ptrdiff_t *from, const uint64_t *count,
                               uint32_t ndim)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ndim; i++) {
        shardio_p_axis axis = {count[i], to[i], from[i]};
        if (axis.count == 1) continue;
        shardio_p_axis *before = n > 0 ? &axes[n - 1] : NULL;
        if (before != NULL && before->to == axis.to * (ptrdiff_t)axis.count &&
            before->from == axis.from * (ptrdiff_t)axis.count) {
            before->count *= axis.count;
            before->to = axis.to;
            before->from = axis.from;
        } else {
            axes[n++] = axis;
        }
    }
    return n;
}

/* Copies a box of elements; strides in bytes, of any sign. Source strides of 0 everywhere: one element, again and again.
   The bytes of each `unit` are turned around if unit > 1. past_cache: as for copy_row. */
static void shardio_p_copy_box(uint8_t *to, const ptrdiff_t *to_stride, const uint8_t *from,
                               const ptrdiff_t *from_stride,
                               const uint64_t *count, uint32_t ndim, size_t element, size_t unit, bool past_cache)
{
    shardio_p_axis axes[SHARDIO_MAX_DIMS + 1];
    uint64_t at[SHARDIO_MAX_DIMS + 1] = {0};
    uint32_t n = shardio_p_axes(axes, to_stride, from_stride, count, ndim), i;
    if (n == 0) {
        axes[n].count = 1;
        axes[n].to = axes[n].from = (ptrdiff_t)element;
        n++;
    }
    const shardio_p_axis inner = axes[--n];
    for (;;) {
        if (inner.to != (ptrdiff_t)element)
            shardio_p_copy_spread(to, inner.to, from, inner.from, inner.count, element, unit);
        else if (inner.from == (ptrdiff_t)element)
            shardio_p_copy_row(to, from, (size_t)inner.count * element, unit, past_cache);
        else if (inner.from == 0 && unit == 1) shardio_p_fill(to, (size_t)inner.count * element, from, element);
        else shardio_p_copy_spread(to, inner.to, from, inner.from, inner.count, element, unit);
        for (i = n; i > 0; i--) {
            const shardio_p_axis *axis = &axes[i - 1];
            to += axis->to;
            from += axis->from;
            if (++at[i - 1] < axis->count) break;
            to -= axis->to * (ptrdiff_t)axis->count;
            from -= axis->from * (ptrdiff_t)axis->count;
            at[i - 1] = 0;
        }
        if (i == 0) break;
    }
    if (past_cache) shardio_p_copied_past_cache();
}

/* Whether these bytes are copies of one element, by bits: -0.0 is not 0.0, a NaN equals itself. */
static bool shardio_p_is_fill(const uint8_t *bytes, size_t count, const uint8_t *element, size_t size)
{
    return memcmp(bytes, element, size) == 0 && memcmp(bytes, bytes + size, count - size) == 0;
}

/* -- fill values in JSON (Zarr v3 core, "Fill value") */

static float shardio_p_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3FF, bits;
    float value;
    if (exponent == 0) {   /* zero or subnormal: mantissa times 2^-24, exact */
        value = (float)mantissa / 16777216.0f;
        return sign ? -value : value;
    }
    bits = exponent == 31 ? sign | 0x7F800000u | mantissa << 13 : sign | (exponent + 112) << 23 | mantissa << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest, ties to even. False: too large. */
static bool shardio_p_double_to_half(double value, uint16_t *half)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 48 & 0x8000);
    int exponent = (int)(bits >> 52 & 0x7FF) - 1023;
    uint64_t mantissa = (bits & UINT64_C(0xFFFFFFFFFFFFF)) | UINT64_C(0x10000000000000);
    *half = sign;
    if (exponent < -25) return true;
    int drop = exponent < -14 ? 42 + (-14 - exponent) : 42;   /* bits of the mantissa beyond a half's ten */
    uint64_t kept = mantissa >> drop, rest = mantissa & ((UINT64_C(1) << drop) - 1), middle = UINT64_C(1) << (drop - 1);
    if (rest > middle || (rest == middle && (kept & 1))) kept++;
    uint64_t biased = exponent < -14 ? 0 : (uint64_t)(exponent + 14) << 10;   /* the leading one adds the last step */
    if (biased + kept >= 0x7C00) return false;
    *half = (uint16_t)(sign | (biased + kept));
    return true;
}

/* The bits of a float of 2, 4 or 8 bytes in the machine's order. */
static uint64_t shardio_p_float_bits(const uint8_t *element, size_t size)
{
    uint16_t half;
    uint32_t single;
    uint64_t bits;
    if (size == 2) { memcpy(&half, element, 2); return half; }
    if (size == 4) { memcpy(&single, element, 4); return single; }
    memcpy(&bits, element, 8);
    return bits;
}

static void shardio_p_put_float_bits(uint8_t *element, size_t size, uint64_t bits)
{
    uint16_t half = (uint16_t)bits;
    uint32_t single = (uint32_t)bits;
    if (size == 2) memcpy(element, &half, 2);
    else if (size == 4) memcpy(element, &single, 4);
    else memcpy(element, &bits, 8);
}

/* Infinity and the quiet NaN that the word "NaN" stands for. */
static uint64_t shardio_p_infinity(size_t size)
{
    return size == 2 ? 0x7C00u : size == 4 ? 0x7F800000u : UINT64_C(0x7FF0000000000000);
}

static uint64_t shardio_p_nan(size_t size)
{
    return size == 2 ? 0x7E00u : size == 4 ? 0x7FC00000u : UINT64_C(0x7FF8000000000000);
}

static uint64_t shardio_p_sign(size_t size)
{
    return UINT64_C(1) << (8 * size - 1);
}

static void shardio_p_add_float(shardio_text *text, const uint8_t *element, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = shardio_p_float_bits(element, size), sign = shardio_p_sign(size);
    float single;
    double number;
    if (bits == shardio_p_nan(size)) shardio_text_add(text, "\"NaN\"");
    else if (bits == shardio_p_infinity(size)) shardio_text_add(text, "\"Infinity\"");
    else if (bits == (shardio_p_infinity(size) | sign)) shardio_text_add(text, "\"-Infinity\"");
    else if ((bits & ~sign) > shardio_p_infinity(size)) {   /* another NaN: its bits, most significant first */
        shardio_text_add(text, "\"0x");
        for (size_t i = 2 * size; i > 0; i--) shardio_text_add_bytes(text, &digits[bits >> 4 * (i - 1) & 15], 1);
        shardio_text_add(text, "\"");
    } else if (size == 2) shardio_text_add_float(text, shardio_p_half_to_float((uint16_t)bits));
    else if (size == 4) {
        memcpy(&single, element, 4);
        shardio_text_add_float(text, single);
    } else {
        memcpy(&number, element, 8);
        shardio_text_add_double(text, number);
    }
}

static bool shardio_p_is_time(shardio_dtype dtype)
{
    return dtype == SHARDIO_DATETIME64 || dtype == SHARDIO_TIMEDELTA64;
}

/* The unit of this name, as static text; null: there is none. */
static const char *shardio_p_time_unit(const char *name)
{
    static const char *const units[] = {"generic", "Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"};
    if (shardio_p_same(name, "\xCE\xBCs")) name = "us";   /* with a Greek letter */
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (shardio_p_same(name, units[i])) return units[i];
    return NULL;
}

static bool shardio_p_is_signed(shardio_dtype dtype)
{
    return (dtype >= SHARDIO_INT8 && dtype <= SHARDIO_INT64) || shardio_p_is_time(dtype);
}

static bool shardio_p_is_float(shardio_dtype dtype)
{
    return dtype >= SHARDIO_FLOAT16 && dtype <= SHARDIO_FLOAT64;
}

static bool shardio_p_is_complex(shardio_dtype dtype)
{
    return dtype == SHARDIO_COMPLEX64 || dtype == SHARDIO_COMPLEX128;
}

/* An integer element as 64 bits, sign-extended. */
static uint64_t shardio_p_integer(const uint8_t *element, size_t size, bool is_signed)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value = value << 8 | element[shardio_p_machine_is_big() ? i : size - 1 - i];
    if (is_signed && size < 8 && value >> (8 * size - 1) != 0) value |= ~UINT64_C(0) << 8 * size;
    return value;
}

/* Raw bytes are a list of numbers (core, "Fill value"). */
static void shardio_p_add_byte_list(shardio_text *text, const uint8_t *bytes, size_t size)
{
    shardio_text_add(text, "[");
    for (size_t i = 0; i < size; i++) {
        shardio_text_add(text, i > 0 ? ", " : "");
        shardio_text_add_uint64(text, bytes[i]);
    }
    shardio_text_add(text, "]");
}

static const char shardio_p_base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Variable-length bytes are Base64 (extension "bytes", "Fill value"; RFC 4648). */
static void shardio_p_add_base64(shardio_text *text, const uint8_t *bytes, size_t size)
{
    shardio_text_add(text, "\"");
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t)bytes[i] << 16 | (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (n > 2 ? bytes[i + 2]
                                                                                                 : 0u);
        for (size_t k = 0; k < 4; k++)
            shardio_text_add_bytes(text, k <= n ? &shardio_p_base64_digits[group >> (18 - 6 * k) & 63] : "=", 1);
    }
    shardio_text_add(text, "\"");
}

/* `size`: bytes of the element, for raw types. */
static void shardio_p_add_fill_value(shardio_text *text, shardio_dtype dtype, const uint8_t *element, size_t size)
{
    shardio_p_type type = shardio_p_type_of(dtype);
    shardio_bytes variable;
    if (shardio_p_is_variable(dtype)) memcpy(&variable, element, sizeof variable);
    if (dtype == SHARDIO_STRING) shardio_p_add_string(text, (const char *)variable.data, variable.size);
    else if (dtype == SHARDIO_BYTES) shardio_p_add_base64(text, (const uint8_t *)variable.data, variable.size);
    else if (dtype == SHARDIO_RAW) shardio_p_add_byte_list(text, element, size);
    else if (dtype == SHARDIO_BOOL) shardio_text_add(text, element[0] != 0 ? "true" : "false");
    else if (shardio_p_is_complex(dtype)) {
        shardio_text_add(text, "[");
        shardio_p_add_float(text, element, type.unit);
        shardio_text_add(text, ", ");
        shardio_p_add_float(text, element + type.unit, type.unit);
        shardio_text_add(text, "]");
    } else if (shardio_p_is_float(dtype)) shardio_p_add_float(text, element, type.size);
    else if (shardio_p_is_signed(dtype))
        shardio_text_add_int64(text, (int64_t)shardio_p_integer(element, type.size, true));
    else shardio_text_add_uint64(text, shardio_p_integer(element, type.size, false));
}

/* "0x" and exactly as many digits as the float has. */
static bool shardio_p_float_from_hex(const char *text, uint8_t *element, size_t size)
{
    uint64_t bits = 0;
    if (shardio_p_length(text) != 2 + 2 * size || text[0] != '0' || text[1] != 'x') return false;
    for (size_t i = 0; i < 2 * size; i++) {
        int digit = shardio_p_hex(text[2 + i]);
        if (digit < 0) return false;
        bits = bits << 4 | (uint64_t)digit;
    }
    shardio_p_put_float_bits(element, size, bits);
    return true;
}

static bool shardio_p_float_from_json(shardio_json value, uint8_t *element, size_t size)
{
    char word[24];
    uint16_t half;
    float single;
    double number;
    if (shardio_json_string(value, word, sizeof word)) {
        if (shardio_p_same(word, "NaN")) shardio_p_put_float_bits(element, size, shardio_p_nan(size));
        else if (shardio_p_same(word, "Infinity")) shardio_p_put_float_bits(element, size, shardio_p_infinity(size));
        else if (shardio_p_same(word, "-Infinity"))
            shardio_p_put_float_bits(element, size, shardio_p_infinity(size) | shardio_p_sign(size));
        else return shardio_p_float_from_hex(word, element, size);
        return true;
    }
    if (size == 4) {
        if (!shardio_json_float(value, &single)) return false;
        memcpy(element, &single, 4);
        return true;
    }
    if (!shardio_json_double(value, &number)) return false;
    if (size == 8) memcpy(element, &number, 8);
    else if (!shardio_p_double_to_half(number, &half)) return false;
    else memcpy(element, &half, 2);
    return true;
}

static bool shardio_p_complex_from_json(shardio_json value, uint8_t *element, size_t unit)
{
    shardio_json part;
    size_t at = 0;
    if (shardio_json_kind(value) != '[') return false;
    for (int i = 0; i < 2; i++, element += unit)
        if (!shardio_json_next(value, &at, NULL, &part) || !shardio_p_float_from_json(part, element, unit))
            return false;
    return !shardio_json_next(value, &at, NULL, &part);
}

static bool shardio_p_integer_from_json(shardio_json value, uint8_t *element, size_t size, bool is_signed)
{
    uint64_t bits;
    int64_t number = 0;
    if (is_signed ? !shardio_json_int64(value, &number) : !shardio_json_uint64(value, &bits)) return false;
    if (is_signed) bits = (uint64_t)number;
    for (size_t i = 0; i < size; i++) element[shardio_p_machine_is_big() ? size - 1 - i : i] = (uint8_t)(bits >> 8 * i);
    return shardio_p_integer(element, size, is_signed) == bits;   /* it fitted */
}

/* A list of numbers below 256, or Base64 in a string without escapes; at most `capacity` bytes. `bytes` null: only checks. */
static bool shardio_p_bytes_from_json(shardio_json value, uint8_t *bytes, size_t capacity, size_t *size)
{
    shardio_json item;
    size_t at = 0;
    uint64_t number;
    uint32_t group = 0;
    *size = 0;
    if (shardio_json_kind(value) == '[') {
        for (; shardio_json_next(value, &at, NULL, &item); (*size)++) {
            if (*size == capacity || !shardio_json_uint64(item, &number) || number > 255) return false;
            if (bytes != NULL) bytes[*size] = (uint8_t)number;
        }
        return true;
    }
    if (shardio_json_kind(value) != '"' || (value.size - 2) % 4 != 0) return false;
    for (size_t i = 0; i + 2 < value.size; i++) {
        const char *c = value.text + 1 + i;
        size_t left = value.size - 2 - i;
        uint32_t digit = 0;
        if (*c == '=' && (left > 2 || (left == 2 && c[1] != '='))) return false;
        while (*c != '=' && digit < 64 && shardio_p_base64_digits[digit] != *c) digit++;
        if (digit == 64) return false;
        group = group << 6 | digit;
        if (i % 4 != 3) continue;
        size_t n = *c != '=' ? 3 : c[-1] != '=' ? 2 : 1;
        for (size_t k = 0; k < n; k++, (*size)++) {
            if (*size == capacity) return false;
            if (bytes != NULL) bytes[*size] = (uint8_t)(group >> (16 - 8 * k));
        }
        group = 0;
    }
    return true;
}

/* Not for the types of variable length. */
static bool shardio_p_fill_from_json(shardio_json value, shardio_dtype dtype, uint8_t *element, size_t raw)
{
    shardio_p_type type = shardio_p_type_of(dtype);
    size_t size;
    bool truth;
    if (dtype == SHARDIO_BOOL) {
        if (!shardio_json_bool(value, &truth)) return false;
        element[0] = truth;
        return true;
    }
    if (dtype == SHARDIO_RAW) return shardio_p_bytes_from_json(value, element, raw, &size) && size == raw;
    if (shardio_p_is_complex(dtype)) return shardio_p_complex_from_json(value, element, type.unit);
    if (shardio_p_is_float(dtype)) return shardio_p_float_from_json(value, element, type.size);
    if (shardio_p_is_time(dtype) && shardio_json_is(value, "NaT")) {
        const int64_t no_time = INT64_MIN;
        memcpy(element, &no_time, sizeof no_time);
        return true;
    }
    return shardio_p_integer_from_json(value, element, type.size, shardio_p_is_signed(dtype));
}

/* -- what an array is, as its zarr.json says */

enum {
    SHARDIO_P_LEVELS = 8,                 /* grids inside one another */
    SHARDIO_P_MOST_RAW = 256,             /* bytes of a raw element */
    SHARDIO_P_MOST_METADATA = 16 << 20    /* bytes of a zarr.json, unless the options say otherwise */
};

/* What turns the elements of a chunk into bytes. */
typedef enum shardio_p_packing { SHARDIO_P_PLAIN, SHARDIO_P_STRINGS, SHARDIO_P_SHARD } shardio_p_packing;

/* How the chunks of one grid are encoded. Level 0 is what a key holds; where it is a shard, its chunks are level 1, and
   so on. Extents are those of the array's dimensions; a transposition changes only the order in which elements and chunks
   are stored, and one around a shard becomes part of the order of all levels inside. */
typedef struct shardio_p_level {
    shardio_p_packing packing;
    bool in_order;                             /* order[] is 0, 1, 2 ... */
    uint8_t order[SHARDIO_MAX_DIMS];           /* dimension i as stored is dimension order[i] of the array */
    uint64_t extent[SHARDIO_MAX_DIMS];         /* elements */
    uint64_t per[SHARDIO_MAX_DIMS];            /* shard: chunks of the next level along each dimension */
    shardio_index_layout index;                /* shard; index.order is that of the next member, if there is one */
    shardio_index_order index_order;
    uint8_t index_axis[SHARDIO_MAX_DIMS];      /* dimension i of the index as stored is dimension index_axis[i] of it */
    bool index_transposed;
    size_t bytes;                              /* of the elements in memory */
    shardio_p_chain chain;
} shardio_p_level;

typedef struct shardio_p_meta {
    uint32_t ndim, level_count;
    shardio_dtype dtype;
    uint32_t time_scale;
    const char *time_unit;                     /* static text, or null */
    size_t element, unit;                      /* bytes; the unit is 1 if the machine's byte order is that of the file */
    uint64_t shape[SHARDIO_MAX_DIMS];
    uint64_t chunk[SHARDIO_MAX_DIMS], shard[SHARDIO_MAX_DIMS];      /* elements of what is gathered, and of a key */
    uint64_t per_shard[SHARDIO_MAX_DIMS];      /* chunks of a shard along each dimension */
    uint64_t grid[SHARDIO_MAX_DIMS];           /* chunks of the array; of an open first dimension: no end */
    uint64_t shard_grid[SHARDIO_MAX_DIMS];
    size_t chunk_bytes;                        /* decoded */
    bool sharded;                              /* keys hold shards whose chunks can be reached one by one */
    bool big_endian, key_v2;
    char separator;
    shardio_index_layout index;                /* of these shards; otherwise one chunk */
    uint8_t fill[SHARDIO_P_MOST_RAW], stored_fill[SHARDIO_P_MOST_RAW];   /* in the machine's byte order and in the file's */
    shardio_p_level levels[SHARDIO_P_LEVELS];
    shardio_json names, attributes, fill_value, codec_list;         /* pieces of the text */
} shardio_p_meta;

/* The level whose chunks are gathered, encoded and read one by one. */
static const shardio_p_level *shardio_p_chunk_level(const shardio_p_meta *m)
{
    return &m->levels[m->sharded ? 1 : 0];
}

/* Whether such a chunk is stored as the bytes of its elements. */
static bool shardio_p_stored_as_is(const shardio_p_meta *m)
{
    const shardio_p_level *level = shardio_p_chunk_level(m);
    return level->packing == SHARDIO_P_PLAIN && level->in_order && level->chain.count == 0;
}

static uint64_t shardio_p_divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* The steps between the numbers of an index, from the order of its dimensions. */
static void shardio_p_order_index(shardio_p_level *level, uint32_t ndim)
{
    shardio_index_order *order = &level->index_order;
    uint64_t step = 1;
    order->ndim = ndim;
    for (uint32_t i = 0; i < ndim; i++) order->chunks[i] = level->per[level->order[i]];
    for (uint32_t i = ndim + 1; i-- > 0;) {
        uint32_t axis = level->index_axis[i];
        order->step[axis] = step;
        step *= axis == ndim ? 2 : order->chunks[axis];
    }
}

/* After the metadata came to lie where it stays. */
static void shardio_p_link_index_orders(shardio_p_meta *m)
{
    for (uint32_t k = 0; k < m->level_count; k++)
        m->levels[k].index.order = m->levels[k].index_transposed ? &m->levels[k].index_order : NULL;
    m->index.order = m->sharded ? m->levels[0].index.order : NULL;
}

/* Everything that follows from the extents and packing of a level. Null: fine; otherwise what is wrong. */
static const char *shardio_p_level_derive(const shardio_p_meta *m, uint32_t k, shardio_p_level *level)
{
    uint64_t bytes = m->element, chunks = 1;
    level->in_order = true;
    for (uint32_t i = 0; i < m->ndim; i++) {
        level->in_order = level->in_order && level->order[i] == i;
        if (level->extent[i] == 0) return "a chunk or shard extent is 0";
        if (!shardio_p_multiply(bytes, level->extent[i], &bytes)) return "a chunk of more than 2^64 bytes";
        if (level->packing != SHARDIO_P_SHARD) continue;
        const uint64_t inner = m->levels[k + 1].extent[i];
        if (inner == 0) return "a chunk or shard extent is 0";
        if (level->extent[i] % inner != 0) return "the shard is not a whole number of chunks";
        level->per[i] = level->extent[i] / inner;
        if (!shardio_p_multiply(chunks, level->per[i], &chunks)) return "a shard of more than 2^64 chunks";
    }
    if (level->packing == SHARDIO_P_SHARD && (chunks > (uint64_t)INT64_MAX / 64 || chunks > SIZE_MAX / 64))
        return "a shard whose index no memory holds";
    level->index.chunks = chunks;
    if (level->index_transposed) shardio_p_order_index(level, m->ndim);
    bool held = level->packing != SHARDIO_P_SHARD || k > 0 || level->chain.count > 0;   /* as a whole, at times */
    if (held && (bytes > SIZE_MAX / 4 || bytes > (uint64_t)INT64_MAX / 4)) return "a chunk that no memory holds";
    level->bytes = (size_t)bytes;
    return NULL;
}

/* Everything that follows from type, shape and levels. */
static const char *shardio_p_meta_derive(shardio_p_meta *m, bool open_ended)
{
    uint64_t elements = 1;
    shardio_p_type type = shardio_p_type_of(m->dtype);
    m->unit = m->big_endian == shardio_p_machine_is_big() ? 1 : type.unit;
    shardio_p_copy_elements(m->stored_fill, m->fill, m->element, m->unit);
    for (uint32_t k = 0; k < m->level_count; k++) {
        const char *wrong = shardio_p_level_derive(m, k, &m->levels[k]);
        if (wrong != NULL) return wrong;
    }
    m->sharded = m->levels[0].packing == SHARDIO_P_SHARD && m->levels[0].chain.count == 0;
    memcpy(m->shard, m->levels[0].extent, sizeof m->shard);
    memcpy(m->chunk, shardio_p_chunk_level(m)->extent, sizeof m->chunk);
    m->chunk_bytes = shardio_p_chunk_level(m)->bytes;
    m->index = m->levels[0].index;
    if (!m->sharded) {
        m->index.chunks = 1;
        m->index.order = NULL;
    }
    for (uint32_t i = 0; i < m->ndim; i++) {
        bool endless = i == 0 && open_ended && m->shape[0] == SHARDIO_UNLIMITED;
        if (!shardio_p_multiply(elements, shardio_p_max(1, m->shape[i]), &elements)) return "more than 2^64 elements";
        m->per_shard[i] = m->sharded ? m->levels[0].per[i] : 1;
        m->grid[i] = endless ? UINT64_MAX : shardio_p_divide_up(m->shape[i], m->chunk[i]);
        m->shard_grid[i] = endless ? UINT64_MAX : shardio_p_divide_up(m->shape[i], m->shard[i]);
    }
    return shardio_p_multiply(elements, m->element, &elements) ? NULL : "more than 2^64 bytes";
}

/* -- writing zarr.json */

static void shardio_p_add_extents(shardio_text *text, const uint64_t *extents, uint32_t ndim)
{
    shardio_text_add(text, "[");
    for (uint32_t i = 0; i < ndim; i++) {
        if (i > 0) shardio_text_add(text, ", ");
        shardio_text_add_uint64(text, extents[i]);
    }
    shardio_text_add(text, "]");
}

static void shardio_p_add_bytes_codec(shardio_text *text, bool big)
{
    shardio_text_add(text, "{\"name\": \"bytes\", \"configuration\": {\"endian\": ");
    shardio_text_add(text, big ? "\"big\"}}" : "\"little\"}}");
}

/* What turns elements into bytes. */
static void shardio_p_add_packing(shardio_text *text, const shardio_p_meta *m)
{
    if (m->dtype == SHARDIO_STRING) shardio_text_add(text, "{\"name\": \"vlen-utf8\"}");
    else if (m->dtype == SHARDIO_BYTES) shardio_text_add(text, "{\"name\": \"vlen-bytes\"}");
    else shardio_p_add_bytes_codec(text, m->big_endian);
}

/* The codecs of a chunk: a transposition, what makes bytes, then those of the options. */
static void shardio_p_add_chunk_codecs(shardio_text *text, const shardio_p_meta *m, const shardio_array_options *o)
{
    shardio_text_add(text, "[");
    if (o->transpose != NULL) {
        uint64_t order[SHARDIO_MAX_DIMS];
        for (uint32_t i = 0; i < m->ndim; i++) order[i] = o->transpose[i];
        shardio_text_add(text, "{\"name\": \"transpose\", \"configuration\": {\"order\": ");
        shardio_p_add_extents(text, order, m->ndim);
        shardio_text_add(text, "}}, ");
    }
    shardio_p_add_packing(text, m);
    for (uint32_t i = 0; i < SHARDIO_MAX_CODECS && o->codecs[i] != NULL; i++) {
        shardio_text_add(text, ", {\"name\": ");
        shardio_text_add_string(text, o->codecs[i]->name);
        if (o->codecs[i]->configuration != NULL) {
            shardio_text_add(text, ", \"configuration\": ");
            shardio_text_add(text, o->codecs[i]->configuration);
        }
        shardio_text_add(text, "}");
    }
    shardio_text_add(text, "]");
}

static void shardio_p_add_codecs(shardio_text *text, const shardio_p_meta *m, const shardio_array_options *o)
{
    if (o->codec_list != NULL) {
        shardio_text_add(text, o->codec_list);
        return;
    }
    if (m->level_count == 1) {
        shardio_p_add_chunk_codecs(text, m, o);
        return;
    }
    shardio_text_add(text, "[{\"name\": \"sharding_indexed\", \"configuration\": {\n    \"chunk_shape\": ");
    shardio_p_add_extents(text, m->chunk, m->ndim);
    shardio_text_add(text, ",\n    \"codecs\": ");
    shardio_p_add_chunk_codecs(text, m, o);
    shardio_text_add(text, ",\n    \"index_codecs\": [");
    shardio_p_add_bytes_codec(text, m->index.big_endian);
    if (!m->index.no_checksum) shardio_text_add(text, ", {\"name\": \"crc32c\"}");
    shardio_text_add(text, "],\n    \"index_location\": ");
    shardio_text_add(text, m->index.at_start ? "\"start\"}}]" : "\"end\"}}]");
}

static void shardio_p_add_data_type(shardio_text *text, const shardio_p_meta *m)
{
    if (shardio_p_is_time(m->dtype)) {
        shardio_text_add(text, "{\"name\": ");
        shardio_text_add_string(text, shardio_dtype_name(m->dtype));
        shardio_text_add(text, ", \"configuration\": {\"unit\": ");
        shardio_text_add_string(text, m->time_unit);
        shardio_text_add(text, ", \"scale_factor\": ");
        shardio_text_add_uint64(text, m->time_scale);
        shardio_text_add(text, "}}");
        return;
    }
    if (m->dtype != SHARDIO_RAW) {
        shardio_text_add_string(text, shardio_dtype_name(m->dtype));
        return;
    }
    shardio_text_add(text, "\"r");
    shardio_text_add_uint64(text, 8 * (uint64_t)m->element);
    shardio_text_add(text, "\"");
}

static void shardio_p_add_key_encoding(shardio_text *text, const shardio_p_meta *m)
{
    char separator[2] = {m->separator, 0};
    shardio_text_add(text, ",\n  \"chunk_key_encoding\": {\"name\": ");
    shardio_text_add(text, m->key_v2 ? "\"v2\"" : "\"default\"");
    shardio_text_add(text, ", \"configuration\": {\"separator\": ");
    shardio_text_add_string(text, separator);
    shardio_text_add(text, "}}");
}

static void shardio_p_add_array_json(shardio_text *text, const shardio_p_meta *m, const shardio_array_options *options)
{
    shardio_text_add(text, "{\n  \"zarr_format\": 3,\n  \"node_type\": \"array\",\n  \"shape\": ");
    shardio_p_add_extents(text, m->shape, m->ndim);
    shardio_text_add(text, ",\n  \"data_type\": ");
    shardio_p_add_data_type(text, m);
    shardio_text_add(text, ",\n  \"chunk_grid\": {\"name\": \"regular\", \"configuration\": {\"chunk_shape\": ");
    shardio_p_add_extents(text, m->shard, m->ndim);
    shardio_text_add(text, "}}");
    shardio_p_add_key_encoding(text, m);
    shardio_text_add(text, ",\n  \"fill_value\": ");
    shardio_p_add_fill_value(text, m->dtype, m->fill, m->element);
    shardio_text_add(text, ",\n  \"codecs\": ");
    shardio_p_add_codecs(text, m, options);
    shardio_text_add(text, ",\n  \"attributes\": ");
    shardio_text_add(text, options->attributes != NULL ? options->attributes : "{}");
    if (options->dimension_names != NULL) {
        shardio_text_add(text, ",\n  \"dimension_names\": [");
        for (uint32_t i = 0; i < m->ndim; i++) {
            if (i > 0) shardio_text_add(text, ", ");
            if (options->dimension_names[i] == NULL) shardio_text_add(text, "null");
            else shardio_text_add_string(text, options->dimension_names[i]);
        }
        shardio_text_add(text, "]");
    }
    shardio_text_add(text, "\n}\n");
}

/* -- reading zarr.json: one function a member; each says what is wrong, or null */

enum { SHARDIO_P_MOST_MEMBERS = 1000 };   /* of an object that we interpret; attributes may have any number */

/* An object that has a name twice says two things. */
static const char *shardio_p_check_members(shardio_json object)
{
    shardio_json a, b, value;
    size_t at = 0, count = 0;
    if (shardio_json_kind(object) != '{') return "not an object";
    while (shardio_json_next(object, &at, &a, &value)) {
        size_t later = at;
        if (++count > SHARDIO_P_MOST_MEMBERS) return "too many members";
        while (shardio_json_next(object, &later, &b, &value))
            if (shardio_p_json_same(a, b)) return "a member stands there twice";
    }
    return NULL;
}

static const char *shardio_p_read_extents_json(shardio_json list, uint64_t *extents, uint32_t *ndim)
{
    shardio_json value;
    size_t at = 0;
    uint32_t n = 0;
    if (shardio_json_kind(list) != '[') return "not a list of extents";
    for (; shardio_json_next(list, &at, NULL, &value); n++) {
        if (n == SHARDIO_MAX_DIMS) return "more than 32 dimensions";
        if (!shardio_json_uint64(value, &extents[n])) return "an extent that is no whole number below 2^64";
    }
    *ndim = n;
    return NULL;
}

/* {"name": ..., "configuration": {...}}, or the plain name. An extension that need not be understood is not ours. */
static const char *shardio_p_read_named(shardio_json value, char *name, size_t size, shardio_json *configuration)
{
    configuration->text = NULL;
    configuration->size = 0;
    if (shardio_json_kind(value) == '"') return shardio_json_string(value, name, size) ? NULL : "an unknown name";
    const char *wrong = shardio_p_check_members(value);
    if (wrong != NULL) return wrong;
    *configuration = shardio_json_member(value, "configuration");
    if (shardio_json_kind(*configuration) != 0) wrong = shardio_p_check_members(*configuration);
    if (wrong == NULL && !shardio_json_string(shardio_json_member(value, "name"), name, size))
        wrong = "it has no usable name";
    return wrong;
}

/* What is wrong in another way than damaged, and the codec concerned, if it is one. */
typedef struct shardio_p_trouble {
    char member[96];
    shardio_status status;
} shardio_p_trouble;

static const char *shardio_p_read_shape(shardio_p_meta *m, shardio_json root)
{
    return shardio_p_read_extents_json(shardio_json_member(root, "shape"), m->shape, &m->ndim);
}

/* Unit and scale of a type of time (extension data types of zarr-extensions, as zarr-python writes them). */
static const char *shardio_p_read_time(shardio_p_meta *m, shardio_json configuration)
{
    char unit[16];
    uint64_t scale = 0;
    bool named = shardio_json_string(shardio_json_member(configuration, "unit"), unit, sizeof unit);
    m->time_unit = named ? shardio_p_time_unit(unit) : NULL;
    if (m->time_unit == NULL) return "no unit of time that there is";
    if (!shardio_json_uint64(shardio_json_member(configuration, "scale_factor"), &scale) || scale == 0 ||
        scale > INT32_MAX)
        return "scale_factor is no number from 1 to 2147483647";
    m->time_scale = (uint32_t)scale;
    return NULL;
}

/* "uint8", "r16", or an object with a name; zarr-python's raw_bytes says its size in the configuration. */
static const char *shardio_p_read_type(shardio_p_meta *m, shardio_json root, shardio_p_trouble *trouble)
{
    char name[64];
    uint64_t raw = 0;
    shardio_json value = shardio_json_member(root, "data_type"), configuration;
    if (shardio_json_kind(value) != '"' && shardio_json_kind(value) != '{') return "missing, or no type";
    const char *wrong = shardio_p_read_named(value, name, sizeof name, &configuration);
    if (wrong != NULL && shardio_json_kind(value) == '{') return wrong;
    if (wrong == NULL) m->dtype = shardio_dtype_from_name(name);
    if (m->dtype == SHARDIO_RAW) raw = shardio_p_raw_bytes(name);
    if (shardio_p_is_time(m->dtype) && (wrong = shardio_p_read_time(m, configuration)) != NULL) return wrong;
    if (wrong == NULL && shardio_p_same(name, "raw_bytes") &&
        shardio_json_uint64(shardio_json_member(configuration, "length_bytes"), &raw) && raw > 0)
        m->dtype = SHARDIO_RAW;
    m->element = m->dtype == SHARDIO_RAW ? (size_t)shardio_p_min(raw, SIZE_MAX / 2) : shardio_dtype_size(m->dtype);
    if (m->dtype != SHARDIO_DTYPE_UNSET && m->element <= SHARDIO_P_MOST_RAW) return NULL;
    trouble->status = m->dtype != SHARDIO_DTYPE_UNSET ? SHARDIO_ERR_LIMIT : SHARDIO_ERR_UNSUPPORTED;
    return m->dtype != SHARDIO_DTYPE_UNSET ? "elements of more than 256 bytes" : "not a type that this version reads";
}

static const char *shardio_p_read_grid(shardio_p_meta *m, shardio_json root, shardio_p_trouble *trouble)
{
    char name[64];
    shardio_json configuration;
    uint32_t ndim = 0;
    const char *wrong = shardio_p_read_named(shardio_json_member(root, "chunk_grid"), name, sizeof name,
                                             &configuration);
    if (wrong != NULL) return wrong;
    if (!shardio_p_same(name, "regular")) {
        trouble->status = SHARDIO_ERR_UNSUPPORTED;
        return "only the regular grid is";
    }
    wrong = shardio_p_read_extents_json(shardio_json_member(configuration, "chunk_shape"), m->levels[0].extent, &ndim);
    if (wrong != NULL) return wrong;
    return ndim == m->ndim ? NULL : "another number of dimensions than the shape";
}

static const char *shardio_p_read_key_encoding(shardio_p_meta *m, shardio_json root, shardio_p_trouble *trouble)
{
    char name[64], separator[4];
    shardio_json configuration, value;
    const char *wrong = shardio_p_read_named(shardio_json_member(root, "chunk_key_encoding"), name, sizeof name,
                                             &configuration);
    if (wrong != NULL) return wrong;
    m->key_v2 = shardio_p_same(name, "v2");
    if (!m->key_v2 && !shardio_p_same(name, "default")) {
        trouble->status = SHARDIO_ERR_UNSUPPORTED;
        return "only the encodings default and v2 are";
    }
    m->separator = m->key_v2 ? '.' : '/';
    value = shardio_json_member(configuration, "separator");
    if (shardio_json_kind(value) == 0) return NULL;
    if (!shardio_json_string(value, separator, sizeof separator) ||
        (!shardio_p_same(separator, ".") && !shardio_p_same(separator, "/")))
        return "the separator is neither / nor .";
    m->separator = separator[0];
    return NULL;
}

/* Whether a JSON string holds U+0000. */
static bool shardio_p_has_zero(shardio_json value)
{
    uint32_t code = 1;
    for (size_t at = 1, n; at + 1 < value.size && code != 0; at += n)
        if ((n = shardio_p_escape(value.text + at, value.size - at, &code)) == 0) n = 1;
    return code == 0;
}

static const char *shardio_p_read_fill(shardio_p_meta *m, shardio_json root)
{
    shardio_json value = shardio_json_member(root, "fill_value");
    size_t size;
    bool right;
    m->fill_value = value;
    if (shardio_json_kind(value) == 0) return "missing";
    if (m->dtype == SHARDIO_STRING) right = shardio_json_kind(value) == '"' && !shardio_p_has_zero(value);
    else if (m->dtype == SHARDIO_BYTES) right = shardio_p_bytes_from_json(value, NULL, SIZE_MAX, &size);
    else right = shardio_p_fill_from_json(value, m->dtype, m->fill, m->element);
    return right ? NULL : "not a value of the array's type";
}

/* The endian member of a bytes codec; elements of one byte need none. */
static const char *shardio_p_read_endian(shardio_json configuration, size_t unit, bool *big)
{
    shardio_json endian = shardio_json_member(configuration, "endian");
    *big = shardio_json_is(endian, "big");
    if (*big || shardio_json_is(endian, "little") || (shardio_json_kind(endian) == 0 && unit == 1)) return NULL;
    return "the bytes codec does not say little or big";
}

/* Codecs known here: those in the options and our own. */
static const shardio_codec *shardio_p_find_codec(const char *name, const shardio_array_options *options)
{
    for (size_t i = 0; options != NULL && i < SHARDIO_MAX_CODECS && options->codecs[i] != NULL; i++)
        if (shardio_p_same(name, options->codecs[i]->name)) return options->codecs[i];
    return shardio_p_own_codec(name);
}

static const char *shardio_p_codec_trouble(shardio_p_trouble *trouble, const char *name, shardio_status status,
                                           const char *reason)
{
    shardio_text text = {trouble->member, sizeof trouble->member, 0};
    shardio_text_add(&text, "codec ");
    shardio_text_add_string(&text, name);
    trouble->status = status;
    return reason;
}

/* A transposition behind those before: `order` says how the dimensions are stored so far (codec "transpose"). */
static const char *shardio_p_read_transpose(uint32_t dims, shardio_json configuration, uint8_t *order)
{
    uint64_t wanted[SHARDIO_MAX_DIMS];
    uint8_t before[SHARDIO_MAX_DIMS];
    uint32_t ndim = 0, seen = 0;
    if (shardio_p_read_extents_json(shardio_json_member(configuration, "order"), wanted, &ndim) != NULL || ndim != dims)
        return "the order of a transpose codec is no list of all dimensions";
    memcpy(before, order, sizeof before);
    for (uint32_t i = 0; i < ndim; i++) {
        if (wanted[i] >= ndim || (seen >> wanted[i] & 1) != 0)
            return "the order of a transpose codec is no permutation";
        seen |= (uint32_t)1 << wanted[i];
        order[i] = before[wanted[i]];
    }
    return NULL;
}

static const char *shardio_p_read_chain_codec(shardio_p_chain *chain, const char *name, shardio_json configuration,
                                              const shardio_array_options *options, shardio_p_trouble *trouble)
{
    const shardio_codec *codec = shardio_p_find_codec(name, options);
    const char *macro = shardio_p_codec_macro(name);
    if (codec == NULL)
        return shardio_p_codec_trouble(trouble, name, SHARDIO_ERR_UNSUPPORTED, macro != NULL ? macro
                                       : "this program does not know it here");
    if (chain->count == SHARDIO_MAX_CODECS) return "more than 8 codecs";
    chain->configurations[chain->count] = configuration;
    chain->codecs[chain->count++] = codec;
    return NULL;
}

/* What turns elements into bytes, if the codec is one that does. */
static const char *shardio_p_read_packing(shardio_p_meta *m, shardio_p_level *level, const char *name,
                                          shardio_json configuration, shardio_p_trouble *trouble)
{
    const char *fits = m->dtype == SHARDIO_STRING ? "vlen-utf8" : m->dtype == SHARDIO_BYTES ? "vlen-bytes" : "bytes";
    bool known = shardio_p_same(name, "bytes") || shardio_p_same(name, "vlen-utf8") ||
                 shardio_p_same(name, "vlen-bytes");
    if (!known)
        return shardio_p_codec_trouble(trouble, name, SHARDIO_ERR_UNSUPPORTED, "this program does not know it here");
    if (!shardio_p_same(name, fits)) return "the codec that makes bytes of elements does not fit the data type";
    level->packing = shardio_p_is_variable(m->dtype) ? SHARDIO_P_STRINGS : SHARDIO_P_PLAIN;
    if (level->packing == SHARDIO_P_STRINGS) return NULL;
    return shardio_p_read_endian(configuration, shardio_p_type_of(m->dtype).unit, &m->big_endian);
}

/* One codec of an index. Those that keep its size to the byte are transpose, bytes and crc32c; of all others a reader
   could not find it (codec specification "sharding_indexed"). */
static const char *shardio_p_read_index_codec(shardio_p_level *level, uint32_t ndim, const char *name,
                                              shardio_json configuration, bool *packed, shardio_p_trouble *trouble)
{
    shardio_index_layout *layout = &level->index;
    if (!*packed && shardio_p_same(name, "transpose")) {
        if (ndim + 1 > SHARDIO_MAX_DIMS) return "an index of more than 32 dimensions that is transposed";
        level->index_transposed = true;
        return shardio_p_read_transpose(ndim + 1, configuration, level->index_axis);
    }
    if (!*packed && shardio_p_same(name, "bytes")) {
        *packed = true;
        return shardio_p_read_endian(configuration, 8, &layout->big_endian);
    }
    if (!*packed || !shardio_p_same(name, "crc32c"))
        return shardio_p_codec_trouble(trouble, name, SHARDIO_ERR_UNSUPPORTED,
                                       "not supported for the index of a shard");
    if (layout->more_checksums + 1 == SHARDIO_MAX_CODECS) return "more than 8 codecs";
    if (layout->no_checksum) layout->no_checksum = false;
    else layout->more_checksums++;
    return NULL;
}

static const char *shardio_p_read_index_codecs(shardio_p_level *level, uint32_t ndim, shardio_json list,
                                               shardio_p_trouble *trouble)
{
    char name[64];
    shardio_json value, configuration;
    size_t at = 0;
    bool packed = false;
    if (shardio_json_kind(list) != '[') return "the list of index_codecs is missing";
    level->index.no_checksum = true;
    for (uint32_t i = 0; i <= ndim && i < SHARDIO_MAX_DIMS; i++) level->index_axis[i] = (uint8_t)i;
    while (shardio_json_next(list, &at, NULL, &value)) {
        const char *wrong = shardio_p_read_named(value, name, sizeof name, &configuration);
        if (wrong == NULL) wrong = shardio_p_read_index_codec(level, ndim, name, configuration, &packed, trouble);
        if (wrong != NULL) return wrong;
    }
    return packed ? NULL : "the list of index_codecs has none that makes bytes";
}

/* A shard: the extents of its chunks are those of the next level. *inner is the list of their codecs. */
static const char *shardio_p_read_sharding(shardio_p_meta *m, uint32_t k, shardio_json configuration,
                                           shardio_json *inner, shardio_p_trouble *trouble)
{
    uint64_t extents[SHARDIO_MAX_DIMS];
    uint32_t ndim = 0;
    shardio_p_level *level = &m->levels[k];
    shardio_json location = shardio_json_member(configuration, "index_location");
    if (k + 1 == SHARDIO_P_LEVELS) {
        trouble->status = SHARDIO_ERR_LIMIT;
        return "more than 7 shards inside one another";
    }
    const char *wrong = shardio_p_read_extents_json(shardio_json_member(configuration, "chunk_shape"), extents, &ndim);
    if (wrong != NULL) return wrong;
    if (ndim != m->ndim) return "the inner chunk has another number of dimensions than the shape";
    for (uint32_t i = 0; i < ndim; i++) m->levels[k + 1].extent[level->order[i]] = extents[i];
    memcpy(m->levels[k + 1].order, level->order, sizeof level->order);
    level->packing = SHARDIO_P_SHARD;
    level->index.at_start = shardio_json_is(location, "start");
    if (!level->index.at_start && shardio_json_kind(location) != 0 && !shardio_json_is(location, "end"))
        return "index_location is neither start nor end";
    *inner = shardio_json_member(configuration, "codecs");
    if (shardio_json_kind(*inner) != '[') return "the list of codecs is missing";
    return shardio_p_read_index_codecs(level, m->ndim, shardio_json_member(configuration, "index_codecs"), trouble);
}

/* The codecs of one level: transpositions, one that makes bytes, then bytes to bytes. *inner: the list of the next level,
   absent at the last. */
static const char *shardio_p_read_level(shardio_p_meta *m, uint32_t k, shardio_json list, shardio_json *inner,
                                        const shardio_array_options *options, shardio_p_trouble *trouble)
{
    char name[64];
    shardio_json value, configuration;
    shardio_p_level *level = &m->levels[k];
    size_t at = 0;
    bool packed = false;
    inner->text = NULL;
    if (shardio_json_kind(list) != '[') return "the list of codecs is missing";
    while (shardio_json_next(list, &at, NULL, &value)) {
        const char *wrong = shardio_p_read_named(value, name, sizeof name, &configuration);
        if (wrong != NULL) return wrong;
        if (packed) wrong = shardio_p_read_chain_codec(&level->chain, name, configuration, options, trouble);
        else if (shardio_p_same(name, "transpose"))
            wrong = shardio_p_read_transpose(m->ndim, configuration, level->order);
        else if (shardio_p_same(name, "sharding_indexed"))
            wrong = shardio_p_read_sharding(m, k, configuration, inner, trouble);
        else wrong = shardio_p_read_packing(m, level, name, configuration, trouble);
        if (wrong != NULL) return wrong;
        packed = !shardio_p_same(name, "transpose");
    }
    return packed ? NULL : "no codec makes bytes of the elements";
}

/* The list of codecs of an array whose outermost extents are known, level by level. */
static const char *shardio_p_read_codec_list(shardio_p_meta *m, shardio_json list, const shardio_array_options *options,
                                             shardio_p_trouble *trouble)
{
    m->codec_list = list;
    for (uint8_t i = 0; i < m->ndim; i++) m->levels[0].order[i] = i;
    for (m->level_count = 0; list.text != NULL; m->level_count++) {
        shardio_json inner;
        const char *wrong = shardio_p_read_level(m, m->level_count, list, &inner, options, trouble);
        if (wrong != NULL) return wrong;
        list = inner;
    }
    return NULL;
}

static const char *shardio_p_read_codecs(shardio_p_meta *m, shardio_json root, const shardio_array_options *options,
                                         shardio_p_trouble *trouble)
{
    shardio_json list = shardio_json_member(root, "codecs");
    return list.text != NULL ? shardio_p_read_codec_list(m, list, options, trouble) : "missing";
}

static const char *shardio_p_read_names(shardio_p_meta *m, shardio_json root)
{
    shardio_json value;
    size_t at = 0;
    uint32_t n = 0;
    m->names = shardio_json_member(root, "dimension_names");
    if (shardio_json_kind(m->names) == 0 || shardio_json_kind(m->names) == 'n') {
        m->names.text = NULL;
        return NULL;
    }
    if (shardio_json_kind(m->names) != '[') return "not a list of names";
    for (; shardio_json_next(m->names, &at, NULL, &value); n++)
        if (shardio_json_kind(value) != '"' && shardio_json_kind(value) != 'n')
            return "a name that is neither text nor null";
    return n == m->ndim ? NULL : "another number of names than dimensions";
}

static const char *shardio_p_read_attributes(shardio_p_meta *m, shardio_json root)
{
    m->attributes = shardio_json_member(root, "attributes");
    return shardio_json_kind(m->attributes) == 0 || shardio_json_kind(m->attributes) == '{' ? NULL : "not an object";
}

static const char *shardio_p_read_transformers(shardio_json root, shardio_p_trouble *trouble)
{
    shardio_json list = shardio_json_member(root, "storage_transformers"), value;
    size_t at = 0;
    if (shardio_json_kind(list) == 0) return NULL;
    if (shardio_json_kind(list) != '[') return "not a list";
    if (!shardio_json_next(list, &at, NULL, &value)) return NULL;
    trouble->status = SHARDIO_ERR_UNSUPPORTED;
    return "no storage transformer is";
}

/* Members that the specification does not name have to be understood unless they say otherwise (core, "Extensions"). */
static bool shardio_p_may_ignore(shardio_json name, shardio_json value)
{
    static const char *const known[] = {"zarr_format", "node_type", "shape", "data_type", "chunk_grid",
                                        "chunk_key_encoding",
                                        "fill_value", "codecs", "attributes", "dimension_names", "storage_transformers",
                                        "consolidated_metadata"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (shardio_json_is(name, known[i])) return true;
    return shardio_json_kind(shardio_json_member(value, "must_understand")) == 'f';
}

static shardio_status shardio_p_meta_fail(shardio_error *error, shardio_status status, const char *file,
                                          const char *member, const char *reason)
{
    char subject[224];
    shardio_text text = {subject, sizeof subject, 0};
    size_t n = shardio_p_length(file), room = sizeof subject - shardio_p_length(member) - 16;
    shardio_text_add(&text, member);
    shardio_text_add(&text, n > room ? " in ..." : " in ");
    shardio_text_add(&text, n > room ? file + n - room : file);
    return shardio_p_fail(error, status, "read", subject, reason);
}

/* `member` names what is being read, for the message. */
static const char *shardio_p_meta_members(shardio_p_meta *m, shardio_json root, const shardio_array_options *options,
                                          const char **member, shardio_p_trouble *trouble)
{
    const char *wrong;
    if ((*member = "shape", wrong = shardio_p_read_shape(m, root)) != NULL) return wrong;
    if ((*member = "data_type", wrong = shardio_p_read_type(m, root, trouble)) != NULL) return wrong;
    if ((*member = "chunk_grid", wrong = shardio_p_read_grid(m, root, trouble)) != NULL) return wrong;
    if ((*member = "chunk_key_encoding", wrong = shardio_p_read_key_encoding(m, root, trouble)) != NULL) return wrong;
    if ((*member = "fill_value", wrong = shardio_p_read_fill(m, root)) != NULL) return wrong;
    if ((*member = "codecs", wrong = shardio_p_read_codecs(m, root, options, trouble)) != NULL) return wrong;
    if ((*member = "attributes", wrong = shardio_p_read_attributes(m, root)) != NULL) return wrong;
    if ((*member = "dimension_names", wrong = shardio_p_read_names(m, root)) != NULL) return wrong;
    if ((*member = "storage_transformers", wrong = shardio_p_read_transformers(root, trouble)) != NULL) return wrong;
    *member = "shape";
    return shardio_p_meta_derive(m, false);
}

/* What kind of node a checked root object is. */
static shardio_status shardio_p_read_node(shardio_json root, const char *type, const char *file, shardio_error *error)
{
    uint64_t format;
    shardio_json name, value;
    size_t at = 0;
    const char *wrong = shardio_p_check_members(root);
    if (wrong != NULL) return shardio_p_meta_fail(error, SHARDIO_ERR_CORRUPT, file, "metadata", wrong);
    if (!shardio_json_uint64(shardio_json_member(root, "zarr_format"), &format) || format != 3)
        return shardio_p_meta_fail(error, SHARDIO_ERR_UNSUPPORTED, file, "zarr_format", "not version 3");
    if (!shardio_json_is(shardio_json_member(root, "node_type"), type)) {
        bool other = shardio_json_is(shardio_json_member(root, "node_type"), type[0] == 'a' ? "group" : "array");
        if (!other)
            return shardio_p_meta_fail(error, SHARDIO_ERR_CORRUPT, file, "node_type", "neither array nor group");
        return shardio_p_meta_fail(error, SHARDIO_ERR_UNSUPPORTED, file, "node_type",
                                   type[0] == 'a' ? "a group, not an array" : "an array, not a group");
    }
    while (shardio_json_next(root, &at, &name, &value)) {
        char unknown[64];
        if (shardio_p_may_ignore(name, value)) continue;
        if (!shardio_json_string(name, unknown, sizeof unknown)) memcpy(unknown, "a member", 9);
        return shardio_p_meta_fail(error, SHARDIO_ERR_UNSUPPORTED, file, unknown,
                                   "an extension that has to be understood");
    }
    return SHARDIO_OK;
}

static shardio_status shardio_p_meta_parse(shardio_p_meta *m, const char *text, size_t size,
                                           const shardio_array_options *options, const char *file, shardio_error *error)
{
    shardio_json root;
    shardio_p_trouble trouble;
    const char *member = "";
    memset(m, 0, sizeof *m);
    memset(&trouble, 0, sizeof trouble);
    shardio_status status = shardio_json_parse(text, size, &root, error);
    if (status != SHARDIO_OK) {
        if (error != NULL) shardio_p_set_subject(error, file);
        return status;
    }
    status = shardio_p_read_node(root, "array", file, error);
    if (status != SHARDIO_OK) return status;
    const char *wrong = shardio_p_meta_members(m, root, options, &member, &trouble);
    if (wrong == NULL) return SHARDIO_OK;
    if (trouble.status != SHARDIO_OK)   /* a codec is named, other members are what they are */
        return shardio_p_meta_fail(error, trouble.status, file, trouble.member[0] != 0 ? trouble.member : member,
                                   wrong);
    return shardio_p_meta_fail(error, SHARDIO_ERR_CORRUPT, file, member, wrong);
}

/* -- the array handle */

/* A shard in flight: begun, not yet finished. Its file may be closed in between; what stays is the last block, the
   index and the names. */
typedef struct shardio_p_flight {
    shardio_shard_writer shard;
    uint8_t *tail, *index, *names;
    shardio_arena arena;             /* hands out names, to the store */
    shardio_allocator allocator;
    uint32_t phase;      /* where its file ends within a block, when the rows that are being gathered were begun */
    bool begun;
} shardio_p_flight;

/* How an array is written; follows from its metadata and the options alone.
   A batch is a box of chunks that is gathered in memory: one chunk index in the dimensions before batch_dim, `steps`
   chunks along it, all chunks in those behind. Elements arrive in C order, so that batches follow one another. */
typedef struct shardio_p_plan {
    uint32_t batch_dim;
    uint32_t flight_dim;      /* shards in flight: all along the dimensions behind this one */
    uint32_t line_dim;        /* the last one along which there is more than one chunk, or batch_dim */
    uint64_t steps;           /* at most; a batch ends at the end of a shard */
    uint64_t chunks;          /* in a full batch */
    uint64_t flights;
    size_t gap;               /* room between the shards of a batch, so that each lines up with its file; or 0 */
    size_t block, buffer, rows, index, names, key, text, strings;   /* bytes */
    size_t packed[SHARDIO_P_LEVELS], coded[SHARDIO_P_LEVELS];       /* bytes of the rooms of each level */
} shardio_p_plan;

/* Memory that is kept from one use to the next. What is a part of a larger piece is not given back by itself. */
typedef struct shardio_p_room {
    uint8_t *memory;
    size_t size;
    bool carved;
} shardio_p_room;

/* A piece of memory for the contents of variable-length elements. */
typedef struct shardio_p_pool {
    struct shardio_p_pool *next;
    size_t size;
} shardio_p_pool;

/* The shard readers that are kept open. */
typedef struct shardio_p_kept {
    shardio_shard_reader reader;
    uint64_t shard;          /* number in the grid of shards */
    uint64_t used;           /* when, for throwing out the one that was not used longest; 0: empty */
} shardio_p_kept;

typedef enum shardio_p_mode { SHARDIO_P_BROKEN, SHARDIO_P_WRITING, SHARDIO_P_READING } shardio_p_mode;   /* changing reads, too */

struct shardio_array {
    shardio_error error;
    shardio_p_mode mode;
    const shardio_allocator *allocator;      /* null, or &own_allocator */
    shardio_allocator own_allocator;
    size_t memory_size, memory_alignment;    /* of the piece that begins with this struct */
    shardio_store store;
    char *store_path, *prefix;               /* "movie.zarr"; "raw/movie/" or "" */
    char *key;                               /* the key of the moment */
    char *text, *strings;                    /* zarr.json; attributes and names, each ended with a zero byte */
    size_t text_size;
    const char *attributes, *names[SHARDIO_MAX_DIMS];
    shardio_p_meta meta;
    shardio_accounting accounting;
    uint32_t max_open;
    /* writing */
    shardio_p_plan plan;
    shardio_direct direct;
    shardio_durability durability;
    uint64_t drop_behind, checkpoint_every;
    shardio_accounting *report;              /* the caller's, for finish; or null */
    bool skip_fill, claimed, checkpointed, store_was_empty, published, groups_written, resuming;
    uint8_t *rows, *staging, *small_names;
    shardio_arena small_arena;               /* hands out small_names to the store, for one file at a time */
    shardio_allocator small_allocator;
    shardio_p_flight *flights;
    uint32_t open_flights;
    uint64_t next_victim;
    uint64_t at[SHARDIO_MAX_DIMS];           /* chunk index of the batch, up to batch_dim */
    uint64_t steps, extent;                  /* of this batch: chunks and elements along batch_dim */
    uint64_t filled, elements;               /* of this batch */
    uint64_t flushed;                        /* rows of chunks of this batch that are full and handed over */
    uint64_t saved;                          /* elements of this batch that the last checkpoint handed over */
    uint64_t total, frame, limit;            /* elements appended, in a frame, and at most */
    uint64_t published_total, since_checkpoint;
    /* a room for each level: what was read or put together, and what codecs make of it */
    shardio_p_room packed[SHARDIO_P_LEVELS], coded[SHARDIO_P_LEVELS];
    shardio_p_room whole;                    /* the elements of one chunk, in the order of the array */
    shardio_p_room variable;                 /* a chunk of variable-length elements, packed */
    shardio_p_pool *pool;                    /* contents of variable-length elements: of this batch, of the last read */
    /* reading */
    shardio_p_kept *kept;
    shardio_p_kept *last;                    /* the one used last, or null */
    uint64_t clock;
    size_t read_memory, index_memory, decoded_limit, metadata_limit;
    bool unbuffered, unchanging;
    /* changing */
    bool changing, rewrite;
    uint32_t dead_percent;
    struct shardio_p_statistics *statistics;   /* null: none are kept */
    bool fill_is_value;
    shardio_p_room buffer, index_room, staging_room, found;   /* what is read; a writer's index and buffer; keys found */
};

/* Statistics, further below: told of each chunk that is written, its key before and after. Without statistics they do
   nothing. */
#define SHARDIO_P_STATISTICS_KEY ".shardio-statistics"
typedef struct shardio_p_statistics shardio_p_statistics;

/* The shard at `position` is about to be changed; it was, and all is well; the key is about to be removed. */
static void shardio_p_statistics_begin(shardio_array *array, const uint64_t *position);
static void shardio_p_statistics_end(shardio_array *array, const uint64_t *position);
static void shardio_p_statistics_gone(shardio_array *array, const uint64_t *position);
/* The elements of a chunk, in the byte order of the file; null: it is stored no longer. */
static void shardio_p_statistics_note(shardio_array *array, const uint64_t *index, const uint8_t *elements);
/* The shape of the array has become another one; and its chunks are as they shall be. */
static void shardio_p_reshape_statistics(const shardio_array *array, shardio_p_statistics *statistics);
static void shardio_p_statistics_reshaped(shardio_array *array);
static shardio_status shardio_p_begin_statistics(shardio_array *array, bool load, shardio_error *error);
static shardio_status shardio_p_save_statistics(shardio_array *array, shardio_error *error);
static void shardio_p_end_statistics(shardio_array *array);
static uint64_t shardio_p_statistics_bytes(const shardio_array *array);
static void shardio_p_free_statistics(const shardio_array *array, shardio_p_statistics *statistics);

/* The handle that there is when there is no memory for one: the first members of an array, of which nothing else is
   looked at when it is broken, and nothing is written. */
static shardio_array *shardio_p_no_array(void)
{
    static const struct {
        shardio_error error;
        shardio_p_mode mode;
    } none = {{SHARDIO_ERR_MEMORY, 0, "create", "no memory for the array", SHARDIO_NO_OFFSET, ""}, SHARDIO_P_BROKEN};
    return (shardio_array *)(uintptr_t)&none;
}

/* An error about a key of a store. */
static shardio_status shardio_p_key_fail(shardio_error *error, const shardio_store *store, shardio_status status,
                                         const char *operation, const char *key, int code, const char *reason)
{
    char subject[600];
    shardio_text text = {subject, sizeof subject, 0};
    const char *name = store->name != NULL ? store->name : "";
    subject[0] = 0;
    shardio_text_add(&text, name);
    shardio_text_add(&text, name[0] != 0 && key[0] != 0 ? "/" : "");
    shardio_text_add(&text, key);
    return shardio_p_fail_at(error, status, operation, subject, SHARDIO_NO_OFFSET, code, reason);
}

/* The first error of a writer, about a key. */
static shardio_status shardio_p_array_fail(shardio_array *array, shardio_status status, const char *operation,
                                           const char *key, int code, const char *reason)
{
    if (array->error.status != SHARDIO_OK) return array->error.status;
    return shardio_p_key_fail(&array->error, &array->store, status, operation, key, code, reason);
}

/* The error of a shard becomes that of the array. */
static shardio_status shardio_p_array_inherit(shardio_array *array, const shardio_error *error)
{
    if (array->error.status == SHARDIO_OK) array->error = *error;
    return array->error.status;
}

/* The key of the chunk or shard at this place in the grid (core, "Chunk key encoding"). */
static const char *shardio_p_chunk_key(shardio_array *array, const uint64_t *position)
{
    const shardio_p_meta *m = &array->meta;
    char separator[2] = {m->separator, 0};
    shardio_text text = {array->key, array->plan.key, 0};
    shardio_text_add(&text, array->prefix);
    if (!m->key_v2) shardio_text_add(&text, "c");
    for (uint32_t i = 0; i < m->ndim; i++) {
        if (i > 0 || !m->key_v2) shardio_text_add(&text, separator);
        shardio_text_add_uint64(&text, position[i]);
    }
    if (m->key_v2 && m->ndim == 0) shardio_text_add(&text, "0");
    return array->key;
}

/* The place in the grid that a key of this array stands for. False: it is no key of a chunk. */
static bool shardio_p_parse_key(const shardio_array *array, const char *key, uint64_t *position)
{
    const shardio_p_meta *m = &array->meta;
    size_t prefix = shardio_p_length(array->prefix);
    if (shardio_p_length(key) < prefix || memcmp(key, array->prefix, prefix) != 0) return false;
    key += prefix;
    if (!m->key_v2 && *key++ != 'c') return false;
    for (uint32_t i = 0; i < m->ndim; i++) {
        uint64_t n = 0;
        if ((i > 0 || !m->key_v2) && *key++ != m->separator) return false;
        if (!shardio_p_is_digit(*key) || (*key == '0' && shardio_p_is_digit(key[1]))) return false;
        for (; shardio_p_is_digit(*key); key++) {
            if (n > (UINT64_MAX - 9) / 10) return false;
            n = n * 10 + (uint64_t)(*key - '0');
        }
        position[i] = n;
    }
    if (m->key_v2 && m->ndim == 0) return *key == '0' && key[1] == 0;
    return *key == 0;
}

/* A key below the array. */
static const char *shardio_p_named_key(shardio_array *array, const char *name)
{
    shardio_text text = {array->key, array->plan.key, 0};
    shardio_text_add(&text, array->prefix);
    shardio_text_add(&text, name);
    return array->key;
}

/* Keys have plain components: no "..", nothing absolute, nothing empty. */
static bool shardio_p_key_is_plain(const char *key)
{
    const char *component = key;
    if (*key == 0) return false;
    for (;; key++) {
        if (*key != '/' && *key != 0) {
            if (*key == '\\' || *key == ':') return false;   /* a path of its own on Windows */
            continue;
        }
        size_t n = (size_t)(key - component);
        if (n == 0 || (n == 1 && component[0] == '.') || (n == 2 && component[0] == '.' && component[1] == '.'))
            return false;
        if (*key == 0) return true;
        component = key + 1;
    }
}

/* -- from options to metadata */

static shardio_status shardio_p_option(shardio_error *error, shardio_status status, const char *option,
                                       const char *reason)
{
    return shardio_p_fail(error, status, "create", option, reason);
}

/* JSON text from the caller that becomes a part of zarr.json has to be an object; null is fine. */
static shardio_status shardio_p_check_object(const char *text, const char *option, shardio_error *error)
{
    shardio_json value;
    if (text == NULL) return SHARDIO_OK;
    shardio_status status = shardio_json_parse(text, shardio_p_length(text), &value, error);
    if (status == SHARDIO_OK && shardio_json_kind(value) == '{') return SHARDIO_OK;
    if (status == SHARDIO_OK) return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, option, "not a JSON object");
    if (error != NULL) {   /* keeps where it is wrong */
        error->status = SHARDIO_ERR_ARGUMENT;
        shardio_p_set_subject(error, option);
    }
    return SHARDIO_ERR_ARGUMENT;
}

/* Codecs of the caller's are complete, and their configurations JSON. */
static shardio_status shardio_p_check_codecs(const shardio_array_options *o, shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    for (uint32_t i = 0; i < SHARDIO_MAX_CODECS && o->codecs[i] != NULL && status == SHARDIO_OK; i++) {
        const shardio_codec *codec = o->codecs[i];
        if (codec->name == NULL || codec->bound == NULL || codec->encode == NULL || codec->decode == NULL ||
            (codec->begin == NULL) != (codec->end == NULL))
            return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option codecs",
                                    "a codec lacks its name or a function");
        status = shardio_p_check_object(codec->configuration, "option codecs, a configuration", error);
    }
    return status;
}

/* The levels that chunk, shard, transpose, index_... and codecs say. */
static const char *shardio_p_levels_from_options(shardio_p_meta *m, const shardio_array_options *o, bool sharded)
{
    uint8_t order[SHARDIO_MAX_DIMS];
    uint32_t seen = 0;
    for (uint8_t i = 0; i < m->ndim; i++) {
        order[i] = o->transpose != NULL ? o->transpose[i] : i;
        if (order[i] >= m->ndim || (seen >> order[i] & 1) != 0) return "the option transpose is no permutation";
        seen |= (uint32_t)1 << order[i];
        m->levels[0].order[i] = i;
    }
    m->level_count = sharded ? 2 : 1;
    shardio_p_level *chunk = &m->levels[m->level_count - 1];
    memcpy(chunk->order, order, sizeof order);
    memcpy(chunk->extent, o->chunk, sizeof chunk->extent);
    chunk->packing = shardio_p_is_variable(m->dtype) ? SHARDIO_P_STRINGS : SHARDIO_P_PLAIN;
    for (; chunk->chain.count < SHARDIO_MAX_CODECS && o->codecs[chunk->chain.count] != NULL; chunk->chain.count++) {
        chunk->chain.codecs[chunk->chain.count] = o->codecs[chunk->chain.count];
    }
    if (!sharded) return NULL;
    m->levels[0].packing = SHARDIO_P_SHARD;
    m->levels[0].index.at_start = o->index_at_start;
    m->levels[0].index.big_endian = o->index_big_endian;
    m->levels[0].index.no_checksum = o->index_no_checksum;
    return NULL;
}

/* A list of codecs that the caller wrote. */
static shardio_status shardio_p_levels_from_list(shardio_p_meta *m, const shardio_array_options *o,
                                                 shardio_error *error)
{
    shardio_p_trouble trouble;
    shardio_json list;
    memset(&trouble, 0, sizeof trouble);
    shardio_status status = shardio_json_parse(o->codec_list, shardio_p_length(o->codec_list), &list, error);
    if (status != SHARDIO_OK && error != NULL) {   /* keeps where it is wrong */
        error->status = SHARDIO_ERR_ARGUMENT;
        shardio_p_set_subject(error, "option codec_list");
    }
    if (status != SHARDIO_OK) return SHARDIO_ERR_ARGUMENT;
    const char *wrong = shardio_p_read_codec_list(m, list, o, &trouble);
    if (wrong == NULL) return SHARDIO_OK;
    return shardio_p_option(error, trouble.status != SHARDIO_OK ? trouble.status : SHARDIO_ERR_ARGUMENT,
                            trouble.member[0] != 0 ? trouble.member : "option codec_list", wrong);
}

static shardio_status shardio_p_keys_from_options(shardio_p_meta *m, const shardio_array_options *o,
                                                  shardio_error *error)
{
    m->key_v2 = o->key_v2;
    m->separator = o->key_separator != 0 ? o->key_separator : o->key_v2 ? '.' : '/';
    if (m->separator == '/' || m->separator == '.') return SHARDIO_OK;
    return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option key_separator", "neither / nor .");
}

static shardio_status shardio_p_type_from_options(shardio_p_meta *m, const shardio_array_options *o,
                                                  shardio_error *error)
{
    static const shardio_bytes empty = {"", 0};
    m->dtype = o->dtype;
    m->element = o->dtype == SHARDIO_RAW ? o->raw_bytes : shardio_dtype_size(o->dtype);
    if (shardio_dtype_size(o->dtype) == 0)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option dtype", "not set, or no such type");
    if (m->element == 0 || m->element > SHARDIO_P_MOST_RAW)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option raw_bytes", "a raw element has 1 to 256 bytes");
    if (shardio_p_is_time(m->dtype)) {
        m->time_scale = o->time_scale != 0 ? o->time_scale : 1;
        m->time_unit = shardio_p_time_unit(o->time_unit != NULL ? o->time_unit : "generic");
        if (m->time_unit == NULL || m->time_scale > INT32_MAX)
            return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "options time_unit and time_scale",
                                    "no unit that there is, or a scale of more than 2147483647");
    }
    if (shardio_p_is_variable(m->dtype)) memcpy(m->fill, &empty, sizeof empty);
    if (o->fill_value != NULL) memcpy(m->fill, o->fill_value, m->element);
    if (m->dtype == SHARDIO_BOOL) m->fill[0] = m->fill[0] != 0;
    m->big_endian = o->big_endian;
    return SHARDIO_OK;
}

/* `growing`: shape[0] 0 is no end; otherwise it is zero, as any extent may be. */
static shardio_status shardio_p_shape_from_options(shardio_p_meta *m, const shardio_array_options *o, bool growing,
                                                   bool *sharded, shardio_error *error)
{
    m->ndim = o->ndim;
    *sharded = false;
    if (m->ndim > SHARDIO_MAX_DIMS || (growing && m->ndim < 1))
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option ndim", growing
                                ? "an array has 1 to 32 dimensions" : "more than 32 dimensions");
    for (uint32_t i = 0; i < m->ndim; i++) {
        m->shape[i] = o->shape[i];
        *sharded = *sharded || o->shard[i] != 0;
        if (growing && i > 0 && o->shape[i] == 0)
            return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option shape",
                                    "only the first extent may be unlimited");
    }
    memcpy(m->levels[0].extent, *sharded ? o->shard : o->chunk, sizeof m->levels[0].extent);
    return SHARDIO_OK;
}

static shardio_status shardio_p_meta_from_options(shardio_p_meta *m, const shardio_array_options *o, bool growing,
                                                  shardio_error *error)
{
    bool sharded;
    const char *wrong = NULL;
    memset(m, 0, sizeof *m);
    if (o == NULL) return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "options", "there are none");
    shardio_status status = shardio_p_shape_from_options(m, o, growing, &sharded, error);
    if (status == SHARDIO_OK) status = shardio_p_type_from_options(m, o, error);
    if (status == SHARDIO_OK) status = shardio_p_keys_from_options(m, o, error);
    if (status == SHARDIO_OK) status = shardio_p_check_codecs(o, error);
    if (status == SHARDIO_OK) status = shardio_p_check_object(o->attributes, "option attributes", error);
    if (status == SHARDIO_OK && o->codec_list != NULL) status = shardio_p_levels_from_list(m, o, error);
    if (status != SHARDIO_OK) return status;
    if (o->codec_list == NULL) wrong = shardio_p_levels_from_options(m, o, sharded);
    if (wrong == NULL) wrong = shardio_p_meta_derive(m, growing);
    return wrong == NULL ? SHARDIO_OK
           : shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "options shape, chunk and shard", wrong);
}

/* -- planning memory */

static uint32_t shardio_p_first_above_one(const uint64_t *extents, uint32_t ndim)
{
    uint32_t i = 0;
    while (i + 1 < ndim && extents[i] == 1) i++;
    return i;
}

/* The product of numbers[from..ndim-1], or UINT64_MAX. */
static uint64_t shardio_p_product(const uint64_t *numbers, uint32_t from, uint32_t ndim)
{
    uint64_t product = 1;
    for (uint32_t i = from; i < ndim; i++)
        if (!shardio_p_multiply(product, numbers[i], &product)) return UINT64_MAX;
    return product;
}

static uint64_t shardio_p_bounded_multiply(uint64_t a, uint64_t b)
{
    uint64_t product;
    return shardio_p_multiply(a, b, &product) ? product : UINT64_MAX;
}

/* Grows the batch from one row of chunks to as many as the memory holds: along its own dimension first, then, where
   that is complete, along the one before. */
static void shardio_p_plan_batch(shardio_p_plan *plan, const shardio_p_meta *m, uint64_t budget)
{
    uint32_t b = shardio_p_first_above_one(m->chunk, m->ndim);
    uint64_t row = shardio_p_bounded_multiply(shardio_p_product(m->grid, b + 1, m->ndim), m->chunk_bytes);
    uint64_t steps = shardio_p_max(1, budget / shardio_p_max(1, row));
    while (b > plan->flight_dim && steps >= m->grid[b]) {
        row = shardio_p_bounded_multiply(row, m->grid[b]);
        steps = shardio_p_max(1, budget / row);
        b--;
    }
    plan->batch_dim = b;
    plan->steps = shardio_p_min(steps, shardio_p_min(m->per_shard[b], m->grid[b]));
    plan->chunks = shardio_p_bounded_multiply(plan->steps, shardio_p_product(m->grid, b + 1, m->ndim));
    plan->line_dim = m->ndim - 1;
    while (plan->line_dim > b && m->grid[plan->line_dim] == 1 && m->chunk[plan->line_dim] == m->shape[plan->line_dim])
        plan->line_dim--;
}

/* The most bytes of a batch that go to one shard. */
static uint64_t shardio_p_largest_run(const shardio_p_plan *plan, const shardio_p_meta *m)
{
    uint64_t chunks = plan->steps;
    for (uint32_t i = plan->batch_dim + 1; i < m->ndim; i++)
        chunks = shardio_p_bounded_multiply(chunks, shardio_p_min(m->per_shard[i], m->grid[i]));
    return shardio_p_bounded_multiply(chunks, m->chunk_bytes);
}

/* Longest key of a chunk: the prefix, "c", and every position with its separator. */
static size_t shardio_p_longest_key(const shardio_p_meta *m, size_t prefix)
{
    size_t size = prefix + 2;
    for (uint32_t i = 0; i < m->ndim; i++) {
        shardio_text digits = {NULL, 0, 0};
        shardio_text_add_uint64(&digits, m->shard_grid[i]);
        size += 1 + digits.size;
    }
    return size > prefix + 24 ? size : prefix + 24;   /* "zarr.json" and ".shardio-statistics" are keys as well */
}

/* The rooms in which a chunk is encoded, innermost level first. Those of variable-length elements grow as they need. */
static bool shardio_p_plan_rooms(shardio_p_plan *plan, const shardio_p_meta *m)
{
    size_t one = 0, largest = 0, outer = m->sharded ? 1 : 0;   /* bytes of a chunk of the level inside, encoded */
    for (uint32_t k = m->level_count; k-- > outer && !shardio_p_is_variable(m->dtype);) {
        const shardio_p_level *level = &m->levels[k];
        uint64_t bytes = level->bytes;
        if (level->packing == SHARDIO_P_SHARD)
            bytes = shardio_p_bounded_multiply(level->index.chunks,
                                               (uint64_t)one + SHARDIO_P_ENTRY) + shardio_index_size(&level->index);
        if (bytes > SIZE_MAX / 16) return false;
        one = shardio_p_chain_bound(&level->chain, (size_t)bytes, &largest);
        if (largest > SIZE_MAX / 16) return false;
        plan->packed[k] = level->packing == SHARDIO_P_SHARD || !level->in_order || k > outer ? (size_t)bytes : 0;
        plan->coded[k] = level->chain.count > 0 ? shardio_p_chain_pieces(&level->chain) * largest : 0;
    }
    return true;
}

static shardio_status shardio_p_make_plan(shardio_p_plan *plan, const shardio_p_meta *m, const shardio_array_options *o,
                                          shardio_error *error)
{
    uint64_t budget = o->memory != 0 ? o->memory : (uint64_t)8 << 20, rows, shards;
    plan->block = o->block_size != 0 ? o->block_size : (size_t)SHARDIO_P_DEFAULT_BLOCK;
    if ((plan->block & (plan->block - 1)) != 0 || plan->block < 512 || plan->block > 1 << 20)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option block_size",
                                "not a power of two from 512 to 1 MiB");
    if (o->buffer_size > SIZE_MAX / 4)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option buffer_size", "larger than memory can be");
    plan->buffer = o->buffer_size != 0 ? o->buffer_size : (size_t)SHARDIO_P_DEFAULT_BUFFER;
    plan->buffer = (size_t)shardio_p_ceil(plan->buffer, plan->block);
    plan->flight_dim = shardio_p_first_above_one(m->shard, m->ndim);
    shardio_p_plan_batch(plan, m, budget);
    plan->flights = m->sharded ? shardio_p_product(m->shard_grid, plan->flight_dim + 1, m->ndim) : 1;
    plan->gap = 0;
    if (shardio_p_stored_as_is(m) && !o->skip_fill && shardio_p_largest_run(plan, m) >= SHARDIO_P_DEFAULT_DIRECT_MIN)
        plan->gap = 2 * plan->block;
    shards = m->sharded ? shardio_p_product(m->shard_grid, plan->batch_dim + 1, m->ndim) : plan->chunks;
    rows = shardio_p_bounded_multiply(plan->chunks, m->chunk_bytes);
    if (!shardio_p_add(rows, shardio_p_bounded_multiply(shards, plan->gap), &rows) || rows > SIZE_MAX / 4)
        return shardio_p_option(error, SHARDIO_ERR_LIMIT, "options shape and chunk",
                                "no memory holds a row of these chunks");
    plan->rows = (size_t)rows;
    plan->index = m->sharded ? (size_t)shardio_p_ceil(shardio_shard_memory(&m->index, plan->block), 16) : 0;
    if (shardio_p_bounded_multiply(plan->flights,
                                   sizeof(shardio_p_flight) + plan->block + plan->index + plan->names) > SIZE_MAX / 4)
        return shardio_p_option(error, SHARDIO_ERR_LIMIT, "options shape and shard",
                                "no memory holds what so many shards in flight need");
    if (!shardio_p_plan_rooms(plan, m))
        return shardio_p_option(error, SHARDIO_ERR_UNSUPPORTED, "option codecs",
                                "a codec cannot bound the size of its output");
    return SHARDIO_OK;
}

/* Hands out pieces of one memory; with a null base it only adds up. */
typedef struct shardio_p_carver {
    uint8_t *base;
    size_t used;
} shardio_p_carver;

static uint8_t *shardio_p_carve(shardio_p_carver *carver, size_t size, size_t alignment)
{
    carver->used = (size_t)shardio_p_ceil(carver->used, alignment);
    uint8_t *piece = carver->base != NULL ? carver->base + carver->used : NULL;
    carver->used += size;
    return piece;
}

static void shardio_p_carve_room(shardio_p_carver *carver, size_t size, shardio_p_room *room)
{
    uint8_t *memory = shardio_p_carve(carver, size, 16);
    if (room == NULL || size == 0) return;
    room->memory = memory;
    room->size = size;
    room->carved = true;
}

/* The parts of a writer's memory, in one place so that the sum and the pieces cannot differ. `array` is null to add
   up only. */
static shardio_memory_plan shardio_p_carve_writer(const shardio_p_plan *plan, bool sharded, size_t path,
                                                  uint8_t *memory, shardio_array *array)
{
    shardio_memory_plan sum;
    shardio_p_carver c = {memory, 0};
    size_t flights = (size_t)plan->flights, before;
    (void)shardio_p_carve(&c, sizeof(shardio_array), 64);
    uint8_t *store_path = shardio_p_carve(&c, path + 1, 1), *prefix = shardio_p_carve(&c, path + 2, 1);
    uint8_t *key = shardio_p_carve(&c, plan->key, 1), *text = shardio_p_carve(&c, plan->text, 1);
    uint8_t *strings = shardio_p_carve(&c, plan->strings, 1), *small = shardio_p_carve(&c, plan->names, 16);
    for (uint32_t k = 0; k < SHARDIO_P_LEVELS; k++) {
        shardio_p_carve_room(&c, plan->packed[k], array != NULL ? &array->packed[k] : NULL);
        shardio_p_carve_room(&c, plan->coded[k], array != NULL ? &array->coded[k] : NULL);
    }
    sum.other = c.used;
    before = c.used;
    uint8_t *flight = shardio_p_carve(&c, flights * sizeof(shardio_p_flight), 64);
    uint8_t *names = shardio_p_carve(&c, sharded ? flights * plan->names : 0, 16);
    uint8_t *tails = shardio_p_carve(&c, flights * plan->block, plan->block);
    uint8_t *indexes = shardio_p_carve(&c, flights * plan->index, plan->block);
    sum.shards = c.used - before;
    before = c.used;
    uint8_t *staging = shardio_p_carve(&c, plan->buffer, plan->block);
    sum.staging = c.used - before;
    before = c.used;
    uint8_t *rows = shardio_p_carve(&c, plan->rows, plan->block);
    sum.rows = c.used - before;
    sum.total = c.used;
    sum.shards_in_flight = plan->flights;
    sum.chunks_at_once = plan->chunks;
    if (array == NULL) return sum;
    array->store_path = (char *)store_path;
    array->prefix = (char *)prefix;
    array->key = (char *)key;
    array->text = (char *)text;
    array->strings = (char *)strings;
    array->small_names = small;
    array->staging = staging;
    array->rows = rows;
    array->flights = (shardio_p_flight *)(void *)flight;
    memset(array->flights, 0, flights * sizeof(shardio_p_flight));
    for (size_t i = 0; i < flights; i++) {
        array->flights[i].tail = tails + i * plan->block;
        array->flights[i].index = indexes + i * plan->index;
        array->flights[i].names = sharded ? names + i * plan->names : small;
    }
    return sum;
}

/* Fills in what depends on the length of names and on the text. */
static void shardio_p_plan_names(shardio_p_plan *plan, const shardio_p_meta *m, size_t prefix, size_t file_memory,
                                 size_t text)
{
    plan->key = shardio_p_longest_key(m, prefix) + 1;
    plan->names = (size_t)shardio_p_ceil(file_memory, 16) + 64;
    plan->text = text + 32;       /* the first extent may grow to 20 digits */
    plan->strings = text + 64;    /* unescaped is never longer */
}

#if !SHARDIO_NO_OS
static size_t shardio_p_system_file_memory(size_t length)
{
    return shardio_file_memory(length);
}
#else
static size_t shardio_p_system_file_memory(size_t length)
{
    return 256 + 2 * length;
}
#endif

static size_t shardio_p_json_size(const shardio_p_meta *m, const shardio_array_options *o)
{
    shardio_text text = {NULL, 0, 0};
    shardio_p_add_array_json(&text, m, o);
    return text.size;
}

SHARDIO_API shardio_status shardio_array_memory(const shardio_array_options *options, size_t path_length,
                                                shardio_memory_plan *plan, shardio_error *error)
{
    shardio_p_meta m;
    shardio_p_plan p;
    memset(&p, 0, sizeof p);
    shardio_p_no_error(error);
    shardio_status status = shardio_p_meta_from_options(&m, options, true, error);
    if (status != SHARDIO_OK) return status;
    path_length += 2;   /* two separators */
    size_t longest = shardio_p_longest_key(&m, path_length);
    shardio_p_plan_names(&p, &m, path_length, shardio_p_system_file_memory(longest), shardio_p_json_size(&m, options));
    status = shardio_p_make_plan(&p, &m, options, error);
    if (status == SHARDIO_OK) *plan = shardio_p_carve_writer(&p, m.sharded, path_length, NULL, NULL);
    return status;
}

/* -- suggesting extents */

/* Bytes of an element in memory. */
static size_t shardio_p_element_size(const shardio_array_options *o)
{
    return o->dtype == SHARDIO_RAW ? o->raw_bytes : shardio_dtype_size(o->dtype);
}

static uint64_t shardio_p_chunk_size(const shardio_array_options *o)
{
    return shardio_p_bounded_multiply(shardio_p_product(o->chunk, 0, o->ndim), shardio_p_element_size(o));
}

/* Bytes of one step along the first dimension, whole chunks. */
static uint64_t shardio_p_step_size(const shardio_array_options *o)
{
    uint64_t bytes = shardio_p_chunk_size(o);
    for (uint32_t i = 1; i < o->ndim; i++)
        bytes = shardio_p_bounded_multiply(bytes, shardio_p_divide_up(o->shape[i], o->chunk[i]));
    return bytes;
}

static void shardio_p_halve_largest(uint64_t *extents, uint32_t from, uint32_t ndim)
{
    uint32_t largest = from;
    for (uint32_t i = from; i < ndim; i++)
        if (extents[i] >= extents[largest]) largest = i;
    extents[largest] = shardio_p_divide_up(extents[largest], 2);
}

static void shardio_p_suggest_chunk(shardio_array_options *o, uint64_t memory)
{
    const uint64_t wanted = (uint64_t)1 << 20;
    for (uint32_t i = 0; i < o->ndim; i++) o->chunk[i] = i == 0 && o->ndim > 1 ? 1 : shardio_p_max(1, o->shape[i]);
    if (o->ndim == 1) o->chunk[0] = wanted / shardio_p_element_size(o);
    if (o->ndim == 1 && o->shape[0] != SHARDIO_UNLIMITED) o->chunk[0] = shardio_p_min(o->chunk[0], o->shape[0]);
    while (o->ndim > 1 && shardio_p_chunk_size(o) > wanted) shardio_p_halve_largest(o->chunk, 1, o->ndim);
    while (shardio_p_chunk_size(o) <= wanted / 2 && shardio_p_step_size(o) <= memory / 2 &&
           (o->shape[0] == SHARDIO_UNLIMITED || o->chunk[0] < o->shape[0]))
        o->chunk[0] *= 2;
    if (o->shape[0] != SHARDIO_UNLIMITED) o->chunk[0] = shardio_p_min(o->chunk[0], o->shape[0]);
}

static void shardio_p_suggest_shard(shardio_array_options *o, uint64_t file_size)
{
    uint64_t bytes, steps;
    for (uint32_t i = 0; i < o->ndim; i++)
        o->shard[i] = i == 0 ? o->chunk[0] : shardio_p_divide_up(o->shape[i], o->chunk[i]) * o->chunk[i];
    for (;;) {
        uint32_t largest = 1;
        bytes = shardio_p_bounded_multiply(shardio_p_product(o->shard, 0, o->ndim), shardio_p_element_size(o));
        for (uint32_t i = 1; i < o->ndim; i++)
            if (o->shard[i] / o->chunk[i] > o->shard[largest] / o->chunk[largest]) largest = i;
        if (bytes <= file_size || o->ndim == 1 || o->shard[largest] == o->chunk[largest]) break;
        o->shard[largest] = shardio_p_divide_up(o->shard[largest] / o->chunk[largest], 2) * o->chunk[largest];
    }
    steps = shardio_p_max(1, file_size / shardio_p_max(1, bytes));
    if (o->shape[0] != SHARDIO_UNLIMITED) steps = shardio_p_min(steps, shardio_p_divide_up(o->shape[0], o->chunk[0]));
    o->shard[0] = o->chunk[0] * steps;
}

SHARDIO_API shardio_status shardio_array_suggest(shardio_array_options *options, uint64_t memory, uint64_t file_size,
                                                 shardio_error *error)
{
    shardio_array_options trial;
    shardio_memory_plan plan;
    shardio_p_meta m;
    shardio_p_no_error(error);
    if (options == NULL) return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "options", "there are none");
    trial = *options;
    for (uint32_t i = 0; i < SHARDIO_MAX_DIMS; i++) trial.chunk[i] = trial.shard[i] = 1;
    shardio_status status = shardio_p_meta_from_options(&m, &trial, true, error);
    if (status != SHARDIO_OK) return status;
    if (memory == 0) memory = (uint64_t)256 << 20;
    if (file_size == 0) file_size = (uint64_t)1 << 30;
    trial.memory = 1;   /* one row of chunks, however large */
    shardio_p_suggest_chunk(&trial, memory);
    for (;;) {   /* thinner chunks until a row of them fits */
        uint32_t row = shardio_p_first_above_one(trial.chunk, trial.ndim);
        shardio_p_suggest_shard(&trial, file_size);
        status = shardio_array_memory(&trial, 0, &plan, error);
        if ((status == SHARDIO_OK && plan.rows <= memory) || trial.chunk[row] == 1) break;
        trial.chunk[row] = shardio_p_divide_up(trial.chunk[row], 2);
    }
    if (status != SHARDIO_OK) return status;
    memcpy(options->chunk, trial.chunk, sizeof options->chunk);
    memcpy(options->shard, trial.shard, sizeof options->shard);
    for (uint32_t i = options->ndim; i < SHARDIO_MAX_DIMS; i++) options->chunk[i] = options->shard[i] = 0;
    return SHARDIO_OK;
}

/* -- making and ending handles */

/* At least `size` bytes in the room; what was in it is lost when it grows. False: no memory. */
static bool shardio_p_widen(const shardio_array *array, shardio_p_room *room, size_t size)
{
    if (room->size >= size) return true;
    uint8_t *memory = (uint8_t *)shardio_p_allocate(array->allocator, size, SHARDIO_P_DEFAULT_BLOCK);
    if (memory == NULL) return false;
    if (!room->carved) shardio_p_release(array->allocator, room->memory, room->size, SHARDIO_P_DEFAULT_BLOCK);
    room->memory = memory;
    room->size = size;
    room->carved = false;
    return true;
}

/* At least `size` bytes in the room, of which the first `used` stay what they are. */
static bool shardio_p_extend(const shardio_array *array, shardio_p_room *room, size_t used, size_t size)
{
    shardio_p_room larger = {NULL, 0, false};
    if (room->size >= size) return true;
    if (size > SIZE_MAX / 4 || !shardio_p_widen(array, &larger, size + size / 2)) return false;
    if (used > 0) memcpy(larger.memory, room->memory, used);
    if (!room->carved) shardio_p_release(array->allocator, room->memory, room->size, SHARDIO_P_DEFAULT_BLOCK);
    *room = larger;
    return true;
}

static void shardio_p_free_room(const shardio_array *array, shardio_p_room *room)
{
    if (!room->carved) shardio_p_release(array->allocator, room->memory, room->size, SHARDIO_P_DEFAULT_BLOCK);
    memset(room, 0, sizeof *room);
}

static void shardio_p_free_pool(shardio_array *array)
{
    while (array->pool != NULL) {
        shardio_p_pool *piece = array->pool;
        array->pool = piece->next;
        shardio_p_release(array->allocator, piece, piece->size, 16);
    }
}

/* `size` bytes for contents of variable-length elements; null: no memory. */
static uint8_t *shardio_p_pool_bytes(shardio_array *array, size_t size)
{
    if (size > SIZE_MAX / 2) return NULL;
    shardio_p_pool *piece = (shardio_p_pool *)shardio_p_allocate(array->allocator, sizeof *piece + size, 16);
    if (piece == NULL) return NULL;
    piece->next = array->pool;
    piece->size = sizeof *piece + size;
    array->pool = piece;
    return (uint8_t *)(piece + 1);
}

static void shardio_p_free_rooms(shardio_array *array)
{
    for (uint32_t k = 0; k < SHARDIO_P_LEVELS; k++) {
        shardio_p_free_room(array, &array->packed[k]);
        shardio_p_free_room(array, &array->coded[k]);
    }
    shardio_p_free_room(array, &array->whole);
    shardio_p_free_room(array, &array->variable);
    shardio_p_free_room(array, &array->buffer);
    shardio_p_free_room(array, &array->index_room);
    shardio_p_free_room(array, &array->staging_room);
    shardio_p_free_room(array, &array->found);
    shardio_p_free_pool(array);
}

/* Bytes of the rooms that are no part of the handle's own piece. */
static uint64_t shardio_p_room_bytes(const shardio_array *array)
{
    const shardio_p_room *others[] = {&array->whole, &array->variable, &array->buffer, &array->index_room,
                                      &array->staging_room,
                                      &array->found};
    uint64_t sum = 0;
    for (uint32_t k = 0; k < SHARDIO_P_LEVELS; k++)
        sum += (array->packed[k].carved ? 0 : array->packed[k].size) + (array->coded[k].carved ? 0
                                                                        : array->coded[k].size);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) sum += others[i]->size;
    return sum;
}

/* Frees the handle, its copied error included. */
static void shardio_p_array_free(shardio_array *array)
{
    if (array == NULL || array == shardio_p_no_array()) return;
    shardio_allocator allocator = array->own_allocator;
    const shardio_allocator *from = array->allocator != NULL ? &allocator : NULL;
    if (array->mode != SHARDIO_P_BROKEN) shardio_p_free_rooms(array);
    shardio_p_free_statistics(array, array->statistics);
    for (uint32_t k = 0; k < array->meta.level_count; k++) shardio_p_chain_end(&array->meta.levels[k].chain);
    shardio_p_release(from, array, array->memory_size, array->memory_alignment);
}

static void shardio_p_set_allocator(shardio_array *array, const shardio_allocator *allocator)
{
    memset(&array->own_allocator, 0, sizeof array->own_allocator);
    if (allocator != NULL) array->own_allocator = *allocator;
    array->allocator = allocator != NULL ? &array->own_allocator : NULL;
}

/* A handle that only carries an error. */
static shardio_array *shardio_p_broken_array(const shardio_error *error, const shardio_allocator *allocator)
{
    shardio_array *array = (shardio_array *)shardio_p_allocate(allocator, sizeof *array, 64);
    if (array == NULL) return shardio_p_no_array();
    memset(array, 0, sizeof *array);
    array->error = *error;
    array->mode = SHARDIO_P_BROKEN;
    array->memory_size = sizeof *array;
    array->memory_alignment = 64;
    shardio_p_set_allocator(array, allocator);
    return array;
}

/* The fill value of a variable-length type, from its JSON into `memory`. */
static void shardio_p_keep_fill(shardio_p_meta *m, char *memory, size_t size)
{
    shardio_bytes fill = {memory, 0};
    if (!shardio_p_is_variable(m->dtype)) return;
    if (m->dtype == SHARDIO_BYTES) {
        if (!shardio_p_bytes_from_json(m->fill_value, (uint8_t *)memory, size, &fill.size)) fill.size = 0;
    } else if (shardio_json_string(m->fill_value, memory, size)) fill.size = shardio_p_length(memory);
    memcpy(m->fill, &fill, sizeof fill);
    memcpy(m->stored_fill, &fill, sizeof fill);
}

/* Copies attributes, names and a fill value out of the text, each ended with a zero byte. */
static void shardio_p_keep_strings(shardio_array *array)
{
    char *at = array->strings, *end = array->strings + array->plan.strings;
    shardio_json name;
    size_t walk = 0;
    const shardio_json *attributes = &array->meta.attributes;
    size_t n = attributes->text != NULL ? attributes->size : 2;
    memcpy(at, attributes->text != NULL ? attributes->text : "{}", n);
    at[n] = 0;
    array->attributes = at;
    at += n + 1;
    for (uint32_t i = 0; shardio_json_next(array->meta.names, &walk, NULL, &name); i++) {
        if (!shardio_json_string(name, at, (size_t)(end - at))) continue;
        array->names[i] = at;
        at += shardio_p_length(at) + 1;
    }
    shardio_p_keep_fill(&array->meta, at, (size_t)(end - at));
}

/* Copies where the array is. */
static void shardio_p_keep_path(shardio_array *array, const shardio_store *store, const char *path)
{
    shardio_text prefix = {array->prefix, path != NULL ? shardio_p_length(path) + 2 : 1, 0};
    array->store = *store;
    if (store->name != NULL) memcpy(array->store_path, store->name, shardio_p_length(store->name) + 1);
    else array->store_path[0] = 0;
    /* a directory's path */
    if (store->context == (const void *)store->name) array->store.context = array->store_path;
    array->store.name = array->store_path;
    array->prefix[0] = 0;
    if (path == NULL || path[0] == 0) return;
    shardio_text_add(&prefix, path);
    shardio_text_add(&prefix, "/");
}

/* Length of the store's name and the array's path together. */
static size_t shardio_p_path_length(const shardio_store *store, const char *path)
{
    return (store->name != NULL ? shardio_p_length(store->name) : 0) + (path != NULL ? shardio_p_length(path) : 0) + 2;
}

/* Limits that reading keeps to; continuing reads as well. */
static void shardio_p_take_limits(shardio_array *array, const shardio_array_options *o)
{
    array->index_memory = o->index_memory != 0 ? o->index_memory : (size_t)64 << 20;
    array->decoded_limit = o->decoded_limit != 0 ? o->decoded_limit : (size_t)1 << 30;
    array->metadata_limit = o->metadata_limit != 0 ? o->metadata_limit : (size_t)SHARDIO_P_MOST_METADATA;
    array->read_memory = (size_t)16 << 20;
}

static void shardio_p_take_write_options(shardio_array *array, const shardio_array_options *o)
{
    array->max_open = o->max_open_files != 0 ? o->max_open_files : 64;
    array->direct = o->direct;
    array->durability = o->durability;
    array->drop_behind = o->drop_behind;
    array->checkpoint_every = o->checkpoint_every;
    array->report = o->accounting;
    array->skip_fill = o->skip_fill;
}

/* Memory of a writer, all of it, with the draft of the array copied to its front. */
static shardio_array *shardio_p_place_writer(shardio_array *draft, const shardio_store *store, const char *path)
{
    size_t length = shardio_p_path_length(store, path);
    shardio_memory_plan sum = shardio_p_carve_writer(&draft->plan, draft->meta.sharded, length, NULL, NULL);
    size_t alignment = draft->plan.block > 64 ? draft->plan.block : 64;
    uint8_t *memory = sum.total <= SIZE_MAX / 2
                      ? (uint8_t *)shardio_p_allocate(draft->allocator, (size_t)sum.total, alignment) : NULL;
    if (memory == NULL) return NULL;
    shardio_array *array = (shardio_array *)(void *)memory;
    *array = *draft;
    if (draft->allocator != NULL) array->allocator = &array->own_allocator;
    array->memory_size = (size_t)sum.total;
    array->memory_alignment = alignment;
    (void)shardio_p_carve_writer(&draft->plan, draft->meta.sharded, length, memory, array);
    shardio_p_keep_path(array, store, path);
    array->mode = SHARDIO_P_WRITING;
    return array;
}

/* Finishes a draft whose metadata is known: plan and memory. Null with `error` set if it fails. */
static shardio_array *shardio_p_plan_and_place(shardio_array *draft, const shardio_store *store,
                                               const shardio_array_options *o, size_t text_size, shardio_error *error)
{
    size_t length = shardio_p_path_length(store, o->path);
    size_t own = o->path != NULL ? shardio_p_length(o->path) : 0;
    size_t file_memory = store->functions->file_memory(store->context, shardio_p_longest_key(&draft->meta, own + 1));
    shardio_p_plan_names(&draft->plan, &draft->meta, length, file_memory, text_size);
    shardio_p_take_write_options(draft, o);
    shardio_status status = shardio_p_make_plan(&draft->plan, &draft->meta, o, error);
    if (status != SHARDIO_OK) return NULL;
    shardio_array *array = shardio_p_place_writer(draft, store, o->path);
    if (array == NULL)
        shardio_p_fail(error, SHARDIO_ERR_MEMORY, "create", "the array",
                       "no memory for its rows of chunks; see shardio_array_memory");
    return array;
}

/* -- small keys: zarr.json */

/* For a file that is open for a moment only. */
static const shardio_allocator *shardio_p_small_memory(shardio_array *array)
{
    if (array->mode != SHARDIO_P_WRITING) return array->allocator;
    array->small_allocator = shardio_arena_begin(&array->small_arena, array->small_names, array->plan.names);
    return &array->small_allocator;
}

/* Writes a small key in pieces: whole, or not at all. `allocator` is for the open file. */
static shardio_status shardio_p_write_small(const shardio_store *store, const shardio_allocator *allocator,
                                            const char *key,
                                            bool overwrite, shardio_durability durability, const shardio_json *pieces,
                                            size_t count, shardio_error *error)
{
    shardio_slot_options o;
    shardio_slot slot;
    shardio_file file;
    uint8_t buffer[512];
    uint64_t size = 0;
    int code = 0;
    for (size_t i = 0; i < count; i++) size += pieces[i].size;
    memset(&o, 0, sizeof o);
    o.direct = SHARDIO_DIRECT_OFF;
    o.direct_min = sizeof buffer;   /* what is longer is one write */
    o.durability = durability;
    shardio_status status = store->functions->create(store->context, key, overwrite, size, allocator, &file, &code);
    if (status != SHARDIO_OK) return shardio_p_key_fail(error, store, status, "create", key, code, NULL);
    status = shardio_slot_begin(&slot, file, buffer, sizeof buffer, &o);
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++)
        status = shardio_slot_append(&slot, pieces[i].text, pieces[i].size);
    status = shardio_slot_finish(&slot);
    if (status != SHARDIO_OK && error != NULL) *error = slot.error;
    return status;
}

static shardio_status shardio_p_write_key(shardio_array *array, const char *key, const shardio_json *pieces,
                                          size_t count)
{
    shardio_error error;
    shardio_status status = shardio_p_write_small(&array->store, shardio_p_small_memory(array), key, array->published,
                                                  array->durability, pieces, count, &error);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_array_inherit(array, &error);
}

/* A zarr.json, whose text was checked before, with another shape; everything else stays byte for byte. */
static shardio_status shardio_p_write_shape(shardio_array *array, const char *text, size_t size, const uint64_t *shape)
{
    char extents[SHARDIO_MAX_DIMS * 22 + 4];
    shardio_text list = {extents, sizeof extents, 0};
    shardio_json root, old, pieces[3];
    (void)shardio_json_parse(text, size, &root, NULL);
    old = shardio_json_member(root, "shape");
    shardio_p_add_extents(&list, shape, array->meta.ndim);
    pieces[0].text = text;
    pieces[0].size = (size_t)(old.text - text);
    pieces[1].text = extents;
    pieces[1].size = list.size;
    pieces[2].text = old.text + old.size;
    pieces[2].size = size - pieces[0].size - old.size;
    return shardio_p_write_key(array, shardio_p_named_key(array, "zarr.json"), pieces, 3);
}

static shardio_status shardio_p_write_metadata(shardio_array *array, const uint64_t *shape)
{
    return shardio_p_write_shape(array, array->text, array->text_size, shape);
}

/* Reads a small key of at most `limit` bytes whole into memory from `allocator`, a zero byte behind it; *size is what was
   taken, for the release. `names` is for the open file. */
static shardio_status shardio_p_read_small(const shardio_store *store, const shardio_allocator *names,
                                           const shardio_allocator *allocator, const char *key, size_t limit, char **text,
                                           size_t *size, shardio_error *error)
{
    shardio_file_facts facts;
    shardio_file file;
    int code = 0;
    *text = NULL;
    *size = 0;
    shardio_status status = store->functions->open(store->context, key, false, names, &file, &code);
    if (status != SHARDIO_OK) return shardio_p_key_fail(error, store, status, "open", key, code, NULL);
    status = shardio_p_file_facts(&file, &facts, error);
    if (status == SHARDIO_OK && facts.size > limit)
        status = shardio_p_key_fail(error, store, SHARDIO_ERR_LIMIT, "read", key, 0,
                                    "larger than the option metadata_limit");
    *size = (size_t)facts.size + 1;
    if (status == SHARDIO_OK) *text = (char *)shardio_p_allocate(allocator, *size, 16);
    if (status == SHARDIO_OK && *text == NULL)
        status = shardio_p_key_fail(error, store, SHARDIO_ERR_MEMORY, "read", key, 0, NULL);
    if (status == SHARDIO_OK) status = shardio_file_read(&file, 0, *text, *size - 1, error);
    if (status == SHARDIO_OK) {
        (*text)[*size - 1] = 0;
    } else {
        shardio_p_release(allocator, *text, *size, 16);
        *text = NULL;
    }
    shardio_file_close(&file);
    return status;
}

static shardio_status shardio_p_read_key(shardio_array *array, const char *key, char **text, size_t *size,
                                         shardio_error *error)
{
    return shardio_p_read_small(&array->store, shardio_p_small_memory(array), array->allocator, key,
                                array->metadata_limit, text, size, error);
}

/* The key of the zarr.json of a parent: of the first `length` bytes of the prefix. */
static const char *shardio_p_parent_key(shardio_array *array, size_t length)
{
    static const char name[] = "zarr.json";
    memcpy(array->key, array->prefix, length);
    memcpy(array->key + length, name, sizeof name);
    return array->key;
}

/* Calls `each` for the root and every group on the way to the array. */
static shardio_status shardio_p_each_parent(shardio_array *array,
                                            shardio_status (*each)(shardio_array *, const char *key))
{
    shardio_status status = SHARDIO_OK;
    for (size_t i = 0; array->prefix[i] != 0 && status == SHARDIO_OK; i++)
        if (i == 0 || array->prefix[i - 1] == '/') status = each(array, shardio_p_parent_key(array, i));
    return status;
}

/* What is on the way has to be a group, or nothing yet. */
static shardio_status shardio_p_check_parent(shardio_array *array, const char *key)
{
    char *text;
    size_t size;
    shardio_json root;
    shardio_status status = shardio_p_read_key(array, key, &text, &size, &array->error);
    if (status == SHARDIO_ERR_NOT_FOUND) {
        shardio_p_no_error(&array->error);
        return SHARDIO_OK;
    }
    if (status != SHARDIO_OK) return status;
    status = shardio_json_parse(text, size - 1, &root, &array->error);
    if (status != SHARDIO_OK) shardio_p_set_subject(&array->error, key);
    else status = shardio_p_read_node(root, "group", key, &array->error);
    shardio_p_release(array->allocator, text, size, 16);
    return status;
}

static shardio_status shardio_p_write_parent(shardio_array *array, const char *key)
{
    static const char text[] = "{\n  \"zarr_format\": 3,\n  \"node_type\": \"group\",\n  \"attributes\": {}\n}\n";
    const shardio_json piece = {text, sizeof text - 1};
    shardio_file file;
    int code = 0;
    shardio_status status = array->store.functions->open(array->store.context, key, false,
                                                         shardio_p_small_memory(array), &file, &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return shardio_p_write_key(array, key, &piece, 1);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "open", key, code, NULL);
    shardio_file_close(&file);
    return SHARDIO_OK;
}

/* -- the batch: where each chunk of it lies */

/* The shard in flight that the chunk with this index in the grid belongs to. */
static shardio_p_flight *shardio_p_flight_of(const shardio_array *array, const uint64_t *index)
{
    const shardio_p_meta *m = &array->meta;
    uint64_t number = 0;
    for (uint32_t i = array->plan.flight_dim + 1; m->sharded && i < m->ndim; i++)
        number = number * m->shard_grid[i] + index[i] / m->per_shard[i];
    return &array->flights[number];
}

/* Where the batch puts the chunk with this index in the grid, as bytes from the start of the rows. The chunks of one
   shard lie together, in C order, so that they go to the file at once. */
static size_t shardio_p_place_of_chunk(const shardio_array *array, const uint64_t *index)
{
    const shardio_p_meta *m = &array->meta;
    const shardio_p_plan *p = &array->plan;
    uint64_t before = 0;                                  /* chunks of the shards in front */
    uint64_t local = index[p->batch_dim] - array->at[p->batch_dim];
    uint64_t extent = array->steps;                       /* chunks of this shard along the dimensions so far */
    uint64_t behind = p->chunks / p->steps;               /* chunks of the array along the dimensions to come */
    uint64_t shard = 0;
    for (uint32_t i = p->batch_dim + 1; i < m->ndim; i++) {
        uint64_t in = index[i] / m->per_shard[i], start = in * m->per_shard[i];
        uint64_t here = shardio_p_min(m->per_shard[i], m->grid[i] - start);
        behind /= m->grid[i];
        before += extent * start * behind;
        extent *= here;
        local = local * here + (index[i] - start);
        shard = shard * m->shard_grid[i] + in;
    }
    uint64_t place = before * m->chunk_bytes;
    if (p->gap > 0) place = shardio_p_ceil(place, p->block) + shard * p->gap + shardio_p_flight_of(array, index)->phase;
    return (size_t)(place + local * m->chunk_bytes);
}

/* Chunks that are begun but not full have the fill value beyond the data. Where a batch has such chunks for sure, it is
   filled beforehand; where it ends early, the rest is gathered from the fill value. */
static bool shardio_p_batch_is_ragged(const shardio_array *array)
{
    const shardio_p_meta *m = &array->meta;
    if (array->extent < array->steps * m->chunk[array->plan.batch_dim]) return true;
    for (uint32_t i = array->plan.batch_dim + 1; i < m->ndim; i++)
        if (m->shape[i] % m->chunk[i] != 0) return true;
    return false;
}

/* Where each shard of the batch will go on in its file. */
static void shardio_p_note_phases(shardio_array *array)
{
    const shardio_p_meta *m = &array->meta;
    uint64_t first = m->sharded && m->index.at_start ? shardio_index_size(&m->index) : 0;
    for (uint64_t i = 0; m->sharded && array->plan.gap > 0 && i < array->plan.flights; i++) {
        const shardio_p_flight *flight = &array->flights[i];
        uint64_t size = flight->begun ? shardio_slot_size(&flight->shard.slot) : first;
        array->flights[i].phase = (uint32_t)(size % array->plan.block);
    }
}

/* Whether the batch is copied past the cache. */
static bool shardio_p_rows_past_cache(const shardio_array *array)
{
    return array->plan.rows > SHARDIO_P_BEYOND_CACHE;
}

/* Copies elements, or with `from` null the fill value, into a chunk of the batch. */
static inline void shardio_p_put_elements(const shardio_array *array, uint8_t *to, const uint8_t *from, size_t bytes)
{
    const shardio_p_meta *m = &array->meta;
    if (from != NULL) shardio_p_copy_row(to, from, bytes, m->unit, shardio_p_rows_past_cache(array));
    else shardio_p_fill(to, bytes, m->stored_fill, m->element);
}

/* A line: the elements that follow each other along line_dim, all of what lies behind it included. `number` counts the
   lines of the batch. index[] gets the first chunk of the line, *within the byte offset of the line inside a chunk. */
static void shardio_p_locate_line(const shardio_array *array, uint64_t number, uint64_t tail, uint64_t *index,
                                  uint64_t *within)
{
    const shardio_p_meta *m = &array->meta;
    uint32_t b = array->plan.batch_dim, k = array->plan.line_dim;
    uint64_t stride = m->chunk[k] * tail;
    *within = 0;
    for (uint32_t i = k; i > b; i--) {
        uint32_t d = i - 1;
        uint64_t size = d == b ? array->extent : m->shape[d], element = number % size;
        number /= size;
        index[d] = element / m->chunk[d] + (d == b ? array->at[b] : 0);
        *within += element % m->chunk[d] * stride;
        stride *= m->chunk[d];
    }
    for (uint32_t i = 0; i < b; i++) index[i] = array->at[i];
    for (uint32_t i = k; i < m->ndim; i++) index[i] = 0;
    if (k == b) index[k] = array->at[b];
}

/* Gathers elements of one line, from element `column` of it on: the pieces of chunks that lie side by side in a shard
   lie side by side in the batch as well, one chunk apart. */
static void shardio_p_gather_line(shardio_array *array, uint64_t *index, uint64_t within, uint64_t tail,
                                  uint64_t column, const uint8_t *from, uint64_t count)
{
    const shardio_p_meta *m = &array->meta;
    uint32_t k = array->plan.line_dim;
    uint64_t piece = m->chunk[k] * tail, first = index[k];
    while (count > 0) {
        index[k] = first + column / piece;
        /* the shard's last chunk is before */
        uint64_t shard_end = (index[k] / m->per_shard[k] + 1) * m->per_shard[k];
        uint8_t *to = array->rows + shardio_p_place_of_chunk(array, index);
        for (uint64_t chunk = index[k]; chunk < shard_end && count > 0; chunk++, to += m->chunk_bytes) {
            uint64_t skip = column % piece, n = shardio_p_min(piece - skip, count);
            shardio_p_put_elements(array, to + (within + skip) * m->element, from, (size_t)(n * m->element));
            if (from != NULL) from += n * m->element;
            column += n;
            count -= n;
        }
    }
}

/* Gathers the next `count` elements of the batch, from element number `position` of it on. */
static void shardio_p_gather(shardio_array *array, uint64_t position, const uint8_t *from, uint64_t count)
{
    const shardio_p_meta *m = &array->meta;
    uint32_t b = array->plan.batch_dim, k = array->plan.line_dim;
    uint64_t tail = shardio_p_product(m->shape, k + 1, m->ndim), index[SHARDIO_MAX_DIMS], within;
    uint64_t line = (k == b ? array->extent : m->shape[k]) * tail;
    while (count > 0) {
        uint64_t column = position % line, n = shardio_p_min(line - column, count);
        shardio_p_locate_line(array, position / line, tail, index, &within);
        shardio_p_gather_line(array, index, within, tail, column, from, n);
        if (from != NULL) from += n * m->element;
        position += n;
        count -= n;
    }
    if (shardio_p_rows_past_cache(array)) shardio_p_copied_past_cache();
}

/* -- shards in flight */

static shardio_slot_options shardio_p_flight_options(const shardio_array *array)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.direct = array->direct;
    o.durability = array->durability;
    o.drop_behind = array->drop_behind;
    return o;
}

static shardio_status shardio_p_flight_failed(shardio_array *array, shardio_p_flight *flight)
{
    return shardio_p_array_inherit(array, &flight->shard.slot.error);
}

/* Closes files until there is room for one more. Shards are visited in the same order again and again, so the one to
   close is the next in that order behind the last that was closed: no search for the least recently used. */
static shardio_status shardio_p_make_room(shardio_array *array)
{
    while (array->open_flights >= array->max_open) {
        shardio_p_flight *victim = &array->flights[array->next_victim];
        array->next_victim = (array->next_victim + 1) % array->plan.flights;
        if (!victim->begun || victim->shard.slot.suspended) continue;
        if (shardio_slot_suspend(&victim->shard.slot) != SHARDIO_OK) return shardio_p_flight_failed(array, victim);
        if (!victim->shard.slot.suspended) return SHARDIO_OK;   /* a store whose files hold no descriptors */
        array->open_flights--;
    }
    return SHARDIO_OK;
}

/* Opens what an earlier writer left: its shard is continued. SHARDIO_ERR_NOT_FOUND: there is none. */
static shardio_status shardio_p_continue_flight(shardio_array *array, shardio_p_flight *flight, const char *key,
                                                const shardio_slot_options *o)
{
    const shardio_p_plan *p = &array->plan;
    shardio_file file;
    int code = 0;
    shardio_status status = array->store.functions->open(array->store.context, key, true, &flight->allocator, &file,
                                                         &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return status;
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "open for writing", key, code, NULL);
    status = shardio_shard_begin_update(&flight->shard, file, NULL, &array->meta.index, flight->index, p->index,
                                        array->staging, p->buffer, o);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_flight_failed(array, flight);
}

/* The most bytes that a shard written in one go has; SHARDIO_NO_OFFSET: not known. */
static uint64_t shardio_p_most_of_shard(const shardio_p_meta *m)
{
    size_t largest, chunk = SIZE_MAX;
    uint64_t chunks;
    if (!shardio_p_is_variable(m->dtype) && m->levels[1].packing == SHARDIO_P_PLAIN)
        chunk = shardio_p_chain_bound(&m->levels[1].chain, m->chunk_bytes, &largest);
    if (chunk == SIZE_MAX || !shardio_p_multiply(m->index.chunks, chunk, &chunks)) return SHARDIO_NO_OFFSET;
    return chunks + shardio_index_size(&m->index);
}

static shardio_status shardio_p_create_flight(shardio_array *array, shardio_p_flight *flight, const char *key,
                                              const shardio_slot_options *o)
{
    const shardio_p_plan *p = &array->plan;
    shardio_file file;
    int code = 0;
    shardio_status status = array->store.functions->create(array->store.context, key, array->published,
                                                           shardio_p_most_of_shard(&array->meta), &flight->allocator,
                                                           &file, &code);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "create", key, code, NULL);
    status = shardio_shard_begin(&flight->shard, file, &array->meta.index, flight->index, p->index, array->staging,
                                 p->buffer, o);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_flight_failed(array, flight);
}

/* Makes the shard at `position` ready to be written through the staging buffer. */
static shardio_status shardio_p_enter_flight(shardio_array *array, shardio_p_flight *flight, const uint64_t *position)
{
    shardio_status status = SHARDIO_ERR_NOT_FOUND;
    if (!flight->begun || flight->shard.slot.suspended) {
        shardio_status room = shardio_p_make_room(array);
        if (room != SHARDIO_OK) return room;
        array->open_flights++;
    }
    if (flight->begun) {
        status = shardio_slot_set_buffer(&flight->shard.slot, array->staging, array->plan.buffer);
        if (status == SHARDIO_OK) status = shardio_p_slot_enter(&flight->shard.slot, "write");
        return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_flight_failed(array, flight);
    }
    shardio_slot_options o = shardio_p_flight_options(array);
    const char *key = shardio_p_chunk_key(array, position);
    flight->allocator = shardio_arena_begin(&flight->arena, flight->names, array->plan.names);
    flight->begun = true;
    shardio_p_statistics_begin(array, position);
    if (array->resuming) status = shardio_p_continue_flight(array, flight, key, &o);
    if (status == SHARDIO_ERR_NOT_FOUND) status = shardio_p_create_flight(array, flight, key, &o);
    return status;
}

/* Gives the staging buffer back: the shard keeps its last block. */
static shardio_status shardio_p_leave_flight(shardio_array *array, shardio_p_flight *flight)
{
    shardio_status status = shardio_slot_set_buffer(&flight->shard.slot, flight->tail, array->plan.block);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_flight_failed(array, flight);
}

static void shardio_p_add_accounting(shardio_accounting *sum, const shardio_accounting *one)
{
    sum->logical_bytes += one->logical_bytes;
    sum->dead_bytes += one->dead_bytes;
    sum->device_bytes += one->device_bytes;
    sum->device_calls += one->device_calls;
    sum->copied_bytes += one->copied_bytes;
    sum->syncs += one->syncs;
    if (!one->direct && (sum->direct || sum->files == 0)) {   /* one that was refused makes it so for all */
        sum->direct_reason = one->direct_reason;
        sum->direct_code = one->direct_code;
    }
    sum->direct = one->direct && (sum->direct || sum->files == 0);
    sum->files += one->files;
}

/* Ends a shard, well or not. */
static shardio_status shardio_p_finish_flight(shardio_array *array, shardio_p_flight *flight, const uint64_t *position)
{
    shardio_error error;
    shardio_status status = shardio_p_enter_flight(array, flight, position);
    if (status != SHARDIO_OK) return status;
    status = shardio_shard_finish(&flight->shard, &error);
    shardio_accounting accounting = shardio_shard_accounting(&flight->shard);
    shardio_p_add_accounting(&array->accounting, &accounting);
    flight->begun = false;
    array->open_flights--;
    if (status == SHARDIO_OK) shardio_p_statistics_end(array, position);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_array_inherit(array, &error);
}

/* Steps through the positions of shards in flight in C order; position[] up to flight_dim stays. False: all done. */
static bool shardio_p_next_flight(const shardio_array *array, uint64_t *position)
{
    for (uint32_t i = array->meta.ndim; i-- > array->plan.flight_dim + 1;) {
        if (++position[i] < array->meta.shard_grid[i]) return true;
        position[i] = 0;
    }
    return false;
}

/* Does something to every shard that is begun. */
static shardio_status shardio_p_each_flight(shardio_array *array,
                                            shardio_status (*act)(shardio_array *, shardio_p_flight *,
                                                                  const uint64_t *))
{
    uint64_t position[SHARDIO_MAX_DIMS] = {0};
    size_t number = 0;
    shardio_status status = SHARDIO_OK;
    if (!array->meta.sharded) return SHARDIO_OK;
    for (uint32_t i = 0; i <= array->plan.flight_dim; i++) position[i] = array->at[i] / array->meta.per_shard[i];
    do {
        shardio_p_flight *flight = &array->flights[number++];
        if (flight->begun) status = act(array, flight, position);
    } while (status == SHARDIO_OK && shardio_p_next_flight(array, position));
    return status;
}

static shardio_status shardio_p_checkpoint_flight(shardio_array *array, shardio_p_flight *flight,
                                                  const uint64_t *position)
{
    if (position[0] * array->meta.shard[0] >= array->total / array->frame) return SHARDIO_OK;   /* only a begun frame */
    shardio_status status = shardio_p_enter_flight(array, flight, position);
    if (status != SHARDIO_OK) return status;
    if (shardio_shard_checkpoint(&flight->shard) != SHARDIO_OK) return shardio_p_flight_failed(array, flight);
    status = shardio_p_leave_flight(array, flight);
    if (status == SHARDIO_OK) shardio_p_statistics_end(array, position);
    return status;
}

/* -- from the batch to the shards */

/* The part of a batch that belongs to one shard: a box of chunks. */
typedef struct shardio_p_box {
    uint64_t first[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS];   /* chunk index in the grid, number of chunks */
    uint64_t shard[SHARDIO_MAX_DIMS];                            /* position of the shard */
} shardio_p_box;

/* The number within its shard of the chunk with this index in the grid. */
static uint64_t shardio_p_chunk_number(const shardio_p_meta *m, const uint64_t *index)
{
    const uint8_t *order = m->levels[0].order;
    uint64_t number = 0;
    for (uint32_t i = 0; i < m->ndim; i++)
        number = number * m->per_shard[order[i]] + index[order[i]] % m->per_shard[order[i]];
    return number;
}

/* The next index of a box in the order that is stored. False: that was the last. */
static bool shardio_p_next_in_order(uint64_t *index, const uint64_t *first, const uint64_t *count, const uint8_t *order,
                                    uint32_t ndim)
{
    for (uint32_t i = ndim; i-- > 0;) {
        uint32_t d = order[i];
        if (++index[d] < first[d] + count[d]) return true;
        index[d] = first[d];
    }
    return false;
}

/* The next index of a box in C order. False: that was the last. */
static bool shardio_p_next_in_box(uint64_t *index, const uint64_t *first, const uint64_t *count, uint32_t ndim)
{
    for (uint32_t i = ndim; i-- > 0;) {
        if (++index[i] < first[i] + count[i]) return true;
        index[i] = first[i];
    }
    return false;
}

/* A chunk that cannot be encoded is named by its place in the grid. */
static shardio_status shardio_p_encode_failed(shardio_array *array, const uint64_t *index, shardio_status status,
                                              const char *operation, const char *reason)
{
    char subject[SHARDIO_MAX_DIMS * 21 + 8];
    shardio_text text = {subject, sizeof subject, 0};
    shardio_text_add(&text, "chunk ");
    for (uint32_t i = 0; i < array->meta.ndim; i++) {
        shardio_text_add(&text, i > 0 ? "," : "");
        shardio_text_add_uint64(&text, index[i]);
    }
    return shardio_p_array_fail(array, status, operation, subject, 0, reason);
}

/* Whether elements are copies of the fill value, as they are held for the file. */
static bool shardio_p_only_fill(const shardio_p_meta *m, const uint8_t *elements, size_t bytes)
{
    shardio_bytes fill, one;
    if (!shardio_p_is_variable(m->dtype)) return shardio_p_is_fill(elements, bytes, m->stored_fill, m->element);
    memcpy(&fill, m->stored_fill, sizeof fill);
    for (size_t at = 0; at < bytes; at += sizeof one) {
        memcpy(&one, elements + at, sizeof one);
        if (one.size != fill.size || (one.size > 0 && memcmp(one.data, fill.data, one.size) != 0)) return false;
    }
    return true;
}

/* Strides in bytes, per dimension of the array, of a box whose elements lie one after the other in this order. */
static void shardio_p_order_strides(const shardio_p_meta *m, const uint64_t *extent, const uint8_t *order,
                                    ptrdiff_t *stride)
{
    uint64_t step = m->element;
    for (uint32_t i = m->ndim; i-- > 0;) {
        uint32_t d = order != NULL ? order[i] : i;
        stride[d] = (ptrdiff_t)step;
        step = shardio_p_bounded_multiply(step, extent[d]);
    }
}

static bool shardio_p_is_text(const char *text, size_t size)
{
    size_t n = 1;
    for (size_t at = 0; at < size && n > 0; at += n) n = shardio_p_utf8(text + at, size - at);
    return n > 0;
}

/* The codecs vlen-utf8 and vlen-bytes: the number of elements, then each one's length and bytes, little-endian u32. */
static shardio_status shardio_p_pack_variable(shardio_array *array, uint32_t k, const uint8_t *elements,
                                              const uint8_t **data, size_t *size)
{
    const size_t count = array->meta.levels[k].bytes / sizeof(shardio_bytes);
    uint64_t bytes = 4 + 4 * (uint64_t)count;
    shardio_bytes one;
    for (size_t i = 0; i < count; i++) {
        memcpy(&one, elements + i * sizeof one, sizeof one);
        if (one.size > UINT32_MAX || count > UINT32_MAX) return SHARDIO_ERR_LIMIT;
        if (array->meta.dtype == SHARDIO_STRING && !shardio_p_is_text((const char *)one.data, one.size))
            return SHARDIO_ERR_ARGUMENT;
        bytes += one.size;
    }
    if (bytes > SIZE_MAX / 4) return SHARDIO_ERR_LIMIT;
    if (!shardio_p_widen(array, &array->variable, (size_t)bytes)) return SHARDIO_ERR_MEMORY;
    uint8_t *at = array->variable.memory;
    *data = at;
    *size = (size_t)bytes;
    shardio_p_store32_little(at, (uint32_t)count);
    at += 4;
    for (size_t i = 0; i < count; i++) {
        memcpy(&one, elements + i * sizeof one, sizeof one);
        shardio_p_store32_little(at, (uint32_t)one.size);
        if (one.size > 0) memcpy(at + 4, one.data, one.size);
        at += 4 + one.size;
    }
    return SHARDIO_OK;
}

/* Brings the elements of a chunk of level k, which lie at `from` with these strides, into the order they are stored in. */
static shardio_status shardio_p_order_elements(shardio_array *array, uint32_t k, const uint8_t **from,
                                               const ptrdiff_t *stride)
{
    const shardio_p_meta *m = &array->meta;
    const shardio_p_level *level = &m->levels[k];
    ptrdiff_t wanted[SHARDIO_MAX_DIMS];
    bool there = true;
    shardio_p_order_strides(m, level->extent, level->order, wanted);
    for (uint32_t i = 0; i < m->ndim; i++) there = there && (wanted[i] == stride[i] || level->extent[i] == 1);
    if (there) return SHARDIO_OK;
    if (!shardio_p_widen(array, &array->packed[k], level->bytes)) return SHARDIO_ERR_MEMORY;
    shardio_p_copy_box(array->packed[k].memory, wanted, *from, stride, level->extent, m->ndim, m->element, 1, false);
    *from = array->packed[k].memory;
    return SHARDIO_OK;
}

/* Runs the codecs of level k over *data. A chain whose output was not planned for gets the room it says it needs. */
static shardio_status shardio_p_encode_chain(shardio_array *array, uint32_t k, const uint64_t *index,
                                             const uint8_t **data, size_t *size)
{
    const shardio_p_chain *chain = &array->meta.levels[k].chain;
    const shardio_codec *failed = NULL;
    size_t largest;
    if (chain->count == 0) return SHARDIO_OK;
    (void)shardio_p_chain_bound(chain, *size, &largest);
    if (largest > SIZE_MAX / 16)
        return shardio_p_encode_failed(array, index, SHARDIO_ERR_UNSUPPORTED, "encode",
                                       "a codec cannot bound the size of its output");
    if (!shardio_p_widen(array, &array->coded[k], shardio_p_chain_pieces(chain) * largest))
        return shardio_p_encode_failed(array, index, SHARDIO_ERR_MEMORY, "encode", NULL);
    shardio_status status = shardio_p_chain_run(chain, true, data, size, array->coded[k].memory,
                                                array->coded[k].size / shardio_p_chain_pieces(chain), &failed);
    return status == SHARDIO_OK ? SHARDIO_OK
           : shardio_p_encode_failed(array, index, status, failed->name, "the codec failed");
}

static shardio_status shardio_p_encode_level(shardio_array *array, uint32_t k, const uint64_t *index,
                                             const uint8_t *from,
                                             const ptrdiff_t *stride, const uint8_t **data, size_t *size);

/* Whether all elements of a box are the fill value. */
static bool shardio_p_box_is_fill(const shardio_p_meta *m, const uint8_t *from, const ptrdiff_t *stride,
                                  const uint64_t *extent)
{
    uint64_t at[SHARDIO_MAX_DIMS] = {0};
    uint32_t i;
    do {
        if (!shardio_p_only_fill(m, from, m->element)) return false;
        for (i = m->ndim; i > 0; i--) {
            from += stride[i - 1];
            if (++at[i - 1] < extent[i - 1]) break;
            from -= stride[i - 1] * (ptrdiff_t)extent[i - 1];
            at[i - 1] = 0;
        }
    } while (i > 0);
    return true;
}

/* Makes a shard, of level k, in the room of its level: index, chunks, and for an index at the end a copy of it. */
static shardio_status shardio_p_encode_shard(shardio_array *array, uint32_t k, const uint64_t *index,
                                             const uint8_t *from,
                                             const ptrdiff_t *stride, const uint8_t **data, size_t *size)
{
    const shardio_p_meta *m = &array->meta;
    const shardio_p_level *level = &m->levels[k];
    const uint64_t none[SHARDIO_MAX_DIMS] = {0}, *extent = m->levels[k + 1].extent;
    uint64_t at[SHARDIO_MAX_DIMS] = {0}, number = 0;
    size_t index_size = shardio_index_size(&level->index), used = index_size;
    shardio_p_room *room = &array->packed[k];
    if (!shardio_p_widen(array, room, 2 * index_size))
        return shardio_p_encode_failed(array, index, SHARDIO_ERR_MEMORY, "encode", NULL);
    shardio_index_clear(&level->index, room->memory);
    do {
        const uint8_t *inner = from, *chunk;
        size_t n;
        for (uint32_t i = 0; i < m->ndim; i++) inner += (ptrdiff_t)(at[i] * extent[i]) * stride[i];
        if (array->skip_fill && shardio_p_box_is_fill(m, inner, stride, extent)) continue;
        shardio_status status = shardio_p_encode_level(array, k + 1, index, inner, stride, &chunk, &n);
        if (status != SHARDIO_OK) return status;
        if (!shardio_p_extend(array, room, used, used + n + index_size))
            return shardio_p_encode_failed(array, index, SHARDIO_ERR_MEMORY, "encode", NULL);
        if (n > 0) memcpy(room->memory + used, chunk, n);
        shardio_index_set(&level->index, room->memory, number, used - (level->index.at_start ? 0 : index_size), n);
        used += n;
    } while (number++, shardio_p_next_in_order(at, none, level->per, level->order, m->ndim));
    shardio_index_seal(&level->index, room->memory);
    *data = room->memory + (level->index.at_start ? 0 : index_size);
    *size = level->index.at_start ? used : used - index_size;
    if (level->index.at_start) return SHARDIO_OK;
    memcpy(room->memory + used, room->memory, index_size);
    *size += index_size;
    return SHARDIO_OK;
}

/* Encodes a chunk of level k whose elements, in the byte order of the file, lie at `from` with these strides. `index` is
   the place in the grid of the chunk that it is or is in. Recursion goes as deep as there are levels. */
static shardio_status shardio_p_encode_level(shardio_array *array, uint32_t k, const uint64_t *index,
                                             const uint8_t *from,
                                             const ptrdiff_t *stride, const uint8_t **data, size_t *size)
{
    const shardio_p_level *level = &array->meta.levels[k];
    shardio_status status;
    *data = from;
    *size = level->bytes;
    if (level->packing == SHARDIO_P_SHARD) {
        status = shardio_p_encode_shard(array, k, index, from, stride, data, size);
    } else {
        status = shardio_p_order_elements(array, k, data, stride);
        if (status == SHARDIO_OK && level->packing == SHARDIO_P_STRINGS)
            status = shardio_p_pack_variable(array, k, *data, data, size);
        if (status != SHARDIO_OK) status = shardio_p_encode_failed(array, index, status, "encode",
                                                                   status == SHARDIO_ERR_ARGUMENT
                                                                       ? "a string that is not UTF-8"
                                                                           : "its elements take too much memory");
    }
    return status == SHARDIO_OK ? shardio_p_encode_chain(array, k, index, data, size) : status;
}

/* The bytes that are stored for a chunk whose elements lie one after the other. */
static shardio_status shardio_p_encode_chunk(shardio_array *array, const uint64_t *index, const uint8_t **data,
                                             size_t *size)
{
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    shardio_p_order_strides(&array->meta, array->meta.chunk, NULL, stride);
    return shardio_p_encode_level(array, array->meta.sharded ? 1 : 0, index, *data, stride, data, size);
}

static bool shardio_p_leave_out(const shardio_array *array, const uint8_t *chunk)
{
    return array->skip_fill && shardio_p_only_fill(&array->meta, chunk, array->meta.chunk_bytes);
}

/* Puts the chunks of a box into their shard, each encoded. */
static shardio_status shardio_p_put_encoded(shardio_array *array, shardio_p_flight *flight, const shardio_p_box *box,
                                            const uint8_t *chunk)
{
    uint64_t index[SHARDIO_MAX_DIMS];
    shardio_status status = SHARDIO_OK;
    memcpy(index, box->first, sizeof index);
    do {
        const uint8_t *data = chunk;
        size_t size;
        uint64_t number = shardio_p_chunk_number(&array->meta, index);
        bool drop = shardio_p_leave_out(array, chunk);
        shardio_p_statistics_note(array, index, drop ? NULL : chunk);
        if (drop) {
            if (shardio_shard_drop(&flight->shard, number) != SHARDIO_OK) return shardio_p_flight_failed(array, flight);
        } else {
            status = shardio_p_encode_chunk(array, index, &data, &size);
            if (status != SHARDIO_OK) return status;
            if (shardio_shard_put(&flight->shard, number, data, size) != SHARDIO_OK)
                return shardio_p_flight_failed(array, flight);
        }
        chunk += array->meta.chunk_bytes;
    } while (shardio_p_next_in_box(index, box->first, box->count, array->meta.ndim));
    return SHARDIO_OK;
}

/* Puts the chunks of a box as they are: one append, then the entries. */
static shardio_status shardio_p_put_plain(shardio_array *array, shardio_p_flight *flight, const shardio_p_box *box,
                                          const uint8_t *chunks)
{
    uint64_t index[SHARDIO_MAX_DIMS], offset = shardio_slot_size(&flight->shard.slot);
    uint64_t count = shardio_p_product(box->count, 0, array->meta.ndim);
    if (shardio_p_shard_append(&flight->shard, chunks, (size_t)count * array->meta.chunk_bytes) != SHARDIO_OK)
        return shardio_p_flight_failed(array, flight);
    memcpy(index, box->first, sizeof index);
    do {
        shardio_p_shard_place(&flight->shard, shardio_p_chunk_number(&array->meta, index), offset,
                              array->meta.chunk_bytes);
        shardio_p_statistics_note(array, index, chunks);
        chunks += array->meta.chunk_bytes;
        offset += array->meta.chunk_bytes;
    } while (shardio_p_next_in_box(index, box->first, box->count, array->meta.ndim));
    return SHARDIO_OK;
}

/* Whether the whole box is fill values and its shard was not begun: then nothing needs to be done, not even a file. */
static bool shardio_p_nothing_to_put(const shardio_array *array, const shardio_p_flight *flight,
                                     const shardio_p_box *box, const uint8_t *chunks)
{
    const shardio_p_meta *m = &array->meta;
    uint64_t bytes = shardio_p_product(box->count, 0, m->ndim) * m->chunk_bytes;
    return array->skip_fill && !flight->begun && shardio_p_only_fill(m, chunks, (size_t)bytes);
}

/* Whether an earlier writer left this shard, or chunk file. */
static bool shardio_p_is_there(shardio_array *array, const uint64_t *position)
{
    shardio_file file;
    int code = 0;
    const char *key = shardio_p_chunk_key(array, position);
    if (array->store.functions->open(array->store.context, key, false, shardio_p_small_memory(array), &file,
                                     &code) != SHARDIO_OK)
        return false;
    shardio_file_close(&file);
    return true;
}

static shardio_status shardio_p_put_box(shardio_array *array, const shardio_p_box *box)
{
    shardio_p_flight *flight = shardio_p_flight_of(array, box->first);
    const uint8_t *chunks = array->rows + shardio_p_place_of_chunk(array, box->first);
    if (shardio_p_nothing_to_put(array, flight, box, chunks) &&
        !(array->resuming && shardio_p_is_there(array, box->shard)))
        return SHARDIO_OK;
    shardio_status status = shardio_p_enter_flight(array, flight, box->shard);
    if (status != SHARDIO_OK) return status;
    bool plain = shardio_p_stored_as_is(&array->meta) && !array->skip_fill;
    status = plain ? shardio_p_put_plain(array, flight, box, chunks)
             : shardio_p_put_encoded(array, flight, box, chunks);
    return status == SHARDIO_OK ? shardio_p_leave_flight(array, flight) : status;
}

/* Removes the key of a chunk or shard that holds nothing any more, if there is one. */
static shardio_status shardio_p_remove_chunk_key(shardio_array *array, const uint64_t *position)
{
    const shardio_store *s = &array->store;
    int code = 0;
    shardio_p_statistics_gone(array, position);
    const char *key = shardio_p_chunk_key(array, position);
    shardio_status status = s->functions->remove(s->context, key, &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
    if (status == SHARDIO_OK && array->durability != SHARDIO_DURABLE_NONE && s->functions->sync != NULL)
        status = s->functions->sync(s->context, key, &code);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_array_fail(array, status, "remove", key, code, NULL);
}

/* A chunk that is a file is written at once, whole. `data` are its elements. */
static shardio_status shardio_p_put_chunk_file(shardio_array *array, const uint64_t *position, const uint8_t *data)
{
    size_t size;
    int code = 0;
    shardio_slot slot;
    shardio_file file;
    shardio_slot_options o = shardio_p_flight_options(array);
    if (shardio_p_leave_out(array, data)) return shardio_p_remove_chunk_key(array, position);   /* of an earlier time */
    shardio_p_statistics_begin(array, position);
    shardio_p_statistics_note(array, position, data);
    shardio_status status = shardio_p_encode_chunk(array, position, &data, &size);
    if (status != SHARDIO_OK) return status;
    const char *key = shardio_p_chunk_key(array, position);
    status = array->store.functions->create(array->store.context, key, array->published || array->checkpointed,
                                            size, shardio_p_small_memory(array), &file, &code);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "create", key, code, NULL);
    status = shardio_slot_begin(&slot, file, array->staging, array->plan.buffer, &o);
    if (status == SHARDIO_OK) status = shardio_slot_append(&slot, data, size);
    status = shardio_slot_finish(&slot);
    if (status == SHARDIO_OK) {
        shardio_p_statistics_end(array, position);
        shardio_p_add_accounting(&array->accounting, &slot.accounting);
        return SHARDIO_OK;
    }
    if (!array->published && slot.error.status != SHARDIO_ERR_EXISTS)   /* its directories may be empty */
        (void)array->store.functions->remove(array->store.context, key, &code);
    return shardio_p_array_inherit(array, &slot.error);
}

static shardio_status shardio_p_write_chunk_file(shardio_array *array, const shardio_p_box *box)
{
    return shardio_p_put_chunk_file(array, box->first, array->rows + shardio_p_place_of_chunk(array, box->first));
}

/* Does something to the part of each shard in some rows of chunks of the batch. */
static shardio_status shardio_p_each_box(shardio_array *array, uint64_t first_step, uint64_t steps,
                                         shardio_status (*act)(shardio_array *, const shardio_p_box *))
{
    const shardio_p_meta *m = &array->meta;
    uint32_t b = array->plan.batch_dim;
    shardio_p_box box;
    shardio_status status;
    bool more;
    memset(&box, 0, sizeof box);
    for (uint32_t i = 0; i <= b; i++) {
        box.first[i] = array->at[i] + (i == b ? first_step : 0);
        box.count[i] = i == b ? steps : 1;
        box.shard[i] = array->at[i] / m->per_shard[i];
    }
    do {
        for (uint32_t i = b + 1; i < m->ndim; i++) {
            box.first[i] = box.shard[i] * m->per_shard[i];
            box.count[i] = shardio_p_min(m->per_shard[i], m->grid[i] - box.first[i]);
        }
        status = act(array, &box);
        more = false;
        for (uint32_t i = m->ndim; i-- > b + 1 && !more;) {
            more = ++box.shard[i] < m->shard_grid[i];
            if (!more) box.shard[i] = 0;
        }
    } while (status == SHARDIO_OK && more);
    return status;
}

/* Hands the rows of chunks of the batch before `end` over, unless a checkpoint has done so when they were full. */
static shardio_status shardio_p_flush(shardio_array *array, uint64_t end)
{
    if (end == array->flushed) return SHARDIO_OK;
    return shardio_p_each_box(array, array->flushed, end - array->flushed,
                              array->meta.sharded ? shardio_p_put_box : shardio_p_write_chunk_file);
}

/* The chunks of a box become fill values. */
static shardio_status shardio_p_fill_box(shardio_array *array, const shardio_p_box *box)
{
    const shardio_p_meta *m = &array->meta;
    size_t bytes = (size_t)shardio_p_product(box->count, 0, m->ndim) * m->chunk_bytes;
    shardio_p_fill(array->rows + shardio_p_place_of_chunk(array, box->first), bytes, m->stored_fill, m->element);
    return SHARDIO_OK;
}

/* Begins the batch at array->at. */
static void shardio_p_begin_batch(shardio_array *array)
{
    const shardio_p_meta *m = &array->meta;
    uint32_t b = array->plan.batch_dim;
    uint64_t at = array->at[b];
    array->steps = shardio_p_min(array->plan.steps,
                                 shardio_p_min(m->per_shard[b] - at % m->per_shard[b], m->grid[b] - at));
    array->extent = array->steps * m->chunk[b];
    if (m->grid[b] != UINT64_MAX) array->extent = shardio_p_min(array->extent, m->shape[b] - at * m->chunk[b]);
    array->elements = array->extent * shardio_p_product(m->shape, b + 1, m->ndim);
    array->filled = array->flushed = array->saved = 0;
    shardio_p_free_pool(array);
    shardio_p_note_phases(array);
    if (shardio_p_batch_is_ragged(array)) (void)shardio_p_each_box(array, 0, array->steps, shardio_p_fill_box);
}

/* Moves on to the next batch. True: the shards in flight are complete. */
static bool shardio_p_advance(shardio_array *array)
{
    const shardio_p_meta *m = &array->meta;
    uint32_t q = array->plan.flight_dim, i = array->plan.batch_dim;
    uint64_t before[SHARDIO_MAX_DIMS];
    for (uint32_t d = 0; d <= q; d++) before[d] = array->at[d] / m->per_shard[d];
    array->at[i] += array->steps;
    for (; i > 0 && array->at[i] >= m->grid[i]; i--) {
        array->at[i] = 0;
        array->at[i - 1]++;
    }
    for (uint32_t d = 0; d <= q; d++)
        if (array->at[d] / m->per_shard[d] != before[d]) return true;
    return false;
}

/* A full batch goes out. */
static shardio_status shardio_p_end_batch(shardio_array *array)
{
    uint64_t here[SHARDIO_MAX_DIMS], next[SHARDIO_MAX_DIMS];
    shardio_status status = shardio_p_flush(array, array->steps);
    if (status != SHARDIO_OK) return status;
    memcpy(here, array->at, sizeof here);
    bool complete = shardio_p_advance(array);
    if (complete) {   /* shards are named by where the batch is: finish them from where it was */
        memcpy(next, array->at, sizeof next);
        memcpy(array->at, here, sizeof here);
        status = shardio_p_each_flight(array, shardio_p_finish_flight);
        memcpy(array->at, next, sizeof next);
        array->resuming = false;
    }
    if (status == SHARDIO_OK) shardio_p_begin_batch(array);
    return status;
}

/* Copies the contents of variable-length elements, which are only borrowed, into the pool. *from becomes the copies. */
static shardio_status shardio_p_keep_contents(shardio_array *array, const uint8_t **from, uint64_t count)
{
    uint64_t bytes = shardio_p_bounded_multiply(count, sizeof(shardio_bytes));
    shardio_bytes one;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(&one, *from + i * sizeof one, sizeof one);
        if (!shardio_p_add(bytes, one.size, &bytes)) bytes = UINT64_MAX;
    }
    uint8_t *kept = bytes < SIZE_MAX ? shardio_p_pool_bytes(array, (size_t)bytes) : NULL, *at = kept;
    if (kept == NULL)
        return shardio_p_array_fail(array, SHARDIO_ERR_MEMORY, "append", array->prefix, 0,
                                    "no memory for variable-length elements");
    at += count * sizeof one;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(&one, *from + i * sizeof one, sizeof one);
        if (one.size > 0) memcpy(at, one.data, one.size);
        one.data = at;
        at += one.size;
        memcpy(kept + i * sizeof one, &one, sizeof one);
    }
    *from = kept;
    return SHARDIO_OK;
}

static shardio_status shardio_p_append(shardio_array *array, const uint8_t *from, uint64_t count)
{
    while (count > 0) {
        uint64_t n = shardio_p_min(count, array->elements - array->filled);
        const uint8_t *kept = from;
        if (from != NULL && shardio_p_is_variable(array->meta.dtype) &&
            shardio_p_keep_contents(array, &kept, n) != SHARDIO_OK)
            return array->error.status;
        shardio_p_gather(array, array->filled, kept, n);
        if (from != NULL) from += n * array->meta.element;
        array->filled += n;
        array->total += n;
        count -= n;
        if (array->filled < array->elements) break;
        shardio_status status = shardio_p_end_batch(array);
        if (status != SHARDIO_OK) return status;
    }
    return SHARDIO_OK;
}

/* Writes what the batch holds, padded with the fill value to whole chunks, and keeps it to be completed. */
static shardio_status shardio_p_flush_begun(shardio_array *array)
{
    const shardio_p_meta *m = &array->meta;
    uint32_t b = array->plan.batch_dim;
    uint64_t one = shardio_p_product(m->shape, b + 1, m->ndim), begun = array->total % array->frame;
    uint64_t whole = array->filled > begun ? array->filled - begun : 0;   /* a begun frame is not in the shape yet */
    if (whole == array->saved) return SHARDIO_OK;
    uint64_t steps = shardio_p_divide_up(shardio_p_divide_up(whole, one), m->chunk[b]);
    uint64_t end = shardio_p_min(steps * m->chunk[b], array->extent) * one;
    if (end > array->filled) shardio_p_gather(array, array->filled, NULL, end - array->filled);
    shardio_status status = shardio_p_flush(array, steps);
    array->flushed = whole / one / m->chunk[b];   /* the rest comes again when it is complete */
    array->saved = whole;
    return status;
}

/* -- the interface of a writer */

static shardio_status shardio_p_writer_enter(const shardio_array *array)
{
    if (array == NULL) return SHARDIO_ERR_ARGUMENT;
    if (array->error.status != SHARDIO_OK || array->mode == SHARDIO_P_WRITING) return array->error.status;
    return SHARDIO_ERR_STATE;   /* a reader is never sticky */
}

/* Elements until the next checkpoint that the options ask for. */
static uint64_t shardio_p_until_checkpoint(const shardio_array *array)
{
    if (array->checkpoint_every == 0) return UINT64_MAX;
    return shardio_p_max(1,
                         shardio_p_divide_up(array->checkpoint_every - array->since_checkpoint, array->meta.element));
}

SHARDIO_API shardio_status shardio_array_append(shardio_array *array, const void *elements, uint64_t count)
{
    shardio_status status = shardio_p_writer_enter(array);
    if (status != SHARDIO_OK || count == 0) return status;
    if (count > array->limit - array->total)
        return shardio_p_array_fail(array, SHARDIO_ERR_ARGUMENT, "append", array->prefix, 0,
                                    "more elements than the shape has");
    const uint8_t *from = (const uint8_t *)elements;
    while (count > 0 && status == SHARDIO_OK) {
        uint64_t n = shardio_p_min(count, shardio_p_until_checkpoint(array));
        status = shardio_p_append(array, from, n);
        if (from != NULL) from += n * array->meta.element;
        count -= n;
        array->since_checkpoint += n * array->meta.element;
        if (status == SHARDIO_OK && array->checkpoint_every > 0 && array->since_checkpoint >= array->checkpoint_every)
            status = shardio_array_checkpoint(array);
    }
    return status;
}

/* Makes groups and metadata say what the shards hold. */
static shardio_status shardio_p_publish(shardio_array *array, uint64_t frames)
{
    uint64_t shape[SHARDIO_MAX_DIMS];
    shardio_status status = SHARDIO_OK;
    memcpy(shape, array->meta.shape, sizeof shape);
    shape[0] = frames;
    if (!array->groups_written) status = shardio_p_each_parent(array, shardio_p_write_parent);
    if (array->published) array->published_total = frames * array->frame;   /* should it fail after it has appeared */
    if (status == SHARDIO_OK) status = shardio_p_write_metadata(array, shape);
    if (status != SHARDIO_OK) return status;
    array->groups_written = array->published = true;
    array->published_total = frames * array->frame;
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_array_checkpoint(shardio_array *array)
{
    shardio_status status = shardio_p_writer_enter(array);
    if (status != SHARDIO_OK) return status;
    uint64_t bytes = array->accounting.logical_bytes, files = array->accounting.files;
    array->checkpointed = true;
    status = shardio_p_flush_begun(array);
    array->accounting.logical_bytes = bytes;   /* chunk files that are not full are written again later */
    array->accounting.files = files;
    if (status == SHARDIO_OK) status = shardio_p_each_flight(array, shardio_p_checkpoint_flight);
    if (status == SHARDIO_OK) status = shardio_p_publish(array, array->total / array->frame);
    if (status == SHARDIO_OK) array->since_checkpoint = 0;
    if (status == SHARDIO_OK) (void)shardio_p_save_statistics(array, NULL);   /* the next one, or finish, tries again */
    return status;
}

static shardio_status shardio_p_finish(shardio_array *array)
{
    uint64_t begun = array->total % array->frame;
    shardio_status status = begun > 0 ? shardio_p_append(array, NULL, array->frame - begun) : SHARDIO_OK;
    if (status == SHARDIO_OK) status = shardio_p_flush_begun(array);
    if (status == SHARDIO_OK) status = shardio_p_each_flight(array, shardio_p_finish_flight);
    if (status == SHARDIO_OK) status = shardio_p_publish(array, array->total / array->frame);
    return status == SHARDIO_OK ? shardio_p_save_statistics(array, &array->error) : status;
}

SHARDIO_API shardio_status shardio_array_finish(shardio_array *array, shardio_error *error)
{
    if (array == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "finish", NULL, "no array");
    shardio_status status = shardio_p_writer_enter(array);
    if (status == SHARDIO_OK) status = shardio_p_finish(array);
    if (array->mode == SHARDIO_P_WRITING && array->report != NULL) *array->report = shardio_array_accounting(array);
    if (error != NULL) *error = array->error;
    if (status == SHARDIO_ERR_STATE && error != NULL && error->status == SHARDIO_OK)
        shardio_p_fail(error, status, "finish", array->store.name, "it was opened for reading");
    if (status == SHARDIO_OK) shardio_p_array_free(array);
    else shardio_array_abort(array);
    return status;
}

static shardio_status shardio_p_abort_flight(shardio_array *array, shardio_p_flight *flight, const uint64_t *position)
{
    bool visible = flight->shard.slot.continued;   /* by an earlier writer or a checkpoint */
    int ignored = 0;
    shardio_shard_abort(&flight->shard);
    flight->begun = false;
    if (!visible && array->error.status != SHARDIO_ERR_EXISTS)   /* not there; but its directories may be empty now */
        (void)array->store.functions->remove(array->store.context, shardio_p_chunk_key(array, position), &ignored);
    return SHARDIO_OK;
}

/* Looks for a key that an aborted writer leaves behind: all of a new array, or those that lie beyond what the last
   checkpoint published. */
typedef struct shardio_p_leftover {
    shardio_array *array;
    bool found;
} shardio_p_leftover;

/* Whether a key below an array's prefix is that of some chunk: digits and separators, perhaps behind a "c", or that
   alone; or of its statistics. Nothing else is ever removed. */
static bool shardio_p_looks_like_chunk(const char *key)
{
    if (shardio_p_same(key, SHARDIO_P_STATISTICS_KEY)) return true;
    if (*key == 'c' && *++key == 0) return true;   /* of an array without dimensions */
    bool digits = false;
    for (; *key != 0; key++) {
        digits = digits || shardio_p_is_digit(*key);
        if (!shardio_p_is_digit(*key) && *key != '/' && *key != '.') return false;
    }
    return digits;
}

static bool shardio_p_find_leftover(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_leftover *leftover = (shardio_p_leftover *)context;
    shardio_array *array = leftover->array;
    uint64_t position[SHARDIO_MAX_DIMS];
    (void)size;
    bool ours = !temporary && shardio_p_length(key) < array->plan.key &&
                shardio_p_looks_like_chunk(key + shardio_p_length(array->prefix));
    if (ours && array->published)
        ours = shardio_p_parse_key(array, key, position) &&
               position[0] * array->meta.shard[0] >= array->published_total / array->frame;
    if (ours) memcpy(array->key, key, shardio_p_length(key) + 1);
    leftover->found = ours;
    return !ours;
}

static void shardio_p_remove_leftovers(shardio_array *array)
{
    const shardio_store *s = &array->store;
    shardio_p_leftover leftover = {array, true};
    int code = 0;
    while (leftover.found) {
        leftover.found = false;
        (void)s->functions->list(s->context, array->prefix, shardio_p_find_leftover, &leftover, &code);
        if (leftover.found && s->functions->remove(s->context, array->key, &code) != SHARDIO_OK) return;
    }
    if (array->published) return;
    /* prunes its directories */
    (void)s->functions->remove(s->context, shardio_p_named_key(array, "zarr.json"), &code);
    if (array->store_was_empty) (void)s->functions->remove(s->context, "", &code);
}

SHARDIO_API void shardio_array_abort(shardio_array *array)
{
    if (array == NULL || array == shardio_p_no_array()) return;
    if (array->mode == SHARDIO_P_READING) {
        shardio_array_close(array);
        return;
    }
    if (array->mode == SHARDIO_P_WRITING && array->claimed) {
        (void)shardio_p_each_flight(array, shardio_p_abort_flight);
        bool contested = array->error.status == SHARDIO_ERR_EXISTS;   /* then what is there may be somebody else's */
        if (!contested && (array->total != array->published_total || !array->published))
            shardio_p_remove_leftovers(array);
    }
    shardio_p_array_free(array);
}

/* -- creating and continuing */

static bool shardio_p_any_key(void *context, const char *key, uint64_t size, bool temporary)
{
    (void)key, (void)size, (void)temporary;
    *(bool *)context = true;
    return false;
}

/* An array that is overwritten goes first: its metadata, then everything else. */
static shardio_status shardio_p_remove_old(shardio_array *array)
{
    const shardio_store *s = &array->store;
    shardio_p_leftover leftover = {array, true};
    int code = 0;
    shardio_status status = s->functions->remove(s->context, shardio_p_named_key(array, "zarr.json"), &code);
    while (leftover.found && (status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND)) {
        leftover.found = false;
        status = s->functions->list(s->context, array->prefix, shardio_p_find_leftover, &leftover, &code);
        if (leftover.found) status = s->functions->remove(s->context, array->key, &code);
    }
    if (status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
    return shardio_p_array_fail(array, status, "overwrite", array->prefix, code, NULL);
}

static bool shardio_p_find_foreign(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_leftover *foreign = (shardio_p_leftover *)context;
    (void)size;
    foreign->found = !temporary && !shardio_p_looks_like_chunk(key + shardio_p_length(foreign->array->prefix));
    return !foreign->found;
}

/* Only an array is overwritten, or what a writer that was lost left of one: never a group, never other files. */
static shardio_status shardio_p_check_overwrite(shardio_array *array)
{
    const shardio_store *s = &array->store;
    shardio_p_leftover foreign = {array, false};
    shardio_json root;
    char *text;
    size_t size;
    int code = 0;
    shardio_status status = shardio_p_read_key(array, shardio_p_named_key(array, "zarr.json"), &text, &size,
                                               &array->error);
    if (status == SHARDIO_ERR_NOT_FOUND) {
        shardio_p_no_error(&array->error);
        (void)s->functions->list(s->context, array->prefix, shardio_p_find_foreign, &foreign, &code);
        if (!foreign.found) return SHARDIO_OK;
        return shardio_p_array_fail(array, SHARDIO_ERR_EXISTS, "overwrite", array->prefix, 0,
                                    "what is there is no array");
    }
    if (status != SHARDIO_OK) return status;
    bool group = shardio_json_parse(text, size - 1, &root, NULL) == SHARDIO_OK &&
                 shardio_json_is(shardio_json_member(root, "node_type"), "group");
    shardio_p_release(array->allocator, text, size, 16);
    if (!group) return SHARDIO_OK;
    return shardio_p_array_fail(array, SHARDIO_ERR_EXISTS, "overwrite", array->prefix, 0, "what is there is a group");
}

/* Nothing may be there yet, and writing has to be possible: found out now, not after an hour of frames. */
static shardio_status shardio_p_claim(shardio_array *array, bool overwrite)
{
    const shardio_store *s = &array->store;
    shardio_file file;
    bool any = false;
    int code = 0;
    shardio_status status = s->functions->list(s->context, "", shardio_p_any_key, &any, &code);
    array->store_was_empty = status == SHARDIO_ERR_NOT_FOUND;
    if (any) {
        any = false;
        status = s->functions->list(s->context, array->prefix, shardio_p_any_key, &any, &code);
    }
    if (status != SHARDIO_OK && status != SHARDIO_ERR_NOT_FOUND)
        return shardio_p_array_fail(array, status, "create", array->prefix, code, NULL);
    if (any && !overwrite) return shardio_p_array_fail(array, SHARDIO_ERR_EXISTS, "create", array->prefix, 0, NULL);
    if (any && shardio_p_check_overwrite(array) != SHARDIO_OK) return array->error.status;
    status = shardio_p_each_parent(array, shardio_p_check_parent);
    if (status == SHARDIO_OK && any) status = shardio_p_remove_old(array);
    if (status != SHARDIO_OK) return status;
    const char *key = shardio_p_named_key(array, "zarr.json");
    status = s->functions->create(s->context, key, true, 0, shardio_p_small_memory(array), &file, &code);
    if (status == SHARDIO_ERR_NOT_FOUND)
        return shardio_p_array_fail(array, SHARDIO_ERR_EXISTS, "create", array->prefix, code,
                                    "what is there is no directory");
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "create", key, code, NULL);
    (void)shardio_p_file_close(&file, SHARDIO_CLOSE_DISCARD, false, NULL);
    return SHARDIO_OK;
}

static void shardio_p_begin_writing(shardio_array *array)
{
    const shardio_p_meta *m = &array->meta;
    array->frame = shardio_p_product(m->shape, 1, m->ndim);
    array->limit = m->grid[0] == UINT64_MAX ? UINT64_MAX / 32 : array->frame * m->shape[0];
    array->claimed = true;   /* from here on an abort cleans up */
    shardio_p_begin_batch(array);
}

/* What every way to create checks first. */
static shardio_status shardio_p_begin_creating(shardio_array *draft, const shardio_store *store,
                                               const shardio_array_options *o,
                                               bool growing, size_t *size, shardio_error *error)
{
    memset(draft, 0, sizeof *draft);
    shardio_p_no_error(&draft->error);
    shardio_p_no_error(error);
    shardio_p_set_allocator(draft, o != NULL ? o->allocator : NULL);
    shardio_status status = shardio_p_meta_from_options(&draft->meta, o, growing, error);
    if (status != SHARDIO_OK) return status;
    shardio_p_take_limits(draft, o);
    if (o->path != NULL && o->path[0] != 0 && !shardio_p_key_is_plain(o->path))
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option path", "not of plain names with / between");
    if (store == NULL || store->functions == NULL)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "the store", "there is none");
    *size = shardio_p_json_size(&draft->meta, o);
    if (*size > draft->metadata_limit - shardio_p_min(32, draft->metadata_limit))
        return shardio_p_option(error, SHARDIO_ERR_LIMIT, "option attributes",
                                "more metadata than the option metadata_limit");
    return SHARDIO_OK;
}

/* Makes the contexts of all codecs. */
static shardio_status shardio_p_begin_codecs(shardio_array *array, shardio_error *error)
{
    for (uint32_t k = 0; k < array->meta.level_count; k++) {
        const shardio_codec *failed = NULL;
        const char *reason = NULL;
        char member[96];
        shardio_text text = {member, sizeof member, 0};
        shardio_status status = shardio_p_chain_begin(&array->meta.levels[k].chain, array->meta.element,
                                                      array->allocator, &failed, &reason);
        if (status == SHARDIO_OK) continue;
        shardio_text_add(&text, "codec ");
        shardio_text_add_string(&text, failed->name);
        return shardio_p_meta_fail(error, status, array->store.name, member, reason);
    }
    return SHARDIO_OK;
}

/* Writes the metadata text and reads it back: names, attributes and codecs become pieces of our own text, and the options
   are not needed any more. */
static shardio_status shardio_p_compose(shardio_array *array, const shardio_array_options *o)
{
    shardio_p_meta check;
    shardio_text text = {array->text, array->plan.text, 0};
    shardio_p_add_array_json(&text, &array->meta, o);
    array->text_size = text.size;
    shardio_status status = shardio_p_meta_parse(&check, array->text, array->text_size, o, "zarr.json", &array->error);
    if (status == SHARDIO_OK) {
        memcpy(array->meta.levels, check.levels, sizeof check.levels);
        shardio_p_link_index_orders(&array->meta);
        array->meta.names = check.names;
        array->meta.attributes = check.attributes;
        array->meta.fill_value = check.fill_value;
        array->meta.codec_list = check.codec_list;
        shardio_p_keep_strings(array);
        status = shardio_p_begin_codecs(array, &array->error);
    }
    /* a name that is no UTF-8, say */
    if (status == SHARDIO_ERR_CORRUPT) array->error.status = status = SHARDIO_ERR_ARGUMENT;
    return status;
}

SHARDIO_API shardio_array *shardio_array_create_in(const shardio_store *store, const shardio_array_options *options)
{
    shardio_array draft, *array = NULL;
    shardio_error error;
    size_t size;
    if (shardio_p_begin_creating(&draft, store, options, true, &size, &error) == SHARDIO_OK)
        array = shardio_p_plan_and_place(&draft, store, options, size, &error);
    if (array == NULL) return shardio_p_broken_array(&error, options != NULL ? options->allocator : NULL);
    if (shardio_p_compose(array, options) != SHARDIO_OK) return array;
    if (options->statistics && shardio_p_begin_statistics(array, false, &array->error) != SHARDIO_OK) return array;
    if (shardio_p_claim(array, options->overwrite) == SHARDIO_OK) shardio_p_begin_writing(array);
    return array;
}

/* -- opening */

/* A key whose parse is the array's; `draft` gets the metadata, *text the text. */
static shardio_status shardio_p_load(shardio_array *draft, const shardio_store *store, const shardio_array_options *o,
                                     char **text, size_t *size, shardio_error *error)
{
    char key[1024];
    shardio_text name = {key, sizeof key, 0};
    draft->store = *store;
    key[0] = 0;
    if (o->path != NULL && o->path[0] != 0) {
        if (!shardio_p_key_is_plain(o->path) || shardio_p_length(o->path) > sizeof key - 16)
            return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", "option path",
                                  "not of plain names with / between");
        shardio_text_add(&name, o->path);
        shardio_text_add(&name, "/");
    }
    shardio_text_add(&name, "zarr.json");
    shardio_status status = shardio_p_read_key(draft, key, text, size, error);
    if (status != SHARDIO_OK) return status;
    shardio_text full = {key, sizeof key, 0};
    shardio_text_add(&full, store->name != NULL ? store->name : "");
    shardio_text_add(&full, "/");
    if (o->path != NULL && o->path[0] != 0) shardio_text_add(&full, o->path);
    shardio_text_add(&full, o->path != NULL && o->path[0] != 0 ? "/zarr.json" : "zarr.json");
    status = shardio_p_meta_parse(&draft->meta, *text, *size - 1, o, key, error);
    if (status == SHARDIO_OK) return status;
    shardio_p_release(draft->allocator, *text, *size, 16);
    *text = NULL;
    return status;
}

/* The text moves into the array's own memory; what points into it, or within the metadata, follows. */
static void shardio_p_adopt_text(shardio_array *array, const char *text, size_t size)
{
    shardio_p_meta *m = &array->meta;
    shardio_json *pieces[4 + SHARDIO_P_LEVELS * SHARDIO_MAX_CODECS] = {&m->names, &m->attributes, &m->fill_value,
                                                                       &m->codec_list};
    size_t count = 4;
    for (uint32_t k = 0; k < m->level_count; k++)
        for (uint32_t i = 0; i < m->levels[k].chain.count; i++) pieces[count++] = &m->levels[k].chain.configurations[i];
    memcpy(array->text, text, size);
    array->text_size = size;
    shardio_p_link_index_orders(m);
    for (size_t i = 0; i < count; i++)
        if (pieces[i]->text != NULL) pieces[i]->text = array->text + (pieces[i]->text - text);
    shardio_p_keep_strings(array);
}

/* Memory of a reader: handle, names, text and the table of kept shards. */
static size_t shardio_p_carve_reader(const shardio_p_plan *plan, size_t path, uint32_t kept, uint8_t *memory,
                                     shardio_array *array)
{
    shardio_p_carver c = {memory, 0};
    (void)shardio_p_carve(&c, sizeof(shardio_array), 64);
    uint8_t *store_path = shardio_p_carve(&c, path + 1, 1), *prefix = shardio_p_carve(&c, path + 2, 1);
    uint8_t *key = shardio_p_carve(&c, plan->key, 1), *text = shardio_p_carve(&c, plan->text, 1);
    uint8_t *strings = shardio_p_carve(&c, plan->strings, 1);
    uint8_t *table = shardio_p_carve(&c, kept * sizeof(shardio_p_kept), 64);
    if (array == NULL) return c.used;
    array->store_path = (char *)store_path;
    array->prefix = (char *)prefix;
    array->key = (char *)key;
    array->text = (char *)text;
    array->strings = (char *)strings;
    array->kept = (shardio_p_kept *)(void *)table;
    memset(array->kept, 0, kept * sizeof(shardio_p_kept));
    return c.used;
}

enum { SHARDIO_P_MOST_KEPT = 1 << 14 };   /* shards that a reader keeps open, whatever it is allowed */

static shardio_array *shardio_p_place_reader(shardio_array *draft, const shardio_store *store,
                                             const shardio_array_options *o, size_t text_size)
{
    size_t length = shardio_p_path_length(store, o->path);
    draft->max_open = o->max_open_files != 0 ? (uint32_t)shardio_p_min(o->max_open_files, SHARDIO_P_MOST_KEPT) : 64;
    if (o->memory != 0) draft->read_memory = o->memory;
    draft->unbuffered = o->unbuffered;
    draft->unchanging = o->unchanging;
    draft->fill_is_value = o->fill_is_value;
    shardio_p_plan_names(&draft->plan, &draft->meta, length, 0, text_size);
    draft->plan.key = length + 32 + (size_t)SHARDIO_MAX_DIMS * 21;   /* whatever shape it is given */
    size_t size = shardio_p_carve_reader(&draft->plan, length, draft->max_open, NULL, NULL);
    uint8_t *memory = (uint8_t *)shardio_p_allocate(draft->allocator, size, 64);
    if (memory == NULL) return NULL;
    shardio_array *array = (shardio_array *)(void *)memory;
    *array = *draft;
    if (draft->allocator != NULL) array->allocator = &array->own_allocator;
    array->memory_size = size;
    array->memory_alignment = 64;
    (void)shardio_p_carve_reader(&draft->plan, length, draft->max_open, memory, array);
    shardio_p_keep_path(array, store, o->path);
    array->mode = SHARDIO_P_READING;
    return array;
}

static shardio_array_options shardio_p_options_or_defaults(const shardio_array_options *options)
{
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    return options != NULL ? *options : o;
}

/* Begins a draft that loads what exists. */
static shardio_status shardio_p_begin_draft(shardio_array *draft, const shardio_store *store,
                                            const shardio_array_options *o,
                                            char **text, size_t *size, shardio_error *error)
{
    memset(draft, 0, sizeof *draft);
    shardio_p_no_error(&draft->error);
    shardio_p_no_error(error);
    shardio_p_set_allocator(draft, o->allocator);
    shardio_p_take_limits(draft, o);
    *text = NULL;
    *size = 0;
    if (store == NULL || store->functions == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", "the store", "there is none");
    return shardio_p_load(draft, store, o, text, size, error);
}

SHARDIO_API shardio_array *shardio_array_open_in(const shardio_store *store, const shardio_array_options *options,
                                                 shardio_error *error)
{
    shardio_array_options o = shardio_p_options_or_defaults(options);
    shardio_array draft, *array = NULL;
    shardio_error own;
    char *text;
    size_t size;
    if (error == NULL) error = &own;
    if (shardio_p_begin_draft(&draft, store, &o, &text, &size, error) == SHARDIO_OK) {
        array = shardio_p_place_reader(&draft, store, &o, size - 1);
        if (array != NULL) shardio_p_adopt_text(array, text, size - 1);
        else shardio_p_fail(error, SHARDIO_ERR_MEMORY, "open", store->name, NULL);
        shardio_p_release(draft.allocator, text, size, 16);
    }
    if (array != NULL && shardio_p_begin_codecs(array, error) == SHARDIO_OK) return array;
    shardio_array_close(array);
    return shardio_p_broken_array(error, o.allocator);
}

/* -- what is known about an array */

SHARDIO_API shardio_error shardio_array_error(const shardio_array *array)
{
    shardio_error none;
    if (array != NULL) return array->error;
    shardio_p_fail(&none, SHARDIO_ERR_ARGUMENT, "use", NULL, "no array");
    return none;
}

SHARDIO_API shardio_accounting shardio_array_accounting(const shardio_array *array)
{
    shardio_accounting sum;
    memset(&sum, 0, sizeof sum);
    if (array == NULL || array->mode == SHARDIO_P_BROKEN) return sum;
    sum = array->accounting;
    for (uint64_t i = 0; array->mode == SHARDIO_P_WRITING && array->meta.sharded && i < array->plan.flights; i++) {
        if (!array->flights[i].begun) continue;
        shardio_accounting one = shardio_shard_accounting(&array->flights[i].shard);
        shardio_p_add_accounting(&sum, &one);
    }
    for (uint32_t i = 0; array->mode == SHARDIO_P_READING && i < array->max_open; i++)
        if (array->kept[i].used != 0) sum.device_calls += array->kept[i].reader.reads;
    return sum;
}

SHARDIO_API shardio_status shardio_array_describe(const shardio_array *array, shardio_array_facts *facts)
{
    memset(facts, 0, sizeof *facts);
    if (array == NULL) return SHARDIO_ERR_ARGUMENT;
    if (array->mode == SHARDIO_P_BROKEN) return array->error.status;
    const shardio_p_meta *m = &array->meta;
    facts->ndim = m->ndim;
    facts->dtype = m->dtype;
    facts->time_scale = m->time_scale;
    facts->time_unit = m->time_unit;
    memcpy(facts->shape, m->shape, sizeof facts->shape);
    memcpy(facts->chunk, m->levels[m->level_count > 1 ? 1 : 0].extent, sizeof facts->chunk);
    memcpy(facts->shard, m->shard, sizeof facts->shard);
    if (array->mode == SHARDIO_P_WRITING && array->frame > 0) {
        facts->shape[0] = array->total / array->frame;
        facts->begun_frame = array->total % array->frame != 0;
    }
    const shardio_p_level *leaf = &m->levels[m->level_count - 1];
    facts->sharded = m->level_count > 1;
    facts->levels = m->level_count;
    facts->big_endian = m->big_endian;
    facts->key_v2 = m->key_v2;
    facts->key_separator = m->separator;
    facts->element_size = m->element;
    facts->index = m->levels[0].index;
    facts->transposed = !leaf->in_order;
    memcpy(facts->transpose, leaf->order, sizeof facts->transpose);
    facts->codec_list = m->codec_list;
    facts->fill_value = m->fill;
    memcpy(facts->dimension_names, array->names, sizeof facts->dimension_names);
    facts->has_dimension_names = m->names.text != NULL;
    facts->attributes = array->attributes;
    facts->codecs = leaf->chain.count;
    for (uint32_t i = 0; i < leaf->chain.count; i++) facts->codec_names[i] = leaf->chain.codecs[i]->name;
    facts->key_prefix = array->prefix;
    facts->memory = array->memory_size + shardio_p_room_bytes(array) + shardio_p_statistics_bytes(array);
    return SHARDIO_OK;
}

/* -- reading chunks */

/* A read that is under way. `to` null: only checks. */
typedef struct shardio_p_reading {
    shardio_array *array;
    const uint64_t *start, *count;
    uint8_t *to;
    const ptrdiff_t *stride;                 /* of the destination, bytes */
    const uint8_t *fill;                     /* in the byte order of the destination */
    size_t unit;                             /* of elements whose bytes are turned around; 1: none are */
    bool past_cache;                         /* the destination is larger than caches */
} shardio_p_reading;

static shardio_status shardio_p_no_room(shardio_array *array, shardio_error *error)
{
    return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "read", array->store.name, "no memory for a chunk");
}

/* Names a chunk of level k by its place in the grid: the chunk that begins at this element. */
static shardio_status shardio_p_chunk_fail(shardio_array *array, shardio_error *error, shardio_status status,
                                           uint32_t k, const uint64_t *origin, const char *reason)
{
    char subject[224];
    shardio_text text = {subject, sizeof subject, 0};
    shardio_text_add(&text, "chunk ");
    for (uint32_t i = 0; i < array->meta.ndim; i++) {
        shardio_text_add(&text, i > 0 ? "," : "");
        shardio_text_add_uint64(&text, origin[i] / array->meta.levels[k].extent[i]);
    }
    shardio_text_add(&text, " of ");
    shardio_text_add(&text, array->prefix);
    shardio_text_add(&text, array->store.name);
    return shardio_p_fail(error, status, "read", subject, reason);
}

/* Bytes of a chunk of level k before its chain of codecs; 0: that depends on what is in it. */
static size_t shardio_p_packed_bytes(const shardio_p_level *level)
{
    return level->packing == SHARDIO_P_PLAIN ? level->bytes : 0;
}

/* Other encoders of a format may make more of the same bytes than ours do. */
static size_t shardio_p_foreign_bound(size_t bound)
{
    return bound + bound / 2 + ((size_t)64 << 10);
}

/* Whether a stored chunk can be of this length, known before anything is allocated or read for it. */
static shardio_status shardio_p_check_stored(shardio_array *array, uint32_t k, const uint64_t *origin, uint64_t size,
                                             shardio_error *error)
{
    const shardio_p_level *level = &array->meta.levels[k];
    const uint64_t limit = shardio_p_max(array->read_memory, array->decoded_limit);
    size_t largest, bound = shardio_p_chain_bound(&level->chain, shardio_p_packed_bytes(level), &largest);
    bool exact = true;   /* crc32c alone always adds as much */
    if (level->packing == SHARDIO_P_PLAIN) {
        for (uint32_t i = 0; i < level->chain.count; i++)
            exact = exact && level->chain.codecs[i] == shardio_codec_crc32c();
        if (!exact && bound < SIZE_MAX / 4) bound = shardio_p_foreign_bound(bound);
        if (size > bound)
            return shardio_p_chunk_fail(array, error, SHARDIO_ERR_CORRUPT, k, origin, "longer than a chunk can be");
        if (exact && size < bound)
            return shardio_p_chunk_fail(array, error, SHARDIO_ERR_CORRUPT, k, origin, "shorter than a chunk has to be");
    } else if (size > limit) {
        return shardio_p_chunk_fail(array, error, SHARDIO_ERR_LIMIT, k, origin, "larger than the option decoded_limit");
    }
    if (size > SIZE_MAX / 4)
        return shardio_p_chunk_fail(array, error, SHARDIO_ERR_LIMIT, k, origin, "no memory holds it");
    return SHARDIO_OK;
}

/* Runs the chain of level k backwards, with `half` bytes for what each codec gives. */
static shardio_status shardio_p_decode_with(shardio_array *array, uint32_t k, const uint64_t *origin,
                                            const uint8_t **data, size_t *size, size_t half, shardio_error *error)
{
    const shardio_codec *failed = NULL;
    const uint64_t most = shardio_p_max(array->read_memory, array->decoded_limit);
    if (half > SIZE_MAX / 8 || (half > most && half / 4 > *size))   /* a small file does not make us take much */
        return shardio_p_chunk_fail(array, error, SHARDIO_ERR_LIMIT, k, origin,
                                    "decoded it would be larger than the option decoded_limit");
    const shardio_p_chain *chain = &array->meta.levels[k].chain;
    if (!shardio_p_widen(array, &array->coded[k], shardio_p_chain_pieces(chain) * half))
        return shardio_p_no_room(array, error);
    shardio_status status = shardio_p_chain_run(chain, false, data, size, array->coded[k].memory,
                                                array->coded[k].size / shardio_p_chain_pieces(chain), &failed);
    if (status == SHARDIO_OK) return SHARDIO_OK;
    return shardio_p_chunk_fail(array, error, status, k, origin, failed->name);
}

/* Undoes the codecs of level k. Where the size is not known before, room is doubled until it is enough. */
static shardio_status shardio_p_decode_chain(shardio_array *array, uint32_t k, const uint64_t *origin,
                                             const uint8_t **data, size_t *size, shardio_error *error)
{
    const shardio_p_level *level = &array->meta.levels[k];
    const uint8_t *encoded = *data;
    size_t encoded_size = *size, half, known = shardio_p_packed_bytes(level);
    shardio_status status;
    if (level->chain.count == 0) return SHARDIO_OK;
    if (known > 0) {
        (void)shardio_p_chain_bound(&level->chain, known, &half);
        if (level->chain.count > 1 && half < SIZE_MAX / 4) half = shardio_p_foreign_bound(half);
        return shardio_p_decode_with(array, k, origin, data, size, half, error);
    }
    for (half = 4 * encoded_size + 4096;; half *= 2) {
        *data = encoded;
        *size = encoded_size;
        status = shardio_p_decode_with(array, k, origin, data, size, half, error);
        if (status != SHARDIO_ERR_LIMIT || half > shardio_p_max(array->read_memory, array->decoded_limit))
            return status;
    }
}

/* Puts the part that the region covers of a box of elements, which begins at `origin`, where it belongs. `from` null: the
   fill value. */
static void shardio_p_scatter(const shardio_p_reading *r, const uint64_t *origin, const uint64_t *extent,
                              const uint8_t *from, const ptrdiff_t *stride)
{
    static const ptrdiff_t still[SHARDIO_MAX_DIMS] = {0};
    const shardio_p_meta *m = &r->array->meta;
    uint64_t count[SHARDIO_MAX_DIMS];
    uint8_t *to = r->to;
    const uint8_t *source = from != NULL ? from : r->fill;
    if (to == NULL) return;
    for (uint32_t i = 0; i < m->ndim; i++) {
        uint64_t first = shardio_p_max(origin[i], r->start[i]);
        count[i] = shardio_p_min(extent[i] - (first - origin[i]), r->count[i] - (first - r->start[i]));
        to += (ptrdiff_t)(first - r->start[i]) * r->stride[i];
        if (from != NULL) source += (ptrdiff_t)(first - origin[i]) * stride[i];
    }
    shardio_p_copy_box(to, r->stride, source, from != NULL ? stride : still, count, m->ndim, m->element,
                       from != NULL ? r->unit : 1, r->past_cache);
}

/* Scatters elements that lie in the order of level k. */
static void shardio_p_scatter_chunk(const shardio_p_reading *r, uint32_t k, const uint64_t *origin,
                                    const uint8_t *elements)
{
    const shardio_p_level *level = &r->array->meta.levels[k];
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    shardio_p_order_strides(&r->array->meta, level->extent, level->order, stride);
    shardio_p_scatter(r, origin, level->extent, elements, stride);
}

/* Finds the elements in a packed chunk whose contents stay where they are. Null: fine; otherwise what is wrong. */
static const char *shardio_p_unpack(const uint8_t *at, size_t left, uint64_t count, bool text, shardio_bytes *elements)
{
    if (left < 4 || shardio_p_load32_little(at) != count) return "another number of elements than a chunk has";
    at += 4;
    left -= 4;
    for (uint64_t i = 0; i < count; i++) {
        size_t size = left < 4 ? 0 : shardio_p_load32_little(at);
        if (left < 4 || size > left - 4) return "an element reaches beyond its end";
        elements[i].data = at + 4;
        elements[i].size = size;
        if (text && !shardio_p_is_text((const char *)at + 4, size)) return "a string that is not UTF-8";
        at += 4 + size;
        left -= 4 + size;
    }
    return left == 0 ? NULL : "bytes behind the last element";
}

/* A chunk of variable-length elements: its bytes go to the pool, where what was read lives on. */
static shardio_status shardio_p_read_variable(const shardio_p_reading *r, uint32_t k, const uint64_t *origin,
                                              const uint8_t *data, size_t size, shardio_error *error)
{
    shardio_array *array = r->array;
    const shardio_p_level *level = &array->meta.levels[k];
    const uint64_t count = level->bytes / sizeof(shardio_bytes);
    if (size / 4 < count)
        return shardio_p_chunk_fail(array, error, SHARDIO_ERR_CORRUPT, k, origin, "shorter than a chunk has to be");
    uint8_t *kept = shardio_p_pool_bytes(array, size);
    if (kept == NULL || !shardio_p_widen(array, &array->packed[k], level->bytes))
        return shardio_p_no_room(array, error);
    memcpy(kept, data, size);
    shardio_bytes *elements = (shardio_bytes *)(void *)array->packed[k].memory;
    const char *wrong = shardio_p_unpack(kept, size, count, array->meta.dtype == SHARDIO_STRING, elements);
    if (wrong != NULL) return shardio_p_chunk_fail(array, error, SHARDIO_ERR_CORRUPT, k, origin, wrong);
    shardio_p_scatter_chunk(r, k, origin, array->packed[k].memory);
    return SHARDIO_OK;
}

static shardio_status shardio_p_read_shard(const shardio_p_reading *r, uint32_t k, shardio_shard_reader *shard,
                                           const uint64_t *origin, shardio_error *error);

/* Reads what the region covers of a shard of level k that is a file of its own, in memory or a part of another one. */
static shardio_status shardio_p_read_inner(const shardio_p_reading *r, uint32_t k, shardio_file file,
                                           const uint64_t *origin, bool device, shardio_error *error)
{
    shardio_shard_reader inner;
    shardio_status status = shardio_shard_open_file(&inner, file, &r->array->meta.levels[k].index, r->array->allocator,
                                                    error);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_read_shard(r, k, &inner, origin, error);
    if (device) r->array->accounting.device_calls += inner.reads;
    shardio_shard_close(&inner);
    return status;
}

/* Decodes the chunk of level k that begins at element `origin`, and puts what the region covers where it belongs. */
static shardio_status shardio_p_decode_chunk(const shardio_p_reading *r, uint32_t k, const uint64_t *origin,
                                             const uint8_t *data, size_t size, shardio_error *error)
{
    const shardio_p_level *level = &r->array->meta.levels[k];
    shardio_memory memory = {(uint8_t *)(uintptr_t)data, size, size, NULL, true};
    shardio_status status = shardio_p_decode_chain(r->array, k, origin, &data, &size, error);
    if (status != SHARDIO_OK) return status;
    if (level->packing == SHARDIO_P_STRINGS) return shardio_p_read_variable(r, k, origin, data, size, error);
    if (level->packing == SHARDIO_P_SHARD) {
        memory.data = (uint8_t *)(uintptr_t)data;
        memory.size = memory.capacity = size;
        return shardio_p_read_inner(r, k, shardio_memory_file(&memory, "a shard inside a shard"), origin, false, error);
    }
    if (size != level->bytes)
        return shardio_p_chunk_fail(r->array, error, SHARDIO_ERR_CORRUPT, k, origin,
                                    size < level->bytes ? "shorter than a chunk has to be"
                                        : "longer than a chunk has to be");
    shardio_p_scatter_chunk(r, k, origin, data);
    return SHARDIO_OK;
}

/* -- shards that are kept open */

static void shardio_p_throw_out(shardio_array *array, shardio_p_kept *kept)
{
    array->accounting.device_calls += kept->reader.reads;
    shardio_shard_close(&kept->reader);
    kept->used = 0;
    if (array->last == kept) array->last = NULL;
}

/* The place for one more shard: an empty one, or that of the shard that was not used longest. More are given up until
   their indexes are within the budget. */
static shardio_p_kept *shardio_p_place_to_keep(shardio_array *array)
{
    const uint64_t one = shardio_index_size(&array->meta.index);
    for (;;) {
        shardio_p_kept *oldest = NULL, *empty = NULL;
        uint64_t held = one;
        for (uint32_t i = 0; i < array->max_open; i++) {
            shardio_p_kept *kept = &array->kept[i];
            if (kept->used == 0) empty = kept;
            else if (oldest == NULL || kept->used < oldest->used) oldest = kept;
            if (kept->used != 0) held += one;
        }
        if (empty != NULL && (held <= array->index_memory || oldest == NULL)) return empty;
        shardio_p_throw_out(array, oldest);
    }
}

static uint64_t shardio_p_shard_number(const shardio_p_meta *m, const uint64_t *position)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < m->ndim; i++) number = number * m->shard_grid[i] + position[i];
    return number;
}

/* The shard with this number if it is kept open; null: it is not. */
static shardio_p_kept *shardio_p_find_kept(shardio_array *array, uint64_t number)
{
    if (array->last != NULL && array->last->shard == number) return array->last;
    for (uint32_t i = 0; i < array->max_open; i++)
        if (array->kept[i].used != 0 && array->kept[i].shard == number) return &array->kept[i];
    return NULL;
}

/* Past the page cache from here on, if the system takes it; the accounting says which. */
static void shardio_p_go_unbuffered(shardio_array *array, shardio_shard_reader *shard)
{
    array->accounting.direct = shardio_shard_read_unbuffered(shard);
    array->accounting.direct_reason = array->accounting.direct ? NULL
                                      : "the file system has no unbuffered I/O, or refused it";
}

/* The reader of a shard, kept open from last time if its file is still the same. SHARDIO_ERR_NOT_FOUND: no such shard. */
static shardio_status shardio_p_get_shard(shardio_array *array, const uint64_t *position, shardio_shard_reader **reader,
                                          shardio_error *error)
{
    uint64_t number = shardio_p_shard_number(&array->meta, position);
    shardio_p_kept *kept = shardio_p_find_kept(array, number);
    shardio_file file;
    int code = 0;
    if (kept != NULL && !array->unchanging && shardio_shard_unchanged(&kept->reader, NULL) != SHARDIO_OK) {
        shardio_p_throw_out(array, kept);
        kept = NULL;
    }
    if (kept == NULL) {
        const char *key = shardio_p_chunk_key(array, position);
        kept = shardio_p_place_to_keep(array);   /* before the file is opened: they are never too many */
        shardio_status status = array->store.functions->open(array->store.context, key, false, array->allocator, &file,
                                                             &code);
        if (status == SHARDIO_ERR_NOT_FOUND) return status;
        if (status != SHARDIO_OK) return shardio_p_key_fail(error, &array->store, status, "open", key, code, NULL);
        status = shardio_shard_open_file(&kept->reader, file, &array->meta.index, array->allocator, error);
        if (status != SHARDIO_OK) return status;
        if (array->unbuffered) shardio_p_go_unbuffered(array, &kept->reader);
        array->accounting.files++;
        kept->shard = number;
    }
    kept->used = ++array->clock;
    array->last = kept;
    *reader = &kept->reader;
    return SHARDIO_OK;
}

/* Reads a file that is one chunk into the room of level 0; *data null: there is none. */
static shardio_status shardio_p_read_chunk_file(shardio_array *array, const uint64_t *position, const uint64_t *origin,
                                                const uint8_t **data, size_t *size, shardio_error *error)
{
    shardio_file_facts facts;
    shardio_file file;
    int code = 0;
    const char *key = shardio_p_chunk_key(array, position);
    *data = NULL;
    shardio_status status = array->store.functions->open(array->store.context, key, false, array->allocator, &file,
                                                         &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
    if (status != SHARDIO_OK) return shardio_p_key_fail(error, &array->store, status, "open", key, code, NULL);
    status = shardio_p_file_facts(&file, &facts, error);
    if (status == SHARDIO_OK) status = shardio_p_check_stored(array, 0, origin, facts.size, error);
    *size = (size_t)facts.size;
    if (status == SHARDIO_OK && !shardio_p_widen(array, &array->buffer, *size + 1))
        status = shardio_p_no_room(array, error);
    if (status == SHARDIO_OK) status = shardio_file_read(&file, 0, array->buffer.memory, *size, error);
    shardio_file_close(&file);
    array->accounting.device_calls++;
    array->accounting.device_bytes += *size;
    array->accounting.files++;
    *data = array->buffer.memory;
    return status;
}

/* -- regions */

/* The boxes of `size` elements that `count` elements from `begin` on lie in: first, and how many. Most reads stay inside
   one, which takes one division. */
static inline void shardio_p_cover(uint64_t begin, uint64_t count, uint64_t size, uint64_t *first, uint64_t *number)
{
    uint64_t q = begin / size, skipped = begin - q * size;
    *first = q;
    *number = count <= size - skipped ? 1 : (skipped + count - 1) / size + 1;
}

/* The chunks of level k + 1, in a chunk of level k that begins at `origin`, that the region covers: first and number of
   them along each dimension. */
static void shardio_p_cover_chunks(const shardio_p_reading *r, uint32_t k, const uint64_t *origin, uint64_t *first,
                                   uint64_t *number)
{
    const shardio_p_meta *m = &r->array->meta;
    for (uint32_t i = 0; i < m->ndim; i++) {
        uint64_t begin = shardio_p_max(origin[i], r->start[i]) - origin[i], size = m->levels[k + 1].extent[i];
        uint64_t covered = shardio_p_min(m->levels[k].extent[i] - begin,
                                         r->count[i] - (origin[i] + begin - r->start[i]));
        shardio_p_cover(begin, covered, size, &first[i], &number[i]);
    }
}

/* The number of the chunk at `at` within a shard of level k, and back. */
static uint64_t shardio_p_number_in_shard(const shardio_p_meta *m, uint32_t k, const uint64_t *at)
{
    const shardio_p_level *level = &m->levels[k];
    uint64_t number = 0;
    for (uint32_t i = 0; i < m->ndim; i++) number = number * level->per[level->order[i]] + at[level->order[i]];
    return number;
}

static void shardio_p_chunk_origin(const shardio_p_meta *m, uint32_t k, const uint64_t *origin, uint64_t number,
                                   uint64_t *chunk)
{
    const shardio_p_level *level = &m->levels[k];
    for (uint32_t i = m->ndim; i-- > 0;) {
        uint32_t d = level->order[i];
        chunk[d] = origin[d] + number % level->per[d] * m->levels[k + 1].extent[d];
        number /= level->per[d];
    }
}

/* A shard of level k that is read. */
typedef struct shardio_p_shard_reading {
    const shardio_p_reading *reading;
    uint32_t level;
    const uint64_t *origin;
} shardio_p_shard_reading;

/* Where the chunk that begins at `origin` goes if the region covers all of it; otherwise null. */
static uint8_t *shardio_p_whole_place(const shardio_p_reading *r, const uint64_t *origin, const uint64_t *extent)
{
    uint8_t *to = r->to;
    for (uint32_t i = 0; i < r->array->meta.ndim; i++) {
        if (origin[i] < r->start[i] || r->count[i] < extent[i] || origin[i] - r->start[i] > r->count[i] - extent[i])
            return NULL;
        to += (ptrdiff_t)(origin[i] - r->start[i]) * r->stride[i];
    }
    return to;
}

/* How many of the chunks of a piece, from the first, lie side by side along the last dimension as they do in the piece,
   are stored as they are, and are covered whole by the region. The first begins at element `chunk`. */
static size_t shardio_p_strip(const shardio_p_shard_reading *s, const shardio_p_extent *extents, size_t count,
                              const uint64_t *chunk)
{
    const shardio_p_meta *m = &s->reading->array->meta;
    const shardio_p_level *level = &m->levels[s->level + 1];
    uint64_t next[SHARDIO_MAX_DIMS], origin[SHARDIO_MAX_DIMS];
    uint32_t last = m->ndim - 1;
    size_t n = 1;
    if (m->ndim == 0 || s->reading->to == NULL) return 1;
    if (level->packing != SHARDIO_P_PLAIN || !level->in_order || level->chain.count > 0) return 1;
    if (extents[0].length != level->bytes || shardio_p_whole_place(s->reading, chunk, level->extent) == NULL) return 1;
    memcpy(next, chunk, m->ndim * sizeof *next);
    for (; n < count; n++) {
        if (extents[n].length != level->bytes || extents[n].offset != extents[0].offset + (uint64_t)n * level->bytes)
            break;
        next[last] += level->extent[last];
        shardio_p_chunk_origin(m, s->level, s->origin, extents[n].chunk, origin);
        if (memcmp(origin, next, m->ndim * sizeof *next) != 0) break;
        if (shardio_p_whole_place(s->reading, next, level->extent) == NULL) break;
    }
    return n;
}

/* Scatters chunks that lie side by side row by row, through all of them, so that the destination is written in order. */
static void shardio_p_scatter_strip(const shardio_p_shard_reading *s, const uint64_t *chunk, size_t count,
                                    const uint8_t *from)
{
    const shardio_p_reading *r = s->reading;
    const shardio_p_meta *m = &r->array->meta;
    const shardio_p_level *level = &m->levels[s->level + 1];
    ptrdiff_t to[SHARDIO_MAX_DIMS + 1], stride[SHARDIO_MAX_DIMS + 1];
    uint64_t extent[SHARDIO_MAX_DIMS + 1];
    uint32_t last = m->ndim - 1;
    shardio_p_order_strides(m, level->extent, NULL, stride);
    memcpy(to, r->stride, m->ndim * sizeof *to);
    memcpy(extent, level->extent, m->ndim * sizeof *extent);
    to[m->ndim] = to[last];
    stride[m->ndim] = stride[last];
    extent[m->ndim] = extent[last];
    to[last] = (ptrdiff_t)extent[last] * to[last];
    stride[last] = (ptrdiff_t)level->bytes;
    extent[last] = count;
    shardio_p_copy_box(shardio_p_whole_place(r, chunk, level->extent), to, from, stride, extent, m->ndim + 1,
                       m->element, r->unit, r->past_cache);
}

static shardio_status shardio_p_take_piece(void *context, const shardio_p_extent *extents, size_t count,
                                           const uint8_t *data, shardio_error *error)
{
    const shardio_p_shard_reading *s = (const shardio_p_shard_reading *)context;
    shardio_array *array = s->reading->array;
    shardio_status status = SHARDIO_OK;
    for (size_t at = 0, n; at < count && status == SHARDIO_OK; at += n) {
        const shardio_p_extent *e = &extents[at];
        uint64_t chunk[SHARDIO_MAX_DIMS];
        shardio_p_chunk_origin(&array->meta, s->level, s->origin, e->chunk, chunk);
        if (e->length == SHARDIO_MISSING) {
            shardio_p_scatter(s->reading, chunk, array->meta.levels[s->level + 1].extent, NULL, NULL);
            return SHARDIO_OK;   /* it comes alone */
        }
        const uint8_t *from = data + (e->offset - extents->offset);
        n = shardio_p_strip(s, e, count - at, chunk);
        array->accounting.device_bytes += n * e->length;
        if (n > 1) shardio_p_scatter_strip(s, chunk, n, from);
        else status = shardio_p_decode_chunk(s->reading, s->level + 1, chunk, from, (size_t)e->length, error);
    }
    return status;
}

/* Memory for reading these chunks: what they take together, within the option, and the largest in any case. */
static shardio_status shardio_p_need_for(const shardio_p_shard_reading *s, const shardio_shard_reader *shard,
                                         const uint64_t *numbers, size_t count, shardio_error *error)
{
    shardio_array *array = s->reading->array;
    uint64_t sum = 0, largest = 0, offset, length, chunk[SHARDIO_MAX_DIMS];
    for (size_t i = 0; i < count; i++) {
        shardio_status status = shardio_shard_locate(shard, numbers[i], &offset, &length, error);
        if (status != SHARDIO_OK) return status;
        if (length == SHARDIO_MISSING) continue;
        shardio_p_chunk_origin(&array->meta, s->level, s->origin, numbers[i], chunk);
        status = shardio_p_check_stored(array, s->level + 1, chunk, length, error);
        if (status != SHARDIO_OK) return status;
        largest = shardio_p_max(largest, length);
        sum = shardio_p_min(sum + length, shard->block > 0 ? array->read_memory
                            : shardio_p_min(array->read_memory, SHARDIO_P_CACHED_READ));
    }
    largest = shardio_p_max(largest, sum) + 2 * (uint64_t)shard->block;
    if (largest > SIZE_MAX / 2)
        return shardio_p_fail(error, SHARDIO_ERR_LIMIT, "read", shard->file.name, "no memory holds a chunk");
    return shardio_p_widen(array, s->level == 0 ? &array->buffer : &array->packed[s->level], (size_t)largest + 1)
           ? SHARDIO_OK : shardio_p_no_room(array, error);
}

/* Chunks that follow each other in the file and in the destination. */
typedef struct shardio_p_run {
    uint64_t offset, size;
    uint8_t *to;
} shardio_p_run;

/* Whether chunks inside this shard lie in the destination as they lie in the file. */
static bool shardio_p_lies_alike(const shardio_p_shard_reading *s, const shardio_shard_reader *shard)
{
    const shardio_p_meta *m = &s->reading->array->meta;
    const shardio_p_level *level = &m->levels[s->level + 1];
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    if (s->reading->to == NULL || s->reading->unit != 1 || shard->block > 0) return false;
    if (level->packing != SHARDIO_P_PLAIN || !level->in_order || level->chain.count > 0) return false;
    shardio_p_order_strides(m, level->extent, NULL, stride);
    for (uint32_t i = 0; i < m->ndim; i++)
        if (stride[i] != s->reading->stride[i] && level->extent[i] > 1) return false;
    return true;
}

static shardio_status shardio_p_read_runs(shardio_array *array, shardio_shard_reader *shard, const shardio_p_run *runs,
                                          size_t count, shardio_error *error)
{
    void (*hint)(void *, shardio_hint, uint64_t, uint64_t) = shard->file.functions->hint;
    shardio_status status = SHARDIO_OK;
    for (size_t i = 1; i < count && hint != NULL; i++)
        if (runs[i - 1].offset + runs[i - 1].size != runs[i].offset)
            hint(shard->file.context, SHARDIO_HINT_WILL_NEED, runs[i].offset,
                 shardio_p_min(runs[i].size, SHARDIO_P_AHEAD / count));
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++) {
        shard->reads++;
        array->accounting.device_bytes += runs[i].size;
        status = shardio_file_read(&shard->file, runs[i].offset, runs[i].to, (size_t)runs[i].size, error);
    }
    return status;
}

/* Reads the chunks that the region covers whole straight to where they belong; the numbers of the others are left. */
static shardio_status shardio_p_read_straight(shardio_p_shard_reading *s, shardio_shard_reader *shard,
                                              uint64_t *numbers, size_t *count, shardio_error *error)
{
    shardio_array *array = s->reading->array;
    const uint64_t *extent = array->meta.levels[s->level + 1].extent;
    shardio_p_run runs[SHARDIO_P_WINDOW];
    uint64_t chunk[SHARDIO_MAX_DIMS], offset, length;
    size_t held = 0, left = 0;
    for (size_t i = 0; i < *count; i++) {
        shardio_p_chunk_origin(&array->meta, s->level, s->origin, numbers[i], chunk);
        uint8_t *to = shardio_p_whole_place(s->reading, chunk, extent);
        shardio_status status = shardio_shard_locate(shard, numbers[i], &offset, &length, error);
        if (status == SHARDIO_OK && length != SHARDIO_MISSING)
            status = shardio_p_check_stored(array, s->level + 1, chunk, length, error);
        if (status != SHARDIO_OK) return status;
        shardio_p_run *last = held > 0 ? &runs[held - 1] : NULL;
        if (to == NULL || length == SHARDIO_MISSING) {
            numbers[left++] = numbers[i];
        } else if (last != NULL && last->offset + last->size == offset && last->to + last->size == to) {
            last->size += length;
        } else {
            runs[held].offset = offset;
            runs[held].size = length;
            runs[held++].to = to;
        }
    }
    *count = left;
    return shardio_p_read_runs(array, shard, runs, held, error);
}

/* Reads these chunks, each with one read at most. */
static shardio_status shardio_p_read_chunks(shardio_p_shard_reading *s, shardio_shard_reader *shard, uint64_t *numbers,
                                            size_t count, shardio_error *error)
{
    shardio_array *array = s->reading->array;
    shardio_p_room *room = s->level == 0 ? &array->buffer : &array->packed[s->level];
    shardio_status status = SHARDIO_OK;
    if (shardio_p_lies_alike(s, shard)) status = shardio_p_read_straight(s, shard, numbers, &count, error);
    if (status == SHARDIO_OK && count > 0) status = shardio_p_need_for(s, shard, numbers, count, error);
    if (status != SHARDIO_OK || count == 0) return status;
    bool direct = shard->block > 0;
    status = shardio_p_read_pieces(shard, numbers, count, room->memory, room->size, shardio_p_take_piece, s, error);
    if (direct && shard->block == 0) {
        array->accounting.direct = false;
        array->accounting.direct_reason = "the file system refused an unbuffered read";
    }
    return status;
}

/* A chunk that is a shard itself and is stored as it is: only what the region covers of it is read. */
static shardio_status shardio_p_read_nested(shardio_p_shard_reading *s, shardio_shard_reader *shard, uint64_t number,
                                            shardio_error *error)
{
    const shardio_p_meta *m = &s->reading->array->meta;
    uint64_t offset, length, chunk[SHARDIO_MAX_DIMS];
    shardio_p_window_file window;
    shardio_status status = shardio_shard_locate(shard, number, &offset, &length, error);
    if (status != SHARDIO_OK) return status;
    shardio_p_chunk_origin(m, s->level, s->origin, number, chunk);
    if (length == SHARDIO_MISSING) {
        shardio_p_scatter(s->reading, chunk, m->levels[s->level + 1].extent, NULL, NULL);
        return SHARDIO_OK;
    }
    return shardio_p_read_inner(s->reading, s->level + 1, shardio_p_file_window(&window, &shard->file, offset, length),
                                chunk, true, error);
}

/* The usual random access, one whole chunk that lies alike: one look at the index, one read. False: it is not that. */
static bool shardio_p_read_one(shardio_p_shard_reading *s, shardio_shard_reader *shard, const uint64_t *at,
                               shardio_status *status, shardio_error *error)
{
    shardio_array *array = s->reading->array;
    const uint64_t *extent = array->meta.levels[s->level + 1].extent;
    uint64_t chunk[SHARDIO_MAX_DIMS];
    shardio_p_run run;
    chunk[0] = 0;   /* there may be no dimension */
    if (!shardio_p_lies_alike(s, shard)) return false;
    for (uint32_t i = 0; i < array->meta.ndim; i++) chunk[i] = s->origin[i] + at[i] * extent[i];
    run.to = shardio_p_whole_place(s->reading, chunk, extent);
    if (run.to == NULL) return false;
    *status = shardio_shard_locate(shard, shardio_p_number_in_shard(&array->meta, s->level, at), &run.offset, &run.size, error);
    if (*status == SHARDIO_OK && run.size == SHARDIO_MISSING) return false;
    if (*status == SHARDIO_OK) *status = shardio_p_check_stored(array, s->level + 1, chunk, run.size, error);
    if (*status == SHARDIO_OK) *status = shardio_p_read_runs(array, shard, &run, 1, error);
    return true;
}

/* Reads what the region covers of a shard of level k that begins at `origin`, in windows of chunks. */
static shardio_status shardio_p_read_shard(const shardio_p_reading *r, uint32_t k, shardio_shard_reader *shard,
                                           const uint64_t *origin, shardio_error *error)
{
    const shardio_p_meta *m = &r->array->meta;
    const shardio_p_level *inside = &m->levels[k + 1];
    bool nested = inside->packing == SHARDIO_P_SHARD && inside->chain.count == 0 && shard->block == 0, more;
    uint64_t first[SHARDIO_MAX_DIMS], number[SHARDIO_MAX_DIMS], at[SHARDIO_MAX_DIMS], window[SHARDIO_P_WINDOW];
    shardio_p_shard_reading s = {r, k, origin};
    shardio_status status = SHARDIO_OK;
    size_t held = 0;
    shardio_p_cover_chunks(r, k, origin, first, number);
    more = false;
    for (uint32_t i = 0; i < m->ndim; i++) {
        at[i] = first[i];
        more = more || number[i] > 1;
    }
    if (!more && shardio_p_read_one(&s, shard, at, &status, error)) return status;
    do {
        window[held++] = shardio_p_number_in_shard(m, k, at);
        more = shardio_p_next_in_order(at, first, number, m->levels[k].order, m->ndim);
        if (nested) status = shardio_p_read_nested(&s, shard, window[0], error);
        else if (!more || held == SHARDIO_P_WINDOW) status = shardio_p_read_chunks(&s, shard, window, held, error);
        else continue;
        held = 0;
    } while (status == SHARDIO_OK && more);
    return status;
}

/* The part of the region that one shard, or one chunk that is a file, covers. */
static shardio_status shardio_p_read_part(const shardio_p_reading *r, const uint64_t *position, shardio_error *error)
{
    shardio_array *array = r->array;
    const shardio_p_meta *m = &array->meta;
    uint64_t origin[SHARDIO_MAX_DIMS];
    const uint8_t *data = NULL;
    size_t size;
    shardio_shard_reader *shard = NULL;
    shardio_status status;
    for (uint32_t i = 0; i < m->ndim; i++) origin[i] = position[i] * m->shard[i];
    if (m->sharded) {
        status = shardio_p_get_shard(array, position, &shard, error);
        if (status == SHARDIO_OK) return shardio_p_read_shard(r, 0, shard, origin, error);
        if (status != SHARDIO_ERR_NOT_FOUND) return status;
    } else {
        status = shardio_p_read_chunk_file(array, position, origin, &data, &size, error);
        if (status != SHARDIO_OK) return status;
        if (data != NULL) return shardio_p_decode_chunk(r, 0, origin, data, size, error);
    }
    shardio_p_scatter(r, origin, m->shard, NULL, NULL);
    return SHARDIO_OK;
}

static shardio_status shardio_p_reader_enter(shardio_array *array, const char *operation, shardio_error *error)
{
    shardio_p_no_error(error);
    if (array == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, operation, NULL, "no array");
    if (array->mode == SHARDIO_P_READING) return SHARDIO_OK;
    if (array->error.status != SHARDIO_OK) {
        if (error != NULL) *error = array->error;
        return array->error.status;
    }
    return shardio_p_fail(error, SHARDIO_ERR_STATE, operation, array->store.name,
                          "it is being written; open it a second time to read");
}

/* Whether a region lies inside the shape; *empty: it has no elements. */
static shardio_status shardio_p_check_region(const shardio_array *array, const char *operation, const uint64_t *start,
                                             const uint64_t *count, bool *empty, shardio_error *error)
{
    const shardio_p_meta *m = &array->meta;
    *empty = false;
    if (m->ndim > 0 && (start == NULL || count == NULL))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, operation, array->store.name,
                              "a region has a start and a count");
    for (uint32_t i = 0; i < m->ndim; i++) {
        if (start[i] > m->shape[i] || count[i] > m->shape[i] - start[i])
            return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, operation, array->store.name,
                                  "the region is not inside the shape");
        *empty = *empty || count[i] == 0;
    }
    return SHARDIO_OK;
}

/* The strides of a region in C order without gaps. False: it is larger than `size` bytes. */
static bool shardio_p_packed_strides(const shardio_p_meta *m, const uint64_t *count, size_t size, ptrdiff_t *stride)
{
    uint64_t bytes = m->element;
    for (uint32_t i = m->ndim; i-- > 0;) {
        stride[i] = (ptrdiff_t)bytes;
        bytes = shardio_p_bounded_multiply(bytes, count[i]);
        if (bytes > size) return false;
    }
    return bytes <= size;
}

/* Shards, or chunks that are files, that a region covers: the first and how many along each dimension. */
static void shardio_p_cover_keys(const shardio_p_meta *m, const uint64_t *start, const uint64_t *count, uint64_t *first,
                                 uint64_t *number)
{
    for (uint32_t i = 0; i < m->ndim; i++) shardio_p_cover(start[i], count[i], m->shard[i], &first[i], &number[i]);
}

static shardio_status shardio_p_read_region(const shardio_p_reading *r, shardio_error *error)
{
    const shardio_p_meta *m = &r->array->meta;
    uint64_t first[SHARDIO_MAX_DIMS], number[SHARDIO_MAX_DIMS], position[SHARDIO_MAX_DIMS];
    shardio_status status;
    shardio_p_cover_keys(m, r->start, r->count, first, number);
    for (uint32_t i = 0; i < m->ndim; i++) position[i] = first[i];
    do status = shardio_p_read_part(r, position, error);
    while (status == SHARDIO_OK && shardio_p_next_in_box(position, first, number, m->ndim));
    return status;
}

/* What is read for a caller: in the machine's byte order. */
static shardio_p_reading shardio_p_reading_of(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                              uint8_t *to, const ptrdiff_t *stride)
{
    shardio_p_reading r = {array, start, count, to, stride, array->meta.fill, array->meta.unit,
                           count != NULL && shardio_p_product(count, 0,
                                                              array->meta.ndim) > SHARDIO_P_BEYOND_CACHE / array->meta.element};
    return r;
}

/* Reads a region that was checked. */
static shardio_status shardio_p_read_checked(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                             void *elements, const ptrdiff_t *stride, shardio_error *error)
{
    shardio_p_free_pool(array);   /* contents of the last read */
    shardio_p_reading r = shardio_p_reading_of(array, start, count, (uint8_t *)elements, stride);
    return shardio_p_read_region(&r, error);
}

SHARDIO_API shardio_status shardio_array_read_strided(shardio_array *array, const uint64_t *start,
                                                      const uint64_t *count,
                                                      void *elements, const ptrdiff_t *strides, shardio_error *error)
{
    bool empty;
    shardio_status status = shardio_p_reader_enter(array, "read", error);
    if (status == SHARDIO_OK) status = shardio_p_check_region(array, "read", start, count, &empty, error);
    if (status != SHARDIO_OK || empty) return status;
    if (elements == NULL || (strides == NULL && array->meta.ndim > 0))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read", array->store.name,
                              "no memory for the region, or no strides");
    return shardio_p_read_checked(array, start, count, elements, strides, error);
}

SHARDIO_API shardio_status shardio_array_read(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                              void *elements, size_t size, shardio_error *error)
{
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    bool empty;
    shardio_status status = shardio_p_reader_enter(array, "read", error);
    if (status == SHARDIO_OK) status = shardio_p_check_region(array, "read", start, count, &empty, error);
    if (status != SHARDIO_OK || empty) return status;
    if (elements == NULL || !shardio_p_packed_strides(&array->meta, count, size, stride))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read", array->store.name,
                              "the region is larger than the memory for it");
    return shardio_p_read_checked(array, start, count, elements, stride, error);
}

/* -- going on where an array ends */

/* What this array holds of a box of chunks comes back into the batch, as it is held for the file. */
static shardio_status shardio_p_load_box(shardio_array *array, const shardio_p_box *box)
{
    const shardio_p_meta *m = &array->meta;
    uint8_t *to = array->rows + shardio_p_place_of_chunk(array, box->first);
    uint64_t index[SHARDIO_MAX_DIMS], start[SHARDIO_MAX_DIMS];
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    shardio_p_reading r = {array, start, m->chunk, to, stride, m->stored_fill, 1, false};
    shardio_status status = SHARDIO_OK;
    shardio_p_order_strides(m, m->chunk, NULL, stride);
    memcpy(index, box->first, sizeof index);
    do {
        for (uint32_t i = 0; i < m->ndim; i++) start[i] = index[i] * m->chunk[i];
        status = shardio_p_read_part(&r, box->shard, &array->error);
        r.to += m->chunk_bytes;
    } while (status == SHARDIO_OK && shardio_p_next_in_box(index, box->first, box->count, m->ndim));
    return status;
}

/* Chunks along the last frames that are not full come back to be completed. What that took is given back, but the
   contents of variable-length elements. */
static shardio_status shardio_p_load_begun(shardio_array *array)
{
    shardio_accounting before = array->accounting;
    shardio_p_kept kept;
    memset(&kept, 0, sizeof kept);
    uint32_t max_open = array->max_open;
    array->kept = &kept;
    array->max_open = 1;
    shardio_status status = shardio_p_each_box(array, 0, 1, shardio_p_load_box);
    if (kept.used != 0) shardio_p_throw_out(array, &kept);
    array->kept = NULL;
    array->last = NULL;
    array->max_open = max_open;
    array->accounting = before;
    shardio_p_free_room(array, &array->buffer);
    return status;
}

static shardio_status shardio_p_resume(shardio_array *array)
{
    shardio_p_meta *m = &array->meta;
    uint64_t frames = m->shape[0];
    for (uint32_t i = 1; i < m->ndim; i++)
        if (m->shape[i] == 0)
            return shardio_p_array_fail(array, SHARDIO_ERR_UNSUPPORTED, "append to", array->prefix, 0,
                                        "its frames hold no elements");
    m->grid[0] = m->shard_grid[0] = UINT64_MAX;   /* it grows */
    array->at[0] = frames / m->chunk[0];
    array->resuming = true;
    array->published = array->groups_written = true;
    shardio_p_begin_writing(array);
    array->total = array->published_total = frames * array->frame;
    array->filled = array->saved = frames % m->chunk[0] * array->frame;
    return array->filled > 0 ? shardio_p_load_begun(array) : SHARDIO_OK;
}

SHARDIO_API shardio_array *shardio_array_continue_in(const shardio_store *store, const shardio_array_options *options)
{
    shardio_array_options o = shardio_p_options_or_defaults(options);
    shardio_array draft, *array = NULL;
    shardio_error error;
    char *text;
    size_t size;
    if (shardio_p_begin_draft(&draft, store, &o, &text, &size, &error) == SHARDIO_OK) {
        if (draft.meta.ndim == 0)
            shardio_p_fail(&error, SHARDIO_ERR_UNSUPPORTED, "append to", store->name,
                           "it has no dimension to grow along");
        draft.meta.grid[0] = draft.meta.shard_grid[0] = UINT64_MAX;
        if (error.status == SHARDIO_OK) array = shardio_p_plan_and_place(&draft, store, &o, size - 1, &error);
        if (array != NULL) shardio_p_adopt_text(array, text, size - 1);
        shardio_p_release(draft.allocator, text, size, 16);
    }
    if (array == NULL) return shardio_p_broken_array(&error, o.allocator);
    if (shardio_p_begin_codecs(array, &array->error) != SHARDIO_OK) return array;
    if (!o.statistics || shardio_p_begin_statistics(array, true, &array->error) == SHARDIO_OK)
        (void)shardio_p_resume(array);
    return array;
}

/* -- every shard there is */

typedef struct shardio_p_walk {
    shardio_array *array;
    shardio_shard_visitor visit;
    void *context;
    shardio_finding finding;      /* of keys that are no chunks; may be null */
    void *finding_context;
    uint64_t faults;
    shardio_status status;
    shardio_error *error;
} shardio_p_walk;

static void shardio_p_walk_finding(shardio_p_walk *walk, const char *key, const char *reason)
{
    shardio_error fault;
    shardio_p_key_fail(&fault, &walk->array->store, SHARDIO_ERR_CORRUPT, "verify", key, 0, reason);
    walk->faults++;
    if (walk->finding != NULL) walk->finding(walk->finding_context, &fault);
}

static bool shardio_p_visit_key(shardio_p_walk *walk, const char *key, const uint64_t *position, uint64_t size)
{
    shardio_array *array = walk->array;
    shardio_shard_reader reader;
    shardio_error fault;
    shardio_file file;
    int code = 0;
    if (!array->meta.sharded) {
        walk->status = walk->visit(walk->context, key, position, size, NULL, NULL);
        return walk->status == SHARDIO_OK;
    }
    shardio_status status = array->store.functions->open(array->store.context, key, false, array->allocator, &file,
                                                         &code);
    if (status != SHARDIO_OK) shardio_p_key_fail(&fault, &array->store, status, "open", key, code, NULL);
    else status = shardio_shard_open_file(&reader, file, &array->meta.index, array->allocator, &fault);
    if (status != SHARDIO_OK) {
        walk->status = walk->visit(walk->context, key, position, size, NULL, &fault);
    } else {
        walk->status = walk->visit(walk->context, key, position, size, &reader, NULL);
        shardio_shard_close(&reader);
    }
    return walk->status == SHARDIO_OK;
}

static bool shardio_p_walk_key(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_walk *walk = (shardio_p_walk *)context;
    shardio_array *array = walk->array;
    uint64_t position[SHARDIO_MAX_DIMS];
    if (temporary) {
        shardio_p_walk_finding(walk, key, "left behind by a writer that was lost");
        return true;
    }
    if (!shardio_p_parse_key(array, key, position)) {
        if (!shardio_p_same(key, shardio_p_named_key(array, "zarr.json")) &&
            !shardio_p_same(key, shardio_p_named_key(array, SHARDIO_P_STATISTICS_KEY)))
            shardio_p_walk_finding(walk, key, "no part of the array");
        return true;
    }
    for (uint32_t i = 0; i < array->meta.ndim; i++) {
        if (position[i] < array->meta.shard_grid[i]) continue;
        shardio_p_walk_finding(walk, key, "outside the shape of the array");
        return true;
    }
    return shardio_p_visit_key(walk, key, position, size);
}

static shardio_status shardio_p_walk_all(shardio_p_walk *walk)
{
    const shardio_store *s = &walk->array->store;
    int code = 0;
    shardio_status status = s->functions->list(s->context, walk->array->prefix, shardio_p_walk_key, walk, &code);
    if (walk->status != SHARDIO_OK) return walk->status;
    if (status == SHARDIO_OK) return SHARDIO_OK;
    return shardio_p_key_fail(walk->error, s, status, "list", walk->array->prefix, code, NULL);
}

SHARDIO_API shardio_status shardio_array_each_shard(shardio_array *array, shardio_shard_visitor visit, void *context,
                                                    shardio_error *error)
{
    shardio_status status = shardio_p_reader_enter(array, "walk", error);
    shardio_p_walk walk = {array, visit, context, NULL, NULL, 0, SHARDIO_OK, error};
    return status == SHARDIO_OK ? shardio_p_walk_all(&walk) : status;
}

/* -- verifying */

typedef struct shardio_p_verification {
    shardio_p_walk *walk;
    shardio_progress progress;
    void *progress_context;
    uint64_t done, total;
} shardio_p_verification;

static void shardio_p_verify_found(void *context, const shardio_error *fault)
{
    shardio_p_walk *walk = ((shardio_p_verification *)context)->walk;
    walk->faults++;
    if (walk->finding != NULL) walk->finding(walk->finding_context, fault);
}

/* Checks every chunk of a shard by decoding it, those without codecs by their length; a fault is a finding, not the end. */
static void shardio_p_verify_chunks(shardio_p_verification *v, shardio_shard_reader *reader, const uint64_t *origin)
{
    shardio_array *array = v->walk->array;
    shardio_p_reading r = shardio_p_reading_of(array, origin, array->meta.shard, NULL, NULL);
    shardio_p_shard_reading s = {&r, 0, origin};
    const shardio_p_level *inside = &array->meta.levels[1];
    uint64_t offset, length, chunk[SHARDIO_MAX_DIMS];
    shardio_error fault;
    for (uint64_t number = 0; number < array->meta.index.chunks; number++) {
        shardio_status status;
        if (shardio_shard_locate(reader, number, &offset, &length, NULL) != SHARDIO_OK || length == SHARDIO_MISSING)
            continue;
        shardio_p_chunk_origin(&array->meta, 0, origin, number, chunk);
        r.start = chunk;
        r.count = inside->extent;
        if (inside->packing == SHARDIO_P_SHARD && inside->chain.count == 0)
            status = shardio_p_read_nested(&s, reader, number, &fault);
        else if (shardio_p_stored_as_is(&array->meta)) status = shardio_p_check_stored(array, 1, chunk, length, &fault);
        else status = shardio_p_read_chunks(&s, reader, &number, 1, &fault);
        if (status != SHARDIO_OK) shardio_p_verify_found(v, &fault);
        shardio_p_free_pool(array);
    }
}

static void shardio_p_verify_chunk_file(shardio_p_verification *v, const uint64_t *position, const uint64_t *origin)
{
    shardio_array *array = v->walk->array;
    shardio_p_reading r = shardio_p_reading_of(array, origin, array->meta.shard, NULL, NULL);
    const uint8_t *data;
    size_t size;
    shardio_error fault;
    shardio_status status = shardio_p_read_chunk_file(array, position, origin, &data, &size, &fault);
    if (status == SHARDIO_OK && data != NULL) status = shardio_p_decode_chunk(&r, 0, origin, data, size, &fault);
    if (status != SHARDIO_OK) shardio_p_verify_found(v, &fault);
    shardio_p_free_pool(array);
}

static shardio_status shardio_p_verify_shard(void *context, const char *key, const uint64_t *position, uint64_t size,
                                             shardio_shard_reader *reader, const shardio_error *fault)
{
    shardio_p_verification *v = (shardio_p_verification *)context;
    uint64_t origin[SHARDIO_MAX_DIMS];
    for (uint32_t i = 0; i < v->walk->array->meta.ndim; i++) origin[i] = position[i] * v->walk->array->meta.shard[i];
    if (fault != NULL) shardio_p_verify_found(v, fault);
    else if (reader == NULL) shardio_p_verify_chunk_file(v, position, origin);
    else {
        shardio_status status = shardio_shard_verify(reader, NULL, shardio_p_verify_found, v, v->walk->error);
        if (status != SHARDIO_OK && status != SHARDIO_ERR_CORRUPT) return status;
        shardio_p_verify_chunks(v, reader, origin);
    }
    v->done += size;
    if (v->progress == NULL || v->progress(v->progress_context, v->done, v->total) == 0) return SHARDIO_OK;
    return shardio_p_key_fail(v->walk->error, &v->walk->array->store, SHARDIO_ERR_CANCELLED, "verify", key, 0, NULL);
}

static bool shardio_p_add_size(void *context, const char *key, uint64_t size, bool temporary)
{
    (void)key;
    if (!temporary) *(uint64_t *)context += size;
    return true;
}

SHARDIO_API shardio_status shardio_array_verify(shardio_array *array, shardio_finding finding, void *context,
                                                shardio_progress progress, void *progress_context, shardio_error *error)
{
    shardio_p_verification v;
    shardio_p_walk walk = {array, shardio_p_verify_shard, &v, finding, context, 0, SHARDIO_OK, error};
    int code = 0;
    shardio_status status = shardio_p_reader_enter(array, "verify", error);
    if (status != SHARDIO_OK) return status;
    memset(&v, 0, sizeof v);
    v.walk = &walk;
    v.progress = progress;
    v.progress_context = progress_context;
    if (progress != NULL)
        (void)array->store.functions->list(array->store.context, array->prefix, shardio_p_add_size, &v.total, &code);
    status = shardio_p_walk_all(&walk);
    if (status != SHARDIO_OK || walk.faults == 0) return status;
    return shardio_p_fail(error, SHARDIO_ERR_CORRUPT, "verify", array->store.name, "it has faults");
}

/* -- changing what is there */

/* A change that is under way: a region gets other elements, or what lies outside the shape goes. */
typedef struct shardio_p_change {
    shardio_array *array;
    const uint64_t *start, *count;       /* the region */
    const uint8_t *from;                 /* null: the fill value */
    const ptrdiff_t *stride;             /* of what is at `from`, bytes */
    bool trim, keep_edge;                /* the shape became smaller */
    /* the shard of the moment */
    shardio_shard_reader *old;           /* null: there is none yet */
    shardio_shard_writer writer;
    bool begun;
    uint64_t origin[SHARDIO_MAX_DIMS];   /* its first element */
} shardio_p_change;

/* Whether the region covers all of a chunk that lies inside the shape. */
static bool shardio_p_covers(const shardio_p_change *c, const uint64_t *origin)
{
    const shardio_p_meta *m = &c->array->meta;
    for (uint32_t i = 0; i < m->ndim; i++) {
        uint64_t inside = shardio_p_min(m->chunk[i], m->shape[i] - origin[i]);
        if (c->start[i] > origin[i] || c->count[i] - (origin[i] - c->start[i]) < inside) return false;
    }
    return true;
}

static bool shardio_p_reaches_out(const shardio_p_meta *m, const uint64_t *origin)
{
    for (uint32_t i = 0; i < m->ndim; i++)
        if (m->shape[i] - origin[i] < m->chunk[i]) return true;
    return false;
}

/* The chunk as it is, or the fill value, comes into `whole`. */
static shardio_status shardio_p_load_chunk(shardio_p_change *c, const uint64_t *position, const uint64_t *origin)
{
    shardio_array *array = c->array;
    const shardio_p_meta *m = &array->meta;
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    const uint8_t *data = NULL;
    size_t size;
    shardio_p_reading r = {array, origin, m->chunk, array->whole.memory, stride, m->stored_fill, 1, false};
    shardio_p_order_strides(m, m->chunk, NULL, stride);
    shardio_p_fill(array->whole.memory, m->chunk_bytes, m->stored_fill, m->element);
    if (m->sharded) return c->old != NULL ? shardio_p_read_shard(&r, 0, c->old, c->origin, &array->error) : SHARDIO_OK;
    shardio_status status = shardio_p_read_chunk_file(array, position, origin, &data, &size, &array->error);
    if (status != SHARDIO_OK || data == NULL) return status;
    return shardio_p_decode_chunk(&r, 0, origin, data, size, &array->error);
}

/* The elements of the region go into the chunk. */
static void shardio_p_overlay(const shardio_p_change *c, const uint64_t *origin)
{
    static const ptrdiff_t still[SHARDIO_MAX_DIMS] = {0};
    const shardio_p_meta *m = &c->array->meta;
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    uint64_t count[SHARDIO_MAX_DIMS];
    uint8_t *to = c->array->whole.memory;
    const uint8_t *from = c->from != NULL ? c->from : m->stored_fill;
    shardio_p_order_strides(m, m->chunk, NULL, stride);
    for (uint32_t i = 0; i < m->ndim; i++) {
        uint64_t first = shardio_p_max(origin[i], c->start[i]);
        count[i] = shardio_p_min(m->chunk[i] - (first - origin[i]), c->count[i] - (first - c->start[i]));
        to += (ptrdiff_t)(first - origin[i]) * stride[i];
        if (c->from != NULL) from += (ptrdiff_t)(first - c->start[i]) * c->stride[i];
    }
    shardio_p_copy_box(to, stride, from, c->from != NULL ? c->stride : still, count, m->ndim, m->element,
                       c->from != NULL ? m->unit : 1, false);
}

/* What lies outside the shape becomes the fill value. */
static void shardio_p_clear_outside(const shardio_p_change *c, const uint64_t *origin)
{
    static const ptrdiff_t still[SHARDIO_MAX_DIMS] = {0};
    const shardio_p_meta *m = &c->array->meta;
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    uint64_t count[SHARDIO_MAX_DIMS];
    shardio_p_order_strides(m, m->chunk, NULL, stride);
    for (uint32_t i = 0; i < m->ndim; i++) {
        uint64_t inside = m->shape[i] - origin[i];
        if (inside >= m->chunk[i]) continue;
        memcpy(count, m->chunk, sizeof count);
        count[i] = m->chunk[i] - inside;
        shardio_p_copy_box(c->array->whole.memory + (ptrdiff_t)inside * stride[i], stride, m->stored_fill, still, count,
                           m->ndim, m->element, 1, false);
    }
}

/* Puts the chunk that begins at `origin` together in `whole`, as it shall be. */
static shardio_status shardio_p_change_chunk(shardio_p_change *c, const uint64_t *position, const uint64_t *origin)
{
    shardio_array *array = c->array;
    const shardio_p_meta *m = &array->meta;
    shardio_status status = SHARDIO_OK;
    if (!shardio_p_widen(array, &array->whole, m->chunk_bytes))
        return shardio_p_array_fail(array, SHARDIO_ERR_MEMORY, "write", array->prefix, 0, "no memory for a chunk");
    if (c->trim || !shardio_p_covers(c, origin)) status = shardio_p_load_chunk(c, position, origin);
    else if (shardio_p_reaches_out(m, origin))
        shardio_p_fill(array->whole.memory, m->chunk_bytes, m->stored_fill, m->element);
    if (status != SHARDIO_OK) return status;
    if (c->trim) shardio_p_clear_outside(c, origin);
    else shardio_p_overlay(c, origin);
    return SHARDIO_OK;
}

/* What a change does to a chunk of the shard, of those that it looks at. */
typedef enum shardio_p_deed { SHARDIO_P_LEAVE, SHARDIO_P_DROP, SHARDIO_P_PUT } shardio_p_deed;

static shardio_p_deed shardio_p_deed_at(const shardio_p_change *c, const uint64_t *at)
{
    const shardio_p_meta *m = &c->array->meta;
    bool edge = false;
    for (uint32_t i = 0; i < m->ndim; i++) {
        uint64_t origin = c->origin[i] + at[i] * m->chunk[i];
        if (origin >= m->shape[i]) return SHARDIO_P_DROP;
        edge = edge || m->shape[i] - origin < m->chunk[i];
    }
    return !c->trim || (edge && !c->keep_edge) ? SHARDIO_P_PUT : SHARDIO_P_LEAVE;
}

/* Whether appending the chunks of this box would leave too much of the file dead. */
static bool shardio_p_too_dead(const shardio_p_change *c, const uint64_t *first, const uint64_t *number)
{
    const shardio_array *array = c->array;
    const shardio_p_meta *m = &array->meta;
    uint64_t at[SHARDIO_MAX_DIMS], offset, length, replaced = 0, added = 0;
    /* of a chunk that is new */
    size_t largest, usual = shardio_p_chain_bound(&m->levels[1].chain, m->chunk_bytes, &largest);
    const uint64_t size = c->old->facts.size, live = shardio_p_live_bytes(&m->index,
                                                                          c->old->index), index = c->old->index_size;
    if (array->dead_percent >= 100) return false;
    memcpy(at, first, sizeof at);
    do {
        shardio_p_deed deed = shardio_p_deed_at(c, at);
        if (deed == SHARDIO_P_LEAVE) continue;
        shardio_index_get(&m->index, c->old->index, shardio_p_number_in_shard(m, 0, at), &offset, &length);
        if (length != SHARDIO_MISSING) replaced += shardio_p_min(length, size);
        if (deed == SHARDIO_P_PUT && !(c->trim && length == SHARDIO_MISSING))
            added += length != SHARDIO_MISSING ? shardio_p_min(length, size) : usual;
    } while (shardio_p_next_in_order(at, first, number, m->levels[0].order, m->ndim));
    uint64_t dead = (size > live ? size - live : 0) + replaced, after = size + added + index;
    return dead > after / 100 * array->dead_percent + after % 100 * array->dead_percent / 100;
}

/* Begins to write the shard at `position`: behind its end, anew, or a new one. */
static shardio_status shardio_p_begin_shard_change(shardio_p_change *c, const uint64_t *position, bool rewrite)
{
    shardio_array *array = c->array;
    const shardio_store *s = &array->store;
    const shardio_index_layout *layout = &array->meta.index;
    shardio_slot_options o = shardio_p_flight_options(array);
    shardio_file file;
    int code = 0;
    bool append = c->old != NULL && !rewrite;
    size_t index = shardio_shard_memory(layout, SHARDIO_P_DEFAULT_BLOCK);
    if (!shardio_p_widen(array, &array->index_room, index))
        return shardio_p_array_fail(array, SHARDIO_ERR_MEMORY, "write", array->prefix, 0,
                                    "no memory for the index of a shard");
    shardio_p_statistics_begin(array, position);
    const char *key = shardio_p_chunk_key(array, position);
    shardio_status status = append ? s->functions->open(s->context, key, true, array->allocator, &file, &code)
                                   : s->functions->create(s->context, key, true, shardio_p_most_of_shard(&array->meta),
                                                          array->allocator, &file, &code);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "open for writing", key, code, NULL);
    c->begun = true;
    if (c->old == NULL)
        status = shardio_shard_begin(&c->writer, file, layout, array->index_room.memory, array->index_room.size,
                                     array->staging, array->plan.buffer, &o);
    else
        status = shardio_shard_begin_update(&c->writer, file, rewrite ? c->old : NULL, layout, array->index_room.memory,
                                            array->index_room.size, array->staging, array->plan.buffer, &o);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_array_inherit(array, &c->writer.slot.error);
}

static bool shardio_p_old_has(const shardio_p_change *c, uint64_t number)
{
    uint64_t offset, length;
    if (c->old == NULL) return false;
    shardio_index_get(&c->array->meta.index, c->old->index, number, &offset, &length);
    return offset != SHARDIO_MISSING || length != SHARDIO_MISSING;
}

/* Changes one chunk of the shard: puts it, drops it, or leaves it. */
static shardio_status shardio_p_change_in_shard(shardio_p_change *c, const uint64_t *position, const uint64_t *at,
                                                bool rewrite)
{
    shardio_array *array = c->array;
    const shardio_p_meta *m = &array->meta;
    uint64_t origin[SHARDIO_MAX_DIMS], index[SHARDIO_MAX_DIMS], number = shardio_p_number_in_shard(m, 0, at);
    const uint8_t *data;
    size_t size;
    shardio_status status = SHARDIO_OK;
    shardio_p_deed deed = shardio_p_deed_at(c, at);
    if (deed == SHARDIO_P_LEAVE || (c->trim && !shardio_p_old_has(c, number))) return SHARDIO_OK;
    for (uint32_t i = 0; i < m->ndim; i++) {
        origin[i] = c->origin[i] + at[i] * m->chunk[i];
        index[i] = origin[i] / m->chunk[i];
    }
    if (deed == SHARDIO_P_PUT) status = shardio_p_change_chunk(c, position, origin);
    if (status != SHARDIO_OK) return status;
    bool drop = deed == SHARDIO_P_DROP || shardio_p_leave_out(array, array->whole.memory);
    if (drop && !shardio_p_old_has(c, number)) return SHARDIO_OK;
    if (!c->begun) status = shardio_p_begin_shard_change(c, position, rewrite);
    if (status != SHARDIO_OK) return status;
    shardio_p_statistics_note(array, index, drop ? NULL : array->whole.memory);
    if (drop) {
        status = shardio_shard_drop(&c->writer, number);
    } else {
        data = array->whole.memory;
        status = shardio_p_encode_chunk(array, index, &data, &size);
        if (status == SHARDIO_OK) status = shardio_shard_put(&c->writer, number, data, size);
    }
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_array_inherit(array, &c->writer.slot.error);
}

static bool shardio_p_is_empty(const shardio_shard_writer *writer)
{
    uint64_t offset, length;
    if (writer->live > 0) return false;
    for (uint64_t i = 0; i < writer->layout.chunks; i++) {
        shardio_index_get(&writer->layout, writer->index, i, &offset, &length);
        if (length != SHARDIO_MISSING) return false;
        if (writer->old == NULL) continue;
        shardio_index_get(&writer->old->layout, writer->old->index, i, &offset, &length);
        if (length != SHARDIO_MISSING) return false;
    }
    return true;
}

/* Ends the shard of the moment, well or not; one that holds nothing any more is removed where that was asked for. */
static shardio_status shardio_p_end_shard_change(shardio_p_change *c, const uint64_t *position, shardio_status status)
{
    shardio_array *array = c->array;
    shardio_p_kept *kept = shardio_p_find_kept(array, shardio_p_shard_number(&array->meta, position));
    if (!c->begun) return status;
    c->begun = false;
    if (status == SHARDIO_OK && (array->skip_fill || c->trim) && shardio_p_is_empty(&c->writer)) {
        shardio_shard_abort(&c->writer);
        status = shardio_p_remove_chunk_key(array, position);
    } else if (status == SHARDIO_OK) {
        shardio_error error;
        status = shardio_shard_finish(&c->writer, &error);
        shardio_accounting accounting = shardio_shard_accounting(&c->writer);
        shardio_p_add_accounting(&array->accounting, &accounting);
        if (status == SHARDIO_OK) shardio_p_statistics_end(array, position);
        else shardio_p_array_inherit(array, &error);
    } else {
        shardio_shard_abort(&c->writer);
    }
    if (kept != NULL) shardio_p_throw_out(array, kept);   /* its index is no longer that of the file */
    return status;
}

/* The chunks of a box, by their place in the shard, change. */
static shardio_status shardio_p_change_box(shardio_p_change *c, const uint64_t *position, const uint64_t *first,
                                           const uint64_t *number)
{
    const shardio_p_meta *m = &c->array->meta;
    uint64_t at[SHARDIO_MAX_DIMS];
    shardio_status status;
    /* an index without a checksum cannot be told from anything else, so that a torn file would be misread */
    bool rewrite = c->old != NULL &&
                   (c->array->rewrite || m->index.no_checksum || c->array->store.functions->whole_values || shardio_p_too_dead(c, first, number));
    memcpy(at, first, sizeof at);
    do status = shardio_p_change_in_shard(c, position, at, rewrite);
    while (status == SHARDIO_OK && shardio_p_next_in_order(at, first, number, m->levels[0].order, m->ndim));
    return shardio_p_end_shard_change(c, position, status);
}

/* The part of a change that one shard, or one chunk that is a file, takes. */
static shardio_status shardio_p_change_part(shardio_p_change *c, const uint64_t *position)
{
    shardio_array *array = c->array;
    const shardio_p_meta *m = &array->meta;
    uint64_t first[SHARDIO_MAX_DIMS] = {0}, number[SHARDIO_MAX_DIMS];
    shardio_p_reading region;
    shardio_status status;
    for (uint32_t i = 0; i < m->ndim; i++) c->origin[i] = position[i] * m->shard[i];
    if (!m->sharded) {
        status = shardio_p_change_chunk(c, position, c->origin);
        return status == SHARDIO_OK ? shardio_p_put_chunk_file(array, position, array->whole.memory) : status;
    }
    c->old = NULL;
    status = shardio_p_get_shard(array, position, &c->old, &array->error);
    if (status != SHARDIO_OK && status != SHARDIO_ERR_NOT_FOUND) return status;
    if (c->trim && c->old == NULL) return SHARDIO_OK;
    memcpy(number, m->per_shard, sizeof number);
    region = shardio_p_reading_of(array, c->start, c->count, NULL, NULL);
    if (!c->trim) shardio_p_cover_chunks(&region, 0, c->origin, first, number);
    return shardio_p_change_box(c, position, first, number);
}

static shardio_status shardio_p_changer_enter(shardio_array *array, const char *operation, shardio_error *error)
{
    shardio_status status = shardio_p_reader_enter(array, operation, error);
    if (status != SHARDIO_OK || array->changing) return status;
    return shardio_p_fail(error, SHARDIO_ERR_STATE, operation, array->store.name,
                          "it was opened for reading; shardio_array_update opens it to be changed");
}

/* The error of a change goes to its caller; the handle goes on. */
static shardio_status shardio_p_end_change(shardio_array *array, shardio_status status, shardio_error *error)
{
    if (status != SHARDIO_OK && error != NULL) *error = array->error;
    shardio_p_no_error(&array->error);
    shardio_p_free_pool(array);
    return status;
}

SHARDIO_API shardio_status shardio_array_write_strided(shardio_array *array, const uint64_t *start,
                                                       const uint64_t *count,
                                                       const void *elements, const ptrdiff_t *strides, shardio_error *error)
{
    uint64_t first[SHARDIO_MAX_DIMS], number[SHARDIO_MAX_DIMS], position[SHARDIO_MAX_DIMS];
    shardio_p_change c;
    bool empty;
    shardio_status status = shardio_p_changer_enter(array, "write", error);
    if (status == SHARDIO_OK) status = shardio_p_check_region(array, "write", start, count, &empty, error);
    if (status != SHARDIO_OK || empty) return status;
    const shardio_p_meta *m = &array->meta;
    if (elements != NULL && strides == NULL && m->ndim > 0)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "write", array->store.name, "no strides");
    memset(&c, 0, sizeof c);
    c.array = array;
    c.start = start;
    c.count = count;
    c.from = (const uint8_t *)elements;
    c.stride = strides;
    shardio_p_cover_keys(m, start, count, first, number);
    memcpy(position, first, sizeof position);
    do status = shardio_p_change_part(&c, position);
    while (status == SHARDIO_OK && shardio_p_next_in_box(position, first, number, m->ndim));
    return shardio_p_end_change(array, status, error);
}

SHARDIO_API shardio_status shardio_array_write(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                               const void *elements, size_t size, shardio_error *error)
{
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    bool empty;
    shardio_status status = shardio_p_changer_enter(array, "write", error);
    if (status == SHARDIO_OK) status = shardio_p_check_region(array, "write", start, count, &empty, error);
    if (status != SHARDIO_OK || empty) return status;
    if (elements != NULL && !shardio_p_packed_strides(&array->meta, count, size, stride))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "write", array->store.name,
                              "the region is larger than the memory that holds it");
    return shardio_array_write_strided(array, start, count, elements, stride, error);
}

/* -- every key of an array, found before anything is changed */

/* Collects the places in the grid of all shards, or chunks that are files. */
typedef struct shardio_p_collection {
    shardio_array *array;
    size_t count;
    bool full;          /* no memory for one more */
    uint64_t bytes;     /* of the files */
} shardio_p_collection;

static bool shardio_p_collect_position(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_collection *c = (shardio_p_collection *)context;
    shardio_array *array = c->array;
    const size_t one = sizeof(uint64_t) * SHARDIO_MAX_DIMS;
    uint64_t position[SHARDIO_MAX_DIMS] = {0};
    if (temporary || !shardio_p_parse_key(array, key, position)) return true;
    c->full = !shardio_p_extend(array, &array->found, c->count * one, (c->count + 1) * one);
    if (c->full) return false;
    memcpy(array->found.memory + c->count++ * one, position, one);
    c->bytes += size;
    return true;
}

static shardio_status shardio_p_collect(shardio_array *array, shardio_p_collection *c)
{
    const shardio_store *s = &array->store;
    int code = 0;
    memset(c, 0, sizeof *c);
    c->array = array;
    shardio_status status = s->functions->list(s->context, array->prefix, shardio_p_collect_position, c, &code);
    if (c->full) return shardio_p_array_fail(array, SHARDIO_ERR_MEMORY, "list", array->prefix, 0, NULL);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_array_fail(array, status, "list", array->prefix, code, NULL);
}

/* Whether a place that was found lies in the grid: only there has a shard a number. */
static bool shardio_p_is_in_grid(const shardio_p_meta *m, const uint64_t *position)
{
    for (uint32_t i = 0; i < m->ndim; i++)
        if (position[i] >= m->shard_grid[i]) return false;
    return true;
}

static const uint64_t *shardio_p_found_position(const shardio_array *array, size_t i)
{
    return (const uint64_t *)(const void *)(array->found.memory + i * sizeof(uint64_t) * SHARDIO_MAX_DIMS);
}

/* -- resizing */

/* What a smaller shape means for one shard or file. */
static shardio_status shardio_p_trim_part(shardio_p_change *c, const uint64_t *position)
{
    const shardio_p_meta *m = &c->array->meta;
    bool straddles = false;
    if (!shardio_p_is_in_grid(m, position)) return shardio_p_remove_chunk_key(c->array, position);
    for (uint32_t i = 0; i < m->ndim; i++)
        straddles = straddles || m->shape[i] - position[i] * m->shard[i] < m->shard[i];
    if (!straddles || (c->keep_edge && !m->sharded)) return SHARDIO_OK;
    return shardio_p_change_part(c, position);
}

static shardio_status shardio_p_trim(shardio_array *array, const shardio_p_collection *found, bool keep_edge)
{
    shardio_p_change c;
    shardio_status status = SHARDIO_OK;
    memset(&c, 0, sizeof c);
    c.array = array;
    c.trim = true;
    c.keep_edge = keep_edge;
    for (size_t i = 0; i < found->count && status == SHARDIO_OK; i++)
        status = shardio_p_trim_part(&c, shardio_p_found_position(array, i));
    return status;
}

/* Shards that are kept open are numbered in the old grid. */
static void shardio_p_forget_shards(shardio_array *array)
{
    for (uint32_t i = 0; i < array->max_open; i++)
        if (array->kept[i].used != 0) shardio_p_throw_out(array, &array->kept[i]);
}

/* Writes the shape into zarr.json as it is now: attributes may have been set since the array was opened. */
static shardio_status shardio_p_rewrite_shape(shardio_array *array, const uint64_t *before)
{
    uint64_t now[SHARDIO_MAX_DIMS];
    uint32_t ndim = 0;
    shardio_json root;
    char *text;
    size_t size;
    const char *key = shardio_p_named_key(array, "zarr.json");
    shardio_status status = shardio_p_read_key(array, key, &text, &size, &array->error);
    if (status != SHARDIO_OK) return status;
    status = shardio_json_parse(text, size - 1, &root, &array->error);
    if (status != SHARDIO_OK) shardio_p_set_subject(&array->error, key);
    else status = shardio_p_read_node(root, "array", key, &array->error);
    bool known = status == SHARDIO_OK &&
                 shardio_p_read_extents_json(shardio_json_member(root, "shape"), now, &ndim) == NULL &&
                 ndim == array->meta.ndim;
    /* by a call that failed behind it */
    bool done = known && memcmp(now, array->meta.shape, ndim * sizeof now[0]) == 0;
    if (status == SHARDIO_OK && !done && (!known || memcmp(now, before, ndim * sizeof now[0]) != 0))
        status = shardio_p_array_fail(array, SHARDIO_ERR_CHANGED, "resize", key, 0,
                                      "its shape is another one than when it was opened");
    if (status == SHARDIO_OK) status = shardio_p_write_shape(array, text, size - 1, array->meta.shape);
    shardio_p_release(array->allocator, text, size, 16);
    return status;
}

SHARDIO_API shardio_status shardio_array_resize(shardio_array *array, const uint64_t *shape, bool keep_edge,
                                                shardio_error *error)
{
    uint64_t before[SHARDIO_MAX_DIMS];
    shardio_p_collection found;
    bool smaller = false, larger = false;
    shardio_status status = shardio_p_changer_enter(array, "resize", error);
    if (status != SHARDIO_OK) return status;
    shardio_p_meta *m = &array->meta;
    if (shape == NULL && m->ndim > 0)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "resize", array->store.name, "no shape");
    memcpy(before, m->shape, sizeof before);
    for (uint32_t i = 0; i < m->ndim; i++) {
        smaller = smaller || shape[i] < before[i];
        larger = larger || shape[i] > before[i];
        m->shape[i] = shape[i];
    }
    smaller = smaller || !larger;   /* the same shape: what an earlier call could not remove */
    shardio_p_forget_shards(array);
    const char *wrong = shardio_p_meta_derive(m, false);
    if (wrong != NULL) shardio_p_array_fail(array, status = SHARDIO_ERR_ARGUMENT, "resize", array->prefix, 0, wrong);
    if (status == SHARDIO_OK && smaller) status = shardio_p_collect(array, &found);   /* before anything is changed */
    if (status == SHARDIO_OK) status = shardio_p_rewrite_shape(array, before);
    if (status != SHARDIO_OK) {
        memcpy(m->shape, before, sizeof before);
        (void)shardio_p_meta_derive(m, false);
    } else {
        if (array->statistics != NULL) shardio_p_reshape_statistics(array, array->statistics);
        if (smaller) status = shardio_p_trim(array, &found, keep_edge);
        if (status == SHARDIO_OK) shardio_p_statistics_reshaped(array);
    }
    return shardio_p_end_change(array, status, error);
}

/* -- compacting and recovering */

static shardio_status shardio_p_compact_part(shardio_p_change *c, const uint64_t *position)
{
    shardio_array *array = c->array;
    c->old = NULL;
    if (!shardio_p_is_in_grid(&array->meta, position)) return SHARDIO_OK;
    shardio_status status = shardio_p_get_shard(array, position, &c->old, &array->error);
    if (status != SHARDIO_OK) return status == SHARDIO_ERR_NOT_FOUND ? SHARDIO_OK : status;
    uint64_t used = shardio_p_live_bytes(&array->meta.index, c->old->index) + c->old->index_size;
    if (c->old->facts.size <= used) return SHARDIO_OK;
    status = shardio_p_begin_shard_change(c, position, true);
    return shardio_p_end_shard_change(c, position, status);
}

SHARDIO_API shardio_status shardio_array_compact(shardio_array *array, shardio_progress progress, void *context,
                                                 shardio_error *error)
{
    shardio_p_change c;
    shardio_p_collection found;
    uint64_t done = 0;
    shardio_status status = shardio_p_changer_enter(array, "compact", error);
    if (status != SHARDIO_OK || !array->meta.sharded) return status;
    memset(&c, 0, sizeof c);
    c.array = array;
    status = shardio_p_collect(array, &found);
    for (size_t i = 0; i < found.count && status == SHARDIO_OK; i++) {
        status = shardio_p_compact_part(&c, shardio_p_found_position(array, i));
        done = i + 1 < found.count ? found.bytes / found.count * (i + 1) : found.bytes;
        if (status == SHARDIO_OK && progress != NULL && progress(context, done, found.bytes) != 0)
            status = shardio_p_array_fail(array, SHARDIO_ERR_CANCELLED, "compact", array->prefix, 0, NULL);
    }
    return shardio_p_end_change(array, status, error);
}

/* A chunk of a shard that is recovered is one that decodes. */
static bool shardio_p_chunk_decodes(void *context, const shardio_file *file, uint64_t number, uint64_t offset,
                                    uint64_t length)
{
    const shardio_p_change *c = (const shardio_p_change *)context;
    shardio_array *array = c->array;
    uint64_t chunk[SHARDIO_MAX_DIMS] = {0};
    shardio_error error;
    shardio_p_chunk_origin(&array->meta, 0, c->origin, number, chunk);
    shardio_p_reading r = shardio_p_reading_of(array, chunk, array->meta.chunk, NULL, NULL);
    if (shardio_p_check_stored(array, 1, chunk, length, &error) != SHARDIO_OK) return false;
    if (!shardio_p_widen(array, &array->buffer, (size_t)length + 1)) return false;
    bool good = shardio_file_read(file, offset, array->buffer.memory, (size_t)length, &error) == SHARDIO_OK &&
                shardio_p_decode_chunk(&r, 1, chunk, array->buffer.memory, (size_t)length, &error) == SHARDIO_OK;
    shardio_p_free_pool(array);
    return good;
}

static shardio_status shardio_p_recover_part(shardio_p_change *c, const uint64_t *position, bool apply,
                                             shardio_recovered report, void *context)
{
    shardio_array *array = c->array;
    const shardio_store *s = &array->store;
    shardio_recovery found;
    shardio_error error;
    shardio_file file;
    int code = 0;
    memset(&found, 0, sizeof found);
    if (!shardio_p_is_in_grid(&array->meta, position)) return SHARDIO_OK;
    for (uint32_t i = 0; i < array->meta.ndim; i++) c->origin[i] = position[i] * array->meta.shard[i];
    const char *key = shardio_p_chunk_key(array, position);
    shardio_status status = s->functions->open(s->context, key, apply, array->allocator, &file, &code);
    if (status != SHARDIO_OK) {
        shardio_p_key_fail(&error, s, status, "open", key, code, NULL);
    } else {
        status = shardio_shard_recover_file(&file, &array->meta.index, apply, shardio_p_chunk_decodes, c,
                                            array->allocator, &found, &error);
        shardio_file_close(&file);   /* recover has synced what it changed */
    }
    if (report != NULL) report(context, shardio_p_chunk_key(array, position), &found, status, &error);
    return status;
}

SHARDIO_API shardio_status shardio_array_recover(shardio_array *array, bool apply, shardio_recovered report,
                                                 void *context, shardio_error *error)
{
    shardio_p_change c;
    shardio_p_collection found;
    size_t lost = 0;
    shardio_status status = shardio_p_changer_enter(array, "recover", error);
    if (status != SHARDIO_OK || !array->meta.sharded) return status;
    memset(&c, 0, sizeof c);
    c.array = array;
    shardio_p_forget_shards(array);
    status = shardio_p_collect(array, &found);
    for (size_t i = 0; i < found.count && status == SHARDIO_OK; i++)
        if (shardio_p_recover_part(&c, shardio_p_found_position(array, i), apply, report, context) != SHARDIO_OK)
            lost++;
    if (status == SHARDIO_OK && lost > 0)
        status = shardio_p_array_fail(array, SHARDIO_ERR_CORRUPT, "recover", array->prefix, 0,
                                      "a shard of it cannot be recovered");
    return shardio_p_end_change(array, status, error);
}

/* -- opening to change, and defining */

SHARDIO_API shardio_array *shardio_array_update_in(const shardio_store *store, const shardio_array_options *options,
                                                   shardio_error *error)
{
    const size_t block = SHARDIO_P_DEFAULT_BLOCK, usual = 1 << 20;
    shardio_array_options o = shardio_p_options_or_defaults(options);
    shardio_error own;
    if (error == NULL) error = &own;
    shardio_array *array = shardio_array_open_in(store, &o, error);
    if (array->mode != SHARDIO_P_READING) return array;
    array->direct = o.direct;
    array->durability = o.durability;
    array->skip_fill = o.skip_fill;
    array->rewrite = o.update == SHARDIO_UPDATE_REWRITE;
    array->dead_percent = o.dead_percent != 0 ? o.dead_percent : 50;
    array->changing = array->published = array->groups_written = true;
    array->unbuffered = false;   /* what was read is soon read again, or written from */
    array->unchanging = false;
    array->plan.block = block;
    array->plan.buffer = (size_t)shardio_p_ceil(shardio_p_min(o.buffer_size != 0 ? o.buffer_size : usual, SIZE_MAX / 4),
                                                block);
    if (!shardio_p_widen(array, &array->staging_room, array->plan.buffer)) {
        shardio_p_fail(error, SHARDIO_ERR_MEMORY, "open", store->name, "no memory for the buffer");
    } else if (!o.statistics || shardio_p_begin_statistics(array, true, error) == SHARDIO_OK) {
        array->staging = array->staging_room.memory;
        return array;
    }
    shardio_array_close(array);
    return shardio_p_broken_array(error, o.allocator);
}

SHARDIO_API shardio_status shardio_array_define_in(const shardio_store *store, const shardio_array_options *options,
                                                   shardio_error *error)
{
    shardio_array draft, *array = NULL;
    shardio_error own;
    size_t size;
    if (error == NULL) error = &own;
    shardio_status status = shardio_p_begin_creating(&draft, store, options, false, &size, error);
    if (status != SHARDIO_OK) return status;
    array = shardio_p_place_reader(&draft, store, options, size);
    if (array == NULL) return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "create", store->name, NULL);
    array->durability = options->durability;
    status = shardio_p_compose(array, options);
    if (status == SHARDIO_OK && options->statistics) status = shardio_p_begin_statistics(array, false, &array->error);
    if (status == SHARDIO_OK) status = shardio_p_claim(array, options->overwrite);
    if (status == SHARDIO_OK) status = shardio_p_each_parent(array, shardio_p_write_parent);
    if (status == SHARDIO_OK) status = shardio_p_write_metadata(array, array->meta.shape);
    if (status == SHARDIO_OK) status = shardio_p_save_statistics(array, &array->error);
    *error = array->error;
    shardio_array_close(array);
    return status;
}

SHARDIO_API void shardio_array_close(shardio_array *array)
{
    if (array == NULL || array == shardio_p_no_array()) return;
    if (array->mode == SHARDIO_P_WRITING) {
        shardio_array_abort(array);
        return;
    }
    if (array->mode == SHARDIO_P_READING) shardio_p_end_statistics(array);
    for (uint32_t i = 0; array->mode == SHARDIO_P_READING && i < array->max_open; i++)
        if (array->kept[i].used != 0) shardio_p_throw_out(array, &array->kept[i]);
    shardio_p_array_free(array);
}

/* -- statistics: of each chunk that is stored the extremes and the number of fill values, by the tags of their keys */

enum {
    SHARDIO_P_STATISTICS_MAGIC = 0x54534853,   /* "SHST" */
    SHARDIO_P_STATISTICS_HEAD = 24,            /* bytes before the shape */
    SHARDIO_P_STATISTICS_ENTRY = 32,           /* bytes of a key */
    SHARDIO_P_PARTIAL = 20,                    /* bytes of a chunk before its extremes */
    SHARDIO_P_HAS_RANGE = 1, SHARDIO_P_MIN_CUT = 2, SHARDIO_P_MAX_CUT = 4,
    SHARDIO_P_STALE = 8                        /* in memory only: another part of the chunk lies inside the shape now */
};

/* An extreme as bytes that sort as the elements do: a number big-endian with its sign bit turned around, and with all
   bits turned around if it is a float below zero; of raw bits, strings and bytes the first ones. */
typedef struct shardio_p_extreme {
    uint8_t bytes[SHARDIO_STATISTICS_BYTES];
    uint8_t size;
    bool cut;                /* there are more bytes */
} shardio_p_extreme;

/* What is known of the elements of a chunk that lie inside the shape. */
typedef struct shardio_p_partial {
    uint64_t chunk;          /* its number within its key, in C order */
    uint64_t fills;          /* elements equal to the fill value, which are no extremes */
    bool range, stale;
    shardio_p_extreme min, max;
} shardio_p_partial;

/* What is known of a key: a shard, or a chunk that is a file. */
typedef struct shardio_p_recorded {
    uint64_t number;         /* in the grid */
    uint64_t tag[2];
    uint8_t *partials;       /* of its chunks, as they are stored, in the order of their numbers */
    size_t count, room;      /* partials */
    bool known;              /* all chunks of the value with this tag are here */
    bool will_be;            /* they will be when the change that is under way has ended */
    bool seen;
} shardio_p_recorded;

struct shardio_p_statistics {
    shardio_p_recorded *keys;
    size_t count, room;      /* keys */
    size_t *slots;           /* where a key is, by a hash of its number: 1 is the first, 0 none */
    size_t slot_count;       /* a power of two, or 0 */
    uint64_t shape[SHARDIO_MAX_DIMS], grid[SHARDIO_MAX_DIMS];   /* that partials and numbers of keys are about */
    size_t value, partial;   /* bytes of an extreme at most, and of a partial */
    bool changed;            /* since it was read or written */
    bool no_memory;          /* then nothing more is recorded */
};

/* Bytes of an extreme at most; 0: the type has no order. */
static size_t shardio_p_value_bytes(const shardio_p_meta *m)
{
    if (shardio_p_is_complex(m->dtype)) return 0;
    return shardio_p_is_variable(m->dtype) ? (size_t)SHARDIO_STATISTICS_BYTES
                                           : (size_t)shardio_p_min(m->element, SHARDIO_STATISTICS_BYTES);
}

/* Whether extremes are bytes, which may be cut, and not numbers. */
static bool shardio_p_has_byte_order(const shardio_p_meta *m)
{
    return shardio_p_is_variable(m->dtype) || m->dtype == SHARDIO_RAW;
}

/* Less than, equal to or greater than zero. What was cut is longer than what has the same bytes and was not. */
static int shardio_p_compare_extremes(const shardio_p_extreme *a, const shardio_p_extreme *b)
{
    int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);
    if (order != 0) return order;
    return a->size != b->size ? (int)a->size - (int)b->size : (int)a->cut - (int)b->cut;
}

static void shardio_p_merge_range(shardio_p_partial *sum, const shardio_p_partial *one)
{
    if (!one->range) return;
    if (!sum->range || shardio_p_compare_extremes(&one->min, &sum->min) < 0) sum->min = one->min;
    if (!sum->range || shardio_p_compare_extremes(&one->max, &sum->max) > 0) sum->max = one->max;
    sum->range = true;
}

static void shardio_p_store_partial(uint8_t *to, const shardio_p_partial *p, size_t value)
{
    memset(to, 0, SHARDIO_P_PARTIAL + 2 * value);
    shardio_p_store64(to, p->chunk, false);
    shardio_p_store64(to + 8, p->fills, false);
    to[16] = (uint8_t)(p->stale ? SHARDIO_P_STALE : 0);
    if (!p->range) return;
    to[16] = (uint8_t)(to[16] | SHARDIO_P_HAS_RANGE | (p->min.cut ? SHARDIO_P_MIN_CUT : 0) |
                       (p->max.cut ? SHARDIO_P_MAX_CUT : 0));
    to[17] = p->min.size;
    to[18] = p->max.size;
    memcpy(to + SHARDIO_P_PARTIAL, p->min.bytes, p->min.size);
    memcpy(to + SHARDIO_P_PARTIAL + value, p->max.bytes, p->max.size);
}

static void shardio_p_load_partial(shardio_p_partial *p, const uint8_t *from, size_t value)
{
    p->chunk = shardio_p_load64(from, false);
    p->fills = shardio_p_load64(from + 8, false);
    p->range = (from[16] & SHARDIO_P_HAS_RANGE) != 0;
    p->stale = (from[16] & SHARDIO_P_STALE) != 0;
    p->min.cut = (from[16] & SHARDIO_P_MIN_CUT) != 0;
    p->max.cut = (from[16] & SHARDIO_P_MAX_CUT) != 0;
    p->min.size = (uint8_t)shardio_p_min(from[17], value);
    p->max.size = (uint8_t)shardio_p_min(from[18], value);
    memcpy(p->min.bytes, from + SHARDIO_P_PARTIAL, p->min.size);
    memcpy(p->max.bytes, from + SHARDIO_P_PARTIAL + value, p->max.size);
}

/* Looks at elements. Numbers are compared by their rank: bits that sort, as unsigned numbers, as the elements do. */
typedef struct shardio_p_look {
    const shardio_p_meta *meta;
    uint64_t flip, turn;          /* bits turned around to get the rank: always, and if the first bit is set */
    uint64_t infinity;            /* bits without the sign that are larger are no number */
    uint64_t none;                /* nor are these (has_none) */
    bool has_none;
    uint64_t low, high;           /* ranks; none yet if low > high */
    uint64_t fills;
    shardio_bytes least, greatest;
    bool any;                     /* least and greatest are there */
} shardio_p_look;

static void shardio_p_look_begin(shardio_p_look *s, const shardio_p_meta *m)
{
    const uint64_t sign = m->element <= 8 ? (uint64_t)1 << (8 * m->element - 1) : 0;
    memset(s, 0, sizeof *s);
    s->meta = m;
    s->low = s->infinity = UINT64_MAX;
    if (shardio_p_is_signed(m->dtype) || shardio_p_is_float(m->dtype)) s->flip = sign;
    s->has_none = shardio_p_is_time(m->dtype);
    s->none = sign;   /* NaT */
    if (!shardio_p_is_float(m->dtype)) return;
    s->turn = sign - 1;
    s->infinity = m->element == 2 ? 0x7C00u : m->element == 4 ? 0x7F800000u : UINT64_C(0x7FF0000000000000);
}

enum { SHARDIO_P_LOOK_BLOCK = 64 };   /* elements: a loop of known length, which compilers make use of */

/* A block that is not full is filled up with the fill value, which does no harm. */
#define SHARDIO_P_LOOK_NUMBERS(bits, type)                                                                         \
    static void shardio_p_look##bits(shardio_p_look *s, const uint8_t *at, uint64_t count)                         \
    {                                                                                                              \
        const type flip = (type)s->flip, turn = (type)s->turn, infinity = (type)s->infinity;                       \
        const type magnitude = (type)((type)~(type)0 >> 1);                                                        \
        type block[SHARDIO_P_LOOK_BLOCK], fill, low = (type)~(type)0, high = 0;                                    \
        memcpy(&fill, s->meta->fill, sizeof fill);                                                                 \
        const type none = s->has_none ? (type)s->none : fill;                                                      \
        while (count > 0) {                                                                                        \
            const size_t n = (size_t)shardio_p_min(count, SHARDIO_P_LOOK_BLOCK);                                   \
            type fills = 0;                                                                                        \
            shardio_p_copy_elements((uint8_t *)block, at, n * sizeof fill, s->meta->unit);                         \
            for (size_t i = n; i < SHARDIO_P_LOOK_BLOCK; i++) block[i] = fill;                                     \
            for (int i = 0; i < SHARDIO_P_LOOK_BLOCK; i++) {                                                       \
                const type x = block[i], is_fill = (type)(x == fill);                                              \
                const type is_nan = (type)(((x & magnitude) > infinity) | (x == none));                            \
                const type skip = (type)(0 - (type)(is_fill | is_nan));                                            \
                const type rank = (type)(x ^ flip ^ (turn & (type)(0 - (x >> (bits - 1)))));                       \
                const type as_low = (type)(rank | skip), as_high = (type)(rank & (type)~skip);                     \
                fills = (type)(fills + is_fill);                                                                   \
                low = as_low < low ? as_low : low;                                                                 \
                high = as_high > high ? as_high : high;                                                            \
            }                                                                                                      \
            s->fills += (uint64_t)fills - (SHARDIO_P_LOOK_BLOCK - n);                                              \
            at += n * sizeof fill;                                                                                 \
            count -= n;                                                                                            \
        }                                                                                                          \
        if (low > high) return;                                                                                    \
        s->low = shardio_p_min(s->low, low);                                                                       \
        s->high = shardio_p_max(s->high, high);                                                                    \
    }
SHARDIO_P_LOOK_NUMBERS(8, uint8_t)
SHARDIO_P_LOOK_NUMBERS(16, uint16_t)
SHARDIO_P_LOOK_NUMBERS(32, uint32_t)
SHARDIO_P_LOOK_NUMBERS(64, uint64_t)
#undef SHARDIO_P_LOOK_NUMBERS

static int shardio_p_compare_bytes(const shardio_bytes *a, const shardio_bytes *b)
{
    const size_t n = a->size < b->size ? a->size : b->size;
    int order = n > 0 ? memcmp(a->data, b->data, n) : 0;
    return order != 0 ? order : a->size < b->size ? -1 : a->size > b->size;
}

/* The bytes that an element of a type without numbers is compared by. */
static shardio_bytes shardio_p_bytes_of(const shardio_p_meta *m, const uint8_t *element)
{
    shardio_bytes one = {element, m->element};
    if (shardio_p_is_variable(m->dtype)) memcpy(&one, element, sizeof one);
    return one;
}

static void shardio_p_look_bytes(shardio_p_look *s, const uint8_t *at, uint64_t count)
{
    const shardio_p_meta *m = s->meta;
    const shardio_bytes fill = shardio_p_bytes_of(m, m->stored_fill);
    const bool ordered = shardio_p_has_byte_order(m);
    for (; count > 0; count--, at += m->element) {
        const shardio_bytes one = shardio_p_bytes_of(m, at);
        if (shardio_p_compare_bytes(&one, &fill) == 0) {
            s->fills++;
        } else if (ordered) {
            if (!s->any || shardio_p_compare_bytes(&one, &s->least) < 0) s->least = one;
            if (!s->any || shardio_p_compare_bytes(&one, &s->greatest) > 0) s->greatest = one;
            s->any = true;
        }
    }
}

static void shardio_p_look_elements(shardio_p_look *s, const uint8_t *at, uint64_t count)
{
    if (shardio_p_has_byte_order(s->meta) || shardio_p_is_complex(s->meta->dtype)) shardio_p_look_bytes(s, at, count);
    else if (s->meta->element == 1) shardio_p_look8(s, at, count);
    else if (s->meta->element == 2) shardio_p_look16(s, at, count);
    else if (s->meta->element == 4) shardio_p_look32(s, at, count);
    else shardio_p_look64(s, at, count);
}

/* The first count[] elements along each dimension of a chunk. */
static void shardio_p_look_chunk(shardio_p_look *s, const uint8_t *elements, const uint64_t *count)
{
    const shardio_p_meta *m = s->meta;
    const uint64_t none[SHARDIO_MAX_DIMS] = {0};
    uint64_t at[SHARDIO_MAX_DIMS] = {0}, run = 1;
    ptrdiff_t stride[SHARDIO_MAX_DIMS];
    uint32_t outer = m->ndim;
    bool whole = true;   /* along all dimensions behind */
    for (; outer > 0 && whole; outer--) {
        run *= count[outer - 1];
        whole = count[outer - 1] == m->chunk[outer - 1];
    }
    shardio_p_order_strides(m, m->chunk, NULL, stride);
    do {
        const uint8_t *from = elements;
        for (uint32_t i = 0; i < outer; i++) from += (ptrdiff_t)at[i] * stride[i];
        shardio_p_look_elements(s, from, run);
    } while (shardio_p_next_in_box(at, none, count, outer));
}

static void shardio_p_extreme_of_rank(shardio_p_extreme *e, uint64_t rank, size_t size)
{
    for (size_t i = 0; i < size; i++) e->bytes[i] = (uint8_t)(rank >> 8 * (size - 1 - i));
    e->size = (uint8_t)size;
    e->cut = false;
}

static void shardio_p_extreme_of_bytes(shardio_p_extreme *e, const shardio_bytes *bytes)
{
    e->cut = bytes->size > sizeof e->bytes;
    e->size = (uint8_t)(e->cut ? sizeof e->bytes : bytes->size);
    if (e->size > 0) memcpy(e->bytes, bytes->data, e->size);
}

/* What was seen becomes a partial. */
static void shardio_p_look_end(const shardio_p_look *s, shardio_p_partial *p)
{
    p->fills = s->fills;
    p->stale = false;
    p->range = s->any || s->low <= s->high;
    if (s->any) {
        shardio_p_extreme_of_bytes(&p->min, &s->least);
        shardio_p_extreme_of_bytes(&p->max, &s->greatest);
    } else if (p->range) {
        shardio_p_extreme_of_rank(&p->min, s->low, s->meta->element);
        shardio_p_extreme_of_rank(&p->max, s->high, s->meta->element);
    }
}

/* -- statistics: the table in memory */

static void shardio_p_forget_key(const shardio_array *array, const shardio_p_statistics *s, shardio_p_recorded *key)
{
    shardio_p_release(array->allocator, key->partials, key->room * s->partial, 16);
    key->partials = NULL;
    key->count = key->room = 0;
    key->known = key->will_be = false;
}

static void shardio_p_free_statistics(const shardio_array *array, shardio_p_statistics *s)
{
    if (s == NULL) return;
    for (size_t i = 0; i < s->count; i++) shardio_p_forget_key(array, s, &s->keys[i]);
    shardio_p_release(array->allocator, s->keys, s->room * sizeof *s->keys, 16);
    shardio_p_release(array->allocator, s->slots, s->slot_count * sizeof *s->slots, 16);
    shardio_p_release(array->allocator, s, sizeof *s, 16);
}

/* Bytes of memory of the table. */
static uint64_t shardio_p_statistics_bytes(const shardio_array *array)
{
    const shardio_p_statistics *s = array->statistics;
    uint64_t sum = 0;
    if (s == NULL) return 0;
    for (size_t i = 0; i < s->count; i++) sum += s->keys[i].room * s->partial;
    return sum + sizeof *s + s->room * sizeof *s->keys + s->slot_count * sizeof *s->slots;
}

/* The shape that everything in the table is about. */
static void shardio_p_set_statistics_shape(shardio_p_statistics *s, const shardio_p_meta *m, const uint64_t *shape)
{
    memcpy(s->shape, shape, sizeof s->shape);
    for (uint32_t i = 0; i < m->ndim; i++) s->grid[i] = shardio_p_divide_up(shape[i], m->shard[i]);
}

/* Null: no memory. */
static shardio_p_statistics *shardio_p_new_statistics(const shardio_array *array)
{
    shardio_p_statistics *s = (shardio_p_statistics *)shardio_p_allocate(array->allocator, sizeof *s, 16);
    if (s == NULL) return NULL;
    memset(s, 0, sizeof *s);
    shardio_p_set_statistics_shape(s, &array->meta, array->meta.shape);
    s->value = shardio_p_value_bytes(&array->meta);
    s->partial = SHARDIO_P_PARTIAL + 2 * s->value;
    return s;
}

static size_t shardio_p_slot_of(const shardio_p_statistics *s, uint64_t number)
{
    size_t at = (size_t)(number * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (s->slot_count - 1);
    while (s->slots[at] != 0 && s->keys[s->slots[at] - 1].number != number) at = (at + 1) & (s->slot_count - 1);
    return at;
}

/* Null: the key was never heard of. */
static shardio_p_recorded *shardio_p_find_recorded(const shardio_p_statistics *s, uint64_t number)
{
    if (s->slot_count == 0) return NULL;
    size_t slot = s->slots[shardio_p_slot_of(s, number)];
    return slot != 0 ? &s->keys[slot - 1] : NULL;
}

static void shardio_p_fill_slots(shardio_p_statistics *s)
{
    if (s->slot_count > 0) memset(s->slots, 0, s->slot_count * sizeof *s->slots);
    for (size_t i = 0; i < s->count; i++) s->slots[shardio_p_slot_of(s, s->keys[i].number)] = i + 1;
}

/* Room for one more key, and at most half of the slots taken. */
static bool shardio_p_grow_statistics(const shardio_array *array, shardio_p_statistics *s)
{
    const size_t room = s->room > 0 ? 2 * s->room : 16;
    if (s->count < s->room) return true;
    if (room > SIZE_MAX / 4 / sizeof *s->keys) return false;
    shardio_p_recorded *keys = (shardio_p_recorded *)shardio_p_allocate(array->allocator, room * sizeof *keys, 16);
    size_t *slots = (size_t *)shardio_p_allocate(array->allocator, 2 * room * sizeof *slots, 16);
    if (keys == NULL || slots == NULL) {
        shardio_p_release(array->allocator, keys, room * sizeof *keys, 16);
        shardio_p_release(array->allocator, slots, 2 * room * sizeof *slots, 16);
        return false;
    }
    if (s->count > 0) memcpy(keys, s->keys, s->count * sizeof *keys);
    shardio_p_release(array->allocator, s->keys, s->room * sizeof *s->keys, 16);
    shardio_p_release(array->allocator, s->slots, s->slot_count * sizeof *s->slots, 16);
    s->keys = keys;
    s->room = room;
    s->slots = slots;
    s->slot_count = 2 * room;
    shardio_p_fill_slots(s);
    return true;
}

/* The key with this number, a new one if it was never heard of. Null: no memory. */
static shardio_p_recorded *shardio_p_record_key(const shardio_array *array, shardio_p_statistics *s, uint64_t number)
{
    shardio_p_recorded *key = shardio_p_find_recorded(s, number);
    if (key != NULL) return key;
    if (!shardio_p_grow_statistics(array, s)) {
        s->no_memory = true;
        return NULL;
    }
    key = &s->keys[s->count++];
    memset(key, 0, sizeof *key);
    key->number = number;
    s->slots[shardio_p_slot_of(s, number)] = s->count;
    return key;
}

/* The place of the partial of a chunk, or where it would be. */
static size_t shardio_p_find_partial(const shardio_p_statistics *s, const shardio_p_recorded *key, uint64_t chunk)
{
    size_t low = 0, high = key->count;
    if (high > 0 && shardio_p_load64(key->partials + (high - 1) * s->partial, false) < chunk) return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (shardio_p_load64(key->partials + middle * s->partial, false) < chunk) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Room for `count` partials; they stay what they are. */
static bool shardio_p_grow_partials(const shardio_array *array, const shardio_p_statistics *s, shardio_p_recorded *key,
                                    uint64_t count)
{
    if (count <= key->room) return true;
    if (count > SIZE_MAX / 8 / s->partial) return false;
    size_t room = key->count == 0 ? (size_t)count : 2 * (size_t)count;
    uint8_t *partials = (uint8_t *)shardio_p_allocate(array->allocator, room * s->partial, 16);
    if (partials == NULL) return false;
    if (key->count > 0) memcpy(partials, key->partials, key->count * s->partial);
    shardio_p_release(array->allocator, key->partials, key->room * s->partial, 16);
    key->partials = partials;
    key->room = room;
    return true;
}

static bool shardio_p_has_partial(const shardio_p_statistics *s, const shardio_p_recorded *key, size_t at,
                                  uint64_t chunk)
{
    return at < key->count && shardio_p_load64(key->partials + at * s->partial, false) == chunk;
}

static void shardio_p_put_partial(const shardio_array *array, shardio_p_statistics *s, shardio_p_recorded *key,
                                  const shardio_p_partial *partial)
{
    size_t at = shardio_p_find_partial(s, key, partial->chunk);
    if (!shardio_p_has_partial(s, key, at, partial->chunk)) {
        if (!shardio_p_grow_partials(array, s, key, (uint64_t)key->count + 1)) {
            s->no_memory = true;
            return;
        }
        uint8_t *place = key->partials + at * s->partial;
        memmove(place + s->partial, place, (key->count - at) * s->partial);
        key->count++;
    }
    shardio_p_store_partial(key->partials + at * s->partial, partial, s->value);
}

static void shardio_p_drop_partial(const shardio_p_statistics *s, shardio_p_recorded *key, uint64_t chunk)
{
    size_t at = shardio_p_find_partial(s, key, chunk);
    if (!shardio_p_has_partial(s, key, at, chunk)) return;
    uint8_t *place = key->partials + at * s->partial;
    memmove(place, place + s->partial, (key->count - at - 1) * s->partial);
    key->count--;
}

/* The place in a grid of keys that a number stands for. False: it stands for none. */
static bool shardio_p_position_of(uint64_t number, const uint64_t *grid, uint32_t ndim, uint64_t *position)
{
    for (uint32_t i = ndim; i-- > 0;) {
        if (grid[i] == 0) return false;
        position[i] = number % grid[i];
        number /= grid[i];
    }
    return number == 0;
}

/* How much of a chunk, by its number in the key at `position`, lies inside a shape. False: nothing. */
static bool shardio_p_inside(const shardio_p_meta *m, const uint64_t *shape, const uint64_t *position, uint64_t chunk,
                             uint64_t *count)
{
    for (uint32_t i = m->ndim; i-- > 0;) {
        uint64_t skipped = chunk % m->per_shard[i] * m->chunk[i];
        bool begins = position[i] < shardio_p_divide_up(shape[i], m->shard[i]);
        uint64_t left = begins ? shape[i] - position[i] * m->shard[i] : 0;
        chunk /= m->per_shard[i];
        if (skipped >= left) return false;
        count[i] = shardio_p_min(m->chunk[i], left - skipped);
    }
    return true;
}

/* A key in another shape: chunks outside are forgotten, those that reach into it to another extent have to be read. */
static void shardio_p_reshape_key(const shardio_array *array, shardio_p_statistics *s, shardio_p_recorded *key,
                                  const uint64_t *position, const uint64_t *shape)
{
    const shardio_p_meta *m = &array->meta;
    uint64_t before[SHARDIO_MAX_DIMS], after[SHARDIO_MAX_DIMS];
    size_t kept = 0;
    for (size_t i = 0; i < key->count; i++) {
        uint8_t *from = key->partials + i * s->partial, *to = key->partials + kept * s->partial;
        uint64_t chunk = shardio_p_load64(from, false);
        if (!shardio_p_inside(m, shape, position, chunk, after)) continue;
        bool same = shardio_p_inside(m, s->shape, position, chunk, before) &&
                    memcmp(before, after, m->ndim * sizeof *before) == 0;
        memmove(to, from, s->partial);
        if (!same) to[16] = (uint8_t)(to[16] | SHARDIO_P_STALE);
        kept++;
    }
    key->count = kept;
}

/* The table goes over from the shape that it is about to that of the array. */
static void shardio_p_reshape_statistics(const shardio_array *array, shardio_p_statistics *s)
{
    const shardio_p_meta *m = &array->meta;
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        uint64_t position[SHARDIO_MAX_DIMS];
        shardio_p_recorded key = s->keys[i];
        bool inside = shardio_p_position_of(key.number, s->grid, m->ndim, position) &&
                      shardio_p_is_in_grid(m, position);
        if (inside) {
            shardio_p_reshape_key(array, s, &key, position, m->shape);
            key.number = shardio_p_shard_number(m, position);
            s->keys[kept++] = key;
        } else {
            shardio_p_forget_key(array, s, &key);
        }
    }
    s->count = kept;
    shardio_p_set_statistics_shape(s, m, m->shape);
    shardio_p_fill_slots(s);
    s->changed = true;
}

/* -- statistics: what writing and changing tell of */

static shardio_status shardio_p_tag_of(shardio_array *array, const uint64_t *position, uint64_t *tag)
{
    const char *key = shardio_p_chunk_key(array, position);
    int code = 0;
    tag[0] = tag[1] = 0;
    return array->store.functions->tag(array->store.context, key, tag, &code);
}

/* The key at `position`; null: there are no statistics, or no memory for them. */
static shardio_p_recorded *shardio_p_recorded_at(shardio_array *array, const uint64_t *position)
{
    shardio_p_statistics *s = array->statistics;
    if (s == NULL || s->no_memory || !shardio_p_is_in_grid(&array->meta, position)) return NULL;
    s->changed = true;
    return shardio_p_record_key(array, s, shardio_p_shard_number(&array->meta, position));
}

/* What is recorded of a shard that others changed, or that was there before, says nothing. */
static void shardio_p_statistics_begin(shardio_array *array, const uint64_t *position)
{
    uint64_t tag[2];
    shardio_p_recorded *key = shardio_p_recorded_at(array, position);
    if (key == NULL) return;
    shardio_status status = array->meta.sharded ? shardio_p_tag_of(array, position, tag) : SHARDIO_ERR_NOT_FOUND;
    bool same = status == SHARDIO_OK && key->known && memcmp(tag, key->tag, sizeof tag) == 0;
    if (!same) shardio_p_forget_key(array, array->statistics, key);
    key->will_be = same || status == SHARDIO_ERR_NOT_FOUND;
    key->known = false;
}

static void shardio_p_statistics_end(shardio_array *array, const uint64_t *position)
{
    shardio_p_recorded *key = shardio_p_recorded_at(array, position);
    if (key != NULL) key->known = key->will_be && shardio_p_tag_of(array, position, key->tag) == SHARDIO_OK;
}

static void shardio_p_statistics_gone(shardio_array *array, const uint64_t *position)
{
    shardio_p_recorded *key = shardio_p_recorded_at(array, position);
    if (key != NULL) shardio_p_forget_key(array, array->statistics, key);
}

/* The shape as far as whole frames reach. A frame that is begun lies in chunks of one frame. */
static void shardio_p_reached(const shardio_array *array, const uint64_t *index, uint64_t *shape)
{
    memcpy(shape, array->meta.shape, sizeof array->meta.shape);
    if (array->mode != SHARDIO_P_WRITING) return;
    shape[0] = array->total / array->frame;
    if (index != NULL) shape[0] = shardio_p_max(shape[0], index[0] * array->meta.chunk[0] + 1);
}

static void shardio_p_statistics_note(shardio_array *array, const uint64_t *index, const uint8_t *elements)
{
    const shardio_p_meta *m = &array->meta;
    uint64_t position[SHARDIO_MAX_DIMS], shape[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS], number = 0;
    shardio_p_partial partial;
    shardio_p_look scan;
    if (array->statistics == NULL) return;
    for (uint32_t i = 0; i < m->ndim; i++) {
        position[i] = index[i] / m->per_shard[i];
        number = number * m->per_shard[i] + index[i] % m->per_shard[i];
    }
    shardio_p_recorded *key = shardio_p_recorded_at(array, position);
    if (key == NULL) return;
    shardio_p_reached(array, index, shape);
    if (elements == NULL || !shardio_p_inside(m, shape, position, number, count)) {
        shardio_p_drop_partial(array->statistics, key, number);
        return;
    }
    shardio_p_look_begin(&scan, m);
    shardio_p_look_chunk(&scan, elements, count);
    shardio_p_look_end(&scan, &partial);
    partial.chunk = number;
    shardio_p_put_partial(array, array->statistics, key, &partial);
}

/* -- statistics: the key that holds them */

/* What zarr.json says besides the shape of what the elements are. Blanks in the list of codecs do not count. */
static uint32_t shardio_p_statistics_identity(const shardio_p_meta *m)
{
    const char *name = shardio_dtype_name(m->dtype);
    const shardio_json *list = &m->codec_list;
    const shardio_bytes fill = shardio_p_bytes_of(m, m->fill);
    uint8_t number[8];
    bool quoted = false;
    uint32_t crc = shardio_crc32c(0, name, shardio_p_length(name));
    for (uint32_t i = 0; i < 2 * m->ndim; i++) {
        shardio_p_store64(number, i < m->ndim ? m->shard[i] : m->chunk[i - m->ndim], false);
        crc = shardio_crc32c(crc, number, sizeof number);
    }
    if (shardio_p_has_byte_order(m)) {
        shardio_p_store64(number, fill.size, false);
        crc = shardio_crc32c(shardio_crc32c(crc, number, sizeof number), fill.data, fill.size);
    } else {   /* little-endian */
        uint8_t element[16];
        size_t unit = shardio_p_machine_is_big() ? shardio_p_type_of(m->dtype).unit : 1;
        shardio_p_copy_elements(element, m->fill, m->element, unit);
        crc = shardio_crc32c(crc, element, m->element);
    }
    for (size_t i = 0; i < list->size; i++) {
        char c = list->text[i];
        bool blank = !quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
        if (!blank) crc = shardio_crc32c(crc, &c, 1);
        if (c == '"') quoted = !quoted;
        if (c == '\\' && i + 1 < list->size) crc = shardio_crc32c(crc, &list->text[++i], 1);
    }
    return crc;
}

static void shardio_p_sift_recorded(shardio_p_recorded *keys, size_t root, size_t count)
{
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && keys[child].number < keys[child + 1].number) child++;
        if (keys[root].number >= keys[child].number) return;
        shardio_p_recorded larger = keys[child];
        keys[child] = keys[root];
        keys[root] = larger;
        root = child;
    }
}

/* By their numbers; most of the time they are in order. */
static void shardio_p_sort_recorded(shardio_p_statistics *s)
{
    size_t sorted = 1;
    while (sorted < s->count && s->keys[sorted - 1].number < s->keys[sorted].number) sorted++;
    if (sorted >= s->count) return;
    for (size_t i = s->count / 2; i > 0; i--) shardio_p_sift_recorded(s->keys, i - 1, s->count);
    for (size_t last = s->count; last > 1; last--) {
        shardio_p_recorded largest = s->keys[0];
        s->keys[0] = s->keys[last - 1];
        s->keys[last - 1] = largest;
        shardio_p_sift_recorded(s->keys, 0, last - 1);
    }
    shardio_p_fill_slots(s);
}

/* The partials of a key that lie inside the shape, as the file has them; *put says whether it belongs into the file. */
static uint64_t shardio_p_count_partials(const shardio_array *array, const shardio_p_recorded *key,
                                         const uint64_t *shape, bool *put)
{
    const shardio_p_statistics *s = array->statistics;
    const shardio_p_meta *m = &array->meta;
    uint64_t grid[SHARDIO_MAX_DIMS], position[SHARDIO_MAX_DIMS], inside[SHARDIO_MAX_DIMS], count = 0;
    for (uint32_t i = 0; i < m->ndim; i++) grid[i] = shardio_p_divide_up(shape[i], m->shard[i]);
    *put = key->known && shardio_p_position_of(key->number, grid, m->ndim, position);
    for (size_t i = 0; i < key->count && *put; i++) {
        const uint8_t *partial = key->partials + i * s->partial;
        if (!shardio_p_inside(m, shape, position, shardio_p_load64(partial, false), inside)) continue;
        *put = (partial[16] & SHARDIO_P_STALE) == 0;
        count++;
    }
    return *put ? count : 0;
}

/* Bytes on their way into the key, or, with a null slot, only counted. */
typedef struct shardio_p_statistics_output {
    shardio_slot *slot;
    uint64_t size, keys;
    uint32_t crc;
} shardio_p_statistics_output;

static void shardio_p_put_out(shardio_p_statistics_output *out, const void *data, size_t size)
{
    out->size += size;
    if (out->slot == NULL) return;
    out->crc = shardio_crc32c(out->crc, data, size);
    (void)shardio_slot_append(out->slot, data, size);   /* an error sticks to the slot */
}

/* `keys`: how many there will be. */
static void shardio_p_put_statistics(shardio_array *array, const uint64_t *shape, uint64_t keys,
                                     shardio_p_statistics_output *out)
{
    const shardio_p_statistics *s = array->statistics;
    const shardio_p_meta *m = &array->meta;
    uint64_t grid[SHARDIO_MAX_DIMS], position[SHARDIO_MAX_DIMS], inside[SHARDIO_MAX_DIMS];
    uint8_t head[SHARDIO_P_STATISTICS_HEAD + 8 * SHARDIO_MAX_DIMS], entry[SHARDIO_P_STATISTICS_ENTRY];
    memset(head, 0, sizeof head);
    shardio_p_store32_little(head, SHARDIO_P_STATISTICS_MAGIC);
    head[4] = 1;
    head[5] = (uint8_t)s->value;
    head[6] = (uint8_t)m->ndim;
    shardio_p_store32_little(head + 8, shardio_p_statistics_identity(m));
    shardio_p_store64(head + 16, keys, false);
    for (uint32_t i = 0; i < m->ndim; i++) {
        shardio_p_store64(head + SHARDIO_P_STATISTICS_HEAD + 8 * i, shape[i], false);
        grid[i] = shardio_p_divide_up(shape[i], m->shard[i]);
    }
    shardio_p_put_out(out, head, SHARDIO_P_STATISTICS_HEAD + 8 * (size_t)m->ndim);
    for (size_t i = 0; i < s->count; i++) {
        const shardio_p_recorded *key = &s->keys[i];
        bool put;
        uint64_t count = shardio_p_count_partials(array, key, shape, &put);
        if (!put) continue;
        out->keys++;
        shardio_p_store64(entry, key->number, false);
        shardio_p_store64(entry + 8, key->tag[0], false);
        shardio_p_store64(entry + 16, key->tag[1], false);
        shardio_p_store64(entry + 24, count, false);
        shardio_p_put_out(out, entry, sizeof entry);
        (void)shardio_p_position_of(key->number, grid, m->ndim, position);
        for (size_t k = 0; k < key->count; k++) {
            const uint8_t *partial = key->partials + k * s->partial;
            if (shardio_p_inside(m, shape, position, shardio_p_load64(partial, false), inside))
                shardio_p_put_out(out, partial, s->partial);
        }
    }
    shardio_p_store32_little(entry, out->crc);
    shardio_p_put_out(out, entry, 4);
}

/* Writes the statistics of an array, after its data: whole, or not at all. */
static shardio_status shardio_p_save_statistics(shardio_array *array, shardio_error *error)
{
    shardio_p_statistics *s = array->statistics;
    const shardio_store *store = &array->store;
    shardio_p_statistics_output sum = {NULL, 0, 0, 0}, out = {NULL, 0, 0, 0};
    shardio_slot_options o;
    shardio_slot slot;
    shardio_file file;
    uint64_t shape[SHARDIO_MAX_DIMS];
    uint8_t buffer[4096];
    int code = 0;
    if (s == NULL) return SHARDIO_OK;
    const char *key = shardio_p_named_key(array, SHARDIO_P_STATISTICS_KEY);
    if (s->no_memory)
        return shardio_p_key_fail(error, store, SHARDIO_ERR_MEMORY, "write", key, 0, "no memory for the statistics");
    shardio_p_reached(array, NULL, shape);
    shardio_p_sort_recorded(s);
    shardio_p_put_statistics(array, shape, 0, &sum);
    memset(&o, 0, sizeof o);
    o.direct = SHARDIO_DIRECT_OFF;
    o.durability = array->durability;
    shardio_status status = store->functions->create(store->context, key, true, sum.size, shardio_p_small_memory(array),
                                                     &file, &code);
    if (status != SHARDIO_OK) return shardio_p_key_fail(error, store, status, "create", key, code, NULL);
    status = shardio_slot_begin(&slot, file, buffer, sizeof buffer, &o);
    out.slot = &slot;
    if (status == SHARDIO_OK) shardio_p_put_statistics(array, shape, sum.keys, &out);
    status = shardio_slot_finish(&slot);
    if (status == SHARDIO_OK) s->changed = false;
    else if (error != NULL) *error = slot.error;
    return status;
}

/* Reads the key piece by piece. */
typedef struct shardio_p_statistics_input {
    shardio_file file;
    uint64_t at, size;        /* of what is not in the buffer yet */
    size_t begin, end;        /* of what is */
    uint32_t crc;             /* of what was taken */
    shardio_status status;    /* of reading */
    shardio_error *error;
    uint8_t buffer[4096];
} shardio_p_statistics_input;

/* False: the key ends before, or cannot be read. */
static bool shardio_p_take_bytes(shardio_p_statistics_input *in, uint8_t *to, size_t size)
{
    uint8_t *from = to;
    for (size_t left = size; left > 0;) {
        if (in->begin == in->end) {
            in->begin = 0;
            in->end = (size_t)shardio_p_min(in->size - in->at, sizeof in->buffer);
            if (in->end == 0) return false;
            in->status = shardio_file_read(&in->file, in->at, in->buffer, in->end, in->error);
            if (in->status != SHARDIO_OK) return false;
            in->at += in->end;
        }
        size_t n = left < in->end - in->begin ? left : in->end - in->begin;
        memcpy(to, in->buffer + in->begin, n);
        in->begin += n;
        to += n;
        left -= n;
    }
    in->crc = shardio_crc32c(in->crc, from, size);
    return true;
}

static uint64_t shardio_p_bytes_left(const shardio_p_statistics_input *in)
{
    return in->size - in->at + (in->end - in->begin);
}

static const char *const shardio_p_statistics_damaged = "the statistics are damaged";

static bool shardio_p_extreme_is_right(const shardio_p_meta *m, const shardio_p_extreme *e, size_t stored, size_t value)
{
    if (stored != e->size) return false;
    if (shardio_p_is_variable(m->dtype)) return !e->cut || e->size == value;
    return e->size == value && e->cut == (m->element > value);
}

/* Whether a partial of the file can be one of a chunk with so many elements inside the shape. */
static bool shardio_p_partial_is_right(const shardio_array *array, const shardio_p_statistics *s, const uint8_t *stored,
                                       const uint64_t *inside)
{
    const shardio_p_meta *m = &array->meta;
    const uint64_t elements = shardio_p_product(inside, 0, m->ndim);
    shardio_p_partial p;
    shardio_p_load_partial(&p, stored, s->value);
    if (stored[16] > (SHARDIO_P_HAS_RANGE | SHARDIO_P_MIN_CUT | SHARDIO_P_MAX_CUT) || p.fills > elements) return false;
    if (!p.range) return stored[16] == 0;
    return s->value > 0 && p.fills < elements && shardio_p_extreme_is_right(m, &p.min, stored[17], s->value) &&
           shardio_p_extreme_is_right(m, &p.max, stored[18], s->value) &&
           shardio_p_compare_extremes(&p.min, &p.max) <= 0;
}

static const char *shardio_p_take_key(const shardio_array *array, shardio_p_statistics *s,
                                      shardio_p_statistics_input *in, const uint8_t *entry)
{
    const shardio_p_meta *m = &array->meta;
    const uint64_t number = shardio_p_load64(entry, false), count = shardio_p_load64(entry + 24, false);
    uint64_t position[SHARDIO_MAX_DIMS], inside[SHARDIO_MAX_DIMS];
    if ((s->count > 0 && number <= s->keys[s->count - 1].number) || count > m->index.chunks ||
        count > shardio_p_bytes_left(in) / s->partial || !shardio_p_position_of(number, s->grid, m->ndim, position))
        return shardio_p_statistics_damaged;
    shardio_p_recorded *key = shardio_p_record_key(array, s, number);
    if (key == NULL || !shardio_p_grow_partials(array, s, key, count)) {
        s->no_memory = true;
        return shardio_p_statistics_damaged;
    }
    key->tag[0] = shardio_p_load64(entry + 8, false);
    key->tag[1] = shardio_p_load64(entry + 16, false);
    key->known = true;
    for (; key->count < count; key->count++) {
        uint8_t *partial = key->partials + key->count * s->partial;
        if (!shardio_p_take_bytes(in, partial, s->partial)) return shardio_p_statistics_damaged;
        uint64_t chunk = shardio_p_load64(partial, false);
        bool ascends = key->count == 0 || shardio_p_load64(partial - s->partial, false) < chunk;
        if (!ascends || chunk >= m->index.chunks || !shardio_p_inside(m, s->shape, position, chunk, inside) ||
            !shardio_p_partial_is_right(array, s, partial, inside))
            return shardio_p_statistics_damaged;
    }
    return NULL;
}

/* The shape that the statistics were made for. False: no shape at all. */
static bool shardio_p_take_shape(const shardio_array *array, shardio_p_statistics *s, shardio_p_statistics_input *in)
{
    const shardio_p_meta *m = &array->meta;
    uint64_t shape[SHARDIO_MAX_DIMS] = {0}, elements = m->element;
    uint8_t number[8];
    for (uint32_t i = 0; i < m->ndim; i++) {
        if (!shardio_p_take_bytes(in, number, sizeof number)) return false;
        shape[i] = shardio_p_load64(number, false);
        if (!shardio_p_multiply(elements, shardio_p_max(1, shape[i]), &elements)) return false;
    }
    shardio_p_set_statistics_shape(s, m, shape);
    return true;
}

/* Null: fine; otherwise why the statistics say nothing. */
static const char *shardio_p_take_statistics(const shardio_array *array, shardio_p_statistics *s,
                                             shardio_p_statistics_input *in)
{
    const shardio_p_meta *m = &array->meta;
    uint8_t head[SHARDIO_P_STATISTICS_HEAD], entry[SHARDIO_P_STATISTICS_ENTRY];
    if (!shardio_p_take_bytes(in, head, sizeof head) || shardio_p_load32_little(head) != SHARDIO_P_STATISTICS_MAGIC)
        return shardio_p_statistics_damaged;
    if (head[4] != 1) return "statistics of another version";
    if (head[5] != s->value || head[6] != m->ndim || head[7] != 0 || shardio_p_load32_little(head + 12) != 0 ||
        shardio_p_load32_little(head + 8) != shardio_p_statistics_identity(m))
        return "the statistics are those of another array";
    if (!shardio_p_take_shape(array, s, in)) return shardio_p_statistics_damaged;
    for (uint64_t keys = shardio_p_load64(head + 16, false); keys > 0; keys--) {
        if (!shardio_p_take_bytes(in, entry, sizeof entry)) return shardio_p_statistics_damaged;
        const char *wrong = shardio_p_take_key(array, s, in, entry);
        if (wrong != NULL) return wrong;
    }
    uint32_t crc = in->crc;
    bool good = shardio_p_take_bytes(in, entry, 4) && shardio_p_load32_little(entry) == crc &&
                shardio_p_bytes_left(in) == 0;
    return good ? NULL : shardio_p_statistics_damaged;
}

/* Reads the statistics from their open key. */
static shardio_status shardio_p_read_statistics(shardio_array *array, shardio_p_statistics *s,
                                                shardio_p_statistics_input *in, const char *key)
{
    const shardio_store *store = &array->store;
    shardio_file_facts facts;
    shardio_status status = shardio_p_file_facts(&in->file, &facts, in->error);
    if (status != SHARDIO_OK) return status;
    if (s == NULL) return shardio_p_key_fail(in->error, store, SHARDIO_ERR_MEMORY, "read", key, 0, NULL);
    if (facts.size > array->decoded_limit)
        return shardio_p_key_fail(in->error, store, SHARDIO_ERR_LIMIT, "read", key, 0,
                                  "larger than the option decoded_limit");
    in->size = facts.size;
    const char *wrong = shardio_p_take_statistics(array, s, in);
    if (in->status != SHARDIO_OK || wrong == NULL) return in->status;
    if (s->no_memory) return shardio_p_key_fail(in->error, store, SHARDIO_ERR_MEMORY, "read", key, 0, NULL);
    return shardio_p_key_fail(in->error, store, SHARDIO_ERR_NOT_FOUND, "read", key, 0, wrong);
}

/* Reads the statistics of an array into a new table. SHARDIO_ERR_NOT_FOUND: there are none that say anything. */
static shardio_status shardio_p_load_statistics(shardio_array *array, shardio_p_statistics **loaded,
                                                shardio_error *error)
{
    const shardio_store *store = &array->store;
    shardio_p_statistics_input in;
    int code = 0;
    *loaded = NULL;
    memset(&in, 0, sizeof in);
    in.error = error;
    const char *key = shardio_p_named_key(array, SHARDIO_P_STATISTICS_KEY);
    shardio_status status = store->functions->open(store->context, key, false, shardio_p_small_memory(array), &in.file,
                                                   &code);
    if (status != SHARDIO_OK)
        return shardio_p_key_fail(error, store, status, "open", key, code, "there are no statistics");
    shardio_p_statistics *s = shardio_p_new_statistics(array);
    status = shardio_p_read_statistics(array, s, &in, key);
    shardio_file_close(&in.file);
    if (status == SHARDIO_OK) *loaded = s;
    else shardio_p_free_statistics(array, s);
    return status;
}

static shardio_status shardio_p_no_tags(const shardio_array *array, shardio_error *error)
{
    if (array->store.functions->tag != NULL) return SHARDIO_OK;
    return shardio_p_fail(error, SHARDIO_ERR_UNSUPPORTED, "keep statistics of", array->store.name,
                          "the store cannot tell whether a value is still the same");
}

/* Statistics are kept from here on, on top of what there is (`load`) that still holds. */
static shardio_status shardio_p_begin_statistics(shardio_array *array, bool load, shardio_error *error)
{
    shardio_status status = shardio_p_no_tags(array, error);
    if (status == SHARDIO_OK && load) status = shardio_p_load_statistics(array, &array->statistics, error);
    if (status == SHARDIO_ERR_MEMORY || status == SHARDIO_ERR_UNSUPPORTED) return status;
    shardio_p_no_error(error);   /* what cannot be read is made anew */
    if (array->statistics == NULL) array->statistics = shardio_p_new_statistics(array);
    if (array->statistics == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "keep statistics of", array->store.name, NULL);
    if (memcmp(array->statistics->shape, array->meta.shape, array->meta.ndim * sizeof array->meta.shape[0]) != 0)
        shardio_p_reshape_statistics(array, array->statistics);
    array->statistics->changed = false;
    return SHARDIO_OK;
}

/* The last chance to write them; who wants to know how that goes asks for them before. */
static void shardio_p_end_statistics(shardio_array *array)
{
    if (array->statistics != NULL && array->statistics->changed) (void)shardio_p_save_statistics(array, NULL);
}

/* -- statistics: asking for them */

/* Adds up what a key holds. False: its tag is another one. */
static bool shardio_p_add_key(shardio_array *array, const shardio_p_statistics *s, const shardio_p_recorded *key,
                              shardio_p_partial *sum, uint64_t *stored)
{
    const shardio_p_meta *m = &array->meta;
    uint64_t position[SHARDIO_MAX_DIMS], inside[SHARDIO_MAX_DIMS], tag[2];
    shardio_p_partial one;
    (void)shardio_p_position_of(key->number, s->grid, m->ndim, position);
    if (shardio_p_tag_of(array, position, tag) != SHARDIO_OK || memcmp(tag, key->tag, sizeof tag) != 0) return false;
    for (size_t i = 0; i < key->count; i++) {
        shardio_p_load_partial(&one, key->partials + i * s->partial, s->value);
        (void)shardio_p_inside(m, s->shape, position, one.chunk, inside);
        *stored += shardio_p_product(inside, 0, m->ndim);
        sum->fills += one.fills;
        shardio_p_merge_range(sum, &one);
    }
    return true;
}

/* The fill value as a partial, if it is an extreme like others. */
static void shardio_p_range_of_fill(const shardio_p_meta *m, shardio_p_partial *fill)
{
    shardio_p_meta other;
    shardio_p_look scan;
    memset(fill, 0, sizeof *fill);
    memset(&other, 0, sizeof other);
    other.dtype = m->dtype;
    other.element = m->element;
    other.unit = 1;
    shardio_p_look_begin(&scan, &other);
    if (shardio_p_has_byte_order(m)) {
        scan.least = scan.greatest = shardio_p_bytes_of(m, m->fill);
        scan.any = true;
    } else if (!shardio_p_is_complex(m->dtype)) {
        memcpy(other.fill, m->fill, m->element);
        other.fill[0] = (uint8_t)~other.fill[0];   /* so that it is not taken for a fill value */
        shardio_p_look_elements(&scan, m->fill, 1);
    }
    shardio_p_look_end(&scan, fill);
}

/* The element that an extreme stands for, in the machine's byte order. */
static size_t shardio_p_extreme_out(const shardio_p_meta *m, const shardio_p_extreme *e, uint8_t *to)
{
    shardio_p_look scan;
    uint64_t rank = 0;
    const unsigned unused = 64 - 8 * (unsigned)e->size % 64;   /* bits of the rank in front */
    if (shardio_p_has_byte_order(m)) {
        memcpy(to, e->bytes, e->size);
        return e->size;
    }
    for (size_t i = 0; i < e->size; i++) rank = rank << 8 | e->bytes[i];
    shardio_p_look_begin(&scan, m);
    bool below = shardio_p_is_float(m->dtype) && rank < scan.flip;
    rank ^= below ? scan.flip ^ scan.turn : scan.flip;
    uint8_t big[8];
    shardio_p_store64(big, unused < 64 ? rank << unused : rank, true);
    shardio_p_copy_elements(to, big, e->size, shardio_p_machine_is_big() ? 1 : e->size);
    return e->size;
}

/* Keys of the array inside its shape. */
typedef struct shardio_p_census {
    const shardio_array *array;
    uint64_t keys;
} shardio_p_census;

static bool shardio_p_count_key(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_census *census = (shardio_p_census *)context;
    uint64_t position[SHARDIO_MAX_DIMS];
    (void)size;
    census->keys += !temporary && shardio_p_parse_key(census->array, key, position) &&
                    shardio_p_is_in_grid(&census->array->meta, position);
    return true;
}

/* Why what was loaded says nothing of what is there now; null: it does, and was added up. */
static const char *shardio_p_sum_up(shardio_array *array, const shardio_p_statistics *s, shardio_statistics *out)
{
    const shardio_p_meta *m = &array->meta;
    shardio_p_partial sum, fill;
    uint64_t stored = 0;
    memset(&sum, 0, sizeof sum);
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < s->count; i++)
        if (!shardio_p_add_key(array, s, &s->keys[i], &sum, &stored)) return "chunks have changed since";
    out->rows = shardio_p_product(m->shape, 0, m->ndim);
    out->nulls = out->rows - stored + (array->fill_is_value ? 0 : sum.fills);
    shardio_p_range_of_fill(m, &fill);
    if (array->fill_is_value && sum.fills > 0) shardio_p_merge_range(&sum, &fill);
    out->has_range = sum.range;
    if (!sum.range) return NULL;
    out->min_cut = sum.min.cut;
    out->max_cut = sum.max.cut;
    out->min_size = shardio_p_extreme_out(m, &sum.min, out->min);
    out->max_size = shardio_p_extreme_out(m, &sum.max, out->max);
    return NULL;
}

SHARDIO_API shardio_status shardio_array_statistics(shardio_array *array, shardio_statistics *statistics,
                                                    shardio_error *error)
{
    shardio_p_census census = {array, 0};
    shardio_p_statistics *s;
    const char *wrong = NULL;
    int code = 0;
    shardio_status status = shardio_p_reader_enter(array, "read the statistics of", error);
    if (status != SHARDIO_OK) return status;
    if (statistics == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read the statistics of", array->store.name,
                              "no place for them");
    if (array->store.functions->tag == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_NOT_FOUND, "read the statistics of", array->store.name,
                              "the store cannot tell whether a value is still the same");
    if (array->statistics != NULL && array->statistics->changed) status = shardio_p_save_statistics(array, error);
    if (status == SHARDIO_OK) status = shardio_p_load_statistics(array, &s, error);
    if (status != SHARDIO_OK) return status;
    if (memcmp(s->shape, array->meta.shape, array->meta.ndim * sizeof s->shape[0]) != 0)
        wrong = "the statistics are those of another shape";
    if (wrong == NULL)
        status = array->store.functions->list(array->store.context, array->prefix, shardio_p_count_key, &census, &code);
    if (status != SHARDIO_OK) shardio_p_key_fail(error, &array->store, status, "list", array->prefix, code, NULL);
    else if (wrong == NULL && census.keys != s->count) wrong = "chunks came or went since";
    else if (wrong == NULL) wrong = shardio_p_sum_up(array, s, statistics);
    shardio_p_free_statistics(array, s);
    if (wrong == NULL) return status;
    return shardio_p_key_fail(error, &array->store, SHARDIO_ERR_NOT_FOUND, "read",
                              shardio_p_named_key(array, SHARDIO_P_STATISTICS_KEY), 0, wrong);
}

/* -- statistics: making them by reading */

/* Reads the chunk at `at` of the key and notes it; one that a shard does not have is none. */
static shardio_status shardio_p_survey_chunk(shardio_p_change *c, const uint64_t *position, const uint64_t *at)
{
    shardio_array *array = c->array;
    const shardio_p_meta *m = &array->meta;
    uint64_t origin[SHARDIO_MAX_DIMS], index[SHARDIO_MAX_DIMS];
    for (uint32_t i = 0; i < m->ndim; i++) {
        origin[i] = c->origin[i] + at[i] * m->chunk[i];
        index[i] = position[i] * m->per_shard[i] + at[i];
        if (origin[i] >= m->shape[i]) return SHARDIO_OK;
    }
    if (m->sharded && !shardio_p_old_has(c, shardio_p_number_in_shard(m, 0, at))) return SHARDIO_OK;
    shardio_status status = shardio_p_load_chunk(c, position, origin);
    if (status == SHARDIO_OK) shardio_p_statistics_note(array, index, array->whole.memory);
    shardio_p_free_pool(array);
    return status;
}

/* Whether the partial of this chunk says what it is. */
static bool shardio_p_is_settled(const shardio_p_statistics *s, const shardio_p_recorded *key, uint64_t chunk)
{
    size_t at = shardio_p_find_partial(s, key, chunk);
    return !shardio_p_has_partial(s, key, at, chunk) || (key->partials[at * s->partial + 16] & SHARDIO_P_STALE) == 0;
}

/* Reads chunks of a key: all of them, or (`stale`) those whose partials are. */
static shardio_status shardio_p_survey_chunks(shardio_p_change *c, const uint64_t *position, bool stale)
{
    shardio_array *array = c->array;
    const shardio_p_meta *m = &array->meta;
    const uint64_t none[SHARDIO_MAX_DIMS] = {0}, number = shardio_p_shard_number(m, position);
    uint64_t at[SHARDIO_MAX_DIMS] = {0}, chunk = 0;
    shardio_status status = SHARDIO_OK;
    c->old = NULL;
    for (uint32_t i = 0; i < m->ndim; i++) c->origin[i] = position[i] * m->shard[i];
    if (!shardio_p_widen(array, &array->whole, m->chunk_bytes))
        return shardio_p_array_fail(array, SHARDIO_ERR_MEMORY, "read", array->prefix, 0, "no memory for a chunk");
    if (m->sharded) status = shardio_p_get_shard(array, position, &c->old, &array->error);
    if (status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;   /* its tag will tell */
    do {
        const shardio_p_recorded *key = shardio_p_find_recorded(array->statistics, number);
        if (status == SHARDIO_OK && !(stale && key != NULL && shardio_p_is_settled(array->statistics, key, chunk)))
            status = shardio_p_survey_chunk(c, position, at);
        chunk++;
    } while (status == SHARDIO_OK && shardio_p_next_in_box(at, none, m->per_shard, m->ndim));
    return status;
}

static bool shardio_p_is_stale(const shardio_p_statistics *s, const shardio_p_recorded *key)
{
    for (size_t i = 0; i < key->count; i++)
        if ((key->partials[i * s->partial + 16] & SHARDIO_P_STALE) != 0) return true;
    return false;
}

/* Makes the partials of a key right by reading what they do not know. It is known if nobody changed it meanwhile. */
static shardio_status shardio_p_survey_key(shardio_p_change *c, const uint64_t *position)
{
    shardio_array *array = c->array;
    uint64_t before[2], after[2];
    shardio_p_recorded *key = shardio_p_recorded_at(array, position);
    if (key == NULL) return array->statistics->no_memory ? SHARDIO_ERR_MEMORY : SHARDIO_OK;
    key->seen = true;
    bool there = shardio_p_tag_of(array, position, before) == SHARDIO_OK;
    bool same = there && key->known && memcmp(before, key->tag, sizeof before) == 0;
    if (same && !shardio_p_is_stale(array->statistics, key)) return SHARDIO_OK;
    if (!same) shardio_p_forget_key(array, array->statistics, key);
    key->known = false;
    shardio_status status = there ? shardio_p_survey_chunks(c, position, same) : SHARDIO_OK;
    if (status != SHARDIO_OK) return status;
    key->known = there && shardio_p_tag_of(array, position, after) == SHARDIO_OK &&
                 memcmp(before, after, sizeof after) == 0;
    memcpy(key->tag, before, sizeof before);
    return array->statistics->no_memory ? SHARDIO_ERR_MEMORY : SHARDIO_OK;
}

/* Reads the chunks whose part inside the shape is another one than before. */
static void shardio_p_statistics_reshaped(shardio_array *array)
{
    shardio_p_change c;
    uint64_t position[SHARDIO_MAX_DIMS];
    const shardio_p_statistics *s = array->statistics;
    memset(&c, 0, sizeof c);
    c.array = array;
    for (size_t i = 0; s != NULL && i < s->count; i++) {
        if (!s->keys[i].known || !shardio_p_is_stale(s, &s->keys[i])) continue;
        if (!shardio_p_position_of(s->keys[i].number, s->grid, array->meta.ndim, position)) continue;
        /* should it fail, the data is as it shall be, and its statistics are absent */
        if (shardio_p_survey_key(&c, position) != SHARDIO_OK) break;
    }
    if (s != NULL) shardio_p_no_error(&array->error);
}

static shardio_status shardio_p_survey(shardio_array *array, shardio_progress progress, void *context)
{
    shardio_p_change c;
    shardio_p_collection found;
    shardio_p_statistics *s = array->statistics;
    memset(&c, 0, sizeof c);
    c.array = array;
    shardio_status status = shardio_p_collect(array, &found);
    for (size_t i = 0; i < s->count; i++) s->keys[i].seen = false;
    for (size_t i = 0; i < found.count && status == SHARDIO_OK; i++) {
        const uint64_t done = i + 1 < found.count ? found.bytes / found.count * (i + 1) : found.bytes;
        const uint64_t *position = shardio_p_found_position(array, i);
        if (shardio_p_is_in_grid(&array->meta, position)) status = shardio_p_survey_key(&c, position);
        if (status == SHARDIO_OK && progress != NULL && progress(context, done, found.bytes) != 0)
            status = shardio_p_array_fail(array, SHARDIO_ERR_CANCELLED, "make statistics of", array->prefix, 0, NULL);
    }
    for (size_t i = 0; i < s->count && status == SHARDIO_OK; i++)
        if (!s->keys[i].seen) shardio_p_forget_key(array, s, &s->keys[i]);
    return status;
}

SHARDIO_API shardio_status shardio_array_make_statistics(shardio_array *array, shardio_progress progress, void *context,
                                                         shardio_error *error)
{
    shardio_error unsaved;
    shardio_status status = shardio_p_changer_enter(array, "make statistics of", error);
    if (status != SHARDIO_OK) return status;
    const bool kept = array->statistics != NULL;
    if (!kept || array->statistics->no_memory) {
        shardio_p_free_statistics(array, array->statistics);
        array->statistics = NULL;
        status = shardio_p_begin_statistics(array, true, error);
        if (status != SHARDIO_OK) return status;
    }
    status = shardio_p_survey(array, progress, context);
    if (status == SHARDIO_ERR_MEMORY) shardio_p_array_fail(array, status, "make statistics of", array->prefix, 0, NULL);
    shardio_status saved = shardio_p_save_statistics(array, &unsaved);   /* as far as it came */
    if (status == SHARDIO_OK && saved != SHARDIO_OK) {
        array->error = unsaved;
        status = saved;
    }
    if (!kept) {
        shardio_p_free_statistics(array, array->statistics);
        array->statistics = NULL;
    }
    return shardio_p_end_change(array, status, error);
}

/* -- nodes: groups and arrays by their zarr.json */

/* The zarr.json of a node: where it is, and how it is handled. */
typedef struct shardio_p_site {
    const shardio_store *store;
    const char *path;            /* the caller's, never null */
    shardio_node_options o;      /* with the defaults put in */
    char *key;                   /* "raw/movie/zarr.json" */
    char *below;                 /* "raw/movie/", what keys below begin with, or "" */
    size_t prefix;               /* its length */
    size_t key_size;             /* bytes of memory of both */
} shardio_p_site;

static shardio_status shardio_p_site_fail(const shardio_p_site *site, shardio_status status, const char *operation,
                                          int code, const char *reason, shardio_error *error)
{
    return shardio_p_key_fail(error, site->store, status, operation, site->key, code, reason);
}

static shardio_status shardio_p_site_begin(shardio_p_site *site, const shardio_store *store, const char *path,
                                           const char *operation, const shardio_node_options *options,
                                           shardio_error *error)
{
    memset(site, 0, sizeof *site);
    shardio_p_no_error(error);
    if (options != NULL) site->o = *options;
    if (site->o.metadata_limit == 0) site->o.metadata_limit = SHARDIO_P_MOST_METADATA;
    site->o.metadata_limit = (size_t)shardio_p_min(site->o.metadata_limit, SIZE_MAX / 4);
    if (store == NULL || store->functions == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, operation, "the store", "there is none");
    if (path == NULL) path = "";
    if (path[0] != 0 && !shardio_p_key_is_plain(path))
        return shardio_p_key_fail(error, store, SHARDIO_ERR_ARGUMENT, operation, path, 0,
                                  "not of plain names with / between");
    site->store = store;
    size_t length = shardio_p_length(path);
    site->path = path;
    site->prefix = length > 0 ? length + 1 : 0;
    site->key_size = 2 * site->prefix + sizeof "zarr.json" + 1;
    site->key = (char *)shardio_p_allocate(site->o.allocator, site->key_size, 16);
    if (site->key == NULL) return shardio_p_key_fail(error, store, SHARDIO_ERR_MEMORY, operation, path, 0, NULL);
    site->below = site->key + site->prefix + sizeof "zarr.json";
    memcpy(site->below, path, length);
    if (length > 0) site->below[length] = '/';
    site->below[site->prefix] = 0;
    memcpy(site->key, site->below, site->prefix);
    memcpy(site->key + site->prefix, "zarr.json", sizeof "zarr.json");
    return SHARDIO_OK;
}

static void shardio_p_site_end(shardio_p_site *site)
{
    shardio_p_release(site->o.allocator, site->key, site->key_size, 16);
}

/* The name of the zarr.json for messages. */
static const char *shardio_p_site_name(const shardio_p_site *site, char *name, size_t size)
{
    shardio_text text = {name, size, 0};
    const char *store = site->store->name != NULL ? site->store->name : "";
    shardio_text_add(&text, store);
    shardio_text_add(&text, store[0] != 0 ? "/" : "");
    shardio_text_add(&text, site->key);
    return name;
}

/* Null: fine; otherwise what is wrong. A kind that is not known may be ignored if it says so, and is. */
static const char *shardio_p_read_consolidated(shardio_node *node, shardio_status *status)
{
    shardio_json value = shardio_json_member(node->root, "consolidated_metadata"), entry;
    size_t at = 0;
    *status = SHARDIO_ERR_CORRUPT;
    if (shardio_json_kind(value) == 0 || shardio_json_kind(value) == 'n') return NULL;
    const char *wrong = shardio_p_check_members(value);
    if (wrong != NULL) return wrong;
    shardio_json kind = shardio_json_member(value, "kind"), metadata = shardio_json_member(value, "metadata");
    if (shardio_json_kind(kind) != '"') return "it has no kind";
    if (!shardio_json_is(kind, "inline")) {
        bool may_ignore = shardio_json_kind(shardio_json_member(value, "must_understand")) == 'f';
        *status = SHARDIO_ERR_UNSUPPORTED;
        return may_ignore ? NULL : "only the kind inline is";
    }
    if (shardio_json_kind(metadata) != '{') return "its metadata is no object";
    while (shardio_json_next(metadata, &at, NULL, &entry))
        if (shardio_json_kind(entry) != '{') return "what it says of a node is no object";
    node->consolidated = metadata;
    return NULL;
}

/* A group has no members but these (core, "Group metadata"), unless they need not be understood. */
static bool shardio_p_group_knows(shardio_json name, shardio_json value)
{
    static const char *const known[] = {"zarr_format", "node_type", "attributes", "consolidated_metadata"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (shardio_json_is(name, known[i])) return true;
    return shardio_json_kind(shardio_json_member(value, "must_understand")) == 'f';
}

static shardio_status shardio_p_check_group(shardio_node *node, const char *file, shardio_error *error)
{
    shardio_json name, value;
    shardio_status status;
    size_t at = 0;
    while (shardio_json_next(node->root, &at, &name, &value)) {
        char unknown[64];
        if (shardio_p_group_knows(name, value)) continue;
        (void)shardio_json_string(name, unknown, sizeof unknown);   /* known to arrays, so it fits */
        return shardio_p_meta_fail(error, SHARDIO_ERR_UNSUPPORTED, file, unknown, "no member of a group");
    }
    const char *wrong = shardio_p_read_consolidated(node, &status);
    return wrong == NULL ? SHARDIO_OK : shardio_p_meta_fail(error, status, file, "consolidated_metadata", wrong);
}

/* Checks a node whose text is there, and finds its pieces. `file` is for messages. */
static shardio_status shardio_p_check_node(shardio_node *node, const char *file, shardio_error *error)
{
    shardio_status status = shardio_json_parse(node->text, node->size, &node->root, error);
    if (status != SHARDIO_OK) {
        if (error != NULL) shardio_p_set_subject(error, file);
        return status;
    }
    bool array = shardio_json_is(shardio_json_member(node->root, "node_type"), "array");
    status = shardio_p_read_node(node->root, array ? "array" : "group", file, error);
    if (status != SHARDIO_OK) return status;
    node->kind = array ? SHARDIO_NODE_ARRAY : SHARDIO_NODE_GROUP;
    node->attributes = shardio_json_member(node->root, "attributes");
    if (shardio_json_kind(node->attributes) != 0 && shardio_json_kind(node->attributes) != '{')
        return shardio_p_meta_fail(error, SHARDIO_ERR_CORRUPT, file, "attributes", "not an object");
    return array ? SHARDIO_OK : shardio_p_check_group(node, file, error);
}

static shardio_status shardio_p_load_node(const shardio_p_site *site, shardio_node *node, shardio_error *error)
{
    char name[600], *text;
    size_t size;
    memset(node, 0, sizeof *node);
    shardio_status status = shardio_p_read_small(site->store, site->o.allocator, site->o.allocator, site->key,
                                                 site->o.metadata_limit, &text, &size, error);
    if (status != SHARDIO_OK) return status;
    node->text = text;
    node->size = size - 1;
    node->allocator = site->o.allocator;
    status = shardio_p_check_node(node, shardio_p_site_name(site, name, sizeof name), error);
    if (status != SHARDIO_OK) shardio_node_close(node);
    return status;
}

SHARDIO_API shardio_status shardio_node_open(shardio_node *node, const shardio_store *store, const char *path,
                                             const shardio_node_options *options, shardio_error *error)
{
    shardio_p_site site;
    if (node == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", path, "no node");
    memset(node, 0, sizeof *node);
    shardio_status status = shardio_p_site_begin(&site, store, path, "open", options, error);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_load_node(&site, node, error);
    shardio_p_site_end(&site);
    return status;
}

SHARDIO_API void shardio_node_close(shardio_node *node)
{
    if (node == NULL) return;
    if (node->text != NULL) shardio_p_release(node->allocator, (void *)(uintptr_t)node->text, node->size + 1, 16);
    memset(node, 0, sizeof *node);
}

/* -- attributes */

/* A member of an object and what is around it. */
typedef struct shardio_p_spot {
    shardio_json name, value;             /* absent: there is no such member */
    const char *before, *after;           /* where the value before it ends and the name after it begins, or null */
    shardio_json last_name, last_value;   /* of the last member */
    size_t found, members;                /* how often it stands there; members in all */
} shardio_p_spot;

static const char *shardio_p_json_end(shardio_json value)
{
    return value.text + value.size;
}

static shardio_p_spot shardio_p_find_spot(shardio_json object, const char *name)
{
    shardio_p_spot spot;
    shardio_json member, value;
    size_t at = 0;
    memset(&spot, 0, sizeof spot);
    while (shardio_json_next(object, &at, &member, &value)) {
        if (spot.found > 0 && spot.after == NULL) spot.after = member.text;
        if (shardio_json_is(member, name) && ++spot.found == 1) {
            spot.name = member;
            spot.value = value;
            if (spot.members > 0) spot.before = shardio_p_json_end(spot.last_value);
        }
        spot.last_name = member;
        spot.last_value = value;
        spot.members++;
    }
    return spot;
}

static shardio_json shardio_p_attribute(const shardio_node *node, const char *name)
{
    const shardio_json absent = {NULL, 0};
    if (node == NULL || name == NULL) return absent;
    shardio_p_spot spot = shardio_p_find_spot(node->attributes, name);
    return spot.found == 1 ? spot.value : absent;
}

SHARDIO_API bool shardio_node_int64(const shardio_node *node, const char *name, int64_t *value)
{
    return shardio_json_int64(shardio_p_attribute(node, name), value);
}

SHARDIO_API bool shardio_node_double(const shardio_node *node, const char *name, double *value)
{
    return shardio_json_double(shardio_p_attribute(node, name), value);
}

SHARDIO_API bool shardio_node_bool(const shardio_node *node, const char *name, bool *value)
{
    return shardio_json_bool(shardio_p_attribute(node, name), value);
}

SHARDIO_API bool shardio_node_string(const shardio_node *node, const char *name, char *text, size_t size)
{
    return shardio_json_string(shardio_p_attribute(node, name), text, size);
}

/* How a zarr.json is laid out, as the last member of its root shows. */
typedef struct shardio_p_style {
    const char *lead;           /* what stands in front of the member: line ends, then an indent */
    size_t ends, indent;        /* bytes of each */
    bool lines;                 /* a line for each member */
    bool spaced;                /* a space behind : and , */
} shardio_p_style;

enum { SHARDIO_P_WIDEST_LEAD = 64 };   /* bytes; what is wider is no style but padding */

/* Where the space in front of `name` begins. */
static const char *shardio_p_space_before(shardio_json object, shardio_json name)
{
    const char *begin = name.text;
    while (begin > object.text && shardio_p_is_space(begin[-1])) begin--;
    return begin;
}

static shardio_p_style shardio_p_style_of(shardio_json root)
{
    shardio_p_style style = {NULL, 0, 0, false, false};
    shardio_p_spot spot = shardio_p_find_spot(root, "");
    style.lead = shardio_p_space_before(root, spot.last_name);
    size_t width = (size_t)(spot.last_name.text - style.lead);
    while (style.indent < width && spot.last_name.text[-1 - (ptrdiff_t)style.indent] != '\n') style.indent++;
    style.ends = width - style.indent;
    style.lines = style.ends > 0 && width <= SHARDIO_P_WIDEST_LEAD;
    style.spaced = shardio_p_is_space(spot.last_value.text[-1]);
    return style;
}

/* A line for what is in `level` objects; nothing in a text of one line. */
static void shardio_p_add_line(shardio_text *text, const shardio_p_style *style, int level)
{
    if (!style->lines) return;
    shardio_text_add_bytes(text, style->lead, style->ends);
    for (; level > 0; level--) shardio_text_add_bytes(text, style->lead + style->ends, style->indent);
}

static void shardio_p_add_comma(shardio_text *text, const shardio_p_style *style, int level)
{
    shardio_text_add(text, style->spaced && !style->lines ? ", " : ",");
    shardio_p_add_line(text, style, level);
}

static void shardio_p_add_name(shardio_text *text, const shardio_p_style *style, const char *name)
{
    shardio_text_add_string(text, name);
    shardio_text_add(text, style->spaced ? ": " : ":");
}

/* The change of one member of an object that is a piece of a node's text and has members. */
typedef struct shardio_p_edit {
    shardio_json object;
    const char *name;        /* of the member */
    const char *inner;       /* it becomes an object of this one member; null: it becomes the value */
    shardio_json value;      /* absent: the member goes */
} shardio_p_edit;

static void shardio_p_add_range(shardio_text *text, const char *from, const char *to)
{
    shardio_text_add_bytes(text, from, (size_t)(to - from));
}

static void shardio_p_add_edited_value(shardio_text *text, const shardio_node *node, const shardio_p_edit *edit)
{
    if (edit->inner != NULL) {
        shardio_p_style style = shardio_p_style_of(node->root);
        shardio_text_add(text, "{");
        shardio_p_add_line(text, &style, 2);
        shardio_p_add_name(text, &style, edit->inner);
        shardio_text_add_bytes(text, edit->value.text, edit->value.size);
        shardio_p_add_line(text, &style, 1);
        shardio_text_add(text, "}");
    } else {
        shardio_text_add_bytes(text, edit->value.text, edit->value.size);
    }
}

/* A name behind the last member, with what stands around that one's. */
static void shardio_p_add_like_last(shardio_text *text, const shardio_p_edit *edit, const shardio_p_spot *spot)
{
    const char *lead = shardio_p_space_before(edit->object, spot->last_name), *at = lead;
    while (at < spot->last_name.text && *at != '\n') at++;
    bool only_one_here = at == spot->last_name.text && spot->members == 1;
    bool spaced = shardio_p_is_space(spot->last_value.text[-1]);
    shardio_text_add(text, ",");
    /* in front of the only member of a line there need not be a space, but behind its colon */
    if (only_one_here) shardio_text_add(text, spaced ? " " : "");
    else shardio_p_add_range(text, lead, spot->last_name.text);
    shardio_text_add_string(text, edit->name);
    shardio_p_add_range(text, shardio_p_json_end(spot->last_name), spot->last_value.text);
}

/* The whole text after the change. */
static void shardio_p_add_edited(shardio_text *text, const shardio_node *node, const shardio_p_edit *edit)
{
    shardio_p_spot spot = shardio_p_find_spot(edit->object, edit->name);
    const char *from, *to;
    if (spot.found == 0) {
        from = to = shardio_p_json_end(spot.last_value);
    } else if (edit->value.text != NULL) {
        from = spot.value.text;
        to = shardio_p_json_end(spot.value);
    } else if (spot.before != NULL) {
        from = spot.before;
        to = shardio_p_json_end(spot.value);
    } else if (spot.after != NULL) {
        from = spot.name.text;
        to = spot.after;
    } else {   /* the only one: {} is left */
        from = edit->object.text + 1;
        to = shardio_p_json_end(edit->object) - 1;
    }
    shardio_p_add_range(text, node->text, from);
    if (spot.found == 0) shardio_p_add_like_last(text, edit, &spot);
    if (edit->value.text != NULL) shardio_p_add_edited_value(text, node, edit);
    shardio_p_add_range(text, to, node->text + node->size);
}

/* Writes the node's text after the change, if it is a node's. */
static shardio_status shardio_p_write_edited(const shardio_p_site *site, const shardio_node *node,
                                             const shardio_p_edit *edit, bool overwrite, shardio_error *error)
{
    char name[600];
    shardio_text text = {NULL, 0, 0};
    shardio_node changed;
    shardio_json whole;
    shardio_p_add_edited(&text, node, edit);
    if (text.size > site->o.metadata_limit)
        return shardio_p_site_fail(site, SHARDIO_ERR_LIMIT, "change", 0, "more metadata than metadata_limit", error);
    text.capacity = text.size + 1;
    text.size = 0;
    text.text = (char *)shardio_p_allocate(site->o.allocator, text.capacity, 16);
    if (text.text == NULL) return shardio_p_site_fail(site, SHARDIO_ERR_MEMORY, "change", 0, NULL, error);
    shardio_p_add_edited(&text, node, edit);
    memset(&changed, 0, sizeof changed);
    changed.text = whole.text = text.text;
    changed.size = whole.size = text.size;
    shardio_status status = shardio_p_check_node(&changed, shardio_p_site_name(site, name, sizeof name), error);
    if (status == SHARDIO_OK)
        status = shardio_p_write_small(site->store, site->o.allocator, site->key, overwrite, site->o.durability, &whole,
                                       1, error);
    shardio_p_release(site->o.allocator, text.text, text.capacity, 16);
    return status;
}

/* Changes a member of the root. */
static shardio_status shardio_p_set_member(const shardio_p_site *site, const shardio_node *node, const char *name,
                                           shardio_json value, shardio_error *error)
{
    shardio_p_edit edit;
    memset(&edit, 0, sizeof edit);
    edit.object = node->root;
    edit.name = name;
    edit.value = value;
    return shardio_p_write_edited(site, node, &edit, true, error);
}

/* Sets an attribute, or takes it out (`value` absent). */
static shardio_status shardio_p_set_in(const shardio_p_site *site, const shardio_node *node, const char *name,
                                       shardio_json value, shardio_error *error)
{
    shardio_p_spot spot = shardio_p_find_spot(node->attributes, name);
    shardio_p_edit edit = {node->attributes, name, NULL, value};
    if (spot.found > 1)
        return shardio_p_site_fail(site, SHARDIO_ERR_CORRUPT, "change", 0, "the attribute stands there twice", error);
    if (spot.found == 0 && value.text == NULL)
        return shardio_p_site_fail(site, SHARDIO_ERR_NOT_FOUND, "change", 0, "there is no such attribute", error);
    if (spot.members == 0) {
        edit.object = node->root;
        edit.name = "attributes";
        edit.inner = name;
    }
    return shardio_p_write_edited(site, node, &edit, true, error);
}

/* `name` null: all attributes. */
static shardio_status shardio_p_set(const shardio_store *store, const char *path, const char *name, shardio_json value,
                                    const shardio_node_options *options, shardio_error *error)
{
    shardio_p_site site;
    shardio_node node;
    shardio_status status = shardio_p_site_begin(&site, store, path, "change", options, error);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_load_node(&site, &node, error);
    if (status == SHARDIO_OK) {
        status = name != NULL ? shardio_p_set_in(&site, &node, name, value, error)
                              : shardio_p_set_member(&site, &node, "attributes", value, error);
        shardio_node_close(&node);
    }
    shardio_p_site_end(&site);
    return status;
}

/* JSON of the caller's; null is absent. */
static shardio_status shardio_p_take_json(const char *text, shardio_json *value, shardio_error *error)
{
    value->text = NULL;
    value->size = 0;
    if (text == NULL || shardio_json_parse(text, shardio_p_length(text), value, error) == SHARDIO_OK) return SHARDIO_OK;
    if (error != NULL) {   /* keeps where it is wrong */
        error->status = SHARDIO_ERR_ARGUMENT;
        shardio_p_set_subject(error, "the attribute");
    }
    return SHARDIO_ERR_ARGUMENT;
}

/* An object; null is an empty one. */
static shardio_status shardio_p_take_object(const char *text, const char *operation, shardio_json *value,
                                            shardio_error *error)
{
    shardio_status status = shardio_p_take_json(text != NULL ? text : "{}", value, error);
    if (status != SHARDIO_OK || shardio_json_kind(*value) == '{') return status;
    return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, operation, "the attributes", "not a JSON object");
}

static shardio_status shardio_p_check_name(const char *name, shardio_error *error)
{
    if (name != NULL && shardio_p_is_text(name, shardio_p_length(name))) return SHARDIO_OK;
    return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "change", "an attribute", "its name is no UTF-8 text");
}

SHARDIO_API shardio_status shardio_node_set_attributes(const shardio_store *store, const char *path,
                                                       const char *attributes, const shardio_node_options *options,
                                                       shardio_error *error)
{
    shardio_json value;
    shardio_status status = shardio_p_take_object(attributes, "change", &value, error);
    return status == SHARDIO_OK ? shardio_p_set(store, path, NULL, value, options, error) : status;
}

SHARDIO_API shardio_status shardio_node_set_attribute(const shardio_store *store, const char *path, const char *name,
                                                      const char *json, const shardio_node_options *options,
                                                      shardio_error *error)
{
    shardio_json value;
    shardio_status status = shardio_p_check_name(name, error);
    if (status == SHARDIO_OK) status = shardio_p_take_json(json, &value, error);
    return status == SHARDIO_OK ? shardio_p_set(store, path, name, value, options, error) : status;
}

SHARDIO_API shardio_status shardio_node_set_int64(const shardio_store *store, const char *path, const char *name,
                                                  int64_t value, const shardio_node_options *options,
                                                  shardio_error *error)
{
    char digits[24];
    shardio_text text = {digits, sizeof digits, 0};
    shardio_text_add_int64(&text, value);
    return shardio_node_set_attribute(store, path, name, digits, options, error);
}

SHARDIO_API shardio_status shardio_node_set_double(const shardio_store *store, const char *path, const char *name,
                                                   double value, const shardio_node_options *options,
                                                   shardio_error *error)
{
    char digits[48];
    shardio_text text = {digits, sizeof digits, 0};
    if (!(value - value == 0.0))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "change", "an attribute",
                              "JSON has neither NaN nor infinity");
    shardio_text_add_double(&text, value);
    return shardio_node_set_attribute(store, path, name, digits, options, error);
}

SHARDIO_API shardio_status shardio_node_set_bool(const shardio_store *store, const char *path, const char *name,
                                                 bool value, const shardio_node_options *options, shardio_error *error)
{
    return shardio_node_set_attribute(store, path, name, value ? "true" : "false", options, error);
}

SHARDIO_API shardio_status shardio_node_set_string(const shardio_store *store, const char *path, const char *name,
                                                   const char *value, const shardio_node_options *options,
                                                   shardio_error *error)
{
    const shardio_allocator *allocator = options != NULL ? options->allocator : NULL;
    shardio_text text = {NULL, 0, 0};
    if (value == NULL || !shardio_p_is_text(value, shardio_p_length(value)))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "change", "an attribute", "its value is no UTF-8 text");
    shardio_text_add_string(&text, value);
    text.capacity = text.size + 1;
    text.size = 0;
    text.text = (char *)shardio_p_allocate(allocator, text.capacity, 16);
    if (text.text == NULL) return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "change", "an attribute", NULL);
    shardio_text_add_string(&text, value);
    shardio_status status = shardio_node_set_attribute(store, path, name, text.text, options, error);
    shardio_p_release(allocator, text.text, text.capacity, 16);
    return status;
}

/* -- groups */

/* Writes a group where no zarr.json may be yet. */
static shardio_status shardio_p_write_group(const shardio_p_site *site, shardio_json attributes, shardio_error *error)
{
    static const char text[] = "{\n  \"zarr_format\": 3,\n  \"node_type\": \"group\",\n  \"attributes\": {}\n}\n";
    shardio_node group;
    shardio_p_edit edit;
    memset(&group, 0, sizeof group);
    memset(&edit, 0, sizeof edit);
    group.text = text;
    group.size = sizeof text - 1;
    (void)shardio_p_check_node(&group, "", NULL);
    edit.object = group.root;
    edit.name = "attributes";
    edit.value = attributes;
    return shardio_p_write_edited(site, &group, &edit, false, error);
}

/* What is on the way has to be a group, or nothing yet. */
static shardio_status shardio_p_check_above(const shardio_p_site *above, shardio_error *error)
{
    shardio_node node;
    shardio_status status = shardio_p_load_node(above, &node, error);
    if (status == SHARDIO_ERR_NOT_FOUND) {
        shardio_p_no_error(error);
        return SHARDIO_OK;
    }
    if (status != SHARDIO_OK) return status;
    bool array = node.kind == SHARDIO_NODE_ARRAY;
    shardio_node_close(&node);
    if (!array) return SHARDIO_OK;
    return shardio_p_site_fail(above, SHARDIO_ERR_UNSUPPORTED, "create below", 0, "an array, not a group", error);
}

/* Writes a group where there is nothing; otherwise what is there was checked. */
static shardio_status shardio_p_write_above(const shardio_p_site *above, shardio_error *error)
{
    const shardio_json none = {"{}", 2};
    shardio_status status = shardio_p_write_group(above, none, error);
    if (status != SHARDIO_ERR_EXISTS) return status;
    shardio_p_no_error(error);
    return SHARDIO_OK;
}

/* Calls `act` for the store and every group on the way to the node. */
static shardio_status shardio_p_each_above(const shardio_p_site *site, shardio_error *error,
                                           shardio_status (*act)(const shardio_p_site *above, shardio_error *error))
{
    shardio_status status = SHARDIO_OK;
    for (size_t i = 0; i < site->prefix && status == SHARDIO_OK; i++) {
        shardio_p_site above;
        if (i > 0 && site->below[i] != '/') continue;
        if (i + 1 == site->prefix) break;   /* the node itself */
        char cut = site->below[i];
        site->below[i] = 0;
        status = shardio_p_site_begin(&above, site->store, site->below, "create", &site->o, error);
        site->below[i] = cut;
        if (status != SHARDIO_OK) return status;
        status = act(&above, error);
        shardio_p_site_end(&above);
    }
    return status;
}

/* Whether a key is the zarr.json of a node at or below the site; *path is how much of the key is its path. */
static bool shardio_p_is_node_key(const shardio_p_site *site, const char *key, size_t *path)
{
    size_t n = shardio_p_length(key), name = sizeof "zarr.json" - 1;
    if (n < site->prefix + name || memcmp(key, site->below, site->prefix) != 0) return false;
    if (!shardio_p_same(key + n - name, "zarr.json")) return false;
    *path = n > name ? n - name - 1 : 0;
    return n == name || key[*path] == '/';
}

/* What is there already where a group is to be created. */
typedef struct shardio_p_claimed {
    const shardio_p_site *site;
    bool itself, below, other;   /* its zarr.json; that of another node; any other file */
} shardio_p_claimed;

static bool shardio_p_claim_key(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_claimed *claimed = (shardio_p_claimed *)context;
    size_t path;
    (void)size;
    if (temporary || !shardio_p_is_node_key(claimed->site, key, &path)) claimed->other = true;
    else if (shardio_p_same(key, claimed->site->key)) claimed->itself = true;
    else claimed->below = true;
    return !claimed->itself;
}

/* Lists the keys at or below the site; a store that is not there has none. */
static shardio_status shardio_p_list_below(const shardio_p_site *site, const char *operation,
                                           bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                                           void *context, shardio_error *error)
{
    int code = 0;
    shardio_status status = site->store->functions->list(site->store->context, site->below, each, context, &code);
    if (status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
    return shardio_p_site_fail(site, status, operation, code, NULL, error);
}

static shardio_status shardio_p_claim_group(const shardio_p_site *site, shardio_error *error)
{
    shardio_p_claimed claimed = {site, false, false, false};
    shardio_status status = shardio_p_list_below(site, "create", shardio_p_claim_key, &claimed, error);
    if (status != SHARDIO_OK || (!claimed.itself && (claimed.below || !claimed.other))) return status;
    const char *reason = claimed.itself ? NULL : "what is there is no node";
    return shardio_p_site_fail(site, SHARDIO_ERR_EXISTS, "create", 0, reason, error);
}

SHARDIO_API shardio_status shardio_group_create(const shardio_store *store, const char *path, const char *attributes,
                                                const shardio_node_options *options, shardio_error *error)
{
    shardio_p_site site;
    shardio_json value;
    shardio_status status = shardio_p_take_object(attributes, "create", &value, error);
    if (status == SHARDIO_OK) status = shardio_p_site_begin(&site, store, path, "create", options, error);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_each_above(&site, error, shardio_p_check_above);
    if (status == SHARDIO_OK) status = shardio_p_claim_group(&site, error);
    if (status == SHARDIO_OK) {
        status = shardio_p_each_above(&site, error, shardio_p_write_above);
        if (status == SHARDIO_OK) status = shardio_p_write_group(&site, value, error);
        if (status == SHARDIO_ERR_NOT_FOUND)
            status = shardio_p_site_fail(&site, SHARDIO_ERR_EXISTS, "create", 0, "what is there is no directory",
                                         error);
    }
    shardio_p_site_end(&site);
    return status;
}

/* -- hierarchies */

/* A node of a hierarchy. */
typedef struct shardio_p_listed {
    const char *path;
    shardio_json value;      /* its entry in consolidated metadata; absent: it has to be read */
} shardio_p_listed;

/* The nodes at or below a site, in the order of their paths. */
typedef struct shardio_p_hierarchy {
    const shardio_p_site *site;
    shardio_memory paths;         /* one behind the other, each ended with a zero byte */
    shardio_p_listed *nodes;
    size_t count, room;           /* nodes; of which there is memory for */
    bool no_memory;
} shardio_p_hierarchy;

static void shardio_p_hierarchy_begin(shardio_p_hierarchy *h, const shardio_p_site *site)
{
    memset(h, 0, sizeof *h);
    h->site = site;
    h->paths.allocator = site->o.allocator;
}

static void shardio_p_hierarchy_end(shardio_p_hierarchy *h)
{
    shardio_p_release(h->site->o.allocator, h->nodes, h->room * sizeof *h->nodes, 16);
    shardio_memory_free(&h->paths);
}

static shardio_status shardio_p_hierarchy_memory(const shardio_p_hierarchy *h, shardio_error *error)
{
    return shardio_p_site_fail(h->site, SHARDIO_ERR_MEMORY, "walk below", 0, "no memory for the paths", error);
}

/* Memory for `count` nodes. */
static bool shardio_p_hierarchy_room(shardio_p_hierarchy *h, size_t count)
{
    if (count == 0) return true;
    if (count > SIZE_MAX / sizeof *h->nodes) return false;
    h->nodes = (shardio_p_listed *)shardio_p_allocate(h->site->o.allocator, count * sizeof *h->nodes, 16);
    if (h->nodes == NULL) return false;
    memset(h->nodes, 0, count * sizeof *h->nodes);
    h->room = count;
    return true;
}

/* A path ends before a '/', and a '/' comes before everything else: so parents come first, and name follows name. */
static int shardio_p_path_rank(char c)
{
    return c == 0 ? 0 : c == '/' ? 1 : 2 + (int)(unsigned char)c;
}

static bool shardio_p_path_less(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) a++, b++;
    return shardio_p_path_rank(*a) < shardio_p_path_rank(*b);
}

static void shardio_p_sift_listed(shardio_p_listed *nodes, size_t root, size_t count)
{
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && shardio_p_path_less(nodes[child].path, nodes[child + 1].path)) child++;
        if (!shardio_p_path_less(nodes[root].path, nodes[child].path)) return;
        shardio_p_listed larger = nodes[child];
        nodes[child] = nodes[root];
        nodes[root] = larger;
        root = child;
    }
}

/* Heapsort: in place, no recursion, no bad case. */
static void shardio_p_sort_listed(shardio_p_listed *nodes, size_t count)
{
    for (size_t i = count / 2; i > 0; i--) shardio_p_sift_listed(nodes, i - 1, count);
    for (size_t last = count; last > 1; last--) {
        shardio_p_listed largest = nodes[0];
        nodes[0] = nodes[last - 1];
        nodes[last - 1] = largest;
        shardio_p_sift_listed(nodes, 0, last - 1);
    }
}

static bool shardio_p_collect_node(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_hierarchy *h = (shardio_p_hierarchy *)context;
    size_t path;
    (void)size;
    if (temporary || !shardio_p_is_node_key(h->site, key, &path)) return true;
    h->no_memory = !shardio_p_memory_reserve(&h->paths, (uint64_t)h->paths.size + path + 1);
    if (h->no_memory) return false;
    memcpy(h->paths.data + h->paths.size, key, path);
    h->paths.data[h->paths.size + path] = 0;
    h->paths.size += path + 1;
    h->count++;
    return true;
}

/* The nodes that the store has. */
static shardio_status shardio_p_hierarchy_list(shardio_p_hierarchy *h, shardio_error *error)
{
    shardio_status status = shardio_p_list_below(h->site, "list", shardio_p_collect_node, h, error);
    if (status != SHARDIO_OK) return status;
    if (h->no_memory || !shardio_p_hierarchy_room(h, h->count)) return shardio_p_hierarchy_memory(h, error);
    if (h->count == 0) return shardio_p_site_fail(h->site, SHARDIO_ERR_NOT_FOUND, "open", 0, "there is no node", error);
    const char *path = (const char *)h->paths.data;
    for (size_t i = 0; i < h->count; i++, path += shardio_p_length(path) + 1) h->nodes[i].path = path;
    shardio_p_sort_listed(h->nodes, h->count);
    return SHARDIO_OK;
}

/* Opens a node that was listed. Other programs may have made one with a name that we take for no plain one. */
static shardio_status shardio_p_open_listed(const shardio_p_site *site, const char *path, shardio_node *node,
                                            shardio_error *error)
{
    if (path[0] == 0 || shardio_p_key_is_plain(path))
        return shardio_node_open(node, site->store, path, &site->o, error);
    return shardio_p_key_fail(error, site->store, SHARDIO_ERR_UNSUPPORTED, "open", path, 0,
                              "not of plain names with / between");
}

/* The path of a node in consolidated metadata, behind that of the site; false: it is no plain one. */
static bool shardio_p_entry_path(const shardio_p_site *site, shardio_json name, char *path, size_t room)
{
    char *below = path + site->prefix;
    memcpy(path, site->below, site->prefix);
    return shardio_json_string(name, below, room - site->prefix) && shardio_p_key_is_plain(below);
}

/* The nodes that consolidated metadata has. Those without a plain path are left out; *odd: there are some. */
static shardio_status shardio_p_hierarchy_take(shardio_p_hierarchy *h, shardio_json metadata, bool *odd,
                                               shardio_error *error)
{
    shardio_json name, value;
    uint64_t size = 0;
    size_t at = 0, count = 0;
    for (; shardio_json_next(metadata, &at, &name, &value); count++) size += h->site->prefix + name.size;
    if (!shardio_p_hierarchy_room(h, count) || !shardio_p_memory_reserve(&h->paths, size))
        return shardio_p_hierarchy_memory(h, error);
    for (at = 0; shardio_json_next(metadata, &at, &name, &value);) {
        char *path = (char *)h->paths.data + h->paths.size;
        if (!shardio_p_entry_path(h->site, name, path, h->site->prefix + name.size)) {
            *odd = true;
            continue;
        }
        h->paths.size += shardio_p_length(path) + 1;
        h->nodes[h->count].path = path;
        h->nodes[h->count++].value = value;
    }
    shardio_p_sort_listed(h->nodes, h->count);
    return SHARDIO_OK;
}

/* Whether `path` is the first `length` bytes of `above`, or below them. */
static bool shardio_p_is_below(const char *path, const char *above, size_t length)
{
    size_t n = 0;
    while (n < length && path[n] == above[n]) n++;
    return n == length && (length == 0 || path[n] == 0 || path[n] == '/');
}

/* A walk: what was reached. */
typedef struct shardio_p_tour {
    shardio_p_hierarchy h;
    shardio_node_visitor visit;
    void *context;
    const char *array;           /* the path of the last array, or null */
    shardio_memory entry;        /* an entry of consolidated metadata, ended with a zero byte */
    shardio_error *error;
} shardio_p_tour;

static shardio_status shardio_p_tour_visit(shardio_p_tour *tour, const char *path, const shardio_node *node,
                                           const shardio_error *fault)
{
    shardio_status status = tour->visit(tour->context, path, node, fault);
    if (status == SHARDIO_OK) return SHARDIO_OK;
    return shardio_p_key_fail(tour->error, tour->h.site->store, status, "visit", path, 0, "the visitor stopped");
}

/* A fault of a node; a path that is not plain is kept from the visitor. */
static shardio_status shardio_p_tour_fault(shardio_p_tour *tour, const char *path, const shardio_error *fault)
{
    bool plain = path[0] == 0 || shardio_p_key_is_plain(path);
    return shardio_p_tour_visit(tour, plain ? path : tour->h.site->path, NULL, fault);
}

/* A node out of consolidated metadata, in memory of its own. */
static shardio_status shardio_p_tour_entry(shardio_p_tour *tour, const shardio_p_listed *listed, shardio_node *node,
                                           shardio_error *error)
{
    char name[600];
    shardio_text text = {name, sizeof name, 0};
    shardio_text_add(&text, listed->path);
    shardio_text_add(&text, " in consolidated metadata");
    memset(node, 0, sizeof *node);
    if (!shardio_p_memory_reserve(&tour->entry, (uint64_t)listed->value.size + 1))
        return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "read", name, NULL);
    memcpy(tour->entry.data, listed->value.text, listed->value.size);
    tour->entry.data[listed->value.size] = 0;
    node->text = (const char *)tour->entry.data;
    node->size = listed->value.size;
    return shardio_p_check_node(node, name, error);
}

static shardio_status shardio_p_tour_node(shardio_p_tour *tour, const shardio_p_listed *listed)
{
    const shardio_p_site *site = tour->h.site;
    bool consolidated = listed->value.text != NULL;
    shardio_error fault;
    shardio_node node;
    if (tour->array != NULL && shardio_p_is_below(listed->path, tour->array, shardio_p_length(tour->array))) {
        shardio_p_key_fail(&fault, site->store, SHARDIO_ERR_CORRUPT, "walk", listed->path, 0, "a node below an array");
        return shardio_p_tour_fault(tour, listed->path, &fault);
    }
    shardio_status status = consolidated ? shardio_p_tour_entry(tour, listed, &node, &fault)
                                         : shardio_p_open_listed(site, listed->path, &node, &fault);
    if (status == SHARDIO_ERR_MEMORY) {
        if (tour->error != NULL) *tour->error = fault;
        return status;
    }
    if (status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;   /* removed since it was listed */
    if (status != SHARDIO_OK) return shardio_p_tour_fault(tour, listed->path, &fault);
    if (node.kind == SHARDIO_NODE_ARRAY) tour->array = listed->path;
    status = shardio_p_tour_visit(tour, listed->path, &node, NULL);
    if (!consolidated) shardio_node_close(&node);
    return status;
}

/* An object that has a name twice says two things. */
static shardio_status shardio_p_tour_twice(shardio_p_tour *tour, const char *path)
{
    shardio_error fault;
    shardio_p_key_fail(&fault, tour->h.site->store, SHARDIO_ERR_CORRUPT, "walk", path, 0,
                       "it stands in consolidated metadata twice");
    return shardio_p_tour_fault(tour, path, &fault);
}

static shardio_status shardio_p_tour_nodes(shardio_p_tour *tour)
{
    const shardio_p_listed *nodes = tour->h.nodes;
    shardio_status status = SHARDIO_OK;
    for (size_t i = 0, next; i < tour->h.count && status == SHARDIO_OK; i = next) {
        for (next = i + 1; next < tour->h.count && shardio_p_same(nodes[next].path, nodes[i].path); next++) {}
        bool twice = next - i > 1 && nodes[i].value.text != NULL;
        status = twice ? shardio_p_tour_twice(tour, nodes[i].path) : shardio_p_tour_node(tour, &nodes[i]);
    }
    return status;
}

/* From the consolidated metadata of `group`, which is visited first. */
static shardio_status shardio_p_tour_consolidated(shardio_p_tour *tour, const shardio_node *group)
{
    const char *path = tour->h.site->path;
    bool odd = false;
    shardio_status status = shardio_p_hierarchy_take(&tour->h, group->consolidated, &odd, tour->error);
    if (status == SHARDIO_OK) status = shardio_p_tour_visit(tour, path, group, NULL);
    if (status == SHARDIO_OK && odd) {
        shardio_error fault;
        shardio_p_site_fail(tour->h.site, SHARDIO_ERR_CORRUPT, "walk", 0,
                            "consolidated metadata with a path that is not plain", &fault);
        status = shardio_p_tour_visit(tour, path, NULL, &fault);
    }
    return status == SHARDIO_OK ? shardio_p_tour_nodes(tour) : status;
}

SHARDIO_API shardio_status shardio_hierarchy_walk(const shardio_store *store, const char *path, bool consolidated,
                                                  shardio_node_visitor visit, void *context,
                                                  const shardio_node_options *options, shardio_error *error)
{
    shardio_p_site site;
    shardio_p_tour tour;
    shardio_node group;
    if (visit == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "walk", path, "no visitor");
    shardio_status status = shardio_p_site_begin(&site, store, path, "walk", options, error);
    if (status != SHARDIO_OK) return status;
    memset(&tour, 0, sizeof tour);
    shardio_p_hierarchy_begin(&tour.h, &site);
    tour.visit = visit;
    tour.context = context;
    tour.error = error;
    tour.entry.allocator = site.o.allocator;
    memset(&group, 0, sizeof group);
    if (consolidated) status = shardio_p_load_node(&site, &group, error);
    if (group.consolidated.text != NULL) {
        status = shardio_p_tour_consolidated(&tour, &group);
    } else if (status != SHARDIO_ERR_MEMORY) {   /* another fault comes again, and the visitor hears of it */
        shardio_p_no_error(error);
        status = shardio_p_hierarchy_list(&tour.h, error);
        if (status == SHARDIO_OK) status = shardio_p_tour_nodes(&tour);
    }
    shardio_node_close(&group);
    shardio_memory_free(&tour.entry);
    shardio_p_hierarchy_end(&tour.h);
    shardio_p_site_end(&site);
    return status;
}

/* -- consolidated metadata */

static void shardio_p_add_entries_begin(shardio_text *text, const shardio_p_style *style)
{
    shardio_text_add(text, "{");
    shardio_p_add_line(text, style, 2);
    shardio_p_add_name(text, style, "kind");
    shardio_text_add(text, "\"inline\"");
    shardio_p_add_comma(text, style, 2);
    shardio_p_add_name(text, style, "must_understand");
    shardio_text_add(text, "false");
    shardio_p_add_comma(text, style, 2);
    shardio_p_add_name(text, style, "metadata");
    shardio_text_add(text, "{");
}

/* An entry, the beginning in front of the first one, and (`node` null) the end. What a group says of its members is not
   repeated: its entry says that it has none, and theirs follow; zarr-python puts them together so. */
static void shardio_p_add_entry(shardio_text *text, const shardio_p_style *style, const char *path,
                                const shardio_node *node, bool first)
{
    static const char none_below[] = "{\"kind\": \"inline\", \"must_understand\": false, \"metadata\": {}}";
    if (first) shardio_p_add_entries_begin(text, style);
    if (node == NULL) {
        if (!first) shardio_p_add_line(text, style, 2);
        shardio_text_add(text, "}");
        shardio_p_add_line(text, style, 1);
        shardio_text_add(text, "}");
        return;
    }
    if (first) shardio_p_add_line(text, style, 3);
    else shardio_p_add_comma(text, style, 3);
    shardio_p_add_name(text, style, path);
    shardio_node entry = *node;
    shardio_p_edit edit = {node->root, "consolidated_metadata", NULL, {none_below, sizeof none_below - 1}};
    entry.text = node->root.text;
    entry.size = node->root.size;
    if (node->kind == SHARDIO_NODE_GROUP) shardio_p_add_edited(text, &entry, &edit);
    else shardio_text_add_bytes(text, entry.text, entry.size);
}

/* Adds an entry to what was gathered. */
static shardio_status shardio_p_gather_entry(const shardio_p_site *site, shardio_memory *gathered,
                                             const shardio_p_style *style, const char *path, const shardio_node *node,
                                             shardio_error *error)
{
    bool first = gathered->size == 0;
    shardio_text measure = {NULL, 0, 0}, text;
    shardio_p_add_entry(&measure, style, path, node, first);
    if (measure.size > site->o.metadata_limit || gathered->size > site->o.metadata_limit - measure.size)
        return shardio_p_site_fail(site, SHARDIO_ERR_LIMIT, "consolidate", 0, "more metadata than metadata_limit",
                                   error);
    if (!shardio_p_memory_reserve(gathered, (uint64_t)gathered->size + measure.size + 1))
        return shardio_p_site_fail(site, SHARDIO_ERR_MEMORY, "consolidate", 0, NULL, error);
    text.text = (char *)gathered->data;
    text.capacity = gathered->capacity;
    text.size = gathered->size;
    shardio_p_add_entry(&text, style, path, node, first);
    gathered->size = text.size;
    return SHARDIO_OK;
}

static shardio_status shardio_p_progress(const shardio_p_site *site, const char *operation, size_t done, size_t total,
                                         shardio_error *error)
{
    if (site->o.progress == NULL || site->o.progress(site->o.progress_context, done, total) == 0) return SHARDIO_OK;
    return shardio_p_site_fail(site, SHARDIO_ERR_CANCELLED, operation, 0, NULL, error);
}

static size_t shardio_p_parent_path(const char *path)
{
    size_t n = shardio_p_length(path);
    while (n > 0 && path[n] != '/') n--;
    return n;
}

/* All nodes below that only groups lead to. `inside` is the last group that is reached so: the parent of the next such
   node is that group, or one of those that lead to it. */
static shardio_status shardio_p_gather_nodes(const shardio_p_hierarchy *h, shardio_memory *gathered,
                                             const shardio_p_style *style, shardio_error *error)
{
    const shardio_p_site *site = h->site;
    const char *inside = site->path;
    shardio_status status = SHARDIO_OK;
    for (size_t i = 0; i < h->count && status == SHARDIO_OK; i++) {
        const char *path = h->nodes[i].path;
        shardio_node node;
        if (shardio_p_same(path, site->path) || (i > 0 && shardio_p_same(path, h->nodes[i - 1].path))) continue;
        if (!shardio_p_is_below(inside, path, shardio_p_parent_path(path))) continue;
        status = shardio_p_progress(site, "consolidate", i, h->count, error);
        if (status != SHARDIO_OK) return status;
        status = shardio_p_open_listed(site, path, &node, error);
        if (status == SHARDIO_ERR_NOT_FOUND) {   /* removed since it was listed */
            shardio_p_no_error(error);
            status = SHARDIO_OK;
            continue;
        }
        if (status != SHARDIO_OK) return status;
        if (node.kind == SHARDIO_NODE_GROUP) inside = path;
        status = shardio_p_gather_entry(site, gathered, style, path + site->prefix, &node, error);
        shardio_node_close(&node);
    }
    return status == SHARDIO_OK ? shardio_p_gather_entry(site, gathered, style, NULL, NULL, error) : status;
}

static shardio_status shardio_p_consolidate(const shardio_p_site *site, const shardio_node *group, shardio_error *error)
{
    shardio_p_hierarchy h;
    shardio_memory gathered;
    shardio_p_style style = shardio_p_style_of(group->root);
    memset(&gathered, 0, sizeof gathered);
    gathered.allocator = site->o.allocator;
    shardio_p_hierarchy_begin(&h, site);
    shardio_status status = shardio_p_hierarchy_list(&h, error);
    if (status == SHARDIO_OK) status = shardio_p_gather_nodes(&h, &gathered, &style, error);
    if (status == SHARDIO_OK) {
        shardio_json value = {(const char *)gathered.data, gathered.size};
        status = shardio_p_set_member(site, group, "consolidated_metadata", value, error);
    }
    shardio_memory_free(&gathered);
    shardio_p_hierarchy_end(&h);
    return status;
}

SHARDIO_API shardio_status shardio_group_consolidate(const shardio_store *store, const char *path, bool remove,
                                                     const shardio_node_options *options, shardio_error *error)
{
    const shardio_json absent = {NULL, 0};
    shardio_p_site site;
    shardio_node group;
    shardio_status status = shardio_p_site_begin(&site, store, path, "consolidate", options, error);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_load_node(&site, &group, error);
    if (status == SHARDIO_OK && group.kind != SHARDIO_NODE_GROUP)
        status = shardio_p_site_fail(&site, SHARDIO_ERR_UNSUPPORTED, "consolidate", 0, "an array, not a group", error);
    if (status == SHARDIO_OK && !remove) status = shardio_p_consolidate(&site, &group, error);
    else if (status == SHARDIO_OK && shardio_p_find_spot(group.root, "consolidated_metadata").found > 0)
        status = shardio_p_set_member(&site, &group, "consolidated_metadata", absent, error);
    shardio_node_close(&group);
    shardio_p_site_end(&site);
    return status;
}

/* -- removing */

enum { SHARDIO_P_BATCH = 1 << 15 };   /* bytes of keys that are removed after one listing */

/* Keys that are removed: what writers left behind, and the chunks of an array. */
typedef struct shardio_p_removal {
    const shardio_p_site *site;
    const char *below;            /* the prefix of the keys */
    bool chunks;
    char *keys;                   /* each ended with a zero byte */
    size_t size, removed;         /* bytes of them; keys that were there */
    bool full;                    /* there are more keys */
} shardio_p_removal;

static bool shardio_p_collect_key(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_removal *r = (shardio_p_removal *)context;
    size_t prefix = shardio_p_length(r->below), n = shardio_p_length(key);
    (void)size;
    if (n < prefix || memcmp(key, r->below, prefix) != 0 || !shardio_p_key_is_plain(key)) return true;
    if (!temporary && !(r->chunks && shardio_p_looks_like_chunk(key + prefix))) return true;
    r->full = n >= SHARDIO_P_BATCH - r->size;
    if (r->full) return false;
    memcpy(r->keys + r->size, key, n + 1);
    r->size += n + 1;
    return true;
}

/* Makes it durable that a key is gone. */
static shardio_status shardio_p_sync_removed(const shardio_p_site *site, const char *key, shardio_error *error)
{
    const shardio_store *s = site->store;
    int code = 0;
    if (s->functions->sync == NULL || site->o.durability == SHARDIO_DURABLE_NONE) return SHARDIO_OK;
    shardio_status status = s->functions->sync(s->context, key, &code);
    if (status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
    return shardio_p_key_fail(error, s, status, "sync", key, code, NULL);
}

/* Removes the keys collected, then syncs each directory that held some. */
static shardio_status shardio_p_remove_batch(shardio_p_removal *r, shardio_error *error)
{
    const shardio_store *s = r->site->store;
    size_t n, parent, last_parent = 0;
    const char *last = NULL;
    int code = 0;
    r->removed = 0;
    for (size_t at = 0; at < r->size; at += shardio_p_length(r->keys + at) + 1) {
        shardio_status status = s->functions->remove(s->context, r->keys + at, &code);
        if (status != SHARDIO_OK && status != SHARDIO_ERR_NOT_FOUND)
            return shardio_p_key_fail(error, s, status, "remove", r->keys + at, code, NULL);
        r->removed += status == SHARDIO_OK;
    }
    for (size_t at = 0; at < r->size; at += n + 1) {
        const char *key = r->keys + at;
        n = shardio_p_length(key);
        parent = shardio_p_parent_path(key);
        bool same = last != NULL && parent == last_parent && memcmp(key, last, parent) == 0;
        shardio_status status = same ? SHARDIO_OK : shardio_p_sync_removed(r->site, key, error);
        if (status != SHARDIO_OK) return status;
        last = key;
        last_parent = parent;
    }
    return SHARDIO_OK;
}

static shardio_status shardio_p_remove_keys(const shardio_p_site *site, const char *below, bool chunks, char *memory,
                                            shardio_error *error)
{
    const shardio_store *s = site->store;
    shardio_p_removal r = {site, below, chunks, memory, 0, 0, true};
    shardio_status status = SHARDIO_OK;
    while (r.full && status == SHARDIO_OK) {
        int code = 0;
        r.size = 0;
        r.full = false;
        status = s->functions->list(s->context, below, shardio_p_collect_key, &r, &code);
        if (status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
        if (status != SHARDIO_OK) return shardio_p_key_fail(error, s, status, "list", below, code, NULL);
        status = shardio_p_remove_batch(&r, error);
        if (status == SHARDIO_OK && r.full && r.removed == 0)
            status = shardio_p_key_fail(error, s, SHARDIO_ERR_CHANGED, "remove", below, 0,
                                        "keys that are listed are not there");
    }
    return status;
}

/* Whether a node may have chunks: all but groups. What cannot be read is taken for an array. */
static shardio_status shardio_p_may_have_chunks(const shardio_p_site *site, bool *chunks, shardio_error *error)
{
    shardio_json root;
    char *text;
    size_t size;
    *chunks = true;
    shardio_status status = shardio_p_read_small(site->store, site->o.allocator, site->o.allocator, site->key,
                                                 site->o.metadata_limit, &text, &size, error);
    if (status == SHARDIO_OK) {
        *chunks = shardio_json_parse(text, size - 1, &root, NULL) != SHARDIO_OK ||
                  !shardio_json_is(shardio_json_member(root, "node_type"), "group");
        shardio_p_release(site->o.allocator, text, size, 16);
    }
    return status == SHARDIO_ERR_LIMIT ? SHARDIO_OK : status;
}

static shardio_status shardio_p_remove_one(const shardio_p_site *site, char *memory, shardio_error *error)
{
    const shardio_store *s = site->store;
    bool chunks;
    int code = 0;
    shardio_status status = shardio_p_may_have_chunks(site, &chunks, error);
    if (status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;   /* somebody else was faster */
    if (status != SHARDIO_OK) return status;
    status = s->functions->remove(s->context, site->key, &code);
    if (status != SHARDIO_OK && status != SHARDIO_ERR_NOT_FOUND)
        return shardio_p_site_fail(site, status, "remove", code, NULL, error);
    status = shardio_p_sync_removed(site, site->key, error);
    return status == SHARDIO_OK && chunks ? shardio_p_remove_keys(site, site->below, true, memory, error) : status;
}

static shardio_status shardio_p_remove_nodes(const shardio_p_hierarchy *h, char *memory, shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    for (size_t i = 0; i < h->count; i++)   /* before anything is changed */
        if (h->nodes[i].path[0] != 0 && !shardio_p_key_is_plain(h->nodes[i].path))
            return shardio_p_key_fail(error, h->site->store, SHARDIO_ERR_UNSUPPORTED, "remove", h->nodes[i].path, 0,
                                      "not of plain names with / between; nothing was removed");
    for (size_t i = 0; i < h->count && status == SHARDIO_OK; i++) {
        const char *path = h->nodes[i].path;
        shardio_p_site site;
        status = shardio_p_progress(h->site, "remove", i, h->count, error);
        if (status == SHARDIO_OK)
            status = shardio_p_site_begin(&site, h->site->store, path, "remove", &h->site->o, error);
        if (status != SHARDIO_OK) return status;
        status = shardio_p_remove_one(&site, memory, error);
        shardio_p_site_end(&site);
    }
    return status == SHARDIO_OK ? shardio_p_remove_keys(h->site, h->site->below, false, memory, error) : status;
}

/* The store itself, if nothing is left in it. */
static shardio_status shardio_p_remove_store(const shardio_p_site *site, shardio_error *error)
{
    int ignored = 0;
    if (site->store->functions->remove(site->store->context, "", &ignored) != SHARDIO_OK) return SHARDIO_OK;
    return shardio_p_sync_removed(site, "", error);
}

SHARDIO_API shardio_status shardio_node_remove(const shardio_store *store, const char *path,
                                               const shardio_node_options *options, shardio_error *error)
{
    shardio_p_site site;
    shardio_p_hierarchy h;
    shardio_status status = shardio_p_site_begin(&site, store, path, "remove", options, error);
    if (status != SHARDIO_OK) return status;
    shardio_p_hierarchy_begin(&h, &site);
    char *memory = (char *)shardio_p_allocate(site.o.allocator, SHARDIO_P_BATCH, 16);
    if (memory == NULL) status = shardio_p_site_fail(&site, SHARDIO_ERR_MEMORY, "remove", 0, NULL, error);
    if (status == SHARDIO_OK) status = shardio_p_hierarchy_list(&h, error);
    if (status == SHARDIO_OK) status = shardio_p_remove_nodes(&h, memory, error);
    if (status == SHARDIO_OK && site.prefix == 0) status = shardio_p_remove_store(&site, error);
    shardio_p_release(site.o.allocator, memory, SHARDIO_P_BATCH, 16);
    shardio_p_hierarchy_end(&h);
    shardio_p_site_end(&site);
    return status;
}

/* -- renaming */

/* Whether the node at `from` can go to `to`: it is there, and nothing is at the new place, nor an array above. */
static shardio_status shardio_p_check_rename(const shardio_p_site *from, const shardio_p_site *to, shardio_error *error)
{
    shardio_p_claimed claimed = {to, false, false, false};
    shardio_node node;
    if (from->prefix == 0 || to->prefix == 0)
        return shardio_p_site_fail(from, SHARDIO_ERR_ARGUMENT, "rename", 0, "the store itself has no name in it", error);
    if (to->prefix >= from->prefix && memcmp(to->below, from->below, from->prefix) == 0)
        return shardio_p_site_fail(to, SHARDIO_ERR_ARGUMENT, "rename", 0, "it lies in what is renamed", error);
    if (from->store->functions->rename == NULL)
        return shardio_p_site_fail(from, SHARDIO_ERR_UNSUPPORTED, "rename", 0, "this store cannot rename", error);
    shardio_status status = shardio_p_load_node(from, &node, error);
    if (status != SHARDIO_OK) return status;
    shardio_node_close(&node);
    status = shardio_p_each_above(to, error, shardio_p_check_above);
    if (status == SHARDIO_OK) status = shardio_p_list_below(to, "rename", shardio_p_claim_key, &claimed, error);
    if (status == SHARDIO_OK && (claimed.itself || claimed.below || claimed.other))
        status = shardio_p_site_fail(to, SHARDIO_ERR_EXISTS, "rename", 0, NULL, error);
    return status;
}

SHARDIO_API shardio_status shardio_node_rename(const shardio_store *store, const char *path, const char *new_path,
                                               const shardio_node_options *options, shardio_error *error)
{
    shardio_p_site from, to;
    int code = 0;
    shardio_status status = shardio_p_site_begin(&from, store, path, "rename", options, error);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_site_begin(&to, store, new_path, "rename", options, error);
    if (status == SHARDIO_OK) status = shardio_p_check_rename(&from, &to, error);
    if (status == SHARDIO_OK) status = shardio_p_each_above(&to, error, shardio_p_write_above);
    if (status == SHARDIO_OK) {
        status = store->functions->rename(store->context, from.below, to.below, &code);
        if (status != SHARDIO_OK) (void)shardio_p_site_fail(&from, status, "rename", code, NULL, error);
    }
    if (status == SHARDIO_OK) status = shardio_p_sync_removed(&to, new_path, error);
    if (status == SHARDIO_OK) status = shardio_p_sync_removed(&from, path, error);
    shardio_p_site_end(&to);
    shardio_p_site_end(&from);
    return status;
}

/* -- attributes of many nodes */

typedef struct shardio_p_lookup {
    const char *name;
    shardio_attribute_visitor visit;
    void *context;
} shardio_p_lookup;

static shardio_status shardio_p_look_up(void *context, const char *path, const shardio_node *node,
                                        const shardio_error *fault)
{
    const shardio_p_lookup *l = (const shardio_p_lookup *)context;
    const shardio_json none = {NULL, 0};
    if (node != NULL && node->kind != SHARDIO_NODE_ARRAY) return SHARDIO_OK;
    return l->visit(l->context, path, node != NULL ? shardio_json_member(node->attributes, l->name) : none, fault);
}

SHARDIO_API shardio_status shardio_attribute_of_arrays(const shardio_store *store, const char *path, const char *name,
                                                       shardio_attribute_visitor visit, void *context,
                                                       const shardio_node_options *options, shardio_error *error)
{
    shardio_p_lookup lookup = {name, visit, context};
    if (name == NULL || visit == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "look up", "an attribute", "a name and a visitor are needed");
    return shardio_hierarchy_walk(store, path, false, shardio_p_look_up, &lookup, options, error);
}

#endif /* !SHARDIO_NO_ZARR */

#if !SHARDIO_NO_STORE && !SHARDIO_NO_ZARR
/* >>store ----------------------------------------------------------------------------------------------------- */

/* -- a directory: every key is a file */
#if !SHARDIO_NO_OS

/* root/key on the caller's stack. False: no plain key, too long, or the store has no name. */
static bool shardio_p_key_path(const void *store, const char *key, char *path)
{
    shardio_text text = {path, SHARDIO_P_PATH, 0};
    path[0] = 0;
    if (*(const char *)store == 0 || (key[0] != 0 && !shardio_p_key_is_plain(key))) return false;
    shardio_text_add(&text, (const char *)store);
    shardio_text_add(&text, key[0] != 0 ? "/" : "");
    shardio_text_add(&text, key);
    return text.size < SHARDIO_P_PATH;
}

/* The part of those paths that the caller named. */
static size_t shardio_p_directory_root(const void *store)
{
    return shardio_p_length((const char *)store);
}

static shardio_status shardio_p_directory_open(void *store, const char *key, bool update,
                                               const shardio_allocator *allocator, shardio_file *file, int *code)
{
    char path[SHARDIO_P_PATH];
    const char *reason;
    shardio_open_options how = {allocator, false, false, false};
    shardio_open_mode mode = update ? SHARDIO_OPEN_UPDATE : SHARDIO_OPEN_READ;
    if (key[0] == 0 || !shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    shardio_status status = shardio_p_osf_open(file, path, shardio_p_directory_root(store), mode, &how, &reason, code);
    return status == SHARDIO_ERR_ARGUMENT ? SHARDIO_ERR_NOT_FOUND : status;   /* a directory is no key */
}

static shardio_status shardio_p_directory_create(void *store, const char *key, bool overwrite, uint64_t most,
                                                 const shardio_allocator *allocator, shardio_file *file, int *code)
{
    char path[SHARDIO_P_PATH];
    const char *reason;
    shardio_open_options how = {allocator, overwrite, false, true};
    (void)most;
    if (key[0] == 0 || !shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    return shardio_p_osf_open(file, path, shardio_p_directory_root(store), SHARDIO_OPEN_CREATE, &how, &reason, code);
}

/* Removes the directories above `path`, inside the store, that are empty. Cuts `path` up. */
static void shardio_p_prune(char *path, size_t root)
{
    int ignored = 0;
    for (size_t n = shardio_p_parent_length(path); n > root; n = shardio_p_parent_length(path)) {
        path[n] = 0;
        shardio_status pruned = shardio_p_os_remove(path, root, true, &ignored);
        if (pruned != SHARDIO_OK && pruned != SHARDIO_ERR_NOT_FOUND) break;
    }
}

/* Removes a key and the directories above it that are empty then; the key "" is the directory itself. */
static shardio_status shardio_p_directory_remove(void *store, const char *key, int *code)
{
    char path[SHARDIO_P_PATH];
    size_t root = shardio_p_directory_root(store);
    if (!shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    shardio_status status = shardio_p_os_remove(path, root, key[0] == 0, code);
    if (key[0] != 0 && (status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND)) shardio_p_prune(path, root);
    return status;
}

/* root/prefix without the last separator. */
static bool shardio_p_prefix_path(const void *store, const char *prefix, char *path)
{
    char key[SHARDIO_P_PATH];
    size_t n = shardio_p_length(prefix);
    if (n < 2 || n >= sizeof key || prefix[n - 1] != '/') return false;
    memcpy(key, prefix, n - 1);
    key[n - 1] = 0;
    return shardio_p_key_path(store, key, path);
}

/* A prefix is a directory. */
static shardio_status shardio_p_directory_rename(void *store, const char *from, const char *to, int *code)
{
    char old_path[SHARDIO_P_PATH], path[SHARDIO_P_PATH];
    size_t root = shardio_p_directory_root(store), existing;
    int ignored = 0;
    if (!shardio_p_prefix_path(store, from, old_path) || !shardio_p_prefix_path(store, to, path))
        return SHARDIO_ERR_ARGUMENT;
    shardio_status status = shardio_p_make_parents(path, root, &existing, code);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_os_move(old_path, path, root, code);
    if (status == SHARDIO_OK) shardio_p_prune(old_path, root);
    else (void)shardio_p_each_new_parent(path, root, existing, &ignored, shardio_p_remove_directory);
    return status;
}

enum { SHARDIO_P_LIST_DEPTH = 128 };   /* as many directories are open at once */

typedef struct shardio_p_listing {
    char path[SHARDIO_P_PATH];
    size_t root, length, depth;       /* of the path: the store's part, and what is filled in */
    const char *prefix;
    bool (*each)(void *context, const char *key, uint64_t size, bool temporary);
    void *context;
    bool stopped;
    shardio_status status;
    int code;
} shardio_p_listing;

static void shardio_p_list_directory(shardio_p_listing *l);

static bool shardio_p_list_file(shardio_p_listing *l, uint64_t size)
{
    const char *key = l->path + l->root + 1;
    size_t prefix = shardio_p_length(l->prefix);
    if (shardio_p_length(key) < prefix || memcmp(key, l->prefix, prefix) != 0) return true;
    l->stopped = !l->each(l->context, key, size, shardio_p_is_temporary(key));
    return !l->stopped;
}

/* A link to a file inside the store is a key; one to a directory is left alone, it could go on for ever. */
static bool shardio_p_list_link(shardio_p_listing *l)
{
    shardio_p_kind kind;
    uint64_t size;
    int ignored = 0;
    if (shardio_p_os_look(l->path, l->root, &kind, &size, &ignored) != SHARDIO_OK) return true;
    return kind != SHARDIO_P_REGULAR || shardio_p_list_file(l, size);
}

static bool shardio_p_list_name(void *context, const char *name, shardio_p_kind kind, uint64_t size)
{
    shardio_p_listing *l = (shardio_p_listing *)context;
    shardio_text text = {l->path, sizeof l->path, l->length};
    size_t before = l->length;
    bool go_on = true;
    shardio_text_add(&text, "/");
    shardio_text_add(&text, name);
    if (text.size < sizeof l->path) {
        l->length = text.size;
        if (kind == SHARDIO_P_DIRECTORY) {
            if (l->depth < SHARDIO_P_LIST_DEPTH) shardio_p_list_directory(l);
            else l->status = SHARDIO_ERR_LIMIT;
            go_on = !l->stopped && l->status == SHARDIO_OK;
        } else if (kind == SHARDIO_P_REGULAR) {
            go_on = shardio_p_list_file(l, size);
        } else if (kind == SHARDIO_P_LINK) {
            go_on = shardio_p_list_link(l);
        }
    }
    l->length = before;
    l->path[before] = 0;
    return go_on;
}

/* Recursion is bounded by SHARDIO_P_LIST_DEPTH. */
static void shardio_p_list_directory(shardio_p_listing *l)
{
    l->depth++;
    shardio_status status = shardio_p_os_list(l->path, l->root, shardio_p_list_name, l, &l->code);
    l->depth--;
    if (status == SHARDIO_ERR_NOT_FOUND && l->length > l->root) return;   /* never there, or removed meanwhile */
    if (l->status == SHARDIO_OK) l->status = status;
}

/* Begins with the directory that the prefix names: what lies beside it is not looked at. */
static shardio_status shardio_p_directory_list(void *store, const char *prefix,
                                               bool (*each)(void *context, const char *key, uint64_t size,
                                                            bool temporary),
                                               void *context, int *code)
{
    shardio_p_listing l;
    char directory[SHARDIO_P_PATH];
    size_t n = shardio_p_length(prefix);
    while (n > 0 && prefix[n - 1] != '/') n--;
    if (n >= sizeof directory) return SHARDIO_ERR_ARGUMENT;
    memcpy(directory, prefix, n);
    directory[n > 0 ? n - 1 : 0] = 0;
    memset(&l, 0, sizeof l);
    if (!shardio_p_key_path(store, directory, l.path)) return SHARDIO_ERR_ARGUMENT;
    l.root = shardio_p_directory_root(store);
    l.length = shardio_p_length(l.path);
    l.prefix = prefix;
    l.each = each;
    l.context = context;
    shardio_p_list_directory(&l);
    *code = l.status != SHARDIO_OK ? l.code : 0;
    return l.status;
}

/* A removal lies in the directory that held the key or, where that went along, in the nearest one that is left. */
static shardio_status shardio_p_directory_sync(void *store, const char *key, int *code)
{
    char path[SHARDIO_P_PATH];
    shardio_status status = SHARDIO_ERR_NOT_FOUND;
    if (!shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    for (size_t n = shardio_p_length(path), parent; status == SHARDIO_ERR_NOT_FOUND && n > 0; n = parent) {
        parent = shardio_p_parent_length(path);
        if (parent == n) break;   /* "/" */
        path[parent] = 0;
        *code = 0;
        status = shardio_p_os_sync_directory(parent > 0 ? path : ".", shardio_p_directory_root(store), code);
    }
    return status;
}

/* Size, inode and time of change. Not the device: its number may be another one after the next start. */
static shardio_status shardio_p_directory_tag(void *store, const char *key, uint64_t tag[2], int *code)
{
    char path[SHARDIO_P_PATH];
    shardio_file_facts facts;
    shardio_p_handle handle;
    int ignored = 0;
    if (key[0] == 0 || !shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    size_t root = shardio_p_directory_root(store);
    shardio_status status = shardio_p_os_open(path, root, SHARDIO_P_ACCESS_READ, &handle, code);
    if (status != SHARDIO_OK) return status;
    memset(&facts, 0, sizeof facts);
    status = shardio_p_os_facts(handle, &facts, code);
    (void)shardio_p_os_close(handle, &ignored);   /* nothing was written through it */
    if (status == SHARDIO_OK && facts.special) status = SHARDIO_ERR_UNSUPPORTED;
    tag[0] = shardio_p_mix(facts.size) + facts.identity[1];
    tag[1] = facts.identity[2];
    return status;
}

static size_t shardio_p_directory_file_memory(void *store, size_t length)
{
    return shardio_file_memory(shardio_p_length((const char *)store) + 1 + length);
}

SHARDIO_API shardio_store shardio_store_directory(const char *path)
{
    static const shardio_store_functions functions = {
        shardio_p_directory_open, shardio_p_directory_create, shardio_p_directory_remove, shardio_p_directory_list,
        shardio_p_directory_sync, shardio_p_directory_file_memory, shardio_p_directory_rename,
        shardio_p_directory_tag, false
    };
    const char *name = path != NULL ? path : "";
    shardio_store store = {&functions, (void *)(uintptr_t)name, name};
    return store;
}

/* A null path becomes no store, which create and open refuse. */
static const shardio_store *shardio_p_store_at(shardio_store *store, const char *path)
{
    if (path == NULL || path[0] == 0) return NULL;
    *store = shardio_store_directory(path);
    return store;
}

SHARDIO_API shardio_array *shardio_array_create(const char *path, const shardio_array_options *options)
{
    shardio_store store;
    return shardio_array_create_in(shardio_p_store_at(&store, path), options);
}

SHARDIO_API shardio_array *shardio_array_continue(const char *path, const shardio_array_options *options)
{
    shardio_store store;
    return shardio_array_continue_in(shardio_p_store_at(&store, path), options);
}

SHARDIO_API shardio_array *shardio_array_open(const char *path, const shardio_array_options *options,
                                              shardio_error *error)
{
    shardio_store store;
    return shardio_array_open_in(shardio_p_store_at(&store, path), options, error);
}

SHARDIO_API shardio_array *shardio_array_update(const char *path, const shardio_array_options *options,
                                                shardio_error *error)
{
    shardio_store store;
    return shardio_array_update_in(shardio_p_store_at(&store, path), options, error);
}

SHARDIO_API shardio_status shardio_array_define(const char *path, const shardio_array_options *options,
                                                shardio_error *error)
{
    shardio_store store;
    return shardio_array_define_in(shardio_p_store_at(&store, path), options, error);
}
#endif /* !SHARDIO_NO_OS */

/* -- memory: a list of entries */

/* A value. Open files count; one that was removed or replaced meanwhile goes with the last of them. */
typedef struct shardio_memory_entry {
    shardio_memory data;               /* the first member: the functions of memory files work on an entry */
    shardio_memory_store *store;
    struct shardio_memory_entry *next;
    char *key;
    size_t key_size;
    uint64_t version;
    uint64_t tagged;                   /* the version that the CRC-32 is of, and one more; 0: of none */
    uint32_t crc, open;
    bool published, removed, overwrite;
} shardio_memory_entry;

static void shardio_p_entry_free(shardio_memory_entry *entry)
{
    shardio_memory_store *store = entry->store;
    shardio_memory_entry **at = &store->entries;
    while (*at != entry) at = &(*at)->next;
    *at = entry->next;
    shardio_memory_free(&entry->data);
    shardio_p_release(store->allocator, entry, sizeof *entry + entry->key_size, 16);
}

static void shardio_p_entry_drop(shardio_memory_entry *entry)
{
    entry->removed = true;
    if (entry->open == 0) shardio_p_entry_free(entry);
}

static shardio_memory_entry *shardio_p_entry_find(const shardio_memory_store *store, const char *key)
{
    shardio_memory_entry *entry = store->entries;
    while (entry != NULL && (!entry->published || entry->removed || !shardio_p_same(entry->key, key)))
        entry = entry->next;
    return entry;
}

static shardio_status shardio_p_entry_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done,
                                            int *code)
{
    ((shardio_memory_entry *)file)->version++;
    return shardio_p_memory_write(file, offset, data, size, done, code);
}

static shardio_status shardio_p_entry_resize(void *file, uint64_t size, int *code)
{
    ((shardio_memory_entry *)file)->version++;
    return shardio_p_memory_resize(file, size, code);
}

static shardio_status shardio_p_entry_facts(void *file, shardio_file_facts *facts, int *code)
{
    const shardio_memory_entry *entry = (const shardio_memory_entry *)file;
    shardio_status status = shardio_p_memory_facts(file, facts, code);
    facts->identity[0] = !entry->removed;
    facts->identity[1] = (uint64_t)(uintptr_t)entry;
    facts->identity[2] = entry->version;
    return status;
}

static shardio_status shardio_p_entry_publish(void *file, bool durable, int *code)
{
    shardio_memory_entry *entry = (shardio_memory_entry *)file;
    (void)durable, (void)code;
    if (entry->published) return SHARDIO_OK;
    shardio_memory_entry *old = shardio_p_entry_find(entry->store, entry->key);
    if (old != NULL && !entry->overwrite) return SHARDIO_ERR_EXISTS;
    if (old != NULL) shardio_p_entry_drop(old);
    entry->published = true;
    return SHARDIO_OK;
}

static shardio_status shardio_p_entry_close(void *file, shardio_close how, bool durable, int *code)
{
    shardio_memory_entry *entry = (shardio_memory_entry *)file;
    shardio_status status = SHARDIO_OK;
    if (how == SHARDIO_CLOSE_PUBLISH) status = shardio_p_entry_publish(file, durable, code);
    entry->open--;
    bool gone = entry->removed || (!entry->published && (how == SHARDIO_CLOSE_DISCARD || status != SHARDIO_OK));
    if (gone) shardio_p_entry_drop(entry);
    return status;
}

static shardio_file shardio_p_entry_file(shardio_memory_entry *entry)
{
    static const shardio_file_functions functions = {
        shardio_p_memory_read, shardio_p_entry_write, shardio_p_entry_resize, shardio_p_entry_facts, NULL, NULL,
        shardio_p_entry_publish, NULL, NULL, NULL, shardio_p_entry_close, NULL, NULL
    };
    shardio_file file = {&functions, entry, entry->key};
    entry->open++;
    return file;
}

static shardio_status shardio_p_memory_store_open(void *store, const char *key, bool update,
                                                  const shardio_allocator *allocator, shardio_file *file, int *code)
{
    (void)update, (void)allocator, (void)code;
    if (!shardio_p_key_is_plain(key)) return SHARDIO_ERR_ARGUMENT;
    shardio_memory_entry *entry = shardio_p_entry_find((const shardio_memory_store *)store, key);
    if (entry == NULL) return SHARDIO_ERR_NOT_FOUND;
    *file = shardio_p_entry_file(entry);
    return SHARDIO_OK;
}

static shardio_status shardio_p_memory_store_create(void *store, const char *key, bool overwrite, uint64_t most,
                                                    const shardio_allocator *allocator, shardio_file *file, int *code)
{
    shardio_memory_store *memory = (shardio_memory_store *)store;
    size_t size = shardio_p_length(key) + 1;
    (void)most, (void)allocator, (void)code;
    if (!shardio_p_key_is_plain(key)) return SHARDIO_ERR_ARGUMENT;
    if (!overwrite && shardio_p_entry_find(memory, key) != NULL) return SHARDIO_ERR_EXISTS;
    shardio_memory_entry *entry = (shardio_memory_entry *)shardio_p_allocate(memory->allocator, sizeof *entry + size,
                                                                             16);
    if (entry == NULL) return SHARDIO_ERR_MEMORY;
    memset(entry, 0, sizeof *entry);
    entry->data.allocator = memory->allocator;
    entry->store = memory;
    entry->next = memory->entries;
    entry->key = (char *)(entry + 1);
    entry->key_size = size;
    entry->overwrite = overwrite;
    memcpy(entry->key, key, size);
    memory->entries = entry;
    *file = shardio_p_entry_file(entry);
    return SHARDIO_OK;
}

static shardio_status shardio_p_memory_store_remove(void *store, const char *key, int *code)
{
    (void)code;
    if (key[0] == 0) return SHARDIO_OK;
    if (!shardio_p_key_is_plain(key)) return SHARDIO_ERR_ARGUMENT;
    shardio_memory_entry *entry = shardio_p_entry_find((const shardio_memory_store *)store, key);
    if (entry == NULL) return SHARDIO_ERR_NOT_FOUND;
    shardio_p_entry_drop(entry);
    return SHARDIO_OK;
}

static shardio_status shardio_p_memory_store_list(void *store, const char *prefix,
                                                  bool (*each)(void *context, const char *key, uint64_t size,
                                                               bool temporary),
                                                  void *context, int *code)
{
    size_t n = shardio_p_length(prefix);
    (void)code;
    for (const shardio_memory_entry *entry = ((const shardio_memory_store *)store)->entries; entry != NULL; entry = entry->next) {
        if (entry->removed || shardio_p_length(entry->key) < n || memcmp(entry->key, prefix, n) != 0) continue;
        if (!each(context, entry->key, entry->data.size, !entry->published)) break;
    }
    return SHARDIO_OK;
}

/* Size and CRC-32, as an archive has them, so that a copy of the store has the same tags. CRC32C would be the same for
   all contents that have their own behind them, and those are many. */
static shardio_status shardio_p_memory_store_tag(void *store, const char *key, uint64_t tag[2], int *code)
{
    shardio_memory_entry *entry = shardio_p_entry_find((const shardio_memory_store *)store, key);
    (void)code;
    if (entry == NULL) return SHARDIO_ERR_NOT_FOUND;
    if (entry->tagged != entry->version + 1) entry->crc = shardio_crc32(0, entry->data.data, entry->data.size);
    entry->tagged = entry->version + 1;
    tag[0] = entry->data.size;
    tag[1] = entry->crc;
    return SHARDIO_OK;
}

/* An entry for a value of `size` bytes of its own under another key. */
static shardio_memory_entry *shardio_p_entry_copy(shardio_memory_store *memory, const shardio_memory_entry *entry,
                                                  const char *to, const char *rest)
{
    size_t n = shardio_p_length(to), m = shardio_p_length(rest) + 1, size = n + m;
    shardio_memory_entry *copy = (shardio_memory_entry *)shardio_p_allocate(memory->allocator, sizeof *copy + size, 16);
    if (copy == NULL) return NULL;
    memset(copy, 0, sizeof *copy);
    copy->data.allocator = memory->allocator;
    copy->store = memory;
    copy->key = (char *)(copy + 1);
    copy->key_size = size;
    copy->published = true;
    memcpy(copy->key, to, n);
    memcpy(copy->key + n, rest, m);
    if (!shardio_p_memory_reserve(&copy->data, entry->data.size)) {
        shardio_p_release(memory->allocator, copy, sizeof *copy + size, 16);
        return NULL;
    }
    copy->data.size = entry->data.size;
    if (copy->data.size > 0) memcpy(copy->data.data, entry->data.data, copy->data.size);
    return copy;
}

static bool shardio_p_entry_is_below(const shardio_memory_entry *entry, const char *prefix)
{
    size_t n = shardio_p_length(prefix);
    return entry->published && !entry->removed && shardio_p_length(entry->key) > n && memcmp(entry->key, prefix, n) == 0;
}

/* The values are copied, because files that are open keep the old ones; only then the old ones go. */
static shardio_status shardio_p_memory_store_rename(void *store, const char *from, const char *to, int *code)
{
    shardio_memory_store *memory = (shardio_memory_store *)store;
    shardio_memory_entry *copies = NULL, *next;
    shardio_status status = SHARDIO_ERR_NOT_FOUND;
    (void)code;
    for (const shardio_memory_entry *entry = memory->entries; entry != NULL; entry = entry->next)
        if (shardio_p_entry_is_below(entry, to)) return SHARDIO_ERR_EXISTS;
    for (const shardio_memory_entry *entry = memory->entries; entry != NULL; entry = entry->next) {
        if (!shardio_p_entry_is_below(entry, from)) continue;
        shardio_memory_entry *copy = shardio_p_entry_copy(memory, entry, to, entry->key + shardio_p_length(from));
        status = copy != NULL ? SHARDIO_OK : SHARDIO_ERR_MEMORY;
        if (copy == NULL) break;
        copy->next = copies;
        copies = copy;
    }
    for (shardio_memory_entry *entry = memory->entries; entry != NULL && status == SHARDIO_OK; entry = next) {
        next = entry->next;
        if (shardio_p_entry_is_below(entry, from)) shardio_p_entry_drop(entry);
    }
    for (; copies != NULL; copies = next) {
        next = copies->next;
        copies->next = memory->entries;
        memory->entries = copies;
        if (status != SHARDIO_OK) shardio_p_entry_free(copies);
    }
    return status;
}

static size_t shardio_p_memory_store_file_memory(void *store, size_t length)
{
    (void)store, (void)length;
    return 0;
}

SHARDIO_API shardio_store shardio_store_memory(shardio_memory_store *memory, const shardio_allocator *allocator)
{
    static const shardio_store_functions functions = {
        shardio_p_memory_store_open, shardio_p_memory_store_create, shardio_p_memory_store_remove,
        shardio_p_memory_store_list, NULL, shardio_p_memory_store_file_memory, shardio_p_memory_store_rename,
        shardio_p_memory_store_tag, false
    };
    shardio_store store = {&functions, memory, "memory"};
    memory->entries = NULL;
    memory->allocator = allocator;
    return store;
}

SHARDIO_API void shardio_store_memory_free(shardio_memory_store *memory)
{
    while (memory->entries != NULL) shardio_p_entry_free(memory->entries);
}

/* -- an archive: a ZIP file (PKWARE APPNOTE 6.3.10), values stored as they are; layers are ours alone */

enum {
    SHARDIO_P_ZIP_LOCAL = 30, SHARDIO_P_ZIP_CENTRAL = 46, SHARDIO_P_ZIP_END = 22,   /* bytes without what varies */
    SHARDIO_P_ZIP_END64 = 56, SHARDIO_P_ZIP_LOCATOR = 20,
    SHARDIO_P_ZIP_EXTRA64 = 0x0001,    /* sizes and offset of 64 bits (4.5.3) */
    SHARDIO_P_ZIP_PADDING = 0xD935,    /* bytes that only move what follows; at least 5, with its head */
    SHARDIO_P_ZIP_PLACE = 0x6453,      /* ours, of a directory entry: u16, bytes of extra fields in the local header */
    SHARDIO_P_ZIP_CHAIN = 0x6873,      /* ours, of the first directory entry: see shardio_p_zip_read_chain */
    SHARDIO_P_ZIP_PLACE_SIZE = 4 + 2, SHARDIO_P_ZIP_CHAIN_SIZE = 4 + 24, SHARDIO_P_ZIP_EXTRA64_SIZE = 4 + 24,
    SHARDIO_P_ZIP_LEAST_PADDING = 5,
    SHARDIO_P_ZIP_BLOCK = 65536,       /* extra fields end at 65535 bytes: what is padded to larger blocks has no header */
    SHARDIO_P_ZIP_NAME = 4095,         /* bytes of a key; longer names are kept, but are no keys */
    SHARDIO_P_ZIP_GAPS = 64,           /* places of values that were given up, to be used again before the commit */
    SHARDIO_P_ZIP_WINDOW = 1 << 20,    /* bytes read at a time where an end record is searched */
    SHARDIO_P_ZIP_LITTLE = 1 << 16,    /* bytes of a read that is little */
    SHARDIO_P_ZIP_AHEAD = 8 << 20,     /* bytes read at once, at the most, where the file is read in order */
    SHARDIO_P_ZIP_TAIL = 65535 + 22 + 56 + 20,
    SHARDIO_P_ZIP_LARGE = 64 << 20,    /* a directory of so many bytes is looked at before memory is taken for it */
    SHARDIO_P_ZIP_DEPTH = 32,          /* zarr.json deeper than this come in the order of the directory */
    SHARDIO_P_ZIP_DATE = 0x0021,       /* 1980-01-01: the same input makes the same bytes */
    SHARDIO_P_ZIP_UTF8 = 0x0800, SHARDIO_P_ZIP_DESCRIPTOR = 0x0008, SHARDIO_P_ZIP_ENCRYPTED = 0x2041
};
#define SHARDIO_P_ZIP_LOCAL_SIGNATURE 0x04034B50u
#define SHARDIO_P_ZIP_CENTRAL_SIGNATURE 0x02014B50u
#define SHARDIO_P_ZIP_END_SIGNATURE 0x06054B50u
#define SHARDIO_P_ZIP_END64_SIGNATURE 0x06064B50u
#define SHARDIO_P_ZIP_LOCATOR_SIGNATURE 0x07064B50u
#define SHARDIO_P_ZIP_ALL_ONES 0xFFFFFFFFu
#define SHARDIO_P_ZIP_MOST (UINT64_C(1) << 48)   /* no room is kept for values that could get larger */

/* A name of the directory. Of names that stand there twice the last counts, the others are gone. */
typedef struct shardio_p_zip_entry {
    const char *name;             /* in the directory as it was read, or own memory */
    const uint8_t *record;        /* the directory entry as it was read; null: to be made */
    uint64_t header;              /* offset of the local header, in the file or (`held`) in the buffer */
    uint64_t data;                /* offset of the bytes; 0: the local header was not looked at yet */
    uint64_t size, stored;
    uint32_t crc;
    uint16_t name_size, method, flags;
    bool key, gone, held, damaged, committed;
    bool alone;                   /* nothing else lies in its blocks of the file */
    bool given;                   /* gone, and its place in the file may be another's by now */
    bool trusted;                 /* the directory that it was read from was ours */
} shardio_p_zip_entry;

typedef struct shardio_p_zip_gap {
    uint64_t offset, size;
} shardio_p_zip_gap;

/* A directory as it was read. */
typedef struct shardio_p_zip_directory {
    uint8_t *bytes;
    size_t size;
    uint64_t count;
    bool own;                     /* ours, and unchanged since */
    bool chained;                 /* the next two are known */
    uint64_t number, previous;    /* of the layer; bytes of the file up to the end of the one before, 0: none */
} shardio_p_zip_directory;

/* What an end record says, with the 64-bit one in front of it if there is one. */
typedef struct shardio_p_zip_end {
    uint64_t directory, size, count;
    uint64_t comment, length;     /* offsets: of the comment, and behind it */
} shardio_p_zip_end;

/* A part of the file in memory. */
typedef struct shardio_p_zip_window {
    uint8_t *data;
    uint64_t offset;
    size_t size;
} shardio_p_zip_window;

struct shardio_p_zip_value;

struct shardio_archive {
    shardio_file file;
    const shardio_allocator *allocator;
    shardio_archive_options options;
    char *comment;                            /* ended with a zero byte */
    size_t comment_size, comment_room;
    /* the layer that is open */
    shardio_p_zip_directory directory;
    uint64_t layer, length, directory_offset, directory_size, file_size, previous;
    uint64_t listed;                          /* entries in its directory */
    bool own;                                 /* its directory is ours */
    bool chained, chain_broken;               /* `previous` is known; what it tells of is not there */
    shardio_p_zip_entry *entries;
    size_t count, capacity;
    uint64_t *table;                          /* by the hash of a name: its upper half, and 1 + the entry; 0: free */
    size_t slots, used;                       /* slots: a power of two */
    uint64_t seed, generation;
    /* writing */
    bool writing, changed, direct, published;
    bool wrote;                               /* what lies behind the layer is ours */
    bool lost;                                /* what was written since the last layer may not be there: to be discarded */
    bool blank;                               /* the layer could not be read again: nothing works but to discard once more */
    bool commented;                           /* the comment is the writer's wish, not that of the layer */
    uint64_t cut;                             /* what lies behind is cut off before the next write; SHARDIO_NO_OFFSET: nothing */
    uint32_t memory_alignment;
    uint32_t block;                           /* every commit and every streamed value begins at a multiple */
    uint64_t end;                             /* where the next piece of the file goes */
    uint8_t *buffer;
    size_t buffer_size, fill;
    size_t held;                              /* first entry that may lie in the buffer */
    uint8_t *header;                          /* room for one local header, whole blocks */
    size_t header_size;
    struct shardio_p_zip_value *gathering;    /* the value whose bytes go into the buffer, or null */
    shardio_p_zip_gap gaps[SHARDIO_P_ZIP_GAPS];
    size_t gap_count;
    shardio_file replaced;                    /* the archive that this one will take the place of, locked; or none */
    shardio_file_facts wishes;                /* what the file wants of writes */
    shardio_accounting accounting;
    /* reading past the page cache */
    uint32_t read_block;                      /* what unbuffered reads are multiples of; 0: reads are buffered */
    shardio_p_zip_window ahead[2];            /* what was read last: a little, and much with what follows it; or null */
};

static inline uint16_t shardio_p_load16_little(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

static inline void shardio_p_store16_little(uint8_t *to, uint64_t x)
{
    to[0] = (uint8_t)x;
    to[1] = (uint8_t)(x >> 8);
}

/* A field of 32 bits whose true value stands elsewhere if it does not fit. */
static inline void shardio_p_store32_or_ones(uint8_t *to, uint64_t x)
{
    shardio_p_store32_little(to, x < SHARDIO_P_ZIP_ALL_ONES ? (uint32_t)x : SHARDIO_P_ZIP_ALL_ONES);
}

static shardio_status shardio_p_zip_fail(const shardio_archive *a, shardio_error *error, shardio_status status,
                                         const char *operation, const char *reason)
{
    return shardio_p_fail(error, status, operation, a->file.name, reason);
}

/* The field `id` among `size` bytes of extra fields; null: it is not there. Bytes that make no whole field end them. */
static const uint8_t *shardio_p_zip_extra(const uint8_t *extra, size_t size, uint16_t id, size_t *field_size)
{
    while (size >= 4) {
        size_t n = shardio_p_load16_little(extra + 2);
        if (n > size - 4) return NULL;
        *field_size = n;
        if (shardio_p_load16_little(extra) == id) return extra + 4;
        extra += 4 + n;
        size -= 4 + n;
    }
    return NULL;
}

/* -- reading the file */

/* Everything but whole blocks goes through the page cache. */
static shardio_status shardio_p_zip_set_direct(shardio_archive *a, bool direct, int *code)
{
    if (a->direct == direct || a->file.functions->set_direct == NULL) return SHARDIO_OK;
    shardio_status status = a->file.functions->set_direct(a->file.context, direct, code);
    if (status == SHARDIO_OK) a->direct = direct;
    return status;
}

/* The window that holds the byte at `offset`, or null. */
static const shardio_p_zip_window *shardio_p_zip_find_ahead(const shardio_archive *a, uint64_t offset)
{
    for (int i = 0; i < 2; i++)
        if (offset >= a->ahead[i].offset && offset - a->ahead[i].offset < a->ahead[i].size) return &a->ahead[i];
    return NULL;
}

/* Whether what begins at `offset` goes on where a window ends. */
static bool shardio_p_zip_goes_on(const shardio_archive *a, const shardio_p_zip_window *window, uint64_t offset)
{
    uint64_t end = window->offset + window->size;
    return window->size > 0 && offset >= end && shardio_p_floor(offset, a->read_block) <= end;
}

/* Reads the blocks from `offset` on past the page cache: those of `size` bytes, or more and more where the file is read in
   order. Little that is read elsewhere, a zarr.json, goes to a window of its own and does not break the order. False: not
   one byte came, or the system refused; then reads are buffered from here on. */
static bool shardio_p_zip_read_ahead(shardio_archive *a, uint64_t offset, size_t size)
{
    static const size_t room[2] = {SHARDIO_P_ZIP_LITTLE, SHARDIO_P_ZIP_AHEAD};
    uint64_t begin = shardio_p_floor(offset, a->read_block);
    uint64_t wanted = shardio_p_ceil(offset - begin + size, a->read_block);
    int which = shardio_p_zip_goes_on(a, &a->ahead[1], offset) || wanted > room[0], code = 0;
    shardio_p_zip_window *window = &a->ahead[which];
    if (shardio_p_zip_goes_on(a, window, offset))
        wanted = shardio_p_max(wanted, 2 * shardio_p_ceil(window->size, a->read_block));
    size_t ask = (size_t)shardio_p_min(wanted, room[which]), done = 0;
    if (window->data == NULL)
        window->data = (uint8_t *)shardio_p_allocate(a->allocator, room[which], SHARDIO_P_DEFAULT_BLOCK);
    bool able = window->data != NULL && shardio_p_zip_set_direct(a, true, &code) == SHARDIO_OK &&
                a->file.functions->read(a->file.context, begin, window->data, ask, &done, &code) == SHARDIO_OK &&
                done <= ask && done > offset - begin;
    window->offset = begin;
    window->size = able ? done : 0;
    if (!able) a->read_block = 0;
    return able;
}

/* Copies out of blocks that were read past the page cache as much as there is. */
static size_t shardio_p_zip_read_unbuffered(shardio_archive *a, uint64_t offset, uint8_t *data, size_t size)
{
    size_t copied = 0;
    while (copied < size) {
        const shardio_p_zip_window *window = shardio_p_zip_find_ahead(a, offset + copied);
        if (window == NULL) {
            if (!shardio_p_zip_read_ahead(a, offset + copied, size - copied)) break;
            continue;
        }
        size_t skip = (size_t)(offset + copied - window->offset);
        size_t n = (size_t)shardio_p_min(window->size - skip, size - copied);
        memcpy(data + copied, window->data + skip, n);
        copied += n;
    }
    return copied;
}

static shardio_status shardio_p_zip_read(shardio_archive *a, uint64_t offset, void *data, size_t size,
                                         shardio_error *error)
{
    int code = 0;
    if (a->read_block > 0) {
        size_t done = shardio_p_zip_read_unbuffered(a, offset, (uint8_t *)data, size);
        offset += done;
        data = (uint8_t *)data + done;
        size -= done;
        if (size == 0) return SHARDIO_OK;
    }
    shardio_status status = shardio_p_zip_set_direct(a, false, &code);
    if (status != SHARDIO_OK) return shardio_p_fail_at(error, status, "read", a->file.name, offset, code, NULL);
    return shardio_file_read(&a->file, offset, data, size, error);
}

/* Bytes of the file, from the window if they are all in it. */
static shardio_status shardio_p_zip_peek(shardio_archive *a, const shardio_p_zip_window *window, uint64_t offset,
                                         void *data, size_t size, shardio_error *error)
{
    if (offset < window->offset || offset - window->offset > window->size ||
        size > window->size - (size_t)(offset - window->offset))
        return shardio_p_zip_read(a, offset, data, size, error);
    memcpy(data, window->data + (offset - window->offset), size);
    return SHARDIO_OK;
}

/* The 64-bit end record that a locator right in front of the end record leads to. *end keeps what it has if there is none.
   SHARDIO_ERR_CORRUPT: there is one, and the two do not agree. */
static shardio_status shardio_p_zip_read_end64(shardio_archive *a, const shardio_p_zip_window *window,
                                               uint64_t position, shardio_p_zip_end *end, uint64_t *begin,
                                               shardio_error *error)
{
    uint8_t locator[SHARDIO_P_ZIP_LOCATOR], record[SHARDIO_P_ZIP_END64];
    uint64_t at, length;
    *begin = position;
    if (position < SHARDIO_P_ZIP_LOCATOR + SHARDIO_P_ZIP_END64) return SHARDIO_OK;
    shardio_status status = shardio_p_zip_peek(a, window, position - sizeof locator, locator, sizeof locator, error);
    if (status != SHARDIO_OK || shardio_p_load32_little(locator) != SHARDIO_P_ZIP_LOCATOR_SIGNATURE) return status;
    at = shardio_p_load64(locator + 8, false);
    if (at > position - sizeof locator - sizeof record) return SHARDIO_ERR_CORRUPT;
    status = shardio_p_zip_peek(a, window, at, record, sizeof record, error);
    if (status != SHARDIO_OK) return status;
    if (shardio_p_load32_little(record) != SHARDIO_P_ZIP_END64_SIGNATURE ||
        !shardio_p_add(shardio_p_load64(record + 4, false), 12, &length) || length != position - sizeof locator - at)
        return SHARDIO_ERR_CORRUPT;
    uint64_t count = shardio_p_load64(record + 32, false), size = shardio_p_load64(record + 40, false);
    uint64_t directory = shardio_p_load64(record + 48, false);
    if ((end->count != 0xFFFF && end->count != count) || (end->size != SHARDIO_P_ZIP_ALL_ONES && end->size != size) ||
        (end->directory != SHARDIO_P_ZIP_ALL_ONES && end->directory != directory) ||
        count != shardio_p_load64(record + 24, false))
        return SHARDIO_ERR_CORRUPT;
    end->count = count;
    end->size = size;
    end->directory = directory;
    *begin = at;
    return SHARDIO_OK;
}

/* Reads the end record at `position` of a file of `limit` bytes, which it ends if `exact`. SHARDIO_ERR_CORRUPT: it is
   none, because the directory that it tells of does not end where it begins. That is how bytes that only look like one
   are told from it: in a comment, or in an archive inside a value, whose offsets are its own. */
static shardio_status shardio_p_zip_read_end(shardio_archive *a, const shardio_p_zip_window *window, uint64_t position,
                                             uint64_t limit, bool exact, shardio_p_zip_end *end, shardio_error *error)
{
    const uint8_t *record = window->data + (position - window->offset);
    uint64_t begin;
    end->count = shardio_p_load16_little(record + 10);
    end->size = shardio_p_load32_little(record + 12);
    end->directory = shardio_p_load32_little(record + 16);
    end->comment = position + SHARDIO_P_ZIP_END;
    end->length = end->comment + shardio_p_load16_little(record + 20);
    if (end->length > limit || (exact && end->length != limit) ||
        shardio_p_load16_little(record + 8) != shardio_p_load16_little(record + 10))
        return SHARDIO_ERR_CORRUPT;
    shardio_status status = shardio_p_zip_read_end64(a, window, position, end, &begin, error);
    if (status != SHARDIO_OK) return status;
    bool fits = end->directory <= begin && end->size == begin - end->directory &&
                end->count <= end->size / SHARDIO_P_ZIP_CENTRAL;
    return fits ? SHARDIO_OK : SHARDIO_ERR_CORRUPT;
}

/* -- the directory */

/* Bytes of the directory entry at `at`, of `size` that are left; 0: there is none. */
static size_t shardio_p_zip_record_size(const uint8_t *at, size_t size)
{
    if (size < SHARDIO_P_ZIP_CENTRAL || shardio_p_load32_little(at) != SHARDIO_P_ZIP_CENTRAL_SIGNATURE) return 0;
    size_t n = SHARDIO_P_ZIP_CENTRAL + (size_t)shardio_p_load16_little(at + 28) + shardio_p_load16_little(at + 30) +
               shardio_p_load16_little(at + 32);
    return n <= size ? n : 0;
}

static const uint8_t *shardio_p_zip_record_extra(const uint8_t *record, uint16_t id, size_t *size)
{
    return shardio_p_zip_extra(record + SHARDIO_P_ZIP_CENTRAL + shardio_p_load16_little(record + 28),
                               shardio_p_load16_little(record + 30), id, size);
}

/* The chain, in the extra field of the first entry: u32 1, u32 CRC-32 of the directory with this number 0, u64 number of
   the layer, u64 bytes of the file up to the end of the layer before. */
static void shardio_p_zip_read_chain(shardio_p_zip_directory *d)
{
    static const uint8_t zeros[4] = {0};
    size_t size;
    const uint8_t *chain = d->count > 0 ? shardio_p_zip_record_extra(d->bytes, SHARDIO_P_ZIP_CHAIN, &size) : NULL;
    if (chain == NULL || size != SHARDIO_P_ZIP_CHAIN_SIZE - 4 || shardio_p_load32_little(chain) != 1) return;
    size_t before = (size_t)(chain + 4 - d->bytes);
    uint32_t crc = shardio_crc32(shardio_crc32(0, d->bytes, before), zeros, 4);
    crc = shardio_crc32(crc, d->bytes + before + 4, d->size - before - 4);
    d->chained = true;
    d->own = crc == shardio_p_load32_little(chain + 4);
    d->number = shardio_p_load64(chain + 8, false);
    d->previous = shardio_p_load64(chain + 16, false);
}

static void shardio_p_zip_release_directory(const shardio_archive *a, shardio_p_zip_directory *d)
{
    shardio_p_release(a->allocator, d->bytes, d->size + 1, 16);
    memset(d, 0, sizeof *d);
}

/* Sizes and offset of a directory entry, from its 64-bit field where they are all ones there. False: it lacks one. */
static bool shardio_p_zip_read_sizes(const uint8_t *record, shardio_p_zip_entry *entry)
{
    uint64_t *const members[3] = {&entry->size, &entry->stored, &entry->header};
    static const uint8_t places[3] = {24, 20, 42};
    size_t left = 0;
    const uint8_t *wide = shardio_p_zip_record_extra(record, SHARDIO_P_ZIP_EXTRA64, &left);
    for (int i = 0; i < 3; i++) {
        *members[i] = shardio_p_load32_little(record + places[i]);
        if (*members[i] != SHARDIO_P_ZIP_ALL_ONES) continue;
        if (wide == NULL || left < 8) return false;
        *members[i] = shardio_p_load64(wide, false);
        wide += 8;
        left -= 8;
    }
    return true;
}

/* A directory with a chain whose CRC-32 is another one was changed by a program that kept our extra field, or it is torn:
   blocks of it never came to the device. Only a changed one agrees with all local headers. */
static shardio_status shardio_p_zip_check_changed(shardio_archive *a, const shardio_p_zip_directory *d,
                                                  shardio_error *error)
{
    uint8_t local[SHARDIO_P_ZIP_LOCAL + SHARDIO_P_ZIP_NAME];
    shardio_p_zip_entry entry;
    size_t at = 0;
    for (uint64_t i = 0; i < d->count; i++) {
        const uint8_t *record = d->bytes + at;
        memset(&entry, 0, sizeof entry);
        if (!shardio_p_zip_read_sizes(record, &entry) || entry.header >= a->file_size) return SHARDIO_ERR_CORRUPT;
        size_t name = (size_t)shardio_p_min(shardio_p_load16_little(record + 28), SHARDIO_P_ZIP_NAME);
        shardio_status status = shardio_p_zip_read(a, entry.header, local, SHARDIO_P_ZIP_LOCAL + name, error);
        if (status == SHARDIO_ERR_TRUNCATED) return SHARDIO_ERR_CORRUPT;
        if (status != SHARDIO_OK) return status;
        bool later = (shardio_p_load16_little(local + 6) & SHARDIO_P_ZIP_DESCRIPTOR) != 0;
        if (shardio_p_load32_little(local) != SHARDIO_P_ZIP_LOCAL_SIGNATURE || memcmp(local + 26, record + 28, 2) != 0 ||
            memcmp(local + SHARDIO_P_ZIP_LOCAL, record + SHARDIO_P_ZIP_CENTRAL, name) != 0 ||
            (!later && memcmp(local + 14, record + 16, 4) != 0))
            return SHARDIO_ERR_CORRUPT;
        at += shardio_p_zip_record_size(record, d->size - at);
    }
    return SHARDIO_OK;
}

/* Reads a directory and counts through it. SHARDIO_ERR_CORRUPT: it is none. */
static shardio_status shardio_p_zip_read_directory(shardio_archive *a, const shardio_p_zip_window *window,
                                                   const shardio_p_zip_end *end, shardio_p_zip_directory *d,
                                                   shardio_error *error)
{
    uint64_t limit = a->options.directory_limit != 0 ? a->options.directory_limit : (uint64_t)1 << 30;
    uint8_t first[4];
    shardio_status status = SHARDIO_OK;
    memset(d, 0, sizeof *d);
    d->size = (size_t)end->size;
    d->count = end->count;
    if (end->size > limit || end->size >= SIZE_MAX || end->count >= UINT32_MAX / 4)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_LIMIT, "open",
                                  "its directory is larger than the option directory_limit");
    if (end->size >= SHARDIO_P_ZIP_LARGE) {   /* before much memory is taken for it */
        status = shardio_p_zip_peek(a, window, end->directory, first, sizeof first, error);
        if (status == SHARDIO_OK && shardio_p_load32_little(first) != SHARDIO_P_ZIP_CENTRAL_SIGNATURE)
            return SHARDIO_ERR_CORRUPT;
    }
    if (status == SHARDIO_OK) d->bytes = (uint8_t *)shardio_p_allocate(a->allocator, d->size + 1, 16);
    if (status == SHARDIO_OK && d->bytes == NULL)
        status = shardio_p_zip_fail(a, error, SHARDIO_ERR_MEMORY, "open", "no memory for its directory");
    if (status == SHARDIO_OK && d->size > 0)
        status = shardio_p_zip_peek(a, window, end->directory, d->bytes, d->size, error);
    size_t at = 0;
    for (uint64_t i = 0, n; i < d->count && status == SHARDIO_OK; i++, at += (size_t)n) {
        n = shardio_p_zip_record_size(d->bytes + at, d->size - at);
        if (n == 0) status = SHARDIO_ERR_CORRUPT;
    }
    if (status == SHARDIO_OK && at != d->size) status = SHARDIO_ERR_CORRUPT;
    if (status == SHARDIO_OK) shardio_p_zip_read_chain(d);
    if (status == SHARDIO_OK && d->chained && !d->own) status = shardio_p_zip_check_changed(a, d, error);
    if (status != SHARDIO_OK) shardio_p_zip_release_directory(a, d);
    return status;
}

/* Looks for the last end record with a whole directory among the first `limit` bytes of the file, at its very end if
   `exact`. What false ones cost is bounded by the size of the file. SHARDIO_ERR_NOT_FOUND: there is none. */
static shardio_status shardio_p_zip_search(shardio_archive *a, uint64_t limit, bool exact, shardio_p_zip_end *end,
                                           shardio_p_zip_directory *d, shardio_error *error)
{
    shardio_p_zip_window window = {NULL, 0, 0};
    uint64_t work = 0, stop = limit, most = shardio_p_min(limit, exact ? SHARDIO_P_ZIP_TAIL : SHARDIO_P_ZIP_WINDOW);
    size_t room = (size_t)most;
    shardio_status status = SHARDIO_ERR_NOT_FOUND;
    if (limit < SHARDIO_P_ZIP_END) return status;
    window.data = (uint8_t *)shardio_p_allocate(a->allocator, room, 16);
    if (window.data == NULL) return shardio_p_zip_fail(a, error, SHARDIO_ERR_MEMORY, "open", NULL);
    while (status == SHARDIO_ERR_NOT_FOUND && stop >= SHARDIO_P_ZIP_END) {
        window.size = (size_t)shardio_p_min(stop, room);
        window.offset = stop - window.size;
        shardio_status got = shardio_p_zip_read(a, window.offset, window.data, window.size, error);
        if (got != SHARDIO_OK) status = got;
        for (size_t at = window.size - SHARDIO_P_ZIP_END + 1; at-- > 0 && status == SHARDIO_ERR_NOT_FOUND;) {
            if (window.data[at] != 'P' || shardio_p_load32_little(window.data + at) != SHARDIO_P_ZIP_END_SIGNATURE)
                continue;
            got = shardio_p_zip_read_end(a, &window, window.offset + at, limit, exact, end, error);
            if (got == SHARDIO_ERR_CORRUPT) continue;
            work += end->size + SHARDIO_P_ZIP_END;
            if (got == SHARDIO_OK) got = shardio_p_zip_read_directory(a, &window, end, d, error);
            if (got != SHARDIO_ERR_CORRUPT) status = got;
            else if (work / 4 > limit)
                status = shardio_p_zip_fail(a, error, got, "open", "it is full of false end records");
        }
        if (exact || window.offset == 0) break;
        stop = window.offset + SHARDIO_P_ZIP_END - 1;
    }
    shardio_p_release(a->allocator, window.data, room, 16);
    return status;
}

/* -- entries by name */

static uint64_t shardio_p_zip_hash(const shardio_archive *a, const char *name, size_t size)
{
    uint64_t hash = a->seed ^ size, word;
    for (; size >= 8; name += 8, size -= 8) {
        memcpy(&word, name, 8);
        hash = shardio_p_mix(hash ^ word);
    }
    word = 0;
    memcpy(&word, name, size);
    return shardio_p_mix(hash ^ word);
}

/* The slot of the table for this name: that of its entry, or a free one. *hash has room for the entry below. Names are
   looked at only where the hashes agree: they lie far apart. */
static size_t shardio_p_zip_slot(const shardio_archive *a, const char *name, size_t size, uint64_t *hash)
{
    *hash = shardio_p_zip_hash(a, name, size);
    size_t at = (size_t)*hash & (a->slots - 1);
    *hash = *hash >> 32 << 32;
    for (; a->table[at] != 0; at = (at + 1) & (a->slots - 1)) {
        if ((a->table[at] ^ *hash) >> 32 != 0) continue;
        const shardio_p_zip_entry *entry = &a->entries[(uint32_t)a->table[at] - 1];
        if (entry->name_size == size && memcmp(entry->name, name, size) == 0) break;
    }
    return at;
}

static shardio_p_zip_entry *shardio_p_zip_find(const shardio_archive *a, const char *key)
{
    size_t n = shardio_p_length(key);
    uint64_t hash;
    if (a->slots == 0 || n > SHARDIO_P_ZIP_NAME) return NULL;
    uint32_t number = (uint32_t)a->table[shardio_p_zip_slot(a, key, n, &hash)];
    return number != 0 && !a->entries[number - 1].gone ? &a->entries[number - 1] : NULL;
}

/* Makes room for `more` entries. False: no memory. */
static bool shardio_p_zip_reserve(shardio_archive *a, uint64_t more)
{
    uint64_t wanted = a->count + more, slots = a->slots != 0 ? a->slots : 16;
    if (wanted > a->capacity) {
        uint64_t capacity = shardio_p_max(wanted, a->capacity + a->capacity / 2 + 16);
        if (capacity >= UINT32_MAX || capacity > SIZE_MAX / sizeof(shardio_p_zip_entry)) return false;
        size_t size = (size_t)capacity * sizeof(shardio_p_zip_entry);
        shardio_p_zip_entry *entries = (shardio_p_zip_entry *)shardio_p_allocate(a->allocator, size, 16);
        if (entries == NULL) return false;
        if (a->count > 0) memcpy(entries, a->entries, a->count * sizeof *entries);
        shardio_p_release(a->allocator, a->entries, a->capacity * sizeof *entries, 16);
        a->entries = entries;
        a->capacity = (size_t)capacity;
    }
    while (slots / 2 < a->used + more) slots *= 2;
    if (slots == a->slots) return true;
    if (slots > SIZE_MAX / sizeof(uint64_t)) return false;
    uint64_t *table = (uint64_t *)shardio_p_allocate(a->allocator, (size_t)slots * sizeof *table, 16), *old = a->table;
    size_t old_slots = a->slots;
    if (table == NULL) return false;
    memset(table, 0, (size_t)slots * sizeof *table);
    a->table = table;
    a->slots = (size_t)slots;
    for (size_t i = 0; i < old_slots; i++) {
        if (old[i] == 0) continue;
        const shardio_p_zip_entry *entry = &a->entries[(uint32_t)old[i] - 1];
        uint64_t hash;
        table[shardio_p_zip_slot(a, entry->name, entry->name_size, &hash)] = old[i];
    }
    shardio_p_release(a->allocator, old, old_slots * sizeof *old, 16);
    return true;
}

/* Puts an entry behind the others, for which there is room; one of the same name is gone then. */
static shardio_p_zip_entry *shardio_p_zip_add(shardio_archive *a, const shardio_p_zip_entry *entry)
{
    shardio_p_zip_entry *added = &a->entries[a->count++];
    *added = *entry;
    if (!entry->key) return added;
    uint64_t hash;
    size_t slot = shardio_p_zip_slot(a, entry->name, entry->name_size, &hash);
    if (a->table[slot] != 0) a->entries[(uint32_t)a->table[slot] - 1].gone = true;
    else a->used++;
    a->table[slot] = hash | (uint32_t)a->count;
    return added;
}

/* Whether a name of the directory is a key: UTF-8, plain, not too long, no directory. */
static bool shardio_p_zip_is_key(const char *name, size_t size)
{
    char key[SHARDIO_P_ZIP_NAME + 1];
    size_t n = 1;
    if (size == 0 || size > SHARDIO_P_ZIP_NAME || memchr(name, 0, size) != NULL) return false;
    for (size_t at = 0; at < size && n > 0; at += n)
        n = (unsigned char)name[at] < 0x80 ? 1 : shardio_p_utf8(name + at, size - at);
    memcpy(key, name, size);
    key[size] = 0;
    return n > 0 && shardio_p_key_is_plain(key);
}

/* Whether a value, with the least header that it can have, lies in front of the directory. */
static bool shardio_p_zip_lies_inside(const shardio_archive *a, const shardio_p_zip_entry *entry)
{
    uint64_t least = (uint64_t)SHARDIO_P_ZIP_LOCAL + entry->name_size, end;
    return shardio_p_add(entry->header, least, &end) && shardio_p_add(end, entry->stored, &end) &&
           end <= a->directory_offset;
}

static void shardio_p_zip_read_entry(shardio_archive *a, const uint8_t *record)
{
    shardio_p_zip_entry entry;
    size_t size;
    memset(&entry, 0, sizeof entry);
    entry.record = record;
    entry.name = (const char *)record + SHARDIO_P_ZIP_CENTRAL;
    entry.name_size = shardio_p_load16_little(record + 28);
    entry.flags = shardio_p_load16_little(record + 8);
    entry.method = shardio_p_load16_little(record + 10);
    entry.crc = shardio_p_load32_little(record + 16);
    entry.committed = true;
    entry.trusted = a->directory.own;
    entry.key = shardio_p_zip_is_key(entry.name, entry.name_size);
    entry.damaged = !shardio_p_zip_read_sizes(record, &entry) || !shardio_p_zip_lies_inside(a, &entry) ||
                    (entry.method == 0 && entry.size != entry.stored);
    const uint8_t *place = a->directory.own ? shardio_p_zip_record_extra(record, SHARDIO_P_ZIP_PLACE, &size) : NULL;
    if (place != NULL && size == SHARDIO_P_ZIP_PLACE_SIZE - 4 && !entry.damaged) {
        entry.data = entry.header + SHARDIO_P_ZIP_LOCAL + entry.name_size + shardio_p_load16_little(place);
        entry.damaged = entry.data > a->directory_offset || entry.stored > a->directory_offset - entry.data;
    }
    (void)shardio_p_zip_add(a, &entry);
}

/* Values that lie over one another are no accident. */
static shardio_status shardio_p_zip_mark_overlaps(shardio_archive *a)
{
    shardio_p_extent *extents;
    size_t size = a->count * sizeof *extents;
    if (a->count < 2) return SHARDIO_OK;
    extents = (shardio_p_extent *)shardio_p_allocate(a->allocator, size, 16);
    if (extents == NULL) return SHARDIO_ERR_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++) {
        const shardio_p_zip_entry *entry = &a->entries[i];
        if (entry->damaged) continue;
        extents[n].offset = entry->header;
        extents[n].length = SHARDIO_P_ZIP_LOCAL + entry->name_size + entry->stored;
        extents[n++].chunk = i;
    }
    shardio_p_sort(extents, n);
    for (size_t i = 1, last = 0; i < n; i++) {   /* last: the one that reaches farthest so far */
        uint64_t end = extents[last].offset + extents[last].length;
        if (extents[i].offset < end)
            a->entries[extents[i].chunk].damaged = a->entries[extents[last].chunk].damaged = true;
        if (extents[i].offset + extents[i].length > end) last = i;
    }
    shardio_p_release(a->allocator, extents, size, 16);
    return SHARDIO_OK;
}

static void shardio_p_zip_forget(shardio_archive *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->entries[i].record == NULL)
            shardio_p_release(a->allocator, (void *)(uintptr_t)a->entries[i].name,
                              (size_t)a->entries[i].name_size + 1, 1);
    shardio_p_release(a->allocator, a->entries, a->capacity * sizeof *a->entries, 16);
    shardio_p_release(a->allocator, a->table, a->slots * sizeof *a->table, 16);
    shardio_p_zip_release_directory(a, &a->directory);
    a->entries = NULL;
    a->table = NULL;
    a->count = a->capacity = a->slots = a->used = a->held = 0;
    a->generation++;
}

/* Keeps a comment; of a layer it is read from the file. */
static shardio_status shardio_p_zip_set_comment(shardio_archive *a, const char *text, uint64_t offset, size_t size,
                                                shardio_error *error)
{
    char *room = (char *)shardio_p_allocate(a->allocator, size + 1, 1);
    if (room == NULL) return shardio_p_zip_fail(a, error, SHARDIO_ERR_MEMORY, "open", NULL);
    shardio_status status = SHARDIO_OK;
    if (text != NULL) memcpy(room, text, size);
    else if (size > 0) status = shardio_p_zip_read(a, offset, room, size, error);
    room[size] = 0;
    shardio_p_release(a->allocator, a->comment, a->comment_room, 1);
    a->comment = room;
    a->comment_size = size;
    a->comment_room = size + 1;
    return status;
}

/* Takes a directory that was read as the layer that is open. */
static shardio_status shardio_p_zip_take_layer(shardio_archive *a, const shardio_p_zip_end *end,
                                               const shardio_p_zip_directory *d, shardio_error *error)
{
    shardio_p_zip_forget(a);
    a->directory = *d;
    a->directory_offset = end->directory;
    a->length = end->length;
    a->layer = d->chained && d->number > 0 ? d->number : 1;
    a->own = d->own;
    a->chained = d->chained;
    a->previous = d->previous;
    a->directory_size = d->size;
    a->listed = d->count;
    if (!shardio_p_zip_reserve(a, d->count))
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_MEMORY, "open", "no memory for its directory");
    size_t at = 0;
    for (uint64_t i = 0; i < d->count; i++) {
        shardio_p_zip_read_entry(a, d->bytes + at);
        at += shardio_p_zip_record_size(d->bytes + at, d->size - at);
    }
    a->held = a->count;
    if (!d->own && shardio_p_zip_mark_overlaps(a) != SHARDIO_OK)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_MEMORY, "open", "no memory for its directory");
    if (a->commented) return SHARDIO_OK;
    return shardio_p_zip_set_comment(a, NULL, end->comment, (size_t)(end->length - end->comment), error);
}

/* Opens the last layer within the first `limit` bytes. SHARDIO_ERR_CORRUPT: there is none. */
static shardio_status shardio_p_zip_load(shardio_archive *a, uint64_t limit, shardio_error *error)
{
    shardio_p_zip_end end;
    shardio_p_zip_directory d;
    shardio_status status = shardio_p_zip_search(a, limit, true, &end, &d, error);
    if (status == SHARDIO_ERR_NOT_FOUND) status = shardio_p_zip_search(a, limit, false, &end, &d, error);
    if (status == SHARDIO_ERR_NOT_FOUND)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_CORRUPT, "open", "it has no whole ZIP directory");
    return status == SHARDIO_OK ? shardio_p_zip_take_layer(a, &end, &d, error) : status;
}

/* -- values */

/* Where a value goes: its header, its bytes, and the end of the room for them; in the file, or in the buffer. */
typedef struct shardio_p_zip_place {
    uint64_t begin, data, end;
} shardio_p_zip_place;

/* An open value: what is read, or what is written and not there yet. */
typedef struct shardio_p_zip_value {
    shardio_archive *archive;
    const shardio_allocator *allocator;
    uint64_t generation;
    size_t entry;                 /* read, or published; SIZE_MAX: neither */
    char *name;                   /* for messages; behind the struct */
    size_t room;                  /* of this piece of memory */
    uint8_t *inflated;            /* a deflated value, whole; or null */
    size_t inflated_size;
    /* the CRC-32 of what was read or written in order so far: bytes counted, and those behind that may yet be cut off */
    uint64_t counted;
    uint32_t crc;
    size_t pending;
    /* writing */
    bool writing, overwrite, unordered;
    bool streamed;                /* into its own piece of the file; otherwise gathered in the buffer */
    bool moves;                   /* what is under the key is what was written so far: the next write copies it */
    shardio_p_zip_place place;
    uint64_t size;
    uint8_t *tail;                /* the bytes pending; behind the struct */
} shardio_p_zip_value;

static shardio_p_zip_entry *shardio_p_zip_value_entry(const shardio_p_zip_value *v)
{
    return v->entry < v->archive->count ? &v->archive->entries[v->entry] : NULL;
}

/* Looks at a local header where the directory does not tell what it holds: it must bear the same name (APPNOTE 4.3.7). */
static shardio_status shardio_p_zip_locate(shardio_archive *a, shardio_p_zip_entry *entry, shardio_error *error)
{
    uint8_t header[SHARDIO_P_ZIP_LOCAL + SHARDIO_P_ZIP_NAME];
    size_t n = SHARDIO_P_ZIP_LOCAL + (size_t)entry->name_size;
    if (entry->damaged || n > sizeof header) return SHARDIO_ERR_CORRUPT;
    if (entry->data != 0 || entry->held) return SHARDIO_OK;
    shardio_status status = shardio_p_zip_read(a, entry->header, header, n, error);
    if (status != SHARDIO_OK) return status;
    uint64_t data = entry->header + n + shardio_p_load16_little(header + 28);
    if (shardio_p_load32_little(header) != SHARDIO_P_ZIP_LOCAL_SIGNATURE ||
        shardio_p_load16_little(header + 26) != entry->name_size ||
        memcmp(header + SHARDIO_P_ZIP_LOCAL, entry->name, entry->name_size) != 0 ||
        shardio_p_load16_little(header + 8) != entry->method || data > a->directory_offset ||
        entry->stored > a->directory_offset - data)
        return SHARDIO_ERR_CORRUPT;
    entry->data = data;
    return SHARDIO_OK;
}

/* Bytes of an entry as they are stored. */
static shardio_status shardio_p_zip_read_stored(shardio_archive *a, const shardio_p_zip_entry *entry, uint64_t offset,
                                                void *data, size_t size, shardio_error *error)
{
    if (!entry->held) return shardio_p_zip_read(a, entry->data + offset, data, size, error);
    memcpy(data, a->buffer + entry->data + offset, size);
    return SHARDIO_OK;
}

#if SHARDIO_WITH_ZLIB
/* Inflates all of an entry into memory. */
static shardio_status shardio_p_zip_inflate(shardio_archive *a, const shardio_p_zip_entry *entry, uint8_t *out,
                                            const shardio_allocator *allocator)
{
    z_stream z;
    size_t stored = (size_t)entry->stored;
    uint8_t *in = (uint8_t *)shardio_p_allocate(allocator, stored + 1, 1);
    if (in == NULL) return SHARDIO_ERR_MEMORY;
    shardio_status status = shardio_p_zip_read_stored(a, entry, 0, in, stored, NULL);
    memset(&z, 0, sizeof z);
    if (status == SHARDIO_OK && inflateInit2(&z, -15) != Z_OK) status = SHARDIO_ERR_MEMORY;
    if (status == SHARDIO_OK) {
        z.next_in = in;
        z.avail_in = (uInt)stored;
        z.next_out = out;
        z.avail_out = (uInt)entry->size;
        int result = inflate(&z, Z_FINISH);
        if (result != Z_STREAM_END || z.avail_out != 0 || z.avail_in != 0) status = SHARDIO_ERR_CORRUPT;
        (void)inflateEnd(&z);
    }
    shardio_p_release(allocator, in, stored + 1, 1);
    return status;
}
#endif

/* A deflated value is inflated as a whole when it is opened. */
static shardio_status shardio_p_zip_open_deflated(shardio_p_zip_value *v, const shardio_p_zip_entry *entry, int *code)
{
    const shardio_archive *a = v->archive;
    uint64_t limit = a->options.decoded_limit != 0 ? a->options.decoded_limit : (uint64_t)1 << 30;
#if SHARDIO_WITH_ZLIB
    (void)code;
    /* deflate makes at most 1032 bytes of one */
    limit = shardio_p_min(limit, UINT32_MAX - 1);   /* zlib counts in 32 bits, and one byte more is taken */
    if (entry->size > limit || entry->stored > limit) return SHARDIO_ERR_LIMIT;
    if (entry->size / 1032 > entry->stored) return SHARDIO_ERR_CORRUPT;
    v->inflated_size = (size_t)entry->size + 1;
    v->inflated = (uint8_t *)shardio_p_allocate(a->allocator, v->inflated_size, 16);
    if (v->inflated == NULL) return SHARDIO_ERR_MEMORY;
    shardio_status status = shardio_p_zip_inflate(v->archive, entry, v->inflated, a->allocator);
    if (status == SHARDIO_OK && shardio_crc32(0, v->inflated, (size_t)entry->size) != entry->crc)
        status = SHARDIO_ERR_CHECKSUM;
    return status;
#else
    (void)entry, (void)limit;
    *code = SHARDIO_P_CODE_DEFLATED;
    return SHARDIO_ERR_UNSUPPORTED;
#endif
}

/* The value under its key is still the one that was opened. */
static bool shardio_p_zip_is_current(const shardio_p_zip_value *v)
{
    const shardio_p_zip_entry *entry = shardio_p_zip_value_entry(v);
    return v->generation == v->archive->generation && (entry == NULL || !entry->gone);
}

static shardio_status shardio_p_zip_value_facts(void *file, shardio_file_facts *facts, int *code)
{
    const shardio_p_zip_value *v = (const shardio_p_zip_value *)file;
    const shardio_archive *a = v->archive;
    (void)code;
    memset(facts, 0, sizeof *facts);
    if (v->generation != a->generation) return SHARDIO_ERR_CHANGED;
    const shardio_p_zip_entry *entry = shardio_p_zip_value_entry(v);
    if (v->writing) {
        *facts = a->wishes;
        facts->size = v->size;
    } else if (entry != NULL) {
        facts->size = entry->size;
    }
    facts->identity[0] = shardio_p_zip_is_current(v) ? (uint64_t)(uintptr_t)a : 0;
    facts->identity[1] = a->generation;
    facts->identity[2] = v->entry;
    return SHARDIO_OK;
}

/* Counts what is read in order from the beginning, where somebody reads all of it: then the CRC-32 must come out. */
static shardio_status shardio_p_zip_check(shardio_p_zip_value *v, const shardio_p_zip_entry *entry, uint64_t offset,
                                          const void *data, size_t size, size_t asked)
{
    if (offset != v->counted || (offset == 0 && asked < entry->size)) return SHARDIO_OK;
    v->crc = shardio_crc32(offset == 0 ? 0 : v->crc, data, size);
    v->counted += size;
    if (v->counted < entry->size) return SHARDIO_OK;
    v->counted = 0;
    return v->crc == entry->crc ? SHARDIO_OK : SHARDIO_ERR_CHECKSUM;
}

/* Bytes of a value, from where they are at the moment. */
static shardio_status shardio_p_zip_read_value(shardio_p_zip_value *v, uint64_t offset, void *data, size_t size,
                                               shardio_error *error)
{
    shardio_archive *a = v->archive;
    if (!v->writing || v->moves) {
        if (v->inflated == NULL)
            return shardio_p_zip_read_stored(a, shardio_p_zip_value_entry(v), offset, data, size, error);
        memcpy(data, v->inflated + offset, size);
        return SHARDIO_OK;
    }
    if (v->streamed) return shardio_p_zip_read(a, v->place.data + offset, data, size, error);
    memcpy(data, a->buffer + v->place.data + offset, size);
    return SHARDIO_OK;
}

static shardio_status shardio_p_zip_value_read(void *file, uint64_t offset, void *data, size_t size, size_t *done,
                                               int *code)
{
    shardio_p_zip_value *v = (shardio_p_zip_value *)file;
    shardio_archive *a = v->archive;
    shardio_error error;
    *done = 0;
    if (v->generation != a->generation) return SHARDIO_ERR_CHANGED;
    const shardio_p_zip_entry *entry = shardio_p_zip_value_entry(v);
    if ((!v->writing || v->moves) && entry->given && v->inflated == NULL) return SHARDIO_ERR_CHANGED;
    uint64_t end = v->writing ? v->size : entry->size;
    if (offset >= end) return SHARDIO_OK;
    size_t n = (size_t)shardio_p_min(size, end - offset);
    shardio_p_no_error(&error);
    shardio_status status = shardio_p_zip_read_value(v, offset, data, n, &error);
    if (status != SHARDIO_OK) *code = error.system_code;
    else if (!v->writing && v->inflated == NULL) status = shardio_p_zip_check(v, entry, offset, data, n, size);
    if (status == SHARDIO_OK) *done = n;
    return status;
}

static void shardio_p_zip_value_hint(void *file, shardio_hint hint, uint64_t offset, uint64_t size)
{
    const shardio_p_zip_value *v = (const shardio_p_zip_value *)file;
    const shardio_archive *a = v->archive;
    const shardio_p_zip_entry *entry = shardio_p_zip_value_entry(v);
    if (v->writing || v->inflated != NULL || v->generation != a->generation || entry == NULL || entry->held) return;
    if (a->file.functions->hint != NULL)
        a->file.functions->hint(a->file.context, hint, entry->data + offset, size);
}

/* -- writing: where the bytes go */

static uint64_t shardio_p_zip_unit(const shardio_archive *a)
{
    return shardio_p_max(a->block, a->options.alignment);
}

/* A piece of the file of `size` bytes, whole blocks: one that was given up, or the next at the end. */
static uint64_t shardio_p_zip_take(shardio_archive *a, uint64_t size)
{
    for (size_t i = 0; i < a->gap_count; i++) {
        shardio_p_zip_gap *gap = &a->gaps[i];
        uint64_t at = gap->offset;
        if (gap->size < size) continue;
        gap->offset += size;
        gap->size -= size;
        if (gap->size == 0) *gap = a->gaps[--a->gap_count];
        return at;
    }
    uint64_t at = a->end;
    a->end += size;
    return at;
}

/* Gives a piece back that no commit knows of. */
static void shardio_p_zip_give(shardio_archive *a, uint64_t offset, uint64_t end)
{
    offset = shardio_p_ceil(offset, shardio_p_zip_unit(a));
    if (offset >= end || offset < a->length) return;   /* in front of a layer nothing is written again */
    if (end == a->end) {
        a->end = offset;
        return;
    }
    for (size_t i = 0; i < a->gap_count; i++) {   /* one that continues another makes it larger */
        if (a->gaps[i].offset + a->gaps[i].size != offset) continue;
        a->gaps[i].size += end - offset;
        return;
    }
    if (a->gap_count == SHARDIO_P_ZIP_GAPS) return;   /* it stays dead until the archive is compacted */
    a->gaps[a->gap_count].offset = offset;
    a->gaps[a->gap_count++].size = end - offset;
}

/* What lies behind the last layer, of a commit that was never completed, goes before the first write. */
static shardio_status shardio_p_zip_cut_torn(shardio_archive *a, int *code)
{
    if (a->cut == SHARDIO_NO_OFFSET) return SHARDIO_OK;
    shardio_status status = a->file.functions->resize(a->file.context, a->cut, code);
    if (status != SHARDIO_OK) return status;
    a->file_size = a->cut;
    a->cut = SHARDIO_NO_OFFSET;
    return SHARDIO_OK;
}

static void shardio_p_zip_go_buffered(shardio_archive *a, int code, const char *reason)
{
    a->options.direct = SHARDIO_DIRECT_OFF;
    a->accounting.direct_reason = reason;
    a->accounting.direct_code = code;
}

/* Writes whole blocks past the page cache if `direct` and the system takes it, anything else through it. */
static shardio_status shardio_p_zip_write(shardio_archive *a, uint64_t offset, const void *data, size_t size,
                                          bool direct, int *code)
{
    const uint8_t *from = (const uint8_t *)data;
    int stuck = 0;
    shardio_status status = shardio_p_zip_cut_torn(a, code);
    if (status != SHARDIO_OK) return status;
    a->wrote = true;
    direct = direct && a->options.direct != SHARDIO_DIRECT_OFF && offset % a->block == 0 && size % a->block == 0 &&
             (uintptr_t)data % a->memory_alignment == 0;
    a->ahead[0].size = a->ahead[1].size = 0;
    status = shardio_p_zip_set_direct(a, direct, code);
    if (status != SHARDIO_OK && a->options.direct == SHARDIO_DIRECT_ON) return SHARDIO_ERR_DIRECT;
    if (status != SHARDIO_OK && direct) shardio_p_zip_go_buffered(a, *code, "the system refused unbuffered I/O");
    while (size > 0) {
        size_t done = 0, ask = (size_t)shardio_p_min(size, SHARDIO_P_LARGEST_TRANSFER);
        status = a->file.functions->write(a->file.context, offset, from, ask, &done, code);
        a->accounting.device_calls++;
        if (status == SHARDIO_ERR_DIRECT && a->direct && a->options.direct == SHARDIO_DIRECT_AUTO) {
            shardio_p_zip_go_buffered(a, *code, "the system refused an unbuffered write");
            status = shardio_p_zip_set_direct(a, false, code);
            if (status == SHARDIO_OK) continue;
        }
        if (status != SHARDIO_OK) return status;
        if (done > ask) return SHARDIO_ERR_IO;
        if (a->direct) done -= done % a->block;
        if (done == 0 && ++stuck > SHARDIO_P_PATIENCE) return SHARDIO_ERR_NO_SPACE;
        a->accounting.device_bytes += done;
        a->file_size = shardio_p_max(a->file_size, offset + done);
        offset += done;
        from += done;
        size -= done;
    }
    return SHARDIO_OK;
}

/* Bytes of extra fields in front of data that is to begin at a multiple of `unit`, when the header begins at `begin` and
   may need `wide` bytes for a 64-bit field. */
static uint64_t shardio_p_zip_extra_room(uint64_t begin, size_t name_size, uint64_t unit, uint64_t wide)
{
    uint64_t head = begin + SHARDIO_P_ZIP_LOCAL + name_size;
    uint64_t room = shardio_p_ceil(head + wide, unit) - head;
    while (room != wide && room < wide + SHARDIO_P_ZIP_LEAST_PADDING) room += unit;
    return room;
}

/* The local header of an entry, with `room` bytes of extra fields: a 64-bit one if it needs it, the rest padding. */
static void shardio_p_zip_make_local(uint8_t *to, const shardio_p_zip_entry *entry, size_t room)
{
    bool wide = entry->size >= SHARDIO_P_ZIP_ALL_ONES || entry->stored >= SHARDIO_P_ZIP_ALL_ONES;
    uint8_t *extra = to + SHARDIO_P_ZIP_LOCAL + entry->name_size;
    memset(to, 0, SHARDIO_P_ZIP_LOCAL + (size_t)entry->name_size + room);
    shardio_p_store32_little(to, SHARDIO_P_ZIP_LOCAL_SIGNATURE);
    shardio_p_store16_little(to + 4, wide ? 45 : 20);
    shardio_p_store16_little(to + 6, entry->flags);
    shardio_p_store16_little(to + 8, entry->method);
    shardio_p_store16_little(to + 12, SHARDIO_P_ZIP_DATE);
    shardio_p_store32_little(to + 14, entry->crc);
    shardio_p_store32_or_ones(to + 18, wide ? UINT64_MAX : entry->stored);
    shardio_p_store32_or_ones(to + 22, wide ? UINT64_MAX : entry->size);
    shardio_p_store16_little(to + 26, entry->name_size);
    shardio_p_store16_little(to + 28, room);
    memcpy(to + SHARDIO_P_ZIP_LOCAL, entry->name, entry->name_size);
    if (wide) {
        shardio_p_store16_little(extra, SHARDIO_P_ZIP_EXTRA64);
        shardio_p_store16_little(extra + 2, 16);
        shardio_p_store64(extra + 4, entry->size, false);
        shardio_p_store64(extra + 12, entry->stored, false);
        extra += 20;
        room -= 20;
    }
    if (room == 0) return;
    shardio_p_store16_little(extra, SHARDIO_P_ZIP_PADDING);
    shardio_p_store16_little(extra + 2, room - 4);
}

/* An entry for a new value; its name is copied. */
static shardio_status shardio_p_zip_begin_entry(const shardio_archive *a, const char *key, shardio_p_zip_entry *entry)
{
    size_t n = shardio_p_length(key);
    char *name = (char *)shardio_p_allocate(a->allocator, n + 1, 1);
    if (name == NULL) return SHARDIO_ERR_MEMORY;
    memset(entry, 0, sizeof *entry);
    memcpy(name, key, n + 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)key[i] >= 0x80) entry->flags = SHARDIO_P_ZIP_UTF8;
    entry->name = name;
    entry->name_size = (uint16_t)n;
    entry->key = true;
    return SHARDIO_OK;
}

/* The value that is gathered lies behind those that are complete. */
static void shardio_p_zip_place_in_buffer(shardio_p_zip_value *v)
{
    const shardio_archive *a = v->archive;
    size_t name = shardio_p_length(v->name);
    uint64_t unit = shardio_p_max(1, a->options.alignment);
    v->place.begin = a->fill;
    v->place.data = a->fill + SHARDIO_P_ZIP_LOCAL + name + shardio_p_zip_extra_room(a->fill, name, unit, 0);
    v->place.end = a->buffer_size;
}

/* Writes what was gathered so far; a value that is not complete yet moves to the front of the buffer. */
static shardio_status shardio_p_zip_flush(shardio_archive *a, int *code)
{
    shardio_p_zip_value *v = a->gathering;
    uint64_t size = shardio_p_ceil(a->fill, shardio_p_zip_unit(a));
    if (a->fill == 0) return SHARDIO_OK;
    size_t padded = (size_t)shardio_p_ceil(a->fill, a->block);
    size_t over = padded - a->fill;   /* a block's rest is zeros in the file, and may be the value's in the buffer */
    uint8_t *kept = a->header;
    memcpy(kept, a->buffer + a->fill, over);
    memset(a->buffer + a->fill, 0, over);
    uint64_t at = shardio_p_zip_take(a, size);
    shardio_status status = shardio_p_zip_write(a, at, a->buffer, padded, true, code);
    memcpy(a->buffer + a->fill, kept, over);
    if (status != SHARDIO_OK) {
        shardio_p_zip_give(a, at, at + size);
        return status;
    }
    for (size_t i = a->held; i < a->count; i++) {
        shardio_p_zip_entry *entry = &a->entries[i];
        if (!entry->held) continue;
        entry->held = false;
        entry->header += at;
        entry->data += at;
    }
    a->held = a->count;
    a->fill = 0;
    if (v == NULL) return SHARDIO_OK;
    uint64_t from = v->place.data;
    shardio_p_zip_place_in_buffer(v);
    memmove(a->buffer + v->place.data, a->buffer + from, (size_t)v->size);
    return SHARDIO_OK;
}

/* -- writing: a value */

/* What a value held in the file or in the buffer, and nobody may read any more, is given back. */
static void shardio_p_zip_drop(shardio_archive *a, shardio_p_zip_entry *entry)
{
    entry->gone = true;
    a->changed = true;
    if (entry->committed || !entry->alone) return;
    entry->given = true;
    shardio_p_zip_give(a, entry->header, shardio_p_ceil(entry->data + entry->stored, shardio_p_zip_unit(a)));
}

/* A piece of the file for a value of up to `most` bytes, its header in blocks of its own. */
static shardio_p_zip_place shardio_p_zip_take_place(const shardio_p_zip_value *v, uint64_t most)
{
    shardio_archive *a = v->archive;
    uint64_t unit = shardio_p_zip_unit(a);
    size_t name = shardio_p_length(v->name);
    uint64_t room = SHARDIO_P_ZIP_LOCAL + name + shardio_p_zip_extra_room(0, name, unit, 20);
    uint64_t size = shardio_p_ceil(room + most, unit);
    shardio_p_zip_place place = {0, 0, 0};
    place.begin = shardio_p_zip_take(a, size);
    place.data = place.begin + room;
    place.end = place.begin + size;
    return place;
}

/* The CRC-32 goes along; what is in the last block may still be cut off or written again, so its bytes are kept. */
static void shardio_p_zip_count(shardio_p_zip_value *v, uint64_t offset, const uint8_t *data, size_t size)
{
    if (offset < v->counted || offset > v->counted + v->pending) {
        v->unordered = true;
        return;
    }
    size_t again = (size_t)(offset - v->counted);   /* of the bytes kept, those that stay */
    v->crc = shardio_crc32(v->crc, v->tail, again);
    size_t keep = (size_t)shardio_p_min(size, v->archive->block);
    v->crc = shardio_crc32(v->crc, data, size - keep);
    memcpy(v->tail, data + (size - keep), keep);
    v->pending = keep;
    v->counted = offset + size - keep;
}

/* Copies the bytes of a value to another place in the file. */
static shardio_status shardio_p_zip_copy(shardio_p_zip_value *v, uint64_t to, int *code)
{
    shardio_archive *a = v->archive;
    size_t size = (size_t)shardio_p_ceil(shardio_p_min(SHARDIO_P_DEFAULT_BUFFER, shardio_p_max(v->size, 1)), a->block);
    uint8_t *piece = (uint8_t *)shardio_p_allocate(a->allocator, size, a->memory_alignment);
    shardio_status status = piece != NULL ? SHARDIO_OK : SHARDIO_ERR_MEMORY;
    v->crc = 0;
    v->counted = 0;
    v->pending = 0;
    v->unordered = false;
    for (uint64_t at = 0, n; at < v->size && status == SHARDIO_OK; at += n) {
        n = shardio_p_min(size, v->size - at);
        status = shardio_p_zip_read_value(v, at, piece, (size_t)n, NULL);
        size_t padded = (size_t)shardio_p_ceil(n, a->block);
        memset(piece + n, 0, padded - (size_t)n);
        if (status == SHARDIO_OK) status = shardio_p_zip_write(a, to + at, piece, padded, true, code);
        shardio_p_zip_count(v, at, piece, (size_t)n);
        a->accounting.copied_bytes += n;
    }
    shardio_p_release(a->allocator, piece, size, a->memory_alignment);
    return status;
}

/* A value that outgrows its place, or that others may read as it is, goes on in another one. */
static shardio_status shardio_p_zip_move(shardio_p_zip_value *v, uint64_t wanted, int *code)
{
    shardio_archive *a = v->archive;
    uint64_t most = wanted;
    if (v->streamed && !v->moves && v->place.end == a->end) {   /* the last one grows where it is */
        a->end = v->place.begin + shardio_p_ceil(v->place.data - v->place.begin + wanted, shardio_p_zip_unit(a));
        v->place.end = a->end;
        return SHARDIO_OK;
    }
    if (v->moves && shardio_p_zip_value_entry(v)->gone) return SHARDIO_ERR_CHANGED;
    if (v->size > 0 && !v->moves) most = 2 * wanted;   /* so that all is copied once more at the most, in sum */
    shardio_p_zip_place place = shardio_p_zip_take_place(v, most);
    shardio_status status = shardio_p_zip_copy(v, place.data, code);
    if (status != SHARDIO_OK) {
        v->unordered = true;
        shardio_p_zip_give(a, place.begin, place.end);
        return status;
    }
    if (v->streamed && !v->moves) shardio_p_zip_give(a, v->place.begin, v->place.end);
    if (a->gathering == v) a->gathering = NULL;
    shardio_p_release(a->allocator, v->inflated, v->inflated_size, 16);
    v->inflated = NULL;
    v->place = place;
    v->streamed = true;
    v->moves = false;
    return SHARDIO_OK;
}

/* Whether the buffer can take a value of `size` bytes; what is complete in it is written to make room. */
static shardio_status shardio_p_zip_fit(shardio_p_zip_value *v, uint64_t size, bool *fits, int *code)
{
    shardio_archive *a = v->archive;
    *fits = v->place.data + size <= a->buffer_size;
    if (*fits || a->fill == 0) return SHARDIO_OK;
    shardio_status status = shardio_p_zip_flush(a, code);
    *fits = status == SHARDIO_OK && v->place.data + size <= a->buffer_size;
    return status;
}

/* What is skipped in a piece of the file reads as zeros, whatever was there before. */
static shardio_status shardio_p_zip_clear(shardio_p_zip_value *v, uint64_t end, int *code)
{
    shardio_archive *a = v->archive;
    shardio_status status = SHARDIO_OK;
    memset(a->header, 0, a->header_size);
    for (uint64_t at = v->size, n; at < end && status == SHARDIO_OK; at += n) {
        n = shardio_p_min(end - at, a->header_size);
        status = shardio_p_zip_write(a, v->place.data + at, a->header, (size_t)n, true, code);
    }
    return status;
}

static shardio_status shardio_p_zip_value_write(void *file, uint64_t offset, const void *data, size_t size,
                                                size_t *done, int *code)
{
    shardio_p_zip_value *v = (shardio_p_zip_value *)file;
    shardio_archive *a = v->archive;
    uint64_t end;
    bool fits = true;
    shardio_status status = SHARDIO_OK;
    *done = 0;
    if (v->generation != a->generation) return SHARDIO_ERR_CHANGED;
    if (!shardio_p_add(offset, size, &end) || end > SHARDIO_P_ZIP_MOST) return SHARDIO_ERR_NO_SPACE;
    if (v->moves) fits = false;
    else if (!v->streamed) status = shardio_p_zip_fit(v, end, &fits, code);
    else fits = end <= v->place.end - v->place.data;
    if (status == SHARDIO_OK && !fits) status = shardio_p_zip_move(v, shardio_p_max(end, v->size), code);
    if (status != SHARDIO_OK) return status;
    if (v->streamed) {
        if (offset > v->size) status = shardio_p_zip_clear(v, offset, code);
        if (status == SHARDIO_OK) status = shardio_p_zip_write(a, v->place.data + offset, data, size, true, code);
        shardio_p_zip_count(v, offset, (const uint8_t *)data, size);
    } else {
        if (offset > v->size) memset(a->buffer + v->place.data + v->size, 0, (size_t)(offset - v->size));
        memcpy(a->buffer + v->place.data + offset, data, size);
        a->accounting.copied_bytes += size;
    }
    if (status != SHARDIO_OK) return status;
    v->size = shardio_p_max(v->size, end);
    *done = size;
    return SHARDIO_OK;
}

static shardio_status shardio_p_zip_value_resize(void *file, uint64_t size, int *code)
{
    static const uint8_t zero = 0;
    shardio_p_zip_value *v = (shardio_p_zip_value *)file;
    size_t done;
    if (v->generation != v->archive->generation) return SHARDIO_ERR_CHANGED;
    if (size > v->size) return shardio_p_zip_value_write(file, size - 1, &zero, 1, &done, code);
    if (size < v->size && v->moves) {
        shardio_status status = shardio_p_zip_move(v, v->size, code);
        if (status != SHARDIO_OK) return status;
    }
    v->size = size;
    if (size < v->counted) v->unordered = true;
    else v->pending = (size_t)shardio_p_min(v->pending, size - v->counted);
    return SHARDIO_OK;
}

/* The CRC-32 of a value that is complete; one that was not written in order is read again. */
static shardio_status shardio_p_zip_finish_crc(shardio_p_zip_value *v, uint32_t *crc)
{
    shardio_archive *a = v->archive;
    shardio_status status = SHARDIO_OK;
    *crc = 0;
    if (!v->streamed) {
        *crc = shardio_crc32(0, a->buffer + v->place.data, (size_t)v->size);
        return SHARDIO_OK;
    }
    if (!v->unordered && v->counted + v->pending == v->size) {
        *crc = shardio_crc32(v->crc, v->tail, v->pending);
        return SHARDIO_OK;
    }
    uint8_t *piece = (uint8_t *)shardio_p_allocate(a->allocator, SHARDIO_P_ZIP_WINDOW, 16);
    if (piece == NULL) return SHARDIO_ERR_MEMORY;
    for (uint64_t at = 0, n; at < v->size && status == SHARDIO_OK; at += n) {
        n = shardio_p_min(SHARDIO_P_ZIP_WINDOW, v->size - at);
        status = shardio_p_zip_read(a, v->place.data + at, piece, (size_t)n, NULL);
        *crc = shardio_crc32(*crc, piece, (size_t)n);
    }
    shardio_p_release(a->allocator, piece, SHARDIO_P_ZIP_WINDOW, 16);
    return status;
}

/* Writes the header of a value that is complete, and lists it. */
static shardio_status shardio_p_zip_list_value(shardio_p_zip_value *v, shardio_p_zip_entry *entry, int *code)
{
    shardio_archive *a = v->archive;
    size_t room = (size_t)(v->place.data - v->place.begin);
    if (!shardio_p_zip_reserve(a, 1)) return SHARDIO_ERR_MEMORY;
    shardio_p_zip_entry *old = shardio_p_zip_find(a, v->name);
    entry->header = v->place.begin;
    entry->data = v->place.data;
    size_t extra = room - SHARDIO_P_ZIP_LOCAL - entry->name_size;
    if (v->streamed) {
        shardio_p_zip_make_local(a->header, entry, extra);
        shardio_status status = shardio_p_zip_write(a, v->place.begin, a->header, room, true, code);
        if (status != SHARDIO_OK) return status;
        shardio_p_zip_give(a, v->place.data + v->size, v->place.end);
        entry->alone = true;
    } else {
        shardio_p_zip_make_local(a->buffer + v->place.begin, entry, extra);
        a->fill = (size_t)(v->place.data + v->size);
        a->gathering = NULL;
        entry->held = true;
    }
    if (old != NULL) shardio_p_zip_drop(a, old);
    (void)shardio_p_zip_add(a, entry);
    v->entry = a->count - 1;
    a->changed = true;
    return SHARDIO_OK;
}

/* Lists a value; `packed` (or null) says how its bytes are stored, if not as they are. */
static shardio_status shardio_p_zip_publish_as(shardio_p_zip_value *v, const shardio_p_zip_entry *packed, uint32_t crc,
                                               int *code)
{
    shardio_p_zip_entry entry;
    shardio_status status = shardio_p_zip_begin_entry(v->archive, v->name, &entry);
    if (status != SHARDIO_OK) return status;
    entry.crc = crc;
    entry.size = packed != NULL ? packed->size : v->size;
    entry.stored = v->size;
    if (packed != NULL) entry.method = packed->method;
    if (packed != NULL) entry.flags |= packed->flags & SHARDIO_P_ZIP_ENCRYPTED;
    status = shardio_p_zip_list_value(v, &entry, code);
    if (status != SHARDIO_OK)
        shardio_p_release(v->archive->allocator, (void *)(uintptr_t)entry.name, (size_t)entry.name_size + 1, 1);
    return status;
}

static shardio_status shardio_p_zip_value_publish(void *file, bool durable, int *code)
{
    shardio_p_zip_value *v = (shardio_p_zip_value *)file;
    uint32_t crc;
    (void)durable;   /* a commit is */
    if (v->generation != v->archive->generation) return SHARDIO_ERR_CHANGED;
    if (v->moves) return SHARDIO_OK;   /* nothing was written since the last time */
    if (v->entry == SIZE_MAX && !v->overwrite && shardio_p_zip_find(v->archive, v->name) != NULL)
        return SHARDIO_ERR_EXISTS;
    shardio_status status = shardio_p_zip_finish_crc(v, &crc);
    if (status == SHARDIO_OK) status = shardio_p_zip_publish_as(v, NULL, crc, code);
    v->moves = status == SHARDIO_OK;
    return status;
}

static shardio_status shardio_p_zip_value_close(void *file, shardio_close how, bool durable, int *code)
{
    shardio_p_zip_value *v = (shardio_p_zip_value *)file;
    shardio_archive *a = v->archive;
    shardio_status status = SHARDIO_OK;
    if (v->writing && how == SHARDIO_CLOSE_PUBLISH) status = shardio_p_zip_value_publish(file, durable, code);
    if (a->gathering == v) a->gathering = NULL;
    else if (v->writing && v->streamed && !v->moves && v->generation == a->generation)
        shardio_p_zip_give(a, v->place.begin, v->place.end);
    shardio_p_release(a->allocator, v->inflated, v->inflated_size, 16);
    shardio_p_release(v->allocator, v, v->room, sizeof(uint64_t));
    return status;
}

/* -- writing: a commit */

/* A directory entry for a value of ours. */
static size_t shardio_p_zip_make_record(uint8_t *to, const shardio_p_zip_entry *entry)
{
    const uint64_t members[3] = {entry->size, entry->stored, entry->header};
    size_t n = SHARDIO_P_ZIP_CENTRAL + (size_t)entry->name_size, extra = n;
    memset(to, 0, SHARDIO_P_ZIP_CENTRAL);
    memcpy(to + SHARDIO_P_ZIP_CENTRAL, entry->name, entry->name_size);
    for (int i = 0; i < 3; i++) {
        if (members[i] < SHARDIO_P_ZIP_ALL_ONES) continue;
        if (n == extra) n += 4;
        shardio_p_store64(to + n, members[i], false);
        n += 8;
    }
    bool wide = n > extra;
    if (wide) {
        shardio_p_store16_little(to + extra, SHARDIO_P_ZIP_EXTRA64);
        shardio_p_store16_little(to + extra + 2, n - extra - 4);
    }
    shardio_p_store16_little(to + n, SHARDIO_P_ZIP_PLACE);
    shardio_p_store16_little(to + n + 2, SHARDIO_P_ZIP_PLACE_SIZE - 4);
    shardio_p_store16_little(to + n + 4, entry->data - entry->header - SHARDIO_P_ZIP_LOCAL - entry->name_size);
    n += SHARDIO_P_ZIP_PLACE_SIZE;
    shardio_p_store32_little(to, SHARDIO_P_ZIP_CENTRAL_SIGNATURE);
    shardio_p_store16_little(to + 4, 3 << 8 | (wide ? 45 : 20));   /* made by a system with the modes of Unix */
    shardio_p_store16_little(to + 6, wide ? 45 : 20);
    shardio_p_store16_little(to + 8, entry->flags);
    shardio_p_store16_little(to + 10, entry->method);
    shardio_p_store16_little(to + 14, SHARDIO_P_ZIP_DATE);
    shardio_p_store32_little(to + 16, entry->crc);
    shardio_p_store32_or_ones(to + 20, entry->stored);
    shardio_p_store32_or_ones(to + 24, entry->size);
    shardio_p_store16_little(to + 28, entry->name_size);
    shardio_p_store16_little(to + 30, n - extra);
    shardio_p_store32_little(to + 38, (uint32_t)0100644 << 16);    /* a file, rw-r--r-- */
    shardio_p_store32_or_ones(to + 42, entry->header);
    return n;
}

/* A directory entry as it was read, without what only the directory that it came from knew. */
static size_t shardio_p_zip_keep_record(uint8_t *to, const shardio_p_zip_entry *entry)
{
    const uint8_t *record = entry->record, *extra = record + SHARDIO_P_ZIP_CENTRAL + entry->name_size;
    size_t left = shardio_p_load16_little(record + 30), comment = shardio_p_load16_little(record + 32);
    size_t n = SHARDIO_P_ZIP_CENTRAL + (size_t)entry->name_size, begin = n;
    memcpy(to, record, n);
    while (left >= 4) {
        size_t size = (size_t)shardio_p_min(4 + (size_t)shardio_p_load16_little(extra + 2), left);
        uint16_t id = shardio_p_load16_little(extra);
        if (id != SHARDIO_P_ZIP_CHAIN && (id != SHARDIO_P_ZIP_PLACE || entry->trusted)) {
            memcpy(to + n, extra, size);
            n += size;
        }
        extra += size;
        left -= size;
    }
    memcpy(to + n, extra, left + comment);
    shardio_p_store16_little(to + 30, n + left - begin);
    return n + left + comment;
}

/* Puts the chain behind the extra fields of the first entry, which is `size` bytes. Its CRC-32 comes when all is there. */
static size_t shardio_p_zip_add_chain(const shardio_archive *a, uint8_t *record, size_t size, uint8_t **checksum)
{
    size_t extra = shardio_p_load16_little(record + 30), comment = shardio_p_load16_little(record + 32);
    uint8_t *chain = record + size - comment;
    *checksum = NULL;
    if (extra + SHARDIO_P_ZIP_CHAIN_SIZE > 0xFFFF) return size;
    memmove(chain + SHARDIO_P_ZIP_CHAIN_SIZE, chain, comment);
    shardio_p_store16_little(record + 30, extra + SHARDIO_P_ZIP_CHAIN_SIZE);
    shardio_p_store16_little(chain, SHARDIO_P_ZIP_CHAIN);
    shardio_p_store16_little(chain + 2, SHARDIO_P_ZIP_CHAIN_SIZE - 4);
    shardio_p_store32_little(chain + 4, 1);
    shardio_p_store32_little(chain + 8, 0);
    shardio_p_store64(chain + 12, a->layer + 1, false);
    shardio_p_store64(chain + 20, a->length, false);
    *checksum = chain + 8;
    return size + SHARDIO_P_ZIP_CHAIN_SIZE;
}

/* How many components are in front of a name's "zarr.json"; SIZE_MAX: it has another last one. */
static size_t shardio_p_zip_depth(const shardio_p_zip_entry *entry)
{
    static const char name[] = "zarr.json";
    size_t n = sizeof name - 1, depth = 0;
    if (entry->name_size < n || memcmp(entry->name + entry->name_size - n, name, n) != 0 ||
        (entry->name_size > n && entry->name[entry->name_size - n - 1] != '/'))
        return SIZE_MAX;
    for (size_t i = 0; i < entry->name_size && depth < SHARDIO_P_ZIP_DEPTH; i++) depth += entry->name[i] == '/';
    return depth;
}

/* A directory that is being put together. */
typedef struct shardio_p_zip_listing {
    uint8_t *bytes, *checksum;
    size_t size, room;
    uint64_t count;
} shardio_p_zip_listing;

static void shardio_p_zip_list_entry(const shardio_archive *a, shardio_p_zip_listing *l, const shardio_p_zip_entry *entry)
{
    uint8_t *to = l->bytes + l->size;
    size_t n = entry->record != NULL ? shardio_p_zip_keep_record(to, entry) : shardio_p_zip_make_record(to, entry);
    if (l->count == 0) n = shardio_p_zip_add_chain(a, to, n, &l->checksum);
    l->size += n;
    l->count++;
}

/* zarr.json first, the root's before all others and parents before what is below them; then the rest as it came. */
static void shardio_p_zip_list_entries(const shardio_archive *a, shardio_p_zip_listing *l)
{
    size_t nodes = 0;
    for (size_t i = 0; i < a->count; i++)
        nodes += !a->entries[i].gone && shardio_p_zip_depth(&a->entries[i]) != SIZE_MAX;
    for (size_t depth = 0, listed = 0; listed < nodes; depth++) {
        for (size_t i = 0; i < a->count; i++) {
            if (a->entries[i].gone || shardio_p_zip_depth(&a->entries[i]) != depth) continue;
            shardio_p_zip_list_entry(a, l, &a->entries[i]);
            listed++;
        }
    }
    for (size_t i = 0; i < a->count; i++)
        if (!a->entries[i].gone && shardio_p_zip_depth(&a->entries[i]) == SIZE_MAX)
            shardio_p_zip_list_entry(a, l, &a->entries[i]);
}

/* The end records behind a directory at `offset`. */
static void shardio_p_zip_list_end(const shardio_archive *a, shardio_p_zip_listing *l, uint64_t offset)
{
    uint64_t size = l->size, count = l->count;
    uint8_t *to = l->bytes + l->size;
    bool wide = count >= 0xFFFF || size >= SHARDIO_P_ZIP_ALL_ONES || offset >= SHARDIO_P_ZIP_ALL_ONES ||
                a->options.ome_version != NULL;
    memset(to, 0, SHARDIO_P_ZIP_END64 + SHARDIO_P_ZIP_LOCATOR + SHARDIO_P_ZIP_END);
    if (wide) {
        shardio_p_store32_little(to, SHARDIO_P_ZIP_END64_SIGNATURE);
        shardio_p_store64(to + 4, SHARDIO_P_ZIP_END64 - 12, false);
        shardio_p_store16_little(to + 12, 3 << 8 | 45);
        shardio_p_store16_little(to + 14, 45);
        shardio_p_store64(to + 24, count, false);
        shardio_p_store64(to + 32, count, false);
        shardio_p_store64(to + 40, size, false);
        shardio_p_store64(to + 48, offset, false);
        to += SHARDIO_P_ZIP_END64;
        shardio_p_store32_little(to, SHARDIO_P_ZIP_LOCATOR_SIGNATURE);
        shardio_p_store64(to + 8, offset + size, false);
        shardio_p_store32_little(to + 16, 1);
        to += SHARDIO_P_ZIP_LOCATOR;
    }
    shardio_p_store32_little(to, SHARDIO_P_ZIP_END_SIGNATURE);
    shardio_p_store16_little(to + 8, wide ? 0xFFFF : count);
    shardio_p_store16_little(to + 10, wide ? 0xFFFF : count);
    shardio_p_store32_or_ones(to + 12, wide ? UINT64_MAX : size);
    shardio_p_store32_or_ones(to + 16, wide ? UINT64_MAX : offset);
    shardio_p_store16_little(to + 20, a->comment_size);
    memcpy(to + SHARDIO_P_ZIP_END, a->comment, a->comment_size);
    l->size = (size_t)(to + SHARDIO_P_ZIP_END + a->comment_size - l->bytes);
}

/* Puts the directory together, in whole blocks of zeros. */
static shardio_status shardio_p_zip_make_directory(const shardio_archive *a, shardio_p_zip_listing *l, uint64_t offset,
                                                   uint64_t *directory_size)
{
    uint64_t room = SHARDIO_P_ZIP_END64 + SHARDIO_P_ZIP_LOCATOR + SHARDIO_P_ZIP_END + a->comment_size +
                    SHARDIO_P_ZIP_CHAIN_SIZE;
    memset(l, 0, sizeof *l);
    for (size_t i = 0; i < a->count; i++) {
        const shardio_p_zip_entry *entry = &a->entries[i];
        if (entry->gone) continue;
        room += SHARDIO_P_ZIP_CENTRAL + (uint64_t)entry->name_size + SHARDIO_P_ZIP_EXTRA64_SIZE + SHARDIO_P_ZIP_PLACE_SIZE;
        if (entry->record != NULL)
            room += (uint64_t)shardio_p_load16_little(entry->record + 30) + shardio_p_load16_little(entry->record + 32);
    }
    room = shardio_p_ceil(room, a->block);
    if (room > SIZE_MAX / 2) return SHARDIO_ERR_MEMORY;
    l->room = (size_t)room;
    l->bytes = (uint8_t *)shardio_p_allocate(a->allocator, l->room, a->memory_alignment);
    if (l->bytes == NULL) return SHARDIO_ERR_MEMORY;
    memset(l->bytes, 0, l->room);
    shardio_p_zip_list_entries(a, l);
    *directory_size = l->size;
    if (l->checksum != NULL) shardio_p_store32_little(l->checksum, shardio_crc32(0, l->bytes, l->size));
    shardio_p_zip_list_end(a, l, offset);
    return SHARDIO_OK;
}

/* After a sync that failed nobody knows what is there, and the next one would not say. */
static shardio_status shardio_p_zip_sync(shardio_archive *a, int *code)
{
    if (a->options.durability == SHARDIO_DURABLE_NONE || a->file.functions->sync == NULL) return SHARDIO_OK;
    a->accounting.syncs++;
    shardio_status status = a->file.functions->sync(a->file.context, code);
    a->lost = a->lost || status != SHARDIO_OK;
    return status;
}

/* Writes the directory behind everything that is durable already, and makes it durable. If that fails it is cut off, so
   that nobody finds it, now or after values that it lists were written over. */
static shardio_status shardio_p_zip_write_directory(shardio_archive *a, const shardio_p_zip_listing *l, uint64_t offset,
                                                    int *code)
{
    uint64_t length = offset + l->size;
    shardio_status status = shardio_p_zip_write(a, offset, l->bytes, (size_t)shardio_p_ceil(l->size, a->block), true,
                                                code);
    if (status == SHARDIO_OK && a->file_size > length) {
        status = a->file.functions->resize(a->file.context, length, code);
        if (status == SHARDIO_OK) a->file_size = length;
    }
    if (status == SHARDIO_OK) status = shardio_p_zip_sync(a, code);
    if (status != SHARDIO_OK) {
        int ignored = 0;
        if (a->cut == SHARDIO_NO_OFFSET && a->file_size > offset) a->cut = offset;
        (void)shardio_p_zip_cut_torn(a, &ignored);
        return status;
    }
    if (a->published) return SHARDIO_OK;
    status = a->file.functions->publish(a->file.context, a->options.durability != SHARDIO_DURABLE_NONE, code);
    a->published = status == SHARDIO_OK;
    return status;
}

static shardio_status shardio_p_zip_check_writing(const shardio_archive *a, const char *operation, shardio_error *error)
{
    shardio_p_no_error(error);
    if (a == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, operation, NULL, "no archive");
    if (!a->writing) return shardio_p_zip_fail(a, error, SHARDIO_ERR_STATE, operation, "it was opened for reading");
    return SHARDIO_OK;
}

static void shardio_p_zip_take_commit(shardio_archive *a, const shardio_p_zip_listing *l, uint64_t offset,
                                      uint64_t directory_size)
{
    for (size_t i = 0; i < a->count; i++) a->entries[i].committed = true;
    a->layer++;
    a->previous = a->length;
    a->own = a->chained = l->checksum != NULL;
    a->length = offset + l->size;
    a->directory_offset = offset;
    a->directory_size = directory_size;
    a->listed = l->count;
    a->end = shardio_p_ceil(a->length, shardio_p_zip_unit(a));
    a->gap_count = 0;   /* what lies in front of a layer is never written again */
    a->changed = a->chain_broken = false;
}

SHARDIO_API shardio_status shardio_archive_commit(shardio_archive *a, shardio_error *error)
{
    shardio_p_zip_listing listing;
    uint64_t directory_size;
    int code = 0;
    shardio_status status = shardio_p_zip_check_writing(a, "commit", error);
    if (status != SHARDIO_OK || (!a->changed && !a->lost)) return status;
    if (a->lost)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_STATE, "commit",
                                  "what was written since the last layer may be lost: discard it");
    status = shardio_p_zip_flush(a, &code);
    if (status == SHARDIO_OK) status = shardio_p_zip_sync(a, &code);
    if (status != SHARDIO_OK)
        return shardio_p_fail_at(error, status, "commit", a->file.name, SHARDIO_NO_OFFSET, code, NULL);
    uint64_t offset = a->end;
    status = shardio_p_zip_make_directory(a, &listing, offset, &directory_size);
    if (status == SHARDIO_OK) status = shardio_p_zip_write_directory(a, &listing, offset, &code);
    shardio_p_release(a->allocator, listing.bytes, listing.room, a->memory_alignment);
    if (status != SHARDIO_OK)
        return shardio_p_fail_at(error, status, "commit", a->file.name, SHARDIO_NO_OFFSET, code, NULL);
    shardio_p_zip_take_commit(a, &listing, offset, directory_size);
    return SHARDIO_OK;
}

/* Cuts off what this writer has put behind the last layer: other programs would find no directory at the end. If that
   fails the next writer cuts it off. Where nothing was written, nothing is touched. */
static void shardio_p_zip_cut_uncommitted(shardio_archive *a)
{
    int code = 0;
    if (!a->wrote || a->file_size <= a->length) return;
    if (a->file.functions->resize(a->file.context, a->length, &code) == SHARDIO_OK) a->file_size = a->length;
}

/* Back to the last layer, or to nothing. */
static shardio_status shardio_p_zip_reload(shardio_archive *a, shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    shardio_p_zip_cut_uncommitted(a);
    a->gathering = NULL;
    a->fill = a->gap_count = 0;
    a->changed = false;
    shardio_p_zip_forget(a);
    if (a->length > 0) status = shardio_p_zip_load(a, a->length, error);
    if (status != SHARDIO_OK) shardio_p_zip_forget(a);
    a->lost = a->blank = status != SHARDIO_OK;   /* a layer of what comes now would be without all that was there */
    a->end = shardio_p_ceil(a->length, shardio_p_zip_unit(a));
    a->cut = a->file_size > a->length ? a->length : SHARDIO_NO_OFFSET;
    return status;
}

SHARDIO_API shardio_status shardio_archive_discard(shardio_archive *a, shardio_error *error)
{
    shardio_status status = shardio_p_zip_check_writing(a, "discard", error);
    return status == SHARDIO_OK ? shardio_p_zip_reload(a, error) : status;
}

/* -- the store */

static shardio_p_zip_value *shardio_p_zip_new_value(shardio_archive *a, const char *key,
                                                    const shardio_allocator *allocator)
{
    size_t n = shardio_p_length(key) + 1, room = sizeof(shardio_p_zip_value) + n + a->block;
    shardio_p_zip_value *v = (shardio_p_zip_value *)shardio_p_allocate(allocator, room, sizeof(uint64_t));
    if (v == NULL) return NULL;
    memset(v, 0, sizeof *v);
    v->archive = a;
    v->allocator = allocator;
    v->generation = a->generation;
    v->entry = SIZE_MAX;
    v->name = (char *)(v + 1);
    v->tail = (uint8_t *)v->name + n;
    v->room = room;
    memcpy(v->name, key, n);
    return v;
}

/* Unbuffered writing is the archive's to give, to a value that has blocks of its own. */
static shardio_status shardio_p_zip_value_set_direct(void *file, bool direct, int *code)
{
    const shardio_p_zip_value *v = (const shardio_p_zip_value *)file;
    (void)code;
    bool refused = v->archive->options.direct == SHARDIO_DIRECT_OFF || v->archive->file.functions->set_direct == NULL;
    return direct && refused ? SHARDIO_ERR_UNSUPPORTED : SHARDIO_OK;
}

static shardio_file shardio_p_zip_value_file(shardio_p_zip_value *v)
{
    static const shardio_file_functions reading = {
        shardio_p_zip_value_read, NULL, NULL, shardio_p_zip_value_facts, NULL, NULL, NULL, NULL, NULL,
        shardio_p_zip_value_hint, shardio_p_zip_value_close, NULL, NULL
    };
    static const shardio_file_functions writing = {
        shardio_p_zip_value_read, shardio_p_zip_value_write, shardio_p_zip_value_resize, shardio_p_zip_value_facts,
        shardio_p_zip_value_set_direct, NULL, shardio_p_zip_value_publish, NULL, NULL, shardio_p_zip_value_hint,
        shardio_p_zip_value_close, NULL, NULL
    };
    shardio_file file = {NULL, NULL, NULL};
    file.functions = v->writing ? &writing : &reading;
    file.context = v;
    file.name = v->name;
    return file;
}

/* Opens the value of an entry; `name` is for messages. */
static shardio_status shardio_p_zip_open_entry(shardio_archive *a, const char *name, shardio_p_zip_entry *entry,
                                               bool update, const shardio_allocator *allocator, shardio_file *file,
                                               int *code)
{
    shardio_error error;
    shardio_p_no_error(&error);
    if ((entry->flags & SHARDIO_P_ZIP_ENCRYPTED) != 0 || (entry->method != 0 && entry->method != 8)) {
        *code = SHARDIO_P_CODE_PACKED;
        return SHARDIO_ERR_UNSUPPORTED;
    }
    shardio_status status = shardio_p_zip_locate(a, entry, &error);
    *code = error.system_code;
    if (status != SHARDIO_OK) return status;
    shardio_p_zip_value *v = shardio_p_zip_new_value(a, name, allocator);
    if (v == NULL) return SHARDIO_ERR_MEMORY;
    v->entry = (size_t)(entry - a->entries);
    v->size = entry->size;
    v->writing = v->moves = v->overwrite = update;
    if (entry->method == 8) status = shardio_p_zip_open_deflated(v, entry, code);
    if (status != SHARDIO_OK) (void)shardio_p_zip_value_close(v, SHARDIO_CLOSE_KEEP, false, code);
    else *file = shardio_p_zip_value_file(v);
    return status;
}

static shardio_status shardio_p_zip_store_open(void *store, const char *key, bool update,
                                               const shardio_allocator *allocator, shardio_file *file, int *code)
{
    shardio_archive *a = (shardio_archive *)store;
    if (!shardio_p_key_is_plain(key)) return SHARDIO_ERR_ARGUMENT;
    if (a->blank || (update && !a->writing)) return SHARDIO_ERR_STATE;
    shardio_p_zip_entry *entry = shardio_p_zip_find(a, key);
    if (entry == NULL) return SHARDIO_ERR_NOT_FOUND;
    return shardio_p_zip_open_entry(a, key, entry, update, allocator, file, code);
}

static shardio_status shardio_p_zip_store_create(void *store, const char *key, bool overwrite, uint64_t most,
                                                 const shardio_allocator *allocator, shardio_file *file, int *code)
{
    shardio_archive *a = (shardio_archive *)store;
    bool known = most <= SHARDIO_P_ZIP_MOST, fits;
    shardio_status status = SHARDIO_OK;
    if (!a->writing || a->blank) return SHARDIO_ERR_STATE;
    if (!shardio_p_key_is_plain(key)) return SHARDIO_ERR_ARGUMENT;
    if (shardio_p_length(key) > SHARDIO_P_ZIP_NAME) return SHARDIO_ERR_LIMIT;
    if (!overwrite && shardio_p_zip_find(a, key) != NULL) return SHARDIO_ERR_EXISTS;
    shardio_p_zip_value *v = shardio_p_zip_new_value(a, key, allocator);
    if (v == NULL) return SHARDIO_ERR_MEMORY;
    v->writing = true;
    v->overwrite = overwrite;
    if (a->gathering == NULL && (!known || most <= a->buffer_size / 2)) {
        a->gathering = v;
        shardio_p_zip_place_in_buffer(v);
        status = shardio_p_zip_fit(v, known ? most : 0, &fits, code);
    } else {
        /* what is first in the file is what was written first: zarr.json of the root, as RFC 9 wants it */
        if (a->end == 0) status = shardio_p_zip_flush(a, code);
        v->place = shardio_p_zip_take_place(v, known ? most : a->buffer_size);
        v->streamed = true;
    }
    if (status == SHARDIO_OK) *file = shardio_p_zip_value_file(v);
    else (void)shardio_p_zip_value_close(v, SHARDIO_CLOSE_DISCARD, false, code);
    return status;
}

static shardio_status shardio_p_zip_store_remove(void *store, const char *key, int *code)
{
    shardio_archive *a = (shardio_archive *)store;
    (void)code;
    if (!a->writing || a->blank) return SHARDIO_ERR_STATE;
    if (key[0] == 0) return SHARDIO_OK;
    if (!shardio_p_key_is_plain(key)) return SHARDIO_ERR_ARGUMENT;
    shardio_p_zip_entry *entry = shardio_p_zip_find(a, key);
    if (entry == NULL) return SHARDIO_ERR_NOT_FOUND;
    shardio_p_zip_drop(a, entry);
    return SHARDIO_OK;
}

static bool shardio_p_zip_begins_with(const shardio_p_zip_entry *entry, const char *prefix, size_t n)
{
    return entry->key && !entry->gone && entry->name_size >= n && memcmp(entry->name, prefix, n) == 0;
}

static shardio_status shardio_p_zip_store_list(void *store, const char *prefix,
                                               bool (*each)(void *context, const char *key, uint64_t size,
                                                            bool temporary),
                                               void *context, int *code)
{
    const shardio_archive *a = (const shardio_archive *)store;
    char key[SHARDIO_P_ZIP_NAME + 1];
    size_t n = shardio_p_length(prefix);
    (void)code;
    if (a->blank) return SHARDIO_ERR_STATE;
    for (size_t i = 0; i < a->count; i++) {
        const shardio_p_zip_entry *entry = &a->entries[i];
        if (!shardio_p_zip_begins_with(entry, prefix, n)) continue;
        memcpy(key, entry->name, entry->name_size);
        key[entry->name_size] = 0;
        if (!each(context, key, entry->size, false)) break;
    }
    return SHARDIO_OK;
}

static size_t shardio_p_zip_store_file_memory(void *store, size_t length)
{
    return sizeof(shardio_p_zip_value) + length + 1 + ((const shardio_archive *)store)->block;
}

static shardio_status shardio_p_zip_store_tag(void *store, const char *key, uint64_t tag[2], int *code)
{
    const shardio_p_zip_entry *entry = shardio_p_zip_find((const shardio_archive *)store, key);
    (void)code;
    if (entry == NULL) return SHARDIO_ERR_NOT_FOUND;
    tag[0] = entry->size;
    tag[1] = entry->crc;
    return SHARDIO_OK;
}

/* Writes a value under another name, or into another archive, with its bytes as they are stored. */
static shardio_status shardio_p_zip_adopt(shardio_archive *to, const char *key, shardio_archive *from,
                                          shardio_p_zip_entry *entry, uint8_t *piece, size_t size, int *code)
{
    shardio_file file;
    shardio_error error;
    shardio_p_no_error(&error);
    shardio_status status = shardio_p_zip_locate(from, entry, &error);
    if (status == SHARDIO_OK)
        status = shardio_p_zip_store_create(to, key, true, entry->stored + to->block, to->allocator, &file, code);
    if (status != SHARDIO_OK) return status;
    shardio_p_zip_value *v = (shardio_p_zip_value *)file.context;
    shardio_p_zip_entry source = *entry;
    size_t number = from == to ? (size_t)(entry - from->entries) : 0;
    bool gathered = !v->streamed && source.stored <= v->place.end - v->place.data;
    if (gathered) {   /* no copy in between */
        status = shardio_p_zip_read_stored(from, &source, 0, to->buffer + v->place.data, (size_t)source.stored, &error);
        v->size = source.stored;
    }
    for (uint64_t at = gathered ? source.stored : 0, n; at < source.stored && status == SHARDIO_OK; at += n) {
        size_t done;
        n = shardio_p_min(size, source.stored - at);
        if (from == to) source = from->entries[number];   /* it may have left the buffer */
        status = shardio_p_zip_read_stored(from, &source, at, piece, (size_t)n, &error);
        size_t padded = v->streamed ? (size_t)shardio_p_ceil(n, to->block) : (size_t)n;
        memset(piece + n, 0, padded - (size_t)n);
        if (status == SHARDIO_OK) status = shardio_p_zip_value_write(v, at, piece, padded, &done, code);
    }
    if (status == SHARDIO_OK) status = shardio_p_zip_value_resize(v, source.stored, code);
    uint32_t crc = source.crc;
    if (status == SHARDIO_OK && source.method == 0) status = shardio_p_zip_finish_crc(v, &crc);
    if (status == SHARDIO_OK && crc != source.crc) status = SHARDIO_ERR_CHECKSUM;
    if (status == SHARDIO_OK)
        status = shardio_p_zip_publish_as(v, &source, crc, code);
    v->moves = status == SHARDIO_OK;
    shardio_status closed = shardio_p_zip_value_close(v, SHARDIO_CLOSE_DISCARD, false, code);
    return status == SHARDIO_OK ? closed : status;
}

/* Local headers bear the names, so values are copied. */
static shardio_status shardio_p_zip_store_rename(void *store, const char *from, const char *to, int *code)
{
    shardio_archive *a = (shardio_archive *)store;
    char key[2 * (SHARDIO_P_ZIP_NAME + 1)];
    size_t n = shardio_p_length(from), m = shardio_p_length(to), count = a->count;
    shardio_status status = SHARDIO_OK;
    if (!a->writing || a->blank) return SHARDIO_ERR_STATE;
    for (size_t i = 0; i < count; i++) {
        if (shardio_p_zip_begins_with(&a->entries[i], to, m)) return SHARDIO_ERR_EXISTS;
        if (shardio_p_zip_begins_with(&a->entries[i], from, n) && a->entries[i].name_size - n + m > SHARDIO_P_ZIP_NAME)
            return SHARDIO_ERR_LIMIT;
    }
    size_t size = (size_t)shardio_p_ceil(SHARDIO_P_DEFAULT_BUFFER, a->block);
    uint8_t *piece = (uint8_t *)shardio_p_allocate(a->allocator, size, a->memory_alignment);
    if (piece == NULL) return SHARDIO_ERR_MEMORY;
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++) {
        shardio_p_zip_entry *entry = &a->entries[i];
        if (!shardio_p_zip_begins_with(entry, from, n)) continue;
        memcpy(key, to, m);
        memcpy(key + m, entry->name + n, entry->name_size - n);
        key[m + entry->name_size - n] = 0;
        status = shardio_p_zip_adopt(a, key, a, entry, piece, size, code);
    }
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++)   /* the old names, */
        if (shardio_p_zip_begins_with(&a->entries[i], from, n)) shardio_p_zip_drop(a, &a->entries[i]);
    for (size_t i = count; i < a->count && status != SHARDIO_OK; i++)   /* or what was copied until it failed */
        shardio_p_zip_drop(a, &a->entries[i]);
    shardio_p_release(a->allocator, piece, size, a->memory_alignment);
    return status;
}

SHARDIO_API shardio_store shardio_archive_store(shardio_archive *archive)
{
    static const shardio_store_functions functions = {
        shardio_p_zip_store_open, shardio_p_zip_store_create, shardio_p_zip_store_remove, shardio_p_zip_store_list, NULL,
        shardio_p_zip_store_file_memory, shardio_p_zip_store_rename, shardio_p_zip_store_tag, true
    };
    shardio_store store = {NULL, NULL, ""};
    if (archive == NULL) return store;
    store.functions = &functions;
    store.context = archive;
    store.name = archive->file.name;
    return store;
}

/* -- opening and closing */

static void shardio_p_zip_end_archive(shardio_archive *a)
{
    const shardio_allocator *allocator = a->allocator;
    shardio_file_close(&a->replaced);
    shardio_p_zip_forget(a);
    shardio_p_release(allocator, a->comment, a->comment_room, 1);
    shardio_p_release(allocator, a->buffer, a->buffer_size, a->memory_alignment);
    shardio_p_release(allocator, a->header, a->header_size, a->memory_alignment);
    shardio_p_release(allocator, a->ahead[0].data, SHARDIO_P_ZIP_LITTLE, SHARDIO_P_DEFAULT_BLOCK);
    shardio_p_release(allocator, a->ahead[1].data, SHARDIO_P_ZIP_AHEAD, SHARDIO_P_DEFAULT_BLOCK);
    shardio_p_release(allocator, a, sizeof *a, sizeof(uint64_t));
}

/* How the file is written, and memory for it. */
static shardio_status shardio_p_zip_begin_writing(shardio_archive *a, shardio_error *error)
{
    shardio_file_facts facts;
    uint32_t alignment = a->options.alignment;
    shardio_status status = shardio_p_file_facts(&a->file, &facts, error);
    if (status != SHARDIO_OK) return status;
    if (facts.special || a->file.functions->resize == NULL)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_UNSUPPORTED, "open", "it is no regular file");
    if ((alignment & (alignment - 1)) != 0 || alignment > 32768)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_ARGUMENT, "open",
                                  "the option alignment is no power of two up to 32768");
    a->accounting.files = 1;
    a->wishes = facts;
    a->block = facts.length_alignment > facts.offset_alignment ? facts.length_alignment : facts.offset_alignment;
    if (a->block == 0) a->block = a->file.functions->sync != NULL ? SHARDIO_P_DEFAULT_BLOCK : 1;
    if (a->block > SHARDIO_P_ZIP_BLOCK) facts.length_alignment = 0;   /* no header can pad its value to such a block */
    if (facts.length_alignment == 0) {
        a->options.direct = SHARDIO_DIRECT_OFF;
        if (a->block > SHARDIO_P_ZIP_BLOCK) a->block = SHARDIO_P_DEFAULT_BLOCK;
    }
    a->memory_alignment = facts.memory_alignment > 16 ? facts.memory_alignment : 16;
    size_t buffer = a->options.buffer_size != 0 ? a->options.buffer_size : (size_t)SHARDIO_P_DEFAULT_BUFFER;
    if (buffer > (size_t)1 << 30) buffer = (size_t)1 << 30;   /* values in it have headers of 32 bits */
    uint64_t unit = shardio_p_zip_unit(a);
    a->buffer_size = (size_t)shardio_p_ceil(shardio_p_max(buffer, 2 * unit + SHARDIO_P_ZIP_NAME), unit);
    a->header_size = (size_t)shardio_p_ceil(SHARDIO_P_ZIP_LOCAL + SHARDIO_P_ZIP_NAME + 64, unit) + (size_t)unit;
    a->buffer = (uint8_t *)shardio_p_allocate(a->allocator, a->buffer_size, a->memory_alignment);
    a->header = (uint8_t *)shardio_p_allocate(a->allocator, a->header_size, a->memory_alignment);
    if (a->buffer == NULL || a->header == NULL)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_MEMORY, "open", "no memory for its buffer");
    a->end = shardio_p_ceil(a->length, unit);
    if (a->file_size > a->length) a->cut = a->length;
    return SHARDIO_OK;
}

/* The comment that the options want (RFC 9, "Archive comment"). */
static shardio_status shardio_p_zip_take_comment(shardio_archive *a, shardio_error *error)
{
    static const char before[] = "{\"ome\": {\"version\": ";
    static const char after[] = ", \"zipFile\": {\"centralDirectory\": {\"jsonFirst\": true}}}}";
    char text[256];
    shardio_text t = {text, sizeof text, 0};
    const char *comment = a->options.comment;
    if (a->options.ome_version != NULL && comment == NULL) {
        shardio_text_add(&t, before);
        shardio_text_add_string(&t, a->options.ome_version);
        shardio_text_add(&t, after);
        comment = text;
    }
    a->commented = comment != NULL;
    if (comment == NULL) comment = a->comment != NULL ? a->comment : "";
    size_t n = comment == a->comment ? a->comment_size : shardio_p_length(comment);
    if (n > 0xFFFF || t.size >= sizeof text)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_ARGUMENT, "open", "the comment has more than 65535 bytes");
    return shardio_p_zip_set_comment(a, comment, 0, n, error);
}

static shardio_status shardio_p_zip_open_layer(shardio_archive *a, uint64_t layer, shardio_error *error);

/* Names from a file shall not be chosen to collide. */
static uint64_t shardio_p_zip_noise(void)
{
#if SHARDIO_NO_OS
    return 0;
#else
    return shardio_p_os_noise();
#endif
}

/* Reads go past the page cache from here on, if they shall and the system says what they have to be like. */
static void shardio_p_zip_begin_unbuffered(shardio_archive *a, const shardio_file_facts *facts)
{
    uint32_t block = facts->length_alignment;
    if (facts->offset_alignment > block) block = facts->offset_alignment;
    if (facts->memory_alignment > block) block = facts->memory_alignment;
    if (a->options.direct == SHARDIO_DIRECT_ON && block <= SHARDIO_P_DEFAULT_BLOCK) a->read_block = block;
}

static shardio_status shardio_p_zip_begin(shardio_archive *a, shardio_error *error)
{
    shardio_file_facts facts;
    shardio_status status = shardio_p_file_facts(&a->file, &facts, error);
    if (status != SHARDIO_OK) return status;
    a->file_size = facts.size;
    a->block = a->memory_alignment = 1;
    a->published = facts.size > 0 || a->file.functions->publish == NULL;
    if (a->writing && a->options.layer != 0)
        return shardio_p_zip_fail(a, error, SHARDIO_ERR_ARGUMENT, "open", "an older layer can only be read");
    if (!a->writing || facts.size > 0) status = shardio_p_zip_load(a, facts.size, error);
    for (int tries = 0; status == SHARDIO_ERR_TRUNCATED && tries < SHARDIO_P_PATIENCE; tries++) {
        status = shardio_p_file_facts(&a->file, &facts, error);   /* a writer cuts it just now */
        a->file_size = facts.size;
        if (status == SHARDIO_OK) status = shardio_p_zip_load(a, facts.size, error);
    }
    if (status == SHARDIO_OK && a->options.layer != 0) status = shardio_p_zip_open_layer(a, a->options.layer, error);
    if (status == SHARDIO_OK && a->writing) status = shardio_p_zip_begin_writing(a, error);
    if (status == SHARDIO_OK && a->writing) status = shardio_p_zip_take_comment(a, error);
    if (status == SHARDIO_OK) shardio_p_zip_begin_unbuffered(a, &facts);
    return status;
}

SHARDIO_API shardio_archive *shardio_archive_open_file(shardio_file file, const shardio_archive_options *options,
                                                       shardio_error *error)
{
    const shardio_allocator *allocator = options != NULL ? options->allocator : NULL;
    shardio_p_no_error(error);
    shardio_archive *a = NULL;
    if (file.functions == NULL) {
        (void)shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", NULL, "no file");
        return NULL;
    }
    a = (shardio_archive *)shardio_p_allocate(allocator, sizeof *a, sizeof(uint64_t));
    if (a == NULL) {
        (void)shardio_p_fail(error, SHARDIO_ERR_MEMORY, "open", file.name, NULL);
        (void)shardio_p_file_close(&file, SHARDIO_CLOSE_DISCARD, false, NULL);
        return NULL;
    }
    memset(a, 0, sizeof *a);
    if (options != NULL) a->options = *options;
    a->file = file;
    a->allocator = allocator;
    a->writing = a->options.write || a->options.create;
    a->cut = SHARDIO_NO_OFFSET;
    a->seed = shardio_p_mix((uint64_t)(uintptr_t)a ^ shardio_p_zip_noise());
    if (shardio_p_zip_begin(a, error) == SHARDIO_OK) return a;
    shardio_archive_close(a);
    return NULL;
}

SHARDIO_API void shardio_archive_close(shardio_archive *a)
{
    if (a == NULL) return;
    shardio_p_zip_cut_uncommitted(a);
    (void)shardio_p_file_close(&a->file, SHARDIO_CLOSE_DISCARD, false, NULL);
    shardio_p_zip_end_archive(a);
}

SHARDIO_API shardio_status shardio_archive_finish(shardio_archive *a, shardio_error *error)
{
    shardio_status status = shardio_archive_commit(a, error);
    if (a == NULL) return status;
    if (status != SHARDIO_OK || !a->published) {
        shardio_archive_close(a);
        return status;
    }
    shardio_p_zip_cut_uncommitted(a);
    shardio_status closed = shardio_p_file_close(&a->file, SHARDIO_CLOSE_KEEP, false, error);
    shardio_p_zip_end_archive(a);
    return closed;
}

/* -- layers */

/* The layers of a file, newest first. */
typedef struct shardio_p_zip_layer {
    uint64_t number, directory, length, entries;
} shardio_p_zip_layer;

typedef struct shardio_p_zip_layers {
    shardio_p_zip_layer *list;
    size_t count, room;
} shardio_p_zip_layers;

static bool shardio_p_zip_add_layer(const shardio_archive *a, shardio_p_zip_layers *l, uint64_t number,
                                    uint64_t directory, uint64_t length, uint64_t entries)
{
    if (l->count == l->room) {
        size_t room = l->room * 2 + 16;
        shardio_p_zip_layer *list = (shardio_p_zip_layer *)shardio_p_allocate(a->allocator, room * sizeof *list, 16);
        if (list == NULL) return false;
        if (l->count > 0) memcpy(list, l->list, l->count * sizeof *list);
        shardio_p_release(a->allocator, l->list, l->room * sizeof *list, 16);
        l->list = list;
        l->room = room;
    }
    shardio_p_zip_layer *layer = &l->list[l->count++];
    layer->number = number;
    layer->directory = directory;
    layer->length = length;
    layer->entries = entries;
    return true;
}

static void shardio_p_zip_release_layers(const shardio_archive *a, shardio_p_zip_layers *l)
{
    shardio_p_release(a->allocator, l->list, l->room * sizeof *l->list, 16);
}

/* The layer that ends at `length`, or with `search` the last one before it. */
static shardio_status shardio_p_zip_layer_before(shardio_archive *a, uint64_t length, bool search,
                                                 shardio_p_zip_end *end, shardio_p_zip_directory *d,
                                                 shardio_error *error)
{
    shardio_status status = length > 0 ? shardio_p_zip_search(a, length, !search, end, d, error) : SHARDIO_ERR_NOT_FOUND;
    if (status != SHARDIO_OK) return status;
    shardio_p_release(a->allocator, d->bytes, d->size + 1, 16);
    d->bytes = NULL;
    return SHARDIO_OK;
}

/* Collects the layers from the one that is open down. Where the chain does not hold, the search finds what is there; layers
   found that way are numbered from 1 when all are known. */
static shardio_status shardio_p_zip_collect_layers(shardio_archive *a, bool search, shardio_p_zip_layers *l,
                                                   shardio_error *error)
{
    shardio_p_zip_end end;
    shardio_p_zip_directory d;
    uint64_t previous = a->previous;
    shardio_status status = SHARDIO_OK;
    memset(l, 0, sizeof *l);
    if (a->layer == 0) return SHARDIO_OK;
    bool found = shardio_p_zip_add_layer(a, l, a->layer, a->directory_offset, a->length, a->listed);
    bool numbered = true, chained = a->chained;
    uint64_t from = a->directory_offset, number = a->layer;   /* from: a layer ends before the next directory */
    while (found && status == SHARDIO_OK && (chained ? previous > 0 : search)) {
        status = chained ? shardio_p_zip_layer_before(a, previous, false, &end, &d, error) : SHARDIO_ERR_NOT_FOUND;
        bool fits = status == SHARDIO_OK && previous <= from;
        if (!fits && (status == SHARDIO_OK || status == SHARDIO_ERR_NOT_FOUND)) {
            a->chain_broken = a->chain_broken || chained;
            if (!search) {
                status = shardio_p_zip_fail(a, error, SHARDIO_ERR_CORRUPT, "list layers of",
                                            "another program has overwritten the layer before");
                break;
            }
            status = shardio_p_zip_layer_before(a, from, true, &end, &d, error);
        }
        if (status != SHARDIO_OK) break;
        number--;
        numbered = numbered && d.chained && d.number == number;
        found = shardio_p_zip_add_layer(a, l, number, end.directory, end.length, end.count);
        from = end.directory;
        chained = d.chained;
        previous = d.previous;
    }
    if (status == SHARDIO_ERR_NOT_FOUND) status = SHARDIO_OK;   /* the search came to the beginning */
    if (!found) status = shardio_p_zip_fail(a, error, SHARDIO_ERR_MEMORY, "list layers of", NULL);
    for (size_t i = 0; i < l->count && !numbered; i++) l->list[i].number = l->count - i;
    return status;
}

SHARDIO_API shardio_status shardio_archive_each_layer(shardio_archive *a, bool search, shardio_layer_visitor visit,
                                                      void *context, shardio_error *error)
{
    shardio_p_zip_layers layers;
    shardio_p_no_error(error);
    if (a == NULL || visit == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "list layers of", NULL, "no archive");
    shardio_status status = shardio_p_zip_collect_layers(a, search, &layers, error);
    for (size_t i = 0; i < layers.count; i++) {
        const shardio_p_zip_layer *layer = &layers.list[i];
        if (!visit(context, layer->number, layer->directory, layer->length, layer->entries)) break;
    }
    shardio_p_zip_release_layers(a, &layers);
    return status;
}

/* Bytes of the file up to the end of a layer. */
static shardio_status shardio_p_zip_layer_length(shardio_archive *a, uint64_t layer, uint64_t *length,
                                                 shardio_error *error)
{
    shardio_p_zip_layers layers;
    shardio_status status = shardio_p_zip_collect_layers(a, !a->chained || a->chain_broken, &layers, error);
    *length = 0;
    for (size_t i = 0; i < layers.count; i++)
        if (layers.list[i].number == layer) *length = layers.list[i].length;
    shardio_p_zip_release_layers(a, &layers);
    if (*length > 0) return SHARDIO_OK;
    return status != SHARDIO_OK ? status
           : shardio_p_zip_fail(a, error, SHARDIO_ERR_NOT_FOUND, "open a layer of", "it has no such layer");
}

static shardio_status shardio_p_zip_open_layer(shardio_archive *a, uint64_t layer, shardio_error *error)
{
    uint64_t length;
    shardio_status status = shardio_p_zip_layer_length(a, layer, &length, error);
    if (status != SHARDIO_OK || length == a->length) return status;
    status = shardio_p_zip_load(a, length, error);
    if (status != SHARDIO_OK) return status;
    a->layer = layer;
    a->file_size = length;   /* newer layers are not torn */
    return SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_archive_rollback(shardio_archive *a, uint64_t layer, shardio_error *error)
{
    uint64_t length;
    int code = 0;
    shardio_status status = shardio_p_zip_check_writing(a, "roll back", error);
    if (status == SHARDIO_OK) status = shardio_p_zip_layer_length(a, layer, &length, error);
    if (status == SHARDIO_OK && (a->changed || a->lost)) status = shardio_p_zip_reload(a, error);
    if (status != SHARDIO_OK || length == a->length) return status;
    status = a->file.functions->resize(a->file.context, length, &code);
    if (status != SHARDIO_OK)
        return shardio_p_fail_at(error, status, "roll back", a->file.name, length, code, NULL);
    shardio_status synced = shardio_p_zip_sync(a, &code);
    a->file_size = a->length = length;   /* that is how the file is now, durable or not */
    status = shardio_p_zip_reload(a, error);
    if (status == SHARDIO_OK) a->layer = layer;
    if (synced == SHARDIO_OK) return status;
    return shardio_p_fail_at(error, synced, "roll back", a->file.name, length, code, NULL);
}

/* -- what is in it */

static const char *shardio_p_zip_name_text(const shardio_p_zip_entry *entry, char *text)
{
    size_t n = (size_t)shardio_p_min(entry->name_size, SHARDIO_P_ZIP_NAME);
    memcpy(text, entry->name, n);
    text[n] = 0;
    return text;
}

SHARDIO_API shardio_status shardio_archive_each_entry(shardio_archive *a, shardio_entry_visitor visit, void *context,
                                                      shardio_error *error)
{
    char name[SHARDIO_P_ZIP_NAME + 1];
    int code = 0;
    shardio_p_no_error(error);
    if (a == NULL || visit == NULL)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "list", NULL, "no archive");
    shardio_status status = a->fill > 0 ? shardio_p_zip_flush(a, &code) : SHARDIO_OK;   /* so that all have offsets */
    if (status != SHARDIO_OK) return shardio_p_fail_at(error, status, "list", a->file.name, SHARDIO_NO_OFFSET, code, NULL);
    for (size_t i = 0; i < a->count; i++) {
        shardio_p_zip_entry *entry = &a->entries[i];
        shardio_archive_entry e;
        if (entry->gone) continue;
        memset(&e, 0, sizeof e);
        e.name = shardio_p_zip_name_text(entry, name);
        e.header = entry->header;
        e.data = shardio_p_zip_locate(a, entry, NULL) == SHARDIO_OK ? entry->data : SHARDIO_NO_OFFSET;
        e.size = entry->size;
        e.stored = entry->stored;
        e.crc = entry->crc;
        e.method = entry->method;
        e.key = entry->key;
        e.committed = entry->committed;
        if (!visit(context, &e)) break;
    }
    return SHARDIO_OK;
}

SHARDIO_API shardio_archive_facts shardio_archive_about(const shardio_archive *a)
{
    shardio_archive_facts facts;
    memset(&facts, 0, sizeof facts);
    facts.comment = "";
    if (a == NULL) return facts;
    facts.layer = a->layer;
    facts.size = a->length;
    facts.live_bytes = a->length - a->directory_offset;
    for (size_t i = 0; i < a->count; i++) {
        const shardio_p_zip_entry *entry = &a->entries[i];
        if (entry->gone) continue;
        facts.entries++;
        if (!entry->committed || entry->damaged) continue;
        facts.live_bytes += entry->data > entry->header ? entry->data - entry->header + entry->stored
                                                        : SHARDIO_P_ZIP_LOCAL + entry->name_size + entry->stored;
    }
    facts.torn_bytes = !a->writing || a->cut == a->length ? a->file_size - a->length : 0;
    facts.changed = a->changed;
    facts.foreign = a->layer > 0 && !a->own;
    facts.chain_broken = a->chain_broken;
    facts.comment = a->comment != NULL ? a->comment : "";
    facts.accounting = a->accounting;
    facts.accounting.logical_bytes = a->length;
    facts.accounting.dead_bytes = a->length > facts.live_bytes ? a->length - facts.live_bytes : 0;
    facts.accounting.direct = a->writing && a->options.direct != SHARDIO_DIRECT_OFF &&
                              a->file.functions->set_direct != NULL;
    return facts;
}

/* Whether sizes and CRC-32 in the local header are those of the directory, unless they stand behind the value. */
static bool shardio_p_zip_headers_agree(shardio_archive *a, const shardio_p_zip_entry *entry)
{
    uint8_t header[SHARDIO_P_ZIP_LOCAL];
    if (shardio_p_zip_read(a, entry->header, header, sizeof header, NULL) != SHARDIO_OK ||
        shardio_p_load32_little(header) != SHARDIO_P_ZIP_LOCAL_SIGNATURE ||
        shardio_p_load16_little(header + 26) != entry->name_size)
        return false;
    if ((shardio_p_load16_little(header + 6) & SHARDIO_P_ZIP_DESCRIPTOR) != 0) return true;
    uint32_t stored = shardio_p_load32_little(header + 18);
    return shardio_p_load32_little(header + 14) == entry->crc &&
           (stored == SHARDIO_P_ZIP_ALL_ONES || stored == entry->stored);
}

/* Reads a value whole; its CRC-32 is checked at the end. */
static shardio_status shardio_p_zip_verify_value(shardio_archive *a, shardio_p_zip_entry *entry, uint8_t *piece,
                                                 size_t size, const char **reason, int *code)
{
    char key[SHARDIO_P_ZIP_NAME + 1];
    uint32_t crc = 0;
    *reason = NULL;
    *code = 0;
    if (entry->damaged) {
        *reason = "it lies outside the file, over another one, or its sizes contradict each other";
        return SHARDIO_ERR_CORRUPT;
    }
    shardio_error error;
    shardio_status status = shardio_p_zip_locate(a, entry, &error);
    if (status == SHARDIO_OK && !shardio_p_zip_headers_agree(a, entry)) status = SHARDIO_ERR_CORRUPT;
    if (status == SHARDIO_ERR_CORRUPT) *reason = "its local header is another one's, or none";
    if (status == SHARDIO_OK && (entry->method != 0 || (entry->flags & SHARDIO_P_ZIP_ENCRYPTED) != 0)) {
        shardio_file file;
        status = shardio_p_zip_open_entry(a, shardio_p_zip_name_text(entry, key), entry, false, a->allocator, &file, code);
        if (status == SHARDIO_OK) shardio_file_close(&file);
        return status;
    }
    for (uint64_t at = 0, n; at < entry->size && status == SHARDIO_OK; at += n) {
        n = shardio_p_min(size, entry->size - at);
        status = shardio_p_zip_read(a, entry->data + at, piece, (size_t)n, &error);
        if (status == SHARDIO_OK) crc = shardio_crc32(crc, piece, (size_t)n);
    }
    return status == SHARDIO_OK && crc != entry->crc ? SHARDIO_ERR_CHECKSUM : status;
}

/* Tells of a fault in the entry of this name. */
static void shardio_p_zip_find_fault(const shardio_archive *a, const shardio_p_zip_entry *entry, shardio_status status,
                                     const char *reason, int code, shardio_finding finding, void *context)
{
    char name[SHARDIO_P_ZIP_NAME + 1];
    shardio_error fault;
    const shardio_store store = {NULL, NULL, a->file.name};
    shardio_p_key_fail(&fault, &store, status, "verify", shardio_p_zip_name_text(entry, name), code, reason);
    if (finding != NULL) finding(context, &fault);
}

SHARDIO_API shardio_status shardio_archive_verify(shardio_archive *a, shardio_finding finding, void *context,
                                                  shardio_progress progress, void *progress_context,
                                                  shardio_error *error)
{
    uint64_t total = 0, done = 0, faults = 0;
    int code = 0;
    shardio_p_no_error(error);
    if (a == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "verify", NULL, "no archive");
    if (a->fill > 0 && shardio_p_zip_flush(a, &code) != SHARDIO_OK)
        return shardio_p_fail_at(error, SHARDIO_ERR_IO, "verify", a->file.name, SHARDIO_NO_OFFSET, code, NULL);
    uint8_t *piece = (uint8_t *)shardio_p_allocate(a->allocator, SHARDIO_P_ZIP_WINDOW, 16);
    if (piece == NULL) return shardio_p_zip_fail(a, error, SHARDIO_ERR_MEMORY, "verify", NULL);
    for (size_t i = 0; i < a->count; i++)
        if (!a->entries[i].gone && shardio_p_add(total, a->entries[i].stored, &done)) total = done;
    done = 0;
    shardio_status status = SHARDIO_OK;
    for (size_t i = 0; i < a->count && status == SHARDIO_OK; i++) {
        const char *reason;
        if (a->entries[i].gone) continue;
        if (progress != NULL && progress(progress_context, done, total) != 0)
            status = shardio_p_zip_fail(a, error, SHARDIO_ERR_CANCELLED, "verify", NULL);
        if (status != SHARDIO_OK) break;
        shardio_status value = shardio_p_zip_verify_value(a, &a->entries[i], piece, SHARDIO_P_ZIP_WINDOW, &reason, &code);
        if (value != SHARDIO_OK) {
            faults++;
            shardio_p_zip_find_fault(a, &a->entries[i], value, reason, code, finding, context);
        }
        done += a->entries[i].stored;
    }
    shardio_p_release(a->allocator, piece, SHARDIO_P_ZIP_WINDOW, 16);
    if (status != SHARDIO_OK || faults == 0) return status;
    return shardio_p_zip_fail(a, error, SHARDIO_ERR_CORRUPT, "verify", "faults were found");
}

/* -- from one store to another */

/* What a copy has still to do. */
typedef struct shardio_p_transfer {
    const shardio_store *from, *to;
    const shardio_allocator *allocator;
    shardio_progress progress;
    void *context;
    uint64_t done, total;
    uint8_t *piece;
    shardio_status status;
    shardio_error *error;
} shardio_p_transfer;

enum { SHARDIO_P_TRANSFER = 1 << 20 };

static bool shardio_p_count_value(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_transfer *t = (shardio_p_transfer *)context;
    (void)key;
    if (!temporary) t->total += size;
    return true;
}

/* The bytes of an open file go through a slot into a new value. */
static shardio_status shardio_p_copy_bytes(shardio_p_transfer *t, const char *key, const shardio_file *source,
                                           uint64_t size)
{
    shardio_slot_options o;
    shardio_slot slot;
    shardio_file file;
    int code = 0;
    memset(&o, 0, sizeof o);
    shardio_status status = t->to->functions->create(t->to->context, key, true, size, t->allocator, &file, &code);
    if (status != SHARDIO_OK) return shardio_p_key_fail(t->error, t->to, status, "create", key, code, NULL);
    status = shardio_slot_begin(&slot, file, t->piece, SHARDIO_P_TRANSFER, &o);
    if (status == SHARDIO_OK) status = shardio_p_slot_append_from(&slot, source, 0, size);
    status = status == SHARDIO_OK ? shardio_slot_finish(&slot) : (shardio_slot_abort(&slot), status);
    if (status != SHARDIO_OK && t->error != NULL) *t->error = slot.error;
    return status;
}

static bool shardio_p_copy_value(void *context, const char *key, uint64_t size, bool temporary)
{
    shardio_p_transfer *t = (shardio_p_transfer *)context;
    shardio_file_facts facts;
    shardio_file source;
    int code = 0;
    (void)size;
    if (temporary) return true;
    if (t->progress != NULL && t->progress(t->context, t->done, t->total) != 0)
        t->status = shardio_p_key_fail(t->error, t->from, SHARDIO_ERR_CANCELLED, "copy", key, 0, NULL);
    if (t->status != SHARDIO_OK) return false;
    t->status = t->from->functions->open(t->from->context, key, false, t->allocator, &source, &code);
    if (t->status != SHARDIO_OK) {
        shardio_p_key_fail(t->error, t->from, t->status, "open", key, code, NULL);
        return false;
    }
    t->status = shardio_p_file_facts(&source, &facts, t->error);
    if (t->status == SHARDIO_OK) t->status = shardio_p_copy_bytes(t, key, &source, facts.size);
    if (t->status == SHARDIO_OK) t->done += facts.size;
    shardio_file_close(&source);
    return t->status == SHARDIO_OK;
}

SHARDIO_API shardio_status shardio_store_copy(const shardio_store *from, const shardio_store *to,
                                              shardio_progress progress, void *context,
                                              const shardio_allocator *allocator, shardio_error *error)
{
    shardio_p_transfer t;
    int code = 0;
    shardio_p_no_error(error);
    if (from == NULL || to == NULL || from->functions == NULL || to->functions == NULL || from->context == to->context)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "copy", NULL, "two stores are needed");
    memset(&t, 0, sizeof t);
    t.from = from;
    t.to = to;
    t.allocator = allocator;
    t.progress = progress;
    t.context = context;
    t.error = error;
    t.piece = (uint8_t *)shardio_p_allocate(allocator, SHARDIO_P_TRANSFER, SHARDIO_P_DEFAULT_BLOCK);
    if (t.piece == NULL) return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "copy", from->name, NULL);
    shardio_status status = from->functions->list(from->context, "", shardio_p_count_value, &t, &code);
    if (status == SHARDIO_OK) status = from->functions->list(from->context, "", shardio_p_copy_value, &t, &code);
    shardio_p_release(allocator, t.piece, SHARDIO_P_TRANSFER, SHARDIO_P_DEFAULT_BLOCK);
    if (t.status != SHARDIO_OK) return t.status;
    return status == SHARDIO_OK ? status : shardio_p_key_fail(error, from, status, "list", "", code, NULL);
}

#if !SHARDIO_NO_OS
/* -- archives that are files of the system's */

/* Opens an archive to write, alone: the lock is on the file, so it is looked at again whether the name still leads to it. */
static shardio_status shardio_p_zip_open_locked(const char *path, const shardio_open_options *how, shardio_file *file,
                                                shardio_error *error)
{
    for (int tries = 0; tries < SHARDIO_P_PATIENCE; tries++) {
        shardio_file again;
        shardio_file_facts facts, named;
        int code = 0;
        shardio_status status = shardio_file_open(file, path, SHARDIO_OPEN_UPDATE, how, error);
        if (status != SHARDIO_OK) return status;
        status = shardio_p_osf_lock(file, &code);
        if (status != SHARDIO_OK) {
            shardio_file_close(file);
            return shardio_p_fail_at(error, status, "open for writing", path, SHARDIO_NO_OFFSET, code, NULL);
        }
        status = shardio_p_file_facts(file, &facts, error);
        if (status == SHARDIO_OK) status = shardio_file_open(&again, path, SHARDIO_OPEN_READ, how, error);
        if (status == SHARDIO_OK) {
            status = shardio_p_file_facts(&again, &named, error);
            shardio_file_close(&again);
        }
        if (status == SHARDIO_OK && facts.identity[0] == named.identity[0] && facts.identity[1] == named.identity[1])
            return SHARDIO_OK;
        shardio_file_close(file);
        if (status != SHARDIO_OK && status != SHARDIO_ERR_NOT_FOUND) return status;
    }
    return shardio_p_fail(error, SHARDIO_ERR_CHANGED, "open for writing", path, "it is replaced again and again");
}

/* A new file is locked before it appears. */
static shardio_status shardio_p_zip_create_locked(const char *path, const shardio_open_options *how, shardio_file *file,
                                                  shardio_error *error)
{
    shardio_file_facts facts;
    int code = 0;
    shardio_status status = shardio_file_open(file, path, SHARDIO_OPEN_CREATE, how, error);
    if (status == SHARDIO_OK) status = shardio_p_file_facts(file, &facts, error);
    else return status;
    if (status == SHARDIO_OK && !facts.special) status = shardio_p_osf_lock(file, &code);
    if (status == SHARDIO_OK) return SHARDIO_OK;
    (void)shardio_p_file_close(file, SHARDIO_CLOSE_DISCARD, false, NULL);
    return shardio_p_fail_at(error, status, "create", path, SHARDIO_NO_OFFSET, code, NULL);
}

SHARDIO_API shardio_archive *shardio_archive_open(const char *path, const shardio_archive_options *options,
                                                  shardio_error *error)
{
    shardio_archive_options o;
    shardio_open_options how = {NULL, false, false, true};
    shardio_file file, replaced = {NULL, NULL, NULL};
    shardio_error ignored;
    shardio_status status;
    memset(&o, 0, sizeof o);
    if (options != NULL) o = *options;
    if (error == NULL) error = &ignored;
    how.allocator = o.allocator;
    how.overwrite = o.create && o.overwrite;
    if (o.write || o.create) {
        status = shardio_p_zip_open_locked(path, &how, &file, error);
        bool fresh = status == SHARDIO_ERR_NOT_FOUND;
        if (status == SHARDIO_OK && o.create) {   /* whoever writes the old one is not to lose it unawares */
            replaced = file;
            fresh = true;
        }
        if (fresh) status = shardio_p_zip_create_locked(path, &how, &file, error);
    } else {
        status = shardio_file_open(&file, path, SHARDIO_OPEN_READ, &how, error);
    }
    if (status != SHARDIO_OK) {
        shardio_file_close(&replaced);
        return NULL;
    }
    shardio_archive *a = shardio_archive_open_file(file, &o, error);
    if (a != NULL) a->replaced = replaced;
    else shardio_file_close(&replaced);
    return a;
}

SHARDIO_API shardio_status shardio_store_save(const shardio_store *store, const char *path,
                                              const shardio_archive_options *options, shardio_error *error)
{
    shardio_archive_options o;
    shardio_error ignored;
    memset(&o, 0, sizeof o);
    if (options != NULL) o = *options;
    if (error == NULL) error = &ignored;
    o.create = true;
    shardio_archive *archive = shardio_archive_open(path, &o, error);
    if (archive == NULL) return error->status;
    shardio_store to = shardio_archive_store(archive);
    shardio_status status = shardio_store_copy(store, &to, NULL, NULL, o.allocator, error);
    if (status == SHARDIO_OK) return shardio_archive_finish(archive, error);
    shardio_archive_close(archive);
    return status;
}

SHARDIO_API shardio_status shardio_store_load(const shardio_store *store, const char *path,
                                              const shardio_archive_options *options, shardio_error *error)
{
    shardio_archive_options o;
    shardio_error ignored;
    memset(&o, 0, sizeof o);
    if (options != NULL) o = *options;
    if (error == NULL) error = &ignored;
    o.write = o.create = false;
    shardio_archive *archive = shardio_archive_open(path, &o, error);
    if (archive == NULL) return error->status;
    shardio_store from = shardio_archive_store(archive);
    shardio_status status = shardio_store_copy(&from, store, NULL, NULL, o.allocator, error);
    shardio_archive_close(archive);
    return status;
}

/* Copies all that counts of one archive into another. */
static shardio_status shardio_p_zip_copy_entries(shardio_archive *to, shardio_archive *from, shardio_progress progress,
                                                 void *context, shardio_error *error)
{
    char key[SHARDIO_P_ZIP_NAME + 1];
    uint64_t done = 0, total = 0;
    size_t size = (size_t)shardio_p_ceil(SHARDIO_P_DEFAULT_BUFFER, to->block);
    const shardio_store store = {NULL, NULL, from->file.name};
    shardio_status status = SHARDIO_OK;
    uint8_t *piece = (uint8_t *)shardio_p_allocate(to->allocator, size, to->memory_alignment);
    if (piece == NULL) return shardio_p_zip_fail(from, error, SHARDIO_ERR_MEMORY, "compact", NULL);
    for (size_t i = 0; i < from->count; i++)
        if (from->entries[i].key && !from->entries[i].gone) total += from->entries[i].stored;
    for (size_t i = 0; i < from->count && status == SHARDIO_OK; i++) {
        int code = 0;
        shardio_p_zip_entry *entry = &from->entries[i];
        if (!entry->key || entry->gone) continue;
        (void)shardio_p_zip_name_text(entry, key);
        if (progress != NULL && progress(context, done, total) != 0) status = SHARDIO_ERR_CANCELLED;
        if (status == SHARDIO_OK) status = shardio_p_zip_adopt(to, key, from, entry, piece, size, &code);
        if (status != SHARDIO_OK) shardio_p_key_fail(error, &store, status, "compact", key, code, NULL);
        done += entry->stored;
    }
    shardio_p_release(to->allocator, piece, size, to->memory_alignment);
    return status;
}

SHARDIO_API shardio_status shardio_archive_compact(const char *path, const shardio_archive_options *options,
                                                   shardio_progress progress, void *context, shardio_error *error)
{
    shardio_archive_options o, reading;
    shardio_file file;
    shardio_error ignored;
    shardio_open_options how = {NULL, true, false, false};
    memset(&o, 0, sizeof o);
    if (options != NULL) o = *options;
    if (error == NULL) error = &ignored;
    how.allocator = o.allocator;
    shardio_status status = shardio_p_zip_open_locked(path, &how, &file, error);
    if (status != SHARDIO_OK) return status;
    reading = o;
    reading.write = reading.create = false;
    reading.layer = 0;
    if (reading.direct == SHARDIO_DIRECT_AUTO) reading.direct = SHARDIO_DIRECT_ON;   /* all of it is read once */
    shardio_archive *from = shardio_archive_open_file(file, &reading, error), *to = NULL;
    if (from == NULL) return error->status;
    if (shardio_archive_about(from).live_bytes > shardio_p_osf_room(&from->file)) {
        shardio_archive_close(from);
        return shardio_p_fail(error, SHARDIO_ERR_NO_SPACE, "compact", path, "there is no room for a copy beside it");
    }
    o.create = true;
    o.overwrite = true;
    o.layer = 0;
    if (o.comment == NULL && o.ome_version == NULL) o.comment = from->comment;
    status = shardio_file_open(&file, path, SHARDIO_OPEN_CREATE, &how, error);
    if (status == SHARDIO_OK) to = shardio_archive_open_file(file, &o, error);
    if (status == SHARDIO_OK && to == NULL) status = error->status;
    if (status == SHARDIO_OK) status = shardio_p_zip_copy_entries(to, from, progress, context, error);
    if (status == SHARDIO_OK) {
        to->changed = true;
        status = shardio_archive_finish(to, error);
    } else {
        shardio_archive_close(to);
    }
    shardio_archive_close(from);
    return status;
}
#endif

#endif /* !SHARDIO_NO_STORE */
#endif /* SHARDIO_IMPLEMENTATION */

/*
This software is available under two licences; choose the one that you prefer.
------------------------------------------------------------------------------------------------------------------------
ALTERNATIVE A - MIT License

Copyright (c) 2026 the shardio.h authors

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

------------------------------------------------------------------------------------------------------------------------
ALTERNATIVE B - Public Domain (Unlicense, www.unlicense.org)

This is free and unencumbered software released into the public domain.

Anyone is free to copy, modify, publish, use, compile, sell, or distribute this software, either in source code form or
as a compiled binary, for any purpose, commercial or non-commercial, and by any means.

In jurisdictions that recognize copyright laws, the author or authors of this software dedicate any and all copyright
interest in the software to the public domain. We make this dedication for the benefit of the public at large and to the
detriment of our heirs and successors. We intend this dedication to be an overt act of relinquishment in perpetuity of
all present and future rights to this software under copyright law.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
