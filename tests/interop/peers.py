#!/usr/bin/env python3
"""What we write, zarr-python, tensorstore and zarrs read, and the other way round: random shapes, chunks, shards,
types, byte orders and index layouts, compared byte for byte.

    tests/interop/peers.py [WORD]     WORD: only the tests whose names contain it
    SEED=7 CASES=100                  other random arrays, more of them; a failure prints its seed and number

The other libraries are installed into the virtual environment VENV (BUILD/venv) the first time.
"""
import os
import sys

import common
from common import DRIVER, TMP, Failure, check, enter_environment, good, run, tool

enter_environment()

import json  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import struct  # noqa: E402
import warnings  # noqa: E402

import numpy as np  # noqa: E402
import tensorstore as ts  # noqa: E402
import zarr  # noqa: E402
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec  # noqa: E402

warnings.simplefilter("ignore")
SEED = int(os.environ.get("SEED") or 3)
CASES = int(os.environ.get("CASES") or 40)
DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
          "complex64", "complex128"]
PIPELINES = {"zarr-python": "zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs": "zarrs.ZarrsCodecPipeline"}
PEERS = ["zarr-python", "tensorstore", "zarrs"]


def knows(peer, case):
    """zarrs 0.2.3 takes a big-endian complex number for one of 8 or 16 bytes: real and imaginary part change places."""
    return peer != "zarrs" or not (case.big and case.dtype.kind == "c")


# ---- random arrays -------------------------------------------------------------------------------------------

class Case:
    """A random array: what it is, how it is stored, its elements."""

    def __init__(self, seed, number):
        r = random.Random("%d/%d" % (seed, number))
        self.name = "%d/%d" % (seed, number)
        self.dtype = np.dtype(r.choice(DTYPES))
        ndim = 1 + number % 5
        most = [0, 300, 40, 12, 6, 4][ndim]
        self.chunk = [r.randint(1, most) for _ in range(ndim)]
        self.sharded = r.random() < 0.85
        self.shard = [c * r.randint(1, 4 if ndim < 4 else 2) if self.sharded else c for c in self.chunk]
        self.shape = [max(1, r.randint(0, 2) * s + r.randint(0, s)) for s in self.shard]
        self.big = r.random() < 0.3
        self.codecs = r.choice([0, 0, 1, 2])
        self.index_start, self.index_big = r.random() < 0.4, r.random() < 0.25
        self.checksum = r.random() < 0.8
        self.skip_fill = r.random() < 0.4
        self.fill = self.random_fill(r)
        # all different: tensorstore refuses names that occur twice
        self.names = r.sample(["t", "z", "y/x", "\u00e9", " ", None, None], ndim) if r.random() < 0.5 else None
        self.attributes = {"number": number, "text": "\u00fc\n\"", "list": [1, None, 2.5]} if r.random() < 0.5 else {}
        self.data = self.random_data(np.random.default_rng([seed, number]), r)
        self.random = r

    def random_fill(self, r):
        if self.dtype.kind == "f":
            return np.array([r.choice([0.0, -0.0, 1.5, -0.1, float("nan"), float("inf"), float("-inf")])], self.dtype)
        if self.dtype.kind == "c":
            return np.array([complex(r.choice([0.0, 2.5, float("nan")]), r.choice([0.0, -0.1, float("inf")]))], self.dtype)
        if self.dtype.kind == "b":
            return np.array([r.random() < 0.5])
        limits = np.iinfo(self.dtype)
        return np.array([r.choice([0, 0, 1, 7, limits.min, limits.max])], self.dtype)

    def random_data(self, generator, r):
        """Any bytes, NaN payloads too; some boxes hold the fill value."""
        count = int(np.prod(self.shape))
        if self.dtype.kind == "b":
            data = generator.integers(0, 2, count).astype(bool)
        else:
            data = np.frombuffer(generator.bytes(count * self.dtype.itemsize), self.dtype).copy()
        data = data.reshape(self.shape)
        for _ in range(r.choice([0, 1, 3])):
            box = tuple(slice(a, a + r.randint(1, n)) for n in self.shape for a in [r.randrange(n)])
            data[box] = self.fill[0]
        return data

    def describe(self):
        return "%s %s chunk %s shard %s%s%s crc32c x%d index %s %s%s fill %s" % (
            self.dtype, self.shape, self.chunk, self.shard, "" if self.sharded else " (unsharded)",
            " big" if self.big else "", self.codecs, "start" if self.index_start else "end",
            "big" if self.index_big else "little", "" if self.checksum else " no checksum", self.fill[0])

    def region(self):
        r = self.random
        box = []
        for n in self.shape:
            a = r.randrange(n)
            box.append((a, r.randint(a + 1, n)))
        return box


