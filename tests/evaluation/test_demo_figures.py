"""The whole table of figures out of one command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evaluation_sets import generated_set

from toonface_client.cli import main
from toonface_contract.errors import ServerError
from toonface_training.evaluation import serving
from toonface_training.evaluation.demo_figures import Figures
from toonface_training.evaluation.demo_results import Results
from toonface_training.evaluation.metrics.rate import Rate


def _measure(dataset: Path, pipeline: Path, output: Path, *options: object) -> Result:
    arguments = ["demo-models", dataset, "--pipeline", pipeline, "--output", output, *options]
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generated_set(tmp_path_factory.mktemp("generated"))


def test_every_figure_stands_in_a_table(dataset: Path, pipeline_file: Path, tmp_path: Path) -> None:
    done = _measure(dataset, pipeline_file, tmp_path, "--form", "paddle", "--form", "colour-histogram", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert json.loads((tmp_path / "figures.json").read_text()) == document
    paddle, histogram = (document["figures"][form] for form in ("paddle", "colour-histogram"))
    for kind, split, enrolled, strangers in (("seen", "test", 21, 9), ("unseen", "unseen", 19, 15)):
        coco = json.loads((dataset / "detection" / "annotations" / f"instance_{split}.json").read_text())
        faces = len(coco["annotations"])
        assert paddle[f"detection, {kind} styles: AP at overlap 0.5"]["value"] > 0.8
        ranked = paddle[f"{kind} styles, upright: rank 1, gallery of 1"]
        named = paddle[f"{kind} styles, upright: strangers named, gallery of 1"]
        assert (ranked["of"], named["of"]) == (enrolled, strangers)
        assert ranked["hits"] > histogram[f"{kind} styles, upright: rank 1, gallery of 1"]["hits"]
        found, large = (
            paddle[f"end to end, {kind} styles: rank 1 of found faces{kept}"] for kept in ("", ", 32 pixels and more")
        )
        assert 0 < large["of"] <= found["of"] < faces
        # Of the named faces of the pictures, some are of characters that are not enrolled.
        assert found["of"] <= paddle[f"end to end, {kind} styles: rank 1 with true boxes"]["of"] < faces
        for figure in ("accuracy", "accuracy, flip test"):
            better, worse = (figures[f"pairs, {kind} styles: {figure}"]["value"] for figures in (paddle, histogram))
            assert 1 >= better > worse > 0
    assert not any(name.startswith(("detection", "end to end", "probes in whole pictures")) for name in histogram)
    rows = (tmp_path / "figures.md").read_text().splitlines()
    assert rows[0] == "| figure | paddle | colour-histogram | cases |"
    assert len(rows) == 2 + len(paddle)


def test_probes_in_whole_pictures_are_found_and_looked_up_as_scenes_are(
    dataset: Path, pipeline_file: Path, tmp_path: Path
) -> None:
    done = _measure(dataset, pipeline_file, tmp_path, "--form", "paddle", "--json")
    figures = json.loads(done.stdout)["figures"]["paddle"]
    for figure in ("faces found", "rank 1 of found faces", "rank 1, missed faces wrong", "rank 1 with true boxes"):
        # The set has the same scenes in both places, and fewer of turned faces.
        upright, turned = (
            figures[f"probes in whole pictures, seen styles, {pose}: {figure}"]
            for pose in ("upright", "turned up to 30°")
        )
        assert upright == figures[f"end to end, seen styles: {figure}"]
        assert 0 < turned["hits"] <= turned["of"] < upright["of"]
        unseen = figures[f"probes in whole pictures, unseen styles, upright: {figure}"]
        assert unseen == figures[f"end to end, unseen styles: {figure}"]
    # The gallery's faces are found in whole pictures of the same crops, so that few are lost.
    crops, whole = (
        figures[f"probes in whole pictures, seen styles, upright: {figure}"]
        for figure in ("rank 1, missed faces wrong", "rank 1, the gallery's faces found too")
    )
    assert whole["of"] == crops["of"]
    # Whoever could not be enrolled is looked for in vain.
    assert whole["hits"] < whole["of"]
    assert whole["hits"] >= crops["hits"] / 2


def test_a_set_without_whole_pictures_of_its_probes_has_no_figures_of_them(
    dataset: Path, pipeline_file: Path, tmp_path: Path
) -> None:
    older = Path(shutil.copytree(dataset, tmp_path / "set"))
    (older / "gallery" / "seen" / "pictures" / "annotations" / "instance_probe_turned.json").unlink()
    done = _measure(older, pipeline_file, tmp_path / "out", "--form", "paddle")
    assert done.exit_code == 1
    assert "instance_probe_turned.json is missing" in done.stderr
    for kind in ("seen", "unseen"):
        shutil.rmtree(older / "gallery" / kind / "pictures")
    done = _measure(older, pipeline_file, tmp_path / "out", "--form", "paddle", "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)["figures"]["paddle"]
    assert "end to end, unseen styles: rank 1, missed faces wrong" in figures
    assert not any(name.startswith("probes in whole pictures") for name in figures)


def test_a_sample_is_smaller(dataset: Path, pipeline_file: Path, tmp_path: Path) -> None:
    done = _measure(dataset, pipeline_file, tmp_path, "--form", "colour-histogram", "--every", 3, "--json")
    figures = json.loads(done.stdout)["figures"]["colour-histogram"]
    assert figures["seen styles, upright: rank 1, gallery of 1"]["of"] == 7
    assert figures["seen styles, upright: strangers named, gallery of 1"]["of"] == 3


def test_forms_fill_one_table_run_by_run(dataset: Path, pipeline_file: Path, tmp_path: Path) -> None:
    arguments = ("--form", "colour-histogram", "--every", 3, "--json")
    document = json.loads(_measure(dataset, pipeline_file, tmp_path, *arguments).stdout)
    document["figures"]["openvino"] = dict(document["figures"]["colour-histogram"])
    (tmp_path / "figures.json").write_text(json.dumps(document))
    assert json.loads(_measure(dataset, pipeline_file, tmp_path, *arguments).stdout) == document
    assert (tmp_path / "figures.md").read_text().startswith("| figure | openvino | colour-histogram | cases |")


def test_figures_of_something_else_are_neither_mixed_nor_lost(tmp_path: Path) -> None:
    columns: dict[str, Figures] = {"paddle": {"a": 0.123456789, "b": Rate(1, 3), "c": None}}
    document, markdown = Results(tmp_path, {"every": 3}).write(columns)
    assert Results(tmp_path, {"every": 3}).earlier() == columns
    assert Results(tmp_path, {"every": 2}).earlier() == {}
    assert json.loads((tmp_path / "earlier_figures.json").read_text()) == document
    assert (tmp_path / "earlier_figures.md").read_text() == markdown
    assert Results(tmp_path, {"every": 2}).earlier() == {}
    (tmp_path / "figures.json").write_text("[]")
    assert Results(tmp_path, {"every": 2}).earlier() == {}


def test_forms_are_compared_with_paddle_where_it_was_measured(tmp_path: Path) -> None:
    columns: dict[str, Figures] = {
        "openvino": {"a": 0.5, "b": Rate(1, 2)},
        "paddle": {"a": 0.75, "b": Rate(1, 2)},
        "server": {"a": 0.5, "b": Rate(2, 2)},
        "colour-histogram": {"a": 0.0},
    }
    results = Results(tmp_path, {})
    assert results.document(columns)["furthest"] == {
        "openvino": {"from": "paddle", "figure": "a", "difference": 0.25},
        "server": {"from": "paddle", "figure": "b", "difference": 0.5},
    }
    del columns["paddle"]
    assert results.document(columns)["furthest"] == {
        "server": {"from": "openvino", "figure": "b", "difference": 0.5},
    }


def test_a_server_that_never_gets_ready_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "toonface"
    command.write_text("#!/bin/sh\necho loading\nexec sleep 600\n")
    command.chmod(0o755)
    monkeypatch.setattr(serving.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(serving, "_START_SECONDS", 1)
    with pytest.raises(ServerError, match=r"not ready after 1 s:\nloading"), serving.served(tmp_path, tmp_path / "log"):
        pass
    command.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="no command `toonface`"), serving.served(tmp_path, tmp_path / "log"):
        pass


@pytest.mark.slow
def test_the_figures_are_the_same_from_paddle_to_the_server(dataset: Path, pipeline_file: Path, tmp_path: Path) -> None:
    forms = [option for form in ("paddle", "onnxruntime", "openvino", "server") for option in ("--form", form)]
    done = _measure(dataset, pipeline_file, tmp_path, *forms, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["furthest"]["onnxruntime"]["difference"] < 0.002
    assert document["figures"]["server"] == document["figures"]["openvino"]
    # bf16, where the processor has it, turns one case or another of few.
    assert document["furthest"]["openvino"]["difference"] < 0.15


def test_a_folder_of_another_kind_is_refused(pipeline_file: Path, tmp_path: Path) -> None:
    done = _measure(tmp_path, pipeline_file, tmp_path / "out", "--form", "paddle")
    assert done.exit_code == 1
    assert "gallery.txt" in done.stderr


def test_a_list_that_is_missing_is_found_out_before_the_export(
    dataset: Path, pipeline_file: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset, tmp_path / "set")
    (tmp_path / "set" / "detection" / "annotations" / "instance_unseen.json").unlink()
    done = _measure(tmp_path / "set", pipeline_file, tmp_path / "out", "--form", "server")
    assert done.exit_code == 1
    assert "instance_unseen.json is missing" in done.stderr
    assert not (tmp_path / "out" / "repository").exists()
