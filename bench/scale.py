#!/usr/bin/env python3
"""What one item costs against how many there are: a table and a plot for docs/performance.md.

    python3 bench/scale.py --program build/bench_scale --directory build/tmp/scale [--plot docs/scale.svg] [--quick]

Each size runs in a process and an empty directory of its own. The plot needs matplotlib (bench/requirements.txt);
without it there is only the table, and a line says so.
"""
import argparse
import csv
import io
import os
import shutil
import subprocess
import sys

import plots

# kind, sizes, sizes of a quick run, what it is, steps that are shown
KINDS = [
    ("shard", [10**n for n in range(3, 7)], [1000, 10000], "a shard, chunks of 256 bytes",
     ["put", "finish", "open", "get", "verify", "update one chunk"]),
    ("array", [10**n for n in range(2, 6)], [100, 1000], "an array, shards of 1 KiB",
     ["append", "read a chunk", "list", "verify", "write a chunk"]),
    ("flight", [10**n for n in range(2, 6)], [100, 1000], "the same, all shards in flight at once",
     ["append", "finish"]),
    ("archive", [10**n for n in range(2, 6)], [100, 1000], "the same in an archive, a shard a value",
     ["append", "commit", "open", "read a chunk", "list", "verify"]),
    ("paper", [10**3, 10**6, 10**9, 10**12], [10**3, 10**6], "an array with room for so many shards",
     ["define", "write the last chunk", "open", "read the last chunk"]),
    ("pack", [10**n for n in range(4, 9)], [10**4, 10**5], "a pack, items of 8 bytes",
     ["append", "finish", "open", "read an item", "read all"]),
]
FIELDS = ["kind", "step", "items", "operations", "seconds", "cpu_seconds", "reads", "writes", "memory"]
PANELS = [("shard", "shard: CPU a chunk"), ("array", "array: CPU a shard"), ("pack", "pack: CPU an item")]
# what is shown of the memory: kind, step, of what
MEMORY = [("shard", "put", "writing a shard, a chunk"), ("shard", "open", "reading a shard, a chunk"),
          ("array", "append", "writing an array in rows, a shard"), ("array", "list", "listing an array, a shard"),
          ("flight", "append", "writing with all shards in flight, a shard"),
          ("archive", "open", "an archive, a value"),
          ("pack", "append", "writing a pack, an item"), ("pack", "open", "reading a pack, an item")]


def kept(path):
    """Rows of an earlier run."""
    with open(path, encoding="utf-8") as file:
        return {(row["kind"], row["step"], int(row["items"])): row for row in csv.DictReader(file)}


def keep(path, found):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(found.values())


def measure(options):
    """Rows by kind, step and size."""
    found = kept(options.csv) if options.csv and os.path.exists(options.csv) else {}
    done_before = {(kind, size) for kind, _, size in found}
    for kind, sizes, quick, _, _ in KINDS:
        for size in quick if options.quick else sizes:
            if (kind, size) in done_before:
                continue
            shutil.rmtree(options.directory, ignore_errors=True)
            os.makedirs(options.directory)
            argv = [options.program, "--kind", kind, "--items", str(size), "--dir", options.directory]
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit("scale.py: %s\n%s" % (" ".join(argv), done.stderr))
            for row in csv.DictReader(io.StringIO(done.stdout)):
                found[kind, row["step"], size] = row
            if options.csv:
                keep(options.csv, found)
            print("%s, %d" % (kind, size), file=sys.stderr, flush=True)
    shutil.rmtree(options.directory, ignore_errors=True)
    return found


def sizes_of(found, kind):
    return sorted({size for k, _, size in found if k == kind})


def cost(row, what="cpu_seconds"):
    """Microseconds an item."""
    return 1e6 * float(row[what]) / int(row["operations"])


def digits(value):
    return "%.0f" % value if value >= 100 else "%.3g" % value


def count(size):
    return "{:,}".format(size) if size < 10**6 else "10^%d" % (len(str(size)) - 1)


def table(found):
    lines = []
    for kind, _, _, title, steps in KINDS:
        sizes = sizes_of(found, kind)
        heads = " | ".join(count(size) for size in sizes)
        lines += ["", "| %s: µs each, CPU (elapsed) | %s |" % (title, heads), "|---|%s" % ("---:|" * len(sizes))]
        for step in steps:
            rows = [found[kind, step, size] for size in sizes]
            cells = ("%s (%s)" % (digits(cost(row)), digits(cost(row, "seconds"))) for row in rows)
            lines.append("| %s | %s |" % (step, " | ".join(cells)))
    return "\n".join(lines[1:])


def memory_table(found):
    lines = ["| most memory, bytes | smallest size | largest size | for each one more |", "|---|---:|---:|---:|"]
    for kind, step, what in MEMORY:
        sizes = sizes_of(found, kind)
        few, many = (int(found[kind, step, size]["memory"]) for size in (sizes[0], sizes[-1]))
        lines.append("| %s | %d | %d | %s |" % (what, few, many, digits((many - few) / (sizes[-1] - sizes[0]))))
    return "\n".join(lines)


def plot(found, path):
    plt = plots.pyplot("scale")
    if plt is None:
        return
    figure, axes = plt.subplots(1, len(PANELS), figsize=(12, 4))
    steps_of = {kind: steps for kind, _, _, _, steps in KINDS}
    for axis, (kind, title) in zip(axes, PANELS):
        sizes = sizes_of(found, kind)
        for step in steps_of[kind]:
            axis.loglog(sizes, [cost(found[kind, step, size]) for size in sizes], marker="o", markersize=3, label=step)
        axis.set_title(title + ", µs", fontsize=10)
        axis.set_xlabel("how many there are", fontsize=9)
        axis.grid(True, which="major", linewidth=0.4)
        axis.legend(fontsize=8)
    plots.save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--directory", required=True, help="emptied for each size, and removed")
    parser.add_argument("--plot", help="an SVG file")
    parser.add_argument("--csv", help="keeps what was measured, and goes on from there")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args()
    found = measure(options)
    print(table(found))
    print()
    print(memory_table(found))
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
