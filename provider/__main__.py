"""`python -m provider`: the operator."""

import sys

from provider.cli import main

sys.exit(main())
