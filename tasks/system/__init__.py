"""The tasks of the system's own processes: they look after the parts of ProcOS, and let users ask for processes."""
