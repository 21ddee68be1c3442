"""The system on several hosts: the API on one, a worker on each of two; servers and clients on this machine."""

from pathlib import Path

import httpx

from scripts.local_servers import LocalPostgres, LocalValkey, free_port
from tests.e2e.program import Program
from tests.e2e.stack import HTTP_TIMEOUT_S, api
from tests.faults.crew import WORKERS, Crew
from tests.faults.hosts import Hosts

LOOPBACK = "127.0.0.1"
API_HOST = "api"
WORKER_HOSTS = [f"worker{number}" for number in range(WORKERS)]
HOST_NAMES = [API_HOST, *WORKER_HOSTS]


class CampusNetwork(Crew):
    """One running system on these hosts. Tests and audits reach the servers over loopback, the parts over the network."""

    def __init__(self, directory: Path, hosts: Hosts, **settings: str) -> None:
        super().__init__(directory, **settings)
        self.hosts = hosts
        self.postgres = LocalPostgres(
            directory / "postgres",
            free_port(),
            fsync=False,
            settings={"listen_addresses": f"{LOOPBACK},{hosts.address}"},
        )
        self.valkey = LocalValkey(
            directory / "valkey", free_port(), settings={"bind": f"{LOOPBACK} {hosts.address}"}
        )
        self.api_url = f"http://{hosts.address_of(API_HOST)}:{self.api_port}"
        self.http = httpx.Client(base_url=self.api_url, timeout=HTTP_TIMEOUT_S, verify=False)

    def start(self) -> "CampusNetwork":
        """Start the servers for all hosts, and every part on its host."""
        self.postgres.start()
        with (self.postgres.data_dir / "pg_hba.conf").open("a", encoding="utf-8") as access:
            access.write(f"host all all {self.hosts.network} scram-sha-256\n")
        self.sql("SELECT pg_reload_conf()")
        super().start()
        return self

    def start_api(self, **overrides: str) -> None:
        """Start the API on its host and wait until it answers."""
        address = self.hosts.address_of(API_HOST)
        arguments = [address if word == LOOPBACK else word for word in api(self.api_port)]
        self._api = self._launch_on(API_HOST, arguments, **overrides)
        self._wait_for_api(self._api, self.api_url)

    def launch_worker(self, number: int, **overrides: str) -> Program:
        """Start a worker on its host."""
        return self._launch_on(WORKER_HOSTS[number], ["worker"], **overrides)

    def host_of(self, worker_pid: int) -> str:
        """Where a worker runs."""
        return WORKER_HOSTS[self.crew.index(self.crew_member(worker_pid))]

    def crew_member(self, worker_pid: int) -> Program:
        """The worker with this process id."""
        return next(program for program in self.crew if program.pid == worker_pid)

    def heal(self) -> None:
        """Every host is reached again, and every worker has its share."""
        for name in HOST_NAMES:
            self.hosts.heal(name)
        self.wait_for_owners(WORKERS)

    def _launch_on(self, host: str, arguments: list[str], **overrides: str) -> Program:
        servers = {
            "DATABASE_URL": self.postgres.url.replace(LOOPBACK, self.hosts.address),
            "REDIS_URL": self.valkey.url.replace(LOOPBACK, self.hosts.address),
        }
        return self.launch(arguments, prefix=self.hosts.prefix(host), **servers, **overrides)
