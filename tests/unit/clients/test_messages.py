"""What the client says when something is not as it should be: the cause in one line, and the way out."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from headgate import BadSettings, Client, ConnectionFailed, InvalidRequest, NotFound
from headgate.cli import checks
from headgate.cli.app import app
from headgate.encoding import encode
from headgate.names import a_type, quoted, version_number
from headgate.settings import resolve
from typer.testing import CliRunner, Result

from tests.support.fake_platform import FakePlatform

Run = Callable[..., Result]


@pytest.fixture
def run(fake: FakePlatform, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the fake platform."""
    monkeypatch.setenv("HEADGATE_REGISTRY_URL", fake.registry_url)
    monkeypatch.setenv("HEADGATE_SERVING_URL", fake.serving_url)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)


@pytest.fixture
def plain_port() -> Iterator[int]:
    """Give a port whose server speaks HTTP without TLS."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


def test_a_port_alone_is_enough() -> None:
    """Where only the port of a process is set, its URL is this machine's; a URL wins over it."""
    env = {"HEADGATE_REGISTRY_PORT": "5001", "HEADGATE_SERVING_PORT": "8081", "HEADGATE_SERVING_URL": "http://s"}
    settings = resolve(environment=env)
    assert (settings.registry_url, settings.registry_origin) == ("http://127.0.0.1:5001", "HEADGATE_REGISTRY_PORT")
    assert (settings.serving_url, settings.serving_origin) == ("http://s", "HEADGATE_SERVING_URL")
    assert resolve("http://mine", environment=env).registry_origin == "argument"


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1", "٥", "1" * 5000])
def test_a_port_that_cannot_be_is_named(port: str) -> None:
    """A port variable that no process could use is told by its name."""
    with pytest.raises(BadSettings, match="HEADGATE_SERVING_PORT must be a port"):
        resolve(environment={"HEADGATE_SERVING_PORT": port})


def test_doctor_says_where_a_url_came_from() -> None:
    """Each URL is shown with the variable, the argument or the default behind it."""
    found = checks.check_settings(resolve("http://mine", environment={"HEADGATE_SERVING_PORT": "8081"})).found
    assert "http://mine (given here)" in found
    assert "http://127.0.0.1:8081 (HEADGATE_SERVING_PORT)" in found
    assert "(default)" in checks.check_settings(resolve(environment={})).found


def test_the_port_variable_is_named_where_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message points to the variable that the URL really came from."""
    monkeypatch.setenv("HEADGATE_REGISTRY_PORT", "9")
    with Client() as client, pytest.raises(ConnectionFailed, match="is HEADGATE_REGISTRY_PORT right"):
        client.models()


def test_swapped_urls_are_told(fake: FakePlatform) -> None:
    """Where each process answers at the other's URL, every verb says so."""
    fake.situation.add("churn")
    with Client(fake.serving_url, fake.registry_url) as client:
        for ask in (client.models, lambda: client.promote("churn", 1), lambda: client.register("runs:/a/m", "churn")):
            with pytest.raises(BadSettings, match="is a serving node, not a registry: swap the URLs") as caught:
                ask()
            assert caught.value.message.startswith(fake.serving_url + " ")
        with pytest.raises(BadSettings, match="is a registry, not a serving node: swap the URLs"):
            client.predict("churn", [1])
        status = client.status()
    assert (status.registry.kind, status.registry.ready, status.serving.kind) == ("serving", False, "registry")
    assert [checks.check_process(p).advice for p in (status.registry, status.serving)] == [
        "correct HEADGATE_REGISTRY_URL", "correct HEADGATE_SERVING_URL",
    ]  # fmt: skip


def test_swapped_urls_on_the_command_line(run: Run, fake: FakePlatform) -> None:
    """Status shows both as wrong, and a command ends with 2 and one line."""
    words = ("--registry-url", fake.serving_url, "--serving-url", fake.registry_url)
    result = run(*words, "status")
    assert result.exit_code == 1
    assert result.stdout.count("wrong") == 2
    result = run(*words, "models")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_what_is_not_there_is_not_a_swap(client: Client, fake: FakePlatform) -> None:
    """A model that does not exist is told as that, without a look at who answers."""
    with pytest.raises(NotFound) as caught:
        client.model("nobody")
    assert (caught.value.code, caught.value.details["model"]) == ("unknown_model", "nobody")
    assert fake.situation.count("readyz") == 0


