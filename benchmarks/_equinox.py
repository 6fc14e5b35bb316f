"""Owns the workloads of ``suite.py`` as equinox models: what a user of that library writes, with its own layers.

May import jax, equinox and optax. Models take one example and are vmapped over the batch, images are CHW; weights and
data come from the file that the first worker wrote. The models compute what those of ``_models.py`` do, up to what
equinox has otherwise: its LSTM cell has one bias (the sum of PyTorch's two), its running statistics are the biased
variance, corrected for their start (read in inference only).
"""

from __future__ import annotations

import itertools
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from equinox import nn

relu = nn.Lambda(jax.nn.relu)
gelu = partial(jax.nn.gelu, approximate=False)


def mlp(key):
    a, b = jax.random.split(key)
    return nn.Sequential([nn.Linear(64, 128, key=a), relu, nn.Linear(128, 10, key=b)])


def cnn(key):
    a, b, c, d = jax.random.split(key, 4)
    return nn.Sequential([
        nn.Conv2d(1, 16, 3, padding=1, key=a), relu, nn.MaxPool2d(2, 2),
        nn.Conv2d(16, 32, 3, padding=1, key=b), relu, nn.MaxPool2d(2, 2),
        nn.Lambda(jnp.ravel), nn.Linear(32 * 49, 128, key=c), relu, nn.Linear(128, 10, key=d),
    ])  # fmt: skip


class LSTM(eqx.Module):
    cell: nn.LSTMCell
    head: nn.Linear

    def __init__(self, key, hidden=256, classes=10):
        a, b = jax.random.split(key)
        self.cell, self.head = nn.LSTMCell(hidden, hidden, key=a), nn.Linear(hidden, classes, key=b)

    def __call__(self, x):
        start = jnp.zeros(self.cell.hidden_size, x.dtype)
        (h, _), _ = jax.lax.scan(lambda state, now: (self.cell(now, state), None), (start, start), x)
        return self.head(h)


class Block(eqx.Module):
    norm1: nn.LayerNorm
    norm2: nn.LayerNorm
    attention: nn.MultiheadAttention
    up: nn.Linear
    down: nn.Linear
    drop: nn.Dropout
    causal: bool = eqx.field(static=True)

    def __init__(self, key, width, heads, causal, dropout=0.0):
        a, b, c = jax.random.split(key, 3)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(
            heads, width, use_query_bias=True, use_key_bias=True, use_value_bias=True, use_output_bias=True,
            dropout_p=dropout, key=a,
        )  # fmt: skip
        self.up, self.down = nn.Linear(width, 4 * width, key=b), nn.Linear(4 * width, width, key=c)
        self.drop = nn.Dropout(dropout)
        self.causal = causal

    def __call__(self, x, *, key=None):
        a, b, c = (None, None, None) if key is None else jax.random.split(key, 3)
        mask = jnp.tril(jnp.ones((len(x), len(x)), bool)) if self.causal else None
        y = jax.vmap(self.norm1)(x)
        x = x + self.drop(self.attention(y, y, y, mask=mask, key=a), key=b)
        y = jax.vmap(self.up)(jax.vmap(self.norm2)(x))
        return x + self.drop(jax.vmap(self.down)(gelu(y)), key=c)


