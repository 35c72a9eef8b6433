"""A node that has stood still calls nobody failed for what passed meanwhile."""

from tests.e2e.harness import House, Node, at_once, ensure_deferred, eventually, pause

TIMING = {
    "probe_interval_s": "0.5",
    "probe_timeout_s": "0.25",
    "suspicion_mult": "4",
    "suspicion_max_timeout_mult": "2",
    "retransmit_mult": "16",  # that the refutation is lost is no matter of this test
}
"""A suspicion lasts 2 to 4 s."""

SUSPICION_MAX_S = 4.0
CALM_S = 3.0


async def suspects(node: Node, name: str) -> bool:
    """The node suspects a member, or does not, now."""
    return bool((await node.members())[name]["suspect"])


@ensure_deferred
async def test_a_node_that_stood_still_calls_nobody_failed(house: House) -> None:
    """It suspected one that has refuted while it slept for longer than the suspicion was to last."""
    settings = [f"--setting={name}={value}" for name, value in TIMING.items()]
    nodes = await house.cluster(5, options=["--debug-interval", "0", *settings])
    sleeper, suspect, *others = nodes
    assert sleeper.process is not None
    assert suspect.process is not None
    suspect.process.signal("STOP")
    await eventually(lambda: suspects(sleeper, suspect.name), 10, "the one suspects the other")
    sleeper.process.signal("STOP")
    suspect.process.signal("CONT")
    before = len(sleeper.output)
    await pause(SUSPICION_MAX_S + 2.0)
    sleeper.process.signal("CONT")
    await pause(CALM_S)
    woken = sleeper.output[before:]
    assert "stood still for" in woken
    assert f"{suspect.name} is alive after all" in woken
    assert "member failed" not in woken
    alive = {node.name: "alive" for node in nodes}
    await at_once(*(node.sees(alive) for node in (sleeper, suspect, *others)))
    status = (await sleeper.call("GET", "/v1/status")).json()
    assert status["reactor"]["stalls"] >= 1
    assert status["reactor"]["lag_max_s"] > SUSPICION_MAX_S
    assert status["engine"]["swim"]["counters"]["stalls"] >= 1
