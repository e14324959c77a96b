"""The figures for print, on synthetic trials: what they show is what the records hold."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ahsar.cli import app as commands
from ahsar.errors import ResultsError
from ahsar.lab.report import style
from ahsar.lab.report.print import fig2, fig4, paper
from ahsar.lab.results.records import read
from tests.lab.report.test_comparison import GRID, records, save, trial

ARMS = ("baseline", "ahsar", *(f"constant@{scale:g}" for scale in GRID))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return records(ARMS, seeds=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> Path:
    return save(tmp_path_factory.mktemp("figures") / "digits", rows)


def lines(ax: Any) -> dict[str, np.ndarray]:
    """(x, y) of each line by its label."""
    return {str(line.get_label()): np.array(line.get_data(), dtype=float) for line in ax.lines}


def median(rows: list[dict[str, Any]], arm: str, key: str, layer: str) -> float:
    return float(np.median([row["curve"][-1][key][layer] for row in rows if row["arm"] == arm]))


def test_fig2_shows_the_medians_of_the_records(folder: Path, rows: list[dict[str, Any]]) -> None:
    (ax,) = fig2.draw([paper.comparison(folder)]).axes
    found = lines(ax)
    assert set(found) == {*(f"S = {scale:g}" for scale in GRID), "AHSAR", "target 0.9"}
    for label, arm in (("S = 0.5", "constant@0.5"), ("S = 1", "baseline"), ("AHSAR", "ahsar")):
        curves = [row["curve"] for row in rows if row["arm"] == arm]
        assert found[label][0].tolist() == [point["step"] for point in curves[0]]
        expected = np.median([[point["val_metric"] for point in curve] for curve in curves], axis=0)
        np.testing.assert_allclose(found[label][1], expected)
    labels = {f"S = {scale:g}" for scale in GRID if scale != 1} | {"S = 1, baseline", "AHSAR"}
    assert {text.get_text() for text in ax.texts} == labels


def test_fig4_shows_rates_by_scale_and_what_was_found(folder: Path, rows: list[dict[str, Any]]) -> None:
    (ax,) = fig4.draw([paper.comparison(folder)]).axes
    found = lines(ax)
    for layer in ("lif1", "lif2", "lif3"):
        arms = {scale: "baseline" if scale == 1 else f"constant@{scale:g}" for scale in GRID}
        expected = [median(rows, arm, "rates", layer) for arm in arms.values()]
        np.testing.assert_allclose(found[layer], [list(arms), expected])
        ours = [[median(rows, "ahsar", key, layer)] for key in ("scales", "rates")]
        np.testing.assert_allclose(found[f"AHSAR {layer}"], ours)
    assert set(found["set-point 0.25"][1]) == {0.25}


def test_several_folders_make_a_grid_of_panels(folder: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "b", [{**trial(arm, 0), "workload": "second"} for arm in ("constant@0.5", "constant@2")])
    manifest = {"workload": {"paradigm": {"name": "rate-bp"}}}
    (other / "workload.json").write_text(json.dumps(manifest), encoding="utf-8")
    comparisons = [paper.comparison(path) for path in (folder, other, folder)]
    for draw in (fig2.draw, fig4.draw):
        made = draw(comparisons)
        assert [ax.get_title(loc="left") for ax in made.axes] == ["digits", "second, rate-bp", "digits"]
        assert made.get_size_inches()[0] == paper.WIDE  # type: ignore[attr-defined]


def test_files_are_the_same_every_time_and_svg_keeps_its_text(folder: Path, tmp_path: Path) -> None:
    for figure, words in ((fig2, ("training step", "AHSAR")), (fig4, ("threshold scale S", "3 lif3"))):
        one, two = (figure.write([folder], tmp_path / name) for name in "ab")
        name = figure.__name__.rpartition(".")[2]
        assert [path.name for path in one] == [f"{name}.png", f"{name}.svg"]
        assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
        svg = one[1].read_text(encoding="utf-8")
        assert all(re.search(rf"<text [^>]*>{word}</text>", svg) for word in words) and "<dc:date>" not in svg


@pytest.mark.parametrize("figure", [fig2, fig4])
def test_odd_records_are_drawn(figure: Any, tmp_path: Path) -> None:
    rows = records(("ahsar", "constant@0.5", "constant@1"), seeds=2, layers=14)
    rows[0]["curve"] = []
    rows[0]["config"] = None
    rows[2]["curve"][-1]["rates"] = {}
    rows[3]["curve"][-1]["rates"]["lif2"] = None
    rows[4]["curve"][3]["val_metric"] = None
    for row in rows[2:4]:
        row["curve"][5]["val_metric"] = float("nan")
    assert len(figure.write([save(tmp_path, rows)], tmp_path)) == 2
    assert len(figure.write([save(tmp_path, [trial("constant@0.5", 0, failed=False)])], tmp_path)) == 2


@pytest.mark.parametrize("name", ["fig2", "fig4"])
def test_without_constants_the_error_says_what_to_run(name: str, tmp_path: Path) -> None:
    rows = [*records(("baseline", "ahsar"), seeds=1), trial("constant@0.5", 0, failed=True)]
    folder = save(tmp_path, [{**row, "quick": True} for row in rows])
    told = f"ahsar compare digits --quick --arms baseline,ahsar,constant --out {folder}"
    with pytest.raises(ResultsError, match=re.escape(told)):
        commands.figures(name, [folder])
    assert [path.name for path in tmp_path.iterdir()] == ["trials.jsonl"]


def test_the_command_writes_where_it_is_told(folder: Path, tmp_path: Path) -> None:
    commands.figures("fig4", [folder], tmp_path / "here")
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["fig4.png", "fig4.svg"]
    with pytest.raises(ResultsError, match="unknown figure 'fig3': choose from fig2, fig4"):
        commands.figures("fig3", [folder])


def test_kept_results_are_read_from_their_archive(folder: Path, tmp_path: Path) -> None:
    content = gzip.compress((folder / "trials.jsonl").read_bytes())
    (tmp_path / "trials.jsonl.gz").write_bytes(content)
    assert read(tmp_path) == read(folder)
    for broken in (content[:-20], b"no archive", content[:60] + b"\0\0\0\0\0\0" + content[66:]):
        (tmp_path / "trials.jsonl.gz").write_bytes(broken)
        with pytest.raises(ResultsError, match=r"trials\.jsonl\.gz: cannot be read"):
            read(tmp_path)


def test_labels_are_moved_apart_and_stay_inside() -> None:
    got = style.apart([0.0, 0.0, 0.01, 0.5, 1.0, 1.0], 0.0, 1.0, 0.1)
    assert got == sorted(got) and min(np.diff(got)) > 0.099 and got[0] >= -1e-9 and got[-1] <= 1 + 1e-9
    assert style.apart([0.2, 0.8], 0.0, 1.0, 0.1) == [0.2, 0.8]
