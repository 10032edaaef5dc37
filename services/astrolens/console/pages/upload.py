"""Images of one's own: dropped here with a table of what is known of them, and what became of each.

Quasar's uploader sends the files to `POST /api/images`, which checks the session and every bound while they stream in.
"""

import json
import re
from typing import Any, Final

from nicegui import ui
from nicegui.events import GenericEventArguments
from pydantic import BaseModel, ValidationError

from astrolens.console.components.records import Records
from astrolens.console.format import byte_size, count
from astrolens.console.multipart import MAX_FILES
from astrolens.console.pages.page import Page, Visit
from astrolens.console.pages.parts import empty_state, heading, panel, paragraph, prose
from astrolens.console.pages.record_lists import PAGE_ROWS, receipt_row
from astrolens.usecases.errors import NotFound
from astrolens.usecases.status import BatchProgress, Status
from astrolens.usecases.submissions import BATCH_PATTERN
from astrolens.usecases.tables.table import TableUnreadable
from astrolens.usecases.upload_tables import describe_files

MAX_TABLE_CHARACTERS: Final = 500_000
"""Longest table that is read here: it comes through the window's socket. `astrolens ingest` reads longer ones."""

_BATCH: Final = re.compile(BATCH_PATTERN)

_TABLES: Final = r"/\.(csv|tsv|txt)$/i"

_DESCRIPTIONS: Final = """(files) => {
  const known = JSON.parse(document.querySelector('.uploader').dataset.files || '{}');
  const given = files.map((file) => known[file.name.toLowerCase()] ?? null);
  return given.some(Boolean) ? [{ name: 'observations', value: JSON.stringify(given) }] : [];
}"""
"""What the table says of the files that are sent; it waits in an attribute, as data."""

_REFUSED: Final = f"""async (refused) => {{
  const tables = refused.filter(({{ file }}) => {_TABLES}.test(file.name)).map(({{ file }}) => file);
  const others = refused.filter(({{ file }}) => !{_TABLES}.test(file.name));
  for (const file of tables) emit('table', file.name, (await file.text()).slice(0, {MAX_TABLE_CHARACTERS + 1}));
  for (const one of others.slice(0, 20)) emit('file', one.file.name, one.failedPropValidation);
}}"""

_HEADER: Final = """
<div class="uploader-head q-pa-sm">
  <span>Drop images here</span>
  <q-btn outline no-caps label="Choose files" @click="props.pickFiles" />
  <span hidden><q-uploader-add-trigger /></span>
  <q-btn v-if="props.canUpload" unelevated no-caps color="primary" text-color="dark" :label="'Send ' + props.queuedFiles.length" @click="props.upload" />
  <span v-if="props.files.length" class="num">{{ props.uploadSizeLabel }}, {{ props.uploadProgressLabel }} sent</span>
</div>"""  # noqa: E501
"""Quasar's own has icons without names."""

_WHY: Final = {
    "max-file-size": "is larger than an image may be ({largest})",
    "max-files": f"is one too many: {MAX_FILES} files at a time",
    "duplicate": "is on the list already",
}


class _Answer(BaseModel):
    """What `POST /api/images` answers, as the browser tells it: the batch, or a problem."""

    batch: str = ""
    detail: str = "The console took nothing in and did not say why: try again shortly."


async def build(visit: Visit) -> None:
    """The uploader, and the arrivals of the batch that the address names."""
    heading(1, "Upload")
    with panel("Your images"):
        prose(
            "Drop images here: JPEG, PNG, TIFF, FITS or alert packets, and beside them a CSV with the columns `file`, "
            "`ra_deg`, `dec_deg` and whatever else is known, such as `object_id`. "
            "For whole folders there is `astrolens ingest`."
        )
        _Uploader(visit)
    batch = visit.query.get("batch", "")
    if batch:
        await _Arrivals(visit, batch).read(None)


