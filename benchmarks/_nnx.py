"""Owns the workloads of ``suite.py`` as flax.nnx models: what a user of that library writes, with its own layers.

May import jax, flax and optax. Images are NHWC, as flax's convolutions want them; weights and data come from the file
that the first worker wrote. The models compute what those of ``_models.py`` do, up to what flax has otherwise: its LSTM
cell has one bias (the sum of PyTorch's two), its running variance is the biased one (read in inference only).
"""

from __future__ import annotations

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

gelu = partial(nnx.gelu, approximate=False)
halve = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
LayerNorm = partial(nnx.LayerNorm, epsilon=1e-5)
BatchNorm = partial(nnx.BatchNorm, momentum=0.9, epsilon=1e-5)


def flatten(x):
    return x.reshape(x.shape[0], -1)


def mlp(rngs):
    return nnx.Sequential(nnx.Linear(64, 128, rngs=rngs), nnx.relu, nnx.Linear(128, 10, rngs=rngs))


def cnn(rngs):
    return nnx.Sequential(
        nnx.Conv(1, 16, (3, 3), padding=1, rngs=rngs), nnx.relu, halve,
        nnx.Conv(16, 32, (3, 3), padding=1, rngs=rngs), nnx.relu, halve,
        flatten, nnx.Linear(32 * 49, 128, rngs=rngs), nnx.relu, nnx.Linear(128, 10, rngs=rngs),
    )  # fmt: skip


class LSTM(nnx.Module):
    def __init__(self, rngs, hidden=256, classes=10):
        self.lstm = nnx.RNN(nnx.OptimizedLSTMCell(hidden, hidden, rngs=rngs))
        self.head = nnx.Linear(hidden, classes, rngs=rngs)

    def __call__(self, x):
        start = jnp.zeros((x.shape[0], self.lstm.cell.hidden_features), x.dtype)
        return self.head(self.lstm(x, initial_carry=(start, start))[:, -1])


class Block(nnx.Module):
    def __init__(self, rngs, width, heads, causal, dropout=0.0):
        self.norm1, self.norm2 = LayerNorm(width, rngs=rngs), LayerNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(
            heads, width, dropout_rate=dropout, broadcast_dropout=False, decode=False, rngs=rngs
        )
        self.up, self.down = nnx.Linear(width, 4 * width, rngs=rngs), nnx.Linear(4 * width, width, rngs=rngs)
        self.drop = nnx.Dropout(dropout, rngs=rngs)
        self.causal = causal

    def __call__(self, x):
        x = x + self.drop(self.attention(self.norm1(x), is_causal=self.causal))
        return x + self.drop(self.down(gelu(self.up(self.norm2(x)))))


class GPT(nnx.Module):
    def __init__(self, rngs, vocabulary=1000, dropout=0.0, width=256, layers=4, heads=8, length=256):
        self.token = nnx.Embed(vocabulary, width, rngs=rngs)
        self.position = nnx.Embed(length, width, rngs=rngs)
        self.drop = nnx.Dropout(dropout, rngs=rngs)
        self.blocks = nnx.Sequential(*[Block(rngs, width, heads, True, dropout) for _ in range(layers)])
        self.norm = LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, vocabulary, use_bias=False, rngs=rngs)

    def __call__(self, ids):
        x = self.token(ids) + self.position(jnp.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(self.drop(x))))


