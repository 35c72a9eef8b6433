"""The HTTP service on Klein: one file a group of routes, `channel` and `server` for the limits, `service` to run it."""
