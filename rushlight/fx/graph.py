"""Owns ``Graph``: the list of steps of a program, and the making, moving, copying and checking of them.

May import nodes, the source writer, names and nn.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..nn import Module, Parameter
from . import _names, _pickling
from ._codegen import CodeGen, PythonCode, _PyTreeCodeGen, _PyTreeInfo, magic_methods, reflectable_magic_methods
from ._codegen import inplace_methods as inplace_methods
from ._namespace import Namespace, snake_case
from ._node_list import _InsertPoint, _node_list
from .immutable_collections import immutable_dict
from .node import Argument, Node, Target, map_arg

if TYPE_CHECKING:
    from ._symbolic_trace import Tracer
    from .graph_module import GraphModule

_legal_ops = ("call_function", "call_method", "get_attr", "call_module", "placeholder", "output")


class Graph:
    """A program as a list of nodes: inputs, attributes, calls and one output.

    Args:
        owning_module: the module whose program it is.
        tracer_cls: the class of the tracer that recorded it.
        tracer_extras: what that tracer's ``trace`` needs to record it again.

    Example:
        >>> import rushlight as torch
        >>> graph = torch.fx.Graph()
        >>> x = graph.placeholder("x")
        >>> y = graph.call_function(torch.relu, (x,))
        >>> _ = graph.output(y)
        >>> print(graph)
        graph():
            %x : [num_users=1] = placeholder[target=x]
            %relu : [num_users=1] = call_function[target=torch.relu](args = (%x,), kwargs = {})
            return relu
    """

    def __init__(
        self, owning_module: GraphModule | None = None, tracer_cls: type[Tracer] | None = None,
        tracer_extras: dict[str, Any] | None = None,
    ):  # fmt: skip
        self._places: dict[Node, int] | None = None
        self._root = Node(self, "", "root", "", (), {})
        self._insert: Callable[[Node], None] = self._root.prepend
        self._len = 0
        self._graph_namespace = Namespace()
        self._owning_module = owning_module
        self._tracer_cls = tracer_cls
        self._tracer_extras = tracer_extras
        self._codegen: CodeGen = CodeGen()
        self._traced = ""  # which place of the program it was recorded from

    @property
    def owning_module(self) -> GraphModule | None:
        """The module whose program this is."""
        return self._owning_module

    @owning_module.setter
    def owning_module(self, mod: GraphModule | None) -> None:
        self._owning_module = mod

    @property
    def nodes(self) -> _node_list:
        """The nodes in order; ``reversed`` gives them from the end."""
        return _node_list(self)

    def _place(self, node: Node) -> int:
        """Where a node stands; nodes that have left stand before all others."""
        if self._places is None:
            self._places = {one: i for i, one in enumerate(self.nodes)}
        return self._places.get(node, -1)

    def output_node(self) -> Node:
        """The last node.

        Raises:
            AssertionError: it is no output.
        """
        last = self._root.prev
        if last.op != "output":
            raise AssertionError(f"Expected output node, got op={last.op}")
        return last

    def find_nodes(self, *, op: str, target: Target | None = None, sort: bool = True) -> list[Node]:
        """The nodes of a kind, in order.

        Args:
            op: their op.
            target: their target; every ``call_function`` needs one.
            sort: accepted: they come in order always.

        Raises:
            AssertionError: ``call_function`` without a target.
        """
        if op == "call_function" and target is None:
            raise AssertionError("target must not be None for call_function op")
        return [node for node in self.nodes if node.op == op and (target is None or node.target == target)]

    # -- making nodes -------------------------------------------------------------------------------------------

    def _target_to_str(self, target: Target) -> str:
        name = target if isinstance(target, str) else _names.short_name(target)
        if isinstance(target, str) and name.startswith("__") and name.endswith("__"):
            name = name[2:-2]
        return snake_case(name)

    def create_node(
        self, op: str, target: Target, args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None, name: str | None = None, type_expr: Any | None = None,
    ) -> Node:  # fmt: skip
        """Make a node and put it at the current place, which is the end outside of ``inserting_before`` and ``after``.

        Args:
            op: ``placeholder``, ``get_attr``, ``call_function``, ``call_method``, ``call_module`` or ``output``.
            target: the function, or the name of what is used.
            args, kwargs: the arguments.
            name: the name to be called by; the target's where it is None.
            type_expr: the type of the value.

        Raises:
            AssertionError: arguments that are no tuple and dict, or another op.
        """
        if args is not None and args != () and not isinstance(args, tuple):
            raise AssertionError(f"args must be a tuple, got {type(args)}")
        if kwargs is not None and kwargs != {} and not isinstance(kwargs, dict):
            raise AssertionError(f"kwargs must be a dict, got {type(kwargs)}")
        wanted = name if name is not None else self._target_to_str(target)
        unique = self._graph_namespace.create_name(wanted, None)
        node = Node(self, unique, op, target, args or (), kwargs or immutable_dict(), type_expr)
        self._graph_namespace.associate(unique, node)
        self._insert(node)
        self._len += 1
        return node

    def placeholder(
        self, name: str, type_expr: Any | None = None, default_value: Any = inspect.Signature.empty
    ) -> Node:  # fmt: skip
        """Make an input.

        Args:
            name: the parameter's name.
            type_expr: its type.
            default_value: its default, if it has one.
        """
        args = () if default_value is inspect.Signature.empty else (default_value,)
        return self.create_node("placeholder", name, args=args, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any | None = None) -> Node:
        """Make a step that reads a parameter, buffer or module.

        Args:
            qualified_name: its dotted name.
            type_expr: its type.
        """
        if self.owning_module is not None and not self._is_there(qualified_name):
            warnings.warn(
                "Attempted to insert a get_attr Node with no underlying reference in the owning GraphModule! Call "
                "GraphModule.add_submodule to add the necessary submodule, GraphModule.add_parameter to add the "
                "necessary Parameter, or nn.Module.register_buffer to add the necessary buffer",
                stacklevel=2,
            )
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def _is_there(self, qualified_name: str) -> bool:
        path, _, name = qualified_name.rpartition(".")
        assert self.owning_module is not None
        try:
            module = self.owning_module.get_submodule(path)
        except AttributeError:
            warnings.warn(f"Failed to fetch module {path}!", stacklevel=3)
            return False
        value = getattr(module, name, None)
        return isinstance(value, (Module, Parameter)) or name in module._buffers

    def call_module(
        self, module_name: str, args: tuple[Argument, ...] | None = None, kwargs: dict[str, Argument] | None = None,
        type_expr: Any | None = None,
    ) -> Node:  # fmt: skip
        """Make a call of a module by its dotted name."""
        if self.owning_module is not None and self.owning_module.get_submodule(module_name) is None:
            warnings.warn(
                "Attempted to insert a call_module Node with no underlying reference in the owning GraphModule! Call "
                "GraphModule.add_submodule to add the necessary submodule",
                stacklevel=2,
            )
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(
        self, method_name: str, args: tuple[Argument, ...] | None = None, kwargs: dict[str, Argument] | None = None,
        type_expr: Any | None = None,
    ) -> Node:  # fmt: skip
        """Make a call of a method; the first argument is what it is called on."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(
        self, the_function: Callable[..., Any], args: tuple[Argument, ...] | None = None,
        kwargs: dict[str, Argument] | None = None, type_expr: Any | None = None, name: str | None = None,
    ) -> Node:  # fmt: skip
        """Make a call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name=name, type_expr=type_expr)

    def output(self, result: Argument, type_expr: Any | None = None) -> Node:
        """Make the output.

        Args:
            result: what the program gives.
            type_expr: its type.
        """
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    # -- changing ---------------------------------------------------------------------------------------------

    def inserting_before(self, n: Node | None = None) -> _InsertPoint:
        """A block in which new nodes come before ``n``; before all where it is None.

        Raises:
            AssertionError: the node is of another graph.
        """
        if n is None:
            return self.inserting_after(self._root)
        if n.graph is not self:
            raise AssertionError("Node to insert before is not in graph.")
        return _InsertPoint(self, n.prepend)

    def inserting_after(self, n: Node | None = None) -> _InsertPoint:
        """A block in which new nodes come after ``n``; after all where it is None.

        Raises:
            AssertionError: the node is of another graph.
        """
        if n is None:
            return self.inserting_before(self._root)
        if n.graph is not self:
            raise AssertionError("Node to insert after is not in graph.")
        return _InsertPoint(self, n.append)

    def erase_node(self, to_erase: Node) -> None:
        """Take a node out.

        Args:
            to_erase: a node that nothing uses.

        Raises:
            RuntimeError: something uses it, or it is of another graph.
        """
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: "
                f"{to_erase.users}!"
            )
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            warnings.warn(f"erase_node({to_erase}) on an already erased node", stacklevel=2)
            return
        to_erase._remove_from_list()
        to_erase._erased = True
        self._len -= 1
        args, kwargs = (map_arg(part, lambda node: None) for part in (to_erase._args, to_erase._kwargs))
        to_erase._update_args_kwargs(args, kwargs)

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Argument] = lambda x: x) -> Node:
        """Copy a node, usually of another graph, to the current place.

        Args:
            node: the node.
            arg_transform: gives the node of this graph for each of its inputs.
        """
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        made = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        made.meta = copy.copy(node.meta)
        return made

    def graph_copy(self, g: Graph, val_map: dict[Node, Node], return_output_node: bool = False) -> Argument | None:
        """Copy the nodes of another graph to the current place.

        Args:
            g: the other graph.
            val_map: what stands for nodes that are there already, such as inputs; the copies are added.
            return_output_node: also give the other graph's output.

        Returns:
            What the other graph gives out, in this one's nodes.
        """
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                value = map_arg(node.args[0], lambda n: val_map[n])
                return (value, node) if return_output_node else value
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    def __deepcopy__(self, memo: dict | None = None) -> Graph:
        known: Any = memo if memo else {}
        made = Graph(tracer_cls=self._tracer_cls)
        found = made.graph_copy(self, val_map=known, return_output_node=True)
        made._codegen = copy.deepcopy(self._codegen)
        if found is not None:
            value, old = found
            made.output(value, type_expr=old.type).meta = copy.copy(old.meta)
        return made

    def __reduce__(self) -> Any:
        return _pickling.reduced(self)

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Take out every step that nothing uses and that has no side effect.

        Args:
            is_impure_node: says for a node whether it must stay; ``Node.is_impure`` where it is None.

        Returns:
            Whether anything was taken out.
        """
        self.lint()
        changed = False
        for node in reversed(self.nodes):
            if not node.users and not (is_impure_node(node) if is_impure_node is not None else node.is_impure()):
                self.erase_node(node)
                changed = True
        if self.owning_module is not None:
            from .graph_module import GraphModule

            named = {node.target for node in self.find_nodes(op="get_attr")}
            for name, child in self.owning_module.named_children():
                if name in named and isinstance(child, GraphModule):
                    changed |= child.graph.eliminate_dead_code()
                    child.recompile()
        return changed

    # -- checking and printing ------------------------------------------------------------------------------------

    def lint(self) -> None:
        """Check that the nodes are of this graph, in order, of unique names, and that their targets are there.

        Raises:
            RuntimeError: they are not.
            ValueError: a target of the wrong kind.
        """
        names: set[str] = set()
        seen: set[Node] = set()
        for node in self.nodes:
            if node.op not in _legal_ops:
                raise RuntimeError(f"Node {node} had unknown opcode {node.op}!")
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph!")
            for arg in node._input_nodes:
                if arg.graph is not self:
                    raise RuntimeError(
                        f"Argument '{arg}' of Node '{node}' does not belong to this Graph, but was used as an "
                        "argument! If you are copying nodes from another graph, make sure to use ``arg_transform`` on "
                        f"node_copy() to remap values\n{self}"
                    )
                if arg not in seen:
                    raise RuntimeError(
                        f"Argument '{arg}' of Node '{node}' was used before it has been defined! Please check that "
                        f"Nodes in the graph are topologically ordered\n{self}"
                    )
            seen.add(node)
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            names.add(node.name)
        if self.owning_module is not None:
            for node in self.nodes:
                self._check_target(node, self.owning_module)

    def _check_target(self, node: Node, at: Any) -> None:
        wanted = "Callable" if node.op == "call_function" else "str"
        if not (callable(node.target) if node.op == "call_function" else isinstance(node.target, str)):
            raise ValueError(
                f"Node {node} target {node.target} has type {_names.typename(node.target)} but a {wanted} is expected"
            )
        if node.op not in ("get_attr", "call_module"):
            return
        parts = node.target.split(".")
        for i, part in enumerate(parts):
            at, seen = getattr(at, part, None), ".".join(parts[:i])
            if at is None:
                raise RuntimeError(
                    f"Node {node} target {node.target} references nonexistent attribute {part} of {seen}"
                )
            if node.op == "call_module" and not isinstance(at, Module):
                raise RuntimeError(f"Node {node} target {node.target} {part} of {seen} does not reference an nn.Module")

    def __str__(self) -> str:
        return "\n    ".join(["graph():", *(text for node in self.nodes if (text := node.format_node()))])

    def print_tabular(self) -> None:
        """Print the nodes as a table, with the package ``tabulate``.

        Raises:
            ImportError: the package is not there.
        """
        try:
            from tabulate import tabulate  # type: ignore[import-not-found]
        except ImportError:
            print(
                "`print_tabular` relies on the library `tabulate`, which could not be found on this machine. Run "
                "`pip install tabulate` to install the library."
            )
            raise
        rows = [[node.op, node.name, node.target, node.args, node.kwargs] for node in self.nodes]
        print(tabulate(rows, headers=["opcode", "name", "target", "args", "kwargs"]))

    # -- source ---------------------------------------------------------------------------------------------------

    def python_code(
        self, root_module: str, *, verbose: bool = False, include_stride: bool = False, include_device: bool = False,
        colored: bool = False, expanded_def: bool = False, additional_meta: list[str] | None = None,
    ) -> PythonCode:  # fmt: skip
        """The graph as the source of a function.

        Args:
            root_module: the expression for the module, usually ``self``.
            verbose: say where each step is from, and dtypes and sizes where they are known.
            include_stride, include_device: also say these.
            colored: with colors for a terminal.
            expanded_def: one parameter a line.
            additional_meta: further entries of ``meta`` to show.
        """
        namespace = Namespace()
        before = {node: node._repr_fn for node in self.nodes}
        for node in before:
            node._repr_fn = lambda n: namespace.create_name(n.name, n)
        try:
            return self._codegen._gen_python_code(
                self.nodes, root_module, namespace, verbose=verbose, include_stride=include_stride, colored=colored,
                include_device=include_device, expanded_def=expanded_def, additional_meta=additional_meta,
            )  # fmt: skip
        finally:
            for node, shown in before.items():
                node._repr_fn = shown

    def set_codegen(self, codegen: CodeGen) -> None:
        """Let another writer make the source.

        Args:
            codegen: an instance of a subclass of ``CodeGen``.
        """
        self._codegen = codegen

    def process_inputs(self, *args: Any) -> Any:
        """The inputs of the graph for the arguments of the function."""
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out: Any) -> Any:
        """The result of the function for the output of the graph."""
        return self._codegen.process_outputs(out)

    def on_generate_code(self, make_transformer: Callable[[Any], Callable[[list[str]], list[str]]]) -> Any:
        """Let a function change the lines of the body, from now on or for the length of a block.

        Args:
            make_transformer: given the function that does so now, or None, gives the one to use.

        Example:
            >>> import rushlight as torch
            >>> module = torch.fx.symbolic_trace(lambda x: x + 1)
            >>> with module.graph.on_generate_code(lambda now: lambda body: ["print('called')\\n", *body]):
            ...     _ = module.recompile()
            >>> module(1)
            called
            2
        """
        before = self._codegen._body_transformer
        self._codegen._body_transformer = make_transformer(before)

        @contextlib.contextmanager
        def block() -> Iterator[None]:
            try:
                yield
            finally:
                self._codegen._body_transformer = before

        return block()


__all__ = [
    "CodeGen", "Graph", "PythonCode", "_PyTreeCodeGen", "_PyTreeInfo", "magic_methods", "map_arg",
    "reflectable_magic_methods",
]  # fmt: skip
