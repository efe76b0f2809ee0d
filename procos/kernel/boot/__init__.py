"""`procos kernel`: boots the system in six phases, watches over its engine and takes leave of it.

`phases` says which they are; `microkernel` goes through them; each other file is the work of one of them.
"""
