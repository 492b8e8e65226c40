"""Download a large file: write a temporary file, check its hash, then move it into place."""

import os
import pathlib
import sys

import pooch

from vggfcn.errors import WeightsError, one_line
from vggfcn.files import check_room, digest
from vggfcn.progress import Progress

MIRRORS = "VGGFCN_MIRROR"  # addresses of folders with the same files, separated by spaces, tried first
TIMEOUT = 30.0  # seconds to wait for the next byte
BLOCK = 1 << 20


def retrieve(
    file: str, url: str, known_hash: str, size: int, folder: pathlib.Path, progress: Progress | None = None
) -> pathlib.Path:
    """Download a file into a folder, unless it is already there, and return its path.

    A failed download leaves nothing behind. Two processes may download the same file at the same time.

    - `file`: the name of the file, in the folder and on mirrors.
    - `url`: its address, tried after the mirrors.
    - `known_hash`: "md5:..." or "sha256:...", or only the first digits of the hash.
    - `size`: in bytes, 0 if unknown.
    - `folder`: where the file goes.
    - `progress`: called with the bytes done and the bytes in all. Without it, a terminal shows a bar.

    Raises `WeightsError` if no address gives a file with that hash.
    """
    failures = []
    for address in [*(f"{mirror.rstrip('/')}/{file}" for mirror in os.environ.get(MIRRORS, "").split()), url]:
        try:
            check_room(folder, size)
            pooch.get_logger().setLevel("WARNING")
            return pathlib.Path(
                pooch.retrieve(address, None, fname=file, path=folder, downloader=_Verified(known_hash, progress))
            )
        except (OSError, ValueError) as error:
            failures.append(f"{address} ({one_line(error, 300)})")
    raise WeightsError(f"could not be downloaded from {' nor from '.join(failures)}")


class _Verified:
    """pooch's downloader with a check of the hash's first digits; pooch itself compares whole hashes only."""

    def __init__(self, known_hash: str, progress: Progress | None):
        self.algorithm, _, self.digits = known_hash.partition(":")
        bar = _Bar(progress) if progress else sys.stderr.isatty()
        self.download = pooch.HTTPDownloader(progressbar=bar, chunk_size=BLOCK, timeout=TIMEOUT)

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        self.download(url, output_file, pooch)
        actual = digest(pathlib.Path(output_file), self.algorithm)
        if not actual.startswith(self.digits):
            raise ValueError(f"expected the {self.algorithm} hash {self.digits}, got {actual}; the file was deleted")


class _Bar:
    """A progress bar, as pooch expects one, that calls a function."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.total = 0
        self.done = 0

    def update(self, count: int) -> None:
        self.done += count
        self.progress(self.done, self.total)

    def reset(self) -> None:
        """Start again: pooch fills the bar once more at the end, in case the server did not state the size."""
        self.done = 0

    def close(self) -> None:
        """Nothing to do."""
