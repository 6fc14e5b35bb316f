"""Owns the embeddings that round their weight while training.

May import nn and the helpers beside.
"""

from __future__ import annotations

from typing import Any

from ..... import dtypes, nn
from .....nn import functional as F
from .....nn.parameter import Parameter
from .linear import check_float, need_qconfig


def _need_float_grid(qconfig: Any, what: str) -> Any:
    scheme = need_qconfig(qconfig).weight().qscheme
    if scheme != dtypes.per_channel_affine_float_qparams:
        raise AssertionError(
            f"{what} weights requires a qscheme of torch.per_channel_affine_float_qparams Got {scheme}"
        )
    return qconfig


class Embedding(nn.Embedding):
    """``nn.Embedding`` whose weight is rounded to the quantization grid each time.

    Args:
        qconfig: ``qconfig.weight`` makes what rounds, with a grid for each row.
        others: those of ``nn.Embedding``.

    Raises:
        AssertionError: no ``qconfig``, or one with another scheme.

    Example:
        >>> import rushlight as torch
        >>> rows = Embedding(4, 2, qconfig=torch.ao.quantization.default_embedding_qat_qconfig)
        >>> rows(torch.tensor([1, 3])).shape
        torch.Size([2, 2])
    """

    _FLOAT_MODULE = nn.Embedding

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, _weight: Any = None,
        device: Any = None, dtype: Any = None, qconfig: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight,
            device=device, dtype=dtype,
        )  # fmt: skip
        self.qconfig = _need_float_grid(qconfig, "Embedding")
        self.weight_fake_quant = qconfig.weight(factory_kwargs={"device": device, "dtype": dtype})

    def forward(self, input: Any) -> Any:
        """The rounded rows of the indices."""
        return F.embedding(
            input, self.weight_fake_quant(self.weight), self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The form of ``mod`` for training; see ``qat.Linear.from_float``."""
        check_float(cls, mod)
        return cls(
            mod.num_embeddings, mod.embedding_dim, mod.padding_idx, mod.max_norm, mod.norm_type,
            mod.scale_grad_by_freq, mod.sparse, mod.weight, qconfig=mod.qconfig,
        )  # fmt: skip

    def to_float(self) -> Any:
        """An ``nn.Embedding`` with the values of this one, not rounded."""
        plain = nn.Embedding(
            self.num_embeddings, self.embedding_dim, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip
        plain.weight = Parameter(self.weight.detach())
        return plain.train(self.training)


class EmbeddingBag(nn.EmbeddingBag):
    """``nn.EmbeddingBag`` whose weight is rounded to the quantization grid each time.

    Args:
        qconfig: as for ``Embedding``.
        others: those of ``nn.EmbeddingBag``.

    Raises:
        AssertionError: no ``qconfig``, or one with another scheme.
    """

    _FLOAT_MODULE = nn.EmbeddingBag

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, _weight: Any = None,
        include_last_offset: bool = False, padding_idx: int | None = None, qconfig: Any = None, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, mode, sparse, _weight,
            include_last_offset, padding_idx, device=device, dtype=dtype,
        )  # fmt: skip
        self.qconfig = _need_float_grid(qconfig, "Embedding Bag")
        self.weight_fake_quant = qconfig.weight(factory_kwargs={"device": device, "dtype": dtype})

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """The rounded rows of the indices, each bag of them reduced to one row."""
        return F.embedding_bag(
            input, self.weight_fake_quant(self.weight), offsets, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.mode, self.sparse, per_sample_weights, self.include_last_offset,
            self.padding_idx,
        )  # fmt: skip

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The form of ``mod`` for training; see ``qat.Linear.from_float``."""
        check_float(cls, mod)
        return cls(
            mod.num_embeddings, mod.embedding_dim, mod.max_norm, mod.norm_type, mod.scale_grad_by_freq, mod.mode,
            mod.sparse, mod.weight, mod.include_last_offset, mod.padding_idx, qconfig=mod.qconfig,
        )  # fmt: skip

    def to_float(self) -> Any:
        """An ``nn.EmbeddingBag`` with the values of this one, not rounded."""
        plain = nn.EmbeddingBag(
            self.num_embeddings, self.embedding_dim, self.max_norm, self.norm_type, self.scale_grad_by_freq,
            self.mode, self.sparse, None, self.include_last_offset, self.padding_idx,
        )  # fmt: skip
        plain.weight = Parameter(self.weight.detach())
        return plain.train(self.training)


__all__ = ["Embedding", "EmbeddingBag"]
