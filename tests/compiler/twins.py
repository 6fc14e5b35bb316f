"""Builds a program twice, runs one copy eagerly and the other compiled, and compares everything they hold."""

import copy

import numpy as np

import rushlight as torch


def host(value):
    return value.detach().to(torch.float64).numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def close(a, b, what="", rtol=2e-5, atol=1e-6):
    """Compare two results of any structure."""
    assert type(a) is type(b) or (isinstance(a, (int, float)) and isinstance(b, (int, float))), (what, type(a), type(b))
    if isinstance(a, dict):
        assert list(a) == list(b), what
        for key in a:
            close(a[key], b[key], f"{what}[{key!r}]", rtol, atol)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), what
        for i, (x, y) in enumerate(zip(a, b)):
            close(x, y, f"{what}[{i}]", rtol, atol)
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape, (what, a.dtype, b.dtype, a.shape, b.shape)
        np.testing.assert_allclose(host(a), host(b), rtol=rtol, atol=atol, err_msg=what)
    elif a is not None:
        assert a == b or (a != a and b != b), (what, a, b)


def state(*objects):
    """All that models and optimizers hold, gradients included."""
    out = []
    for o in objects:
        if isinstance(o, torch.nn.Module):
            out.append({name: t.detach() for name, t in [*o.named_parameters(), *o.named_buffers()]})
            out.append({name: p.grad for name, p in o.named_parameters()})
        elif isinstance(o, torch.optim.Optimizer):
            out.append(copy.deepcopy(o.state_dict()))
        else:
            out.append(o)
    return out


class Twins:
    """Two copies of a program.

    Args:
        make: builds the objects and returns ``(step, *objects)``.
    """

    def __init__(self, make, seed=0, **options):
        torch.manual_seed(seed)
        self.eager, *self.eager_objects = make()
        torch.manual_seed(seed)
        plain, *self.compiled_objects = make()
        self.compiled = torch.compile(plain, **options)

    def run(self, *args, times=1, **kwargs):
        """Call both and compare results and state; returns the compiled result."""
        for i in range(times):
            a = self.eager(*copy.deepcopy(args), **kwargs)
            b = self.compiled(*copy.deepcopy(args), **kwargs)
            close(a, b, f"result of call {i}")
            self.compare()
        return b

    def both(self, change):
        """Do the same thing to both copies."""
        change(*self.eager_objects)
        change(*self.compiled_objects)

    def compare(self):
        close(state(*self.eager_objects), state(*self.compiled_objects), "state")

    @property
    def compiles(self):
        return torch.compile.explain(self.compiled).compiles


def follows(plain, changes) -> None:
    """What a compiled function gives after each change is what the plain one gives, in a program for each at most."""
    compiled = torch.compile(plain, fullgraph=True)
    eager = plain.forward if isinstance(plain, torch.nn.Module) else plain
    x, seen = torch.arange(3.0) - 1, []
    for change in (None, *changes):
        if change is not None:
            change()
        expected, found = eager(x), compiled(x)
        assert found.dtype is expected.dtype
        np.testing.assert_array_equal(found.detach().numpy(), expected.detach().numpy())
        assert not seen or expected.dtype is not seen[-1].dtype or not torch.equal(expected, seen[-1])
        seen.append(expected)
    compiled(x)
    assert torch.compile.explain(compiled).compiles <= len(seen)
