#!/usr/bin/env python3
"""A soak: several programs write everything that shardio.h can write, at random, each with a reader beside it, on one
small disk that is nearly full; some are killed and go on; in the end everything is compared with what was promised.

    python3 tests/soak/run.py --program build/soak/soak --directory build/soak/run [--minutes 20] [--seed 1]

As root the disk is ext4 on a loop device, and a ballast takes and gives back the room on it; otherwise it is a
directory that never gets full, and that is said. Needs Python's standard library only.
"""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time

WRITERS = 3
DISK = 192 << 20
LONG = 5               # minutes after which everything has been met by chance, the largest piece of work as well
GROWTH = 4 << 20       # of a process: one buffer of the usual size
SAMPLE = 2.0           # seconds between two looks at the memory
ROOM = [0, 0, 200 << 10, 1 << 20, 4 << 20] + 7 * [None]    # that the ballast leaves, in bytes; None: all


class Disk:
    """A small file system, or a directory in its place."""

    def __init__(self, directory):
        self.image, self.path = directory + ".img", directory
        self.mounted = False
        os.makedirs(directory)
        if os.geteuid() != 0:
            self.why = "not root, so no loop device: the disk is never full"
            return
        with open(self.image, "wb") as file:
            file.truncate(DISK)
        for command in (["mkfs.ext4", "-q", "-m", "0", self.image], ["mount", "-o", "loop", self.image, directory]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                self.why = "%s: %s: the disk is never full" % (command[0], done.stderr.strip())
                return
        self.mounted, self.why = True, None

    def ballast(self, room):
        """Takes all but so much of the disk (None: nothing)."""
        with open(os.path.join(self.path, "ballast"), "ab") as file:
            if room is None:
                file.truncate(0)
                return
            facts = os.statvfs(self.path)
            size = os.fstat(file.fileno()).st_size + facts.f_bavail * facts.f_bsize - room
            if size <= 0:
                return
            try:
                file.truncate(min(size, os.fstat(file.fileno()).st_size))
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError:
                pass           # others were faster: it is full

    def end(self):
        if self.mounted:
            subprocess.run(["umount", self.path], check=True)
        if os.path.exists(self.image):
            os.remove(self.image)


class Process:
    """A writer or a reader, with the memory that it was seen to take."""

    def __init__(self, soak, role, number):
        self.soak, self.role, self.number = soak, role, number
        self.home = os.path.join(soak.disk.path, "writer%d" % number)
        self.model = os.path.join(soak.options.directory, "model%d" % number)
        self.samples = []
        os.makedirs(self.home, exist_ok=True)

    def name(self):
        return "%s %d" % ({"write": "writer", "read": "reader"}[self.role], self.number)

    def command(self, role, seed, seconds):
        return [self.soak.options.program, role, self.home, self.model, str(seed), "%.1f" % seconds]

    def start(self):
        # freed pieces that malloc keeps for each thread would count as taken
        environment = dict(os.environ, GLIBC_TUNABLES="glibc.malloc.tcache_count=0")
        left = max(self.soak.end - time.time(), 0)
        command = self.command(self.role, self.soak.random.getrandbits(40), left)
        self.process = subprocess.Popen(command, env=environment)

    def sample(self):
        try:
            with open("/proc/%d/status" % self.process.pid, encoding="ascii") as file:
                fields = dict(line.split(":", 1) for line in file)
            self.samples.append((time.time(), 1024 * int(fields["RssAnon"].split()[0])))
        except (OSError, KeyError):
            pass               # it has just ended

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def run(self, role):
        return subprocess.run(self.command(role, self.number, 0), capture_output=True, text=True)

    def most(self, begin, end):
        return max((memory for when, memory in self.samples if begin <= when < end), default=0)


class Soak:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        shutil.rmtree(options.directory, ignore_errors=True)
        os.makedirs(options.directory)
        self.disk = Disk(os.path.join(options.directory, "disk"))
        self.begin = time.time()
        self.end = self.begin + 60 * options.minutes
        self.writers = [Process(self, "write", i) for i in range(WRITERS)]
        self.all = self.writers + [Process(self, "read", i) for i in range(WRITERS)]
        self.kills, self.failures = 0, []

    def fail(self, text):
        print("FAILED: " + text, flush=True)
        self.failures.append(text)

    def run(self):
        for process in self.all:
            process.start()
        now = time.time()
        sample = ballast = now
        kill = now + 5
        while not self.failures and any(p.process.poll() is None for p in self.all):
            now = time.time()
            if now >= sample:
                sample = now + SAMPLE
                for process in self.all:
                    process.sample()
            if now >= ballast and self.disk.mounted:
                ballast = now + self.random.uniform(0.3, 3)
                self.disk.ballast(self.random.choice(ROOM) if now < self.end else None)
            if kill <= now < self.end - 2:
                kill = now + self.random.uniform(0.2, 4)
                self.kill_one()
            time.sleep(0.05)
            self.look()

    def kill_one(self):
        """The first writer is never killed, so that it is seen whether its memory grows."""
        victim = self.random.choice(self.writers[1:])
        if victim.process.poll() is None:
            victim.kill()
            self.kills += 1
            victim.start()

    def look(self):
        for process in self.all:
            if process.process.poll() not in (None, 0):
                self.fail("%s ended with %d" % (process.name(), process.process.returncode))

    def stop(self):
        for process in self.all:
            if hasattr(process, "process") and process.process.poll() is None:
                process.kill()

    def verify(self):
        """Compares everything, with room on the disk."""
        if self.disk.mounted:
            self.disk.ballast(None)
        for writer in self.writers:
            done = writer.run("verify")
            if done.returncode != 0:
                self.fail("%s: verification: %s" % (writer.name(), done.stderr.strip()))

    def check_memory(self):
        middle = (self.begin + self.end) / 2
        for process in self.all:
            first, second = process.most(self.begin, middle), process.most(middle, self.end)
            if self.options.minutes >= LONG and second > first + GROWTH:
                self.fail("%s: memory grew from %d to %d KiB" % (process.name(), first >> 10, second >> 10))

    def counts(self):
        """Sums of all writers: of deeds [done, no space], of what readers got, of other things."""
        deeds, readers, sums = {}, {}, {}
        for writer in self.writers:
            for line in writer.run("report").stdout.splitlines():
                kind, name, *numbers = line.split("\t")
                where = {"deed": deeds, "reader": readers, "sum": sums}[kind]
                where[name] = [a + int(b) for a, b in zip(where.get(name, [0] * len(numbers)), numbers)]
        return deeds, readers, {name: numbers[0] for name, numbers in sums.items()}

    def check_counts(self, deeds):
        for name, (done, _) in deeds.items():
            if done == 0 and self.options.minutes >= LONG:
                self.fail("%s: never done" % name)
        if self.disk.mounted and sum(full for _, full in deeds.values()) < self.options.minutes:
            self.fail("the disk was hardly ever full")

    def report(self, deeds, readers, sums):
        minutes = (time.time() - self.begin) / 60
        print("\n%.1f minutes, seed %d, %d writers and %d readers on %s.\n" % (
            minutes, self.options.seed, WRITERS, WRITERS,
            "a directory (%s)" % self.disk.why if self.disk.why else "ext4 of %d MiB on a loop device" % (DISK >> 20)))
        print("| work | done | met a full disk |\n|---|---:|---:|")
        for name, (done, full) in deeds.items():
            print("| %s | %d | %d |" % (name, done, full))
        print("\n| what | how much |\n|---|---:|")
        for name, value in (
                ("written", "%.1f GB" % (sums["written"] / 1e9)),
                ("compared by the writers, and in the end", "%.1f GB" % (sums["compared"] / 1e9)),
                ("compared by the readers", "%.1f GB in %d openings" % (sums["read"] / 1e9, sums["opened"])),
                ("killed by SIGKILL and gone on", self.kills),
                ("torn shards that were recovered", sums["mended"]),
                ("archives that were rolled back under a reader", sums["overtaken"])):
            print("| %s | %s |" % (name, value))
        print("| readers beside a writer got | %s |" % ", ".join("%s %d" % item for item in (
            (name, numbers[0]) for name, numbers in sorted(readers.items(), key=lambda item: -item[1][0]))))
        print("\n| process | most memory, first half, KiB | second half |\n|---|---:|---:|")
        middle = (self.begin + self.end) / 2
        for process in self.all:
            print("| %s%s | %d | %d |" % (process.name(), ", never killed" if process is self.writers[0] else "",
                                          process.most(self.begin, middle) >> 10, process.most(middle, self.end) >> 10))
        print("\n" + ("FAILED" if self.failures else "everything is as it was promised"), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--directory", required=True, help="emptied first; models and the disk's image go there")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    soak = Soak(parse())
    if soak.disk.why:
        print("left out: a full disk: " + soak.disk.why)
    try:
        try:
            soak.run()
        finally:
            soak.stop()
        if not soak.failures:
            soak.verify()
            soak.check_memory()
        counts = soak.counts()
        if not soak.failures:
            soak.check_counts(counts[0])
        soak.report(*counts)
    finally:
        soak.disk.end()
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
