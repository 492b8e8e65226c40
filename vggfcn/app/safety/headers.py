"""The headers that every answer carries, so that browsers run, frame and send nothing that the page does not need."""

import base64
import hashlib
import re

_INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
_STATIC = (
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)


def policy(scripts: str = "") -> str:
    """The Content-Security-Policy; `scripts` are sources of scripts besides the server's own files."""
    # Gradio sets styles on its elements, and draws icons from data addresses.
    return (
        f"default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
        "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    )


def security_headers(content_policy: str | None = None) -> list[tuple[bytes, bytes]]:
    """The headers as ASGI has them, with `policy()` unless another one is given."""
    pairs = (("content-security-policy", content_policy or policy()), *_STATIC)
    return [(name.encode(), value.encode()) for name, value in pairs]


def hashes(page: bytes) -> str:
    """The scripts written into a page, as sources for `policy`: only these run."""
    digests = (hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page))
    return "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
