"""The records of events.py and the topics of topics.py → JSON Schema files and one AsyncAPI 3.0 document.

    python -m newsmill.schema --write     writes schemas/*.json
    python -m newsmill.schema --check     exit code 1 if a committed file differs from what would be written

JSON Schema is draft 2020-12. What newsmill writes is described as it is serialised; RawArticle, which others write, as
it is read. A field that has a default is not required, so that a record of an older version still validates.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from newsmill import events
from newsmill.errors import Reason
from newsmill.settings import Settings
from newsmill.topics import TOPICS, Topic, archive_topic

__all__ = ["CONTRACTS", "Contract", "asyncapi_document", "differences", "documents", "main", "record_schema"]

CONTRACT_VERSION = "1.0.0"
"""Of the records and topics together: the minor number grows with new fields, the major one with a new ``.v2``."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_KAFKA_BINDING = "0.5.0"  # of https://github.com/asyncapi/bindings/tree/master/kafka


@dataclass(frozen=True, slots=True)
class Contract:
    """One public record: its model, the name of its schema file, and the CloudEvents types that carry it.

    ``event_types`` is empty for what others write: newsmill asks for no headers there.
    """

    slug: str
    model: type[BaseModel]
    mode: JsonSchemaMode
    event_types: tuple[str, ...]

    @property
    def name(self) -> str:
        """The record's name in the AsyncAPI document."""
        return self.model.__name__


_STORY_EVENTS: tuple[str, ...] = get_args(events.StoryEvent.model_fields["event"].annotation)

CONTRACTS: tuple[Contract, ...] = (
    Contract("raw-article", events.RawArticle, "validation", ()),
    Contract("article", events.Article, "serialization", ("newsmill.article.v1",)),
    Contract("enriched-article", events.EnrichedArticle, "serialization", ("newsmill.enriched.v1",)),
    Contract("duplicate", events.Duplicate, "serialization", ("newsmill.duplicate.v1",)),
    Contract("story", events.Story, "serialization", ("newsmill.story.v1",)),
    Contract("story-event", events.StoryEvent, "serialization", tuple(f"newsmill.story.{e}.v1" for e in _STORY_EVENTS)),
    Contract("ledger-entry", events.LedgerEntry, "serialization", ("newsmill.ledger.v1",)),
)
_CONTRACT_OF: Mapping[type[BaseModel], Contract] = {contract.model: contract for contract in CONTRACTS}


class _WithoutTitles(GenerateJsonSchema):
    """pydantic's generator, without the titles that only repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def record_schema(contract: Contract) -> dict[str, Any]:
    """The JSON Schema of one record. Unknown fields are allowed: consumers ignore them."""
    generated = contract.model.model_json_schema(mode=contract.mode, schema_generator=_WithoutTitles)
    return {"$schema": _DIALECT, "$id": f"urn:newsmill:schema:{contract.slug}:v1", **generated}


def _const(value: str) -> dict[str, Any]:
    return {"type": "string", "const": value}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _cloud_event_headers() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "CloudEvents 1.0, Kafka protocol binding, binary mode; header values are UTF-8",
        "required": ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "content-type"],
        "properties": {
            "ce_specversion": _const("1.0"),
            "ce_id": _text("deterministic: the same event has the same id in a re-run"),
            "ce_source": _text("the stage that wrote it", pattern="^/newsmill/[a-z-]+$"),
            "ce_type": _text("the record's type and major version", pattern=r"^newsmill\.[a-z.-]+\.v[0-9]+$"),
            "ce_time": _text("ISO 8601 in UTC", format="date-time"),
            "ce_subject": _text("the article, story or stage that it is about; the same as the key"),
            "content-type": _const("application/json"),
        },
    }


def _dead_letter_headers() -> dict[str, Any]:
    reasons = sorted(reason.value for reason in Reason)
    properties = {
        "newsmill-error": _text("what is wrong, in words; no article text"),
        "newsmill-reason": {"type": "string", "enum": reasons, "description": "why, of a closed set"},
        "newsmill-stage": _text("the stage that refused it"),
        "newsmill-topic": _text("the topic it was read from"),
        "newsmill-partition": _text("the partition it was read from", pattern="^[0-9]+$"),
        "newsmill-offset": _text("the offset it was read from", pattern="^[0-9]+$"),
        "newsmill-version": _text("the newsmill that refused it"),
    }
    return {
        "type": "object",
        "description": "the original headers go on, with these beside them",
        "required": sorted(properties),
        "properties": properties,
    }


def _record_message(contract: Contract) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": contract.name,
        "title": contract.name,
        "summary": (contract.model.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/json",
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"./{contract.slug}.json"}},
    }
    if contract.event_types:
        message["headers"] = {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEventHeaders"},
                {"type": "object", "properties": {"ce_type": {"type": "string", "enum": list(contract.event_types)}}},
            ]
        }
    return message


def _messages() -> dict[str, Any]:
    messages = {contract.name: _record_message(contract) for contract in CONTRACTS}
    messages["DeadLetter"] = {
        "name": "DeadLetter",
        "title": "DeadLetter",
        "summary": "A record that could not be processed: its bytes unchanged, the reason in headers.",
        "contentType": "application/octet-stream",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
        "payload": {"description": "the original bytes; they may be no JSON and no text"},
    }
    messages["Tombstone"] = {
        "name": "Tombstone",
        "title": "Tombstone",
        "summary": "A null value: what this key stood for has left the topic.",
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/CloudEventHeaders"},
        "payload": {"type": "null"},
    }
    messages["Internal"] = {
        "name": "Internal",
        "title": "Internal",
        "summary": "newsmill's own, with a format number; it may change in any release: do not read it.",
        "contentType": "application/json",
        "payload": {"description": "not part of the contract"},
    }
    return messages


def _message_names(topic: Topic) -> list[str]:
    if topic.internal:
        return ["Internal"]
    if not topic.records:
        return ["DeadLetter"]
    names = [_CONTRACT_OF[record].name for record in topic.records]
    return [*names, "Tombstone"] if topic.cleanup == "compact" else names


def _channel(topic: Topic) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": topic.name,
        "title": topic.short,
        "description": f"{topic.description}; key: {topic.key}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _message_names(topic)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup],
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": topic.max_bytes,
                },
                "bindingVersion": _KAFKA_BINDING,
            }
        },
        "x-key": topic.key,
        "x-timestamp-type": "LogAppendTime" if topic.log_append_time else "CreateTime",
        "x-internal": topic.internal,
    }
    return channel


def _archive_channel() -> dict[str, Any]:
    channel = _channel(archive_topic("NAME", Settings.model_construct()))
    channel["address"] = "news.archive.{name}.v1"
    channel["title"] = "archive"
    channel["parameters"] = {"name": {"description": "the archive's name, as given to `newsmill ingest --archive`"}}
    del channel["bindings"]["kafka"]["topic"]  # the address has a parameter
    return channel


def _identifier(short: str) -> str:
    """A topic's short name as a key of the document: letters, digits and underscores."""
    return short.replace(".", "_").replace("-", "_")


