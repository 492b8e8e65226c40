"""Options that several commands have, their parsers, and their shell completion."""

import dataclasses
import enum
import functools
import inspect
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

import typer

from vggfcn.engines import table as engine_table
from vggfcn.errors import shown

# Each puts an option under a heading in the help.
network_option = functools.partial(typer.Option, rich_help_panel="Network and classes")
evaluation_option = functools.partial(typer.Option, rich_help_panel="Evaluation")
output_option = functools.partial(typer.Option, rich_help_panel="Output")
MAX_NUMBERS = 100  # of an option such as --scales: each is an evaluation of its own
Number = TypeVar("Number", int, float)
EngineName = enum.Enum(  # type: ignore[misc]
    "EngineName", {name.upper(): name for name in engine_table.NAMES}, type=str
)
AUTO, TENSORFLOW = EngineName(engine_table.AUTO), EngineName(engine_table.TENSORFLOW.name)


def weight_names(incomplete: str) -> Iterator[tuple[str, str]]:
    """Names of weights that begin with `incomplete`, and descriptions. If there are none, shells complete paths."""
    from vggfcn.networks.registry import REGISTRY

    for name, entry in {"auto": None, **REGISTRY}.items():
        if name.startswith(incomplete):
            yield name, f"{entry.network}, {entry.classes} classes" if entry else "the best weights on this machine"


