"""Numbers at the edges of what fields hold, and the random numbers from which damaged files are made."""

import random

EDGES = (
    *(0, 1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 1000, 4095, 4096, 0x7FFF, 0x8000, 0xFFFF),
    *(1 << 16, 1 << 20, 1 << 24, 1 << 28, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, 1 << 53),
    *((1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 8, (1 << 64) - 2, (1 << 64) - 1),
)
MARK = "harmed"  # the file that code in a weight file would make
PLACES = (MARK, f"../../{MARK}", f"/{MARK}", f"/tmp/{MARK}")  # where it would be
ORDER = f"touch {MARK}"  # for a shell
CODE = f"__import__('pathlib').Path('{MARK}').touch()"


def generator(kind, number):
    """The same random numbers for a kind and a number every time."""
    return random.Random(f"{kind} {number}")


def edge(rng, size=8, value=0):
    """A number of `size` bytes for a field that holds `value`: at an edge, near that value, or any."""
    near = value + rng.choice((-8, -1, 1, 2, 8))
    return rng.choice((rng.choice(EDGES), rng.choice(EDGES), near, 2 * value, rng.getrandbits(64))) % (1 << 8 * size)


def signed_edge(rng):
    """A positive or negative integer, sometimes of hundreds of bytes."""
    return rng.choice((1, 1, -1)) * rng.choice((edge(rng), edge(rng), 1 << rng.choice((64, 100, 2000))))


def several(rng):
    """How many times to change a file: mostly once, so that what lies behind the change is reached."""
    return rng.choice((1, 1, 1, 2, 3))


def flood(rng):
    """How many parts a flood has: sometimes enough to cost a reader that makes an object of each, mostly few."""
    return rng.choice((1000, 1000, 1000, 1000, 30_000, 30_000, 300_000, 1_000_000))
