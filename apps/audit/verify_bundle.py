"""Verifies an audit bundle offline: python verify_bundle.py BUNDLE.zip [--public-key KEY.pem]

Needs Python 3.11 and the package `cryptography`. Memory does not depend on the size of the bundle. Pass the platform's
public key from a source that you trust: the key inside the bundle only proves that the bundle is consistent with
itself.

This is one file on purpose: a copy of it is in every bundle, and an auditor runs it without the platform's code. So it
imports nothing of the platform, and is not split.
"""

import argparse
import base64
import hashlib
import json
import os
import stat
import struct
import sys
import zipfile
import zlib
from binascii import unhexlify
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    sys.exit(
        f"NOT VERIFIED: nothing was checked, because the Python package `{error.name}` is missing. Install it with "
        f"`{sys.executable} -m pip install cryptography`, and run this again."
    )

FORMAT = "muckard-audit-bundle/3"
# The previous format: its leaves are one JSON object, which is read into memory.
FORMAT_2 = "muckard-audit-bundle/2"
SIGNED = {
    FORMAT: ("events.copy", "previous.tsv", "seals.tsv", "proof.txt", "checkpoint.txt"),
    FORMAT_2: ("events.copy", "previous.json", "seals.json"),
}
COMMON = ("verify_bundle.py", "public_key.pem")
MANIFEST = ("manifest.json", "manifest.sig")
ORIGIN = "muckard/audit"

_SMALL = 2**20
_LONGEST_LINE = 2**20
_LARGEST_JSON = 2**29
_HASH = hashlib.sha256().digest_size
_CHUNK = 2**16
_PROGRESS_EVERY = 10_000

# The parts of a zip file (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7, 4.3.16, 4.5.3).
_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_ZIP64 = struct.Struct("<2H2Q")
_IN_EXTRA = 0xFFFFFFFF

Progress = Callable[[int, int], Any]


class BundleDoesNotVerify(Exception):
    """The message names the first defect of a bundle."""


@dataclass(frozen=True)
class Verified:
    """Counted from the content, not taken from the manifest. `leaves` is the number of events in the Merkle tree;
    `key_digest` is the SHA-256 of the raw public key, hexadecimal."""

    events: int
    leaves: int
    key_digest: str
    manifest: dict[str, Any]


def verify_bundle(
    path: Path, trusted_key: bytes | None = None, progress: Progress = lambda _events, _of: None
) -> Verified:
    """Verifies everything in the bundle. Raises BundleDoesNotVerify, OSError.

    `trusted_key` is the content of a PEM file; without it the bundle's own key is used.
    """
    with path.open("rb") as file:
        try:
            return _verify(_Bundle(file), trusted_key, progress)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise BundleDoesNotVerify(f"{path} is not a readable zip file: {error}") from None
        except (
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            struct.error,
        ) as error:
            raise BundleDoesNotVerify(f"The bundle is malformed: {error!r}") from None


def _verify(bundle: "_Bundle", trusted_key: bytes | None, progress: Progress) -> Verified:
    content = bundle.read("manifest.json", _SMALL)
    manifest: dict[str, Any] = json.loads(content)
    signed = SIGNED.get(manifest["format"])
    if signed is None:
        raise BundleDoesNotVerify(
            f"This is not a bundle of format {FORMAT} or {FORMAT_2}: use the script that lies in the bundle."
        )
    bundle.refuse_other_members({*MANIFEST, *signed, *COMMON})
    key = _key(bundle.read("public_key.pem", _SMALL) if trusted_key is None else trusted_key)
    _check(key, bundle.read("manifest.sig", _SMALL), content, "The manifest's signature does not hold.")
    if set(manifest["files"]) != {*signed, *COMMON}:
        raise BundleDoesNotVerify("The manifest does not name the files of such a bundle.")
    bundle.expect(manifest["files"])
    for name in COMMON:
        bundle.read(name, _SMALL)
    check = _check_3 if manifest["format"] == FORMAT else _check_2
    events, leaves = check(bundle, key, lambda done: progress(done, manifest["events"]))
    bundle.refuse_unread()
    for name, counted in (("events", events), ("sealed", leaves)):
        if manifest[name] != counted:
            raise BundleDoesNotVerify(f"The manifest promises {manifest[name]} {name}, the bundle has {counted}.")
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Verified(events, leaves, hashlib.sha256(raw).hexdigest(), manifest)


