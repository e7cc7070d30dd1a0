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

static bool is_time(const plain *p)
{
    return p->facts.dtype == SHARDIO_DATETIME64 || p->facts.dtype == SHARDIO_TIMEDELTA64;
}

static int64_t integer_at(const plain *p, const uint8_t *element);

static bool is_nan(const plain *p, const uint8_t *element)
{
    if (is_time(p)) return integer_at(p, element) == INT64_MIN;
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
    if ((t >= SHARDIO_INT8 && t <= SHARDIO_INT64) || is_time(p)) return integer_at(p, a) < integer_at(p, b);
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
    uint64_t chunks = 1;
    (void)key, (void)size;
    CHECK(fault == NULL);
    if (fault != NULL) return SHARDIO_OK;
    for (uint32_t d = 0; d < f->ndim; d++) chunks *= p->per[d];
    for (uint64_t n = 0; n < chunks; n++) {
        uint64_t offset = 0, length = 0, index[SHARDIO_MAX_DIMS], rest = n;
        bool inside = true;
        for (uint32_t d = f->ndim; d-- > 0;) {
            index[d] = position[d] * p->per[d] + rest % p->per[d];
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
    const size_t most = SHARDIO_STATISTICS_BYTES;
    CHECK_U64(size, b.size > most ? most : b.size);
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
    o->time_unit = "s";   /* for those types that have one */
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

TEST(random_lives)
{
    const char *only = getenv("TEST_SEED");
    for (uint64_t seed = 0; seed < test_rounds(400) && test_failures == 0; seed++) {
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
    for (uint64_t seed = 5000; seed < 5000 + test_rounds(20) && test_failures == 0; seed++) {
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


TEST(random_lives_in_an_archive)
{
    for (uint64_t seed = 7000; seed < 7000 + test_rounds(40) && test_failures == 0; seed++) {
        char path[300], file[340];
        shardio_archive_options o;
        shardio_memory_store memory;
        shardio_store copy = shardio_store_memory(&memory, NULL);
        shardio_error e;
        life l;
        memset(&o, 0, sizeof o);
        o.write = o.create = true;
        o.direct = SHARDIO_DIRECT_OFF;
        o.durability = SHARDIO_DURABLE_NONE;
        test_directory(path, sizeof path);
        snprintf(file, sizeof file, "%s/a.zip", path);
        shardio_archive *archive = shardio_archive_open(file, &o, &e);
        if (!CHECK(archive != NULL)) return;
        shardio_store store = shardio_archive_store(archive);
        life_begin(&l, seed, &store);
        life_run(&l);
        CHECK_OK(shardio_archive_finish(archive, &e));
        archive = shardio_archive_open(file, NULL, &e);
        store = shardio_archive_store(archive);
        check_statistics(&store, &l.o, RIGHT);
        CHECK_OK(shardio_store_copy(&store, &copy, NULL, NULL, NULL, &e));
        check_statistics(&copy, &l.o, RIGHT);
        shardio_archive_close(archive);
        shardio_store_memory_free(&memory);
        if (test_failures) fprintf(stderr, "    seed %llu\n", (unsigned long long)seed);
    }
}

/* ---- examples */

static void example_options(shardio_array_options *o, shardio_dtype dtype, uint64_t elements, uint64_t chunk)
{
    memset(o, 0, sizeof *o);
    o->dtype = dtype;
    o->time_unit = "s";
    o->ndim = 1;
    o->shape[0] = elements;
    o->chunk[0] = chunk;
    o->statistics = true;
    o->durability = SHARDIO_DURABLE_NONE;
}

static shardio_statistics ask(const shardio_store *store, bool fill_is_value, shardio_status wanted)
{
    shardio_array_options o;
    shardio_statistics s;
    shardio_error e;
    memset(&o, 0, sizeof o);
    memset(&s, 0, sizeof s);
    o.fill_is_value = fill_is_value;
    shardio_array *a = shardio_array_open_in(store, &o, &e);
    CHECK_STATUS(shardio_array_statistics(a, &s, &e), wanted);
    CHECK_STATUS(e.status, wanted);
    shardio_array_close(a);
    return s;
}

static void write_example(const shardio_store *store, const shardio_array_options *o, uint64_t first, uint64_t count, const void *elements)
{
    shardio_error e;
    CHECK_OK(shardio_array_define_in(store, o, &e));
    shardio_array *a = shardio_array_update_in(store, o, &e);
    CHECK_OK(shardio_array_write(a, &first, &count, elements, (size_t)count * 16, &e));
    shardio_array_close(a);
}

TEST(fill_values_are_null_or_not)
{
    static const int16_t numbers[] = {23, -999, 31, 28, -999, -1000};
    static const int16_t fill = -999;
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_statistics s;
    int16_t min, max;
    example_options(&o, SHARDIO_INT16, 20, 4);
    o.fill_value = &fill;
    write_example(&store, &o, 0, 6, numbers);
    s = ask(&store, false, SHARDIO_OK);
    CHECK(s.has_range && !s.min_cut && !s.max_cut && s.min_size == 2 && s.max_size == 2);
    memcpy(&min, s.min, 2);
    memcpy(&max, s.max, 2);
    CHECK(min == -1000 && max == 31);
    CHECK_U64(s.rows, 20);
    CHECK_U64(s.nulls, 16);
    s = ask(&store, true, SHARDIO_OK);
    CHECK_U64(s.nulls, 12);                                 /* three chunks were never written */
    memcpy(&min, s.min, 2);
    CHECK(min == -1000);
    shardio_store_memory_free(&memory);
}

TEST(floats)
{
    static const double numbers[] = {NAN, 0.0, -0.0, INFINITY, -3.5, NAN};
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    double min, max;
    example_options(&o, SHARDIO_FLOAT64, 6, 2);
    write_example(&store, &o, 0, 4, numbers);
    shardio_statistics s = ask(&store, false, SHARDIO_OK);
    memcpy(&min, s.min, 8);
    memcpy(&max, s.max, 8);
    CHECK(min == 0 && signbit(min) && max == (double)INFINITY);
    CHECK_U64(s.nulls, 3);
    shardio_store_memory_free(&memory);

    store = shardio_store_memory(&memory, NULL);
    write_example(&store, &o, 4, 2, numbers + 4);
    s = ask(&store, false, SHARDIO_OK);
    memcpy(&max, s.max, 8);
    CHECK(s.has_range && max < -3.4);
    CHECK_U64(s.nulls, 4);
    shardio_store_memory_free(&memory);

    store = shardio_store_memory(&memory, NULL);
    write_example(&store, &o, 0, 1, numbers);
    CHECK(!ask(&store, false, SHARDIO_OK).has_range);
    s = ask(&store, true, SHARDIO_OK);
    memcpy(&max, s.max, 8);
    CHECK(s.has_range && max == 0 && !signbit(max));         /* the other element of the chunk */
    shardio_store_memory_free(&memory);
}

TEST(long_texts_are_cut)
{
    static const char *const texts[] = {LONG_TEXT "b", LONG_TEXT "a", "b", "a text"};
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_bytes elements[4];
    for (int i = 0; i < 4; i++) {
        elements[i].data = texts[i];
        elements[i].size = strlen(texts[i]);
    }
    example_options(&o, SHARDIO_STRING, 4, 1);
    write_example(&store, &o, 0, 4, elements);
    shardio_statistics s = ask(&store, false, SHARDIO_OK);
    CHECK(s.min_size == 6 && !s.min_cut && memcmp(s.min, "a text", 6) == 0);
    CHECK(s.max_size == 1 && !s.max_cut && s.max[0] == 'b');
    shardio_store_memory_free(&memory);
    store = shardio_store_memory(&memory, NULL);
    write_example(&store, &o, 0, 2, elements);
    s = ask(&store, false, SHARDIO_OK);
    CHECK(s.min_size == 64 && s.min_cut && s.max_size == 64 && s.max_cut && memcmp(s.min, s.max, 64) == 0);
    CHECK_BYTES(s.min, LONG_TEXT, 64);
    CHECK_U64(s.nulls, 2);
    shardio_store_memory_free(&memory);
}

TEST(an_array_that_holds_nothing)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_error e;
    example_options(&o, SHARDIO_UINT8, 50, 8);
    CHECK_OK(shardio_array_define_in(&store, &o, &e));
    CHECK_U64(ask(&store, false, SHARDIO_OK).nulls, 50);
    CHECK(!ask(&store, true, SHARDIO_OK).has_range);
    o.overwrite = true;
    o.shape[0] = 0;
    CHECK_OK(shardio_array_define_in(&store, &o, &e));
    CHECK_U64(ask(&store, false, SHARDIO_OK).rows, 0);
    shardio_store_memory_free(&memory);
}

/* Transposed chunks, shards in shards, codecs around shards, keys of version 2, no dimension at all. */
TEST(other_ways_to_store)
{
#define BYTES "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"big\"}}"
#define SHARD(chunk, inner) "{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":" chunk ",\"codecs\":[" inner "],\"index_codecs\":[" BYTES ",\"crc32c\"]}}"
    static const char *const lists[] = {
        "[{\"name\":\"transpose\",\"configuration\":{\"order\":[1,0]}}," BYTES "]",
        "[" SHARD("[2,3]", "{\"name\":\"transpose\",\"configuration\":{\"order\":[1,0]}}," BYTES) "]",
        "[" SHARD("[2,3]", SHARD("[1,3]", BYTES)) "]",
        "[" SHARD("[2,3]", BYTES) ",\"crc32c\"]",
        "[{\"name\":\"transpose\",\"configuration\":{\"order\":[1,0]}}," SHARD("[3,2]", BYTES) "]",
    };
    for (size_t i = 0; i <= sizeof lists / sizeof lists[0]; i++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        uint64_t r = i, start[2] = {0, 1}, count[2] = {7, 6}, smaller[2] = {5, 8};
        int32_t data[63], fill = 5;
        example_options(&o, SHARDIO_INT32, 0, 1);
        o.fill_value = &fill;
        o.key_v2 = i % 2 != 0;
        o.ndim = i == 5 ? 0 : 2;
        o.shape[0] = 7;
        o.shape[1] = 9;
        o.chunk[0] = 4;
        o.chunk[1] = 6;
        o.codec_list = i == 5 ? NULL : lists[i];
        for (int k = 0; k < 63; k++) data[k] = (int32_t)(test_random(&r) % 20) - 9;
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_write(a, start, count, data, sizeof data, &e));
        if (i < 5) CHECK_OK(shardio_array_resize(a, smaller, true, &e));
        if (i == 4) CHECK_OK(shardio_array_resize(a, count, false, &e));
        shardio_array_close(a);
        if (i != 4) check_statistics(&store, &o, RIGHT);
        CHECK_U64(ask(&store, false, SHARDIO_OK).rows, i == 5 ? 1 : i == 4 ? 42 : 40);
        shardio_store_memory_free(&memory);
    }
}

/* ---- what belongs to them */

static shardio_status visit_node(void *context, const char *path, const shardio_node *node, const shardio_error *fault)
{
    (void)path;
    CHECK(fault == NULL && node != NULL);
    ++*(int *)context;
    return SHARDIO_OK;
}

TEST(the_key_is_a_part_of_the_array)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_error e;
    key_list list;
    uint16_t data[40] = {0, 1, 2, 3};
    int findings = 0, nodes = 0;
    example_options(&o, SHARDIO_UINT16, 40, 4);
    o.path = "a/b";
    for (int round = 0; round < 2; round++) {
        shardio_array *a = shardio_array_create_in(&store, &o);
        CHECK_OK(shardio_array_append(a, data, 40));
        CHECK_OK(shardio_array_finish(a, &e));
        CHECK_OK(store_keys(&store, "", &list));
        CHECK(key_listed(&list, "a/b/" KEY));
        CHECK_U64(list.count, 14);
        a = shardio_array_open_in(&store, &o, &e);
        CHECK_OK(shardio_array_verify(a, no_findings, &findings, NULL, NULL, &e));
        shardio_array_close(a);
        o.overwrite = true;
    }
    CHECK_OK(shardio_hierarchy_walk(&store, "", false, visit_node, &nodes, NULL, &e));
    CHECK_U64(nodes, 3);
    o.statistics = false;
    CHECK_OK(shardio_array_define_in(&store, &o, &e));
    CHECK_OK(store_keys(&store, "", &list));
    CHECK(!key_listed(&list, "a/b/" KEY));
    o.statistics = true;
    CHECK_OK(shardio_array_define_in(&store, &o, &e));
    CHECK_OK(shardio_node_remove(&store, "a", NULL, &e));
    CHECK_OK(store_keys(&store, "", &list));
    CHECK_U64(list.count, 1);
    shardio_array *a = shardio_array_create_in(&store, &o);            /* and nothing stays of one that was given up */
    CHECK_OK(shardio_array_append(a, data, 30));
    shardio_array_abort(a);
    CHECK_OK(store_keys(&store, "", &list));
    CHECK_U64(list.count, 1);
    shardio_store_memory_free(&memory);
}

TEST(left_out_they_cost_nothing)
{
    shardio_memory_store memory;
    shardio_store inner = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_error e;
    key_list list;
    spy s;
    shardio_store store = spy_begin(&s, &inner);
    uint64_t zero = 0, count = 40;
    uint16_t data[40] = {0, 1, 2, 3};
    example_options(&o, SHARDIO_UINT16, 0, 4);
    o.statistics = false;
    shardio_array *a = shardio_array_create_in(&store, &o);
    CHECK_OK(shardio_array_append(a, data, 40));
    CHECK_OK(shardio_array_checkpoint(a));
    CHECK_OK(shardio_array_finish(a, &e));
    a = shardio_array_update_in(&store, &o, &e);
    CHECK_OK(shardio_array_write(a, &zero, &count, data, sizeof data, &e));
    CHECK_OK(shardio_array_resize(a, &count, false, &e));
    shardio_array_close(a);
    CHECK_U64(s.tags, 0);
    CHECK_OK(store_keys(&inner, "", &list));
    CHECK(!key_listed(&list, KEY));
    ask(&inner, false, SHARDIO_ERR_NOT_FOUND);
    shardio_store_memory_free(&memory);
}

TEST(a_store_without_tags)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_store_functions functions = *store.functions;
    shardio_array_options o;
    shardio_statistics s;
    shardio_error e;
    uint8_t data[8] = {1};
    functions.tag = NULL;
    store.functions = &functions;
    example_options(&o, SHARDIO_UINT8, 8, 4);
    CHECK_STATUS(shardio_array_define_in(&store, &o, &e), SHARDIO_ERR_UNSUPPORTED);
    CHECK_STATUS(shardio_array_finish(shardio_array_create_in(&store, &o), &e), SHARDIO_ERR_UNSUPPORTED);
    o.statistics = false;
    CHECK_OK(shardio_array_define_in(&store, &o, &e));
    shardio_array *a = shardio_array_update_in(&store, &o, &e);
    CHECK_STATUS(shardio_array_make_statistics(a, NULL, NULL, &e), SHARDIO_ERR_UNSUPPORTED);
    CHECK_STATUS(shardio_array_statistics(a, &s, &e), SHARDIO_ERR_NOT_FOUND);
    CHECK_STATUS(shardio_array_statistics(a, NULL, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_STATUS(shardio_array_statistics(NULL, &s, &e), SHARDIO_ERR_ARGUMENT);
    shardio_array_close(a);
    o.statistics = true;
    a = shardio_array_update_in(&store, &o, &e);
    CHECK_STATUS(e.status, SHARDIO_ERR_UNSUPPORTED);
    shardio_array_close(a);
    a = shardio_array_continue_in(&store, &o);
    CHECK_STATUS(shardio_array_append(a, data, 1), SHARDIO_ERR_UNSUPPORTED);
    shardio_array_abort(a);
    shardio_store_memory_free(&memory);
}

/* Each change of zarr.json that makes other elements of the same chunks. */
TEST(bound_to_the_metadata)
{
    static const struct { const char *from, *to; bool same; } changes[] = {
        {"\"shape\": [40]", "\"shape\": [39]", false}, {"\"int16\"", "\"uint16\"", false},
        {"\"fill_value\": 0", "\"fill_value\": 1", false}, {"\"little\"", "\"big\"", false},
        {"\"chunk_shape\": [4]", "\"chunk_shape\": [8]", false},
        {"\"attributes\": {}", "\"attributes\": {\"a\": 1}", true},
        {"\"codecs\": [{\"name\"", "\"codecs\": [ { \"name\"", true},
    };
    int16_t data[40] = {3, 2, 1, -1, -2};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        size_t size;
        char changed[2000];
        example_options(&o, SHARDIO_INT16, 40, 4);
        write_example(&store, &o, 0, 40, data);
        char *text = (char *)store_get(&store, "zarr.json", &size), *at = strstr(text, changes[i].from);
        if (!CHECK(at != NULL)) return;
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, changes[i].to, at + strlen(changes[i].from));
        CHECK_OK(store_put_text(&store, "zarr.json", changed));
        check_statistics(&store, &o, changes[i].same ? RIGHT : ABSENT);
        free(text);
        shardio_store_memory_free(&memory);
    }
}

/* One chunk of twenty was changed by somebody else: only that one is read. */
TEST(only_what_changed_is_read)
{
    shardio_memory_store memory;
    shardio_store inner = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_error e;
    spy s;
    shardio_store store = spy_begin(&s, &inner);
    uint16_t data[40], other[2] = {60000, 7};
    for (int i = 0; i < 40; i++) data[i] = (uint16_t)(i + 1);
    example_options(&o, SHARDIO_UINT16, 40, 2);
    write_example(&inner, &o, 0, 40, data);
    CHECK_OK(store_put(&inner, "c/3", other, sizeof other));
    CHECK_OK(store_remove(&inner, "c/5"));
    ask(&inner, false, SHARDIO_ERR_NOT_FOUND);
    shardio_array *a = shardio_array_update_in(&store, NULL, &e);
    CHECK_OK(shardio_array_make_statistics(a, NULL, NULL, &e));
    CHECK_U64(s.reads, 2);                                  /* the statistics, the chunk */
    CHECK_OK(shardio_array_make_statistics(a, NULL, NULL, &e));
    CHECK_U64(s.reads, 3);
    shardio_array_close(a);
    check_statistics(&inner, &o, RIGHT);
    CHECK_U64(ask(&inner, false, SHARDIO_OK).nulls, 2);
    shardio_store_memory_free(&memory);
}

static int stop_later(void *context, uint64_t done, uint64_t total)
{
    CHECK(done <= total);
    return ++*(int *)context == 5;
}

TEST(making_them_can_be_stopped)
{
    shardio_memory_store memory;
    shardio_store inner = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_error e;
    spy s;
    shardio_store store = spy_begin(&s, &inner);
    uint16_t data[40] = {1, 2, 3};
    int calls = 0;
    example_options(&o, SHARDIO_UINT16, 40, 2);
    o.statistics = false;
    write_example(&inner, &o, 0, 40, data);
    shardio_array *a = shardio_array_update_in(&store, NULL, &e);
    CHECK_STATUS(shardio_array_make_statistics(a, stop_later, &calls, &e), SHARDIO_ERR_CANCELLED);
    CHECK_U64(s.reads, 5);
    check_statistics(&inner, &o, ABSENT);
    CHECK_OK(shardio_array_make_statistics(a, NULL, NULL, &e));
    CHECK_U64(s.reads, 5 + 1 + 15);
    shardio_array_close(a);
    check_statistics(&inner, &o, RIGHT);
    shardio_store_memory_free(&memory);
}

/* The statistics cannot be written: everything else is there, and the error is said. */
TEST(data_first)
{
    char path[300], blocked[340];
    shardio_array_options o;
    shardio_error e;
    uint16_t data[40] = {1, 2, 3}, back[40];
    uint64_t zero = 0, count = 40;
    test_directory(path, sizeof path);
    snprintf(blocked, sizeof blocked, "%s/%s", path, KEY);
    CHECK(mkdir(blocked, 0777) == 0);
    example_options(&o, SHARDIO_UINT16, 0, 4);
    shardio_array *a = shardio_array_create(path, &o);
    CHECK_OK(shardio_array_append(a, data, 20));
    CHECK_OK(shardio_array_checkpoint(a));
    CHECK_OK(shardio_array_append(a, data + 20, 20));
    CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_EXISTS);
    CHECK_STATUS(e.status, SHARDIO_ERR_EXISTS);
    a = shardio_array_open(path, NULL, &e);
    CHECK_OK(shardio_array_read(a, &zero, &count, back, sizeof back, &e));
    CHECK_BYTES(back, data, sizeof data);
    shardio_array_close(a);
    CHECK(rmdir(blocked) == 0);
    shardio_store store = shardio_store_directory(path);
    check_statistics(&store, &o, ABSENT);
}

/* ---- failures */

typedef enum phase { CREATE, CONTINUE, CHANGE, MAKE, PHASES } phase;

static shardio_status run_phase(life *l, phase which)
{
    shardio_error e;
    if (which == CREATE) return life_append(l, shardio_array_create_in(l->store, &l->o), false);
    if (which == CONTINUE) return life_append(l, shardio_array_continue_in(l->store, &l->o), false);
    shardio_array *a = shardio_array_update_in(l->store, &l->o, &e);
    shardio_status status = e.status;
    if (status == SHARDIO_OK && which == CHANGE) status = life_change(l, a, false);
    if (status == SHARDIO_OK && which == MAKE) status = shardio_array_make_statistics(a, NULL, NULL, &e);
    shardio_array_close(a);
    return status;
}

/* A life up to a phase in which something fails: call `fail_at` of the store, or of the allocator. True: it did. */
static bool failing_life(uint64_t seed, phase which, uint64_t fail_at, bool memory_fails, bool forever, bool late)
{
    shardio_memory_store memory;
    shardio_store inner = shardio_store_memory(&memory, NULL);
    shardio_error e;
    counter c;
    spy s;
    life l;
    shardio_store store = spy_begin(&s, &inner);
    life_begin(&l, seed, &store);
    l.o.allocator = counter_begin(&c);
    if (which != CREATE) CHECK_OK(run_phase(&l, CREATE));
    if (which == MAKE) {
        l.o.statistics = false;
        CHECK_OK(run_phase(&l, CHANGE));
        l.o.statistics = true;
    }
    s.calls = 0;
    s.forever = forever;
    s.late = late;
    if (memory_fails) c.fail_at = c.calls + fail_at;
    else s.fail_at = fail_at;
    bool made = run_phase(&l, which) == SHARDIO_OK && which != CHANGE;
    bool failed = memory_fails ? c.calls >= c.fail_at : s.failed;
    s.fail_at = c.fail_at = 0;
    CHECK_U64(c.live, 0);
    shardio_array *a = shardio_array_open_in(&inner, &l.o, &e);
    shardio_array_close(a);
    l.store = &inner;
    if (e.status == SHARDIO_OK) check_statistics(&inner, &l.o, RIGHT_OR_ABSENT);
    else CHECK_STATUS(e.status, SHARDIO_ERR_NOT_FOUND);
    if (e.status == SHARDIO_OK && (made || !failed)) check_statistics(&inner, &l.o, RIGHT);
    shardio_store_memory_free(&memory);
    return failed;
}

static void fail_everywhere(bool memory_fails, bool forever, bool late)
{
    for (uint64_t seed = 100; seed < 100 + test_rounds(8); seed++)
        for (int which = CREATE; which < PHASES; which++)
            for (uint64_t n = 1; test_failures == 0; n = test_next(n)) {
                bool failed = failing_life(seed, (phase)which, n, memory_fails, forever, late);
                if (test_failures) fprintf(stderr, "    seed %llu, phase %d, call %llu\n", (unsigned long long)seed, which, (unsigned long long)n);
                if (!failed) break;
            }
}

/* A call that fails does not mean that there are none. */
TEST(asking_says_what_failed)
{
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        shardio_memory_store memory;
        shardio_store inner = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_statistics t;
        shardio_error e;
        spy s;
        shardio_store store = spy_begin(&s, &inner);
        uint16_t data[40] = {1, 2, 3};
        example_options(&o, SHARDIO_UINT16, 40, 20);
        write_example(&inner, &o, 0, 40, data);
        shardio_array *a = shardio_array_open_in(&store, NULL, &e);
        s.calls = 0;
        s.fail_at = n;
        s.status = SHARDIO_ERR_IO;
        shardio_status status = shardio_array_statistics(a, &t, &e);
        failed = s.failed;
        if (!failed || status != SHARDIO_OK) CHECK_STATUS(status, failed ? SHARDIO_ERR_IO : SHARDIO_OK);
        CHECK_STATUS(e.status, status);
        if (status == SHARDIO_OK) CHECK_U64(t.nulls, 37);
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    call %llu\n", (unsigned long long)n); return; }
    }
}

