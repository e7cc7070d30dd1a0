#!/usr/bin/env python3
"""tests/windows/tool.py PROGRAM WINE...: the tool as a Windows program: an array goes in and comes back byte for byte."""
import os
import shutil
import subprocess
import sys

SOURCE = "examples/data/mri4d.npy"
failed = []


def check(what, fine):
    if not fine:
        failed.append(what)
        print("FAILED: " + what)


def tool(*arguments):
    process = subprocess.run(sys.argv[2:] + [sys.argv[1]] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             stdin=subprocess.DEVNULL)
    if process.returncode != 0:
        print(process.stdout.decode("utf-8", "replace"))
    return process.returncode == 0, process.stdout


def same(one, other):
    with open(one, "rb") as a, open(other, "rb") as b:
        return a.read() == b.read()


def main():
    directory = os.environ.get("TEST_TMP") or "build/tmp"
    os.makedirs(directory, exist_ok=True)
    array, back = os.path.join(directory, "a.zarr"), os.path.join(directory, "back.npy")
    check("import", tool("import", "--chunks", "1,8,48,64", "--shards", "1,24,96,128", "--names", "t,z,y,x", SOURCE, array)[0])
    check("verify", tool("verify", array)[0])
    check("export", tool("export", "--format", "npy", array, back)[0] and same(SOURCE, back))
    fine, out = tool("export", "--format", "npy", array, "-")
    with open(SOURCE, "rb") as file:
        check("export to standard output", fine and out == file.read())
    name = os.path.join(directory, "Größe \u65e5\u672c")       # in no code page all of it
    shutil.copy(SOURCE, name + ".npy")
    check("a name in other letters: import", tool("import", "--names", "t,z,y,x", name + ".npy", name + ".zarr")[0])
    check("it is that name", os.path.exists(name + ".zarr/zarr.json"))
    check("and back", tool("export", name + ".zarr", back, "--format", "npy", "--force")[0] and same(SOURCE, back))
    print("%d passed, %d failed" % (7 - len(failed), len(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