class _Uploader:
    """Quasar's uploader with drop zone, queue and progress; what it says goes to a line below."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._largest = visit.context.intake.max_image_bytes
        found = ui.element("q-uploader").classes("uploader")
        found.props(f'multiple batch flat bordered dark field-name="file" max-files={MAX_FILES}')
        found.props["url"] = f"{visit.window.base}/api/images"
        found.props["max-file-size"] = self._largest
        found.props[":filter"] = f"(files) => files.filter((file) => !{_TABLES}.test(file.name))"
        found.props[":form-fields"] = _DESCRIPTIONS
        found.on("rejected", visit.handler(self._on_refused), js_handler=_REFUSED)
        told = "({ xhr }) => emit(xhr.responseText)"
        found.on("uploaded", visit.handler(self._on_sent), js_handler=told)
        found.on("failed", visit.handler(self._on_failed), js_handler=told)
        found.add_slot("header", _HEADER)
        self._element = found
        self._said = paragraph("").props('role="status"')
        self._faults = ui.element("ul").classes("faults text-negative")

    async def _on_refused(self, _: str, event: GenericEventArguments) -> None:
        match event.args:
            case ["table", str(name), str(text)]:
                self._read_table(name[:200], text)
            case ["file", str(name), str(why)]:
                reason = _WHY.get(why, "cannot be sent").format(largest=byte_size(self._largest))
                self._tell_fault(f"{name[:200]} {reason}.")

    def _read_table(self, name: str, text: str) -> None:
        self._faults.clear()
        if len(text) > MAX_TABLE_CHARACTERS:
            self._tell_fault(f"{name} is too long to be read here: `astrolens ingest` reads it.")
            return
        try:
            described = describe_files(text, name=name)
        except TableUnreadable as error:
            self._tell_fault(f"{error}.")
            return
        self._element.props["data-files"] = json.dumps(described.files)
        self._said.text = f"{name} describes {count(len(described.files))} files; it is used for those of its names."
        for fault in described.faults:
            self._tell_fault(f"{name}, {fault}.")

    def _tell_fault(self, text: str) -> None:
        with self._faults:
            ui.label(text).tag = "li"

    async def _on_sent(self, _: str, event: GenericEventArguments) -> None:
        batch = _answer(event.args).batch
        if batch:
            self._visit.go(batch=batch)

    async def _on_failed(self, _: str, event: GenericEventArguments) -> None:
        self._faults.clear()
        self._tell_fault(_answer(event.args).detail)


class _Arrivals:
    """What became of each file of a batch, kept current until everything is settled."""

    def __init__(self, visit: Visit, batch: str) -> None:
        self._visit = visit
        self._batch = batch
        with panel("What became of them"):
            self._sum = paragraph("", "num").props('role="status"')
            self._table = Records(visit.window.base, "Arrivals", ("What", "Outcome", "Source", ">Size", "Arrived"))
            self._nothing = ui.element("div")
            ui.link("All of them", visit.address().replace("/upload", "/system", 1) + "&list=receipts")
        visit.on_status(self.read)

    async def read(self, _: Status | None) -> None:
        """Read the books of the batch and its newest arrivals."""
        context = self._visit.context
        try:
            books = await context.status.batch_progress(self._batch)
        except NotFound:
            self._nothing.clear()
            with self._nothing:
                empty_state("There is no such batch", "Nothing arrived under the name that the address has.")
            return
        page = await context.archive.receipts(batch=self._batch, limit=PAGE_ROWS)
        self._table.show({each.receipt_id: receipt_row(each) for each in page.items})
        if not self._sum.is_deleted:
            self._sum.text = _sum(books)


def _sum(books: BatchProgress) -> str:
    parts = [
        f"{count(number)} {word}"
        for number, word in (
            (books.analyzed, "analysed"),
            (books.duplicates, "known already"),
            (books.rejected, "refused"),
            (books.dead_lettered, "dead-lettered"),
            (books.in_flight, "on the way"),
        )
        if number
    ]
    return f"{count(books.received)} arrived: {', '.join(parts)}."


def _answer(given: Any) -> _Answer:
    """What a client says that the console answered; it says what it likes."""
    try:
        found = _Answer.model_validate_json(given if isinstance(given, str) else "")
    except ValidationError:
        return _Answer()
    return found if _BATCH.match(found.batch) else found.model_copy(update={"batch": ""})


PAGE = Page(path="/upload", title="Upload", build=build)
