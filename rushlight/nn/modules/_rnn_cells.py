"""Owns the recurrent cells: one step of an RNN, an LSTM or a GRU as a module.

May import Module, Parameter, init and the recurrent operators.
"""

from __future__ import annotations

import math
from typing import Any

from ..._tensor.tensor import Tensor
from ...ops import nn_rnn as ops
from ...ops.creation import empty, zeros
from .. import init
from ..parameter import Parameter
from .module import Module


class RNNCellBase(Module):
    """What the cells have in common: two weights, two biases.

    Args:
        input_size, hidden_size: features of the input and of the state.
        bias: whether there are biases.
        num_chunks: how many gates.
        device, dtype: of the parameters.
    """

    __constants__ = ["input_size", "hidden_size", "bias"]
    input_size: int
    hidden_size: int
    bias: bool
    weight_ih: Tensor
    weight_hh: Tensor

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device=None, dtype=None) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(empty((gates, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(empty((gates, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            if bias:
                setattr(self, name, Parameter(empty(gates, device=device, dtype=dtype)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly within ``1 / sqrt(hidden_size)`` of zero."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """The sizes, and the options that are not at their defaults."""
        shown = f"{self.input_size}, {self.hidden_size}"
        if self.__dict__.get("bias", True) is not True:
            shown += f", bias={self.bias}"
        if self.__dict__.get("nonlinearity", "tanh") != "tanh":
            shown += f", nonlinearity={self.nonlinearity}"
        return shown

    def _step(self, function, input: Tensor, hx: Any) -> Any:
        """One step, with or without a batch dimension; the state is a tensor or a pair."""
        kind = self._kind
        if input.dim() not in (1, 2):
            raise ValueError(f"{kind}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        pair = kind == "LSTMCell"
        if hx is not None:
            for i, value in enumerate(hx if pair else (hx,)):
                if value.dim() not in (1, 2):
                    what = f"hx[{i}]" if pair else "hidden"
                    raise ValueError(f"{kind}: Expected {what} to be 1D or 2D, got {value.dim()}D instead")
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
        if hx is None:
            hx = zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)
            hx = (hx, hx) if pair else hx
        elif not batched:
            hx = (hx[0].unsqueeze(0), hx[1].unsqueeze(0)) if pair else hx.unsqueeze(0)
        out = function(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if batched:
            return out
        return (out[0].squeeze(0), out[1].squeeze(0)) if pair else out.squeeze(0)

    _kind = "RNNCell"


class RNNCell(RNNCellBase):
    """One Elman step: ``tanh(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh)``.

    Args:
        input_size, hidden_size: features of the input and of the state.
        bias: whether there are biases.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        device, dtype: of the parameters.

    Shape:
        input ``(N, in)`` or ``(in,)``, state and result ``(N, hidden)`` or ``(hidden,)``.

    Example:
        >>> import rushlight as torch
        >>> RNNCell(10, 20)(torch.zeros(3, 10)).shape
        torch.Size([3, 20])
    """

    __constants__ = ["input_size", "hidden_size", "bias", "nonlinearity"]
    nonlinearity: str

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device=None, dtype=None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new state.

        Raises:
            ValueError: other numbers of dimensions.
            RuntimeError: sizes that do not fit, or an unknown nonlinearity.
        """
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(ops.rnn_tanh_cell if self.nonlinearity == "tanh" else ops.rnn_relu_cell, input, hx)


class LSTMCell(RNNCellBase):
    """One step of an LSTM.

    Args:
        input_size, hidden_size: features of the input and of the state.
        bias: whether there are biases.
        device, dtype: of the parameters.

    Shape:
        input ``(N, in)`` or ``(in,)``; state and result ``(h, c)``, each ``(N, hidden)`` or ``(hidden,)``.

    Example:
        >>> import rushlight as torch
        >>> h, c = LSTMCell(10, 20)(torch.zeros(3, 10))
        >>> h.shape
        torch.Size([3, 20])
    """

    _kind = "LSTMCell"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        """The new states ``(h, c)``.

        Raises:
            ValueError: other numbers of dimensions.
            RuntimeError: sizes that do not fit.
        """
        return self._step(ops.lstm_cell, input, hx)


class GRUCell(RNNCellBase):
    """One step of a GRU.

    Args:
        input_size, hidden_size: features of the input and of the state.
        bias: whether there are biases.
        device, dtype: of the parameters.

    Shape:
        input ``(N, in)`` or ``(in,)``, state and result ``(N, hidden)`` or ``(hidden,)``.

    Example:
        >>> import rushlight as torch
        >>> GRUCell(10, 20)(torch.zeros(3, 10)).shape
        torch.Size([3, 20])
    """

    _kind = "GRUCell"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device=None, dtype=None) -> None:
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new state.

        Raises:
            ValueError: other numbers of dimensions.
            RuntimeError: sizes that do not fit.
        """
        return self._step(ops.gru_cell, input, hx)
