#!/usr/bin/env python3
"""What it brings that writes are under way while the program goes on: tables and a plot for docs/performance.md.

    python3 bench/overlap.py --build build [--quick] [--output FILE] [--plot docs/overlap.svg] [--only PART]

The limit is ready memory, written past the page cache with 8 pieces under way, by bare calls of io_uring
(bench/overlap.c); of encoding it is bare ZSTD_compressCCtx. Limits run several times a round, all others once, in an
order that changes with the round, each in a process and an empty directory of its own, until everything is on stable
storage. A share is the limit's time over the contender's, both of one round; the median of the rounds is shown. A round
before the first is thrown away: what it writes is read back, and those that have to write the same bytes are compared.
Packs and reads take turns in one process. Where the system gives no queue, a line says why, what needs one is left
out, and the plain loop takes the place of the limit. Helpers are those of bench/run.py; the plot needs matplotlib
(bench/requirements.txt).
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys

import plots
import run
from run import MIB, Contender, progress, table, verdict

IN_FLIGHT = 8                                          # of the limit, and shardio's default
LIMIT_BLOCKS = ["1M", "4M"]
LOOP_BLOCKS = ["1M", "4M", "8M"]
SIZES = ["8K", "64K", "1M", "2M", "8M"]
# key, shardio's arguments, chunks, what it is, wanted share of the limit
FRAMES = [("large", run.FRAMES_LARGE, "16,256,256", "frames, chunks 16,256,256", 0.9),
          ("small", run.FRAMES_SMALL, "1,64,64", "frames, chunks 1,64,64", 0.8)]
MODES = ["off", "on"]
SETTINGS = [(in_flight, buffer) for in_flight in (4, 8, 16) for buffer in ("4M", "8M", "16M")]
QUICK_SETTINGS = [(8, "4M"), (4, "8M")]
BITS = ["--bits", "5"]                                 # of 16: what is to be encoded
DEFAULT_MEMORY = 8 * 1024 * 1024                       # of the option memory, two batches of rows with overlap
PARTS = ["writing", "settings", "encoding", "appends", "packs", "archives", "reading", "lists"]


class Machine:
    """What there is here: a queue, or why not; zstd."""

    def __init__(self, bench):
        row = bench.run_csv([bench.program("bench_overlap"), "--work", "facts"])[0]
        self.queue, self.zstd, self.version, self.compiler = (row["queue"] == "1", row["zstd"] == "1", row["version"],
                                                              row["compiler"])
        self.reason = row["reason"]
        self.modes = MODES if self.queue else ["off"]


def few(bench):
    """Rounds of what takes long."""
    return min(bench.rounds, 3)


def few_rounds(bench):
    return "1 round" if few(bench) == 1 else f"medians of {few(bench)} rounds"


def human(size):
    """8K as 8 KiB."""
    return size[:-1] + {"K": " KiB", "M": " MiB"}[size[-1]]


def frame_arguments(bench):
    """Of bench_write; those of bench_overlap lack the shards."""
    return run.QUICK_FRAMES if bench.quick else run.FULL_FRAMES


def frame_bytes(bench):
    y, x = map(int, frame_arguments(bench)[1].split(","))
    return 2 * y * x


def row_bytes(bench, chunks):
    """Of a row of chunks."""
    return int(chunks.split(",")[0]) * frame_bytes(bench)


def overlap(mode):
    return ["--overlap", "1" if mode == "on" else "0"]


# ---- groups: limits, and those that are held against them ----

class Group:
    def __init__(self, limits, others):
        self.limits, self.others = limits, others
        self.found = {c.key: c for c in limits + others}

    def __getitem__(self, key):
        return self.found[key]

    def __contains__(self, key):
        return key in self.found

    def beside(self, key, others):
        """Rates beside the fastest of others, round by round."""
        rows = zip(self[key].rows, *(self[other].rows for other in others))
        return statistics.median(run.rate(row) / max(map(run.rate, beside)) for row, *beside in rows)

    def best_limit(self):
        """Bytes a second."""
        return max(statistics.median(map(run.rate, c.rows)) for c in self.limits)


def check_digests(contenders, rows):
    """Contenders with the same work write the same, however they do it."""
    digests = {}
    for contender, row in zip(contenders, rows):
        if "digest" in row:
            digests.setdefault(contender.key[1:3], set()).add((row["digest"], row["file_bytes"]))
    for work, found in digests.items():
        if len(found) != 1:
            sys.exit(f"overlap.py: not the same bytes of {work}: {sorted(found)}")


def rounds_of(bench, groups, name, rounds):
    for number in range(rounds):
        for group in groups:
            progress(f"{name}: round {number + 1} of {rounds}")
            run.one_round(bench, number, group.limits, group.others)


def measure(bench, groups, name, rounds):
    for group in groups:
        progress(f"{name}: warm-up")
        contenders = group.limits + group.others
        check_digests(contenders, [bench.write(c, ["--verify", "1"]) for c in contenders])
    rounds_of(bench, groups, name, rounds)
    return groups


def raw(bench, key, block, in_flight, extra=()):
    return Contender((key, block), [bench.program("bench_overlap"), "--work", "write", "--bytes", str(bench.bytes),
                                    "--block", block, "--in-flight", str(in_flight)] + list(extra), 1)


def limits(bench, machine):
    if machine.queue:
        return [raw(bench, "limit", block, IN_FLIGHT) for block in LIMIT_BLOCKS]
    return [raw(bench, "loop", block, 1) for block in LOOP_BLOCKS]


def writer(bench, key, work, mode, extra=()):
    """shardio, durable. key: what is compared byte by byte."""
    return Contender(key, [bench.program("bench_write"), "--writer", "shardio", "--durable", "1", "--bytes",
                           str(bench.bytes)] + work + overlap(mode) + list(extra), 1)


# ---- writing: ready chunks and frames ----

def writing(bench, machine):
    others = []
    if machine.queue:
        others = [raw(bench, "loop", block, 1) for block in LOOP_BLOCKS]
        others += [raw(bench, "large", block, IN_FLIGHT, ["--large-pages", "1"]) for block in LIMIT_BLOCKS]
    for work, size in ((work, size) for size in SIZES for work in ("appends", "chunks")):
        others += [writer(bench, (mode, work, size), ["--work", work, "--chunk", size], mode) for mode in machine.modes]
    for key, arguments, *_ in FRAMES:
        others += [writer(bench, (mode, "frames", key), arguments + frame_arguments(bench), mode)
                   for mode in machine.modes]
    return measure(bench, [Group(limits(bench, machine), others)], "writing", bench.rounds)[0]


def works():
    """Work and its kind, what is written, wanted share."""
    for work, what in (("appends", "one file, appends of"), ("chunks", "one shard, chunks of")):
        for size in SIZES:
            yield (work, size), f"{what} {human(size)}", 0.95
    for key, _, _, what, wanted in FRAMES:
        yield ("frames", key), what, wanted


def share_cells(shares):
    return [f"{statistics.median(shares):.2f}", f"{min(shares):.2f} to {max(shares):.2f}"]


def cpu_cell(rows):
    """Of programs that do not tell user and system apart."""
    return f"{statistics.median(float(r['cpu_seconds']) * (1 << 30) / float(r['bytes']) for r in rows):.2f}"


def speed_cells(contender):
    rates = [run.rate(row) / 1e9 for row in contender.rows]
    return [f"{contender.speed():.2f}", f"{min(rates):.2f} to {max(rates):.2f}"]


def speed_row(group, key, what, who, wanted, quick):
    """Beside memory in large pages, and beside the plain loop: as far as they ran."""
    contender = group[key]
    others = [[c.key for c in group.others if c.key[0] == name] for name in ("large", "loop")]
    beside = [f"{group.beside(key, keys):.2f}" if keys and key not in keys else "" for keys in others]
    return ([what, who] + share_cells(contender.shares) + beside + speed_cells(contender) +
            [verdict(contender.share(), wanted, quick)])


def mode_name(mode):
    return "overlap" if mode == "on" else "synchronous"


def ready(block):
    return f"ready memory, {human(block)} a call"


def writing_table(bench, machine, group):
    rows, names = [], {"limit": f"raw, {IN_FLIGHT} at once", "large": f"the same, memory in large pages",
                       "loop": "raw, one at a time"}
    for contender in group.limits:
        name, block = contender.key
        rows.append([ready(block), f"{names[name]}: the limit"] + share_cells(contender.shares) + ["", ""] +
                    speed_cells(contender) + [""])
    for contender in group.others:
        if contender.key[0] in names:
            name, block = contender.key
            rows.append(speed_row(group, contender.key, ready(block), names[name], None, bench.quick))
    for work, what, wanted in works():
        for mode in machine.modes:
            rows.append(speed_row(group, (mode,) + work, what if mode == "off" else "", mode_name(mode),
                                  wanted if mode == "on" else None, bench.quick))
    return table(["work", "writer", "share of the limit", "range", "share of that in large pages",
                  "share of the plain loop", "GB/s", "range", "wanted share"], rows)


def under_way(row):
    if row["overlap"] != "1":
        return "no: " + row.get("overlap_reason", "")
    return "yes" + (", then not: " + row["overlap_reason"] if row.get("overlap_reason") else "")


def below(value, most, quick):
    """A verdict on what may not be more."""
    return f"at most {most}" if quick else f"at most {most}: " + ("met" if value <= most else "**missed**")


def cost_rows(bench, machine, group, key, what, chunks):
    """Synchronous and overlapping. chunks: of frames; None: there are none, and nothing is wanted."""
    rows, off = [], group[("off",) + key]
    for mode in machine.modes:
        contender = group[(mode,) + key]
        cpu, plan = run.cpu_seconds(contender.rows), int(contender.rows[0]["plan_bytes"])
        cells = [f"{cpu:.2f}", "", "", run.mib(plan), "", "", run.mib(run.largest(contender.rows, "peak_bytes")), "-"]
        if mode == "on":
            beside = cpu / max(run.cpu_seconds(off.rows), 1e-9)
            more = plan - int(off.rows[0]["plan_bytes"])
            cells[1], cells[4], cells[7] = f"{beside:.2f}", run.mib(more), under_way(contender.rows[-1])
            if chunks:
                row = row_bytes(bench, chunks)
                cells[2] = below(round(beside, 2), 1.10, bench.quick)
                cells[4] += f", {more / row:.2f} rows"
                cells[5] = below(round(more / row, 1), 1, bench.quick)
        rows.append([what if mode == "off" else "", mode_name(mode)] + cells)
    return rows


COSTS = ["work", "writer", "CPU s per GiB", "beside the synchronous", "wanted", "stated in advance MiB",
         "more than the synchronous MiB, rows of chunks", "wanted", "peak memory MiB", "under way"]


def writing_costs(bench, machine, group):
    rows = [[ready(c.key[1]), "the limit", f"{run.cpu_seconds(c.rows):.2f}", "", "", "-", "", "",
             run.mib(run.largest(c.rows, "peak_bytes")), "-"] for c in group.limits]
    chunks = {("frames", key): chunks for key, _, chunks, *_ in FRAMES}
    for work, what, _ in works():
        rows += cost_rows(bench, machine, group, work, what, chunks.get(work))
    return table(COSTS, rows)


# ---- settings ----

def settings_of(bench):
    return QUICK_SETTINGS if bench.quick else SETTINGS


def settings(bench, machine):
    """Shards with other buffers and more or fewer writes under way. None: none can be."""
    if not machine.queue:
        return None
    others = []
    for size in SIZES:
        work = ["--work", "chunks", "--chunk", size]
        for buffer in sorted({b for _, b in settings_of(bench)}):
            others.append(writer(bench, ("off", "chunks", size, buffer), work, "off", ["--buffer", buffer]))
        for in_flight, buffer in settings_of(bench):
            others.append(writer(bench, (str(in_flight), "chunks", size, buffer), work, "on",
                                 ["--buffer", buffer, "--in-flight", str(in_flight)]))
    return measure(bench, [Group(limits(bench, machine), others)], "settings", few(bench))[0]


def settings_table(bench, group):
    buffers = sorted({b for _, b in settings_of(bench)}, key=lambda text: int(text[:-1]))
    counts, rows = ["off"] + [str(n) for n in sorted({n for n, _ in settings_of(bench)})], []
    for size in SIZES:
        for count in counts:
            found = [group[key] if (key := (count, "chunks", size, buffer)) in group else None for buffer in buffers]
            cells = [f"{c.share():.2f} ({min(c.shares):.2f} to {max(c.shares):.2f})" if c else "" for c in found]
            speeds = [f"{c.speed():.2f}" if c else "" for c in found]
            rows.append([human(size) if count == "off" else "", count] + cells + speeds)
    return table(["chunks of", "in flight"] + [f"share, {human(b)} of buffer" for b in buffers] +
                 [f"GB/s, {human(b)}" for b in buffers], rows)


# ---- encoding ----

def encodings(bench):
    """Chunks: those that have to be gathered, and frames as they come."""
    frame = frame_arguments(bench)[1]
    return [("16,256,256", "frames, chunks 16,256,256, zstd 3"), (f"1,{frame}", "frames, each a chunk, zstd 3")]


def encoding(bench, machine):
    """A group for each size of chunks, whose limit is bare compression of them."""
    groups = []
    for chunks, _ in encodings(bench) if machine.zstd else []:
        frames = ["--chunks", chunks] + BITS
        bare = [bench.program("bench_overlap"), "--work", "compress", "--bytes",
                str(bench.bytes)] + frames + frame_arguments(bench)[:2]
        others = [Contender(("then", chunks), bare + ["--in-flight", "1"], 1)]
        if machine.queue:
            others.append(Contender(("meanwhile", chunks), bare + ["--in-flight", str(IN_FLIGHT)], 1))
        others += [writer(bench, (mode, "frames", chunks), ["--work", "frames", "--codec", "zstd"] + frames +
                          frame_arguments(bench), mode) for mode in machine.modes]
        groups.append(Group([Contender(("bare", chunks), bare + ["--in-flight", "0"], 1)], others))
    return measure(bench, groups, "encoding", bench.rounds)


def encoding_tables(bench, machine, groups):
    if not groups:
        return "Left out: this build lacks zstd (`make deps`).\n"
    names = {"bare": "ZSTD_compressCCtx alone: the limit", "then": "the same, and O_DIRECT writes in between",
             "meanwhile": f"the same, {IN_FLIGHT} writes under way meanwhile", "off": "shardio, synchronous",
             "on": "shardio, overlap"}
    rows, costs = [], []
    for group, (chunks, what) in zip(groups, encodings(bench)):
        for key, contender in group.found.items():
            rows.append([what if key[0] == "bare" else "", names[key[0]]] + share_cells(contender.shares) +
                        speed_cells(contender) +
                        [verdict(contender.share(), 0.95 if key[0] == "on" else None, bench.quick)])
        cpu = run.cpu_seconds(group.limits[0].rows)
        costs.append([what, "ZSTD_compressCCtx alone", f"{cpu:.2f}", "", "", "-", "", "", "-", "-"])
        costs += cost_rows(bench, machine, group, ("frames", chunks), "", chunks)
    return table(["work", "contender", "share of the limit", "range", "GB/s of frames", "range", "wanted share"],
                 rows) + "\n" + table(COSTS, costs)


# ---- single append calls ----

APPEND_COLUMNS = ["p50_us", "p99_us", "p999_us", "longest_us"]


def stream_bytes(bench):
    return (256 if bench.quick else 4096) * MIB


def stream_arguments(bench):
    return ["--bytes", str(stream_bytes(bench)), "--input", str(bench.bytes)]


def append_contenders(bench, machine, key, arguments, chunks):
    """Key, name and contender of each. A row a call, written in turn, is what a row takes by itself."""
    row = row_bytes(bench, chunks)
    stream = stream_arguments(bench)
    arguments = arguments + frame_arguments(bench)
    yield "raw, O_DIRECT, a row a call", Contender(
        ("raw", key), [bench.program("bench_write"), "--writer", "raw-direct", "--work", "blocks", "--durable", "1",
                       "--block", str(row)] + stream, 1)
    for durable, how in ((1, "each file durable"), (0, "not durable")):
        for mode in machine.modes:
            yield f"{mode_name(mode)}, {how}", writer(bench, (mode, key, durable), arguments, mode,
                                                      stream + ["--durable", str(durable)])
    for mode in machine.modes:
        if 2 * row < DEFAULT_MEMORY:
            yield f"{mode_name(mode)}, memory for two rows", writer(bench, (mode, key, "rows"), arguments, mode,
                                                                    stream + ["--memory", str(2 * row)])


def appends(bench, machine):
    """A long stream, each file durable and not; beside it ready memory of the same length."""
    stream = stream_arguments(bench)
    limit = raw(bench, "limit", LIMIT_BLOCKS[-1], IN_FLIGHT if machine.queue else 1, stream)
    group = Group([limit], [contender for key, arguments, chunks, *_ in FRAMES
                            for _, contender in append_contenders(bench, machine, key, arguments, chunks)])
    rounds_of(bench, [group], "appends", few(bench))
    return group


def row_milliseconds(bench, group, chunks):
    """What writing a row of chunks takes at the limit's speed."""
    return 1000 * row_bytes(bench, chunks) / group.best_limit()


