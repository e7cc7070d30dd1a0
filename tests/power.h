/* The power goes. A workflow runs once on a volume (volume.h), which logs what it does; from the log come the states in
   which a machine may find its disk afterwards, and each of them is put into a volume and looked at.

   The model: at a point of the log everything before it was done. Of a file all that was written, cut or punched before
   its last sync is on the disk. Of what came after, each step by itself
       is there, or is not (so later ones may be there and earlier ones not),
       or a part: up to any byte or from any byte on if it went through the page cache, otherwise whole blocks of 512
       bytes; any of its blocks; a punch may have reached any of its blocks,
       or only the length that it gave the file, which then reads as zeros.
   A sync of a file that failed leaves the writes that it should have synced like this for ever, whatever later syncs
   say; cuts and names the next sync may still bring to the disk.
   Names - create, rename, link, remove, make directory - are on the disk when their directory was synced after them,
   and syncing a file does nothing for its name. A rename is one step; one between directories wants both synced. Of the
   other steps there are those up to some point, or those up to some point of each directory, or any. A directory whose
   own name is lost takes all that is in it along. So a name may be there without its data, empty or of zeros or of
   another length, and data without their name. This is more than ext4, xfs and btrfs do, which keep names in order and
   sync the name of a new file with it. Not in the model: bytes on the disk that go bad by themselves or because others
   beside them were written, blocks that show what other files held, errors of writing back that come when nobody has
   the file open.

   The workflow tells what it may rely on with power_note: from this point of the log on a number has this value. The
   check is given the numbers as they were at the point, and looks at the volume. Include after system.h or volume.h. */
#ifndef POWER_H
#define POWER_H

#include "faulty.h"

enum { POWER_NOTES = 8, POWER_FLOWS = 38, POWER_USUAL = 110000, POWER_MOST_FILES = 400 };

typedef struct power_flow {
    const char *name;
    void (*run)(int kind);           /* calls power_start() when what was there before is there */
    void (*check)(int kind, const uint64_t *notes);
    int kind;
} power_flow;

typedef enum power_seen { POWER_NEWEST, POWER_OLDER, POWER_NOTHING, POWER_RECOVERED, POWER_SEEN } power_seen;

/* What becomes of a step that was not synced. */
typedef enum power_fate { FATE_WHOLE, FATE_NONE, FATE_LENGTH, FATE_HEAD, FATE_TAIL, FATE_BLOCKS, FATES } power_fate;

static struct {
    const power_flow *flow;
    size_t start, point;             /* the first point of the log; the one that is looked at */
    uint32_t sample;
    uint8_t *settled, *lost, *fate;  /* of each change of the log */
    uint64_t *seeds;
    uint32_t *next_sample;           /* of each point */
    volume_node *nodes[POWER_MOST_FILES];
    uint64_t *set[2];                /* hashes of states, and of states with their notes, seen so far */
    size_t set_size[2], set_room[2];
    int failures;                    /* before the workflow */
    uint64_t states, distinct, seen[POWER_SEEN], all_states, all_distinct, wanted;
} power;

static inline void power_note(int which, uint64_t value)
{
    volume_change *c = volume_log(VOLUME_NOTE, 0);
    if (!volume.recording) return;
    c->offset = (uint64_t)which;
    c->size = value;
}

/* Told by the check what it found. */
static inline void power_saw(power_seen what)
{
    power.seen[what]++;
}

/* What is there now is on the disk; the power goes later. */
static inline void power_start(void)
{
    power.start = volume.logged;
}

/* ---- sets of hashes ------------------------------------------------------------------------------------------- */

static inline bool power_insert(uint64_t *slots, size_t room, uint64_t hash)
{
    size_t i = (size_t)test_mix(hash) & (room - 1);
    for (; slots[i] != 0; i = (i + 1) & (room - 1))
        if (slots[i] == hash) return false;
    slots[i] = hash;
    return true;
}

/* Whether it was not there yet. */
static inline bool power_is_new(int which, uint64_t hash)
{
    size_t room = power.set_room[which];
    if (2 * (power.set_size[which] + 1) > room) {
        size_t larger = room == 0 ? 1024 : 2 * room;
        uint64_t *slots = (uint64_t *)calloc(larger, sizeof *slots);
        if (slots == NULL) abort();
        for (size_t i = 0; i < room; i++)
            if (power.set[which][i] != 0) (void)power_insert(slots, larger, power.set[which][i]);
        free(power.set[which]);
        power.set[which] = slots;
        power.set_room[which] = room = larger;
    }
    bool fresh = power_insert(power.set[which], room, hash != 0 ? hash : 1);
    power.set_size[which] += fresh;
    return fresh;
}

