"""How often the demo models are right in pictures that nobody chose: the demos of many seeds, first takes only.

python demo/hit_rate.py --seeds 20
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from service import run_toonface, served
from truth import Finding, compare, read_pictures

from toonface_client import ToonfaceClient
from toonface_contract.names import UNKNOWN_LABEL
from toonface_training.demo.__main__ import draw_demo

BUILD = Path(__file__).resolve().parent.parent / "build"


@click.command()
@click.option(
    "--repository", type=click.Path(path_type=Path), default=BUILD / "repository", help="The exported models."
)
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="How many, from 0 up.")
def main(repository: Path, seeds: int) -> None:
    """Draw, enrol and recognise the demos of many seeds, and count the right answers.

    A table on stdout has a row for each seed; the last row sums them up.
    """
    folder = BUILD / "hit-rate"
    every: list[list[Finding]] = []
    with served(repository, folder / "server") as address, ToonfaceClient(address) as client:
        for seed in track(range(seeds), "demos"):
            demo = folder / f"seed-{seed}"
            draw_demo(demo, seed, {})
            gallery_list = demo / "gallery" / "gallery.txt"
            run_toonface("gallery", "build", demo.name, gallery_list, "--replace", "--address", address)
            answers = [
                finding
                for picture in read_pictures(demo)
                for finding in compare(picture, client.recognize(picture.path, gallery=demo.name))
            ]
            every.append(answers)
    table = Table("seed", "faces found", "named rightly", "strangers kept unknown", "faces that are none", "all right")
    for seed, findings in enumerate(every):
        table.add_row(str(seed), *_counts(findings), "yes" if all(finding.right for finding in findings) else "no")
    table.add_section()
    flawless = sum(all(finding.right for finding in findings) for findings in every)
    table.add_row("all", *_counts([finding for findings in every for finding in findings]), f"{flawless} of {seeds}")
    Console().print(table)


def _counts(findings: list[Finding]) -> list[str]:
    true = [finding for finding in findings if finding.truth is not None]
    strangers = [finding for finding in true if finding.truth and finding.truth.label == UNKNOWN_LABEL]
    named = [finding for finding in true if finding not in strangers]
    return [
        f"{sum(finding.found is not None for finding in true)} of {len(true)}",
        f"{sum(finding.right for finding in named)} of {len(named)}",
        f"{sum(finding.right for finding in strangers)} of {len(strangers)}",
        str(len(findings) - len(true)),
    ]


if __name__ == "__main__":
    main()
