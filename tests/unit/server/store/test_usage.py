"""GPU seconds in the store: written twice they count once, and processes add up."""

from pathlib import Path

from easymlnb_server.store.store import Store


def test_processes_add_up_and_write_twice_without_harm(database_url: str, tmp_path: Path) -> None:
    one = Store.open(database_url, tmp_path)
    two = Store.open(database_url, tmp_path)
    try:
        assert one.usage.put("erin", "2026-01-01", 0) == 0
        assert one.usage.put("erin", "2026-01-01", 5) == 5
        assert one.usage.put("erin", "2026-01-01", 7) == 7
        assert one.usage.put("erin", "2026-01-01", 7) == 7
        assert two.usage.put("erin", "2026-01-01", 3) == 10
        assert two.usage.put("erin", "2026-01-02", 1) == 1
        assert two.usage.put("o'hara@x", "2026-01-01", 2) == 2
        two.usage.forget(before="2026-01-02")
        assert one.usage.put("erin", "2026-01-01", 0) == 0
        assert one.usage.put("erin", "2026-01-02", 4) == 5
    finally:
        one.close()
        two.close()
