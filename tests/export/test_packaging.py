"""What an installed distribution holds: every package, and the files that are no modules."""

import tomllib
from importlib.resources import files
from pathlib import Path

from toonface_contract import names

ROOT = Path(__file__).resolve().parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


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
