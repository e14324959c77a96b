"""`ahsar bake`: from a checkpoint with a controller's state to a model that runs without ahsar."""

from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ahsar.cli.console import console
from ahsar.cli.target import build_model
from ahsar.errors import ExportError
from ahsar.files import load_saved, replacing

if TYPE_CHECKING:
    from torch import Tensor, nn


def bake(
    checkpoint: Annotated[Path, typer.Argument(help="Of `ahsar run --out`, or with your own `model` and `homeostat` states.")],
    model: Annotated[str | None, typer.Option("--model", help="package.module:factory; not for one of `ahsar run`.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Default: CHECKPOINT with .baked before its ending.")] = None,
    nir: Annotated[Path | None, typer.Option("--nir", help="Also write the model as NIR here.")] = None,
    input_shape: Annotated[str | None, typer.Option("--input", help="Shape of an input, for NIR: 1,3,32,32.")] = None,
) -> None:
    """Write a saved model with its scaled thresholds baked in, to run and export without ahsar."""
    from ahsar.verdict import in_words

    target = out or checkpoint.with_name(f"{checkpoint.stem}.baked{checkpoint.suffix}")
    baked = bake_checkpoint(checkpoint, model, target, nir, input_shape)
    for name, threshold in baked["thresholds"].items():
        console().print(f"{name}  threshold {threshold if isinstance(threshold, float) else in_words(threshold)}")
    console().print(f"baked: {target}" + (f"; NIR: {nir}" if nir else ""), soft_wrap=True)


def bake_checkpoint(
    checkpoint: Path, target: str | None, out: Path, nir_file: Path | None = None, shape: str | None = None
) -> dict[str, Any]:
    """Bake the thresholds that a checkpoint holds, and write the model to `out`, and as NIR if asked for.

    Args:
        checkpoint: what `torch.save({"model": model.state_dict(), "homeostat": homeostat.state_dict()}, file)` wrote, or
            the checkpoint of `ahsar run --out`, which names its own model.
        target: `package.module:factory` of the model; None for a checkpoint of `ahsar run`.
        out: gets "model", a state_dict for the same model, and "thresholds" by layer name, a number or tensor each: those
            that a framework keeps as plain numbers are in no state_dict, so set them: `layer.v_threshold = number`.
        nir_file, shape: a file for the NIR graph, and the shape of an input for its exporter, as in "1,3,32,32".

    Returns:
        What `out` holds.

    Raises:
        ExportError: the checkpoint cannot be read, has no controller, or fits another model. Nothing is written then.
    """
    from ahsar import attach
    from ahsar.export import to_nir

    saved = _read(checkpoint)
    model = build_model(target) if target else _of_the_lab(saved, checkpoint)
    try:
        model.load_state_dict(saved["model"])
    except (AttributeError, RuntimeError, TypeError) as error:
        what = f"another model than {target}" if target else "another model than it says"
        raise ExportError(f"{checkpoint} holds parameters of {what}: {shorten(str(error), 300, placeholder=' ...')}") from error
    homeostat = attach(model, layers=list(saved["homeostat"]["layers"]))
    homeostat.load_state_dict({**saved["homeostat"], "config": homeostat.config.to_dict()})
    layers = homeostat.layers
    homeostat.bake()
    thresholds = {layer.name: _plain(layer.threshold.value(layer.module)) for layer in layers}
    baked = {"model": model.state_dict(), "thresholds": thresholds}
    graph = None if nir_file is None else to_nir(model, _sample(shape))
    _save(baked, out)
    if graph is not None:
        import nir

        nir.write(str(nir_file), graph)
    return baked


def _read(path: Path) -> dict[str, Any]:
    how = '{"model": model.state_dict(), "homeostat": homeostat.state_dict()}'
    saved = load_saved(path, f"a checkpoint of `ahsar run --out`, or one with {how}", ExportError)
    if not isinstance(saved, dict) or not isinstance(saved.get("model"), dict):
        raise ExportError(f'{path}: holds no "model"; save {how}')
    if not isinstance(saved.get("homeostat"), dict) or "layers" not in saved["homeostat"]:
        raise ExportError(f'{path}: holds no "homeostat" state, so there is nothing to bake; save homeostat.state_dict() in it')
    return saved


def _of_the_lab(saved: dict[str, Any], path: Path) -> "nn.Module":
    about = saved.get("about")
    if not isinstance(about, dict):
        raise ExportError(f"{path}: does not name its model: give it with --model package.module:factory")
    from ahsar.lab import paradigms
    from ahsar.lab.spec import workload

    try:
        workload_of, shape, classes = about["workload"], tuple(about["sample_shape"]), about["classes"]
    except (KeyError, TypeError) as error:
        raise ExportError(f'{path}: its "about" is not what `ahsar run` writes; give the model with --model') from error
    return paradigms.rebuild(workload.from_dict(workload_of), shape, classes)


def _plain(threshold: "Tensor") -> Any:
    return threshold.item() if threshold.ndim == 0 else threshold.clone()


def _sample(shape: str | None) -> "Tensor":
    import torch

    try:
        return torch.zeros([int(size) for size in (shape or "").split(",")])
    except ValueError:
        raise ExportError(f"--input {shape!r}: NIR needs the shape of an input, for example --input 1,3,32,32") from None


def _save(baked: dict[str, Any], out: Path) -> None:
    import torch

    try:
        with replacing(out) as file:
            torch.save(baked, file)
    except (OSError, RuntimeError) as error:
        raise ExportError(f"{out}: cannot be written ({error})") from error
