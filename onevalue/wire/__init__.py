"""The wire formats of memberlist and Serf: bytes to messages and back. Pure."""
