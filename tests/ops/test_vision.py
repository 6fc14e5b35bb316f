"""Detection operators, against loops over bins and points as the papers define them."""

import math
import subprocess
import sys

import numpy as np
import pytest

import rushlight as torch

offered = torch.ops.torchvision


def between(image, y, x):
    """The value between four pixels; a little outside counts as the border, further outside as nothing."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 1), min(int(x), width - 1)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    above = (1 - fx) * image[top, left] + fx * image[top, right]
    return (1 - fy) * above + fy * ((1 - fx) * image[below, left] + fx * image[below, right])


def align(x, rois, scale, bins_y, bins_x, ratio, aligned, own=False):
    channels = x.shape[1] // (bins_y * bins_x) if own else x.shape[1]
    out = np.zeros((len(rois), channels, bins_y, bins_x))
    for k, (image, *box) in enumerate(rois):
        x1, y1, x2, y2 = (v * scale - (0.5 if aligned or own else 0) for v in box)
        wide, high = x2 - x1, y2 - y1
        if not aligned and not own:
            wide, high = max(wide, 1), max(high, 1)
        many_y = ratio if ratio > 0 else math.ceil(high / bins_y)
        many_x = ratio if ratio > 0 else math.ceil(wide / bins_x)
        for c in range(channels):
            for p in range(bins_y):
                for q in range(bins_x):
                    plane = x[int(image), (c * bins_y + p) * bins_x + q if own else c]
                    points = [
                        between(plane, y1 + (p + (i + 0.5) / many_y) * high / bins_y,
                                x1 + (q + (j + 0.5) / many_x) * wide / bins_x)
                        for i in range(many_y) for j in range(many_x)
                    ]  # fmt: skip
                    out[k, c, p, q] = np.sum(points) / (max(many_y * many_x, 1))
    return out


def nearest(v):
    return int(math.floor(abs(v) + 0.5) * (1 if v >= 0 else -1))


def pool(x, rois, scale, bins_y, bins_x, own):
    channels = x.shape[1] // (bins_y * bins_x) if own else x.shape[1]
    out, where = np.zeros((len(rois), channels, bins_y, bins_x)), np.full((len(rois), channels, bins_y, bins_x), -1)
    height, width = x.shape[2:]
    for k, (image, *box) in enumerate(rois):
        x1, y1, x2, y2 = (nearest(v * scale) for v in box)
        # In R-FCN's form the last pixel is not part of a region, nor the last row and column of a map.
        high, wide = max(y2 - y1 + (not own), 1), max(x2 - x1 + (not own), 1)
        limit_y, limit_x = height - own, width - own
        for p in range(bins_y):
            for q in range(bins_x):
                rows = [min(max(v + y1, 0), limit_y) for v in (p * high // bins_y, -(-(p + 1) * high // bins_y))]
                columns = [min(max(v + x1, 0), limit_x) for v in (q * wide // bins_x, -(-(q + 1) * wide // bins_x))]
                for c in range(channels):
                    plane = x[int(image), (c * bins_y + p) * bins_x + q if own else c]
                    part = plane[slice(*rows), slice(*columns)]
                    if part.size and own:
                        out[k, c, p, q] = part.mean()
                    elif part.size:
                        at = np.unravel_index(part.argmax(), part.shape)
                        out[k, c, p, q] = part[at]
                        where[k, c, p, q] = (rows[0] + at[0]) * width + columns[0] + at[1]
    return out, where


def convolve(x, weight, offset, mask, bias, stride, pad, dilation, groups, parts):
    batch, channels, height, width = x.shape
    outs, per, kh, kw = weight.shape
    oh, ow = offset.shape[2:]
    out = np.zeros((batch, outs, oh, ow)) + bias[:, None, None]
    big = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))  # nothing lies outside
    for n in range(batch):
        for o in range(outs):
            for i in range(per):
                c = o // (outs // groups) * per + i
                part = c // (channels // parts)
                for a in range(kh):
                    for b in range(kw):
                        point = part * kh * kw + a * kw + b
                        for r in range(oh):
                            for s in range(ow):
                                y = r * stride[0] - pad[0] + a * dilation[0] + offset[n, 2 * point, r, s]
                                z = s * stride[1] - pad[1] + b * dilation[1] + offset[n, 2 * point + 1, r, s]
                                if not (-1 < y < height and -1 < z < width):
                                    continue
                                share = 1 if mask is None else mask[n, point, r, s]
                                out[n, o, r, s] += share * weight[o, i, a, b] * between(big[n, c], y + 1, z + 1)
    return out


RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(2, 12, 7, 9))
ROIS = np.array(
    [[0, 1, 1, 6, 5], [1, 0, 0, 8.6, 6.4], [1, 3.2, 2.7, 3.4, 2.9], [0, -4.1, -3.2, 4, 3], [1, 5, 4, 14, 12],
     [1, -2.5, -1.5, 5.5, 3.5], [0, 20, 20, 30, 30], [0, 4.5, 2.5, 2, 1.5]]
)  # fmt: skip


@pytest.mark.parametrize("scale, ratio, aligned", [(1.0, 2, False), (0.5, 3, True), (1.0, -1, True), (1.5, 0, False)])
def test_roi_align(scale, ratio, aligned):
    found = offered.roi_align(torch.tensor(MAPS), torch.tensor(ROIS), scale, 3, 2, ratio, aligned)
    np.testing.assert_allclose(found.numpy(), align(MAPS, ROIS, scale, 3, 2, ratio, aligned), atol=1e-12)


@pytest.mark.parametrize("scale, ratio", [(1.0, 2), (0.5, -1)])
def test_ps_roi_align(scale, ratio):
    rois = ROIS[:-1]
    found, channels = offered.ps_roi_align(torch.tensor(MAPS), torch.tensor(rois), scale, 3, 2, ratio)
    np.testing.assert_allclose(found.numpy(), align(MAPS, rois, scale, 3, 2, ratio, True, own=True), atol=1e-12)
    assert channels.dtype is torch.int32
    assert channels[2].flatten().tolist() == list(range(12))


@pytest.mark.parametrize("scale", [1.0, 0.5, 1.7])
def test_roi_pool(scale):
    maps = np.round(MAPS, 1)  # with equal values, of which the first counts
    found, where = offered.roi_pool(torch.tensor(maps), torch.tensor(ROIS), scale, 3, 2)
    expected, places = pool(maps, ROIS, scale, 3, 2, False)
    np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(where.numpy(), places)
    assert where.dtype is torch.int32


@pytest.mark.parametrize("scale", [1.0, 0.5, 1.7])
def test_ps_roi_pool(scale):
    found, channels = offered.ps_roi_pool(torch.tensor(MAPS), torch.tensor(ROIS), scale, 3, 2)
    np.testing.assert_allclose(found.numpy(), pool(MAPS, ROIS, scale, 3, 2, True)[0], atol=1e-12)
    assert channels.shape == found.shape


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    "stride, pad, dilation, groups, parts", [((1, 1), (0, 0), (1, 1), 1, 1), ((2, 1), (1, 2), (1, 2), 2, 3)]
)
def test_deform_conv2d(masked, stride, pad, dilation, groups, parts):
    x, weight = RNG.normal(size=(2, 6, 5, 6)), RNG.normal(size=(4, 6 // groups, 3, 2))
    oh = (5 + 2 * pad[0] - dilation[0] * 2 - 1) // stride[0] + 1
    ow = (6 + 2 * pad[1] - dilation[1] - 1) // stride[1] + 1
    offset = RNG.normal(size=(2, parts * 12, oh, ow)) * 2
    mask = RNG.uniform(size=(2, parts * 6, oh, ow)) if masked else np.zeros((2, 1))
    bias = RNG.normal(size=4)
    found = offered.deform_conv2d(
        *map(torch.tensor, (x, weight, offset, mask, bias)), *stride, *pad, *dilation, groups, parts, masked
    )
    expected = convolve(x, weight, offset, mask if masked else None, bias, stride, pad, dilation, groups, parts)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_without_offsets_it_is_a_convolution():
    x, weight, bias = torch.randn(2, 4, 6, 6), torch.randn(6, 2, 3, 3), torch.randn(6)
    found = offered.deform_conv2d(
        x, weight, torch.zeros(2, 18, 3, 3), torch.ones(2, 9, 3, 3), bias, 2, 2, 1, 1, 1, 1, 2, 1, True
    )
    expected = torch.nn.functional.conv2d(x, weight, bias, stride=2, padding=1, groups=2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_gradients():
    rois = torch.tensor(ROIS[[0, 1]])
    x = torch.tensor(MAPS[:, :4, :3, :3], requires_grad=True)
    check = torch.autograd.gradcheck
    assert check(lambda x: offered.roi_align(x, rois, 0.6, 2, 2, 2, True), (x,))
    assert check(lambda x: offered.ps_roi_align(x, rois, 0.6, 2, 2, 2)[0], (x,))
    assert check(lambda x: offered.roi_pool(x, rois, 0.6, 2, 2)[0], (x,))
    assert check(lambda x: offered.ps_roi_pool(x, rois, 0.6, 2, 2)[0], (x,))
    wide = rois.clone().requires_grad_()
    offered.roi_align(x, wide, 0.6, 2, 2, 2, True).sum().backward()
    assert wide.grad is None
    torch.manual_seed(0)
    parts = [
        torch.randn(*size, dtype=torch.float64)
        for size in ((1, 2, 3, 3), (2, 1, 2, 2), (1, 8, 2, 2), (1, 4, 2, 2), (2,))
    ]
    parts = [part.requires_grad_() for part in parts]
    assert check(lambda *p: offered.deform_conv2d(*p, 1, 1, 0, 0, 1, 1, 2, 1, True), parts)


def suppressed(boxes, scores, threshold):
    left, kept = list(np.argsort(-scores, kind="stable")), []
    while left:
        best = left.pop(0)
        kept.append(best)
        x1, y1, x2, y2 = boxes[best]
        still = []
        for other in left:
            u1, v1, u2, v2 = boxes[other]
            common = max(0, min(x2, u2) - max(x1, u1)) * max(0, min(y2, v2) - max(y1, v1))
            union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - common
            if not common > threshold * union:
                still.append(other)
        left = still
    return kept


@pytest.mark.parametrize("count, threshold", [(1, 0.5), (16, 0.3), (40, 0.5), (100, 0.1)])
def test_nms(count, threshold):
    corner, size = RNG.uniform(0, 10, (count, 2)), RNG.uniform(1, 8, (count, 2))
    boxes = np.concatenate([corner, corner + size], 1)
    scores = np.round(RNG.uniform(size=count), 1)  # with equal ones, which keep their order
    found = offered.nms(torch.tensor(boxes), torch.tensor(scores), threshold)
    assert found.tolist() == suppressed(boxes, scores, threshold)
    assert found.dtype is torch.int64


def test_nms_at_the_edges():
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [3, 3, 3, 3], [3, 3, 3, 3], [0, 0, 1, 0.5]])
    assert offered.nms(boxes, torch.tensor([0.1, 0.2, 0.3, 0.3, float("nan")]), 0.5).tolist() == [4, 2, 3, 1]
    assert offered.nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
    # Half of the union is common to both: that is not more than half.
    assert offered.nms(boxes[[0, 4]], torch.tensor([1.0, 0.5]), 0.5).tolist() == [0, 1]
    assert offered.nms.default(boxes[:2], torch.ones(2), 0.5).tolist() == [0]


def test_nothing_in_nothing_out():
    x, none = torch.ones(2, 4, 3, 3, requires_grad=True), torch.zeros(0, 5)
    assert offered.roi_align(x, none, 1.0, 2, 2, -1, False).shape == (0, 4, 2, 2)
    assert offered.ps_roi_align(x, none, 1.0, 2, 2, -1)[0].shape == (0, 1, 2, 2)
    assert [part.shape for part in offered.roi_pool(x, none, 1.0, 2, 2)] == [(0, 4, 2, 2)] * 2
    assert [part.shape for part in offered.ps_roi_pool(x, none, 1.0, 2, 2)] == [(0, 1, 2, 2)] * 2
    empty = offered.deform_conv2d(
        torch.ones(0, 1, 3, 3), torch.ones(1, 1, 1, 1), torch.ones(0, 2, 3, 3), torch.ones(0, 1), torch.ones(1),
        1, 1, 0, 0, 1, 1, 1, 1, False,
    )  # fmt: skip
    assert empty.shape == (0, 1, 3, 3)


def test_refusals():
    x, rois = torch.ones(1, 4, 3, 3), torch.tensor([[0.0, 0, 0, 2, 2]])
    for call, message in (
        (lambda: offered.nms(torch.ones(4), torch.ones(1), 0.5), "boxes should be a 2d tensor, got 1D"),
        (lambda: offered.nms(torch.ones(1, 5), torch.ones(1), 0.5), "4 elements in dimension 1, got 5"),
        (lambda: offered.nms(torch.ones(1, 4), torch.ones(1, 1), 0.5), "scores should be a 1d tensor, got 2D"),
        (lambda: offered.nms(torch.ones(2, 4), torch.ones(1), 0.5), "dimension 0, got 2 and 1"),
        (lambda: offered.nms(torch.ones(1, 4), torch.ones(1).double(), 0.5), "dets should have the same type"),
        (lambda: offered.roi_align(x, rois[:, 1:], 1.0, 2, 2, 2, False), r"shape as Tensor\[K, 5\]"),
        (lambda: offered.roi_align(x, rois.double(), 1.0, 2, 2, 2, False), "input should have the same type as rois"),
        (lambda: offered.roi_pool(x, rois.double(), 1.0, 2, 2), "input and rois must have the same dtype"),
        (lambda: offered.ps_roi_pool(x, rois, 1.0, 3, 3), "input channels must be a multiple of pooling height"),
    ):
        with pytest.raises(RuntimeError, match=message):
            call()
    good = [
        torch.ones(1, 2, 3, 3),
        torch.ones(2, 2, 2, 2),
        torch.ones(1, 8, 2, 2),
        torch.ones(1, 4, 2, 2),
        torch.ones(2),
    ]
    for place, value, message in (
        (2, torch.ones(1, 6, 2, 2), r"offset.shape\[1\] is not valid: got: 6 expected: 8"),
        (3, torch.ones(1, 3, 2, 2), r"mask.shape\[1\] is not valid: got: 3 expected: 4"),
        (2, torch.ones(1, 8, 3, 2), r"offset output dims: \(3, 2\) - computed output dims: \(2, 2\)"),
        (2, torch.ones(2, 8, 2, 2), "invalid batch size of offset"),
        (1, torch.ones(2, 1, 2, 2), "2 channels do not fit weight"),
    ):
        parts = [value if i == place else part for i, part in enumerate(good)]
        with pytest.raises(RuntimeError, match=message):
            offered.deform_conv2d(*parts, 1, 1, 0, 0, 1, 1, 1, 1, True)
    for options, message in (
        ((0, 1, 0, 0, 1, 1), "stride_h: 0 stride_w: 1"), ((1, 1, 0, -1, 1, 1), "pad_h: 0 pad_w: -1"),
        ((1, 1, 0, 0, 1, 0), "dilation_h: 1 dilation_w: 0"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=message):
            offered.deform_conv2d(*good, *options, 1, 1, True)
    nothing = [*good[:2], torch.ones(1, 8, 0, 0), torch.ones(1, 4, 0, 0), good[4]]
    with pytest.raises(RuntimeError, match="Calculated output size too small - out_h: 0 out_w: 0"):
        offered.deform_conv2d(*nothing, 1, 1, 0, 0, 3, 3, 1, 1, True)
    with pytest.raises(AttributeError, match="has no attribute 'box_iou_rotated'"):
        _ = offered.box_iou_rotated
    with pytest.raises(NotImplementedError, match="Call it with dequantized values"):
        offered.qnms()
    with pytest.raises(NotImplementedError, match=r"Gradients go through backward\(\)"):
        offered._roi_align_backward()


def test_inside_compiled_functions():
    x, rois = torch.tensor(MAPS).float(), torch.tensor(ROIS).float()

    def step(x, rois):
        return offered.roi_align(x, rois, 1.0, 2, 2, 2, True).sin() + offered.roi_pool(x, rois, 1.0, 2, 2)[0]

    torch.testing.assert_close(torch.compile(step, fullgraph=True)(x, rois), step(x, rois), atol=1e-5, rtol=1e-5)


def test_what_depends_on_values_runs_eagerly():
    boxes, scores = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]]), torch.tensor([0.5, 0.9, 0.1])

    def kept(boxes, scores):
        return offered.nms(boxes * 1, scores, 0.5) + 1

    with pytest.warns(UserWarning, match="runs eagerly"):
        assert torch.compile(kept)(boxes, scores).tolist() == [2, 3]
    with pytest.raises(NotImplementedError, match="needs a value that is known only when the program runs"):
        torch.compile(kept, fullgraph=True)(boxes, scores)


def test_lower_precision_under_autocast():
    x, rois = torch.tensor(MAPS).bfloat16(), torch.tensor(ROIS[:4]).float()
    kernel = [torch.tensor(RNG.normal(size=size)) for size in ((2, 12, 1, 1), (2, 2, 7, 9), (2, 1, 7, 9), (2,))]
    for call in (
        lambda x: offered.roi_align(x, rois, 1.0, 2, 2, 2, True),
        lambda x: offered.ps_roi_align(x, rois, 1.0, 2, 2, 2)[0],
        lambda x: offered.roi_pool(x, rois, 1.0, 2, 2)[0],
        lambda x: offered.ps_roi_pool(x, rois, 1.0, 2, 2)[0],
        lambda x: offered.deform_conv2d(x, *[part.float() for part in kernel], 1, 1, 0, 0, 1, 1, 1, 1, True),
    ):
        with torch.autocast("cpu"):
            found = call(x)
        assert found.dtype is torch.bfloat16
        torch.testing.assert_close(found.float(), call(x.float()), atol=0.02, rtol=0.02)
    boxes, scores = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]]), torch.tensor([0.5, 0.9, 0.1])
    with torch.autocast("cpu"):
        assert offered.nms(boxes.bfloat16(), scores, 0.5).tolist() == [1, 2]


def test_regions_without_area():
    maps, rois = torch.tensor(MAPS), torch.tensor([[0.0, 4, 2, 4, 2]], dtype=torch.float64)
    assert offered.roi_align(maps, rois, 1.0, 2, 2, 0, True).abs().max().item() == 0
    # As in torchvision, which divides by the number of points here, and there is none.
    assert offered.ps_roi_align(maps, rois, 1.0, 2, 2, 0)[0].isnan().all()


def test_what_a_package_registers_besides_changes_nothing():
    from rushlight import library

    def wrong(*args):
        raise AssertionError("registered by a package")

    library.register_autograd("torchvision::roi_align", wrong, setup_context=wrong)
    library.Library("torchvision", "IMPL").impl("roi_align", wrong, "AutocastCPU")
    library.Library("torchvision", "IMPL", "Meta").impl(offered.roi_align.default, wrong)
    library.register_kernel("torchvision::roi_align", "cpu", wrong)
    x = torch.tensor(MAPS, requires_grad=True)
    offered.roi_align(x, torch.tensor(ROIS), 1.0, 2, 2, 2, True).sum().backward()
    assert x.grad.abs().sum() > 0


def test_torchvisions_compiled_part_is_not_needed(tmp_path):
    torch.ops.load_library(tmp_path / "torchvision" / "_C_stable.so")
    with pytest.raises(OSError, match="Could not load this library"):
        torch.ops.load_library(tmp_path / "torchvision" / "image_stable.so")
    code = "import rushlight as t; print('vision' in dir(t.ops), t.ops.torchvision._cuda_version())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "-1"]
