#!/usr/bin/env python3
"""What shardio.h costs on a small machine, as Markdown: code, constants, deepest stack and handles, by section of the
header and for each machine that there is a compiler for, at -Os; then how long compiling takes. `make size`.

Measured is core.c: what firmware takes, linked without anything that it does not refer to, and without any library:
what is missing then besides memcpy, memmove, memset and memcmp is an error. Stack is that of the deepest path of calls
(-fcallgraph-info), without what functions of the caller's take. Needs gcc 10 or later."""
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
HEADER = os.path.join(ROOT, "shardio.h")
FLAGS = ("-std=c99 -Os -g -ffreestanding -fbuiltin -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables "
         "-fno-pie -fno-stack-protector").split()
MEMORY_FUNCTIONS = ("memcpy", "memmove", "memset", "memcmp")
CORTEX_M4 = ["-mcpu=cortex-m4", "-mthumb"]
# Where a call through a pointer leads to, by what the line looks like that makes it: back into the header, or to
# functions of the caller's, of files, allocators, codecs and findings, which take stack of their own.
INDIRECT = [(r"\bvisit\(", ["shardio_p_pack_take_record", "shardio_p_pack_check_record"]),
            (r"[^>]\btake\(context", ["shardio_p_take_chunks"]),
            (r"(->|\.)\w+\(|\b(hint|set_direct)\(", [])]


def compilers():
    """Name, prefix of the tools, and flags of each machine that can be compiled for."""
    all_of_them = [("Cortex-M4", "arm-none-eabi-", CORTEX_M4),
                   ("x86-64", "x86_64-linux-gnu-", ["-fcf-protection=none"]),
                   ("aarch64", "aarch64-linux-gnu-", []), ("riscv64", "riscv64-linux-gnu-", [])]
    return [machine for machine in all_of_them if works(machine[1] + "gcc")]


