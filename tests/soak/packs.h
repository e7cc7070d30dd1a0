/* A packfile, written anew each time: its items are those of one version. Include after soak.h. */
#ifndef SOAK_PACKS_H
#define SOAK_PACKS_H

enum { PACK_ITEMS = 4000, ITEM_MAX = 700, PACK_OBJECT = 200 };

static size_t make_item(uint8_t *to, uint32_t version, uint32_t item)
{
    uint64_t state = mix((uint64_t)PACK_OBJECT << 56 ^ (uint64_t)version << 24 ^ item);
    size_t size = state % 17 == 0 ? 0 : state % ITEM_MAX;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = mix(state++);
        memcpy(to + i, &word, 8);
    }
    return size;
}

typedef struct pack_version {
    uint32_t version;
    uint64_t bytes;
} pack_version;

static shardio_status check_item(void *context, uint64_t item, const uint8_t *data, size_t size, shardio_error *error)
{
    pack_version *p = (pack_version *)context;
    (void)error;
    if (make_item(piece, p->version, (uint32_t)item) != size || memcmp(piece, data, size) != 0)
        fail("pack: item %u of version %u is not what was appended", (unsigned)item, p->version);
    p->bytes += size;
    return SHARDIO_OK;
}

static shardio_pack_options pack_options(uint32_t version)
{
    static const uint32_t together[] = {1, 16, 128};
    shardio_pack_options o;
    memset(&o, 0, sizeof o);
    o.items_per_record = together[version % 3];
    o.content_hash = version % 2 != 0;
    o.format = version;
    return o;
}

/* Reads items of an open pack in every way; the number of bytes compared. */
static uint64_t pack_read_some(shardio_pack_reader *reader, shardio_error *error)
{
    pack_version p = {reader->facts.format, 0};
    uint64_t items = reader->facts.items, picks[20];
    shardio_status s = SHARDIO_OK;
    for (uint32_t k = 0; k < 30 && items > 0 && s == SHARDIO_OK; k++) {
        const uint8_t *data = NULL;
        size_t size = 0;
        uint64_t item = below((uint32_t)items);
        s = shardio_pack_item(reader, NULL, item, &data, &size, error);
        if (s == SHARDIO_OK) (void)check_item(&p, item, data, size, error);
    }
    if (s == SHARDIO_OK) s = shardio_pack_range(reader, NULL, items / 3, items / 4, check_item, &p, error);
    for (uint32_t k = 0; k < 20; k++) picks[k] = items * k / 20;
    if (s == SHARDIO_OK && items >= 20) (void)shardio_pack_list(reader, NULL, picks, 20, check_item, &p, error);
    return p.bytes;
}

/* What is there is what was promised, or what was under way, whole. */
static void pack_check(void)
{
    pack_model *p = &m->pack;
    shardio_pack_reader reader;
    shardio_error error;
    char path[260];
    shardio_status s = shardio_pack_open(&reader, path_of(path, "pack", 0), NULL, &error);
    if (s == SHARDIO_ERR_NOT_FOUND && p->version == 0) {
        tell(&p->pending, 0);
        return;
    }
    if (s != SHARDIO_OK) fail_error("open a pack", &error);
    if (p->pending && reader.facts.format == p->next_version) {
        p->items = p->next_items;
        tell(&p->version, p->next_version);
    }
    tell(&p->pending, 0);
    if (reader.facts.format != p->version || reader.facts.items != p->items)
        fail("pack: version %u with %u items, not %u with %u", reader.facts.format, (unsigned)reader.facts.items,
             p->version, p->items);
    m->checked += pack_read_some(&reader, &error);
    if (error.status != SHARDIO_OK) fail_error("read items", &error);
    if (one_in(3)) {
        shardio_pack_summary summary;
        if (shardio_pack_verify(&reader, NULL, &summary, NULL, NULL, NULL, NULL, &error) != SHARDIO_OK)
            fail_error("verify a pack", &error);
        m->checked += summary.item_bytes;
    }
    m->done[PACK_READ]++;
    shardio_pack_close(&reader);
}

static void pack_write(void)
{
    pack_model *p = &m->pack;
    shardio_slot_options o = shard_options();
    shardio_pack_writer w;
    shardio_error error;
    char path[260];
    p->next_version++;
    p->next_items = below(PACK_ITEMS);
    shardio_pack_options options = pack_options(p->next_version);
    (void)shardio_pack_create(&w, path_of(path, "pack", 0), &options, &o);
    for (uint32_t i = 0; i < p->next_items; i++) {
        size_t size = make_item(piece, p->next_version, i);
        m->bytes += size;
        (void)shardio_pack_append(&w, piece, size);
    }
    if (one_in(6)) {
        shardio_pack_abort(&w);
        return;
    }
    tell(&p->pending, 1);
    (void)shardio_pack_finish(&w, &p->next_version, sizeof p->next_version, &error);
    (void)well(PACK_WRITE, path, &error);
}

static void pack_work(void)
{
    if (one_in(2)) pack_write();
    pack_check();
}

static void pack_look(void)
{
    shardio_pack_reader reader;
    shardio_error error;
    char path[260];
    uint32_t low = ask(&m->pack.version), version = 0;
    (void)shardio_pack_open(&reader, path_of(path, "pack", 0), NULL, &error);
    if (!reader_got("open a pack", &error)) return;
    if (reader.facts.format < low || reader.facts.format > ask(&m->pack.next_version))
        fail("reader: pack of version %u", reader.facts.format);
    m->look_bytes += pack_read_some(&reader, &error);
    if (reader_got("read items", &error)) {
        if (shardio_pack_app_data(&reader, &version, sizeof version, &error) != SHARDIO_OK ||
            version != reader.facts.format)
            fail("reader: a pack with other app data");
    }
    shardio_pack_close(&reader);
    m->looks++;
}

#endif
