"""What people see of a running installation: which alerts and graphs there are, and when they are made. Pure."""
