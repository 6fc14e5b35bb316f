"""``torch.func``, ``torch.vmap`` and ``autograd.functional``, run in both libraries: values, gradients, errors."""

import numpy as np
import pytest
from module_programs import Log, plain

import rushlight

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]


def data(t, *shape, seed=0):
    values = np.random.default_rng(seed).uniform(-1, 1, shape)
    return t.tensor(values.tolist(), dtype=t.float64).reshape(shape)


def inner_detach(t, x):
    return (x * x.detach()).sum() + (x**2).sum().item()


def inner_no_grad(t, x):
    with t.no_grad():
        y = x**2
    return (x - y).sum()


def in_place(t, x):
    out = t.zeros(3, dtype=x.dtype)
    out[0] = x[0]
    out[1:] = x[1:] * 2
    y = x.clone()
    y.mul_(out)
    return y.sum()


def branch(t, x):
    return x.sin().sum() if x.sum() > 0 else x.cos().sum()


def aux(t, x):
    return (x**3).sum(), {"double": x * 2}


def two(t, x, y):
    return {"a": (x * y).sum(), "b": [x.sin(), y**2]}


def closure(t, x):
    """Gradients reach a tensor that the function refers to, and the argument."""
    w = data(t, 3, seed=5).requires_grad_()
    x = x.requires_grad_()
    value = t.func.grad(lambda z: (w * z**3).sum())(x)
    second = t.func.jvp(lambda z: w * z**2, (x,), (x,))[1]
    (value.sum() + (second**2).sum()).backward()
    return value, second, w.grad, x.grad


def nested(t, x):
    return t.func.grad(lambda a: a * t.func.grad(lambda b: a * b**2)(a))(x[0])


def reverse_over_forward(t, x):
    return t.func.jacrev(t.func.jacfwd(lambda z: z.sin() * z.prod()))(x)


def per_sample(t, x):
    w, b = data(t, 2, 3, seed=2), data(t, 2, seed=3)
    batch, target = data(t, 4, 3, seed=4), data(t, 4, 2, seed=6)

    def loss(params, one, wanted):
        return ((t.nn.functional.linear(one, params["w"], params["b"]).tanh() - wanted) ** 2).sum()

    return t.vmap(t.func.grad(loss), in_dims=(None, 0, 0))({"w": w, "b": b}, batch, target)


def through_vmap(t, x):
    """Gradients from outside through a vmapped function: to its arguments, and to what it refers to."""
    w = data(t, 3, 3, seed=2).requires_grad_()
    c = (w * 2).sum(0)
    x = data(t, 4, 3).requires_grad_()
    y = data(t, 2, 4, seed=9).requires_grad_()

    def one(row, column, shared):
        return (w @ row).sin() * column.sum() + c + shared.mean(), shared * 2

    out, same = t.vmap(one, in_dims=(0, 1, None), out_dims=(1, 0))(x, y, x)
    (first,) = t.autograd.grad((out**2).sum() + same.sum(), x, create_graph=True)
    ((first**2).sum() + (out**3).sum()).backward()
    return out, same, first, x.grad, y.grad, w.grad


def nested_vmap(t, x):
    a, b = data(t, 4, 3).requires_grad_(), data(t, 5, 3, seed=1).requires_grad_()
    out = t.vmap(lambda p: t.vmap(lambda q: (p * q).sum().exp())(b))(a)
    out.sum().backward()
    return out, a.grad, b.grad


def modules(t, x):
    t.manual_seed(3)
    nets = [t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU(), t.nn.Linear(4, 1)) for _ in range(3)]
    params, buffers = t.func.stack_module_state(nets)
    batch = t.ones(5, 3)

    def call(p, b, rows):
        return t.func.functional_call(nets[0], (p, b), (rows,))

    out = t.vmap(call, in_dims=(0, 0, None))(params, buffers, batch)
    out.sum().backward()
    direct = t.vmap(nets[1])(batch)
    direct.sum().backward()
    return out, {k: v.grad for k, v in params.items()}, direct, nets[1][0].weight.grad


def random_numbers(t, x):
    t.manual_seed(1)
    batch = t.ones(3, 2)
    same = t.vmap(lambda row: row + t.rand(2), randomness="same")(batch)
    different = t.vmap(lambda row: row + t.rand(2), randomness="different")(batch)
    chunks = t.vmap(lambda row: row + t.rand(2), randomness="same", chunk_size=2)(batch)
    dropped = t.vmap(lambda row: t.nn.functional.dropout(row), randomness="different")(batch)
    return same, different, chunks, dropped


