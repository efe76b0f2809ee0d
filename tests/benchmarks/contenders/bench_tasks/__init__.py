"""The step of the benchmark's models: a package as a third party would write it, found by its entry point.

What it serves is told by the environment, since each round has a topic of its own: `BENCH_TOPIC`, `BENCH_QUEUE`,
`BENCH_SECONDS` and `BENCH_RUNS`, the file that gets a line for each run.
"""
