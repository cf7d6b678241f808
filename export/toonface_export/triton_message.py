"""Protobuf's text format, as far as Triton's config.pbtxt needs it: tensors, queues, parameters.

The text depends on the description alone, so writing it again gives the same bytes. Field names are those of Triton's
model_config.proto.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


class Enum(str):
    """A value written without quotes."""


# A message in protobuf's text format: field names with scalars, or with messages. A name may come several times.
Message = list[tuple[str, "str | int | bool | tuple[int, ...] | Message"]]


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        name: of the tensor.
        data_type: Triton's name of the type without `TYPE_`, such as `UINT8`; BYTES tensors are `STRING` here.
        dims: sizes without the batch dimension of batching models; -1 where it varies.
        optional: whether a request may leave this input out.
    """

    name: str
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False

    def message(self) -> Message:
        """The tensor as a message."""
        optional: Message = [("optional", True)] if self.optional else []
        return [("name", self.name), ("data_type", Enum(f"TYPE_{self.data_type}")), ("dims", self.dims), *optional]

    def blank(self) -> Message:
        """An input of zeros, for a warm-up request."""
        return [("data_type", Enum(f"TYPE_{self.data_type}")), ("dims", self.dims), ("zero_data", True)]


@dataclass(frozen=True)
class Queue:
    """The queue before a model.

    A size or a timeout has a price. With either, Triton hands requests over only while an instance is free, and looks
    for one when a request comes and when an instance has computed, a moment before that one counts as free; nothing
    tells it of that moment. Where no further request comes it looks again after half a second. One instance loses that
    race often, of several another one mostly is free (github.com/triton-inference-server/core, r24.03 to r26.06:
    `PriorityQueue::SupportPrefetching`, `RateLimiter::DequeuePayload`, and `WaitForPayloadSlotAvailable` in
    dynamic_batch_scheduler.cc).

    Attributes:
        size: waiting requests; one more is refused at once. 0 is any number: only callers who give up shorten it.
        timeout_us: microseconds after which a waiting request is refused; 0 is never.
        batch_delay_us: microseconds to wait for more requests before a batch is sent off that is not full.
    """

    size: int = 0
    timeout_us: int = 0
    batch_delay_us: int = 0

    def message(self) -> Message:
        """The queue as Triton's dynamic batcher, which also keeps the queue of models that do not batch."""
        delay: Message = [("max_queue_delay_microseconds", self.batch_delay_us)] if self.batch_delay_us else []
        limits: Message = []
        if self.timeout_us:
            limits.append(("default_timeout_microseconds", self.timeout_us))
        if self.size:
            limits.append(("max_queue_size", self.size))
        if not limits:
            return delay
        return [*delay, ("default_queue_policy", [("timeout_action", Enum("REJECT")), *limits])]


def tensor_fields(kind: str, tensors: tuple[Tensor, ...]) -> Message:
    """One field `kind`, `input` or `output`, for each tensor."""
    return [(kind, tensor.message()) for tensor in tensors]


def map_fields(name: str, entries: Mapping[str, str]) -> Message:
    """A protobuf map of strings in the field `name`."""
    return [(name, [("key", key), ("value", value)]) for key, value in entries.items()]


def parameter_fields(parameters: Mapping[str, str]) -> Message:
    """A model's `parameters`, sorted by name."""
    return [
        ("parameters", [("key", key), ("value", [("string_value", value)])])
        for key, value in sorted(parameters.items())
    ]


def render(message: Message, indent: str = "") -> str:
    """The text of a message."""
    lines = []
    for name, value in message:
        if isinstance(value, list):
            lines.append(f"{indent}{name} {{\n{render(value, indent + '  ')}{indent}}}\n")
        elif isinstance(value, Enum):
            lines.append(f"{indent}{name}: {value}\n")
        else:
            # JSON's strings, numbers, booleans and lists of numbers are valid in protobuf's text format too.
            lines.append(f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines)
