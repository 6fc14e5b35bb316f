"""Owns ``Variable``, the old name for a tensor that takes part in autograd.

May import the tensor cell.
"""

from __future__ import annotations

from .._tensor.tensor import Tensor


class _AnyTensor(type):
    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_AnyTensor):
    """Gives back a tensor over the same memory; every tensor is an instance.

    Args:
        data: a tensor.
        requires_grad: whether gradients are recorded for the result.

    Example:
        >>> import rushlight as torch
        >>> torch.autograd.Variable(torch.ones(1), requires_grad=True)
        tensor([1.], requires_grad=True)
    """

    def __new__(cls, data: Tensor, requires_grad: bool = False, volatile=None):
        if volatile is not None:
            raise NotImplementedError(
                "Variable(volatile=...) is not supported by rushlight. Use torch.no_grad() around the computation."
            )
        return data.detach().requires_grad_(requires_grad)


__all__ = ["Variable"]
