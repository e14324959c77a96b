"""Which data, model and paradigm fit together: what cannot work is refused when a workload is read, naming both."""

from ahsar.errors import WorkloadError
from ahsar.lab.spec.sections import CONVOLUTIONAL, EVENTS, IMAGES, SMALL, Data, Model, Optimizer, Paradigm

# Data whose samples are (T, F).
FLAT = ("shd",)
# Paradigms that call the network once per time step, and the networks that can be called so.
STEPWISE = ("tbptt", "ottt", "sltt", "eprop", "decolle", "stdp")
_BY_STEPS = ("snntorch-conv", "spikingjelly-conv", "spikingjelly-vgg", "vgg11", "resnet18", "sew-resnet18", "mlp", "recurrent")
# Paradigms that need a certain kind of network, with the reason.
_ONLY = {
    "ottt": (
        ("spikingjelly-conv", "spikingjelly-vgg", "vgg11", "mlp"),
        "it needs a plain stack of OTTT neurons",
    ),
    "sltt": (
        ("spikingjelly-conv", "spikingjelly-vgg", "vgg11", "resnet18", "sew-resnet18", "mlp"),
        "it needs SLTT neurons",
    ),
    "rate-bp": (
        ("spikingjelly-conv", "spikingjelly-vgg", "vgg11", "resnet18", "mlp"),
        "its backward pass is known for stacks of SpikingJelly neurons with linear layers between",
    ),
    "conversion": (
        ("spikingjelly-conv", "spikingjelly-vgg", "vgg11", "mlp"),
        "the analogue net with ReLUs must exist",
    ),
    "eprop": (("recurrent", "mlp"), "its eligibility traces are those of fully connected layers"),
    "decolle": (("spikingjelly-conv", "mlp"), "every layer needs a local read-out"),
    "stdp": (("spikingjelly-conv", "mlp"), "the local rule is defined between the spikes before and after one synapse"),
}
_HAS = "`depth` layers of `width` neurons and nothing between"


def check(data: Data, model: Model, paradigm: Paradigm) -> None:
    """Refuse impossible combinations.

    Raises:
        WorkloadError: naming both sides and the cure.
    """
    _check_shape(model)
    if model.name == "snntorch-conv" and model.surrogate not in ("atan", "sigmoid"):
        raise WorkloadError(
            f"model.name = 'snntorch-conv' has no model.surrogate = {model.surrogate!r}: snnTorch has none of that shape; "
            "choose from atan, sigmoid"
        )
    if data.time_steps not in (0, model.time_steps):
        raise WorkloadError(f"data.time_steps = {data.time_steps}: must equal model.time_steps = {model.time_steps}")
    if data.name in FLAT and model.name not in SMALL:
        raise WorkloadError(
            f"data.name = {data.name!r} has no pixels for model.name = {model.name!r}; choose a model from {', '.join(SMALL)}"
        )
    wrong = [name for name in data.augment if name.startswith("event-") != (data.name in EVENTS)]
    if wrong:
        kind = "events" if data.name in EVENTS else "images"
        raise WorkloadError(f"data.augment has {wrong[0]!r}, which does not fit data.name = {data.name!r} ({kind})")
    if paradigm.name in STEPWISE and model.name not in _BY_STEPS:
        raise WorkloadError(
            f"paradigm.name = {paradigm.name!r} goes step by step, but model.name = {model.name!r} takes whole sequences "
            f"only; choose a model from {', '.join(_BY_STEPS)}"
        )
    if paradigm.name in _ONLY:
        models, reason = _ONLY[paradigm.name]
        if model.name not in models:
            raise WorkloadError(
                f"paradigm.name = {paradigm.name!r} cannot train model.name = {model.name!r}: {reason}; "
                f"choose a model from {', '.join(models)}"
            )
    if model.neuron == "plif" and paradigm.name in ("rate-bp", "eprop"):
        raise WorkloadError(
            f"model.neuron = 'plif': paradigm.name = {paradigm.name!r} gives its time constants no gradient; choose lif or if"
        )
    if paradigm.name == "conversion" and data.name in EVENTS:
        raise WorkloadError(
            f"paradigm.name = 'conversion' cannot use data.name = {data.name!r}: the analogue net sees one image, not frames; "
            f"choose from {', '.join(IMAGES)}"
        )
    if paradigm.name == "conversion" and model.neuron != "if":
        raise WorkloadError(
            f"paradigm.name = 'conversion' makes IF neurons, but model.neuron = {model.neuron!r}; set model.neuron = 'if'"
        )
    if paradigm.name in ("ottt", "sltt") and model.neuron != "lif":
        raise WorkloadError(
            f"paradigm.name = {paradigm.name!r} has no neuron for model.neuron = {model.neuron!r}; choose model.neuron = 'lif'"
        )
    if paradigm.name == "ottt" and model.batch_norm:
        raise WorkloadError(
            "paradigm.name = 'ottt' cannot train with model.batch_norm = true, which would normalise traces as if they were "
            "spikes; set it to false, or take paradigm.name = 'sltt'"
        )
    if paradigm.name == "tbptt" and paradigm.chunk > model.time_steps:
        raise WorkloadError(f"paradigm.chunk = {paradigm.chunk}: out of range [0, model.time_steps = {model.time_steps}]")
    if paradigm.name == "sltt" and paradigm.every > model.time_steps:
        raise WorkloadError(f"paradigm.every = {paradigm.every}: out of range [0, model.time_steps = {model.time_steps}]")


def check_optimizer(paradigm: Paradigm, optimizer: Optimizer) -> None:
    """Refuse optimisers that would not do what the paradigm means.

    Raises:
        WorkloadError: naming both sides and the cure.
    """
    if paradigm.name == "stdp" and optimizer.name != "sgd":
        raise WorkloadError(
            f"paradigm.name = 'stdp' gives weight changes, which optimizer.name = {optimizer.name!r} would rescale; "
            "set optimizer.name = 'sgd'"
        )


def _check_shape(model: Model) -> None:
    for field in ("hidden", "batch_norm"):
        if model.name in SMALL and getattr(model, field):
            raise WorkloadError(f"model.{field}: not for model.name = {model.name!r}, which has {_HAS}; leave it out")
    if model.widths or model.strides:
        if model.name not in CONVOLUTIONAL:
            raise WorkloadError(f"model.widths and model.strides: not for model.name = {model.name!r}; give width and depth")
        if len(model.strides) != len(model.widths):
            raise WorkloadError(f"model.strides has {len(model.strides)} entries; give {len(model.widths)}, one per width")
        if model.width or model.depth:
            raise WorkloadError("model.width and model.depth: already given by model.widths and model.strides; leave them out")
    elif model.name in CONVOLUTIONAL and not (model.width and model.depth):
        raise WorkloadError(f"model.name = {model.name!r}: give model.width and model.depth, or model.widths and model.strides")
