"""Results of compiled functions that share memory in eager do so too: with each other, with arguments, with state."""

import pytest

import rushlight as torch
from rushlight import nn


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3).clone())
        self.register_buffer("total", torch.zeros(2, 3))
        self.last = None
        self.kept = None


def returned_and_kept(m, x):
    m.last = x * 2
    return m.last


def kept_detached(m, x):
    h = x * m.weight
    m.last = h.detach()
    return h, m.last


def kept_view(m, x):
    h = (x * m.weight).detach()
    m.last = h[0]
    return h


CASES = {
    "a_row": lambda m, x: ((h := x * 2), h[0]),
    "a_row_before": lambda m, x: ((h := x * 2)[0], h),
    "views_of_views": lambda m, x: ((h := x * 2), h.t(), h.t()[1:], h.view(-1)),
    "rows_alone": lambda m, x: ((h := x * 2)[0], h[0, 1:], h[1]),
    "overlapping": lambda m, x: ((h := x * 2)[:, :2], h[:, 1:]),
    "detached": lambda m, x: ((h := x * 2), h.detach(), h.detach()[1]),
    "detached_views": lambda m, x: ((h := (x * 2).detach())[0].detach(), h[0].detach()),
    "argument_view": lambda m, x: (x.view(-1), x),
    "argument_row": lambda m, x: x[1],
    "argument_detached": lambda m, x: (x.detach(), x * 2),
    "argument_written": lambda m, x: (x.detach().add_(1)[0], x.t()),
    "state_view": lambda m, x: (m.total, m.total[0], x * 2),
    "state_written": lambda m, x: (m.total.add_(x.detach())[0], m.total.view(-1)),
    "parameter_view": lambda m, x: (m.weight, m.weight.t(), m.weight.detach()[0]),
    "with_history": lambda m, x: ((h := x * m.weight), h[0], h.t()),
    "in_a_dict": lambda m, x: {"h": (h := x * m.weight), "rows": [h[0], h[1]]},
    "returned_and_kept": returned_and_kept,
    "kept_detached": kept_detached,
    "kept_view": kept_view,
    "apart": lambda m, x: (x * 2, (x * 2)[0]),
}


def leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [t for v in value for t in leaves(v)] if isinstance(value, (list, tuple)) else [value]


def relations(tensors):
    """What shares memory, and how, for each pair and each tensor."""
    pairs = [
        (a.untyped_storage() == b.untyped_storage(), a.data_ptr() == b.data_ptr()) for a in tensors for b in tensors
    ]
    whose = [[a._base is b for b in tensors] for a in tensors]
    return pairs, whose


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("given", ["leaf", "with_grad", "view"])
def test_results_share_memory_as_in_eager(case, given):
    seen = []
    for compile in (torch.compile, lambda f: f):
        m = Holder()
        run = compile(CASES[case])
        found = []
        for n in range(3):
            x = torch.arange(6.0).reshape(2, 3).clone() + n
            if given == "with_grad":
                x.requires_grad_()
            elif given == "view":
                x = torch.stack([x, x])[1]
            out = leaves(run(m, x))
            held = [*out, x, m.total, m.weight, *([m.last] if m.last is not None else [])]
            found.append(relations(held))
            found.append([t.requires_grad for t in held])
            if len(out) > 1 or case != "argument_row":
                multi = [t for t in out if t.untyped_storage() == out[0].untyped_storage()]
                found.append(
                    [(t.stride(), t.storage_offset(), t._is_view()) for t in multi] if len(multi) > 1 else None
                )
            with torch.no_grad():
                versions = [t._version for t in held]
                for i, t in enumerate(out):
                    t.detach().mul_(i + 2)
                found.append([t._version - v for t, v in zip(held, versions)])
            found.append([t.detach().tolist() for t in held])
        seen.append(found)
    for got, wanted in zip(*seen):
        assert got == wanted


def test_gradients_through_results_that_share_memory():
    grads = []
    for compile in (torch.compile, lambda f: f):
        w = torch.arange(6.0).reshape(2, 3).clone().requires_grad_()
        run = compile(lambda w: ((h := w * 2), h[0], h.t()))
        for n in range(3):
            h, row, turned = run(w)
            if n == 1:
                h.mul_(3)  # the views show it, and their gradients go through it
            if n == 2:
                row.mul_(5)
            (h.sum() + (row * row).sum() + (turned * 7).sum()).backward()
            grads.append(w.grad.tolist())
            w.grad = None
    assert grads[:3] == grads[3:]


def test_a_moving_start_is_a_number_of_the_program():
    run = torch.compile(lambda x, n: ((h := x * 2), h[n]))
    for n in range(4):
        h, row = run(torch.arange(10.0).reshape(5, 2), n)
        h.add_(1)
        assert row.tolist() == h[n].tolist() and row._is_view()


def test_a_view_alone_does_not_carry_the_whole_along():
    run = torch.compile(lambda x: (x * 2)[0])
    assert run(torch.ones(100, 2)).untyped_storage().nbytes() == 8
    parts = torch.compile(lambda x: (x * 2).chunk(2))(torch.ones(100, 2))
    assert [p.untyped_storage().nbytes() for p in parts] == [400, 400]


def test_lists_and_dicts_outside_come_back_themselves():
    held, names = {"a": torch.ones(2)}, [1, 2]
    run = torch.compile(lambda x: (x * held["a"], held, names, [names]))
    for _ in range(3):
        out = run(torch.ones(2))
        assert out[1] is held and out[2] is names and out[3][0] is names