def test_https_to_a_plain_port(plain_port: int) -> None:
    """A server without TLS is not said to be away."""
    url = f"https://127.0.0.1:{plain_port}"
    with Client(url) as client, pytest.raises(ConnectionFailed, match="does not speak TLS") as caught:
        client.models()
    assert f"http://127.0.0.1:{plain_port}" in caught.value.message


@pytest.mark.parametrize(
    ("raw", "meant"),
    [("v1", "1"), ("V12", "12"), ("version 3", "3"), ("#2", "2"), ("01", "1"), ("1.0", "1"), (2.0, "2")],
)
def test_a_version_that_was_nearly_right(raw: str, meant: str) -> None:
    """What people write for a version gets the spelling that holds."""
    with pytest.raises(InvalidRequest, match=rf"did you mean {meant}\?$"):
        version_number(raw)


@pytest.mark.parametrize("raw", ["latest", "", "v0", "-1", "1.5", True])
def test_nothing_is_guessed(raw: str) -> None:
    """Where no version can have been meant, none is offered."""
    with pytest.raises(InvalidRequest, match="is no version") as caught:
        version_number(raw)
    assert "mean" not in caught.value.message


def test_an_unknown_model_gets_the_nearest_name(run: Run, fake: FakePlatform) -> None:
    """A misspelt model is answered with the one that was meant, for one more GET, whichever process was asked."""
    for name in ("breast-cancer", "Diabetes", "lasso"):
        fake.situation.add(name)
    assert run("versions", "brest-cancer").stderr.endswith("; did you mean breast-cancer?\n")
    assert fake.situation.count("GET /registry/v1/models$") == 1
    assert run("predict", "diabetes", "-d", "[1]").stderr.endswith("; did you mean Diabetes?\n")
    assert "mean" not in run("models", "show", "nothing-like-it").stderr


@pytest.mark.parametrize(
    ("raw", "shown"),
    [("Grüße", "'Grüße'"), ("日本", "'日本'"), ("a\nb\x1b", r"'a\nb\x1b'"), ("ü" * 70, f"'{'ü' * 64}…'")],
)
def test_names_are_quoted_as_they_were_sent(raw: str, shown: str) -> None:
    """Letters of any script stay; only what would steer a terminal is escaped."""
    assert quoted(raw) == shown


@pytest.mark.parametrize(("value", "words"), [(object(), "an object"), (1, "an int"), ([], "a list")])
def test_articles(value: object, words: str) -> None:
    """A type is told with the article that its name takes."""
    assert a_type(value) == words


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs"])
def test_a_whole_body_goes_as_it_is(client: Client, fake: FakePlatform, form: str) -> None:
    """A dict of serving's own forms is not taken for columns, with or without params."""
    fake.situation.add("churn")
    fake.situation.answer = lambda body: [1]
    for body in ({form: [{"a": 1}]}, {form: [{"a": 1}], "params": {"t": 1}}):
        assert client.predict("churn", body, version=1) == [1]
        assert json.loads(fake.situation.bodies[-1][1]) == body


def test_a_whole_body_with_arrays_is_answered_with_arrays() -> None:
    """A tensor inside a body counts as one; params beside it join it; twice is too many."""
    encoded = encode({"inputs": {"x": np.arange(2.0)}}, {"t": 1})
    assert json.loads(encoded.body) == {"inputs": {"x": [0.0, 1.0]}, "params": {"t": 1}}
    assert encoded.kind.name == "ARRAY"
    with pytest.raises(InvalidRequest, match="twice"):
        encode({"inputs": [1], "params": {"t": 1}}, {"t": 2})


@pytest.mark.parametrize("columns", [{"inputs": [1], "age": [2]}, {"params": [1]}, {}])
def test_other_dicts_are_columns(columns: dict[str, object]) -> None:
    """A dict with any other key, or with no form, is columns as before."""
    assert json.loads(encode(columns).body) == {"inputs": columns}
