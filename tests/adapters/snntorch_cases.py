"""Every neuron class of snnTorch, with hidden state or without, under each kind of reset, and the traps of each."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import snntorch as snn
import torch
from snntorch.functional import quant
from torch import Tensor, nn

from .case import NEURONS, STEPS, Case, Run

IMAGE = (STEPS, 2, 3, 4, 4)
RESETS = ("subtract", "zero", "none")


def hidden(module: Any, x: Tensor) -> list[Any]:
    """The module keeps its state."""
    module.reset_mem()
    return [module(step) for step in x]


def handed(states: slice) -> Run:
    """The caller hands `states` of each output to the next step."""

    def run(module: Any, x: Tensor) -> list[Any]:
        module.reset_mem()
        outputs: list[Any] = []
        for step in x:
            outputs.append(module(step, *(outputs[-1][states] if outputs else ())))
        return outputs

    return run


def handed_pair(module: Any, x: Tensor) -> list[Any]:
    """DeltaLeaky takes its membranes as a pair."""
    outputs, pair = [], (None, None)
    for step in x:
        outputs.append(module(step, pair))
        pair = outputs[-1][1]
    return outputs


def whole(module: Any, x: Tensor) -> list[Any]:
    """A whole sequence at once."""
    return [module(x)]


def case(
    label: str, cls: Callable[..., nn.Module], *args: Any, run: Run, of: dict[str, Any] | None = None, **kwargs: Any
) -> Case:
    """`of`: fields of the Case that differ from the usual."""
    fields: dict[str, Any] = {"writer": "tensor", "attribute": "threshold", **(of or {})}
    name = fields["attribute"]

    def build(threshold: Any) -> nn.Module:
        with warnings.catch_warnings():
            # snnTorch says at every construction that inhibition is young
            warnings.simplefilter("ignore", UserWarning)
            return cls(*args, **{name: threshold}, **kwargs)

    return Case(label, build, run, learnable=kwargs.get("learn_threshold", False), **fields)


def family(
    label: str, cls: Callable[..., nn.Module], *args: Any, states: slice, of: dict[str, Any] | None = None, **kwargs: Any
) -> Iterator[Case]:
    """Each reset with the state handed around; hidden state, with output of it or not; a learnable threshold."""
    for reset in RESETS:
        yield case(f"{label}-{reset}", cls, *args, run=handed(states), of=of, reset_mechanism=reset, **kwargs)
    for output in (False, True):
        name = f"{label}-hidden{'-output' * output}"
        yield case(name, cls, *args, run=hidden, of=of, init_hidden=True, output=output, **kwargs)
    yield case(f"{label}-learn", cls, *args, run=hidden, of=of, init_hidden=True, learn_threshold=True, **kwargs)


AFTER, ALL = slice(1, None), slice(None)  # recurrent neurons take their spikes back, too
PER_NEURON = torch.linspace(0.7, 1.3, NEURONS)
LOW = {"threshold": 0.1}  # the membrane of an LSTM stays within ±1
STRONG = {"drive": 2.5}
LOW_IMAGE = {**LOW, "shape": IMAGE}


def associative(threshold: Any) -> nn.Module:
    # its threshold is no argument
    module: Any = snn.AssociativeLeaky(5, 2, 3, 6, use_q_projection=False)
    module.threshold = torch.as_tensor(threshold)
    return module


def leaky(label: str, run: Run = hidden, of: dict[str, Any] | None = None, **kwargs: Any) -> Case:
    return case(f"Leaky-{label}", snn.Leaky, 0.8, run=run, of=of, init_hidden=run is hidden, **kwargs)


CASES: list[Case] = [
    *family("Leaky", snn.Leaky, 0.8, states=AFTER),
    leaky("int", of={"threshold": 1}),
    leaky("per-neuron", of={"threshold": PER_NEURON}),
    leaky("per-neuron-learn", of={"threshold": PER_NEURON}, learn_threshold=True),
    leaky("no-delay", reset_delay=False),
    leaky("no-delay-zero", reset_delay=False, reset_mechanism="zero"),
    leaky("no-delay-learn", run=handed(AFTER), reset_delay=False, learn_threshold=True),
    leaky("graded", graded_spikes_factor=2.5),
    leaky("graded-learn", graded_spikes_factor=0.5, learn_graded_spikes_factor=True, learn_threshold=True),
    leaky("no-surrogate", run=handed(AFTER), surrogate_disable=True, learn_beta=True),
    leaky("quantised", run=handed(AFTER), state_quant=quant.state_quant(num_bits=6, threshold=3)),
    leaky("inhibition", inhibition=True),
    leaky("own-surrogate", spike_grad=torch.relu),
    *family("Lapicque", snn.Lapicque, 0.8, states=AFTER, of={"drive": 12.0}),
    *family("Synaptic", snn.Synaptic, 0.7, 0.8, states=AFTER, of=STRONG),
    case("Synaptic-no-delay", snn.Synaptic, 0.7, 0.8, run=hidden, of=STRONG, init_hidden=True, reset_delay=False),
    *family("Alpha", snn.Alpha, 0.8, 0.7, states=AFTER, of={"threshold": 0.3, "drive": 3.0}),
    *family("RLeaky-linear", snn.RLeaky, 0.8, linear_features=NEURONS, states=ALL),
    *family("RLeaky-conv", snn.RLeaky, 0.8, conv2d_channels=3, kernel_size=3, states=ALL, of={"shape": IMAGE}),
    *family("RLeaky-one", snn.RLeaky, 0.8, V=0.5, all_to_all=False, states=ALL),
    case("RLeaky-no-delay", snn.RLeaky, 0.8, linear_features=NEURONS, run=hidden, init_hidden=True, reset_delay=False),
    # RSynaptic(reset_delay=False) fails in snnTorch 1.0 itself
    *family("RSynaptic-linear", snn.RSynaptic, 0.7, 0.8, linear_features=NEURONS, states=ALL),
    *family("RSynaptic-conv", snn.RSynaptic, 0.7, 0.8, conv2d_channels=3, kernel_size=3, states=ALL, of={"shape": IMAGE}),
    *family("RSynaptic-one", snn.RSynaptic, 0.7, 0.8, V=0.5, all_to_all=False, states=ALL, of=STRONG),
    *family("SLSTM", snn.SLSTM, NEURONS, NEURONS, states=AFTER, of=LOW),
    *family("SConv2dLSTM", snn.SConv2dLSTM, 3, 3, 3, states=AFTER, of=LOW_IMAGE),
    case("SConv2dLSTM-pool", snn.SConv2dLSTM, 3, 3, 3, run=hidden, of=LOW_IMAGE, init_hidden=True, max_pool=2),
    case("DeltaLeaky", snn.DeltaLeaky, beta=0.8, run=handed_pair, of={"attribute": "delta_threshold"}),
    case("DeltaLeaky-hidden", snn.DeltaLeaky, beta=0.8, run=hidden, of={"attribute": "delta_threshold"}, init_hidden=True),
    case("LeakyParallel", snn.LeakyParallel, NEURONS, NEURONS, run=whole, of={"threshold": 0.3}),
    case("LeakyParallel-learn", snn.LeakyParallel, NEURONS, NEURONS, run=whole, of={"threshold": 0.3}, learn_threshold=True),
    case(
        "LeakyParallel-graded", snn.LeakyParallel, NEURONS, NEURONS, run=whole, of={"threshold": 0.3}, graded_spikes_factor=2.0
    ),
    case("StateLeaky", snn.StateLeaky, 0.8, NEURONS, run=whole),
    case("StateLeaky-learn", snn.StateLeaky, 0.8, NEURONS, run=whole, learn_threshold=True),
    case("LinearLeaky", snn.LinearLeaky, 0.8, NEURONS, NEURONS, run=whole, of={"drive": 3.0}),
    case("LinearLeaky-graded", snn.LinearLeaky, 0.8, NEURONS, NEURONS, run=whole, of={"drive": 3.0}, graded_spikes_factor=2.0),
    Case("AssociativeLeaky", associative, whole, 0.1, "tensor", "threshold", shape=(STEPS, 3, 5)),
]
