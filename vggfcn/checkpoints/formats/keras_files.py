"""Keras model files: recognised, and what `vggfcn convert` adds to them: a member of the archive that Keras ignores."""

import dataclasses
import json
import pathlib
import zipfile
from typing import Any

from vggfcn.checkpoints import zip_members
from vggfcn.checkpoints.damage import damaged
from vggfcn.checkpoints.formats.keras_hdf5 import ARCHIVED_CONFIG, SIGNATURE
from vggfcn.checkpoints.hdf5 import tree
from vggfcn.checkpoints.json_text import parse
from vggfcn.checkpoints.preprocessing import Preprocessing
from vggfcn.checkpoints.reading import reading
from vggfcn.errors import WeightsError
from vggfcn.files import open_regular

MEMBER = "vggfcn.json"
_CONFIGURATION = "model_config"  # the attribute of an HDF5 file
MOST_CLASSES = 1 << 20
ACTIVATIONS = ("auto", "softmax", "sigmoid", "none")


@dataclasses.dataclass(frozen=True)
class ConvertedFile:
    """What is known of a converted network, so that it need not be said again.

    - `native_size`: (height, width) of a window.
    - `labels`: the class names, None if there were none. `groups`: groups of classes by name, with their members.
    - `activation`: what its output means, "softmax", "sigmoid", "none", or "auto" if its last layers tell.
    - `preprocessing`: what the network does to pixels in [0, 255] itself, None if that is not known.
    - `reason`: how the preprocessing was known.
    """

    native_size: tuple[int, int]
    labels: tuple[str, ...] | None
    groups: dict[str, tuple[int, ...]]
    activation: str
    preprocessing: Preprocessing | None
    reason: str

    def add_to(self, archive: pathlib.Path) -> None:
        """Add this to a `.keras` archive that Keras has written."""
        values = dataclasses.asdict(self)
        with zipfile.ZipFile(archive, "a") as file:
            file.writestr(MEMBER, json.dumps(values))


def is_model_file(path: pathlib.Path) -> bool:
    """Whether a file holds a Keras model, not weights alone: a `.keras` archive, or HDF5 with a configuration.

    False for a missing file, and for one too damaged to tell.
    """
    try:
        with reading(path) as budget:
            with open_regular(path) as file:
                start = file.read(8)
            if start == SIGNATURE:
                return _CONFIGURATION in tree.attribute_names(tree.whole(path), budget)
            if start.startswith(zip_members.SIGNATURE):
                with zip_members.open_archive(path) as archive:
                    return ARCHIVED_CONFIG in archive.namelist()
    except WeightsError:
        return False
    return False


def read_converted(path: pathlib.Path) -> ConvertedFile | None:
    """What a `.keras` archive says of a converted network; None if it says nothing.

    Raises `WeightsError` if it is damaged.
    """
    with reading(path) as budget:
        if not zipfile.is_zipfile(path):
            return None
        with zip_members.open_archive(path) as archive:
            if MEMBER not in archive.namelist():
                return None
            data = zip_members.read_member(path, archive, MEMBER, budget)
        values = parse(budget, data, MEMBER)
        try:
            return _checked(path, values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise damaged(path, f"{MEMBER} is not what vggfcn convert writes") from error


def _checked(path: pathlib.Path, values: dict[str, Any]) -> ConvertedFile:
    labels = values["labels"]
    names = isinstance(labels, list) and all(isinstance(name, str) for name in labels) and len(labels) <= MOST_CLASSES
    if labels is not None and not names:
        raise WeightsError(f"{path}: expected class names in {MEMBER}, found {str(labels)[:80]}")
    height, width = values["native_size"]
    if not all(isinstance(side, int) and 0 < side < 1 << 16 for side in (height, width)):
        raise WeightsError(f"{path}: expected a native size in {MEMBER}, found {str(values['native_size'])[:80]}")
    stored = values["preprocessing"]
    preprocessing = None
    if stored is not None:
        order = stored["color_order"]
        if order not in ("RGB", "BGR"):
            raise WeightsError(f"{path}: expected the colour order RGB or BGR in {MEMBER}, found {str(order)[:80]}")
        preprocessing = Preprocessing.checked(path, stored["mean"], stored["std"], order)
    if values["activation"] not in ACTIVATIONS:
        raise WeightsError(
            f"{path}: expected {', '.join(ACTIVATIONS)} in {MEMBER}, found {str(values['activation'])[:80]}"
        )
    groups = {name: tuple(members) for name, members in values["groups"].items()}
    if not all(members and {*map(type, members)} == {int} for members in groups.values()):
        raise WeightsError(f"{path}: expected groups of classes by index in {MEMBER}, found {str(groups)[:80]}")
    return ConvertedFile(
        (height, width),
        None if labels is None else tuple(labels),
        groups,
        values["activation"],
        preprocessing,
        str(values["reason"])[:200],
    )
