"""The real platform for these tests, and the fake one where MLflow's library is what is real."""

from __future__ import annotations

from tests.support.fake_platform import fake, fake_servers
from tests.support.platform import platform

__all__ = ["fake", "fake_servers", "platform"]
