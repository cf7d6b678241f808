"""The text of config.pbtxt, read back with Triton's own message definition."""

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from toonface_contract import names
from toonface_contract.options import RecognitionOptions
from toonface_ensemble.nms import NmsParameters
from toonface_ensemble.placement import DetectorInput
from toonface_export.serving import Serving
from toonface_export.stages import Deployment, repository_models
from toonface_export.triton_config import OnnxRuntimeModel, OpenVinoModel, PythonStage, TensorRtModel
from toonface_export.triton_message import Queue, Tensor


def _parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _deployment(serving: Serving) -> Deployment:
    return Deployment(
        detector_input=DetectorInput(height=480, width=640, keep_ratio=True, interpolation="area"),
        anchors=100,
        nms=NmsParameters(iou_threshold=0.3, max_candidates=-1, max_faces=750, normalized=True),
        dimension=128,
        embedder="sha256:0123",
        options=RecognitionOptions(det_threshold=0.25),
        serving=serving,
    )


def _configs(**serving: Any) -> dict[str, Any]:
    return {
        model.name: _parsed(model.config()) for model in repository_models(_deployment(Serving.model_validate(serving)))
    }


def _model(kind: type[OnnxRuntimeModel | OpenVinoModel | TensorRtModel], **more: Any) -> Any:
    tensors = (Tensor("x", "UINT8", (2, 3)),)
    return _parsed(kind(name="m", inputs=tensors, outputs=tensors, max_batch_size=8, queue=Queue(4), **more).config())


