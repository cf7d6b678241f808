"""The one error tree of toonface, and how an error crosses the wire.

A Triton stage can only answer with a status and a message, so an error travels as ``"<code>: <text>"``. The code is
stable: programs may match on it. The class is what Python callers catch.
"""

from __future__ import annotations

import re


class ToonfaceError(Exception):
    """Root of the tree. ``code`` is the stable name; ``message`` says what is wrong and what is allowed."""

    default_code = "internal"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code

    def to_wire(self) -> str:
        """``"<code>: <text>"``, the form in which a stage hands the error to Triton."""
        return f"{self.code}: {self.message}"


class InvalidRequest(ToonfaceError):
    """The request is wrong and will be wrong again: an option, a tensor, a command, an embedding."""

    default_code = "invalid_request"


class Conflict(InvalidRequest):
    """The gallery is no longer as the request takes it to be: look at it again, and ask anew."""

    default_code = "gallery_changed"


class InvalidImage(InvalidRequest):
    """The picture is refused: not a picture, damaged, too large or too small."""

    default_code = "invalid_image"


class NotFound(ToonfaceError):
    """The named gallery, face or model does not exist."""

    default_code = "not_found"


class AlreadyExists(ToonfaceError):
    """The named gallery exists already."""

    default_code = "already_exists"


class PermissionDenied(ToonfaceError):
    """The call needs a token that was not given, or was given wrongly."""

    default_code = "permission_denied"


class Unavailable(ToonfaceError):
    """The server, a stage or the gallery store cannot answer now; the same request may succeed later."""

    default_code = "unavailable"


class Overloaded(Unavailable):
    """The server's queue is full. Nothing was done with the request: it is safe to send it again, later."""

    default_code = "overloaded"


class DeadlineExceeded(ToonfaceError):
    """The caller's deadline passed before an answer came."""

    default_code = "deadline_exceeded"


class ConfigError(ToonfaceError):
    """A configuration file or command-line value is wrong. Raised on the host, never sent over the wire."""

    default_code = "invalid_config"


class ExportError(ToonfaceError):
    """A model cannot be exported, or missed its parity bound. Raised on the host, never sent over the wire."""

    default_code = "export_failed"


class FetchError(ToonfaceError):
    """Something that PaddleX publishes cannot be fetched, or is not what it was. Raised on the host, never sent."""

    default_code = "fetch_failed"


class TrainingError(ToonfaceError):
    """A model cannot be trained further. Raised on the host, never sent over the wire."""

    default_code = "training_failed"


class ServerError(ToonfaceError):
    """The server cannot start or has stopped working. Raised on the host, never sent over the wire."""

    default_code = "server_failed"


# Every code that a stage may send, and the class it becomes at the caller.
WIRE_CODES: dict[str, type[ToonfaceError]] = {
    "internal": ToonfaceError,
    "invalid_request": InvalidRequest,
    "unknown_option": InvalidRequest,
    "invalid_option": InvalidRequest,
    "invalid_command": InvalidRequest,
    "invalid_embedding": InvalidRequest,
    "embedder_mismatch": InvalidRequest,
    "gallery_changed": Conflict,
    "invalid_image": InvalidImage,
    "image_empty": InvalidImage,
    "image_truncated": InvalidImage,
    "image_too_large": InvalidImage,
    "image_too_small": InvalidImage,
    "image_format_unsupported": InvalidImage,
    "not_found": NotFound,
    "gallery_not_found": NotFound,
    "already_exists": AlreadyExists,
    "gallery_exists": AlreadyExists,
    "permission_denied": PermissionDenied,
    "unavailable": Unavailable,
    "store_unavailable": Unavailable,
    "overloaded": Overloaded,
    "deadline_exceeded": DeadlineExceeded,
}

_WIRE_MESSAGE = re.compile(rf"\b({'|'.join(WIRE_CODES)}): (.*)", re.DOTALL)


def from_wire(message: str) -> ToonfaceError | None:
    """The error that a stage sent, from Triton's status message, which may have put words of its own before it.

    Returns None when the message carries no toonface code, which is to say that Triton itself is speaking.
    """
    found = _WIRE_MESSAGE.search(message)
    if found is None:
        return None
    code, text = found.groups()
    return WIRE_CODES[code](text.strip(), code=code)
