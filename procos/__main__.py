"""Runs the command line as `python -m procos`."""

from procos.cli.main import main

main()
