"""Owns the Python source of a graph: ``CodeGen``, which writes a function of it, and its form for nested arguments.

May import nodes, names, the trees of utils and the tensor cell.
"""

from __future__ import annotations

import enum
import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._device import device
from .._tensor.tensor import Tensor
from ..utils import _pytree as pytree
from . import _names
from . import _pytree as fx_pytree
from ._namespace import Namespace, reserved
from .node import Node

# The older names of types, for annotations that were written with them.
_ORIGINS: dict[Any, Any] = {
    kind: getattr(typing, name)
    for kind, name in ((list, "List"), (dict, "Dict"), (set, "Set"), (frozenset, "FrozenSet"), (tuple, "Tuple"))
}
_BINARY = {
    "add": "+", "sub": "-", "mul": "*", "floordiv": "//", "truediv": "/", "div": "/", "mod": "%", "pow": "**",
    "lshift": "<<", "rshift": ">>", "and_": "&", "or_": "|", "xor": "^", "matmul": "@",
}  # fmt: skip
_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">="}
# The functions of ``operator`` that are written as Python's own signs.
reflectable_magic_methods = {name: f"{{}} {sign} {{}}" for name, sign in _BINARY.items()} | {"getitem": "{}[{}]"}
magic_methods = {
    **{name: f"{{}} {sign} {{}}" for name, sign in _COMPARED.items()},
    "pos": "+{}", "neg": "-{}", "invert": "~{}", **reflectable_magic_methods,
}  # fmt: skip
inplace_methods = {
    f"i{name.rstrip('_')}": f"{{}} {sign}= {{}}" for name, sign in _BINARY.items() if name != "div"
} | {"setitem": "{}[{}] = {}"}  # fmt: skip

