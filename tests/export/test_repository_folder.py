import ctypes
import dataclasses
import errno
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from export_helpers import Exported

from toonface_contract.errors import ExportError
from toonface_export import swap
from toonface_export.bounds import BOUNDS
from toonface_export.cli_inspect import inspect
from toonface_export.cli_support import finish, narrated
from toonface_export.digests import MANIFEST, MODEL_MANIFEST, with_files, write_json
from toonface_export.engines import rebuild
from toonface_export.families import EMBEDDERS
from toonface_export.manifest import describe_network
from toonface_export.network_stages import face_detection
from toonface_export.output import assembled, check_output
from toonface_export.paddle_model import PARAMETERS, PROGRAM, read_paddle_model, sha256_of
from toonface_export.pipeline import Module, Pipeline
from toonface_export.preprocessing import Normalisation
from toonface_export.repository import export_repository, write_repository
from toonface_export.swap import replace_folder


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _with_detector(pipeline: Pipeline, folder: Path) -> Pipeline:
    module = Module(model_name="BlazeFace-FPN-SSH", model_dir=folder)
    return pipeline.model_copy(update={"modules": pipeline.modules.model_copy(update={"detection": module})})


def _older_repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "toonface.json").write_text("{}")
    (folder / "old").write_text("old")
    return folder


def test_the_repository_holds_every_model(exported: Exported) -> None:
    graphs, stages = (
        ("face_detection", "face_embedding"),
        ("preprocess", "crop_align", "gallery_search", "gallery_admin"),
    )
    ensembles = ("face_recognition", "face_features")
    expected = {f"{name}/config.pbtxt" for name in graphs + stages + ensembles} | {"toonface.json"}
    expected |= {f"{name}/model.json" for name in graphs}
    expected |= {f"{name}/1/model.onnx" for name in graphs} | {f"{name}/1/model.py" for name in stages}
    assert set(_files(exported.path)) == expected
    assert all((exported.path / name / "1").is_dir() for name in ensembles)


def test_the_manifest_tells_what_is_in_it_and_where_it_came_from(exported: Exported) -> None:
    manifest = json.loads((exported.path / "toonface.json").read_text())
    assert manifest == json.loads(json.dumps(exported.manifest))
    assert manifest["files"] == {
        name: sha256_of(exported.path / name) for name in _files(exported.path) if name != "toonface.json"
    }
    source = exported.pipeline.modules.recognition.model_dir
    assert manifest["recogniser"]["source"][PARAMETERS] == sha256_of(source / PARAMETERS)
    assert manifest["detector"]["source"].keys() >= {PROGRAM, PARAMETERS}
    assert manifest["embedder"] == read_paddle_model(source, known=EMBEDDERS).digest
    assert manifest["models"]["face_embedding"]["outputs"] == {"embedding": ["FP32", [128]]}
    assert manifest["detector"]["nms"]["iou_threshold"] == 0.3
    for model, section in (("face_detection", "detector"), ("face_embedding", "recogniser")):
        assert json.loads((exported.path / model / "model.json").read_text()) == manifest[section]
    assert manifest["engines"] == {}


def test_an_embedder_with_another_normalisation_has_a_name_of_its_own(exported: Exported, tmp_path: Path) -> None:
    other = dataclasses.replace(
        exported.embedder, normalisation=Normalisation(1 / 255, (0.4, 0.4, 0.4), (0.5, 0.5, 0.5))
    )
    path = tmp_path / "repository"
    manifest = write_repository(exported.pipeline, exported.detector, other, path, lambda step: None)
    assert manifest["embedder"] == manifest["recogniser"]["digest"] != exported.manifest["embedder"]
    assert manifest["embedder"] in (path / "gallery_search" / "config.pbtxt").read_text()


def test_inspect_shows_a_repository(exported: Exported) -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(inspect, [str(exported.path)])
    assert shown.exit_code == 0, shown.output
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in shown.output.splitlines() if "│" in line]
    assert ["input", "256x320 (height x width), keep_ratio True, interpolation area"] in rows
    assert [value for name, value in rows if name == "pictures compared"] == ["2", "16"]
    assert [value for name, value in rows if name == "model"] == ["BlazeFace-FPN-SSH", "MobileFaceNet"]
    assert ["files", str(len(exported.manifest["files"]))] in rows
    assert "parity of the engine" not in shown.output


