"""The steps of the chaos suite's models: a package as a third party would write it, found by its entry point.

Each step notes in the effects ledger that it began and that it had its effect, so that what was lost or done twice can
be counted from outside.
"""
