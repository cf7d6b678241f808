"""Training on Paddle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toonface_contract.errors import ConfigError
from toonface_training.batches import DetectionBatch, FeatureBatch, Pixels
from toonface_training.fit.arcface import ArcFace
from toonface_training.fit.average import Average
from toonface_training.fit.engine import EngineState, Moment, Recipe
from toonface_training.networks import Detector, Normalisation, build, model
from toonface_training.networks.parameters import Parameters, set_parameters
from toonface_training.networks.targets import training_inputs

_SCALER = "scaler."


class PaddleEngine:
    """See `Engine`. In a process that Paddle's launcher started, it learns together with the others."""

    def __init__(self, recipe: Recipe) -> None:
        import paddle
        from paddle.base.unique_name import UniqueNameGenerator

        if recipe.compiled:
            raise ConfigError("Train.compile is true, but only Train.engine torch compiles; turn it off")
        self._recipe = recipe
        paddle.set_device(recipe.device)
        # Paddle numbers parameters and the optimizer's state as they are made; of our own, the numbers begin anew.
        self._names = UniqueNameGenerator()
        with paddle.utils.unique_name.guard(self._names):
            self._network = _Trainee(recipe)
        layer = self._network.layer
        self._average = None if recipe.ema_decay is None else Average(recipe.ema_decay)
        self._optimizer = _optimizer(recipe, layer)
        on_gpu = recipe.device.startswith("gpu")
        if recipe.amp != "off" and not on_gpu:
            raise ConfigError(f"Train.amp is {recipe.amp}, but Paddle has mixed precision only on a GPU; turn it off")
        self._scaler: Any = None if recipe.amp == "off" else paddle.amp.GradScaler(init_loss_scaling=1024.0)
        self._forward: Any = layer
        if paddle.distributed.get_world_size() > 1:
            if on_gpu:
                layer = paddle.nn.SyncBatchNorm.convert_sync_batchnorm(layer)
            self._forward = paddle.DataParallel(layer, find_unused_parameters=True)
        layer.train()

    def load(self, state: EngineState) -> None:
        """See `Engine`."""
        set_parameters(self._network.layer, state.parameters, "the state")
        if self._average is not None:
            self._average.load(state.average or state.parameters)
        optimizer = {key: value for key, value in state.optimizer.items() if not key.startswith(_SCALER)}
        if optimizer:
            self._optimizer.set_state_dict(_tensors(optimizer))
        scaler = {key.removeprefix(_SCALER): value for key, value in state.optimizer.items() if key not in optimizer}
        if scaler and self._scaler is not None:
            self._scaler.load_state_dict(scaler)

    def state(self) -> EngineState:
        """See `Engine`."""
        optimizer = {key: _array(value) for key, value in self._optimizer.state_dict().items() if key != "LR_Scheduler"}
        if self._scaler is not None:
            optimizer |= {_SCALER + key: _array(value) for key, value in self._scaler.state_dict().items()}
        average = None if self._average is None else self._average.parameters()
        return EngineState(_arrays(self._network.layer), average, optimizer)

    def learn(self, batch: DetectionBatch | FeatureBatch, moment: Moment) -> Mapping[str, float]:
        """See `Engine`."""
        import paddle

        with paddle.utils.unique_name.guard(self._names):
            losses = self._step(batch, moment)
        if self._average is not None:
            self._average.update(self._network.layer.state_dict(), moment.step)
        return {name: float(value.astype("float32").numpy().reshape(-1)[0]) for name, value in losses.items()}

    def embed(self, images: Pixels) -> NDArray[np.float32]:
        """See `Engine`."""
        return self._network.embed(images)

    def _step(self, batch: DetectionBatch | FeatureBatch, moment: Moment) -> Mapping[str, Any]:
        import paddle

        self._optimizer.set_lr(moment.learning_rate)
        with paddle.amp.auto_cast(enable=self._recipe.amp == "O1", level="O1"):
            losses = self._network.losses(self._forward, batch, moment)
        loss = losses["loss"]
        if self._scaler is None:
            loss.backward()
            self._optimizer.step()
        else:
            self._scaler.scale(loss).backward()
            self._scaler.step(self._optimizer)
            self._scaler.update()
        self._optimizer.clear_grad()
        return losses


class _Trainee:
    """A network with what it needs to be trained, and the losses of a batch."""

    def __init__(self, recipe: Recipe) -> None:
        self._spec = model(recipe.model)
        self._recipe = recipe
        if isinstance(self._spec, Detector):
            self.layer: Any = build(recipe.model, recipe.num_classes)
        else:
            self.layer = ArcFace(build(recipe.model), self._spec.dimension, recipe.num_classes, recipe.scale)

    def losses(self, forward: Any, batch: DetectionBatch | FeatureBatch, moment: Moment) -> Mapping[str, Any]:
        import paddle

        images = _normalised(batch.images, self._spec.normalisation)
        if isinstance(batch, DetectionBatch):
            inputs = training_inputs(self._recipe.model, images, batch.boxes, batch.classes, moment.epoch)
            parts: Mapping[str, Any] = forward(inputs)
            return parts
        loss, accuracy = forward(paddle.to_tensor(images), paddle.to_tensor(batch.labels), moment.margin)
        return {"loss": loss, "accuracy": accuracy}

    def embed(self, images: Pixels) -> NDArray[np.float32]:
        import paddle

        backbone = self.layer.backbone
        backbone.eval()
        with paddle.no_grad():
            embeddings = backbone(paddle.to_tensor(_normalised(images, self._spec.normalisation))).numpy()
        backbone.train()
        return np.asarray(embeddings, np.float32)


def _normalised(images: Any, normalisation: Normalisation) -> Any:
    """UINT8 [B,H,W,3] to FP32 [B,3,H,W]."""
    std = np.array(normalisation.std, np.float32)
    factor, offset = np.float32(normalisation.scale) / std, np.array(normalisation.mean, np.float32) / std
    return np.ascontiguousarray((images * factor - offset).transpose(0, 3, 1, 2), np.float32)


def _optimizer(recipe: Recipe, layer: Any) -> Any:
    import paddle

    clip = None if recipe.clip_norm is None else paddle.nn.ClipGradByGlobalNorm(recipe.clip_norm)
    parameters = [parameter for parameter in layer.parameters() if not parameter.stop_gradient]
    common = {"learning_rate": 0.0, "parameters": parameters, "grad_clip": clip}
    if recipe.optimizer == "adamw":
        flat = {parameter.name for parameter in parameters if len(parameter.shape) == 1}
        return paddle.optimizer.AdamW(
            weight_decay=recipe.weight_decay, apply_decay_param_fun=lambda name: name not in flat, **common
        )
    decay = paddle.regularizer.L2Decay(recipe.weight_decay)
    if recipe.optimizer == "rmsprop":
        return paddle.optimizer.RMSProp(weight_decay=decay, **common)
    return paddle.optimizer.Momentum(momentum=0.9, weight_decay=decay, **common)


def _arrays(layer: Any) -> Parameters:
    return {name: _array(value) for name, value in layer.state_dict().items()}


def _array(value: Any) -> Any:
    """A copy in main memory; what is no tensor stays as it is."""
    if isinstance(value, Mapping):
        return {name: _array(each) for name, each in value.items()}
    return value.numpy().copy() if hasattr(value, "numpy") else value


def _tensors(values: Mapping[str, Any]) -> dict[str, Any]:
    import paddle

    return {
        name: _tensors(value)
        if isinstance(value, Mapping)
        else paddle.to_tensor(value)
        if isinstance(value, np.ndarray)
        else value
        for name, value in values.items()
    }
