-- `runs --state` and `status` find their rows however long the history.
DROP INDEX runs_unfinished;
CREATE INDEX runs_by_state ON runs (state, id);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