PROGRAMS = {
    "grad": lambda t, x: t.func.grad(lambda z: (z**3).sum())(x),
    "grad twice": lambda t, x: t.func.grad(t.func.grad(lambda z: z**4))(x[0]),
    "grad and value": lambda t, x: t.func.grad_and_value(lambda z: aux(t, z), has_aux=True)(x),
    "grad of two": lambda t, x: t.func.grad(lambda a, b: (a * b**2).sum(), argnums=(1, 0))(x, x),
    "grad of a dict": lambda t, x: t.func.grad(lambda d, k=2: (d["x"] ** k).sum())({"x": x, "y": x}, k=3),
    "detach": lambda t, x: t.func.grad(lambda z: inner_detach(t, z))(x),
    "no_grad inside": lambda t, x: t.func.grad(lambda z: inner_no_grad(t, z))(x),
    "in place": lambda t, x: t.func.grad(lambda z: in_place(t, z))(x),
    "branch": lambda t, x: t.func.grad(lambda z: branch(t, z))(x),
    "unused": lambda t, x: t.func.grad(lambda a, b: a.sum(), argnums=(0, 1))(x, x),
    "closure": closure,
    "nested": nested,
    "vjp": lambda t, x: t.func.vjp(lambda z: {"s": z.sin(), "p": z.prod()}, x)[1]({"s": x, "p": x[0]}),
    "vjp with aux": lambda t, x: (lambda r: (r[0], r[1](x), r[2]))(t.func.vjp(lambda z: (z**2, z), x, has_aux=True)),
    "jvp": lambda t, x: t.func.jvp(lambda a, b: (a.sin() * b, b.sum()), (x, x * 2), (x, t.ones_like(x))),
    "jvp with aux": lambda t, x: t.func.jvp(lambda z: (z**2, z), (x,), (x,), has_aux=True),
    "jvp of constants": lambda t, x: t.func.jvp(lambda z: (z * 0 + 1, t.ones(2)), (x,), (x,)),
    "linearize": lambda t, x: (lambda r: (r[0], r[1](x), r[1](x * 2)))(t.func.linearize(lambda z: z.sin(), x)),
    "jacrev": lambda t, x: t.func.jacrev(lambda a, b: two(t, a, b), argnums=(0, 1))(x, x * 2),
    "jacrev in chunks": lambda t, x: [t.func.jacrev(lambda z: z.sin() * z.sum(), chunk_size=n)(x) for n in (1, 2, 9)],
    "jacfwd": lambda t, x: t.func.jacfwd(lambda a, b: two(t, a, b), argnums=(0, 1))(x, x * 2),
    "jacfwd with aux": lambda t, x: t.func.jacfwd(lambda z: (z**2, z), has_aux=True)(x),
    "hessian": lambda t, x: t.func.hessian(lambda z: (z.sin() * z.prod()).sum())(x),
    "reverse over forward": reverse_over_forward,
    "per sample": per_sample,
    "vmap dims": lambda t, x: t.vmap(lambda a, b: (a + b, a * 2), in_dims=(1, None), out_dims=(0, -1))(
        data(t, 3, 4), x
    ),
    "vmap nested values": lambda t, x: t.vmap(lambda d: {"o": d["a"] * d["b"][0]}, in_dims=({"a": 0, "b": [None]},))(
        {"a": data(t, 4, 3), "b": [x]}
    ),
    "vmap of constants": lambda t, x: t.vmap(lambda z: x * 2)(data(t, 4, 3)),
    "vmap out_dims None": lambda t, x: t.vmap(lambda z: (z, 3), out_dims=(0, None))(data(t, 4, 3)),
    "vmap in chunks": lambda t, x: t.vmap(lambda z: (z * 2, z.sum()), chunk_size=2)(data(t, 5, 3)),
    "vmap sort and index": lambda t, x: t.vmap(lambda z, i: (z.sort()[0], z[i], t.where(z > 0, z, -z)))(
        data(t, 4, 3), t.tensor([[0, 1], [2, 2], [1, 0], [0, 0]])
    ),
    "vmap of matmul": lambda t, x: t.vmap(t.matmul, in_dims=(0, None))(data(t, 4, 2, 3), data(t, 3, 5)),
    "through vmap": through_vmap,
    "nested vmap": nested_vmap,
    "modules": modules,
    "random numbers": random_numbers,
    "functional.jacobian": lambda t, x: [
        t.autograd.functional.jacobian(lambda a, b: (a * b, b.sum()), (x, x * 2), vectorize=v) for v in (False, True)
    ],
    "functional.jacobian forward": lambda t, x: t.autograd.functional.jacobian(
        lambda z: z.sin() * z.sum(), x, vectorize=True, strategy="forward-mode"
    ),
    "functional.hessian": lambda t, x: t.autograd.functional.hessian(lambda a, b: (a**2 * b).sum(), (x, x * 2)),
    "functional.vjp": lambda t, x: t.autograd.functional.vjp(lambda z: z.sin(), x, x),
    "functional.jvp": lambda t, x: t.autograd.functional.jvp(lambda z: z.sin() * z.sum(), x, x),
    "functional.vhp": lambda t, x: t.autograd.functional.vhp(lambda z: (z**3).sum(), x, x),
    "functional.hvp": lambda t, x: t.autograd.functional.hvp(lambda z: (z**3).sum(), x, x),
    "batched grad": lambda t, x: (
        lambda z: t.autograd.grad(z.sin(), z, t.eye(3, dtype=t.float64), is_grads_batched=True)
    )(x.requires_grad_()),
}


