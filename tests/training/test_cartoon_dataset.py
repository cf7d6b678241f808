import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from toonface_client.cli import main
from toonface_client.cli.gallery_list import read_gallery_list
from toonface_training.cartoon.backgrounds import OBJECTS, PATTERNS
from toonface_training.cartoon.crowd import LEAST_VISIBLE
from toonface_training.cartoon.identity import draw_identity
from toonface_training.cartoon.styles import EXTRA_STYLES, STYLES
from toonface_training.dataset.detection_set import scene_jobs
from toonface_training.dataset.feature_set import pair_list
from toonface_training.dataset.generate import generate
from toonface_training.dataset.plan import PARTS, STRANGER
from toonface_training.dataset.roster import choose_roster
from toonface_training.dataset.settings import CartoonSettings
from toonface_training.demo.cast import choose_cast
from toonface_training.evaluation.datasets import read_scenes
from toonface_training.evaluation.recognition import must_show_enrolled

# Seen are two styles whose faces need no measuring; unseen characters are of the next ones in turn.
UNSEEN = ("avataaars", *(style for style in STYLES if style not in ("dylan", "pixel-art", "avataaars")))
SIZES = {
    "seed": 3,
    "identities": 4,
    "pictures": 5,
    "drawings": 2,
    "validation_identities": 4,
    "unseen_validation_identities": 2,
    "pairs": 12,
    "test_identities": 4,
    "unseen_identities": 2,
    "strangers": 2,
    "probes": 2,
    "scenes": 20,
    "validation_scenes": 4,
    "test_scenes": 4,
}
SMALL = CartoonSettings(unseen_styles=UNSEEN, **SIZES)


