"""What stands before a server that others than this machine reach: it encrypts, and asks for a token."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

# The server's answers about pictures are larger than gRPC lets pass by itself.
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class _Forwarding(grpc.GenericRpcHandler):
    """Passes every call on as it is; those to models must carry the token."""

    def __init__(self, channel: grpc.Channel, token: str) -> None:
        self._channel, self._token = channel, token

    def service(self, details: Any) -> Any:
        allowed = dict(details.invocation_metadata).get("authorization") == f"Bearer {self._token}"

        def forward(request: bytes, context: Any) -> bytes:
            if details.method.endswith("/ModelInfer") and not allowed:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "show your token")
            answer: bytes = self._channel.unary_unary(details.method)(request)
            return answer

        return grpc.unary_unary_rpc_method_handler(forward)


@contextmanager
def gateway(server: str, token: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """A gateway before the server at an address: its own address, and the certificate to trust, in `folder`."""
    certificate, key = folder / "gateway.pem", folder / "gateway.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with ThreadPoolExecutor(4) as threads, grpc.insecure_channel(server, _OPTIONS) as channel:
        standing = grpc.server(threads, handlers=[_Forwarding(channel, token)], options=_OPTIONS)
        own = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
        port = standing.add_secure_port("127.0.0.1:0", own)
        standing.start()
        try:
            yield f"127.0.0.1:{port}", certificate
        finally:
            standing.stop(None).wait()
