/* Hostile maps of mirrors beside local files: opened, asked, read through, evicted, filled.

   Input: flags, options, which allocation fails, which request to the source fails, the length of the map (2 bytes),
   the map, the local file. The object is far away and always the same. */
#define FUZZ_NAME "mirror"
#define FUZZ_ROUNDS 15
#include "fuzz.h"
#include "../mirrors.h"

enum { FLAG_SEAL, FLAG_READ_ONLY, FLAG_NO_SOURCE, FLAG_START_OVER, FLAG_CHECK_LATER, FLAG_FIT, FLAG_RANGES,
      FLAG_ABSENT };

enum { LENGTH = 5000 };

typedef struct hostile {
    uint8_t flags, options, no_memory, no_source;
    uint8_t map[4096];
    size_t map_size;
    fuzz_input local;
    char path[450], map_path[480];
} hostile;

/* The head says what the object is, so that what follows counts. */
static void fit(hostile *h)
{
    static const uint8_t head[] = {'S', 'H', 'M', 'R', 1, 9, 0, 0, LENGTH & 255, LENGTH >> 8, 0, 0, 0, 0, 0, 0};
    if (h->map_size < MAP_HEAD) return;
    memcpy(h->map, head, sizeof head);
    memset(h->map + 32, 0, 8);
    h->map[32] = 4;
    h->map_size = MAP_HEAD + 4 + 2 + 4;
    memcpy(h->map + MAP_HEAD, "\"v1\"", 4);
    h->map[MAP_HEAD + 5] &= 3;                    /* ten chunks */
}

static bool hostile_begin(hostile *h, fuzz_input in)
{
    memset(h, 0, sizeof *h);
    h->flags = fuzz_byte(&in);
    h->options = fuzz_byte(&in);
    h->no_memory = fuzz_byte(&in);
    h->no_source = fuzz_byte(&in);
    fuzz_input map = fuzz_part(&in, (size_t)fuzz_below(&in, sizeof h->map));
    if (map.size > 0) memcpy(h->map, map.data, map.size);
    h->map_size = map.size;
    if (fuzz_flag(h->flags, FLAG_FIT)) fit(h);
    if (fuzz_flag(h->flags, FLAG_SEAL) && h->map_size > 4) map_seal(h->map, h->map_size);
    h->local = in;
    snprintf(h->path, sizeof h->path, "%.300s/object", rig_directory());
    snprintf(h->map_path, sizeof h->map_path, "%s.shardio-map", h->path);
    rig_put(h->map_path, h->map_size > 0 ? h->map : NULL, h->map_size);
    rig_put(h->path, fuzz_flag(h->options, 7) ? NULL : h->local.size > 0 ? h->local.data : h->map, h->local.size);
    return test_failures == 0;
}

static shardio_mirror_options options(const hostile *h, const shardio_allocator *allocator)
{
    shardio_mirror_options o = plain_options();
    o.chunk = fuzz_flag(h->options, 0) ? 512 : 0;
    o.request = fuzz_flag(h->options, 1) ? 2048 : 0;
    o.gap = fuzz_flag(h->options, 2) ? 1024 : 0;
    o.save_every = fuzz_flag(h->options, 3) ? 600 : SHARDIO_NO_OFFSET;
    o.read_ahead = fuzz_flag(h->options, 4) ? 1024 : SHARDIO_NO_OFFSET;
    o.map_limit = fuzz_flag(h->options, 5) ? 1024 : 1 << 16;
    o.start_over = fuzz_flag(h->flags, FLAG_START_OVER);
    o.check_later = fuzz_flag(h->flags, FLAG_CHECK_LATER);
    o.read_only = fuzz_flag(h->flags, FLAG_READ_ONLY);
    o.allocator = allocator;
    return o;
}

/* What is there according to the map came from the local file and may be anything; what was fetched is the object. */
static void read_some(shardio_mirror *m, const remote *r, const shardio_mirror_facts *f, uint64_t offset, size_t size,
                      bool sound)
{
    uint8_t *data = (uint8_t *)malloc(size + 1);
    size_t done = size + 1;
    shardio_error e;
    bool had = shardio_mirror_has(m, offset, 1);
    shardio_status s = SAID(shardio_mirror_read(m, offset, data, size, &done, &e));
    CHECK(done <= size);
    if (s == SHARDIO_OK)
        CHECK_U64(done, offset >= f->length ? 0 : f->length - offset < size ? f->length - offset : size);
    if (s == SHARDIO_OK && sound && !had && done > 0) CHECK(remote_same(r, offset, data, 1));
    free(data);
}

