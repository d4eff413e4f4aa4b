"""Servers that a single test needs, on loopback, and that end with it."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from conftest import SERVERS, query, skip_without_servers, wait_until
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
def server_folder() -> Iterator[Path]:
    """Make a folder that the accounts of servers can read, which tmp_path is not for long."""
    skip_without_servers()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def pgbouncer(behind: URL, password: str | None = None, port: int | None = None) -> Iterator[URL]:
    """Run a PgBouncer in transaction mode in front of a database."""
    program, port = required("pgbouncer", "pgbouncer"), port or free_port()
    with server_folder() as home:
        (home / "users.txt").write_text(f'"{behind.username}" "{password or ""}"\n')
        (home / "pgbouncer.ini").write_text(
            f"[databases]\n{behind.database} = host={behind.host} port={behind.port or 5432} "
            f"user={behind.username}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = {'plain' if password else 'any'}\nauth_file = {home / 'users.txt'}\n"
            "pool_mode = transaction\ndefault_pool_size = 40\nmax_client_conn = 200\n"
        )
        url = behind.set(host="127.0.0.1", port=port, password=password)
        with running([program, str(home / "pgbouncer.ini")], "postgres", home / "log"):
            wait_until(lambda: answers(url), f"PgBouncer answers at port {port}")
            yield url
            query_server_until_gone(behind)


def query_server_until_gone(url: URL) -> None:
    """Close the connections that a pooler keeps, so that the database can be dropped."""
    query(
        url.set(database=SERVERS["postgresql"].database),
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'",
    )


class PostgreSQL:
    """A PostgreSQL server of its own, that can be stopped and started again."""

    def __init__(self, folder: Path, language: str = "", **settings: str) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        self.programs = programs[-1] if programs else Path(required("initdb", "postgresql")).parent
        self.data, self.language, self.settings = folder / "data", language, settings
        self.url = URL.create(
            "postgresql", "postgres", host="127.0.0.1", port=free_port(), database="postgres"
        )
        self.run("initdb", "--auth=trust", "--username=postgres", "--no-sync")

    def run(self, program: str, *arguments: str) -> None:
        # The server refuses to be root.
        account = {"user": "postgres"} if os.getuid() == 0 else {}
        subprocess.run(
            [self.programs / program, f"--pgdata={self.data}", *arguments],
            check=True, cwd="/", stdout=subprocess.DEVNULL,
            env={**os.environ, "LANGUAGE": self.language}, **account,
        )  # fmt: skip

    def start(self) -> None:
        settings = {"unix_socket_directories": "", "fsync": "off", **self.settings}
        options = "".join(f" -c {name}={value!r}" for name, value in settings.items())
        log = f"--log={self.data}/log"
        self.run("pg_ctl", "start", "--wait", log, f"--options=-p {self.url.port}{options}")

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "stop", f"--mode={mode}")


@contextmanager
def postgresql(language: str = "", **settings: str) -> Iterator[PostgreSQL]:
    """Run a PostgreSQL server with these settings.

    :param language: in which it says what is wrong, like ``de``; with lc_messages="C.UTF-8".
    """
    with server_folder() as folder:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        server = PostgreSQL(folder, language, **settings)
        server.start()
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):
                server.stop()


@contextmanager
def galera_cluster(size: int) -> Iterator[list[URL]]:
    """Run several MariaDBs that are the nodes of one Galera cluster, with a database in it."""
    provider = Path("/usr/lib/galera/libgalera_smm.so")
    if not provider.exists():
        required("galera-4", "galera-4")
    required("rsync", "rsync")
    required("lsof", "lsof")
    group_ports = [free_port() for _ in range(size)]
    with server_folder() as folder, ExitStack() as nodes:
        urls: list[URL] = []
        for group_port in group_ports:
            others = f"127.0.0.1:{group_ports[0]}" if urls else ""
            urls.append(nodes.enter_context(galera_node(folder, provider, group_port, others)))
        query(urls[0], "CREATE DATABASE clustered")
        clustered = [url.set(database="clustered") for url in urls]
        for url in clustered:
            wait_until(partial(answers, url), "each node has the database")
        yield clustered


@contextmanager
def galera_node(folder: Path, provider: Path, group_port: int, others: str) -> Iterator[URL]:
    """Run a MariaDB that joins the nodes at an address, or is the first one.

    `wsrep-sync-wait` makes a read wait for what other nodes have committed.
    """
    program = required("mariadbd", "mariadb-server")
    install = required("mariadb-install-db", "mariadb-server")
    data, port = folder / f"galera-{group_port}", free_port()
    data.mkdir()
    account = ["--user=mysql"] if os.getuid() == 0 else []
    if account:
        shutil.chown(data, "mysql")
    options = ["--no-defaults", f"--datadir={data}"]
    subprocess.run(
        [install, *options, "--auth-root-authentication-method=normal", "--skip-test-db", *account],
        check=True,
        capture_output=True,
    )
    url = URL.create("mysql", "root", host="127.0.0.1", port=port, database="mysql")
    options_of_provider = (
        f"gmcast.listen_addr=tcp://127.0.0.1:{group_port};ist.recv_addr=127.0.0.1:{free_port()}"
    )
    command = [
        program, *options, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={data}/socket",
        f"--pid-file={data}/pid", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
        "--wsrep-on=ON", f"--wsrep-provider={provider}",
        f"--wsrep-cluster-address=gcomm://{others}", "--wsrep-node-address=127.0.0.1",
        "--wsrep-sync-wait=1", "--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address=127.0.0.1:{free_port()}",
        f"--wsrep-provider-options={options_of_provider}",
    ]  # fmt: skip
    log = folder / f"galera-{group_port}.log"
    with running(command, "mysql", log):
        wait_until(partial(answers, url), f"the Galera node answers, see {log}", patience=120)
        yield url
