"""Owns ``torch.nn.attention.flex_attention``: attention whose scores and mask are functions that the user writes.

May import func, the operators and _errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..._errors import missing_name, not_supported
from ..._tensor.tensor import Tensor
from ...func import vmap
from ...ops.creation import arange, scalar_tensor
from ...ops.products import matmul

_DEFAULT_SPARSE_BLOCK_SIZE = 128
_Function = Callable[..., Tensor]


class AuxRequest(NamedTuple):
    """What else ``flex_attention`` should give.

    Args:
        lse: the logarithm of the sum of the exponentials of each row's scores.
        max_scores: the largest score of each row.
    """

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What else ``flex_attention`` gave; None for what was not asked for."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask that lets everything through."""
    return batch.new_ones(size=(), dtype=_bool())


def _bool() -> Any:
    from ...dtypes import bool_

    return bool_


def _everywhere(function: Callable, sizes: tuple[int, int, int, int], device: Any, score: Tensor | None) -> Tensor:
    """The function of scalars at every batch, head, query and key."""
    grids = [arange(size, device=device) for size in sizes]
    lead = () if score is None else (0,)
    mapped = function
    for place in (3, 2, 1, 0):
        mapped = vmap(mapped, in_dims=lead + tuple(0 if i == place else None for i in range(4)))
    return mapped(*grids) if score is None else mapped(score, *grids)


def create_mask(
    mod_fn: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = "cpu"
) -> Tensor:  # fmt: skip
    """The mask that a function describes, as a tensor.

    Args:
        mod_fn: gives a truth value for (batch, head, query, key).
        B: the batch's size; None for a mask that all share.
        H: the number of heads; None for a mask that all share.
        Q_LEN: the number of queries.
        KV_LEN: the number of keys.
        device: where.

    Shape:
        (B or 1, H or 1, Q_LEN, KV_LEN)

    Example:
        >>> import rushlight as torch
        >>> from rushlight.nn.attention.flex_attention import create_mask
        >>> create_mask(lambda b, h, q, k: q >= k, None, None, 2, 2)[0, 0]
        tensor([[ True, False],
                [ True,  True]])
    """
    mask = _everywhere(mod_fn, (B or 1, H or 1, Q_LEN, KV_LEN), device, None)
    return mask.to(_bool())


def _listed(counts: Tensor, places: Tensor) -> Tensor:
    """Lists of blocks as truth values by block."""
    right = places.shape[-1]
    counted = (arange(right, device=places.device) < counts.unsqueeze(-1)).int()
    return places.new_zeros(places.shape, dtype=counted.dtype).scatter_add(-1, places.long(), counted) > 0


