"""A download told as steps."""

from __future__ import annotations

from collections.abc import Callable

from toonface_export.fetch_download import Received

# One step for each twentieth of a download, or for each 16 MiB where the server does not say how much will come.
_PARTS = 20
_PART_BYTES = 16 * 2**20


def as_steps(name: str, tell: Callable[[str], None]) -> Received:
    """What tells of a download every few per cent.

    Args:
        name: of what is fetched.
        tell: is told of each step.
    """
    told = 0

    def received(size: int, total: int | None) -> None:
        nonlocal told
        part = size * _PARTS // total if total else size // _PART_BYTES
        # A download that begins anew has fewer.
        if part != told:
            told = part
            of_all = f" of {total / 1e6:.1f} MB ({size * 100 // total} %)" if total else " MB"
            tell(f"{name}: fetched {size / 1e6:.1f}{of_all}")

    return received
