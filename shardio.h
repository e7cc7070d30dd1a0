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
             cc -O2 program.c                    nothing to link

   CONTENTS  each tag is found twice: >>tag-api in the declarations, >>tag in the implementation

       config     compile-time options, version, linkage
       errors     one status, one error record, one sentence
       platform   allocators, files, the table of file functions, the system's files, files in memory
       checksum   CRC32C
       slot       the write coalescer: any bytes in, aligned blocks out
       index      the shard index, kept as its encoded bytes
       shard      write, update, checkpoint, read and verify one shard file
       json       the reader and writer that zarr.json needs
       codec      how chunk bytes are encoded: a table of callbacks; crc32c, zstd, gzip, blosc, lz4
       zarr       arrays: create, append, checkpoint, read a region, verify
       store      where the keys live: a directory, memory

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

   Array in a directory (Zarr v3 core)

       movie.zarr/zarr.json          the metadata, replaced by rename at every checkpoint
       movie.zarr/c/0/0/0            a shard (or a chunk, if the array has no shards), key of its grid position
       movie.zarr/c/0/0/0.1f..9e.shardio-tmp     a shard being written; left behind only by a crash
*/

#ifndef SHARDIO_H
#define SHARDIO_H

/* >>config-api ------------------------------------------------------------------------------------------------ */

#define SHARDIO_VERSION_MAJOR 0
#define SHARDIO_VERSION_MINOR 1
#define SHARDIO_VERSION_PATCH 0
#define SHARDIO_VERSION_NUMBER (SHARDIO_VERSION_MAJOR * 10000 + SHARDIO_VERSION_MINOR * 100 + SHARDIO_VERSION_PATCH)
#define SHARDIO_VERSION_STRING "0.1.0"

/* Options. Define them before the include; "all files" means alike in every file that includes the header.

   SHARDIO_IMPLEMENTATION   one file     emit the code there
   SHARDIO_STATIC           all files    every function is static; each file that includes has its own copy
   SHARDIO_API              all files    linkage of every function; default extern, or static with the above
   SHARDIO_NO_OS            all files    no system calls and no malloc: tables of functions and memory only
   SHARDIO_NO_SHARD         all files    without shard (and so without zarr)
   SHARDIO_NO_ZARR          all files    without codec, json and zarr
   SHARDIO_NO_STORE         all files    without store (arrays then live in a store of the caller's)
   SHARDIO_NO_CRC_HARDWARE  one file     CRC32C by tables, whatever the CPU has
   SHARDIO_SMALL            one file     one CRC32C table of 1 KiB in place of 8 KiB

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
#ifndef SHARDIO_NO_STORE
#define SHARDIO_NO_STORE 0
#endif
#if SHARDIO_NO_SHARD && !SHARDIO_NO_ZARR
#error "SHARDIO_NO_SHARD needs SHARDIO_NO_ZARR: arrays are made of shards"
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

/* >>platform-api ---------------------------------------------------------------------------------------------- */

/* Memory. An all-zero allocator (or a null pointer to one) is malloc and free; with SHARDIO_NO_OS it gives nothing.
   `alignment` is a power of two; release gets the size and alignment that allocate was given. */
typedef struct shardio_allocator {
    void *context;
    void *(*allocate)(void *context, size_t size, size_t alignment);
    void (*release)(void *context, void *memory, size_t size, size_t alignment);
} shardio_allocator;

/* Hands out the caller's `memory` piece by piece; takes back the newest piece, and all of it when none is left. What does not fit fails with SHARDIO_ERR_MEMORY in whoever asked. One thread. */
typedef struct shardio_arena {
    uint8_t *memory;
    size_t size, used, peak;   /* bytes */
    size_t pieces;             /* that are handed out */
} shardio_arena;
SHARDIO_API shardio_allocator shardio_arena_begin(shardio_arena *arena, void *memory, size_t size);

/* What is known about an open file. */
typedef struct shardio_file_facts {
    uint64_t size;               /* bytes */
    uint64_t identity[3];        /* device, inode, modification time: the file is the same while these are; or 0 */
    uint32_t memory_alignment;   /* unbuffered I/O wants addresses, */
    uint32_t offset_alignment;   /* offsets                         */
    uint32_t length_alignment;   /* and lengths that are multiples of these; powers of two, 0: no wish */
    bool stream;                 /* a pipe or terminal: only appending, no length */
    bool special;                /* a device or a stream: no truncation, no rename, no directory entry of its own */
} shardio_file_facts;

