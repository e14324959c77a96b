"""The report, on synthetic trials from a seeded generator."""

import io
import json
import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ahsar.cli.console import print_table
from ahsar.errors import ResultsError
from ahsar.lab.report.comparison import page
from ahsar.lab.report.comparison.figures import draw
from ahsar.lab.report.comparison.seen import seen
from ahsar.lab.report.comparison.summary import markdown, summarise, table
from ahsar.lab.report.comparison.tables import header, levels_header, levels_rows, price_rows, rows
from ahsar.lab.report.comparison.words import findings, headline
from ahsar.lab.report.text import parts
from ahsar.lab.results.constants import best_constant

GRID = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
ARMS = ("baseline", "ahsar", "attached", "shuffled", *(f"constant@{s:g}" for s in GRID))


def trial(
    arm: str,
    seed: int,
    *,
    layers: int = 3,
    budget: int = 300,
    pace: float | None = None,
    top: float | None = None,
    dead: bool = False,
    failed: bool = False,
    diverged: bool = False,
    target: float = 0.9,
) -> dict[str, Any]:
    """One record as a trial would write it: a noisy saturating curve whose pace depends on the arm and the seed."""
    name, _, scale_text = arm.partition("@")
    scale = float(scale_text or 1.0)
    luck = np.random.default_rng(seed)
    kind = "baseline" if name == "attached" else arm
    own = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    paces = {"baseline": 1.0, "attached": 1.0, "ahsar": 0.5, "shuffled": 0.75}
    searched = 0.5 + 0.5 * abs(float(np.log2(scale / 0.4)))
    slowness = paces.get(name, searched) if pace is None else pace
    tau = 55 * slowness * np.exp(0.2 * luck.standard_normal() + 0.15 * own.standard_normal())
    best = top if top is not None else {"ahsar": 0.962, "baseline": 0.95, "attached": 0.95}.get(name, 0.955)
    best += 0.004 * luck.standard_normal() + 0.003 * own.standard_normal()
    names = [f"lif{i + 1}" for i in range(layers)]
    start = np.array([0.12 * 0.6**i for i in range(layers)])
    goal = {"ahsar": np.full(layers, 0.25), "shuffled": 0.25 * 0.8 ** np.arange(layers)}.get(
        name, np.clip(start * 1.4 / scale, 0, 0.9)
    )
    curve, reached, clock = [], None, 0.0
    cost = 1.02 if name in ("ahsar", "shuffled") else 1.0
    for step in range(0, budget + 1, 10):
        share = 1 - np.exp(-step / tau)
        metric = 0.1 if dead else 0.1 + (best - 0.1) * share + 0.01 * own.standard_normal() * share
        warm = 1 - np.exp(-step / 40)
        rates = start + (goal - start) * warm
        moving = {"ahsar": (start / 0.25) ** (0.6 * warm), "shuffled": ((start / 0.25) ** (0.6 * warm))[::-1]}
        scales = moving.get(name, np.full(layers, scale))
        clock = 0.012 * cost * step
        if reached is None and metric >= target:
            reached = step
        curve.append(
            {
                "step": step,
                "epoch": step // 50,
                "train_loss": None if step == 0 else float(2.3 * (1 - share)),
                "val_metric": float(metric),
                "val_loss": float(2.3 * (1 - 0.9 * share)),
                "rates": dict(zip(names, map(float, rates), strict=True)),
                "scales": dict(zip(names, map(float, scales), strict=True)),
                "gain": 1.0,
                "seconds": clock,
                "seconds_with_evaluation": clock * 1.2,
            }
        )
    rate = float(np.mean(list(curve[-1]["rates"].values())))
    record = {
        "schema": 1,
        "trial": f"{arm}-s{seed}",
        "workload": "digits",
        "workload_hash": "ab12cd34ef56",
        "quick": False,
        "arm": arm,
        "seed": seed,
        "status": "done",
        "error": None,
        "config": {"version": 1, "set_point": 0.25} if name in ("ahsar", "shuffled") else None,
        "versions": {"python": "3.11.9", "torch": "2.11.0", "ahsar": "0.1.0"},
        "device": "cpu",
        "threads": 1,
        "budget": budget,
        "metric": "accuracy",
        "higher_is_better": True,
        "target": target,
        "curve": curve,
        "steps_to_target": reached,
        "seconds_to_target": None if reached is None else 0.012 * cost * reached,
        "final_test": float(0.1 if dead else best - 0.003 + 0.002 * own.standard_normal()),
        "final_val": curve[-1]["val_metric"],
        "mean_rate": rate * float(np.exp(0.05 * own.standard_normal())),
        "spikes": 8e3 * rate,
        "synops": {"acs": 6e6 * rate * float(np.exp(0.05 * own.standard_normal())), "macs": 3e5},
        "energy_proxy_nj": 5.4e3 * rate + 1380,
        "seconds": clock,
        "seconds_with_evaluation": clock * 1.2,
        "digest": f"{zlib.crc32(f'{kind}{seed}'.encode()):08x}",
    }
    if failed or diverged:
        ending = {"status": "failed", "error": "ValueError: the loss became NaN"}
        if diverged:
            ending = {"status": "diverged", "error": "lif1.weight are not finite at step 250"}
        record |= {**ending, "curve": curve[:25] if diverged else curve[:3]}
        finals = ("steps_to_target", "seconds_to_target", "final_test", "final_val", "mean_rate", "spikes")
        record |= dict.fromkeys((*finals, "synops", "energy_proxy_nj", "seconds", "digest"))
    return record


