"""What is behind the page, without a page: visitors, limits, drawings, and how the server starts."""

import io
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from bad_images import bad_files
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from vggfcn.app import choices as app_choices
from vggfcn.app import rendering, server
from vggfcn.app import sessions as app_sessions
from vggfcn.app.server import StartingPage
from vggfcn.app.sessions import Sessions, Settings
from vggfcn.cli import main
from vggfcn.errors import ImageError, LabelError, MemoryLimitError, VGGFCNError
from vggfcn.evaluation.localization import demand
from vggfcn.labels.labels import Labels, imagenet_labels
from vggfcn.networks.classifier import load
from vggfcn.networks.registry import EMBEDDED_FOLDER

STRIP = EMBEDDED_FOLDER / "scenes" / "ten-digits.png"
LENET5 = Settings("mnist-lenet5")


@pytest.fixture(scope="module")
def networks():
    """The networks of all tests here, built once."""
    return app_sessions.Networks()


@pytest.fixture
def sessions(tmp_path, networks):
    made = Sessions(tmp_path)
    made.networks = networks
    return made


@pytest.fixture
def seen(sessions):
    """One visitor, who has looked for a 0 on the strip of ten digits."""
    sessions.take("ann", STRIP)
    sessions.evaluate("ann", LENET5, "0")
    return sessions


def test_an_image_is_evaluated_and_both_networks_are_compared(seen):
    result = seen.last("ann")
    assert result.localization.group.name == "0"
    assert result.localization.scores.logits.shape == (1, 68, 10)
    # The only 0 among the ten is the fourth digit; digits are 30 pixels apart.
    left, top, right, bottom = result.cell_score.box
    assert left <= 2 + 3 * 30 + 13.5 <= right
    assert (top, bottom) == (0, 32)
    agreed = result.agreement
    assert agreed.max_rel_error < 2e-5
    assert max(agreed.original, key=lambda score: score.logit) == agreed.original[0]
    pairs = list(zip(agreed.original, agreed.converted, strict=True))
    assert all(one.index == other.index for one, other in pairs)
    assert agreed.max_abs_error >= max(abs(one.logit - other.logit) for one, other in pairs)


def test_another_class_or_cell_is_read_from_the_same_map(seen, monkeypatch):
    monkeypatch.setattr(seen.networks, "use", None)  # Whoever evaluates again fails.
    before = seen.last("ann")
    after = seen.ask("ann", "7")
    assert after.localization.scores is before.localization.scores
    logits = before.localization.scores.logits.astype(float)
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    assert after.localization.score == pytest.approx(probabilities[..., 7].max(), rel=1e-9)
    clicked = seen.click("ann", 4 * 20 + 15.5, 16)
    assert clicked.cell_score.cell == (0, 20)
    assert clicked.cell_score.probability == pytest.approx(probabilities[0, 20, 7], rel=1e-9)
    assert clicked.cell_score.logit == pytest.approx(logits[0, 20, 7])
    assert clicked.cell_score.box == (80, 0, 112, 32)
    assert seen.ask("ann", "3").cell_score.cell == (0, 20)  # What was clicked on stays.


def test_a_box_is_in_pixels_of_the_image_as_it_was_read(sessions, tmp_path):
    with Image.open(STRIP) as strip:
        strip.resize((strip.width * 5, strip.height * 5)).save(tmp_path / "large.png")
    sessions.take("ann", tmp_path / "large.png")
    result = sessions.evaluate("ann", LENET5, "0")
    assert result.localization.image.shape[1] == app_sessions.MAX_SIDE
    scale = result.localization.original_size[1] / app_sessions.MAX_SIDE
    left, top, right, bottom = result.cell_score.window
    assert result.cell_score.box == pytest.approx((left * scale, top * scale, right * scale, bottom * scale), rel=0.02)
    assert scale > 1.1


def test_a_group_has_the_log_sum_exp_of_its_members():
    scores = np.log([[[0.5, 0.3, 0.2]]]).astype(np.float32)
    from vggfcn.evaluation.localization import Localization
    from vggfcn.labels.groups import Group
    from vggfcn.maps.geometry import ReceptiveField
    from vggfcn.maps.score_map import ScoreMap

    image = np.zeros((32, 32, 3), np.uint8)
    both = Group("both", (0, 2))
    localization = Localization(
        image, (64, 64), ScoreMap(scores, ReceptiveField(32, 4, 0)), both, 0.7, (0, 0), (31, 31)
    )
    cell_score = localization.cell_score(5, 5)
    assert cell_score.probability == pytest.approx(0.7)
    assert cell_score.logit == pytest.approx(np.log(0.7))
    assert (cell_score.window, cell_score.box) == ((0, 0, 32, 32), (0, 0, 64, 64))


