"""Which layers' spikes are the model's answer: they reach its output, and no weights of another layer on the way.

It is read from autograd's graph of the first training step. Execution order would not do: in a loop over time weights run
again after every layer.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling

from . import tracing

_NAME = "ahsar"  # of the layer, in the metadata of the graph's nodes, which live as long as the graph
_PRODUCTS = ("Addmm", "Addmv", "Mm", "Bmm", "Baddbmm", "Linear", "Convolution", "Cudnn", "Mkldnn", "Thnn", "Slow", "Embedding")
_OUTPUT = None  # the source of an edge that ends in the model's output

ANSWER = "its spikes are the model's answer"
Edge = tuple[str | None, str, bool]


class Answers:
    """Follows the spikes of every layer through the calls of the first training step.

    Attributes:
        edges: (a, b, weighted): spikes of layer b reach layer a, or the model's output where a is None, with weights between.
        called: whether any module around layers was called.
        marked: layers whose spikes have a graph.
        opaque: whether some graph shows neither layers nor weights, or a forward is compiled.
        watching: whether layers are to be marked.
    """

    called: bool
    opaque: bool
    watching: bool

    def __init__(self) -> None:
        self.edges: set[Edge] = set()
        self.marked: set[str] = set()
        self.called, self.opaque = False, False
        self.watching = False
        self._depth = 0
        self._handles: list[Any] = []
        self._around: set[nn.Module] = set()

    def watch(self, model: nn.Module, layers: list[nn.Module]) -> None:
        """Hook every other module than the layers, until `remove`; what the outermost call returns counts.

        Where no module around the layers is called (some frameworks go past hooks there), modules with weights still are.
        """
        self.watching = True
        inside = {part for layer in layers for part in nn.Module.modules(layer)}
        for module in nn.Module.modules(model) if layers else ():
            if module not in inside:
                self._handles.append(module.register_forward_pre_hook(self._enter))
                self._handles.append(module.register_forward_hook(self._leave, always_call=True))
        self._around = {module for module in nn.Module.modules(model) if not inside.isdisjoint(nn.Module.modules(module))}

    def remove(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._around.clear()
        self.watching = False

    def layers(self) -> set[str] | None:
        """The layers whose spikes are the answer; None where it was watched and cannot be told."""
        weighted = {layer for source, layer, weights in self.edges if weights and source != layer}
        answers = {layer for source, layer, weights in self.edges if source is _OUTPUT and not weights} - weighted
        reached = {layer for _, layer, _ in self.edges}
        hidden = self.opaque or (not self.called and not self.marked <= reached)
        return None if self.watching and hidden and not answers else answers

    def mark(self, output: Any, name: str) -> None:
        """Mark what a layer returned, its spikes and its states, as the layer's."""
        for tensor in tensors_in(output):
            node: Any = tensor.grad_fn
            if node is not None:
                node.metadata[_NAME] = name
                self.marked.add(name)

    def mark_states(self, module: nn.Module, name: str) -> None:
        """Mark the membranes that a layer keeps, which a model may return in the place of spikes; not what others gave it."""
        for tensor in tensors_in(module.__dict__):
            node: Any = tensor.grad_fn
            if node is not None and _NAME not in node.metadata and not _combines_weights(node):
                node.metadata[_NAME] = name

    def _enter(self, module: nn.Module, args: Any) -> None:
        if _watches():
            self._depth += 1

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if not _watches():
            return
        self._depth = max(0, self._depth - 1)
        if self._depth == 0 and output is not None:
            self.called |= module in self._around
            nodes = [tensor.grad_fn for tensor in tensors_in(output) if tensor.grad_fn is not None]
            seen = self._follow([(node, _OUTPUT, False) for node in nodes])
            self.opaque |= module in self._around and bool(nodes) and not seen

    def _follow(self, waiting: list[Any]) -> bool:
        """Add the edges that lead back from these nodes of the graph; returns whether there was a layer or a weight."""
        met = False
        while waiting:
            node, source, weighted = waiting.pop()
            marks = node.metadata.setdefault(f"{_NAME} passed", set())
            if (source, weighted) in marks:
                met = True
                continue
            marks.add((source, weighted))
            layer = node.metadata.get(_NAME)
            if layer is not None:
                met = True
                self.edges.add((source, layer, weighted))
                source, weighted = layer, False
            elif _combines_weights(node):
                met = weighted = True
            waiting += [(behind, source, weighted) for behind, _ in node.next_functions if behind is not None]
        return met


def _watches() -> bool:
    """Whether this forward has a graph that lasts."""
    return not (is_dynamo_compiling() or tracing.under_way())


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def _combines_weights(node: Any) -> bool:
    """Whether this step multiplies by a matrix, or takes in a parameter with two dimensions or more."""
    return type(node).__name__.startswith(_PRODUCTS) or any(_is_weight(behind) for behind, _ in node.next_functions)


def _is_weight(node: Any) -> bool:
    # a cast or a transposition may lie between
    for _ in range(4):
        if node is None:
            return False
        variable = getattr(node, "variable", None)
        if variable is not None:
            return variable.ndim >= 2
        if len(node.next_functions) != 1:
            return False
        node = node.next_functions[0][0]
    return False
