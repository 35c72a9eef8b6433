"""The sections of `serf info`, with the names that an agent has. It must not know who asks."""

import os
import platform
import sys
import threading
from collections.abc import Mapping

from onevalue.serf_side import SerfSide

_ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
"""As Go calls them, where that is another word."""


def sections(side: SerfSide, *, encrypted: bool, version: str) -> dict[str, dict[str, str]]:
    """All there is to say of this node; `version` is that of the program.

    Where an agent counts its goroutines, threads are counted; there are no event handlers.
    """
    machine = platform.machine()
    return {
        "agent": {"name": side.name},
        "runtime": {
            "os": sys.platform,
            "arch": _ARCHITECTURES.get(machine, machine),
            "version": f"onevalue {version}, python {platform.python_version()}",
            "max_procs": "1",
            "goroutines": str(threading.active_count()),
            "cpu_count": str(os.cpu_count() or 1),
        },
        "serf": {**side.stats(), "encrypted": str(encrypted).lower()},
        "tags": dict(side.tags),
        "event_handlers": {},
    }
