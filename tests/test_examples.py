"""Every example runs, and shows what it promises."""

import importlib.util
import runpy
from pathlib import Path
from typing import Any

import pytest

from ahsar.adapters import unregister

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


def test_no_example_is_left_out() -> None:
    digits = {f"{framework}_digits.py" for framework in ("norse", "sinabs", "snntorch")}
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"own_neuron.py", *digits}


def test_snntorch_digits_learns() -> None:
    assert load("snntorch_digits.py")["main"](epochs=2) > 0.8


# Norse 1.1.0 scripts functions when it is imported, which PyTorch deprecates from 2.11 on
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("framework", ["norse", "sinabs"])
def test_digits_are_learnt(framework: str) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"needs {framework}")
    assert load(f"{framework}_digits.py")["main"](epochs=3) > 0.8


def test_own_neuron_reaches_the_set_point(capsys: pytest.CaptureFixture[str]) -> None:
    module = load("own_neuron.py")
    try:
        rates = module["main"]()
    finally:
        unregister(module["MyLIF"])
    assert all(abs(rate - 0.25) < 0.1 for rate in rates.values()), rates
    assert "scales" in capsys.readouterr().out