def _check_3(bundle: "_Bundle", key: Ed25519PublicKey, progress: Callable[[int], Any]) -> tuple[int, int]:
    """Verifies a bundle of format 3. Returns the number of events, and how many of them are leaves of the tree."""
    previous = _pairs(bundle.lines("previous.tsv"))
    number, previous_hash = next(previous, (0, ""))
    events, leaves = 0, 0
    with TemporaryFile() as hashes:
        for event in _events(bundle, progress):
            events += 1
            if number == events:
                event.set_previous(unhexlify(previous_hash))
                number, previous_hash = next(previous, (0, ""))
            hashes.write(event.checked_hash())
        hashes.flush()
        if number:
            raise BundleDoesNotVerify("previous.tsv has more than the events need, or not in their order.")
        indices, nodes = _pairs(bundle.lines("seals.tsv")), bundle.lines("proof.txt")
        note = bundle.read("checkpoint.txt", _SMALL).decode()
        size, root = _open_note(note, key) if note else (0, b"")
        tree = PartialTree(size, nodes)
        for index, line_number in indices:
            if not 1 <= int(line_number) <= events:
                raise BundleDoesNotVerify(f"Seal {index} is not of an event in the bundle.")
            tree.append(index, os.pread(hashes.fileno(), _HASH, (int(line_number) - 1) * _HASH))
            leaves += 1
    if leaves and tree.root() != root:
        raise BundleDoesNotVerify("The sealed events are not those of the signed checkpoint.")
    if next(nodes, None) is not None:
        raise BundleDoesNotVerify("proof.txt has more than the seals need.")
    return events, leaves


def _check_2(bundle: "_Bundle", key: Ed25519PublicKey, progress: Callable[[int], Any]) -> tuple[int, int]:
    """Verifies a bundle of format 2, in which every leaf has a proof of its own."""
    previous, leaves = (json.loads(bundle.read(name, _LARGEST_JSON)) for name in ("previous.json", "seals.json"))
    size, root = _open_note(leaves["note"], key) if leaves["events"] else (0, b"")
    events, remaining = 0, dict(leaves["events"])
    unused = dict(previous)
    for event in _events(bundle, progress):
        events += 1
        if event.event_id in unused:
            event.set_previous(unhexlify(unused.pop(event.event_id)))
        leaf, proof = event.checked_hash(), remaining.pop(event.event_id, None)
        if proof is not None:
            # The nodes are needed in the order of RFC 6962's audit path.
            nodes = (node.encode() for node in proof["proof"])
            tree = PartialTree(size, nodes)
            tree.append(proof["index"], leaf)
            if tree.root() != root or next(nodes, None) is not None:
                raise BundleDoesNotVerify(f"Event {event.event_id} is not among the sealed ones.")
    for event_id in (*remaining, *unused):
        raise BundleDoesNotVerify(f"Event {event_id} is not in the bundle.")
    return events, len(leaves["events"])


@dataclass
class _Event:
    """One line of events.copy. `before` is the previous hash: b"" for the first event, None if it is not known yet."""

    name: str
    event_id: str
    head: bytes
    payload: bytes
    stored_hash: bytes
    before: bytes | None

    def set_previous(self, before: bytes) -> None:
        if self.before is not None or len(before) != _HASH:
            raise BundleDoesNotVerify(f"The hash before {self.name} is not one, or not needed.")
        self.before = before

    def checked_hash(self) -> bytes:
        if self.before is None:
            raise BundleDoesNotVerify(f"The bundle lacks the hash before {self.name}.")
        # The 13th column before the payload is the actor; older events have none, and were hashed without the column.
        has_empty_actor = self.head.endswith(b"\t") and self.head.count(b"\t") == 12
        head = self.head[:-1] if has_empty_actor else self.head
        if hashlib.sha256(self.before + head + b"\t" + self.payload).digest() != self.stored_hash:
            raise BundleDoesNotVerify(f"{self.name} does not match its hash.")
        return self.stored_hash


