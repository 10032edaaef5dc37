"""The commands by which a person reviews: answers, calibrations, the discovery list of a night."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

import typer

from astrolens.cli.options import AsJson, Token, Url


class AnswerChoice(StrEnum):
    """What a person may say of an image."""

    INTERESTING = "interesting"
    ARTEFACT = "artefact"
    ORDINARY = "ordinary"
    NONE = "none"
    """Takes the last answer back."""


def label(
    answer: Annotated[AnswerChoice, typer.Argument(help="What the images are; none takes your answer back.")],
    images: Annotated[list[str], typer.Argument(help="Ids of images.")],
    tag: Annotated[
        list[str] | None, typer.Option(help="A free tag, such as 'tidal tail'; may be repeated. Tags are public.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="For the archive only.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Answer images; the alert of each, where there is one, is updated or retracted."""
    from astrolens.cli.answers import label as run

    said = None if answer is AnswerChoice.NONE else answer.value
    run(images, said, tags=tag or [], note=note, as_json=as_json, url=url, token=token)


def surveys(
    as_json: AsJson = False,
    clear: Annotated[
        str | None,
        typer.Option(
            help="Return this survey to the bundle's calibration first; one that was learned to its own model.",
            metavar="SURVEY",
        ),
    ] = None,
    release: Annotated[
        bool, typer.Option("--release", help="With --clear: send the alerts of images that did not fit, too.")
    ] = False,
    calibrate: Annotated[
        str | None, typer.Option(help="Fit a survey model on the newest images of this survey first.", metavar="SURVEY")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Give a survey its own budget of false alarms per 1,000 ordinary images, or `default`, first; its "
            "earlier images are judged again under it.",
            metavar="SURVEY=NUMBER",
        ),
    ] = None,
    aggressive: Annotated[
        str | None, typer.Option(help="Give this survey a budget of 30 per 1,000 first.", metavar="SURVEY")
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """What calibrates each survey: the bundle, its survey model, or neither yet; its budget, and its drift."""
    from astrolens.cli.surveys import Decisions
    from astrolens.cli.surveys import surveys as run

    decisions = Decisions(clear=clear, release=release, calibrate=calibrate, budget=budget, aggressive=aggressive)
    run(decisions, as_json=as_json, url=url, token=token)


def discoveries(
    night: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Date of its evening, UTC; default the night that is now or was last."),
    ] = None,
    q: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Expected share of ordinary images among the listed.")
    ] = 0.1,
    assume_tail: Annotated[
        bool, typer.Option("--assume-tail", help="Go on beyond the end of p-values by an exponential tail, as said.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """The discovery list of a night: what stands out although many images were looked at."""
    from astrolens.cli.discoveries import discoveries as run

    chosen: date | None = None if night is None else night.date()
    run(night=chosen, q=q, assume_tail=assume_tail, as_json=as_json, url=url, token=token)


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    for command in (label, surveys, discoveries):
        app.command()(command)
