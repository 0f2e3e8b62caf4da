"""What a host may read besides its model: its interpreter and libraries, the system's, and little of the rest.

Directories and files are listed, not tried: what does not exist is no harm. Not here: how it is enforced
(``landlock.py``).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from importlib import machinery
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store")
# Of /etc only what libraries look up: other programs keep their secrets there.
_ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "localtime", "timezone", "locale.alias"),
    *("locale.conf", "nsswitch.conf", "passwd", "group", "host.conf", "hosts", "gai.conf", "services", "protocols"),
    *("mime.types", "os-release", "debian_version", "alternatives", "fonts", "ssl/openssl.cnf", "ssl/certs"),
    *("pki/tls/certs", "pki/ca-trust/extracted", "OpenCL", "gnutls"),
)
_PROC = (
    *("self", "cpuinfo", "meminfo", "stat", "uptime", "loadavg", "version", "filesystems", "sys/kernel/osrelease"),
    *("sys/kernel/ostype", "sys/kernel/random", "sys/kernel/pid_max", "sys/kernel/threads-max", "sys/vm", "vmstat"),
    *("sys/kernel/ngroups_max", "sys/kernel/cap_last_cap", "sys/fs"),
)
_MACHINE = ("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage", "/dev/random")
_DEVICES = ("/dev/urandom", "/dev/zero")
WRITABLE = ("/dev/null", "/dev/full")


def of_environment(hidden: str) -> list[str]:
    """Return what every host of this interpreter may read; nothing below ``hidden`` but the interpreter's own."""
    prefixes = {Path(p).resolve() for p in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)}
    linked = [p for p in map(Path, os.environ.get("LD_LIBRARY_PATH", "").split(":")) if p.is_absolute()]
    roots = [*sorted(prefixes), *map(Path, _SYSTEM), *linked, Path(sys.executable).resolve().parent]
    found = [path for root in roots for path in without(root, Path(hidden) if hidden else None)]
    known = [*prefixes, *map(Path, _SYSTEM)]
    found += [path for entry in map(Path, sys.path) if not _below(entry, known) for path in importable(entry)]
    found += [Path(__file__).resolve().parent, *(Path("/etc", name) for name in _ETC)]
    found += [*(Path("/proc", name) for name in _PROC), *map(Path, _MACHINE), *map(Path, _DEVICES)]
    return list(dict.fromkeys(map(str, found)))


def needed() -> list[str]:
    """Return a few files that nothing runs without: whoever can read them can read the interpreter."""
    return [str(Path(path).resolve()) for path in (sys.executable, os.__file__, __file__)]


def without(root: Path, hidden: Path | None) -> Iterator[Path]:
    """Yield ``root``, or where ``hidden`` lies below it, all that lies in it but ``hidden``."""
    real = root.resolve()
    if hidden is None or not _below(hidden.resolve(), [real]):
        yield root
    elif hidden.resolve() != real:
        with contextlib.suppress(OSError):
            for path in real.iterdir():
                yield from without(path, hidden)


def importable(entry: Path) -> Iterator[Path]:
    """Yield the modules and packages that an entry of ``sys.path`` holds, and nothing that lies beside them."""
    if entry.is_file() or entry.name in ("site-packages", "dist-packages", "lib-dynload"):
        yield entry  # a zip of modules, or a directory of nothing else
        return
    with contextlib.suppress(OSError):
        for path in entry.iterdir():
            package = (path / "__init__.py").is_file()
            if package or path.name.endswith((*machinery.all_suffixes(), ".dist-info", ".egg-info")):
                yield path


def _below(path: Path, roots: list[Path]) -> bool:
    return any(path == root or root in path.parents for root in roots)
