"""Three replicas of the inference service that share no storage, behind nothing that keeps a client to one."""
