"""Bad input on the command line: one line on stderr and exit status 2, no traceback, and nothing half-written."""

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahsar import cli
from ahsar.lab.spec import workload
from ahsar.lab.spec.population import FOLDER as POPULATIONS
from ahsar.lab.study.cells import FOLDER as MATRICES
from tests.lab.report.test_comparison import records

from .common import examples, quiet
from .test_bad_files import damaged, listing

# each of these is wrong in another way too, so that a file that is still a good one runs nothing
READ = {
    "compare": (workload.FOLDER / "digits.toml", ["--arms", "magic"]),
    "compare a matrix": (MATRICES / "headline.toml", ["--quick", "--arms", "magic"]),
    "run": (workload.FOLDER / "digits.toml", ["--arm", "magic"]),
    "tune": (workload.FOLDER / "digits.toml", ["--lr", "x"]),
    "population": (POPULATIONS / "users.toml", ["--n", "1", "--arms", "magic"]),
}
words_of_people = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def outcome(*words: str) -> tuple[int, str]:
    """Exit status and stderr of `ahsar WORDS`; an error that is not ours comes through."""
    out, err = io.StringIO(), io.StringIO()
    argv, silence = mock.patch.object(sys, "argv", ["ahsar", *words]), contextlib.redirect_stdout(out)
    with argv, silence, contextlib.redirect_stderr(err), quiet(), pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0), err.getvalue()


def refused_in_one_line(*words: str) -> None:
    status, said = outcome(*words)
    assert status == 2, (words, said)
    assert "Usage:" in said or (said.startswith("error: ") and len(said.splitlines()) == 1), (words, said)


@pytest.mark.parametrize("command", READ)
@given(drawn=st.data())
@settings(max_examples=examples(15))
def test_files_of_studies(command: str, drawn: Any) -> None:
    original, options = READ[command]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / original.name
        path.write_text(drawn.draw(damaged(original.read_text(encoding="utf-8"))), encoding="utf-8")
        before = listing(Path(folder))
        with contextlib.chdir(folder):
            refused_in_one_line(command.split()[0], str(path), *options)
        assert listing(Path(folder)) == before


TRIALS = "".join(json.dumps(row) + "\n" for row in records(("baseline", "ahsar"), seeds=2))


@given(st.data())
@settings(max_examples=examples(15))
def test_folders_of_records(drawn: Any) -> None:
    cut, junk = drawn.draw(st.integers(0, len(TRIALS))), drawn.draw(words_of_people)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "trials.jsonl").write_text(TRIALS[:cut] + junk, encoding="utf-8")
        before = listing(Path(folder))
        status, said = outcome("report", folder)
        if status:
            assert status == 2 and said.startswith("error: ") and len(said.splitlines()) == 1, said
            assert listing(Path(folder)) == before


@given(name=words_of_people, content=st.binary(max_size=64))
@settings(max_examples=examples(20))
def test_models_and_checkpoints(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("file.pt").write_bytes(content)
        before = listing(Path(folder))
        for words in (
            ["bake", "file.pt"],
            ["inspect", f"x.{name}"],
            ["doctor", f"no_such_module:{name}"],
            ["report", f"./{name}/x"],
        ):
            refused_in_one_line(*words)
        refused_in_one_line("doctor", "torch.nn:Linear(2, 2)", "--data", "file.pt")
        assert listing(Path(folder)) == before
