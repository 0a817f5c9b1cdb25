"""The committed schemas, the AsyncAPI document and the golden examples, held against today's code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from newsmill.errors import Reason
from newsmill.events import Article, Story
from newsmill.schema import CONTRACTS, Contract, differences, documents, main
from newsmill.topics import TOPICS

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = sorted((SCHEMAS / "examples").glob("*/*/*.json"))
BY_SLUG = {contract.slug: contract for contract in CONTRACTS}


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def validator(contract: Contract) -> Draft202012Validator:
    return Draft202012Validator(
        read(SCHEMAS / f"{contract.slug}.json"), format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def contract_of(example: Path) -> Contract:
    return BY_SLUG[example.relative_to(SCHEMAS / "examples").parts[0]]


def losses(model: type[BaseModel], record: Mapping[str, Any]) -> list[str]:
    """What today's ``model`` cannot read of a record that an earlier version wrote; empty if it reads all of it."""
    try:
        kept = model.model_validate_json(json.dumps(record)).model_dump(mode="json")
    except ValidationError as error:
        return [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
    return list(_lost(record, kept, ""))


def _lost(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            if name not in after:
                yield f"{path}{name}: no longer a field"
            else:
                yield from _lost(value, after[name], f"{path}{name}.")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _lost(old, new, f"{path}{place}.")
    elif type(before) is not type(after) or before != after:
        yield f"{path.rstrip('.')}: {before!r} is read as {after!r}"


def retyped(model: type[BaseModel], name: str, annotation: Any) -> type[BaseModel]:
    """The model with one field of another type."""
    return create_model("Retyped", __base__=model, **{name: (annotation, ...)})  # type: ignore[call-overload,no-any-return]


def without(model: type[BaseModel], name: str) -> type[BaseModel]:
    """The model without one field."""
    kept = {field: (info.annotation, info) for field, info in model.model_fields.items() if field != name}
    return create_model("Without", __config__=ConfigDict(extra="ignore"), **kept)  # type: ignore[call-overload,no-any-return]


# ---------------------------------------------------------------- the committed files


def test_committed_files_are_what_the_code_generates() -> None:
    assert list(differences(SCHEMAS)) == []


def test_generation_is_deterministic() -> None:
    assert documents() == documents()


def test_check_notices_a_changed_missing_and_foreign_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--write", "--dir", str(tmp_path)]) == 0
    assert main(["--check", "--dir", str(tmp_path)]) == 0
    (tmp_path / "story.json").unlink()
    (tmp_path / "article.json").write_text("{}", "utf-8")
    (tmp_path / "novel.json").write_text("{}", "utf-8")
    assert main(["--check", "--dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert all(name in said for name in ("story.json: missing", "article.json: differs", "novel.json: no record"))


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.slug)
def test_schema_is_valid_and_its_refs_resolve(contract: Contract) -> None:
    schema = read(SCHEMAS / f"{contract.slug}.json")
    Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(contract.model.model_fields)
    assert all(ref.startswith("#/$defs/") and ref[8:] in schema["$defs"] for ref in refs(schema))


# ---------------------------------------------------------------- golden examples


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: "/".join(path.parts[-3:]))
def test_example_validates_and_todays_code_reads_all_of_it(path: Path) -> None:
    contract, record = contract_of(path), read(path)
    assert [error.message for error in validator(contract).iter_errors(record)] == []
    assert losses(contract.model, record) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: "/".join(path.parts[-3:]))
def test_what_the_model_writes_validates(path: Path) -> None:
    contract = contract_of(path)
    written = json.loads(contract.model.model_validate_json(path.read_bytes()).model_dump_json())
    assert [error.message for error in validator(contract).iter_errors(written)] == []
    assert set(written) == set(contract.model.model_fields)  # what is absent is null, not missing


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.slug)
def test_examples_of_a_record_show_every_field_with_a_value(contract: Contract) -> None:
    """Otherwise the removal of a field, or another type for it, could go unseen."""
    shown = {
        name
        for path in (SCHEMAS / "examples" / contract.slug).glob("*/*.json")
        for name, value in read(path).items()
        if value is not None
    }
    assert shown >= set(contract.model.model_fields)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: "/".join(path.parts[-3:]))
def test_removal_of_any_field_of_an_example_would_be_noticed(path: Path) -> None:
    contract, record = contract_of(path), read(path)
    for name in record:
        assert losses(without(contract.model, name), record) == [f"{name}: no longer a field"]


