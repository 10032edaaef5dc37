"""What routes and pages share: built once in `main`, handed to `pages.mount` and found by routes in the app's state."""

from dataclasses import dataclass, field
from uuid import uuid4

from fastapi import Request

from astrolens.console.answer_feed import AnswerFeed
from astrolens.console.credentials import Credentials
from astrolens.console.login_limiter import LoginLimiter
from astrolens.console.security import identity_of
from astrolens.console.stream import StatusStream
from astrolens.contracts.models import DEFAULT_SHADOW_IMAGES
from astrolens.platform.settings import Settings
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.archive import Archive
from astrolens.usecases.bulk_labelling import BulkLabelling
from astrolens.usecases.crossmatches import Crossmatches
from astrolens.usecases.dead_letters import DeadLetterActions
from astrolens.usecases.discoveries import Discoveries
from astrolens.usecases.intake import Intake
from astrolens.usecases.labelling import Labelling
from astrolens.usecases.maps import Maps
from astrolens.usecases.model_status import ModelStatus
from astrolens.usecases.models import Models
from astrolens.usecases.rankings import Rankings
from astrolens.usecases.reanalysis import Reanalysis
from astrolens.usecases.sky_objects import SkyObjects
from astrolens.usecases.status import StatusReader
from astrolens.usecases.survey_models import SurveyModels
from astrolens.usecases.training_runs import TrainingRuns
from astrolens.usecases.upload_notes import UploadNotes


@dataclass(frozen=True, kw_only=True)
class AppContext:
    """The console's collaborators. Pages may call them directly: it is the same code that the API runs.

    `instance` names this start of the console.
    """

    settings: Settings
    records: RecordStore
    images: ImageStore
    archive: Archive
    status: StatusReader
    intake: Intake
    upload_notes: UploadNotes
    labelling: Labelling
    bulk_labelling: BulkLabelling
    rankings: Rankings
    discoveries: Discoveries
    training_runs: TrainingRuns
    reanalysis: Reanalysis
    survey_models: SurveyModels
    models: Models
    crossmatches: Crossmatches
    sky_objects: SkyObjects
    maps: Maps
    dead_letters: DeadLetterActions
    model: ModelStatus
    stream: StatusStream
    answers: AnswerFeed
    credentials: Credentials
    login_limiter: LoginLimiter
    instance: str = field(default_factory=lambda: uuid4().hex)

    @property
    def login_needed(self) -> bool:
        """Whether people must log in: always off loopback, and wherever a token is set."""
        return not self.settings.is_loopback or self.settings.token is not None

    @property
    def shadow_images(self) -> int:
        """Images of a comparison in shadow that a person asks for without saying how many."""
        return self.settings.shadow_images or DEFAULT_SHADOW_IMAGES


def context_of(request: Request) -> AppContext:
    """The context of the application that serves a request."""
    context = request.app.state.context
    assert isinstance(context, AppContext)  # noqa: S101 - `main` puts it there
    return context


def user_of(request: Request) -> str:
    """Who asks, as labels name them."""
    identity = identity_of(request.scope.get("state", {}))
    return identity.user if identity else "nobody"
