"""Registers the careless task; it may run twice, as `sample_tasks.leaks` says."""

from sample_tasks.leaks import leak  # type: ignore[import-not-found]  # found by its path, as when installed
from tasks.task import process_task

process_task(topic="sample_leak")(leak)
