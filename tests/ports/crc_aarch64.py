#!/usr/bin/env python3
"""tests/ports/crc_aarch64.py PROGRAM EMULATOR...: PROGRAM, a test for 64-bit ARM that knows nothing but shardio_crc32c,
computes CRC32C with the CPU's instruction. The emulator logs the code that it translates, which is what comes to be
executed: crc32cx is in it, and the table of bytes is not looked at."""
import os
import re
import subprocess
import sys
import tempfile

CRC32CX, MASK = 0x9AC05C00, 0xFFE0FC00   # crc32cx Wd, Wn, Xm
CODE = re.compile(r"^0x[0-9a-f]+:\s+([0-9a-f]{8})\b")
FUNCTION = re.compile(r"^IN: (\w+)")


def translated(command):
    """Of a run: how often there is a crc32cx in its code, its functions, and whether it went well."""
    with tempfile.TemporaryDirectory() as directory:
        log = os.path.join(directory, "log")
        code = subprocess.run(command[1:] + ["-d", "in_asm", "-D", log, command[0]], stdout=subprocess.DEVNULL).returncode
        with open(log, errors="replace") as file:
            lines = file.read().splitlines()
    words = [int(match.group(1), 16) for match in map(CODE.match, lines) if match]
    functions = {match.group(1) for match in map(FUNCTION.match, lines) if match}
    return sum(word & MASK == CRC32CX for word in words), functions, code == 0


def main():
    found, functions, went_well = translated(sys.argv[1:])
    checks = [("the program runs", went_well),
              ("shardio_crc32c comes to the instruction crc32cx", found > 0 and "shardio_crc32c" in functions),
              ("and not to the tables", "shardio_p_crc32c_tables" not in functions)]
    failed = [what for what, holds in checks if not holds]
    for what in failed:
        print("FAILED: " + what)
    print("crc32cx in the code that was translated: %d" % found)
    print("left out: a CPU without CRC32C: qemu has none; without the instructions runs test_checksum_small")
    print("%d passed, %d failed" % (len(checks) - len(failed), len(failed)))
    return len(failed) != 0


if __name__ == "__main__":
    sys.exit(main())
