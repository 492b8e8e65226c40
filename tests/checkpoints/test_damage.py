"""The error for damaged files says what to do, and no other module words that itself."""

from paths import ROOT

from vggfcn.checkpoints.damage import damaged
from vggfcn.errors import WeightsError


def test_the_error_names_the_file_the_problem_and_what_to_do():
    error = damaged("x.h5", "the file ends too early")
    assert isinstance(error, WeightsError)
    assert str(error) == "x.h5: the file ends too early; download the file again"


def test_the_advice_is_written_in_one_place():
    package = ROOT / "vggfcn"
    assert [path.name for path in package.rglob("*.py") if "download the file again" in path.read_text()] == [
        "damage.py"
    ]
