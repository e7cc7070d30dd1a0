#!/usr/bin/env python3
"""The tool is killed at random moments, 200 times in all, in every job that writes: afterwards what was there before is
there, what is half done is recognised, and the job, done again or gone on with, comes to its end. Needs Python's
standard library only. A word as argument: only the jobs whose names contain it.
"""
import os
import random
import shutil
import struct
import subprocess
import sys
import time

import common
from common import TMP, TOOL, check, good, tool

FOLDER = os.path.join(TMP, "kill")
KILLS = 200
HEIGHT = WIDTH = 32
FRAME = HEIGHT * WIDTH * 2
RAW = ("--shape", "0,%d,%d" % (HEIGHT, WIDTH), "--dtype", "uint16", "--chunks", "4,16,32", "--shards", "16,32,32",
       "--chunk-crc", "--buffer", "64K", "--quiet")
MORE = ("--append", "--buffer", "64K", "--quiet")
RANDOM = random.Random(20)


def frames(first, count, version=0):
    """The bytes of frames, another for each number and version."""
    return b"".join(random.Random(number * 100 + version).randbytes(FRAME) for number in range(first, first + count))


OLD = frames(0, 40)
NEW = frames(40, 80)
OVER = frames(8, 24, 1)
ITEMS = b"".join(struct.pack("<I", n % 700) + random.Random(n).randbytes(n % 700) for n in range(3000))


def path(name):
    return os.path.join(FOLDER, name)


def put(name, data):
    with open(path(name), "wb") as file:
        file.write(data)
    return path(name)


def contents(store, *options):
    return good(tool("export", "--format", "raw", "--quiet", *options, store, "-")).out


def mend(store, archive):
    """What a lost writer left is mended, and then nothing is wrong."""
    good(tool("recover", "--apply", *([] if archive else ["--remove-temporary", "--remove-outside"]), "--quiet", store))


def verify(store):
    good(tool("verify", "--quiet", store))


class Job:
    """begin() makes what is there before, once; command() is what is killed, beside a copy of that; after() looks at
    it. `input`: its standard input."""
    input = b""

    def __init__(self, archive=False):
        self.archive = archive
        self.store = path("now/s.zip" if archive else "now/s")

    def name(self):
        return type(self).__name__ + (" in an archive" if self.archive else "")

    def begin(self):
        pass

    def start(self, *arguments):
        good(tool("import", *RAW, *arguments, put("old.raw", OLD), self.store))


class Import(Job):
    def command(self):
        return ["import", *RAW, "--checkpoint", "16", put("all.raw", OLD + NEW), self.store]

    def after(self):
        if not os.path.exists(self.store if self.archive else os.path.join(self.store, "zarr.json")):
            good(tool(*self.command(), "--force"))             # shards without an array may be left
        mend(self.store, self.archive)
        there = contents(self.store)
        check((OLD + NEW).startswith(there) and len(there) % FRAME == 0, "%d bytes that are no beginning", len(there))
        if len(there) < len(OLD + NEW):
            good(tool("import", *MORE, put("rest.raw", (OLD + NEW)[len(there):]), self.store))
        verify(self.store)
        check(contents(self.store) == OLD + NEW, "what was appended then is not there")


class Append(Import):
    def begin(self):
        self.start()

    def command(self):
        return ["import", *MORE, "--checkpoint", "10", put("new.raw", NEW), self.store]

    def after(self):
        mend(self.store, self.archive)
        check(contents(self.store).startswith(OLD), "what was there before is not there")
        super().after()


class Write(Job):
    def begin(self):
        self.start()

    def command(self):
        return ["write", "--region", "8:32,:,:", "--quiet", put("over.raw", OVER), self.store]

    def after(self):
        mend(self.store, self.archive)
        there = contents(self.store)
        check(there[:8 * FRAME] + there[32 * FRAME:] == OLD[:8 * FRAME] + OLD[32 * FRAME:], "what was not written over")
        half = FRAME // 2                                  # a chunk has halves of four frames
        for at in range(8 * FRAME, 32 * FRAME, half):
            check(there[at:at + half] in (OLD[at:at + half], OVER[at - 8 * FRAME:at - 8 * FRAME + half]),
                  "neither old nor new at byte %d", at)
        check(not self.archive or there in (OLD, OLD[:8 * FRAME] + OVER + OLD[32 * FRAME:]), "half of a commit")
        good(tool(*self.command()))
        verify(self.store)
        check(contents(self.store) == OLD[:8 * FRAME] + OVER + OLD[32 * FRAME:], "what was written then is not there")


class Compact(Job):
    def begin(self):
        self.start()
        for _ in range(2):
            good(tool("write", "--region", "8:32,:,:", "--quiet", put("over.raw", OVER), self.store))

    def command(self):
        return ["compact", "--apply", "--quiet", self.store]

    def after(self):
        want = OLD[:8 * FRAME] + OVER + OLD[32 * FRAME:]
        check(contents(self.store) == want, "the contents are not there")
        mend(self.store, self.archive)
        good(tool(*self.command()))
        verify(self.store)
        check(contents(self.store) == want, "the contents are not there any more")


class Resize(Job):
    def begin(self):
        self.start()

    def command(self):
        return ["resize", "--quiet", self.store, "5,%d,%d" % (HEIGHT, WIDTH)]

    def after(self):
        mend(self.store, self.archive)
        check(contents(self.store) in (OLD, OLD[:5 * FRAME]), "neither as it was nor cut")
        good(tool(*self.command()))
        verify(self.store)
        check(contents(self.store) == OLD[:5 * FRAME], "not cut")


