"""The simulator: the shipped node in virtual time, on a network and a disk that do what the seed says.

Only sockets, HTTP, threads and the disk are replaced; all else is wired by `assembly`, as in a real process. It must
not use a real clock, chance without a seed, or the reactor.
"""