def leaves(value):
    """A result as nested plain values; the types of tensors' classes and of dicts do not matter."""
    return plain(value)


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, 1e-6, 1e-7, equal_nan=True))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a == b


@pytest.mark.parametrize("name", PROGRAMS)
def test_values(name):
    ours, theirs = (leaves(PROGRAMS[name](t, data(t, 3))) for t in (rushlight, torch))
    assert same(ours, theirs), f"{ours}\nis not\n{theirs}"


def messages(t, log):
    f, x = t.func, data(t, 3)
    log.tried(lambda: f.grad(lambda z: z)(x))
    log.tried(lambda: f.grad(lambda z: 3)(x))
    log.tried(lambda: f.grad(lambda z: z.sum(), has_aux=True)(x))
    log.tried(lambda: f.grad(lambda z: z.sum(), argnums=1)(x))
    log.tried(lambda: f.grad(lambda z: z.sum(), argnums=(0, 0))(x))
    log.tried(lambda: f.grad(lambda z: z.sum(), argnums=())(x))
    log.tried(lambda: f.grad(lambda z: z.sum())(3.0))
    log.tried(lambda: f.vjp(lambda z: 3, x))
    log.tried(lambda: f.vjp(lambda z: z > 0, x))
    log.tried(lambda: f.vjp(lambda z: (), x))
    log.tried(lambda: f.jvp(lambda z: z, x, x))
    log.tried(lambda: f.jvp(lambda z: z, (), ()))
    log.tried(lambda: f.jvp(lambda z: 3, (x,), (x,)))
    log.tried(lambda: f.jvp(lambda z: z, (x,), (3,)))
    log.tried(lambda: f.jvp(lambda z: t.ones(2), (x,), (x,), strict=True))
    log.tried(lambda: f.jacrev(lambda z: z, chunk_size=0))
    log.tried(lambda: f.jacrev(lambda z: z)(x.to(t.complex128)))
    log.tried(lambda: f.jacfwd(lambda z: z)(x.to(t.complex128)))
    log.tried(lambda: f.functionalize(lambda z: z, remove="all"))
    for options in (
        {"in_dims": "a"}, {"in_dims": (0, 0)}, {"in_dims": 1}, {"in_dims": None}, {"out_dims": "a"},
        {"out_dims": (0, 0)}, {"out_dims": None}, {"chunk_size": 0}, {"randomness": "some"}, {"in_dims": (None,)},
    ):  # fmt: skip
        if options not in ({"in_dims": (0, 0)}, {"out_dims": (0, 0)}):  # these print how values are nested
            log.tried(lambda options=options: t.vmap(t.sin, **options)(x))
    log.tried(lambda: t.vmap(t.sin)())
    log.tried(lambda: t.vmap(t.add)(x, data(t, 4)))
    log.tried(lambda: t.vmap(lambda z: 3)(x))
    log.tried(lambda: t.vmap(lambda z: t.rand(2))(x))
    log.tried(lambda: t.vmap(t.add)(x, 3))
    net = t.nn.Linear(2, 1)
    log.tried(lambda: f.functional_call(net, [{"weight": x}, {"weight": x}], x))
    log.tried(lambda: f.functional_call(net, 3, x))
    log.tried(lambda: f.functional_call(net, [3], x))
    log.tried(lambda: f.functional_call(net, {"a.b": x}, x))
    log.tried(lambda: f.stack_module_state([]))
    log.tried(lambda: f.stack_module_state([net, t.nn.Linear(2, 1).eval()]))
    log.tried(lambda: f.stack_module_state([net, t.nn.ReLU()]))
    net.tied = net.weight
    log.add(f.functional_call(net, {"weight": t.ones(1, 2), "bias": t.zeros(1)}, t.ones(2)), net.tied is net.weight)
    log.tried(lambda: f.functional_call(net, {"weight": t.ones(1, 2), "tied": t.zeros(1, 2)}, t.ones(2)))


def test_messages():
    ours, theirs = Log(), Log()
    messages(rushlight, ours)
    messages(torch, theirs)
    for i, (a, b) in enumerate(zip(ours, theirs)):
        assert a == b, f"report {i}: {a} is not {b}"
    assert len(ours) == len(theirs)
