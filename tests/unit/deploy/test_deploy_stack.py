from deploy.stack.mongodb import cache_mib


def test_the_stand_in_for_mongodb_caches_by_the_machines_memory() -> None:
    assert [cache_mib(memory) for memory in (1_000, 8_000, 64_000)] == [512, 2_000, 4_096]
