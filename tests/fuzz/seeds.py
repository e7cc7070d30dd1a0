"""Seeds for the fuzz targets out of the golden files: each with the bytes in front that the target wants."""
import glob
import hashlib
import itertools
import json
import os

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = [os.path.join(os.path.dirname(REPOSITORY), "shared", "golden"), os.path.join(REPOSITORY, "tests", "data")]
LONGEST = 16384


def content(path):
    with open(path, "rb") as file:
        return file.read(LONGEST + 1)


def golden(pattern):
    """The contents of all golden files of a pattern that are small."""
    for directory in GOLDEN:
        for path in sorted(glob.glob(os.path.join(directory, pattern), recursive=True)):
            if os.path.isfile(path):
                data = content(path)
                if len(data) <= LONGEST:
                    yield path, data


def values_beside(path):
    """One value of the array whose zarr.json this is, if it has a small one."""
    for directory, _, names in sorted(os.walk(os.path.dirname(path))):
        for name in sorted(names):
            if name != "zarr.json":
                data = content(os.path.join(directory, name))
                return [data] if len(data) <= LONGEST else []
    return []


def layout_of(text):
    """Number of chunks in a shard, and flags of the target shard; None where there are no shards."""
    try:
        array = json.loads(text)
        codec = [c for c in array["codecs"] if c["name"] == "sharding_indexed"][0]["configuration"]
        outer = array["chunk_grid"]["configuration"]["chunk_shape"]
        chunks = 1
        for whole, part in zip(outer, codec["chunk_shape"]):
            chunks *= whole // part
        names = json.dumps(codec["index_codecs"])
        flags = (codec.get("index_location") == "start") | ("crc32c" not in names) << 1 | ("big" in names) << 2
        return (chunks, flags) if isinstance(chunks, int) and 1 <= chunks <= 62 else None
    except (ValueError, KeyError, IndexError, TypeError, ZeroDivisionError):
        return None


def shard():
    for path, text in golden("zarr*/**/zarr.json"):
        layout = layout_of(text)
        for value in values_beside(path) if layout else []:
            yield bytes([layout[1], layout[0] - 1, 0, 0, 0]) + value


def zarr():
    for number, (path, text) in enumerate(golden("zarr*/**/zarr.json")):
        for value in values_beside(path) or [b""]:
            flags = (0xC2, 0x40, 0x84, 0x18)[number % 4]
            yield bytes([flags, number % 256, number % 251, 0, 0, 0, len(text) & 255, len(text) >> 8]) + text + value


def plain_json():
    for number, (_, text) in enumerate(golden("zarr*/**/zarr.json")):    # they are much alike
        if number % 3 == 0:
            yield bytes([0, 0]) + text
        elif number % 8 == 1:
            yield bytes([number % 32 | 1, 0]) + text + b"\0" + text + b"\0\0name\0[1, {}]"


def archive():
    for number, (_, data) in enumerate(golden("zip/**/*.zip")):
        yield bytes([number * 2 % 64, 0, 0, 0, 0]) + data


def pack():
    for path, data in golden("packfile/**/*.pack"):
        yield bytes([2 if "zstd" in os.path.basename(path) else 0, 0, 0, 0, 0]) + data


def npy():
    path = os.path.join(REPOSITORY, "examples", "data", "mri4d.npy")
    yield b"\0" + content(path)[:2048]


MAKERS = {"shard": shard, "zarr": zarr, "json": plain_json, "zip": archive, "pack": pack, "npy": npy}


def found(name):
    """What the target found once."""
    for path in sorted(glob.glob(os.path.join(REPOSITORY, "tests", "data", "fuzz", name, "*"))):
        yield content(path)


def write(name, directory):
    """Writes the seeds of a target to a directory, each under a name that its bytes give."""
    for data in itertools.chain(MAKERS[name]() if name in MAKERS else [], found(name)):
        with open(os.path.join(directory, "golden-" + hashlib.sha256(data).hexdigest()[:16]), "wb") as file:
            file.write(data)