def cartoon(output: Path, **other: object) -> Result:
    options = {**SIZES, "unseen-styles": ",".join(UNSEEN), **other}
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return CliRunner().invoke(main, ["dataset", "cartoon", str(output), *arguments, "--json"])


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, made by the command in two processes."""
    folder = tmp_path_factory.mktemp("cartoon") / "set"
    result = cartoon(folder, processes=2)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["output"] == str(folder)
    return folder


def annotations(made: Path, split: str) -> dict[str, list[dict[str, object]]]:
    return json.loads((made / f"detection/annotations/instance_{split}.json").read_text(encoding="utf-8"))


def test_one_process_and_a_run_that_was_stopped_give_the_same_files(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    steps = 0

    class Stopped(Exception):
        pass

    def stop() -> None:
        nonlocal steps
        steps += 1
        if steps == 5:
            raise Stopped

    with pytest.raises(Stopped):
        generate(folder, SMALL, tuple(PARTS), 1, done=stop)
    assert not (folder / "dataset.json").exists()
    drawn = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}
    assert drawn
    generate(folder, SMALL, (*reversed(PARTS), "gallery"), 1)
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn
    assert digests(folder) == digests(made)


def test_what_an_earlier_version_recorded_is_drawn_anew(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "begun"
    earlier = folder / ".unfinished/records"
    earlier.mkdir(parents=True)
    (folder / ".unfinished/dataset.json").write_text(
        json.dumps(json.loads((made / "dataset.json").read_text()) | {"parts": ["gallery"]})
    )
    for job in PARTS["gallery"](choose_roster(SMALL), SMALL)[0].jobs:
        (earlier / f"{job.name}.json").write_text('{"gallery": [{"path": "nowhere.jpg"}]}')
    generate(folder, SMALL, ["gallery"], 1)
    assert digests(folder / "gallery") == digests(made / "gallery")


def test_no_character_is_in_two_splits_nor_in_the_demo() -> None:
    roster = choose_roster(CartoonSettings(identities=60, test_identities=33, unseen_identities=9))
    parts = [
        roster.train,
        roster.validation,
        roster.test,
        roster.test_strangers,
        roster.unseen,
        roster.unseen_strangers,
        roster.unseen_validation,
    ]
    everybody = [draw_identity(*name) for part in parts for name in part]
    cast = choose_cast(0)
    everybody += [*cast.named.values(), cast.stranger]
    for number, identity in enumerate(everybody):
        for other in everybody[:number]:
            assert identity.style is not other.style or identity.differences(other) >= 2
    styles = {style for part in parts[:4] for style, _ in part}
    assert styles.isdisjoint({"micah", "personas", "croodles"})
    assert {style for part in parts[4:] for style, _ in part} == {"micah", "personas", "croodles"}


def test_the_test_characters_do_not_depend_on_how_many_are_trained_on() -> None:
    few, many = (choose_roster(CartoonSettings(identities=count)) for count in (22, 110))
    assert few.test == many.test
    assert few.validation == many.validation


def test_extra_characters_are_of_further_styles_and_change_no_others() -> None:
    without, roster = (choose_roster(CartoonSettings(identities=22, extra_identities=count)) for count in (0, 20))
    assert without.extra == ()
    assert replace(roster, extra=()) == without
    counts = Counter(style for style, _ in roster.extra)
    assert list(counts) == list(EXTRA_STYLES)
    assert set(counts.values()) == {2, 3}
    for one, other in combinations([draw_identity(*name) for name in roster.extra], 2):
        assert one.style is not other.style or one.differences(other) >= 2


def test_more_characters_of_a_style_come_last_and_change_no_others() -> None:
    sizes = {"identities": 22, "extra_identities": 9}
    without, roster = (
        choose_roster(CartoonSettings(**sizes, more_identities=more)) for more in ({}, {"open-peeps": 5, "clay": 2})
    )
    assert replace(roster, extra=()) == replace(without, extra=())
    assert roster.extra[:9] == without.extra
    assert [style for style, _ in roster.extra[9:]] == ["open-peeps"] * 5 + ["clay"] * 2
    chosen = [*roster.test, *roster.test_strangers, *roster.validation, *roster.train, *roster.extra]
    for one, other in combinations([draw_identity(*name) for name in chosen if name[0] in ("open-peeps", "clay")], 2):
        assert one.style is not other.style or one.differences(other) >= 2


def test_coco_files_say_where_every_face_is(made: Path) -> None:
    image_ids, annotation_ids = [], []
    for split, scenes in (("train", 20), ("val", 4), ("test", 4), ("unseen", 4)):
        content = annotations(made, split)
        sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
        assert len(sizes) == scenes
        image_ids += list(sizes)
        annotation_ids += [face["id"] for face in content["annotations"]]
        for image in content["images"]:
            with Image.open(made / "detection/images" / image["file_name"]) as picture:
                assert picture.size == sizes[image["id"]]
                assert 320 <= max(picture.size) <= 480
        for face in content["annotations"]:
            x, y, width, height = face["bbox"]
            across, down = sizes[face["image_id"]]
            assert 0 <= x < x + width <= across + 0.01
            assert 0 <= y < y + height <= down + 0.01
            assert face["visible"] >= LEAST_VISIBLE
            assert len(face["keypoints"]) == 15
    assert len(set(image_ids)) == len(image_ids)
    assert len(set(annotation_ids)) == len(annotation_ids)
    counts = Counter(face["image_id"] for face in annotations(made, "train")["annotations"])
    assert max(counts.values()) >= 4
    assert len(counts) < 20  # some scenes have no face


def test_landmarks_are_in_the_viewers_order(made: Path) -> None:
    for face in annotations(made, "train")["annotations"]:
        left_eye, right_eye, nose, left_mouth, right_mouth = np.reshape(face["keypoints"], (5, 3))[:, :2]
        assert left_eye[0] < right_eye[0]
        assert left_mouth[0] < right_mouth[0]
        assert (left_eye + right_eye)[1] < (left_mouth + right_mouth)[1]


def test_label_list_names_every_crop_and_counts_from_zero(made: Path) -> None:
    train = made / "feature/train"
    lines = [line.split(" ") for line in (train / "label.txt").read_text().splitlines()]
    assert Counter(number for _, number in lines) == {str(number): 5 for number in range(4)}
    assert sorted(path for path, _ in lines) == sorted(str(p.relative_to(train)) for p in train.glob("images/*/*.jpg"))


def test_extra_characters_are_for_the_embedder_to_train_on_alone(made: Path, tmp_path: Path) -> None:
    result = cartoon(tmp_path / "set", part="feature", extra_identities=3)
    assert result.exit_code == 0, result.output
    sets = (made, tmp_path / "set")
    before, after = (digests(folder / "feature") for folder in sets)
    assert {path for path in before if after.get(path) != before[path]} == {"train/boxes.txt", "train/label.txt"}
    assert len(after) == len(before) + 2 * 3 * 5
    for file in ("train/boxes.txt", "train/label.txt"):
        lines, more = ((folder / "feature" / file).read_text().splitlines() for folder in sets)
        assert more[: len(lines)] == lines
    added = [line.split(" ") for line in more[len(lines) :]]
    assert Counter(number for _, number in added) == {"4": 5, "5": 5, "6": 5}
    assert {path.split("/")[1].rpartition("-")[0] for path, _ in added} == {"bottts", "cameo", "clay"}
    pages = [(folder / "CREDITS.md").read_text(encoding="utf-8") for folder in sets]
    assert [sum(f"| {style} | [" in page for style in EXTRA_STYLES) for page in pages] == [0, len(EXTRA_STYLES)]
    kept = [json.loads((folder / "dataset.json").read_text()) for folder in sets]
    assert [settings.get("extra_identities") for settings in kept] == [None, 3]


def test_more_characters_of_a_style_are_credited_and_recorded(made: Path, tmp_path: Path) -> None:
    result = cartoon(tmp_path / "set", part="feature", more_identities="clay=2")
    assert result.exit_code == 0, result.output
    labels = (tmp_path / "set/feature/train/label.txt").read_text().splitlines()
    assert labels[:20] == (made / "feature/train/label.txt").read_text().splitlines()
    assert Counter(line.split("/")[1].rpartition("-")[0] for line in labels[20:]) == {"clay": 2 * 5}
    assert "| clay | [" in (tmp_path / "set/CREDITS.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "set/dataset.json").read_text())["more_identities"] == {"clay": 2}
    assert "more_identities" not in json.loads((made / "dataset.json").read_text())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clay", "--more-identities: clay is no STYLE=COUNT"),
        ("clay=many", "--more-identities: clay=many is no STYLE=COUNT"),
        ("clay=-1", "--more-identities: clay=-1 is no STYLE=COUNT"),
        ("clay=1000001", "--more-identities clay: Input should be less than or equal to 1000000"),
        ("wood=1", "--more-identities: unknown style wood; there are lorelei,"),
        ("lorelei=1", "--more-identities: lorelei must be unseen"),
        ("dylan=5000", "the styles dylan give "),
    ],
)
def test_more_characters_that_there_cannot_be_are_refused(text: str, said: str, tmp_path: Path) -> None:
    result = cartoon(tmp_path / "set", part="feature", more_identities=text)
    assert result.exit_code != 0
    assert said in " ".join(result.output.split())
    assert not (tmp_path / "set").exists()


def test_every_crop_is_the_box_in_its_context(made: Path) -> None:
    train = made / "feature/train"
    for line in (train / "boxes.txt").read_text().splitlines():
        path, *numbers = line.split(" ")
        x1, y1, x2, y2 = (int(float(number)) for number in numbers)
        with Image.open(train / path) as crop, Image.open(train / path.replace("images/", "context/", 1)) as context:
            assert crop.size == (x2 - x1, y2 - y1)
            assert x1 > 0.15 * crop.width
            assert context.width - x2 > 0.15 * crop.width
            cut = np.asarray(context, dtype=int)[y1:y2, x1:x2]
            assert np.abs(cut - np.asarray(crop, dtype=int)).mean() < 8  # both were compressed


@pytest.mark.parametrize("file", ["pair_label.txt", "pair_label_unseen.txt"])
def test_pairs_are_half_of_one_character_and_half_of_two(made: Path, file: str) -> None:
    pairs = [line.split(" ") for line in (made / "feature/val" / file).read_text().splitlines()]
    assert len(pairs) == 12
    for left, right, same in pairs:
        assert (made / "feature/val" / left).exists()
        assert (made / "feature/val" / right).exists()
        assert left != right
        assert (Path(left).parent == Path(right).parent) is (same == "1")
    assert Counter(same for *_, same in pairs) == {"0": 6, "1": 6}


def test_no_pair_is_there_twice() -> None:
    names = [("dylan", 1), ("dylan", 2), ("miniavs", 1)]
    records = [{"picture": [{"path": f"{style}{seed}/{number}"} for number in range(3)]} for style, seed in names]
    pairs = [line.split(" ") for line in pair_list(names, records, 1000, 3).splitlines()]
    # Each of the three has three pairs of its own.
    assert Counter(same for *_, same in pairs) == {"0": 9, "1": 9}
    assert len({frozenset((left, right)) for left, right, _ in pairs}) == 18
    assert all((Path(left).parent == Path(right).parent) is (same == "1") for left, right, same in pairs)


@pytest.mark.parametrize(("part", "members"), [("seen", 4), ("unseen", 2)])
def test_galleries_have_probes_of_members_and_strangers(made: Path, part: str, members: int) -> None:
    folder = made / "gallery" / part

    def labels(file: str) -> Counter[str]:
        lines = [line.split(" ") for line in (folder / file).read_text().splitlines()]
        assert all((folder / path).exists() for path, _ in lines)
        return Counter(label for _, label in lines)

    enrolled = labels("gallery.txt")
    assert len(enrolled) == members
    assert set(enrolled.values()) == {1}
    assert labels("gallery_3.txt") == dict.fromkeys(enrolled, 3)
    for file in ("probe.txt", "probe_turned.txt"):
        assert labels(file) == dict.fromkeys(enrolled, 2) | {STRANGER: 4}


@pytest.mark.parametrize("part", ["seen", "unseen"])
@pytest.mark.parametrize("name", ["probe", "probe_turned", "gallery_3"])
def test_every_face_of_the_gallery_and_its_probes_is_in_a_whole_picture_too(made: Path, part: str, name: str) -> None:
    folder = made / "gallery" / part
    lines = [line.split(" ") for line in (folder / f"{name}.txt").read_text().splitlines()]
    gallery = read_gallery_list(folder / "gallery.txt")
    scenes = read_scenes(folder / "pictures", name.removesuffix("_3"))
    must_show_enrolled(scenes, gallery)
    assert [scene.path.name for scene in scenes] == [Path(path).name for path, _ in lines]
    assert len({scene.path for scene in scenes}) == len(lines)
    listed = [(folder / f"{each}.txt").read_text().splitlines() for each in ("probe", "probe_turned", "gallery_3")]
    assert len(list((folder / "pictures/images").iterdir())) == sum(map(len, listed))
    for (path, label), scene in zip(lines, scenes, strict=True):
        # A stranger's own name stands there, as in scenes, and not that of all strangers.
        assert scene.labels == (Path(path).parent.name,)
        assert label in (STRANGER, *scene.labels)
        whole, crop = (cv2.imread(str(each), cv2.IMREAD_GRAYSCALE) for each in (scene.path, folder / path))
        assert 320 <= max(whole.shape) <= 480
        x1, y1, x2, y2 = scene.truth.boxes[0].tolist()
        assert 0 <= x1 < x2 <= whole.shape[1]
        assert 0 <= y1 < y2 <= whole.shape[0]
        # The middle of the crop, without what is behind the face, is where the box says; its edges were moved by 0.04.
        down, across = (side // 5 for side in crop.shape)
        middle = crop[down:-down, across:-across]
        _, alike, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(whole, middle, cv2.TM_CCOEFF_NORMED))
        assert alike > 0.6
        assert (x - across, y - down) == pytest.approx((x1, y1), abs=0.04 * max(x2 - x1, y2 - y1) + 2)


def test_scenes_to_test_with_show_the_gallerys_characters_and_strangers(made: Path) -> None:
    roster = choose_roster(SMALL)
    known = {f"{style}-{seed}" for style, seed in (*roster.test, *roster.test_strangers)}
    faces = annotations(made, "test")["annotations"]
    assert faces
    assert {face["character"] for face in faces} <= known


def test_scenes_are_divided_into_jobs() -> None:
    jobs = scene_jobs("train", 250, (0, 0), [("dylan", 1)], 1.0)
    assert [job.count for job in jobs] == [100, 100, 50]
    assert len({job.name for job in jobs}) == 3


def test_credits_name_every_style_and_what_is_in_the_backgrounds(made: Path) -> None:
    page = (made / "CREDITS.md").read_text(encoding="utf-8")
    assert all(f"| {style} | [" in page for style in (*STYLES, *PATTERNS, *OBJECTS))


def test_a_folder_that_holds_something_is_refused(made: Path, tmp_path: Path) -> None:
    result = cartoon(made)
    assert result.exit_code == 1
    assert "is not empty; name a new folder" in result.output
    (tmp_path / "note.txt").write_text("mine")
    assert "is not empty" in cartoon(tmp_path).output
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_begun_set_is_not_finished_with_other_options(made: Path, tmp_path: Path) -> None:
    begun = tmp_path / "set"
    (begun / ".unfinished").mkdir(parents=True)
    shutil.copy(made / "dataset.json", begun / ".unfinished")
    result = cartoon(begun, scenes=7, extra_identities=3)
    assert result.exit_code == 1
    assert "with scenes 20 (now 7), extra_identities 0 (now 3)" in result.output
    with_extra = json.loads((made / "dataset.json").read_text()) | {"extra_identities": 3}
    (begun / ".unfinished/dataset.json").write_text(json.dumps(with_extra))
    assert "with extra_identities 3 (now 0)" in cartoon(begun).output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unseen-styles": "manga"}, "--unseen-styles: unknown style manga; there are lorelei, notionists"),
        ({"unseen-styles": "micah,croodles,micah"}, "--unseen-styles: style micah is named twice"),
        ({"unseen-styles": ",".join(STYLES)}, "some styles must be unseen and some seen"),
        (
            {"unseen-styles": ",".join(style for style in STYLES if style != "dylan"), "identities": 1000},
            "the styles dylan give",
        ),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    result = cartoon(tmp_path / "set", **options)
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("option", "value", "limits"),
    [
        ("seed", 1_000_001, "0<=x<=1000000"),
        ("scenes", 0, "1<=x<=1000000"),
        ("identities", 1, "2<=x<=1000000"),
        ("pictures", 1001, "1<=x<=1000"),
    ],
)
def test_sizes_out_of_their_limits_are_named(tmp_path: Path, option: str, value: int, limits: str) -> None:
    result = cartoon(tmp_path / "set", **{option: value})
    assert result.exit_code == 2
    assert f"Invalid value for '--{option}': {value} is not in the range {limits}" in result.output


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    result = cartoon(tmp_path / "file/set")
    assert result.exit_code == 1
    assert f"cannot make {tmp_path / 'file/set'} (repeating the command goes on where it stopped): Not a dir" in (
        result.output
    )
