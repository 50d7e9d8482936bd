"""The lake's tables as a template of Glue.

Input    what CreateTable takes for each table (lake/glue.py), over s3://${LakeBucket}/${Workspace}.
Output   ops/cloudformation/catalog.yaml as a document.
"""

from collections.abc import Iterable

from mlops_bikeshare.cloud.permissions import NAMES
from mlops_bikeshare.cloud.template import Document, sub

ADDRESS = f"s3://{NAMES['bucket']}/${{Workspace}}"
CITIES = "${Cities}"
FIRST_DATE = "${FirstDate}"


def document(tables: Iterable[Document]) -> Document:
    """The template."""
    resources: Document = {
        "Database": {
            "Type": "AWS::Glue::Database",
            "Properties": {
                "CatalogId": {"Ref": "AWS::AccountId"},
                "DatabaseInput": {
                    "Name": {"Ref": "DatabaseName"},
                    "Description": "Tables of mlops_bikeshare over the lake.",
                },
            },
        }
    }
    for table in tables:
        called = table["Name"].title().replace("_", "")
        resources[f"{called}Table"] = {
            "Type": "AWS::Glue::Table",
            "Properties": {
                "CatalogId": {"Ref": "AWS::AccountId"},
                "DatabaseName": {"Ref": "Database"},
                "TableInput": sub(_partitions_kept(table)),
            },
        }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Glue's database and tables over the lake, from the tables' contract.",
        "Parameters": {
            "Environment": {"Type": "String", "AllowedValues": ["dev", "staging", "prod"]},
            "Workspace": {"Type": "String"},
            "DatabaseName": {"Type": "String"},
            "Cities": {"Type": "String", "Description": "Names, parted by commas."},
            "FirstDate": {"Type": "String", "AllowedPattern": r"\d{4}-\d\d-\d\d"},
        },
        "Resources": resources,
    }


def _partitions_kept(table: Document) -> Document:
    """Athena's own ${city} and ${date} are no parameters of the stack."""
    template = table["Parameters"]["storage.location.template"]
    kept = template.replace("${city}", "${!city}").replace("${date}", "${!date}")
    return {**table, "Parameters": {**table["Parameters"], "storage.location.template": kept}}
