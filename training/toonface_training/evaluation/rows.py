"""Figures as rows of a table: name, value, and what it rests on."""

from __future__ import annotations

from toonface_training.evaluation.detection import DetectionOutcome
from toonface_training.evaluation.feature import RANKS, GalleryOutcome, PairOutcome
from toonface_training.evaluation.metrics.identification import Decisions, Identification
from toonface_training.evaluation.metrics.pairs import FOLDS, PairAccuracy
from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.metrics.scores import ScoreCounts, tar_at_far
from toonface_training.evaluation.recognition import LARGE, RecognitionOutcome

Row = tuple[str, str, str]


def detection_rows(outcome: DetectionOutcome) -> list[Row]:
    """Of a detector."""
    average, deployed = outcome.average, outcome.deployed
    basis = f"{average.faces:,} faces in {average.pictures:,} pictures"
    return [
        ("AP (overlaps 0.50 to 0.95)", share(average.ap), basis),
        ("AP at overlap 0.5", share(average.ap50), basis),
        ("AP at overlap 0.75", share(average.ap75), basis),
        rate_row(f"precision above {deployed.threshold:g}", deployed.precision),
        rate_row(f"recall above {deployed.threshold:g}", deployed.recall),
        rate_row("pictures without a mistake", deployed.pictures_right),
    ]


def pair_rows(outcome: PairOutcome) -> list[Row]:
    """Of pairs."""
    rows = [_accuracy_row("accuracy, as served", outcome.served)]
    if outcome.mirrored_too is not None:
        rows.append(_accuracy_row("accuracy, mirrored pictures added (flip test)", outcome.mirrored_too))
    genuine, impostors = outcome.genuine, outcome.impostors
    return rows + [_tar_row(genuine, impostors, "different pairs", far) for far in outcome.fars]


def gallery_rows(outcome: GalleryOutcome) -> list[Row]:
    """Of probes looked up in a gallery."""
    found = outcome.found
    rows = [rate_row(f"rank {rank}", found.within(rank)) for rank in RANKS]
    rows += [rate_row(f"rank 1 of {style}", rate) for style, rate in outcome.rank1_by_style.items()]
    rows += decision_rows(found.decisions(outcome.rec_threshold))
    for far in outcome.fars:
        rows += _threshold_rows(found, far)
    for name, impostors in (("others", found.impostors), ("others of the same style", found.alike)):
        if impostors.total:
            rows += [_tar_row(found.genuine, impostors, name, far) for far in outcome.fars]
    return rows


def recognition_rows(outcome: RecognitionOutcome) -> list[Row]:
    """Of names end to end."""
    return [
        rate_row(f"faces found above {outcome.det_threshold:g}", outcome.found),
        rate_row("rank 1, missed faces counted as wrong", outcome.rank1),
        rate_row("rank 1 of found faces", outcome.rank1_of_found()),
        rate_row(f"rank 1 of found faces, {LARGE} pixels and more", outcome.rank1_of_found(LARGE)),
        rate_row("rank 1 with true boxes", outcome.by_truth.within(1)),
        *decision_rows(outcome.by_boxes.decisions(outcome.rec_threshold)),
        rate_row(
            f"false boxes named from {outcome.rec_threshold:g} on",
            Rate(int((outcome.false_scores >= outcome.rec_threshold).sum()), len(outcome.false_scores)),
        ),
    ]


def decision_rows(decided: Decisions) -> list[Row]:
    """What a `rec_threshold` does."""
    at = f"from {decided.threshold:g} on"
    return [
        rate_row(f"known faces named rightly {at}", decided.right),
        rate_row(f"known faces named wrongly {at}", decided.wrong),
        rate_row(f"strangers named {at}", decided.strangers),
        rate_row(f"would be named if not enrolled {at}", decided.not_enrolled),
    ]


def rate_row(name: str, rate: Rate) -> Row:
    """A row for a share: its counts, and the interval that they leave it."""
    low, high = rate.interval
    return name, share(rate.value), f"{rate.hits:,} of {rate.of:,}" + (f"; {low:.3f} to {high:.3f}" if rate.of else "")


def share(value: float | None) -> str:
    """A share with three decimals; a dash for none."""
    return "\u2013" if value is None else f"{value:.3f}"


def _accuracy_row(name: str, accuracy: PairAccuracy) -> Row:
    pairs = f"{accuracy.pairs:,} pairs, {accuracy.same:,} of them the same"
    folds = f"{FOLDS} folds, deviation {accuracy.deviation:.3f}, threshold {accuracy.threshold:.3f}"
    return name, share(accuracy.accuracy), f"{pairs}; {folds}"


def _threshold_rows(found: Identification, far: float) -> list[Row]:
    if found.known.all():
        return []
    name, threshold = f"rec_threshold that names at most {far:g} of the strangers", found.threshold_for(far)
    if threshold is None:
        return [(name, share(None), "more of them than that have a similarity of 1")]
    decided = found.decisions(threshold)
    basis = f"names {share(decided.right.value)} of the known rightly; {decided.strangers.of:,} strangers"
    return [(name, _threshold(threshold), basis)]


def _tar_row(genuine: ScoreCounts, impostors: ScoreCounts, name: str, far: float) -> Row:
    label, at = f"TAR at FAR {far:g} against {name}", tar_at_far(genuine, impostors, far)
    if at is None:
        return label, share(None), "no threshold keeps to it" if impostors.total else "there are no impostors"
    _, value, basis = rate_row(label, at.tar)
    return label, value, f"{basis}; {at.far.hits:,} of {at.far.of:,} impostors; threshold {_threshold(at.threshold)}"


def _threshold(value: float) -> str:
    """One of `edges()`, in full: rounded, it would let others in."""
    return f"{value:.5f}"