def test_settings_reach_the_network(sessions):
    sessions.take("ann", STRIP)
    assert sessions.evaluate("ann", Settings("mnist-lenet5", 2), "0").localization.scores.logits.shape == (1, 136, 10)
    averaged = sessions.evaluate("ann", Settings("mnist-lenet5", None, (1.0, 1.5)), "0")
    # 48 x 453 pixels at the largest scale.
    assert averaged.localization.scores.logits.shape == (5, 106, 10)


@pytest.mark.parametrize(
    ("wanted", "settings", "expected", "message"),
    [
        pytest.param("cat", LENET5, LabelError, "Unknown class 'cat'", id="an unknown class"),
        pytest.param("", Settings("mnist-lenet5", None, (0.75,)), ValueError, "at least 32 x 32", id="too small"),
        pytest.param("", Settings("mnist-lenet5", 3), ValueError, "output_stride: expected", id="no such stride"),
        pytest.param("", Settings("gone.h5"), VGGFCNError, "gone.h5", id="no such weights"),
    ],
)
def test_what_is_refused_says_why_and_the_next_image_is_fine(sessions, wanted, settings, expected, message):
    sessions.take("ann", STRIP)
    with pytest.raises(expected, match=message):
        sessions.evaluate("ann", settings, wanted)
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
    sessions.take("ann", tmp_path / file)
    with pytest.raises(ImageError, match=message):
        sessions.evaluate("ann", LENET5, "")
    with pytest.raises(ImageError, match="not here any more"):
        sessions.last("ann")


def test_demand_is_what_comes_out(seen):
    result = seen.last("ann")
    needed = demand(result.classifier, result.localization.original_size, app_sessions.MAX_SIDE)
    assert needed.bytes == result.localization.scores.logits.nbytes
    assert needed.pixels == 32 * 302
    finer = demand(result.classifier, result.localization.original_size, app_sessions.MAX_SIDE, 2, (1.0, 1.5))
    assert finer.bytes == ((48 - 32) // 2 + 1) * ((453 - 32) // 2 + 1) * 10 * 4
    assert finer.pixels == 48 * 453


@pytest.mark.parametrize(("limit", "message"), [("MAX_PIXELS", "9,664 pixels"), ("MAX_MAP", "larger output stride")])
def test_what_takes_too_much_is_refused_before_it_is_evaluated(sessions, monkeypatch, limit, message):
    monkeypatch.setattr(app_sessions, limit, 1000)
    sessions.take("ann", STRIP)
    with pytest.raises(MemoryLimitError, match=message):
        sessions.evaluate("ann", LENET5, "")


def test_maps_make_room_for_each_other_those_used_last_stay(sessions, monkeypatch):
    for name in ("ann", "bob", "cyd"):
        sessions.take(name, STRIP)
    size = sessions.evaluate("ann", LENET5, "").size
    monkeypatch.setattr(app_sessions, "MAX_KEPT", int(2.5 * size))
    sessions.evaluate("bob", LENET5, "")
    sessions.last("ann")
    sessions.evaluate("cyd", LENET5, "")
    assert sessions.last("ann")
    assert sessions.last("cyd")
    with pytest.raises(ImageError, match="not here any more"):
        sessions.last("bob")


def test_sessions_are_apart_and_their_files_go_with_them(sessions, tmp_path, monkeypatch):
    monkeypatch.setattr(app_sessions, "MAX_SESSIONS", 2)
    for name in ("ann", "bob", "cyd"):
        sessions.take(name, STRIP)
    assert [sessions.has_image(name) for name in ("ann", "bob", "cyd")] == [False, True, True]
    sessions.take("bob", STRIP)
    sessions.forget("cyd")
    sessions.forget("nobody")
    assert len(list(tmp_path.rglob("*.png"))) == 1
    with pytest.raises(ImageError, match="drop it again"):
        sessions.evaluate("ann", LENET5, "")


def test_two_at_once_get_what_each_asked_for(sessions):
    found, told = {}, []

    def visit(name, wanted):
        sessions.take(name, STRIP)
        found[name] = sessions.evaluate(name, LENET5, wanted, told.append).localization

    threads = [threading.Thread(target=visit, args=(f"visitor {digit}", str(digit))) for digit in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[f"visitor {digit}"].group.name for digit in range(4)] == list("0123")
    for one in found.values():
        np.testing.assert_array_equal(one.scores.logits, found["visitor 0"].scores.logits)
    assert "computing the map" in told


def test_networks_are_built_once_and_the_oldest_go(monkeypatch, networks):
    with networks.use("mnist-lenet5") as first, pytest.raises(VGGFCNError), networks_of_another_thread(networks):
        raise VGGFCNError("whatever happens inside")
    with networks.use("mnist-lenet5") as again:
        assert again is first
        assert again.at_stride(2) is again.at_stride(2)
        assert again.at_stride(None) is again.converted
    assert networks.doing == ""


class networks_of_another_thread:  # noqa: N801 - reads as a word.
    """Somebody else waits for the networks meanwhile, and is told so."""

    def __init__(self, networks):
        self.told = threading.Event()
        self.thread = threading.Thread(target=self.wait, args=(networks,))

    def wait(self, networks):
        with networks.use("mnist-lenet5", lambda text: self.told.set()):
            pass

    def __enter__(self):
        self.thread.start()
        assert self.told.wait(5)

    def __exit__(self, *error):
        pass


def test_it_is_known_whether_a_map_is_there_or_on_its_way(sessions):
    assert (sessions.is_busy("ann"), sessions.has_map("ann")) == (False, False)
    sessions.take("ann", STRIP)
    seen = []
    sessions.evaluate("ann", LENET5, "", lambda text: seen.append((sessions.is_busy("ann"), sessions.has_map("ann"))))
    assert set(seen) == {(True, False)}
    assert (sessions.is_busy("ann"), sessions.has_map("ann")) == (False, True)


def test_drawings_hold_the_window_and_files_what_is_seen(seen):
    result = seen.click("ann", 95.5, 16)
    size = result.localization.image.shape[1::-1]
    assert rendering.image(result).size == rendering.heatmap(result, 0.5).size == size
    expected = Image.fromarray(result.localization.image)
    left, top, right, bottom = result.cell_score.window
    ImageDraw.Draw(expected).rectangle((left - 1, top - 1, right, bottom), outline="black")
    ImageDraw.Draw(expected).rectangle((left, top, right - 1, bottom - 1), outline="white")
    np.testing.assert_array_equal(np.asarray(rendering.image(result)), np.asarray(expected))
    values = np.load(io.BytesIO(rendering.npy(result)))
    assert (values.dtype, values.shape) == (np.float32, size[::-1])
    np.testing.assert_array_equal(values, result.localization.scores.heatmap(0, *size[::-1]))
    with Image.open(io.BytesIO(rendering.png(result, 0.5))) as image:
        assert image.format == "PNG"
        assert image.width > size[0]


def test_words_of_others_are_no_html(seen):
    assert "<b>" not in rendering.message("<b>") + rendering.files("session=<b>")
    assert "&lt;b&gt;" in rendering.message("<b>", wrong=True)


def test_every_choice_means_what_it_shows():
    labels = imagenet_labels()
    choices = dict(reversed(app_choices.class_choices(labels)))
    assert len({meant for _, meant in app_choices.class_choices(labels)}) == len(app_choices.class_choices(labels))
    assert labels.find(choices["tench"]).members == (0,)
    assert labels.find(choices["dog (118 classes)"]) == labels.find("dog")
    cranes = [meant for shown, meant in app_choices.class_choices(labels) if shown == "crane"]
    assert [labels.find(crane).members for crane in cranes] == [(134,), (517,)]
    odd = Labels((("1",), ("0",), ("x",), ("x",)))
    found = [odd.find(meant).members for _, meant in app_choices.class_choices(odd)[1:]]
    assert found == [(0,), (1,), (2,), (3,)]


def test_strides_and_weights_to_choose_from():
    assert app_choices.stride_choices(load("mnist-lenet5")) == [4, 2, 1]
    assert app_choices.stride_choices(load("scene-digits")) == [32, 16, 8]
    assert {"scene-digits", "mnist-lenet5"} <= set(app_choices.weight_choices())
    assert not any("notop" in name for name in app_choices.weight_choices())
    assert all(sample.path.is_file() for sample in app_choices.SAMPLES)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.1.2.3", False), ("me", False)],
)
def test_which_hosts_are_this_machine_alone(host, loopback):
    assert server.is_loopback(host) is loopback


