"""`python -m liqtape` is the command `liqtape`."""

import sys

from liqtape.cli.app import main

sys.exit(main())
