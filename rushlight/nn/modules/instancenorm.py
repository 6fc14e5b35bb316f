"""Owns instance normalisation, by number of dimensions, and its lazy forms.

May import the base of batch normalisation and nn.functional.
"""

from __future__ import annotations

import warnings

from ..._tensor.tensor import Tensor
from .. import functional as F
from ._quick_load import plain_when_complete
from .batchnorm import _LazyNormBase, _NormBase


class _InstanceNorm(_NormBase):
    """Instance normalisation of any number of dimensions (Ulyanov et al. 2016)."""

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device=None, dtype=None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype, bias=bias
        )

    def _get_no_batch_dim(self) -> int:
        raise NotImplementedError

    def _handle_no_batch_input(self, input: Tensor) -> Tensor:
        return self._apply_instance_norm(input.unsqueeze(0)).squeeze(0)

    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training or not self.track_running_stats, 0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip

    @plain_when_complete
    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        if local_metadata.get("version") is None and not self.track_running_stats:
            # Before torch 0.4 statistics were kept, and saved, without having been asked for.
            keys = [key for key in (prefix + "running_mean", prefix + "running_var") if key in state_dict]
            if keys:
                name = self.__class__.__name__
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {' and '.join(f'{chr(34)}{k}{chr(34)}' for k in keys)} for "
                    f"{name} with track_running_stats=False. If state_dict is a checkpoint saved before 0.4.0, this "
                    f"may be expected because {name} does not track running stats by default since 0.4.0. Please "
                    "remove these keys from state_dict. If the running stats are actually needed, instead set "
                    f"track_running_stats=True in {name} to enable them. See the documentation of {name} for details."
                )
                for key in keys:
                    state_dict.pop(key)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel of each sample.

        Raises:
            ValueError: another number of dimensions or, with an affine part, of channels.
        """
        self._check_input_dim(input)
        unbatched = self._get_no_batch_dim()
        dim = input.dim() - unbatched
        if input.size(dim) != self.num_features:
            if self.affine:
                raise ValueError(
                    f"expected input's size at dim={dim} to match num_features ({self.num_features}), but got: "
                    f"{input.size(dim)}."
                )
            warnings.warn(
                f"input's size at dim={dim} does not match num_features. You can silence this warning by not passing "
                "in num_features, which is not used because affine=False",
                stacklevel=2,
            )
        return self._handle_no_batch_input(input) if input.dim() == unbatched else self._apply_instance_norm(input)


class InstanceNorm1d(_InstanceNorm):
    """Standardise each channel of each sample over all its positions (Ulyanov et al. 2016).

    Args:
        num_features: channels.
        eps: added to the variance.
        momentum: the share of a batch in the running statistics.
        affine: whether to scale and shift.
        track_running_stats: whether to keep running statistics, which are used outside training.
        device, dtype: of the parameters and statistics.
        bias: whether to shift.

    Shape: ``(N, C, L)`` or ``(C, L)``.

    Raises:
        ValueError: an input of another number of dimensions, or one position per channel.

    Example:
        >>> import rushlight as torch
        >>> InstanceNorm1d(1)(torch.tensor([[[1.0, 3.0]]]))
        tensor([[[-1.0000,  1.0000]]])
    """

    def _get_no_batch_dim(self) -> int:
        return 2

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.dim()}D input)")


class InstanceNorm2d(_InstanceNorm):
    """``InstanceNorm1d`` for images.

    Args: as for ``InstanceNorm1d``.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.

    Raises:
        ValueError: an input of another number of dimensions, or one position per channel.
    """

    def _get_no_batch_dim(self) -> int:
        return 3

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (3, 4):
            raise ValueError(f"expected 3D or 4D input (got {input.dim()}D input)")


class InstanceNorm3d(_InstanceNorm):
    """``InstanceNorm1d`` for volumes.

    Args: as for ``InstanceNorm1d``.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.

    Raises:
        ValueError: an input of another number of dimensions, or one position per channel.
    """

    def _get_no_batch_dim(self) -> int:
        return 4

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (4, 5):
            raise ValueError(f"expected 4D or 5D input (got {input.dim()}D input)")


class LazyInstanceNorm1d(_LazyNormBase, _InstanceNorm):
    """An ``InstanceNorm1d`` that takes ``num_features`` from the first input.

    Args: as for ``InstanceNorm1d``, without ``num_features``; ``affine`` and ``track_running_stats`` default to True.

    Shape: ``(N, C, L)`` or ``(C, L)``.
    """

    cls_to_become = InstanceNorm1d
    _get_no_batch_dim = InstanceNorm1d._get_no_batch_dim
    _check_input_dim = InstanceNorm1d._check_input_dim


class LazyInstanceNorm2d(_LazyNormBase, _InstanceNorm):
    """An ``InstanceNorm2d`` that takes ``num_features`` from the first input.

    Args: as for ``InstanceNorm1d``, without ``num_features``; ``affine`` and ``track_running_stats`` default to True.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``.
    """

    cls_to_become = InstanceNorm2d
    _get_no_batch_dim = InstanceNorm2d._get_no_batch_dim
    _check_input_dim = InstanceNorm2d._check_input_dim


class LazyInstanceNorm3d(_LazyNormBase, _InstanceNorm):
    """An ``InstanceNorm3d`` that takes ``num_features`` from the first input.

    Args: as for ``InstanceNorm1d``, without ``num_features``; ``affine`` and ``track_running_stats`` default to True.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``.
    """

    cls_to_become = InstanceNorm3d
    _get_no_batch_dim = InstanceNorm3d._get_no_batch_dim
    _check_input_dim = InstanceNorm3d._check_input_dim


__all__ = [
    "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
]  # fmt: skip
