"""SWIM as HashiCorp's memberlist speaks it, with Lifeguard. Pure."""
