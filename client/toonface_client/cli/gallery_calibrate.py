"""The command `toonface gallery calibrate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from toonface_client.cli.gallery_files import portable
from toonface_client.cli.options import json_option, needing, progress, tables, with_admin_client, write_json
from toonface_client.client import ToonfaceClient

if TYPE_CHECKING:
    from toonface_gallery.calibration import Calibration, Rate
    from toonface_gallery.interchange.portable import PortableFaces


@click.command()
@click.argument("name")
@click.option(
    "--far",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.001,
    show_default=True,
    help="Share of searches for strangers that may be answered with a name.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    default=4000,
    show_default=True,
    help="Faces that play the stranger, at most; each is compared with the whole gallery.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which faces are sampled.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Picture file for the distributions.")
@json_option
@with_admin_client
def calibrate(
    client: ToonfaceClient, name: str, far: float, samples: int, seed: int, plot: Path | None, as_json: bool
) -> None:
    """Propose a `rec_threshold` for a wanted false-accept rate, from the gallery NAME's own faces.

    Sampled faces play strangers: with their own label left out, their best similarity in the whole gallery is what the
    threshold must stand above. It rests on the gallery's pictures; pictures of a camera may be worse. The proposal goes
    into the pipeline file, or into a request's options; nothing is changed here.

    \b
    Examples:
      toonface gallery calibrate friends --far 0.01
      toonface gallery calibrate friends --plot friends.png --json
    """
    with needing("gallery"):
        from toonface_gallery.calibration import calibrate as calibrated

        if plot is not None:
            from toonface_gallery.calibration_plot import check_target, draw

            check_target(plot)
        faces = client.stats(name).gallery.faces
        with progress(shown=not as_json) as bar:
            task = bar.add_task("calibrate", total=2 * faces)

            def portions() -> Iterator[PortableFaces]:
                for page in client.face_pages(name, embeddings=True):
                    yield portable(page)
                    bar.advance(task, len(page.faces))

            found = calibrated(portions, faces, far, samples=samples, seed=seed)
        if plot is not None:
            draw(found, plot, f"gallery {name}")
    if as_json:
        write_json({"gallery": name, **_document(found), "plot": plot and str(plot)})
    else:
        _show(found, name, plot)


def _document(found: Calibration) -> dict[str, Any]:
    def rate(counted: Rate | None) -> dict[str, Any] | None:
        if counted is None:
            return None
        return {
            "threshold": counted.threshold,
            "trials": counted.trials,
            "rate": counted.rate,
            "smallest_rate": counted.smallest,
        }

    return {
        "faces": found.faces,
        "labels": found.labels,
        "far": found.far,
        "rec_threshold": None if found.searches is None else found.searches.threshold,
        "enough": found.enough,
        "found": found.found,
        "searches": rate(found.searches),
        "different_pairs": rate(found.pairs),
        "same_pairs": found.same_pairs,
    }


def _show(found: Calibration, name: str, plot: Path | None) -> None:
    if found.searches is None or found.pairs is None:
        click.echo(f"gallery {name!r} has one label only, which tells nothing of strangers")
        return
    click.echo(f"rec_threshold: {found.searches.threshold:.4f}   for a false-accept rate of {found.far:g}")
    if not found.enough:
        click.echo(
            f"too few faces for that rate: {found.searches.trials:,} searches can tell {found.searches.smallest:.2g} "
            "or more"
        )
    if found.searches.rate > found.far or found.searches.threshold >= 1:
        click.echo("faces of different labels are all but the same: look for one person, or picture, under two names")
    table = Table("false accepts counted by", "trials", "threshold", "accepted", "smallest rate it can tell")
    for title, rate in (("search", found.searches), ("pair of faces", found.pairs)):
        table.add_row(title, f"{rate.trials:,}", f"{rate.threshold:.4f}", f"{rate.rate:.3g}", f"{rate.smallest:.2g}")
    tables().print(table)
    if found.found is None:
        click.echo("no label has two faces, so nothing is known of how many searches for enrolled people would fail")
    else:
        click.echo(
            f"at rec_threshold, {found.found:.1%} of {found.known:,} searches for enrolled people get the right name "
            f"({found.same_pairs:,} pairs of one label)"
        )
    if plot is not None:
        tables().print(Text(f"drawn to {plot}"))
