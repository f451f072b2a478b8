"""What the OpenAPI document says of the routes of the service desk."""

from api.complaints import COMPLAINTS_EXAMPLE, ComplaintsAnswer
from api.find import FIND_EXAMPLE, FindAnswer, FindRequest
from api.identities import IDENTITIES_EXAMPLE, IdentitiesAnswer
from api.schemas import Described, Group, problems, schema_of
from api.timeline import TIMELINE_EXAMPLE, TimelineAnswer


def _answer(words: str, kind: type, example: Described) -> Described:
    return {"description": words, "content": {"application/json": {"schema": schema_of(kind) | {"examples": [example]}}}}


_FIND = {"application/json": {"schema": schema_of(FindRequest) | {"examples": [{"email": "ann@shop.example"}]}}}

SERVICE = Group(
    timeline={
        "summary": "What happened with a customer",
        "openapi_extra": {
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1, "maximum": 500}},
            ]
        },
        "responses": {
            **problems(401, 403, 404, 410, 422, 429, 503),
            200: _answer("The last touch points, newest first", TimelineAnswer, TIMELINE_EXAMPLE),
        },
    },
    identities={
        "summary": "Which names a customer has, and who said so",
        "openapi_extra": {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]},
        "responses": {
            **problems(401, 403, 404, 410, 429, 503),
            200: _answer("Identities, and what was said of them", IdentitiesAnswer, IDENTITIES_EXAMPLE),
        },
    },
    find={
        "summary": "Find customers by e-mail address or phone number",
        "openapi_extra": {"requestBody": {"required": True, "content": _FIND}},
        "responses": {
            **problems(400, 401, 403, 413, 422, 429, 503),
            200: _answer("Who is reached there; an empty list for nobody", FindAnswer, FIND_EXAMPLE),
        },
    },
    complaints={
        "summary": "What customers complain of",
        "openapi_extra": {
            "parameters": [
                {
                    "name": name,
                    "in": "query",
                    "required": False,
                    "schema": {"type": "string"},
                    "description": words,
                }
                for name, words in (
                    ("by", "what rows tell apart: reason, product_id and store, separated by commas; all three by default"),
                    ("since", "only those filed since the Monday before this day or time; all by default"),
                    ("window_days", "the same, so many days back from now"),
                    ("reason", "only these"),
                    ("product_id", "only these"),
                    ("store", "only these"),
                )
            ]
        },
        "responses": {
            **problems(401, 403, 422, 429, 503),
            200: _answer("Counts, and how long a resolution took", ComplaintsAnswer, COMPLAINTS_EXAMPLE),
        },
    },
)
