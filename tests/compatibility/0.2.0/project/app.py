"""The CDK app: it turns configuration into stacks. It makes no AWS call and needs no credentials.

Example: `cdk synth -c stage=dev`. celeriac.toml and infra/application.py say what is built.
"""

from pathlib import Path

from celeriac_cdk.app import Described, main


def described() -> Described:
    """What infra/application.py says. A mistake there is told in a sentence, so it is imported late."""
    from infra.application import ApplicationState, application  # noqa: PLC0415

    return ApplicationState, application


if __name__ == "__main__":
    main(Path(__file__).parent, described)
