"""The shape of answers: what fits no schema, what fails in a resolver, what each version knows, who may ask."""

from __future__ import annotations

from typing import ClassVar

import httpx
import pytest

from tests.fakes.conftest import Asker
from tests.fakes.stash import FakeStash, Library
from tests.fakes.stash.schema import MINORS, minor_of, schema_of

INVALID = "GRAPHQL_VALIDATION_FAILED"


def refusal(answer: httpx.Response) -> dict[str, object]:
    """Returns the first error of a request that fits no schema."""
    assert answer.status_code == 422
    assert answer.json()["data"] is None
    error = answer.json()["errors"][0]
    assert isinstance(error, dict)
    return error


def test_unknown_field_fails_the_whole_query(ask: Asker) -> None:
    error = refusal(ask.post("{ version { version } findScenes { scenes { id nonsense } } }"))
    assert str(error["message"]).startswith('Cannot query field "nonsense" on type "Scene".')
    assert error["extensions"] == {"code": INVALID}
    assert error["locations"] == [{"line": 1, "column": 48}]


def test_unknown_argument_and_unknown_type_of_a_variable(ask: Asker) -> None:
    assert 'Unknown argument "colour"' in str(refusal(ask.post("{ findScenes(colour: 1) { count } }"))["message"])
    error = refusal(ask.post("query($f: NoSuchFilter) { findScenes(scene_filter: $f) { count } }"))
    assert 'Unknown type "NoSuchFilter"' in str(error["message"])


def test_unknown_key_in_a_literal(ask: Asker) -> None:
    error = refusal(ask.post("{ findScenes(scene_filter: {nonsense: 1}) { count } }"))
    assert error["message"] == 'Field "nonsense" is not defined by type "SceneFilterType".'


@pytest.mark.parametrize(
    ("given", "message", "path"),
    [
        ({"id": {"value": 1, "modifier": "EQUALS", "x": 1}}, "unknown field", ["id", "x"]),
        ({"nonsense": 1}, "unknown field", ["nonsense"]),
        ({"id": {"modifier": "EQUALS"}}, "must be defined", ["id", "value"]),
        ({"id": {"value": None, "modifier": "EQUALS"}}, "cannot be null", ["id", "value"]),
    ],
)
def test_wrong_variables_name_their_place(ask: Asker, given: dict[str, object], message: str, path: list[str]) -> None:
    error = refusal(ask.post("query($f: SceneFilterType) { findScenes(scene_filter: $f) { count } }", f=given))
    assert error["message"] == message
    assert error["path"] == ["variable", "f", *path]
    assert error["extensions"] == {"code": INVALID}


def test_wrong_type_and_wrong_enum_of_a_variable_are_refused(ask: Asker) -> None:
    query = "query($f: FindFilterType) { findScenes(filter: $f) { count } }"
    assert refusal(ask.post(query, f={"page": "two"}))["path"] == ["variable", "f", "page"]
    assert refusal(ask.post(query, f={"direction": "UP"}))["path"] == ["variable", "f", "direction"]


def test_a_variable_that_is_needed_and_missing(ask: Asker) -> None:
    error = refusal(ask.post("query($id: ID!) { findPerformer(id: $id) { id } }"))
    assert (error["message"], error["path"]) == ("must be defined", ["variable", "id"])


def test_broken_query_and_no_query(ask: Asker) -> None:
    assert refusal(ask.post("{ findScenes { "))["extensions"] == {"code": "GRAPHQL_PARSE_FAILED"}
    assert refusal(ask.post(""))["message"] == "no operation provided"


