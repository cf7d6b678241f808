"""One evaluation from datasets on disk to a result on disk: what the command line, and PaddleX's configs, ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toonface_client.cli.gallery_list import read_gallery_list
from toonface_contract.errors import ConfigError
from toonface_training.evaluation.datasets import (
    GALLERY,
    PAIRS,
    PROBES,
    GallerySet,
    read_pairs,
    read_scenes,
)
from toonface_training.evaluation.detection import evaluate_detection
from toonface_training.evaluation.feature import FARS, evaluate_feature
from toonface_training.evaluation.outputs import must_be_writable, write_whole
from toonface_training.evaluation.recognition import evaluate_recognition
from toonface_training.evaluation.rows import Row, detection_rows, gallery_rows, pair_rows, recognition_rows
from toonface_training.evaluation.subjects.opening import Subject
from toonface_training.evaluation.tracking import Track, silent

RESULT = "evaluate_result.json"
REPORT = "report"


@dataclass(frozen=True, eq=False)
class Run:
    """An evaluation that is done.

    Attributes:
        title: what was evaluated, on what.
        document: the content of `evaluate_result.json`: PaddleX's `done_flag` and `metrics`, and all figures.
        tables: rows of figures by heading.
        sections: makes what the report shows, of type `report.page.Section`.
    """

    title: str
    document: dict[str, Any]
    tables: dict[str, list[Row]]
    sections: Callable[[], list[Any]]

    def save(self, folder: Path) -> list[Path]:
        """Write `evaluate_result.json`, and then the report's page in `report/`.

        Returns:
            What was written.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        from toonface_training.evaluation.report.page import write_report

        prepare(folder)
        result = folder / RESULT
        write_whole(result, json.dumps(self.document, indent=2, ensure_ascii=False) + "\n")
        return [result, write_report(folder / REPORT, self.title, self.sections())]


def prepare(folder: Path) -> None:
    """Make the folder that `Run.save` will write to, so that long work is not done in vain.

    Raises:
        ConfigError: it cannot be written to.
    """
    must_be_writable(folder)
    must_be_writable(folder / REPORT)


def run_detection(
    subject: Subject,
    dataset: Path,
    *,
    split: str = "val",
    det_threshold: float | None = None,
    track: Track = silent,
) -> Run:
    """Evaluate a detector on one split of a detection set.

    Args:
        subject: with a detector.
        dataset: PaddleX's COCO layout.
        split: the annotations `instance_<split>.json`.
        det_threshold: the deployed threshold; None for the subject's own.
        track: told of each picture.

    Raises:
        ToonfaceError: the subject has no detector, or the data cannot be read.
    """
    threshold = subject.det_threshold if det_threshold is None else det_threshold
    outcome = evaluate_detection(subject.must_detect(), read_scenes(dataset, split), threshold, track)

    def sections() -> list[Any]:
        from toonface_training.evaluation.report.sections import detection_sections

        return detection_sections(outcome)

    title = f"{subject.name}, on {dataset} ({split})"
    document = _document("detection", subject, dataset, outcome.metrics, {"split": split, **outcome.as_dict()})
    return Run(title, document, {"Detection": detection_rows(outcome)}, sections)


