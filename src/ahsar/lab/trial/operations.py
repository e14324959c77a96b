"""Synaptic operations of a network, the usual proxy of their energy, and NeuroBench's two static metrics.

An operation is one product of an input and a weight, or of two activations in attention. It counts as an accumulate (AC) if
one of the two tensors holds only 0 and 1, and is then done for its ones alone; otherwise as a multiply-accumulate (MAC).
Biases, batch norm (folded into the weights for inference), pooling, neuron dynamics and residual sums are not synaptic
operations and are left out, as in NeuroBench. Inputs that are no spike trains make MACs: images, counts of events, averages
of spikes (average pooling), sums of spikes (residual connections).

In a network of SpikingJelly neurons ACs and MACs are those of its `op_counter`; elsewhere our own counter stands in, which
agrees with it, and which gives for all networks what `op_counter` does not: the counts without zeros, and the dense one.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import ahsar

# Horowitz (2014), 45 nm: energy of a 32-bit multiply-accumulate and of an accumulate, in picojoule. A proxy.
MAC_PJ, AC_PJ = 4.6, 0.9

_aten = torch.ops.aten
# where an operation's two factors stand among its arguments
_FACTORS = {
    _aten.mm.default: 0,
    _aten.bmm.default: 0,
    _aten.addmm.default: 1,
    _aten.baddbmm.default: 1,
    _aten.convolution.default: 0,
}
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Counter(TorchDispatchMode):
    """Counts, while it is on, whatever matrix products and convolutions run, in any network.

    Attributes:
        acs: accumulates: one for every meeting of a spike with a weight, or of two spikes.
        macs: multiply-accumulates, every one, those with zeros and with the padding of convolutions too.
        effective_acs, effective_macs: those with two nonzero factors.
        dense: what the effective ones together would be if no factor were zero.
    """

    acs: int
    macs: int
    effective_acs: int
    effective_macs: int
    dense: int

    def __init__(self) -> None:
        super().__init__()
        self.acs = self.macs = self.effective_acs = self.effective_macs = self.dense = 0
        self._full: dict[Any, int] = {}  # dense count by shapes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in _FACTORS:
            first = _FACTORS[func]
            options = args[3:] if func is _aten.convolution.default else None
            self._add(args[first], args[first + 1], options, out)
        return out

    def _add(self, x: Tensor, weight: Tensor, options: Any, out: Tensor) -> None:
        shapes = (tuple(x.shape), tuple(weight.shape), str(options))
        if shapes not in self._full:
            self._full[shapes] = _pairs(torch.ones_like(x), torch.ones_like(weight), options)
        self.dense += self._full[shapes]
        effective, spikes = _pairs(x, weight, options), (_binary(x), _binary(weight))
        if any(spikes):
            self.effective_acs += effective
            self.acs += effective
            other = weight if spikes[0] else x
            if not all(spikes) and bool((other == 0).any()):  # op_counter takes each factor of a spike as it comes
                ones = torch.ones_like(other)
                self.acs += _pairs(x if spikes[0] else ones, ones if spikes[0] else weight, options) - effective
            return
        self.effective_macs += effective
        if options is None:
            self.macs += out.numel() * x.shape[-1]
        else:
            self.macs += (x if options[3] else out).numel() * weight[0].numel()  # options[3]: transposed


def _pairs(x: Tensor, weight: Tensor, options: Any) -> int:
    """Products of two nonzero factors: the same operation on ones in the place of all that is not zero."""
    a, b = (x != 0).float(), (weight != 0).float()  # exact up to 2^24 products per output
    done = a @ b if options is None else torch.ops.aten.convolution.default(a, b, None, *options)
    return int(done.sum(dtype=torch.float64).item())


def _binary(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


@torch.no_grad()
def count(model: nn.Module, run: Callable[[], int]) -> dict[str, Any]:
    """Operations per sample of a network, as fields of a trial's record.

    Args:
        run: runs forwards of the model in eval mode; returns the number of samples.

    Returns:
        `synops`: `acs`, `macs`, `effective_acs`, `effective_macs` and `dense`, as in `Counter`;
        `energy_proxy_nj`: 4.6 pJ for each MAC and 0.9 pJ for each AC, in nanojoule;
        `operations`: `counter` and `samples` say who counted and over how many samples. Where it was `op_counter`, `acs_all`
        and `macs_all` are its ACCounter's and MACCounter's sums over all operations that they know: batch norm (not on CUDA,
        where they do not know it), average pooling, residual sums and neuron dynamics too.
    """
    ours, theirs = Counter(), _op_counter() if _of_spikingjelly(model) else None
    with ours, nullcontext() if theirs is None else theirs:  # theirs on top: neither sees what the other computes
        n = max(1, run())
    acs, macs = ours.acs, ours.macs
    about: dict[str, Any] = {"counter": "ahsar", "samples": n}
    if theirs is not None:
        acs, macs, acs_all, macs_all = (counter.get_total() for counter in theirs.counters)
        about |= {"counter": "spikingjelly", "acs_all": acs_all / n, "macs_all": macs_all / n}
    sums = {"acs": acs, "macs": macs, **{key: getattr(ours, key) for key in ("effective_acs", "effective_macs", "dense")}}
    return {
        "synops": {key: value / n for key, value in sums.items()},
        "energy_proxy_nj": (acs * AC_PJ + macs * MAC_PJ) / n / 1000,
        "operations": about,
    }


def _of_spikingjelly(model: nn.Module) -> bool:
    return any(layer.framework == "SpikingJelly" for layer in ahsar.discover(model))


def _op_counter() -> Any:
    """SpikingJelly's counters: synaptic ACs, synaptic MACs, all ACs, all MACs; None before its version 2."""
    try:
        from spikingjelly.activation_based import op_counter
    except ImportError:
        return None
    # Not its SimpleEnergyProfiler: that also takes for accumulates the sums by which it counts memory accesses.
    folded: list[type[nn.Module]] = [nn.modules.batchnorm._BatchNorm]
    synaptic = [op_counter.SynOpCounter(), op_counter.MACCounter(extra_ignore_modules=folded)]
    return op_counter.DispatchCounterMode([*synaptic, op_counter.ACCounter(), op_counter.MACCounter()])


def static(model: nn.Module) -> dict[str, Any]:
    """NeuroBench's static metrics, as fields of a trial's record.

    Returns:
        `footprint`: bytes of all parameters and buffers; `connection_sparsity`: share of zeros among the weights of linear
        and convolutional layers, None without any.
    """
    tensors = [*model.parameters(), *model.buffers()]
    weights = [module.weight for module in model.modules() if isinstance(module, _WEIGHTED)]
    zeros, total = sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)
    return {
        "footprint": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        "connection_sparsity": zeros / total if total else None,
    }
