"""The event store: a partitioned append-only table, chain heads, the outbox, and the one function that appends."""

from django.db import migrations

TABLES = """
CREATE TABLE events.event (
    event_id        uuid        NOT NULL,
    recorded_at     timestamptz NOT NULL,
    event_type      text        NOT NULL,
    schema_version  smallint    NOT NULL,
    aggregate_type  text        NOT NULL,
    aggregate_id    uuid        NOT NULL,
    aggregate_seq   bigint      NOT NULL CHECK (aggregate_seq > 0),
    occurred_at     timestamptz NOT NULL,
    user_id         uuid,
    correlation_id  uuid        NOT NULL,
    causation_id    uuid,
    traceparent     text        NOT NULL,
    payload         bytea       NOT NULL,
    hash            bytea       NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (event_id, recorded_at),
    UNIQUE (aggregate_type, aggregate_id, aggregate_seq, recorded_at)
) PARTITION BY RANGE (recorded_at);

CREATE INDEX event_user ON events.event (user_id, recorded_at);
CREATE INDEX event_type ON events.event (event_type, recorded_at);
CREATE INDEX event_correlation ON events.event (correlation_id);

-- Catches what no month's partition takes; manage.py setup_database and the sealer keep months ahead of time.
CREATE TABLE events.event_default PARTITION OF events.event DEFAULT;

CREATE TABLE events.stream (
    aggregate_type text   NOT NULL,
    aggregate_id   uuid   NOT NULL,
    last_seq       bigint NOT NULL,
    last_hash      bytea  NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
) WITH (fillfactor = 70);

-- The sequence keeps CACHE 1: a cached one would hand out ids out of the order of the locks.
CREATE TABLE events.outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id        uuid        NOT NULL,
    recorded_at     timestamptz NOT NULL,
    transport       text        NOT NULL CHECK (transport IN ('kafka', 'rabbitmq')),
    destination     text        NOT NULL,
    key             uuid        NOT NULL,
    slot            smallint    NOT NULL CHECK (slot BETWEEN 0 AND 63),
    created_at      timestamptz NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    last_error      text        NOT NULL DEFAULT ''
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX outbox_transport ON events.outbox (transport, id);
CREATE INDEX outbox_event ON events.outbox (event_id);
"""

APPEND = r"""
CREATE FUNCTION events.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events.event is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE ON events.event
    FOR EACH ROW EXECUTE FUNCTION events.refuse_change();
CREATE TRIGGER event_is_never_truncated BEFORE TRUNCATE ON events.event
    FOR EACH STATEMENT EXECUTE FUNCTION events.refuse_change();

CREATE FUNCTION events.microseconds(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT (extract(epoch FROM moment) * 1000000)::bigint';

-- Locks the aggregate first and draws the numbers second: then the order of outbox ids is the aggregate's order.
-- The hash covers every column: the previous hash, the others joined by tabs ('' for null), a tab, the payload.
CREATE FUNCTION events.append_event(
    p_event_id uuid, p_event_type text, p_schema_version integer, p_aggregate_type text, p_aggregate_id uuid,
    p_occurred_at timestamptz, p_user_id uuid, p_correlation_id uuid, p_causation_id uuid, p_traceparent text,
    p_payload bytea, p_transport text, p_destination text, p_slot integer, p_journal text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = events, pg_temp AS $$
DECLARE
    v_seq bigint;
    v_previous bytea;
    v_hash bytea;
    v_recorded_at timestamptz;
BEGIN
    SELECT last_seq + 1, last_hash INTO v_seq, v_previous
      FROM stream WHERE aggregate_type = p_aggregate_type AND aggregate_id = p_aggregate_id FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO stream VALUES (p_aggregate_type, p_aggregate_id, 0, '') ON CONFLICT DO NOTHING;
        SELECT last_seq + 1, last_hash INTO v_seq, v_previous
          FROM stream WHERE aggregate_type = p_aggregate_type AND aggregate_id = p_aggregate_id FOR UPDATE;
    END IF;

    v_recorded_at := clock_timestamp();
    v_hash := sha256(v_previous || convert_to(concat_ws(E'\t',
        p_event_id, p_event_type, p_schema_version, p_aggregate_type, p_aggregate_id, v_seq,
        microseconds(p_occurred_at), microseconds(v_recorded_at), coalesce(p_user_id::text, ''),
        p_correlation_id, coalesce(p_causation_id::text, ''), p_traceparent, ''), 'UTF8') || p_payload);

    INSERT INTO event VALUES (
        p_event_id, v_recorded_at, p_event_type, p_schema_version, p_aggregate_type, p_aggregate_id, v_seq,
        p_occurred_at, p_user_id, p_correlation_id, p_causation_id, p_traceparent, p_payload, v_hash);
    UPDATE stream SET last_seq = v_seq, last_hash = v_hash
     WHERE aggregate_type = p_aggregate_type AND aggregate_id = p_aggregate_id;
    INSERT INTO outbox (event_id, recorded_at, transport, destination, key, slot, created_at, next_attempt_at)
    VALUES (p_event_id, v_recorded_at, p_transport, p_destination, p_aggregate_id, p_slot, v_recorded_at, v_recorded_at);
    IF p_journal IS NOT NULL THEN
        INSERT INTO outbox (event_id, recorded_at, transport, destination, key, slot, created_at, next_attempt_at)
        VALUES (p_event_id, v_recorded_at, 'kafka', p_journal, p_aggregate_id, p_slot, v_recorded_at, v_recorded_at);
    END IF;
    RETURN v_seq;
END $$;

REVOKE ALL ON FUNCTION events.append_event FROM PUBLIC;
"""

PARTITIONS = """
-- Makes the partitions of this month and of the months after it. Returns how many were new.
CREATE FUNCTION events.ensure_partitions(p_months_ahead integer DEFAULT 3) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = events, pg_temp AS $$
DECLARE
    v_month timestamptz;
    v_name text;
    v_made integer := 0;
BEGIN
    FOR i IN 0..p_months_ahead LOOP
        v_month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        v_name := 'event_' || to_char(v_month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass('events.' || v_name) IS NULL THEN
            EXECUTE format('CREATE TABLE events.%I PARTITION OF events.event FOR VALUES FROM (%L) TO (%L)',
                v_name, v_month, (v_month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
            v_made := v_made + 1;
        END IF;
    END LOOP;
    RETURN v_made;
END $$;

REVOKE ALL ON FUNCTION events.ensure_partitions FROM PUBLIC;
SELECT events.ensure_partitions();
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.RunSQL("CREATE SCHEMA IF NOT EXISTS events", migrations.RunSQL.noop),
        migrations.RunSQL(TABLES, "DROP TABLE events.outbox, events.stream, events.event CASCADE"),
        migrations.RunSQL(
            APPEND, "DROP FUNCTION events.append_event, events.microseconds, events.refuse_change CASCADE"
        ),
        migrations.RunSQL(PARTITIONS, "DROP FUNCTION events.ensure_partitions"),
    ]