@pytest.mark.parametrize(("field", "annotation"), [("version", str), ("text", int), ("updates", int), ("extra", str)])
def test_retyping_of_a_field_would_be_noticed(field: str, annotation: Any) -> None:
    found = [
        loss
        for path in EXAMPLES
        if contract_of(path).model is Article
        for loss in losses(retyped(Article, field, annotation), read(path))
    ]
    assert any(loss.startswith(field) for loss in found)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.slug)
def test_schema_refuses_what_the_model_refuses(contract: Contract) -> None:
    path = next(path for path in EXAMPLES if contract_of(path) is contract)
    record, check = read(path), validator(contract)
    schema = read(SCHEMAS / f"{contract.slug}.json")
    for name in schema["required"]:
        short = {key: value for key, value in record.items() if key != name}
        assert not check.is_valid(short)
        with pytest.raises(ValidationError):
            contract.model.model_validate_json(json.dumps(short))
    assert check.is_valid(record | {"a_field_of_tomorrow": 1})  # consumers ignore what they do not know


def test_schema_refuses_wrong_types_and_shapes() -> None:
    story = read(SCHEMAS / "examples/story/0.1.0/open.json")
    check = validator(BY_SLUG["story"])
    for change in (
        {"article_count": 0},
        {"status": "lost"},
        {"id": "x"},
        {"first_seen": "yesterday"},
        {"themes": None},
    ):
        assert not check.is_valid(story | change), change
        with pytest.raises(ValidationError):
            Story.model_validate_json(json.dumps(story | change))


# ---------------------------------------------------------------- AsyncAPI


def refs(node: Any) -> Iterator[str]:
    stack = [node]
    while stack:
        match stack.pop():
            case {"$ref": str(ref), **rest}:
                yield ref
                stack.extend(rest.values())
            case dict() as found:
                stack.extend(found.values())
            case list() as found:
                stack.extend(found)


def resolve(ref: str, document: Mapping[str, Any]) -> Any:
    name, _, pointer = ref.partition("#")
    node = read(SCHEMAS / name) if name else document
    for step in pointer.split("/")[1:]:
        node = node[step.replace("~1", "/").replace("~0", "~")]
    return node


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = read(SCHEMAS / "asyncapi.json")
    return found


def test_asyncapi_lists_every_topic_and_no_other(document: dict[str, Any]) -> None:
    addresses = sorted(channel["address"] for channel in document["channels"].values())
    assert addresses == sorted([*(topic.name for topic in TOPICS.values()), "news.archive.{name}.v1"])


def test_asyncapi_gives_each_topics_settings_and_records(document: dict[str, Any]) -> None:
    channels = {channel["address"]: channel for channel in document["channels"].values()}
    for topic in TOPICS.values():
        channel = channels[topic.name]
        kafka = channel["bindings"]["kafka"]
        assert kafka["topic"] == topic.name
        assert kafka["partitions"] == topic.partitions
        assert kafka["topicConfiguration"] == {
            "cleanup.policy": [topic.cleanup],
            "retention.ms": topic.retention_ms,
            "max.message.bytes": topic.max_bytes,
        }
        assert channel["x-key"] == topic.key
        assert channel["x-internal"] == topic.internal
        if not topic.internal:
            wanted = {record.__name__ for record in topic.records} or {"DeadLetter"}
            assert set(channel["messages"]) - {"Tombstone"} == wanted
            assert ("Tombstone" in channel["messages"]) == (topic.cleanup == "compact")


def test_asyncapi_refs_resolve(document: dict[str, Any]) -> None:
    found = list(refs(document))
    assert found
    for ref in found:
        assert isinstance(resolve(ref, document), dict), ref


def test_asyncapi_messages_use_every_schema_once(document: dict[str, Any]) -> None:
    payloads = sorted(ref for ref in refs(document["components"]["messages"]) if ref.startswith("./"))
    assert payloads == sorted(f"./{contract.slug}.json" for contract in CONTRACTS)