def appends_table(bench, machine, group):
    rows = []
    for key, arguments, chunks, what, _ in FRAMES:
        row = row_milliseconds(bench, group, chunks)
        for name, sought in append_contenders(bench, machine, key, arguments, chunks):
            contender = group[sought.key]
            longest = float(run.milliseconds(contender, "longest_us"))
            ours = contender.key[0] == "on"
            rows.append([what if contender.key[0] == "raw" else "", name] +
                        [run.milliseconds(contender, column) for column in APPEND_COLUMNS] +
                        [run.milliseconds(contender, "longest_us", max), f"{row:.1f}",
                         below(longest, round(row, 1), bench.quick) if ours else "", f"{contender.share():.2f}",
                         f"{contender.speed():.2f}", f"{run.cpu_seconds(contender.rows):.2f}"])
    return table(["frames into", "writer", "p50 ms", "p99 ms", "p99.9 ms", "longest ms", "longest of all rounds",
                  "a row at the limit's speed ms", "wanted", "share of the limit", "GB/s", "CPU s per GiB"], rows)


# ---- packs and archives ----

def packs(bench, machine):
    bench.clear()
    progress("packs")
    return run.Turns(bench.run_csv([bench.program("bench_pack"), "--work", "write", "--pack", "written",
                                    "--dir", bench.work_dir, "--items", str(run.pack_items(bench)),
                                    "--rounds", str(bench.rounds), "--settle", str(int(1000 * bench.settle)),
                                    "--in-flight", str(IN_FLIGHT if machine.queue else 0)]))


