"""HDF5 files that the library writes, but that no network needs: cycles, links, bombs, and what lies elsewhere."""

import functools
import io
import struct
import zlib

import h5py
import numpy as np
from fuzz_checksums import without_times
from fuzz_hdf5_seeds import weights

KERNEL = "block1_conv1/block1_conv1_W_1:0"
SECRET = "/etc/hostname"  # a file that no reader of another may open


def written_by(change, **options):
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as hdf5:
        change(hdf5)
    return without_times(file.getvalue())


def edited(rng, change, indices=(0, 3, 6), **options):
    """One of the weight files after a change by the library."""
    file = io.BytesIO(weights(rng.choice(indices)))
    with h5py.File(file, "a", **options) as hdf5:
        change(hdf5)
    return without_times(file.getvalue())


def replaced(rng, *arguments, **options):
    def change(file):
        del file[KERNEL]
        return file.create_dataset(KERNEL, *arguments, **options)

    return edited(rng, change)


def links_by_links(rng):
    """Groups that each lead to the next by twenty names: 20^9 paths to the last."""
    wide, deep = rng.choice(((20, 9), (2, 40), (3, 12), (100, 4)))
    vars_too = rng.random() < 0.5

    def change(file):
        group = file
        for level in range(deep):
            below = (
                file.create_group(f"{'layers' if level else 'model'}/{level}") if level < 1 else group.create_group("0")
            )
            for number in range(1, wide):
                group[str(number)] = below
            group = below
        if vars_too:
            group.create_group("vars")["0"] = np.zeros(3, "f4")

    return written_by(change, libver=rng.choice(("earliest", "latest")))


def cycles(rng):
    """A group that is in itself, at once or further down."""

    def change(file):
        inner = file.create_group("layers/conv2d")
        inner.create_group("vars")["0"] = np.zeros((3, 3, 3, 4), "f4")
        (file if rng.random() < 0.5 else inner)["again"] = rng.choice((file, inner, file["layers"]))

    return written_by(change, libver=rng.choice(("earliest", "latest")))


def nested(rng):
    depth = rng.choice((10, 41, 200, 900))

    def change(file):
        group = file
        for _ in range(depth):
            group = group.create_group("layers")
        group.create_group("vars")["0"] = np.zeros(3, "f4")

    return written_by(change)


def wide(rng):
    return crowded(rng.randrange(4), rng.choice((1000, 12_000)))


@functools.cache
def crowded(how, count):
    """More groups, names or attributes than any network has."""

    def groups(file):
        for number in range(count):
            file.create_group(f"layers/l{number}/vars")

    def names(file):
        file.attrs["layer_names"] = np.array([f"layer {number}" for number in range(count)], object)
        file.create_group("layer 0").attrs["weight_names"] = np.array([f"w{number}" for number in range(count)], object)

    def attributes(file):
        for number in range(count):
            file.attrs[f"labels{number}"] = number

    def parts(file):
        for number in range(count):
            file.attrs[f"layer_names{number}"] = np.array(["a"], object)

    return written_by((groups, names, attributes, parts)[how], libver="latest")


@functools.cache
def zeros(size, times):
    """So many zeros, compressed once or several times."""
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    for _ in range(times - 1):
        data = zlib.compress(data)
    return data