def _operation(action: Literal["send", "receive"], key: str, channel: Mapping[str, Any]) -> dict[str, Any]:
    verb = "Writes" if action == "send" else "Reads"
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{key}"},
        "summary": f"{verb} {channel['address']}.",
        "messages": [{"$ref": f"#/channels/{key}/messages/{name}"} for name in channel["messages"]],
    }


def asyncapi_document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: every topic of ``TOPICS`` and the archive topics, from newsmill's own side.

    It receives raw articles and sends everything else. Names are without ``NEWSMILL_TOPIC_PREFIX``; partitions and
    retentions are the defaults. Internal topics stand in it so that an operator finds every topic; their records are
    not part of the contract.
    """
    channels = {_identifier(topic.short): _channel(topic) for topic in TOPICS.values()}
    channels["archive"] = _archive_channel()
    operations = {}
    for key, channel in channels.items():
        receives = key in ("raw", "archive")
        if not channel["x-internal"]:
            action: Literal["send", "receive"] = "receive" if receives else "send"
            operations[f"{action}_{key}"] = _operation(action, key, channel)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "newsmill",
            "version": CONTRACT_VERSION,
            "description": (
                "Raw news articles in; clean, deduplicated, classified, clustered events out, once each. Read with "
                "isolation.level=read_committed. Times are UTC with Z; what is absent is null; a null value is a "
                "tombstone; ignore fields you do not know."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "the default of every command; `newsmill broker` starts one",
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": _messages(),
            "schemas": {"CloudEventHeaders": _cloud_event_headers(), "DeadLetterHeaders": _dead_letter_headers()},
        },
    }


def documents() -> dict[str, str]:
    """File name → text of every generated file."""
    made = {f"{contract.slug}.json": record_schema(contract) for contract in CONTRACTS}
    made["asyncapi.json"] = asyncapi_document()
    return {name: json.dumps(made[name], ensure_ascii=False, indent=2) + "\n" for name in sorted(made)}


def differences(folder: Path) -> Iterator[str]:
    """One line for each file of ``folder`` that is missing, differs, or is not generated (examples aside)."""
    made = documents()
    for name, text in made.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: missing"
        elif path.read_text("utf-8") != text:
            yield f"{path}: differs from the code"
    for path in sorted(folder.glob("*.json")):
        if path.name not in made:
            yield f"{path}: no record and no topic has this schema"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m newsmill.schema", description="JSON Schema and AsyncAPI files")
    parser.add_argument("--dir", type=Path, default=Path("schemas"), help="the folder (default: schemas)")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="exit code 1 if a file differs from the code")
    action.add_argument("--write", action="store_true", help="write the files")
    options = parser.parse_args(arguments)
    folder: Path = options.dir
    if options.write:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in documents().items():
            (folder / name).write_text(text, "utf-8")
        return 0
    found = list(differences(folder))
    for line in found:
        sys.stderr.write(line + "\n")
    if found:
        sys.stderr.write("write them again with: python -m newsmill.schema --write\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
