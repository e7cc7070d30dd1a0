/* An archive as a store of values, in layers. Include after soak.h. */
#ifndef SOAK_ARCHIVES_H
#define SOAK_ARCHIVES_H

enum { ARCHIVE_OBJECT = 100, KEYS = 40, KEYS_LIMIT = 8 << 20 };

static const char *key_of(char *key, uint32_t place)
{
    snprintf(key, 40, "%s/key%u", place % 2 ? "some" : "some/other", place);
    return key;
}

static shardio_status set_error(shardio_error *error, shardio_status status, int code, const char *operation,
                                const char *key)
{
    memset(error, 0, sizeof *error);
    error->status = status;
    error->system_code = code;
    error->operation = operation;
    snprintf(error->subject, sizeof error->subject, "%s", key);
    return status;
}

static shardio_status put_value(const shardio_store *store, const char *key, const void *data, size_t size,
                                shardio_error *error)
{
    static uint8_t buffer[65536];
    shardio_slot slot;
    shardio_file file;
    int code = 0;
    shardio_status s = store->functions->create(store->context, key, true, size, NULL, &file, &code);
    if (s != SHARDIO_OK) return set_error(error, s, code, "create", key);
    (void)shardio_slot_begin(&slot, file, buffer, sizeof buffer, NULL);
    (void)shardio_slot_append(&slot, data, size);
    s = shardio_slot_finish(&slot);
    *error = slot.error;
    return s;
}

/* The version of a key, 0 if it is not there or *error says why it cannot be read. */
static uint32_t version_of_key(const shardio_store *store, uint32_t place, shardio_error *error)
{
    char key[40];
    shardio_file file;
    shardio_file_facts facts;
    int code = 0;
    shardio_status s = store->functions->open(store->context, key_of(key, place), false, NULL, &file, &code);
    set_error(error, s == SHARDIO_ERR_NOT_FOUND ? SHARDIO_OK : s, code, "open", key);
    if (s != SHARDIO_OK) return 0;
    s = file.functions->facts(file.context, &facts, &code);
    if (s == SHARDIO_OK && facts.size > PIECE_MAX) fail("archive: %s has %u bytes", key, (unsigned)facts.size);
    if (s == SHARDIO_OK) s = shardio_file_read(&file, 0, seen, (size_t)facts.size, error);
    shardio_file_close(&file);
    if (s != SHARDIO_OK) return 0;
    m->checked += facts.size;
    uint32_t version = version_of_piece(ARCHIVE_OBJECT, place, seen, facts.size);
    if (version == 0) set_error(error, SHARDIO_ERR_CORRUPT, 0, "compare", key);
    return version;
}

static shardio_archive *keys_open(bool write, shardio_error *error)
{
    char path[260];
    shardio_archive_options o;
    memset(&o, 0, sizeof o);
    o.write = write;
    o.durability = some_durability();
    o.direct = write ? some_direct() : one_in(4) ? SHARDIO_DIRECT_ON : SHARDIO_DIRECT_AUTO;
    o.buffer_size = (size_t)32768 << below(4);
    return shardio_archive_open(path_of(path, "keys", 0), &o, error);
}

/* The versions of all keys. */
static void keys_versions(shardio_archive *a, uint32_t *found)
{
    shardio_store store = shardio_archive_store(a);
    shardio_error error;
    memset(found, 0, CELLS * sizeof *found);
    for (uint32_t i = 0; i < KEYS; i++) {
        found[i] = version_of_key(&store, i, &error);
        if (error.status != SHARDIO_OK) fail_error("read a value", &error);
    }
}

/* The newest layer of the model. */
static void push_layer(archive_model *k, uint64_t number)
{
    if (k->depth > 0 && k->number[k->depth - 1] == number) return;
    memcpy(k->layer[k->depth], k->keys.committed, sizeof k->layer[0]);
    k->number[k->depth] = number;
    k->depth++;
}

/* The model follows what the file says: it holds the newest layer that was promised, or one that was under way: a
   commit, or the layer that was rolled back to. */
static void keys_settle(shardio_archive *a)
{
    archive_model *k = &m->archive;
    uint32_t found[CELLS];
    uint64_t number = shardio_archive_about(a).layer;
    if (k->compacting && k->depth > 0 && number != k->number[k->depth - 1]) k->depth = 0;
    k->compacting = 0;
    if (k->target != 0 && number == k->number[k->target - 1]) {
        k->depth = k->target;
        memcpy(k->keys.next, k->layer[k->depth - 1], sizeof k->keys.next);
        cells_commit(&k->keys);
    }
    k->target = 0;
    keys_versions(a, found);
    cells_settle(&k->keys, found, KEYS, "archive");
    push_layer(k, number);
    if (k->rewinds % 2 != 0) tell(&k->rewinds, k->rewinds + 1);
}

