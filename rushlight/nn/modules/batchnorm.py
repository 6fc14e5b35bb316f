"""Owns batch normalisation: its base with the running statistics, by number of dimensions, lazy, and synchronised.

May import Module, Parameter, init and the operators of normalisation.
"""

from __future__ import annotations

from typing import Any

from ..._tensor.tensor import Tensor
from ...dtypes import int64
from ...ops import nn_norm
from .. import init
from ..parameter import UninitializedBuffer, UninitializedParameter
from ._make import ones, parameter, zeros
from ._quick_load import plain_when_complete
from .lazy import LazyModuleMixin
from .module import Module


class _NormBase(Module):
    """What batch and instance normalisation share: an affine part and running statistics, both optional."""

    _version = 2
    __constants__ = ["track_running_stats", "momentum", "eps", "num_features", "affine"]
    num_features: int
    eps: float
    momentum: float | None
    affine: bool
    track_running_stats: bool
    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device=None, dtype=None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", parameter(num_features, device, dtype) if affine else None)
        self.register_parameter("bias", parameter(num_features, device, dtype) if affine and bias else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, device, dtype) if tracked else None)
        self.register_buffer("running_var", ones(num_features, device, dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", zeros((), device, int64) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the statistics: mean 0, variance 1, no batches seen."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Forget the statistics; weight 1 and bias 0."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            if self.bias is not None:
                init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    @plain_when_complete
    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        # Before version 2 batches were not counted; the count then stays as it is.
        key = prefix + "num_batches_tracked"
        if (local_metadata.get("version") or 1) < 2 and self.track_running_stats and key not in state_dict:
            held = self.num_batches_tracked
            state_dict[key] = held if held is not None and not held.is_meta else zeros((), dtype=int64)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class _BatchNorm(_NormBase):
    """Batch normalisation of any number of dimensions (Ioffe & Szegedy 2015)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise; while training, with the batch's own statistics, which update the running ones."""
        self._check_input_dim(input)
        mean, var = self.running_mean, self.running_var
        if not self.training:
            return nn_norm.batch_norm_with(
                input, self.weight, self.bias, mean, var, mean is None and var is None, self.momentum or 0.0, self.eps
            )
        if not self.track_running_stats:
            mean = var = None
        return nn_norm.batch_norm_with(
            input, self.weight, self.bias, mean, var, True, self.momentum, self.eps,
            self.num_batches_tracked if self.track_running_stats else None,
        )  # fmt: skip


class _LazyNormBase(LazyModuleMixin, _NormBase):
    """The form of ``_NormBase`` that takes ``num_features`` from the first input."""

    def __init__(
        self, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, device=None, dtype=None, *, bias=True
    ) -> None:
        super().__init__(0, eps, momentum, False, False, device=device, dtype=dtype, bias=False)
        self.affine = affine
        self.track_running_stats = track_running_stats
        if self.affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            if bias:
                self.bias = UninitializedParameter(device=device, dtype=dtype)
        if self.track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)
            self.num_batches_tracked = zeros((), device, int64)

    def reset_parameters(self) -> None:
        """As for the ordinary form, once the size is known."""
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:  # type: ignore[override]
        """Take ``num_features`` from the first input.

        Raises:
            AssertionError: weight and bias disagree on whether they wait for it.
        """
        if self.has_uninitialized_params():
            self.num_features = input.shape[1]
            waiting = [self.weight, self.bias] if self.affine else []
            for name, tensor in zip(("weight", "bias"), waiting):
                if tensor is None and name == "bias":
                    continue
                if not isinstance(tensor, UninitializedParameter):
                    raise AssertionError(f"self.{name} must be an UninitializedParameter")
                tensor.materialize((self.num_features,))
            if self.track_running_stats:
                self.running_mean.materialize((self.num_features,))
                self.running_var.materialize((self.num_features,))
            self.reset_parameters()
        elif self.num_features == 0 and (self.affine or self.track_running_stats):
            self.num_features = input.shape[1]  # the shapes came from a state dict


class BatchNorm1d(_BatchNorm):
    """Standardise each channel over the batch and all positions, then scale and shift (Ioffe & Szegedy 2015).

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics; None averages over all batches.
        affine: whether to scale and shift.
        track_running_stats: whether to keep running statistics, which are used outside training.
        device, dtype: of the parameters and statistics.
        bias: whether to shift.

    Shape: ``(N, C)`` or ``(N, C, L)``.

    Raises:
        ValueError: an input of another number of dimensions, or one value per channel while training.

    Example:
        >>> import rushlight as torch
        >>> layer = BatchNorm1d(2, momentum=1.0)
        >>> layer(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
        tensor([[-1.0000,  0.0000],
                [ 1.0000,  0.0000]], grad_fn=<NativeBatchNormBackward0>)
        >>> layer.running_mean
        tensor([2., 0.])
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.dim()}D input)")


class BatchNorm2d(_BatchNorm):
    """``BatchNorm1d`` for images.

    Args: as for ``BatchNorm1d``.

    Shape: ``(N, C, H, W)``.

    Raises:
        ValueError: an input of another number of dimensions, or one value per channel while training.

    Example:
        >>> BatchNorm2d(100)
        BatchNorm2d(100, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 4:
            raise ValueError(f"expected 4D input (got {input.dim()}D input)")


class BatchNorm3d(_BatchNorm):
    """``BatchNorm1d`` for volumes.

    Args: as for ``BatchNorm1d``.

    Shape: ``(N, C, D, H, W)``.

    Raises:
        ValueError: an input of another number of dimensions, or one value per channel while training.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 5:
            raise ValueError(f"expected 5D input (got {input.dim()}D input)")


class LazyBatchNorm1d(_LazyNormBase, _BatchNorm):
    """A ``BatchNorm1d`` that takes ``num_features`` from the first input.

    Args: as for ``BatchNorm1d``, without ``num_features``.

    Shape: ``(N, C)`` or ``(N, C, L)``.
    """

    cls_to_become = BatchNorm1d
    _check_input_dim = BatchNorm1d._check_input_dim


class LazyBatchNorm2d(_LazyNormBase, _BatchNorm):
    """A ``BatchNorm2d`` that takes ``num_features`` from the first input.

    Args: as for ``BatchNorm1d``, without ``num_features``.

    Shape: ``(N, C, H, W)``.
    """

    cls_to_become = BatchNorm2d
    _check_input_dim = BatchNorm2d._check_input_dim


class LazyBatchNorm3d(_LazyNormBase, _BatchNorm):
    """A ``BatchNorm3d`` that takes ``num_features`` from the first input.

    Args: as for ``BatchNorm1d``, without ``num_features``.

    Shape: ``(N, C, D, H, W)``.
    """

    cls_to_become = BatchNorm3d
    _check_input_dim = BatchNorm3d._check_input_dim


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over all processes of a group; in one process, ordinary batch normalisation.

    A batch that is sharded over several devices of one process needs nothing: its statistics are those of the whole.

    Args:
        process_group: the processes; default: all.
        others: as for ``BatchNorm1d``.

    Shape: ``(N, C, *)``.

    Raises:
        ValueError: an input of fewer than two dimensions, or without channels.
        NotImplementedError: a group of several processes.

    Example:
        >>> from rushlight import nn
        >>> nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm2d(3)))
        Sequential(
          (0): SyncBatchNorm(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
        )
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, process_group: Any = None, device=None, dtype=None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def _check_non_zero_input_channels(self, input: Tensor) -> None:
        if input.size(1) == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise as ``BatchNorm1d`` does."""
        self._check_input_dim(input)
        self._check_non_zero_input_channels(input)
        if self.training:
            from ... import distributed

            if distributed.is_initialized() and distributed.get_world_size(self.process_group) > 1:
                raise NotImplementedError(
                    "SyncBatchNorm over several processes is not supported by rushlight. Shard the batch over the "
                    "devices of one process instead; BatchNorm then sees all of it."
                )
        return super().forward(input)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Replace every batch normalisation in ``module`` by a ``SyncBatchNorm`` with the same tensors.

        Args:
            module: what to convert; its children are replaced in place.
            process_group: for the new modules.

        Returns:
            the module, or what replaces it.
        """
        out: Any = module
        if isinstance(module, _BatchNorm):
            out = SyncBatchNorm(
                module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats,
                process_group, bias=module.bias is not None,
            )  # fmt: skip
            if module.affine:
                out.weight, out.bias = module.weight, module.bias
            out.running_mean = module.running_mean
            out.running_var = module.running_var
            out.num_batches_tracked = module.num_batches_tracked
            out.training = module.training
            if hasattr(module, "qconfig"):
                out.qconfig = module.qconfig
        for name, child in module.named_children():
            out.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return out


__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d",
    "SyncBatchNorm",
]  # fmt: skip
