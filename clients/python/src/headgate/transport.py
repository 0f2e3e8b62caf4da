"""What both drivers say to httpx, and what httpx's failures mean. No sending here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ssl import SSLCertVerificationError, SSLError
from typing import Any
from urllib.parse import urlencode

import httpx

from headgate.errors import ClientClosed, ConnectionFailed, InvalidRequest, Timeout
from headgate.names import quoted
from headgate.settings import PREFIX, Settings, url_variable
from headgate.version import __version__
from headgate.wire import Answer, FileBody, Request, Server

PIECE_BYTES = 1 << 20
CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with its whole URL, all headers that we set, and the seconds that its answer may take."""

    method: str
    url: str
    headers: Mapping[str, str]
    seconds: float


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the arguments for either httpx client."""
    return {
        "timeout": timeout(settings.timeout),
        # No proxy can reach this machine's own loopback for us, whatever the environment says.
        "mounts": {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
        "follow_redirects": False,
    }


def stream_options(request: Request, prepared: Prepared) -> dict[str, Any]:
    """Return the arguments that either httpx client streams with; the timeout is that of each piece."""
    return {
        "method": prepared.method,
        "url": prepared.url,
        "headers": prepared.headers,
        "content": request.body,
        "timeout": timeout(prepared.seconds),
    }


def timeout(seconds: float) -> httpx.Timeout:
    """Return httpx's timeout for an answer that may take so many seconds; a connection may only take a few."""
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def require_open(client: httpx.Client | httpx.AsyncClient) -> None:
    """Raise ClientClosed where the client was closed: httpx would raise a RuntimeError, which is outside the tree."""
    if client.is_closed:
        raise ClientClosed("this client is closed; open another one, and use it inside its `with` statement")


def prepare(request: Request, settings: Settings) -> Prepared:
    """Return the request with its URL and headers."""
    base = _base(request.server, settings)
    query = f"?{urlencode(request.query)}" if request.query else ""
    headers = {"User-Agent": f"headgate-python/{__version__}", **request.headers}
    if settings.api_key is not None:
        headers["Authorization"] = f"Bearer {settings.api_key}"
    return Prepared(request.method, base + request.path + query, headers, max(settings.timeout, request.seconds))


def answer_from(response: httpx.Response, url: str) -> Answer:
    """Return httpx's answer as ours."""
    return Answer(response.status_code, {n.lower(): v for n, v in response.headers.items()}, response.content, url)


@contextmanager
def translated(prepared: Prepared, settings: Settings) -> Iterator[None]:
    """Turn httpx's failures into ours, with the URL and what may help."""
    server = Server.SERVING if prepared.url.startswith(settings.serving_url + "/") else Server.REGISTRY
    base = _base(server, settings)
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ConnectionFailed(
            f"{server} at {base} took no connection within {min(settings.timeout, CONNECT_SECONDS):g} s; "
            f"is {_variable(server, settings)} right?"
        ) from error
    except httpx.TimeoutException as error:
        raise Timeout(
            f"{server} at {base} did not answer within {prepared.seconds:g} s; "
            "HEADGATE_TIMEOUT_SECONDS sets how long to wait"
        ) from error
    except httpx.TransportError as error:
        raise _disconnected(error, server, settings) from error
    except OSError as error:  # never the network's: httpx has names of its own for those
        raise InvalidRequest(f"a file could not be read while it was sent: {error.strerror}") from error


def _disconnected(error: httpx.TransportError, server: Server, settings: Settings) -> ConnectionFailed:
    base = _base(server, settings)
    variable = _variable(server, settings)
    tls = _tls_failure(error) if base.startswith("https:") else None
    if isinstance(tls, SSLCertVerificationError):
        return ConnectionFailed(
            f"the certificate of {base} ({server}) is not trusted: {tls.verify_message}", code="untrusted_certificate"
        )
    if tls is not None:
        plain = base.replace("https:", "http:", 1)
        return ConnectionFailed(f"{base} ({server}) does not speak TLS; is {plain} meant in {variable}?", code="no_tls")
    if isinstance(error, httpx.ConnectError):
        return ConnectionFailed(f"nothing answers at {base} ({server}): is `make up` running, and is {variable} right?")
    return ConnectionFailed(f"the connection to {base} ({server}) broke before an answer came")


def _tls_failure(error: BaseException) -> SSLError | ConnectionResetError | None:
    """Return what ended the handshake, where that is what failed: TLS said so, or the other side hung up on it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (SSLError, ConnectionResetError)):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _base(server: Server, settings: Settings) -> str:
    return settings.registry_url if server is Server.REGISTRY else settings.serving_url


def _variable(server: Server, settings: Settings) -> str:
    """Return the variable to look at: the one that the URL came from, else the one that could hold it."""
    origin = settings.registry_origin if server is Server.REGISTRY else settings.serving_origin
    return origin if origin.startswith(PREFIX) else url_variable(server.value)


def count_sent(body: FileBody, sent: int, piece: bytes) -> int:
    """Return how much was sent with this piece, an empty one at the end; raise InvalidRequest if the file has changed.

    Checked here because httpx lets the error of the library below it out where a body is not as long as it was to be.
    """
    sent += len(piece)
    if sent > body.size or (not piece and sent != body.size):
        raise InvalidRequest(f"the file {quoted(body.path.name)} changed while it was sent; register it again")
    return sent