# The parts of AsyncAPI 3.0.0 (https://www.asyncapi.com/docs/reference/specification/v3.0.0) that this document uses,
# closed: a field that the specification does not know there fails.
REFERENCE = {"type": "object", "required": ["$ref"], "properties": {"$ref": {"type": "string"}}, "maxProperties": 1}
STRUCTURE = {
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {"type": "object", "required": ["title", "version"]},
        "defaultContentType": {"type": "string"},
        "servers": {
            "additionalProperties": {
                "required": ["host", "protocol"],
                "properties": {"host": {}, "protocol": {}, "description": {}},
                "additionalProperties": False,
            }
        },
        "channels": {
            "propertyNames": {"pattern": r"^[\w.-]+$"},
            "additionalProperties": {
                "type": "object",
                "required": ["address", "messages"],
                "properties": {
                    "address": {"type": "string"},
                    "title": {"type": "string"},
                    "description": {"type": "string"},
                    "messages": {"minProperties": 1, "additionalProperties": REFERENCE},
                    "parameters": {
                        "additionalProperties": {
                            "properties": {"description": {}, "enum": {}, "default": {}, "examples": {}},
                            "additionalProperties": False,
                        }
                    },
                    "bindings": {
                        "required": ["kafka"],
                        "additionalProperties": False,
                        "properties": {
                            "kafka": {
                                "required": ["bindingVersion"],
                                "properties": {
                                    "topic": {"type": "string"},
                                    "partitions": {"type": "integer", "minimum": 1},
                                    "replicas": {"type": "integer", "minimum": 1},
                                    "bindingVersion": {"const": "0.5.0"},
                                    "topicConfiguration": {
                                        "properties": {
                                            "cleanup.policy": {"items": {"enum": ["compact", "delete"]}},
                                            "retention.ms": {"type": "integer", "minimum": -1},
                                            "max.message.bytes": {"type": "integer", "minimum": 0},
                                        },
                                        "additionalProperties": False,
                                    },
                                },
                                "additionalProperties": False,
                            }
                        },
                    },
                },
                "patternProperties": {"^x-": {}},
                "additionalProperties": False,
            },
        },
        "operations": {
            "propertyNames": {"pattern": r"^[\w.-]+$"},
            "additionalProperties": {
                "required": ["action", "channel"],
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "summary": {"type": "string"},
                    "messages": {"type": "array", "items": REFERENCE},
                },
                "additionalProperties": False,
            },
        },
        "components": {
            "properties": {
                "messages": {
                    "additionalProperties": {
                        "required": ["name", "payload"],
                        "properties": {
                            "name": {"type": "string"},
                            "title": {"type": "string"},
                            "summary": {"type": "string"},
                            "contentType": {"type": "string"},
                            "headers": {"type": "object"},
                            "payload": {"type": "object"},
                        },
                        "additionalProperties": False,
                    }
                },
                "schemas": {"additionalProperties": {"type": ["object", "boolean"]}},
            },
            "additionalProperties": False,
        },
    },
}


def test_asyncapi_has_the_structure_of_the_specification(document: dict[str, Any]) -> None:
    assert [f"{list(e.path)}: {e.message}" for e in Draft202012Validator(STRUCTURE).iter_errors(document)] == []
    broken = json.loads(json.dumps(document))
    broken["channels"]["raw"]["subscribe"] = {}  # AsyncAPI 2 said so
    assert not Draft202012Validator(STRUCTURE).is_valid(broken)


def test_asyncapi_operations_name_messages_of_their_channel(document: dict[str, Any]) -> None:
    public = {key for key, channel in document["channels"].items() if not channel["x-internal"]}
    used = set()
    for name, operation in document["operations"].items():
        key = operation["channel"]["$ref"].removeprefix("#/channels/")
        assert name == f"{operation['action']}_{key}"
        assert all(ref["$ref"].startswith(f"#/channels/{key}/messages/") for ref in operation["messages"])
        used.add(key)
    assert used == public
    assert {name for name in document["operations"] if name.startswith("receive_")} == {
        "receive_raw",
        "receive_archive",
    }


def test_asyncapi_parameters_are_those_of_the_address(document: dict[str, Any]) -> None:
    for channel in document["channels"].values():
        for name in channel.get("parameters", {}):
            assert f"{{{name}}}" in channel["address"]
        assert ("{" in channel["address"]) == ("parameters" in channel)


def test_headers_are_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    letters = schemas["DeadLetterHeaders"]["properties"]["newsmill-reason"]["enum"]
    assert letters == sorted(reason.value for reason in Reason)
    types = [event_type for contract in CONTRACTS for event_type in contract.event_types]
    assert len(set(types)) == len(types)
    assert all(Draft202012Validator(schemas["CloudEventHeaders"]["properties"]["ce_type"]).is_valid(t) for t in types)


def test_files_do_not_depend_on_settings_of_the_environment() -> None:
    """In a process of its own: topics.py is read at import."""
    command = [sys.executable, "-m", "newsmill.schema", "--check", "--dir", str(SCHEMAS)]
    environment = os.environ | {
        "NEWSMILL_PARTITIONS": "17",
        "NEWSMILL_RETENTION_DAYS": "3",
        "NEWSMILL_TOPIC_PREFIX": "x.",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
