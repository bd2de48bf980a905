"""``python -m leakguard``: the command line."""

from leakguard.cli import main

raise SystemExit(main())
