"""The asset that all functions share: sources, the library, locked packages and byte code.

Builds are kept under the project's `.celeriac/bundles/`. The name of a build is a fingerprint of its inputs, so a synth
without changes builds nothing. CloudFormation compares the hash of the built files. Equal inputs give equal files, so
CloudFormation deploys real changes only.
"""

import hashlib
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from celeriac_cdk.bundle import botocore_data, byte_code, licences, lock, needs, services, stale, trim
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.install import install
from celeriac_cdk.bundle.source import Source, console_files, console_root, library_files, library_root
from celeriac_cdk.bundle.target import Target

# For each target. An application may hold several instances, each with its own bundle.
_KEPT_BUILDS = 6
_NO_STEPS = {"sbom.py"}
"""Files beside this one that change nothing in a bundle."""


def build_bundle(source: Source, target: Target, *, offline: bool = False) -> Path:
    """Return the folder with the bundle of a project. Equal inputs are built only once.

    It holds the project's sources, the installed library, and the packages of the project's lock file. If `offline`,
    uv takes the wheels from its cache only. Raises BundleError if uv, a lock file, a wheel or a package that the
    library needs is missing, and ServiceError if the sources call an AWS service that isn't listed.
    """
    options, files, library = source.options(), source.files(), library_files()
    called = services.services_of([file for file in files if file.suffix == ".py"], library, options)
    locked = lock.find(source.project, options)
    _check_the_lock(locked, target)

    def build(built: Path) -> None:
        install(source, built, target, offline=offline)
        needs.check(licences.packages_in(built), needs.needs_of_the_library(), locked.name)
        trim.trim(built, called)
        botocore_data.cut(built, called)
        _copy(source.root, files, built)
        _copy(library_root(), library, built)

    return _kept(source, target, target.name, fingerprint(source, files, locked, called, target), build)


def build_page(source: Source, target: Target, *, offline: bool = False) -> Path:
    """Return the folder with the bundle of the operators' page, which runs in a container. Equal inputs are built once.

    It holds the project's sources, the installed library with its console, and the packages of the lock file with those
    of the group `web`. Raises BundleError as `build_bundle` does, and if the page's packages aren't locked.
    """
    files, console = source.files(), console_files()
    library = _named(library_root(), library_files()) | _named(console_root(), console)
    locked = lock.find_of_page(source.project, source.options())
    _check_the_lock(locked, target)

    def build(built: Path) -> None:
        install(source, built, target, offline=offline, page=True)
        needs.check(licences.packages_in(built), needs.needs_of_the_library("oidc"), locked.name)
        trim.trim(built, None)
        _copy(source.root, files, built)
        _copy(library_root(), library_files(), built)
        _copy(console_root(), console, built)

    name = f"page-{target.name}"
    return _kept(
        source, target, name, fingerprint(source, files, locked, frozenset({"page"}), target, library=library), build
    )


def _kept(source: Source, target: Target, name: str, inputs: str, build: Callable[[Path], None]) -> Path:
    """Return the folder of a build. If it isn't there, `build` fills a new one."""
    bundles = source.project / ".celeriac" / "bundles"
    bundle = bundles / f"{name}-{inputs}"
    if bundle.is_dir():
        bundle.touch()
        return bundle
    _make_folder(bundles)
    with tempfile.TemporaryDirectory(prefix="building-", dir=bundles) as staging:
        built = Path(staging) / "bundle"
        build(built)
        _compile(built, target)
        _make_readable(built)
        _publish(built, bundle)
    _prune(bundles, name)
    return bundle


def _check_the_lock(locked: Path, target: Target) -> None:
    """Raise BundleError if uv.lock doesn't fit pyproject.toml or the target. A kept build is no reason to skip this."""
    if locked.name != lock.UV:
        return
    text, pyproject = locked.read_text(encoding="utf-8"), locked.with_name("pyproject.toml")
    if pyproject.is_file():
        stale.check_dependencies(pyproject.read_text(encoding="utf-8"), text)
    stale.check_python(text, target)


def fingerprint(
    source: Source,
    files: Iterable[Path],
    locked: Path,
    called: frozenset[str],
    target: Target,
    *,
    library: Mapping[str, Path] | None = None,
) -> str:
    """Return a hash of a build's inputs: sources, library, lock file, options, services, machine and recipe."""
    options = sorted(source.options().items(), key=str)
    digest = hashlib.sha256(repr((target, options, sorted(called), sys.version, platform.machine())).encode())
    recipe = sorted(file for file in Path(__file__).parent.iterdir() if file.suffix in {".py", ".txt"})
    named = [
        *_named(source.root, files).items(),
        *(library or _named(library_root(), library_files())).items(),
        ("lock", locked),
        *((step.name, step) for step in recipe if step.name not in _NO_STEPS),
    ]
    for name, file in named:
        content = file.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _named(root: Path, files: Iterable[Path]) -> dict[str, Path]:
    """The files by their names in the bundle."""
    return {file.relative_to(root).as_posix(): file for file in files}


def _make_folder(bundles: Path) -> None:
    """Make the folder for builds. Git doesn't see what is in `.celeriac/`, whatever the project's .gitignore says."""
    bundles.mkdir(parents=True, exist_ok=True)
    ignore = bundles.parent / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def _copy(root: Path, files: Iterable[Path], into: Path) -> None:
    for file in files:
        copy = into / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _compile(bundle: Path, target: Target) -> None:
    """Add byte code if this interpreter makes what the target loads. If not, Lambda compiles at each cold start."""
    try:
        if target.has_our_byte_code:
            byte_code.compile_bundle(bundle)
    except byte_code.SourceError as error:
        raise BundleError(f"a source of the bundle is not valid Python {target.python}: {error}") from error


def _make_readable(bundle: Path) -> None:
    """Let every user read the bundle. Lambda runs as another user, and this machine's umask may be private."""
    for path in (bundle, *bundle.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _publish(built: Path, bundle: Path) -> None:
    try:
        built.rename(bundle)
    except OSError:
        if not bundle.is_dir():  # otherwise another synth has built the same bundle meanwhile
            raise


def _prune(bundles: Path, name: str) -> None:
    for old in sorted(bundles.glob(f"{name}-*"), key=lambda build: build.stat().st_mtime)[:-_KEPT_BUILDS]:
        shutil.rmtree(old)
