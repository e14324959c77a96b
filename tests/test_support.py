"""docs/support.md says what the tests find: no row and no cell is missing, failed or out of date."""

import importlib.util
import re

import pytest
import torch

from ahsar.adapters._base import FRAMEWORKS
from tests import support

TESTED = "2.11.0"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # of the compiler and of the exporters, which are not ours
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.__version__.startswith(TESTED), reason=f"the table is that of torch {TESTED}"),
]


def verdicts(text: str) -> list[str]:
    """The table without the reasons in it, whose wording is other people's."""
    return [re.sub(r":[^|]*", "", line).strip() for line in text.splitlines() if line.startswith("| `")]


def test_the_table_says_what_is_found() -> None:
    missing = [name for name in (*FRAMEWORKS, "nirtorch") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the table needs every framework; not installed: {', '.join(missing)}")
    written = support.FILE.read_text(encoding="utf-8")
    found = support.render(support.build())
    assert [line for line in found.splitlines() if "FAILED" in line] == []
    assert verdicts(written) == verdicts(found), "run: python -m tests.support"
    cells = [cell.strip() for line in verdicts(written) for cell in line.strip("|").split("|")]
    assert len(cells) % 6 == 0 and all(cells) and not any("FAILED" in cell for cell in cells)
