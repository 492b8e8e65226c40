"""Hostile HDF5: fields of sound files set to other values."""

from fuzz_checksums import repair, spans
from fuzz_hdf5_built import BUILT
from fuzz_hdf5_fields import structures
from fuzz_hdf5_seeds import model, weights
from fuzz_sound import MODELS, keras_file, members_of
from fuzz_values import edge, several
from fuzz_zips import DEFLATED, STORED, archive_of


def weight_fields(rng):
    return changed(rng, weights(rng.randrange(288)))


def model_fields(rng):
    return changed(rng, model(rng.randrange(4 * len(MODELS))))


def archived_fields(rng):
    """A `.keras` with changed weights."""
    members = members_of(keras_file(rng, ".keras"))
    for member in members:
        if member.name == "model.weights.h5":
            member.data = changed(rng, member.data)
            member.method = rng.choice((STORED, DEFLATED))
    return archive_of(members)


def changed(rng, data):
    """A sound file with some fields changed; half of the time its checksums are right again."""
    found, new = structures(data), bytearray(data)
    kinds = sorted({field.structure for field in found.fields})
    for _ in range(several(rng)):
        kind = rng.choice(kinds)
        field = rng.choice([field for field in found.fields if field.structure == kind])
        old = int.from_bytes(new[field.at : field.at + field.size], "little")
        if field.size == 8 and rng.random() < 0.3:
            value = rng.choice(found.places)  # Another structure, or the same: a cycle.
        elif field.size == 1 and rng.random() < 0.5:
            value = old ^ 1 << rng.randrange(8)
        else:
            value = edge(rng, field.size, old)
        new[field.at : field.at + field.size] = value.to_bytes(field.size, "little")
    if rng.random() < 0.5:
        repair(new, spans(data))
    return bytes(new)


def built(rng):
    """A file that is sound for the library, at first; some of its fields may be changed, too."""
    data = rng.choice(BUILT)(rng)
    return changed(rng, data) if rng.random() < 0.3 and len(data) < 200_000 else data
