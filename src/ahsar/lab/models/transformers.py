"""Spiking transformers of SpikingJelly's zoo, fitted to small images by their constructors' arguments.

`width` is the embedding dimension, a multiple of 8 with heads of 32 channels where it divides so, and `depth` the number of
transformer blocks. The neurons are the workload's; those of attention have half the threshold, as SpikingJelly gives
them 0.5 by default. They take whole sequences only. Two of SpikingJelly's forwards give logits of the features' mean over time:
here the linear readout comes first, which has the same mean. There is no hidden layer before the readout.
"""

from typing import Any

from spikingjelly.activation_based import functional
from spikingjelly.activation_based.model import qkformer, spike_driven_transformer, spikformer
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models.steps import as_sequence
from ahsar.lab.models.zoo import check_side, factory, shown
from ahsar.lab.spec import workload


class Spikformer(spikformer.Spikformer):
    """Spikformer (Zhou et al. 2023, arXiv 2209.15425) with patches of 4x4 pixels. Its own size is that for CIFAR-10: width
    384, 4 blocks."""

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        width = _check(spec, sample_shape, 384)
        height, side = sample_shape[-2:]
        sizes: Any = {"img_size_h": height, "img_size_w": side, "patch_size": 4, "depths": spec.depth or 4}
        super().__init__(embed_dims=width, num_heads=_heads(width), **sizes, **_common(spec, sample_shape, classes, paradigm))
        first: Any = self.patch_embed.stages[0]
        first.conv_bn = shown(first.conv_bn, spec.time_steps)
        _lower_attention_thresholds(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, C, H, W]` or `[N, T, C, H, W]`."""
        functional.reset_net(self)
        return super().forward(as_sequence(x))


class QKFormer(qkformer.QKFormer):
    """QKFormer (Zhou et al. 2024, arXiv 2403.16552): three stages of `width` / 4, / 2 and `width` channels, on a 4th, 8th
    and 16th of each side. The first two have one block each of Q-K attention, the third all others (at least one), of
    self-attention. Its own size is width 384 and 4 blocks."""

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        width, depth = _check(spec, sample_shape, 384), spec.depth or 4
        if depth < 3:
            raise WorkloadError(f"model.depth = {depth}: model.name = {spec.name!r} has 3 stages; give 3 blocks or more")
        sizes: Any = {"num_heads": tuple(_heads(width // i) for i in (4, 2, 1)), "depths": (1, 1, depth - 2)}
        super().__init__(embed_dims=width, **sizes, **_common(spec, sample_shape, classes, paradigm))
        self.patch_embed1.pool1 = shown(self.patch_embed1.pool1, spec.time_steps)  # type: ignore[assignment]
        _lower_attention_thresholds(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, C, H, W]` or `[N, T, C, H, W]`."""
        functional.reset_net(self)
        x = as_sequence(x)
        stages = (self.patch_embed1, self.stage1), (self.patch_embed2, self.stage2), (self.patch_embed3, self.stage3)
        for embed, blocks in stages:
            x = embed(x)
            for block in blocks:
                x = block(x)
        return self.head(x.flatten(3).mean(-1))


class SpikeDrivenTransformer(spike_driven_transformer.SpikeDrivenTransformer):
    """Spike-driven transformer (Yao et al. 2023, arXiv 2307.01694), pooled twice: one token for 4x4 pixels. Its own size is
    width 512 and 2 blocks."""

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        width = _check(spec, sample_shape, 512)
        sizes: Any = {"num_heads": _heads(width), "depths": spec.depth or 2, "pooling_stat": "0011"}
        super().__init__(embed_dims=width, **sizes, **_common(spec, sample_shape, classes, paradigm))
        first: Any = self.patch_embed.stages[0]
        first[1] = shown(first[1], spec.time_steps)
        _lower_attention_thresholds(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, C, H, W]` or `[N, T, C, H, W]`."""
        functional.reset_net(self)
        x = self.patch_embed(as_sequence(x))
        for block in self.blocks:
            x = block(x)
        return self.head(self.head_lif(x.flatten(3).mean(-1)))


def _check(spec: workload.Model, sample_shape: tuple[int, ...], own: int) -> int:
    """The embedding dimension, once everything is known to fit."""
    check_side(spec, sample_shape)
    width = spec.width or own
    if width % 8:
        raise WorkloadError(f"model.width = {width}: model.name = {spec.name!r} splits it in eighths; give a multiple of 8")
    if spec.hidden:
        raise WorkloadError(f"model.hidden = {spec.hidden}: model.name = {spec.name!r} has no hidden layer at its end; give 0")
    return width


def _common(spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str) -> dict[str, Any]:
    return {
        "T": spec.time_steps,
        "in_channels": sample_shape[-3],
        "num_classes": classes,
        "spiking_neuron": factory(spec, paradigm),
    }


def _heads(width: int) -> int:
    """Heads of 32 channels, or of more where that does not divide."""
    return next(heads for heads in range(max(1, width // 32), 0, -1) if width % heads == 0)


def _lower_attention_thresholds(network: nn.Module, spec: workload.Model) -> None:
    # SpikingJelly does so only where it is given no neuron factory.
    for module in network.modules():
        neuron: Any = getattr(module, "attn_lif", None)
        if neuron is not None:
            neuron.v_threshold = spec.threshold / 2
