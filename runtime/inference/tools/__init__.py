"""Tools: functions of the REPL that are HTTP requests of the inference plane to hosts which the stack allows."""
