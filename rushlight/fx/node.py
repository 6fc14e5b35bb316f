"""Owns ``Node``, one step of a graph, and the walk over nested arguments.

May import the immutable containers and the names of functions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .. import dtypes
from .._device import device
from .._tensor.tensor import Tensor
from . import _names
from .immutable_collections import immutable_dict, immutable_list

if TYPE_CHECKING:
    from .graph import Graph

Target = Callable[..., Any] | str
Argument = Any
_F = TypeVar("_F", bound=Callable[..., Any])

# What may stand in a graph as it is.
base_types: tuple[type, ...] = (
    str, int, float, bool, complex, dtypes.dtype, Tensor, device, dtypes.memory_format, dtypes.layout,
)  # fmt: skip
_OPCODES = frozenset({"placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root"})
_side_effectful_functions: set[Any] = {operator.setitem}
# Functions that draw random numbers: leaving one out would change what later ones draw.
_RANDOM = "rand randn randint randperm rand_like randn_like randint_like normal poisson bernoulli multinomial"


def has_side_effect(fn: _F) -> _F:
    """Keep calls of a function in graphs, used or not: ``eliminate_dead_code`` passes them over.

    Args:
        fn: the function.

    Example:
        >>> has_side_effect(print) is print
        True
    """
    _side_effectful_functions.add(fn)
    return fn


def map_aggregate(a: Argument, fn: Callable[[Argument], Argument]) -> Argument:
    """Apply a function to everything inside of nested tuples, lists, dicts and slices.

    Args:
        a: the nest.
        fn: the function.

    Returns:
        The same nest around the results; its lists and dicts are immutable.

    Example:
        >>> map_aggregate([1, {"a": (2, 3)}], lambda x: 2 * x)
        [2, {'a': (4, 6)}]
    """
    if isinstance(a, tuple):
        parts = [map_aggregate(one, fn) for one in a]
        return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
    if isinstance(a, list):
        return immutable_list([map_aggregate(one, fn) for one in a])
    if isinstance(a, dict):
        return immutable_dict({key: map_aggregate(one, fn) for key, one in a.items()})
    if isinstance(a, slice):
        return slice(*(map_aggregate(one, fn) for one in (a.start, a.stop, a.step)))
    return fn(a)


def map_arg(a: Argument, fn: Callable[[Node], Argument]) -> Argument:
    """Apply a function to the nodes inside of nested arguments.

    Args:
        a: the nest.
        fn: the function.

    Raises:
        AssertionError: no function.

    Example:
        >>> import rushlight as torch
        >>> x = torch.fx.Graph().placeholder("x")
        >>> map_arg([x, 2], lambda node: node.op)
        ['placeholder', 2]
    """
    if not callable(fn):
        raise AssertionError("torch.fx.map_arg(a, fn): fn must be a callable")
    return map_aggregate(a, lambda one: fn(one) if isinstance(one, Node) else one)


def format_arg(arg: Any) -> str:
    """An argument as ``str(graph)`` shows it."""
    if hasattr(arg, "_custom_fx_repr_fn"):
        return arg._custom_fx_repr_fn()
    if isinstance(arg, list):
        return f"[{', '.join(map(format_arg, arg))}]"
    if isinstance(arg, tuple):
        return f"({', '.join(map(format_arg, arg))}{',' if len(arg) == 1 else ''})"
    if isinstance(arg, dict):
        return f"{{{', '.join(f'{key}: {format_arg(value)}' for key, value in arg.items())}}}"
    return f"%{arg}" if isinstance(arg, Node) else str(arg)


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


class Node:
    """One step of a graph: an input, an attribute, a call, or the output.

    Args:
        graph: the graph it belongs to; ``Graph``'s methods make nodes and put them in place.
        name: what the step's value is called.
        op: ``placeholder``, ``get_attr``, ``call_function``, ``call_method``, ``call_module`` or ``output``.
        target: the function that is called, or the name of the input, attribute, method or module.
        args, kwargs: the arguments; other nodes inside of them are its inputs.
        return_type: the type that the value is annotated with.

    Raises:
        AssertionError: another op.
        ValueError: a target of the wrong kind.

    Example:
        >>> import rushlight as torch
        >>> graph = torch.fx.Graph()
        >>> x = graph.placeholder("x")
        >>> y = graph.call_function(torch.relu, (x,))
        >>> y.op, y.args, list(x.users)
        ('call_function', (x,), [relu])
    """

    def __init__(
        self, graph: Graph, name: str, op: str, target: Target, args: tuple[Argument, ...],
        kwargs: Mapping[str, Argument], return_type: Any = None,
    ):  # fmt: skip
        _require(op in _OPCODES, f"op '{op}' is not in _legal_ops")
        wanted = "Callable" if op == "call_function" else "str"
        if not (callable(target) if op == "call_function" else isinstance(target, str)):
            raise ValueError(
                f"Node [graph = {graph}, name = '{name}'] target {target} has type {_names.typename(target)} but a "
                f"{wanted} is expected"
            )
        self.graph, self.name, self.op, self.type = graph, name, op, return_type
        self.target: Any = target
        self.users: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._input_nodes: dict[Node, None] = {}
        self._prev = self._next = self
        self._erased = False
        self._repr_fn: Callable[[Node], str] | None = None
        self._args: tuple[Argument, ...] = ()
        self._kwargs: Mapping[str, Argument] = immutable_dict()
        self._update_args_kwargs(args, kwargs)

    # -- the list of nodes --------------------------------------------------------------------------------------

    @property
    def next(self) -> Node:
        """The node after this one; after the last comes the list's own root."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node before this one; before the first comes the list's own root."""
        return self._prev

    def _remove_from_list(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev
        self.graph._places = None

    def prepend(self, x: Node) -> None:
        """Move a node of the same graph to the place before this one.

        Args:
            x: the node to move.

        Raises:
            AssertionError: it is of another graph.
        """
        _require(self.graph is x.graph, "Attempting to move a Node into a different Graph")
        if x is self:
            return
        x._remove_from_list()
        x._prev, x._next = self._prev, self
        self._prev._next = self._prev = x

    def append(self, x: Node) -> None:
        """Move a node of the same graph to the place after this one.

        Args:
            x: the node to move.

        Raises:
            AssertionError: it is of another graph.
        """
        self._next.prepend(x)

    def __lt__(self, other: Node) -> bool:
        return self.graph._place(self) < other.graph._place(other) if isinstance(other, Node) else NotImplemented

    def __le__(self, other: Node) -> bool:
        return self is other or self < other

    def __gt__(self, other: Node) -> bool:
        return other < self if isinstance(other, Node) else NotImplemented

    def __ge__(self, other: Node) -> bool:
        return self is other or self > other

    # -- arguments ----------------------------------------------------------------------------------------------

    def _update_args_kwargs(self, args: Any, kwargs: Any) -> None:
        """Take new arguments: the nodes inside of them learn of a user, those that left forget it."""
        for node in self._input_nodes:
            node.users.pop(self, None)
        inputs = self._input_nodes = {}

        def use(node: Node) -> Node:
            inputs[node] = None
            node.users.setdefault(self)
            return node

        self._args, self._kwargs = map_arg(tuple(args), use), map_arg(dict(kwargs), use)

    @property
    def args(self) -> tuple[Argument, ...]:
        """The positional arguments; assign a new tuple to change them."""
        return self._args

    @args.setter
    def args(self, a: tuple[Argument, ...]) -> None:
        self._update_args_kwargs(a, self._kwargs)

    @property
    def kwargs(self) -> Mapping[str, Argument]:
        """The keyword arguments; assign a new dict to change them."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k: Mapping[str, Argument]) -> None:
        self._update_args_kwargs(self._args, k)

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes among the arguments, each once, in order."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Argument) -> None:
        """Replace one positional argument.

        Args:
            idx: its place.
            arg: the new value.
        """
        args = list(self.args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Argument) -> None:
        """Put a further positional argument in.

        Args:
            idx: the place it gets.
            arg: the value.

        Raises:
            AssertionError: there is no such place.
        """
        _require(0 <= idx <= len(self.args), f"insert_args index must be between 0 and len(self.args), got {idx}")
        inputs = list(self._input_nodes)
        self.args = (*self.args[:idx], arg, *self.args[idx:])
        self._input_nodes = dict.fromkeys([*inputs, *self._input_nodes])  # new ones come last

    def update_kwarg(self, key: str, arg: Argument) -> None:
        """Set one keyword argument.

        Args:
            key: its name.
            arg: the new value.
        """
        self.kwargs = {**self.kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Use another node wherever a node stands among the arguments.

        Args:
            old_input: the node to replace.
            new_input: the node to use.
        """

        def swap(node: Node) -> Node:
            return new_input if node is old_input else node

        self._update_args_kwargs(map_arg(self._args, swap), map_arg(self._kwargs, swap))

    def replace_all_uses_with(
        self, replace_with: Node, delete_user_cb: Callable[[Node], bool] | None = None, *, propagate_meta: bool = False
    ) -> list[Node]:
        """Let every user of this node use another one.

        Args:
            replace_with: the node to use.
            delete_user_cb: asked for each user; it changes only where this says true.
            propagate_meta: also give ``meta`` to the other node.

        Returns:
            The users that were changed.

        Raises:
            AssertionError: ``propagate_meta``, and the other node has meta of its own.
        """
        if propagate_meta:
            _require(
                not replace_with.meta,
                "Called node.replace_all_uses_with(replace_with, propagate_meta=True), but replace_with already has "
                ".meta keys",
            )
            replace_with.meta.update(self.meta)
        changed = [user for user in list(self.users) if delete_user_cb is None or delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    def normalized_arguments(
        self, root: Any, arg_types: tuple[Any, ...] | None = None, kwarg_types: dict[str, Any] | None = None,
        normalize_to_only_use_kwargs: bool = False,
    ) -> Any:  # fmt: skip
        """The arguments matched to the parameters of the function or module, defaults filled in.

        Args:
            root: where modules are looked up.
            arg_types, kwarg_types: accepted: every function has one signature.
            normalize_to_only_use_kwargs: give all of them by name.

        Returns:
            ``ArgsKwargsPair``; None for other kinds of nodes, and where they do not match.
        """
        from . import operator_schemas as schemas

        if self.op == "call_function":
            return schemas.normalize_function(
                self.target, self.args, self.kwargs, arg_types, kwarg_types, normalize_to_only_use_kwargs
            )
        if self.op == "call_module":
            return schemas.normalize_module(root, self.target, self.args, self.kwargs, normalize_to_only_use_kwargs)
        return None

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def stack_trace(self) -> str | None:
        """Where in the program the step was recorded, if a tracer noted it."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether the step must stay although nothing uses it: inputs, outputs, side effects, random draws.

        Args:
            impure_random: accepted: drawing counts always, as for torch's functions.
        """
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_module":
            owner: Any = self.graph.owning_module
            _require(owner is not None, "self.graph.owning_module not set for purity check")
            return getattr(owner.get_submodule(self.target), "_is_impure", False)
        if self.op == "call_function":
            if self.target in _side_effectful_functions:
                return True
            name = _names.qualified_name(self.target) if _names.is_from_torch(self.target) else ""
            return name in ("torch._assert", *(f"torch.{one}" for one in _RANDOM.split()))
        return False

    def __repr__(self) -> str:
        return self._repr_fn(self) if self._repr_fn else self.name

    @staticmethod
    def _pretty_print_target(target: Any) -> str:
        if isinstance(target, str):
            return target
        name, module = getattr(target, "__name__", None), getattr(target, "__module__", None)
        if name is not None and module in ("builtins", "_operator"):
            return f"{module.lstrip('_')}.{name}"
        return _names.qualified_name(target)

    def format_node(
        self, placeholder_names: list[str] | None = None, maybe_return_typename: list[str] | None = None, *,
        include_tensor_metadata: bool = False,
    ) -> str | None:  # fmt: skip
        """The line for this node in ``str(graph)``.

        Args:
            placeholder_names: a list that the texts of inputs are put into instead.
            maybe_return_typename: a list of one text that an output's type is put into.
            include_tensor_metadata: show dtype, sizes, strides and device of a tensor in ``meta["val"]``.
        """
        typed = f"{_names.type_text(self.type)} " if self.type is not None else ""
        start = f"%{self.name} : {typed}[num_users={len(self.users)}] = {self.op}"
        if self.op == "placeholder":
            if placeholder_names:
                placeholder_names.append(self.target)
                return None
            return f"{start}[target={self.target}]" + (f"(default={self.args[0]})" if self.args else "")
        if self.op == "output":
            if self.type and maybe_return_typename:
                maybe_return_typename[0] = f" -> {_names.type_text(self.type)}"
            return f"return {self.args[0]}"
        start += f"[target={self._pretty_print_target(self.target)}]"
        if self.op == "get_attr":
            return start
        value = self.meta.get("val", self.meta.get("tensor_meta", self.meta.get("example_value")))
        if include_tensor_metadata and isinstance(value, Tensor):
            from ._codegen import dtype_text, shape_text

            shown = f'Tensor "{dtype_text(value)}{shape_text(value.shape)}{shape_text(value.stride())}{value.device}"'
            start = start.replace(f" : {typed}[", f" : {shown}[", 1)
        return f"{start}(args = {format_arg(self.args)}, kwargs = {format_arg(self.kwargs)})"


__all__ = ["Argument", "Node", "Target", "has_side_effect", "map_aggregate", "map_arg"]
