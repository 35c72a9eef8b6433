"""The external engine: membership and events of a Serf agent that already runs on this host, over its RPC."""

from onevalue.agent.engine import AgentEngine

__all__ = ["AgentEngine"]
