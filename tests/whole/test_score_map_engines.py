"""`score_map` with engines: by name, and with one that was compiled before."""

import networks
import numpy as np
import pytest
from small_models import assert_same, noise
from writers import TINY

import vggfcn
from vggfcn.engines.engine import engine_of


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VGGFCN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def tiny():
    return networks.randomize(vggfcn.build(TINY, weights=None))


def test_score_map_says_which_engine_ran_and_keeps_it(tiny):
    image = noise(230, 260, 3)
    expected = np.asarray(tiny(image[None]))[0]
    for name, ran in (("tensorflow", "tensorflow"), ("openvino", "openvino"), ("auto", "openvino")):
        scores = vggfcn.score_map(tiny, image, engine=name)
        assert scores.engine == ran
        assert_same(scores.logits, expected)
        assert engine_of(tiny, name) is engine_of(tiny, name)
    assert vggfcn.score_map(tiny, image).engine == "tensorflow"


@pytest.mark.parametrize("mode", ["dense", "windows"])
def test_score_map_with_an_engine_that_was_compiled_before(mode):
    model, image = vggfcn.build("lenet5", weights=None), noise(40, 44, 1)
    engine = vggfcn.compile(model, "openvino")
    scores = vggfcn.score_map(model, image, mode=mode, engine=engine, flip=True)
    assert scores.engine == "openvino"
    np.testing.assert_allclose(scores.logits, vggfcn.score_map(model, image, flip=True).logits, atol=1e-4)
    assert not vars(model).get("_vggfcn_engines", {}).get("openvino")


def test_score_map_refuses_engines_of_other_networks(tiny):
    model = vggfcn.build("lenet5", weights=None)
    engine = vggfcn.compile(model, "tensorflow")
    with pytest.raises(ValueError, match="was compiled from this model, vgg16_conv, got <Engine tensorflow: lenet"):
        vggfcn.score_map(tiny, noise(224, 224, 3), engine=engine)
    with pytest.raises(ValueError, match="finer output stride"):
        vggfcn.score_map(model, noise(40, 40, 1), output_stride=2, engine=engine)
    with pytest.raises(ValueError, match="engine: expected 'auto', 'tensorflow', 'openvino' or an Engine, got 'fast'"):
        vggfcn.score_map(model, noise(40, 40, 1), engine="fast")