def test_broken_json_and_wrong_content_type(ask: Asker) -> None:
    assert ask.http.post("/graphql", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert ask.http.post("/graphql", content=b"query=x", headers={"Content-Type": "text/plain"}).status_code == 400


def test_failure_of_a_resolver_is_200_with_its_path(ask: Asker) -> None:
    answer = ask.post("{ findScenes(ids: [1, 4711]) { scenes { id } } }")
    assert answer.status_code == 200
    assert answer.json() == {
        "errors": [{"message": "scene with id 4711 not found", "path": ["findScenes"]}],
        "data": None,
    }


def test_introspection_names_types_fields_arguments_and_inputs(ask: Asker) -> None:
    data = ask("{ __schema { types { name fields { name args { name } } inputFields { name } } } }")
    types = {one["name"]: one for one in data["__schema"]["types"]}
    assert "performerMerge" in {field["name"] for field in types["Mutation"]["fields"]}
    finder = next(field for field in types["Query"]["fields"] if field["name"] == "findScenes")
    assert {"scene_filter", "ids", "filter"} <= {argument["name"] for argument in finder["args"]}
    assert "stash_ids_endpoint" in {field["name"] for field in types["SceneFilterType"]["inputFields"]}


@pytest.mark.parametrize(
    ("type_name", "field", "since"),
    [
        ("Mutation", "performerMerge", 31),
        ("Mutation", "destroyFiles", 31),
        ("Performer", "custom_fields", 28),
        ("Performer", "urls", 27),
        ("Performer", "career_start", 31),
        ("Scene", "custom_fields", 31),
        ("Studio", "urls", 30),
        ("Tag", "stash_ids", 30),
        ("TagFilterType", "stash_id_endpoint", 30),
        ("StashID", "updated_at", 28),
        ("StashBox", "max_requests_per_minute", 29),
        ("CustomFieldsInput", "remove", 30),
        ("SceneDestroyInput", "destroy_file_entry", 31),
        ("GenerateMetadataInput", "imageIDs", 31),
        ("Scene", "stash_ids", 25),
    ],
)
def test_each_version_knows_what_it_knew(type_name: str, field: str, since: int) -> None:
    for minor in MINORS:
        kind = schema_of(minor).type_map.get(type_name)
        assert (kind is not None and field in kind.fields) is (minor >= since), (minor, type_name, field)


def test_version_knob_changes_the_running_server(stash: FakeStash, ask: Asker) -> None:
    query = "{ findPerformers { performers { custom_fields } } }"
    assert ask.post(query).status_code == 200
    stash.knobs.version = "0.27"
    assert refusal(ask.post(query))["extensions"] == {"code": INVALID}
    assert ask("{ version { version } }")["version"]["version"] == "v0.27.0"


def test_other_versions_are_not_played() -> None:
    assert minor_of("v0.30.1") == 30
    with pytest.raises(ValueError, match=r"0\.25 to 0\.31"):
        minor_of("0.24")


def test_several_operations_need_a_name(ask: Asker) -> None:
    body = {"query": "query A { stats { scene_count } } query B { version { hash } }", "operationName": "A"}
    assert ask.http.post("/graphql", json=body).json()["data"]["stats"]["scene_count"] == 120
    assert refusal(ask.http.post("/graphql", json={**body, "operationName": "C"}))["message"] == "operation C not found"


def test_get_works_too(ask: Asker) -> None:
    assert ask.http.get("/graphql", params={"query": "{ stats { image_count } }"}).json()["data"]["stats"] == {
        "image_count": 12
    }


class TestKeys:
    """Header or query; wrong ones are refused, even by a server that needs none."""

    query: ClassVar = {"query": "{ version { hash } }"}

    def status(self, stash: FakeStash, key: str | None, *, in_query: bool = False) -> httpx.Response:
        headers = {"ApiKey": key} if key is not None and not in_query else {}
        params = {"apikey": key} if key is not None and in_query else {}
        return httpx.post(f"{stash.url}/graphql", json=self.query, headers=headers, params=params)

    def test_server_with_a_key(self, library: Library) -> None:
        with FakeStash(library, api_key="secret") as stash:
            for in_query in (False, True):
                assert self.status(stash, "secret", in_query=in_query).status_code == 200
                refused = self.status(stash, "wrong", in_query=in_query)
                assert refused.status_code == 401
                assert refused.headers["WWW-Authenticate"] == "FormBased"
            assert self.status(stash, None).status_code == 401
            assert self.status(stash, "").status_code == 401

    def test_pages_and_media_without_a_key_redirect_to_the_login(self, media_stash: FakeStash) -> None:
        answer = httpx.get(f"{media_stash.url}/scene/1/stream")
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/login")
        assert httpx.get(f"{media_stash.url}/scene/0_thumbs.vtt").status_code == 401
        assert httpx.get(f"{media_stash.url}/scene/1/stream?apikey=wrong").status_code == 401

    def test_any_key_is_refused_by_a_server_without_one(self, stash: FakeStash) -> None:
        assert self.status(stash, None).status_code == 200
        assert self.status(stash, "anything").status_code == 401
        assert self.status(stash, "anything", in_query=True).status_code == 401
        assert self.status(stash, "").status_code == 200

    def test_health_needs_no_key(self, media_stash: FakeStash) -> None:
        assert httpx.get(f"{media_stash.url}/healthz").status_code == 200

    def test_keys_are_masked_in_the_log(self, media_stash: FakeStash) -> None:
        media_stash.requests.clear()
        self.status(media_stash, "secret", in_query=True)
        self.status(media_stash, "secret")
        assert [(r.path, r.keyed) for r in media_stash.requests] == [
            ("/graphql?apikey=***", "query"),
            ("/graphql", "header"),
        ]
