import os
import shutil
import threading
from pathlib import Path

import pytest
from astrolens.inference.similarity import vector_index
from astrolens.inference.similarity.index import BEGINNING, SimilarityIndex
from astrolens.inference.similarity.snapshot import SnapshotFolder
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.science.bundle import Bundle

from tests.unit.inference.embeddings import images
from tests.unit.inference.tiny_bundle import image_id

UNTIL = "2026-05-01T00:00:00.000000Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "similarity"


def opened(folder: Path, bundle: Bundle, *, digest: str | None = None) -> SnapshotFolder:
    return SnapshotFolder(folder, model_digest=digest or bundle.digest, centroids=bundle.centroids)


def started(folder: Path, bundle: Bundle) -> SimilarityIndex:
    """The index of a server that starts now."""
    loaded = opened(folder, bundle).load()
    vectors, analyzed_until = loaded or (VectorIndex(bundle.centroids), BEGINNING)
    return SimilarityIndex(vectors, analyzed_until=analyzed_until)


def snapshots(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith("snapshot-"))


def saved(folder: Path, bundle: Bundle, *seeds: int, until: str = UNTIL) -> SimilarityIndex:
    index = started(folder, bundle)
    index.add(images(*seeds))
    index.analyzed_until = until
    assert index.save(opened(folder, bundle))
    return index


@pytest.mark.parametrize("compress_at", [20_000, 30])
def test_a_new_process_loads_what_the_old_one_saved(
    tiny_bundle: Bundle, folder: Path, compress_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "_COMPRESS_AT", compress_at)
    index = saved(folder, tiny_bundle, *range(60))
    before = index.like_image(image_id(3), 10)
    again = started(folder, tiny_bundle)
    assert (len(again), again.saved, again.analyzed_until) == (60, 60, UNTIL)
    assert again.like_image(image_id(3), 10) == before
    again.add(images(3, 61))
    assert again.missing([image_id(3), image_id(61)]) == []
    assert len(again) == 61


def test_a_snapshot_is_written_only_of_something_new_and_replaces_the_one_before(
    tiny_bundle: Bundle, folder: Path
) -> None:
    index = saved(folder, tiny_bundle, 1, 2)
    (first,) = snapshots(folder)
    assert not index.save(opened(folder, tiny_bundle))
    index.add(images(3))
    assert len(index) - index.saved == 1
    assert index.save(opened(folder, tiny_bundle))
    (second,) = snapshots(folder)
    assert first != second
    assert sorted(path.name for path in folder.iterdir()) == [second.name]


@pytest.mark.parametrize("name", ["vectors.faiss", "ids.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_snapshot_is_put_aside_and_built_anew(
    tiny_bundle: Bundle, folder: Path, name: str, damage: str
) -> None:
    saved(folder, tiny_bundle, *range(20))
    (snapshot,) = snapshots(folder)
    data = bytearray((snapshot / name).read_bytes())
    if damage == "gone":
        (snapshot / name).unlink()
    else:
        data[3 if name == "manifest.json" else len(data) // 2] ^= 0x10
        (snapshot / name).write_bytes(data if damage == "flipped" else data[:-7])
    index = started(folder, tiny_bundle)
    assert (len(index), index.analyzed_until) == (0, BEGINNING)
    assert snapshots(folder) == []
    assert (folder / "unusable").is_dir()
    saved(folder, tiny_bundle, 1, 2)
    assert len(started(folder, tiny_bundle)) == 2


def test_a_snapshot_of_another_model_or_format_is_not_used(tiny_bundle: Bundle, folder: Path) -> None:
    saved(folder, tiny_bundle, 1)
    assert opened(folder, tiny_bundle, digest="f" * 64).load() is None
    assert (folder / "unusable").is_dir()
    saved(folder, tiny_bundle, 1)
    manifest = snapshots(folder)[0] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    assert opened(folder, tiny_bundle).load() is None
    assert [path.name for path in folder.iterdir()] == ["unusable"]  # one is kept, not all there ever were


def test_a_kill_while_a_snapshot_is_written_leaves_the_one_before(tiny_bundle: Bundle, folder: Path) -> None:
    index = saved(folder, tiny_bundle, 1)
    index.add(images(2))
    index.missing([])
    opened(folder, tiny_bundle).write(index._vectors)  # and no more: nothing is published
    (draft,) = folder.glob("draft-*")
    again = started(folder, tiny_bundle)
    assert len(again) == 1
    again.add(images(2, 3))
    assert again.save(opened(folder, tiny_bundle))
    assert draft.exists()  # another server may be writing it
    os.utime(draft, (0, 0))
    again.add(images(4))
    assert again.save(opened(folder, tiny_bundle))
    assert not draft.exists()


def test_a_full_disk_leaves_the_snapshot_before_and_nothing_else(
    tiny_bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = saved(folder, tiny_bundle, 1)
    index.add(images(2))

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            index.save(opened(folder, tiny_bundle))
    assert len(list(folder.iterdir())) == 1
    assert len(started(folder, tiny_bundle)) == 1
    assert (len(index), index.saved) == (2, 1)
    assert index.save(opened(folder, tiny_bundle))
    assert len(started(folder, tiny_bundle)) == 2


def test_two_servers_may_share_a_folder(tiny_bundle: Bundle, folder: Path) -> None:
    first, second = started(folder, tiny_bundle), started(folder, tiny_bundle)
    first.add(images(1, 2, 3))
    first.analyzed_until = "2026-05-02T00:00:00.000000Z"
    second.add(images(4))
    second.analyzed_until = UNTIL
    assert first.save(opened(folder, tiny_bundle))
    assert second.save(opened(folder, tiny_bundle))
    # The more complete one is neither removed nor passed over.
    third = started(folder, tiny_bundle)
    assert (len(third), third.analyzed_until) == (3, first.analyzed_until)


def test_a_snapshot_that_another_server_removes_meanwhile_is_passed_over(
    tiny_bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(folder, tiny_bundle, 1)
    real = VectorIndex.read

    def removed(*arguments: object) -> VectorIndex:
        shutil.rmtree(snapshots(folder)[0])
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(VectorIndex, "read", removed)
    assert opened(folder, tiny_bundle).load() is None
    assert list(folder.iterdir()) == []


def test_searches_and_new_images_go_on_while_snapshots_are_taken(tiny_bundle: Bundle, folder: Path) -> None:
    index = saved(folder, tiny_bundle, 0)
    problems: list[Exception] = []
    done = threading.Event()

    def work(first: int) -> None:
        try:
            for seed in range(first, first + 40):
                index.add(images(seed))
                assert image_id(seed) not in index.missing([image_id(seed)])
                index.like_image(image_id(0), 5)
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    def save() -> None:
        while not done.is_set():
            index.save(opened(folder, tiny_bundle))

    saver = threading.Thread(target=save)
    workers = [threading.Thread(target=work, args=(first,)) for first in (100, 200)]
    for thread in (saver, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    saver.join()
    index.save(opened(folder, tiny_bundle))
    assert problems == []
    assert len(started(folder, tiny_bundle)) == 81


def test_a_folder_that_cannot_be_made_is_an_error(tiny_bundle: Bundle, folder: Path) -> None:
    folder.write_bytes(b"a file")
    with pytest.raises(OSError, match="File exists"):
        opened(folder, tiny_bundle)
