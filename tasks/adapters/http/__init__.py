"""Adapter `http`: any service that speaks HTTP, asked once, with every bound kept.

In the order in which to read it: `adapter` is what others call; `request` and `connection` are what is asked and of
whom; `conversation` asks, follows and reads; `address`, `guard` and `wire` say where a request may go and how long it
may take; `bodies` and `content` are what is sent and what came back; `verdict` is what an answer means for a process.
"""
