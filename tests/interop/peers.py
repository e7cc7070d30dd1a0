#!/usr/bin/env python3
"""What we write, zarr-python, tensorstore and zarrs read, and the other way round, bit for bit: every data type, fill value,
codec, layout of shards, key encoding and member of zarr.json that is shared, one by one (rows) and mixed (random); then
arrays that everybody changes in turn (lives). Where one of them cannot, LIMITS says so, and it is tested that it still
cannot.

    tests/interop/peers.py [WORD]     WORD: only the tests whose names contain it
    SEED=7 CASES=100 LIVES=100        other random arrays, more of them; a failure prints its number

The other libraries are installed into the virtual environment VENV (BUILD/venv) the first time.
"""
import os
import sys

import common
from common import TMP, Failure, Job, check, enter_environment, good, tool

enter_environment()

import base64  # noqa: E402
import itertools  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import struct  # noqa: E402
import subprocess  # noqa: E402
import warnings  # noqa: E402
import zlib  # noqa: E402

import google_crc32c  # noqa: E402
import numpy as np  # noqa: E402
import tensorstore as ts  # noqa: E402
import zarr  # noqa: E402
import zarr.codecs.numcodecs  # noqa: E402,F401
from zarr.core.buffer import default_buffer_prototype  # noqa: E402
from zarr.core.metadata.v3 import ArrayV3Metadata  # noqa: E402

warnings.simplefilter("ignore")
SEED = int(os.environ.get("SEED") or 3)
CASES = int(os.environ.get("CASES") or 60)
LIVES = int(os.environ.get("LIVES") or 60)
NUMBERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
           "complex64", "complex128"]
PIPELINES = {"zarr-python": "zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs": "zarrs.ZarrsCodecPipeline"}
PEERS = ["zarr-python", "tensorstore", "zarrs"]


# ---- codecs as zarr.json has them ----------------------------------------------------------------------------

def named(name, **configuration):
    return {"name": name, "configuration": configuration} if configuration else {"name": name}


LITTLE, BIG, CRC = named("bytes", endian="little"), named("bytes", endian="big"), named("crc32c")


def zstd(level, checksum=False):
    return named("zstd", level=level, checksum=checksum)


def gzip(level):
    return named("gzip", level=level)


def blosc(cname, clevel=5, shuffle="noshuffle", typesize=2, blocksize=0):
    return named("blosc", cname=cname, clevel=clevel, shuffle=shuffle, typesize=typesize, blocksize=blocksize)


def transpose(*order):
    return named("transpose", order=list(order))


def sharding(chunk, codecs, location="end", index=None):
    return named("sharding_indexed", chunk_shape=list(chunk), codecs=codecs,
                 index_codecs=[LITTLE, CRC] if index is None else index, index_location=location)


def chains(codecs):
    """The list of codecs and those inside it, outermost first."""
    yield codecs
    for codec in codecs:
        if codec["name"] == "sharding_indexed":
            yield from chains(codec["configuration"]["codecs"])


def has(case, name):
    return any(codec["name"] == name for chain in chains(case.codecs) for codec in chain)


# ---- elements ------------------------------------------------------------------------------------------------

def numpy_type(dtype):
    if dtype.startswith("raw"):
        return np.dtype("V" + dtype[3:])
    return np.dtype(object if dtype in ("string", "bytes") else dtype)


def float_bits(size, value):
    """A part of a fill value as zarr.json has it."""
    if isinstance(value, str) and value.startswith("0x"):
        return int(value, 16).to_bytes(size, sys.byteorder)
    if value == "NaN":
        return {2: 0x7e00, 4: 0x7fc00000, 8: 0x7ff8000000000000}[size].to_bytes(size, sys.byteorder)
    with np.errstate(over="ignore"):
        return np.array([float(value)], "float%d" % (8 * size)).tobytes()