static inline uint64_t power_hash_bytes(uint64_t hash, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, data + i, size - i < 8 ? size - i : 8);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return test_mix(hash ^ size);
}

/* Of the names and bytes below a directory, in whatever order. */
static inline uint64_t power_hash_node(uint64_t above, const volume_node *node)
{
    uint64_t sum = test_mix(above);
    if (!node->directory) return power_hash_bytes(sum, node->data, node->size);
    for (size_t i = 0; i < node->entry_count; i++) {
        const char *name = node->entries[i].name;
        sum += power_hash_node(power_hash_bytes(above, (const uint8_t *)name, strlen(name)), node->entries[i].node);
    }
    return sum;
}

/* ---- what is on the disk ---------------------------------------------------------------------------------------- */

static inline bool power_is_data(const volume_change *c)
{
    return c->kind == VOLUME_WRITE || c->kind == VOLUME_CUT || c->kind == VOLUME_PUNCH;
}

/* A sync at `at` settles what came before it; one that failed loses it. settled: 1 for each naming of its directory, or
   3; a change of one naming has both. */
static inline void power_apply_sync(size_t at)
{
    const volume_change *s = &volume.log[at];
    for (size_t i = power.start; i < at; i++) {
        const volume_change *c = &volume.log[i];
        uint8_t mine = 0;
        if (power_is_data(c) && c->file == s->file) mine = 3;
        for (int n = 0; n < c->namings; n++)
            if (c->naming[n].directory == s->file) mine = (uint8_t)(mine | (c->namings == 1 ? 3 : 1 << n));
        if (s->kind == VOLUME_SYNC_FAILED && c->kind != VOLUME_WRITE) continue;
        if (s->kind == VOLUME_SYNC_FAILED) power.lost[i] = (uint8_t)(power.lost[i] | (mine & ~power.settled[i]));
        else power.settled[i] = (uint8_t)(power.settled[i] | (mine & ~power.lost[i]));
    }
}

static inline void power_settle(size_t point)
{
    memset(power.settled, 3, power.start);
    memset(power.settled + power.start, 0, volume.logged - power.start);
    memset(power.lost, 0, volume.logged);
    for (size_t i = power.start; i < point; i++)
        if (volume.log[i].kind == VOLUME_SYNC || volume.log[i].kind == VOLUME_SYNC_FAILED) power_apply_sync(i);
    power.point = point;
}

static inline bool power_is_open(size_t i)
{
    return power.settled[i] != 3 && (power_is_data(&volume.log[i]) || volume.log[i].namings > 0);
}

static inline power_fate power_draw(uint64_t *seed, uint64_t keep)
{
    static const power_fate fates[] = {FATE_NONE, FATE_LENGTH, FATE_HEAD, FATE_TAIL, FATE_BLOCKS, FATE_BLOCKS};
    return test_random(seed) % 8 < keep ? FATE_WHOLE : fates[test_random(seed) % 6];
}

/* How far the names of a directory got: up to some point of the log. */
static inline uint64_t power_names_end(uint64_t seed, uint32_t directory)
{
    return power.start + test_mix(seed ^ ((uint64_t)directory << 20)) % (power.point + 1 - power.start);
}

static inline bool power_keeps_names(size_t i, uint64_t seed, uint64_t how)
{
    const volume_change *c = &volume.log[i];
    if (how == 0) return i < power_names_end(seed, 0);
    if (how == 1) return i < power_names_end(seed, c->naming[0].directory) &&
                         i < power_names_end(seed, c->naming[c->namings - 1].directory);
    return test_mix(seed + i) % 2 == 0;
}

static inline void power_draw_all(uint64_t seed)
{
    static const uint64_t keep[] = {0, 1, 4, 6, 7};
    uint64_t keeps = keep[test_random(&seed) % 5], how = test_random(&seed) % 4, names = test_random(&seed);
    for (size_t i = power.start; i < power.point; i++) {
        if (volume.log[i].namings == 0) power.fate[i] = (uint8_t)power_draw(&seed, keeps);
        else power.fate[i] = how == 3 || power_keeps_names(i, names, how) ? FATE_WHOLE : FATE_NONE;
    }
}

