"""The files that visitors uploaded."""

import io

import pytest

from vggfcn.app.safety import uploads as module
from vggfcn.app.safety.bodies import RequestError
from vggfcn.app.safety.uploads import Uploads, safe_name
from vggfcn.errors import ImageError


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path)


def add(uploads, visitor, size=10):
    return uploads.path(visitor, uploads.add(visitor, "a.png", io.BytesIO(bytes(size))))


def test_a_token_is_good_for_its_visitor_alone(uploads):
    token = uploads.add("ann", "a.png", io.BytesIO(b"123"))
    assert uploads.path("ann", token).read_bytes() == b"123"
    for visitor, other in (("bob", token), ("ann", str(uploads.path("ann", token))), ("ann", None), ("ann", [token])):
        with pytest.raises(ImageError, match="the server no longer has this image; drop it again"):
            uploads.path(visitor, other)


def test_files_beyond_a_visitors_limits_go_oldest_first(uploads, monkeypatch):
    monkeypatch.setattr(module, "KEPT", (2, 99))
    monkeypatch.setattr(module, "KEPT_BYTES", (100, 999))
    other, *own = add(uploads, "bob"), *(add(uploads, "ann") for _ in range(3))
    assert [path.exists() for path in (other, *own)] == [True, False, True, True]
    large = add(uploads, "ann", 95)
    assert [path.exists() for path in (other, *own, large)] == [True, False, False, False, True]


def test_files_beyond_the_limits_for_all_go_oldest_first(uploads, monkeypatch):
    monkeypatch.setattr(module, "KEPT", (99, 2))
    files = [add(uploads, name) for name in ("ann", "bob", "cyd")]
    assert [path.exists() for path in files] == [False, True, True]
    monkeypatch.setattr(module, "KEPT_BYTES", (999, 100))
    files.append(add(uploads, "dan", 85))
    assert [path.exists() for path in files] == [False, False, True, True]


def test_deleted_files_leave_nothing(uploads, tmp_path):
    first, second = add(uploads, "ann"), add(uploads, "ann")
    uploads.drop(first)
    uploads.drop(tmp_path)
    assert second.exists()
    uploads.drop_others("ann", {second})
    assert second.exists()
    uploads.drop_others("ann", set())
    assert list(tmp_path.iterdir()) == []


def test_only_so_many_files_arrive_at_the_same_time(uploads, monkeypatch):
    monkeypatch.setattr(module, "ARRIVING", (1, 2))
    with uploads.arriving("ann"):
        with pytest.raises(RequestError, match="too many files are being uploaded") as refused, uploads.arriving("ann"):
            pass
        assert refused.value.code == 429
        with uploads.arriving("bob"), pytest.raises(RequestError), uploads.arriving("cyd"):
            pass
    with uploads.arriving("ann"):
        pass


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\images\\a.png", "a.png"),
        ("a\0\x1b[31m\nb.png", "a[31mb.png"),
        ("..", "image"),
        ("", "image"),
        ("/", "image"),
        pytest.param("x" * 300 + ".png", "x" * 196 + ".png", id="300 letters"),
        pytest.param("ü" * 300, "ü" * 100, id="300 letters of two bytes"),
        pytest.param("\ud800.png", ".png", id="half a character"),
    ],
)
def test_names_that_every_file_system_takes(uploads, given, kept):
    assert safe_name(given) == kept
    assert uploads.path("ann", uploads.add("ann", given, io.BytesIO())).name == kept
