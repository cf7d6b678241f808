"""The command `toonface` against a tritonserver."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from stand_in_server import free_port, picture

from toonface_client import cli

TOONFACE = Path(sys.executable).with_name("toonface")
Run = Callable[..., Result]


@pytest.fixture
def run(server: str) -> Run:
    """Runs `toonface` with the stand-in's address and token."""

    def invoke(*arguments: object) -> Result:
        environment = {"TOONFACE_ADDRESS": server, "TOONFACE_ADMIN_TOKEN": "secret"}
        return CliRunner(env=environment).invoke(cli.main, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures with one, no and three faces, in a tree, beside what is none."""
    for name, faces in (("b/one.png", 1), ("a/none.png", 0), ("three.PNG", 3)):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(faces, size=(320, 200)))
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    (tmp_path / "pictures" / ".hidden.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def document(result: Result) -> Any:
    """The JSON document on standard output, which holds nothing else."""
    return json.loads(result.stdout)


def test_recognize_prints_a_table_a_picture(run: Run, folder: Path) -> None:
    result = run("recognize", folder)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    titles = [line for line in result.stdout.splitlines() if "320 x 200" in line]
    expected = [f"{folder}/{name}" for name in ("a/none.png", "b/one.png", "three.PNG")]
    assert [title.split()[0] for title in titles] == expected
    assert titles[0].endswith(", no faces")
    assert titles[1].endswith(", 1 face")
    assert "Noor" in result.stdout
    assert "0.800" in result.stdout


def test_recognize_reports_a_bad_picture_and_goes_on(run: Run, folder: Path) -> None:
    (folder / "b" / "bad.jpg").write_bytes(b"no picture")
    result = run("recognize", folder)
    assert result.exit_code == 1
    assert result.stderr == f"error: image_format_unsupported: {folder}/b/bad.jpg: the bytes are no picture\n"
    assert "Noor" in result.stdout


def test_recognize_as_json(run: Run, folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    result = run("recognize", folder / "three.PNG", folder / "bad.jpg", "--json", "--topk", 1, "--max-faces", 2)
    assert result.exit_code == 1
    three, bad = document(result)["pictures"]
    assert document(result)["failed"] == 1
    assert three["path"] == f"{folder}/three.PNG"
    assert three["result"]["cut"] == 1
    assert [face["label"] for face in three["result"]["faces"]] == ["Ada", "Grace"]
    assert [len(face["matches"]) for face in three["result"]["faces"]] == [1, 1]
    assert bad["error"] == {"code": "image_format_unsupported", "message": "the bytes are no picture"}


def test_recognize_tells_of_faces_that_were_left_out(run: Run, folder: Path) -> None:
    assert "3 faces, 2 of them left out" in run("recognize", folder / "three.PNG", "--max-faces", 1).stdout


def test_save_draws_into_a_tree_of_the_same_shape(run: Run, folder: Path, tmp_path: Path) -> None:
    Image.open(folder / "three.PNG").save(folder / "three.jpg")
    Image.open(folder / "three.PNG").save(folder / "four.webp", lossless=True)
    originals = {path: path.read_bytes() for path in folder.rglob("*.*")}
    saved = tmp_path / "saved"
    for _ in range(2):
        assert run("recognize", folder, folder / "three.jpg", "--save", saved).exit_code == 0
    names = sorted(str(path.relative_to(saved)) for path in saved.rglob("*.*"))
    assert names == ["a/none.png", "b/one.png", "four.webp.png", "three-2.jpg", "three.PNG", "three.jpg"]
    assert Image.open(saved / "three.PNG").size == (320, 200)
    colours = [len(set(Image.open(place / "three.PNG").get_flattened_data())) for place in (folder, saved)]
    assert colours[0] == 2 < colours[1]
    assert originals == {path: path.read_bytes() for path in folder.rglob("*.*")}


def test_save_never_overwrites_a_picture(run: Run, folder: Path) -> None:
    result = run("recognize", folder, "--save", folder)
    assert result.exit_code == 1
    assert "would overwrite the picture" in result.stderr


def test_drawings_in_the_searched_folder_are_not_recognised_again(run: Run, folder: Path) -> None:
    for _ in range(2):
        result = run("recognize", folder, "--save", folder / "annotated", "--json")
        assert result.exit_code == 0
        assert len(document(result)["pictures"]) == 3


def test_a_drawing_that_cannot_be_saved_fails_its_picture(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "b").write_text("in the way")
    result = run("recognize", folder, "--save", tmp_path / "saved")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: invalid_config: {folder}/b/one.png: cannot save")


def test_a_folder_without_pictures(run: Run, tmp_path: Path) -> None:
    result = run("recognize", tmp_path)
    assert result.exit_code == 1
    assert "holds no pictures" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["recognize"],
        ["recognize", "/no/such/file"],
        ["recognize", ".", "--topk", "0"],
        ["recognize", ".", "--det-threshold", "1.5"],
        ["gallery", "remove", "people"],
        ["gallery", "add", "people", "/dev/null"],
        ["gallery", "list", "--label", "Ada"],
        ["fly"],
    ],
)
def test_a_wrong_command_line_ends_with_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


@pytest.mark.parametrize("arguments", [["recognize", "PICTURE"], ["status"], ["gallery", "list"]])
def test_an_unreachable_server_is_one_line(run: Run, picture_file: Path, arguments: list[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    words = [str(picture_file) if word == "PICTURE" else word for word in arguments]
    result = run(*words, "--address", address, "--timeout", 1)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: unavailable: cannot connect to {address}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_debug_shows_where_an_error_comes_from(run: Run) -> None:
    result = run("--debug", "status", "--address", "nonsense")
    assert result.exit_code == 1
    assert "ConfigError" in repr(result.exception)


def test_a_gallery_from_a_list_to_its_dropping(run: Run, tmp_path: Path) -> None:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    (tmp_path / "images").mkdir()
    for person in ("ada", "grace"):
        (tmp_path / "images" / f"{person}.png").write_bytes(picture(1))
    (tmp_path / "images" / "bad.png").write_bytes(b"no picture")
    listed = tmp_path / "gallery.txt"
    listed.write_text("images/ada.png Ada\n\nimages/bad.png Bob\nimages/grace.png Grace Hopper\n", encoding="utf-8-sig")

    built = run("gallery", "build", name, listed, "--no-gate")
    assert built.exit_code == 1
    assert built.stdout == f"enrolled 2 of 3 pictures into gallery '{name}'\n"
    assert built.stderr == f"error: image_format_unsupported: {listed}, line 3: the bytes are no picture\n"
    again = run("gallery", "build", name, listed, "--no-gate")
    assert again.exit_code == 1
    assert again.stderr.startswith("error: gallery_exists: ")

    listed.write_text("images/ada.png Ada\n")
    replaced = run("gallery", "build", name, listed, "--replace", "--json", "--no-gate")
    assert replaced.exit_code == 0, replaced.output
    assert document(replaced)["enrolled"] == 1
    added = run("gallery", "add", name, tmp_path / "images" / "grace.png", "--label", "Grace", "--json", "--no-gate")
    (report,) = document(added)["pictures"]
    assert report["error"] is None
    assert run("gallery", "add", name, listed, "--no-gate").exit_code == 0

    faces = document(run("gallery", "list", name, "--json"))["faces"]
    assert [face["label"] for face in faces] == ["Ada", "Grace", "Ada"]
    assert faces[0]["source"] == "images/ada.png"
    table = run("gallery", "list", name, "--label", "Grace").stdout
    assert "Grace" in table
    assert "Ada" not in table
    assert name in run("gallery", "list").stdout

    removed = run("gallery", "remove", name, "--id", report["id"], "--label", "Ada")
    assert removed.stdout == f"removed 3 faces of gallery '{name}'\n"
    assert "no faces" in run("gallery", "list", name).stdout
    assert run("gallery", "drop", name).stdout == f"dropped gallery '{name}'\n"
    gone = run("gallery", "drop", name)
    assert gone.exit_code == 1
    assert gone.stderr.startswith("error: gallery_not_found: ")


def test_the_token_comes_from_a_file_or_the_environment(server: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    drop = ["gallery", "drop", "nobody", "--address", server]
    without = CliRunner(env={"TOONFACE_ADMIN_TOKEN": None}).invoke(cli.main, drop)
    assert without.stderr.startswith("error: permission_denied: ")
    for given, option in (("wrong", ["--token-file", str(token)]), ("secret", [])):
        allowed = CliRunner(env={"TOONFACE_ADMIN_TOKEN": given}).invoke(cli.main, [*drop, *option])
        assert allowed.stderr.startswith("error: gallery_not_found: ")


def test_a_read_token_has_a_variable_of_its_own(server: str, tmp_path: Path) -> None:
    """The stand-in lets everybody read: that the token is read shows in one that no header can carry."""
    listing = ["gallery", "list", "--address", server]
    for variable in ("TOONFACE_TOKEN", "TOONFACE_ADMIN_TOKEN"):
        refused = CliRunner(env={variable: "two\nlines"}).invoke(cli.main, listing)
        assert refused.stderr.startswith("error: invalid_config: the token ")
        assert "lines" not in refused.stderr.split("token", 1)[1]
    both = {"TOONFACE_TOKEN": "fine", "TOONFACE_ADMIN_TOKEN": "two\nlines"}
    assert CliRunner(env=both).invoke(cli.main, listing).exit_code == 0


def test_faces_are_shown_by_the_admin_token(server: str) -> None:
    """They come with their embeddings, which a read token does not open."""
    both = {"TOONFACE_TOKEN": "reader", "TOONFACE_ADMIN_TOKEN": "secret"}
    shown = CliRunner(env=both).invoke(cli.main, ["gallery", "show", "nobody", "--id", "1", "--address", server])
    assert shown.stderr.startswith("error: gallery_not_found: ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["remove", "g"], "give --id, --label, --ids-file or --labels-file"),
        (["update", "g", "--set-label", "x"], "say which faces"),
        (["update", "g", "--id", "1", "--label", "x", "--set-label", "y"], "say which faces"),
        (["update", "g", "--id", "1"], "say what to correct"),
        (["update", "g", "--label", "x", "--picture", __file__], "give one --id"),
        (["update", "g", "--list", __file__, "--set-label", "x"], "goes with no other correction"),
        (["list", "--limit", "3"], "need the NAME"),
        (["show", "g"], "give either"),
        (["show", "g", "--id", "1", "--label", "x"], "give either"),
        (["import", "g", __file__, "--add", "--replace"], "exclude each other"),
        (["calibrate", "g", "--far", "0"], "0<x<1"),
        (["calibrate", "g", "--far", "1"], "0<x<1"),
        (["build", "g", __file__, "--min-side", "much"], "neither a number nor 'off'"),
        (["add", "g", "a.jpg"], "does not exist"),
        (["re-embed", "g", "--root", "/no/such/folder"], "does not exist"),
    ],
)
def test_a_wrong_command_line_is_refused_with_2(run: Run, arguments: list[str], reason: str) -> None:
    result = run("gallery", *arguments)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("option", "content", "reason"),
    [
        ("--ids-file", "1\n\nx\n", "list.txt, line 3: 'x' is no face's id"),
        ("--ids-file", "0\n", "line 1: '0' is no face's id"),
        ("--ids-file", "\n", "has no lines"),
        ("--labels-file", "a\x01b\n", "line 1: the label"),
        ("--labels-file", "", "has no lines"),
        ("--list", "17\n", "line 1: '17' has no label"),
        ("--list", "x Joey\n", "line 1: 'x' is no face's id"),
    ],
)
def test_a_wrong_list_is_refused_by_its_line(run: Run, tmp_path: Path, option: str, content: str, reason: str) -> None:
    (tmp_path / "list.txt").write_text(content)
    verb = "update" if option == "--list" else "remove"
    result = run("gallery", verb, "g", option, tmp_path / "list.txt")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: invalid_config: ")
    assert reason in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["build", "g", "LIST", "--min-detection-score", "2"], "min_detection_score is 2; it must be from 0 to 1"),
        (["build", "g", "LIST", "--index", "a b"], "--index is 'a b'"),
        (["configure", "g", "--index", "Flat;;"], "--index is 'Flat;;'"),
        (["export", "g", "faces.csv"], "'faces.csv' cannot be exported to; it must be a .npz file"),
        (["export", "g", "/no/such/folder/faces.npz"], "there is no folder"),
        (["import", "g", "LIST"], "cannot be imported; it must be"),
        (["calibrate", "g", "--plot", "plot.txt"], "must end in .png"),
        (["rename", "g", "g"], "must differ"),
        (["rename", "g", "../h"], "'../h'"),
        (["update", "g", "--id", "1", "--set-label", "Unknown"], "without a match"),
        (["remove", "g", "--id", "0"], "ids.0 is 0"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_server_is_asked(
    run: Run, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    (tmp_path / "list.txt").write_text("a.jpg Ada\n")
    here = [str(tmp_path / "list.txt") if argument == "LIST" else argument for argument in arguments]
    result = run("gallery", *here, "--address", "127.0.0.1:9")
    assert result.exit_code == 1
    assert reason in result.stderr, result.stderr


def test_status(run: Run, server: str) -> None:
    shown = run("status")
    assert shown.exit_code == 0
    assert shown.stdout.startswith(f"{server}: healthy, tritonserver 2.")
    assert "gallery_admin" in shown.stdout
    assert document(run("status", "--json"))["healthy"] is True


def test_help_and_version_teach_without_loading_anything_heavy() -> None:
    code = "import sys; from toonface_client.cli import main; main(['--help'], standalone_mode=False); "
    code += "sys.exit(any(name.split('.')[0] in ('grpc', 'numpy', 'PIL', 'rich') for name in sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    for command in ("recognize", "gallery", "status", "export", "serve"):
        assert command in shown.stdout
    version = subprocess.run([TOONFACE, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("toonface ")


@pytest.mark.parametrize(
    "command",
    ["recognize", "status", "gallery"]
    + [f"gallery {verb}" for verb in ("build", "add", "remove", "update", "list", "show", "stats", "export", "import")]
    + [f"gallery {verb}" for verb in ("configure", "rename", "drop", "re-embed", "calibrate", "verify")],
)
def test_help_shows_an_example(run: Run, command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"\n    toonface {command}" in result.stdout


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = cli._Lazy("package_that_is_not_there.cli", "Serve.", "server")
    monkeypatch.setitem(cli._COMMANDS, "serve", lazy)
    result = CliRunner().invoke(cli.main, ["serve"])
    assert result.exit_code == 1
    assert "`toonface serve` needs package_that_is_not_there" in result.stderr
    assert "pip install 'toonface[server]'" in result.stderr


def test_the_installed_command(server: str, folder: Path) -> None:
    """As a user runs it: a process of its own, exit codes, nothing but JSON on standard output."""
    (folder / "bad.jpg").write_bytes(b"no picture")
    ran = subprocess.run(
        [TOONFACE, "recognize", folder, "--json", "--address", server], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 1
    assert len(json.loads(ran.stdout)["pictures"]) == 4
    assert ran.stderr.startswith("error: image_format_unsupported: ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("library", [False, True])
def test_an_interrupt_while_a_command_is_imported_is_told_in_a_line(
    library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a library written in C++ makes an ImportError of it, as onnxruntime and Paddle do."""

    def interrupted(name: str) -> Any:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            if not library:
                raise
            raise ImportError("initialization failed") from error

    monkeypatch.setattr(cli, "import_module", interrupted)
    done = CliRunner().invoke(cli.main, ["status"])
    assert (done.exit_code, done.output) == (130, "Interrupted\n")


def test_a_library_that_cannot_be_imported_is_no_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise ImportError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(cli, "import_module", broken)
    done = CliRunner().invoke(cli.main, ["status"])
    assert (done.exit_code, type(done.exception)) == (1, ImportError)
