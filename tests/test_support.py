"""docs/support.md says what the tests find: no row and no cell is missing, failed or out of date."""

import importlib.util
import re

import pytest
import torch

from ahsar.adapters.registry import FRAMEWORKS
from tests import support
from tests.adapters.case import Case

TESTED = "2.11.0"
MISSING = [name for name in (*FRAMEWORKS, "nirtorch") if importlib.util.find_spec(name) is None]
WRITTEN = support.read(support.FILE.read_text(encoding="utf-8"))
pytestmark = [
    pytest.mark.slow,
    # of the compiler and of the exporters, which are not ours
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.__version__.startswith(TESTED), reason=f"the table is that of torch {TESTED}"),
    pytest.mark.skipif(bool(MISSING), reason=f"the table needs every framework; not installed: {', '.join(MISSING)}"),
]
Rows = dict[support.Key, list[Case]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return support.rows()


def verdict(cell: str) -> str:
    """The cell without the reason in it, whose wording is other people's."""
    return re.sub(r":.*", "", cell).strip()


def test_the_document_has_a_row_for_every_class_and_is_laid_out_as_it_is_written(rows: Rows) -> None:
    assert list(WRITTEN) == list(rows), "run: python -m tests.support"
    assert support.render(WRITTEN) == support.FILE.read_text(encoding="utf-8")
    assert all(len(cells) == 4 and all(cells) and "FAILED" not in "".join(cells) for cells in WRITTEN.values())


# a test for each row, so that none is long and the workers share them
@pytest.mark.parametrize("key", WRITTEN, ids="-".join)
def test_a_row_says_what_is_found(rows: Rows, key: support.Key) -> None:
    written = WRITTEN[key]
    found = support.row(key, rows[key], written[2])
    assert not any("FAILED" in cell for cell in found), found
    assert list(map(verdict, found)) == list(map(verdict, written)), "run: python -m tests.support"


def test_two_processes_are_what_the_rows_say(rows: Rows) -> None:
    found = support.distributed([cases[0] for cases in rows.values()])
    assert {key: verdict(found[str(cases[0])]) for key, cases in rows.items()} == {
        key: verdict(cells[2]) for key, cells in WRITTEN.items()
    }