def path_of(case, word):
    path = os.path.join(TMP, case.name.replace("/", "-") + "-" + word + ".zarr")
    shutil.rmtree(path, ignore_errors=True)
    return path


def same(case, got, wanted, who):
    check(got.shape == wanted.shape and got.dtype == wanted.dtype, "%s: %s %s, not %s %s (%s)", who, got.dtype, got.shape,
          wanted.dtype, wanted.shape, case.describe())
    if got.tobytes() != wanted.tobytes():
        size = wanted.dtype.itemsize
        one, two = got.tobytes(), wanted.tobytes()
        at = next(i for i in range(0, len(two), size) if one[i:i + size] != two[i:i + size]) // size
        raise Failure("%s: element %s is %s, not %s (%s)" % (who, tuple(map(int, np.unravel_index(at, wanted.shape))),
                      one[at * size:(at + 1) * size].hex(), two[at * size:(at + 1) * size].hex(), case.describe()))


# ---- the others ----------------------------------------------------------------------------------------------

def peer_read(peer, path):
    try:
        if peer == "tensorstore":
            return ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}, open=True).result().read().result()
        with zarr.config.set({"codec_pipeline.path": PIPELINES[peer]}):
            return zarr.open_array(path, mode="r")[...]
    except Exception as error:
        raise Failure("%s cannot read it: %s" % (peer, str(error)[:500]))


def peer_write(peer, case, path):
    if peer == "tensorstore":
        chain = [{"name": "bytes"}]
        if case.dtype.itemsize > 1:
            chain[0]["configuration"] = {"endian": "big" if case.big else "little"}
        chain += [{"name": "crc32c"}] * case.codecs
        if case.sharded:
            index = [{"name": "bytes", "configuration": {"endian": "big" if case.index_big else "little"}}]
            chain = [{"name": "sharding_indexed", "configuration": {
                "chunk_shape": case.chunk, "codecs": chain, "index_codecs": index + [{"name": "crc32c"}] * case.checksum,
                "index_location": "start" if case.index_start else "end"}}]
        metadata = {"shape": case.shape, "data_type": case.dtype.name, "codecs": chain,
                    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": case.shard}},
                    "fill_value": fill_json(case), "attributes": case.attributes}
        if case.names:
            metadata["dimension_names"] = case.names
        store = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}, "metadata": metadata},
                        create=True).result()
        store.write(case.data).result()
        return
    chain = [BytesCodec(endian="big" if case.big else "little")] + [Crc32cCodec()] * case.codecs
    if case.sharded:
        chain = [ShardingCodec(chunk_shape=tuple(case.chunk), codecs=chain,
                               index_codecs=[BytesCodec(endian="big" if case.index_big else "little")] +
                               [Crc32cCodec()] * case.checksum,
                               index_location="start" if case.index_start else "end")]
    with zarr.config.set({"codec_pipeline.path": PIPELINES[peer]}):
        array = zarr.create(store=path, shape=case.shape, chunks=tuple(case.shard), dtype=case.dtype, codecs=chain,
                            fill_value=case.fill[0], zarr_format=3, dimension_names=case.names, attributes=case.attributes)
        array[...] = case.data


def fill_json(case):
    """The fill value as zarr.json has it; numbers that JSON cannot say by their bits."""
    def one(number):
        if np.isfinite(number):
            return float(number)
        bits = number.tobytes()[::-1].hex()
        return "0x" + bits
    value = case.fill[0]
    if case.dtype.kind == "c":
        return [one(value.real), one(value.imag)]
    return one(value) if case.dtype.kind == "f" else value.item()


# ---- we ------------------------------------------------------------------------------------------------------

