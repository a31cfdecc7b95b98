"""Replicas of this service answer for each other where they share no storage; docs/design/0024."""
