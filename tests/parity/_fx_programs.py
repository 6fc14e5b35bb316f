# ruff: noqa: UP006, UP035, UP045
"""Programs that are traced in both libraries: each gives, for a library, what to trace and the inputs to run it on."""

import math
from collections import namedtuple

PROGRAMS = {}
Pair = namedtuple("Pair", ["left", "right"])


def program(build):
    PROGRAMS[build.__name__] = build
    return build


def _x(t, *shape, grad=True):
    x = t.sin(17 * t.linspace(-1.0, 1.0, math.prod(shape))).reshape(shape)
    return x.requires_grad_() if grad else x


@program
def expressions(t):
    def f(x, y):
        z = 2 + x - 3 * y / (x * x + 1) - (-x) ** 2
        return (z @ y.transpose(0, 1)).abs() + abs(z).sum() + x[0] - 4 / (y + 9) + 2 - x

    return f, (_x(t, 3, 3), _x(t, 3, 3) + 0.1)


@program
def comparisons(t):
    def f(x, y):
        return (
            x < y,
            x <= 0,
            x > y,
            x <= 0,
            x == y,
            x != y,
            ~(x > 0),
            (x > 0) & (y > 0),
            (x > 0) | (y > 0),
            (x > 0) ^ (y > 0),
        )

    return f, (_x(t, 4, grad=False), _x(t, 4, grad=False).flip(0))


@program
def integers(t):
    def f(x):
        return x // 2, x % 3, x << 1, x >> 1, 7 // (x + 1), 7 % (x + 1), 2**x, 1 << x

    return f, (t.arange(5),)


@program
def functions(t):
    F = t.nn.functional

    def f(x, w):
        a = F.relu(x) + t.relu(x) + F.softmax(x, dim=-1) + t.softmax(x, 1) + F.leaky_relu(x, 0.2)
        b = F.linear(a, w) + F.gelu(a) + F.dropout(a, 0.3, training=False) + F.sigmoid(a) + t.tanh(a) + F.tanh(x)
        c = F.layer_norm(b, (4,)) + F.normalize(b, dim=0) + t.einsum("ij,kj->ik", b, w) + t.linalg.norm(b) + F.elu(b)
        return c + t.special.log_softmax(c, 1) + F.log_softmax(c, 1) + F.hardtanh(c) + t.fft.fft(c).real + F.softplus(c)

    return f, (_x(t, 4, 4), _x(t, 4, 4))


@program
def losses(t):
    F = t.nn.functional

    def f(x, y):
        target = y.argmax(1)
        entropy = F.cross_entropy(x, target, label_smoothing=0.1) + F.nll_loss(F.log_softmax(x, -1), target)
        return entropy + F.mse_loss(x, y) + F.l1_loss(x, y) + F.smooth_l1_loss(x, y, beta=0.5) + F.huber_loss(x, y)

    return f, (_x(t, 3, 5), _x(t, 3, 5, grad=False).flip(1))


@program
def images(t):
    F = t.nn.functional

    def f(x, w):
        y = F.conv2d(x, w, padding=1)
        y = F.max_pool2d(y, 2) + F.avg_pool2d(y, 2) + F.adaptive_avg_pool2d(y, (4, 4)) + F.adaptive_max_pool2d(y, 4)
        values, places = F.max_pool2d(y, 2, return_indices=True)
        y = F.interpolate(F.pad(y, (1, 1, 1, 1)), scale_factor=2, mode="nearest")
        y = F.batch_norm(y, None, None, training=True) + F.group_norm(y, 1) + F.instance_norm(y)
        return F.pixel_shuffle(F.unfold(y, 2).reshape(1, 4, 11, 11), 2), values, places

    return f, (_x(t, 1, 2, 8, 8), _x(t, 1, 2, 3, 3))


@program
def shapes(t):
    def f(x):
        n, k = x.shape[0], x.size(1)
        y = x.view(x.size(0), -1, 2).permute(0, 2, 1).reshape(n, k).unsqueeze(-1).squeeze(2).expand(n, k)
        return y + t.zeros(x.size(1), device=x.device, dtype=x.dtype) + t.arange(k) + x.dim() + x.new_ones(k) + x.T.T

    return f, (_x(t, 3, 4),)


