"""Symbolic functions of ONNX: the operators they write, the constants they read, and the registry they are kept in."""

import importlib
import warnings

import pytest

import rushlight

torch = pytest.importorskip("torch")
FILES = "onnx._internal.torchscript_exporter"
context = pytest.importorskip(f"torch.{FILES}.jit_utils")
globals_ = pytest.importorskip(f"torch.{FILES}._globals")


def graph(lib, opset):
    """A graph to write in, and how to say what goes into it."""
    raw = lib._C.Graph()
    if lib is rushlight:
        raw.opset = opset
        return raw, raw
    made = context.GraphContext(
        graph=raw, block=raw.block(), opset=opset, original_node=raw.insertPoint(), params_dict={}, env={},
        values_in_env=set(),
    )  # fmt: skip
    return made, raw


def module(lib, name):
    return importlib.import_module(f"{lib.__name__}.onnx.{name}")


def plain(value):
    return (str(value.dtype).split(".")[-1], value.tolist()) if hasattr(value, "tolist") else value


def written(value, names, seen):
    """A value as the operators that give it, down to what went in."""
    if value in names:
        return names[value]
    node = value.node()
    if id(node) not in seen:
        attributes = {name: plain(getattr(node, node.kindOf(name))(name)) for name in sorted(node.attributeNames())}
        inside = [[written(out, names, seen) for out in block.outputs()] for block in node.blocks()]
        seen[id(node)] = node.kind(), attributes, [written(one, names, seen) for one in node.inputs()], inside
    return seen[id(node)]


CASES = {
    "softmax, last": lambda lib, g, x, y: module(lib, "symbolic_opset9").softmax(g, x, -1),
    "softmax, first": lambda lib, g, x, y: module(lib, "symbolic_opset9").softmax(g, x, 0),
    "softmax, no rank": lambda lib, g, x, y: module(lib, "symbolic_opset9").softmax(g, y, 1),
    "softmax, constants": lambda lib, g, x, y: module(lib, "symbolic_opset9").softmax(
        g, x, g.op("Constant", value_t=lib.tensor(1)), g.op("Constant", value_t=lib.tensor(7))
    ),
    "masked_fill": lambda lib, g, x, y: module(lib, "symbolic_opset9").masked_fill(
        g, x, y, g.op("Constant", value_t=lib.tensor(3))
    ),
    "masked_fill, tensor": lambda lib, g, x, y: module(lib, "symbolic_opset9").masked_fill(g, x, y, lib.tensor(2.5)),
    "masked_fill, value": lambda lib, g, x, y: module(lib, "symbolic_opset9").masked_fill(g, x, y, y),
    "select": lambda lib, g, x, y: module(lib, "symbolic_opset11").select(g, x, 1, y),
    "squeeze": lambda lib, g, x, y: module(lib, "symbolic_opset11").squeeze(g, x),
    "squeeze, one": lambda lib, g, x, y: module(lib, "symbolic_opset11").squeeze(g, x, -2),
    "squeeze, larger": lambda lib, g, x, y: module(lib, "symbolic_opset11").squeeze(g, x, 0),
    "squeeze, no size": lambda lib, g, x, y: module(lib, "symbolic_opset11").squeeze(g, y, 1),
    "unsqueeze": lambda lib, g, x, y: module(lib, "symbolic_opset11").unsqueeze(g, x, 1),
    "unsqueeze, constant": lambda lib, g, x, y: module(lib, "symbolic_opset11").unsqueeze(
        g, x, g.op("Constant", value_t=lib.tensor(-1))
    ),
    "unsqueeze, value": lambda lib, g, x, y: module(lib, "symbolic_opset11").unsqueeze(g, x, y),
    "dropout": lambda lib, g, x, y: module(lib, "symbolic_opset12").dropout(g, x, 0.25, False),
    "dropout, training": lambda lib, g, x, y: module(lib, "symbolic_opset12").dropout(g, x, 0.25, True),
    "not constant": lambda lib, g, x, y: module(lib, "symbolic_opset9").softmax(g, x, y),
    "attribute without kind": lambda lib, g, x, y: g.op("Softmax", x, axis=1),
    "several": lambda lib, g, x, y: g.op("my::Split", x, lib.ones(()), axis_i=1, sizes_i=[1, 2], name_s="n", outputs=2)[
        1
    ],
    "left out": lambda lib, g, x, y: g.op("Pad", x, value_f=1.5, none_i=None),
}


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("case", CASES)
def test_written_operators(case, opset, monkeypatch):
    monkeypatch.setattr(globals_.GLOBALS, "onnx_shape_inference", False)
    found = []
    for lib in (torch, rushlight):
        g, raw = graph(lib, opset)
        x, y = raw.addInput("x"), raw.addInput("y")
        x.inferTypeFrom(lib.ones(2, 1, 3))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                made = written(CASES[case](lib, g, x, y), {x: "x", y: "y"}, {})
            except Exception as error:
                made = type(error).__name__
        found.append((made, [str(one.message) for one in caught]))
    assert found[1] == found[0]


