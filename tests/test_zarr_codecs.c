/* The zarr section: codecs of the caller's with contexts, lists of codecs, elements of variable length, fill values, shards
   inside shards. */
#include "arrays.h"
#include "disk.h"

/* ---- a codec with a configuration: every byte is mixed with a key, and `pad` bytes go in front. It can be told to do
   wrong. What it did is counted in what its table points to; what it knows is in its context. */

typedef enum wrong {
    RIGHT, TOO_MUCH, TOO_LITTLE, NOTHING, CLAIMS_MORE, FAILS, SAYS_LIMIT, SAYS_NOT_FOUND, SAYS_CHECKSUM, WRONGS
} wrong;

typedef struct mixer {
    int begun, ended, encoded, decoded, bounded;
    int fail_begin;                  /* the how-manieth begin fails; 0: none */
    shardio_status begin_status;
    wrong encode, decode;            /* what every one does */
    bool endless;                    /* its bound is SIZE_MAX */
    size_t element_size;             /* what begin was told last */
    char configuration[200];         /* and the text */
    size_t largest;                  /* room that decoding was given */
    const uint8_t *caller;           /* elements of the caller's, so many bytes; what was encoded from where they are: */
    size_t caller_bytes;
    int in_place;
} mixer;

typedef struct mix {
    mixer *m;
    uint8_t key;
    size_t pad;
    const shardio_allocator *allocator;
} mix;

static shardio_status mix_begin(void *context, shardio_json configuration, size_t element_size, const shardio_allocator *allocator, void **instance,
                                const char **reason)
{
    mixer *m = (mixer *)context;
    uint64_t key = 0, pad = 0;
    shardio_json member = shardio_json_member(configuration, "pad");
    if (m->begun + 1 == m->fail_begin) {
        m->fail_begin = 0;
        *reason = "told to";
        return m->begin_status;
    }
    if (configuration.text != NULL) snprintf(m->configuration, sizeof m->configuration, "%.*s", (int)configuration.size, configuration.text);
    else snprintf(m->configuration, sizeof m->configuration, "absent");
    m->element_size = element_size;
    member = shardio_json_member(configuration, "key");
    if (!shardio_json_uint64(member, &key) || key > 255) {
        *reason = "the key is no byte";
        return SHARDIO_ERR_CORRUPT;
    }
    member = shardio_json_member(configuration, "pad");
    if (shardio_json_kind(member) != 0 && (!shardio_json_uint64(member, &pad) || pad > 1000)) {
        *reason = "the pad is too long";
        return SHARDIO_ERR_CORRUPT;
    }
    mix *x = (mix *)test_allocate(allocator, sizeof *x);
    if (x == NULL) return SHARDIO_ERR_MEMORY;
    x->m = m;
    x->key = (uint8_t)key;
    x->pad = (size_t)pad;
    x->allocator = allocator;
    m->begun++;
    *instance = x;
    return SHARDIO_OK;
}

static void mix_end(void *instance)
{
    mix *x = (mix *)instance;
    x->m->ended++;
    test_release(x->allocator, x, sizeof *x);
}

/* Asked with the table's own context as well, before there is another: then it cannot know the pad. */
static size_t mix_bound(void *context, size_t size)
{
    mixer *first = (mixer *)context;
    (void)first;
    return size > SIZE_MAX - 1000 ? SIZE_MAX : size + 1000;
}

static size_t endless_bound(void *context, size_t size)
{
    (void)context, (void)size;
    return SIZE_MAX;
}

static shardio_status mix_wrong(wrong how, size_t *size, size_t capacity)
{
    switch (how) {
    case TOO_MUCH: *size += *size < capacity; return SHARDIO_OK;
    case TOO_LITTLE: *size -= *size > 0; return SHARDIO_OK;
    case NOTHING: *size = 0; return SHARDIO_OK;
    case CLAIMS_MORE: *size = capacity + 1; return SHARDIO_OK;
    case FAILS: return SHARDIO_ERR_CORRUPT;
    case SAYS_LIMIT: return SHARDIO_ERR_LIMIT;
    case SAYS_NOT_FOUND: return SHARDIO_ERR_NOT_FOUND;
    case SAYS_CHECKSUM: return SHARDIO_ERR_CHECKSUM;
    default: return SHARDIO_OK;
    }
}

static shardio_status mix_encode(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size)
{
    const mix *x = (const mix *)context;
    uint8_t *to = (uint8_t *)out;
    x->m->encoded++;
    x->m->in_place += (uintptr_t)in - (uintptr_t)x->m->caller < x->m->caller_bytes;
    if (size + x->pad > capacity) return SHARDIO_ERR_LIMIT;
    memset(to, 0xAA, x->pad);
    for (size_t i = 0; i < size; i++) to[x->pad + i] = ((const uint8_t *)in)[i] ^ x->key;
    *out_size = size + x->pad;
    return mix_wrong(x->m->encode, out_size, capacity);
}

static shardio_status mix_decode(void *context, const void *in, size_t size, void *out, size_t capacity, size_t *out_size)
{
    const mix *x = (const mix *)context;
    const uint8_t *from = (const uint8_t *)in;
    x->m->decoded++;
    if (capacity > x->m->largest) x->m->largest = capacity;
    if (size < x->pad) return SHARDIO_ERR_TRUNCATED;
    if (size - x->pad > capacity) return SHARDIO_ERR_LIMIT;
    for (size_t i = 0; i + x->pad < size; i++) ((uint8_t *)out)[i] = from[x->pad + i] ^ x->key;
    *out_size = size - x->pad;
    return mix_wrong(x->m->decode, out_size, capacity);
}

static shardio_codec mix_codec(mixer *m, const char *configuration)
{
    shardio_codec c;
    memset(&c, 0, sizeof c);
    memset(m, 0, sizeof *m);
    m->begin_status = SHARDIO_ERR_CORRUPT;
    c.name = "test.mix";
    c.configuration = configuration;
    c.context = m;
    c.bound = mix_bound;
    c.encode = mix_encode;
    c.decode = mix_decode;
    c.begin = mix_begin;
    c.end = mix_end;
    return c;
}

/* ---- an array of 4 by 30 numbers in some make that the codec is part of */

enum { PLAIN, SHARDED, NESTED, AROUND, TWICE, TEXTS, MAKES };
static const char *const make_names[] = {"chunks", "shards", "shards inside shards", "around shards", "twice", "strings"};

#define LITTLE "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
#define INDEX "\"index_codecs\":[" LITTLE ",\"crc32c\"]"
#define TURN(order) "{\"name\":\"transpose\",\"configuration\":{\"order\":" order "}}"
#define TURNED_INDEX "\"index_codecs\":[" TURN("[2,0,1]") "," LITTLE ",\"crc32c\",\"crc32c\"]"
#define MIX(key) "{\"name\":\"test.mix\",\"configuration\":{\"key\":" key ",\"pad\":3}}"

typedef struct sample {
    shardio_array_options o;
    mixer m;
    shardio_codec codec;
    uint16_t numbers[120];
    shardio_bytes texts[120];
    char text[120][12];
    int make, contexts;              /* codecs with contexts that one handle has */
} sample;

static void sample_begin(sample *s, int make)
{
    static const char *const lists[] = {
        NULL, NULL,
        "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[2,6]," INDEX ",\"codecs\":[{\"name\":\"sharding_indexed\",\"configuration\":"
        "{\"chunk_shape\":[1,3]," TURNED_INDEX ",\"codecs\":[" LITTLE "," MIX("7") "]}}," MIX("9") "]}}]",
        "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[2,6]," INDEX ",\"codecs\":[" LITTLE "]}}," MIX("200") "]",
        "[{\"name\":\"transpose\",\"configuration\":{\"order\":[1,0]}}," LITTLE "," MIX("1") ",\"crc32c\"," MIX("2") "]",
    };
    memset(s, 0, sizeof *s);
    s->make = make;
    s->codec = mix_codec(&s->m, "{\"key\": 90 , \"pad\":5}");
    s->contexts = make == NESTED || make == TWICE ? 2 : 1;
    s->o.ndim = 2;
    s->o.dtype = make == TEXTS ? SHARDIO_STRING : SHARDIO_UINT16;
    s->o.shape[0] = 4;
    s->o.shape[1] = 30;
    s->o.chunk[0] = 2;
    s->o.chunk[1] = 6;
    if (make == NESTED || make == AROUND) { s->o.chunk[0] = 4; s->o.chunk[1] = 12; }
    if (make == SHARDED || make == TEXTS) { s->o.shard[0] = 4; s->o.shard[1] = 12; }
    s->o.codecs[0] = &s->codec;
    if (make == NESTED || make == AROUND || make == TWICE) s->o.codec_list = lists[make];
    s->o.durability = SHARDIO_DURABLE_NONE;
    s->o.direct = SHARDIO_DIRECT_OFF;
    s->o.dead_percent = 100;
    for (int i = 0; i < 120; i++) {
        s->numbers[i] = (uint16_t)test_mix((uint64_t)i);
        snprintf(s->text[i], sizeof s->text[i], "%d", i * i * i);
        s->texts[i].data = s->text[i];
        s->texts[i].size = strlen(s->text[i]);
    }
}

