"""Promises about the machine: whatever is on it, a project is right, and its proof is honest."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import test_hooks
from conftest import TEMPLATE, UNWANTED, NewDatabase, copy_of_template, edit, query, wait_until
from sqlalchemy import URL

pytestmark = pytest.mark.machine

PROMISES = len(test_hooks.PROMISES)
PROJECT = "{{cookiecutter.project_slug}}"
UV = Path(sys.executable).parent / "uv"
ODD_FOLDER = "Päth with späces 'n Ω 🚀"

# The oldest, and the others that this machine has.
PYTHONS = ["3.11", "3.12", "3.13"]

NOT_ON_WINDOWS = pytest.mark.skipif(os.name == "nt", reason="the test needs signals and a shell")


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a person with a home of their own, a few tools, and no uv."""
    home, tools = tmp_path / "home", tmp_path / "tools"
    home.mkdir()
    tools.mkdir()
    kept = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    kept.pop("VIRTUAL_ENV", None)
    return kept | {"HOME": str(home), "PATH": f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin"}


def give_uv(machine: dict[str, str]) -> None:
    shutil.copy(UV, machine["PATH"].partition(os.pathsep)[0])


def generate(
    environment: dict[str, str], *command: str | Path, folder: Path, answers: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run Cookiecutter as a person does."""
    command = command or (sys.executable, "-m", "cookiecutter")
    return subprocess.run(
        [*command, "--no-input", "-o", folder, TEMPLATE, *answers],
        env=environment,
        capture_output=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        check=False,
    )


@NOT_ON_WINDOWS
def test_everything_works_in_an_odd_folder_on_an_old_terminal(
    machine: dict[str, str], tmp_path: Path
) -> None:
    machine |= {"PYTHONIOENCODING": "cp1252"}
    uv = tmp_path / "tools" / "uv"
    uv.write_text("#!/bin/sh\necho 'error: no network for Ω 🚀' >&2\nexit 2\n", encoding="utf-8")
    uv.chmod(0o755)
    run = generate(machine, folder=tmp_path / ODD_FOLDER)
    assert run.returncode == 0, run.stdout + run.stderr
    assert r"no network for \u03a9 \U0001f680" in run.stdout
    assert run.stdout.count("passed  ") == PROMISES
    for command in (
        ["alembic", "revision", "-m", "Größe Ω 🚀"],
        ["alembic", "upgrade", "head"],
        ["alembic", "check"],
        ["alembic", "history"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path / ODD_FOLDER / "my-shop",
            env=machine,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_refusal_can_be_read_on_an_old_terminal(machine: dict[str, str], tmp_path: Path) -> None:
    machine |= {"PYTHONIOENCODING": "cp1252"}
    run = generate(machine, folder=tmp_path / "out", answers=("package_name=Ωmega",))
    assert run.returncode != 0
    assert "must be lower-case ASCII" in run.stderr
    assert "try 'mega'." in run.stderr


def block_the_proof(template: Path, started: Path) -> None:
    """Make the proof say that it has a scratch database, and then never end."""
    path = template / test_hooks.MIGRATIONS / "guard" / "proof" / "tests.py"
    name = "def test_every_constraint_is_given_a_name(upgraded: Upgraded) -> None:\n"
    url = 'upgraded.config.get_main_option("sqlalchemy.url")'
    wait = f"    Path({str(started)!r}).write_text(str({url}).rpartition('/')[2])\n"
    edit(path, name, f"{name}{wait}    import time; time.sleep(600)\n")


@pytest.fixture
def interrupt(machine: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A function that presses Ctrl-C during the proof, and returns the scratch database's name."""
    template, started = copy_of_template(tmp_path / "template"), tmp_path / "started"
    block_the_proof(template, started)
    running: list[subprocess.Popen[bytes]] = []

    def press(*arguments: str) -> str:
        command = [sys.executable, "-m", "cookiecutter", "--no-input", "-o", tmp_path / "out"]
        process = subprocess.Popen(
            [*command, template, *arguments],
            env=machine,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        running.append(process)
        wait_until(lambda: started.exists() and started.read_text(), "the proof")
        os.killpg(process.pid, signal.SIGINT)
        # The pipe ends when the last of the processes has ended.
        output, _ = process.communicate(timeout=60)
        assert process.returncode != 0
        assert b"Interrupted: " in output, output
        return started.read_text()

    yield press
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@NOT_ON_WINDOWS
def test_interrupting_the_proof_leaves_nothing(
    interrupt: Callable[..., str], tmp_path: Path
) -> None:
    interrupt()
    assert list((tmp_path / "out").iterdir()) == []


@NOT_ON_WINDOWS
def test_interrupting_the_proof_leaves_no_database_on_the_server(
    interrupt: Callable[..., str], new_database: NewDatabase, tmp_path: Path
) -> None:
    url: URL = new_database("postgresql")
    if url.host != "127.0.0.1":
        pytest.skip("the hook looks for a server at 127.0.0.1")
    scratch = interrupt("database=postgresql")
    assert scratch.startswith("my_shop_scratch_")
    assert query(url, f"SELECT 1 FROM pg_database WHERE datname = '{scratch}'") == []
    assert list((tmp_path / "out").iterdir()) == []


@NOT_ON_WINDOWS
def test_interrupting_the_proof_leaves_a_project_that_was_there_before(
    interrupt: Callable[..., str], tmp_path: Path
) -> None:
    mine = tmp_path / "out" / "my-shop" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("keep me")
    interrupt("--overwrite-if-exists")
    assert mine.read_text() == "keep me"
    assert (mine.parent / "alembic.ini").exists()
    assert not (mine.parent / ".new").exists()


def install(folder: Path, python: str, *packages: str) -> Path:
    """Make an environment with packages, and return its Cookiecutter."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    for command in (
        ["venv", "--quiet", "--python", interpreter(python), folder],
        ["pip", "install", "--quiet", "--python", folder, *packages],
    ):
        subprocess.run([UV, *command], env=environment, check=True)
    return folder / "bin" / "cookiecutter"


def interpreter(version: str) -> str:
    """Return a Python that pyenv has, which uv does not find, or else what uv finds or loads."""
    if "/" in version:
        return version
    versions = Path.home() / ".pyenv" / "versions"
    return next(map(str, versions.glob(f"{version}.*/bin/python{version}")), version)


PROOF_PACKAGES = ["alembic[tz]", "sqlalchemy", "python-dotenv", "pytest"]


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_cookiecutter_alone_writes_a_project_and_proves_nothing(
    python: str, machine: dict[str, str], tmp_path: Path
) -> None:
    cookiecutter = install(tmp_path / "venv", python, "cookiecutter")
    run = generate(machine, cookiecutter, folder=tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert "not tested: there is no uv, and this Python lacks alembic[tz]>=" in run.stdout
    assert "passed  " not in run.stdout
    assert (tmp_path / "out" / "my-shop" / "alembic.ini").exists()


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_packages_beside_cookiecutter_prove_the_project(
    python: str, machine: dict[str, str], tmp_path: Path
) -> None:
    cookiecutter = install(tmp_path / "venv", python, "cookiecutter", *PROOF_PACKAGES)
    run = generate(machine, cookiecutter, folder=tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("passed  ") == PROMISES, run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_packages_that_are_too_old_prove_nothing(
    python: str, machine: dict[str, str], tmp_path: Path
) -> None:
    packages = ["cookiecutter", *PROOF_PACKAGES, "sqlalchemy<2.1"]
    cookiecutter = install(tmp_path / "venv", python, *packages)
    run = generate(machine, cookiecutter, folder=tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert "this Python lacks sqlalchemy>=2.1.\n" in run.stdout
    assert "passed  " not in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_uv_beside_cookiecutter_installs_and_proves_the_project(
    python: str, machine: dict[str, str], tmp_path: Path
) -> None:
    cookiecutter = install(tmp_path / "venv", python, "cookiecutter")
    give_uv(machine)
    machine |= {"UV_PYTHON": interpreter(python)}
    run = generate(machine, cookiecutter, folder=tmp_path / ODD_FOLDER)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("passed  ") == PROMISES, run.stdout
    installed = (tmp_path / ODD_FOLDER / "my-shop/.venv/pyvenv.cfg").read_text(encoding="utf-8")
    assert f"version_info = {python}" in installed


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["tool", "run", "cookiecutter"], ["tool", "run", "pipx", "run", "cookiecutter"]],
    ids=["uvx", "pipx"],
)
def test_a_runner_generates_and_proves_the_project(
    command: list[str], machine: dict[str, str], tmp_path: Path
) -> None:
    give_uv(machine)
    run = generate(machine, UV, *command, folder=tmp_path / "out")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("passed  ") == PROMISES, run.stdout


@pytest.mark.slow
def test_without_network_and_cache_says_so_and_leaves_no_half_an_environment(
    machine: dict[str, str], tmp_path: Path
) -> None:
    cookiecutter = install(tmp_path / "venv", PYTHONS[0], "cookiecutter")
    give_uv(machine)
    machine |= {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    run = generate(machine, cookiecutter, folder=tmp_path / "out")
    assert run.returncode == 0, run.stderr
    assert "not tested: uv could not install the dependencies." in run.stdout
    assert "passed  " not in run.stdout
    assert not (tmp_path / "out" / "my-shop" / ".venv").exists()


@pytest.mark.slow
def test_without_network_the_cache_is_enough(machine: dict[str, str], tmp_path: Path) -> None:
    cookiecutter = install(tmp_path / "venv", PYTHONS[0], "cookiecutter")
    give_uv(machine)
    for proxy in ({}, {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}):
        run = generate(machine | proxy, cookiecutter, folder=tmp_path / f"out{len(proxy)}")
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("passed  ") == PROMISES, run.stdout


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can be another person")
def test_somebody_with_a_home_that_is_read_only_installs_and_proves_the_project(
    machine: dict[str, str],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        tools, home, theirs, template = (place / name for name in ("bin", "home", "their", "copy"))
        cookiecutter = install(place / "venv", "/usr/bin/python3", "cookiecutter")
        for folder in (tools, home, theirs):
            folder.mkdir()
        shutil.copy(UV, tools)
        ignored = shutil.ignore_patterns(".git", ".venv*", ".*_cache")
        shutil.copytree(TEMPLATE, template, ignore=ignored)
        shutil.chown(theirs, "nobody")
        settings = theirs / "settings.yaml"
        settings.write_text(f"replay_dir: {theirs}/replay\ncookiecutters_dir: {theirs}/clones\n")
        machine |= {
            "HOME": str(home),
            "PATH": f"{tools}{os.pathsep}/usr/bin",
            "COOKIECUTTER_CONFIG": str(settings),
            "UV_PYTHON": "/usr/bin/python3",
        }
        run = subprocess.run(
            ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", cookiecutter]
            + ["--no-input", "-o", theirs / "out", template],
            env=machine,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert run.stdout.count("passed  ") == PROMISES, run.stdout
        assert list(home.iterdir()) == []
