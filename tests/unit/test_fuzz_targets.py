"""The fuzz targets without a fuzzer: they run, over all their seeds and some mutations of them, and can fail."""

import random
from types import ModuleType

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.web.remembered import RememberedAnswers
from onevalue.wire.codec import Packet, decode_packet
from onevalue.wire.messages import Err
from onevalue.wire.stream import encode_stream
from tests.fuzz import fuzz_node, fuzz_packets, fuzz_streams
from tests.fuzz.targets import NAMES, SLOW_S, SlowError, Target, load, run_timed
from tests.long import takes_long

MUTATIONS = {"packets": 500, "streams": 300, "node": 40, "reads": 40, "rpc": 300}
"""So many of each target: its inputs take about 0.1, 1, 5 and 15 ms."""

_ODD = [0x00, 0x7F, 0x80, 0x90, 0xC0, 0xC6, 0xCF, 0xDB, 0xDD, 0xDF, 0xFF]
"""Bytes that begin things in msgpack, or are edges."""


def mutated(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Up to three changes: a byte made odd, a piece cut out, repeated, or taken from `other`."""
    for _ in range(chance.randrange(1, 4)):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.randrange(9))
        replacement = chance.choice(
            [bytes([chance.choice(_ODD)]), b"", data[start:end] * chance.randrange(2, 9), other[start:], data[:start]]
        )
        data = data[:start] + replacement + data[end:]
    return data


def run_seeds(target: Target) -> None:
    """All that the target begins with was run; none is longer than an input may be."""
    for seed in target.seeds():
        assert len(seed) <= target.size_max
        target.run(seed)


class TargetTests(SynchronousTestCase):
    """Every target holds for what it begins with, and for what is like it."""

    @takes_long
    def test_seeds(self) -> None:
        """All of them are short enough, and nothing is found."""
        for name in NAMES:
            assert len(set(load(name).seeds())) > 100, name
            run_seeds(load(name))

    @takes_long
    def test_mutations(self) -> None:
        """Nothing is found; the same ones each time."""
        for name in NAMES:
            chance = random.Random(name)
            target = load(name)
            seeds = target.seeds()
            for _ in range(MUTATIONS[name]):
                target.run(mutated(chance.choice(seeds), chance.choice(seeds), chance)[: target.size_max])

    def test_nothing_is_an_input_too(self) -> None:
        """Fuzzers begin with it."""
        for name in NAMES:
            load(name).run(b"")


class FailureTests(SynchronousTestCase):
    """A target would tell: each is run upon something that does not hold."""

    def _break(self, module: ModuleType | type, name: str, by: object) -> None:
        self.patch(module, name, by)  # type: ignore[no-untyped-call]  # trial's has no types

    def _check_tells(self, name: str) -> None:
        with pytest.raises(AssertionError):
            run_seeds(load(name))

    def test_packets(self) -> None:
        """Decoding loses the last message of a packet."""
        self._break(fuzz_packets, "decode_packet", lambda data: Packet(decode_packet(data).messages[:-1]))
        self._check_tells("packets")

    def test_streams(self) -> None:
        """What is decoded is encoded as something else."""
        self._break(fuzz_streams, "encode_stream", lambda _, compress: encode_stream(Err("no"), compress=compress))
        self._check_tells("streams")

    def test_node(self) -> None:
        """A node sends more than a datagram may hold."""
        self._break(fuzz_node, "DATAGRAM_SIZE_MAX", 64)
        self._check_tells("node")

    def test_reads(self) -> None:
        """An answer is remembered for too long."""
        self._break(RememberedAnswers, "clear", lambda _: None)
        self._check_tells("reads")

    def test_slow_inputs(self) -> None:
        """What takes longer than it may is a finding; else the time is told."""
        target = Target(run=lambda _: sorted(range(1000)).clear(), seeds=list, size_max=1)
        assert 0.0 < run_timed(target, b"") < SLOW_S
        with pytest.raises(SlowError):
            run_timed(target, b"", slow_s=0.0)
