"""PaddleX in processes of its own: its pipeline in Python, and its HTTP server."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from toonface_benchmarks.load import LoadResult
from toonface_contract.errors import ConfigError, ServerError
from toonface_export.pipeline import Pipeline
from toonface_training.evaluation.serving import end

# Appended, so that PaddleX's environment comes first; -P keeps the working directory out.
_START = "import sys; sys.path.append(sys.argv.pop(1)); from toonface_benchmarks.paddlex_worker import main; main()"
_PACKAGES = Path(__file__).resolve().parents[1]
_START_SECONDS, _STOP_SECONDS = 120, 30


@dataclass(frozen=True)
class Installation:
    """PaddleX as it is to be run.

    Attributes:
        python: interpreter of its environment.
        config: its pipeline file.
        threads: of its networks.
        folder: for its logs, and for what its server keeps.
    """

    python: Path
    config: Path
    threads: int
    folder: Path

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """The command line of the worker."""
        return [self.python, "-P", "-c", _START, _PACKAGES, *arguments]

    def environment(self) -> dict[str, str]:
        """Equal threads; no look at PaddleX's model hosts; a font of its own packages, or it would download one."""
        [font] = self.python.parents[1].glob("lib/*/site-packages/matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf")
        threads = str(self.threads)
        return {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "PADDLE_PDX_CPU_NUM_THREADS": threads,
            "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
            "PADDLE_PDX_LOCAL_FONT_FILE_PATH": str(font),
        }


def write_config(pipeline: Pipeline, path: Path, *, bf16: bool = False) -> None:
    """Write PaddleX's own pipeline file: the same models and thresholds.

    Args:
        pipeline: what it shall run.
        path: of the file.
        bf16: whether oneDNN may compute in bf16 (`mkldnn_bf16`); without, PaddleX computes as it does by default.

    Raises:
        ConfigError: a model has no folder.
    """
    modules = {}
    for name, module in (("Detection", pipeline.modules.detection), ("Recognition", pipeline.modules.recognition)):
        if module.model_dir is None:
            raise ConfigError(f"SubModules.{name}.model_dir is null; name the folder, so that both sides run the same")
        task = {"Detection": "face_detection", "Recognition": "face_feature"}[name]
        modules[name] = {
            "module_name": task,
            "model_name": module.model_name,
            "model_dir": str(module.model_dir.absolute()),
            "batch_size": module.batch_size or 1,
        }
    content: dict[str, Any] = {
        "pipeline_name": pipeline.pipeline_name,
        "index": None,
        "det_threshold": pipeline.det_threshold,
        "rec_threshold": pipeline.rec_threshold,
        "rec_topk": pipeline.rec_topk,
        "SubModules": modules,
    }
    if bf16:
        content["engine_config"] = {"run_mode": "mkldnn_bf16"}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


class PaddlexPipeline:
    """PaddleX's pipeline in Python. Its own process times what it does, so that no pipe is in the figures."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log

    def build(self, gallery_list: Path) -> float:
        """Build the index that is searched from then on; returns the seconds that it took."""
        return float(self._ask("build", gallery_list=str(gallery_list.absolute()))["seconds"])

    def recognize(self, picture: Path, **options: Any) -> list[dict[str, Any]]:
        """The faces of a picture file; see `Worker.recognize`."""
        found: list[dict[str, Any]] = self._ask("recognize", picture=str(picture.absolute()), **options)
        return found

    def load(self, pictures: Sequence[Path], concurrency: int, seconds: float) -> LoadResult:
        """Put a closed loop on it."""
        files = [str(each.absolute()) for each in pictures]
        answer = self._ask("load", pictures=files, concurrency=concurrency, seconds=seconds)
        return LoadResult(concurrency, tuple(answer["latencies"]), answer["seconds"])

    def _ask(self, method: str, **arguments: Any) -> Any:
        if self._process.poll() is None:
            print(json.dumps({"do": method, **arguments}), file=self._process.stdin, flush=True)
        return self.answer()

    def answer(self) -> Any:
        """The next answer.

        Raises:
            ServerError: the process ended; the message ends with what it printed last.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise ServerError(f"PaddleX's pipeline ended with status {self._process.wait()}:\n{_tail(self._log)}")
        return json.loads(line)


@contextmanager
def paddlex_pipeline(installation: Installation) -> Iterator[PaddlexPipeline]:
    """PaddleX's pipeline, loaded, for as long as the block lasts."""
    log = installation.folder / "pipeline.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            installation.command("call", installation.config),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env=installation.environment(),
        )
    try:
        pipeline = PaddlexPipeline(process, log)
        pipeline.answer()
        yield pipeline
    finally:
        process.kill()
        process.communicate()


class PaddlexServer:
    """A client of PaddleX's HTTP server. Safe to use from several threads."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._index = ""

    def build(self, pictures: Sequence[tuple[bytes, str]]) -> float:
        """Send encoded pictures with their labels for the index searched from then on; returns the seconds it took."""
        begun = time.perf_counter()
        pairs = [{"image": base64.b64encode(image).decode(), "label": label} for image, label in pictures]
        self._index = self._post("face-recognition-index-build", {"imageLabelPairs": pairs})["indexKey"]
        return time.perf_counter() - begun

    def recognize(self, picture: bytes) -> list[dict[str, Any]]:
        """The faces of an encoded picture, without PaddleX's drawing of them."""
        request = {"image": base64.b64encode(picture).decode(), "indexKey": self._index, "visualize": False}
        faces: list[dict[str, Any]] = self._post("face-recognition-infer", request)["faces"]
        return faces

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self._client.post(f"/{path}", json=body)
        if response.is_error:
            raise ServerError(f"PaddleX's server answered {path} with {response.status_code}: {response.text[:300]}")
        result: dict[str, Any] = response.json()["result"]
        return result


@contextmanager
def paddlex_server(installation: Installation) -> Iterator[PaddlexServer]:
    """PaddleX's HTTP server on a free port, for as long as the block lasts.

    Raises:
        ServerError: it did not come up; the message ends with what it printed last.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = installation.folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            installation.command("serve", installation.config, str(port)),
            stdout=output,
            stderr=output,
            env=installation.environment(),
            cwd=installation.folder,  # it keeps indices below the working directory
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300, trust_env=False) as client:
            _await_health(client, process, log)
            yield PaddlexServer(client)
    finally:
        end(process, _STOP_SECONDS)


def _await_health(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    last = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < last:
        try:
            if client.get("/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise ServerError(f"PaddleX's server did not come up:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
