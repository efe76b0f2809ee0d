"""Text templates that can write text and do nothing else: Jinja of a narrow kind, in a sandbox with limits.

    compiled = compiled_text("Dear {{ name }}, …")
    text = written(compiled, {"name": "Ann"}, meter)["text"]

`grammar` refuses what a template may not say, `filters` has what it may call, and `sandbox` fills it. Prompts
(`tasks.ai.prompts`) and the topic `data_transformation` are the callers.
"""
