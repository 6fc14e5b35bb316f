"""Holds the common operators to torch: values, dtypes, shapes and gradients, one row per form of a call."""

import pytest

pytest.importorskip("torch")

from parity._table import bo, check, f, ix, pos, val

M = f(2, 3)
# name, expression, inputs, and the dtypes it runs in: d float64 with gradients, s float32, h bfloat16, i int64,
# c complex128 with gradients, b bool.
ROWS = [
    # arithmetic
    ("add", lambda t, a, b: t.add(a, b), [M, M], "dshic"),
    ("add broadcast", lambda t, a, b: a + b, [f(3, 1), f(2)], "dsi"),
    ("add alpha", lambda t, a, b: t.add(a, b, alpha=2), [M, M], "dshi"),
    ("add number", lambda t, a: (a + 2, a + 2.5, 2 + a, a + True), [M], "dshi"),
    ("add complex number", lambda t, a: a + 1j, [M], "si"),
    ("add bool", lambda t, a, b: a + b, [bo(4), bo(4)], "s"),
    ("add mixed", lambda t, a, b: (a + b, b + a, a * b), [M, ix(5, 2, 3)], "dsh"),
    ("add 0-dim", lambda t, a, b: a + b, [M, val(1.5, "float64")], "dsh"),
    ("sub", lambda t, a, b: (t.sub(a, b), a - b, a - 1, 1.5 - a), [M, M], "dshic"),
    ("sub alpha", lambda t, a, b: a.sub(b, alpha=3), [M, M], "dsi"),
    ("rsub", lambda t, a, b: t.rsub(a, b), [M, M], "dsi"),
    ("mul", lambda t, a, b: (t.mul(a, b), a * 2, 0.5 * a), [M, f(3)], "dshic"),
    ("div", lambda t, a, b: (t.div(a, b), a / 2, 2 / b), [M, pos(2, 3)], "dshic"),
    ("div floor", lambda t, a, b: t.div(a, b, rounding_mode="floor"), [M, pos(2, 3)], "dshi"),
    ("div trunc", lambda t, a, b: t.div(a, b, rounding_mode="trunc"), [M, pos(2, 3)], "dshi"),
    ("floordiv", lambda t, a, b: (a // b, a // 2, 7 // b), [M, pos(2, 3)], "shi"),
    ("floordiv edges", lambda t, a, b: a // b, [val([1.0, -1.0, 0.0, 5.0, -5.0]), val([0.0, 0.0, 0.0, 0.3, 0.3])], "s"),
    ("remainder", lambda t, a, b: (a % b, a % 2, t.remainder(a, -2)), [M, pos(2, 3)], "dsi"),
    ("remainder of number", lambda t, b: 5 % b, [pos(2, 3)], "si"),
    ("fmod", lambda t, a, b: (t.fmod(a, b), t.fmod(a, -2)), [M, pos(2, 3)], "dsi"),
    ("pow 2", lambda t, a: (a**2, a**3, a**2.0), [M], "dshic"),
    ("pow others", lambda t, a: (a**4, a**5, a**1, a**0), [M], "dsi"),
    ("pow negative", lambda t, a: (a**-1, a**-2, a**0.5, a**-0.5, a**1.7), [pos(2, 3)], "dsh"),
    ("pow int float", lambda t, a: (a**0.5, a**2.0, a**1.5), [ix(5, 4)], "s"),
    ("pow tensor", lambda t, a, b: (t.pow(a, b), 2**b, 2.5**b), [pos(2, 3), M], "dsh"),
    ("pow ints", lambda t, a, b: a**b, [ix(5, 6, low=-4), ix(4, 6)], "s"),
    ("pow zero", lambda t, a, b: a**b, [val([0.0, 0.0, 2.0]), val([0.0, 2.0, 0.0])], "ds"),
    ("float_power", lambda t, a: t.float_power(a, 2), [M], "dsi"),
    ("square", lambda t, a: t.square(a), [M], "dshi"),
    ("neg", lambda t, a: (-a, t.neg(a), +a), [M], "dshic"),
    ("maximum", lambda t, a, b: (t.maximum(a, b), t.minimum(a, b)), [M, M], "dshi"),
    ("maximum ties", lambda t, a, b: (t.maximum(a, b), t.minimum(a, b)), [val([1.0, 2.0]), val([1.0, 3.0])], "ds"),
    ("maximum nan", lambda t, a, b: t.maximum(a, b), [val([float("nan"), 2.0]), val([1.0, float("nan")])], "s"),
    ("fmax", lambda t, a, b: (t.fmax(a, b), t.fmin(a, b)), [val([float("nan"), 2.0]), val([1.0, float("nan")])], "s"),
    ("clamp", lambda t, a: (a.clamp(-1, 1), a.clamp(min=0), a.clamp(max=0.5), t.clip(a, 0, 1)), [M], "dshi"),
    ("clamp bound", lambda t, a: a.clamp(-1.0, 1.0), [val([-1.0, 1.0, 0.0, 2.0])], "ds"),
    ("clamp crossed", lambda t, a: a.clamp(1.0, -1.0), [M], "ds"),
    ("clamp tensors", lambda t, a, lo, hi: t.clamp(a, lo, hi), [M, f(3, high=0), f(3, low=0)], "dsi"),
    ("clamp nan", lambda t, a: a.clamp(0, 1), [val([float("nan"), 2.0])], "ds"),
    ("clamp_min", lambda t, a: (t.clamp_min(a, 0), t.clamp_max(a, 0.5), a.clamp_min(0.5)), [M], "dsi"),
    ("lerp", lambda t, a, b: t.lerp(a, b, 0.3), [M, M], "dsh"),
    ("lerp tensor", lambda t, a, b, w: t.lerp(a, b, w), [M, M, M], "dsh"),
    ("addcmul", lambda t, a, b, c: (t.addcmul(a, b, c), t.addcmul(a, b, c, value=2)), [M, M, M], "dshi"),
    ("addcdiv", lambda t, a, b, c: (t.addcdiv(a, b, c), a.addcdiv(b, c, value=0.5)), [M, M, pos(2, 3)], "dshi"),
    ("atan2", lambda t, a, b: t.atan2(a, b), [M, M], "dshi"),
    ("atan2 origin", lambda t, a, b: t.atan2(a, b), [val([0.0, 1.0]), val([0.0, 0.0])], "ds"),
    ("hypot", lambda t, a, b: t.hypot(a, b), [M, M], "dsh"),
    ("logaddexp", lambda t, a, b: (t.logaddexp(a, b), t.logaddexp2(a, b)), [M, M], "ds"),
    ("copysign", lambda t, a, b: t.copysign(a, b), [M, M], "dsi"),
    ("heaviside", lambda t, a, b: t.heaviside(a, b), [val([-1.0, 0.0, 2.0]), f(3)], "s"),
    ("xlogy", lambda t, a, b: t.xlogy(a, b), [M, pos(2, 3)], "dsi"),
    ("gcd", lambda t, a, b: (t.gcd(a, b), t.lcm(a, b)), [ix(20, 5), ix(20, 5)], "s"),
    # comparison, logic, bits
    ("compare", lambda t, a, b: (a == b, a != b, a < b, a <= b, a > b, a >= b), [M, M], "shi"),
    ("compare number", lambda t, a: (a == 1, a != 1, a < 0.5, a >= 2, a > 1, a == None), [M], "shi"),  # noqa: E711
    ("compare names", lambda t, a, b: (t.greater(a, b), a.less_equal(b), t.eq(a, 1), t.ne(a, b)), [M, M], "si"),
    ("logical", lambda t, a, b: (t.logical_and(a, b), t.logical_or(a, b), t.logical_xor(a, b)), [ix(2, 4), f(4)], "si"),
    ("logical_not", lambda t, a: (t.logical_not(a), a.logical_not()), [ix(2, 4)], "s"),
    ("bitwise", lambda t, a, b: (a & b, a | b, a ^ b, ~a, a << 2, a >> 1, 3 & a), [ix(50, 4, low=-50), ix(50, 4)], "s"),
    ("bitwise bool", lambda t, a, b: (a & b, a | b, a ^ b, ~a, a & True), [bo(4), bo(4)], "s"),
    ("bitwise mixed", lambda t, a, b: (a & b, b | a), [bo(4), ix(9, 4, dtype="uint8")], "s"),
    ("isclose", lambda t, a: (t.isclose(a, a + 1e-9), t.isclose(a, a + 1)), [M], "si"),
    ("allclose", lambda t, a: (t.allclose(a, a), a.allclose(a + 1)), [M], "si"),
    ("equal", lambda t, a, b: (t.equal(a, a), t.equal(a, b), a.equal(a + 1)), [M, f(3)], "si"),
    ("contains", lambda t, a: (3 in a, 1 in a), [val([1, 2])], "si"),
    # one operand
    *(
        (name, lambda t, a, name=name: getattr(t, name)(a), [spec], dtypes)
        for name, spec, dtypes in [
            ("exp", M, "dshic"), ("exp2", M, "dsi"), ("expm1", M, "dsi"), ("log", pos(4), "dshic"), ("log2", pos(4), "dsi"),
            ("log10", pos(4), "dsi"), ("log1p", pos(4), "dsi"), ("sqrt", pos(4), "dshi"), ("rsqrt", pos(4), "dshi"),
            ("sin", M, "dshic"), ("cos", M, "dshi"), ("tan", M, "ds"), ("asin", f(4, low=-0.9, high=0.9), "ds"),
            ("acos", f(4, low=-0.9, high=0.9), "ds"), ("atan", M, "dsi"), ("sinh", M, "ds"), ("cosh", M, "ds"),
            ("tanh", M, "dshic"), ("asinh", M, "ds"), ("acosh", f(4, low=1.1, high=3), "ds"),
            ("atanh", f(4, low=-0.9, high=0.9), "ds"), ("sigmoid", M, "dshi"), ("erf", M, "dsh"), ("erfc", M, "ds"),
            ("erfinv", f(4, low=-0.9, high=0.9), "ds"), ("reciprocal", pos(4), "dshi"), ("lgamma", pos(4), "ds"),
            ("digamma", pos(4), "d"), ("i0", M, "ds"), ("sinc", M, "ds"), ("deg2rad", M, "dsi"), ("rad2deg", M, "ds"),
            ("logit", f(4, low=0.1, high=0.9), "ds"), ("abs", M, "dshic"), ("sign", M, "dshi"), ("sgn", M, "dsic"),
            ("floor", M, "dshi"), ("ceil", M, "dshi"), ("trunc", M, "dshi"), ("frac", M, "dsi"), ("round", M, "dshi"),
            ("relu", M, "dshi"), ("conj", M, "dsc"), ("angle", M, "dsc"), ("isnan", M, "shi"), ("isinf", M, "si"),
            ("isfinite", M, "si"), ("signbit", M, "si"), ("isreal", M, "s"), ("positive", M, "dsi"),
        ]
    ),
    ("abs zero", lambda t, a: (a.abs(), a.sign(), t.relu(a)), [val([0.0, -1.0, 2.0])], "ds"),
    ("sqrt zero", lambda t, a: (a.sqrt(), a.sinc()), [val([0.0, 1.0])], "ds"),
    ("round half", lambda t, a: (t.round(a), t.round(a, decimals=1)), [val([0.5, 1.5, -2.5, 0.25])], "ds"),
    ("round down", lambda t, a: t.round(a, decimals=-1), [val([15.0, 25.0, -7.0])], "s"),
    ("nan_to_num", lambda t, a: t.nan_to_num(a), [val([float("nan"), float("inf"), -float("inf"), 1.0])], "dsh"),
    ("nan_to_num given", lambda t, a: a.nan_to_num(1.0, 2.0, -3.0), [val([float("nan"), float("inf"), -float("inf")])], "ds"),
    ("nonfinite", lambda t, a: (t.isnan(a), t.isinf(a), t.isfinite(a), t.isposinf(a), t.isneginf(a)),
     [val([float("nan"), float("inf"), -float("inf"), 1.0])], "sh"),
    ("complex parts", lambda t, a: (a.real, a.imag, t.abs(a), t.angle(a), a * a.conj()), [M], "c"),
    # reductions
    ("sum", lambda t, a: (a.sum(), a.sum(0), a.sum(-1, keepdim=True), t.sum(a, (0, 1)), a.sum(dim=())), [M], "dshic"),
    ("sum dtype", lambda t, a: (a.sum(dtype=t.float64), a.sum(0, dtype=t.float32)), [M], "dsi"),
    ("sum bool", lambda t, a: (a.sum(), a.prod(), a.cumsum(0)), [bo(5)], "s"),
    ("sum axis", lambda t, a: a.sum(axis=1, keepdims=True), [M], "ds"),
    ("sum empty", lambda t, a: (a.sum(), a.mean(), a.prod(), a.sum(0)), [f(0, 3)], "s"),
    ("mean", lambda t, a: (a.mean(), a.mean(0), a.mean((0, 1), True), t.mean(a, dim=-1)), [M], "dshic"),
    ("mean dtype", lambda t, a: a.mean(dtype=t.float64), [M], "dsi"),
    ("prod", lambda t, a: (a.prod(), a.prod(1), a.prod(0, keepdim=True)), [M], "dsi"),
    ("prod zero", lambda t, a: a.prod(), [val([2.0, 0.0, 3.0])], "ds"),
    ("prod zeros", lambda t, a: a.prod(0), [val([0.0, 0.0, 3.0])], "ds"),
    ("max", lambda t, a: (a.max(), a.min(), t.max(a)), [M], "dshi"),
    ("max dim", lambda t, a: (a.max(1), a.min(0), t.max(a, -1, keepdim=True), t.min(a, dim=1)[1]), [M], "dshi"),
    ("max other", lambda t, a, b: (t.max(a, b), a.min(b)), [M, M], "dsi"),
    ("max ties", lambda t, a: (a.max(), a.min(), a.amax(), a.amin(0)), [val([2.0, 1.0, 2.0, 1.0])], "ds"),
    ("max ties dim", lambda t, a: (a.max(0), a.min(0)), [val([2.0, 1.0, 2.0, 1.0])], "ds"),
    ("max nan", lambda t, a: (a.max(), a.max(0), a.argmin()), [val([2.0, float("nan"), 3.0])], "s"),
    ("amax", lambda t, a: (a.amax(), a.amax(0), a.amin((0, 1)), t.amax(a, 1, True)), [M], "dshi"),
    ("aminmax", lambda t, a: (t.aminmax(a), t.aminmax(a, dim=0)), [M], "dsi"),
    ("argmax", lambda t, a: (a.argmax(), a.argmax(1), a.argmin(0, keepdim=True), t.argmax(a, dim=-1)), [M], "shi"),
    ("any", lambda t, a: (a.any(), a.any(0), a.all(), a.all(-1, keepdim=True), t.all(a > -9)), [ix(2, 3, 4)], "s"),
    ("any bool", lambda t, a: (t.any(a), a.all(0), a.any(dim=(0, 1))), [bo(3, 4)], "s"),
    ("any uint8", lambda t, a: (a.any(), a.all(0)), [ix(2, 3, 4, dtype="uint8")], "s"),
    ("var", lambda t, a: (a.var(), a.var(0), a.var(1, unbiased=False), a.var(-1, keepdim=True)), [M], "dsh"),
    ("var correction", lambda t, a: (t.var(a, 0, correction=0), t.var(a, False), a.var((0, 1), False, True)), [M], "dsc"),
    ("std", lambda t, a: (a.std(), t.std(a, 1), a.std(0, False), a.std(1, correction=0)), [M], "dsh"),
    ("std flat", lambda t, a: a.std(), [val([1.0, 1.0, 1.0])], "ds"),
    ("var_mean", lambda t, a: (t.var_mean(a, 1), t.std_mean(a), t.var_mean(a, dim=0, correction=0, keepdim=True)), [M], "dsh"),
    ("median", lambda t, a: (a.median(), a.median(1), t.median(a, 0, keepdim=True)), [f(3, 4)], "dsi"),
    ("median nan", lambda t, a: (a.median(), a.nanmedian(), a.nanmedian(0)), [val([1.0, float("nan"), 3.0, 2.0])], "s"),
    ("mode", lambda t, a: a.mode()[0], [val([[1, 2, 2], [3, 3, 1]])], "si"),
    ("quantile", lambda t, a: (a.quantile(0.3), t.quantile(a, 0.5, dim=1)), [f(3, 4)], "ds"),
    ("quantile q", lambda t, a, q: a.quantile(q, 1, keepdim=True, interpolation="lower"), [f(3, 4), val([0.1, 0.9])], "s"),
    ("norm", lambda t, a: (a.norm(), a.norm(dim=1), t.norm(a, 1), a.norm(p=2, dim=-1, keepdim=True)), [M], "dshc"),
    ("norm others", lambda t, a: (a.norm(3), a.norm(float("inf")), a.norm(0, dim=0), a.norm("fro")), [M], "ds"),
    ("norm zero", lambda t, a: (a.norm(), a.norm(dim=0), a.norm(1)), [val([[0.0, 0.0], [0.0, 1.0]])], "ds"),
    ("logsumexp", lambda t, a: (a.logsumexp(1), t.logsumexp(a, (0, 1)), a.logsumexp(0, keepdim=True)), [M], "dshi"),
    ("logsumexp inf", lambda t, a: a.logsumexp(0), [val([-float("inf"), -float("inf")])], "s"),
    ("cumsum", lambda t, a: (a.cumsum(0), t.cumsum(a, -1), a.cumsum(1, dtype=t.float64)), [f(3, 4)], "dshi"),
    ("cumprod", lambda t, a: (a.cumprod(0), t.cumprod(a, dim=1)), [f(3, 4)], "dsi"),
    ("cumprod zero", lambda t, a: a.cumprod(0), [val([2.0, 0.0, 3.0, 4.0])], "ds"),
    ("cummax", lambda t, a: (a.cummax(1), t.cummin(a, 0)), [f(3, 4)], "dsi"),
    ("cummax ties", lambda t, a: (a.cummax(0), a.cummin(0)), [val([1.0, 2.0, 2.0, 1.0, float("nan"), 5.0])], "s"),
    ("logcumsumexp", lambda t, a: a.logcumsumexp(1), [f(3, 4)], "ds"),
    ("count_nonzero", lambda t, a: (t.count_nonzero(a), t.count_nonzero(a, 1)), [ix(2, 3, 4)], "s"),
    ("nansum", lambda t, a: (t.nansum(a), a.nansum(0)), [val([[1.0, float("nan")], [2.0, 3.0]])], "ds"),
    ("nanmean", lambda t, a: (t.nanmean(a), a.nanmean(0)), [val([[1.0, float("nan")], [2.0, 3.0]])], "ds"),
    ("softmax", lambda t, a: (a.softmax(1), t.softmax(a, 0), t.softmax(a, -1, dtype=t.float64)), [M], "dsh"),
    ("log_softmax", lambda t, a: (a.log_softmax(-1), t.log_softmax(a, dim=0)), [M], "dsh"),
    ("softmax scalar", lambda t, a: a.softmax(0), [f()], "ds"),
    ("diff of order zero", lambda t, a: (a.diff(0), t.diff(a, 0, 0, a[:1], a)), [f(3, 4)], "di"),
    ("diff", lambda t, a: (a.diff(), t.diff(a, 2, dim=0), t.diff(a, prepend=a[:, :1])), [f(3, 4)], "dsi"),
    ("trapezoid", lambda t, a: (t.trapezoid(a), t.trapezoid(a, dx=0.5, dim=0)), [M], "ds"),
    # products
    ("matmul", lambda t, a, b: (t.matmul(a, b), a @ b), [f(2, 3), f(3, 4)], "dshic"),
    ("matmul vectors", lambda t, a, b: a @ b, [f(3), f(3)], "dsi"),
    ("matmul left", lambda t, a, b: a @ b, [f(3), f(3, 2)], "dsi"),
    ("matmul right", lambda t, a, b: a @ b, [f(2, 3), f(3)], "dsi"),
    ("matmul batch", lambda t, a, b: a @ b, [f(2, 1, 2, 3), f(4, 3, 2)], "dsh"),
    ("matmul batch 2d", lambda t, a, b: a @ b, [f(4, 2, 3), f(3, 2)], "dsi"),
    ("mm", lambda t, a, b: t.mm(a, b), [f(2, 3), f(3, 4)], "dshi"),
    ("bmm", lambda t, a, b: t.bmm(a, b), [f(2, 2, 3), f(2, 3, 2)], "dshi"),
    ("mv", lambda t, a, b: t.mv(a, b), [f(2, 3), f(3)], "dsi"),
    ("dot", lambda t, a, b: (t.dot(a, b), t.vdot(a, b), t.inner(a, b)), [f(3), f(3)], "dsic"),
    ("outer", lambda t, a, b: t.outer(a, b), [f(3), f(2)], "dshi"),
    ("addmm", lambda t, c, a, b: (t.addmm(c, a, b), t.addmm(c, a, b, beta=0.5, alpha=2)), [f(4), f(2, 3), f(3, 4)], "dsh"),
    ("addmm int", lambda t, c, a, b: t.addmm(c, a, b, beta=2, alpha=3), [f(2, 4), f(2, 3), f(3, 4)], "i"),
    ("addmv", lambda t, c, a, b: t.addmv(c, a, b), [f(2), f(2, 3), f(3)], "ds"),
    ("addr", lambda t, c, a, b: t.addr(c, a, b), [f(2, 3), f(2), f(3)], "ds"),
    ("baddbmm", lambda t, c, a, b: (t.baddbmm(c, a, b), c.baddbmm(a, b, beta=0, alpha=0.5)),
     [f(2, 2, 2), f(2, 2, 3), f(2, 3, 2)], "dsh"),
    ("addbmm", lambda t, c, a, b: t.addbmm(c, a, b), [f(2, 2), f(2, 2, 3), f(2, 3, 2)], "ds"),
    ("einsum", lambda t, a, b: (t.einsum("ij,jk->ik", a, b), t.einsum("ij,jk->", a, b)), [f(2, 3), f(3, 4)], "dshi"),
    ("einsum dots", lambda t, a, b: t.einsum("b...i, b i j -> b...j", a, b), [f(2, 4, 3), f(2, 3, 4)], "ds"),
    ("einsum trace", lambda t, a: (t.einsum("ii", a), t.einsum("ii->i", a), t.einsum("ij->ji", [a])), [f(3, 3)], "ds"),
    ("einsum sublist", lambda t, a, b: t.einsum(a, [0, 1], b, [1, 2], [0, 2]), [f(2, 3), f(3, 4)], "s"),
    ("tensordot", lambda t, a, b: (t.tensordot(a, b, 1), t.tensordot(a, b, ([1], [0]))), [f(2, 3), f(3, 4)], "ds"),
    ("kron", lambda t, a, b: t.kron(a, b), [f(2, 2), f(2, 3)], "dsi"),
    ("cross", lambda t, a, b: (t.cross(a, b, dim=1), t.linalg.cross(a, b)), [f(4, 3), f(4, 3)], "dsi"),
    ("cdist", lambda t, a, b: (t.cdist(a, b), t.cdist(a, b, p=1)), [f(3, 4), f(2, 4)], "ds"),
    ("trace", lambda t, a: t.trace(a), [f(3, 4)], "dsi"),
    ("tril", lambda t, a: (t.tril(a), a.triu(), a.tril(-1), t.triu(a, diagonal=1)), [f(3, 4)], "dshi"),
    ("triangle indices", lambda t: (t.tril_indices(3, 4), t.triu_indices(3, 4, 1)), [], "s"),
    ("diag", lambda t, a: (t.diag(a), t.diag(a, 1), t.diag(t.diag(a)), t.diagflat(a)), [f(3, 3)], "dsi"),
    ("diag_embed", lambda t, a: (t.diag_embed(a), t.diag_embed(a, 1, 0, 2)), [f(2, 3)], "ds"),
    # joining and splitting
    ("cat", lambda t, a, b: (t.cat([a, b]), t.cat((a, a), dim=-1), t.concat([a, b], 0)), [f(2, 3), f(1, 3)], "dshic"),
    ("cat promotes", lambda t, a, b: t.cat([a, b]), [f(2), ix(5, 3)], "dshi"),
    ("cat empty", lambda t, a, b: t.cat([b, a]), [f(2, 3), f(0)], "ds"),
    ("stack", lambda t, a, b: (t.stack([a, b]), t.stack((a, b), dim=-1), t.stack([a], 1)), [M, M], "dshi"),
    ("hstack", lambda t, a, b: (t.hstack([a, b]), t.vstack([a, b]), t.dstack([a, b]), t.column_stack([a, b])), [f(3), f(3)], "dsi"),
    ("split", lambda t, a: (a.split(2), t.split(a, [1, 4]), a.split(2, dim=0), a.split((3, 2))), [f(5, 3)], "dsi"),
    ("chunk", lambda t, a: (a.chunk(2), t.chunk(a, 3, dim=-1), a.chunk(4)), [f(5, 3)], "dshi"),
    ("tensor_split", lambda t, a: (a.tensor_split(3), t.tensor_split(a, (1, 3)), t.hsplit(a, 3)), [f(5, 3)], "ds"),
    ("unbind", lambda t, a: (a.unbind(), t.unbind(a, 1), list(a)), [f(3, 2)], "dshi"),
    ("repeat", lambda t, a: (a.repeat(2, 1), a.repeat((2, 2, 1)), t.tile(a, (2,)), a.tile(2, 1, 2)), [M], "dsi"),
    ("repeat_interleave", lambda t, a: (a.repeat_interleave(2), t.repeat_interleave(a, 3, dim=1)), [M], "dsi"),
    ("repeat_interleave counts", lambda t, a, n: (t.repeat_interleave(a, n, dim=0), t.repeat_interleave(n)),
     [f(3, 2), ix(4, 3)], "ds"),
    ("flip", lambda t, a: (a.flip(0), t.flip(a, (0, 1)), a.flip([-1]), t.fliplr(a), t.flipud(a)), [M], "dsi"),
    ("roll", lambda t, a: (a.roll(1), t.roll(a, 2, 1), a.roll((1, -1), (0, 1))), [M], "dsi"),
    ("rot90", lambda t, a: (t.rot90(a), t.rot90(a, 2), t.rot90(a, -1, (1, 0))), [M], "ds"),
    ("block_diag", lambda t, a, b: t.block_diag(a, b), [f(2, 2), f(1, 3)], "ds"),
    ("cartesian", lambda t, a, b: (t.cartesian_prod(a, b), t.combinations(a)), [f(3), f(2)], "dsi"),
    ("atleast", lambda t, a: (t.atleast_1d(a), t.atleast_2d(a), t.atleast_3d(a), t.atleast_2d(a, a)), [f(3)], "ds"),
    # choosing and writing
    ("where", lambda t, c, a, b: (t.where(c, a, b), a.where(c, b)), [bo(2, 3), M, f(3)], "dshic"),
    ("where numbers", lambda t, c, a: (t.where(c, a, 0.5), t.where(c, 1, a), t.where(c, 1, 2), t.where(c, 1.0, 0.0)),
     [bo(2, 3), M], "dshi"),
    ("where promotes", lambda t, c, a, b: t.where(c, a, b), [bo(3), f(3), ix(5, 3)], "dsh"),
    ("where positions", lambda t, c: (t.where(c), t.nonzero(c), c.nonzero(as_tuple=True)), [bo(3, 4)], "s"),
    ("nonzero", lambda t, a: (t.nonzero(a), t.argwhere(a)), [ix(2, 3, 4)], "s"),
    ("masked_fill", lambda t, a, m: (a.masked_fill(m, -1), t.masked_fill(a, m, 2)), [M, bo(3)], "dshic"),
    ("masked_fill inf", lambda t, a, m: a.masked_fill(m, float("-inf")), [M, bo(2, 3)], "dsh"),
    ("masked_fill tensor", lambda t, a, m, v: a.masked_fill(m, v), [M, bo(2, 3), f()], "dsi"),
    ("masked_select", lambda t, a, m: t.masked_select(a, m), [M, bo(2, 3)], "dsi"),
    ("masked_scatter", lambda t, a, m, s: a.masked_scatter(m, s), [M, bo(2, 3), f(8)], "dshi"),
    ("gather", lambda t, a, i: (a.gather(1, i), t.gather(a, -1, i[:2])), [f(3, 4), ix(4, 3, 5)], "dshi"),
    ("gather dim 0", lambda t, a, i: a.gather(0, i), [f(3, 4), ix(3, 2, 4)], "ds"),
    ("take", lambda t, a, i: (t.take(a, i), t.take_along_dim(a, i, None)), [f(3, 4), ix(12, 2, 3)], "dsi"),
    ("take_along_dim", lambda t, a, i: t.take_along_dim(a, i, 1), [f(3, 4), ix(4, 1, 2)], "ds"),
    ("index_select", lambda t, a, i: (a.index_select(0, i), t.index_select(a, -1, i)), [f(3, 4), ix(3, 5)], "dshi"),
    ("index_add", lambda t, a, i, s: (a.index_add(0, i, s), t.index_add(a, 0, i, s, alpha=2)), [f(3, 4), ix(3, 5), f(5, 4)], "dsi"),
    ("index_copy", lambda t, a, i, s: a.index_copy(0, i, s), [f(3, 4), val([2, 0], "int64"), f(2, 4)], "dsi"),
    ("index_fill", lambda t, a, i: (a.index_fill(1, i, 2), t.index_fill(a, 0, i, -1.0)), [f(3, 4), ix(3, 2)], "ds"),
    ("scatter", lambda t, a, i, s: a.scatter(1, i, s), [f(3, 4), val([[0, 2], [1, 3], [3, 0]], "int64"), f(3, 2)], "dshi"),
    ("scatter larger", lambda t, a, i, s: a.scatter(1, i, s), [f(3, 4), val([[0, 2], [1, 3]], "int64"), f(3, 3)], "si"),
    ("scatter value", lambda t, a, i: (a.scatter(0, i, 2), t.scatter(a, 0, i, value=1.5)), [f(3, 4), ix(3, 2, 4)], "ds"),
    ("scatter reduce", lambda t, a, i, s: a.scatter(0, i, s, reduce="add"), [f(3, 4), ix(3, 2, 4), f(2, 4)], "s"),
    ("scatter_add", lambda t, a, i, s: (a.scatter_add(0, i, s), t.scatter_add(a, 0, i, s)), [f(3, 4), ix(3, 5, 4), f(5, 4)], "dsi"),
    *(
        (
            f"scatter_reduce {how} {own}",
            lambda t, a, i, s, how=how, own=own: a.scatter_reduce(0, i, s, how, include_self=own),
            [f(3, 4), ix(3, 5, 4), f(5, 4)],
            "dsi",
        )
        for how in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
    ),
    ("index_reduce", lambda t, a, i, s: a.index_reduce(0, i, s, "amax"), [f(3, 4), ix(3, 5), f(5, 4)], "s"),
    ("select_scatter", lambda t, a, s: (t.select_scatter(a, s, 0, 1), t.slice_scatter(a, a[:1], 0, 1, 2)), [f(3, 4), f(4)], "ds"),
    ("diagonal_scatter", lambda t, a, s: t.diagonal_scatter(a, s), [f(3, 3), f(3)], "ds"),
    # order and counting
    ("sort", lambda t, a: (a.sort(), t.sort(a, 0, descending=True), a.sort(dim=1, stable=True)), [f(3, 4)], "dsi"),
    ("argsort", lambda t, a: (a.argsort(stable=True), t.argsort(a, dim=0, descending=True, stable=True)), [f(3, 4)], "si"),
    ("sort nan", lambda t, a: (a.sort(), a.sort(descending=True)), [val([2.0, float("nan"), -1.0, float("inf")])], "s"),
    ("topk", lambda t, a: (a.topk(2), t.topk(a, 2, dim=0, largest=False), a.topk(3, -1)), [f(3, 4)], "dsh"),
    ("topk ints", lambda t, a: (a.topk(2), a.topk(3, largest=False)), [val([5, 2, 9, -4])], "i"),
    ("topk nan", lambda t, a: a.topk(2), [val([2.0, float("nan"), -1.0])], "s"),
    ("kthvalue", lambda t, a: (a.kthvalue(2), t.kthvalue(a, 1, 0, keepdim=True)), [f(3, 4)], "ds"),
    ("unique", lambda t, a: (a.unique(), t.unique(a, return_inverse=True, return_counts=True)), [ix(4, 3, 4)], "s"),
    ("unique dim", lambda t, a: t.unique(a, dim=0, return_inverse=True, return_counts=True), [ix(2, 5, 2)], "s"),
    ("unique_consecutive", lambda t, a: t.unique_consecutive(a, True, True), [ix(2, 12)], "s"),
    ("searchsorted", lambda t, a, b: (t.searchsorted(a.sort()[0], b), t.bucketize(b, a.sort()[0], right=True)),
     [f(5), f(2, 3)], "si"),
    ("searchsorted rows", lambda t, a, b: t.searchsorted(a.sort()[0], b, side="right", out_int32=True), [f(2, 5), f(2, 3)], "si"),
    ("isin", lambda t, a, b: (t.isin(a, b), t.isin(a, b, invert=True)), [ix(5, 6), ix(5, 3)], "s"),
    ("bincount", lambda t, a, w: (a.bincount(), t.bincount(a, w), t.bincount(a, minlength=9)), [ix(5, 6), f(6)], "si"),
    ("histc", lambda t, a: (t.histc(a, 4), t.histc(a, bins=5, min=-1, max=1)), [f(20)], "ds"),
    ("msort", lambda t, a: t.msort(a), [f(4, 2)], "dsi"),
    # in place
    ("in place arithmetic", lambda t, a, b: a.clone().add_(b).mul_(2).sub_(b, alpha=0.5).div_(3).pow_(2).neg_(), [M, f(3)], "dsh"),
    ("in place ints", lambda t, a, b: a.clone().add_(b).mul_(2).sub_(b).clamp_(-3, 3).abs_(), [M, f(3)], "i"),
    ("in place functions", lambda t, a: a.clone().exp_().sqrt_().tanh_().sigmoid_().log_().abs_().round_(), [M], "s"),
    ("in place operators", lambda t, a, b: _operators(a.clone(), b), [M, pos(3)], "ds"),
    ("in place bits", lambda t, a, b: _bit_operators(a.clone(), b), [ix(50, 4), ix(50, 4)], "s"),
    ("in place fill", lambda t, a: (a.clone().zero_(), a.clone().fill_(2), t.zeros_like(a).fill_(1.5)), [M], "dsh"),
    ("in place masks", lambda t, a, m: a.clone().masked_fill_(m, 0.5).clamp_(min=0).tril_(), [M, bo(2, 3)], "ds"),
    ("in place positions", lambda t, a, i, s: a.clone().index_add_(0, i, s).index_fill_(0, i, 1).scatter_add_(0, i[:, None].expand(5, 4), s),
     [f(3, 4), ix(3, 5), f(5, 4)], "ds"),
    ("in place scatter", lambda t, a, i: a.clone().scatter_(1, i, 3.0).cumsum_(0), [f(3, 4), ix(4, 3, 2)], "ds"),
    ("in place compare", lambda t, a, b: a.clone().eq_(b).logical_not_(), [M, M], "si"),
    ("in place view", lambda t, a: _through_view(a.clone()), [f(3, 4)], "ds"),
]  # fmt: skip


def _operators(a, b):
    a += b
    a -= 1
    a *= b
    a /= 2
    a **= 2
    a %= 1.5
    return a


def _bit_operators(a, b):
    a &= b
    a |= 3
    a ^= 5
    a <<= 2
    a >>= 1
    return a


def _through_view(a):
    a[1].mul_(2)
    a.t()[0].add_(1)
    a[:, 2:] += 1
    return a


DTYPES = {"d": "float64", "s": "float32", "h": "bfloat16", "i": "int64", "c": "complex128", "b": "bool"}


@pytest.mark.parametrize("name, fn, specs, letters", ROWS, ids=[row[0] for row in ROWS])
def test_row(name, fn, specs, letters):
    check(name, fn, specs, [DTYPES[letter] for letter in letters])
