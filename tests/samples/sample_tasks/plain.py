"""A Celery task that was written without @process_task, and does what such tasks do: it may leave without a word."""

import os
import signal

from celery.exceptions import Ignore, Reject

from procos.app import app


@app.task(name="sample.plain", bind=True, ignore_result=False)
def plain(task, dispatch, variables, business_key):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG001
    """End in the way the variable `how` says."""
    match variables["how"]:
        case "ignore":
            raise Ignore
        case "reject":
            raise Reject(requeue=False)
        case "requeue":
            raise Reject(requeue=True)
        case "retry":
            raise task.retry(countdown=0, max_retries=1)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill once" if not task.request.delivery_info["redelivered"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            signal.pause()
    return {"procos": 1, "kind": "completion", "variables": {"how": variables["how"]}}