class GPT(eqx.Module):
    token: nn.Embedding
    position: nn.Embedding
    drop: nn.Dropout
    blocks: nn.Sequential
    norm: nn.LayerNorm
    head: nn.Linear

    def __init__(self, key, vocabulary=1000, dropout=0.0, width=256, layers=4, heads=8, length=256):
        a, b, c, d = jax.random.split(key, 4)
        self.token, self.position = nn.Embedding(vocabulary, width, key=a), nn.Embedding(length, width, key=b)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.Sequential([Block(k, width, heads, True, dropout) for k in jax.random.split(c, layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, use_bias=False, key=d)

    def __call__(self, ids, *, key=None):
        a, b = (None, None) if key is None else jax.random.split(key)
        x = jax.vmap(self.token)(ids) + jax.vmap(self.position)(jnp.arange(len(ids)))
        x = self.blocks(self.drop(x, key=a), key=b)
        return jax.vmap(self.head)(jax.vmap(self.norm)(x))


class ViT(eqx.Module):
    patch: nn.Conv2d
    token: jax.Array
    position: jax.Array
    blocks: nn.Sequential
    norm: nn.LayerNorm
    head: nn.Linear

    def __init__(self, key, width=192, layers=12, heads=3, size=224, patch=16, classes=1000):
        a, b, c = jax.random.split(key, 3)
        self.patch = nn.Conv2d(3, width, patch, patch, key=a)
        self.token, self.position = jnp.zeros((1, width)), jnp.zeros(((size // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential([Block(k, width, heads, False) for k in jax.random.split(b, layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes, key=c)

    def __call__(self, x):
        x = self.patch(x)
        x = jnp.concatenate([self.token, x.reshape(len(x), -1).T]) + self.position
        return self.head(self.norm(self.blocks(x)[0]))


def conv(i, o, size, key, stride=1):
    return nn.Conv2d(i, o, size, stride, size // 2, use_bias=False, key=key)


def batch_norm(channels):
    return nn.BatchNorm(channels, "batch", momentum=0.9, mode="batch")


class Shortcut(nn.StatefulLayer):
    """What both residual blocks share: a way around them."""

    downsample: nn.Sequential | None

    def __init__(self, key, i, o, stride):
        plain = stride == 1 and i == o
        self.downsample = None if plain else nn.Sequential([conv(i, o, 1, key, stride), batch_norm(o)])

    def joined(self, x, out, state):
        if self.downsample is not None:
            x, state = self.downsample(x, state)
        return jax.nn.relu(out + x), state


class BasicBlock(Shortcut):
    conv1: nn.Conv2d
    bn1: nn.BatchNorm
    conv2: nn.Conv2d
    bn2: nn.BatchNorm
    expansion = 1

    def __init__(self, key, i, planes, stride):
        a, b, c = jax.random.split(key, 3)
        super().__init__(c, i, planes, stride)
        self.conv1, self.bn1 = conv(i, planes, 3, a, stride), batch_norm(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, b), batch_norm(planes)

    def __call__(self, x, state, *, key=None):
        out, state = self.bn1(self.conv1(x), state)
        out, state = self.bn2(self.conv2(jax.nn.relu(out)), state)
        return self.joined(x, out, state)


class Bottleneck(Shortcut):
    conv1: nn.Conv2d
    bn1: nn.BatchNorm
    conv2: nn.Conv2d
    bn2: nn.BatchNorm
    conv3: nn.Conv2d
    bn3: nn.BatchNorm
    expansion = 4

    def __init__(self, key, i, planes, stride):
        a, b, c, d = jax.random.split(key, 4)
        super().__init__(d, i, 4 * planes, stride)
        self.conv1, self.bn1 = conv(i, planes, 1, a), batch_norm(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, b, stride), batch_norm(planes)
        self.conv3, self.bn3 = conv(planes, 4 * planes, 1, c), batch_norm(4 * planes)

    def __call__(self, x, state, *, key=None):
        out, state = self.bn1(self.conv1(x), state)
        out, state = self.bn2(self.conv2(jax.nn.relu(out)), state)
        out, state = self.bn3(self.conv3(jax.nn.relu(out)), state)
        return self.joined(x, out, state)


class ResNet(eqx.Module):
    conv1: nn.Conv2d
    bn1: nn.BatchNorm
    pool: nn.MaxPool2d
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential
    fc: nn.Linear

    def __init__(self, key, block, layers, classes=1000):
        a, b, key = jax.random.split(key, 3)
        self.conv1, self.bn1, self.pool = conv(3, 64, 7, a, 2), batch_norm(64), nn.MaxPool2d(3, 2, 1)
        width, stages = 64, []
        for stage, (planes, count) in enumerate(zip((64, 128, 256, 512), layers)):
            blocks = []
            for n in range(count):
                key, own = jax.random.split(key)
                blocks.append(block(own, width, planes, 2 if stage and not n else 1))
                width = planes * block.expansion
            stages.append(nn.Sequential(blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(width, classes, key=b)

    def __call__(self, x, state):
        x, state = self.bn1(self.conv1(x), state)
        x = self.pool(jax.nn.relu(x))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x, state = stage(x, state)
        return self.fc(x.mean((1, 2))), state


def twice(i, o, key):
    a, b = jax.random.split(key)
    return nn.Sequential([
        nn.Conv2d(i, o, 3, padding=1, key=a), nn.GroupNorm(8, o), relu,
        nn.Conv2d(o, o, 3, padding=1, key=b), nn.GroupNorm(8, o), relu,
    ])  # fmt: skip


class UNet(eqx.Module):
    first: nn.Sequential
    downs: list[nn.Sequential]
    ups: list[nn.ConvTranspose2d]
    joins: list[nn.Sequential]
    last: nn.Conv2d

    def __init__(self, key, widths=(32, 64, 128, 256), channels=3):
        pairs = list(itertools.pairwise(widths))
        a, b, *keys = jax.random.split(key, 2 + 3 * len(pairs))
        down, up, join = (keys[n::3] for n in range(3))
        self.first = twice(channels, widths[0], a)
        self.downs = [nn.Sequential([nn.MaxPool2d(2, 2), twice(m, n, k)]) for (m, n), k in zip(pairs, down)]
        self.ups = [nn.ConvTranspose2d(n, m, 2, 2, key=k) for (m, n), k in zip(reversed(pairs), up)]
        self.joins = [twice(2 * m, m, k) for (m, _), k in zip(reversed(pairs), join)]
        self.last = nn.Conv2d(widths[0], channels, 1, key=b)

    def __call__(self, x):
        kept = [self.first(x)]
        for down in self.downs:
            kept.append(down(kept[-1]))
        x = kept.pop()
        for up, join in zip(self.ups, self.joins):
            x = join(jnp.concatenate([up(x), kept.pop()]))
        return self.last(x)


# How a model of one example is called with a batch: (model, state, x, key) to (out, state).


def plainly(model, state, x, key):
    return jax.vmap(model)(x), state


def with_dropout(model, state, x, key):
    return jax.vmap(lambda x, key: model(x, key=key))(x, jax.random.split(key, len(x))), state


def with_state(model, state, x, key):
    return jax.vmap(model, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(x, state)


def class_loss(out, y):
    return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()


def square_loss(out, y):
    return jnp.mean((out - y) ** 2)


momentum = partial(optax.sgd, 0.01, momentum=0.9)
adamw = partial(optax.adamw, 1e-3, weight_decay=1e-2)

# name: (model, call, loss, optimizer)
WORKLOADS = {
    "mlp": (mlp, plainly, class_loss, momentum),
    "cnn": (cnn, plainly, class_loss, momentum),
    "lstm": (LSTM, plainly, class_loss, momentum),
    "gpt": (GPT, plainly, class_loss, adamw),
    "gpt-32k": (partial(GPT, vocabulary=32000, dropout=0.1), with_dropout, class_loss, adamw),
    "resnet18": (partial(ResNet, block=BasicBlock, layers=(2, 2, 2, 2)), with_state, class_loss, momentum),
    "resnet50": (partial(ResNet, block=Bottleneck, layers=(3, 4, 6, 3)), with_state, class_loss, momentum),
    "vit": (ViT, plainly, class_loss, adamw),
    "unet": (UNet, plainly, square_loss, adamw),
}


# -- weights from PyTorch's layout ----------------------------------------------------------------------------------


def converted(path: tuple, weights) -> np.ndarray:
    """The value of one array of a model, up to its shape."""
    parts = [str(getattr(p, "name", getattr(p, "idx", None))) for p in path]
    *parts, leaf = [p for p in parts if p != "layers"]
    if parts == ["cell"]:
        if leaf == "bias":
            return weights["w:lstm.bias_ih_l0"] + weights["w:lstm.bias_hh_l0"]
        return weights[f"w:lstm.{leaf}_l0"]
    thirds = ["query_proj", "key_proj", "value_proj"]
    if parts and parts[-1] in thirds:
        return np.split(weights["w:" + ".".join([*parts[:-1], "qkv", leaf])], 3)[thirds.index(parts[-1])]
    if parts and parts[-1] == "output_proj":
        parts[-1] = "out"
    value = weights["w:" + ".".join([*parts, leaf])]
    if parts and parts[0] == "ups" and leaf == "weight":
        # Equinox correlates with the kernel where PyTorch convolves.
        return value.swapaxes(0, 1)[:, :, ::-1, ::-1]
    return value


def loaded(model, weights, dtype):
    """A model with the weights that the other engines have."""
    arrays, rest = eqx.partition(model, eqx.is_array)
    arrays = jax.tree_util.tree_map_with_path(
        lambda path, a: jnp.array(converted(path, weights).reshape(a.shape), dtype), arrays
    )
    return eqx.combine(arrays, rest)


class Task:
    """A workload: a model, its data, a train step and two inferences.

    Args:
        name: of the workload.
        weights: arrays by name: ``w:`` and a name in PyTorch's state, ``x`` and ``y``.
        dtype: of weights and data.
    """

    def __init__(self, name: str, weights, dtype: str = "float32"):
        build, call, loss_fn, transformation = WORKLOADS[name]
        optimizer = transformation()
        model, state = nn.make_with_state(build)(jax.random.key(0))
        model = loaded(model, weights, dtype)
        # Running statistics as wide as the weights, as the other engines have them.
        state = jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, state)
        x, y = self.placed(weights["x"], dtype), self.placed(weights["y"], dtype)
        one = x[:1]

        @eqx.filter_jit(donate="all-except-first")
        def step(batch, model, state, opt_state, key):
            x, y = batch
            key, mine = jax.random.split(key)

            def loss_of(model):
                out, after = call(model, state, x, mine)
                return loss_fn(out, y), after

            (loss, after), gradients = eqx.filter_value_and_grad(loss_of, has_aux=True)(model)
            updates, opt_state = optimizer.update(gradients, opt_state, eqx.filter(model, eqx.is_inexact_array))
            return loss, (eqx.apply_updates(model, updates), after, opt_state, key)

        @eqx.filter_jit
        def infer(model, state, x):
            return call(nn.inference_mode(model), state, x, jax.random.key(0))[0]

        self.state = (model, state, optimizer.init(eqx.filter(model, eqx.is_inexact_array)), jax.random.key(1))

        def train():
            loss, self.state = step((x, y), *self.state)
            return loss

        self.cases = {
            "train": train,
            "infer": lambda: infer(*self.state[:2], x),
            "infer1": lambda: infer(*self.state[:2], one),
        }

    def prepare(self, case: str) -> None:
        """Nothing: the two functions know what they are for."""

    @staticmethod
    def placed(a: np.ndarray, dtype: str) -> jax.Array:
        """Data as a user of this library has it: indices as int32."""
        return jnp.array(a, dtype if np.issubdtype(a.dtype, np.floating) else jnp.int32)
