"""docs/howto/other-languages.md: its code, run by the languages themselves. A consumer reads what it writes."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from celeriac import Context, Queue, task
from celeriac.testing import Sandbox
from tests.support.howto import BINARIES, ROOT, blocks

PAGE = ROOT / "docs" / "howto" / "other-languages.md"
NODE = BINARIES / "node"
# Quotes, a backslash, controls, characters that SQS refuses, some outside the BMP, and a number above 2^53.
NOTE = 'say "hi" \\ \n\t\x01\x7f \ufffe\uffff é 漢 😀 <b>&\u2028'
LARGE = 2**62 + 1
# All languages have this escape for every character that isn't plain ASCII.
ESCAPED = json.dumps(NOTE)
payments = Queue("languages")
ledger = Queue("languages-in-order", fifo=True)
ran: list[tuple[Any, ...]] = []


@task(payments, key="payment_id")
def charge_card(ctx: Context, payment_id: str, amount_cents: int, note: str = "") -> None:
    ran.append((ctx.id, ctx.key, payment_id, amount_cents, note))


@task(ledger)
def book(ctx: Context, number: int) -> None:
    ran.append((ctx.id, ctx.group, number))


def _run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _check(sandbox: Sandbox, body: str) -> None:
    """The consumer runs the task with what the other language was given."""
    ran.clear()
    sandbox.send(payments, body)
    sandbox.drain()
    assert sandbox.dead_letters(payments) == []
    assert ran == [("i-7", "charge_card:p-1", "p-1", LARGE, NOTE)]


STUB = """
export class SQSClient {
  async send(command) {
    if (command.name === "GetQueueUrl") return { QueueUrl: "https://sqs/" + command.input.QueueName };
    console.log(JSON.stringify(command.input));
  }
}
export class GetQueueUrlCommand { name = "GetQueueUrl"; constructor(input) { this.input = input; } }
export class SendMessageCommand { name = "SendMessage"; constructor(input) { this.input = input; } }
"""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder with the two files of TypeScript, and a stand-in for AWS's SDK that prints what is sent."""
    message, send = blocks(PAGE, "ts")
    (tmp_path / "message.ts").write_text(message)
    (tmp_path / "send.ts").write_text(send)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    stub = tmp_path / "node_modules" / "@aws-sdk" / "client-sqs"
    stub.mkdir(parents=True)
    (stub / "package.json").write_text('{"name": "@aws-sdk/client-sqs", "type": "module", "main": "index.js"}')
    (stub / "index.js").write_text(STUB)
    return tmp_path


def _node(folder: Path, program: str) -> str:
    (folder / "main.ts").write_text(program)
    return _run(folder, NODE, "main.ts")


def test_a_body_of_node_reaches_the_task_as_it_was_written(sandbox: Sandbox, node: Path) -> None:
    program = f"""
import {{ body }} from "./message.ts";
const args = {{ payment_id: "p-1", amount_cents: {LARGE}n, note: {ESCAPED} }};
console.log(body("charge_card", args, {{ id: "i-7" }}));
"""
    _check(sandbox, _node(node, program).rstrip("\n"))


def test_what_json_can_not_say_is_refused_in_node(node: Path) -> None:
    program = """
import { body } from "./message.ts";
try { body("charge_card", { amount_cents: NaN }); } catch (error) { console.log(error.message); }
"""
    assert _node(node, program) == "NaN is no JSON\n"


def test_node_sends_with_id_key_delay_and_group(sandbox: Sandbox, node: Path) -> None:
    program = """
import { send } from "./send.ts";
const args = { payment_id: "p-1", amount_cents: 5 };
await send("shop-test--payments", "charge_card", args, { id: "i-1", key: "chosen", delaySeconds: 60 });
await send("shop-test--payments", "charge_card", args, { group: "tenant-7" });
await send("shop-test--ledger.fifo", "book", { number: 1 }, { id: "i-3", group: "account-7" });
"""
    keyed, tenant, in_order = (json.loads(line) for line in _node(node, program).splitlines())
    assert keyed["QueueUrl"] == "https://sqs/shop-test--payments"
    assert (keyed["DelaySeconds"], "MessageGroupId" in keyed) == (60, False)
    assert {"due_at", "enqueued_at"} <= json.loads(keyed["MessageBody"]).keys()
    assert (tenant["MessageGroupId"], "MessageDeduplicationId" in tenant, "DelaySeconds" in tenant) == (
        "tenant-7",
        False,
        False,
    )
    assert (in_order["MessageGroupId"], in_order["MessageDeduplicationId"]) == ("account-7", "i-3")

    ran.clear()
    sandbox.send(payments, keyed["MessageBody"])
    sandbox.send(payments, keyed["MessageBody"])  # its answer was lost: sent again
    sandbox.send(ledger, in_order["MessageBody"], group="account-7")
    sandbox.drain()
    assert sorted(ran) == [("i-1", "charge_card:chosen", "p-1", 5, ""), ("i-3", "account-7", 1)]


JAVA = """
import java.time.Instant;
import java.util.Map;

public class Main {
    public static void main(String[] unused) throws Exception {
        var args = Map.of("payment_id", "p-1", "amount_cents", %dL, "note", NOTE);
        var body = new Message("charge_card", args, "i-7", Instant.now()).body();
        System.out.write(body.getBytes("UTF-8"));
        System.out.flush();
    }
    static final String NOTE = new String(new char[] {%s});
}
"""


def test_a_body_of_java_reaches_the_task_as_it_was_written(sandbox: Sandbox, tmp_path: Path) -> None:
    javac, java = shutil.which("javac"), shutil.which("java")
    if javac is None or java is None:
        pytest.skip("no JDK is installed here")
    units = NOTE.encode("utf-16-be")
    characters = ", ".join(str(int.from_bytes(units[at : at + 2])) for at in range(0, len(units), 2))
    (tmp_path / "Message.java").write_text(blocks(PAGE, "java")[0])
    (tmp_path / "Main.java").write_text(JAVA % (LARGE, characters))
    _run(tmp_path, javac, "-encoding", "UTF-8", "Message.java", "Main.java")
    _check(sandbox, _run(tmp_path, java, "Main"))


GO = """
package main

import (
	"fmt"

	"example.org/tasks/celeriac"
)

func main() {
	args := map[string]any{"payment_id": "p-1", "amount_cents": %d, "note": %s}
	message := celeriac.Message{Task: "charge_card", Args: args, ID: "i-7"}
	text, err := message.Body()
	if err != nil {
		panic(err)
	}
	fmt.Print(text)
}
"""


def test_a_body_of_go_reaches_the_task_as_it_was_written(sandbox: Sandbox, tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed here")
    note = '"' + "".join(f"\\U{ord(character):08x}" for character in NOTE) + '"'
    (tmp_path / "celeriac").mkdir()
    (tmp_path / "celeriac" / "message.go").write_text(blocks(PAGE, "go")[0])
    (tmp_path / "main.go").write_text(GO % (LARGE, note))
    (tmp_path / "go.mod").write_text("module example.org/tasks\n\ngo 1.21\n")
    _check(sandbox, _run(tmp_path, go, "run", "."))
