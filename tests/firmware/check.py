#!/usr/bin/env python3
"""Firmware on an emulated Cortex-M4: runs main.c there and on this machine and looks at the flash that it leaves, with
the tool and zarr-python; then the limits of what firmware takes. Needs arm-none-eabi-gcc and qemu-system-arm."""
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile

import size

ROOT, HERE = size.ROOT, size.HERE
BUILD = os.path.abspath(os.path.join(ROOT, os.environ.get("BUILD") or "build"))
VENV = os.path.abspath(os.path.join(ROOT, os.environ.get("VENV") or os.path.join(BUILD, "venv")))
TOOL = os.path.join(BUILD, "shardio")
EMULATOR = ["qemu-system-arm", "-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "none",
            "-semihosting-config", "enable=on,target=native", "-kernel"]
SECONDS = 60
MOST_BYTES, MOST_STACK = 8192, 512       # of the issue: code and constants; the deepest path of calls
PAGE, NAME, TABLE = 256, 24, 16          # as in examples/flash.h
CHUNKS, CHUNK, ITEMS, LARGEST_ITEM = 16, 1000, 100, 200   # as in main.c
GAPS = [9, 3, 15, 3, 0, 7, 9, 9, 12, 1]


def fill(count, seed):
    return bytes(((i + seed * 1000003) * 2654435761 & 0xFFFFFFFF) >> 24 for i in range(count))


def build(directory):
    """The program for both machines."""
    flags = size.CORTEX_M4 + size.FLAGS + ["-Wall", "-Wextra", "-Werror", "-I" + HERE, "-I" + ROOT]
    size.call(["arm-none-eabi-gcc"] + flags + [os.path.join(HERE, name) for name in ("main.c", "startup.c")] +
              ["-nostdlib", "-Wl,--gc-sections", "-Wl,--fatal-warnings", "-Wl,--no-warn-rwx-segments", "-T",
               os.path.join(HERE, "link.ld"), "-lgcc", "-o", os.path.join(directory, "firmware.elf")])
    size.call(shlex.split(os.environ.get("CC") or "cc") +
              ["-std=c99", "-O1", "-w", "-I" + ROOT, os.path.join(HERE, "main.c"), os.path.join(HERE, "host.c"), "-o",
               os.path.join(directory, "firmware")])


def run_both(directory):
    """What the program printed on the Cortex-M4, and the flash that it left there and here."""
    flashes = []
    for where, command in (("here", [os.path.join(directory, "firmware")]),
                           ("there", EMULATOR + [os.path.join(directory, "firmware.elf")])):
        folder = os.path.join(directory, where)
        os.mkdir(folder)
        done = subprocess.run(command, cwd=folder, timeout=SECONDS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, universal_newlines=True)
        if done.returncode != 0:
            raise AssertionError("%s: exit status %d\n%s" % (where, done.returncode, done.stdout))
        with open(os.path.join(folder, "flash.img"), "rb") as file:
            flashes.append(file.read())
    return done.stdout, flashes


def files_of(flash):
    """The files of a flash by their names: the newest entries of its table."""
    files = {}
    for at in range(0, TABLE * PAGE, PAGE):
        if flash[at] != 0xFF:
            first, count = struct.unpack_from("<II", flash, at + NAME)
            files[flash[at:at + NAME].rstrip(b"\0").decode()] = flash[first * PAGE:first * PAGE + count]
    return files


def tool(*arguments):
    return subprocess.run([TOOL] + list(arguments), check=True, timeout=SECONDS, stdout=subprocess.PIPE).stdout


def same_on_both(work, printed, files, flashes):
    assert flashes[0] == flashes[1], "the flash differs from that of the same program on this machine"
    assert sorted(files) == ["events", "gaps", "log", "samples"], sorted(files)


def log_is_right(work, printed, files, flashes):
    expected = b"".join(fill(64, i) for i in range(24)) + fill(100, 24)
    assert files["log"] == expected, "the log has other bytes"


def stack_is_small(work, printed, files, flashes):
    """What slot and shard really used, functions of the flash and of the test included."""
    used = dict(re.findall(r"^(.*): stack (\d+)$", printed, re.M))
    for name in ("write log", "read log", "write shard", "read shard"):
        assert 0 < int(used[name]) <= MOST_STACK, "%s: %s bytes of stack" % (name, used[name])


