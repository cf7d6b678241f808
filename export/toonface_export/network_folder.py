"""One network as a folder that Triton serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toonface_export.bounds import Bounds
from toonface_export.digests import MODEL_MANIFEST, write_json
from toonface_export.engines import REFERENCE, SOURCE_GRAPH
from toonface_export.manifest import describe_network
from toonface_export.network_stages import NetworkConfig
from toonface_export.networks import ExportedDetector, ExportedEmbedder
from toonface_export.serving import Serving


def write_network(
    folder: Path, network: ExportedDetector | ExportedEmbedder, config: NetworkConfig, serving: Serving, bounds: Bounds
) -> dict[str, Any]:
    """Write one network as a Triton model, with its manifest, into the folder `folder`, which exists.

    In the place of a TensorRT engine is what it is built from: see `toonface_export.engines.build_engine`.

    Returns:
        The manifest.
    """
    version = folder / "1"
    version.mkdir()
    (folder / "config.pbtxt").write_text(config.config(), encoding="utf-8")
    if serving.backend == "tensorrt":
        (folder / SOURCE_GRAPH).write_bytes(network.form.graph.SerializeToString(deterministic=True))
        network.reference.save(folder / REFERENCE)
    else:
        for name, content in network.form.files.items():
            (version / name).write_bytes(content)
    manifest = describe_network(network, serving, config, bounds)
    write_json(folder / MODEL_MANIFEST, manifest)
    return manifest
