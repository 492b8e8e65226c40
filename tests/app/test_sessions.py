"""Sessions without a page: their images and maps, and the limits on them."""

import threading

import numpy as np
import pytest
from bad_images import bad_files
from PIL import Image
from sample_scenes import LENET5, STRIP

from vggfcn.app import sessions as module
from vggfcn.app.safety.bodies import visitor_of
from vggfcn.app.sessions import Settings
from vggfcn.errors import ImageError, LabelError, MemoryLimitError, VGGFCNError
from vggfcn.evaluation.localization import demand


def test_an_image_is_evaluated_and_both_networks_are_compared(result):
    assert result.localization.group.name == "0"
    assert result.localization.scores.logits.shape == (1, 68, 10)
    # The only 0 among the ten is the fourth digit; digits are 30 pixels apart.
    left, top, right, bottom = result.cell_score.box
    assert left <= 2 + 3 * 30 + 13.5 <= right
    assert (top, bottom) == (0, 32)
    agreement = result.agreement
    assert agreement.max_rel_error < 2e-5
    assert max(agreement.original, key=lambda score: score.logit) == agreement.original[0]
    pairs = list(zip(agreement.original, agreement.converted, strict=True))
    assert all(original.index == converted.index for original, converted in pairs)
    assert agreement.max_abs_error >= max(abs(original.logit - converted.logit) for original, converted in pairs)


def test_another_class_or_cell_is_read_from_the_same_map(evaluated, monkeypatch):
    monkeypatch.setattr(evaluated, "networks", None)  # Another evaluation would fail.
    before = evaluated.last("ann")
    after = evaluated.choose_class("ann", "7")
    assert after.localization.scores is before.localization.scores
    logits = before.localization.scores.logits.astype(float)
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    assert after.localization.score == pytest.approx(probabilities[..., 7].max(), rel=1e-9)
    clicked = evaluated.click("ann", 4 * 20 + 15.5, 16)
    assert clicked.cell_score.cell == (0, 20)
    assert clicked.cell_score.score == pytest.approx(probabilities[0, 20, 7], rel=1e-9)
    assert clicked.cell_score.logit == pytest.approx(logits[0, 20, 7])
    assert clicked.cell_score.box == (80, 0, 112, 32)
    assert evaluated.choose_class("ann", "3").cell_score.cell == (0, 20)  # The clicked cell stays selected.
    most_probable = evaluated.choose_class("ann", "").localization
    assert most_probable.score == pytest.approx(probabilities.max(), rel=1e-9)


def test_a_box_is_in_pixels_of_the_image_as_it_was_read(sessions, tmp_path):
    with Image.open(STRIP) as strip:
        strip.resize((strip.width * 5, strip.height * 5)).save(tmp_path / "large.png")
    sessions.add_image("ann", tmp_path / "large.png")
    result = sessions.evaluate("ann", LENET5, "0")
    assert result.localization.image.shape[1] == module.MAX_SIDE
    scale = result.localization.original_size[1] / module.MAX_SIDE
    left, top, right, bottom = result.cell_score.window
    assert result.cell_score.box == pytest.approx((left * scale, top * scale, right * scale, bottom * scale), rel=0.02)
    assert scale > 1.1


def test_settings_reach_the_network(sessions):
    sessions.add_image("ann", STRIP)
    assert sessions.evaluate("ann", Settings("mnist-lenet5", 2), "0").localization.scores.logits.shape == (1, 136, 10)
    averaged = sessions.evaluate("ann", Settings("mnist-lenet5", None, (1.0, 1.5)), "0")
    # 48 x 453 pixels at the largest scale.
    assert averaged.localization.scores.logits.shape == (5, 106, 10)


@pytest.mark.parametrize(
    ("label", "settings", "expected", "message"),
    [
        pytest.param("cat", LENET5, LabelError, "Unknown class 'cat'", id="an unknown class"),
        pytest.param("", Settings("mnist-lenet5", None, (0.75,)), ValueError, "at least 32 x 32", id="too small"),
        pytest.param("", Settings("mnist-lenet5", 3), ValueError, "output_stride: expected", id="no such stride"),
        pytest.param("", Settings("gone.h5"), VGGFCNError, "gone.h5", id="no such weights"),
    ],
)
def test_a_refusal_says_why_and_the_next_evaluation_succeeds(sessions, label, settings, expected, message):
    sessions.add_image("ann", STRIP)
    with pytest.raises(expected, match=message):
        sessions.evaluate("ann", settings, label)
    assert (sessions.is_busy("ann"), sessions.has_map("ann")) == (False, False)
    assert sessions.evaluate("ann", LENET5, "0").localization.group.name == "0"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("notes.jpg", "^notes.jpg: not an image"),
        ("empty.png", "^empty.png: an empty file"),
        ("cut.png", "^cut.png: damaged or unreadable"),
        ("bomb.png", "^bomb.png: more than"),
        ("narrow.png", "3000 x 2 pixels"),
    ],
)
def test_a_bad_file_is_refused_by_its_own_name(sessions, tmp_path, file, message):
    bad_files(tmp_path)
    sessions.add_image("ann", tmp_path / file)
    with pytest.raises(ImageError, match=message):
        sessions.evaluate("ann", LENET5, "")
    with pytest.raises(ImageError, match="no longer has this map; drop the image again"):
        sessions.last("ann")


