"""The figures for print, on synthetic trials: what they show is what the records hold."""

import gzip
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ahsar.cli import app as commands
from ahsar.errors import ResultsError
from ahsar.lab.report.print import fig2, fig4, paper
from ahsar.lab.results.records import read
from ahsar.lab.spec import workload
from tests.lab.report import seen
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
    labels = {f"S = {scale:g}" for scale in GRID if scale != 1} | {"S = 1, baseline", "AHSAR", "target 0.9"}
    assert {text.get_text() for text in ax.texts if text.get_text()} == labels


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
    manifest = {"workload": asdict(workload.load("fashion-deep-plain"))}
    (other / "workload.json").write_text(json.dumps(manifest), encoding="utf-8")
    comparisons = [paper.comparison(path) for path in (folder, other, folder)]
    for draw in (fig2.draw, fig4.draw):
        made = draw(comparisons)
        named = "Fashion-MNIST, 8 convolutions, no batch norm,\nBPTT"
        assert [ax.get_title(loc="left") for ax in made.axes] == ["digits", named, "digits"]
        assert made.get_size_inches()[0] == paper.WIDE  # type: ignore[attr-defined]


@pytest.mark.parametrize("draw", [fig2.draw, fig4.draw])
def test_no_label_hides_another_and_no_line_is_too_pale(draw: Any, folder: Path, tmp_path: Path) -> None:
    crowded = save(tmp_path, records(ARMS, seeds=2, layers=9))
    made = draw([paper.comparison(folder), paper.comparison(crowded)])
    assert seen.hidden(made) < 0.05 and not seen.outside(made)
    for ax in made.axes:
        for text in ax.texts:
            assert seen.contrast(text.get_color()) >= 4.5, text.get_text()
        for line in ax.lines:
            assert seen.contrast(line.get_color()) >= 4.5, line.get_label()
        boxes = [text.get_window_extent() for text in ax.texts if text.get_text().isdigit()]
        diamonds = [line.get_xydata()[0] for line in ax.lines if line.get_marker() == "D"]
        assert not any(box.contains(*place) for box in boxes for place in ax.transData.transform(diamonds or [(0, 0)]))


def test_files_are_the_same_every_time_and_svg_keeps_its_text(folder: Path, tmp_path: Path) -> None:
    for figure, words in ((fig2, ("training step", "AHSAR")), (fig4, (r"threshold scale S \(log\)", "3 lif3"))):
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
    with pytest.raises(ResultsError, match="unknown figure 'fig3': choose from fig2, fig4, talk"):
        commands.figures("fig3", [folder])


def test_kept_results_are_read_from_their_archive(folder: Path, tmp_path: Path) -> None:
    content = gzip.compress((folder / "trials.jsonl").read_bytes())
    (tmp_path / "trials.jsonl.gz").write_bytes(content)
    assert read(tmp_path) == read(folder)
    for broken in (content[:-20], b"no archive", content[:60] + b"\0\0\0\0\0\0" + content[66:]):
        (tmp_path / "trials.jsonl.gz").write_bytes(broken)
        with pytest.raises(ResultsError, match=r"trials\.jsonl\.gz: cannot be read"):
            read(tmp_path)