class BlockMask:
    """A mask, as a function and (computed when it is first needed) as a tensor.

    Args:
        mask_mod: gives a truth value for (batch, head, query, key).
        shape: (B, H, Q_LEN, KV_LEN).
        device: where.
        BLOCK_SIZE: how large PyTorch's blocks would be; what ``to_dense`` counts in.
    """

    def __init__(self, mask_mod: _Function, shape: tuple[int, int, int, int], device: Any, BLOCK_SIZE: Any):
        self.mask_mod = mask_mod
        self.shape = shape
        self.seq_lengths = shape[2:]
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        self.BLOCK_SIZE = size
        self._device = device
        self._mask: Tensor | None = None

    @classmethod
    def from_kv_blocks(
        cls, kv_num_blocks, kv_indices, full_kv_num_blocks=None, full_kv_indices=None,
        BLOCK_SIZE: Any = _DEFAULT_SPARSE_BLOCK_SIZE, mask_mod=None, seq_lengths=None, compute_q_blocks=True,
    ) -> BlockMask:  # fmt: skip
        """A mask from lists of the blocks of keys that each block of queries sees.

        Args:
            kv_num_blocks: how many of the blocks listed count.
            kv_indices: which blocks; in them ``mask_mod`` decides.
            full_kv_num_blocks, full_kv_indices: the same for blocks that let everything through.
            BLOCK_SIZE: rows and columns of a block.
            mask_mod: default: everything.
            seq_lengths: the numbers of queries and keys; default: those of whole blocks.
            compute_q_blocks: for torch's sake; nothing is kept by block here.

        Shape:
            counts ``(B, H, blocks of queries)``; indices ``(B, H, blocks of queries, blocks of keys)``.

        Raises:
            RuntimeError: indices of other than four dimensions, or only one of the two lists of full blocks.
        """
        if kv_indices.dim() != 4:
            raise RuntimeError(f"BlockMask: expected kv_indices of 4 dimensions, received {kv_indices.dim()}")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise RuntimeError("BlockMask: full_kv_num_blocks and full_kv_indices must be both given or both left out")
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        batch, heads, down, right = kv_indices.shape
        partial = _listed(kv_num_blocks, kv_indices)
        full = (
            None
            if full_kv_num_blocks is None or full_kv_indices is None
            else _listed(full_kv_num_blocks, full_kv_indices)
        )
        inside = noop_mask if mask_mod is None else mask_mod

        def allowed(b, h, q, k):
            row, column = q // size[0], k // size[1]
            answer = partial[b, h, row, column] & inside(b, h, q, k)
            return answer if full is None else answer | full[b, h, row, column]

        lengths = (down * size[0], right * size[1]) if seq_lengths is None else tuple(seq_lengths)
        return cls(allowed, (batch, heads, *lengths), kv_indices.device, size)

    def _whole(self) -> Tensor:
        if self._mask is None:
            self._mask = create_mask(self.mask_mod, *self.shape, device=self._device)
        return self._mask

    def to_dense(self) -> Tensor:
        """Which blocks hold something that is let through: 1 where they do.

        Shape:
            (B, H, blocks of queries, blocks of keys)
        """
        mask = self._whole()
        batch, heads, rows, columns = self.shape
        high, wide = self.BLOCK_SIZE
        down, right = -(-rows // high), -(-columns // wide)
        padded = mask.new_zeros((batch, heads, down * high, right * wide))
        padded[:, :, :rows, :columns] = mask
        return padded.view(batch, heads, down, high, right, wide).any(-1).any(3).int()

    def sparsity(self) -> float:
        """How many places lie in blocks that are left out, in percent."""
        high, wide = self.BLOCK_SIZE
        return 100 * (1 - self.to_dense().sum().item() * high * wide / self.numel())

    def numel(self) -> int:
        """How many places the mask has."""
        batch, heads, rows, columns = self.shape
        return batch * heads * rows * columns

    def to(self, device: Any) -> BlockMask:
        """The mask on another device."""
        return BlockMask(self.mask_mod, self.shape, device, self.BLOCK_SIZE)

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(
    mask_mod: _Function, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE, _compile: bool = False, **options: Any,
) -> BlockMask:  # fmt: skip
    """A mask for ``flex_attention`` from a function.

    Args:
        mask_mod: gives a truth value for (batch, head, query, key).
        B: the batch's size; None for a mask that all share.
        H: the number of heads; None for a mask that all share.
        Q_LEN: the number of queries.
        KV_LEN: the number of keys.
        device: where.
        BLOCK_SIZE: how PyTorch's kernels would divide it; here only ``to_dense`` looks at it.
        _compile: accepted: how PyTorch would compute it.

    Raises:
        NotImplementedError: another option.
    """
    if options:
        raise not_supported(f"create_block_mask({next(iter(options))}=...)", "Leave it out: XLA chooses the kernel.")
    from ..._device import default_device

    return BlockMask(mask_mod, (B or 1, H or 1, Q_LEN, KV_LEN), device or default_device(), BLOCK_SIZE)


def and_masks(*mask_mods: _Function) -> _Function:
    """The mask that lets through what all of several masks do.

    Raises:
        RuntimeError: not a function.
    """
    return _combined(mask_mods, lambda a, b: a & b, True)


def or_masks(*mask_mods: _Function) -> _Function:
    """The mask that lets through what one of several masks does.

    Raises:
        RuntimeError: not a function.
    """
    return _combined(mask_mods, lambda a, b: a | b, False)


def _combined(mask_mods: tuple[_Function, ...], join: Callable, start: bool) -> _Function:
    if not all(callable(mask) for mask in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        result = b.new_full((), start, dtype=_bool())
        for one in mask_mods:
            result = join(result, one(b, h, q_idx, kv_idx))
        return result

    return mask


def flex_attention(
    query: Tensor, key: Tensor, value: Tensor, score_mod: _Function | None = None, block_mask: BlockMask | None = None,
    scale: float | None = None, enable_gqa: bool = False, return_lse: bool = False, kernel_options: Any = None, *,
    return_aux: AuxRequest | None = None,
) -> Any:  # fmt: skip
    """Attention whose scores a function changes and whose mask a function describes.

    Args:
        query: the queries.
        key: the keys.
        value: the values.
        score_mod: gives the score to use for (score, batch, head, query, key), all of them scalars.
        block_mask: what may be looked at; default: everything.
        scale: what scores are multiplied by; default: the queries' size to the power -1/2.
        enable_gqa: keys and values may have fewer heads, each for several of the queries'.
        return_lse: also give ``lse``; torch prefers ``return_aux``.
        kernel_options: accepted: they choose among PyTorch's kernels, which give the same values.
        return_aux: what else to give.

    Shape:
        query (B, H, L, E), key (B, H', S, E), value (B, H', S, V) -> (B, H, L, V)

    Raises:
        ValueError: other dimensions than four, other numbers of heads without ``enable_gqa``, or a mask of other sizes.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.nn.attention.flex_attention import flex_attention
        >>> x = torch.ones(1, 2, 3, 4)
        >>> flex_attention(x, x, x, score_mod=lambda score, b, h, q, k: score - (q - k).abs()).shape
        torch.Size([1, 2, 3, 4])
    """
    if not query.dim() == key.dim() == value.dim() == 4:
        raise ValueError(
            "NYI: query, key, and value must be 4D tensors: received "
            f"{query.dim()}, {key.dim()} and {value.dim()} dimensions"
        )
    heads, fewer = query.size(1), key.size(1)
    if heads != fewer:
        if not enable_gqa:
            raise ValueError(
                f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={fewer}. "
                "Try setting enable_gqa=True for GQA."
            )
        if heads % fewer:
            raise ValueError(
                f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={fewer}."
            )
        key, value = key.repeat_interleave(heads // fewer, dim=1), value.repeat_interleave(heads // fewer, dim=1)
    sizes = (query.size(0), heads, query.size(2), key.size(2))
    scores = matmul(query, key.transpose(-2, -1)) * (query.size(-1) ** -0.5 if scale is None else scale)
    if score_mod is not None:
        scores = _everywhere(score_mod, sizes, query.device, scores)
    if block_mask is not None:
        if tuple(block_mask.seq_lengths) != sizes[2:]:
            raise ValueError(
                f"block_mask was created for sequence lengths {tuple(block_mask.seq_lengths)}, received {sizes[2:]}"
            )
        scores = scores.masked_fill(~block_mask._whole(), -float("inf"))
    lowest = scalar_tensor(-float("inf"), dtype=scores.dtype, device=scores.device)
    empty = (scores == lowest).all(-1, keepdim=True)
    # A row that may look at nothing gives zeros, and its softmax would be nan.
    weights = scores.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)
    output = matmul(weights.to(value.dtype), value)
    if return_aux is None and not return_lse:
        return output
    lse = scores.masked_fill(empty, 0.0).logsumexp(-1).masked_fill(empty.squeeze(-1), -float("inf"))
    if return_aux is None:
        return output, lse
    return output, AuxOutput(
        lse=lse if return_aux.lse else None, max_scores=scores.amax(-1) if return_aux.max_scores else None
    )


def __getattr__(name: str) -> Any:
    raise missing_name(__name__, name)


__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask", "flex_attention",
    "noop_mask", "or_masks",
]  # fmt: skip
