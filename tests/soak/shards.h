/* Single shard files: streams with checkpoints, updates, compaction, recovery. Include after soak.h. */
#ifndef SOAK_SHARDS_H
#define SOAK_SHARDS_H

static shardio_index_layout shard_layout(uint32_t number)
{
    shardio_index_layout layout;
    memset(&layout, 0, sizeof layout);
    layout.chunks = CELLS;
    layout.at_start = number % 2 != 0;
    layout.big_endian = number == 2;
    return layout;
}

static shardio_slot_options shard_options(void)
{
    shardio_slot_options o;
    memset(&o, 0, sizeof o);
    o.buffer_size = (size_t)4096 << below(8);
    o.direct = some_direct();
    o.overlap = some_overlap();
    o.in_flight = 2 + below(7);
    o.durability = some_durability();
    o.drop_behind = one_in(4) ? 100000 : 0;
    o.overwrite = true;
    return o;
}

/* The versions of all chunks of an open shard. */
static void shard_versions(uint32_t number, shardio_shard_reader *reader, uint32_t *found)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        shardio_error error;
        uint64_t size = 0;
        if (shardio_shard_read(reader, i, seen, PIECE_MAX, &size, &error) != SHARDIO_OK)
            fail_error("read a chunk", &error);
        found[i] = 0;
        if (size == SHARDIO_MISSING) continue;
        found[i] = version_of_piece(number, i, seen, size);
        if (found[i] == 0) fail("shard %u: chunk %u is not one of its versions", number, i);
        m->checked += size;
    }
}

/* Opens and compares all of a shard that nobody writes. */
static void shard_check(uint32_t number)
{
    cells *c = &m->shards[number];
    shardio_index_layout layout = shard_layout(number);
    shardio_shard_reader reader;
    shardio_error error;
    uint32_t found[CELLS];
    char path[260];
    shardio_status s = shardio_shard_open(&reader, path_of(path, "shard", number), &layout, NULL, &error);
    if (s == SHARDIO_ERR_NOT_FOUND && !c->exists) {
        tell(&c->pending, 0);
        return;
    }
    if (s != SHARDIO_OK) fail_error("open a shard", &error);
    shard_versions(number, &reader, found);
    if (one_in(4)) {
        shardio_shard_summary summary;
        if (shardio_shard_verify(&reader, &summary, NULL, NULL, &error) != SHARDIO_OK)
            fail_error("verify a shard", &error);
        m->done[SHARD_VERIFY]++;
    }
    shardio_shard_close(&reader);
    cells_settle(c, found, CELLS, path);
}

/* A chunk that recovery asks about is right if it is some version of its place. */
static shardio_status shard_chunk_is_right(void *context, const shardio_file *file, uint64_t chunk, uint64_t offset,
                                           uint64_t length, shardio_error *error)
{
    if (length > PIECE_MAX) return SHARDIO_ERR_CORRUPT;
    if (shardio_file_read(file, offset, seen, (size_t)length, error) != SHARDIO_OK) return error->status;
    const bool right = version_of_piece(*(const uint32_t *)context, (uint32_t)chunk, seen, length) != 0;
    return right ? SHARDIO_OK : SHARDIO_ERR_CORRUPT;
}

/* After the process was killed: the newest complete state has to come back. */
static void shard_recover(uint32_t number)
{
    shardio_index_layout layout = shard_layout(number);
    shardio_file file;
    shardio_recovery found;
    shardio_error error;
    char path[260];
    double since = 0;
    if (file_size(path_of(path, "shard", number)) == 0) return;
    for (;;) {
        if (shardio_file_open(&file, path, SHARDIO_OPEN_UPDATE, NULL, &error) != SHARDIO_OK) fail_error("open", &error);
        (void)shardio_shard_recover_file(&file, &layout, true, shard_chunk_is_right, &number, NULL, &found, &error);
        shardio_file_close(&file);
        if (well(SHARD_RECOVER, "recover a shard", &error)) break;
        wait_for_room(&since);
    }
    m->recovered += !found.intact;
}

static void shard_settle(uint32_t number)
{
    shard_recover(number);
    shard_check(number);
}

/* One chunk, changed or removed. The first stays, and so does the one put last: an index without chunks, or behind bytes that
   are nobody's any more, cannot be told from data. */
static void shard_change(uint32_t number, shardio_shard_writer *w)
{
    static uint32_t put_last;
    cells *c = &m->shards[number];
    uint32_t place = below(CELLS);
    bool present = place == 0 || place == put_last || !one_in(5);
    uint32_t version = cells_bump(c, place, present);
    if (!present) {
        (void)shardio_shard_drop(w, place);
        return;
    }
    put_last = place;
    size_t size = make_piece(piece, number, place, version);
    m->bytes += size;
    (void)shardio_shard_put(w, place, piece, size);
}

