#!/usr/bin/env python3
"""Groups, attributes and consolidated metadata: what we write, zarr-python reads, and the other way round; arrays whose
attributes we changed are still arrays to tensorstore and zarrs. Random hierarchies.

    tests/interop/nodes.py [WORD]     WORD: only the tests whose names contain it
    SEED=7 CASES=100                  other random hierarchies, more of them; a failure prints its seed and number
"""
import os
import sys

import common
from common import BUILD, DRIVER, ROOT, TMP, Job, check, drive, enter_environment, good, run

enter_environment()

import json  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import warnings  # noqa: E402

import numpy as np  # noqa: E402
import tensorstore as ts  # noqa: E402
import zarr  # noqa: E402

warnings.simplefilter("ignore")
SEED = int(os.environ.get("SEED") or 3)
CASES = int(os.environ.get("CASES") or 10)
NODES = os.path.join(BUILD, "interop", "nodes_driver")
NAMES = ["a", "b", "b-", "b.c", "c", "0", "10", "2", "with space", "\u00fc\u4e2d", "quote\"", "A", "c.0", "zarr"]
VALUES = [None, True, False, 0, -1, 2**53, 0.1, -2.5e-300, 1.0, "", "text", "\u00e9\n\"\\\u2028\U0001f600\x7f", [], {}, [1, [2.5, None]],
          {"k": {"l": ["m"]}, "": 0}]
ZARRS = "zarrs.ZarrsCodecPipeline"


def ours(*arguments):
    return good(run(NODES, *arguments))


class Hierarchy:
    """A random one: {path: None for a group, elements for an array}, and attributes by path."""

    def __init__(self, seed, number):
        r = self.random = random.Random("%d/%d" % (seed, number))
        self.store = os.path.join(TMP, "nodes-%d-%d.zarr" % (seed, number))
        shutil.rmtree(self.store, ignore_errors=True)
        self.nodes, groups = {"": None}, [""]
        for _ in range(r.choice([0, 1, 5, 30])):
            parent = r.choice(groups)
            path = (parent + "/" if parent else "") + r.choice(NAMES)
            if path in self.nodes:
                continue
            array = r.random() < 0.4
            self.nodes[path] = np.arange(r.randint(1, 20), dtype=r.choice(["uint8", "<i4", "<f8"])) if array else None
            if not array:
                groups.append(path)
        self.attributes = {path: self.some_attributes() for path in self.nodes}

    def some_attributes(self):
        r = self.random
        return {r.choice(NAMES + ["unit", "\u00e9\""]): r.choice(VALUES) for _ in range(r.choice([0, 0, 1, 4]))}

    def order(self):
        """Paths in the order of a walk: name by name, as bytes."""
        return sorted(self.nodes, key=lambda path: [name.encode() for name in path.split("/")] if path else [])

    def remove(self, path):
        for other in list(self.nodes):
            if other == path or other.startswith(path + "/"):
                del self.nodes[other], self.attributes[other]


def check_walk(h, path, *consolidated):
    """Our walk finds exactly this hierarchy."""
    found = json.loads(ours("walk", h.store, path, *consolidated).out.decode("utf-8"))
    wanted = [p for p in h.order() if not path or p == path or p.startswith(path + "/")]
    check([n["path"] for n in found] == wanted, "walk: %s, not %s", [n["path"] for n in found], wanted)
    for node in found:
        kind = "group" if h.nodes[node["path"]] is None else "array"
        check(node.get("kind") == kind, "%r is no %s", node, kind)
        check(same(node.get("attributes", {}), h.attributes[node["path"]]), "attributes of %r: %s, not %s", node["path"],
              node.get("attributes"), h.attributes[node["path"]])


def same(a, b):
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def check_zarr(h, group, how):
    """zarr-python finds exactly this hierarchy from an opened group."""
    found = {"": group, **{name: node for name, node in group.members(max_depth=None)}}
    check(set(found) == set(h.nodes), "%s: %s, not %s", how, sorted(found), sorted(h.nodes))
    for path, node in found.items():
        check(isinstance(node, zarr.Array) == (h.nodes[path] is not None), "%s: %r is %s", how, path, node)
        check(same(dict(node.attrs), h.attributes[path]), "%s: attributes of %r: %s, not %s", how, path, dict(node.attrs),
              h.attributes[path])
        if h.nodes[path] is not None:
            check(node[...].tobytes() == h.nodes[path].tobytes(), "%s: elements of %r", how, path)


def check_arrays(h):
    """tensorstore and zarrs read every array."""
    for path, data in h.nodes.items():
        if data is None:
            continue
        array = os.path.join(h.store, path)
        got = ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": array}}, open=True).result().read().result()
        check(got.tobytes() == data.tobytes(), "tensorstore: elements of %r", path)
        with zarr.config.set({"codec_pipeline.path": ZARRS}):
            check(zarr.open_array(array, mode="r")[...].tobytes() == data.tobytes(), "zarrs: elements of %r", path)


def check_all(h):
    check_walk(h, "")
    check_zarr(h, zarr.open_group(h.store, mode="r", use_consolidated=False), "zarr-python")


def change(h):
    """Attributes that we change, here and there, in files of whoever wrote them."""
    r = h.random
    for path in h.nodes:
        for _ in range(r.choice([0, 0, 1, 3])):
            name, value = r.choice(NAMES), r.choice(VALUES)
            if r.random() < 0.7:
                ours("set", h.store, path, name, json.dumps(value, ensure_ascii=r.random() < 0.5))
                h.attributes[path][name] = value
            elif name in h.attributes[path]:
                ours("unset", h.store, path, name)
                del h.attributes[path][name]
            else:
                check(run(NODES, "unset", h.store, path, name).code == 1, "took out what is not there")
        if r.random() < 0.1:
            h.attributes[path] = h.some_attributes()
            ours("attributes", h.store, path, json.dumps(h.attributes[path], indent=r.choice([None, 1])))


