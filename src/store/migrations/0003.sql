-- What checks recorded: one row for each check and date; a run of the same date replaces it.
CREATE TABLE checks (
    dag_id       TEXT NOT NULL,
    task_id      TEXT NOT NULL,
    logical_date INTEGER NOT NULL,
    ds           TEXT NOT NULL,
    verdict      TEXT NOT NULL,
    findings     TEXT NOT NULL,                           -- JSON: what is said of the check as a whole
    at           INTEGER NOT NULL,
    PRIMARY KEY (dag_id, task_id, logical_date)
) STRICT, WITHOUT ROWID;

CREATE TABLE check_values (
    dag_id       TEXT NOT NULL,
    task_id      TEXT NOT NULL,
    logical_date INTEGER NOT NULL,
    key          TEXT NOT NULL,
    metric       TEXT NOT NULL,
    value        REAL,                                    -- NULL: there was no number
    baseline     REAL,
    verdict      TEXT NOT NULL,
    reason       TEXT,                                    -- why it is not ok
    PRIMARY KEY (dag_id, task_id, logical_date, key, metric)
) STRICT, WITHOUT ROWID;

-- What checks say of a gate for a date.
CREATE TABLE gates (
    gate    TEXT NOT NULL,
    ds      TEXT NOT NULL,
    dag_id  TEXT NOT NULL,
    task_id TEXT NOT NULL,
    verdict TEXT,                                         -- NULL: this check has yet to speak
    at      INTEGER NOT NULL,
    PRIMARY KEY (gate, ds, dag_id, task_id)
) STRICT, WITHOUT ROWID;

-- What people say instead; append-only, the newest one holds.
CREATE TABLE gate_decisions (
    id      INTEGER PRIMARY KEY,
    gate    TEXT NOT NULL,
    ds      TEXT NOT NULL,
    verdict TEXT,                                         -- NULL: the checks decide again
    by      TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

CREATE INDEX gate_decisions_of ON gate_decisions (gate, ds, id);
