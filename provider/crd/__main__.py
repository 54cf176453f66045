"""`python -m provider.crd FOLDER`: writes the CustomResourceDefinitions, one file each."""

import sys
from pathlib import Path

from provider.crd import definitions


def main() -> None:
    (folder,) = sys.argv[1:]
    for kind in definitions.KINDS:
        Path(folder, kind.file_name).write_text(definitions.text(kind))


if __name__ == "__main__":
    main()
