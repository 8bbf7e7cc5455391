"""`python -m genbayes` is the command `genbayes`."""

import sys

from .cli import main

sys.exit(main())
