"""The pure rules of ProcOS: values that travel between parts, and the errors they end in.

Nothing here imports more than the standard library, reads a clock or talks to a service.
"""
