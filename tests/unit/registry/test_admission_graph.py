"""Admission tells where a version will run, in words, and rejects nothing for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.admission.graph import HOST, INLINE, runtime_of
from registry.admission.mlmodel import parse_mlmodel
from registry.admission.tier import tier_of
from registry.errors import Unavailable
from registry.records import Digest, ManifestEntry
from tests.support.onnx_models import GRAPHS, SavedGraphs, dense, graph, node, saved_graphs

__all__ = ["saved_graphs"]


def decide(directory: Path) -> tuple[str, str]:
    """Return what admission would say of a model directory."""
    files, blobs = {}, {}
    for number, path in enumerate(sorted(p for p in directory.rglob("*") if p.is_file())):
        digest = Digest(f"sha256:{number:064x}")
        blobs[digest] = path.read_bytes()
        name = str(path.relative_to(directory))
        files[name] = ManifestEntry(name, len(blobs[digest]), digest)
    model = parse_mlmodel((directory / "MLmodel").read_bytes())
    return runtime_of(model, tier_of(model, files)[0], files, lambda digest, limit: blobs[digest])


@pytest.mark.parametrize("kind", ["unsigned", "tensors", "columns"])
@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_honest_graphs_are_for_the_serving_process(saved_graphs: SavedGraphs, name: str, kind: str) -> None:
    """What people export runs inline, however it is signed."""
    runtime, why = decide(saved_graphs.get(name, kind).directory)
    assert (runtime, why) == (INLINE, "runs in the serving process: every operator is on the list")


def test_graph_with_an_unlisted_operator_is_admitted_for_a_host(saved_graphs: SavedGraphs, tmp_path: Path) -> None:
    """The reason names the operator; the version is as good as any other."""
    saved_graphs.save(tmp_path / "m", GRAPHS["linear"]())
    (tmp_path / "m" / "model.onnx").write_bytes(graph([node("Loop", ["", "", "x"], ["y"])]))
    runtime, why = decide(tmp_path / "m")
    assert runtime == HOST
    assert why == "runs in a process of its own: operator Loop (ai.onnx) is not on the list"


@pytest.mark.parametrize("beside", [b"import os", b"nothing at all"])
def test_python_beside_a_graph_means_a_host(saved_graphs: SavedGraphs, tmp_path: Path, beside: bytes) -> None:
    """A version whose loader may execute something never runs in the serving process."""
    saved_graphs.save(tmp_path / "m", GRAPHS["linear"]())
    (tmp_path / "m" / "x.py").write_bytes(beside)
    assert decide(tmp_path / "m")[0] == HOST


def test_weights_in_a_file_that_did_not_come_along_mean_a_host(saved_graphs: SavedGraphs, tmp_path: Path) -> None:
    """Weights beside the graph are weighed; missing or short ones are a reason."""
    saved_graphs.save(tmp_path / "m", dense(20, 64, 2))
    (weights,) = (tmp_path / "m").glob("*.data")
    assert decide(tmp_path / "m")[0] == INLINE
    weights.write_bytes(weights.read_bytes()[:-1])
    assert decide(tmp_path / "m") == (
        HOST,
        "runs in a process of its own: a weight lies in a file that is not there, or beyond its end",
    )


def test_store_that_is_away_is_no_verdict_on_a_graph(saved_graphs: SavedGraphs) -> None:
    """Where the graph cannot be had, admission waits."""
    directory = saved_graphs.get("linear").directory
    model = parse_mlmodel((directory / "MLmodel").read_bytes())
    files = {"model.onnx": ManifestEntry("model.onnx", 10, Digest("sha256:" + "0" * 64))}

    def away(digest: Digest, limit: int) -> bytes:
        raise Unavailable("artifact_unavailable", "away")

    with pytest.raises(Unavailable):
        runtime_of(model, tier_of(model, files)[0], files, away)
