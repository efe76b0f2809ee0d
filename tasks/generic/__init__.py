"""The tasks any process can use, whatever its subject."""
