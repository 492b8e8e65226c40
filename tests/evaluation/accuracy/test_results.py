"""The results file: whatever is left of it, a run resumes; a file of something else is left alone."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggfcn.errors import EvaluationError
from vggfcn.evaluation.accuracy.results import Guesses, ResultsFile

RUN = {"weights_sha256": "ab", "sizes": [37, 55, 73], "protocols": ["dense"]}
RESULTS = [Guesses(f"é/{index}.png", index, {"dense": [index, 3]}) for index in range(3)]


@settings(deadline=None, max_examples=50)
@given(kept=st.floats(0, 1), started=st.booleans())
def test_whatever_is_left_of_a_results_file_goes_on(tmp_path_factory, kept, started):
    path = tmp_path_factory.mktemp("results") / "r.jsonl"
    with ResultsFile(path, RUN) as file:
        for guesses in RESULTS:
            file.add(guesses)
    whole = path.read_bytes()
    left = whole[: round(kept * len(whole))]
    path.write_bytes(left)
    if not started:
        path.unlink()
    with ResultsFile(path, RUN) as file:
        complete = left.count(b"\n") - 1 if started else 0
        assert list(file.done.values()) == RESULTS[: max(complete, 0)]
        assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[: max(complete, 0) + 1])
        for guesses in RESULTS[len(file.done) :]:
            file.add(guesses)
    assert path.read_bytes() == whole


WRONG = {
    "no list of protocols": b'{"image": "a", "label": 1, "top": []}',
    "a protocol is missing": b'{"image": "a", "label": 1, "top": {}}',
    "no classes": b'{"image": "a", "label": 1, "top": {"dense": 1}}',
    "a class that is no number": b'{"image": "a", "label": 1, "top": {"dense": ["1"]}}',
    "a label that is no number": b'{"image": "a", "label": 1.5, "top": {"dense": [1]}}',
    "an image that is no name": b'{"image": [], "label": 1, "top": {"dense": [1]}}',
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            b'{"weights_sha256": "cd", "sizes": [37, 55, 73], "protocols": ["dense"]}\n',
            "results of another run, with weights_sha256 'cd' instead of 'ab'; name another file, or remove this",
            id="of other weights",
        ),
        pytest.param(
            b'{"weights_sha256": "ab", "sizes": [1, 2, 3], "protocols": ["dense"]}\n',
            r"of another run, with sizes \[1, 2, 3\] instead of \[37, 55, 73\]",
            id="at other scales",
        ),
        pytest.param(b"my diary\n", "expected results of `vggfcn evaluate`, found another file", id="text"),
        pytest.param(b"my diary", "expected results of `vggfcn evaluate`, found something else", id="text in one line"),
        pytest.param(b"[1]\n", "found another file", id="other JSON"),
        pytest.param(b"[" * 100_000 + b"\n", "found another file", id="JSON without end"),
        pytest.param(
            json.dumps(RUN).encode() + b'\n{"image": "a"}\n{"pict',
            "r.jsonl, line 2: expected an image, its label and the top classes",
            id="a line of something else",
        ),
        pytest.param(json.dumps(RUN).encode() + b"\n\0\n", "line 2: expected an image", id="a damaged line"),
        *(
            pytest.param(json.dumps(RUN).encode() + b"\n" + line + b"\n", "line 2: expected an image", id=name)
            for name, line in WRONG.items()
        ),
    ],
)
def test_a_results_file_of_something_else_is_refused_and_left_alone(tmp_path, content, message):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=message):
        ResultsFile(path, RUN)
    assert path.read_bytes() == content


def test_refuses_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(EvaluationError, match="there is no folder"):
        ResultsFile(tmp_path / "gone" / "r.jsonl", RUN)
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "r.jsonl"
    with ResultsFile(path, RUN), pytest.raises(EvaluationError, match="another process is adding results to this file"):
        ResultsFile(path, RUN)
    ResultsFile(path, RUN).close()
