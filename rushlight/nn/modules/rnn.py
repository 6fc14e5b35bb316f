"""Owns the recurrent layers: ``RNNBase``, ``RNN``, ``LSTM`` and ``GRU``; the cells are in ``_rnn_cells``.

May import Module, Parameter, init, the recurrent operators and packed sequences.
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

from ..._tensor.tensor import Tensor
from ...ops import nn_rnn as ops
from ...ops.creation import empty, zeros
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from ._rnn_cells import GRUCell, LSTMCell, RNNCell, RNNCellBase
from .module import Module

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_RUN = {"LSTM": ops.lstm, "GRU": ops.gru, "RNN_TANH": ops.rnn_tanh, "RNN_RELU": ops.rnn_relu}


def _apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    return tensor.index_select(dim, permutation)


def apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    """``tensor.index_select(dim, permutation)``; deprecated."""
    warnings.warn(
        "`apply_permutation` is deprecated, please use `tensor.index_select(dim, permutation)` instead",
        FutureWarning,
        stacklevel=2,
    )
    return _apply_permutation(tensor, permutation, dim)


class RNNBase(Module):
    """What recurrent layers have in common: their parameters, their checks and one forward pass.

    Args:
        mode: ``"LSTM"``, ``"GRU"``, ``"RNN_TANH"`` or ``"RNN_RELU"``.
        input_size, hidden_size: features of the input and of the state.
        num_layers: how many layers, one above the other.
        bias: whether the layers add biases.
        batch_first: the input is ``(N, L, *)`` instead of ``(L, N, *)``.
        dropout: the probability of dropping what goes from one layer to the next.
        bidirectional: run each layer in both directions.
        proj_size: project the hidden state to this size (LSTM only); 0 does not.
        device, dtype: of the parameters.

    Raises:
        ValueError: a size or probability out of range, or an unknown mode.
        TypeError: an option of the wrong type.
    """

    __constants__ = [
        "mode", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional",
        "proj_size",
    ]  # fmt: skip
    mode: str
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device=None, dtype=None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        _check_dropout(dropout, num_layers)
        _check_options(self)
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self._flat_weights_names: list[str] = []
        self._all_weights: list[list[str]] = []
        gates = _GATES[mode] * hidden_size
        out = proj_size or hidden_size
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[:directions]:
                features = input_size if layer == 0 else out * directions
                shapes: dict[str, tuple] = {"weight_ih": (gates, features), "weight_hh": (gates, out)}
                if bias:
                    shapes.update(bias_ih=(gates,), bias_hh=(gates,))
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = [f"{name}_l{layer}{suffix}" for name in shapes]
                for name, shape in zip(names, shapes.values()):
                    setattr(self, name, Parameter(empty(shape, device=device, dtype=dtype)))
                self._flat_weights_names.extend(names)
                self._all_weights.append(names)
        self.reset_parameters()

    @property
    def _flat_weights(self) -> list:
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing to do: XLA chooses how weights lie in memory."""

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly within ``1 / sqrt(hidden_size)`` of zero."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Refuse an input that does not fit.

        Raises:
            ValueError: its dtype is not that of the weights.
            RuntimeError: the number of dimensions or of features.
        """
        from ..._graph.modes import state

        weight = getattr(self, self._flat_weights_names[0])
        if input.dtype is not weight.dtype and state.autocast is None:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 2 if batch_sizes is not None else 3
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def _batch(self, input: Tensor, batch_sizes: Tensor | None) -> int:
        return int(batch_sizes[0]) if batch_sizes is not None else input.size(0 if self.batch_first else 1)

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that the hidden state must have."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        return count, self._batch(input, batch_sizes), self.proj_size or self.hidden_size

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple, msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Refuse a state of another shape.

        Raises:
            RuntimeError: ``msg`` with the two shapes.
        """
        if hx.size() != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Refuse an input or a state that does not fit."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The state with its batch in another order."""
        return hx if permutation is None else _apply_permutation(hx, permutation)

    def _zeros(self, input: Tensor, batch_sizes: Tensor | None) -> Any:
        size = self.get_expected_hidden_size(input, batch_sizes)
        return zeros(size, dtype=input.dtype, device=input.device)

    def _with_batch(self, hx: Any, batched: bool) -> Any:
        """A given state, with a batch dimension.

        Raises:
            RuntimeError: it has other dimensions than the input.
        """
        if batched and hx.dim() != 3:
            raise RuntimeError(f"For batched 3-D input, hx should also be 3-D but got {hx.dim()}-D tensor")
        if not batched and hx.dim() != 2:
            raise RuntimeError(f"For unbatched 2-D input, hx should also be 2-D but got {hx.dim()}-D tensor")
        return hx if batched else hx.unsqueeze(1)

    def _options(self) -> tuple:
        return self.bias, self.num_layers, self.dropout, self.training, self.bidirectional

    def _packed(self, sequence: PackedSequence, hx: Any) -> tuple:
        input, batch_sizes, sorted_indices, unsorted_indices = sequence
        hx = self._zeros(input, batch_sizes) if hx is None else self.permute_hidden(hx, sorted_indices)
        self.check_forward_args(input, hx, batch_sizes)
        out, *ends = _RUN[self.mode](input, batch_sizes, hx, self._flat_weights, *self._options())
        ends = tuple(ends) if len(ends) > 1 else ends[0]
        out = PackedSequence(out, batch_sizes, sorted_indices, unsorted_indices)
        return out, self.permute_hidden(ends, unsorted_indices)

    def _run(self, input: Any, hx: Any, what: str) -> tuple:
        """The forward pass of every kind of layer; ``what`` ends the message about dimensions."""
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        if input.dim() not in (2, 3):
            raise ValueError(f"{type(self)._kind}: Expected input to be 2D or 3D, got {input.dim()}D{what} instead")
        batched = input.dim() == 3
        batch = 0 if self.batch_first else 1
        if not batched:
            input = input.unsqueeze(batch)
        hx = self._zeros(input, None) if hx is None else self._with_batch(hx, batched)
        self.check_forward_args(input, hx, None)
        out, *ends = _RUN[self.mode](input, hx, self._flat_weights, *self._options(), self.batch_first)
        if not batched:
            out, ends = out.squeeze(batch), [end.squeeze(1) for end in ends]
        return out, tuple(ends) if len(ends) > 1 else ends[0]

    _kind = "RNN"

    def extra_repr(self) -> str:
        """The sizes, and the options that are not at their defaults."""
        shown = f"{self.input_size}, {self.hidden_size}"
        for name, default in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0),
            ("bidirectional", False),
        ):  # fmt: skip
            if getattr(self, name) != default:
                shown += f", {name}={getattr(self, name)}"
        return shown

    def __getstate__(self) -> dict:
        state = super().__getstate__()
        # torch keeps this list beside the parameters, and expects it in a pickle.
        state["_flat_weights"] = self._flat_weights
        return state

    def __setstate__(self, state: dict) -> None:
        state = dict(state)
        names = state.pop("all_weights", None)
        state.pop("_flat_weights", None)
        super().__setstate__(state)
        own = self.__dict__
        if names is not None:
            own["_all_weights"] = names
        own.setdefault("proj_size", 0)
        if not isinstance(own["_all_weights"][0][0], str):
            self._name_weights()

    def _name_weights(self) -> None:
        """Work out the names of the parameters, which old pickles do not have."""
        kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if self.bias else [])]
        kinds += ["weight_hr"] if self.proj_size else []
        suffixes = ("", "_reverse")[: 2 if self.bidirectional else 1]
        self._all_weights = [
            [f"{kind}_l{layer}{suffix}" for kind in kinds] for layer in range(self.num_layers) for suffix in suffixes
        ]
        self._flat_weights_names = [name for names in self._all_weights for name in names]