TEST(every_call_fails_once) { fail_everywhere(false, false, false); }
TEST(every_call_fails_after_it_was_done) { fail_everywhere(false, false, true); }
TEST(every_call_fails_from_there_on) { fail_everywhere(false, true, false); }
TEST(no_memory) { fail_everywhere(true, false, false); }

/* ---- what somebody else may have put there */

static void seal(uint8_t *data, size_t size)
{
    if (size < 4) return;
    uint32_t crc = shardio_crc32c(0, data, size - 4);
    for (int i = 0; i < 4; i++) data[size - 4 + (size_t)i] = (uint8_t)(crc >> 8 * i);
}

/* Asks through an allocator with little memory; what is sealed may say anything, what is not says nothing. */
static void ask_damaged(const shardio_store *store, const uint8_t *data, size_t size, bool sealed)
{
    shardio_array_options o;
    shardio_statistics s;
    shardio_error e;
    counter c;
    memset(&o, 0, sizeof o);
    o.allocator = counter_begin(&c);
    o.buffer_size = 4096;
    CHECK_OK(store_put(store, KEY, data, size));
    shardio_array *a = shardio_array_update_in(store, &o, &e);
    CHECK_OK(e.status);
    c.limit = c.live + 20000 + 4 * size;
    shardio_status status = shardio_array_statistics(a, &s, &e);
    if (!sealed || status != SHARDIO_OK) CHECK_STATUS(status, SHARDIO_ERR_NOT_FOUND);
    shardio_array_close(a);
    c.limit = 0;
    o.statistics = true;                                    /* and nobody who writes trips over it */
    a = shardio_array_update_in(store, &o, &e);
    CHECK_OK(e.status);
    shardio_array_close(a);
    CHECK_U64(c.live, 0);
}

