"""Random steps that read, write, decide by and print numbers: eager and compiled do the same on every call."""

import contextlib
import io
import math
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight as torch

NUMBERS = [
    "o.a", "o.b", "i", "f", "n", "len(o.t)", "o.a+1", "o.b*0.5", "min(o.a,i)", "max(o.b,f)", "(o.a+i)%3", "o.a//2",
    "abs(o.b-f)", "-o.a", "math.sqrt(abs(o.b))", "math.floor(o.b)", "round(o.b,1)", "divmod(o.a,3)[1]", "o.a**2",
    "float(o.a)", "int(o.b)", "x.sum().item()", "x.argmax().item()", "o.d['k']", "(o.a if o.a%2 else i)", "bool(o.a%2)",
    "o.a==i", "o.b<f", "2**(o.a%5)", "f/(abs(o.b)+1)", "len(f'{o.a}')", "n*2", "o.l[0]+1", "x.shape[0]+o.a",
]  # fmt: skip
STATEMENTS = [
    "o.a={}", "o.b={}", "o.a+={}", "o.b=o.b*0.5+{}", "o.d['k']={}", "x=x+1 if {} else x", "x=x*2 if {}>2 else x-0.5",
    "x=x+({})", "x=x*({})", "r.append({})", "n=n+1", "o.flag=bool({})", "x=torch.clamp(x,max=({}))",
    "x=torch.where(x>({}),x,x*0.5)", "x=x+torch.full((2,),({}))", "x=x+0.25*len(range(o.a%3))", "o.g['lr']={}",
    "x=x+torch.tensor({})", "o.w.mul_(0.9).add_({})", "print({})",
]  # fmt: skip
CALLS = [(0, 1.0), (1, 1.0), (2, 0.5), (3, 2.5), (3, 2.5), (5, -1.0), (0, 1.0)]


class Plain:
    pass


class Module(torch.nn.Module):
    pass


def source(lines) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return (
        f"def make(o):\n n=0\n def step(x,i,f):\n  nonlocal n\n  r=[]\n{body}\n  return x,r,n\n return step,lambda:n\n"
    )


def plain(value):
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), value.detach().double().tolist()]
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def play(text, kind, compiled):
    names = {"torch": torch, "math": math}
    exec(text, names)
    o = kind()
    o.a, o.b, o.d, o.l, o.t, o.flag, o.w = 1, 1.5, {"k": 2}, [3], (1, 2), False, torch.ones(2)
    o.g = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1).param_groups[0]
    step, count = names["make"](o)
    step = torch.compile(step) if compiled else step
    found, printed = [], io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i, f in CALLS:
            try:
                result = plain(step(torch.tensor([1.0 + i, 2.0]), i, f))
            except Exception as error:  # a number that became too large, a division by zero
                found.append(type(error).__name__)
                break
            found.append([result, o.a, o.b, o.d["k"], o.flag, o.g["lr"], plain(o.w), count()])
    return found, printed.getvalue().count("\n")


def close(a, b):
    assert type(a) is type(b), (a, b)
    if isinstance(a, float):
        assert a == pytest.approx(b, rel=2e-5, abs=1e-7, nan_ok=True)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            close(x, y)
    else:
        assert a == b


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.builds(str.format, st.sampled_from(STATEMENTS), st.sampled_from(NUMBERS)), min_size=1, max_size=6),
    st.sampled_from([Plain, Module]),
)
def test_eager_equals_compiled(lines, kind):
    text = source(lines)
    close(play(text, kind, False), play(text, kind, True))


@pytest.mark.parametrize("kind", [Plain, Module])
@pytest.mark.parametrize(
    "lines",
    [
        ["r.append(o.a==i)", "o.a=o.a==i"],
        ["o.d['k']=max(o.b,f)", "r.append(n*2)"],
        ["o.a=max(o.b,f)"],
    ],
    ids=["a truth", "a constant that is there already", "written only"],
)
def test_found_before(lines, kind):
    test_eager_equals_compiled.hypothesis.inner_test(lines, kind)
