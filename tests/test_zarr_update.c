/* The zarr section: arrays of every make are defined, written by regions, read with strides, resized, compacted, appended
   to and read again, against a model in memory. */
#include "test.h"

#include <sys/stat.h>

/* ---- a model: every element is a small number; 0 is the fill value */

enum { MOST_ROOM = 6000, ELEMENT = 48 };

typedef struct model {
    shardio_array_options o;
    char list[1600], path[400];
    uint8_t transpose[4], fill[ELEMENT];
    size_t element;
    uint64_t shape[4];
    uint8_t *numbers;               /* of the box room[] */
    uint64_t room[4];
    bool nested;
} model;

static void element_of(const model *m, unsigned number, uint8_t *out)
{
    static char texts[256][40];
    static const char *const words[4] = {"", "a string, ", "\xC3\xBC\xE2\x82\xAC", "0123456789012345678901234567"};
    if (m->o.dtype == SHARDIO_STRING || m->o.dtype == SHARDIO_BYTES) {
        snprintf(texts[number], sizeof texts[number], "%s%u", words[number % 4], number);
        shardio_bytes one = {texts[number], number == 1 ? 0 : strlen(texts[number])};
        memcpy(out, &one, sizeof one);
        return;
    }
    for (size_t i = 0; i < m->element; i++) out[i] = (uint8_t)(number == 0 ? 3 * i : test_mix(number * 64 + i));
    if (m->o.dtype == SHARDIO_BOOL) out[0] = number % 2;
    if (m->o.dtype == SHARDIO_FLOAT32 || m->o.dtype == SHARDIO_FLOAT64) out[m->element - 1] &= 0x3F;   /* no NaN: fill values in words */
    if (m->o.dtype == SHARDIO_COMPLEX64) out[3] &= 0x3F, out[7] &= 0x3F;
}

static bool same_element(const model *m, const uint8_t *a, const uint8_t *b)
{
    shardio_bytes x, y;
    if (m->o.dtype != SHARDIO_STRING && m->o.dtype != SHARDIO_BYTES) return memcmp(a, b, m->element) == 0;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x.size == y.size && (x.size == 0 || memcmp(x.data, y.data, x.size) == 0);
}

static uint8_t *number_at(const model *m, const uint64_t *at)
{
    uint64_t i = 0;
    for (uint32_t d = 0; d < m->o.ndim; d++) i = i * m->room[d] + at[d];
    return &m->numbers[i];
}

static bool next(uint64_t *at, const uint64_t *first, const uint64_t *count, uint32_t ndim)
{
    for (uint32_t d = ndim; d-- > 0;) {
        if (++at[d] < first[d] + count[d]) return true;
        at[d] = first[d];
    }
    return false;
}

static void add_list(shardio_text *text, const uint64_t *numbers, uint32_t ndim)
{
    for (uint32_t i = 0; i < ndim; i++) {
        shardio_text_add(text, i ? "," : "[");
        shardio_text_add_uint64(text, numbers[i]);
    }
    shardio_text_add(text, ndim ? "]" : "[]");
}

