"""The functions of ``torch.nn.functional``. Re-exports only; may import the operators."""

# ruff: noqa: F401

from ..._errors import missing_name as _missing_name
from ...ops._synonyms import export as _export
from ...ops.nn_activation import (
    celu_,
    elu_,
    gelu,
    hardshrink,
    hardtanh_,
    leaky_relu_,
    logsigmoid,
    prelu,
    relu_,
    rrelu_,
    selu_,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold_,
)
from ...ops.nn_attention import scaled_dot_product_attention
from ...ops.nn_conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_tbc,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from ...ops.nn_ctc import ctc_loss
from ...ops.nn_distance import (
    cosine_embedding_loss,
    cosine_similarity,
    normalize,
    pairwise_distance,
    pdist,
    triplet_margin_loss,
)
from ...ops.nn_fold import channel_shuffle, fold, native_channel_shuffle, pixel_shuffle, pixel_unshuffle, unfold
from ...ops.nn_grouped import grouped_mm
from ...ops.nn_linear import bilinear, linear
from ...ops.nn_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    multilabel_soft_margin_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
)
from ...ops.nn_loss_class import cross_entropy, multi_margin_loss, multilabel_margin_loss, nll_loss
from ...ops.nn_pad import pad
from ...ops.nn_pool import (
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from ...ops.nn_pool_fractional import (
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
)
from ...ops.nn_pool_mean import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
)
from ...ops.nn_resize import affine_grid, grid_sample, interpolate
from .activation import (
    celu,
    elu,
    glu,
    gumbel_softmax,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    mish,
    relu,
    relu6,
    rrelu,
    selu,
    sigmoid,
    silu,
    softmax,
    softmin,
    tanh,
    threshold,
)
from .activation import threshold as _threshold
from .attention import _canonical_mask, _none_or_dtype, multi_head_attention_forward
from .dropout import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from .loss import linear_cross_entropy, triplet_margin_with_distance_loss
from .normalization import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, rms_norm
from .resize import upsample, upsample_bilinear, upsample_nearest
from .scaled import ScalingType, SwizzleType, scaled_grouped_mm, scaled_mm
from .sparse import embedding, embedding_bag, one_hot

# The numbers by which torch's kernels know the modes of ``grid_sample``.
GRID_SAMPLE_INTERPOLATION_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
GRID_SAMPLE_PADDING_MODES = {"zeros": 0, "border": 1, "reflection": 2}

# torch writes the other functions of this namespace in Python, which take no second names of keywords.
_export(
    globals(),
    [
        "adaptive_avg_pool1d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "conv1d", "conv2d", "conv3d", "conv_tbc",
        "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "one_hot",
    ],
)  # fmt: skip


def __getattr__(name: str):
    if name == "grad":
        from .. import grad

        return grad
    raise _missing_name(__name__, name)
