"""Rewrites a Keras model's configuration, of any version since Keras 2, as Keras 3 writes it: JSON in, JSON out.

No Keras is imported and nothing that a configuration names is looked up. See `vggfcn.checkpoints.configurations`.
"""

import pathlib
import re

from vggfcn.checkpoints.configurations import classes, models
from vggfcn.checkpoints.configurations.checks import check_calls
from vggfcn.checkpoints.configurations.notes import Rewriting
from vggfcn.errors import one_line

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})")


def rewrite(path: pathlib.Path, config: object, version: str = "") -> tuple[dict[str, object], tuple[str, ...]]:
    """The configuration of a model in Keras 3's form, and notes on what was rewritten, one sentence for each kind.

    - `path`: the file that it is from, for messages.
    - `config`: the configuration, as JSON gives it: {"class_name": ..., "config": ...}.
    - `version`: the version of Keras that wrote it, such as "2.15.0"; "" if the file does not state it.

    The rewritten model computes the same function. Its initial values, its loss and its optimizer may be gone.

    Raises `WeightsError`, with the layer's name, if the configuration carries code, needs classes that Keras does not
    have, or describes something that Keras 3 cannot compute in the same way.
    """
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise Rewriting(path).malformed("is not that of a model")
    stated = config.get("keras_version")  # Keras 2 states it in `model.to_json()`.
    version = version or (stated if isinstance(stated, str) else "")
    rewriting = Rewriting(path, _numbers(config, version))
    if rewriting.version and rewriting.version < (2,):
        raise rewriting.malformed(
            f"was written by Keras {version[:20]}, whose layers had other arguments: load it in 2.2"
        )
    try:
        rewritten = models.rewrite(config, rewriting)
        if rewritten["class_name"] in classes.MODELS:
            check_calls(rewritten, rewriting)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        # Parts of other types than Keras writes, anywhere in it.
        raise rewriting.malformed(f"is not as Keras writes it ({one_line(error, 80)})") from None
    if rewritten["class_name"] not in classes.MODELS:
        raise rewriting.malformed(f"is that of a single layer, {str(config['class_name'])[:80]}")
    return rewritten, rewriting.notes()


def _numbers(config: dict[str, object], version: str) -> tuple[int, ...]:
    if match := _VERSION.match(version):
        return int(match[1]), int(match[2])
    # Keras 3 leaves its version out of `model.to_json()`; Keras 2 never did since it states modules.
    return (3, 0) if "module" in config else ()
