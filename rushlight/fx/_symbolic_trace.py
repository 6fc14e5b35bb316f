"""Owns ``Tracer``, which runs a program on proxies and records the graph of what it does, and ``symbolic_trace``.

May import proxies, graphs, the graph module, nn, the trees of utils and the protocol of overrides.
"""

from __future__ import annotations

import collections
import functools as functools
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, TypeVar

from .. import _overrides
from .._tensor.tensor import Tensor
from ..nn import Module, Parameter, Sequential
from ..ops.queries import _assert
from ..utils import _pytree as pytree
from . import _names, _patching
from ._codegen import _PyTreeCodeGen, _PyTreeInfo
from ._compatibility import ScriptObject as ScriptObject
from ._compatibility import compatibility as compatibility
from .graph import Graph
from .graph_module import GraphModule
from .node import Argument, base_types
from .proxy import ParameterProxy, Proxy, Scope, ScopeContextManager, TracerBase

_VARIABLE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_CONSTANTS = (Tensor, pytree.TreeSpec)
_F = TypeVar("_F")
# Names of PyTorch's that packages build a ``trace`` of their own from.
_Patcher, _patch_wrapped_functions = _patching.Patcher, _patching.Patcher.patch_marked
_autowrap_check = _patching.Patcher.patch_listed
_orig_module_call, _orig_module_getattr = Module.__call__, Module.__getattr__

_proxyable: set[type] = set()
_depth = 0


def is_fx_tracing() -> bool:
    """Whether a program is being traced now."""
    return _depth > 0


is_fx_symbolic_tracing = is_fx_tracing


class PHBase:
    """Stands in ``concrete_args`` for what stays an input."""

    def __repr__(self) -> str:
        return "PH"


PH = PHBase()


class PHWithMeta(PHBase):
    """A ``PH`` whose attributes the input's node gets.

    Args:
        ph_key: one such attribute.
    """

    def __init__(self, ph_key: str | None = None):
        self.ph_key = ph_key


class ProxyableClassMeta(type):
    """The metaclass of classes whose making is recorded where a proxy is among the arguments.

    Example:
        >>> import rushlight as torch
        >>> class Pair(metaclass=torch.fx.ProxyableClassMeta):
        ...     def __init__(self, left, right):
        ...         self.left, self.right = left, right
        >>> [node.name for node in torch.fx.Tracer().trace(lambda x, y: Pair(x, y)).nodes]
        ['x', 'y', 'pair', 'output']
    """

    def __init__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]):
        _proxyable.add(cls)
        super().__init__(name, bases, attrs)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        proxy = _patching.find_proxy(args, kwargs) if is_fx_tracing() else None
        if proxy is None:
            return super().__call__(*args, **kwargs)
        return proxy.tracer.create_proxy("call_function", cls, args, kwargs)


def wrap(fn_or_name: _F) -> _F:
    """Mark a function of this module: calls of it with traced values are recorded instead of being looked into.

    Args:
        fn_or_name: the function, as a decorator, or the name of a global or builtin function of the module.

    Raises:
        NotImplementedError: not at the top of a module.
        RuntimeError: neither a function nor a name.

    Example:
        >>> import rushlight as torch
        >>> torch.fx.wrap("len")
        'len'
    """
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError(
            "Unsupported type for global function! Must be either a callable or string name: expected a function, "
            f"received {type(fn_or_name).__name__}"
        )
    frame = sys._getframe(1)
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__  # type: ignore[attr-defined]
    _patching.wrapped_functions[id(frame.f_globals), name] = frame.f_globals
    return fn_or_name  # type: ignore[return-value]


@wrap
def _assert_is_none(value: Any, msg: str) -> None:
    if value is not None:
        raise AssertionError(msg)


def _spelled_out(function: FunctionType, count: int) -> FunctionType:
    """A function that takes ``*args`` and ``**kwargs`` as ordinary parameters."""
    code = function.__code__.replace(
        co_argcount=count, co_posonlyargcount=0, co_kwonlyargcount=0, co_flags=function.__code__.co_flags & ~_VARIABLE
    )
    return FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )  # fmt: skip