static void add_transpose(shardio_text *text, uint64_t *r, uint32_t ndim)
{
    uint64_t order[SHARDIO_MAX_DIMS] = {0, 1, 2, 3, 4};
    if (ndim == 0 || test_random(r) % 3) return;
    for (uint32_t i = ndim - 1; i > 0; i--) {
        uint64_t k = test_random(r) % (i + 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
    shardio_text_add(text, "{\"name\":\"transpose\",\"configuration\":{\"order\":");
    add_list(text, order, ndim);
    shardio_text_add(text, "}},");
    /* the extents that follow are in the new order; the models' extents are all alike where there are several levels */
}

/* A list of codecs with up to three shards inside one another, transpositions anywhere, checksums anywhere. */
static void random_list(model *m, uint64_t *r, uint64_t outer)
{
    shardio_text text = {m->list, sizeof m->list, 0};
    uint32_t levels = (uint32_t)(test_random(r) % 4), open = 0;
    bool crc[5];
    shardio_text_add(&text, "[");
    for (uint64_t extent = outer; open < levels && extent > 1; open++) {
        uint64_t divisor = extent % 2 == 0 ? 2 : extent, extents[4];
        extent /= divisor;
        for (int i = 0; i < 4; i++) extents[i] = extent;
        add_transpose(&text, r, m->o.ndim);
        shardio_text_add(&text, "{\"name\":\"sharding_indexed\",\"configuration\":{\"index_location\":");
        shardio_text_add(&text, test_random(r) % 2 ? "\"end\"" : "\"start\"");
        shardio_text_add(&text, ",\"index_codecs\":[");
        add_transpose(&text, r, m->o.ndim + 1);
        shardio_text_add(&text, "{\"name\":\"bytes\",\"configuration\":{\"endian\":");
        shardio_text_add(&text, test_random(r) % 3 ? "\"little\"}}" : "\"big\"}}");
        shardio_text_add(&text, test_random(r) % 4 == 0 ? ",\"crc32c\",\"crc32c\"]" : test_random(r) % 3 ? ",\"crc32c\"]" : "]");
        shardio_text_add(&text, ",\"chunk_shape\":");
        add_list(&text, extents, m->o.ndim);
        shardio_text_add(&text, ",\"codecs\":[");
        crc[open] = test_random(r) % 3 == 0;
    }
    add_transpose(&text, r, m->o.ndim);
    if (m->o.dtype == SHARDIO_STRING) shardio_text_add(&text, "{\"name\":\"vlen-utf8\"}");
    else if (m->o.dtype == SHARDIO_BYTES) shardio_text_add(&text, "{\"name\":\"vlen-bytes\"}");
    else shardio_text_add(&text, test_random(r) % 2 ? "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
                                                     : "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"big\"}}");
    if (test_random(r) % 3 == 0) shardio_text_add(&text, ",{\"name\":\"crc32c\"}");
    while (open-- > 0) shardio_text_add(&text, crc[open] ? "]}},{\"name\":\"crc32c\"}" : "]}}");
    shardio_text_add(&text, "]");
    m->o.codec_list = m->list;
}

static void model_begin(model *m, uint64_t *r, const char *directory, uint64_t seed)
{
    static const shardio_dtype types[] = {SHARDIO_UINT8, SHARDIO_INT16, SHARDIO_FLOAT32, SHARDIO_UINT64, SHARDIO_COMPLEX64,
                                          SHARDIO_BOOL, SHARDIO_RAW, SHARDIO_STRING, SHARDIO_BYTES, SHARDIO_FLOAT64};
    uint64_t elements = 1;
    memset(m, 0, sizeof *m);
    m->o.ndim = (uint32_t)(test_random(r) % 5);
    m->o.dtype = types[test_random(r) % 10];
    if (m->o.dtype == SHARDIO_RAW) m->o.raw_bytes = 1 + (uint32_t)(test_random(r) % 19);
    m->element = m->o.dtype == SHARDIO_RAW ? m->o.raw_bytes : shardio_dtype_size(m->o.dtype);
    uint64_t most = m->o.ndim < 2 ? 40 : m->o.ndim == 2 ? 20 : m->o.ndim == 3 ? 9 : 6;
    bool sharded = test_random(r) % 3 != 0, listed = test_random(r) % 2 == 0;
    uint64_t alike = (uint64_t)1 << (1 + test_random(r) % (m->o.ndim < 3 ? 4 : 2));
    for (uint32_t d = 0; d < m->o.ndim; d++) {
        m->shape[d] = m->o.shape[d] = test_random(r) % 9 ? 1 + test_random(r) % most : 0;
        m->room[d] = most;
        m->o.chunk[d] = 1 + test_random(r) % (most / 2);
        m->o.shard[d] = sharded ? m->o.chunk[d] * (1 + test_random(r) % 3) : 0;
        if (listed) {
            m->o.chunk[d] = alike;
            m->o.shard[d] = 0;
        }
        elements *= most;
    }
    if (listed) random_list(m, r, alike);
    else if (m->o.ndim > 0 && test_random(r) % 2) {
        for (uint32_t d = 0; d < m->o.ndim; d++) m->transpose[d] = (uint8_t)((d + 1) % m->o.ndim);
        m->o.transpose = m->transpose;
    }
    if (test_random(r) % 3 == 0) m->o.codecs[0] = shardio_codec_crc32c();
    m->o.index_at_start = test_random(r) % 2 != 0;
    m->o.index_no_checksum = test_random(r) % 4 == 0;
    m->o.big_endian = test_random(r) % 3 == 0;
    m->o.key_v2 = test_random(r) % 4 == 0;
    m->o.key_separator = (char)(test_random(r) % 3 == 0 ? '.' : test_random(r) % 2 ? '/' : 0);
    m->o.skip_fill = test_random(r) % 2 != 0;
    m->o.update = test_random(r) % 3 == 0 ? SHARDIO_UPDATE_REWRITE : SHARDIO_UPDATE_APPEND;
    m->o.dead_percent = test_random(r) % 2 ? 0 : (uint32_t)(test_random(r) % 101);
    m->o.direct = test_random(r) % 2 ? SHARDIO_DIRECT_OFF : SHARDIO_DIRECT_AUTO;
    m->o.unbuffered = test_random(r) % 3 == 0;
    m->o.durability = SHARDIO_DURABLE_NONE;
    m->o.memory = (size_t)(test_random(r) % 2 ? 0 : 100 + test_random(r) % 5000);
    element_of(m, 0, m->fill);
    m->o.fill_value = m->fill;
    m->numbers = (uint8_t *)calloc(1, (size_t)elements);
    snprintf(m->path, sizeof m->path, "%s/%llu.zarr", directory, (unsigned long long)seed);
}

static void describe(const model *m, uint64_t seed)
{
    fprintf(stderr, "    seed %llu: %s, ndim %u, shape/chunk/shard", (unsigned long long)seed, shardio_dtype_name(m->o.dtype), m->o.ndim);
    for (uint32_t d = 0; d < m->o.ndim; d++)
        fprintf(stderr, " %d/%d/%d", (int)m->shape[d], (int)m->o.chunk[d], (int)m->o.shard[d]);
    fprintf(stderr, "%s%s%s %s\n", m->o.skip_fill ? " skip" : "", m->o.index_at_start ? " start" : "",
            m->o.transpose != NULL ? " transposed" : "", m->o.codec_list != NULL ? m->list : "");
}

/* ---- what is done to it */

/* A region, and a layout of it in memory: gaps, negative strides, any order of the dimensions. */
typedef struct region {
    uint64_t start[4], count[4], size;
    ptrdiff_t stride[4];
    uint8_t *memory, *first;
} region;

static void region_begin(region *g, const model *m, uint64_t *r, bool whole)
{
    uint32_t order[4] = {0, 1, 2, 3};
    uint64_t step = m->element;
    memset(g, 0, sizeof *g);
    for (uint32_t d = 0; d < m->o.ndim; d++) {
        g->start[d] = whole || m->shape[d] == 0 ? 0 : test_random(r) % m->shape[d];
        g->count[d] = whole ? m->shape[d] : test_random(r) % (m->shape[d] - g->start[d] + 1);
        uint64_t k = d + test_random(r) % (m->o.ndim - d), t = order[d];
        order[d] = order[k];
        order[k] = (uint32_t)t;
    }
    ptrdiff_t base = 0;
    for (uint32_t i = m->o.ndim; i-- > 0;) {
        uint32_t d = order[i];
        step += test_random(r) % 3 * (m->o.dtype == SHARDIO_STRING || m->o.dtype == SHARDIO_BYTES ? sizeof(void *) : 1);
        g->stride[d] = (ptrdiff_t)step;
        if (test_random(r) % 3 == 0 && g->count[d] > 0) {
            base += (ptrdiff_t)(step * (g->count[d] - 1));
            g->stride[d] = -g->stride[d];
        }
        step *= g->count[d] > 0 ? g->count[d] : 1;
    }
    g->size = step + m->element + 16;
    g->memory = (uint8_t *)malloc((size_t)g->size);
    memset(g->memory, 0xEE, (size_t)g->size);
    g->first = g->memory + base;
}

static uint8_t *place(const region *g, const model *m, const uint64_t *at)
{
    uint8_t *p = g->first;
    for (uint32_t d = 0; d < m->o.ndim; d++) p += (ptrdiff_t)(at[d] - g->start[d]) * g->stride[d];
    return p;
}

static bool is_empty(const region *g, const model *m)
{
    for (uint32_t d = 0; d < m->o.ndim; d++)
        if (g->count[d] == 0) return true;
    return false;
}

static void write_region(model *m, shardio_array *a, uint64_t *r)
{
    region g;
    shardio_error e;
    char text[300];
    uint64_t at[4];
    region_begin(&g, m, r, test_random(r) % 6 == 0);
    bool fill = test_random(r) % 5 == 0;
    memcpy(at, g.start, sizeof at);
    if (!is_empty(&g, m)) {
        unsigned base = (unsigned)(test_random(r) % 200), spread = 1 + (unsigned)(test_random(r) % 20);
        do {
            uint8_t number = (uint8_t)(fill ? 0 : (base + test_random(r) % spread) % 250);
            *number_at(m, at) = number;
            element_of(m, number, place(&g, m, at));
        } while (next(at, g.start, g.count, m->o.ndim));
    }
    shardio_status s = shardio_array_write_strided(a, g.start, g.count, fill ? NULL : g.first, g.stride, &e);
    CHECK_OK(s);
    if (s != SHARDIO_OK) fprintf(stderr, "    %s\n", shardio_error_text(&e, text, sizeof text));
    free(g.memory);
}

static void read_region(const model *m, shardio_array *a, uint64_t *r, bool whole)
{
    region g;
    shardio_error e;
    char text[300];
    uint64_t at[4];
    uint8_t want[ELEMENT];
    region_begin(&g, m, r, whole);
    shardio_status s = shardio_array_read_strided(a, g.start, g.count, g.first, g.stride, &e);
    CHECK_OK(s);
    if (s != SHARDIO_OK) fprintf(stderr, "    %s\n", shardio_error_text(&e, text, sizeof text));
    memcpy(at, g.start, sizeof at);
    if (s == SHARDIO_OK && !is_empty(&g, m)) {
        do {
            element_of(m, *number_at(m, at), want);
            if (!CHECK(same_element(m, want, place(&g, m, at)))) break;
        } while (next(at, g.start, g.count, m->o.ndim));
    }
    free(g.memory);
}

static void resize(model *m, shardio_array *a, uint64_t *r)
{
    shardio_error e;
    char text[300];
    uint64_t at[4] = {0}, zero[4] = {0};
    for (uint32_t d = 0; d < m->o.ndim; d++)
        if (test_random(r) % 2) m->shape[d] = test_random(r) % (m->room[d] + 1);
    do {
        bool outside = false;
        for (uint32_t d = 0; d < m->o.ndim; d++) outside = outside || at[d] >= m->shape[d];
        if (outside) *number_at(m, at) = 0;
    } while (next(at, zero, m->room, m->o.ndim));
    shardio_status s = shardio_array_resize(a, m->shape, false, &e);
    CHECK_OK(s);
    if (s != SHARDIO_OK) fprintf(stderr, "    %s\n", shardio_error_text(&e, text, sizeof text));
}

static void no_findings(void *context, const shardio_error *finding)
{
    char text[300];
    (void)context;
    fprintf(stderr, "    finding: %s\n", shardio_error_text(finding, text, sizeof text));
}

static shardio_status stop(void *context, const char *key, const uint64_t *position, uint64_t size,
                           shardio_shard_reader *reader, const shardio_error *fault)
{
    (void)context, (void)key, (void)position, (void)size, (void)reader, (void)fault;
    return SHARDIO_ERR_LIMIT;
}

static shardio_status count_dead(void *context, const char *key, const uint64_t *position, uint64_t size,
                                 shardio_shard_reader *reader, const shardio_error *fault)
{
    shardio_shard_summary sum;
    (void)key, (void)position, (void)size, (void)fault;
    if (reader != NULL && shardio_shard_verify(reader, &sum, NULL, NULL, NULL) == SHARDIO_OK) *(uint64_t *)context += sum.dead_bytes;
    return SHARDIO_OK;
}

static void append_some(model *m, const shardio_store *store, uint64_t *r)
{
    shardio_error e;
    char text[300];
    uint64_t frame = 1, at[4], count[4], start[4] = {0};
    for (uint32_t d = 1; d < m->o.ndim; d++) frame *= m->shape[d];
    if (m->o.ndim == 0 || frame == 0 || m->shape[0] == m->room[0]) return;
    uint64_t frames = 1 + test_random(r) % (m->room[0] - m->shape[0]);
    uint8_t *elements = (uint8_t *)malloc((size_t)(frames * frame) * m->element), *to = elements;
    memcpy(count, m->shape, sizeof count);
    start[0] = m->shape[0];
    count[0] = frames;
    memcpy(at, start, sizeof at);
    do {
        uint8_t number = (uint8_t)(test_random(r) % 9);
        *number_at(m, at) = number;
        element_of(m, number, to);
        to += m->element;
    } while (next(at, start, count, m->o.ndim));
    shardio_array *a = shardio_array_continue_in(store, &m->o);
    uint64_t cut = test_random(r) % (frames * frame + 1);
    CHECK_OK(shardio_array_append(a, elements, cut));
    if (test_random(r) % 2) CHECK_OK(shardio_array_checkpoint(a));
    CHECK_OK(shardio_array_append(a, elements + cut * m->element, frames * frame - cut));
    shardio_status s = shardio_array_finish(a, &e);
    CHECK_OK(s);
    if (s != SHARDIO_OK) fprintf(stderr, "    %s\n", shardio_error_text(&e, text, sizeof text));
    m->shape[0] += frames;
    free(elements);
}

static void compact(const model *m, shardio_array *a)
{
    uint64_t dead = 0;
    shardio_error e;
    char text[300];
    (void)m;
    shardio_status s = shardio_array_compact(a, NULL, NULL, &e);
    CHECK_OK(s);
    if (s != SHARDIO_OK) fprintf(stderr, "    %s\n", shardio_error_text(&e, text, sizeof text));
    CHECK_OK(shardio_array_each_shard(a, count_dead, &dead, &e));
    CHECK_U64(dead, 0);
    s = shardio_array_each_shard(a, stop, NULL, &e);
    CHECK_STATUS(e.status, s);
}

static void one_life(const char *directory, uint64_t seed)
{
    model m;
    shardio_memory_store memory;
    shardio_cache_options small;
    shardio_cache cache;
    shardio_error e;
    char text[300];
    uint64_t r = seed * 1000003;
    model_begin(&m, &r, directory, seed);
    memset(&small, 0, sizeof small);
    small.decoded_bytes = seed % 5 == 0 ? SHARDIO_CACHE_OFF : 4000 * (1 + seed % 7);
    small.raw_bytes = seed % 5 == 1 ? SHARDIO_CACHE_OFF : 3000 * (1 + seed % 4);
    small.block_size = 512;
    shardio_cache_begin(&cache, &small);
    if (seed % 3 != 0) m.o.cache = &cache;
    shardio_store store = seed % 2 ? shardio_store_directory(m.path) : shardio_store_memory(&memory, NULL);
    if (seed % 4 > 1) m.o.path = "some/group/array";
    shardio_status s = shardio_array_define_in(&store, &m.o, &e);
    CHECK_OK(s);
    if (s != SHARDIO_OK) fprintf(stderr, "    %s\n", shardio_error_text(&e, text, sizeof text));
    shardio_array *a = shardio_array_update_in(&store, &m.o, &e);
    for (int step = 0; step < 14 && test_failures == 0; step++) {
        switch (test_random(&r) % 8) {
        case 0: resize(&m, a, &r); break;
        case 1: compact(&m, a); break;
        case 2:
            shardio_array_close(a);
            if (test_random(&r) % 2) append_some(&m, &store, &r);
            a = shardio_array_update_in(&store, &m.o, &e);
            CHECK_OK(e.status);
            break;
        default: write_region(&m, a, &r);
        }
        read_region(&m, a, &r, step % 4 == 3);
    }
    CHECK_OK(shardio_array_verify(a, no_findings, NULL, NULL, NULL, &e));
    shardio_array_close(a);
    a = shardio_array_open_in(&store, &m.o, &e);
    read_region(&m, a, &r, true);
    shardio_array_close(a);
    shardio_cache_end(&cache);
    if (test_failures) describe(&m, seed);
    if (seed % 2 == 0) shardio_store_memory_free(&memory);
    free(m.numbers);
}

TEST(random_lives)
{
    char directory[300];
    test_directory(directory, sizeof directory);
    const char *only = getenv("TEST_SEED");
    uint64_t count = test_rounds(400);
    for (uint64_t seed = 0; seed < count && test_failures == 0; seed++)
        if (only == NULL || strtoull(only, NULL, 10) == seed) one_life(directory, seed);
}

TEST_MAIN(TEST_CASE(random_lives))
