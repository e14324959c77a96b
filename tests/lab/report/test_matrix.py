"""One page over comparisons that were run one by one is the page of a matrix."""

import json
from pathlib import Path

import pytest

from ahsar.errors import ResultsError
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.matrix.page import combine
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
