"""What a report shows of each kind of evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from toonface_training.evaluation.detection import DetectionOutcome
from toonface_training.evaluation.feature import FeatureOutcome, GalleryOutcome, PairOutcome
from toonface_training.evaluation.recognition import RecognitionOutcome
from toonface_training.evaluation.report import mistakes, plots
from toonface_training.evaluation.report.page import Picture, Section
from toonface_training.evaluation.report.sheets import Tile, contact_sheet
from toonface_training.evaluation.rows import detection_rows, gallery_rows, pair_rows, recognition_rows

_COLOURS = "green: true faces; red: faces that do not count; blue: detections"


def detection_sections(outcome: DetectionOutcome) -> list[Section]:
    """Figures, curves, and the faces that were missed, imagined, or boxed badly."""
    truth, threshold = [scene.truth for scene in outcome.scenes], outcome.deployed.threshold
    return [
        Section(
            "Detection",
            detection_rows(outcome),
            pictures=[
                Picture("precision_recall", plots.precision_recall_plot(outcome.found, truth, threshold)),
                Picture("overlaps", plots.overlap_plot(mistakes.overlaps_of_found(outcome))),
            ],
        ),
        _sheet("Missed faces", "missed", mistakes.missed_faces(outcome), f"The largest first; {_COLOURS}."),
        _sheet("False boxes", "false_boxes", mistakes.false_boxes(outcome), f"The surest first; {_COLOURS}."),
        _sheet("Loose boxes", "loose_boxes", mistakes.loose_boxes(outcome), f"The loosest first; {_COLOURS}."),
    ]


def feature_sections(outcome: FeatureOutcome) -> list[Section]:
    """Figures, curves, and the characters that were taken for one another."""
    sections = []
    if outcome.pairs is not None:
        sections += _pair_sections(outcome.pairs)
    for gallery in outcome.galleries:
        sections += _gallery_sections(gallery, outcome)
    return sections


def recognition_sections(outcome: RecognitionOutcome) -> list[Section]:
    """Figures, and the faces that got a wrong name."""
    found = outcome.by_boxes
    galleries = {"detected boxes": found, "true boxes": outcome.by_truth}
    return [
        Section(
            "Recognition, end to end",
            recognition_rows(outcome),
            pictures=[
                Picture("recognition_ranks", plots.rank_plot(galleries)),
                Picture("recognition_thresholds", plots.open_set_plot(found, outcome.rec_threshold)),
            ],
        ),
        _sheet(
            "Faces taken for others",
            "wrong_faces",
            mistakes.wrong_faces(outcome),
            f"The face, its own character, and whom it was taken for; the surest first. In scenes {_COLOURS}.",
        ),
    ]


def _pair_sections(outcome: PairOutcome) -> list[Section]:
    genuine, impostors = outcome.genuine, outcome.impostors
    kinds = {"same character": genuine, "different characters": impostors}
    return [
        Section(
            "Pairs",
            pair_rows(outcome),
            pictures=[
                Picture("pair_scores", plots.score_plot(kinds, outcome.served.threshold)),
                Picture("pair_roc", plots.roc_plot(genuine, {"different pairs": impostors})),
            ],
        ),
        _sheet(
            "Pairs taken for different",
            "false_rejects",
            mistakes.mistaken_pairs(outcome, same=True),
            "The least similar first.",
        ),
        _sheet(
            "Pairs taken for the same",
            "false_accepts",
            mistakes.mistaken_pairs(outcome, same=False),
            "The most similar first.",
        ),
    ]


def _gallery_sections(outcome: GalleryOutcome, whole: FeatureOutcome) -> list[Section]:
    if whole.gallery_set is None:
        return []
    found, name = outcome.found, f"gallery_{outcome.name}"
    impostors = {"others": found.impostors}
    if found.alike.total:
        impostors["others of the same style"] = found.alike
    return [
        Section(
            f"Gallery, pictures of each character: {outcome.name}",
            gallery_rows(outcome),
            pictures=[
                Picture(f"{name}_ranks", plots.rank_plot({"probes": found})),
                Picture(f"{name}_thresholds", plots.open_set_plot(found, outcome.rec_threshold)),
                Picture(f"{name}_roc", plots.roc_plot(found.genuine, impostors)),
                Picture(
                    f"{name}_scores",
                    plots.score_plot({"same character": found.genuine, **impostors}, outcome.rec_threshold),
                ),
            ],
        ),
        _sheet(
            f"Taken for others ({outcome.name})",
            f"{name}_wrong",
            mistakes.wrong_names(outcome, whole.gallery_set),
            "The probe, its own character, and whom it was taken for; the surest first.",
        ),
        _sheet(
            f"Strangers with a name ({outcome.name})",
            f"{name}_strangers",
            mistakes.named_strangers(outcome, whole.gallery_set),
            "The stranger, and whom it was taken for; the surest first.",
        ),
    ]


def _sheet(title: str, name: str, tiles: Sequence[Tile], note: str) -> Section:
    if not tiles:
        return Section(title, note="None.")
    return Section(title, note=note, pictures=[Picture(name, contact_sheet(tiles))])