class Tracer(TracerBase):
    """Records the graph of a program; subclasses say which modules are looked into.

    Args:
        autowrap_modules: modules whose functions are recorded instead of being looked into.
        autowrap_functions: further such functions.
        param_shapes_constant: take the sizes of parameters as constants.

    Example:
        >>> import rushlight as torch
        >>> class Flat(torch.fx.Tracer):
        ...     def is_leaf_module(self, m, module_qualified_name):
        ...         return False
        >>> graph = Flat().trace(torch.nn.Sequential(torch.nn.ReLU()))
        >>> [node.target for node in graph.nodes][1].__name__
        'relu'
    """

    root: Module
    graph: Graph
    tensor_attrs: dict[Any, str]

    def __init__(
        self, autowrap_modules: tuple[ModuleType, ...] = (math,), autowrap_functions: tuple[Callable, ...] = (),
        param_shapes_constant: bool = False,
    ):  # fmt: skip
        listed = [v for m in autowrap_modules for k, v in vars(m).items() if not k.startswith("_") and callable(v)]
        self._autowrap_function_ids = {id(function) for function in (*listed, *autowrap_functions)}
        self._autowrap_search = list(autowrap_modules)
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths: dict[Module, str] | None = None
        self.root_module_name = ""
        self.scope = Scope("", None)
        self.module_stack = collections.OrderedDict()
        self.num_calls: dict[str, int] = {}
        self.node_name_to_scope = {}

    def get_fresh_qualname(self, prefix: str) -> str:
        """A name that the root has nothing under.

        Args:
            prefix: what it begins with.
        """
        number = 0
        while hasattr(self.root, f"{prefix}{number}"):
            number += 1
        return f"{prefix}{number}"

    def _constant(self, prefix: str, value: Any) -> Argument:
        name = self.get_fresh_qualname(prefix)
        setattr(self.root, name, value)
        return name

    def create_arg(self, a: Any) -> Argument:
        """A value in the form in which it can stand in a graph; parameters, buffers and constants are read by a node.

        Args:
            a: the value.

        Raises:
            NameError: a parameter that the root does not have.
            NotImplementedError: no value of its type can.
        """
        named: Iterable[tuple[str, Any]] = ()
        if isinstance(a, Parameter):
            named = self.root.named_parameters()
        elif isinstance(a, Tensor):
            named = self.root.named_buffers()
        elif isinstance(a, Module):
            named = self.root.named_modules()
        for name, value in named:
            if a is value:
                return self.create_node("get_attr", name, (), {})
        if isinstance(a, Parameter):
            raise NameError("parameter is not a member of this module")
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return self.create_node("call_function", type(a), tuple(self.create_arg(one) for one in a), {})
        if isinstance(a, _CONSTANTS):
            if a not in self.tensor_attrs:
                kind = "_tensor_constant" if isinstance(a, Tensor) else "_tree_spec_constant"
                self.tensor_attrs[a] = self._constant(kind, a)
            return self.create_node("get_attr", self.tensor_attrs[a], (), {})
        if type(a) in _proxyable:
            return self.create_node("get_attr", self._constant(f"_{type(a).__name__}_constant_", a), (), {})
        return super().create_arg(a)

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a call of a module is one step; those of ``torch.nn``, except Sequential, are.

        Args:
            m: the module.
            module_qualified_name: where the root has it.
        """
        home = m.__module__
        ours = home.startswith(("torch.nn", "torch.ao.nn", "rushlight.nn", "rushlight.ao.nn"))
        return ours and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """Where the root has a module.

        Raises:
            NameError: nowhere.
        """
        paths = self.submodule_paths or {module: name for name, module in self.root.named_modules()}
        if mod not in paths:
            raise NameError("module is not installed as a submodule")
        return paths[mod]

    def call_module(self, m: Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call of a module becomes: one step, or what it does inside.

        Args:
            m: the module.
            forward: runs it.
            args, kwargs: the arguments.
        """
        path = self.path_of_module(m)
        with ScopeContextManager(self.scope, Scope(path, type(m))):
            count = self.num_calls.get(path, 0)
            self.num_calls[path] = count + 1
            self.module_stack[f"{path}@{count}" if count else path] = (path, type(m))
            if self.is_leaf_module(m, path):
                result = self.create_proxy("call_module", path, args, kwargs)
            else:
                result = forward(*args, **kwargs)
            self.module_stack.popitem()
        return result

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Proxy]) -> Any:
        """What a module's look-up of a parameter, buffer or module gives while it is traced.

        Args:
            attr: the name.
            attr_val: what is there.
            parameter_proxy_cache: what stands for parameters that were looked up before.
        """
        named: Iterable[tuple[str, Any]] = ()
        if isinstance(attr_val, Parameter):
            named = self.root.named_parameters()
        elif self.proxy_buffer_attributes and isinstance(attr_val, Tensor):
            named = self.root.named_buffers()
        for name, value in named:
            if value is not attr_val:
                continue
            if name not in parameter_proxy_cache:
                options: dict[str, Any] = {}
                if self.param_shapes_constant and isinstance(attr_val, Parameter):
                    options["proxy_factory_fn"] = lambda node, name=name: ParameterProxy(self, node, name, attr_val)
                parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {}, **options)
            return parameter_proxy_cache[name]
        return attr_val

    # -- inputs -------------------------------------------------------------------------------------------------

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: dict[str, Any] | tuple | None = None
    ) -> tuple[Any, list[Any]]:
        """The inputs of the graph for the parameters of a function, and the function that takes them.

        Args:
            root_fn: the function.
            is_module: whether its first parameter is the module.
            concrete_args: values of parameters that are no inputs.

        Raises:
            RuntimeError: another number of them than the function takes, or ``self`` among ``*args``.
        """
        analysed: Any = inspect.unwrap(root_fn)
        code = analysed.__code__
        total = code.co_argcount + code.co_kwonlyargcount
        if is_module and total == 0:
            raise RuntimeError("``self`` argument cannot be part of *args expansion!")
        names = list(code.co_varnames)
        args: list[Any] = [self.root] if is_module else []
        signature = inspect.signature(analysed)
        if isinstance(concrete_args, tuple) and concrete_args and code.co_flags & _VARIABLE and total == 1:
            for i, value in enumerate(concrete_args):
                made = self.create_proxy("placeholder", f"input_{i}", (), {})
                _give_attributes(value, made)
                args.append(made)
            return root_fn, args
        wanted = names[len(args) : total]
        if isinstance(concrete_args, tuple):
            if len(wanted) != len(concrete_args):
                raise RuntimeError(
                    f"Tracing expected {len(wanted)} arguments but got {len(concrete_args)} concrete arguments"
                )
            concrete_args = dict(zip(wanted, concrete_args, strict=True))
        args += [self._placeholder(name, concrete_args, signature, analysed) for name in wanted]
        if code.co_kwonlyargcount or code.co_flags & _VARIABLE:
            rest = iter(names[total:])
            if code.co_flags & inspect.CO_VARARGS:
                args.append(self._placeholder(f"*{next(rest)}", concrete_args, signature, analysed))
            if code.co_flags & inspect.CO_VARKEYWORDS:
                args.append(self._placeholder(f"**{next(rest)}", concrete_args, signature, analysed))
            root_fn = _spelled_out(root_fn, len(args))  # type: ignore[arg-type]
        flat, in_spec = pytree.tree_flatten(tuple(args))
        if all(child.is_leaf() for child in in_spec.children()):
            return root_fn, args
        codegen = self.graph._codegen = _PyTreeCodeGen(_PyTreeInfo(names[:total], in_spec, None))

        def flatten_fn(*leaves: Any):
            outputs, out_spec = pytree.tree_flatten(root_fn(*pytree.tree_unflatten(list(leaves), in_spec)))
            codegen.pytree_info = codegen.pytree_info._replace(out_spec=out_spec)
            return outputs

        return flatten_fn, flat

    def _placeholder(self, name: str, concrete: dict[str, Any] | None, signature: Any, function: Any) -> Any:
        parameter = signature.parameters.get(name)
        default = () if parameter is None or parameter.default is parameter.empty else (parameter.default,)
        if concrete is None or name not in concrete:
            return self.create_proxy("placeholder", name, default, {}, type_expr=_annotations(function).get(name))
        count = 0

        def placed(value: Any) -> Any:
            nonlocal count
            count += 1
            made = self.create_proxy("placeholder", f"{name}_{count}", default, {})
            if isinstance(value, PHBase):
                _give_attributes(value, made)
                return made
            said = f"{name} has been specialized to have value {value} but got another value"
            if type(value) in base_types and type(value) is not Tensor:
                self.create_proxy("call_function", _assert, (made == value, said), {})
            elif value is None:
                self.create_proxy("call_function", _assert_is_none, (made, said), {})
            else:
                warnings.warn(
                    f"Was not able to add assertion to guarantee correct input {name} to specialized function. It is "
                    "up to the user to make sure that your inputs match the inputs you specialized the function with.",
                    stacklevel=2,
                )
            return value

        return pytree.tree_map(placed, concrete[name])

    # -- tracing ------------------------------------------------------------------------------------------------

    def trace(self, root: Module | Callable[..., Any], concrete_args: dict[str, Any] | tuple | None = None) -> Graph:
        """Run a program on proxies, and give the graph of what it did.

        Args:
            root: a module or a function.
            concrete_args: values of parameters that are no inputs; ``PH`` inside of them stays an input.

        Raises:
            TraceError: the program asks for a value that only a run has.
            AssertionError: a callable that is no function, or a module without ``traced_func_name``.
        """
        global _depth
        with _patching.lock:
            _depth += 1
            patcher = _patching.Patcher()
            try:
                return self._trace(root, concrete_args, patcher)
            finally:
                patcher.undo()
                _depth -= 1

    def _collect(self, module: Module, prefix: str) -> None:
        """Note the constants that modules have already."""
        self.tensor_attrs.update(
            {value: f"{prefix}{name}" for name, value in vars(module).items() if isinstance(value, _CONSTANTS)}
        )
        for name, child in module.named_children():
            self._collect(child, f"{prefix}{name}.")

    def _trace(self, root: Any, concrete_args: Any, patcher: _patching.Patcher) -> Graph:
        is_module = isinstance(root, Module)
        fn: Any = root
        if is_module:
            if not hasattr(type(root), self.traced_func_name):
                raise AssertionError(f"traced_func_name={self.traced_func_name} doesn't exist in {type(root).__name__}")
            fn = getattr(type(root), self.traced_func_name)
            self.root_module_name = root._get_name()
            self.submodule_paths = {module: name for name, module in root.named_modules()}
        self.root = root if is_module else Module()
        self.graph = Graph(tracer_cls=type(self))
        code = getattr(fn, "__code__", None)
        if code is not None:
            name = code.co_name.strip("<>")  # Python shows no lines of files whose name ends with a bracket
            self.graph._traced = f" from {code.co_filename}:{code.co_firstlineno} in {name}"
        self.tensor_attrs = {}
        self._collect(self.root, "")
        if not isinstance(fn, FunctionType):
            raise AssertionError(f"Expected FunctionType, got {type(fn)}")
        function, args = self.create_args_for_root(fn, is_module, concrete_args)
        proxies: dict[str, Proxy] = {}

        def looked_up(usual: Callable, module: Module, name: str) -> Any:
            return self.getattr(name, usual(module, name), proxies)

        def called(usual: Callable, module: Module, args: tuple, kwargs: dict) -> Any:
            there = getattr(getattr(module, "forward", module), "__globals__", {})
            patcher.patch_listed(there, self._autowrap_function_ids)
            return self.call_module(module, lambda *a, **k: usual(module, *a, **k), args, kwargs)

        with _patching.modules_seen_by(called, looked_up), _overrides.installed():
            patcher.patch_marked()
            patcher.patch_listed(fn.__globals__, self._autowrap_function_ids)
            for searched in self._autowrap_search:
                patcher.patch_listed(vars(searched), self._autowrap_function_ids)
            returned = _annotations(inspect.unwrap(function)).get("return")
            result = self.create_arg(function(*args))
            self.create_node("output", "output", (result,), {}, type_expr=returned)
        self.submodule_paths = None
        return self.graph


