"""`vggfcn bench`: measure how fast this machine runs a network, with Keras and with each engine."""

import dataclasses
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from vggfcn.cli.console import Reporter
from vggfcn.cli.options import AUTO, Engine, Json, Network, Quiet, evaluation_option, with_network

MAX_SIZE = 10_000  # Beyond, no network of the usual kinds fits into memory.

if TYPE_CHECKING:
    from vggfcn.evaluation.benchmark import Timing


@with_network
def bench(
    network: Network,
    size: Annotated[int, evaluation_option(min=1, max=MAX_SIZE, help="Height and width of the image in pixels.")] = 512,
    engine: Engine = AUTO,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how fast this machine runs a network, engine by engine.

    Runs the converted network on one image of random pixels, with Keras's model.predict and with the engine; auto
    measures every installed engine. They take turns, and their medians are compared.
    """
    from vggfcn.cli.loading import classifier_json, load_classifier, report_classifier

    reporter = Reporter(as_json, quiet)
    classifier, reason = load_classifier(reporter, network, needs_input=False)
    if size < max(classifier.native_size):
        raise typer.BadParameter(f"--size: expected at least {max(classifier.native_size)}, got {size}")
    start = time.perf_counter()
    with reporter.loading_tensorflow() as status:
        from vggfcn.evaluation import benchmark

        seconds = {"loading TensorFlow": time.perf_counter() - start}
        status("building the network")
        start = time.perf_counter()
        model = classifier.build("conv")
        seconds["building the network"] = time.perf_counter() - start
    with reporter.progress("measuring", "runs") as progress:
        timings, note = benchmark.time_network(model, size, engine.value, progress)
    machine = benchmark.machine()
    values = {**classifier_json(classifier), "size": size, "machine": machine, "start_seconds": seconds}
    reporter.json({**values, "note": note, "ways": [dataclasses.asdict(timing) for timing in timings]})
    report_classifier(reporter, classifier, reason)
    reporter.report(f"image     {size} x {size} random pixels")
    reporter.report(f"machine   {machine['processor']}, {machine['cores']} cores, {machine['system']}")
    versions = (f"{name} {version}" for name, version in machine["versions"].items() if version)
    reporter.report(f"versions  {', '.join(versions)}")
    reporter.report(_table(timings))
    for part, duration in seconds.items():
        reporter.report(f"{duration:6.2f} s  {part}")
    if note:
        reporter.report()
        reporter.report(f"note      {note}")


def _table(timings: "list[Timing]") -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run by", no_wrap=True)
    for heading in ("first, s", "median, s", "min - max, s", "images/s", "speedup"):
        table.add_column(heading, justify="right")
    for timing in timings:
        spread = f"{min(timing.seconds):.3f} - {max(timing.seconds):.3f}"
        first, median = f"{timing.start_seconds:.3f}", f"{timing.median_seconds:.3f}"
        table.add_row(timing.way, first, median, spread, f"{timing.images_per_second:.2f}", f"{timing.ratio:.2f}")
    return table
