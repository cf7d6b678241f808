"""Processes that write to a store or follow it, for the tests to watch and to kill."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import sys
import time
from multiprocessing.context import ForkServerProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

from gallery_helpers import DIMENSION, EMBEDDER, new_faces, unit_vectors

from toonface_gallery.store import GalleryStore

processes = multiprocessing.get_context("forkserver")
# What every process would otherwise import anew, for half a second each.
processes.set_forkserver_preload(["pytest", "toonface_gallery.store"])

BATCH = 7


def started(target: object, *arguments: object) -> ForkServerProcess:
    process = processes.Process(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
    process.start()
    return process


def open_store(url: str, together: Barrier) -> None:
    """Open a store, at the same moment as others, and leave a gallery of one's own in it."""
    together.wait()
    store = GalleryStore(url)
    store.ensure("default", EMBEDDER, DIMENSION)
    store.ensure(f"gallery-{os.getpid()}", EMBEDDER, DIMENSION)


def write_batches(url: str, name: str, batches: int, together: Barrier) -> None:
    """Add batches to the gallery "people", and remove every third again."""
    together.wait()
    store = GalleryStore(url)
    vectors = unit_vectors(BATCH, seed=1)
    for number in range(batches):
        label = f"{name}-{number}"
        store.add("people", new_faces(*[label] * BATCH), vectors, EMBEDDER)
        if number % 3 == 0:
            store.remove("people", labels=[label])


def follow(url: str, stop: Event, report: SimpleQueue[object]) -> None:
    """Follow a store as a server does, and report `ready`, then each sequence that was reached, and when."""
    from toonface_gallery.live import LiveGalleries  # only here, for FAISS would slow every writer's start

    store = GalleryStore(url)
    live = LiveGalleries(store, EMBEDDER, DIMENSION)
    live.start()
    report.put("ready")
    seen = 0
    while not stop.is_set():
        if (now := live.sequence) != seen:
            seen = now
            report.put((now, time.monotonic()))  # a clock that all processes share
        time.sleep(0.005)
    live.stop()
    store.close()


def save_for_ever(url: str, folder: Path, seed: int) -> None:
    """Serve as a server does, and change the gallery "people" while it is saved again and again, until killed."""
    from toonface_gallery import live as live_module

    live_module._SAVE_AFTER, live_module._SAVE_SHARE = 1, sys.maxsize  # type: ignore[misc]
    store = GalleryStore(url)
    live = live_module.LiveGalleries(store, EMBEDDER, DIMENSION, folder=folder)
    live.start()
    for number, vector in enumerate(unit_vectors(10_000, 1000 + seed)):
        store.add("people", new_faces(f"{seed}-{number}"), vector[None], EMBEDDER)
        time.sleep(0.01)


def hold_the_lock(path: Path, held: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    held.touch()
    time.sleep(600)


def write_for_ever(url: str, name: str, journal: Path, seed: int) -> None:
    """Add, remove and rebuild until killed, and keep a journal of it.

    A line is `begin` (about to be sent) or `done` (acknowledged), the kind of write, and the label of its batch.
    """
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(*words: str) -> None:
        os.write(descriptor, (" ".join(words) + "\n").encode())

    store = GalleryStore(url)
    store.ensure("people", EMBEDDER, DIMENSION)
    choice = random.Random(seed)  # noqa: S311  (not for secrets)
    vectors = unit_vectors(BATCH, seed=seed)
    present: list[str] = []
    number = 0
    while True:
        kind = choice.choice(["add", "add", "remove", "build"])
        number += 1
        label = f"{name}-{number:06d}"
        if kind == "remove" and present:
            label = present.pop(choice.randrange(len(present)))
            note("begin", "remove", label)
            store.remove("people", labels=[label])
            note("done", "remove", label)
        elif kind == "build":
            note("begin", "build", label)
            store.build("rebuilt", new_faces(*[label] * BATCH), vectors, EMBEDDER, replace=True)
            note("done", "build", label)
        else:
            note("begin", "add", label)
            store.add("people", new_faces(*[label] * BATCH), vectors, EMBEDDER)
            note("done", "add", label)
            present.append(label)
