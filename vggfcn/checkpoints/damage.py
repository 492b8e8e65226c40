"""The error for damaged weight files, worded in one place."""

import os

from vggfcn.errors import WeightsError


def damaged(path: str | os.PathLike[str], problem: str) -> WeightsError:
    """The error to raise for a damaged file: its path, the problem, and what to do about it."""
    return WeightsError(f"{path}: {problem}; download the file again")
