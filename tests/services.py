"""Servers that a single test needs, on loopback, and that end with it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import SERVERS, query, wait_until
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def required(program: str, package: str) -> str:
    """Return the path of a program; without it the test is skipped, and fails where CI is set."""
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        missing = f"{program} is not installed: apt-get install {package}"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return path


def answers(url: URL) -> bool:
    with suppress(DBAPIError):
        return query(url, "SELECT 1") == [(1,)]
    return False


@contextmanager
def running(command: list[str], user: str, log: Path) -> Iterator[None]:
    """Run a server as an unprivileged user, if this is root, which servers refuse to be."""
    account = {"user": user} if os.getuid() == 0 else {}
    with log.open("wb") as output, subprocess.Popen(
        command, stdout=output, stderr=output, **account
    ) as server:  # fmt: skip
        try:
            yield
        finally:
            server.kill()


@contextmanager
def pgbouncer(
    behind: URL, folder: Path, password: str | None = None, port: int | None = None
) -> Iterator[URL]:
    """Run a PgBouncer in transaction mode in front of a database."""
    program, port = required("pgbouncer", "pgbouncer"), port or free_port()
    home = folder / "pgbouncer"
    home.mkdir()
    (home / "users.txt").write_text(f'"{behind.username}" "{password or ""}"\n')
    (home / "pgbouncer.ini").write_text(
        f"[databases]\n{behind.database} = host={behind.host} port={behind.port or 5432} "
        f"user={behind.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = {'plain' if password else 'any'}\nauth_file = {home / 'users.txt'}\n"
        "pool_mode = transaction\ndefault_pool_size = 40\nmax_client_conn = 200\n"
    )
    for path in (folder, *folder.parents):
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o755)
    url = behind.set(host="127.0.0.1", port=port, password=password)
    with running([program, str(home / "pgbouncer.ini")], "postgres", folder / "pgbouncer.log"):
        wait_until(lambda: answers(url), (folder / "pgbouncer.log").read_text)
        yield url
        query_server_until_gone(behind)


def query_server_until_gone(url: URL) -> None:
    """Close the connections that a pooler keeps, so that the database can be dropped."""
    query(
        url.set(database=SERVERS["postgresql"].database),
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'",
    )


@contextmanager
def galera_node(folder: Path) -> Iterator[URL]:
    """Run a MariaDB that is a node of a Galera cluster."""
    provider = Path("/usr/lib/galera/libgalera_smm.so")
    if not provider.exists():
        required("galera-4", "galera-4")
    program, install = (
        required("mariadbd", "mariadb-server"),
        required("mariadb-install-db", "mariadb-server"),
    )
    data, port, group_port = folder / "galera", free_port(), free_port()
    data.mkdir()
    for path in (folder, *folder.parents):
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o755)
    if os.getuid() == 0:
        shutil.chown(data, "mysql")
    options = ["--no-defaults", f"--datadir={data}"]
    subprocess.run(
        [install, *options, "--auth-root-authentication-method=normal", "--skip-test-db",
         *(["--user=mysql"] if os.getuid() == 0 else [])],
        check=True, capture_output=True,
    )  # fmt: skip
    url = URL.create("mysql", "root", host="127.0.0.1", port=port, database="mysql")
    command = [
        program, *options, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={data}/socket",
        f"--pid-file={data}/pid", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
        "--wsrep-on=ON", f"--wsrep-provider={provider}", "--wsrep-cluster-address=gcomm://",
        "--wsrep-node-address=127.0.0.1", "--wsrep-sst-method=rsync",
        f"--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{group_port}",
    ]  # fmt: skip
    with running(command, "mysql", folder / "galera.log"):
        wait_until(lambda: answers(url), "the Galera node answers", patience=60)
        query(url, "CREATE DATABASE clustered")
        yield url.set(database="clustered")
