"""What it costs to check a document of 1 KB: the whole function of the topic `input_validation`."""

from __future__ import annotations

import json

from procos.settings import load_settings
from tasks.generic.input_validation import InputValidationInput, input_validation
from tests.benchmarks.rows import Row
from tests.benchmarks.tasks.contexts import context_of
from tests.benchmarks.tasks.turns import milliseconds

MOST_MILLISECONDS = 0.2
SCHEMA = {
    "type": "object",
    "required": ["order_id", "items"],
    "properties": {
        "order_id": {"type": "string", "pattern": "^[A-Z0-9-]{1,40}$"},
        "placed_at": {"type": "string", "format": "date-time"},
        "items": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["name", "quantity", "price"],
                "properties": {
                    "name": {"type": "string", "maxLength": 200},
                    "quantity": {"type": "integer", "minimum": 1},
                    "price": {"type": "number", "minimum": 0},
                },
            },
        },
    },
}
ORDER = {
    "order_id": "A-1001",
    "placed_at": "2026-11-29T08:00:00Z",
    "items": [{"name": f"Blue cup, number {number}", "quantity": 2, "price": 4.5} for number in range(17)],
}


def measure(*, rounds: int, calls: int) -> list[Row]:
    """Return a row for a valid document, the schema as text, as a model gives it."""
    schema, context = json.dumps(SCHEMA), context_of("input_validation", load_settings({}, dotenv=None))

    def check() -> object:
        return input_validation(InputValidationInput(schema=schema, **ORDER), context)

    spent = milliseconds({"ours": check}, rounds=rounds, calls=calls)["ours"]
    return [
        Row(
            measure="CPU of input_validation",
            figure=spent,
            unit="ms a document",
            bound=MOST_MILLISECONDS,
            details=f"{len(json.dumps(ORDER))} bytes, schema of {len(schema)}; {rounds} rounds of {calls}",
        )
    ]