def _events(bundle: "_Bundle", progress: Callable[[int], Any]) -> Iterator[_Event]:
    """The events. They must be in the order of aggregates and event numbers, without duplicates."""
    last: tuple[bytes, bytes, int] = (b"", b"", 0)
    last_hash = b""
    for done, line in enumerate(bundle.lines("events.copy"), 1):
        head, payload, digest = line.rsplit(b"\t", 2)
        fields = head.split(b"\t")
        place = (fields[3], fields[4], int(fields[5]))
        name = f"{fields[3].decode()}/{fields[4].decode()} #{place[2]}"
        if place <= last or place[2] < 1:
            raise BundleDoesNotVerify(f"{name} is in the bundle twice, or not in its place.")
        before = b"" if place[2] == 1 else last_hash if place == (*last[:2], last[2] + 1) else None
        if (payload[:3], digest[:3]) != (b"\\\\x", b"\\\\x"):
            raise BundleDoesNotVerify(f"{name} is not an event.")
        last, last_hash = place, unhexlify(digest[3:])
        yield _Event(name, fields[0].decode(), head, unhexlify(payload[3:]), last_hash, before)
        if done % _PROGRESS_EVERY == 0:
            progress(done)


def _pairs(lines: Iterator[bytes]) -> Iterator[tuple[int, str]]:
    """A number and a text from each line. The numbers must increase."""
    last = -1
    for line in lines:
        number, text = line.decode().split("\t")
        if int(number) <= last:
            raise BundleDoesNotVerify(f"{number} is there twice, or not in its place.")
        last = int(number)
        yield last, text


class PartialTree:
    """RFC 6962's Merkle tree from some of its leaves. The roots of the subtrees between them come from `nodes`."""

    def __init__(self, size: int, nodes: Iterator[bytes]) -> None:
        self._size, self._nodes = size, nodes
        self._next = 0
        # Height and hash of the perfect subtrees so far, largest first; None if no leaf of the subtree is known.
        self._frontier: list[tuple[int, bytes | None]] = []

    def append(self, index: int, event_hash: bytes) -> None:
        if not self._next <= index < self._size:
            raise BundleDoesNotVerify(f"There is no seal {index} in a tree of {self._size}, or not in this place.")
        self._skip_to(index)
        self._push(0, hashlib.sha256(b"\0" + event_hash).digest())

    def root(self) -> bytes | None:
        self._skip_to(self._size)
        node = self._frontier.pop()[1]
        while self._frontier:
            node = self._join(self._frontier.pop()[1], node)
        return node

    def _skip_to(self, index: int) -> None:
        while self._next < index:
            height = (index - self._next).bit_length() - 1
            if self._next:
                height = min(height, (self._next & -self._next).bit_length() - 1)
            self._push(height, None)

    def _push(self, height: int, node: bytes | None) -> None:
        self._next += 1 << height
        while self._frontier and self._frontier[-1][0] == height:
            node = self._join(self._frontier.pop()[1], node)
            height += 1
        self._frontier.append((height, node))

    def _join(self, left: bytes | None, right: bytes | None) -> bytes | None:
        if left is None and right is None:
            return None
        left, right = (unhexlify(next(self._nodes, b"")) if node is None else node for node in (left, right))
        if len(left) != _HASH or len(right) != _HASH:
            raise BundleDoesNotVerify("The proof lacks a node.")
        return hashlib.sha256(b"\1" + left + right).digest()


