"""The record of ONNX operators, the registry of symbolic functions, and the refusals around them."""

import pytest

import rushlight as torch
from rushlight.onnx import symbolic_helper, symbolic_opset11
from rushlight.onnx._internal.torchscript_exporter.registration import onnx_symbolic, registry
from rushlight.onnx.errors import SymbolicValueError


def test_a_symbolic_function_of_a_program():
    @symbolic_helper.parse_args("v", "i", "none")
    def pooled(g: torch._C.Graph, x: torch._C.Value, size: int, unused) -> torch._C.Value:
        return g.op("MaxPool", symbolic_opset11.unsqueeze(g, x, 0), kernel_shape_i=[size])

    torch.onnx.register_custom_op_symbolic("mine::pooled", pooled, 11)
    try:
        g = torch._C.Graph()
        x = g.addInput("x")
        made = registry.get_function_group("mine::pooled")[17](g, x, g.op("Constant", value_t=torch.tensor(3)), None)
    finally:
        torch.onnx.unregister_custom_op_symbolic("mine::pooled", 11)
    assert isinstance(made, torch._C.Value)
    g.registerOutput(made)
    kinds = ["onnx::Constant", "onnx::Constant", "onnx::Unsqueeze", "onnx::MaxPool"]
    assert [node.kind() for node in g.nodes()] == kinds
    assert made.node().attributeNames() == ["kernel_shape"]
    assert made.node().kindOf("kernel_shape") == "is"
    assert getattr(made.node(), "is")("kernel_shape") == [3]
    assert str(g).startswith("graph(%x : Tensor):\n")
    assert str(g).endswith(f"return (%{made.debugName()})\n")
    with pytest.raises(RuntimeError, match="kind 'is'"):
        made.node().i("kernel_shape")
    with pytest.raises(RuntimeError, match="'strides' is undefined"):
        made.node().kindOf("strides")
    with pytest.raises(KeyError):
        registry.get_function_group("mine::pooled")[17]


def test_what_is_known_of_values():
    g = torch._C.Graph()
    x = g.addInput()
    assert (x.type().dim(), x.type().sizes(), x.type().scalarType()) == (None, None, None)
    x.inferTypeFrom(torch.ones(2, 3, dtype=torch.int64))
    assert (x.type().dim(), x.type().sizes(), x.type().scalarType()) == (2, [2, 3], "Long")
    assert isinstance(x.type(), torch.TensorType)
    assert x.setDebugName("rows").debugName() == "rows"
    with pytest.raises(RuntimeError, match="expected one output"):
        g.create("a::b", [x], 2).output()


def test_branches():
    g = torch._C.Graph()
    chosen = symbolic_opset11.squeeze(g, g.addInput("x"), 1)
    then, otherwise = chosen.node().blocks()
    assert [out.node().kind() for block in (then, otherwise) for out in block.outputs()] == [
        "onnx::Squeeze", "onnx::Identity",
    ]  # fmt: skip


def test_values_that_are_no_constants_are_refused():
    g = torch._C.Graph()
    x = g.addInput("x")
    read = symbolic_helper.parse_args("is")(lambda g, sizes: sizes)
    listed = g.insertNode(g.create("prim::ListConstruct", [g.op("Constant", value_t=torch.tensor(n)) for n in (1, 2)]))
    assert read(g, listed.output()) == [1, 2]
    none = g.insertNode(g.create("prim::Constant"))
    assert read(g, none.output()) is None
    for value in (x, g.insertNode(g.create("prim::ListConstruct", [x])).output()):
        with pytest.raises(SymbolicValueError, match=r"prim::Param|not constant"):
            read(g, value)


def test_registered_versions():
    @onnx_symbolic("mine::both", [9, 13], decorate=[lambda function: (function, "kept")])
    def both(g):
        return g

    group = registry.get_function_group("mine::both")
    assert group.get(13) == (both, "kept")
    assert repr(group).startswith("_SymbolicFunctionGroup(mine::both")
    with pytest.raises(ValueError, match="domain::op"):
        registry.register("mine", 9, both)


def test_export_is_refused():
    with pytest.raises(NotImplementedError, match=r"torch\.save.*jax\.export"):
        torch.onnx.export(torch.nn.ReLU(), torch.ones(1), "model.onnx")
    assert not hasattr(torch.onnx, "_export")


def test_classes_of_libraries():
    with pytest.raises(OSError, match="Could not load this library"):
        torch.classes.load_library("/nowhere/library.so")
    with pytest.raises(RuntimeError, match=r"Tried to instantiate class 'mine.Thing', but it does not exist"):
        _ = torch.classes.mine.Thing
    assert torch.classes.loaded_libraries == set()
    assert not hasattr(torch.classes, "_private")
