"""What a server of the Open Inference Protocol says of itself and of the kind of its models. Pure.

Not here: what a model's tensors are (``metadata.py``), and how it stands on this node (``serving/http/repository.py``).
Sources: ``inference_rest.md`` of kserve/open-inference-protocol, ``model_config.proto`` of Triton.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from serving.protocols.oip.values import ModelMetadata, TensorMetadata

SERVER = "headgate"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
)
"""Exactly what is implemented: clients look for these words. ``schedule_policy``: a request's priority and timeout."""
_ONNX = "onnx_onnxv1"
_CONFIG_TYPES = {"BYTES": "TYPE_STRING"}


def platform_of(flavors: Collection[str]) -> str:
    """Return what the protocol calls a kind of model, ``<project>_<format>``, by its MLflow flavours."""
    if "onnx" in flavors:
        return _ONNX
    own = [flavor for flavor in flavors if flavor != "python_function"]
    return f"mlflow_{own[0] if own else 'pyfunc'}"


def config_of(
    model: str, platform: str, versions: Sequence[str], instances: int, tensors: ModelMetadata
) -> dict[str, Any]:
    """Return a model's configuration in Triton's words: what it takes, and what of the rest is true here.

    Args:
        model: Its name.
        platform: Of ``platform_of``.
        versions: Those that are served: the plan's.
        instances: How many processes each has on a node.
        tensors: Of one of them.
    """
    return {
        "name": model,
        "platform": platform,
        "backend": platform.partition("_")[0],
        "version_policy": {"specific": {"versions": [int(version) for version in versions]}},
        "max_batch_size": 0,  # in Triton's sense: the batch's dimension is one of ``dims``
        "input": [_config_tensor(tensor) for tensor in tensors.inputs],
        "output": [_config_tensor(tensor) for tensor in tensors.outputs],
        "instance_group": [{"name": model, "kind": "KIND_CPU", "count": instances}],
    }


def _config_tensor(tensor: TensorMetadata) -> dict[str, Any]:
    kind = _CONFIG_TYPES.get(tensor.datatype, f"TYPE_{tensor.datatype}")
    return {"name": tensor.name, "data_type": kind, "dims": list(tensor.shape)}
