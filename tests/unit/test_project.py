"""celeriac.toml: what it may say, and how a mistake is named."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from celeriac import Queue, task, transaction
from celeriac.model import names, settings
from celeriac.model.project import read
from celeriac.model.stages import Project, ProjectError, StageSettings
from celeriac.testing import Sandbox
from celeriac_console.main import app

named = Queue("project-named")
told: list[int] = []


@task(named, on="project.named")
def tell(number: int) -> None:
    told.append(number)


@pytest.mark.parametrize(("stage", "meant"), [("prd", "prod"), ("loc", "local"), ("lcoal", "local")])
def test_a_stage_that_resembles_a_named_one_is_warned_of(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, meant: str
) -> None:
    (tmp_path / settings.FILE).write_text(FILE.replace('"shop"', '"celeriac"'))
    monkeypatch.chdir(tmp_path)

    def told(stage: str) -> str:
        return CliRunner().invoke(app, ["--stage", stage, "outbox", "lag"]).stderr

    assert f"celeriac.toml names no stage {stage}: did you mean {meant}?" in told(stage)
    for other in ("prod", "pr-7", "staging"):
        assert "did you mean" not in told(other)


FILE = """
name = "shop"

[stages.prod]
account = "123456789012"
regions = ["eu-west-1", "us-east-1"]
kms = true
alarm_emails = ["ops@example.org", "night@example.org"]

[stages.prod.queues.payments]
max_concurrency = 50

