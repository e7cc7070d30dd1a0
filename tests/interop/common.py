"""What the tests in this folder share: where things are, running the tool, counting."""
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
VENV = os.path.abspath(os.environ.get("VENV") or os.path.join(BUILD, "venv"))
REQUIREMENTS = os.path.join(HERE, "requirements.txt")

MEMORY = 1 << 30     # bytes of address space for one run of the tool: nothing here needs more
SECONDS = 60         # for one run


def enter_environment():
    """Starts again inside the virtual environment, made if need be; a line that says why not, and the end."""
    python = os.path.join(VENV, "bin", "python")
    stamp = os.path.join(VENV, "requirements.txt")
    with open(REQUIREMENTS) as file:
        wanted = file.read()
    ready = os.path.exists(stamp) and open(stamp).read() == wanted
    if os.path.realpath(sys.prefix) == os.path.realpath(VENV) and ready:
        return
    if not ready:
        log = os.path.join(BUILD, "venv.log")
        os.makedirs(BUILD, exist_ok=True)
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
    os.execv(python, [python] + sys.argv)


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
    sanitized = program == TOOL_SANITIZED
    try:
        process = subprocess.run(command, input=data if data is not None else b"", stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, timeout=SECONDS, cwd=cwd or ROOT,
                                 preexec_fn=limit_memory if limit and not sanitized else None)
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

    def end(self):
        print("%d passed, %d failed" % (self.passed, self.failed))
        return 1 if self.failed else 0
