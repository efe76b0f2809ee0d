"""`procos doctor`: looks at everything a step passes on its way, and names the cure for what is wrong.

`command` runs the checks and prints what they found, `findings` says what a finding is. The checks, by what they look
at: `secrets`, `connections`, `packages`, `providers`, `services` and `models`.
"""
