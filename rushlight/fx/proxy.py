"""Owns ``Proxy``, what stands for a value while a program is traced, and the part of tracers that makes nodes of it.

May import graphs, nodes, names and nn.
"""

from __future__ import annotations

import copy
import dataclasses
import dis
import enum
import operator
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .._overrides import public_functions
from .._tensor.overriding import local
from ..nn import Parameter
from . import _names
from . import traceback as fx_traceback
from ._codegen import magic_methods, reflectable_magic_methods
from ._recorded import recorded
from .graph import Graph
from .node import Argument, Node, Target, base_types, map_aggregate, map_arg

_HERE = str(Path(__file__).parent.parent)


class TraceError(ValueError):
    """A program asks for the value of something that a tracer has no value for."""


class Scope:
    """Which module is being traced: its path and class."""

    def __init__(self, module_path: str, module_type: Any):
        self.module_path, self.module_type = module_path, module_type


class ScopeContextManager:
    """A block in which a scope has another one's path and class."""

    def __init__(self, scope: Scope, current_scope: Scope):
        self._scope, self._before = scope, copy.copy(scope)
        scope.module_path, scope.module_type = current_scope.module_path, current_scope.module_type

    def __enter__(self) -> Scope:
        return self._scope

    def __exit__(self, *exc: Any) -> None:
        self._scope.module_path, self._scope.module_type = self._before.module_path, self._before.module_type


def _no_nodes(node: Node) -> Any:
    raise RuntimeError(f"Keys for dictionaries used as an argument cannot contain a Node. Got key: {node}")


