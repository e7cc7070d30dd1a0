#!/usr/bin/env python3
"""Archives: ZIP files of many writers are read, layered ones at every layer, torn ones at the last whole layer, from which a
writer goes on, and hostile ones are refused in small memory. The collection is looked for in ../shared/golden. What we write is
read by Python's zipfile and by unzip. Needs Python's standard library only. A word as argument: only the cases whose names
contain it.
"""
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import common
from common import ARCHIVE_DRIVER, ARCHIVE_DRIVER_SANITIZED, ROOT, TMP, Job, check

FOLDER = os.path.join(TMP, "archives")
MOST_SECONDS = 5            # of the processor, for one archive, with sanitizers


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def look(path, **keys):
    return Job("look", path, **keys)


def seen(reply, size):
    """What was seen, within the memory and the time that the file deserves. A deflated zarr.json may have some megabytes."""
    facts = reply.good().facts
    check(facts["left"] == 0, "%d bytes are not given back", facts["left"])
    check(facts["peak"] <= (24 << 20) + 40 * size, "takes %d bytes for a file of %d", facts["peak"], size)
    check(facts["seconds"] <= MOST_SECONDS, "takes %.1f seconds", facts["seconds"])
    return facts


def opened(reply, size):
    facts = seen(reply, size)
    check(facts["open"] == "OK", "does not open: %s", facts["open"])
    return facts


# ---- what the manifest says ----------------------------------------------------------------------------------

def wanted_entries(entries):
    """As the driver lists them: of a key that is there twice the last."""
    last = {entry["name"]: entry for entry in entries}
    return sorted((e["name"], e["offset"], e["data"], e["size"], e.get("csize", e["size"]), e["crc32"], e.get("method", 0))
                  for e in entries if e is last[e["name"]] or e["name"].endswith("/"))


def text_of(name):
    """A name as the manifest has it."""
    return "".join(c if not 0xDC80 <= ord(c) <= 0xDCFF else "\\x%02x" % (ord(c) - 0xDC00)
                   for c in bytes.fromhex(name).decode("utf-8", "surrogateescape"))


def listed_entries(facts):
    check(facts["listed"] == "OK", "not listed: %s", facts["listed"])
    return sorted((text_of(e["name"]), e["offset"], e["data"], e["size"], e["stored"], e["crc32"], e["method"])
                  for e in facts["entries"])


def check_entries(facts, entries):
    wanted, found = wanted_entries(entries), listed_entries(facts)
    check(found == wanted, "entries: %s", [(a, b) for a, b in zip(found + [None], wanted + [None]) if a != b][:2])


def array_jobs(path, arrays, **keys):
    """A look at each array: keys may be there once only in a job."""
    return [look(path, array=array["node"], **keys) for array in arrays]


def check_array(reply, array, size):
    facts = opened(reply, size + array["nbytes"])
    found = facts["arrays"][array["node"]]
    check(found == array["sha256"], "%s: %s", array["id"], found)


def fails(reply, size):
    facts = seen(reply, size)
    return facts["open"] != "OK" or any(text.startswith("ERR_") for text in facts["arrays"].values())


class Golden:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            self.manifest = json.load(file)
        self.arrays = {array["id"]: array for array in self.manifest["arrays"]}
        self.layered = {case["id"]: case for case in self.manifest["layers"]}

    def path(self, case):
        return os.path.join(self.folder, case["file"])


# ---- archives of others --------------------------------------------------------------------------------------

def good_case(case, golden, inflates):
    path, arrays = golden.path(case), [golden.arrays[a] for a in case["arrays"]]
    replies = yield [look(path, entries=1, nodes=1, verify=1)] + array_jobs(path, arrays)
    if case["expect"] == "either" and any(fails(reply, case["file_size"]) for reply in replies[1:]):
        return
    facts = opened(replies[0], case["file_size"])
    check(facts["foreign"] and facts["torn_bytes"] == 0, "%s", facts)
    check(facts["walked"] == "OK", "walk: %s", facts["walked"])
    if not inflates and "inflate" in case.get("needs", []):
        check(facts["verify"].startswith("ERR_CORRUPT") and facts["findings"] > 0, "verify: %s", facts["verify"])
        for reply in replies[1:]:
            text = list(opened(reply, case["file_size"])["arrays"].values())[0]
            check(len(text) == 64 or text.startswith("ERR_UNSUPPORTED") and "SHARDIO_WITH_ZLIB" in text, "%s", text)
        return
    check_entries(facts, case["entries"])
    check(facts["verify"] == "OK", "verify: %s", bytes.fromhex(facts["first_finding"]))
    for reply, array in zip(replies[1:], arrays):
        check_array(reply, array, case["file_size"])


def many_entries(case, path):
    """A group, an array, and a chunk of one byte each for all its elements."""
    mix, count = common.mix, case["chunks"]
    seed = mix(case["seed"])
    names = [(name, text.encode()) for name, text in case["first_entries"].items()]
    names += [(case["chunk_name"].replace("<i>", str(i)), bytes([mix(seed + i) & 255])) for i in range(count)]
    local, central = [], []
    at = 0
    for name, data in names:
        name = name.encode()
        fields = struct.pack("<HHHHIII", 0, 0, 0x28C4, 0x5C64, zlib.crc32(data), len(data), len(data))
        local.append(b"PK\3\4" + struct.pack("<H", 20) + fields + struct.pack("<HH", len(name), 0) + name + data)
        central.append(b"PK\1\2" + struct.pack("<HH", 20, 20) + fields +
                       struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, at) + name)
        at += len(local[-1])
    data = b"".join(local) + b"".join(central) + bytes.fromhex(case["tail_hex"])
    check(hashlib.sha256(data).hexdigest() == case["file_sha256"], "the test makes another file than the golden one")
    with open(path, "wb") as file:
        file.write(data)


