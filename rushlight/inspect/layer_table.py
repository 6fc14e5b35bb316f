"""Owns ``summary``: the table of a model's layers, their shapes, parameters and work, from one abstract evaluation.

May import ``abstract``, ``flops``, nn's modules and hooks, and dtypes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from .. import dtypes as kinds
from .._tensor.tensor import Tensor
from ..nn.modules import module as hooks
from ..nn.modules.module import Module
from .abstract import meta_tensor, trace
from .flops import SCOPE, Work, count
from .stats import readable_count, readable_size

COLUMNS = {
    "input_size": "Input Shape",
    "output_size": "Output Shape",
    "kernel_size": "Kernel Shape",
    "num_params": "Param #",
    "params_percent": "Param %",
    "trainable": "Trainable",
    "mult_adds": "Mult-Adds",
    "flops": "FLOPs",
}
_MODES = ("eval", "train", "same")


@dataclass
class Row:
    """One call of a module, or a container on the way to one.

    Attributes:
        path: of the module.
        kind: its class.
        depth: 0 for the model itself.
        index: the number of the row among those of its depth.
        input, output: shapes, or None; a list of shapes where there are several.
        parameters, trainable: its parameters, and how many of them are trained: its own, without its children's.
        total, total_trainable: the same with its children's, each parameter once.
        work: what it does itself; ``total_work`` has its children's too.
        kernel: the shape of its convolution's window.
        repeated: whether it was called before.
        called: False for a container, and for a module whose forward is not used.
        nbytes: of its outputs.
        rows: what was called inside it.
    """

    path: str
    kind: str
    depth: int
    index: int = 0
    input: Any = None
    output: Any = None
    parameters: int = 0
    trainable: int = 0
    total: int = 0
    total_trainable: int = 0
    work: Work = field(default_factory=Work)
    kernel: Any = None
    repeated: bool = False
    called: bool = False
    nbytes: int = 0
    rows: list[Row] = field(default_factory=list)

    @property
    def total_work(self) -> Work:
        """Its work and its children's."""
        made = Work(self.work.macs, self.work.flops)
        for row in self.rows:
            below = row.total_work
            made.add(below.macs, below.flops)
        return made


@dataclass
class Summary:
    """A model's table; prints itself.

    Attributes:
        rows: the tree, with the model itself at its root.
        parameters, trainable: counts of elements, each parameter once.
        macs, flops: of the forward pass.
        backward_macs, backward_flops: of the backward pass, where it was asked for; otherwise None.
        input_bytes, output_bytes, parameter_bytes: sizes; of the outputs of all layers that have none inside.
        loops: how many loops of unknown length were counted once.
    """

    rows: Row
    parameters: int
    trainable: int
    macs: int
    flops: int
    backward_macs: int | None
    backward_flops: int | None
    input_bytes: int
    output_bytes: int
    parameter_bytes: int
    loops: int
    columns: tuple[str, ...]
    depth: int
    names: bool

    def __str__(self) -> str:
        return _draw(self)

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        from dataclasses import asdict

        return asdict(self)


