#!/usr/bin/env python3
"""Compiles shardio.h in every way that users do; each way is one test. A word as argument runs only the tests whose
names contain it. Compilers: CC, GCC, CLANG, CXX, CLANGXX, MINGW, MINGWXX, flags for 32 bits in
M32; all files go below BUILD.

The header is long, so nothing is optimized that need not be: clang says all it has to say without making code, gcc says
more when it makes code (functions that are not used) and more again when it optimizes, which it does once for each
language and machine, with all adapters, where there are any."""
import concurrent.futures
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("BUILD") or "build"

WARNINGS = ("-Werror -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-align -Wundef -Wcast-qual "
            "-Wwrite-strings -Wpointer-arith -Wvla").split()
C_WARNINGS = WARNINGS + ["-Wstrict-prototypes", "-Wmissing-prototypes"]
OPTIONS = ["SHARDIO_NO_OS", "SHARDIO_NO_SHARD", "SHARDIO_NO_ZARR", "SHARDIO_NO_STORE", "SHARDIO_NO_PACK", "SHARDIO_NO_MIRROR",
           "SHARDIO_NO_HARDWARE", "SHARDIO_SMALL"]
OPTION_SETS = [[o] for o in OPTIONS] + [["SHARDIO_NO_OS", "SHARDIO_NO_SHARD"], ["SHARDIO_NO_OS", "SHARDIO_NO_STORE"],
                                        OPTIONS]
ADAPTERS = {"SHARDIO_WITH_ZSTD": "zstd.h", "SHARDIO_WITH_ZLIB": "zlib.h", "SHARDIO_WITH_BLOSC": "blosc.h",
            "SHARDIO_WITH_LZ4": "lz4.h"}
PLAIN = ["-fno-pic"]        # constants with addresses are not variables then
OPTIMIZED = PLAIN + ["-O2"]
INCLUDE = '#include "shardio.h"\n'
IMPLEMENT = "#define SHARDIO_IMPLEMENTATION\n" + INCLUDE
FREESTANDING = {"memcpy", "memmove", "memset", "memcmp", "bcmp", "memchr", "strlen", "strcmp", "strncmp", "strchr", "strstr"}
NUMBERS = {"snprintf", "strtod", "strtof"}      # for zarr.json
# printing, ending the program, and what a library without hidden state does not call
UNWANTED = {"printf", "fprintf", "puts", "putchar", "fputs", "fwrite", "vfprintf", "perror", "exit", "_exit", "abort",
            "__assert_fail", "setlocale", "signal", "sigaction", "atexit", "pthread_create", "pthread_mutex_lock",
            "__printf_chk", "__fprintf_chk", "sprintf", "system", "popen"}


class Failed(Exception):
    pass


class Compiler:
    def __init__(self, word, command, plus):
        self.word, self.command, self.plus = word, shlex.split(command), plus
        self.clang = "clang" in self.ask("--version").lower()
        self.made, self.locks = {}, {}

    def ask(self, *flags):
        try:
            return subprocess.run(self.command + list(flags), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  universal_newlines=True, cwd=ROOT).stdout
        except OSError:
            return ""

    def works(self, *flags, header="stdio.h"):
        try:
            return subprocess.run(self.command + ["-x", "c++" if self.plus else "c", "-", "-o", os.devnull] + list(flags),
                                  input="#include <%s>\nint main(void) { return 0; }\n" % header, universal_newlines=True,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        except OSError:
            return False

    def compile(self, directory, standard, sources, *flags, syntax=False):
        """Compiles the texts `sources` (name without ending: text); silence is success. Paths of the objects."""
        objects = []
        for name, text in sources.items():
            source = os.path.join(directory, name + (".cc" if self.plus else ".c"))
            with open(source, "w") as file:
                file.write(text)
            objects.append(os.path.join(directory, name + ".o"))
            warnings = list(WARNINGS if self.plus else C_WARNINGS)
            if self.clang:
                warnings += ["-Wreserved-identifier", "-Wno-unknown-warning-option"]
            else:
                warnings += ["-Wlogical-op", "-Wcast-align=strict"]
            if self.plus:
                warnings += ["-Wmissing-declarations"]
            how = ["-fsyntax-only"] if syntax else ["-c", "-o", objects[-1]]
            execute(self.command + ["-std=" + standard, "-I."] + warnings + list(flags) + how + [source])
        return objects

    def implementation(self, directory, standard, *flags):
        """The object of the implementation, made in the `directory` of the first test that wants it."""
        wanted = (standard, flags)
        with self.locks.setdefault(wanted, threading.Lock()):
            if wanted not in self.made:
                self.made[wanted] = self.compile(directory, standard, {"implementation": IMPLEMENT}, *flags)[0]
            return self.made[wanted]

    def link(self, program, objects, *flags):
        execute(self.command + list(flags) + ["-o", program] + objects)
        return execute([os.path.abspath(program)])


def execute(command, silent=True):
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, cwd=ROOT)
    if process.returncode != 0 or (silent and process.stderr):
        text = process.stderr.strip().splitlines()
        raise Failed(" ".join(command) + "\n" + "\n".join(text[:12]) + "\nexit code %d" % process.returncode)
    return process.stdout


