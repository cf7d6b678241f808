"""Triton's errors as toonface's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tritonclient.utils import InferenceServerException

from toonface_contract.errors import ServerError


@contextmanager
def server_errors(asked: str) -> Iterator[None]:
    """Makes a `ServerError` of a refusal, or of a server that cannot be reached; its message begins with `asked`."""
    try:
        yield
    except InferenceServerException as error:
        raise ServerError(f"{asked}: {error.message()}") from error