def summary(
    model: Module, input: Any = None, *, input_size: Any = None, batch_dim: int | None = None,
    col_names: Sequence[str] = ("output_size", "num_params", "trainable", "mult_adds"), depth: int = 3,
    dtypes: Sequence[kinds.dtype] | None = None, mode: str = "eval",
    row_settings: Sequence[str] = ("depth", "var_names"), backward: bool = False, verbose: int = 0, **kwargs: Any,
) -> Summary:  # fmt: skip
    """A table of a model's layers, as torchinfo makes it, from one abstract evaluation: nothing is computed.

    Args:
        model: the model; its state, gradients, mode and the random stream stay as they are.
        input: what it is called with: tensors, in any nesting (a tuple or list holds the arguments, a dict keyword
            arguments); or shapes in the place of tensors, as for ``input_size``.
        input_size: a shape, a list of shapes, or a dict of them by the names of the arguments.
        batch_dim: where to put a dimension of 1 into each shape.
        col_names: columns, out of ``input_size output_size kernel_size num_params params_percent trainable mult_adds
            flops``.
        depth: levels to show.
        dtypes: of the inputs whose shapes are given.
        mode: ``"eval"``, ``"train"`` or ``"same"`` (as the model is).
        row_settings: ``"depth"`` to number the rows, ``"var_names"`` to name the attributes.
        backward: count the backward pass too.
        verbose: 1 prints the table.
        kwargs: further arguments for the model.

    Raises:
        TypeError: it is no module.
        ValueError: no input, a column or mode that does not exist.
        RuntimeError: the model fails, or asks for values of its tensors.

    Example:
        >>> from rushlight import nn
        >>> table = summary(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), (2, 3))
        >>> table.parameters, table.macs
        (16, 24)
    """
    if not isinstance(model, Module):
        raise TypeError(
            f"summary(): argument 'model' must be Module, not {type(model).__name__}. Give the module itself, such as "
            "summary(Net(), (1, 3, 224, 224))."
        )
    for name in col_names:
        if name not in COLUMNS:
            raise ValueError(f"summary(): expected columns out of {', '.join(COLUMNS)}, received {name!r}")
    if mode not in _MODES:
        raise ValueError(f"summary(): expected mode 'eval', 'train' or 'same', received {mode!r}")
    if set(row_settings) - {"depth", "var_names"}:
        raise ValueError(f"summary(): expected row_settings out of 'depth', 'var_names', received {row_settings!r}")
    args, named = _inputs(input, input_size, batch_dim, dtypes)
    made = _run(model, args, named | kwargs, mode, backward)
    made.columns, made.depth, made.names = tuple(col_names), depth, "var_names" in row_settings
    if "depth" not in row_settings:
        made.columns = (*made.columns, "")
    if verbose:
        print(made)
    return made


# -- the inputs --------------------------------------------------------------------------------------------------------


