-- Times are microseconds since 1970-01-01 UTC.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The text of every DAG file that a run used or that was the newest good one.
CREATE TABLE dag_versions (
    id         INTEGER PRIMARY KEY,
    dag_id     TEXT NOT NULL,
    hash       TEXT NOT NULL,
    text       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (dag_id, hash)
) STRICT;

CREATE TABLE dags (
    dag_id          TEXT PRIMARY KEY,
    version_id      INTEGER REFERENCES dag_versions (id), -- the newest good one; NULL: there was none yet
    file_stamp      TEXT NOT NULL,                        -- what the file looked like when it was read
    fault           TEXT,                                 -- why the file as it stands is not used
    is_active       INTEGER NOT NULL,                     -- the file is there
    is_paused       INTEGER NOT NULL DEFAULT 0,
    schedule_from   INTEGER NOT NULL,                     -- first seen or last unpaused
    scheduled_until INTEGER,                              -- the newest fire time that was dealt with
    next_fire_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX dags_due ON dags (next_fire_at) WHERE next_fire_at IS NOT NULL AND is_active = 1 AND is_paused = 0;

CREATE TABLE backfills (
    id              INTEGER PRIMARY KEY,
    dag_id          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    max_active_runs INTEGER,
    is_reverse      INTEGER NOT NULL,
    is_held         INTEGER NOT NULL DEFAULT 0            -- interrupted: starts nothing new
) STRICT;

CREATE TABLE runs (
    id                  INTEGER PRIMARY KEY,
    dag_id              TEXT NOT NULL,
    run_id              TEXT NOT NULL,
    run_type            TEXT NOT NULL,
    logical_date        INTEGER NOT NULL,
    data_interval_end   INTEGER NOT NULL,
    state               TEXT NOT NULL,
    version_id          INTEGER REFERENCES dag_versions (id), -- bound when it starts
    params              TEXT NOT NULL DEFAULT '{}',
    selection           TEXT,                                 -- JSON array of task ids; NULL: all
    backfill_id         INTEGER REFERENCES backfills (id),
    queued_at           INTEGER NOT NULL,
    start_date          INTEGER,
    end_date            INTEGER,
    reason              TEXT,
    UNIQUE (dag_id, run_id)
) STRICT;

-- A scheduled and a backfilled run of the same interval are the same run.
CREATE UNIQUE INDEX runs_one_per_interval ON runs (dag_id, logical_date) WHERE run_type <> 'manual';
CREATE INDEX runs_by_date ON runs (dag_id, logical_date, id);
CREATE INDEX runs_unfinished ON runs (state, id) WHERE state IN ('queued', 'running');
CREATE INDEX runs_by_backfill ON runs (backfill_id, id) WHERE backfill_id IS NOT NULL;
CREATE INDEX runs_ended ON runs (end_date, id) WHERE end_date IS NOT NULL;

CREATE TABLE task_instances (
    run         INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    task_id     TEXT NOT NULL,
    state       TEXT NOT NULL,
    try_number  INTEGER NOT NULL DEFAULT 0,               -- attempts begun
    max_tries   INTEGER NOT NULL,
    start_date  INTEGER,
    end_date    INTEGER,
    next_try_at INTEGER,
    reason      TEXT,
    PRIMARY KEY (run, task_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    run           INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    task_id       TEXT NOT NULL,
    try_number    INTEGER NOT NULL,
    token         TEXT NOT NULL,
    log_file      TEXT NOT NULL,                          -- relative to the home
    started_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    ending        TEXT,                                   -- JSON
    cpu_seconds   REAL,
    max_rss_bytes INTEGER,
    PRIMARY KEY (run, task_id, try_number)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_open ON attempts (run) WHERE ended_at IS NULL;

-- Append-only: folding it gives the states of runs and task_instances back.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    run     INTEGER NOT NULL,
    task_id TEXT,
    data    TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_run ON events (run, id);

-- What clients ask of the driver; deleted in the transaction that does it.
CREATE TABLE intents (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    at   INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;

CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY,
    created_at  INTEGER NOT NULL,
    dag_id      TEXT NOT NULL,
    mail        TEXT NOT NULL,                            -- JSON: recipients, subject, text, html
    message_id  TEXT NOT NULL,
    tries       INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER,                                  -- NULL: sent or given up
    sent_at     INTEGER,
    last_error  TEXT
) STRICT;

CREATE INDEX outbox_pending ON outbox (next_try_at) WHERE next_try_at IS NOT NULL;
