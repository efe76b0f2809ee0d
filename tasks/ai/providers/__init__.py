"""The adapters of AI providers, one file for each kind, and what they share: waiting, faults, reading answers."""
