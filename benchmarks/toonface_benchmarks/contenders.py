"""The contenders of a comparison: toonface, its stages one by one, PaddleX's pipeline, and PaddleX's server."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from toonface_benchmarks.common_ground import Ground
from toonface_benchmarks.load import LoadResult, closed_loop
from toonface_benchmarks.paddlex_process import Installation, paddlex_pipeline, paddlex_server, write_config
from toonface_benchmarks.serving import serving
from toonface_benchmarks.staged_client import StagedClient
from toonface_client import LabelledPicture, ToonfaceClient
from toonface_client.cli.gallery_list import ListedPicture, read_gallery_list
from toonface_contract.errors import ServerError
from toonface_server.cpus import usable_cpus

TOONFACE, PIPELINE, SERVER, STAGES = "toonface", "PaddleX in Python", "PaddleX's server", "toonface, stage by stage"

_GALLERY = "compare"


@dataclass(frozen=True)
class Contender:
    """One of those that are compared, ready to answer.

    Attributes:
        name: for the report.
        load: puts a closed loop of so many callers on it, for so many seconds.
        count: how many faces it finds in each picture.
        enrol: embeds the gallery's pictures and makes them searchable; gives the seconds. None where it has no way of
            its own.
    """

    name: str
    load: Callable[[int, float], LoadResult]
    count: Callable[[], list[int]]
    enrol: Callable[[], float] | None = None


@contextmanager
def started(
    ground: Ground,
    python: Path,
    pictures: Sequence[bytes],
    gallery_list: Path,
    tell: Callable[[str], None],
    *,
    paddlex_bf16: bool,
) -> Iterator[list[Contender]]:
    """All contenders with the gallery enrolled, toonface first, for as long as the block lasts.

    Args:
        ground: what is served.
        python: interpreter of PaddleX's environment.
        pictures: encoded, as all get them.
        gallery_list: PaddleX list of the gallery to search.
        tell: told what is going on.
        paddlex_bf16: see `write_config`.
    """
    listed = read_gallery_list(gallery_list)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toonface-compare-")))
        installation = Installation(python, folder / "paddlex.yaml", usable_cpus(), folder)
        write_config(ground.pipeline, installation.config, bf16=paddlex_bf16)
        tell("starting toonface")
        served = stack.enter_context(serving(ground.repository, folder))
        client = stack.enter_context(ToonfaceClient(served.address, timeout=300))
        contenders = [_toonface(client, pictures, listed)]
        tell("starting PaddleX, in Python and its server")
        contenders.append(_in_python(stack, installation, pictures, gallery_list))
        contenders.append(_server(stack, installation, pictures, listed))
        for each in contenders:
            if each.enrol is not None:
                each.enrol()
        staged = StagedClient(served.address, _GALLERY)
        stack.callback(staged.close)
        contenders.append(
            Contender(
                STAGES,
                load=lambda callers, seconds: closed_loop(
                    staged.recognize, pictures, concurrency=callers, seconds=seconds
                ),
                count=lambda: [len(staged.recognize(picture)["face_boxes"]) for picture in pictures],
            )
        )
        yield contenders


def _toonface(client: ToonfaceClient, pictures: Sequence[bytes], listed: Sequence[ListedPicture]) -> Contender:
    def recognize(picture: bytes) -> int:
        return len(client.recognize(picture, gallery=_GALLERY).faces)

    def enrol() -> float:
        begun = time.perf_counter()
        faces = [LabelledPicture(each.path, each.label) for each in listed]
        # PaddleX judges no picture's quality, so nothing is refused for it here.
        report = client.enrol(_GALLERY, faces, build=True, replace=True, gate=None)
        if report.failed:
            raise ServerError(f"{report.failed} of {len(faces)} pictures of the gallery could not be enrolled")
        return time.perf_counter() - begun

    return Contender(
        TOONFACE,
        load=lambda callers, seconds: closed_loop(recognize, pictures, concurrency=callers, seconds=seconds),
        count=lambda: [recognize(picture) for picture in pictures],
        enrol=enrol,
    )


def _in_python(
    stack: ExitStack, installation: Installation, pictures: Sequence[bytes], gallery_list: Path
) -> Contender:
    pipeline = stack.enter_context(paddlex_pipeline(installation))
    files = []
    for number, picture in enumerate(pictures):
        files.append(installation.folder / f"picture-{number}.jpg")  # PaddleX goes by the suffix, and OpenCV does not
        files[-1].write_bytes(picture)
    return Contender(
        PIPELINE,
        load=lambda callers, seconds: pipeline.load(files, callers, seconds),
        count=lambda: [len(pipeline.recognize(file)) for file in files],
        enrol=lambda: pipeline.build(gallery_list),
    )


def _server(
    stack: ExitStack, installation: Installation, pictures: Sequence[bytes], listed: Sequence[ListedPicture]
) -> Contender:
    server = stack.enter_context(paddlex_server(installation))
    return Contender(
        SERVER,
        load=lambda callers, seconds: closed_loop(server.recognize, pictures, concurrency=callers, seconds=seconds),
        count=lambda: [len(server.recognize(picture)) for picture in pictures],
        enrol=lambda: server.build([(each.path.read_bytes(), each.label) for each in listed]),
    )
