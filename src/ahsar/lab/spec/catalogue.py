"""What every data set, model and paradigm of the lab is, said once: a new one is a file of its own and an entry here.

Nothing else is imported, so a workload is read and checked without any framework. Places are "file:Name", `file` in the
folder of the same kind. Messages list names in the order of the entries.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

# What a network is made of: fully connected layers; convolutions; these with max-pooling between; blocks with a shortcut
# that joins before the neurons, or behind them; layers with recurrent weights; attention.
Form = Literal["dense", "convolutional", "pooled", "residual", "element-wise", "recurrent", "attention"]


@dataclass(frozen=True)
class Only:
    """A field, SECTION.FIELD, and its values beside an entry; the `message` may hold {name}, the entry's, and {value}."""

    field: str
    values: tuple[Any, ...]
    message: str


@dataclass(frozen=True)
class KnownData:
    """A data set.

    Attributes:
        loader: the file in `data` whose `load` gives its splits.
        events: its samples are sequences of counted events, which need `data.time_steps`; else they are images.
        pixels: they lie in a plane; else they are flat.
        streams: the loader's `windows_of_test` gives the events before they were framed, so that they can be corrupted.
        bundled: a package that the lab needs brings it, so that it is read from no file or folder.
    """

    loader: str
    events: bool = False
    pixels: bool = True
    streams: bool = False
    bundled: bool = False


@dataclass(frozen=True)
class KnownModel:
    """A network.

    Attributes:
        place: of its class, in `models`.
        form: what it is made of.
        planned: the workload says each layer, batch norm and the hidden layer; else only width and depth.
        flat: it takes flat samples too. It has `depth` layers of `width` neurons and nothing between.
        stepwise: it has `begin`, `step` and `cut`; else it takes whole sequences only.
        framework: of its neurons.
        spiking_output: `model.output` may be another than "linear".
        only: what it needs of the rest of a workload.
    """

    place: str
    form: Form
    planned: bool = False
    flat: bool = False
    stepwise: bool = True
    framework: str = "SpikingJelly"
    spiking_output: bool = False
    only: tuple[Only, ...] = ()


@dataclass(frozen=True)
class KnownParadigm:
    """A training method.

    Attributes:
        place: of its class, in `paradigms`.
        label: its name in print, "" for the name itself.
        stepwise: it calls the network once per time step.
        forms: of the SpikingJelly networks that it can train, () for any network at all; the best suited first.
        because: why it can train no others.
        neuron, stack: SpikingJelly's classes that it needs for neurons and for layers in a row, "" for the usual ones.
        through_outputs: its gradients go through the neurons' outputs, so that a loss may be made of them.
        steps: the field of its own that counts time steps, so at most T.
        images: why it takes no events, "" if it does.
        remakes: it trains another network than the one it is given, made of it.
        spiking_output: it trains networks whose `model.output` is another than "linear".
        only: what it needs of the rest of a workload.
    """

    place: str
    label: str = ""
    stepwise: bool = False
    forms: tuple[Form, ...] = ()
    because: str = ""
    neuron: str = ""
    stack: str = ""
    through_outputs: bool = True
    steps: str = ""
    images: str = ""
    remakes: bool = False
    spiking_output: bool = False
    only: tuple[Only, ...] = ()

    def trains(self, model: KnownModel) -> bool:
        """Whether the network is of a form that it can train."""
        return not self.forms or (model.framework == "SpikingJelly" and model.form in self.forms)


DATA = {
    "digits": KnownData("digits", bundled=True),
    "mnist": KnownData("images"),
    "fashion_mnist": KnownData("images"),
    "cifar10": KnownData("images"),
    "cifar100": KnownData("images"),
    "tiny-imagenet": KnownData("images"),
    "dvs-objects": KnownData("events", events=True, streams=True),
    "ev-objects": KnownData("tactile", events=True, streams=True),
    "cifar10-dvs": KnownData("tonic_sets", events=True),
    "dvs-gesture": KnownData("tonic_sets", events=True),
    "nmnist": KnownData("tonic_sets", events=True),
    "ncaltech101": KnownData("tonic_sets", events=True),
    "shd": KnownData("tonic_sets", events=True, pixels=False),
}

_NO_SUCH_SURROGATE = (
    "model.name = {name!r} has no model.surrogate = {value!r}: snnTorch has none of that shape; choose from atan, sigmoid, "
    "fast-sigmoid"
)
_OF_SNNTORCH = (Only("model.surrogate", ("atan", "sigmoid", "fast-sigmoid"), _NO_SUCH_SURROGATE),)
MODELS = {
    "snntorch-conv": KnownModel(
        "snntorch_conv:SnntorchConv",
        "convolutional",
        planned=True,
        framework="snnTorch",
        spiking_output=True,
        only=_OF_SNNTORCH,
    ),
    "spikingjelly-conv": KnownModel("spikingjelly_conv:SpikingjellyConv", "convolutional", planned=True, spiking_output=True),
    "spikingjelly-vgg": KnownModel("spikingjelly_vgg:SpikingjellyVGG", "pooled", planned=True),
    "vgg11": KnownModel("vgg11:VGG11", "pooled"),
    "resnet18": KnownModel("resnet:ResNet18", "residual"),
    "sew-resnet18": KnownModel("resnet:SEWResNet18", "element-wise"),
    "spikformer": KnownModel("transformers:Spikformer", "attention", stepwise=False),
    "qkformer": KnownModel("transformers:QKFormer", "attention", stepwise=False),
    "spike-driven-transformer": KnownModel("transformers:SpikeDrivenTransformer", "attention", stepwise=False),
    "mlp": KnownModel("mlp:MLP", "dense", flat=True, spiking_output=True),
    "recurrent": KnownModel("recurrent:Recurrent", "recurrent", flat=True),
    "snntorch-mlp": KnownModel(
        "snntorch_mlp:SnntorchMLP", "dense", flat=True, framework="snnTorch", spiking_output=True, only=_OF_SNNTORCH
    ),
}

