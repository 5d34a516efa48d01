"""A set of nodes: start them on this machine, watch over their processes, render them for real hosts."""
