"""`astrolens topics`: the declared topics on a real Kafka."""

import asyncio
from pathlib import Path

import typer

from astrolens.platform.bus.access import kafka_access
from astrolens.platform.bus.topics import create_topics, declared_topics
from astrolens.platform.settings import load_settings


def create(path: Path, *, replicas: int) -> None:
    """Make what is missing, and say what was made."""
    declared = declared_topics(path)
    new = asyncio.run(create_topics(kafka_access(load_settings()), declared, replicas=replicas))
    there = len(declared) - len(new)
    typer.echo(f"made {len(new)} topics, {there} were there already" if new else f"all {there} topics are there")
