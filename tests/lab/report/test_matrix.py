"""One page over comparisons that were run one by one is the page of a matrix."""

import json
from pathlib import Path
from typing import Any

import pytest

from ahsar.errors import ResultsError
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.matrix import page, tables
from ahsar.lab.report.matrix.numbers import combined
from ahsar.lab.report.matrix.page import combine
from ahsar.lab.report.matrix.words import findings, headline
from ahsar.lab.results import matrix
from ahsar.lab.results.records import read
from tests.lab.report.test_comparison import records, save, trial


def test_several_workloads_are_combined_with_holm_and_a_geometric_mean(tmp_path: Path) -> None:
    pairs = ("baseline", "ahsar")
    quick, equal = records(pairs), records(pairs, pace=1.0)
    folders = [
        save(tmp_path / name, [{**row, "workload": name} for row in rows]) for name, rows in (("w0", quick), ("w1", equal))
    ]
    folders.append(save(tmp_path / "c", [{**row, "workload": "w2"} for row in records(pairs, dead=True)]))
    path = combine(folders, tmp_path / "all")
    got = json.loads((tmp_path / "all" / "combined.json").read_text(encoding="utf-8"))
    singles = [summarise(read(folder))["arms"]["ahsar"]["speedup"] for folder in folders]
    row = got["opponents"]["baseline"]
    assert row["steps"]["mean"] == pytest.approx((singles[0]["median"] * singles[1]["median"]) ** 0.5)
    assert [got["cells"][name]["against"]["baseline"]["speedup"] for name in ("w0", "w1", "w2")] == singles
    # of two that have a p-value, so that Holm doubles the smaller one; the third reached the target nowhere
    assert 2 * singles[0]["p_value"] <= 0.05 and singles[2]["p_value"] is None
    assert (row["n"], row["steps"]["n"], row["wins_ties_losses"], row["after_holm"]) == (3, 2, [1, 1, 1], [1, 2, 0])
    html = path.read_text(encoding="utf-8")
    assert "faster in 1, level in 1, slower in 1" in html and "http" not in html


def test_combining_refuses_one_workload_twice_and_nothing(tmp_path: Path) -> None:
    folder = save(tmp_path / "a", records(("baseline", "ahsar"), seeds=2))
    with pytest.raises(ResultsError, match="one folder per workload"):
        combine([folder, folder], tmp_path / "all")
    with pytest.raises(ResultsError, match="nothing to combine"):
        combine([], tmp_path / "all")
    assert not (tmp_path / "all").exists()


CONSTANTS = ("baseline", "ahsar", "constant@0.4", "constant@2")


def matrix_of(out: Path, cells: dict[str, list[dict]], one_constant: float | None) -> dict:
    """The numbers of a matrix of these cells, by way of its folder."""
    for name, rows in cells.items():
        save(out / name, rows)
    matrix.take(out, "small", True, {name: {"data": name} for name in cells}, "ahsar compare small", one_constant)
    page.write(out)
    return json.loads((out / "matrix.json").read_text(encoding="utf-8"))


def test_every_constant_is_an_opponent_and_losses_to_them_stand_on_top(tmp_path: Path) -> None:
    cells = {
        f"c{k}": [trial(arm, seed + 10 * k, pace={"constant@0.4": 0.25}.get(arm)) for arm in CONSTANTS for seed in range(5)]
        for k in range(5)
    }
    got = matrix_of(tmp_path, cells, 2.0)
    assert list(got["opponents"]) == ["baseline", "constant", "constant-left-out", "constant-for-all"]
    best, honest, one = (got["opponents"][key]["steps"]["mean"] for key in list(got["opponents"])[1:])
    assert best <= honest < 1 < one
    text = headline(got)
    assert "slower than the best constant in hindsight (" in text and "and the constant chosen on other seeds (" in text
    assert "faster than the one constant for all cells, 2 (" in text
    assert tables.rival_rows(got)[0] == ["cell", "constant chosen on other seeds", "one constant for all cells, 2"]
    without = matrix_of(tmp_path, cells, None)
    assert "constant-for-all" not in without["opponents"] and "all cells, " not in headline(without)