CONTAINER_WHO = {"raw": "raw, O_DIRECT, 8 MiB a call", "off": "synchronous", "on": "overlap"}


def container_row(bench, what, name, rows, shares):
    """name: raw, off or on."""
    return ([what if name == "raw" else "", CONTAINER_WHO[name]] + share_cells(shares) +
            [f"{statistics.median(map(run.rate, rows)) / 1e9:.2f}", cpu_cell(rows),
             under_way(rows[-1]) if name == "on" else "-",
             verdict(statistics.median(shares), 0.9 if name == "on" else None, bench.quick)])


def packs_rows(bench, turns):
    names = {"raw-direct": "raw", "shardio": "off", "shardio-overlap": "on"}
    return [container_row(bench, "pack, 128 items to a record", name, list(turns.rounds[contender].values()),
                          turns.shares(contender, ["raw-direct"]))
            for contender, name in names.items() if contender in turns.rounds]


# step of bench_store, contender there, what it is
ARCHIVES = [("arrays", "shardio", "64 arrays into a ZIP, each chunk a value"),
            ("frames", "archive", "frames into shards in a ZIP")]


def archives(bench, machine):
    """Steps by work: raw files before, between and after ours."""
    found, (count, size) = {}, run.store_sizes(bench)
    for work, name, _ in ARCHIVES:
        common = [bench.program("bench_store"), "--work", work, "--only-write", "1"]
        common += (["--arrays", str(count), "--bytes", str(size)] if work == "arrays" else
                   ["--bytes", str(bench.bytes)] + frame_arguments(bench)[:2])
        found[work] = steps = run.Steps()
        for number in range(bench.rounds):
            progress(f"archives: {work}, round {number + 1} of {bench.rounds}")
            steps.rounds.append({})
            for mode in machine.modes if number % 2 == 0 else reversed(machine.modes):
                run.steps_once(bench, steps, "raw", common + ["--contender", "raw"])
                run.steps_once(bench, steps, mode, common + ["--contender", name] + overlap(mode))
            run.steps_once(bench, steps, "raw", common + ["--contender", "raw"])
    return found


