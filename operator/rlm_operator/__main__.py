"""`python -m rlm_operator`: starts the operator.

Exit status 0 after SIGTERM or SIGINT, 1 when something essential ended or the cluster can not be served, 2 for a wrong
setting.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from pydantic import ValidationError
from pydantic_settings import CliApp, SettingsError

from rlm_operator.errors import OperatorError
from rlm_operator.logs import configure_logging
from rlm_operator.process import run
from rlm_operator.settings import Settings


def main() -> int:
    """Returns the exit status."""
    try:
        settings = CliApp.run(Settings)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            name = "_".join(str(part) for part in details["loc"])
            sys.stderr.write(f"RLM_OPERATOR_{name.upper()}: {details['msg']}, not {details['input']!r}\n")
        return 2
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(settings.log_level, settings.log_format)
    try:
        return asyncio.run(run(settings))
    except (OperatorError, OSError) as error:
        logging.getLogger("rlm_operator").error("%s", error)  # noqa: TRY400 - the message is for people
        return 1


if __name__ == "__main__":
    sys.exit(main())
