"""Owns the long short-term memory built from linear layers, so that every step of it can be watched and rounded.

May import nn and the wrapped operators.
"""

from __future__ import annotations

import numbers
import warnings
from typing import Any

from ..... import dtypes, nn
from .....nn.parameter import Parameter
from .....ops.creation import zeros
from .....ops.join import cat, stack
from .....ops.unary import tanh
from ...quantized import FloatFunctional

_GATES = ("input", "forget", "cell", "output")


class LSTMCell(nn.Module):
    """``nn.LSTMCell`` from linear layers and wrapped operators (Hochreiter & Schmidhuber 1997).

    Args:
        input_dim, hidden_dim: sizes of the input and of the state.
        bias: whether there is one.
        device, dtype: of the parameters.
        split_gates: a linear layer for each gate instead of one for all four.

    Shape:
        input ``(N, input_dim)``; state and result two of ``(N, hidden_dim)``.

    Example:
        >>> import rushlight as torch
        >>> h, c = LSTMCell(2, 3)(torch.zeros(5, 2))
        >>> h.shape
        torch.Size([5, 3])
    """

    _FLOAT_MODULE = nn.LSTMCell
    __constants__ = ["split_gates"]

    def __init__(
        self, input_dim: int, hidden_dim: int, bias: bool = True, device: Any = None, dtype: Any = None, *,
        split_gates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_dim, hidden_dim, bias
        self.split_gates = split_gates
        made = {"bias": bias, "device": device, "dtype": dtype}
        self.igates: Any
        self.hgates: Any
        self.gates: Any
        if split_gates:
            self.igates, self.hgates, self.gates = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
            for gate in _GATES:
                self.igates[gate] = nn.Linear(input_dim, hidden_dim, **made)
                self.hgates[gate] = nn.Linear(hidden_dim, hidden_dim, **made)
                self.gates[gate] = FloatFunctional()
        else:
            self.igates = nn.Linear(input_dim, 4 * hidden_dim, **made)
            self.hgates = nn.Linear(hidden_dim, 4 * hidden_dim, **made)
            self.gates = FloatFunctional()
        self.input_gate, self.forget_gate = nn.Sigmoid(), nn.Sigmoid()
        self.cell_gate, self.output_gate = nn.Tanh(), nn.Sigmoid()
        self.fgate_cx, self.igate_cgate = FloatFunctional(), FloatFunctional()
        self.fgate_cx_igate_cgate, self.ogate_cy = FloatFunctional(), FloatFunctional()
        # What torch's integer form begins with; kept for programs that set them.
        self.initial_hidden_state_qparams, self.initial_cell_state_qparams = (1.0, 0), (1.0, 0)
        self.hidden_state_dtype = self.cell_state_dtype = dtypes.quint8

    def forward(self, x: Any, hidden: Any = None) -> Any:
        """One step: the new state and the new cell."""
        if hidden is None or hidden[0] is None or hidden[1] is None:
            hidden = self.initialize_hidden(x.shape[0])
        hx, cx = hidden
        if self.split_gates:
            sums = [self.gates[g].add(self.igates[g](x), self.hgates[g](hx)) for g in _GATES]
        else:
            sums = self.gates.add(self.igates(x), self.hgates(hx)).chunk(4, 1)
        modules = (self.input_gate, self.forget_gate, self.cell_gate, self.output_gate)
        let_in, keep, new, let_out = [module(s) for module, s in zip(modules, sums)]
        kept, added = self.fgate_cx.mul(keep, cx), self.igate_cgate.mul(let_in, new)
        cy = self.fgate_cx_igate_cgate.add(kept, added)
        return self.ogate_cy.mul(let_out, tanh(cy)), cy

    def initialize_hidden(self, batch_size: int, is_quantized: bool = False) -> Any:
        """State and cell of zeros.

        Raises:
            NotImplementedError: quantized ones.
        """
        if is_quantized:
            raise NotImplementedError(
                "initialize_hidden(is_quantized=True) is not supported by rushlight: its tensors hold floats on the "
                "quantization grid. Leave it False."
            )
        return zeros(batch_size, self.hidden_size), zeros(batch_size, self.hidden_size)

    def _get_name(self) -> str:
        return "QuantizableLSTMCell"

    @classmethod
    def from_params(cls, wi: Any, wh: Any, bi: Any = None, bh: Any = None, split_gates: bool = False) -> Any:
        """A cell with these weights and biases, gates one after the other.

        Raises:
            AssertionError: one bias without the other.
        """
        if (bi is None) != (bh is None):
            raise AssertionError("bi and bh must both be None or both have values")
        cell = cls(wi.shape[1], wh.shape[1], bias=bi is not None, split_gates=split_gates)
        for weight, bias, gates in ((wi, bi, cell.igates), (wh, bh, cell.hgates)):
            layers = list(gates.values()) if split_gates else [gates]
            parts = weight.chunk(4, dim=0) if split_gates else [weight]
            for layer, part in zip(layers, parts):
                layer.weight = Parameter(part)
            if bias is not None:
                for layer, part in zip(layers, bias.chunk(4, dim=0) if split_gates else [bias]):
                    layer.bias = Parameter(part)
        return cell

    @classmethod
    def from_float(cls, other: Any, use_precomputed_fake_quant: bool = False, split_gates: bool = False) -> Any:
        """The form of an ``nn.LSTMCell`` whose parts can be watched.

        Raises:
            AssertionError: a module of another type, or without ``qconfig``.
        """
        if type(other) is not cls._FLOAT_MODULE:
            raise AssertionError(f"Expected module type {cls._FLOAT_MODULE}, got {type(other)}")
        if not hasattr(other, "qconfig"):
            raise AssertionError("The float module must have 'qconfig'")
        observed = cls.from_params(
            other.weight_ih, other.weight_hh, other.bias_ih, other.bias_hh, split_gates=split_gates
        )
        gates = [observed.igates, observed.hgates]
        parts = [layer for g in gates for layer in g.values()] if split_gates else []
        for module in (observed, *gates, *parts):
            module.qconfig = other.qconfig
        return observed


class _LSTMSingleLayer(nn.Module):
    """A cell over time, in one direction."""

    def __init__(
        self, input_dim: int, hidden_dim: int, bias: bool = True, device: Any = None, dtype: Any = None, *,
        split_gates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.cell = LSTMCell(input_dim, hidden_dim, bias, device, dtype, split_gates=split_gates)

    def forward(self, x: Any, hidden: Any = None) -> Any:
        """The states of all steps, and the last state and cell."""
        result = []
        for step in range(x.shape[0]):
            hidden = self.cell(x[step], hidden)
            result.append(hidden[0])
        return stack(result, 0), hidden

    @classmethod
    def from_params(cls, *args: Any, **kwargs: Any) -> Any:
        """A layer around ``LSTMCell.from_params``."""
        cell = LSTMCell.from_params(*args, **kwargs)
        layer = cls(cell.input_size, cell.hidden_size, cell.bias, split_gates=cell.split_gates)
        layer.cell = cell
        return layer


class _LSTMLayer(nn.Module):
    """One layer, in one direction or both."""

    def __init__(
        self, input_dim: int, hidden_dim: int, bias: bool = True, batch_first: bool = False,
        bidirectional: bool = False, device: Any = None, dtype: Any = None, *, split_gates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.batch_first, self.bidirectional = batch_first, bidirectional
        for name in ("layer_fw", "layer_bw")[: 1 + bidirectional]:
            layer = _LSTMSingleLayer(input_dim, hidden_dim, bias, device, dtype, split_gates=split_gates)
            self.add_module(name, layer)

    def forward(self, x: Any, hidden: Any = None) -> Any:
        """The states of all steps, and the last state and cell, of both directions where there are two."""
        if self.batch_first:
            x = x.transpose(0, 1)
        h: Any
        c: Any
        h, c = (None, None) if hidden is None else hidden
        if not self.bidirectional:
            result, last = self.layer_fw(x, None if h is None else (h, c))
        else:
            there, back = [None if h is None else (h[k], c[k]) for k in (0, 1)]
            result, first = self.layer_fw(x, there)
            other, second = self.layer_bw(x.flip(0), back)
            result = cat([result, other.flip(0)], result.dim() - 1)
            last = stack([first[0], second[0]], 0), stack([first[1], second[1]], 0)
        return (result.transpose(0, 1) if self.batch_first else result), tuple(last)

    @classmethod
    def from_float(cls, other: Any, layer_idx: int = 0, qconfig: Any = None, **kwargs: Any) -> Any:
        """A layer with the parameters of layer ``layer_idx`` of an ``nn.LSTM``."""
        if not hasattr(other, "qconfig") and qconfig is None:
            raise AssertionError("other must have qconfig or qconfig must be provided")
        names = ("input_size", "hidden_size", "bias", "batch_first", "bidirectional")
        split = kwargs.get("split_gates", False)
        layer = cls(*(kwargs.get(n, getattr(other, n)) for n in names), split_gates=split)
        layer.qconfig = getattr(other, "qconfig", qconfig)
        for name, end in (("layer_fw", ""), ("layer_bw", "_reverse"))[: 1 + other.bidirectional]:
            held = [
                getattr(other, f"{kind}_l{layer_idx}{end}", None)
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            ]
            setattr(layer, name, _LSTMSingleLayer.from_params(*held, split_gates=split))
        return layer


class LSTM(nn.Module):
    """``nn.LSTM`` from linear layers and wrapped operators; in evaluation mode at first, as in torch.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, bidirectional: those of ``nn.LSTM``.
        dropout: ignored, with a warning.
        device, dtype: of the parameters.
        split_gates: a linear layer for each gate instead of one for all four.

    Shape: that of ``nn.LSTM`` with batches.

    Raises:
        ValueError: a dropout that is no probability.
    """

    _FLOAT_MODULE = nn.LSTM

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None, *,
        split_gates: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.dropout = float(dropout)
        self.training = False
        if dropout > 0:
            warnings.warn(
                "dropout option for quantizable LSTM is ignored. If you are training, please, use nn.LSTM version "
                "followed by `prepare` step.",
                stacklevel=2,
            )
        # Torch feeds a later layer the state of one direction: its input is as wide as the state.
        sizes = [input_size, *[hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(
            _LSTMLayer(size, hidden_size, bias, False, bidirectional, device, dtype, split_gates=split_gates)
            for size in sizes
        )

    def forward(self, x: Any, hidden: Any = None) -> Any:
        """The states of all steps, and the last states and cells of all layers."""
        if self.batch_first:
            x = x.transpose(0, 1)
        directions = 2 if self.bidirectional else 1
        form = (self.num_layers, directions, x.size(1), self.hidden_size)
        if hidden is None:
            nothing = zeros(form[1:], dtype=dtypes.float32, device=x.device).squeeze(0)
            states = [(nothing, nothing)] * self.num_layers
        elif isinstance(hidden[0], (list, tuple)):
            states = hidden
        else:
            h, c = (part.reshape(form) for part in hidden)
            states = [(h[k].squeeze(0), c[k].squeeze(0)) for k in range(self.num_layers)]
        ends = []
        for layer, state in zip(self.layers, states):
            x, end = layer(x, state)
            ends.append(end)
        h, c = (stack([end[k] for end in ends]) for k in (0, 1))
        h, c = (part.reshape(-1, *part.shape[-2:]) for part in (h, c))
        return (x.transpose(0, 1) if self.batch_first else x), (h, c)

    def _get_name(self) -> str:
        return "QuantizableLSTM"

    @classmethod
    def from_float(cls, other: Any, qconfig: Any = None, split_gates: bool = False) -> Any:
        """The form of an ``nn.LSTM`` whose parts can be watched, prepared.

        Raises:
            AssertionError: a module of another type, or no ``qconfig``.
        """
        from ....quantization.quantize import prepare, prepare_qat  # which import this file

        if not isinstance(other, cls._FLOAT_MODULE):
            raise AssertionError(f"Expected module type {cls._FLOAT_MODULE}, got {type(other)}")
        if not hasattr(other, "qconfig") and not qconfig:
            raise AssertionError("other must have qconfig or qconfig must be provided")
        observed = cls(
            other.input_size, other.hidden_size, other.num_layers, other.bias, other.batch_first, other.dropout,
            other.bidirectional, split_gates=split_gates,
        )  # fmt: skip
        observed.qconfig = getattr(other, "qconfig", qconfig)
        for k in range(other.num_layers):
            observed.layers[k] = _LSTMLayer.from_float(other, k, qconfig, batch_first=False, split_gates=split_gates)
        observed.train(other.training)
        return prepare_qat(observed, inplace=True) if other.training else prepare(observed, inplace=True)

    @classmethod
    def from_observed(cls, other: Any) -> Any:
        """Refused, as in torch."""
        raise NotImplementedError(
            "It looks like you are trying to convert a non-quantizable LSTM module. Please, see the examples on "
            "quantizable LSTMs."
        )


__all__ = ["LSTM", "LSTMCell"]