static const void *sample_data(const sample *s) { return s->make == TEXTS ? (const void *)s->texts : (const void *)s->numbers; }
static size_t sample_element(const sample *s) { return s->make == TEXTS ? sizeof(shardio_bytes) : 2; }

static shardio_status sample_write(const sample *s, const shardio_store *store, shardio_error *e)
{
    shardio_array *a = shardio_array_create_in(store, &s->o);
    (void)shardio_array_append(a, sample_data(s), 120);
    return shardio_array_finish(a, e);
}

static shardio_status sample_read(const sample *s, shardio_array *a, shardio_error *e)
{
    static const uint64_t zero[2] = {0, 0}, all[2] = {4, 30};
    shardio_bytes got[120];
    uint16_t numbers[120];
    shardio_status status = s->make == TEXTS ? shardio_array_read(a, zero, all, got, sizeof got, e) : shardio_array_read(a, zero, all, numbers, sizeof numbers, e);
    if (status != SHARDIO_OK) return status;
    for (int i = 0; i < 120; i++) {
        if (s->make != TEXTS) { if (!CHECK(numbers[i] == s->numbers[i])) break; }
        else if (!CHECK(got[i].size == s->texts[i].size && memcmp(got[i].data, s->texts[i].data, got[i].size) == 0)) break;
    }
    return SHARDIO_OK;
}

/* Every handle makes its contexts once, with the configuration that stands in its zarr.json, and ends them. */
TEST(contexts_begin_and_end)
{
    for (int make = 0; make < MAKES; make++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        counter c;
        sample s;
        sample_begin(&s, make);
        s.o.allocator = counter_begin(&c);
        CHECK_OK(sample_write(&s, &store, &e));
        CHECK_U64(s.m.begun, s.contexts);
        CHECK_U64(s.m.ended, s.contexts);
        CHECK_U64(s.m.element_size, sample_element(&s));
        CHECK(s.m.encoded > 0);
        s.o.codecs[1] = NULL;
        s.codec.configuration = "{\"key\": 1}";                /* what counts is what zarr.json says */
        shardio_array *a = shardio_array_open_in(&store, &s.o, &e);
        CHECK_U64(s.m.begun, 2 * s.contexts);
        CHECK_TEXT(s.m.configuration, make == NESTED ? "{\"key\":7,\"pad\":3}" : make == AROUND ? "{\"key\":200,\"pad\":3}" : make == TWICE ? "{\"key\":2,\"pad\":3}"
                                      : "{\"key\": 90 , \"pad\":5}");
        CHECK_OK(sample_read(&s, a, &e));
        shardio_array_close(a);
        CHECK_U64(s.m.ended, 2 * s.contexts);
        a = shardio_array_update_in(&store, &s.o, &e);
        CHECK_U64(s.m.begun, 3 * s.contexts);
        uint64_t start[2] = {1, 5}, count[2] = {2, 9};
        for (uint64_t i = 0; i < 18; i++) {
            uint64_t at = (1 + i / 9) * 30 + 5 + i % 9;
            s.numbers[at] ^= 0x5555;
            s.text[at][0] = 'x';
            s.texts[at].size = 1;
        }
        const uint8_t *from = (const uint8_t *)sample_data(&s) + 35 * sample_element(&s);
        ptrdiff_t steps[2] = {(ptrdiff_t)(30 * sample_element(&s)), (ptrdiff_t)sample_element(&s)};
        CHECK_OK(shardio_array_write_strided(a, start, count, from, steps, &e));
        CHECK_OK(sample_read(&s, a, &e));
        CHECK_OK(shardio_array_compact(a, NULL, NULL, &e));
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
        CHECK_OK(sample_read(&s, a, &e));
        shardio_array_close(a);
        CHECK_U64(s.m.ended, 3 * s.contexts);
        a = shardio_array_continue_in(&store, &s.o);
        CHECK_OK(shardio_array_append(a, sample_data(&s), 30));
        CHECK_OK(shardio_array_finish(a, &e));
        CHECK_U64(s.m.begun, 4 * s.contexts);
        a = shardio_array_continue_in(&store, &s.o);
        shardio_array_abort(a);
        CHECK_U64(s.m.ended, 5 * s.contexts);
        shardio_store_memory_free(&memory);
        store = shardio_store_memory(&memory, NULL);
        s.codec.configuration = "{\"key\": 90}";
        CHECK_OK(shardio_array_define_in(&store, &s.o, &e));
        CHECK_U64(s.m.begun, s.m.ended);
        CHECK_U64(c.live, 0);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %s\n", make_names[make]); return; }
    }
}

TEST(contexts_that_cannot_be_made)
{
    static const shardio_status says[] = {SHARDIO_ERR_CORRUPT, SHARDIO_ERR_MEMORY, SHARDIO_ERR_UNSUPPORTED, SHARDIO_ERR_ARGUMENT, SHARDIO_ERR_LIMIT};
    for (int make = 0; make < MAKES; make++) {
        for (int n = 1; n <= 2; n++) {
            for (size_t k = 0; k < sizeof says / sizeof says[0]; k++) {
                shardio_memory_store memory;
                shardio_store store = shardio_store_memory(&memory, NULL);
                shardio_error e;
                counter c;
                sample s;
                char text[400];
                sample_begin(&s, make);
                if (n > s.contexts) { shardio_store_memory_free(&memory); continue; }
                CHECK_OK(sample_write(&s, &store, &e));
                s.o.allocator = counter_begin(&c);
                for (int way = 0; way < 5; way++) {
                    s.m.begun = s.m.ended = 0;
                    s.m.fail_begin = n;
                    s.m.begin_status = says[k];
                    s.o.path = way > 2 ? "elsewhere" : NULL;
                    shardio_array *a = way == 0 ? shardio_array_open_in(&store, &s.o, &e) : way == 1 ? shardio_array_update_in(&store, &s.o, &e)
                                       : way == 2 ? shardio_array_continue_in(&store, &s.o) : way == 3 ? shardio_array_create_in(&store, &s.o) : NULL;
                    shardio_status got = way == 4 ? shardio_array_define_in(&store, &s.o, &e) : shardio_array_error(a).status;
                    if (way == 2 || way == 3) got = shardio_array_finish(a, &e);
                    else if (way < 2) shardio_array_close(a);
                    CHECK_STATUS(got, says[k] == SHARDIO_ERR_CORRUPT && way > 2 ? SHARDIO_ERR_ARGUMENT : says[k]);
                    CHECK_STATUS(e.status, got);
                    shardio_error_text(&e, text, sizeof text);
                    CHECK(strstr(text, "test.mix") != NULL && strstr(text, "told to") != NULL);
                    CHECK_U64(s.m.begun, n - 1);
                    CHECK_U64(s.m.ended, n - 1);
                    CHECK_U64(c.live, 0);
                    if (test_failures) fprintf(stderr, "    %s, begin %d, way %d: %s\n", make_names[make], n, way, text);
                }
                key_list keys;
                CHECK_OK(store_keys(&store, "elsewhere", &keys));
                CHECK_U64(keys.count, 0);
                shardio_store_memory_free(&memory);
                if (test_failures) return;
            }
        }
    }
    /* a configuration that the codec does not like */
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_error e;
    sample s;
    sample_begin(&s, SHARDED);
    s.codec.configuration = "{\"key\": 256}";
    CHECK_STATUS(sample_write(&s, &store, &e), SHARDIO_ERR_ARGUMENT);
    CHECK(e.reason != NULL && strstr(e.reason, "no byte") != NULL);
    s.codec.configuration = NULL;
    CHECK_STATUS(sample_write(&s, &store, &e), SHARDIO_ERR_ARGUMENT);
    CHECK_TEXT(s.m.configuration, "absent");
    shardio_store_memory_free(&memory);
}

