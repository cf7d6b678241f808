"""What went wrong with a call: Triton's and gRPC's words as toonface's errors, and whether trying again is safe."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tritonclient.utils import InferenceServerException

from toonface_contract.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    ToonfaceError,
    Unavailable,
    from_wire,
)


class Retry(Enum):
    """Which calls may be sent again after a failure."""

    NEVER = "the answer would be the same"
    READS = "the request may have been carried out, so only calls that change nothing"
    ALWAYS = "the request reached no stage"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error for the caller, and which calls may be tried again after it."""

    error: ToonfaceError
    retry: Retry


def failure_from(exception: InferenceServerException, address: str, timeout: float, *, writes: bool = False) -> Failure:
    """What an exception of Triton's client means.

    A message with a toonface code comes from a stage, and is taken at its word. Otherwise Triton or gRPC speaks; the
    texts matched here are those of tritonserver 2.51 and gRPC 1.85, and an unknown one falls back to its status.

    Args:
        exception: as raised by `tritonclient.grpc`; its status is `StatusCode.<NAME>`.
        address: of the server, for the message.
        timeout: seconds that the call was allowed, for the message.
        writes: whether the call changes something; the message then says when that may have happened all the same.
    """
    failure = _classified(exception, address, timeout)
    error = failure.error
    if writes and (failure.retry is Retry.READS or isinstance(error, DeadlineExceeded)):
        error = type(error)(
            f"{error.message}; the change may have been made, look before you repeat it", code=error.code
        )
        return Failure(error, failure.retry)
    return failure


def _classified(exception: InferenceServerException, address: str, timeout: float) -> Failure:
    message = exception.message() or "no reason was given"
    status = (exception.status() or "").removeprefix("StatusCode.")
    error = from_wire(message)
    if error is not None:
        return Failure(error, _retry_after(error))
    # An uncaught exception in a stage brings its traceback along; the first line says what happened.
    summary = message.strip().splitlines()[0]
    match status:
        case "UNAVAILABLE":
            return _unavailable(summary, address)
        case "DEADLINE_EXCEEDED":
            return Failure(DeadlineExceeded(f"no answer from {address} within {timeout:g} seconds"), Retry.NEVER)
        case "NOT_FOUND":
            return _not_found(summary, address)
        case "INTERNAL" if "is not healthy" in summary:
            return Failure(
                Unavailable(f"a stage of the server at {address} has died and waits for its repair: {summary}"),
                Retry.READS,
            )
        case "INTERNAL" if "shared memory region" in summary:
            return Failure(
                ConfigError(f"the server at {address} cannot use shared memory of this machine: {summary}"), Retry.NEVER
            )
        case "INVALID_ARGUMENT":
            return Failure(InvalidRequest(summary), Retry.NEVER)
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return Failure(PermissionDenied(f"{address} refuses the call: {summary}"), Retry.NEVER)
        case "CANCELLED":
            return Failure(Unavailable(f"the call to {address} was cancelled: {summary}"), Retry.NEVER)
    return Failure(ToonfaceError(f"the server at {address} failed: {summary}"), Retry.NEVER)


def _retry_after(error: ToonfaceError) -> Retry:
    if isinstance(error, Overloaded):
        return Retry.ALWAYS
    return Retry.READS if isinstance(error, Unavailable) else Retry.NEVER


def _unavailable(summary: str, address: str) -> Failure:
    if "Exceeds maximum queue size" in summary:
        return Failure(Overloaded(f"the queue of the server at {address} is full; send less at once"), Retry.ALWAYS)
    if "Request timeout expired" in summary:
        return Failure(
            Overloaded(f"the request waited too long in the queue of the server at {address}; send less at once"),
            Retry.ALWAYS,
        )
    if "protocol is restricted" in summary:
        return Failure(
            PermissionDenied(
                f"the server at {address} keeps a part of Triton's protocol to itself: {summary}; "
                "shared memory it allows only when it listens on loopback alone"
            ),
            Retry.NEVER,
        )
    if "failed to connect" in summary or "errors resolving" in summary:
        reason = summary.split("last error: ")[-1].removeprefix("UNKNOWN: ")
        return Failure(
            Unavailable(
                f"cannot connect to {address}: {reason}; "
                "is the server running (`toonface serve`), and is this its gRPC address?"
            ),
            Retry.ALWAYS,
        )
    return Failure(Unavailable(f"lost the connection to {address}: {summary}"), Retry.READS)


def _not_found(summary: str, address: str) -> Failure:
    if "has no available versions" in summary:
        return Failure(Unavailable(f"the server at {address} is stopping or reloading: {summary}"), Retry.ALWAYS)
    if "shared memory region" in summary:
        return Failure(
            Unavailable(f"the server at {address} has forgotten the shared memory; was it restarted? {summary}"),
            Retry.ALWAYS,
        )
    if "unknown model" in summary:
        return Failure(NotFound(f"the server at {address} does not serve toonface's models: {summary}"), Retry.NEVER)
    return Failure(NotFound(summary), Retry.NEVER)
