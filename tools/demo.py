"""`make demo`: three named nodes on 127.0.0.1, 127.0.0.2 and 127.0.0.3, until Ctrl-C."""

import signal
import subprocess
import sys
import time
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

NODES = {"one": "127.0.0.1", "two": "127.0.0.2", "three": "127.0.0.3"}
FOLDER = Path("demo")
START_TIME_MAX_S = 20.0
GUIDE = """
Three nodes are up; their logs are {folder}/NAME.log. Try, in another terminal, in this folder:

    curl http://127.0.0.1:8080/get                  # 42, unless you wrote before
    curl http://127.0.0.2:8080/set/7                # write on the second node ...
    curl http://127.0.0.3:8080/get                  # ... and read it on the third
    curl http://127.0.0.1:8080/v1/value             # with its generation, origin and time
    curl http://127.0.0.1:8080/v1/members

    kill -9 {pid}                                  # end node three the hard way: suspect, soon failed in the list
    curl http://127.0.0.1:8080/set/8                # what it misses ...
    {restart}
    curl http://127.0.0.3:8080/get                  # ... it has when it is back

Ctrl-C ends the nodes; their value stays in {folder}/.
"""


def command(name: str, host: str) -> list[str]:
    """The command line of one node."""
    twistd = str(Path(sys.executable).with_name("twistd"))
    node = ["onevalue", "--name", name, "--advertise", host, "--join", ",".join(NODES.values())]
    return [twistd, "--nodaemon", "--pidfile=", *node, "--data-dir", str(FOLDER / name)]


def answers(url: str) -> bool:
    """Whether there is an answer, and no error."""
    try:
        with urlopen(url, timeout=1):
            return True
    except (OSError, HTTPException):
        return False


def wait_until_ready(name: str, node: subprocess.Popen[bytes]) -> None:
    """It takes writes, or this program ends with the end of its log."""
    end = time.monotonic() + START_TIME_MAX_S
    while not answers(f"http://{NODES[name]}:8080/readyz"):
        if node.poll() is not None or time.monotonic() > end:
            lines = (FOLDER / f"{name}.log").read_text().splitlines()
            sys.exit("\n".join([f"node {name} does not start:", *lines[-3:]]))
        time.sleep(0.1)


def main() -> None:
    """Start the nodes, say what to try, wait; whatever ends this program ends them too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for host in NODES.values():
        if answers(f"http://{host}:8080/healthz"):
            sys.exit(f"a node answers at http://{host}:8080 already: stop it first")
    FOLDER.mkdir(exist_ok=True)
    nodes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, host in NODES.items():
            with (FOLDER / f"{name}.log").open("ab") as log:
                nodes[name] = subprocess.Popen(command(name, host), stdout=log, stderr=log)
        for name, node in nodes.items():
            wait_until_ready(name, node)
        restart = " ".join([*command("three", NODES["three"]), "&"])
        print(GUIDE.format(folder=FOLDER, pid=nodes["three"].pid, restart=restart), flush=True)
        for node in nodes.values():
            node.wait()
    except KeyboardInterrupt:
        pass
    finally:
        for node in nodes.values():
            node.terminate()
        for node in nodes.values():
            node.wait()


if __name__ == "__main__":
    main()
