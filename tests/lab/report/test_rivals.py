"""Rivals in the report: told apart, in order, each against AHSAR, and repeatable by the command that is shown."""

from pathlib import Path

from ahsar.lab.arms import GRIDS, PLACEBOS, RIVALS
from ahsar.lab.report import style
from ahsar.lab.report.comparison import page
from ahsar.lab.report.comparison.figures import draw, learning
from ahsar.lab.report.comparison.summary import summarise
from ahsar.lab.report.comparison.tables import rows
from ahsar.lab.report.comparison.words import findings
from ahsar.lab.report.text import arm_name
from ahsar.lab.results.records import arms_of, best_rivals, rank
from tests.lab.report.test_comparison import records, save, trial

EVERY = tuple(f"{rival}@{number:g}" for rival, grid in GRIDS.items() for number in grid)


def test_arms_are_told_apart() -> None:
    arms = [*PLACEBOS, *RIVALS]
    assert len({style.colour(arm) for arm in arms}) == len({arm_name(arm) for arm in arms}) == len(arms)
    assert len({str(style.DASHES.get(arm, "-")) for arm in arms[2:]}) == len(arms[2:])
    assert arm_name("rate-loss@0.1") == "rate-loss 0.1" and style.colour("rate-loss@0.1") == style.colour("rate-loss")


def test_order_follows_the_placebos_then_the_number() -> None:
    mixed = ["lr@5", "tebn@1", "shuffled", "lr@0.5", "constant@0.5", "baseline", "lr@10"]
    assert sorted(mixed, key=rank) == ["baseline", "constant@0.5", "shuffled", "lr@0.5", "lr@5", "lr@10", "tebn@1"]


def test_the_best_number_stands_for_a_rival() -> None:
    trials = [trial("lr@2", seed, pace=0.4) for seed in range(6)] + [trial("lr@5", seed, pace=2.0) for seed in range(6)]
    trials += records(("baseline", "ahsar", "shuffled", "tebn@1"), seeds=6)
    assert best_rivals(trials) == ["lr@2", "tebn@1"]
    summary = summarise(trials)
    assert list(summary["against"]) == ["shuffled", "lr@2", "tebn@1"]
    assert [row[0] for row in rows(summary)] == ["baseline", "AHSAR", "shuffled", "lr 2", "lr 5", "tebn 1"]
    said = " ".join(findings(summary))
    assert "lr (2, picked from 2 after the fact)" in said.replace("Lr", "lr") and "tebn (1)" in said.replace("Tebn", "tebn")
    shown = learning({arm: found for arm, found in arms_of(trials).items() if arm != "lr@5"})
    assert {"lr 2", "tebn 1", "AHSAR"} <= {text.get_text() for text in shown.axes[1].texts}


def test_a_page_has_every_rival(tmp_path: Path) -> None:
    trials = records(("baseline", "ahsar", *EVERY), seeds=3)
    content = page.write(save(tmp_path, trials)).read_text(encoding="utf-8")
    assert [arm for arm in EVERY if arm_name(arm) not in content] == []
    assert len(draw(trials, tmp_path / "pictures")) == 4
