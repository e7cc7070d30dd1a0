"""What the tests in this folder share: where things are, running the tool and the driver, counting."""
import fcntl
import json
import os
import resource
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.path.join(ROOT, os.environ.get("BUILD") or "build"))
TMP = os.path.abspath(os.path.join(ROOT, os.environ.get("TEST_TMP") or os.path.join(BUILD, "tmp", "interop")))
TOOL = os.path.join(BUILD, "shardio")
TOOL_SANITIZED = os.path.join(BUILD, "asan-gcc", "shardio")
DRIVER = os.path.join(BUILD, "interop", "driver")
DRIVER_SANITIZED = os.path.join(BUILD, "asan-gcc", "driver")
ARCHIVE_DRIVER = os.path.join(BUILD, "interop", "archive_driver")
ARCHIVE_DRIVER_SANITIZED = os.path.join(BUILD, "asan-gcc", "archive_driver")
HTTP_DRIVER = os.path.join(BUILD, "interop", "http_driver")
HTTP_DRIVER_SANITIZED = os.path.join(BUILD, "asan-gcc", "http_driver")
SANITIZED = (TOOL_SANITIZED, DRIVER_SANITIZED, ARCHIVE_DRIVER_SANITIZED, HTTP_DRIVER_SANITIZED)
VENV = os.path.abspath(os.environ.get("VENV") or os.path.join(BUILD, "venv"))
REQUIREMENTS = os.path.join(HERE, "requirements.txt")

MEMORY = 1 << 30     # bytes of address space for one run of the tool: nothing here needs more
SECONDS = 60         # for one run


def enter_environment():
    """Starts again inside the virtual environment, made if need be; a line that says why not, and the end."""
    os.makedirs(BUILD, exist_ok=True)
    with open(os.path.join(BUILD, "venv.lock"), "w") as lock:   # one makes it, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_environment()
    python = os.path.join(VENV, "bin", "python")
    if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        os.execv(python, [python] + sys.argv)


def make_environment():
    python = os.path.join(VENV, "bin", "python")
    stamp = os.path.join(VENV, "requirements.txt")
    with open(REQUIREMENTS) as file:
        wanted = file.read()
    if not os.path.exists(stamp) or open(stamp).read() != wanted:
        log = os.path.join(BUILD, "venv.log")
        with open(log, "w") as file:
            made = sys.version_info >= (3, 11) and all(
                subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode == 0
                for command in ([sys.executable, "-m", "venv", "--clear", VENV],
                                [python, "-m", "pip", "install", "--disable-pip-version-check", "--retries", "2", "-r",
                                 REQUIREMENTS]))
        if not made:
            print("missing: zarr-python, tensorstore and zarrs: " +
                  ("they could not be installed, see %s" % os.path.relpath(log) if sys.version_info >= (3, 11) else
                   "they need Python 3.11 or later, this is %d.%d: make PYTHON=..." % sys.version_info[:2]))
            print("0 passed, 0 failed")
            sys.exit(0)
        with open(stamp, "w") as file:
            file.write(wanted)


class Failure(Exception):
    """A test that did not come out as it has to; the text says why."""


def check(condition, text, *values):
    if not condition:
        raise Failure(text % values if values else text)


class Result:
    def __init__(self, arguments, process):
        self.arguments = arguments
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr.decode("utf-8", "replace")

    def describe(self):
        return "%s\n    exit code %d: %s" % (" ".join(map(str, self.arguments)), self.code, self.err.strip()[:600])


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run(program, *arguments, data=None, limit=True, cwd=None):
    """Runs a program; a crash, a hang, a report of a sanitizer is a failure whatever was expected."""
    command = [program] + [str(a) for a in arguments]
    try:
        process = subprocess.run(command, input=data if data is not None else b"", stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, timeout=SECONDS, cwd=cwd or ROOT,
                                 preexec_fn=limit_memory if limit and program not in SANITIZED else None)
    except subprocess.TimeoutExpired:
        raise Failure("hangs: %s" % " ".join(command))
    result = Result(command, process)
    check(result.code in (0, 1, 2) and "Sanitizer" not in result.err and "runtime error" not in result.err,
          "crashed: %s", result.describe())
    return result