def theirs(number):
    h = Hierarchy(SEED, number)
    for path in h.order():
        if h.nodes[path] is None:
            zarr.create_group(h.store, path=path, zarr_format=3, attributes=h.attributes[path], overwrite=False)
        else:
            zarr.create_array(h.store, name=path, data=h.nodes[path], chunks=(7,), shards=(14,) if number % 2 else None,
                              compressors=None, attributes=h.attributes[path])
    check_walk(h, "")
    zarr.consolidate_metadata(h.store)
    check_walk(h, "")
    check_walk(h, "", "consolidated")
    for path in h.order()[1:4]:
        check_walk(h, path)
    change(h)
    check_all(h)
    check_arrays(h)
    ours("unconsolidate", h.store, "")
    check(zarr.open_group(h.store, mode="r").metadata.consolidated_metadata is None, "consolidated metadata is still there")
    check_all(h)
    shutil.rmtree(h.store)


def we_write(h):
    """Deepest first or last: missing groups on the way are made, and get their attributes later."""
    paths = h.order()
    h.random.shuffle(paths)
    for path in paths:
        data = h.nodes[path]
        text = json.dumps(h.attributes[path])
        if data is not None:
            keys = dict([("path", path)] * bool(path) + [("shard", 12)] * h.random.choice([0, 1]))
            drive(DRIVER, [Job("create", h.store, data=data.tobytes(), dtype=data.dtype.name, shape=0, chunk=4, durable=0,
                               attributes=text, **keys)])[0].good()
        elif run(NODES, "group", h.store, path, text).code != 0:
            ours("attributes", h.store, path, text)


def ours_to_theirs(number):
    h = Hierarchy(SEED + 1000, number)
    we_write(h)
    check_all(h)
    change(h)
    check_all(h)
    ours("consolidate", h.store, "")
    check_walk(h, "", "consolidated")
    check_zarr(h, zarr.open_consolidated(h.store, zarr_format=3), "zarr-python, consolidated by us")
    # nothing is left to be looked up in the store: what is below is known, and known to be all
    group = zarr.open_consolidated(h.store, zarr_format=3)
    for path, node in group.members(max_depth=None):
        if isinstance(node, zarr.Group):
            check(node.metadata.consolidated_metadata is not None, "%r says nothing of what is below", path)
    check_all(h)
    check_arrays(h)
    # again by zarr-python: the same to both
    zarr.consolidate_metadata(h.store)
    check_walk(h, "", "consolidated")
    shutil.rmtree(h.store)


def below(number):
    """Consolidated metadata of a group inside, and of that around it."""
    h = Hierarchy(SEED + 2000, number)
    we_write(h)
    groups = [path for path in h.nodes if path and h.nodes[path] is None]
    for path in h.random.sample(groups, min(3, len(groups))):
        ours("consolidate", h.store, path)
        check_walk(h, path, "consolidated")
        part = zarr.open_consolidated(h.store, path=path, zarr_format=3)
        wanted = {p[len(path) + 1:] for p in h.nodes if p.startswith(path + "/")}
        check({name for name, _ in part.members(max_depth=None)} == wanted, "members of %r", path)
    ours("consolidate", h.store, "")
    check_walk(h, "", "consolidated")
    check_zarr(h, zarr.open_consolidated(h.store, zarr_format=3), "around")
    shutil.rmtree(h.store)


def removal(number):
    h = Hierarchy(SEED + 3000, number)
    we_write(h)
    while len(h.nodes) > 1:
        path = h.random.choice([p for p in h.nodes if p])
        ours("remove", h.store, path)
        h.remove(path)
        check(not os.path.exists(os.path.join(h.store, path)), "%r is still there", path)
        if len(h.nodes) % 4 == 1:
            check_all(h)
    ours("remove", h.store, "")
    check(not os.path.exists(h.store), "the store is still there")


def golden_groups(folder):
    """Groups that are damaged or odd."""
    with open(os.path.join(folder, "manifest.json")) as file:
        cases = [case for case in json.load(file)["cases"] if case["op"] == "open-group"]
    check(len(cases) >= 6, "%d cases", len(cases))
    for case in cases:
        result = run(NODES, "walk", os.path.join(folder, case["id"]), "", "consolidated")
        check(result.code == 0, "%s", result.describe())
        nodes = json.loads(result.out.decode("utf-8"))
        check(len(nodes) == 1 and case["expect"] in ("either", "error" if "fault" in nodes[0] else "value"), "%s: %s",
              case["id"], nodes)


def main():
    os.makedirs(TMP, exist_ok=True)
    counter = common.Counter()
    for number in range(CASES):
        counter.test("theirs %d" % number, theirs, number)
        counter.test("ours %d" % number, ours_to_theirs, number)
        counter.test("below %d" % number, below, number)
        counter.test("removal %d" % number, removal, number)
    for folder in (os.path.join(ROOT, "tests", "data"), os.path.join(os.path.dirname(ROOT), "shared", "golden")):
        folder = os.path.join(folder, "zarr-malformed")
        if os.path.exists(folder):
            counter.test("golden groups", golden_groups, folder)
    return counter.end()


if __name__ == "__main__":
    sys.exit(main())
