"""What the python stages in model_repository/ share: requests and configuration in, tensors or an error out.

Runs inside Triton's python stub, which alone has `triton_python_backend_utils`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from toonface_contract.errors import (
    AlreadyExists,
    ConfigError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ToonfaceError,
    Unavailable,
)
from toonface_contract.names import TOKEN_HEADER
from toonface_contract.options import RecognitionOptions

Tensors = Mapping[str, NDArray[Any]]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LOG = logging.getLogger(__name__)


class Parameters(dict[str, str]):
    """The `parameters` of a model's config.pbtxt."""

    def __missing__(self, name: str) -> str:
        raise ConfigError(f"config.pbtxt has no parameter {name!r}; export the model repository anew")


def start(arguments: Mapping[str, str]) -> Parameters:
    """Begin a stage: send Python's log where Triton's goes, and read the model's parameters.

    Args:
        arguments: what Triton hands to `initialize`.
    """
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s %(levelname)s {arguments['model_name']}: %(message)s")
    config = json.loads(arguments["model_config"])
    return Parameters({name: value["string_value"] for name, value in config["parameters"].items()})


def environment(name: str) -> str:
    """A variable of the environment.

    Raises:
        ConfigError: it is not set.
    """
    value = os.environ.get(name)
    if not value:
        raise ConfigError(f"the environment variable {name} is not set; `toonface serve` sets it")
    return value


def request_parameters(request: Any) -> dict[str, Any]:
    """The parameters that came with a request, and the headers that the server forwards, by name in lower case."""
    # Over HTTP, headers come as the client wrote them.
    return {name.lower(): value for name, value in json.loads(request.parameters() or "{}").items()}


def request_options(request: Any, defaults: RecognitionOptions) -> RecognitionOptions:
    """A request's options, laid over the defaults.

    Raises:
        InvalidRequest: `unknown_option`, `invalid_option`.
    """
    return defaults.with_parameters(request_parameters(request))


def token(request: Any) -> str | None:
    """The header that carries a token, whole, or None where there was none."""
    value = request_parameters(request).get(TOKEN_HEADER)
    return None if value is None else str(value)


def tensor(request: Any, name: str) -> NDArray[Any] | None:
    """An input tensor, or None where an optional one was not given."""
    found = pb_utils.get_input_tensor_by_name(request, name)
    return None if found is None else np.asarray(found.as_numpy())


def one_bytes(request: Any, name: str) -> bytes:
    """The only element of a BYTES tensor.

    Raises:
        InvalidRequest: it has none, or several.
    """
    array = tensor(request, name)
    if array is None or array.size != 1:
        elements = 0 if array is None else array.size
        raise InvalidRequest(f"tensor {name!r} has {elements} elements; it must have one. Send one request for each")
    return bytes(array.item())


def one_text(request: Any, name: str) -> str:
    """The only element of a BYTES tensor that holds text.

    Raises:
        InvalidRequest: it has none, or several, or is not UTF-8.
    """
    try:
        return one_bytes(request, name).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"tensor {name!r} is not UTF-8 text: {error}") from error


def attempt(compute: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T | ToonfaceError:
    """The result of a call, or the error that it raised, so that one request of a batch can fail alone.

    What is not an error of toonface's own is a fault of the stage: it is logged with its traceback, and the caller
    is told no more than that.
    """
    try:
        return compute(*arguments, **options)
    except ToonfaceError as error:
        return error
    except Exception:
        _LOG.exception("a request failed unexpectedly")
        return ToonfaceError("the server failed on this request; its log has the details")


def response(result: Tensors | ToonfaceError) -> Any:
    """A request's answer to Triton, from its output tensors or its error."""
    if isinstance(result, ToonfaceError):
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(result.to_wire(), _status(result)))
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in result.items()])


def _status(error: ToonfaceError) -> Any:
    """Triton's status for an error. The stub completes `pb_utils` after this module's import, so not a constant."""
    codes = pb_utils.TritonError
    match error:
        case InvalidRequest() | PermissionDenied():  # Triton has no status for a refused token
            return codes.INVALID_ARG
        case NotFound():
            return codes.NOT_FOUND
        case AlreadyExists():
            return codes.ALREADY_EXISTS
        case Unavailable():
            return codes.UNAVAILABLE
        case _:
            return codes.INTERNAL
