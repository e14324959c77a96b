"""The model that a command line names: `package.module:factory`, with arguments where it takes some."""

import ast
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from ahsar.errors import AttachError

if TYPE_CHECKING:
    from torch import nn

HELP = "package.module:factory, with arguments as in :Net(width=8), or :model."


def build_model(target: str) -> "nn.Module":
    """The model of `package.module:factory`, found from the working directory as well.

    Args:
        target: a module and, behind a colon, a model, what makes one, or a call of it whose arguments are plain values.

    Raises:
        AttachError: there is none.
    """
    from torch import nn

    module_name, colon, rest = target.partition(":")
    if not colon or not rest:
        raise AttachError(f"{target!r}: write package.module:factory")
    path, arguments, options = _call(target, rest)
    sys.path.insert(0, os.getcwd())
    try:
        resolved: Any = importlib.import_module(module_name)
        for part in path.split("."):
            resolved = getattr(resolved, part)
        given = arguments is not None
        model = resolved if isinstance(resolved, nn.Module) and not given else resolved(*arguments or (), **options)
    except Exception as error:
        raise AttachError(f"{target}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(os.getcwd())
    if not isinstance(model, nn.Module):
        raise AttachError(f"{target} gives a {type(model).__name__}, not a torch.nn.Module")
    return model


def _call(target: str, text: str) -> tuple[str, list[Any] | None, dict[str, Any]]:
    """The name and the arguments of `name` (None for no call) or `name(1, width=8)`."""
    wrong = AttachError(f"{target!r}: write package.module:factory, or :factory(width=8) with plain values")
    try:
        parsed = ast.parse(text, mode="eval").body
    except SyntaxError:
        raise wrong from None
    if not isinstance(parsed, ast.Call):
        return text, None, {}
    try:
        arguments = [ast.literal_eval(value) for value in parsed.args]
        options = {str(one.arg): ast.literal_eval(one.value) for one in parsed.keywords if one.arg}
    except ValueError:
        raise wrong from None
    return ast.unparse(parsed.func), arguments, options
