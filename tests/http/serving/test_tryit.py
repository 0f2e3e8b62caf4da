"""A version's own page and OpenAPI document, with whatever its signature and its example hold."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from registry.signature import Schema, Tensor, parse_signature
from registry.snapshots import ServableVersion
from serving.http.described import Described, document_of
from serving.http.tryit.page import MOST_LISTED, page_of
from serving.protocols.made_up import made_up_body
from serving.sources.examples import FILE
from tests.support.bucket import Bucket
from tests.support.serving_fakes import servable, snapshot
from tests.support.serving_node import FakeWorld, running

pytestmark = pytest.mark.anyio
EVIL = "</textarea></pre><script>alert(1)</script>'\"&{{7*7}}"
SIGNATURE = {
    "inputs": [
        {"type": "double", "name": "age", "required": True},
        {"type": "double", "name": "calls", "required": False},
    ],
    "outputs": [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}],
    "params": [{"name": "threshold", "type": "double", "default": 0.5, "shape": None}],
}
HOSTILE = {
    "inputs": [{"type": "double", "name": EVIL, "required": True}, {"type": "string", "name": "a\u202eb\x00", "x": 1}],
    "outputs": [{"type": "double", "name": EVIL, "required": True}],
    "params": [{"name": EVIL, "type": "string", "default": EVIL, "shape": None}],
}
EXAMPLE = {"dataframe_split": {"columns": ["age", "calls"], "data": [[41.5, 2.0], [17.0, 0.0]]}}


def sealed_version(bucket: Bucket, number: str, example: bytes | None, signature: Any) -> ServableVersion:
    """Return a version whose artifact is in the bucket."""
    files = {"MLmodel": number.encode()} | ({} if example is None else {FILE: example})
    return dataclasses.replace(servable(number, number, signature), digest=bucket.sealed.put(files))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    """Give a node: 1 has an example and is stable, 2 is hostile, 3 takes images, 4 is unknown, 5's example is wrong."""
    bucket = Bucket()
    image = {"inputs": [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 2, 2]}}]}
    versions = {
        "1": sealed_version(bucket, "1", json.dumps(EXAMPLE).encode(), SIGNATURE),
        "2": sealed_version(bucket, "2", json.dumps({"inputs": [[EVIL]]}).encode(), HOSTILE),
        "3": sealed_version(bucket, "3", None, image),
        "4": sealed_version(bucket, "4", None, None),
        "5": sealed_version(bucket, "5", b'{"inputs": NaN}', SIGNATURE),
    }
    churn = snapshot(versions=versions, stable="1", revision=7, others={"9": "rejected"})
    async with running(tmp_path, churn, snapshot("planless", stable=None), store=bucket) as world:
        yield world


class Text(HTMLParser):
    """Collects what a browser would show, and every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside: list[str] = []
        self.by_tag: dict[str, list[str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)
        self.by_tag.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        """Leave a tag."""
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data
        if self.inside:
            self.by_tag[self.inside[-1]][-1] += data


async def document(world: FakeWorld, path: str) -> dict[str, Any]:
    """Return a document, checked by an OpenAPI validator."""
    answer = await world.client.get(f"{path}/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = answer.json()
    OpenAPIV31SpecValidator(found).validate()
    return found


async def test_a_version_has_a_document_of_its_own(world: FakeWorld) -> None:
    """Its real columns, types, parameters with defaults, and the saved example, which fits the schema and is taken."""
    found = await document(world, "/models/churn/versions/1")
    (path,) = found["paths"]
    assert path == "/models/churn/versions/1/predict"
    body = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    schemas = found["components"]["schemas"]
    assert body["example"] == EXAMPLE
    assert (list(schemas["Row"]["properties"]), schemas["Row"]["required"]) == (["age", "calls"], ["age"])
    assert schemas["Params"]["properties"]["threshold"]["default"] == 0.5
    Draft202012Validator({**found, **body["schema"]}).validate(body["example"])
    answer = await world.client.post(path, json=body["example"])
    Draft202012Validator({**found, "$ref": "#/components/schemas/Answer"}).validate(answer.json())


async def test_the_plans_document_describes_the_stable_version(world: FakeWorld) -> None:
    """Without a version it is the plan's predict, which another version may answer."""
    found = await document(world, "/models/churn")
    assert list(found["paths"]) == ["/models/churn/predict"]
    assert "version 1, which revision 7" in found["info"]["description"]
    assert found["components"]["schemas"]["Answer"]["properties"]["model_version"] == {"type": "string"}


