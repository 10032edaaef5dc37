"""The login page: a token, or an account's name and password.

A plain form: password managers know it, and the cookie is set by the answer, which no script can read.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from nicegui import app, ui
from starlette.responses import RedirectResponse, Response

from astrolens.console.api.request_checks import LOGIN_PATH
from astrolens.console.context import AppContext
from astrolens.console.login import TooManyAttempts, WrongCredentials, keep_session, log_in
from astrolens.console.pages.frame import add_head, mark_when_ready
from astrolens.console.pages.page import address
from astrolens.console.pages.parts import heading, paragraph, prose, tagged
from astrolens.console.pages.window import prefix_of
from astrolens.console.problems import Problem
from astrolens.console.security import address_of

MAX_BODY_BYTES: Final = 8 * 1024
_FIELDS: Final = frozenset({"token", "name", "password", "next"})


def safe_next(given: str) -> str:
    """Where to go after: one of our own pages, never another site's."""
    own = given.startswith("/") and not given.startswith(("//", "/\\"))
    return given if own else "/"


def mount_login(context: AppContext, favicon: str) -> None:
    """Register the page and what its form sends."""

    async def page(request: Request) -> None:
        build(context, request)

    async def submit(request: Request) -> Response:
        # NiceGUI's application is mounted within ours, and does not know our errors.
        try:
            return await answer(context, request)
        except Problem as problem:
            return problem.response()

    ui.page(LOGIN_PATH, title="Log in · AstroLens", favicon=favicon)(page)
    app.add_route(LOGIN_PATH, submit, methods=["POST"], include_in_schema=False)


def build(context: AppContext, request: Request) -> None:
    """The form; the address says where to go after, with what to log in, and what was wrong."""
    base, query = prefix_of(request), request.query_params
    has_token = context.settings.token is not None
    account, target = query.get("with") == "account" or not has_token, safe_next(query.get("next", "/"))
    add_head(base)
    mark_when_ready()
    page = ui.element("div").classes("al page column flex-center window-height").props('id="main"')
    with page, ui.element("form").classes("login panel").props('method="post"') as form:
        form.props["action"] = f"{base}{LOGIN_PATH}"
        heading(1, "AstroLens")
        if has_token:
            with ui.element("div").classes("sizes").props('role="group" aria-label="Log in with"'):
                for kind, chosen in (("Token", not account), ("Account", account)):
                    to = address(LOGIN_PATH, next=target, **{"with": kind.lower()})
                    link = ui.link(kind, to).classes("btn")
                    if chosen:
                        link.props('aria-current="true"')
        _hidden("next", target)
        if account:
            _field("Name", 'name="name" autocomplete="username" autocapitalize="none" autofocus maxlength="64"')
            _field("Password", 'type="password" name="password" autocomplete="current-password" maxlength="1000"')
        else:
            _field("Token", 'type="password" name="token" autocomplete="current-password" autofocus maxlength="1000"')
        if problem := _problem(query):
            paragraph(problem, "text-negative").props('role="alert"')
        tagged("button", "Log in", "btn primary").props('type="submit"')
        if account:
            prose("`astrolens account add NAME` makes an account, on the console’s own machine.")
        else:
            paragraph("The token is what ASTROLENS_TOKEN was set to.")
        if not context.login_needed:
            prose("On this machine no login is needed: what is answered without one is the answer of `local`.")
            ui.link("Go on without logging in", target)


async def answer(context: AppContext, request: Request) -> Response:
    """Start a session and go where the form says, or back to the form with what was wrong."""
    given = await _form(request)
    target = safe_next(given.get("next", "/"))
    kind = "token" if "token" in given else "account"
    back: dict[str, object] = {"next": target, "with": kind}
    try:
        _, session = await log_in(
            context,
            address=address_of(request.scope),
            token=given.get("token"),
            name=given.get("name", "").strip(),
            password=given.get("password", ""),
        )
    except WrongCredentials:
        return RedirectResponse(address(LOGIN_PATH, **back, problem="wrong"), status_code=303)
    except TooManyAttempts as refusal:
        return RedirectResponse(address(LOGIN_PATH, **back, problem="wait", wait_s=refusal.wait_s), status_code=303)
    response = RedirectResponse(target, status_code=303)
    keep_session(response, session, context=context, secure=request.url.scheme == "https")
    return response


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Problem(413, "Body too large", f"The login form has at most {MAX_BODY_BYTES} bytes.")
    fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if unknown := sorted(set(fields) - _FIELDS):
        raise Problem(422, "Unknown field", f"{unknown[0][:80]!r} is no field of the login form.")
    return fields


def _problem(query: Mapping[str, str]) -> str:
    match query.get("problem"):
        case "wrong":
            return "Name and password (or the token) do not match: check both."
        case "wait":
            wait_s = query.get("wait_s", "")
            return f"Too many wrong logins: try again in {wait_s if wait_s.isdecimal() else '60'} s."
        case _:
            return ""


def _field(label: str, props: str) -> None:
    with tagged("label", label):
        ui.element("input").props(f"required spellcheck=false {props}")


def _hidden(name: str, value: str) -> None:
    field = ui.element("input").props('type="hidden"')
    field.props["name"], field.props["value"] = name, value
