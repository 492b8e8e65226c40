"""How `vggfcn heatmap` finds a class on an image: read whole, or in parts."""

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
from vggfcn.progress import Progress

if TYPE_CHECKING:
    from vggfcn.evaluation.large_localization import LargeLocalization
    from vggfcn.evaluation.localization import Localization
    from vggfcn.labels.groups import Group
    from vggfcn.networks.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class Options:
    """What is asked of every image, whole or in parts."""

    reporter: Reporter
    classifier: "Classifier"
    group: "Group | None"
    output_stride: int | None
    engine: EngineName
    max_side: int

    def model(self, now: Callable[[str], None]) -> Any:
        """The network; `now` is told what is being done."""
        from vggfcn.conversion.output_stride import with_output_stride

        now("building the network")
        model = self.classifier.build("conv")
        return with_output_stride(model, self.output_stride) if self.output_stride else model


@dataclasses.dataclass(frozen=True)
class Localizer:
    """What finds a class on the image at a path.

    `engine` is the name of what computes it, `described` the same for the report; `progress` shows how many images
    are done.
    """

    localize: "Callable[[pathlib.Path], Localization | LargeLocalization]"
    engine: str
    described: str
    progress: contextlib.AbstractContextManager[Progress]


def whole(options: Options, **passes: Any) -> Localizer:
    """Each image is read whole, and the network evaluated on it as `passes` say."""
    from vggfcn.cli.loading import running

    with options.reporter.loading_tensorflow() as now:
        from vggfcn.engines.engine import engine_of
        from vggfcn.evaluation.localization import localize

        model = options.model(now)
        now(f"preparing the network for {options.engine.value}")
        runner = engine_of(model, options.engine.value)

    def localized(path: pathlib.Path) -> "Localization":
        try:
            pixels = read_image_quietly(path)
        except TooManyPixelsError as error:
            raise TooManyPixelsError(f"{error}, or have it read in parts: --max-memory 4GB") from None
        return localize(options.classifier, model, pixels, options.group, options.max_side, engine=runner, **passes)

    return Localizer(localized, runner.name, running(runner), options.reporter.progress("heatmaps", "images"))


def in_parts(options: Options, memory: int, folder: pathlib.Path) -> Localizer:
    """Each image is read and computed in parts, each with a bar of its own; large maps lie in `folder` meanwhile."""
    # Each size of part has a network of its own, made as it is met: no engine can be tried beforehand.
    engine = streaming_engine(options.engine.value)
    with options.reporter.loading_tensorflow() as now:
        from vggfcn.evaluation.large_localization import localize_large

        model = options.model(now)

    def localized(path: pathlib.Path) -> "LargeLocalization":
        with silenced(), options.reporter.progress(path.name, "rows") as tick:
            limits: dict[str, Any] = {"max_memory": memory, "folder": folder, "engine": engine, "progress": tick}
            return localize_large(options.classifier, model, path, options.group, options.max_side, **limits)

    return Localizer(localized, engine, engine, contextlib.nullcontext(lambda done, total: None))