def generated(case, golden):
    """What is too large to keep: made, looked at, gone. The values of more than 4 GiB are not read."""
    path, arrays = os.path.join(FOLDER, case["id"] + ".zip"), [golden.arrays[a] for a in case["arrays"]]
    if case["rule"] == "many":
        many_entries(dict(case, seed=arrays[0]["content"]["seed"]), path)
    else:
        with open(path, "wb") as file:
            for piece in case["pieces"]:
                file.seek(piece["offset"])
                file.write(bytes.fromhex(piece["hex"]))
            file.truncate(case["file_size"])
    small = case["rule"] == "many"
    replies = yield [look(path, nodes=1, entries=1, verify=int(small))] + array_jobs(path, arrays)
    facts = opened(replies[0], case["file_size"] if small else 0)
    if small:
        check(facts["count"] == case["total_entries"], "%d entries", facts["count"])
        check(facts["verify"] == "OK", "verify: %s", facts["verify"])
    else:
        check_entries(facts, case["entries"])
    check(facts["walked"] == "OK", "walk: %s", facts["walked"])
    for reply, array in zip(replies[1:], arrays):
        check_array(reply, array, case["file_size"] if small else 0)
    for layer in reversed(case.get("layers", [])):   # a search for them would read all of the file
        os.truncate(path, layer["length"])
        reply = yield look(path, array=arrays[0]["node"])
        facts = opened(reply, 0)
        check(facts["size"] == layer["length"] and facts["count"] == layer["count"], "layer: %s", facts)
        check(facts["arrays"][arrays[0]["node"]] == layer["sha256"], "layer: %s", facts["arrays"])
    os.remove(path)


# ---- layers --------------------------------------------------------------------------------------------------

def check_layer(facts, layer):
    if "entries" in layer:
        check_entries(facts, layer["entries"])
    check(facts["size"] == layer.get("length", facts["size"]), "%d bytes, not %d", facts["size"], layer.get("length"))
    if "nodes" in layer:
        nodes = {path.strip("/"): node for path, node in layer["nodes"].items()}
        found = {path: {"type": node.get("kind"), "attributes": node.get("attributes")}
                 for path, node in facts["nodes"].items()}
        check(facts["walked"] == "OK" or not nodes, "walk: %s", facts["walked"])
        check(found == nodes, "nodes: %s", found)


def layer_by_number(path, golden, layer, size):
    arrays = [golden.arrays[a] for a in layer["arrays"]]
    replies = yield [look(path, layer=layer["layer"], nodes=1, entries=1, layers=2)] + \
        array_jobs(path, arrays, layer=layer["layer"])
    facts = opened(replies[0], size)
    check(facts["layer"] == layer["layer"], "layer %d", facts["layer"])
    check_layer(facts, layer)
    check([item[0] for item in facts["layers"]] == list(range(layer["layer"], 0, -1)), "layers: %s", facts["layers"])
    for reply, array in zip(replies[1:], arrays):
        check_array(reply, array, size)


def layered_case(case, golden):
    path = golden.path(case)
    replies = yield [look(path, layers=2), look(path, layer=len(case["layers"]) + 1)]
    facts = opened(replies[0], case["file_size"])
    wanted = [[layer["layer"], layer["cd_offset"], layer["length"], layer["count"]] for layer in reversed(case["layers"])]
    check(facts["layers"] == wanted and facts["counted"] == "OK", "layers: %s %s", facts["counted"], facts["layers"])
    check(seen(replies[1], 0)["open"].startswith("ERR_NOT_FOUND"), "one layer too many: %s", replies[1].facts["open"])
    for layer in case["layers"]:
        yield from layer_by_number(path, golden, layer, case["file_size"])
        arrays = [golden.arrays[a] for a in layer["arrays"]]
        replies = yield [look(path, cut=layer["length"], nodes=1, entries=1)] + array_jobs(path, arrays, cut=layer["length"])
        facts = opened(replies[0], case["file_size"])
        check_layer(facts, layer)
        check(facts["torn_bytes"] == 0, "%d torn bytes", facts["torn_bytes"])
        for reply, array in zip(replies[1:], arrays):
            check_array(reply, array, case["file_size"])


def ambiguous_cuts(case, golden):
    """Cuts for which the manifest leaves a choice: nothing but the comment is missing."""
    return {torn["cut"]: torn["either"] for torn in golden.manifest["torn"]
            if torn["base"] == case["id"] and "either" in torn and "cut" in torn}


def cut_everywhere(case, golden, step):
    """A file that ends anywhere shows the last layer that was complete."""
    path, either = golden.path(case), ambiguous_cuts(case, golden)
    cuts = sorted(set(range(0, case["file_size"], step)) | {l["length"] + d for l in case["layers"] for d in (-1, 0, 1)})
    replies = yield [look(path, cut=cut, entries=1) for cut in cuts]
    for cut, reply in zip(cuts, replies):
        whole = [layer for layer in case["layers"] if layer["length"] <= cut]
        facts = seen(reply, case["file_size"])
        if facts["open"] != "OK" or not whole:
            check(not whole and facts["open"].startswith("ERR_CORRUPT"), "cut at %d: %s", cut, facts["open"])
            continue
        if facts["size"] != whole[-1]["length"]:
            check(cut in either, "cut at %d: %d bytes are a layer", cut, facts["size"])
            continue
        check(facts["count"] == whole[-1]["count"], "cut at %d: %d entries", cut, facts["count"])
        if "entries" in whole[-1]:
            check_entries(facts, whole[-1]["entries"])
        check(facts["torn_bytes"] == min(cut, case["file_size"]) - whole[-1]["length"], "cut at %d: %d torn bytes", cut,
              facts["torn_bytes"])


# ---- torn ----------------------------------------------------------------------------------------------------

