"""Owns programs that take functions over with ``__torch_function__``, for rushlight and torch alike.

May import neither of the two: each program is given one of them, and says what it saw in plain values.
"""

from __future__ import annotations

import functools

PROGRAMS: dict = {}


def program(function):
    """Note a program under its name."""
    PROGRAMS[function.__name__] = function
    return function


def plain(value):
    """A result as plain values: tensors with their class, exceptions with the first part of what they say."""
    if isinstance(value, float):
        return round(value, 4) + 0.0
    if isinstance(value, (str, int, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Exception):
        said = str(value).split("\n\nFor more")[0].replace("rushlight._tensor.tensor.Tensor", "torch.Tensor")
        return type(value).__name__, said.replace("rushlight", "torch").replace("nn.functional.linear", "nn.linear")
    if isinstance(value, type):
        return value.__name__
    if hasattr(value, "tolist"):
        return type(value).__name__, plain(value.detach().tolist() if hasattr(value, "detach") else value.tolist())
    return type(value).__name__


def tried(call):
    """What a call gives, or what it raises."""
    try:
        return plain(call())
    except Exception as error:  # what is raised is what is compared
        return plain(error)


def logging(t, log):
    """A subclass that notes each function, with the types of its arguments, and computes it."""

    class Logging(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            names = sorted(kwargs or {})
            # torch's functions written in C++ bear the name of their namespace too.
            name = func.__name__.removeprefix("linalg_").removeprefix("fft_").removeprefix("special_")
            log.append((name, [type(a).__name__ for a in args], names, [kind.__name__ for kind in types]))
            return super().__torch_function__(func, types, args, kwargs)

    return Logging


def watching(t, log):
    """A mode that notes each function and computes it."""

    class Watching(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            log.append(func.__name__)
            return func(*args, **(kwargs or {}))

    return Watching


EXPRESSIONS = """
a + 1;1 + a;p + a;a + p;a - p;p - a;3 - a;a * p;2 * a;a / p;p / a;1 / a;a // p;p // a;7 // a;a % p;5 % a;a ** 2;p ** a;2 ** a
a @ p;p @ a;-a;+a;abs(a);~(a > 0);a == p;p == a;a != p;a < p;p < a;a <= 1;a > 1;1 > a;a >= p;a.int() << 1;a.int() >> 1
(a > 0) & (p > 0);(a > 0) | (a > 1);(a > 0) ^ (a > 1);len(a);a[0];a[0, 1];a[a > 1];a[:, None];a[[0, 1]]
float(a[0, 0]);int(a[0, 0]);bool(a[0, 0]);1.0 in a;reversed(a);list(a)
a.shape;a.dtype == t.float32;str(a.device);a.ndim;a.T;a.mT;a.requires_grad;a.is_leaf;a.grad;a.grad_fn;a.data;a.is_cuda
a.size();a.size(0);a.dim();a.numel();a.stride();a.is_contiguous();a.is_floating_point();a.element_size();a.type()
a.split(1);t.split(a, 1);t.split(a, [1, 1], dim=1);a.chunk(2);a.unbind();a.max(0);t.max(a, 0);a.max();a.sort();a.topk(1)
a.mean();t.mean(a);t.mean(a, 0);t.mean(a, dim=0, keepdim=True);a.sum();a.sum(0);a.sum(dim=1);a.std();a.var(0);a.norm()
t.norm(a);t.norm(a, 1);t.linalg.vector_norm(a);t.add(a, p, alpha=2);t.add(p, a);t.mul(a, 2);t.matmul(p, a);t.exp(a);t.clamp(a, 0, 2)
t.cat([a, p]);t.cat((p, a), dim=1);t.cat([p, p]);t.stack([a, a]);t.stack((p, a), 1);t.where(a > 1, a, p);t.where(p > 1, p, a)
t.zeros_like(a);t.ones_like(a, dtype=t.float64);t.empty_like(a).shape;t.full_like(a, 2.0);a.new_zeros(2);a.new_ones(1, 2)
t.allclose(a, p);t.equal(a, a);t.is_tensor(a);t.is_floating_point(a);t.numel(a);a.sum().item();a.tolist();a.numpy().tolist()
t.as_tensor(a);a.to(t.float64);a.to("cpu");a.cpu();a.double();a.float();a.long();a.type(t.float64);a.detach();a.clone();a.contiguous()
a.view(4);a.reshape(4);a.flatten();a.permute(1, 0);a.transpose(0, 1);a.t();a.unsqueeze(0);a.squeeze();a.expand(2, 2, 2).shape
a.clone().add_(1);a.clone().mul_(p);p.clone().add_(a);a.clone().zero_();a.clone().fill_(3.0);a.clone().copy_(p);a.clone().clamp_(min=2)
t.einsum("ij,jk->ik", a, p);t.tensordot(a, p, 1);t.meshgrid(a[0], p[0], indexing="ij");t.broadcast_tensors(a, p[0]);t.unique(a)
a.unique(return_counts=True);t.cdist(a, p);t.atleast_3d(a).shape;t.cumsum(a, 0);a.argmax();a.argmax(1);a.gather(1, a.long() * 0)
a.masked_fill(a > 1, 0.0);a.index_select(0, t.tensor([0]));t.tril(a);a.diagonal();t.outer(a[0], a[0]);t.trace(a);t.isnan(a).any()
F.relu(a);F.relu(a, inplace=False);F.gelu(a).round();F.silu(a);F.softmax(a, dim=1);F.softmax(a, 1);F.log_softmax(a, -1);F.leaky_relu(a, 0.2)
F.linear(a, p);F.linear(p, a);F.linear(p, p, a[0]);F.dropout(a, 0.5, False);F.dropout(a, p=0.0);F.layer_norm(a, [2]);F.normalize(a)
F.mse_loss(a, p);F.mse_loss(p, a, reduction="sum");F.cross_entropy(a, p);F.cross_entropy(p, a);F.smooth_l1_loss(a, p)
F.binary_cross_entropy_with_logits(a, p);F.pad(a, (1, 1));F.pad(a, [0, 1], value=2.0);F.one_hot(a.long() * 0);F.embedding(a.long() * 0, p)
F.max_pool2d(a[None], 2);F.avg_pool2d(a[None], 2);F.adaptive_avg_pool2d(a[None], 1)
F.interpolate(a[None, None], scale_factor=2);F.conv2d(a[None, None], p[None, None]);F.batch_norm(a, None, None, training=True)
F.group_norm(a, 1);F.cosine_similarity(a, p);F.scaled_dot_product_attention(a[None], p[None], a[None]);F.unfold(a[None, None], 1).shape
t.linalg.inv(a + t.eye(2));t.linalg.det(a);t.linalg.norm(a);t.fft.fft(a).real;t.special.erf(a);t.nn.init.ones_(a.clone())
t.nn.init.constant_(a.clone(), 2.0);t.nn.init.zeros_(a.clone());a.requires_grad_().requires_grad
""".replace("\n", ";").split(";")


@program
def expressions(t):
    """What a subclass sees of many expressions, and what each gives."""
    log: list = []
    kind = logging(t, log)
    p = t.tensor([[1.0, 2.0], [3.0, 5.0]])
    seen = {}
    for text in filter(None, EXPRESSIONS):
        scope = {"t": t, "F": t.nn.functional, "p": p, "a": p.clone().as_subclass(kind)}
        log.clear()
        result = tried(functools.partial(eval, text, scope))
        seen[text] = result, plain(log)
    return seen


@program
def bare_subclass(t):
    """A subclass without a handler stays itself through operators."""

    class Bare(t.Tensor):
        pass

    class More(Bare):
        pass

    x = t.arange(6.0).reshape(2, 3)
    b, m = x.as_subclass(Bare), x.clone().as_subclass(More)
    b[0].add_(10)
    linear = t.nn.Linear(3, 2)
    return plain([
        b + 1, x + b, t.cat([x, b]), b.max(0), b.split(1), b.T, b.shape, b.sum(), m + b, b + m, type(linear(b)), x,
        type(t.nn.Parameter(b)), isinstance(t.nn.Parameter(b), t.nn.Parameter), type(t.nn.Parameter(x) + 1),
        type(t.nn.Parameter(x).detach()), b.tolist(), t.equal(b, x), type(b.data), type(b.to(t.float64)),
    ])  # fmt: skip


@program
def gradients(t):
    """Results of a subclass keep their history, and gradients reach leaves of either kind."""

    class Bare(t.Tensor):
        pass

    x = t.tensor([1.0, 2.0], requires_grad=True)
    b = x.as_subclass(Bare)
    (b * b).sum().backward()
    leaf = t.tensor([3.0]).as_subclass(Bare).requires_grad_()
    y = (leaf * 2).sum()
    y.backward()
    z = t.nn.functional.mse_loss(b.detach() * t.ones(2, requires_grad=True), t.zeros(2))
    return plain([
        x.grad, b.is_leaf, b.requires_grad, leaf.grad, type(leaf.grad), leaf.is_leaf, y.grad_fn is not None, z,
        z.requires_grad, t.autograd.grad((x.as_subclass(Bare) ** 2).sum(), [x])[0],
    ])  # fmt: skip


@program
def metadata(t):
    """A class beside tensors that carries metadata through every function."""

    class MetadataTensor:
        def __init__(self, data, metadata=None, **kwargs):
            self._t = t.as_tensor(data, **kwargs)
            self._metadata = metadata

        def __repr__(self):
            return f"Metadata:\n{self._metadata}\n\ndata:\n{self._t}"

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if kwargs is None:
                kwargs = {}
            metadatas = tuple(a._metadata for a in args if hasattr(a, "_metadata"))
            args = [getattr(a, "_t", a) for a in args]
            assert len(metadatas) > 0
            ret = func(*args, **kwargs)
            return MetadataTensor(ret, metadata=metadatas[0])

    m = MetadataTensor([[1], [2]], metadata={"owner": "Ministry of Silly Walks"})
    x = t.tensor([[1, 2]])
    return [repr(t.add(x, m)), repr(t.mul(m, x)), repr(t.matmul(m, x)), repr(x + m), repr(x.sub(m))]


@program
def handled_functions(t):
    """A class beside tensors that implements some functions, which it is asked for by the functions themselves."""
    handled = {}

    def implements(function):
        def decorate(implementation):
            handled[function] = implementation
            return implementation

        return decorate

    class ScalarTensor:
        def __init__(self, n, value):
            self.n, self.value = n, value

        def tensor(self):
            return self.value * t.eye(self.n)

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func not in handled or not all(issubclass(kind, (t.Tensor, ScalarTensor)) for kind in types):
                return NotImplemented
            return handled[func](*args, **(kwargs or {}))

    @implements(t.mean)
    def mean(input):
        return float(input.value) / input.n

    @implements(t.add)
    def add(input, other):
        if isinstance(input, ScalarTensor) and isinstance(other, ScalarTensor):
            return ScalarTensor(input.n, input.value + other.value).tensor()
        return t.add(ensure(input), ensure(other))

    @implements(t.cat)
    def cat(tensors, dim=0):
        return t.cat([ensure(x) for x in tensors], dim)

    @implements(t.Tensor.add)
    def method_add(input, other):
        return "Tensor.add"

    @implements(t.nn.functional.gelu)
    def gelu(input, approximate="none"):
        return "gelu " + approximate

    def ensure(data):
        return data.tensor() if isinstance(data, ScalarTensor) else data

    s, x = ScalarTensor(2, 3), t.ones(2, 2)
    return plain([
        t.mean(s), t.add(s, s), t.add(s, x), t.add(x, s), t.cat([s, x]), t.cat((x, s), dim=1), x + s, x.add(s),
        t.nn.functional.gelu(s, approximate="tanh"), tried(lambda: t.mul(s, x)), tried(lambda: s + x),
        tried(lambda: x * s), x == s, tried(lambda: t.nn.functional.linear(x, s)), tried(lambda: t.stack([s])),
        tried(lambda: x.mul(s)), tried(lambda: t.linalg.matrix_power(s, 2))[0], tried(lambda: x[s]),
    ])  # fmt: skip


@program
def refusals(t):
    """What is said when everybody that is asked gives NotImplemented, and in which order they are."""
    asked = []

    def refusing(name, base):
        def handle(cls, func, types, args=(), kwargs=None):
            asked.append((cls.__name__, [kind.__name__ for kind in types]))
            return NotImplemented

        return type(name, base, {"__torch_function__": classmethod(handle)})

    first = refusing("First", (object,))
    second = refusing("Second", (first,))
    third = refusing("Third", (t.Tensor,))
    x = t.ones(2)
    a, b, c = first(), second(), x.as_subclass(third)
    F = t.nn.functional
    calls = {
        "add": lambda: t.add(a, b), "add2": lambda: t.add(b, a), "add3": lambda: t.add(x, c), "cat": lambda: t.cat([x, a, c]),
        "where": lambda: t.where(c, a, b), "relu": lambda: F.relu(a), "dropout": lambda: F.dropout(b),
        "loss": lambda: F.cross_entropy(x, c), "plus": lambda: x + c, "minus": lambda: x - a, "eq": lambda: x == a,
        "method": lambda: x.add(a), "in place": lambda: x.add_(c), "get": lambda: c.shape, "item": lambda: x[a],
        "constant": lambda: t.nn.init.constant_(a, 1), "split": lambda: t.split(a, 1), "shift": lambda: x @ b,
    }  # fmt: skip
    seen = {}
    for name, call in calls.items():
        asked.clear()
        seen[name] = [
            part.replace("<locals>.", "") if isinstance(part, str) else part for part in plain(tried(call) or [])
        ]
        seen[name] = [seen[name], plain(asked)]
    return seen


@program
def instances_and_disabling(t):
    """Who takes nothing over: exact tensors, parameters, classes that say so, and everybody inside the blocks."""

    class Off(t.Tensor):
        __torch_function__ = t._C._disabled_torch_function_impl

    class On(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return "taken"

    off, on, x = t.ones(2).as_subclass(Off), t.ones(2).as_subclass(On), t.ones(2)
    has = t.overrides.has_torch_function
    out = [type(off + 1), on + 1, x + on, has((off,)), has((on,)), has((x, t.nn.Parameter(x))), has((1, [on], "a"))]
    with t._C.DisableTorchFunctionSubclass():
        out += [type(on + 1), type(x + on), has((on,))]
        with t._C.DisableTorchFunctionSubclass():
            pass
        out += [type(on.mean())]
    with t._C.DisableTorchFunction():
        out += [type(on + 1), has((on,))]
    log: list = []
    with watching(t, log)():
        with t._C.DisableTorchFunctionSubclass():
            t.add(x, 1)
        with t._C.DisableTorchFunction():
            t.mul(x, 1)
    return plain([*out, on + 1, log])


@program
def containers(t):
    """Members of lists and tuples are looked at, whatever the function."""
    log: list = []
    kind = logging(t, log)
    a, p = t.ones(2).as_subclass(kind), t.ones(2)
    t.stack([p, a])
    t.stack((p, a))
    t.hstack([p, a])
    t.meshgrid(p, a, indexing="ij")
    t.block_diag(p, a)
    t.broadcast_tensors(p, a)
    p[a.long() * 0]
    p[(a.long() * 0,)]
    t.cartesian_prod(p, a)
    return [entry[0] for entry in log]


@program
def vision_tensors(t):
    """Classes as torchvision's: plain results, but for a few functions, and properties that ask nobody."""
    log = []

    class Vision(t.Tensor):
        @staticmethod
        def __new__(cls, data):
            return t.as_tensor(data).as_subclass(cls)

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if not all(issubclass(cls, kind) for kind in types):
                return NotImplemented
            with t._C.DisableTorchFunctionSubclass():
                output = func(*args, **kwargs or {})
            log.append(func.__name__)
            keep = (t.Tensor.clone, t.Tensor.to, t.Tensor.detach, t.Tensor.requires_grad_)
            if func in keep and isinstance(args[0], cls):
                return output.as_subclass(cls)
            return output

        @property
        def shape(self):
            with t._C.DisableTorchFunctionSubclass():
                return super().shape

        @property
        def ndim(self):
            with t._C.DisableTorchFunctionSubclass():
                return super().ndim

    class Boxes(Vision):
        pass

    v, b = Vision([[1.0, 2.0]]), Boxes([[3.0, 4.0]])
    kinds = [
        v + 1,
        v.clone(),
        v.to(t.float64),
        v.detach(),
        v * b,
        b + v,
        v.requires_grad_(),
        t.stack([v, b]),
        v[0],
        v.T,
    ]
    with t.no_grad():
        v.add_(1)
    return plain([[type(x) for x in kinds], list(v.shape), v.ndim, v.detach().tolist(), log])


@program
def classes_with_attributes(t):
    """Attributes set in ``__init__``, a handler that hands them on, copies, and training."""
    import copy

    class Tagged(t.Tensor):
        @staticmethod
        def __new__(cls, data, tag, **kwargs):
            return super().__new__(cls, data, **kwargs)

        def __init__(self, data, tag):
            self.tag = tag

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            result = super().__torch_function__(func, types, args, kwargs)
            tags = [a.tag for a in args if isinstance(a, cls) and hasattr(a, "tag")]
            if isinstance(result, cls) and tags and not hasattr(result, "tag"):
                result.tag = "+".join(tags)
            return result

        def doubled(self):
            return self * 2

    a, b = Tagged([1.0, 2.0], "a"), Tagged([3.0, 4.0], "b")
    old = t.Tensor._make_subclass(Tagged, t.ones(2), True)
    x, y = a + b, a.doubled().sum()
    return plain([
        x, x.tag, y, y.tag, (a * 1).tag, t.add(a, 1).tag, type(copy.copy(a)), copy.copy(a).tag, old.requires_grad,
        old.is_leaf, type(old), type(old.detach()), t.equal(a, a), repr(a + 1).split("(")[0], str(a.tolist()), a in [a],
        hash(a) == hash(a), type(a.numpy()).__name__, [type(r) for r in a], float(y), a.dtype == t.float32,
    ])  # fmt: skip


@program
def training_with_a_subclass(t):
    """Parameters, inputs and batches of a class, through a module, its gradients and an optimizer."""

    class Kept(t.Tensor):
        pass

    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 1))
    net[0].weight = t.nn.Parameter(net[0].weight.detach().as_subclass(Kept))
    optimizer = t.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    data = t.utils.data.TensorDataset(t.arange(12.0).reshape(4, 3).as_subclass(Kept) / 10, t.ones(4, 1))
    losses = []
    for _ in range(2):
        for x, y in t.utils.data.DataLoader(data, batch_size=2):
            optimizer.zero_grad()
            loss = t.nn.functional.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    state = net.state_dict()
    return plain(
        [losses, type(net[0].weight), type(loss), type(x), [type(v) for v in state.values()], type(net[0].weight.grad)]
    )
