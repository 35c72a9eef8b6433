"""Coverage-guided fuzzing of what comes from the network: `make fuzz`, or `python -m tests.fuzz`.

A target is a function of bytes that raises when something does not hold; `targets` lists them, `seeds` makes what they
begin with, `child` runs one under atheris, and `__main__` runs them all. Targets know nothing of atheris, so the unit
tests keep them alive without it.
"""
