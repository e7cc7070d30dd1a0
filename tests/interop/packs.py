#!/usr/bin/env python3
"""Packfiles of the Go implementation: those without an encoder come out of us byte for byte, all are read, damaged ones are
refused at the stage where that is due. Some are in tests/data/packfile; the whole collection is looked for in
../shared/golden. Needs Python's standard library only. A word as argument: only the cases whose names contain it.
"""
import hashlib
import json
import os
import sys

import common
from common import BUILD, ROOT, TMP, check, good, run

DRIVERS = [os.path.join(BUILD, "interop", "pack_driver"), os.path.join(BUILD, "asan-gcc", "pack_driver")]
EXACT = ("total_items", "record_count", "items_per_record", "format", "index_size", "app_data_size", "has_content_hash",
         "content_hash")


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def drive(program, *arguments, data=None):
    return good(run(program, *arguments, data=data, limit=program == DRIVERS[0])).out.decode()


def read(program, path, codec):
    return json.loads(drive(program, "read", path, codec))


# ---- good ones -----------------------------------------------------------------------------------------------

def written(case, folder, program):
    """The same items and options give the same bytes."""
    options, recipe = case["options"], case["recipe"]
    path = os.path.join(TMP, "written.pack")
    drive(program, "write", path, options["items_per_record"], options["format"], int(options["content_hash"]),
          recipe["content"], recipe["seed"], options["app_data_size"], data=" ".join(map(str, case["sizes"])).encode())
    data = contents(path)
    check(data == contents(os.path.join(folder, case["file"])), "other bytes, %d for %d", len(data), case["file_size"])
    check(hashlib.sha256(data).hexdigest() == case["file_sha256"], "the golden file is not the one of the manifest")


def read_whole(case, folder, program):
    said = read(program, os.path.join(folder, case["file"]), case["codec"])
    check(said["open"] == said["scan"] == said["items"] == said["app_data"] == said["verify"] == "OK", "%s", said)
    check(said["scan_sha256"] == case["item_stream_sha256"], "other items in a range")
    check(said["items_sha256"] == case["item_stream_sha256"] or len(case["sizes"]) > 5000, "other items one by one")
    check(said["app_data_sha256"] == case["app_data_sha256"], "other app data")
    check(said["file_size"] == case["file_size"], "size: %s", said["file_size"])
    check(all(said["trailer"][name] == case["trailer"][name] for name in EXACT), "trailer: %s", said["trailer"])
    check(said["hash_checked"] == case["options"]["content_hash"] and said["contents_checked"], "verify: %s", said)
    end = said["trailer"]["index_size"] + said["trailer"]["app_data_size"] + 76
    check(said["reads_to_open"] == (1 if end <= 256 << 10 else 2), "%d reads to open it", said["reads_to_open"])


def read_opaque(case, folder, program):
    """Without the codec: what can be checked is in order, and it is not claimed that everything was checked."""
    said = read(program, os.path.join(folder, case["file"]), "opaque")
    check(said["open"] == said["verify"] == "OK", "%s", said)
    plain = case["codec"] == "none" or not sum(case["sizes"])
    several = case["trailer"]["items_per_record"] > 1 or case["options"]["content_hash"] or not case["sizes"]
    check(said["contents_checked"] == (plain and several), "contents checked: %s", said["contents_checked"])
    check(said["hash_checked"] == (plain and case["options"]["content_hash"]), "hash checked: %s", said["hash_checked"])


def sparse(case, program):
    """An item of more than 2 GiB, which is not read, and its neighbours."""
    path, tail = os.path.join(TMP, "sparse.pack"), bytes.fromhex(case["tail_hex"])
    with open(path, "wb") as file:
        file.seek(case["file_size"] - len(tail))
        file.write(tail)
    lines = [json.loads(line) for line in drive(program, "sizes", path).splitlines()]
    os.remove(path)
    check([line["size"] for line in lines] == case["sizes"], "sizes: %s", lines)
    for line in lines:
        small = line["size"] <= 1 << 20
        check(line["status"] == ("OK" if small else "ERR_LIMIT"), "%s", line)
        check(not small or line["sha256"] == hashlib.sha256(bytes(line["size"])).hexdigest(), "other data: %s", line)


