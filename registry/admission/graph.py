"""Where a version will run: in the serving process itself, or in a process of its own.

Only a graph of known operators and bounded sizes runs inline; for everything else, whatever is wrong with it, a process
of its own is the answer and no reason to reject it. Not here: the judgement (``registry/graphs``), and the probe that a
node still makes before it loads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from registry.admission.mlmodel import ModelFile
from registry.errors import HeadgateError, Unavailable
from registry.graphs.fit import GRAPH_FILE, flavor_misfit, signature_misfit
from registry.graphs.judge import MAX_FILE_BYTES, judge
from registry.records import Digest, ManifestEntry, Tier

INLINE, HOST = "inline", "host"


def runtime_of(
    model: ModelFile,
    tier: Tier,
    files: Mapping[str, ManifestEntry],
    read: Callable[[Digest, int], bytes],
) -> tuple[str, str]:
    """Return the runtime of a version, and why, in words; raise nothing but Unavailable.

    Args:
        model: Its MLmodel file.
        tier: Its tier.
        files: Its sealed files.
        read: Returns a sealed file of at most so many bytes.
    """
    why = _misfit(model, tier, files, read)
    if why:
        return HOST, f"runs in a process of its own: {why}"
    return INLINE, "runs in the serving process: every operator is on the list"


def _misfit(
    model: ModelFile, tier: Tier, files: Mapping[str, ManifestEntry], read: Callable[[Digest, int], bytes]
) -> str:
    if tier is not Tier.DATA or model.loader_module != "mlflow.onnx":
        return "it is no ONNX graph alone"
    why = flavor_misfit(model.flavors.get("onnx", {}), model.flavors.get("python_function", {}))
    if why:
        return why
    entry = files.get(GRAPH_FILE)
    if entry is None:
        return f"there is no file {GRAPH_FILE}"
    if entry.size > MAX_FILE_BYTES:
        return f"its graph is larger than {MAX_FILE_BYTES >> 20} MiB"
    beside = {path: file.size for path, file in files.items() if "/" not in path}
    try:
        judged = judge(read(entry.digest, MAX_FILE_BYTES), beside)
        return judged.reason or signature_misfit(model.signature, judged)
    except Unavailable:
        raise
    except (HeadgateError, ValueError) as error:
        return f"it cannot be judged ({type(error).__name__})"
