"""Files and folders that cannot be written are refused before the work."""

import os

import pytest

from vggfcn.cli.outputs import check_file, check_output_folder
from vggfcn.errors import VGGFCNError


@pytest.mark.parametrize("name", ["new.png", "old.png", "link.png"])
def test_files_that_can_be_written(tmp_path, name):
    (tmp_path / "old.png").write_bytes(b"")
    (tmp_path / "link.png").symlink_to(tmp_path / "old.png")
    check_file(tmp_path / name, [tmp_path / "other.png", tmp_path / "gone.png"], "choose another")


def hard_link(folder):
    (folder / "input.png").write_bytes(b"")
    os.link(folder / "input.png", folder / "out.png")


WRONG = {
    "a folder": (lambda folder: (folder / "out.png").mkdir(), "expected the name of a file, found a folder"),
    "a pipe": (lambda folder: os.mkfifo(folder / "out.png"), "expected the name of a file, found a device or a pipe"),
    "a link to a device": (lambda folder: (folder / "out.png").symlink_to("/dev/null"), "found a device or a pipe"),
    "the input under another name": (hard_link, "this is the input itself"),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_cannot_be_written(tmp_path, name):
    prepare, message = WRONG[name]
    prepare(tmp_path)
    with pytest.raises(VGGFCNError, match=f"out.png: .*{message}; choose another"):
        check_file(tmp_path / "out.png", [tmp_path / "input.png"], "choose another")


def test_a_missing_folder(tmp_path):
    with pytest.raises(VGGFCNError, match=r"there is no folder .*; create it, or choose another"):
        check_file(tmp_path / "no" / "out.png", [], "choose another")


def test_folders_of_results(tmp_path, monkeypatch):
    check_output_folder(tmp_path, "choose another")
    check_output_folder(tmp_path / "new" / "folder", "choose another")
    (tmp_path / "file").write_bytes(b"")
    for wrong in ("file", "file/folder"):
        with pytest.raises(VGGFCNError, match="file: expected a folder to write to, found a file; choose another"):
            check_output_folder(tmp_path / wrong, "choose another")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # A test may run as root, who may write anywhere.
    for refused in (lambda: check_output_folder(tmp_path, "hint"), lambda: check_file(tmp_path / "a", [], "hint")):
        with pytest.raises(VGGFCNError, match="no permission to write to this folder; hint"):
            refused()
