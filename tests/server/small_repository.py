"""A repository of small models with the real names and backends, and a way to serve it with the real tritonserver."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper
from tritonclient.grpc import InferenceServerClient, InferInput

from toonface_export.triton_config import OnnxRuntimeModel
from toonface_export.triton_message import Queue, Tensor

STAGES = ("preprocess", "face_detection", "face_embedding", "gallery_search")

# Rows of [0, 1, 2, 3] + row; as many as the input's length says. Request parameters make it slow, hang or crash.
_PREPROCESS = """
import json, os, time
import numpy as np
import triton_python_backend_utils as pb_utils
from toonface_server import stage

class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        options = json.loads(request.parameters() or "{}")
        if options.get("act") == "hang":
            print("hanging", flush=True)
            while True:
                time.sleep(1)
        if options.get("act") == "crash":
            os._exit(3)
        if options.get("act") == "headers":
            raise ValueError(str(sorted(stage.request_parameters(request))))
        time.sleep(options.get("sleep_ms", 0) / 1000)
        image = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()[0]
        count = 1 if len(image) > 8 else len(image)
        rows = (np.arange(4) + np.arange(count)[:, None]).astype(np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor("rows", rows)])
"""

_SUM = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        arrays = [pb_utils.get_input_tensor_by_name(request, "moved").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("sums", a.sum(1, keepdims=True))]) for a in arrays]
"""


_ADMIN = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        result = pb_utils.Tensor("result", np.array([b"{}"], dtype=np.object_))
        return [pb_utils.InferenceResponse([result]) for _ in requests]
"""


def _tensor(name: str, kind: str, dims: list[int]) -> str:
    return f'{{ name: "{name}" data_type: TYPE_{kind} dims: {dims} }}'


def _config(backend: str, batch: int, inputs: list[str], outputs: list[str], more: str = "") -> str:
    return (
        f'backend: "{backend}"\nmax_batch_size: {batch}\n'
        f"input [ {', '.join(inputs)} ]\noutput [ {', '.join(outputs)} ]\n"
        f"instance_group [ {{ kind: KIND_CPU count: 1 }} ]\n{more}"
    )


def affine_onnx(path: Path, source: str, target: str, factor: float, offset: float) -> None:
    """target = source * factor + offset, on FP32 [n, 4]."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", [source, "factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "offset"], [target]),
        ],
        "affine",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info(target, TensorProto.FLOAT, ["n", 4])],
        [
            helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor]),
            helper.make_tensor("offset", TensorProto.FLOAT, [1], [offset]),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def _exported_config() -> str:
    """face_detection as an export for ONNX Runtime writes it, with every kind of setting."""
    rows, doubled = (Tensor(name, "FP32", (4,)) for name in ("rows", "doubled"))
    return OnnxRuntimeModel(
        name="face_detection",
        inputs=(rows,),
        outputs=(doubled,),
        max_batch_size=8,
        queue=Queue(size=1000, timeout_us=60_000_000, batch_delay_us=20_000),
        warm_up=(1, 8),
        threads=1,
        unasked="crop=whole",
    ).config()


