"""One whole run on small shapes: its bundle, its gates, its manifest, and going on after a kill at every step."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import Gate, GateReport, RunStep, TrainingOptions
from astrolens.science.bundle import DETECTORS, INDEX, Bundle, write_bundle
from astrolens.science.cutouts import encode_jpeg
from astrolens.science.golden import check_golden
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer import early_views, export
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.bundle_builder import Provenance, build_bundle, build_with_kinds
from astrolens.trainer.dataset import Sample, Split
from astrolens.trainer.image_arrays import ImageArrays, prepare_arrays
from astrolens.trainer.retraining import data_set, run
from astrolens.trainer.retraining.answer_views import LABELLED_ARTEFACT
from astrolens.trainer.retraining.archive_images import ArchiveImage, GivenAnswer
from astrolens.trainer.retraining.gates import compare, score_both
from astrolens.trainer.retraining.orders import Bounds, Order, Outcome
from astrolens.trainer.retraining.run import Run
from astrolens.trainer.retraining.starting_weights import (
    WEIGHTS,
    WeightsNotFound,
    load_backbone,
    weights_of_graph,
    with_more_kinds,
)
from astrolens.trainer.training import Recipe, Trained
from astrolens.trainer.training_views import KIND_NAMES

SPEC = PreprocessingSpec(size=32, views=("object", "frame"))
TINY = BackboneConfig(width=20, layers=1, registers=2, pooled_width=8)
OPTIONS = TrainingOptions.model_construct(views=20, network=False, epochs=2.0, seed=3, replay=10, simulated=40)


def few_samples(seed: int, count: int) -> Iterator[Sample]:
    """As `simulated_samples`, with just enough of each split."""
    plan = ((Split.BACKBONE, 20, 0.0), (Split.FIT, 12, 0.0), (Split.CALIBRATION, 24, 0.0), (Split.DEVELOP, 2, 1.0))
    for position, (split, number, rate) in enumerate((*plan, (Split.TEST, 24, 0.0), (Split.TEST, 22, 1.0))):
        for index in range(number):
            yield Sample(split, key=f"simulated/{seed}/{position}/{index}", draw=(seed + position, index, rate))


class Killed(BaseException):
    pass


@pytest.fixture(scope="module", autouse=True)
def small_shards(cheap_bundles: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(early_views, "SHARD", 20)
        patch.setattr(data_set, "simulated_samples", few_samples)
        yield


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[Split, ImageArrays]:
    samples = list(few_samples(3, 40))
    cache = tmp_path_factory.mktemp("arrays")
    return {split: prepare_arrays(samples, split, SPEC, cache=cache, workers=0) for split in Split}


@pytest.fixture(scope="module")
def champion(arrays: dict[Split, ImageArrays], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.manual_seed(4)
    model = Backbone(SPEC, 4, len(KIND_NAMES), TINY).eval()
    folder = tmp_path_factory.mktemp("bundle")
    return build_bundle(Trained(model, 0, 0.0), arrays, SPEC, Recipe(), Provenance("tiny", "1", "d"), folder)


def answered(folder: Path, count: int) -> list[ArchiveImage]:
    """Images whose ids are drawn so that all of them are trained on."""
    images = []
    for number in range(count):
        jpeg = encode_jpeg(np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8))
        path = folder / f"{number}.jpg"
        path.write_bytes(jpeg)
        answer = GivenAnswer(Answer.ARTEFACT, "vera", "2026-05-01T00:00:00Z", f"label-{number}")
        images.append(ArchiveImage(f"{number:032x}", path, "ab" * 32, "sdss", "spiral", "anomaly", answer=answer))
    return images


def order(champion: Bundle, *, network: bool) -> Order:
    return Order.model_construct(
        run_id="0123456789abcdef",
        options=OPTIONS.model_copy(update={"network": network}),
        champion=champion.path,
        false_alarms_per_1000=10.0,
        sets=(),
        memory_mib=4096,
        cpu_hours=1.0,
    )


def perform(champion: Bundle, folder: Path, published: list[str] | None = None, *, network: bool = False) -> Outcome:
    def publish(bundle: Path, report: object, manifest: bytes) -> str:
        (published if published is not None else []).append(bundle.name)
        return f"data/{len(manifest)}"

    folder.mkdir(exist_ok=True)
    return Run(
        order(champion, network=network),
        folder,
        read_archive=lambda own, _: (answered(own.parent, 16), []),
        publish=publish,
    ).perform()


def test_the_weights_of_a_graph_give_the_same_backbone(champion: Bundle, arrays: dict[Split, ImageArrays]) -> None:
    model = load_backbone(champion)
    assert export.check_parity(model, export.session(champion.model), arrays[Split.FIT].inputs[:4]) < 1e-4
    other = Backbone(SPEC, 4, len(KIND_NAMES), replace(TINY, layers=2))
    assert "vit.layers.1.mlp.fc1.weight" not in weights_of_graph(champion.model, other)
    named = champion.manifest.model_copy(
        update={"model": champion.manifest.model.model_copy(update={"architecture": "other"})}
    )
    with pytest.raises(WeightsNotFound, match="other"):
        load_backbone(replace(champion, manifest=named))
    before = model(torch.from_numpy(arrays[Split.FIT].inputs[:2]))[2]
    with_more_kinds(model, len(KIND_NAMES) + 1)
    after = model(torch.from_numpy(arrays[Split.FIT].inputs[:2]))[2]
    assert torch.allclose(after[:, : len(KIND_NAMES)], before)


@pytest.fixture(scope="module")
def done(champion: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    folder = tmp_path_factory.mktemp("run")
    return perform(champion, folder), folder


@pytest.fixture(scope="module")
def done_with_network(champion: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    folder = tmp_path_factory.mktemp("network")
    return perform(champion, folder, network=True), folder


@pytest.mark.parametrize("network", [False, True])
def test_a_run_that_is_killed_at_every_step_ends_like_an_unbroken_one(
    network: bool,
    champion: Bundle,
    done: tuple[Outcome, Path],
    done_with_network: tuple[Outcome, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, folder = done_with_network if network else done
    published: list[str] = []
    killed: list[RunStep] = []
    begin = Run._begin

    def killing(self: Run, step: RunStep) -> None:
        begin(self, step)
        if step not in killed:
            killed.append(step)
            raise Killed

    monkeypatch.setattr(Run, "_begin", killing)
    for _ in RunStep:
        with pytest.raises(Killed):
            perform(champion, tmp_path / "broken", network=network)
    again = perform(champion, tmp_path / "broken", published, network=network)
    assert killed == list(RunStep)
    assert published == ["bundle"], "published once"
    same = [(own / "fine-tuned.safetensors").read_bytes() for own in (folder, tmp_path / "broken")]
    assert same[0] == same[1]
    one, two = (Bundle.load(own / "bundle") for own in (folder, tmp_path / "broken"))
    assert one.detectors.keys() == two.detectors.keys()
    for name in ("pooled/oddity", "pooled/asymmetry", "pooled/combined"):
        assert np.allclose(one.calibration[name], two.calibration[name], rtol=1e-3, atol=1e-3), name
    assert (whole.data, whole.changes) == (again.data, again.changes)


def test_the_challenger_is_a_bundle_with_its_weights_and_the_kind_that_people_taught(
    champion: Bundle, done: tuple[Outcome, Path]
) -> None:
    outcome, folder = done
    bundle = Bundle.load(folder / "bundle", expected_digest=outcome.challenger)
    assert bundle.manifest.kinds == (*champion.manifest.kinds, LABELLED_ARTEFACT)
    assert WEIGHTS in bundle.manifest.files
    assert outcome.data is not None
    assert bundle.manifest.training.data_digest == outcome.data.digest
    assert bundle.manifest.version.endswith("+01234567")
    inputs = np.random.default_rng(0).integers(0, 256, (4, 6, 32, 32), dtype=np.uint8)
    assert export.check_parity(load_backbone(bundle), export.session(bundle.model), inputs) < 1e-4
    assert any("labelled-artefact" in change for change in outcome.changes)
    assert check_golden(bundle, lambda pixels: export.run(export.session(bundle.model), pixels)) == 4


def test_only_the_kinds_are_others_and_a_calibration_of_as_many_images_is_renewed(
    champion: Bundle, done: tuple[Outcome, Path]
) -> None:
    outcome, folder = done
    bundle = Bundle.load(folder / "bundle")
    for name in (DETECTORS, INDEX):
        assert (bundle.path / name).read_bytes() == (champion.path / name).read_bytes()
    inputs = np.random.default_rng(0).integers(0, 256, (4, 6, 32, 32), dtype=np.uint8)
    before, after = (export.run(export.session(own.model), inputs) for own in (champion, bundle))
    assert np.allclose(before.logits, after.logits, atol=1e-4)
    assert np.allclose(before.embedding, after.embedding, atol=1e-4)
    assert "Only the heads of the kinds were fitted again" in bundle.card
    assert outcome.changes[0].startswith("heads of the kinds trained on 20 drawn pictures and 1")
    assert any(each.startswith("calibrations fitted again: simulated-") for each in outcome.changes)


def test_a_calibration_of_more_images_than_the_run_has_is_carried_over(
    champion: Bundle, arrays: dict[Split, ImageArrays], tmp_path: Path
) -> None:
    few = arrays[Split.CALIBRATION]
    of_one = replace(few.where(np.arange(len(few)) < 20), surveys=np.full(20, "new-survey"))
    model = load_backbone(champion)
    bundle = build_with_kinds(
        champion,
        Trained(model, 0, 0.0),
        arrays | {Split.CALIBRATION: of_one, Split.FIT: of_one},
        Recipe(),
        Provenance("tiny", "2", "d"),
        tmp_path / "bundle",
        kinds=champion.manifest.kinds,
        beside=lambda _: {},
    )
    assert bundle.manifest.surveys.keys() == {*champion.manifest.surveys, "new-survey"}
    assert bundle.manifest.surveys["new-survey"].combined_images == 20
    images = bundle.manifest.training.images
    assert images["backbone"] == champion.manifest.training.images["backbone"]
    assert images["calibration"]["new-survey"] == 20
    for name, array in champion.calibration.items():
        # The heads are the same here, but for the rounding of the exported graph.
        assert np.allclose(array, bundle.calibration[name], rtol=1e-3, atol=1e-3, equal_nan=True), name


def test_a_trained_network_keeps_the_detectors_that_read_what_does_not_change(
    champion: Bundle, done_with_network: tuple[Outcome, Path]
) -> None:
    outcome, folder = done_with_network
    bundle = Bundle.load(folder / "bundle")
    kept = [name for name in champion.detectors if name.startswith("asymmetry.")]
    assert kept
    assert all(np.array_equal(champion.detectors[name], bundle.detectors[name]) for name in kept)
    assert not np.array_equal(champion.detectors["mahalanobis.means"], bundle.detectors["mahalanobis.means"])
    assert outcome.changes[0].startswith("transformer and heads of the kinds trained on")


def test_the_manifest_names_every_image_and_label(done: tuple[Outcome, Path]) -> None:
    outcome, folder = done
    assert outcome.data is not None
    assert outcome.data.key is not None
    head, *rows = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
    assert len(head["simulated_sky"]) == 64
    answers = [row for row in rows if "answer" in row]
    assert len(answers) == 16
    assert {row["user"] for row in answers} == {"vera"}
    assert sum(outcome.data.labels.values()) + sum(outcome.data.held_out.values()) == 16
    assert all(len(row.get("sha256", "")) == 64 or "draw" in row for row in rows)


def test_gates_compare_the_same_images_and_say_what_was_not_there(done: tuple[Outcome, Path]) -> None:
    outcome, _ = done
    assert outcome.gates is not None
    names = [gate.name for gate in outcome.gates.gates]
    assert "parity of PyTorch and ONNX Runtime" in names
    assert any("gold" in sentence for sentence in outcome.gates.missing)
    assert outcome.before is not None
    assert outcome.after is not None
    assert set(outcome.before.by_survey) == set(outcome.after.by_survey)


def test_a_worse_challenger_is_refused_by_its_figure(
    champion: Bundle, arrays: dict[Split, ImageArrays], tmp_path: Path
) -> None:
    """One whose calibration is that of other scores flags everything."""
    calibration = {name: np.sort(array) - 50.0 for name, array in champion.calibration.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **calibration)
    contents = {name: (champion.path / name).read_bytes() for name in champion.manifest.files}
    write_bundle(tmp_path, champion.manifest, contents | {"calibration.npz": buffer.getvalue()})
    worse = Bundle.load(tmp_path)
    images = arrays[Split.TEST]

    def report(
        challenger: Bundle,
        cost: float = 1.0,
        parity: float = 1e-6,
        lost: dict[str, int] | None = None,
        bounds: Bounds = Bounds(),  # noqa: B008 - it cannot be changed
        of: str = data_set.ARCHIVE,
        images: ImageArrays = arrays[Split.TEST],
    ) -> GateReport:
        scored = [score_both(of, champion, challenger, images, None, budget=200.0)]
        return compare(
            scored,
            champion=champion,
            challenger=challenger,
            missing=(),
            surveys_without=lost or {},
            costs_ms=(1.0, cost),
            parity=parity,
            alpha=0.2,
            seed=0,
            bounds=bounds,
        )

    same = report(champion)
    assert (same.passed, same.refusal) == (True, None)
    refused = report(worse)
    assert not refused.passed
    assert "alert volume" in str(refused.refusal)
    of_one = replace(images, surveys=np.full(len(images), "simulated-sdss"))
    for name, is_asked in ((data_set.ARCHIVE, True), (data_set.ANSWERED, False)):
        gates = report(worse, of=name, images=of_one).gates
        assert any(gate.name.startswith("p-values uniform") for gate in gates) is is_asked, "people see the strangest"
    assert "cost of an image" in str(report(champion, cost=1.3).refusal)
    assert "parity" in str(report(champion, parity=1e-3).refusal)
    without = champion.manifest.model_copy(update={"surveys": {}})
    lost = report(replace(champion, manifest=without), lost={"simulated-sdss": 12})
    assert "calibration of simulated-sdss: the archive has 12 images" in str(lost.refusal)
    assert report(champion, cost=1.3, bounds=Bounds(max_cost=2.0)).passed


def test_a_calibration_that_no_image_could_renew_is_protected_on_request_and_a_large_graph_refused(
    champion: Bundle, arrays: dict[Split, ImageArrays]
) -> None:
    survey = min(champion.manifest.surveys)
    # Nothing of the graph is read but its size.
    large = champion.model + bytes(2 << 20)
    kept = {name: entry for name, entry in champion.manifest.surveys.items() if name != survey}
    without = replace(champion, manifest=champion.manifest.model_copy(update={"surveys": kept}), model=large)
    scored = [score_both("simulated sky", champion, champion, arrays[Split.TEST], None, budget=200.0)]

    def gates(protected: tuple[str, ...] = (), mib: float = 30.0) -> dict[str, Gate]:
        found = compare(
            scored,
            champion=champion,
            challenger=without,
            missing=(),
            surveys_without={},
            costs_ms=(1.0, 1.0),
            parity=0.0,
            alpha=0.2,
            seed=0,
            bounds=Bounds(protected_surveys=protected, max_graph_mib=mib),
        )
        return {each.name: each for each in found.gates}

    lost = f"calibration of {survey}"
    assert gates()[lost].passed, "told, not refused"
    assert "ASTROLENS_PROTECTED_SURVEYS" in gates()[lost].detail
    for protected in ((survey,), ("all",)):
        assert not gates(protected)[lost].passed
        assert "name a set of this survey" in gates(protected)[lost].detail
    assert gates()["size of the graph"].passed
    too_large = gates(mib=1.0)["size of the graph"]
    assert not too_large.passed
    assert "ASTROLENS_MODEL_MAX_GRAPH_MIB" in too_large.detail


def test_a_run_says_how_far_each_long_step_is(
    champion: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_NOTE_EVERY_S", 0.0)
    noted: list[tuple[RunStep, float]] = []
    note = Run._note

    def noting(self: Run, step: RunStep, share: float) -> None:
        noted.append((step, share))
        note(self, step, share)

    monkeypatch.setattr(Run, "_note", noting)
    perform(champion, tmp_path / "run")
    shares = [share for _, share in noted]
    assert shares == sorted(shares)
    for step in (RunStep.DATA, RunStep.VIEWS, RunStep.FINE_TUNING):
        assert len({share for own, share in noted if own is step}) > 2, step
