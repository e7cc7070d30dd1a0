#!/usr/bin/env python3
"""Other libraries on the arrays of bench/write.c and bench/read.c, uncompressed; prints CSV with a header.

    python peers.py LIBRARY --dir D --bytes N --chunks T,Y,X --shards T,Y,X [--durable 1]      writes D/peer.zarr
    python peers.py --list                                  the libraries that this Python has for that

The frames come from one block of memory touched beforehand. They are handed over a whole shard at a time, the most
convenient piece for these libraries; a streaming writer gets one frame at a time.

    python peers.py LIBRARY --dir D --array A --read WORK --cold 0 --rounds N --drop PROGRAM [--bytes ...]
    python peers.py --readers                               the libraries that this Python has for that

WORK is whole, plane or random, as in bench/read.c, on D/A.zarr; h5py reads D/A.h5, which it writes if it is not there,
of the same shape and chunks. Files are opened before the clock runs, except for whole. Cold: PROGRAM, bench_read, has
dropped them from the page cache. h5py and zarr-python read into memory touched beforehand, the others give their own.

    python peers.py LIBRARY --store --dir D --arrays N --bytes B --chunk-rows R --drop PROGRAM
    python peers.py --stores

The work `arrays` of bench/store.c: zarr is zarr-python's ZipStore, which cannot compact; h5py compacts by copying.
"""
import argparse
import csv
import importlib.metadata
import importlib.util
import os
import resource
import subprocess
import sys
import time
import warnings
import zipfile
import zlib


def sync_tree(path):
    """Brings files and directories below `path` to stable storage, as shardio's finish does."""
    for directory, _, names in os.walk(path):
        for name in [os.path.join(directory, n) for n in names] + [directory]:
            fd = os.open(name, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)


def tree_bytes(path):
    files = [os.path.join(d, n) for d, _, names in os.walk(path) for n in names]
    return sum(os.path.getsize(f) for f in files)


def write_zarr(path, block, chunks, shards, durable):
    import zarr
    array = zarr.create_array(store=path, shape=block.shape, dtype=block.dtype, chunks=chunks, shards=shards,
                              compressors=None, filters=None, fill_value=0)
    for t in range(0, block.shape[0], shards[0]):
        array[t:t + shards[0]] = block[t:t + shards[0]]
    if durable:
        sync_tree(path)


def write_tensorstore(path, block, chunks, shards, durable):
    import tensorstore
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    sharding = {"name": "sharding_indexed", "configuration": {
        "chunk_shape": chunks, "codecs": [little], "index_codecs": [little, {"name": "crc32c"}]}}
    array = tensorstore.open({
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": path},
        "context": {"file_io_sync": bool(durable)},
        "metadata": {"shape": list(block.shape), "data_type": "uint16", "fill_value": 0, "codecs": [sharding],
                     "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shards}}},
        "create": True}).result()
    for t in range(0, block.shape[0], shards[0]):
        array[t:t + shards[0]].write(block[t:t + shards[0]]).result()


def write_acquire(path, block, chunks, shards, durable):
    import acquire_zarr
    kinds = [acquire_zarr.DimensionType.TIME, acquire_zarr.DimensionType.SPACE, acquire_zarr.DimensionType.SPACE]
    sizes = (0,) + block.shape[1:]
    dimensions = [acquire_zarr.Dimension(name=n, kind=k, array_size_px=s, chunk_size_px=c, shard_size_chunks=h // c)
                  for n, k, s, c, h in zip("tyx", kinds, sizes, chunks, shards)]
    array = acquire_zarr.ArraySettings(dimensions=dimensions, data_type=acquire_zarr.DataType.UINT16)
    stream = acquire_zarr.ZarrStream(acquire_zarr.StreamSettings(store_path=path, arrays=[array], overwrite=True))
    for t in range(block.shape[0]):
        stream.append(block[t:t + 1])
    stream.close()
    if durable:
        sync_tree(path)


LIBRARIES = {"zarr": write_zarr, "tensorstore": write_tensorstore, "acquire_zarr": write_acquire}


# ---- reading: open(job) gives a function that reads a selection, into a part of `out` if it can ----

def open_zarr(job):
    import zarr
    array = zarr.open_array(job.path(".zarr"), mode="r")
    buffer = zarr.core.buffer.default_buffer_prototype().nd_buffer

    def read(selection, out):
        array.get_basic_selection(selection, out=buffer.from_numpy_array(out))
        return out
    return read


def open_zarrs(job, **limits):
    import zarr
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", **limits})
    array = zarr.open_array(job.path(".zarr"), mode="r")
    return lambda selection, out: array[selection]


def open_zarrs_single(job):
    return open_zarrs(job, **{"threading.max_workers": 1, "codec_pipeline.chunk_concurrent_maximum": 1})


def open_tensorstore(job, **limits):
    import tensorstore
    array = tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": job.path(".zarr")},
                              "context": {name: {"limit": limit} for name, limit in limits.items()}}).result()
    return lambda selection, out: array[selection].read().result()