def write_repository(folder: Path) -> Path:
    """preprocess (rows), face_detection (x2, ONNX Runtime), face_embedding (+1, OpenVINO), gallery_search (sum)."""
    doubled, moved = (_tensor(name, "FP32", [4]) for name in ("doubled", "moved"))
    queue = "dynamic_batching { max_queue_delay_microseconds: 20000 }\n"
    files = {
        "preprocess/config.pbtxt": _config(
            "python", 0, [_tensor("image", "STRING", [1])], [_tensor("rows", "FP32", [-1, 4])]
        ),
        "preprocess/1/model.py": _PREPROCESS,
        "face_detection/config.pbtxt": _exported_config(),
        "face_embedding/config.pbtxt": _config(
            "openvino", 8, [doubled], [moved], f'{queue}default_model_filename: "model.onnx"\n'
        ),
        "gallery_search/config.pbtxt": _config("python", 8, [moved], [_tensor("sums", "FP32", [1])], queue),
        "gallery_search/1/model.py": _SUM,
        "gallery_admin/config.pbtxt": _config(
            "python", 0, [_tensor("command", "STRING", [1])], [_tensor("result", "STRING", [1])]
        ),
        "gallery_admin/1/model.py": _ADMIN,
        "face_recognition/config.pbtxt": _ensemble(),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    # Triton wants a version folder of an ensemble, too; Git and copies may lose an empty one.
    (folder / "face_recognition" / "1").mkdir()
    affine_onnx(folder / "face_detection" / "1" / "model.onnx", "rows", "doubled", 2, 0)
    affine_onnx(folder / "face_embedding" / "1" / "model.onnx", "doubled", "moved", 1, 1)
    write_manifest(folder)
    return folder


def write_manifest(folder: Path) -> None:
    """Write `toonface.json` for the files as they are."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "toonface.json")
    digests = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    (folder / "toonface.json").write_text(json.dumps({"files": digests}))


def _ensemble() -> str:
    chain = ("image", "rows", "doubled", "moved", "sums")
    steps = ", ".join(
        f'{{ model_name: "{stage}" model_version: -1 input_map {{ key: "{source}" value: "{source}" }} '
        f'output_map {{ key: "{target}" value: "{target}" }} }}'
        for stage, source, target in zip(STAGES, chain, chain[1:], strict=False)
    )
    return (
        'platform: "ensemble"\nmax_batch_size: 0\n'
        f"input [ {_tensor('image', 'STRING', [1])} ]\noutput [ {_tensor('sums', 'FP32', [-1, 1])} ]\n"
        f"ensemble_scheduling {{ step [ {steps} ] }}\n"
    )


def expected(rows: int) -> list[float]:
    """What face_recognition answers for an input of so many bytes."""
    return [float(2 * (6 + 4 * row) + 4) for row in range(rows)]


@dataclass
class Served:
    """A running `toonface serve`."""

    process: subprocess.Popen[bytes]
    log: Path
    addresses: dict[str, Any]

    @property
    def client(self) -> InferenceServerClient:
        return InferenceServerClient(f"127.0.0.1:{self.addresses['grpc_port']}")

    def ask(self, rows: int = 2, client: InferenceServerClient | None = None, **parameters: Any) -> list[float]:
        tensor = InferInput("image", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([b"x" * rows], dtype=np.object_))
        answer = (client or self.client).infer("face_recognition", [tensor], parameters=parameters)
        return [float(value) for value in answer.as_numpy("sums")[:, 0]]

    @property
    def triton(self) -> psutil.Process:
        [child] = [p for p in psutil.Process(self.process.pid).children() if p.name() == "tritonserver"]
        return child

    def stage(self, model: str) -> psutil.Process:
        [stub] = [p for p in self.triton.children() if p.status() != "zombie" and f"{model}_0_0" in p.cmdline()]
        return stub

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def log_text(self) -> str:
        return self.log.read_text()


def command(repository: Path, *options: str) -> list[str]:
    """A `toonface serve` on free ports."""
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    return [
        sys.executable,
        "-c",
        "from toonface_server.cli import serve; serve()",
        "--repository",
        str(repository),
        *ports,
        *options,
    ]


@contextmanager
def served(
    repository: Path, folder: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator[Served]:
    """Serve a repository until the end of the context; the log and the ready file lie in `folder`."""
    ready, log = folder / "ready.json", folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(repository, "--ready-file", str(ready), *options),
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    try:
        wait_until(lambda: ready.exists() or process.poll() is not None, seconds=120)
        assert ready.exists(), log.read_text()
        yield Served(process, log, json.loads(ready.read_text()))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(90)


def wait_until(condition: Any, seconds: float = 60) -> None:
    """Look again and again; AssertionError when the condition does not come about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain"
        time.sleep(0.05)
