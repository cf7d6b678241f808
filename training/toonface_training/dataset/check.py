"""PaddleX's verdict on a data set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toonface_contract.errors import ConfigError
from toonface_training.dataset import check_detection, check_feature
from toonface_training.dataset.problems import INVALID_DATASET, Problem, named, system_errors_refused
from toonface_training.whole_files import write_atomically

RESULT = "check_dataset_result.json"

Kind = Literal["detection", "feature"]
_Checker = Callable[[Path, Path, list[Problem], list[Problem]], tuple[dict[str, Any], dict[str, Any]]]
_CHECKS: dict[Kind, tuple[_Checker, str]] = {
    "detection": (check_detection.check_detection, check_detection.DATASET_TYPE),
    "feature": (check_feature.check_feature, check_feature.DATASET_TYPE),
}


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        kind: of the data set.
        problems: what is wrong, in the order of the files; empty where all is well.
        warnings: what can be trained on, but is hardly meant so.
        result: the content of `check_dataset_result.json`.
    """

    kind: Kind
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    result: dict[str, Any]


def kind_of(dataset_dir: Path) -> Kind:
    """Which kind of data set a folder holds, from what is in it.

    Raises:
        ConfigError: it is no folder, or holds neither kind, or data sets further down.
    """
    if not dataset_dir.is_dir():
        raise ConfigError(f"{dataset_dir} is not a folder", code=INVALID_DATASET)
    if (dataset_dir / "annotations").is_dir():
        return "detection"
    if (dataset_dir / check_feature.LABELS).parent.is_dir():
        return "feature"
    below = [str(each) for each in sorted(dataset_dir.iterdir()) if each.is_dir() and _holds_any(each)]
    hint = f"; name one of {', '.join(below)}" if below else ""
    raise ConfigError(
        f"{dataset_dir} has neither annotations/ (a detection set) nor train/ (a feature set){hint}",
        code=INVALID_DATASET,
    )


def check_dataset(dataset_dir: Path, output: Path, kind: Kind | None = None) -> Verdict:
    """Check a data set, and write the verdict as PaddleX does.

    Args:
        dataset_dir: root of the data set.
        output: `check_dataset_result.json` and `check_dataset/` are written into it.
        kind: of the data set; None finds out.

    Raises:
        ConfigError: the folder is no data set of either kind, or `output` cannot be written to.
    """
    with system_errors_refused(f"cannot check {dataset_dir}"):
        return _check(dataset_dir, output, kind or kind_of(dataset_dir))


def _check(dataset_dir: Path, output: Path, kind: Kind) -> Verdict:
    check, dataset_type = _CHECKS[kind]
    problems: list[Problem] = []
    warnings: list[Problem] = []
    _remove_samples(output / "check_dataset")
    attributes, analysis = check(dataset_dir, output, problems, warnings)
    result: dict[str, Any]
    if problems:
        listed = [{"file": str(each.file), "line": each.line, "message": each.text} for each in problems]
        result = {
            "done_flag": False,
            "check_pass": False,
            "err_type": INVALID_DATASET,
            "err_msg": named(problems),
            "problems": listed,
            "dataset_path": str(dataset_dir),
            "dataset_type": dataset_type,
        }
    else:
        result = {
            "done_flag": True,
            "check_pass": True,
            "attributes": attributes,
            "analysis": analysis,
            "dataset_path": str(dataset_dir),
            "show_type": "image",
            "dataset_type": dataset_type,
        }
    write_atomically(output / RESULT, json.dumps(result, ensure_ascii=False, indent=2) + "\n")
    return Verdict(kind, tuple(problems), tuple(warnings), result)


def _remove_samples(folder: Path) -> None:
    """What an earlier check left would look like this one's."""
    if (folder / "demo_img").is_dir():
        shutil.rmtree(folder / "demo_img")
    (folder / "histogram.png").unlink(missing_ok=True)


def _holds_any(folder: Path) -> bool:
    return (folder / "annotations").is_dir() or (folder / "train").is_dir()
