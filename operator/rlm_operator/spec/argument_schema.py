"""Whether the `parameters` of a tool are a JSON schema, by the meta-schema of its draft.

Called by `tools.py` for every tool of a spec. The inference pods compile the schema; here it is only compared with the
meta-schema, since the schema is a tenant's: references that fan out take a compiler half a minute and half a gigabyte,
and a `$schema` of one's own would be looked for in the network. So patterns and references are first judged by the pod,
whose words its stack's conditions then repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_DRAFTS: Final = frozenset(
    {
        "http://json-schema.org/draft-04/schema",
        "http://json-schema.org/draft-06/schema",
        "http://json-schema.org/draft-07/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    }
)
_LONGEST_REASON: Final = 200  # characters; a reason repeats the value that is wrong


def check_argument_schema(schema: Mapping[str, Any]) -> None:
    """Raises ValueError, saying where the schema is wrong."""
    import jsonschema_rs  # 5 MB of memory, for those who have tools

    draft = schema.get("$schema")
    if draft is not None and str(draft).removesuffix("#") not in _DRAFTS:
        raise ValueError(
            "parameters.$schema of a tool is none of JSON Schema's drafts: leave it out, or write "
            "https://json-schema.org/draft/2020-12/schema"
        )
    try:
        jsonschema_rs.meta.validate(dict(schema))
    except jsonschema_rs.ValidationError as error:
        where = ".".join(["parameters", *map(str, error.instance_path)])
        raise ValueError(
            f"parameters of a tool are no JSON schema: {where}: {error.message[:_LONGEST_REASON]}: correct it"
        ) from error
