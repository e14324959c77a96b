"""What a person sees: the table of a homeostat, its picture, and the flat numbers for loggers."""

import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import ahsar
from ahsar import SensingError
from ahsar.tables import html_table, text_table
from ahsar.view import HEADER
from tests import models

cells = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=6)
tables = st.integers(1, 4).flatmap(
    lambda n: st.tuples(
        st.lists(cells, min_size=n, max_size=n), st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)
    )
)


class Cells(HTMLParser):
    """The cells of a table, row by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._within = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self._within = True

    def handle_endtag(self, tag: str) -> None:
        self._within = self._within and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self._within:
            self.rows[-1][-1] += data


@given(tables)
def test_both_tables_hold_all_cells_but_columns_that_are_empty(drawn: tuple[list[str], list[list[str]]]) -> None:
    header, rows = drawn
    kept = [i for i in range(len(header)) if i == 0 or any(row[i] for row in rows)]
    wanted = [[row[i] for i in kept] for row in (header, *rows)]
    assert Cells(html_table(header, rows)).rows == wanted
    lines = text_table(header, rows).split("\n")
    widths = [len(dashes) for dashes in lines[1].split("  ")] if any(map(len, lines[1])) else [0]
    assert widths == [max(len(row[i]) for row in wanted) for i in range(len(kept))] or 0 in [
        max(len(row[i]) for row in wanted) for i in range(len(kept))
    ]
    for line, row in zip([lines[0], *lines[2:]], wanted, strict=True):
        assert line == "  ".join(cell.ljust(max(len(r[i]) for r in wanted)) for i, cell in enumerate(row)).rstrip()


def regulated(threshold: float = 1.0, **options: Any) -> tuple[nn.Module, torch.optim.Optimizer, ahsar.Homeostat]:
    torch.manual_seed(0)
    model = models.Net([models.LIF(), models.LIF(threshold)])
    optimizer = models.adam(model)
    return model, optimizer, ahsar.attach(model, optimizer, layers="all", **options)


def shown(homeostat: ahsar.Homeostat) -> dict[str, dict[str, str]]:
    """The rows of its table by layer, from HTML, and that the text says the same."""
    names, *rows = Cells(homeostat._repr_html_()).rows
    text = repr(homeostat)
    assert all(cell in text for row in (names, *rows) for cell in row)
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def test_a_table_says_how_each_layer_stands() -> None:
    model, optimizer, homeostat = regulated()
    assert {row["state"] for row in shown(homeostat).values()} == {"not heard yet"}
    for step in range(25):
        models.train_step(model, optimizer, step)
    for name, row in shown(homeostat).items():
        assert row["rate"] == f"{homeostat.rates[name]:.3f}" and row["scale"] == f"{homeostat.scales[name]:.3f}"
        assert row["state"] == "in band" + ", resting" * homeostat.resting[name]
        assert row["class"] == "LIF"
    assert "2 spiking layers, 25 steps, 0 epochs" in repr(homeostat)
    with homeostat.paused():
        assert ", paused" in repr(homeostat)
    homeostat.hold(1.0)
    assert all(row["state"].endswith("held") for row in shown(homeostat).values())
    homeostat.detach()
    assert ", detached" in repr(homeostat)


def test_a_layer_that_cannot_be_helped_has_advice_beside_it() -> None:
    model, optimizer, homeostat = regulated(threshold=1e4)
    for step in range(25):
        models.train_step(model, optimizer, step)
    first, second = shown(homeostat).values()
    assert second["state"].startswith("silent") and "calibrate()" in second["what to do"]
    assert first["what to do"] == ""
    low = replace(homeostat.state, average=torch.tensor([0.2, 0.03]), log_scale=torch.tensor([0.0, -9.0]))
    homeostat._regulator.become(low)
    assert shown(homeostat)["neurons.1"]["state"].startswith("low, at its bound")
    assert "Config.reach" in shown(homeostat)["neurons.1"]["what to do"]
    homeostat._regulator.become(replace(low, average=torch.tensor([0.97, 0.7])))
    first, second = shown(homeostat).values()
    assert "membrane" in first["what to do"] and second["state"].startswith("high")


def test_layers_left_alone_stand_below_with_the_reason() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), models.LIF(), nn.Linear(8, 3), models.LIF())
    homeostat = ahsar.attach(model)
    model(torch.rand(4, 8))
    homeostat.step()
    assert list(homeostat.left_alone) == ["3"]
    assert f"left alone: '3', since {homeostat.left_alone['3']}" in repr(homeostat)
    assert "left alone" in homeostat._repr_html_() and list(shown(homeostat)) == ["1"]


def test_readings_are_flat_numbers() -> None:
    model, optimizer, homeostat = regulated()
    models.train_step(model, optimizer, 0)
    readings = homeostat.readings()
    assert {key: readings[key] for key in readings if key.startswith("rate/")} == {
        f"rate/{name}": rate for name, rate in homeostat.rates.items()
    }
    assert {key.split("/")[0] for key in readings} == {"rate", "scale", "gain"} and len(readings) == 5


def test_the_picture_holds_the_history() -> None:
    pytest.importorskip("matplotlib")
    model, optimizer, homeostat = regulated()
    with pytest.raises(SensingError, match="close an epoch"):
        homeostat.plot()
    for epoch in range(3):
        models.train_step(model, optimizer, epoch)
        homeostat.epoch(0.5)
    picture = homeostat.plot()
    rates, scales = picture.axes
    for axes, key in ((rates, "rates"), (scales, "scales")):
        lines = {str(line.get_label()): list(map(float, line.get_ydata())) for line in axes.lines}  # type: ignore[arg-type]
        for name in homeostat.rates:
            assert lines[name] == [record[key][name] for record in homeostat.history]
    # notebooks ask for this, whether or not pyplot draws inline there
    assert picture._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_without_matplotlib_the_picture_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer, homeostat = regulated()
    models.train_step(model, optimizer, 0)
    homeostat.epoch(0.5)
    monkeypatch.setitem(sys.modules, "matplotlib.ticker", None)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        homeostat.plot()


def test_what_is_discovered_shows_itself() -> None:
    assert repr(ahsar.discover(nn.Linear(2, 2))).startswith("no spiking layer")
    found = ahsar.discover(nn.Sequential(nn.Linear(2, 2), models.LIF()))
    assert Cells(found._repr_html_()).rows[1][0] == "1" and "1" in repr(found) and len(found) == 1
    assert HEADER[0] == "layer"
