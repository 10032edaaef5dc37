"""Files within files: tar archives and Avro files of several packets."""

import io
import json
import tarfile
from pathlib import Path
from random import Random

import fastavro
import pytest
from astrolens.cli import archives, wire_format
from astrolens.cli.archives import expand_archives
from astrolens.cli.inputs import Item, Remarks, find_items
from astrolens.platform.errors import ConfigurationError
from astrolens.science.alert_packets import read_packet

from tests.made_packets import CANDID, message, packet, rubin_record, rubin_schema, ztf_record


def tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def sent(path: Path) -> list[Item]:
    return list(expand_archives(find_items(path)))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_the_members_of_a_tar_are_sent_under_its_name(tmp_path: Path, mode: str) -> None:
    suffix = mode.partition(":")[2]
    path = tar(tmp_path / f"night.tar{'.' if suffix else ''}{suffix}", {"./a.avro": b"a", "x/b.fits": b"b"}, mode)
    assert [(item.ref, item.data, item.fault) for item in sent(path)] == [
        (f"{path.name}/a.avro", b"a", None),
        (f"{path.name}/x/b.fits", b"b", None),
    ]


def test_a_folder_may_hold_archives(tmp_path: Path) -> None:
    tar(tmp_path / "n.tgz", {"a": b"a"})
    (tmp_path / "o.fits").write_bytes(b"o")
    assert [item.ref for item in sent(tmp_path)] == ["n.tgz/a", "o.fits"]


def test_names_of_members_are_names_and_links_lead_nowhere(tmp_path: Path) -> None:
    path = tar(tmp_path / "t.tar", {"../../up": b"1", "same": b"3"}, "w")
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        again = tarfile.TarInfo("same")
        again.size = 1
        archive.addfile(again, io.BytesIO(b"4"))
    items = sent(path)
    assert [(item.ref, item.data) for item in items] == [
        ("t.tar/../../up", b"1"),
        ("t.tar/same", b"3"),
        ("t.tar/link", None),
        ("t.tar/same (2)", b"4"),
    ]
    assert items[2].fault is not None
    assert "a link" in items[2].fault


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_damaged_archive_gives_what_it_has_and_is_told(tmp_path: Path, keep: float) -> None:
    rng = Random(1)
    whole = tar(tmp_path / "w.tar.gz", {f"{n}": rng.randbytes(20_000) for n in range(10)}).read_bytes()
    path = tmp_path / "t.tar.gz"
    path.write_bytes(whole[: int(len(whole) * keep)])
    items = sent(path)
    assert items[-1].fault is not None
    assert all(len(item.data or b"") == 20_000 for item in items if item.fault is None)
    assert len([item for item in items if item.fault is None]) >= int(10 * keep) - 1


def test_a_member_larger_than_is_taken_is_told_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 100)
    items = sent(tar(tmp_path / "t.tar.gz", {"large": b"x" * 101, "small": b"y"}))
    assert [item.fault is None for item in items] == [False, True]


def test_hidden_members_are_named(tmp_path: Path) -> None:
    path = tar(tmp_path / "t.tar.gz", {"./._a.fits": b"1", "a.fits": b"2", ".git/x": b"3"})
    remarks = Remarks()
    assert [item.ref for item in expand_archives(find_items(path), remarks)] == ["t.tar.gz/a.fits"]
    assert remarks.notes == ["2 hidden or unfinished files or folders of t.tar.gz were left out (._a.fits, .git/x)"]


def test_each_packet_of_an_avro_file_is_sent_by_itself_and_always_the_same(tmp_path: Path) -> None:
    records = [ztf_record(candid=CANDID + n) for n in range(3)]
    path = tmp_path / "night.avro"
    path.write_bytes(packet(*records, codec="snappy"))
    items = sent(path)
    assert [item.ref for item in items] == [f"night.avro/{CANDID + n}" for n in range(3)]
    assert [item.data for item in items] == [item.data for item in sent(path)]
    for item, record in zip(items, records, strict=True):
        assert item.data is not None
        reader = fastavro.reader(io.BytesIO(item.data))
        assert (next(iter(reader)), reader.codec) == (record, "snappy")
        assert "schema 4.02" in reader.metadata["avro.schema"]


def test_a_single_packet_goes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "one.avro"
    path.write_bytes(packet(ztf_record()))
    (item,) = sent(path)
    assert (item.path, item.ref, item.data) == (path, "one.avro", None)


@pytest.mark.parametrize("data", [b"", b"Obj\x01", b"Obj\x01" + b"\xff" * 100, b"no avro"])
def test_what_is_no_avro_file_is_left_to_the_sandbox(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.avro"
    path.write_bytes(data)
    assert [item.ref for item in sent(path)] == ["x.avro"]


def test_messages_of_a_schema_registry_become_packets_by_their_schema(tmp_path: Path) -> None:
    record = rubin_record()
    (tmp_path / "lsst.avsc").write_text(json.dumps(rubin_schema()))
    (tmp_path / "other.avro").write_bytes(packet(record))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "one.bin").write_bytes(message(record, 1100))
    (folder / "picture.png").write_bytes(b"\x89PNG")
    tar(folder / "night.tar", {"two.avro": message(record, 1100), "ztf.avro": message(ztf_record(), 7)})
    for source in ("lsst.avsc", "other.avro"):
        schema = wire_format.load_schema(tmp_path / source)
        items = {item.ref: item for item in expand_archives(find_items(folder), schema=schema)}
        assert list(items) == ["night.tar/two.avro", "night.tar/ztf.avro", "one.bin", "picture.png"]
        for name in ("one.bin", "night.tar/two.avro"):
            facts = read_packet(items[name].data or b"").facts
            assert facts.extra["diaSourceId"] == str(record["diaSourceId"])
        assert (items["picture.png"].data, items["picture.png"].fault) == (None, None)
        assert "no message of this schema, but of schema 7" in (items["night.tar/ztf.avro"].fault or "")
    assert [item.data for item in expand_archives(find_items(folder / "one.bin"))] == [None]


@pytest.mark.parametrize("text", ["", "{", '"string"', '{"type": "record", "name": "a", "fields": [{"name": "x"}]}'])
def test_a_schema_that_cannot_be_read_is_a_wrong_option(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.avsc").write_text(text)
    with pytest.raises(ConfigurationError, match="--schema"):
        wire_format.load_schema(tmp_path / "s.avsc")