def we_write(case, path):
    """With the driver, or, where it can do it, with the tool."""
    r = case.random
    plain = not (case.big or case.codecs or case.index_big or not case.checksum or case.fill.tobytes().strip(b"\0") or
                 case.names or case.attributes)
    numbers = lambda list_: ",".join(map(str, list_))  # noqa: E731
    open_end = r.random() < 0.5
    if plain and r.random() < 0.5:
        good(tool("import", "--shape", numbers([0] * open_end + case.shape[open_end:]), "--dtype", case.dtype.name,
                  "--chunks", numbers(case.chunk), *(["--shards", numbers(case.shard)] if case.sharded else []),
                  "--index", "start" if case.index_start else "end", *["--skip-fill"] * case.skip_fill, "-", path,
                  data=case.data.tobytes()))
        return
    options = {"dtype": case.dtype.name, "shape": numbers([0] * open_end + case.shape[open_end:]), "chunk": numbers(case.chunk),
               "fill": case.fill.tobytes().hex(), "big": int(case.big), "codecs": case.codecs,
               "index_start": int(case.index_start), "index_big": int(case.index_big), "no_checksum": int(not case.checksum),
               "skip_fill": int(case.skip_fill), "attributes": json.dumps(case.attributes),
               "direct": r.choice(["auto", "off"]), "durable": int(r.random() < 0.3), "pieces": r.choice([1, 7, 100, 10000, 1 << 20])}
    if case.sharded:
        options["shard"] = numbers(case.shard)
    if case.names:
        options["names"] = ",".join(name or "-" for name in case.names)
    if case.data.size < 2000 and r.random() < 0.2:
        options.update(pieces=64, checkpoint=r.randint(1, 5))
    if r.random() < 0.3:
        options.update(buffer=r.choice([4096, 8192, 65536]), files=r.randint(1, 4), memory=r.choice([1, 65536]))
    case.checkpoints = "checkpoint" in options
    good(run(DRIVER, "write", path, *["%s=%s" % item for item in options.items()], data=case.data.tobytes()))


def we_read(case, path, who):
    """Whole and a region, with the tool and with the driver."""
    shape = tuple(case.shape)
    back = np.frombuffer(good(tool("export", path, "-")).out, case.dtype).reshape(shape)
    same(case, back, case.data, who + ", read by us")
    box = case.region()
    part = case.data[tuple(slice(a, b) for a, b in box)]
    text = ",".join("%d:%d" % pair for pair in box)
    same(case, np.frombuffer(good(tool("export", "--region", text, path, "-")).out, case.dtype).reshape(part.shape), part,
         "%s, region %s read by us" % (who, text))
    same(case, np.frombuffer(good(run(DRIVER, "read", path, text)).out, case.dtype).reshape(part.shape), part,
         "%s, region %s read by the driver" % (who, text))


