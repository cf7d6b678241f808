"""PaddleX's inference folder of a network: the program, its parameters, and what to do before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from toonface_training.networks import DETECTORS, Detector, Embedder, build, model
from toonface_training.networks.catalogue import Normalisation


def write_inference(network: Any, name: str, folder: Path, *, labels: Sequence[str] = ("face",)) -> None:
    """Write `inference.json`, `inference.pdiparams` and `inference.yml`, which PaddleX and `toonface export` read.

    `network` is left as it is. The programs take batches of any size; a detector's ends in its NMS. In a process that
    was started with FLAGS_enable_pir_api=0 in its environment, Paddle writes the program in its older form,
    `inference.pdmodel`, of the BlazeFaces and the embedders. PP-YOLOE and PicoDet call `paddle.nn.functional.sigmoid`
    and `paddle.multiply`, which Paddle 3.2 traces in its newer form alone: `tests/export/write_models.py` replaces the
    two, and gets the older form of these as well.

    Args:
        network: a network that `toonface_training.networks.build` made.
        name: its name.
        folder: where to write; made if need be. Files of these names are replaced.
        labels: a detector's class names.

    Raises:
        ConfigError: there is no model of this name.
    """
    spec = model(name)
    copy = build(name, len(labels))
    copy.set_state_dict(network.state_dict())
    copy.eval()
    for layer in copy.sublayers():
        # RepVGG blocks of PP-YOLOE: two branches in training, one convolution afterwards.
        if hasattr(layer, "convert_to_deploy"):
            layer.convert_to_deploy()
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("inference.json", "inference.pdmodel"):
        (folder / stale).unlink(missing_ok=True)
    _save(copy, spec, folder)
    settings = _detector_settings(spec, labels) if isinstance(spec, Detector) else _embedder_settings(spec)
    (folder / "inference.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def _save(network: Any, spec: Detector | Embedder, folder: Path) -> None:
    import paddle

    program = paddle.jit.to_static(network, input_spec=_inputs(spec), full_graph=True)
    paddle.jit.save(program, str(folder / "inference"))


def _inputs(spec: Detector | Embedder) -> list[Any]:
    from paddle.static import InputSpec

    if isinstance(spec, Embedder):
        return [InputSpec([None, 3, spec.size, spec.size], "float32", name="x")]
    side = spec.size or -1
    inputs = {
        "image": InputSpec([None, 3, side, side], "float32", name="image"),
        "scale_factor": InputSpec([None, 2], "float32", name="scale_factor"),
    }
    if spec.family == "Face":
        inputs["im_shape"] = InputSpec([None, 2], "float32", name="im_shape")
    return [inputs]


def _detector_settings(spec: Detector, labels: Sequence[str]) -> dict[str, Any]:
    """As PaddleDetection's exporter writes them; PaddleX reads `Preprocess`, `label_list` and the model's name."""
    steps: list[dict[str, Any]] = []
    if spec.size is not None:
        # interp 2 is OpenCV's bicubic.
        steps.append({"type": "Resize", "interp": 2, "keep_ratio": False, "target_size": [spec.size, spec.size]})
    steps += [_detector_normalisation(spec.normalisation), {"type": "Permute"}]
    return {
        "Global": {"model_name": spec.name},
        "mode": "paddle",
        "draw_threshold": 0.5,
        "metric": "WiderFace",
        "use_dynamic_shape": spec.size is None,
        "arch": spec.family,
        "min_subgraph_size": 3,
        "Preprocess": steps,
        "label_list": list(labels),
    }


def _detector_normalisation(normalisation: Normalisation) -> dict[str, Any]:
    values: dict[str, Any] = {"mean": list(normalisation.mean), "std": list(normalisation.std)}
    if normalisation == DETECTORS["PP-YOLOE_plus-S_face"].normalisation:
        return {"type": "NormalizeImage", **values, "norm_type": "none"}
    return {"type": "NormalizeImage", "is_scale": normalisation.scale != 1, **values}


def _embedder_settings(spec: Embedder) -> dict[str, Any]:
    normalisation = spec.normalisation
    resize = {"size": [spec.size, spec.size], "return_numpy": False, "interpolation": "bilinear", "backend": "cv2"}
    values = {"mean": list(normalisation.mean), "std": list(normalisation.std), "order": "hwc"}
    return {
        "Global": {"model_name": spec.name},
        "PreProcess": {
            "transform_ops": [
                {"ResizeImage": resize},
                {"NormalizeImage": {"scale": normalisation.scale, **values}},
                {"ToCHWImage": None},
            ]
        },
        "PostProcess": {"NormalizeFeatures": None},
    }
