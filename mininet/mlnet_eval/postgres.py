"""The private PostgreSQL cluster under the state directory, or the server that MLNET_POSTGRES names.

The server refuses to run as root, so the cluster is made and started as the user ``postgres``.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

DATABASE = "mlnet"
USER = "mlnet"


class DatabaseError(Exception):
    """The database cannot be had; the message says what to do."""


def parse_connection(text: str) -> Dict[str, str]:
    """Reads an Npgsql connection string (``Host=..;Username=..``) into libpq environment variables."""
    names = {
        "host": "PGHOST", "server": "PGHOST", "port": "PGPORT", "database": "PGDATABASE", "username": "PGUSER", "user id": "PGUSER",
        "password": "PGPASSWORD", "passfile": "PGPASSFILE", "user name": "PGUSER", "uid": "PGUSER", "pwd": "PGPASSWORD", "db": "PGDATABASE",
    }
    found: Dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        key, separator, value = part.partition("=")
        if not separator:
            raise DatabaseError("MLNET_POSTGRES: a part of it is not key=value (a password with ';' cannot be given here; use Passfile); give an Npgsql connection string such as Host=db;Username=u;Password=p;Database=d")
        variable = names.get(key.strip().lower())
        if variable:
            found[variable] = value.strip()
    if "PGHOST" not in found:
        raise DatabaseError("MLNET_POSTGRES names no Host; give an Npgsql connection string such as Host=db;Username=u;Password=p;Database=d")
    return found


class Postgres:
    """A running server and the way to ask it."""

    def __init__(self, connection: str, private: Optional[PrivateCluster] = None) -> None:
        self.connection = connection
        self._environment = parse_connection(connection)
        self._private = private

    @classmethod
    def open(cls, state: Path) -> Postgres:
        """The server of MLNET_POSTGRES, or else the private cluster, started when it does not run."""
        given = os.environ.get("MLNET_POSTGRES")
        if given:
            server = cls(given)
            server.query("select 1")
            return server
        cluster = PrivateCluster(state)
        return cls(cluster.start(), cluster)

    def query(self, sql: str) -> List[Dict[str, str]]:
        """Rows of a statement, each a mapping of column names to text."""
        done = subprocess.run(
            ["psql", "-X", "-q", "--csv", "-v", "ON_ERROR_STOP=1", "-c", sql],
            env={**os.environ, **self._environment, "PGCONNECT_TIMEOUT": "10"}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DatabaseError(f"PostgreSQL refused a query: {done.stderr.strip()}")
        return list(csv.DictReader(io.StringIO(done.stdout)))

    def table(self, sql: str) -> str:
        """The same statement as psql prints it."""
        done = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql],
            env={**os.environ, **self._environment, "PGCONNECT_TIMEOUT": "10"}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DatabaseError(f"PostgreSQL refused a query: {done.stderr.strip()}")
        return done.stdout

    def withdraw_leftovers(self, prefix: str) -> None:
        """Ends the jobs of an earlier run that was killed, whose hosts may not exist any more.

        Raises:
            DatabaseError: a server of others holds unfinished jobs that are not an evaluation's.
        """
        if self.query("select to_regclass('mlnet.job') is null as empty")[0]["empty"] == "t":
            return
        unfinished = [row["name"] for row in self.query("select name from mlnet.job where state = 'Pending' order by id")]
        foreign = [] if self._private is not None else [name for name in unfinished if not name.startswith(prefix)]
        if foreign:
            raise DatabaseError(f"the database of MLNET_POSTGRES serves jobs that run ({', '.join(foreign[:5])}); name another database for an evaluation")
        if unfinished:
            self.query("update mlnet.job set state = 'Cancelled', ended_at = now() where state = 'Pending'")

    def stop(self) -> None:
        """Stops the private cluster; leaves a server of others alone."""
        if self._private is not None:
            self._private.stop()

    def shell_hint(self) -> str:
        """A command line that opens psql on this database."""
        e = self._environment
        where = f"-h {e['PGHOST']} -p {e.get('PGPORT', '5432')} -U {e.get('PGUSER', USER)} {e.get('PGDATABASE', '')}".strip()
        if self._private is not None:
            return f"PGPASSFILE={os.path.relpath(self._private.passfile)} psql {where}"
        return f"psql {where}"


class PrivateCluster:
    """A cluster of our own: data below the state directory, loopback only, password drawn once."""

    def __init__(self, state: Path) -> None:
        self.home = state.resolve() / "postgres"  # the server runs in another directory
        self.passfile = state.resolve() / "postgres.pass"

    @property
    def data(self) -> Path:
        return self.home / "data"

    def start(self) -> str:
        """Makes the cluster if there is none, starts it if it is down, and returns an Npgsql connection string."""
        if os.geteuid() != 0:
            raise DatabaseError("the private PostgreSQL is started as user postgres, which needs root; run as root or set MLNET_POSTGRES")
        if not (self.data / "PG_VERSION").exists():
            self._make()
        password = self.passfile.read_text().strip().rsplit(":", 1)[1]
        port = self._running_port() or self._boot()
        connection = f"Host=127.0.0.1;Port={port};Username={USER};Password={password};Database={DATABASE}"
        self._write_passfile(port, password)
        self._ensure_database(port, password)
        return connection

    def stop(self) -> None:
        """Stops the server if it runs."""
        if self._running_port() is not None:
            self._as_postgres([self._tool("pg_ctl"), "-D", str(self.data), "-m", "fast", "-w", "stop"])

    def remove(self) -> None:
        """Stops the server and deletes the cluster."""
        if self.data.exists():
            self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self.passfile.unlink(missing_ok=True)

    def _make(self) -> None:
        owner = pwd.getpwnam("postgres")
        shutil.rmtree(self.home, ignore_errors=True)
        fresh = self.home / "data.new"  # becomes "data" when it is whole: a kill in between leaves nothing that looks made
        self.home.mkdir(parents=True)
        os.chown(self.home, owner.pw_uid, owner.pw_gid)
        self.home.chmod(0o700)
        if subprocess.run(["runuser", "-u", "postgres", "--", "test", "-w", str(self.home)], check=False).returncode != 0:
            raise DatabaseError(
                f"user postgres cannot reach {self.home}: a folder above it is closed to other users. "
                "Clone into a folder that others may enter (e.g. below /srv), or set MLNET_POSTGRES to a server of yours.")
        password = secrets.token_urlsafe(18)
        self._write_passfile(0, password)
        pwfile = self.home / "initial"
        pwfile.touch(mode=0o600)
        pwfile.write_text(password)
        os.chown(pwfile, owner.pw_uid, owner.pw_gid)
        self._as_postgres([
            self._tool("initdb"), "-D", str(fresh), "-U", USER, "--pwfile", str(pwfile), "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        pwfile.unlink()
        # A demonstration on a small machine: little memory, and no fsync storms beside an emulated fabric. Data of value goes to MLNET_POSTGRES.
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nshared_buffers = 64MB\nmax_connections = 40\nsynchronous_commit = off\n")
        fresh.rename(self.data)

    def _boot(self) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self._as_postgres([self._tool("pg_ctl"), "-D", str(self.data), "-l", str(self.home / "log"), "-o", f"-p {port}", "-w", "-t", "60", "start"])
        return port

    def _running_port(self) -> Optional[int]:
        pidfile = self.data / "postmaster.pid"
        try:
            lines = pidfile.read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, IndexError, ValueError, ProcessLookupError):
            return None
        return port if str(self.data).encode() in command else None

    def _ensure_database(self, port: int, password: str) -> None:
        environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": USER, "PGPASSWORD": password, "PGDATABASE": "postgres"}
        deadline = time.monotonic() + 20
        while True:
            found = subprocess.run(
                ["psql", "-X", "-qAt", "-c", f"select count(*) from pg_database where datname = '{DATABASE}'"], env=environment, capture_output=True, text=True, check=False)
            if found.returncode == 0:
                break
            if time.monotonic() > deadline:
                raise DatabaseError(f"the private PostgreSQL does not answer: {found.stderr.strip()}; its log: {self.home / 'log'}")
            time.sleep(0.2)
        if found.stdout.strip() == "0":
            subprocess.run(["createdb", DATABASE], env=environment, check=True)

    def _write_passfile(self, port: int, password: str) -> None:
        self.passfile.touch(mode=0o600)
        self.passfile.chmod(0o600)
        self.passfile.write_text(f"127.0.0.1:{port or '*'}:*:{USER}:{password}\n")

    def _as_postgres(self, command: List[str]) -> None:
        done = subprocess.run(["runuser", "-u", "postgres", "--", *command], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, env={k: v for k, v in os.environ.items() if k != "MLNET_RUN_ID"})
        if done.returncode != 0:
            raise DatabaseError(f"{command[0]} failed: {done.stdout.strip()}")

    @staticmethod
    def _tool(name: str) -> str:
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        if not found:
            raise DatabaseError(f"{name} is missing: install Debian's package postgresql, or set MLNET_POSTGRES")
        return str(found[-1])


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(description="the private PostgreSQL cluster")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--remove", action="store_true", help="stop the server and delete the cluster")
    options = parser.parse_args(arguments)
    cluster = PrivateCluster(options.state)
    if options.remove:
        cluster.remove()
    else:
        print(cluster.start())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
