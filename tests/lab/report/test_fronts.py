"""The front of accuracy against operations."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ahsar.lab.report.matrix import fronts, tables
from ahsar.lab.report.matrix.words import findings
from tests.lab.report.test_comparison import trial
from tests.lab.report.test_matrix import matrix_of

ARMS = ("baseline", "ahsar", "attached", "constant@0.4", "constant@2", "rate-loss@0.1")
coordinate = st.integers(1, 5).map(float)


def test_what_each_arm_pays_stands_beside_what_it_gains(tmp_path: Path) -> None:
    rows = {f"c{k}": [trial(arm, seed + 10 * k) for arm in ARMS for seed in range(3)] for k in range(2)}
    rows["c1"] += [trial("tebn@0.1", 10)]  # an arm that one cell has alone is in no mean
    got = matrix_of(tmp_path, rows, None)
    assert list(got["front"]) == ["ahsar", "rate-loss@0.1", "constant@0.4", "constant@2"]

    def mean(cell: str, arm: str, of: str) -> float:
        values = [row["synops"]["acs"] if of == "acs" else row["final_test"] for row in rows[cell] if row["arm"] == arm]
        return sum(values) / len(values)

    ratios = [mean(cell, "constant@2", "acs") / mean(cell, "baseline", "acs") for cell in ("c0", "c1")]
    gaps = [mean(cell, "constant@2", "test") - mean(cell, "baseline", "test") for cell in ("c0", "c1")]
    assert got["front"]["constant@2"]["operations"]["mean"] == pytest.approx((ratios[0] * ratios[1]) ** 0.5)
    assert got["front"]["constant@2"]["gap"]["mean"] == pytest.approx(sum(gaps) / 2)
    assert got["front"]["ahsar"]["on_front"]  # the best test of all, whatever it costs
    assert any("which no other arm beats in both" in text for text in findings(got))
    assert [row[0] for row in tables.front_rows(got)] == ["constant 2", "AHSAR", "constant 0.4", "rate-loss 0.1"]
    assert [row[0] for row in tables.lasting_rows(got)] == ["c0", "c1"]
    html = (tmp_path / "matrix.html").read_text(encoding="utf-8")
    assert "What accuracy costs in synaptic operations" in html and "What lasts" in html
    assert (tmp_path / "matrix-front.png").read_bytes()[:4] == b"\x89PNG"


def test_an_arm_behind_the_front_is_said_to_be_so(tmp_path: Path) -> None:
    tops = {"ahsar": 0.93, "constant@2": 0.97}
    got = matrix_of(tmp_path, {"c": [trial(arm, seed, top=tops.get(arm)) for arm in ARMS for seed in range(3)]}, None)
    assert not got["front"]["ahsar"]["on_front"]
    assert any("it lies behind constant 2" in text for text in findings(got))


def test_one_arm_makes_no_front(tmp_path: Path) -> None:
    got = matrix_of(tmp_path, {"c": [trial(arm, seed) for arm in ("baseline", "ahsar") for seed in range(3)]}, None)
    assert tables.front_rows(got) == [] and not (tmp_path / "matrix-front.png").exists()
    assert json.loads((tmp_path / "matrix.json").read_text(encoding="utf-8")) == got


@given(st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=8))
def test_the_front_holds_whom_none_beats_and_its_line_rises(drawn: list[tuple[float, float]]) -> None:
    points = {f"arm{i}": {"operations": x, "gap": y} for i, (x, y) in enumerate(drawn)}
    edge = fronts.front(points)
    for arm, (x, y) in zip(points, drawn, strict=True):
        beaten = any((a < x and b >= y) or (a <= x and b > y) for a, b in drawn)
        assert (arm in edge) != beaten
    along = [points[arm] for arm in edge]
    for left, right in pairwise(along):
        assert left["operations"] <= right["operations"] and left["gap"] <= right["gap"]
