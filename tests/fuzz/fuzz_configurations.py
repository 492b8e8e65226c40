"""Hostile configurations of Keras models: sound ones changed as trees of JSON, and attacks; in `.keras` and `.h5`."""

import io
import json

import h5py
from fuzz_sound import keras_file, members_of
from fuzz_trees import CALLS, changed
from fuzz_values import flood
from fuzz_zips import DEFLATED, STORED, archive_of
from raw_configs import functional, image_input, layer, of_keras_3, sequential


def deep(rng):
    depth = rng.choice((30, 45, 300, 900, 5000, 100_000))
    if depth > 1000:
        return rng.choice(("[", '{"config":', '{"a":[')) * depth
    start, end = text(sequential({"class_name": "Sequential", "config": "inside"})).split(text("inside"))
    return start * depth + text({"name": "last", "layers": []}) + end * depth


def wide(rng):
    """Many layers, many inputs, many values, up to 20 MB."""
    count = min(flood(rng), 100_000)
    many = [layer("ReLU", f"r{number}", f"r{number - 1}" if number else "image") for number in range(count // 10)]
    values = {
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [rng.choice(([], {}, 1, "", None))] * (20 * count // 2)},
    }
    inputs = functional(image_input(), layer("Add", "add", *["image"] * count))
    twice = functional(image_input(), *[layer("ReLU", "same", "image") for _ in range(count // 10)])
    keys = {f"k{number}": number for number in range(count)}
    named = {"class_name": "x" * 10 * count, "config": {"name": "y" * 10 * count, "layers": []}}
    return text(rng.choice((functional(image_input(), *many), values, inputs, twice, keys, named)))


def doubled(rng):
    """Each layer adds the one before it to itself: 2^n paths to the input."""
    adds = [
        layer("Add", f"a{number}", *[f"a{number - 1}" if number else "image"] * 2)
        for number in range(rng.choice((30, 60, 500)))
    ]
    return text(functional(image_input(), *adds))


def circle(rng):
    parts = [layer("ReLU", name, source) for name, source in zip("abc", rng.sample("abcabc", 3), strict=True)]
    parts.append(layer("Add", "end", "a", rng.choice("abc")))
    return text(functional(image_input(), *parts, outputs=[rng.choice(("a", "end", "nowhere"))]))


def large(rng):
    """A network that is too large for any machine."""
    size = rng.choice((1 << 20, 1 << 31, 1 << 62, 10**30))
    kinds = (
        layer("Dense", "d", "image", units=size),
        layer("Conv2D", "d", "image", filters=3, kernel_size=[size, size]),
        layer("ZeroPadding2D", "d", "image", padding=[[size, size], [1, 1]]),
        layer("UpSampling2D", "d", "image", size=[size, size]),
        layer("Resizing", "d", "image", height=size, width=size),
        layer("Reshape", "d", "image", target_shape=[size, 8, 24]),
        layer("RepeatVector", "d", "image", n=size),
        layer("Embedding", "d", "image", input_dim=size, output_dim=size),
    )
    return text(functional(image_input(shape=(None, rng.choice((8, size)), 8, 3)), rng.choice(kinds)))


_BROKEN = (
    *('{"class_name": NaN}', "", "null", "[1,", "1" * 6000, '"\\ud800"', '{"a":1,"a":2}', "\ufeff{}", "{}" * 3, "\0"),
    *("-Infinity", '{"class_name": "Sequential", "config": ' + "9" * 5000 + "}"),
)


def broken(rng):
    """No JSON at all, or JSON that Python reads and others do not."""
    return rng.choice(_BROKEN)


def text(tree):
    return json.dumps(tree)


ATTACKS = (deep, wide, doubled, circle, large, broken)


def configuration_of(rng, sound):
    """A configuration instead of a sound one."""
    if rng.random() < 0.7:
        return text(changed(rng, sound))
    if rng.random() < 0.3:
        kinds = of_keras_3("Sequential", name="s", layers=[dict(call) for call in rng.sample(CALLS, 2)])
        return text(kinds)
    return rng.choice(ATTACKS)(rng)


def archive(rng):
    members = members_of(keras_file(rng, ".keras"))
    target = "metadata.json" if rng.random() < 0.05 else "config.json"
    for member in members:
        if member.name == target:
            member.data = configuration_of(rng, json.loads(member.data)).encode("utf-8", "surrogatepass")
            member.method = rng.choice((STORED, DEFLATED))
    return archive_of(members)


def hdf5(rng):
    data = io.BytesIO(keras_file(rng, ".h5"))
    with h5py.File(data, "a") as file:
        name = "training_config" if rng.random() < 0.05 and "training_config" in file.attrs else "model_config"
        new = configuration_of(rng, json.loads(file.attrs[name])).replace("\0", " ")
        file.attrs[name] = new.encode("utf-8", "replace").decode()
    return data.getvalue()