def _strict_json(text: str) -> object:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_the_manifest_of_a_detector_in_int8_is_json(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector, serving = exported.detector, exported.pipeline.serving
    form = dataclasses.replace(detector.form, precision="int8", parity={"int8": detector.form.parity["f32"]})
    config = face_detection(serving, "int8", detector.input, detector.anchors)
    manifest = describe_network(dataclasses.replace(detector, form=form), serving, config, BOUNDS)
    assert "box_difference_px" in manifest["parity"]["int8"]  # it has no limit in int8
    assert manifest["bounds"]["int8"].keys() == manifest["parity"]["int8"].keys() & BOUNDS["int8"].keys() - {
        "box_difference_px"
    }
    write_json(tmp_path / "model.json", manifest)
    assert _strict_json((tmp_path / "model.json").read_text()) == json.loads(json.dumps(manifest))
    finish(manifest, tmp_path, as_json=True)
    assert _strict_json(capsys.readouterr().out) == json.loads(json.dumps(manifest))


def test_a_manifest_that_json_cannot_say_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "model.json", {"limit": float("inf")})
    assert list(tmp_path.iterdir()) == []


def test_progress_tells_each_step_of_both_models(exported: Exported) -> None:
    told = [step for step in exported.steps if "in bf16" not in step]  # where the processor can compute in it
    assert len(told) == 10
    assert sum("compare with Paddle in f32" in step for step in told) == 2


def test_exporting_again_gives_the_same_bytes_and_leaves_nothing_else(exported: Exported, tmp_path: Path) -> None:
    output = _older_repository(tmp_path / "repository")
    export_repository(exported.pipeline, output, lambda step: None)
    assert _files(output) == _files(exported.path)
    assert list(tmp_path.iterdir()) == [output]


def test_a_failed_export_leaves_the_old_repository(
    demo_pipeline: Pipeline, detector_folder: Path, tmp_path: Path
) -> None:
    output = _older_repository(tmp_path / "repository")
    (detector_folder / PROGRAM).write_text("{}")
    before = _files(output)
    with pytest.raises(ExportError, match="is not a program of Paddle"):
        export_repository(_with_detector(demo_pipeline, detector_folder), output, lambda step: None)
    assert _files(output) == before
    assert {path.name for path in tmp_path.iterdir()} == {"repository", "detector"}


def test_both_models_are_read_before_either_is_converted(demo_pipeline: Pipeline, tmp_path: Path) -> None:
    module = Module(model_name="MobileFaceNet", model_dir=tmp_path / "nowhere")
    modules = demo_pipeline.modules.model_copy(update={"recognition": module})
    steps: list[str] = []
    with pytest.raises(ExportError, match="nowhere is not a folder"):
        export_repository(demo_pipeline.model_copy(update={"modules": modules}), tmp_path / "output", steps.append)
    assert steps == []


@pytest.mark.parametrize("name", [MANIFEST, MODEL_MANIFEST])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "is not a manifest of this version: .* has no .*precision.*; export the model again"),
        (b'{"detector": 3, "recogniser": {"backend": "openvino"}}', "is not a manifest of this version"),
        (b"[]", "is not a manifest; export the model again"),
        (b"{", "cannot be read"),
        (b"\xff\xfe\xfd", "cannot be read"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ExportError, match=f"{tmp_path / name} {message}"):
        rebuild(tmp_path, lambda step: None)
    shown = CliRunner().invoke(inspect, [str(tmp_path)])
    assert isinstance(shown.exception, ExportError)
    assert shown.exception.message.startswith(f"{tmp_path / name} ")


def test_paths_are_shown_as_they_are(exported: Exported, capsys: pytest.CaptureFixture[str]) -> None:
    path = "a[red]/b[/red]/:cat:"
    with narrated() as progress:
        progress(f"put it in its place, {path}")
        progress.note(f"worst in {path}")
    finish(exported.manifest, Path(path), as_json=False)
    told = capsys.readouterr()
    assert f"put it in its place, {path}\n" in told.err
    assert f"worst in {path}\n" in told.err
    assert told.out.splitlines()[0].strip() == path


