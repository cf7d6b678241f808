"""FP16 as far as the answers allow: which nodes must stay in FP32 is found by trying."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx

from toonface_export.bisection import smallest_set
from toonface_export.bounds import missed, scaled
from toonface_export.embedder_graph import NORM_NODES
from toonface_export.figures import Figures
from toonface_export.fused_input import PIXEL_NODES
from toonface_export.half import to_half
from toonface_export.references import Reference
from toonface_export.runners import onnx_runner

# The pixels are exact in FP32, and a sum of squares easily leaves FP16's range, whatever a few pictures show.
EDGES: frozenset[str] = frozenset((*PIXEL_NODES, *NORM_NODES))

# What is tried on a few pictures shall hold on others: the search asks for half of the allowed differences. Pictures in
# which its outcome fails all the same are added, and it is repeated.
_MARGIN = 0.5
_PICTURES = 2
_ROUNDS = 3
_MOST_TESTS = 60


@dataclass(frozen=True)
class HalfGraph:
    """A graph in FP16.

    Attributes:
        graph: with FP32 or UINT8 at its edges.
        kept: names of the nodes inside that stay in FP32; of a pyramid's levels, the name without the level.
    """

    graph: onnx.ModelProto
    kept: tuple[str, ...]


def half_graph(model: onnx.ModelProto, reference: Reference, limits: Mapping[str, float]) -> HalfGraph:
    """Put into FP16 what can be.

    Args:
        model: a served graph in FP32, with named nodes.
        reference: Paddle's answers.
        limits: of the figures, in FP16.

    Returns:
        The graph. It is within the limits on all pictures if the search succeeded, which the caller must check.
    """
    parts = list(dict.fromkeys(_part(node.name) for node in model.graph.node if node.name not in EDGES))
    strict = scaled(limits, _MARGIN)

    def with_kept(kept: Collection[str]) -> onnx.ModelProto:
        return to_half(model, {node.name for node in model.graph.node if _part(node.name) in kept} | EDGES)

    def figures(kept: Collection[str], judged: Reference) -> Figures:
        return judged.figures(onnx_runner(with_kept(kept))(judged.pictures))

    rows = list(range(len(reference.names)))[:_PICTURES]
    kept: list[str] = []
    for _ in range(_ROUNDS):
        judged = reference.only(rows)
        if missed(figures(parts, judged), strict):
            break  # not even in F32
        kept = smallest_set(parts, lambda names: not missed(figures(names, judged), strict), _MOST_TESTS)  # noqa: B023
        outcome = figures(kept, reference)
        worst = {reference.names.index(outcome[name].picture) for name in missed(outcome, limits)}
        if worst <= set(rows):
            break
        rows += sorted(worst - set(rows))
    return HalfGraph(with_kept(kept), tuple(kept))


def _part(node: str) -> str:
    """The name without the pyramid's level: all levels are treated alike."""
    return re.sub(r"^level\d+/", "", node)
