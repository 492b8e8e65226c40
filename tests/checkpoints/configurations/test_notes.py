"""Changes are counted by kind, and refusals say which layer of which file it is."""

import pathlib

import pytest

from vggfcn.checkpoints.configurations.notes import Rewriting, short

PATH = pathlib.Path("model.h5")


def test_notes_count_layers():
    rewriting = Rewriting(PATH, (2, 15))
    for kind in ("DepthwiseConv2D", "DepthwiseConv2D", "Dense"):
        rewriting.note(kind, "dropped groups=1")
    assert rewriting.notes() == (
        "rewrote 2 DepthwiseConv2D layers: dropped groups=1",
        "rewrote 1 Dense layer: dropped groups=1",
    )


@pytest.mark.parametrize(("version", "before"), [((), True), ((1, 2), True), ((2, 21), True), ((3, 0), False)])
def test_a_file_that_states_no_version_is_taken_for_an_old_one(version, before):
    assert Rewriting(PATH, version).before_keras_3 is before


def test_refusals():
    error = Rewriting(PATH).refusal("conv", "Conv2D", "is not there", "look again")
    assert str(error) == "model.h5: conv (Conv2D): is not there; look again"
    assert "model.h5: the model's configuration is empty" in str(Rewriting(PATH).malformed("is empty"))
    assert len(short("x" * 1000)) == 80
    assert (short([[]]), short(7), short(None)) == ("list", "7", "None")