class TracerBase:
    """What every tracer does: make nodes and the proxies that stand for their values.

    Attributes:
        record_stack_traces: note on each node where in the program it is from.
        check_mutable_operations: refuse functions that change their inputs.
        trace_asserts: record ``assert`` on a proxy instead of failing.
        proxy_buffer_attributes: let buffers be steps of the graph where they are read, as parameters are.
        traced_func_name: which method of a module is traced.
    """

    graph: Graph
    record_stack_traces: bool = False
    check_mutable_operations: bool = False
    trace_asserts: bool = False
    proxy_buffer_attributes: bool = False
    traced_func_name: str = "forward"
    scope: Scope
    module_stack: OrderedDict[str, tuple[str, Any]]
    node_name_to_scope: dict[str, tuple[str, Any]]

    def create_node(
        self, kind: str, target: Target, args: tuple[Argument, ...], kwargs: dict[str, Argument],
        name: str | None = None, type_expr: Any | None = None,
    ) -> Node:  # fmt: skip
        """Make a node with the notes that the tracer keeps; subclasses may change what is made.

        Args:
            kind: the op.
            target, args, kwargs, name, type_expr: as ``Graph.create_node`` takes them.

        Raises:
            RuntimeError: ``check_mutable_operations``, and the function changes its inputs.
        """
        if kind == "call_function" and self.check_mutable_operations:
            short = _names.short_name(target)
            if (short.endswith("_") and not short.endswith("__")) or kwargs.get("out") is not None:
                raise RuntimeError(
                    f"Tried to trace mutable operation {short}. FX only supports functional code, so operations that "
                    "mutate operands in-place (e.g. via `out` arguments) are not supported"
                )
        node = self.graph.create_node(kind, target, args, kwargs, name, type_expr)
        self.node_name_to_scope[node.name] = (self.scope.module_path, self.scope.module_type)
        if fx_traceback.has_preserved_node_meta():
            fx_traceback.copy_onto(node)
        elif self.module_stack:
            node.meta["nn_module_stack"] = copy.copy(self.module_stack)
        if self.record_stack_traces and not node.stack_trace:
            frames = [f for f in traceback.extract_stack() if not f.filename.startswith(_HERE)]
            first = next((i for i, frame in enumerate(frames) if frame.name == "forward"), len(frames))
            if frames[first:]:
                node.stack_trace = "".join(traceback.StackSummary.from_list(frames[first:]).format()).strip()
        return node

    def proxy(self, node: Node) -> Proxy:
        """What stands for a node's value."""
        return Proxy(node, self)

    def create_proxy(
        self, kind: str, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], name: str | None = None,
        type_expr: Any | None = None, proxy_factory_fn: Callable[[Node], Proxy] | None = None,
    ) -> Proxy:  # fmt: skip
        """Make a node from values, and what stands for its value.

        Args:
            kind: the op.
            target, name, type_expr: as ``Graph.create_node`` takes them.
            args, kwargs: values; proxies in them become their nodes.
            proxy_factory_fn: makes what is returned; ``proxy`` where it is None.
        """
        args_: Any = self.create_arg(args)
        kwargs_: Any = self.create_arg(kwargs)
        node = self.create_node(kind, target, args_, kwargs_, name, type_expr)
        return proxy_factory_fn(node) if proxy_factory_fn else self.proxy(node)

    def create_arg(self, a: Any) -> Argument:
        """A value in the form in which it can stand in a graph.

        Args:
            a: the value.

        Raises:
            NotImplementedError: no value of its type can.
            RuntimeError: a proxy as key of a dict.
        """
        if isinstance(a, Proxy):
            return a.node
        if hasattr(type(a), "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if isinstance(a, tuple):
            parts = [self.create_arg(one) for one in a]
            return type(a)(*parts) if hasattr(a, "_fields") else type(a)(parts)
        if isinstance(a, list):
            return [self.create_arg(one) for one in a]
        if isinstance(a, dict):
            return {self._key(key): self.create_arg(value) for key, value in a.items()}
        if isinstance(a, (slice, range)):
            return type(a)(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if dataclasses.is_dataclass(a) and not isinstance(a, (type, *base_types)):
            fields = {f.name: self.create_arg(getattr(a, f.name)) for f in dataclasses.fields(a)}
            return self.create_node("call_function", type(a), (), fields)
        if isinstance(a, (*base_types, enum.Enum)) or a is None or a is ...:
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def _key(self, key: Any) -> Any:
        if not isinstance(key, str):
            key = self.create_arg(key)
            map_arg(key, _no_nodes)
        return key

    def to_bool(self, obj: Proxy) -> bool:
        """What ``if proxy`` does.

        Raises:
            TraceError: always, unless a subclass knows the answer.
        """
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator:
        """What ``for x in proxy`` does.

        Raises:
            TraceError: always, unless a subclass knows how many there are.
        """
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or "
            "**kwargs function argument. See the torch.fx docs on pytorch.org for a more detailed explanation of what "
            "types of control flow can be traced, and check out the Proxy docstring for help troubleshooting Proxy "
            "iteration errors"
        )

    def keys(self, obj: Proxy) -> Any:
        """What ``proxy.keys()`` does, and with it ``**proxy``: it is recorded."""
        return Attribute(obj, "keys")()


class GraphAppendingTracer(TracerBase):
    """The tracer that puts what is done with its proxies at the current place of a graph.

    Args:
        graph: the graph.

    Example:
        >>> import rushlight as torch
        >>> graph = torch.fx.Graph()
        >>> x = torch.fx.Proxy(graph.placeholder("x"), torch.fx.proxy.GraphAppendingTracer(graph))
        >>> _ = graph.output((x + 1).node)
        >>> torch.fx.GraphModule({}, graph)(2)
        3
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.scope = Scope("", None)
        self.module_stack = OrderedDict()
        self.node_name_to_scope = {}


def assert_fn(x: Any) -> None:
    """What a recorded ``assert`` does when the graph runs.

    Raises:
        AssertionError: the value is false.
    """
    if not x:
        raise AssertionError("Assertion failed")


def _is_assertion(frame: Any) -> bool:
    """Whether the place at which a frame asks for a truth value is an ``assert``."""
    steps = [one for one in dis.get_instructions(frame.f_code) if one.opname != "CACHE"]
    at = next(i for i, one in enumerate(steps) if one.offset == frame.f_lasti)
    at += steps[at].opname in ("TO_BOOL", "COMPARE_OP")  # Python 3.13 asks in one of these, and then jumps
    return "IF_TRUE" in steps[at].opname and steps[at + 1].opname == "LOAD_ASSERTION_ERROR"


class Proxy:
    """What stands for a value while a program is traced: what is done with it becomes nodes of the graph.

    Args:
        node: whose value it stands for.
        tracer: who records; one that appends to the node's graph where it is None.

    Example:
        >>> import rushlight as torch
        >>> graph = torch.fx.Graph()
        >>> x = torch.fx.Proxy(graph.placeholder("x"))
        >>> x * 2 + x.sum(dim=0)
        Proxy(add)
        >>> [node.name for node in graph.nodes]
        ['x', 'mul', 'sum_1', 'add']
    """

    tracer: TracerBase
    node: Node

    def __init__(self, node: Node, tracer: TracerBase | None = None):
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, k: str) -> Any:
        # A name that copy and pickle ask for while there is no tracer yet is not the program's.
        if k in ("tracer", "node", "root") or (k.startswith("__") and k.endswith("__") and k in _NEVER):
            raise AttributeError(k)
        return Attribute(self, k)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state

    def __deepcopy__(self, memo: dict) -> Proxy:
        made = object.__new__(type(self))
        for key, value in self.__dict__.items():
            try:
                made.__dict__[key] = copy.deepcopy(value, memo)
            except Exception:  # a tracer in the middle of its work
                made.__dict__[key] = value
        return made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        frame = sys._getframe(1)
        code, at = frame.f_code.co_code, frame.f_lasti
        if dis.opname[code[at]] == "UNPACK_SEQUENCE":  # a, b = proxy says how many there are
            return (self[i] for i in range(code[at + 1]))  # type: ignore[index]
        return self.tracer.iter(self)

    def __abs__(self) -> Any:
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __bool__(self) -> bool:
        if self.tracer.trace_asserts and _is_assertion(sys._getframe(1)):
            self.tracer.create_proxy("call_function", assert_fn, (self,), {})
            return True
        return self.tracer.to_bool(self)

    def keys(self) -> Any:
        """What ``**proxy`` asks for: the tracer decides."""
        return self.tracer.keys(self)

    def __len__(self) -> int:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call "
            "torch.fx.wrap('len') at module scope"
        )

    @classmethod
    def __torch_function__(
        cls, orig_method: Any, types: Any, args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None
    ) -> Any:
        args, kwargs = args or (), kwargs or {}
        tracers: dict[TracerBase, None] = {}

        def look(a: Any) -> None:
            if isinstance(a, Proxy):
                tracers[a.tracer] = None

        map_aggregate((args, kwargs), look)
        if len(tracers) > 1:
            raise RuntimeError(
                f"Found multiple different tracers {list(tracers)} while trying to trace operations {orig_method}"
            )
        tracer = next(iter(tracers))
        asked, name = local.asked  # some methods are the very objects of functions: what was written says which it is
        if asked is not orig_method:
            name = public_functions().get(orig_method, "")
        if name.startswith("torch.Tensor."):
            method = name.split(".")[2]
            method = method.strip("_") if method in _COMPARISONS else method
            return tracer.create_proxy("call_method", method, args, kwargs)
        target, args, kwargs = recorded(orig_method, args, kwargs)
        if isinstance(target, str):
            return tracer.create_proxy("call_method", target, args, kwargs)
        name = tracer.graph._target_to_str(_names.short_name(target))
        return tracer.create_proxy("call_function", target, args, kwargs, name=name)


_COMPARISONS = frozenset(f"__{name}__" for name in ("eq", "ne", "lt", "le", "gt", "ge"))
# What Python itself looks up on instances of any class.
_NEVER = frozenset({"__deepcopy__", "__copy__", "__reduce_ex__", "__getnewargs_ex__", "__getnewargs__", "__wrapped__"})


class Attribute(Proxy):
    """What ``proxy.name`` gives: a method once it is called, an attribute where it is used otherwise."""

    def __init__(self, root: Proxy, attr: str):
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The step that reads the attribute, made when it is first used."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """What stands for a parameter whose sizes are known: they are constants of the graph.

    Args:
        tracer: who records.
        node: the step that reads it.
        name: its dotted name.
        param: the parameter.
    """

    def __init__(self, tracer: TracerBase, node: Node, name: str, param: Parameter):
        super().__init__(node, tracer)
        if not isinstance(param, Parameter):
            raise AssertionError(f"Expected Parameter, got {type(param)}")
        self.param, self.name = param, name

    def __repr__(self) -> str:
        return f"ParameterProxy({self.name})"

    shape = property(lambda self: self.param.shape)
    ndim = property(lambda self: self.param.ndim)

    def size(self) -> Any:
        """The sizes."""
        return self.param.size()

    def dim(self) -> int:
        """How many dimensions it has."""
        return self.param.dim()

    def numel(self) -> int:
        """How many elements it has."""
        return self.param.numel()

    nelement = numel


def _sign(name: str) -> Callable:
    def impl(*args: Any, **kwargs: Any) -> Any:
        return args[0].tracer.create_proxy("call_function", getattr(operator, name), args, kwargs)

    impl.__name__ = name
    return impl


def _reflected(name: str) -> Callable:
    def impl(self: Proxy, rhs: Any) -> Any:
        return self.tracer.create_proxy("call_function", getattr(operator, name), (rhs, self), {})

    impl.__name__ = f"__r{name.strip('_')}__"
    return impl


for _name in magic_methods:
    if hasattr(operator, _name):
        setattr(Proxy, f"__{_name.strip('_')}__", _sign(_name))
for _name in reflectable_magic_methods:
    if hasattr(operator, _name):
        setattr(Proxy, f"__r{_name.strip('_')}__", _reflected(_name))

__all__ = [
    "Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "Scope", "ScopeContextManager", "TraceError",
    "TracerBase",
]  # fmt: skip
