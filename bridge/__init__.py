"""The bridge: takes external tasks from the engine, sends them as Celery tasks, reports how they ended.

    Poller ──▶ Dispatcher ──▶ Publisher ──▶ RabbitMQ ──▶ Celery worker ──▶ RabbitMQ ──▶ Callbacks ──▶ Reporter

`daemon` wires the parts and owns the threads. `Ledger` is what all replicas remember together, `LeaseKeeper` keeps the
engine from giving out again what is in flight. Nothing here imports a task.
"""