@program
def slices(t):
    def f(x, i):
        return (
            x[0],
            x[1:, ::2],
            x[..., None],
            x[:, -1],
            x[i],
            x[t.tensor([0, 1])],
            x[i, :2],
            x[x.size(0) - 1],
            x[None, :1],
        )

    return f, (_x(t, 3, 4), t.tensor([2, 0]))


@program
def joined(t):
    def f(x, y):
        parts = t.split(x, 2, dim=1)
        a, b = x.chunk(2, dim=1)
        return (
            t.cat([a, b, y], dim=1),
            t.stack((x, y)),
            parts[0] + parts[1],
            t.where(x > 0, x, y),
            t.cat([x, [x, y][1]]),
        )

    return f, (_x(t, 2, 4), _x(t, 2, 4))


@program
def unpacked(t):
    def f(x):
        a, b, c = x.unbind(0)
        (d, e), i = x.topk(2, dim=0)
        values, indices = t.max(x, dim=1)
        return a * b - c, d + e, i, values, indices

    return f, (_x(t, 3, 4),)


@program
def results(t):
    def f(x):
        return {"sum": x.sum(), "parts": [x + 1, (x * 2,)], "number": 3, "none": None}

    return f, (_x(t, 3),)


@program
def named_tuple(t):
    def f(x, y):
        pair = Pair(x + 1, y)
        return Pair(pair.left, [pair.right])

    return f, (_x(t, 3), _x(t, 3))


@program
def variable_arguments(t):
    def f(x, *args, scale=2.0, **kwargs):
        return x * scale + args[0] - args[1] * kwargs["shift"]

    return f, None


@program
def older_annotations(t):
    from typing import Dict, List, Optional, Tuple

    def f(
        x: t.Tensor, y: Optional[t.Tensor] = None, n: int = 3, s: List[int] = (1, 2), d: Optional[Dict[str, int]] = None
    ) -> Tuple[t.Tensor, int]:  # fmt: skip
        return x + n, n

    return f, (_x(t, 3),)


@program
def newer_annotations(t):
    def f(
        x: "t.Tensor", y: t.Tensor | None = None, s: list[int] = (1, 2), z: dict[str, t.Tensor] | None = None
    ) -> tuple[t.Tensor, ...]:
        return (x * 2,)

    return f, (_x(t, 3),)


@program
def constants(t):
    table = t.arange(3.0)

    def f(x):
        return x + table + t.tensor([1.0, 2.0, 3.0]) + t.ones(3) * math.pi + table

    return f, (_x(t, 3),)


@program
def dtypes(t):
    def f(x):
        y = x.to(t.float64).to("cpu", dtype=t.float32).type(t.int64).float().double().to(x.dtype).to(x.device)
        return (
            y + t.zeros_like(x, dtype=t.float64) + t.full((3,), 1.5) + x.contiguous(memory_format=t.contiguous_format)
        )

    return f, (_x(t, 3),)


@program
def dead_code(t):
    def f(x):
        y = x + 1
        _ = y * 2
        z = y.exp()
        z.sum()
        return y

    return f, (_x(t, 3),)


@program
def in_place(t):
    def f(x):
        y = x.clone()
        y += 1
        y.mul_(2).add_(x, alpha=3)
        t.nn.functional.relu(y, inplace=True)
        return y

    return f, (_x(t, 3),)


@program
def odd_names(t):
    def f(x, input, self_, len_, **for_):
        sum = x + 1
        max = input * sum
        return max - self_ - len_

    return f, None


@program
def called(t):
    def f(x, g):
        return g(x)(1) + x.a.b.c + x.method(1, k=2).value

    return f, None


