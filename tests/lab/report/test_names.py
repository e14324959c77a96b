"""Names for people: true to the workload, one for each cell, and without the codes of its blocks."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ahsar.lab.arms import RIVALS
from ahsar.lab.report import names
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import DATA, MODELS, PARADIGMS
from ahsar.lab.study import cells


def write(folder: Path, table: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "workload.json").write_text(json.dumps({"workload": table}))
    return folder


def test_everything_in_the_catalogue_has_a_name() -> None:
    assert set(names.DATA) == set(DATA) and set(names.NETWORKS) == set(MODELS)
    assert all(names.METHODS.get(method) or PARADIGMS[method].label for method in PARADIGMS)
    assert all(names.of_arm(arm) != arm for arm in RIVALS)


@pytest.mark.parametrize("matrix", cells.names())
def test_each_cell_of_a_matrix_has_a_name_of_its_own(matrix: str, tmp_path: Path) -> None:
    study = cells.load(matrix, quick=True)
    said = names.of_cells({cell.name: write(tmp_path / cell.name, asdict(cell.workload)) for cell in study.cells})
    assert len(set(said.values())) == len(study.cells)
    for cell in study.cells:
        name, model = said[cell.name], cell.workload.model
        assert name.startswith(names.DATA[cell.workload.data.name]) and "_" not in name and cell.name not in name
        if layers := re.search(r"(\d+) convolution", name):
            assert int(layers[1]) == len(model.plan)
        if "no batch norm" in name:
            assert not model.batch_norm


def test_a_workload_is_named_by_its_fields() -> None:
    table = asdict(workload.load("fashion-deep-plain"))
    assert names.of_workload(table) == "Fashion-MNIST, 8 convolutions, no batch norm, BPTT"
    table["model"] |= {"widths": [16], "batch_norm": True, "neuron": "if", "output": "spikes"}
    table["paradigm"] |= {"name": "sltt", "every": 2}
    assert names.of_workload(table) == "Fashion-MNIST, 1 convolution, IF, spike read-out, SLTT-K"
    table["model"] |= {"name": "resnet18", "widths": [], "depth": 4, "neuron": "lif", "output": "linear"}
    assert names.of_workload(table) == "Fashion-MNIST, ResNet-10, SLTT-K"


def test_without_a_workload_the_records_name_it(tmp_path: Path) -> None:
    record = {"workload": "mine", "quick": True}
    assert names.of_folder(tmp_path, record) == "mine (quick)"
    for table in ({}, {"data": {"name": "mine"}}, [1]):
        assert names.of_folder(write(tmp_path, table), record) == "mine (quick)"  # type: ignore[arg-type]
    assert names.of_folder(write(tmp_path, asdict(workload.load("digits"))), record).startswith("Digits, 2 convolutions")
    same = {name: write(tmp_path / name, asdict(workload.load("digits"))) for name in ("one", "two")}
    assert {name: said[-5:] for name, said in names.of_cells(same).items()} == {"one": "(one)", "two": "(two)"}


def test_arms_say_what_they_do() -> None:
    said = {"baseline": "untouched", "ahsar": "AHSAR", "constant@0.25": "all thresholds × 0.25", "lr@5": "learning rate × 5"}
    assert {arm: names.of_arm(arm) for arm in said} == said
    assert names.of_arm("fluctuation@0.5") == "fluctuation-driven init" and names.of_arm("mine@3") == "mine 3"


def test_a_name_breaks_behind_a_comma() -> None:
    name = "Fashion-MNIST, 8 convolutions, no batch norm, BPTT"
    lines = names.wrapped(name, 30).split("\n")
    assert lines == ["Fashion-MNIST, 8 convolutions,", "no batch norm, BPTT"]


def test_arms_of_one_kind_are_told_apart() -> None:
    said = names.of_arms(["rate-loss@0.01", "rate-loss@1", "constant@0.4", "constant@2", "tebn@3", "ahsar"])
    assert len(set(said.values())) == 6
    assert said["rate-loss@0.01"].endswith(" 0.01") and said["tebn@3"] == names.of_arm("tebn@3")
