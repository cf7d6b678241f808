"""The table of all forms on disk: `figures.json` and `figures.md`, which runs of single forms fill together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toonface_training.evaluation.demo_figures import Figures, as_dict, from_dict, furthest, table
from toonface_training.evaluation.outputs import write_whole
from toonface_training.evaluation.subjects.floors import FLOORS

JSON, MARKDOWN = "figures.json", "figures.md"
EARLIER = "earlier_"
"""What the names of figures begin with that are of something else than the new ones."""

# What the others are compared with, where it has been measured.
_BASE = "paddle"


@dataclass(frozen=True)
class Results:
    """Figures of several forms in one folder.

    Args:
        folder: where they are, or will be.
        about: what is measured, on what; for JSON.
    """

    folder: Path
    about: Mapping[str, Any]

    def earlier(self) -> dict[str, Figures]:
        """The figures by form that earlier runs left. Those that are about something else are renamed, and left out."""
        path = self.folder / JSON
        if not path.exists():
            return {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if self.about.items() <= document.items():
                return {form: from_dict(figures) for form, figures in document["figures"].items()}
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # something else of this name
        for name in (JSON, MARKDOWN):
            if (self.folder / name).exists():
                (self.folder / name).replace(self.folder / f"{EARLIER}{name}")
        return {}

    def write(self, columns: Mapping[str, Figures]) -> tuple[dict[str, Any], str]:
        """Write the figures of all forms.

        Returns:
            What was written to `figures.json`, and to `figures.md`.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        document, markdown = self.document(columns), table(columns)
        write_whole(self.folder / JSON, json.dumps(document, indent=2) + "\n")
        write_whole(self.folder / MARKDOWN, markdown)
        return document, markdown

    def document(self, columns: Mapping[str, Figures]) -> dict[str, Any]:
        """The content of `figures.json`: the figures, and which of a form's differs most from Paddle's.

        Where Paddle has not been measured, the first of the other forms takes its place.
        """
        models = [form for form in columns if form not in FLOORS]
        base = _BASE if _BASE in models else next(iter(models), None)
        compared = {
            form: furthest(columns[base], columns[form]) for form in models if base is not None and form != base
        }
        return {
            **self.about,
            "figures": {form: as_dict(figures) for form, figures in columns.items()},
            "furthest": {
                form: {"from": base, "figure": found[0], "difference": found[1]}
                for form, found in compared.items()
                if found is not None
            },
        }
