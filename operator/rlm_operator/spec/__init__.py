"""The specs of RLMStack and SandboxPool as typed values; parsed once from what the API server, or a file, holds."""
