"""Lists and dicts that are arguments of compiled functions, and are written into by each call."""

import collections

import pytest

import rushlight as torch
from rushlight import nn

from .twins import close


def put(x, out):
    out["h"] = x * 2


def put_several(x, out):
    h = x * 2
    out["h"], out["parts"], out["n"], out["twice"] = h, [h[0], {"s": h.sum()}], x.shape[0], h
    return h


def replace(x, out):
    out["h"] = out.get("h", x) + x
    return out


def count(x, out):
    out["n"] = out.get("n", 0) + 1
    out["x"] = x * out["n"]


def take(x, out):
    h = out.pop("h", x)
    out["g"] = h * 2
    out["h"] = h * 3


def clear(x, out):
    out.clear()
    out.update(a=x * 2, b=None)


def nest(x, out):
    out.setdefault("inner", {})["h"] = x * 2
    out["same"] = out["inner"]


FUNCTIONS = [put, put_several, replace, take, clear, nest]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("make", [dict, collections.OrderedDict], ids=["dict", "OrderedDict"])
def test_a_new_dict_for_every_call(function, make):
    run = torch.compile(function, fullgraph=True)
    for n in range(4):
        x = torch.arange(6.0).reshape(3, 2) + n
        one, other = make(), make()
        result = run(x, one)
        close(result, function(x, other))
        close(one, other)
        assert type(one) is make and (result is one) == (function is replace)
    assert torch.compile.explain(run).compiles == 1


@pytest.mark.parametrize("function", [*FUNCTIONS, count], ids=lambda f: f.__name__)
def test_a_dict_that_stays(function):
    run = torch.compile(function, fullgraph=True)
    one, other = {}, {}
    for n in range(6):
        x = torch.arange(6.0).reshape(3, 2) + n
        run(x, one)
        function(x, other)
        close(one, other)
    assert torch.compile.explain(run).compiles <= 3


def test_results_and_contents_are_the_same_tensors():
    run = torch.compile(put_several, fullgraph=True)
    for _ in range(2):
        out = {}
        h = run(torch.ones(3, 2), out)
        assert out["h"] is h and out["twice"] is h
        h.mul_(2)
        assert out["parts"][0].tolist() == [4.0, 4.0]


def test_gradients_go_through_what_was_put_there():
    model = nn.Linear(2, 1)

    def step(x, aux):
        aux["penalty"] = model.weight.square().sum()
        return model(x).sum()

    grads = []
    for run in (step, torch.compile(step, fullgraph=True)):
        for n in range(3):
            aux = {}
            (run(torch.ones(3, 2) * n, aux) + aux["penalty"] * 2).backward()
            grads.append(model.weight.grad.tolist())
            model.zero_grad()
    assert grads[:3] == grads[3:]


def test_keywords_and_numbers():
    def step(x, *, out, scale):
        out["h"] = x * scale
        out["scale"] = scale

    run = torch.compile(step, fullgraph=True)
    for scale in (1.0, 2.0, 3.0, 4.0):
        out = {}
        run(torch.ones(2), out=out, scale=scale)
        assert out["h"].tolist() == [scale] * 2 and out["scale"] == scale and type(out["scale"]) is float
    assert torch.compile.explain(run).compiles == 2


def test_the_same_dict_twice_and_one_that_the_function_knows():
    known = {}

    def step(x, a, b):
        a["h"] = x * 2
        b["g"] = a["h"] + 1 if "h" in b else x
        return known.get("h", x)

    run = torch.compile(step)
    for n in range(6):
        both = {}
        pairs = [(({}, {}), (both, both), (known, {}))[n % 3] for _ in range(2)]
        before = dict(known)
        results = []
        for (a, b), function in zip(pairs, (run, step)):
            known.clear()
            known.update(before)
            if n % 3 == 1:
                both.clear()
            result = function(torch.full((2,), n + 1.0), a, b)
            results.append((result.tolist(), *({k: v.tolist() for k, v in d.items()} for d in (a, b, known))))
        assert results[0] == results[1]


@pytest.mark.parametrize("make", [list, lambda: [torch.ones(2)], lambda: [1.0, 2]], ids=["empty", "tensor", "numbers"])
def test_a_list(make):
    def step(x, out, first=True):
        out.append(x * 2)
        if first:
            out.insert(0, out[-1][0])
        return out[-1]

    run = torch.compile(step, fullgraph=True)
    for n in range(4):
        one, other = make(), make()
        result = run(torch.ones(2) * n, one)
        step(torch.ones(2) * n, other)
        close(one, other)
        assert one[-1] is result
    assert torch.compile.explain(run).compiles == 1


def test_an_error_leaves_the_dict_as_it_was():
    def step(x, out):
        out["h"] = x * 2
        raise KeyError("no")

    out = {}
    with pytest.raises(KeyError):
        torch.compile(step)(torch.ones(2), out)
    assert list(out) in ([], ["h"])
