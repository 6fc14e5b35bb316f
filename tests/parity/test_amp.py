"""Mixed precision, run in both libraries: which operators change dtypes, values, gradients, the scaler, errors."""

import pytest
from module_programs import Log

import rushlight

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


def F(t):
    return t.nn.functional


def square(g, n=3):
    return g(n, n)


OPERATORS = {
    "matmul": lambda t, g: square(g) @ square(g),
    "addmm": lambda t, g: t.addmm(square(g), square(g), square(g)),
    "bmm": lambda t, g: t.bmm(g(2, 3, 3), g(2, 3, 3)),
    "linear": lambda t, g: F(t).linear(square(g), square(g), g(3)),
    "conv2d": lambda t, g: F(t).conv2d(g(1, 1, 3, 3), g(1, 1, 2, 2)),
    "conv_transpose2d": lambda t, g: F(t).conv_transpose2d(g(1, 1, 3, 3), g(1, 1, 2, 2)),
    "attention": lambda t, g: F(t).scaled_dot_product_attention(g(1, 2, 3, 4), g(1, 2, 3, 4), g(1, 2, 3, 4)),
    "einsum": lambda t, g: t.einsum("ij,jk->ik", square(g), square(g)),
    "multi_dot": lambda t, g: t.linalg.multi_dot([square(g), square(g), square(g)]),
    "prelu": lambda t, g: F(t).prelu(square(g), g(1)),
    "mv": lambda t, g: t.mv(square(g), g(3)),
    "bilinear": lambda t, g: F(t).bilinear(square(g), square(g), g(2, 3, 3)),
    "softmax": lambda t, g: F(t).softmax(square(g), -1),
    "exp": lambda t, g: g(3).exp(),
    "pow": lambda t, g: g(3) ** 2.5,
    "sum": lambda t, g: g(3).sum(),
    "prod": lambda t, g: g(3).prod(),
    "layer_norm": lambda t, g: F(t).layer_norm(square(g), (3,)),
    "gelu": lambda t, g: F(t).gelu(g(3)),
    "mse_loss": lambda t, g: F(t).mse_loss(g(3), g(3)),
    "l1_loss": lambda t, g: F(t).l1_loss(g(3), g(3)),
    "cross_entropy": lambda t, g: F(t).cross_entropy(square(g), t.tensor([0, 1, 2])),
    "nll_loss": lambda t, g: F(t).nll_loss(square(g), t.tensor([0, 1, 2])),
    "binary_cross_entropy": lambda t, g: F(t).binary_cross_entropy(g(3) * 0.5, g(3) * 0.5),
    "kl_div": lambda t, g: F(t).kl_div(g(3), g(3)),
    "avg_pool2d": lambda t, g: F(t).avg_pool2d(g(1, 1, 4, 4), 2),
    "avg_pool3d": lambda t, g: F(t).avg_pool3d(g(1, 1, 4, 4, 4), 2),
    "grid_sample": lambda t, g: F(t).grid_sample(g(1, 1, 4, 4), g(1, 2, 2, 2)),
    "reflection pad": lambda t, g: F(t).pad(g(1, 1, 4, 4), (1, 1, 1, 1), mode="reflect"),
    "quantile": lambda t, g: g(5).quantile(0.5),
    "trace": lambda t, g: square(g).trace(),
    "svd": lambda t, g: t.linalg.svdvals(square(g)),
    "cat": lambda t, g: t.cat([g(2), t.ones(2)]),
    "embedding": lambda t, g: F(t).embedding(t.tensor([0]), square(g)),
    "float64": lambda t, g: t.ones(2, 2, dtype=t.float64) @ t.ones(2, 2, dtype=t.float64),
    "lstm": lambda t, g: t.nn.LSTM(3, 3)(g(2, 1, 3))[0],
}


@pytest.mark.parametrize("name", OPERATORS)
def test_dtypes(name):
    found = []
    for t in (rushlight, torch):
        for low in (False, True):

            def make(*shape, t=t, low=low):
                out = t.rand(*shape) + 0.1
                return out.bfloat16() if low else out

            with t.autocast("cpu"):
                found.append(str(OPERATORS[name](t, make).dtype))
    assert found[:2] == found[2:]


def training(t, log):
    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Linear(4, 8), t.nn.ReLU(), t.nn.Linear(8, 3))
    x, y = t.randn(5, 4), t.tensor([0, 1, 2, 1, 0])
    with t.autocast("cpu"):
        out = net(x)
        again = net(x)
        loss = F(t).cross_entropy(out, y) + F(t).cross_entropy(again, y)
        with t.autocast("cpu", enabled=False):
            log.add(str(net[0](x).dtype))
    loss.backward()
    log.add(str(out.dtype), str(loss.dtype), [str(p.grad.dtype) for p in net.parameters()])
    for p in net.parameters():
        log.add([round(v, 2) for v in p.grad.flatten().tolist()])


