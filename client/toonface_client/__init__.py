"""Client of the served face recognition: `ToonfaceClient`, `AsyncToonfaceClient`, typed results, drawing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toonface_client.aio import AsyncToonfaceClient
    from toonface_client.client import ToonfaceClient
    from toonface_client.connection import Tls
    from toonface_client.draw import draw_result
    from toonface_client.enrolment import EnrolReport, LabelledPicture, PictureReport
    from toonface_client.gallery_calls import FacePage
    from toonface_client.quality import Measures, QualityGate
    from toonface_client.results import Box, Face, FeatureResult, Match, RecognitionResult
    from toonface_client.retry import RetryPolicy
    from toonface_client.status import ModelStatus, ServerStatus

# Loaded when first used: the command `toonface` lives in this package, and `toonface --help` needs no gRPC.
_HOMES = {
    "AsyncToonfaceClient": "aio",
    "Box": "results",
    "EnrolReport": "enrolment",
    "Face": "results",
    "FacePage": "gallery_calls",
    "FeatureResult": "results",
    "LabelledPicture": "enrolment",
    "Match": "results",
    "Measures": "quality",
    "ModelStatus": "status",
    "PictureReport": "enrolment",
    "QualityGate": "quality",
    "RecognitionResult": "results",
    "RetryPolicy": "retry",
    "ServerStatus": "status",
    "Tls": "connection",
    "ToonfaceClient": "client",
    "draw_result": "draw",
}

__all__ = [  # noqa: F822  (resolved by __getattr__)
    "AsyncToonfaceClient",
    "Box",
    "EnrolReport",
    "Face",
    "FacePage",
    "FeatureResult",
    "LabelledPicture",
    "Match",
    "Measures",
    "ModelStatus",
    "PictureReport",
    "QualityGate",
    "RecognitionResult",
    "RetryPolicy",
    "ServerStatus",
    "Tls",
    "ToonfaceClient",
    "draw_result",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
