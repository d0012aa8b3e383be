-- What is wrong with the home itself: from when it was found to when it was good again.
CREATE TABLE troubles (
    kind      TEXT NOT NULL,
    dag_id    TEXT NOT NULL,                              -- '': the whole home
    task_id   TEXT NOT NULL,                              -- '': the whole DAG
    opened_at INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    closed_at INTEGER,                                    -- NULL: it is not good again
    count     INTEGER NOT NULL,
    returns   INTEGER NOT NULL,                           -- how often it came back soon after it was good
    is_told   INTEGER NOT NULL,                           -- people were told since it was last good
    what      TEXT NOT NULL,                              -- JSON
    PRIMARY KEY (kind, dag_id, task_id)
) STRICT, WITHOUT ROWID;
