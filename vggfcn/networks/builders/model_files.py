"""Load Keras models from files as people have them: of any version since Keras 2, and without running their code."""

import copy
import inspect
import os
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras

from vggfcn.checkpoints.configurations.losses import activation_of_logits
from vggfcn.checkpoints.formats import keras_models, keras_rewriting
from vggfcn.checkpoints.formats.keras_models import StoredModel
from vggfcn.errors import WeightsError, one_line
from vggfcn.networks.builders.bounded_layers import NoSuchArrayError, bounded_by, excessive_output
from vggfcn.networks.builders.model_weights import Filling

# The attribute of a model with what its file says of the training.
_TRAINING = "_vggfcn_training"
ARCHITECTURE = "the JSON file that model.to_json() gives, or a name of keras.applications such as MobileNetV2"

MOST_HEADS = 4
# The published widths of MobileNets, the most usual one first.
ALPHAS = (1.0, 0.35, 0.25, 0.5, 0.75, 1.3, 1.4)


def load_model(
    path: str | os.PathLike[str], *, architecture: str | os.PathLike[str] | None = None
) -> tuple[keras.Model, tuple[str, ...]]:
    """The model in a file, and notes on what was rewritten: "rewrote 17 DepthwiseConv2D layers: dropped groups=1".

    - `path`: a whole model as Keras 2 or 3 saves it, `.keras` (the archive, or the unpacked folder) or HDF5; or a file
      of weights alone, of a whole network. The content decides, not the name.
    - `architecture`: for weights alone, the path of a JSON file that `model.to_json()` gives, or the name of a network
      in `keras.applications`, such as "MobileNetV2".

    The model is not compiled. It is built from the rewritten configuration, as large as the arrays in the file and no
    larger; every variable is filled and every array used, but for those of the optimizer. A list of one output becomes
    the output itself.

    Raises `WeightsError` if the file is not a Keras model, carries code, needs classes that Keras does not have, is
    damaged or hostile, or cannot be loaded with the same results. The message says what the file is and what to do.

    >>> model, notes = load_model("keras_model.h5")
    """
    path = pathlib.Path(path)
    stored = keras_models.read(path)
    if architecture is None and stored.config is None:
        raise WeightsError(
            f"{path}: has weights alone, without the layers; give --architecture (architecture= in Python): "
            f"{ARCHITECTURE}"
        )
    if architecture is not None and stored.config is not None:
        raise WeightsError(f"{path}: is a whole model and needs no architecture; leave it out")
    source, config, version = path, stored.config, stored.version
    if architecture is not None:
        source = pathlib.Path(architecture)
        if not source.is_file():
            return _of_applications(stored, str(architecture))
        config, version = keras_models.read_configuration(source), ""
    rewritten, notes = keras_rewriting.rewrite(source, config, version)
    model = _built(source, rewritten, stored)
    Filling(stored, config, model, own=architecture is None).fill()  # type: ignore[arg-type]
    vars(model)[_TRAINING] = stored.training
    return model, notes


def activation_of_loss(model: keras.Model) -> tuple[str, str]:
    """What the outputs are logits of, "softmax" or "sigmoid", by the loss of the file or model, and how it says so.

    ("", "") if it does not.
    """
    loss = getattr(model, "loss", None)
    if isinstance(loss, keras.losses.Loss) and type(loss) is getattr(keras.losses, type(loss).__name__, None):
        return activation_of_logits({"loss": {"class_name": type(loss).__name__, "config": loss.get_config()}})
    return activation_of_logits(vars(model).get(_TRAINING))


def refuse_foreign(model: object) -> None:
    """Raise `TypeError` for a model of Keras 2 (the package tf_keras, or TensorFlow before 2.16), with the way out."""
    for cls in type(model).__mro__:
        if cls.__module__.partition(".")[0] == "tf_keras" or cls.__module__.startswith("tensorflow.python.keras"):
            raise TypeError(
                f"expected a model of Keras 3, got one of {cls.__module__.partition('.')[0]}: save it with "
                'model.save("model.h5"), and give that file to vggfcn'
            )


