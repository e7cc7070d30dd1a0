/* Statistics of arrays: whatever is done to an array, what is kept is what a full read says, or absent. */
#include "arrays.h"

#include <math.h>

#define KEY ".shardio-statistics"
#define LONG_TEXT "a text of which only the beginning is kept, since it has more bytes than are kept, "

/* ---- what a full read says, by other means than those of the header */

typedef struct plain {
    shardio_array_facts facts;
    uint64_t rows, nulls;
    bool range;
    uint8_t *elements;
    bool *stored;              /* of each chunk of the grid; it is reached by its number in C order */
    uint64_t grid[SHARDIO_MAX_DIMS], per[SHARDIO_MAX_DIMS];
    const uint8_t *min, *max;
} plain;

static shardio_bytes bytes_at(const plain *p, const uint8_t *element)
{
    shardio_bytes b = {element, p->facts.element_size};
    if (p->facts.dtype == SHARDIO_STRING || p->facts.dtype == SHARDIO_BYTES) memcpy(&b, element, sizeof b);
    return b;
}

static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, power = exponent > 0 ? exponent : 1;
    double x = (h & 0x3FF) / 1024.0 + (exponent > 0);
    if (exponent == 31) return (h & 0x3FF) != 0 ? (double)NAN : (h & 0x8000) != 0 ? -(double)INFINITY : (double)INFINITY;
    for (; power < 15; power++) x /= 2;
    for (; power > 15; power--) x *= 2;
    return (h & 0x8000) != 0 ? -x : x;
}

static double float_at(const plain *p, const uint8_t *element)
{
    uint16_t h;
    float f;
    double d;
    if (p->facts.dtype == SHARDIO_FLOAT16) return memcpy(&h, element, 2), half_value(h);
    if (p->facts.dtype == SHARDIO_FLOAT32) return memcpy(&f, element, 4), (double)f;
    return memcpy(&d, element, 8), d;
}

static bool is_nan(const plain *p, const uint8_t *element)
{
    bool floats = p->facts.dtype >= SHARDIO_FLOAT16 && p->facts.dtype <= SHARDIO_FLOAT64;
    return floats && float_at(p, element) != float_at(p, element);
}

static int64_t integer_at(const plain *p, const uint8_t *element)
{
    int8_t a;
    int16_t b;
    int32_t c;
    int64_t d;
    if (p->facts.dtype == SHARDIO_INT8) return memcpy(&a, element, 1), a;
    if (p->facts.dtype == SHARDIO_INT16) return memcpy(&b, element, 2), b;
    if (p->facts.dtype == SHARDIO_INT32) return memcpy(&c, element, 4), c;
    return memcpy(&d, element, 8), d;
}

static uint64_t unsigned_at(const plain *p, const uint8_t *element)
{
    uint16_t b;
    uint32_t c;
    uint64_t d;
    if (p->facts.element_size == 1) return element[0];
    if (p->facts.element_size == 2) return memcpy(&b, element, 2), b;
    if (p->facts.element_size == 4) return memcpy(&c, element, 4), c;
    return memcpy(&d, element, 8), d;
}

static bool less(const plain *p, const uint8_t *a, const uint8_t *b)
{
    shardio_dtype t = p->facts.dtype;
    if (t == SHARDIO_RAW || t == SHARDIO_STRING || t == SHARDIO_BYTES) {
        shardio_bytes x = bytes_at(p, a), y = bytes_at(p, b);
        size_t n = x.size < y.size ? x.size : y.size;
        int order = n > 0 ? memcmp(x.data, y.data, n) : 0;
        return order != 0 ? order < 0 : x.size < y.size;
    }
    if (t >= SHARDIO_FLOAT16 && t <= SHARDIO_FLOAT64) {
        double x = float_at(p, a), y = float_at(p, b);
        size_t last = machine_big_endian() ? 0 : p->facts.element_size - 1;
        return x < y || (x == 0 && y == 0 && a[last] > b[last]);      /* -0.0 before 0.0 */
    }
    if (t >= SHARDIO_INT8 && t <= SHARDIO_INT64) return integer_at(p, a) < integer_at(p, b);
    return unsigned_at(p, a) < unsigned_at(p, b);
}

static bool is_fill(const plain *p, const uint8_t *element)
{
    shardio_bytes x = bytes_at(p, element), y = bytes_at(p, (const uint8_t *)p->facts.fill_value);
    return x.size == y.size && (x.size == 0 || memcmp(x.data, y.data, x.size) == 0);
}

