"""How values on the predict path are declared: frozen to the type checker, plain to the interpreter.

A frozen dataclass sets each field through ``object.__setattr__``: about 0.25 µs a field, and a prediction makes some
forty of them. What is decorated here costs a quarter of that; mypy refuses assignments all the same. Use it where a
request makes the value; anything made less often is an ordinary frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make a slotted dataclass that nobody assigns to."""
    return dataclass(slots=True)(cls)
