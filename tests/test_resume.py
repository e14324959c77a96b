"""A training that is killed and started again from its last checkpoint ends bit for bit as one that never stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import ahsar
from tests import models
from tests.resume_program import BATCHES, LOOPS, Net

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"plain": "torch", "accelerate": "accelerate", "lightning": "lightning.pytorch"}
KILLED = 2 * BATCHES + 3  # in the third of four epochs


def kill_and_resume(loop: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.resume_program", loop, str(folder), str(KILLED)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return LOOPS[loop](folder)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning 2.6 asks torch for what torch renamed
@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")  # Lightning advises on larger data
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")  # so it should be
@pytest.mark.parametrize("loop", LOOPS)
def test_kill_and_resume_ends_as_if_nothing_had_happened(loop: str, tmp_path: Path) -> None:
    pytest.importorskip(PACKAGES[loop], exc_type=ImportError)
    (tmp_path / "killed").mkdir()
    (tmp_path / "straight").mkdir()
    resumed, straight = kill_and_resume(loop, tmp_path / "killed"), LOOPS[loop](tmp_path / "straight")
    for name, value in straight.items():
        assert resumed[name] == value, name


def test_a_checkpoint_of_the_model_loads_where_ahsar_is_unknown(tmp_path: Path) -> None:
    model = Net()
    homeostat = ahsar.attach(model)
    model(models.batch(0)[0])
    homeostat.step()
    torch.save(model.net.state_dict(), tmp_path / "model.pt")
    # snnTorch and torch alone
    program = f"""
import sys, torch, snntorch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.neurons = nn.ModuleList(snntorch.Leaky(beta=0.5) for _ in range(2))
        self.synapses = nn.ModuleList([nn.Linear({models.FEATURES}, {models.WIDTH}), nn.Linear({models.WIDTH}, {models.WIDTH})])
        self.readout = nn.Linear({models.WIDTH}, {models.CLASSES})
net = Net()
net.load_state_dict(torch.load({str(tmp_path / "model.pt")!r}, weights_only=True))
assert [float(n.threshold) for n in net.neurons] == [1.0, 1.0] and "ahsar" not in sys.modules
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
