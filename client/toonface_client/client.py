"""The client for scripts and threads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Self, Unpack

from toonface_client import calls
from toonface_client.calls import FeatureOptions, RecognizeOptions
from toonface_client.concurrency import check_concurrency, in_order
from toonface_client.connection import DEFAULT_ADDRESS, Connection, Tls
from toonface_client.enrolment import (
    NEAREST,
    Candidate,
    Enrolment,
    EnrolReport,
    LabelledPicture,
    candidate,
    holds_faces,
    must_build,
)
from toonface_client.galleries import GalleryVerbs
from toonface_client.images import ImageSource, encoded
from toonface_client.quality import DEFAULT_GATE, QualityGate
from toonface_client.results import FeatureResult, RecognitionResult
from toonface_client.retry import RetryPolicy
from toonface_client.status import ServerStatus, blank_picture, failed_canary, parse_models
from toonface_client.transport import Transport
from toonface_contract.admin import IndexSettings
from toonface_contract.errors import ToonfaceError
from toonface_contract.options import Crop

DEFAULT_TIMEOUT = 30.0
DEFAULT_CONCURRENCY = 4


class ToonfaceClient(GalleryVerbs):
    """Client of one server, over one gRPC channel. Safe to use from several threads; close it, or use it in `with`.

        with ToonfaceClient("127.0.0.1:8001") as client:
            for face in client.recognize("picture.jpg", topk=3).faces:
                print(face.label, face.score, face.box)

    Every method raises errors of `toonface_contract.errors`: `InvalidImage` and `InvalidRequest` when the request is at
    fault, `NotFound`, `AlreadyExists`, `PermissionDenied`, `Overloaded`, `Unavailable` and `DeadlineExceeded`, and the
    root of them, `ToonfaceError`, when the server has failed in another way.

    Args:
        address: `host:port` of the server's gRPC endpoint.
        timeout: seconds that one call may take, retries included; each call may set its own.
        tls: encryption; None for none.
        headers: sent with every call.
        token: the admin token or a gallery's read token, sent with every call to a model.
        retry: how calls are tried again; `RetryPolicy()` where it is None.
        shared_memory: hand pictures over in shared memory, to a server on this machine; `toonface_client.shared_memory`
            says what that gains.

    Raises:
        ConfigError: one of the arguments is wrong.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        tls: Tls | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        retry: RetryPolicy | None = None,
        shared_memory: bool = False,
    ) -> None:
        self._transport = Transport(
            Connection(address, tls, headers or {}, token), timeout, retry or RetryPolicy(), shared_memory=shared_memory
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.address!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees what the client holds, here and on the server."""
        self._transport.close()

    def recognize(
        self, image: ImageSource, *, timeout: float | None = None, **options: Unpack[RecognizeOptions]
    ) -> RecognitionResult:
        """Finds the faces of a picture and names them.

        Args:
            image: an encoded picture, its path, or an array UINT8 [H, W, 3] of RGB pixels.
            timeout: seconds for this call.
            options: `gallery`, `det_threshold`, `rec_threshold`, `topk`, `group`, `max_faces`, `crop`, as in
                `toonface_contract.options.RecognitionOptions`. The server's defaults hold for those not given.
        """
        calls.check_options(options)
        return self._transport.run(calls.recognition(encoded(image), options), timeout)

    def features(
        self, image: ImageSource, *, timeout: float | None = None, **options: Unpack[FeatureOptions]
    ) -> FeatureResult:
        """Finds the faces of a picture and embeds them; with `crop="whole"`, the picture itself is the one face.

        Args:
            image: as for `recognize`.
            timeout: seconds for this call.
            options: `det_threshold`, `max_faces`, `crop`.
        """
        calls.check_options(options)
        return self._transport.run(calls.features(encoded(image), options), timeout)

    def recognize_many(
        self,
        images: Iterable[ImageSource],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        timeout: float | None = None,
        **options: Unpack[RecognizeOptions],
    ) -> Iterator[RecognitionResult | ToonfaceError]:
        """Recognises many pictures, `concurrency` at once.

        Args:
            images: taken as they are needed, so they may come from a generator over more than fits into memory.
            concurrency: calls at once; more than the server's queue holds only brings retries.
            timeout: seconds for each picture.
            options: as for `recognize`.

        Returns:
            An iterator over one result a picture, in the pictures' order. Where a picture failed, its error stands in
            place of its result, and the others are not affected.
        """
        calls.check_options(options)
        check_concurrency(concurrency)

        def recognized(image: ImageSource) -> RecognitionResult | ToonfaceError:
            try:
                return self.recognize(image, timeout=timeout, **options)
            except ToonfaceError as error:
                return error

        return in_order(recognized, images, concurrency)

    def enrol(
        self,
        gallery: str,
        pictures: Iterable[LabelledPicture],
        *,
        crop: Crop = "whole",
        gate: QualityGate | None = DEFAULT_GATE,
        build: bool = False,
        replace: bool = False,
        index: IndexSettings | None = None,
        dry_run: bool = False,
        concurrency: int = DEFAULT_CONCURRENCY,
        timeout: float | None = None,
    ) -> EnrolReport:
        """Embeds pictures and enrols them, in one write at the end. A bad picture fails alone.

        Args:
            gallery: its name.
            pictures: what to enrol; taken as they are needed.
            crop: `whole` takes each picture as the face, as PaddleX does; `faces` looks for a face in it, and refuses a
                picture with none or several.
            gate: what the pictures must reach; None takes every picture that shows a face.
            build: make a new gallery, rather than add to one; an empty one that exists will do.
            replace: whether a gallery that is built may exist, and gives way to the new one.
            index: how the gallery is searched from then on; where it is None, one that exists as before, and of a new
                one the server chooses.
            dry_run: do all but the write.
            concurrency: pictures at once.
            timeout: seconds for each picture, and for the write.
        """
        check_concurrency(concurrency)
        found = self.gallery_list(timeout=timeout)
        build = must_build(found, gallery, build=build, replace=replace)

        def embedded(picture: LabelledPicture) -> tuple[LabelledPicture, Candidate | ToonfaceError]:
            try:
                data = encoded(picture.image)
                return picture, candidate(data, self.features(data, crop=crop, timeout=timeout), crop, gate)
            except ToonfaceError as error:
                return picture, error

        enrolment = Enrolment(gate)
        for picture, outcome in in_order(embedded, pictures, concurrency):
            enrolment.add(picture, outcome)
        enrolment.compare()
        if not build and enrolment.probes is not None and holds_faces(found, gallery):
            nearest = self.search(gallery, enrolment.probes, topk=NEAREST, group="label", timeout=timeout)
            enrolment.compare_enrolled(nearest)
        call = enrolment.write(gallery, build=build, replace=replace, index=index, dry_run=dry_run)
        if call is None:
            return enrolment.report(None, dry_run=dry_run)
        return enrolment.report(self._transport.run(call, timeout), dry_run=dry_run)

    def ping(self, *, timeout: float | None = None) -> float:
        """Time of a call in which no model takes part, in seconds.

        Raises:
            Unavailable: the server cannot be reached.
        """
        begin = time.perf_counter()
        self._transport.ask(self._transport.triton.is_server_live, timeout=timeout)
        return time.perf_counter() - begin

    def status(self, *, timeout: float | None = None) -> ServerStatus:
        """How the server is. It recognises a blank picture too, since Triton calls itself ready with a dead stage.

        Raises:
            Unavailable: the server cannot be reached.
        """
        ask, triton = partial(self._transport.ask, timeout=timeout), self._transport.triton
        self.ping(timeout=timeout)  # Connecting is no part of the round trip.
        round_trip = self.ping(timeout=timeout)
        begin, error = time.perf_counter(), None
        try:
            self.recognize(blank_picture(), timeout=timeout)
        except ToonfaceError as raised:
            error = failed_canary(raised)
        recognition = time.perf_counter() - begin
        return ServerStatus(
            address=self._transport.address,
            version=ask(triton.get_server_metadata).version,
            live=ask(triton.is_server_live),
            ready=ask(triton.is_server_ready),
            models=parse_models(ask(triton.get_inference_statistics)),
            round_trip_ms=round_trip * 1000,
            recognition_ms=None if error else recognition * 1000,
            recognition_error=error,
        )