def filler(part):
    if "byte" in part:
        return bytes([part["byte"]]) * part["length"]
    if "hex" in part:
        return bytes.fromhex(part["hex"])
    key, mix = common.mix(common.mix(part["seed"])), common.mix
    return b"".join(mix(key + j).to_bytes(8, "little") for j in range(part["length"] // 8 + 1))[:part["length"]]


def torn_bytes(case, golden):
    data = bytearray(contents(golden.path(golden.layered[case["base"]]))[:case.get("cut")])
    for part in case.get("overwrite", []):
        data[part["offset"]:part["offset"] + part["length"]] = filler(part)
    for part in case.get("append", []):
        data += filler(part)
    check(hashlib.sha256(data).hexdigest() == case["sha256"], "the test makes another file than the golden one")
    return bytes(data)


def same_entries(facts, entries):
    return listed_entries(facts) == wanted_entries(entries)


def zip_reads(path, values):
    """Python's zipfile reads all of it, and these values."""
    with zipfile.ZipFile(path) as archive:
        check(archive.testzip() is None, "zipfile: %s is damaged", archive.testzip())
        names = archive.namelist()
        check(len(set(names)) == len(names), "zipfile: a name twice")
        for name, value in values.items():
            check(archive.read(name) == value, "zipfile: %s is another one", name)
        return names


def torn_case(case, golden):
    path = os.path.join(FOLDER, "torn-%d.zip" % golden.manifest["torn"].index(case))
    with open(path, "wb") as file:
        file.write(torn_bytes(case, golden))
    layers = {layer["layer"]: layer for layer in golden.layered[case["base"]]["layers"]}
    layers[0] = None
    layers[max(layers) + 1] = {"layer": max(layers) + 1, "entries": [], "arrays": []}
    allowed = [case["layer"]] + case.get("either", [])
    reply = yield look(path, entries=1, nodes=1, layers=2)
    facts = seen(reply, case["size"])
    if facts["open"] != "OK":
        check(0 in allowed and facts["open"].startswith("ERR_CORRUPT"), "layer %s wanted: %s", allowed, facts["open"])
        reply = yield Job("begin", path, direct=0)
        check(reply.ok == (case["size"] == 0), "a writer: %s", reply.text or "goes on")   # an empty file: a new archive
        os.remove(path)
        return
    if "or_error_in" in case:
        newest = max(layers) - 1
        replies = yield [look(path, value=key) for key in case["or_error_in"]] if same_entries_by_name(facts, layers[newest]) else []
        for reply, key in zip(replies, case["or_error_in"]):
            check(reply.facts["values"][key].startswith("ERR_"), "%s reads", key)
        if replies:
            os.remove(path)
            return
    found = [n for n in allowed if layers[n] is not None and same_entries(facts, layers[n]["entries"])]
    check(found, "layer %s wanted: %s", allowed, facts)
    layer = layers[found[0]]
    arrays = [golden.arrays[a] for a in layer["arrays"]]
    replies = yield array_jobs(path, arrays)
    for reply, array in zip(replies, arrays):
        check_array(reply, array, case["size"])
    yield from continued(path, layer)
    os.remove(path)


def same_entries_by_name(facts, layer):
    return sorted(text_of(e["name"]) for e in facts["entries"]) == sorted(e["name"] for e in layer["entries"])


def continued(path, layer):
    """The next writer goes on from this layer, and everybody reads the result."""
    replies = yield [Job("begin", path, direct=0), Job("put", "more", text="and more"), Job("finish", "")]
    for reply in replies:
        reply.good()
    reply = yield look(path, entries=1, layers=1, verify=1)
    facts = opened(reply, os.path.getsize(path))
    check(facts["torn_bytes"] == 0 and not facts["foreign"] and facts["size"] == os.path.getsize(path), "%s", facts)
    check(facts["verify"] == "OK", "verify: %s", bytes.fromhex(facts["first_finding"]))
    keys = {entry["name"] for entry in layer["entries"]}
    check({text_of(e["name"]) for e in facts["entries"]} == keys | {"more"}, "entries: %s", facts["entries"])
    check(len(facts["layers"]) == 2 and facts["layers"][1][2] == layer.get("length", facts["layers"][1][2]),
          "layers: %s", facts["layers"])
    check(set(zip_reads(path, {"more": b"and more"})) == keys | {"more"}, "zipfile: other names")


# ---- hostile -------------------------------------------------------------------------------------------------

def malformed_case(case, golden):
    path, node = golden.path(case), case["node"]
    keys = [look(path, array=node), look(path, nodes=1, entries=1, verify=1, layers=2)]
    replies = yield keys
    facts = seen(replies[0], case["file_size"])
    found = facts["arrays"][node] if facts["open"] == "OK" else facts["open"]
    right = [case["sha256"]] + case.get("sha256_alt", []) if "sha256" in case else []
    expect = case["expect"]
    if found.startswith("ERR_"):
        check(expect != "value", "%s: %s", case["what"], found)
    else:
        check(expect != "error", "was read: %s", case["what"])
        check(not right or found in right, "other data: %s", case["what"])
    facts = seen(replies[1], case["file_size"])
    if facts["open"] == "OK" and case.get("verify") == "error":
        check(facts["verify"].startswith("ERR_CORRUPT") and facts["findings"] > 0, "verify finds nothing: %s", case["what"])
    if facts["open"] == "OK":
        for entry in facts["entries"]:
            name = bytes.fromhex(entry["name"])
            parts = name.split(b"/")
            check(not entry["key"] or not (set(parts) & {b"", b".", b".."}), "%s is a key", name)
    if case.get("truncate_every_byte"):
        size = case["file_size"]
        replies = yield [look(path, array=node, cut=cut) for cut in range(size)]
        for cut, reply in enumerate(replies):
            facts = seen(reply, size)
            check(facts["open"].startswith("ERR_"), "cut at %d it opens", cut)


def writes_on_hostile(case, golden):
    """Whoever writes on such a file gets an error, or an archive that others read."""
    path = os.path.join(FOLDER, "on-%s.zip" % case["id"])
    shutil.copyfile(golden.path(case), path)
    os.chmod(path, 0o644)
    replies = yield [Job("begin", path, direct=0), Job("put", "more", text="and more"), Job("finish", ""),
                     look(path, value="more")]
    if replies[0].ok:
        facts = seen(replies[3], os.path.getsize(path))
        check(facts["open"] == "OK" and not facts["values"]["more"].startswith("ERR"), "%s: %s", case["what"], facts)
    else:
        replies[0].refused()
        check(contents(path) == contents(golden.path(case)), "refused, but changed")
    os.remove(path)


def without_zlib():
    """The driver again, as plain C without zlib; None: it does not compile."""
    program = os.path.join(FOLDER, "archive_driver")
    command = (os.environ.get("CC") or "cc").split() + ["-std=c99", "-O0", "-o", program,
                                                        os.path.join(common.HERE, "archive_driver.c")]
    return program if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0 else None


def golden_tests(counter, golden, inflates):
    manifest = golden.manifest
    deflated = [case for case in manifest["cases"] if "inflate" in case.get("needs", [])]
    plain = without_zlib()
    counter.test("driver without zlib", check, plain is not None, "it does not compile")
    if plain is not None:
        counter.together([("without zlib: archive " + case["id"], good_case(case, golden, False)) for case in deflated], [plain])
    if not inflates:
        print("left out: %d archives with deflated entries: no zlib here: make deps" % len(deflated))
    for word, program in (("", ARCHIVE_DRIVER), ("sanitized: ", ARCHIVE_DRIVER_SANITIZED)):
        tests = [("archive " + case["id"], good_case(case, golden, inflates)) for case in manifest["cases"]
                 if inflates or case not in deflated]
        tests += [("layers " + case["id"], layered_case(case, golden)) for case in manifest["layers"]]
        tests += [("cut everywhere " + case["id"], cut_everywhere(case, golden, 1 if word + case["id"] == "layers" else 17))
                  for case in manifest["layers"]]
        tests += [("torn " + case["id"], torn_case(case, golden)) for case in manifest["torn"]]
        tests += [("malformed archive " + case["id"], malformed_case(case, golden)) for case in manifest["malformed"]]
        tests += [("on malformed archive " + case["id"], writes_on_hostile(case, golden)) for case in manifest["malformed"]]
        counter.together([(word + name, test) for name, test in tests], [program])
    for case in manifest["generate"]:
        counter.together([("generated archive " + case["id"], generated(case, golden))], [ARCHIVE_DRIVER])


# ---- ours, read by others ------------------------------------------------------------------------------------

SIZES = {"uint8": 1, "uint16": 2, "float64": 8}
HUGE = (1 << 32) + 1000     # of an entry of zeros in the collection, whose CRC-32 is known there
HUGE_CRC = 0x3FBC67BA


def elements(dtype, shape, seed):
    """Bytes of an array; of floats none is NaN."""
    count = 1
    for extent in shape:
        count *= extent
    start = common.mix(seed)
    if dtype == "float64":
        return b"".join(struct.pack("<d", common.mix(start + i) % 1000 / 8) for i in range(count))
    return b"".join((common.mix(start + i) & (1 << 8 * SIZES[dtype]) - 1).to_bytes(SIZES[dtype], "little")
                    for i in range(count))


def new_array(node, dtype, shape, chunk, seed, shard=None, attributes="{}"):
    def commas(numbers):
        return ",".join(map(str, numbers))
    more = {"shard": commas(shard)} if shard else {}
    return Job("array", node, dtype=dtype, shape=commas(shape), chunk=commas(chunk), attributes=attributes,
               data=elements(dtype, shape, seed), **more)


def all_good(replies):
    for reply in replies:
        reply.good()


def local_header(file, offset):
    """The header of an entry, read without any library."""
    file.seek(offset)
    head = file.read(30)
    signature, _, flags, method, _, _, crc, stored, size, name, extra = struct.unpack("<IHHHHHIIIHH", head)
    check(signature == 0x04034B50, "no local header at %d", offset)
    name, extra = file.read(name), file.read(extra)
    at, fields = 0, {}
    while at < len(extra):
        check(at + 4 <= len(extra), "extra fields of %s do not end", name)
        identity, length = struct.unpack_from("<HH", extra, at)
        check(at + 4 + length <= len(extra), "extra fields of %s do not end", name)
        fields[identity] = extra[at + 4:at + 4 + length]
        at += 4 + length
    if 0xFFFFFFFF in (size, stored):
        check(size == stored == 0xFFFFFFFF and len(fields[1]) == 16, "64-bit field of %s", name)
        size, stored = struct.unpack("<QQ", fields[1])
    return name.decode(), flags, method, crc, stored, size, file.tell()


def check_headers(path, alignment=1):
    """Local headers agree with the directory, nothing lies over anything, values begin where they were wanted to, zarr.json
    come first, the root before its members."""
    with zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
    reached = 0
    with open(path, "rb") as file:
        for info in sorted(listed, key=lambda i: i.header_offset):
            name, flags, method, crc, stored, size, data = local_header(file, info.header_offset)
            check((name, crc, stored, size, method) == (info.filename, info.CRC, info.compress_size, info.file_size, 0),
                  "%s: the headers differ", name)
            check(flags == info.flag_bits and flags & ~0x800 == 0, "%s: flags %x", name, flags)
            check(data % alignment == 0, "%s begins at %d", name, data)
            check(info.header_offset >= reached, "%s lies over another one", name)
            reached = data + stored
    names = [info.filename for info in listed]
    depths = [name.count("/") if name.split("/")[-1] == "zarr.json" else 1 << 20 for name in names]
    check(depths == sorted(depths), "zarr.json do not come first: %s", names[:20])
    return names


def unzip(*arguments):
    """unzip, which may be missing; its own word for a problem is the exit code."""
    if shutil.which("unzip") is None:
        return None
    process = subprocess.run(["unzip"] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    check(process.returncode == 0, "unzip %s: %s", " ".join(arguments), process.stdout[-300:].decode("utf-8", "replace"))
    return process.stdout


def others_read(path, facts, alignment=1):
    """Everybody sees the same keys, whole."""
    try:
        names = check_headers(path, alignment)
        zip_reads(path, {})
    except zipfile.BadZipFile as error:
        raise common.Failure("zipfile: %s" % error)
    unzip("-tqq", path)
    check(sorted(names) == sorted(text_of(e["name"]) for e in facts["entries"]), "other names: %s", names[:20])


EVERYDAY = {"plain": {}, "aligned to 64": {"alignment": 64}, "aligned to 4096": {"alignment": 4096}, "direct": {"direct": 1},
            "small buffer": {"buffer": 4096}, "ozx": {"ome": "0.5"}, "comment": {"comment": "PK and more"}}


def everyday(number, options):
    """Arrays defined, changed, renamed, deleted in several commits; each of them is a layer that others read."""
    path = os.path.join(FOLDER, "everyday-%d.zip" % number)
    forget(path)
    keys = dict({"direct": 0}, **options)
    how = {"dtype": "uint16", "shape": (13, 11), "chunk": (4, 5)}
    commits = [
        [Job("group", "", attributes='{"made": 1}'), new_array("flat", seed=1, **how),
         new_array("deep/sharded", seed=2, shard=(8, 10), attributes='{"unit": "\u00b5m"}', **how),
         new_array("deep/floats", "float64", (7,), (3,), 3)],
        [Job("write", "flat", start="2,3", count="5,6", data=elements("uint16", (5, 6), 4)),
         Job("write", "deep/sharded", start="0,0", count="3,11", data=elements("uint16", (3, 11), 5)),
         Job("delete", "deep/floats"), new_array("gr\u00f6\u00dfe/\u03b2", seed=6, **how)],
        [Job("rename", "deep/sharded/", to="deep/moved/"), Job("put", "notes.txt", text="of no node")],
        [Job("remove", "notes.txt"), Job("put", "empty", data=b""), Job("delete", "flat"), new_array("flat", seed=7, **how)]]
    nodes = [{"flat", "deep/sharded", "deep/floats"}, {"flat", "deep/sharded", "gr\u00f6\u00dfe/\u03b2"},
             {"flat", "deep/moved", "gr\u00f6\u00dfe/\u03b2"}, {"flat", "deep/moved", "gr\u00f6\u00dfe/\u03b2"}]
    states = []
    for layer, (jobs, arrays) in enumerate(zip(commits, nodes), 1):
        replies = yield [Job("begin", path, create=int(layer == 1), **keys)] + jobs + [Job("finish", "")]
        all_good(replies)
        arrays = sorted(arrays)
        replies = yield [look(path, entries=1, nodes=1, layers=1, verify=1)] + [look(path, array=node) for node in arrays]
        facts = opened(replies[0], os.path.getsize(path))
        check(facts["layer"] == layer and len(facts["layers"]) == layer and not facts["foreign"], "%s", facts)
        check({p for p, node in facts["nodes"].items() if node["kind"] == "array"} == set(arrays), "%s", facts["nodes"])
        check(facts["verify"] == "OK", "verify: %s", facts["verify"])
        others_read(path, facts, options.get("alignment", 1))
        states.append([reply.facts["arrays"] for reply in replies[1:]])
    check(states[0][2]["flat"] == hashlib.sha256(elements("uint16", (13, 11), 1)).hexdigest(), "flat: %s", states[0])
    check(states[1][0]["deep/sharded"] == states[2][0]["deep/moved"] != states[0][1]["deep/sharded"], "%s", states)
    if "ome" in options:
        check_ozx(path)
    if "comment" in options:
        check(zipfile.ZipFile(path).comment == b"PK and more", "comment")
    for layer, arrays in enumerate(nodes, 1):
        replies = yield [look(path, layer=layer, array=node) for node in sorted(arrays)]
        check([reply.facts["arrays"] for reply in replies] == states[layer - 1], "layer %d has changed", layer)
    replies = yield [Job("compact", path, **options), look(path, entries=1, layers=1)] + \
        [look(path, array=node) for node in sorted(nodes[-1])]
    replies[0].good()
    facts = opened(replies[1], os.path.getsize(path))
    check(len(facts["layers"]) == 1, "compacted: %s", facts["layers"])
    check([reply.facts["arrays"] for reply in replies[2:]] == states[-1], "compacting has changed arrays")
    others_read(path, facts, options.get("alignment", 1))
    os.remove(path)


def taken_back():
    """What is discarded, or given up, leaves no byte behind."""
    path = os.path.join(FOLDER, "taken-back.zip")
    forget(path)
    begin, large = Job("begin", path, direct=0, buffer=4096), Job("put", "large", data=bytes(100000))
    all_good((yield [Job("begin", path, create=1), Job("put", "kept", text="kept"), Job("finish", "")]))
    whole = contents(path)
    for jobs in ([large, Job("close", "")], [large, Job("discard", ""), Job("close", "")],
                 [Job("put", "small", text="small"), large, Job("discard", ""), Job("finish", "")]):
        all_good((yield [begin] + jobs))
        check(contents(path) == whole, "%s: %d bytes, not %d", [job.command for job in jobs], os.path.getsize(path), len(whole))
    os.remove(path)


def forget(path):
    """A file that a test which failed has left."""
    if os.path.exists(path):
        os.remove(path)


def check_ozx(path):
    """OME-NGFF RFC 9: the comment is JSON, zarr.json come first, 64-bit end records."""
    with zipfile.ZipFile(path) as archive:
        comment, names = json.loads(archive.comment), archive.namelist()
    check(comment == {"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}}, "%s", comment)
    check(names[0] == "zarr.json", "%s", names)
    with open(path, "rb") as file:
        check(local_header(file, 0)[0] == "zarr.json", "the first entry is not the root's")
    end = contents(path)[-(22 + 20 + 56) - len(zipfile.ZipFile(path).comment):]
    check(end[:4] == b"PK\6\6" and end[56:60] == b"PK\6\7" and end[76:80] == b"PK\5\6", "no 64-bit end records")


def more_than_65535(count):
    """So many entries, of which some go and others come."""
    path = os.path.join(FOLDER, "many.zip")
    replies = yield [Job("begin", path, create=1, direct=0), Job("group", "", attributes="{}"),
                     new_array("m", "uint8", (count,), (1,), 1), Job("commit", ""),
                     Job("write", "m", start="7", count="100", data=bytes(100)), Job("remove", "m/c/200"), Job("finish", "")]
    all_good(replies)
    replies = yield [look(path, layers=1, array="m"), look(path, layer=1, array="m")]
    first, last = (opened(reply, os.path.getsize(path) + count * 200) for reply in reversed(replies))
    data = elements("uint8", (count,), 1)
    check(first["arrays"]["m"] == hashlib.sha256(data).hexdigest(), "the first layer: %s", first["arrays"])
    data = data[:7] + bytes(100) + data[107:200] + b"\0" + data[201:]
    check(last["arrays"]["m"] == hashlib.sha256(data).hexdigest(), "the last layer: %s", last["arrays"])
    names = check_headers(path)
    check(last["count"] == len(names) == len(set(names)), "%d names, zipfile %d", last["count"], len(names))
    with zipfile.ZipFile(path) as archive:
        check(archive.read("m/c/%d" % (count - 1)) == data[-1:] and archive.testzip() is None, "zipfile")
    unzip("-tqq", path)
    os.remove(path)


def beyond_4_gib():
    """A value of more than 4 GiB, others and the directory behind it, then one more commit."""
    path = os.path.join(FOLDER, "huge.zip")
    replies = yield [Job("begin", path, create=1, huge=1), Job("group", "", attributes="{}"), Job("put", "huge", size=HUGE),
                     new_array("a", "uint16", (13, 11), (4, 5), 1), Job("finish", ""), Job("begin", path, direct=0),
                     Job("put", "later", text="and later"), Job("finish", "")]
    all_good(replies)
    check(os.stat(path).st_blocks * 512 < 64 << 20, "the file is not sparse")
    replies = yield [look(path, entries=1, layers=1, array="a")]
    facts = opened(replies[0], 0)
    check(facts["arrays"]["a"] == hashlib.sha256(elements("uint16", (13, 11), 1)).hexdigest(), "%s", facts["arrays"])
    check([layer[0] for layer in facts["layers"]] == [2, 1], "%s", facts["layers"])
    names = check_headers(path)
    check(sorted(names) == sorted(text_of(e["name"]) for e in facts["entries"]), "%s", names)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("huge")
        check((info.file_size, info.CRC) == (HUGE, HUGE_CRC), "%s", info)
        check(archive.read("later") == b"and later" and archive.getinfo("later").header_offset > HUGE, "zipfile")
        check(all(archive.read(name) for name in names if name != "huge"), "zipfile")
    check(unzip("-p", path, "later") in (None, b"and later"), "unzip")
    os.remove(path)


# ---- ours, damaged -------------------------------------------------------------------------------------------

def three_layers(path):
    """An archive of three commits with values of all kinds, and what arrays hold at each: [{node: digest}]."""
    how = {"dtype": "uint16", "shape": (13, 11), "chunk": (4, 5)}
    forget(path)
    begin, finish = Job("begin", path, direct=0), Job("finish", "")
    nested = os.path.join(FOLDER, "nested-%s" % os.path.basename(path))
    forget(nested)
    all_good((yield [Job("begin", nested, create=1, direct=0), Job("group", "", attributes="{}"), new_array("flat", seed=9, **how),
                     finish]))
    all_good((yield [Job("begin", path, create=1, direct=0), Job("group", "", attributes="{}"), new_array("flat", seed=1, **how),
                     new_array("sharded", seed=2, shard=(8, 10), **how), finish,
                     begin, Job("write", "flat", start="0,0", count="13,11", data=elements("uint16", (13, 11), 3)),
                     Job("put", "nested.zip", data=contents(nested)), finish,
                     begin, Job("delete", "sharded"), Job("put", "again.zip", data=contents(nested)), finish]))
    os.remove(nested)
    one, two, three = (hashlib.sha256(elements("uint16", (13, 11), seed)).hexdigest() for seed in (1, 2, 3))
    return [{"flat": one, "sharded": two}, {"flat": three, "sharded": two}, {"flat": three}]


def ours_torn(step):
    """Cut anywhere, with zeros or the archive that is its last value behind, it opens at the last whole layer."""
    path = os.path.join(FOLDER, "torn-ours.zip")
    states = yield from three_layers(path)
    facts = opened((yield look(path, layers=1)), os.path.getsize(path))
    searched = opened((yield look(path, layers=2)), os.path.getsize(path))
    check(facts["layers"] == searched["layers"] and len(facts["layers"]) == 3, "%s", searched["layers"])
    lengths = [layer[2] for layer in reversed(facts["layers"])]
    cuts = sorted(set(range(0, lengths[-1] + 1, step)) | {n + d for n in lengths for d in (-1, 0)})
    replies = yield [look(path, cut=cut, array="flat") for cut in cuts]
    for cut, reply in zip(cuts, replies):
        facts, whole = seen(reply, lengths[-1]), [n for n, length in enumerate(lengths) if length <= cut]
        if not whole:
            check(facts["open"].startswith("ERR_CORRUPT"), "cut at %d: %s", cut, facts["open"])
            continue
        check(facts["open"] == "OK" and facts["layer"] == whole[-1] + 1 and facts["torn_bytes"] == cut - lengths[whole[-1]],
              "cut at %d: %s", cut, facts)
        check(facts["arrays"]["flat"] == states[whole[-1]]["flat"], "cut at %d: other data", cut)
    data = contents(path)
    nested = data.index(b"PK\5\6", data.index(b"again.zip")) + 22     # a whole archive ends here, at the end of the file
    for name, torn in (("nested", data[:nested]), ("zeros", data + bytes(70000)), ("holes", data[:-100] + bytes(100))):
        with open(path, "wb") as file:
            file.write(torn)
        layer = 3 if name == "zeros" else 2
        facts = opened((yield look(path, array="flat", layers=2)), len(torn))
        check(facts["layer"] == layer and facts["arrays"]["flat"] == states[layer - 1]["flat"], "%s: %s", name, facts)
        all_good((yield [Job("begin", path, direct=0), Job("put", "more", text="and more"), Job("finish", "")]))
        facts = opened((yield look(path, layers=1, verify=1)), len(torn))
        check(facts["layer"] == layer + 1 and facts["verify"] == "OK", "%s: %s", name, facts)
        zip_reads(path, {"more": b"and more"})
    os.remove(path)


def with_chain_checksum(data, directory, size):
    """Our directory again, with the CRC-32 that it is known by: as somebody hostile would write it."""
    data = bytearray(data)
    name, extra = struct.unpack_from("<HH", data, directory + 28)
    at, end = directory + 46 + name, directory + 46 + name + extra
    while at + 4 <= min(end, len(data)):
        identity, length = struct.unpack_from("<HH", data, at)
        if identity == 0x6873 and length == 24:
            data[at + 8:at + 12] = bytes(4)
            data[at + 8:at + 12] = struct.pack("<I", zlib.crc32(data[directory:directory + size]))
            break
        at += 4 + length
    return bytes(data)


def ours_mutated(seed, count):
    """Bytes of the newest directory and end record changed, half of them with a checksum that fits: an error, or what was
    there; never a crash, and little memory."""
    r = random.Random(seed)
    path = os.path.join(FOLDER, "mutated-ours.zip")
    states = yield from three_layers(path)
    data = contents(path)
    facts = opened((yield look(path, layers=1)), len(data))
    directory = facts["layers"][0][1]
    size = struct.unpack_from("<I", data, len(data) - 10)[0]
    paths, fits = [], []
    for number in range(count):
        changed = bytearray(data)
        for _ in range(r.choice([1, 1, 2, 4])):
            at = r.randrange(directory, len(data))
            changed[at] = r.choice([0, 1, 0xFF, 0x7F, changed[at] ^ 1 << r.randrange(8), r.randrange(256)])
        fits.append(number % 2 == 1)
        changed = with_chain_checksum(changed, directory, size) if fits[-1] else bytes(changed)
        paths.append(os.path.join(FOLDER, "mutated-%d.zip" % number))
        with open(paths[-1], "wb") as file:
            file.write(changed)
    replies = yield [look(p, array="flat", entries=1, nodes=1, verify=1, layers=2) for p in paths]
    for reply, fit in zip(replies, fits):
        facts = seen(reply, len(data))
        found = facts["arrays"]["flat"] if facts["open"] == "OK" else facts["open"]
        right = found.startswith("ERR_") or found in [state["flat"] for state in states]
        check(right or fit or "OK" != facts["verify"], "other data: %s", reply.job.describe())
    for p in paths:      # whoever writes on one gets an error or a whole archive, but for what was damaged before
        replies = yield [Job("begin", p, direct=0), Job("put", "more", text="and more"), Job("finish", ""), look(p, value="more")]
        if replies[0].ok:
            facts = seen(replies[3], len(data))
            check(facts["open"] == "OK" and not facts["values"]["more"].startswith("ERR"), "%s: %s", p, facts)
        os.remove(p)
    os.remove(path)


def chain_fields(data, directory):
    """Where the number of the layer and the length of the one before stand."""
    name, extra = struct.unpack_from("<HH", data, directory + 28)
    at = data.index(struct.pack("<HH", 0x6873, 24), directory + 46 + name, directory + 46 + name + extra)
    return at + 12, at + 20


def ours_numbered():
    """Layers that lie about their number or about the layer before, with a checksum that fits."""
    path = os.path.join(FOLDER, "numbered-ours.zip")
    states = yield from three_layers(path)
    data = contents(path)
    facts = opened((yield look(path, layers=1)), len(data))
    directory, size = facts["layers"][0][1], struct.unpack_from("<I", data, len(data) - 10)[0]
    number, before = chain_fields(data, directory)
    ones, lengths = (1 << 64) - 1, [layer[2] for layer in facts["layers"]]
    for at, value in ((number, 0), (number, 1), (number, 7), (number, ones), (number, ones - 1), (before, 0), (before, 1),
                      (before, lengths[0]), (before, lengths[2]), (before, lengths[1] + 1), (before, ones)):
        changed = bytearray(data)
        changed[at:at + 8] = struct.pack("<Q", value)
        with open(path, "wb") as file:
            file.write(with_chain_checksum(changed, directory, size))
        facts = opened((yield look(path, layers=2, array="flat")), len(data))
        check(facts["arrays"]["flat"] == states[2]["flat"] and facts["counted"] == "OK", "%d: %s", value, facts)
        check(facts["layer"] > 0, "%d: %s", value, facts)
        all_good((yield [Job("begin", path, direct=0), Job("put", "more", text="and more"), Job("finish", "")]))
        facts = opened((yield look(path, layers=2, array="flat")), len(data))
        check(facts["layers"][1][2] == len(data), "%d: %s", value, facts["layers"])
        numbers = [layer[0] for layer in facts["layers"]]
        check(numbers == list(range(numbers[0], numbers[0] - len(numbers), -1)) and numbers[-1] > 0, "%d: %s", value, facts)
        check(facts["layer"] > 1 and not facts["foreign"], "%d: %s", value, facts)
    os.remove(path)


# ---- ours, changed by others ---------------------------------------------------------------------------------

def zipfile_appends(path):
    """Python writes over the newest directory, and keeps the extra fields that it read there."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("theirs/deflated", b"of a foreign tool " * 100, zipfile.ZIP_DEFLATED)
        archive.writestr("theirs/stored", b"stored")


def zip_appends(path):
    folder = os.path.join(FOLDER, "theirs-of-zip")
    os.makedirs(os.path.join(folder, "theirs"), exist_ok=True)
    for name, data in (("deflated", b"of a foreign tool " * 100), ("stored", b"stored")):
        with open(os.path.join(folder, "theirs", name), "wb") as file:
            file.write(data)
    process = subprocess.run(["zip", "-qr", path, "theirs"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    check(process.returncode == 0, "zip: %s", process.stdout)


def zip_deletes(path):
    zip_appends(path)
    process = subprocess.run(["zip", "-qd", path, "empty"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    check(process.returncode == 0, "zip: %s", process.stdout)


def changed_by_others(name, change, options, inflates):
    """What another program made of our archive is read; the next commit of ours is whole again, and what can still be found
    of the layers before is told."""
    path = os.path.join(FOLDER, "changed-%s.zip" % name.replace(" ", "-"))
    forget(path)
    how = {"dtype": "uint16", "shape": (13, 11), "chunk": (4, 5)}
    begin, finish = Job("begin", path, direct=0), Job("finish", "")
    replies = yield [Job("begin", path, create=1, direct=0, **options), Job("group", "", attributes="{}"),
                     Job("put", "empty", data=b""), new_array("one", seed=1, **how), finish,
                     begin, new_array("two", seed=2, shard=(8, 10), **how), finish]
    all_good(replies)
    before = opened((yield look(path, layers=1)), os.path.getsize(path))
    change(path)
    size = os.path.getsize(path)
    keys = [look(path, entries=1, nodes=1, verify=1), look(path, layers=1), look(path, layers=2), look(path, array="one"),
            look(path, array="two"), look(path, value="theirs/stored"), look(path, value="theirs/deflated")]
    replies = yield keys
    facts = opened(replies[0], size)
    check(facts["foreign"] and facts["torn_bytes"] == 0, "%s", facts)
    check(facts["verify"] == "OK" or not inflates, "verify: %s", bytes.fromhex(facts["first_finding"]))
    check_values(replies[3:], size, inflates)
    chained, searched = opened(replies[1], size), opened(replies[2], size)
    check(searched["counted"] == "OK" and searched["layers"][0][2] == size, "%s", searched["layers"])
    if chained["counted"] == "OK":   # the chain led to layers that are still there
        check(chained["layers"][1:] == before["layers"][1:] and not chained["chain_broken"], "%s", chained["layers"])
    else:
        check(chained["counted"].startswith("ERR_CORRUPT") and chained["chain_broken"], "%s", chained["counted"])
    replies = yield [begin, new_array("three", seed=3, **how), finish] + keys + [look(path, array="three")]
    all_good(replies[:3])
    size = os.path.getsize(path)
    facts = opened(replies[3], size)
    check(not facts["foreign"] and (facts["verify"] == "OK" or not inflates), "%s", facts)
    check_values(replies[6:10], size, inflates)
    check(replies[10].facts["arrays"]["three"] == hashlib.sha256(elements("uint16", (13, 11), 3)).hexdigest(), "three")
    chained = opened(replies[4], size)
    check(chained["layers"][0][2] == size and chained["layers"][0][0] == facts["layer"], "%s", chained["layers"])
    check(len(chained["layers"]) > 1 and chained["layers"][1][2] == searched["layers"][0][2], "%s", chained["layers"])
    zip_reads(path, {"theirs/stored": b"stored", "theirs/deflated": b"of a foreign tool " * 100})
    unzip("-tqq", path)
    os.remove(path)


def check_values(replies, size, inflates):
    one, two, stored, deflated = (opened(reply, size) for reply in replies)
    for facts, node, seed in ((one, "one", 1), (two, "two", 2)):
        check(facts["arrays"][node] == hashlib.sha256(elements("uint16", (13, 11), seed)).hexdigest(), "%s", facts["arrays"])
    check(stored["values"]["theirs/stored"] == hashlib.sha256(b"stored").hexdigest(), "%s", stored["values"])
    check(not inflates or deflated["values"]["theirs/deflated"] == hashlib.sha256(b"of a foreign tool " * 100).hexdigest(),
          "%s", deflated["values"])


def our_tests(counter, inflates):
    for tool, package in (("unzip", "unzip"), ("zip", "zip")):
        if shutil.which(tool) is None:
            print("missing: %s: install the package %s" % (tool, package))
    changes = {"zipfile": zipfile_appends}
    if shutil.which("zip") is not None:
        changes.update({"zip": zip_appends, "zip -d": zip_deletes})
    for word, program in (("", ARCHIVE_DRIVER), ("sanitized: ", ARCHIVE_DRIVER_SANITIZED)):
        tests = [("ours, " + name, everyday(number, options)) for number, (name, options) in enumerate(EVERYDAY.items())]
        tests += [("ours, taken back", taken_back())]
        tests += [("ours, torn", ours_torn(7 if program == ARCHIVE_DRIVER else 31)),
                  ("ours, mutated", ours_mutated(program, 150)), ("ours, numbered", ours_numbered())]
        tests += [("ours, changed by %s, %s" % (name, how), changed_by_others(name + " " + how, change, options, inflates))
                  for name, change in changes.items() for how, options in (("plain", {}), ("aligned", {"alignment": 4096}))]
        counter.together([(word + name, test) for name, test in tests], [program])
    counter.together([("ours, more than 65535 entries", more_than_65535(66000))], [ARCHIVE_DRIVER])
    counter.together([("ours, beyond 4 GiB", beyond_4_gib())], [ARCHIVE_DRIVER])


def main():
    os.makedirs(FOLDER, exist_ok=True)
    counter = common.Counter()
    inflates = "gzip" in common.Codecs().present
    golden = os.path.join(os.path.dirname(ROOT), "shared", "golden", "zip")
    if os.path.exists(os.path.join(golden, "manifest.json")):
        golden_tests(counter, Golden(golden), inflates)
    else:
        print("left out: the collection of archives: it is not in ../shared/golden")
    our_tests(counter, inflates)
    shutil.rmtree(FOLDER)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