static uint64_t chunk_number(const plain *p, const uint64_t *index)
{
    uint64_t n = 0;
    for (uint32_t d = 0; d < p->facts.ndim; d++) n = n * p->grid[d] + index[d];
    return n;
}

static shardio_status note_stored(void *context, const char *key, const uint64_t *position, uint64_t size,
                                  shardio_shard_reader *reader, const shardio_error *fault)
{
    plain *p = (plain *)context;
    const shardio_array_facts *f = &p->facts;
    (void)key, (void)size;
    CHECK(fault == NULL);
    if (fault != NULL) return SHARDIO_OK;
    for (uint64_t n = 0; n < (reader != NULL ? f->index.chunks : 1); n++) {
        uint64_t offset = 0, length = 0, index[SHARDIO_MAX_DIMS], rest = n;
        bool inside = true;
        for (uint32_t d = f->ndim; d-- > 0;) {
            index[d] = position[d] * p->per[d] + (reader != NULL ? rest % p->per[d] : 0);
            rest /= p->per[d];
            inside = inside && index[d] < p->grid[d];
        }
        if (reader != NULL) CHECK_OK(shardio_shard_locate(reader, n, &offset, &length, NULL));
        if (inside && length != SHARDIO_MISSING) p->stored[chunk_number(p, index)] = true;
    }
    return SHARDIO_OK;
}

static void plain_begin(plain *p, shardio_array *a)
{
    uint64_t chunks = 1, zero[SHARDIO_MAX_DIMS] = {0};
    shardio_error e;
    memset(p, 0, sizeof *p);
    CHECK_OK(shardio_array_describe(a, &p->facts));
    p->rows = 1;
    for (uint32_t d = 0; d < p->facts.ndim; d++) {
        p->rows *= p->facts.shape[d];
        p->grid[d] = (p->facts.shape[d] + p->facts.chunk[d] - 1) / p->facts.chunk[d];
        p->per[d] = p->facts.shard[d] / p->facts.chunk[d];
        chunks *= p->grid[d];
    }
    p->stored = (bool *)calloc((size_t)chunks + 1, sizeof *p->stored);
    p->elements = (uint8_t *)calloc((size_t)p->rows + 1, p->facts.element_size);
    CHECK_OK(shardio_array_each_shard(a, note_stored, p, &e));
    CHECK_OK(shardio_array_read(a, zero, p->facts.shape, p->elements, (size_t)p->rows * p->facts.element_size, &e));
}

static void plain_end(plain *p)
{
    free(p->stored);
    free(p->elements);
}

static void plain_count(plain *p, bool fill_is_value)
{
    uint64_t at[SHARDIO_MAX_DIMS] = {0}, index[SHARDIO_MAX_DIMS];
    bool ordered = p->facts.dtype != SHARDIO_COMPLEX64 && p->facts.dtype != SHARDIO_COMPLEX128;
    p->nulls = 0;
    p->range = false;
    for (uint64_t i = 0; i < p->rows; i++) {
        const uint8_t *element = p->elements + i * p->facts.element_size;
        for (uint32_t d = 0; d < p->facts.ndim; d++) index[d] = at[d] / p->facts.chunk[d];
        if (!p->stored[chunk_number(p, index)] || (!fill_is_value && is_fill(p, element))) {
            p->nulls++;
        } else if (ordered && !is_nan(p, element)) {
            if (!p->range || less(p, element, p->min)) p->min = element;
            if (!p->range || less(p, p->max, element)) p->max = element;
            p->range = true;
        }
        for (uint32_t d = p->facts.ndim; d-- > 0;) {
            if (++at[d] < p->facts.shape[d]) break;
            at[d] = 0;
        }
    }
}

static void check_extreme(const plain *p, const uint8_t *want, const uint8_t *got, size_t size, bool cut)
{
    shardio_bytes b = bytes_at(p, want);
    CHECK(cut == (b.size > SHARDIO_STATISTICS_BYTES));
    CHECK_U64(size, b.size > SHARDIO_STATISTICS_BYTES ? SHARDIO_STATISTICS_BYTES : b.size);
    if (size <= b.size && size > 0) CHECK_BYTES(got, b.data, size);
}

enum { ABSENT, RIGHT, RIGHT_OR_ABSENT };