_COLORS = {"red": "31", "green": "32", "blue": "34", "dim": "2", "dim_blue": "2m\033[34", "dim_green": "2m\033[32"}
_DTYPES = {
    "bfloat16": "bf16", "float64": "f64", "float32": "f32", "float16": "f16", "float8_e4m3fn": "f8e4m3fn",
    "float8_e5m2": "f8e5m2", "float8_e4m3fnuz": "f8e4m3fnuz", "float8_e5m2fnuz": "f8e5m2fnuz", "complex32": "c32",
    "complex64": "c64", "complex128": "c128", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "bool": "b8", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip


class _Builtin(NamedTuple):
    import_str: str
    obj: Any


# Names that every generated function can use, and the statement that gives each.
custom_builtins: dict[str, _Builtin] = {
    "inf": _Builtin("from math import inf", math.inf),
    "nan": _Builtin("from math import nan", math.nan),
    "NoneType": _Builtin("NoneType = type(None)", type(None)),
    "torch": _Builtin("import rushlight as torch", __import__(_names._ROOT)),
    "device": _Builtin("from rushlight import device", device),
    "fx_pytree": _Builtin("import rushlight.fx._pytree as fx_pytree", fx_pytree),
    "pytree": _Builtin("import rushlight.utils._pytree as pytree", pytree),
}
reserved.update({name: one.obj for name, one in custom_builtins.items()})


@dataclass
class PythonCode:
    """The source of a function, and the objects that its global names stand for."""

    src: str
    globals: dict[str, Any]
    _lineno_map: dict[int, int | None] | None = None
    _prologue_start: int = 0


class _PyTreeInfo(NamedTuple):
    """How nested arguments of a function become the inputs of its graph, and its outputs the result."""

    orig_args: list[str]
    in_spec: Any
    out_spec: Any


def dtype_text(value: Any) -> str:
    """The dtype of a tensor, short."""
    name = str(value.dtype).rpartition(".")[2]
    return _DTYPES.get(name, name)


def shape_text(shape: Iterable[Any]) -> str:
    """Sizes as ``[2, 3]``."""
    return f"[{', '.join(map(str, shape))}]"


def dotted(base: str, target: str) -> str:
    """The expression for an attribute of dotted name; parts that are no identifiers go through ``getattr``."""
    for part in target.split("."):
        base = f"{base}.{part}" if part.isidentifier() else f'getattr({base}, "{part}")'
    return base


def _accepted(method: Callable[..., str], **options: Any) -> Callable[..., str]:
    """A method of a subclass with those of the options that it takes."""
    known = inspect.signature(method).parameters
    return functools.partial(method, **{name: value for name, value in options.items() if name in known})


class CodeGen:
    """Writes the function of a graph; subclasses change its signature and what it returns.

    ``Graph.set_codegen`` takes an instance.

    Example:
        >>> import rushlight as torch
        >>> class Listed(torch.fx.CodeGen):
        ...     def generate_output(self, output_args, *, descs=None, repr_fn=repr):
        ...         return f"return [{repr_fn(output_args)}]"
        >>> graph = torch.fx.symbolic_trace(lambda x: x + 1).graph
        >>> graph.set_codegen(Listed())
        >>> torch.fx.GraphModule({}, graph)(2)
        [3]
    """

    def __init__(self) -> None:
        self._body_transformer: Callable[[list[str]], list[str]] | None = None
        self._func_name = "forward"

    def gen_fn_def(
        self, free_vars: list[str], maybe_return_annotation: str, *, expanded_def: bool = False
    ) -> str:  # fmt: skip
        """The head of the function.

        Args:
            free_vars: the texts of the parameters.
            maybe_return_annotation: empty, or the text from the arrow on.
            expanded_def: one parameter a line.
        """
        if not free_vars or free_vars[0] != "self":
            free_vars.insert(0, "self")
        if not expanded_def:
            return f"def {self._func_name}({', '.join(free_vars)}){maybe_return_annotation}:"
        lines = "".join(f"    {one},\n" for one in free_vars)
        return f"def {self._func_name}(\n{lines}){maybe_return_annotation}:"

    def generate_output(
        self, output_args: Any, *, descs: Sequence[str] | None = None, repr_fn: Callable[[Any], str] | None = None
    ) -> str:
        """The line that returns.

        Args:
            output_args: what the graph gives out.
            descs: accepted: texts about the outputs.
            repr_fn: how a value is written.
        """
        return f"return {(repr_fn or repr)(output_args)}"

    def process_inputs(self, *args: Any) -> Any:
        """The inputs of the graph for the arguments of the function."""
        return args

    def process_outputs(self, outputs: Any) -> Any:
        """The result of the function for the output of the graph."""
        return outputs

    def additional_globals(self) -> list[tuple[str, Any]]:
        """Further global names of the function, and their objects."""
        return []

    def _gen_python_code(self, nodes: Any, root_module: str, namespace: Namespace, **options: Any) -> PythonCode:
        return _Writer(self, nodes, root_module, namespace, **options).write()


class _PyTreeCodeGen(CodeGen):
    """Takes nested arguments apart at the head of the function, and puts the result together at its end."""

    def __init__(self, pytree_info: _PyTreeInfo):
        super().__init__()
        self.pytree_info = pytree_info

    def process_inputs(self, *inputs: Any) -> Any:
        return pytree.tree_leaves(inputs)

    def process_outputs(self, outputs: Any) -> Any:
        spec = self.pytree_info.out_spec
        if spec is None:
            return outputs
        return pytree.tree_unflatten(outputs if isinstance(outputs, (list, tuple)) else [outputs], spec)

    def gen_fn_def(
        self, free_vars: list[str], maybe_return_annotation: str, *, expanded_def: bool = False
    ) -> str:  # fmt: skip
        names = self.pytree_info.orig_args
        if names and names[0] == "self":
            free_vars.insert(0, "self")
        text = super().gen_fn_def(names[:], maybe_return_annotation, expanded_def=expanded_def)
        if not free_vars:
            return text
        typed = [one for one in free_vars if ":" in one]
        if typed and expanded_def:
            text += "\n    " + "\n    ".join(typed)
        elif typed:
            text += "\n    " + "".join(f"{one}; " for one in typed) + "\n"
        left = ", ".join(one.split(":")[0].split("#")[0] for one in free_vars)
        return f"{text}\n    {left}, = fx_pytree.tree_flatten_spec([{', '.join(names)}], self._in_spec)"

    def generate_output(
        self, output_args: Any, *, descs: Sequence[str] | None = None, repr_fn: Callable[[Any], str] | None = None
    ) -> str:
        if self.pytree_info.out_spec is None:
            return super().generate_output(output_args, descs=descs, repr_fn=repr_fn)
        return f"return pytree.tree_unflatten({(repr_fn or repr)(output_args)}, self._out_spec)"


class _Writer:
    """Writes one function: its body node by node, then its head."""

    def __init__(
        self, codegen: CodeGen, nodes: Any, root: str, namespace: Namespace, *, verbose: bool = False,
        include_stride: bool = False, include_device: bool = False, colored: bool = False, expanded_def: bool = False,
        additional_meta: list[str] | None = None,
    ):  # fmt: skip
        self.codegen, self.nodes, self.root, self.namespace = codegen, nodes, root, namespace
        self.verbose, self.expanded = verbose, expanded_def
        self.stride, self.device, self.colored = include_stride, include_device, colored
        self.meta = additional_meta or []
        self.free: list[str] = []
        self.body: list[str] = []
        self.globals: dict[str, Any] = {}
        self.wrapped: dict[str, None] = {}
        self.returns, self.said = "", None

    def paint(self, color: str, text: str) -> str:
        return f"\033[{_COLORS[color]}m{text}\033[0m" if self.colored else text

    def name_of(self, hint: str, obj: Any) -> str:
        """The global name that stands for an object."""
        if _names.is_from_torch(obj) and obj is not device:
            return _names.qualified_name(obj)
        name = self.namespace.create_name(hint, obj)
        self.globals.setdefault(name, obj)
        return name

    def type_text(self, kind: Any) -> str:
        if kind == ():
            return "()"
        text = _names.type_text(kind)
        if isinstance(kind, types.UnionType) and "|" in text:
            return "|".join(map(self.type_text, typing.get_args(kind)))
        origin = getattr(kind, "__origin__", None)
        if not origin:
            return self.name_of(text, kind)
        if isinstance(kind, typing._GenericAlias):  # type: ignore[attr-defined]
            origin = _ORIGINS.get(origin, origin)
        name = self.name_of(_names.type_text(origin), origin)
        inner = typing.get_args(kind)
        return f"{name}[{','.join(map(self.type_text, inner))}]" if inner else name

    def text(self, value: Any) -> str:
        """A value as an expression."""
        if isinstance(value, Node):
            return repr(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return f"{self.name_of(_names.qualified_name(type(value)), type(value))}{tuple(value)!r}"
        if isinstance(value, enum.Enum):
            return f"{self.name_of(type(value).__name__, type(value))}.{value.name}"
        if isinstance(value, Tensor):
            return f"torch.Tensor(size={list(value.shape)}, dtype={str(value.dtype).rpartition('.')[2]})"
        if isinstance(value, tuple):
            return f"({', '.join(map(self.text, value))}{',' if len(value) == 1 else ''})"
        if isinstance(value, list):
            return f"[{', '.join(map(self.text, value))}]"
        if isinstance(value, slice):
            return f"slice({self.text(value.start)}, {self.text(value.stop)}, {self.text(value.step)})"
        return self.paint("blue", repr(value))

    def arguments(self, args: Iterable[Any], kwargs: Any) -> str:
        return ", ".join([*map(self.text, args), *(f"{k} = {self.text(v)}" for k, v in kwargs.items())])

    def annotation(self, node: Node) -> str:
        typed = "" if node.type is None else f" : {self.type_text(node.type)}"
        if self.verbose:
            from .passes.shape_prop import TensorMetadata

            value = node.meta.get("val", node.meta.get("tensor_meta", node.meta.get("example_value")))
            if isinstance(value, Tensor):
                core = self.paint("red", dtype_text(value)) + self.paint("blue", shape_text(value.shape))
                core += self.paint("dim_blue", shape_text(value.stride()) if self.stride else "")
                core += self.paint("dim_green", str(value.device) if self.device else "")
                return f': "{core}"' if type(value) is Tensor else f': "{type(value).__name__}({core})"'
            if isinstance(value, TensorMetadata):
                return f': "{dtype_text(value)}{shape_text(value.shape)}"'
        return typed

    def remark(self, node: Node) -> None:
        """Say above a step where in the program it is from, once for all steps from there."""
        if node.op in ("placeholder", "output"):
            return
        where = "No stacktrace found for following nodes"
        found = re.findall(r'^\s*File "(.+)", line (\d+), in (.+)\n(.+)', node.stack_trace or "", re.MULTILINE)
        if found:
            file, line, name, code = found[-1]
            where = f"File: {file}:{line} in {name}, code: {code.strip()}"
        extra = ", ".join(f"{key}: {node.meta[key]}" for key in self.meta if key in node.meta)
        text = f"\n{self.paint('dim', (f'# {extra} ' if extra else '') + f'# {where}')}\n"
        if text != self.said:
            self.said = text
            self.body.append(text)

    def line(self, node: Node) -> str | None:
        """The statement of a step; None for an input."""
        typed = self.annotation(node)
        left = f"{node!r}{typed}"
        if node.op == "placeholder":
            default = f" = {self.text(node.args[0])}" if node.args else ""
            comment = f"  # {node.meta['desc']}" if self.expanded and node.meta.get("desc") is not None else ""
            self.free.append(f"{node.target}{typed}{default}{comment}")
            plain = node.target.replace("*", "")
            if plain != repr(node):
                self.body.append(f"{node!r} = {plain}\n")
            return None
        if node.op == "output":
            if node.type is not None:
                self.returns = f" -> {self.type_text(node.type)}"
            return _accepted(self.codegen.generate_output, repr_fn=self.text)(node.args[0])
        if node.op == "get_attr":
            return f"{left} = {dotted(self.root, node.target)}"
        if node.op == "call_module":
            return f"{left} = {dotted(self.root, node.target)}({self.arguments(node.args, node.kwargs)})"
        if node.op == "call_method":
            return (
                f"{left} = {dotted(self.text(node.args[0]), node.target)}({self.arguments(node.args[1:], node.kwargs)})"
            )
        return self.function_line(node, left)

    def function_line(self, node: Node, left: str) -> str:
        sign = getattr(node.target, "__name__", "") if getattr(node.target, "__module__", "") == "_operator" else ""
        if sign in magic_methods:
            return f"{left} = {magic_methods[sign].format(*map(self.text, node.args))}"
        if sign in inplace_methods:
            return f"{inplace_methods[sign].format(*map(self.text, node.args))};  {left} = {self.text(node.args[0])}"
        name = self.name_of(_names.qualified_name(node.target), node.target)
        if name == "getattr" and len(node.args) == 2 and isinstance(node.args[1], str) and node.args[1].isidentifier():
            return f"{left} = {dotted(self.text(node.args[0]), node.args[1])}"
        if node.meta.get("is_wrapped"):
            self.wrapped[name] = None
        return f"{left} = {name}({self.arguments(node.args, node.kwargs)})"

    def write(self) -> PythonCode:
        """The whole function."""
        for name, builtin in custom_builtins.items():
            self.globals[self.namespace.create_name(name, builtin.obj)] = builtin.obj
        last_of: dict[Node, list[Node]] = {}
        seen: set[Node] = set()
        for node in reversed(self.nodes):
            for used in node._input_nodes:
                if used not in seen:
                    seen.add(used)
                    last_of.setdefault(node, []).append(used)
        for node in self.nodes:
            if self.verbose:
                self.remark(node)
            line = self.line(node)
            if line is None:
                continue
            gone = [] if node.op == "output" else last_of.get(node, []) + ([] if node.users else [node])
            done = self.paint("dim", " = ".join([*map(repr, gone), "None"])) if gone else ""
            self.body += [line, f";  {done}\n" if gone else "\n"]
        self.body = self.body or ["pass\n"]
        wraps = ""
        if self.wrapped:
            from ._symbolic_trace import wrap

            mark = self.name_of("wrap", wrap)
            wraps = "\n".join(f'{mark}("{name}")' for name in self.wrapped)
        if self.codegen._body_transformer:
            self.body = self.codegen._body_transformer(self.body)
        for name, value in self.codegen.additional_globals():
            self.name_of(name, value)
        head = _accepted(self.codegen.gen_fn_def, expanded_def=self.expanded)(self.free, self.returns)
        lines = "".join(self.body).lstrip("\n").split("\n")
        code = "\n".join(f"    {line}" for line in lines)
        return PythonCode(f"\n{wraps}\n\n{head}\n{code}", self.globals, None, wraps.count("\n") + 4)


__all__ = ["CodeGen", "PythonCode"]
