"""Norse: the threshold is a field of the NamedTuple `module.p`, and spikes come first in the output, perhaps sparse.

The default tuple, and the tensor in it, are one for all cells, and `.to()` moves neither: the tuple is shadowed during forward.
"""

from typing import Any

from norse.torch.module import (
    coba_lif,
    encode,
    leaky_integrator,
    leaky_integrator_box,
    lif_correlation,
    snn,
)
from torch import Tensor

from ..thresholds import FieldThreshold, tensor_of
from .registry import Adapter, Skip, is_own

_NAMES = ("v_th", "v_thresh")
_RESTS = ("v_leak", "v_rest", "v_reset")
_INTEGRATOR = "it is a leaky integrator: it does not spike"
_ENCODER = "it encodes the input: its rate is that of the data"
_SKIPPED = {
    leaky_integrator: (("LI", "LICell", "LILinearCell"), _INTEGRATOR),
    leaky_integrator_box: (("LIBoxCell",), _INTEGRATOR),
    encode: (
        (
            "ConstantCurrentLIFEncoder",
            "PoissonEncoder",
            "PoissonEncoderStep",
            "PopulationEncoder",
            "SignedPoissonEncoder",
            "SignedPoissonEncoderStep",
            "SpikeLatencyEncoder",
            "SpikeLatencyLIFEncoder",
        ),
        _ENCODER,
    ),
}


def _fields(parameters: Any) -> tuple[str, ...]:
    """The names that lead to the threshold in the tuple, which may hold that of a simpler neuron; () if there is none."""
    names = getattr(parameters, "_fields", ())
    for name in _NAMES:
        if name in names:
            return (name,)
    inner = ((name, *_fields(getattr(parameters, name))) for name in names)
    return next((path for path in inner if len(path) > 1), ())


def _rest(module: Any, fields: tuple[str, ...]) -> Tensor:
    """The resting potential, detached: Norse makes some of them require a gradient. Izhikevich's model starts from it."""
    if hasattr(module, "spiking_method"):
        return tensor_of(module.spiking_method.s.v).detach()
    parameters = module.p
    for name in fields[:-1]:
        parameters = getattr(parameters, name)
    return tensor_of(next((getattr(parameters, name) for name in _RESTS if hasattr(parameters, name)), 0.0)).detach()


def _threshold(module: Any) -> FieldThreshold:
    fields = _fields(module.p)
    return FieldThreshold(module, "p", fields, float(_rest(module, fields).flatten()[0]))


def _refuse(module: Any) -> str | None:
    fields = _fields(getattr(module, "p", None))
    if not fields:
        return "its parameters p are no NamedTuple with a threshold v_th"
    rest = _rest(module, fields)
    return None if bool((rest == rest.flatten()[0]).all()) else "its resting potentials differ between neurons"


def _spikes(module: Any, output: Any) -> Any:
    spikes = output[0] if isinstance(output, tuple) else output
    return spikes.detach().to_dense() if isinstance(spikes, Tensor) and spikes.is_sparse else spikes


def _binary(module: Any) -> bool:
    # Norse's own steps return 0 or 1; nothing is known of a user's
    step = getattr(module, "activation", None)
    return is_own(module) and (step is None or step.__module__.startswith("norse."))


def entries() -> dict[type, Adapter | Skip]:
    """The four base classes cover every neuron but two, also those of a user's."""
    neuron = Adapter("Norse", _threshold, _spikes, _binary, _refuse)
    bases = (snn.SNN, snn.SNNCell, snn.SNNRecurrent, snn.SNNRecurrentCell, coba_lif.CobaLIFCell, lif_correlation.LIFCorrelation)
    skipped = {
        getattr(file, name): Skip("Norse", reason)
        for file, (names, reason) in _SKIPPED.items()
        for name in names
        if hasattr(file, name)
    }
    return {**dict.fromkeys(bases, neuron), **skipped}
