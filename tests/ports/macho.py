#!/usr/bin/env python3
"""tests/ports/macho.py MACHINE PROGRAM...: each is a program for macOS on that machine (it cannot be run here)."""
import os
import struct
import sys

MACHINES = {"x86_64": 0x01000007, "arm64": 0x0100000C}
MAGIC, EXECUTE = 0xFEEDFACF, 2


def fault(program, machine):
    with open(program, "rb") as file:
        head = file.read(16)
    if len(head) < 16:
        return "too short"
    magic, cpu, _, kind = struct.unpack("<4I", head)
    if (magic, kind) != (MAGIC, EXECUTE):
        return "no program in the format of macOS"
    return None if cpu == MACHINES[machine] else "for another machine"


def main():
    failed = 0
    for program in sys.argv[2:]:
        why = fault(program, sys.argv[1])
        if why:
            failed += 1
            print("FAILED: %s: %s" % (os.path.basename(program), why))
    print("left out: running: there is no macOS here, programs are compiled and linked")
    print("%d passed, %d failed" % (len(sys.argv) - 2 - failed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
