"""What a robustness test comes to: means and gaps in closed form, and records from before that read as they did."""

import json
from pathlib import Path
from typing import Any

import pytest

from ahsar.lab.report.robustness import page as report

REST: dict[str, Any] = {
    **{"workload": "w", "workload_hash": "0", "quick": False, "samples": 10, "batch": 128, "updates": 10},
    **{"corruptions": ["fog"], "severities": [1, 5], "data": {"source": "s"}, "versions": {}},
}


def cells(**values: tuple[float, float]) -> list[dict[str, Any]]:
    """Accuracies of two seeds: clean, and one corruption at two severities that are 0.1 and 0.3 lower."""
    return [
        {"arm": arm, "mode": mode, "seed": seed, "corruption": name, "severity": level, "accuracy": value - loss}
        for key, pair in values.items()
        for arm, mode in [key.split("_")]
        for seed, value in enumerate(pair)
        for name, level, loss in (("clean", 0, 0.0), ("fog", 1, 0.1), ("fog", 5, 0.3))
    ]


def test_means_and_paired_gaps_in_closed_form() -> None:
    values = {"baseline_frozen": (0.8, 0.9), "baseline_norm": (0.7, 0.9), "ahsar_frozen": (0.85, 0.95)}
    summary = report.summarise({**REST, "accuracy": cells(**values)})
    base, rival, ahsar = summary["rows"]
    assert [row["label"] for row in summary["rows"]] == ["baseline", "baseline, batch statistics", "AHSAR"]
    assert base["clean"]["mean"] == pytest.approx(0.85) and base["mean"]["mean"] == pytest.approx(0.65)
    half = 12.706204736 * 0.05  # t of one degree of freedom, times the deviation of the mean
    assert base["mean"]["ci95"] == pytest.approx([0.65 - half, 0.65 + half])
    assert ahsar["gap"]["mean"] == pytest.approx(0.05) and ahsar["gap"]["ci95"] == pytest.approx([0.05, 0.05])
    assert ahsar["rival_gap"]["mean"] == pytest.approx(0.1) and rival["clean_gap"]["mean"] == pytest.approx(-0.05)
    assert rival["own_gap"] == rival["gap"] and ahsar["own_gap"]["mean"] == 0
    assert {k: v["mean"] for k, v in base["severities"].items()} == pytest.approx({"1": 0.75, "5": 0.55})
    single = report.summarise({**REST, "accuracy": [c for c in cells(**values) if c["seed"] == 0]})
    assert single["rows"][0]["clean"] == {"mean": pytest.approx(0.8), "ci95": None}


KEPT = sorted((Path(__file__).parents[3] / "docs" / "results").rglob("robustness.json"))


def test_records_from_before_the_rows_where_both_act_say_what_they_said(tmp_path: Path) -> None:
    values = {f"{arm}_{mode}": (0.8, 0.9) for arm in ("baseline", "ahsar") for mode in ("frozen", "norm")}
    values |= {"ahsar_episodic": (0.8, 0.95), "ahsar_continual": (0.7, 0.75)}
    both = {"ahsar_norm+episodic": (0.9, 0.95), "ahsar_norm+continual": (0.91, 0.95)}
    older = {**REST, "accuracy": cells(**values)}
    newer = {**REST, "accuracy": cells(**values, **both), "led_to": "each layer somewhere"}
    before, now = report.summarise(older), report.summarise(newer)
    assert [row for row in now["rows"] if "+" not in row["mode"]] == before["rows"]
    new = [text for text in report.findings(now) if text not in report.findings(before)]
    assert [text[:30] for text in new] == ["With batch statistics and scal"] * 2 and len(report.findings(now)) == 6
    assert "difference +0.080" in new[1] and report.findings(now)[0] == report.findings(before)[0]
    for measured, told in ((older, False), (newer, True)):
        report.write(tmp_path, measured)
        page = (tmp_path / "robustness.html").read_text(encoding="utf-8")
        assert ("Adapting scales lead each layer somewhere." in page) == told


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.parent.name)
def test_kept_records_are_read_as_they_were_written(file: Path) -> None:
    kept = json.loads(file.read_text(encoding="utf-8"))
    again = json.loads(json.dumps(report.summarise({k: v for k, v in kept.items() if k not in ("rows", "seeds")})))
    assert list(again) == list(kept)
    for row, known in zip(again["rows"], kept["rows"], strict=True):
        assert (row["label"], row["gap"]["mean"]) == (known["label"], pytest.approx(known["gap"]["mean"]))
    assert report.findings(again) == report.findings(kept)
