"""The error of an integration whose package is missing."""

from celeriac.model.errors import CeleriacError


class MissingPackageError(CeleriacError, ImportError):
    """An integration needs a package that isn't installed here."""

    def __init__(self, integration: str, package: str) -> None:
        super().__init__(
            f"celeriac.integrations.{integration} needs the package {package}, which isn't installed: "
            f"pip install '{package}', or `uv add {package}`, so that the workers have it too"
        )
