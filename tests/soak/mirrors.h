/* A mirror of an object far away, whose bytes are computed. Include after soak.h. */
#ifndef SOAK_MIRRORS_H
#define SOAK_MIRRORS_H

enum { OBJECT_LENGTH = (6 << 20) + 1234, MIRROR_CHUNK = 16384, READ_MAX = 200000 };

static uint32_t object_version;      /* that the source of this process gives */

static uint8_t object_byte(uint32_t version, uint64_t offset)
{
    return (uint8_t)(mix((uint64_t)version << 40 ^ offset >> 3) >> (offset % 8 * 8));
}

static shardio_status object_about(void *source, shardio_source_facts *facts, shardio_error *error)
{
    (void)error;
    facts->length = OBJECT_LENGTH;
    snprintf(facts->tag, sizeof facts->tag, "version %u", *(const uint32_t *)source);
    return SHARDIO_OK;
}

/* Bytes of the object at `offset`, at most `size`. */
static size_t object_has(uint64_t offset, size_t size)
{
    if (offset >= OBJECT_LENGTH) return 0;
    return size < OBJECT_LENGTH - offset ? size : (size_t)(OBJECT_LENGTH - offset);
}

static shardio_status object_read(void *source, uint64_t offset, void *data, size_t size, size_t *done,
                                  shardio_error *error)
{
    uint8_t *to = (uint8_t *)data;
    (void)error;
    *done = object_has(offset, size);
    if (*done > 1 && one_in(8)) *done = 1 + below((uint32_t)*done - 1);
    for (size_t i = 0; i < *done; i++) to[i] = object_byte(*(const uint32_t *)source, offset + i);
    return SHARDIO_OK;
}

static shardio_mirror *mirror_open(bool read_only, shardio_error *error)
{
    static const shardio_source_functions functions = {object_about, object_read, NULL, NULL};
    shardio_source source = {&functions, &object_version, "object"};
    shardio_mirror_options o;
    char path[260];
    memset(&o, 0, sizeof o);
    o.chunk = MIRROR_CHUNK;
    o.request = 1 << 18;
    o.save_every = read_only || one_in(2) ? 0 : 1 << 20;
    o.start_over = !read_only;
    o.read_only = read_only;
    return shardio_mirror_open(&source, path_of(path, "mirror", 0), &o, error);
}

/* One read; what comes is what the object has there. */
static void mirror_read(shardio_mirror *a, shardio_error *error)
{
    static uint8_t data[READ_MAX];
    uint64_t offset = below(OBJECT_LENGTH + 1000);
    size_t size = 1 + below(one_in(3) ? READ_MAX : 5000), done = 0, wanted = object_has(offset, size);
    if (shardio_mirror_read(a, offset, data, size, &done, error) != SHARDIO_OK) return;
    if (done != wanted) fail("mirror: %zu bytes at %u, not %zu", done, (unsigned)offset, wanted);
    for (size_t i = 0; i < done; i++)
        if (data[i] != object_byte(object_version, offset + i))
            fail("mirror: byte %u of version %u is wrong", (unsigned)(offset + i), object_version);
}

static void mirror_evict(shardio_mirror *a)
{
    shardio_error error;
    uint64_t offset = below(OBJECT_LENGTH), size = below(OBJECT_LENGTH);
    if (one_in(2)) {
        (void)shardio_mirror_evict_to(a, size, &error);
        if (well(MIRROR_EVICT, "evict", &error) && shardio_mirror_about(a).covered > size)
            fail("mirror: more than the budget");
    } else {
        (void)shardio_mirror_evict(a, offset, size, &error);
        if (well(MIRROR_EVICT, "evict", &error) && size > 2 * MIRROR_CHUNK &&
            offset + 2 * MIRROR_CHUNK < OBJECT_LENGTH && shardio_mirror_has(a, offset + MIRROR_CHUNK, 1))
            fail("mirror: what was evicted is there");
    }
}

static void mirror_step(shardio_mirror *a)
{
    shardio_error error;
    uint32_t what = below(40);
    if (what == 0) {
        mirror_evict(a);
    } else if (what == 1) {
        (void)shardio_mirror_save(a, &error);
        (void)well(MIRROR_SAVE, "save a map", &error);
    } else if (what == 2) {
        (void)shardio_mirror_prefetch(a, below(OBJECT_LENGTH), below(1 << 20), &error);
        (void)well(MIRROR_READ, "prefetch", &error);
    } else {
        mirror_read(a, &error);
        (void)well(MIRROR_READ, "read a mirror", &error);
    }
}

static void mirror_work(void)
{
    shardio_error error;
    if (one_in(8)) {
        tell(&m->mirror.version, m->mirror.version + 1);
        m->done[MIRROR_CHANGE]++;
    }
    object_version = m->mirror.version;
    shardio_mirror *a = mirror_open(false, &error);
    if (a == NULL) {
        (void)well(MIRROR_OPEN, "open a mirror", &error);
        return;
    }
    for (uint32_t steps = 10 + below(60); steps > 0; steps--) mirror_step(a);
    m->bytes += shardio_mirror_about(a).fetched;
    (void)shardio_mirror_close(a, &error);
    (void)well(MIRROR_OPEN, "close a mirror", &error);
}

/* All that the mirror has, and the rest of the object. */
static void mirror_check(void)
{
    shardio_error error;
    uint64_t from = 0, offset = 0, size = 0;
    object_version = m->mirror.version;
    shardio_mirror *a = mirror_open(false, &error);
    if (a == NULL) fail_error("open a mirror", &error);
    while (shardio_mirror_next_extent(a, from, &offset, &size)) from = offset + size;
    if (shardio_mirror_fill(a, NULL, NULL, &error) != SHARDIO_OK) fail_error("fill a mirror", &error);
    for (uint32_t i = 0; i < 400; i++) {
        mirror_read(a, &error);
        if (error.status != SHARDIO_OK) fail_error("read a mirror", &error);
    }
    if (shardio_mirror_close(a, &error) != SHARDIO_OK) fail_error("close a mirror", &error);
    m->checked += OBJECT_LENGTH;
}

/* A reader has the object as it is now; the mirror may be of another one. */
static void mirror_look(void)
{
    shardio_error error;
    object_version = ask(&m->mirror.version);
    shardio_mirror *a = mirror_open(true, &error);
    if (!reader_got("open a mirror", &error)) return;
    for (uint32_t i = 0; i < 30; i++) {
        mirror_read(a, &error);
        (void)reader_got("read a mirror", &error);
    }
    if (shardio_mirror_close(a, &error) != SHARDIO_OK) fail_error("close a mirror", &error);
    m->looks++;
}

#endif