class _Scale:
    @staticmethod
    def make(t, n=3):
        class Scale(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = t.nn.Parameter(t.ones(n))
                self.register_buffer("shift", t.arange(float(n)))
                self.register_buffer("hidden", t.zeros(n), persistent=False)
                self.constant = t.tensor(2.0)

            def forward(self, x):
                y = self.shift + x * self.weight
                return (
                    self.shift * y
                    - self.shift / (y + 5)
                    + self.hidden
                    + y**self.constant
                    + self.constant ** y.abs()
                    + (y == self.shift)
                )

        return Scale()


@program
def parameters_and_buffers(t):
    return _Scale.make(t), (_x(t, 2, 3),)


@program
def perceptron(t):
    class Perceptron(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = t.nn.Sequential(t.nn.Linear(4, 8), t.nn.ReLU(), t.nn.Dropout(0.0), t.nn.Linear(8, 2))
            self.scale = _Scale.make(t, 2)

        def forward(self, x, mask=None):
            return self.scale(self.layers(x)).sum(-1)

    return Perceptron(), (_x(t, 3, 4),)


@program
def shared(t):
    class Shared(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = t.nn.Linear(3, 3)
            self.second = self.first
            self.many = t.nn.ModuleList([self.first, t.nn.Linear(3, 3)])
            self.named = t.nn.ModuleDict({"a": t.nn.Tanh(), "b": self.many[1]})

        def forward(self, x):
            for layer in self.many:
                x = layer(x)
            return self.named["a"](self.second(x)) + self.named["b"](x) + self.first.weight.sum() + self.many[1].bias

    return Shared(), (_x(t, 2, 3),)


@program
def residual(t):
    nn = t.nn

    class Block(nn.Module):
        def __init__(self, channels, out, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(out)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(out)
            self.downsample = (
                None if stride == 1 else nn.Sequential(nn.Conv2d(channels, out, 1, stride), nn.BatchNorm2d(out))
            )

        def forward(self, x):
            identity = x if self.downsample is None else self.downsample(x)
            out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            out += identity
            return self.relu(out)

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
            self.layer1 = nn.Sequential(Block(4, 4, 1), Block(4, 8, 2))
            self.pool = nn.AdaptiveAvgPool2d((1, 1))
            self.fc = nn.Linear(8, 5)

        def forward(self, x):
            return self.fc(t.flatten(self.pool(self.layer1(self.stem(x))), 1))

    return Residual(), (_x(t, 2, 3, 10, 10),)


@program
def mixer(t):
    nn = t.nn

    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(6)
            self.tokens = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
            self.channels = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 6))

        def forward(self, x):
            b, s, c = x.shape[0], x.shape[1], x.shape[-1]
            x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
            return (x + self.channels(x)).reshape(b * s, c).mean(dim=0, keepdim=True)

    return Mixer(), (_x(t, 2, 4, 6),)


@program
def attention(t):
    nn, F = t.nn, t.nn.functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(8, 24)
            self.out = nn.Linear(8, 8)
            self.register_buffer("mask", t.tril(t.ones(5, 5)).view(1, 1, 5, 5))

        def forward(self, x):
            B, T, C = x.size(0), x.size(1), 8
            q, k, v = self.qkv(x).split(C, dim=2)
            q, k, v = (p.view(B, T, 2, C // 2).transpose(1, 2) for p in (q, k, v))
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(4))
            att = F.softmax(att.masked_fill(self.mask[:, :, :5, :5] == 0, float("-inf")), dim=-1)
            y = (att @ v) + F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.out(y.transpose(1, 2).contiguous().view(B, T, C))

    return Attention(), (_x(t, 2, 5, 8),)


@program
def recurrent(t):
    class Recurrent(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = t.nn.Embedding(10, 4)
            self.lstm = t.nn.LSTM(4, 6, batch_first=True)
            self.head = t.nn.Linear(6, 3)

        def forward(self, tokens, state=None):
            out, (h, c) = self.lstm(self.embed(tokens))
            return self.head(out[:, -1]), h, c

    return Recurrent(), (t.arange(6).reshape(2, 3),)


@program
def branches_on_modules(t):
    class Branches(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.double = True
            self.sizes = [1, 2, 3]
            self.absent = None
            self.linear = t.nn.Linear(3, 3)

        def forward(self, x):
            if self.double and self.training:
                x = x * 2
            for size in self.sizes:
                x = x + size
            return self.linear(x) if self.absent is None else x

    return Branches(), (_x(t, 2, 3),)


@program
def numbers(t):
    def f(x):
        return x + 1.5e-7 + 1e20 * x + 1j * x + True + x * float("nan") + t.inf

    return f, (_x(t, 2),)