def _annotations(function: Any) -> dict[str, Any]:
    """The types a function is annotated with; in this library, as PyTorch annotates its own."""
    if not _names.is_from_torch(function):
        return inspect.get_annotations(function)
    try:
        found = inspect.get_annotations(function, eval_str=True)
    except NameError:  # imported for type checkers only
        return {}
    return {name: kind for name, kind in found.items() if kind is not Any}


def _give_attributes(value: Any, made: Proxy) -> None:
    """What a ``PHWithMeta`` carries goes to the input's node."""
    if isinstance(value, PHBase) and value is not PH:
        for name in dir(value):
            held = getattr(value, name)
            if not callable(held) and not name.startswith("__") and not hasattr(made.node, name):
                setattr(made.node, name, held)


def symbolic_trace(
    root: Module | Callable[..., Any], concrete_args: dict[str, Any] | tuple | None = None
) -> GraphModule:  # fmt: skip
    """Trace a module or function, and give a module that runs the graph.

    Args:
        root: the module or function.
        concrete_args: values of parameters that are no inputs.

    Raises:
        TraceError: the program asks for a value that only a run has.

    Example:
        >>> import rushlight as torch
        >>> module = torch.fx.symbolic_trace(lambda x: torch.relu(x) + 1)
        >>> print(module.code.strip())
        def forward(self, x):
            relu = torch.relu(x);  x = None
            add = relu + 1;  relu = None
            return add
        >>> module(torch.tensor([-1.0, 2.0]))
        tensor([1., 3.])
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else root.__name__
    return GraphModule(tracer.root, graph, name)


__all__ = ["PH", "ProxyableClassMeta", "Tracer", "symbolic_trace", "wrap"]