def _is_shape(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and all(type(n) is int for n in value)


def _inputs(
    input: Any, size: Any, batch_dim: int | None, given_dtypes: Sequence[kinds.dtype] | None
) -> tuple[tuple, dict]:
    if (input is None) == (size is None):
        raise ValueError(
            "summary(): expected either input or input_size. Give a tensor, or a shape such as (1, 3, 224, 224)."
        )
    given = input if size is None else size
    shaped = _has_shapes(given)
    if size is not None and not shaped:
        raise ValueError(
            f"summary(): expected input_size to be a shape, a list of shapes or a dict, received {size!r:.80}"
        )
    if not shaped and (batch_dim is not None or given_dtypes is not None):
        raise ValueError("summary(): batch_dim and dtypes go with shapes; the tensors given have their own")
    supply = iter(given_dtypes or ())

    def fill(value: Any) -> Any:
        if not _is_shape(value):
            return value
        shape = list(value)
        if batch_dim is not None:
            shape.insert(batch_dim, 1)
        return meta_tensor(tuple(shape), next(supply, kinds.get_default_dtype()))

    if isinstance(given, dict):
        return (), {name: fill(value) for name, value in given.items()}
    if _is_shape(given) or not isinstance(given, (tuple, list)):
        return (fill(given),), {}
    return tuple(fill(value) for value in given), {}


def _has_shapes(value: Any) -> bool:
    if _is_shape(value):
        return True
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return any(_is_shape(item) for item in items)


# -- the run -----------------------------------------------------------------------------------------------------------


def _run(model: Module, args: tuple, kwargs: dict, mode: str, backward: bool) -> Summary:
    paths = {id(module): path for path, module in model.named_modules()}
    stack: list[tuple[Row, Any]] = []
    calls: list[Row] = []
    seen: set[int] = set()

    def enter(module: Module, given: tuple) -> None:
        path = paths.get(id(module))
        if path is None:  # a module that is made during the call, or hidden in a plain list
            path = f"{stack[-1][0].path if stack else ''}.({type(module).__name__})".lstrip(".")
        row = Row(path, type(module).__name__, 0, input=_shapes(given), called=True, repeated=id(module) in seen)
        seen.add(id(module))
        if stack:
            stack[-1][0].rows.append(row)
        scope = jax.named_scope(f"{SCOPE}{len(calls)}")
        calls.append(row)
        scope.__enter__()
        stack.append((row, scope))

    def leave(module: Module, given: tuple, result: Any) -> None:
        row, scope = stack.pop()
        scope.__exit__(None, None, None)
        row.output, row.nbytes = _shapes(result), _nbytes(result)
        kernel = getattr(module, "kernel_size", None)
        row.kernel = list(kernel) if isinstance(kernel, tuple) else kernel

    modes = [(m, m.training) for m in model.modules()]
    handles = [
        hooks.register_module_forward_pre_hook(enter),
        hooks.register_module_forward_hook(leave, always_call=True),
    ]
    try:
        if mode != "same":
            model.train(mode == "train")
        jaxpr = trace(model, args, kwargs, backward)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    found = count(jaxpr)
    for i, row in enumerate(calls):
        row.work = found.scopes.pop(i, row.work)
    after = Work()
    for work in found.scopes.values():
        after.add(work.macs, work.flops)
    root = calls[0]
    _insert_containers(root, model)
    _number(root, 0, {})
    _count_parameters(root, model)
    parameters = list(model.parameters())
    total = root.total_work
    leaves = [leaf for leaf in jax.tree_util.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    return Summary(
        root, sum(_elements(p) for p in parameters), sum(_elements(p) for p in parameters if p._requires_grad),
        total.macs, total.flops, after.macs if backward else None, after.flops if backward else None,
        sum(_nbytes(t) for t in leaves), sum(r.nbytes for r in calls if not r.rows),
        sum(_elements(p) * p.dtype.itemsize for p in parameters), found.loops, (), 3, True,
    )  # fmt: skip


def _shape(tensor: Tensor) -> list[int]:
    return [int(n) for n in tensor.shape]


def _shapes(value: Any) -> Any:
    """The shape of the one tensor in a value, a list of shapes where there are several, None where there is none."""
    found = [_shape(t) for t in jax.tree_util.tree_leaves(value) if isinstance(t, Tensor)]
    return found if len(found) > 1 else found[0] if found else None


def _nbytes(value: Any) -> int:
    tensors = [t for t in jax.tree_util.tree_leaves(value) if isinstance(t, Tensor)]
    return sum(math.prod(_shape(t)) * t.dtype.itemsize for t in tensors)


def _elements(parameter: Tensor) -> int:
    """Elements of a parameter; a lazy one has none yet."""
    try:
        return math.prod(_shape(parameter))
    except RuntimeError:
        return 0


def _insert_containers(row: Row, model: Module) -> None:
    """Put in the modules between a row and those called in it (lists, dicts), and modules that were not called."""
    start = row.path + "." if row.path else ""
    called = row.rows
    row.rows = []
    groups: dict[str, Row] = {}
    for child in called:
        parent = row
        parts = child.path[len(start) :].split(".") if child.path.startswith(start) else [child.path]
        for i in range(1, len(parts)):
            path = start + ".".join(parts[:i])
            held = groups.get(path)
            if held is None:
                held = groups[path] = Row(path, type(model.get_submodule(path)).__name__, 0)
                parent.rows.append(held)
            parent = held
        parent.rows.append(child)
    present = {child.path for child in called} | set(groups)
    for path in (row.path, *groups):
        if path.rpartition(".")[2].startswith("("):
            continue
        home = groups.get(path, row)
        for name, module in model.get_submodule(path)._modules.items():
            inner = f"{path}.{name}" if path else name
            if module is not None and inner not in present and any(True for _ in module.parameters()):
                home.rows.append(_uncalled(inner, module))
    for child in called:
        _insert_containers(child, model)


def _uncalled(path: str, module: Module) -> Row:
    made = Row(path, type(module).__name__, 0)
    made.rows = [
        _uncalled(f"{path}.{name}", inner)
        for name, inner in module._modules.items()
        if inner is not None and any(True for _ in inner.parameters())
    ]
    return made


def _number(row: Row, depth: int, last: dict[int, int]) -> None:
    row.depth = depth
    row.index = last[depth] = last.get(depth, 0) + 1
    for child in row.rows:
        _number(child, depth + 1, last)


def _count_parameters(row: Row, model: Module, seen: set[int] | None = None) -> None:
    """Give each parameter to the first row that holds it."""
    seen = set() if seen is None else seen
    if not row.path.rpartition(".")[2].startswith("("):
        for parameter in model.get_submodule(row.path)._parameters.values():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                row.parameters += _elements(parameter)
                row.trainable += _elements(parameter) * parameter._requires_grad
    row.total, row.total_trainable = row.parameters, row.trainable
    for child in row.rows:
        _count_parameters(child, model, seen)
        row.total += child.total
        row.total_trainable += child.total_trainable


# -- the table ---------------------------------------------------------------------------------------------------------


def _draw(made: Summary) -> str:
    numbered = "" not in made.columns
    columns = [c for c in made.columns if c]
    lines: list[list[str]] = [
        ["Layer (type (var_name):depth-idx)" if made.names and numbered else "Layer", *(COLUMNS[c] for c in columns)]
    ]

    def visit(row: Row, lead: str, mark: str) -> None:
        cut = row.depth >= made.depth
        label = row.kind
        if made.names and row.path:
            label += f" ({row.path.rpartition('.')[2]})"
        if numbered and row.depth:
            label += f": {row.depth}-{row.index}"
        lines.append([lead + mark + label, *(_cell(row, c, cut, made) for c in columns)])
        if cut:
            return
        inside = lead + {"": "", "├─": "│  ", "└─": "   "}[mark]
        for i, child in enumerate(row.rows):
            visit(child, inside, "├─" if i + 1 < len(row.rows) else "└─")

    visit(made.rows, "", "")
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    right = {i + 1 for i, c in enumerate(columns) if c not in ("input_size", "output_size", "kernel_size")}
    texts = [
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
    rule = "=" * max(60, *map(len, texts))
    return "\n".join([rule, texts[0], rule, *texts[1:], rule, *_totals(made), rule])


def _cell(row: Row, column: str, cut: bool, made: Summary) -> str:
    whole = cut or not row.rows
    if column in ("input_size", "output_size"):
        value = row.input if column == "input_size" else row.output
        if value and isinstance(value[0], list):
            return ", ".join(map(str, value[:2])) + (", ..." if len(value) > 2 else "")
        return "--" if value is None else str(value)
    if column == "kernel_size":
        return "--" if row.kernel is None else str(row.kernel)
    if column in ("mult_adds", "flops"):
        work = row.total_work if whole else row.work
        amount = work.macs if column == "mult_adds" else work.flops
        return f"{readable_count(amount)}" if amount else "--"
    if row.repeated:
        return "(recursive)" if column == "num_params" else "--"
    own, trained = (row.total, row.total_trainable) if whole else (row.parameters, row.trainable)
    if column == "trainable":
        own, trained = row.total, row.total_trainable
        return "--" if not own else "True" if own == trained else "Partial" if trained else "False"
    if column == "params_percent":
        return f"{own / made.parameters:.2%}" if own else "--"
    if not own:
        return "--"
    return f"{own:,}" if trained else f"({own:,})"


def _totals(made: Summary) -> list[str]:
    rows = [
        f"Total params: {made.parameters:,}",
        f"Trainable params: {made.trainable:,}",
        f"Non-trainable params: {made.parameters - made.trainable:,}",
        f"Mult-adds, forward: {readable_count(made.macs)}",
        f"FLOPs, forward: {readable_count(made.flops)}",
    ]
    if made.backward_macs is not None and made.backward_flops is not None:
        rows.append(f"Mult-adds, backward: {readable_count(made.backward_macs)}")
        rows.append(f"FLOPs, backward: {readable_count(made.backward_flops)}")
    if made.loops:
        rows.append(f"Loops of unknown length, counted as one step: {made.loops}")
    return [
        *rows,
        f"Input size: {readable_size(made.input_bytes)}",
        f"Outputs of layers, forward: {readable_size(made.output_bytes)}",
        f"Params size: {readable_size(made.parameter_bytes)}",
    ]
