"""Every figure of a detector and an embedder on a generated dataset, for each form that the two are in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from toonface_client.cli.gallery_list import read_gallery_list
from toonface_contract.errors import ConfigError
from toonface_export.paddle_model import sha256_of
from toonface_training.evaluation.datasets import PROBES, GallerySet, Pair, Scene, read_pairs, read_scenes
from toonface_training.evaluation.detection import evaluate_detection
from toonface_training.evaluation.embedded import embed_files
from toonface_training.evaluation.feature import FARS, evaluate_feature, look_up
from toonface_training.evaluation.metrics.pairs import FOLDS
from toonface_training.evaluation.metrics.rate import Rate
from toonface_training.evaluation.metrics.scores import ScoreCounts, tar_at_far
from toonface_training.evaluation.recognition import LARGE, RecognitionOutcome, evaluate_recognition, must_show_enrolled
from toonface_training.evaluation.rows import share
from toonface_training.evaluation.subjects import Chained, Recogniser, Remembered
from toonface_training.evaluation.subjects.opening import Subject
from toonface_training.evaluation.tracking import Track, silent

Item = TypeVar("Item")

Figures = dict[str, Rate | float | None]
"""By name; shares of counted cases, or plain numbers."""

STYLES = {"seen": "seen styles", "unseen": "unseen styles"}

_SPLITS = {"seen": "test", "unseen": "unseen"}
_PAIRS = {"seen": "pair_label.txt", "unseen": "pair_label_unseen.txt"}
# Gallery lists by how many pictures of each character they hold.
_GALLERIES = {1: "gallery.txt", 3: "gallery_3.txt"}
_POSES = {PROBES: "upright", "probe_turned.txt": "turned up to 30\u00b0"}
# Where a gallery's faces and its probes' are in whole pictures: a detection set, whose splits are called as the lists.
_PICTURES = "pictures"


_LISTS = tuple(
    place
    for kind in STYLES
    for place in (
        f"detection/annotations/instance_{_SPLITS[kind]}.json",
        f"feature/val/{_PAIRS[kind]}",
        *(f"gallery/{kind}/{name}" for name in (*_GALLERIES.values(), *_POSES)),
        *(
            f"gallery/{kind}/{_PICTURES}/annotations/instance_{Path(name).stem}.json"
            for name in (_GALLERIES[1], *_POSES)
        ),
    )
)


@dataclass(frozen=True)
class Sample:
    """What of a dataset is looked at: of scenes, pairs and probes every `every`-th; galleries are whole."""

    dataset: Path
    every: int = 1

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """The part of them that is looked at."""
        return items[:: self.every]

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of all lists and splits that there are: what the dataset says that its pictures show."""
        paths = (self.dataset / place for place in _LISTS)
        return hashlib.sha256("".join(sha256_of(path) for path in paths if path.is_file()).encode()).hexdigest()


def must_be_complete(sample: Sample, *, scenes: bool) -> None:
    """Read all lists and splits, so that a long run does not find out late what is missing.

    Args:
        sample: of a folder that `toonface dataset cartoon` wrote.
        scenes: whether scenes are needed: a detector takes part.

    Raises:
        ConfigError: a list or a split is missing, malformed, or too small to be measured on.
    """
    for kind in STYLES:
        _chosen_pairs(sample, kind)
        folder = sample.dataset / "gallery" / kind
        galleries = [read_gallery_list(folder / name) for name in _GALLERIES.values()]
        for name in _POSES:
            read_gallery_list(folder / name)
        if scenes:
            crowds = sample.of(read_scenes(sample.dataset / "detection", _SPLITS[kind]))
            for pictures in (crowds, *_probe_pictures(sample, kind).values()):
                must_show_enrolled(pictures, galleries[0])


def demo_figures(subject: Subject, sample: Sample, track: Track = silent) -> Figures:
    """All figures that a subject can have: of a detector, of an embedder, of both.

    Args:
        subject: what is evaluated.
        sample: of a folder that `toonface dataset cartoon` wrote, with `detection/` and `gallery/`.
        track: told of each picture.

    Raises:
        ToonfaceError: the data cannot be read, or the subject cannot answer.
    """
    figures: Figures = {}
    if subject.embedder is not None:
        for kind in STYLES:
            figures |= _pairs(subject, sample, kind, track)
            figures |= _gallery(subject, sample, kind, track)
    if subject.detector is not None:
        for kind in STYLES:
            figures |= _scenes(subject, sample, kind, track)
            figures |= _whole_probes(subject, sample, kind, track)
    return figures


