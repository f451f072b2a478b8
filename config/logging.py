"""Logs: one JSON object a line on standard error, with ids and never with names or addresses of people."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

import orjson

# What `logging` itself puts on a record; anything else came in through `extra=` and belongs in the line.
_BUILT_IN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """One record as one line: time, level, logger, process part, message, and whatever `extra` held."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": self._part,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((name, value) for name, value in record.__dict__.items() if name not in _BUILT_IN)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def log_to_stderr(part: str, level: str = "INFO") -> None:
    """Every logger of this process writes JSON lines from now on; `part` names it ("api-0", "engine-1").

    uvicorn's own loggers are turned into it too, without its access log: requests are counted, not written down.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(part))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
