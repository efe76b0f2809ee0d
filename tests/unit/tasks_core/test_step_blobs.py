"""`context.blobs` and `text_of`: what a task puts into the store and reads from it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from procos.domain.errors import BusinessError, PermanentError
from procos.settings import load_settings
from procos.testing import dispatch_ref
from tasks.blobs import TextOrBlob, text_of
from tasks.context import TaskContext

if TYPE_CHECKING:
    from procos.settings import Settings


def context(settings: Settings) -> TaskContext:
    ref = dispatch_ref()
    return TaskContext(
        external_task_id=ref.external_task_id,
        process_instance_id=ref.process_instance_id,
        business_key=None,
        topic=ref.topic,
        celery_id="id",
        settings=settings,
        deadline=10.0,
    )


@pytest.fixture
def step() -> TaskContext:
    url = f"memory://{uuid.uuid4().hex}"
    return context(load_settings({"PROCOS_BLOBS_URL": url, "PROCOS_WORKER_LARGEST_MESSAGE": "1024"}, dotenv=None))


class TestBlobs:
    def test_belong_to_the_steps_instance(self, step: TaskContext) -> None:
        kept = step.blobs.put(b"%PDF", media_type="application/pdf", name="a.pdf")
        assert kept.process_instance_id == step.process_instance_id
        assert step.blobs.read(kept) == b"%PDF"
        with step.blobs.open(kept) as stream:
            assert stream.read(2) == b"%P"

    def test_are_read_whole_up_to_a_limit_and_in_pieces_beyond(self, step: TaskContext) -> None:
        kept = step.blobs.put(b"x" * 1025)
        with pytest.raises(PermanentError, match="at most 1024") as caught:
            step.blobs.read(kept)
        assert caught.value.code == "BLOB_TOO_LARGE"
        assert step.blobs.read(kept, largest=2000) == b"x" * 1025
        with step.blobs.open(kept) as stream:
            assert len(stream.read()) == 1025

    def test_say_what_to_set_where_there_is_no_store(self) -> None:
        with pytest.raises(PermanentError, match="PROCOS_BLOBS_URL") as caught:
            context(load_settings({}, dotenv=None)).blobs.put(b"a")
        assert caught.value.code == "BLOBS_UNSET"


class TestTextOf:
    def test_is_the_text_wherever_it_stands(self, step: TaskContext) -> None:
        class Order(BaseModel):
            contract: TextOrBlob

        kept = step.blobs.put("grüße".encode("latin-1"), media_type="text/plain; charset=latin-1")
        for given in ("grüße", kept.to_json()):
            order = Order.model_validate({"contract": given})
            assert text_of(order.contract, step) == "grüße"

    def test_is_bounded(self, step: TaskContext) -> None:
        with pytest.raises(PermanentError):
            text_of(step.blobs.put(b"12345"), step, largest=4)

    def test_of_what_is_none_is_invalid_input(self, step: TaskContext) -> None:
        with pytest.raises(BusinessError, match=r"scan\.pdf: is no text") as caught:
            text_of(step.blobs.put(b"\xff\xfe", name="scan.pdf"), step)
        assert caught.value.code == "INVALID_INPUT"