TEST(damaged)
{
    static const shardio_dtype types[] = {SHARDIO_UINT16, SHARDIO_STRING, SHARDIO_COMPLEX64};
    for (size_t k = 0; k < 3; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        uint64_t r = k, start[2] = {0, 0}, count[2] = {5, 7};
        size_t size;
        uint8_t fill[16] = {0}, data[35 * 16];
        example_options(&o, types[k], 5, 2);
        o.ndim = 2;
        o.shape[1] = 7;
        o.chunk[1] = 2;
        o.shard[0] = 2;
        o.shard[1] = 4;
        some_elements(&o, fill, &r, 35, data);
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_write(a, start, count, data, 35 * shardio_dtype_size(types[k]), &e));
        shardio_array_close(a);
        uint8_t *good = store_get(&store, KEY, &size), *bad = (uint8_t *)malloc(size + 8);
        for (size_t n = 0; n < size; n += n < 150 ? 1 : 13) ask_damaged(&store, good, n, false);
        memcpy(bad, good, size);
        bad[size] = 0;
        ask_damaged(&store, bad, size + 1, false);
        for (size_t at = 0; at < size && test_failures == 0; at = (size_t)test_next(at)) {
            for (int how = 0; how < 2; how++) {
                static const uint8_t flips[] = {0x01, 0x80, 0xFF, 0x02, 0x08, 0x40};
                memcpy(bad, good, size);
                bad[at] ^= flips[(at + 3 * (size_t)how) % 6];
                ask_damaged(&store, bad, size, false);
                seal(bad, size);
                ask_damaged(&store, bad, size, true);
            }
        }
        for (uint64_t n = 0; n < test_rounds(1000) && test_failures == 0; n++) {
            memcpy(bad, good, size);
            for (uint64_t m = 1 + test_random(&r) % 4; m > 0; m--) {
                size_t at = (size_t)(test_random(&r) % size) & ~(size_t)3;
                memset(bad + at, test_random(&r) % 3 ? (int)(test_random(&r) % 5) : 0xFF, size - at < 8 ? size - at : 8);
            }
            seal(bad, size);
            ask_damaged(&store, bad, size, true);
        }
        free(good);
        free(bad);
        shardio_store_memory_free(&memory);
    }
}

