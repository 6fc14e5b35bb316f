"""Owns the adaptive softmax, which spends its parameters on frequent classes.

May import the functions, Linear and the containers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...ops.nn_common import concrete
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class _ASMoutput(NamedTuple):
    """What the layer returns: the log-probability of each target, and the mean loss."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax over many classes, of which the rare ones share clusters of smaller projections (Grave et al. 2016).

    Args:
        in_features: the size of an input.
        n_classes: how many classes; frequent ones come first.
        cutoffs: where the clusters start, ascending.
        div_value: by how much each cluster's projection is smaller than the one before.
        head_bias: whether the head has a bias.
        device, dtype: of the parameters.

    Shape: input ``(N, in_features)`` with target ``(N,)``, or ``(in_features,)`` with ``()``.

    Raises:
        ValueError: cutoffs that are not ascending between 1 and ``n_classes - 1``.
        RuntimeError: shapes that do not fit, or a target out of range, when called.

    Example:
        >>> import rushlight as torch
        >>> layer = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [5, 10])
        >>> layer(torch.zeros(3, 16), torch.tensor([1, 7, 19])).output.shape
        torch.Size([3])
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device=None,
        dtype=None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        ascending = all(a < b for a, b in itertools.pairwise(cutoffs))
        if not ascending or cutoffs[0] <= 0 or cutoffs[-1] > n_classes - 1 or any(int(c) != c for c in cutoffs):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                "value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        where = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **where)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(self._clusters()):
            hidden = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, **where), Linear(hidden, high - low, bias=False, **where)
                )
            )

    def _clusters(self):
        return itertools.pairwise(self.cutoffs)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.head.reset_parameters()
        for projection in self.tail:
            for layer in projection.children():
                layer.reset_parameters()

    def forward(self, input_, target_):
        """The log-probability of each target, and the mean loss, as a named tuple."""
        self._check(input_, target_)
        batched = target_.dim() > 0
        input = input_ if batched else input_.unsqueeze(0)
        target = target_ if batched else target_.unsqueeze(0)
        host = concrete(target)
        if host is not None and host.size and (host.min() < 0 or host.max() >= self.n_classes):
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{host.min()}, "
                f"{host.max()}] were found. "
            )
        # In the head, a cluster is one class more.
        in_head = target
        output = input.new_zeros(target.shape[0])
        for i, (low, high) in enumerate(self._clusters()):
            inside = (target >= low) & (target < high)
            in_head = in_head.masked_fill(inside, self.shortlist_size + i)
            if host is None:
                # Traced: which rows belong here is not known, so all go through.
                logs = F.log_softmax(self.tail[i](input), dim=1)
                picked = logs.gather(1, (target - low).clamp(0, high - low - 1).unsqueeze(1)).squeeze(1)
                output = picked.where(inside, output)
                continue
            rows = inside.nonzero().squeeze(1)
            if rows.numel():
                logs = F.log_softmax(self.tail[i](input[rows]), dim=1)
                picked = logs.gather(1, (target[rows] - low).unsqueeze(1)).squeeze(1)
                output = output.index_copy(0, rows, picked)
        head = F.log_softmax(self.head(input), dim=1)
        output = output + head.gather(1, in_head.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output if batched else output.squeeze(0), loss)

    def _check(self, input, target) -> None:
        ndim = target.dim()
        if ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if ndim == 1 and input.shape[0] != target.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.dim() != ndim + 1:
            raise RuntimeError(
                f"{ndim}D target tensor expects {ndim + 1}D input tensors, but found inputs with size {input.shape}"
            )

    def _get_full_log_prob(self, input, head_output):
        from ...ops.join import cat

        head = F.log_softmax(head_output, dim=1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            parts.append(F.log_softmax(tail(input), dim=1) + head[:, self.shortlist_size + i].unsqueeze(1))
        return cat(parts, 1)

    def log_prob(self, input):
        """The log-probabilities of all classes.

        Args:
            input: ``(N, in_features)``.

        Shape: result ``(N, n_classes)``.
        """
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input):
        """The most probable class of each row: ``log_prob(input).argmax(1)``, but cheaper.

        Args:
            input: ``(N, in_features)``.

        Shape: result ``(N,)``.
        """
        head = self.head(input)
        best = head.argmax(1)
        rare = best >= self.shortlist_size
        host = concrete(rare)
        if host is not None and not host.any():
            return best
        if host is None or host.all():
            return self._get_full_log_prob(input, head).argmax(1).where(rare, best)
        return best.masked_scatter(rare, self._get_full_log_prob(input[rare], head[rare]).argmax(1))


__all__ = ["AdaptiveLogSoftmaxWithLoss"]