@pytest.mark.parametrize("there", ["/models/churn", "/models/churn/versions/1"])
async def test_page_and_document_stand_where_mlserver_has_them(world: FakeWorld, there: str) -> None:
    """Below /v2 they are the same bytes; who is not there is an error of that protocol."""
    for ours, theirs in (("docs", "docs"), ("openapi.json", "docs/dataplane.json")):
        same = await world.client.get(f"{there}/{ours}")
        answer = await world.client.get(f"/v2{there}/{theirs}")
        assert (answer.status_code, answer.content) == (200, same.content)
        assert answer.headers["content-type"] == same.headers["content-type"]
    missing = await world.client.get("/v2/models/nobody/docs/dataplane.json")
    assert (missing.status_code, list(missing.json())) == (404, ["error"])


@pytest.mark.parametrize("number", ["2", "3", "4", "5"])
async def test_any_version_has_a_valid_document(world: FakeWorld, number: str) -> None:
    """Hostile names, tensors, nothing known, a broken example: the document is valid, and its example is taken."""
    found = await document(world, f"/models/churn/versions/{number}")
    (path,) = found["paths"]
    body = found["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    assert ("example" in body) == (number != "4")
    if number in ("3", "5"):
        assert (await world.client.post(path, json=body["example"])).status_code == 200


@pytest.mark.parametrize("page", ["docs", "openapi.json"])
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/models/nobody", 404, "unknown_model"),
        ("/models/planless", 404, "no_plan"),
        ("/models/churn/versions/8", 404, "unknown_version"),
        ("/models/churn/versions/01", 404, "unknown_version"),
        ("/models/churn/versions/9", 422, "not_servable"),
        ("/models/.hidden", 400, "invalid_name"),
    ],
)
async def test_who_is_not_there_has_no_page(world: FakeWorld, path: str, page: str, status: int, code: str) -> None:
    """The errors are those of predicting."""
    answer = await world.client.get(f"{path}/{page}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_the_page_shows_the_version_and_how_to_ask_it(world: FakeWorld, tmp_path: Path) -> None:
    """Inputs, outputs, parameters, the example as the form's body, curl and Python; it loads nothing."""
    world.cache.directory = tmp_path
    (tmp_path / FILE).write_text(json.dumps(EXAMPLE))
    await world.client.post("/models/churn/predict", json=EXAMPLE)
    answer = await world.client.get("/models/churn/docs")
    page = Text(answer.text)
    assert json.loads(page.by_tag["textarea"][0]) == EXAMPLE
    for told in ("age", "calls", "threshold", "0.5", "It is loaded on this node", "saved with the version"):
        assert told in page.text
    curl, python = page.by_tag["pre"][1:]
    assert "http://127.0.0.1:8080/models/churn/predict" in curl
    assert json.dumps(EXAMPLE) in curl
    compile(python, "snippet", "exec")
    (form,) = [attributes for tag, attributes in page.tags if tag == "form"]
    assert form["data-path"] == "/models/churn/predict"
    assert not [a for _, a in page.tags if "src" in a or any(name.startswith("on") or name == "style" for name in a)]
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert links == {"/models/churn/openapi.json", "/models/churn", "/docs"}


async def test_the_policy_allows_the_pages_own_script_and_nothing_else(world: FakeWorld) -> None:
    """The hashes are those of the one script and the one style; nothing inline beside them, no other address."""
    answer = await world.client.get("/models/churn/versions/2/docs")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    assert (policy["connect-src"], policy["base-uri"], policy["form-action"]) == ("'self'", "'none'", "'none'")
    assert "unsafe" not in answer.headers["content-security-policy"]


async def test_hostile_names_are_text(world: FakeWorld) -> None:
    """A signature's names and defaults close no tag, open none, and turn no text around."""
    for number in ("2", "5"):
        answer = await world.client.get(f"/models/churn/versions/{number}/docs")
        assert len(re.findall("<script", answer.text)) == 1
        assert "\u202e" not in answer.text
        assert "\x00" not in answer.text
    page = Text((await world.client.get("/models/churn/versions/2/docs")).text)
    assert EVIL in page.text
    assert "a\\u202eb\\x00" in page.text
    assert json.loads(page.by_tag["textarea"][0])["dataframe_split"]["columns"][0] == EVIL
    assert "no request that its signature takes" in page.text


async def test_a_cold_version_whose_example_cannot_be_had_has_a_page(tmp_path: Path) -> None:
    """With the bucket down the page has a body made up from the signature, and says so."""
    bucket = Bucket()
    version = sealed_version(bucket, "1", json.dumps(EXAMPLE).encode(), SIGNATURE)
    bucket.sealed.down = True
    async with running(tmp_path, snapshot(versions={"1": version}), store=bucket) as world:
        page = Text((await world.client.get("/models/churn/docs")).text)
        assert "made up from the signature; the example saved with this version cannot be fetched now" in page.text
        assert world.runtime.loads[version.digest] == 0


async def test_the_list_of_routes_links_to_the_pages(world: FakeWorld) -> None:
    """Models with a plan are linked; the page itself stays text."""
    answer = await world.client.get("/docs")
    assert "href='/models/churn/docs'" in answer.text
    assert "planless" not in answer.text


def described(inputs: Schema | None = None, example: Any = None, **more: Any) -> Described:
    """Return a version without a node around it."""
    facts: dict[str, Any] = {"outputs": None, "params": (), "state": "cold", "origin": "", "planned": False}
    return Described(
        model="churn",
        version="1",
        path="/models/churn/versions/1/predict",
        revision=7,
        **{**facts, **more},
        inputs=inputs,
        example=example,
    )


def test_ten_thousand_columns_make_a_page_that_opens() -> None:
    """The page lists some hundreds and says how many more there are; the document has all."""
    columns = [{"type": "double", "name": f"c{n}", "required": True} for n in range(10_000)]
    inputs = parse_signature({"inputs": columns}).inputs
    version = described(inputs, made_up_body(inputs))
    page = page_of(version, "http://127.0.0.1:8080").decode()
    assert page.count("<th scope='row'>") == MOST_LISTED
    assert "And 9500 more" in page
    assert "request.json" in page
    assert len(json.loads(document_of(version, "0"))["components"]["schemas"]["Row"]["properties"]) == 10_000


def test_half_characters_and_numbers_beyond_json_break_nothing() -> None:
    """A lone surrogate in a name is written as its escape; a default of NaN is null."""
    raw = {
        "inputs": [{"type": "double", "name": "\ud800", "required": True}],
        "params": [{"name": "\udfff", "type": "double", "default": float("nan"), "shape": None}],
    }
    signature = parse_signature(raw)
    version = described(signature.inputs, made_up_body(signature.inputs), params=signature.params)
    page_of(version, "http://127.0.0.1:8080").decode()
    found = json.loads(document_of(version, "0"))
    assert found["components"]["schemas"]["Params"]["properties"]["\udfff"]["default"] is None


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.text(), st.dictionaries(st.text(), _json, min_size=1, max_size=3))
def test_any_name_and_any_example_come_out_as_they_went_in(name: str, example: dict[str, Any]) -> None:
    """The form's body is the example, value for value, and the page has the tags that it always has."""
    inputs = Schema(tensors=(Tensor(name, "float64", (-1,)),))
    page = Text(page_of(described(inputs, example), "http://127.0.0.1:8080").decode())
    assert json.loads(page.by_tag["textarea"][0]) == example
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1
    assert {tag for tag, _ in page.tags} <= set(ALLOWED.split())


ALLOWED = (
    "html head meta title style body header main footer h1 h2 h3 p code nav ul li a div form label textarea input "
    "button noscript section dl pre table thead tbody tr th td script"
)