def test_writing_that_is_interrupted_leaves_the_old_repository(exported: Exported, tmp_path: Path) -> None:
    output = _older_repository(tmp_path / "repository")
    before = _files(output)

    def interrupt(step: str) -> None:
        if step.startswith("put it in its place"):
            assert len(list(tmp_path.iterdir())) == 2  # the new one is complete, beside the old
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_repository(exported.pipeline, exported.detector, exported.embedder, output, interrupt)
    assert _files(output) == before
    assert list(tmp_path.iterdir()) == [output]


def test_a_disk_that_is_full_is_told_and_leaves_the_old_repository(exported: Exported, tmp_path: Path) -> None:
    output = _older_repository(tmp_path / "repository")
    before = _files(output)

    def fill(step: str) -> None:
        if step.startswith("put it in its place"):
            # /dev/full is a disk without room.
            Path("/dev/full").write_bytes(b"x")

    with pytest.raises(ExportError, match=r"cannot be written \(.*No space left.*; what stood there is as"):
        write_repository(exported.pipeline, exported.detector, exported.embedder, output, fill)
    assert _files(output) == before
    assert list(tmp_path.iterdir()) == [output]


def test_a_folder_of_something_else_is_not_replaced(demo_pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(
        ExportError, match=r"did not write \(it holds no toonface.json\); name another, or give --force"
    ):
        export_repository(demo_pipeline, tmp_path, lambda step: None)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_repository_and_one_model_do_not_replace_each_other(tmp_path: Path) -> None:
    repository, model = _older_repository(tmp_path / "repository"), tmp_path / "model"
    model.mkdir()
    (model / "model.json").write_text("{}")
    check_output(repository, "toonface.json", force=False)
    check_output(model, "model.json", force=False)
    with pytest.raises(
        ExportError,
        match=r"repository is a whole repository \(it holds toonface.json\), not one exported model; name another, or",
    ):
        check_output(repository, "model.json", force=False)
    with pytest.raises(
        ExportError, match=r"model is one exported model \(it holds model.json\), not a whole repository"
    ):
        check_output(model, "toonface.json", force=False)
    check_output(repository, "model.json", force=True)
    check_output(model, "toonface.json", force=True)


@pytest.mark.parametrize("inside", ["face_embedding", "new", "face_embedding/1"])
def test_nothing_is_put_into_a_repository(tmp_path: Path, inside: str) -> None:
    repository = _older_repository(tmp_path / "repository")
    (repository / "face_embedding").mkdir()
    (repository / "face_embedding" / "model.json").write_text("{}")
    (tmp_path / "link").symlink_to(repository)
    for folder in (repository, tmp_path / "link"):
        for manifest in ("model.json", "toonface.json"):
            message = f"{inside} is in the repository {repository}, whose toonface.json holds .*; name a folder outside"
            with pytest.raises(ExportError, match=message):
                check_output(folder / inside, manifest, force=False)
    check_output(repository / inside, "model.json", force=True)


def test_a_file_is_not_replaced(demo_pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="file is not a folder; name one"):
        export_repository(demo_pipeline, tmp_path / "file", lambda step: None, force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("place", ["{}/file/repository", "{}/file/deep/repository", "/proc/repository", "{}/link"])
def test_a_place_that_cannot_be_written_is_told_first(tmp_path: Path, place: str, force: bool) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "link")
    before = list(tmp_path.iterdir())
    output = place.format(tmp_path)
    message = rf"output {output} cannot be written \(.*\); name a folder in a place that you may write to"
    with pytest.raises(ExportError, match=message):
        check_output(Path(output), "toonface.json", force)
    assert list(tmp_path.iterdir()) == before


def test_trying_a_place_leaves_nothing_in_it(tmp_path: Path) -> None:
    check_output(tmp_path / "deep" / "deeper" / "repository", "toonface.json", force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_mount_point_is_told_first() -> None:
    message = "/proc is a mount point, whose place no other folder can take; name a folder in it, or mount the one"
    with pytest.raises(ExportError, match=message):
        check_output(Path("/proc"), "toonface.json", force=True)
    with pytest.raises(ExportError, match=message), assembled(Path("/proc"), lambda step: None):
        pass


def test_a_link_to_a_folder_elsewhere_and_the_working_directory_are_no_mount_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    monkeypatch.chdir(tmp_path / "there")
    real = Path.is_mount
    # As of a link to another file system: its device is not that of its parent.
    monkeypatch.setattr(Path, "is_mount", lambda self: self.is_symlink() or not self.is_absolute() or real(self))
    for output in (tmp_path / "link", Path()):
        check_output(output, "toonface.json", force=False)


def test_a_mount_point_that_only_the_kernel_knows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "target").mkdir()
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.EBUSY)
    with pytest.raises(OSError, match="it is a mount point, whose place no other folder can take"):
        replace_folder(tmp_path / "nothing", tmp_path / "target")