/* ---- tags */

TEST(tags_of_files)
{
    char path[300], name[340];
    uint64_t first[2], second[2];
    int code = 0;
    test_directory(path, sizeof path);
    shardio_store store = shardio_store_directory(path);
    const shardio_store_functions *f = store.functions;
    CHECK_STATUS(f->tag(store.context, "c/0", first, &code), SHARDIO_ERR_NOT_FOUND);
    CHECK_OK(store_put_text(&store, "c/0", "some text"));
    CHECK_STATUS(f->tag(store.context, "../x", first, &code), SHARDIO_ERR_ARGUMENT);
    CHECK(f->tag(store.context, "c", first, &code) != SHARDIO_OK);
    CHECK_OK(f->tag(store.context, "c/0", first, &code));
    CHECK_OK(f->tag(store.context, "c/0", second, &code));
    CHECK(memcmp(first, second, sizeof first) == 0);
    usleep(20000);
    snprintf(name, sizeof name, "%s/c/0", path);
    FILE *file = fopen(name, "r+b");                        /* as long, in the same inode */
    if (!CHECK(file != NULL)) return;
    CHECK(fputs("same", file) >= 0 && fclose(file) == 0);
    CHECK_OK(f->tag(store.context, "c/0", second, &code));
    CHECK(memcmp(first, second, sizeof first) != 0);
    CHECK_OK(store_put_text(&store, "c/0", "some text"));
    CHECK_OK(f->tag(store.context, "c/0", first, &code));
    CHECK(memcmp(first, second, sizeof first) != 0);
}

