"""The part of `vggfcn heatmap` that finds a class in one image: read whole, or in parts with limited memory."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vggfcn.cli.console import Reporter, read_image_quietly
from vggfcn.cli.options import EngineName
from vggfcn.engines.table import streaming_engine
from vggfcn.errors import TooManyPixelsError
from vggfcn.loading import silenced
from vggfcn.progress import Progress, Status

if TYPE_CHECKING:
    from vggfcn.evaluation.classifier import Classifier
    from vggfcn.evaluation.large_localization import LargeLocalization
    from vggfcn.evaluation.localization import Localization
    from vggfcn.labels.groups import Group


@dataclasses.dataclass(frozen=True)
class Options:
    """The options that both ways share.

    `group` None stands for each image's best class, `output_stride` None for the network's own. `mode` is that of
    `score_map`.
    """

    reporter: Reporter
    classifier: "Classifier"
    group: "Group | None"
    output_stride: int | None
    mode: str
    engine: EngineName
    max_side: int

    def build(self, status: Status) -> Any:
        """The fully convolutional network, for a dense map at the output stride."""
        from vggfcn.conversion.output_stride import with_output_stride

        status("building the network")
        model = self.classifier.converted
        return with_output_stride(model, self.output_stride) if self.output_stride and self.mode == "dense" else model


@dataclasses.dataclass(frozen=True)
class Localizer:
    """How to find the class in an image.

    localize: called with an image's path; raises what reading and evaluating it raise.
    engine: the engine's name.
    engine_text: the engine as markup for the report.
    progress: a context that yields the function to call with how many images are done, of how many.
    """

    localize: "Callable[[pathlib.Path], Localization | LargeLocalization]"
    engine: str
    engine_text: str
    progress: contextlib.AbstractContextManager[Progress]


def whole_images(options: Options, **passes: Any) -> Localizer:
    """Read each image whole and evaluate it; `passes` are `score_map`'s scales, sizes, flip and average."""
    from vggfcn.cli.loading import engine_text

    with options.reporter.loading_tensorflow() as status:
        from vggfcn.engines.engine import engine_of
        from vggfcn.evaluation.localization import localize

        model = options.build(status)
        status(f"preparing the network for {options.engine.value}")
        name, text = options.engine.value, options.engine.value
        engine: Any = name
        if options.mode != "cam":  # That one runs another network, which `score_map` makes.
            engine = engine_of(model, name)
            name, text = engine.name, engine_text(engine)
        if options.mode != "dense":
            passes.update(mode=options.mode, output_stride=options.output_stride)

    def localize_file(path: pathlib.Path) -> "Localization":
        try:
            pixels = read_image_quietly(path)
        except TooManyPixelsError as error:
            raise TooManyPixelsError(f"{error}, or read it in parts with --max-memory 4GB") from None
        return localize(options.classifier, model, pixels, options.group, options.max_side, engine=engine, **passes)

    return Localizer(localize_file, name, text, options.reporter.progress("heatmaps", "images"))


def images_in_parts(options: Options, max_memory: int, folder: pathlib.Path) -> Localizer:
    """Read and evaluate each image in parts, within `max_memory` bytes.

    Each image has a progress bar of its own. Maps too large for memory are files in `folder` while they grow.
    """
    # Parts of different sizes need different compiled networks, so no engine can be tried out beforehand.
    engine = streaming_engine(options.engine.value)
    with options.reporter.loading_tensorflow() as status:
        from vggfcn.evaluation.large_localization import localize_large

        model = options.build(status)

    def localize_file(path: pathlib.Path) -> "LargeLocalization":
        with silenced(), options.reporter.progress(path.name, "rows") as progress:
            limits: dict[str, Any] = {"max_memory": max_memory, "folder": folder, "engine": engine}
            return localize_large(
                options.classifier, model, path, options.group, options.max_side, progress=progress, **limits
            )

    return Localizer(localize_file, engine, engine, contextlib.nullcontext(lambda done, total: None))
