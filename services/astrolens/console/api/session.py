"""Login and logout of browsers; scripts send the token with every call."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, SecretStr

from astrolens.console.api.parameters import Context
from astrolens.console.login import TooManyAttempts, WrongCredentials, keep_session, log_in
from astrolens.console.problems import Problem, responses, too_many
from astrolens.console.security import address_of, cookie_name, identity_of

router = APIRouter(tags=["session"])


class LoginRequest(BaseModel, extra="forbid"):
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
    try:
        user, session = await log_in(
            context,
            address=address,
            token=None if body.token is None else body.token.get_secret_value(),
            name=body.name,
            password=body.password.get_secret_value(),
        )
    except TooManyAttempts as refusal:
        raise too_many(
            "Too many attempts",
            f"Too many wrong logins came from {address}: try again in {refusal.wait_s} s.",
            retry_after_s=refusal.wait_s,
        ) from None
    except WrongCredentials:
        raise Problem(401, "Wrong credentials", "Name and password (or the token) do not match: check both.") from None
    keep_session(response, session, context=context, secure=request.url.scheme == "https")
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
