"""The routes of the chaos suite; named by the entry point group `procos.routes`."""

from datetime import timedelta

from procos.domain.external_task import Topic
from procos.domain.retry import RetryPolicy
from procos.routes import Route

QUICK = RetryPolicy(attempts=3, first_delay=timedelta(seconds=1), longest_delay=timedelta(seconds=1))
"""Three attempts, of which the flaky step needs all: a try that a fault burns shows as an incident."""

ROUTES = {
    Topic(topic): Route(
        task_name=f"chaos.{topic}", queue=queue, module="chaos_tasks.steps", retry=QUICK, source="chaos-tasks"
    )
    for topic, queue in (
        ("chaos_work", "generic"),
        ("chaos_flaky", "generic"),
        ("chaos_mend", "generic"),
        ("chaos_settle", "generic"),
        ("chaos_poison", "generic"),
        ("chaos_think", "ai"),
        ("chaos_refuse", "ai"),
        ("chaos_dawdle", "ai"),
        ("chaos_note", "ai"),
    )
}
