#!/usr/bin/env python3
"""examples/threads and examples/mpi: whoever writes side by side, the files are those that one thread writes, and every
error is told. Python's standard library only; tool_peers.py lets others read the arrays. A word as argument: only the
tests whose names contain it."""
import array
import os
import shutil
import sys

import common
from common import BUILD, TMP, check, good, run, tool

THREADS = os.path.join(BUILD, "examples", "threads")
THREADS_SANITIZED = os.path.join(BUILD, "tsan", "threads")
MPI = os.path.join(BUILD, "examples", "mpi")
MPIRUN = os.environ.get("MPIRUN") or "mpirun"
SHAPE, SHARDS = (20, 300, 400), (3, 3, 3)

# of OpenMPI, which others pass over: more ranks than processors, all on this machine, which may have no ssh, as root, too;
# its own files go among ours
MPI_ENVIRONMENT = {"OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_plm": "isolated", "OMPI_ALLOW_RUN_AS_ROOT": "1",
                   "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "TMPDIR": TMP}


# ---- who writes ----------------------------------------------------------------------------------------------

class Threads:
    """The example with threads; `says` is how its messages begin."""

    def __init__(self, count, program=THREADS):
        self.count, self.program, self.says, self.writer = count, program, "threads: ", "thread"
        self.name = "%d threads%s" % (count, ", sanitized" if program == THREADS_SANITIZED else "")

    def write(self, path):
        return run(self.program, path, self.count, limit=False)


class Ranks:
    """The example with MPI."""

    def __init__(self, count):
        self.count, self.says, self.writer, self.name = count, "mpi: ", "rank", "%d ranks" % count

    def write(self, path):
        return self.start(MPI, path)

    def start(self, *command):
        os.environ.update(MPI_ENVIRONMENT)
        return run(MPIRUN, "-n", self.count, *command, limit=False)

    def codes(self, path):
        """The exit code of each rank, which mpirun does not tell."""
        codes = fresh("codes")
        os.makedirs(codes)
        good(self.start("sh", "-c", '"$2" "$3"; echo $? >"$1/$$"', "sh", codes, MPI, path))
        return sorted(contents(os.path.join(codes, name)).decode().strip() for name in os.listdir(codes))


def writers():
    """Those of this machine."""
    found = [Threads(1), Threads(3), Threads(8)]
    if os.path.exists(THREADS_SANITIZED):
        found.append(Threads(8, THREADS_SANITIZED))
    return found + several_ranks()


def several_ranks():
    """None where there is no MPI, which the Makefile says."""
    return [Ranks(4)] if os.path.exists(MPI) and shutil.which(MPIRUN) else []


# ---- what they write -----------------------------------------------------------------------------------------

def fresh(name):
    path = os.path.join(TMP, name)
    shutil.rmtree(path, ignore_errors=True)
    return path


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def files(path):
    """Each file by its name, temporary ones included."""
    return {os.path.relpath(os.path.join(folder, name), path): contents(os.path.join(folder, name))
            for folder, _, names in os.walk(path) for name in names}


def key(number):
    return "c/%d/%d/%d" % (number // 9, number // 3 % 3, number % 3)


def serial(done={}):
    """The files that one thread writes."""
    if not done:
        path = fresh("serial.zarr")
        good(Threads(1).write(path))
        done.update(files(path))
    return done


def same_files(got, wanted):
    check(sorted(got) == sorted(wanted), "other files: %s", sorted(set(got) ^ set(wanted)))
    for name in wanted:
        check(got[name] == wanted[name], "%s: other bytes, %d for %d", name, len(got[name]), len(wanted[name]))


# ---- tests ---------------------------------------------------------------------------------------------------

def the_serial_one():
    path = fresh("values.zarr")
    said = good(Threads(1).write(path)).out.decode()
    check(path in said, "it said: %s", said)
    check(sorted(files(path)) == sorted([key(n) for n in range(27)] + ["zarr.json"]), "files: %s", sorted(files(path)))
    good(tool("verify", path))
    values = array.array("H", [(t * 7919 + y * 131 + x * 17) % 65536 for t in range(SHAPE[0]) for y in range(SHAPE[1])
                               for x in range(SHAPE[2])])
    if sys.byteorder == "big":
        values.byteswap()
    check(good(tool("export", path, "-")).out == values.tobytes(), "other values")


def same_as_serial(who):
    path = fresh("parallel.zarr")
    good(who.write(path))
    same_files(files(path), serial())
    good(tool("verify", path))


def told(result, who):
    """Its own lines on standard error, without how they begin; mpirun has some, too. In any order from ranks."""
    check(result.code == 1, "exit code 1 wanted: %s", result.describe())
    lines = result.err.splitlines()
    check(isinstance(who, Ranks) or all(line.startswith(who.says) for line in lines), "%s", result.describe())
    return [line[len(who.says):] for line in lines if line.startswith(who.says)]


def in_the_way(name, numbers):
    """An array with directories where shards have to go."""
    path = fresh(name)
    for number in numbers:
        os.makedirs(os.path.join(path, key(number)))
    return path


def failing_shards(who, bad):
    """Each error names its file and who met it; the others write all of theirs, and nothing is left half-written."""
    path, first = in_the_way("failing.zarr", bad), {}    # the shard at which a writer stops
    for number in bad:
        first.setdefault(number % who.count, number)
    lines = told(who.write(path), who)
    check(len(lines) == len(first), "%d errors wanted: %s", len(first), lines)
    for writer, number in first.items():
        mine = [line for line in lines if line.startswith("%s %d: " % (who.writer, writer))]
        check(len(mine) == 1 and os.path.join(path, key(number)) + ": " in mine[0], "%s %d: %s", who.writer, writer, lines)
    left = [key(number) for number in range(27) if number >= first.get(number % who.count, 27)]
    same_files(files(path), {name: data for name, data in serial().items() if name not in left})


def existing(who):
    """Nobody writes into an array that was there before."""
    path = fresh("existing.zarr")
    good(Threads(1).write(path))
    os.remove(os.path.join(path, key(5)))
    before = files(path)
    lines = told(who.write(path), who)
    check(len(lines) == 1 and path in lines[0] and "exists" in lines[0], "%s", lines)
    same_files(files(path), before)


def all_ranks_exit_alike(who):
    path = in_the_way("codes.zarr", [9])
    check(who.codes(path) == ["1"] * who.count, "one shard fails: %s", who.codes(path))
    check(who.codes(path) == ["1"] * who.count, "the array exists")
    check(who.codes(fresh("codes.zarr")) == ["0"] * who.count, "all is well")


def wrong_numbers():
    for number in ("0", "-1", "65", "x", ""):
        path = fresh("numbers.zarr")
        result = run(THREADS, path, number, limit=False)
        check(result.code == 2 and result.err == "threads: 1 to 64 threads\n", "%s", result.describe())
        check(not os.path.exists(path), "something was made")


def main():
    os.makedirs(TMP, exist_ok=True)
    counter = common.Counter()
    counter.test("the serial one", the_serial_one)
    counter.test("more threads than shards", same_as_serial, Threads(40))
    counter.test("wrong numbers of threads", wrong_numbers)
    for who in writers():
        counter.test("same as serial: " + who.name, same_as_serial, who)
        counter.test("one shard fails: " + who.name, failing_shards, who, [9])
        counter.test("two writers fail: " + who.name, failing_shards, who, [9, 14])
        counter.test("all writers fail: " + who.name, failing_shards, who, range(min(who.count, 27)))
        counter.test("existing: " + who.name, existing, who)
    for who in several_ranks():
        counter.test("all exit alike: " + who.name, all_ranks_exit_alike, who)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