def fill_element(dtype, value):
    """The fill value as an element: what numpy holds, or str and bytes."""
    if dtype in ("string", "bytes"):
        return base64.b64decode(value) if dtype == "bytes" else value
    if dtype.startswith("raw"):
        return np.frombuffer(bytes(value), numpy_type(dtype))[0]
    kind, size = numpy_type(dtype).kind, numpy_type(dtype).itemsize
    if kind == "c":
        return np.frombuffer(float_bits(size // 2, value[0]) + float_bits(size // 2, value[1]), dtype)[0]
    return np.frombuffer(float_bits(size, value), dtype)[0] if kind == "f" else np.array([value], dtype)[0]


def elements(array):
    """The bytes of each element, C order."""
    if array.dtype == object:
        return [e.encode() if isinstance(e, str) else bytes(e) for e in array.ravel()]
    data, size = np.ascontiguousarray(array).tobytes(), array.dtype.itemsize
    return [data[i:i + size] for i in range(0, len(data), size)]


def packed(array):
    """Elements as the driver's files hold them."""
    if array.dtype != object:
        return np.ascontiguousarray(array).tobytes()
    return b"".join(struct.pack("=I", len(e)) + e for e in elements(array))


def unpacked(data, dtype, shape):
    if dtype not in ("string", "bytes"):
        return np.frombuffer(data, numpy_type(dtype)).reshape(shape)
    array, at = np.empty(int(np.prod(shape)), object), 0
    for i in range(array.size):
        length, = struct.unpack_from("=I", data, at)
        text = data[at + 4:at + 4 + length]
        array[i] = text.decode() if dtype == "string" else text
        at += 4 + length
    return array.reshape(shape)


def plain(array):
    """What a peer gave, in the form of ours: numpy's own strings become str."""
    array = np.asarray(array)
    if array.dtype.kind in "TO":
        flat = np.empty(array.size, object)
        flat[:] = [bytes(e) if isinstance(e, bytes) else str(e) for e in array.ravel()]
        return flat.reshape(array.shape)
    return array


def alike(one, two):
    return one.shape == two.shape and one.dtype == two.dtype and packed(one) == packed(two)


def same(case, got, wanted, who):
    check(got.shape == wanted.shape and got.dtype == wanted.dtype, "%s: %s %s, not %s %s (%s)", who, got.dtype, got.shape,
          wanted.dtype, wanted.shape, case.describe())
    if alike(got, wanted):
        return
    wrong = [i for i, (one, two) in enumerate(zip(elements(got), elements(wanted))) if one != two]
    check(False, "%s: %d elements differ, the first one, %s, is %s, not %s (%s)", who, len(wrong),
          tuple(map(int, np.unravel_index(wrong[0], wanted.shape))), elements(got)[wrong[0]].hex(),
          elements(wanted)[wrong[0]].hex(), case.describe())


# ---- an array ------------------------------------------------------------------------------------------------

PATHS = itertools.count()
TEXTS = ["", "a", "\u00fc\u00df\u20ac", "\U0001f600", "longer than the others, and than its neighbours", "zero\0inside", "\n"]


class Case:
    """An array: its metadata, which parts of it are written (`boxes`), and what it then holds (`data`)."""

    def __init__(self, name, dtype="uint16", shape=(13, 9), grid=(8, 6), codecs=None, fill=0, keys=None, names=None,
                 attributes=None, boxes=None, skip_fill=False, seed=0):
        self.name, self.dtype, self.shape, self.grid = name, dtype, list(shape), list(grid)
        self.fill, self.codecs = fill, codecs or [self.serializer()]
        self.keys = keys or named("default", separator="/")
        self.names, self.attributes = names, attributes or {}
        self.skip_fill, self.random = skip_fill, random.Random("%s %d" % (name, seed))
        self.generator = np.random.default_rng([seed, *name.encode()])
        self.fill_element = fill_element(dtype, fill)
        self.data = self.filled(self.shape)
        self.boxes = [tuple((0, n) for n in self.shape)] if boxes is None else boxes
        for box in self.boxes:
            self.data[slices(box)] = self.content(extents(box))

    def filled_with(self, fill):
        """The same, but for the fill value."""
        return Case(self.name, self.dtype, self.shape, self.grid, self.codecs, fill, self.keys, self.names, self.attributes, self.boxes,
                    self.skip_fill)

    def serializer(self):
        if self.dtype in ("string", "bytes"):
            return named("vlen-utf8" if self.dtype == "string" else "vlen-bytes")
        one_byte = self.dtype.startswith("raw") or numpy_type(self.dtype).itemsize == 1
        return named("bytes") if one_byte else LITTLE

    def filled(self, shape):
        array = np.empty(shape, numpy_type(self.dtype))
        array[...] = self.fill_element
        return array

    def content(self, shape):
        """Any bytes, NaN with payload too; or few different ones, which compress well; or some fill values."""
        count, type_ = int(np.prod(shape)), numpy_type(self.dtype)
        if self.dtype in ("string", "bytes"):
            flat = np.empty(count, object)
            flat[:] = [self.random.choice(TEXTS) * self.random.randint(1, 3) for _ in range(count)]
            if self.dtype == "bytes":
                flat[:] = [e.encode() + self.random.randbytes(self.random.randint(0, 4)) for e in flat]
            return flat.reshape(shape)
        if type_.kind == "b":
            return self.generator.integers(0, 2, count).astype(bool).reshape(shape)
        few = self.random.random() < 0.5
        data = self.generator.bytes((3 if few else count) * type_.itemsize)
        data = np.frombuffer(data, type_)
        return (data[self.generator.integers(0, 3, count)] if few else data).reshape(shape).copy()

    def document(self, peer):
        """zarr.json, in the peer's form of the data type."""
        data_type, fill = self.dtype, self.fill
        if self.dtype.startswith("raw"):
            data_type, fill = named("raw_bytes", length_bytes=int(self.dtype[3:])), base64.b64encode(bytes(fill)).decode()
        if self.dtype == "bytes":
            data_type = "variable_length_bytes" if peer == "zarr-python" else "bytes"
        document = {"zarr_format": 3, "node_type": "array", "shape": self.shape, "data_type": data_type,
                    "chunk_grid": named("regular", chunk_shape=self.grid), "chunk_key_encoding": self.keys,
                    "fill_value": fill, "codecs": self.codecs, "attributes": self.attributes}
        if self.names is not None:
            document["dimension_names"] = self.names
        return json.loads(json.dumps(document))

    def options(self):
        """The same as keys for the driver."""
        keys = self.keys.get("configuration", {})
        options = {"dtype": self.dtype, "shape": numbers(self.shape), "fill": elements(np.array([self.fill_element],
                   numpy_type(self.dtype)))[0].hex(), "codec_list": json.dumps(self.codecs), "key_v2": int(self.keys["name"] == "v2"),
                   "attributes": json.dumps(self.attributes), "skip_fill": int(self.skip_fill)}
        options["shard" if has(self, "sharding_indexed") else "chunk"] = numbers(self.grid)
        if self.dtype.startswith("raw"):
            options.update(dtype="r8", raw_bytes=self.dtype[3:])
        if "separator" in keys:
            options["separator"] = keys["separator"]
        if self.names is not None:
            options["names"] = json.dumps(self.names)
        return options

    def describe(self):
        return "%s: %s %s grid %s fill %s %s" % (self.name, self.dtype, self.shape, self.grid, self.fill, json.dumps(self.codecs))

    def region(self):
        r = self.random
        return tuple((a, r.randint(a + 1, n)) if n else (0, 0) for n in self.shape for a in [r.randrange(max(n, 1))])

    def path(self, word):
        """A new directory: the number keeps names apart that differ in signs only."""
        readable = "".join(c if c.isalnum() and c.isascii() else "-" for c in "%s %s" % (self.name, word))
        path = os.path.join(TMP, "%s-%d.zarr" % (readable, next(PATHS)))
        shutil.rmtree(path, ignore_errors=True)
        return path


def numbers(list_):
    return ",".join(map(str, list_))


def slices(box):
    return tuple(slice(a, b) for a, b in box)


def extents(box):
    return [b - a for a, b in box]


# ---- what the others cannot ----------------------------------------------------------------------------------

OTHER_DATA = "other data"


class Limit:
    """`peer` fails to read and write such arrays; its message holds `says`, or it gives OTHER_DATA. `does`: only one."""

    def __init__(self, peer, when, says, why, does=("read", "write")):
        self.peer, self.when, self.says, self.why, self.does = peer, when, says, why, does


def outer_bytes_codec(case):
    """Whether bytes-to-bytes codecs stand around shards."""
    names = [[codec["name"] for codec in chain] for chain in chains(case.codecs)]
    return any("sharding_indexed" in chain and chain[-1] != "sharding_indexed" for chain in names)


def uneven_for_zarr_python(case):
    """Whether inner chunks divide the shard only after its transposition."""
    inner = next((codec["configuration"]["chunk_shape"] for codec in case.codecs if codec["name"] == "sharding_indexed"), [])
    return any(n % c for n, c in zip(case.grid, inner))


def twice(list_):
    return any(list_.count(name) > 1 for name in list_ if name)


def varies(case):
    return case.dtype in ("string", "bytes")


def raw(case):
    return case.dtype.startswith("raw")


def shows_fill(case):
    return sum(int(np.prod(extents(box))) for box in case.boxes) < int(np.prod(case.shape))


def nan_payload(fill):
    """Whether a fill value is a NaN that is not just "NaN"."""
    if isinstance(fill, list):
        return any(map(nan_payload, fill))
    if not isinstance(fill, str) or not fill.startswith("0x"):
        return False
    size = len(fill) // 2 - 1
    bits = float_bits(size, fill)
    return bool(np.isnan(np.frombuffer(bits, "float%d" % (8 * size))[0])) and bits != float_bits(size, "NaN")


def without_payload(fill):
    if isinstance(fill, list):
        return [without_payload(part) for part in fill]
    return "NaN" if nan_payload(fill) else fill


LIMITS = [
    Limit("zarrs", lambda c: varies(c), "Unsupported", "its pipeline leaves types of variable length to zarr-python", ["read"]),
    Limit("zarrs", lambda c: (varies(c) or raw(c)) and c.boxes, "Unsupported",
          "its pipeline leaves raw types and those of variable length to zarr-python", ["write"]),
    Limit("zarrs", raw, "No Zarr data type", "zarr-python, through which it runs, knows raw_bytes, not r24", ["read"]),
    Limit("zarrs", lambda c: has(c, "numcodecs.lz4"), "Unsupported", "not a codec of its pipeline"),
    Limit("zarrs", lambda c: c.dtype.startswith("complex") and c.boxes and BIG in list(chains(c.codecs))[-1], OTHER_DATA,
          "takes a big-endian complex number for one of 8 or 16 bytes: real and imaginary part change places", ["read"]),
    Limit("zarrs", lambda c: not c.shape and has(c, "transpose"), "Unsupported", "no transposition without dimensions"),
    Limit("zarrs", lambda c: nan_payload(c.fill) and shows_fill(c), OTHER_DATA, "loses the payload of such a fill value", ["read"]),
    Limit("zarrs", lambda c: "does not divide" in c.name, "", "loses the end of what blosc holds if it is no multiple of typesize", ["read"]),
    Limit("zarrs", uneven_for_zarr_python, "divisible", "zarr-python, through which it runs, refuses the metadata"),
    Limit("tensorstore", varies, "data_type", "no types of variable length"),
    Limit("tensorstore", raw, None, "another dimension instead of raw elements; see raw_bits"),
    Limit("tensorstore", lambda c: has(c, "numcodecs.lz4"), "is not registered", "not one of its codecs"),
    Limit("tensorstore", outer_bytes_codec, "codec", "no bytes-to-bytes codec around shards"),
    Limit("tensorstore", lambda c: len(c.shape) == 32 and has(c, "sharding_indexed"), "", "no shards in 32 dimensions"),
    Limit("tensorstore", lambda c: twice(c.names or []), "", "dimension names have to be different"),
    Limit("tensorstore", lambda c: "2**70" in c.name, "int too big", "attributes hold numbers up to 64 bits", ["write"]),
    Limit("zarr-python", raw, "No Zarr data type", "knows raw_bytes, not r24", ["read"]),
    Limit("zarr-python", lambda c: raw(c) and has(c, "sharding_indexed") and c.boxes, "unhashable", "no raw elements in shards", ["write"]),
    Limit("zarr-python", lambda c: varies(c) and has(c, "transpose") and c.boxes, OTHER_DATA,
          "elements of variable length are written in the order of memory, whatever the transposition", ["write"]),
    Limit("zarr-python", uneven_for_zarr_python, "divisible", "compares inner chunks with the shard before its transposition"),
    Limit("zarr-python", lambda c: not c.shape and has(c, "sharding_indexed"), "too many indices", "no shards without dimensions", ["write"]),
    Limit("zarr-python", lambda c: "snappy" in json.dumps(c.codecs), "not supported", "its blosc is built without snappy", ["write"]),
    Limit("zarr-python", lambda c: "snappy" in json.dumps(c.codecs), "decompression", "its blosc is built without snappy", ["read"]),
    Limit("zarr-python", lambda c: c.dtype == "float16" and nan_payload(c.fill) and shows_fill(c), OTHER_DATA,
          "loses the payload of such a fill value", ["read"]),
    Limit("zarr-python", lambda c: c.fill == "0x7f800001" and shows_fill(c), OTHER_DATA, "makes a signalling NaN a quiet one", ["read"]),
]


def mixed(case):
    """A random array, which need not show a limit."""
    return case.name.startswith("random")


def limit(peer, case, verb):
    found = [x for x in LIMITS if x.peer == peer and verb in x.does and x.when(case)]
    return min(found, key=lambda x: x.says == OTHER_DATA, default=None)


# ---- the others ----------------------------------------------------------------------------------------------

CONTEXT = ts.Context({"file_io_sync": False})


def tensorstore(path, **more):
    return ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}, context=CONTEXT, **more).result()