@pytest.mark.parametrize(("limit", "message"), [("MAX_PIXELS", "9,664 pixels"), ("MAX_MAP", "larger output stride")])
def test_what_exceeds_a_limit_is_refused_before_it_is_evaluated(sessions, monkeypatch, limit, message):
    monkeypatch.setattr(module, limit, 1000)
    sessions.add_image("ann", STRIP)
    with pytest.raises(MemoryLimitError, match=message):
        sessions.evaluate("ann", LENET5, "")


def test_limits_are_checked_against_what_really_comes_out(result):
    size = result.localization.original_size
    needed = demand(result.classifier, size, module.MAX_SIDE)
    assert needed.bytes == result.localization.scores.logits.nbytes
    assert needed.pixels == 32 * 302
    finer = demand(result.classifier, size, module.MAX_SIDE, 2, (1.0, 1.5))
    assert finer.bytes == ((48 - 32) // 2 + 1) * ((453 - 32) // 2 + 1) * 10 * 4
    assert finer.pixels == 48 * 453


def test_maps_used_last_stay_within_the_limit_on_memory(sessions, monkeypatch):
    for name in ("ann", "bob", "cyd"):
        sessions.add_image(name, STRIP)
    size = sessions.evaluate("ann", LENET5, "").size
    monkeypatch.setattr(module, "MAX_KEPT", int(2.5 * size))
    sessions.evaluate("bob", LENET5, "")
    sessions.last("ann")
    sessions.evaluate("cyd", LENET5, "")
    assert sessions.last("ann")
    assert sessions.last("cyd")
    with pytest.raises(ImageError, match="no longer has this map"):
        sessions.last("bob")


def upload(sessions, session):
    """Drop the strip as a visitor of this session; its file."""
    visitor = visitor_of(session)
    with STRIP.open("rb") as file:
        token = sessions.uploads.add(visitor, "strip.png", file)
    sessions.add_upload(session, token)
    return sessions.uploads.path(visitor, token)


def test_files_of_forgotten_sessions_are_deleted(sessions, monkeypatch):
    monkeypatch.setattr(module, "MAX_SESSIONS", (2, 3))
    files = {name: upload(sessions, name) for name in ("ann-1", "ann-2", "ann-3", "bob-1", "cyd-1")}
    # ann has one too many, then all together have.
    assert [name for name in files if sessions.has_image(name)] == ["ann-3", "bob-1", "cyd-1"]
    files["new"] = upload(sessions, "bob-1")
    sessions.forget("cyd-1")
    sessions.forget("nobody")
    assert [name for name, file in files.items() if file.exists()] == ["ann-3", "new"]
    with pytest.raises(ImageError, match="no longer has this image; drop it again"):
        sessions.evaluate("ann-1", LENET5, "")


def test_a_closed_page_takes_what_its_visitor_uploaded_but_no_other_page_uses(sessions):
    first, second = upload(sessions, "ann-1"), upload(sessions, "ann-2")
    other = upload(sessions, "bob-1")
    with STRIP.open("rb") as file:
        pending = sessions.uploads.path("ann", sessions.uploads.add("ann", "strip.png", file))
    sessions.close("ann-1")
    assert [path.exists() for path in (first, pending, second, other)] == [False, False, True, True]


def test_an_image_that_went_for_want_of_room_is_asked_for_again(sessions):
    upload(sessions, "ann-1").unlink()
    with pytest.raises(ImageError, match="no longer has this image; drop it again"):
        sessions.evaluate("ann-1", LENET5, "")


def test_samples_are_not_deleted(sessions):
    sessions.add_image("ann", STRIP)
    sessions.forget("ann")
    assert STRIP.is_file()


def test_a_visitor_with_many_maps_loses_the_own_ones_first(sessions, monkeypatch):
    for name in ("bob-1", "ann-1", "ann-2"):
        sessions.add_image(name, STRIP)
    size = sessions.evaluate("bob-1", LENET5, "").size
    monkeypatch.setattr(module, "MAX_KEPT", int(2.5 * size))
    for name in ("ann-1", "ann-2"):
        sessions.evaluate(name, LENET5, "")
    assert [sessions.has_map(name) for name in ("bob-1", "ann-1", "ann-2")] == [True, False, True]


def test_sessions_that_evaluate_at_the_same_time_each_get_their_own_class(sessions):
    found, told = {}, []

    def evaluate(name, label):
        sessions.add_image(name, STRIP)
        found[name] = sessions.evaluate(name, LENET5, label, told.append).localization

    threads = [threading.Thread(target=evaluate, args=(f"session {digit}", str(digit))) for digit in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[f"session {digit}"].group.name for digit in range(4)] == list("0123")
    for localization in found.values():
        np.testing.assert_array_equal(localization.scores.logits, found["session 0"].scores.logits)
    assert "computing the map" in told


def test_a_session_is_busy_until_it_has_a_map(sessions):
    def state():
        return sessions.is_busy("ann"), sessions.has_map("ann")

    assert state() == (False, False)
    sessions.add_image("ann", STRIP)
    during = set()
    sessions.evaluate("ann", LENET5, "", lambda text: during.add(state()))
    assert during == {(True, False)}
    assert state() == (False, True)


@pytest.mark.parametrize("weights", ["mnist-lenet5", "gone.h5"])
def test_preparing_ends_even_if_the_weights_cannot_be_used(sessions, monkeypatch, weights):
    monkeypatch.setattr(module, "default_weights", lambda: weights)
    assert not sessions.ready
    sessions.prepare()
    assert sessions.ready
    assert sessions.networks.activity == ""
