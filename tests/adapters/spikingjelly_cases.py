"""Every neuron class of SpikingJelly that has a threshold, in every step mode and kind of reset that it knows."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from .case import BATCH, NEURONS, STEPS, Case, Run
from .neurons import UserAdaptive, UserILC, UserNode, UserNoisy, UserNoisyILC, UserSimple, UserTrainable

IMAGE = (STEPS, 2, 3, 2, 2)
HARD, SOFT, ELSEWHERE = 0.0, None, -0.3


def single(module: Any, x: Tensor) -> list[Any]:
    module.reset()
    return [module(step) for step in x]


def multi(module: Any, x: Tensor) -> list[Any]:
    module.reset()
    return [module(x)]


def stateless(module: Any, x: Tensor) -> list[Any]:
    # a sequence at once, from zero; a copy, since inter-layer connections write into their input
    return [module(x.clone())]


def _noise(*shape: int) -> Tensor:
    # within ±2, so that a spike can be told by hand from what is added to it
    return torch.randn(shape, generator=torch.Generator().manual_seed(5)).clamp(-2, 2)


def above_noise(output: Tensor) -> Tensor:
    return (output > 0.5).float()


def noisy(module: Any, x: Tensor) -> list[Any]:
    # the noise would come from numpy's own generator, which cannot be seeded
    module.eps_v_seq, module.eps_s_seq = _noise(2, 1, STEPS, module.num_node).unbind()
    module.noise_step = -1
    return [module(x)]


def loaded_noise(module: Any, x: Tensor) -> list[Any]:
    module.load_colored_noise(_noise(BATCH, STEPS, 2 * module.num_node))
    return [module(x)]


def builder(cls: Callable[..., nn.Module], mode: str | None, *args: Any, **kwargs: Any) -> Callable[[Any], nn.Module]:
    def build(threshold: Any) -> nn.Module:
        module: Any = cls(*args, v_threshold=threshold, **kwargs)
        if mode is not None:
            module.step_mode = mode
        return module

    return build


def node(
    label: str,
    cls: Callable[..., nn.Module],
    *args: Any,
    modes: str = "sm",
    resets: tuple[float | None, ...] | None = (HARD, SOFT),
    case: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Iterator[Case]:
    """A case for each step mode and reset; `resets` is None where the class has no choice."""
    for mode in modes:
        for reset in (HARD,) if resets is None else resets:
            options = kwargs if resets is None else {**kwargs, "v_reset": reset}
            kind = "" if resets is None else {HARD: "-hard", SOFT: "-soft"}.get(reset, f"-hard{reset}")
            run = single if mode == "s" else multi
            yield Case(f"{label}-{mode}{kind}", builder(cls, mode, *args, **options), run, **(case or {}))


def sequence(label: str, cls: Callable[..., nn.Module], *args: Any, run: Run = stateless, **kwargs: Any) -> Case:
    """A class that takes whole sequences only and has no step mode."""
    return Case(label, builder(cls, None, *args, **kwargs), run, spikes=above_noise)


def gated(inplane: int | None) -> Case:
    def build(threshold: float) -> nn.Module:
        return neuron.GatedLIFNode(
            STEPS, inplane, init_linear_decay=0.1, init_v_subreset=0.5, init_v_threshold=float(threshold)
        )

    name = "GatedLIF-m-" + ("scalar" if inplane is None else "channels")
    # the slope of logit(s σ(x)); a rebuilt node computes the logit in double precision
    slope = lambda raw, s: 1 / (1 + (1 - s) * raw.exp())  # noqa: E731
    return Case(name, build, multi, threshold=0.5, writer="tensor", learnable=True, shape=IMAGE, slope=slope, rounding=True)


def aware(threshold: float | Tensor, mode: str, reset: float | None) -> Case:
    shape, kind = "channels" if isinstance(threshold, Tensor) else "scalar", "soft" if reset is None else "hard"
    name = f"ActivationAwareIF-{mode}-{kind}-{shape}"
    build = builder(neuron.ActivationAwareIFNode, mode, v_reset=reset, v_offset=0.1)
    return Case(name, build, single if mode == "s" else multi, threshold=threshold, writer="tensor")


ATAN = surrogate.ATan()
PER_NEURON = torch.linspace(0.7, 1.3, NEURONS)

CASES: list[Case] = [
    *node("IF", neuron.IFNode, resets=(HARD, SOFT, ELSEWHERE)),
    *node("IF-atan-detached", neuron.IFNode, surrogate_function=ATAN, detach_reset=True),
    *node("IF-many-levels", neuron.IFNode, resets=(SOFT,), surrogate_function=surrogate.MultiLevelSpikeCount(4)),
    *node("LIF", neuron.LIFNode, case={"drive": 3.0}),
    *node("LIF-store-v", neuron.LIFNode, decay_input=False, store_v_seq=True),
    *node("PLIF", neuron.ParametricLIFNode, case={"drive": 3.0}),
    *node("KLIF", neuron.KLIFNode, case={"drive": 3.0}),
    *node("KLIF-scale-reset", neuron.KLIFNode, scale_reset=True, case={"drive": 3.0}),
    *node("CLIF", neuron.ComplementaryLIFNode, resets=None),
    *node("CUBALIF", neuron.CUBALIFNode, resets=(HARD, SOFT)),
    *node("LIAF", neuron.LIAFNode, torch.relu, False, case={"drive": 3.0}),
    *node("LIAF-threshold-related", neuron.LIAFNode, torch.relu, True, case={"drive": 3.0}),
    *node("QIF", neuron.QIFNode, resets=(-0.1, SOFT), case={"drive": 3.0}),
    *node("EIF", neuron.EIFNode, resets=(-0.1, SOFT), case={"drive": 3.0}),
    *node("Izhikevich", neuron.IzhikevichNode, a=0.2, b=0.1, case={"drive": 3.0}),
    *node("RAF", neuron.RAFNode),
    *node("TernaryIF", neuron.TernaryIFNode),
    *node("TernaryLIF", neuron.TernaryLIFNode, case={"drive": 3.0}),
    *node("HalfThresholdIF", neuron.HalfThresholdIFNode, resets=None),
    *node("ILIF", neuron.ILIFNode, resets=None),
    gated(None),
    gated(3),
    *(aware(t, mode, reset) for t in (1.0, PER_NEURON) for mode in "sm" for reset in (HARD, SOFT)),
    *node("OTTT", neuron.OTTTLIFNode, modes="s"),
    *node("SLTT", neuron.SLTTLIFNode, modes="s", case={"drive": 3.0}),
    *node("SimpleIF", neuron.SimpleIFNode),
    *node("SimpleIF-int", neuron.SimpleIFNode, modes="s", case={"threshold": 1}),
    *node("SimpleLIF", neuron.SimpleLIFNode, 2.0, False, resets=(HARD,)),
    sequence("ILCIF", neuron.ILCIFNode, 2, 3),
    sequence("ILCLIF", neuron.ILCLIFNode, 2, 3),
    sequence("ILCCUBALIF", neuron.ILCCUBALIFNode, 2, 3),
    sequence("NoisyCUBALIF", neuron.NoisyCUBALIFNode, NEURONS, T=STEPS, run=noisy),
    sequence("NoisyCUBALIF-loaded", neuron.NoisyCUBALIFNode, NEURONS, T=STEPS, run=loaded_noise),
    sequence("NoisyCUBALIF-quiet", neuron.NoisyCUBALIFNode, NEURONS, T=STEPS, is_training=False),
    sequence("NoisyILCCUBALIF", neuron.NoisyILCCUBALIFNode, 2, 3, T=STEPS, run=noisy),
    *node("user-BaseNode", UserNode),
    *node("user-SimpleBaseNode", UserSimple),
    *node("user-AdaptBaseNode", UserAdaptive),
    *node("user-trainable", UserTrainable, case={"learnable": True, "writer": "tensor"}),
    sequence("user-ILCBaseNode", UserILC, 2, 3),
    sequence("user-NoisyBaseNode", UserNoisy, NEURONS, T=STEPS, run=noisy),
    sequence("user-NoisyILCBaseNode", UserNoisyILC, 2, 3, T=STEPS, run=noisy),
]
