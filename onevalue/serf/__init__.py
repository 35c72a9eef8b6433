"""Serf on top of SWIM: tags, intents with Lamport time, user events, leaving on purpose. Pure."""