def records(arms: tuple[str, ...] = ARMS, seeds: int = 10, **options: Any) -> list[dict[str, Any]]:
    return [trial(arm, seed, **options) for arm in arms for seed in range(seeds)]


def save(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_the_summary_holds_what_is_promised() -> None:
    got = summarise(records())
    for key in ("workload", "workload_hash", "quick", "target", "budget", "metric", "versions", "seeds", "margin"):
        assert got[key] is not None, key
    assert list(got["arms"]) == ["baseline", "ahsar", "constant", "constant-left-out", "shuffled", "attached"]
    assert [row["scale"] for row in got["constant_grid"]] == list(GRID)
    ours = got["arms"]["ahsar"]
    for key in ("reached", "n", "failed", "median_steps_to_target", "mean_rate", "synops", "energy_proxy_nj"):
        assert ours[key] is not None, key
    for key in ("speedup", "seconds_speedup"):
        low, high = ours[key]["ci95"]
        assert 1 < low < ours[key]["median"] < high and ours[key]["faster"] and ours[key]["n"] == 10
    assert ours["seconds_speedup"]["median"] == pytest.approx(ours["speedup"]["median"] / 1.02)
    assert ours["seconds_per_step_ratio"] == pytest.approx(1.02)
    low, high = ours["final_test"]["ci95"]
    assert low < ours["final_test"]["mean"] < high
    gap = got["arms"]["ahsar"]["final_test"]["mean"] - got["arms"]["baseline"]["final_test"]["mean"]
    assert ours["final_test_difference"]["mean"] == pytest.approx(gap)
    assert ours["pareto"]["mean_rate"] == pytest.approx(ours["mean_rate"] / got["arms"]["baseline"]["mean_rate"])
    assert got["arms"]["baseline"]["speedup"] is None
    assert json.loads(json.dumps(got, allow_nan=False)) == got


def test_neurobench_names_and_numbers() -> None:
    rows = records(("baseline", "ahsar", "constant@0.5", "constant@0.7"), seeds=2)
    old = summarise(rows)["neurobench"]["ahsar"]  # without the fields that records have since
    assert old["footprint"] is None and old["synaptic_operations"] == dict.fromkeys(
        ("Effective_MACs", "Effective_ACs", "Dense")
    )
    for row in rows:
        row |= {"footprint": 4000, "connection_sparsity": 0.25, "mean_rate": 0.1 + 0.2 * row["seed"]}
        row["synops"] = {"acs": 9.0, "macs": 8.0, "effective_acs": 5.0 + row["seed"], "effective_macs": 6.0, "dense": 20.0}
    got = summarise(rows)
    assert list(got["neurobench"]) == list(got["arms"]) == ["baseline", "ahsar", "constant", "constant-left-out"]
    ours = got["neurobench"]["ahsar"]
    assert ours["classification_accuracy"] == got["arms"]["ahsar"]["final_test"]["mean"]
    assert ours["activation_sparsity"] == pytest.approx(0.8)
    assert (ours["footprint"], ours["connection_sparsity"]) == (4000, 0.25)
    assert ours["synaptic_operations"] == {"Effective_MACs": 6.0, "Effective_ACs": 5.5, "Dense": 20.0}
    for row in rows:
        row["metric"] = "top-5"
    assert summarise(rows)["neurobench"]["ahsar"]["classification_accuracy"] is None


def test_every_arm_has_its_price() -> None:
    got = summarise(records(("baseline", "ahsar"), seeds=2))
    cells = {row[0]: row for row in price_rows(got)}
    ours = got["arms"]["ahsar"]
    ratio = ours["energy_proxy_nj"] / got["arms"]["baseline"]["energy_proxy_nj"]
    assert cells["AHSAR"][-1] == f"{ours['energy_proxy_nj'] / 1000:.3g} µJ ({ratio:.2f}×)"
    assert cells["AHSAR"][-2] == "300 k (1.00×)" and cells["baseline"][-2] == "300 k"
    none = summarise(records(("ahsar",), seeds=1, failed=True))
    assert price_rows(none)[0][1:] == ["–"] * 6


def test_the_best_constant_has_the_fewest_steps_and_then_the_best_end() -> None:
    got = summarise(records())
    steps = {row["scale"]: row["mean_steps_restricted"] for row in got["constant_grid"]}
    assert got["arms"]["constant"]["scale"] == min(steps, key=lambda scale: steps[scale])
    tied = [{**trial("constant@0.5", 0), "arm": arm} for arm in ("constant@0.5", "constant@0.7")]
    tied[1]["final_test"] = 0.99
    assert best_constant(tied) == "constant@0.7"
    for row in tied:
        row["higher_is_better"] = False
    assert best_constant(tied) == "constant@0.5"


def test_attached_is_held_against_the_baseline_bit_for_bit() -> None:
    rows = records(seeds=3)
    assert summarise(rows)["attached_identical"] == {"n": 3, "identical": 3, "different_seeds": []}
    changed = [row for row in rows if row["arm"] == "attached"]
    changed[1]["digest"] = "else"
    changed[2]["curve"][4]["val_metric"] += 1e-15
    changed[0]["curve"][4]["seconds"] += 1.0  # the clock may differ
    got = summarise(rows)
    assert got["attached_identical"] == {"n": 3, "identical": 1, "different_seeds": [1, 2]}
    assert any("CHECK FAILED" in text for text in findings(got))
    assert summarise(records(("baseline", "ahsar")))["attached_identical"] is None


def test_a_failed_trial_leaves_its_own_arm_only() -> None:
    rows = [trial(arm, seed, failed=arm == "ahsar" and seed == 2) for arm in ARMS for seed in range(8)]
    got = summarise(rows)
    assert (got["arms"]["ahsar"]["n"], got["arms"]["ahsar"]["failed"], got["arms"]["ahsar"]["speedup"]["n"]) == (
        7,
        1,
        7,
    )
    assert got["arms"]["shuffled"]["speedup"]["n"] == 8
    error = "ValueError: the loss became NaN"
    assert got["failures"] == [{"trial": "ahsar-s2", "arm": "ahsar", "seed": 2, "status": "failed", "error": error}]
    again = summarise([*rows, trial("ahsar", 2)])  # a later record of the same trial replaces it
    assert again["arms"]["ahsar"]["n"] == 8 and again["failures"] == []


def test_a_diverged_trial_counts_as_never_reaching_anything_and_withholds_faster() -> None:
    paces = {"baseline": 1.2, "ahsar": 0.2}
    trials = [trial(arm, seed, pace=paces[arm], diverged=(arm, seed) == ("ahsar", 2)) for arm in paces for seed in range(12)]
    assert max(point["val_metric"] for point in trials[14]["curve"]) > 0.9  # it had been there before it diverged
    got = summarise(trials)
    ours = got["arms"]["ahsar"]
    assert (ours["n"], ours["diverged"], ours["failed"], ours["reached"]) == (12, 1, 0, 11)
    assert [level["reached"] for level in ours["levels"]] == [11] * 4 and ours["level_speed"]["n"] == 12
    assert ours["speedup"]["n"] == 12 and ours["speedup"]["reached_controlled"] == 11
    assert ours["seconds_speedup"]["median"] == pytest.approx(ours["speedup"]["median"] / 1.02, rel=0.05)
    assert ours["final_test_difference"]["diverged"] == [1, 0] and ours["final_test_difference"]["within_margin"]
    assert ours["speedup"]["ci95"][0] > 1 and not ours["speedup"]["faster"] and not ours["level_speed"]["faster"]
    assert "do not call it faster: 1 of its trials diverged, of the baseline's none" in headline(got)
    assert any("ahsar-s2" in text and "diverged" in text for text in findings(got))
    assert rows_of(got)["AHSAR"][1] == "11/12 (1 diverged)"
    both = summarise([trial(arm, seed, diverged=seed == 2) for arm in ("baseline", "ahsar") for seed in range(8)])
    assert both["arms"]["ahsar"]["speedup"]["faster"]  # no worse than the baseline


def rows_of(summary: dict[str, Any]) -> dict[str, list[str]]:
    return {cells[0]: cells for cells in rows(summary)}


def test_the_speed_along_the_baselines_curve_is_said_with_its_misses() -> None:
    got = summarise(records(("baseline", "ahsar"), seeds=8))
    speed, shown = got["arms"]["ahsar"]["level_speed"], {cells[0]: cells for cells in levels_rows(got)}
    assert speed["mean"] == pytest.approx(2.0, rel=0.25) and speed["faster"] and speed["ci95"][0] > 1
    assert len(levels_header(got)) == len(shown["AHSAR"]) == 6 and shown["baseline"][-1] == "–"
    assert "(at 35 %)" in levels_header(got)[1] and "Along the baseline's own curve (4 levels" in " ".join(findings(got))
    slow = summarise(
        [trial(arm, seed, top=0.85 if arm == "ahsar" else None) for arm in ("baseline", "ahsar") for seed in range(8)]
    )
    assert slow["arms"]["ahsar"]["level_speed"]["bound"] in ("≤", "≈")
    assert any(cell == "never" or cell.endswith("/8)") for cell in levels_rows(slow)[1][1:-1])
    dead = summarise(records(("baseline", "ahsar"), seeds=5, dead=True))
    assert dead["arms"]["ahsar"]["level_speed"] is None and levels_rows(dead) == []
    assert "The baseline did not learn" in " ".join(findings(dead))


def test_misses_are_censored_in_steps_and_in_seconds() -> None:
    got = summarise(records(target=0.95))
    base, ours = got["arms"]["baseline"], got["arms"]["ahsar"]
    assert base["reached"] < 10
    assert ours["speedup"]["reached_baseline"] == base["reached"] and "restricted" in ours["speedup"]["method"]
    assert ours["seconds_speedup"]["median"] == pytest.approx(ours["speedup"]["median"], rel=0.05)


def test_faster_but_worse_is_not_called_faster() -> None:
    rows = [trial(a, s, pace=0.3 if a == "ahsar" else 1, top=0.92 if a == "ahsar" else None) for a in ARMS for s in range(8)]
    got = summarise(rows)
    found = got["arms"]["ahsar"]["speedup"]
    assert found["ci95"][0] > 1 and not found["faster"]
    assert "do not call it faster" in headline(got)
    assert summarise(rows, margin=0.1)["arms"]["ahsar"]["speedup"]["faster"]


def test_a_metric_that_should_be_low_turns_the_margin_around() -> None:
    rows = [{**row, "higher_is_better": False, "metric": "error"} for row in records(("baseline", "ahsar"))]
    got = summarise(rows)["arms"]["ahsar"]
    assert got["final_test_difference"]["mean"] > 0.01 and not got["final_test_difference"]["within_margin"]
    assert not got["speedup"]["faster"]


def test_trials_of_two_workloads_are_refused() -> None:
    with pytest.raises(ResultsError, match="workload_hash"):
        summarise([trial("baseline", 0), {**trial("ahsar", 0), "workload_hash": "000000000000"}])
    with pytest.raises(ResultsError, match="no trials"):
        summarise([])


CASES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "faster": (records(), "as fast as the baseline (95 % interval"),
    "few": (records(seeds=3), "Nothing can be said yet"),
    "four": (records(seeds=4), "Nothing is certain yet"),
    "same": ([{**trial("baseline", s), "arm": a} for a in ("baseline", "ahsar") for s in range(6)], "very same steps"),
    "unclear": (records(("baseline", "ahsar"), pace=1.0), "interval includes 1"),
    "slower": ([trial(a, s, pace=2.0 if a == "ahsar" else 0.8) for a in ARMS for s in range(8)], "AHSAR was slower"),
    "chance": (records(dead=True, seeds=5), "Neither the baseline nor AHSAR reached"),
    "revived": ([trial(a, s, dead=a != "ahsar") for a in ("baseline", "ahsar") for s in range(6)], "at least"),
    "failed": (records(failed=True, seeds=2), "Every trial failed"),
    "alone": (records(("baseline",), seeds=2), "no finished trial of both"),
    "unpaired": ([trial("baseline", 0), trial("ahsar", 1)], "no seed in common"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_headline_says_what_happened_and_every_table_can_be_shown(case: str) -> None:
    trials, words = CASES[case]
    got = summarise(trials)
    assert words in headline(got)
    assert all(isinstance(text, str) and "None" not in text and "nan" not in text for text in findings(got))
    for width in (40, 50, 80, 140):
        console = Console(width=width, file=io.StringIO())
        print_table(console, table(got), table(got, brief=True))
        shown, _, _ = console.file.getvalue().partition("Speed-up:")  # type: ignore[attr-defined]
        whole = "gap" in shown  # the narrowest show a list for each arm
        assert whole or width == 80
        kept = header(got) if whole else ["arm", "reached", "median steps", "speed-up", "rate"]
        for cells in rows(got):
            for title, cell in zip(header(got), cells, strict=True):
                words = [word for part in parts(cell) for word in (part.split() if title == "arm" else [part])]
                assert title not in kept or all(word in shown for word in words), (title, cell)
    for grid in (False, True):
        lines = markdown(got, grid=grid).splitlines()
        assert len({line.count("|") for line in lines}) == 1


def test_rivals_that_win_are_said_to_win() -> None:
    rows = [trial(a, s, pace={"ahsar": 0.8, "constant@0.5": 0.4}.get(a)) for a in ARMS for s in range(10)]
    said = " ".join(findings(summarise(rows)))
    assert "The best constant scale (0.5, picked from 7 after the fact) beat AHSAR" in said
    assert "costs more spikes" in said


PICTURES = ["learning", "survival", "layers", "spikes"]
DRAWN: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "plain": (records(seeds=4), [*PICTURES, "scales"]),
    "one seed, one layer": (records(seeds=1, layers=1), [*PICTURES, "scales"]),
    "twenty layers": (records(("baseline", "ahsar"), seeds=2, layers=20), PICTURES),
    "all failed": (records(("baseline", "ahsar"), failed=True, seeds=2), PICTURES),
    "baseline failed": ([trial("baseline", 0, failed=True), trial("ahsar", 0)], PICTURES),
    "chance": (records(("baseline", "ahsar", "constant@0.5"), dead=True, seeds=2), PICTURES),
}


@pytest.mark.parametrize("case", DRAWN)
def test_pictures_are_drawn_from_anything(case: str, tmp_path: Path) -> None:
    rows, names = DRAWN[case]
    paths = draw(rows, tmp_path)
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
    told = seen(summarise(rows), rows)
    assert set(names) <= set(told) and not [text for text in told.values() if "None" in text or "nan" in text]


def test_the_same_trials_give_the_same_pictures_and_touch_no_global_state(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    one, two = (draw(records(("baseline", "ahsar"), seeds=2), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert dict(matplotlib.rcParams) == before


def test_odd_curves_are_drawn(tmp_path: Path) -> None:
    rows = records(("baseline", "ahsar"), seeds=2)
    rows[0]["curve"][3]["val_metric"] = None
    rows[0]["curve"][4]["val_metric"] = float("nan")
    rows[1]["curve"] = rows[1]["curve"][:1]
    rows[2]["curve"][2]["rates"] = {}
    rows[2]["curve"][5]["scales"]["lif1"] = float("nan")
    rows[3]["curve"] = []
    for row in rows:
        row.update(spikes=None, config=None)
    assert len(draw(rows, tmp_path)) == 4


def test_the_page_is_self_contained_and_whole(tmp_path: Path) -> None:
    rows = [*records(seeds=5), trial("ahsar", 9, failed=True)]
    rows[-1]["error"] = "ValueError: <script>alert(1)</script>"
    path = page.write(save(tmp_path / "out", rows))
    assert path == tmp_path / "out" / "report.html"
    names = [*(f"{name}.png" for name in [*PICTURES, "scales"]), "report.html", "summary.json", "trials.jsonl"]
    assert sorted(item.name for item in path.parent.iterdir()) == sorted(names)
    html = path.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|url\((?!#)|@import|https?://""", html)
    assert html.count('<svg class="wide"') == html.count('<svg class="narrow"') == 5
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "<dt>command</dt><dd>not recorded</dd>" in html and "2.11.0" in html
    got = json.loads((path.parent / "summary.json").read_text(encoding="utf-8"))
    assert got == summarise(rows)


def test_the_commands_are_those_that_ran_as_far_as_the_folder_says(tmp_path: Path) -> None:
    folder = save(tmp_path, records(("baseline", "ahsar"), seeds=2))

    def shown(**about: Any) -> list[str]:
        (folder / "workload.json").write_text(json.dumps(about), encoding="utf-8")
        return re.findall(r"<dt>((?:last )?commands?)</dt><dd>(.*)</dd>", page.write(folder).read_text(encoding="utf-8"))

    first, second = "ahsar compare digits --arms baseline,ahsar", "ahsar compare digits --seeds 9"
    assert shown(command=second, commands=[first, second]) == [("commands", f"<code>{first}</code><code>{second}</code>")]
    assert shown(command=first, commands=[first]) == [("command", f"<code>{first}</code>")]
    assert shown(command=second) == [("last command", f"<code>{second}</code>")]  # of an earlier version


def test_a_second_report_leaves_no_stale_picture(tmp_path: Path) -> None:
    (tmp_path / "scales.png").write_bytes(b"of an earlier run with constants")
    page.write(save(tmp_path, records(("baseline", "ahsar"), seeds=2)))
    assert not (tmp_path / "scales.png").exists()


def test_a_report_that_fails_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page.write(save(tmp_path, records(("baseline", "ahsar"), seeds=2)))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_: Any) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(page, "render", fail)
    with pytest.raises(OSError, match="disk full"):
        page.write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"trials\.jsonl: cannot be read"),
        ("", "holds no trials"),
        ('{"trial": "a"', r"trials\.jsonl, line 2: is not valid JSON"),
        ("[1, 2]", r"line 2: the record is a list, not a table"),
        ('{"trial": "ahsar-s0"}', r"line 2: the record lacks `arm`"),
        ({"seed": "one"}, r"line 2: the record has `seed` = 'one'"),
        ({"budget": True}, r"line 2: the record has `budget` = True"),
        ({"target": math.nan}, r"line 2: the record has `target` = nan"),
        ({"final_test": None}, r"line 2: the record has no `final_test`"),
        ({"synops": [1]}, r"line 2: the record has `synops` = \[1\]"),
        ({"curve": [3]}, r"line 2: the record has a `curve` with 3"),
        ({"curve": [{"step": 0}]}, r"line 2: the record has a `curve` with `seconds` = None"),
    ],
)
def test_bad_results_are_named_by_file_and_line(tmp_path: Path, content: Any, message: str) -> None:
    if isinstance(content, dict):  # a record that differs in this
        content = json.dumps({**trial("ahsar", 0), **content})
    if content is not None:
        first = json.dumps(trial("baseline", 0)) if content else ""
        (tmp_path / "trials.jsonl").write_text(f"{first}\n{content}\n", encoding="utf-8")
    with pytest.raises(ResultsError, match=message) as caught:
        page.write(tmp_path)
    assert "\n" not in str(caught.value)
    assert {item.name for item in tmp_path.iterdir()} <= {"trials.jsonl"}


def test_bytes_that_are_no_text_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "trials.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ResultsError, match="line 1"):
        page.write(tmp_path)
