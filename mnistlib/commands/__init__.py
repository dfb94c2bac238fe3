"""The command line: what each command is given, and the commands that reach beyond this machine."""