/* True if there are statistics. */
static bool check_statistics(const shardio_store *store, const shardio_array_options *options, int expected)
{
    bool there = false;
    for (int fill_is_value = 0; fill_is_value < 2; fill_is_value++) {
        shardio_array_options o;
        shardio_statistics s;
        shardio_error e, e2;
        plain p;
        char text[400];
        memset(&o, 0, sizeof o);
        o.path = options->path;
        o.codecs[0] = options->codecs[0];
        o.fill_is_value = fill_is_value != 0;
        shardio_array *a = shardio_array_open_in(store, &o, &e);
        CHECK_OK(e.status);
        shardio_status status = shardio_array_statistics(a, &s, &e2);
        CHECK_STATUS(e2.status, status);
        if (expected == ABSENT) CHECK_STATUS(status, SHARDIO_ERR_NOT_FOUND);
        if (expected == RIGHT && status != SHARDIO_OK) test_fail(__FILE__, __LINE__, shardio_error_text(&e2, text, sizeof text));
        if (expected == RIGHT_OR_ABSENT && status != SHARDIO_OK) CHECK_STATUS(status, SHARDIO_ERR_NOT_FOUND);
        there = status == SHARDIO_OK;
        if (there) {
            plain_begin(&p, a);
            plain_count(&p, fill_is_value != 0);
            CHECK_U64(s.rows, p.rows);
            CHECK_U64(s.nulls, p.nulls);
            CHECK(s.has_range == p.range);
            if (s.has_range && p.range) {
                check_extreme(&p, p.min, s.min, s.min_size, s.min_cut);
                check_extreme(&p, p.max, s.max, s.max_size, s.max_cut);
            }
            plain_end(&p);
        }
        shardio_array_close(a);
    }
    return there;
}

/* ---- elements, of few different values, with fill values, and numbers that are none */

static void some_elements(const shardio_array_options *o, const uint8_t *fill, uint64_t *r, uint64_t count, uint8_t *to)
{
    static const char *const texts[] = {"", "a", "b", LONG_TEXT "one", LONG_TEXT "another", LONG_TEXT, "zebra", "0123456789012345678901234567890123456789012345678901234567890123"};
    size_t element = o->dtype == SHARDIO_RAW ? o->raw_bytes : shardio_dtype_size(o->dtype);
    uint64_t mood = test_random(r) % 4;
    for (uint64_t i = 0; i < count; i++, to += element) {
        uint64_t kind = mood == 0 ? 0 : test_random(r) % 6;
        if (kind == 0) {
            memcpy(to, fill, element);
        } else if (o->dtype == SHARDIO_STRING || o->dtype == SHARDIO_BYTES) {
            shardio_bytes b = {texts[test_random(r) % 8], 0};
            b.size = strlen((const char *)b.data);
            memcpy(to, &b, sizeof b);
        } else {
            for (size_t k = 0; k < element; k++) to[k] = (uint8_t)test_random(r);
            if (kind == 1) for (size_t k = 0; k < element; k++) to[k] = k == 0 || k + 1 == element ? 0xFF : 0;
            if (kind == 2) memset(to, 0, element);
            if (kind == 2 && test_random(r) % 2) to[element - 1] = 0x80;
            if (o->dtype == SHARDIO_BOOL) to[0] &= 1;
        }
    }
}

/* A random small array. */
typedef struct life {
    shardio_array_options o;
    uint8_t fill[256];
    size_t element;
    uint64_t r, shape[SHARDIO_MAX_DIMS];
    shardio_store *store;
    bool directory;
} life;

static void life_begin(life *l, uint64_t seed, shardio_store *store)
{
    shardio_array_options *o = &l->o;
    memset(l, 0, sizeof *l);
    l->store = store;
    l->r = test_mix(seed);
    o->dtype = (shardio_dtype)(1 + test_random(&l->r) % (SHARDIO_DTYPE_COUNT - 1));
    o->raw_bytes = o->dtype == SHARDIO_RAW ? (uint32_t)(1 + test_random(&l->r) % (test_random(&l->r) % 2 ? 5 : 90)) : 0;
    l->element = o->dtype == SHARDIO_RAW ? o->raw_bytes : shardio_dtype_size(o->dtype);
    o->ndim = 1 + (uint32_t)(test_random(&l->r) % 3);
    bool sharded = test_random(&l->r) % 3 != 0;
    for (uint32_t d = 0; d < o->ndim; d++) {
        o->shape[d] = 1 + test_random(&l->r) % 9;
        o->chunk[d] = 1 + test_random(&l->r) % 4;
        o->shard[d] = sharded ? o->chunk[d] * (1 + test_random(&l->r) % 3) : 0;
    }
    o->shape[0] = SHARDIO_UNLIMITED;
    if (test_random(&l->r) % 2) random_element(SHARDIO_COMPLEX128, test_random(&l->r), l->fill);
    if (test_random(&l->r) % 4 == 0) memset(l->fill, 0xFF, sizeof l->fill);       /* NaN */
    if (o->dtype == SHARDIO_BOOL) l->fill[0] &= 1;
    if (o->dtype == SHARDIO_STRING || o->dtype == SHARDIO_BYTES) {
        shardio_bytes b = {"a", test_random(&l->r) % 2};
        memcpy(l->fill, &b, sizeof b);
    }
    o->fill_value = l->fill;
    o->skip_fill = test_random(&l->r) % 2 != 0;
    o->big_endian = test_random(&l->r) % 3 == 0;
    o->index_at_start = test_random(&l->r) % 3 == 0;
    o->index_no_checksum = test_random(&l->r) % 5 == 0;
    o->codecs[0] = test_random(&l->r) % 3 == 0 ? shardio_codec_crc32c() : NULL;
    o->path = test_random(&l->r) % 2 ? "a/b" : NULL;
    o->memory = (size_t)(test_random(&l->r) % 2 ? 1 : 4096);
    o->buffer_size = 4096;
    o->block_size = 512;
    o->max_open_files = 1 + (uint32_t)(test_random(&l->r) % 3);
    o->durability = SHARDIO_DURABLE_NONE;
    o->direct = SHARDIO_DIRECT_OFF;
    o->statistics = true;
}

