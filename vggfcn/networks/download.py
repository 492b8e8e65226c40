"""Large files from the network: into a temporary file, verified, then moved into place."""

import os
import pathlib
import sys

import pooch

from vggfcn.errors import WeightsError, one_line
from vggfcn.files import check_room, digest
from vggfcn.progress import Progress

MIRRORS = "VGGFCN_MIRROR"  # addresses of folders with the same files, separated by spaces, asked before the origin
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 1 << 20


def retrieve(
    file: str, url: str, known_hash: str, size: int, folder: pathlib.Path, progress: Progress | None = None
) -> pathlib.Path:
    """Download a file into a folder unless it is there, and give its path.

    `known_hash` is "md5:..." or "sha256:...", the beginning of which is enough; `size` is in bytes, 0 if unknown. A
    download that fails leaves nothing behind; of two that run at once, both succeed. `progress` is told how many bytes
    of how many are there; without, a terminal shows a bar.

    Raises `WeightsError` if no address gives the right file.
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
    """pooch's downloader, with a check that a hash begins as it should: pooch itself compares whole ones only."""

    def __init__(self, known_hash: str, progress: Progress | None):
        self.algorithm, _, self.digits = known_hash.partition(":")
        bar = _Bar(progress) if progress else sys.stderr.isatty()
        self.download = pooch.HTTPDownloader(progressbar=bar, chunk_size=BLOCK, timeout=TIMEOUT)

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        self.download(url, output_file, pooch)
        found = digest(pathlib.Path(output_file), self.algorithm)
        if not found.startswith(self.digits):
            raise ValueError(f"the {self.algorithm} hash is {found}, expected {self.digits}; what came was deleted")


class _Bar:
    """What pooch takes for a progress bar."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.total = 0
        self.done = 0

    def update(self, count: int) -> None:
        self.done += count
        self.progress(self.done, self.total)

    def reset(self) -> None:
        """pooch fills the bar at the end, in case the server had not said how much it would be."""
        self.done = 0

    def close(self) -> None:
        """There is nothing to close."""
