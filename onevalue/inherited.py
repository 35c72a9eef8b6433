"""Sockets that systemd has opened for this process (LISTEN_FDS): what kind of service one that HTTP is to use makes.

A description such as `systemd:domain=INET:name=http` says nothing of host and port, which the rules about who can reach
the service go by; so the socket itself is asked, and described as if the node had opened it. It must not know those
rules.
"""

import os
import re
import socket
from collections.abc import Mapping

from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint

from onevalue.addresses import V6ONLY

_PREFIX = "systemd:"
_NAME = re.compile(r"(?<=:)name=([^:]*)")
_FAMILIES = {socket.AF_INET: "INET", socket.AF_INET6: "INET6", socket.AF_UNIX: "UNIX"}


def describe_inherited(text: str, endpoint: IStreamServerEndpoint) -> str | None:
    """A description of the same service, as `tcp:8080:interface=10.0.0.1`; None if it needs no inherited socket.

    Args:
        text: the description that was given.
        endpoint: made of it.

    Raises:
        ValueError: the socket cannot serve; the message goes on from the text.
    """
    if not isinstance(endpoint, AdoptedStreamServerEndpoint):
        return None
    try:
        number = os.dup(endpoint.fileno)
    except OSError:
        raise ValueError(why_missing(text)) from None
    with socket.socket(fileno=number) as found:  # its family is asked of the system
        family = _FAMILIES.get(found.family)
        if family is None or found.type != socket.SOCK_STREAM:
            raise ValueError("is no stream socket of IPv4, IPv6 or UNIX: systemd needs ListenStream= there")
        if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError("does not listen: systemd needs Accept=no there")
        if endpoint.addressFamily != found.family:
            raise ValueError(f"is a socket of another kind: write domain={family}")
        return _description(found)


def check_names(text: str, environ: Mapping[str, str]) -> None:
    """Raises ValueError if several inherited sockets have the name that the description gives; only one would serve."""
    name = _NAME.search(text) if text.startswith(_PREFIX) else None
    count = environ.get("LISTEN_FDNAMES", "").split(":").count(name[1]) if name else 0
    if count > 1:
        raise ValueError(
            f"could be {count} sockets, and the node serves one: give each a FileDescriptorName= of its own, or have"
            " one ListenStream= for IPv4 and IPv6"
        )


def why_missing(text: str) -> str:
    """Why there is no socket for the description; goes on from its text."""
    name = _NAME.search(text)
    which = f"FileDescriptorName={name[1]}" if name else "so many sockets"
    return f"names a socket that systemd did not open for this process: its .socket unit must run, with {which}"


def is_inherited(text: str) -> bool:
    """The description is of a socket that systemd opens."""
    return text.startswith(_PREFIX)


def _description(found: socket.socket) -> str:
    name = found.getsockname()
    if found.family == socket.AF_UNIX:
        path = name if isinstance(name, str) else "@" + name[1:].decode("utf-8", "replace")
        return f"unix:{path}"
    kind = "tcp6" if found.family == socket.AF_INET6 else "tcp"
    only = name[0] == "::" and found.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return f"{kind}:{name[1]}:interface={name[0].replace(':', chr(92) + ':')}{V6ONLY if only else ''}"
