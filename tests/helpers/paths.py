"""Where the project and the files of the tests lie."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
