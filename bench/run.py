#!/usr/bin/env python3
"""Runs the benchmarks and prints a Markdown report.

    python3 bench/run.py --build build [--quick] [--output docs/performance.md]

Each contender of bench/write.c runs once a round, in an order that changes with the round, in a process and an empty
directory of its own on one file system; in between files are removed and the system is told to sync. The limit (raw
unbuffered writes) runs several times a round, between the others. A share is the limit's time over the contender's,
both of one round; the report gives the median of the shares. A round before the first is thrown away; it reads
reads back and compares what was written. bench/read.c and bench/pack.c let their contenders take turns in one process.
Needs the standard library only; programs: build/bench_write, build/bench_read, build/bench_pack, build/bench_store,
build/bench_mirror, build/bench_crc. `make bench-peers` gets the libraries that are compared; those that are not there
are left out.
"""
import argparse
import csv
import datetime
import io
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time

MIB = 1 << 20
# a quick run writes frames of a quarter of the size
QUICK_FRAMES = ["--frame", "512,512", "--shards", "64,512,512"]
FULL_FRAMES = ["--frame", "1024,1024", "--shards", "64,1024,1024"]
FRAMES_LARGE = ["--work", "frames", "--chunks", "16,256,256", "--shards", "64,1024,1024"]
FRAMES_SMALL = ["--work", "frames", "--chunks", "1,64,64", "--shards", "64,1024,1024"]

# key, what is written, arguments of bench_write, wanted share of the limit
WORKS = [
    ("2m", "ready chunks, 2 MiB", ["--work", "chunks", "--chunk", "2M"], 0.95),
    ("8k", "ready chunks, 8 KiB", ["--work", "chunks", "--chunk", "8K"], 0.7),
    ("20000", "ready chunks, 20000 bytes", ["--work", "chunks", "--chunk", "20000"], 0.7),
    ("large", "frames, chunks 16,256,256", FRAMES_LARGE, 0.6),
    ("small", "frames, chunks 1,64,64", FRAMES_SMALL, 0.6),
]
WRITERS = [
    ("shardio", "shardio"),
    ("shardio-buffered", "shardio, page cache"),
    ("plain", "by hand, page cache"),
]
PEERS = {"zarr": "zarr-python", "tensorstore": "tensorstore", "acquire_zarr": "acquire-zarr"}
PEER_ROUNDS = 3            # some of them take minutes
PERSISTENCE = [(0, "return"), (1, "durable")]
LIMIT = "raw-direct"
# calls of 2 MiB show what a writer that hands on each chunk at once, and waits for it, can reach at most
RAW = [("raw-2m", "raw-direct", ["--block", "2M"]), ("raw-buffered", "raw-buffered", [])]


class Contender:
    """One command that writes once. `argv` lacks the directory."""

    def __init__(self, key, argv, durable):
        self.key, self.argv, self.durable = key, argv, durable
        self.rows, self.shares = [], []

    def seconds(self):
        return statistics.median(float(r["seconds"]) for r in self.rows)

    def speed(self):
        return float(self.rows[0]["bytes"]) / self.seconds() / 1e9

    def share(self):
        return statistics.median(self.shares)


class Bench:
    """`name` is that of its directory and of the file with all that was measured."""

    def __init__(self, options, name="bench"):
        self.build = options.build
        self.work_dir = os.path.join(options.build, "tmp", name)
        self.quick = options.quick
        self.rounds = options.rounds or (1 if options.quick else 5)
        self.bytes = (64 if options.quick else 512) * MIB
        self.settle = 0.0 if options.quick else 0.3
        self.python = options.python
        self.log = open(os.path.join(options.build, name + ".csv"), "w", encoding="utf-8")

    def program(self, name):
        path = os.path.join(self.build, name)
        if not os.access(path, os.X_OK):
            sys.exit(f"run.py: {path} is missing; `make bench` builds it")
        return path

    def clear(self):
        """An empty directory on a quiet disk. Freed blocks are discarded after the sync: wait for that, too."""
        shutil.rmtree(self.work_dir, ignore_errors=True)
        os.makedirs(self.work_dir)
        os.sync()
        time.sleep(self.settle)

    def run_csv(self, argv):
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"run.py: {' '.join(argv)}\n{done.stderr.strip()}")
        self.log.write(done.stdout)
        self.log.flush()
        return list(csv.DictReader(io.StringIO(done.stdout)))

    def write(self, contender, extra=()):
        self.clear()
        row = self.run_csv(contender.argv + ["--dir", self.work_dir] + list(extra))[0]
        print(f"  {contender.key}: {float(row['seconds']):.3f} s", file=sys.stderr)
        return row


def progress(text):
    print(text, file=sys.stderr, flush=True)


# ---- throughput ----

def contenders(bench):
    """Per persistence the limit and a list of the others."""
    program, size = bench.program("bench_write"), ["--bytes", str(bench.bytes)]
    result = []
    for durable, name in PERSISTENCE:
        common = size + ["--durable", str(durable)] + (QUICK_FRAMES if bench.quick else [])
        limit = Contender((name, LIMIT), [program, "--writer", LIMIT, "--work", "blocks"] + common, durable)
        others = [Contender((name, key), [program, "--writer", writer, "--work", "blocks"] + extra + common, durable)
                  for key, writer, extra in RAW]
        others += [Contender((name, work, writer), [program, "--writer", writer] + arguments + common, durable)
                   for work, _, arguments, _ in WORKS for writer, _ in WRITERS]
        if durable:
            others += peer_contenders(bench, common)
        result.append((limit, others))
    return result


def peer_contenders(bench, common):
    if bench.quick or not os.access(bench.python, os.X_OK):
        return []
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.py")
    found = subprocess.run([bench.python, script, "--list"], capture_output=True, text=True).stdout.split()
    return [Contender(("durable", work, library), [bench.python, script, library] + arguments[2:] + common, 1)
            for library in found for work, _, arguments, _ in WORKS if arguments[1] == "frames"]


def is_peer(contender):
    return contender.key[-1] in PEERS


def warm_up(bench, limit, others):
    """Fills caches and checks what is written: shardio reads it back, and those that write the same bytes agree."""
    digests = {}
    for contender in [limit] + others:
        if is_peer(contender):
            bench.write(contender)
            continue
        row = bench.write(contender, ["--verify", "1"])
        work = contender.key[1] if len(contender.key) == 3 else "raw"
        digests.setdefault(work, set()).add((row["digest"], row["file_bytes"]))
    for work, found in digests.items():
        if len(found) != 1:
            sys.exit(f"run.py: the writers of {work} do not write the same bytes: {sorted(found)}")


def rate(row):
    """Bytes a second: by rate, because whole chunks of 20000 bytes do not fill the size exactly."""
    return float(row["bytes"]) / float(row["seconds"])


