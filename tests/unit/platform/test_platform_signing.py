"""Key pairs in files: made once, private, refused with a sentence where they are no Ed25519 keys."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from astrolens.platform.errors import ConfigurationError, SignatureRefused
from astrolens.platform.signing import Verifier, load_signer, load_verifier, public_key_path
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key


def test_a_key_pair_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "model-signing.key"
    first = load_signer(path, create=True)
    assert load_signer(path, create=True).key_id == first.key_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(each.name for each in path.parent.iterdir()) == ["model-signing.key", "model-signing.pub"]


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "model-signing.key"
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(lambda _: load_signer(path, create=True), range(8)))
    assert len({signer.key_id for signer in signers}) == 1
    statement = b"a bundle"
    verifier = load_verifier([public_key_path(path)])
    for signer in signers:
        verifier.verify(statement, signature=signer.sign(statement), signed_with=signer.key_id)


def test_another_statement_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model-signing.key"
    signer = load_signer(path, create=True)
    with pytest.raises(SignatureRefused, match="changed after it was signed"):
        load_verifier([public_key_path(path)]).verify(
            b"another", signature=signer.sign(b"one"), signed_with=signer.key_id
        )


def test_nothing_is_trusted_where_no_key_is(tmp_path: Path) -> None:
    signer = load_signer(tmp_path / "model-signing.key", create=True)
    verifier: Verifier = load_verifier([tmp_path / "absent.pub"])
    with pytest.raises(SignatureRefused, match=signer.key_id):
        verifier.verify(b"x", signature=signer.sign(b"x"), signed_with=signer.key_id)
    with pytest.raises(SignatureRefused, match="not signed"):
        verifier.verify(b"x", signature=None, signed_with=None)


def test_a_key_that_must_be_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ASTROLENS_MODEL_SIGNING_KEY.*No such file"):
        load_signer(tmp_path / "model-signing.key", create=False)
    assert list(tmp_path.iterdir()) == []


def test_other_kinds_of_keys_are_named(tmp_path: Path) -> None:
    other = generate_private_key(SECP256R1())
    (tmp_path / "ec.key").write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "ec.pub").write_bytes(
        other.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "text.pub").write_text("no key")
    with pytest.raises(ConfigurationError, match="another kind of key"):
        load_signer(tmp_path / "ec.key", create=True)
    with pytest.raises(ConfigurationError, match="another kind of key"):
        load_verifier([tmp_path / "ec.pub"])
    with pytest.raises(ConfigurationError, match=r"text\.pub cannot be read"):
        load_verifier([tmp_path / "text.pub"])
