#!/usr/bin/env python3
"""Runs the fuzz targets, two at a time, and adds up.

    run.py --build DIR --seconds N [--seed N] TARGET...

A target passes if it ran for so long without a crash, a leak, a hang (20 s) or too much memory. Below DIR: corpus/NAME
(kept from run to run; seeds of the target itself and of the golden files are added), found/NAME (inputs that failed),
NAME.log. Files that targets write go to a file system in memory, where the system lets us have one.
"""
import argparse
import base64
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time

import seeds

MEGABYTES = 256        # resident; the sanitizer's own included
ONE_MEGABYTES = 64     # a single allocation
LONGEST = 16384        # bytes of an input
SANITIZER = "allocator_may_return_null=1:quarantine_size_mb=16:detect_leaks=1"
IN_MEMORY = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none "$TEST_TMP" && exec "$@"', "sh"]


def in_memory(directory):
    """The words before a command that give it a file system in memory at TEST_TMP; none where that is not possible."""
    try:
        tried = subprocess.run(IN_MEMORY + ["true"], env=dict(os.environ, TEST_TMP=directory), capture_output=True,
                               check=False)
    except OSError:
        return []
    return IN_MEMORY if tried.returncode == 0 else []


def places(build, name):
    """Directories of a target: corpus, found, temporary files."""
    made = [os.path.abspath(os.path.join(build, kind, name)) for kind in ("corpus", "found", "tmp")]
    shutil.rmtree(made[1], ignore_errors=True)
    for directory in made:
        os.makedirs(directory, exist_ok=True)
    return made


def command_of(target, seconds, seed, corpus, found, name):
    """How libFuzzer is called. The tool, which the target npy calls, complains on standard error: not into the log."""
    words = [os.path.abspath(target), "-max_total_time=%d" % seconds, "-rss_limit_mb=%d" % MEGABYTES, "-timeout=20",
             "-malloc_limit_mb=%d" % ONE_MEGABYTES, "-max_len=%d" % LONGEST, "-print_final_stats=1", "-verbosity=1",
             "-seed=%d" % seed, "-artifact_prefix=" + found + os.sep]
    dictionary = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fuzz_%s.dict" % name)
    if os.path.exists(dictionary):
        words.append("-dict=" + dictionary)
    if name == "npy":
        words.append("-close_fd_mask=2")
    return words + [corpus]


def last(pattern, text):
    """The last match as a number, or 0."""
    numbers = re.findall(pattern, text)
    return int(numbers[-1]) if numbers else 0


def what_failed(name, text, found):
    """The checks that failed, and the inputs: enough to try it again where there is only this output."""
    lines = re.findall(r"^\S+\.[ch]:\d+:.*|^SUMMARY:.*", text, re.MULTILINE)[-8:]
    for file in sorted(os.listdir(found)):
        with open(os.path.join(found, file), "rb") as data:
            lines.append("%s in base64: %s" % (file, base64.b64encode(data.read(LONGEST)).decode()))
    return ["%s: %s" % (name, line) for line in lines]


def fuzz(build, target, seconds, seed):
    """Runs one target: a line about it; where it did not pass the end of its log, and what failed."""
    name = os.path.basename(target).replace("fuzz_", "", 1)
    corpus, found, temporary = places(build, name)
    environment = dict(os.environ, TEST_TMP=temporary, ASAN_OPTIONS=SANITIZER)
    subprocess.run([os.path.abspath(target), "--seeds", corpus], env=environment, check=True)
    seeds.write(name, corpus)
    begin = time.time()
    log = os.path.join(build, name + ".log")
    with open(log, "w", encoding="utf-8", errors="replace") as output:
        code = subprocess.run(in_memory(temporary) + command_of(target, seconds, seed, corpus, found, name),
                              stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
                              check=False).returncode
    with open(log, encoding="utf-8", errors="replace") as output:
        text = output.read()
    shutil.rmtree(temporary, ignore_errors=True)
    executions = last(r"stat::number_of_executed_units:\s+(\d+)", text)
    passed = code == 0 and not os.listdir(found) and executions > 0
    line = "%-14s %9d executions, %6.0f a second, %5d edges, %4d files, %4d MiB, %s" % (
        name, executions, executions / max(time.time() - begin, 1), last(r"cov: (\d+)", text), len(os.listdir(corpus)),
        last(r"stat::peak_rss_mb:\s+(\d+)", text), "passed" if passed else "FAILED: %s, %s" % (log, found))
    return (line, [], []) if passed else (line, text.splitlines()[-60:], what_failed(name, text, found) or [line])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    failed, reports = 0, []
    pool = concurrent.futures.ThreadPoolExecutor(2)
    for one in [pool.submit(fuzz, options.build, target, options.seconds, options.seed) for target in options.targets]:
        line, end, report = one.result()
        failed += bool(report)
        reports += report
        print("\n".join([line] + end), flush=True)
    if not options.targets:
        print("missing: fuzzing: no clang with libFuzzer: make deps")
        failed = int(os.environ.get("CI") == "true")
    print("\n".join(reports + ["%d passed, %d failed" % (max(len(options.targets) - failed, 0), failed)]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
