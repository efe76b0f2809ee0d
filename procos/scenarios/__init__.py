"""Stories of the system at work, told stage by stage: each runs real parts and says what it found.

`stage` has the values, each other file one story; `procos scenario` tells them.
"""
