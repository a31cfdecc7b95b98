"""Takes out of a text what looks like a secret: keys, bearer tokens, passwords in addresses.

The last defence, behind the rule that keys and providers' own words are not written anywhere: applied to every log
line, to the messages of errors and to what traces say. It knows forms, not values, so it does not replace the rule.
"""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "[redacted]"

_SECRETS: Final = re.compile(
    r"""
    (?P<scheme>\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@"'<>]{1,512}@          # user:password@ of an address
    | (?P<bearer>\b(?:bearer|basic)\s+)(?=\S*[0-9])[A-Za-z0-9._~+/=-]{8,}  # an Authorization header's value
    | (?P<field>\b(?:api[_-]?key|x-api-key|password|secret|token)["']?\s*[=:]\s*["']?)[A-Za-z0-9._~+/-]{8,}
    | \b(?:sk|pk|rk|gsk|xai|hf|ghp|gho|glpat|xox[abpr])[-_][A-Za-z0-9_*-]{6,}  # keys by their prefix
    | \bAKIA[A-Z0-9]{12,}                                               # AWS access key ids
    | \bAIza[A-Za-z0-9_-]{20,}                                          # Google API keys
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with `[redacted]` in the place of each secret."""
    return _SECRETS.sub(_replace, text)


def _replace(match: re.Match[str]) -> str:
    if (scheme := match["scheme"]) is not None:
        return f"{scheme}{REDACTED}@"
    return f"{match['bearer'] or match['field'] or ''}{REDACTED}"
