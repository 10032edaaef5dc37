"""The command line: `astrolens COMMAND`. Its own errors are one sentence, never a traceback.

Exit codes: 0 done, 1 something failed, 2 the configuration or the call is wrong.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from astrolens.cli import review_commands
from astrolens.cli.entry import run_command
from astrolens.cli.model_commands import models_app
from astrolens.cli.options import AsJson, Token, Url, given_options
from astrolens.cli.train_commands import train_app

app = typer.Typer(
    name="astrolens",
    help="Watches the sky by itself: survey images in, calibrated verdicts and alerts out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
alerts_app = typer.Typer(help="Alerts as they are raised, updated and retracted.", no_args_is_help=True)
account_app = typer.Typer(help="Accounts of people, for a console that others can reach.", no_args_is_help=True)
topics_app = typer.Typer(help="Topics of a real Kafka.", no_args_is_help=True)
catalogs_app = typer.Typer(help="Astronomical catalogues on this machine.", no_args_is_help=True)
app.add_typer(alerts_app, name="alerts")
app.add_typer(account_app, name="account")
app.add_typer(topics_app, name="topics")
app.add_typer(catalogs_app, name="catalogs")
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")
review_commands.register(app)


@app.command()
def up(
    sources: Annotated[
        str | None, typer.Option(help="Comma-separated sources (simulated, sdss, folder), or none.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the console in a browser.")] = False,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C."""
    from astrolens.local.supervisor import up as start
    from astrolens.platform.settings import load_settings

    settings = load_settings(**given_options(sources=sources))
    raise typer.Exit(start(settings, open_browser=settings.open_browser and not no_browser))


@app.command()
def down() -> None:
    """Stop what runs on this home (ASTROLENS_HOME)."""
    from astrolens.local.supervisor import down as stop
    from astrolens.platform.settings import load_settings

    raise typer.Exit(stop(load_settings()))


@app.command()
def serve(
    service: Annotated[
        str, typer.Argument(help="ingestor, model-server, analyzer, crossref, trainer, notifier or console.")
    ],
) -> None:
    """Run one service: what a container does."""
    from astrolens.cli.serve import serve as run

    raise typer.Exit(run(service))


