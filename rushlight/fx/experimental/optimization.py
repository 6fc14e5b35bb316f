"""Owns passes that make a model for evaluation smaller: folding batch normalisation, leaving out dropout.

May import the tracer, the interpreter and nn.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ... import nn
from ..._errors import not_supported
from ...nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from .._symbolic_trace import Tracer, symbolic_trace
from ..graph import Graph
from ..graph_module import GraphModule
from ..interpreter import Transformer
from ..node import Node

_PAIRS = (
    (nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d), (nn.Linear, nn.BatchNorm1d),
)  # fmt: skip


def matches_module_pattern(pattern: Iterable[type], node: Node, modules: dict[str, Any]) -> bool:
    """Whether a node calls a module of the second class on what a module of the first class gives.

    Args:
        pattern: the two classes.
        node: the node.
        modules: the modules by dotted name.
    """
    if not node.args:
        return False
    return all(
        isinstance(one, Node) and one.op == "call_module" and type(modules.get(one.target)) is wanted
        for wanted, one in zip(pattern, (node.args[0], node), strict=True)
    )


def replace_node_module(node: Node, modules: dict[str, Any], new_module: nn.Module) -> None:
    """Put another module where a node's module is.

    Args:
        node: the node.
        modules: the modules by dotted name; it is updated.
        new_module: the other module.
    """
    parent, _, name = node.target.rpartition(".")
    modules[node.target] = new_module
    setattr(modules[parent], name, new_module)


def fuse(model: nn.Module, inplace: bool = False, no_trace: bool = False) -> nn.Module:
    """Fold every batch normalisation into the convolution or linear map right before it; for evaluation.

    Args:
        model: the model, in evaluation mode.
        inplace: change the model's own modules.
        no_trace: a traced model is taken as it is.

    Raises:
        AssertionError: a pair is in training mode.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.fx.experimental.optimization import fuse
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU()).eval()
        >>> [node.target for node in fuse(model).graph.nodes]
        ['input', '0', '2', 'output']
    """
    model = model if inplace else copy.deepcopy(model)
    traced = model if no_trace and isinstance(model, GraphModule) else symbolic_trace(model)
    modules: dict[str, Any] = dict(traced.named_modules())
    graph = copy.deepcopy(traced.graph)
    for pair in _PAIRS:
        for node in graph.nodes:
            if not matches_module_pattern(pair, node, modules):
                continue
            before = node.args[0]
            layer, norm = modules[before.target], modules[node.target]
            if len(before.users) > 1 or not norm.track_running_stats:
                continue
            fold = fuse_linear_bn_eval if pair[0] is nn.Linear else fuse_conv_bn_eval
            replace_node_module(before, modules, fold(layer, norm))
            node.replace_all_uses_with(before)
            graph.erase_node(node)
    return GraphModule(traced, graph)


class _WithoutDropout(Transformer):
    def call_module(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        if isinstance(self.submodules[target], nn.Dropout):
            return args[0]
        return super().call_module(target, args, kwargs)


def remove_dropout(model: nn.Module) -> nn.Module:
    """Trace a model and leave every dropout module out.

    Args:
        model: the model.
    """
    return _WithoutDropout(symbolic_trace(model)).transform()


def extract_subgraph(
    orig_module: nn.Module, nodes: list[Node], inputs: list[Node], outputs: list[Node]
) -> GraphModule:  # fmt: skip
    """A module that runs a part of a graph.

    Args:
        orig_module: who has the modules.
        nodes: the part.
        inputs: the nodes whose values it is given.
        outputs: the nodes whose values it gives, as a list.
    """
    graph = Graph()
    env = {node: graph.placeholder(node.name) for node in inputs}
    for node in nodes:
        env[node] = graph.node_copy(node, lambda n: env[n])
    graph.output([env[node] for node in outputs])
    graph.lint()
    return GraphModule(orig_module, graph)


def optimize_for_inference(
    model: nn.Module, pass_config: dict[str, Any] | None = None, tracer: type[Tracer] = Tracer
) -> nn.Module:
    """``fuse`` and ``remove_dropout``; layouts are XLA's business.

    Args:
        model: the model, in evaluation mode.
        pass_config: ``conv_bn_fuse`` and ``remove_dropout`` may be False; ``mkldnn_layout_optimize`` is False always.
        tracer: accepted: a class of tracers for the layout pass.

    Raises:
        NotImplementedError: a setting for ``mkldnn_layout_optimize``.
    """
    config = {"conv_bn_fuse": True, "remove_dropout": True, "mkldnn_layout_optimize": False, **(pass_config or {})}
    if config["mkldnn_layout_optimize"] is not False:
        raise not_supported("mkldnn_layout_optimize", "XLA chooses layouts itself; torch.compile the model.")
    model = fuse(model) if config["conv_bn_fuse"] else model
    return remove_dropout(model) if config["remove_dropout"] else model


__all__ = [
    "extract_subgraph", "fuse", "matches_module_pattern", "optimize_for_inference", "remove_dropout",
    "replace_node_module",
]  # fmt: skip
