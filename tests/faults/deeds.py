"""What a model does wrong, by the word that it is asked with. Runs inside a host: the platform is not there.

Each deed is the body of a function; what none of them is named does well. Not here: what must come of it
(``test_deeds.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

DEEDS: Mapping[str, str] = {
    "sys_exit": "sys.exit(3)",
    "os_exit": "os._exit(3)",
    "segfault": "ctypes.string_at(0)",
    "abort": "os.abort()",
    "endless": "\nwhile True:\n    pass",
    "memory_at_once": "bytearray(100 << 30)",
    "memory_in_pieces": "\nheld = []\nwhile True:\n    held.append(bytearray(4 << 20))",
    "fork_bomb": """
        while True:
            try:
                os.fork()
            except OSError:
                pass
    """,
    "hidden_bomb": """
        while True:
            try:
                if os.fork() == 0:
                    os.setsid()
            except OSError:
                pass
    """,
    "prints": "\nline = 'y' * (1 << 20)\nfor _ in range(1024):\n    print(line)",
    "open_files": "held = [open('/dev/null') for _ in range(100_000)]",
    "temporary_files": """
        for number in range(1000):
            with open(f'{number}.tmp', 'w') as file:
                file.write('x' * 100)
        os.mkdir('locked')
        open('locked/file', 'w').close()
        os.chmod('locked', 0)
    """,
    "large_file": "open('large.tmp', 'wb').truncate(2 << 30)",
    "threads": """
        event = threading.Event()
        for _ in range(10_000):
            threading.Thread(target=event.wait, daemon=True).start()
    """,
    "close_socket": "os.close(its_socket())",
    "garbage": "os.write(its_socket(), os.urandom(1 << 16))",
    "half_a_frame": "os.write(its_socket(), b'\\xff\\xff\\x00')",
    "stop_itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "shell_bomb": """
        subprocess.run(['sh', '-c', 'b() { b | b & b; }; b'])
        while True:
            pass
    """,
    "kill_all": "os.kill(-1, signal.SIGKILL)",
    "kill_parent": "os.kill(os.getppid() or 1 << 21, signal.SIGKILL)",
    "daemons": "\nfor _ in range(5):\n    subprocess.Popen(['sleep', '600'], start_new_session=True)",
}
BODY = """
import ctypes, os, signal, subprocess, sys, threading, time

def its_socket():
    return next(n for n in range(3, 64) if is_socket(n))

def is_socket(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    except OSError:
        return False

"""


def body() -> str:
    """Return the body of a predict that does what the first row's ``do`` says."""
    lines = [BODY.strip("\n"), "do = str(model_input['do'].iloc[0])"]
    for name, deed in DEEDS.items():
        lines.append(f"if do == {name!r}:")
        lines += ["    " + line for line in _dedented(deed).splitlines()]
    lines.append("return np.array([1.0] * len(model_input))")
    return "\n".join(lines)


def _dedented(deed: str) -> str:
    import textwrap

    return textwrap.dedent(deed).strip("\n")
