"""What lies between two trainings of an embedder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from toonface_contract.errors import ConfigError
from toonface_training.fit.blend import blend
from toonface_training.fit.cli import train
from toonface_training.networks import build
from toonface_training.networks.exported import EXPORTED_SUFFIX, read_exported
from toonface_training.networks.parameters import write_parameters

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "MobileFaceNet" / f"inference{EXPORTED_SUFFIX}"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parameters that are twice the shipped ones, with a training's head."""
    parameters = {f"backbone.{name}": 2 * array for name, array in _read(SHIPPED).items()}
    file = tmp_path_factory.mktemp("other") / "best_model.pdparams"
    write_parameters(parameters | {"head.weight": np.zeros((128, 3), np.float32)}, file)
    return file


def _read(file: Path) -> dict[str, np.ndarray]:
    return dict(read_exported(build("MobileFaceNet"), file))


def test_a_blend_lies_between_the_two(other: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        train,
        ["blend", "MobileFaceNet", str(SHIPPED), str(other), "--share", "0.25", "--output", str(tmp_path / "out")],
    )
    assert done.exit_code == 0, done.output
    found = _read(tmp_path / "out" / SHIPPED.name)
    for name, array in _read(SHIPPED).items():
        assert found[name] == pytest.approx(1.25 * array, rel=1e-6, abs=1e-12), name
    assert (tmp_path / "out" / "inference.yml").read_text() == SHIPPED.with_name("inference.yml").read_text()


def test_what_is_not_of_the_network_is_refused(other: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no file; name a .pdparams file"):
        blend("MobileFaceNet", SHIPPED, tmp_path / "none.pdparams", 0.5, tmp_path / "out")
    with pytest.raises(ConfigError, match="PicoDet_LCNet_x2_5_face is a detector; only embedders are blended"):
        blend("PicoDet_LCNet_x2_5_face", SHIPPED, other, 0.5, tmp_path / "out")
    with pytest.raises(ConfigError, match="does not fit"):
        blend("ResNet50_face", other, other, 0.5, tmp_path / "out")
    assert not (tmp_path / "out").exists()
