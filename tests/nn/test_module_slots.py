"""Owns the tests of what a module holds: parameters, buffers and modules, by registration and by attribute.

May import rushlight; needs no PyTorch.
"""

from __future__ import annotations

import pytest
from module_programs import small

import rushlight as torch
from rushlight import nn

Small = small(torch)


def test_attributes_go_to_the_table_of_their_kind():
    m = nn.Module()
    m.w = nn.Parameter(torch.ones(1))
    m.b = nn.Buffer(torch.ones(1))
    m.child = nn.Module()
    m.t = torch.ones(1)
    m.n = 3
    assert (list(m._parameters), list(m._buffers), list(m._modules)) == (["w"], ["b"], ["child"])
    assert {"t", "n"} <= set(m.__dict__) and not {"w", "b", "child"} & set(m.__dict__)


def test_assigning_another_kind_moves_the_name():
    m = Small()
    m.scratch = nn.Module()
    assert "scratch" not in m._buffers and m._non_persistent_buffers_set == set()
    m.mean = nn.Parameter(torch.zeros(1))
    assert "mean" in m._parameters and "mean" not in m._buffers
    m.scratch = nn.Parameter(torch.zeros(1))
    assert "scratch" not in m._modules
    m.size = nn.Parameter(torch.zeros(1))
    assert "size" not in m.__dict__ and m.size is m._parameters["size"]


def test_none_keeps_a_slot_and_frees_its_tensor():
    m = Small()
    assert m.absent is None and m.nothing is None
    m.weight = None
    m.mean = None
    m.child = nn.Module()
    m.child = None
    assert m._parameters["weight"] is None and m._buffers["mean"] is None and m._modules["child"] is None
    assert [n for n, _ in m.named_parameters()] == ["bias"]
    assert [n for n, _ in m.named_buffers()] == ["scratch"]
    assert list(m.children()) == []
    assert list(m.state_dict()) == ["bias"]
    m.weight = nn.Parameter(torch.ones(1))
    assert list(m._parameters) == ["weight", "bias", "absent"]


def test_the_tables_are_live():
    m = nn.Module()
    m._parameters["w"] = nn.Parameter(torch.ones(1))
    m._buffers["b"] = torch.zeros(1)
    m._modules["child"] = nn.Sequential()
    assert m.w is m._parameters["w"] and m.b is m._buffers["b"] and m.child is m._modules["child"]
    assert list(m.state_dict()) == ["w", "b"] and [n for n, _ in m.named_modules()] == ["", "child"]
    del m._parameters["w"], m._modules["child"]
    assert not hasattr(m, "w") and [n for n, _ in m.named_modules()] == [""]


def test_deleting():
    m = Small()
    m.child = nn.Module()
    del m.weight, m.scratch, m.child, m.size
    assert m._non_persistent_buffers_set == set()
    for name in ("weight", "scratch", "child", "size"):
        with pytest.raises(AttributeError, match=f"'Small' object has no attribute '{name}'"):
            getattr(m, name)
        with pytest.raises(AttributeError):
            delattr(m, name)


def test_a_missing_attribute_is_torchs_error_with_name_and_object():
    m = Small()
    with pytest.raises(AttributeError, match=r"^'Small' object has no attribute 'wieght'$") as caught:
        _ = m.wieght
    assert caught.value.name == "wieght" and caught.value.obj is m


