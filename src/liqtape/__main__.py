"""`python -m liqtape` is the command `liqtape`."""

import sys

from liqtape.cli import main

sys.exit(main())