class _Bundle:
    """Reads a zip file that consists of its members only, without gaps, so that every zip reader finds the same."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file.fileno()
        self._expected: dict[str, str] = {}
        self._checked: set[str] = set()
        with zipfile.ZipFile(file) as bundle:
            infos, at = bundle.infolist(), 0
            starts = {}
            for info in sorted(infos, key=lambda each: each.header_offset):
                self._refuse_unusual(info, at)
                local = self._local_header(info)
                starts[info.filename] = at + len(local)
                at = starts[info.filename] + info.compress_size
            entries = sum(46 + len(info.filename) + len(info.extra) for info in infos)
            self._refuse_unusual_end(bundle.start_dir, at, entries, len(infos))
        if len(starts) != len(infos):
            raise BundleDoesNotVerify("A file is in the bundle twice.")
        self._members = {info.filename: (starts[info.filename], info) for info in infos}

    def refuse_other_members(self, names: set[str]) -> None:
        for name in sorted(names - self._members.keys()):
            raise BundleDoesNotVerify(f"{name} is missing from the bundle.")
        for name in sorted(self._members.keys() - names):
            raise BundleDoesNotVerify(f"{name!r} does not belong to such a bundle.")

    def expect(self, digests: dict[str, str]) -> None:
        """Sets the expected hexadecimal SHA-256 of each member. It is checked when a member is read to its end."""
        self._expected = dict(digests)

    def refuse_unread(self) -> None:
        for name in self._expected.keys() - self._checked:
            raise BundleDoesNotVerify(f"{name} has more than belongs into it.")

    def read(self, name: str, at_most: int) -> bytes:
        self.refuse_other_members({*self._members, name})
        if self._members[name][1].file_size > at_most:
            raise BundleDoesNotVerify(f"{name} is larger than the {at_most >> 20} MiB that this script reads of it.")
        return b"".join(self._content(name))

    def lines(self, name: str) -> Iterator[bytes]:
        """The lines, without their newlines."""
        rest = b""
        for data in self._content(name):
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            if len(rest) > _LONGEST_LINE:
                raise BundleDoesNotVerify(f"{name} has a line of more than {_LONGEST_LINE >> 20} MiB.")
        if rest:
            raise BundleDoesNotVerify(f"{name} ends in the middle of a line.")

    def _content(self, name: str) -> Iterator[bytes]:
        start, info = self._members[name]
        digest, crc, size = hashlib.sha256(), 0, 0
        for data in self._inflated(start, start + info.compress_size, info.compress_type):
            digest.update(data)
            crc, size = zlib.crc32(data, crc), size + len(data)
            if size > info.file_size:
                break
            yield data
        if (size, crc) != (info.file_size, info.CRC):
            raise BundleDoesNotVerify(f"{name} has another size or checksum than the zip file says.")
        if name in self._expected:
            if digest.hexdigest() != self._expected[name]:
                raise BundleDoesNotVerify(f"{name} was changed after the export.")
            self._checked.add(name)

    def _inflated(self, at: int, end: int, method: int) -> Iterator[bytes]:
        if method == zipfile.ZIP_STORED:
            for position in range(at, end, _CHUNK):
                yield os.pread(self._file, min(_CHUNK, end - position), position)
            return
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        data = out = b""
        try:
            while not inflate.eof:
                if not data and len(out) < _CHUNK:
                    data = os.pread(self._file, min(_CHUNK, end - at), at)
                    at += len(data)
                    if not data:
                        break
                out = inflate.decompress(data, _CHUNK)
                data = inflate.unconsumed_tail
                yield out
        except zlib.error as error:
            raise BundleDoesNotVerify(f"The zip file is damaged: {error}.") from None
        if not inflate.eof or inflate.unused_data or at != end:
            raise BundleDoesNotVerify("The zip file is damaged, or has more in it than it says.")

    def _refuse_unusual(self, info: zipfile.ZipInfo, at: int) -> None:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if (
            info.header_offset != at
            or info.flag_bits
            or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            or info.comment
            or info.filename != info.orig_filename
            or kind not in (0, stat.S_IFREG)
        ):
            raise BundleDoesNotVerify(
                f"The zip file has something before or in {info.filename!r} that does not belong."
            )

    def _local_header(self, info: zipfile.ZipInfo) -> bytes:
        """The member's local header, which must match the central directory: not every reader uses the directory."""
        fixed = os.pread(self._file, _LOCAL.size, info.header_offset)
        signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(fixed)
        rest = os.pread(self._file, name_length + extra_length, info.header_offset + len(fixed))
        name, extra = rest[:name_length], rest[name_length:]
        if extra and (packed, size) == (_IN_EXTRA, _IN_EXTRA):
            tag, length, size, packed = _ZIP64.unpack(extra)
            extra = b"" if (tag, length) == (1, 16) else extra
        told = (info.flag_bits, info.compress_type, info.CRC, info.compress_size, info.file_size)
        if (
            signature != b"PK\3\4"
            or (flags, method, crc, packed, size) != told
            or name != info.filename.encode()
            or extra
        ):
            raise BundleDoesNotVerify(f"The zip file says two things of {info.filename!r}.")
        return fixed + rest

    def _refuse_unusual_end(self, directory: int, members_end: int, entries: int, count: int) -> None:
        size = os.fstat(self._file).st_size
        end = size - _END.size
        signature, disk, first_disk, here, total, _, _, comment = _END.unpack(os.pread(self._file, _END.size, end))
        is_64 = os.pread(self._file, 4, end - 20) == b"PK\6\7" and end - 76 == directory + entries
        if (
            (signature, disk, first_disk, here, total, comment) != (b"PK\5\6", 0, 0, count, count, 0)
            or directory != members_end
            or (not is_64 and directory + entries != end)
        ):
            raise BundleDoesNotVerify("The zip file has something in it that belongs to none of its files.")


