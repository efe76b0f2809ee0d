"""The Celery tasks ProcOS ships, and `tasks.task`, with which every task is written.

A task is a function of variables to variables; it knows nothing of the engine. Everything here may run twice.
"""
