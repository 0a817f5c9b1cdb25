"""``newsmill deadletters``: look at dead letters, and send the original bytes back to where they failed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
import typer
from aiokafka.structs import TopicPartition
from rich.table import Table
from rich.text import Text

from newsmill import kafka
from newsmill.cli.flow import STAGE_TOPICS, call
from newsmill.cli.options import AsJson, Debug, Servers, errors, output, read_settings
from newsmill.cli.screen import show as print_view
from newsmill.core.times import format_utc
from newsmill.errors import ConfigError, NewsmillError, Reason
from newsmill.settings import Settings
from newsmill.topic_admin import partitions_of_topics
from newsmill.transport.envelope import REQUEUE_TIME_HEADER

__all__ = ["REQUEUE_OF_HEADER", "DeadLetter", "app"]

app = typer.Typer(help="List, show and requeue dead letters.", no_args_is_help=True, add_completion=False)

REQUEUE_OF_HEADER: Final = "newsmill-requeue-of"
"""A requeued record says here which dead letter it was (PARTITION:OFFSET): so it is not sent back twice."""

_Reason = Annotated[Reason | None, typer.Option(help="Only those with this reason.")]
_Stage = Annotated[str | None, typer.Option(help=f"Only those of this stage: {', '.join(STAGE_TOPICS)}.")]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead-letter topic. ``time_ms`` is when the record that failed first arrived; ``value`` is None
    for a tombstone, and where only ``size`` was asked for."""

    partition: int
    offset: int
    time_ms: int
    key: bytes | None
    value: bytes | None
    size: int
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> str:
        """A header's text; "" where it is missing."""
        for header, value in self.headers:
            if header == f"newsmill-{name}":
                return value.decode("utf-8", "replace")
        return ""

    @property
    def place(self) -> str:
        """PARTITION:OFFSET, as `show` and `requeue` take it."""
        return f"{self.partition}:{self.offset}"

    @property
    def source(self) -> str:
        """TOPIC-PARTITION-OFFSET of the record that failed."""
        return f"{self.header('topic')}-{self.header('partition')}-{self.header('offset')}"

    def row(self) -> dict[str, Any]:
        """The letter for programs; the bytes are not part of it."""
        return {
            "place": self.place,
            "time": format_utc(self.time_ms),
            "reason": self.header("reason"),
            "stage": self.header("stage"),
            "topic": self.header("topic"),
            "partition": _number(self.header("partition")),
            "offset": _number(self.header("offset")),
            "error": self.header("error"),
            "version": self.header("version"),
            "bytes": self.size,
            "key": None if self.key is None else self.key.decode("utf-8", "backslashreplace"),
        }


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


