"""The version of this distribution; a test holds it equal to ``pyproject.toml``.

A constant rather than a look-up in the installed metadata, which costs more than the rest of the import.
"""

__version__ = "0.1.0"
