"""Failure drills: a cluster of real nodes, what one does to it, and whether it kept its promises.

For the operator's script (`tools/drills.py`) and for the tests (`tests/e2e/test_drills.py`), so it lives beside the
first and not among the second. Only the standard library is imported, and nothing of the package: the nodes are
processes, as they are for everybody else. `scenes` holds the drills, one a file; the rest is what they share.
"""
