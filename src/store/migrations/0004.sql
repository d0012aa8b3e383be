-- A run is one data interval, start and end: schedules that follow one another may have intervals with the same start.
-- Intervals of any schedules follow one another by their ends.
DROP INDEX runs_one_per_interval;
CREATE UNIQUE INDEX runs_one_per_interval ON runs (dag_id, data_interval_end, logical_date) WHERE run_type <> 'manual';

-- How far a DAG with a backlog is ahead of its runs.
CREATE INDEX runs_queued ON runs (dag_id) WHERE state = 'queued' AND run_type = 'scheduled';

-- A mark that was ahead of a clock that is not believed any more: what ends before it has been dealt with.
ALTER TABLE dags ADD COLUMN set_aside_until INTEGER;
