"""What a team's infra/application.py gives to the tasks of each queue: rights, variables, tables, buckets, secrets."""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Self

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import IConstruct, Node

from celeriac.model import declared
from celeriac.model.queue import problems_of_environment
from celeriac.model.table import Table
from celeriac_cdk.config import ConfigError, StageConfig
from celeriac_cdk.own import Bucket, Secret

if TYPE_CHECKING:
    from celeriac_cdk.page.settings import Web

_BUCKET_IS_USED = "tasks name the objects of the bucket as they run"


class Given:
    """What the consumer of one queue gets."""

    def __init__(self) -> None:
        self.statements: list[iam.PolicyStatement] = []
        self.environment: dict[str, str] = {}
        self.tables: set[str] = set()
        self.status_of: set[str] = set()
        """The queues whose tasks' status and results are read."""
        self.wildcards: dict[str, str] = {}
        """Resources with a wildcard, and the reason for each. Without a reason the synth of a kept stage fails."""

    def joined(self, others: Iterable["Given"]) -> "Given":
        """This and what others get, for the consumer of a queue that also runs tasks of other queues."""
        made = Given()
        for each in (*others, self):
            made.statements += [one for one in each.statements if one not in made.statements]
            for name in made.environment.keys() & each.environment.keys():
                if made.environment[name] != each.environment[name]:
                    raise ConfigError(
                        f"infra/application.py sets {name} to two values for queues of which one runs tasks that have "
                        "moved to the other (former_queues): one consumer can't have both, rename one"
                    )
            made.environment |= each.environment
            made.tables |= each.tables
            made.status_of |= each.status_of
            made.wildcards |= each.wildcards
        return made


class Grants:
    """Gives something to the consumers of some queues. Each method returns the same object, for the next one."""

    def __init__(self, application: "Application", queues: Collection[str]) -> None:
        self._application, self._stage = application, application.config.stage
        self._given = [application.of(queue) for queue in queues]

    def allow(self, *statements: iam.PolicyStatement, because: str | None = None) -> Self:
        """Give rights.

        because: the reason for resources with a wildcard. Without one the synth of a kept stage fails.
        """
        reasons = {
            resource: because
            for statement in statements
            for resource in statement.resources
            if because is not None and ("*" in _plain(resource) or "?" in _plain(resource))
        }
        for given in self._given:
            given.statements += statements
            given.wildcards |= reasons
        return self

    def environment(self, **variables: str) -> Self:
        """Set variables. They aren't secret: whoever may look at the function sees them."""
        for problem in problems_of_environment(variables):
            raise ConfigError(f"infra/application.py: {problem}")
        for given in self._given:
            given.environment |= variables
        return self

    def table(self, *tables: str) -> Self:
        """Let tasks read and write single items of these tables, also in transactions."""
        _check_texts(tables)
        for given in self._given:
            given.tables |= set(tables)
        return self

    def secret(self, secret: Secret, variable: str) -> Self:
        """Let tasks read a secret. Its name is in the environment variable `variable`."""
        self._application.used.append(_own(secret, Secret))
        return self.allow(secret.read(self._stage)).environment(**{variable: secret.physical_name(self._stage)})

    def bucket(self, bucket: Bucket, variable: str) -> Self:
        """Let tasks use a bucket. Its name is in the environment variable `variable`."""
        self._application.used.append(_own(bucket, Bucket))
        self.allow(*bucket.use(self._stage), because=_BUCKET_IS_USED)
        return self.environment(**{variable: bucket.physical_name(self._stage)})

    def status_of(self, *queues: str) -> Self:
        """Let tasks read the status and the results of the tasks of other queues."""
        _check_texts(queues)
        for given in self._given:
            given.status_of |= set(queues)
        return self


class Application:
    """What the tasks of each queue may do and know. A queue that nothing is given to has the rights of Celeriac only.

    Example: `application.queue("payments").table("payments").environment(PROVIDER="https://...")`.
    """

    def __init__(self, config: StageConfig) -> None:
        self.config = config
        self._of: dict[str, Given] = {}
        self.used: list[Bucket | Secret] = []
        self.page: Callable[[cdk.Stack], Web] | None = None

    def web(self, describe: Callable[[cdk.Stack], "Web"]) -> Self:
        """Deploy the operators' page for people without AWS credentials. docs/howto/web-deployed.md tells how.

        describe: gets the stack of the functions, and returns the page's settings. In it, look up network, certificate
        and secret. The local cloud has no such page.
        """
        self.page = describe
        return self

    def queue(self, *names: str) -> Grants:
        """Give something to the consumers of these queues. Raises ConfigError for what isn't a queue's name."""
        if not names:
            raise ConfigError('infra/application.py calls queue() without a name: write .queue("payments")')
        _check_texts(names)
        return Grants(self, names)

    def of(self, queue: str) -> Given:
        """What was given to the consumer of a queue."""
        return self._of.setdefault(queue, Given())

    def check(self, queues: Collection[str], tables: Collection[str]) -> None:
        """Raise ConfigError if a queue or a table was named that isn't declared."""
        named = [*self._of, *(other for given in self._of.values() for other in sorted(given.status_of))]
        _check("queue", named, queues)
        _check("table", sorted({name for given in self._of.values() for name in given.tables}), tables)

    def check_built(self, state: IConstruct) -> None:
        """Raise ConfigError if something is given that the stateful stack doesn't build."""
        built = {construct.node.id for construct in state.node.find_all()}
        for own in self.used:
            if own.construct_id not in built:
                raise ConfigError(
                    f"infra/application.py gives {own!r} to a queue, and ApplicationState doesn't build it: add a line "
                    "with .build(self, config, key) there"
                )

    def unused(self, tables: Iterable[Table]) -> list[Table]:
        """The tables that no consumer may use."""
        used = {name for given in self._of.values() for name in given.tables}
        return [table for table in tables if table.name not in used]


def _check_texts(names: Iterable[object]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(
                f"infra/application.py gives {type(name).__name__} where a name is expected: write a text"
            )


def _own[T](given: object, kind: type[T]) -> T:
    if not isinstance(given, kind):
        raise ConfigError(
            f"infra/application.py gives {given!r} where a {kind.__name__} is expected: declare it once, such as "
            f'{kind.__name__.upper()} = {kind.__name__}("name"), and give that'
        )
    return given


def _check(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            there_are = f"there are {', '.join(sorted(known))}" if known else "it declares none"
            raise ConfigError(
                f"infra/application.py names the {kind} {name!r}, which {declared.file(f'{kind}s')} doesn't declare; "
                f"{there_are}"
            )


def _plain(resource: str) -> str:
    """A resource without the CDK's placeholders for the account and the region, which might have any character."""
    for token in (cdk.Aws.PARTITION, cdk.Aws.REGION, cdk.Aws.ACCOUNT_ID):
        resource = resource.replace(token, "")
    return resource


type Describe = Callable[[Node, StageConfig], Application]
"""The function `application`: it says what the tasks of each queue get."""
