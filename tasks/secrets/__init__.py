"""Connections and secrets by name: found, handed to a task at the last moment, and struck out of all it says."""
