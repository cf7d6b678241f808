"""Who may read and who may change which gallery: the access file, and the tokens that requests show."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from toonface_contract.admin import GalleryName
from toonface_contract.errors import ConfigError, PermissionDenied
from toonface_contract.names import ACCESS_FILE_ENV, ADMIN_TOKEN_ENV, STAGING_MARK, TOKEN_HEADER

_HASHED: Final = re.compile(r"sha256:([0-9a-f]{64})")


def _token(text: str) -> str:
    if text.startswith("sha256:") and not _HASHED.fullmatch(text):
        raise ValueError("a hashed token is sha256: and 64 hexadecimal digits in lower case")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("a token has no spaces, and only characters that a header can carry")
    return text


_Token = Annotated[str, Field(min_length=1), AfterValidator(_token)]


class _Strict(BaseModel):
    # A wrong token must not be repeated by the error that refuses it.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class GalleryAccess(_Strict):
    """Who may read one gallery.

    Attributes:
        read_tokens: any of them opens it, as they are or as `sha256:<hexadecimal digest>`. With none, only the admin
            token does.
    """

    read_tokens: tuple[_Token, ...] = Field(default=(), repr=False)


class AccessRules(_Strict):
    """An access file.

    Attributes:
        galleries: by name, those that are not open to everybody.
        unlisted: whether everybody may read the galleries that are not named, or none without the admin token.
    """

    galleries: dict[GalleryName, GalleryAccess] = {}
    unlisted: Literal["open", "closed"] = "open"


def read_access_file(path: Path) -> AccessRules:
    """Read an access file, which is TOML.

    Raises:
        ConfigError: it cannot be read, or a key is unknown or wrong; the message names the key, and no token.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"access file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The parser's own words may hold a piece of the file.
        raise ConfigError(f"access file {path} is not TOML; docs/gallery.md has an example") from None
    try:
        return AccessRules.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"access file {path}: {problems}") from None


def access_from_environment() -> Access:
    """The rights of a server's stage, from the variables that `toonface serve` sets.

    Raises:
        ConfigError: the access file that they name is wrong.
    """
    file = os.environ.get(ACCESS_FILE_ENV)
    return Access(os.environ.get(ADMIN_TOKEN_ENV) or None, read_access_file(Path(file)) if file else None)


class Access:
    """Decides on the token of each request. Safe to share between threads."""

    def __init__(self, admin_token: str | None, rules: AccessRules | None = None) -> None:
        """Take the tokens over as digests.

        Args:
            admin_token: opens everything. With None, changes need no token, which is for servers that only their own
                host can reach.
            rules: who may read which gallery; with None, everybody all of them.

        Raises:
            ConfigError: the admin token is empty; or there is none, while reading is restricted.
        """
        if admin_token is not None and not admin_token.strip():
            raise ConfigError("the admin token is empty; give one of at least one character, or none at all")
        self._rules = rules or AccessRules()
        self._restricted = bool(self._rules.galleries) or self._rules.unlisted == "closed"
        if admin_token is None and self._restricted:
            raise ConfigError(
                "the access file restricts who may read, and there is no admin token: anybody could change what not "
                "everybody may read. Give an admin token as well"
            )
        self._admin = None if admin_token is None else _digest(admin_token)
        self._readers = {
            name: [_stored_digest(token) for token in gallery.read_tokens]
            for name, gallery in self._rules.galleries.items()
        }

    def check_admin(self, what: str, header: str | None) -> None:
        """Refuse what only an administrator may do, unless the admin token is shown or none is asked for.

        Args:
            what: what was asked for, for the message.
            header: value of the header `authorization`, ``Bearer <token>``, or None where there was none.

        Raises:
            PermissionDenied: the token is missing or wrong.
        """
        if self._admin is None:
            return
        if header is None:
            raise PermissionDenied(f"{what} needs the admin token: send the header '{TOKEN_HEADER}: Bearer <token>'")
        if not _shows(header, [self._admin]):
            raise PermissionDenied(
                f"{what} needs the admin token, and the one given is not right; "
                f"the header is '{TOKEN_HEADER}: Bearer <token>'"
            )

    def check_read(self, gallery: str, header: str | None) -> None:
        """Refuse to read or search a gallery without a token that opens it.

        Raises:
            PermissionDenied: the gallery is not open, and the token is missing or opens others.
        """
        if self.may_read(gallery, header):
            return
        given = "needs a token" if header is None else "needs another token than the one given"
        raise PermissionDenied(
            f"reading gallery {gallery!r} {given}: send the header '{TOKEN_HEADER}: Bearer <token>' with one of its "
            "read tokens, or the admin token"
        )

    def may_read(self, gallery: str, header: str | None) -> bool:
        """Whether a request with this header may read and search the gallery."""
        readers = self._readers.get(gallery)
        staging = self._restricted and STAGING_MARK in gallery
        if readers is None and self._rules.unlisted == "open" and not staging:
            return True
        opening = [*(readers or ()), *([] if self._admin is None else [self._admin])]
        return header is not None and _shows(header, opening)


def _shows(header: str, digests: list[bytes]) -> bool:
    """Whether a header shows one of the tokens, compared in constant time: all of them, and whole digests of each."""
    scheme, _, token = header.partition(" ")
    given = _digest(token.strip())
    right = [hmac.compare_digest(given, digest) for digest in digests]
    return scheme.lower() == "bearer" and any(right)


def _stored_digest(token: str) -> bytes:
    hashed = _HASHED.fullmatch(token)
    return bytes.fromhex(hashed[1]) if hashed else _digest(token)


def _digest(token: str) -> bytes:
    # Tokens are long and random, so their digests need no salt and no slow hash.
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
