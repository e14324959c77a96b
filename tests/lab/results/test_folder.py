"""What a results folder says of itself, and its single records: damaged ones are named with the cure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ahsar.errors import ResultsError
from ahsar.lab.results import matrix, population
from ahsar.lab.results.folder import Results, commands_after, read_record

READERS: dict[str, Callable[[Path], Any]] = {
    "workload.json": lambda out: Results(out).read_workload(),
    matrix.ABOUT: matrix.about_of,
    population.ABOUT: population.read,
    "ahsar-s0.jsonl": lambda out: read_record(out / "ahsar-s0.jsonl"),
}


@pytest.mark.parametrize("content", ["", "[" * 100_000, "null", "[]", '"x"', "{}", '{"draws": 3, "cells": 3, "workload": 3}'])
@pytest.mark.parametrize("name", READERS)
def test_what_is_damaged_is_named(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ResultsError, match=name):
        READERS[name](tmp_path)


def test_a_record_that_is_whole_but_no_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ahsar-s0.jsonl"
    path.write_text(json.dumps({"trial": "ahsar-s0"}))
    with pytest.raises(ResultsError, match="lacks `arm`: remove it, and its trial is run again"):
        read_record(path)


def test_a_folder_remembers_all_commands_or_owns_that_it_knows_the_last_alone(tmp_path: Path) -> None:
    about: dict[str, Any] = {}
    for command in ("one", "two", "one", "three"):
        about = commands_after(about, command)
        assert about["command"] == command
    assert about["commands"] == ["two", "one", "three"]
    of_earlier_version = {"name": "digits", "command": "one"}
    assert commands_after(of_earlier_version, "two") == {"command": "two"}
    for command in ("one", "two"):
        matrix.take(tmp_path / "m", "small", True, {}, command)
        population.take(tmp_path / "p", "p", "abc", False, {}, command)
    for known in (matrix.about_of(tmp_path / "m"), population.about_of(tmp_path / "p")):
        assert known["commands"] == ["one", "two"]
