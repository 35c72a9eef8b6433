"""Requests at a loopback address must name this host: the guard against DNS rebinding.

A web page of any site can have its own name lead to 127.0.0.1; then its browser sends requests here that look to all
other rules as if they were for this page's own site. The Host header gives them away: it has the name of that site.
Addresses are let through, as no site can have one for its name. It must not know the routes.
"""

import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

from twisted.web.iweb import IRequest

from onevalue.addresses import ADDRESSES_JUDGED_MAX, is_loopback
from onevalue.web.problems import ProblemError

HOSTS_FILE = Path("/etc/hosts")
HOSTS_FILE_SIZE_MAX = 1 << 20
"""Characters of /etc/hosts in which this host's other names are looked for."""


class HostCheck:
    """Refuses what has arrived at a loopback address for a name that is not this host's.

    Args:
        names: this host's, beside localhost; upper and lower case are the same.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(_bare(name) for name in names)

    def __call__(self, request: IRequest) -> None:
        """Nothing, if the request may go on.

        Raises:
            ProblemError: 421.
        """
        arrived_at = getattr(request.getHost(), "host", None)  # a socket file has none, and no page reaches it
        asked_for = request.getHeader(b"Host")  # HTTP/1.0 may have none; no browser sends that
        if arrived_at is None or asked_for is None or not is_loopback(arrived_at):
            return
        host = _host_of(asked_for.decode("latin-1"))
        if not (_is_address(host) or self._is_ours(_bare(host))):
            raise ProblemError(
                421,
                f"the Host header names {host!r}, which is no name of this host: it could be a web page's, that leads"
                " here by a trick of the DNS. Use the address, or localhost, or start the node with --host-names",
            )

    def _is_ours(self, name: str) -> bool:
        return name in self._names or name == "localhost" or name.endswith(".localhost")


def names_of_this_host() -> list[str]:
    """The host name, and what /etc/hosts has in a line with it: the full name, as a rule. DNS is not asked."""
    name = socket.gethostname()
    try:
        with HOSTS_FILE.open(encoding="utf-8", errors="replace") as file:
            text = file.read(HOSTS_FILE_SIZE_MAX)
    except OSError:
        text = ""
    return [name, *names_beside(name, text)]


def names_beside(name: str, hosts: str) -> list[str]:
    """The names that stand in a line with `name`, in a text of the form of /etc/hosts."""
    found: dict[str, None] = {}
    for line in hosts.splitlines():
        _, *names = line.partition("#")[0].split() or [""]
        if _bare(name) in map(_bare, names):
            found.update(dict.fromkeys(each for each in names if _bare(each) != _bare(name)))
    return list(found)


def _host_of(header: str) -> str:
    """The host of a Host header, without the port, and without the brackets of an IPv6 address."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _bare(name: str) -> str:
    return name.lower().removesuffix(".")


@lru_cache(ADDRESSES_JUDGED_MAX)
def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
