"""What the page offers to choose from."""

import types

import pytest

from vggfcn.app import choices
from vggfcn.evaluation.loading import load
from vggfcn.labels.labels import Labels, imagenet_labels


def test_each_choice_stands_for_the_class_or_group_that_it_shows():
    labels = imagenet_labels()
    offered = choices.class_choices(labels)
    assert len({value for _, value in offered}) == len(offered)
    first_of = dict(reversed(offered))
    assert labels.find(first_of["tench"]).members == (0,)
    assert labels.find(first_of["dog (118 classes)"]) == labels.find("dog")
    cranes = [value for shown, value in offered if shown == "crane"]
    assert [labels.find(crane).members for crane in cranes] == [(134,), (517,)]


def test_names_that_look_like_indices_or_are_not_unique():
    odd = Labels((("1",), ("0",), ("x",), ("x",)))
    found = [odd.find(value).members for _, value in choices.class_choices(odd)[1:]]
    assert found == [(0,), (1,), (2,), (3,)]


def test_the_most_probable_class_comes_first():
    assert choices.class_choices(Labels((("cat",),)))[0] == ("the most probable class", "")


@pytest.mark.parametrize(("weights", "strides"), [("mnist-lenet5", [4, 2, 1]), ("scene-digits", [32, 16, 8])])
def test_strides_are_the_own_one_its_half_and_its_quarter(weights, strides):
    assert choices.stride_choices(load(weights)) == strides


def test_strides_that_are_no_whole_pixels_are_not_offered():
    assert choices.stride_choices(types.SimpleNamespace(output_stride=6)) == [6, 3]


def test_weights_with_a_head_that_are_on_this_machine():
    names = choices.weight_choices()
    assert {"scene-digits", "mnist-lenet5", choices.default_weights()} <= set(names)
    assert not any("notop" in name for name in names)


@pytest.mark.parametrize("sample", choices.SAMPLES, ids=lambda sample: sample.path.name)
def test_each_sample_is_there_with_its_weights(sample):
    assert sample.path.is_file()
    assert sample.weights in choices.weight_choices()
