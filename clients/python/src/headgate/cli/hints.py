"""The platform's advice in the words of the command line: it speaks of HTTP and of JSON, people here of commands. Pure.

What is not known here is left as the platform said it, so that a newer one still tells the whole truth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_ADVICE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "no_plan": (
        (r'PUT …/traffic with If-Match: "0" makes the first', "`headgate promote {model} VERSION` makes the first"),
        (r"so name a version \(.*\) or promote one", "so say --version, or `headgate promote {model} VERSION` first"),
    ),
    "not_ready": (
        (r"take it out with PUT …/traffic,", "take it out with `headgate traffic set {model} --clear-canary`,"),
        (r"make a plan first", "`headgate promote {model} VERSION` makes a plan"),
        (r"promote ends it now", "`headgate rollout promote {model}` ends it now"),
    ),
    "not_found": (
        (r"has no such rollout; GET …/rollouts lists", "has no such rollout; `headgate rollout list {model}` lists"),
    ),
    "already_exists": (
        (
            r"wait for its end, or promote or abort it",
            "wait for its end, or `headgate rollout promote {model}`, or `headgate rollout abort {model}`",
        ),
    ),
    "incompatible_signature": (
        (
            r'"allow_incompatible": true insists',
            "--allow-incompatible of `headgate traffic set {model}` or `headgate rollout start` insists",
        ),
    ),
}
_OPTIONS = (
    (r"\bthresholdRange\.max of ([a-z-]+)", r"max= of --metric \1"),
    (r"^thresholdRange is for", "max= of --metric is for"),
    (r"\bmaxDuration\b", "--max-duration"),
    (r"\bminRequests\b", "--min-requests"),
    (r"^setWeight must", "--steps must"),
    (r"\bsetWeight\b", "--steps:"),
    (
        r"^canary\.version: version (\S+) is stable already; name another, or no canary",
        r"version \1 cannot be stable and canary at once; name another, or take the canary out with --clear-canary",
    ),
    (r"^(alpha|interval|steps) must", r"--\1 must"),
    (r"^tolerance must", "the tolerance of --metric must"),
    (r"\b(?:body\.)?rules\.[0-9]+\.header\b", "the header of --rule"),
    (r"\b(?:body\.)?rules\.[0-9]+\.equals\b", "the value of --rule"),
    (r"\b(?:body\.)?sticky\.header\b", "--sticky"),
    (r"(--rule|--sticky): String should match pattern .*", r"\1: this is no header's name, such as x-tenant"),
)
_OF_OPTIONS = frozenset({"invalid_argument", "invalid_input", "incompatible_signature"})


def in_commands(message: str, code: str, model: str) -> str:
    """Return what the platform said under ``code``, with commands and options where it names routes and fields."""
    for said, command in _ADVICE.get(code, ()):
        message = re.sub(said, command.replace("{model}", model).replace("\\", r"\\"), message)
    if code in _OF_OPTIONS:
        for field, option in _OPTIONS:
            message = re.sub(field, option, message)
    return message
