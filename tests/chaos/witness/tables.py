"""The witness's notes. Nothing in them is unique by constraint: what happens twice shall be seen twice."""

CREATE = """
CREATE SCHEMA IF NOT EXISTS chaos;
CREATE TABLE IF NOT EXISTS chaos.sighting (
    place    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid   NOT NULL,
    key      uuid   NOT NULL,
    sequence bigint NOT NULL,
    payload  bytea  NOT NULL
);
CREATE INDEX IF NOT EXISTS sighting_key ON chaos.sighting (key);
CREATE INDEX IF NOT EXISTS sighting_event ON chaos.sighting (event_id);
CREATE TABLE IF NOT EXISTS chaos.effect (
    command_id uuid    NOT NULL,
    fence      bigint  NOT NULL,
    attempt    integer NOT NULL
);
CREATE INDEX IF NOT EXISTS effect_command ON chaos.effect (command_id);
"""
