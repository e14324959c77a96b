"""Which data, model and paradigm fit together: what cannot work is refused when a workload is read, naming both.

What each of them is, and needs, stands in its entry of the catalogue; no name stands here.
"""

from typing import Any

from ahsar.errors import WorkloadError
from ahsar.lab.spec.catalogue import DATA, MODELS, PARADIGMS, Only, images, trained_by
from ahsar.lab.spec.sections import Data, Model, Optimizer, Paradigm

_HAS = "`depth` layers of `width` neurons and nothing between"


def check(data: Data, model: Model, paradigm: Paradigm, optimizer: Optimizer) -> None:
    """Refuse impossible combinations.

    Raises:
        WorkloadError: naming both sides and the cure.
    """
    sections = {"data": data, "model": model, "paradigm": paradigm, "optimizer": optimizer}
    _check_shape(model)
    _check_output(model, paradigm)
    _check_needs(model.name, MODELS[model.name].only, sections)
    _check_data(data, model)
    _check_paradigm(data, model, paradigm)
    _check_needs(paradigm.name, PARADIGMS[paradigm.name].only, sections)
    steps = PARADIGMS[paradigm.name].steps
    if steps and getattr(paradigm, steps) > model.time_steps:
        raise WorkloadError(
            f"paradigm.{steps} = {getattr(paradigm, steps)}: out of range [0, model.time_steps = {model.time_steps}]"
        )


def _check_shape(model: Model) -> None:
    known = MODELS[model.name]
    for field in ("hidden", "batch_norm"):
        if known.flat and getattr(model, field):
            raise WorkloadError(f"model.{field}: not for model.name = {model.name!r}, which has {_HAS}; leave it out")
    if model.widths or model.strides:
        if not known.planned:
            raise WorkloadError(f"model.widths and model.strides: not for model.name = {model.name!r}; give width and depth")
        if len(model.strides) != len(model.widths):
            raise WorkloadError(f"model.strides has {len(model.strides)} entries; give {len(model.widths)}, one per width")
        if model.width or model.depth:
            raise WorkloadError("model.width and model.depth: already given by model.widths and model.strides; leave them out")
    elif known.planned and not (model.width and model.depth):
        raise WorkloadError(f"model.name = {model.name!r}: give model.width and model.depth, or model.widths and model.strides")


def _check_output(model: Model, paradigm: Paradigm) -> None:
    for axis, name, entries in (("model", model.name, MODELS), ("paradigm", paradigm.name, PARADIGMS)):
        if model.output != "linear" and not entries[name].spiking_output:
            takers = ", ".join(other for other, known in entries.items() if known.spiking_output)
            raise WorkloadError(
                f"model.output = {model.output!r} does not go with {axis}.name = {name!r}; choose from {takers}, or leave "
                "model.output at 'linear'"
            )


def _check_needs(name: str, needs: tuple[Only, ...], sections: dict[str, Any]) -> None:
    for only in needs:
        section, field = only.field.split(".")
        value = getattr(sections[section], field)
        if value not in only.values:
            raise WorkloadError(only.message.format(name=name, value=value))


def _check_data(data: Data, model: Model) -> None:
    known = DATA[data.name]
    if data.time_steps not in (0, model.time_steps):
        raise WorkloadError(f"data.time_steps = {data.time_steps}: must equal model.time_steps = {model.time_steps}")
    if not known.pixels and not MODELS[model.name].flat:
        takers = ", ".join(name for name, other in MODELS.items() if other.flat)
        raise WorkloadError(
            f"data.name = {data.name!r} has no pixels for model.name = {model.name!r}; choose a model from {takers}"
        )
    wrong = [name for name in data.augment if name.startswith("event-") != known.events]
    if wrong:
        kind = "events" if known.events else "images"
        raise WorkloadError(f"data.augment has {wrong[0]!r}, which does not fit data.name = {data.name!r} ({kind})")


def _check_paradigm(data: Data, model: Model, paradigm: Paradigm) -> None:
    known = PARADIGMS[paradigm.name]
    if known.stepwise and not MODELS[model.name].stepwise:
        takers = ", ".join(name for name, other in MODELS.items() if other.stepwise)
        raise WorkloadError(
            f"paradigm.name = {paradigm.name!r} goes step by step, but model.name = {model.name!r} takes whole sequences "
            f"only; choose a model from {takers}"
        )
    if not known.trains(MODELS[model.name]):
        raise WorkloadError(
            f"paradigm.name = {paradigm.name!r} cannot train model.name = {model.name!r}: {known.because}; "
            f"choose a model from {', '.join(trained_by(paradigm.name))}"
        )
    if known.images and DATA[data.name].events:
        raise WorkloadError(
            f"paradigm.name = {paradigm.name!r} cannot use data.name = {data.name!r}: {known.images}; "
            f"choose from {', '.join(images())}"
        )
