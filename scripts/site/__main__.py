"""Stages the documents, has Zensical build them, and reads the pages that came of it.

usage: python -m scripts.site      in an environment with the groups `site` and the package itself

Exits 1 at a dead link or anchor, a page that is in no menu, a public name without a text, Markdown
that came out as plain text, or anything that a page would load from elsewhere.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from scripts.site import ROOT, api, pages, stage


def main() -> int:
    work = ROOT / "target" / "site"
    shutil.rmtree(work, ignore_errors=True)
    staged = stage.stage(work / "docs")
    reference = work / "docs" / "reference" / "api.md"
    reference.write_text(api.page(), encoding="utf-8")
    print(f"{staged + 1} pages staged")
    zensical = Path(sys.executable).with_name("zensical")
    command = [str(zensical), "build", "--clean", "--strict", "--config-file", "mkdocs.yml"]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        return 1
    absent = [f"{name} cannot be imported here, so it is in no page" for name in api.missing()]
    problems = [*absent, *api.problems(), *pages.problems(work / "html", staged + 1)]
    print("\n".join(problems) or f"every link leads somewhere; open {work}/html/index.html")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
