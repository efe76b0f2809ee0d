"""The routes of the sample package; named by the entry point group `procos.routes`."""

from datetime import timedelta

from procos.domain.external_task import Topic
from procos.domain.retry import RetryPolicy
from procos.routes import Route

QUICK = RetryPolicy(attempts=3, first_delay=timedelta(seconds=1), longest_delay=timedelta(seconds=1))

ROUTES = {
    Topic(topic): Route(
        task_name=f"sample.{topic}", queue=queue, module="sample_tasks.tasks", retry=QUICK, source="sample-tasks"
    )
    for topic, queue in (
        ("sample_noop", "generic"),
        ("sample_sleep", "ai"),
        ("sample_values", "generic"),
        ("sample_fail", "generic"),
    )
}

ODD_ROUTES = {
    Topic("sample_leak"): Route(
        task_name="sample.sample_leak",
        queue="generic",
        module="sample_tasks.leaky",
        retry=RetryPolicy(attempts=1),
        source="sample-tasks",
    ),
    Topic("sample_wait"): Route(task_name="sample.sample_wait", queue="ai", module="sample_tasks.tasks"),
    Topic("sample_stubborn"): Route(task_name="sample.sample_stubborn", queue="ai", module="sample_tasks.tasks"),
    Topic("sample_ask"): Route(task_name="sample.sample_ask", queue="ai", module="sample_tasks.asking"),
    Topic("sample_plain"): Route(task_name="sample.plain", queue="generic", module="sample_tasks.plain", retry=QUICK),
    Topic("sample_ticket"): Route(
        task_name="sample.sample_ticket", queue="generic", module="sample_tasks.tickets", source="sample-tasks"
    ),
    Topic("sample_scan"): Route(
        task_name="sample.sample_scan",
        queue="generic",
        module="sample_tasks.files",
        variables=("scan", "notes"),
        retry=QUICK,
        source="sample-tasks",
    ),
    Topic("sample_limited"): Route(
        task_name="sample.sample_limited",
        queue="generic",
        module="sample_tasks.tasks",
        time_limit=timedelta(seconds=1),
        retry=RetryPolicy(attempts=1),
        source="sample-tasks",
    ),
}
