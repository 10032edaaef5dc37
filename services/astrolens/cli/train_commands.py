"""The commands `astrolens train ...`; what they do is in `cli/train.py`."""

from typing import Annotated

import typer

from astrolens.cli.options import AsJson, Token, Url, given_options

train_app = typer.Typer(help="Retraining of the model from answers.", no_args_is_help=True)

RunId = Annotated[str | None, typer.Argument(metavar="RUN", help="Id of a run; default the newest.")]


@train_app.command(name="start")
def start_training(
    views: Annotated[
        int | None, typer.Option(min=200, max=200_000, help="Pictures to draw and train on; 6,000.")
    ] = None,
    network: Annotated[
        bool | None, typer.Option("--network", help="Train the transformer on, too; without it the heads of the kinds.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.1, max=20, help="How often each is read where a network is trained; 2.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="A ViTForImageClassification checkpoint to start from: a folder in `backbones` of the home folder, or "
            "`owner/name` of the hub. Default: the promoted bundle."
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Queue a run: data, training, a new bundle, gates. It promotes nothing by itself."""
    from astrolens.cli.train import start as run

    run(
        given_options(views=views, network=network, epochs=epochs, backbone=backbone),
        as_json=as_json,
        url=url,
        token=token,
    )


@train_app.command(name="status")
def training_status(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="One run with its gates; default a list.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """The last runs with their accuracy beside the one before, or one run with its gates."""
    from astrolens.cli.train import status as run

    run(run_id, as_json=as_json, url=url, token=token)


@train_app.command(name="cancel")
def cancel_training(run_id: RunId = None, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """Cancel a run: its process ends within seconds."""
    from astrolens.cli.train import cancel as run

    run(run_id, as_json=as_json, url=url, token=token)
