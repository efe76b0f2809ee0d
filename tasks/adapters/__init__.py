"""Service adapters: services outside, each with its operations behind one interface.

`tasks.adapters.adapter` is the interface, `tasks.adapters.known` finds the adapters there are, built in or of a user's
own package, and `tasks.adapters.calling` calls them for a step.
"""