def archive_rows(bench, machine, found):
    rows = []
    for work, _, what in ARCHIVES:
        step = "write" if work == "arrays" else "frames"
        for name in ["raw"] + machine.modes:
            rows.append(container_row(bench, what, name, found[work].rows(name, step),
                                      found[work].shares(name, step, [step])))
    return rows


def containers_table(rows):
    return table(["work", "writer", "share of the plain loop", "range", "GB/s", "CPU s per GiB", "under way",
                  "wanted share"], rows)


# ---- reading ----

READERS = [("raw-direct", "raw, O_DIRECT, 8 MiB, one at a time"),
           ("raw-queue-1m", f"raw, O_DIRECT, 1 MiB, {IN_FLIGHT} at once"),
           ("raw-queue-4m", f"raw, O_DIRECT, 4 MiB, {IN_FLIGHT} at once"), ("raw-buffered", "raw, page cache"),
           ("shardio", "shardio, page cache"), ("shardio-direct", "shardio, unbuffered")]


def reads_of(bench, machine, array, work, temperatures, plain):
    """By temperature; nothing where files do not become cold."""
    directory, found = os.path.join(bench.build, "tmp", "overlap-read"), {}
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    try:
        if not run.can_be_cold(bench, directory):
            return found
        this = [bench.program("bench_read"), "--dir", directory, "--bytes", str(run.read_bytes(bench)), "--array",
                array] + frame_arguments(bench) + dict(run.READ_ARRAYS)[array]
        subprocess.run(this + ["--work", "prepare"], check=True)
        for cold in temperatures:
            progress(f"reading: {work}, {array}, {'cold' if cold else 'warm'}")
            rows = bench.run_csv(this + ["--work", work, "--cold", str(cold), "--rounds", str(bench.rounds), "--in-flight",
                                         str(IN_FLIGHT if machine.queue else 0)])
            found[cold] = run.Reads(rows, [name for name in plain if machine.queue or "queue" not in name])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return found


