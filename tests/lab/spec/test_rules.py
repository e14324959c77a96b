"""Combinations that cannot work are refused when a workload is read: both sides are named, and what to do."""

import hashlib
import json
from itertools import product
from typing import Any

import pytest

from ahsar.errors import WorkloadError
from ahsar.lab.spec import rules
from ahsar.lab.spec.catalogue import DATA, MODELS, PARADIGMS
from ahsar.lab.spec.sections import Data, Model, Optimizer, Paradigm

PLANNED = ("snntorch-conv", "spikingjelly-conv", "spikingjelly-vgg")


def check(paradigm: str, model: str = "spikingjelly-conv", **fields: Any) -> None:
    own = {key: fields.pop(key) for key in ("chunk", "blend", "every") if key in fields}
    spec = Model(name=model, time_steps=4, width=8, depth=2, **fields)
    rules.check(Data(name="digits", val_size=100), spec, Paradigm(name=paradigm, **own), Optimizer(name="adam", lr=1e-3))


@pytest.mark.parametrize(
    ("paradigm", "fields", "named"),
    [
        ("tbptt", {"model": "spikformer"}, ["paradigm.name = 'tbptt'", "model.name = 'spikformer'", "choose a model from"]),
        ("tbptt", {"chunk": 5}, ["paradigm.chunk = 5", "model.time_steps = 4"]),
        ("sltt", {"every": 5}, ["paradigm.every = 5", "model.time_steps = 4"]),
        ("ottt", {"model": "snntorch-conv"}, ["paradigm.name = 'ottt'", "model.name = 'snntorch-conv'", "choose a model from"]),
        ("sltt", {"model": "snntorch-conv"}, ["paradigm.name = 'sltt'", "model.name = 'snntorch-conv'", "choose a model from"]),
        ("ottt", {"model": "resnet18"}, ["paradigm.name = 'ottt'", "model.name = 'resnet18'", "choose a model from"]),
        ("ottt", {"neuron": "plif"}, ["paradigm.name = 'ottt'", "model.neuron = 'plif'", "'lif'"]),
        ("sltt", {"neuron": "if"}, ["paradigm.name = 'sltt'", "model.neuron = 'if'", "'lif'"]),
        ("ottt", {"batch_norm": True}, ["paradigm.name = 'ottt'", "model.batch_norm = true", "false"]),
        (
            "bptt",
            {"model": "snntorch-conv", "surrogate": "triangle"},
            ["model.name = 'snntorch-conv'", "model.surrogate = 'triangle'", "choose from atan, sigmoid, fast-sigmoid"],
        ),
        (
            "tet",
            {"model": "snntorch-conv", "surrogate": "rectangle"},
            ["model.name = 'snntorch-conv'", "model.surrogate = 'rectangle'", "choose from atan, sigmoid, fast-sigmoid"],
        ),
        (
            "bptt",
            {"model": "vgg11", "output": "spikes"},
            ["model.output = 'spikes'", "model.name = 'vgg11'", "snntorch-conv, spikingjelly-conv, mlp", "'linear'"],
        ),
        ("tet", {"output": "membrane"}, ["model.output = 'membrane'", "paradigm.name = 'tet'", "bptt, tbptt", "'linear'"]),
    ],
)
def test_what_cannot_work_is_refused(paradigm: str, fields: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(WorkloadError) as caught:
        check(paradigm, **fields)
    assert all(part in str(caught.value) for part in named) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("paradigm", "fields"),
    [
        *[(paradigm, {"model": model}) for paradigm in ("bptt", "tbptt", "tet") for model in PLANNED],
        *[(paradigm, {"model": "spikingjelly-vgg"}) for paradigm in ("ottt", "sltt")],
        ("tbptt", {"chunk": 4, "neuron": "plif", "batch_norm": True}),
        ("sltt", {"every": 4, "batch_norm": True, "surrogate": "rectangle"}),
        ("ottt", {"surrogate": "triangle"}),
        *[(paradigm, {"output": output}) for paradigm in ("bptt", "tbptt") for output in ("membrane", "spikes")],
        ("bptt", {"every": 9, "chunk": 9}),  # fields of other paradigms are ignored
    ],
)
def test_the_rest_is_accepted(paradigm: str, fields: dict[str, Any]) -> None:
    check(paradigm, **fields)


def test_every_refusal_reads_as_it_always_did() -> None:
    """What is said of each data set, model and paradigm together, and of the fields that some of them limit."""
    said = []
    limited = product(("lif", "plif", "if"), (False, True), ("atan", "triangle"))
    fields = [{"neuron": neuron, "batch_norm": norm, "surrogate": surrogate} for neuron, norm, surrogate in limited]
    models = {name: [Model(name=name, time_steps=4, width=8, depth=2, **own) for own in fields] for name in MODELS}
    optimizers = [Optimizer(name=name, lr=0.1) for name in ("adam", "sgd")]
    for data, model, paradigm in product(DATA, MODELS, PARADIGMS):
        around = Data(name=data, val_size=100), Paradigm(paradigm)
        for spec, optimizer in product(models[model], optimizers):
            try:
                rules.check(around[0], spec, around[1], optimizer)
                said.append("ok")
            except WorkloadError as error:
                said.append(str(error))
    assert (len(said), said.count("ok"), len(set(said))) == (37440, 10292, 94)
    assert hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12] == "baec0d272a80"
