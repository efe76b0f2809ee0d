"""What our workers do beside steps; every worker imports this, since the entry point `procos.tasks` names it.

A signal says at the start whether the archive can be used. A plain Celery task says so whenever somebody asks:
`app.send_task("order_reports.archive_state", queue="reports").get(timeout=30)`. Who sends it names the queue.
"""

from celery.signals import worker_ready

from procos.app import app
from procos.logs import get_logger
from tasks.adapters.health import look_at

ARCHIVE = "reports"
log = get_logger(__name__)


@worker_ready.connect
def look_at_start(**_: object) -> None:
    """Log how the archive is, before the first report is written."""
    log.info("order_reports.archive", state=archive_state())


@app.task(name="order_reports.archive_state", queue="reports")
def archive_state() -> str:
    """Say whether the archive can be used, and why not."""
    look = look_at(ARCHIVE, app.conf.procos)
    return f"{look.state}: {look.detail}"
