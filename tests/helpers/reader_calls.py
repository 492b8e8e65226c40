"""Readers of weight files called as `read_container` calls them."""

import pathlib

from vggfcn.checkpoints.reading import reading


def read_by(reader, path):
    """What a format's reader makes of a file, within a budget and behind the boundary of all readers."""
    path = pathlib.Path(path)
    with reading(path) as budget:
        return reader(path, budget)
