"""Triton's config.pbtxt of an ensemble: models chained by Triton itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toonface_export.triton_message import Message, Tensor, map_fields, render, tensor_fields


@dataclass(frozen=True)
class Step:
    """One model's place in an ensemble.

    Attributes:
        model: its name.
        inputs: the ensemble's tensor for each of the model's inputs.
        outputs: the ensemble's tensor for each of the model's outputs; those left out are dropped.
    """

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def message(self) -> Message:
        """The step as a message."""
        return [
            ("model_name", self.model),
            ("model_version", -1),
            *map_fields("input_map", self.inputs),
            *map_fields("output_map", self.outputs),
        ]


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Models chained by Triton; requests to an ensemble are not batched as such, those to its steps are."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]

    def config(self) -> str:
        """The text of config.pbtxt."""
        return render(
            [
                ("name", self.name),
                ("platform", "ensemble"),
                ("max_batch_size", 0),
                *tensor_fields("input", self.inputs),
                *tensor_fields("output", self.outputs),
                ("ensemble_scheduling", [("step", step.message()) for step in self.steps]),
            ]
        )
