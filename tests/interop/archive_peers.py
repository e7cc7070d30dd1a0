#!/usr/bin/env python3
"""Our archives by zarr-python, zarrs and tensorstore, and theirs by us: random lives of archives, in which arrays come, change,
are renamed and go; whatever was committed all of them read, at every layer. Between our commits zarr-python and Python's zipfile
add to the same file. Then more entries and more bytes than 16 and 32 bits count.

    tests/interop/archive_peers.py [WORD]     WORD: only the tests whose names contain it
    SEED=7 LIVES=100                          other lives, more of them; a failure prints its number
"""
import os
import sys

import common
from common import ARCHIVE_DRIVER, ARCHIVE_DRIVER_SANITIZED, Failure, Job, check, enter_environment

enter_environment()

import hashlib  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import warnings  # noqa: E402
import zipfile  # noqa: E402

import numpy as np  # noqa: E402
import tensorstore as ts  # noqa: E402
import zarr  # noqa: E402

import archives  # noqa: E402
from archives import FOLDER, all_good, look, opened, others_read  # noqa: E402

warnings.simplefilter("ignore")
SEED = int(os.environ.get("SEED") or 3)
LIVES = int(os.environ.get("LIVES") or 12)
PEERS = {"zarr-python": "zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs": "zarrs.ZarrsCodecPipeline", "tensorstore": None}
TYPES = ["bool", "int8", "uint16", "int32", "uint64", "float32", "float64", "complex64"]
NAMES = ["a", "b.c", "with space", "\u00fc\u4e2d", "0", "c"]
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
CHECKED = [LITTLE, {"name": "crc32c"}]
PACKED = {"gzip": {"name": "gzip", "configuration": {"level": 1}},
          "zstd": {"name": "zstd", "configuration": {"level": 1, "checksum": False}}}


# ---- peers ---------------------------------------------------------------------------------------------------

def pipeline(peer):
    return zarr.config.set({"codec_pipeline.path": PEERS[peer], "codec_pipeline.strict": True})


def peer_reads(peer, path, nodes):
    """All of these arrays."""
    if not nodes:     # a ZipStore that was never used cannot be closed
        return {}
    try:
        if peer == "tensorstore":
            context = ts.Context()
            return {node: ts.open({"driver": "zarr3", "kvstore": {"driver": "zip", "base": {"driver": "file", "path": path},
                                                                  "path": node + "/"}}, context=context).result().read().result()
                    for node in nodes}
        store = zarr.storage.ZipStore(path, mode="r")
        with pipeline(peer):
            found = {node: zarr.open_array(store, path=node, mode="r")[...] for node in nodes}
        store.close()
        return found
    except Exception as error:    # each has its own kinds
        raise Failure("%s cannot read it: %s: %s" % (peer, type(error).__name__, error))


def peers_read(path, arrays, peers=PEERS):
    for peer in peers:
        found = peer_reads(peer, path, arrays)
        for node, array in arrays.items():
            got = np.asarray(found[node])
            check(got.dtype == array.dtype and got.tobytes() == array.tobytes(), "%s reads other data in %s", peer, node)


def members_agree(path, arrays):
    """The hierarchy as zarr-python finds it by listing."""
    store = zarr.storage.ZipStore(path, mode="r")
    found = {name for name, node in zarr.open_group(store, mode="r").members(max_depth=None) if isinstance(node, zarr.Array)}
    store.close()
    check(found == set(arrays), "zarr-python finds the arrays %s, not %s", sorted(found), sorted(arrays))


# ---- a life --------------------------------------------------------------------------------------------------

def commas(numbers):
    return ",".join(map(str, numbers))


