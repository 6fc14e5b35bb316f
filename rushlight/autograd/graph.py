"""Owns ``torch.autograd.graph``: the steps of the tape as users see them, and hooks on several gradients at once.

May import the tape and the tensor cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._errors import missing_name, not_supported
from .._graph.node import AccumulateGrad, Node
from .._hooks import RemovableHandle
from .._tensor.tensor import Tensor


class GradientEdge(NamedTuple):
    """Where a tensor's gradient goes: a step of the tape, and which of its outputs."""

    node: Any
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge of a tensor.

    Raises:
        RuntimeError: the tensor does not require a gradient.
    """
    edge = tensor._edge()
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node, index = edge
    return GradientEdge(AccumulateGrad(node), 0) if index is None else GradientEdge(node, index)


class _Handles:
    """Removes several hooks at once."""

    def __init__(self, handles: Sequence[RemovableHandle]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take all of them out."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable, *, mode: str = "all") -> _Handles:
    """Call ``fn`` when the gradients of several tensors are known.

    Args:
        tensors: which.
        fn: called with a list of gradients ("all"), or with the first that is known ("any").
        mode: ``"all"`` or ``"any"``.

    Returns:
        a handle with ``remove()``.

    Raises:
        ValueError: another mode.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    grads: list = [None] * len(tensors)
    left = len(tensors)

    def seen(index: int) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            nonlocal left
            first = left == len(tensors)
            grads[index] = grad
            left -= 1
            if mode == "any" and first:
                fn(grad)
            if left == 0:
                known = list(grads)
                grads[:] = [None] * len(tensors)
                left = len(tensors)
                if mode == "all":
                    fn(known)

        return hook

    return _Handles([tensor.register_hook(seen(i)) for i, tensor in enumerate(tensors)])


class save_on_cpu:
    """While it is entered, what the backward pass needs is kept on the CPU: it is there anyway without accelerators.

    Args:
        pin_memory: accepted: there is no page-locked memory here.
        device_type: which devices' tensors would move.

    Raises:
        NotImplementedError: entered where JAX has an accelerator.

    Example:
        >>> import rushlight as torch
        >>> with torch.autograd.graph.save_on_cpu():
        ...     y = torch.ones(2, requires_grad=True) * 2
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        self.pin_memory = pin_memory
        self.device_type = device_type

    def __enter__(self) -> None:
        import jax

        if jax.default_backend() != "cpu":
            raise not_supported(
                "torch.autograd.graph.save_on_cpu on an accelerator",
                "torch.utils.checkpoint.checkpoint keeps less for the backward pass.",
            )

    def __exit__(self, *exc: Any) -> None:
        return None


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = ["GradientEdge", "Node", "get_gradient_edge", "register_multi_grad_hook", "save_on_cpu"]
