"""The headers of every answer."""

import base64
import hashlib

from vggfcn.app.safety.headers import hashes, policy, security_headers


def test_scripts_run_only_if_they_are_the_servers_or_in_its_page():
    page = b'<script>a()</script><script src="x.js"></script><script data-x="1">b()\n</script>'
    digests = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"a()", b"b()\n")]
    assert hashes(page) == f" 'sha256-{digests[0]}' 'sha256-{digests[1]}'"
    assert f"script-src 'self'{hashes(page)};" in policy(hashes(page))


def test_nothing_is_allowed_that_the_page_does_not_need():
    found = dict(security_headers())
    said = found[b"content-security-policy"].decode()
    assert said.startswith("default-src 'none'; script-src 'self'; ")
    assert "frame-ancestors 'none'" in said
    assert "unsafe-eval" not in said
    assert "http" not in said
    assert found[b"x-frame-options"] == b"DENY"
    assert found[b"x-content-type-options"] == b"nosniff"
    assert found[b"referrer-policy"] == b"no-referrer"
