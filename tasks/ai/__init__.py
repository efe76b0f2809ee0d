"""The tasks that talk to AI providers, and what they share: choosing, asking, reading answers."""
