"""Months can be made also when the default partition has taken events of theirs, as after three months without a
sealer; making one never holds up publishers for longer than a moment; and no partition can be emptied by itself."""

from django.db import migrations

FUNCTION = """
-- PostgreSQL gives partitions the triggers for rows of their table, and not those for statements.
CREATE FUNCTION events.never_truncate(p_partition text) RETURNS void
    LANGUAGE plpgsql SET search_path = events, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER event_is_never_truncated BEFORE TRUNCATE ON %I
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', p_partition);
END $$;
REVOKE ALL ON FUNCTION events.never_truncate FROM PUBLIC;
SELECT events.never_truncate(relname) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
 WHERE inhparent = 'events.event'::regclass;

-- Makes the partitions of this month and of the months after it. Returns how many were new: none where somebody has
-- been reading the event store for longer than the lock may be waited for, since publishers would wait behind it.
CREATE OR REPLACE FUNCTION events.ensure_partitions(p_months_ahead integer DEFAULT 3) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = events, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    v_month timestamptz;
    v_after timestamptz;
    v_name text;
    v_made integer := 0;
    v_is_set_aside boolean := false;
BEGIN
    FOR i IN 0..p_months_ahead LOOP
        v_month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        v_after := (v_month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        v_name := 'event_' || to_char(v_month AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass('events.' || v_name) IS NOT NULL;
        LOCK TABLE event IN ACCESS EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass('events.' || v_name) IS NOT NULL;
        IF NOT v_is_set_aside
           AND EXISTS (SELECT FROM event_default WHERE recorded_at >= v_month AND recorded_at < v_after) THEN
            -- A month cannot be made beside rows of its own, and no row may be deleted: the default partition is taken
            -- out whole, its rows are added again where they belong by then, and it is dropped.
            ALTER TABLE event DETACH PARTITION event_default;
            ALTER TABLE event_default RENAME TO event_set_aside;
            CREATE TABLE event_default PARTITION OF event DEFAULT;
            PERFORM never_truncate('event_default');
            v_is_set_aside := true;
        END IF;
        EXECUTE format('CREATE TABLE %I PARTITION OF event FOR VALUES FROM (%L) TO (%L)', v_name, v_month, v_after);
        PERFORM never_truncate(v_name);
        v_made := v_made + 1;
    END LOOP;
    IF v_is_set_aside THEN
        INSERT INTO event SELECT * FROM event_set_aside;
        DROP TABLE event_set_aside;
    END IF;
    RETURN v_made;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0006_outbox_urgent")]

    operations = [migrations.RunSQL(FUNCTION, migrations.RunSQL.noop)]
