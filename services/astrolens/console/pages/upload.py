"""Images of one's own: dropped here with a table of what is known of them, and what became of each.

Quasar's uploader sends the files to `POST /api/images`, which checks the session and every bound while they stream in.
"""

import json
import re
from collections.abc import Sequence
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
from astrolens.usecases.plurals import plural
from astrolens.usecases.status import BatchProgress, Status
from astrolens.usecases.submissions import BATCH_PATTERN
from astrolens.usecases.tables.table import TableUnreadable
from astrolens.usecases.upload_tables import DescribedFiles, describe_files

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
        arrivals = _Arrivals(visit, batch)
        await arrivals.read(None)
        await arrivals.show_notes()


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
        to_python = "({ xhr, files }) => emit(xhr.responseText, files.map(({ name }) => name))"
        found.on("uploaded", visit.handler(self._on_sent), js_handler=to_python)
        found.on("failed", visit.handler(self._on_failed), js_handler=to_python)
        found.add_slot("header", _HEADER)
        self._element = found
        self._said = paragraph("").props('role="status"')
        self._table: DescribedFiles | None = None
        self._of_table: list[str] = []
        self._of_files: list[str] = []
        self._faults = fault_list()

    async def _on_refused(self, _: str, event: GenericEventArguments) -> None:
        match event.args:
            case ["table", str(name), str(text)]:
                self._read_table(name[:200], text)
            case ["file", str(name), str(why)]:
                reason = _WHY.get(why, "cannot be sent").format(largest=byte_size(self._largest))
                self._of_files = [*self._of_files, f"{name[:200]} {reason}."][-MAX_FILES:]
        self._show_faults()

    def _read_table(self, name: str, text: str) -> None:
        self._table, self._of_table = None, []
        if len(text) > MAX_TABLE_CHARACTERS:
            self._of_table = [f"{name} is too long to be read here: `astrolens ingest` reads it."]
            return
        try:
            table = describe_files(text, name=name)
        except TableUnreadable as error:
            self._of_table = [f"{error}."]
            return
        self._table, self._of_table = table, [f"{name}, {fault}." for fault in table.faults]
        self._element.props["data-files"] = json.dumps(table.files)
        self._said.text = f"{name} describes {plural(len(table.files), 'file')}; it is used for those of its names."

    def _show_faults(self, *more: str) -> None:
        show_faults(self._faults, [*self._of_table, *self._of_files, *more])

    async def _on_sent(self, _: str, event: GenericEventArguments) -> None:
        answer, sent = _answer(event.args)
        if answer.batch:
            missing = [f"{each}." for each in self._table.without_file(sent)] if self._table else []
            notes = [*self._of_table, *missing, *self._of_files]
            await self._visit.context.upload_notes.keep(answer.batch, notes)
            self._visit.go(batch=answer.batch)

    async def _on_failed(self, _: str, event: GenericEventArguments) -> None:
        self._show_faults(_answer(event.args)[0].detail)


class _Arrivals:
    """What became of each file of a batch, kept current until everything is settled."""

    def __init__(self, visit: Visit, batch: str) -> None:
        self._visit = visit
        self._batch = batch
        with panel("What became of them"):
            self._sum = paragraph("", "num").props('role="status"')
            self._table = Records(visit.window.base, "Arrivals", ("What", "Outcome", "Source", ">Size", "Arrived"))
            self._nothing = ui.element("div")
            self._faults = fault_list()
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

    async def show_notes(self) -> None:
        """Show what of the upload became no arrival."""
        show_faults(self._faults, await self._visit.context.upload_notes.of(self._batch))


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


def fault_list() -> ui.element:
    """A list of sentences on what could not be taken; see `show_faults`."""
    return ui.element("ul").classes("faults text-negative")


def show_faults(place: ui.element, faults: Sequence[str]) -> None:
    """Show sentences in a `fault_list`, instead of those before."""
    place.clear()
    with place:
        for fault in faults:
            ui.label(fault).tag = "li"


def _answer(given: Any) -> tuple[_Answer, list[str]]:
    """What a client says that the console answered, and the names of the files it sent; it says what it likes."""
    match given:
        case [str(text), list(names)]:
            sent = [name for name in names[:MAX_FILES] if isinstance(name, str)]
        case _:
            return _Answer(), []
    try:
        found = _Answer.model_validate_json(text)
    except ValidationError:
        return _Answer(), sent
    return (found if _BATCH.match(found.batch) else found.model_copy(update={"batch": ""})), sent


PAGE = Page(path="/upload", title="Upload", build=build, query=("batch",))
