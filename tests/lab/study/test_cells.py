"""A study is one workload or a matrix, a frozen list of them; its page says of each cell and of all what the trials say."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ahsar import cli
from ahsar.cli.app import app
from ahsar.errors import DataError, WorkloadError
from ahsar.lab import arms
from ahsar.lab.report.matrix import numbers
from ahsar.lab.report.matrix import page as matrix_page
from ahsar.lab.results import stats
from ahsar.lab.spec import catalogue
from ahsar.lab.study import tune
from ahsar.lab.study.cells import load
from ahsar.lab.study.compare import Plan, plan_of
from tests.lab import tiny

TOML = """
[defaults.optimizer]
name = "adam"
lr = 1e-2
[defaults.budget]
steps = 40
batch_size = 32
eval_every = 5
[defaults.target]
metric = "accuracy"
value = 0.5
[defaults.seeds]
count = 2
[defaults.constant]
grid = [0.5]
[defaults.quick.budget]
steps = 10

[data.digits]
name = "digits"
val_size = 100
test_limit = 100
[data.elsewhere]
name = "fashion_mnist"
path = "fashion"
val_size = 100
[model.two]
name = "snntorch-conv"
width = 4
depth = 2
time_steps = 2
quick.optimizer.lr = 5e-2
[model.three]
name = "snntorch-conv"
width = 4
depth = 3
time_steps = 2
[paradigm.bptt]
name = "bptt"

