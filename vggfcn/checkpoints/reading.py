"""The boundary around every reader: a budget goes in, and nothing but `WeightsError` comes out."""

import contextlib
import pathlib
from collections.abc import Iterator

from vggfcn.checkpoints.budget import Budget
from vggfcn.checkpoints.damage import damaged
from vggfcn.errors import WeightsError, one_line
from vggfcn.files import open_regular


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[Budget]:
    """The budget for reading the file at `path`; any error of the block becomes a `WeightsError` with its cause.

    Raises `WeightsError` at once if there is no file, or something else than a file, such as a folder or a pipe.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
        yield Budget(path, size)
    except WeightsError:
        raise
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such weight file") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({one_line(error.strerror or error, 200)})") from error
    except MemoryError as error:
        raise WeightsError(f"{path}: there is not enough memory to read it") from error
    except Exception as error:  # A damaged file can make a reader, or a library, raise anything.
        raise damaged(
            path, f"damaged, or not what it seems ({type(error).__name__}: {one_line(error, 200)})"
        ) from error
