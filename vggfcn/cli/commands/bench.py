"""`vggfcn bench`: how fast this machine runs a network, by stock Keras and by each engine."""

import dataclasses
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from vggfcn.cli.console import Reporter
from vggfcn.cli.options import AUTO, Engine, Json, Quiet, Weights, evaluation_option

if TYPE_CHECKING:
    from vggfcn.evaluation.benchmark import Timing


def bench(
    weights: Weights = "auto",
    size: Annotated[int, evaluation_option(min=1, help="Pixels of the image's sides.")] = 512,
    engine: Engine = AUTO,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure how fast this machine runs a network, engine by engine.

    The converted network is run on one image of random pixels, by Keras's own model.predict and by the engine; auto
    stands for every engine that is installed. All take turns, and medians are compared.
    """
    from vggfcn.cli.loading import classifier_of, described

    reporter = Reporter(as_json, quiet)
    classifier, reason = classifier_of(reporter, weights)
    if size < classifier.architecture.native_size:
        raise typer.BadParameter(f"--size: expected at least {classifier.architecture.native_size}, got {size}")
    start = time.perf_counter()
    with reporter.loading_tensorflow() as now:
        from vggfcn.evaluation import benchmark

        seconds = {"loading TensorFlow": time.perf_counter() - start}
        now("building the network")
        start = time.perf_counter()
        model = classifier.build("conv")
        seconds["building the network"] = time.perf_counter() - start
    with reporter.progress("measuring", "runs") as tick:
        timings, note = benchmark.time_network(model, size, engine.value, tick)
    machine = benchmark.machine()
    found = {"weights": classifier.weights, "size": size, "machine": machine, "start_seconds": seconds}
    reporter.object({**found, "note": note, "ways": [dataclasses.asdict(one) for one in timings]})
    reporter.report(f"weights   {described(classifier, reason)}")
    reporter.report(f"image     {size} x {size} pixels, at random")
    reporter.report(f"machine   {escape(machine['processor'])}, {machine['cores']} cores, {escape(machine['system'])}")
    versions = (f"{name} {version}" for name, version in machine["versions"].items() if version)
    reporter.report(f"versions  {', '.join(versions)}")
    reporter.report(_table(timings))
    for part, duration in seconds.items():
        reporter.report(f"{duration:6.2f} s  {part}")
    if note:
        reporter.report(f"\nnote      {escape(note)}")


def _table(timings: "list[Timing]") -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run by", no_wrap=True)
    for heading in ("first, s", "median, s", "from - to, s", "images/s", "times as fast"):
        table.add_column(heading, justify="right")
    for one in timings:
        spread = f"{min(one.seconds):.3f} - {max(one.seconds):.3f}"
        first, median = f"{one.start_seconds:.3f}", f"{one.median_seconds:.3f}"
        table.add_row(one.way, first, median, spread, f"{one.images_per_second:.2f}", f"{one.ratio:.2f}")
    return table
