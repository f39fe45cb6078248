"""Checks an audit bundle offline: python verify_bundle.py BUNDLE.zip [--public-key KEY.pem]

Needs Python 3.11 and the package `cryptography`, nothing else. Give the public key that you got from the platform by
another way than the bundle; without one, the bundle's own key only proves that it fits itself.
"""

import argparse
import base64
import binascii
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

FORMAT = "muckard-audit-bundle/2"
_MEMBERS = ("manifest.json", "manifest.sig", "events.copy", "previous.json", "seals.json", "public_key.pem")


class BundleDoesNotVerify(Exception):
    """The first thing that is wrong with a bundle."""


def verify_bundle(path: Path, trusted_key: bytes | None = None) -> dict[str, Any]:
    """The bundle's manifest, once everything in it holds. Raises BundleDoesNotVerify."""
    try:
        with zipfile.ZipFile(path) as bundle:
            files = {name: bundle.read(name) for name in bundle.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise BundleDoesNotVerify(f"{path} is not a readable zip file: {error}") from None
    try:
        return _verify(files, trusted_key)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BundleDoesNotVerify(f"The bundle is malformed: {error!r}") from None


def _verify(files: dict[str, bytes], trusted_key: bytes | None) -> dict[str, Any]:
    if "manifest.json" in files and json.loads(files["manifest.json"])["format"] != FORMAT:
        raise BundleDoesNotVerify(f"This is not a bundle of format {FORMAT}: use the script that lies in the bundle.")
    for name in _MEMBERS:
        if name not in files:
            raise BundleDoesNotVerify(f"{name} is missing from the bundle.")
    key = load_pem_public_key(trusted_key or files["public_key.pem"])
    if not isinstance(key, Ed25519PublicKey):
        raise BundleDoesNotVerify("The public key is not an Ed25519 key.")
    _check(key, files["manifest.sig"], files["manifest.json"], "The manifest's signature does not hold.")
    manifest: dict[str, Any] = json.loads(files["manifest.json"])
    for name, digest in manifest["files"].items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != digest:
            raise BundleDoesNotVerify(f"{name} was changed after the export.")
    hashes = _check_events(files["events.copy"].splitlines(), json.loads(files["previous.json"]))
    if len(hashes) != manifest["events"]:
        raise BundleDoesNotVerify(f"The manifest promises {manifest['events']} events, the bundle has {len(hashes)}.")
    _check_seals(json.loads(files["seals.json"]), hashes, key)
    return manifest


def _check_events(lines: list[bytes], previous: dict[str, str]) -> dict[str, bytes]:
    """The hash of every event by its id, each recomputed from the event and the hash of the one before it."""
    parts = [line.rsplit(b"\t", 2) for line in lines]
    stored = {_place(head): binascii.unhexlify(digest[3:]) for head, _, digest in parts}
    hashes: dict[str, bytes] = {}
    for head, payload, _ in parts:
        event_id, (aggregate, sequence) = head.split(b"\t", 1)[0].decode(), _place(head)
        before = b"" if sequence == 1 else stored.get((aggregate, sequence - 1))
        if before is None:
            # The filter left out the event before this one.
            before = binascii.unhexlify(previous[event_id])
        hashes[event_id] = hashlib.sha256(before + head + b"\t" + binascii.unhexlify(payload[3:])).digest()
        if hashes[event_id] != stored[aggregate, sequence]:
            raise BundleDoesNotVerify(f"{aggregate} #{sequence} does not match its hash.")
    return hashes


def _place(head: bytes) -> tuple[str, int]:
    fields = head.decode().split("\t")
    return f"{fields[3]}/{fields[4]}", int(fields[5])


def _check_seals(seals: dict[str, Any], hashes: dict[str, bytes], key: Ed25519PublicKey) -> None:
    if not seals["events"]:
        return
    text, _, signature_line = seals["note"].partition("\n\n")
    signature = base64.b64decode(signature_line.strip().split(" ")[2])
    _check(key, signature[4:], (text + "\n").encode(), "The checkpoint's signature does not hold.")
    # Lines after the root are extensions of the checkpoint (https://c2sp.org/tlog-checkpoint), signed with it.
    _, size, root, *_ = text.split("\n")
    for event_id, seal in seals["events"].items():
        leaf = hashlib.sha256(b"\x00" + hashes[event_id]).digest()
        proof = [binascii.unhexlify(node) for node in seal["proof"]]
        if _root(leaf, seal["index"], int(size), proof) != base64.b64decode(root):
            raise BundleDoesNotVerify(f"Event {event_id} is not among the sealed ones.")


def _root(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    if size <= 1:
        return leaf
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return hashlib.sha256(b"\x01" + _root(leaf, index, split, proof[:-1]) + proof[-1]).digest()
    return hashlib.sha256(b"\x01" + proof[-1] + _root(leaf, index - split, size - split, proof[:-1])).digest()


def _check(key: Ed25519PublicKey, signature: bytes, data: bytes, message: str) -> None:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        raise BundleDoesNotVerify(message) from None


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks an audit bundle offline.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--public-key", type=Path, help="the platform's audit key, from a source you trust")
    arguments = parser.parse_args()
    try:
        trusted = arguments.public_key.read_bytes() if arguments.public_key else None
        manifest = verify_bundle(arguments.bundle, trusted)
    except (BundleDoesNotVerify, OSError) as error:
        sys.exit(f"NOT VERIFIED: {error}")
    trust = "" if arguments.public_key else " (by the bundle's own key: compare it with the platform's)"
    sys.stdout.write(f"VERIFIED: {manifest['events']} events, {manifest['sealed']} of them sealed{trust}\n")


if __name__ == "__main__":
    main()
