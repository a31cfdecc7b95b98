"""The security checklist: what holds of a stack or pool, judged by the objects that exist, never by the spec. Pure.

The operator writes it into the status; `rlmctl verify` makes it again from outside.
"""
