"""Holds ``nn.functional`` to torch: values, dtypes, shapes and gradients, one row per form of a call."""

import pytest

pytest.importorskip("torch")

from parity._table import bo, check, f, ix, pos, val

M, EDGES = f(3, 4), val([-4.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 7.0])
NAN = val([float("nan"), float("inf"), -float("inf"), 1.0])
INTS = ix(9, 5, low=-4)
IMAGE = f(2, 3, 6, 7)
QKV = [f(2, 5, 4), f(2, 5, 4), f(2, 5, 4)]


def F(t):
    return t.nn.functional


def simple(name, *args, **kwargs):
    """A row's expression: one function with fixed options after the tensors."""
    return lambda t, *tensors: getattr(t.nn.functional, name)(*tensors, *args, **kwargs)


def unary(name, *args, **kwargs):
    """Rows of an activation: ordinary values, its kinks, and what is not finite."""
    label = f"{name} {args or ''}{kwargs or ''}"
    call = simple(name, *args, **kwargs)
    # torch's gelu gives NaN for infinity in its vector loop and infinity outside it.
    finite = [] if name == "gelu" else [(label + " not finite", call, [NAN], "s")]
    return [(label, call, [M], "h"), (label + " edges", call, [EDGES], "d"), *finite]


def _eval_norm(t, x, mean, var, *affine):
    return t.nn.functional.batch_norm(x, mean.detach(), var.detach(), *affine)


def _eval_instance(t, x, mean, var):
    return t.nn.functional.instance_norm(x, mean.detach(), var.detach(), use_input_stats=False)


def _statistics(t, x, mean, var):
    out = F(t).batch_norm(x, mean, var, training=True, momentum=0.3)
    return out, mean, var


def _instance(t, x, mean, var):
    out = F(t).instance_norm(x, mean, var, momentum=0.3)
    return out, mean, var


def _unpool2(t, x):
    return F(t).max_unpool2d(*F(t).max_pool2d(x, 2, return_indices=True), 2)


def _unpool(t, x):
    values, where = F(t).max_pool1d(x, 2, 2, return_indices=True)
    return F(t).max_unpool1d(values, where, 2, 2, output_size=x.shape)


def _renormed(t, index, weight):
    return F(t).embedding(index, weight, max_norm=1.5), weight


def _bag(t, index, weight, scales):
    offsets = t.tensor([0, 2, 2, 5])
    return (
        F(t).embedding_bag(index, weight, offsets, mode="sum", per_sample_weights=scales),
        F(t).embedding_bag(index, weight, offsets),
        F(t).embedding_bag(index, weight, t.tensor([0, 3, 7]), include_last_offset=True),
    )


def _recompute(t, x):
    return F(t).interpolate(x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True)


def _sampled(t, x, grid, padding="zeros"):
    return F(t).grid_sample(x, grid, padding_mode=padding, align_corners=False)


def _nearest(t, x, grid):
    return F(t).grid_sample(x, grid, mode="nearest", align_corners=False)


def _bicubic(t, x, grid, padding="zeros"):
    return F(t).grid_sample(x, grid, mode="bicubic", padding_mode=padding, align_corners=False)


def _causal_any(t, *qkv):
    return F(t).scaled_dot_product_attention(*qkv, is_causal=True)


def _causal(t, q):
    return F(t).scaled_dot_product_attention(q, q * 0.5, q + 1, is_causal=True)


def _masked(t, q, mask):
    mask = mask | (t.arange(5) == 0)
    return F(t).scaled_dot_product_attention(q, q * 0.5, q + 1, attn_mask=mask)


def _grouped(t, q, k):
    return F(t).scaled_dot_product_attention(q, k, k + 1, enable_gqa=True)