static void *life_elements(life *l, uint64_t count)
{
    uint8_t *data = (uint8_t *)malloc((size_t)count * l->element + 1);
    some_elements(&l->o, l->fill, &l->r, count, data);
    return data;
}

/* Appends some frames and parts of one, with checkpoints. */
static shardio_status life_append(life *l, shardio_array *a, bool look)
{
    uint64_t frame = 1;
    shardio_error e;
    for (uint32_t d = 1; d < l->o.ndim; d++) frame *= l->o.shape[d];
    for (uint64_t n = test_random(&l->r) % 5; n > 0; n--) {
        uint64_t count = test_random(&l->r) % (3 * frame + 1);
        void *data = life_elements(l, count);
        (void)shardio_array_append(a, data, count);
        free(data);
        if (test_random(&l->r) % 3 == 0 && shardio_array_checkpoint(a) == SHARDIO_OK && look)
            check_statistics(l->store, &l->o, RIGHT);
    }
    return shardio_array_finish(a, &e);
}

/* Writes regions, resizes, compacts. */
static shardio_status life_change(life *l, shardio_array *a, bool look)
{
    shardio_array_facts f;
    shardio_error e;
    shardio_status status = SHARDIO_OK;
    uint32_t n = l->o.ndim;
    for (uint64_t k = 1 + test_random(&l->r) % 4; k > 0 && status == SHARDIO_OK; k--) {
        uint64_t start[3] = {0, 0, 0}, count[3] = {1, 1, 1}, elements = 1, what = test_random(&l->r) % 8;
        if (shardio_array_describe(a, &f) != SHARDIO_OK) break;
        if (what < 4) {
            for (uint32_t d = 0; d < n; d++) {
                start[d] = test_random(&l->r) % (f.shape[d] + 1);
                count[d] = test_random(&l->r) % (f.shape[d] - start[d] + 1);
                elements *= count[d];
            }
            void *data = life_elements(l, elements);
            status = shardio_array_write(a, start, count, test_random(&l->r) % 5 ? data : NULL, (size_t)elements * l->element, &e);
            free(data);
        } else if (what < 6) {
            uint64_t shape[3] = {0, 0, 0};
            for (uint32_t d = 0; d < n; d++) shape[d] = test_random(&l->r) % 3 ? f.shape[d] : 1 + test_random(&l->r) % 10;
            status = shardio_array_resize(a, shape, test_random(&l->r) % 2 != 0, &e);
            if (status == SHARDIO_OK) memcpy(l->o.shape + 1, shape + 1, 2 * sizeof shape[0]);
        } else if (what == 6) {
            status = shardio_array_compact(a, NULL, NULL, &e);
        } else {
            shardio_statistics s;
            status = shardio_array_statistics(a, &s, &e);
            if (look) CHECK_OK(status);
            if (status == SHARDIO_ERR_NOT_FOUND) status = SHARDIO_OK;
        }
    }
    return status;
}

/* The first key of a chunk. */
static void chunk_key(const shardio_store *store, const char *path, uint64_t which, char *key, size_t size)
{
    key_list list;
    char prefix[40];
    snprintf(prefix, sizeof prefix, "%s%s", path != NULL ? path : "", path != NULL ? "/c/" : "c/");
    CHECK_OK(store_keys(store, prefix, &list));
    key[0] = 0;
    char *at = list.text;
    for (uint64_t skip = list.count > 0 ? which % list.count : 0; list.count > 0; skip--) {
        while (*at == ' ') at++;
        size_t n = strcspn(at, " ");
        snprintf(key, size, "%.*s", (int)n, at);
        at += n;
        if (skip == 0) break;
    }
}

