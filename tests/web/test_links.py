"""The links of a letter into the AWS console, written out as the console writes them itself.

The console keeps the state of Logs Insights in JSURL, behind `#logsV2:logs-insights$3FqueryDetail$3D`: an object is
`~(name~value~...)`, a text begins with an apostrophe, and what isn't a letter, a digit, `_`, `.` or `-` is `*` and two
hexadecimal digits, or `**` and four. A trace stands behind `#xray:traces/`.
"""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.dead_letters import dead_letter
from celeriac.model.failure import Failure
from celeriac.model.message import Message, encode
from celeriac_console.dlq.queue_reader import Taken
from celeriac_console.web.letters import links

DETAIL = re.compile(
    r"[^#]+#logsV2:logs-insights\$3FqueryDetail\$3D~\(end~'[\w.*-]+~start~'[\w.*-]+"
    r"~timeType~'ABSOLUTE~tz~'UTC~editorString~'([\w.*-]+)~source~\(~'[\w.*-]+\)\)"
)
DIED = datetime(2026, 11, 27, 9, 30, 5, tzinfo=UTC)
TRACE = "1-5759e988-bd862e3fe1be46a994272793"


def _letter(id_: str = "0198-a", function: str = "shop-prod--pay", header: str = "") -> Taken:
    failure = Failure(
        "rejected",
        type="ValueError",
        function=function,
        request_id="r-1",
        first_at=datetime(2026, 11, 27, 8, 0, tzinfo=UTC),
        last_at=DIED,
    )
    message: Any = {
        "MessageId": "m",
        "ReceiptHandle": "r",
        "Body": encode(Message(task="pay", id=id_, failure=failure)),
        "Attributes": {"SentTimestamp": str(int(DIED.timestamp() * 1000))}
        | ({"AWSTraceHeader": header} if header else {}),
    }
    return Taken(message, dead_letter.read("shop-prod--pay-dlq", message))


def test_logs_insights_opens_with_the_letters_query_and_times() -> None:
    assert links.logs(_letter(), "eu-central-1") == (
        "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1"
        "#logsV2:logs-insights$3FqueryDetail$3D"
        "~(end~'2026-11-27T09*3a45*3a05.000Z~start~'2026-11-27T07*3a45*3a00.000Z~timeType~'ABSOLUTE~tz~'UTC"
        "~editorString~'fields*20*40timestamp*2c*20level*2c*20message*2c*20outcome*2c*20attempt*2c*20error"
        "*20*7c*20filter*20id*20*3d*20*220198-a*22*20or*20*40requestId*20*3d*20*22r-1*22*20*7c*20sort*20*40timestamp"
        "~source~(~'*2faws*2flambda*2fshop-prod--pay))"
    )


@pytest.mark.parametrize("id_", ["'~(x)~'", '"; $ % # & ? +', "\u20ac \u00fc \U0001f600", "*20", "</a><script>"])
def test_whatever_is_in_an_id_the_link_has_one_query(id_: str) -> None:
    url = links.logs(_letter(id_), "eu-central-1")
    found = DETAIL.fullmatch(url)
    assert found is not None, url
    query = _decoded(found[1])
    assert query.startswith("fields @timestamp, level, message, outcome, attempt, error | filter id = ")
    assert query.endswith(' or @requestId = "r-1" | sort @timestamp')


@pytest.mark.parametrize("text", ["plain", "a b", "\u00fc", "\u20ac", "\U0001f600", "a*b'~$"])
def test_a_text_is_what_the_console_reads_of_it(text: str) -> None:
    assert _decoded(links._encoded(text)) == text


def _decoded(text: str) -> str:
    """What JSURL's own reader makes of it."""
    units = re.sub(r"\*\*([0-9a-f]{4})|\*([0-9a-f]{2})", lambda found: chr(int(found[1] or found[2], 16)), text)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


@pytest.mark.parametrize(
    ("region", "home"),
    [
        ("eu-central-1", "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1"),
        ("cn-north-1", "https://cn-north-1.console.amazonaws.cn/cloudwatch/home?region=cn-north-1"),
        ("us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/cloudwatch/home?region=us-gov-west-1"),
    ],
)
def test_a_trace_opens_in_its_region(region: str, home: str) -> None:
    one = _letter(header=f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=25:3068ad7c:0")
    assert links.trace_of(one, region) == f"{home}#xray:traces/{TRACE}"


@pytest.mark.parametrize("header", ["", "Root=javascript:alert(1)", "Sampled=1", '"><script>'])
def test_there_is_no_link_to_what_is_no_trace(header: str) -> None:
    assert links.trace_of(_letter(header=header), "eu-central-1") == ""


def test_there_are_no_logs_of_a_letter_that_no_function_gave_up_on() -> None:
    assert links.logs(_letter(function=""), "eu-central-1") == ""
