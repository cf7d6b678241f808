"""The forms that a pair of models takes on the way to being served, each measured alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toonface_export.families import DETECTORS, EMBEDDERS
from toonface_export.paddle_model import PARAMETERS, read_paddle_model, sha256_of
from toonface_export.pipeline import read_pipeline
from toonface_export.repository import export_repository
from toonface_training.evaluation.demo_figures import Sample, demo_figures, must_be_complete
from toonface_training.evaluation.demo_results import Results
from toonface_training.evaluation.outputs import must_be_writable
from toonface_training.evaluation.serving import served
from toonface_training.evaluation.subjects.floors import FLOORS
from toonface_training.evaluation.subjects.opening import Subject, SubjectSettings, model_folder, open_subject
from toonface_training.evaluation.tracking import Track, silent

FORMS = ("paddle", "onnxruntime", "openvino", "server", *FLOORS)

_EXPORTED = ("onnxruntime", "openvino", "server")


def all_forms(
    pipeline: Path, sample: Sample, forms: Sequence[str], output: Path, track: Track = silent
) -> tuple[dict[str, Any], str]:
    """Measure a pair of models in several forms, and write `figures.json` and `figures.md`.

    Forms that an earlier run measured, of the same models on the same sample, stay in both. Figures of something else
    are renamed.

    Args:
        pipeline: PaddleX's pipeline file, which names the two.
        sample: what they are measured on.
        forms: of `FORMS`, at least one.
        output: for the figures, the exported repository, and the server's log.
        track: told of each picture.

    Returns:
        What was written to `figures.json`, and to `figures.md`.

    Raises:
        ToonfaceError: a model, the data or the server is not what it should be, or `output` cannot be written to.
    """
    must_be_writable(output)
    must_be_complete(sample, scenes=any(form not in FLOORS for form in forms))
    results = Results(output, _about(pipeline, sample))
    columns = results.earlier()
    repository = output / "repository"
    if any(form in _EXPORTED for form in forms):
        export_repository(read_pipeline(pipeline), repository, lambda step: None)
    for form in forms:
        with _opened(form, pipeline, repository, output) as subject:
            columns[form] = demo_figures(subject, sample, _prefixed(track, form))
        # After each form, so that a long run that is stopped leaves what it has.
        columns = {each: columns[each] for each in FORMS if each in columns}
        document, markdown = results.write(columns)
    return document, markdown


def _about(pipeline: Path, sample: Sample) -> dict[str, Any]:
    modules = read_pipeline(pipeline).modules
    models = [
        read_paddle_model(model_folder(module), known=known, expected=module.model_name)
        for module, known in ((modules.detection, tuple(DETECTORS)), (modules.recognition, tuple(EMBEDDERS)))
    ]
    return {
        "dataset": str(sample.dataset),
        "lists_sha256": sample.digest,
        "every": sample.every,
        "pipeline_sha256": sha256_of(pipeline),
        "models": {model.name: f"sha256:{model.sha256[PARAMETERS]}" for model in models},
    }


@contextmanager
def _opened(form: str, pipeline: Path, repository: Path, output: Path) -> Iterator[Subject]:
    if form == "server":
        with served(repository, output / "server") as address:
            yield open_subject(address, SubjectSettings())
    elif form == "paddle":
        yield open_subject(str(pipeline), SubjectSettings())
    elif form in FLOORS:
        yield open_subject(form, SubjectSettings())
    else:
        yield open_subject(
            str(repository), SubjectSettings(backend="openvino" if form == "openvino" else "onnxruntime")
        )


def _prefixed(track: Track, form: str) -> Track:
    return lambda items, total, what: track(items, total, f"{form}: {what}")
