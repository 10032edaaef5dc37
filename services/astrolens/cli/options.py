"""Options that several commands have."""

from typing import Annotated, Any

import typer

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="ASTROLENS_URL", help="The console to talk to; default the one of the settings."),
]
Token = Annotated[
    str | None, typer.Option("--token", envvar="ASTROLENS_TOKEN", show_envvar=True, help="Needed off loopback.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table for people.")]


def given_options(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}
