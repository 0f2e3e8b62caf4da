"""A model's output as bytes: JSON as MLflow shapes it, a table as an Arrow stream or CSV, or a picture. Pure.

The JSON is always valid: NaN and infinities are null. Numbers are the very ones that MLflow's server would write: a
32-bit float is written as the 64-bit float that it equals.
"""

from __future__ import annotations

from typing import Literal, cast

from registry.errors import InvalidRequest, quote
from serving.exchange import Output
from serving.protocols.answer_json import check_length, jsonable, write_json
from serving.protocols.compression import read_quality
from serving.protocols.limits import Limits
from serving.protocols.media_answer import ANSWERED, MediaWish, encode_media
from serving.protocols.request import Encoded
from serving.protocols.sse import MEDIA_TYPE

Format = Literal["application/json", "application/vnd.apache.arrow.stream", "text/csv"]

_JSON: Format = "application/json"
_ARROW: Format = "application/vnd.apache.arrow.stream"
_CSV: Format = "text/csv"
# In the order of preference where the caller has none.
_OFFERED: tuple[Format, ...] = (_JSON, _ARROW, _CSV)
_ALL = (*_OFFERED, *ANSWERED)


def accept_events(accept: str | None) -> Format:
    """Return what the events of a stream hold, by the Accept header; raise InvalidRequest ``not_acceptable``.

    Who accepts JSON is taken to mean what the events hold.
    """
    if accept is None or not accept.strip():
        return _JSON
    ranges = [_media_range(part) for part in accept[:4096].split(",")]
    for offered in (MEDIA_TYPE, _JSON):
        matching = [(_specificity(media), quality) for media, quality in ranges if _matches(media, offered)]
        if matching and max(matching)[1] > 0:
            return _JSON
    raise InvalidRequest(
        "not_acceptable",
        f"cannot answer with '{quote(accept)}'; a stream is {MEDIA_TYPE}",
        {"supported": [MEDIA_TYPE]},
    )


def choose_format(accept: str | None) -> Format | MediaWish:
    """Return what to answer with, by the Accept header (RFC 9110 §12.5.1); raise InvalidRequest ``not_acceptable``.

    A wish is for pictures or bytes, of which only the answer shows which it can be.
    """
    if accept is None or accept in ("*/*", _JSON) or not accept.strip():
        return _JSON
    ranges = [_media_range(part) for part in accept[:4096].split(",")]
    qualities: dict[str, float] = {}
    for offered in _ALL:
        # The most specific range that matches decides; it may also forbid, with q=0.
        matching = [(_specificity(media), quality) for media, quality in ranges if _matches(media, offered)]
        quality = max(matching)[1] if matching else 0.0
        if quality > 0:
            qualities[offered] = quality
    ordered = sorted(qualities, key=qualities.__getitem__, reverse=True)  # stable: the first of equals stays first
    if not ordered:
        raise InvalidRequest(
            "not_acceptable",
            f"cannot answer with '{quote(accept)}'; accept one of {', '.join(_ALL)}",
            {"supported": list(_ALL)},
        )
    texts = [kind for kind in ordered if kind in _OFFERED]
    if texts and texts[0] == ordered[0]:
        return texts[0]
    return MediaWish(tuple(kind for kind in ordered if kind in ANSWERED), texts[0] if texts else None)


def _media_range(part: str) -> tuple[str, float]:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            quality = read_quality(value)
    return media, quality


def _specificity(media: str) -> int:
    return 0 if media == "*/*" else 1 if media.endswith("/*") else 2


def _matches(media: str, offered: str) -> bool:
    return media in (offered, "*/*", offered.partition("/")[0] + "/*")


def encode_answer(
    output: Output, fmt: Format | MediaWish, limits: Limits, *, model: str, version: str, request_id: str
) -> Encoded:
    """Write an answer.

    Args:
        output: What the model returned.
        fmt: From ``choose_format``.
        limits: How long the answer may be, and how deep.
        model: Its name, written into JSON answers along with the next two.
        version: Its number.
        request_id: The request's.

    Raises ModelFault ``model_output_invalid`` for output that cannot be written, and InvalidRequest
    ``not_acceptable`` for output that is no table or picture where one was asked for.
    """
    if isinstance(fmt, MediaWish):
        encoded = encode_media(output, fmt, limits)
        if encoded is not None:
            check_length(len(encoded.body), limits)
            return encoded
        fmt = cast("Format", fmt.otherwise)
    if fmt == _JSON:
        body = write_json(
            {
                "predictions": jsonable(output, limits),
                "model_name": model,
                "model_version": version,
                "request_id": request_id,
            },
            limits,
            output.size,
        )
    else:
        from serving.protocols.answer_table import write_arrow, write_csv

        body = write_arrow(output, limits) if fmt == _ARROW else write_csv(output, limits)
    check_length(len(body), limits)
    return Encoded(fmt, body)