[stages."pr-*"]
ephemeral = true
"""


def written(folder: Path, content: str) -> Path:
    (folder / settings.FILE).write_text(content, encoding="utf-8")
    return folder


def test_a_stage_has_what_stands_under_its_name_or_under_the_first_pattern_that_matches(tmp_path: Path) -> None:
    project = read(written(tmp_path, FILE))
    assert project.name == "shop"
    prod = project.stage("prod")
    assert (prod.account, prod.regions) == ("123456789012", ("eu-west-1", "us-east-1"))
    assert (prod.kms, prod.keeps) == (True, True)
    assert project.stage("pr-12").ephemeral
    assert project.stage("staging") == StageSettings()


def test_the_file_is_found_from_a_folder_below_it(tmp_path: Path) -> None:
    written(tmp_path, FILE)
    below = tmp_path / "functions" / "tasks"
    below.mkdir(parents=True)
    assert read(below).name == "shop"


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert read(tmp_path) == Project("celeriac")


def test_a_queue_has_the_numbers_of_the_stage(tmp_path: Path) -> None:
    prod = read(written(tmp_path, FILE)).stage("prod")
    assert prod.applied(Queue("payments", pollers=(2, 20)), "here") == Queue("payments", max_concurrency=50)
    assert prod.applied(Queue("mail"), "here") == Queue("mail")


def test_numbers_that_aws_does_not_take_are_refused_with_their_place(tmp_path: Path) -> None:
    prod = read(written(tmp_path, FILE.replace("50", "1"))).stage("prod")
    with pytest.raises(ProjectError, match=r"^there: queue 'payments': max_concurrency is 1"):
        prod.applied(Queue("payments"), "there")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "name is missing"),
        ("name = 3", "name is missing"),
        ("name = [", "isn't TOML"),
        ('name = "a-b"', "name: .*'a-b'.*without a hyphen"),
        ('nam = "x"', "has no key 'nam'; there are name, source, stages"),
        ('name = "x"\nstages = 3', "stages is 3, write a table"),
        ('name = "x"\nstages.prod = 3', r"stages.prod is 3, write a table: \[stages.prod\]"),
        ('name = "x"\n[stages.prod]\nkms = "yes"', "stages.prod.kms is 'yes', it must be true, false or"),
        ('name = "x"\n[stages.prod]\nkmss = true', "stages.prod has no key 'kmss'; there are account, regions"),
        ('name = "x"\n[stages.prod]\naccount = 123456789012', "stages.prod.account is 123456789012, it must be a text"),
        ('name = "x"\n[stages.prod]\naccount = "1"', "stages.prod.account is '1', write the 12 digits"),
        ('name = "x"\n[stages.prod]\nregions = "eu-west-1"', "stages.prod.regions is 'eu-west-1', it must be a list"),
        ('name = "x"\n[stages.prod]\nregions = ["eu"]', "stages.prod.regions contains 'eu'"),
        ('name = "x"\n[stages.prod]\nregions = ["eu-west-1", "eu-west-1"]', "regions names a region twice"),
        ('name = "x"\n[stages.prod]\nalarm_emails = ["Ops <a@b.c>"]', "alarm_emails contains 'Ops <a@b.c>'"),
        ('name = "x"\n[stages.prod]\nalarm_emails = ["a@"]', "alarm_emails contains 'a@'"),
        ('name = "x"\n[stages.prod]\nalarm_topic = "pages"', "alarm_topic is 'pages', write the ARN"),
        ('name = "x"\n[stages.prod]\nephemeral = true\nkeep = true', "stages.prod.keep is true, but"),
        ('name = "x"\n[stages.Prod]', "stages.Prod: the stage 'Prod'"),
        ('name = "x"\n[stages.local]', "stages.local: this stage is the local cloud"),
        ('name = "x"\n[stages.prod]\nqueues = 1', "stages.prod.queues is 1"),
        ('name = "x"\n[stages.prod.queues.a]\nx = 1', "stages.prod.queues.a has no key 'x'; there are max_concurrency"),
        (
            'name = "x"\n[stages.prod.queues.a]\nbatch_size = "1"',
            "queues.a.batch_size is '1', it must be a whole",
        ),
        ('name = "x"\n[stages.prod]\nvpc = 1', r"stages.prod.vpc is 1, write a table: \[stages.prod.vpc\]"),
        (
            'name = "x"\n[stages.prod.vpc]\nsubnets = ["subnet-01234567"]',
            "vpc.security_groups is missing, write a list",
        ),
        ('name = "x"\n[stages.prod.vpc]\nsubnets = ["a"]\nsecurity_groups = []', r"vpc.subnets is \['a'\], write ids"),
        ('name = "x"\n[stages.prod.queues.a]\npollers = 1', r"queues.a.pollers is 1, it must be two whole"),
        ('name = "x"\n[stages.prod]\nalarm_emails = ["a@b.org", "a@b.org"]', "alarm_emails names an address twice"),
        (f'name = "x"\n[stages.prod]\nrunbook = "https://{"x" * 300}"', "runbook has 308 characters, and 300 are"),
        ('name = "sthree"', "'sthree' can't begin a bucket's name"),
        (
            (
                'name = "x"\n[stages.prod]\nregions = ["eu-west-1", "us-east-1"]\n[stages.prod.vpc]\n'
                'subnets = ["subnet-01234567"]\nsecurity_groups = ["sg-01234567"]'
            ),
            "vpc is in one region, and the stage in several",
        ),
        (
            'name = "x"\n[stages.prod]\nregions = ["us-east-1"]\nalarm_topic = "arn:aws:sns:eu-west-1:123456789012:t"',
            "alarm_topic is in eu-west-1, and the stage in us-east-1",
        ),
        (
            (
                'name = "x"\n[stages.prod]\nregions = ["us-east-1", "eu-west-1"]\n'
                'alarm_topic = "arn:aws:sns:eu-west-1:123456789012:t"'
            ),
            "alarm_topic is in one region, and an alarm",
        ),
        ('name = "x"\n[stages.prod]\nalarm_topic = "arn:aws:sns:eu-west-1:123456789012:t.fifo"', "that isn't FIFO"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(ProjectError, match=rf"celeriac\.toml.*{complaint}"):
        read(written(tmp_path, content))


def test_an_environment_of_another_application_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_APPLICATION", "other")
    with pytest.raises(ProjectError, match=r"CELERIAC_APPLICATION is 'other', and .*name = 'shop': unset"):
        read(written(tmp_path, FILE))


@pytest.mark.parametrize(
    ("content", "complaint"), [("name = [", "Invalid value"), ("", "the application's name 'None'")]
)
def test_a_producer_is_told_which_file_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, complaint: str
) -> None:
    monkeypatch.delenv(settings.APPLICATION, raising=False)
    monkeypatch.chdir(written(tmp_path, content))
    with pytest.raises(ValueError, match=rf"celeriac\.toml: .*{complaint}"):
        settings.application()


def test_a_name_can_be_read_in_one_way_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither other stages nor other applications have a name that a wildcard of this stage matches."""
    monkeypatch.setenv("CELERIAC_APPLICATION", "shop")
    assert Queue("eu-emails").physical_name("dev") == "shop-dev--eu-emails"
    assert Queue("emails").physical_name("dev-eu") == "shop-dev-eu--emails"
    assert not Queue("emails").physical_name("dev-eu").startswith(names.start("dev"))
    for stage in ("dev-", "dev--eu", "-dev"):
        with pytest.raises(ValueError, match="single"):
            names.prefix(stage)