def open_tensorstore_single(job):
    return open_tensorstore(job, data_copy_concurrency=1, file_io_concurrency=1)


def open_h5py(job):
    import h5py
    array = h5py.File(job.path(".h5"), "r")["array"]

    def read(selection, out):
        array.read_direct(out, selection)
        return out
    return read


def write_h5py(job):
    import h5py
    import numpy
    noise = numpy.random.default_rng(1)
    with h5py.File(job.path(".h5"), "w", libver="latest") as file:
        array = file.create_dataset("array", job.shape, numpy.uint16, chunks=tuple(job.chunks))
        for t in range(0, job.shape[0], job.chunks[0]):
            array[t:t + job.chunks[0]] = noise.integers(0, 65536, [job.chunks[0]] + job.shape[1:], dtype=numpy.uint16)
    fd = os.open(job.path(".h5"), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


# name: package and how to open; the versions with -1 are limited to one thread
READERS = {
    "zarr": ("zarr", open_zarr),
    "zarrs": ("zarrs", open_zarrs),
    "zarrs-1": ("zarrs", open_zarrs_single),
    "tensorstore": ("tensorstore", open_tensorstore),
    "tensorstore-1": ("tensorstore", open_tensorstore_single),
    "h5py": ("h5py", open_h5py),
}


# ---- many arrays in one file ----

COLUMNS, FIRST_ROW, ROWS = 1024, 100, 104


class ZipArrays:
    def __init__(self, options, path):
        self.options, self.path = options, path

    def group(self, mode):
        import zarr
        self.store = zarr.storage.ZipStore(self.path, mode=mode, compression=zipfile.ZIP_STORED)
        return zarr.open_group(self.store, mode=mode)

    def write(self, arrays):
        group = self.group("w")
        for i, data in enumerate(arrays):
            array = group.create_array(f"array{i:03}", shape=data.shape, dtype=data.dtype,
                                       chunks=(self.options.chunk_rows, COLUMNS), compressors=None, filters=None)
            array[:] = data
        self.store.close()

    def read(self):
        group = self.group("r")
        yield from (group[f"array{i:03}"][:] for i in range(self.options.arrays))
        self.store.close()

    def overwrite(self, patch):
        group = self.group("a")
        for i in range(self.options.arrays):
            group[f"array{i:03}"][FIRST_ROW:FIRST_ROW + ROWS] = patch
        self.store.close()

    compact = None


class Hdf5Arrays:
    def __init__(self, options, path):
        self.options, self.path = options, path

    def write(self, arrays):
        import h5py
        with h5py.File(self.path, "w", libver="latest") as file:
            for i, data in enumerate(arrays):
                file.create_dataset(f"array{i:03}", data=data, chunks=(self.options.chunk_rows, COLUMNS))

    def read(self):
        import h5py
        with h5py.File(self.path, "r") as file:
            yield from (file[f"array{i:03}"][:] for i in range(self.options.arrays))

    def overwrite(self, patch):
        import h5py
        with h5py.File(self.path, "r+", libver="latest") as file:
            for i in range(self.options.arrays):
                file[f"array{i:03}"][FIRST_ROW:FIRST_ROW + ROWS] = patch

    def compact(self):
        import h5py
        with h5py.File(self.path, "r") as old, h5py.File(self.path + ".new", "w", libver="latest") as new:
            for name in old:
                old.copy(name, new)
        sync_tree(os.path.dirname(self.path))
        os.replace(self.path + ".new", self.path)


STORES = {"zarr": ("zarr", ZipArrays), "h5py": ("h5py", Hdf5Arrays)}


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Storing:
    def __init__(self, options):
        import numpy
        importlib.import_module(options.library)      # loading belongs to nobody's time
        noise, shape = numpy.random.default_rng(1), (options.bytes // (4 * COLUMNS), COLUMNS)
        self.options, self.path = options, os.path.join(options.dir, "peer")
        self.arrays = [noise.random(shape, dtype=numpy.float32) for _ in range(options.arrays)]
        self.patch = noise.random((ROWS, COLUMNS), dtype=numpy.float32)
        self.library = STORES[options.library][1](options, self.path)
        self.out = csv.writer(sys.stdout)
        self.base = peak_bytes()

    def size(self):
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def step(self, name, act):
        before, cpu, begin = self.size(), time.process_time(), time.monotonic()
        act()
        if not name.startswith("read"):
            sync_tree(self.options.dir)
        seconds, cpu = time.monotonic() - begin, time.process_time() - cpu
        self.out.writerow([self.options.library, name, sum(a.nbytes for a in self.arrays), f"{seconds:.6f}",
                           f"{cpu:.6f}", self.size(), self.size() - before, peak_bytes() - self.base,
                           importlib.metadata.version(self.options.library)])

    def make_cold(self):
        subprocess.run([self.options.drop, "--work", "drop", "--dir", self.options.dir], check=True)

    def read(self):
        for _ in self.library.read():
            pass

    def run(self):
        self.out.writerow(["contender", "step", "bytes", "seconds", "cpu_seconds", "file_bytes", "grown_bytes",
                           "peak_bytes", "version"])
        self.step("write", lambda: self.library.write(self.arrays))
        self.make_cold()
        self.step("read-cold", self.read)
        self.step("read-warm", self.read)
        self.step("overwrite", lambda: self.library.overwrite(self.patch))
        self.make_cold()
        if self.library.compact:
            self.step("compact", self.library.compact)
        for got, array in zip(self.library.read(), self.arrays):
            array[FIRST_ROW:FIRST_ROW + ROWS] = self.patch
            if (got != array).any():
                sys.exit("what was read is not what was written")


class Reading:
    def __init__(self, options):
        self.options, self.chunks = options, options.chunks
        per_shard = 2 * options.frame[0] * options.frame[1] * options.shards[0]
        self.shape = [options.bytes // per_shard * options.shards[0]] + options.frame
        self.open = READERS[options.library][1]

    def path(self, ending):
        return os.path.join(self.options.dir, self.options.array + ending)

    def selections(self):
        """What is read, call by call."""
        if self.options.read == "whole":
            return [(slice(None),) * 3]
        if self.options.read == "plane":
            return [(slice(None), slice(None), slice(self.shape[2] // 2, self.shape[2] // 2 + 1))]
        with open(self.path(".positions"), encoding="utf-8") as file:
            starts = [[int(word) for word in line.split()] for line in file]
        return [tuple(slice(s, s + c) for s, c in zip(start, self.chunks)) for start in starts]

    def memory(self, selections):
        """Touched memory for each call's result, one after the other."""
        import numpy
        extents = [len(range(*s.indices(e))) for s, e in zip(selections[0], self.shape)]
        return numpy.ones([len(selections)] + extents, dtype=numpy.uint16)

    def measure(self, selections, memory):
        """Seconds, and a checksum of all that was read."""
        read = None if self.options.read == "whole" else self.open(self)
        if self.options.cold:
            subprocess.run([self.options.drop, "--work", "drop", "--dir", self.options.dir], check=True)
        begin = time.monotonic()
        read = read or self.open(self)
        results = [read(selection, out) for selection, out in zip(selections, memory)]
        seconds = time.monotonic() - begin
        digest = 0
        for result in results:
            digest = zlib.crc32(result, digest)
        return seconds, digest

    def run(self):
        if self.options.library == "h5py" and not os.path.exists(self.path(".h5")):
            write_h5py(self)
        selections = self.selections()
        memory = self.memory(selections)
        out = csv.writer(sys.stdout)
        out.writerow(["work", "array", "cold", "contender", "round", "bytes", "seconds", "digest", "version"])
        package = READERS[self.options.library][0]
        for number in range(self.options.rounds + 1):
            seconds, digest = self.measure(selections, memory)
            if number > 0:                            # the first one warms up
                out.writerow([self.options.read, self.options.array, self.options.cold, self.options.library, number,
                              memory.nbytes, f"{seconds:.6f}", f"{digest:08x}", importlib.metadata.version(package)])


# ---- the command line ----

def numbers(text):
    return [int(n) for n in text.split(",")]


def installed(names):
    return [n for n in names if importlib.util.find_spec(n) and importlib.util.find_spec("numpy")]


def readers():
    found = installed({package for package, _ in READERS.values()} | {"zarr"})
    return [n for n, (package, _) in READERS.items() if package in found and (package != "zarrs" or "zarr" in found)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", nargs="?", choices=sorted({*LIBRARIES, *READERS, *STORES}))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--readers", action="store_true")
    parser.add_argument("--stores", action="store_true")
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--arrays", type=int, default=64)
    parser.add_argument("--chunk-rows", type=int, default=64)
    parser.add_argument("--read", choices=["whole", "plane", "random"])
    parser.add_argument("--array", default="array")
    parser.add_argument("--cold", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--drop", help="bench_read")
    parser.add_argument("--dir")
    parser.add_argument("--bytes", type=int, default=512 << 20)
    parser.add_argument("--frame", type=numbers, default=[1024, 1024])
    parser.add_argument("--chunks", type=numbers, default=[16, 256, 256])
    parser.add_argument("--shards", type=numbers, default=[64, 1024, 1024])
    parser.add_argument("--durable", type=int, default=0)
    options = parser.parse_args()
    if options.list or options.readers:
        print(" ".join(installed(LIBRARIES) if options.list else readers()))
        return
    if options.stores:
        print(" ".join(installed(STORES)))
        return
    if not options.library or not options.dir:
        parser.error("a library and --dir are needed")
    if options.read:
        Reading(options).run()
        return
    if options.store:
        warnings.filterwarnings("ignore", message="Duplicate name")
        Storing(options).run()
        return

    import numpy
    importlib.import_module(options.library)          # loading belongs to nobody's time
    frames = options.bytes // (2 * options.frame[0] * options.frame[1])
    block = numpy.random.default_rng(1).integers(0, 65536, [frames] + options.frame, dtype=numpy.uint16)
    path = os.path.join(options.dir, "peer.zarr")
    begin = time.monotonic()
    LIBRARIES[options.library](path, block, options.chunks, options.shards, options.durable)
    seconds = time.monotonic() - begin
    out = csv.writer(sys.stdout)
    out.writerow(["writer", "work", "bytes", "durable", "seconds", "file_bytes", "version"])
    out.writerow([options.library, "frames", block.nbytes, options.durable, f"{seconds:.6f}", tree_bytes(path),
                  importlib.metadata.version(options.library.replace("_", "-"))])


if __name__ == "__main__":
    main()
