"""Bytes of a sound file overwritten, inserted, deleted and copied, whatever they mean; or the file cut short."""

from fuzz_values import several

_MARKED = (b"\x00", b"\xff", b"\x80", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 8, b".", b"(")


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(several(rng)):
        rng.choice((_overwrite, _overwrite, _overwrite, _insert, _delete, _cut, _copy))(
            rng, data, rng.randrange(len(data) + 1)
        )
    return bytes(data)


def _some(rng):
    return rng.choice((rng.choice(_MARKED), rng.randbytes(rng.randint(1, 8))))


def _overwrite(rng, data, place):
    new = _some(rng)
    data[place : place + len(new)] = new


def _insert(rng, data, place):
    data[place:place] = _some(rng)


def _delete(rng, data, place):
    del data[place : place + rng.randint(1, 64)]


def _cut(rng, data, place):
    del data[place:]


def _copy(rng, data, place):
    source = rng.randrange(len(data) + 1)
    data[place : place + 32] = data[source : source + 32]
