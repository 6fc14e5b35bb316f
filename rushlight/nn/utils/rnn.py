"""Owns packed and padded sequences: ``PackedSequence`` and what makes it, pads it and takes it apart.

May import the operators.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..._errors import type_name
from ..._graph.modes import state
from ..._tensor.tensor import Tensor, from_host
from ...ops.creation import arange, as_tensor, empty_like, full, tensor
from ...ops.join import cat
from ...ops.nn_rnn import layout, spread_rows, take_rows
from ...ops.sorting import sort


class PackedSequence_(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedSequence_):
    """Sequences of different lengths in one tensor, step by step; ``pack_padded_sequence`` makes it.

    Attributes:
        data: the rows of all sequences, those of the first step first.
        batch_sizes: how many sequences there are at each step; on the CPU.
        sorted_indices: where each sequence, longest first, was in the batch.
        unsorted_indices: where each sequence of the batch is now.

    Example:
        >>> import rushlight as torch
        >>> from rushlight.nn.utils.rnn import pack_sequence
        >>> pack_sequence([torch.tensor([1, 2, 3]), torch.tensor([4, 5])]).data
        tensor([1, 4, 2, 5, 3])
    """

    def __new__(
        cls, data: Any, batch_sizes=None, sorted_indices: Tensor | None = None, unsorted_indices: Tensor | None = None
    ):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                "They should be instantiated by functions like pack_sequence and pack_padded_sequences in "
                "nn.utils.rnn. https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _moved(self, data) -> PackedSequence:
        if data is self.data:
            return self
        indices = [None if i is None else i.to(data.device) for i in self[2:]]
        return type(self)(data, self.batch_sizes, *indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with ``data.to(...)``; the indices follow to the device."""
        return self._moved(self.data.to(*args, **kwargs))

    def pin_memory(self) -> PackedSequence:
        """The same with pinned data."""
        indices = [None if i is None else i.pin_memory() for i in self[2:]]
        return type(self)(self.data.pin_memory(), self.batch_sizes, *indices)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same on a CUDA device."""
        return self._moved(self.data.cuda(*args, **kwargs))

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same on the CPU."""
        return self._moved(self.data.cpu(*args, **kwargs))

    @property
    def is_cuda(self) -> bool:
        """Whether the data are on a CUDA device."""
        return bool(self.data.is_cuda)

    def is_pinned(self) -> bool:
        """Whether the data are in pinned memory."""
        return bool(self.data.is_pinned())


def _conversion(name):
    def convert(self):
        return self._moved(getattr(self.data, name)())

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The same with ``data.{name}()``."
    return convert


for _name in ("double", "float", "half", "long", "int", "short", "char", "byte"):
    setattr(PackedSequence, _name, _conversion(_name))


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes ``permutation``.

    Example:
        >>> import rushlight as torch
        >>> invert_permutation(torch.tensor([2, 0, 1]))
        tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    output = empty_like(permutation)
    return output.scatter_(0, permutation, arange(0, permutation.numel(), device=permutation.device))


