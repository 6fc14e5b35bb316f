"""Owns running a module abstractly: its program is traced for shapes alone, and its state comes out as it went in.

May import jax, nn's modules and the tensor cell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from .. import dtypes
from .._device import cpu, device
from .._graph.modes import no_grad
from .._tensor.storage import Storage
from .._tensor.tensor import Tensor
from ..nn.modules.module import Module
from ..random import default_generator

_DEEPEST = 3
_WANTS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def storages_of(model: Module) -> list[Storage]:
    """The storages of all parameters and buffers, and of tensors that modules hold as plain attributes."""
    found: dict[int, Storage] = {}
    for module in model.modules():
        for value in (module._parameters, module._buffers, module.__dict__):
            for tensor in _tensors(value, _DEEPEST):
                found.setdefault(id(tensor._storage), tensor._storage)
    return list(found.values())


def _tensors(value: Any, depth: int) -> Iterator[Tensor]:
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, Tensor):
            yield item
        elif depth and isinstance(item, (dict, list, tuple)):
            yield from _tensors(item, depth - 1)


@contextlib.contextmanager
def unchanged(model: Module) -> Iterator[list[Storage]]:
    """A block after which the contents of every storage, gradients, modes and the random stream are what they were."""
    storages = storages_of(model)
    before = [(s, s.array, s.device) for s in storages]
    grads = [(p, p.grad) for p in model.parameters()]
    modes = [(m, m.training) for m in model.modules()]
    stream = default_generator.get_state()
    try:
        yield storages
    finally:
        default_generator.set_state(stream)
        for storage, array, where in before:
            storage.device = where
            storage.write(array)  # a write, so that views that saw the traced contents look again
        for parameter, grad in grads:
            parameter._grad = grad
        for module, mode in modes:
            module.training = mode


def trace(model: Module, args: tuple, kwargs: dict, backward: bool = False) -> Any:
    """The program of a call, as a jaxpr; nothing is computed and no memory is used.

    Args:
        model: what to call; hooks run, and see tensors whose arrays are tracers.
        args, kwargs: tensors (of the meta device too), arrays and anything else, in any nesting.
        backward: add the gradients of the sum of all floating point results.

    Raises:
        RuntimeError: the model asks for the values of its tensors.
    """
    lazy = [name for name, p in model.named_parameters() if type(p).__name__ == "UninitializedParameter"]
    if lazy:
        raise RuntimeError(
            f"summary(): '{lazy[0]}' has no shape yet, because its layer is lazy. Call the model once with real "
            "input first."
        )
    leaves, tree = jax.tree_util.tree_flatten((args, kwargs))
    at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, (Tensor, np.ndarray, jax.Array))]
    where = next((p.device for p in model.parameters() if p.device.type != "meta"), cpu)
    with unchanged(model) as storages:

        def program(states: list, inputs: list) -> list:
            for storage, state in zip(storages, states):
                if storage.device.type == "meta":
                    storage.device = where
                storage.write(state)
            filled = list(leaves)
            for i, array in zip(at, inputs):
                filled[i] = _as_input(leaves[i], array, where)
            given, named = jax.tree_util.tree_unflatten(tree, filled)
            with contextlib.nullcontext() if backward else no_grad():
                result = model(*given, **named)
            outputs = [t for t in jax.tree_util.tree_leaves(result) if isinstance(t, Tensor)]
            if backward:
                _pull(outputs)
            # The gradients and the new states are results too, so that no step is unused.
            gradients = [p.grad._array() for p in model.parameters() if p.grad is not None] if backward else []
            return [t._array() for t in outputs] + gradients + [s.array for s in storages]

        states = [_struct(s.array) for s in storages]
        if backward:
            for parameter in model.parameters():
                parameter._grad = None
        try:
            return jax.make_jaxpr(program)(states, [_struct(_array(leaves[i])) for i in at])
        except _WANTS_VALUES as error:
            raise RuntimeError(
                "summary(): the model asks for the values of a tensor (an if, int(), .item() or a shape that depends "
                "on data), which an abstract evaluation does not have. Call the part of the model that does not, or "
                f"give the values as Python numbers. What it asked for: {str(error).splitlines()[0]}"
            ) from error


def _pull(outputs: list[Tensor]) -> None:
    wanted = [t.sum() for t in outputs if t.requires_grad and t.dtype.is_floating_point]
    if not wanted:
        raise RuntimeError("summary(backward=True): no result of the model requires a gradient. Unfreeze a parameter.")
    total = wanted[0]
    for more in wanted[1:]:
        total = total + more
    total.backward()


def _array(leaf: Any) -> Any:
    return leaf._array() if isinstance(leaf, Tensor) else leaf


def _struct(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _as_input(leaf: Any, array: Any, where: device) -> Any:
    if not isinstance(leaf, Tensor):
        return array
    return type(leaf)._of(array, leaf.device if leaf.device.type != "meta" else where, leaf._requires_grad)


def meta_tensor(size: tuple[int, ...], dtype: dtypes.dtype) -> Tensor:
    """A tensor of which there are only a shape and a dtype."""
    return Tensor._of(jax.ShapeDtypeStruct(size, dtype.np), device("meta"))
