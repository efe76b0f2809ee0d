"""ProcOS runs BPMN processes on a Camunda 7 engine with Celery workers.

Importing this package has no effect; the command line is in `procos.cli`, the Celery app in `procos.app`.
"""

__version__ = "2026.11.0"