def _built(path: pathlib.Path, config: dict[str, Any], stored: StoredModel) -> keras.Model:
    """The model of a rewritten configuration, not yet filled."""
    for name, kind, layer in _single_layers(config):
        try:
            with bounded_by(array.shape for array in stored.arrays):  # A model in a wrapper is built at once.
                keras.saving.deserialize_keras_object(layer, safe_mode=True)
        except NoSuchArrayError as error:
            raise WeightsError(f"{stored.path}: {error}; the file is damaged, or of another network") from None
        except Exception as error:  # Layers raise errors of any kind.
            raise WeightsError(
                f"{path}: {name} ({kind}): Keras {keras.__version__} cannot make this layer: {cause(error)}; "
                "load the model in the Keras that wrote it, and rebuild the layer with arguments that this Keras has"
            ) from None
    try:
        with bounded_by(array.shape for array in stored.arrays):
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except NoSuchArrayError as error:
        raise WeightsError(f"{stored.path}: {error}; the file is damaged, or of another network") from None
    except Exception as error:
        raise WeightsError(
            f"{path}: Keras {keras.__version__} cannot connect the model's layers: {cause(error)}; load it in the "
            'Keras that wrote it, and save it with model.save("model.keras")'
        ) from None
    if problem := excessive_output(model):
        raise WeightsError(f"{path}: {problem}; state a smaller input in the model, or leave its size open")
    if not model.built:
        raise WeightsError(f"{path}: does not state the model's input; build it (model.build(shape)) and save it again")
    return model


def _single_layers(item: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, class, configuration) of each layer in a rewritten model that is not a model itself."""
    config = item["config"]
    if item["class_name"] in ("Sequential", "Functional"):
        for layer in config["layers"]:
            yield from _single_layers(layer)
    else:
        # A copy, because layers take parts out of their configuration.
        bare = {key: copy.deepcopy(item[key]) for key in ("module", "class_name", "config", "registered_name")}
        yield str(config.get("name")), item["class_name"], bare


def cause(error: BaseException) -> str:
    """What went wrong, on one short line: the innermost reason, where Keras wraps it in whole configurations."""
    text = str(error)
    found = re.split(r"Exception encountered: |Error when deserializing [^\n]*\n", text)[-1]
    found = re.split(r"\n\nArguments received|\nFull (?:object )?config|\n\nconfig=", found)[0]
    return one_line(found or error, 300).rstrip(".")


def _of_applications(stored: StoredModel, name: str) -> tuple[keras.Model, tuple[str, ...]]:
    """A network of keras.applications with the weights of a file, and a note on its image size.

    The number of classes and the width (alpha) follow from the shapes.
    """
    factories = {
        each: value
        for each, value in vars(keras.applications).items()
        if each[:1].isupper() and callable(value) and not isinstance(value, type)
    }
    if name not in factories:
        raise WeightsError(
            f"expected as architecture {ARCHITECTURE}, got {name[:80]!r}; there is no such file, and "
            f"keras.applications has {', '.join(sorted(factories))}"
        )
    problems = []
    for options in _options(stored, factories[name]):
        try:
            with bounded_by(array.shape for array in stored.arrays):
                model = factories[name](weights=None, **options)
            config = {"class_name": "Functional", "config": model.get_config()}
            Filling(stored, config, model, own=False).fill()
        except NoSuchArrayError as error:
            problems.append(str(error))
        except (WeightsError, ValueError) as error:
            problems.append(cause(error).removeprefix(f"{stored.path}: "))
        else:
            size = " x ".join("any" if side is None else str(side) for side in model.input_shape[1:3])
            return model, (f"images are {size}, as in keras.applications: the weights do not state their size",)
    raise WeightsError(
        f"{stored.path}: does not have the arrays of keras.applications.{name}: {problems[0]}; "
        "for another head or image size, give the JSON file that model.to_json() gives"
    )


def _options(stored: StoredModel, factory: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Arguments that may fit: with a head for the classes that the file has, or without a head; each at each width."""
    heads: list[dict[str, Any]] = [{"classes": size} for size in _classes(stored)] + [{"include_top": False}]
    widths = ALPHAS if "alpha" in inspect.signature(factory).parameters else (None,)
    for width in widths:
        yield from (head if width is None else {**head, "alpha": width} for head in heads)


def _classes(stored: StoredModel) -> list[int]:
    """Numbers of classes that the file's heads may have: of the layer named "predictions", or of any with a bias."""
    sizes: dict[str, int] = {}
    for name, group in stored.groups.items():
        arrays = list(group.values())
        if len(arrays) == 2 and len(arrays[0].shape) in (2, 4) and arrays[1].shape == arrays[0].shape[-1:]:
            sizes[name] = arrays[1].shape[0]
    named = [size for name, size in sizes.items() if stored.names.get(name, name) == "predictions"]
    last_first = sorted(sizes, key=_number, reverse=True)
    dense = [sizes[name] for name in last_first if "dense" in name]
    return list(dict.fromkeys(named or dense or [sizes[name] for name in last_first]))[:MOST_HEADS]


def _number(name: str) -> int:
    """The number at the end of a name, as in "dense_2"; 0 if there is none."""
    found = re.search(r"_(\d{1,9})$", name)
    return int(found[1]) if found else 0
