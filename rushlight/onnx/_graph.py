"""Owns a record of ONNX operators: what symbolic functions write, node by node, and what is read back from it.

May import dtypes, the tensor cell and _errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from .. import dtypes
from .._tensor.tensor import Tensor

SCALAR_NAMES = {
    "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "float16": "Half",
    "float32": "Float", "float64": "Double", "complex64": "ComplexFloat", "complex128": "ComplexDouble", "bool": "Bool",
    "bfloat16": "BFloat16",
}  # fmt: skip
_ATTRIBUTE = re.compile(r"(.+)_([ifstz])")


class TensorType:
    """What is known of a tensor in a graph: its dtype, and its sizes.

    Args:
        dtype: None where it is not known.
        sizes: None where it is not known.
    """

    def __init__(self, dtype: dtypes.dtype | None = None, sizes: Iterable[int] | None = None):
        self._dtype, self._sizes = dtype, None if sizes is None else [int(n) for n in sizes]

    def scalarType(self) -> str | None:
        """The name of the dtype, such as ``"Float"``."""
        return None if self._dtype is None else SCALAR_NAMES.get(self._dtype.name)

    def dim(self) -> int | None:
        """How many dimensions."""
        return None if self._sizes is None else len(self._sizes)

    def sizes(self) -> list[int] | None:
        """The sizes."""
        return None if self._sizes is None else list(self._sizes)

    varyingSizes = sizes

    def __str__(self) -> str:
        name = self.scalarType() or "Tensor"
        return name if self._sizes is None else f"{name}({', '.join(map(str, self._sizes))})"


class Value:
    """One result in a graph: what a node gives, or what goes into the graph.

    Args:
        node: the node.
        name: how it is printed.
    """

    def __init__(self, node: Node, name: str):
        self._node, self._name, self._type = node, name, TensorType()

    def node(self) -> Node:
        """The node that gives it."""
        return self._node

    def type(self) -> TensorType:
        """What is known of it."""
        return self._type

    def setType(self, type: TensorType) -> Value:
        """Say what is known of it."""
        self._type = type
        return self

    def inferTypeFrom(self, tensor: Tensor) -> None:
        """Take dtype and sizes from a tensor."""
        self._type = TensorType(tensor.dtype, tensor.shape)

    def debugName(self) -> str:
        """How it is printed."""
        return self._name

    def setDebugName(self, name: str) -> Value:
        """Say how it is printed."""
        self._name = name
        return self

    def __str__(self) -> str:
        return f"{self._name} defined in ({self._node})"


class Node:
    """One operator of a graph: its kind, what goes in, what comes out, and its attributes.

    Args:
        graph: whose.
        kind: ``domain::name``.
        inputs: what goes in.
        outputs: how many come out.
    """

    def __init__(self, graph: Graph, kind: str, inputs: Iterable[Value], outputs: int):
        self._graph, self._kind, self._inputs = graph, kind, list(inputs)
        self._attributes: dict[str, tuple[str, Any]] = {}
        self._blocks: list[Graph] = []
        self._outputs = [Value(self, graph._name()) for _ in range(outputs)]

    def kind(self) -> str:
        """``domain::name``."""
        return self._kind

    def inputs(self) -> Iterator[Value]:
        """What goes in."""
        return iter(self._inputs)

    def outputs(self) -> Iterator[Value]:
        """What comes out."""
        return iter(self._outputs)

    def output(self) -> Value:
        """What comes out, if that is one.

        Raises:
            RuntimeError: it is not.
        """
        if len(self._outputs) != 1:
            raise RuntimeError(f"Node.output(): expected one output, received {len(self._outputs)}; use outputs()")
        return self._outputs[0]

    def addBlock(self) -> Graph:
        """Add a graph inside of the node: a branch."""
        block = Graph()
        block.opset, block._counter = self._graph.opset, self._graph._counter
        self._blocks.append(block)
        return block

    def blocks(self) -> Iterator[Graph]:
        """The graphs inside of it."""
        return iter(self._blocks)

    def mustBeNone(self) -> bool:
        """Whether it is the constant ``None``."""
        return self._kind == "prim::Constant" and not self._attributes

    def attributeNames(self) -> list[str]:
        """The names of its attributes."""
        return list(self._attributes)

    def hasAttribute(self, name: str) -> bool:
        """Whether it has an attribute of this name."""
        return name in self._attributes

    def kindOf(self, name: str) -> str:
        """The kind of an attribute: ``"i"``, ``"f"``, ``"s"``, ``"t"``, or one of them with an ``s`` for a list."""
        return self._attribute(name)[0]

    def _attribute(self, name: str) -> tuple[str, Any]:
        if name not in self._attributes:
            raise RuntimeError(f"required keyword attribute '{name}' is undefined; there are {list(self._attributes)}")
        return self._attributes[name]

    def _set(self, kind: str, name: str, value: Any) -> Node:
        self._attributes[name] = kind, value
        return self

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, (_, value) in self._attributes.items())
        given = ", ".join(f"%{one._name}" for one in self._inputs)
        made = ", ".join(f"%{one._name} : {one._type}" for one in self._outputs)
        return f"{made} = {self._kind}{f'[{shown}]' if shown else ''}({given})"


def _accessors(kind: str) -> None:
    def read(self: Node, name: str) -> Any:
        found, value = self._attribute(name)
        if found != kind:
            raise RuntimeError(f"expected attribute '{name}' to be of kind '{kind}', received one of kind '{found}'")
        return value

    def write(self: Node, name: str, value: Any) -> Node:
        return self._set(kind, name, _CHECKS[kind](value))

    read.__doc__, write.__doc__ = f"The attribute ``name`` of kind ``{kind}``.", f"Set it, as kind ``{kind}``."
    for suffix, function in (("", read), ("_", write)):
        function.__name__, function.__qualname__ = kind + suffix, f"Node.{kind}{suffix}"
        setattr(Node, kind + suffix, function)


def _each(check: Any) -> Any:
    return lambda values: [check(value) for value in values]


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"expected an attribute that is a Tensor, received {type(value).__name__}")
    return value


_CHECKS: dict = {"i": int, "f": float, "s": str, "t": _tensor}
_CHECKS |= {f"{kind}s": _each(check) for kind, check in _CHECKS.items()}
for _kind in _CHECKS:
    _accessors(_kind)


class Graph:
    """A record of operators, which symbolic functions write with ``op``.

    Example:
        >>> from rushlight import _C
        >>> from rushlight.onnx import symbolic_opset9
        >>> g = _C.Graph()
        >>> y = symbolic_opset9.softmax(g, g.addInput("x"), 1)
        >>> [node.kind() for node in g.nodes()]
        ['onnx::ReduceMax', 'onnx::Sub', 'onnx::Exp', 'onnx::Constant', 'onnx::ReduceSum', 'onnx::Div']
    """

    # Symbolic functions write different operators for different versions of ONNX.
    opset = 17

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._counter = [0]
        self._param = Node(self, "prim::Param", (), 0)
        self._outputs: list[Value] = []

    def _name(self) -> str:
        self._counter[0] += 1
        return str(self._counter[0] - 1)

    def addInput(self, name: str = "") -> Value:
        """Add something that goes into the graph.

        Args:
            name: how it is printed; default: a number.
        """
        made = Value(self._param, name or self._name())
        self._param._outputs.append(made)
        return made

    def create(self, kind: str, inputs: Iterable[Value] = (), outputs: int = 1) -> Node:
        """A node that stands nowhere yet.

        Args:
            kind: ``domain::name``.
            inputs: what goes in.
            outputs: how many come out.
        """
        return Node(self, kind, inputs, outputs)

    def insertNode(self, node: Node) -> Node:
        """Put a node at the end."""
        self._nodes.append(node)
        return node

    def registerOutput(self, value: Value) -> int:
        """Say that a value comes out of the graph; gives its place."""
        self._outputs.append(value)
        return len(self._outputs) - 1

    def inputs(self) -> Iterator[Value]:
        """What goes into the graph."""
        return self._param.outputs()

    def outputs(self) -> Iterator[Value]:
        """What comes out of it."""
        return iter(self._outputs)

    def nodes(self) -> Iterator[Node]:
        """Its operators, in order."""
        return iter(self._nodes)

    def op(self, opname: str, *raw_args: Any, outputs: int = 1, **kwargs: Any) -> Any:
        """Write an operator.

        Args:
            opname: its name; ONNX's domain where no other is given.
            raw_args: what goes in; tensors become constants.
            outputs: how many come out.
            kwargs: attributes, whose names end in their kind: ``axis_i=1``, ``value_t=tensor``; None leaves one out.

        Returns:
            Value: what comes out; a tuple where that is several.

        Raises:
            ValueError: an attribute's name without a kind.
        """
        given = [one if isinstance(one, Value) else self.op("Constant", value_z=one) for one in raw_args]
        node = self.create(opname if "::" in opname else f"onnx::{opname}", given, outputs)
        for key, value in sorted(kwargs.items()):
            if value is not None:
                _write(node, key, value)
        self.insertNode(node)
        return node.output() if outputs == 1 else tuple(node.outputs())

    def __str__(self) -> str:
        given = ", ".join(f"%{one._name} : {one._type}" for one in self.inputs())
        lines = [f"graph({given}):", *(f"  {node}" for node in self._nodes)]
        return "\n".join([*lines, f"  return ({', '.join(f'%{one._name}' for one in self._outputs)})", ""])


def _write(node: Node, key: str, value: Any) -> None:
    found = _ATTRIBUTE.fullmatch(key)
    if found is None:
        raise ValueError(
            f"Invalid attribute specifier '{key}' names must be suffixed with type, e.g. 'dim_i' or 'dims_i'"
        )
    name, kind = found.groups()
    if kind == "z":
        node._set("t", name, _tensor(value).reshape(()))
        return
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Tensor)
    getattr(node, f"{kind}{'s' if several else ''}_")(name, value)