def array_of(work, shard):
    """An array with this shard, made by the tool of the same data; where it is and the tool's shard."""
    store, raw = os.path.join(work, "samples.zarr"), os.path.join(work, "samples.raw")
    with open(raw, "wb") as file:
        file.write(b"".join(fill(CHUNK, chunk) for chunk in range(CHUNKS)))
    shutil.rmtree(store, ignore_errors=True)
    tool("import", "--dtype", "uint8", "--shape", str(CHUNKS * CHUNK), "--chunks", str(CHUNK), "--shards",
         str(CHUNKS * CHUNK), raw, store)
    path = os.path.join(store, "c", "0")
    with open(path, "rb") as file:
        by_tool = file.read()
    with open(path, "wb") as file:
        file.write(shard)
    return store, by_tool


def shard_is_the_hosts(work, printed, files, flashes):
    store, by_tool = array_of(work, files["samples"])
    assert files["samples"] == by_tool, "the tool makes another shard of the same data"
    tool("verify", store)


def gaps_are_right(work, printed, files, flashes):
    shard = files["gaps"]
    entries = [struct.unpack_from("<QQ", shard, len(shard) - 16 * CHUNKS - 4 + 16 * chunk) for chunk in range(CHUNKS)]
    for chunk in GAPS:
        offset, length = entries[chunk]
        assert shard[offset:offset + length] == fill(chunk * 37 % CHUNK, chunk), "chunk %d has other bytes" % chunk
    missing = [chunk for chunk in range(CHUNKS) if entries[chunk] == (2 ** 64 - 1, 2 ** 64 - 1)]
    assert missing == [chunk for chunk in range(CHUNKS) if chunk not in GAPS], missing
    path = os.path.join(work, "gaps.shard")
    with open(path, "wb") as file:
        file.write(shard)
    tool("verify", "--chunks", str(CHUNKS), path)


def pack_is_right(work, printed, files, flashes):
    path = os.path.join(work, "events.pack")
    with open(path, "wb") as file:
        file.write(files["events"])
    tool("pack", "verify", path)
    items = b"".join(struct.pack("<I", item * 37 % LARGEST_ITEM) + fill(item * 37 % LARGEST_ITEM, item)
                     for item in range(ITEMS))
    assert tool("pack", "cat", path) == items, "other items"


def zarr_python_reads_it(work, printed, files, flashes):
    python = os.path.join(VENV, "bin", "python")
    if not os.path.exists(python):
        print("missing: zarr-python: make interop")
        return
    store, _ = array_of(work, files["samples"])
    script = "import sys, zarr; sys.stdout.buffer.write(zarr.open_array(sys.argv[1], mode='r')[:].tobytes())"
    read = subprocess.run([python, "-c", script, store], check=True, timeout=SECONDS, stdout=subprocess.PIPE).stdout
    assert read == b"".join(fill(CHUNK, chunk) for chunk in range(CHUNKS)), "other elements"


def limits(work, printed, files, flashes):
    """The library alone; that it links says that it needs four functions and no others."""
    program = size.Program(work, size.compilers()[0], False)
    assert program.name == "Cortex-M4", program.name
    assert program.bytes <= MOST_BYTES, "%d bytes of code and constants" % program.bytes
    assert program.data == 0, "%d bytes of data" % program.data
    stack, path = program.stack()["total"]
    assert stack <= MOST_STACK, "%d bytes of stack: %s" % (stack, " > ".join(path))


CHECKS = [same_on_both, log_is_right, stack_is_small, shard_is_the_hosts, gaps_are_right, pack_is_right,
          zarr_python_reads_it, limits]


def main():
    for command in ("arm-none-eabi-gcc", EMULATOR[0]):
        if not size.works(command):
            print("missing: Cortex-M4: no %s: make deps" % command)
            print("0 passed, 0 failed")
            return 0
    failed = 0
    folder = os.environ.get("TEST_TMP")
    with tempfile.TemporaryDirectory(dir=folder and os.path.abspath(folder)) as work:
        build(work)
        printed, flashes = run_both(work)
        files = files_of(flashes[1])
        for check in CHECKS:
            try:
                check(work, printed, files, flashes)
            except (AssertionError, KeyError, ValueError, subprocess.SubprocessError) as failure:
                failed += 1
                print("FAILED: %s: %s: %s" % (check.__name__, type(failure).__name__, failure))
    print(printed, end="")
    print("%d passed, %d failed" % (len(CHECKS) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
