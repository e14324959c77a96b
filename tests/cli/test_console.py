"""Where tables go: their width in a file or a pipe, and that no word of them is lost in a narrow terminal."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from ahsar.cli import rows
from ahsar.cli.console import WIDTH, console, print_table, say
from ahsar.cli.workloads import workloads_table
from ahsar.lab.report.robustness import page as robustness
from tests.lab.report.test_robustness import REST, cells


@pytest.mark.parametrize(("columns", "width"), [(None, WIDTH), ("80", 80)])
def test_a_pipe_gets_room_for_the_whole_table(monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert console().width == width


def printed(table: Table, width: int) -> list[str]:
    shown = Console(width=width, file=io.StringIO(), markup=False, emoji=False, highlight=False)
    print_table(shown, table)
    return shown.file.getvalue().splitlines()  # type: ignore[attr-defined]


def texts(table: Table) -> list[str]:
    """All that a table holds but for its headings."""
    return [str(cell) for column in table.columns for cell in column.cells] + [str(table.title or ""), str(table.caption or "")]


words = st.text(st.sampled_from("abcdef[]:/"), min_size=1, max_size=12)
sentences = st.lists(words, max_size=6).map(" ".join)


@given(st.data(), st.integers(1, 6), st.integers(20, 90))
@settings(max_examples=60)
def test_no_word_of_any_table_is_lost_at_any_width(drawn: Any, count: int, width: int) -> None:
    table = Table(title=drawn.draw(sentences), caption=drawn.draw(sentences))
    for _ in range(count):
        table.add_column(drawn.draw(words), no_wrap=drawn.draw(st.booleans()))
    for _ in range(drawn.draw(st.integers(1, 4))):
        table.add_row(*(drawn.draw(sentences) for _ in range(count)))
    lines = printed(table, width)
    assert max(map(cell_len, lines), default=0) <= width
    there, wanted = Counter("".join(lines)), Counter("".join(texts(table)))
    del wanted[" "]
    assert there >= wanted, wanted - there
    if there["│"]:  # a table, not a list: there words are whole as well
        assert all(word in "\n".join(lines) for cell in texts(table)[:-2] for word in cell.split())


NAMES = [f"encoder.blocks.{i}.attention.query.neuron" for i in (1, 12)]
TABLES = {
    "inspect": lambda: rows.table(
        [rows.Row(name, "LIFNode", "SpikingJelly", "0.05 to 1.25", "(64, 1, 1)", "(4, 8, 64)", "is wrong") for name in NAMES]
    ),
    "workloads": workloads_table,
    "robustness": lambda: robustness.table(
        robustness.summarise({**REST, "accuracy": cells(baseline_frozen=(0.8, 0.9), ahsar_frozen=(0.85, 0.95))})
    ),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("width", [40, 50, 80])
def test_tables_of_commands_are_whole_in_a_narrow_terminal(name: str, width: int) -> None:
    table = TABLES[name]()
    lines = printed(table, width)
    assert max(map(cell_len, lines)) <= width
    for word in " ".join(texts(table)).split():
        assert word in "\n".join(lines) or (len(word) > width / 2 and word[:9] in "\n".join(lines)), word


def test_brackets_are_no_markup_and_paths_no_pictures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown, odd = console(), "runs/[bold]/[/x]/:smile:[a]"
    say(shown, odd, "red", f": {odd}")
    shown.print(Path(odd), soft_wrap=True)
    assert capsys.readouterr().out == f"{odd}: {odd}\n{odd}\n"
