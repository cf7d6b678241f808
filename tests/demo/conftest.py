import sys
from pathlib import Path

# The demo is a script, and its modules are beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))
