"""`astrolens models`: its commands and their parameters."""

from pathlib import Path
from typing import Annotated

import typer

from astrolens.cli.options import AsJson, Token, Url

models_app = typer.Typer(help="Model bundles: which serves, promotion and rollback.", no_args_is_help=True)

Digest = Annotated[str, typer.Argument(metavar="DIGEST", help="Its digest, or at least six digits of it.")]
Why = Annotated[str, typer.Option("--why", help="Why; it stays in the history.")]


@models_app.command(name="list")
def list_models(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """Every bundle with its state, the newest first; the one that serves is marked."""
    from astrolens.cli.models import list_models as run

    run(as_json=as_json, url=url, token=token)


@models_app.command()
def show(digest: Digest, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """One bundle: gates, history, comparison with the one in use."""
    from astrolens.cli.models import show as run

    run(digest, as_json=as_json, url=url, token=token)


@models_app.command()
def diff(digest: Digest, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """What a bundle would change: images that it would newly flag, and those that it would flag no more."""
    from astrolens.cli.models import diff as run

    run(digest, as_json=as_json, url=url, token=token)


@models_app.command()
def shadow(
    digest: Digest,
    images: Annotated[
        int | None, typer.Option(min=1, max=5000, help="Images to compare; as the console's setting says by default.")
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Compare a bundle with the one in use; no verdict and no alert comes of it."""
    from astrolens.cli.models import shadow as run

    run(digest, images=images, url=url, token=token)


@models_app.command()
def promote(digest: Digest, why: Why, url: Url = None, token: Token = None) -> None:
    """Let a bundle serve; model servers verify it and swap within seconds."""
    from astrolens.cli.models import promote as run

    run(digest, why=why, url=url, token=token)


@models_app.command()
def rollback(why: Why, url: Url = None, token: Token = None) -> None:
    """Return to the bundle that served before."""
    from astrolens.cli.models import rollback as run

    run(why=why, url=url, token=token)


@models_app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    by: Annotated[str, typer.Option(help="Who made it.")] = "command line",
) -> None:
    """Sign a bundle with the key of this machine and put it into the registry, without measured gates."""
    from astrolens.cli.models import publish as run

    run(folder, by=by)
