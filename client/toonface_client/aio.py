"""The client for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Self, Unpack

from toonface_client import calls
from toonface_client.aio_galleries import AsyncGalleryVerbs
from toonface_client.aio_transport import AsyncTransport
from toonface_client.calls import FeatureOptions, RecognizeOptions
from toonface_client.client import DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT
from toonface_client.concurrency import check_concurrency, in_order_async
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
from toonface_client.images import ImageSource, encoded
from toonface_client.quality import DEFAULT_GATE, QualityGate
from toonface_client.results import FeatureResult, RecognitionResult
from toonface_client.retry import RetryPolicy
from toonface_client.status import ServerStatus, blank_picture, failed_canary, parse_models
from toonface_contract.admin import IndexSettings
from toonface_contract.errors import ToonfaceError
from toonface_contract.options import Crop


class AsyncToonfaceClient(AsyncGalleryVerbs):
    """`ToonfaceClient` for asyncio: the same arguments, methods and errors, and the same meaning of each.

        async with AsyncToonfaceClient("127.0.0.1:8001") as client:
            result = await client.recognize("picture.jpg")

    It belongs to the event loop in which it is made. Files are read in threads, so the loop does not wait for disks.
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
        self._transport = AsyncTransport(
            Connection(address, tls, headers or {}, token), timeout, retry or RetryPolicy(), shared_memory=shared_memory
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.address!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As `ToonfaceClient.close`."""
        await self._transport.close()

    async def recognize(
        self, image: ImageSource, *, timeout: float | None = None, **options: Unpack[RecognizeOptions]
    ) -> RecognitionResult:
        """As `ToonfaceClient.recognize`."""
        calls.check_options(options)
        data = await asyncio.to_thread(encoded, image)
        return await self._transport.run(calls.recognition(data, options), timeout)

    async def features(
        self, image: ImageSource, *, timeout: float | None = None, **options: Unpack[FeatureOptions]
    ) -> FeatureResult:
        """As `ToonfaceClient.features`."""
        calls.check_options(options)
        data = await asyncio.to_thread(encoded, image)
        return await self._transport.run(calls.features(data, options), timeout)

    def recognize_many(
        self,
        images: Iterable[ImageSource],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
        timeout: float | None = None,
        **options: Unpack[RecognizeOptions],
    ) -> AsyncIterator[RecognitionResult | ToonfaceError]:
        """As `ToonfaceClient.recognize_many`, for `async for`."""
        calls.check_options(options)
        check_concurrency(concurrency)

        async def recognized(image: ImageSource) -> RecognitionResult | ToonfaceError:
            try:
                return await self.recognize(image, timeout=timeout, **options)
            except ToonfaceError as error:
                return error

        return in_order_async(recognized, images, concurrency)

    async def enrol(
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
        """As `ToonfaceClient.enrol`."""
        check_concurrency(concurrency)
        found = await self.gallery_list(timeout=timeout)
        build = must_build(found, gallery, build=build, replace=replace)

        async def embedded(picture: LabelledPicture) -> tuple[LabelledPicture, Candidate | ToonfaceError]:
            try:
                data = await asyncio.to_thread(encoded, picture.image)
                features = await self.features(data, crop=crop, timeout=timeout)
                return picture, await asyncio.to_thread(candidate, data, features, crop, gate)
            except ToonfaceError as error:
                return picture, error

        enrolment = Enrolment(gate)
        async for picture, outcome in in_order_async(embedded, pictures, concurrency):
            enrolment.add(picture, outcome)
        enrolment.compare()
        if not build and enrolment.probes is not None and holds_faces(found, gallery):
            nearest = await self.search(gallery, enrolment.probes, topk=NEAREST, group="label", timeout=timeout)
            enrolment.compare_enrolled(nearest)
        call = enrolment.write(gallery, build=build, replace=replace, index=index, dry_run=dry_run)
        if call is None:
            return enrolment.report(None, dry_run=dry_run)
        change = await self._transport.run(call, timeout)
        return enrolment.report(change, dry_run=dry_run)

    async def ping(self, *, timeout: float | None = None) -> float:
        """As `ToonfaceClient.ping`."""
        begin = time.perf_counter()
        await self._transport.ask(self._transport.triton.is_server_live, timeout=timeout)
        return time.perf_counter() - begin

    async def status(self, *, timeout: float | None = None) -> ServerStatus:
        """As `ToonfaceClient.status`."""
        ask, triton = partial(self._transport.ask, timeout=timeout), self._transport.triton
        await self.ping(timeout=timeout)  # Connecting is no part of the round trip.
        round_trip = await self.ping(timeout=timeout)
        begin, error = time.perf_counter(), None
        try:
            await self.recognize(blank_picture(), timeout=timeout)
        except ToonfaceError as raised:
            error = failed_canary(raised)
        recognition = time.perf_counter() - begin
        return ServerStatus(
            address=self._transport.address,
            version=(await ask(triton.get_server_metadata)).version,
            live=await ask(triton.is_server_live),
            ready=await ask(triton.is_server_ready),
            models=parse_models(await ask(triton.get_inference_statistics)),
            round_trip_ms=round_trip * 1000,
            recognition_ms=None if error else recognition * 1000,
            recognition_error=error,
        )
