"""Adapter `database`: statements the operator has named, asked of PostgreSQL or SQLite.

A step gives the name of a statement and its parameters; it never writes SQL, unless the operator allows it.
From the outside in: `adapter` (the operation), `statements` (which SQL), `parameters` (what is bound), `execution` (one
statement in one transaction), `gathering` and `values` (rows as JSON), and for each dialect how it is opened, held to
its limits, and what its errors mean.
"""
