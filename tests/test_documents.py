"""Every Python block of the documents runs, each on a net that is as the words around it say."""

import contextlib
import copy
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from sybil import Sybil
from sybil.example import Example
from sybil.parsers.markdown import PythonCodeBlockParser
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import ahsar
from ahsar.adapters import unregister
from tests import models

ROOT = Path(__file__).resolve().parents[1]
# the README's is in tests/test_readme.py, as what it prints is shown
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
READER = Sybil([PythonCodeBlockParser()], path=str(ROOT / "docs"))
EXAMPLES = {f"{path.stem}-{example.line}": example for path in DOCUMENTS for example in READER.parse(path).examples()}
# what a block imports that is not in every environment
NEEDS = ("lightning", "accelerate", "lava", "nir", "tensorboard", "spikingjelly", "snntorch")
ELSEWHERE = {
    "lava": "its tests run where lava-dl is",
    "DistributedDataParallel": "examples/ddp_torchrun.py runs it",
    "process_group=group": "tests/test_peers.py does it on ranks",
}


def net() -> nn.Module:
    """snnTorch's, whose states start anew in every forward."""
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.lif = nn.Linear(8, 8), snntorch.Leaky(beta=0.9)
            self.two = nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            state, total = self.lif.init_leaky(), torch.zeros(())
            for _ in range(4):
                spikes, state = self.lif(self.one(x), state)
                total = total + self.two(spikes)
            return total

    return Net()


def of_spikingjelly() -> nn.Module:
    """One whose threshold is a number, and which an exporter to NIR takes."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    return nn.Sequential(nn.Linear(8, 8), neuron.IFNode(), nn.Linear(8, 3), neuron.IFNode())


def scripted() -> nn.Module:
    """One that `torch.jit.script` takes."""
    return nn.Sequential(nn.Linear(8, 8), models.LIF(torch.tensor(1.0)), nn.Linear(8, 3))


def surroundings(code: str) -> dict[str, Any]:
    """The names that a block may use: a net in training, attached unless the block attaches it."""
    model = of_spikingjelly() if "to_nir" in code or "v_threshold" in code else scripted() if "jit.script" in code else net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.rand(16, 8), torch.randint(3, (16,))

    def train(model: nn.Module, optimizer: torch.optim.Optimizer = optimizer) -> None:
        for neuron in (module for module in model.modules() if hasattr(module, "v_threshold")):
            neuron.reset()  # type: ignore[operator]
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()

    names = {
        "ahsar": ahsar, "torch": torch, "nn": nn, "copy": copy, "model": model, "net": model, "optimizer": optimizer,
        "train": train, "train_one_epoch": train, "batches": [x, x], "sample": x[:1], "x": x, "y": y, "step": 1, "epochs": 2,
        "validation_accuracy": 0.5, "new_optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
    }  # fmt: skip
    names["layer"] = ahsar.discover(model)[0].module
    if "ahsar.attach(" not in code:
        names["homeostat"] = ahsar.attach(model, optimizer)
        if "jit.script" not in code and "to_nir" not in code:
            train(model)
            names["homeostat"].epoch(0.5)
    return names


# other packages' own: scripting in PyTorch, nirtorch's way to a graph, Lightning's way through PyTorch's trees
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
@pytest.mark.usefixtures("own_neurons")
def test_a_block_runs(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = str(example.parsed)
    for word, reason in ELSEWHERE.items():
        if word in code:
            pytest.skip(reason)
    for package in NEEDS:
        if package in code and importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    names = {} if "import torch\n" in code else surroundings(code)  # a tutorial brings all it needs
    if "Trainer(" in code:
        names["Trainer"] = pytest.importorskip("lightning.pytorch").Trainer
    if "accelerator." in code:
        names["accelerator"] = pytest.importorskip("accelerate").Accelerator(cpu=True)
    if 'torch.load("best.pt"' in code:
        torch.save(names["model"].state_dict(), "best.pt")
    example.document.namespace.clear()
    example.document.namespace.update(names)
    with contextlib.redirect_stdout(None), torch.random.fork_rng():
        try:
            example.evaluate()
        finally:
            if "class MyNeuron" in code:
                unregister(example.document.namespace["MyNeuron"])


def test_all_blocks_are_found() -> None:
    fences = sum(path.read_text(encoding="utf-8").count("\n```python\n") for path in DOCUMENTS)
    assert len(EXAMPLES) == fences > 15
