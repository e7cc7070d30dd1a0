#!/usr/bin/env python3
"""Other Zarr writers on the frames of bench/write.c, uncompressed; prints a CSV header and a line.

    python peers.py LIBRARY --dir D --bytes N --chunks T,Y,X --shards T,Y,X [--durable 1]
    python peers.py --list          the libraries that this Python has

The frames come from one block of memory touched beforehand. They are handed over a whole shard at a time, the most
convenient piece for these libraries; a streaming writer gets one frame at a time.
"""
import argparse
import csv
import importlib.util
import os
import sys
import time


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


def numbers(text):
    return [int(n) for n in text.split(",")]


def installed():
    return [n for n in LIBRARIES if importlib.util.find_spec(n) and importlib.util.find_spec("numpy")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", nargs="?", choices=sorted(LIBRARIES))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--dir")
    parser.add_argument("--bytes", type=int, default=512 << 20)
    parser.add_argument("--frame", type=numbers, default=[1024, 1024])
    parser.add_argument("--chunks", type=numbers, default=[16, 256, 256])
    parser.add_argument("--shards", type=numbers, default=[64, 1024, 1024])
    parser.add_argument("--durable", type=int, default=0)
    options = parser.parse_args()
    if options.list:
        print(" ".join(installed()))
        return
    if not options.library or not options.dir:
        parser.error("a library and --dir are needed")

    import importlib.metadata
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