def reading(bench, machine):
    """By array. Held against the best plain read past the page cache."""
    found = {array: reads_of(bench, machine, array, "whole", [1], [name for name, _ in READERS[:3]])
             for array, _ in run.READ_ARRAYS}
    return {array: reads[1] for array, reads in found.items() if reads}


LIST_READERS = [("raw-buffered", "raw pread, one after the other"), ("raw-hinted", "raw pread, posix_fadvise for all before"),
                ("raw-queue", f"raw, {IN_FLIGHT} at once"), ("raw-queue-direct", f"raw, O_DIRECT, {IN_FLIGHT} at once"),
                ("shardio", "shardio_shard_read_many")]


def lists(bench, machine):
    """By temperature. Held against the best of the others."""
    return reads_of(bench, machine, "small", "hinted", [1, 0], [name for name, _ in LIST_READERS[:-1]])


def lists_table(found):
    if not found:
        return "Left out: files stay in the page cache here.\n"
    rows = []
    for cold, reads in found.items():
        for contender, who in LIST_READERS:
            lines = reads.of(contender)
            if lines:
                rows.append(["cold" if cold else "warm", who] + share_cells(reads.shares(contender)) +
                            [f"{statistics.median(map(run.rate, lines)) / 1e9:.2f}", cpu_cell(lines)])
    return table(["2000 chunks of 8 KiB of a shard, in any order", "reader", "share of the best raw read", "range", "GB/s",
                  "CPU s per GiB"], rows)


