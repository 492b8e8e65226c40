"""Trees of JSON with some values changed: of other types, sizes and names, orders to run code, cycles of layers."""

import copy
import functools

from fuzz_values import CODE, MARK, ORDER, several, signed_edge

CALLS = (
    {"module": "os", "class_name": "system", "config": ORDER, "registered_name": None},
    {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
    {"module": "builtins", "class_name": "eval", "config": {"source": CODE}, "registered_name": None},
    {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None, "closure": None}},
    {"class_name": "__typespec__", "spec_name": "os.system", "module": "os", "config": ORDER},
    {"class_name": "TFOpLambda", "config": {"name": "x", "function": "os.system"}, "inbound_nodes": []},
    {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "l", "function": ["4wEAAA==", None, None]}},
    {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"name": "t", "filepath": "/elsewhere/model"}},
    {"module": "keras.saving", "class_name": "load_model", "config": {"filepath": "http://localhost:1/m.keras"}},
    {"module": "keras.utils", "class_name": "get_file", "config": {"fname": MARK, "origin": "file:///etc/hostname"}},
)
_NAMES = (
    *("Lambda", "Dense", "Sequential", "Functional", "MyLayer", "os.system", "__class__", "", "Conv2D", "a/b"),
    *("\u202e", "x" * 9000),
)
_MODULES = ("os", "builtins", "subprocess", "keras.layers", "keras.src.utils.file_utils", "tensorflow", "my.module", "")


def odd(rng):
    """A value of any type."""
    number = signed_edge(rng)
    numbers = (number, float(number % 1000), 0, -1, 1e308, float("nan"), float("-inf"), [number] * 3)
    others = (None, True, "", "same", [], {}, [[]], ["a"], {"class_name": rng.choice(_NAMES), "config": {}})
    return rng.choice(
        (rng.choice(numbers), rng.choice(others), rng.choice(_NAMES), copy.deepcopy(rng.choice(CALLS)), deep(rng))
    )


def deep(rng):
    """Lists and objects in each other."""
    kinds = rng.choices((0, 1), k=rng.choice((3, 60, 300)))
    return functools.reduce(lambda inner, kind: {"config": inner} if kind else [inner], kinds, 1)


def places(tree, depth=0):
    """(container, key) of every value in a tree of JSON."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield tree, key
        if depth < 60:
            yield from places(value, depth + 1)


def changed(rng, tree):
    """A configuration with some of its values changed."""
    tree = copy.deepcopy(tree)
    for _ in range(several(rng)):
        found = list(places(tree))
        if not found:
            break
        rng.choice((_value, _value, _size, _size, _swap, _remove, _repeat, _rename, _call, _key, _cycle))(rng, found)
    return tree


def _value(rng, found):
    tree, key = rng.choice(found)
    tree[key] = odd(rng)


def _size(rng, found):
    """A number of units, a shape, a kernel's size, a rate: as large as it can be."""
    numbers = [(tree, key) for tree, key in found if type(tree[key]) in (int, float)]
    if numbers:
        tree, key = rng.choice(numbers)
        tree[key] = rng.choice((signed_edge(rng), 0, -1, 2**31, 65536, 1e300, float("nan"), True, "3", None))


def _swap(rng, found):
    (one, key), (other, name) = rng.choice(found), rng.choice(found)
    one[key], other[name] = copy.deepcopy(other[name]), copy.deepcopy(one[key])


def _remove(rng, found):
    tree, key = rng.choice(found)
    del tree[key]


def _repeat(rng, found):
    lists = [tree[key] for tree, key in found if isinstance(tree[key], list) and tree[key]]
    if lists:
        target = rng.choice(lists)
        target += [copy.deepcopy(rng.choice(target)) for _ in range(rng.choice((1, 1, 3, 300)))]


def _rename(rng, found):
    """A layer's name or class, or a module: another, or that of another layer."""
    named = [(tree, key) for tree, key in found if key in ("name", "class_name", "module", "registered_name")]
    if named:
        tree, key = rng.choice(named)
        tree[key] = rng.choice((rng.choice(_NAMES), rng.choice(_MODULES), rng.choice(named)[0].get("name")))


def _call(rng, found):
    layers = [tree for tree, key in found if key == "class_name"]
    if layers:
        target = rng.choice(layers)
        target |= {key: value for key, value in rng.choice(CALLS).items() if key != "config" or rng.random() < 0.5}


def _key(rng, found):
    """A key that Keras or Python may take for something else."""
    tree, _ = rng.choice(found)
    if isinstance(tree, dict):
        tree[
            rng.choice(
                ("__class__", "fn", "function", "build_config", "shared_object_id", "batch_input_shape", "dtype")
            )
        ] = odd(rng)


def _cycle(rng, found):
    """A layer called on one that is called on it, or on one that does not exist."""
    names = [tree["name"] for tree, key in found if key == "name" and isinstance(tree["name"], str)]
    sources = [(tree, key) for tree, key in found if isinstance(tree, list) and key == 0 and tree[0] in names]
    if sources:
        tree, key = rng.choice(sources)
        tree[key] = rng.choice([*names, "nowhere", 7])
