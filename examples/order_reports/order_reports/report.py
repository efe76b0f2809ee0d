"""Topic `order_report`: writes the report of an order, and files it in the archive.

Running it twice is harmless: the report is filed under the number of its order, and the same one again changes nothing.
"""

from decimal import Decimal

from pydantic import BaseModel, Field

from order_reports.archive import Filed, ReportArchive
from procos.domain.errors import BusinessError
from tasks.adapters.calling import called, service_of
from tasks.task import TaskContext, process_task


class Position(BaseModel):
    """One line of an order."""

    article: str = Field(min_length=1, max_length=200)
    quantity: int = Field(ge=1, le=1_000_000)
    price: Decimal = Field(ge=0, max_digits=12, decimal_places=2)


class OrderReportInput(BaseModel):
    """The variables it reads."""

    order_number: str = Field(pattern=r"^[A-Z0-9-]{1,40}$", description="Under which the report is filed.")
    positions: list[Position] = Field(max_length=10_000)
    archive: str = Field("reports", description="The connection of the archive.")


class OrderReportOutput(BaseModel):
    """The variables it sets."""

    order_total: Decimal
    report_signature: str = Field(description="What proves that the report is as it was filed.")


@process_task(topic="order_report")
def order_report(order: OrderReportInput, context: TaskContext) -> OrderReportOutput:
    """File the report of an order.

    Raises:
        BusinessError: ORDER_EMPTY, or REPORT_DIFFERS where the order was reported otherwise before.
    """
    if not order.positions:
        raise BusinessError("ORDER_EMPTY", "the order has no positions")
    archive = service_of(ReportArchive, order.archive, context)
    report = {"number": order.order_number, "text": written(order)}
    filed = Filed.model_validate(called(archive, "file_report", report, context))
    return OrderReportOutput(order_total=total(order), report_signature=filed.signature)


def written(order: OrderReportInput) -> str:
    """Return the report as a text: a line for each position, and the total."""
    lines = [f"{each.quantity:>8} {each.article} {each.quantity * each.price}" for each in order.positions]
    return "\n".join([f"order {order.order_number}", *lines, f"total {total(order)}", ""])


def total(order: OrderReportInput) -> Decimal:
    """Return what the order costs."""
    return sum((each.quantity * each.price for each in order.positions), Decimal("0.00"))
