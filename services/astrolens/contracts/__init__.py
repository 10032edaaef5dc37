"""What the services say to each other and keep: events, topics, ids, verdicts, records.

Pydantic and the standard library only. `schemas/` is generated from here and a test diffs it.
"""
