"""Signatures of release files in minisign's format (ed25519), checked against the public key of the settings."""

from __future__ import annotations

from pathlib import Path

from minisign import Error, PublicKey, Signature

from pipelines.errors import ReleaseUnsigned

LARGEST_SIGNATURE_BYTES = 4096
LARGEST_UNHASHED_BYTES = 64 << 20
"""A signature of the old kind is of the file itself, not of its digest, and needs all of it in memory."""


def check_signature(path: Path, signature: Path, public_key: str) -> str:
    """Returns the trusted comment of a file's signature.

    Args:
        signature: a .minisig file.
        public_key: base64, the second line of a minisign.pub.

    Raises ReleaseUnsigned when the signature is not of this file and this key, or cannot be read.
    """
    try:
        key = PublicKey.from_base64(public_key)
    except Error as error:
        raise ReleaseUnsigned(
            f"`release_public_key` is no minisign public key: {error}.", "Give the second line of minisign.pub."
        ) from error
    try:
        signed = Signature.from_file(signature)
        if not signed.is_prehashed() and path.stat().st_size > LARGEST_UNHASHED_BYTES:
            raise ReleaseUnsigned(
                f"The signature of {path.name} is of minisign's old kind, which is not checked for large files.",
                "Its makers can sign it with a present minisign.",
            )
        key.verify_file(path, signed)
    except (Error, UnicodeDecodeError) as error:
        raise ReleaseUnsigned(
            f"The signature of {path.name} is not valid: {error}.",
            "It may be damaged, or made with another key than `release_public_key`. Nothing of it is used.",
        ) from error
    comment: str = signed.trusted_comment
    return comment
