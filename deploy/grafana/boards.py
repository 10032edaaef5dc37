"""All dashboards."""

from typing import Final

from deploy.grafana import catalogues, model, pipeline, science
from deploy.grafana.panels import Board

BOARDS: Final[tuple[Board, ...]] = (pipeline.BOARD, science.BOARD, catalogues.BOARD, model.BOARD)