def one_round(bench, number, limits, others):
    """The limits before, between and after the others: the disk's speed drifts within a round as well. Of several
    limits the fastest one counts."""
    if number >= PEER_ROUNDS:
        others = [c for c in others if not is_peer(c)]
    shift = number * len(others) // bench.rounds
    order = others[shift:] + others[:shift]
    if number % 2 == 1:
        order.reverse()
    times = [[] for _ in limits]
    for i, contender in enumerate(order + [None]):
        if i % 4 == 0 or contender is None:
            for limit, rows in zip(limits, times):
                rows.append(bench.write(limit))
        if contender is not None:
            contender.rows.append(bench.write(contender))
    most = max(statistics.median(map(rate, rows)) for rows in times)
    for limit, rows in zip(limits, times):
        limit.rows += rows
        limit.shares += [rate(row) / most for row in rows]
    for contender in order:
        contender.shares.append(rate(contender.rows[-1]) / most)


def throughput(bench):
    groups = contenders(bench)
    for limit, others in groups:
        progress(f"warm-up, {limit.key[0]}")
        warm_up(bench, limit, others)
    for number in range(bench.rounds):
        for limit, others in groups:
            progress(f"round {number + 1} of {bench.rounds}, {limit.key[0]}")
            one_round(bench, number, [limit], others)
    return {c.key: c for limit, others in groups for c in [limit] + others}


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(" --- " for _ in header) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def verdict(share, wanted, quick=False):
    if wanted is None:
        return ""
    if quick:
        return f"{wanted:.2f}"
    return f"{wanted:.2f}: " + ("met" if share >= wanted else "**missed**")


def speed_cells(contender):
    if contender is None:
        return ["-", "-", "-"]
    low, high = min(contender.shares), max(contender.shares)
    return [f"{contender.speed():.2f}", f"{contender.share():.2f}", f"{low:.2f} to {high:.2f}"]


def throughput_table(found, quick=False):
    rows = []

    def add(what, who, key, wanted=None):
        durable = found[("durable",) + key]
        cells = speed_cells(found.get(("return",) + key)) + speed_cells(durable)
        rows.append([what, who] + cells + [verdict(durable.share(), wanted, quick)])

    add("aligned blocks, 8 MiB", "raw, O_DIRECT: the limit", (LIMIT,))
    add("", "raw, O_DIRECT, 2 MiB a call", ("raw-2m",))
    add("", "raw, page cache", ("raw-buffered",))
    for work, what, _, wanted in WORKS:
        for writer, who in WRITERS:
            add(what if writer == "shardio" else "", who, (work, writer), wanted if writer == "shardio" else None)
        for library, who in PEERS.items():
            if ("durable", work, library) in found:
                version = found[("durable", work, library)].rows[0]["version"]
                add("", f"{who} {version}", (work, library))
    header = ["work", "writer", "until return GB/s", "share", "range", "until durable GB/s", "share", "range",
              "wanted share, durable"]
    return table(header, rows)


def mib(text):
    return f"{float(text) / MIB:.1f}"


def cpu_seconds(rows):
    """Per GiB."""
    return statistics.median((float(r["user_seconds"]) + float(r["system_seconds"])) * (1 << 30) / float(r["bytes"])
                             for r in rows)


def largest(rows, column):
    return max(int(r[column]) for r in rows)


def cost_table(found):
    limit = found[("durable", LIMIT)].rows
    rows = [["aligned blocks, 8 MiB", "raw, O_DIRECT", f"{cpu_seconds(limit):.2f}", largest(limit, "resident_pages"),
             mib(largest(limit, "peak_bytes")), "-", "-", "-"]]
    for work, what, _, _ in WORKS:
        for writer, who in WRITERS:
            contender = found[("durable", work, writer)]
            row = contender.rows[-1]
            ours = writer.startswith("shardio")
            calls, moved = int(row["device_calls"]), float(row["device_bytes"]) / 1024
            rows.append([what if writer == "shardio" else "", who, f"{cpu_seconds(contender.rows):.2f}",
                         largest(contender.rows, "resident_pages"), mib(largest(contender.rows, "peak_bytes")),
                         mib(row["plan_bytes"]) if ours else "-",
                         f"{calls}, of {moved / max(calls, 1):.0f} KiB" if ours else "-",
                         mib(row["copied_bytes"]) if ours else "-"])
    header = ["work", "writer", "CPU s per GiB", "pages left in the page cache", "peak memory MiB",
              "stated in advance MiB", "write calls until finish, mean size", "copied in the slot MiB"]
    return table(header, rows)


# ---- latency ----

LATENCY = [
    ("chunks 16,256,256", "shardio", "shardio", FRAMES_LARGE, 0),
    ("", "shardio, each file durable", "shardio", FRAMES_LARGE, 1),
    ("", "shardio, page cache", "shardio-buffered", FRAMES_LARGE, 0),
    ("", "by hand, page cache", "plain", FRAMES_LARGE, 0),
    ("", "by hand, page cache, each file durable", "plain", FRAMES_LARGE, 1),
    ("chunks 1,64,64", "shardio", "shardio", FRAMES_SMALL, 0),
    ("", "by hand, page cache", "plain", FRAMES_SMALL, 0),
]


def throttling_bytes():
    """The page cache holds a writer back from about three quarters of this many dirty bytes on."""
    try:
        with open("/proc/vmstat", encoding="utf-8") as file:
            values = dict(line.split() for line in file)
        return int(values["nr_dirty_threshold"]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, KeyError, ValueError):
        return 2 << 30