# ---- the tests: a list of (name, function of a directory) --------------------------------------------------------

TESTS = []


def test(name, function):
    TESTS.append((name, function))


def adapters_of(compiler, flags):
    return ["-D" + name for name, header in ADAPTERS.items() if compiler.works(*flags, header=header)]


def silent_tests(compiler, standards, machine, flags):
    """Nothing to say about the header, however it is included."""
    def add(name, standard, text, *more, syntax=False):
        test("%s%s -std=%s%s" % (compiler.word, machine, standard, name), lambda directory:
             compiler.compile(directory, standard, {"one": text}, *(flags + list(more)), syntax=syntax))

    def made(name, *more):
        test("%s%s -std=%s%s" % (compiler.word, machine, first, name), lambda directory:
             compiler.implementation(directory, first, *(flags + list(more))))
    first = standards[0]
    static = "#define SHARDIO_STATIC\n"
    syntax_says_all = compiler.clang or compiler.plus       # what g++ says when it makes code, gcc says as well
    add(": declarations", first, INCLUDE + "int other(void);\n", "-O2", syntax=True)
    if syntax_says_all:
        add(": implementation", first, IMPLEMENT, syntax=True)
    else:
        made(": implementation", *PLAIN)
    add(": static", first, static + IMPLEMENT, syntax=syntax_says_all)
    for standard in standards[1:]:
        add(": declarations", standard, INCLUDE + "int other(void);\n", syntax=True)
        add(": implementation", standard, IMPLEMENT, syntax=True)
    adapters = adapters_of(compiler, flags)
    for define in adapters:
        add(": " + define[2:], first, IMPLEMENT, define, syntax=syntax_says_all)
    add(": all adapters: declarations", first, INCLUDE + "int other(void);\n", *adapters, syntax=True)
    if compiler.clang:
        add(": all adapters: implementation", first, IMPLEMENT, *adapters, syntax=True)
    elif machine:
        made(": all adapters: implementation", "-O2", *adapters)
    else:
        made(": all adapters: implementation", *OPTIMIZED, *adapters)
        if not compiler.plus:
            made(" -O3: all adapters: implementation", "-O3", *adapters)
    add(": all adapters: static", first, static + IMPLEMENT, *adapters, syntax=syntax_says_all)
    if compiler.works(*flags, header="curl/curl.h"):
        add(": the source on HTTP", first, INCLUDE + '#include "examples/http_source.h"\nint other(void);\n', "-O2", syntax=True)
    if machine:
        add(": SHARDIO_NO_OS", first, IMPLEMENT, "-DSHARDIO_NO_OS", syntax=syntax_says_all)
        return
    for name, header in ADAPTERS.items():
        if "-D" + name not in adapters:
            print("left out: %s: %s: no %s" % (compiler.word, name, header))
    add(": twice", first, IMPLEMENT + INCLUDE + INCLUDE, syntax=True)
    for options in OPTION_SETS:
        defines = ["-D" + o for o in options]
        add(": " + " ".join(options), first, IMPLEMENT, *defines, syntax=syntax_says_all)
        add(": static " + " ".join(options), first, static + IMPLEMENT, *defines, syntax=True)


