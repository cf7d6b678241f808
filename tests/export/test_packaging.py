"""What an installed distribution holds: every package, and the files that are no modules."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.resources import files
from pathlib import Path

import pytest

from toonface_contract import names

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]


def test_every_package_on_the_disk_is_listed() -> None:
    on_disk = set()
    for package in ROOT.glob("*/toonface_*/__init__.py"):
        for module in package.parent.rglob("__init__.py"):
            on_disk.add(".".join(module.parent.relative_to(package.parent.parent).parts))
    assert set(SETUPTOOLS["packages"]) == on_disk | {"toonface_model_repository"}


def test_every_top_package_is_where_the_list_says() -> None:
    for package, folder in SETUPTOOLS["package-dir"].items():
        assert (ROOT / folder / "__init__.py").is_file(), package


def packaged(package: str) -> set[Path]:
    folder = ROOT / SETUPTOOLS["package-dir"][package]
    return {path for pattern in SETUPTOOLS["package-data"][package] for path in folder.glob(pattern)}


def test_the_python_models_are_package_data() -> None:
    for package in ("toonface_model_repository", "toonface_server"):
        folder = ROOT / SETUPTOOLS["package-dir"][package]
        assert packaged(package) == {path for path in folder.rglob("model.py") if path.parent != folder}


def test_the_configurations_and_tables_of_training_are_package_data() -> None:
    files_of = (ROOT / "training").rglob
    assert packaged("toonface_training") == {*files_of("*.yaml"), *files_of("*.json")}


def test_the_stages_are_found_as_resources() -> None:
    for stage in (names.PREPROCESS, names.CROP_ALIGN, names.GALLERY_SEARCH, names.GALLERY_ADMIN):
        shell = files("toonface_model_repository") / stage / "1" / "model.py"
        assert "class TritonPythonModel" in shell.read_text()


# Imports the modules that the first argument names, all of those that the others name being absent.
_IMPORT = """
import sys
from importlib import import_module

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[2:]:
            raise ModuleNotFoundError(f"{name} is absent", name=name)

sys.meta_path.insert(0, Absent())
for module in sys.argv[1].split():
    import_module(module)
"""


def _distributions(requirements: list[str]) -> set[str]:
    return {re.sub("[-_.]+", "-", re.split("[^a-zA-Z0-9._-]", text)[0]).lower() for text in requirements}


def _modules_outside(extra: str) -> set[str]:
    """The modules of the distributions that other extras name, and this one does not, nor these: `server,training`."""
    project = PYPROJECT["project"]
    extras = {name: _distributions(requirements) for name, requirements in project["optional-dependencies"].items()}
    inside = _distributions(project["dependencies"]).union(*(extras[name] for name in extra.split(",")))
    outside = set().union(*extras.values()) - inside
    return {module for module, found in packages_distributions().items() if _distributions(found) <= outside}


@pytest.mark.parametrize(
    ("extra", "modules", "absent"),
    [
        ("engine", "toonface_export.cli toonface_export.cli_engine", {"paddle", "paddle2onnx", "onnxslim", "openvino"}),
        ("server", "toonface_server.cli toonface_server.openvino_network", {"paddle", "paddle2onnx", "onnxslim"}),
        (
            "training",
            "toonface_training.fit.worker toonface_training.evaluation.cli toonface_training.evaluation.predict_cli "
            "toonface_training.evaluation.subjects.paddle toonface_export.fetch_download",
            {"paddle2onnx", "onnxslim", "openvino", "faiss"},
        ),
        ("server,training", "toonface_benchmarks.cli", {"paddle2onnx", "onnxslim"}),
    ],
)
def test_where_one_extra_is_installed_its_command_needs_no_other(extra: str, modules: str, absent: set[str]) -> None:
    outside = _modules_outside(extra)
    assert absent <= outside
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, modules, *outside], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
