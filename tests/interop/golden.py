#!/usr/bin/env python3
"""Golden files: arrays written by other libraries are read by us, damaged ones are refused, and arrays that a streaming
writer wrote come out of our tool byte for byte, as packfiles do. Some are in tests/data; the whole collection is looked for in
../shared/golden. Needs Python's standard library only. A word as argument: only the cases whose names contain it.
"""
import hashlib
import json
import os
import shutil
import struct
import sys

import common
from common import DRIVER, ROOT, TMP, TOOL, TOOL_SANITIZED, Job, check, good, refused, run, tool

DTYPES = {"bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
          "float16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def document_of(folder, case):
    with open(os.path.join(folder, case["store"], case["node"], "zarr.json"), encoding="utf-8") as file:
        return json.load(file)


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

def golden(case, folder, program, codecs):
    array = os.path.join(folder, case["store"], case["node"])
    missing = codecs.missing(document_of(folder, case)["codecs"], case["id"])
    data, result = export(program, array)
    if missing:
        check(data is None and missing in result.err, "codec %s is not here: %s", missing, result.describe())
        return
    check(data is not None, "%s", result.describe())
    check(len(data) == case["nbytes"] and sha256(data) == case["sha256"], "other data: %d bytes, %d wanted", len(data),
          case["nbytes"])
    good(tool("verify", array, program=program))
    info = good(tool("info", array, "--json", program=program))
    check(json.loads(info.out.decode())["shape"] == case["shape"], "shape: %s", info.out.decode()[:200])


def fill_bits(dtype, value):
    """A fill value as zarr.json has it, as little-endian bytes; None: any NaN will do."""
    if dtype.startswith("complex"):
        half = "float32" if dtype == "complex64" else "float64"
        parts = [fill_bits(half, part) for part in value]
        return None if None in parts else b"".join(parts)
    size = DTYPES[dtype]
    if dtype.startswith("float"):
        if isinstance(value, str) and value.startswith("0x"):
            return int(value, 16).to_bytes(size, "little")
        return None if value == "NaN" else struct.pack("<" + {2: "e", 4: "f", 8: "d"}[size], float(value))
    return int(value).to_bytes(size, "little", signed=not isinstance(value, bool) and value < 0)


def closer(case, folder, codecs):
    """What the driver sees that the tool does not say: single elements, a layout in memory, all of the metadata."""
    array, size = os.path.join(folder, case["store"], case["node"]), DTYPES[case["dtype"]]
    document = document_of(folder, case)
    if codecs.missing(document["codecs"], case["id"]):
        reply = yield Job("read", array, out=True)
        reply.refused("ERR_UNSUPPORTED")
        return
    facts, fortran, *spots = yield [Job("facts", array), Job("read", array, out=True, layout="F")] + [
        Job("read", array, out=True, start=",".join(map(str, spot["index"])), count=",".join("1" for _ in spot["index"]))
        for spot in case.get("spot", [])]
    for spot, reply in zip(case.get("spot", []), spots):
        check(reply.good().out.hex() == spot["bytes_hex"], "element %s is %s", spot["index"], reply.out.hex())
    check(sha256(c_order(fortran.good().out, case["shape"], size)) == case["sha256"], "other data, first dimension fastest")
    facts = facts.good().facts
    check(facts["shape"] == case["shape"] and facts["shard"] == case["chunk_shape"] and facts["dtype"] == case["dtype"],
          "facts: %s", facts)
    if common.name_of(document["codecs"][0]) == "sharding_indexed" and facts["levels"] == 2:
        check(facts["chunk"] == case["inner_chunk_shape"], "chunk: %s", facts)
    bits = fill_bits(case["dtype"], case["fill_value"])
    check(bits is None or facts["fill"] == bits.hex(), "fill value %s, not %s", facts["fill"], bits and bits.hex())
    check(facts["names"] == document.get("dimension_names"), "dimension names: %s", facts["names"])
    check(facts["attributes"] == document.get("attributes", {}), "attributes: %s", facts["attributes"])
    check(facts["codec_list"] == document["codecs"], "codecs: %s", facts["codec_list"])


def c_order(data, shape, size):
    """Elements whose first index runs fastest, in C order."""
    strides, step = [], size
    for extent in shape:
        strides.append(step)
        step *= extent
    offsets = [0]
    for extent, stride in zip(shape, strides):
        offsets = [offset + i * stride for offset in offsets for i in range(extent)]
    return b"".join(data[offset:offset + size] for offset in offsets)


def tree(case, folder, program):
    """A hierarchy: its nodes, by what lies in the store and by consolidated metadata, and their attributes."""
    store = os.path.join(folder, case["store"])
    wanted = {path.strip("/"): kind for path, kind in case["nodes"].items()}
    for how in ([], ["--consolidated"]):
        listed = json.loads(good(tool("ls", "--json", *how, store, program=program)).out.decode())["nodes"]
        check({node["path"]: node["kind"] for node in listed} == wanted, "nodes: %s", listed)
    for path, attributes in case["attributes"].items():
        info = json.loads(good(tool("info", "--json", store, "--path", path.strip("/"), program=program)).out.decode())
        check(info["attributes"] == attributes, "attributes of %s: %s", path, info["attributes"])
    info = json.loads(good(tool("info", "--json", store, program=program)).out.decode())
    check(info["consolidated"] == case["consolidated"], "consolidated: %s", info["consolidated"])
    good(tool("verify", store, program=program))


# ---- damaged ones --------------------------------------------------------------------------------------------

def first_element(case, array, program):
    """The array is too large to be read as a whole: refused, or its first element is right."""
    data, result = export(program, array, "0:1,0:1")
    if data is None:
        check(case["expect"] != "value", "%s", result.describe())
        return
    check(case["expect"] != "error", "was read: %s", case["what"])
    check(data.hex() == case.get("first_element_hex", data.hex()), "element is %s", data.hex())
    refused(tool("export", array, "-", program=program))


def open_group(case, group, program):
    for command in ("info", "verify", "ls"):
        result = tool(command, group, program=program)
        check(result.code == 1 if case["expect"] == "error" else result.code == 0 or case["expect"] != "value", "%s: %s: %s",
              command, case["what"], result.describe())
    refused(tool("export", group, "-", program=program))


def malformed(case, folder, program, codecs):
    array, expect = os.path.join(folder, case["id"]), case["expect"]
    if case["op"] == "open-group":
        open_group(case, array, program)
        return
    if case["op"] == "first":
        first_element(case, array, program)
        return
    first = case["id"].split("-")[0]
    if codecs.missing([first], case["id"]):
        refused(tool("export", array, "-", program=program))
        return
    data, result = export(program, array)
    if data is None:
        check(expect != "value", "%s", result.describe())
    else:
        check(expect != "error", "was read: %s", case["what"])
        check(sha256(data) == case.get("sha256", sha256(data)), "other data: %s", case["what"])
    for part in case.get("still_readable", []):
        data, result = export(program, array, region_text(part["region"]))
        check(data is not None, "an undamaged region does not read: %s", result.describe())
        check(sha256(data) == part["sha256"], "an undamaged region reads as other data")
    result = tool("verify", array, program=program)
    if expect == "error":
        check(result.code == 1, "verify finds nothing: %s", case["what"])
    elif expect == "value" and not case["id"].startswith("overlap"):   # legal, but no writer does that: a finding
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


# ---- packfiles -----------------------------------------------------------------------------------------------

def pack_path(case, folder):
    """The file of a case; one that is too large to keep is made of zeros and its end."""
    if "file" in case:
        return os.path.join(folder, case["file"])
    path, tail = os.path.join(TMP, "sparse.pack"), bytes.fromhex(case["tail_hex"])
    with open(path, "wb") as file:
        file.truncate(case["file_size"] - len(tail))
        file.seek(0, os.SEEK_END)
        file.write(tail)
    return path


def pack_facts(case, path, program):
    """What the file says of itself."""
    facts = json.loads(good(tool("info", "--json", path, program=program)).out.decode())
    trailer = case["trailer"]
    wanted = {"kind": "pack", "items": trailer["total_items"], "records": trailer["record_count"], "format": trailer["format"],
              "items_per_record": trailer["items_per_record"], "index_bytes": trailer["index_size"],
              "app_data_bytes": trailer["app_data_size"], "file_bytes": case["file_size"],
              "content_hash": trailer["content_hash"] if trailer["has_content_hash"] else None}
    for key, value in wanted.items():
        check(facts.get(key) == value, "%s is %s, not %s", key, facts.get(key), value)


def golden_pack(case, folder, program, codecs):
    """Its items come out, and from the items the same file comes back, where no compressor has a say."""
    path, options = pack_path(case, folder), case["options"]
    pack_facts(case, path, program)
    if "file" not in case:
        check(good(tool("pack", "cat", "--items", "0", path, program=program)).out[4:] == bytes(case["sizes"][0]), "item 0")
        return
    good(tool("verify", path, program=program))
    if codecs.missing([case["codec"]] if case["codec"] != "none" else [], case["id"]):
        return
    how = ["--codec", case["codec"]]
    app_data = output()
    items = good(tool("pack", "cat", *how, "--app-data", app_data, path, program=program)).out
    check(sha256(items) == case["item_stream_sha256"], "other items")
    with open(app_data, "rb") as file:
        check(sha256(file.read()) == case["app_data_sha256"], "other app data")
    verdict = json.loads(good(tool("pack", "verify", "--json", *how, path, program=program)).out.decode())
    check(verdict["sound"] and verdict["contents_checked"] and verdict["hash_checked"] == case["trailer"]["has_content_hash"],
          "%s", verdict)
    each = ["--items-per-record", str(options["items_per_record"])] if options["items_per_record"] > 0 else []
    made = os.path.join(TMP, "made.pack")
    good(tool("pack", "create", "--force", *how, *each, "--format", str(options["format"]), "--app-data", app_data,
              *(["--content-hash"] if options["content_hash"] else []), made, data=items, program=program))
    with open(made, "rb") as file, open(path, "rb") as theirs:
        data = file.read()
        check(case["codec"] != "none" or data == theirs.read(), "not byte for byte")
    check(good(tool("pack", "cat", *how, made, program=program)).out == items, "other items in ours")


def malformed_pack(case, folder, program, codecs):
    if codecs.missing([case["codec"]] if case["codec"] != "none" else [], case["id"]):
        return
    path, expect, how = os.path.join(folder, case["file"]), case["expect"], ["--codec", case["codec"]]
    info = tool("pack", "info", path, program=program)
    items = tool("pack", "cat", *how, path, program=program)
    verdict = tool("pack", "verify", *how, path, program=program)
    tool("pack", "verify", path, program=program)
    tool("verify", path, program=program)
    check(items.code == 0 or refused(items), "")
    if expect != "either":
        wanted = {"open-error": (1, 1, 1), "read-error": (0, 1, 1), "verify-error": (0, 0, 1), "value": (0, 0, 0)}[expect]
        check((info.code, items.code, verdict.code) == wanted, "%s: info, cat, verify give %d, %d, %d: %s", expect, info.code,
              items.code, verdict.code, verdict.describe())


def packs(counter, programs, codecs, folder):
    with open(os.path.join(folder, "manifest.json")) as file:
        manifest = json.load(file)
    for word, program in programs:
        for case in manifest["cases"]:
            counter.test(word + "pack " + case["id"], golden_pack, case, folder, program, codecs)
        for case in manifest["malformed"]:
            counter.test(word + "malformed pack " + case["id"], malformed_pack, case, folder, program, codecs)


def main():
    os.makedirs(TMP, exist_ok=True)
    counter, codecs = common.Counter(), common.Codecs()
    programs = [("", TOOL)]
    if os.path.exists(TOOL_SANITIZED):
        programs.append(("sanitized: ", TOOL_SANITIZED))
    folders = [os.path.join(ROOT, "tests", "data")]
    large = os.path.join(os.path.dirname(ROOT), "shared", "golden")
    if os.path.exists(os.path.join(large, "zarr", "manifest.json")):
        folders.append(large)
    else:
        print("left out: the whole collection of golden files: it is not in ../shared/golden; those of tests/data are read")
    seen = set()
    for folder in folders:
        zarr, damaged = os.path.join(folder, "zarr"), os.path.join(folder, "zarr-malformed")
        with open(os.path.join(zarr, "manifest.json")) as file:
            manifest = json.load(file)
        # arrays in one ZIP file are not here yet, and the tool takes them for a shard
        cases = [case for case in manifest["cases"] if not case["store"].endswith(".zip")]
        for case in cases:
            for word, program in programs:
                counter.test(word + "golden " + case["id"], golden, case, zarr, program, codecs)
        for case in manifest["groups"]:
            for word, program in programs:
                counter.test(word + "hierarchy " + case["store"], tree, case, zarr, program)
        counter.together([("closer " + case["id"], closer(case, zarr, codecs)) for case in cases])
        for case in manifest["exact"]:
            if case["id"] not in seen:
                seen.add(case["id"])
                for direct in ("auto", "off"):
                    counter.test("exact %s, direct %s" % (case["id"], direct), exact, case, direct)
        with open(os.path.join(damaged, "manifest.json")) as file:
            manifest = json.load(file)
        for case in manifest["cases"]:
            for word, program in programs:
                counter.test(word + "malformed " + case["id"], malformed, case, damaged, program, codecs)
                if case.get("truncate_every_byte"):
                    counter.test(word + "malformed %s, cut" % case["id"], truncated, case, damaged, program,
                                 1 if program == TOOL else 7)
    if os.path.exists(os.path.join(large, "packfile", "manifest.json")):
        packs(counter, programs, codecs, os.path.join(large, "packfile"))
    codecs.report("golden files")
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
