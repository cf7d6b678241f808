"""The demo: serve the exported demo models, enrol a gallery, recognise pictures, and check every answer.

`make demo` runs it. It does what a user would do: `toonface serve`, `toonface gallery build`, and the Python client.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from service import DemoFailed, run_toonface, served
from truth import Finding, Picture, compare, read_pictures

from toonface_client import ToonfaceClient, draw_result
from toonface_contract.errors import ToonfaceError

DEMO = Path(__file__).resolve().parent
BUILD = DEMO.parent / "build"
GALLERY = "demo"

console = Console()


@click.command()
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default=BUILD / "repository",
    help="What `toonface export` wrote of models/face_recognition.yaml.",
)
@click.option("--demo", type=click.Path(path_type=Path), default=DEMO, help="Folder of the gallery and the pictures.")
def main(repository: Path, demo: Path) -> None:
    """Serve the demo models and recognise the demo's characters; ends with 1 if any answer is wrong."""
    started = time.monotonic()
    try:
        right, total = run(repository, demo)
    except (DemoFailed, ToonfaceError) as error:
        console.print(f"[red]The demo failed:[/] {error}", highlight=False)
        sys.exit(1)
    seconds = time.monotonic() - started
    colour = "green" if right == total else "red"
    console.print(f"[bold {colour}]{right} of {total} answers are right[/] ({seconds:.0f} s, server start included).\n")
    console.print(NEXT_STEPS, highlight=False, soft_wrap=True)
    sys.exit(0 if right == total else 1)


def run(repository: Path, demo: Path) -> tuple[int, int]:
    """Serve, enrol, recognise and check; prints a table, and writes annotated pictures into build/demo-output.

    Returns:
        How many answers are right, and how many there are: one for each true or answered face, and for each picture
        that should have none.

    Raises:
        DemoFailed: the server or a command failed.
        ToonfaceError: a request failed.
    """
    output = BUILD / "demo-output"
    output.mkdir(parents=True, exist_ok=True)
    console.print("Starting tritonserver over the exported models ...")
    with served(repository, BUILD / "demo-server") as address:
        console.print(f"Ready at {address}. Enrolling the characters of {_shown(demo / 'gallery')} ...")
        gallery_list = demo / "gallery" / "gallery.txt"
        run_toonface("gallery", "build", GALLERY, gallery_list, "--replace", "--address", address)
        answers = []
        with ToonfaceClient(address) as client:
            for picture in read_pictures(demo):
                result = client.recognize(picture.path, gallery=GALLERY)
                draw_result(picture.path, result).save(output / picture.path.name, quality=90)
                answers.append((picture, compare(picture, result)))
        console.print(_table(answers))
        console.print(f"The pictures, with boxes and names drawn in, are in {_shown(output)}/")
        console.print("Stopping the server ...")
    verdicts = [finding.right for _, findings in answers for finding in findings]
    verdicts += [True for picture, findings in answers if not picture.faces and not findings]
    return sum(verdicts), len(verdicts)


NEXT_STEPS = """\
To try it yourself:
  . .venv/bin/activate
  toonface serve --repository build/repository
  toonface gallery build default demo/gallery/gallery.txt     (in another terminal)
  toonface recognize demo/pictures --save build/annotated
Your own models: copy models/face_recognition.yaml, name your folders in it, and `toonface export` it."""


def _table(answers: Sequence[tuple[Picture, Sequence[Finding]]]) -> Table:
    table = Table(title="Who is in the pictures")
    for name in ("picture", "who it is", "answer"):
        table.add_column(name)
    for name in ("similarity", "box overlap", ""):
        table.add_column(name, justify="right")
    for picture, findings in answers:
        for number, finding in enumerate(findings):
            table.add_row(picture.path.name if number == 0 else "", *_cells(finding))
        if not findings:
            table.add_row(picture.path.name, "nobody", "no face", "", "", "[green]right[/]")
        table.add_section()
    return table


def _cells(finding: Finding) -> tuple[str, ...]:
    """One row: the true name, the answered name, its score, the overlap, and the verdict."""
    truth = finding.truth.label if finding.truth else "no face"
    if finding.found is None:
        return truth, "not found", "", "", "[red]wrong[/]"
    score = "" if finding.found.score is None else f"{finding.found.score:.2f}"
    verdict = "[green]right[/]" if finding.right else "[red]wrong[/]"
    return truth, finding.found.label, score, f"{finding.overlap:.2f}", verdict


def _shown(path: Path) -> str:
    """The path as seen from the checkout."""
    return str(path.relative_to(DEMO.parent)) if path.is_relative_to(DEMO.parent) else str(path)


if __name__ == "__main__":
    main()
