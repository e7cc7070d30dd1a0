#!/usr/bin/env python3
"""What the tool writes with every codec, order and type, and the examples with threads and MPI, zarr-python, tensorstore and
zarrs read, and the tool exports what they write. In the environment of peers.py. A word as argument: only the tests whose names contain it."""
import base64
import itertools
import json
import os
import shutil
import sys
import warnings

import common
import parallel
import peers    # enters the environment
import numpy as np
import tensorstore as ts
import zarr
from common import TMP, check, good, refused, tool
from peers import PEERS, peer_read, pipeline
from zarr import codecs as z

FRAMES = np.random.default_rng(5).integers(0, 300, (11, 7, 9)).astype("uint16")
CODECS = ["none", "zstd", "zstd:-5", "gzip:1", "blosc", "blosc:zstd:9", "blosc:lz4hc:3:bitshuffle", "blosc:zlib:1:noshuffle", "lz4", "zstd,crc32c"]
ORDERS = [None, "2,0,1", "reverse"]
GRIDS = {"chunks": [], "shards": ["--shards", "4,6,8"], "start": ["--shards", "4,6,8", "--index", "start"],
         "nested": ["--shards", "4,6,8", "--subchunks", "1,3,2"]}


def fresh(name):
    path = os.path.join(TMP, name)
    shutil.rmtree(path, ignore_errors=True)
    return path


def reads(peer, codec):
    """lz4 of numcodecs is zarr-python's alone."""
    return peer == "zarr-python" or not codec.startswith("lz4")


def same(got, wanted, who):
    got = np.ascontiguousarray(got)
    check(got.shape == wanted.shape and got.dtype == wanted.dtype and got.tobytes() == wanted.tobytes(), "%s: other data (%s %s)", who,
          got.dtype, got.shape)


def ours(codec, order, grid):
    path = fresh("tool-ours.zarr")
    good(tool("import", "--quiet", "--sync", "none", "--shape", "0,7,9", "--dtype", "uint16", "--chunks", "2,3,4", "--codec", codec,
              *(["--transpose", order] if order else []), *GRIDS[grid], "-", path, data=FRAMES.tobytes()))
    for peer in PEERS:
        if reads(peer, codec):
            same(peer_read(peer, path), FRAMES, peer)


def outer_codec():
    """tensorstore allows nothing around a shard."""
    path = fresh("tool-outer.zarr")
    good(tool("import", "--quiet", "--shape", "0,7,9", "--dtype", "uint16", "--chunks", "2,3,4", "--shards", "4,6,8", "--codec", "zstd",
              "--outer-codec", "gzip:1", "-", path, data=FRAMES.tobytes()))
    for peer in ("zarr-python", "zarrs"):
        same(peer_read(peer, path), FRAMES, peer)


def written_regions():
    """create, write, resize: what changed is what the others see."""
    path, model = fresh("tool-regions.zarr"), np.full((11, 7, 9), 5, "uint16")
    good(tool("create", "--shape", "11,7,9", "--dtype", "uint16", "--chunks", "2,3,4", "--shards", "4,6,8", "--codec", "zstd", "--fill", "5",
              "--transpose", "1,2,0", path))
    generator = np.random.default_rng(6)
    for _ in range(8):
        box = [sorted(generator.choice(n + 1, 2, replace=False)) for n in model.shape]
        part = generator.integers(0, 999, [b - a for a, b in box]).astype("uint16")
        model[tuple(slice(a, b) for a, b in box)] = part
        good(tool("write", "--quiet", "--region", ",".join("%d:%d" % (a, b) for a, b in box), "-", path, data=part.tobytes()))
    good(tool("resize", path, "12,5,9"))
    model = np.concatenate([model, np.full((1, 7, 9), 5, "uint16")])[:, :5]
    for peer in PEERS:
        same(peer_read(peer, path), model, peer)
    good(tool("compact", "--apply", path))
    good(tool("verify", path))
    for peer in PEERS:
        same(peer_read(peer, path), model, peer + " after compact")


def written_side_by_side(who):
    """By examples/threads or examples/mpi."""
    path = fresh("tool-parallel.zarr")
    t, y, x = np.ogrid[:20, :300, :400]
    wanted = (t * 7919 + y * 131 + x * 17).astype("uint16")
    good(who.write(path))
    for peer in PEERS:
        same(peer_read(peer, path), wanted, peer)


def export_equals(path, wanted, *more):
    got = good(tool("export", *more, path, "-")).out
    check(got == np.ascontiguousarray(wanted).tobytes(), "other data, read by us")