static void use(shardio_mirror *m, const remote *r, uint8_t how)
{
    char text[400];
    shardio_error e;
    uint8_t data[700];
    size_t done;
    shardio_mirror_facts f = shardio_mirror_about(m);
    bool sound = f.length == r->length && strcmp(f.tag, r->tag) == 0;
    (void)coverage_text(m, text, sizeof text);
    read_some(m, r, &f, 0, 10, sound);
    read_some(m, r, &f, 1000, 2000, sound);
    read_some(m, r, &f, f.length > 100 ? f.length - 100 : 0, 300, sound);
    read_some(m, r, &f, UINT64_MAX - 5, 300, sound);
    if (SAID(shardio_mirror_seek(m, 513, &e)) == SHARDIO_OK)
        for (int i = 0; i < 3; i++) (void)SAID(shardio_mirror_next(m, data, sizeof data, &done, &e));
    (void)SAID(shardio_mirror_prefetch(m, 4096, 600, &e));
    if (how & 1) (void)SAID(shardio_mirror_save(m, &e));
    if (how & 2) (void)SAID(shardio_mirror_evict(m, 0, 2048, &e));
    if (how & 4) (void)SAID(shardio_mirror_evict_to(m, 1024, &e));
    if (how & 8 && f.length <= 1 << 16) (void)SAID(shardio_mirror_fill(m, NULL, NULL, &e));
    (void)coverage_text(m, text, sizeof text);
}

static void fuzz_one(fuzz_input in)
{
    static hostile h;
    static remote far_object;
    counter c;
    shardio_error e;
    if (!hostile_begin(&h, in)) return;
    remote_make(&far_object, 1, LENGTH);
    far_object.absent = fuzz_flag(h.flags, FLAG_ABSENT);
    far_object.fail_at = h.no_source;
    far_object.fail_about = h.no_source == 255;
    shardio_source source = remote_source(&far_object, fuzz_flag(h.flags, FLAG_RANGES));
    shardio_mirror_options o = options(&h, fuzz_memory(&c, 0, h.no_memory));
    shardio_mirror *m = shardio_mirror_open(fuzz_flag(h.flags, FLAG_NO_SOURCE) ? NULL : &source, h.path, &o, &e);
    CHECK((m == NULL) == (e.status != SHARDIO_OK));
    if (m != NULL) use(m, &far_object, h.options);
    if (m != NULL) (void)SAID(shardio_mirror_close(m, &e));
    CHECK_U64(c.live, 0);
    CHECK(c.peak <= 2 << 20);                     /* the bits, 65536 regions, the buffer */
    CHECK_U64(far_object.wrong, 0);
    CHECK_U64(far_object.closes, !fuzz_flag(h.flags, FLAG_NO_SOURCE));
}

/* Maps of the object, of none, of another one. */
static void fuzz_seeds(void)
{
    for (int kind = 0; kind < 32; kind++) {
        uint8_t seed[6 + 64 + 600] = {0}, *map = seed + 6;
        seed[0] = (uint8_t)(1 | (kind & 1 ? 1 << FLAG_FIT : 0) | (kind & 14) | (kind & 16) << 2);
        seed[1] = (uint8_t)(kind * 5 % 128);
        seed[4] = MAP_HEAD + 4 + 2 + 4;
        memcpy(map, "SHMR\1\11", 6);
        map[8] = LENGTH & 255;
        map[9] = LENGTH >> 8;
        map[32] = 4;
        memcpy(map + MAP_HEAD, kind % 4 ? "\"v1\"" : "\"v2\"", 4);
        map[MAP_HEAD + 4] = (uint8_t)(kind * 37);
        map[MAP_HEAD + 5] = 2;
        fuzz_seed(seed, 6 + seed[4] + (kind % 3 ? 600u : 0));
    }
}