@pytest.fixture
def nothing_can_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is with files of another user, which a server in a container leaves behind."""

    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", f"{path}/__pycache__")

    monkeypatch.setattr(shutil, "rmtree", refuse)


@pytest.mark.usefixtures("nothing_can_be_removed")
def test_an_old_repository_that_cannot_be_removed_is_named_and_the_new_one_stands(tmp_path: Path) -> None:
    output = _older_repository(tmp_path / "repository")
    steps: list[str] = []
    with assembled(output, steps.append) as folder:
        (folder / "new").write_text("new")
    assert _files(output) == {"new": b"new"}
    [left] = set(tmp_path.iterdir()) - {output}
    assert set(_files(left).values()) == {b"{}", b"old"}
    assert steps[-1].startswith(f"note: {left} is left over, and yours to remove: [Errno 13] Permission denied")


@pytest.mark.usefixtures("nothing_can_be_removed")
def test_a_failure_is_told_though_nothing_can_be_removed(tmp_path: Path) -> None:
    output = _older_repository(tmp_path / "repository")
    before = _files(output)
    steps: list[str] = []
    with pytest.raises(ExportError, match="missed its bound"), assembled(output, steps.append):
        raise ExportError("missed its bound")
    assert _files(output) == before
    assert [step.startswith("note: ") for step in steps] == [True]


def test_compiled_modules_are_no_part_of_a_manifest(tmp_path: Path) -> None:
    compiled = tmp_path / "preprocess" / "1" / "__pycache__"
    compiled.mkdir(parents=True)
    (compiled / "model.cpython-311.pyc").write_bytes(b"")
    (compiled.parent / "model.py").write_text("")
    assert set(with_files(tmp_path, {})["files"]) == {"preprocess/1/model.py"}


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool) -> None:
    new, target = tmp_path / "scratch" / "new", tmp_path / "target"
    for folder in (new, target):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text(folder.name)
    if not exchanges:
        monkeypatch.setattr(swap, "_exchange", lambda one, other: False)
    replace_folder(new, target)
    assert _files(target) == {"deep/file": b"new"}
    assert list(_files(tmp_path / "scratch").values()) == [b"target"]
    assert {path.name for path in tmp_path.iterdir()} == {"scratch", "target"}


def test_a_signal_between_two_renames_leaves_the_old_folder_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, target = tmp_path / "scratch" / "new", tmp_path / "target"
    for folder in (new, target):
        folder.mkdir(parents=True)
        (folder / "file").write_text(folder.name)
    monkeypatch.setattr(swap, "_exchange", lambda one, other: False)
    rename = Path.rename

    def signalled(self: Path, to: Path) -> Path:
        if self == new:
            raise SystemExit(143)
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", signalled)
    with pytest.raises(SystemExit):
        replace_folder(new, target)
    assert (target / "file").read_text() == "target"
    assert new.is_dir()


def test_a_folder_takes_a_free_place(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    replace_folder(new, tmp_path / "target")
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]


def test_a_refused_exchange_leaves_both_as_they_were(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "nothing", target)
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path("/tmp").stat().st_dev,  # noqa: S108
    reason="needs a second file system",
)
def test_another_file_system_is_refused_and_the_target_kept(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm") / f"toonface-{tmp_path.name}"  # noqa: S108
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_text("kept")
    elsewhere.mkdir()
    try:
        with pytest.raises(OSError, match="cross-device"):
            replace_folder(elsewhere, target)
    finally:
        shutil.rmtree(elsewhere)
    assert _files(target) == {"file": b"kept"}