def zarr_python_writes(number, peer):
    chain = [[z.ZstdCodec(level=5)], [z.GzipCodec(level=2), z.Crc32cCodec()], [z.BloscCodec()],
             [z.BloscCodec(cname="zstd", shuffle="bitshuffle"), z.Crc32cCodec()], [z.ZstdCodec(level=1, checksum=True)]][number % 5]
    inner = [z.TransposeCodec(order=(2, 0, 1))] * (number % 2) + [z.BytesCodec(endian="big" if number % 3 == 0 else "little")] + chain
    if number % 4 == 1:
        inner = [z.ShardingCodec(chunk_shape=(1, 3, 2), codecs=inner)]
    if number % 4 > 0:
        inner = [z.ShardingCodec(chunk_shape=(2, 3, 4), codecs=inner, index_location="start" if number % 3 == 1 else "end")]
    path = fresh("tool-theirs.zarr")
    with pipeline(peer):
        array = zarr.create(store=path, shape=FRAMES.shape, chunks=(4, 6, 8), dtype="uint16", codecs=inner, fill_value=3, zarr_format=3)
        array[...] = FRAMES
    export_equals(path, FRAMES)
    export_equals(path, FRAMES[2:9, 3:4, 1:8], "--region", "2:9,3,1:8", "--direct", "on")
    good(tool("verify", path))
    good(tool("info", path))
    good(tool("recover", path))
    good(tool("write", "--region", "2:9,3,1:8", "-", path, data=(FRAMES[2:9, 3, 1:8] + 1).tobytes()))
    wanted = FRAMES.copy()
    wanted[2:9, 3, 1:8] += 1
    same(peer_read(peer, path), wanted, peer + " after our change")


