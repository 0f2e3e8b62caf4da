"""The client for an event loop: the same verbs, the same answers."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from headgate import AsyncClient, Client, ConnectionFailed, NotFound

from tests.support.fake_platform import FakePlatform, free_port


def test_both_clients_have_the_same_methods() -> None:
    """Whatever one can do, the other can, with the same parameters."""

    def verbs(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(kind).items()
            if callable(member) and not name.startswith("_")
        }

    assert verbs(Client) == verbs(AsyncClient)


async def _tour(fake: FakePlatform) -> list[object]:
    async with AsyncClient(fake.registry_url, fake.serving_url) as client:
        await client.promote("churn", 1)
        await client.promote("churn", 2, note="n")
        await client.rollback("churn")
        await client.set_alias("churn", "champion", 2)
        await client.delete_alias("churn", "champion")
        answers = await asyncio.gather(*(client.predict("churn", [[i]]) for i in range(20)))
        status = await client.status()
        return [
            [m.name for m in await client.models()],
            (await client.model("churn")).stable,
            [v.version for v in await client.versions("churn")],
            (await client.version("churn", 1)).state,
            (await client.traffic("churn")).revision,
            len(await client.history("churn")),
            (await client.wait_until_ready("churn", 2)).state,
            answers,
            (await client.predict_response("churn", [[1]], version=2)).arm,
            (await client.predict_body("churn", b'{"inputs": 1}', alias=None)).data,
            status.registry.ready and status.serving.ready,
        ]


def test_every_verb_works(fake: FakePlatform) -> None:
    """One walk through all verbs gives what the blocking client gives."""
    fake.situation.add("churn", 2)
    fake.situation.answer = lambda body: body["inputs"]
    assert asyncio.run(_tour(fake)) == [
        ["churn"], "1", ["2", "1"], "ready", 3, 3, "ready", [[[i]] for i in range(20)], "pinned", 1, True,
    ]  # fmt: skip


def test_errors_are_the_same(fake: FakePlatform) -> None:
    """The tree of errors is one."""

    async def ask(url: str) -> None:
        async with AsyncClient(url) as client:
            await client.model("nobody")

    with pytest.raises(NotFound):
        asyncio.run(ask(fake.registry_url))
    with pytest.raises(ConnectionFailed):
        asyncio.run(ask(f"http://127.0.0.1:{free_port()}"))
