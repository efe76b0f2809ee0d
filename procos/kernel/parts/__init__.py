"""The parts of the local stack, one file each: where it answers, how it is started, configured and asked.

`procos.kernel.plan` puts them together.
"""
