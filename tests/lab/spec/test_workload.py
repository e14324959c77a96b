"""Workload files: strict parsing, the quick table, and a hash that tells experiments apart."""

from dataclasses import FrozenInstanceError, asdict, replace
from pathlib import Path

import pytest

from ahsar.errors import WorkloadError
from ahsar.lab.spec import workload
from ahsar.lab.spec.workload import Workload, load, names

GOOD = """
name = "mine"
title = "A workload of my own"
[data]
name = "digits"
val_size = 100
[model]
name = "snntorch-conv"
widths = [4, 8]
strides = [1, 2]
time_steps = 3
[optimizer]
name = "adam"
lr = 1e-3
[budget]
steps = 20
batch_size = 16
eval_every = 5
[target]
metric = "accuracy"
value = 0.9
[seeds]
count = 3
[constant]
grid = [0.5, 1.5]
[quick.budget]
steps = 10
[quick.target]
value = 0.5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", names())
def test_built_in_workloads_load(name: str, quick: bool) -> None:
    loaded = load(name, quick=quick)
    assert (loaded.name, loaded.quick) == (name, quick)
    assert len(loaded.constant.grid) >= 7
    assert 15 <= loaded.budget.steps / loaded.budget.eval_every <= 50
    assert len(loaded.hash) == 12 and int(loaded.hash, 16) >= 0


def test_all_promised_workloads_are_there_and_differ() -> None:
    assert names() == ["cifar10-vgg", "digits", "dvs-objects", "fashion", "fashion-deep", "fashion-deep-plain"]
    assert len({load(name, quick).hash for name in names() for quick in (False, True)}) == 2 * len(names())


def test_plain_and_normalised_deep_nets_differ_in_batch_norm_only() -> None:
    for quick in (False, True):
        normalised, plain = load("fashion-deep", quick), load("fashion-deep-plain", quick)
        assert len(normalised.model.plan) == 8
        assert replace(normalised.model, batch_norm=False) == plain.model
        assert normalised.data == plain.data


def test_quick_is_merged_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    full, quick = load(path), load(str(path), quick=True)
    assert (full.budget.steps, full.budget.eval_every, full.target.value) == (20, 5, 0.9)
    assert (quick.budget.steps, quick.budget.eval_every, quick.target.value) == (10, 5, 0.5)
    assert quick.model == full.model and quick.hash != full.hash


def test_whole_numbers_are_taken_as_floats(tmp_path: Path) -> None:
    value = load(write(tmp_path, GOOD.replace("lr = 1e-3", "lr = 1"))).optimizer.lr
    assert value == 1.0 and isinstance(value, float)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("widths = [4, 8]", "widhts = [4, 8]", "unknown key model.widhts"),
        ("[seeds]", "[seed]", "unknown key seed"),
        ("[quick.budget]", "[quick.budgets]", "unknown key quick.budgets"),
        ("steps = 10", "step = 10", "unknown key budget.step = 10"),
        ("count = 3", "count = 0", r"seeds.count = 0: out of range \[1, 1000\]"),
        ("count = 3", "count = true", "seeds.count = True: must be of type int, not bool"),
        ("count = 3", "count = 3\nfirst = 1000", r"seeds.first = 1000: out of range \[0, 999\]"),
        ("lr = 1e-3", "lr = nan", "optimizer.lr = nan: out of range"),
        ("lr = 1e-3", 'lr = "1e-3"', "optimizer.lr = '1e-3': must be of type float, not str"),
        ('name = "adam"', 'name = "lion"', "optimizer.name = 'lion': choose from adam, adamw, sgd"),
        ("value = 0.9", "value = 90", r"target.value = 90.0: out of range \[0, 1\]"),
        ("steps = 10", "steps = 4", r"budget.eval_every = 5: out of range \[1, budget.steps = 4\]"),
        ("strides = [1, 2]", "strides = [1]", "model.strides has 1 entries; give 2"),
        ("strides = [1, 2]", "strides = [1, 3]", r"strides = 3: out of range \[1, 2\]"),
        ("strides = [1, 2]", "strides = 1", "model.strides = 1: must be a list"),
        ("grid = [0.5, 1.5]", "grid = []", "constant.grid"),
        ("grid = [0.5, 1.5]", "grid = [0.5, 0]", r"grid = 0.0: out of range \[0.01, 100\]"),
        ("grid = [0.5, 1.5]", "grid = [0.5, 0.5]", "names a scale twice"),
        ("val_size = 100\n", "", "data.val_size is missing"),
        ("val_size = 100", "val_size = 100\ntime_steps = 7", "must equal model.time_steps = 3"),
        ('title = "A workload of my own"', "", "title = None"),
        ("[data]", "[[data]]", "data = .* must be a table"),
        ("[data]", "[data", "not valid TOML"),
    ],
)
def test_mistakes_name_file_key_value_and_range(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(WorkloadError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"unknown workload 'digit': choose from .*digits.*fashion"):
        load("digit")
    with pytest.raises(WorkloadError, match="cannot read the workload"):
        load(tmp_path / "absent.toml")


def _changes() -> list[tuple[str, str, object]]:
    """One other value for every field of every section that can take one."""
    other = {
        "name": {"data": "cifar10", "model": "spikingjelly-conv", "optimizer": "sgd"},
        "neuron": "if", "surrogate": "sigmoid", "schedule": "cosine", "augment": ("crop",),
        "width": {"model": 0}, "depth": {"model": 0},
    }  # fmt: skip
    base = asdict(load("digits"))
    changes = []
    for section, table in base.items():
        if not isinstance(table, dict):
            continue
        for key, value in table.items():
            new = other.get(key)
            new = new.get(section) if isinstance(new, dict) else new
            if new is None and isinstance(value, bool):
                new = not value
            elif new is None and isinstance(value, int):
                new = value + 1
            elif new is None and isinstance(value, float):
                new = value * 0.9 + 0.01 if key != "tau" else 3.0
            elif new is None and isinstance(value, tuple):
                new = value[::-1]
            if new not in (None, value) and (section, key) != ("data", "time_steps"):
                changes.append((section, key, new))
    return changes


@pytest.mark.parametrize(("section", "key", "value"), _changes())
def test_every_field_changes_the_hash(section: str, key: str, value: object) -> None:
    before = load("digits")
    after = replace(before, **{section: replace(getattr(before, section), **{key: value})})
    assert after.hash != before.hash


def test_hash_ignores_the_title_and_nothing_else(tmp_path: Path) -> None:
    before = load("digits")
    assert replace(before, title="another").hash == before.hash
    assert replace(before, name="another").hash != before.hash
    copy = tmp_path / "copy.toml"
    copy.write_text((workload.FOLDER / "digits.toml").read_text())
    assert load(copy).hash == before.hash


def test_sections_are_frozen_and_checked_when_replaced() -> None:
    loaded: Workload = load("digits")
    with pytest.raises(FrozenInstanceError):
        loaded.budget.steps = 3  # type: ignore[misc]
    with pytest.raises(WorkloadError, match="steps = 0: out of range"):
        replace(loaded.budget, steps=0)
