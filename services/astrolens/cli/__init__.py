"""The command line `astrolens`: one module a command, imported when it is called, so that `--help` is quick."""
