"""Makes a whole cartoon data set: `detection/`, `feature/`, `gallery/`, and who drew the styles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from toonface_contract.errors import ConfigError
from toonface_training.cartoon import backgrounds
from toonface_training.cartoon.credits import credits_table
from toonface_training.cartoon.styles import EXTRA_STYLES
from toonface_training.dataset.jobs import run_jobs
from toonface_training.dataset.plan import PARTS
from toonface_training.dataset.problems import system_errors_refused
from toonface_training.dataset.roster import choose_roster
from toonface_training.dataset.settings import CartoonSettings
from toonface_training.whole_files import write_atomically

SETTINGS = "dataset.json"
_UNFINISHED = ".unfinished"
# Another name whenever records hold something else than before: what an earlier version recorded is then drawn anew.
_RECORDS = "records-3"
_CREDITS = """\
# Credits

The characters and backgrounds of this data set are drawn with [DiceBear](https://www.dicebear.com) from these styles.
Parts and colours were combined by lot; the drawings were scaled, stretched, turned, mirrored, lit, blurred and put
together into pictures by toonface.

"""


def generate(
    output: Path,
    settings: CartoonSettings,
    parts: Sequence[str],
    processes: int,
    start: Callable[[int], None] = lambda jobs: None,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Make a data set in `output`; where an earlier run of the same settings was stopped, go on.

    Args:
        output: an empty folder, or none, or one in which an earlier run was stopped.
        settings: what the data set shall hold.
        parts: which of `PARTS` to make, in any order.
        processes: how many work at a time; the files are the same for any number.
        start: is told, before the work starts, how many jobs there are.
        done: is called after each of them.

    Raises:
        ConfigError: the folder holds something else, a style has not so many characters, or something cannot be
            written.
    """
    parts = sorted(set(parts), key=list(PARTS).index)
    with system_errors_refused(f"cannot make {output} (repeating the command goes on where it stopped)"):
        _generate(output, settings, parts, processes, start, done)


def _generate(
    output: Path,
    settings: CartoonSettings,
    parts: Sequence[str],
    processes: int,
    start: Callable[[int], None],
    done: Callable[[], None],
) -> None:
    unfinished = output / _UNFINISHED
    wanted = _settings_text(settings, parts)
    _refuse_other_content(output, wanted)
    try:
        roster = choose_roster(settings)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    write_atomically(unfinished / SETTINGS, wanted)
    sections = [section for part in parts for section in PARTS[part](roster, settings)]
    jobs = [job for section in sections for job in section.jobs]
    start(len(jobs))
    records = list(run_jobs(jobs, output, unfinished / _RECORDS, processes, done))
    for section in sections:
        own, records = records[: len(section.jobs)], records[len(section.jobs) :]
        section.finish(output, own)
    styles = [*settings.seen_styles, *settings.unseen_styles, *backgrounds.PATTERNS, *backgrounds.OBJECTS]
    if settings.extra_identities:
        styles += EXTRA_STYLES
    styles += settings.more_identities
    write_atomically(output / "CREDITS.md", _CREDITS + credits_table(set(styles)))
    write_atomically(output / SETTINGS, wanted)
    shutil.rmtree(unfinished)


def _settings_text(settings: CartoonSettings, parts: Sequence[str]) -> str:
    # Without such characters the file is as it was before there were any.
    left_out = {name for name in ("extra_identities", "more_identities") if not getattr(settings, name)}
    return json.dumps({"parts": list(parts)} | settings.model_dump(mode="json", exclude=left_out), indent=1) + "\n"


def _refuse_other_content(output: Path, wanted: str) -> None:
    """Only an empty folder will do, or one that an earlier run with the same settings left unfinished."""
    if not output.exists() or not any(output.iterdir()):
        return
    begun = output / _UNFINISHED / SETTINGS
    if not begun.exists():
        raise ConfigError(f"{output} is not empty; name a new folder, or remove this one")
    before, now = json.loads(begun.read_text(encoding="utf-8")), json.loads(wanted)
    pairs = {key: (before.get(key, 0), now.get(key, 0)) for key in before | now}
    other = [f"{key} {then} (now {value})" for key, (then, value) in pairs.items() if then != value]
    if other:
        raise ConfigError(
            f"{output} holds the beginning of a data set with {', '.join(other)}; "
            "repeat those options to finish it, or remove the folder"
        )
