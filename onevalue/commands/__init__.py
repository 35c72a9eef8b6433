"""The verbs of the command `onevalue` that ask a node: one file for each group. They know no Twisted, to start fast."""
