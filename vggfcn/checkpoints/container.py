"""What a container gives: named arrays, and what the file says about them."""

import dataclasses
from collections.abc import Mapping

from vggfcn.checkpoints.tensors import Tensor
from vggfcn.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Container:
    """The arrays of a file under the names they have there, not yet read; nothing is known of their meaning.

    `format` names the container. `preprocessing`, `color_order` ("RGB" or "BGR") and `labels` (class names) are given
    where the file states them.
    """

    format: str
    tensors: Mapping[str, Tensor]
    preprocessing: Preprocessing | None = None
    color_order: str | None = None
    labels: tuple[str, ...] | None = None
