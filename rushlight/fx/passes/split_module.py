"""Owns ``split_module``: a traced module cut into several, which call each other.

May import graphs, the graph module, nodes and proxies.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ...nn import Module
from ..graph import Graph
from ..graph_module import GraphModule, _get_attr
from ..node import Node, map_arg
from ..proxy import Proxy


class Partition:
    """One of the parts: its nodes, what it is given, and what it gives.

    Args:
        name: what it is called by the function that divides the nodes.
    """

    def __init__(self, name: str):
        self.name = name
        self.submod_name = f"submod_{name}"
        self.node_names: list[str] = []
        self.inputs: dict[str, None] = {}
        self.outputs: dict[str, None] = {}
        self.dependencies: dict[str, None] = {}
        self.dependents: dict[str, None] = {}
        self.graph = Graph()
        self.environment: dict[Node, Node] = {}
        self.targets: dict[str, Any] = {}

    def __repr__(self) -> str:
        return (
            f"name: {self.name},\n nodes: {self.node_names},\n inputs: {self.inputs},\n outputs: {self.outputs},\n "
            f"partitions depended on: {self.dependencies},\n partition dependents: {self.dependents}"
        )


class _Split:
    """The parts of one module, and which of them each node is in."""

    def __init__(self, m: GraphModule, divide: Callable[[Node], int], affix: str | None):
        self.module, self.nodes = m, {node.name: node for node in m.graph.nodes}
        self.parts: dict[str, Partition] = {}
        self.of: dict[Node, Partition] = {}
        for node in m.graph.nodes:
            if node.op in ("placeholder", "get_attr", "output"):
                continue
            name = str(divide(node)) if affix is None else f"{affix}_{divide(node)}"
            part = self.of[node] = self.parts.setdefault(name, Partition(name))
            part.node_names.append(node.name)
        for node in m.graph.nodes:
            if node.op not in ("placeholder", "get_attr"):
                map_arg((node.args, node.kwargs), lambda made, node=node: self._used(made, node))

    def _used(self, made: Node, user: Node) -> None:
        there, here = self.of.get(made), self.of.get(user)
        if there is here:
            return
        if there is not None:
            there.outputs[made.name] = None
            if here is not None:
                there.dependents[here.name] = None
        if here is not None:
            here.inputs[made.name] = None
            if there is not None:
                here.dependencies[there.name] = None

    def sorted(self) -> list[Partition]:
        """The parts, each after those that it needs.

        Raises:
            RuntimeError: two need each other.
        """
        waiting = {name: dict(part.dependencies) for name, part in self.parts.items()}
        ready, order = [name for name, needs in waiting.items() if not needs], []
        while ready:
            part = self.parts[ready.pop()]
            order.append(part)
            for name in part.dependents:
                waiting[name].pop(part.name)
                if not waiting[name]:
                    ready.append(name)
        if len(order) != len(self.parts):
            raise RuntimeError("cycle exists between partitions!")
        return order

    def _is_module(self, node: Node) -> bool:
        return node.op == "get_attr" and isinstance(_get_attr(self.module, node.target), Module)

    def make_inputs(self, part: Partition, keep_names: bool) -> None:
        """The inputs of a part; modules that it names are its own, not inputs."""
        inputs = [self.nodes[name] for name in part.inputs]
        part.inputs = {}
        for node in sorted(inputs, key=self._is_module):
            if self._is_module(node):
                made = part.graph.get_attr(node.target)
                part.targets[node.target] = _get_attr(self.module, node.target)
            else:
                name = node.name if keep_names else f"arg_{len(part.inputs)}"
                made = part.graph.placeholder(name, type_expr=node.type)
                part.inputs[node.name] = None
            made.meta = dict(node.meta)
            part.environment[node] = made

    def copy(self, node: Node, keep_names: bool, named: dict[str, str] | None) -> None:
        """Copy a node into its part."""
        part = self.of[node]
        target = node.target
        if node.op == "call_module":
            target = node.target.replace(".", "_")
            part.targets[target] = _get_attr(self.module, node.target)
            if named is not None:
                named[f"{part.submod_name}.{target}"] = node.target
        args, kwargs = (map_arg(one, part.environment.__getitem__) for one in (node.args, node.kwargs))
        name = node.name if keep_names else None
        made = part.graph.create_node(node.op, target, args, kwargs, name, node.type)
        made.meta = dict(node.meta)
        part.environment[node] = made


def split_module(
    m: GraphModule, root_m: Module, split_callback: Callable[[Node], int], qualname_map: dict[str, str] | None = None,
    keep_original_order: bool | None = False, keep_original_node_name: bool | None = False,
    keep_original_input_name: bool = True, *, partition_affix: str | None = None, tuple_return: bool = False,
) -> GraphModule:  # fmt: skip
    """Cut a traced module into modules that call each other.

    Args:
        m: the module.
        root_m: accepted: ``m`` has what the nodes name.
        split_callback: says for a node which part it goes to.
        qualname_map: gets, for each module of a part, its name in ``m``.
        keep_original_order: call the parts in the order in which the graph meets them.
        keep_original_node_name: nodes keep their names.
        keep_original_input_name: the inputs of parts are called after the values; else ``arg_0`` and so on.
        partition_affix: goes before the part's number in its name.
        tuple_return: parts give a tuple even of one value.

    Returns:
        A module with the parts ``submod_<number>``.

    Raises:
        RuntimeError: two parts need each other.

    Example:
        >>> import rushlight as torch
        >>> module = torch.fx.symbolic_trace(lambda x: torch.relu(x + 1) * 2)
        >>> halves = split_module(module, module, lambda node: int(node.name == "mul"))
        >>> print(halves.code.strip())
        def forward(self, x):
            submod_0 = self.submod_0(x);  x = None
            submod_1 = self.submod_1(submod_0);  submod_0 = None
            return submod_1
    """
    split = _Split(m, split_callback, partition_affix)
    order = split.sorted()
    for part in order:
        split.make_inputs(part, keep_original_input_name)
    for node in split.of:
        split.copy(node, bool(keep_original_node_name), qualname_map)
    graph = Graph()
    values: dict[str, Node] = {}
    attributes: dict[str, Any] = {}

    def outside(node: Node) -> None:
        """An input or attribute in the module that calls the parts."""
        if node.name in values or node.op not in ("placeholder", "get_attr"):
            return
        if node.op == "placeholder":
            default = node.args[0] if node.args else inspect.Signature.empty
            name = node.name if keep_original_node_name else node.target
            values[node.name] = graph.placeholder(name, node.type, default)
        else:
            values[node.name] = graph.get_attr(node.target)
            attributes[node.target] = _get_attr(m, node.target)
        values[node.name].meta = dict(node.meta)

    if not keep_original_order or not order:
        for node in m.graph.nodes:
            outside(node)
    for part in split.parts.values() if keep_original_order else order:
        outputs = tuple(part.environment[split.nodes[name]] for name in part.outputs)
        several = len(outputs) != 1 or tuple_return
        part.graph.output(outputs if several else outputs[0])
        if keep_original_order:
            for node in [*m.graph.find_nodes(op="placeholder"), *(split.nodes[name] for name in part.inputs)]:
                outside(node)
        attributes[part.submod_name] = GraphModule(part.targets, part.graph)
        call = graph.call_module(part.submod_name, tuple(values[name] for name in part.inputs))
        for i, name in enumerate(part.outputs):
            values[name] = Proxy(call)[i].node if several else call  # type: ignore[index]
    for node in m.graph.find_nodes(op="output"):
        graph.output(map_arg(node.args[0], lambda n: values[n.name]))
    made = GraphModule(attributes, graph)
    made.meta["partition_names"] = {part.submod_name for part in split.parts.values()}
    return made


__all__ = ["Partition", "split_module"]
