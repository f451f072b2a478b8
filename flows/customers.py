"""What an operator does for one customer, through a running Regulars: have them forgotten, send them to their choices."""

from urllib.parse import quote

import orjson

from flows.door import JSON, Door, DoorRefused
from flows.running import NotFound, write_line


def erase(*, customer: str, url: str, key: str) -> int:
    """Prints the certificate: 0 when all is erased, 1 while the engine still has to carry it out; then it is obeyed already."""
    told = _asked("DELETE", f"/v1/customers/{quote(customer, safe='')}", url, key)
    write_line(told)
    return 0 if told.get("status") == "erased" else 1


def preferences_link(*, customer: str, url: str, key: str) -> int:
    """Prints the address of the customer's own page, and until when it works."""
    write_line(_asked("POST", f"/v1/customers/{quote(customer, safe='')}/preferences-link", url, key))
    return 0


def _asked(method: str, path: str, url: str, key: str) -> dict[str, object]:
    door = Door(url, key, patience_s=10.0)
    try:
        return dict(door.call(method, path, b"", {"content-type": JSON}).json())
    except DoorRefused as refused:
        if refused.status in (404, 410):
            raise NotFound(_detail(refused)) from None
        raise
    finally:
        door.close()


def _detail(refused: DoorRefused) -> str:
    try:
        return str(orjson.loads(refused.body)["detail"])
    except (ValueError, KeyError, TypeError):
        return str(refused)
