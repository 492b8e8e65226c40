"""Run any Keras image classifier fully convolutionally, and prove that it is still the same network."""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # What editors and type checkers see; the table below is what Python sees.
    from vggfcn.checkpoints.preprocessing import Preprocessing as Preprocessing
    from vggfcn.conversion.call import LayerReport as LayerReport
    from vggfcn.conversion.cam import cam as cam
    from vggfcn.conversion.convert import Conversion as Conversion
    from vggfcn.conversion.convert import convert as convert
    from vggfcn.conversion.output_stride import with_output_stride as with_output_stride
    from vggfcn.conversion.verify import Equivalence as Equivalence
    from vggfcn.conversion.verify import verify as verify
    from vggfcn.difference import Difference as Difference
    from vggfcn.engines.engine import Engine as Engine
    from vggfcn.engines.engine import compile as compile  # noqa: A004 It is what Keras calls it too.
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
    from vggfcn.evaluation.classifier import Classifier as Classifier
    from vggfcn.evaluation.classifier import ClassScore as ClassScore
    from vggfcn.evaluation.loading import load as load
    from vggfcn.evaluation.padding import PaddingEffect as PaddingEffect
    from vggfcn.evaluation.padding import padding_effect as padding_effect
    from vggfcn.evaluation.score_map import score_map as score_map
    from vggfcn.exports.export import BatchDifference as BatchDifference
    from vggfcn.exports.export import Export as Export
    from vggfcn.exports.export import export as export
    from vggfcn.graph.receptive_fields import receptive_field as receptive_field
    from vggfcn.images.opening import open_source as open_source
    from vggfcn.images.reading import read_image as read_image
    from vggfcn.images.source import ImageSource as ImageSource
    from vggfcn.labels.custom_groups import read_groups as read_groups
    from vggfcn.labels.groups import Group as Group
    from vggfcn.labels.labels import Labels as Labels
    from vggfcn.labels.labels import imagenet_labels as imagenet_labels
    from vggfcn.labels.labels import read_labels as read_labels
    from vggfcn.maps.geometry import Geometry as Geometry
    from vggfcn.maps.geometry import ReceptiveField as ReceptiveField
    from vggfcn.maps.geometry import ScaledField as ScaledField
    from vggfcn.maps.geometry import ScaledGeometry as ScaledGeometry
    from vggfcn.maps.raster import Placement as Placement
    from vggfcn.maps.raster import write_npy as write_npy
    from vggfcn.maps.raster import write_tiff as write_tiff
    from vggfcn.maps.score_map import ScoreMap as ScoreMap
    from vggfcn.networks.builders.build import build as build
    from vggfcn.networks.catalogue import ARCHITECTURES as ARCHITECTURES
    from vggfcn.networks.registry import EMBEDDED_FOLDER as EMBEDDED_FOLDER
    from vggfcn.networks.registry import KnownWeights as KnownWeights
    from vggfcn.networks.registry import list_weights as list_weights
    from vggfcn.networks.spec import Architecture as Architecture
    from vggfcn.networks.spec import DenseSpec as DenseSpec
    from vggfcn.networks.weights import Weights as Weights
    from vggfcn.networks.weights import read_weights as read_weights
    from vggfcn.networks.writing import write_weights as write_weights
    from vggfcn.streaming.stream import Stream as Stream

__version__: str
# Public name -> its module, which is imported when the name is first used: importing TensorFlow takes seconds, and
# reading a file or asking for help need not wait for it.
_MODULES = {
    "ARCHITECTURES": "networks.catalogue",
    "Architecture": "networks.spec",
    "BatchDifference": "exports.export",
    "ClassScore": "evaluation.classifier",
    "Classifier": "evaluation.classifier",
    "Conversion": "conversion.convert",
    "ConversionError": "errors",
    "DenseSpec": "networks.spec",
    "Difference": "difference",
    "EMBEDDED_FOLDER": "networks.registry",
    "Engine": "engines.engine",
    "EngineError": "errors",
    "Equivalence": "conversion.verify",
    "EvaluationError": "errors",
    "Export": "exports.export",
    "ExportError": "errors",
    "Geometry": "maps.geometry",
    "GeometryError": "errors",
    "Group": "labels.groups",
    "ImageError": "errors",
    "ImageSource": "images.source",
    "KnownWeights": "networks.registry",
    "LabelError": "errors",
    "Labels": "labels.labels",
    "LayerReport": "conversion.call",
    "MapError": "errors",
    "MemoryLimitError": "errors",
    "PaddingEffect": "evaluation.padding",
    "Placement": "maps.raster",
    "Preprocessing": "checkpoints.preprocessing",
    "ReceptiveField": "maps.geometry",
    "ScaledField": "maps.geometry",
    "ScaledGeometry": "maps.geometry",
    "ScoreMap": "maps.score_map",
    "Stream": "streaming.stream",
    "TooManyPixelsError": "errors",
    "VGGFCNError": "errors",
    "Weights": "networks.weights",
    "WeightsError": "errors",
    "build": "networks.builders.build",
    "cam": "conversion.cam",
    "compile": "engines.engine",
    "convert": "conversion.convert",
    "export": "exports.export",
    "imagenet_labels": "labels.labels",
    "list_weights": "networks.registry",
    "load": "evaluation.loading",
    "open_source": "images.opening",
    "padding_effect": "evaluation.padding",
    "read_groups": "labels.custom_groups",
    "read_image": "images.reading",
    "read_labels": "labels.labels",
    "read_weights": "networks.weights",
    "receptive_field": "graph.receptive_fields",
    "score_map": "evaluation.score_map",
    "verify": "conversion.verify",
    "with_output_stride": "conversion.output_stride",
    "write_npy": "maps.raster",
    "write_tiff": "maps.raster",
    "write_weights": "networks.writing",
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
    return [*__all__, "__version__"]