class Remove(Job):
    def begin(self):
        self.start("--path", "kept")
        self.start("--path", "gone")

    def command(self):
        return ["rm", "--yes", "--quiet", self.store, "gone"]

    def after(self):
        mend(self.store, self.archive)
        check(contents(self.store, "--path", "kept") == OLD, "another array is not there")
        again = tool(*self.command())
        check(again.code in (0, 1), "%s", again.describe())
        check(tool("export", "--path", "gone", "--quiet", self.store, "-").code == 1, "it was not removed")
        check(contents(self.store, "--path", "kept") == OLD, "another array is not there any more")
        self.start("--path", "gone", "--force")            # chunks without an array may be left
        verify(self.store)


class Rename(Job):
    def begin(self):
        self.start("--path", "one")

    def command(self):
        return ["mv", "--quiet", self.store, "one", "two"]

    def after(self):
        mend(self.store, self.archive)
        there = [name for name in ("one", "two") if tool("export", "--path", name, self.store, "-").code == 0]
        check(len(there) == 1, "there under %d names", len(there))
        check(contents(self.store, "--path", there[0]) == OLD, "its contents are not there")
        if there == ["one"]:
            good(tool(*self.command()))
        verify(self.store)
        check(contents(self.store, "--path", "two") == OLD, "its contents are not there any more")


class Attributes(Job):
    def begin(self):
        self.start()
        good(tool("attrs", "--quiet", self.store, "a=1"))

    def command(self):
        return ["attrs", "--quiet", self.store, "a=2", "b=" + "x" * 20000]

    def after(self):
        check(good(tool("attrs", self.store, "a")).out.strip() in (b".=1", b".=2"), "neither old nor new")
        good(tool(*self.command()))
        mend(self.store, self.archive)
        check(good(tool("attrs", self.store, "a")).out.strip() == b".=2", "not set")
        verify(self.store)
        check(contents(self.store) == OLD, "the contents are not there")


class Rollback(Job):
    def begin(self):
        self.start()
        good(tool("import", *MORE, put("new.raw", NEW), self.store))

    def command(self):
        return ["rollback", "--apply", "--quiet", self.store, "1"]

    def after(self):
        check(contents(self.store) in (OLD, OLD + NEW), "neither layer is there")
        good(tool(*self.command()))
        verify(self.store)
        check(contents(self.store) == OLD, "the layer is not there")


class Pack(Job):
    input = ITEMS

    def begin(self):
        self.store = path("now/items.pack")
        good(tool("pack", "create", "--quiet", self.store, data=ITEMS[:4]))

    def command(self):
        return ["pack", "create", "--content-hash", "--force", "--quiet", self.store]

    def after(self):
        good(tool("pack", "verify", "--quiet", self.store))
        check(good(tool("pack", "cat", self.store)).out in (ITEMS[:4], ITEMS), "neither the old nor the new one")
        good(tool(*self.command(), data=ITEMS))
        good(tool("pack", "verify", "--quiet", self.store))
        check(good(tool("pack", "cat", self.store)).out == ITEMS, "other items")


class Fill(Job):
    def begin(self):
        self.store = path("now/local")
        put("source", OLD + NEW)

    def command(self):
        return ["mirror", "fill", "--chunk", "4K", "--quiet", path("source"), self.store]

    def after(self):
        read = ["mirror", "read", "--quiet", "--chunk", "4K", path("source"), self.store]
        check(good(tool(*read, "--range", "70000:150000")).out == (OLD + NEW)[70000:150000], "other bytes")
        good(tool("mirror", "fill", "--chunk", "4K", "--quiet", path("source"), self.store))
        check(good(tool(*read)).out == OLD + NEW, "other bytes when it is full")


class Evict(Fill):
    def begin(self):
        super().begin()
        good(tool(*super().command()))

    def command(self):
        return ["mirror", "evict", "--range", "50000:200000", "--quiet", self.store]


def jobs():
    for kind in (Import, Append, Write, Compact, Resize, Remove, Rename, Attributes):
        yield kind()
        yield kind(archive=True)
    yield Rollback(archive=True)
    yield from (Pack(), Fill(), Evict())


def prepare(job):
    shutil.rmtree(path("now"), ignore_errors=True)
    os.makedirs(path("now"))
    job.begin()
    shutil.rmtree(path("before"), ignore_errors=True)
    shutil.copytree(path("now"), path("before"))


def restore():
    shutil.rmtree(path("now"))
    shutil.copytree(path("before"), path("now"))


def run_and_kill(job, seconds):
    """Seconds that it took, and whether it was killed. Its input is a file: a pipe would be waited for."""
    with open(put("input", job.input), "rb") as file:
        begin = time.monotonic()
        process = subprocess.Popen([TOOL] + job.command(), stdin=file, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        text = process.communicate()[1].decode("utf-8", "replace")
    check(process.returncode in (0, -9), "exit code %d: %s", process.returncode, text)
    return time.monotonic() - begin, process.returncode == -9


def killed(job, kills):
    prepare(job)
    usual = max(run_and_kill(job, None)[0], 0.002)
    done = tries = 0
    while done < kills:
        tries += 1
        check(tries <= 8 * kills + 8, "ended before it was killed %d times of %d", tries - done, tries)
        restore()
        seconds, was_killed = run_and_kill(job, RANDOM.uniform(0, usual))
        done += was_killed
        usual = seconds if not was_killed else usual       # the machine may be busier, or less, by now
        if was_killed:
            job.after()


def main():
    os.makedirs(FOLDER, exist_ok=True)
    counter = common.Counter()
    every = list(jobs())
    for number, job in enumerate(every):
        kills = KILLS * (number + 1) // len(every) - KILLS * number // len(every)
        counter.test("killed: " + job.name(), killed, job, kills)
    shutil.rmtree(FOLDER)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
