"""The notebooks run as they are, without a warning, and are stored with what they print and draw."""

from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("nbclient")

from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from tests import notebooks

BY_NAME = pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=lambda path: path.stem)


@BY_NAME
def test_what_it_prints_and_draws_is_stored(path: Path) -> None:
    assert path.stat().st_size < 150_000
    cells = notebooks.code_of(notebooks.read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))  # in one go, from the top
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)  # the homeostat's plot
    assert any("Homeostat: " in "".join(output.get("text", "")) for output in outputs)  # and its table


@pytest.mark.slow
@pytest.mark.timeout(900)
@BY_NAME
def test_it_runs_without_a_warning(path: Path) -> None:
    notebook = notebooks.read(path)
    for name in ("snntorch", "spikingjelly", "sklearn", "matplotlib"):
        if any(name in cell.source for cell in notebooks.code_of(notebook)) and find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    stored = [[output.output_type for output in cell.outputs] for cell in notebooks.code_of(notebook)]
    notebooks.run(notebook)
    assert [[output.output_type for output in cell.outputs] for cell in notebooks.code_of(notebook)] == stored


def test_a_warning_is_an_error() -> None:
    warning = new_notebook(cells=[new_code_cell("import warnings"), new_code_cell("warnings.warn('of a user')")])
    with pytest.raises(CellExecutionError, match="of a user"):
        notebooks.run(warning)


def test_there_are_notebooks() -> None:
    assert {path.stem for path in notebooks.NOTEBOOKS} == {"snntorch", "spikingjelly", "events"}
