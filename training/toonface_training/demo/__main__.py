"""Command line: draw the demo's gallery and pictures into a folder."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from toonface_training.cartoon import backgrounds
from toonface_training.demo.cast import choose_cast
from toonface_training.demo.credits import credits_page
from toonface_training.demo.pictures import write_gallery, write_pictures

# The demo's seed; `demo/hit_rate.py` says how its like fare.
SEED = 0


@click.command()
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default="demo", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=SEED, show_default=True, help="Another one, another cast.")
def main(output: Path, seed: int) -> None:
    """Draw the demo: a gallery of characters, pictures to recognise them in, and expected.json with the truth.

    The same seed gives the same files. For another demo:

        python -m toonface_training.demo --seed 7 --output build/another-demo
    """
    draw_demo(output, seed)
    click.echo(f"drew the demo of seed {seed} into {output}")


def draw_demo(folder: Path, seed: int) -> None:
    """Write gallery, pictures, expected.json and CREDITS.md of `seed` into `folder`."""
    cast = choose_cast(seed)
    write_gallery(cast, folder, np.random.default_rng([seed, 1]))
    write_pictures(cast, folder, np.random.default_rng([seed, 2]))
    page = credits_page([*cast.styles, *backgrounds.SCENERY, *backgrounds.THINGS])
    (folder / "CREDITS.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
