"""EfficientNet-Lite0 as data: its layers, the arrays of its file, and files that do not fit."""

import numpy as np
import pytest
import safetensors.numpy

import vggfcn
from vggfcn.errors import WeightsError
from vggfcn.networks import efficientnet, registry
from vggfcn.networks.efficientnet import LITE0, read, read_dense, read_kernel, read_normalization


def test_layers_are_those_of_table_1():
    """Tan & Le 2019, and efficientnet_lite_builder.py: sixteen blocks between the stem and the top."""
    assert len(LITE0.blocks) == 1 + 16 + 1
    depthwise = [conv for conv in LITE0.convolutions if conv.depthwise]
    assert [conv.size for conv in depthwise] == [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]
    assert [index for index, conv in enumerate(depthwise) if conv.stride == 2] == [1, 3, 5, 11]
    assert [block.residual for block in LITE0.blocks].count(True) == 9
    assert (LITE0.convolutions[0].filters, LITE0.convolutions[-1].filters) == (32, 1280)


def test_a_cell_stands_for_a_window_of_the_native_size():
    field = LITE0.receptive_field
    assert (field.window, field.stride, field.size) == (224, 32, 1043)
    assert (field.padding, field.extra_padding_after) == (394, 31)
    assert field.size == field.window + 2 * field.padding + field.extra_padding_after


def arrays_in_file(change=lambda arrays: None):
    """The network's arrays as zeros, with a change made to them."""
    arrays = {name: np.zeros(shape, np.float32) for name, shape in LITE0.stored_shapes().items()}
    change(arrays)
    return arrays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("_bn0.bias"), "_bn0.bias missing"),
        (lambda arrays: arrays.update({"_fc.bias": np.zeros(9, np.float32)}), r"_fc.bias \(9,\)"),
    ],
    ids=["missing", "another shape"],
)
def test_files_that_do_not_fit_are_refused(tmp_path, change, message):
    safetensors.numpy.save_file(arrays_in_file(change), tmp_path / "w.safetensors")
    expected = f"expected the 247 arrays of efficientnet-lite0; 1 are missing or have another shape: {message}"
    with pytest.raises(WeightsError, match=expected):
        read(tmp_path / "w.safetensors", "efficientnet-lite0")


def test_numbers_that_are_not_finite_are_refused_when_a_model_is_built(tmp_path):
    arrays = arrays_in_file(lambda arrays: arrays["_conv_stem.weight"].fill(np.nan))
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"_conv_stem\.weight holds NaN"):
        vggfcn.build("efficientnet-lite0", weights=tmp_path / "w.safetensors", head=None, preprocess="raw")


def test_other_files_of_its_layout_do_not_say_what_they_expect(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    safetensors.numpy.save_file(arrays_in_file(), tmp_path / "w.safetensors")
    assert read(tmp_path / "w.safetensors", None)[1].preprocessing is None
    published = read(registry.fetch("efficientnet-lite0"), None)[1]
    assert published.preprocessing == efficientnet.PREPROCESSING
    assert published.preprocessing_reason == "of the published weights efficientnet-lite0"
    with pytest.raises(
        WeightsError, match=r"nothing says how images .*published for mean=127,127,127,std=128,128,128\. "
    ):
        vggfcn.build("efficientnet-lite0", weights="w.safetensors")


def test_arrays_without_a_place_are_refused(tmp_path):
    arrays = arrays_in_file(lambda arrays: arrays.update({"aux.weight": np.zeros(2, np.float32)}))
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"and no others, found aux.weight too"):
        read(tmp_path / "w.safetensors", None)


def test_arrays_come_as_keras_has_them(tmp_path):
    arrays = arrays_in_file()
    rng = np.random.default_rng(0)
    for name in ("_conv_stem.weight", "_blocks.0._depthwise_conv.weight", "_bn0.running_mean", "_fc.weight"):
        arrays[name] = rng.standard_normal(arrays[name].shape).astype(np.float32)
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    network, container = read(tmp_path / "w.safetensors", None)
    stem, depthwise = network.convolutions[:2]
    assert read_kernel(container, stem)[1, 2, 0, 31] == arrays["_conv_stem.weight"][31, 0, 1, 2]
    assert read_kernel(container, depthwise)[1, 2, 31, 0] == arrays["_blocks.0._depthwise_conv.weight"][31, 0, 1, 2]
    np.testing.assert_array_equal(read_normalization(container, stem)[2], arrays["_bn0.running_mean"])
    kernel, bias = read_dense(container)
    assert (kernel.shape, bias.shape) == ((1280, 1000), (1000,))
    assert kernel[5, 7] == arrays["_fc.weight"][7, 5]


def test_opening_reads_no_array(monkeypatch):
    monkeypatch.setattr(efficientnet, "as_array", None)
    assert read(registry.fetch("efficientnet-lite0"), None)[0] is LITE0
