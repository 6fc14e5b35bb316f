"""Owns the loss layers.

May import the functions and the other layers. Every loss takes ``reduction``: ``"mean"`` of all losses, their
``"sum"``, or ``"none"``, which gives them one by one; ``size_average`` and ``reduce`` are its older form.
"""

from __future__ import annotations

import math
import warnings

from .. import functional as F
from ._loss_base import _Loss, _WeightedLoss
from ._margin_losses import (
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    SoftMarginLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
)
from ._options import shown
from .linear import Linear
from .linear_cross_entropy_options import LinearCrossEntropyOptions


class L1Loss(_Loss):
    """``|input - target|``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape: both any, equal.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.L1Loss()(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0]))
        tensor(1.5000)
    """

    __constants__ = ["reduction"]

    def forward(self, input, target):
        return F.l1_loss(input, target, reduction=self.reduction)


class NLLLoss(_WeightedLoss):
    """Minus the log-probability of the target class.

    Args:
        weight: one factor per class.
        ignore_index: targets with this index count for nothing.
        reduction: ``"mean"`` (over the weights), ``"sum"`` or ``"none"``.

    Shape: log-probabilities ``(C,)`` or ``(N, C, *)``, class indices ``()`` or ``(N, *)``.

    Raises:
        ValueError, RuntimeError: sizes or dtypes that do not fit, when called.
        IndexError: a class out of range.
    """

    __constants__ = ["ignore_index", "reduction"]

    def __init__(
        self, weight=None, size_average=None, ignore_index: int = -100, reduce=None, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input, target):
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class NLLLoss2d(NLLLoss):
    """``NLLLoss``, by an older name."""

    def __init__(
        self, weight=None, size_average=None, ignore_index: int = -100, reduce=None, reduction: str = "mean"
    ) -> None:
        warnings.warn(
            "`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead as a drop-in replacement and see "
            "https://pytorch.org/docs/main/nn.html#torch.nn.NLLLoss for more details.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(weight, size_average, ignore_index, reduce, reduction)


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of counts under a Poisson distribution.

    Args:
        log_input: the input is the logarithm of the rate.
        full: add Stirling's approximation of the constant term.
        eps: added to a rate whose logarithm is taken.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape: both any, equal.
    """

    __constants__ = ["log_input", "full", "eps", "reduction"]

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average=None,
        eps: float = 1e-8,
        reduce=None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input, target):
        return F.poisson_nll_loss(
            log_input, target, log_input=self.log_input, full=self.full, eps=self.eps, reduction=self.reduction
        )


class GaussianNLLLoss(_Loss):
    """Negative log-likelihood under normal distributions of given variances (Nix & Weigend 1994).

    Args:
        full: add the constant term.
        eps: the least variance.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape: input and target ``(N, *)``; variances of the same size, or with a last dimension of 1 or none.

    Raises:
        ValueError: variances that do not fit, or are negative.
    """

    __constants__ = ["full", "eps", "reduction"]

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)
        self.full = full
        self.eps = eps

    def forward(self, input, target, var):
        return F.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


class KLDivLoss(_Loss):
    """Kullback-Leibler divergence of log-probabilities from the target.

    Args:
        reduction: ``"batchmean"`` (the definition), ``"mean"``, ``"sum"`` or ``"none"``.
        log_target: the target holds log-probabilities too.

    Shape: both any, equal.
    """

    __constants__ = ["reduction"]

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input, target):
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class MSELoss(_Loss):
    """``(input - target) ** 2``.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape: both any, equal.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.MSELoss()(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0]))
        tensor(4.5000)
    """

    __constants__ = ["reduction"]

    def forward(self, input, target):
        return F.mse_loss(input, target, reduction=self.reduction)


class BCELoss(_WeightedLoss):
    """Cross-entropy of probabilities with targets between 0 and 1.

    Args:
        weight: a factor for each element, broadcast.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape: both any, equal.

    Raises:
        ValueError: sizes differ, when called.
        RuntimeError: an input outside ``[0, 1]``.
    """

    __constants__ = ["reduction"]

    def forward(self, input, target):
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Cross-entropy of ``sigmoid(input)`` with targets between 0 and 1.

    Args:
        weight: a factor for each element, broadcast.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        pos_weight: a factor for the positive part, broadcast.

    Shape: both any, equal.

    Raises:
        ValueError: sizes differ, when called.
    """

    def __init__(self, weight=None, size_average=None, reduce=None, reduction: str = "mean", pos_weight=None) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input, target):
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class SmoothL1Loss(_Loss):
    """Squared below ``beta``, absolute above (Girshick 2015).

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        beta: where one becomes the other; not negative.

    Shape: both any, equal.
    """

    __constants__ = ["reduction"]

    def __init__(self, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input, target):
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Squared below ``delta``, ``delta`` times absolute above (Huber 1964).

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        delta: where one becomes the other; positive.

    Shape: both any, equal.

    Raises:
        TypeError: ``delta`` is not a number.
    """

    __constants__ = ["reduction", "delta"]

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        if not isinstance(delta, (float, int)):
            raise TypeError(f"delta must be a float or int, got: {type(delta)}")
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input, target):
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class CrossEntropyLoss(_WeightedLoss):
    """Negative log-likelihood of the softmax of the input.

    Args:
        weight: one factor per class.
        ignore_index: targets with this index count for nothing.
        reduction: ``"mean"`` (over the weights), ``"sum"`` or ``"none"``.
        label_smoothing: how much of the target is spread over all classes (Szegedy et al. 2015).

    Shape: input ``(C,)`` or ``(N, C, *)``; target class indices ``()`` or ``(N, *)``, or probabilities of the input's
        shape.

    Raises:
        ValueError, RuntimeError: sizes or dtypes that do not fit, when called.
        IndexError: a class out of range.

    Example:
        >>> import rushlight as torch
        >>> torch.nn.CrossEntropyLoss()(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
        tensor(0.4100)
    """

    __constants__ = ["ignore_index", "reduction", "label_smoothing"]

    def __init__(
        self,
        weight=None,
        size_average=None,
        ignore_index: int = -100,
        reduce=None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class LinearCrossEntropyLoss(_WeightedLoss):
    """A linear layer and the cross-entropy of its result, in one.

    Args:
        in_features: the size of an input.
        num_classes: how many classes.
        out_features: further sizes, for a loss at several positions.
        bias: whether the linear layer has one.
        device, dtype: of its parameters.
        reduction, weight, ignore_index, label_smoothing: as for ``CrossEntropyLoss``.
        options: a ``LinearCrossEntropyOptions`` works in chunks, so that all logits never exist at once.

    Shape: input ``(N, in_features)`` with class indices ``(N, *out_features)``, or ``(in_features,)`` with ``()``.

    Raises:
        RuntimeError: a weight or a smoothing that does not fit.
    """

    __constants__ = ["num_classes", "out_features", "reduction", "ignore_index", "label_smoothing"]

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device=None,
        dtype=None,
        reduction: str = "mean",
        weight=None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:
        if weight is not None and weight.shape != (num_classes,):
            raise RuntimeError(f"expected weight shape to be {(num_classes,)}, got {tuple(weight.shape)}")
        if label_smoothing < 0 or label_smoothing > 1.0:
            raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
        super().__init__(weight=weight, reduction=reduction)
        self.num_classes = num_classes
        self.out_features = out_features
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        rows = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, rows, bias=bias, device=device, dtype=dtype)
        self.options = options

    def forward(self, input, target):
        size, linear = (self.num_classes, *self.out_features), self.linear
        return F.linear_cross_entropy(
            input,
            linear.weight.reshape((*size, linear.in_features)),
            target,
            linear_bias=None if linear.bias is None else linear.bias.reshape(size),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        rest = shown(self, "num_classes", "out_features")
        more = shown(self, "reduction", "ignore_index", "label_smoothing", "options")
        return f"in_features={self.linear.in_features}, {rest}, bias={self.linear.bias is not None}, {more}"


class CTCLoss(_Loss):
    """Minus the log-probability of all alignments of a sequence of labels (Graves et al. 2006).

    Args:
        blank: the label that stands for none.
        reduction: ``"mean"`` (of the losses divided by the targets' lengths), ``"sum"`` or ``"none"``.
        zero_infinity: 0 where a target is too long for its input, and no gradient.

    Shape: log-probabilities ``(T, N, C)`` or ``(T, C)``, targets ``(N, S)`` or ``(sum of lengths,)``, both lengths
        ``(N,)`` or ``()``.

    Raises:
        RuntimeError: sizes, lengths or labels that do not fit, when called.
    """

    __constants__ = ["blank", "reduction"]

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(self, log_probs, targets, input_lengths, target_lengths):
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


# torch's pickles and printouts know these from here.
for _layer in (
    _Loss,
    _WeightedLoss,
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    SoftMarginLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
):
    _layer.__module__ = __name__

__all__ = [
    "L1Loss", "NLLLoss", "NLLLoss2d", "PoissonNLLLoss", "GaussianNLLLoss", "KLDivLoss", "MSELoss", "BCELoss",
    "BCEWithLogitsLoss", "HingeEmbeddingLoss", "MultiLabelMarginLoss", "SmoothL1Loss", "HuberLoss", "SoftMarginLoss",
    "CrossEntropyLoss", "LinearCrossEntropyLoss", "MultiLabelSoftMarginLoss", "CosineEmbeddingLoss",
    "MarginRankingLoss", "MultiMarginLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss", "CTCLoss",
]  # fmt: skip
