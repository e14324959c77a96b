"""Names for people: what a cell is made of and what an arm does, in words that need no table beside them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from ahsar.lab.arms.names import kind_of, number_of
from ahsar.lab.results.schema import Record
from ahsar.lab.spec.catalogue import MODELS, PARADIGMS

DATA = {
    "digits": "Digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "tiny-imagenet": "Tiny ImageNet",
    "dvs-objects": "DVS objects",
    "ev-objects": "EvTouch",
    "cifar10-dvs": "CIFAR10-DVS",
    "dvs-gesture": "DVS Gesture",
    "nmnist": "N-MNIST",
    "ncaltech101": "N-Caltech101",
    "shd": "SHD",
}
# of how many layers, or of what kind
NETWORKS = {
    "snntorch-conv": "{depth} convolutions (snnTorch)",
    "spikingjelly-conv": "{depth} convolutions",
    "spikingjelly-vgg": "VGG of {depth} convolutions",
    "vgg11": "VGG-11",
    "resnet18": "ResNet-{blocks}",
    "sew-resnet18": "SEW-ResNet-{blocks}",
    "spikformer": "Spikformer",
    "qkformer": "QKFormer",
    "spike-driven-transformer": "spike-driven transformer",
    "mlp": "{depth}-layer MLP",
    "recurrent": "recurrent net",
    "snntorch-mlp": "{depth}-layer MLP (snnTorch)",
}
METHODS = {"rate-bp": "rate-based BP", "conversion": "converted"}  # the catalogue has no label for them
ARMS = {
    "baseline": "untouched",
    "ahsar": "AHSAR",
    "constant": "best constant, after the fact",
    "constant-left-out": "constant chosen on other seeds",
    "constant-for-all": "one constant for all cells",
    "shuffled": "AHSAR's scales shuffled",
    "attached": "attached, scales held at 1",
    "learnable": "learnable thresholds",
    "rate-loss": "rate loss",
    "adaptation": "adaptive thresholds",
    "ds-atgo": "DS-ATGO",
    "fluctuation": "fluctuation-driven init",
    "tebn": "TEBN",
}


def of_workload(workload: Mapping[str, Any]) -> str:
    """What a cell is made of, as in "CIFAR-10, VGG-11, BPTT".

    Args:
        workload: as `dataclasses.asdict` gives it, and workload.json holds it.
    """
    model, method = workload["model"], workload["paradigm"]["name"]
    layers = len(model.get("widths") or ()) or model.get("depth") or 0
    network = NETWORKS[model["name"]].format(depth=layers, blocks=2 * (layers or 8) + 2)
    network = network.replace("1 convolutions", "1 convolution")
    plain = MODELS[model["name"]].form in ("convolutional", "pooled") and not model["batch_norm"]
    ending = {"membrane": "membrane read-out", "spikes": "spike read-out"}.get(model.get("output", ""))
    name = METHODS.get(method) or PARADIGMS[method].label or method
    if method == "sltt" and workload["paradigm"].get("every"):
        name = "SLTT-K"
    said = [DATA[workload["data"]["name"]], network, "no batch norm" * plain, "IF" * (model["neuron"] == "if"), ending, name]
    return ", ".join(text for text in said if text)


def of_folder(folder: Path, record: Record) -> str:
    """The same of a results folder, with its budget; where no workload lies beside the trials, the name that they hold."""
    workload = _read(folder)
    name = of_workload(workload) if workload else record["workload"]
    return name + (" (quick)" if record["quick"] else "")


def of_cells(folders: Mapping[str, Path]) -> dict[str, str]:
    """The same of the cells of a matrix by their names; those that would share one say their width, or else their own."""
    read = {cell: _read(folder) for cell, folder in folders.items()}
    said = {cell: of_workload(workload) if workload else cell for cell, workload in read.items()}
    wide = {cell: f"{said[cell]}, width {_width(workload)}" for cell, workload in read.items() if workload}
    said |= {cell: wide[cell] for cell in _alike(said) if cell in wide}
    return said | {cell: f"{said[cell]} ({cell})" for cell in _alike(said)}


def of_arm(arm: str) -> str:
    """What an arm does, as in "all thresholds × 0.25"; an arm that is not known keeps its name."""
    kind, number = kind_of(arm), number_of(arm)
    if kind == "constant" and number:
        return f"all thresholds × {number}"
    if kind == "lr":
        return f"learning rate × {number}" if number else "another learning rate"
    return ARMS.get(kind, arm.replace("@", " "))


def of_arms(arms: Iterable[str]) -> dict[str, str]:
    """What each arm does; those that would be called alike with their numbers too."""
    said = {arm: of_arm(arm) for arm in arms}
    alike = _alike(said)
    return {arm: f"{name} {number_of(arm)}" if arm in alike and number_of(arm) else name for arm, name in said.items()}


def wrapped(name: str, width: int) -> str:
    """The name in lines of at most so many letters, where it can be broken behind a comma."""
    whole = name.replace(" ", "\N{NO-BREAK SPACE}").replace(",\N{NO-BREAK SPACE}", ", ")
    return fill(whole, width, break_long_words=False).replace("\N{NO-BREAK SPACE}", " ")


def _alike(said: Mapping[str, str]) -> list[str]:
    every = list(said.values())
    return [cell for cell, name in said.items() if every.count(name) > 1]


def _width(workload: Mapping[str, Any]) -> int:
    return next(iter(workload["model"].get("widths") or ()), workload["model"].get("width", 0))


def _read(folder: Path) -> dict[str, Any] | None:
    """The workload of a results folder, if one lies there that can be named."""
    try:
        workload = json.loads((folder / "workload.json").read_text(encoding="utf-8"))["workload"]
        of_workload(workload)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # records may stand alone
        return None
    return workload
