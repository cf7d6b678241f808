"""Options of one recognition request: their names, types, ranges and defaults.

They travel as Triton request parameters, which reach every python stage of an ensemble. Both sides use this module: a
client to send only what was asked for, a stage to refuse what it does not know, by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from toonface_contract.errors import InvalidRequest
from toonface_contract.names import DEFAULT_GALLERY, TOKEN_HEADER

MAX_TOPK = 100
MAX_FACES = 1024
GALLERY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Crop = Literal["faces", "whole"]
Group = Literal["face", "label"]

# Parameters that are not options: Triton's own, and headers that the server forwards.
_NOT_OPTIONS = re.compile(rf"triton_.*|{TOKEN_HEADER}|x-.*")


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """What one request may change. The defaults of a server come from its pipeline file.

    Attributes:
        gallery: name of the gallery to search: 1 to 64 letters, digits, '.', '_' or '-'.
        det_threshold: a face counts when its detection score is above this; 0 to 1.
        rec_threshold: a face is named when its best match scores at least this, else it is Unknown; 0 to 1.
        topk: ranked matches to report for each face; 1 to 100.
        max_faces: faces to embed; beyond it those with the lowest detection scores are cut, and the cut is reported.
        group: what the ranked matches are: `face` for the nearest enrolled faces, several of which may have the same
            label; `label` for the nearest labels, each with its nearest face.
        crop: `faces` detects faces; `whole` takes the whole picture as one face, as PaddleX does with gallery pictures.
    """

    gallery: str = DEFAULT_GALLERY
    det_threshold: float = 0.6
    rec_threshold: float = 0.4
    topk: int = 5
    max_faces: int = 64
    crop: Crop = "faces"
    group: Group = "face"

    def __post_init__(self) -> None:
        _check_gallery(self.gallery)
        _check_number("det_threshold", self.det_threshold, float, 0, 1)
        _check_number("rec_threshold", self.rec_threshold, float, 0, 1)
        _check_number("topk", self.topk, int, 1, MAX_TOPK)
        _check_number("max_faces", self.max_faces, int, 1, MAX_FACES)
        _check_choice("crop", self.crop, Crop)
        _check_choice("group", self.group, Group)

    def with_parameters(self, parameters: Mapping[str, Any]) -> RecognitionOptions:
        """These options with a request's parameters laid over them.

        Raises:
            InvalidRequest: a parameter is unknown (`unknown_option`), of the wrong type or out of range
                (`invalid_option`); the message names it and what is allowed.
        """
        given = {name: value for name, value in parameters.items() if not _NOT_OPTIONS.fullmatch(name)}
        unknown = sorted(set(given) - set(OPTION_NAMES))
        if unknown:
            raise InvalidRequest(
                f"option {unknown[0]!r} is not known; known are {', '.join(OPTION_NAMES)}", code="unknown_option"
            )
        return replace(self, **given)

    def as_dict(self) -> dict[str, Any]:
        """The options by name."""
        return asdict(self)


OPTION_NAMES = tuple(field.name for field in fields(RecognitionOptions))


def _check_gallery(name: Any) -> None:
    if not isinstance(name, str) or not GALLERY_NAME.fullmatch(name):
        raise InvalidRequest(
            f"option gallery is {name!r}; a gallery's name is 1 to 64 letters, digits, '.', '_' or '-', "
            "and starts with a letter or digit",
            code="invalid_option",
        )


def _check_choice(name: str, value: Any, allowed: Any) -> None:
    if value not in get_args(allowed):
        raise InvalidRequest(
            f"option {name} is {value!r}; allowed are {' and '.join(map(repr, get_args(allowed)))}",
            code="invalid_option",
        )


def _check_number(name: str, value: Any, kind: type, low: float, high: float) -> None:
    accepted = (int, float) if kind is float else (int,)
    if isinstance(value, bool) or not isinstance(value, accepted) or not low <= value <= high:
        noun = "a number" if kind is float else "a whole number"
        raise InvalidRequest(
            f"option {name} is {value!r}; it must be {noun} from {low} to {high}", code="invalid_option"
        )
