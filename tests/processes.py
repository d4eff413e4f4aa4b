"""Runs modules as ``python -m`` does, without loading SQLAlchemy and Alembic each time.

On Linux, a process has loaded what each run of a module would load first; a fork of it does the
run, and ends as Python ends. Elsewhere each run is a process of its own, as it is for people.
"""

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path

# What a module loads before it does anything else; those of a project are told to use Alembic.
ALEMBIC = ("alembic.config", "alembic.autogenerate", "sqlalchemy.orm", "logging.config", "dotenv")
LOADED = {
    "cookiecutter": ("cookiecutter.cli",),
    "mypy": ("mypy.main",),
    "pytest": ("pytest", *ALEMBIC),
}
LONGEST_MESSAGE = 150_000
MOST_FILES = 250

# In seconds; it only ends tests that would hang.
PATIENCE = 300

Run = subprocess.CompletedProcess[str]


def run_at_once(
    *commands: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> list[Run]:
    """Run modules of this Python in a folder, all at the same time, and wait for them."""
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands * 2]
        run = run_forks if sys.platform == "linux" else run_processes
        statuses = run(commands, folder, environment, [output.fileno() for output in outputs])
        for output in outputs:
            output.seek(0)
        texts = [output.read().decode().replace("\r\n", "\n") for output in outputs]
    return [
        Run(*results) for results in zip(commands, statuses, texts[::2], texts[1::2], strict=True)
    ]


def run_processes(
    commands: Sequence[Sequence[str]],
    folder: Path,
    environment: Mapping[str, str],
    outputs: list[int],
) -> list[int]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder, env=environment, stdout=outputs[2 * n], stderr=outputs[2 * n + 1],
        )
        for n, command in enumerate(commands)
    ]  # fmt: skip
    return [process.wait(PATIENCE) for process in processes]


def run_forks(
    commands: Sequence[Sequence[str]],
    folder: Path,
    environment: Mapping[str, str],
    outputs: list[int],
) -> list[int]:
    # Python reads these when it starts.
    settings = {name: text for name, text in environment.items() if name.startswith("PYTHON")}
    modules = LOADED.get(commands[0][0], ALEMBIC)
    loaded = loaded_process(modules, tuple(sorted(settings.items())))
    order = json.dumps([commands, str(folder), dict(environment)]).encode()
    socket.send_fds(loaded, [order], outputs)
    return json.loads(loaded.recv(LONGEST_MESSAGE))


@cache
def loaded_process(
    modules: tuple[str, ...], settings: tuple[tuple[str, str], ...]
) -> socket.socket:
    """Start a process that has loaded modules, and return what to tell it; it ends with us."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        subprocess.Popen(
            [sys.executable, __file__, str(there.fileno()), *modules],
            env={**os.environ, **dict(settings)},
            pass_fds=[there.fileno()],
        )
    return here


def serve(orders: socket.socket) -> list[str]:
    """Fork for each command of an order, and say how they ended; return the one of a fork."""
    while True:
        order, outputs, _, _ = socket.recv_fds(orders, LONGEST_MESSAGE, MOST_FILES)
        if not order:
            sys.exit()
        commands, folder, environment = json.loads(order)
        children = []
        for n, command in enumerate(commands):
            children.append(os.fork())
            if not children[-1]:
                orders.close()
                os.dup2(outputs[2 * n], 1)
                os.dup2(outputs[2 * n + 1], 2)
                os.closerange(3, max(outputs) + 1)
                os.chdir(folder)
                os.environ.clear()
                os.environ.update(environment)
                return command
        for output in outputs:
            os.close(output)
        signal.signal(signal.SIGALRM, partial(kill_all, children))
        signal.alarm(PATIENCE)
        statuses = []
        while children:
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
            del children[0]
        signal.alarm(0)
        orders.send(json.dumps(statuses).encode())


def kill_all(children: list[int], *_: object) -> None:
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        import_module(name)
    gc.freeze()
    # An error of the module is not caught here, so that Python does with it what it always does.
    sys.argv = serve(socket.socket(fileno=int(sys.argv[1])))
    sys.path[0] = os.getcwd()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
