"""Run any Keras image classifier fully convolutionally, and prove that it is still the same network."""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # What editors and type checkers see; the table below is what Python sees.
    from vggfcn.catalogue import ARCHITECTURES as ARCHITECTURES
    from vggfcn.checkpoints.weights import Weights as Weights
    from vggfcn.checkpoints.weights import read_weights as read_weights
    from vggfcn.checkpoints.writing import write_weights as write_weights
    from vggfcn.classifier import Classifier as Classifier
    from vggfcn.classifier import load as load
    from vggfcn.conversion import Conversion as Conversion
    from vggfcn.conversion import convert as convert
    from vggfcn.conversion_call import LayerReport as LayerReport
    from vggfcn.custom_groups import read_groups as read_groups
    from vggfcn.dense_evaluation import score_map as score_map
    from vggfcn.difference import Difference as Difference
    from vggfcn.engines import Engine as Engine
    from vggfcn.engines import compile as compile  # noqa: A004 It is what Keras calls it too.
    from vggfcn.equivalence import Equivalence as Equivalence
    from vggfcn.equivalence import verify as verify
    from vggfcn.errors import ConversionError as ConversionError
    from vggfcn.errors import EngineError as EngineError
    from vggfcn.errors import EvaluationError as EvaluationError
    from vggfcn.errors import ExportError as ExportError
    from vggfcn.errors import GeometryError as GeometryError
    from vggfcn.errors import ImageError as ImageError
    from vggfcn.errors import LabelError as LabelError
    from vggfcn.errors import MapError as MapError
    from vggfcn.errors import MemoryLimitError as MemoryLimitError
    from vggfcn.errors import TooManyPixelsError as TooManyPixelsError
    from vggfcn.errors import VGGFCNError as VGGFCNError
    from vggfcn.errors import WeightsError as WeightsError
    from vggfcn.exports import BatchDifference as BatchDifference
    from vggfcn.exports import Export as Export
    from vggfcn.exports import export as export
    from vggfcn.geometry import Geometry as Geometry
    from vggfcn.geometry import ReceptiveField as ReceptiveField
    from vggfcn.geometry import ScaledField as ScaledField
    from vggfcn.geometry import ScaledGeometry as ScaledGeometry
    from vggfcn.groups import Group as Group
    from vggfcn.images import read_image as read_image
    from vggfcn.labels import Labels as Labels
    from vggfcn.labels import imagenet_labels as imagenet_labels
    from vggfcn.labels import read_labels as read_labels
    from vggfcn.models import build as build
    from vggfcn.output_stride import with_output_stride as with_output_stride
    from vggfcn.picture_source import PictureSource as PictureSource
    from vggfcn.raster import Placement as Placement
    from vggfcn.raster import write_npy as write_npy
    from vggfcn.raster import write_tiff as write_tiff
    from vggfcn.receptive_fields import receptive_field as receptive_field
    from vggfcn.registry import EMBEDDED_FOLDER as EMBEDDED_FOLDER
    from vggfcn.registry import Entry as Entry
    from vggfcn.registry import list_weights as list_weights
    from vggfcn.scoring import ScoreMap as ScoreMap
    from vggfcn.sources import open_source as open_source
    from vggfcn.spec import Architecture as Architecture
    from vggfcn.spec import DenseSpec as DenseSpec
    from vggfcn.streaming import Stream as Stream

__version__: str
# Public name -> its module, which is imported when the name is first used: importing TensorFlow takes seconds, and
# reading a file or asking for help need not wait for it.
_MODULES = {
    "ARCHITECTURES": "catalogue",
    "Architecture": "spec",
    "BatchDifference": "exports",
    "Classifier": "classifier",
    "Conversion": "conversion",
    "ConversionError": "errors",
    "DenseSpec": "spec",
    "Difference": "difference",
    "EMBEDDED_FOLDER": "registry",
    "Engine": "engines",
    "EngineError": "errors",
    "Entry": "registry",
    "Equivalence": "equivalence",
    "EvaluationError": "errors",
    "Export": "exports",
    "ExportError": "errors",
    "Geometry": "geometry",
    "GeometryError": "errors",
    "Group": "groups",
    "ImageError": "errors",
    "LabelError": "errors",
    "Labels": "labels",
    "LayerReport": "conversion_call",
    "MapError": "errors",
    "MemoryLimitError": "errors",
    "PictureSource": "picture_source",
    "Placement": "raster",
    "ReceptiveField": "geometry",
    "ScaledField": "geometry",
    "ScaledGeometry": "geometry",
    "ScoreMap": "scoring",
    "Stream": "streaming",
    "TooManyPixelsError": "errors",
    "VGGFCNError": "errors",
    "Weights": "checkpoints.weights",
    "WeightsError": "errors",
    "build": "models",
    "compile": "engines",
    "convert": "conversion",
    "export": "exports",
    "imagenet_labels": "labels",
    "list_weights": "registry",
    "load": "classifier",
    "open_source": "sources",
    "read_groups": "custom_groups",
    "read_image": "images",
    "read_labels": "labels",
    "read_weights": "checkpoints.weights",
    "receptive_field": "receptive_fields",
    "score_map": "dense_evaluation",
    "verify": "equivalence",
    "with_output_stride": "output_stride",
    "write_npy": "raster",
    "write_tiff": "raster",
    "write_weights": "checkpoints.writing",
}
__all__ = sorted(_MODULES)

if not TYPE_CHECKING:  # A type checker that saw this would take any misspelt name for a public one.

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return importlib.metadata.version("vggfcn")
        if name in _MODULES:
            return getattr(importlib.import_module(f"vggfcn.{_MODULES[name]}"), name)
        raise AttributeError(f"module 'vggfcn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, "__version__"})
