"""The agent RPC server: Serf's own command line, and whatever else speaks to a Serf agent, runs against this node."""