/* All but one are there, or none but one; and that one in each way. */
static inline bool power_draw_one(uint32_t number)
{
    uint32_t rest = number / (2 * FATES);
    power_fate one = (power_fate)(number / 2 % FATES);
    for (size_t i = power.start; i < power.point; i++) {
        if (!power_is_open(i)) continue;
        power.fate[i] = number % 2 ? FATE_WHOLE : FATE_NONE;
        if (rest-- == 0) power.fate[i] = (uint8_t)one;
    }
    return (int32_t)rest < 0;
}

/* Sample 0 of a point is everything, 1 nothing; then data without names, names without data, lengths alone; then one
   step at a time; then whatever comes. */
static inline void power_choose(uint32_t sample)
{
    static const power_fate data[] = {FATE_WHOLE, FATE_NONE, FATE_NONE, FATE_WHOLE, FATE_LENGTH};
    static const power_fate names[] = {FATE_WHOLE, FATE_NONE, FATE_WHOLE, FATE_NONE, FATE_WHOLE};
    uint64_t seed = test_mix(sample * UINT64_C(1000003) + power.point);
    power.sample = sample;
    for (size_t i = power.start; i < power.point; i++) {
        power.seeds[i] = test_random(&seed);
        if (sample < 5) power.fate[i] = (uint8_t)(volume.log[i].namings > 0 ? names[sample] : data[sample]);
    }
    if (sample >= 5 && (sample % 2 == 0 || !power_draw_one(sample / 2))) power_draw_all(seed);
}

/* ---- a state ---------------------------------------------------------------------------------------------------- */

static inline volume_node *power_node(uint32_t number, bool directory)
{
    if (number >= POWER_MOST_FILES) abort();
    if (power.nodes[number] == NULL) power.nodes[number] = volume_add_node(number, directory);
    return power.nodes[number];
}

static inline void power_put_blocks(volume_node *n, const volume_change *c, uint64_t from, uint64_t end, uint64_t seed,
                                    bool any)
{
    for (uint64_t at = from; at < end;) {
        uint64_t next = at / VOLUME_BLOCK * VOLUME_BLOCK + VOLUME_BLOCK;
        if (next > end) next = end;
        if (!any || test_mix(seed + at / VOLUME_BLOCK) % 2 == 0)
            volume_put_bytes(n, at, c->data != NULL ? c->data + (at - c->offset) : NULL, (size_t)(next - at));
        at = next;
    }
}

static inline void power_put_part(volume_node *n, const volume_change *c, power_fate fate, uint64_t seed)
{
    uint64_t end = c->offset + c->size, cut = c->offset + test_random(&seed) % (c->size + 1);
    if (c->unbuffered || c->kind == VOLUME_PUNCH) cut -= cut % VOLUME_BLOCK;
    if (cut < c->offset) cut = c->offset;
    bool longer = fate == FATE_LENGTH || test_random(&seed) % 2 == 0;
    if (c->kind == VOLUME_WRITE && end > n->size && longer) volume_resize(n, end);
    if (fate == FATE_HEAD) power_put_blocks(n, c, c->offset, cut, seed, false);
    if (fate == FATE_TAIL) power_put_blocks(n, c, cut, end, seed, false);
    if (fate == FATE_BLOCKS) power_put_blocks(n, c, c->offset, seed % 2 ? cut : end, seed, true);
}

static inline void power_apply(const volume_change *c, power_fate fate, uint64_t seed)
{
    if (fate == FATE_NONE) return;
    for (int i = 0; i < c->namings; i++) {
        const volume_naming *n = &c->naming[i];
        volume_name(power_node(n->directory, true), n->name, n->file != 0 ? power_node(n->file, c->directory) : NULL);
    }
    if (!power_is_data(c)) return;
    volume_node *node = power_node(c->file, false);
    if (c->kind == VOLUME_CUT) volume_resize(node, c->size);
    else if (fate == FATE_WHOLE) power_put_blocks(node, c, c->offset, c->offset + c->size, seed, false);
    else power_put_part(node, c, fate, seed);
}

