"""The addresses of files to download."""

import io

import numpy as np
import pytest

pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')
from fastapi.testclient import TestClient
from PIL import Image
from sample_scenes import STRIP

from vggfcn.app.choices import SAMPLES
from vggfcn.app.routes import routes


@pytest.fixture
def client_of(evaluated):
    """What a visitor is answered, whose name the guard has found."""
    app = routes(evaluated)

    def client(visitor):
        async def named(scope, receive, send):
            await app({**scope, "state": {"visitor": visitor}}, receive, send)

        return TestClient(named)

    return client


@pytest.fixture
def ann(client_of):
    return client_of("ann")


def test_files_are_those_of_the_session(ann, result):
    numbers = ann.get("/files/probabilities.npy?session=ann")
    assert numbers.headers["content-disposition"] == 'attachment; filename="probabilities.npy"'
    np.testing.assert_array_equal(np.load(io.BytesIO(numbers.content)), result.values)
    image = ann.get("/files/heatmap.png?session=ann&opacity=0.3")
    assert image.headers["content-type"] == "image/png"
    assert image.content.startswith(b"\x89PNG")
    assert image.content != ann.get("/files/heatmap.png?session=ann").content


@pytest.mark.parametrize("name", ["heatmap.jpg", "image.jpg"])
def test_drawings_have_the_size_of_the_evaluated_image_and_are_not_kept(ann, result, name):
    drawn = ann.get(f"/files/{name}?session=ann")
    assert (drawn.headers["content-type"], drawn.headers["cache-control"]) == ("image/jpeg", "no-store")
    with Image.open(io.BytesIO(drawn.content)) as image:
        assert image.size == result.localization.image.shape[1::-1]


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        pytest.param("probabilities.npy?session=nobody", 404, "no longer has this image", id="another session"),
        pytest.param("secrets.txt?session=ann", 404, "expected one of heatmap.png", id="another file"),
        pytest.param("heatmap.png?session=ann&opacity=0", 400, "at most 1, got 0", id="an opacity of 0"),
        pytest.param("heatmap.png?session=ann&opacity=1.5", 400, "at most 1, got 1.5", id="an opacity above 1"),
        pytest.param("heatmap.png?session=ann&opacity=nan", 400, "at most 1, got nan", id="an opacity that is none"),
        pytest.param("heatmap.png?session=ann&opacity=x", 422, "opacity", id="no number"),
        pytest.param("heatmap.png", 422, "session", id="no session"),
    ],
)
def test_refusals_say_why(ann, address, code, message):
    answer = ann.get(f"/files/{address}")
    assert answer.status_code == code
    assert message in answer.text


def test_another_visitors_files_are_not_there(client_of):
    bob = client_of("bob")
    assert bob.get("/files/heatmap.png?session=ann").status_code == 404
    token = client_of("ann").post("/gradio_api/upload", files={"files": (STRIP.name, STRIP.read_bytes())}).json()[0]
    assert bob.get(f"/gradio_api/file={token}").status_code == 404
    own = client_of("ann").get(f"/gradio_api/file={token}")
    assert own.content == STRIP.read_bytes()
    assert own.headers["content-disposition"] == 'attachment; filename="ten-digits.png"'


def test_samples_are_files_of_the_package(ann):
    assert ann.get("/samples/0").content == SAMPLES[0].path.read_bytes()
    assert ann.get(f"/samples/{len(SAMPLES)}").status_code == 404