def settings(t, log):
    log.add(t.is_autocast_enabled("cpu"), str(t.get_autocast_dtype("cpu")), t.is_autocast_cache_enabled())
    with t.autocast("cpu", dtype=t.float16, cache_enabled=False):
        log.add(t.is_autocast_enabled("cpu"), str(t.get_autocast_dtype("cpu")), t.is_autocast_cache_enabled())
        with t.autocast("cpu"):
            log.add(str((t.ones(2, 2) @ t.ones(2, 2)).dtype))
        with t.autocast("cpu", enabled=False):
            log.add(t.is_autocast_enabled("cpu"), str((t.ones(2, 2) @ t.ones(2, 2)).dtype))
    log.add(t.is_autocast_enabled("cpu"), str(t.get_autocast_dtype("cpu")), t.is_autocast_cache_enabled())

    @t.autocast("cpu")
    def product(a):
        return a @ a

    log.add(str(product(t.ones(2, 2)).dtype), product.__name__)
    log.tried(lambda: t.autocast("meta", dtype=t.float16))
    log.tried(lambda: t.autocast(3))
    log.tried(lambda: t.autocast("cpu")(3))
    log.tried(lambda: t.autocast("cpu", dtype=t.int8)._enabled)
    log.add(t.amp.is_autocast_available("cpu"), t.amp.is_autocast_available("meta"))
    log.tried(lambda: str(t.cpu.amp.autocast()(lambda: t.ones(2, 2) @ t.ones(2, 2))().dtype))


def custom(t, log):
    class Product(t.autograd.Function):
        @staticmethod
        @t.amp.custom_fwd(device_type="cpu")
        def forward(ctx, a):
            ctx.save_for_backward(a)
            log.append(str((a @ a).dtype))
            return a * 2

        @staticmethod
        @t.amp.custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            (a,) = ctx.saved_tensors
            log.append(str((a @ a).dtype))
            return grad * 2

    class Full(t.autograd.Function):
        @staticmethod
        @t.amp.custom_fwd(device_type="cpu", cast_inputs=t.float32)
        def forward(ctx, a):
            log.append((str(a.dtype), t.is_autocast_enabled("cpu")))
            return a * 2

        @staticmethod
        @t.amp.custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            log.append(t.is_autocast_enabled("cpu"))
            return grad * 2

    a = t.ones(2, 2, requires_grad=True)
    with t.autocast("cpu"):
        out = Product.apply(a).sum() + Full.apply(a.bfloat16()).sum()
    out.backward()
    log.add(a.grad)
    log.tried(lambda: t.amp.custom_fwd(lambda: 0, device_type=3))


def scaling(t, log):
    p = t.nn.Parameter(t.ones(2))
    optimizer = t.optim.SGD([p], lr=0.5)
    scaler = t.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    log.tried(lambda: scaler.update())
    log.tried(lambda: scaler.unscale_(optimizer))
    log.add(scaler.get_scale(), scaler.state_dict())
    for factor in (1.0, float("inf"), 1.0, 1.0, 1.0):
        optimizer.zero_grad()
        scaler.scale((p * factor).sum()).backward()
        log.add(p.grad)
        scaler.unscale_(optimizer)
        log.tried(lambda: scaler.unscale_(optimizer))
        log.add(p.grad, scaler.step(optimizer))
        log.tried(lambda: scaler.step(optimizer))
        log.tried(lambda: scaler.unscale_(optimizer))
        scaler.update()
        log.add(p, scaler.get_scale(), scaler._get_growth_tracker())
    log.add(scaler.scale([t.ones(1), (t.ones(2),)]), scaler.state_dict())
    log.tried(lambda: scaler.scale(3))
    log.tried(lambda: scaler.step(optimizer, closure=lambda: 0))
    scaler.update(3.0)
    log.add(scaler.get_scale())
    other = t.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    log.add(other.get_scale(), other.get_growth_interval(), other.is_enabled())
    log.tried(lambda: other.load_state_dict({}))
    off = t.amp.GradScaler("cpu", enabled=False)
    log.add(off.scale(3), off.get_scale(), off.state_dict(), off.update())
    log.tried(lambda: t.amp.GradScaler("cpu", growth_factor=1.0))
    log.tried(lambda: t.amp.GradScaler("cpu", backoff_factor=1.0))
    q = t.nn.Parameter(t.ones(2).half())
    q.grad = t.ones(2).half()
    log.tried(lambda: scaler.unscale_(t.optim.SGD([q])))
    log.tried(lambda: t.cuda.amp.GradScaler().is_enabled())


@pytest.mark.parametrize("program", [training, settings, custom, scaling], ids=lambda p: p.__name__)
def test_program(program):
    ours, theirs = Log(), Log()
    program(rushlight, ours)
    program(torch, theirs)
    for i, (a, b) in enumerate(zip(ours, theirs)):
        assert a == b, f"report {i}: {a} is not {b}"
    assert len(ours) == len(theirs)
