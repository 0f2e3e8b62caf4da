"""What a node tells those who keep something for its versions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from registry.snapshots import ServableVersion
from serving.bootstrap import Node
from serving.parts import Parts
from serving.settings import load_settings
from tests.support.serving_fakes import FakeCache, FakeRegistry, FakeRuntime, eventually
from tests.support.serving_node import churn


def test_every_version_that_may_answer_is_told(tmp_path: Path) -> None:
    """Also after a restart without the registry, from the snapshot on disk: what they need must not be removed."""
    heard: list[set[str]] = []

    def hear(versions: Iterable[ServableVersion]) -> None:
        heard.append({version.version for version in versions})

    async def life(registry: FakeRegistry) -> None:
        heard.clear()
        node = Node(
            load_settings({"HEADGATE_HOME": str(tmp_path), "HEADGATE_GRPC_PORT": "0"}),
            Parts(registry, FakeCache(), FakeRuntime(), retain=hear),
        )
        await node.start()
        await eventually(lambda: bool(heard))
        await node.stop()
        assert heard[0] == {"1", "2", "3"}

    asyncio.run(life(FakeRegistry(churn())))
    silent = FakeRegistry(churn())
    silent.down = True
    asyncio.run(life(silent))