@pytest.mark.parametrize("name, error, text", [
    ("a.b", KeyError, 'name can\'t contain "."'),
    ("", KeyError, 'name can\'t be empty string ""'),
    (3, TypeError, "name should be a string. Got int"),
    ("size", KeyError, "attribute 'size' already exists"),
    ("forward", KeyError, "attribute 'forward' already exists"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["parameter", "buffer", "module"])
def test_names_that_cannot_stand(kind, name, error, text):
    m = Small()
    register, value = {
        "parameter": (m.register_parameter, nn.Parameter(torch.ones(1))),
        "buffer": (m.register_buffer, torch.ones(1)),
        "module": (m.add_module, nn.Module()),
    }[kind]
    with pytest.raises(error) as caught:
        register(name, value)
    assert text in caught.value.args[0]
    assert kind in caught.value.args[0] or "already exists" in text


def test_a_name_may_be_registered_again_in_its_own_table():
    m = Small()
    p, b, c = nn.Parameter(torch.ones(1)), torch.ones(1), nn.Module()
    m.register_parameter("weight", p)
    m.register_buffer("mean", b)
    m.register_module("child", nn.Module())
    m.add_module("child", c)
    assert m.weight is p and m.mean is b and m.child is c


@pytest.mark.parametrize("call, error, text", [
    (lambda m: m.register_parameter("p", torch.ones(1)), TypeError,
     "cannot assign 'torch.FloatTensor' object to parameter 'p' (torch.nn.Parameter or None required)"),
    (lambda m: m.register_parameter("p", m.weight * 2), TypeError, "torch.nn.Parameter or None required"),
    (lambda m: m.register_buffer("p", [1]), TypeError,
     "cannot assign 'list' object to buffer 'p' (torch Tensor or None required)"),
    (lambda m: m.add_module("p", 5), TypeError, "int is not a Module subclass"),
    (lambda m: setattr(m, "weight", torch.ones(2)), TypeError,
     "cannot assign 'torch.FloatTensor' as parameter 'weight' (torch.nn.Parameter or None expected)"),
    (lambda m: setattr(m, "weight", nn.Module()), TypeError,
     "cannot assign 'torch.nn.modules.module.Module' as parameter 'weight' (torch.nn.Parameter or None expected)"),
    (lambda m: setattr(m, "mean", 3), TypeError,
     "cannot assign 'int' as buffer 'mean' (torch.nn.Buffer, torch.Tensor or None expected)"),
    (lambda m: setattr(m, "part", 3), TypeError,
     "cannot assign 'int' as child module 'part' (torch.nn.Module or None expected)"),
])  # fmt: skip
def test_values_of_the_wrong_kind(call, error, text):
    m = Small()
    m.part = nn.Module()
    with pytest.raises(error) as caught:
        call(m)
    assert text in str(caught.value)
    assert isinstance(m.weight, nn.Parameter) and isinstance(m.part, nn.Module)


def test_a_parameter_with_a_history_is_refused():
    p = nn.Parameter(torch.ones(1), requires_grad=False)
    p.mul_(torch.ones(1, requires_grad=True))
    with pytest.raises(ValueError, match="Cannot assign non-leaf Tensor to parameter 'p'"):
        nn.Module().register_parameter("p", p)


@pytest.mark.parametrize("value, what", [
    (nn.Parameter(torch.ones(1)), "parameters"), (nn.Module(), "module"), (nn.Buffer(torch.ones(1)), "buffer"),
])  # fmt: skip
def test_assignment_before_init(value, what):
    class Early(nn.Module):
        def __init__(self):
            self.x = value

    with pytest.raises(AttributeError, match=rf"cannot assign {what} before Module.__init__\(\) call"):
        Early()


def test_registration_before_init():
    class Early(nn.Module):
        def __init__(self, how):
            how(self)

    with pytest.raises(AttributeError, match=r"cannot assign buffer before Module.__init__"):
        Early(lambda m: m.register_buffer("x", None))
    with pytest.raises(AttributeError, match=r"cannot assign parameter before Module.__init__"):
        Early(lambda m: m.register_parameter("x", None))
    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__"):
        Early(lambda m: m.add_module("x", None))


def test_buffers_persistent_or_not():
    m = nn.Module()
    m.register_buffer("kept", torch.ones(1))
    m.register_buffer("left_out", torch.ones(1), persistent=False)
    m.also_left_out = nn.Buffer(torch.ones(1), persistent=False)
    assert list(m.state_dict()) == ["kept"]
    assert [n for n, _ in m.named_buffers()] == ["kept", "left_out", "also_left_out"]
    m.left_out = torch.zeros(1)
    assert list(m.state_dict()) == ["kept"]
    m.register_buffer("left_out", torch.ones(1))
    assert list(m.state_dict()) == ["kept", "left_out"]


def test_a_subclass_may_define_register_buffer_itself():
    class Own(nn.Module):
        def register_buffer(self, name, tensor):
            super().register_buffer("my_" + name, tensor)

    m = Own()
    m.x = nn.Buffer(torch.ones(1))
    assert list(m._buffers) == ["my_x"]
    with pytest.raises(RuntimeError, match="without the persistent argument is not allowed"):
        m.y = nn.Buffer(torch.ones(1), persistent=False)


def test_dir_lists_what_is_registered():
    m = nn.Sequential(Small())
    m.part = Small()
    names = dir(m)
    assert "part" in names and "forward" in names and "0" not in names
    assert {"weight", "mean", "absent"} <= set(dir(m.part)) and names == sorted(names)


def test_call_super_init():
    class Other:
        def __init__(self, x):
            self.x = x

    class Both(nn.Module, Other):
        call_super_init = True

    assert Both(3).x == 3
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        nn.Module(3)
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'x'"):
        nn.Module(x=3)


def test_forward_missing():
    class Bare(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r'Module \[Bare\] is missing the required "forward" function'):
        Bare()(1)


def test_registration_hooks_see_and_replace():
    module, seen = nn.modules.module, []
    other = nn.Parameter(torch.zeros(3))

    def see(m, name, value):
        seen.append((type(m).__name__, name))
        return other if name == "weight" else None

    with (
        module.register_module_parameter_registration_hook(see),
        module.register_module_buffer_registration_hook(see),
        module.register_module_module_registration_hook(see),
    ):
        m = nn.Sequential(Small())
        m.part = Small()
    assert m[0].weight is other
    assert seen == [
        *[("Small", n) for n in ("weight", "bias", "mean", "scratch", "nothing")], ("Sequential", "0"),
        *[("Small", n) for n in ("weight", "bias", "mean", "scratch", "nothing")], ("Sequential", "part"),
    ]  # fmt: skip
    count = len(seen)
    Small()
    assert len(seen) == count
