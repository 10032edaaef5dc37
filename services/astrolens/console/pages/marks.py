"""Verdicts, answers and p-values as every page shows them, as HTML; the shapes are in console.css."""

from collections.abc import Mapping
from html import escape
from typing import Final

from astrolens.console.format import words
from astrolens.contracts.p_values import PValueWords
from astrolens.usecases.views import ImageCard

DETECTORS: Final = {
    "msp": "Maximum softmax",
    "energy": "Energy",
    "mahalanobis": "Mahalanobis",
    "combined": "Combined",
    "gen": "GEN",
    "rmds": "Relative Mahalanobis",
    "knn": "Nearest neighbours",
    "vim": "ViM",
    "oddity": "Likeness to drawn oddities",
    "asymmetry": "Asymmetry of its middle",
    "frame-asymmetry": "Asymmetry of the frame",
    "asymmetry-density": "Asymmetry, by its own survey",
}
"""Names of detectors for people."""


def name_of(card: ImageCard) -> str:
    """What to call an image: its name, else the first part of its id."""
    return card.name or card.image_id[:12]


def verdict_mark(verdict: str | None, *, bare: bool = False, corner: bool = False) -> str:
    """A verdict by shape and colour; `bare` leaves its word to screen readers and the pointer."""
    name = words(verdict) if verdict else "not analysed"
    return _mark(f"mark v-{verdict or 'none'}{' corner' if corner else ''}", name, bare=bare)


def answer_mark(answer: str, *, bare: bool = False, corner: bool = False) -> str:
    """A person's answer by shape."""
    return _mark(f"mark a-{answer}{' corner answer-corner' if corner else ''}", answer, bare=bare)


def p_value(said: PValueWords | None) -> str:
    """P and, always beside it, what it means."""
    if said is None:
        return '<span class="pfigure muted">not scored yet</span>'
    unfit = " inj" if "not fit" in said.calibration else ""
    tag = f' <span class="tag static{unfit}">{escape(said.calibration)}</span>' if said.calibration else ""
    figure = f'<b class="num">{escape(said.figure)}</b> <span class="muted num">{escape(said.meaning)}</span>'
    return f'<span class="pfigure">{figure}{tag}</span>'


def tags(card: ImageCard) -> str:
    """What must be told of an image before its verdict."""
    simulated = '<span class="tag sim static">simulated</span>' if card.simulated else ""
    injected = '<span class="tag inj static" title="A blind injection: kept out of every public topic">injected</span>'
    return simulated + (injected if card.injected else "")


def answers_line(answers: Mapping[str, str]) -> str:
    """Everybody's answer, by person."""
    return ", ".join(f"{escape(person)}: {escape(answer)}" for person, answer in answers.items())


def _mark(classes: str, name: str, *, bare: bool) -> str:
    hover = f' title="{escape(name)}"' if bare else ""
    hidden = ' class="visually-hidden"' if bare else ""
    return f'<span class="{escape(classes)}"{hover}><span{hidden}>{escape(name)}</span></span>'
