"""The catalogue says what each data set, model and paradigm is: held against the classes and files that it names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

import ahsar
from ahsar.lab import data as data_sets
from ahsar.lab.spec.catalogue import DATA, MODELS, PARADIGMS, part, trained_by

LAB = Path(ahsar.__file__).parent / "lab"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_what_its_entry_says(name: str) -> None:
    known = MODELS[name]
    cls = part("models", known.place)
    assert issubclass(cls, nn.Module)
    assert known.stepwise == all(hasattr(cls, method) for method in ("begin", "step", "cut"))


@pytest.mark.parametrize("name", PARADIGMS)
def test_a_paradigm_is_what_its_entry_says(name: str) -> None:
    from spikingjelly.activation_based import layer, neuron

    known = PARADIGMS[name]
    cls = part("paradigms", known.place)
    assert all(hasattr(cls, method) for method in ("prepare", "parameters", "learn", "scores"))
    assert not known.neuron or issubclass(getattr(neuron, known.neuron), neuron.BaseNode)
    assert not known.stack or issubclass(getattr(layer, known.stack), nn.Sequential)
    assert bool(known.forms) == bool(known.because) == bool(trained_by(name))


@pytest.mark.parametrize("name", DATA)
def test_a_data_set_is_what_its_entry_says(name: str) -> None:
    known = DATA[name]
    assert callable(part("data", f"{known.loader}:load"))
    module = sys.modules[f"{data_sets.__name__}.{known.loader}"]
    assert known.streams == hasattr(module, "windows_of_test")
    assert name in getattr(module, "SOURCES", [name])


def texts(path: Path) -> set[object]:
    """All constants of a file's code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


@pytest.mark.parametrize("name", [name for name in (*DATA, *MODELS, *PARADIGMS) if name != "bptt"])  # which is the default
def test_a_name_stands_in_the_catalogue_alone(name: str) -> None:
    """Beside it, only where a set is fetched from, and where each gets its name for people."""
    files = {path.stem for path in LAB.rglob("*.py") if name in texts(path) and path != LAB / "report" / "names.py"}
    assert files <= {"catalogue", DATA[name].loader if name in DATA else "catalogue"}


def test_a_workload_is_checked_without_any_framework() -> None:
    program = (
        "import sys, ahsar.lab.spec.catalogue as c, ahsar.lab.spec.workload as w; [w.load(n) for n in w.names()]; "
        "print([m for m in ('spikingjelly', 'snntorch', 'lightning_fabric') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