static void archive_check(void)
{
    shardio_error error;
    shardio_archive *a = keys_open(false, &error);
    if (a == NULL && error.status == SHARDIO_ERR_NOT_FOUND && !m->archive.keys.exists) {
        tell(&m->archive.keys.pending, 0);
        return;
    }
    if (a == NULL) fail_error("open an archive", &error);
    keys_settle(a);
    if (one_in(3)) {
        if (shardio_archive_verify(a, NULL, NULL, NULL, NULL, &error) != SHARDIO_OK)
            fail_error("verify an archive", &error);
        m->done[ARCHIVE_VERIFY]++;
    }
    shardio_archive_close(a);
}

/* Some values, new or removed. */
static bool archive_put(shardio_archive *a)
{
    cells *c = &m->archive.keys;
    shardio_store store = shardio_archive_store(a);
    shardio_error error;
    char key[40];
    bool good = true;
    for (uint32_t steps = 1 + below(12); steps > 0 && good; steps--) {
        uint32_t place = below(KEYS);
        bool present = !one_in(4);
        if (!present && c->next[place] % 2 == 0) continue;
        uint32_t before = c->next[place], version = cells_bump(c, place, present);
        size_t size = present ? make_piece(piece, ARCHIVE_OBJECT, place, version) : 0;
        int code = 0;
        m->bytes += size;
        if (present) (void)put_value(&store, key_of(key, place), piece, size, &error);
        else {
            shardio_status s = store.functions->remove(store.context, key_of(key, place), &code);
            (void)set_error(&error, s, code, "remove", key);
        }
        good = well(ARCHIVE_PUT, "change a value", &error);
        if (!good) c->next[place] = before;
    }
    return good;
}

static void archive_commit(shardio_archive *a)
{
    archive_model *k = &m->archive;
    shardio_error error;
    if (!shardio_archive_about(a).changed) return;
    cells_promise(&k->keys);
    (void)shardio_archive_commit(a, &error);
    if (!well(ARCHIVE_COMMIT, "commit", &error)) return;
    cells_commit(&k->keys);
    push_layer(k, shardio_archive_about(a).layer);
}

static void archive_rollback(shardio_archive *a)
{
    archive_model *k = &m->archive;
    shardio_error error;
    if (k->depth == 0) return;
    tell(&k->rewinds, k->rewinds + 1);
    k->target = 1 + below(k->depth);
    (void)shardio_archive_rollback(a, k->number[k->target - 1], &error);
    if (well(ARCHIVE_ROLLBACK, "roll back", &error)) keys_settle(a);
}

static void archive_session(void)
{
    cells *c = &m->archive.keys;
    shardio_error error;
    shardio_archive *a = keys_open(true, &error);
    if (a == NULL) {
        (void)well(ARCHIVE_COMMIT, "open an archive", &error);
        return;
    }
    for (uint32_t rounds = 1 + below(3); rounds > 0 && m->archive.depth < LAYERS - 1 && !c->pending; rounds--) {
        uint32_t found[CELLS];
        cells_begin(c);
        if (!archive_put(a)) break;
        keys_versions(a, found);       /* what was written is read at once */
        if (!cells_are(found, c->next, KEYS)) fail("archive: what was put is not what is read");
        if (one_in(6)) {
            (void)shardio_archive_discard(a, &error);
            (void)well(ARCHIVE_DISCARD, "discard", &error);
        } else if (!one_in(6)) archive_commit(a);
        if (one_in(8) && !c->pending) archive_rollback(a);
        if (shardio_archive_about(a).changed) break;
    }
    shardio_archive_close(a);
}

static void archive_compact(void)
{
    archive_model *k = &m->archive;
    shardio_error error;
    char path[260];
    k->compacting = 1;
    (void)shardio_archive_compact(path_of(path, "keys", 0), NULL, NULL, NULL, &error);
    (void)well(ARCHIVE_COMPACT, "compact an archive", &error);
}

static void archive_work(void)
{
    char path[260];
    archive_model *k = &m->archive;
    if (k->keys.exists && (one_in(20) || k->depth >= LAYERS - 2 || file_size(path_of(path, "keys", 0)) > KEYS_LIMIT))
        archive_compact();
    else archive_session();
    archive_check();
}

static void archive_look(void)
{
    archive_model *k = &m->archive;
    shardio_error error;
    uint32_t low[KEYS], rewinds = ask(&k->rewinds);
    if (rewinds % 2 != 0) return;
    for (uint32_t i = 0; i < KEYS; i++) low[i] = ask(&k->keys.committed[i]);
    shardio_archive *a = keys_open(false, &error);
    if (!reader_got("open an archive", &error)) return;
    shardio_store store = shardio_archive_store(a);
    for (uint32_t n = 0; n < 20; n++) {
        uint32_t place = below(KEYS), found = version_of_key(&store, place, &error);
        if (ask(&k->rewinds) != rewinds) {     /* the layer that it reads may be gone */
            m->overtaken++;
            break;
        }
        if (!reader_got("read a value", &error)) continue;
        if (!cell_may_be(&k->keys, place, found, low[place]))
            fail("reader: archive, key %u has version %u; promised %u", place, found, low[place]);
    }
    shardio_archive_close(a);
    m->looks++;
}

#endif
