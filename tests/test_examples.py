"""Every example runs, and shows what it promises."""

import math
import re
import runpy
import statistics
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import ahsar
from ahsar.adapters import unregister
from tests.ranks import as_a_user

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# name of a test: file, Python's options, arguments, package that it needs
SCRIPTS: dict[str, tuple[str, list[str], list[str], str]] = {
    "ddp": ("ddp_torchrun.py", TORCHRUN, [], "snntorch"),
    "imagenet": ("imagenet_torchrun.py", TORCHRUN, [], "spikingjelly"),  # on noise
    "fabric": ("fabric.py", [], [], "lightning_fabric"),
    "accelerate": ("accelerate_loop.py", [], [], "accelerate"),
    "lightning": ("lightning_trainer.py", [], [], "lightning.pytorch"),
    "lightning-ddp": ("lightning_trainer.py", [], ["2"], "lightning.pytorch"),
}


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


CLASSIFIERS = {
    "spikingjelly_digits.py": "spikingjelly",
    "snntorch_digits.py": "snntorch",
    "norse_digits.py": "norse",
    "sinabs_digits.py": "sinabs",
    "rockpool_digits.py": "rockpool",
    "tracetorch_digits.py": "tracetorch",
    "braincog_digits.py": "braincog",
}


def needs(framework: str) -> None:
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")


def test_no_example_is_left_out() -> None:
    scripts = {script[0] for script in SCRIPTS.values()}
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"own_neuron.py", "bindsnet_rates.py", *CLASSIFIERS, *scripts}


# Norse 1.1.0 scripts functions when it is imported, which PyTorch deprecates from 2.11 on.
# BrainCog's model zoo registers models under timm's names, imports from timm's old ones, and escapes badly in docstrings
@pytest.mark.filterwarnings(
    "ignore::UserWarning:braincog", "ignore::FutureWarning:timm", "ignore::SyntaxWarning", "ignore::DeprecationWarning"
)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_digits_learns(name: str) -> None:
    needs(CLASSIFIERS[name])
    assert load(name)["main"](epochs=3) > 0.8


def test_a_layer_that_learns_by_stdp_is_kept_in_the_band(capsys: pytest.CaptureFixture[str]) -> None:
    needs("bindsnet")
    rates = load("bindsnet_rates.py")["main"](samples=150)
    assert 0.06 < rates["Y"] < 0.25  # around a set-point of 0.1
    scales = [float(scale) for scale in re.findall(r"scales {'Y': ([\d.]+)}", capsys.readouterr().out)]
    assert scales[0] < 1 < scales[-1]  # woken up, then calmed


def test_own_neuron_is_brought_into_the_band(capsys: pytest.CaptureFixture[str]) -> None:
    module = load("own_neuron.py")
    try:
        rates = module["main"]()
    finally:
        unregister(module["MyLIF"])
    assert all(0.06 < rate < 0.5 for rate in rates.values()), rates
    scales = re.findall(r"scales {'lif1': ([\d.]+), 'lif2': ([\d.]+)}", capsys.readouterr().out)
    assert float(scales[-1][0]) == 1 > 0.9 > float(scales[-1][1])  # the first is healthy, the second was silent


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_runs_as_its_user_starts_it(name: str) -> None:
    file, options, arguments, package = SCRIPTS[name]
    pytest.importorskip(package, exc_type=ImportError)
    command = [sys.executable, *options, str(EXAMPLES / file), *arguments]
    done = as_a_user(command, timeout=240)
    assert all(float(accuracy) > 0.75 for accuracy in re.findall(r"accuracy ([\d.]+)", done.stdout)), done.stdout
    scales = re.findall(r"scales ({.*?})", done.stdout)
    assert scales
    if name == "ddp":  # both ranks tell the same of both epochs; layers may rest already in the first
        assert len(scales) == 4 and all(scales.count(text) in (2, 4) for text in scales)


class Unattached:
    """Stands in for a Homeostat: knows nothing and does nothing."""

    def __init__(self) -> None:
        self.rates: dict[str, float] = {}
        self.scales: dict[str, float] = {}

    def epoch(self, *metrics: float) -> None:
        """Nothing."""

    step = bake = detach = epoch


SEEDS = 5


@pytest.mark.filterwarnings(
    "ignore::UserWarning:braincog", "ignore::FutureWarning:timm", "ignore::SyntaxWarning", "ignore::DeprecationWarning"
)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_attaching_costs_an_example_no_accuracy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over paired seeds it ends no more than a standard error below the same net without a controller."""
    needs(CLASSIFIERS[name])
    seed_everything, attach = torch.manual_seed, ahsar.attach
    ends: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(SEEDS):
        monkeypatch.setattr(torch, "manual_seed", lambda base, seed=seed: seed_everything(base + seed))
        for attached in ends:
            monkeypatch.setattr(ahsar, "attach", attach if attached else lambda *args, **kwargs: Unattached())
            ends[attached].append(load(name)["main"]())
    gaps = [a - b for a, b in zip(ends[True], ends[False], strict=True)]
    error = statistics.stdev(gaps) / math.sqrt(SEEDS)
    # 0.003 is one of the validation samples: below it a difference says nothing
    assert statistics.mean(gaps) >= -max(error, 0.003), (ends, gaps)
