#!/usr/bin/env python3
"""The documents say what is there: links lead to files, named tests and make targets exist. One test for each document."""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENTS = sorted(["README.md", "CHANGELOG.md"] + ["docs/" + name for name in os.listdir(os.path.join(ROOT, "docs"))
                                                    if name.endswith(".md")])


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def tests_of(program):
    """Names of its tests, or None where there is no such program."""
    path = "tests/%s.c" % program
    return set(re.findall(r"^TEST\((\w+)\)", read(path), re.M)) if os.path.exists(os.path.join(ROOT, path)) else None


def wrong_links(path, text):
    for target in re.findall(r"\]\(([^)#\s]+)\)", text):
        if "://" not in target and not os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)):
            yield "a link to " + target


def wrong_tests(text):
    for program, _, name in re.findall(r"`(test_\w+)(: (\w+))?`", text):
        tests = tests_of(program)
        if tests is None or (name and name not in tests):
            yield "a test %s %s" % (program, name)


def wrong_files(text):
    for name in re.findall(r"`((?:interop|compile|fuzz|firmware)/[\w.]+)`", text) + re.findall(r"\btests/[\w./]*\w", text):
        name = name if name.startswith("tests/") else "tests/" + name
        if not glob.glob(os.path.join(ROOT, name) + "*"):
            yield "a file " + name


def wrong_targets(text):
    targets = set(re.findall(r"^([a-z0-9-]+):", read("Makefile"), re.M)) | set(
        word for line in re.findall(r"^\.PHONY:((?:.*\\\n)*.*)", read("Makefile"), re.M) for word in line.split())
    for name in re.findall(r"`make ([a-z][a-z0-9-]*)", text):
        if name not in targets:
            yield "a target " + name


def main():
    failed = 0
    for path in DOCUMENTS:
        text = read(path)
        wrong = [*wrong_links(path, text), *wrong_tests(text), *wrong_files(text), *wrong_targets(text)]
        for what in wrong:
            print("%s: there is no such thing as %s" % (path, what))
        failed += bool(wrong)
    print("%d passed, %d failed" % (len(DOCUMENTS) - failed, failed))
    return failed != 0


sys.exit(main())
