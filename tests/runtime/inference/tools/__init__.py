"""Tests of tools: declaration, addresses, requests, and calls from the REPL to a real HTTP server."""
