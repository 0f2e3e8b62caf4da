"""What tensors are pictures, and how their axes lie. Pure.

    (N, H, W, C)  (H, W, C)     channels last, C from 1 to 4
    (N, C, H, W)  (C, H, W)     channels first
    (N, H, W)     (H, W)        grey; H and W must be declared

N is 1 or any; H and W of coloured pictures may be any. Where both readings fit, channels are last. A shape that does
not say how many channels there are is no picture's: a model for any number of them would have to be told which.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from registry.signature import Tensor
from serving.exchange import Array
from serving.values import value

MOST_CHANNELS = 4


@value
class Picture:
    """A tensor that is a picture: its size in pixels (-1 is any), its channels, and how its axes lie."""

    height: int
    width: int
    channels: int
    axes: Literal["hwc", "chw", "hw"]
    many: bool

    def arrange(self, pixels: Array) -> Array:
        """Return pixels (height, width, channels) as the tensor has them."""
        if self.axes == "chw":
            pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        elif self.axes == "hw":
            pixels = pixels[:, :, 0]
        return pixels[np.newaxis] if self.many else pixels


def picture_of(tensor: Tensor) -> Picture | None:
    """Return how a picture lies in a tensor; None where it is none, or cannot hold numbers from 0 to 255."""
    return _lying(tensor.shape) if _holds_bytes(tensor.dtype) else None


def _holds_bytes(name: str) -> bool:
    try:
        dtype = np.dtype(name)
    except TypeError:
        return False
    return dtype.kind in "iuf" and np.can_cast(np.uint8, dtype, "safe")


def _lying(shape: tuple[int, ...]) -> Picture | None:
    if len(shape) == 4:
        return _coloured(shape[1:], many=True) if shape[0] in (-1, 1) else None
    if len(shape) == 3:
        coloured = _coloured(shape, many=False)
        if coloured is not None or shape[0] not in (-1, 1):
            return coloured
        return Picture(shape[1], shape[2], 1, "hw", True) if -1 not in shape[1:] else None
    if len(shape) == 2 and -1 not in shape:
        return Picture(shape[0], shape[1], 1, "hw", False)
    return None


def _coloured(shape: tuple[int, ...], *, many: bool) -> Picture | None:
    if 1 <= shape[2] <= MOST_CHANNELS:
        return Picture(shape[0], shape[1], shape[2], "hwc", many)
    if 1 <= shape[0] <= MOST_CHANNELS:
        return Picture(shape[1], shape[2], shape[0], "chw", many)
    return None