def works(command):
    try:
        return subprocess.run([command, "--version"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def call(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True, **options).stdout


def header():
    with open(HEADER, encoding="utf-8") as file:
        return file.read().splitlines()


def sections():
    """First line and name of each section of the implementation."""
    found = [(number, match.group(1)) for number, line in enumerate(header(), 1)
             for match in [re.match(r"/\* >>(\w+) -{20}", line)] if match]
    return [(number, name) for number, name in found if not name.endswith("api")]


def reached(line):
    """The functions that the call through a pointer in this line of the header may lead to."""
    for pattern, names in INDIRECT:
        if re.search(pattern, line):
            return names
    raise ValueError("where does this call lead? See INDIRECT: " + line.strip())


def section_of(line, starts):
    return [name for number, name in starts if number <= line][-1]


class Program:
    """core.c, compiled and linked for one machine."""

    def __init__(self, directory, machine, pack):
        self.name, self.prefix, flags = machine
        self.object = os.path.join(directory, "%s-%d.o" % (self.name, pack))
        self.linked = os.path.splitext(self.object)[0] + ".elf"
        defines = ["-DFIRMWARE_PACK"] if pack else []
        call([self.prefix + "gcc"] + flags + FLAGS + defines +
             ["-fcallgraph-info=su", "-I" + ROOT, "-I" + HERE, "-c", os.path.join(HERE, "core.c"), "-o", self.object])
        # the packfile's 64-bit divisions are in the compiler's own library
        call([self.prefix + "gcc"] + flags +
             ["-nostdlib", "-static", "-no-pie", "-Wl,--gc-sections", "-Wl,-e,shardio_taken"] +
             ["-Wl,--defsym=%s=0" % name for name in MEMORY_FUNCTIONS] + [self.object, "-o", self.linked] +
             (["-lgcc"] if pack else []))
        self.measure(sections())
        self.read_calls(os.path.splitext(self.object)[0] + ".ci")

    def measure(self, starts):
        """Bytes by kind and section."""
        self.code, self.constants, self.data = {}, {}, 0
        total = {"code": 0, "constants": 0}
        for line in call([self.prefix + "size", "-A", self.linked]).splitlines():
            fields = line.split()
            if len(fields) != 3 or not fields[1].isdigit():
                continue
            if fields[0].startswith(".text"):
                total["code"] += int(fields[1])
            elif fields[0].startswith((".rodata", ".srodata", ".sdata")):   # riscv: small constants
                total["constants"] += int(fields[1])
            elif fields[0].startswith((".data", ".bss", ".sbss")):
                self.data += int(fields[1])
        for line in call([self.prefix + "nm", "-S", "-l", self.linked]).splitlines():
            match = re.match(r"[0-9a-f]+ ([0-9a-f]+) ([tTrR]) \S+\t.*shardio\.h:(\d+)$", line)
            if match:
                where = self.code if match.group(2) in "tT" else self.constants
                section = section_of(int(match.group(3)), starts)
                where[section] = where.get(section, 0) + int(match.group(1), 16)
        self.code["other"] = total["code"] - sum(self.code.values())   # alignment, the compiler's library
        self.constants["other"] = total["constants"] - sum(self.constants.values())   # texts have no names
        self.bytes = total["code"] + total["constants"]

    def read_calls(self, path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.frame, self.line, self.calls = {}, {}, {}
        for title, label in re.findall(r'^node: { title: "([^"]+)" label: "([^"]*)"', text, re.M):
            name = title.split(":")[-1]
            frame, line = re.search(r"(\d+) bytes \(([\w,]+)\)", label), re.search(r"shardio\.h:(\d+):", label)
            if frame is None:
                continue
            if frame.group(2) == "dynamic":
                raise ValueError("%s: a stack frame without a bound" % name)
            self.frame[name] = int(frame.group(1))
            self.line[name] = int(line.group(1)) if line else 0
        lines = header()
        edge = r'^edge: { sourcename: "([^"]+)" targetname: "([^"]+)"(?: label: "[^"]*:(\d+):\d+")?'
        for source, target, line in re.findall(edge, text, re.M):
            source, target = source.split(":")[-1], target.split(":")[-1]
            targets = reached(lines[int(line) - 1]) if target == "__indirect_call" else [target]
            self.calls.setdefault(source, set()).update(targets)

    def deepest(self, name, above=()):
        """Bytes and functions of the deepest path from this function."""
        if name in above:
            raise ValueError("recursion: " + " > ".join(above + (name,)))
        paths = [self.deepest(target, above + (name,)) for target in self.calls.get(name, ())]
        stack, path = max(paths, default=(0, []))
        return self.frame.get(name, 0) + stack, [name] + path

    def taken(self):
        """The functions that core.c asks for."""
        with open(os.path.join(HERE, "core.c"), encoding="utf-8") as file:
            names = re.findall(r"TAKE\((\w+)\)", file.read())
        return ["shardio_" + name for name in names if "shardio_" + name in self.frame]

    def stack(self):
        """Of each section, and of all ("total"): the deepest path from a function that is taken."""
        starts, result = sections(), {}
        for name in self.taken():
            depth = self.deepest(name)
            for key in (section_of(self.line[name], starts), "total"):
                result[key] = max(result.get(key, (0, [])), depth)
        return result

    def handles(self):
        symbols = call([self.prefix + "nm", "-S", self.object])
        return {name: int(size, 16) for size, name in
                re.findall(r"^[0-9a-f]+ ([0-9a-f]+) \w handle_(\w+)$", symbols, re.M)}


def print_program(program, what):
    stack = program.stack()
    order = [name for _, name in sections() if name in program.code or name in program.constants] + ["other"]
    print("\n%s, %s:\n\n| section | code | constants | deepest stack |\n|---|---:|---:|---:|" % (program.name, what))
    for name in order:
        print("| %s | %d | %d | %s |" % (name, program.code.get(name, 0), program.constants.get(name, 0),
                                         stack[name][0] if name in stack else ""))
    print("| together | %d | %d | %d |" %
          (sum(program.code.values()), sum(program.constants.values()), stack["total"][0]))
    print("\nCode and constants: %d bytes. Data of its own: %d. Deepest: %s." %
          (program.bytes, program.data, " > ".join(name.replace("shardio_", "") for name in stack["total"][1])))
    print("Handles: %s." % ", ".join("%s %d bytes" % item for item in sorted(program.handles().items())))


def seconds(command):
    """Of the processor, so that what else runs counts less."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call(command, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_compile_times(directory):
    print("\nSeconds of the processor to compile: nothing, and the declarations; then the implementation, of slot, index "
          "and\nshard only, and of all sections:\n\n"
          "| compiler | nothing | declarations | shard, -O2 | all, -O0 | all, -O1 | all, -O2 |\n"
          "|---|---:|---:|---:|---:|---:|---:|")
    sources = {"nothing": "", "declarations": '#include "shardio.h"\n',
               "all": '#define SHARDIO_IMPLEMENTATION\n#include "shardio.h"\n'}
    without = "".join("#define SHARDIO_NO_%s 1\n" % name for name in ("ZARR", "STORE", "PACK", "MIRROR"))
    sources["shard"] = without + sources["all"]
    for name, text in sources.items():
        with open(os.path.join(directory, name + ".c"), "w", encoding="utf-8") as file:
            file.write(text)
    for compiler in (os.environ.get("GCC") or "gcc", os.environ.get("CLANG") or "clang"):
        if not works(shlex.split(compiler)[0]):
            continue
        times = [seconds(shlex.split(compiler) + ["-std=c99", "-w", level, "-I" + ROOT, "-c",
                                                  os.path.join(directory, name + ".c"), "-o", os.devnull])
                 for name, level in (("nothing", "-O2"), ("declarations", "-O2"), ("shard", "-O2"), ("all", "-O0"),
                                     ("all", "-O1"), ("all", "-O2"))]
        print("| %s | %s |" % (compiler, " | ".join("%.2f" % time for time in times)))


def main():
    with tempfile.TemporaryDirectory() as directory:
        machines = compilers()
        if not machines:
            print("no cross compiler: make deps")
            return 1
        for machine in machines:
            print_program(Program(directory, machine, False), "slot, index and shard")
        print_program(Program(directory, machines[0], True), "packfiles as well")
        print_compile_times(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
