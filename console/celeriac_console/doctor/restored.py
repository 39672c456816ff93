"""What a restored table has lost: DynamoDB restores items and indexes, but no stream, no expiry and no backups."""

from collections.abc import Iterator

from celeriac.aws import client as clients
from celeriac.model import declared, names, settings
from celeriac_console.doctor.finding import Finding
from celeriac_console.stage.clients import client


def restored() -> Iterator[Finding]:
    """Compare the stage's tables with what the stacks made: expiry, backups, the outbox's stream, and its reader."""
    stage = settings.stage()
    records, outbox = names.idempotency_table(stage), names.outbox_table(stage)
    flow = names.flow_table(stage)
    for table, attribute in ((records, "expiration"), (outbox, "expires_at"), (flow, "expires_at")):
        yield _expiry(table, attribute)
    for table in (records, outbox, flow, *(own.physical_name(stage) for own in declared.tables().values())):
        yield _backups(table)
    yield from _stream(outbox)


def _expiry(table: str, attribute: str) -> Finding:
    found = clients.client("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    on = found.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"} and found.get("AttributeName") == attribute
    cure = (
        f"aws dynamodb update-time-to-live --table-name {table} "
        f"--time-to-live-specification Enabled=true,AttributeName={attribute}"
    )
    return Finding("expiry", table, "on" if on else "off, so nothing is ever deleted", None if on else cure)


def _backups(table: str) -> Finding:
    found = clients.client("dynamodb").describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    on = found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus") == "ENABLED"
    cure = (
        f"aws dynamodb update-continuous-backups --table-name {table} "
        "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
    )
    return Finding("backups", table, "on" if on else "off", None if on else cure)


def _stream(outbox: str) -> Iterator[Finding]:
    found = clients.client("dynamodb").describe_table(TableName=outbox)["Table"]
    wanted = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    if found.get("StreamSpecification") != wanted:
        cure = (
            f"switch it on, then look again: aws dynamodb update-table --table-name {outbox} "
            "--stream-specification StreamEnabled=true,StreamViewType=NEW_IMAGE"
        )
        yield Finding("stream", outbox, "off, so only the sweeper publishes its rows, up to a minute late", cure)
        return
    stream = found["LatestStreamArn"]
    relay = f":function:{names.relay_function(settings.stage())}"
    # Looked up by the stream, because the mapping may feed the function or an alias of it.
    mappings = client("lambda").list_event_source_mappings(EventSourceArn=stream)["EventSourceMappings"]
    if any(f"{relay}:" in f"{mapping.get('FunctionArn', '')}:" for mapping in mappings):
        yield Finding("stream", outbox, "on, and the relay reads it")
        return
    cure = (
        f'write outbox_stream = "{stream}" under stages.{settings.stage()} in {settings.FILE}, then: '
        f"make deploy STAGE={settings.stage()}"
    )
    yield Finding("stream", outbox, "on, but the relay reads the stream of the table before", cure)
