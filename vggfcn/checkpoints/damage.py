"""What is said of a file that is not as it was written."""

import os

from vggfcn.errors import WeightsError


def damaged(path: str | os.PathLike[str], what: str) -> WeightsError:
    """The error to raise: the file, what is wrong with it, and what to do."""
    return WeightsError(f"{path}: {what}; download the file again")