def as_dict(figures: Figures) -> dict[str, Any]:
    """For JSON."""
    return {name: each.as_dict() if isinstance(each, Rate) else {"value": each} for name, each in figures.items()}


def table(columns: Mapping[str, Figures]) -> str:
    """A Markdown table: a row for each figure, a column for each subject."""
    names = list(dict.fromkeys(name for figures in columns.values() for name in figures))
    lines = [f"| figure | {' | '.join(columns)} | cases |", f"| --- | {'---: | ' * len(columns)}---: |"]
    for name in names:
        values = [share(value_of(figures[name])) if name in figures else "" for figures in columns.values()]
        cases = next((str(each.of) for figures in columns.values() if isinstance(each := figures.get(name), Rate)), "")
        lines.append(f"| {name} | {' | '.join(values)} | {cases} |")
    return "\n".join(lines) + "\n"


def from_dict(content: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Figures as `as_dict` has them.

    Raises:
        KeyError: it is something else.
    """
    return {name: Rate(each["hits"], each["of"]) if "hits" in each else each["value"] for name, each in content.items()}


def furthest(figures: Figures, others: Figures) -> tuple[str, float] | None:
    """The figure in which two subjects differ most, and by how much; of those that both have, if there are any."""
    differences = {
        name: abs(one - two)
        for name in figures.keys() & others.keys()
        if (one := value_of(figures[name])) is not None and (two := value_of(others[name])) is not None
    }
    return max(sorted(differences.items()), key=lambda each: each[1], default=None)


def value_of(figure: Rate | float | None) -> float | None:
    """The number itself."""
    return figure.value if isinstance(figure, Rate) else figure


def _scenes(subject: Subject, sample: Sample, kind: str, track: Track) -> Figures:
    """Of the detector; and of names end to end, if there is an embedder as well."""
    scenes = sample.of(read_scenes(sample.dataset / "detection", _SPLITS[kind]))
    outcome = evaluate_detection(subject.must_detect(), scenes, subject.det_threshold, track)
    figures = _named(
        f"detection, {STYLES[kind]}",
        {
            "AP": outcome.average.ap,
            "AP at overlap 0.5": outcome.average.ap50,
            "AP at overlap 0.75": outcome.average.ap75,
            f"precision above {subject.det_threshold:g}": outcome.deployed.precision,
            f"recall above {subject.det_threshold:g}": outcome.deployed.recall,
        },
    )
    if subject.recogniser is None:
        return figures
    # A server crops by itself; here the faces that were just found need not be looked for again.
    recogniser = subject.recogniser
    if isinstance(recogniser, Chained):
        recogniser = Remembered(outcome.found, recogniser.embedder)
    return figures | _recognition(subject, recogniser, sample.dataset / "gallery" / kind, scenes, kind, track)


def _whole_probes(subject: Subject, sample: Sample, kind: str, track: Track) -> Figures:
    """Of the gallery's probes end to end: each in a whole picture, by the way of the box that is found."""
    if subject.recogniser is None:
        return {}
    figures: Figures = {}
    for pose, pictures in _probe_pictures(sample, kind).items():
        folder = sample.dataset / "gallery" / kind
        outcome = _outcome(subject, subject.recogniser, folder, pictures, track, _whole_gallery(folder))
        figures |= _named(
            f"probes in whole pictures, {STYLES[kind]}, {pose}",
            {
                "faces found": outcome.found,
                "rank 1 of found faces": outcome.rank1_of_found(),
                "rank 1, missed faces wrong": outcome.rank1,
                "rank 1, the gallery's faces found too": outcome.rank1_both_by_boxes,
                "rank 1 with true boxes": outcome.by_truth.within(1),
            },
        )
    return figures


def _whole_gallery(folder: Path) -> list[Scene]:
    """One whole picture of each character of a gallery. There are none where the dataset has no such, as older ones."""
    split = Path(_GALLERIES[1]).stem
    if not (folder / _PICTURES / "annotations" / f"instance_{split}.json").is_file():
        return []
    first = {scene.labels[0]: scene for scene in reversed(read_scenes(folder / _PICTURES, split))}
    return list(first.values())


def _probe_pictures(sample: Sample, kind: str) -> dict[str, Sequence[Scene]]:
    """By pose, those that are looked at. There are none where the dataset has no such folder, as older ones."""
    folder = sample.dataset / "gallery" / kind / _PICTURES
    if not folder.is_dir():
        return {}
    return {pose: sample.of(read_scenes(folder, Path(name).stem)) for name, pose in _POSES.items()}


def _pairs(subject: Subject, sample: Sample, kind: str, track: Track) -> Figures:
    pairs = _chosen_pairs(sample, kind)
    if not pairs:
        return {}
    outcome = evaluate_feature(
        subject.must_embed(), pairs=pairs, rec_threshold=subject.rec_threshold, flip_test=True, track=track
    )
    if outcome.pairs is None or outcome.pairs.mirrored_too is None:
        return {}
    return _named(
        f"pairs, {STYLES[kind]}",
        {
            "accuracy": outcome.pairs.served.accuracy,
            "accuracy, flip test": outcome.pairs.mirrored_too.accuracy,
        },
    )


def _chosen_pairs(sample: Sample, kind: str) -> list[Pair]:
    """Those that are looked at. There are none where the dataset has no such list: it is one without a feature part."""
    path = sample.dataset / "feature" / "val" / _PAIRS[kind]
    if not path.is_file():
        return []
    # Same and different pairs alternate: take them two by two.
    pairs = [pair for place, pair in enumerate(read_pairs(path)) if place // 2 % sample.every == 0]
    if len(pairs) < FOLDS:
        raise ConfigError(f"of {path} there are {len(pairs)} pairs to look at; the accuracy needs at least {FOLDS}")
    return pairs


def _gallery(subject: Subject, sample: Sample, kind: str, track: Track) -> Figures:
    folder = sample.dataset / "gallery" / kind
    galleries = {shots: read_gallery_list(folder / name) for shots, name in _GALLERIES.items()}
    probes = {pose: sample.of(read_gallery_list(folder / name)) for name, pose in _POSES.items()}
    listed = [*galleries.values(), *probes.values()]
    files = [picture.path for pictures in listed for picture in pictures]
    embeddings = embed_files(subject.must_embed(), files, track)
    figures: Figures = {}
    for pose, of_pose in probes.items():
        of_set: Figures = {}
        for shots, gallery in galleries.items():
            outcome = look_up(GallerySet(gallery, list(of_pose)), embeddings, None, subject.rec_threshold)
            found, decided = outcome.found, outcome.found.decisions(subject.rec_threshold)
            of_set[f"rank 1, gallery of {shots}"] = found.within(1)
            of_set[f"rank 5, gallery of {shots}"] = found.within(5)
            of_set[f"strangers named, gallery of {shots}"] = decided.strangers
            of_set[f"named rightly, gallery of {shots}"] = decided.right
            if shots == 1:
                for far in FARS:
                    of_set[f"TAR at FAR {far:g}, same style"] = _tar(found.genuine, found.alike, far)
                    of_set[f"TAR at FAR {far:g}, any style"] = _tar(found.genuine, found.impostors, far)
        figures |= _named(f"{STYLES[kind]}, {pose}", of_set)
    return figures


def _tar(genuine: ScoreCounts, impostors: ScoreCounts, far: float) -> Rate | None:
    at = tar_at_far(genuine, impostors, far)
    return None if at is None else at.tar


def _recognition(
    subject: Subject, recogniser: Recogniser, folder: Path, scenes: Sequence[Scene], kind: str, track: Track
) -> Figures:
    outcome = _outcome(subject, recogniser, folder, scenes, track)
    decided = outcome.by_boxes.decisions(subject.rec_threshold)
    return _named(
        f"end to end, {STYLES[kind]}",
        {
            "faces found": outcome.found,
            "rank 1 of found faces": outcome.rank1_of_found(),
            f"rank 1 of found faces, {LARGE} pixels and more": outcome.rank1_of_found(LARGE),
            "rank 1, missed faces wrong": outcome.rank1,
            "rank 1 with true boxes": outcome.by_truth.within(1),
            "strangers named": decided.strangers,
        },
    )


def _outcome(
    subject: Subject,
    recogniser: Recogniser,
    folder: Path,
    scenes: Sequence[Scene],
    track: Track,
    whole: Sequence[Scene] = (),
) -> RecognitionOutcome:
    """Scenes looked up in the gallery of one picture each that a folder holds."""
    return evaluate_recognition(
        recogniser,
        subject.must_embed(),
        scenes=scenes,
        gallery=read_gallery_list(folder / _GALLERIES[1]),
        det_threshold=subject.det_threshold,
        rec_threshold=subject.rec_threshold,
        whole=whole,
        track=track,
    )


def _named(group: str, figures: Mapping[str, Rate | float | None]) -> Figures:
    return {f"{group}: {name}": figure for name, figure in figures.items()}
