"""Where the steps of our topic go; the bridge imports this, and never what does the work."""

from procos.domain.external_task import Topic
from procos.routes import Route

ROUTES = {
    Topic("order_report"): Route(
        task_name="order_reports.order_report",
        queue="reports",
        module="order_reports.report",
        variables=("order_number", "positions", "archive"),
        errors=("ORDER_EMPTY", "REPORT_DIFFERS"),
    ),
}
