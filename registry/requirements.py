"""Which requirement lines of a model may be installed. Pure.

A model's requirements come from whoever registered it. Installing one may fetch and run code, so a line may only name a
package of the configured index, its extras, version bounds and a marker (PEP 508 without direct references). Admission
refuses a version for any other line, and the node that builds its environment checks again. Not here: what they
lead to (``registry/libraries``) and installing it (``serving/runtimes/environments.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from registry.errors import quote

LINE_LIMIT = 500
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_BOUND = r"(?:===|~=|==|!=|<=|>=|<|>) *[A-Za-z0-9.!+*_-]+"
_BOUNDS = rf"{_BOUND}(?: *, *{_BOUND})* *,?"
_MARKER = r"[A-Za-z0-9_.,<>=!~()'\" +*-]+"
_REQUIREMENT = re.compile(
    rf"{_NAME} *(?:\[ *(?:{_NAME}(?: *, *{_NAME})*)? *\])? *(?:{_BOUNDS}|\( *{_BOUNDS} *\))? *(?:; *{_MARKER})?"
)
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_VCS = re.compile(r"(?:^|\s|@)(?:git|hg|svn|bzr)\+", re.IGNORECASE)
_FILE = re.compile(r"\.(?:whl|zip|tar|tar\.gz|tgz|tar\.bz2)(?:$|[\s\[;#])", re.IGNORECASE)


def strip_comment(line: str) -> str:
    """Return a requirement line without its comment and outer blanks; empty where nothing is left."""
    return _COMMENT.sub("", line).strip()


def refuse_requirement(line: str) -> str | None:
    """Return why a line may not be installed, in words, or None where it may. An empty line or a comment may."""
    shown = quote(line)
    if len(line) > LINE_LIMIT:
        return f"the requirement '{shown}' is longer than {LINE_LIMIT} characters"
    if any(ord(c) < 32 or ord(c) == 127 for c in line.replace("\t", " ")):
        return f"the requirement '{shown}' holds control characters"
    text = strip_comment(line.replace("\t", " "))
    if not text:
        return None
    reason = _foreign(text)
    if reason is None and not _REQUIREMENT.fullmatch(text):
        reason = "is no requirement: write a package name, then versions, as numpy>=2,<3"
    return None if reason is None else f"the requirement '{shown}' {reason}"


def _foreign(text: str) -> str | None:
    if text.startswith("-"):
        return "is an option of an installer; only package names and versions may be given"
    if _VCS.search(text):
        return "names a version control system; publish the package to the index and pin its version"
    if "://" in text or text.lower().startswith(("file:", "http:", "https:")):
        return "names an address; only packages of the configured index may be used"
    if re.search(r"\s@|@\s|^[^;'\"]*@", text):
        return "is a direct reference; only packages of the configured index may be used"
    if text.startswith((".", "/", "~", "\\")) or re.search(r"[\\/]", text) or _FILE.search(text):
        return "names a file; upload code with the model (code_paths) or publish it to the index"
    return None


def refuse_requirements(lines: Iterable[str]) -> list[str]:
    """Return a reason for every line that may not be installed."""
    return [reason for line in lines if (reason := refuse_requirement(line)) is not None]
