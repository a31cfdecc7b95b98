"""The scripted stand-in model: an OpenAI-compatible HTTP server that follows rules and has no intelligence.

The demo, `rlmctl dev` without a model of its own, and tests use it. It answers the question forms of `questions.py`
over any context: as the root model it writes code (`cells.py`) and reads what the code printed (`root.py`); as the
sub-model it answers from the text in its prompt (`pieces.py`).
"""