[[cells]]
data = "digits"
model = "two"
paradigm = "bptt"
rivals = true
[[cells]]
data = "digits"
model = "three"
paradigm = "bptt"
constant.grid = [0.7, 1.4]
[[cells]]
data = "elsewhere"
model = "two"
paradigm = "bptt"
"""
TUNED = """
[quick."digits-two-bptt"]
lr = 0.02
target = 0.1
[quick."digits-three-bptt"]
lr = 0.04
target = 0.2
"""


def write(folder: Path, text: str = TOML, tuned: str = TUNED) -> Path:
    path = folder / "small.toml"
    path.write_text(text)
    path.with_name("small.tuned.toml").write_text(tuned)
    return path


def test_cells_are_made_of_their_blocks(tmp_path: Path) -> None:
    full, quick = load(write(tmp_path)).cells, load(write(tmp_path), quick=True).cells
    assert [cell.name for cell in full] == ["digits-two-bptt", "digits-three-bptt", "elsewhere-two-bptt"]
    two, three, elsewhere = quick
    assert (two.workload.budget.steps, full[0].workload.budget.steps) == (10, 40)
    assert (two.workload.optimizer.lr, two.workload.target.value) == (0.02, 0.1)  # tuned for this budget only
    assert (full[0].workload.optimizer.lr, full[0].workload.target.value) == (0.01, 0.5)
    assert elsewhere.workload.optimizer.lr == 0.05 and not elsewhere.tuned  # the model's own quick table
    assert three.workload.constant.grid == (0.7, 1.4) and two.workload.constant.grid == (0.5,)
    assert two.workload.model.depth == 2 and three.workload.model.depth == 3


def test_one_constant_stands_in_every_grid_of_its_budget(tmp_path: Path) -> None:
    def frozen(line: str, quick: bool) -> float | None:
        return load(write(tmp_path, f"{line}\n{TOML.replace('[0.7, 1.4]', '[0.7, 0.5]')}"), quick).one_constant

    assert [frozen("", True), frozen("one_constant = 0.5", False), frozen("one_constant = 1", True)] == [None, 0.5, 1.0]
    assert [frozen("quick.one_constant = 0.5", quick) for quick in (True, False)] == [0.5, None]
    assert load("headline", quick=True).one_constant == 0.25 and load("digits").one_constant is None


def test_quick_cells_leave_placebos_to_the_marked_ones(tmp_path: Path) -> None:
    two, three, _ = load(write(tmp_path), quick=True).cells
    assert three.arms() == ["baseline", "ahsar", "constant@0.7", "constant@1.4"]
    assert {"shuffled", "attached"} < set(two.arms())
    assert {"shuffled", "attached"} < set(load(write(tmp_path)).cells[1].arms())


def test_a_cell_that_is_not_tuned_or_has_no_data_is_refused(tmp_path: Path) -> None:
    study = load(write(tmp_path), quick=True)
    cell = study.cells[2]
    template = Plan(cell.workload, tmp_path / "out", [], [])
    said = r"'elsewhere-two-bptt' is not tuned .* `ahsar tune small --quick --cells elsewhere-two-bptt`, .* small.tuned.toml"
    with pytest.raises(WorkloadError, match=said):
        plan_of(study, cell, template, tmp_path)
    with pytest.raises(DataError, match="fashion: no data for cell 'elsewhere-two-bptt'"):
        cell.source(tmp_path)
    assert cell.source(None) is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('model = "three"', 'model = "four"', "cell 2: model = 'four': choose from two, three"),
        ('model = "three"', 'model = "two"', "two cells have one name"),
        ("depth = 3", "depth = -3", "cell 2: model.depth = -3: out of range"),
        ("[[cells]]", "[[cell]]", "no \\[\\[cells\\]\\]"),
        ("steps = 40", "steps = ", "not valid TOML"),
        ('model = "three"', 'model = ["three"]', r"model = \['three'\]: choose from"),
        ("[[cells]]", "quick = 1\n[[cells]]", "must be a table"),
        ("[defaults.optimizer]", "one_constant = 0\n[defaults.optimizer]", "one_constant = 0: it must be a number above 0"),
        ("[defaults.optimizer]", "one_constant = true\n[defaults.optimizer]", "one_constant = True: it must be a number"),
        (
            "[defaults.optimizer]",
            "one_constant = 0.5\n[defaults.optimizer]",
            "not in the grid of cell 'digits-three-bptt', .0.7",
        ),
    ],
)
def test_mistakes_name_the_cell(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TOML
    with pytest.raises(WorkloadError, match=said):
        load(write(tmp_path, TOML.replace(old, new)))


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        WorkloadError, match=r"unknown workload 'headlin': choose from .*, from the matrices development, headline"
    ):
        load("headlin")
    with pytest.raises(WorkloadError, match="no cell 'digits-four-bptt'; the cells are digits-two-bptt"):
        load(write(tmp_path)).choose("digits-four-bptt")


@pytest.mark.parametrize("quick", [True, False])
def test_the_headline_is_as_broad_as_it_says(quick: bool) -> None:
    cells = load("headline", quick).cells
    models = [cell.workload.model for cell in cells]
    assert len(cells) >= 24
    assert {cell.workload.paradigm.name for cell in cells} == set(catalogue.PARADIGMS)
    assert len({model.name for model in models}) == 10 and len({cell.workload.data.name for cell in cells}) == 5  # as we say
    assert len({model.time_steps for model in models}) >= 3
    assert len({len(model.plan) for model in models if model.plan}) >= 3
    assert len({model.width or model.widths for model in models}) >= 2
    assert {catalogue.DATA[cell.workload.data.name].events for cell in cells} == {True, False}
    assert sum(cell.rivals for cell in cells) >= 8
    assert len({cell.workload.hash for cell in cells}) == len(cells)
    if quick:
        assert all(cell.tuned and cell.workload.seeds.count >= 3 for cell in cells)


def test_development_is_tuned_and_has_nothing_in_common_with_the_headline() -> None:
    cells = load("development", quick=True).cells
    assert len(cells) >= 22 and all(cell.tuned for cell in cells) and not any(cell.rivals for cell in cells)
    assert len({replace(cell.workload, name="").hash for cell in cells}) == len(cells)
    theirs = [(c.workload.data, c.workload.model, c.workload.paradigm) for c in load("headline", quick=True).cells]
    assert not [c.name for c in cells if (c.workload.data, c.workload.model, c.workload.paradigm) in theirs]
    assert all(cell.workload.data.split_seed == 7 for cell in cells if cell.axes["data"] != "digits")
    assert all(not cell.tuned for cell in load("development").cells)


@pytest.mark.parametrize("quick", [True, False])
def test_long_goes_to_the_end_and_is_evaluated_often(quick: bool) -> None:
    cells = load("long", quick).cells
    models = [cell.workload.model for cell in cells]
    names = {model.name for model in models}
    assert len(cells) >= 8 and {"mlp", "vgg11", "snntorch-conv"} <= names
    assert "attention" in {catalogue.MODELS[name].form for name in names}
    assert {model.batch_norm for model in models if model.depth >= 5} == {True, False}
    assert {cell.workload.data.name for cell in cells} >= {"digits", "dvs-objects", "ev-objects"}
    for spec in (cell.workload for cell in cells):
        assert spec.optimizer.schedule == "cosine" and spec.constant.grid == (0.4, 1.4, 2.0)
        assert spec.budget.eval_every <= 0.03 * spec.budget.steps and spec.seeds.count >= 3
        samples = (spec.data.train_limit or 1000) if quick else 60_000  # at most
        assert spec.budget.steps * spec.budget.batch_size >= 20 * samples
        wanted = ["baseline", "ahsar", "constant", "rate-loss@0.01", "rate-loss@0.1", "rate-loss@1"]
        assert len(arms.expand(wanted, spec)) == 8 and arms.fits("rate-loss", spec)


def test_a_geometric_mean_is_the_mean_of_logarithms_and_its_interval_covers() -> None:
    got = stats.geometric_mean([0.5, 2.0, 8.0, math.nan, 1.0])
    assert got.n == 4 and got.estimate == pytest.approx(8 ** (1 / 4)) and got.low <= got.estimate <= got.high
    rng, missed, wrong = np.random.default_rng(0), 0, 0
    for _ in range(300):
        found = stats.geometric_mean(np.exp(rng.normal(0.2, 0.3, 24)))
        missed += not found.low <= math.exp(0.2) <= found.high
        wrong += stats.geometric_mean(np.exp(rng.normal(0.0, 0.3, 24))).p_value <= 0.05
    assert missed / 300 < 0.1 and 0.01 < wrong / 300 < 0.1
    assert math.isnan(stats.geometric_mean([]).estimate) and math.isnan(stats.geometric_mean([2.0, 3.0]).low)


def row(ratio: float | None, gap: float, p: float | None = None) -> dict:
    speedup = {
        "median": ratio,
        "ci95": None,
        "p_value": p,
        "n": 3,
        "reached_baseline": 3,
        "reached_controlled": 3,
        "faster": False,
    }
    return {
        "speedup": speedup,
        "seconds_speedup": speedup,
        "level_speed": {"mean": ratio},
        "final_test_difference": {"mean": gap},
        "pareto": {"mean_rate": 2.0},
    }


def test_an_opponent_is_counted_by_hand() -> None:
    rows = {
        "a": row(2.0, 0.02, 0.001),
        "b": row(0.5, -0.02, 0.6),
        "c": row(1.0, 0.0),
        "d": row(None, 0.005),
        "e": row(4.0, 0.3),
    }
    got = numbers._opponent(rows, silent=("e", "elsewhere"))
    assert got["wins_ties_losses"] == [2, 2, 1] and got["after_holm"] == [1, 4, 0]
    assert got["final_wins_ties_losses"] == [2, 2, 1]
    assert got["steps"]["n"] == 4 and got["steps"]["mean"] == pytest.approx((2 * 0.5 * 1 * 4) ** (1 / 4))
    assert got["rate"]["mean"] == pytest.approx(2.0)
    assert got["levels"]["mean"] == got["steps"]["mean"] and got["final_test_difference"]["mean"] == pytest.approx(0.061)
    rest = got["learning"]  # without the cell whose baseline never learns, where both looked best
    assert (rest["n"], rest["steps"]["n"], rest["steps"]["mean"]) == (4, 3, pytest.approx(1.0))
    assert rest["final_test_difference"]["mean"] == pytest.approx(0.00125)
    nearly = numbers._opponent(
        {name: row(ratio, 0.0) for name, ratio in {"a": 1.019, "b": 0.981, "c": 1.021, "d": 0.979}.items()}
    )
    assert nearly["wins_ties_losses"] == [1, 2, 1]


def test_a_workload_is_a_study_of_one_cell(tmp_path: Path) -> None:
    study = load(tiny.write(tmp_path))
    (cell,) = study.cells
    assert (study.name, study.is_matrix, study.out) == (cell.workload.name, False, Path("runs") / study.name)
    assert study.folder(tmp_path, cell) == tmp_path and load(write(tmp_path)).folder(tmp_path, cell) == tmp_path / cell.name
    plan = plan_of(study, cell, Plan(cell.workload, tmp_path / "out", [], []), tmp_path / "data.npz", ["ahsar"], 3)
    assert (plan.out, plan.data, plan.arms) == (tmp_path / "out", tmp_path / "data.npz", ["ahsar"])
    assert plan.seeds == [0, 1, 2] and cell.arms() == arms.expand(None, cell.workload)
    assert cell.source(None) is None and load("digits").choose(None)[0].name == "digits"


@pytest.mark.parametrize("mode", ["", "--page", "--robustness", "--tune"])
def test_the_old_command_says_what_to_type_and_goes_on(tmp_path: Path, mode: str) -> None:
    command = {"": "compare", "--page": "report", "--robustness": "robustness", "--tune": "tune"}[mode]
    words = ["nothing", "--quick", *([mode] if mode else [])]
    new, old = (CliRunner().invoke(app, call) for call in ([command, "nothing", "--quick"], ["matrix", *words]))
    assert f"`ahsar {command} nothing --quick`" in old.stderr
    assert old.exit_code == new.exit_code and str(old.exception) == str(new.exception) and "nothing" in str(new.exception)


@pytest.mark.slow
def test_a_matrix_runs_goes_on_and_says_what_its_trials_say(tmp_path: Path) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    call = ["compare", str(path), "--quick", "--out", str(out), "--jobs", "1"]
    first = CliRunner().invoke(app, [*call, "--cells", "digits-three-bptt"], env={"COLUMNS": "300"})
    assert first.exit_code == 0, first.output
    assert "Not run yet: digits-two-bptt, elsewhere-two-bptt" in first.output
    stamp = (out / "digits-three-bptt" / "trials" / "ahsar-s0.jsonl").stat().st_mtime_ns
    second = CliRunner().invoke(app, [*call, "--cells", "digits-three-bptt,digits-two-bptt"])
    assert second.exit_code == 0, second.output
    assert (out / "digits-three-bptt" / "trials" / "ahsar-s0.jsonl").stat().st_mtime_ns == stamp
    found = json.loads((out / "matrix.json").read_text())
    summary = matrix_page.summarise(matrix_page.read(out / "digits-two-bptt"))
    assert found["cells"]["digits-two-bptt"]["against"]["baseline"]["speedup"] == summary["arms"]["ahsar"]["speedup"]
    assert found["one_constant"] is None and "constant-for-all" not in found["opponents"]
    assert found["opponents"]["baseline"]["n"] == 2 and found["opponents"]["shuffled"]["n"] == 1
    assert found["cells"]["digits-two-bptt"]["attached_identical"]["identical"] == 2
    page, text = (out / "matrix.html").read_text(), (out / "matrix.md").read_text()
    assert matrix_page.headline(found) in text and "<svg" in page
    path.with_name("small.tuned.toml").write_text(TUNED.replace("0.04", "0.05"))
    third = CliRunner().invoke(app, [*call, "--cells", "digits-three-bptt"])
    assert "hash" in str(third.exception) or "hash" in third.output  # an edited workload is noticed


@pytest.mark.slow
def test_tuning_writes_what_the_matrix_reads(tmp_path: Path) -> None:
    path = write(tmp_path, tuned="")
    call = [
        "tune",
        str(path),
        "--quick",
        "--cells",
        "digits-two-bptt",
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
    ]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    path.with_name("small.tuned.toml").write_text((tmp_path / "out" / "tuned.toml").read_text())
    cell = load(path, quick=True).cells[0]
    tried = [rate["lr"] for rate in json.loads((tmp_path / "out" / "tuning" / "digits-two-bptt.json").read_text())["rates"]]
    assert cell.tuned and cell.workload.optimizer.lr in tried
    assert {0.025, 0.05, 0.1} <= set(tried) and len(tried) <= tune.MOST_RATES


def test_learning_rates_go_on_from_the_better_end() -> None:
    def after(*pairs: tuple[float, float]) -> float | None:
        return tune.next_rate([{"lr": lr, "best": best, "mean_curve": 0.0} for lr, best in pairs], 1.0)

    assert [after(), after((1.0, 0.5)), after((1.0, 0.5), (0.5, 0.5))] == [1.0, 0.5, 2.0]
    assert after((1.0, 0.7), (0.5, 0.5), (2.0, 0.6)) is None  # the best lies between others
    assert after((1.0, 0.7), (0.5, 0.5), (2.0, 0.8)) == 4.0 and after((1.0, 0.7), (0.5, 0.8), (2.0, 0.6)) == 0.25
    assert after(*((2.0**i, float(i)) for i in range(-1, 5))) is None  # enough


@pytest.mark.slow
def test_kept_models_of_a_matrix_are_tested_on_corrupted_samples(tmp_path: Path) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    where = [str(path), "--quick", "--out", str(out)]
    options = ["--keep", "--cells", "digits-three-bptt", "--arms", "baseline,ahsar", "--seeds", "1", "--jobs", "1"]
    commands = [
        ["compare", *where, *options],
        ["robustness", *where, "--limit", "20", "--corruptions", "fog", "--jobs", "1"],
        ["report", str(out)],
    ]
    for words in commands:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    tested = json.loads((out / "digits-three-bptt" / "robustness.json").read_text())
    assert (tested["samples"], tested["corruptions"], tested["severities"]) == (20, ["fog"], [3])
    assert json.loads((out / "matrix.json").read_text())["ood"]["frozen"]["n"] == 1
    again = CliRunner().invoke(app, ["robustness", str(out)])
    assert "give its .toml file" in str(again.exception)  # a folder alone does not say where this matrix lies


def test_a_matrix_of_which_no_cell_can_run_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ahsar", "compare", "headline", "--quick", "--arms", "magic"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2 and "unknown arm 'magic'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
