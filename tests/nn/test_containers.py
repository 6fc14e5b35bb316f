"""Owns the tests of ``Sequential``, ``ModuleList``, ``ModuleDict``, ``ParameterList`` and ``ParameterDict``.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

from collections import OrderedDict

import pytest
from module_programs import small

import rushlight as torch
from rushlight import nn

Small = small(torch)


def sizes(modules):
    return [m.size for m in modules]


def some(*numbers):
    return [Small(n) for n in numbers]


# -- Sequential -------------------------------------------------------------------------------------------------


def test_sequential_calls_one_after_the_other():
    s = nn.Sequential(Small(), Small())
    assert s(torch.ones(2)).tolist() == [1.0, 3.0]
    assert nn.Sequential()(5) == 5


def test_sequential_names():
    a, b = some(1, 2)
    assert list(nn.Sequential(a, b)._modules) == ["0", "1"]
    named = nn.Sequential(OrderedDict([("x", a), ("y", b)]))
    assert named.x is a and named[1] is b and next(iter(named.state_dict())) == "x.weight"
    assert list(named[:1]._modules) == ["x"]


def test_sequential_indexing():
    s = nn.Sequential(*some(1, 2, 3))
    assert (s[0].size, s[-1].size, len(s), sizes(s)) == (1, 3, 3, [1, 2, 3])
    assert type(s[1:]) is nn.Sequential and sizes(s[1:]) == [2, 3] and sizes(s[::-1]) == [3, 2, 1]
    assert s[1:][0] is s[1]
    for bad in (3, -4):
        with pytest.raises(IndexError, match=f"index {bad} is out of range"):
            s[bad]
    with pytest.raises(TypeError):
        s["x"]


def test_a_slice_of_a_subclass_is_of_the_subclass():
    class Own(nn.Sequential):
        pass

    assert type(Own(*some(1, 2))[:1]) is Own


def test_sequential_set_and_delete():
    s = nn.Sequential(*some(1, 2, 3, 4, 5))
    s[0] = Small(9)
    s[-1] = Small(8)
    assert sizes(s) == [9, 2, 3, 4, 8]
    del s[1]
    assert sizes(s) == [9, 3, 4, 8] and list(s._modules) == ["0", "1", "2", "3"]
    del s[1:3]
    assert sizes(s) == [9, 8] and list(s._modules) == ["0", "1"]
    with pytest.raises(IndexError):
        del s[2]
    with pytest.raises(IndexError):
        s[2] = Small(1)


def test_sequential_arithmetic():
    s, t = nn.Sequential(*some(1, 2)), nn.Sequential(*some(3))
    assert sizes(s + t) == [1, 2, 3] and sizes(s * 2) == [1, 2, 1, 2] and sizes(2 * s) == [1, 2, 1, 2]
    assert (s * 2)[0] is s[0]
    before = s
    s += t
    s *= 2
    assert s is before and sizes(s) == [1, 2, 3, 1, 2, 3]
    with pytest.raises(ValueError, match="add operator supports only objects of Sequential class, but <class 'list'>"):
        s + [t]
    with pytest.raises(ValueError, match="add operator supports only objects of Sequential class"):
        s += [t]
    with pytest.raises(ValueError, match="Non-positive multiplication factor 0"):
        s * 0
    with pytest.raises(TypeError, match="unsupported operand type"):
        s * 1.5


def test_sequential_growing():
    s = nn.Sequential(*some(1))
    assert s.append(Small(2)) is s and s.extend(some(3, 4)) is s
    assert s.insert(0, Small(5)) is s and sizes(s.insert(-1, Small(6))) == [5, 1, 2, 3, 6, 4]
    assert s.insert(6, Small(7))[6].size == 7 and list(s._modules) == [str(i) for i in range(7)]
    assert s.pop(0).size == 5 and s.pop(-1).size == 7 and sizes(s.pop(slice(0, 2))) == [1, 2]
    assert sizes(s) == [3, 6, 4] and list(s._modules) == ["0", "1", "2"]
    with pytest.raises(IndexError, match="Index out of range: 99"):
        s.insert(99, Small(1))
    with pytest.raises(AssertionError, match="module should be of type"):
        s.insert(0, 3)
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        s.append(3)
    with pytest.raises(TypeError, match="list is not a Module subclass"):
        nn.Sequential([Small()])


# -- ModuleList -------------------------------------------------------------------------------------------------


def test_module_list():
    m = nn.ModuleList(some(1, 2))
    assert (len(m), m[0].size, m[-1].size, sizes(m)) == (2, 1, 2, [1, 2])
    assert type(m[:1]) is nn.ModuleList and sizes(m + some(3)) == [1, 2, 3] and sizes(m) == [1, 2]
    before = m
    m += some(4)
    assert m is before and m.append(Small(5)) is m and m.extend(Small(i) for i in (6, 7)) is m
    assert m.insert(1, Small(8)) is None and sizes(m) == [1, 8, 2, 4, 5, 6, 7]
    assert m.pop(0).size == 1 and m.pop(-1).size == 7
    m[0] = Small(9)
    del m[1]
    assert sizes(m) == [9, 4, 5, 6]
    del m[1:3]
    assert sizes(m) == [9, 6] and list(m.state_dict())[3] == "1.weight"


@pytest.mark.parametrize("call, error, text", [
    (lambda m: m[9], IndexError, "index 9 is out of range"),
    (lambda m: m["a"], TypeError, ""),
    (lambda m: m.extend(3), TypeError, "ModuleList.extend should be called with an iterable, but got int"),
    (lambda m: m.append(3), TypeError, "int is not a Module subclass"),
    (lambda m: m(1), NotImplementedError, 'Module [ModuleList] is missing the required "forward" function'),
    (lambda m: nn.ModuleList(3), TypeError, "should be called with an iterable"),
    (lambda m: nn.ModuleList([3]), TypeError, "int is not a Module subclass"),
    (lambda m: m.__setitem__(0, 3), TypeError, "cannot assign 'int' as child module '0'"),
])  # fmt: skip
def test_module_list_refusals(call, error, text):
    with pytest.raises(error) as caught:
        call(nn.ModuleList(some(1)))
    assert text in str(caught.value)


# -- ModuleDict -------------------------------------------------------------------------------------------------


def test_module_dict():
    m = nn.ModuleDict({"b": Small(1), "a": Small(2)})
    m["c"] = Small(3)
    assert (len(m), list(m), "a" in m, "z" in m, m["a"].size) == (3, ["b", "a", "c"], True, False, 2)
    assert list(m.keys()) == ["b", "a", "c"] and sizes(m.values()) == [1, 2, 3]
    assert [(k, v.size) for k, v in m.items()] == [("b", 1), ("a", 2), ("c", 3)]
    m.update([("d", Small(4)), ("a", Small(5))])
    m.update(nn.ModuleDict({"e": Small(6)}))
    m.update(OrderedDict(f=Small(7)))
    assert list(m) == ["b", "a", "c", "d", "e", "f"] and m["a"].size == 5
    assert m.pop("b").size == 1
    del m["c"]
    assert next(iter(m.state_dict())) == "a.weight" and list(m) == ["a", "d", "e", "f"]
    m.clear()
    assert len(m) == 0 and repr(m) == "ModuleDict()"


@pytest.mark.parametrize("call, error, text", [
    (lambda m: m["zz"], KeyError, "zz"),
    (lambda m: m.pop("zz"), KeyError, "zz"),
    (lambda m: m.update(3), TypeError, "ModuleDict.update should be called with an iterable of key/value pairs"),
    (lambda m: m.update([("a",)]), ValueError, "ModuleDict update sequence element #0 has length 1; 2 is required"),
    (lambda m: m.update([3]), TypeError, "ModuleDict update sequence element #0 should be Iterable; is int"),
    (lambda m: m.__setitem__("x", 3), TypeError, "int is not a Module subclass"),
    (lambda m: m.__setitem__("a.b", Small()), KeyError, 'module name can\'t contain "."'),
    (lambda m: m.__setitem__("keys", Small()), KeyError, "attribute 'keys' already exists"),
    (lambda m: m.__setitem__(3, Small()), TypeError, "module name should be a string. Got int"),
    (lambda m: m(1), NotImplementedError, "forward"),
])  # fmt: skip
def test_module_dict_refusals(call, error, text):
    with pytest.raises(error) as caught:
        call(nn.ModuleDict({"a": Small()}))
    assert text in str(caught.value.args[0])


# -- of parameters ----------------------------------------------------------------------------------------------


def test_parameter_list():
    p = nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(1, 2)), 3])
    assert isinstance(p[0], nn.Parameter) and p[2] == 3 and len(p) == 3
    assert [n for n, _ in p.named_parameters()] == ["0", "1"] and list(p.state_dict()) == ["0", "1"]
    p += [torch.ones(3)]
    assert p.append(torch.zeros(1)) is p and p.extend([5]) is p and len(p) == 6 and p[-1] == 5
    p[0] = torch.zeros(4)
    assert p[0].shape == (4,) and isinstance(p[0], nn.Parameter)
    assert type(p[1:3]) is nn.ParameterList and len(p[1:3]) == 2 and p[1:3][0] is p[1]
    assert [type(v).__name__ for v in p] == ["Parameter", "Parameter", "int", "Parameter", "Parameter", "int"]
    with pytest.raises(IndexError, match="index 9 is out of range"):
        p[9]
    with pytest.raises(TypeError, match=r"ParameterList.extend should be called with an iterable, but got Tensor"):
        p.extend(torch.ones(2))
    with pytest.raises(RuntimeError, match="ParameterList should not be called"):
        p()


def test_parameter_list_printed():
    p = nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(1, 2, dtype=torch.float64)), "x"])
    assert repr(p) == (
        "ParameterList(\n"
        "    (0): Parameter containing: [torch.float32 of size 2]\n"
        "    (1): Parameter containing: [torch.float64 of size 1x2]\n"
        "    (2): Object of type: str\n"
        ")"
    )


def test_parameter_dict():
    p = nn.ParameterDict({"b": torch.ones(2), "a": nn.Parameter(torch.zeros(1)), "c": 3})
    assert isinstance(p["b"], nn.Parameter) and p["c"] == 3 and len(p) == 3 and "a" in p and "z" not in p
    # torch sorts the keys of a plain dict, and keeps the order of an OrderedDict.
    assert list(p) == list(p.keys()) == ["a", "b", "c"] and list(reversed(p)) == ["c", "b", "a"]
    assert list(nn.ParameterDict(OrderedDict(b=1, a=2))) == ["b", "a"]
    assert [n for n, _ in p.named_parameters()] == ["a", "b"]
    assert p.get("zz") is None and p.get("zz", 1) == 1 and p.setdefault("d", torch.ones(1)) is p["d"]
    assert list(p.copy()) == ["a", "b", "c", "d"] and p.copy()["b"] is p["b"]
    assert p.pop("b").shape == (2,) and p.popitem()[0] == "d" and list(p) == ["a", "c"]
    assert list(p.fromkeys(["x", "y"], 1).items()) == [("x", 1), ("y", 1)]
    assert list(p | nn.ParameterDict({"q": torch.ones(1)})) == ["a", "c", "q"] and "q" not in p
    p |= {"r": torch.ones(1)}
    p.update([("s", torch.ones(2))])
    assert list(p) == ["a", "c", "r", "s"] and isinstance(p["r"], nn.Parameter)
    assert [k for k, _ in p.items()] == list(p) and len(list(p.values())) == 4
    del p["r"]
    p.clear()
    assert len(p) == 0
    with pytest.raises(AttributeError, match="'ParameterDict' object has no attribute 'zz'"):
        p["zz"]
    with pytest.raises(TypeError, match=r"ParametersDict.update should be called with an iterable"):
        p.update(3)
    with pytest.raises(RuntimeError, match="ParameterDict should not be called"):
        p(1)


def test_containers_inside_a_model():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(some(2, 2))
            self.heads = nn.ModuleDict({"x": Small()})
            self.scales = nn.ParameterList([torch.ones(2)])
            self.extra = nn.ParameterDict({"shift": torch.zeros(2)})

        def forward(self, x):
            for block in self.blocks:
                x = block(x)
            return self.heads["x"](x) * self.scales[0] + self.extra["shift"]

    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias", "heads.x.weight", "heads.x.bias",
        "scales.0", "extra.shift",
    ]  # fmt: skip
    net(torch.ones(2)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_the_deprecated_container():
    with pytest.warns(FutureWarning, match="`nn.Container` is deprecated"):
        assert list(nn.Container(a=nn.Sequential())._modules) == ["a"]