def run_feature(
    subject: Subject,
    dataset: Path,
    *,
    pairs: Path | None = None,
    gallery: Path | None = None,
    probes: Path | None = None,
    rec_threshold: float | None = None,
    shots: Sequence[int] = (),
    fars: Sequence[float] = FARS,
    flip_test: bool = False,
    track: Track = silent,
) -> Run:
    """Evaluate an embedder on the pairs and the gallery of a feature set; either may be missing.

    Args:
        subject: with an embedder.
        dataset: holds `val/pair_label.txt`, or `gallery.txt` and `probe.txt`, or all of them.
        pairs: the list of pairs, where it is another.
        gallery: the gallery's list, where it is another.
        probes: the list of probes, where it is another.
        rec_threshold: the deployed threshold; None for the subject's own.
        shots: how many gallery pictures of each character take part, in turn; all where it is empty.
        fars: false-accept rates to find thresholds for.
        flip_test: give the pair accuracy with mirrored pictures added too, as PaddleX's evaluation does.
        track: told of each picture.

    Raises:
        ToonfaceError: the subject has no embedder, the data cannot be read, or something is asked of a part that the
            set does not have.
    """
    pairs, gallery = pairs or dataset / PAIRS, gallery or dataset / GALLERY
    if not pairs.is_file() and not gallery.is_file():
        raise ConfigError(f"{dataset} has neither {PAIRS} nor {GALLERY}; a feature set has one of them, or both")
    if flip_test and not pairs.is_file():
        raise ConfigError(f"--flip-test is for pairs; {dataset} has no {PAIRS}, and --pairs names none")
    asked = {"--probes": probes is not None, "--shots": bool(shots), "--rec-threshold": rec_threshold is not None}
    if any(asked.values()) and not gallery.is_file():
        option = next(name for name, given in asked.items() if given)
        raise ConfigError(f"{option} is for galleries; {dataset} has no {GALLERY}, and --gallery names none")
    listed = read_pairs(pairs) if pairs.is_file() else []
    probes = probes or dataset / PROBES
    gallery_set = GallerySet(read_gallery_list(gallery), read_gallery_list(probes)) if gallery.is_file() else None
    outcome = evaluate_feature(
        subject.must_embed(),
        pairs=listed,
        gallery_set=gallery_set,
        rec_threshold=subject.rec_threshold if rec_threshold is None else rec_threshold,
        shots=shots,
        fars=fars,
        flip_test=flip_test,
        track=track,
    )

    def sections() -> list[Any]:
        from toonface_training.evaluation.report.sections import feature_sections

        return feature_sections(outcome)

    rows = {"Pairs": pair_rows(outcome.pairs)} if outcome.pairs else {}
    rows |= {f"Gallery, pictures of each: {each.name}": gallery_rows(each) for each in outcome.galleries}
    document = _document("feature", subject, dataset, outcome.metrics, outcome.as_dict())
    return Run(f"{subject.name}, on {dataset}", document, rows, sections)


def run_recognition(
    subject: Subject,
    dataset: Path,
    gallery: Path,
    *,
    split: str = "val",
    det_threshold: float | None = None,
    rec_threshold: float | None = None,
    shots: int | None = None,
    track: Track = silent,
) -> Run:
    """Evaluate names end to end: faces of scenes, found by the detector, looked up in a gallery.

    Args:
        subject: with a detector and an embedder.
        dataset: a detection set whose annotations have a `label`.
        gallery: PaddleX's list of the gallery.
        split: the annotations `instance_<split>.json`.
        det_threshold: the deployed threshold; None for the subject's own.
        rec_threshold: the deployed threshold; None for the subject's own.
        shots: how many gallery pictures of each character take part; None for all.
        track: told of each picture.

    Raises:
        ToonfaceError: the subject lacks one of the two models, or the data cannot be read.
    """
    outcome = evaluate_recognition(
        subject.must_recognise(),
        subject.must_embed(),
        scenes=read_scenes(dataset, split),
        gallery=read_gallery_list(gallery),
        det_threshold=subject.det_threshold if det_threshold is None else det_threshold,
        rec_threshold=subject.rec_threshold if rec_threshold is None else rec_threshold,
        shots=shots,
        track=track,
    )

    def sections() -> list[Any]:
        from toonface_training.evaluation.report.sections import recognition_sections

        return recognition_sections(outcome)

    title = f"{subject.name}, on {dataset} ({split})"
    figures = {"split": split, "gallery": str(gallery), "shots": shots, **outcome.as_dict()}
    document = _document("recognition", subject, dataset, outcome.metrics, figures)
    return Run(title, document, {"Recognition, end to end": recognition_rows(outcome)}, sections)


def _document(
    kind: str, subject: Subject, dataset: Path, metrics: dict[str, float | None], figures: dict[str, Any]
) -> dict[str, Any]:
    return {
        "done_flag": True,
        "metrics": metrics,
        "kind": kind,
        "subject": subject.name,
        "dataset": str(dataset),
        "figures": figures,
    }
