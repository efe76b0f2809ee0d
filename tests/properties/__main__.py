"""Looks for orders of events that do harm: `python -m tests.properties [--examples N] [--seed N]`.

A failure is made as short as it can be made in a minute, and printed as the steps that led to it, with the seed.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys

import structlog
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.test_nothing_is_lost import Surroundings, thorough


def main() -> None:
    """Run so many examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))  # noqa: S311  # any number
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.stderr.write(f"seed {arguments.seed}, {arguments.examples} examples of up to 50 steps\n")
    machine = seed(arguments.seed)(type("Surroundings", (Surroundings,), {}))
    run_state_machine_as_test(machine, settings=thorough(arguments.examples, derandomize=False))
    sys.stderr.write("every step ended\n")


if __name__ == "__main__":
    main()
