"""A bundle verifies only if every kind of zip reader finds the same files in it."""

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from apps.audit import verify_bundle
from apps.audit.verify_bundle import BundleDoesNotVerify
from tests.factories import bundles

KEY = Ed25519PrivateKey.generate()

Files = dict[str, bytes]
FORGED = b"forged\n"


@pytest.fixture(params=[2, 3])
def files(request: pytest.FixtureRequest) -> Files:
    return bundles.members(KEY, version=request.param)


def _refused(path: Path) -> None:
    with pytest.raises(BundleDoesNotVerify):
        verify_bundle.verify_bundle(path, bundles.members(KEY)["public_key.pem"])


def _zip(files: list[tuple[str | zipfile.ZipInfo, bytes]], comment: bytes = b"") -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:
        warnings.simplefilter("ignore")
        for name, data in files:
            bundle.writestr(name, data)
        bundle.comment = comment
    return content.getvalue()


def _info(name: str, **attributes: object) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


MEMBERS: dict[str, Callable[[Files], list[tuple[str | zipfile.ZipInfo, bytes]]]] = {
    "one more": lambda files: [*files.items(), ("readme.txt", b"")],
    "a forged one before the good one": lambda files: [("events.copy", FORGED), *files.items()],
    "a forged one after the good one": lambda files: [*files.items(), ("events.copy", FORGED)],
    "the same one twice": lambda files: [*files.items(), ("events.copy", files["events.copy"])],
    "the manifest twice": lambda files: [("manifest.json", b"{}"), *files.items()],
    "a folder": lambda files: [*files.items(), ("folder/", b"")],
    "a folder of a file's name": lambda files: [("events.copy/", b""), *files.items()],
    "a path upwards": lambda files: [*files.items(), ("../events.copy", FORGED)],
    "an absolute path": lambda files: [*files.items(), ("/tmp/events.copy", FORGED)],
    "a path of the same folder": lambda files: [*files.items(), ("./events.copy", FORGED)],
    "another case": lambda files: [*files.items(), ("EVENTS.COPY", FORGED)],
    "a Windows path": lambda files: [*files.items(), ("..\\events.copy", FORGED)],
    "a symbolic link": lambda files: [
        (_info("events.copy", external_attr=0o120777 << 16), files["events.copy"]),
        *((name, content) for name, content in files.items() if name != "events.copy"),
    ],
    "a remark on a file": lambda files: [
        (_info("events.copy", comment=b"more"), files["events.copy"]),
        *((name, content) for name, content in files.items() if name != "events.copy"),
    ],
    "an extra field": lambda files: [
        (_info("events.copy", extra=struct.pack("<2H4s", 0x7075, 4, b"more")), files["events.copy"]),
        *((name, content) for name, content in files.items() if name != "events.copy"),
    ],
    "another compression": lambda files: [
        (_info("events.copy", compress_type=zipfile.ZIP_LZMA), files["events.copy"]),
        *((name, content) for name, content in files.items() if name != "events.copy"),
    ],
}


