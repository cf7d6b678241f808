"""FP16 inside a graph: which tensors get which type, and what the rounding does to the answers."""

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from small_networks import chain

from toonface_export.half import emulate_half, to_half


def _run(model: onnx.ModelProto, values: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": values})[0])


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}


def test_the_inside_is_half_and_the_edges_are_not() -> None:
    half = to_half(chain("Mul", "Add", "Relu"))
    onnx.checker.check_model(half, full_check=True)
    types = _types(half)
    assert [types[name] for name in ("mul", "add")] == [TensorProto.FLOAT16] * 2
    assert types["y"] == TensorProto.FLOAT
    assert half.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert {tensor.data_type for tensor in half.graph.initializer} == {TensorProto.FLOAT16}
    assert [node.op_type for node in half.graph.node] == ["Cast", "Mul", "Add", "Relu", "Cast"]


def test_no_type_changes_between_neighbours_that_stay_as_they_are() -> None:
    half = to_half(chain("Mul", "Add", "Mul", "Add"), keep={"add", "mul_1"})
    assert [node.op_type for node in half.graph.node] == ["Cast", "Mul", "Cast", "Add", "Mul", "Cast", "Add", "Cast"]
    types = _types(half)
    assert [types[name] for name in ("mul", "add", "mul_1")] == [
        TensorProto.FLOAT16,
        TensorProto.FLOAT,
        TensorProto.FLOAT,
    ]


def test_a_graph_kept_whole_is_the_graph_that_was() -> None:
    model = chain("Mul", "Add", "Relu")
    kept = to_half(model, keep={node.name for node in model.graph.node})
    assert [node.op_type for node in kept.graph.node] == ["Mul", "Add", "Relu"]
    assert {tensor.data_type for tensor in kept.graph.initializer} == {TensorProto.FLOAT}


def test_the_scales_of_a_resize_stay_single() -> None:
    scales = numpy_helper.from_array(np.array([1, 1, 0.5, 0.5], np.float32), "half_size")
    node = helper.make_node("Resize", ["x", "", "half_size"], ["y"], name="resize", mode="linear")
    value = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])]
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 2, 2])]
    graph = helper.make_graph([node], "g", value, result, [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    assert [tensor.data_type for tensor in half.graph.initializer] == [TensorProto.FLOAT]


def test_the_emulation_rounds_where_onnx_runtime_leaves_it_out() -> None:
    half = to_half(chain("Mul", "Sqrt"))
    values = np.array([300, 1e-5, 3.14159], np.float32)
    np.testing.assert_allclose(_run(half, values), np.sqrt(2 * values), rtol=1e-3)
    rounded = (values.astype(np.float16) * np.float16(2)).astype(np.float16)
    expected = np.sqrt(rounded.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(_run(emulate_half(half), values), expected.astype(np.float32))


def test_the_emulation_overflows_as_half_does_unless_the_node_is_kept() -> None:
    model, values = chain("Square", "Sqrt"), np.array([1000], np.float32)
    assert np.isinf(_run(emulate_half(to_half(model)), values)).all()
    kept = emulate_half(to_half(model, keep={"square"}))
    assert np.isinf(_run(kept, values)).all()  # the sum of squares still crosses over in half
    whole = emulate_half(to_half(model, keep={"square", "sqrt"}))
    np.testing.assert_array_equal(_run(whole, values), values)


def test_a_weight_beyond_half_becomes_infinite() -> None:
    half = to_half(chain("Mul", factor=1e6))
    [weight] = half.graph.initializer
    assert np.isinf(numpy_helper.to_array(weight))
