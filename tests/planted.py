"""A secret planted for tests to look for, in every form it may leak in.

The forms are written down here by the standard library's own means, apart from `procos.domain.redaction`, so that a
form which is forgotten there is found here.
"""

from __future__ import annotations

import html
import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

SECRET = 'p@ss w/ö"rd&=%'  # the planted one
NAME = "PLANTED"
CONSTANT = "Bearer {{secrets.PLANTED}}"
TOPIC = "sample_leak"
ENVIRONMENT = {f"PROCOS_SECRETS__{NAME}": SECRET, "PROCOS_SECRETS_ALLOWED": json.dumps({TOPIC: [NAME]})}

FORMS = {
    "plain": SECRET,
    "url": quote(SECRET, safe=""),
    "path": quote(SECRET),
    "form": quote_plus(SECRET),
    "small letters": quote(SECRET, safe="").replace("%C3%B6", "%c3%b6").replace("%2F", "%2f").replace("%3D", "%3d"),
    "json": json.dumps(SECRET)[1:-1],
    "json in json": json.dumps(json.dumps(SECRET)[1:-1])[1:-1],
    "html": html.escape(SECRET),
    "html in json": json.dumps(html.escape(SECRET))[1:-1],
    "repr": repr(SECRET)[1:-1],
    "bytes": repr(SECRET.encode())[2:-1],
    "base64": b64encode(SECRET.encode()).decode(),
    "base64 for addresses": urlsafe_b64encode(SECRET.encode()).decode(),
    "base64 of Latin-1": b64encode(SECRET.encode("latin-1")).decode(),
    "base64 behind a user": b64encode(f"user:{SECRET}".encode()).decode()[8:-4],
    "base64 behind another": b64encode(f"users:{SECRET}".encode()).decode()[8:-4],
}


def found_in(text: str) -> list[str]:
    """Name the forms of the planted secret that a text holds."""
    return [name for name, form in FORMS.items() if form in text]
