"""Events name their actor: a column of the event store that the hash covers, and the erasable records of clients.

Events from before have no actor. They were hashed without the column, and `append_event` leaves it out where it is
empty, so that their hashes still hold.
"""

from django.db import migrations, models

COLUMN = "ALTER TABLE events.event ADD COLUMN actor text NOT NULL DEFAULT ''"

# A function with another parameter is another function. The roles that may call it keep their right, so that no process
# is without it between this migration and `manage.py setup_database`.
REPLACE = r"""
CREATE TEMPORARY TABLE may_publish ON COMMIT DROP AS
    SELECT grantee::regrole::text AS role FROM pg_proc, aclexplode(proacl)
     WHERE pg_proc.oid = 'events.append_event'::regproc AND grantee <> proowner AND grantee <> 0;

DROP FUNCTION events.append_event;

-- Locks the aggregate first and draws the numbers second: then the order of outbox ids is the aggregate's order.
-- The hash covers every column: the previous hash, the others joined by tabs ('' for null, an empty actor left out), a
-- tab, the payload. The actor has no character that COPY escapes, so that verification hashes what COPY writes.
CREATE FUNCTION events.append_event(
    p_event_id uuid, p_event_type text, p_schema_version integer, p_aggregate_type text, p_aggregate_id uuid,
    p_occurred_at timestamptz, p_user_id uuid, p_correlation_id uuid, p_causation_id uuid, p_traceparent text,
    p_payload bytea, p_transport text, p_destination text, p_slot integer, p_journal text DEFAULT NULL,
    p_actor text DEFAULT ''
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = events, pg_temp AS $$
DECLARE
    v_seq bigint;
    v_previous bytea;
    v_hash bytea;
    v_recorded_at timestamptz;
BEGIN
    IF p_actor ~ '[\\[:cntrl:]]' THEN
        RAISE EXCEPTION 'The actor of an event has no backslash and no control character.';
    END IF;
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
        p_correlation_id, coalesce(p_causation_id::text, ''), p_traceparent, nullif(p_actor, ''), ''), 'UTF8')
        || p_payload);

    INSERT INTO event (event_id, recorded_at, event_type, schema_version, aggregate_type, aggregate_id, aggregate_seq,
        occurred_at, user_id, correlation_id, causation_id, traceparent, payload, hash, actor)
    VALUES (
        p_event_id, v_recorded_at, p_event_type, p_schema_version, p_aggregate_type, p_aggregate_id, v_seq,
        p_occurred_at, p_user_id, p_correlation_id, p_causation_id, p_traceparent, p_payload, v_hash, p_actor);
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

-- Adds the client of a request, once however many events the request publishes.
CREATE FUNCTION events.keep_client(p_digest bytea, p_salt bytea, p_address inet, p_user_agent text, p_user_id uuid)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = events, pg_temp AS $$
    INSERT INTO client_record (digest, salt, address, user_agent, user_id, created_at)
    VALUES (p_digest, p_salt, p_address, p_user_agent, p_user_id, clock_timestamp()) ON CONFLICT DO NOTHING
$$;

REVOKE ALL ON FUNCTION events.append_event, events.keep_client FROM PUBLIC;

DO $$
DECLARE
    v_role text;
BEGIN
    FOR v_role IN SELECT role FROM may_publish LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION events.append_event, events.keep_client TO %s', v_role);
    END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0008_command_result")]

    operations = [
        migrations.CreateModel(
            name="ClientRecord",
            fields=[
                ("digest", models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ("salt", models.BinaryField(max_length=16)),
                ("address", models.GenericIPAddressField(null=True)),
                ("user_agent", models.CharField(max_length=200)),
                ("user_id", models.UUIDField(db_index=True, null=True)),
                ("created_at", models.DateTimeField(db_index=True)),
            ],
            options={"db_table": "client_record"},
        ),
        migrations.RunSQL(COLUMN, migrations.RunSQL.noop),
        migrations.RunSQL(REPLACE, migrations.RunSQL.noop),
    ]
