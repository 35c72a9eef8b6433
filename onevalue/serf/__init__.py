"""Serf on SWIM: clocks, intents, events. Pure."""
