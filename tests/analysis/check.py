#!/usr/bin/env python3
"""What gcc, clang, cppcheck and clang-tidy find in shardio.h without running it.

    check.py [-DOPTION...] [HEADER]

Options are given to all of them, beside SHARDIO_IMPLEMENTATION. What is known to be wrong or harmless is in
tests/analysis/known with a reason, by tool, check and function; everything else is a failure, and so is an entry for a
function that the header no longer has. One test for each tool."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUT = os.path.join(os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build"))), "analysis")
MESSAGE = re.compile(r"^\S+?:(\d+):(?:\d+:)? (?:fatal error|error|warning|performance|portability): (.*?)(?: \[([^\]]*)\])?$")
FUNCTION = re.compile(r"^((?:static |SHARDIO_)[^;{}=#]*?\(?\b(shardio_\w+)\)?\([^;{}]*\))\n\{", re.M)


def program(name):
    """make's GCC and CLANG, and the like for the others, may say another one."""
    return os.environ.get(name.upper().replace("-", "_"), name)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def apart(source):
    """The header with calls that lead nowhere: each function is declared, and defined under another name.

    gcc follows each call into the function, and through all of the header there are so many ways that it gives up after
    a small part of them. So each function is looked at by itself, whatever those do that it calls; that memory of an
    allocator has to be released, and once, is said by an attribute."""
    owned = {"shardio_p_allocate": " __attribute__((malloc, malloc(shardio_p_release, 2)))"}
    release = "void shardio_p_release(const shardio_allocator *, void *, size_t, size_t);\n"

    def split(match):
        head, name = match.groups()
        declared = re.sub(r"^(static )?SHARDIO_P_\w+ |^static (inline )?", "", head) + owned.get(name, "") + ";\n"
        own = re.sub(r"\(?\b%s\)?(?=\()" % name, "alone_" + name, head, count=1)
        line = source.count("\n", 0, match.start()) + 1
        return (release if name in owned else "") + declared + "#line %d\n%s\n{" % (line, own)

    text = re.sub(r"^static (inline )?", "", FUNCTION.sub(split, source), flags=re.M)
    return '#define SHARDIO_IMPLEMENTATION\n#line 1 "shardio.h"\n' + text


def gcc(header, options):
    """Of the CPU's instructions it does not know what they do, and they have to be inlined."""
    path = os.path.join(OUT, "apart.c")
    with open(path, "w", encoding="utf-8") as file:
        file.write(apart(read(header)))
    return [program("gcc"), "-std=c99", "-fanalyzer", "-fdiagnostics-path-format=none", "-DSHARDIO_NO_HARDWARE",
            # more ways through one place, and through all: with the usual numbers it gives up 58 times
            "--param=analyzer-max-enodes-per-program-point=64", "--param=analyzer-bb-explosion-factor=20",
            *options, "-c", path, "-o", os.devnull]


def clang(header, options):
    """It follows calls, and of each function so many ways: a tenth of the usual, which takes minutes. Which those are
    differs a little from machine to machine, so `known` also has what it finds with a few more of them, or fewer."""
    return [program("clang"), "--analyze", "--analyzer-output", "text", "-Xclang", "-analyzer-config", "-Xclang",
            "max-nodes=20000", "-x", "c", "-std=c99", "-DSHARDIO_IMPLEMENTATION", *options, header]


def cppcheck(header, options):
    """Without its checks of style; one configuration, as the compilers see it here."""
    machine = ["-D__linux__=1", "-D__x86_64__=1", "-D__SSE2__=1", "-D__GNUC__=12"]
    return [program("cppcheck"), "--quiet", "--std=c99", "--language=c", "--platform=unix64", "--library=posix",
            "--enable=warning,performance,portability", "-DSHARDIO_IMPLEMENTATION=1", *machine, *options, header]


def clang_tidy(header, options):
    """The checks are in tests/analysis/checks."""
    checks = [line.split()[0] for line in read(os.path.join(HERE, "checks")).splitlines() if line and line[0] not in "# "]
    return [program("clang-tidy"), "--quiet", "--checks=-*," + ",".join(checks), header, "--", "-x", "c", "-std=c99",
            "-DSHARDIO_IMPLEMENTATION", *options]


TOOLS = {"gcc": gcc, "clang": clang, "cppcheck": cppcheck, "clang-tidy": clang_tidy}


def known():
    """(tool, check, function) of what is left alone."""
    rows = [line for line in read(os.path.join(HERE, "known")).splitlines() if line and line[0] not in "# "]
    return {tuple(row.partition(":")[0].split()) for row in rows}


def functions(source):
    """The name of the function that each line of the header lies in, or "-"."""
    names, lines = [], source.splitlines()
    begins = {source.count("\n", 0, match.start()) + 1: match.group(2) for match in FUNCTION.finditer(source)}
    name = "-"
    for number, line in enumerate(lines, 1):
        name = begins.get(number, name)
        names.append(name)
        if line == "}":
            name = "-"
    return names


def findings(output, names):
    """(check, function) and line of text of each message."""
    for line in output.splitlines():
        match = MESSAGE.match(line)
        if match:
            check = (match.group(3) or "error").split(",")[0]
            number = int(match.group(1))
            yield (check, names[number - 1] if number <= len(names) else "-"), line


def run(tool, header, options, names):
    """What it found, and what it printed if it did not work."""
    done = subprocess.run(TOOLS[tool](header, options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=OUT,
                          encoding="utf-8", errors="replace")
    found = dict(findings(done.stdout, names))
    return found, done.stdout if done.returncode != 0 and not found else ""


def judge(tool, found, trouble, leave, names):
    """Prints what is wrong; True if there is nothing."""
    wrong = [line for key, line in sorted(found.items(), key=lambda one: one[1]) if (tool, *key) not in leave]
    quiet = sorted(entry for entry in leave if entry[0] == tool and entry[1:] not in found)
    stale = [entry for entry in quiet if entry[2] not in names]
    for line in wrong + trouble.splitlines():
        print("%s: %s" % (tool, line))
    for entry in quiet:    # how far a tool gets hangs on its version and, with clang, on the machine
        print("%s: %s, though in tests/analysis/known: %s" % (
            tool, "of no function any more" if entry in stale else "not found this time", " ".join(entry[1:])))
    return not wrong and not trouble and not stale


def main():
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    header = ([word for word in sys.argv[1:] if not word.startswith("-")] or [os.path.join(ROOT, "shardio.h")])[0]
    header = os.path.abspath(header)
    os.makedirs(OUT, exist_ok=True)
    names, leave, passed, failed = functions(read(header)), known(), 0, 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        begun = {}
        for tool in ("clang", "cppcheck", "clang-tidy", "gcc"):    # the longest first
            if shutil.which(program(tool)):
                begun[tool] = pool.submit(run, tool, header, options, names)
            else:
                print("missing: %s: not installed: make deps" % tool)
        for tool, one in begun.items():
            good = judge(tool, *one.result(), leave, names)
            passed, failed = passed + good, failed + (not good)
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
