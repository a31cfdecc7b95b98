"""Asking a question: reading the context, sending it, showing the trajectory as it comes."""