def class_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names of classes and groups that begin with `incomplete`.

    They belong to the weights on the command line. Returns none if the weights are not on disk, or are a Keras model,
    which takes seconds to load.
    """
    from vggfcn.checkpoints.formats.keras_files import is_model_file
    from vggfcn.errors import VGGFCNError
    from vggfcn.evaluation.loading import choose, load
    from vggfcn.labels.groups import wordnet_groups
    from vggfcn.networks.registry import REGISTRY

    name = choose(context.params.get("weights") or "auto")[0]
    try:
        if name in REGISTRY and REGISTRY[name].find() is None:
            return []
        if name not in REGISTRY and is_model_file(pathlib.Path(name)):
            return []
        given: dict[str, Any] = {option: context.params.get(option) for option in ("labels", "groups")}
        labels = load(name, preprocess="raw" if name not in REGISTRY else "auto", **given).labels
    except (VGGFCNError, OSError, ValueError):
        return []
    names = [names[0] for names in labels.names]
    names += [group.name for group in (*labels.groups, *(group for _, group in wordnet_groups(labels.names)))]
    # Shells end a word at a space. `Labels.find` accepts underscores, too.
    known = dict.fromkeys(name.replace(" ", "_") for name in names)
    return [name for name in known if name.startswith(incomplete)]


@dataclasses.dataclass(frozen=True)
class Network:
    """The options of every command that say which classifier to use, and what is known of it; see `vggfcn.load`."""

    weights: Annotated[
        str,
        network_option(
            metavar="NAME|FILE",
            autocompletion=weight_names,
            help='"auto", a name from vggfcn weights list ("imagenet", "scene-digits", ...), or the path of a weight '
            "file or of your own Keras model (.keras, .h5).",
        ),
    ] = "auto"
    labels: Annotated[
        pathlib.Path | None,
        network_option(help="File of class names for your own network: text with one name per line, or JSON."),
    ] = None
    groups: Annotated[
        pathlib.Path | None,
        network_option(help='JSON file of your own groups of classes, such as {"pet": ["cat", "dog"]}.'),
    ] = None
    preprocess: Annotated[
        str,
        network_option(
            metavar="HOW",
            help="How images were prepared when your network was trained: raw, 0..1, -1..1, caffe, tf, torch or "
            "mean=..,std=.. Only needed if neither the network nor the weights tell.",
        ),
    ] = "auto"
    activation: Annotated[
        str,
        network_option(
            metavar="NAME",
            help="What your network's output means if its last layer does not tell: softmax or sigmoid (it returns "
            "logits), or none (values, no probabilities).",
        ),
    ] = "auto"
    input_shape: Annotated[
        str | None,
        network_option(metavar="SIZE", help="Native size, such as 224 or 224x224x3, if your network leaves it open."),
    ] = None
    keep_global: Annotated[
        bool,
        network_option(
            "--keep-global",
            help="Keep layers that see the whole image; windows are then not independent of each other.",
        ),
    ] = False
    architecture: Annotated[
        str | None,
        network_option(
            metavar="FILE|NAME",
            help="For a file of weights alone: the model's configuration as JSON, or a name of keras.applications.",
        ),
    ] = None
    output_name: Annotated[
        str | None,
        network_option(help="Which output to map, if your network has several."),
    ] = None

    @property
    def own(self) -> dict[str, Any]:
        """The keyword arguments of `vggfcn.load`, without the weights.

        Raises `BadParameter` (exit code 2) for an unreadable size.
        """
        return {
            "labels": self.labels,
            "groups": self.groups,
            "preprocess": self.preprocess,
            "activation": self.activation,
            "input_shape": shape(self.input_shape),
            "keep_global": self.keep_global,
            "architecture": self.architecture,
            "output": self.output_name,
        }


def with_network(command: Callable[..., None]) -> Callable[..., None]:
    """A command that has the options of `Network` in place of its parameter `network`, which gets their values.

    A parameter of the command that has the name of an option stands for it, and its value goes to the option too.
    """
    signature = inspect.signature(command)
    options = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in dataclasses.fields(Network)
        if field.name not in signature.parameters
    ]
    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    place = list(signature.parameters).index("network")
    parameters = [*own[:place], *options, *own[place + 1 :]]

    shared = [field.name for field in dataclasses.fields(Network) if field.name in signature.parameters]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        given = {name: values[name] for name in shared} | {option.name: values.pop(option.name) for option in options}
        command(**values, network=Network(**given))

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


# The names of options in Python that differ from those on the command line, which messages begin with.
_IN_PYTHON = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        *("activation", "architecture", "engine", "input_shape", "keep_global", "max_memory", "output_stride"),
        "preprocess",
    )
} | {"output": "--output-name"}
_NAMES = "|".join(_IN_PYTHON)
# "(preprocess= in Python)" after an option, and "keep_global=True (--keep-global)" before it.
_HINT = re.compile(r" \(\w+= in Python\)|\w+=\w+ \((?=--)|(?<=--keep-global)\)")
_SUBJECT = re.compile(rf"(^|: )({_NAMES})(?=: (?:expected|got))")
_LEFT_OUT = re.compile(rf"\bleave out ({_NAMES})\b")
_ARGUMENT = re.compile(rf"\b({_NAMES})=(?:True|(\"?)([\w.-]+)\2)?")


def in_words_of_options(text: str) -> str:
    """A message for users of the library, with the names of options in place of arguments."""
    text = _SUBJECT.sub(lambda found: found[1] + _IN_PYTHON[found[2]], _HINT.sub("", text))
    text = _LEFT_OUT.sub(lambda found: f"leave out {_IN_PYTHON[found[1]]}", text)
    return _ARGUMENT.sub(lambda found: " ".join(filter(None, (_IN_PYTHON[found[1]], found[3]))), text)


ClassName = Annotated[
    str | None,
    network_option(
        "--class",
        autocompletion=class_names,
        help="A class or group: name, index or WordNet id. Default: the most probable class.",
    ),
]
MaxSide = Annotated[
    int,
    evaluation_option(
        min=1,
        help="Shrink the image until its longer side has at most this many pixels.",
    ),
]
OutputStride = Annotated[
    int | None,
    evaluation_option(min=1, help="Pixels from cell to cell. Default: the network's own, 32 for VGG."),
]
Engine = Annotated[
    EngineName,
    evaluation_option(
        help="What runs the network. auto: OpenVINO if it is installed and can run it, otherwise TensorFlow.",
    ),
]
MaxMemory = Annotated[
    str | None,
    evaluation_option(
        metavar="SIZE",
        help="Limit the memory, such as 4GB: read and compute each image in parts. For images larger than memory "
        "(TIFF, Zarr, .npy). Not with --scales, --sizes or --flip; --engine auto means TensorFlow here.",
    ),
]
Json = Annotated[bool, output_option("--json", help="Print JSON instead of the report.")]
Quiet = Annotated[
    bool,
    output_option("--quiet", help="Print no report and no progress, only JSON and errors."),
]


def shape(text: str | None) -> tuple[int, ...] | None:
    """The numbers of a size such as "224", "224x224" or "224x224x3"; None if it was not given.

    Raises `BadParameter` (exit code 2) for any other text.
    """
    if text is None:
        return None
    try:
        sides = tuple(int(part) for part in text.lower().replace(",", "x").split("x"))
    except ValueError:
        sides = ()
    if len(sides) not in (1, 2, 3) or min(sides) < 1:
        raise typer.BadParameter(f"--input-shape: expected a size such as 224 or 224x224x3, got {shown(text)}")
    return sides


def numbers(text: str | None, kind: Callable[[str], Number]) -> tuple[Number, ...] | None:
    """The numbers of an option such as "0.75,1,1.5"; None if it was not given.

    Raises `BadParameter` (exit code 2) unless all are finite and greater than 0, and not more than `MAX_NUMBERS`.
    """
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > MAX_NUMBERS:
        raise typer.BadParameter(f"expected at most {MAX_NUMBERS} numbers, got {len(parts):,}")
    try:
        values = tuple(map(kind, parts))
    except ValueError:
        values = ()
    if not values or not all(0 < value < float("inf") for value in values):
        example = "256,384,512" if kind is int else "0.75,1,1.5"
        raise typer.BadParameter(
            f"expected numbers greater than 0, separated by commas, such as {example}, got {shown(text)}"
        )
    return values


def bytes_of(text: str | None) -> int | None:
    """The bytes of an option such as "4GB"; None if it was not given. Raises `BadParameter` (exit code 2)."""
    from vggfcn.memory import number_of_bytes

    try:
        return None if text is None else number_of_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error).replace("max_memory", "--max-memory")) from None