/* Shards whose chunks and index have their CRC32C behind them: a CRC32C of them all would say nothing. */
TEST(tags_in_memory)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    uint8_t value[20];
    uint64_t first[2], second[2];
    int code = 0;
    for (int i = 0; i < 20; i++) value[i] = (uint8_t)i;
    seal(value, sizeof value);
    CHECK_OK(store_put(&store, "c/0", value, sizeof value));
    CHECK_OK(store.functions->tag(store.context, "c/0", first, &code));
    value[3] = 77;
    seal(value, sizeof value);
    CHECK_OK(store_put(&store, "c/0", value, sizeof value));
    CHECK_OK(store.functions->tag(store.context, "c/0", second, &code));
    CHECK(memcmp(first, second, sizeof first) != 0);
    CHECK_STATUS(store.functions->tag(store.context, "c/1", first, &code), SHARDIO_ERR_NOT_FOUND);
    shardio_store_memory_free(&memory);
}

TEST_MAIN(TEST_CASE(random_lives) TEST_CASE(random_lives_in_a_directory) TEST_CASE(random_lives_in_an_archive)
          TEST_CASE(fill_values_are_null_or_not) TEST_CASE(floats) TEST_CASE(long_texts_are_cut)
          TEST_CASE(an_array_that_holds_nothing) TEST_CASE(other_ways_to_store) TEST_CASE(the_key_is_a_part_of_the_array)
          TEST_CASE(left_out_they_cost_nothing) TEST_CASE(a_store_without_tags) TEST_CASE(bound_to_the_metadata)
          TEST_CASE(only_what_changed_is_read) TEST_CASE(making_them_can_be_stopped) TEST_CASE(data_first)
          TEST_CASE(asking_says_what_failed) TEST_CASE(every_call_fails_once) TEST_CASE(every_call_fails_after_it_was_done)
          TEST_CASE(every_call_fails_from_there_on) TEST_CASE(no_memory) TEST_CASE(damaged) TEST_CASE(tags_of_files)
          TEST_CASE(tags_in_memory))
