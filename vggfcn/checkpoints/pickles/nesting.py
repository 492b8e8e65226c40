"""How deep the containers of a pickle are nested: no deeper than any network's, and none in itself.

Hashing, comparing or printing what is nested a million deep would overflow the stack and end the process.
"""

from collections.abc import Iterable

MAX_DEPTH = 50


class Nesting:
    """The containers of one pickle. It keeps them alive, so that no other object can get the identity of one."""

    def __init__(self) -> None:
        self._depths: dict[int, tuple[object, int]] = {}
        self._inside: set[int] = set()

    def put(self, parts: Iterable[object], whole: object) -> None:
        """Note that `parts` are put into `whole`; raises `ValueError` if that nests too deep.

        A container that is in another one can no longer change: its depth would be wrong, and it could be in itself.
        `pickle` fills each before it puts it anywhere, but for containers in themselves.
        """
        if id(whole) in self._inside:
            raise ValueError("a container changes after it was put into another")
        _, depth = self._depths.get(id(whole), (None, 1))
        for part in parts:
            if id(part) in self._depths:
                self._inside.add(id(part))
                depth = max(depth, 1 + self._depths[id(part)][1])
        if depth > MAX_DEPTH:
            raise ValueError(f"nested over {MAX_DEPTH} levels deep")
        if id(whole) in self._inside:
            raise ValueError("a container is put into itself")
        self._depths[id(whole)] = whole, depth

    def __contains__(self, value: object) -> bool:
        return id(value) in self._depths
