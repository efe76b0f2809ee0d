"""Files in the folders and stores an operator has named: read, write, list, stat, copy, delete, and their hashes.

`paths` says what a path may look like, `local` and `remote` are the two kinds of roots behind `root`, `content` what
becomes of bytes, `listing` walks through folders, and `adapter` is all of it as a service.
"""
