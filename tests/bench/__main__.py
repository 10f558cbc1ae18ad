"""Every bench, one after the other: ``python -m tests.bench``."""

from __future__ import annotations

from tests.bench import answer_path, bridge, engine, many

if __name__ == "__main__":
    answer_path.main()
    engine.main([])
    many.main([])
    bridge.main([])
