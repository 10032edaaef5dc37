"""What the command line does, one module a command; each is imported when it is called, so that `--help` is quick."""
