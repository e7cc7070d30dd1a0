#!/usr/bin/env python3
"""The command-line tool from the outside: what it writes, says and returns. Python's standard library only. A word as
argument: only the tests whose names contain it."""
import base64
import hashlib
import json
import os
import random
import resource
import shlex
import shutil
import stat
import struct
import subprocess
import sys
import threading
import zipfile

import common
from common import TMP, TOOL, check, good, refused, run, tool

FRAME = 6 * 8    # elements


def at(name):
    return os.path.join(TMP, name)


def fresh(name):
    path = at(name)
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)
    return path


def content(frames):
    return struct.pack("<%dH" % (frames * FRAME), *[i * 7919 % 65536 for i in range(frames * FRAME)])


def files(path):
    return sorted(os.path.relpath(os.path.join(folder, name), path) for folder, _, names in os.walk(path) for name in names)


def small(name, frames=10, *more, data=None):
    """An array of frames 6 x 8: chunks 2,3,4 in shards 4,6,8. Result of the import."""
    path = fresh(name)
    return path, good(tool("import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--shards", "4,6,8", *more,
                           "-", path, data=content(frames) if data is None else data))


def export(path, *more):
    return good(tool("export", *more, path, "-")).out


# ---- import and export ---------------------------------------------------------------------------------------

def round_trip():
    path, _ = small("round.zarr")
    check(files(path) == ["c/0/0/0", "c/1/0/0", "c/2/0/0", "zarr.json"], "files: %s", files(path))
    # 8 chunks of 48 bytes and an index of 8 entries; the last shard holds 4 chunks
    check([os.path.getsize(os.path.join(path, "c", str(i), "0", "0")) for i in range(3)] == [8 * 48 + 132] * 2 + [4 * 48 + 132],
          "sizes")
    check(export(path) == content(10), "other data")


def regions():
    path, _ = small("regions.zarr")
    data = content(10)
    frame = FRAME * 2
    check(export(path, "--region", "2:5") == data[2 * frame:5 * frame], "2:5")
    check(export(path, "--region", ":,:,:") == data, ":,:,:")
    check(export(path, "--region", "3:4,1:3,2:7") == b"".join(data[3 * frame + y * 16 + 4:3 * frame + y * 16 + 14] for y in (1, 2)),
          "3:4,1:3,2:7")
    check(export(path, "--region", "3:3") == b"", "an empty region")
    for bad in ("0:11", "5:3", "a", "0:1,0:1,0:1,0:1", "0:1:2", "-1:2", "0:99999999999999999999999", "1.5"):
        refused(tool("export", "--region", bad, path, "-"), 2)


def raw_file_of_a_fixed_shape():
    source, path = at("fixed.raw"), fresh("fixed.zarr")
    with open(source, "wb") as file:
        file.write(content(4))
    arguments = ["--dtype", "uint16", "--chunks", "2,3,4", source, path]
    good(tool("import", "--shape", "4,6,8", *arguments))
    check("c/1/1/1" in files(path) and len(files(path)) == 9, "one file a chunk: %s", files(path))
    check(export(path) == content(4), "other data")


def input_that_ends_early():
    path = fresh("early.zarr")
    result = tool("import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--fill", "7", "--json", "-", path,
                  data=content(3)[:-20])
    check(result.code in (0, 1), "%s", result.describe())
    check(result.err.count("\n") == 1, "it has to be said: %s", result.describe())
    check(export(path) == content(3)[:-20] + struct.pack("<10H", *[7] * 10), "not padded with the fill value")


