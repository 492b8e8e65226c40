"""The ways in which a network is run on images: densely, window by window, and for class activation maps."""

import math
from collections.abc import Callable

import keras
import numpy as np

from vggfcn.conversion.cam import cam
from vggfcn.conversion.output_stride import with_output_stride
from vggfcn.engines.engine import Engine, engine_of
from vggfcn.graph.receptive_fields import receptive_field
from vggfcn.maps.geometry import Geometry, ReceptiveField
from vggfcn.maps.window_grid import WindowGrid

# The attribute of a model that holds the one that `cam` made of it.
_ACTIVATION_MAP = "_vggfcn_activation_map"
BATCH = 32  # windows that are evaluated at once
PIXELS = 1 << 20  # of images that are evaluated at once: VGG16 then takes about 0.5 GB for its first layers


class Dense:
    """Runs the network on the whole image, so that overlapping windows share their computation."""

    def __init__(
        self, model: keras.Model, output_stride: int | None, engine: str | Engine, native: tuple[int, int] | None
    ):
        self.model = with_output_stride(model, output_stride) if output_stride else model
        self.engine = engine_of(self.model, engine)

    def field(self, size: tuple[int, int]) -> Geometry:
        """Where the cells lie on an image of `size`, (height, width) in pixels."""
        return receptive_field(self.model, size=size, keep_global=True)

    def steps(self, size: tuple[int, int]) -> int:
        """The number of steps for an image of this size."""
        return 1

    def run(self, images: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
        """Logits, float32 (images, rows, columns, classes), for images (images, height, width, channels).

        `tick` is called with the number of steps just finished.
        """
        count, height, width = images.shape[:3]
        logits = []
        for batch in np.array_split(images, math.ceil(count / max(1, PIXELS // (height * width)))):
            logits.append(self.engine(batch))
            tick(len(batch))
        return np.concatenate(logits)


class Windows:
    """Cuts out each window and evaluates it alone: at native size the converted network is the original."""

    def __init__(
        self, model: keras.Model, output_stride: int | None, engine: str | Engine, native: tuple[int, int] | None
    ):
        self.engine = engine_of(model, engine)
        field = receptive_field(model, keep_global=True)
        strides = (output_stride, output_stride) if output_stride else field.stride
        # A network that pads may have a cell for smaller images than it was trained on.
        sizes = native or (field.rows.window, field.columns.window)
        # A single window has no surroundings: the network pads it instead.
        rows, columns = (ReceptiveField(size, stride, padding=0) for size, stride in zip(sizes, strides, strict=True))
        self.geometry = Geometry(rows, columns)
        self.grid = WindowGrid(sizes, strides)

    def field(self, size: tuple[int, int]) -> Geometry:
        """Where the windows lie, which does not depend on the image's size."""
        return self.geometry

    def steps(self, size: tuple[int, int]) -> int:
        """The number of windows on an image of `size`, (height, width) in pixels."""
        return self.geometry.rows.cells(size[0]) * self.geometry.columns.cells(size[1])

    def run(self, images: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
        """Logits, float32 (images, rows, columns, classes); `tick` gets the number of windows just finished."""
        cells = self.geometry.rows.cells(images.shape[1]), self.geometry.columns.cells(images.shape[2])
        maps = [each_window(self.engine, image, self.grid, cells, tick) for image in images]
        return np.stack(maps).reshape(len(images), *cells, -1)


def each_window(
    engine: Engine,
    image: np.ndarray,
    grid: WindowGrid,
    cells: tuple[int, int],
    tick: Callable[[int], None] = lambda windows: None,
) -> np.ndarray:
    """The values of each window alone, float32 (windows, classes), row by row.

    - `image`: (height, width, channels), as the engine's network takes it.
    - `cells`: the (rows, columns) of windows.
    - `tick`: called with the number of windows just finished.

    Raises `ValueError` if the network has more cells than one for a window.
    """
    parts = list(grid.parts(cells))
    values = []
    for start in range(0, len(parts), BATCH):
        batch = np.stack([image[part] for part in parts[start : start + BATCH]])
        maps = engine(batch)
        if maps.shape[1:3] != (1, 1):
            height, width = grid.window
            raise ValueError(
                f"native_size: expected the size of a single window, got {height} x {width}, for which the network "
                f"has {maps.shape[1]} x {maps.shape[2]} cells"
            )
        values.append(maps[:, 0, 0])
        tick(len(batch))
    return np.concatenate(values)


class ActivationMap(Dense):
    """Runs the trunk on the whole image, and the head on each of its cells: a class activation map."""

    def __init__(
        self, model: keras.Model, output_stride: int | None, engine: str | Engine, native: tuple[int, int] | None
    ):
        kept: dict[str, keras.Model] = vars(model)
        if _ACTIVATION_MAP not in kept:
            shape = native and (*native, model.inputs[0].shape[-1])
            kept[_ACTIVATION_MAP] = cam(model, input_shape=shape, share_weights=True)
        super().__init__(kept[_ACTIVATION_MAP], output_stride, engine, native)


EVALUATORS: dict[str, type[Dense | Windows]] = {"dense": Dense, "windows": Windows, "cam": ActivationMap}
