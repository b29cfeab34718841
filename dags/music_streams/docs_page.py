"""Hide parts of dbt's generated docs. Environments without Airflow import this, so it needs no Airflow or Cosmos."""

import json
from pathlib import Path


def hide_macros_of_the_adapter(target: Path) -> None:
    """Leave only the project's own macros in the docs that dbt has generated in a folder.

    The docs leave out `dbt` and `dbt_redshift` by themselves, but show `dbt_postgres`, on which the adapter builds, as
    if it were a package of the project.
    """
    file = target / "manifest.json"
    text = file.read_text()
    manifest = json.loads(text)
    own = manifest["metadata"]["project_name"]
    manifest["macros"] = {key: macro for key, macro in manifest["macros"].items() if macro["package_name"] == own}
    shown = json.dumps(manifest)
    file.write_text(shown)
    for page in target.glob("static_index.html"):  # dbt has embedded the unchanged manifest in it
        page.write_text(page.read_text().replace(text, shown))
