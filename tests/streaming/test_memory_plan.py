"""How an image is cut for a memory limit, and the estimate of what maps take."""

import keras
import pytest
from pixels import layers_of
from writers import TINY

import vggfcn
from vggfcn.errors import MemoryLimitError
from vggfcn.memory import resident_bytes
from vggfcn.streaming import memory_plan
from vggfcn.streaming.memory_plan import Cut, activation_bytes, cut

layers = keras.layers


@pytest.fixture(scope="module")
def model():
    return vggfcn.build("lenet5", weights=None)


def test_what_is_chosen_grows_with_what_is_allowed(model, monkeypatch):
    monkeypatch.setattr(memory_plan, "resident_bytes", lambda: 0)
    chosen = [cut(model, (4000, 4000), allowed) for allowed in (1_500_000, 6_000_000, 20_000_000, 10**9)]
    widths = [one.strip_columns or 4000 for one in chosen]
    assert widths == sorted(widths)
    assert widths[0] < 4000 == widths[-1]
    assert chosen[-1] == Cut(256, None)
    assert chosen[0].block_rows < 256
    with pytest.raises(MemoryLimitError, match=r"expected at least \d MB .* got 0 MB; allow more, or write the map"):
        cut(model, (4000, 4000), 20_000)
    assert cut(model, (4000, 4000), 20_000_000, kept=15_000_000) != chosen[2]
    assert cut(model, (4000, 4000), 20_000_000, engine="openvino") != chosen[2]


def test_what_this_process_holds_counts(model):
    with pytest.raises(MemoryLimitError):
        cut(model, (400, 400), resident_bytes())


def test_activation_bytes_grow_with_the_width_and_the_block():
    model = vggfcn.build(TINY, weights=None)
    one = activation_bytes(model, 512, 64)
    assert activation_bytes(model, 1024, 64) == pytest.approx(2 * one, rel=0.05)
    assert one < activation_bytes(model, 512, 128) < 2 * one


def test_activation_bytes_of_two_layers_counted_by_hand():
    model = layers_of(layers.Conv2D(3, 3), layers.Conv2D(5, 1, activation="relu"))
    # 2 rows kept of 10 x 2, before and after; 8 new ones, and the 10 that are read, twice at most; 8 of 8 x 3.
    assert activation_bytes(model, 10, 8) == 4 * (2 * 2 * 20 + 8 * 20 + 2 * 10 * 20 + 8 * 24)
