"""The width that tables get where output goes to a file or a pipe."""

import pytest

from ahsar.cli.console import WIDTH, console


@pytest.mark.parametrize(("columns", "width"), [(None, WIDTH), ("80", 80)])
def test_a_pipe_gets_room_for_the_whole_table(monkeypatch: pytest.MonkeyPatch, columns: str | None, width: int) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "dumb")
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    assert console().width == width
