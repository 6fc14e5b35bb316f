"""Owns programs with modes that take functions over, and about names of functions, for rushlight and torch alike.

May import neither of the two: each program is given one of them.
"""

from __future__ import annotations

import functools

from ._override_programs import logging, plain, program, tried, watching


@program
def mode_expressions(t):
    """What a mode sees: functions that take no tensors too, and Python's operators by their methods."""
    F, log, seen = t.nn.functional, [], {}
    x = t.ones(2, 2)
    texts = """t.zeros(2);t.ones(2);t.empty(2);t.full((2,), 1.0);t.arange(3);t.eye(2);t.linspace(0, 1, 3);t.tensor([1]);t.as_tensor([1])
    t.rand(2).shape;t.randn(2).shape;t.randperm(3).shape;t.zeros_like(x);x + 1;1 + x;x - x;2 - x;x / 2;x[0];x.shape;x.sum();x.mean(0).shape
    t.is_tensor(x);t.get_default_dtype();t.is_grad_enabled();t.manual_seed(0);F.relu(x);F.softmax(x, 1);x.view(4)
    t.result_type(x, x);t.can_cast(t.int32, t.float32);repr(x);len(x);x @ x;x == x;t.cat([x, x])
    t.broadcast_shapes((1,), (2,));t.einsum("ij->i", x);F.cross_entropy(x, x);x.backward;x.requires_grad;x.T;x.item;t.stack([x]).sum().item()
    x.clone().add_(1);t.nn.init.constant_(t.empty(2), 1.0);x.to(t.float64);x.new_zeros(2);t.bartlett_window(3);t.Generator()"""
    for text in filter(None, (line.strip() for line in texts.replace("\n", ";").split(";"))):
        log.clear()
        with watching(t, log)():
            eval(text, {"t": t, "F": F, "x": x})
        seen[text] = list(log)
    return seen