TEST(codecs_that_decode_wrong)
{
    for (int make = 0; make < MAKES; make++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        counter c;
        sample s;
        char text[400];
        sample_begin(&s, make);
        CHECK_OK(sample_write(&s, &store, &e));
        memset(&o, 0, sizeof o);
        o.codecs[0] = &s.codec;
        o.allocator = counter_begin(&c);
        o.decoded_limit = 1 << 20;
        o.memory = 4096;
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        size_t before = c.live;
        for (int w = TOO_MUCH; w < WRONGS; w++) {
            s.m.decode = (wrong)w;
            shardio_status status = sample_read(&s, a, &e);
            CHECK(status != SHARDIO_OK);
            CHECK_STATUS(e.status, status);
            if (w == SAYS_LIMIT) CHECK_STATUS(status, SHARDIO_ERR_LIMIT);
            if (w == SAYS_CHECKSUM) CHECK_STATUS(status, SHARDIO_ERR_CHECKSUM);
            shardio_error_text(&e, text, sizeof text);
            CHECK(strstr(text, "chunk") != NULL || strstr(text, "shard") != NULL);
            CHECK(c.peak < before + (5 << 20));
            CHECK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e) == SHARDIO_ERR_CORRUPT);
            uint64_t start[2] = {1, 1}, count[2] = {1, 1};             /* a part of a chunk: it has to be decoded */
            CHECK(shardio_array_write(a, start, count, sample_data(&s), sample_element(&s), &e) != SHARDIO_OK);
            s.m.decode = RIGHT;
            CHECK_OK(sample_read(&s, a, &e));                           /* and nothing was changed */
            if (test_failures) fprintf(stderr, "    %s, wrong %d: %s %s\n", make_names[make], w, shardio_status_name(status), text);
        }
        shardio_array_close(a);
        CHECK_U64(c.live, 0);
        shardio_store_memory_free(&memory);
        if (test_failures) return;
    }
}

/* Room for what is decoded grows where the size is not known before. */
TEST(decoding_grows)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    shardio_error e;
    mixer m;
    shardio_codec squeeze = mix_codec(&m, "{\"key\":1}");
    char *long_text = (char *)malloc(1 << 20);
    shardio_bytes element = {long_text, 1 << 20}, got;
    uint64_t zero = 0, one = 1;
    memset(long_text, 'z', 1 << 20);
    memset(&o, 0, sizeof o);
    o.ndim = 1;
    o.dtype = SHARDIO_STRING;
    o.shape[0] = o.chunk[0] = 1;
    o.codecs[0] = &squeeze;
    CHECK_OK(shardio_array_define_in(&store, &o, &e));
    shardio_array *a = shardio_array_update_in(&store, &o, &e);
    CHECK_OK(shardio_array_write(a, &zero, &one, &element, sizeof element, &e));
    CHECK_OK(shardio_array_read(a, &zero, &one, &got, sizeof got, &e));
    CHECK_U64(got.size, 1 << 20);
    CHECK(got.size != 1 << 20 || memcmp(got.data, long_text, 1 << 20) == 0);
    CHECK(m.largest >= 1 << 20);
    shardio_array_close(a);
    free(long_text);
    shardio_store_memory_free(&memory);
}

TEST(codecs_that_encode_wrong)
{
    for (int make = 0; make < MAKES; make++) {
        for (int w = CLAIMS_MORE; w < WRONGS; w++) {
            shardio_memory_store memory;
            shardio_store store = shardio_store_memory(&memory, NULL);
            shardio_error e;
            counter c;
            sample s;
            key_list keys;
            sample_begin(&s, make);
            s.o.allocator = counter_begin(&c);
            s.m.encode = (wrong)w;
            shardio_status status = sample_write(&s, &store, &e);
            CHECK(status != SHARDIO_OK);
            CHECK_STATUS(e.status, status);
            if (w == SAYS_LIMIT) CHECK_STATUS(status, SHARDIO_ERR_LIMIT);
            char text[400];
            shardio_error_text(&e, text, sizeof text);
            CHECK(strstr(text, "test.mix") != NULL || strstr(text, "chunk") != NULL);
            CHECK_OK(store_keys(&store, "", &keys));
            CHECK_U64(keys.count, 0);
            s.m.encode = RIGHT;
            CHECK_OK(sample_write(&s, &store, &e));
            shardio_array *a = shardio_array_update_in(&store, &s.o, &e);
            s.m.encode = (wrong)w;
            uint64_t start[2] = {0, 0}, count[2] = {4, 30};
            uint8_t other[120 * sizeof(shardio_bytes)];
            memset(other, 0, sizeof other);
            status = shardio_array_write(a, start, count, other, sizeof other, &e);
            CHECK(status != SHARDIO_OK);
            CHECK_STATUS(e.status, status);
            CHECK_OK(sample_read(&s, a, &e));
            shardio_array_close(a);
            CHECK_U64(c.live, 0);
            shardio_store_memory_free(&memory);
            if (test_failures) { fprintf(stderr, "    %s, wrong %d: %s\n", make_names[make], w, text); return; }
        }
    }
    for (int make = 0; make < MAKES; make++) {                           /* one that knows no bound */
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        sample s;
        sample_begin(&s, make);
        s.codec.bound = endless_bound;
        CHECK_STATUS(sample_write(&s, &store, &e), SHARDIO_ERR_UNSUPPORTED);
        shardio_store_memory_free(&memory);
    }
}

/* ---- lists of codecs */

/* Defines an array of 8 by 8 with this list. */
static shardio_status define_list(const char *list, shardio_dtype dtype, uint64_t shard, shardio_error *e)
{
    shardio_memory_store memory;
    shardio_store store = shardio_store_memory(&memory, NULL);
    shardio_array_options o;
    mixer m;
    shardio_codec codec = mix_codec(&m, NULL);
    counter c;
    key_list keys;
    memset(&o, 0, sizeof o);
    o.ndim = 2;
    o.dtype = dtype;
    o.shape[0] = o.shape[1] = o.chunk[0] = o.chunk[1] = 8;
    o.shard[0] = o.shard[1] = shard;
    o.codecs[0] = &codec;
    o.codec_list = list;
    o.allocator = counter_begin(&c);
    shardio_status status = shardio_array_define_in(&store, &o, e), created;
    CHECK_U64(c.live, 0);
    CHECK_OK(store_keys(&store, "", &keys));
    CHECK_U64(keys.count, status == SHARDIO_OK);
    o.overwrite = true;
    shardio_array *a = shardio_array_create_in(&store, &o);
    created = shardio_array_finish(a, NULL);
    CHECK_STATUS(created, status);
    CHECK_U64(c.live, 0);
    CHECK_U64(m.begun, m.ended);
    shardio_store_memory_free(&memory);
    return status;
}

#define SHARD(chunk, codecs) "{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":" chunk "," INDEX ",\"codecs\":[" codecs "]}}"