_NO_NEURON = "paradigm.name = {name!r} has no neuron for model.neuron = {value!r}; choose model.neuron = 'lif'"
_NO_GRADIENT = "model.neuron = {value!r}: paradigm.name = {name!r} gives its time constants no gradient; choose lif or if"
PARADIGMS = {
    "bptt": KnownParadigm("bptt:BPTT", label="BPTT", spiking_output=True),
    "tbptt": KnownParadigm("tbptt:TruncatedBPTT", label="TBPTT", stepwise=True, steps="chunk", spiking_output=True),
    "tet": KnownParadigm("tet:TET", label="TET"),
    "ottt": KnownParadigm(
        "online:OTTT",
        label="OTTT",
        stepwise=True,
        forms=("convolutional", "pooled", "dense"),
        because="it needs a plain stack of OTTT neurons",
        neuron="OTTTLIFNode",
        stack="OTTTSequential",
        only=(
            Only("model.neuron", ("lif",), _NO_NEURON),
            Only(
                "model.batch_norm",
                (False,),
                "paradigm.name = {name!r} cannot train with model.batch_norm = true, which would normalise traces as if they "
                "were spikes; set it to false, or take paradigm.name = 'sltt'",
            ),
        ),
    ),
    "sltt": KnownParadigm(
        "online:SLTT",
        label="SLTT",
        stepwise=True,
        forms=("convolutional", "pooled", "residual", "element-wise", "dense"),
        because="it needs SLTT neurons",
        neuron="SLTTLIFNode",
        steps="every",
        only=(Only("model.neuron", ("lif",), _NO_NEURON),),
    ),
    "rate-bp": KnownParadigm(
        "rate_bp:RateBP",
        forms=("convolutional", "pooled", "residual", "dense"),
        because="its backward pass is known for stacks of SpikingJelly neurons with linear layers between",
        through_outputs=False,
        only=(Only("model.neuron", ("lif", "if"), _NO_GRADIENT),),
    ),
    "conversion": KnownParadigm(
        "conversion:Conversion",
        forms=("convolutional", "pooled", "dense"),
        because="the analogue net with ReLUs must exist",
        images="the analogue net sees one image, not frames",
        remakes=True,
        only=(
            Only(
                "model.neuron",
                ("if",),
                "paradigm.name = {name!r} makes IF neurons, but model.neuron = {value!r}; set model.neuron = 'if'",
            ),
            Only(
                "model.threshold",
                (1.0,),
                "paradigm.name = {name!r} makes neurons of threshold 1, but model.threshold = {value!r}; leave it out",
            ),
        ),
    ),
    "eprop": KnownParadigm(
        "eprop:EProp",
        label="e-prop",
        stepwise=True,
        forms=("recurrent", "dense"),
        because="its eligibility traces are those of fully connected layers",
        through_outputs=False,
        only=(Only("model.neuron", ("lif", "if"), _NO_GRADIENT),),
    ),
    "decolle": KnownParadigm(
        "decolle:Decolle",
        label="DECOLLE",
        stepwise=True,
        forms=("convolutional", "dense"),
        because="every layer needs a local read-out",
    ),
    "stdp": KnownParadigm(
        "stdp:STDP",
        label="STDP",
        stepwise=True,
        forms=("convolutional", "dense"),
        because="the local rule is defined between the spikes before and after one synapse",
        through_outputs=False,
        only=(
            Only(
                "optimizer.name",
                ("sgd",),
                "paradigm.name = {name!r} gives weight changes, which optimizer.name = {value!r} would rescale; "
                "set optimizer.name = 'sgd'",
            ),
        ),
    ),
}


def images() -> tuple[str, ...]:
    """Names of the image sets."""
    return tuple(name for name, known in DATA.items() if not known.events)


def trained_by(paradigm: str) -> tuple[str, ...]:
    """Names of the models that a choosy paradigm can train, the best suited form first."""
    method = PARADIGMS[paradigm]
    return tuple(name for form in method.forms for name, model in MODELS.items() if model.form == form and method.trains(model))


def part(kind: str, place: str) -> Any:
    """What stands at a place, "file:Name", of the lab's folder of that kind; its file is imported only now."""
    file, _, name = place.partition(":")
    return getattr(import_module(f"ahsar.lab.{kind}.{file}"), name)