def test_cells_whose_baseline_never_learns_are_named_and_counted_apart(tmp_path: Path) -> None:
    pairs = ("baseline", "ahsar")
    cells = {f"alive{k}": [trial(arm, seed + 10 * k) for arm in pairs for seed in range(3)] for k in range(2)}
    cells["dead"] = [trial(arm, seed, dead=arm == "baseline") for arm in pairs for seed in range(3)]
    got = matrix_of(tmp_path, cells, None)
    row = got["opponents"]["baseline"]
    assert got["never_learns"] == ["dead"] and (row["n"], row["learning"]["n"]) == (3, 2)
    assert (
        row["levels"]["n"] == row["learning"]["levels"]["n"] == 2
        and got["cells"]["dead"]["against"]["baseline"]["level_speed"] is None
    )
    ratios = {name: cell["against"]["baseline"]["speedup"]["median"] for name, cell in got["cells"].items()}
    assert row["learning"]["steps"]["mean"] == pytest.approx((ratios["alive0"] * ratios["alive1"]) ** 0.5)
    assert row["steps"]["mean"] == pytest.approx((ratios["alive0"] * ratios["alive1"] * ratios["dead"]) ** (1 / 3))
    assert "In the 2 of them whose baseline learns" in headline(got)
    assert any(text.startswith("Counted apart") and "dead" in text for text in findings(got))
    html = (tmp_path / "matrix.html").read_text(encoding="utf-8")
    assert "dead †" in html and "Without the cells whose baseline never learns (1)" in html


def test_cells_lost_and_trials_that_diverged_are_named(tmp_path: Path) -> None:
    slow = [
        trial(arm, seed, pace=2.0 if arm == "ahsar" else 0.8, top=0.93 if arm == "ahsar" else 0.95)
        for arm in ("baseline", "ahsar")
        for seed in range(3)
    ]
    wild = [trial(arm, seed, diverged=arm == "ahsar" and seed == 1) for arm in ("baseline", "ahsar") for seed in range(3)]
    got = matrix_of(tmp_path, {"slow": slow, "wild": wild}, None)
    said = "\n".join(findings(got))
    assert "Slower to the target than the baseline in 1 of 2 cells: slow (" in said
    assert "Final test more than 0.01 below the baseline's in 1 of 2 cells: slow (-" in said
    assert "Diverged, and so counted as never reaching a level, without a final test: wild ahsar-s1." in said
    assert "3, 2 of 3 (0, 1 diverged)" in [cells[1] for cells in tables.cell_rows(got)]
    assert "- diverged: wild ahsar-s1: " in (tmp_path / "matrix.md").read_text(encoding="utf-8")


def test_no_cell_and_no_baseline_are_said() -> None:
    assert headline({**combined({}, {}), "one_constant": None}).startswith("No cell holds both")


def scored(**gaps: float) -> dict[str, Any]:
    """What `ahsar robustness` wrote, of rows named arm_mode with their gaps to the frozen baseline."""
    rows = {"baseline_frozen": 0.0, "ahsar_frozen": 0.0, "ahsar_continual": 0.02, **gaps}
    keys = [name.replace("_and_", "+").split("_") for name in rows]
    return {
        "rows": [
            {"arm": arm, "mode": mode, "mean": {"mean": 0.5}, "gap": {"mean": gap}, "clean_gap": {"mean": 0.0}}
            for (arm, mode), gap in zip(keys, rows.values(), strict=True)
        ]
    }


def test_both_adaptations_are_held_against_batch_norm_alone_in_the_cells_that_have_it() -> None:
    one = summarise(records(("baseline", "ahsar")))
    cells = {
        "a": scored(baseline_norm=0.05, ahsar_norm=0.06, ahsar_norm_and_continual=0.08),
        "b": scored(baseline_norm=0.03, ahsar_norm=0.08, ahsar_norm_and_continual=0.10),
        "c": scored(),
    }
    got = combined(dict.fromkeys(cells, one), cells)
    both = got["ood"]["norm+continual"]
    assert both["n"] == 2 and both["wins_ties_losses"] == [2, 0, 0] and got["ood"]["frozen"]["n"] == 3
    assert both["difference"]["mean"] == pytest.approx(0.09) and both["above_batch_norm"]["mean"] == pytest.approx(0.05)
    # whether it is the adapting that does it, or the scales that were learned
    assert got["ood"]["norm"]["difference"]["mean"] == pytest.approx(0.07)
    assert got["ood"]["norm"]["above_batch_norm"]["mean"] == pytest.approx(0.03)
    half = 12.706204736 * 0.02  # t of one degree of freedom, times the deviation of the mean
    assert both["above_batch_norm"]["ci95"] == pytest.approx([0.05 - half, 0.05 + half])
    said = " ".join(findings({**got, "missing": []}))
    assert "the scales that it learned: +0.070" in said and "scales that adapt on and on: +0.090" in said
    assert "Against the adapting rival: +0.050" in said
    # from before the rows were there: not a word of them
    older = combined({"a": one, "c": one}, {"a": scored(baseline_norm=0.05), "c": scored()})
    assert list(older["ood"]) == ["frozen", "continual", "batch_norm"]
    assert "Against the adapting rival" not in " ".join(findings({**older, "missing": []}))