/* Puts the state that was chosen into the volume; the notes are those at the point. */
static inline void power_build(uint64_t *notes)
{
    bool recording = volume.recording;
    volume.recording = false;
    memset(notes, 0, POWER_NOTES * sizeof *notes);
    memset(power.nodes, 0, sizeof power.nodes);
    volume_clear();
    power.nodes[1] = volume.root;
    for (size_t i = 0; i < power.point; i++) {
        const volume_change *c = &volume.log[i];
        if (c->kind == VOLUME_NOTE) notes[c->offset] = c->size;
        else power_apply(c, power.settled[i] == 3 ? FATE_WHOLE : (power_fate)power.fate[i], power.seeds[i]);
    }
    volume.recording = recording;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static inline void power_tell(size_t i)
{
    static const char *const kinds[] = {"write", "cut", "punch", "names", "sync", "failed sync", "note"};
    static const char *const fates[] = {"there", "lost", "length only", "head only", "tail only", "some blocks"};
    const volume_change *c = &volume.log[i];
    fprintf(stderr, "    %4u %s", (unsigned)i, kinds[c->kind]);
    if (c->kind != VOLUME_NAMES) fprintf(stderr, " %u", (unsigned)c->file);
    fprintf(stderr, " %llu+%llu", (unsigned long long)c->offset, (unsigned long long)c->size);
    for (const volume_naming *n = c->naming; n < c->naming + c->namings; n++)
        fprintf(stderr, " %u/%s = %u", (unsigned)n->directory, n->name, (unsigned)n->file);
    if (power_is_open(i)) fprintf(stderr, "   [not synced: %s]", fates[power.fate[i]]);
    fprintf(stderr, "\n");
}

static inline void power_report(void)
{
    size_t from = power.point > power.start + 40 ? power.point - 40 : power.start;
    fprintf(stderr, "  %s, TEST_STATE=%u,%u: the power went after so many of %u changes, the last of which were\n",
            power.flow->name, (unsigned)power.point, (unsigned)power.sample, (unsigned)volume.logged);
    for (size_t i = from; i < power.point; i++) power_tell(i);
}

static inline void power_look(uint32_t sample)
{
    uint64_t notes[POWER_NOTES], hash;
    int failures = test_failures;
    power_choose(sample);
    power_build(notes);
    power.states++;
    hash = power_hash_node(1, volume.root);
    power.distinct += power_is_new(0, hash);
    hash = power_hash_bytes(hash, (const uint8_t *)notes, POWER_NOTES * sizeof *notes);
    if (!power_is_new(1, power_hash_bytes(hash, (const uint8_t *)power.flow->name, strlen(power.flow->name)))) return;
    power.flow->check(power.flow->kind, notes);
    CHECK_U64(volume.opened, 0);
    CHECK_U64(volume.misaligned, 0);
    if (test_failures > failures) power_report();
}

/* Told of all calls: a sync that failed is noted. */
static inline void power_watch(const sys_event *e)
{
    if (e->call != CALL_FSYNC || e->result >= 0) return;
    volume_handle *h = volume_handle_of(e->fd);
    if (h != NULL) (void)volume_log(VOLUME_SYNC_FAILED, h->node->number);
}

static inline void power_record(const power_flow *flow)
{
    memset(power.seen, 0, sizeof power.seen);
    power.flow = flow;
    power.states = power.distinct = 0;
    volume_forget_log();
    volume_clear();
    volume.misaligned = 0;
    sys_clear();
    sys.after = power_watch;
    volume.recording = true;
    flow->run(flow->kind);
    volume.recording = false;
    sys_clear();
    CHECK_U64(volume.opened, 0);
    power.settled = (uint8_t *)volume_allocate(power.settled, volume.logged + 1);
    power.lost = (uint8_t *)volume_allocate(power.lost, volume.logged + 1);
    power.fate = (uint8_t *)volume_allocate(power.fate, volume.logged + 1);
    power.seeds = (uint64_t *)volume_allocate(power.seeds, (volume.logged + 1) * sizeof *power.seeds);
    power.next_sample = (uint32_t *)volume_allocate(power.next_sample, (volume.logged + 1) * sizeof *power.next_sample);
    memset(power.next_sample, 0, (volume.logged + 1) * sizeof *power.next_sample);
    memset(power.seeds, 0, (volume.logged + 1) * sizeof *power.seeds);
    memset(power.fate, 0, volume.logged + 1);
}

static inline bool power_is_certain(void)
{
    for (size_t i = power.start; i < power.point; i++)
        if (power_is_open(i)) return false;
    return true;
}

/* The next samples of a point; where all is synced, there is one. */
static inline void power_visit(size_t point, int samples)
{
    power_settle(point);
    if (power_is_certain()) samples = power.next_sample[point] == 0;
    while (samples-- > 0 && test_failures == power.failures) power_look(power.next_sample[point]++);
}

/* How many distinct states a workflow is looked at in: STATES is for all of them together. Where it is slow, few: they
   are the same states again. */
static inline uint64_t power_share(void)
{
    const char *states = getenv("STATES");
    uint64_t effort = test_effort() < 100 ? test_effort() / 10 + 1 : test_effort();
    uint64_t all = states != NULL ? strtoull(states, NULL, 10) : POWER_USUAL * effort / 100;
    return all / POWER_FLOWS + 1;
}

static inline void power_print(void)
{
    printf("| %s | %u | %llu | %llu |", power.flow->name, (unsigned)(volume.logged - power.start),
           (unsigned long long)power.states, (unsigned long long)power.distinct);
    for (int what = 0; what < POWER_SEEN; what++) printf(" %llu |", (unsigned long long)power.seen[what]);
    printf("\n");
    fflush(stdout);
}

/* All prefixes, then points at random. What a workflow has too few states for, the next ones make up. */
static inline void power_test(const power_flow *flow)
{
    const char *only = getenv("TEST_STATE");
    uint64_t seed = 1;
    power.failures = test_failures;
    power_record(flow);
    power.wanted += power_share();
    if (only != NULL) {
        power_settle((size_t)strtoull(only, NULL, 10));
        power_look((uint32_t)strtoull(strchr(only, ',') + 1, NULL, 10));
        if (test_failures == 0) power_report();
        return;
    }
    for (size_t p = power.start; p <= volume.logged; p = (size_t)test_next(p)) power_visit(p, 2);
    for (uint64_t most = 4 * power_share() + 1000; power.all_distinct + power.distinct < power.wanted && most > 0; most--) {
        if (test_failures > power.failures) break;
        power_visit(power.start + (size_t)(test_random(&seed) % (volume.logged + 1 - power.start)), 8);
    }
    power.all_states += power.states;
    power.all_distinct += power.distinct;
    power_print();
}

/* Those whose names begin so. */
static inline void power_tests(const power_flow *flows, size_t count, const char *begin)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(flows[i].name, begin, strlen(begin)) == 0) power_test(&flows[i]);
}