/* The clock of the file system goes on. */
static void let_time_pass(const life *l)
{
    if (l->directory) usleep(20000);
}

/* Somebody else changes, removes or adds something. */
static void life_foreign(life *l)
{
    char key[200];
    size_t size;
    shardio_error e;
    shardio_array_options o = l->o;
    uint64_t zero[3] = {0, 0, 0};
    shardio_array_facts f;
    o.statistics = false;
    let_time_pass(l);
    if (test_random(&l->r) % 2) {
        chunk_key(l->store, l->o.path, test_random(&l->r), key, sizeof key);
        if (key[0] != 0 && test_random(&l->r) % 2) {
            CHECK_OK(store_remove(l->store, key));
        } else if (key[0] != 0) {
            uint8_t *data = store_get(l->store, key, &size);
            CHECK_OK(store_put(l->store, key, data, size));
            free(data);
        }
    } else {
        shardio_array *a = shardio_array_update_in(l->store, &o, &e);
        CHECK_OK(e.status);
        CHECK_OK(shardio_array_describe(a, &f));
        uint64_t elements = 1;
        for (uint32_t d = 0; d < f.ndim; d++) elements *= f.shape[d];
        void *data = life_elements(l, elements);
        CHECK_OK(shardio_array_write(a, zero, f.shape, data, (size_t)elements * l->element, &e));
        free(data);
        shardio_array_close(a);
    }
    let_time_pass(l);
    check_statistics(l->store, &l->o, RIGHT_OR_ABSENT);
}

static void life_make(life *l)
{
    shardio_error e;
    shardio_array_options o = l->o;
    o.statistics = test_random(&l->r) % 2 != 0;
    shardio_array *a = shardio_array_update_in(l->store, &o, &e);
    CHECK_OK(e.status);
    CHECK_OK(shardio_array_make_statistics(a, NULL, NULL, &e));
    CHECK_OK(e.status);
    shardio_array_close(a);
    check_statistics(l->store, &l->o, RIGHT);
}

static void life_run(life *l)
{
    shardio_error e;
    bool right = true;
    CHECK_OK(life_append(l, shardio_array_create_in(l->store, &l->o), true));
    for (int k = 0; k < 6 && test_failures == 0; k++) {
        uint64_t what = test_random(&l->r) % 7;
        check_statistics(l->store, &l->o, right ? RIGHT : RIGHT_OR_ABSENT);
        if (what < 2) {
            CHECK_OK(life_append(l, shardio_array_continue_in(l->store, &l->o), right));
        } else if (what < 5) {
            shardio_array *a = shardio_array_update_in(l->store, &l->o, &e);
            CHECK_OK(e.status);
            CHECK_OK(life_change(l, a, right));
            shardio_array_close(a);
        } else if (what == 5) {
            life_foreign(l);
            right = false;
        } else {
            life_make(l);
            right = true;
        }
    }
    life_make(l);
}

static uint64_t seeds(uint64_t usual)
{
    const char *count = getenv("TEST_COUNT");
    return count != NULL ? strtoull(count, NULL, 10) : usual;
}

TEST(random_lives)
{
    const char *only = getenv("TEST_SEED");
    for (uint64_t seed = 0; seed < seeds(400) && test_failures == 0; seed++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        counter c;
        life l;
        if (only != NULL) seed = strtoull(only, NULL, 10);
        life_begin(&l, seed, &store);
        l.o.allocator = counter_begin(&c);
        life_run(&l);
        CHECK_U64(c.live, 0);
        shardio_store_memory_free(&memory);
        if (test_failures) fprintf(stderr, "    seed %llu\n", (unsigned long long)seed);
        if (only != NULL) break;
    }
}

TEST(random_lives_in_a_directory)
{
    for (uint64_t seed = 5000; seed < 5000 + seeds(400) / 20 && test_failures == 0; seed++) {
        char path[300];
        life l;
        test_directory(path, sizeof path);
        shardio_store store = shardio_store_directory(path);
        life_begin(&l, seed, &store);
        l.directory = true;
        life_run(&l);
        if (test_failures) fprintf(stderr, "    seed %llu\n", (unsigned long long)seed);
    }
}

TEST_MAIN(TEST_CASE(random_lives) TEST_CASE(random_lives_in_a_directory))
