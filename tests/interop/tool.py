#!/usr/bin/env python3
"""The command-line tool from the outside: what it writes, says and returns. Python's standard library only. A word as
argument: only the tests whose names contain it."""
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import threading

import common
from common import TMP, TOOL, check, good, refused, tool

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
                 ["--sync", "none"], ["--sync", "100"], ["--direct", "off"], ["--skip-fill"], ["--names", "t,,x"], ["--fill", "9"],
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


def version():
    text = good(tool("--version")).out.decode()
    check("shardio" in text and "crc32c" in text and "uint16" in text, "version: %s", text)
    good(tool("--help"))
    for command in ("import", "export", "info", "verify", "layout"):
        check(b"--" in good(tool(command, "--help")).out, "%s --help", command)


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
                 report, quiet, info, layout, version, verify, nothing_is_overwritten, usage, missing_and_forbidden, full_disk,
                 grows_while_it_is_read, interrupted):
        counter.test(test.__name__, test)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