def pipeline(peer):
    return zarr.config.set({"codec_pipeline.path": PIPELINES[peer], "codec_pipeline.strict": True})


def peer_create(peer, case, path):
    document = case.document(peer)
    if peer == "tensorstore":
        metadata = {key: value for key, value in document.items() if key not in ("zarr_format", "node_type")}
        ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}, "metadata": metadata}, create=True,
                context=CONTEXT).result()
        return
    text = ArrayV3Metadata.from_dict(document).to_buffer_dict(default_buffer_prototype())["zarr.json"].to_bytes()
    os.makedirs(path)
    with open(os.path.join(path, "zarr.json"), "wb") as file:
        file.write(text)


def peer_write(peer, path, box, data):
    if peer == "tensorstore":
        tensorstore(path)[slices(box)].write(data).result()
        return
    with pipeline(peer):
        zarr.open_array(path, mode="r+")[slices(box) if box else ...] = data


def peer_read(peer, path, box=None):
    try:
        if peer == "tensorstore":
            array = tensorstore(path)
            return plain((array[slices(box)] if box else array).read().result())
        with pipeline(peer):
            return plain(zarr.open_array(path, mode="r")[slices(box) if box else ...])
    except Exception as error:    # each has its own kinds
        raise Failure("%s cannot read it: %s: %s" % (peer, type(error).__name__, error))


def peer_resize(peer, path, shape):
    if peer == "tensorstore":
        # resize_metadata_only: as zarr-python does where chunks are not wholly outside
        tensorstore(path).resize(exclusive_max=shape, expand_only=False).result()
        return
    with pipeline(peer):
        zarr.open_array(path, mode="r+").resize(tuple(shape))


