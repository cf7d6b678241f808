"""TensorRT engines from ONNX graphs: the same code for TensorRT 10, TensorRT 11 and TensorRT for RTX.

FP16 stands in the graph, and networks are strongly typed: TensorRT 11 knows no others, and TensorRT 10 then computes
what the graph says. Nothing here imports a TensorRT by itself; the caller hands over the module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toonface_contract.errors import ExportError

_MIB = 2**20


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is built.

    Attributes:
        batches: rising; one optimisation profile each, for every batch up to it and best at it.
        workspace_mb: most GPU memory in MiB for a kernel; 0 for all there is.
        version_compatible: whether later versions of the same major version shall load it.
        timing_cache: file to read measurements from, and to write them back to; left alone if TensorRT refuses it.
    """

    batches: Sequence[int]
    workspace_mb: int = 0
    version_compatible: bool = False
    timing_cache: Path | None = None


class EngineBuilder:
    """Builds engines with one TensorRT module."""

    def __init__(self, trt: Any, tell: Callable[[str], None]) -> None:
        """Start a builder.

        Args:
            trt: the module `tensorrt`, or `tensorrt_rtx`.
            tell: is told of a timing cache that is of no use.

        Raises:
            ExportError: TensorRT finds no GPU it can use.
        """
        self._trt, self._tell = trt, tell
        self._said: list[str] = []
        self._logger = _logger(trt, self._said)
        try:
            self._builder = trt.Builder(self._logger)
        except TypeError as error:  # how TensorRT's bindings say that there is no builder
            raise self._error("cannot be started") from error

    def network(self, graph: bytes) -> Any:
        """Parse an ONNX graph into a strongly typed network.

        Raises:
            ExportError: TensorRT does not take the graph; the message quotes why.
        """
        self._said.clear()
        # Accepted and without effect in TensorRT 11, where every network is strongly typed.
        flags = 1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = self._builder.create_network(flags)
        parser = self._trt.OnnxParser(network, self._logger)
        if not parser.parse(graph):
            self._said += [str(parser.get_error(number)) for number in range(parser.num_errors)]
            raise self._error("does not take the graph")
        return network

    def config(self, network: Any, settings: EngineSettings) -> Any:
        """The builder's configuration: profiles, memory, compatibility; and all detail for the inspector.

        Raises:
            ExportError: TensorRT refuses a profile.
        """
        config = self._builder.create_builder_config()
        config.profiling_verbosity = self._trt.ProfilingVerbosity.DETAILED
        # On by default, it would round what the graph and the manifest call FP32 to 10 bits.
        if hasattr(self._trt.BuilderFlag, "TF32"):
            config.clear_flag(self._trt.BuilderFlag.TF32)
        if settings.workspace_mb:
            config.set_memory_pool_limit(self._trt.MemoryPoolType.WORKSPACE, settings.workspace_mb * _MIB)
        if settings.version_compatible:
            config.set_flag(self._trt.BuilderFlag.VERSION_COMPATIBLE)
        for batch in settings.batches:
            profile = self._builder.create_optimization_profile()
            for number in range(network.num_inputs):
                tensor = network.get_input(number)
                rest = tuple(tensor.shape)[1:]
                profile.set_shape(tensor.name, (1, *rest), (batch, *rest), (batch, *rest))
            if config.add_optimization_profile(profile) < 0:
                raise self._error(f"refuses a profile for batches of 1 to {batch}")
        return config

    def build(self, graph: bytes, settings: EngineSettings) -> bytes:
        """The serialised engine of an ONNX graph; the timing cache is written back.

        Raises:
            ExportError: it cannot be built; the message quotes TensorRT.
        """
        network = self.network(graph)
        config = self.config(network, settings)
        cache = settings.timing_cache
        if cache is not None and not self._takes(config, cache):
            cache = None
        self._said.clear()
        plan = self._builder.build_serialized_network(network, config)
        if plan is None:
            raise self._error("cannot build the engine")
        if cache is not None:
            try:
                _write_whole(cache, bytes(config.get_timing_cache().serialize()))
            except OSError as error:
                self._tell(f"note: the timing cache {cache} cannot be written: {error}")
        return bytes(plan)

    def _takes(self, config: Any, path: Path) -> bool:
        """Whether the configuration has got the timing cache: TensorRT takes none of another version or GPU."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            self._tell(f"note: the timing cache {path} cannot be read: {error}")
            return False
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return True
        self._tell(
            f"note: {self._trt.__name__} {self._trt.__version__} refuses the timing cache {path}, which is damaged, or "
            "of another version or GPU; it is not heeded and stays as it is: name another file"
        )
        return False

    def _error(self, what: str) -> ExportError:
        said = "; ".join(self._said[-4:]) or "without a word"
        return ExportError(f"{self._trt.__name__} {self._trt.__version__} {what}: {said}")


def _logger(trt: Any, said: list[str]) -> Any:
    """A logger that keeps errors for messages of ours, and says nothing by itself."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                said.append(message.strip())

    return Logger()


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step: whoever reads it meanwhile, or after a crash, finds the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
