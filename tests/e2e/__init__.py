"""End-to-end tests: real processes on free loopback addresses."""
