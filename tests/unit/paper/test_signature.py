"""The example of Kraken's authentication guide, and signatures that must be refused."""

import base64

import pytest

from apps.paper.signature import is_signed, sign

SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
BODY = b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
PATH = "/0/private/AddOrder"
SIGNATURE = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="


def test_krakens_own_example() -> None:
    assert sign(secret=SECRET, path=PATH, nonce="1616492376594", body=BODY) == SIGNATURE


@pytest.mark.parametrize(
    "changes",
    [
        {"body": BODY.replace(b"1.25", b"1.26")},
        {"body": BODY + b"&"},
        {"path": "/0/private/CancelOrder"},
        {"nonce": "1616492376595"},
        {"secret": base64.b64encode(b"x" * 64).decode()},
        {"signature": SIGNATURE[:-2]},
        {"signature": ""},
        {"signature": "ünlike any"},
    ],
)
def test_whatever_was_changed_does_not_pass(changes: dict[str, object]) -> None:
    call = {"signature": SIGNATURE, "secret": SECRET, "path": PATH, "nonce": "1616492376594", "body": BODY, **changes}

    assert is_signed(call.pop("signature"), **call) is False  # type: ignore[arg-type]
