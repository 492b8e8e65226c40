"""Gradio's components without files and scripts."""

import pytest

pytest.importorskip("gradio", reason='Gradio is not installed: pip install "vggfcn[app]"')

from gradio_client.utils import is_file_obj_with_meta

from vggfcn.app import components


def test_an_image_is_an_address_that_gradio_does_not_take_for_a_file():
    assert not is_file_obj_with_meta(components.shown("files/image.jpg"))
    assert components.shown("files/image.jpg")["url"] == "files/image.jpg"


def test_pictures_are_addresses_with_captions():
    shown = components.pictures([("samples/0", "six digits")]).get_config()["value"]
    assert shown == [{"image": {"path": "samples/0", "url": "samples/0"}, "caption": "six digits"}]


def test_a_dropped_file_is_the_text_that_its_upload_was_answered():
    assert components.drop().preprocess("token") == "token"
    assert components.drop().data_model is None


def test_html_is_cleaned_of_scripts():
    assert components.html("<p>a</p>").get_config()["sanitize_html"] is True
