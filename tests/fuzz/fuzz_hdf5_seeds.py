"""Sound HDF5 weight files and Keras models in every layout of HDF5: their bytes, by what they are."""

import functools
import io

import h5py
import numpy as np
from fuzz_checksums import without_times
from fuzz_sound import MODELS, members_of, saved, written

# How datasets are laid out.
_LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": True, "maxshape": True},
    "compressed": {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
    "LZF": {"chunks": True, "compression": "lzf"},
}
_FILES = {
    "earliest": {"libver": "earliest"},
    "latest": {"libver": "latest"},
    "1.8, in order": {"libver": ("v108", "v108"), "track_order": True},
    "in pages": {"libver": "latest", "fs_strategy": "page", "fs_page_size": 512},
}
_VGG = ("published", "Keras 1", "own .weights.h5")


def copied(data, decorate=lambda file: None, layout="contiguous", **options):
    """HDF5 data written once more, with another library's version and layout."""
    file = io.BytesIO()
    with h5py.File(io.BytesIO(data), "r") as source, h5py.File(file, "w", **options) as target:
        _copy(source, target, _LAYOUTS[layout])
        decorate(target)
    return without_times(file.getvalue())


def _copy(source, target, layout):
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name), layout)
        else:
            options = dict(layout) if item.shape else {}
            if options.get("maxshape"):
                options["maxshape"] = (None,) * item.ndim
            target.create_dataset(name, data=item[()], **options).attrs.update(item.attrs)


def texts(file):
    """Class names and layers' names as texts of any length, in global heaps."""
    file.attrs["labels"] = np.array([f"class {number}" for number in range(7)], object)
    if "layer_names" in file.attrs:
        file.attrs["layer_names"] = file.attrs["layer_names"].astype(object)
    for group in file.values():
        if "weight_names" in group.attrs and len(group.attrs["weight_names"]):
            group.attrs["weight_names"] = group.attrs["weight_names"].astype(object)


def many_attributes(file):
    """So many that newer files keep them in a fractal heap."""
    for number in range(20):
        file.attrs[f"attribute {number}"] = np.arange(number + 1)
    file.attrs["labels"] = [f"class {number}" for number in range(7)]


def many_links(file):
    for number in range(40):
        file.create_group(f"layer_{number + 50}" if "layer_names" in file.attrs else f"group {number}")


def odd_attributes(file):
    """Attributes of every type where texts and numbers are expected."""
    for name, value in zip(("labels", "mean", "std", "color_order", "keras_version"), odd_values(file), strict=False):
        file.attrs.pop(name, None)
        file.attrs.create(name, *value[:1], **value[1])


def odd_values(file):
    """(value, options) for attributes and datasets."""
    nested = np.empty(2, object)
    nested[:] = [np.arange(3.0), np.arange(2.0)]
    pairs = np.zeros(3, [("a", "f4"), ("b", [("c", "S5"), ("d", "i8", (2, 2))])])
    return [
        (nested, {"dtype": h5py.vlen_dtype("f8")}),
        (pairs, {}),
        (np.arange(3), {"dtype": h5py.enum_dtype({"a": 0, "b": 1, "c": 2}, "i4")}),
        (np.array([b"x", b"yz"], "V5"), {}),
        (np.array([file.ref], h5py.ref_dtype), {"dtype": h5py.ref_dtype}),
        (np.zeros((2, 3), "f4"), {"dtype": np.dtype(("f4", (3,))), "shape": (2,)}),
        (h5py.Empty("f4"), {}),
    ]


def odd_datasets(file):
    """A weight of every type, among the others."""
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name, (value, options) in zip(names, odd_values(file), strict=False):
        del file[name]
        file.create_dataset(
            name,
            data=value,
            **{key: each for key, each in options.items() if key == "dtype" and "shape" not in options},
        )


DECORATIONS = (lambda file: None, texts, many_attributes, many_links, odd_attributes, odd_datasets)


@functools.lru_cache(512)
def weights(index):
    """One of the weight files: a network in a layout of HDF5, of Keras, with something unusual."""
    source = written(_VGG[index % 3])
    options = list(_FILES.values())[index // 3 % 4]
    decorate = DECORATIONS[index // 12 % 6]
    return copied(source, decorate, list(_LAYOUTS)[index // 72 % 4], **options)


@functools.lru_cache(512)
def model(index):
    """A model that Keras saved, as `.h5` or the weights of a `.keras`; rewritten three times in four."""
    data = hdf5_of(*MODELS[index % len(MODELS)])
    how = index // len(MODELS) % 4
    if not how:
        return data
    return copied(data, DECORATIONS[how + 1 if how < 3 else 1], list(_LAYOUTS)[how], **list(_FILES.values())[how])


def hdf5_of(version, name):
    data = saved(version, name)
    if name.endswith(".h5"):
        return data
    return next(member.data for member in members_of(data) if member.name == "model.weights.h5")
