"""The figures of docs/simulation.md: `runs` runs what a section asks for and keeps it, `showing` has tables and curves.

Each section is a file: its grid of points, the plan of each, its tables and its picture, and `SECTION`, which names
them all. For `tools/figures.py` alone. It must not know how anything is simulated.
"""
