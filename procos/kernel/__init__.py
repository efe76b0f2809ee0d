"""The microkernel: starts the parts of a local stack, watches over them and stops them so that none is left behind.

`plan` says which parts there are and where, `supervisor` brings them up in order, each with a `keeper` of its own, and
`nursery` starts their processes under a guard that outlives us. Only `procos.cli` calls this package.
"""