/* The last test of a program: that the workflows had as many states as they were to have. */
static inline void power_end(void)
{
    printf("| all of these | | %llu | %llu | | | | |\n", (unsigned long long)power.all_states,
           (unsigned long long)power.all_distinct);
    if (test_effort() >= 100) CHECK(power.all_distinct >= power.wanted - power.wanted / 20);
}

/* ---- files of the volume, for workflows and checks --------------------------------------------------------------- */

static inline volume_node *power_file(const char *path)
{
    volume_place at;
    return volume_walk(AT_FDCWD, path, &at) == 0 ? at.node : NULL;
}

/* The bytes of a file as they are now, to be freed; null: there is none. */
static inline uint8_t *power_image(const char *path, size_t *size)
{
    volume_node *n = power_file(path);
    *size = n != NULL ? n->size : 0;
    if (n == NULL) return NULL;
    uint8_t *copy = (uint8_t *)volume_allocate(NULL, *size);
    if (*size > 0) memcpy(copy, n->data, *size);
    return copy;
}

/* Whether a file begins with these bytes. */
static inline bool power_begins_with(const char *path, const uint8_t *image, size_t size)
{
    const volume_node *n = power_file(path);
    return n != NULL && image != NULL && size <= n->size && memcmp(image, n->data, size) == 0;
}

/* The n-th sync from now on fails, 1 is the next; 0: none. */
static inline void power_fail_sync(int n)
{
    sys.only = SYS_ONLY(CALL_FSYNC);
    sys.counted = 0;
    sys.from = n;
    sys.code = EIO;
}

/* What a program does that cares for the names itself. */
static inline void power_sync_directory(const char *path)
{
    int fd = volume_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0 && volume_fsync(fd) == 0 && volume_close(fd) == 0);
}

/* `size` bytes that nothing else has, for the n-th writing of a thing. */
static inline void power_bytes(uint8_t *data, size_t size, uint64_t thing, uint64_t n)
{
    test_fill(data, size, test_mix(thing * 1000 + n) | 1);
}
#endif
