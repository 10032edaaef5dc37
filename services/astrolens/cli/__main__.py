"""`python -m astrolens.cli`: what the supervisor runs. A service does without the command line's parser."""

import sys

from astrolens.cli.entry import begin_imports, run_command

match sys.argv[1:]:
    case ["serve", service] if not service.startswith("-"):
        begin_imports()
        from astrolens.cli.serve import serve

        run_command(lambda: sys.exit(serve(service)))
    case _:
        from astrolens.cli.app import main

        main()
