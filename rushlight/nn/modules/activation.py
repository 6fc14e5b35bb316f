"""Owns the activation layers, one class per function.

May import the functions, Parameter and the creation operators.
"""

from __future__ import annotations

import warnings

from ...ops import creation
from .. import functional as F
from .. import init
from ..parameter import Parameter
from ._multihead import MultiheadAttention
from ._options import own_init, shown, with_inplace
from ._softmax import LogSoftmax, Softmax, Softmax2d, Softmin
from .module import Module


class _InPlace(Module):
    """An activation whose only option is ``inplace``."""

    __init_subclass__ = own_init
    __constants__ = ["inplace"]

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return with_inplace(self)


class Threshold(Module):
    """``x`` where it is greater than ``threshold``, else ``value``.

    Args:
        threshold: what to compare with.
        value: what to put in place of smaller elements.
        inplace: overwrite the input.

    Shape: any; the result has the input's, as for all activations but ``GLU``.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.Threshold(0.5, 9.0)(torch.tensor([0.0, 1.0]))
        tensor([9., 1.])
    """

    __constants__ = ["threshold", "value", "inplace"]

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input):
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, "threshold", "value")


class ReLU(_InPlace):
    """``max(0, x)``.

    Args:
        inplace: overwrite the input.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.ReLU()(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def forward(self, input):
        return F.relu(input, self.inplace)


class RReLU(Module):
    """Leaky ReLU whose slope is drawn from ``[lower, upper]`` for each element while training (Xu et al. 2015).

    Args:
        lower, upper: the range of slopes; evaluation uses their mean.
        inplace: overwrite the input.
    """

    __constants__ = ["lower", "upper", "inplace"]

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input):
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, "lower", "upper")


class Hardtanh(Module):
    """``x`` limited to ``[min_val, max_val]``.

    Args:
        min_val, max_val: the bounds.
        inplace: overwrite the input.

    Raises:
        AssertionError: the bounds leave no room.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.Hardtanh(-2, 2)(torch.tensor([-3.0, 1.0]))
        tensor([-2.,  1.])
    """

    __constants__ = ["min_val", "max_val", "inplace"]

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for old, new, value in (("min_value", "min_val", min_value), ("max_value", "max_val", max_value)):
            if value is not None:
                warnings.warn(
                    f"keyword argument `{old}` is deprecated and renamed to `{new}`", FutureWarning, stacklevel=2
                )
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise AssertionError(f"max_val ({self.max_val}) must be greater than min_val ({self.min_val})")

    def forward(self, input):
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, "min_val", "max_val")


class ReLU6(Hardtanh):
    """``min(max(0, x), 6)``.

    Args:
        inplace: overwrite the input.
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return with_inplace(self)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, input):
        return input.sigmoid()


class Hardsigmoid(_InPlace):
    """``relu6(x + 3) / 6``.

    Args:
        inplace: overwrite the input.
    """

    def forward(self, input):
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input):
        return input.tanh()


class SiLU(_InPlace):
    """``x * sigmoid(x)``, also known as swish (Elfwing et al. 2017).

    Args:
        inplace: overwrite the input.
    """

    def forward(self, input):
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """``x * tanh(softplus(x))`` (Misra 2019).

    Args:
        inplace: overwrite the input.
    """

    def forward(self, input):
        return F.mish(input, self.inplace)


class Hardswish(_InPlace):
    """``x * relu6(x + 3) / 6`` (Howard et al. 2019).

    Args:
        inplace: overwrite the input.
    """

    def forward(self, input):
        return F.hardswish(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class ELU(Module):
    """``x`` where positive, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2015).

    Args:
        alpha: minus the limit on the left.
        inplace: overwrite the input.
    """

    __constants__ = ["alpha", "inplace"]

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input):
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, "alpha")


class CELU(Module):
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron 2017).

    Args:
        alpha: minus the limit on the left, and the scale.
        inplace: overwrite the input.
    """

    __constants__ = ["alpha", "inplace"]

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input):
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, "alpha")


class SELU(_InPlace):
    """The self-normalising ELU, with fixed scales (Klambauer et al. 2017).

    Args:
        inplace: overwrite the input.
    """

    def forward(self, input):
        return F.selu(input, self.inplace)


class GLU(Module):
    """The first half of a dimension times the sigmoid of the second (Dauphin et al. 2016).

    Args:
        dim: the dimension to halve.

    Shape: ``(*, N, *)`` to ``(*, N / 2, *)``.

    Raises:
        RuntimeError: the dimension is odd.
    """

    __constants__ = ["dim"]

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input):
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return shown(self, "dim")


class GELU(Module):
    """``x * Phi(x)``, where Phi is the normal distribution function (Hendrycks & Gimpel 2016).

    Args:
        approximate: ``"none"`` or ``"tanh"``.

    Raises:
        RuntimeError: another approximation, when called.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.GELU()(torch.tensor([-1.0, 1.0]))
        tensor([-0.1587,  0.8413])
    """

    __constants__ = ["approximate"]

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input):
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Hardshrink(Module):
    """``x`` where ``|x| > lambd``, else 0.

    Args:
        lambd: the bound.
    """

    __constants__ = ["lambd"]

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input):
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class LeakyReLU(Module):
    """``x`` where positive, else ``negative_slope * x``.

    Args:
        negative_slope: the slope on the left.
        inplace: overwrite the input.
    """

    __constants__ = ["inplace", "negative_slope"]

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input):
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return with_inplace(self, "negative_slope")


class LogSigmoid(Module):
    """``log(sigmoid(x))``, computed without overflow."""

    def forward(self, input):
        return F.logsigmoid(input)


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``; ``x`` itself where ``beta * x > threshold``.

    Args:
        beta: how sharp the bend is.
        threshold: from where on the function is linear.
    """

    __constants__ = ["beta", "threshold"]

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input):
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return shown(self, "beta", "threshold")


class Softshrink(Module):
    """``x`` moved towards 0 by ``lambd``, no further.

    Args:
        lambd: how far; not negative.

    Raises:
        RuntimeError: ``lambd`` is negative, when called.
    """

    __constants__ = ["lambd"]

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input):
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class PReLU(Module):
    """Leaky ReLU with learned slopes (He et al. 2015).

    Args:
        num_parameters: 1, or one slope per channel.
        init: what they start at.
        device, dtype: of the parameter ``weight``, which has the shape ``(num_parameters,)``.

    Shape: any; with several slopes ``(N, C, *)``.
    """

    __constants__ = ["num_parameters"]

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device=None, dtype=None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(creation.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every slope to ``init``."""
        init.constant_(self.weight, self.init)

    def forward(self, input):
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return shown(self, "num_parameters")


class Softsign(Module):
    """``x / (1 + |x|)``."""

    def forward(self, input):
        return F.softsign(input)


class Tanhshrink(Module):
    """``x - tanh(x)``."""

    def forward(self, input):
        return F.tanhshrink(input)


# torch's pickles and printouts know these from here.
for _layer in (Softmin, Softmax, Softmax2d, LogSoftmax):
    _layer.__module__ = __name__

__all__ = [
    "Threshold", "ReLU", "RReLU", "Hardtanh", "ReLU6", "Sigmoid", "Hardsigmoid", "Tanh", "SiLU", "Mish", "Hardswish",
    "ELU", "CELU", "SELU", "GLU", "GELU", "Hardshrink", "LeakyReLU", "LogSigmoid", "Softplus", "Softshrink", "PReLU",
    "Softsign", "Tanhshrink", "Softmin", "Softmax", "Softmax2d", "LogSoftmax",
    "MultiheadAttention",
]  # fmt: skip