def test_the_registry_gives_back_what_was_kept():
    def first(g, x):
        return x

    def second(g, x):
        return x

    found = []
    for lib in (torch, rushlight):
        registry = importlib.import_module(f"{lib.__name__}.{FILES}.registration").registry
        keep, forget = lib.onnx.register_custom_op_symbolic, lib.onnx.unregister_custom_op_symbolic
        seen = []
        for name in ("no_domain", "a::b::c", "onnx::Add", "1 a::b"):
            with pytest.raises((ValueError, RuntimeError)) as caught:
                keep(name, first, 9)
            seen.append(caught.type.__name__)
        keep("my::twice", first, 9)
        keep("my::twice", second, 13)
        keep("::mine_alone", first, 7)
        group = registry.get_function_group("my::twice")
        seen += [group.get(version) in (first, second) and group.get(version).__name__ for version in (9, 11, 13, 17)]
        seen += [group.get(8) is first, group.get_min_supported(), registry.is_registered_op("my::twice", 17)]
        seen += [registry.is_registered_op("aten::mine_alone", 12), registry.get_function_group("my::other")]
        forget("my::twice", 13)
        seen += [group.get(17) is first, {"my::twice", "aten::mine_alone"} <= registry.all_functions()]
        with pytest.warns(UserWarning, match="No custom function registered for 'my::twice' opset 13"):
            forget("my::twice", 13)
        forget("my::twice", 9)
        forget("::mine_alone", 7)
        seen += [group.get(17), registry.is_registered_op("my::twice", 9)]
        found.append(seen)
    assert found[0] == found[1]


def test_numbers_of_element_types():
    ours, theirs = (module(lib, "symbolic_helper") for lib in (rushlight, torch))
    assert {k: int(v) for k, v in ours.cast_pytorch_to_onnx.items()} == {
        k: int(v) for k, v in theirs.cast_pytorch_to_onnx.items()
    }
    assert [int(v) for v in ours.scalar_type_to_onnx] == [int(v) for v in theirs.scalar_type_to_onnx]


@pytest.mark.parametrize("kind", ["v", "i", "f", "b", "s", "t", "is", "fs", "none", "zz"])
def test_arguments_are_read(kind):
    found = []
    for lib in (torch, rushlight):
        g, raw = graph(lib, 17)
        x = raw.addInput("x")
        values = [g.op("Constant", value_t=lib.tensor([2.0] if kind.endswith("s") else 2.0)), 5, x]
        if kind == "s":
            values[0] = g.op("Constant", value_s="two")
        reader = module(lib, "symbolic_helper").parse_args(kind)(lambda g, one: one)
        seen = []
        for value in values:
            try:
                made = reader(g, value)
            except Exception as error:
                made = type(error).__name__
            seen.append("value" if hasattr(made, "node") else plain(made))
        with pytest.raises(AssertionError, match="mismatch between the number of arguments"):
            reader(g, 1, 2)
        with pytest.raises(AssertionError, match="_outputs"):
            reader(g, 1, other=2)
        assert reader.__wrapped__._arg_descriptors == (kind,)
        found.append(seen)
    assert found[0] == found[1]
