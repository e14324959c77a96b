"""SpikingJelly's own deep models are found whole: every spiking layer of their definition is regulated, and runs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from spikingjelly.activation_based.model import (
    maxformer,
    ms_resnet,
    qkformer,
    sew_resnet,
    spikformer,
    spiking_resnet,
    spiking_vgg,
)
from spikingjelly.activation_based.model import spike_driven_transformer as transformer
from torch import nn

import ahsar

STEPS, SIDE = 2, 32
SMALL: dict[str, Any] = {"T": STEPS, "num_classes": 3}
TWO: dict[str, Any] = {"num_heads": 2, "depths": 2, **SMALL}

ZOO: dict[str, Callable[..., Any]] = {
    "spiking-vgg-11": lambda **own: spiking_vgg.spiking_vgg11_bn(num_classes=3, **own),
    "spiking-resnet-18": lambda **own: spiking_resnet.spiking_resnet18(num_classes=3, **own),
    "sew-resnet-18": lambda **own: sew_resnet.sew_resnet18(num_classes=3, cnf="ADD", **own),
    "ms-resnet-18": lambda **own: ms_resnet.ms_resnet18(**SMALL, **own),
    "max-resnet-18": lambda **own: ms_resnet.max_resnet18(**SMALL, **own),
    "spikformer": lambda **own: spikformer.Spikformer(img_size_h=SIDE, img_size_w=SIDE, embed_dims=16, **TWO, **own),
    "qkformer": lambda **own: qkformer.QKFormer(embed_dims=32, num_heads=(1, 2, 2), depths=(1, 1, 1), **SMALL, **own),
    "spike-driven-transformer": lambda **own: transformer.SpikeDrivenTransformer(embed_dims=32, **TWO, **own),
    "maxformer": lambda **own: maxformer.maxformer_cifar(**SMALL, **own),
}


@pytest.mark.parametrize("name", ZOO)
def test_every_spiking_layer_is_found_and_runs(name: str) -> None:
    built: list[nn.Module] = []

    class Noted(neuron.LIFNode):
        """Notes each neuron layer that the model's own definition makes."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            built.append(self)

    torch.manual_seed(0)
    model = ZOO[name](spiking_neuron=Noted, surrogate_function=surrogate.ATan(), detach_reset=True)
    functional.set_step_mode(model, "m")
    homeostat = ahsar.attach(model)
    assert len(built) >= 10 and {id(layer.module) for layer in homeostat.layers} == set(map(id, built))
    model(torch.rand(STEPS, 2, 3, SIDE, SIDE))
    homeostat.step()  # a layer that did not run would be named here
    assert len(homeostat.rates) == len(built) and all(0 <= rate <= 1 for rate in homeostat.rates.values())
    assert any(scale != 1.0 for scale in homeostat.scales.values())
