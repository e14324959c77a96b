"""Every example runs, and shows what it promises."""

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ahsar.adapters import unregister

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# name of a test: file, Python's options, arguments, package that it needs
SCRIPTS: dict[str, tuple[str, list[str], list[str], str]] = {
    "ddp": ("ddp_torchrun.py", TORCHRUN, [], "snntorch"),
    "fabric": ("fabric.py", [], [], "lightning_fabric"),
    "accelerate": ("accelerate_loop.py", [], [], "accelerate"),
    "lightning": ("lightning_trainer.py", [], [], "lightning.pytorch"),
    "lightning-ddp": ("lightning_trainer.py", [], ["2"], "lightning.pytorch"),
}


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


def test_no_example_is_left_out() -> None:
    digits = {f"{framework}_digits.py" for framework in ("norse", "sinabs", "snntorch")}
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {"own_neuron.py", *digits, *(script[0] for script in SCRIPTS.values())}


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


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_runs_as_its_user_starts_it(name: str) -> None:
    file, options, arguments, package = SCRIPTS[name]
    pytest.importorskip(package, exc_type=ImportError)
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src")}
    command = [sys.executable, *options, str(EXAMPLES / file), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(float(accuracy) > 0.75 for accuracy in re.findall(r"accuracy ([\d.]+)", done.stdout)), done.stdout
    scales = re.findall(r"scales ({.*?})", done.stdout)
    assert scales
    if name == "ddp":  # both ranks tell of both epochs
        assert sorted(scales.count(text) for text in scales) == [2] * 4