def tool(*arguments, **options):
    return run(options.pop("program", TOOL), *arguments, **options)


def good(result):
    check(result.code == 0, "%s", result.describe())
    return result


def refused(result, code=1):
    """The tool's way to fail: the exit code, nothing but one line on standard error."""
    check(result.code == code, "exit code %d wanted: %s", code, result.describe())
    lines = result.err.splitlines()
    check(len(lines) == 1 and lines[0].startswith("shardio: ") and len(lines[0]) > 15, "not one clear line: %s", result.describe())
    return result


def mix(x):
    """mix64 of the golden files."""
    x = (x + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    x = (x ^ x >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return x ^ x >> 31


# ---- the driver: many jobs in one process --------------------------------------------------------------------

class Job:
    """One line for the driver. `data`: bytes that it reads from a file; `out`: whether it writes one. Among the keys may
    be the array's path in the store."""

    def __init__(self, command, path, /, data=None, out=False, **keys):
        self.command, self.path, self.data, self.out, self.keys = command, path, data, out, keys

    def line(self, number):
        keys = dict(self.keys)
        if self.data is not None:
            keys["data"] = job_file(number, "data")
        if self.out:
            keys["out"] = job_file(number, "out")
        text = "\t".join([self.command, self.path] + ["%s=%s" % item for item in keys.items()])
        assert "\n" not in text
        return text

    def describe(self):
        return "%s %s %s" % (self.command, self.path, " ".join("%s=%s" % item for item in self.keys.items()))


class Reply:
    """What the driver said to a job: `facts` is the JSON object behind "ok", `out` the file it wrote."""

    def __init__(self, job, line, out=None):
        self.job, self.out = job, out
        self.ok = line.split(" ", 1)[0] == "ok"
        self.text = line if not self.ok else ""
        self.status = line.split(" ")[1] if line.startswith("error ") else None
        self.crashed = not self.ok and self.status is None
        self.facts = json.loads(line[3:]) if self.ok and len(line) > 3 else None

    def good(self):
        check(self.ok, "%s: %s", self.job.describe()[:1500], self.text[:600])
        return self

    def refused(self, *statuses):
        check(self.status is not None and (not statuses or self.status in statuses), "not refused%s: %s: %s",
              "".join(" with " + s for s in statuses), self.job.describe()[:1500], self.text[:600] or "ok")
        return self


def job_file(number, end):
    return os.path.join(TMP, "jobs", "%d.%s" % (number, end))


def drive_some(program, jobs, first):
    """The lines that the driver printed for jobs[first:]; fewer than jobs if it crashed, then with what it said."""
    script = os.path.join(TMP, "jobs", "jobs.txt")
    with open(script, "w", encoding="utf-8") as file:
        file.write("".join(job.line(first + i) + "\n" for i, job in enumerate(jobs[first:])))
    with open(os.path.join(TMP, "jobs", "lines.txt"), "w+b") as lines:
        try:
            process = subprocess.run([program, "jobs", script], stdin=subprocess.DEVNULL, stdout=lines,
                                     stderr=subprocess.PIPE, timeout=SECONDS * 5, cwd=ROOT,
                                     preexec_fn=limit_memory if program not in SANITIZED else None)
            code, said = process.returncode, process.stderr.decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            code, said = -1, "hangs"
        lines.seek(0)
        got = lines.read().decode("utf-8", "replace").split("\n")[:-1]
    if len(got) < len(jobs) - first:
        return got, "crashed, exit code %d: %s" % (code, said.strip()[:3000])
    check(code == 0, "driver: exit code %d: %s", code, said[:3000])
    return got, None


def drive(program, jobs):
    """Does the jobs, the ones behind a crash included."""
    os.makedirs(os.path.join(TMP, "jobs"), exist_ok=True)
    for number, job in enumerate(jobs):
        if job.data is not None:
            with open(job_file(number, "data"), "wb") as file:
                file.write(job.data)
    lines = []
    while len(lines) < len(jobs):
        got, crash = drive_some(program, jobs, len(lines))
        lines += got + ([crash] if crash else [])
    replies = []
    for number, (job, line) in enumerate(zip(jobs, lines)):
        out = None
        if job.out and os.path.exists(job_file(number, "out")):
            with open(job_file(number, "out"), "rb") as file:
                out = file.read()
        replies.append(Reply(job, line, out))
    for name in os.listdir(os.path.join(TMP, "jobs")):
        os.remove(os.path.join(TMP, "jobs", name))
    return replies


# ---- codecs that this build may lack -------------------------------------------------------------------------

LIBRARIES = {"zstd": "libzstd", "gzip": "zlib", "blosc": "libblosc", "numcodecs.lz4": "liblz4"}


def name_of(codec):
    return codec if isinstance(codec, str) else codec["name"]


def names_in(codecs):
    """The names of all codecs, those inside shards included."""
    names = set()
    for codec in codecs:
        names.add(name_of(codec))
        inside = {} if isinstance(codec, str) else codec.get("configuration", {})
        names |= names_in(inside.get("codecs", [])) | names_in(inside.get("index_codecs", []))
    return names


class Codecs:
    """Those that are compiled in, and what was left out for want of one."""

    def __init__(self):
        self.present = set(good(run(DRIVER, "codecs")).out.decode().split())
        self.missed = {}

    def missing(self, codecs, who):
        """The codec that keeps this build from reading an array, or None."""
        for name in sorted((names_in(codecs) & set(LIBRARIES)) - self.present):
            self.missed.setdefault(name, set()).add(who)
            return name
        return None

    def report(self, what):
        for name, who in sorted(self.missed.items()):
            print("left out: %d %s: codec %s: no %s here: make deps" % (len(who), what, name, LIBRARIES[name]))


class Counter:
    """Runs tests, each a function, and counts. `word`: only those whose names contain it."""

    def __init__(self):
        self.word = sys.argv[1] if len(sys.argv) > 1 else ""
        self.passed = self.failed = 0

    def test(self, name, function, *arguments):
        if self.word not in name:
            return
        try:
            function(*arguments)
            self.passed += 1
        except Failure as failure:
            self.failed += 1
            print("FAILED: %s: %s" % (name, failure), flush=True)

    def together(self, tests, programs=(DRIVER, DRIVER_SANITIZED)):
        """Tests that are generators: each yields a job or a list of them and gets the reply or replies. Those that wait at
        the same time share a process of the driver: half of the tests the one with sanitizers, if there is one. None of
        the programs was built (the sanitized ones, which the Makefile then says): nothing runs."""
        programs = [p for p in programs if os.path.exists(p)]
        if not programs:
            return
        waiting = [[name, generator, None, programs[i % len(programs)]]
                   for i, (name, generator) in enumerate(t for t in tests if self.word in t[0])]
        while waiting:
            asked = []
            for test in waiting:
                try:
                    asked.append((test, test[1].send(test[2])))
                except StopIteration:
                    self.passed += 1
                except Failure as failure:
                    self.failed += 1
                    print("FAILED: %s: %s" % (test[0], failure), flush=True)
            for program in programs:
                mine = [(test, jobs) for test, jobs in asked if test[3] == program]
                replies = iter(drive(program, [job for _, jobs in mine for job in (jobs if isinstance(jobs, list) else [jobs])]))
                for test, jobs in mine:
                    test[2] = [next(replies) for _ in jobs] if isinstance(jobs, list) else next(replies)
            waiting = [test for test, _ in asked]

    def end(self):
        print("%d passed, %d failed" % (self.passed, self.failed))
        return 1 if self.failed else 0