def large_chunks(rng):
    """A chunk of up to 1.2 GB for the few numbers of a kernel."""
    size, times = rng.choice((64, 300, 1200)) << 20, rng.choice((1, 2))

    def change(file):
        del file[KERNEL]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((3, 3, 3, size // 108))
        for _ in range(times):
            plan.set_deflate(9)
        space = h5py.h5s.create_simple((3, 3, 3, 1), (h5py.h5s.UNLIMITED,) * 4)
        dataset = h5py.h5d.create(file.id, KERNEL.encode(), h5py.h5t.IEEE_F32LE, space, plan)
        dataset.write_direct_chunk((0, 0, 0, 0), zeros(size, times))

    return edited(rng, change)


def sparse(rng):
    """Arrays of terabytes without data, with and without a value to fill them."""
    shape = rng.choice(((1 << 20, 1 << 20), (1 << 34,), (3, 3, 3, 1 << 33), (1 << 15, 1 << 13)))
    options = {
        "chunks": rng.choice((True, tuple(min(side, 64) for side in shape))),
        "fillvalue": rng.choice((None, 1.0)),
    }
    return replaced(rng, shape=shape, dtype="f4", **options)


def elsewhere(rng):
    """Arrays and groups that are kept in other files, or nowhere."""

    def storage(file):
        del file[KERNEL]
        size = rng.choice((h5py.h5f.UNLIMITED, 108))
        file.create_dataset(KERNEL, (3, 3, 3, 1), "f4", external=[(SECRET, 0, size)])

    def virtual(file):
        del file[KERNEL]
        layout = h5py.VirtualLayout((3, 3, 3, 1), "f4")
        layout[...] = h5py.VirtualSource(rng.choice((SECRET, ".", "")), "fc1/fc1_W_1:0", (3, 3, 3, 1))
        file.create_virtual_dataset(KERNEL, layout)

    def link(file):
        name = rng.choice((KERNEL, "block1_conv1"))
        del file[name]
        target = rng.choice((SECRET, ".", "\udcff".encode("utf-8", "surrogateescape").decode("latin1")))
        file[name] = rng.choice((h5py.ExternalLink(target, "/"), h5py.SoftLink(name), h5py.SoftLink("/fc1")))

    return edited(rng, rng.choice((storage, virtual, link)))


def large_attributes(rng):
    """Attributes of many bytes, and of many small parts."""
    count = rng.choice((1000, 100_000, 1_000_000))

    def change(file):
        name = rng.choice(("labels", "layer_names", "weight_names", "mean", "model_config", "keras_version"))
        owner = file["block1_conv1"] if name == "weight_names" else file
        owner.attrs.pop(name, None)
        short = np.full(min(count, 100_000), b"", object)
        values = (np.zeros(count, "S1"), short, np.zeros((count, 0), "f4"), np.zeros(count, "f8"))
        owner.attrs.create(
            name,
            *rng.choice([(value,) if value is not short else (value, None, h5py.string_dtype()) for value in values]),
        )

    return edited(rng, change, indices=(3,), libver="latest")


def bad_names(rng):
    """Names that no layer has: of other encodings, with slashes, dots and ends of lines, long."""
    name = rng.choice((b"\xff\xfe", b"..", b".", b"a\nb", b"x" * 60_000, "\u202e".encode(), b"\x1b[2J"))

    def change(file):
        names = np.array([name, b"fc1"], "S" if len(name) < 60_000 else object)
        file.attrs["layer_names"] = np.array([b"fc1", name[:100]], "S")
        h5py.h5g.create(file.id, name) if name not in (b".", b"..") else None
        file["fc1"].attrs["weight_names"] = names[:1].astype("S100")

    return edited(rng, change)


def unknown_filter(rng):
    """A filter that would be loaded from a folder of plugins."""

    def change(file):
        del file[KERNEL]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((3, 3, 3, 1))
        plan.set_deflate(1)
        space = h5py.h5s.create_simple((3, 3, 3, 1))
        h5py.h5d.create(file.id, KERNEL.encode(), h5py.h5t.IEEE_F32LE, space, plan)

    data = bytearray(edited(rng, change))
    place = data.find(struct.pack("<HHHH", 1, 8, 1, 1))
    if place >= 0:
        data[place : place + 2] = struct.pack("<H", rng.choice((4, 5, 6, 307, 32001, 32015, 65535)))
    return bytes(data)


BUILT = (
    *(links_by_links, cycles, nested, wide, large_chunks, sparse, elsewhere, large_attributes, bad_names),
    unknown_filter,
)
