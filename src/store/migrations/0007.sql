-- A scheduled run that somebody has taken up again does not take turns with the other scheduled runs of its DAG.
ALTER TABLE runs ADD COLUMN is_reopened INTEGER NOT NULL DEFAULT 0;