def failure_of(function, *arguments):
    """The result and None, or None and what it raised."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, "%s: %s" % (type(error).__name__, error)


def peer_reads(peer, case, path, who):
    """Whole and a region; or what LIMITS says."""
    known = limit(peer, case, "read")
    got, error = failure_of(peer_read, peer, path)
    if known and known.says == OTHER_DATA:
        check(error is None and (mixed(case) or not alike(got, case.data)), "%s reads it now (%s): %s", peer, known.why,
              case.describe())
        return
    if known:
        if error is None:
            _, error = failure_of(peer_read, peer, path, case.region())
        check(error is not None and (known.says or "") in error, "%s reads it now (%s), or: %s (%s)", peer, known.why, error,
              case.describe())
        return
    check(error is None, "%s, %s (%s)", who, str(error)[:500], case.describe())
    same(case, got, case.data, "%s, read by %s" % (who, peer))
    if case.shape:
        box = case.region()
        got, error = failure_of(peer_read, peer, path, box)
        check(error is None, "%s, %s cannot read region %s: %s (%s)", who, peer, box, str(error)[:500], case.describe())
        same(case, got, case.data[slices(box)], "%s, region %s read by %s" % (who, box, peer))


# ---- we ------------------------------------------------------------------------------------------------------

def region_keys(box):
    return {"start": numbers(a for a, _ in box), "count": numbers(extents(box))}


def we_read(case, path, who):
    """Whole in two layouts and two regions, with much and with little memory; the metadata; verify finds nothing."""
    boxes = [case.region(), case.region()]
    facts, whole, fortran, *parts = yield [
        Job("facts", path), Job("read", path, out=True), Job("read", path, out=True, layout="F"),
        Job("read", path, out=True, **region_keys(boxes[0])),
        Job("read", path, out=True, memory=1, files=1, **region_keys(boxes[1])), Job("verify", path)]
    parts.pop().good()
    same(case, unpacked(whole.good().out, case.dtype, case.shape), case.data, who + ", read by us")
    got = unpacked(fortran.good().out, case.dtype, case.shape[::-1]).transpose()
    same(case, got, case.data, who + ", first dimension fastest")
    for box, reply in zip(boxes, parts):
        same(case, unpacked(reply.good().out, case.dtype, extents(box)), case.data[slices(box)], "%s, region %s read by us" %
             (who, box))
    facts = facts.good().facts
    fill = elements(np.array([case.fill_element], numpy_type(case.dtype)))[0].hex()
    for key, value in {"shape": case.shape, "shard": case.grid, "fill": fill, "names": case.names, "attributes": case.attributes,
                       "key_v2": case.keys["name"] == "v2", "sharded": has(case, "sharding_indexed")}.items():
        check(facts[key] == value or (key == "names" and not any(facts[key] or []) and not any(value or [])),
              "%s: %s is %s, not %s", who, key, facts[key], value)


def how_to_write(case):
    """Options that must not matter for what is read."""
    r = case.random
    how = {"direct": r.choice(["auto", "off"]), "durable": int(r.random() < 0.1)}
    if r.random() < 0.3:
        how.update(buffer=r.choice([4096, 8192, 65536]), files=r.randint(1, 4), memory=r.choice([1, 65536]))
    return how


def defined(case, path):
    """Our array, defined and then written box by box, the first box in two parts."""
    jobs = [Job("define", path, **case.options(), **how_to_write(case))]
    for box in case.boxes:
        for part in halves(case, box):
            jobs.append(Job("write", path, data=packed(case.data[slices(part)]), update=case.random.choice(["append", "rewrite"]),
                            skip_fill=int(case.skip_fill), **how_to_write(case), **region_keys(part)))
    for reply in (yield jobs):
        reply.good()


def halves(case, box):
    if not box or box[0][1] - box[0][0] < 2:
        return [box]
    middle = case.random.randint(box[0][0] + 1, box[0][1] - 1)
    return [((box[0][0], middle), *box[1:]), ((middle, box[0][1]), *box[1:])]


def appended(case, path):
    """Our array, created and appended to in pieces; whether its shards are packed."""
    r, options, checkpoint = case.random, case.options(), {}
    if r.random() < 0.5:
        options["shape"] = numbers([0] + case.shape[1:])
    if r.random() < 0.2:
        checkpoint = {"checkpoint": r.randint(1, 5)}
    reply = yield Job("create", path, data=packed(case.data), pieces=r.choice([1, 7, 100, 10000]), **options, **checkpoint,
                      **how_to_write(case))
    check(reply.good().facts["dead_bytes"] == 0 or checkpoint, "dead bytes: %s (%s)", reply.facts, case.describe())
    return not checkpoint


# ---- one array, both ways ------------------------------------------------------------------------------------

def theirs(peer, case):
    """Written by a peer, read by us."""
    path, known = case.path(peer), limit(peer, case, "write")

    if peer != "tensorstore" and nan_payload(case.fill):    # zarr-python writes just "NaN"
        case = case.filled_with(without_payload(case.fill))

    def write():
        peer_create(peer, case, path)
        for box in case.boxes:
            peer_write(peer, path, box, case.data[slices(box)])
    if known and known.says is None:
        return    # it ends the process: see raw_bits
    _, error = failure_of(write)
    if known and known.says != OTHER_DATA:
        check(error is not None and known.says in error, "%s writes it now (%s), or: %s (%s)", peer, known.why, error, case.describe())
        return
    check(error is None, "%s cannot write it: %s (%s)", peer, error, case.describe())
    if known:
        reply = yield Job("read", path, out=True)
        check(mixed(case) or not alike(unpacked(reply.good().out, case.dtype, case.shape), case.data),
              "%s writes it right now (%s): %s", peer, known.why, case.describe())
        return
    yield from we_read(case, path, "written by " + peer)
    shutil.rmtree(path)


def ours(case, write):
    """Written by us, read by all."""
    path = case.path(write.__name__)
    is_packed = yield from write(case, path)
    who = "%s by us" % write.__name__
    yield from we_read(case, path, who)
    if is_packed and len(case.codecs) == 1:
        check_files(case, path)
    for peer in PEERS:
        peer_reads(peer, case, path, who)
    if limit("zarr-python", case, "read") is None:
        array = zarr.open_array(path, mode="r")
        check(dict(array.attrs) == case.attributes and list(array.metadata.dimension_names or []) == (case.names or []),
              "attributes or names as zarr-python sees them: %s %s", dict(array.attrs), array.metadata.dimension_names)
    shutil.rmtree(path)


def check_files(case, path):
    """Each shard is as long as its chunks and its index, and there is no file outside the shape."""
    sharded = case.codecs[0]["name"] == "sharding_indexed"
    grid = [-(-n // s) for n, s in zip(case.shape, case.grid)]
    found = []
    for directory, _, names in os.walk(path):
        found += [os.path.relpath(os.path.join(directory, name), path) for name in names if name != "zarr.json"]
    separator = case.keys.get("configuration", {}).get("separator", "." if case.keys["name"] == "v2" else "/")
    for key in found:
        parts = (key[2:] if case.keys["name"] == "default" else key).split(separator)
        check(len(parts) == len(grid) and all(p.isdigit() and int(p) < n for p, n in zip(parts, grid)),
              "a file that should not be there: %s (%s)", key, case.describe())
        if sharded:
            check_shard(case, os.path.join(path, key), [int(p) for p in parts])
    total = int(np.prod(grid))
    check(len(found) <= total if case.skip_fill else len(found) == total, "%d files, not %d (%s)", len(found), total, case.describe())


def check_shard(case, path, position):
    configuration = case.codecs[0]["configuration"]
    chunk, index = configuration["chunk_shape"], configuration["index_codecs"]
    count = int(np.prod([s // c for s, c in zip(case.grid, chunk)]))
    size = 16 * count + 4 * (len(index) - 1)
    with open(path, "rb") as file:
        data = file.read()
    entries = data[:16 * count] if configuration["index_location"] == "start" else data[len(data) - size:][:16 * count]
    lengths = struct.unpack("%s%dQ" % (">" if index[0] == BIG else "<", 2 * count), entries)[1::2]
    present = [n for n in lengths if n != 2**64 - 1]
    check(len(data) == size + sum(present), "%s: %d bytes for %d of chunks and %d of index (%s)", path, len(data), sum(present),
          size, case.describe())
    # chunks that lie outside the array altogether are missing
    inside = int(np.prod([min(s // c, -(-(n - p * s) // c)) for n, s, c, p in zip(case.shape, case.grid, chunk, position)]))
    check(len(present) <= inside if case.skip_fill else len(present) == inside, "%s: %d chunks, %d inside the array (%s)", path,
          len(present), inside, case.describe())

# ---- rows: one thing at a time -------------------------------------------------------------------------------

SOME = [((0, 6), (0, 4)), ((9, 11), (5, 9))]    # boxes that leave chunks and shards of 13 x 9 missing


def data_type_rows():
    for dtype in NUMBERS:
        for endian in ["little"] if numpy_type(dtype).itemsize == 1 else ["little", "big"]:
            codec = named("bytes") if numpy_type(dtype).itemsize == 1 else named("bytes", endian=endian)
            fill = [0, 0] if dtype.startswith("complex") else False if dtype == "bool" else 0
            yield Case("type %s %s" % (dtype, endian), dtype, codecs=[codec], fill=fill, boxes=SOME)
            yield Case("type %s %s sharded" % (dtype, endian), dtype, codecs=[sharding([4, 3], [codec])], fill=fill, boxes=SOME)
    for size in (1, 2, 3, 16, 256):
        fill = [(7 * i + 1) % 256 for i in range(size)]
        yield Case("type raw%d" % size, "raw%d" % size, fill=fill, boxes=SOME)
        yield Case("type raw%d sharded, zstd" % size, "raw%d" % size, codecs=[sharding([4, 3], [named("bytes"), zstd(1)])], fill=fill)
    for dtype, codec, fills in (("string", named("vlen-utf8"), ["", "\u00fc \u20ac\n"]), ("bytes", named("vlen-bytes"), ["", "AP8="])):
        for fill in fills:
            def row(what, codecs, **more):
                return Case("type %s fill %d: %s" % (dtype, len(fill), what), dtype, codecs=codecs, fill=fill, **more)
            yield row("plain", [codec], boxes=SOME)
            yield row("transposed, gzip", [transpose(1, 0), codec, gzip(5)])
            yield row("sharded", [sharding([4, 3], [codec])], boxes=SOME)
            yield row("sharded, zstd, crc32c", [sharding([4, 3], [codec, zstd(3), CRC], "start")], skip_fill=True, boxes=SOME)
            yield row("nested", [sharding([4, 3], [sharding([2, 3], [transpose(1, 0), codec])])])


FILLS = {
    "bool": [True], "int8": [-128, 127], "uint8": [255], "int16": [-32768], "uint16": [65535], "int32": [-2**31], "uint32": [2**32 - 1],
    "int64": [-2**63, 2**63 - 1], "uint64": [2**64 - 1],
    "float16": ["NaN", "Infinity", "-Infinity", -0.0, 0.1, 65504.0, "0x7e01", "0xfc00", "0x0001"],
    "float32": ["NaN", "Infinity", "-Infinity", -0.0, 0.1, 1e-45, 3.4028234663852886e38, "0x7fc00001", "0xffc00000", "0x7f800001",
                "0x3f800000"],
    "float64": ["NaN", "Infinity", "-Infinity", -0.0, 0.1, 1e23, 5e-324, 1.7976931348623157e308, 123456789.125, "0x7ff8000000000123",
                "0xfff8000000000000", "0x7ff0000000000001"],
    "complex64": [["NaN", "Infinity"], [-0.0, 0.1], ["0x7fc00001", "-Infinity"]],
    "complex128": [["NaN", "-Infinity"], [0.1, -0.0], ["0x7ff8000000000001", 5e-324]],
}


def fill_rows():
    for dtype, fills in FILLS.items():
        one_byte = numpy_type(dtype).itemsize == 1
        for fill in fills:
            yield Case("fill %s %s" % (dtype, fill), dtype, codecs=[sharding([4, 3], [named("bytes") if one_byte else LITTLE])], fill=fill,
                       boxes=SOME, skip_fill=True)
    yield Case("fill only", fill=7, boxes=[])
    yield Case("negative zeros where the fill value is zero", "float32", codecs=[sharding([4, 3], [LITTLE])], skip_fill=True)


def codec_rows():
    chains_ = {"zstd %d%s" % (level, " checksum" * check_): [zstd(level, check_)] for level in (-5, 0, 3, 19, 22) for check_ in (False, True)}
    chains_.update({"gzip %d" % level: [gzip(level)] for level in (0, 1, 6, 9)})
    for cname in ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"):
        for shuffle in ("noshuffle", "shuffle", "bitshuffle"):
            chains_["blosc %s %s" % (cname, shuffle)] = [blosc(cname, shuffle=shuffle)]
    chains_.update({"blosc level 0": [blosc("lz4", 0)], "blosc level 9, blocks of 128": [blosc("zstd", 9, "shuffle", blocksize=128)],
                    "blosc typesize 1": [blosc("lz4", 5, "bitshuffle", 1)], "blosc typesize 4": [blosc("lz4", 5, "shuffle", 4)],
                    "lz4": [named("numcodecs.lz4", acceleration=1)], "lz4 acceleration 9": [named("numcodecs.lz4", acceleration=9)],
                    "crc32c": [CRC], "crc32c twice": [CRC, CRC], "zstd, crc32c": [zstd(1), CRC], "crc32c, zstd": [CRC, zstd(1)],
                    "gzip, zstd, crc32c": [gzip(1), zstd(1), CRC], "all": [blosc("lz4"), gzip(1), zstd(1), CRC, CRC, gzip(9), zstd(0), CRC]})
    for name, chain in chains_.items():
        # chunks of 1 KiB and more: smaller ones are stored as they are by most compressors
        more = {"shape": (70, 50), "grid": (64, 32)}
        yield Case("codec " + name, codecs=[LITTLE] + chain, **more)
        yield Case("codec %s, sharded" % name, codecs=[sharding([32, 16], [LITTLE] + chain)], **more)
    bare = named("blosc", cname="lz4", clevel=5, shuffle="noshuffle", blocksize=0)
    yield Case("codec blosc without typesize", codecs=[LITTLE, bare])
    yield Case("codec blosc, typesize does not divide", "uint8", (116,), (40,),
               [sharding([10], [named("bytes"), CRC, blosc("lz4", 5, "shuffle", 8)])])
    for name in ("zstd 3", "gzip 6", "blosc lz4 shuffle", "lz4", "crc32c", "crc32c twice", "gzip, zstd, crc32c"):
        yield Case("codec %s around shards" % name, codecs=[sharding([4, 3], [LITTLE])] + chains_[name], boxes=SOME)
        yield Case("codec %s around inner shards" % name, codecs=[sharding([4, 3], [sharding([2, 3], [LITTLE])] + chains_[name])])


def transpose_rows():
    for order in itertools.permutations(range(3)):
        turned = [[8, 6, 4][i] for i in order]
        more = {"shape": (9, 7, 5), "grid": (8, 6, 4)}
        yield Case("transpose %s" % (order,), codecs=[transpose(*order), LITTLE], **more)
        yield Case("transpose %s in shards" % (order,), codecs=[sharding([4, 3, 2], [transpose(*order), BIG, gzip(1)])], **more)
        yield Case("transpose %s around shards" % (order,), codecs=[transpose(*order), sharding([n // 2 for n in turned], [LITTLE])], **more)
    yield Case("transpose twice", "float64", (9, 7, 5), (8, 6, 4), [transpose(1, 2, 0), transpose(2, 1, 0), LITTLE])
    yield Case("transpose at every level", "int32", (17, 13), (8, 12),
               [transpose(1, 0), sharding([6, 4], [transpose(1, 0), sharding([2, 3], [transpose(1, 0), LITTLE], "start")])])
    yield Case("transpose 5 dimensions", "uint8", (3, 4, 5, 2, 6), (2, 4, 4, 2, 3), [transpose(4, 2, 0, 1, 3), named("bytes")])


def sharding_rows():
    for location in ("end", "start"):
        for name, index in {"little": [LITTLE, CRC], "big": [BIG, CRC], "little, no checksum": [LITTLE], "big, no checksum": [BIG]}.items():
            yield Case("index %s %s" % (location, name), codecs=[sharding([4, 3], [LITTLE], location, index)], boxes=SOME)
            yield Case("index %s %s, compressed" % (location, name), codecs=[sharding([4, 3], [LITTLE, zstd(1)], location, index)])
    for outer, inner in itertools.product(("end", "start"), repeat=2):
        yield Case("nested 2, %s %s" % (outer, inner), "uint8",
                   codecs=[sharding([4, 3], [sharding([2, 1], [named("bytes")], inner, [BIG])], outer)], boxes=SOME)
    yield Case("nested 3", "int16", (40, 9), (32, 9), [sharding([16, 9], [sharding([8, 3], [sharding([4, 1], [BIG, zstd(1)])], "start")])],
               boxes=[((3, 9), (1, 5)), ((33, 40), (0, 9))])
    yield Case("one chunk in a shard", codecs=[sharding([8, 6], [LITTLE])])
    yield Case("chunks of one element", codecs=[sharding([1, 1], [LITTLE])], boxes=SOME)
    yield Case("shard larger than the array", shape=(5, 3), grid=(16, 16), codecs=[sharding([4, 4], [LITTLE, CRC])])
    yield Case("many shards", "uint8", (24, 20), (2, 2), [sharding([1, 2], [named("bytes")])])
    yield Case("many chunks in a shard", "uint8", (70, 70), (64, 64), [sharding([2, 2], [named("bytes")])])


def metadata_rows():
    for keys in (named("default", separator="/"), named("default", separator="."), named("v2", separator="."),
                 named("v2", separator="/")):
        name = "keys %s %s" % (keys["name"], keys["configuration"]["separator"])
        yield Case(name, keys=keys, boxes=SOME)
        yield Case(name + " sharded", codecs=[sharding([4, 3], [LITTLE])], keys=keys, boxes=SOME)
        yield Case(name + " without dimensions", "float64", (), (), keys=keys)
    yield Case("keys default without configuration", keys=named("default"))
    yield Case("keys v2 without configuration", keys=named("v2"))
    for names in (["y", "x"], ["y", None], [None, None], ["", "x"], ["\u00fc/\n", " "], ["x", "x"]):
        yield Case("names %s" % names, names=names)
    for attributes in ({}, {"a": None, "b": True, "c": [1, 2.5, "\u00fc\n\"\\", [], {}], "": {"x": {"y": [[[1e300, -0.0]]]}}},
                       {"\u20ac": "\U0001f600\u0001", "n": [2**53, -2**63, 1e-7]}):
        yield Case("attributes of %d" % len(attributes), attributes=attributes)
    yield Case("attributes 2**70", attributes={"n": 2**70})


def shape_rows():
    for ndim in (1, 4, 6, 16, 31, 32):
        last = [min(ndim, 3), 5][-min(ndim, 2):]
        shape, grid = [1] * (ndim - len(last)) + last, [1] * (ndim - len(last)) + [4, 4][:len(last)]
        yield Case("%d dimensions" % ndim, shape=shape, grid=grid)
        yield Case("%d dimensions, sharded, transposed" % ndim, shape=shape, grid=grid,
                   codecs=[sharding([1] * (ndim - 1) + [2], [transpose(*reversed(range(ndim))), LITTLE, CRC])])
    yield Case("no dimensions", "int32", (), ())
    yield Case("no dimensions, not written", "int32", (), (), fill=5, boxes=[])
    yield Case("no dimensions, compressed", "complex128", (), (), [LITTLE, gzip(1), CRC], fill=[0, 0])
    yield Case("no dimensions, sharded", "int32", (), (), [sharding([], [LITTLE])])
    yield Case("no dimensions, transposed", "int32", (), (), [transpose(), LITTLE])
    for shape in ((0,), (0, 9), (3, 0, 4)):
        for codecs in ([LITTLE], [sharding([2] * len(shape), [LITTLE])]):
            yield Case("shape %s %s" % (shape, codecs[0]["name"]), shape=shape, grid=[4] * len(shape), codecs=codecs, boxes=[])
    yield Case("one element", shape=(1, 1, 1), grid=(1, 1, 1), codecs=[sharding([1, 1, 1], [LITTLE])])
    yield Case("ragged on every side", "uint8", (13, 11, 7), (8, 6, 4), [sharding([4, 3, 2], [named("bytes")])])
    yield Case("large chunks", "float32", (300, 260), (256, 256), [sharding([128, 64], [LITTLE, zstd(1)])])


ROWS = (data_type_rows, fill_rows, codec_rows, transpose_rows, sharding_rows, metadata_rows, shape_rows)


# ---- random: everything at once ------------------------------------------------------------------------------

def divisor(r, n):
    return r.choice([d for d in range(1, n + 1) if n % d == 0])


def random_bytes_codecs(r, most):
    """blosc with typesize 1, which divides everything, and with shuffling, or tensorstore leaves it out: see LIMITS."""
    some = [lambda: zstd(r.randint(-3, 6), r.random() < 0.5), lambda: gzip(r.randint(0, 9)), lambda: CRC, lambda: CRC,
            lambda: blosc(r.choice(["blosclz", "lz4", "lz4hc", "zlib", "zstd"]), r.randint(0, 9),
                          r.choice(["shuffle", "bitshuffle"]), 1)]
    return [r.choice(some)() for _ in range(r.choice([0, 0, 1, most]))]


def random_chain(r, dtype, extent, depth):
    """Codecs for a chunk of this extent, `depth` levels of shards."""
    chain = []
    if r.random() < 0.3:
        order = r.sample(range(len(extent)), len(extent))
        chain.append(transpose(*order))
        extent = [extent[i] for i in order]
    if depth == 0:
        one_byte = dtype not in NUMBERS or numpy_type(dtype).itemsize == 1
        vlen = {"string": named("vlen-utf8"), "bytes": named("vlen-bytes")}
        chain.append(vlen.get(dtype) or (named("bytes") if one_byte else r.choice([LITTLE, LITTLE, BIG])))
        return chain + random_bytes_codecs(r, 3)
    inner = [divisor(r, n) for n in extent]
    index = [r.choice([LITTLE, LITTLE, BIG])] + [CRC] * (r.random() < 0.8)
    chain.append(sharding(inner, random_chain(r, dtype, inner, depth - 1), r.choice(["end", "end", "start"]), index))
    return chain + (random_bytes_codecs(r, 1) if r.random() < 0.15 else [])


def random_fill(r, dtype):
    if dtype in FILLS and r.random() < 0.5:
        return r.choice(FILLS[dtype])
    if dtype.startswith("raw"):
        return [r.randrange(256) for _ in range(int(dtype[3:]))]
    return {"complex64": [0, 0], "complex128": [0, 0], "bool": False, "string": "x", "bytes": "AQ=="}.get(dtype, 0)


def random_case(name, number, most_dims=5):
    r = random.Random("%s %d %d" % (name, SEED, number))
    dtype = r.choice(NUMBERS + ["string", "bytes", "raw3"]) if r.random() < 0.5 else r.choice(NUMBERS)
    ndim = 1 + number % most_dims
    most = [0, 60, 24, 12, 6, 4][ndim]
    grid = [r.randint(1, most) for _ in range(ndim)]
    shape = [max(1, r.randint(0, 2) * g + r.randint(0, g)) for g in grid]
    boxes = [tuple((0, n) for n in shape)]
    if r.random() < 0.5:
        boxes = [tuple((a, r.randint(a + 1, n)) for n in shape for a in [r.randrange(n)]) for _ in range(r.randint(0, 3))]
    names = r.sample(["t", "z", "y/x", "\u00e9", " ", None, None], ndim) if r.random() < 0.5 else None
    keys = r.choice([named("default", separator="/")] * 3 + [named("default", separator="."), named("v2", separator=".")])
    return Case("%s %d" % (name, number), dtype, shape, grid, random_chain(r, dtype, grid, r.choice([0, 1, 1, 1, 2, 3])),
                random_fill(r, dtype), keys, names, {"number": number, "text": "\u00fc\n\""} if r.random() < 0.5 else {}, boxes,
                r.random() < 0.4, SEED)


# ---- lives: everybody changes the same array -----------------------------------------------------------------

class Life:
    """An array that is changed step by step; `case.shape` and `case.data` follow."""

    def __init__(self, number):
        self.case = random_case("life", number, 4)
        self.case = self.case.filled_with(without_payload(self.case.fill))    # see LIMITS
        self.case.boxes, self.random = [tuple((0, n) for n in self.case.shape)], self.case.random
        self.path = self.case.path("life")
        self.able = [p for p in PEERS if limit(p, self.case, "read") is None and limit(p, self.case, "write") is None]
        self.stale = False    # whether something outside the shape may come back when it grows
        self.history = []

    def begin(self):
        ways = self.able + ["defined", "appended"]
        way = self.random.choice(ways)
        self.history.append("%s begins" % way)
        if way in PEERS:
            peer_create(way, self.case, self.path)
            for box in self.case.boxes:
                peer_write(way, self.path, box, self.case.data[slices(box)])
        else:
            yield from (defined if way == "defined" else appended)(self.case, self.path)

    def new_box(self):
        box = self.case.region()
        content = self.case.content(extents(box))
        if self.random.random() < 0.2:
            content[...] = self.case.fill_element
        self.case.data[slices(box)] = content
        return box, content

    def we_write(self):
        box, content = self.new_box()
        how = {"update": self.random.choice(["append", "rewrite"]), "skip_fill": int(self.random.random() < 0.5),
               "dead_percent": self.random.choice([0, 1, 100])}
        self.history.append("we write %s %s" % (box, how))
        (yield Job("write", self.path, data=packed(content), **how, **region_keys(box), **how_to_write(self.case))).good()

    def they_write(self):
        if not self.able:
            return
        peer, (box, content) = self.random.choice(self.able), self.new_box()
        self.history.append("%s writes %s" % (peer, box))
        _, error = failure_of(peer_write, peer, self.path, box, content)
        check(error is None, "%s: %s", self.describe(), error)
        yield from ()

    def we_append(self):
        more = self.case.content([self.random.randint(1, 2 * self.case.grid[0])] + self.case.shape[1:])
        self.history.append("we append %d" % more.shape[0])
        (yield Job("append", self.path, data=packed(more), pieces=self.random.choice([3, 1000]), **how_to_write(self.case))).good()
        self.case.data = np.concatenate([self.case.data, more])
        self.case.shape[0] += more.shape[0]

    def new_shape(self):
        return [max(1, n + self.random.randint(-g - 1, g + 1)) if self.random.random() < 0.7 else n
                for n, g in zip(self.case.shape, self.case.grid)]

    def reshaped(self, shape, stale):
        """What has to be there now; None where something old may have come back."""
        data = self.case.filled(shape)
        common_part = tuple(slice(min(a, b)) for a, b in zip(shape, self.case.shape))
        data[common_part] = self.case.data[common_part]
        grows = any(a > b for a, b in zip(shape, self.case.shape))
        self.case.data, self.case.shape = data, list(shape)
        known = not (grows and self.stale)
        self.stale = self.stale or stale
        return None if known else common_part

    def adopt(self, part):
        """Takes what we read for the new part, if the old one is right; the others have to agree."""
        got = unpacked((yield Job("read", self.path, out=True)).good().out, self.case.dtype, self.case.shape)
        same(self.case, got[part], self.case.data[part], self.describe())
        self.case.data = got.copy()

    def we_resize(self):
        shape, keep = self.new_shape(), self.random.random() < 0.3
        shrinks = any(a < b for a, b in zip(shape, self.case.shape))
        self.history.append("we resize to %s%s" % (shape, " keep_edge" * keep))
        (yield Job("resize", self.path, shape=numbers(shape), keep_edge=int(keep), **how_to_write(self.case))).good()
        part = self.reshaped(shape, keep and shrinks)
        if part is not None:
            yield from self.adopt(part)

    def they_resize(self):
        peers = [p for p in self.able if p != "zarrs"]
        if not peers:
            return
        peer, shape = self.random.choice(peers), self.new_shape()
        self.history.append("%s resizes to %s" % (peer, shape))
        _, error = failure_of(peer_resize, peer, self.path, shape)
        check(error is None, "%s: %s", self.describe(), error)
        part = self.reshaped(shape, any(a < b for a, b in zip(shape, self.case.shape)))
        if part is not None:
            yield from self.adopt(part)

    def we_compact(self):
        self.history.append("we compact")
        (yield Job("compact", self.path)).good()

    def describe(self):
        return "%s: %s" % (self.case.describe(), "; ".join(self.history))

    def agree(self):
        """Everybody reads the same."""
        read, facts, found = yield [Job("read", self.path, out=True), Job("facts", self.path), Job("verify", self.path)]
        got = unpacked(read.good().out, self.case.dtype, self.case.shape)
        same(self.case, got, self.case.data, "%s: read by us" % self.describe())
        check(facts.good().facts["attributes"] == self.case.attributes, "%s: attributes %s", self.describe(), facts.facts)
        check(found.ok, "%s: verify: %s", self.describe(), found.text)
        for peer in self.able:
            got, error = failure_of(peer_read, peer, self.path)
            check(error is None, "%s: %s cannot read it: %s", self.describe(), peer, error)
            same(self.case, got, self.case.data, "%s: read by %s" % (self.describe(), peer))

    def live(self):
        steps = [self.we_write] * 3 + [self.they_write] * 3 + [self.we_append, self.we_resize, self.they_resize, self.we_compact]
        yield from self.begin()
        yield from self.agree()
        for _ in range(6):
            yield from self.random.choice(steps)()
            yield from self.agree()
        shutil.rmtree(self.path)


# ---- single things -------------------------------------------------------------------------------------------

WEIRD = '''{"fill_value": 3 , "zarr_format" :3, "x-note": {"must_understand": false, "b": [1e2, 0.10, "\\u00e9"], "a": {}},
 "attributes":{ "one" : 1.50, "two":"\\/\\u20ac\u20ac", "big": 123456789012345678901234567890,
   "three" :[ ] },
\t"shape": [6, 5], "node_type": "array", "data_type": "uint16", "storage_transformers": [], "x-other":{"must_understand" :false},
  "chunk_grid": {"configuration": {"chunk_shape": [4, 4]}, "name": "regular"},
  "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}}, "dimension_names": ["\\u0079", null],
  "codecs": [{"name": "sharding_indexed", "configuration": {"index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}},
     {"name": "crc32c"}], "codecs": ["vlen"], "chunk_shape": [2, 2]}}]}
'''.replace('"vlen"', '{"name": "bytes", "configuration": {"endian": "big"}}')


def kept():
    """Whatever we change, all of zarr.json but the shape stays byte for byte; and zarr-python reads the array."""
    case = Case("kept", shape=(6, 5), grid=(4, 4), fill=3, codecs=[sharding([2, 2], [BIG])])
    path = case.path("weird")
    os.makedirs(path)

    def text():
        with open(os.path.join(path, "zarr.json"), encoding="utf-8") as file:
            return file.read()

    def wanted(shape):
        begin, end = WEIRD.split("[6, 5]")
        check(text().startswith(begin) and text().endswith(end), "zarr.json: %s", text())
        check(json.loads(text())["shape"] == shape, "shape: %s", json.loads(text())["shape"])
    with open(os.path.join(path, "zarr.json"), "w", encoding="utf-8") as file:
        file.write(WEIRD)
    data = case.data
    (yield Job("write", path, data=packed(data))).good()
    wanted([6, 5])
    more = case.content([3, 5])
    (yield Job("append", path, data=packed(more), pieces=4, checkpoint=1)).good()
    data = np.concatenate([data, more])
    wanted([9, 5])
    (yield Job("write", path, data=packed(data[1:3, 1:4]), update="rewrite", start="1,1", count="2,3")).good()
    (yield Job("resize", path, shape="7,4")).good()
    data = data[:7, :4]
    (yield Job("compact", path)).good()
    wanted([7, 4])
    case.data, case.shape, case.names, case.keys = data, [7, 4], ["y", None], named("v2", separator="/")
    case.attributes = json.loads(WEIRD)["attributes"]
    yield from we_read(case, path, "kept")
    same(case, peer_read("zarr-python", path), data, "zarr-python")


def raw_bits():
    """Raw elements: the specification's r24 of ours is known to no peer here; tensorstore takes zarr-python's raw_bytes for
    one more dimension of bytes, and ends the process when it is to create some."""
    case = Case("raw bits", "raw3", fill=[1, 2, 3])
    path = case.path("zarr-python")
    peer_create("zarr-python", case, path)
    peer_write("zarr-python", path, case.boxes[0], case.data)
    yield from we_read(case, path, "raw_bytes of zarr-python")
    array = tensorstore(path)
    check(array.shape == (13, 9, 3) and array.dtype.name == "byte", "tensorstore: %s %s", array.shape, array.dtype)
    path = case.path("ours")
    yield from defined(case, path)
    _, error = failure_of(tensorstore, path)
    check(error is not None and "fill_value" in error, "tensorstore reads r24: %s", error)
    code = "import sys, tensorstore as ts; ts.open({'driver': 'zarr3', 'kvstore': {'driver': 'file', 'path': sys.argv[1]}, 'metadata': " \
           "{'shape': [4], 'data_type': 'r24', 'fill_value': 'AQID'}}, create=True).result()"
    process = subprocess.run([sys.executable, "-c", code, case.path("tensorstore")], capture_output=True, timeout=common.SECONDS)
    check(process.returncode == -6, "tensorstore creates raw elements: %d %s", process.returncode, process.stderr[-300:])


def flushed(data):
    """A gzip file with a flush after each 8 bytes: several times as long."""
    encoder = zlib.compressobj(wbits=31)
    pieces = [encoder.compress(data[i:i + 8]) + encoder.flush(zlib.Z_FULL_FLUSH) for i in range(0, len(data), 8)]
    return b"".join(pieces) + encoder.flush()


def longer_than_ours(codecs):
    """Other encoders may need more bytes than ours at their worst: level 1 of the deflate in zarrs does not store what
    cannot be compressed. Read and changed by us, read by zarr-python."""
    noise = np.frombuffer(np.random.default_rng(SEED).bytes(40000), "uint16").reshape(200, 100)
    case = Case("longer than ours", shape=(200, 100), grid=(200, 100), codecs=codecs)
    path = case.path("zarrs")
    peer_create("zarrs", case, path)
    peer_write("zarrs", path, case.boxes[0], noise)
    case.data = noise
    yield from we_read(case, path, "written by zarrs")
    (yield Job("write", path, data=packed(noise[:3, :4]), start="1,1", count="3,4")).good()
    (yield Job("append", path, data=packed(noise[:7]))).good()
    case.data, case.shape = np.concatenate([noise, noise[:7]]), [207, 100]
    case.data[1:4, 1:5] = noise[:3, :4]
    yield from we_read(case, path, "written by zarrs, changed by us")
    same(case, peer_read("zarr-python", path), case.data, "zarr-python")
    shutil.rmtree(path)


def longer_in_a_shard():
    """The same in a shard, where zarrs fails; with a chunk made here."""
    case = Case("longer in a shard", shape=(6, 5), grid=(6, 5), codecs=[sharding([6, 5], [LITTLE, gzip(1)])])
    path = case.path("made here")
    chunk = flushed(packed(case.data))
    index = struct.pack("<QQ", 0, len(chunk))
    peer_create("zarr-python", case, path)
    os.makedirs(os.path.join(path, "c", "0"))
    with open(os.path.join(path, "c", "0", "0"), "wb") as file:
        file.write(chunk + index + struct.pack("<I", google_crc32c.value(index)))
    for peer in PEERS:
        same(case, peer_read(peer, path), case.data, peer)
    yield from we_read(case, path, "made here")


def unknown(document):
    """Legal, but not for us: refused when it is opened, and nothing else happens."""
    path = os.path.join(TMP, "unknown-%d.zarr" % next(PATHS))
    if callable(document):
        document(path)
    else:
        os.makedirs(path)
        with open(os.path.join(path, "zarr.json"), "w") as file:
            json.dump(document, file)
    for reply in (yield [Job("facts", path), Job("read", path, out=True), Job("resize", path, shape="1,1"), Job("append", path)]):
        reply.refused("ERR_UNSUPPORTED")
    shutil.rmtree(path)


def unknown_things():
    """What the table of docs/zarr.md calls refused."""
    def of_zarr_python(dtype):
        return lambda path: zarr.create_array(store=path, shape=(4, 4), chunks=(2, 2), dtype=np.dtype(dtype))

    def of_tensorstore(dtype):
        metadata = {"shape": [4, 4], "data_type": dtype, "chunk_grid": named("regular", chunk_shape=[2, 2])}
        return lambda path: ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": path}, "metadata": metadata},
                                    create=True).result()

    def with_member(**members):
        return dict(Case("unknown", shape=(4, 4), grid=(2, 2)).document("zarr-python"), **members)

    def with_codec(name, **configuration):
        return with_member(codecs=[LITTLE, named(name, **configuration)])
    yield from {
        "fixed_length_utf32": of_zarr_python("U5"), "null_terminated_bytes": of_zarr_python("S4"),
        "structured": of_zarr_python([("a", "<i4"), ("b", "<f8")]), "struct": with_member(data_type=named("struct", fields=[])),
        "bfloat16": of_tensorstore("bfloat16"), "int2": of_tensorstore("int2"), "int4": of_tensorstore("int4"),
        "uint4": with_member(data_type="uint4"), "float8_e4m3fn": of_tensorstore("float8_e4m3fn"),
        "float8_e5m2": of_tensorstore("float8_e5m2"), "float4_e2m1fn": of_tensorstore("float4_e2m1fn"),
        "complex_float32": with_member(data_type="complex_float32", fill_value=[0, 0]),
        "numcodecs.zlib": with_codec("numcodecs.zlib", level=1), "numcodecs.bz2": with_codec("numcodecs.bz2", level=1),
        "numcodecs.zstd": with_codec("numcodecs.zstd", level=1), "numcodecs.shuffle": with_codec("numcodecs.shuffle", elementsize=2),
        "packbits": with_member(codecs=[named("packbits")]), "zfp": with_member(codecs=[named("zfp", mode="reversible")]),
        "bitround": with_member(codecs=[named("bitround", keepbits=3), LITTLE]),
        "reshape": with_member(codecs=[named("reshape", shape=[[0, 1]]), LITTLE]),
        "cast_value": with_member(codecs=[named("cast_value", data_type="uint8"), named("bytes")]),
        "scale_offset": with_member(codecs=[named("scale_offset", offset=1), LITTLE]),
        "rectilinear": with_member(chunk_grid=named("rectilinear", kind="inline", chunk_shapes=[[2, 2], [1, 3]])),
        "key encoding": with_member(chunk_key_encoding=named("fanout")), "storage transformer": with_member(storage_transformers=["x"]),
        "member": with_member(extension={"must_understand": True}), "member without must_understand": with_member(extension={"x": 1}),
    }.items()


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


def times():
    """Arrays of times that zarr-python made: read, and gone on with."""
    for number, dtype in enumerate(("datetime64[ns]", "datetime64[D]", "timedelta64[10s]")):
        path = os.path.join(TMP, "times%d.zarr" % number)
        shutil.rmtree(path, ignore_errors=True)
        values = np.array([0, 12345, -7, -2**63, 10**9, 3], "int64").view(dtype)
        z = zarr.create_array(store=path, shape=(4,), chunks=(2,), shards=(4,), dtype=np.dtype(dtype), compressors=None,
                              fill_value=np.array(-2**63).view(dtype)[()])
        z[:] = values[:4]
        reply = (yield Job("read", path, out=True)).good()
        check(reply.out == values[:4].tobytes(), "other times of " + dtype)
        (yield Job("append", path, data=values[4:].tobytes())).good()
        check(zarr.open_array(path)[...].tobytes() == values.tobytes(), "zarr-python reads other times of " + dtype)


def nested_path():
    """An array inside groups, found from the outermost group by zarr-python."""
    root = os.path.join(TMP, "groups.zarr")
    shutil.rmtree(root, ignore_errors=True)
    data = np.arange(60, dtype="uint16").reshape(3, 4, 5)
    (yield Job("create", root, data=data.tobytes(), path="raw/movie", dtype="uint16", shape="0,4,5", chunk="1,2,5", shard="2,4,5")).good()
    group = zarr.open_group(root, mode="r")
    check((group["raw/movie"][...] == data).all(), "other data")
    check([name for name, _ in group.groups()] == ["raw"], "groups: %s", list(group.groups()))


def both_ways(codecs):
    cases = itertools.chain(*(rows() for rows in ROWS), (random_case("random", number) for number in range(CASES)))
    for case in cases:
        if codecs.missing(case.codecs, case.name):
            continue
        for peer in PEERS:
            yield "%s: %s to us" % (case.name, peer), theirs(peer, case)
        yield case.name + ": defined by us", ours(case, defined)
        if case.shape and all(case.shape[1:]):
            yield case.name + ": appended by us", ours(case, appended)


def lives(codecs):
    for number in range(LIVES):
        life = Life(number)
        if not codecs.missing(life.case.codecs, life.case.name):
            yield life.case.name, life.live()


def single_things(codecs):
    for test in (kept, raw_bits, times, nested_path):
        yield test.__name__, test()
    for chain in ([LITTLE, gzip(1)], [LITTLE, gzip(1), CRC], [LITTLE, gzip(1), zstd(1)]):
        name = "longer than ours: " + " ".join(codec["name"] for codec in chain)
        if not codecs.missing(chain, name):
            yield name, longer_than_ours(chain)
    if not codecs.missing([gzip(1)], "longer in a shard"):
        yield "longer in a shard", longer_in_a_shard()
    for name, document in unknown_things():
        yield "unknown " + name, unknown(document)


def main():
    os.makedirs(TMP, exist_ok=True)
    counter, codecs = common.Counter(), common.Codecs()
    for tests in (both_ways, lives, single_things):
        counter.together(tests(codecs))
    for order in "CF":
        for dtype in ("<u2", ">u2", "<f8", ">c8", "|u1"):
            counter.test("npy %s %s" % (order, dtype), npy_import, order, dtype)
    codecs.report("arrays")
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