def latency_bytes(bench):
    """Long enough to fill the page cache's allowance twice, within a third of the free disk; whole shards."""
    if bench.quick:
        return 256 * MIB
    free = shutil.disk_usage(bench.build).free
    wanted = min(max(4 << 30, 2 * throttling_bytes()), 16 << 30, free // 3)
    return max(wanted // (128 * MIB), 1) * 128 * MIB


def latency(bench):
    size, program = latency_bytes(bench), bench.program("bench_write")
    rounds = 1 if bench.quick else 3
    runs = [Contender(("latency", i), [program, "--writer", writer, "--bytes", str(size), "--input",
                                       str(bench.bytes), "--durable", str(durable)] + arguments +
                      (QUICK_FRAMES if bench.quick else []), durable)
            for i, (_, _, writer, arguments, durable) in enumerate(LATENCY)]
    for number in range(rounds):
        progress(f"latency, round {number + 1} of {rounds}, {size / 2**30:.1f} GiB each")
        for run in runs[number:] + runs[:number]:
            run.rows.append(bench.write(run))
    return size, runs


def milliseconds(contender, column, choose=statistics.median):
    return f"{choose(float(r[column]) for r in contender.rows) / 1000:.2f}"


def latency_table(runs):
    rows = []
    for (what, who, *_), run in zip(LATENCY, runs):
        rows.append([what, who, f"{run.speed():.2f}", milliseconds(run, "p50_us"), milliseconds(run, "p99_us"),
                     milliseconds(run, "p999_us"), milliseconds(run, "longest_us"),
                     milliseconds(run, "longest_us", max), max(int(r["resident_pages"]) for r in run.rows)])
    return table(["frames into", "writer", "GB/s", "p50 ms", "p99 ms", "p99.9 ms", "longest ms", "longest of all rounds",
                  "pages left in the page cache"], rows)


# ---- reading ----

READ_ARRAYS = [("large", ["--chunks", "16,256,256"]), ("small", ["--chunks", "1,64,64"])]
# work and array of bench_read, what it is, wanted share warm and cold
READS = [
    ("whole", "large", "whole array, chunks 16,256,256", 0.7, 0.7),
    ("whole", "small", "whole array, chunks 1,64,64", 0.7, 0.7),
    ("plane", "large", "one plane through rows of chunks 16,256,256", None, None),
    ("plane", "small", "one plane through rows of chunks 1,64,64", None, None),
    ("random", "small", "2000 chunks of 8 KiB in any order, one call each", 0.75, None),
    ("hinted", "small", "2000 chunks of 8 KiB of one shard in any order, known beforehand", None, 3),
]
READ_WHO = [("raw-buffered", "raw pread, page cache"), ("raw-direct", "raw pread, O_DIRECT"),
            ("raw-hinted", "raw pread, posix_fadvise for all before"), ("shardio", "shardio"),
            ("shardio-unchanging", "shardio, option unchanging"), ("shardio-direct", "shardio, unbuffered"),
            ("zarr", "zarr-python"), ("zarrs", "zarrs (in zarr-python)"),
            ("zarrs-1", "zarrs, 1 thread"), ("tensorstore", "tensorstore"), ("tensorstore-1", "tensorstore, 1 thread"),
            ("h5py", "HDF5 (h5py)")]

READ_OURS = ("shardio", "shardio-unchanging")     # held against what is wanted


class Reads:
    """The rows of bench_read and peers.py about one work, warm or cold; which plain reads they are held against."""

    def __init__(self, rows, plain=("raw-buffered", "raw-direct")):
        self.rows = rows
        self.limits = {}                              # seconds of the best plain read, by round
        for row in sum((self.of(contender) for contender in plain), []):
            seconds = float(row["seconds"])
            self.limits[row["round"]] = min(self.limits.get(row["round"], seconds), seconds)

    def of(self, contender):
        return [row for row in self.rows if row["contender"] == contender]

    def seconds(self, contender):
        return statistics.median(float(row["seconds"]) for row in self.of(contender))

    def shares(self, contender):
        """Peers ran by themselves: beside the median of the plain reads. All others beside those of their round."""
        rows, middle = self.of(contender), statistics.median(self.limits.values())
        ours = "reads" in rows[0]
        return [(self.limits[row["round"]] if ours else middle) / float(row["seconds"]) for row in rows]

    def cells(self, contender):
        if not self.of(contender):
            return ["-", "-", "-"]
        shares = self.shares(contender)
        text = "{:.2f}" if min(shares) >= 0.095 else "{:.3f}"
        return [f"{1000 * self.seconds(contender):.1f}", text.format(statistics.median(shares)),
                text.format(min(shares)) + " to " + text.format(max(shares))]

    def reads_per_chunk(self, contender):
        return [int(row["reads"]) / int(row["chunks"]) for row in self.of(contender) if "reads" in row]


def read_bytes(bench):
    return (64 if bench.quick else 1024) * MIB


def can_be_cold(bench, directory):
    return subprocess.run([bench.program("bench_read"), "--work", "drop", "--dir", directory]).returncode == 0


def peer_reads(bench, work, common):
    if bench.quick or work == "hinted" or not os.access(bench.python, os.X_OK):
        return []
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.py")
    found = subprocess.run([bench.python, script, "--readers"], capture_output=True, text=True).stdout.split()
    rows = []
    for library in found:
        progress(f"    {library}")
        rows += bench.run_csv([bench.python, script, library, "--read", work, "--drop", bench.program("bench_read"),
                               "--rounds", str(min(bench.rounds, PEER_ROUNDS))] + common)
    return rows


def check_digests(rows):
    """What the libraries read from the same files is the same; HDF5 has a file of its own."""
    found = {row["digest"] for row in rows if row["contender"] != "h5py"}
    if len(found) > 1:
        sys.exit(f"run.py: the libraries do not read the same: {rows}")


def reading(bench):
    """By work, array and temperature."""
    directory = os.path.join(bench.build, "tmp", "bench-read")
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    program, found = bench.program("bench_read"), {}
    common = ["--dir", directory, "--bytes", str(read_bytes(bench))] + (QUICK_FRAMES if bench.quick else FULL_FRAMES)
    try:
        for array, chunks in READ_ARRAYS:
            subprocess.run([program, "--work", "prepare", "--array", array] + common + chunks, check=True)
        temperatures = (0, 1) if can_be_cold(bench, directory) else (0,)
        for work, array, *_ in READS:
            for cold in temperatures:
                if work == "hinted" and not cold:
                    continue
                progress(f"reading: {work}, {array}, {'cold' if cold else 'warm'}")
                this = common + dict(READ_ARRAYS)[array] + ["--array", array, "--cold", str(cold)]
                rows = bench.run_csv([program, "--work", work, "--rounds", str(bench.rounds)] + this)
                peers = peer_reads(bench, work, this)
                check_digests(peers)
                found[work, array, cold] = Reads(rows + peers)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return found


def read_verdict(warm, cold, wanted_warm, wanted_cold, quick, contender):
    texts = []
    for name, reads, wanted in (("warm", warm, wanted_warm), ("cold", cold, wanted_cold)):
        if reads is not None and wanted is not None:
            texts.append(f"{name} {verdict(statistics.median(reads.shares(contender)), wanted, quick)}")
    return ", ".join(texts)


def versions(reads):
    return {row["contender"]: row["version"] for row in reads.rows if "reads" not in row}


def reading_table(found, quick=False):
    rows, nothing = [], Reads([])
    for work, array, what, *wanted in READS:
        warm, cold = found.get((work, array, 0)), found.get((work, array, 1))
        for contender, who in READ_WHO:
            both = [reads or nothing for reads in (warm, cold)]
            if not any(reads.of(contender) for reads in both):
                continue
            version = {**versions(both[0]), **versions(both[1])}.get(contender)
            each = both[0].reads_per_chunk(contender) + both[1].reads_per_chunk(contender)
            calls = f"{max(each):.3f}" if each else "-"
            if each and max(each) > 1 and contender == "shardio" and work != "whole":   # that reads indexes, too
                calls += ": **more than one**"
            rows.append([what if contender == "raw-buffered" else "", f"{who} {version}" if version else who] +
                        both[0].cells(contender) + both[1].cells(contender) + [calls] +
                        [read_verdict(warm, cold, *wanted, quick, contender) if contender in READ_OURS else ""])
    header = ["work", "reader", "warm ms", "share", "range", "cold ms", "share", "range", "reads per chunk",
              "wanted share"]
    return table(header, rows)


# ---- packfiles ----

PACKS = [("128", ["--items-per-record", "128"]), ("1", ["--items-per-record", "1"]), ("zstd", ["--codec", "zstd"])]
PACK_NAMES = {"128": "128 to a record", "1": "1 to a record", "zstd": "128 to a record, zstd"}
# contender, who it is, beside whom (together), wanted share, share of the Go implementation
RANDOM_ROWS = [("raw-buffered", "raw pread of the whole record", [], None, ""),
               ("shardio-unseen", "shardio, size_cache 1", ["raw-buffered"], 0.9, "0.63"),
               ("shardio", "shardio", ["raw-buffered"], None, "")]
SCAN_ROWS = [("raw-buffered", "raw pread of 1 MiB, page cache", [], None, ""),
             ("shardio", "shardio", ["raw-buffered"], 0.9, "")]
OPEN_ROWS = [("raw-buffered", "raw open and pread of 256 KiB", [], None, ""),
             ("shardio", "shardio", ["raw-buffered"], None, "")]


def without_wish(rows):
    return [(contender, who, beside, None, "") for contender, who, beside, *_ in rows]


def with_share(rows, wanted, go):
    """The last row wants another share."""
    return rows[:-1] + [rows[-1][:3] + (wanted, go)]


# work and pack of bench_pack, cold; what it is; rows
PACK_WORKS = [
    ("write", "128", 0, "writing, durable", [
        ("raw-direct", "raw, O_DIRECT, 8 MiB a call", [], None, ""),
        ("sha256", "SHA-256 alone", ["raw-direct"], None, ""),
        ("shardio", "shardio", ["raw-direct"], 0.75, "0.32"),
        ("shardio-hash", "shardio, content hash", ["raw-direct"], None, "0.21"),
        ("shardio-hash", "the same, beside SHA-256 alone", ["sha256"], None, ""),
        ("shardio-hash", "the same, beside raw and SHA-256 one after the other", ["raw-direct", "sha256"], None, "")]),
    ("random", "128", 0, "items in any order, warm", with_share(RANDOM_ROWS, 1, "")),
    ("random", "1", 0, "items in any order, warm", with_share(RANDOM_ROWS, 0.9, "")),
    ("random", "zstd", 0, "items in any order, warm", without_wish(RANDOM_ROWS)),
    ("scan", "128", 0, "all items, warm", SCAN_ROWS),
    ("scan", "128", 1, "all items, cold", with_share(SCAN_ROWS, 0.9, "0.3 to 0.55")),
    ("scan", "1", 0, "all items, warm", SCAN_ROWS),
    ("scan", "1", 1, "all items, cold", SCAN_ROWS),
    ("scan", "zstd", 0, "all items, warm", without_wish(SCAN_ROWS)),
    ("open", "128", 0, "open and close, warm", OPEN_ROWS),
    ("open", "1", 0, "open and close, warm", OPEN_ROWS),
]


class Turns:
    """The rows of bench_pack about one work."""

    def __init__(self, rows):
        self.rounds = {}                              # by contender, then by round
        for row in rows:
            self.rounds.setdefault(row["contender"], {})[row["round"]] = row

    def first(self, contender):
        return next(iter(self.rounds[contender].values()))

    def seconds(self, contender):
        return statistics.median(float(row["seconds"]) for row in self.rounds[contender].values())

    def speed(self, contender):
        return float(self.first(contender)["bytes"]) / self.seconds(contender) / 1e9

    def shares(self, contender, beside):
        return [sum(float(self.rounds[other][number]["seconds"]) for other in beside) / float(row["seconds"])
                for number, row in self.rounds[contender].items()]

    def rate(self, contender):
        row, seconds = self.first(contender), self.seconds(contender)
        if row["work"] == "open":
            return f"{1e6 * seconds:.0f} us"
        if row["work"] == "random":
            return f"{int(row['items']) / seconds:,.0f} items/s"
        return f"{self.speed(contender):.2f} GB/s"

    def reads(self, contender):
        row = self.first(contender)
        reads, size, items = (int(row[column]) for column in ("reads", "read_bytes", "items"))
        if row["work"] == "random":
            return f"{reads / items:.3f} an item, {size / items:.0f} bytes"
        return str(reads) if reads else "-"


def pack_items(bench):
    return 100_000 if bench.quick else 1_000_000


def prepare_packs(bench, program, common):
    """Packs of a codec that this build lacks are left out."""
    packs = {}
    for pack, arguments in PACKS:
        argv = [program, "--work", "prepare", "--pack", pack] + common + arguments
        if subprocess.run(argv, check=pack != "zstd").returncode == 0:
            packs[pack] = arguments
    return packs


def packing(bench):
    """By work, pack and temperature; and SHA-256 alone."""
    directory = os.path.join(bench.build, "tmp", "bench-pack")
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    program, found = bench.program("bench_pack"), {}
    common = ["--dir", directory, "--items", str(pack_items(bench))]
    rounds = ["--rounds", str(bench.rounds), "--settle", str(int(1000 * bench.settle))]
    try:
        packs = prepare_packs(bench, program, common)
        cold_ones = (0, 1) if can_be_cold(bench, directory) else (0,)
        for work, pack, cold, *_ in PACK_WORKS:
            if pack not in packs or cold not in cold_ones:
                continue
            progress(f"packs: {work}, {pack}, {'cold' if cold else 'warm'}")
            name = ["--pack", "written" if work == "write" else pack]
            count = ["--count", "10000"] if bench.quick or pack == "zstd" else []
            this = ["--work", work, "--cold", str(cold)] + name + common + packs[pack] + rounds + count
            found[work, pack, cold] = Turns(bench.run_csv([program] + this))
        found["hash"] = Turns(bench.run_csv([program, "--work", "hash"] + common + rounds))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return found


def hash_rows(turns, quick):
    kind, speed = turns.first("cpu")["kind"], turns.speed("cpu")
    wanted = f"1.5 GB/s{verdict(speed, 1.5, quick)[4:]}" if kind == "sha" else ""
    return [["SHA-256 alone, CPU time", "", f"shardio, by {kind}", f"{speed:.2f} GB/s", "", "", "-", wanted, ""],
            ["", "", "plain C", f"{turns.speed('plain'):.2f} GB/s", "", "", "-", "", ""]]


def pack_verdict(turns, contender, shares, wanted, quick):
    row = turns.first(contender)
    if row["work"] == "open" and row["pack"] == "128" and contender == "shardio":
        return "1 read: " + ("met" if row["reads"] == "1" else "**missed**")
    return verdict(statistics.median(shares), wanted, quick) if shares else ""


def packing_table(found, quick=False):
    rows = []
    for work, pack, cold, what, contenders in PACK_WORKS:
        turns = found.get((work, pack, cold))
        for i, (contender, who, beside, wanted, go) in enumerate(contenders if turns else []):
            shares = turns.shares(contender, beside) if beside else []
            rows.append([what if i == 0 else "", PACK_NAMES[pack] if i == 0 else "", who, turns.rate(contender),
                         f"{statistics.median(shares):.2f}" if shares else "1.00",
                         f"{min(shares):.2f} to {max(shares):.2f}" if shares else "", turns.reads(contender),
                         pack_verdict(turns, contender, shares, wanted, quick), go])
    header = ["work", "items", "contender", "rate", "share", "range", "reads", "wanted", "share of the Go one"]
    return table(header, rows + hash_rows(found["hash"], quick))


# ---- archives ----

STORE_WHO = {"raw": "raw files", "shardio": "shardio", "statistics": "shardio with statistics",
             "raw-large-pages": "raw file, memory in large pages",
             "array-format": "array-format (Rust)", "h5py": "HDF5 (h5py)",
             "zarr": "zarr-python, ZipStore"}
# step, what it is, steps of raw files that it is held against (the fastest), wanted share
STORE_STEPS = [
    ("write", "write and commit, durable", ["write"], 0.7),
    ("read-cold", "read back, cold", ["read-direct", "read-buffered"], 0.7),
    ("read-warm", "read back, warm", ["read-warm"], None),
    ("overwrite", "overwrite rows 100 to 203 of each, durable", ["write"], None),
    ("compact", "compact, cold, durable", ["write"], 0.4),
]
FRAME_WHO = {"raw": "raw, O_DIRECT", "directory": "shardio, into a directory", "archive": "shardio, into an archive"}
# work of bench_store, contender, who it is, wanted
TURN_WHO = [
    ("open", "raw-buffered", "pread of the directory", None),
    ("open", "shardio", "shardio", "50 ms"),
    ("chunk", "raw-buffered", "pread", None),
    ("chunk", "values", "shardio, each chunk a value", "1 read a chunk"),
    ("chunk", "shard", "shardio, chunks in a shard", "1 read a chunk"),
]


class Steps:
    """What raw files and contenders took, by round; raw files run before, between and after the others."""

    def __init__(self):
        self.rounds = []                  # each: contender to a list of runs, a run: step to its row

    def add(self, contender, rows):
        self.rounds[-1].setdefault(contender, []).append({row["step"]: row for row in rows})

    def rows(self, contender, step):
        return [run[step] for each in self.rounds for run in each.get(contender, []) if step in run]

    def raw_seconds(self, each, steps):
        return min(statistics.median(float(run[step]["seconds"]) for run in each["raw"]) for step in steps)

    def shares(self, contender, step, raw_steps, beside="raw"):
        """Beside another contender: that one's time over this one's."""
        found = []
        for each in self.rounds:
            for run in each.get(contender, []):
                if step in run:
                    limit = (self.raw_seconds(each, raw_steps) if beside == "raw"
                             else float(each[beside][0][step]["seconds"]))
                    found.append(limit / float(run[step]["seconds"]))
        return found


def store_sizes(bench):
    return 64, (1 if bench.quick else 4) * MIB


def store_contenders(bench):
    program, drop = bench.program("bench_store"), bench.program("bench_read")
    arrays, size = store_sizes(bench)
    common = ["--arrays", str(arrays), "--bytes", str(size), "--chunk-rows", "64"]
    raw, found = [program, "--work", "arrays", "--contender", "raw"] + common, {}
    for ours in ("shardio", "statistics", "raw-large-pages"):
        found[ours] = [program, "--work", "arrays", "--contender", ours] + common
    rust = os.path.join(bench.build, "peers-rust", "release", "bench-peers")
    if os.access(rust, os.X_OK) and not bench.quick:
        found["array-format"] = [rust, "--drop", drop] + common
    if os.access(bench.python, os.X_OK) and not bench.quick:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.py")
        for library in subprocess.run([bench.python, script, "--stores"], capture_output=True, text=True).stdout.split():
            found[library] = [bench.python, script, library, "--store", "--drop", drop] + common
    return raw, found


def steps_once(bench, steps, contender, argv):
    bench.clear()
    progress(f"    {contender}")
    steps.add(contender, bench.run_csv(argv + ["--dir", bench.work_dir]))


def storing(bench):
    """Steps of arrays, steps of frames, and turns by work."""
    program, (raw, others) = bench.program("bench_store"), store_contenders(bench)
    arrays, frames = Steps(), Steps()
    frame = QUICK_FRAMES[:2] if bench.quick else FULL_FRAMES[:2]
    streams = {c: [program, "--work", "frames", "--contender", c, "--bytes", str(bench.bytes)] + frame
               for c in FRAME_WHO}
    for number in range(bench.rounds):
        progress(f"archives, round {number + 1} of {bench.rounds}")
        names, ours = list(others), ["directory", "archive"]
        for steps in (arrays, frames):
            steps.rounds.append({})
        for name in names if number % 2 == 0 else reversed(names):
            if number >= PEER_ROUNDS and name != "shardio":
                continue
            steps_once(bench, arrays, "raw", raw)
            steps_once(bench, arrays, name, others[name])
        steps_once(bench, arrays, "raw", raw)
        for name in ours if number % 2 == 0 else reversed(ours):
            steps_once(bench, frames, "raw", streams["raw"])
            steps_once(bench, frames, name, streams[name])
        steps_once(bench, frames, "raw", streams["raw"])
    turns = {}
    for work, count in (("open", 100_000), ("chunk", 4000)):
        progress(f"archives: {work}")
        bench.clear()
        turns[work] = Turns(bench.run_csv([program, "--work", work, "--count", str(count), "--rounds",
                                           str(2 * bench.rounds + 1), "--dir", bench.work_dir]))
    return arrays, frames, turns


def step_cells(rows, shares):
    row, seconds = rows[-1], statistics.median(float(r["seconds"]) for r in rows)
    cpu = [float(r["cpu_seconds"]) for r in rows if r["cpu_seconds"]]
    return [f"{1000 * seconds:.0f}", f"{statistics.median(shares):.2f}", f"{min(shares):.2f} to {max(shares):.2f}",
            f"{1000 * statistics.median(cpu):.0f}" if cpu else "-",
            f"{100 * int(row['grown_bytes']) / int(row['bytes']):.1f} %", mib(largest(rows, "peak_bytes"))]


def raw_step_rows(arrays):
    names = {"write": "O_DIRECT, 8 MiB a call", "read-direct": "cold, O_DIRECT, 8 MiB a call",
             "read-buffered": "cold, page cache", "read-warm": "warm"}
    return [[f"raw file: {step.split('-')[0]}", what] +
            step_cells(arrays.rows("raw", step), arrays.shares("raw", step, [step])) + [""]
            for step, what in names.items()]


def arrays_table(arrays, quick=False):
    rows = raw_step_rows(arrays)
    for step, what, raw_steps, wanted in STORE_STEPS:
        for contender, who in STORE_WHO.items():
            found = arrays.rows(contender, step)
            if contender == "raw" or not found:
                continue
            shares = arrays.shares(contender, step, raw_steps)
            version = found[0]["version"].split()[-1]
            rows.append([what if contender == "shardio" else "", who if contender in ("raw-large-pages", "shardio", "statistics") else f"{who} {version}"] +
                        step_cells(found, shares) +
                        [verdict(statistics.median(shares), wanted, quick) if contender == "shardio" else ""])
    return table(["step", "contender", "ms", "share of raw", "range", "CPU ms", "the file grows by", "peak memory MiB",
                  "wanted share"], rows)


def frames_table(frames, quick=False):
    rows = []
    for contender, who in FRAME_WHO.items():
        shares = frames.shares(contender, "frames", ["frames"])
        cells = step_cells(frames.rows(contender, "frames"), shares)
        beside, wanted = "", ""
        if contender == "archive":
            share = statistics.median(frames.shares(contender, "frames", [], "directory"))
            beside, wanted = f"{share:.2f}", verdict(share, 0.8, quick)
        rows.append([who] + cells[:4] + [cells[5], beside, wanted])
    return table(["frames into shards", "ms", "share of raw", "range", "CPU ms", "peak memory MiB",
                  "share of the directory", "wanted"], rows)


def turn_verdict(turns, contender, wanted, quick):
    row = turns.first(contender)
    if wanted is None or quick:
        return wanted or ""
    met = turns.seconds(contender) < 0.05 if row["work"] == "open" else int(row["reads"]) <= int(row["items"])
    return f"{wanted}: " + ("met" if met else "**missed**")


def turns_table(found, quick=False):
    rows = []
    for work, contender, who, wanted in TURN_WHO:
        turns, row = found[work], found[work].first(contender)
        shares = turns.shares(contender, ["raw-buffered"])
        each = 1 if work == "open" else int(row["items"])
        what = f"open, {int(row['items']):,} entries" if work == "open" else "a chunk of 8 KiB, any order, warm"
        rows.append([what if contender == "raw-buffered" else "", who,
                     f"{1e6 * turns.seconds(contender) / each:.1f}", f"{statistics.median(shares):.2f}",
                     f"{int(row['reads']) / each:.2f}", turn_verdict(turns, contender, wanted, quick)])
    return table(["work", "contender", "us each", "share of pread", "reads each", "wanted"], rows)


def storing_tables(found, quick=False):
    arrays, frames, turns = found
    return "\n".join([arrays_table(arrays, quick), frames_table(frames, quick), turns_table(turns, quick)])


# ---- mirrors ----

MIRROR_BLOCK = 65536
MIRROR_WHO = {"raw": "raw pread and pwrite", "raw-durable": "raw, fdatasync each 256 MiB and at the end",
              "shardio": "shardio, map saved each 256 MiB", "shardio-at-close": "shardio, map saved at close",
              "sparseio": "sparseio 0.0.1 (Rust)"}
# step of bench_mirror, what it is, share of raw that is wanted
MIRROR_STEPS = [("first", "first pass", 0.5), ("second", "second pass", 0.8), ("open", "open", None),
                ("close", "close", None)]
MAP_STEPS = [("open", "open, a new mirror"), ("save", "save the map"), ("reopen", "open again"),
             ("read", "4000 reads of 64 KiB in any order, half of them fetched"), ("about", "count the extents"),
             ("evict", "evict the least recently used half"), ("close", "close, durable")]


def mirror_contenders(bench, source):
    common = ["--source", source, "--bytes", str(bench.bytes)]
    found = {name: [bench.program("bench_mirror"), "--work", "passes", "--contender", name] + common
             for name in MIRROR_WHO if name != "sparseio"}
    rust = os.path.join(bench.build, "peers-rust", "release", "bench-sparseio")
    if os.access(rust, os.X_OK) and not bench.quick:
        found["sparseio"] = [rust] + common
    return found


def mirroring(bench):
    """Steps of passes, and of a fragmented map. The first round, which is thrown away, checks what is read."""
    directory = os.path.join(bench.build, "tmp", "bench-mirror")
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    source, program = os.path.join(directory, "source"), bench.program("bench_mirror")
    passes, fragmented = Steps(), Steps()
    try:
        subprocess.run([program, "--work", "prepare", "--dir", directory, "--source", source, "--bytes",
                        str(bench.bytes)], check=True)
        contenders = mirror_contenders(bench, source)
        for number in range(bench.rounds + 1):
            progress(f"mirrors, round {number} of {bench.rounds}")
            mirror_round(bench, number, passes, contenders)
        passes.rounds.pop(0)
        for number in range(bench.rounds):
            sparse = ["--work", "map", "--bytes", "1024G", "--source", os.path.join(directory, "sparse")]
            fragmented.rounds.append({})
            steps_once(bench, fragmented, "shardio", [program] + sparse)
            os.remove(sparse[-1])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return passes, fragmented


def mirror_round(bench, number, passes, contenders):
    passes.rounds.append({})
    names = [name for name in contenders if name != "raw" and (name != "sparseio" or number <= PEER_ROUNDS)]
    check = ["--check", "1" if number == 0 else "0"]
    for name in names if number % 2 == 0 else reversed(names):
        steps_once(bench, passes, "raw", contenders["raw"] + check)
        steps_once(bench, passes, name, contenders[name] + check)
    steps_once(bench, passes, "raw", contenders["raw"] + check)


def passes_table(passes, quick=False):
    rows = []
    for step, what, wanted in MIRROR_STEPS:
        for contender, who in MIRROR_WHO.items():
            if not passes.rows(contender, step):
                continue
            ours = contender.startswith("shardio")
            rows.append([what if contender == "raw" else "", who] +
                        pass_cells(passes, step, contender, wanted if ours else None, quick))
    header = ["step", "contender", "ms", "MB/s", "share of raw", "range", "CPU ms", "reads a block", "writes a block",
              "allocated MiB", "share of raw with fdatasync", "wanted share of raw"]
    return table(header, rows)


def pass_cells(passes, step, contender, wanted, quick):
    found = passes.rows(contender, step)
    seconds, size = statistics.median(float(r["seconds"]) for r in found), int(found[0]["bytes"])
    cpu = statistics.median(float(r["cpu_seconds"]) for r in found)
    cells = [f"{1000 * seconds:.1f}"]
    if size == 0:
        return cells + ["", "", "", f"{1000 * cpu:.1f}", "", "", "", "", ""]
    shares, blocks = passes.shares(contender, step, [step]), size // MIRROR_BLOCK
    calls = [f"{largest(found, column) / blocks:.2f}" for column in ("reads", "writes")]
    beside = passes.shares(contender, step, [], "raw-durable") if (contender, step) == ("shardio", "first") else []
    return cells + [f"{size / seconds / 1e6:.0f}", f"{statistics.median(shares):.2f}",
                    f"{min(shares):.2f} to {max(shares):.2f}", f"{1000 * cpu:.0f}"] + calls + [
                        mib(largest(found, "allocated_bytes")), f"{statistics.median(beside):.2f}" if beside else "",
                        verdict(statistics.median(shares), wanted, quick)]


def map_table(fragmented):
    rows = []
    for step, what in MAP_STEPS:
        found = fragmented.rows("shardio", step)
        seconds = statistics.median(float(r["seconds"]) for r in found)
        rows.append([what, f"{1000 * seconds:.1f}", largest(found, "map_bytes"), mib(largest(found, "held_bytes")),
                     mib(largest(found, "peak_bytes")), mib(largest(found, "allocated_bytes"))])
    return table(["step", "ms", "bytes of the map file", "most memory asked for MiB", "growth of peak memory MiB",
                  "allocated MiB"], rows)


def mirroring_tables(found, quick=False):
    passes, fragmented = found
    return "\n".join([passes_table(passes, quick), map_table(fragmented)])


# ---- CRC32C and CRC-32 ----

def checksum(bench):
    arguments = ["--rounds", "2", "--time", "0.02", "--large", "64M"] if bench.quick else ["--rounds", "9"]
    return bench.run_csv([bench.program("bench_crc")] + arguments)


def checksum_table(lines, quick=False):
    rows = []
    for size in sorted({int(line["bytes"]) for line in lines}):
        mine = [line for line in lines if int(line["bytes"]) == size]
        limit, ours, share, crc32, zlib = (statistics.median(float(line[c]) for line in mine) for c in (
            "limit_gb_s", "shardio_gb_s", "share", "crc32_gb_s", "zlib_gb_s"))
        # an index of 16 entries and one block are shown for orientation: combining streams costs there
        wanted = 0.9 if size >= 16384 and limit > 0 else None
        name = f"{size // MIB} MiB, memory" if size >= MIB else f"{size} bytes, cache"
        rows.append([name, f"{limit:.1f}", f"{ours:.1f}", f"{share:.2f}", verdict(share, wanted, quick),
                     f"{crc32:.1f}", f"{zlib:.1f}" if zlib > 0 else ""])
    return table(["data", "limit GB/s", "shardio_crc32c GB/s", "share", "wanted share", "shardio_crc32 GB/s",
                  "zlib's crc32 GB/s"], rows)


# ---- whole commands ----

def command_lines(bench, source):
    out = os.path.join(bench.work_dir, "copy")
    imports = [bench.program("shardio"), "import", "--quiet", "--shape", "0,1024,1024", "--dtype", "uint16",
               "--shards", "64,1024,1024"]
    return [
        ("`dd bs=8M oflag=direct conv=fsync`",
         ["dd", f"if={source}", f"of={out}", "bs=8M", "oflag=direct", "conv=fsync", "status=none"]),
        ("`cp` and `sync`", ["sh", "-c", f"cp '{source}' '{out}' && sync '{out}'"]),
        ("`shardio import`, chunks 16,256,256", imports + ["--chunks", "16,256,256", source, out + ".zarr"]),
        ("`shardio import`, chunks 1,64,64", imports + ["--chunks", "1,64,64", source, out + ".zarr"]),
        ("`shardio import --direct off`, chunks 16,256,256",
         imports + ["--direct", "off", "--chunks", "16,256,256", source, out + ".zarr"]),
    ]


def hyperfine_seconds(bench, argv):
    """One timed run. Rounds are ours, so that the commands take turns."""
    report = os.path.join(bench.build, "tmp", "hyperfine.json")
    line = " ".join("'" + a.replace("'", "'\\''") + "'" for a in argv)
    done = subprocess.run(["hyperfine", "--shell=none", "--runs", "1", "--style", "none", "--export-json", report,
                           line], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"run.py: hyperfine {line}\n{done.stderr.strip()}")
    with open(report, encoding="utf-8") as file:
        return json.load(file)["results"][0]["times"][0]


def write_source(path, size):
    """A raw input file; what was just written is in the page cache, for all commands alike."""
    noise = random.Random(1)
    with open(path, "wb") as file:
        for _ in range(size // (8 * MIB)):
            file.write(noise.randbytes(8 * MIB))


def commands(bench):
    if bench.quick:
        return "Left out in a quick run.\n"
    if not shutil.which("hyperfine"):
        return "Left out: hyperfine is not installed.\n"
    if not os.access(os.path.join(bench.build, "shardio"), os.X_OK):
        return "Left out: the tool `shardio` is not built (`make examples`).\n"
    source = os.path.join(bench.build, "tmp", "bench-input.raw")
    write_source(source, bench.bytes)
    lines = command_lines(bench, source)
    times = {name: [] for name, _ in lines}
    for number in range(bench.rounds + 1):
        progress(f"whole commands, round {number} of {bench.rounds}")
        turn = number % len(lines)
        for name, argv in lines[turn:] + lines[:turn]:
            bench.clear()
            seconds = hyperfine_seconds(bench, argv)
            if number > 0:                   # the first one warms up
                times[name].append(seconds)
    os.remove(source)
    return command_table(bench, lines, times)


def command_table(bench, lines, times):
    reference = times[lines[0][0]]
    rows = []
    for name, _ in lines:
        shares = [most / seconds for most, seconds in zip(reference, times[name])]
        seconds = statistics.median(times[name])
        rows.append([name, f"{seconds:.3f}", f"{bench.bytes / seconds / 1e9:.2f}",
                     f"{statistics.median(shares):.2f}"])
    return table(["command", "seconds", "GB/s", "share of dd"], rows)


# ---- the report ----

def first_match(path, key):
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return "unknown"


def file_system(path):
    """Type of the file system and of the device below it, without names."""
    best, kind, device = "", "unknown", ""
    try:
        with open("/proc/mounts", encoding="utf-8") as file:
            for line in file:
                name, point, this_kind = line.split()[:3]
                inside = os.path.realpath(path).startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind, device = point, this_kind, os.path.basename(name)
    except OSError:
        pass
    bus = {"vd": "a virtio disk", "nv": "an NVMe disk", "sd": "a SCSI or SATA disk"}.get(device[:2], "a disk")
    return f"{kind} on {bus}"


def memory_gib():
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)


def machine(bench, version, compiler):
    model = first_match("/proc/cpuinfo", "model name")
    kernel = ".".join(platform.release().split(".")[:2])
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return (f"{model}, {os.cpu_count()} cores, {memory_gib():.0f} GiB of memory, {platform.system()} {kernel}, "
            f"{file_system(bench.work_dir)}; {compiler}, -O2; shardio.h {version}. "
            f"{datetime.date.today().isoformat()}, {bench.rounds} rounds, load averages at the end {load}.")


def report(bench, found, size, latencies, reads, packs, store, mirrors, crc, whole):
    row = found[("durable", LIMIT)].rows[0]
    kind, crc32_kind = crc[0]["kind"], crc[0]["crc32_kind"]
    frame = "512x512" if bench.quick else "1024x1024"
    quick = "**A quick run: sizes and frames (512x512) too small to mean anything.**\n\n" if bench.quick else ""
    return f"""# Performance

Written by `make bench OUTPUT=docs/performance.md` (bench/run.py). {machine(bench, row["version"], row["compiler"])}

{quick}## Throughput

{bench.bytes // MIB} MiB each, on one thread, from one block of memory touched beforehand; the clock runs from before the
file is created until finish returns, or until contents and directory are on stable storage. One call per chunk, or per
frame of uint16, 1024x1024. Share: of the limit, computed within each round, then the median; range: smallest and largest
of the rounds (of the limit: of its single runs beside their median in the round). Files are removed and the system
synced before each run. Until return, a writer through the page cache has copied into memory and leaves the disk's work for
later; its figures swing widely from run to run, in a virtual machine with fresh memory all the more.
Libraries write uncompressed with their default threads, a whole shard a call (acquire-zarr: a frame a call), in the
first {PEER_ROUNDS} rounds only.

{throughput_table(found, bench.quick)}
## What it costs

Until durable, same runs. Peak memory: growth of the process's highest resident size, without the input; what the raw
writer needs is the program itself. Of what is stated in advance, pages that are never touched do not count.

{cost_table(found)}
## Single append calls

{size / (1 << 30):.1f} GiB of frames (the block of {bench.bytes // MIB} MiB over and over), one frame a call, as fast as it goes. A
full run is long enough for the page cache to hold writers back: its dirty limit here is {throttling_bytes() / (1 << 30):.1f} GiB. A ring buffer
between a camera and this has to bridge the longest call. Medians of {len(latencies[0].rows)} rounds, the last but one column excepted.

{latency_table(latencies)}
## Reading

{read_bytes(bench) // MIB} MiB of uint16, frames of {frame}, 64 to a shard, uncompressed. Share: the time of plain preads
of the same bytes over the reader's, of one round; of the whole array the faster of pread in pieces of 8 MiB through the
page cache and past it, of all others one pread a chunk. Plain reads and shardio take turns in one process;
libraries run in processes of their own and are compared with the median. Cold: before each reader the files are dropped
from the page cache, and mincore says that they are gone; what is below the file system may still have them. Memory that
is read into was touched before, also that of h5py and zarr-python; the others hand out their own. Files are open and
the indexes of shardio in memory, except for the whole array, where opening is part of the work. A plane lies in the
middle of the last dimension; plain reads of its chunks all go to the same memory. Libraries use their default threads
unless the table says 1, in {PEER_ROUNDS} rounds; HDF5 has a file of its own, chunked alike. What is known beforehand goes to
shardio_shard_read_many in one call.

{reading_table(reads, bench.quick)}
## Packfiles

{pack_items(bench):,} items of 200 to 400 bytes, half of whose bits are random; all in one process, in turns. Share: the
time of the raw writes or reads of the same bytes over the contender's, of one round, then the median. Writing is until
durable; raw writes are of the items as they lie in memory. Raw random reads fetch the whole record, as does shardio where
it keeps no lengths of items (size_cache 1); where it has seen them it reads the item alone. Files are open and their
indexes in memory but for "open". GB/s are of items, also where they are stored encoded. The Go implementation (packfile
in stellar-rpc) is internal to its module, so nothing else can be built with it; the table has what it says of itself,
measured elsewhere: 158,000 random items a second where a raw loop makes 250,000.

{packing_table(packs, bench.quick)}
## Archives

{store_sizes(bench)[0]} arrays of {store_sizes(bench)[1] // MIB} MiB of float32 in one file, 1024 elements to a row,
64 rows to a chunk, uncompressed, without statistics unless it says so (array-format always makes them). Share: the
time of raw files of the same bytes over the contender's, of one round, then the median; of reading cold, the faster
of both ways; overwriting and compacting are held against writing all bytes once. Writing goes on until everything is
on stable storage; cold: the file was dropped from the page cache. shardio reads cold past the page cache, and warm
through it. A file of array-format never changes: overwriting writes a new one, and the old one is there until then;
HDF5 overwrites in place, and a crash meanwhile may cost the file; ZipStore cannot compact. Peak memory has grown by
so much up to that step, without the input. Libraries run with their default threads, in {PEER_ROUNDS} rounds.

{storing_tables(store, bench.quick)}
## Mirrors

A mirror of a local file of {bench.bytes // MIB} MiB: every block of 64 KiB is read once in scattered order, when nothing
is in the local file yet, then all of them again in the same order, one call each, into one piece of memory. Chunks of
64 KiB, no read-ahead. Raw: pread of the block from the source and pwrite to a sparse local file; in the second pass
pread from that. Source and local file are in the page cache for all. Share: the time of raw preads and pwrites, which
make nothing durable, over the contender's, of one round, then the median; each contender runs in a process and a
directory of its own, raw before, between and after them. With its usual options shardio saves the map each GiB, which is at
close here; a save first makes durable what it is to claim, so that a crash loses no more than that; sparseio keeps no map and makes
nothing durable. What was mirrored is compared with the source afterwards. Reads and writes are system calls as the
system counts them, which leaves out those of sparseio that open files and punch holes.

{passes_table(mirrors[0], bench.quick)}
A mirror of 1 TiB in chunks of 64 KiB, every second one of which is there: the map has one bit a chunk, however they
lie. In memory it takes as much, and 256 KiB for what was used when; requests of more than what is read get a buffer (8
MiB), which these reads do without. Chunks were marked in the map instead of fetched: holes in the local file read as
those of the source do.

{map_table(mirrors[1])}
## CRC32C and CRC-32

Computed with: {kind}; CRC-32, the checksum of ZIP archives, with: {crc32_kind}. The limit is three interleaved streams
of the CPU's instruction for CRC32C that are never combined; all take turns; medians of
{len({line["round"] for line in crc})} rounds.

{checksum_table(crc, bench.quick)}
## Whole commands

hyperfine, {bench.bytes // MIB} MiB from a file in the page cache, until durable, interleaved.

{whole}"""


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="where the programs are; files go to BUILD/tmp")
    parser.add_argument("--output", help="write the report here as well")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it run at all?")
    parser.add_argument("--rounds", type=int, help="default 5, quick 1")
    parser.add_argument("--python", help="with zarr, zarrs, tensorstore, acquire-zarr, h5py; BUILD/venv/bin/python")
    parser.add_argument("--only", help="one part, raw tables",
                        choices=["throughput", "latency", "reading", "pack", "store", "mirror", "crc", "commands"])
    options = parser.parse_args()
    options.python = options.python or os.path.join(options.build, "venv", "bin", "python")
    return options


def only(bench, part):
    if part == "throughput":
        found = throughput(bench)
        return throughput_table(found) + "\n" + cost_table(found)
    if part == "latency":
        return latency_table(latency(bench)[1])
    if part == "reading":
        return reading_table(reading(bench), bench.quick)
    if part == "pack":
        return packing_table(packing(bench), bench.quick)
    if part == "store":
        return storing_tables(storing(bench), bench.quick)
    if part == "mirror":
        return mirroring_tables(mirroring(bench), bench.quick)
    return checksum_table(checksum(bench)) if part == "crc" else commands(bench)


def main():
    options = parse()
    os.makedirs(os.path.join(options.build, "tmp"), exist_ok=True)
    bench = Bench(options)
    try:
        if options.only:
            text = only(bench, options.only)
        else:
            found = throughput(bench)
            size, runs = latency(bench)
            text = report(bench, found, size, runs, reading(bench), packing(bench), storing(bench),
                          mirroring(bench), checksum(bench), commands(bench))
    finally:
        shutil.rmtree(bench.work_dir, ignore_errors=True)
        bench.log.close()
    print(text)
    if options.output and not options.only:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
