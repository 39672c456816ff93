"""Cuts botocore's data down to what a call to the listed services needs.

Making the first client parses all of endpoints.json, a megabyte about services that no function calls. Half of the
description of a service is its documentation.
"""

import gzip
import json
from pathlib import Path
from typing import Any


def cut(site_packages: Path, services: frozenset[str]) -> None:
    """Cut endpoints and documentation. Other services than `services` have no data any more, see `trim`."""
    data = site_packages / "botocore" / "data"
    prefixes = set(services)
    for name in services:
        for description in data.glob(f"{name}/*/service-2.json.gz"):
            content = _without_documentation(description)
            prefixes.add(content["metadata"]["endpointPrefix"])
        for rules in data.glob(f"{name}/*/endpoint-rule-set-1.json.gz"):
            _without_documentation(rules)
    endpoints = data / "endpoints.json"
    if endpoints.exists():
        found = json.loads(endpoints.read_text(encoding="utf-8"))
        for partition in found["partitions"]:
            partition["services"] = {name: each for name, each in partition["services"].items() if name in prefixes}
        endpoints.write_text(json.dumps(found, separators=(",", ":")), encoding="utf-8")


def _without_documentation(file: Path) -> Any:
    """Write the file again without documentation, and return its content."""
    content = json.loads(gzip.decompress(file.read_bytes()), object_hook=_undocumented)
    for parameter in content.get("clientContextParams", {}).values():
        parameter["documentation"] = ""  # the only one that botocore reads
    text = json.dumps(content, separators=(",", ":")).encode()
    file.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))  # without a time, equal inputs give equal files
    return content


def _undocumented(found: dict[str, Any]) -> dict[str, Any]:
    # A member of a structure may have the name "documentation", too. It isn't a text.
    if isinstance(found.get("documentation"), str):
        del found["documentation"]
    return found
