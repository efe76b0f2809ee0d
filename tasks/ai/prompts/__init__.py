"""Named prompt templates: files that say how a task is put to a model, filled with the variables of a step.

    template = library(settings.ai).template("summarization")
    prompt = filled(template, {"text": "…"}, key=context.idempotency_key)

`library` knows which templates there are, `template` reads one file, `rendering` makes messages of it, and `sandbox`
fills it as every text template is filled (`tasks.templates`). The topics that take a `template` are the callers.
Prompts are never taken from variables: who can write a variable could else rewrite what a model is told.
"""
