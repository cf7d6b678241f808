"""The moving average of a network's parameters, which is steadier than any of the moments that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toonface_training.networks.parameters import Parameters


class Average:
    """An exponential moving average of parameters and running statistics, on Paddle.

    Its decay grows from 1/10 to `decay`, so that the random beginning is soon forgotten, as in PaddleDetection's
    `ModelEMA`.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._values: dict[str, Any] = {}

    def load(self, parameters: Parameters) -> None:
        """Begin from `parameters`."""
        import paddle

        self._values = {name: paddle.to_tensor(value) for name, value in parameters.items()}

    def parameters(self) -> Parameters:
        """The average, as copies."""
        return {name: value.numpy().copy() for name, value in self._values.items()}

    def update(self, values: Mapping[str, Any], step: int) -> None:
        """Take in the network's parameters after step `step`, counted from 0."""
        import paddle

        decay = min(self._decay, (1 + step) / (10 + step))
        with paddle.no_grad():
            for name, average in self._values.items():
                if average.is_floating_point():
                    average.set_value(average * decay + values[name].astype(average.dtype) * (1 - decay))
                else:
                    average.set_value(values[name])
