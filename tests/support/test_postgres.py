from __future__ import annotations

from tests.support.postgres import PostgresServer, StopMode


def test_a_server_that_was_stopped_in_any_way_keeps_what_it_was_told(
    stoppable_postgres: PostgresServer,
) -> None:
    server = stoppable_postgres
    name = server.create_database()
    server.query(name, "CREATE TABLE kept (number int)")
    modes: tuple[StopMode, ...] = ("fast", "immediate", "killed")
    for number, mode in enumerate(modes):
        server.query(name, f"INSERT INTO kept VALUES ({number})")
        server.query(name, "CHECKPOINT")
        server.stop(mode)
        assert not server.is_up()
        server.start()
    assert server.query(name, "SELECT number FROM kept ORDER BY number") == [["0"], ["1"], ["2"]]
    server.drop_database(name)


def test_databases_are_separate_and_can_be_copied(postgres_server: PostgresServer) -> None:
    one = postgres_server.create_database()
    postgres_server.query(one, "CREATE TABLE kept (number int)")
    copy = postgres_server.create_database(one)
    assert postgres_server.query(copy, "SELECT count(*) FROM kept") == [["0"]]
    for name in (one, copy):
        postgres_server.drop_database(name)
