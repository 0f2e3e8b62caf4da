"""What their status and metadata routes say of a version. Pure.

Source: ``get_model_status.proto``, ``get_model_metadata.proto`` and ``http_rest_api_util.cc`` of TensorFlow Serving.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.protocols.oip.values import ModelMetadata, TensorMetadata
from serving.protocols.tfs.body import DEFAULT_SIGNATURE

_STATES = {
    # Loaded, or to be loaded by the first request: whoever waits for AVAILABLE before asking would wait for ever.
    "ready": "AVAILABLE",
    "loading": "LOADING",
    "unloading": "UNLOADING",
    "unavailable": "END",
    # What the registry says of those that may not answer.
    "pending": "START",
    "checking": "START",
    "rejected": "END",
    "unreadable": "END",
}
_CODES = {"unavailable": "UNAVAILABLE", "rejected": "FAILED_PRECONDITION", "unreadable": "FAILED_PRECONDITION"}
_MESSAGES = {
    "rejected": "rejected at admission; the registry says why",
    "unreadable": "its signature cannot be read by this node",
}
SHOWN = frozenset(_STATES)
"""The states of versions that are shown: all but retired."""

_TYPES = {
    "BOOL": "DT_BOOL",
    "UINT8": "DT_UINT8",
    "UINT16": "DT_UINT16",
    "UINT32": "DT_UINT32",
    "UINT64": "DT_UINT64",
    "INT8": "DT_INT8",
    "INT16": "DT_INT16",
    "INT32": "DT_INT32",
    "INT64": "DT_INT64",
    "FP16": "DT_HALF",
    "BF16": "DT_BFLOAT16",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
}


def version_status(version: str, state: str, reason: str = "") -> dict[str, Any]:
    """Return a version's entry.

    Args:
        version: Its number.
        state: How it stands on this node, as the model repository has it, or in the registry; in small letters.
        reason: Why it cannot be asked, where that is known.
    """
    code = _CODES.get(state, "OK")
    message = "" if code == "OK" else reason or _MESSAGES.get(state, "")
    return {"version": version, "state": _STATES[state], "status": {"error_code": code, "error_message": message}}


def metadata(model: str, version: str, described: ModelMetadata) -> dict[str, Any]:
    """Return the answer of their metadata route: one signature, which is the default one."""
    signature = {
        "inputs": _tensors(described.inputs),
        "outputs": _tensors(described.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": model, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": {DEFAULT_SIGNATURE: signature}}},
    }


def _tensors(tensors: Sequence[TensorMetadata]) -> dict[str, Any]:
    return {each.name: _tensor(each) for each in tensors}


def _tensor(tensor: TensorMetadata) -> dict[str, Any]:
    dimensions = [{"size": str(length), "name": ""} for length in tensor.shape]
    return {
        "dtype": _TYPES.get(tensor.datatype, "DT_INVALID"),
        "tensor_shape": {"dim": dimensions, "unknown_rank": False},
        "name": f"{tensor.name}:0",
    }
