"""A stack on this machine: the containers that the operator would create, as local processes."""
