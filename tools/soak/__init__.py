"""Long random runs with faults injected, for whoever maintains this.

``python -m soak soak`` runs random pairs with random settings while things go
wrong on purpose; ``python -m soak fuzz`` has the readers read damaged files.
Both are seeded, bounded, and end with a status that says whether anything
was found.
"""

from __future__ import annotations