@app.command("list")
def show_list(
    reason: _Reason = None,
    stage: _Stage = None,
    limit: Annotated[int, typer.Option(min=1, help="Show the last so many; all are counted.")] = 50,
    as_json: AsJson = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """List dead letters, the oldest first, and count them by reason."""
    settings = read_settings(bootstrap_servers, debug)
    letters = call(settings, _select(settings, reason, _checked(stage), values=False))
    shown = letters[-limit:]
    if as_json:
        for letter in shown:
            print(orjson.dumps(letter.row()).decode())
        return
    if not letters:
        output.print("no dead letters")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("place", "when", "reason", "stage", "record", "bytes", "error"):
        table.add_column(
            column,
            justify="right" if column == "bytes" else "left",
            overflow="fold",
            no_wrap=column in ("place", "when", "reason", "stage"),
        )
    for letter in shown:
        table.add_row(
            *map(
                Text,
                (
                    letter.place,
                    _when(letter.time_ms),
                    letter.header("reason"),
                    letter.header("stage"),
                    letter.source,
                    f"{letter.size:,}",
                    letter.header("error"),
                ),
            )
        )
    print_view(table)
    counts = Counter(letter.header("reason") for letter in letters)
    parts = ", ".join(
        f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    )
    hidden = len(letters) - len(shown)
    output.print(f"{len(letters):,} dead letters: {parts}" + (f" ({hidden:,} older ones not shown)" if hidden else ""))


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `list` shows it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write the exact bytes to standard output, nothing else.")] = False,
    as_json: AsJson = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Show one dead letter: its headers and its bytes, as text or, where they are none, in hexadecimal."""
    partition, offset = _place(place)
    settings = read_settings(bootstrap_servers, debug)
    letter = call(settings, _find(settings, partition, offset))
    value = letter.value or b""
    if raw:
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
        return
    text = _text(value)
    if as_json:
        headers = {name: content.decode("utf-8", "backslashreplace") for name, content in letter.headers}
        body = {"text": text} if text is not None else {"hex": value.hex()}
        print(orjson.dumps(letter.row() | {"headers": headers} | body).decode())
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    row = letter.row()
    cells = [("place", letter.place), ("time", row["time"]), ("key", "none" if row["key"] is None else row["key"])]
    cells += [(name, content.decode("utf-8", "backslashreplace")) for name, content in letter.headers]
    cells.append(("bytes", f"{len(value):,}" + ("" if letter.value is not None else " (a tombstone)")))
    for name, cell in cells:
        table.add_row(name, Text(cell))
    print_view(table)
    output.print()
    output.print(text if text is not None else "\n".join(_hex_lines(value)), markup=False)


@app.command()
def requeue(
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]…", help="As `list` shows it.")
    ] = None,
    reason: _Reason = None,
    stage: _Stage = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Those too that were requeued before.")] = False,
    bootstrap_servers: Servers = None,
    debug: Debug = False,
) -> None:
    """Send the original bytes back to the failing stage's input, with their key and original time; asks first.

    Dead letters stay in their topic until they expire. One that was requeued is left out afterwards: its copy in the
    input topic names it in a header.
    """
    settings = read_settings(bootstrap_servers, debug)
    wanted = [_place(place) for place in places or ()]
    if bool(wanted) == (everything or reason is not None or stage is not None):
        raise typer.BadParameter("name dead letters as PARTITION:OFFSET, or choose by --reason, --stage or --all")
    letters = call(settings, _chosen(settings, wanted, reason, _checked(stage)))
    call(settings, _check_targets(settings, letters))
    if letters and not again:
        before = call(settings, _requeued(settings, letters))
        for letter in letters:
            if letter.place in before:
                errors.print(f"{letter.place} was requeued before, left out (--again sends it again)", markup=False)
        letters = [letter for letter in letters if letter.place not in before]
    if not letters:
        output.print("nothing to requeue")
        return
    targets = Counter(letter.header("topic") for letter in letters)
    where = ", ".join(f"{count:,} to {topic}" for topic, count in sorted(targets.items()))
    if not yes:
        output.print(f"{_many(len(letters))}, {where}; they stay in the dead-letter topic too", markup=False)
        if not _confirmed():
            output.print("nothing was sent")
            raise typer.Exit(1)
    call(settings, _send(settings, letters))
    output.print(f"{len(letters):,} requeued: {where}", markup=False)


def _many(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count:,} dead letters"


def _confirmed() -> bool:
    try:
        return typer.confirm("Requeue?")
    except typer.Abort:
        raise ConfigError("nobody answered, so nothing was sent; --yes requeues without asking") from None


def _checked(stage: str | None) -> str | None:
    if stage is not None and stage not in STAGE_TOPICS:
        raise typer.BadParameter(f"{stage} is no stage; there are {', '.join(STAGE_TOPICS)}")
    return stage


def _place(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"{text} is no PARTITION:OFFSET, such as 0:17")
    return int(partition), int(offset)


async def _check_targets(settings: Settings, letters: Iterable[DeadLetter]) -> None:
    """Only a stage's own input topic may get bytes back: headers can be forged, prefixes can differ."""
    async with kafka.admin_client(settings) as admin:
        sources = [short for topics in STAGE_TOPICS.values() for short in topics.sources]
        found = await partitions_of_topics(admin, settings, sources)
    places = {(tp.topic, tp.partition) for partitions in found.values() for tp in partitions}
    topics = sorted({topic for topic, _ in places})
    for letter in letters:
        topic, partition = letter.header("topic"), _number(letter.header("partition"))
        if topic not in topics:
            raise NewsmillError(
                f"{letter.place} came from {topic or 'an unnamed topic'}, which is no input of a stage here "
                f"({', '.join(topics)}); nothing was sent"
            )
        if (topic, partition) not in places or _number(letter.header("offset")) is None:
            raise NewsmillError(f"{letter.place} does not say which record of {topic} it was; nothing was sent")


def _letter(record: Any, values: bool = True) -> DeadLetter:
    return DeadLetter(
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value if values else None,
        len(record.value or b""),
        tuple((name, content or b"") for name, content in record.headers),
    )


async def _letters(settings: Settings, values: bool) -> AsyncIterator[DeadLetter]:
    async with kafka.admin_client(settings) as admin, kafka.consumer(settings) as client:
        partitions = (await partitions_of_topics(admin, settings, ["deadletter"]))["deadletter"]
        async for _, records in kafka.read_range(client, partitions):
            for record in records:
                yield _letter(record, values)


async def _select(settings: Settings, reason: Reason | None, stage: str | None, values: bool) -> list[DeadLetter]:
    """Those with this reason and stage, the oldest first; without ``values`` their bytes do not stay in memory."""
    found = [
        letter
        async for letter in _letters(settings, values)
        if reason in (None, letter.header("reason")) and stage in (None, letter.header("stage"))
    ]
    return sorted(found, key=lambda letter: (letter.time_ms, letter.partition, letter.offset))


async def _chosen(
    settings: Settings, places: Iterable[tuple[int, int]], reason: Reason | None, stage: str | None
) -> list[DeadLetter]:
    named = dict.fromkeys(places)
    if named:
        return [await _find(settings, *place) for place in named]
    return await _select(settings, reason, stage, values=True)


async def _find(settings: Settings, partition: int, offset: int) -> DeadLetter:
    """The dead letter at this place; `NewsmillError` if there is none (any more)."""
    async with kafka.admin_client(settings) as admin, kafka.consumer(settings) as client:
        partitions = (await partitions_of_topics(admin, settings, ["deadletter"]))["deadletter"]
        place = next((tp for tp in partitions if tp.partition == partition), None)
        if place is not None:
            begin = (await client.beginning_offsets([place]))[place]
            end = (await client.end_offsets([place]))[place]
            if begin <= offset < end:
                client.assign([place])
                client.seek(place, offset)
                while await client.position(place) <= offset:
                    for records in (await client.getmany(timeout_ms=500, max_records=1)).values():
                        for record in records:
                            if record.offset == offset:
                                return _letter(record)
    raise NewsmillError(f"there is no dead letter at {partition}:{offset}; `newsmill deadletters list` shows them")


async def _requeued(settings: Settings, letters: list[DeadLetter]) -> set[str]:
    """The places of those that were sent back before: looks for the header in their input partitions, from the record
    that failed onwards, because a requeued record goes to the same partition."""
    first: dict[TopicPartition, int] = {}
    for letter in letters:
        tp = TopicPartition(letter.header("topic"), int(letter.header("partition")))
        offset = int(letter.header("offset")) + 1
        first[tp] = min(first.get(tp, offset), offset)
    found: set[str] = set()
    async with kafka.consumer(settings) as client:
        for tp, offset in first.items():
            begin = (await client.beginning_offsets([tp]))[tp]
            end = (await client.end_offsets([tp]))[tp]
            client.assign([tp])
            client.seek(tp, max(begin, min(offset, end)))
            while await client.position(tp) < end:
                for records in (await client.getmany(timeout_ms=500, max_records=2000)).values():
                    for record in records:
                        found.update(
                            content.decode("utf-8", "replace")
                            for name, content in record.headers
                            if name == REQUEUE_OF_HEADER and content is not None
                        )
    return found


async def _send(settings: Settings, letters: list[DeadLetter]) -> None:
    async with kafka.producer(settings) as producer:
        sent = []
        for letter in letters:
            headers = [(name, value) for name, value in letter.headers if not name.startswith("newsmill-")]
            headers += [
                (REQUEUE_TIME_HEADER, str(letter.time_ms).encode()),
                (REQUEUE_OF_HEADER, letter.place.encode()),
            ]
            sent.append(
                await producer.send(
                    letter.header("topic"),
                    value=letter.value,
                    key=letter.key,
                    partition=int(letter.header("partition")),
                    timestamp_ms=letter.time_ms,
                    headers=headers,
                )
            )
        for delivery in sent:
            await delivery


def _when(time_ms: int) -> str:
    """To the second: what a person needs of it in a narrow column."""
    return format_utc(time_ms)[:19].replace("T", " ")


def _text(value: bytes) -> str | None:
    """The bytes as text if they are printable UTF-8."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(char.isprintable() or char in "\n\r\t" for char in text) else None


def _hex_lines(value: bytes) -> Iterable[str]:
    for start in range(0, min(len(value), 4096), 16):
        row = value[start : start + 16]
        printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:08x}  {row.hex(' '):47}  {printable}"
    if len(value) > 4096:
        yield f"… {len(value) - 4096:,} more bytes; --raw writes them all"
