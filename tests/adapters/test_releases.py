"""Frameworks of other releases than those that ahsar knows: said with the release to have, and no bar to registered classes."""

import importlib
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar.adapters import registry, unregister


class Parameters(NamedTuple):
    v_th: Any = 1.0


class Neuron(nn.Module):
    """Keeps its threshold where one of the frameworks does."""

    def __init__(self, place: str = "dict"):
        super().__init__()
        self.surrogate = type("Surrogate", (nn.Module,), {"__module__": type(self).__module__})()
        if place == "dict":
            self.v_threshold = 1.0
        elif place == "buffer":
            self.register_buffer("thresh", torch.tensor(1.0))
        elif place == "parameter":
            self.raw_threshold = nn.Parameter(torch.tensor(1.0))
        elif place == "memories":
            self._memories = {"v_threshold": 1.0}
        else:
            self.p = Parameters()

    def forward(self, x: Tensor) -> Tensor:
        return (x >= self.v_threshold).float()


def of(root: str) -> type[Neuron]:
    """A class that a framework might have had."""
    return type("OldNeuron", (Neuron,), {"__module__": f"{root}.neurons.old"})


def without(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    monkeypatch.setattr(registry, "_known", {})
    monkeypatch.setattr(importlib, "import_module", load)


def missing(name: str) -> Any:
    raise ModuleNotFoundError(f"No module named {name!r}")


def renamed(name: str) -> Any:
    raise AttributeError("module 'old' has no attribute 'Neuron'")


class Emptied:
    @staticmethod
    def entries() -> dict[type, Any]:
        return {}


@pytest.mark.parametrize("root", registry.FRAMEWORKS)
@pytest.mark.parametrize(
    ("load", "words"),
    [(missing, r" \(ModuleNotFoundError: No "), (renamed, r" \(AttributeError: module 'old'"), (lambda name: Emptied, "")],
)
def test_another_release_is_named_with_the_one_to_have(
    root: str, load: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, load)
    name = registry.LEAST[root].split()[0]
    least = registry.LEAST[root]
    said = rf"Skipped: 1 \(the installed {name} lacks what ahsar looks for{words}.*: it supports {least} and later"
    with pytest.raises(ahsar.AttachError, match=said) as error:
        ahsar.attach(nn.Sequential(nn.Linear(2, 2), of(root)()))
    assert "1.surrogate (" not in str(error.value)  # what is no neuron is not listed


@pytest.mark.parametrize("place", ["dict", "buffer", "parameter", "memories", "tuple"])
def test_neurons_are_told_by_their_threshold(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, missing)
    neuron = of("spikingjelly")(place)
    assert [item.name for item in ahsar.discover(neuron)] == [""]


def test_a_registered_class_of_it_is_regulated_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, missing)
    registered, other = of("spikingjelly"), of("norse")
    ahsar.register_adapter(registered, threshold="v_threshold")
    try:
        model = nn.Sequential(registered(), other())
        homeostat = ahsar.attach(model)
        assert list(homeostat.scales) == ["0"]
        homeostat.hold(0.5)
        assert model[0](torch.tensor([0.4, 0.6])).tolist() == [0, 1]
        homeostat.detach()
        with pytest.raises(ahsar.AttachError, match=r"'1' \(the installed Norse lacks"):
            ahsar.attach(model, layers=["1"])
    finally:
        unregister(registered)


def test_a_neuron_that_lacks_what_its_adapter_reads_is_named() -> None:
    import snntorch

    neuron = snntorch.Leaky(beta=0.9)
    del neuron._buffers["graded_spikes_factor"]
    with pytest.raises(ahsar.AttachError, match=r"layer '0' \(Leaky\): its snnTorch is of another release .*'graded_spikes"):
        ahsar.attach(nn.Sequential(neuron))
    assert not neuron._forward_hooks


def test_every_framework_has_a_least_release() -> None:
    assert registry.LEAST.keys() == registry.FRAMEWORKS.keys()