def _parameters(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def test_a_python_stage_reads_back_as_described() -> None:
    awkward = '{"a": "b\\"c", "path": "d\\\\e", "lines": "f\ng", "name": "Žofie"}'
    config = _parsed(
        PythonStage(
            name="stage",
            inputs=(Tensor("image", "STRING", (1,)), Tensor("more", "FP32", (-1, 4), optional=True)),
            outputs=(Tensor("faces", "UINT8", (-1, 112, 112, 3)),),
            max_batch_size=0,
            queue=Queue(32, timeout_us=5_000, batch_delay_us=100),
            instances=2,
            parameters={"options": awkward},
        ).config()
    )
    assert (config.name, config.backend, config.max_batch_size) == ("stage", "python", 0)
    assert [(tensor.name, list(tensor.dims), tensor.optional) for tensor in config.input] == [
        ("image", [1], False),
        ("more", [-1, 4], True),
    ]
    assert config.input[0].data_type == model_config_pb2.TYPE_STRING
    assert list(config.output[0].dims) == [-1, 112, 112, 3]
    policy = config.dynamic_batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (32, 5_000)
    assert policy.timeout_action == model_config_pb2.ModelQueuePolicy.REJECT
    assert config.dynamic_batching.max_queue_delay_microseconds == 100
    assert (config.instance_group[0].count, config.instance_group[0].kind) == (
        2,
        model_config_pb2.ModelInstanceGroup.KIND_CPU,
    )
    assert _parameters(config) == {"options": awkward}


def test_onnx_runtime_is_told_its_threads_by_the_native_names() -> None:
    config = _model(OnnxRuntimeModel, threads=3)
    assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
    assert _parameters(config) == {"execution_mode": "0", "intra_op_thread_count": "3"}


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("auto", {}),
        ("f32", {"INFERENCE_PRECISION_HINT": "f32"}),
        ("bf16", {"INFERENCE_PRECISION_HINT": "bf16", "HINT_BF16": "YES"}),
        ("int8", {"INFERENCE_PRECISION_HINT": "f32"}),
    ],
)
def test_openvino_is_told_its_precision_by_the_native_names(precision: str, expected: dict[str, str]) -> None:
    config = _model(OpenVinoModel, precision=precision)
    always = {"ENABLE_BATCH_PADDING": "YES", "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
    filename = "model.xml" if precision == "int8" else "model.onnx"
    assert (config.backend, config.default_model_filename) == ("openvino", filename)
    assert _parameters(config) == {**always, **expected}
    assert _parameters(_model(OpenVinoModel, threads=3))["INFERENCE_NUM_THREADS"] == "3"


def test_cpu_backends_are_told_when_the_detector_is_not_asked() -> None:
    for kind in (OnnxRuntimeModel, OpenVinoModel):
        assert _parameters(_model(kind, unasked="crop=whole"))["TOONFACE_UNASKED"] == "crop=whole"
    configs = _configs()
    assert _parameters(configs["face_detection"])["TOONFACE_UNASKED"] == "crop=whole"
    assert "TOONFACE_UNASKED" not in _parameters(configs["face_embedding"])


def test_tensorrt_is_told_its_profiles_and_warmed_up_in_each_batch() -> None:
    config = _model(TensorRtModel, gpu=True, profiles=3, warm_up=(1, 4, 8))
    assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
    assert config.default_model_filename == "model.plan"
    [group] = config.instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert list(group.profile) == ["0", "1", "2"]
    assert [(warm_up.name, warm_up.batch_size) for warm_up in config.model_warmup] == [
        ("batch 1", 1),
        ("batch 4", 4),
        ("batch 8", 8),
    ]
    blank = config.model_warmup[0].inputs["x"]
    assert (blank.data_type, list(blank.dims), blank.zero_data) == (model_config_pb2.TYPE_UINT8, [2, 3], True)


def test_networks_are_warmed_up_in_the_batches_that_their_backend_tells_apart() -> None:
    def warm_ups(**serving: Any) -> list[list[int]]:
        configs = _configs(**serving)
        networks = (names.FACE_DETECTION, names.FACE_EMBEDDING)
        return [[warm_up.batch_size for warm_up in configs[name].model_warmup] for name in networks]

    assert warm_ups() == [[1], [1]]
    assert warm_ups(backend="onnxruntime", detection_batch=3, embedding_batch=16) == [[1, 3], [1, 16]]
    assert warm_ups(backend="onnxruntime", detection_batch=1, embedding_batch=1) == [[1], [1]]
    engine = {"detection_batches": [4, 99], "embedding_batches": [8]}
    assert warm_ups(target="gpu", engine=engine) == [[1, 4, 8], [1, 8, 64]]


def test_on_a_gpu_the_networks_are_on_it_and_the_stages_are_not() -> None:
    for backend, platform in (("tensorrt", "tensorrt_plan"), ("onnxruntime", "")):
        configs = _configs(target="gpu", backend=backend)
        kinds = {name: config.instance_group[0].kind for name, config in configs.items() if config.instance_group}
        gpu = {name for name, kind in kinds.items() if kind == model_config_pb2.ModelInstanceGroup.KIND_GPU}
        assert gpu == {names.FACE_DETECTION, names.FACE_EMBEDDING}
        assert configs[names.FACE_EMBEDDING].platform == platform


def test_all_models_have_the_contract_s_names() -> None:
    stages = {names.PREPROCESS, names.FACE_DETECTION, names.CROP_ALIGN, names.FACE_EMBEDDING, names.GALLERY_SEARCH}
    assert set(_configs()) == stages | set(names.ENTRY_MODELS)


@pytest.mark.parametrize("ensemble", [names.FACE_RECOGNITION, names.FACE_FEATURES])
def test_each_step_of_an_ensemble_gets_what_an_earlier_one_makes(ensemble: str) -> None:
    configs = _configs()

    def shape(model: Any, tensor: Any) -> tuple[int, tuple[int, ...]]:
        """Type and dimensions, the batch dimension included."""
        return tensor.data_type, (-1,) * (model.max_batch_size > 0) + tuple(tensor.dims)

    whole = configs[ensemble]
    made = {tensor.name: shape(whole, tensor) for tensor in whole.input}
    for step in whole.ensemble_scheduling.step:
        model = configs[step.model_name]
        assert set(step.input_map) == {tensor.name for tensor in model.input}
        assert set(step.output_map) <= {tensor.name for tensor in model.output}
        for tensor in model.input:
            data_type, dims = made[step.input_map[tensor.name]]
            wanted_type, wanted = shape(model, tensor)
            assert data_type == wanted_type
            assert len(dims) == len(wanted)
            assert all(-1 in pair or pair[0] == pair[1] for pair in zip(dims, wanted, strict=True))
        made |= {step.output_map[t.name]: shape(model, t) for t in model.output if t.name in step.output_map}
    assert all(made[tensor.name] == shape(whole, tensor) for tensor in whole.output)


def test_every_stage_that_batches_or_bears_the_load_has_a_bounded_queue_and_inner_ones_are_larger() -> None:
    configs = _configs(queue_size=16, queue_timeout_ms=250)
    policies = {
        name: config.dynamic_batching.default_queue_policy for name, config in configs.items() if config.backend
    }
    # Triton's batcher would keep requests to these waiting, which are quick and seldom busy.
    for name in (names.CROP_ALIGN, names.GALLERY_SEARCH):
        assert not configs.pop(name).HasField("dynamic_batching")
        del policies[name]
    del policies[names.GALLERY_ADMIN]
    edge = {names.PREPROCESS, names.FACE_DETECTION}
    for name, policy in policies.items():
        assert policy.timeout_action == model_config_pb2.ModelQueuePolicy.REJECT
        if name in edge:
            assert (policy.max_queue_size, policy.default_timeout_microseconds) == (16, 250_000)
        else:
            assert policy.max_queue_size > 16
            assert policy.default_timeout_microseconds == 0


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_queue_of_gallery_admin_has_no_limits_with_which_triton_would_keep_calls_waiting(target: str) -> None:
    admin = _configs(target=target, backend="onnxruntime")[names.GALLERY_ADMIN]
    assert admin.HasField("dynamic_batching")  # without it, calls are carried out whose callers have given up
    assert admin.dynamic_batching == model_config_pb2.ModelDynamicBatching()


def test_searches_of_several_requests_are_made_together_where_there_are_many_and_no_limits_keep_them_waiting() -> None:
    search = _configs(target="gpu", backend="onnxruntime", batch_delay_us=200)[names.GALLERY_SEARCH]
    assert search.HasField("dynamic_batching")
    assert search.dynamic_batching == model_config_pb2.ModelDynamicBatching(max_queue_delay_microseconds=200)


@pytest.mark.parametrize("serving", [{}, {"target": "gpu"}, {"preprocess_instances": 4, "crop_align_instances": 4}])
def test_one_instance_searches_so_that_a_server_holds_each_index_once(serving: dict[str, Any]) -> None:
    [group] = _configs(**serving)[names.GALLERY_SEARCH].instance_group
    assert (group.count, group.kind) == (1, model_config_pb2.ModelInstanceGroup.KIND_CPU)


def test_serving_settings_reach_the_models() -> None:
    configs = _configs(
        backend="onnxruntime", threads=2, detection_batch=3, embedding_batch=5, search_batch=7, preprocess_instances=4
    )
    assert configs["face_detection"].backend == configs["face_embedding"].backend == "onnxruntime"
    assert _parameters(configs["face_embedding"])["intra_op_thread_count"] == "2"
    batches = [configs[name].max_batch_size for name in ("face_detection", "face_embedding", "gallery_search")]
    assert batches == [3, 5, 7]
    assert _parameters(configs["crop_align"])["embedder_batch"] == "5"
    assert configs["preprocess"].instance_group[0].count == 4
    assert configs["face_detection"].instance_group[0].count == 2


def test_stages_get_their_parameters_in_the_forms_that_they_read() -> None:
    deployment = _deployment(Serving())
    configs = _configs()
    crop_align = _parameters(configs["crop_align"])
    assert DetectorInput.model_validate_json(crop_align["detector_input"]) == deployment.detector_input
    assert NmsParameters.model_validate_json(crop_align["nms"]) == deployment.nms
    for name in (names.GALLERY_SEARCH, names.GALLERY_ADMIN):
        parameters = _parameters(configs[name])
        assert (parameters["embedder"], parameters["dimension"]) == ("sha256:0123", "128")