# ---- damaged ones --------------------------------------------------------------------------------------------

def stage(said):
    if said["open"] != "OK":
        return "open-error"
    if said["scan"] != "OK" or said["items"] != "OK":
        return "read-error"
    return "value" if said["verify"] == "OK" else "verify-error"


def malformed(case, folder, program):
    path = os.path.join(folder, case["file"])
    said = read(program, path, case["codec"])
    check(case["expect"] in (stage(said), "either"), "%s: %s wanted: %s", case["what"], case["expect"], said)
    check(said["open"] != "OK" or stage(said) == "value" or said["verify"] != "OK", "verify finds nothing: %s", said)
    for item in ("item_first", "item_last"):   # records that are whole still read
        if case["go_reader"].get(item) == "ok" and case["expect"] not in ("open-error", "either"):
            check(said[item] == "OK", "%s: %s", item, said)
        elif case["expect"] == "read-error":
            check(said[item] != "OK", "%s: %s", item, said)
    stream = case["go_reader"].get("item_stream_sha256")
    if stream and said["open"] == "OK" and said["scan"] == "OK":
        check(said["scan_sha256"] == stream, "other items: %s", case["what"])
    said = read(program, path, "opaque")
    check(said["open"] == "OK" or case["expect"] in ("open-error", "either"), "opaque: %s", said)


# ---- packed integers -----------------------------------------------------------------------------------------

def vectors(path, program):
    with open(path) as file:
        table = json.load(file)["vectors"]
    lines = "".join("%d %s\n" % (len(v["values"]), " ".join(map(str, v["values"]))) for v in table)
    said = drive(program, "for", data=lines.encode()).split("\n")[:-1]
    check(len(said) == len(table), "%d lines for %d vectors", len(said), len(table))
    for vector, line in zip(table, said):
        check(line == vector["hex"], "%s: %s", vector["id"], line[:200])


def folders():
    own, large = os.path.join(ROOT, "tests", "data"), os.path.join(os.path.dirname(ROOT), "shared", "golden")
    yield os.path.join(own, "packfile")
    if os.path.exists(os.path.join(large, "packfile", "manifest.json")):
        yield os.path.join(large, "packfile")
    else:
        print("left out: the whole collection of packfiles: it is not in ../shared/golden; those of tests/data are read")


def main():
    os.makedirs(TMP, exist_ok=True)
    counter, codecs = common.Counter(), common.Codecs()
    programs = [program for program in DRIVERS if os.path.exists(program)]
    for folder in folders():
        with open(os.path.join(folder, "manifest.json")) as file:
            manifest = json.load(file)
        for program in programs:
            word = "" if program == DRIVERS[0] else "sanitized: "
            for case in manifest["cases"]:
                if "file" not in case:
                    counter.test(word + "sparse " + case["id"], sparse, case, program)
                    continue
                if case["codec"] == "none":
                    counter.test(word + "written " + case["id"], written, case, folder, program)
                if case["codec"] == "none" or not codecs.missing([case["codec"]], case["id"]):
                    counter.test(word + "read " + case["id"], read_whole, case, folder, program)
                counter.test(word + "opaque " + case["id"], read_opaque, case, folder, program)
            for case in manifest["malformed"]:
                if case["codec"] == "none" or not codecs.missing([case["codec"]], case["id"]):
                    counter.test(word + "malformed " + case["id"], malformed, case, folder, program)
            if os.path.exists(os.path.join(folder, "for-vectors.json")):
                counter.test(word + "packed integers", vectors, os.path.join(folder, "for-vectors.json"), program)
    codecs.report("packfiles")
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