def windows_tests(compiler, standard):
    """The same for Windows, as far as the system makes a difference."""
    if "mingw" not in compiler.ask("-dumpmachine"):
        print("missing: %s: make deps" % compiler.word)
        return
    for name, text, flags, syntax in (("declarations", INCLUDE + "int other(void);\n", [], True),
                                      ("implementation", IMPLEMENT, ["-O2"], compiler.plus),
                                      ("static", "#define SHARDIO_STATIC\n" + IMPLEMENT, [], compiler.plus)):
        test("%s -std=%s: %s" % (compiler.word, standard, name), lambda directory, text=text, flags=flags, syntax=syntax:
             compiler.compile(directory, standard, {"one": text}, *flags, syntax=syntax))


def two_files(compiler, standard, static):
    """Two files that both use the header, linked together."""
    define = "#define SHARDIO_STATIC\n" if static else ""
    one = define + (IMPLEMENT if static else INCLUDE) + \
        "int other(void);\nint main(void) { return other() != shardio_version(); }\n"
    two = define + (IMPLEMENT if static else INCLUDE) + \
        "int other(void);\nint other(void) { return shardio_version() == SHARDIO_VERSION_NUMBER ? shardio_version() : 1; }\n"

    def run(directory):
        objects = compiler.compile(directory, standard, {"one": one, "two": two})
        if not static:
            objects.append(compiler.implementation(directory, standard, *PLAIN))
        compiler.link(os.path.join(directory, "program"), objects, "-no-pie")
    return run


def c_and_cxx(c, cxx):
    """The implementation compiled as C, used from C++."""
    def run(directory):
        objects = [c.implementation(directory, "c99", *PLAIN)]
        objects += cxx.compile(directory, "c++11", {"two": INCLUDE + "int main() {\n"
                               "    shardio_array_options o = {};\n    shardio_memory_plan plan;\n"
                               "    return shardio_version() != SHARDIO_VERSION_NUMBER ||\n"
                               "           shardio_array_memory(&o, 0, &plan, nullptr) != SHARDIO_ERR_ARGUMENT;\n}\n"})
        cxx.link(os.path.join(directory, "program"), objects, "-no-pie")
    return run


def symbols(compiler, standard, flags, check):
    def run(directory):
        made = compiler.implementation(directory, standard, *flags)
        rows = [line.split() for line in execute(["nm", made]).splitlines()]
        check([(row[-2], row[-1]) for row in rows])
    return run


def public_names(rows):
    wrong = [name for kind, name in rows if kind.isupper() and kind not in "U" and not name.startswith("shardio_")]
    private = [name for kind, name in rows if kind.isupper() and kind not in "U" and name.startswith("shardio_p_")]
    if wrong or private:
        raise Failed("visible: " + " ".join(wrong + private))
    if not any(kind == "T" for kind, name in rows):
        raise Failed("no function at all")


def no_globals(rows):
    wrong = [name for kind, name in rows if kind in "bBdDCsSgG"]
    if wrong:
        raise Failed("variables: " + " ".join(wrong))


def calls(allowed=None, unwanted=()):
    def check(rows):
        names = {re.sub(r"@.*", "", name) for kind, name in rows if kind == "U"}
        helpers = {name for name in names if name.startswith("__") and name not in UNWANTED or name == "_GLOBAL_OFFSET_TABLE_"}
        wrong = names & set(unwanted)
        if allowed is not None:
            wrong |= names - allowed - helpers
        if wrong:
            raise Failed("calls: " + " ".join(sorted(wrong)))
    return check


def macros(compiler, standard):
    """An include brings SHARDIO_ macros and nothing else."""
    def run(directory):
        def defined(text):
            source = os.path.join(directory, "macros.c")
            with open(source, "w") as file:
                file.write(text)
            lines = execute(compiler.command + ["-std=" + standard, "-I.", "-dM", "-E", source])
            return {line.split()[1].split("(")[0] for line in lines.splitlines()}
        base = defined("#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n")
        new = defined(INCLUDE) - base
        wrong = sorted(name for name in new if not name.startswith("SHARDIO_"))
        if wrong or "SHARDIO_H" not in new:
            raise Failed("defines: " + " ".join(wrong))
        private = sorted(name for name in new if name.startswith("SHARDIO_P_"))
        if private:
            raise Failed("private macros left behind: " + " ".join(private))
    return run