def test_names_that_are_too_long_together_are_refused_with_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_APPLICATION", "a" * 12)
    assert len(names.prefix("s" * 12)) == names.LONGEST_PREFIX
    with pytest.raises(ValueError, match=r"has 12 characters, the stage 13, and the hyphen makes 26\. 25 is the most"):
        names.prefix("s" * 13)


def test_the_command_names_a_mistake_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.APPLICATION, raising=False)
    monkeypatch.chdir(written(tmp_path, 'name = "a-b"'))
    done = CliRunner().invoke(app, ["--stage", "dev", "tasks"], terminal_width=400, env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert "celeriac.toml: name: the application's name 'a-b'" in done.output


def test_a_sandbox_publishes_events_whatever_the_application_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(settings.APPLICATION, raising=False)
    monkeypatch.chdir(written(tmp_path, FILE))
    assert settings.application() == "shop"
    told.clear()
    with Sandbox() as sandbox:
        with transaction() as tx:
            tx.emit("project.named", {"number": 7})
        sandbox.drain()
    assert told == [7]


def test_a_sandbox_has_nothing_of_the_shells_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.APPLICATION, "other")
    with Sandbox():
        assert names.prefix("test") == "celeriac-test"


def test_the_package_of_the_tasks_is_the_end_of_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.TASKS, raising=False)
    written(tmp_path, 'name = "shop"\nsource = "src/shop_tasks"\n')
    monkeypatch.chdir(tmp_path)
    assert (read(tmp_path).source, settings.tasks_package()) == ("src/shop_tasks", "shop_tasks")
    monkeypatch.setenv(settings.TASKS, "other_tasks")
    assert settings.tasks_package() == "other_tasks"


def test_without_a_source_the_package_is_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.TASKS, raising=False)
    monkeypatch.chdir(written(tmp_path, 'name = "shop"\n'))
    assert (read(tmp_path).source, settings.tasks_package()) == ("functions/tasks", "tasks")


@pytest.mark.parametrize("source", ["/tasks", "../tasks", "src/my-tasks", "src/import", "", 3])
def test_a_source_that_python_cannot_import_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: object
) -> None:
    monkeypatch.delenv(settings.TASKS, raising=False)
    monkeypatch.chdir(written(tmp_path, f'name = "shop"\nsource = {source!r}\n'))
    with pytest.raises(ProjectError, match=r"celeriac\.toml: source is"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"celeriac\.toml: source is"):
        settings.tasks_package()


def test_a_name_holds_for_a_block_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.APPLICATION, "shop")
    with settings.named("billing"):
        assert settings.application() == "billing"
        with settings.named("inner"):
            assert settings.application() == "inner"
        assert settings.application() == "billing"
    assert settings.application() == "shop"
    with pytest.raises(ValueError, match="'No'"), settings.named("No"):
        pass
