"""`python -m carbonzeus_cli`."""

import sys

from carbonzeus_cli.main import main

sys.exit(main())