def _key(pem: bytes) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise BundleDoesNotVerify("The public key is not an Ed25519 key in a PEM file.")
    return key


def _open_note(note: str, key: Ed25519PublicKey) -> tuple[int, bytes]:
    """Size and root of the tree from a signed note (https://c2sp.org/signed-note), after its signature was verified."""
    text, _, signature_line = note.partition("\n\n")
    # Lines after the root are extension lines of the checkpoint (https://c2sp.org/tlog-checkpoint).
    origin, size, root, *_ = text.split("\n")
    _, name, signature = signature_line.strip().split(" ")
    if (origin, name) != (ORIGIN, ORIGIN):
        raise BundleDoesNotVerify("The checkpoint is one of another log.")
    _check(key, base64.b64decode(signature)[4:], (text + "\n").encode(), "The checkpoint's signature does not hold.")
    return int(size), base64.b64decode(root)


def _check(key: Ed25519PublicKey, signature: bytes, data: bytes, message: str) -> None:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        raise BundleDoesNotVerify(message) from None


def _show(events: int, of: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{events:,} of {of:,} events ")
        sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks an audit bundle offline.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--public-key", type=Path, help="the platform's audit key, from a source you trust")
    arguments = parser.parse_args()
    try:
        trusted = arguments.public_key.read_bytes() if arguments.public_key else None
        found = verify_bundle(arguments.bundle, trusted, _show)
    except (BundleDoesNotVerify, OSError) as error:
        sys.exit(f"NOT VERIFIED: {error}")
    counted = f"{found.events} events, {found.leaves} of them sealed"
    if arguments.public_key:
        sys.stdout.write(f"VERIFIED: {counted}\n")
    else:
        sys.stdout.write(
            f"VERIFIED BY ITS OWN KEY ONLY: {counted}. Anybody can make such a bundle with a key of their own: give "
            f"the platform's key with --public-key. This bundle's key has the SHA-256 {found.key_digest}.\n"
        )


if __name__ == "__main__":
    main()