@app.command()
def ingest(
    path: Annotated[
        Path, typer.Argument(help="A folder (with all below it), an image, a packet, a tar, or a table of files.")
    ],
    survey: Annotated[
        str | None, typer.Option(help="Survey of images whose table or packet names none, such as sdss.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when every file is settled.")] = False,
    batch: Annotated[
        str | None, typer.Option(help="Name of this batch: the same file offered twice under it arrives once.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=256, help="Files a request.")] = 64,
    unreachable_timeout_s: Annotated[
        float, typer.Option("--patience", min=1, help="Seconds to try again while the console does not answer.")
    ] = 180.0,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Send files outside the folder of the table that names them, too.")
    ] = False,
    schema: Annotated[
        Path | None,
        typer.Option(help="Avro schema (.avsc, or a packet that holds it) of messages of a schema registry."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Feed images into a running AstroLens; whatever is no image ends rejected, with its reason."""
    from astrolens.cli.ingest import Options
    from astrolens.cli.ingest import ingest as run

    options = Options(
        survey=survey,
        wait=wait,
        batch=batch,
        batch_size=batch_size,
        unreachable_timeout_s=unreachable_timeout_s,
        as_json=as_json,
        allow_outside=allow_outside,
        schema=schema,
    )
    raise typer.Exit(run(path, options, url=url, token=token))


@app.command()
def status(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """The books, the services, the sources, the model."""
    from astrolens.cli.show import status as run

    run(as_json=as_json, url=url, token=token)


@app.command()
def books(
    recount: Annotated[
        bool, typer.Option("--recount", help="Count the documents themselves, too: a second for a million images.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Every number of the books, counted by itself; exit code 1 where they contradict each other."""
    from astrolens.cli.show import books as run

    if not run(as_json=as_json, recount=recount, url=url, token=token):
        raise typer.Exit(1)


@app.command()
def candidates(
    as_json: AsJson = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most candidates.")] = 20,
    every_image: Annotated[
        bool, typer.Option("--every-image", help="Every image of an object, not only its strangest.")
    ] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Images whose verdict is not ordinary, the strangest first, one an object of the sky."""
    from astrolens.cli.show import candidates as run

    run(as_json=as_json, limit=limit, every_image=every_image, url=url, token=token)


@app.command(context_settings={"ignore_unknown_options": True})
def crossref(
    ra_deg: Annotated[float, typer.Argument(metavar="RA", help="Right ascension, ICRS, degrees.")],
    dec_deg: Annotated[float, typer.Argument(metavar="DEC", help="Declination, ICRS, degrees; may be negative.")],
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """What the catalogues know at a place: known, unmatched, or undetermined, with each catalogue's answer."""
    from astrolens.cli.crossref import crossref as run

    run(ra_deg, dec_deg, as_json=as_json, url=url, token=token)


@alerts_app.command()
def tail(
    as_json: AsJson = False,
    since: Annotated[
        str | None, typer.Option(help="From this time on: 2026-01-31T20:00, or 30m, 12h, 7d ago; default from now on.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Wait for more, or end after what is there.")
    ] = True,
    url: Url = None,
    token: Token = None,
) -> None:
    """Alerts as they are raised, updated and retracted, one a line with who or what did it, until Ctrl-C."""
    from astrolens.cli.show import tail as run

    run(as_json=as_json, since=since, follow=follow, url=url, token=token)


@app.command()
def doctor() -> None:
    """Look for what is wrong on this machine, one sentence a finding."""
    from astrolens.cli.doctor import doctor as run

    raise typer.Exit(run())


@account_app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name to log in with.")],
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from a pipe.")] = False,
) -> None:
    """Add an account, or give one a new password."""
    from astrolens.cli.accounts import add as run

    password = sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password()
    run(name, password)


@account_app.command(name="list")
def list_accounts() -> None:
    """Name all accounts."""
    from astrolens.cli.accounts import names

    for name in names():
        typer.echo(name)


@account_app.command()
def remove(name: Annotated[str, typer.Argument(help="Name of the account.")]) -> None:
    """Remove an account; its sessions end."""
    from astrolens.cli.accounts import remove as run

    raise typer.Exit(run(name))


@topics_app.command()
def create(
    file: Annotated[Path, typer.Option(help="The file that declares them.")] = Path("deploy/kafka/topics.yaml"),
    replicas: Annotated[int, typer.Option(min=1, max=32, help="Copies of each record; 3 in production.")] = 1,
) -> None:
    """Make the declared topics that are missing; those that are there stay as they are."""
    from astrolens.cli.topics import create as run

    run(file, replicas=replicas)


Columns = Annotated[
    list[str] | None, typer.Option("--column", metavar="ROLE=COLUMN", help="Say which column is what: ra=RAJ2000.")
]
Units = Annotated[
    list[str] | None, typer.Option("--unit", metavar="ROLE=UNIT", help="Say what unit a column has: major_axis=arcmin.")
]


@catalogs_app.command(name="import")
def import_catalogue(  # noqa: PLR0917 - typer reads the options from here
    path: Annotated[
        Path, typer.Argument(help="CSV, FITS, VOTable or Parquet table, or the folder of a HATS catalogue.")
    ],
    name: Annotated[str, typer.Option(help="Its name here: lower-case letters, digits and -.")],
    column: Columns = None,
    unit: Units = None,
    epoch: Annotated[float, typer.Option(min=1800, max=2200, help="Julian year of the positions.")] = 2000.0,
    error: Annotated[float, typer.Option(min=0.0001, help="Position error of objects without one, arcsec.")] = 0.5,
    coverage: Annotated[
        str | None,
        typer.Option(metavar="MOC", help="A MOC file, or full-sky; default: the HATS partitions, or a guess."),
    ] = None,
    watchlist: Annotated[
        bool, typer.Option("--watchlist", help="These are my own places: matches stay private.")
    ] = False,
    notify: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANNEL", help="Of a watchlist: who is told, such as 'mailto #1' (`astrolens status`)."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title, for people.")] = None,
    credit: Annotated[str, typer.Option(help="Whom to credit, and the licence.")] = "",
    release: Annotated[str, typer.Option(help="Release or version of the table.")] = "",
    link: Annotated[str | None, typer.Option(help="Page of an object, with {name} for its name.")] = None,
) -> None:
    """Import a table, or replace the catalogue of that name when the new one is complete."""
    from astrolens.cli.catalogs import assignments
    from astrolens.cli.catalogs import import_catalogue as run
    from astrolens.local_catalogues.importing import ImportOptions

    options = ImportOptions(
        name=name,
        title=title,
        columns=assignments(column or (), "--column"),
        units=assignments(unit or (), "--unit"),
        epoch_year=epoch,
        error_arcsec=error,
        coverage=coverage,
        watchlist=watchlist,
        notify=tuple(notify or ()),
        credit=credit,
        release=release,
        link=link,
    )
    raise typer.Exit(run(path, options))


@catalogs_app.command(name="list")
def list_catalogues(as_json: AsJson = False) -> None:
    """The catalogues of this machine: objects, coverage, epoch, credit."""
    from astrolens.cli.catalogs import list_catalogues as run

    run(as_json=as_json)


@catalogs_app.command(name="remove")
def remove_catalogue(name: Annotated[str, typer.Argument(help="Name of the catalogue.")]) -> None:
    """Remove an imported catalogue."""
    from astrolens.cli.catalogs import remove_catalogue as run

    run(name)


@catalogs_app.command(name="seen")
def seen_images(
    name: Annotated[str, typer.Argument(help="Name of a catalogue, such as a watchlist.")],
    radius: Annotated[float, typer.Option(min=0.1, max=3600, help="Radius around each place, arcsec.")] = 5.0,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Images of the archive at the places of a catalogue: also those that came before it."""
    from astrolens.cli.catalogs import seen_images as run

    run(name, radius_arcsec=radius, as_json=as_json, url=url, token=token)


@catalogs_app.command(name="match")
def match_positions(
    path: Annotated[Path, typer.Argument(help="A table of positions, of any format that can be imported.")],
    catalogue: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    column: Columns = None,
    unit: Units = None,
    error: Annotated[float | None, typer.Option(min=0.0001, help="Error of the positions, arcsec.")] = None,
    epoch: Annotated[float | None, typer.Option(min=1800, max=2200, help="Julian year they were observed.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write a CSV with all positions here.")] = None,
    as_json: AsJson = False,
) -> None:
    """What the catalogues of this machine know at each position of a table."""
    from astrolens.cli.catalogs import assignments
    from astrolens.cli.catalogs import match_positions as run
    from astrolens.local_catalogues.position_tables import PositionOptions

    options = PositionOptions(
        columns=assignments(column or (), "--column"),
        units=assignments(unit or (), "--unit"),
        error_arcsec=error,
        epoch_year=epoch,
        catalogues=catalogue,
    )
    raise typer.Exit(run(path, options, output=output, as_json=as_json))


@app.command()
def version() -> None:
    """The version of this package."""
    from astrolens import __version__

    typer.echo(__version__)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    run_command(app)


def _ask_password() -> str:
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


if __name__ == "__main__":
    main()
