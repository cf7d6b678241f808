"""Downloads over a real connection, good and bad."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from store import Store, both, cut_after, header, no_fault, running_store, status, without_length

from toonface_contract.errors import FetchError
from toonface_export import fetch_download
from toonface_export.fetch_download import Patience, download

CONTENT = np.random.default_rng(1).bytes(300_000)
OTHER = np.random.default_rng(2).bytes(300_000)
PATIENCE = Patience(attempts=3, pause=0.001, timeout=5)


@pytest.fixture
def store() -> Iterator[Store]:
    with running_store() as store:
        store.files["thing"] = CONTENT
        yield store


def _get(store: Store, path: Path, patience: Patience = PATIENCE) -> bytes:
    download(f"{store.address}/thing", path, lambda size, total: None, patience)
    return path.read_bytes()


def _get_a_part(store: Store, path: Path, count: int = 100_000) -> None:
    """Leave the first `count` bytes of the file, as an interrupted run does."""
    store.faults = [cut_after(count)]
    with pytest.raises(FetchError):
        _get(store, path, Patience(attempts=1, pause=0, timeout=5))
    assert path.read_bytes() == CONTENT[:count]
    store.ranges.clear()


def test_a_whole_file_comes_with_progress(store: Store, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    download(f"{store.address}/thing", tmp_path / "part", lambda *figures: seen.append(figures), PATIENCE)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_a_broken_connection_is_taken_up_where_it_broke(store: Store, tmp_path: Path) -> None:
    store.faults = [cut_after(100_000), cut_after(50_000)]
    assert _get(store, tmp_path / "part") == CONTENT
    assert store.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_breaks_that_bring_something_are_never_too_many(store: Store, tmp_path: Path) -> None:
    store.faults = [cut_after(30_000)] * 9
    assert _get(store, tmp_path / "part") == CONTENT


def test_another_run_takes_up_what_the_last_one_left(store: Store, tmp_path: Path) -> None:
    _get_a_part(store, tmp_path / "part")
    assert _get(store, tmp_path / "part") == CONTENT
    assert store.ranges == ["bytes=100000-"]


def test_a_part_of_another_version_is_not_built_upon(store: Store, tmp_path: Path) -> None:
    _get_a_part(store, tmp_path / "part")
    store.files["thing"] = OTHER
    assert _get(store, tmp_path / "part") == OTHER


def test_a_server_that_ignores_if_range_is_found_out(store: Store, tmp_path: Path) -> None:
    _get_a_part(store, tmp_path / "part")
    store.files["thing"], store.careless = OTHER, True
    assert _get(store, tmp_path / "part") == OTHER
    assert store.ranges == ["bytes=100000-", None]


def test_a_part_without_a_version_is_not_built_upon(store: Store, tmp_path: Path) -> None:
    store.tagged = False
    _get_a_part(store, tmp_path / "part")
    assert _get(store, tmp_path / "part") == CONTENT
    assert store.ranges == [None]


def test_a_weak_tag_is_no_version(store: Store, tmp_path: Path) -> None:
    store.faults = [both(header("ETag", 'W/"x"'), cut_after(1000))]
    assert _get(store, tmp_path / "part") == CONTENT
    assert store.ranges == [None, None]


def test_a_part_longer_than_the_file_is_thrown_away(store: Store, tmp_path: Path) -> None:
    _get_a_part(store, tmp_path / "part")
    with (tmp_path / "part").open("ab") as file:
        file.write(CONTENT)
    assert _get(store, tmp_path / "part") == CONTENT
    assert store.ranges == ["bytes=400000-", None]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"version": "x"}', '{"version": "x", "total": "many"}'])
def test_a_part_with_a_spoilt_note_is_thrown_away(store: Store, tmp_path: Path, note: str) -> None:
    (tmp_path / "part").write_bytes(OTHER[:1000])
    (tmp_path / "part.json").write_text(note)
    assert _get(store, tmp_path / "part") == CONTENT


def test_a_range_that_begins_elsewhere_is_not_taken(store: Store, tmp_path: Path) -> None:
    _get_a_part(store, tmp_path / "part")
    store.faults = [header("Content-Range", f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")]
    assert _get(store, tmp_path / "part") == CONTENT


def test_a_busy_server_is_asked_again(store: Store, tmp_path: Path) -> None:
    store.faults = [status(503), status(429)]
    assert _get(store, tmp_path / "part") == CONTENT


def test_a_server_that_stays_busy_is_given_up(store: Store, tmp_path: Path) -> None:
    store.faults = [status(503)] * 3 + [no_fault]
    with pytest.raises(FetchError, match="the server answers 503 Service Unavailable"):
        _get(store, tmp_path / "part")
    assert len(store.faults) == 1


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_refusal_is_final(store: Store, tmp_path: Path, code: int) -> None:
    store.faults = [status(code)]
    with pytest.raises(FetchError, match=f"{store.address}/thing cannot be fetched: the server answers {code}"):
        _get(store, tmp_path / "part")
    assert len(store.ranges) == 1


def test_nobody_at_the_address(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="cannot be fetched: .*refused"):
        download("http://127.0.0.1:9/thing", tmp_path / "part", lambda size, total: None, PATIENCE)


@pytest.mark.parametrize("address", ["http://[nowhere", "http://host:abc"])
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    with pytest.raises(FetchError, match="cannot be fetched"):
        download(f"{address}/thing", tmp_path / "part", lambda size, total: None, PATIENCE)


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("socks5://127.0.0.1:9", r"a SOCKS proxy, .*: pip install 'httpx\[socks\]'"),
        (
            "ftp://127.0.0.1:9",
            "proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used: .*; it must be an address",
        ),
        ("http://127.0.0.1:abc", "proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used: Invalid port"),
    ],
)
def test_a_proxy_that_cannot_be_used(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, message: str
) -> None:
    for name in ("all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(FetchError, match=message):
        _get(store, tmp_path / "part")


def test_a_body_shorter_than_promised_every_time_is_given_up(store: Store, tmp_path: Path) -> None:
    store.tagged = False
    store.faults = [cut_after(10), cut_after(10), cut_after(10), cut_after(10)]
    with pytest.raises(FetchError, match="cannot be fetched"):
        _get(store, tmp_path / "part")


def test_a_file_that_is_too_large_is_refused_by_its_size(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_download, "MAX_BYTES", 200_000)
    with pytest.raises(FetchError, match="has 300000 bytes; at most 200000 are taken"):
        _get(store, tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_a_file_of_unknown_size_is_cut_off_at_the_limit(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_download, "MAX_BYTES", 200_000)
    store.faults = [without_length]
    with pytest.raises(FetchError, match="larger than 200000 bytes"):
        _get(store, tmp_path / "part")


def test_a_file_of_unknown_size_is_taken(store: Store, tmp_path: Path) -> None:
    store.faults = [without_length]
    assert _get(store, tmp_path / "part") == CONTENT


def test_a_disk_without_room_is_said_before_anything_comes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_download, "MAX_BYTES", 2**62)
    store.faults = [header("Content-Length", str(2**61))]
    with pytest.raises(FetchError, match=f"bytes free, and {store.address}/thing needs {2**61} more"):
        _get(store, tmp_path / "part")
    assert not (tmp_path / "part").exists()
