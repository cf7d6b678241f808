"""Encrypted connections, against a tritonserver with certificates made for the occasion."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocking_client import Blocking
from click.testing import CliRunner
from stand_in_server import picture, tritonserver

from toonface_client import RetryPolicy, Tls, ToonfaceClient
from toonface_client.cli import main
from toonface_contract import errors

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, and a certificate of it that serves the server and the client."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    openssl(*new, "-subj", "/CN=authority", "-keyout", "root.key", "-out", "root.pem")
    openssl(
        *new,
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-addext", "basicConstraints=critical,CA:FALSE", "-CA", "root.pem", "-CAkey", "root.key"),
        *("-keyout", "peer.key", "-out", "peer.pem"),
    )
    return folder


@pytest.fixture(scope="module")
def guarded(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a stand-in that encrypts, and asks clients for a certificate."""
    with tritonserver(
        tmp_path_factory.mktemp("guarded"),
        *("--grpc-use-ssl", "true", "--grpc-use-ssl-mutual", "true"),
        *("--grpc-server-cert", f"{certificates}/peer.pem", "--grpc-server-key", f"{certificates}/peer.key"),
        *("--grpc-root-cert", f"{certificates}/root.pem"),
    ) as address:
        yield address


@pytest.fixture(scope="module")
def tls(certificates: Path) -> Tls:
    return Tls(certificates / "root.pem", certificates / "peer.key", certificates / "peer.pem")


@pytest.mark.parametrize("kind", [ToonfaceClient, Blocking])
def test_both_sides_show_their_certificates(kind: type[ToonfaceClient], guarded: str, tls: Tls) -> None:
    client = kind(address=guarded, tls=tls)
    assert len(client.recognize(picture(2)).faces) == 2
    client.close()


def test_strangers_and_clear_text_are_refused(guarded: str, certificates: Path, tls: Tls) -> None:
    once = RetryPolicy(attempts=1)
    for refused in (None, Tls(), Tls(certificates / "root.pem")):
        with ToonfaceClient(guarded, tls=refused, retry=once) as client, pytest.raises(errors.Unavailable):
            client.recognize(picture(), timeout=5)


def test_the_command_line_takes_certificates(guarded: str, certificates: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(2))
    options = ["--tls-root", f"{certificates}/root.pem"]
    options += ["--tls-key", f"{certificates}/peer.key", "--tls-cert", f"{certificates}/peer.pem"]
    ran = CliRunner().invoke(main, ["recognize", f"{tmp_path}/a.png", "--address", guarded, *options])
    assert ran.exit_code == 0, ran.output
    assert "Grace" in ran.output
    refused = CliRunner().invoke(main, ["status", "--address", guarded, "--tls", "--tls-key", options[3]])
    assert refused.exit_code == 1
    assert "come together" in refused.stderr