def _check_dropout(dropout: Any, num_layers: int) -> None:
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= float(dropout) <= 1:  # type: ignore[arg-type]
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if float(dropout) > 0 and num_layers == 1:  # type: ignore[arg-type]
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,
        )


def _check_options(layer: RNNBase) -> None:
    for name in ("bias", "batch_first"):
        value = getattr(layer, name)
        if not isinstance(value, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    for name in ("input_size", "hidden_size"):
        value = getattr(layer, name)
        if not isinstance(value, int):
            raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if layer.num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if layer.proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if layer.proj_size >= layer.hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


class RNN(RNNBase):
    """Elman layers: ``h = tanh(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh)`` at each step (Elman 1990).

    Args:
        nonlinearity: ``"tanh"`` or ``"relu"``; the fourth positional argument.
        others: as for ``RNNBase``.

    Shape:
        input ``(L, N, in)`` (``(N, L, in)`` with ``batch_first``; ``(L, in)`` unbatched; or a ``PackedSequence``),
        state ``(D * layers, N, hidden)``; the output has ``D * hidden`` features, where D is the number of directions.

    Raises:
        ValueError: an unknown nonlinearity, or ``proj_size``.

    Example:
        >>> import rushlight as torch
        >>> out, h = RNN(10, 20, 2)(torch.zeros(5, 3, 10))
        >>> out.shape, h.shape
        (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if len(args) > 3:
            nonlinearity, args = args[3], args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__("RNN_" + nonlinearity.upper(), *args, **kwargs)

    def forward(self, input: Any, hx: Any = None) -> tuple:
        """The output of the last layer, and the state at the end."""
        return self._run(input, hx, " tensor")


class LSTM(RNNBase):
    """Long short-term memory layers (Hochreiter & Schmidhuber 1997), with projections (Sak et al. 2014) if wanted.

    ``i, f, g, o`` are the gates, in this order in the weights; ``c = f * c + i * g`` and ``h = o * tanh(c)``.

    Args:
        as for ``RNNBase``, without ``mode``.

    Shape:
        input as for ``RNN``; state ``(h, c)`` of ``(D * layers, N, proj_size or hidden)`` and
        ``(D * layers, N, hidden)``.

    Example:
        >>> import rushlight as torch
        >>> out, (h, c) = LSTM(10, 20, batch_first=True, bidirectional=True)(torch.zeros(3, 5, 10))
        >>> out.shape, h.shape, c.shape
        (torch.Size([3, 5, 40]), torch.Size([2, 3, 20]), torch.Size([2, 3, 20]))
    """

    _kind = "LSTM"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape that the cell state must have."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        return count, self._batch(input, batch_sizes), self.hidden_size

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Refuse an input or a state that does not fit."""
        self.check_input(input, batch_sizes)
        expected = self.get_expected_hidden_size(input, batch_sizes), self.get_expected_cell_size(input, batch_sizes)
        for i in range(2):
            self.check_hidden_size(hidden[i], expected[i], f"Expected hidden[{i}] size {{}}, got {{}}")

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The state with its batch in another order."""
        return hx if permutation is None else tuple(_apply_permutation(h, permutation) for h in (hx[0], hx[1]))

    def _zeros(self, input: Tensor, batch_sizes: Tensor | None) -> Any:
        size = self.get_expected_cell_size(input, batch_sizes)
        return super()._zeros(input, batch_sizes), zeros(size, dtype=input.dtype, device=input.device)

    def _with_batch(self, hx: Any, batched: bool) -> Any:
        h, c = hx[0], hx[1]
        if (h.dim(), c.dim()) != ((3, 3) if batched else (2, 2)):
            kind, n = ("batched 3-D", 3) if batched else ("unbatched 2-D", 2)
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {n}-D but got ({h.dim()}-D, {c.dim()}-D) tensors"
            )
        return (h, c) if batched else (h.unsqueeze(1), c.unsqueeze(1))

    def forward(self, input: Any, hx: Any = None) -> tuple:
        """The output of the last layer, and the states ``(h, c)`` at the end."""
        return self._run(input, hx, "")


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014); the reset gate scales ``h @ W_hn.T + b_hn``.

    ``r, z, n`` are the gates, in this order in the weights; ``h = (1 - z) * n + z * h``.

    Args:
        as for ``RNNBase``, without ``mode`` and ``proj_size``.

    Shape:
        as for ``RNN``.

    Raises:
        ValueError: ``proj_size``.

    Example:
        >>> import rushlight as torch
        >>> GRU(10, 20, 2)(torch.zeros(5, 3, 10))[0].shape
        torch.Size([5, 3, 20])
    """

    _kind = "GRU"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input: Any, hx: Any = None) -> tuple:
        """The output of the last layer, and the state at the end."""
        return self._run(input, hx, "")


# Pickles and printed types name the cells from here.
for _class in (RNNCellBase, RNNCell, LSTMCell, GRUCell):
    _class.__module__ = __name__

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]
