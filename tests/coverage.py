#!/usr/bin/env python3
"""What the tests reach of shardio.h: tests/coverage.py DIRECTORY, where gcc --coverage left its notes and counts.

Added up over all programs: a line or the outcome of a branch counts if any of them came there. A section is what its
heading (>>slot) says. Prints a table; DIRECTORY/uncovered.txt gets what was not reached. Fails below the limits."""
import collections
import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEADER = os.path.join(ROOT, "shardio.h")
LINES, BRANCHES = 95.0, 85.0    # percent
GCOV = os.environ.get("GCOV", "gcov")


def reports(directory):
    """What gcov knows of each object that was run; notes without counts are of an older build."""
    for counts in sorted(glob.glob(os.path.join(directory, "*.gcda"))):
        out = subprocess.run([GCOV, "--json-format", "--branch-probabilities", "--stdout", counts], check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        yield json.loads(out)


class Counts:
    """Of each line and branch of the header: did any program come there?"""
    def __init__(self):
        self.lines = {}        # number: reached
        self.functions = {}    # number: name
        self.branches = {}     # (number, function, how many branches it has there): [taken, ...]

    def add(self, report):
        for file in report["files"]:
            if os.path.realpath(os.path.join(report["current_working_directory"], file["file"])) == HEADER:
                for line in file["lines"]:
                    self.add_line(line)

    def add_line(self, line):
        number, function = line["line_number"], line.get("function_name", "")
        self.lines[number] = self.lines.get(number, False) or line["count"] > 0
        self.functions[number] = function
        taken = [branch["count"] > 0 for branch in line["branches"]]
        if taken:    # options of the header may give a line other branches: those count by themselves
            before = self.branches.get((number, function, len(taken)), taken)
            self.branches[number, function, len(taken)] = [a or b for a, b in zip(before, taken)]


def sections(source):
    """The name of the section that each line belongs to."""
    name, names = "", []
    for line in source:
        heading = re.match(r"/\* >>(\w+)", line)
        name = heading.group(1) if heading else name
        names.append(name)
    return names


def percent(reached, there):
    return 100.0 * reached / there if there else 100.0


def table(counts, names):
    """Rows of name, lines, reached, branches, taken; the last is all."""
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    for name in list(dict.fromkeys(names)) + ["all"]:
        for number, reached in counts.lines.items():
            if name in (names[number - 1], "all"):
                sums[name][0] += 1
                sums[name][1] += reached
        for (number, _, _), taken in counts.branches.items():
            if name in (names[number - 1], "all"):
                sums[name][2] += len(taken)
                sums[name][3] += sum(taken)
    return [(name, *four) for name, four in sums.items()]


def uncovered(counts, names, source):
    """Lines of text, in the order of the header: what was not reached, and which outcomes of which branches."""
    missing = collections.defaultdict(list)
    for number, reached in counts.lines.items():
        if not reached:
            missing[number].append("not reached")
    for (number, _, _), taken in counts.branches.items():
        if counts.lines[number] and not all(taken):
            untaken = [str(i + 1) for i, one in enumerate(taken) if not one]
            missing[number].append("branch %s of %d not taken" % (", ".join(untaken), len(taken)))
    for number in sorted(missing):
        yield "%d: %s: %s: %s\n    %s\n" % (number, names[number - 1], counts.functions[number],
                                            "; ".join(missing[number]), source[number - 1].strip())


def main():
    directory = sys.argv[1]
    with open(HEADER, encoding="utf-8") as file:
        source = file.read().splitlines()
    names, counts = sections(source), Counts()
    for report in reports(directory):
        counts.add(report)
    if not counts.lines:
        sys.exit("no counts of shardio.h in " + directory)
    rows = table(counts, names)
    print("| section | lines | reached | branches | taken |\n|---|---:|---:|---:|---:|")
    for name, lines, reached, branches, taken in rows:
        print("| %s | %d | %.1f %% | %d | %.1f %% |" % (name, lines, percent(reached, lines), branches, percent(taken, branches)))
    path = os.path.join(directory, "uncovered.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(uncovered(counts, names, source))
    print("what is not reached: " + path)
    name, lines, reached, branches, taken = rows[-1]
    good = [percent(reached, lines) >= LINES, percent(taken, branches) >= BRANCHES]
    print("wanted: %g %% of the lines, %g %% of the branches" % (LINES, BRANCHES))
    print("%d passed, %d failed" % (good.count(True), good.count(False)))
    return not all(good)


if __name__ == "__main__":
    sys.exit(main())
