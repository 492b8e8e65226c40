"""The families of keras.applications, recognised by the names of their layers, and how they were trained.

The preprocessing is that of each family's `preprocess_input`, in keras/src/applications: "caffe", "tf" (-1..1) and
"torch" are the modes of imagenet_utils.py; networks of the last group prepare their input in layers of their own.
"""

import dataclasses
import fnmatch
from collections.abc import Iterable, Sequence

INSIDE = "inside"


@dataclasses.dataclass(frozen=True)
class ApplicationFamily:
    """A family of keras.applications.

    `layers` are patterns, all of which are names of its layers and not of another family's. `preprocessing` is a text
    that `parse_preprocessing` reads, or `INSIDE` if the network prepares pixels from 0 to 255 itself.
    """

    name: str
    layers: tuple[str, ...]
    preprocessing: str


APPLICATIONS = (
    ApplicationFamily("VGG", ("block1_conv2", "block3_conv3", "block5_pool"), "caffe"),
    ApplicationFamily("ResNet", ("conv1_conv", "conv2_block1_out", "conv2_block1_1_bn", "conv5_block1_0_bn"), "caffe"),
    ApplicationFamily("ResNet (before Keras 2.3)", ("bn_conv1", "res2a_branch2a", "bn5c_branch2c"), "caffe"),
    ApplicationFamily("ResNet V2", ("conv1_conv", "conv2_block1_preact_bn", "post_bn"), "-1..1"),
    ApplicationFamily("Inception V3", ("mixed0", "mixed10"), "-1..1"),
    ApplicationFamily("Inception-ResNet V2", ("mixed_5b", "conv_7b"), "-1..1"),
    ApplicationFamily("Xception", ("block2_sepconv1", "block14_sepconv2"), "-1..1"),
    ApplicationFamily("MobileNet", ("conv_dw_1", "conv_pw_13"), "-1..1"),
    ApplicationFamily("MobileNetV2", ("expanded_conv_depthwise", "block_1_expand", "Conv_1"), "-1..1"),
    ApplicationFamily("NASNet", ("stem_conv1", "normal_concat_*"), "-1..1"),
    ApplicationFamily("DenseNet", ("conv2_block1_concat", "pool2_conv"), "torch"),
    ApplicationFamily("EfficientNet", ("stem_conv", "block1a_dwconv", "top_conv"), INSIDE),
    ApplicationFamily("EfficientNetV2", ("stem_conv", "block1a_project_conv", "top_conv"), INSIDE),
    ApplicationFamily("MobileNetV3", ("expanded_conv_depthwise", "expanded_conv_1_expand", "conv_1"), INSIDE),
    ApplicationFamily("ConvNeXt", ("convnext_*_stem", "convnext_*_prestem_normalization"), INSIDE),
)


def family_of_layers(names: Iterable[str]) -> ApplicationFamily | None:
    """The family that layers with these names belong to, nested ones included; None if it is none, or not clear."""
    known = list(names)
    found = [family for family in APPLICATIONS if all(fnmatch.filter(known, layer) for layer in family.layers)]
    return found[0] if len({family.preprocessing for family in found}) == 1 else None


def likely_preprocessing(layers: Iterable[str], own: Sequence[str] = ()) -> str:
    """A sentence on how a network with these layers was probably trained; "" if nothing hints at it.

    `own` are the layers that prepare its input, but not from pixels from 0 to 255.
    """
    if own:
        return f"Its layer {own[0]!r} was made for another range than 0 to 255, so 0..1 is likely. "
    family = family_of_layers(layers)
    if family is None or family.preprocessing == INSIDE:
        return ""
    return (
        f"Its layers are those of keras.applications' {family.name}, whose preprocess_input is {family.preprocessing}; "
        "that is likely, or 0..1 if its images were divided by 255. "
    )
