"""Owns which operators autocast runs in which precision, and the casts of their arguments.

May import the tensor cell, modes and dtypes. The operators' door asks ``state.autocast``, which is a ``Casts``.
"""

from __future__ import annotations

from typing import Any

from .. import dtypes
from .._graph.modes import state
from .._tensor.tensor import Tensor

_LOSSES = (
    "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy_with_logits cross_entropy "
    "cross_entropy_probabilities nll_loss kl_div cosine_embedding_loss hinge_embedding_loss poisson_nll_loss "
    "margin_ranking_loss multilabel_margin_loss multi_margin_loss triplet_margin_loss soft_margin_loss"
)
_PRODUCTS = (
    "matmul mm bmm addmm baddbmm addbmm linear convolution conv_transpose scaled_dot_product_attention einsum "
    "linalg_multi_dot prelu linalg_vecdot in_projection attend rnn grouped_mm"
)
LOW, FULL, WIDEST, BANNED = "low", "float32", "widest", "banned"


def _table(**groups: str) -> dict[str, str]:
    return {name: kind for kind, names in groups.items() for name in names.split()}


# By operator, as torch has it on the CPU.
_CPU = _table(
    low=_PRODUCTS + " tensordot",
    float32=_LOSSES + " binary_cross_entropy multilabel_soft_margin_loss ctc_loss cdist prod grid_sampler pad quantile "
    "nanquantile trace stft fft_r2c fft_c2r linalg_cholesky_ex cholesky_inverse cholesky_solve linalg_inv_ex "
    "linalg_svd linalg_svdvals linalg_qr geqrf ormqr linalg_eigh linalg_eigvalsh linalg_eig linalg_eigvals "
    "linalg_lstsq linalg_solve_ex linalg_solve_triangular linalg_matrix_rank linalg_pinv linalg_householder_product",
    widest="index_copy cat",
)
# And on accelerators.
_OTHER = _table(
    low=_PRODUCTS + " addmv addr mv rnn_cell",
    float32=_LOSSES + " acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow softplus "
    "native_layer_norm rms_norm native_group_norm linalg_vector_norm linalg_matrix_norm cosine_similarity dist pdist "
    "cdist renorm logsumexp upsample prod softmax log_softmax cumprod cumsum sum",
    widest="addcdiv addcmul atan2 bilinear linalg_cross dot vdot grid_sampler index_put tensordot scatter_add cat",
    banned="binary_cross_entropy",
)
# Operators that torch casts for three spatial dimensions only, and where that number stands.
_SPATIAL = {"avg_pool": "nd", "adaptive_avg_pool": "nd"}
_BANNED = (
    "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast.\nMany models use a sigmoid "
    "layer right before the binary cross entropy layer.\nIn this case, combine the two layers using "
    "torch.nn.functional.binary_cross_entropy_with_logits\nor torch.nn.BCEWithLogitsLoss.  "
    "binary_cross_entropy_with_logits and BCEWithLogits are\nsafe to autocast."
)


class Casts:
    """The settings in force, and the weights that were cast under them.

    Two are equal where their settings are: compiled programs depend on nothing else.

    Args:
        kinds: the dtype for each type of device on which autocast is on.
        keep: whether casts of parameters are kept until the outermost block ends.
    """

    def __init__(self, kinds: dict[str, dtypes.dtype], keep: bool):
        self.kinds, self.keep = kinds, keep
        self.kept: dict = {}

    def __eq__(self, other) -> bool:
        return isinstance(other, Casts) and other.kinds == self.kinds

    def __hash__(self) -> int:
        return hash(tuple(sorted((where, kind.name) for where, kind in self.kinds.items())))

    def __repr__(self) -> str:
        return "autocast(" + ", ".join(f"{where}: {kind!r}" for where, kind in self.kinds.items()) + ")"

    def cast(self, op: Any, bound: Any) -> Any:
        """The arguments of an operator in the precision that it runs in.

        Raises:
            RuntimeError: the operator is not safe in low precision.
        """
        where = _device(bound)
        low = self.kinds.get(where)
        if low is None:
            return bound
        rule = (_CPU if where == "cpu" else _OTHER).get(op.name)
        if rule is None:
            spatial = _SPATIAL.get(op.name)
            if spatial is None or where != "cpu" or bound[op.index[spatial]] != 3:
                return bound
            rule = FULL
        if rule == BANNED:
            raise RuntimeError(_BANNED)
        wanted = low if rule == LOW else dtypes.float32
        if rule == WIDEST:
            found = {x.dtype for x in _tensors(bound) if _eligible(x, where)}
            if len(found) < 2:
                return bound
            wanted = dtypes.float32
        return [self._argument(value, where, wanted) for value in bound]

    def _argument(self, value: Any, where: str, wanted: dtypes.dtype) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value, where, wanted)
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):
            return [self._tensor(x, where, wanted) for x in value]
        return value

    def _tensor(self, x: Tensor, where: str, wanted: dtypes.dtype) -> Tensor:
        if x.dtype is wanted or not _eligible(x, where):
            return x
        # Parameters are used many times; inside a trace, a compiler sees to that.
        leaf = self.keep and x._requires_grad and x._node is None and x._base is None
        if not leaf or x.dtype is not dtypes.float32 or state.trace is not None or state.vmap is not None:
            return x.to(wanted)
        key = id(x), wanted, state.grad
        held = self.kept.get(key)
        if held is None or held[0] is not x or held[1] != (x._storage, x._storage.version):
            held = self.kept[key] = x, (x._storage, x._storage.version), x.to(wanted)
        return held[2]


def _tensors(bound: Any):
    for value in bound:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            for x in value:
                if isinstance(x, Tensor):
                    yield x


def _device(bound: Any) -> str:
    for x in _tensors(bound):
        return x._storage.device.type
    return ""


def _eligible(x: Any, where: str) -> bool:
    if not isinstance(x, Tensor) or x._storage.device.type != where:
        return False
    kind = x.dtype
    return kind.category == 2 and kind is not dtypes.float64
