"""Login and logout of browsers; scripts send the token with every call."""

from math import ceil

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, SecretStr

from astrolens.console.api.parameters import Context
from astrolens.console.credentials import SESSION_S
from astrolens.console.problems import Problem, responses, too_many
from astrolens.console.security import address_of, cookie_name, identity_of

log = structlog.get_logger(__name__)

router = APIRouter(tags=["session"])


class LoginRequest(BaseModel):
    """An account's name and password, or the token alone."""

    name: str = Field(default="", max_length=64)
    password: SecretStr = Field(default=SecretStr(""), max_length=1000)
    token: SecretStr | None = Field(default=None, max_length=1000)


class SessionView(BaseModel):
    """Who is logged in."""

    user: str
    login_needed: bool


@router.post(
    "/login",
    response_model=SessionView,
    responses=responses(s401="Wrong name, password or token.", s429="Too many wrong ones; Retry-After says when."),
)
async def login(context: Context, request: Request, response: Response, body: LoginRequest) -> SessionView:
    """Start a session: sets a signed, HttpOnly, SameSite=Strict cookie."""
    address = address_of(request.scope)
    async with context.login_limiter.one_at_a_time:
        if (wait_s := context.login_limiter.wait_s(address)) > 0:
            raise too_many(
                "Too many attempts",
                f"Too many wrong logins came from {address}: try again in {ceil(wait_s)} s.",
                retry_after_s=ceil(wait_s),
            )
        if body.token is not None:
            user, right = "token", context.credentials.is_token(body.token.get_secret_value())
        else:
            user = body.name
            right = await context.credentials.login(name=user, password=body.password.get_secret_value())
        if not right:
            context.login_limiter.record_failure(address)
            log.warning("login refused", address=address)
            raise Problem(401, "Wrong credentials", "Name and password (or the token) do not match: check both.")
    response.set_cookie(
        cookie_name(context.settings.port),
        await context.credentials.session(user),
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    response.headers["Cache-Control"] = "no-store"
    return SessionView(user=user, login_needed=context.login_needed)


@router.post("/logout", status_code=204)
async def logout(context: Context, request: Request, response: Response) -> None:
    """End the session of this browser, for whoever may hold a copy of its cookie, too."""
    if session := request.cookies.get(cookie_name(context.settings.port)):
        await context.credentials.end(session)
    response.delete_cookie(cookie_name(context.settings.port), path="/", httponly=True, samesite="strict")


@router.get("/session", response_model=SessionView)
async def get_session(context: Context, request: Request) -> SessionView:
    """Who is logged in."""
    identity = identity_of(request.scope.get("state", {}))
    return SessionView(user=identity.user if identity else "nobody", login_needed=context.login_needed)