# name, expression, inputs, and the dtypes it runs in: d float64 with gradients, s float32, h bfloat16, i int64.
ROWS = [
    # activations
    *unary("relu"),
    *unary("relu6"),
    *unary("hardtanh"),
    *unary("hardtanh", -0.5, 3.0),
    *unary("leaky_relu"),
    *unary("leaky_relu", 0.3),
    *unary("elu"),
    *unary("elu", 1.7),
    *unary("selu"),
    *unary("celu"),
    *unary("celu", alpha=0.5),
    *unary("gelu"),
    *unary("gelu", approximate="tanh"),
    *unary("silu"),
    *unary("mish"),
    *unary("hardswish"),
    *unary("hardsigmoid"),
    *unary("softplus"),
    *unary("softplus", beta=2, threshold=3),
    *unary("softsign"),
    *unary("tanhshrink"),
    *unary("hardshrink"),
    *unary("softshrink", 0.3),
    *unary("threshold", 0.5, 9.0),
    *unary("logsigmoid"),
    *unary("sigmoid"),
    *unary("tanh"),
    *unary("rrelu"),
    *unary("softmax", dim=-1),
    *unary("log_softmax", dim=-1),
    *unary("softmin", dim=0),
    ("activations of ints", lambda t, x: (F(t).relu(x), F(t).relu6(x), F(t).hardtanh(x, -1, 2)), [INTS], "s"),
    ("activations of ints 2", lambda t, x: (F(t).softsign(x), F(t).tanhshrink(x)), [ix(9, 5, low=-4)], "s"),
    ("threshold ints", simple("threshold", 2, 7), [ix(9, 5, low=-4)], "s"),
    ("glu", simple("glu"), [f(3, 6)], "dh"),
    ("glu dim", simple("glu", 0), [f(4, 3)], "d"),
    ("prelu one", simple("prelu"), [f(2, 3, 4), f(1)], "dh"),
    ("prelu channels", simple("prelu"), [f(2, 3, 4), f(3)], "d"),
    ("prelu edges", simple("prelu"), [EDGES, f(1)], "d"),
    ("in place", lambda t, x: F(t).relu(x * 1, inplace=True), [M], "d"),
    ("in place 2", lambda t, x: (F(t).elu_(x * 1, 1.5), F(t).leaky_relu_(x * 2), F(t).selu(x * 1, True)), [M], "d"),
    ("in place 3", lambda t, x: (F(t).threshold_(x * 1, 0.1, 0.2), F(t).hardtanh(x * 2, -1, 1, True)), [M], "d"),
    ("softmax dtype", simple("softmax", -1, dtype=None), [M], "s"),
    ("log_softmax large", simple("log_softmax", 1), [f(2, 5, low=-1e4, high=1e4)], "d"),
    # linear maps
    ("linear", simple("linear"), [f(5, 3), f(4, 3), f(4)], "dh"),
    ("linear no bias", simple("linear"), [f(5, 3), f(4, 3)], "dh"),
    ("linear 1d", simple("linear"), [f(3), f(4, 3), f(4)], "d"),
    ("linear 4d", simple("linear"), [f(2, 3, 4, 3), f(4, 3), f(4)], "d"),
    ("linear vector weight", simple("linear"), [f(5, 3), f(3)], "d"),
    ("linear dot", simple("linear"), [f(3), f(3)], "d"),
    ("linear empty", simple("linear"), [f(0, 3), f(4, 3), f(4)], "s"),
    ("linear ints", simple("linear"), [ix(9, 2, 3), ix(9, 4, 3)], "s"),
    ("bilinear", simple("bilinear"), [f(5, 3), f(5, 2), f(4, 3, 2), f(4)], "d"),
    ("bilinear 3d", simple("bilinear"), [f(2, 5, 3), f(2, 5, 2), f(4, 3, 2)], "d"),
    # convolutions
    ("conv1d", simple("conv1d"), [f(2, 3, 8), f(4, 3, 3), f(4)], "dh"),
    ("conv1d options", simple("conv1d", None, 2, 3, 2), [f(2, 3, 11), f(4, 3, 3)], "d"),
    ("conv2d", simple("conv2d"), [IMAGE, f(4, 3, 3, 3), f(4)], "dh"),
    ("conv2d stride", simple("conv2d", stride=2, padding=1), [IMAGE, f(4, 3, 3, 3), f(4)], "d"),
    ("conv2d pairs", simple("conv2d", stride=(2, 1), padding=(0, 2), dilation=(1, 2)), [IMAGE, f(4, 3, 3, 2)], "d"),
    ("conv2d groups", simple("conv2d", groups=2), [f(2, 4, 5, 5), f(6, 2, 3, 3), f(6)], "d"),
    ("conv2d depthwise", simple("conv2d", groups=4, padding=1), [f(2, 4, 5, 5), f(8, 1, 3, 3)], "d"),
    ("conv2d 1x1", simple("conv2d", stride=2), [IMAGE, f(4, 3, 1, 1)], "d"),
    ("conv2d unbatched", simple("conv2d"), [f(3, 6, 7), f(4, 3, 3, 3), f(4)], "d"),
    ("conv2d same", simple("conv2d", padding="same"), [IMAGE, f(4, 3, 3, 3)], "d"),
    ("conv2d same even", simple("conv2d", padding="same", dilation=2), [IMAGE, f(4, 3, 2, 4)], "d"),
    ("conv2d valid", simple("conv2d", padding="valid"), [IMAGE, f(4, 3, 3, 3)], "d"),
    ("conv2d no batch", simple("conv2d"), [f(0, 3, 6, 7), f(4, 3, 3, 3)], "s"),
    ("conv3d", simple("conv3d", padding=1, stride=(1, 2, 1)), [f(2, 2, 4, 5, 4), f(3, 2, 3, 3, 2), f(3)], "d"),
    ("conv_tbc", simple("conv_tbc", 1), [f(6, 2, 3), f(3, 3, 4), f(4)], "d"),
    ("conv_transpose1d", simple("conv_transpose1d"), [f(2, 3, 5), f(3, 4, 3), f(4)], "d"),
    ("conv_transpose2d", simple("conv_transpose2d"), [f(2, 3, 4, 5), f(3, 4, 3, 3), f(4)], "dh"),
    ("conv_transpose2d options", simple("conv_transpose2d", None, 2, 1, 1, 1, 2), [f(2, 3, 4, 5), f(3, 4, 3, 3)], "d"),
    ("conv_transpose2d groups", simple("conv_transpose2d", groups=2, stride=2), [f(2, 4, 3, 3), f(4, 3, 2, 2)], "d"),
    ("conv_transpose2d crop", simple("conv_transpose2d", padding=(2, 1)), [f(2, 3, 4, 5), f(3, 4, 3, 3)], "d"),
    ("conv_transpose2d unbatched", simple("conv_transpose2d"), [f(3, 4, 5), f(3, 4, 3, 3)], "d"),
    ("conv_transpose3d", simple("conv_transpose3d", None, 2, 0, 1), [f(1, 2, 3, 2, 3), f(2, 3, 2, 2, 2)], "d"),
    # normalisation
    ("batch_norm train", lambda t, x, w, b: F(t).batch_norm(x, None, None, w, b, True), [IMAGE, f(3), f(3)], "dh"),
    ("batch_norm train plain", lambda t, x: F(t).batch_norm(x, None, None, training=True, eps=0.1), [f(5, 3)], "d"),
    ("batch_norm eval", _eval_norm, [IMAGE, f(3), pos(3), f(3), f(3)], "dh"),
    ("batch_norm eval plain", _eval_norm, [f(5, 3), f(3), pos(3)], "d"),
    ("batch_norm 1 row eval", _eval_norm, [f(1, 3), f(3), pos(3)], "d"),
    ("batch_norm statistics", lambda t, x, m, v: _statistics(t, x, m, v), [f(4, 3, 5), f(3), pos(3)], "s"),
    ("instance_norm", lambda t, x, w, b: F(t).instance_norm(x, weight=w, bias=b), [IMAGE, f(3), f(3)], "d"),
    ("instance_norm statistics", lambda t, x, m, v: _instance(t, x, m, v), [f(4, 3, 5), f(3), pos(3)], "s"),
    ("instance_norm eval", _eval_instance, [f(4, 3, 5), f(3), pos(3)], "d"),
    ("layer_norm", lambda t, x, w, b: F(t).layer_norm(x, (4,), w, b), [f(2, 3, 4), f(4), f(4)], "dh"),
    ("layer_norm two", lambda t, x, w, b: F(t).layer_norm(x, (3, 4), w, b, 0.1), [f(2, 3, 4), f(3, 4), f(3, 4)], "d"),
    ("layer_norm plain", lambda t, x: F(t).layer_norm(x, [4]), [f(2, 3, 4)], "dh"),
    ("layer_norm weight only", lambda t, x, w: F(t).layer_norm(x, [4], w), [f(2, 3, 4), f(4)], "d"),
    ("group_norm", lambda t, x, w, b: F(t).group_norm(x, 2, w, b), [f(2, 4, 3, 3), f(4), f(4)], "dh"),
    ("group_norm plain", lambda t, x: F(t).group_norm(x, 4, eps=0.1), [f(2, 4, 3)], "d"),
    ("rms_norm", lambda t, x, w: F(t).rms_norm(x, (4,), w), [f(2, 3, 4), f(4)], "dh"),
    ("rms_norm eps", lambda t, x: F(t).rms_norm(x, (3, 4), eps=0.1), [f(2, 3, 4)], "d"),
    ("rms_norm zeros", lambda t, x: F(t).rms_norm(x * 0, (4,)), [f(2, 3, 4)], "s"),
    ("local_response_norm", simple("local_response_norm", 3), [f(2, 5, 3)], "d"),
    ("local_response_norm even", simple("local_response_norm", 4, 0.1, 0.5, 2.0), [f(2, 5, 3, 3)], "d"),
    ("normalize", simple("normalize"), [M], "dh"),
    ("normalize p", simple("normalize", p=3.0, dim=0), [M], "d"),
    ("normalize 1", simple("normalize", p=1, dim=-1), [M], "d"),
    ("normalize zeros", lambda t, x: F(t).normalize(x * 0), [M], "d"),
    # pooling
    ("max_pool1d", simple("max_pool1d", 2), [f(2, 3, 7)], "dh"),
    ("max_pool1d options", simple("max_pool1d", 3, 2, 1, 2), [f(2, 3, 9)], "d"),
    ("max_pool1d 2d", simple("max_pool1d", 2), [f(3, 7)], "d"),
    ("max_pool2d", simple("max_pool2d", 2), [IMAGE], "dh"),
    ("max_pool2d overlap", simple("max_pool2d", 3, 2, 1), [IMAGE], "d"),
    ("max_pool2d pairs", simple("max_pool2d", (2, 3), (1, 2), (1, 0), (2, 1)), [IMAGE], "d"),
    ("max_pool2d ceil", simple("max_pool2d", 3, 2, 1, ceil_mode=True), [f(2, 3, 6, 8)], "d"),
    ("max_pool2d ceil 2", simple("max_pool2d", 2, 2, ceil_mode=True), [f(2, 3, 5, 7)], "d"),
    ("max_pool2d indices", simple("max_pool2d", 3, 2, 1, return_indices=True), [IMAGE], "d"),
    ("max_pool2d indices dilated", simple("max_pool2d", 2, 1, 0, 2, True, True), [IMAGE], "d"),
    ("max_pool2d ties", simple("max_pool2d", 3, 1, 1, return_indices=True), [ix(3, 2, 2, 6, 6)], "s"),
    ("max_pool2d ties gradient", lambda t, x: F(t).max_pool2d(x.round(), 3, 2), [f(1, 2, 8, 8)], "d"),
    ("max_pool2d relu ties", lambda t, x: F(t).max_pool2d(F(t).relu(x - 1), 2), [f(1, 2, 8, 8)], "d"),
    ("max_pool2d nan", simple("max_pool2d", 2, return_indices=True), [val([[NAN.shape, NAN.shape]])], "s"),
    ("max_pool2d unbatched", simple("max_pool2d", 2), [f(3, 6, 7)], "d"),
    ("max_pool3d", simple("max_pool3d", 2, return_indices=True), [f(1, 2, 4, 5, 6)], "d"),
    ("max_unpool2d", _unpool2, [f(1, 2, 4, 6)], "d"),
    ("max_unpool1d", lambda t, x: _unpool(t, x), [f(1, 2, 9)], "d"),
    ("avg_pool1d", simple("avg_pool1d", 2), [f(2, 3, 7)], "dh"),
    ("avg_pool1d padded", simple("avg_pool1d", 3, 2, 1, True, False), [f(2, 3, 8)], "d"),
    ("avg_pool2d", simple("avg_pool2d", 2), [IMAGE], "dh"),
    ("avg_pool2d padded", simple("avg_pool2d", 3, 2, 1), [IMAGE], "d"),
    ("avg_pool2d not counted", simple("avg_pool2d", 3, 2, 1, count_include_pad=False), [IMAGE], "d"),
    ("avg_pool2d ceil", simple("avg_pool2d", 3, 2, 1, True), [f(2, 3, 6, 8)], "d"),
    ("avg_pool2d ceil not counted", simple("avg_pool2d", 3, 2, 1, True, False), [f(2, 3, 6, 8)], "d"),
    ("avg_pool2d divisor", simple("avg_pool2d", (2, 3), divisor_override=5), [IMAGE], "d"),
    ("avg_pool2d ints", simple("avg_pool2d", 2), [ix(90, 1, 1, 4, 4, low=-90)], "s"),
    ("avg_pool3d", simple("avg_pool3d", 2, 1, 1), [f(1, 2, 4, 3, 4)], "d"),
    ("lp_pool1d", simple("lp_pool1d", 3, 2), [pos(1, 2, 7)], "d"),
    ("lp_pool2d", simple("lp_pool2d", 2, 3, 2), [pos(1, 2, 7, 8)], "d"),
    ("lp_pool2d inf", simple("lp_pool2d", float("inf"), 2), [f(1, 2, 6, 6)], "d"),
    ("adaptive_avg_pool1d", simple("adaptive_avg_pool1d", 3), [f(2, 3, 7)], "dh"),
    ("adaptive_avg_pool2d 1", simple("adaptive_avg_pool2d", 1), [IMAGE], "dh"),
    ("adaptive_avg_pool2d", simple("adaptive_avg_pool2d", (3, 4)), [IMAGE], "d"),
    ("adaptive_avg_pool2d None", simple("adaptive_avg_pool2d", (None, 2)), [IMAGE], "d"),
    ("adaptive_avg_pool2d larger", simple("adaptive_avg_pool2d", (8, 7)), [f(3, 6, 7)], "d"),
    ("adaptive_avg_pool3d", simple("adaptive_avg_pool3d", (2, 3, 1)), [f(1, 2, 4, 5, 3)], "d"),
    ("adaptive_max_pool1d", simple("adaptive_max_pool1d", 3, True), [f(2, 3, 7)], "d"),
    ("adaptive_max_pool2d", simple("adaptive_max_pool2d", (3, 4)), [IMAGE], "d"),
    ("adaptive_max_pool2d indices", simple("adaptive_max_pool2d", (4, 7), True), [IMAGE], "d"),
    ("adaptive_max_pool2d ties", simple("adaptive_max_pool2d", (4, 2), True), [f(1, 2, 7, 6, high=-1.9)], "d"),
    ("adaptive_max_pool3d", simple("adaptive_max_pool3d", 2, True), [f(1, 2, 4, 5, 3)], "d"),
    # tables
    ("embedding", lambda t, i, w: F(t).embedding(i, w), [ix(5, 2, 3), f(5, 4)], "dh"),
    ("embedding int32", lambda t, i, w: F(t).embedding(i, w), [ix(5, 7, dtype="int32"), f(5, 4)], "d"),
    ("embedding padding", lambda t, i, w: F(t).embedding(i, w, 2), [ix(4, 9), f(4, 3)], "d"),
    ("embedding padding end", lambda t, i, w: F(t).embedding(i, w, -1), [ix(4, 9), f(4, 3)], "d"),
    ("embedding by freq", lambda t, i, w: F(t).embedding(i, w, scale_grad_by_freq=True), [ix(4, 9), f(4, 3)], "d"),
    ("embedding max_norm", lambda t, i, w: _renormed(t, i, w), [ix(4, 3), f(6, 3)], "s"),
    ("embedding scalar", lambda t, i, w: F(t).embedding(i, w), [val(3, "int64"), f(6, 3)], "d"),
    ("embedding_bag", lambda t, i, w: F(t).embedding_bag(i, w), [ix(6, 3, 4), f(6, 2)], "d"),
    ("embedding_bag sum", lambda t, i, w, s: _bag(t, i, w, s), [ix(6, 7), f(6, 2), f(7)], "d"),
    ("embedding_bag max", lambda t, i, w: F(t).embedding_bag(i, w, mode="max"), [ix(6, 3, 4), f(6, 2)], "d"),
    ("embedding_bag padding", lambda t, i, w: F(t).embedding_bag(i, w, padding_idx=1), [ix(3, 3, 4), f(6, 2)], "d"),
    ("one_hot", lambda t, i: (F(t).one_hot(i), F(t).one_hot(i, 7)), [ix(5, 2, 3)], "s"),
    # padding, resizing
    ("pad", simple("pad", (1, 2)), [M], "dshi"),
    ("pad value", simple("pad", (1, 0, 2, 1), value=1.5), [M], "dsi"),
    ("pad negative", simple("pad", (-1, 2, 1, -1)), [M], "d"),
    ("pad reflect", simple("pad", (2, 3), "reflect"), [M], "d"),
    ("pad reflect 2d", simple("pad", (1, 2, 2, 1), "reflect"), [IMAGE], "d"),
    ("pad reflect 3d", simple("pad", (1, 1, 0, 1, 2, 1), "reflect"), [f(1, 2, 4, 3, 4)], "d"),
    ("pad reflect negative", simple("pad", (-1, 2), "reflect"), [f(1, 1, 5)], "d"),
    ("pad replicate", simple("pad", (2, 5), "replicate"), [M], "d"),
    ("pad replicate 2d", simple("pad", (1, 2, 7, 1), "replicate"), [IMAGE], "d"),
    ("pad circular", simple("pad", (2, 4), "circular"), [M], "d"),
    ("pad circular 2d", simple("pad", (1, 2, 2, 6), "circular"), [IMAGE], "d"),
    ("pad circular negative", simple("pad", (-1, 2), "circular"), [f(1, 1, 5)], "d"),
    ("interpolate nearest", simple("interpolate", scale_factor=2), [IMAGE], "d"),
    ("interpolate nearest size", simple("interpolate", (4, 10)), [IMAGE], "d"),
    ("interpolate nearest 1.5", simple("interpolate", scale_factor=1.5), [f(2, 3, 7)], "d"),
    ("interpolate exact", simple("interpolate", (4, 10), mode="nearest-exact"), [IMAGE], "d"),
    ("interpolate linear", simple("interpolate", 11, mode="linear"), [f(2, 3, 7)], "d"),
    ("interpolate bilinear", simple("interpolate", (9, 5), mode="bilinear"), [IMAGE], "dh"),
    ("interpolate corners", simple("interpolate", (9, 5), mode="bilinear", align_corners=True), [IMAGE], "d"),
    ("interpolate factor", simple("interpolate", scale_factor=(1.7, 0.6), mode="bilinear"), [IMAGE], "d"),
    ("interpolate recompute", lambda t, x: _recompute(t, x), [IMAGE], "d"),
    ("interpolate bicubic", simple("interpolate", (9, 5), mode="bicubic"), [IMAGE], "d"),
    ("interpolate bicubic corners", simple("interpolate", (9, 5), mode="bicubic", align_corners=True), [IMAGE], "d"),
    ("interpolate antialias", simple("interpolate", (3, 5), mode="bilinear", antialias=True), [IMAGE], "d"),
    ("interpolate antialias cubic", simple("interpolate", (3, 9), mode="bicubic", antialias=True), [IMAGE], "d"),
    ("interpolate lanczos", simple("interpolate", (3, 9), mode="lanczos", antialias=True), [IMAGE], "d"),
    ("interpolate trilinear", simple("interpolate", (2, 5, 4), mode="trilinear"), [f(1, 2, 3, 4, 3)], "d"),
    ("interpolate area", simple("interpolate", (3, 4), mode="area"), [IMAGE], "d"),
    ("grid_sample", _sampled, [f(2, 3, 5, 4), f(2, 3, 6, 2, low=-1.3, high=1.3)], "d"),
    ("grid_sample corners", simple("grid_sample", align_corners=True), [f(2, 3, 5, 4), f(2, 3, 6, 2, low=-1.3)], "d"),
    ("grid_sample border", lambda t, x, g: _sampled(t, x, g, "border"), [f(2, 3, 5, 4), f(2, 3, 6, 2)], "d"),
    ("grid_sample reflection", lambda t, x, g: _sampled(t, x, g, "reflection"), [f(2, 3, 5, 4), f(2, 3, 6, 2)], "d"),
    ("grid_sample nearest", lambda t, x, g: _nearest(t, x, g), [f(2, 3, 5, 4), f(2, 3, 6, 2, low=-1.2, high=1.2)], "d"),
    ("grid_sample bicubic", lambda t, x, g: _bicubic(t, x, g), [f(2, 3, 5, 4), f(2, 3, 6, 2, low=-1.2, high=1.2)], "d"),
    ("grid_sample bicubic border", lambda t, x, g: _bicubic(t, x, g, "border"), [f(2, 3, 5, 4), f(2, 3, 6, 2)], "d"),
    ("grid_sample bicubic mirror", lambda t, x, g: _bicubic(t, x, g, "reflection"), [f(2, 3, 5, 4), f(2, 3, 6, 2)], "d"),
    ("grid_sample 3d", simple("grid_sample", align_corners=False), [f(1, 2, 3, 5, 4), f(1, 2, 3, 2, 3, low=-1.2)], "d"),
    ("affine_grid", simple("affine_grid", (2, 3, 4, 5), align_corners=False), [f(2, 2, 3)], "d"),
    ("affine_grid corners", simple("affine_grid", (2, 3, 4, 5), align_corners=True), [f(2, 2, 3)], "d"),
    ("affine_grid 3d", simple("affine_grid", (2, 3, 4, 5, 2), align_corners=False), [f(2, 3, 4)], "d"),
    ("pixel_shuffle", simple("pixel_shuffle", 2), [f(2, 8, 3, 2)], "d"),
    ("pixel_unshuffle", simple("pixel_unshuffle", 2), [f(2, 2, 6, 4)], "d"),
    ("channel_shuffle", simple("channel_shuffle", 2), [f(2, 6, 3, 2)], "d"),
    ("unfold", simple("unfold", (2, 3), 1, (1, 0), 2), [IMAGE], "d"),
    ("unfold dilated", simple("unfold", 2, dilation=2), [f(3, 6, 7)], "d"),
    ("fold", simple("fold", (4, 5), (2, 3), 1, 0, 1), [f(2, 12, 9)], "d"),
    ("fold options", simple("fold", (6, 7), 3, padding=1, stride=2), [f(2, 18, 12)], "d"),
    # distances
    ("cosine_similarity", simple("cosine_similarity"), [M, M], "dh"),
    ("cosine_similarity dim", simple("cosine_similarity", dim=0), [M, f(4)], "d"),
    ("cosine_similarity zeros", lambda t, a, b: F(t).cosine_similarity(a * 0, b), [M, M], "d"),
    ("pairwise_distance", simple("pairwise_distance"), [M, M], "d"),
    ("pairwise_distance options", simple("pairwise_distance", 3.0, 0.1, True), [M, f(4)], "d"),
    ("pdist", simple("pdist"), [M], "d"),
    # attention
    ("attention", simple("scaled_dot_product_attention"), [f(2, 3, 5, 4), f(2, 3, 6, 4), f(2, 3, 6, 7)], "dh"),
    ("attention causal", _causal_any, QKV, "d"),
    ("attention causal cut", _causal_any, [f(2, 5, 4), f(2, 7, 4), f(2, 7, 4)], "d"),
    ("attention causal long", lambda t, q: _causal(t, q), [f(1, 2, 256, 8)], "d"),
    ("attention mask", simple("scaled_dot_product_attention"), [f(2, 5, 4), f(2, 6, 4), f(2, 6, 4), f(5, 6)], "d"),
    ("attention bool", lambda t, q, m: _masked(t, q, m), [f(2, 5, 4), bo(2, 5, 5)], "d"),
    ("attention scale", simple("scaled_dot_product_attention", scale=0.3), [f(5, 4), f(6, 4), f(6, 4)], "d"),
    ("attention grouped", lambda t, q, k: _grouped(t, q, k), [f(2, 4, 5, 3), f(2, 2, 5, 3)], "d"),
]  # fmt: skip

_DTYPES = {"d": "float64", "s": "float32", "h": "bfloat16", "i": "int64"}


@pytest.mark.parity
@pytest.mark.parametrize(("name", "fn", "specs", "kinds"), ROWS, ids=[row[0] for row in ROWS])
def test_row(name, fn, specs, kinds):
    # torch's hardsigmoid multiplies by the float32 nearest to 1/6 in float64 too.
    tol = (1e-6, 1e-8) if name.startswith("hardsigmoid") and kinds == "d" else None
    check(name, fn, specs, tuple(_DTYPES[kind] for kind in kinds), tol)
