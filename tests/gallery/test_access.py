from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from toonface_contract.errors import ConfigError, PermissionDenied
from toonface_gallery.access import Access, AccessRules, read_access_file

ADMIN = "admin-tøken"
STAFF = "staff-token"
OTHER = "other-token"

FILE = f"""
[galleries.staff]
read_tokens = ["{STAFF}", "sha256:{hashlib.sha256(OTHER.encode()).hexdigest()}"]

[galleries.vault]
"""


@pytest.fixture
def rules(tmp_path: Path) -> AccessRules:
    path = tmp_path / "access.toml"
    path.write_text(FILE)
    return read_access_file(path)


@pytest.mark.parametrize(
    ("gallery", "header", "allowed"),
    [
        ("staff", None, False),
        ("staff", f"Bearer {STAFF}", True),
        ("staff", f"bearer  {STAFF} ", True),
        ("staff", f"Bearer {OTHER}", True),
        ("staff", f"Bearer {ADMIN}", True),
        ("staff", f"Bearer {STAFF[:-1]}", False),
        ("staff", f"Basic {STAFF}", False),
        ("staff", STAFF, False),
        ("staff", "", False),
        ("staff", f"Bearer {hashlib.sha256(OTHER.encode()).hexdigest()}", False),
        ("vault", f"Bearer {STAFF}", False),
        ("vault", f"Bearer {ADMIN}", True),
        ("staff.staging-0f", f"Bearer {STAFF}", False),
        ("public.staging-0f", None, False),
        ("public.staging-0f", f"Bearer {ADMIN}", True),
        ("public", None, True),
        ("public", "Bearer whatever", True),
    ],
)
def test_reading_needs_the_gallery_s_own_token(
    rules: AccessRules, gallery: str, header: str | None, allowed: bool
) -> None:
    access = Access(ADMIN, rules)
    assert access.may_read(gallery, header) is allowed
    if allowed:
        access.check_read(gallery, header)
    else:
        with pytest.raises(PermissionDenied, match=gallery) as refused:
            access.check_read(gallery, header)
        assert not any(secret in refused.value.message for secret in (STAFF, OTHER, ADMIN))


def test_tokens_are_compared_in_constant_time(rules: AccessRules, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token that would open is compared, whichever is right, and by digests, which tell nothing of its length."""
    compare = hmac.compare_digest
    compared: list[tuple[int, int]] = []

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    access = Access(ADMIN, rules)
    for given, allowed in ((STAFF, True), (OTHER, True), (ADMIN, True), ("guess", False)):
        compared.clear()
        assert access.may_read("staff", f"Bearer {given}") is allowed
        assert compared == [(32, 32)] * 3
    compared.clear()
    access.check_admin("the command drop", f"Bearer {ADMIN}")
    assert compared == [(32, 32)]


def test_closed_files_hide_what_they_do_not_name() -> None:
    access = Access(ADMIN, AccessRules.model_validate({"unlisted": "closed"}))
    assert not access.may_read("new", None)
    assert access.may_read("new", f"Bearer {ADMIN}")


def test_a_read_token_does_not_write(rules: AccessRules) -> None:
    access = Access(ADMIN, rules)
    access.check_admin("the command drop", f"Bearer {ADMIN}")
    for header in (None, f"Bearer {STAFF}", f"Bearer {ADMIN[:-1]}", "Bearer"):
        with pytest.raises(PermissionDenied, match="drop"):
            access.check_admin("the command drop", header)


def test_without_an_admin_token_anybody_may_write_and_nothing_may_be_restricted(rules: AccessRules) -> None:
    Access(None).check_admin("the command drop", None)
    assert Access(None).may_read("any", None)
    with pytest.raises(ConfigError, match="admin token"):
        Access(None, rules)
    with pytest.raises(ConfigError, match="empty"):
        Access(" ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("galleries = 3", "galleries: .*dictionary"),
        ("[galleries.staff]\nread_token = ['s3cret']", "galleries.staff.read_token: Extra"),
        ("[galleries.'../x']\nread_tokens = ['s3cret']", "galleries.*pattern"),
        ("[galleries.staff]\nread_tokens = ['']", "galleries.staff.read_tokens.0: .*1 character"),
        ("[galleries.staff]\nread_tokens = ['s3cret token']", "galleries.staff.read_tokens.0: .*spaces"),
        ("[galleries.staff]\nread_tokens = ['sha256:s3cret']", "galleries.staff.read_tokens.0: .*64 hexa"),
        ("[galleries.staff]\nread_tokens = 's3cret'", "galleries.staff.read_tokens: .*tuple"),
        ("unlisted = 'maybe'", "unlisted: .*'open' or 'closed'"),
        ("tokens = 's3cret", "not TOML"),
    ],
)
def test_a_wrong_access_file_is_refused_by_key_and_repeats_no_token(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as refused:
        read_access_file(path)
    assert "s3cret" not in refused.value.message
    assert str(path) in refused.value.message


def test_a_missing_access_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no.toml cannot be read: No such file"):
        read_access_file(tmp_path / "no.toml")


def test_rules_show_no_token(rules: AccessRules) -> None:
    assert STAFF not in repr(rules)
    assert STAFF not in repr(Access(ADMIN, rules))
