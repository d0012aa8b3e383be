-- What waits to be told is what happened, as data; the mail that an older program had rendered is told as it is.
ALTER TABLE outbox RENAME COLUMN mail TO notice;
ALTER TABLE outbox ADD COLUMN kind TEXT NOT NULL DEFAULT 'rendered';
ALTER TABLE outbox ADD COLUMN channel TEXT;               -- NULL: there was none, nobody will be told
ALTER TABLE outbox ADD COLUMN digest INTEGER;             -- held back: the digest that tells of it
UPDATE outbox SET channel = 'email';
UPDATE outbox SET notice = json_object(
    'version', 1, 'to', json_extract(notice, '$.to'), 'event', json_object('kind', 'rendered', 'mail', json(notice))
) WHERE json_valid(notice);

CREATE INDEX outbox_by_time ON outbox (created_at);
CREATE INDEX outbox_held ON outbox (digest) WHERE digest IS NOT NULL;

-- From the first failure of a DAG that people wanted to hear of to its first good run.
CREATE TABLE incidents (
    dag_id      TEXT PRIMARY KEY,
    opened_at   INTEGER NOT NULL,
    closed_at   INTEGER,                                  -- NULL: it is open
    failures    INTEGER NOT NULL,                         -- failed tasks, and runs that failed without one
    failed_runs INTEGER NOT NULL,
    told_at     INTEGER NOT NULL,                         -- when people were last told of a failure
    reminders   INTEGER NOT NULL,
    returns     INTEGER NOT NULL,                         -- how often it came back soon after it was over
    is_told     INTEGER NOT NULL,                         -- people were told since it was last over
    told        TEXT NOT NULL,                            -- JSON: who was told
    runs        TEXT NOT NULL                             -- JSON: the failed runs that had not ended when they were counted
) STRICT, WITHOUT ROWID;
