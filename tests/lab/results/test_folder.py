"""What a results folder says of itself, and its single records: damaged ones are named with the cure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ahsar.errors import ResultsError
from ahsar.lab.results import matrix, population
from ahsar.lab.results.folder import Results, read_record

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