def reading_table(bench, found):
    if not found:
        return "Left out: files stay in the page cache here.\n"
    rows = []
    for array, chunks in run.READ_ARRAYS:
        reads = found[array]
        for contender, who in READERS:
            lines = reads.of(contender)
            if not lines:
                continue
            shares, wanted = reads.shares(contender), 0.9 if contender == "shardio-direct" else None
            rows.append([f"whole array, chunks {chunks[1]}, cold" if contender == READERS[0][0] else "", who] +
                        share_cells(shares) + [f"{statistics.median(map(run.rate, lines)) / 1e9:.2f}", cpu_cell(lines),
                                               verdict(statistics.median(shares), wanted, bench.quick)])
    return table(["work", "reader", "share of the best raw read", "range", "GB/s", "CPU s per GiB", "wanted share"],
                 rows)


# ---- the plot ----

COLOURS = {"off": "tab:orange", "on": "tab:blue"}


def error_bars(contenders):
    shares = [c.share() for c in contenders]
    return shares, [[s - min(c.shares) for s, c in zip(shares, contenders)],
                    [max(c.shares) - s for s, c in zip(shares, contenders)]]


def plot_sizes(axis, machine, group):
    for mode in machine.modes:
        for work, style, what in (("chunks", "-", "a shard"), ("appends", "--", "a file")):
            shares, spread = error_bars([group[mode, work, size] for size in SIZES])
            axis.errorbar(range(len(SIZES)), shares, spread, linestyle=style, marker="o", markersize=3, capsize=2,
                          color=COLOURS[mode], label=f"{what}, {mode_name(mode)}")
    axis.set_xticks(range(len(SIZES)), [human(size) for size in SIZES], fontsize=8)
    axis.set_title("ready chunks: share of the limit", fontsize=10)


