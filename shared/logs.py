"""Logging: one JSON object per line on standard output, for our own events and those of the libraries."""

import logging
import re
import sys
from collections.abc import Sequence
from typing import Any

import structlog
from structlog.typing import EventDict

log = structlog.get_logger()

# Log collectors cut lines off at 16 KiB; a request takes up to 150 bytes.
REQUESTS_PER_LINE = 100

# A bcrypt hash, or a token, or what was left of one when a text was cut off. PostgreSQL quotes the row and the part of the
# statement that it could not take.
SECRETS = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]*|\beyJ[\w-]{8,}(?:\.[\w-]*)*")
HIDDEN = "(hidden)"


def hide_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """No text of a line shows a password's hash or a token, whoever put it there."""
    return {
        name: SECRETS.sub(HIDDEN, value) if isinstance(value, str) else value for name, value in event.items()
    }


SHARED_PROCESSORS: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    hide_secrets,
]


# They bring handlers of their own, but for the access log when it is off: then it shall stay off.
SERVER_LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure_logging(level: str, *processors: structlog.types.Processor) -> None:
    """Send every log record of the process through one JSON formatter. Called once at start.

    `processors` add what only one part of the system knows to every line.
    """
    chain = [*processors, *SHARED_PROCESSORS]
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in SERVER_LOGGERS:
        logger = logging.getLogger(name)
        if logger.handlers:
            logger.handlers.clear()
            logger.propagate = True


def log_requests(event: str, requests: Sequence[str], **context: str) -> None:
    """Log what became of many requests, each a text that begins with its id: a line per hundred, none for none."""
    # Commands that accept or apply requests themselves configure no log, and then want none.
    if not logging.getLogger(__name__).isEnabledFor(logging.INFO):
        return
    for start in range(0, len(requests), REQUESTS_PER_LINE):
        log.info(event, requests=requests[start : start + REQUESTS_PER_LINE], **context)