class Life:
    """What the archive holds at the moment, and what it held when it was committed: [(bytes of the file, arrays)]."""

    def __init__(self, number, codecs):
        r = self.random = random.Random("%d/%d" % (SEED, number))
        self.path = os.path.join(FOLDER, "life-%d.zip" % number)
        archives.forget(self.path)
        self.codecs = [None, CHECKED] + [[LITTLE, PACKED[name]] for name in sorted(PACKED) if name in codecs]
        self.arrays, self.history, self.names = {}, [], 0
        self.options = {"alignment": r.choice([0, 0, 64, 4096]), "direct": r.choice([0, 1]),
                        "buffer": r.choice([0, 4096, 65536])}
        if r.random() < 0.2:
            self.options["ome"] = "0.5"

    def new_name(self):
        self.names += 1
        parts = [self.random.choice(NAMES) for _ in range(self.random.randint(0, 2))]
        return "/".join(["g" + part for part in parts] + ["%s%d" % (self.random.choice(NAMES), self.names)])

    def data(self, dtype, shape):
        numbers = np.random.default_rng(self.random.getrandbits(32)).integers(0, 100, shape)
        return np.ascontiguousarray(numbers % 2 if dtype == "bool" else numbers).astype(dtype)

    def new_array(self, node=None):
        r, node = self.random, node or self.new_name()
        shape = [r.randint(1, 20) for _ in range(r.randint(1, 3))]
        chunk = [r.randint(1, extent) for extent in shape]
        keys = {}
        codecs = r.choice(self.codecs)
        shard = [c * r.randint(1, 4) for c in chunk] if r.random() < 0.5 else None
        if shard:
            keys["shard"] = commas(shard)
        if codecs and shard:
            codecs = [{"name": "sharding_indexed", "configuration": {"chunk_shape": chunk, "codecs": codecs, "index_codecs": CHECKED,
                                                                     "index_location": r.choice(["start", "end"])}}]
        if codecs:
            keys["codec_list"] = json.dumps(codecs)
        dtype = r.choice(TYPES)
        self.arrays[node] = self.data(dtype, shape)
        return [Job("array", node, dtype=dtype, shape=commas(shape), chunk=commas(chunk), attributes='{"n": %d}' % self.names,
                    data=self.arrays[node].tobytes(), **keys)]

    def write(self, node):
        array = self.arrays[node] = self.arrays[node].copy()
        start = [self.random.randint(0, extent - 1) for extent in array.shape]
        count = [self.random.randint(1, extent - at) for at, extent in zip(start, array.shape)]
        data = self.data(str(array.dtype), count)
        array[tuple(slice(at, at + n) for at, n in zip(start, count))] = data
        return [Job("write", node, start=commas(start), count=commas(count), data=data.tobytes())]

    def rename(self, node):
        to = self.new_name().split("/")[-1]     # at the root: there is no group to be made
        self.arrays[to] = self.arrays.pop(node)
        return [Job("rename", node + "/", to=to + "/")]

    def delete(self, node):
        del self.arrays[node]
        return [Job("delete", node)]

    def replace(self, node):
        return self.delete(node) + self.new_array(node)

    def step(self):
        if not self.arrays:
            return self.new_array()
        do = self.random.choice([self.new_array, self.new_array, self.write, self.write, self.rename, self.delete, self.replace])
        return do() if do == self.new_array else do(self.random.choice(sorted(self.arrays)))

    def commit(self):
        """Jobs of one commit; some have another one in the middle, some a part that is discarded."""
        r, first = self.random, not self.history
        jobs = [Job("begin", self.path, **dict(self.options, **({"create": 1} if first else {})))]
        jobs += [Job("group", "", attributes="{}")] if first else []
        for _ in range(r.randint(1, 4)):
            jobs += self.step()
        if r.random() < 0.2:
            kept = dict(self.arrays)
            jobs += [Job("commit", "")] + self.step() + [Job("discard", "")]
            self.arrays = kept
        return jobs + [Job("finish", "")]

    def remember(self):
        self.history.append((os.path.getsize(self.path), dict(self.arrays)))


def we_read(path, arrays, **keys):
    replies = yield [look(path, entries=1, nodes=1, layers=1, verify=1, **keys)] + [look(path, array=n, **keys) for n in arrays]
    facts = opened(replies[0], os.path.getsize(path))
    check(facts["verify"] == "OK" and facts["walked"] == "OK", "%s", facts)
    check({p for p, node in facts["nodes"].items() if node["kind"] == "array"} == set(arrays), "nodes: %s", facts["nodes"])
    for reply, (node, array) in zip(replies[1:], arrays.items()):
        found = opened(reply, os.path.getsize(path))["arrays"][node]
        check(found == hashlib.sha256(array.tobytes()).hexdigest(), "we read other data in %s: %s", node, found)
    return facts


def life(number, codecs):
    l = Life(number, codecs)
    for _ in range(l.random.randint(2, 6)):
        all_good((yield l.commit()))
        l.remember()
        facts = yield from we_read(l.path, l.arrays)
        check(len(facts["layers"]) >= len(l.history), "layers: %s", facts["layers"])
        others_read(l.path, facts, max(1, l.options["alignment"]))
        peers_read(l.path, l.arrays)
        members_agree(l.path, l.arrays)
    layers = {length: number for number, _, length, _ in facts["layers"]}
    cut = l.path + ".cut.zip"
    for length, arrays in l.history:
        yield from we_read(l.path, arrays, layer=layers[length])
        shutil.copyfile(l.path, cut)
        os.truncate(cut, length)
        peers_read(cut, arrays)
    all_good((yield [Job("compact", l.path, **l.options)]))
    facts = yield from we_read(l.path, l.arrays)
    others_read(l.path, facts, max(1, l.options["alignment"]))
    peers_read(l.path, l.arrays)
    os.remove(l.path)
    os.remove(cut)


# ---- everybody writes ----------------------------------------------------------------------------------------

def zarr_python_adds(l):
    """An array of zarr-python's own in the file of ours, and a piece of it once more."""
    node, array = l.new_name().split("/")[-1], l.data("uint16", (9, 5))
    store = zarr.storage.ZipStore(l.path, mode="a")
    made = zarr.create_array(store, name=node, shape=array.shape, chunks=(4, 4), dtype="uint16", compressors=None, fill_value=0)
    made[...] = array
    made[2:3, 1:4] = array[2:3, 1:4] = 7
    store.close()
    l.arrays[node] = array


