"""What runs in PaddleX's own environment: its pipeline, at the commands of another process, or its HTTP server.

Of toonface's modules only `load.py` is imported, so that the same code puts the load on both sides.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def mend() -> None:
    """Let embedders give one row for each picture, and detectors no box that the pipeline cannot cut out.

    PaddleX 3.7.2 takes the array that `NormalizeFeatures` returns for a batch as the answer to each picture of it, on
    which `build_index` fails. A list of rows is split as was meant. And a sliver of a box, in which there is no pixel
    once its corners are whole numbers, ends the pipeline in the crop.
    """
    from paddlex.inference.models.image_feature.processors import NormalizeFeatures
    from paddlex.inference.models.object_detection import processors

    restructured: Callable[..., list[dict[str, Any]]] = processors.restructured_boxes

    def boxes_with_pixels(*args: Any) -> list[dict[str, Any]]:
        boxes = restructured(*args)
        return [box for box in boxes if _has_pixels(*map(int, box["coordinate"]))]

    processors.restructured_boxes = boxes_with_pixels
    normalise: Callable[[Any, Any], Any] = NormalizeFeatures._normalize
    NormalizeFeatures._normalize = lambda self, features: list(normalise(self, features))


def _has_pixels(left: int, top: int, right: int, bottom: int) -> bool:
    return right > left and bottom > top


class Worker:
    """PaddleX's pipeline, in a thread of its own.

    Callers wait for their turns, as they do in PaddleX's server: its networks fail when other threads call them.
    """

    def __init__(self, config: str) -> None:
        from paddlex import create_pipeline

        self._thread = ThreadPoolExecutor(1)
        self._pipeline: Any = self._thread.submit(create_pipeline, pipeline=config, device="cpu").result()
        self._index: Any = None

    def build(self, gallery_list: str) -> dict[str, Any]:
        """Build the index of a gallery list from its files: exact search by inner product, as in PaddleX's server."""
        begun = time.perf_counter()
        folder = str(Path(gallery_list).parent)
        building = self._thread.submit(
            self._pipeline.build_index, folder, gallery_list, metric_type="IP", index_type="Flat"
        )
        self._index = building.result()
        return {"seconds": time.perf_counter() - begun, "faces": len(self._index.id_map)}

    def recognize(self, picture: str, **options: Any) -> list[dict[str, Any]]:
        """The faces of a picture file; `labels` and `scores` are None for a face below the threshold."""
        return self._thread.submit(self._recognize, picture, options).result()

    def load(self, pictures: list[str], concurrency: int, seconds: float) -> dict[str, Any]:
        """A closed loop of callers."""
        from toonface_benchmarks.load import closed_loop

        result = closed_loop(self.recognize, pictures, concurrency=concurrency, seconds=seconds)
        return {"latencies": result.latencies, "seconds": result.seconds}

    def _recognize(self, picture: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
        [result] = self._pipeline.predict(picture, index=self._index, **options)
        return [
            {
                "box": [float(value) for value in face["coordinate"]],
                "score": float(face["det_score"]),
                "labels": face["labels"],
                "scores": face["rec_scores"] and [float(score) for score in face["rec_scores"]],
            }
            for face in result["boxes"]
        ]


def call(config: str) -> None:
    """Carry out commands, `{"do": METHOD, ...arguments}` a line; each answer is a line of standard output.

    What PaddleX prints goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(config)
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        method = getattr(worker, command.pop("do"))
        print(json.dumps(method(**command)), file=answers, flush=True)


def serve(config: str, port: str) -> None:
    """PaddleX's own HTTP server, as its command line starts it."""
    from paddlex.__main__ import console_entry

    sys.argv = ["paddlex", "--serve", "--pipeline", config, "--device", "cpu", "--host", "127.0.0.1", "--port", port]
    sys.exit(console_entry())


def main() -> None:
    """`call CONFIG` or `serve CONFIG PORT`."""
    mend()
    match sys.argv[1:]:
        case ["call", config]:
            call(config)
        case ["serve", config, port]:
            serve(config, port)
        case other:
            raise SystemExit(f"unknown: {other}")
