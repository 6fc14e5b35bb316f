"""Owns the old ``weight_norm``, which recomputes a weight before every call; ``parametrizations`` has the new one.

May import Parameter and the operators.
"""

from __future__ import annotations

import warnings
from typing import Any

from ...ops.nn_weight_norm import _weight_norm, norm_except_dim
from ..parameter import Parameter, UninitializedParameter
from ._pre_hooks import first_named


class WeightNorm:
    """The hook that recomputes one weight.

    Attributes:
        name: of the weight.
        dim: the dimension that keeps a norm for each entry; -1 for one norm.
    """

    name: str
    dim: int

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = -1 if dim is None else dim

    def compute_weight(self, module: Any) -> Any:
        """The weight from its norm and direction."""
        return _weight_norm(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim)

    @staticmethod
    def apply(module: Any, name: str, dim: int | None) -> WeightNorm:
        """Split a weight in two and attach the hook; deprecated.

        Raises:
            RuntimeError: there is one already.
            ValueError: the weight has no shape yet.
        """
        warnings.warn(
            "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`.",
            FutureWarning,
            stacklevel=3,
        )
        if first_named(module._forward_pre_hooks, WeightNorm, name) is not None:
            raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
        fn = WeightNorm(name, dim)
        weight = getattr(module, name)
        if isinstance(weight, UninitializedParameter):
            raise ValueError(
                "The module passed to `WeightNorm` can't have uninitialized parameters. Make sure to run the dummy "
                "forward before applying weight normalization"
            )
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(norm_except_dim(weight, 2, fn.dim).data))
        module.register_parameter(name + "_v", Parameter(weight.data))
        setattr(module, name, fn.compute_weight(module))
        module.register_forward_pre_hook(fn)
        return fn

    def remove(self, module: Any) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"]
        del module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.data))

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Write a weight as norm times direction (Salimans & Kingma 2016); deprecated.

    Args:
        module: whose weight.
        name: of the weight; becomes ``name_g`` and ``name_v``.
        dim: the dimension that keeps a norm for each entry; None for one norm.

    Returns:
        Module: the same one.
    """
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Undo ``weight_norm``.

    Raises:
        ValueError: there is none.
    """
    found = first_named(module._forward_pre_hooks, WeightNorm, name)
    if found is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    found[1].remove(module)
    del module._forward_pre_hooks[found[0]]
    return module


__all__ = ["WeightNorm", "weight_norm", "remove_weight_norm"]
