"""Templates as text: read with CloudFormation's short tags, written without, sent as JSON.

Input    YAML with !Ref, !Sub, !GetAtt …, and with anchors, which CloudFormation itself does not
         take: what is sent is `body`, in which they are resolved.
Output   plain documents. `sub` wraps texts that name a parameter in Fn::Sub, to any depth.
Source   AWS, CloudFormation user guide, "CloudFormation template format" and "quotas": a template
         that is sent by itself has at most 51,200 bytes.
"""

import json
from typing import Any

from mlops_bikeshare.domain.errors import CloudError

BODY_BYTES = 51_200
Document = dict[str, Any]
_HEAD = "# Generated (`make docs`); do not edit.\n"


def read(text: str) -> Document:
    """The document, its short tags spelt out."""
    import yaml

    fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(fastest):  # type: ignore[misc]
        """Takes the tags of CloudFormation."""

    Loader.add_multi_constructor("!", _tagged)
    found: Document = yaml.load(text, Loader=Loader)  # noqa: S506 - a SafeLoader
    return found


def write(document: Document) -> str:
    """YAML for people and for checkers."""
    import yaml

    fastest: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(fastest):  # type: ignore[misc]
        """Repeats what is equal instead of pointing at it."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's signature
            return True

    return _HEAD + yaml.dump(document, Dumper=Dumper, sort_keys=False, width=100)


def body(document: Document, name: str) -> str:
    """What CloudFormation is sent; CloudError if it would not take it."""
    text = json.dumps(document, separators=(",", ":"))
    if len(text.encode()) > BODY_BYTES:
        msg = f"template {name} has {len(text.encode())} bytes, CloudFormation takes {BODY_BYTES}"
        raise CloudError(f"{msg}; divide it in two")
    return text


def sub(value: Any) -> Any:
    """The value with every text that names a parameter wrapped in Fn::Sub."""
    if isinstance(value, dict):
        return {key: sub(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [sub(inner) for inner in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${" in value else value


def _tagged(loader: Any, suffix: str, node: Any) -> Document:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}