def test_the_first_page_is_there_at_once_and_leaves_the_socket():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for _ in range(2):
            with StartingPage(listening), socket.create_connection(listening.getsockname()) as asking:
                asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = asking.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.0 503")
            assert b'http-equiv="refresh"' in answer


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-c", "from vggfcn.cli.main import main; main()", "app", "--port", port],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"vggfcn: 127.0.0.1:{port} cannot be had")
    assert done.stderr.count("\n") == 1


NO_GRADIO = """
import sys
sys.modules["gradio"] = None
from vggfcn.cli.main import main
main()
"""


def test_without_gradio_it_says_how_to_get_it(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NO_GRADIO, "app", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith('vggfcn: the page needs Gradio; get it with: pip install "vggfcn[app]"')
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_host_is_warned_of(monkeypatch):
    said, served = [], []
    monkeypatch.setattr("vggfcn.cli.commands.app.messages.print", lambda text, **_: said.append(text))
    monkeypatch.setattr("vggfcn.cli.commands.app.serve", lambda host, port, announce: served.append((host, port)))
    assert CliRunner().invoke(main.app, ["app", "--host", "0.0.0.0", "--port", "1234"]).exit_code == 0
    assert CliRunner().invoke(main.app, ["app"]).exit_code == 0
    assert served == [("0.0.0.0", 1234), ("127.0.0.1", 7860)]
    assert len(said) == 1
    assert "warning: whoever reaches 0.0.0.0" in said[0]


def test_the_command_needs_no_gradio_to_be_known():
    code = "import sys, vggfcn.cli.main; print('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
