"""Owns the tests of taking functions over: what it costs while nobody does, first meetings, compiling, threads.

May import rushlight; what torch does in the same programs is compared in tests/parity/test_overrides.py.
"""

import inspect
import pickle
import subprocess
import sys
import threading

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import _overrides
from rushlight._tensor import overriding
from rushlight.ops._op import Op

RELU, CAT, OP_CALL = F.relu.__code__, torch.cat.__code__, Op.__call__


def _quiet():
    while _overrides._count:
        _overrides.uninstall()
    overriding._started = False


@pytest.fixture(autouse=True)
def nobody_takes_over():
    """Each test starts as a process does, and leaves nothing behind."""
    before = overriding._started
    _quiet()
    yield
    _quiet()
    if before:
        overriding.start()


def duck(answer=None):
    """An object of a new class that answers with the function's name."""

    class Duck:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return answer or torch.overrides.resolve_name(func)

    return Duck()


def scaling(log=None):
    """A new subclass whose results are doubled."""

    class Doubled(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if log is not None:
                log.append(func.__name__)
            result = super().__torch_function__(func, types, args, kwargs)
            return result * 2 if func in (torch.add, F.relu, F.linear) else result

    return Doubled


class Noting(torch.overrides.TorchFunctionMode):
    def __init__(self):
        self.seen = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.seen.append(torch.overrides.resolve_name(func) or func.__name__)
        return func(*args, **(kwargs or {}))


def test_functions_are_untouched_while_nobody_takes_over():
    assert F.relu.__code__ is RELU and torch.cat.__code__ is CAT and Op.__call__ is OP_CALL
    with Noting() as noting:
        assert F.relu.__code__ is not RELU and Op.__call__ is not OP_CALL
        with Noting():
            pass
        assert F.relu.__code__ is not RELU
        F.relu(torch.ones(1))
    assert F.relu.__code__ is RELU and torch.cat.__code__ is CAT and Op.__call__ is OP_CALL
    assert noting.seen == ["torch.ones", "torch.nn.functional.relu"]
    assert "__wrapped__" not in vars(F.relu) and vars(torch.cat)["__wrapped__"].__code__.co_name == "cat"


def test_a_class_without_parameters_of_its_own_installs_nothing():
    class Mine(torch.nn.Parameter):
        pass

    assert F.relu.__code__ is RELU and type(Mine(torch.ones(1)) + 1) is torch.Tensor

    class Taking(torch.Tensor):
        pass

    assert F.relu.__code__ is not RELU


def test_signatures_and_sources_are_the_same_while_installed():
    functions = {name: function for function, name in _overrides.public_functions().items() if callable(function)}
    before = {}
    for name, function in functions.items():
        if not name.endswith("__"):
            before[name] = str(inspect.signature(function))
    with _overrides.installed():
        assert {name: str(inspect.signature(functions[name])) for name in before} == before
        assert "input" in inspect.getsource(F.softmax)
        assert F.relu.__name__ == "relu" and F.relu.__defaults__ == (False,)
    assert len(before) > 1000


def test_frames_can_be_read_while_installed():
    """Debuggers and reports of failures read the variables of every frame, those from outside the function too."""
    found = []

    class Reading(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            frame = sys._getframe()
            while frame is not None and frame.f_code is not test_frames_can_be_read_while_installed.__code__:
                found.append(dict(frame.f_locals))
                frame = frame.f_back
            return func(*args, **(kwargs or {}))

    x, y = torch.ones(2), torch.ones(2, 2)
    with Reading():
        x.add_(1), x.add(1), y.reshape(4), torch.cat([x, x], axis=0), x + 1, -x, 2 - x, F.relu(x)
    closures = [scope for scope in found if "args" in scope and "function" in scope]
    assert len(found) > 20 and len(closures) > 3
    for entry in _overrides.table().plain:
        names = entry.swapped[0].co_freevars
        assert names == entry.swapped[1].co_freevars and len(names) == len(entry.function.__closure__ or ())


def test_functions_of_tensors_can_be_pickled():
    for function in (torch.Tensor.split, torch.Tensor.max, torch.split, torch.cat, F.relu, torch.add):
        with _overrides.installed():
            assert pickle.loads(pickle.dumps(function)) is function


def test_errors_and_keywords_are_the_same_while_installed():
    def said(call):
        try:
            return str(call())
        except Exception as error:  # what is raised is what is compared
            return type(error), str(error)

    x = torch.ones(2, 2)
    calls = [
        lambda: torch.add(x), lambda: torch.add(x, "a"), lambda: F.relu(1), lambda: torch.cat(x), lambda: x + "a",
        lambda: F.softmax(x, dims=1), lambda: torch.cat([x, 1]), lambda: x.split(), lambda: torch.sum(x, wrong=1),
    ]  # fmt: skip
    before = [said(call) for call in calls]
    with _overrides.installed():
        assert [said(call) for call in calls] == before
        assert torch.sum(x, axis=0).tolist() == [2.0, 2.0] and torch.cat([x, x], axis=1).shape == (2, 4)
        assert torch.add(x, 1, out=torch.empty(2, 2)).sum() == 8


@pytest.mark.parametrize(
    "text, name",
    [
        ("t.mean(d)", "torch.mean"), ("t.add(x, d)", "torch.add"), ("x + d", "torch.Tensor.add"),
        ("d - x", "torch.Tensor.__rsub__"), ("x.add(d)", "torch.Tensor.add"), ("x.add_(d)", "torch.Tensor.add_"),
        ("t.cat([x, d])", "torch.cat"), ("t.stack((d,), dim=0)", "torch.stack"), ("x[d]", "torch.Tensor.__getitem__"),
        ("x.__setitem__(0, d)", "torch.Tensor.__setitem__"), ("t.where(d, x, x)", "torch.where"),
        ("x @ d", "torch.Tensor.matmul"),
        ("F.linear(x, d)", "torch.nn.functional.linear"), ("F.gelu(d)", "torch.nn.functional.gelu"),
        ("t.linalg.inv(d)", "torch.inverse"), ("t.max(d, dim=0)", "torch.max"), ("t.reshape(d, (1,))", "torch.reshape"),
        ("x == d", "torch.Tensor.__eq__"), ("x.reshape(d)", "torch.Tensor.reshape"),
        ("x.masked_fill(x > 0, d)", "torch.Tensor.masked_fill"),
    ],
)  # fmt: skip
def test_the_first_call_with_a_class_beside_tensors_is_taken_over(text, name):
    scope = {"t": torch, "F": F, "x": torch.ones(2), "d": duck()}
    assert eval(text, scope) == name
    assert F.relu.__code__ is not RELU  # and all others from now on
    assert eval(text, scope) == name and F.softmax(scope["d"], 1) == "torch.nn.functional.softmax"


def test_where_the_first_call_is_too_late_it_is_said_and_the_next_is_taken_over():
    d = duck()
    with pytest.raises(TypeError, match="must be Tensor, not Duck") as raised:
        F.relu(d)
    assert "torch.nn.functional.relu was computing already" in raised.value.__notes__[0]
    assert F.relu(d) == "torch.nn.functional.relu"


def test_asking_always():
    torch.overrides.ask_always()
    assert (
        F.softmax(duck(), dim=1) == "torch.nn.functional.softmax"
        and torch.einsum("i", duck()) == "torch.functional.einsum"
    )


def test_asking_for_handlers_lets_functions_ask():
    d = duck()
    assert torch.overrides.has_torch_function((d,)) and F.softmax(d, 1) == "torch.nn.functional.softmax"


_MISTAKES = """
import sys
import rushlight as torch

calls = [
    lambda: torch.add(torch.ones(1), object()), lambda: torch.ones(1) + object(), lambda: torch.ones(2)["a"],
    lambda: torch.cat([torch.ones(1), "a"]), lambda: torch.ones(1).add_(object()), lambda: torch.ones(1).reshape("a"),
]
for call in calls:
    try:
        call()
    except (TypeError, IndexError, AttributeError) as error:
        assert not hasattr(error, "__notes__")
        continue
    raise AssertionError("nothing was raised")
assert "rushlight._overrides" not in sys.modules and not hasattr(torch.Tensor, "tensor")
assert torch.nn.functional.relu.__code__.co_varnames[0] == "input"
torch.nn.Parameter(torch.ones(1)) + torch.nn.Buffer(torch.ones(1))
assert "rushlight._overrides" not in sys.modules
"""


def test_ordinary_mistakes_start_nothing():
    subprocess.run([sys.executable, "-c", _MISTAKES], check=True, timeout=120)


def test_a_mode_counts_in_its_own_thread_alone():
    inside, done, there = threading.Event(), threading.Event(), []

    def other():
        inside.wait(10)
        there.append(F.relu(torch.ones(2)).tolist())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with Noting() as noting:
        inside.set()
        assert done.wait(10)
        torch.ones(1)
    thread.join()
    assert there == [[1.0, 1.0]] and noting.seen == ["torch.ones"]


def test_disabling_counts_in_its_own_thread_alone():
    a, seen = torch.ones(1).as_subclass(scaling()), []
    with torch._C.DisableTorchFunctionSubclass():
        thread = threading.Thread(target=lambda: seen.append(torch.add(a, 1).item()))
        thread.start()
        thread.join()
        assert torch.add(a, 1).item() == 2.0
    assert seen == [4.0]


def test_a_mode_around_a_compiled_function_sees_every_call():
    compiled = torch.compile(lambda x: F.relu(x) + 1)
    x = torch.ones(2)
    assert compiled(x).tolist() == [2.0, 2.0]
    for _ in range(2):
        with Noting() as noting:
            y = compiled(x)
        assert y.tolist() == [2.0, 2.0]
        assert noting.seen == ["torch.nn.functional.relu", "torch.Tensor.add"]
    assert compiled(x).tolist() == [2.0, 2.0] and torch.compiler.explain(compiled).compiles == 1


def test_a_mode_inside_a_compiled_function_is_compiled_with_it():
    class Negate(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            return -result if func is F.relu else result

    def function(x):
        with Negate():
            return F.relu(x) + 1

    compiled = torch.compile(function, fullgraph=True)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        assert compiled(x).tolist() == function(x).tolist() == [0.0, -1.0]
    compiled(x).sum().backward()
    assert x.grad.tolist() == [-1.0, -1.0]


def test_arguments_with_handlers_of_their_own_run_eagerly():
    log = []
    kind = scaling(log)
    compiled = torch.compile(lambda x: torch.add(F.relu(x), 1))
    x = torch.ones(2)
    assert compiled(x).tolist() == [2.0, 2.0] and log == []
    with pytest.warns(UserWarning, match="runs eagerly, not compiled: an argument is of class Doubled"):
        first = compiled(x.as_subclass(kind))
    assert type(first) is kind and first.tolist() == compiled(x.as_subclass(kind)).tolist() == [6.0, 6.0]
    assert log.count("relu") == 2 and compiled(x).tolist() == [2.0, 2.0]
    with pytest.raises(NotImplementedError, match=r"fullgraph=True.*class Doubled"):
        torch.compile(lambda x: x + 1, fullgraph=True)(x.as_subclass(kind))


def test_a_class_without_a_handler_is_compiled_and_kept():
    class Bare(torch.Tensor):
        pass

    compiled = torch.compile(lambda x, w: F.linear(x, w) + 1, fullgraph=True)
    x, w = torch.ones(2, 3), torch.ones(4, 3, requires_grad=True)
    for _ in range(2):
        assert type(compiled(x, w)) is torch.Tensor
        y = compiled(x.as_subclass(Bare), w)
        assert type(y) is Bare and y.tolist() == [[4.0] * 4] * 2
    y.sum().backward()
    assert w.grad.tolist() == [[2.0] * 3] * 4 and torch.compiler.explain(compiled).compiles == 2
    assert "class" in str(torch.compiler.explain(compiled))


def test_parameters_of_a_class_with_a_handler_take_part_in_compiled_modules():
    net = torch.nn.Linear(2, 1, bias=False)
    net.weight = torch.nn.Parameter(torch.ones(1, 2).as_subclass(scaling()))
    compiled = torch.compile(net)
    x = torch.ones(1, 2)
    assert [compiled(x).tolist() for _ in range(2)] == [net(x).tolist()] * 2 == [[[4.0]]] * 2
    assert type(compiled(x)) is type(net(x))


def test_calls_inside_a_function_are_not_taken_over_again():
    log = []
    a = torch.randn(3, 4).as_subclass(scaling(log))
    with Noting() as noting:
        F.cross_entropy(torch.ones(3, 4), torch.tensor([0, 1, 2]))
    F.layer_norm(a, [4])
    F.cross_entropy(a, torch.tensor([0, 1, 2]))
    assert noting.seen == ["torch.ones", "torch.tensor", "torch.nn.functional.cross_entropy"]
    assert log == ["layer_norm", "cross_entropy"]


def test_views_of_a_subclass_write_through():
    class Bare(torch.Tensor):
        pass

    x = torch.zeros(2, 2)
    b = x.as_subclass(Bare)
    b[0].add_(1)
    b.t()[0, 1] = 5
    for part in b.unbind(1):
        part.mul_(2)
    assert x.tolist() == [[2.0, 2.0], [10.0, 0.0]] and type(b.unbind(1)[0]) is Bare


def test_a_subclass_of_a_leaf_hands_its_gradient_on():
    class Bare(torch.Tensor):
        pass

    leaf = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        assert not leaf.as_subclass(Bare).requires_grad
    b = leaf.as_subclass(Bare)
    assert not b.is_leaf and leaf.is_leaf
    (b * 3).sum().backward()
    assert leaf.grad.tolist() == [3.0, 3.0]


def test_installing_is_counted():
    with _overrides.installed():
        with _overrides.installed():
            pass
        assert F.relu(duck()) == "torch.nn.functional.relu"
    assert F.relu.__code__ is RELU and overriding._started is False


def test_names_are_known():
    listed = torch.overrides.get_overridable_functions()
    names = [torch.overrides.resolve_name(f) for functions in listed.values() for f in functions]
    assert len(names) > 1000 and None not in names
    assert torch.overrides.resolve_name(print) is None


def test_gradients_and_transforms_call_nobody():
    def second(x):
        (first,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        (again,) = torch.autograd.grad(first.exp().sum(), x)
        return first, again

    x = torch.tensor([0.5], requires_grad=True)
    before = [v.tolist() for v in second(x)]
    with Noting() as noting:
        results = second(x)
        mapped = torch.func.vmap(torch.func.grad(torch.sin))(x.detach())
    assert [type(v) for v in (*results, mapped)] == [torch.Tensor] * 3 and [v.tolist() for v in results] == before
    assert noting.seen[:3] == ["torch.Tensor.pow", "torch.Tensor.sum", "grad"]
    assert not any("backward" in name or "mul" in name for name in noting.seen)
    assert mapped.tolist() == torch.cos(x).tolist()


def test_wrapper_subclasses_are_refused():
    with pytest.raises(NotImplementedError, match="__torch_dispatch__"):
        torch.Tensor._make_wrapper_subclass(scaling(), (2, 2))


def test_a_class_prints_its_name():
    class Mine(torch.Tensor):
        pass

    class Own(torch.nn.Parameter):
        pass

    assert repr(torch.ones(2).as_subclass(Mine)) == "Mine([1., 1.])"
    assert repr(torch.nn.Parameter(torch.ones(1).as_subclass(Mine))) == "Parameter(Mine([1.], requires_grad=True))"
    assert repr(Own(torch.ones(1))) == "Parameter(Own([1.], requires_grad=True))"