def zipfile_adds(l):
    with zipfile.ZipFile(l.path, "a") as archive:
        archive.writestr("of-no-node-%d" % l.names, b"text " * 50, zipfile.ZIP_DEFLATED if l.random.random() < 0.5 else 0)
    l.names += 1


def shared_life(number, codecs, inflates):
    """Tensorstore refuses names that stand twice, as zarr-python leaves them, and a commit of ours takes away."""
    l = Life(number, codecs)
    for _ in range(3):
        all_good((yield l.commit()))
        yield from we_read(l.path, l.arrays)
        peers_read(l.path, l.arrays)
        zarr_python_adds(l)
        if inflates:
            zipfile_adds(l)
        facts = yield from we_read(l.path, l.arrays)
        check(facts["foreign"], "%s", facts)
        peers_read(l.path, l.arrays, ["zarr-python", "zarrs"])
        l.history.append(None)
    all_good((yield l.commit()))
    facts = yield from we_read(l.path, l.arrays)
    check(not facts["foreign"], "%s", facts)
    peers_read(l.path, l.arrays)
    os.remove(l.path)


def of_zarr_python(number, codecs):
    """A store that zarr-python began."""
    l = Life(number, codecs)
    store = zarr.storage.ZipStore(l.path, mode="w")
    zarr.create_group(store)
    for _ in range(3):
        node, array = l.new_name().split("/")[-1], l.data("int32", (9, 5))
        made = zarr.create_array(store, name=node, shape=array.shape, chunks=(2, 3), shards=(4, 6), dtype="int32",
                                 compressors=None, fill_value=0)
        made[...] = array
        l.arrays[node] = array
    store.close()
    facts = yield from we_read(l.path, l.arrays)
    check(facts["foreign"] and facts["layer"] == 1, "%s", facts)
    l.remember()
    for _ in range(2):
        all_good((yield l.commit()))
        facts = yield from we_read(l.path, l.arrays)
        check(not facts["foreign"] and facts["layers"][-1][2] == l.history[0][0], "%s", facts["layers"])
        peers_read(l.path, l.arrays)
    os.remove(l.path)


# ---- large ones ----------------------------------------------------------------------------------------------

def exactly_65535():
    """The number that means "look elsewhere" in the end record; tensorstore reads it as that alone."""
    path, count = os.path.join(FOLDER, "peers-many.zip"), 65533
    archives.forget(path)
    data = np.frombuffer(archives.elements("uint8", (count,), 1), "uint8")
    all_good((yield [Job("begin", path, create=1, direct=0), Job("group", "", attributes="{}"),
                     Job("array", "m", dtype="uint8", shape=count, chunk=1, attributes="{}", data=data.tobytes()),
                     Job("finish", "")]))
    peers_read(path, {"m": data}, ["tensorstore"])
    store = zarr.storage.ZipStore(path, mode="r")
    for peer in ("zarr-python", "zarrs"):
        with pipeline(peer):
            array = zarr.open_array(store, path="m", mode="r")
            for box in (slice(0, 10), slice(30000, 30010), slice(count - 10, count)):
                check((array[box] == data[box]).all(), "%s reads other data", peer)
    store.close()
    os.remove(path)


def beyond_4_gib():
    path = os.path.join(FOLDER, "peers-huge.zip")
    archives.forget(path)
    array = np.arange(143, dtype="uint16").reshape(13, 11)
    all_good((yield [Job("begin", path, create=1, huge=1), Job("group", "", attributes="{}"),
                     Job("put", "huge", size=archives.HUGE),
                     Job("array", "a", dtype="uint16", shape="13,11", chunk="4,5", shard="8,5", attributes="{}",
                         data=array.tobytes()), Job("finish", "")]))
    peers_read(path, {"a": array})
    os.remove(path)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    counter = common.Counter()
    codecs = common.Codecs().present
    for word, program in (("", ARCHIVE_DRIVER), ("sanitized: ", ARCHIVE_DRIVER_SANITIZED)):
        first = 0 if program == ARCHIVE_DRIVER else LIVES
        tests = [("life %d" % number, life(number, codecs)) for number in range(first, first + LIVES)]
        tests += [("shared life %d" % number, shared_life(1000 + number, codecs, "gzip" in codecs))
                  for number in range(first, first + LIVES // 3)]
        tests += [("of zarr-python %d" % number, of_zarr_python(2000 + number, codecs))
                  for number in range(first, first + LIVES // 3)]
        counter.together([(word + name, test) for name, test in tests], [program])
    counter.together([("exactly 65535 entries", exactly_65535())], [ARCHIVE_DRIVER])
    counter.together([("beyond 4 GiB", beyond_4_gib())], [ARCHIVE_DRIVER])
    shutil.rmtree(FOLDER)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