def plot_frames(axis, bench, machine, group, groups):
    """Frames beside the limit of writing, encoded ones beside that of encoding."""
    bars = [(what.replace(", ", ",\n", 1), {mode: group[mode, "frames", key] for mode in machine.modes})
            for key, _, _, what, _ in FRAMES]
    bars += [(what.replace(", ", ",\n"), {mode: encoded[mode, "frames", chunks] for mode in machine.modes})
             for encoded, (chunks, what) in zip(groups, encodings(bench))]
    for i, mode in enumerate(machine.modes):
        shares, spread = error_bars([contenders[mode] for _, contenders in bars])
        axis.bar([x + 0.4 * i for x in range(len(bars))], shares, 0.38, yerr=spread, capsize=2, color=COLOURS[mode],
                 label=mode_name(mode))
    axis.set_xticks([x + 0.2 for x in range(len(bars))], [name for name, _ in bars], fontsize=7)
    axis.set_title("frames: share of the limit", fontsize=10)


def plot_appends(axis, bench, machine, group):
    key, _, chunks, what, _ = FRAMES[0]
    for mode in machine.modes:
        rows = group[mode, key, 1].rows
        axis.plot(range(4), [statistics.median(float(r[column]) for r in rows) / 1000 for column in APPEND_COLUMNS],
                  marker="o", markersize=4, color=COLOURS[mode], label=f"{mode_name(mode)}, each file durable")
    axis.axhline(row_milliseconds(bench, group, chunks), color="black", linewidth=0.8, linestyle=":",
                 label="a row of chunks at the limit's speed")
    axis.set_yscale("log")
    axis.set_xticks(range(4), ["p50", "p99", "p99.9", "longest"], fontsize=8)
    axis.set_title(f"one append call, ms: {what}", fontsize=10)


def plot(bench, machine, found, path):
    """False: there is nothing to draw with."""
    plt = plots.pyplot("overlap")
    if plt is None:
        return False
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.5))
    plot_sizes(axes[0], machine, found["writing"])
    plot_frames(axes[1], bench, machine, found["writing"], found["encoding"])
    plot_appends(axes[2], bench, machine, found["appends"])
    for axis in axes[:2]:
        axis.axhline(1, color="black", linewidth=0.8, linestyle=":", label="the limit")
        axis.margins(y=0.25)               # room for the legend
        axis.set_ylim(bottom=0)
    for axis in axes:
        axis.grid(True, axis="y", linewidth=0.4)
        axis.legend(fontsize=7)
    plots.save(figure, path)
    return True


# ---- the report ----

MEASURES = {"writing": writing, "settings": settings, "encoding": encoding, "appends": appends, "packs": packs,
            "archives": archives, "reading": reading, "lists": lists}


def limit_text(machine):
    if machine.queue:
        return f"""With overlap {IN_FLIGHT} writes are in flight and the buffer is of 4 MiB, as by default.

The limit: ready memory in pieces of {' or '.join(map(human, LIMIT_BLOCKS))}, {IN_FLIGHT} under way at once,
whichever was faster in the round; the size of the file is set ahead. It is ordinary memory, like a caller's. Memory in
large pages, which shardio's own buffers ask for, may suit the device better: the same from such memory is beside it."""
    return f"""**The system gives no queue of io_uring ({machine.reason}): what has writes under way is left
out, and the limit is the plain loop, one write at a time.**"""


