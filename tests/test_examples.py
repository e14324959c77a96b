"""Every example runs, and shows what it promises."""

import runpy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ahsar.adapters import unregister

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


CLASSIFIERS = {
    "snntorch_digits.py": "snntorch",
    "rockpool_digits.py": "rockpool",
    "tracetorch_digits.py": "tracetorch",
    "braincog_digits.py": "braincog",
}


def needs(framework: str) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")


def test_no_example_is_left_out() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"own_neuron.py", "bindsnet_rates.py", *CLASSIFIERS}


# BrainCog's model zoo registers models under timm's names, imports from timm's old ones, and escapes badly in docstrings
@pytest.mark.filterwarnings(
    "ignore::UserWarning:braincog", "ignore::FutureWarning:timm", "ignore::SyntaxWarning", "ignore::DeprecationWarning"
)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_digits_learns(name: str) -> None:
    needs(CLASSIFIERS[name])
    assert load(name)["main"](epochs=2) > 0.8


def test_a_layer_that_learns_by_stdp_reaches_the_set_point() -> None:
    needs("bindsnet")
    rates = load("bindsnet_rates.py")["main"](samples=100)
    assert rates["Y"] == pytest.approx(0.1, abs=0.03)


def test_own_neuron_reaches_the_set_point(capsys: pytest.CaptureFixture[str]) -> None:
    module = load("own_neuron.py")
    try:
        rates = module["main"]()
    finally:
        unregister(module["MyLIF"])
    assert all(abs(rate - 0.25) < 0.1 for rate in rates.values()), rates
    assert "scales" in capsys.readouterr().out
