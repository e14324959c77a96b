"""The numbers of a population against sums done by hand, and what its page must say."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from ahsar.lab.report.population import page, pictures
from ahsar.lab.report.population.numbers import combined, net_of
from ahsar.lab.report.population.pictures import binned
from ahsar.lab.results.population import Net, take
from tests.lab.report import seen

WORKLOAD: dict[str, Any] = {
    "model": {"name": "mlp", "threshold": 0.5, "gain": 2.0, "batch_norm": False},
    "optimizer": {"lr": 1e-3},
}
DRAW = {"axes": {"model": "mlp", "data": "digits", "optimizer": "adam"}, "classes": 10, "workload": WORKLOAD}
# final tests; None for a trial that diverged
NETS: list[dict[str, float | None]] = [
    {"baseline": 0.50, "ahsar": 0.60, "attached": 0.50, "constant@0.4": 0.70, "constant@2": 0.40},
    {"baseline": 0.80, "ahsar": 0.80, "attached": 0.80, "constant@0.4": 0.70, "constant@2": 0.82},
    {"baseline": 0.10, "ahsar": 0.50, "attached": 0.10, "constant@0.4": 0.25, "constant@2": None},
    {"baseline": 0.90, "ahsar": 0.88, "attached": 0.90, "constant@0.4": 0.90, "constant@2": 0.60},
    {"baseline": 0.12, "ahsar": 0.10, "attached": 0.12, "constant@0.4": 0.10, "constant@2": 0.10},  # nothing learns
]


def record(arm: str, test: float | None, number: int = 0) -> dict[str, Any]:
    kind = "done" if test is not None else "diverged"
    operations = 100.0 * (2 if arm == "ahsar" else 1)
    digest = "same" if arm in ("baseline", "attached") else arm
    return {
        "trial": f"{arm}-s{number}", "arm": arm, "seed": number, "status": kind, "error": None if test is not None else "NaN",
        "workload": f"p-{number:04d}", "workload_hash": "0", "quick": False, "budget": 6, "metric": "accuracy",
        "higher_is_better": True, "target": 0.5, "steps_to_target": None, "seconds_to_target": None, "seconds": 1.0,
        "final_test": test, "mean_rate": None if test is None else test / 2, "digest": None if test is None else digest,
        "synops": None if test is None else {"effective_acs": operations - 10, "effective_macs": 10.0},
        "curve": [{"step": 0, "seconds": 0.0, "val_metric": 0.1, "rates": {"lif1": 0.1, "lif2": 0.3}}],
    }  # fmt: skip


def nets() -> dict[str, Any]:
    return {f"p-{i:04d}": net_of(DRAW, [record(arm, test, i) for arm, test in tests.items()]) for i, tests in enumerate(NETS)}


def test_a_net_has_its_properties_and_what_each_arm_lost() -> None:
    first, third = nets()["p-0000"], nets()["p-0002"]
    assert (first["threshold"], first["layers"], first["best"], first["right_constant"]) == (0.5, 2, 0.70, 0.4)
    assert first["rate_at_start"] == pytest.approx(0.2)
    assert {arm: row["regret"] for arm, row in first["arms"].items()} == pytest.approx(
        {"baseline": 0.2, "ahsar": 0.1, "attached": 0.2, "constant@0.4": 0.0, "constant@2": 0.3}
    )
    # chance 0.1 and 0.3 of the 0.4 above it that the best arm reaches: 0.22
    assert {arm: row.get("failing") for arm, row in third["arms"].items()} == {
        "baseline": True, "ahsar": False, "attached": True, "constant@0.4": False, "constant@2": None,
    }  # fmt: skip
    assert nets()["p-0003"]["right_constant"] == 1.0  # of equals the one nearest to 1


def test_arms_are_what_a_sum_by_hand_gives() -> None:
    found = combined(nets())
    ours, base, low, high = (found["arms"][arm] for arm in ("ahsar", "baseline", "constant@0.4", "constant@2"))
    assert ours["test"]["mean"] == pytest.approx((0.6 + 0.8 + 0.5 + 0.88 + 0.1) / 5)
    gaps = np.array([0.10, 0.0, 0.40, -0.02, -0.02])
    half = stats.t.ppf(0.975, 4) * gaps.std(ddof=1) / math.sqrt(5)
    assert ours["against_baseline"]["mean"] == pytest.approx(gaps.mean()) and ours["against_baseline"]["n"] == 5
    assert ours["against_baseline"]["ci95"] == pytest.approx((gaps.mean() - half, gaps.mean() + half))
    assert low["against_ahsar"]["mean"] == pytest.approx(np.mean([0.1, -0.1, -0.25, 0.02, 0.0]))
    assert base["against_baseline"] is None and ours["against_ahsar"] is None
    assert (ours["better"], ours["worse"], low["better"], low["worse"]) == (2, 2, 2, 2)
    assert (base["failing"], ours["failing"], low["failing"], high["failing"]) == (1, 0, 0, 0)
    assert ours["regret"]["mean"] == pytest.approx((0.1 + 0.02 + 0 + 0.02 + 0.02) / 5)
    assert ours["regret"]["worst"] == pytest.approx(0.1)
    # the third net is silent without help, the fifth learns nothing
    assert ours["operations"] == {"n": 3, "mean": pytest.approx(2.0), "ci95": None}
    assert (high["diverged"], high["nets"], high["against_baseline"]["n"]) == (1, 5, 4)
    assert found["right_constants"] == {"0.4": 2, "1": 2, "2": 1} and found["unlearned"] == 1
    assert found["best_constant"] == "constant@0.4"
    assert found["attached_identical"] == {"n": 5, "identical": 5}


def test_a_failed_trial_is_no_trial_of_its_arm() -> None:
    broken = {**record("shuffled", None), "status": "failed"}
    net = net_of(DRAW, [record("baseline", 0.5), record("ahsar", 0.4), broken])
    assert list(net["arms"]) == ["baseline", "ahsar"] and net["failed"] == ["shuffled"]
    assert combined({"one": net})["arms"]["ahsar"]["failed"] == 0


def test_the_page_says_what_the_numbers_say(tmp_path: Path) -> None:
    names = [f"p-{i:04d}" for i in range(len(NETS) + 1)]
    take(tmp_path, "p", "abc", False, {name: Net(DRAW["axes"], 10, WORKLOAD) for name in names}, "ahsar population p")
    rows = [record(arm, test, i) for i, tests in enumerate(NETS) for arm, test in tests.items()]
    rows[2]["digest"] = "another"
    (tmp_path / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    written = page.write(tmp_path)
    for text in (written.read_text(encoding="utf-8"), (tmp_path / "population.md").read_text(encoding="utf-8")):
        assert "better by 2 points in 2, worse in 2; 0 nets failing with it, 1 without" in text
        assert "4 of 5 nets equal the baseline bit for bit" in text and "CHECK FAILED" in text
        assert "picked after the fact, is 0.4" in text and "In 1 net no arm gets 0.1 above chance" in text
        assert "1 trial diverged" in text and "Not run yet: 1 of 6 nets" in text and "1 diverged" in text
        assert "p-0002 constant@2-s2" in text and "2.00×" in text
    found = json.loads((tmp_path / "population.json").read_text(encoding="utf-8"))
    assert found["arms"]["ahsar"]["regret"]["worst"] == pytest.approx(0.1)
    for name in ("scatter", "constants", "regret"):
        assert (tmp_path / f"population-{name}.png").read_bytes().startswith(b"\x89PNG")


def test_bins_hold_equal_shares_and_keep_equals_together() -> None:
    middles, means = binned(range(20), [2 * k for k in range(20)])
    assert (middles, means) == ([2, 7, 12, 17], [4, 14, 24, 34])
    assert binned([2] * 6 + [3] * 8, [1] * 6 + [5] * 8) == ([2, 3], [1, 5])


@pytest.mark.parametrize("count", range(1, 12))
def test_of_fewer_than_five_nets_no_mean_and_no_interval_is_shown(count: int) -> None:
    assert len(binned(range(count), range(count))[0]) == count // 5
    found = combined(
        {f"p-{i}": net_of(DRAW, [record(arm, 0.4 + 0.01 * i, i) for arm in ("baseline", "ahsar")]) for i in range(count)}
    )
    ours = found["arms"]["ahsar"]
    for row in (ours["test"], ours["against_baseline"], ours["operations"]):
        assert (row["ci95"] is not None) == (count >= 5) and row["mean"] is not None


@pytest.mark.parametrize("arms", range(1, 18))
def test_a_scatter_leaves_few_places_blank(arms: int) -> None:
    columns = pictures._columns(arms)
    assert columns <= 5 and -arms % columns <= min(-arms % each for each in (3, 4, 5))


def test_pictures_of_a_population_show_their_names_and_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(pictures, "save", lambda made, path: drawn.append(made) or path)
    found = combined(nets())
    for picture in (pictures.scatter, pictures.constants, pictures.regret):
        picture(found, tmp_path)
    for made in drawn:
        assert seen.hidden(made) < 0.05 and not seen.outside(made)
    titles = [ax.get_title(loc="left") for ax in drawn[0].axes]
    assert titles[0] == "AHSAR\nbetter 2, worse 2 of 5" and not any("attached" in title for title in titles)
    assert all(ax.xaxis.get_ticklabels() for ax in drawn[0].axes)
