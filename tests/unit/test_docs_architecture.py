"""`docs/architecture.md` names files, functions, rooms and periodic work that exist, and leaves none out."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "services" / "astrolens"
PAGE = (ROOT / "docs" / "architecture.md").read_text()

REFERENCE = re.compile(r"`([\w./-]+\.(?:py|yaml))(?::([\w.]+))?`")
FOLDER = re.compile(r"`([a-z0-9_]+(?:/[a-z0-9_]+)*/)`")
_PERIODIC = ("every", "PeriodicTask")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = section[section.index("|") :].split("\n\n", 1)[0].splitlines()
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines[2:]]


REFERENCES = sorted(set(REFERENCE.findall(PAGE)))


@pytest.mark.parametrize(("path", "name"), REFERENCES, ids=[f"{path}:{name}" for path, name in REFERENCES])
def test_every_file_and_name_exists(path: str, name: str) -> None:
    file = next((base / path for base in (PACKAGE, ROOT) if (base / path).is_file()), None)
    assert file is not None, f"there is no {path}"
    if name:
        assert name in names(file), f"{path} has no {name}"


@pytest.mark.parametrize("folder", sorted(set(FOLDER.findall(PAGE)) - {"services/astrolens/"}))
def test_every_folder_exists(folder: str) -> None:
    assert any((base / folder).is_dir() for base in (PACKAGE, ROOT))


def test_each_step_names_its_function_and_every_topic_has_its_step() -> None:
    steps = table("One image, step by step")
    assert len(steps) >= 14
    for step in steps:
        assert REFERENCE.search(step[1]), f"{step[0]} names no function"
    events = " ".join(step[3] for step in steps)
    assert {"images.submitted", "images.ingested", "images.analyzed"} <= set(re.findall(r"`([\w.]+)`", events))


def test_each_question_is_answered_with_a_place() -> None:
    answers = table("Where to look")
    assert [answer[0].split("?")[0].split()[-1] for answer in answers] == [
        "change",
        "declared",
        "survey",
        "detector",
        "oddity",
        "catalogue",
        "channel",
        "metric",
    ]
    for answer in answers:
        assert REFERENCE.search(answer[1]), f"{answer[0]} is not answered with a place"


def test_every_room_is_in_the_table() -> None:
    listed = {row[0].strip("`") for row in table("Rooms")}
    assert listed == set(rooms(PACKAGE)) | {f"platform/{room}" for room in rooms(PACKAGE / "platform")}
    engines = {f"platform/stores/{room}" for room in rooms(PACKAGE / "platform" / "stores")}
    assert all(f"`{engine}`" in PAGE for engine in engines)


def test_each_room_imports_only_what_its_row_names() -> None:
    everything = set(rooms(PACKAGE))
    for room, _, may_import in table("Rooms"):
        name = room.strip("`")
        if "/" in name:  # the rooms inside platform are kept apart by lint-imports
            continue
        named = everything & set(re.findall(r"[a-z_]+", may_import))
        assert imported_rooms(name) - {name} <= named, f"{name} imports more than its row names"


def test_all_periodic_work_is_in_the_table_and_nothing_else() -> None:
    listed = {(row[0].strip("`"), REFERENCE.findall(row[1])[0][0]) for row in table("Periodic work")}
    assert listed == set(periodic_work())


def rooms(folder: Path) -> Iterator[str]:
    """Packages inside a package."""
    return (path.parent.name for path in folder.glob("*/__init__.py"))


def imported_rooms(room: str) -> set[str]:
    """The rooms that the modules of a room import."""
    found = set()
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(tree(path)):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {module.split(".")[1] for module in modules if module.startswith("astrolens.")}
    return found


def periodic_work() -> Iterator[tuple[str, str]]:
    """Name and file of everything that is done again and again; a part of a name that varies is written `…`."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and node.args and _called(node) in _PERIODIC:
                match node.args[0]:
                    case ast.Constant(value=str(name)):
                        yield name, str(path.relative_to(PACKAGE))
                    case ast.Name(id=constant) if constant in constants():
                        yield constants()[constant], str(path.relative_to(PACKAGE))
                    case ast.JoinedStr(values=parts):
                        texts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts]
                        yield "".join(texts), str(path.relative_to(PACKAGE))


@cache
def constants() -> dict[str, str]:
    """Texts that a module declares under a name in capitals."""
    found: dict[str, str] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in tree(path).body:
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text)))
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text)))
                ) if name.isupper():
                    found[name] = text
    return found


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def names(path: Path) -> frozenset[str]:
    """Functions, classes, methods and constants that a module defines, methods as `Class.method`."""
    found: set[str] = set()
    for node in tree(path).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name, body=body):
                found.add(name)
                found |= {
                    f"{name}.{method.name}"
                    for method in body
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                }
            case ast.Assign(targets=targets):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return frozenset(found)
