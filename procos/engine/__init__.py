"""The client of the engine: the Camunda 7 REST API, and nothing else of the engine.

`protocol` says what the bridge needs, `http` does it; `processes` is for deploying, starting and watching.
Third-party exceptions and engine answers become errors of `procos.domain.errors` in `transport` and `faults`.
"""