def writing_text(bench, machine, group):
    return f"""{bench.bytes // MIB} MiB each, past the page cache, until durable; frames of uint16, one a call.
A file is written by a slot, a shard by its writer. {limit_text(machine)}

{writing_table(bench, machine, group)}
Peak memory: growth of the process's highest resident size, without the input. Stated in advance: of arrays by
shardio_array_memory.

{writing_costs(bench, machine, group)}"""


def settings_text(bench, machine, group):
    return f"""A shard of ready chunks, with so many writes in flight and so large a buffer: {few_rounds(bench)}.

{settings_table(bench, group)}"""


def encoding_text(bench, machine, groups):
    return f"""{bench.bytes // MIB} MiB of frames of which {BITS[1]} bits of 16 are random. The limit encodes the same
chunks, sorted beforehand, one after the other with one context, and writes nothing.

{encoding_tables(bench, machine, groups)}"""


def appends_text(bench, machine, group):
    return f"""{stream_bytes(bench) / (1 << 30):.2f} GiB of frames, one a call, as fast as it goes: {few_rounds(bench)}.
The limit: pieces of {human(LIMIT_BLOCKS[-1])}, as long a stream.
A row by itself, written in turn by a plain loop, has a longest call as well: what the disk does now and then. Rows that
are smaller than the option memory are gathered; with memory for two, one is written while the next is filled: shorter
calls, but less throughput.

{appends_table(bench, machine, group)}"""


def containers_text(rows):
    return f"""Until durable; the plain loop writes the same bytes, not the same format.

{containers_table(rows)}"""


def texts(bench, machine, found):
    """Heading and text of what was measured, in order."""
    if "writing" in found:
        yield "Writes under way", writing_text(bench, machine, found["writing"])
    if found.get("settings"):
        yield "In flight and buffer", settings_text(bench, machine, found["settings"])
    if "encoding" in found:
        yield "Encoding meanwhile", encoding_text(bench, machine, found["encoding"])
    if "appends" in found:
        yield "Single append calls", appends_text(bench, machine, found["appends"])
    rows = packs_rows(bench, found["packs"]) if "packs" in found else []
    rows += archive_rows(bench, machine, found["archives"]) if "archives" in found else []
    if rows:
        yield "Packs and archives", containers_text(rows)
    if "reading" in found:
        yield "Whole arrays", reading_table(bench, found["reading"])
    if "lists" in found:
        yield "Lists of chunks: hints ahead, or reads under way", lists_table(found["lists"])


def report(bench, machine, found, picture):
    """A chapter of docs/performance.md."""
    quick = "\n**A quick run: sizes and frames too small to mean anything.**\n" if bench.quick else ""
    image = f"\n![Shares of the limit, and single append calls]({picture})\n" if picture else ""
    return f"""## Overlap

What it brings that writes are under way while the program goes on (`make bench-overlap`).
{run.machine(bench, machine.version, machine.compiler)}
Share: the limit's time over the contender's, both of one round, then the median; range: smallest and largest of the
rounds.
{quick}{image}""" + "".join(f"\n### {heading}\n\n{text}" for heading, text in texts(bench, machine, found))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="where the programs are; files go to BUILD/tmp")
    parser.add_argument("--output", help="write the report here as well")
    parser.add_argument("--plot", help="an SVG file")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it run at all?")
    parser.add_argument("--rounds", type=int, help="default 5, quick 1")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part, may be repeated; without a plot")
    options = parser.parse_args()
    options.python = None                              # no libraries are compared
    return options


def main():
    options = parse()
    os.makedirs(os.path.join(options.build, "tmp"), exist_ok=True)
    bench = run.Bench(options, "overlap")
    machine = Machine(bench)
    try:
        found = {part: MEASURES[part](bench, machine) for part in options.only or PARTS}
    finally:
        shutil.rmtree(bench.work_dir, ignore_errors=True)
        bench.log.close()
    drawn = bool(options.plot) and not options.only and plot(bench, machine, found, options.plot)
    text = report(bench, machine, found, os.path.basename(options.plot) if drawn else None)
    print(text)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