@program
def nested_modes(t):
    """Inner modes are asked first; what they call goes to the next one out, and not to themselves."""
    log = []

    class Mode(t.overrides.TorchFunctionMode):
        def __init__(self, name):
            self.name = name

        def __torch_function__(self, func, types, args=(), kwargs=None):
            log.append((self.name, func.__name__))
            if self.name == "scale" and func is t.add:
                return func(t.mul(args[0], 10), *args[1:])
            return func(*args, **(kwargs or {}))

    class Pass(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            log.append(("pass", func.__name__))
            return NotImplemented

    x = t.ones(2)
    out = []
    with Mode("outer"):
        with Mode("scale"):
            out.append(t.add(x, 1))
        out.append(t.add(x, 1))
    same = Mode("twice")
    with same, same:
        out.append(t.add(x, 1))
    with t.overrides.BaseTorchFunctionMode():
        out.append(t.add(x, 1))
    with Pass():
        out.append(tried(lambda: t.add(x, 1))[0])
    try:
        with Mode("raises"):
            t.add(x, t.ones(3))
    except RuntimeError:
        out.append("raised")
    before = len(log)
    out.append(t.add(x, 1))
    return plain([out, log, len(log) - before])


@program
def modes_and_subclasses(t):
    """A mode is asked before classes; a class whose mode declines is asked next."""
    log: list = []
    kind = logging(t, log)
    a = t.ones(2).as_subclass(kind)

    class First(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            log.append(("mode", func.__name__, [k.__name__ for k in types]))
            return func(*args, **(kwargs or {}))

    class Declines(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            log.append(("declines", func.__name__))
            return NotImplemented

    with First():
        one = t.add(a, 1)
    with Declines():
        two = tried(lambda: t.nn.functional.gelu(a))[0]
    return plain([one, two, log])


@program
def redirecting_dtype(t):
    """A mode that makes every factory give float64."""

    class Doubles(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = dict(kwargs or {})
            if func in (t.zeros, t.ones, t.empty, t.full, t.rand) and "dtype" not in kwargs:
                kwargs["dtype"] = t.float64
            return func(*args, **kwargs)

    with Doubles():
        made = [t.zeros(2), t.ones(2, dtype=t.float32), t.rand(2), t.zeros(1) + t.ones(1), t.nn.Linear(2, 2).weight]
    return [str(x.dtype).rpartition(".")[2] for x in made]


@program
def counting_calls(t):
    """A mode that counts what a training step calls."""
    counts: dict = {}

    class Counting(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            name = t.overrides.resolve_name(func) or func.__name__
            counts[name] = counts.get(name, 0) + 1
            return func(*args, **(kwargs or {}))

    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU(), t.nn.Linear(4, 2))
    x, y = t.ones(5, 3), t.zeros(5, dtype=t.int64)
    with Counting():
        for _ in range(2):
            t.nn.functional.cross_entropy(net(x), y).backward()
    return counts


@program
def direct_references(t):
    """Functions that were taken out of their namespaces before anybody took over are seen too."""
    F = t.nn.functional
    from_torch = [t.cat, t.exp, t.split, t.einsum, F.relu, F.softmax, F.linear, F.dropout, t.linalg.inv, t.special.erf]
    bound = t.ones(2, 2).add
    partial = functools.partial(F.softmax, dim=1)
    log: list = []
    kind = logging(t, log)
    a = t.eye(2).as_subclass(kind)
    cat, exp, split, einsum, relu, softmax, linear, dropout, inv, erf = from_torch
    out = [
        cat([a, a]), exp(a), split(a, 1), einsum("ij->i", a), relu(a), softmax(a, 1), linear(a, a), dropout(a, 0.0),
        type(inv(a)), erf(a), bound(a), partial(a),
    ]  # fmt: skip
    return plain([out, [entry[0] for entry in log][:8]])


@program
def names_of_functions(t):
    """How functions are called, and which belong to tensors."""
    o, F = t.overrides, t.nn.functional
    some = [
        t.add, t.Tensor.add, F.relu, t.relu, t.Tensor.shape.__get__, t.cat, t.split, t.Tensor.split, t.linalg.svd,
        t.fft.fft, t.nn.init.constant_, F.conv2d, t.einsum, t.Tensor.__getitem__, t.Tensor.__add__, F.layer_norm,
        t.Tensor.max, t.max, t.nn.init.xavier_uniform_, t.manual_seed, print,
    ]  # fmt: skip
    listed = o.get_overridable_functions()
    ignored = o.get_ignored_functions()
    return plain([
        [o.resolve_name(f) for f in some], [o.is_tensor_method_or_property(f) for f in some],
        [t.add in listed[t], t.Tensor.add in listed[t.Tensor], F.relu in listed[F], t.zeros in listed[t]],
        [f in ignored for f in (t.zeros, t.tensor, t.add, t.manual_seed, t.is_tensor, t.Tensor.as_subclass)],
        [o.is_tensor_like(v) for v in (t.ones(1), 1, None, [t.ones(1)])],
        o.get_testing_overrides()[t.add](t.ones(1), t.ones(1)),
    ])  # fmt: skip


@program
def own_functions(t):
    """Functions of the user's own that ask."""

    def double(x):
        if t.overrides.has_torch_function((x,)):
            return t.overrides.handle_torch_function(double, (x,), x)
        return x * 2

    @t.overrides.wrap_torch_function(lambda x: (x,))
    def triple(x):
        return x * 3

    class Mine:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, [kind.__name__ for kind in types], len(args), sorted(kwargs or {})

    log: list = []
    with watching(t, log)():
        double(t.ones(1))
        triple(t.ones(1))
    return plain([double(Mine()), triple(Mine()), double(t.ones(1)), triple(t.ones(1)), log])


@program
def recursion_into_a_mode(t):
    """A handler that enters its mode again sees what the function calls in Python."""
    log = []

    class Again(t.overrides.TorchFunctionMode):
        depth = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            log.append(func.__name__)
            if func.__name__ == "mine":
                with self:
                    return func.plain(*args)
            return func(*args, **(kwargs or {}))

    def mine(x):
        return t.overrides.handle_torch_function(mine, (x,), x) if t.overrides.has_torch_function((x,)) else None

    mine.plain = lambda x: t.exp(t.add(x, 1))
    with Again():
        mine(t.zeros(1))
    return log
