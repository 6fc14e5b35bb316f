"""Inside a compiled function, arguments and tensors outside have the strides, memory and history they have in eager."""

import warnings

import pytest

import rushlight as torch


def transposed():
    return torch.arange(6.0).reshape(2, 3).t()


def columns():
    return torch.arange(12.0).reshape(3, 4)[:, :2]


def contiguous():
    return torch.arange(6.0).reshape(3, 2).clone()


def rows():
    return torch.arange(12.0).reshape(6, 2)[2:5]


def expanded():
    return torch.ones(2).expand(3, 2)


def with_history():
    return torch.arange(6.0).reshape(3, 2).requires_grad_() * 2


def view_with_history():
    return (torch.arange(6.0).requires_grad_() * 2).view(3, 2)


def leaf():
    return torch.arange(6.0).reshape(3, 2).clone().requires_grad_()


KINDS = [contiguous, transposed, columns, rows, expanded, with_history, view_with_history, leaf]


def _tried(run):
    try:
        return run()
    except RuntimeError as error:
        return str(error)[:40]


QUESTIONS = {
    "branch": lambda x: x * 2 if x.is_contiguous() else x * 3,
    "stride": lambda x: (x * x.stride(0), x.stride()),
    "storage_offset": lambda x: (x * 2, x.storage_offset()),
    "of_a_view": lambda x: (x[1:].stride(), x[1:].storage_offset(), x.t().is_contiguous(), x[1:, 1:].is_contiguous()),
    "of_detached": lambda x: (x.detach().stride(), x.detach().storage_offset(), x.detach().is_leaf),
    "view": lambda x: _tried(lambda: x.view(-1) * 2),
    "view_of_a_view": lambda x: _tried(lambda: x[:2].view(-1) * 2),
    "reshape": lambda x: x.reshape(-1).is_contiguous(),
    "contiguous": lambda x: (x.contiguous() is x, x.contiguous() * 2),
    "is_leaf": lambda x: (x * 2, x.is_leaf, x[0].is_leaf, x.requires_grad),
    "grad_fn": lambda x: (x * 2, x.grad_fn is None),
    "is_view": lambda x: (x * 2, x._is_view(), x[0]._is_view()),
    "base": lambda x: (x * 2, x._base is None, x[0]._base is x),
    "memory": lambda x: (x * 2, x.untyped_storage().nbytes(), x.data_ptr() == x[:2].data_ptr()),
    "as_strided": lambda x: _tried(lambda: x.as_strided((2, 2), (1, 2), 0) * 2),
    "in_place": lambda x: _tried(lambda: x.detach().mul_(2).sum()),
    "in_place_in_a_view": lambda x: _tried(lambda: x.detach()[1:].mul_(2).sum() + x.sum()),
    "written": lambda x: _tried(lambda: x.add_(1).sum()),
}


def plain(value):
    if isinstance(value, (tuple, list)):
        return type(value)(map(plain, value))
    return value.tolist() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_arguments_look_like(question):
    function = QUESTIONS[question]
    compiled = torch.compile(function)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that as_strided() looks at more than the argument, in eager then
        for kind in [*KINDS, *reversed(KINDS), *KINDS[:2] * 2]:
            one, other = kind(), kind()
            assert plain(compiled(one)) == plain(function(other)), kind.__name__
            assert one.tolist() == other.tolist() and one.stride() == other.stride(), kind.__name__


def test_only_what_is_asked_for_compiles_again():
    compiled = torch.compile(lambda x: (x * 2).view(-1), fullgraph=True)
    for kind in (contiguous, transposed, columns, rows, expanded):
        compiled(kind())
    assert torch.compile.explain(compiled).compiles == 1
    asks = torch.compile(lambda x: x.view(-1) * 2, fullgraph=True)
    data = torch.arange(12.0).reshape(6, 2)
    for n in range(4):
        assert asks(data[n : n + 2]).tolist() == (data[n : n + 2] * 2).view(-1).tolist()
    assert torch.compile.explain(asks).compiles == 1


def test_the_reason_names_the_layout():
    compiled = torch.compile(QUESTIONS["branch"])
    for kind in (contiguous, transposed):
        compiled(kind())
    assert "argument 0 lies otherwise in memory" in torch.compile.explain(compiled).reasons[1]


def test_gradients_of_arguments_that_are_views():
    def step(x, y):
        return (x.reshape(-1) * y.t().reshape(-1)).sum() * x.stride(0)

    compiled = torch.compile(step, fullgraph=True)
    for make in (lambda w: w.t(), lambda w: w.view(4, 3)[:, :], lambda w: w.reshape(4, 3)):
        grads = []
        for run in (compiled, step):
            w = torch.arange(12.0).reshape(3, 4).clone().requires_grad_()
            run(make(w), make(w * 2).t()).backward()
            grads.append(w.grad.tolist())
        assert grads[0] == grads[1]


def test_an_argument_with_a_history_written_in_place():
    def step(x):
        x.mul_(2)
        return x.sum()

    compiled = torch.compile(step)
    for n in range(3):
        w = torch.ones(3, requires_grad=True)
        with pytest.warns(UserWarning, match="in-place operation") if not n else warnings.catch_warnings():
            compiled(w * (n + 1)).backward()
        assert w.grad.tolist() == [2.0 * (n + 1)] * 3
    with pytest.raises(RuntimeError, match="leaf Variable"):
        compiled(torch.ones(3, requires_grad=True))


CHANGES = {
    "transposed": (lambda: torch.arange(6.0).reshape(2, 3), lambda w, n: w.t_()),
    "transposed_view": (lambda: torch.arange(12.0).reshape(2, 2, 3)[0], lambda w, n: w.t_()),
    "transposed_owner": (lambda: torch.arange(4.0).reshape(2, 2).clone(), lambda w, n: w.t_()),
    "unsqueezed": (lambda: torch.arange(6.0).clone(), lambda w, n: w.unsqueeze_(n % 2)),
    "resized": (lambda: torch.arange(6.0).clone(), lambda w, n: w.resize_(6 - n)),
    "out": (lambda: torch.arange(6.0).clone(), lambda w, n: torch.mul(torch.ones(n), 2, out=w.resize_(0))),
    "data": (lambda: torch.arange(6.0).reshape(2, 3), lambda w, n: setattr(w, "data", w.data.t())),
}


@pytest.mark.parametrize("change", CHANGES)
def test_tensors_outside_that_get_another_form(change):
    make, act = CHANGES[change]
    results = []
    for compile in (torch.compile, lambda f: f):
        w = make()
        run = compile(
            lambda x, w=w: (w * x, w.sum() * w.numel(), w.stride(), w.is_contiguous(), w[:1].storage_offset())
        )
        seen = []
        for n in range(5):
            seen.append(plain(run(torch.full((), n + 1.0))))
            act(w, n)
        results.append(seen)
    assert results[0] == results[1]


def test_arguments_that_come_to_share_memory():
    def step(a, b):
        a.add_(1)
        return b * 2

    compiled = torch.compile(step)
    for n in range(6):
        pairs = []
        for _ in range(2):
            a = torch.zeros(2)
            pairs.append((a, a[:] if n % 3 == 2 else torch.ones(2)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if n == 2 else "error")
            assert compiled(*pairs[0]).tolist() == step(*pairs[1]).tolist()
    same = torch.compile(lambda a, b: a.data_ptr() == b.data_ptr())
    a = torch.zeros(2)
    assert [same(a, a[:]), same(a, a.clone()), same(a[:], a.detach())] == [True, False, True]