def struct_sizes(compiler):
    """No option changes a public struct."""
    def sizes(directory, options):
        source, program = os.path.join(directory, "sizes.c"), os.path.join(directory, "sizes")
        flags = ["-std=c99", "-I."] + ["-D" + o for o in options]
        with open(source, "w") as file:
            file.write(INCLUDE)
        text = execute(compiler.command + flags + ["-E", "-P", source])
        names = sorted(set(re.findall(r"\}\s*(shardio_\w+)\s*;", text)))
        with open(source, "w") as file:
            file.write(INCLUDE + "#include <stdio.h>\nint main(void) {\n" + "".join(
                '    printf("%s %%d\\n", (int)sizeof(%s));\n' % (n, n) for n in names) + "    return 0;\n}\n")
        execute(compiler.command + flags + ["-o", program, source])
        return dict(line.split() for line in execute([os.path.abspath(program)]).splitlines())

    def run(directory):
        base = sizes(directory, [])
        if len(base) < 15:
            raise Failed("only %d types found" % len(base))
        for options in OPTION_SETS + [["SHARDIO_STATIC"], ["SHARDIO_IMPLEMENTATION"], ["_FILE_OFFSET_BITS=64"]]:
            other = sizes(directory, options)
            wrong = [n for n in other if n in base and other[n] != base[n]]
            if wrong or not other:
                raise Failed("with %s other sizes: %s" % (" ".join(options), " ".join(wrong) or "nothing there"))
    return run


def late_include(compiler, standard, first, fine):
    """System headers, or the declarations, which include some, first: fine in gnu mode, one #error that says what to do
    otherwise."""
    text = first + IMPLEMENT + "int main(void) { return shardio_version() == 0; }\n"

    def run(directory):
        if fine:
            objects = compiler.compile(directory, standard, {"late": text})
            compiler.link(os.path.join(directory, "late"), objects)
            return
        source = os.path.join(directory, "late.c")
        with open(source, "w") as file:
            file.write(text)
        output = subprocess.run(compiler.command + ["-std=" + standard, "-I.", "-fsyntax-only", source], cwd=ROOT,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True).stdout
        errors = [line for line in output.splitlines() if re.search(r"\berror:", line)]
        if len(errors) != 1 or "_GNU_SOURCE" not in errors[0] and "before" not in errors[0]:
            raise Failed("not one clear #error:\n" + output[:1500])
    return run


def example(compiler, standard):
    """The program in the header's top comment compiles as it stands."""
    def run(directory):
        with open(os.path.join(ROOT, "shardio.h")) as file:
            comment = file.read().split("*/")[0]
        lines = comment.split("EXAMPLE", 1)[1].splitlines()[1:]
        body = []
        for line in lines:
            if line.strip() and not line.startswith("       "):
                break
            body.append(line)
        text = "\n".join(body) + "\n"
        compiler.compile(directory, standard, {"example": text.replace("= {0}", "= {}") if compiler.plus else text})
    return run


def options_zero(compiler):
    """An option given as 0 is off, and what the header defines for itself may be there already."""
    return lambda directory: compiler.compile(directory, "c99", {"one": IMPLEMENT}, "-DSHARDIO_NO_OS=0",
                                              "-DSHARDIO_NO_ZARR=0", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64",
                                              syntax=True)