def tensorstore_writes(number):
    name, configuration = [("zstd", {"level": 3}), ("gzip", {"level": 5}), ("blosc", {"cname": "lz4", "clevel": 4, "shuffle": "shuffle"})][number % 3]
    inner = [{"name": "transpose", "configuration": {"order": [1, 2, 0]}}] * (number % 2)
    inner += [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": name, "configuration": configuration}]
    if number > 2:
        inner = [{"name": "sharding_indexed", "configuration": {"chunk_shape": [2, 3, 4], "codecs": inner,
                 "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]}}]
    path = fresh("tool-tensorstore.zarr")
    store = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}, "metadata": {
        "shape": FRAMES.shape, "data_type": "uint16", "codecs": inner, "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 6, 8]}}}}, create=True).result()
    store.write(FRAMES).result()
    export_equals(path, FRAMES)
    good(tool("verify", path))


def strings():
    """Only zarr-python has them, as its bytes of variable length."""
    texts = np.array([["a", "\u00fc\U0001F600", "", "long " * 50], ["x\ny", "\"", "\\", "end"]], dtype=np.dtypes.StringDType())
    path = fresh("tool-strings.zarr")
    good(tool("import", "--dtype", "string", "--format", "json", "--chunks", "1,2", "--shards", "2,4", "--codec", "zstd", "--transpose", "1,0",
              "-", path, data=json.dumps(texts.tolist()).encode()))
    check(peer_read("zarr-python", path).tolist() == texts.tolist(), "zarr-python: other strings")
    path = fresh("tool-strings.zarr")
    for shards in (None, (2, 4)):
        array = zarr.create_array(store=path, shape=texts.shape, chunks=(1, 2), shards=shards, dtype=str, overwrite=True)
        array[...] = texts
        check(json.loads(good(tool("export", path, "-")).out) == texts.tolist(), "strings of zarr-python")
        good(tool("verify", path))


def variable_bytes():
    elements = [b"", b"\0\xff", b"abc", bytes(range(256)), b"x"]
    encoded = [base64.b64encode(e).decode() for e in elements]
    path = fresh("tool-bytes.zarr")
    good(tool("import", "--dtype", "bytes", "--format", "json", "--chunks", "2", "--codec", "gzip", "-", path, data=json.dumps(encoded).encode()))
    check(peer_read("zarr-python", path).tolist() == elements, "zarr-python: other bytes")
    array = zarr.create_array(store=path, shape=5, chunks=2, dtype="variable_length_bytes", overwrite=True)
    array[...] = np.array(elements, dtype=object)
    check(json.loads(good(tool("export", path, "-")).out) == encoded, "bytes of zarr-python")


def raw_bytes():
    """zarr-python says raw_bytes and a length, tensorstore r16; both export as they are."""
    data = np.frombuffer(bytes(range(36)), "V3").reshape(4, 3)
    path = fresh("tool-raw.zarr")
    array = zarr.create_array(store=path, shape=data.shape, chunks=(2, 2), dtype=data.dtype)
    array[...] = data
    export_equals(path, data)
    check("r24" in good(tool("ls", path)).out.decode(), "its type")
    npy = os.path.join(TMP, "tool-raw.npy")
    good(tool("export", "--force", path, npy))
    check(np.load(npy).dtype == data.dtype and np.load(npy).tobytes() == data.tobytes(), "as .npy")
    np.save(npy, data)
    good(tool("import", "--force", "--chunks", "4,1", npy, path))
    export_equals(path, data)


def times():
    """Dates and spans of zarr-python: as .npy, as the whole numbers that they are in JSON."""
    for unit in ("datetime64[10us]", "timedelta64[D]", "datetime64[ns]"):
        data = np.arange(-5, 7, dtype="int64").reshape(3, 4).view(unit)
        path = fresh("tool-times.zarr")
        array = zarr.create_array(store=path, shape=data.shape, chunks=(2, 2), dtype=data.dtype)
        array[...] = data
        npy = os.path.join(TMP, "tool-times.npy")
        good(tool("export", "--force", path, npy))
        check(np.load(npy).dtype == data.dtype and np.load(npy).tobytes() == data.tobytes(), "as .npy: %s", np.load(npy).dtype)
        check(json.loads(good(tool("export", "--format", "json", path, "-")).out) == data.view("int64").tolist(), "as JSON")
        np.save(npy, data)
        good(tool("import", "--force", "--chunks", "2,2", npy, path))
        back = zarr.open_array(path)
        check(back.dtype == data.dtype and back[...].tobytes() == data.tobytes(), "from .npy: %s", back.dtype)
        raw = os.path.join(TMP, "tool-times.raw")
        data.tofile(raw)
        good(tool("import", "--force", "--dtype", unit, "--shape", "0,4", "--chunks", "2,2", raw, path))
        check(zarr.open_array(path).dtype == data.dtype, "from raw bytes: %s", zarr.open_array(path).dtype)
        np.save(npy, data.view("int64").view("datetime64[h]"))
        refused(tool("write", npy, path))


# ---- archives ------------------------------------------------------------------------------------------------

def zip_read(peer, path, node):
    """An array in an archive, as another library reads it."""
    if peer == "tensorstore":
        spec = {"driver": "zarr3", "kvstore": {"driver": "zip", "base": {"driver": "file", "path": path}, "path": node + "/"}}
        return ts.open(spec, open=True).result().read().result()
    with pipeline(peer):
        store = zarr.storage.ZipStore(path, mode="r")
        try:
            return zarr.open_array(store, path=node, mode="r")[...]
        finally:
            store.close()


def archive_peers():
    """The pipeline zarrs reads from directories only."""
    return [peer for peer in PEERS if peer != "zarrs"]


def archives(number):
    """Arrays imported one after the other, one replaced, one gone, one renamed: others see the newest layer."""
    path = os.path.join(TMP, "tool-archive.zip")
    if os.path.exists(path):
        os.remove(path)
    more = [[], ["--alignment", "4096", "--ozx", "0.5"], ["--direct", "off", "--alignment", "64"]][number]
    arguments = ["--quiet", "--sync", "none", "--shape", "0,7,9", "--dtype", "uint16", "--chunks", "2,3,4", *more]
    for node, codec, grid in (("a/plain", "none", "chunks"), ("a/shards", "zstd", "shards"), ("gone", "none", "shards"),
                              ("nested", "gzip:1", "nested"), ("old", "blosc", "start")):
        good(tool("import", *arguments, "--codec", codec, *GRIDS[grid], "--path", node, "-", path, data=FRAMES.tobytes()))
    good(tool("import", *arguments, "--force", "--path", "a/plain", "-", path, data=(FRAMES + 1).tobytes()))
    changed = FRAMES.copy()
    changed[2:9, 3, 1:8] = 7
    good(tool("write", "--quiet", "--path", "a/shards", "--region", "2:9,3,1:8", "-", path, data=np.full(49, 7, "uint16").tobytes()))
    good(tool("rm", "--yes", path, "gone"))
    good(tool("mv", path, "old", "b/new"))
    good(tool("consolidate", path))
    for compacted in (False, True):
        if compacted:
            good(tool("compact", "--apply", path))
        for peer in archive_peers():
            for node, wanted in (("a/plain", FRAMES + 1), ("a/shards", changed), ("nested", FRAMES), ("b/new", FRAMES)):
                same(zip_read(peer, path, node), wanted, "%s, %s" % (peer, node))
        names = sorted(name for name, _ in zarr.open_group(zarr.storage.ZipStore(path, mode="r"), mode="r").members(max_depth=None))
        check(names == ["a", "a/plain", "a/shards", "b", "b/new", "nested"], "names: %s", names)
        good(tool("verify", path))


def archives_of_zarr_python():
    """What zarr-python writes into a ZIP file, keys twice included, and what it adds to ours."""
    path = os.path.join(TMP, "tool-theirs.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")            # of keys that stand there twice
        store = zarr.storage.ZipStore(path, mode="w")
        group = zarr.create_group(store)
        group.create_array("a", shape=FRAMES.shape, chunks=(4, 6, 8), dtype="uint16")[...] = FRAMES
        group["a"][...] = FRAMES + 1
        store.close()
        export_equals(path, FRAMES + 1, "--path", "a")
        good(tool("verify", path))
        good(tool("attrs", path, "--path", "a", "x=1"))
        good(tool("import", "--shape", "0,7,9", "--dtype", "uint16", "--chunks", "2,3,4", "--path", "b", "-", path, data=FRAMES.tobytes()))
        store = zarr.storage.ZipStore(path, mode="a")
        zarr.open_group(store, mode="a").create_array("c", shape=FRAMES.shape, chunks=(4, 6, 8), dtype="uint16")[...] = FRAMES
        store.close()
    for node, wanted in (("a", FRAMES + 1), ("b", FRAMES), ("c", FRAMES)):
        export_equals(path, wanted, "--path", node)
        same(zip_read("zarr-python", path, node), wanted, node)
    good(tool("verify", path))


def json_of_numbers():
    """Nested lists, as numpy reads them."""
    path = fresh("tool-json.zarr")
    for dtype in ("int8", "uint64", "float16", "float32", "float64", "bool"):
        data = np.random.default_rng(7).integers(0, 2, (3, 4, 5)).astype(dtype) if dtype == "bool" else \
            (np.random.default_rng(7).random((3, 4, 5)) * 100).astype(dtype)
        good(tool("import", "--force", "--shape", "0,4,5", "--dtype", dtype, "--chunks", "2,2,2", "-", path, data=data.tobytes()))
        got = json.loads(good(tool("export", "--format", "json", "--memory", "50", path, "-")).out)
        same(np.array(got).astype(dtype), data, dtype)


def consolidated_metadata():
    """Ours is read by zarr-python, and what zarr-python writes is not stale to us, until something changes."""
    path = fresh("tool-consolidated.zarr")
    good(tool("group", "create", path, '{"a": [1, 2.50, "\u00fc"]}'))
    for number, (codec, order) in enumerate(itertools.product(["none", "zstd", "gzip", "blosc"], ORDERS)):
        good(tool("import", "--quiet", "--shape", "0,7,9", "--dtype", "float32", "--fill", ["0", "NaN", "-Infinity", "0.1"][number % 4], "--chunks",
                  "2,3,4", "--codec", codec, *(["--transpose", order] if order else []), *list(GRIDS.values())[number % 4], "--names", "t,,x",
                  "--path", "group/array%d" % number, "-", path, data=b""))
    good(tool("import", "--dtype", "string", "--path", "texts", "-", path, data=b"a\nb\n"))
    root = zarr.open_group(path, mode="r+")
    root.require_group("theirs").create_array("array", shape=(4, 4), chunks=(2, 2), dtype="int16", attributes={"b": {"c": None}})
    good(tool("consolidate", path))
    good(tool("verify", path))
    names = sorted(name for name, _ in zarr.open_consolidated(path, mode="r").members(max_depth=None))
    check("group/array3" in names and "theirs/array" in names and len(names) == 16, "names: %s", names)
    zarr.consolidate_metadata(path)
    good(tool("verify", path))
    listed = json.loads(good(tool("ls", "--json", "--consolidated", path)).out)["nodes"]
    check(listed == json.loads(good(tool("ls", "--json", path)).out)["nodes"] or
          [n["path"] for n in listed] == sorted([""] + names), "consolidated: %s", listed)
    good(tool("attrs", path, "--path", "theirs/array", "b=1"))
    check(tool("verify", path).code == 1, "stale metadata of zarr-python is not found")


def main():
    os.makedirs(TMP, exist_ok=True)
    counter = common.Counter()
    for number, (codec, order) in enumerate(itertools.product(CODECS, ORDERS)):
        for grid in list(GRIDS)[number % 2::2]:
            counter.test("ours %s %s %s" % (codec, order, grid), ours, codec, order, grid)
    for who in [parallel.Threads(8)] + parallel.several_ranks():
        counter.test("side by side: " + who.name, written_side_by_side, who)
    for number in range(20):
        counter.test("zarr-python %d" % number, zarr_python_writes, number, ("zarr-python", "zarrs")[number // 10])
    for number in range(6):
        counter.test("tensorstore %d" % number, tensorstore_writes, number)
    for number in range(3):
        counter.test("archives %d" % number, archives, number)
    for test in (outer_codec, written_regions, strings, variable_bytes, raw_bytes, times, archives_of_zarr_python, json_of_numbers,
                 consolidated_metadata):
        counter.test(test.__name__, test)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
