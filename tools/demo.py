"""`make demo`: three named nodes on 127.0.0.1, 127.0.0.2 and 127.0.0.3, until Ctrl-C."""

import subprocess
import sys
from pathlib import Path

NODES = {"one": "127.0.0.1", "two": "127.0.0.2", "three": "127.0.0.3"}
FOLDER = Path("demo")
GUIDE = """
Three nodes are up; their logs are {folder}/NAME.log. Try, in another terminal:

    curl http://127.0.0.1:8080/get                  # 42, unless you wrote before
    curl http://127.0.0.2:8080/set/7                # write on the second node ...
    curl http://127.0.0.3:8080/get                  # ... and read it on the third
    curl http://127.0.0.1:8080/v1/value             # with its generation, origin and time
    curl http://127.0.0.1:8080/v1/members

    kill -9 {pid}                                  # end node three the hard way, and look at the members again
    {restart}

Ctrl-C ends all three; their value stays in {folder}/.
"""


def command(name: str, host: str) -> list[str]:
    """The command line of one node."""
    twistd = str(Path(sys.executable).with_name("twistd"))
    node = ["onevalue", "--name", name, "--advertise", host, "--join", ",".join(NODES.values())]
    return [twistd, "--nodaemon", "--pidfile=", *node, "--data-dir", str(FOLDER / name)]


def main() -> None:
    """Start the nodes, say what to try, wait."""
    FOLDER.mkdir(exist_ok=True)
    nodes: dict[str, subprocess.Popen[bytes]] = {}
    for name, host in NODES.items():
        with (FOLDER / f"{name}.log").open("ab") as log:
            nodes[name] = subprocess.Popen(command(name, host), stdout=log, stderr=log)
    restart = " ".join(command("three", NODES["three"]))
    print(GUIDE.format(folder=FOLDER, pid=nodes["three"].pid, restart=restart), flush=True)
    try:
        for node in nodes.values():
            node.wait()
    except KeyboardInterrupt:
        pass
    for node in nodes.values():
        node.terminate()
    for node in nodes.values():
        node.wait()


if __name__ == "__main__":
    main()