def collect():
    environment = os.environ
    gcc = Compiler("gcc", environment.get("GCC") or environment.get("CC") or "gcc", False)
    clang = Compiler("clang", environment.get("CLANG") or "clang", False)
    gxx = Compiler("g++", environment.get("CXX") or "g++", True)
    clangxx = Compiler("clang++", environment.get("CLANGXX") or "clang++", True)
    machine32 = shlex.split(environment.get("M32") or "-m32 -idirafter /usr/include/x86_64-linux-gnu")
    there = []
    for compiler in (gcc, clang, gxx, clangxx):
        if not compiler.works():
            print("missing: %s: make deps" % compiler.word)
            continue
        there.append(compiler)
        silent_tests(compiler, ["c++11", "c++17"] if compiler.plus else ["c99", "c11", "gnu17"], "", [])
        if compiler.works(*machine32):
            silent_tests(compiler, ["c++11"] if compiler.plus else ["c99"], " -m32", machine32)
        elif os.uname().machine == "x86_64":
            print("missing: %s for 32 bits: make deps" % compiler.word)
        standard = "c++11" if compiler.plus else "c99"
        test(compiler.word + ": two files", two_files(compiler, standard, False))
        test(compiler.word + ": two files, static", two_files(compiler, standard, True))
        test(compiler.word + ": only shardio_ names are visible", symbols(compiler, standard, PLAIN, public_names))
        everything = (PLAIN if compiler.clang else OPTIMIZED) + adapters_of(compiler, [])
        test(compiler.word + ": all adapters: only shardio_ names are visible",
             symbols(compiler, standard, everything, public_names))
        if not compiler.plus:
            test(compiler.word + ": all adapters: no variables", symbols(compiler, standard, everything, no_globals))
        test(compiler.word + ": the example in the header", example(compiler, standard))
    windows_tests(Compiler("mingw-w64 gcc", environment.get("MINGW") or "x86_64-w64-mingw32-gcc", False), "c99")
    windows_tests(Compiler("mingw-w64 g++", environment.get("MINGWXX") or "x86_64-w64-mingw32-g++", True), "c++11")
    for compiler in there:
        if compiler.plus:
            continue
        test(compiler.word + ": no variables", symbols(compiler, "c99", PLAIN, no_globals))
        test(compiler.word + ": prints nothing, ends nothing", symbols(compiler, "c99", PLAIN, calls(unwanted=UNWANTED)))
        test(compiler.word + ": without a system", symbols(
            compiler, "c99", OPTIMIZED + ["-DSHARDIO_NO_OS", "-DSHARDIO_NO_ZARR"], calls(allowed=FREESTANDING)))
        test(compiler.word + ": arrays without a system", symbols(
            compiler, "c99", OPTIMIZED + ["-DSHARDIO_NO_OS"], calls(allowed=FREESTANDING | NUMBERS)))
        test(compiler.word + ": macros", macros(compiler, "c99"))
        test(compiler.word + ": macros in gnu mode", macros(compiler, "gnu17"))
        test(compiler.word + ": sizes of structs", struct_sizes(compiler))
        for what, first in (("stdio.h", "#include <stdio.h>\n#include <stdlib.h>\n"), ("declarations", INCLUDE)):
            test("%s: %s first, -std=gnu99" % (compiler.word, what), late_include(compiler, "gnu99", first, True))
            test("%s: %s first, -std=c99" % (compiler.word, what), late_include(compiler, "c99", first, False))
        test(compiler.word + ": options set to 0", options_zero(compiler))
    for c in (gcc, clang):
        for cxx in (gxx, clangxx):
            if c in there and cxx in there and c.clang == cxx.clang:
                test("%s with %s" % (c.word, cxx.word), c_and_cxx(c, cxx))


def one(work, index, name, function):
    """What went wrong, or None."""
    directory = os.path.join(work, str(index))
    os.makedirs(directory)
    try:
        function(directory)
        return None
    except (Failed, OSError) as failure:
        return "FAILED: %s\n%s" % (name, failure)


def main():
    os.chdir(ROOT)
    os.makedirs(BUILD, exist_ok=True)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    collect()
    chosen = [t for t in TESTS if word in t[0]]
    with tempfile.TemporaryDirectory(prefix="compile-", dir=BUILD) as work, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = list(pool.map(lambda item: one(work, item[0], *item[1]), enumerate(chosen)))
    failures = [result for result in results if result]
    for result in failures:
        print(result)
    print("%d passed, %d failed" % (len(chosen) - len(failures), len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
