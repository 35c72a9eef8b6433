"""The HTTP service on Klein."""
