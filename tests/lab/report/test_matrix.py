"""One page over comparisons that were run one by one is the page of a matrix."""

import json
from pathlib import Path
from typing import Any

import pytest

from ahsar.errors import ResultsError
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.matrix.numbers import combined
from ahsar.lab.report.matrix.page import combine, findings
from ahsar.lab.results.records import read
from tests.lab.report.test_comparison import records, save


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
        "a": scored(baseline_norm=0.05, ahsar_norm_and_continual=0.08),
        "b": scored(baseline_norm=0.03, ahsar_norm_and_continual=0.10),
        "c": scored(),
    }
    got = combined(dict.fromkeys(cells, one), cells)
    both = got["ood"]["norm+continual"]
    assert both["n"] == 2 and both["wins_ties_losses"] == [2, 0, 0] and got["ood"]["frozen"]["n"] == 3
    assert both["difference"]["mean"] == pytest.approx(0.09) and both["above_batch_norm"]["mean"] == pytest.approx(0.05)
    half = 12.706204736 * 0.02  # t of one degree of freedom, times the deviation of the mean
    assert both["above_batch_norm"]["ci95"] == pytest.approx([0.05 - half, 0.05 + half])
    said = " ".join(findings({**got, "missing": []}))
    assert "scales that adapt on and on: +0.090" in said and "Against the adapting rival: +0.050" in said
    # from before the rows were there: not a word of them
    older = combined({"a": one, "c": one}, {"a": scored(baseline_norm=0.05), "c": scored()})
    assert list(older["ood"]) == ["frozen", "continual", "batch_norm"]
    assert "Against the adapting rival" not in " ".join(findings({**older, "missing": []}))
