"""A part that is forked by the tests: prints whether pytest is imported, and exits with its argument or a message."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.stdout.write(f"{'_pytest' in sys.modules}\n")
    sys.exit(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1])
