"""What a model says of a step's result and errors, applied when its task has ended; `tasks.task` asks `outcomes`."""