@pytest.mark.parametrize("change", MEMBERS)
def test_a_bundle_has_its_members_and_no_others(files: Files, change: str, tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(_zip(MEMBERS[change](files)))

    _refused(path)


LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"


def _shifted_end(content: bytes, by: int) -> bytes:
    """Fits the directory offset in the end record to bytes that were inserted before it."""
    head, record = content[:-22], bytearray(content[-22:])
    (offset,) = struct.unpack_from("<L", record, 16)
    struct.pack_into("<L", record, 16, offset + by)
    return head + bytes(record)


def _set(content: bytes, at: int, layout: str, value: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


def _renamed_locally(content: bytes) -> bytes:
    at = content.index(b"events.copy")
    return content[:at] + b"events.cop2" + content[at + 11 :]


def _member(content: bytes, name: bytes = b"events.copy") -> tuple[int, int]:
    """The offsets of a member's local header and of its directory entry."""
    return content.index(name) - 30, content.rindex(name) - 46


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "something before": lambda content: b"#!/bin/sh\n" + content,
    "something before, offsets not fitted": lambda content: bytes(100) + content,
    "something behind": lambda content: content + b"\n",
    "another zip file behind": lambda content: content + _zip([("events.copy", FORGED)]),
    "another zip file before": lambda content: _zip([("events.copy", FORGED)]) + content,
    "something before the directory": lambda content: _shifted_end(
        content[: content.index(CENTRAL)] + b"more" + content[content.index(CENTRAL) :], 4
    ),
    "something before the directory, offsets not fitted": lambda content: (
        content[: content.index(CENTRAL)] + b"more" + content[content.index(CENTRAL) :]
    ),
    "something before the last record": lambda content: content[:-22] + b"more" + content[-22:],
    "76 bytes before the last record": lambda content: content[:-22] + bytes(76) + content[-22:],
    "a remark": lambda content: _set(content, len(content) - 2, "<H", 4) + b"more",
    "a remark of no length": lambda content: _set(content, len(content) - 2, "<H", 4),
    "another number of files": lambda content: _set(content, len(content) - 12, "<H", 2),
    "another number of files on this disk": lambda content: _set(content, len(content) - 14, "<H", 2),
    "another disk": lambda content: _set(content, len(content) - 18, "<H", 1),
    "another name in the local header": _renamed_locally,
    "another size in the local header": lambda content: _set(content, _member(content)[0] + 22, "<L", 5),
    "another packed size in the local header": lambda content: _set(content, _member(content)[0] + 18, "<L", 5),
    "another checksum in the local header": lambda content: _set(content, _member(content)[0] + 14, "<L", 5),
    "another method in the local header": lambda content: _set(content, _member(content)[0] + 8, "<H", 0),
    "encrypted by the local header": lambda content: _set(content, _member(content)[0] + 6, "<H", 1),
    "sizes behind the data by the local header": lambda content: _set(content, _member(content)[0] + 6, "<H", 8),
    "encrypted by the directory": lambda content: _set(content, _member(content)[1] + 8, "<H", 1),
    "a smaller size": lambda content: _set(
        _set(content, _member(content)[0] + 22, "<L", 9), _member(content)[1] + 24, "<L", 9
    ),
    "a larger size": lambda content: _set(
        _set(content, _member(content)[0] + 22, "<L", 2**31), _member(content)[1] + 24, "<L", 2**31
    ),
}


@pytest.mark.parametrize("change", BYTES)
def test_a_bundle_has_nothing_that_only_some_readers_see(files: Files, change: str, tmp_path: Path) -> None:
    path = bundles.write(tmp_path / "bundle.zip", files)
    path.write_bytes(BYTES[change](path.read_bytes()))

    _refused(path)


def test_nothing_hides_behind_the_compressed_content(files: Files, tmp_path: Path) -> None:
    """A member whose packed size covers bytes after the end of its compressed stream."""
    path, real = tmp_path / "bundle.zip", zlib.compressobj

    class Longer:
        def __init__(self, level: int, method: int, bits: int) -> None:
            self._compress = real(level, method, bits)

        def compress(self, data: bytes) -> bytes:
            return self._compress.compress(data)

        def flush(self, *_: int) -> bytes:
            return self._compress.flush() + b"hidden"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zlib, "compressobj", Longer)
        bundles.write(path, files)
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
    _refused(path)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "public_key.pem", "verify_bundle.py"])
def test_a_small_file_that_is_large_is_not_read(files: Files, name: str, tmp_path: Path) -> None:
    large = {**files, name: bytes(2**20 + 1)}
    if not name.startswith("manifest."):
        large = bundles.resigned(large, KEY)

    with pytest.raises(BundleDoesNotVerify, match=f"{name} is larger than the 1 MiB"):
        verify_bundle.verify_bundle(bundles.write(tmp_path / "bundle.zip", large))


def test_a_bundle_of_many_gigabytes_has_a_directory_in_the_large_format(tmp_path: Path) -> None:
    """A Zip64 end record, as for large offsets and sizes."""
    files = bundles.members(KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 500)
        path = bundles.write(tmp_path / "bundle.zip", files)
    assert b"PK\6\6" in path.read_bytes()

    assert verify_bundle.verify_bundle(path).events == 12