class ViT(nnx.Module):
    def __init__(self, rngs, width=192, layers=12, heads=3, size=224, patch=16, classes=1000):
        self.patch = nnx.Conv(3, width, (patch, patch), strides=patch, padding="VALID", rngs=rngs)
        self.token = nnx.Param(jnp.zeros((1, 1, width)))
        self.position = nnx.Param(jnp.zeros((1, (size // patch) ** 2 + 1, width)))
        self.blocks = nnx.Sequential(*[Block(rngs, width, heads, False) for _ in range(layers)])
        self.norm, self.head = LayerNorm(width, rngs=rngs), nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x):
        x = self.patch(x)
        b, h, w, d = x.shape
        token = jnp.broadcast_to(self.token[...], (b, 1, d))
        x = jnp.concatenate([token, x.reshape(b, h * w, d)], 1) + self.position[...]
        return self.head(self.norm(self.blocks(x))[:, 0])


def conv(i, o, size, stride=1, *, rngs):
    return nnx.Conv(i, o, (size, size), strides=stride, padding=size // 2, use_bias=False, rngs=rngs)


class Shortcut(nnx.Module):
    """What both residual blocks share: a way around them."""

    def around(self, i, o, stride, rngs):
        plain = stride == 1 and i == o
        self.downsample = None if plain else nnx.Sequential(conv(i, o, 1, stride, rngs=rngs), BatchNorm(o, rngs=rngs))

    def joined(self, x, out):
        return nnx.relu(out + (x if self.downsample is None else self.downsample(x)))


class BasicBlock(Shortcut):
    expansion = 1

    def __init__(self, i, planes, stride, rngs):
        self.conv1, self.bn1 = conv(i, planes, 3, stride, rngs=rngs), BatchNorm(planes, rngs=rngs)
        self.conv2, self.bn2 = conv(planes, planes, 3, rngs=rngs), BatchNorm(planes, rngs=rngs)
        self.around(i, planes, stride, rngs)

    def __call__(self, x):
        out = nnx.relu(self.bn1(self.conv1(x)))
        return self.joined(x, self.bn2(self.conv2(out)))


class Bottleneck(Shortcut):
    expansion = 4

    def __init__(self, i, planes, stride, rngs):
        self.conv1, self.bn1 = conv(i, planes, 1, rngs=rngs), BatchNorm(planes, rngs=rngs)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride, rngs=rngs), BatchNorm(planes, rngs=rngs)
        self.conv3, self.bn3 = conv(planes, 4 * planes, 1, rngs=rngs), BatchNorm(4 * planes, rngs=rngs)
        self.around(i, 4 * planes, stride, rngs)

    def __call__(self, x):
        out = nnx.relu(self.bn1(self.conv1(x)))
        out = nnx.relu(self.bn2(self.conv2(out)))
        return self.joined(x, self.bn3(self.conv3(out)))


class ResNet(nnx.Module):
    def __init__(self, rngs, block, layers, classes=1000):
        self.conv1, self.bn1 = conv(3, 64, 7, 2, rngs=rngs), BatchNorm(64, rngs=rngs)
        width, stages = 64, []
        for stage, (planes, count) in enumerate(zip((64, 128, 256, 512), layers)):
            blocks = []
            for n in range(count):
                blocks.append(block(width, planes, 2 if stage and not n else 1, rngs))
                width = planes * block.expansion
            stages.append(nnx.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.bn1(self.conv1(x)))
        x = nnx.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((1, 2)))


def twice(i, o, rngs):
    return nnx.Sequential(
        nnx.Conv(i, o, (3, 3), padding=1, rngs=rngs), nnx.GroupNorm(o, 8, epsilon=1e-5, rngs=rngs), nnx.relu,
        nnx.Conv(o, o, (3, 3), padding=1, rngs=rngs), nnx.GroupNorm(o, 8, epsilon=1e-5, rngs=rngs), nnx.relu,
    )  # fmt: skip


class UNet(nnx.Module):
    def __init__(self, rngs, widths=(32, 64, 128, 256), channels=3):
        pairs = list(itertools.pairwise(widths))
        self.first = twice(channels, widths[0], rngs)
        self.downs = nnx.List([nnx.Sequential(halve, twice(a, b, rngs)) for a, b in pairs])
        self.ups = nnx.List([nnx.ConvTranspose(b, a, (2, 2), strides=(2, 2), rngs=rngs) for a, b in reversed(pairs)])
        self.joins = nnx.List([twice(2 * a, a, rngs) for a, _ in reversed(pairs)])
        self.last = nnx.Conv(widths[0], channels, (1, 1), rngs=rngs)

    def __call__(self, x):
        kept = [self.first(x)]
        for down in self.downs:
            kept.append(down(kept[-1]))
        x = kept.pop()
        for up, join in zip(self.ups, self.joins):
            x = join(jnp.concatenate([up(x), kept.pop()], -1))
        return self.last(x)


def class_loss(out, y):
    return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()


def square_loss(out, y):
    return jnp.mean((out - y) ** 2)


momentum = partial(optax.sgd, 0.01, momentum=0.9)
adamw = partial(optax.adamw, 1e-3, weight_decay=1e-2)

# name: (model, loss, optimizer)
WORKLOADS = {
    "mlp": (mlp, class_loss, momentum),
    "cnn": (cnn, class_loss, momentum),
    "lstm": (LSTM, class_loss, momentum),
    "gpt": (GPT, class_loss, adamw),
    "gpt-32k": (partial(GPT, vocabulary=32000, dropout=0.1), class_loss, adamw),
    "resnet18": (partial(ResNet, block=BasicBlock, layers=(2, 2, 2, 2)), class_loss, momentum),
    "resnet50": (partial(ResNet, block=Bottleneck, layers=(3, 4, 6, 3)), class_loss, momentum),
    "vit": (ViT, class_loss, adamw),
    "unet": (UNet, square_loss, adamw),
}


# -- weights from PyTorch's layout ----------------------------------------------------------------------------------


LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "mean": "running_mean", "var": "running_var"}


def converted(path: tuple, weights, conv_features: int | None) -> np.ndarray:
    """The value of one variable of a model, up to its shape."""
    *parts, leaf = [str(p) for p in path if p != "layers"]
    if parts[:2] == ["lstm", "cell"]:
        side = "ih" if parts[2] == "dense_i" else "hh"
        if leaf == "bias":
            return weights["w:lstm.bias_ih_l0"] + weights["w:lstm.bias_hh_l0"]
        return weights[f"w:lstm.weight_{side}_l0"].T
    third = ["query", "key", "value"].index(parts[-1]) if parts and parts[-1] in ("query", "key", "value") else None
    if third is not None:
        parts[-1] = "qkv"
    value = weights["w:" + ".".join([*parts, LEAVES.get(leaf, leaf)])]
    if third is not None:
        value = np.split(value, 3)[third]
    if leaf != "kernel":
        return value
    if parts[0] == "ups":
        # Flax correlates with the kernel where PyTorch convolves.
        return value.transpose(2, 3, 0, 1)[::-1, ::-1]
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if conv_features is not None:
        # Behind a flattened image: channels come last here.
        side = round((value.shape[1] // conv_features) ** 0.5)
        value = value.reshape(-1, conv_features, side, side).transpose(0, 2, 3, 1).reshape(value.shape)
    return value.T


def load(model, weights, name: str, dtype) -> None:
    """Give a model the weights that the other engines have."""
    for path, variable in nnx.to_flat_state(nnx.state(model)):
        if not isinstance(variable, nnx.RngState):
            features = 32 if (name, path[:2]) == ("cnn", ("layers", 7)) else None
            value = converted(path, weights, features).reshape(variable.shape)
            variable.set_value(jnp.array(value, dtype))


class Task:
    """A workload: a model, its data, a train step and two inferences.

    Args:
        name: of the workload.
        weights: arrays by name: ``w:`` and a name in PyTorch's state, ``x`` and ``y``.
        dtype: of weights and data.
    """

    def __init__(self, name: str, weights, dtype: str = "float32"):
        build, loss_fn, transformation = WORKLOADS[name]
        self.model = model = build(nnx.Rngs(0))
        load(model, weights, name, dtype)
        optimizer = nnx.Optimizer(model, transformation(), wrt=nnx.Param)
        x, y = self.placed(weights["x"], dtype), self.placed(weights["y"], dtype)
        one = x[:1]

        @partial(nnx.jit, donate_argnums=(0, 1))
        def step(model, optimizer, x, y):
            loss, gradients = nnx.value_and_grad(lambda model: loss_fn(model(x), y))(model)
            optimizer.update(model, gradients)
            return loss

        @nnx.jit
        def infer(model, x):
            return model(x)

        self.cases = {
            "train": lambda: step(model, optimizer, x, y),
            "infer": lambda: infer(model, x),
            "infer1": lambda: infer(model, one),
        }

    def prepare(self, case: str) -> None:
        """What a training script does once before its loop."""
        self.model.train() if case == "train" else self.model.eval()

    @staticmethod
    def placed(a: np.ndarray, dtype: str) -> jax.Array:
        """Data as a user of this library has it: images with channels last, indices as int32."""
        if not np.issubdtype(a.dtype, np.floating):
            return jnp.array(a, jnp.int32)
        return jnp.array(a.transpose(0, 2, 3, 1) if a.ndim == 4 else a, dtype)

    @staticmethod
    def comparable(out: jax.Array) -> jax.Array:
        """An output in PyTorch's layout."""
        return out.transpose(0, 3, 1, 2) if out.ndim == 4 else out
