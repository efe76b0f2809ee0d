"""The command line, one file per command group; `procos.cli.main` is the entry point."""
