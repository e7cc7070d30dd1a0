#!/usr/bin/env python3
"""Golden files: arrays written by other libraries are read by us, damaged ones are refused, and arrays that a streaming
writer wrote come out of our tool byte for byte. A dozen are in tests/data; the whole collection is looked for in
../shared/golden. Needs Python's standard library only. A word as argument: only the cases whose names contain it.

What shardio.h does not do yet (see covered()) has to be an error, or right: never other data, never a crash.
"""
import hashlib
import json
import os
import shutil
import sys

import common
from common import DRIVER, ROOT, TMP, TOOL, TOOL_SANITIZED, check, good, refused, run, tool

DTYPES = {"bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
          "float16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def name_of(codec):
    return codec if isinstance(codec, str) else codec.get("name")


def covered(document):
    """Whether this version has to read the array: `bytes`, then any number of `crc32c`, in at most one level of
    sharding that is the only codec outside; default keys with "/"; numbers; at least one dimension."""
    def plain(codecs):
        names = [name_of(c) for c in codecs]
        return names[:1] == ["bytes"] and all(n == "crc32c" for n in names[1:])
    codecs = document["codecs"]
    if [name_of(c) for c in codecs] == ["sharding_indexed"]:
        if not plain(codecs[0]["configuration"]["codecs"]):
            return False
    elif not plain(codecs):
        return False
    keys = document["chunk_key_encoding"]
    separator = keys.get("configuration", {}).get("separator", "/") if isinstance(keys, dict) else "/"
    return name_of(keys) == "default" and separator == "/" and len(document["shape"]) > 0 and \
        name_of(document["data_type"]) in DTYPES


def output():
    path = os.path.join(TMP, "out.raw")
    if os.path.exists(path):
        os.remove(path)
    return path


def export(program, array, region=None):
    """The elements of the array, or None and the tool's refusal."""
    options = ["--region", region] if region else []
    result = tool("export", *options, array, "-", program=program)
    if result.code == 0:
        return result.out, result
    refused(result)
    path = output()
    refused(tool("export", *options, array, path, program=program))
    check(not os.path.exists(path), "a file that looks finished: %s", result.describe())
    return None, result


def region_text(region):
    start, stop = region
    return ",".join("%d:%d" % pair for pair in zip(start, stop))


# ---- arrays of other writers ---------------------------------------------------------------------------------

def golden(case, folder, program):
    array = os.path.join(folder, case["store"], case.get("node", ""))
    with open(os.path.join(array, "zarr.json")) as file:
        document = json.load(file)
    data, result = export(program, array)
    if data is None:
        check(not covered(document), "%s", result.describe())
        return
    check(len(data) == case["nbytes"] and sha256(data) == case["sha256"], "other data: %d bytes, %d wanted", len(data),
          case["nbytes"])
    if covered(document):
        good(tool("verify", array, program=program))
        info = good(tool("info", array, "--json", program=program))
        check(json.loads(info.out.decode())["shape"] == case["shape"], "shape: %s", info.out.decode()[:200])


# ---- damaged ones --------------------------------------------------------------------------------------------

FOREIGN = ("zstd", "gzip", "blosc", "nested")   # first words of cases whose undamaged array is not covered


def malformed(case, folder, program):
    array = os.path.join(folder, case["id"])
    expect = case["expect"]
    if case["op"] == "open-group":
        # there is nothing yet that opens a group; as an array it has to be refused
        refused(tool("info", array, program=program))
        return
    if case["op"] == "first":
        data, result = export(program, array, ",".join(["0:1"] * 2))
        if data is not None:
            check(expect != "error", "was read: %s", case["what"])
            check(data.hex() == case.get("first_element_hex", data.hex()), "element is %s", data.hex())
        else:
            check(expect != "value", "%s", result.describe())
        return
    known = case["id"].split("-")[0] not in FOREIGN
    data, result = export(program, array)
    if data is None:
        check(expect != "value" or not known, "%s", result.describe())
    else:
        check(expect != "error", "was read: %s", case["what"])
        if "sha256" in case:
            check(sha256(data) == case["sha256"], "other data: %s", case["what"])
    for part in case.get("still_readable", []) if known else []:
        data, result = export(program, array, region_text(part["region"]))
        check(data is not None, "an undamaged region does not read: %s", result.describe())
        check(sha256(data) == part["sha256"], "an undamaged region reads as other data")
    if case.get("stage") == "read" and expect == "error" and known:
        result = tool("verify", array, program=program)
        check(result.code == 1, "verify finds nothing: %s", case["what"])
    elif expect == "value" and known and not case["id"].startswith("overlap"):
        result = tool("verify", array, program=program)
        check(result.code == 0, "verify: %s", result.out.decode()[:300] + result.describe())


def truncated(case, folder, program, step):
    """zarr.json cut at every length."""
    array = os.path.join(TMP, "truncated.zarr")
    shutil.rmtree(array, ignore_errors=True)
    shutil.copytree(os.path.join(folder, case["id"]), array)
    document = os.path.join(array, "zarr.json")
    os.chmod(array, 0o755)
    os.chmod(document, 0o644)
    with open(document, "rb") as file:
        text = file.read()
    for length in range(0, len(text.rstrip()), step):
        with open(document, "wb") as file:
            file.write(text[:length])
        refused(tool("export", array, "-", program=program))


# ---- exactly what acquire-zarr writes ------------------------------------------------------------------------

def exact_content(case, path):
    size = DTYPES[case["dtype"]]
    count = case["nbytes"] // size
    content = case["content"]
    if content["recipe"] == "mix":
        result = good(run(DRIVER, "mix", size, content["seed"], count))
        data = result.out
    else:
        frame = count // case["shape"][0]
        data = b"".join(value.to_bytes(size, "little") * frame for value in content["values"])
    check(sha256(data) == case["sha256"], "the test makes other content than the golden file has")
    with open(path, "wb") as file:
        file.write(data)


def exact(case, direct):
    content = os.path.join(TMP, case["id"] + ".raw")
    if not os.path.exists(content):
        exact_content(case, content)
    store = os.path.join(TMP, case["id"] + ".zarr")
    array = os.path.join(store, case["node"])
    shutil.rmtree(store, ignore_errors=True)
    settings = case["settings"]
    result = good(tool("import", "--dtype", case["dtype"],
                       "--shape", ",".join(str(s["array_size"]) for s in settings),
                       "--chunks", ",".join(str(s["chunk_size"]) for s in settings),
                       "--shards", ",".join(str(s["chunk_size"] * s["shard_size_chunks"]) for s in settings),
                       "--names", ",".join(s["name"] for s in settings),
                       "--direct", direct, "--json", content, array))
    report = json.loads(result.out.decode())
    check(report["frames"] == case["frames"], "frames: %s", report)
    check(report["dead_bytes"] == 0, "dead bytes: %s", report)
    for key, file in case["shard_files"].items():
        with open(os.path.join(store, key), "rb") as shard:
            data = shard.read()
        check(len(data) == file["size"], "%s: %d bytes, not %d", key, len(data), file["size"])
        check(sha256(data) == file["sha256"], "%s: the size is right, the bytes are not", key)
    there = sorted(os.path.relpath(os.path.join(path, name), store)
                   for path, _, names in os.walk(store) for name in names)
    there = [key for key in there if not key.endswith("zarr.json")]
    check(there == sorted(case["shard_files"]), "other files: %s", there)
    good(tool("verify", array))
    back = os.path.join(TMP, "back.raw")
    good(tool("export", array, back, *([] if direct == "auto" else ["--force"])))
    with open(back, "rb") as file:
        check(sha256(file.read()) == case["sha256"], "reads back as other data")
    os.remove(back)
    shutil.rmtree(store)


def main():
    os.makedirs(TMP, exist_ok=True)
    counter = common.Counter()
    programs = [("", TOOL)]
    if os.path.exists(TOOL_SANITIZED):
        programs.append(("sanitized: ", TOOL_SANITIZED))
    folders = [("", os.path.join(ROOT, "tests", "data"))]
    large = os.path.join(os.path.dirname(ROOT), "shared", "golden")
    if os.path.exists(os.path.join(large, "zarr", "manifest.json")):
        folders.append(("", large))
    else:
        print("left out: the whole collection of golden files: it is not in ../shared/golden; those of tests/data are read")
    seen = set()
    for _, folder in folders:
        zarr, damaged = os.path.join(folder, "zarr"), os.path.join(folder, "zarr-malformed")
        with open(os.path.join(zarr, "manifest.json")) as file:
            manifest = json.load(file)
        for case in manifest["cases"]:
            if case["store"].endswith(".zip"):
                continue    # arrays in one ZIP file are not here yet, and the tool takes them for a shard
            for word, program in programs:
                counter.test(word + "golden " + case["id"], golden, case, zarr, program)
        for case in manifest["exact"]:
            if case["id"] not in seen:
                seen.add(case["id"])
                for direct in ("auto", "off"):
                    counter.test("exact %s, direct %s" % (case["id"], direct), exact, case, direct)
        with open(os.path.join(damaged, "manifest.json")) as file:
            manifest = json.load(file)
        for case in manifest["cases"]:
            for word, program in programs:
                counter.test(word + "malformed " + case["id"], malformed, case, damaged, program)
                if case.get("truncate_every_byte"):
                    counter.test(word + "malformed %s, cut" % case["id"], truncated, case, damaged, program,
                                 1 if program == TOOL else 7)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