def _check_lengths(lengths: Tensor, steps: int, batch: int) -> np.ndarray:
    if lengths.dim() != 1 or lengths.device.type != "cpu":
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.dim()}D {lengths.device.type} "
            "Long tensor"
        )
    host = np.asarray(lengths._host())
    if len(host) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(host)} (batch_size={batch})"
        )
    if (host[1:] > host[:-1]).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )
    if (host <= 0).any():
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if host[0] > steps:
        raise RuntimeError(
            f"Expected lengths of at most {steps}, the size of the padded input, but got {host[0]}. Pass the lengths "
            "without the padding."
        )
    return host


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch of sequences.

    Args:
        input: ``(T, B, *)``, or ``(B, T, *)`` with ``batch_first``.
        lengths: the length of each sequence, as a list or a tensor on the CPU.
        enforce_sorted: the sequences come longest first; False sorts them.

    Raises:
        RuntimeError: lengths that are not sorted, not positive, too long, or too few.

    Example:
        >>> import rushlight as torch
        >>> x = torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
        >>> pack_padded_sequence(x, [2, 1, 3], batch_first=True, enforce_sorted=False).data
        tensor([4, 1, 3, 5, 2, 6])
    """
    if isinstance(lengths, Tensor):
        lengths = lengths.long()
    else:
        lengths = tensor([int(n) for n in lengths], device="cpu").long()
    order = None
    if not enforce_sorted:
        lengths, order = sort(lengths, descending=True)
        order = order.to(input.device)
        input = input.index_select(0 if batch_first else 1, order)
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    batch, steps = (0, 1) if batch_first else (1, 0)
    host = _check_lengths(lengths, input.size(steps), input.size(batch))
    sizes = (host[None, :] > np.arange(host[0])[:, None]).sum(1)
    # Steps are rounded up in the layout; the rows are not.
    rows = layout(sizes, input.device)[2]
    data = take_rows(input.transpose(0, 1) if batch_first else input, rows)
    return PackedSequence(data, from_host(sizes), order, None)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """Undo ``pack_padded_sequence``.

    Args:
        total_length: pad to this length; default: that of the longest sequence.

    Returns:
        tuple: the padded batch in its original order, and the lengths.

    Raises:
        ValueError: ``total_length`` is less than the longest sequence.
    """
    steps = sequence.batch_sizes.size(0)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {steps}"
            )
        steps = total_length
    sizes = np.asarray(sequence.batch_sizes._host())
    index, mask, _ = layout(sizes, sequence.data.device)
    padded = spread_rows(sequence.data, index, mask, padding_value)
    have = padded.size(0)
    if have < steps:
        more = full((steps - have, *padded.shape[1:]), padding_value, dtype=padded.dtype, device=padded.device)
        padded = cat([padded, more])
    elif have > steps:
        padded = padded[:steps]
    if batch_first:
        padded = padded.transpose(0, 1)
    lengths = from_host((sizes[:, None] > np.arange(sizes[0])[None, :]).sum(0))
    order = sequence.unsorted_indices
    if order is not None:
        return padded.index_select(0 if batch_first else 1, order), lengths[order.cpu()]
    return padded, lengths


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Stack sequences of different lengths, padded to the longest.

    Args:
        sequences: tensors ``(L, *)`` of any lengths.
        batch_first: the result is ``(B, T, *)`` instead of ``(T, B, *)``.
        padding_side: ``"right"`` or ``"left"``.

    Raises:
        RuntimeError: no sequences, sizes that differ beyond the first, or an unknown side.

    Example:
        >>> import rushlight as torch
        >>> pad_sequence([torch.ones(1), torch.ones(3)], batch_first=True)
        tensor([[1., 0., 0.],
                [1., 1., 1.]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    for i, item in enumerate(sequences):
        if not isinstance(item, Tensor):
            raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type_name(item)}")
    first = sequences[0]
    trailing = tuple(first.shape[1:])
    for item in sequences:
        if tuple(item.shape[1:]) != trailing:
            _refuse_shapes(item, first)
    longest = max(item.size(0) for item in sequences)
    size = (len(sequences), longest) if batch_first else (longest, len(sequences))
    out = full((*size, *trailing), padding_value, dtype=first.dtype, device=first.device)
    if not (state.grad and any(item.requires_grad for item in sequences)) and first.device.type == "cpu":
        # On the host: every new set of lengths would be a new program.
        return from_host(_padded(out, sequences, longest, batch_first, padding_side))
    for i, item in enumerate(sequences):
        n = item.size(0)
        part = slice(longest - n, longest) if padding_side == "left" else slice(0, n)
        out[(i, part) if batch_first else (part, i)] = item
    return out


def _padded(out, sequences, longest, batch_first, side):
    host = np.array(out._host())
    rows = host if batch_first else host.swapaxes(0, 1)
    for row, item in zip(rows, sequences):
        n = item.size(0)
        row[longest - n if side == "left" else 0 :][:n] = item._host()
    return host


def _refuse_shapes(item, first):
    a, b = item.shape[1:], first.shape[1:]
    for dim, (n, m) in enumerate(zip(a, b), 1):
        if n != m:
            raise RuntimeError(
                f"The size of tensor a ({m}) must match the size of tensor b ({n}) at non-singleton dimension {dim}"
            )
    raise RuntimeError(
        f"pad_sequence: Expected sequences of the same sizes but for the first, but got {list(first.shape)} and "
        f"{list(item.shape)}. Give them the same trailing dimensions."
    )


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """Undo ``pad_sequence``.

    Example:
        >>> import rushlight as torch
        >>> unpad_sequence(torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1]))
        [tensor([1, 3]), tensor([2])]
    """
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [row[: int(n)] for row, n in zip(padded_sequences, lengths.tolist(), strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack tensors ``(L, *)`` of different lengths.

    Args:
        enforce_sorted: they come longest first; False sorts them.

    Raises:
        RuntimeError: no sequences, or not sorted.
    """
    lengths = as_tensor([item.size(0) for item in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo ``pack_sequence``."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]
