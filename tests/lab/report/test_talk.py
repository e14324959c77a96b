"""Pictures for a talk: 16:9, large letters that hide nothing, and titles that say the report's numbers, losses too."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from ahsar.cli import app as commands
from ahsar.errors import ResultsError
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.population import page as population_page
from ahsar.lab.report.talk import comparison, matrix, population
from ahsar.lab.results.population import Net, take
from tests.lab.report import seen
from tests.lab.report.test_comparison import records, save, trial
from tests.lab.report.test_matrix import matrix_of
from tests.lab.report.test_population import DRAW, NETS, WORKLOAD, record

ARMS = ("baseline", "ahsar", "shuffled", "constant@0.4", "constant@2", "rate-loss@0.1")


def title(made: Figure) -> str:
    return made.texts[0].get_text().replace("\n", " ")


def check(slides: dict[str, Figure]) -> dict[str, str]:
    """What holds of every picture; returns the titles."""
    for name, made in slides.items():
        width, height = made.get_size_inches()
        assert width / height == pytest.approx(16 / 9)
        small = {
            text.get_text(): text.get_fontsize() for text in seen.texts(made) if text.get_fontsize() < 18 * width / (40 / 3)
        }
        assert not small, (name, small)
        assert seen.hidden(made) < 0.05 and not seen.outside(made), (name, title(made))
        assert any(letter.isdigit() for letter in title(made))
        for axis in (axis for ax in made.axes for axis in (ax.xaxis, ax.yaxis)):
            ticks = [text for label in axis.get_ticklabels() if (text := label.get_text())]
            assert len(set(ticks)) == len(ticks), (name, ticks)
    return {name: title(made) for name, made in slides.items()}


def test_a_comparison(tmp_path: Path) -> None:
    folder = save(tmp_path, rows := records(ARMS, seeds=6))
    ours = summarise(rows)["arms"]["ahsar"]
    said = check(comparison.slides(folder))
    assert list(said) == ["learning", "opponents", "price"]
    assert said["learning"].startswith(f"AHSAR is {ours['speedup']['median']:.2f}× as fast as the untouched net")
    against = summarise(rows)["against"]["constant"]["speedup"]["median"]
    assert f"AHSAR is {against:.2f}× as fast as the best constant (× 0.4)" in said["opponents"]
    assert (
        f"{ours['final_test']['mean']:.3f} with AHSAR" in said["price"]
        and f"{ours['pareto']['mean_rate']:.2f}×" in said["price"]
    )


@pytest.mark.parametrize(("speed", "said"), [
    ({"median": 1.5, "ci95": (1.2, 1.8), "n": 6, "faster": True}, "AHSAR is 1.50× as fast as the untouched net to"),
    ({"median": 0.5, "ci95": (0.4, 0.6), "n": 6, "faster": False}, "AHSAR is slower: 0.50× as fast"),
    ({"median": 0.5, "ci95": None, "n": 3, "faster": False}, "AHSAR is not shown to be faster: 0.50× as fast"),
    ({"median": 1.2, "ci95": (0.9, 1.6), "n": 6, "faster": False}, "AHSAR is not shown to be faster: 1.20× as fast"),
    ({"median": None, "ci95": None, "n": 6, "faster": False}, "Neither AHSAR nor the untouched net reached accuracy 0.9"),
])  # fmt: skip
def test_the_title_says_losses_and_doubts(speed: dict[str, Any], said: str) -> None:
    speed |= {"reached_baseline": 6, "reached_controlled": 6}
    assert comparison.message({"arms": {"ahsar": {"speedup": speed}}, "metric": "accuracy", "target": 0.9}).startswith(said)


def test_a_matrix(tmp_path: Path) -> None:
    slow = [
        trial(arm, s, pace=2.0 if arm == "ahsar" else 0.8, top=0.93 if arm == "ahsar" else 0.95)
        for arm in ARMS[:2]
        for s in range(3)
    ]
    cells = {f"c{k}": [trial(arm, s + 10 * k) for arm in ARMS[:5] for s in range(3)] for k in range(4)} | {"slow": slow}
    numbers = matrix_of(tmp_path, cells, 2.0)
    slides = matrix.slides(tmp_path)
    said = check(slides)
    row = numbers["opponents"]["baseline"]
    win, _, loss = row["wins_ties_losses"]
    assert loss == 1 and f"{row['steps']['mean']:.2f}× as fast" in said["speed"]
    assert f"faster in {win}, slower in {loss} of {row['n']} cells" in said["speed"]
    assert f"{row['final_test_difference']['mean']:+.3f}" in said["final-test"]
    assert f"worse in {row['final_wins_ties_losses'][2]} cells" in said["final-test"]
    assert f"{numbers['opponents']['constant']['steps']['mean']:.2f}× as fast as the best constant" in said["opponents"]
    for name in ("speed", "final-test"):  # the loss has its name
        assert any("slow" in text.get_text() for text in slides[name].axes[0].texts)


def test_a_matrix_in_which_the_baseline_never_learns_says_a_bound_and_without_any_target_no_speed(tmp_path: Path) -> None:
    pairs = [(arm, seed) for arm in ARMS[:2] for seed in range(2)]
    matrix_of(tmp_path / "one", {"c": [trial(arm, seed, dead=arm == "baseline") for arm, seed in pairs]}, None)
    slides = matrix.slides(tmp_path / "one")
    check(slides)
    assert any("c (at least)" in text.get_text() for text in slides["speed"].axes[0].texts)
    matrix_of(tmp_path / "none", {"c": [trial(arm, seed, dead=True) for arm, seed in pairs]}, None)
    assert "speed" not in check(matrix.slides(tmp_path / "none"))


def of_population(folder: Path) -> Path:
    names = [f"p-{i:04d}" for i in range(len(NETS))]
    take(folder, "p", "abc", False, {name: Net(DRAW["axes"], 10, WORKLOAD) for name in names}, "ahsar population p")
    rows = [record(arm, test, i) for i, tests in enumerate(NETS) for arm, test in tests.items()]
    (folder / "trials.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return folder


def test_a_population(tmp_path: Path) -> None:
    arms = population_page.collect(of_population(tmp_path))["arms"]
    said = check(population.slides(tmp_path))
    ours, best = arms["ahsar"], arms["constant@0.4"]
    assert said["nets"] == f"AHSAR helps {ours['better']} of 5 nets and harms {ours['worse']}"
    assert f"{ours['against_baseline']['mean']:+.3f} with AHSAR" in said["means"]
    assert f"{best['against_baseline']['mean']:+.3f} with the best constant" in said["means"]
    assert f"AHSAR harms {ours['worse']} of 5 nets, the best constant {best['worse']} of 5" in said["better-and-worse"]
    assert f"{ours['operations']['mean']:.2f}×" in said["price"]


def test_the_command_draws_what_the_folder_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = of_population(tmp_path / "p")
    commands.figures("talk", [folder])
    names = sorted(path.name for path in (folder / "talk").iterdir())
    assert names[:2] == ["1-nets.png", "1-nets.svg"] and len(names) == 8
    with pytest.raises(ResultsError, match="one results folder, not 2"):
        commands.figures("talk", [folder, folder])
    alone = save(tmp_path / "alone", records(("baseline",), seeds=1))
    with pytest.raises(ResultsError, match="no seed in common: run `ahsar compare digits"):
        commands.figures("talk", [alone])
