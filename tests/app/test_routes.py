"""The addresses of files to download."""

import io

import numpy as np
import pytest

pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')
from fastapi.testclient import TestClient

from vggfcn.app.routes import routes


@pytest.fixture
def client(evaluated):
    return TestClient(routes(evaluated, None))


def test_files_are_those_of_the_session(client, result):
    numbers = client.get("/files/probabilities.npy?session=ann")
    assert numbers.headers["content-disposition"] == 'attachment; filename="probabilities.npy"'
    np.testing.assert_array_equal(np.load(io.BytesIO(numbers.content)), result.values)
    image = client.get("/files/heatmap.png?session=ann&opacity=0.3")
    assert image.headers["content-type"] == "image/png"
    assert image.content.startswith(b"\x89PNG")
    assert image.content != client.get("/files/heatmap.png?session=ann").content


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        pytest.param("probabilities.npy?session=nobody", 404, "no longer has this image", id="another session"),
        pytest.param("heatmap.png?session=ann&opacity=0", 400, "at most 1, got 0", id="an opacity of 0"),
        pytest.param("heatmap.png?session=ann&opacity=1.5", 400, "at most 1, got 1.5", id="an opacity above 1"),
        pytest.param("heatmap.png?session=ann&opacity=x", 422, "opacity", id="no number"),
        pytest.param("heatmap.png", 422, "session", id="no session"),
    ],
)
def test_refusals_say_why(client, address, code, message):
    answer = client.get(f"/files/{address}")
    assert answer.status_code == code
    assert message in answer.text


@pytest.mark.parametrize(
    ("host", "asked", "code"),
    [("127.0.0.1", "127.0.0.1", 404), ("127.0.0.1", "evil.example", 400), (None, "evil.example", 404)],
    ids=["its own name", "a foreign name that leads here", "open to others"],
)
def test_on_loopback_only_local_names_are_answered(sessions, host, asked, code):
    client = TestClient(routes(sessions, host))
    assert client.get("/files/probabilities.npy?session=ann", headers={"Host": asked}).status_code == code