static void shard_checkpoint(uint32_t number, shardio_shard_writer *w)
{
    cells *c = &m->shards[number];
    cells_promise(c);
    if (shardio_shard_checkpoint(w) == SHARDIO_OK) {
        cells_commit(c);
        m->done[SHARD_CHECKPOINT]++;
    }
}

/* A stream from nothing: what was in the shard before is not there any more. */
static shardio_status shard_begin_new(uint32_t number, shardio_shard_writer *w, const char *path,
                                      const shardio_index_layout *layout, const shardio_slot_options *o)
{
    cells *c = &m->shards[number];
    shardio_status s = shardio_shard_create(w, path, layout, o);
    for (uint32_t i = 0; i < CELLS; i++)
        if (c->next[i] % 2) (void)cells_bump(c, i, false);
    size_t size = make_piece(piece, number, 0, cells_bump(c, 0, true));
    if (s == SHARDIO_OK) s = shardio_shard_put(w, 0, piece, size);
    return s;
}

static void shard_write(uint32_t number, deed d)
{
    cells *c = &m->shards[number];
    shardio_index_layout layout = shard_layout(number);
    shardio_slot_options o = shard_options();
    shardio_shard_writer w;
    shardio_error error;
    char path[260];
    path_of(path, "shard", number);
    cells_begin(c);
    if (d == SHARD_CREATE) (void)shard_begin_new(number, &w, path, &layout, &o);
    else if (d == SHARD_UPDATE) (void)shardio_shard_update(&w, path, &layout, SHARDIO_UPDATE_APPEND, &o);
    else (void)shardio_shard_update(&w, path, &layout, SHARDIO_UPDATE_REWRITE, &o);
    for (uint32_t steps = 1 + below(d == SHARD_CREATE ? 2 * CELLS : 40); steps > 0; steps--) {
        shard_change(number, &w);
        if (d != SHARD_REWRITE && one_in(30)) shard_checkpoint(number, &w);   /* a rewritten shard appears at the end */
    }
    if (one_in(6)) {
        shardio_shard_abort(&w);
    } else {
        cells_promise(c);
        (void)shardio_shard_finish(&w, &error);
        if (well(d, path, &error)) cells_commit(c);
    }
    shard_check(number);
}

static void shard_compact(uint32_t number)
{
    shardio_index_layout layout = shard_layout(number);
    shardio_slot_options o = shard_options();
    shardio_error error;
    char path[260];
    (void)shardio_shard_compact(path_of(path, "shard", number), &layout, &o, NULL, &error);
    (void)well(SHARD_COMPACT, path, &error);
    shard_check(number);
}

static void shard_work(uint32_t number)
{
    uint32_t what = below(10);
    if (!m->shards[number].exists || what < 2) shard_write(number, SHARD_CREATE);
    else if (what < 6) shard_write(number, SHARD_UPDATE);
    else if (what < 8) shard_write(number, SHARD_REWRITE);
    else if (what < 9) shard_compact(number);
    else shard_settle(number);
}

/* A chunk of a shard that somebody may be writing: a version that was promised when it was opened, or a newer one. */
static void shard_look_at(uint32_t number, uint32_t place, shardio_shard_reader *reader, uint32_t low)
{
    shardio_error error;
    uint64_t size = 0;
    uint32_t found = 0;
    (void)shardio_shard_read(reader, place, seen, PIECE_MAX, &size, &error);
    if (error.status == SHARDIO_ERR_LIMIT) (void)shardio_shard_unchanged(reader, &error);
    else if (error.status == SHARDIO_OK && size != SHARDIO_MISSING) {
        found = version_of_piece(number, place, seen, size);
        if (found == 0) (void)shardio_shard_unchanged(reader, &error);
    } else if (error.status == SHARDIO_OK) size = 0;
    if (!reader_got("read a chunk", &error)) return;
    if (size != 0 && found == 0)
        fail("reader: shard %u, chunk %u is no version of it, and the file is unchanged", number, place);
    if (!cell_may_be(&m->shards[number], place, found, low))
        fail("reader: shard %u, chunk %u has version %u; promised %u", number, place, found, low);
    m->look_bytes += size;
}

static void shard_look(uint32_t number)
{
    cells *c = &m->shards[number];
    shardio_index_layout layout = shard_layout(number);
    shardio_shard_reader reader;
    shardio_error error;
    uint32_t low[CELLS];
    char path[260];
    for (uint32_t i = 0; i < CELLS; i++) low[i] = ask(&c->committed[i]);
    (void)shardio_shard_open(&reader, path_of(path, "shard", number), &layout, NULL, &error);
    if (!reader_got("open a shard", &error)) return;
    for (uint32_t k = 0; k < 40; k++) {
        uint32_t place = below(CELLS);
        shard_look_at(number, place, &reader, low[place]);
    }
    shardio_shard_close(&reader);
    m->looks++;
}

#endif