def check_files(case, path):
    """Every shard is packed, as long as its chunks and its index, and there is no file outside the shape."""
    chunks = int(np.prod([s // c for s, c in zip(case.shard, case.chunk)]))
    grid = [-(-n // s) for n, s in zip(case.shape, case.shard)]
    chunk_bytes = int(np.prod(case.chunk)) * case.dtype.itemsize + 4 * case.codecs
    found = 0
    for directory, _, names in os.walk(path):
        for name in names:
            key = os.path.relpath(os.path.join(directory, name), path)
            if key == "zarr.json":
                continue
            parts = key.split("/")
            check(parts[0] == "c" and [p.isdigit() for p in parts[1:]] == [True] * len(grid) and
                  all(int(p) < n for p, n in zip(parts[1:], grid)), "a file that should not be there: %s (%s)", key, case.describe())
            found += 1
            with open(os.path.join(path, key), "rb") as file:
                data = file.read()
            if not case.sharded:
                check(len(data) == chunk_bytes, "%s: %d bytes, not %d", key, len(data), chunk_bytes)
                continue
            size = 16 * chunks + 4 * case.checksum
            index = data[:16 * chunks] if case.index_start else data[len(data) - size:len(data) - size + 16 * chunks]
            numbers = struct.unpack("%s%dQ" % (">" if case.index_big else "<", 2 * chunks), index)
            present = [n for n in numbers[1::2] if n != 2**64 - 1]
            check(len(data) == size + sum(present), "%s: %d bytes for %d of chunks and %d of index (%s)", key, len(data),
                  sum(present), size, case.describe())
            check(set(present) <= {chunk_bytes}, "%s: chunks of %s bytes", key, set(present))
            # chunks that lie outside the array altogether are missing
            position = [int(p) for p in parts[1:]]
            inside = int(np.prod([min(s // c, -(-(n - p * s) // c)) for n, s, c, p in
                                  zip(case.shape, case.shard, case.chunk, position)]))
            check(len(present) == inside if not case.skip_fill else len(present) <= inside, "%s: %d chunks, %d inside the "
                  "array (%s)", key, len(present), inside, case.describe())
    total = int(np.prod(grid))
    check(found == total if not case.skip_fill else found <= total, "%d files, not %d (%s)", found, total, case.describe())


def check_metadata(case, path):
    with open(os.path.join(path, "zarr.json"), encoding="utf-8") as file:
        document = json.load(file)
    check(document["shape"] == case.shape, "shape %s, not %s", document["shape"], case.shape)
    check(document.get("attributes", {}) == case.attributes, "attributes %s", document.get("attributes"))
    check(document.get("dimension_names") == case.names, "names %s", document.get("dimension_names"))


# ---- the tests -----------------------------------------------------------------------------------------------

def ours_to_peers(number):
    case = Case(SEED, number)
    path = path_of(case, "ours")
    case.checkpoints = False
    we_write(case, path)
    check_metadata(case, path)
    if not case.checkpoints:
        check_files(case, path)
    good(tool("verify", path))
    we_read(case, path, "written by us")
    readers_agree(case, path, "written by us")
    shutil.rmtree(path)


def readers_agree(case, path, who):
    for peer in PEERS:
        if knows(peer, case):
            same(case, np.ascontiguousarray(peer_read(peer, path)), case.data, "%s, read by %s" % (who, peer))


def peers_to_us(peer, number):
    case = Case(SEED + 1000, number)
    path = path_of(case, peer)
    peer = peer if knows(peer, case) else "tensorstore"
    peer_write(peer, case, path)
    if peer == "zarr-python" and case.dtype == np.float16 and np.isnan(case.fill[0]):
        case.data = peer_read(peer, path)    # it loses the payload of such a fill value
    we_read(case, path, "written by " + peer)
    good(tool("verify", path))
    shutil.rmtree(path)


def append_to_peers(peer, number):
    """An array that another library began, continued by us, read by all."""
    case = Case(SEED + 2000, number)
    whole, first = case.data, case.random.randrange(case.shape[0])
    path = path_of(case, "append")
    case.shape[0] = first
    case.data = whole[:first]
    peer = peer if knows(peer, case) else "tensorstore"
    peer_write(peer, case, path)
    good(run(DRIVER, "write", path, "continue=1", "dtype=" + case.dtype.name, "pieces=%d" % case.random.choice([3, 1000]),
                       data=whole[first:].tobytes()))
    case.data = whole
    case.shape[0] = whole.shape[0]
    we_read(case, path, "begun by %s, continued by us" % peer)
    good(tool("verify", path))
    readers_agree(case, path, "begun by %s, continued by us" % peer)
    shutil.rmtree(path)


def npy_import(order, dtype):
    """.npy files as numpy writes them, and back."""
    generator = np.random.default_rng(SEED)
    data = np.frombuffer(generator.bytes(7 * 11 * 13 * np.dtype(dtype).itemsize), dtype).reshape(7, 11, 13)
    source, array, back = (os.path.join(TMP, name) for name in ("in.npy", "npy.zarr", "back.npy"))
    np.save(source, np.asfortranarray(data) if order == "F" else data)
    shutil.rmtree(array, ignore_errors=True)
    good(tool("import", "--chunks", "2,4,5", "--shards", "4,8,10", "--memory", "64K", source, array))
    good(tool("export", "--format", "npy", "--force", array, back))
    got = np.load(back)
    check(got.shape == data.shape and got.dtype.newbyteorder("=") == data.dtype.newbyteorder("="), "%s %s", got.dtype, got.shape)
    check(got.astype(got.dtype.newbyteorder("<")).tobytes() == data.astype(data.dtype.newbyteorder("<")).tobytes(), "other data")
    for peer in PEERS:
        check(np.ascontiguousarray(peer_read(peer, array)).tobytes() == data.astype(data.dtype.newbyteorder("=")).tobytes(),
              "other data for " + peer)


def nested_path():
    """An array inside groups, found from the outermost group by zarr-python."""
    root = os.path.join(TMP, "groups.zarr")
    shutil.rmtree(root, ignore_errors=True)
    data = np.arange(60, dtype="uint16").reshape(3, 4, 5)
    good(run(DRIVER, "write", root, "path=raw/movie", "dtype=uint16", "shape=0,4,5", "chunk=1,2,5", "shard=2,4,5", data=data.tobytes()))
    group = zarr.open_group(root, mode="r")
    check((group["raw/movie"][...] == data).all(), "other data")
    check([name for name, _ in group.groups()] == ["raw"], "groups: %s", list(group.groups()))


def main():
    os.makedirs(TMP, exist_ok=True)
    counter = common.Counter()
    for number in range(CASES):
        counter.test("ours %d" % number, ours_to_peers, number)
    for number in range(CASES):
        counter.test("theirs %d" % number, peers_to_us, PEERS[number % 3], number)
    for number in range(CASES // 2):
        counter.test("append %d" % number, append_to_peers, PEERS[number % 3], number)
    for order in "CF":
        for dtype in ("<u2", ">u2", "<f8", ">c8", "|u1", "|b1"):
            if dtype != "|b1":
                counter.test("npy %s %s" % (order, dtype), npy_import, order, dtype)
    counter.test("nested path", nested_path)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