TEST(lists_that_are_wrong)
{
    static const struct { const char *list; shardio_dtype dtype; shardio_status status; const char *names; } table[] = {
        {"", SHARDIO_INT32, SHARDIO_OK, NULL}, {"[", SHARDIO_INT32, SHARDIO_OK, NULL}, {"[" LITTLE, SHARDIO_INT32, SHARDIO_OK, NULL},
        {"[" LITTLE "]x", SHARDIO_INT32, SHARDIO_OK, NULL}, {"{}", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"null", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[7]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[null]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[[]]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[{}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[{\"name\":5}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[\"bytes\"]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[{\"name\":\"bytes\"}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"bytes\",\"configuration\":{}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"bytes\",\"configuration\":7}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"middle\"}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"bytes\",\"configuration\":{\"endian\":7}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\",\"endian\":\"big\"}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"bytes\",\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"bytes\",\"configuration\":{\"endian\":\"middle\"}}]", SHARDIO_UINT8, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" LITTLE "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "bytes"}, {"[\"crc32c\"]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "crc32c"},
        {"[\"crc32c\"," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "crc32c"}, {"[" LITTLE ",\"nobody\"]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "nobody"},
        {"[\"nobody\"," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "nobody"}, {"[" LITTLE "," TURN("[1,0]") "]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "transpose"},
        {"[" LITTLE "," SHARD("[4,4]", LITTLE) "]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "sharding_indexed"},
        {"[" TURN("[1,0]") "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[" TURN("[0]") "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" TURN("[0,1,2]") "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[" TURN("[1,1]") "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" TURN("[0,2]") "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[" TURN("[0,-1]") "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" TURN("[0,4294967297]") "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[" TURN("\"C\"") "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" TURN("[0,\"1\"]") "," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[\"transpose\"," LITTLE "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[\"vlen-utf8\"]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[\"vlen-bytes\"]", SHARDIO_STRING, SHARDIO_ERR_ARGUMENT, NULL},
        {"[\"vlen-utf8\"]", SHARDIO_BYTES, SHARDIO_ERR_ARGUMENT, NULL}, {"[" LITTLE "]", SHARDIO_STRING, SHARDIO_ERR_ARGUMENT, NULL},
        {"[\"bytes\"]", SHARDIO_BYTES, SHARDIO_ERR_ARGUMENT, NULL}, {"[\"vlen-utf8\",\"vlen-utf8\"]", SHARDIO_STRING, SHARDIO_ERR_UNSUPPORTED, "vlen-utf8"},
        {"[" SHARD("[3,8]", LITTLE) "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[" SHARD("[16,8]", LITTLE) "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" SHARD("[0,8]", LITTLE) "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[" SHARD("[4]", LITTLE) "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" SHARD("[4,4,4]", LITTLE) "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[" SHARD("7", LITTLE) "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" SHARD("[4,4]", "") "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL}, {"[" SHARD("[4,4]", SHARD("[3,4]", LITTLE)) "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[\"sharding_indexed\"]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4]," INDEX "}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{" INDEX ",\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4]," INDEX ",\"codecs\":{}}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"chunk_shape\":[4,4]," INDEX ",\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"index_location\":\"top\"," INDEX ",\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"index_location\":1," INDEX ",\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"index_codecs\":[],\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"index_codecs\":[\"bytes\"],\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"index_codecs\":[\"crc32c\"],\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "crc32c"},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"index_codecs\":[" LITTLE "," TURN("[1,0,2]") "],\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32,
         SHARDIO_ERR_UNSUPPORTED, "transpose"},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"index_codecs\":[" TURN("[1,0]") "," LITTLE "],\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32,
         SHARDIO_ERR_ARGUMENT, NULL},
        {"[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,4],\"index_codecs\":[" LITTLE "," MIX("1") "],\"codecs\":[" LITTLE "]}}]", SHARDIO_INT32,
         SHARDIO_ERR_UNSUPPORTED, "test.mix"},
        {"[" SHARD("[4,4]", LITTLE ",\"nobody\"") "]", SHARDIO_INT32, SHARDIO_ERR_UNSUPPORTED, "nobody"},
        {"[" LITTLE "," MIX("300") "]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, "test.mix"}, {"[" LITTLE ",\"test.mix\"]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, "test.mix"},
        {"[" LITTLE ",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\"]", SHARDIO_INT32, SHARDIO_ERR_ARGUMENT, NULL},
        {"[" SHARD("[8,8]", SHARD("[8,8]", SHARD("[8,8]", SHARD("[8,8]", SHARD("[8,8]", SHARD("[8,8]", SHARD("[8,8]", SHARD("[8,8]", LITTLE)))))))) "]", SHARDIO_INT32,
         SHARDIO_ERR_LIMIT, NULL},
    };
    static const char *const fine[] = {
        "[" LITTLE "]", "  [" LITTLE "]\n", "[" LITTLE ",\"crc32c\"]", "[" LITTLE ",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\",\"crc32c\"]",
        "[" TURN("[1,0]") "," TURN("[1,0]") "," LITTLE "]",
        "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,2],\"index_codecs\":[" TURN("[2,1,0]") "," TURN("[0,2,1]") "," LITTLE ",\"crc32c\",\"crc32c\"],"
        "\"codecs\":[" LITTLE "]}}]", "[" SHARD("[8,8]", LITTLE) "]", "[" SHARD("[1,1]", LITTLE) "]", "[" SHARD("[4,4]", LITTLE) "," MIX("3") "]",
        "[" TURN("[1,0]") "," SHARD("[4,2]", TURN("[1,0]") "," LITTLE "," MIX("3")) ",\"crc32c\"]",
        "[" SHARD("[8,8]", SHARD("[8,8]", SHARD("[4,8]", SHARD("[4,4]", SHARD("[2,4]", SHARD("[2,2]", SHARD("[1,2]", LITTLE))))))) "]",
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (uint64_t shard = 0; shard <= 8; shard += 8) {
            shardio_error e;
            char text[400];
            int before = test_failures;
            shardio_status s = define_list(table[i].list, table[i].dtype, shard, &e);
            CHECK(s != SHARDIO_OK && s != SHARDIO_ERR_MEMORY && s != SHARDIO_ERR_CORRUPT);
            CHECK_STATUS(e.status, s);
            if (table[i].status != SHARDIO_OK) CHECK_STATUS(s, table[i].status);
            shardio_error_text(&e, text, sizeof text);
            CHECK(strstr(text, table[i].names != NULL ? table[i].names : "option") != NULL);
            if (test_failures != before) fprintf(stderr, "    row %d: %s\n    %s\n", (int)i, table[i].list, text);
        }
    }
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        shardio_error e;
        char text[400];
        shardio_status s = define_list(fine[i], SHARDIO_INT32, 0, &e);
        if (!CHECK(s == SHARDIO_OK)) fprintf(stderr, "    %s\n    %s\n", fine[i], shardio_error_text(&e, text, sizeof text));
    }
}

/* What the caller wrote stands in zarr.json as it is, and stays there whatever is done to the array. */
TEST(lists_are_kept_to_the_byte)
{
    static const char list[] = "[ {\"name\" : \"transpose\",\n\t\"configuration\":{\"order\" :[ 1,0 ]}} , " LITTLE " ,{\"configuration\":{\"pad\":1,\"key\":\t77, \"u\\u006eused\":"
                               " [1.50, {\"x\":null}]},\"name\":\"test.mix\"},\"crc32c\"]";
    for (int way = 0; way < 2; way++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        shardio_array_facts f;
        mixer m;
        shardio_codec codec = mix_codec(&m, "{\"key\":1}");
        uint64_t zero[2] = {0, 0}, shape[2] = {5, 6}, larger[2] = {9, 6};
        uint32_t numbers[54], got[54];
        memset(&o, 0, sizeof o);
        o.ndim = 2;
        o.dtype = SHARDIO_UINT32;
        memcpy(o.shape, shape, sizeof shape);
        o.chunk[0] = 4;
        o.chunk[1] = 3;
        o.codecs[0] = &codec;
        o.codec_list = list;
        for (uint32_t i = 0; i < 54; i++) numbers[i] = i * 1234567;
        if (way) {
            shardio_array *a = shardio_array_create_in(&store, &o);
            CHECK_OK(shardio_array_append(a, numbers, 30));
            CHECK_OK(shardio_array_finish(a, &e));
        } else {
            CHECK_OK(shardio_array_define_in(&store, &o, &e));
        }
        o.codec_list = NULL;
        shardio_array *a = shardio_array_update_in(&store, &o, &e);
        CHECK_OK(shardio_array_write(a, zero, shape, numbers, 120, &e));
        CHECK_OK(shardio_array_resize(a, larger, false, &e));
        CHECK_OK(shardio_array_resize(a, shape, false, &e));
        CHECK_OK(shardio_array_describe(a, &f));
        CHECK_U64(f.codec_list.size, sizeof list - 1);
        CHECK(f.codec_list.size == sizeof list - 1 && memcmp(f.codec_list.text, list, sizeof list - 1) == 0);
        CHECK(f.transposed && f.codecs == 2 && f.levels == 1);
        shardio_array_close(a);
        CHECK_TEXT(m.configuration, "{\"pad\":1,\"key\":\t77, \"u\\u006eused\": [1.50, {\"x\":null}]}");
        a = shardio_array_continue_in(&store, &o);
        CHECK_OK(shardio_array_append(a, numbers + 30, 24));
        CHECK_OK(shardio_array_finish(a, &e));
        size_t size;
        uint8_t *text = store_get(&store, "zarr.json", &size);
        CHECK(text != NULL && strstr((const char *)text, list) != NULL);
        free(text);
        a = shardio_array_open_in(&store, &o, &e);
        CHECK_OK(shardio_array_read(a, zero, larger, got, sizeof got, &e));
        CHECK_BYTES(got, numbers, sizeof got);
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
    }
}

/* ---- elements of variable length */

static shardio_array *define_texts(const shardio_store *store, shardio_dtype dtype, uint64_t shape, uint64_t chunk, uint64_t shard, const shardio_codec *codec)
{
    shardio_array_options o;
    shardio_error e;
    memset(&o, 0, sizeof o);
    o.ndim = 1;
    o.dtype = dtype;
    o.shape[0] = shape;
    o.chunk[0] = chunk;
    o.shard[0] = shard;
    o.codecs[0] = codec;
    o.durability = SHARDIO_DURABLE_NONE;
    CHECK_OK(shardio_array_define_in(store, &o, &e));
    return shardio_array_update_in(store, &o, &e);
}

TEST(texts_of_any_length)
{
    for (int k = 0; k < 8; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        shardio_dtype dtype = k & 1 ? SHARDIO_BYTES : SHARDIO_STRING;
        uint64_t zero = 0, all = 10;
        shardio_bytes in[10], got[10];
        char *large = (char *)malloc(1 << 20);
        for (int i = 0; i < 1 << 20; i++) large[i] = (char)(32 + i % 95);
        static const char *const texts[] = {"", "a", "with\0zero\0bytes", "\xE2\x82\xAC", "\xF0\x9F\x98\x80!", "line\nbreak\"quote\\", "", "\x7F", "x"};
        static const size_t sizes[] = {0, 1, 15, 3, 5, 17, 0, 1, 0};
        for (int i = 0; i < 9; i++) {
            in[i].data = texts[i];
            in[i].size = sizes[i];
        }
        in[6].data = NULL;                                                /* empty, and nowhere */
        in[8].data = large;
        in[8].size = 1 << 20;
        in[9].data = large + 5;
        in[9].size = 300;
        shardio_array *a = define_texts(&store, dtype, 10, 3, k & 2 ? 6 : 0, k & 4 ? shardio_codec_crc32c() : NULL);
        CHECK_OK(shardio_array_write(a, &zero, &all, in, sizeof in, &e));
        for (int again = 0; again < 2; again++) {
            CHECK_OK(shardio_array_read(a, &zero, &all, got, sizeof got, &e));
            for (int i = 0; i < 10; i++) {
                CHECK_U64(got[i].size, in[i].size);
                if (got[i].size == in[i].size && in[i].size > 0) CHECK_BYTES(got[i].data, in[i].data, in[i].size);
            }
            uint64_t two = 2, at = 2;                                     /* what was read is written elsewhere */
            shardio_bytes moved[2] = {got[3], got[4]};
            CHECK_OK(shardio_array_write(a, &at, &two, moved, sizeof moved, &e));
            in[2] = in[3];
            in[3] = in[4];
        }
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
        shardio_array_close(a);
        free(large);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %d\n", k); return; }
    }
}

/* What is no UTF-8 is no string: it is not written, and not read. */
TEST(strings_are_utf8)
{
    static const struct { const char *text; size_t size; } bad[] = {
        {"\x80", 1}, {"a\xFF", 2}, {"\xC0\x80", 2}, {"\xE2\x82", 2}, {"\xED\xA0\x80", 3}, {"\xF4\x90\x80\x80", 4}, {"\xF8\x88\x80\x80\x80", 5}, {"abc\xC3", 4},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int k = 0; k < 2; k++) {
            shardio_memory_store memory;
            shardio_store store = shardio_store_memory(&memory, NULL);
            shardio_array_options o;
            shardio_error e;
            uint64_t zero = 0, two = 2;
            key_list keys;
            shardio_bytes in[2] = {{"fine", 4}, {NULL, 0}}, got[2];
            in[1].data = bad[i].text;
            in[1].size = bad[i].size;
            shardio_array *a = define_texts(&store, SHARDIO_STRING, 2, 2, k ? 4 : 0, NULL);
            CHECK_STATUS(shardio_array_write(a, &zero, &two, in, sizeof in, &e), SHARDIO_ERR_ARGUMENT);
            CHECK_STATUS(e.status, SHARDIO_ERR_ARGUMENT);
            CHECK_OK(store_keys(&store, "", &keys));
            CHECK_U64(keys.shards, 0);
            /* a chunk from elsewhere */
            uint8_t chunk[64] = {2, 0, 0, 0, 4, 0, 0, 0, 'f', 'i', 'n', 'e', 0};
            chunk[12] = (uint8_t)bad[i].size;
            memcpy(chunk + 16, bad[i].text, bad[i].size);
            memset(got, 0xA5, sizeof got);
            if (k == 0) {
                CHECK_OK(store_put(&store, "c/0", chunk, 16 + bad[i].size));
                CHECK_STATUS(shardio_array_read(a, &zero, &two, got, sizeof got, &e), SHARDIO_ERR_CORRUPT);
                for (size_t n = 0; n < sizeof got; n++) CHECK_U64(((const uint8_t *)got)[n], 0xA5);
                CHECK_STATUS(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e), SHARDIO_ERR_CORRUPT);
            }
            shardio_array_close(a);
            memset(&o, 0, sizeof o);                                      /* nor appended, nor a fill value */
            o.ndim = 1;
            o.dtype = SHARDIO_STRING;
            o.shape[0] = o.chunk[0] = 2;
            shardio_store_memory_free(&memory);
            store = shardio_store_memory(&memory, NULL);
            a = shardio_array_create_in(&store, &o);
            shardio_status s = shardio_array_append(a, in, 2);
            CHECK(s == SHARDIO_ERR_ARGUMENT || s == SHARDIO_OK);
            CHECK_STATUS(shardio_array_finish(a, &e), SHARDIO_ERR_ARGUMENT);
            o.fill_value = &in[1];
            CHECK_STATUS(shardio_array_define_in(&store, &o, &e), SHARDIO_ERR_ARGUMENT);
            shardio_store_memory_free(&memory);
            if (test_failures) { fprintf(stderr, "    %d\n", (int)i); return; }
        }
    }
}

/* Chunks of texts whose lengths lie. */
TEST(texts_that_lie)
{
    static const struct { size_t size; uint8_t bytes[40]; bool fine; } table[] = {
        {20, {3, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},               /* one byte behind */
        {19, {3, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, true},
        {18, {3, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},
        {19, {2, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},               /* the count */
        {19, {4, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},
        {19, {3, 0, 0, 1, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},
        {19, {0, 0, 0, 3, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},
        {19, {3, 0, 0, 0, 1, 0, 0, 0, 'a', 3, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},               /* a length */
        {19, {3, 0, 0, 0, 1, 0, 0, 0, 'a', 1, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},
        {19, {3, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 'a', 2, 0, 0, 0, 'b', 'c', 0, 0, 0, 0}, false},
        {19, {3, 0, 0, 0, 1, 0, 0, 0, 'a', 0xFF, 0xFF, 0xFF, 0x7F, 'b', 'c', 0, 0, 0, 0}, false},
        {19, {3, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 1, 0, 0, 0}, false},
        {19, {3, 0, 0, 0, 1, 0, 0, 0, 'a', 2, 0, 0, 0, 'b', 'c', 0xFC, 0xFF, 0xFF, 0xFF}, false},
        {16, {3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, true}, {15, {3, 0, 0, 0}, false}, {12, {3, 0, 0, 0}, false}, {4, {3, 0, 0, 0}, false},
        {3, {3, 0, 0}, false}, {0, {0}, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int k = 0; k < 3; k++) {
            shardio_memory_store memory;
            shardio_store store = shardio_store_memory(&memory, NULL);
            shardio_error e;
            uint64_t zero = 0, three = 3, one = 1;
            shardio_bytes got[3];
            shardio_array *a = define_texts(&store, k == 1 ? SHARDIO_BYTES : SHARDIO_STRING, 3, 3, k == 2 ? 3 : 0, NULL);
            uint8_t *file = (uint8_t *)malloc(table[i].size + 20);      /* to the byte, for the sanitizer */
            memcpy(file, table[i].bytes, table[i].size);
            if (k == 2) {
                shardio_index_layout layout = {1, false, false, false, 0, NULL};
                shardio_index_set(&layout, file + table[i].size, 0, 0, table[i].size);
                shardio_index_seal(&layout, file + table[i].size);
            }
            CHECK_OK(store_put(&store, "c/0", file, table[i].size + (k == 2 ? 20 : 0)));
            free(file);
            memset(got, 0xA5, sizeof got);
            shardio_status s = shardio_array_read(a, &zero, &three, got, sizeof got, &e);
            CHECK_STATUS(s, table[i].fine ? SHARDIO_OK : SHARDIO_ERR_CORRUPT);
            for (size_t n = 0; n < sizeof got && !table[i].fine; n++) CHECK_U64(((const uint8_t *)got)[n], 0xA5);
            shardio_bytes text = {"new", 3};                             /* a part of a chunk that is no chunk */
            CHECK_STATUS(shardio_array_write(a, &one, &one, &text, sizeof text, &e), table[i].fine ? SHARDIO_OK : SHARDIO_ERR_CORRUPT);
            shardio_array_close(a);
            shardio_store_memory_free(&memory);
            if (test_failures) { fprintf(stderr, "    row %d, %d\n", (int)i, k); return; }
        }
    }
}

/* ---- fill values */

/* The type and fill value as they stand in zarr.json, and the bits that are meant; null: refused. */
typedef struct fill_row {
    const char *type, *json;
    size_t size;
    const char *bits;                /* most significant first for numbers; as they are for bytes */
} fill_row;

static const fill_row fills[] = {
    {"bool", "true", 1, "\1"}, {"bool", "false", 1, "\0"}, {"bool", "1", 1, NULL}, {"bool", "\"true\"", 1, NULL}, {"bool", "null", 1, NULL},
    {"int8", "-128", 1, "\x80"}, {"int8", "127", 1, "\x7F"}, {"int8", "128", 1, NULL}, {"int8", "-129", 1, NULL}, {"int8", "1.5", 1, NULL}, {"int8", "\"1\"", 1, NULL},
    {"int8", "true", 1, NULL}, {"int8", "[1]", 1, NULL}, {"uint8", "255", 1, "\xFF"}, {"uint8", "256", 1, NULL}, {"uint8", "-1", 1, NULL},
    {"int16", "-32768", 2, "\x80\0"}, {"uint16", "65535", 2, "\xFF\xFF"}, {"uint16", "65536", 2, NULL}, {"int32", "-2", 4, "\xFF\xFF\xFF\xFE"},
    {"uint32", "4294967296", 4, NULL}, {"int64", "-9223372036854775808", 8, "\x80\0\0\0\0\0\0\0"}, {"int64", "9223372036854775807", 8, "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"},
    {"int64", "9223372036854775808", 8, NULL}, {"uint64", "18446744073709551615", 8, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"}, {"uint64", "18446744073709551616", 8, NULL},
    {"uint64", "9007199254740993", 8, "\0\x20\0\0\0\0\0\1"},
    {"float16", "0", 2, "\0\0"}, {"float16", "-0.0", 2, "\x80\0"}, {"float16", "1", 2, "\x3C\0"}, {"float16", "65504", 2, "\x7B\xFF"}, {"float16", "65519", 2, "\x7B\xFF"},
    {"float16", "65520", 2, NULL}, {"float16", "5.9604644775390625e-8", 2, "\0\1"}, {"float16", "2.98e-8", 2, "\0\0"}, {"float16", "2.99e-8", 2, "\0\1"},
    {"float16", "\"NaN\"", 2, "\x7E\0"}, {"float16", "\"Infinity\"", 2, "\x7C\0"}, {"float16", "\"-Infinity\"", 2, "\xFC\0"}, {"float16", "\"0xfe01\"", 2, "\xFE\1"},
    {"float16", "\"0x7c\"", 2, NULL}, {"float16", "\"0x7c000000\"", 2, NULL}, {"float16", "\"nan\"", 2, NULL}, {"float16", "\"1\"", 2, NULL},
    {"float32", "1.5", 4, "\x3F\xC0\0\0"}, {"float32", "16777217", 4, "\x4B\x80\0\0"}, {"float32", "3.4028235e38", 4, "\x7F\x7F\xFF\xFF"}, {"float32", "1e39", 4, NULL},
    {"float32", "1e-45", 4, "\0\0\0\1"}, {"float32", "-1e-50", 4, "\x80\0\0\0"}, {"float32", "\"NaN\"", 4, "\x7F\xC0\0\0"}, {"float32", "\"0x7fc00001\"", 4, "\x7F\xC0\0\1"},
    {"float32", "\"0xFFABCDEF\"", 4, "\xFF\xAB\xCD\xEF"}, {"float32", "\"0X7fc00001\"", 4, NULL}, {"float32", "\"0x7fc0000g\"", 4, NULL}, {"float32", "\"Infinity\"", 4, "\x7F\x80\0\0"},
    {"float32", "\"+Infinity\"", 4, NULL}, {"float32", "true", 4, NULL},
    {"float64", "0.1", 8, "\x3F\xB9\x99\x99\x99\x99\x99\x9A"}, {"float64", "\"-Infinity\"", 8, "\xFF\xF0\0\0\0\0\0\0"}, {"float64", "\"0x0000000000000001\"", 8, "\0\0\0\0\0\0\0\1"},
    {"float64", "4.9e-324", 8, "\0\0\0\0\0\0\0\1"}, {"float64", "1e400", 8, NULL}, {"float64", "\"NaN\"", 8, "\x7F\xF8\0\0\0\0\0\0"},
    {"complex64", "[1, \"NaN\"]", 8, "\x3F\x80\0\0\x7F\xC0\0\0"}, {"complex64", "[\"0x80000000\", -0.0]", 8, "\x80\0\0\0\x80\0\0\0"}, {"complex64", "[1]", 8, NULL},
    {"complex64", "[1,2,3]", 8, NULL}, {"complex64", "1", 8, NULL}, {"complex64", "[1, null]", 8, NULL},
    {"complex128", "[\"Infinity\", 1]", 16, "\x7F\xF0\0\0\0\0\0\0\x3F\xF0\0\0\0\0\0\0"},
    {"r8", "[7]", 1, "\7"}, {"r8", "\"Bw==\"", 1, "\7"}, {"r8", "[256]", 1, NULL}, {"r8", "[-1]", 1, NULL}, {"r8", "[]", 1, NULL}, {"r8", "[7,7]", 1, NULL}, {"r8", "7", 1, NULL},
    {"r24", "[1,2,3]", 3, "\1\2\3"}, {"r24", "\"AQID\"", 3, "\1\2\3"}, {"r24", "\"AQI=\"", 3, NULL}, {"r24", "\"AQIDBA==\"", 3, NULL}, {"r24", "[1,2]", 3, NULL},
    {"r24", "[1,2,\"3\"]", 3, NULL}, {"r24", "null", 3, NULL}, {"r2048", "[1]", 256, NULL},
    {"bytes", "\"\"", 0, ""}, {"bytes", "\"aGVsbG8=\"", 5, "hello"}, {"bytes", "[104, 105, 0]", 3, "hi\0"}, {"bytes", "\"//79/A==\"", 4, "\xFF\xFE\xFD\xFC"}, {"bytes", "[]", 0, ""},
    {"bytes", "\"aGVsbG8\"", 0, NULL}, {"bytes", "\"aGVs=G8=\"", 0, NULL}, {"bytes", "\"====\"", 0, NULL}, {"bytes", "\"a===\"", 0, NULL}, {"bytes", "\"aG==bG8=\"", 0, NULL},
    {"bytes", "\"aGVs bG8=\"", 0, NULL}, {"bytes", "\"aGV-\"", 0, NULL}, {"bytes", "null", 0, NULL}, {"bytes", "[300]", 0, NULL}, {"bytes", "{}", 0, NULL},
    {"variable_length_bytes", "\"aGVsbG8=\"", 5, "hello"},
    {"string", "\"\"", 0, ""}, {"string", "\"a\\u00e9\\ud83d\\ude00\\n\"", 8, "a\xC3\xA9\xF0\x9F\x98\x80\n"}, {"string", "\"x\\u0000y\"", 0, NULL}, {"string", "0", 0, NULL},
    {"string", "null", 0, NULL}, {"string", "[\"a\"]", 0, NULL},
};

TEST(fill_values_in_json)
{
    for (size_t i = 0; i < sizeof fills / sizeof fills[0]; i++) {
        const fill_row *row = &fills[i];
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        counter c;
        char json[800], text[400];
        bool is_string = strcmp(row->type, "string") == 0, variable = is_string || strstr(row->type, "bytes") != NULL;
        shardio_array_options o;
        memset(&o, 0, sizeof o);
        o.allocator = counter_begin(&c);
        snprintf(json, sizeof json, "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[3],\"data_type\":\"%s\",\"chunk_grid\":{\"name\":\"regular\",\"configuration\":"
                 "{\"chunk_shape\":[2]}},\"chunk_key_encoding\":{\"name\":\"default\"},\"fill_value\":%s,\"codecs\":[%s]}", row->type, row->json,
                 is_string ? "\"vlen-utf8\"" : variable ? "\"vlen-bytes\"" : LITTLE);
        CHECK_OK(store_put_text(&store, "zarr.json", json));
        shardio_array *a = shardio_array_open_in(&store, &o, &e);
        CHECK_STATUS(e.status, row->bits != NULL ? SHARDIO_OK : SHARDIO_ERR_CORRUPT);
        shardio_error_text(&e, text, sizeof text);
        if (row->bits == NULL) CHECK(strstr(text, "fill_value") != NULL);
        if (e.status == SHARDIO_OK) {
            uint8_t want[256], got[3 * 256];
            shardio_bytes texts[3];
            shardio_array_facts f;
            uint64_t zero = 0, three = 3;
            CHECK_OK(shardio_array_describe(a, &f));
            size_t unit = row->type[0] == 'r' ? 1 : row->type[0] == 'c' ? row->size / 2 : row->size;
            for (size_t n = 0; n < row->size; n++)
                want[n] = (uint8_t)row->bits[variable || machine_big_endian() ? n : n / unit * unit + unit - 1 - n % unit];
            if (variable) {
                CHECK_OK(shardio_array_read(a, &zero, &three, texts, sizeof texts, &e));
                for (int n = 0; n < 3; n++) {
                    CHECK_U64(texts[n].size, row->size);
                    if (texts[n].size == row->size) CHECK_BYTES(texts[n].data, row->bits, row->size);
                }
            } else {
                CHECK_U64(f.element_size, row->size);
                CHECK_BYTES(f.fill_value, want, row->size);
                CHECK_OK(shardio_array_read(a, &zero, &three, got, sizeof got, &e));
                for (size_t n = 0; n < 3; n++) CHECK_BYTES(got + n * row->size, want, row->size);
            }
            /* written by us, it is the same again */
            shardio_memory_store second;
            shardio_store copy = shardio_store_memory(&second, NULL);
            shardio_array_options again;
            memset(&again, 0, sizeof again);
            again.ndim = 1;
            again.dtype = f.dtype;
            again.raw_bytes = f.dtype == SHARDIO_RAW ? (uint32_t)f.element_size : 0;
            again.shape[0] = 3;
            again.chunk[0] = 2;
            again.fill_value = f.fill_value;
            CHECK_OK(shardio_array_define_in(&copy, &again, &e));
            shardio_array *b = shardio_array_open_in(&copy, NULL, &e);
            shardio_array_facts g;
            CHECK_OK(shardio_array_describe(b, &g));
            if (variable) {
                shardio_bytes x;
                memcpy(&x, g.fill_value, sizeof x);
                CHECK_U64(x.size, row->size);
                if (x.size == row->size) CHECK_BYTES(x.data, row->bits, row->size);
            } else {
                CHECK_BYTES(g.fill_value, want, row->size);
            }
            shardio_array_close(b);
            shardio_store_memory_free(&second);
        }
        shardio_array_close(a);
        CHECK_U64(c.live, 0);
        shardio_store_memory_free(&memory);
        if (test_failures) { fprintf(stderr, "    %s %s: %s\n", row->type, row->json, text); return; }
    }
}

/* Any bits of a float are a fill value, written and read again. */
TEST(fill_values_of_any_bits)
{
    static const shardio_dtype types[] = {SHARDIO_FLOAT16, SHARDIO_FLOAT32, SHARDIO_FLOAT64, SHARDIO_COMPLEX64, SHARDIO_COMPLEX128, SHARDIO_RAW, SHARDIO_INT64};
    uint64_t r = 1;
    for (int k = 0; k < 1400 && test_failures == 0; k++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_array_options o;
        shardio_error e;
        shardio_array_facts f;
        uint8_t fill[16];
        for (int i = 0; i < 16; i++) fill[i] = (uint8_t)(test_random(&r) >> 5);
        if (k % 3 == 0) for (int i = 1; i < 16; i += 2) fill[i] |= 0x7C;      /* infinities and NaNs among them */
        if (k % 3 == 1) memset(fill, k % 2 ? 0xFF : 0, 16);
        if (k % 3 == 1) fill[test_random(&r) % 16] ^= (uint8_t)(1 << test_random(&r) % 8);
        memset(&o, 0, sizeof o);
        o.ndim = 1;
        o.shape[0] = o.chunk[0] = 2;
        o.dtype = types[k % 7];
        o.raw_bytes = o.dtype == SHARDIO_RAW ? 1 + (uint32_t)(test_random(&r) % 16) : 0;
        o.fill_value = fill;
        o.big_endian = k % 2 != 0;
        CHECK_OK(shardio_array_define_in(&store, &o, &e));
        shardio_array *a = shardio_array_open_in(&store, NULL, &e);
        CHECK_OK(shardio_array_describe(a, &f));
        CHECK_BYTES(f.fill_value, fill, f.element_size);
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
        if (test_failures) fprintf(stderr, "    %d\n", k);
    }
}

/* ---- shards inside shards */

#define NEST "[{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[16]," INDEX ",\"codecs\":[{\"name\":\"sharding_indexed\",\"configuration\":" \
             "{\"chunk_shape\":[4]," INDEX ",\"codecs\":[\"bytes\"]}}]}}]"

enum { INNER_INDEX = 4 * 16 + 4, OUTER_INDEX = 4 * 16 + 4 };

/* 64 bytes: a shard of 4 shards of 4 chunks of 4. */
static shardio_array *define_nest(const shardio_store *store, uint8_t *data, bool skip, shardio_error *e)
{
    shardio_array_options o;
    uint64_t zero = 0, all = 64;
    memset(&o, 0, sizeof o);
    o.ndim = 1;
    o.dtype = SHARDIO_UINT8;
    o.shape[0] = o.chunk[0] = 64;
    o.codec_list = NEST;
    o.skip_fill = skip;
    o.dead_percent = 100;
    CHECK_OK(shardio_array_define_in(store, &o, e));
    shardio_array *a = shardio_array_update_in(store, &o, e);
    CHECK_OK(shardio_array_write(a, &zero, &all, data, 64, e));
    return a;
}

/* Where inner shard number `i` lies in the file of the outer one. */
static uint8_t *inner_shard(uint8_t *file, size_t size, uint64_t i, uint64_t *length)
{
    shardio_index_layout layout = {4, false, false, false, 0, NULL};
    uint64_t offset = 0;
    CHECK_OK(shardio_index_check(&layout, file + size - OUTER_INDEX));
    shardio_index_get(&layout, file + size - OUTER_INDEX, i, &offset, length);
    return *length == SHARDIO_MISSING ? NULL : file + offset;
}

TEST(damaged_inner_shards)
{
    static const char *const what[] = {"index checksum", "shorter than its index", "empty", "entry beyond its end", "entry into its index", "half missing", "wrong length",
                                       "entry of 2^64", "gone"};
    for (int kind = 0; kind < 9; kind++) {
        for (int unbuffered = 0; unbuffered < 2; unbuffered++) {
            static disk d;
            shardio_store store = disk_begin(&d);
            shardio_array_options o;
            shardio_error e;
            uint8_t data[64], got[64];
            size_t size;
            uint64_t length, start, count;
            shardio_index_layout layout = {4, false, false, false, 0, NULL};
            for (int i = 0; i < 64; i++) data[i] = (uint8_t)(i + 1);
            shardio_array_close(define_nest(&store, data, false, &e));
            uint8_t *file = store_get(&store, "c/0", &size), *outer = file + size - OUTER_INDEX, *inner = inner_shard(file, size, 2, &length);
            uint8_t *index = inner + length - INNER_INDEX;
            CHECK_U64(length, 16 + INNER_INDEX);
            uint64_t place = (uint64_t)(inner - file);
            bool seal = true;
            if (kind == 0) { index[2] ^= 1; seal = false; }
            if (kind == 1) shardio_index_set(&layout, outer, 2, place, INNER_INDEX - 1);
            if (kind == 2) shardio_index_set(&layout, outer, 2, place, 0);
            if (kind == 3) shardio_index_set(&layout, index, 1, length, 4);          /* the next inner shard begins there */
            if (kind == 4) shardio_index_set(&layout, index, 1, 16, 4);
            if (kind == 5) shardio_index_set(&layout, index, 1, SHARDIO_MISSING, 4);
            if (kind == 6) shardio_index_set(&layout, index, 1, 4, 3);
            if (kind == 7) shardio_index_set(&layout, index, 1, UINT64_MAX - 3, 4);
            if (kind == 8) shardio_index_set(&layout, outer, 2, SHARDIO_MISSING, SHARDIO_MISSING);
            if (seal) { shardio_index_seal(&layout, index); shardio_index_seal(&layout, outer); }
            CHECK_OK(store_put(&store, "c/0", file, size));
            free(file);
            d.alignment = unbuffered ? 512 : 0;
            memset(&o, 0, sizeof o);
            o.unbuffered = unbuffered != 0;
            shardio_array *a = shardio_array_open_in(&store, &o, &e);
            for (start = 0; start < 64; start += 4) {
                bool inside = start / 16 == 2, one = start == 36, bad = inside && (kind <= 2 || (kind < 8 && one));
                count = 4;
                memset(got, 0xA5, sizeof got);
                shardio_status s = shardio_array_read(a, &start, &count, got, 4, &e);
                if (bad) CHECK(s == SHARDIO_ERR_CHECKSUM || s == SHARDIO_ERR_TRUNCATED || s == SHARDIO_ERR_CORRUPT);
                else CHECK_OK(s);
                static const uint8_t fill[4] = {0, 0, 0, 0};
                if (s == SHARDIO_OK) CHECK_BYTES(got, inside && kind == 8 ? fill : data + start, 4);
            }
            start = 48;
            count = 16;
            CHECK_OK(shardio_array_read(a, &start, &count, got, 16, &e));
            CHECK_BYTES(got, data + 48, 16);
            CHECK_STATUS(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e), kind == 8 ? SHARDIO_OK : SHARDIO_ERR_CORRUPT);
            shardio_array_close(a);
            disk_end(&d);
            if (test_failures) { fprintf(stderr, "    %s%s\n", what[kind], unbuffered ? ", unbuffered" : ""); return; }
        }
    }
}

/* Fill values are left out of inner shards as well, and inner shards that hold nothing else. */
TEST(fill_values_inside)
{
    for (int skip = 0; skip < 2; skip++) {
        shardio_memory_store memory;
        shardio_store store = shardio_store_memory(&memory, NULL);
        shardio_error e;
        uint8_t data[64], got[64];
        uint64_t zero = 0, all = 64;
        size_t size;
        for (int i = 0; i < 64; i++) data[i] = (uint8_t)(i + 1);
        memset(data + 4, 0, 8);                                  /* two chunks of the first, */
        memset(data + 16, 0, 16);                                /* all of the second, */
        memset(data + 33, 0, 3);                                 /* three elements of the third */
        shardio_array *a = define_nest(&store, data, skip != 0, &e);
        for (int again = 0; again < 2; again++) {
            uint8_t *file = store_get(&store, "c/0", &size);
            static const uint64_t present[4] = {2, 0, 4, 4};
            for (uint64_t i = 0; i < 4; i++) {
                uint64_t length = 0, offset, n = 0, size_of_one;
                shardio_index_layout layout = {4, false, false, false, 0, NULL};
                uint8_t *inner = inner_shard(file, size, i, &length);
                CHECK(skip == 0 || i != 1 ? inner != NULL : inner == NULL);
                if (inner == NULL) continue;
                for (uint64_t k = 0; k < 4; k++) {
                    shardio_index_get(&layout, inner + length - INNER_INDEX, k, &offset, &size_of_one);
                    n += size_of_one != SHARDIO_MISSING;
                }
                CHECK_U64(n, skip ? present[i] : 4);
                CHECK_U64(length, 4 * n + INNER_INDEX);
            }
            free(file);
            CHECK_OK(shardio_array_read(a, &zero, &all, got, 64, &e));
            CHECK_BYTES(got, data, 64);
            uint64_t at = 62, one = 1;                            /* changed in one place, the rest stays as it is */
            data[62] = 99;
            CHECK_OK(shardio_array_write(a, &at, &one, data + 62, 1, &e));
        }
        CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
        shardio_array_close(a);
        shardio_store_memory_free(&memory);
    }
}

/* ---- chunks that the caller has as they are */

enum { FRAMES = 7, FRAME = 24 };

typedef struct layout {
    const char *name;
    uint64_t chunk[3], shard[3];
    bool big_endian, transposed, skip_fill;
    int in_place;                    /* chunks, where all frames come at once */
} layout;

static const layout layouts[] = {
    {"a frame", {1, 4, 6}, {4, 4, 6}, false, false, false, 7},
    {"a frame, a file", {1, 4, 6}, {0, 0, 0}, false, false, false, 7},
    {"two frames", {2, 4, 6}, {4, 4, 6}, false, false, false, 3},
    {"two frames, a file", {2, 4, 6}, {0, 0, 0}, false, false, false, 3},
    {"part of a frame, shards side by side", {1, 2, 6}, {4, 2, 6}, false, false, false, 0},
    {"part of a frame, a file", {1, 2, 6}, {0, 0, 0}, false, false, false, 14},
    {"part of a frame, shards of frames", {1, 2, 6}, {2, 4, 6}, false, false, true, 10},   /* one is all zeros, the last too few */
    {"a frame, transposed", {1, 4, 6}, {4, 4, 6}, false, true, false, 0},
    {"a frame, the other byte order", {1, 4, 6}, {4, 4, 6}, true, false, false, 0},
    {"lines of two chunks", {1, 4, 3}, {4, 4, 6}, false, false, false, 0},
};

/* What was asked to be little-endian is so on this machine, or big. */
static shardio_array *layout_create(const shardio_store *store, const layout *l, const shardio_codec *codec, bool statistics)
{
    static const uint8_t order[3] = {0, 2, 1};
    const uint16_t one = 1;
    shardio_array_options o;
    memset(&o, 0, sizeof o);
    o.ndim = 3;
    o.dtype = SHARDIO_UINT16;
    o.shape[1] = 4;
    o.shape[2] = 6;
    memcpy(o.chunk, l->chunk, sizeof l->chunk);
    memcpy(o.shard, l->shard, sizeof l->shard);
    o.big_endian = l->big_endian == (*(const uint8_t *)&one == 1);
    o.skip_fill = l->skip_fill;
    o.statistics = statistics;
    o.block_size = o.buffer_size = 512;       /* less than an eighth of it is gathered */
    o.codecs[0] = codec;
    if (l->transposed) o.transpose = order;
    return shardio_array_create_in(store, &o);
}

/* The same keys, and the same bytes behind each. */
static void check_same(const shardio_store *store, const shardio_store *wanted)
{
    key_list keys, others;
    CHECK_OK(store_keys(store, "", &keys));
    CHECK_OK(store_keys(wanted, "", &others));
    CHECK_TEXT(keys.text, others.text);
    for (char *key = strtok(keys.text, " "); key != NULL; key = strtok(NULL, " ")) {
        size_t n = 0, m = 0;
        uint8_t *got = store_get(store, key, &n), *one = store_get(wanted, key, &m);
        CHECK(got != NULL && one != NULL && n == m && memcmp(got, one, n) == 0);
        free(got);
        free(one);
    }
}

/* Whole chunks are encoded from where the caller has them, and what is written is the same as in pieces of any size. */
TEST(chunks_that_need_not_be_gathered)
{
    static const uint64_t pieces[] = {1, 5, 12, 24, 30, 48, 60, 100, 168};
    uint8_t memory_of_caller[2 * FRAMES * FRAME + 1];
    uint8_t *elements = memory_of_caller + 1;                 /* no better aligned than memory may be */
    for (size_t i = 0; i < 2 * FRAMES * FRAME; i++) elements[i] = (uint8_t)(i / (2 * FRAME) == 3 ? 0 : i * 7 + i / 50);
    for (size_t l = 0; l < sizeof layouts / sizeof layouts[0]; l++) {
        for (int statistics = 0; statistics < 2; statistics++) {
            shardio_memory_store first, memory;
            shardio_store wanted = shardio_store_memory(&first, NULL);
            for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
                for (int checkpoints = 0; checkpoints < 2; checkpoints++) {
                    shardio_store store = p == 0 && !checkpoints ? wanted : shardio_store_memory(&memory, NULL);
                    shardio_error e;
                    mixer m;
                    shardio_codec codec = mix_codec(&m, "{\"key\":77,\"pad\":3}");
                    m.caller = elements;
                    m.caller_bytes = 2 * FRAMES * FRAME;
                    shardio_array *a = layout_create(&store, &layouts[l], &codec, statistics != 0);
                    for (uint64_t at = 0; at < FRAMES * FRAME; at += pieces[p]) {
                        uint64_t n = FRAMES * FRAME - at < pieces[p] ? FRAMES * FRAME - at : pieces[p];
                        CHECK_OK(shardio_array_append(a, elements + 2 * at, n));
                        if (checkpoints && at % 3 == 0) CHECK_OK(shardio_array_checkpoint(a));
                    }
                    CHECK_OK(shardio_array_finish(a, &e));
                    if (pieces[p] == FRAMES * FRAME && !CHECK(m.in_place == layouts[l].in_place))
                        fprintf(stderr, "%s: %d chunks in place\n", layouts[l].name, m.in_place);
                    if (p == 0 && !checkpoints) continue;
                    if (!checkpoints) check_same(&store, &wanted);
                    uint16_t got[FRAMES * FRAME];
                    const uint64_t zero[3] = {0, 0, 0}, all[3] = {FRAMES, 4, 6};
                    shardio_array_options o;
                    memset(&o, 0, sizeof o);
                    o.codecs[0] = &codec;
                    a = shardio_array_open_in(&store, &o, &e);
                    CHECK_OK(shardio_array_read(a, zero, all, got, sizeof got, &e));
                    CHECK_BYTES(got, elements, sizeof got);
                    CHECK_OK(shardio_array_verify(a, NULL, NULL, NULL, NULL, &e));
                    shardio_array_close(a);
                    shardio_store_memory_free(&memory);
                    if (test_failures) return;
                }
            }
            shardio_store_memory_free(&first);
        }
    }
}

/* Small chunks that are encoded one by one fill the buffer before it is written, however they come. */
TEST(small_chunks_fill_the_buffer)
{
    for (uint64_t frames = 1; frames <= 16; frames *= 16) {
        for (int gathered = 0; gathered < 2; gathered++) {
            shardio_memory_store memory;
            shardio_store store = shardio_store_memory(&memory, NULL);
            shardio_accounting accounting;
            shardio_array_options o;
            shardio_error e;
            uint8_t elements[16 * 256];
            memset(elements, 7, sizeof elements);
            memset(&o, 0, sizeof o);
            o.ndim = 2;
            o.dtype = SHARDIO_UINT8;
            o.shape[1] = o.chunk[1] = o.shard[1] = 256;
            o.chunk[0] = gathered ? 2 : 1;
            o.shard[0] = 4096;
            o.codecs[0] = shardio_codec_crc32c();
            o.buffer_size = 65536;
            o.accounting = &accounting;
            shardio_array *a = shardio_array_create_in(&store, &o);
            for (uint64_t i = 0; i < 4096; i += frames) CHECK_OK(shardio_array_append(a, elements, frames * 256));
            CHECK_OK(shardio_array_finish(a, &e));
            CHECK_U64(accounting.files, 1);
            CHECK(accounting.device_calls <= accounting.device_bytes / o.buffer_size + 2);
            shardio_store_memory_free(&memory);
        }
    }
}

TEST_MAIN(TEST_CASE(contexts_begin_and_end) TEST_CASE(contexts_that_cannot_be_made) TEST_CASE(codecs_that_decode_wrong) TEST_CASE(decoding_grows)
          TEST_CASE(codecs_that_encode_wrong) TEST_CASE(lists_that_are_wrong) TEST_CASE(lists_are_kept_to_the_byte) TEST_CASE(texts_of_any_length)
          TEST_CASE(strings_are_utf8) TEST_CASE(texts_that_lie) TEST_CASE(fill_values_in_json) TEST_CASE(fill_values_of_any_bits)
          TEST_CASE(damaged_inner_shards) TEST_CASE(fill_values_inside)
          TEST_CASE(chunks_that_need_not_be_gathered) TEST_CASE(small_chunks_fill_the_buffer))