def input_shorter_than_the_shape():
    path = fresh("short.zarr")
    result = tool("import", "--shape", "5,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "-", path, data=content(3))
    check(result.code in (0, 1) and result.err.count("\n") == 1, "it has to be said: %s", result.describe())
    check(export(path) == content(3), "the array is not what came")


def input_longer_than_the_shape():
    path = fresh("long.zarr")
    result = tool("import", "--shape", "2,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "-", path, data=content(3))
    check(result.err.count("\n") == 1, "it has to be said: %s", result.describe())


def empty_input():
    path = fresh("empty.zarr")
    result = tool("import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "-", path, data=b"")
    if result.code == 0:
        check(export(path) == b"", "something came out of nothing")
    else:
        refused(result)


def npy_header():
    path, _ = small("npy.zarr")
    out = fresh("out.npy")
    good(tool("export", path, out))
    with open(out, "rb") as file:
        data = file.read()
    header = b"{'descr': '<u2', 'fortran_order': False, 'shape': (10, 6, 8), }"
    check(data.startswith(b"\x93NUMPY\x01\x00\x76\x00" + header) and data[127:128] == b"\n" and data[128:] == content(10), "not "
          "what numpy.save writes: %r", data[:130])
    good(tool("export", "--format", "raw", "--force", path, out))
    with open(out, "rb") as file:
        check(file.read() == content(10), "raw")
    for short in (data[:-1], data.replace(b"(10, 6, 8)", b"(99, 6, 8)")):    # input that ends early is said, and kept
        with open(out, "wb") as file:
            file.write(short)
        result = tool("import", "--chunks", "2,3,4", out, fresh("short.zarr"))
        check(result.code in (0, 1) and result.err.count("\n") == 1, "a file cut short: %s", result.describe())
        good(tool("verify", at("short.zarr")))
    for damage in (data[:100], b"\x93NUMPY\x09\x00" + data[8:], data.replace(b"'<u2'", b"'<O2'"), b"\x93NUMPY\x01\x00\xff\xff" + data[10:], data.replace(b"}", b" "), data[:9]):
        with open(out, "wb") as file:
            file.write(damage)
        result = tool("import", "--chunks", "2,3,4", out, fresh("damaged.zarr"))
        refused(result)
        check(not os.path.exists(at("damaged.zarr")) or not files(at("damaged.zarr")), "something was left behind: %s",
              os.path.exists(at("damaged.zarr")) and files(at("damaged.zarr")))


def append():
    path, _ = small("append.zarr", 3)
    good(tool("import", "--append", "-", path, data=content(10)[3 * FRAME * 2:]))
    check(export(path) == content(10), "other data")
    good(tool("verify", path))
    refused(tool("import", "--append", "--chunks", "1,1,1", "-", path, data=b""), 2)
    refused(tool("import", "--append", "-", at("nothing.zarr"), data=b""))


def options_that_change_nothing_in_the_data():
    """Index, buffers, memory, checkpoints, durability: the elements are the same."""
    for more in (["--index", "start"], ["--buffer", "4096"], ["--memory", "1"], ["--checkpoint", "1"], ["--checkpoint", "3"],
                 ["--sync", "none"], ["--sync", "100"], ["--direct", "off"], ["--overlap", "on"], ["--overlap", "off"], ["--skip-fill"], ["--names", "t,,x"], ["--fill", "9"],
                 ["--index", "start", "--checkpoint", "2"], ["--path", "a/b"]):
        path, result = small("options.zarr", 10, *more)
        path = os.path.join(path, "a/b") if "--path" in more else path
        check(export(path) == content(10), "other data with %s", more)
        good(tool("verify", path))
        check(not [name for name in files(path) if "tmp" in name], "files left behind with %s: %s", more, files(path))


def skip_fill():
    data = bytes(4 * FRAME * 2) + content(4)
    path, _ = small("skip.zarr", 8, "--skip-fill", data=data)
    check("c/0/0/0" not in files(path) and "c/1/0/0" in files(path), "files: %s", files(path))
    check(export(path) == data, "other data")


# ---- codecs and types ----------------------------------------------------------------------------------------

CODECS = ["zstd", "zstd:19", "zstd:-3", "gzip", "gzip:1", "blosc", "blosc:zstd", "blosc:lz4hc:9:bitshuffle", "blosc::1:noshuffle",
          "lz4", "lz4:10", "crc32c", "zstd,crc32c", "blosc,gzip,crc32c", "none"]


def built_in(codecs):
    """Whether this tool has all codecs of an option."""
    line = next(line for line in good(tool("--version")).out.decode().splitlines() if line.startswith("codecs"))
    return all(codec.split(":")[0] in line.replace(",", " ").split() + ["none"] for codec in codecs.split(","))


def codec_list(path):
    with open(os.path.join(path, "zarr.json"), encoding="utf-8") as file:
        return json.load(file)["codecs"]


def codecs():
    for number, codec in enumerate(filter(built_in, CODECS)):
        more = [["--chunk-crc"], ["--transpose", "2,0,1"], ["--index", "start", "--transpose", "reverse"]][number % 3]
        path, _ = small("codecs.zarr", 10, "--codec", codec, *more)
        check(export(path) == content(10), "other data with %s", codec)
        check(export(path, "--region", "3:5") == content(5)[3 * FRAME * 2:], "other data in a region with %s", codec)
        good(tool("verify", path))
        good(tool("import", "--append", "--sync", "none", "-", path, data=content(3)))
        check(export(path) == content(10) + content(3), "other data when appended with %s", codec)
        names = [c["name"] for c in codec_list(path)[0]["configuration"]["codecs"]]
        wanted = [{"lz4": "numcodecs.lz4"}.get(c.split(":")[0], c.split(":")[0]) for c in codec.split(",") if c != "none"]
        check(names == ["transpose"] * ("--transpose" in more) + ["bytes"] + wanted + ["crc32c"] * ("--chunk-crc" in more), "codecs %s",
              names)
    check(codec_list(small("codecs.zarr", 1, "--chunk-crc")[0])[0]["configuration"]["codecs"][-1] == {"name": "crc32c"}, "--chunk-crc")


def codec_configurations():
    wanted = {"zstd": {"level": 3, "checksum": False}, "zstd:-3": {"level": -3, "checksum": False}, "gzip:1": {"level": 1},
              "blosc": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 0},
              "blosc:zstd:9": {"cname": "zstd", "clevel": 9, "shuffle": "shuffle", "typesize": 2, "blocksize": 0},
              "lz4:10": {"acceleration": 10}}
    for codec, configuration in wanted.items():
        if built_in(codec):
            path, _ = small("configuration.zarr", 2, "--codec", codec)
            check(codec_list(path)[0]["configuration"]["codecs"][1]["configuration"] == configuration, "%s: %s", codec,
                  codec_list(path))
    if built_in("blosc"):
        path = fresh("configuration.zarr")
        good(tool("import", "--shape", "0,8", "--dtype", "uint8", "--chunks", "1,8", "--codec", "blosc", "-", path, data=bytes(16)))
        check(codec_list(path)[1]["configuration"]["shuffle"] == "bitshuffle", "bytes: %s", codec_list(path))


def nested_and_outer():
    codec = "zstd" if built_in("zstd") else "crc32c"
    path, _ = small("nested.zarr", 10, "--subchunks", "1,3,2", "--codec", codec, "--index", "start")
    inner = codec_list(path)[0]["configuration"]["codecs"]
    check(inner[0]["name"] == "sharding_indexed" and inner[0]["configuration"]["chunk_shape"] == [1, 3, 2] and
          inner[0]["configuration"]["codecs"][1]["name"] == codec, "codecs: %s", inner)
    check(export(path) == content(10), "nested: other data")
    good(tool("verify", path))
    good(tool("layout", path))
    object_ = json.loads(good(tool("info", path, "--json")).out.decode())
    check((object_["shards"], object_["chunks"], object_["subchunks"]) == ([4, 6, 8], [2, 3, 4], [1, 3, 2]), "info: %s", object_)
    path, _ = small("outer.zarr", 10, "--outer-codec", "crc32c", "--codec", codec)
    check([c["name"] for c in codec_list(path)] == ["sharding_indexed", "crc32c"], "codecs: %s", codec_list(path))
    check(export(path) == content(10) and export(path, "--region", "4:6") == content(6)[4 * FRAME * 2:], "outer: other data")
    good(tool("verify", path))
    refused(tool("layout", path))
    good(tool("recover", path))
    good(tool("compact", "--apply", path))
    for more in (["--subchunks", "1,3,2"], ["--outer-codec", "crc32c"], ["--shards", "4,6,8", "--subchunks", "2,2,2"],
                 ["--shards", "4,6,8", "--subchunks", "2,3"], ["--shards", "4,6,8", "--subchunks", "0,3,2"]):
        refused(tool("import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", *more, "-", fresh("x.zarr"),
                     data=content(1)), 2)
        check(not os.path.exists(at("x.zarr")), "%s left something behind", more)


def wrong_codecs():
    for more in (["--codec", "zlib"], ["--codec", ""], ["--codec", "crc32c:1"], ["--codec", "zstd:99"], ["--codec", "zstd:x"],
                 ["--codec", "zstd:1:2"], ["--codec", "gzip:10"], ["--codec", "blosc:foo"], ["--codec", "blosc:lz4:5:what"],
                 ["--codec", "blosc:lz4:10"], ["--codec", "none,crc32c"], ["--codec", "crc32c,"], ["--codec", ",".join(["crc32c"] * 9)],
                 ["--codec", ",".join(["crc32c"] * 999)], ["--transpose", "0,1"], ["--transpose", "0,1,1"],
                 ["--transpose", "3,0,1"], ["--transpose", "-1,0,1"], ["--transpose", "what"], ["--transpose", "0,1,2,3"]):
        result = refused(tool("import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", *more, "-", fresh("x.zarr"),
                              data=content(1)), 2)
        word = more[1].split(":")[0].split(",")[0]
        check(word in result.err or more[0][2:] in result.err, "what is wrong? %s", result.describe())
        check(not os.path.exists(at("x.zarr")), "%s left something behind", more)


def without_libraries():
    """A tool without any codec on a library, and without HTTP, names what it lacks."""
    bare = at("bare")
    command = shlex.split(os.environ.get("CC") or "cc") + ["-std=c99", "-O0", "-w", "-I", common.ROOT, "-o", bare,
                                                             os.path.join(common.ROOT, "examples", "shardio.c"), "-lm"]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    check(process.returncode == 0, "%s: %s", " ".join(command), process.stdout.decode()[:500])
    text = good(tool("--version", program=bare)).out.decode()
    check("not built in zstd, gzip, blosc, lz4" in " ".join(text.split()), "version: %s", text)
    for command in (["export", "http://127.0.0.1:1/x.zarr", "-"], ["info", "--mirror", at("bare.mirrors"), "https://127.0.0.1:1/x.zip"],
                    ["mirror", "fill", "http://127.0.0.1:1/x", at("bare.mirror")]):
        check("libcurl" in refused(tool(*command, program=bare)).err, "%s", command)
    for codec, macro in (("zstd", "ZSTD"), ("gzip", "ZLIB"), ("blosc", "BLOSC"), ("lz4", "LZ4")):
        arguments = ["import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--codec", codec, "-", at("bare.zarr")]
        result = refused(tool(*arguments, data=content(1), program=bare), 2)
        for word in (codec, "SHARDIO_WITH_" + macro, "make deps"):
            check(word in result.err, "%s is not named: %s", word, result.describe())
        check(not os.path.exists(at("bare.zarr")), "something was left behind")
        if built_in(codec):
            path, _ = small("compressed.zarr", 2, "--codec", codec)
            result = refused(tool("export", path, "-", program=bare))
            check(codec in result.err and "SHARDIO_WITH_" + macro in result.err, "the codec is not named: %s", result.describe())
            check(codec in good(tool("ls", path, program=bare)).out.decode(), "ls needs no codec")
            refused(tool("pack", "cat", "--codec", codec, pack("compressed.pack", [b"x"], "--codec", codec), program=bare), 2)


def raw_bytes():
    data = bytes(range(60))
    path = fresh("raw.zarr")
    good(tool("import", "--shape", "0,4", "--dtype", "r24", "--fill", "0102fF", "--chunks", "2,3", "--shards", "4,6", "-", path, data=data))
    with open(os.path.join(path, "zarr.json")) as file:
        document = json.load(file)
    check(document["data_type"] == "r24" and document["fill_value"] == [1, 2, 255] and document["shape"] == [5, 4], "%s", document)
    check(export(path) == data, "other data")
    good(tool("verify", path))
    out = fresh("raw.npy")
    good(tool("export", path, out))
    with open(out, "rb") as file:
        check(b"'descr': '|V3'" in file.read(), "not what numpy.save writes")
    good(tool("import", "--chunks", "5,4", out, fresh("raw2.zarr")))
    check(export(at("raw2.zarr")) == data, "other data by way of .npy")
    check(json.loads(export(path, "--region", "0,1:3", "--format", "json")) == [[[3, 4, 5], [6, 7, 8]]], "as JSON")
    for dtype, fill in (("r7", "00"), ("r0", "00"), ("r", "00"), ("r2056", "00"), ("r24", "0102"), ("r24", "xx0102"), ("r24", "1")):
        refused(tool("import", "--shape", "0", "--dtype", dtype, "--fill", fill, "--chunks", "2", "-", at("x.zarr"), data=b""), 2)


def strings():
    lines = ["one", "two \u00fc\U0001F600", "", "a \"quoted\" \\ text", "tab\there", "the last one"]
    path = fresh("strings.zarr")
    good(tool("import", "--dtype", "string", "--chunks", "2", "--shards", "4", "--fill", "none", "-", path,
              data="\n".join(lines).encode()))
    check(json.loads(export(path)) == lines, "lines: %s", export(path))
    check(json.loads(export(path, "--region", "1:3")) == lines[1:3], "a region")
    good(tool("verify", path))
    object_ = json.loads(good(tool("info", path, "--json")).out.decode())
    check(object_["dtype"] == "string" and object_["fill_value"] == "none" and object_["shape"] == [6], "info: %s", object_)
    good(tool("import", "--append", "-", path, data=b"more\r\nand more\r\n"))
    check(json.loads(export(path)) == lines + ["more", "and more"], "appended: %s", export(path))
    good(tool("import", "--dtype", "string", "--shape", "0,3", "--chunks", "1,2", "--force", "-", path, data=b"a\nb\nc\nd\n"))
    check(json.loads(export(path)) == [["a", "b", "c"], ["d", "", ""]], "with a shape: %s", export(path))
    source = at("strings.json")
    nested = [[lines[:2], lines[2:4]], [lines[4:], ["x", "\x01\u2028"]]]
    with open(source, "w") as file:
        json.dump(nested, file)
    good(tool("import", "--chunks", "1,2,1", "--dtype", "string", "--force", source, path))
    check(json.loads(export(path)) == nested, "JSON: %s", export(path))
    out = fresh("strings-out.json")
    good(tool("export", path, out))
    good(tool("import", "--dtype", "string", "--force", "--transpose", "reverse", out, path))
    check(json.loads(export(path)) == nested, "JSON of our own: %s", export(path))
    for more in (["--format", "raw"], ["--format", "npy"]):
        refused(tool("export", *more, path, "-"), 2)
    refused(tool("export", path, fresh("strings.npy")), 2)
    refused(tool("import", "--dtype", "string", "-", fresh("x.zarr"), data=b"not \xff UTF-8\n"))
    refused(tool("import", "--dtype", "string", "--shape", "0", source, fresh("x.zarr")), 2)
    for text in ("{}", "[1]", "[[\"a\"], \"b\"]", "[[\"a\"], [\"b\", \"c\"]]", "[\"a\"", "", "[[[\"a\"]], [[[\"b\"]]]]", "[\"\\u0000\"]",
                 "[" * 40 + "]" * 40):
        with open(source, "w") as file:
            file.write(text)
        refused(tool("import", "--dtype", "string", source, fresh("x.zarr")))
        check(not os.path.exists(at("x.zarr")), "%s left something behind", text)


def bytes_of_any_length():
    elements = [bytes(range(256)), b"", b"\0", b"\xff\xfe", b"abc", b"abcd"]
    source, path = at("bytes.json"), fresh("bytes.zarr")
    encoded = [base64.b64encode(element).decode() for element in elements]
    with open(source, "w") as file:
        json.dump(encoded, file)
    good(tool("import", "--dtype", "bytes", "--chunks", "4", "--chunk-crc", source, path))
    check(json.loads(export(path)) == encoded, "other data: %s", export(path))
    good(tool("verify", path))
    good(tool("import", "--dtype", "bytes", "--force", "-", path, data=b"\xff\xfe line\nline 2\n"))    # lines are taken as they are
    check([base64.b64decode(e) for e in json.loads(export(path))] == [b"\xff\xfe line", b"line 2"], "lines: %s", export(path))
    for text in ("[\"A\"]", "[\"A===\"]", "[\"AA=A\"]", "[\"====\"]", "[\"AA AA\"]", "[\"AAAA=\"]"):
        with open(source, "w") as file:
            file.write(text)
        refused(tool("import", "--dtype", "bytes", source, fresh("x.zarr")))


def numbers_as_json():
    path, _ = small("json.zarr", 3)
    data = [i * 7919 % 65536 for i in range(3 * FRAME)]
    nested = [[data[(t * 6 + y) * 8:(t * 6 + y) * 8 + 8] for y in range(6)] for t in range(3)]
    check(json.loads(export(path, "--format", "json")) == nested, "other data")
    check(json.loads(export(path, "--format", "json", "--memory", "10")) == nested, "other data in small pieces")
    check(json.loads(export(path, "--format", "json", "--region", "1:1")) == [], "an empty region")
    out = fresh("out.json")
    good(tool("export", "--region", "2,1:3,4", path, out))
    with open(out) as file:
        check(json.load(file) == [[[row[4]] for row in nested[2][1:3]]], "a region")
    path = fresh("floats.zarr")
    good(tool("import", "--shape", "0", "--dtype", "float32", "--chunks", "2", "-", path,
              data=struct.pack("<4f", 0.1, float("inf"), -0.0, 3)))
    check(export(path, "--format", "json") == b"[0.1, \"Infinity\", -0.0, 3.0]\n", "floats: %s", export(path, "--format", "json"))


def direct_reading():
    """Past the page cache or through it: the same elements."""
    path, _ = small("direct.zarr", 40, "--codec", "zstd" if built_in("zstd") else "crc32c")
    plain, _ = small("direct-plain.zarr", 40)
    for array in (path, plain):
        for more in (["--direct", "auto"], ["--direct", "off"], ["--direct", "on"], ["--direct", "on", "--region", "3:33,1:4"]):
            frames = [content(40)] if "--region" not in more else [
                content(40)[(t * FRAME + y * 8) * 2:(t * FRAME + y * 8 + 8) * 2] for t in range(3, 33) for y in range(1, 4)]
            check(export(array, *more) == b"".join(frames), "other data with %s", more)
    refused(tool("export", "--direct", "maybe", path, "-"), 2)


# ---- regions and shapes --------------------------------------------------------------------------------------

def create_and_write():
    path = fresh("write.zarr")
    good(tool("create", "--shape", "10,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--shards", "4,6,8", "--fill", "9", path))
    check(files(path) == ["zarr.json"] and export(path) == struct.pack("<H", 9) * 10 * FRAME, "not only the fill value")
    model = bytearray(export(path))
    good(tool("write", "-", path, data=content(10)))
    model[:] = content(10)
    check(export(path) == bytes(model), "all of it")
    good(tool("write", "--region", "3:5,1:6,2:7", "--memory", "20", "-", path, data=bytes(range(100))))
    for i in range(50):
        t, y, x = 3 + i // 25, 1 + i // 5 % 5, 2 + i % 5
        model[(t * FRAME + y * 8 + x) * 2:(t * FRAME + y * 8 + x) * 2 + 2] = bytes(range(100))[2 * i:2 * i + 2]
    check(export(path) == bytes(model), "a region")
    good(tool("verify", path))
    source = fresh("write.npy")
    good(tool("export", "--region", "7", path, source))                # of shape 1,6,8
    good(tool("write", "--region", "0:1", source, path))
    model[:FRAME * 2] = model[7 * FRAME * 2:8 * FRAME * 2]
    check(export(path) == bytes(model), "from .npy")
    object_ = json.loads(good(tool("write", "--json", "--region", "9,5,7", "-", path, data=b"\1\2")).out.decode())
    check(object_["elements"] == 1 and object_["start"] == [9, 5, 7] and export(path)[-2:] == b"\1\2", "one element: %s", object_)
    before = tree(path)
    for more, data in ((["--region", "0:3"], None), (["--region", "0:11"], None), (["--region", "9:11"], None)):
        refused(tool("write", *more, source, path), 2)
    refused(tool("write", "--region", "0", "-", path, data=b"123"))    # ends early
    refused(tool("write", source, at("nothing.zarr")))
    refused(tool("write", at("nothing.npy"), path))
    check(tree(path) == before, "something was changed")
    strings_ = fresh("write-strings.zarr")
    good(tool("create", "--shape", "5", "--dtype", "string", "--chunks", "2", strings_))
    good(tool("write", "--region", "1:4", "-", strings_, data=b"a\nbb\nccc\n"))
    check(json.loads(export(strings_)) == ["", "a", "bb", "ccc", ""], "strings: %s", export(strings_))
    refused(tool("create", "--shape", "5", "--dtype", "string", "--chunks", "2", strings_))
    for more in ([], ["--shape", "3"], ["--dtype", "int8"], ["--shape", "3", "--dtype", "int99"], ["--shape", "x", "--dtype", "int8"]):
        refused(tool("create", *more, at("x.zarr")), 2)


def fortran_regions():
    """A .npy file in Fortran order goes over a region by its strides."""
    path, source = fresh("fortran.zarr"), at("fortran.npy")
    header = "{'descr': '>u2', 'fortran_order': True, 'shape': (3, 4), }".ljust(117) + "\n"
    with open(source, "wb") as file:
        file.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode())
        file.write(struct.pack(">12H", *[10 * i + j for j in range(4) for i in range(3)]))
    good(tool("create", "--shape", "5,5,5", "--dtype", "uint16", "--chunks", "2,2,2", "--transpose", "1,2,0", path))
    good(tool("write", "--region", "1:4,2,0:4", source, path))
    check(json.loads(export(path, "--format", "json", "--region", "1:4,2,0:4")) == [[[10 * i + j for j in range(4)]] for i in range(3)],
          "other data")
    check(sum(export(path)) == sum(10 * i + j for i in range(3) for j in range(4)), "something else was written")
    refused(tool("write", "--region", "1:4,2,0:4", "--memory", "20", source, path))


def resize():
    path, _ = small("resize.zarr")
    good(tool("resize", path, "12,6,8"))
    check(export(path) == content(10) + bytes(2 * FRAME * 2), "grown")
    good(tool("resize", path, "3,6,8"))
    check(files(path) == ["c/0/0/0", "zarr.json"] and export(path) == content(3), "shrunk: %s", files(path))
    good(tool("resize", path, "4,6,8"))
    check(export(path) == content(3) + bytes(FRAME * 2), "what was cut off came back")
    good(tool("write", "-", path, data=content(4)))
    good(tool("resize", "--keep-edge", "--json", path, "3,6,8"))
    good(tool("resize", path, "4,6,8"))
    check(export(path) == content(4), "--keep-edge")
    good(tool("verify", path))
    for shape in ("4,6", "4,6,8,1", "x", "", "4,6,-8"):
        refused(tool("resize", path, shape), 2)


# ---- groups --------------------------------------------------------------------------------------------------

def tree(path):
    contents = {}
    for name in files(path):
        with open(os.path.join(path, name), "rb") as file:
            contents[name] = file.read()
    return contents


def hierarchy(name):
    """Two arrays in groups."""
    path = fresh(name)
    arguments = ["import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--quiet"]
    good(tool(*arguments, "--shards", "4,6,8", "--path", "raw/movie", "-", path, data=content(10)))
    good(tool(*arguments, "--path", "mask", "--transpose", "2,1,0", "--chunk-crc", "-", path, data=content(2)))
    good(tool("group", "create", path, "--path", "raw/empty", '{"note": "\u00fc"}'))
    return path


def groups():
    path = fresh("groups.zarr")
    good(tool("group", "create", path, '{"a": [1, {"b": null}]}'))
    with open(os.path.join(path, "zarr.json")) as file:
        document = json.load(file)
    check(document["node_type"] == "group" and document["attributes"] == {"a": [1, {"b": None}]}, "%s", document)
    before = tree(path)
    refused(tool("group", "create", path))
    for attributes in ("[]", "{", "x"):
        refused(tool("group", "create", path, attributes, "--path", "x"), 2)
    refused(tool("group", "create"), 2)
    refused(tool("group"), 2)
    refused(tool("group", "destroy", path), 2)
    check(tree(path) == before, "something was changed")
    check(good(tool("group", "create", path, "--path", "b/c", "--quiet")).out == b"", "not quiet")
    check(files(path) == ["b/c/zarr.json", "b/zarr.json", "zarr.json"], "files: %s", files(path))


def ls():
    path = hierarchy("ls.zarr")
    lines = good(tool("ls", path)).out.decode().splitlines()
    check([line.split()[:2] for line in lines] == [[".", "group"], ["mask", "array"], ["raw", "group"], ["raw/empty", "group"],
                                                   ["raw/movie", "array"]], "ls: %s", lines)
    check("uint16  2,6,8  chunks 2,3,4  transpose:2,1,0 crc32c" in lines[1], "mask: %s", lines[1])
    check("uint16  10,6,8  shards 4,6,8  chunks 2,3,4" in lines[4], "movie: %s", lines[4])
    nodes = json.loads(good(tool("ls", "--json", path)).out.decode())["nodes"]
    check([n["path"] for n in nodes] == ["", "mask", "raw", "raw/empty", "raw/movie"] and nodes[4]["shape"] == [10, 6, 8] and
          nodes[4]["shards"] == [4, 6, 8] and nodes[1]["shards"] is None and nodes[1]["codecs"][-1] == {"name": "crc32c"} and
          nodes[1]["dtype"] == "uint16", "--json: %s", nodes)
    check(len(good(tool("ls", path, "--path", "raw")).out.splitlines()) == 3, "--path raw")
    check(len(good(tool("ls", os.path.join(path, "raw"))).out.splitlines()) == 3, "the directory of a group")
    check(good(tool("ls", path, "--path", "mask")).out.decode().split()[:2] == ["mask", "array"], "an array")
    good(tool("consolidate", path))
    good(tool("group", "create", path, "--path", "new"))
    check(len(good(tool("ls", "--consolidated", path)).out.splitlines()) == 5, "--consolidated lists what it says")
    check(len(good(tool("ls", path)).out.splitlines()) == 6, "ls trusts consolidated metadata")
    with open(os.path.join(path, "mask/zarr.json"), "w") as file:
        file.write("{")
    result = tool("ls", path)
    check(result.code == 1 and "mask" in result.out.decode() and "raw/movie" in result.out.decode(), "damaged: %s", result.describe())
    refused(tool("ls", at("nothing")))
    refused(tool("ls", path, "--path", "nothing"))


def info_on_groups():
    path = hierarchy("tree.zarr")
    good(tool("attrs", path, "scope=x"))
    text = good(tool("info", path)).out.decode()
    lines = [line.rstrip() for line in text.splitlines()]
    tree_lines = [line.split("  ")[0] if "--" in line else line for line in lines]
    check("|-- mask" in tree_lines and "`-- raw" in tree_lines and any(line.startswith("    |-- empty") for line in lines) and
          any(line.startswith("    `-- movie  uint16  10,6,8") for line in lines), "tree: %s", text)
    check('{"scope": "x"}' in text, "attributes: %s", text)
    object_ = json.loads(good(tool("info", path, "--json")).out.decode())
    check(object_["kind"] == "group" and object_["attributes"] == {"scope": "x"} and object_["consolidated"] is False and
          len(object_["nodes"]) == 5, "--json: %s", object_)
    object_ = json.loads(good(tool("info", path, "--path", "raw/movie", "--json")).out.decode())
    check(object_["kind"] == "array" and object_["shape"] == [10, 6, 8], "an array: %s", object_)
    text = good(tool("info", path, "--path", "mask")).out.decode()
    check("transpose:2,1,0 bytes:little crc32c" in text and "default, separated by /" in text, "an array: %s", text)
    refused(tool("info", path, "--path", "nothing"))
    refused(tool("info", path, "--path", "../tree.zarr"), 2)


def attributes():
    path = hierarchy("attributes.zarr")
    movie = ["--path", "raw/movie"]
    check(good(tool("attrs", path, *movie)).out == b"", "none yet")
    good(tool("attrs", path, *movie, "a=1", "b=text with = in it", 'c={"d": [1.5, null]}', 'f="quoted"', "g=1.", "h=true"))
    wanted = {"a": 1, "b": "text with = in it", "c": {"d": [1.5, None]}, "f": "quoted", "g": "1.", "h": True}
    object_ = json.loads(good(tool("attrs", path, *movie, "--json")).out.decode())
    check(object_ == wanted, "set: %s", object_)
    lines = good(tool("attrs", path, *movie)).out.decode().splitlines()
    check(lines[0] == "a=1" and 'b="text with = in it"' in lines and 'c={"d": [1.5, null]}' in lines, "printed: %s", lines)
    good(tool("attrs", path, *movie, "a=", "b=\u00fc\"\\"))
    object_ = json.loads(good(tool("info", path, *movie, "--json")).out.decode())
    check("a" not in object_["attributes"] and object_["attributes"]["b"] == "\u00fc\"\\", "changed: %s", object_)
    check(export(path, *movie) == content(10), "other data")
    before = tree(path)
    for wrong in ([""], ["=1"], ["a=1", "x"], ["x", "y"]):
        refused(tool("attrs", path, *movie, *wrong), 2)
    refused(tool("attrs", path, "--path", "nothing", "a=1"))
    refused(tool("attrs", path, "--path", "nothing"))
    refused(tool("attrs", path, *movie, "nothing="))
    check(tree(path) == before, "something was changed")


def consolidated():
    path = hierarchy("consolidated.zarr")
    before = tree(path)
    good(tool("consolidate", path))
    with open(os.path.join(path, "zarr.json")) as file:
        metadata = json.load(file)["consolidated_metadata"]
    check(sorted(metadata["metadata"]) == ["mask", "raw", "raw/empty", "raw/movie"] and metadata["kind"] == "inline", "%s", metadata)
    good(tool("verify", path))
    good(tool("consolidate", "--remove", path))
    check(tree(path) == before, "not as before")
    refused(tool("consolidate", path, "--path", "mask"))
    refused(tool("consolidate", at("nothing")))


def verify_groups():
    path = hierarchy("verify-groups.zarr")
    good(tool("consolidate", path))
    check(b"sound, 3 groups and 2 arrays" in good(tool("verify", path)).out, "verify: %s", tool("verify", path).out)
    check(good(tool("verify", "--quiet", path)).out == b"", "not quiet")
    object_ = json.loads(good(tool("verify", "--json", path)).out.decode())
    check(object_ == {"findings": [], "groups": 3, "arrays": 2, "sound": True}, "--json: %s", object_)

    def finds(what, text, *arguments):
        result = tool("verify", path, *arguments)
        check(result.code == 1 and text in result.out.decode() and result.err.count("\n") == 1, "%s: %s %s", what, result.out,
              result.describe())
        object_ = json.loads(tool("verify", "--json", path, *arguments).out.decode())
        check(object_["sound"] is False and any(text in f["text"] for f in object_["findings"]), "%s, --json: %s", what, object_)

    good(tool("attrs", path, "--path", "raw/movie", "new=1"))
    finds("stale attributes", "raw/movie")
    good(tool("consolidate", path))
    good(tool("import", "--append", "--path", "raw/movie", "--quiet", "-", path, data=content(1)))
    finds("stale shape", "raw/movie")
    good(tool("consolidate", path))
    good(tool("verify", path))
    good(tool("group", "create", path, "--path", "more"))
    finds("a node that is not listed", "more")
    good(tool("consolidate", path))
    good(tool("rm", "--yes", path, "--path", "more"))
    finds("a node that is gone", "more")
    good(tool("consolidate", path))
    with open(os.path.join(path, "raw/movie/c/1/0/0"), "r+b") as file:
        file.truncate(100)
    finds("a shard", "raw/movie/c/1/0/0")
    finds("a shard", "raw/movie/c/1/0/0", "--path", "raw")
    good(tool("verify", path, "--path", "mask"))
    with open(os.path.join(path, "raw/empty/zarr.json"), "w") as file:
        file.write('{"zarr_format": 3, "node_type": "group", "attributes": 1}')
    finds("a group", "raw/empty")
    for name in ("raw/zarr.json.0123456789abcdef.shardio-tmp", "mask/c/0/0/0.0123456789abcdef.shardio-tmp"):
        with open(os.path.join(path, name), "w") as file:
            file.write("x")
        finds("a temporary file", name)
    refused(tool("verify", path, "--path", "nothing"))


def remove():
    path = hierarchy("remove.zarr")
    before = tree(path)
    result = good(tool("rm", path, "--path", "raw"))
    check(tree(path) == before and "raw/movie" in result.out.decode() and "--yes" in result.out.decode(), "dry run: %s", result.out)
    object_ = json.loads(good(tool("rm", "--json", path, "--path", "raw")).out.decode())
    check(tree(path) == before and object_["removed"] is False and len(object_["nodes"]) == 3, "dry run, --json: %s", object_)
    good(tool("rm", "--yes", path, "--path", "raw"))
    check(all(name.startswith(("mask/", "zarr.json")) for name in files(path)) and "mask/zarr.json" in files(path), "files: %s", files(path))
    refused(tool("rm", "--yes", path, "--path", "raw"))
    good(tool("rm", "--yes", path))
    check(not os.path.exists(path), "something is left: %s", os.path.exists(path) and files(path))
    refused(tool("rm", "--yes", path))


def names_that_steer_terminals():
    path = fresh("names.zarr")
    good(tool("group", "create", path))
    good(tool("group", "create", path, "--path", "bad\x1b[31m\nname", '{"\\u001b[0m": "\\u001b"}'))
    for arguments in (["ls", path], ["info", path], ["attrs", path, "--path", "bad\x1b[31m\nname"], ["rm", path]):
        text = good(tool(*arguments)).out.decode()
        check("\x1b" not in text and "bad\n" not in text, "%s: %r", arguments[0], text)
    check(json.loads(good(tool("ls", "--json", path)).out.decode())["nodes"][1]["path"] == "bad\x1b[31m\nname", "--json")


# ---- recover and compact -------------------------------------------------------------------------------------

def spoil(path, change):
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(change(data))


def recover():
    path = hierarchy("recover.zarr")
    movie = os.path.join(path, "raw/movie")
    wanted, before = export(movie), tree(path)
    check(b"3 complete" in good(tool("recover", path)).out, "nothing to do: %s", tool("recover", path).out)
    spoil(os.path.join(movie, "c/1/0/0"), lambda data: data + content(1))      # a writer was lost while it appended
    spoil(os.path.join(movie, "c/2/0/0"), lambda data: data + bytes(4096))
    torn = tree(path)
    result = tool("recover", path)
    check(result.code == 1 and tree(path) == torn, "dry run: %s", result.describe())
    for key in ("raw/movie/c/1/0/0", "raw/movie/c/2/0/0"):
        check(key in result.out.decode(), "%s: %s", key, result.out)
    object_ = json.loads(tool("recover", "--json", path).out.decode())
    check(object_["cut"] == 2 and object_["complete"] == 1 and object_["applied"] is False and tree(path) == torn, "%s", object_)
    check({f["path"]: f["action"] for f in object_["files"]} == {"raw/movie/c/1/0/0": "cut", "raw/movie/c/2/0/0": "cut"}, "%s", object_)
    good(tool("recover", "--apply", path, "--path", "raw"))
    check(tree(path) == before and export(movie) == wanted, "not as before")
    good(tool("recover", path))
    spoil(os.path.join(movie, "c/1/0/0"), lambda data: data[:100])             # nothing to find
    torn = tree(path)
    result = tool("recover", "--apply", path)
    check(result.code == 1 and tree(path) == torn and "raw/movie/c/1/0/0" in result.out.decode(), "lost: %s", result.describe())


def recover_heads():
    """With the index at the start a checkpoint leaves a copy behind, which the head is restored from."""
    path, _ = small("heads.zarr", 10, "--index", "start", "--checkpoint", "2", "--direct", "off")
    before = tree(path)
    for i in range(3):
        spoil(os.path.join(path, "c/%d/0/0" % i), lambda data: data[:20] + b"torn" + data[24:])
    torn = tree(path)
    object_ = json.loads(tool("recover", "--json", path).out.decode())
    check(object_["restore"] == 3 and tree(path) == torn, "dry run: %s", object_)
    good(tool("recover", "--apply", path))
    check(tree(path) == before and export(path) == content(10), "not as before")


def recover_one_shard():
    path, _ = small("recover-one.zarr")
    shard = os.path.join(path, "c/0/0/0")
    before = tree(path)
    good(tool("recover", "--chunks", "8", shard))
    spoil(shard, lambda data: data + b"torn")
    check(tool("recover", "--chunks", "8", shard).code == 1 and tree(path) != before, "dry run")
    good(tool("recover", "--chunks", "8", "--apply", shard))
    check(tree(path) == before, "not as before")
    refused(tool("recover", shard), 2)
    spoil(shard, lambda data: data[:-1])
    check(tool("recover", "--chunks", "8", "--apply", shard).code == 1, "nothing to find")
    refused(tool("recover", "--chunks", "8", at("nothing")))


def temporary_files():
    path = hierarchy("temporary.zarr")
    movie = os.path.join(path, "raw/movie")
    wanted, before = export(movie), tree(path)
    suffix = ".0123456789abcdef.shardio-tmp"
    os.rename(os.path.join(movie, "c/1/0/0"), os.path.join(movie, "c/1/0/0" + suffix))     # complete, but for its name
    shutil.copy(os.path.join(movie, "c/0/0/0"), os.path.join(movie, "c/0/0/0" + suffix))   # there is such a shard
    shutil.copy(os.path.join(movie, "c/0/0/0"), os.path.join(movie, "c/0/0/9" + suffix))   # outside the shape
    useless = ["raw/movie/c/0/0/0", "raw/movie/c/0/0/9", "raw/movie/c/2/0/0", "raw/movie/zarr.json", "zarr.json", "raw/zarr.json",
               "mask/c/0/0/0"]
    outside = "raw/movie/c/7/0/0"              # published, but zarr.json was not written any more
    os.makedirs(os.path.dirname(os.path.join(path, outside)))
    shutil.copy(os.path.join(movie, "c/0/0/0"), os.path.join(path, outside))
    for name in useless[2:]:
        with open(os.path.join(path, name + suffix), "wb") as file:
            file.write(b"torn")
    left = tree(path)
    result = tool("recover", path)
    check(result.code == 1 and tree(path) == left, "dry run: %s", result.describe())
    for name in useless + ["raw/movie/c/1/0/0"]:
        check(name + suffix in result.out.decode(), "%s is not named: %s", name, result.out)
    check(outside in result.out.decode(), "%s is not named: %s", outside, result.out)
    good(tool("recover", "--apply", path))
    useless = [name + suffix for name in useless] + [outside]
    check(export(movie) == wanted and tree(path) == {**before, **{name: left[name] for name in useless}}, "renamed: %s",
          files(path))
    check(tool("verify", path).code == 1, "what is left is not found")
    object_ = json.loads(good(tool("recover", "--remove-temporary", "--json", path)).out.decode())
    check(object_["remove"] == len(useless) - 1 and object_["outside"] == 1 and tree(path) == {**before, outside: left[outside]},
          "removed: %s %s", object_, files(path))
    object_ = json.loads(good(tool("recover", "--remove-outside", "--json", path)).out.decode())
    check(object_["remove"] == 1 and tree(path) == before, "removed: %s %s", object_, files(path))
    good(tool("verify", path))


def compact():
    path = hierarchy("compact.zarr")
    movie = os.path.join(path, "raw/movie")
    good(tool("write", "--region", "0:2,0:3,0:4", "-", movie, data=bytes(2 * 3 * 4 * 2)))
    wanted, size = export(movie), os.path.getsize(os.path.join(movie, "c/0/0/0"))
    before = tree(path)
    result = good(tool("compact", path))
    check(tree(path) == before and "raw/movie/c/0/0/0" in result.out.decode() and "--apply" in result.out.decode(), "dry run: %s", result.out)
    object_ = json.loads(good(tool("compact", "--json", path)).out.decode())
    dead = object_["dead_bytes"]
    check(tree(path) == before and dead == 48 + 132 and object_["saved_bytes"] == 0 and len(object_["files_with_dead_bytes"]) == 1,
          "dry run, --json: %s", object_)
    object_ = json.loads(good(tool("compact", "--apply", "--json", path)).out.decode())
    check(object_["saved_bytes"] == dead and os.path.getsize(os.path.join(movie, "c/0/0/0")) == size - dead, "%s", object_)
    check(export(movie) == wanted, "other data")
    check(json.loads(good(tool("compact", "--json", path)).out.decode())["dead_bytes"] == 0, "something is dead still")
    good(tool("verify", path))
    good(tool("write", "--region", "4:6,0:3,0:4", "-", movie, data=bytes(2 * 3 * 4 * 2)))
    shard = os.path.join(movie, "c/1/0/0")
    size = os.path.getsize(shard)
    good(tool("compact", "--chunks", "8", shard))
    check(os.path.getsize(shard) == size, "dry run on a shard")
    good(tool("compact", "--chunks", "8", "--apply", shard))
    check(os.path.getsize(shard) == size - dead, "a shard: %d, not %d", os.path.getsize(shard), size - dead)
    refused(tool("compact", shard), 2)
    spoil(shard, lambda data: data[:-1])
    refused(tool("compact", "--apply", "--chunks", "8", shard))
    check(tool("compact", path).code == 1, "a damaged shard")


# ---- what it says --------------------------------------------------------------------------------------------

def report():
    _, result = small("report.zarr", 10, "--json")
    object_ = json.loads(result.out.decode())
    wanted = {"frames": 10, "logical_bytes": 10 * FRAME * 2, "files": 3, "dead_bytes": 0, "file_bytes": 20 * 48 + 3 * 132}
    for key, value in wanted.items():
        check(object_.get(key) == value, "%s is %s, not %s", key, object_.get(key), value)
    for key in ("device_calls", "device_bytes", "copied_bytes", "seconds"):
        check(isinstance(object_.get(key), (int, float)), "%s is %s", key, object_.get(key))
    check(object_["direct"] is True or object_["direct_reason"], "no reason why not direct: %s", object_)
    check(object_["overlap"] is False and object_["overlap_reason"], "no reason why not overlapping: %s", object_)
    check(not result.err, "says something: %s", result.err)


def quiet():
    _, result = small("quiet.zarr", 10, "--quiet")
    check(result.out == b"" and result.err == "", "not quiet: %s", result.describe())
    _, result = small("quiet.zarr", 10)
    check("\r" not in result.err, "a progress bar without a terminal")


def info():
    attributes = at("attributes.json")
    with open(attributes, "w", encoding="utf-8") as file:
        file.write('{"scope": "\u00fc", "list": [1, 2.5, null]}')
    path, _ = small("info.zarr", 10, "--names", "t,y,x", "--attrs", attributes, "--fill", "65535")
    object_ = json.loads(good(tool("info", path, "--json")).out.decode())
    wanted = {"dtype": "uint16", "shape": [10, 6, 8], "chunks": [2, 3, 4], "shards": [4, 6, 8], "dimension_names": ["t", "y", "x"],
              "fill_value": 65535, "files": 3, "dead_bytes": 0, "attributes": {"scope": "\u00fc", "list": [1, 2.5, None]}}
    for key, value in wanted.items():
        check(object_.get(key) == value, "%s is %s, not %s", key, object_.get(key), value)
    with open(os.path.join(path, "zarr.json"), encoding="utf-8") as file:
        document = json.load(file)
    check(document["attributes"] == wanted["attributes"] and document["dimension_names"] == ["t", "y", "x"] and
          document["fill_value"] == 65535 and document["shape"] == [10, 6, 8], "zarr.json: %s", document)
    text = good(tool("info", path)).out.decode()
    check("uint16" in text, "info: %s", text)
    shard = os.path.join(path, "c/0/0/0")
    object_ = json.loads(good(tool("info", shard, "--chunks", "8", "--json")).out.decode())
    check(object_["present"] == 8 and object_["live_bytes"] == 8 * 48 and object_["dead_bytes"] == 0, "shard: %s", object_)
    refused(tool("info", shard, "--chunks", "9"))
    refused(tool("info", shard), 2)


def layout():
    path, _ = small("layout.zarr")
    text = good(tool("layout", path)).out.decode()
    check("c/0/0/0" in text and "I" in text, "layout: %s", text)
    picture = fresh("layout.svg")
    good(tool("layout", "--svg", picture, path))
    with open(picture) as file:
        check(file.read().startswith("<svg"), "not a picture")
    refused(tool("layout", "--svg", picture, path))
    good(tool("layout", "--chunks", "8", os.path.join(path, "c/0/0/0")))


COMMANDS = 27


def version():
    text = good(tool("--version")).out.decode()
    check("shardio" in text and "crc32c" in text and "uint16" in text, "version: %s", text)
    commands = [line.split("  ")[1] for line in good(tool("--help")).out.decode().splitlines() if line.startswith("  ")]
    names = [name.split(" STORE")[0].split(" ")[:2] for name in commands if not name.startswith("shardio")]
    check(["group", "create"] in names and ["pack", "verify"] in names and ["mirror", "fill"] in names and ["rollback"] in names and
          len(names) == COMMANDS,
          "commands: %s", names)
    for name in names:
        name = name if name[0] in ("group", "pack", "mirror") else name[:1]
        text = good(tool("help", *name)).out.decode()
        check("--help" in text and text == good(tool(*name, "--help")).out.decode(), "help %s", name)
        check(all(len(line) <= 130 for line in text.splitlines()), "long lines in help %s", name)
    refused(tool("help", "nonsense"), 2)
    refused(tool("help", "group"), 2)


# ---- packfiles -----------------------------------------------------------------------------------------------

PACK_CODECS = ["zstd", "zstd:19", "gzip", "blosc", "blosc:zstd:5:bitshuffle", "lz4:3", "crc32c", "none"]


def stream(items):
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def pack(name, items, *more, program=TOOL):
    path = fresh(name)
    good(tool("pack", "create", *more, path, data=stream(items), program=program))
    return path


def cat(path, *more, program=TOOL):
    return good(tool("pack", "cat", *more, path, program=program)).out


def as_json(*arguments):
    return json.loads(good(tool(*arguments, "--json")).out.decode())


def random_items(count, largest):
    random.seed(count)
    return [random.randbytes(random.choice((0, 1, 7, largest // 3, largest))) for _ in range(count)]


def pack_round_trips():
    """Both builds of the tool: what goes in comes out, whatever the options."""
    sets = ([], [b""], [b"one item"], [b""] * 300, [b"x" * 3000001, b"", b"y"], random_items(5000, 200), random_items(129, 9))
    for program in [p for p in (TOOL, common.TOOL_SANITIZED) if os.path.exists(p)]:
        for number, items in enumerate(sets):
            for each in (1, 2, 128, 100000):
                more = [["--content-hash"], ["--sync", "none"], ["--direct", "off"], ["--sync", "64K"], ["--overlap", "on"]][(number + each) % 5]
                path = pack("round.pack", items, "--items-per-record", str(each), *more, program=program)
                check(cat(path, program=program) == stream(items), "other items: set %d, %d in a record", number, each)
                good(tool("pack", "verify", "--codec", "none", path, program=program))
                facts = as_json("pack", "info", path)
                check((facts["items"], facts["records"]) == (len(items), -(-len(items) // each)), "%s", facts)


def pack_codecs():
    for codec in filter(built_in, PACK_CODECS):
        for each in (1, 3):
            items = random_items(50, 99) + [b"again and " * 500]
            path = pack("codec.pack", items, "--codec", codec, "--items-per-record", str(each))
            for word in (codec, codec.split(":")[0]):    # a level does not matter for reading
                check(cat(path, "--codec", word) == stream(items), "other items with %s", word)
                good(tool("pack", "verify", "--codec", word, path))
    if built_in("zstd"):      # as other writers of packfiles do: the frame guards what is in it
        path = pack("codec.pack", [bytes(1000)], "--codec", "zstd:1", "--items-per-record", "1")
        with open(path, "rb") as file:
            check(file.read(5)[4] & 4 != 0, "a frame without a checksum")


def pack_lines():
    for text, wanted in ((b"", b""), (b"a", b"a\n"), (b"a\nb\n", b"a\nb\n"), (b"\n\na\n\n", b"\n\na\n\n"), (b"a\r\nb", b"a\r\nb\n"),
                         (b"x" * 3000000 + b"\ny\n" * 3, None), (b"".join(b"line %d\n" % i for i in range(300000)), None)):
        path = fresh("lines.pack")
        good(tool("pack", "create", "--lines", path, data=text))
        wanted = text if wanted is None else wanted
        check(cat(path, "--lines") == wanted, "other lines: %r", wanted[:40])
        check(cat(path) == stream(wanted.split(b"\n")[:-1]), "other items: %r", wanted[:40])
    path = pack("lines.pack", [b"fine", b"two\nlines"])
    result = refused(tool("pack", "cat", "--lines", path))
    check("item 1" in result.err and "--lines" in result.err and path in result.err, "what is wrong? %s", result.describe())
    check(cat(path, "--lines", "--range", "0") == b"fine\n", "the items before it")


def pack_ranges_and_lists():
    items = random_items(1000, 50)
    for codec in filter(built_in, ("none", "zstd")):
        path = pack("choice.pack", items, "--items-per-record", "7", "--codec", codec)
        for word, wanted in (("0:1000", items), (":", items), ("", items), ("5", items[5:6]), ("998:", items[998:]), (":3", items[:3]),
                             ("6:8", items[6:8]), ("500:500", []), ("1000:1000", [])):
            check(cat(path, "--codec", codec, "--range", word) == stream(wanted), "--range %s", word)
        for numbers in ([0], [999], [3, 17, 90], [6, 7, 13, 14, 999], list(range(0, 1000, 3))):
            check(cat(path, "--codec", codec, "--items", ",".join(map(str, numbers))) == stream([items[i] for i in numbers]),
                  "--items %s", numbers[:9])
    for word in ("0:1001", "5:3", "1000", "a", "1:2:3", "-1:2", "0:99999999999999999999", "1,2"):
        check("--range" in refused(tool("pack", "cat", "--range", word, path), 2).err, "--range %s", word)
    for word in ("", "3,", ",3", "3,x", "3;4", "-1", "99999999999999999999", "17,3", "3,3", "1000", "5,1000"):
        check("--items" in refused(tool("pack", "cat", "--items", word, path), 2).err, "--items %s", word)
    check("item 1000" in refused(tool("pack", "cat", "--items", "5,1000", path), 2).err, "which item?")
    refused(tool("pack", "cat", "--items", "1", "--range", "2", path), 2)


def pack_command_lines():
    for arguments in (["pack", "create"], ["pack", "create", at("x.pack"), "y"], ["pack", "cat"], ["pack", "nonsense"], ["pack"],
                      ["pack", "create", "--items-per-record", "0", at("x.pack")],
                      ["pack", "create", "--items-per-record", "4294967296", at("x.pack")],
                      ["pack", "create", "--format", "4294967296", at("x.pack")], ["pack", "create", "--format", "", at("x.pack")],
                      ["pack", "create", "--codec", "zlib", at("x.pack")], ["pack", "create", "--codec", "crc32c:1", at("x.pack")],
                      ["pack", "create", "--codec", "crc32c,crc32c", at("x.pack")],
                      ["pack", "create", "--sync", "never", at("x.pack")], ["pack", "create", "--direct", "maybe", at("x.pack")], ["pack", "create", "--overlap", "maybe", at("x.pack")],
                      ["pack", "create", "--json", "-"], ["pack", "cat", "--app-data", "-", at("x.pack")],
                      ["pack", "info", "--lines", at("x.pack")], ["pack", "verify", "--range", "1", at("x.pack")]):
        refused(tool(*arguments), 2)
        check(not os.path.exists(at("x.pack")), "something was left behind: %s", arguments)
    for codec in filter(built_in, ("zstd:99", "zstd:x", "gzip:10", "blosc:what", "blosc:lz4:10")):
        check("--codec" in refused(tool("pack", "create", "--codec", codec, at("x.pack")), 2).err, "%s", codec)
        check("--codec" in refused(tool("pack", "verify", "--codec", codec, at("x.pack")), 2).err, "%s", codec)
        check(not os.path.exists(at("x.pack")), "something was left behind: %s", codec)
    for command in ("cat", "info", "verify"):
        for path in (at("nothing"), TMP):
            check(path in tool("pack", command, path).err, "which file?")
            check(tool("pack", command, path).code in (1, 2), "%s %s", command, path)
    refused(tool("pack", "create", "--app-data", at("nothing"), at("x.pack")))
    check(not os.path.exists(at("x.pack")), "app data that is missing left something behind")
    path = pack("mine.pack", [b"mine"])
    check("--force" in refused(tool("pack", "create", path, data=stream([b"yours"]))).err, "no advice")
    check(cat(path) == stream([b"mine"]), "replaced")
    good(tool("pack", "create", "--force", path, data=stream([b"yours"])))
    check(cat(path) == stream([b"yours"]), "not replaced")


def pack_input_that_ends_early():
    items = [b"first", b"", b"the second"]
    whole, folder = stream(items), fresh("early")
    ends = [0, 9, 13, 27]
    os.mkdir(folder)
    for cut in range(len(whole)):
        path = os.path.join(folder, "cut.pack")
        result = tool("pack", "create", path, data=whole[:cut])
        if cut in ends:
            good(result)
            os.remove(path)
            continue
        refused(result)
        check("item %d" % sum(cut > end for end in ends[1:]) in result.err and "standard input" in result.err, "%d: %s", cut,
              result.describe())
        check(os.listdir(folder) == [], "left behind: %s", os.listdir(folder))
    # a length that nothing stands behind takes no memory
    refused(tool("pack", "create", path, data=b"\xff\xff\xff\xff" + bytes(100)))
    check(os.listdir(folder) == [], "left behind: %s", os.listdir(folder))


def pack_reports():
    data = at("app.bin")
    with open(data, "wb") as file:
        file.write(b"app data")
    path, items = fresh("report.pack"), [b"a" * 10] * 10
    create = ["pack", "create", "--json", "--items-per-record", "4", "--format", "7", "--content-hash", "--app-data", data, path]
    object_ = json.loads(good(tool(*create, data=stream(items))).out.decode())
    wanted = {"output": path, "items": 10, "records": 3, "items_per_record": 4, "logical_bytes": 100,
              "file_bytes": os.path.getsize(path)}
    for key, value in wanted.items():
        check(object_.get(key) == value, "create: %s is %s, not %s", key, object_.get(key), value)
    check(object_["direct"] is True or object_["direct_reason"], "no reason why not direct: %s", object_)
    digests = [hashlib.sha256(stream(items[i:i + 4])).digest() for i in (0, 4, 8)]
    wanted = {"kind": "pack", "name": path, "items": 10, "records": 3, "items_per_record": 4, "format": 7, "app_data_bytes": 8,
              "file_bytes": os.path.getsize(path), "content_hash": hashlib.sha256(b"".join(digests)).hexdigest()}
    for command in (["pack", "info"], ["info"]):
        object_ = as_json(*command, path)
        for key, value in wanted.items():
            check(object_.get(key) == value, "info: %s is %s, not %s", key, object_.get(key), value)
        check(object_["record_bytes"] + object_["index_bytes"] + 8 + 76 == object_["file_bytes"], "%s", object_)
        text = good(tool(*command, path)).out.decode()
        check("packfile" in text and wanted["content_hash"] in text, "info: %s", text)
    object_ = as_json("pack", "verify", "--codec", "none", path)
    check(object_ == {"findings": [], "records": 3, "items": 10, "item_bytes": 100, "contents_checked": True, "hash_checked": True,
                      "hash_differs": False, "sound": True}, "verify: %s", object_)
    check(as_json("info", pack("plain.pack", items))["content_hash"] is None, "a hash out of nothing")
    with open(path, "r+b") as file:                # damaged, or encoded so that lengths stay: nobody knows
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    object_ = as_json("verify", path)
    check(object_["sound"] is None and object_["hash_differs"] is True, "verify: %s", object_)
    check(b"NOT agree" in good(tool("verify", path)).out, "the hash is not spoken of")
    check(tool("pack", "verify", "--codec", "none", path).code == 1, "damage")
    check(good(tool("pack", "create", "--quiet", "--force", path)).out == b"", "not quiet")
    check(good(tool("pack", "verify", "--quiet", path)).out == b"", "not quiet")


def pack_is_recognised():
    items = random_items(300, 30)
    path = pack("known.pack", items, "--content-hash")
    text = good(tool("verify", path)).out.decode()
    check("sound" in text and "300 items" in text and "hash agrees" in text, "verify: %s", text)
    check(as_json("verify", path)["contents_checked"] is True, "verify --json")
    path = pack("known.pack", items, "--content-hash", "--codec", "crc32c")
    for command in (["verify"], ["pack", "verify"]):
        text = good(tool(*command, path)).out.decode()
        check("not checked" in text and "content hash" in text and "--codec" in text, "what was not checked? %s", text)
        check("sound" not in text, "nobody knows: %s", text)
        object_ = as_json(*command, path)
        check(object_["contents_checked"] is False and object_["hash_checked"] is False, "%s", object_)
    for command in ("info", "verify"):
        refused(tool(command, "--path", "x", path), 2)
        check(tool(command, "--chunks", "1", path).code == 1, "%s: --chunks says that it is a shard", command)
        with open(path, "rb") as file:
            data = file.read()
        with open(at("torn.pack"), "wb") as file:
            file.write(data[:-1])
        check("packfile" in refused(tool(command, at("torn.pack")), 2).err, "%s: no hint", command)


def pack_damage():
    """A file that is cut, or in which a bit is wrong, is an error or reads as before."""
    items = random_items(20, 9)
    path = pack("whole.pack", items, "--items-per-record", "6", "--content-hash")
    with open(path, "rb") as file:
        data = file.read()
    torn = at("torn.pack")
    for cut in range(0, len(data), 5):
        with open(torn, "wb") as file:
            file.write(data[:cut])
        refused(tool("pack", "info", torn))
        refused(tool("pack", "cat", torn))
        result = tool("pack", "verify", torn)
        check(result.code == 1 and torn in result.out.decode(), "%d: %s", cut, result.describe())
        result = tool("pack", "verify", "--json", torn)
        check(result.code == 1 and json.loads(result.out.decode())["sound"] is False, "%d: %s", cut, result.describe())
    for at_byte in range(0, len(data), 3):
        with open(torn, "wb") as file:
            file.write(data[:at_byte] + bytes([data[at_byte] ^ 16]) + data[at_byte + 1:])
        check(tool("pack", "verify", "--codec", "none", torn).code == 1, "byte %d is not found", at_byte)


def pack_wrong_codec():
    items = random_items(300, 30)
    for codec in filter(built_in, ("zstd", "gzip", "lz4", "crc32c")):
        path = pack("encoded.pack", items, "--codec", codec)
        result = refused(tool("pack", "cat", path))
        check("--codec" in result.err and "record 0" in result.err and path in result.err, "%s: %s", codec, result.describe())
        refused(tool("pack", "cat", "--codec", "none", path))
        check(tool("pack", "verify", "--codec", "none", path).code == 1, "%s is taken for none", codec)
        other = "gzip" if codec != "gzip" and built_in("gzip") else "crc32c"
        if codec != other:
            result = refused(tool("pack", "cat", "--codec", other, path))
            check("--codec " + other in result.err, "%s: %s", codec, result.describe())
            check(tool("pack", "verify", "--codec", other, path).code == 1, "%s is taken for %s", codec, other)
        refused(tool("pack", "cat", "--codec", codec, pack("plain.pack", items)))


def pack_app_data():
    data, out = at("app.bin"), at("out.bin")
    for content_ in (b"", b"x", bytes(range(256)) * 2000):
        with open(data, "wb") as file:
            file.write(content_)
        path = pack("app.pack", [b"item"], "--app-data", data)
        check(cat(path, "--app-data", fresh("out.bin")) == stream([b"item"]), "items")
        with open(out, "rb") as file:
            check(file.read() == content_, "other app data of %d bytes", len(content_))
        check("--force" in refused(tool("pack", "cat", "--app-data", out, path)).err, "replaced")
        good(tool("pack", "cat", "--force", "--app-data", out, "--range", "0:0", path))
        check(as_json("info", path)["app_data_bytes"] == len(content_), "info")


def pack_through_pipes():
    """A packfile can be standard output; items can be larger than what a pipe hands over at once."""
    items = [os.urandom(5000000), b"", b"x"] + [os.urandom(900000) for _ in range(9)]
    path = pack("pipe.pack", items)
    with open(path, "rb") as file:
        wanted = file.read()
    for codec in filter(built_in, ("none", "zstd")):
        got = good(tool("pack", "create", "--codec", codec, "-", data=stream(items))).out
        check(codec != "none" or got == wanted, "other bytes on standard output")
        with open(path, "wb") as file:
            file.write(got)
        check(cat(path, "--codec", codec) == stream(items), "other items")
    check(good(tool("pack", "create", "-")).out[-76:-72] == b"SLCH", "no items on standard output")
    if not os.path.exists("/dev/full"):
        print("left out: full disk: no /dev/full")
        return
    for arguments, data in ((["pack", "create", "-"], stream(items)), (["pack", "cat", "--codec", codec, path], b"")):
        with open("/dev/full", "wb") as full:
            process = subprocess.run([TOOL] + arguments, input=data, stdout=full, stderr=subprocess.PIPE)
        check(process.returncode == 1 and process.stderr.count(b"\n") == 1, "standard output full: %d %s", process.returncode,
              process.stderr)
    refused(tool("pack", "create", "--force", "/dev/full", data=stream(items)))


def pack_interrupted():
    folder = fresh("interrupted")
    os.mkdir(folder)
    process = subprocess.Popen([TOOL, "pack", "create", os.path.join(folder, "x.pack")], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    timer = threading.Timer(common.SECONDS, process.kill)
    timer.start()
    process.stdin.write(stream([b"item"] * 100000))
    process.stdin.flush()
    process.send_signal(2)
    error = process.stderr.read()
    code = process.wait()
    timer.cancel()
    check(code in (1, -2) and b"interrupted" in error, "exit code %d: %s", code, error)
    check(os.listdir(folder) == [], "left behind: %s", os.listdir(folder))


def pack_examples():
    """However many threads encode, the file is that of the tool, which encodes by itself."""
    folder = os.path.join(common.BUILD, "examples")
    files_ = []
    for threads in ("1", "2", "8"):
        path = fresh("threads-%s.pack" % threads)
        said = good(run(os.path.join(folder, "pack_threads"), path, threads)).out.decode()
        with open(path, "rb") as file:
            files_.append(file.read())
    check(files_[0] == files_[1] == files_[2], "the file depends on the number of threads")
    codec = said.split("encoded with ")[1].split()[0]
    good(tool("pack", "verify", "--codec", codec, path))
    serial = fresh("serial.pack")
    good(tool("pack", "create", "--codec", codec, serial, data=cat(path, "--codec", codec)))
    with open(serial, "rb") as file:
        check(file.read() == files_[0], "not the file that one thread writes")
    check(run(os.path.join(folder, "pack_threads"), path, "2").code == 1, "an existing file was replaced")
    path = fresh("words.pack")
    check(good(run(os.path.join(folder, "pack"), path)).out == b"item number 617\n", "examples/pack.c")
    check(cat(path, "--lines").split(b"\n")[999] == b"item number 999", "its last item")


# ---- archives ------------------------------------------------------------------------------------------------

UNZIP = shutil.which("unzip")
MOVIE = ["--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--quiet"]


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def sound(path):
    """We, Python and unzip find nothing wrong with an archive. Names in it."""
    good(tool("verify", path))
    with zipfile.ZipFile(path) as archive:
        check(archive.testzip() is None, "%s: Python finds %s damaged", path, archive.testzip())
        check(all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist()), "something is compressed")
        names = archive.namelist()
    if UNZIP is not None:
        good(run(UNZIP, "-tqq", path))
    check(len(set(names)) == len(names), "a name stands there twice: %s", names)
    return names


def archive_of(name):
    """The hierarchy of `hierarchy`, in three layers."""
    path = fresh(name)
    good(tool("import", *MOVIE, "--shards", "4,6,8", "--path", "raw/movie", "-", path, data=content(10)))
    good(tool("import", *MOVIE, "--path", "mask", "--transpose", "2,1,0", "--chunk-crc", "-", path, data=content(2)))
    good(tool("group", "create", path, "--path", "raw/empty", "--quiet", '{"note": "\u00fc"}'))
    return path


def layers_of(path, *more):
    return [layer["layer"] for layer in as_json("layers", path, *more)["layers"]]


def unchanged(path, before, *arguments, code=1, data=None):
    """A command that is refused leaves the archive byte for byte as it was."""
    result = refused(tool(*arguments, data=data), code)
    check(content_of(path) == before, "the archive was changed by: %s", result.describe())
    return result


def archive_round_trip():
    directory, path = hierarchy("same.zarr"), archive_of("same.zip")
    check(sorted(sound(path)) == files(directory), "other keys: %s", sound(path))
    order = [name.split("/")[-1] == "zarr.json" for name in sound(path)]
    check(sound(path)[0] == "zarr.json" and order == sorted(order, reverse=True), "order: %s", sound(path))
    with zipfile.ZipFile(path) as archive:
        for name, value in tree(directory).items():
            check(archive.read(name) == value, "another value: %s", name)
    check(export(path, "--path", "raw/movie") == content(10) and export(path, "--path", "mask") == content(2), "other data")
    check(export(path, "--path", "raw/movie", "--region", "3:5", "--direct", "on") == content(5)[3 * FRAME * 2:], "a region")
    check(good(tool("ls", path)).out == good(tool("ls", directory)).out, "ls")
    check(as_json("ls", path) == as_json("ls", directory), "ls --json")
    good(tool("import", "--append", "--quiet", "--path", "mask", "-", path, data=content(3)))
    check(export(path, "--path", "mask") == content(2) + content(3), "appended")
    for name in ("root.zip", "root.ozx"):
        good(tool("import", *MOVIE, "-", fresh(name), data=content(4)))
        check(export(at(name)) == content(4) and "zarr.json" in sound(at(name)), "an array at the root of %s", name)
    check(not [name for name in os.listdir(TMP) if "shardio-tmp" in name], "left behind: %s", os.listdir(TMP))


def archive_codecs():
    for codec in filter(built_in, ("zstd", "gzip", "blosc", "lz4", "crc32c")):
        path = fresh("codecs.zip")
        good(tool("import", *MOVIE, "--shards", "4,6,8", "--codec", codec, "--path", "a", "-", path, data=content(10)))
        good(tool("import", *MOVIE, "--codec", codec, "--path", "b", "-", path, data=content(10)))
        check(export(path, "--path", "a") == content(10) == export(path, "--path", "b"), "other data with %s", codec)
        sound(path)


def archive_replacing():
    path = archive_of("replace.zip")
    before, new = content_of(path), ["import", *MOVIE, "--path", "mask", "-", path]
    check("--force" in unchanged(path, before, *new, data=content(1)).err, "no advice")
    unchanged(path, before, "create", "--shape", "4", "--dtype", "int8", "--path", "mask", path)
    unchanged(path, before, "import", *MOVIE, "-", path, data=content(1))              # the root is a group
    unchanged(path, before, "import", *MOVIE, "--path", "mask/x", "-", path, data=content(1), code=2)      # below an array
    unchanged(path, before, "group", "create", path, "--path", "mask")
    good(tool(*new, "--force", data=content(1)))
    check(export(path, "--path", "mask") == content(1), "not replaced")
    check([n for n in sound(path) if n.startswith("mask/c/")] == ["mask/c/0/%d/%d" % (i, k) for i in (0, 1) for k in (0, 1)], "%s",
          sound(path))
    check(content_of(path)[:len(before)] == before, "an older layer was touched")
    check(export(path, "--path", "mask", "--layer", "3") == content(2), "the layer before")


def archive_import_that_fails():
    path = archive_of("fails.zip")
    before, source = content_of(path), at("fails.json")
    with open(source, "w") as file:
        file.write('["a", "b"')
    unchanged(path, before, "import", "--dtype", "string", "--path", "x", source, path)
    unchanged(path, before, "import", *MOVIE, "--path", "x", at("nothing.raw"), path)
    unchanged(path, before, "import", "--append", "--path", "nothing", "-", path, data=b"")
    unchanged(path, before, "import", *MOVIE, "--path", "../x", "-", path, data=b"", code=2)
    unchanged(path, before, "write", "--path", "raw/movie", "--memory", "200", "-", path, data=content(10)[:-1])     # ends early
    check("0 are written" in tool("write", "--path", "raw/movie", "--memory", "200", "-", path, data=content(9)).err, "what was kept?")
    unchanged(path, before, "resize", path, "3,4", "--path", "mask", code=2)
    unchanged(path, before, "attrs", path, "a=1", "nothing=")
    unchanged(path, before, "mv", path, "mask", "raw/movie")
    unchanged(path, before, "mv", path, "nothing", "x")
    unchanged(path, before, "rm", path, "nothing", "--yes")
    process = subprocess.Popen([TOOL, "import", *MOVIE, "--path", "x", "-", path], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    timer = threading.Timer(common.SECONDS, process.kill)
    timer.start()
    process.stdin.write(content(100000))
    process.stdin.flush()
    process.send_signal(2)
    error = process.stderr.read()
    check(process.wait() == 1 and b"interrupted" in error, "%d %s", process.returncode, error)
    timer.cancel()
    check(content_of(path) == before, "Ctrl-C left something behind")
    for arguments in (["import", *MOVIE, "--path", "../x", "-", at("new.zip")], ["create", "--shape", "4", "--dtype", "x", at("new.zip")]):
        refused(tool(*arguments, data=b""), 2)
        check(not os.path.exists(at("new.zip")), "an archive out of nothing")


def archive_killed():
    """A writer that is killed leaves the last layer, and what it wrote is cut off by recover or the next writer."""
    for mend in (["recover", "--apply"], ["attrs"], ["rollback", "--apply"]):
        path = archive_of("killed.zip")
        before = content_of(path)
        process = subprocess.Popen([TOOL, "import", *MOVIE, "--shards", "4096,6,8", "--path", "x", "--buffer", "65536", "-", path],
                                   stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(content(10) * 20000)
        process.stdin.flush()
        result = refused(tool("attrs", path, "a=1"))
        check("locked" in result.err and path in result.err, "a second writer: %s", result.describe())
        for command in (["compact", "--apply", path], ["import", *MOVIE, "--path", "y", "-", path], ["rm", "--yes", path, "mask"],
                        ["rollback", "--apply", path, "1"], ["recover", "--apply", path]):
            check("locked" in refused(tool(*command, data=content(1))).err, "a second writer: %s", command)
        check(export(path, "--path", "raw/movie") == content(10), "a reader while it is written")
        process.kill()
        process.wait()
        torn = content_of(path)
        check(torn[:len(before)] == before and len(torn) > len(before), "nothing is torn: the test is none")
        check(export(path, "--path", "mask") == content(2), "a torn archive does not read")
        check(as_json("info", path)["archive"]["torn_bytes"] == len(torn) - len(before), "info: %s", as_json("info", path))
        check(b"torn" in good(tool("layout", path)).out and b"!" in good(tool("layout", path)).out, "layout")
        check("recover" in tool("verify", path).out.decode() and tool("verify", path).code == 1, "verify")
        result = tool("recover", path)
        check(result.code == 1 and str(len(torn) - len(before)) in result.out.decode(), "dry run: %s", result.out)
        object_ = json.loads(tool("recover", "--json", path).out.decode())
        check(object_["cut"] == 1 and object_["cut_bytes"] == len(torn) - len(before) and object_["applied"] is False, "%s", object_)
        check(content_of(path) == torn, "a dry run has changed it")
        if mend[0] == "attrs":
            good(tool("attrs", path, "a=1"))
        else:
            good(tool(*mend, path, *(["3"] if mend[0] == "rollback" else [])))
            check(content_of(path) == before, "not as before")
        sound(path)
        check(b"1 complete" in good(tool("recover", path)).out, "nothing to do")
    for arguments in (["recover", "--path", "mask", path], ["recover", "--layer", "1", path]):
        refused(tool(*arguments), 2)


def archive_changes():
    """create, write, resize, attrs, consolidate: each is one layer, and the older ones are as they were."""
    path, model = fresh("changes.zip"), bytearray(struct.pack("<H", 9) * 4 * FRAME)
    good(tool("create", "--shape", "4,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--fill", "9", "--path", "a/b", path))
    check(export(path, "--path", "a/b") == bytes(model), "created")
    good(tool("write", "--path", "a/b", "--region", "1:2", "-", path, data=content(1)))
    model[FRAME * 2:FRAME * 4] = content(1)
    check(export(path, "--path", "a/b") == bytes(model), "written")
    good(tool("resize", path, "2,6,8", "--path", "a/b"))
    check(export(path, "--path", "a/b") == bytes(model[:FRAME * 4]), "resized")
    good(tool("attrs", path, "--path", "a/b", "x=1", "y=two"))
    check(as_json("attrs", path, "--path", "a/b") == {"x": 1, "y": "two"}, "attributes")
    good(tool("consolidate", path))
    check(as_json("info", path)["consolidated"] is True, "consolidated")
    check(layers_of(path) == [5, 4, 3, 2, 1], "layers: %s", layers_of(path))
    sound(path)
    for layer, wanted in ((1, struct.pack("<H", 9) * 4 * FRAME), (2, bytes(model)), (5, bytes(model[:FRAME * 4]))):
        check(export(path, "--path", "a/b", "--layer", str(layer)) == wanted, "layer %d", layer)
    check(as_json("info", path, "--layer", "3")["archive"]["layer"] == 3, "info --layer")
    check(as_json("info", path, "--layer", "3")["archive"]["torn_bytes"] == 0, "newer layers are taken for torn")
    for command in (["export", "--path", "a/b", "--layer", "6", path, "-"], ["info", "--layer", "6", path], ["ls", "--layer", "9", path],
                    ["rollback", path, "6"], ["rollback", "--apply", path, "6"]):
        check("layer" in refused(tool(*command)).err, "an unknown layer: %s", command)
    for command in (["info", "--layer", "0", path], ["rollback", path, "0"], ["rollback", path, "x"], ["rollback", path, "1x"],
                    ["layers", at("x.zarr")], ["rollback", at("x.zarr"), "1"], ["info", "--layer", "1", at("x.zarr")],
                    ["create", "--shape", "1", "--dtype", "int8", "--ozx", "0.5", at("x.zarr")]):
        refused(tool(*command), 2)
    size = os.path.getsize(path)
    result = good(tool("rollback", path, "2"))
    check("--apply" in result.out.decode() and os.path.getsize(path) == size, "dry run: %s", result.out)
    object_ = as_json("rollback", path, "2", "--apply")
    check(object_["applied"] is True and object_["cut_bytes"] == size - os.path.getsize(path) and layers_of(path) == [2, 1], "%s", object_)
    check(export(path, "--path", "a/b") == bytes(model), "rolled back")
    sound(path)


def attribute_of_all_arrays():
    for path in (hierarchy("attribute.zarr"), archive_of("attribute.zip")):
        good(tool("attrs", path, "--path", "raw/movie", 'x={"a": [1, null]}', "y=1"))
        good(tool("attrs", path, "--path", "raw", "x=0"))              # no array
        lines = good(tool("attrs", path, "x")).out.decode().splitlines()
        check(lines == ["mask has none", 'raw/movie={"a": [1, null]}'], "%s", lines)
        good(tool("attrs", path, "--path", "mask", "x=null"))
        arrays = as_json("attrs", path, "x")["arrays"]
        check(arrays == [{"path": "mask", "present": True, "value": None},
                         {"path": "raw/movie", "present": True, "value": {"a": [1, None]}}], "%s", arrays)
        check(as_json("attrs", path, "nothing", "--path", "raw")["arrays"] == [{"path": "raw/movie", "present": False, "value": None}],
              "below a group")
        refused(tool("attrs", path, "x", "--path", "nothing"))


def renamed():
    for path in (hierarchy("renamed.zarr"), archive_of("renamed.zip")):
        good(tool("mv", path, "raw/movie", "new/place/film"))
        names = [n["path"] for n in as_json("ls", path)["nodes"]]
        check(names == ["", "mask", "new", "new/place", "new/place/film", "raw", "raw/empty"], "%s", names)
        check(export(path, "--path", "new/place/film") == content(10), "other data")
        good(tool("mv", path, "new", "raw/old", "--json"))
        check(export(path, "--path", "raw/old/place/film") == content(10), "a group")
        for old, new in (("mask", "raw"), ("mask", "raw/old/place/film"), ("nothing", "x"), ("mask", "raw/old/place/film/x")):
            refused(tool("mv", path, old, new))
        for old, new in (("mask", "mask/x"), ("mask", "../x"), ("", "x"), ("mask", "")):
            refused(tool("mv", path, old, new), 2)
        refused(tool("mv", path, "mask"), 2)
        good(tool("verify", path))
        for arguments in (["ls", path, "raw"], ["ls", path, "--path", "raw"]):
            check(len(good(tool(*arguments)).out.splitlines()) == 5, "%s", arguments)
        refused(tool("ls", path, "raw", "--path", "raw"), 2)
        good(tool("rm", path, "raw/old"))
        check(len(as_json("ls", path)["nodes"]) == 7, "a dry run has removed something")
        good(tool("rm", path, "raw/old", "--yes", "--quiet"))
        check([n["path"] for n in as_json("ls", path)["nodes"]] == ["", "mask", "raw", "raw/empty"], "rm")
    sound(path)
    good(tool("rm", path, "--yes", "--quiet"))
    check(zipfile.ZipFile(path).namelist() == [], "left: %s", zipfile.ZipFile(path).namelist())
    refused(tool("ls", path))
    check(as_json("info", path)["kind"] == "archive", "an empty archive")


def statistics():
    """Kept while an array is written, absent after somebody kept none, made again; in a directory and in an archive."""
    numbers = [i * 7919 % 65536 for i in range(10 * FRAME)]
    for name in ("stats.zarr", "stats.zip"):
        path = fresh(name)
        good(tool("import", *MOVIE, "--shards", "4,6,8", "--path", "a", "--statistics", "-", path, data=content(10)))
        wanted = {"rows": len(numbers), "nulls": numbers.count(0), "min": min(n for n in numbers if n), "max": max(numbers),
                  "min_cut": False, "max_cut": False}
        check(as_json("stats", path, "a") == wanted, "%s", as_json("stats", path, "a"))
        check(as_json("stats", path, "--path", "a", "--fill-is-value") == {**wanted, "nulls": 0, "min": 0}, "--fill-is-value")
        text = good(tool("stats", path, "a")).out.decode()
        check("%d, %d null" % (wanted["rows"], wanted["nulls"]) in text and str(wanted["max"]) in text, "%s", text)
        good(tool("write", "--quiet", "--path", "a", "--region", "0,0,0", "-", path, data=b"\xff\xff"))
        check("--make" in refused(tool("stats", path, "a")).err, "stale statistics")
        good(tool("stats", "--make", "--quiet", path, "a"))
        check(as_json("stats", path, "a") == {**wanted, "nulls": wanted["nulls"] - 1, "max": 65535}, "%s", as_json("stats", path, "a"))
        good(tool("verify", path))
        good(tool("import", "--dtype", "string", "--chunks", "2", "--path", "texts", "-", path, data=b"pear\n\napple\n"))
        refused(tool("stats", path, "texts"))
        object_ = as_json("stats", "--make", path, "texts")
        check((object_["min"], object_["max"], object_["nulls"]) == ("apple", "pear", 1), "%s", object_)
        refused(tool("stats", path, "nothing"))
        refused(tool("stats", path))
        refused(tool("stats", path, "a", "--path", "a"), 2)
    good(tool("compact", "--apply", path))
    check(as_json("stats", path, "a")["max"] == 65535 and ".shardio-statistics" in " ".join(sound(path)), "after compacting")


def archive_compacted():
    path = archive_of("compacted.zip")
    for number in range(3):
        good(tool("write", "--quiet", "--path", "raw/movie", "-", path, data=content(20)[number * 2:number * 2 + 960]))
    wanted, size, nodes = export(path, "--path", "raw/movie"), os.path.getsize(path), as_json("ls", path)
    facts = as_json("info", path)["archive"]
    check(facts["file_bytes"] == size == facts["live_bytes"] + facts["dead_bytes"] and facts["layer"] == 6, "%s", facts)
    object_ = as_json("compact", path)
    check(object_["dead_bytes"] == facts["dead_bytes"] and object_["saved_bytes"] == 0 and os.path.getsize(path) == size, "%s", object_)
    check("--apply" in good(tool("compact", path)).out.decode(), "dry run")
    object_ = as_json("compact", "--apply", path)
    check(object_["saved_bytes"] == size - os.path.getsize(path) > 0 and layers_of(path) == [1], "%s", object_)
    check(export(path, "--path", "raw/movie") == wanted and as_json("ls", path) == nodes, "other data")
    sound(path)
    good(tool("compact", "--apply", "--comment", "mine", "--alignment", "64", path))
    with zipfile.ZipFile(path) as archive:
        check(archive.comment == b"mine", "comment: %s", archive.comment)
    sound(path)
    check("gaps" in good(tool("compact", path)).out.decode(), "what a copy needs again is no promise to save it")
    for wrong in ("3", "64K"):     # refused before anything is promised
        check("--alignment" in refused(tool("compact", "--alignment", wrong, path), 2).err, "which option?")
    refused(tool("compact", path, "--path", "mask"), 2)
    refused(tool("compact", "--apply", at("nothing.zip")))
    check(not os.path.exists(at("nothing.zip")), "compact made an archive")


def append_without_chain(path):
    """As another program that adds a file and keeps no extra fields: it writes over the newest directory."""
    with zipfile.ZipFile(path, "a") as archive:
        for info in archive.infolist():
            info.extra = b""
        archive.writestr("note.txt", "theirs")


def archive_cut_off_layers():
    """Layers that only a search finds: what is announced is what is cut off, and nothing else."""
    path = archive_of("cut_off.zip")
    append_without_chain(path)
    whole = content_of(path)
    ends = {layer["layer"]: layer["file_bytes"] for layer in as_json("layers", path)["layers"]}
    check(sorted(ends) == [1, 2, 3] and ends[3] == len(whole), "layers: %s", ends)
    for layer, end in ends.items():
        with open(path, "wb") as file:
            file.write(whole)
        paths = [node["path"] for node in as_json("ls", path, "--layer", str(layer))["nodes"]]
        check(as_json("rollback", path, str(layer))["cut_bytes"] == len(whole) - end, "rollback %d", layer)
        object_ = as_json("rollback", "--apply", path, str(layer))
        check(object_["cut_bytes"] == len(whole) - end and object_["from_layer"] == 3, "%s", object_)
        check(content_of(path) == whole[:end], "rolled back to layer %d: %d bytes", layer, os.path.getsize(path))
        check([node["path"] for node in as_json("ls", path)["nodes"]] == paths, "not what --layer %d has shown", layer)
        sound(path)
    with open(path, "wb") as file:
        file.write(whole + bytes(5000))
    check("the last 5000 " in tool("recover", path).out.decode(), "%s", tool("recover", path).out)
    good(tool("recover", "--apply", path))
    check(content_of(path) == whole, "recover has cut off more than what was torn")
    refused(tool("rollback", "--apply", path, "4"))
    check("layer 3" in good(tool("layout", path)).out.decode(), "layout")


def archive_with_a_broken_chain():
    """The directory of a layer in the middle is gone: what is above it stays, whatever a listing counts."""
    path = archive_of("broken.zip")
    append_without_chain(path)
    good(tool("attrs", path, "a=1"))
    check(layers_of(path) == [2, 1] and layers_of(path, "--search") == [4, 3, 2, 1], "%s", layers_of(path, "--search"))
    check("without --search" in good(tool("layers", "--search", path)).out.decode(), "counted anew")
    layer = as_json("layers", path)["layers"][1]
    with open(path, "r+b") as file:
        file.seek(layer["directory"])
        file.write(bytes(layer["file_bytes"] - layer["directory"]))
    before = content_of(path)
    check("--search" in refused(tool("layers", path)).err, "layers")
    check(as_json("rollback", path, "2")["cut_bytes"] == 0, "rollback to the newest")
    good(tool("rollback", "--apply", path, "2"))
    check(content_of(path) == before, "rolled back to the newest layer, and it is gone")
    for number in ("1", "3", "4"):
        unchanged(path, before, "rollback", "--apply", path, number)


def archive_emptied():
    """Nothing is in it any more: it is sound, and the layers before are still there."""
    path = archive_of("emptied.zip")
    before = content_of(path)
    good(tool("rm", "--yes", "--quiet", path))
    check("another program" not in good(tool("info", path)).out.decode(), "who wrote it?")
    check("0 entries" in good(tool("verify", path)).out.decode(), "an empty archive is sound")
    check(layers_of(path) == [4, 3, 2, 1], "layers: %s", layers_of(path))
    good(tool("rollback", "--apply", path, "3"))
    check(content_of(path) == before, "rolled back")


def archive_too_large():
    """A limit of file sizes is an error like a full disk: the archive is as it was."""
    path = archive_of("limited.zip")
    before, limit = content_of(path), (os.path.getsize(path) // 4096 + 2) * 4096
    for arguments in (["import", *MOVIE, "--path", "x", "-", path], ["mv", path, "raw/movie", "film"]):
        process = subprocess.run([TOOL, *arguments], input=content(1000), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 timeout=common.SECONDS,
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        if process.returncode != 0 or arguments[0] == "import":
            check(process.returncode == 1 and b"limited.zip" in process.stderr, "%d %s", process.returncode, process.stderr)
            check(content_of(path) == before, "%s left something behind", arguments[0])
    sound(path)


def archive_renaming_interrupted():
    """Ctrl-C while values are copied: nothing is renamed."""
    path = fresh("mv.zip")
    good(tool("create", "--shape", "4", "--dtype", "int8", "--path", "a", path))
    good(tool("import", "--shape", "0,1048576", "--dtype", "uint8", "--shards", "64,1048576", "--chunks", "1,1048576", "--path",
              "big", "--quiet", "-", path, data=bytes(100 << 20)))
    size = os.path.getsize(path)
    process = subprocess.Popen([TOOL, "mv", path, "big", "large"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and os.path.getsize(path) == size:
        pass
    process.send_signal(2)
    said = process.communicate(timeout=common.SECONDS)[1]
    check(process.returncode == 1 and b"interrupted" in said, "%d %s", process.returncode, said)
    check(os.path.getsize(path) == size and layers_of(path) == [2, 1], "it was renamed")


def archive_names():
    """Any text is a name; bytes that are none would make an archive that others refuse as a whole."""
    path, name = archive_of("names.zip"), "gr\u00f6\u00dfe 1/\u6808"
    good(tool("mv", path, "raw", name))
    check(export(path, "--path", name + "/movie") == content(10) and name + "/movie/c/0/0/0" in sound(path), "%s", sound(path))
    lines = good(tool("ls", path)).out.decode().splitlines()
    check(len({line.index("  group") for line in lines if line.endswith("  group")}) == 1, "not in a column: %s", lines)
    before = content_of(path)
    for arguments in (["import", *MOVIE, "--path", os.fsdecode(b"d\xe9"), "-", path],
                      ["group", "create", path, "--path", os.fsdecode(b"a/\xff")], ["mv", path, "mask", os.fsdecode(b"\xc3")],
                      ["create", "--shape", "1", "--dtype", "int8", "--path", os.fsdecode(b"\xed\xa0\x80"), path]):
        check("UTF-8" in unchanged(path, before, *arguments, code=2, data=content(1)).err, "why?")
    unchanged(path, before, "group", "create", path, "--path", "x", "--comment", "PK\5\6" + "x" * 18, code=2)
    good(tool("group", "create", path, "--path", "x", "--comment", os.fsdecode(b"\xe9t\xe9"), "--quiet"))
    check(as_json("info", path)["archive"]["comment"] == "?t?", "JSON is UTF-8")


def archive_is_no_output():
    path = archive_of("output.zip")
    before = content_of(path)
    os.symlink(path, fresh("output-too.zip"))
    for output in (path, at("output-too.zip")):
        check(path in unchanged(path, before, "export", "--force", "--path", "mask", path, output, code=2).err or output != path,
              "which file?")
        unchanged(path, before, "layout", "--force", "--svg", output, path, code=2)


def archive_options():
    path = fresh("options.ozx")
    good(tool("import", *MOVIE, "--alignment", "4K", "--ozx", "0.5", "--path", "a", "-", path, data=content(4)))
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        check(json.loads(archive.comment) == {"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}}, "%s",
              archive.comment)
        for info in archive.infolist():
            file.seek(info.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            check((info.header_offset + 30 + name + extra) % 4096 == 0, "%s is not aligned", info.filename)
    sound(path)
    good(tool("group", "create", path, "--path", "b", "--comment", "another", "--quiet"))
    check(as_json("info", path)["archive"]["comment"] == "another", "a new comment")
    good(tool("group", "create", path, "--path", "c", "--quiet"))
    check(as_json("info", path)["archive"]["comment"] == "another" and "another" in good(tool("info", path)).out.decode(), "kept")
    before = content_of(path)
    for more in (["--comment", "x", "--ozx", "0.5"], ["--alignment", "3"], ["--alignment", "64K"], ["--alignment", "8G"],
                 ["--comment", "x" * 65536], ["--sync", "64K"]):
        unchanged(path, before, "import", *MOVIE, "--path", "x", *more, "-", path, code=2, data=content(1))
    good(tool("import", *MOVIE, "--path", "x", "--sync", "none", "--direct", "off", "-", path, data=content(1)))
    good(tool("import", *MOVIE, "--path", "y", "--checkpoint", "4", "-", fresh("checkpoints.zip"), data=content(10)))
    check(layers_of(at("checkpoints.zip")) == [3, 2, 1], "layers: %s", layers_of(at("checkpoints.zip")))
    for layer, frames in ((1, 4), (2, 8), (3, 10)):
        check(export(at("checkpoints.zip"), "--path", "y", "--layer", str(layer)) == content(frames), "checkpoint %d", layer)
    sound(at("checkpoints.zip"))


def archive_layout():
    path = archive_of("layout.zip")
    good(tool("rm", "--yes", "--quiet", path, "mask"))
    text = good(tool("layout", path)).out.decode()
    lines = text.splitlines()
    check(lines[0].startswith(path + ":") and [line.split(":")[0] for line in lines[2:-1:2]] == ["layer %d" % i for i in (4, 3, 2, 1)],
          "layout: %s", text)
    check(all(len(line) == 74 for line in lines[1:-1:2]) and "dead" in lines[-1] and "directory" in lines[-1], "layout: %s", text)
    for line, begin in zip(lines[2:-1:2], [layer["file_bytes"] for layer in as_json("layers", path)["layers"]][1:] + [0]):
        check("from %d," % begin in line, "begins at %d: %s", begin, line)
    check("movie" not in text and "c/0/0/0" in good(tool("layout", path, "--path", "raw/movie")).out.decode(), "an array in it")
    picture = fresh("layout.svg")
    good(tool("layout", "--svg", picture, path))
    with open(picture) as file:
        drawn = file.read()
    check(drawn.startswith("<svg") and "layer 2" in drawn and "directory" in drawn, "not a picture")
    for number in range(16):
        good(tool("attrs", path, "n=%d" % number))
    check("and 5 more" in good(tool("layout", path)).out.decode(), "--all: %s", good(tool("layout", path)).out.decode())
    check("layer 1:" in good(tool("layout", "--all", path)).out.decode(), "--all")


def archive_of_others():
    """Archives that Python's zipfile made, stored and deflated; ours go on with them."""
    directory = hierarchy("others.zarr")
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = fresh("others.zip")
        with zipfile.ZipFile(path, "w", method) as archive:
            for name in files(directory):
                archive.write(os.path.join(directory, name), name)
        if method == zipfile.ZIP_DEFLATED and not built_in("gzip"):
            refused(tool("ls", path))
            continue
        check(as_json("ls", path) == as_json("ls", directory), "ls")
        check(export(path, "--path", "raw/movie") == content(10) and export(path, "--path", "mask") == content(2), "other data")
        check(as_json("info", path)["archive"]["foreign"] is True and layers_of(path) == [1], "info: %s", as_json("info", path))
        good(tool("verify", path))
        good(tool("layout", path))
        before = content_of(path)
        good(tool("import", *MOVIE, "--path", "ours", "-", path, data=content(3)))
        check(content_of(path)[:len(before)] == before and layers_of(path) == [2, 1], "what Python wrote was touched")
        check(export(path, "--path", "ours") == content(3) and export(path, "--path", "raw/movie") == content(10), "other data")
        with zipfile.ZipFile(path) as archive:
            check(archive.testzip() is None, "Python finds damage")
        good(tool("verify", path))
        with zipfile.ZipFile(path, "a") as archive:            # over our directory, as Python does
            archive.writestr("note.txt", "theirs")
        check(export(path, "--path", "ours") == content(3), "after Python")
        good(tool("verify", path))
        good(tool("compact", "--apply", path))
        check(export(path, "--path", "ours") == content(3) and layers_of(path) == [1], "compacted")
        good(tool("verify", path))


def archive_damage():
    path = archive_of("damage.zip")
    data = content_of(path)
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("raw/movie/c/1/0/0").header_offset
    begin = data.index(content(10)[4 * FRAME * 2:4 * FRAME * 2 + 8], place)
    with open(path, "wb") as file:
        file.write(data[:begin] + bytes([data[begin] ^ 1]) + data[begin + 1:])
    result = tool("verify", path)
    check(result.code == 1 and "raw/movie/c/1/0/0" in result.out.decode() and result.err.count("\n") == 1, "%s %s", result.out,
          result.describe())
    object_ = json.loads(tool("verify", "--json", path).out.decode())
    check(object_["sound"] is False and object_["findings"][0]["status"] == "ERR_CHECKSUM", "%s", object_)
    for damage in (data[:-1], data[:-30], data[:100], b"", b"PK\5\6" + bytes(17), data[:-10] + bytes(10)):
        with open(path, "wb") as file:
            file.write(damage)
        for command in (["info", path], ["ls", path], ["layers", path], ["layout", path], ["verify", path], ["recover", path],
                        ["compact", path], ["attrs", path, "a"]):
            result = tool(*command)
            check(result.code in (0, 1), "%s: %s", command[0], result.describe())
    for name in ("none.zip", "none.ozx"):
        with open(at(name), "wb") as file:
            file.write(b"no archive")
        for command in (["info", at(name)], ["export", at(name), "-"], ["verify", at(name)], ["recover", "--apply", at(name)],
                        ["import", *MOVIE, "-", at(name)], ["compact", "--apply", at(name)], ["rollback", at(name), "1"]):
            refused(tool(*command, data=content(1)))
            check(content_of(at(name)) == b"no archive", "%s has changed what is no archive", command[0])
    for command in (["info", at("nothing.zip")], ["write", "-", at("nothing.zip")], ["resize", at("nothing.zip"), "1"],
                    ["attrs", at("nothing.zip"), "a=1"], ["consolidate", at("nothing.zip")], ["mv", at("nothing.zip"), "a", "b"],
                    ["import", "--append", "-", at("nothing.zip")], ["rm", "--yes", at("nothing.zip")], ["layers", at("nothing.zip")]):
        refused(tool(*command, data=b""))
        check(not os.path.exists(at("nothing.zip")), "%s made an archive", command[0])


# ---- mirrors -------------------------------------------------------------------------------------------------

CHUNK = 65536
MIRRORED = random.Random(7).randbytes(30 * CHUNK + 1000)


def origin_of(name, data=MIRRORED):
    """A file, and where a mirror of it is to be."""
    source, local = fresh(name), fresh(name + ".mirror")
    fresh(name + ".mirror.shardio-map")
    with open(source, "wb") as file:
        file.write(data)
    return source, local


def mirror_read():
    source, local = origin_of("read.bin")
    for text, begin, end in (("100:200", 100, 200), ("70000:70001", 70000, 70001), ("70000", 70000, 70001), (":5", 0, 5), ("5:5", 5, 5),
                             ("%d:" % (len(MIRRORED) - 3), len(MIRRORED) - 3, len(MIRRORED)), ("65536:500000", CHUNK, 500000)):
        check(good(tool("mirror", "read", "--range", text, source, local)).out == MIRRORED[begin:end], "--range %s", text)
    object_ = as_json("mirror", "info", local)
    check(object_["covered_bytes"] == 8 * CHUNK + 1000 and object_["extents"] == 2, "%s", object_)
    check(os.stat(local).st_size == len(MIRRORED), "another length")
    check(good(tool("mirror", "read", source, local)).out == MIRRORED, "all of it")
    with open(local, "rb") as file:
        check(file.read() == MIRRORED, "the local file is another")
    for text in ("5:3", "x", "0:%d" % (len(MIRRORED) + 1), "1:2:3", "-1:2"):
        refused(tool("mirror", "read", "--range", text, source, local), 2)
    source, local = origin_of("ahead.bin")
    good(tool("mirror", "read", "--range", "0:10", source, local))
    check(as_json("mirror", "info", local)["covered_bytes"] == CHUNK, "read ahead without being asked to")
    check(good(tool("mirror", "read", "--range", "0:10", "--read-ahead", "150K", source, local)).out == MIRRORED[:10], "--read-ahead")
    check(as_json("mirror", "info", local)["covered_bytes"] == 3 * CHUNK, "--read-ahead")
    check(good(tool("mirror", "read", "--range", "1900000:", "--read-ahead", "1000T", source, local)).out == MIRRORED[1900000:], "the end")
    empty, local = origin_of("empty.bin", b"")
    check(good(tool("mirror", "read", empty, local)).out == b"", "an empty one")
    check(as_json("mirror", "info", local)["covered_bytes"] == 0, "an empty one")
    good(tool("layout", local))


def mirror_fill():
    source, local = origin_of("fill.bin")
    good(tool("mirror", "read", "--chunk", "4K", "--range", "8192:20000", source, local))
    object_ = as_json("mirror", "fill", source, local)
    size = len(MIRRORED)
    for name, value in (("kind", "mirror"), ("name", local), ("source", source), ("bytes", size), ("chunk_bytes", 4096),
                        ("covered_bytes", size), ("extents", 1), ("fetched_bytes", size - 3 * 4096), ("map_was_damaged", False)):
        check(object_[name] == value, "%s: %s", name, object_)
    check(object_["requests"] == 3 and object_["tag"] != "" and object_["allocated_bytes"] > 0, "%s", object_)   # about, two gaps
    with open(local, "rb") as file:
        check(file.read() == MIRRORED, "the local file is another")
    again = as_json("mirror", "fill", source, local)
    check(again["requests"] == 1 and again["fetched_bytes"] == 0, "fetched twice: %s", again)
    check(good(tool("mirror", "fill", "--quiet", source, local)).out == b"", "--quiet")
    check(local.encode() in good(tool("mirror", "fill", source, local)).out, "no summary")
    source, local = origin_of("gap.bin")
    for text in ("65536:65537", "196608:196609"):
        good(tool("mirror", "read", "--range", text, source, local))
    check(as_json("mirror", "fill", "--gap", "64K", source, local)["requests"] == 2, "a gap is a request of its own")


def mirror_info():
    source, local = origin_of("info.bin")
    good(tool("mirror", "read", "--range", "0:200000", source, local))
    object_ = as_json("mirror", "info", local)
    check(object_["source"] is None and object_["requests"] == 0 and object_["covered_bytes"] == 4 * CHUNK and
          object_["map_bytes"] == os.path.getsize(local + ".shardio-map"), "%s", object_)
    check(as_json("info", local) == object_, "info does not know a mirror")
    check(as_json("mirror", "info", local, source)["requests"] == 1, "with its source")
    text = good(tool("mirror", "info", local, source)).out.decode()
    check("256.0 KiB of 1.9 MiB, 13.3 %, in 1 extent" in text and "unchanged" in text and "64.0 KiB" in text, "%s", text)
    os.remove(source)
    check(as_json("mirror", "info", local) == object_, "it wants its source")
    refused(tool("mirror", "info", local, source))
    text = good(tool("layout", local)).out.decode()
    check("in 1 extent" in text and "|#########:......" in text and "not fetched" in text, "%s", text)
    picture = fresh("mirror.svg")
    good(tool("layout", "--svg", picture, local))
    with open(picture) as file:
        check("not fetched" in file.read(), "not a picture of a mirror")


def mirror_evict():
    source, local = origin_of("evict.bin")
    good(tool("mirror", "fill", source, local))
    allocated = as_json("mirror", "info", local)["allocated_bytes"]
    os.remove(source)                          # evicting needs no source
    object_ = as_json("mirror", "evict", "--range", "%d:%d" % (CHUNK + 1, 5 * CHUNK), local)
    check(object_["evicted_bytes"] == 3 * CHUNK and object_["extents"] == 2 and
          object_["covered_bytes"] == len(MIRRORED) - 3 * CHUNK, "%s", object_)
    check(object_["allocated_bytes"] in (allocated - 3 * CHUNK, allocated), "%s", object_)
    check("|####:......:###" in good(tool("layout", local)).out.decode(), "layout")
    with open(local, "rb") as file:
        data = file.read()
        check(data[:2 * CHUNK] == MIRRORED[:2 * CHUNK] and data[5 * CHUNK:] == MIRRORED[5 * CHUNK:], "too much evicted")
    object_ = as_json("mirror", "evict", "--budget", "640K", local)
    check(object_["covered_bytes"] <= 10 * CHUNK and object_["covered_bytes"] > 8 * CHUNK, "%s", object_)
    check(b"evicted" in good(tool("mirror", "evict", "--range", ":", local)).out, "no summary")
    object_ = as_json("mirror", "info", local)
    check(object_["covered_bytes"] == 0 and object_["extents"] == 0, "%s", object_)
    check(good(tool("mirror", "evict", "--quiet", "--range", ":", local)).out == b"", "--quiet")
    for arguments in ([local], ["--range", ":", "--budget", "1", local], ["--range", "5:1", local], ["--budget", "x", local]):
        refused(tool("mirror", "evict", *arguments), 2)
    for name in ("nothing", "evict.bin"):
        with open(at("evict.bin"), "wb") as file:
            file.write(b"no mirror")
        refused(tool("mirror", "evict", "--budget", "1", at(name)))
        check(not os.path.exists(at(name) + ".shardio-map") and not os.path.exists(at("nothing")), "a mirror out of nothing")
        check(content_of(at("evict.bin")) == b"no mirror", "what is no mirror was changed")


def mirror_identity():
    source, local = origin_of("identity.bin")
    good(tool("mirror", "fill", source, local))
    other = MIRRORED[:1000] + b"x" + MIRRORED[1001:]
    with open(source, "wb") as file:
        file.write(other)
    for command in (["read"], ["fill"]):
        result = refused(tool("mirror", *command, source, local))
        check("--start-over" in result.err and "tag" in result.err, "%s", result.describe())
    refused(tool("mirror", "info", local, source))
    check(good(tool("mirror", "read", "--check-later", source, local)).out == MIRRORED, "all of it is there")
    check(good(tool("mirror", "read", "--start-over", source, local)).out == other, "--start-over")
    result = refused(tool("mirror", "fill", "--chunk", "4K", source, local))
    check("chunk" in result.err, "%s", result.describe())
    check(as_json("mirror", "fill", "--chunk", "4K", "--start-over", source, local)["chunk_bytes"] == 4096, "--chunk")
    with open(local + ".shardio-map", "r+b") as file:
        file.seek(20)
        file.write(b"x")
    refused(tool("mirror", "info", local))
    refused(tool("layout", local))
    refused(tool("mirror", "evict", "--range", ":", local))
    object_ = as_json("mirror", "fill", source, local)
    check(object_["map_was_damaged"] is True and object_["fetched_bytes"] == len(other), "%s", object_)
    with open(local, "rb") as file:
        check(file.read() == other, "the local file is another")


def mirror_trouble():
    source, local = origin_of("trouble.bin")
    for arguments in (["read", at("no source"), local], ["fill", at("no source"), local], ["read", source, at("no/such/place")],
                      ["info", at("nothing")], ["info", source], ["fill", source, source]):
        refused(tool("mirror", *arguments))
        check(not os.path.exists(local) and not os.path.exists(local + ".shardio-map"), "something is left: %s", arguments)
    check(content_of(source) == MIRRORED, "the source was changed")
    for arguments in (["read"], ["read", source], ["fill", source, local, local], ["read", "--chunk", "1000", source, local],
                      ["read", "--chunk", "128M", source, local], ["read", "--read-ahead", "x", source, local], ["info"], ["nonsense"],
                      ["read", "--gap", "-1", source, local], ["fill", TMP, local]):
        refused(tool("mirror", *arguments), 2)
    check(not os.path.exists(local), "a wrong command line left something behind")
    long = MIRRORED * 15                       # more than is read at once
    source, local = origin_of("long.bin", long)
    reader = subprocess.Popen([TOOL, "mirror", "read", source, local], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(os.read(reader.stdout.fileno(), 1) == MIRRORED[:1], "the first byte")     # it waits until somebody reads the others
    check("locked" in refused(tool("mirror", "fill", source, local)).err, "a second writer")
    check("locked" in refused(tool("mirror", "evict", "--range", ":", local)).err, "a second writer")
    good(tool("mirror", "info", local))
    reader.send_signal(2)
    _, error = reader.communicate(timeout=30)
    check(reader.returncode == 1 and error.count(b"\n") == 1, "Ctrl-C: %d %s", reader.returncode, error)
    check(0 < as_json("mirror", "info", local)["covered_bytes"] < len(long), "what was fetched is lost")
    check(good(tool("mirror", "read", source, local)).out == long, "after Ctrl-C")


def mirrored_archive():
    """What of an archive in a mirror is not there is an error, not zeros."""
    source = archive_of("remote.zip")
    good(tool("import", *MOVIE, "--shards", "4,6,8", "--path", "long", "-", source, data=content(2000)))
    local = fresh("local.zip")
    fresh("local.zip.shardio-map")
    good(tool("mirror", "fill", "--chunk", "512", source, local))
    check(export(local, "--path", "raw/movie") == content(10) and as_json("ls", local) == as_json("ls", source), "all of it is there")
    good(tool("verify", local))
    with zipfile.ZipFile(source) as archive:
        place = archive.getinfo("long/c/20/0/0").header_offset
    good(tool("mirror", "evict", "--range", "%d:%d" % (place, place + 8192), local))
    check(export(local, "--path", "raw/movie") == content(10), "what is there")
    check("there is no source" in refused(tool("export", "--path", "long", local, "-")).err, "why it is not there")
    for command in (["attrs", local, "a=1"], ["rm", "--yes", local, "mask"], ["import", *MOVIE, "--path", "x", "-", local]):
        check("is a mirror" in refused(tool(*command, data=content(1))).err, "%s", command)
    check(as_json("info", local)["kind"] == "mirror", "info")


def urls():
    """Without a server: what can be said before one is asked."""
    path, _ = small("urls.zarr")
    refused(tool("export", "--mirror", at("m"), path, "-"), 2)
    refused(tool("info", "--start-over", path), 2)
    for command in (["layout"], ["recover"], ["compact"], ["rm", "--yes"], ["layers"], ["consolidate"]):
        refused(tool(*command, "http://127.0.0.1:1/x.zarr"), 2)
    if "http        libcurl" not in good(tool("--version")).out.decode():
        print("left out: URLs: no libcurl here: make deps")
        return
    for url in ("http://127.0.0.1:1/x.zarr", "https://127.0.0.1:1/x.zip"):
        for command in (["export", url, "-"], ["info", url], ["ls", url], ["verify", url], ["stats", url], ["attrs", url]):
            check("--mirror" in refused(tool(*command), 2).err, "%s", command)
    for url in ("http://127.0.0.1:1/a//x.zarr", "http://127.0.0.1:1/../x.zarr", "http://me:secret@127.0.0.1:1/x.zarr", "http://"):
        result = refused(tool("info", "--mirror", at("urls"), url), 2)
        check("secret" not in result.err and not os.path.exists(at("urls")), "%s", result.describe())
    for command in (["export", "http://127.0.0.1:1/x.zarr", "-", "--mirror", at("urls")], ["info", "http://127.0.0.1:1/x.zip", "--mirror",
                    at("urls")], ["mirror", "fill", "http://127.0.0.1:1/x", at("urls.mirror")]):
        check("connect" in refused(tool(*command)).err, "%s", command)
    check(not os.path.exists(at("urls.mirror")), "a mirror of nothing")


# ---- trouble -------------------------------------------------------------------------------------------------

def verify():
    path, _ = small("verify.zarr")
    check(tool("verify", path).code == 0, "sound")
    shard = os.path.join(path, "c/1/0/0")
    with open(shard, "rb") as file:
        data = file.read()
    for name, damaged in (("a bit of the index", data[:-10] + bytes([data[-10] ^ 1]) + data[-9:]), ("cut", data[:-1]),
                          ("empty", b""), ("padded", data + bytes(4096))):
        with open(shard, "wb") as file:
            file.write(damaged)
        result = tool("verify", path)
        check(result.code == 1, "%s: %s", name, result.describe())
        check("c/1/0/0" in result.out.decode(), "%s: which file? %s", name, result.out.decode())
        check(tool("verify", "--json", path).code == 1, "%s, --json", name)
        check(json.loads(tool("verify", "--json", path).out.decode())["sound"] is False, "%s, --json", name)
        refused(tool("export", path, "-"))
        check(export(path, "--region", "0:4") == content(4), "%s: the other shards do not read", name)
    with open(shard, "wb") as file:
        file.write(data)
    with open(os.path.join(path, "c/7"), "wb") as file:
        file.write(b"x")
    os.rename(os.path.join(path, "c/7"), os.path.join(path, "c/2/0/5"))
    check(tool("verify", path).code == 1, "a file outside the shape is not found")


def nothing_is_overwritten():
    path, _ = small("mine.zarr")
    before = {name: open(os.path.join(path, name), "rb").read() for name in files(path)}
    new = ["import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "1,6,8", "-", path]
    refused(tool(*new, data=content(1)))
    check({name: open(os.path.join(path, name), "rb").read() for name in files(path)} == before, "changed")
    good(tool(*(["import", "--force"] + new[1:]), data=content(1)))
    check(export(path) == content(1) and files(path) == ["c/0/0/0", "zarr.json"], "--force: %s", files(path))
    out = fresh("out.raw")
    good(tool("export", path, out))
    refused(tool("export", path, out))
    good(tool("export", "--force", path, out))
    plain = fresh("plain")
    with open(plain, "w") as file:
        file.write("mine")
    refused(tool(*(new[:-1] + [plain]), data=content(1)))
    with open(plain) as file:
        check(file.read() == "mine", "a file was replaced by an array")


def usage():
    path, _ = small("usage.zarr")
    for arguments in ([], ["nonsense"], ["import"], ["import", "-"], ["import", "--nonsense", "-", path], ["info"],
                      ["import", "--shape", "x", "-", path], ["import", "--shape", "0,6", "-", path],
                      ["import", "--dtype", "uint17", "--shape", "0,6", "-", path], ["info", path, path],
                      ["import", "--shape", "0,0", "--dtype", "int8", "-", path], ["export", path],
                      ["import", "--shape", "0,6", "--dtype", "int8", "--chunks", "1", "-", path],
                      ["import", "--shape", "0,6", "--dtype", "int8", "--chunks", "0,1", "-", path],
                      ["import", "--shape", "0,6", "--dtype", "int8", "--chunks", "2,3", "--shards", "4,4", "-", path + "2"],
                      ["import", "--shape", "0,6", "--dtype", "int8", "--fill", "300", "-", path],
                      ["import", "--shape", "0,6", "--dtype", "int8", "--direct", "maybe", "-", path],
                      ["import", "--shape", "0,6", "--dtype", "int8", "--overlap", "maybe", "-", path],
                      ["import", "--shape", "0,6", "--dtype", "int8", "--buffer", "-1", "-", path],
                      ["import", "--shape", ",".join(["1"] * 33), "--dtype", "int8", "-", path],
                      ["export", "--format", "png", path, "-"], ["info", "--chunks", "0", path]):
        refused(tool(*arguments, data=b""), 2)
    check(not os.path.exists(path + "2"), "a wrong command line left something behind")


def missing_and_forbidden():
    for arguments in (["info", at("nothing")], ["verify", at("nothing")], ["layout", at("nothing")], ["export", at("nothing"), "-"],
                      ["import", at("nothing.npy"), at("x.zarr")],
                      ["import", "--shape", "0,2", "--dtype", "int8", at("nothing.raw"), at("x.zarr")],
                      ["export", TMP, "-"]):
        refused(tool(*arguments))
    path, _ = small("forbidden.zarr")
    refused(tool("export", path, at("no/such/folder")))
    if os.geteuid() != 0:
        os.chmod(path, stat.S_IRUSR | stat.S_IXUSR)
        refused(tool("import", "--append", "-", path, data=content(1)))
        os.chmod(path, stat.S_IRWXU)
    refused(tool("import", "--shape", "0,6,8", "--dtype", "uint16", "-", "/proc/x.zarr", data=content(1)))
    result = tool("import", "--shape", "0,6,8", "--dtype", "uint16", "--attrs", at("nothing.json"), "-", fresh("x.zarr"), data=b"")
    refused(result)


def input_behind_the_region():
    path, _ = small("behind.zarr")
    region = ["write", "--region", "0:1,0:6,0:8"]
    check("goes on behind" in good(tool(*region, "-", path, data=content(1) + b"more")).err, "nothing is said of the rest")
    good(tool(*region, "-", path, data=content(1)))
    before, name = tree(path), at("behind.raw")
    with open(name, "wb") as file:
        file.write(content(1) + b"x")
    refused(tool(*region, name, path), 2)
    check(tree(path) == before, "written all the same")


def size_that_is_a_guess():
    if not os.path.exists("/proc/version"):
        return
    path = fresh("guess.zarr")
    good(tool("import", "/proc/version", path, "--dtype", "string"))
    lines = content_of("/proc/version").count(b"\n")
    check(json.loads(content_of(os.path.join(path, "zarr.json")))["shape"] == [lines] and lines > 0, "cut to the size it says it has")


def with_closed(descriptors, *arguments):
    """The tool, started without some of its standard descriptors."""
    return run("/bin/sh", "-c", 'exec "$0" "$@" ' + descriptors, TOOL, *arguments, limit=False)


def closed_descriptors():
    path = fresh("closed.zip")
    good(tool("import", *MOVIE, "-", path, data=content(4)))
    before = content_of(path)
    for descriptors, arguments in (("2>&-", ("resize", path, "5,5")), ("<&-", ("import", "--append", "-", path)),
                                   ("<&-", ("write", "--region", "0:1,0:6,0:8", "-", path)), (">&-", ("export", path, "-")),
                                   ("<&- >&- 2>&-", ("resize", path, "5,5"))):
        result = with_closed(descriptors, *arguments)
        check(result.code in (1, 2) and content_of(path) == before, "%s: %s", descriptors, result.describe())
    source, local = at("closed.bin"), fresh("closed.local")
    with open(source, "wb") as file:
        file.write(content(100))
    result = with_closed("<&- >&-", "mirror", "read", source, local, "--range", "1000:2000")
    check(result.code == 1, "%s", result.describe())
    check(good(tool("mirror", "read", source, local, "--range", "0:3000")).out == content_of(source)[:3000], "other bytes")
    check(with_closed("<&-", "pack", "create", fresh("closed.pack"), "--lines").code == 1, "nothing is no input")


def nothing_that_is_read_is_replaced():
    pack = fresh("read.pack")
    note = at("note.txt")
    with open(note, "wb") as file:
        file.write(b"a note")
    good(tool("pack", "create", pack, "--lines", "--app-data", note, data=b"a\nb\n"))
    before = content_of(pack)
    refused(tool("pack", "cat", pack, "--lines", "--app-data", pack, "--force"), 2)
    check(content_of(pack) == before, "the packfile was replaced")
    path, _ = small("read.zarr")
    before, shard = tree(path), os.path.join(path, "c/0/0/0")
    refused(tool("layout", shard, "--chunks", "8", "--svg", shard, "--force"), 2)
    refused(tool("export", path, os.path.join(path, "zarr.json"), "--force"), 2)
    refused(tool("export", "c/..", "zarr.json", "--force", cwd=path), 2)
    check(tree(path) == before, "a part of the array was replaced")
    good(tool("export", path, fresh("read.raw")))


AS_NOBODY = ["setpriv", "--reuid=65534", "--clear-groups", TOOL]


def powerless(*arguments):
    """The tool, as somebody who may not do everything."""
    return run(*AS_NOBODY, *arguments, limit=False) if os.geteuid() == 0 else tool(*arguments)


def what_may_not_be_seen():
    """What could not be looked at is neither lost, nor of no use, nor something else."""
    path, _ = small("unseen.zarr")
    shard, suffix = os.path.join(path, "c/0/0/0"), ".0123456789abcdef.shardio-tmp"
    if os.geteuid() == 0 and (shutil.which("setpriv") is None or subprocess.run(
            AS_NOBODY + ["info", path], capture_output=True, check=False).returncode != 0):
        print("left out: files that may not be read: nobody but root gets here, or there is no setpriv")
        return
    os.chmod(shard, 0o400)
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o777)
    os.rename(shard, shard + suffix)
    if os.geteuid() != 0:
        os.chmod(shard + suffix, 0)
    result = powerless("recover", "--remove-temporary", "--apply", path)
    check(result.code == 1 and os.path.exists(shard + suffix) and suffix in result.out.decode(), "%s", result.describe())
    os.rename(shard + suffix, shard)
    result = powerless("recover", "--apply", "--json", path)
    object_ = json.loads(result.out.decode())
    check(result.code == 1 and object_["failed"] > 0 and object_["lost"] == 0, "%s", result.describe())
    os.chmod(shard, 0o600)
    pack = fresh("unseen.pack")
    good(tool("pack", "create", pack, "--lines", data=b"a\nb\n"))
    os.chmod(pack, 0o400 if os.geteuid() == 0 else 0)
    for command in ("verify", "info"):
        check("permission denied" in refused(powerless(command, pack)).err, "why?")
    os.chmod(pack, 0o600)


def full_disk():
    if not os.path.exists("/dev/full"):
        print("left out: full disk: no /dev/full")
        return
    path, _ = small("full.zarr")
    refused(tool("export", path, "/dev/full", "--force"))
    with open("/dev/full", "wb") as full:
        process = subprocess.run([TOOL, "export", path, "-"], stdout=full, stderr=subprocess.PIPE)
    check(process.returncode == 1 and process.stderr.count(b"\n") == 1, "standard output full: %d %s", process.returncode,
          process.stderr)


def grows_while_it_is_read():
    """Frames come through a pipe, with a checkpoint after each two: the array reads while it grows."""
    path = fresh("grows.zarr")
    process = subprocess.Popen([TOOL, "import", "--quiet", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--shards",
                                "4,6,8", "--index", "start", "--checkpoint", "2", "-", path], stdin=subprocess.PIPE)
    timer = threading.Timer(common.SECONDS, process.kill)
    timer.start()
    data, seen = content(40), 0
    for frame in range(40):
        process.stdin.write(data[frame * 2 * FRAME:(frame + 1) * 2 * FRAME])
        process.stdin.flush()
        if frame % 4 == 3 and os.path.exists(os.path.join(path, "zarr.json")):
            for _ in range(20):    # an index that is being rewritten is a checksum error: try again
                result = tool("export", path, "-")
                if result.code == 0:
                    break
            check(result.code == 0 and data.startswith(result.out), "while it grows: %s", result.describe())
            seen += 1
    process.stdin.close()
    check(process.wait() == 0, "exit code %d", process.returncode)
    timer.cancel()
    check(export(path) == data, "other data at the end")


def interrupted():
    """Ctrl-C in the middle: no file looks finished that is not."""
    path = fresh("interrupted.zarr")
    process = subprocess.Popen([TOOL, "import", "--shape", "0,6,8", "--dtype", "uint16", "--chunks", "2,3,4", "--shards", "4,6,8", "-",
                                path], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    timer = threading.Timer(common.SECONDS, process.kill)
    timer.start()
    process.stdin.write(content(100))
    process.stdin.flush()
    process.send_signal(2)
    try:
        process.stdin.write(content(2000))
        process.stdin.close()
    except BrokenPipeError:
        pass
    error = process.stderr.read()
    code = process.wait()
    timer.cancel()
    check(code in (0, 1, -2, 130), "exit code %d: %s", code, error)
    if os.path.exists(os.path.join(path, "zarr.json")):
        good(tool("verify", path))
    else:
        check(not os.path.exists(path) or not [f for f in files(path) if not f.endswith("-tmp")], "left behind: %s",
              os.path.exists(path) and files(path))


def main():
    os.makedirs(TMP, exist_ok=True)
    counter = common.Counter()
    for test in (round_trip, regions, raw_file_of_a_fixed_shape, input_that_ends_early, input_shorter_than_the_shape,
                 input_longer_than_the_shape, empty_input, npy_header, append, options_that_change_nothing_in_the_data, skip_fill,
                 codecs, codec_configurations, nested_and_outer, wrong_codecs, without_libraries, raw_bytes, strings,
                 bytes_of_any_length, numbers_as_json, direct_reading, create_and_write, fortran_regions, resize, groups, ls,
                 info_on_groups, attributes, consolidated, verify_groups, remove, names_that_steer_terminals, recover,
                 recover_heads, recover_one_shard, temporary_files, compact, pack_round_trips, pack_codecs, pack_lines,
                 pack_ranges_and_lists, pack_command_lines, pack_input_that_ends_early, pack_reports, pack_is_recognised,
                 pack_damage, pack_wrong_codec, pack_app_data, pack_through_pipes, pack_interrupted, pack_examples,
                 archive_round_trip, archive_codecs, archive_replacing, archive_import_that_fails, archive_killed, archive_changes,
                 archive_cut_off_layers, archive_with_a_broken_chain, archive_emptied, archive_too_large, archive_renaming_interrupted,
                 archive_names, archive_is_no_output,
                 attribute_of_all_arrays, renamed, statistics, archive_compacted, archive_options, archive_layout, archive_of_others,
                 archive_damage, mirror_read, mirror_fill, mirror_info, mirror_evict, mirror_identity, mirror_trouble,
                 mirrored_archive, urls,
                 report, quiet, info, layout, version, verify, nothing_is_overwritten, usage, missing_and_forbidden,
                 input_behind_the_region, size_that_is_a_guess, closed_descriptors, nothing_that_is_read_is_replaced,
                 what_may_not_be_seen, full_disk,
                 grows_while_it_is_read, interrupted):
        counter.test(test.__name__, test)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
