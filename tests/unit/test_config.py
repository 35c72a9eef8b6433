"""Settings are validated once; a refusal names the field."""

from dataclasses import FrozenInstanceError, fields
from math import inf, nan
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from onevalue.config import LAN, LOCAL, WAN, SerfSettings, SpreadSettings, SwimSettings
from onevalue.errors import ConfigError

Settings = type[Any]

ALL: list[Settings] = [SwimSettings, SerfSettings, SpreadSettings]

EDGES: list[tuple[Settings, str, list[float], list[float]]] = [
    (SwimSettings, "probe_timeout_s", [1.0], [1.001]),
    (SwimSettings, "retransmit_mult", [1], [0, -1]),
    (SwimSettings, "suspicion_mult", [1], [0]),
    (SwimSettings, "suspicion_max_timeout_mult", [1], [0]),
    (SwimSettings, "awareness_max_multiplier", [1], [0]),
    (SwimSettings, "indirect_checks", [0, 1], [-1]),
    (SwimSettings, "gossip_nodes", [0, 1], [-1]),
    (SwimSettings, "packet_size_max", [512, 65000], [511, 65001]),
    (SerfSettings, "user_event_size_max", [64, 9216], [63, 9217]),
    (SerfSettings, "join_retry_max_s", [0.25], [0.2]),
    (SerfSettings, "query_timeout_mult", [1], [0]),
    (SerfSettings, "query_size_max", [256, 9216], [255, 9217]),
    (SerfSettings, "query_response_size_max", [256, 9216], [255, 9217]),
    (SpreadSettings, "members_to_notify", [0, 64], [-1, 65]),
    (SpreadSettings, "events_burst", [1], [0]),
    (SpreadSettings, "direct_members_max", [1], [0]),
]
"""Settings, field, values that are admitted and values that are refused, all else being the default."""


class ConfigTests(SynchronousTestCase):
    """Every constraint, at its edges."""

    def test_the_edges_of_each_constraint(self) -> None:
        """What is admitted is kept; what is refused names the field and the value."""
        for settings, name, admitted, refused in EDGES:
            for value in admitted:
                assert getattr(settings(**{name: value}), name) == value
            for value in refused:
                with pytest.raises(ConfigError, match=f"^{name} must be .*, not {value}"):
                    settings(**{name: value})

    def test_seconds_and_rates_are_finite_and_above_zero(self) -> None:
        """Each field that ends in _s; only the reclaim time may be 0, which is off."""
        for settings in ALL:
            for name in [field.name for field in fields(settings) if field.name.endswith("_s")]:
                for value in (-1.0, inf, nan, *([] if name == "dead_node_reclaim_s" else [0.0])):
                    with pytest.raises(ConfigError, match=f"^{name} must be"):
                        settings(**{name: value})
        assert SwimSettings(dead_node_reclaim_s=0.0).dead_node_reclaim_s == 0.0

    def test_each_field_has_a_constraint_or_is_a_switch(self) -> None:
        """A new field does not slip through without one."""
        for settings in ALL:
            for field in fields(settings):
                bounded = field.name.endswith("_s") or any(field.name == name for _, name, _, _ in EDGES)
                assert bounded or field.type is bool, field.name

    def test_settings_do_not_change(self) -> None:
        """They are validated once, so they are frozen."""
        for settings in ALL:
            one = settings()
            with pytest.raises(FrozenInstanceError):
                setattr(one, fields(settings)[0].name, 1)

    def test_the_presets_are_memberlists(self) -> None:
        """The figures of its LAN, WAN and local profiles (wire README 4.1)."""
        table = {
            "probe_interval_s": (1.0, 5.0, 1.0),
            "probe_timeout_s": (0.5, 3.0, 0.2),
            "indirect_checks": (3, 3, 1),
            "retransmit_mult": (4, 4, 2),
            "suspicion_mult": (4, 6, 3),
            "suspicion_max_timeout_mult": (6, 6, 6),
            "gossip_interval_s": (0.2, 0.5, 0.1),
            "gossip_nodes": (3, 4, 3),
            "gossip_to_the_dead_s": (30.0, 60.0, 15.0),
            "push_pull_interval_s": (30.0, 60.0, 15.0),
            "stream_timeout_s": (10.0, 30.0, 1.0),
        }
        for name, figures in table.items():
            assert tuple(getattr(preset, name) for preset in (LAN, WAN, LOCAL)) == figures, name
