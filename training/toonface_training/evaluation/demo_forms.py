"""The forms that a pair of models takes on the way to being served, each measured alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toonface_contract.errors import ConfigError
from toonface_export.pipeline import read_pipeline
from toonface_export.repository import export_repository
from toonface_training.evaluation.demo_figures import Figures, Sample, as_dict, demo_figures, furthest, table
from toonface_training.evaluation.serving import served
from toonface_training.evaluation.subjects.floors import FLOORS
from toonface_training.evaluation.subjects.opening import Subject, SubjectSettings, open_subject
from toonface_training.evaluation.tracking import Track, silent

FORMS = ("paddle", "onnxruntime", "openvino", "server", *FLOORS)

_EXPORTED = ("onnxruntime", "openvino", "server")


def all_forms(
    pipeline: Path, sample: Sample, forms: Sequence[str], output: Path, track: Track = silent
) -> tuple[dict[str, Any], str]:
    """Measure a pair of models in several forms, and write `figures.json` and `figures.md`.

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
    repository = output / "repository"
    if any(form in _EXPORTED for form in forms):
        export_repository(read_pipeline(pipeline), repository, lambda step: None)
    columns: dict[str, Figures] = {}
    for form in forms:
        with _opened(form, pipeline, repository, output) as subject:
            columns[form] = demo_figures(subject, sample, _prefixed(track, form))
        # After each form, so that a long run that is stopped leaves what it has.
        document, markdown = _document(columns, sample), table(columns)
        _write(document, markdown, output)
    return document, markdown


def _document(columns: Mapping[str, Figures], sample: Sample) -> dict[str, Any]:
    first, *others = columns
    return {
        "dataset": str(sample.dataset),
        "every": sample.every,
        "figures": {form: as_dict(figures) for form, figures in columns.items()},
        "furthest": {
            form: dict(zip(("figure", "difference"), furthest(columns[first], columns[form]), strict=True))
            for form in others
            if form not in FLOORS
        },
    }


def _write(document: dict[str, Any], markdown: str, output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / "figures.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        (output / "figures.md").write_text(markdown, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to {str(output)!r}: {error.strerror or error}") from error


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
