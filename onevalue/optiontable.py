"""The options of `twistd onevalue` by name, and what its help says of them, as Twisted wants them declared.

It must not know what they mean: `options` reads them.
"""

from collections.abc import Iterable

ENVIRONMENT_PREFIX = "ONEVALUE_"

PARAMETERS: list[list[str | None]] = [
    ["http", None, None, "Where to serve HTTP: a strports description. [default: tcp:8080 where gossip is bound]"],
    ["bind", None, None, "HOST[:PORT] where gossip listens, UDP and TCP. [default: see --advertise; port 7946]"],
    [
        "advertise",
        None,
        None,
        "HOST[:PORT] at which others reach this node; opens all interfaces unless loopback. Also ADVERTISE_ADDR.",
    ],
    [
        "engine",
        None,
        None,
        "gossip: this node is a member itself; agent: a Serf agent of this host is. [default: gossip]",
    ],
    ["agent", None, None, "HOST[:PORT] of the RPC of the Serf agent. [default: 127.0.0.1:7373]"],
    ["agent-auth-file", None, None, "File with the RPC key of the Serf agent (rpc_auth). [default: it has none]"],
    ["name", None, None, "Name of this node, unique in the cluster. [default: host name, and port if not 7946]"],
    [
        "initial",
        None,
        None,
        "The value before anybody writes, as JSON; the same on all nodes. [default: 42]",
    ],
    [
        "value-size-max",
        None,
        None,
        "Bytes of JSON of a value that is written here, at most 131072. [default: 65536]",
    ],
    [
        "cluster-size",
        None,
        None,
        "How many nodes there are to be: what ack=majority is reckoned by. [default: none]",
    ],
    [
        "data-dir",
        None,
        None,
        "Folder of the journal. [default: $STATE_DIRECTORY, else onevalue/NAME under the XDG state home]",
    ],
    ["value-file", None, None, "File that always holds the value, for programs of this host. [default: none]"],
    ["history-max", None, None, "How many accepted states the journal keeps, 0 to 10000. [default: 1000]"],
    [
        "members-to-notify",
        None,
        None,
        "How many random members each round of anti-entropy exchanges states with. [default: 2]",
    ],
    ["broadcast-interval", None, None, "Seconds between two rounds of anti-entropy. [default: 2]"],
    [
        "debug-interval",
        None,
        None,
        "Seconds between two lines of members and state in the log; 0: none. [default: 5]",
    ],
    [
        "key-file",
        None,
        None,
        "File of the cluster's keys: base64, one a line (`serf keygen` prints one), or Serf's keyring file.",
    ],
    [
        "verify-incoming",
        None,
        None,
        "no: with keys, take what is plain too; to move a cluster. [default: yes]",
    ],
    ["verify-outgoing", None, None, "no: with keys, encrypt nothing yet; to move a cluster. [default: yes]"],
    [
        "label",
        None,
        None,
        "Label of the cluster; nodes of another, or of none, are refused. [default: none]",
    ],
    [
        "token-file",
        None,
        None,
        "File of tokens for HTTP: `write TOKEN` or `read TOKEN` a line; SIGHUP reads it again.",
    ],
    ["ca-file", None, None, "PEM file of who signs members' certificates. [default: the platform's]"],
    ["host-names", None, None, "Further names of this host, a comma list, for HTTP at a loopback address."],
    ["rpc", None, None, "HOST[:PORT] at which Serf's own tools reach this node; port 7373. [default: none]"],
    ["rpc-auth-file", None, None, "File whose first line is the key that they must know; SIGHUP reads it again."],
    ["profile", None, None, "Timing of gossip: lan, wan or local. [default: lan]"],
    ["join-timeout", None, None, "Seconds after which a node whom nobody answers takes writes. [default: 5]"],
]

FLAGS: list[list[str | None]] = [
    ["no-journal", None, "Keep nothing on disk: for throw-away nodes. Wins over --data-dir."]
]

REPEATED = ("join", "tag", "setting")
"""Options that are collected."""

OF_THE_COMMAND = ("url", "token")
"""What `onevalue` takes from the environment, and a node does not."""


def variable_of(option: str) -> str:
    """The name of an option in the environment."""
    return ENVIRONMENT_PREFIX + option.replace("-", "_").upper()


def without_meaning(variables: Iterable[str]) -> tuple[str, ...]:
    """Those that look like options and are none, as a slip of the pen makes them; sorted."""
    options = [*(str(name) for name, *_ in (*PARAMETERS, *FLAGS)), *REPEATED, *OF_THE_COMMAND]
    known = {variable_of(option) for option in options}
    return tuple(sorted(each for each in variables if each.startswith(ENVIRONMENT_PREFIX) and each not in known))