typedef enum shardio_hint {
    SHARDIO_HINT_WRITE_BACK,     /* begin to write this range to the device */
    SHARDIO_HINT_DROP,           /* wait until it is written, then forget it in the page cache */
    SHARDIO_HINT_WILL_NEED       /* it will be read soon */
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
    shardio_status (*publish)(void *file, bool durable, int *code);              /* show it under its final name */
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

/* Reads exactly `size` bytes at `offset`; SHARDIO_ERR_TRUNCATED if the file ends before. `error` may be null. */
SHARDIO_API shardio_status shardio_file_read(const shardio_file *file, uint64_t offset, void *data, size_t size,
                                             shardio_error *error);

/* >>checksum-api ---------------------------------------------------------------------------------------------- */

/* CRC32C (Castagnoli, as in iSCSI, RFC 3720 appendix B.4) of `size` bytes after bytes whose CRC32C is `crc`; begin
   with 0. Uses the CPU's instructions where it has them. Any thread. */
SHARDIO_API uint32_t shardio_crc32c(uint32_t crc, const void *data, size_t size);

/* How shardio_crc32c computes on this CPU: "sse4.2+pclmul", "armv8" or "tables". Static text. */
SHARDIO_API const char *shardio_crc32c_kind(void);

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

/* What a writer has done so far. */
typedef struct shardio_accounting {
    uint64_t logical_bytes;      /* size of the file (of all files) as a reader sees it */
    uint64_t dead_bytes;         /* of these, bytes that no index points to */
    uint64_t device_bytes;       /* handed to write calls */
    uint64_t device_calls;       /* number of write calls */
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

/* How the index of a shard is stored. All-zero: at the end, little-endian, with CRC32C. */
typedef struct shardio_index_layout {
    uint64_t chunks;         /* number of chunks in the shard, at least 1 */
    bool at_start, big_endian, no_checksum;
} shardio_index_layout;

/* Bytes of an encoded index: 16 per chunk and 4 for the checksum; 0 if that exceeds size_t. */
SHARDIO_API size_t shardio_index_size(const shardio_index_layout *layout);

/* An index is handled as its encoded bytes, shardio_index_size() of them. clear: all chunks missing. seal: put the
   checksum. set and get: the entry of one chunk, `chunk` below layout->chunks. Any alignment. */
SHARDIO_API void shardio_index_clear(const shardio_index_layout *layout, uint8_t *index);
SHARDIO_API void shardio_index_set(const shardio_index_layout *layout, uint8_t *index, uint64_t chunk,
                                   uint64_t offset, uint64_t length);
SHARDIO_API void shardio_index_get(const shardio_index_layout *layout, const uint8_t *index, uint64_t chunk,
                                   uint64_t *offset, uint64_t *length);
SHARDIO_API void shardio_index_seal(const shardio_index_layout *layout, uint8_t *index);

/* Whether the checksum is right: SHARDIO_ERR_CHECKSUM if not. */
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
   hands each to `take`, in the order of their offsets within windows of 256. A chunk that is larger than the memory:
   SHARDIO_ERR_LIMIT. */
SHARDIO_API shardio_status shardio_shard_read_many(shardio_shard_reader *reader, const uint64_t *chunks, size_t count,
                                                   void *memory, size_t size, shardio_chunk_taker take, void *context,
                                                   shardio_error *error);

/* SHARDIO_ERR_CHANGED if the open file is no longer what it was when its index was read. */
SHARDIO_API shardio_status shardio_shard_unchanged(const shardio_shard_reader *reader, shardio_error *error);

/* Told of each fault that a verification finds. */
typedef void (*shardio_finding)(void *context, const shardio_error *finding);

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

#if !SHARDIO_NO_ZARR
/* >>json-api -------------------------------------------------------------------------------------------------- */

/* A JSON value: a piece of a text that was checked by shardio_json_parse and must outlive it. `text` null: absent. */
typedef struct shardio_json {
    const char *text;
    size_t size;
} shardio_json;

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

/* >>codec-api ------------------------------------------------------------------------------------------------- */

/* A bytes-to-bytes codec (Zarr v3 core, section "Codecs"). One that comes with the header, or the caller's own: a
   table that must outlive the arrays that use it. */
typedef struct shardio_codec {
    const char *name;             /* as in zarr.json */
    const char *configuration;    /* JSON object, or null */
    void *context;
    /* the most bytes that `size` bytes can become; SIZE_MAX: cannot be bounded */
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

/* The crc32c codec: four bytes of CRC32C, little-endian, behind each chunk (codec specification "crc32c"). */
SHARDIO_API const shardio_codec *shardio_codec_crc32c(void);

/* >>zarr-api -------------------------------------------------------------------------------------------------- */

#define SHARDIO_MAX_DIMS 32
#define SHARDIO_MAX_CODECS 8
#define SHARDIO_UNLIMITED 0      /* shape[0]: as many as are appended */

/* One element of the types string and bytes. What is read lives until the next read or write through the same handle
   or its end; what is appended or written is borrowed for the call. Not ended with a zero byte. */
typedef struct shardio_bytes {
    const void *data;
    size_t size;
} shardio_bytes;

/* Element types: name, name in zarr.json, bytes, bytes of the unit whose order depends on the machine. */
#define SHARDIO_DTYPE_LIST(X)                                                                                      \
    X(BOOL, "bool", 1, 1) X(INT8, "int8", 1, 1) X(INT16, "int16", 2, 2) X(INT32, "int32", 4, 4)                    \
    X(INT64, "int64", 8, 8) X(UINT8, "uint8", 1, 1) X(UINT16, "uint16", 2, 2) X(UINT32, "uint32", 4, 4)            \
    X(UINT64, "uint64", 8, 8) X(FLOAT16, "float16", 2, 2) X(FLOAT32, "float32", 4, 4)                              \
    X(FLOAT64, "float64", 8, 8) X(COMPLEX64, "complex64", 8, 4) X(COMPLEX128, "complex128", 16, 8)                 \
    X(RAW, "r8", 1, 1)                       /* any number of bytes: raw_bytes of the options says how many */      \
    X(STRING, "string", sizeof(shardio_bytes), 1)   /* UTF-8; in memory a shardio_bytes each */                    \
    X(BYTES, "bytes", sizeof(shardio_bytes), 1)

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
    /* Begins a new value; the key shows it when the file is published. */
    shardio_status (*create)(void *store, const char *key, bool overwrite, const shardio_allocator *allocator,
                             shardio_file *file, int *code);
    /* Removes a key, and what only held it; the key "" is the store itself, if nothing is in it. */
    shardio_status (*remove)(void *store, const char *key, int *code);
    /* Calls `each` for every key below `prefix` ("" or "a/b/"), in any order, until it returns false. `temporary`:
       a value that was never published. */
    shardio_status (*list)(void *store, const char *prefix,
                           bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                           void *context, int *code);
    /* Makes removals durable. May be null. */
    shardio_status (*sync)(void *store, const char *key, int *code);
    /* Bytes that open and create take at most from their allocator for a key of `length` bytes. */
    size_t (*file_memory)(void *store, size_t length);
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
    bool unbuffered;                         /* reading: past the page cache, where the system takes it */
    shardio_update update;                   /* changing: how shards that exist are changed */
    uint32_t dead_percent;                   /* changing: a shard is rewritten when more of its file than this would be
                                                dead; 0: 50; 100: never */
    shardio_accounting *accounting;          /* finish leaves here what was done in all, the last writes included;
                                                null: not wanted */
    const shardio_allocator *allocator;      /* null: malloc */
} shardio_array_options;

/* Memory that writing an array takes: all of it in one piece, when it is created, and no more later. Only creating and
   continuing take something besides for a moment: the zarr.json of groups on the way, a chunk that is continued. */
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

/* Opens an array for reading. `options` (may be null): path, codecs known besides our own, memory for reading (0: 16
   MiB), max_open_files, allocator. Never null; an array that could not be opened returns its error from every call. */
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
   C order without gaps, machine's byte order. Missing chunks give the fill value. SHARDIO_ERR_ARGUMENT if the region
   is not inside the shape or `size` does not fit. `error` may be null. */
SHARDIO_API shardio_status shardio_array_read(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                              void *elements, size_t size, shardio_error *error);

/* The same with any layout in memory: `elements` points to the first element, strides[i] bytes lead to the next one along
   dimension i; they may be negative. Elements need no alignment. */
SHARDIO_API shardio_status shardio_array_read_strided(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                                      void *elements, const ptrdiff_t *strides, shardio_error *error);

/* Writes a region of an array opened by shardio_array_update, from `elements` of `size` bytes as in shardio_array_read;
   null: the fill value. Chunks that the region covers whole are not read; others are read, changed and written. A shard
   that exists gets the changed chunks and a new index behind its end, or is rewritten (options update, dead_percent).
   What a shard held stays readable until its new index is complete; a failure leaves the shards not yet reached as they
   were. Memory: one chunk, decoded and encoded, and the index of a shard. Errors as in shardio_array_read, and those of
   writing. */
SHARDIO_API shardio_status shardio_array_write(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                               const void *elements, size_t size, shardio_error *error);
SHARDIO_API shardio_status shardio_array_write_strided(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                                       const void *elements, const ptrdiff_t *strides,
                                                       shardio_error *error);

/* Gives an array opened by shardio_array_update another shape (ndim numbers). zarr.json changes first. Then, where an
   extent shrinks, chunks wholly outside are removed, and the part outside of chunks at the edge becomes the fill value;
   with `keep_edge` it stays in the file and is seen again when the array grows. */
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
SHARDIO_API shardio_status shardio_array_recover(shardio_array *array, bool apply, shardio_recovered report, void *context,
                                                 shardio_error *error);

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

/* Ends an array opened for reading. */
SHARDIO_API void shardio_array_close(shardio_array *array);

/* -- nodes: groups and arrays by their zarr.json. Paths are as in the options: "raw/movie", "" or null for the store. */

typedef enum shardio_node_kind { SHARDIO_NODE_UNKNOWN, SHARDIO_NODE_GROUP, SHARDIO_NODE_ARRAY } shardio_node_kind;

/* The zarr.json of a group or an array, in memory. Pieces point into `text`; end with shardio_node_close. */
typedef struct shardio_node {
    shardio_node_kind kind;
    char *text;                   /* ended with a zero byte */
    size_t size;                  /* of the text, bytes */
    shardio_json root, attributes;
    shardio_json consolidated;    /* a group's: the object of metadata by path; or absent */
    const shardio_allocator *allocator;
} shardio_node;

/* Opens a node: one read. `limit`: the most bytes of its zarr.json; 0: 16 MiB. Extensions that have to be understood are
   refused (SHARDIO_ERR_UNSUPPORTED). `allocator` null: malloc. */
SHARDIO_API shardio_status shardio_node_open(shardio_node *node, const shardio_store *store, const char *path,
                                             size_t limit, const shardio_allocator *allocator, shardio_error *error);
SHARDIO_API void shardio_node_close(shardio_node *node);

/* The scalar attribute `name`. False: there is none, or it is of another kind. */
SHARDIO_API bool shardio_node_int64(const shardio_node *node, const char *name, int64_t *value);
SHARDIO_API bool shardio_node_double(const shardio_node *node, const char *name, double *value);
SHARDIO_API bool shardio_node_bool(const shardio_node *node, const char *name, bool *value);
SHARDIO_API bool shardio_node_string(const shardio_node *node, const char *name, char *text, size_t size);

/* Creates a group with `attributes` (a JSON object; null: {}), and missing groups on the way. SHARDIO_ERR_EXISTS if there
   is a node, or something else. */
SHARDIO_API shardio_status shardio_group_create(const shardio_store *store, const char *path, const char *attributes,
                                                shardio_error *error);

/* Replaces all attributes of a node, or one (`json` null: removes it). Everything else in zarr.json stays byte for byte.
   The file is replaced by rename. Consolidated metadata of groups above is not touched: consolidate again. */
SHARDIO_API shardio_status shardio_node_set_attributes(const shardio_store *store, const char *path, const char *attributes,
                                                       shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_attribute(const shardio_store *store, const char *path, const char *name,
                                                      const char *json, shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_int64(const shardio_store *store, const char *path, const char *name,
                                                  int64_t value, shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_double(const shardio_store *store, const char *path, const char *name,
                                                   double value, shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_bool(const shardio_store *store, const char *path, const char *name, bool value,
                                                 shardio_error *error);
SHARDIO_API shardio_status shardio_node_set_string(const shardio_store *store, const char *path, const char *name,
                                                   const char *value, shardio_error *error);

/* Called for a node: its path from the store, its metadata, borrowed until it returns. `fault` (node null): a zarr.json
   that cannot be read. Not SHARDIO_OK: stop. */
typedef shardio_status (*shardio_node_visitor)(void *context, const char *path, const shardio_node *node,
                                               const shardio_error *fault);

/* Visits the node at `path` and all below it, parents before children, in the order of their paths. With `consolidated`
   the group's consolidated metadata is used if it has some: one read, as old as it is. Memory: the paths. */
SHARDIO_API shardio_status shardio_hierarchy_walk(const shardio_store *store, const char *path, bool consolidated,
                                                  shardio_node_visitor visit, void *context, shardio_error *error);

/* Writes consolidated metadata of all nodes below into the zarr.json of the group at `path`, as zarr-python does (kind
   "inline"), or (`remove`) takes it out. */
SHARDIO_API shardio_status shardio_group_consolidate(const shardio_store *store, const char *path, bool remove,
                                                     shardio_error *error);

/* Deletes an array, or a group with all nodes below it: zarr.json first, then its chunks and what writers left behind.
   Files that belong to no node stay. SHARDIO_ERR_NOT_FOUND: there is no node. */
SHARDIO_API shardio_status shardio_node_remove(const shardio_store *store, const char *path, shardio_error *error);

#endif /* !SHARDIO_NO_ZARR */

#if !SHARDIO_NO_STORE && !SHARDIO_NO_ZARR
/* >>store-api ------------------------------------------------------------------------------------------------- */

#if !SHARDIO_NO_OS
/* A directory. `path` is borrowed and must outlive the store; it need not exist until something is written. */
SHARDIO_API shardio_store shardio_store_directory(const char *path);
#endif

/* A store in memory, taken from `allocator` (null: malloc). Begin, use through shardio_memory_store_table, end. */
typedef struct shardio_memory_store {
    struct shardio_memory_entry *entries;
    const shardio_allocator *allocator;
} shardio_memory_store;
SHARDIO_API shardio_store shardio_store_memory(shardio_memory_store *memory, const shardio_allocator *allocator);
SHARDIO_API void shardio_store_memory_free(shardio_memory_store *memory);

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

/* -- the system: two sets of the same small functions, the only place that knows which system it is */

#if SHARDIO_NO_OS
static void shardio_p_system_text(int code, shardio_text *text)
{
    shardio_text_add(text, "code ");
    shardio_text_add_int64(text, code);
}
#else

typedef enum shardio_p_kind { SHARDIO_P_NOTHING, SHARDIO_P_REGULAR, SHARDIO_P_DIRECTORY, SHARDIO_P_SPECIAL } shardio_p_kind;

enum { SHARDIO_P_ACCESS_READ, SHARDIO_P_ACCESS_BOTH, SHARDIO_P_ACCESS_WRITE, SHARDIO_P_ACCESS_NEW };

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

static shardio_status shardio_p_os_open(const char *path, int access, shardio_p_handle *handle, int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    if (!shardio_p_os_wide(path, wide)) return SHARDIO_ERR_NOT_FOUND;
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
    return SetFileInformationByHandle(handle, FileEndOfFileInfo, &end, sizeof end) ? SHARDIO_OK : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_sync(shardio_p_handle handle, int *code)
{
    return FlushFileBuffers(handle) ? SHARDIO_OK : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_facts(shardio_p_handle handle, shardio_file_facts *facts, int *code)
{
    BY_HANDLE_FILE_INFORMATION info;
    FILE_STORAGE_INFO storage;
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
    facts->memory_alignment = facts->offset_alignment = facts->length_alignment = SHARDIO_P_DEFAULT_BLOCK;
    if (GetFileInformationByHandleEx(handle, FileStorageInfo, &storage, sizeof storage)) {
        DWORD sector = storage.PhysicalBytesPerSectorForPerformance;
        if (sector > SHARDIO_P_DEFAULT_BLOCK && sector <= SHARDIO_P_MAX_BLOCK && (sector & (sector - 1)) == 0)
            facts->memory_alignment = facts->offset_alignment = facts->length_alignment = sector;
    }
    return SHARDIO_OK;
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

static shardio_p_kind shardio_p_os_kind(const char *path, bool *link)
{
    wchar_t wide[SHARDIO_P_PATH];
    *link = false;
    if (!shardio_p_os_wide(path, wide)) return SHARDIO_P_NOTHING;
    DWORD attributes = GetFileAttributesW(wide);
    if (attributes == INVALID_FILE_ATTRIBUTES) return SHARDIO_P_NOTHING;
    if (attributes & FILE_ATTRIBUTE_DIRECTORY) return SHARDIO_P_DIRECTORY;
    return attributes & FILE_ATTRIBUTE_DEVICE ? SHARDIO_P_SPECIAL : SHARDIO_P_REGULAR;
}

/* Length of the file of this name, 0 if there is none. */
static inline uint64_t shardio_p_os_size(const char *path)
{
    wchar_t wide[SHARDIO_P_PATH];
    WIN32_FILE_ATTRIBUTE_DATA data;
    if (!shardio_p_os_wide(path, wide) || !GetFileAttributesExW(wide, GetFileExInfoStandard, &data)) return 0;
    return (uint64_t)data.nFileSizeHigh << 32 | data.nFileSizeLow;
}

static bool shardio_p_os_read_link(const char *path, char *target, size_t size)
{
    (void)path, (void)target, (void)size;
    return false;
}

static shardio_status shardio_p_os_rename(const char *from, const char *to, bool replace, int *code)
{
    wchar_t wide_from[SHARDIO_P_PATH], wide_to[SHARDIO_P_PATH];
    if (!shardio_p_os_wide(from, wide_from) || !shardio_p_os_wide(to, wide_to)) return SHARDIO_ERR_NOT_FOUND;
    return MoveFileExW(wide_from, wide_to, replace ? MOVEFILE_REPLACE_EXISTING : 0) ? SHARDIO_OK : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_remove(const char *path, bool directory, int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    if (!shardio_p_os_wide(path, wide)) return SHARDIO_ERR_NOT_FOUND;
    return (directory ? RemoveDirectoryW(wide) : DeleteFileW(wide)) ? SHARDIO_OK : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_make_directory(const char *path, int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    if (!shardio_p_os_wide(path, wide)) return SHARDIO_ERR_NOT_FOUND;
    return CreateDirectoryW(wide, NULL) ? SHARDIO_OK : shardio_p_os_last(code);
}

/* Windows has no way to sync a directory; NTFS logs its changes in order. */
static shardio_status shardio_p_os_sync_directory(const char *path, int *code)
{
    (void)path, (void)code;
    return SHARDIO_OK;
}

static uint64_t shardio_p_os_noise(void)
{
    LARGE_INTEGER ticks;
    QueryPerformanceCounter(&ticks);
    return (uint64_t)ticks.QuadPart ^ (uint64_t)GetCurrentProcessId() << 40 ^ (uint64_t)GetCurrentThreadId() << 20;
}

/* Calls `each` for the names in a directory, until it returns false. */
static inline shardio_status shardio_p_os_list(const char *path, bool (*each)(void *context, const char *name), void *context,
                                        int *code)
{
    wchar_t wide[SHARDIO_P_PATH];
    WIN32_FIND_DATAW found;
    size_t n = 0;
    bool more = true;
    if (!shardio_p_os_wide(path, wide)) return SHARDIO_ERR_NOT_FOUND;
    while (wide[n] != 0) n++;
    if (n + 3 > SHARDIO_P_PATH) return SHARDIO_ERR_NOT_FOUND;
    memcpy(wide + n, L"\\*", 3 * sizeof *wide);
    HANDLE search = FindFirstFileW(wide, &found);
    if (search == INVALID_HANDLE_VALUE) return shardio_p_os_last(code);
    do {
        char name[1024];
        bool dots = found.cFileName[0] == '.' && (found.cFileName[1] == 0 || (found.cFileName[1] == '.' && found.cFileName[2] == 0));
        if (!dots && WideCharToMultiByte(CP_UTF8, 0, found.cFileName, -1, name, sizeof name, NULL, NULL) > 0)
            more = each(context, name);
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

static shardio_status shardio_p_os_open(const char *path, int access, shardio_p_handle *handle, int *code)
{
    static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_CREAT | O_EXCL};
    do *handle = open(path, flags[access] | O_CLOEXEC, 0666);
    while (*handle < 0 && errno == EINTR);
    return *handle < 0 ? shardio_p_os_last(code) : SHARDIO_OK;
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

static uint64_t shardio_p_os_modified(const struct stat *s)
{
#if defined(__APPLE__)
    return (uint64_t)s->st_mtimespec.tv_sec * 1000000000u + (uint64_t)s->st_mtimespec.tv_nsec;
#else
    return (uint64_t)s->st_mtim.tv_sec * 1000000000u + (uint64_t)s->st_mtim.tv_nsec;
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
    facts->identity[2] = shardio_p_os_modified(&s);
    shardio_p_os_alignment(handle, facts);
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
    if (hint == SHARDIO_HINT_WRITE_BACK) (void)sync_file_range(handle, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
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

static shardio_p_kind shardio_p_os_kind(const char *path, bool *link)
{
    struct stat s;
    *link = lstat(path, &s) == 0 && S_ISLNK(s.st_mode);
    if (stat(path, &s) != 0) return SHARDIO_P_NOTHING;
    if (S_ISDIR(s.st_mode)) return SHARDIO_P_DIRECTORY;
    return S_ISREG(s.st_mode) ? SHARDIO_P_REGULAR : SHARDIO_P_SPECIAL;
}

/* Length of the file of this name, 0 if there is none. */
static inline uint64_t shardio_p_os_size(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
}

static bool shardio_p_os_read_link(const char *path, char *target, size_t size)
{
    ssize_t n = readlink(path, target, size - 1);
    if (n < 0 || (size_t)n >= size - 1) return false;
    target[n] = 0;
    return true;
}

static shardio_status shardio_p_os_rename(const char *from, const char *to, bool replace, int *code)
{
    if (replace) return rename(from, to) == 0 ? SHARDIO_OK : shardio_p_os_last(code);
#if defined(SYS_renameat2)
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 1u /* RENAME_NOREPLACE */) == 0) return SHARDIO_OK;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) return shardio_p_os_last(code);
#endif
    if (link(from, to) != 0) return shardio_p_os_last(code);   /* refuses an existing name in one step, too */
    return unlink(from) == 0 ? SHARDIO_OK : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_remove(const char *path, bool directory, int *code)
{
    return (directory ? rmdir(path) : unlink(path)) == 0 ? SHARDIO_OK : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_make_directory(const char *path, int *code)
{
    return mkdir(path, 0777) == 0 ? SHARDIO_OK : shardio_p_os_last(code);
}

static shardio_status shardio_p_os_sync_directory(const char *path, int *code)
{
    shardio_p_handle handle;
    int ignored = 0;
    shardio_status status = shardio_p_os_open(path, SHARDIO_P_ACCESS_READ, &handle, code);
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
static inline shardio_status shardio_p_os_list(const char *path, bool (*each)(void *context, const char *name), void *context,
                                        int *code)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    bool more = true;
    if (directory == NULL) return shardio_p_os_last(code);
    errno = 0;
    while (more && (entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
        more = each(context, name);
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
    uint64_t position;        /* of a stream */
    uint64_t identity[2];     /* device and inode */
    const shardio_allocator *allocator;
    size_t size;              /* of this piece of memory */
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
static shardio_status shardio_p_sync_parent(const char *path, int *code)
{
    char parent[SHARDIO_P_PATH];
    size_t n = shardio_p_parent_length(path);
    if (n >= sizeof parent) return SHARDIO_ERR_NOT_FOUND;
    memcpy(parent, n > 0 ? path : ".", n > 0 ? n : 1);
    parent[n > 0 ? n : 1] = 0;
    return shardio_p_os_sync_directory(parent, code);
}

/* Makes the directories that `path` needs. *existing is the length of the part that was there before. */
static shardio_status shardio_p_make_parents(const char *path, size_t *existing, int *code)
{
    char parent[SHARDIO_P_PATH];
    size_t whole = shardio_p_parent_length(path), n;
    bool link;
    *existing = whole;
    if (whole == 0) return SHARDIO_OK;
    if (whole >= sizeof parent) return SHARDIO_ERR_NOT_FOUND;
    memcpy(parent, path, whole);
    parent[whole] = 0;
    /* back to the longest part that exists, then forward again */
    for (n = whole; n > 0 && shardio_p_os_kind(parent, &link) == SHARDIO_P_NOTHING; parent[n] = 0)
        n = shardio_p_parent_length(parent);
    *existing = n;
    while (n < whole) {
        parent[n] = path[n];
        for (n++; n < whole && !shardio_p_is_separator(path[n]); n++) parent[n] = path[n];
        parent[n] = 0;
        if (shardio_p_is_separator(parent[n - 1])) continue;
        shardio_status status = shardio_p_os_make_directory(parent, code);
        if (status != SHARDIO_OK && status != SHARDIO_ERR_EXISTS) return status;
    }
    return SHARDIO_OK;
}

/* Does something to the directories above `path` that are longer than `existing`, the innermost first. */
static shardio_status shardio_p_each_new_parent(const char *path, size_t existing, int *code,
                                                shardio_status (*act)(const char *directory, int *code))
{
    char directory[SHARDIO_P_PATH];
    size_t n = shardio_p_parent_length(path);
    shardio_status status = SHARDIO_OK;
    if (n >= sizeof directory) return SHARDIO_ERR_NOT_FOUND;
    memcpy(directory, path, n);
    for (; n > existing && status == SHARDIO_OK; n = shardio_p_parent_length(directory)) {
        directory[n] = 0;
        status = act(directory, code);
    }
    return status;
}

static shardio_status shardio_p_remove_directory(const char *path, int *code)
{
    return shardio_p_os_remove(path, true, code);
}

static uint64_t shardio_p_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* path, shortened so that the name is no longer than a name may be, and ".0123456789abcdef.shardio-tmp". */
static void shardio_p_temporary_name(char *out, const char *path, uint64_t tag)
{
    static const char digits[] = "0123456789abcdef";
    size_t parent = shardio_p_parent_length(path), n = shardio_p_length(path);
    size_t longest = parent + 1 + SHARDIO_P_LONGEST_NAME - SHARDIO_P_SUFFIX;
    if (n > longest) {
        n = longest;
        while (n > parent && ((unsigned char)path[n] & 0xC0) == 0x80) n--;   /* not in the middle of a UTF-8 character */
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
    return shardio_p_os_facts(((shardio_p_os_file *)file)->handle, facts, code);
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
    if (f->temporary[0] != 0) status = shardio_p_os_rename(f->temporary, f->path, f->overwrite, code);
    if (status != SHARDIO_OK) return status;
    f->unpublished = false;
    if (durable) status = shardio_p_sync_parent(f->path, code);
    if (durable && status == SHARDIO_OK) status = shardio_p_each_new_parent(f->path, f->existing, code, shardio_p_sync_parent);
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
    shardio_status status = shardio_p_os_open(shardio_p_os_current_name(f), f->access, &f->handle, code);
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
        (void)shardio_p_os_remove(shardio_p_os_current_name(f), false, &ignored);
        (void)shardio_p_each_new_parent(f->path, f->existing, &ignored, shardio_p_remove_directory);
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

SHARDIO_API size_t shardio_file_memory(size_t length)
{
    return sizeof(shardio_p_os_file) + 2 * (length + 1) + SHARDIO_P_SUFFIX;
}

/* Follows the symbolic links that `path` itself is (the system follows those on the way). False: too many. */
static bool shardio_p_resolve(const char *path, char *resolved, size_t size)
{
    char target[SHARDIO_P_PATH];
    bool link = true;
    if (shardio_p_length(path) >= size) return false;
    memcpy(resolved, path, shardio_p_length(path) + 1);
    for (int i = 0; i < SHARDIO_P_LONGEST_CHAIN; i++) {
        shardio_p_kind kind = shardio_p_os_kind(resolved, &link);
        if (!link || kind == SHARDIO_P_SPECIAL) return true;   /* the name of a pipe behind /dev/stdout is none */
        if (!shardio_p_os_read_link(resolved, target, sizeof target)) return false;
        size_t keep = shardio_p_is_separator(target[0]) ? 0 : shardio_p_parent_length(resolved), n = shardio_p_length(target);
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
    return shardio_p_os_open(f->path, access, &f->handle, code);
}

/* A new file under a name that nobody else has, or in place. */
static shardio_status shardio_p_osf_create(shardio_p_os_file *f, const shardio_open_options *options, bool exists,
                                           int *code)
{
    shardio_status status;
    uint64_t tag = shardio_p_os_noise() ^ (uint64_t)(uintptr_t)f;
    bool parents_made = !options->make_parents;
    if (exists && !f->overwrite) return SHARDIO_ERR_EXISTS;
    if (shardio_p_length(f->path) - shardio_p_parent_length(f->path) > SHARDIO_P_LONGEST_NAME + 1) return SHARDIO_ERR_LIMIT;
    for (int tries = 0; tries < 100; tries++) {
        tag = shardio_p_mix(tag + UINT64_C(0x9E3779B97F4A7C15));
        f->temporary[0] = 0;
        if (!options->in_place) shardio_p_temporary_name(f->temporary, f->path, tag);
        const char *name = options->in_place ? f->path : f->temporary;
        status = shardio_p_os_open(name, options->in_place && exists ? SHARDIO_P_ACCESS_BOTH : SHARDIO_P_ACCESS_NEW,
                                   &f->handle, code);
        if (status == SHARDIO_ERR_NOT_FOUND && !parents_made) {
            parents_made = true;
            status = shardio_p_make_parents(f->path, &f->existing, code);
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
    bool link;
    shardio_p_kind kind = shardio_p_os_kind(f->path, &link);
    if (kind == SHARDIO_P_DIRECTORY) {
        *reason = "it is a directory";
        return mode == SHARDIO_OPEN_CREATE ? SHARDIO_ERR_EXISTS : SHARDIO_ERR_ARGUMENT;
    }
    if (mode == SHARDIO_OPEN_READ) return shardio_p_osf_open_existing(f, SHARDIO_P_ACCESS_READ, code);
    if (kind == SHARDIO_P_SPECIAL) return shardio_p_osf_open_existing(f, SHARDIO_P_ACCESS_WRITE, code);
    if (mode == SHARDIO_OPEN_UPDATE) return shardio_p_osf_open_existing(f, SHARDIO_P_ACCESS_BOTH, code);
    return shardio_p_osf_create(f, options, kind == SHARDIO_P_REGULAR, code);
}

/* `path` is taken as it is: no symbolic link is followed for the name that a new file gets. */
static shardio_status shardio_p_osf_open(shardio_file *file, const char *path, shardio_open_mode mode,
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
    f->overwrite = options->overwrite;
    f->path = (char *)(f + 1);
    f->temporary = f->path + n + 1;
    memcpy(f->path, path, n + 1);
    f->temporary[0] = 0;
    shardio_status status = shardio_p_osf_begin(f, mode, options, reason, code);
    memset(&facts, 0, sizeof facts);
    if (status == SHARDIO_OK) status = shardio_p_os_facts(f->handle, &facts, code);
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
            return shardio_p_fail(error, SHARDIO_ERR_LIMIT, operations[mode], path, "the path or a symbolic link is too long");
        name = resolved;
    }
    shardio_status status = shardio_p_osf_open(file, name, mode, options != NULL ? options : &defaults, &reason, &code);
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
    SHARDIO_P_CRC_TABLE(0xF26B8303u, 0xE13B70F7u, 0xC79A971Fu, 0x8AD958CFu, 0x105EC76Fu, 0x20BD8EDEu, 0x417B1DBCu, 0x82F63B78u),
#if SHARDIO_P_CRC_TABLES == 8
    SHARDIO_P_CRC_TABLE(0x13A29877u, 0x274530EEu, 0x4E8A61DCu, 0x9D14C3B8u, 0x3FC5F181u, 0x7F8BE302u, 0xFF17C604u, 0xFBC3FAF9u),
    SHARDIO_P_CRC_TABLE(0xA541927Eu, 0x4F6F520Du, 0x9EDEA41Au, 0x38513EC5u, 0x70A27D8Au, 0xE144FB14u, 0xC76580D9u, 0x8B277743u),
    SHARDIO_P_CRC_TABLE(0xDD45AAB8u, 0xBF672381u, 0x7B2231F3u, 0xF64463E6u, 0xE964B13Du, 0xD725148Bu, 0xABA65FE7u, 0x52A0C93Fu),
    SHARDIO_P_CRC_TABLE(0x38116FACu, 0x7022DF58u, 0xE045BEB0u, 0xC5670B91u, 0x8F2261D3u, 0x1BA8B557u, 0x37516AAEu, 0x6EA2D55Cu),
    SHARDIO_P_CRC_TABLE(0xEF306B19u, 0xDB8CA0C3u, 0xB2F53777u, 0x6006181Fu, 0xC00C303Eu, 0x85F4168Du, 0x0E045BEBu, 0x1C08B7D6u),
    SHARDIO_P_CRC_TABLE(0x68032CC8u, 0xD0065990u, 0xA5E0C5D1u, 0x4E2DFD53u, 0x9C5BFAA6u, 0x3D5B83BDu, 0x7AB7077Au, 0xF56E0EF4u),
    SHARDIO_P_CRC_TABLE(0x493C7D27u, 0x9278FA4Eu, 0x211D826Du, 0x423B04DAu, 0x847609B4u, 0x0D006599u, 0x1A00CB32u, 0x34019664u)
#endif
};

/* All of these work on the inner state, the complement of the CRC. */
static uint32_t shardio_p_crc32c_tables(uint32_t state, const uint8_t *data, size_t size)
{
#if SHARDIO_P_CRC_TABLES == 8
    for (; size >= 8; data += 8, size -= 8) {
        uint32_t low = state ^ shardio_p_load32_little(data);
        state = shardio_p_crc_tables[7][low & 255] ^ shardio_p_crc_tables[6][low >> 8 & 255] ^
                shardio_p_crc_tables[5][low >> 16 & 255] ^ shardio_p_crc_tables[4][low >> 24] ^
                shardio_p_crc_tables[3][data[4]] ^ shardio_p_crc_tables[2][data[5]] ^
                shardio_p_crc_tables[1][data[6]] ^ shardio_p_crc_tables[0][data[7]];
    }
#endif
    for (; size > 0; data++, size--) state = shardio_p_crc_tables[0][(state ^ *data) & 255] ^ state >> 8;
    return state;
}

/* The product of two polynomials modulo P, bits reversed: bit 31 is x^0. */
static inline uint32_t shardio_p_crc_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a != 0; a <<= 1) {
        if (a >> 31) product ^= b;
        b = b >> 1 ^ (b & 1 ? 0x82F63B78u : 0);
    }
    return product;
}

/* x^(8n) mod P: what a state is multiplied by when n bytes of zeros follow. */
static inline uint32_t shardio_p_crc_power(size_t n)
{
    uint32_t power = 0x80000000u, factor = 0x00800000u;
    for (; n > 0; n >>= 1) {
        if (n & 1) power = shardio_p_crc_multiply(power, factor);
        factor = shardio_p_crc_multiply(factor, factor);
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

/* Which instructions there are. Each set gives a step of 8 bytes, one of a byte, and a shift of a state over as many
   bytes of zeros as a stream has, with which three independent streams are joined: one stream alone waits for the
   instruction's latency. Long streams because the CPU fetches ahead from memory only where it reads on for some pages;
   shorter ones for what is left. */
typedef struct shardio_p_crc_stream {
    uint32_t length, constant;   /* bytes, a multiple of 16; of the shift */
} shardio_p_crc_stream;
#define SHARDIO_P_CRC_HARDWARE 0
#if !defined(SHARDIO_NO_CRC_HARDWARE) && !SHARDIO_NO_OS

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
static const shardio_p_crc_stream shardio_p_crc_streams[] = {
    {65536, 0xC5013A36u}, {4096, 0x82F89C77u}, {512, 0xDD7E3B0Cu}, {128, 0x0D3B6092u}};

static const char *shardio_p_crc_hardware(void)
{
#if defined(_M_X64) && !defined(__GNUC__)
    return IsProcessorFeaturePresent(40 /* AVX2: has both */) ? "sse4.2+pclmul" : NULL;
#else
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") ? "sse4.2+pclmul" : NULL;
#endif
}

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_step8(uint32_t state, const uint8_t *data)
{
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

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_step1(uint32_t state, uint8_t byte)
{
    return _mm_crc32_u8(state, byte);
}

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_shift(uint32_t state, uint32_t constant)
{
    uint8_t product[16];
    __m128i p = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)state), _mm_cvtsi32_si128((int)constant), 0);
    _mm_storeu_si128((__m128i *)(void *)product, p);
    return shardio_p_crc_step8(0, product);
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
static const shardio_p_crc_stream shardio_p_crc_streams[] = {{65536, 0xFE7740E6u}, {8192, 0x28461564u}, {512, 0x74C360A4u}};

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

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_step8(uint32_t state, const uint8_t *data)
{
    uint64_t word;
    memcpy(&word, data, 8);
    __asm__("crc32cx %w0, %w0, %x1" : "+r"(state) : "r"(word));
    return state;
}

SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_step1(uint32_t state, uint8_t byte)
{
    __asm__("crc32cb %w0, %w0, %w1" : "+r"(state) : "r"((uint32_t)byte));
    return state;
}

static inline uint32_t shardio_p_crc_shift(uint32_t state, uint32_t constant)
{
    return shardio_p_crc_multiply(state, constant);
}
#endif
#endif

#if SHARDIO_P_CRC_HARDWARE
/* Three streams of `length` bytes each, two steps a turn so that the loop itself costs nothing. */
SHARDIO_P_CRC_TARGET static inline uint32_t shardio_p_crc_three(uint32_t state, const uint8_t *data,
                                                                const shardio_p_crc_stream *stream)
{
    uint32_t second = 0, third = 0;
    const uint8_t *b = data + stream->length, *c = b + stream->length;
    for (const uint8_t *end = b; data < end; data += 16, b += 16, c += 16) {
        state = shardio_p_crc_step8(state, data);
        second = shardio_p_crc_step8(second, b);
        third = shardio_p_crc_step8(third, c);
        state = shardio_p_crc_step8(state, data + 8);
        second = shardio_p_crc_step8(second, b + 8);
        third = shardio_p_crc_step8(third, c + 8);
    }
    state = shardio_p_crc_shift(state, stream->constant) ^ second;
    return shardio_p_crc_shift(state, stream->constant) ^ third;
}

SHARDIO_P_CRC_TARGET static uint32_t shardio_p_crc32c_hardware(uint32_t state, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof shardio_p_crc_streams / sizeof shardio_p_crc_streams[0]; i++) {
        const shardio_p_crc_stream *stream = &shardio_p_crc_streams[i];
        size_t step = 3 * (size_t)stream->length;
        for (; size >= step; data += step, size -= step) state = shardio_p_crc_three(state, data, stream);
    }
    for (; size >= 8; data += 8, size -= 8) state = shardio_p_crc_step8(state, data);
    for (; size > 0; data++, size--) state = shardio_p_crc_step1(state, *data);
    return state;
}

/* The two moves of a window, with the instruction in place of the table. */
SHARDIO_P_CRC_TARGET static inline size_t shardio_p_crc_move_hardware(const shardio_p_crc_window *window,
                                                                      uint32_t *difference, const uint8_t *data,
                                                                      size_t steps)
{
    const uint8_t *in = data + window->length;
    uint32_t d = *difference;
    for (size_t i = 0; i < steps; i++) {
        d = shardio_p_crc_step1(d, in[i]) ^ window->share[data[i]];
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
        a = shardio_p_crc_step1(a, in[i]) ^ window->share[data[i]];
        b = shardio_p_crc_step1(b, in[j]) ^ window->share[data[j]];
        c = shardio_p_crc_step1(c, in[k]) ^ window->share[data[k]];
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
    uint32_t power = shardio_p_crc_power(length);
    uint32_t target = ~SHARDIO_P_CRC_RESIDUE ^ shardio_p_crc_multiply(~0u, power);   /* state with its CRC, from 0 */
    uint32_t drift = shardio_p_crc_multiply(target, shardio_p_crc_power(1)) ^ target;
    window->length = length;
    window->share[0] = 0;
    for (size_t byte = 1; byte < 256; byte++) {
        size_t rest = byte & (byte - 1);   /* linear as well: a product for each bit is enough */
        window->share[byte] = rest != 0 ? window->share[rest] ^ window->share[byte ^ rest]
                                        : shardio_p_crc_multiply(shardio_p_crc_tables[0][byte], power);
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
    if (!slot->open) return shardio_p_slot_fail(slot, SHARDIO_ERR_STATE, operation, SHARDIO_NO_OFFSET, 0, "it has ended");
    if (!slot->suspended) return SHARDIO_OK;
    shardio_status status = slot->file.functions->resume(slot->file.context, &code);
    slot->suspended = status != SHARDIO_OK && status != SHARDIO_ERR_DIRECT;
    if (status == SHARDIO_ERR_DIRECT && slot->direct)
        return shardio_p_slot_go_buffered(slot, code, "the system refused unbuffered I/O when the file was opened again");
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
    if (*done > ask) return shardio_p_slot_fail(slot, SHARDIO_ERR_IO, "write", offset, 0, "wrote more than it was given");
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
            status = shardio_p_slot_fail(slot, SHARDIO_ERR_NO_SPACE, "write", offset, 0, "the file takes no whole block");
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
    return shardio_p_slot_fail(slot, status != SHARDIO_OK ? status : SHARDIO_ERR_TRUNCATED, "read back", slot->base, code, NULL);
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
        return shardio_p_slot_fail(slot, SHARDIO_ERR_ARGUMENT, "begin", SHARDIO_NO_OFFSET, 0, "a file and a buffer are needed");
    }
    if (options == NULL) options = &defaults;
    shardio_p_slot_take_options(slot, options);
    return shardio_p_slot_start(slot, buffer, size, options);
}

#if !SHARDIO_NO_OS
SHARDIO_API shardio_status shardio_slot_create(shardio_slot *slot, const char *path, const shardio_slot_options *options)
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
    if (data == NULL) return shardio_p_slot_fail(slot, SHARDIO_ERR_ARGUMENT, "append", shardio_slot_size(slot), 0, "no data");
    if (size > UINT64_MAX / 2 - shardio_slot_size(slot))
        return shardio_p_slot_fail(slot, SHARDIO_ERR_LIMIT, "append", shardio_slot_size(slot), 0, "no file is that long");
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
    if (shardio_p_slot_misfit(slot, buffer, size) != NULL || slot->fill >= slot->block) {   /* otherwise the file is not needed, and may stay closed */
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
    if (status != SHARDIO_OK || slot->file.functions->suspend == NULL || slot->file.functions->resume == NULL) return status;
    status = shardio_p_slot_drain(slot);
    if (status == SHARDIO_OK && !slot->direct && slot->unsynced > 0 && slot->durability != SHARDIO_DURABLE_NONE)
        status = shardio_p_slot_sync_contents(slot);
    if (status != SHARDIO_OK) return status;
    slot->suspended = true;
    status = slot->file.functions->suspend(slot->file.context, &code);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_slot_fail(slot, status, "close", SHARDIO_NO_OFFSET, code, NULL);
}

/* Gives back what the slot holds; the file is closed by then. */
static void shardio_p_slot_end(shardio_slot *slot)
{
    slot->open = false;
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
    if (slot->continued && !slot->suspended && slot->device_end > slot->restore && slot->file.functions->resize != NULL)
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

SHARDIO_API size_t shardio_index_size(const shardio_index_layout *layout)
{
    size_t crc = layout->no_checksum ? 0 : SHARDIO_P_CRC;
    if (layout->chunks > (SIZE_MAX - SHARDIO_P_CRC) / SHARDIO_P_ENTRY) return 0;
    return (size_t)layout->chunks * SHARDIO_P_ENTRY + crc;
}

SHARDIO_API void shardio_index_clear(const shardio_index_layout *layout, uint8_t *index)
{
    memset(index, 0xFF, (size_t)layout->chunks * SHARDIO_P_ENTRY);
}

SHARDIO_API void shardio_index_set(const shardio_index_layout *layout, uint8_t *index, uint64_t chunk, uint64_t offset,
                                   uint64_t length)
{
    uint8_t *entry = index + (size_t)chunk * SHARDIO_P_ENTRY;
    shardio_p_store64(entry, offset, layout->big_endian);
    shardio_p_store64(entry + 8, length, layout->big_endian);
}

SHARDIO_API void shardio_index_get(const shardio_index_layout *layout, const uint8_t *index, uint64_t chunk,
                                   uint64_t *offset, uint64_t *length)
{
    const uint8_t *entry = index + (size_t)chunk * SHARDIO_P_ENTRY;
    *offset = shardio_p_load64(entry, layout->big_endian);
    *length = shardio_p_load64(entry + 8, layout->big_endian);
}

static uint8_t *shardio_p_index_checksum(const shardio_index_layout *layout, const uint8_t *index, uint32_t *crc)
{
    size_t entries = (size_t)layout->chunks * SHARDIO_P_ENTRY;
    *crc = shardio_crc32c(0, index, entries);
    return (uint8_t *)(uintptr_t)(index + entries);
}

/* The checksum is little-endian, whatever the entries are (Zarr v3 codec specification "crc32c"). */
SHARDIO_API void shardio_index_seal(const shardio_index_layout *layout, uint8_t *index)
{
    uint32_t crc;
    if (layout->no_checksum) return;
    uint8_t *at = shardio_p_index_checksum(layout, index, &crc);
    shardio_p_store32_little(at, crc);
}

SHARDIO_API shardio_status shardio_index_check(const shardio_index_layout *layout, const uint8_t *index)
{
    uint32_t crc;
    if (layout->no_checksum) return SHARDIO_OK;
    const uint8_t *at = shardio_p_index_checksum(layout, index, &crc);
    return shardio_p_load32_little(at) == crc ? SHARDIO_OK : SHARDIO_ERR_CHECKSUM;
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
    else if (!shardio_p_add(*offset, *length, &end) || end > file_size) *reason = "its index entry points outside the file";
    else if (*length > 0 && *offset < index_offset + index_size && end > index_offset)
        *reason = "its index entry points into the index";
    return *reason == NULL ? SHARDIO_OK : SHARDIO_ERR_CORRUPT;
}

/* >>shard ----------------------------------------------------------------------------------------------------- */
#if !SHARDIO_NO_SHARD

/* -- writing */

/* Stack for "chunk 12345 of NAME". */
typedef struct shardio_p_chunk_name {
    char text[200];
} shardio_p_chunk_name;

static const char *shardio_p_name_chunk(shardio_p_chunk_name *name, uint64_t chunk, const char *file)
{
    shardio_text text = {name->text, sizeof name->text, 0};
    size_t n = file != NULL ? shardio_p_length(file) : 0, most = sizeof name->text - 50;
    shardio_text_add(&text, "chunk ");
    shardio_text_add_uint64(&text, chunk);
    shardio_text_add(&text, n > most ? " of ..." : " of ");
    if (n > 0) shardio_text_add(&text, n > most ? file + n - most : file);
    return name->text;
}

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
    if (memory_size < writer->head_size && writer->slot.direct) {   /* the file's blocks are larger than was planned for */
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
    shardio_status status = shardio_p_shard_start(writer, file, layout, memory, memory_size, buffer, buffer_size, options, 0);
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
static shardio_status shardio_p_take_over_index(const shardio_file *file, const shardio_index_layout *layout, uint8_t *memory,
                                                size_t memory_size, uint64_t *size, shardio_error *error)
{
    shardio_file_facts facts;
    if (file->functions == NULL || !shardio_p_layout_fits(layout) || memory == NULL || memory_size < shardio_index_size(layout))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "update", file->name, "a shard needs a number of chunks and memory for its index");
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
    shardio_status status = shardio_p_take_over_index(&file, layout, (uint8_t *)memory, memory_size, &size, &writer->slot.error);
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
    shardio_status status = shardio_shard_begin(writer, file, layout, memory, memory_size, buffer, buffer_size, options);
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
        shardio_p_fail(&writer->slot.error, index_size > 0 ? SHARDIO_ERR_MEMORY : SHARDIO_ERR_ARGUMENT, "begin", file.name,
                       index_size > 0 ? "no memory for index and buffer" : "a shard needs a number of chunks");
        (void)shardio_p_file_close(&file, SHARDIO_CLOSE_DISCARD, false, NULL);
        return writer->slot.error.status;
    }
    if (update) (void)shardio_shard_begin_update(writer, file, old, layout, memory + buffer_size, index_size, memory, buffer_size, &o);
    else (void)shardio_shard_begin(writer, file, layout, memory + buffer_size, index_size, memory, buffer_size, &o);
    writer->allocator = o.allocator;
    writer->own_memory = memory;
    writer->own_size = size;
    writer->own_alignment = alignment;
    shardio_status status = writer->slot.error.status;
    if (status != SHARDIO_OK) shardio_shard_abort(writer);
    return status;
}

static shardio_status shardio_p_shard_open_output(shardio_shard_writer *writer, const char *path, shardio_open_mode mode,
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
    if (writer->sync_every == 0 || shardio_slot_size(&writer->slot) - writer->synced < writer->sync_every) return SHARDIO_OK;
    shardio_status status = shardio_shard_checkpoint(writer);
    if (status == SHARDIO_OK) status = shardio_slot_sync(&writer->slot);
    writer->synced = shardio_slot_size(&writer->slot);
    return status;
}

SHARDIO_API shardio_status shardio_shard_put(shardio_shard_writer *writer, uint64_t chunk, const void *data, size_t size)
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
                                    : shardio_p_slot_fail(&writer->slot, SHARDIO_ERR_ARGUMENT, "put", SHARDIO_NO_OFFSET, 0,
                                                          "no chunk numbers, or more bytes than memory has");
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
    bool durable = slot->durability != SHARDIO_DURABLE_NONE;
    shardio_status status = SHARDIO_OK;
    if (writer->exposed) {
        status = shardio_slot_append(slot, writer->index, writer->index_size);
        if (status == SHARDIO_OK) status = shardio_p_slot_settle(slot, durable);
        slot->restore = shardio_slot_size(slot);   /* should the head be torn, the copy must not be cut off */
    }
    if (status != SHARDIO_OK) return status;
    size_t size = slot->padded ? writer->head_size : writer->index_size;
    return shardio_slot_overwrite(slot, 0, writer->index, (size_t)shardio_p_min(size, shardio_slot_size(slot)));
}

/* Brings the index into the file unless it is there. */
static shardio_status shardio_p_shard_write_index(shardio_shard_writer *writer)
{
    if (writer->indexed) return SHARDIO_OK;
    shardio_index_seal(&writer->layout, writer->index);
    shardio_status status = writer->layout.at_start ? shardio_p_shard_write_head(writer)
                                                    : shardio_slot_append(&writer->slot, writer->index, writer->index_size);
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
    if (writer->layout.at_start && !writer->indexed) writer->exposed = true;   /* recoverable ever after: with the copy */
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
    if (status == SHARDIO_OK) status = shardio_p_shard_write_index(writer);
    if (status == SHARDIO_OK) status = shardio_slot_finish(&writer->slot);
    else shardio_slot_abort(&writer->slot);
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
    if (reader == NULL) return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", file.name, "no reader");
    memset(reader, 0, sizeof *reader);
    reader->file = file;
    if (file.functions == NULL || !shardio_p_layout_fits(layout)) {
        shardio_status wrong = shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", file.name, "a shard needs a number of chunks");
        shardio_shard_close(reader);
        return wrong;
    }
    reader->layout = *layout;
    reader->allocator = allocator;
    reader->index_size = shardio_index_size(layout);
    shardio_status status = shardio_p_file_facts(&file, &reader->facts, error);
    if (status == SHARDIO_OK && reader->facts.size >= reader->index_size) {   /* so the file justifies the memory */
        reader->index = (uint8_t *)shardio_p_allocate(allocator, reader->index_size, 16);
        if (reader->index == NULL) status = shardio_p_fail(error, SHARDIO_ERR_MEMORY, "open", file.name, "no memory for the index");
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
    shardio_p_chunk_name name;
    return shardio_p_fail(error, status, "look up", shardio_p_name_chunk(&name, chunk, reader->file.name), reason);
}

SHARDIO_API shardio_status shardio_shard_read(shardio_shard_reader *reader, uint64_t chunk, void *memory, size_t capacity,
                                              uint64_t *size, shardio_error *error)
{
    uint64_t offset;
    shardio_status status = shardio_shard_locate(reader, chunk, &offset, size, error);
    if (status != SHARDIO_OK || *size == SHARDIO_MISSING || *size == 0) return status;
    if (*size > capacity) {
        shardio_p_chunk_name name;
        return shardio_p_fail(error, SHARDIO_ERR_LIMIT, "read", shardio_p_name_chunk(&name, chunk, reader->file.name),
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

enum { SHARDIO_P_WINDOW = 256 };

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

/* Reads the extents of a window, neighbours together, and hands them on. */
static shardio_status shardio_p_read_extents(shardio_shard_reader *reader, const shardio_p_extent *extents, size_t count,
                                             uint8_t *memory, size_t size, shardio_chunk_taker take, void *context,
                                             shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    for (size_t at = 0, n; at < count && status == SHARDIO_OK; at += n) {
        size_t bytes;
        n = shardio_p_neighbours(extents + at, count - at, size, &bytes);
        if (extents[at].length > size) {
            shardio_p_chunk_name name;
            return shardio_p_fail(error, SHARDIO_ERR_LIMIT, "read",
                                  shardio_p_name_chunk(&name, extents[at].chunk, reader->file.name),
                                  "it is larger than the memory for it");
        }
        if (bytes > 0) {
            reader->reads++;
            status = shardio_file_read(&reader->file, extents[at].offset, memory, bytes, error);
        }
        for (size_t i = 0; i < n && status == SHARDIO_OK; i++)
            status = take(context, extents[at + i].chunk, memory + (extents[at + i].offset - extents[at].offset),
                          (size_t)extents[at + i].length, error);
    }
    return status;
}

SHARDIO_API shardio_status shardio_shard_read_many(shardio_shard_reader *reader, const uint64_t *chunks, size_t count,
                                                   void *memory, size_t size, shardio_chunk_taker take, void *context,
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
            if (e->length == SHARDIO_MISSING) status = take(context, e->chunk, NULL, 0, error);
            else held++;
        }
        if (status != SHARDIO_OK) break;
        shardio_p_sort(window, held);
        status = shardio_p_read_extents(reader, window, held, (uint8_t *)memory, size, take, context, error);
    }
    return status;
}

SHARDIO_API shardio_status shardio_shard_unchanged(const shardio_shard_reader *reader, shardio_error *error)
{
    shardio_file_facts now;
    shardio_p_no_error(error);
    shardio_status status = shardio_p_file_facts(&reader->file, &now, error);
    if (status != SHARDIO_OK) return status;
    if (now.size == reader->facts.size && memcmp(now.identity, reader->facts.identity, sizeof now.identity) == 0) return SHARDIO_OK;
    return shardio_p_fail(error, SHARDIO_ERR_CHANGED, "read", reader->file.name, "it was replaced or written since it was opened");
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
            shardio_p_chunk_name name;
            shardio_error fault;
            shardio_p_fail_at(&fault, SHARDIO_ERR_CORRUPT, "verify", shardio_p_name_chunk(&name, extents[i].chunk, reader->file.name),
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
    (void)shardio_p_file_close(&reader->file, SHARDIO_CLOSE_KEEP, false, NULL);   /* only read: nothing can be lost */
    reader->file.functions = NULL;
}

#endif /* !SHARDIO_NO_SHARD */

#if !SHARDIO_NO_ZARR
#include <stdio.h>
#include <stdlib.h>

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
        size_t n = text[at] == '\\' ? shardio_p_escape(text + at, size - at, &code) : shardio_p_utf8(text + at, size - at);
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
    if (*at < container.size && container.text[*at] == ',') *at = shardio_p_skip_space(container.text, container.size, *at + 1);
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

SHARDIO_API void shardio_text_add_string(shardio_text *text, const char *utf8)
{
    static const char digits[] = "0123456789abcdef", names[] = "\"\\bfnrt", meant[] = "\"\\\b\f\n\r\t";
    shardio_text_add(text, "\"");
    for (; *utf8 != 0; utf8++) {
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

/* >>codec ----------------------------------------------------------------------------------------------------- */

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

/* The codecs of a chunk, in the order of encoding. */
typedef struct shardio_p_chain {
    const shardio_codec *codecs[SHARDIO_MAX_CODECS];
    uint32_t count;
} shardio_p_chain;

/* The most bytes that a chunk of `size` bytes takes at any point of the chain; SIZE_MAX: cannot be said. */
static size_t shardio_p_chain_bound(const shardio_p_chain *chain, size_t size)
{
    size_t largest = size;
    for (uint32_t i = 0; i < chain->count && size != SIZE_MAX; i++) {
        size = chain->codecs[i]->bound(chain->codecs[i]->context, size);
        if (size > largest) largest = size;
    }
    return largest;
}

/* Runs the chain over *data, between the two halves of `scratch`, each of `half` bytes; *data and *size are the result.
   On failure *failed is the codec. */
static shardio_status shardio_p_chain_run(const shardio_p_chain *chain, bool encode, const uint8_t **data, size_t *size,
                                          uint8_t *scratch, size_t half, const shardio_codec **failed)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        const shardio_codec *codec = chain->codecs[encode ? i : chain->count - 1 - i];
        uint8_t *out = scratch + (i % 2) * half;
        size_t out_size = 0;
        shardio_status status = (encode ? codec->encode : codec->decode)(codec->context, *data, *size, out, half, &out_size);
        *failed = codec;
        if (status == SHARDIO_OK && out_size > half) status = SHARDIO_ERR_CORRUPT;
        if (status != SHARDIO_OK) return status;
        *data = out;
        *size = out_size;
    }
    return SHARDIO_OK;
}

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

SHARDIO_API size_t shardio_dtype_size(shardio_dtype dtype)
{
    return shardio_p_type_of(dtype).size;
}

SHARDIO_API const char *shardio_dtype_name(shardio_dtype dtype)
{
    return shardio_p_type_of(dtype).name;
}

static bool shardio_p_same(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) a++, b++;
    return *a == *b;
}

SHARDIO_API shardio_dtype shardio_dtype_from_name(const char *name)
{
    for (unsigned i = 1; i < SHARDIO_DTYPE_COUNT; i++)
        if (name != NULL && shardio_p_same(name, shardio_p_type_of((shardio_dtype)i).name)) return (shardio_dtype)i;
    return SHARDIO_DTYPE_UNSET;
}

static void shardio_p_swap_units(uint8_t *to, const uint8_t *from, size_t bytes, size_t unit)
{
    for (size_t at = 0; at < bytes; at += unit)
        for (size_t i = 0; i < unit; i++) to[at + i] = from[at + unit - 1 - i];
}

/* Copies elements, turning the bytes of each `unit` around if unit > 1. */
static inline void shardio_p_copy_elements(uint8_t *to, const uint8_t *from, size_t bytes, size_t unit)
{
    if (unit <= 1) memcpy(to, from, bytes);
    else shardio_p_swap_units(to, from, bytes, unit);
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

static bool shardio_p_is_signed(shardio_dtype dtype)
{
    return dtype >= SHARDIO_INT8 && dtype <= SHARDIO_INT64;
}

static bool shardio_p_is_float(shardio_dtype dtype)
{
    return dtype >= SHARDIO_FLOAT16;
}

/* An integer element as 64 bits, sign-extended. */
static uint64_t shardio_p_integer(const uint8_t *element, size_t size, bool is_signed)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value = value << 8 | element[shardio_p_machine_is_big() ? i : size - 1 - i];
    if (is_signed && size < 8 && value >> (8 * size - 1) != 0) value |= ~UINT64_C(0) << 8 * size;
    return value;
}

static void shardio_p_add_fill_value(shardio_text *text, shardio_dtype dtype, const uint8_t *element)
{
    shardio_p_type type = shardio_p_type_of(dtype);
    if (dtype == SHARDIO_BOOL) shardio_text_add(text, element[0] != 0 ? "true" : "false");
    else if (dtype == SHARDIO_COMPLEX64 || dtype == SHARDIO_COMPLEX128) {
        shardio_text_add(text, "[");
        shardio_p_add_float(text, element, type.unit);
        shardio_text_add(text, ", ");
        shardio_p_add_float(text, element + type.unit, type.unit);
        shardio_text_add(text, "]");
    } else if (shardio_p_is_float(dtype)) shardio_p_add_float(text, element, type.size);
    else if (shardio_p_is_signed(dtype)) shardio_text_add_int64(text, (int64_t)shardio_p_integer(element, type.size, true));
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
        else if (shardio_p_same(word, "-Infinity")) shardio_p_put_float_bits(element, size, shardio_p_infinity(size) | shardio_p_sign(size));
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
        if (!shardio_json_next(value, &at, NULL, &part) || !shardio_p_float_from_json(part, element, unit)) return false;
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

static bool shardio_p_fill_from_json(shardio_json value, shardio_dtype dtype, uint8_t *element)
{
    shardio_p_type type = shardio_p_type_of(dtype);
    bool truth;
    if (dtype == SHARDIO_BOOL) {
        if (!shardio_json_bool(value, &truth)) return false;
        element[0] = truth;
        return true;
    }
    if (dtype == SHARDIO_COMPLEX64 || dtype == SHARDIO_COMPLEX128) return shardio_p_complex_from_json(value, element, type.unit);
    if (shardio_p_is_float(dtype)) return shardio_p_float_from_json(value, element, type.size);
    return shardio_p_integer_from_json(value, element, type.size, shardio_p_is_signed(dtype));
}

/* -- what an array is, as its zarr.json says */

typedef struct shardio_p_meta {
    uint32_t ndim;
    shardio_dtype dtype;
    size_t element, unit;                      /* bytes; the unit is 1 if the machine's byte order is that of the file */
    uint64_t shape[SHARDIO_MAX_DIMS];
    uint64_t chunk[SHARDIO_MAX_DIMS], shard[SHARDIO_MAX_DIMS];      /* elements */
    uint64_t per_shard[SHARDIO_MAX_DIMS];      /* chunks of a shard along each dimension */
    uint64_t grid[SHARDIO_MAX_DIMS];           /* chunks of the array; of an open first dimension: no end */
    uint64_t shard_grid[SHARDIO_MAX_DIMS];
    size_t chunk_bytes;                        /* decoded */
    bool sharded, big_endian, key_v2;
    char separator;
    shardio_index_layout index;
    uint8_t fill[16], stored_fill[16];         /* in the machine's byte order and in that of the file */
    shardio_p_chain chain;
    shardio_json names, attributes;            /* pieces of the text */
} shardio_p_meta;

static uint64_t shardio_p_divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* Everything that follows from type, shape, chunk and shard. Null: fine; otherwise what is wrong. */
static const char *shardio_p_meta_derive(shardio_p_meta *m, bool open_ended)
{
    uint64_t elements = 1, chunk_bytes, chunks = 1;
    shardio_p_type type = shardio_p_type_of(m->dtype);
    m->element = type.size;
    chunk_bytes = type.size;
    m->unit = m->big_endian == shardio_p_machine_is_big() ? 1 : type.unit;
    shardio_p_copy_elements(m->stored_fill, m->fill, m->element, m->unit);
    for (uint32_t i = 0; i < m->ndim; i++) {
        bool endless = i == 0 && open_ended && m->shape[0] == SHARDIO_UNLIMITED;
        if (m->chunk[i] == 0 || m->shard[i] == 0) return "a chunk or shard extent is 0";
        if (m->shard[i] % m->chunk[i] != 0) return "the shard is not a whole number of chunks";
        if (!shardio_p_multiply(elements, shardio_p_max(1, m->shape[i]), &elements)) return "more than 2^64 elements";
        if (!shardio_p_multiply(chunk_bytes, m->chunk[i], &chunk_bytes)) return "a chunk of more than 2^64 bytes";
        m->per_shard[i] = m->shard[i] / m->chunk[i];
        if (!shardio_p_multiply(chunks, m->per_shard[i], &chunks)) return "a shard of more than 2^64 chunks";
        m->grid[i] = endless ? UINT64_MAX : shardio_p_divide_up(m->shape[i], m->chunk[i]);
        m->shard_grid[i] = endless ? UINT64_MAX : shardio_p_divide_up(m->shape[i], m->shard[i]);
    }
    if (!shardio_p_multiply(elements, type.size, &elements)) return "more than 2^64 bytes";
    if (chunk_bytes > SIZE_MAX / 4 || chunk_bytes > (uint64_t)INT64_MAX / 4) return "a chunk that no memory holds";
    if (m->sharded && (chunks > (uint64_t)INT64_MAX / 64 || chunks > SIZE_MAX / 64)) return "a shard whose index no memory holds";
    m->chunk_bytes = (size_t)chunk_bytes;
    m->index.chunks = m->sharded ? chunks : 1;
    return NULL;
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

/* The codecs of a chunk: bytes, then those of the chain. */
static void shardio_p_add_chunk_codecs(shardio_text *text, const shardio_p_meta *m)
{
    shardio_text_add(text, "[");
    shardio_p_add_bytes_codec(text, m->big_endian);
    for (uint32_t i = 0; i < m->chain.count; i++) {
        const shardio_codec *codec = m->chain.codecs[i];
        shardio_text_add(text, ", {\"name\": ");
        shardio_text_add_string(text, codec->name);
        if (codec->configuration != NULL) {
            shardio_text_add(text, ", \"configuration\": ");
            shardio_text_add(text, codec->configuration);
        }
        shardio_text_add(text, "}");
    }
    shardio_text_add(text, "]");
}

static void shardio_p_add_codecs(shardio_text *text, const shardio_p_meta *m)
{
    if (!m->sharded) {
        shardio_p_add_chunk_codecs(text, m);
        return;
    }
    shardio_text_add(text, "[{\"name\": \"sharding_indexed\", \"configuration\": {\n    \"chunk_shape\": ");
    shardio_p_add_extents(text, m->chunk, m->ndim);
    shardio_text_add(text, ",\n    \"codecs\": ");
    shardio_p_add_chunk_codecs(text, m);
    shardio_text_add(text, ",\n    \"index_codecs\": [");
    shardio_p_add_bytes_codec(text, m->index.big_endian);
    if (!m->index.no_checksum) shardio_text_add(text, ", {\"name\": \"crc32c\"}");
    shardio_text_add(text, "],\n    \"index_location\": ");
    shardio_text_add(text, m->index.at_start ? "\"start\"}}]" : "\"end\"}}]");
}

static void shardio_p_add_array_json(shardio_text *text, const shardio_p_meta *m, const shardio_array_options *options)
{
    shardio_text_add(text, "{\n  \"zarr_format\": 3,\n  \"node_type\": \"array\",\n  \"shape\": ");
    shardio_p_add_extents(text, m->shape, m->ndim);
    shardio_text_add(text, ",\n  \"data_type\": ");
    shardio_text_add_string(text, shardio_dtype_name(m->dtype));
    shardio_text_add(text, ",\n  \"chunk_grid\": {\"name\": \"regular\", \"configuration\": {\"chunk_shape\": ");
    shardio_p_add_extents(text, m->shard, m->ndim);
    shardio_text_add(text, "}},\n  \"chunk_key_encoding\": {\"name\": \"default\", \"configuration\": {\"separator\": \"/\"}},"
                           "\n  \"fill_value\": ");
    shardio_p_add_fill_value(text, m->dtype, m->fill);
    shardio_text_add(text, ",\n  \"codecs\": ");
    shardio_p_add_codecs(text, m);
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
    if (wrong == NULL && !shardio_json_string(shardio_json_member(value, "name"), name, size)) wrong = "it has no usable name";
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

static const char *shardio_p_read_type(shardio_p_meta *m, shardio_json root, shardio_p_trouble *trouble)
{
    char name[64];
    shardio_json value = shardio_json_member(root, "data_type");
    if (shardio_json_kind(value) != '"' && shardio_json_kind(value) != '{') return "missing, or no type";
    if (shardio_json_string(value, name, sizeof name)) m->dtype = shardio_dtype_from_name(name);
    if (m->dtype != SHARDIO_DTYPE_UNSET) return NULL;
    trouble->status = SHARDIO_ERR_UNSUPPORTED;
    return "not a type that this version reads";
}

static const char *shardio_p_read_grid(shardio_p_meta *m, shardio_json root, shardio_p_trouble *trouble)
{
    char name[64];
    shardio_json configuration;
    uint32_t ndim = 0;
    const char *wrong = shardio_p_read_named(shardio_json_member(root, "chunk_grid"), name, sizeof name, &configuration);
    if (wrong != NULL) return wrong;
    if (!shardio_p_same(name, "regular")) {
        trouble->status = SHARDIO_ERR_UNSUPPORTED;
        return "only the regular grid is";
    }
    wrong = shardio_p_read_extents_json(shardio_json_member(configuration, "chunk_shape"), m->shard, &ndim);
    if (wrong != NULL) return wrong;
    memcpy(m->chunk, m->shard, sizeof m->chunk);
    return ndim == m->ndim ? NULL : "another number of dimensions than the shape";
}

static const char *shardio_p_read_key_encoding(shardio_p_meta *m, shardio_json root, shardio_p_trouble *trouble)
{
    char name[64], separator[4];
    shardio_json configuration, value;
    const char *wrong = shardio_p_read_named(shardio_json_member(root, "chunk_key_encoding"), name, sizeof name, &configuration);
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

static const char *shardio_p_read_fill(shardio_p_meta *m, shardio_json root)
{
    shardio_json value = shardio_json_member(root, "fill_value");
    if (shardio_json_kind(value) == 0) return "missing";
    return shardio_p_fill_from_json(value, m->dtype, m->fill) ? NULL : "not a value of the array's type";
}

/* The endian member of a bytes codec; elements of one byte need none. */
static const char *shardio_p_read_endian(shardio_json configuration, size_t unit, bool *big)
{
    shardio_json endian = shardio_json_member(configuration, "endian");
    *big = shardio_json_is(endian, "big");
    if (*big || shardio_json_is(endian, "little") || (shardio_json_kind(endian) == 0 && unit == 1)) return NULL;
    return "the bytes codec does not say little or big";
}

/* Codecs known here: our own and those in the options. */
static const shardio_codec *shardio_p_find_codec(const char *name, const shardio_array_options *options)
{
    for (size_t i = 0; options != NULL && i < SHARDIO_MAX_CODECS && options->codecs[i] != NULL; i++)
        if (shardio_p_same(name, options->codecs[i]->name)) return options->codecs[i];
    return shardio_p_same(name, "crc32c") ? shardio_codec_crc32c() : NULL;
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

/* The codecs of a chunk: bytes, then known bytes-to-bytes codecs. */
static const char *shardio_p_read_chunk_codecs(shardio_p_meta *m, shardio_json list, const shardio_array_options *options,
                                               shardio_p_trouble *trouble)
{
    char name[64];
    shardio_json value, configuration;
    size_t at = 0;
    int i = 0;
    if (shardio_json_kind(list) != '[') return "the list of codecs is missing";
    m->chain.count = 0;
    for (; shardio_json_next(list, &at, NULL, &value); i++) {
        const char *wrong = shardio_p_read_named(value, name, sizeof name, &configuration);
        if (wrong != NULL) return wrong;
        const shardio_codec *codec = shardio_p_find_codec(name, options);
        if (shardio_p_same(name, "bytes") && i == 0) {
            wrong = shardio_p_read_endian(configuration, shardio_p_type_of(m->dtype).unit, &m->big_endian);
            if (wrong != NULL) return wrong;
        } else if (codec == NULL || i == 0) {
            return shardio_p_codec_trouble(trouble, name, SHARDIO_ERR_UNSUPPORTED, "this program does not know it here");
        } else if (m->chain.count == SHARDIO_MAX_CODECS) {
            return "more than 8 codecs";
        } else {
            m->chain.codecs[m->chain.count++] = codec;
        }
    }
    return i > 0 ? NULL : "the list of codecs is empty";
}

/* The codecs of an index keep its size: bytes, and crc32c or nothing (codec specification "sharding_indexed"). */
static const char *shardio_p_read_index_codecs(shardio_p_meta *m, shardio_json list, shardio_p_trouble *trouble)
{
    char name[64];
    shardio_json value, configuration;
    size_t at = 0;
    int i = 0;
    if (shardio_json_kind(list) != '[') return "the list of index_codecs is missing";
    m->index.no_checksum = true;
    for (; shardio_json_next(list, &at, NULL, &value); i++) {
        const char *wrong = shardio_p_read_named(value, name, sizeof name, &configuration);
        if (wrong == NULL && i == 0 && shardio_p_same(name, "bytes")) {
            wrong = shardio_p_read_endian(configuration, 8, &m->index.big_endian);
        } else if (wrong == NULL && i == 1 && shardio_p_same(name, "crc32c")) {
            m->index.no_checksum = false;
        } else if (wrong == NULL) {
            return shardio_p_codec_trouble(trouble, name, SHARDIO_ERR_UNSUPPORTED, "not supported for the index of a shard");
        }
        if (wrong != NULL) return wrong;
    }
    return i > 0 ? NULL : "the list of index_codecs is empty";
}

static const char *shardio_p_read_sharding(shardio_p_meta *m, shardio_json configuration,
                                           const shardio_array_options *options, shardio_p_trouble *trouble)
{
    uint32_t ndim = 0;
    shardio_json location = shardio_json_member(configuration, "index_location");
    const char *wrong = shardio_p_read_extents_json(shardio_json_member(configuration, "chunk_shape"), m->chunk, &ndim);
    if (wrong != NULL) return wrong;
    if (ndim != m->ndim) return "the inner chunk has another number of dimensions than the shape";
    m->sharded = true;
    m->index.at_start = shardio_json_is(location, "start");
    if (!m->index.at_start && shardio_json_kind(location) != 0 && !shardio_json_is(location, "end"))
        return "index_location is neither start nor end";
    wrong = shardio_p_read_index_codecs(m, shardio_json_member(configuration, "index_codecs"), trouble);
    return wrong != NULL ? wrong : shardio_p_read_chunk_codecs(m, shardio_json_member(configuration, "codecs"), options, trouble);
}

static const char *shardio_p_read_codecs(shardio_p_meta *m, shardio_json root, const shardio_array_options *options,
                                         shardio_p_trouble *trouble)
{
    char name[64];
    shardio_json list = shardio_json_member(root, "codecs"), first, second, configuration;
    size_t at = 0;
    if (shardio_json_kind(list) != '[' || !shardio_json_next(list, &at, NULL, &first)) return "missing or empty";
    const char *wrong = shardio_p_read_named(first, name, sizeof name, &configuration);
    if (wrong != NULL) return wrong;
    if (!shardio_p_same(name, "sharding_indexed")) return shardio_p_read_chunk_codecs(m, list, options, trouble);
    wrong = shardio_p_read_sharding(m, configuration, options, trouble);
    if (wrong != NULL || !shardio_json_next(list, &at, NULL, &second)) return wrong;
    wrong = shardio_p_read_named(second, name, sizeof name, &configuration);
    return wrong != NULL ? wrong : shardio_p_codec_trouble(trouble, name, SHARDIO_ERR_UNSUPPORTED, "not supported outside of shards");
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
        if (shardio_json_kind(value) != '"' && shardio_json_kind(value) != 'n') return "a name that is neither text nor null";
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
    static const char *const known[] = {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding",
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
        if (!other) return shardio_p_meta_fail(error, SHARDIO_ERR_CORRUPT, file, "node_type", "neither array nor group");
        return shardio_p_meta_fail(error, SHARDIO_ERR_UNSUPPORTED, file, "node_type",
                                   type[0] == 'a' ? "a group, not an array" : "an array, not a group");
    }
    while (shardio_json_next(root, &at, &name, &value)) {
        char unknown[64];
        if (shardio_p_may_ignore(name, value)) continue;
        if (!shardio_json_string(name, unknown, sizeof unknown)) memcpy(unknown, "a member", 9);
        return shardio_p_meta_fail(error, SHARDIO_ERR_UNSUPPORTED, file, unknown, "an extension that has to be understood");
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
        return shardio_p_meta_fail(error, trouble.status, file, trouble.member[0] != 0 ? trouble.member : member, wrong);
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
    size_t block, buffer, rows, index, names, key, text, strings, half;   /* bytes */
} shardio_p_plan;

/* The shard readers that are kept open. */
typedef struct shardio_p_kept {
    shardio_shard_reader reader;
    uint64_t shard;          /* number in the grid of shards */
    uint64_t used;           /* when, for throwing out the one that was not used longest; 0: empty */
} shardio_p_kept;

typedef enum shardio_p_mode { SHARDIO_P_BROKEN, SHARDIO_P_WRITING, SHARDIO_P_READING } shardio_p_mode;

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
    uint8_t *rows, *staging, *scratch, *small_names;
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
    /* reading */
    shardio_p_kept *kept;
    uint64_t clock;
    uint8_t *buffer, *decoded;
    size_t buffer_size, decoded_size, read_memory;
};

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
        if (n == 0 || (n == 1 && component[0] == '.') || (n == 2 && component[0] == '.' && component[1] == '.')) return false;
        if (*key == 0) return true;
        component = key + 1;
    }
}

/* -- from options to metadata */

static shardio_status shardio_p_option(shardio_error *error, shardio_status status, const char *option, const char *reason)
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

static shardio_status shardio_p_take_codecs(shardio_p_meta *m, const shardio_array_options *o, shardio_error *error)
{
    shardio_status status = SHARDIO_OK;
    for (uint32_t i = 0; i < SHARDIO_MAX_CODECS && o->codecs[i] != NULL && status == SHARDIO_OK; i++) {
        const shardio_codec *codec = o->codecs[i];
        if (codec->name == NULL || codec->bound == NULL || codec->encode == NULL || codec->decode == NULL)
            return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option codecs", "a codec lacks its name or a function");
        status = shardio_p_check_object(codec->configuration, "option codecs, a configuration", error);
        m->chain.codecs[m->chain.count++] = codec;
    }
    return status;
}

static shardio_status shardio_p_meta_from_options(shardio_p_meta *m, const shardio_array_options *o, shardio_error *error)
{
    memset(m, 0, sizeof *m);
    if (o == NULL) return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "options", "there are none");
    if (o->ndim < 1 || o->ndim > SHARDIO_MAX_DIMS)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option ndim", "an array has 1 to 32 dimensions");
    m->ndim = o->ndim;
    m->dtype = o->dtype;
    if (shardio_dtype_size(o->dtype) == 0)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option dtype", "not set, or no such type");
    for (uint32_t i = 0; i < m->ndim; i++) {
        m->shape[i] = o->shape[i];
        m->chunk[i] = o->chunk[i];
        m->shard[i] = o->shard[i];
        m->sharded = m->sharded || o->shard[i] != 0;
        if (i > 0 && o->shape[i] == 0)
            return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option shape", "only the first extent may be unlimited");
    }
    if (!m->sharded) memcpy(m->shard, m->chunk, sizeof m->shard);
    m->separator = '/';
    m->big_endian = o->big_endian;
    m->index.at_start = o->index_at_start;
    m->index.big_endian = o->index_big_endian;
    m->index.no_checksum = o->index_no_checksum;
    if (o->fill_value != NULL) memcpy(m->fill, o->fill_value, shardio_dtype_size(o->dtype));
    if (m->dtype == SHARDIO_BOOL) m->fill[0] = m->fill[0] != 0;
    shardio_status status = shardio_p_take_codecs(m, o, error);
    if (status == SHARDIO_OK) status = shardio_p_check_object(o->attributes, "option attributes", error);
    if (status != SHARDIO_OK) return status;
    const char *wrong = shardio_p_meta_derive(m, true);
    return wrong == NULL ? SHARDIO_OK : shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "options shape, chunk and shard", wrong);
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
    return size > prefix + 16 ? size : prefix + 16;   /* "zarr.json" is a key as well */
}

static shardio_status shardio_p_make_plan(shardio_p_plan *plan, const shardio_p_meta *m, const shardio_array_options *o,
                                          shardio_error *error)
{
    uint64_t budget = o->memory != 0 ? o->memory : (uint64_t)8 << 20, rows, shards;
    plan->block = o->block_size != 0 ? o->block_size : (size_t)SHARDIO_P_DEFAULT_BLOCK;
    if ((plan->block & (plan->block - 1)) != 0 || plan->block < 512 || plan->block > 1 << 20)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option block_size", "not a power of two from 512 to 1 MiB");
    if (o->buffer_size > SIZE_MAX / 4)
        return shardio_p_option(error, SHARDIO_ERR_ARGUMENT, "option buffer_size", "larger than memory can be");
    plan->buffer = o->buffer_size != 0 ? o->buffer_size : (size_t)SHARDIO_P_DEFAULT_BUFFER;
    plan->buffer = (size_t)shardio_p_ceil(plan->buffer, plan->block);
    plan->flight_dim = shardio_p_first_above_one(m->shard, m->ndim);
    shardio_p_plan_batch(plan, m, budget);
    plan->flights = m->sharded ? shardio_p_product(m->shard_grid, plan->flight_dim + 1, m->ndim) : 1;
    plan->gap = 0;
    if (m->chain.count == 0 && !o->skip_fill && shardio_p_largest_run(plan, m) >= SHARDIO_P_DEFAULT_DIRECT_MIN)
        plan->gap = 2 * plan->block;
    shards = m->sharded ? shardio_p_product(m->shard_grid, plan->batch_dim + 1, m->ndim) : plan->chunks;
    rows = shardio_p_bounded_multiply(plan->chunks, m->chunk_bytes);
    if (!shardio_p_add(rows, shardio_p_bounded_multiply(shards, plan->gap), &rows) || rows > SIZE_MAX / 4)
        return shardio_p_option(error, SHARDIO_ERR_LIMIT, "options shape and chunk", "no memory holds a row of these chunks");
    plan->rows = (size_t)rows;
    plan->index = m->sharded ? (size_t)shardio_p_ceil(shardio_shard_memory(&m->index, plan->block), 16) : 0;
    if (shardio_p_bounded_multiply(plan->flights, sizeof(shardio_p_flight) + plan->block + plan->index + plan->names) > SIZE_MAX / 4)
        return shardio_p_option(error, SHARDIO_ERR_LIMIT, "options shape and shard", "no memory holds what so many shards in flight need");
    plan->half = m->chain.count > 0 ? shardio_p_chain_bound(&m->chain, m->chunk_bytes) : 0;
    if (plan->half > SIZE_MAX / 8)
        return shardio_p_option(error, SHARDIO_ERR_UNSUPPORTED, "option codecs", "a codec cannot bound the size of its output");
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

/* The parts of a writer's memory, in one place so that the sum and the pieces cannot differ. `array` is null to add
   up only. */
static shardio_memory_plan shardio_p_carve_writer(const shardio_p_plan *plan, bool sharded, size_t path, uint8_t *memory,
                                                  shardio_array *array)
{
    shardio_memory_plan sum;
    shardio_p_carver c = {memory, 0};
    size_t flights = (size_t)plan->flights, before;
    (void)shardio_p_carve(&c, sizeof(shardio_array), 64);
    uint8_t *store_path = shardio_p_carve(&c, path + 1, 1), *prefix = shardio_p_carve(&c, path + 2, 1);
    uint8_t *key = shardio_p_carve(&c, plan->key, 1), *text = shardio_p_carve(&c, plan->text, 1);
    uint8_t *strings = shardio_p_carve(&c, plan->strings, 1), *small = shardio_p_carve(&c, plan->names, 16);
    uint8_t *scratch = shardio_p_carve(&c, 2 * plan->half, 16);
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
    array->scratch = scratch;
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
static void shardio_p_plan_names(shardio_p_plan *plan, const shardio_p_meta *m, size_t prefix, size_t file_memory, size_t text)
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
    shardio_status status = shardio_p_meta_from_options(&m, options, error);
    if (status != SHARDIO_OK) return status;
    path_length += 2;   /* two separators */
    size_t longest = shardio_p_longest_key(&m, path_length);
    shardio_p_plan_names(&p, &m, path_length, shardio_p_system_file_memory(longest), shardio_p_json_size(&m, options));
    status = shardio_p_make_plan(&p, &m, options, error);
    if (status == SHARDIO_OK) *plan = shardio_p_carve_writer(&p, m.sharded, path_length, NULL, NULL);
    return status;
}

/* -- suggesting extents */

static uint64_t shardio_p_chunk_size(const shardio_array_options *o)
{
    return shardio_p_bounded_multiply(shardio_p_product(o->chunk, 0, o->ndim), shardio_dtype_size(o->dtype));
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
    if (o->ndim == 1) o->chunk[0] = wanted / shardio_dtype_size(o->dtype);
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
        bytes = shardio_p_bounded_multiply(shardio_p_product(o->shard, 0, o->ndim), shardio_dtype_size(o->dtype));
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
    shardio_status status = shardio_p_meta_from_options(&m, &trial, error);
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

/* Frees the handle, its copied error included. */
static void shardio_p_array_free(shardio_array *array)
{
    if (array == NULL || array == shardio_p_no_array()) return;
    shardio_allocator allocator = array->own_allocator;
    const shardio_allocator *from = array->allocator != NULL ? &allocator : NULL;
    shardio_p_release(from, array->buffer, array->buffer_size, SHARDIO_P_DEFAULT_BLOCK);
    shardio_p_release(from, array->decoded, array->decoded_size, SHARDIO_P_DEFAULT_BLOCK);
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

/* Copies attributes and names out of the text, each ended with a zero byte. */
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
}

/* Copies where the array is. */
static void shardio_p_keep_path(shardio_array *array, const shardio_store *store, const char *path)
{
    shardio_text prefix = {array->prefix, path != NULL ? shardio_p_length(path) + 2 : 1, 0};
    array->store = *store;
    if (store->name != NULL) memcpy(array->store_path, store->name, shardio_p_length(store->name) + 1);
    else array->store_path[0] = 0;
    if (store->context == (const void *)store->name) array->store.context = array->store_path;   /* a directory's path */
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
    uint8_t *memory = sum.total <= SIZE_MAX / 2 ? (uint8_t *)shardio_p_allocate(draft->allocator, (size_t)sum.total, alignment) : NULL;
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
    if (array == NULL) shardio_p_fail(error, SHARDIO_ERR_MEMORY, "create", "the array", "no memory for its rows of chunks; see shardio_array_memory");
    return array;
}

/* -- small keys: zarr.json */

/* For a file that is open for a moment only. */
static const shardio_allocator *shardio_p_small_memory(shardio_array *array)
{
    array->small_allocator = shardio_arena_begin(&array->small_arena, array->small_names, array->plan.names);
    return &array->small_allocator;
}

/* Writes a small key in pieces: whole, or not at all. */
static shardio_status shardio_p_write_key(shardio_array *array, const char *key, const shardio_json *pieces, size_t count)
{
    shardio_slot_options o;
    shardio_slot slot;
    shardio_file file;
    uint8_t buffer[512];
    int code = 0;
    memset(&o, 0, sizeof o);
    o.direct = SHARDIO_DIRECT_OFF;
    o.durability = array->durability;
    shardio_status status = array->store.functions->create(array->store.context, key, array->published,
                                                           shardio_p_small_memory(array), &file, &code);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "create", key, code, NULL);
    status = shardio_slot_begin(&slot, file, buffer, sizeof buffer, &o);
    for (size_t i = 0; i < count && status == SHARDIO_OK; i++) status = shardio_slot_append(&slot, pieces[i].text, pieces[i].size);
    status = shardio_slot_finish(&slot);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_array_inherit(array, &slot.error);
}

/* zarr.json with the first extent of the moment. */
static shardio_status shardio_p_write_metadata(shardio_array *array, uint64_t frames)
{
    char extent[24];
    shardio_text number = {extent, sizeof extent, 0};
    shardio_json root, list, first, pieces[3];
    size_t at = 0;
    (void)shardio_json_parse(array->text, array->text_size, &root, NULL);   /* checked before */
    list = shardio_json_member(root, "shape");
    (void)shardio_json_next(list, &at, NULL, &first);
    shardio_text_add_uint64(&number, frames);
    pieces[0].text = array->text;
    pieces[0].size = (size_t)(first.text - array->text);
    pieces[1].text = extent;
    pieces[1].size = number.size;
    pieces[2].text = first.text + first.size;
    pieces[2].size = array->text_size - pieces[0].size - first.size;
    return shardio_p_write_key(array, shardio_p_named_key(array, "zarr.json"), pieces, 3);
}

enum { SHARDIO_P_MOST_METADATA = 16 << 20 };   /* bytes of a zarr.json */

/* Reads a small key whole into memory from the array's allocator; *size is what was taken, for the release. */
static shardio_status shardio_p_read_key(shardio_array *array, const char *key, char **text, size_t *size,
                                         shardio_error *error)
{
    const uint64_t most = SHARDIO_P_MOST_METADATA;
    shardio_file_facts facts;
    shardio_file file;
    int code = 0;
    const shardio_allocator *names = array->mode == SHARDIO_P_WRITING ? shardio_p_small_memory(array) : array->allocator;
    *text = NULL;
    *size = 0;
    shardio_status status = array->store.functions->open(array->store.context, key, false, names, &file, &code);
    if (status != SHARDIO_OK) return shardio_p_key_fail(error, &array->store, status, "open", key, code, NULL);
    status = shardio_p_file_facts(&file, &facts, error);
    if (status == SHARDIO_OK && facts.size > most)
        status = shardio_p_key_fail(error, &array->store, SHARDIO_ERR_LIMIT, "read", key, 0, "more than 16 MiB of metadata");
    *size = (size_t)facts.size + 1;
    if (status == SHARDIO_OK) *text = (char *)shardio_p_allocate(array->allocator, *size, 16);
    if (status == SHARDIO_OK && *text == NULL)
        status = shardio_p_key_fail(error, &array->store, SHARDIO_ERR_MEMORY, "read", key, 0, NULL);
    if (status == SHARDIO_OK) status = shardio_file_read(&file, 0, *text, *size - 1, error);
    if (status != SHARDIO_OK) {
        shardio_p_release(array->allocator, *text, *size, 16);
        *text = NULL;
    }
    (void)shardio_p_file_close(&file, SHARDIO_CLOSE_KEEP, false, NULL);
    return status;
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
static shardio_status shardio_p_each_parent(shardio_array *array, shardio_status (*each)(shardio_array *, const char *key))
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
    shardio_status status = array->store.functions->open(array->store.context, key, false, shardio_p_small_memory(array), &file, &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return shardio_p_write_key(array, key, &piece, 1);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "open", key, code, NULL);
    (void)shardio_p_file_close(&file, SHARDIO_CLOSE_KEEP, false, NULL);
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

/* Copies elements, or with `from` null the fill value, into a chunk. */
static inline void shardio_p_put_elements(const shardio_p_meta *m, uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (from != NULL) shardio_p_copy_elements(to, from, bytes, m->unit);
    else shardio_p_fill(to, bytes, m->stored_fill, m->element);
}

/* A line: the elements that follow each other along line_dim, all of what lies behind it included. `number` counts the
   lines of the batch. index[] gets the first chunk of the line, *within the byte offset of the line inside a chunk. */
static void shardio_p_locate_line(const shardio_array *array, uint64_t number, uint64_t tail, uint64_t *index, uint64_t *within)
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
static void shardio_p_gather_line(shardio_array *array, uint64_t *index, uint64_t within, uint64_t tail, uint64_t column,
                                  const uint8_t *from, uint64_t count)
{
    const shardio_p_meta *m = &array->meta;
    uint32_t k = array->plan.line_dim;
    uint64_t piece = m->chunk[k] * tail, first = index[k];
    while (count > 0) {
        index[k] = first + column / piece;
        uint64_t shard_end = (index[k] / m->per_shard[k] + 1) * m->per_shard[k];   /* the shard's last chunk is before */
        uint8_t *to = array->rows + shardio_p_place_of_chunk(array, index);
        for (uint64_t chunk = index[k]; chunk < shard_end && count > 0; chunk++, to += m->chunk_bytes) {
            uint64_t skip = column % piece, n = shardio_p_min(piece - skip, count);
            shardio_p_put_elements(m, to + (within + skip) * m->element, from, (size_t)(n * m->element));
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
    shardio_status status = array->store.functions->open(array->store.context, key, true, &flight->allocator, &file, &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return status;
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "open for writing", key, code, NULL);
    status = shardio_shard_begin_update(&flight->shard, file, NULL, &array->meta.index, flight->index, p->index,
                                        array->staging, p->buffer, o);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_flight_failed(array, flight);
}

static shardio_status shardio_p_create_flight(shardio_array *array, shardio_p_flight *flight, const char *key,
                                              const shardio_slot_options *o)
{
    const shardio_p_plan *p = &array->plan;
    shardio_file file;
    int code = 0;
    shardio_status status = array->store.functions->create(array->store.context, key, array->published, &flight->allocator, &file, &code);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "create", key, code, NULL);
    status = shardio_shard_begin(&flight->shard, file, &array->meta.index, flight->index, p->index, array->staging, p->buffer, o);
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
                                            shardio_status (*act)(shardio_array *, shardio_p_flight *, const uint64_t *))
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

static shardio_status shardio_p_checkpoint_flight(shardio_array *array, shardio_p_flight *flight, const uint64_t *position)
{
    if (position[0] * array->meta.shard[0] >= array->total / array->frame) return SHARDIO_OK;   /* only a begun frame */
    shardio_status status = shardio_p_enter_flight(array, flight, position);
    if (status != SHARDIO_OK) return status;
    if (shardio_shard_checkpoint(&flight->shard) != SHARDIO_OK) return shardio_p_flight_failed(array, flight);
    return shardio_p_leave_flight(array, flight);
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
    uint64_t number = 0;
    for (uint32_t i = 0; i < m->ndim; i++) number = number * m->per_shard[i] + index[i] % m->per_shard[i];
    return number;
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
                                              const shardio_codec *codec)
{
    shardio_text text = {array->key, array->plan.key, 0};
    shardio_text_add(&text, "chunk ");
    for (uint32_t i = 0; i < array->meta.ndim; i++) {
        shardio_text_add(&text, i > 0 ? "," : "");
        shardio_text_add_uint64(&text, index[i]);
    }
    return shardio_p_array_fail(array, status, codec->name, array->key, 0, "the codec failed");
}

/* The bytes that are stored for a chunk. */
static shardio_status shardio_p_encode_chunk(shardio_array *array, const uint64_t *index, const uint8_t **data, size_t *size)
{
    const shardio_codec *failed = NULL;
    *size = array->meta.chunk_bytes;
    shardio_status status = shardio_p_chain_run(&array->meta.chain, true, data, size, array->scratch, array->plan.half, &failed);
    return status == SHARDIO_OK ? SHARDIO_OK : shardio_p_encode_failed(array, index, status, failed);
}

static bool shardio_p_leave_out(const shardio_array *array, const uint8_t *chunk)
{
    const shardio_p_meta *m = &array->meta;
    return array->skip_fill && shardio_p_is_fill(chunk, m->chunk_bytes, m->stored_fill, m->element);
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
        if (shardio_p_leave_out(array, chunk)) {
            if (shardio_shard_drop(&flight->shard, number) != SHARDIO_OK) return shardio_p_flight_failed(array, flight);
        } else {
            status = shardio_p_encode_chunk(array, index, &data, &size);
            if (status != SHARDIO_OK) return status;
            if (shardio_shard_put(&flight->shard, number, data, size) != SHARDIO_OK) return shardio_p_flight_failed(array, flight);
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
        shardio_p_shard_place(&flight->shard, shardio_p_chunk_number(&array->meta, index), offset, array->meta.chunk_bytes);
        offset += array->meta.chunk_bytes;
    } while (shardio_p_next_in_box(index, box->first, box->count, array->meta.ndim));
    return SHARDIO_OK;
}

/* Whether the whole box is fill values and its shard was not begun: then nothing needs to be done, not even a file. */
static bool shardio_p_nothing_to_put(const shardio_array *array, const shardio_p_flight *flight, const shardio_p_box *box,
                                     const uint8_t *chunks)
{
    const shardio_p_meta *m = &array->meta;
    uint64_t bytes = shardio_p_product(box->count, 0, m->ndim) * m->chunk_bytes;
    return array->skip_fill && !flight->begun && shardio_p_is_fill(chunks, (size_t)bytes, m->stored_fill, m->element);
}

/* Whether an earlier writer left this shard, or chunk file. */
static bool shardio_p_is_there(shardio_array *array, const uint64_t *position)
{
    shardio_file file;
    int code = 0;
    const char *key = shardio_p_chunk_key(array, position);
    if (array->store.functions->open(array->store.context, key, false, shardio_p_small_memory(array), &file, &code) != SHARDIO_OK)
        return false;
    (void)shardio_p_file_close(&file, SHARDIO_CLOSE_KEEP, false, NULL);
    return true;
}

static shardio_status shardio_p_put_box(shardio_array *array, const shardio_p_box *box)
{
    shardio_p_flight *flight = shardio_p_flight_of(array, box->first);
    const uint8_t *chunks = array->rows + shardio_p_place_of_chunk(array, box->first);
    if (shardio_p_nothing_to_put(array, flight, box, chunks) && !(array->resuming && shardio_p_is_there(array, box->shard)))
        return SHARDIO_OK;
    shardio_status status = shardio_p_enter_flight(array, flight, box->shard);
    if (status != SHARDIO_OK) return status;
    bool plain = array->meta.chain.count == 0 && !array->skip_fill;
    status = plain ? shardio_p_put_plain(array, flight, box, chunks) : shardio_p_put_encoded(array, flight, box, chunks);
    return status == SHARDIO_OK ? shardio_p_leave_flight(array, flight) : status;
}

/* Without shards a chunk is a file: written at once, whole. */
static shardio_status shardio_p_write_chunk_file(shardio_array *array, const shardio_p_box *box)
{
    const uint8_t *data = array->rows + shardio_p_place_of_chunk(array, box->first);
    size_t size;
    int code = 0;
    shardio_slot slot;
    shardio_file file;
    shardio_slot_options o = shardio_p_flight_options(array);
    const char *key = shardio_p_chunk_key(array, box->first);
    if (shardio_p_leave_out(array, data)) {
        shardio_status removed = array->store.functions->remove(array->store.context, key, &code);   /* of an earlier checkpoint */
        if (removed == SHARDIO_OK || removed == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
        return shardio_p_array_fail(array, removed, "remove", key, code, NULL);
    }
    shardio_status status = shardio_p_encode_chunk(array, box->first, &data, &size);
    if (status != SHARDIO_OK) return status;
    key = shardio_p_chunk_key(array, box->first);
    status = array->store.functions->create(array->store.context, key, array->published || array->checkpointed,
                                            shardio_p_small_memory(array), &file, &code);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "create", key, code, NULL);
    status = shardio_slot_begin(&slot, file, array->staging, array->plan.buffer, &o);
    if (status == SHARDIO_OK) status = shardio_slot_append(&slot, data, size);
    status = shardio_slot_finish(&slot);
    if (status == SHARDIO_OK) {
        shardio_p_add_accounting(&array->accounting, &slot.accounting);
        return SHARDIO_OK;
    }
    if (!array->published && slot.error.status != SHARDIO_ERR_EXISTS)   /* its directories may be empty */
        (void)array->store.functions->remove(array->store.context, key, &code);
    return shardio_p_array_inherit(array, &slot.error);
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
    array->steps = shardio_p_min(array->plan.steps, shardio_p_min(m->per_shard[b] - at % m->per_shard[b], m->grid[b] - at));
    array->extent = array->steps * m->chunk[b];
    if (m->grid[b] != UINT64_MAX) array->extent = shardio_p_min(array->extent, m->shape[b] - at * m->chunk[b]);
    array->elements = array->extent * shardio_p_product(m->shape, b + 1, m->ndim);
    array->filled = array->flushed = array->saved = 0;
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

static shardio_status shardio_p_append(shardio_array *array, const uint8_t *from, uint64_t count)
{
    while (count > 0) {
        uint64_t n = shardio_p_min(count, array->elements - array->filled);
        shardio_p_gather(array, array->filled, from, n);
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
    return shardio_p_max(1, shardio_p_divide_up(array->checkpoint_every - array->since_checkpoint, array->meta.element));
}

SHARDIO_API shardio_status shardio_array_append(shardio_array *array, const void *elements, uint64_t count)
{
    shardio_status status = shardio_p_writer_enter(array);
    if (status != SHARDIO_OK || count == 0) return status;
    if (count > array->limit - array->total)
        return shardio_p_array_fail(array, SHARDIO_ERR_ARGUMENT, "append", array->prefix, 0, "more elements than the shape has");
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
    shardio_status status = SHARDIO_OK;
    if (!array->groups_written) status = shardio_p_each_parent(array, shardio_p_write_parent);
    if (array->published) array->published_total = frames * array->frame;   /* should it fail after it has appeared */
    if (status == SHARDIO_OK) status = shardio_p_write_metadata(array, frames);
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
    return status;
}

static shardio_status shardio_p_finish(shardio_array *array)
{
    uint64_t begun = array->total % array->frame;
    shardio_status status = begun > 0 ? shardio_p_append(array, NULL, array->frame - begun) : SHARDIO_OK;
    if (status == SHARDIO_OK) status = shardio_p_flush_begun(array);
    if (status == SHARDIO_OK) status = shardio_p_each_flight(array, shardio_p_finish_flight);
    return status == SHARDIO_OK ? shardio_p_publish(array, array->total / array->frame) : status;
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

/* Whether a key below an array's prefix is that of some chunk: digits and separators, perhaps behind a "c". Nothing
   else is ever removed. */
static bool shardio_p_looks_like_chunk(const char *key)
{
    if (*key == 'c') key++;
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
    (void)s->functions->remove(s->context, shardio_p_named_key(array, "zarr.json"), &code);   /* prunes its directories */
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
        if (!contested && (array->total != array->published_total || !array->published)) shardio_p_remove_leftovers(array);
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
    shardio_status status = shardio_p_read_key(array, shardio_p_named_key(array, "zarr.json"), &text, &size, &array->error);
    if (status == SHARDIO_ERR_NOT_FOUND) {
        shardio_p_no_error(&array->error);
        (void)s->functions->list(s->context, array->prefix, shardio_p_find_foreign, &foreign, &code);
        if (!foreign.found) return SHARDIO_OK;
        return shardio_p_array_fail(array, SHARDIO_ERR_EXISTS, "overwrite", array->prefix, 0, "what is there is no array");
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
    status = s->functions->create(s->context, key, true, shardio_p_small_memory(array), &file, &code);
    if (status == SHARDIO_ERR_NOT_FOUND)
        return shardio_p_array_fail(array, SHARDIO_ERR_EXISTS, "create", array->prefix, code, "what is there is no directory");
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

SHARDIO_API shardio_array *shardio_array_create_in(const shardio_store *store, const shardio_array_options *options)
{
    shardio_array draft, *array;
    shardio_error error;
    const shardio_allocator *allocator = options != NULL ? options->allocator : NULL;
    memset(&draft, 0, sizeof draft);
    shardio_p_no_error(&draft.error);
    shardio_p_no_error(&error);
    shardio_p_set_allocator(&draft, allocator);
    shardio_status status = shardio_p_meta_from_options(&draft.meta, options, &error);
    if (status == SHARDIO_OK && options->path != NULL && options->path[0] != 0 && !shardio_p_key_is_plain(options->path))
        status = shardio_p_option(&error, SHARDIO_ERR_ARGUMENT, "option path", "not of plain names with / between");
    if (status == SHARDIO_OK && (store == NULL || store->functions == NULL))
        status = shardio_p_option(&error, SHARDIO_ERR_ARGUMENT, "the store", "there is none");
    if (status != SHARDIO_OK) return shardio_p_broken_array(&error, allocator);
    size_t size = shardio_p_json_size(&draft.meta, options);
    if (size > SHARDIO_P_MOST_METADATA - 32) shardio_p_option(&error, SHARDIO_ERR_LIMIT, "option attributes", "more than 16 MiB of metadata");
    array = error.status == SHARDIO_OK ? shardio_p_plan_and_place(&draft, store, options, size, &error) : NULL;
    if (array == NULL) return shardio_p_broken_array(&error, allocator);
    shardio_text text = {array->text, array->plan.text, 0};
    shardio_p_add_array_json(&text, &array->meta, options);
    array->text_size = text.size;
    /* read back what was written: names and attributes become pieces of our own text, and the options are not needed */
    shardio_p_meta check;
    status = shardio_p_meta_parse(&check, array->text, array->text_size, options, "zarr.json", &array->error);
    if (status != SHARDIO_OK) {   /* a name that is no UTF-8, say */
        array->error.status = SHARDIO_ERR_ARGUMENT;
        return array;
    }
    array->meta.names = check.names;
    array->meta.attributes = check.attributes;
    shardio_p_keep_strings(array);
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
            return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "open", "option path", "not of plain names with / between");
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

/* The text and everything that points into it move into the array's own memory. */
static void shardio_p_adopt_text(shardio_array *array, const char *text, size_t size)
{
    shardio_json *pieces[2] = {&array->meta.names, &array->meta.attributes};
    memcpy(array->text, text, size);
    array->text_size = size;
    for (int i = 0; i < 2; i++)
        if (pieces[i]->text != NULL) pieces[i]->text = array->text + (pieces[i]->text - text);
    shardio_p_keep_strings(array);
}

/* Memory of a reader: handle, names, text and the table of kept shards. */
static size_t shardio_p_carve_reader(const shardio_p_plan *plan, size_t path, uint32_t kept, uint8_t *memory, shardio_array *array)
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

static shardio_array *shardio_p_place_reader(shardio_array *draft, const shardio_store *store, const shardio_array_options *o,
                                             size_t text_size)
{
    size_t length = shardio_p_path_length(store, o->path);
    draft->max_open = o->max_open_files != 0 ? (uint32_t)shardio_p_min(o->max_open_files, SHARDIO_P_MOST_KEPT) : 64;
    draft->read_memory = o->memory != 0 ? o->memory : (size_t)16 << 20;
    shardio_p_plan_names(&draft->plan, &draft->meta, length, 0, text_size);
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
static shardio_status shardio_p_begin_draft(shardio_array *draft, const shardio_store *store, const shardio_array_options *o,
                                            char **text, size_t *size, shardio_error *error)
{
    memset(draft, 0, sizeof *draft);
    shardio_p_no_error(&draft->error);
    shardio_p_no_error(error);
    shardio_p_set_allocator(draft, o->allocator);
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
    return array != NULL ? array : shardio_p_broken_array(error, o.allocator);
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
    memcpy(facts->shape, m->shape, sizeof facts->shape);
    memcpy(facts->chunk, m->chunk, sizeof facts->chunk);
    memcpy(facts->shard, m->shard, sizeof facts->shard);
    if (array->mode == SHARDIO_P_WRITING && array->frame > 0) {
        facts->shape[0] = array->total / array->frame;
        facts->begun_frame = array->total % array->frame != 0;
    }
    facts->sharded = m->sharded;
    facts->big_endian = m->big_endian;
    facts->index = m->index;
    facts->fill_value = m->fill;
    memcpy(facts->dimension_names, array->names, sizeof facts->dimension_names);
    facts->has_dimension_names = m->names.text != NULL;
    facts->attributes = array->attributes;
    facts->codecs = m->chain.count;
    for (uint32_t i = 0; i < m->chain.count; i++) facts->codec_names[i] = m->chain.codecs[i]->name;
    facts->key_prefix = array->prefix;
    facts->memory = array->memory_size + array->buffer_size + array->decoded_size;
    return SHARDIO_OK;
}

/* -- reading chunks */

/* At least `size` bytes at *memory, kept for the next time. */
static shardio_status shardio_p_need(shardio_array *array, uint8_t **memory, size_t *have, size_t size, shardio_error *error)
{
    if (*have >= size) return SHARDIO_OK;
    shardio_p_release(array->allocator, *memory, *have, SHARDIO_P_DEFAULT_BLOCK);
    *have = 0;
    *memory = (uint8_t *)shardio_p_allocate(array->allocator, size, SHARDIO_P_DEFAULT_BLOCK);
    if (*memory == NULL) return shardio_p_fail(error, SHARDIO_ERR_MEMORY, "read", array->store.name, "no memory for a chunk");
    *have = size;
    return SHARDIO_OK;
}

/* Names a chunk by its place in the grid. */
static shardio_status shardio_p_chunk_fail(shardio_array *array, shardio_error *error, shardio_status status,
                                           const uint64_t *index, const char *reason)
{
    char subject[224];
    shardio_text text = {subject, sizeof subject, 0};
    shardio_text_add(&text, "chunk ");
    for (uint32_t i = 0; i < array->meta.ndim; i++) {
        shardio_text_add(&text, i > 0 ? "," : "");
        shardio_text_add_uint64(&text, index[i]);
    }
    shardio_text_add(&text, " of ");
    shardio_text_add(&text, array->prefix);
    shardio_text_add(&text, array->store.name);
    return shardio_p_fail(error, status, "read", subject, reason);
}

/* Whether a stored chunk can be of this length, known before anything is allocated or read for it. */
static shardio_status shardio_p_check_stored(shardio_array *array, const uint64_t *index, uint64_t size, shardio_error *error)
{
    const shardio_p_meta *m = &array->meta;
    size_t bound = shardio_p_chain_bound(&m->chain, m->chunk_bytes);
    bool exact = true;   /* crc32c alone always adds as much */
    for (uint32_t i = 0; i < m->chain.count; i++) exact = exact && m->chain.codecs[i] == shardio_codec_crc32c();
    if (size > bound) return shardio_p_chunk_fail(array, error, SHARDIO_ERR_CORRUPT, index, "longer than a chunk can be");
    if (exact && size < bound) return shardio_p_chunk_fail(array, error, SHARDIO_ERR_CORRUPT, index, "shorter than a chunk has to be");
    return SHARDIO_OK;
}

/* Decodes a chunk: *data becomes chunk_bytes bytes in C order, the stored byte order. */
static shardio_status shardio_p_decode(shardio_array *array, const uint64_t *index, const uint8_t **data, size_t size,
                                       shardio_error *error)
{
    const shardio_p_meta *m = &array->meta;
    const shardio_codec *failed = NULL;
    if (m->chain.count > 0) {
        size_t half = shardio_p_chain_bound(&m->chain, m->chunk_bytes);
        uint64_t most = shardio_p_max(array->read_memory, (uint64_t)1 << 30);
        if (half > most / 2 && half / 4 > size)   /* a small file does not make us take much */
            return shardio_p_chunk_fail(array, error, SHARDIO_ERR_LIMIT, index, "decoded it would be larger than the memory option");
        shardio_status status = shardio_p_need(array, &array->decoded, &array->decoded_size, 2 * half, error);
        if (status == SHARDIO_OK) {
            status = shardio_p_chain_run(&m->chain, false, data, &size, array->decoded, half, &failed);
            if (status != SHARDIO_OK) return shardio_p_chunk_fail(array, error, status, index, failed->name);
        }
        if (status != SHARDIO_OK) return status;
    }
    if (size == m->chunk_bytes) return SHARDIO_OK;
    return shardio_p_chunk_fail(array, error, SHARDIO_ERR_CORRUPT, index,
                                size < m->chunk_bytes ? "shorter than a chunk has to be" : "longer than a chunk has to be");
}

static void shardio_p_throw_out(shardio_array *array, shardio_p_kept *kept)
{
    array->accounting.device_calls += kept->reader.reads;
    shardio_shard_close(&kept->reader);
    kept->used = 0;
}

/* The place for one more shard: an empty one, or that of the shard that was not used longest. */
static shardio_p_kept *shardio_p_place_to_keep(shardio_array *array)
{
    shardio_p_kept *oldest = &array->kept[0];
    for (uint32_t i = 0; i < array->max_open; i++)
        if (array->kept[i].used < oldest->used) oldest = &array->kept[i];
    if (oldest->used != 0) shardio_p_throw_out(array, oldest);
    return oldest;
}

static uint64_t shardio_p_shard_number(const shardio_p_meta *m, const uint64_t *position)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < m->ndim; i++) number = number * m->shard_grid[i] + position[i];
    return number;
}

/* The reader of a shard, kept open from last time if its file is still the same. SHARDIO_ERR_NOT_FOUND: no such shard. */
static shardio_status shardio_p_get_shard(shardio_array *array, const uint64_t *position, shardio_shard_reader **reader,
                                          shardio_error *error)
{
    uint64_t number = shardio_p_shard_number(&array->meta, position);
    shardio_file file;
    int code = 0;
    for (uint32_t i = 0; i < array->max_open; i++) {
        shardio_p_kept *kept = &array->kept[i];
        if (kept->used == 0 || kept->shard != number) continue;
        kept->used = ++array->clock;
        *reader = &kept->reader;
        if (shardio_shard_unchanged(&kept->reader, NULL) == SHARDIO_OK) return SHARDIO_OK;
        shardio_p_throw_out(array, kept);
    }
    const char *key = shardio_p_chunk_key(array, position);
    shardio_status status = array->store.functions->open(array->store.context, key, false, array->allocator, &file, &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return status;
    if (status != SHARDIO_OK) return shardio_p_key_fail(error, &array->store, status, "open", key, code, NULL);
    shardio_p_kept *kept = shardio_p_place_to_keep(array);
    status = shardio_shard_open_file(&kept->reader, file, &array->meta.index, array->allocator, error);
    if (status != SHARDIO_OK) return status;
    array->accounting.files++;
    kept->shard = number;
    kept->used = ++array->clock;
    *reader = &kept->reader;
    return SHARDIO_OK;
}

/* Reads a chunk that is a file of its own into array->buffer; *data null: there is none. */
static shardio_status shardio_p_read_chunk_file(shardio_array *array, const uint64_t *index, const uint8_t **data, size_t *size,
                                                shardio_error *error)
{
    shardio_file_facts facts;
    shardio_file file;
    int code = 0;
    const char *key = shardio_p_chunk_key(array, index);
    *data = NULL;
    shardio_status status = array->store.functions->open(array->store.context, key, false, array->allocator, &file, &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return SHARDIO_OK;
    if (status != SHARDIO_OK) return shardio_p_key_fail(error, &array->store, status, "open", key, code, NULL);
    status = shardio_p_file_facts(&file, &facts, error);
    if (status == SHARDIO_OK && facts.size > SIZE_MAX / 2)
        status = shardio_p_key_fail(error, &array->store, SHARDIO_ERR_LIMIT, "read", key, 0, "no memory holds this file");
    *size = (size_t)facts.size;
    if (status == SHARDIO_OK) status = shardio_p_check_stored(array, index, facts.size, error);
    if (status == SHARDIO_OK) status = shardio_p_need(array, &array->buffer, &array->buffer_size, *size + 1, error);
    if (status == SHARDIO_OK) status = shardio_file_read(&file, 0, array->buffer, *size, error);
    (void)shardio_p_file_close(&file, SHARDIO_CLOSE_KEEP, false, NULL);
    array->accounting.device_calls++;
    array->accounting.device_bytes += *size;
    array->accounting.files++;
    *data = array->buffer;
    return status;
}

/* -- regions */

/* Copies a box of elements; strides in bytes. Source strides of 0 everywhere: one element, again and again. */
static void shardio_p_copy_box(uint8_t *to, const uint64_t *to_stride, const uint8_t *from, const uint64_t *from_stride,
                               const uint64_t *count, uint32_t ndim, size_t element, size_t unit)
{
    uint64_t at[SHARDIO_MAX_DIMS] = {0}, run = element;
    bool repeat = ndim > 0 && from_stride[ndim - 1] == 0;
    /* dimensions without gaps on both sides are copied as one run */
    while (ndim > 0 && to_stride[ndim - 1] == run && (repeat || from_stride[ndim - 1] == run)) run *= count[--ndim];
    for (;;) {
        if (repeat) shardio_p_fill(to, (size_t)run, from, element);
        else shardio_p_copy_elements(to, from, (size_t)run, unit);
        uint32_t i = ndim;
        while (i > 0) {
            i--;
            to += to_stride[i];
            from += from_stride[i];
            if (++at[i] < count[i]) break;
            to -= to_stride[i] * count[i];
            from -= from_stride[i] * count[i];
            at[i] = 0;
            if (i == 0) return;
        }
        if (ndim == 0) return;
    }
}

/* A read that is under way. */
typedef struct shardio_p_reading {
    shardio_array *array;
    const uint64_t *start, *count;
    uint8_t *to;
    uint64_t stride[SHARDIO_MAX_DIMS];       /* of the destination, bytes */
    uint64_t shard[SHARDIO_MAX_DIMS];        /* position of the shard that is read */
} shardio_p_reading;

/* Puts the part that the region covers of a chunk, or of a whole shard that is missing, where it belongs: it has this
   index in a grid of boxes of `extent` elements. `data` null: the fill value. */
static void shardio_p_scatter(const shardio_p_reading *reading, const uint64_t *index, const uint64_t *extent,
                              const uint8_t *data)
{
    const shardio_p_meta *m = &reading->array->meta;
    uint64_t stride[SHARDIO_MAX_DIMS], count[SHARDIO_MAX_DIMS], step = m->element;
    uint8_t *to = reading->to;
    const uint8_t *from = data != NULL ? data : m->fill;
    for (uint32_t i = m->ndim; i-- > 0;) {
        uint64_t begin = index[i] * extent[i], first = shardio_p_max(begin, reading->start[i]);
        count[i] = shardio_p_min(extent[i] - (first - begin), reading->start[i] + reading->count[i] - first);
        stride[i] = data != NULL ? step : 0;
        if (data != NULL) from += (first - begin) * step;
        to += (first - reading->start[i]) * reading->stride[i];
        step *= extent[i];
    }
    shardio_p_copy_box(to, reading->stride, from, stride, count, m->ndim, m->element, data != NULL ? m->unit : 1);
}

/* The index in the grid of chunk `number` of the shard at `position`. */
static void shardio_p_chunk_index(const shardio_p_meta *m, const uint64_t *position, uint64_t number, uint64_t *index)
{
    for (uint32_t i = m->ndim; i-- > 0; number /= m->per_shard[i])
        index[i] = position[i] * m->per_shard[i] + number % m->per_shard[i];
}

static shardio_status shardio_p_take_chunk(void *context, uint64_t number, const uint8_t *data, size_t size, shardio_error *error)
{
    shardio_p_reading *reading = (shardio_p_reading *)context;
    uint64_t index[SHARDIO_MAX_DIMS];
    shardio_p_chunk_index(&reading->array->meta, reading->shard, number, index);
    if (data != NULL) {
        reading->array->accounting.device_bytes += size;
        shardio_status status = shardio_p_decode(reading->array, index, &data, size, error);
        if (status != SHARDIO_OK) return status;
    }
    shardio_p_scatter(reading, index, reading->array->meta.chunk, data);
    return SHARDIO_OK;
}

/* Memory for reading these chunks of the shard at `position`: what they take together, within the option, and the
   largest in any case. */
static shardio_status shardio_p_need_for(shardio_array *array, const uint64_t *position, const shardio_shard_reader *shard,
                                         const uint64_t *numbers, size_t count, shardio_error *error)
{
    uint64_t sum = 0, largest = 0, offset, length, index[SHARDIO_MAX_DIMS];
    for (size_t i = 0; i < count; i++) {
        shardio_status status = shardio_shard_locate(shard, numbers[i], &offset, &length, error);
        if (status != SHARDIO_OK) return status;
        if (length == SHARDIO_MISSING) continue;
        shardio_p_chunk_index(&array->meta, position, numbers[i], index);
        status = shardio_p_check_stored(array, index, length, error);
        if (status != SHARDIO_OK) return status;
        largest = shardio_p_max(largest, length);
        sum = shardio_p_min(sum + length, array->read_memory);
    }
    largest = shardio_p_max(largest, sum);
    if (largest > SIZE_MAX / 2) return shardio_p_fail(error, SHARDIO_ERR_LIMIT, "read", shard->file.name, "no memory holds a chunk");
    return shardio_p_need(array, &array->buffer, &array->buffer_size, (size_t)largest + 1, error);
}

/* The chunks that a region covers, as first index and count. */
static void shardio_p_cover(const uint64_t *start, const uint64_t *count, const uint64_t *extent, uint32_t ndim,
                            uint64_t *first, uint64_t *number)
{
    for (uint32_t i = 0; i < ndim; i++) {
        first[i] = start[i] / extent[i];
        number[i] = (start[i] + count[i] - 1) / extent[i] - first[i] + 1;
    }
}

/* Reads what the region covers of one shard that exists, in windows of chunks. */
static shardio_status shardio_p_read_shard(shardio_p_reading *reading, shardio_shard_reader *shard, shardio_error *error)
{
    shardio_array *array = reading->array;
    const shardio_p_meta *m = &array->meta;
    uint64_t first[SHARDIO_MAX_DIMS], number[SHARDIO_MAX_DIMS], index[SHARDIO_MAX_DIMS], window[SHARDIO_P_WINDOW];
    shardio_status status = SHARDIO_OK;
    size_t held = 0;
    bool more;
    shardio_p_cover(reading->start, reading->count, m->chunk, m->ndim, first, number);
    for (uint32_t i = 0; i < m->ndim; i++) {   /* of these, the ones in this shard */
        uint64_t begin = reading->shard[i] * m->per_shard[i], end = first[i] + number[i];
        if (end - begin > m->per_shard[i]) end = begin + m->per_shard[i];   /* begin + per_shard may be beyond 2^64 */
        first[i] = shardio_p_max(first[i], begin);
        number[i] = end - first[i];
        index[i] = first[i];
    }
    do {
        window[held++] = shardio_p_chunk_number(m, index);
        more = shardio_p_next_in_box(index, first, number, m->ndim);
        if (more && held < SHARDIO_P_WINDOW) continue;
        status = shardio_p_need_for(array, reading->shard, shard, window, held, error);
        if (status == SHARDIO_OK)
            status = shardio_shard_read_many(shard, window, held, array->buffer, array->buffer_size, shardio_p_take_chunk, reading, error);
        held = 0;
    } while (status == SHARDIO_OK && more);
    return status;
}

/* The part of the region that one shard, or one chunk that is a file, covers. */
static shardio_status shardio_p_read_part(shardio_p_reading *reading, shardio_error *error)
{
    shardio_array *array = reading->array;
    const uint8_t *data;
    size_t size;
    shardio_shard_reader *shard = NULL;
    shardio_status status;
    if (array->meta.sharded) {
        status = shardio_p_get_shard(array, reading->shard, &shard, error);
        if (status == SHARDIO_OK) return shardio_p_read_shard(reading, shard, error);
        if (status != SHARDIO_ERR_NOT_FOUND) return status;
        shardio_p_scatter(reading, reading->shard, array->meta.shard, NULL);
        return SHARDIO_OK;
    }
    status = shardio_p_read_chunk_file(array, reading->shard, &data, &size, error);
    if (status == SHARDIO_OK && data != NULL) status = shardio_p_decode(array, reading->shard, &data, size, error);
    if (status == SHARDIO_OK) shardio_p_scatter(reading, reading->shard, array->meta.chunk, data);
    return status;
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
    return shardio_p_fail(error, SHARDIO_ERR_STATE, operation, array->store.name, "it is being written; open it a second time to read");
}

SHARDIO_API shardio_status shardio_array_read(shardio_array *array, const uint64_t *start, const uint64_t *count,
                                              void *elements, size_t size, shardio_error *error)
{
    shardio_p_reading reading;
    uint64_t first[SHARDIO_MAX_DIMS], number[SHARDIO_MAX_DIMS], bytes;
    bool empty = false;
    shardio_status status = shardio_p_reader_enter(array, "read", error);
    if (status != SHARDIO_OK) return status;
    const shardio_p_meta *m = &array->meta;
    if (m->ndim > 0 && (start == NULL || count == NULL))
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read", array->store.name, "a region has a start and a count");
    bytes = m->element;
    for (uint32_t i = m->ndim; i-- > 0;) {
        if (start[i] > m->shape[i] || count[i] > m->shape[i] - start[i])
            return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read", array->store.name, "the region is not inside the shape");
        reading.stride[i] = bytes;
        empty = empty || count[i] == 0;
        bytes = shardio_p_bounded_multiply(bytes, count[i]);
    }
    if (empty) return SHARDIO_OK;
    if (elements == NULL || bytes > size)
        return shardio_p_fail(error, SHARDIO_ERR_ARGUMENT, "read", array->store.name, "the region is larger than the memory for it");
    reading.array = array;
    reading.start = start;
    reading.count = count;
    reading.to = (uint8_t *)elements;
    shardio_p_cover(start, count, m->shard, m->ndim, first, number);
    memcpy(reading.shard, first, sizeof first);
    do status = shardio_p_read_part(&reading, error);
    while (status == SHARDIO_OK && shardio_p_next_in_box(reading.shard, first, number, m->ndim));
    return status;
}

/* -- going on where an array ends */

/* The chunks of one shard come back into the batch, decoded; missing ones as the fill value. `shard` null: there is no
   such file. */
static shardio_status shardio_p_load_chunks(shardio_array *array, const shardio_p_box *box, shardio_shard_reader *shard)
{
    const shardio_p_meta *m = &array->meta;
    uint8_t *to = array->rows + shardio_p_place_of_chunk(array, box->first);
    uint64_t index[SHARDIO_MAX_DIMS], size = SHARDIO_MISSING;
    shardio_status status = SHARDIO_OK;
    memcpy(index, box->first, sizeof index);
    do {
        uint64_t number = shardio_p_chunk_number(m, index);
        if (shard != NULL) status = shardio_p_need_for(array, box->shard, shard, &number, 1, &array->error);
        if (shard != NULL && status == SHARDIO_OK)
            status = shardio_shard_read(shard, number, array->buffer, array->buffer_size, &size, &array->error);
        const uint8_t *data = array->buffer;
        if (status == SHARDIO_OK && size != SHARDIO_MISSING) status = shardio_p_decode(array, index, &data, (size_t)size, &array->error);
        if (status != SHARDIO_OK) return status;
        if (size != SHARDIO_MISSING) memcpy(to, data, m->chunk_bytes);
        else shardio_p_fill(to, m->chunk_bytes, m->stored_fill, m->element);
        to += m->chunk_bytes;
    } while (shardio_p_next_in_box(index, box->first, box->count, m->ndim));
    return SHARDIO_OK;
}

static shardio_status shardio_p_load_shard(shardio_array *array, const shardio_p_box *box)
{
    shardio_shard_reader shard;
    shardio_file file;
    int code = 0;
    const char *key = shardio_p_chunk_key(array, box->shard);
    shardio_status status = array->store.functions->open(array->store.context, key, false, array->allocator, &file, &code);
    if (status == SHARDIO_ERR_NOT_FOUND) return shardio_p_load_chunks(array, box, NULL);
    if (status != SHARDIO_OK) return shardio_p_array_fail(array, status, "open", key, code, NULL);
    status = shardio_shard_open_file(&shard, file, &array->meta.index, array->allocator, &array->error);
    if (status != SHARDIO_OK) return status;
    status = shardio_p_load_chunks(array, box, &shard);
    shardio_shard_close(&shard);
    return status;
}

static shardio_status shardio_p_load_chunk_file(shardio_array *array, const shardio_p_box *box)
{
    uint8_t *to = array->rows + shardio_p_place_of_chunk(array, box->first);
    const uint8_t *data;
    size_t size;
    shardio_status status = shardio_p_read_chunk_file(array, box->first, &data, &size, &array->error);
    if (status != SHARDIO_OK) return status;
    if (data == NULL) return shardio_p_load_chunks(array, box, NULL);
    status = shardio_p_decode(array, box->first, &data, size, &array->error);
    if (status == SHARDIO_OK) memcpy(to, data, array->meta.chunk_bytes);
    return status;
}

/* Chunks along the last frames that are not full come back to be completed. What that took is given back. */
static shardio_status shardio_p_load_begun(shardio_array *array)
{
    shardio_accounting before = array->accounting;
    shardio_status status = shardio_p_each_box(array, 0, 1, array->meta.sharded ? shardio_p_load_shard : shardio_p_load_chunk_file);
    array->accounting = before;
    shardio_p_release(array->allocator, array->buffer, array->buffer_size, SHARDIO_P_DEFAULT_BLOCK);
    shardio_p_release(array->allocator, array->decoded, array->decoded_size, SHARDIO_P_DEFAULT_BLOCK);
    array->buffer = array->decoded = NULL;
    array->buffer_size = array->decoded_size = 0;
    return status;
}

static shardio_status shardio_p_resume(shardio_array *array)
{
    shardio_p_meta *m = &array->meta;
    uint64_t frames = m->shape[0];
    for (uint32_t i = 1; i < m->ndim; i++)
        if (m->shape[i] == 0)
            return shardio_p_array_fail(array, SHARDIO_ERR_UNSUPPORTED, "append to", array->prefix, 0, "its frames hold no elements");
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
        if (draft.meta.ndim == 0) shardio_p_fail(&error, SHARDIO_ERR_UNSUPPORTED, "append to", store->name, "it has no dimension to grow along");
        draft.meta.grid[0] = draft.meta.shard_grid[0] = UINT64_MAX;
        if (error.status == SHARDIO_OK) array = shardio_p_plan_and_place(&draft, store, &o, size - 1, &error);
        if (array != NULL) shardio_p_adopt_text(array, text, size - 1);
        shardio_p_release(draft.allocator, text, size, 16);
    }
    if (array == NULL) return shardio_p_broken_array(&error, o.allocator);
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
    shardio_status status = array->store.functions->open(array->store.context, key, false, array->allocator, &file, &code);
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
        if (!shardio_p_same(key, shardio_p_named_key(array, "zarr.json")))
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
    shardio_p_reading reading;      /* names the shard that is checked */
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

/* Checks one chunk; what is wrong with it is a finding, not the end. */
static shardio_status shardio_p_verify_chunk(void *context, uint64_t number, const uint8_t *data, size_t size, shardio_error *error)
{
    shardio_p_verification *v = (shardio_p_verification *)context;
    uint64_t index[SHARDIO_MAX_DIMS];
    shardio_error fault;
    (void)error;
    shardio_p_chunk_index(&v->walk->array->meta, v->reading.shard, number, index);
    if (data != NULL && shardio_p_decode(v->walk->array, index, &data, size, &fault) != SHARDIO_OK) shardio_p_verify_found(v, &fault);
    return SHARDIO_OK;
}

/* Chunks without codecs are right if they are as long as they have to be; others are decoded. */
static void shardio_p_verify_chunks(shardio_p_verification *v, shardio_shard_reader *reader)
{
    shardio_array *array = v->walk->array;
    uint64_t offset, length, index[SHARDIO_MAX_DIMS];
    shardio_error fault;
    for (uint64_t number = 0; number < array->meta.index.chunks; number++) {
        if (shardio_shard_locate(reader, number, &offset, &length, NULL) != SHARDIO_OK || length == SHARDIO_MISSING) continue;
        if (array->meta.chain.count > 0) {
            shardio_status status = shardio_p_need_for(array, v->reading.shard, reader, &number, 1, &fault);
            if (status == SHARDIO_OK)
                status = shardio_shard_read_many(reader, &number, 1, array->buffer, array->buffer_size, shardio_p_verify_chunk, v, &fault);
            if (status != SHARDIO_OK) shardio_p_verify_found(v, &fault);
        } else if (length != array->meta.chunk_bytes) {
            shardio_p_chunk_index(&v->walk->array->meta, v->reading.shard, number, index);
            shardio_p_chunk_fail(array, &fault, SHARDIO_ERR_CORRUPT, index, "not as long as a chunk has to be");
            shardio_p_verify_found(v, &fault);
        }
    }
}

static void shardio_p_verify_chunk_file(shardio_p_verification *v, const uint64_t *position)
{
    shardio_array *array = v->walk->array;
    const uint8_t *data;
    size_t size;
    shardio_error fault;
    shardio_status status = shardio_p_read_chunk_file(array, position, &data, &size, &fault);
    if (status == SHARDIO_OK && data != NULL) status = shardio_p_decode(array, position, &data, size, &fault);
    if (status != SHARDIO_OK) shardio_p_verify_found(v, &fault);
}

static shardio_status shardio_p_verify_shard(void *context, const char *key, const uint64_t *position, uint64_t size,
                                             shardio_shard_reader *reader, const shardio_error *fault)
{
    shardio_p_verification *v = (shardio_p_verification *)context;
    memcpy(v->reading.shard, position, sizeof v->reading.shard);
    if (fault != NULL) shardio_p_verify_found(v, fault);
    else if (reader == NULL) shardio_p_verify_chunk_file(v, position);
    else {
        shardio_status status = shardio_shard_verify(reader, NULL, shardio_p_verify_found, v, v->walk->error);
        if (status != SHARDIO_OK && status != SHARDIO_ERR_CORRUPT) return status;
        shardio_p_verify_chunks(v, reader);
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
    v.reading.array = array;
    v.progress = progress;
    v.progress_context = progress_context;
    if (progress != NULL) (void)array->store.functions->list(array->store.context, array->prefix, shardio_p_add_size, &v.total, &code);
    status = shardio_p_walk_all(&walk);
    if (status != SHARDIO_OK || walk.faults == 0) return status;
    return shardio_p_fail(error, SHARDIO_ERR_CORRUPT, "verify", array->store.name, "it has faults");
}

SHARDIO_API void shardio_array_close(shardio_array *array)
{
    if (array == NULL || array == shardio_p_no_array()) return;
    if (array->mode == SHARDIO_P_WRITING) {
        shardio_array_abort(array);
        return;
    }
    for (uint32_t i = 0; array->mode == SHARDIO_P_READING && i < array->max_open; i++)
        if (array->kept[i].used != 0) shardio_p_throw_out(array, &array->kept[i]);
    shardio_p_array_free(array);
}

#endif /* !SHARDIO_NO_ZARR */

#if !SHARDIO_NO_STORE && !SHARDIO_NO_ZARR
/* >>store ----------------------------------------------------------------------------------------------------- */

/* -- a directory: every key is a file */
#if !SHARDIO_NO_OS

/* root/key on the caller's stack. False: no plain key, or too long. */
static bool shardio_p_key_path(const void *store, const char *key, char *path)
{
    shardio_text text = {path, SHARDIO_P_PATH, 0};
    path[0] = 0;
    if (key[0] != 0 && !shardio_p_key_is_plain(key)) return false;
    shardio_text_add(&text, (const char *)store);
    shardio_text_add(&text, key[0] != 0 ? "/" : "");
    shardio_text_add(&text, key);
    return text.size < SHARDIO_P_PATH;
}

static shardio_status shardio_p_directory_open(void *store, const char *key, bool update, const shardio_allocator *allocator,
                                               shardio_file *file, int *code)
{
    char path[SHARDIO_P_PATH];
    const char *reason;
    shardio_open_options how = {allocator, false, false, false};
    if (key[0] == 0 || !shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    shardio_status status = shardio_p_osf_open(file, path, update ? SHARDIO_OPEN_UPDATE : SHARDIO_OPEN_READ, &how, &reason, code);
    return status == SHARDIO_ERR_ARGUMENT ? SHARDIO_ERR_NOT_FOUND : status;   /* a directory is no key */
}

static shardio_status shardio_p_directory_create(void *store, const char *key, bool overwrite,
                                                 const shardio_allocator *allocator, shardio_file *file, int *code)
{
    char path[SHARDIO_P_PATH];
    const char *reason;
    shardio_open_options how = {allocator, overwrite, false, true};
    if (key[0] == 0 || !shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    return shardio_p_osf_open(file, path, SHARDIO_OPEN_CREATE, &how, &reason, code);
}

/* Removes a key and the directories above it that are empty then; the key "" is the directory itself. */
static shardio_status shardio_p_directory_remove(void *store, const char *key, int *code)
{
    char path[SHARDIO_P_PATH];
    size_t root = shardio_p_length((const char *)store);
    int ignored = 0;
    if (!shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    shardio_status status = shardio_p_os_remove(path, key[0] == 0, code);
    if (status != SHARDIO_OK && status != SHARDIO_ERR_NOT_FOUND) return status;
    for (size_t n = shardio_p_parent_length(path); key[0] != 0 && n > root; n = shardio_p_parent_length(path)) {
        path[n] = 0;
        shardio_status pruned = shardio_p_os_remove(path, true, &ignored);
        if (pruned != SHARDIO_OK && pruned != SHARDIO_ERR_NOT_FOUND) break;
    }
    return status;
}

enum { SHARDIO_P_LIST_DEPTH = 48 };   /* deeper than any key of 32 dimensions in a few groups */

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

/* Whether keys at or below this one can begin with the prefix. */
static bool shardio_p_may_match(const char *key, const char *prefix)
{
    while (*key != 0 && *key == *prefix) key++, prefix++;
    return *prefix == 0 || (*key == 0 && *prefix == '/');
}

static bool shardio_p_list_file(shardio_p_listing *l)
{
    const char *key = l->path + l->root + 1;
    size_t prefix = shardio_p_length(l->prefix);
    if (shardio_p_length(key) < prefix || memcmp(key, l->prefix, prefix) != 0) return true;
    uint64_t size = shardio_p_os_size(l->path);
    l->stopped = !l->each(l->context, key, size, shardio_p_is_temporary(key));
    return !l->stopped;
}

static bool shardio_p_list_name(void *context, const char *name)
{
    shardio_p_listing *l = (shardio_p_listing *)context;
    shardio_text text = {l->path, sizeof l->path, l->length};
    size_t before = l->length;
    bool link, go_on = true;
    shardio_text_add(&text, "/");
    shardio_text_add(&text, name);
    if (text.size < sizeof l->path && shardio_p_may_match(l->path + l->root + 1, l->prefix)) {
        shardio_p_kind kind = shardio_p_os_kind(l->path, &link);
        l->length = text.size;
        if (kind == SHARDIO_P_DIRECTORY && !link && l->depth < SHARDIO_P_LIST_DEPTH) {
            shardio_p_list_directory(l);
            go_on = !l->stopped && l->status == SHARDIO_OK;
        } else if (kind == SHARDIO_P_REGULAR) {
            go_on = shardio_p_list_file(l);
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
    shardio_status status = shardio_p_os_list(l->path, shardio_p_list_name, l, &l->code);
    l->depth--;
    if (status == SHARDIO_ERR_NOT_FOUND && l->depth > 0) return;   /* removed meanwhile */
    if (l->status == SHARDIO_OK) l->status = status;
}

static shardio_status shardio_p_directory_list(void *store, const char *prefix,
                                               bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
                                               void *context, int *code)
{
    shardio_p_listing l;
    memset(&l, 0, sizeof l);
    if (!shardio_p_key_path(store, "", l.path)) return SHARDIO_ERR_ARGUMENT;
    l.root = l.length = shardio_p_length(l.path);
    l.prefix = prefix;
    l.each = each;
    l.context = context;
    shardio_p_list_directory(&l);
    *code = l.status != SHARDIO_OK ? l.code : 0;
    return l.status;
}

static shardio_status shardio_p_directory_sync(void *store, const char *key, int *code)
{
    char path[SHARDIO_P_PATH];
    if (!shardio_p_key_path(store, key, path)) return SHARDIO_ERR_ARGUMENT;
    return shardio_p_sync_parent(path, code);
}

static size_t shardio_p_directory_file_memory(void *store, size_t length)
{
    return shardio_file_memory(shardio_p_length((const char *)store) + 1 + length);
}

SHARDIO_API shardio_store shardio_store_directory(const char *path)
{
    static const shardio_store_functions functions = {
        shardio_p_directory_open, shardio_p_directory_create, shardio_p_directory_remove, shardio_p_directory_list,
        shardio_p_directory_sync, shardio_p_directory_file_memory
    };
    shardio_store store = {&functions, (void *)(uintptr_t)path, path};
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

SHARDIO_API shardio_array *shardio_array_open(const char *path, const shardio_array_options *options, shardio_error *error)
{
    shardio_store store;
    return shardio_array_open_in(shardio_p_store_at(&store, path), options, error);
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
    uint32_t open;
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
    while (entry != NULL && (!entry->published || entry->removed || !shardio_p_same(entry->key, key))) entry = entry->next;
    return entry;
}

static shardio_status shardio_p_entry_write(void *file, uint64_t offset, const void *data, size_t size, size_t *done, int *code)
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

static shardio_status shardio_p_memory_store_open(void *store, const char *key, bool update, const shardio_allocator *allocator,
                                                  shardio_file *file, int *code)
{
    (void)update, (void)allocator, (void)code;
    if (!shardio_p_key_is_plain(key)) return SHARDIO_ERR_ARGUMENT;
    shardio_memory_entry *entry = shardio_p_entry_find((const shardio_memory_store *)store, key);
    if (entry == NULL) return SHARDIO_ERR_NOT_FOUND;
    *file = shardio_p_entry_file(entry);
    return SHARDIO_OK;
}

static shardio_status shardio_p_memory_store_create(void *store, const char *key, bool overwrite,
                                                    const shardio_allocator *allocator, shardio_file *file, int *code)
{
    shardio_memory_store *memory = (shardio_memory_store *)store;
    size_t size = shardio_p_length(key) + 1;
    (void)allocator, (void)code;
    if (!shardio_p_key_is_plain(key)) return SHARDIO_ERR_ARGUMENT;
    if (!overwrite && shardio_p_entry_find(memory, key) != NULL) return SHARDIO_ERR_EXISTS;
    shardio_memory_entry *entry = (shardio_memory_entry *)shardio_p_allocate(memory->allocator, sizeof *entry + size, 16);
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
                                                  bool (*each)(void *context, const char *key, uint64_t size, bool temporary),
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

static size_t shardio_p_memory_store_file_memory(void *store, size_t length)
{
    (void)store, (void)length;
    return 0;
}

SHARDIO_API shardio_store shardio_store_memory(shardio_memory_store *memory, const shardio_allocator *allocator)
{
    static const shardio_store_functions functions = {
        shardio_p_memory_store_open, shardio_p_memory_store_create, shardio_p_memory_store_remove,
        shardio_p_memory_store_list, NULL, shardio_p_memory_store_file_memory
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
