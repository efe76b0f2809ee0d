"""A package of a third party: adds topics and tasks to ProcOS by entry point, as any installed package may.

The tests put its folder on the path; its `.dist-info` stands beside it, as an installer would write it.
"""
