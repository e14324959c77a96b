"""The recipe in docs/lava-dl.md, run on a block that is built like one of lava-dl: quantised threshold, time last."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar.adapters import unregister

from .neurons import Spike

RECIPE = Path(__file__).resolve().parents[2] / "docs" / "lava-dl.md"


class Neuron(nn.Module):
    """A leaky neuron over [N, C, T], whose threshold is a multiple of 1/w_scale and cannot be set."""

    def __init__(self, threshold: float, w_scale: int = 1 << 6):
        super().__init__()
        self.w_scale = w_scale
        self._threshold = int(threshold * w_scale) / w_scale

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def v_th_mant(self) -> int:
        return int(self.threshold * self.w_scale)

    def forward(self, dendrite: Tensor) -> Tensor:
        v, spikes = torch.zeros_like(dendrite[..., 0]), []
        for x in dendrite.unbind(-1):
            v = 0.8 * v + x
            spikes.append(Spike.apply(v - self.threshold))
            v = v * (1 - spikes[-1])
        return torch.stack(spikes, -1)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, threshold: float = 1.0):
        super().__init__()
        self.neuron = Neuron(threshold)
        self.synapse = nn.Conv1d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(self.synapse(x))


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the recipe's first piece of code with our neuron in the place of lava-dl's."""
    name = ""
    for part in ["lava", "lib", "dl", "slayer", "neuron", "base"]:
        name = f"{name}.{part}".lstrip(".")
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[name].__dict__["Neuron"] = Neuron
    code = re.findall(r"```python\n(.*?)```", RECIPE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code[0], str(RECIPE), "exec"), {})
    yield
    unregister(Neuron)
    del Neuron.level  # type: ignore[attr-defined]


def blocks(threshold: float = 1.0) -> Any:
    torch.default_generator.manual_seed(0)
    return nn.ModuleDict({"blocks": nn.Sequential(Block(5, 8, threshold), Block(8, 8, threshold))})


def given() -> Tensor:
    return 4 * torch.rand(3, 5, 12, generator=torch.Generator().manual_seed(1))


def test_the_neurons_of_the_blocks_are_found_and_sensed() -> None:
    net = blocks()
    homeostat = ahsar.attach(net, layers="all")
    assert [layer.name for layer in homeostat.layers] == ["blocks.0.neuron", "blocks.1.neuron"]
    output = net["blocks"](given())
    homeostat.step()
    assert homeostat.rates["blocks.1.neuron"] == pytest.approx(output.mean().item()) and output.mean() > 0


@pytest.mark.parametrize("scale", [0.3, 0.77, 1.0, 1.003, 2.5])
def test_a_scaled_threshold_is_quantised_as_the_framework_does_it(scale: float) -> None:
    net, twin = blocks(0.9), blocks(scale * (int(0.9 * 64) / 64))
    homeostat = ahsar.attach(net)
    homeostat.hold(scale)
    for block, other in zip(net["blocks"], twin["blocks"], strict=True):
        theta = block.neuron._threshold
        assert theta == int(scale * (int(0.9 * 64) / 64) * 64) / 64 == other.neuron._threshold
        assert block.neuron.v_th_mant == theta * 64
    assert torch.equal(net["blocks"](given()), twin["blocks"](given()))
    homeostat.detach()
    assert [block.neuron._threshold for block in net["blocks"]] == [57 / 64] * 2
    assert "level" not in net["blocks"][0].neuron.__dict__


def test_a_small_threshold_stays_one_step_above_zero() -> None:
    net = blocks(2 / 64)
    ahsar.attach(net).hold(0.1)
    assert net["blocks"][0].neuron._threshold == 1 / 64


def test_bake_keeps_the_quantised_threshold() -> None:
    net = blocks()
    homeostat = ahsar.attach(net)
    homeostat.hold(0.7)
    homeostat.bake()
    assert net["blocks"][0].neuron.v_th_mant == int(0.7 * 64)
